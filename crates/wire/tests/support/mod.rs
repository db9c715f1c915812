//! Values that several of these tests use.

#![allow(dead_code, reason = "each test uses a part of it")]

pub mod files;

use treehouse_wire::{
    Address, Blob, Contact, Control, Epoch, FrameNumber, LinkTag, List, Losses, MediaKey, NodeId, NodeTag, RoomKey,
    Signature, Text, UnixSeconds, VoiceId,
    control::{
        Admitted, Adoption, Decline, Farewell, HubRow, Join, Placement, Position, Profile, Purpose, Rank, Record,
        Refusal, Report, Statement, Status, Subscribe, Tick,
    },
};

/// A node whose key has the same byte throughout; no real key, since control messages do not look at keys.
pub fn node(byte: u8) -> NodeId {
    NodeId([byte; 32])
}

/// A signature of one byte throughout.
pub fn signature(byte: u8) -> Signature {
    Signature([byte; 64])
}

/// `/ip4/192.0.2.N/udp/4001/quic-v1`.
pub fn address(last: u8) -> Address {
    List::truncated([4, 192, 0, 2, last, 0x91, 2, 0x0f, 0xa1, 0xcd, 3])
}

fn contact(byte: u8) -> Contact {
    Contact { node: node(byte), addresses: List::truncated([address(byte)]) }
}

fn statement(byte: u8) -> Statement {
    Statement { payload: Blob::truncated([byte; 5]), signature: signature(byte) }
}

fn profile() -> Profile {
    Profile { name: Text::cleaned("Zoë"), addresses: List::truncated([address(7), address(8)]), children_max: 8 }
}

fn tick() -> Tick {
    Tick {
        path: List::truncated([NodeTag([0x11; 4]), NodeTag([0x22; 4])]),
        rank: Rank { depth: 1, admission: 300 },
        state: (2, 70_000),
        repairing: true,
        members: 1_000_000,
        position: position(),
        delay_ms: 300,
    }
}

fn position() -> Position {
    Position { at: [-300, 0, 12], height: 77, error: 20 }
}

fn status() -> Status {
    Status {
        parent: Some(NodeTag([0x11; 4])),
        standby: None,
        rank: Rank { depth: 2, admission: 41 },
        children: 3,
        standbys: 2,
        slots: 8,
        position: Some(position()),
        delay_ms: 300,
    }
}

/// At least one control message of each variant, with a name.
pub fn messages() -> Vec<(&'static str, Control)> {
    [admission(), placing(), feeding(), stating(), leading()].concat()
}

fn admission() -> Vec<(&'static str, Control)> {
    vec![
        ("ping, one-byte number", Control::Ping { nonce: 7 }),
        ("ping, largest number", Control::Ping { nonce: u32::MAX }),
        ("pong", Control::Pong { nonce: 128 }),
        ("bye, leaving", Control::Bye(Farewell::Leaving)),
        ("bye, misbehaved", Control::Bye(Farewell::Misbehaved)),
        (
            "join",
            Control::Join(Box::new(Join {
                chain: Blob::truncated([0xc4; 9]),
                proof: signature(0x5a),
                profile: profile(),
                direct: false,
            })),
        ),
        ("resume", Control::Resume { certificate: statement(0xce), lease: None, profile: profile(), direct: false }),
        (
            "resume under a lease",
            Control::Resume {
                certificate: statement(0xce),
                lease: Some(statement(0x1e)),
                profile: profile(),
                direct: true,
            },
        ),
        (
            "admitted",
            Control::Admitted(Box::new(Admitted {
                charter: statement(0xca),
                certificate: statement(0xce),
                lease: Some(statement(0x1e)),
                host: List::truncated([address(1)]),
                epoch: Epoch { term: 1, number: 300 },
                key: Some(RoomKey([0x4b; 32])),
            })),
        ),
        (
            "admitted, booster",
            Control::Admitted(Box::new(Admitted {
                charter: statement(0xca),
                certificate: statement(0xce),
                lease: None,
                host: List::truncated([address(1)]),
                epoch: Epoch { term: 1, number: 300 },
                key: None,
            })),
        ),
        ("refused, other room", Control::Refused(Refusal::OtherRoom)),
        ("refused, busy", Control::Refused(Refusal::Busy)),
        ("refused, revoked", Control::Refused(Refusal::Revoked)),
        ("refused, uncounted in a closed room", Control::Refused(Refusal::Uncounted)),
    ]
}

fn placing() -> Vec<(&'static str, Control)> {
    vec![
        ("seek, none failed", Control::Seek { failed: List::default(), review: true }),
        ("seek, two failed", Control::Seek { failed: List::truncated([node(3), node(4)]), review: false }),
        ("offer", Control::Offer { round: 5, candidates: List::truncated([contact(1), contact(2)]) }),
        (
            "measured",
            Control::Measured { round: 5, round_trip_ms: List::truncated([(node(1), Some(300)), (node(2), None)]) },
        ),
        (
            "placement",
            Control::Placement(Box::new(Placement {
                counter: 3,
                rank: Rank { depth: 2, admission: 41 },
                parent: contact(1),
                adopts: Some(node(6)),
                standby: Some(contact(2)),
                spares: List::truncated([contact(3)]),
                position: position(),
                review_s: 20,
            })),
        ),
        (
            "placement without standby",
            Control::Placement(Box::new(Placement {
                counter: 4,
                rank: Rank { depth: 1, admission: 41 },
                parent: Contact { node: node(1), addresses: List::default() },
                adopts: None,
                standby: None,
                spares: List::default(),
                position: Position::default(),
                review_s: 640,
            })),
        ),
        ("status", Control::Status(status())),
        (
            "reports",
            Control::Reports(List::truncated([
                Report::Status {
                    node: node(5),
                    status: Status { standby: Some(NodeTag([0x22; 4])), position: None, ..status() },
                },
                Report::Gone { node: node(6), polite: true },
                Report::Complaint {
                    node: node(5),
                    of: NodeTag([0x23; 4]),
                    at: UnixSeconds(1_790_000_000),
                    signature: signature(0x53),
                },
            ])),
        ),
    ]
}

fn feeding() -> Vec<(&'static str, Control)> {
    let subscribe = |purpose, relay: Option<Rank>, adopts, from| {
        let certificate = statement(0xce);
        let lease = relay.map(|_| statement(0x1e));
        Control::Subscribe(Box::new(Subscribe { certificate, lease, purpose, relay, adopts, replay: true, from }))
    };
    let adoption = Adoption { leaf: node(6), addresses: List::truncated([address(1)]) };
    vec![
        ("subscribe as a leaf", subscribe(Purpose::Primary, None, Some(adoption), List::default())),
        (
            "subscribe as a relay",
            subscribe(
                Purpose::LiveStandby,
                Some(Rank { depth: 2, admission: 41 }),
                None,
                List::truncated([(VoiceId([0x70; 8]), FrameNumber(16_384))]),
            ),
        ),
        ("subscribed", Control::Subscribed { purpose: Purpose::IdleStandby, tick: tick() }),
        ("declined", Control::Declined { purpose: Purpose::Provisional, reason: Decline::Full }),
        ("declined, not on stage", Control::Declined { purpose: Purpose::Stage, reason: Decline::NotOnStage }),
        ("unsubscribe", Control::Unsubscribe),
        ("moved", Control::Moved(contact(4))),
        ("tick", Control::Tick(tick())),
    ]
}

fn stating() -> Vec<(&'static str, Control)> {
    vec![
        ("hand up", Control::Hand { claim: Some((MediaKey([0x6d; 32]), signature(0x51), signature(0x52))) }),
        ("hand down", Control::Hand { claim: None }),
        ("state", Control::State(statement(0x57))),
        ("state part", Control::StatePart { digest: [0xd1; 32], index: 1, of: 2, part: Blob::truncated([0xaa; 6]) }),
        ("state wanted", Control::StateWanted),
        ("stage contact", Control::StageContact(contact(9))),
        ("beacon", Control::Beacon(statement(0xbe))),
    ]
}

fn leading() -> Vec<(&'static str, Control)> {
    let record = Record {
        node: node(5),
        profile: profile(),
        role: 1,
        admission: 300,
        lineage: List::truncated([LinkTag([0xc4; 16])]),
        age_s: 600,
        counter: 3,
        status: status(),
    };
    vec![
        (
            "redirect",
            Control::Redirect { leaders: List::truncated([contact(1), contact(2), contact(3)]), direct: false },
        ),
        ("redirect to the host", Control::Redirect { leaders: List::truncated([contact(1)]), direct: true }),
        ("leader", Control::Leader { leader: contact(2), before: node(1), lease: statement(0x1e) }),
        ("lease wanted", Control::LeaseWanted { node: contact(2), fresh: true }),
        ("leader gone", Control::LeaderGone(contact(2).node)),
        (
            "lease",
            Control::Lease {
                lease: statement(0x1e),
                charter: statement(0xca),
                host: List::truncated([address(1), address(2)]),
            },
        ),
        ("records", Control::Records(List::truncated([record]))),
        ("hands wanted", Control::HandsWanted { count: 8 }),
        ("page", Control::Page { path: List::truncated([node(4).tag(), node(5).tag()]) }),
        ("page, arrived", Control::Page { path: List::default() }),
        ("key", Control::Key { epoch: Epoch { term: 2, number: 300 }, key: RoomKey([0x6b; 32]) }),
        (
            "losses",
            Control::Losses(List::truncated([
                (VoiceId([0x7a; 8]), Losses([300, 2, 0, 0, 1, 0, 0, 0, 0, 0, 0, 4])),
                (VoiceId([0x7b; 8]), Losses([0, 0, 0, 0, 0, 1000, 0, 0, 0, 0, 0, 0])),
            ])),
        ),
        ("bye, removed", Control::Bye(Farewell::Removed)),
        ("refused, banned", Control::Refused(Refusal::Banned)),
        ("hub status", Control::HubStatus { members: 2500, spare: 300, hands: 2 }),
        ("hubs", Control::Hubs(List::truncated([HubRow { contact: contact(2), members: 2500, spare: 300 }]))),
    ]
}
