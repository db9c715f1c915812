//! Limits agree with each other: the largest value of each kind fits what carries it.

use treehouse_wire::{
    Address, Blob, Contact, Control, Epoch, FrameNumber, LinkTag, List, Losses, MediaKey, NodeId, NodeTag, RoomKey,
    Signature, Text, UnixSeconds, VoiceId,
    control::{
        Admitted, Adoption, Decline, HubRow, Join, Name, Placement, Position, Positions, Profile, Purpose, Rank,
        Record, Report, Statement, Status, Subscribe, Tick,
    },
    limits::*,
};

const NODE: NodeId = NodeId([0xff; 32]);
const SIGNATURE: Signature = Signature([0xff; 64]);
const POSITION: Position = Position { at: [i16::MIN; 3], height: u16::MAX, error: u8::MAX };
const RANK: Rank = Rank { depth: u8::MAX, admission: u32::MAX };

fn full<T: Clone, const N: usize>(item: T) -> List<T, N> {
    List::truncated(std::iter::repeat_n(item, N))
}

fn address() -> Address {
    full(0xff)
}

fn contact() -> Contact {
    Contact { node: NODE, addresses: full(address()) }
}

fn statement() -> Statement {
    Statement { payload: full(0xff), signature: SIGNATURE }
}

fn name() -> Name {
    Text::new(&"x".repeat(NAME_BYTES_MAX)).expect("a name at its limit")
}

fn profile() -> Profile {
    Profile { name: name(), addresses: full(address()), children_max: u8::MAX }
}

fn tick() -> Tick {
    Tick {
        path: full(NodeTag([0xff; 4])),
        rank: RANK,
        state: (u16::MAX, u32::MAX),
        repairing: true,
        members: u32::MAX,
        position: POSITION,
        delay_ms: u16::MAX,
    }
}

fn status() -> Status {
    Status {
        parent: Some(NodeTag([0xff; 4])),
        standby: Some(NodeTag([0xff; 4])),
        rank: RANK,
        children: u8::MAX,
        standbys: u8::MAX,
        slots: u8::MAX,
        position: Some(POSITION),
        delay_ms: u16::MAX,
    }
}

fn record() -> Record {
    Record {
        node: NODE,
        profile: profile(),
        role: u8::MAX,
        admission: u32::MAX,
        lineage: full(LinkTag([0xff; 16])),
        age_s: u32::MAX,
        counter: u32::MAX,
        status: status(),
    }
}

fn largest() -> Vec<Control> {
    let from: Positions = full((VoiceId([0xff; 8]), FrameNumber(u32::MAX)));
    let subscribe = Subscribe {
        certificate: statement(),
        lease: Some(statement()),
        purpose: Purpose::Stage,
        relay: Some(RANK),
        adopts: Some(Adoption { leaf: NODE, addresses: full(address()) }),
        replay: true,
        from,
    };
    let epoch = Epoch { term: u16::MAX, number: u32::MAX };
    let admitted = Admitted {
        charter: statement(),
        certificate: statement(),
        lease: Some(statement()),
        host: full(address()),
        epoch,
        key: Some(RoomKey([0xff; 32])),
    };
    let placement = Placement {
        counter: u32::MAX,
        rank: RANK,
        parent: contact(),
        adopts: Some(NODE),
        standby: Some(contact()),
        spares: full(contact()),
        position: POSITION,
        review_s: u16::MAX,
    };
    vec![
        Control::Join(Box::new(Join { chain: full(0xff), proof: SIGNATURE, profile: profile(), direct: true })),
        Control::Resume { certificate: statement(), lease: Some(statement()), profile: profile(), direct: true },
        Control::Admitted(Box::new(admitted)),
        Control::Seek { failed: full(NODE), review: true },
        Control::Offer { round: u32::MAX, candidates: full(contact()) },
        Control::Measured { round: u32::MAX, round_trip_ms: full((NODE, Some(u16::MAX))) },
        Control::Placement(Box::new(placement)),
        Control::Status(status()),
        Control::Reports(full(Report::Status { node: NODE, status: status() })),
        Control::Reports(full(Report::Complaint {
            node: NODE,
            of: NodeTag([0xff; 4]),
            at: UnixSeconds(u64::MAX),
            signature: SIGNATURE,
        })),
        Control::Moved(contact()),
        Control::Subscribe(Box::new(subscribe)),
        Control::Subscribed { purpose: Purpose::Stage, tick: tick() },
        Control::Declined { purpose: Purpose::Stage, reason: Decline::NotOnStage },
        Control::Tick(tick()),
        Control::Hand { claim: Some((MediaKey([0xff; 32]), SIGNATURE, SIGNATURE)) },
        Control::State(statement()),
        Control::StatePart { digest: [0xff; 32], index: u8::MAX, of: u8::MAX, part: full(0xff) },
        Control::Key { epoch, key: RoomKey([0xff; 32]) },
        Control::Losses(full((VoiceId([0xff; 8]), Losses([u32::MAX; 12])))),
        Control::StageContact(contact()),
        Control::Beacon(statement()),
        Control::Redirect { leaders: full(contact()), direct: true },
        Control::Leader { leader: contact(), before: NODE, lease: statement() },
        Control::LeaseWanted { node: contact(), fresh: true },
        Control::Lease { lease: statement(), charter: statement(), host: full(address()) },
        Control::Records(full(record())),
        Control::HandsWanted { count: u8::MAX },
        Control::HubStatus { members: u32::MAX, spare: u32::MAX, hands: u32::MAX },
        Control::Hubs(full(HubRow { contact: contact(), members: u32::MAX, spare: u32::MAX })),
    ]
}

#[test]
fn the_largest_message_of_each_kind_can_be_sent() {
    for message in largest() {
        let bytes = message.to_bytes();
        assert!(bytes.len() <= CONTROL_BYTES_MAX, "{} bytes: {message:?}", bytes.len());
        assert_eq!(Control::from_bytes(&bytes), Ok(message));
    }
}

#[test]
fn one_more_than_a_limit_is_refused() {
    assert_eq!(Blob::<INVITE_BYTES_MAX>::new(vec![0; INVITE_BYTES_MAX + 1]), None);
    assert_eq!(Name::new(&"x".repeat(NAME_BYTES_MAX + 1)), None);
    let one_too_many = {
        let mut bytes = Control::Seek { failed: full(NODE), review: true }.to_bytes();
        // The length of the list is the second byte; one more node goes behind the first.
        bytes[1] += 1;
        bytes.splice(2..2, NODE.0);
        bytes
    };
    assert!(Control::from_bytes(&one_too_many).is_err());
}

#[test]
fn names_from_the_network_cannot_drive_a_terminal() {
    let names = ["a\u{1b}[2J", "a\r\nb", "\u{202e}olleh", "a\u{200b}b", "\u{61c}a", "soft\u{ad}hyphen", "\u{e0041}"];
    for name in names {
        assert_eq!(Name::new(name), None, "{name:?}");
        let cleaned = Name::cleaned(name);
        assert_eq!(Name::new(cleaned.as_str()).as_ref(), Some(&cleaned));
    }
    assert_eq!(Name::cleaned(&"é".repeat(30)).as_str(), "é".repeat(24), "cut between characters");
}
