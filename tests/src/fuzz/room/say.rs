//! Control messages as the target makes them from a few bytes: well-formed, and right or wrong in what they say.
//!
//! Random bytes seldom decode, and never with a signature that holds; what stands behind the parser and the signatures would
//! not be reached by them.

use treehouse_invite::{Ban, Banned, Bans, Beacon, Carried, Protection, RoomState, Stage, StageMember, StateList};
use treehouse_room::Cheap;
use treehouse_wire::{
    Blob, Contact, Control, Epoch, FrameNumber, List, Losses, NodeId, NodeTag, RoomKey, Signature, UnixSeconds,
    control::{
        Admitted, Adoption, Decline, Farewell, HubRow, Join, Name, Placement, Position, Purpose, Rank, Record, Refusal,
        Report, Statement, Status, Subscribe, Tick,
    },
};

use super::{
    cast::{Cast, ME, PEERS},
    script::Script,
};

const PURPOSES: [Purpose; 5] =
    [Purpose::Primary, Purpose::LiveStandby, Purpose::IdleStandby, Purpose::Provisional, Purpose::Stage];
const REFUSALS: [Refusal; 9] = [
    Refusal::Invalid,
    Refusal::OtherRoom,
    Refusal::Expired,
    Refusal::NotYetValid,
    Refusal::UsedUp,
    Refusal::NotGranted,
    Refusal::NotHost,
    Refusal::RoomFull,
    Refusal::Busy,
];
const DECLINES: [Decline; 6] =
    [Decline::NotCertified, Decline::Full, Decline::Order, Decline::NoFeed, Decline::Leaving, Decline::NotOnStage];
const FAREWELLS: [Farewell; 4] = [Farewell::Leaving, Farewell::RoomClosed, Farewell::Unused, Farewell::Misbehaved];

fn pick<T: Copy, const N: usize>(of: [T; N], script: &mut Script<'_>) -> T {
    of[usize::from(script.byte()) % N]
}

/// Somebody, the node under test among them.
fn anyone(script: &mut Script<'_>) -> u8 {
    script.byte() % (ME + 1)
}

/// Somebody, or nobody where the byte is large.
fn perhaps(script: &mut Script<'_>) -> Option<u8> {
    Some(script.byte()).filter(|who| *who <= ME)
}

fn some_of<T, const N: usize>(script: &mut Script<'_>, item: impl Fn(&mut Script<'_>) -> T) -> List<T, N> {
    let count = usize::from(script.byte() % 8);
    List::truncated((0..count).map(|_| item(script)))
}

fn rank(script: &mut Script<'_>) -> Rank {
    Rank { depth: script.byte(), admission: u32::from(script.byte()) }
}

fn position(script: &mut Script<'_>) -> Position {
    let [a, b, c, d] = [(); 4].map(|()| script.byte());
    Position { at: [i16::from(a) * 100 - 9000, i16::from(b) * 100, i16::MIN], height: u16::from(c) * 257, error: d }
}

fn tick(from: u8, script: &mut Script<'_>) -> Tick {
    let mut path: Vec<NodeTag> =
        some_of::<_, 8>(script, |script| Cast::node(anyone(script)).tag()).iter().copied().collect();
    path.push(Cast::node(from).tag());
    Tick {
        path: List::truncated(path),
        rank: rank(script),
        state: (0, u32::from(script.byte())),
        repairing: script.byte() & 1 == 1,
        members: script.number(),
        position: position(script),
        delay_ms: u16::from(script.byte()) * 257,
    }
}

fn status(script: &mut Script<'_>) -> Status {
    let feed = |script: &mut Script<'_>| perhaps(script).map(|who| Cast::node(who).tag());
    Status {
        parent: feed(script),
        standby: feed(script),
        rank: rank(script),
        children: script.byte(),
        standbys: script.byte(),
        slots: script.byte(),
        position: (script.byte() & 1 == 1).then(|| position(script)),
        delay_ms: u16::from(script.byte()),
    }
}

/// Who is on stage: those whose bit is set, each with its voice.
fn stage(cast: Cast, mask: u8) -> Stage {
    let on = (0..=ME).filter(|who| mask & (1 << who) != 0);
    let member = |who| StageMember {
        node: Cast::node(who),
        role: treehouse_invite::Role::Speaker,
        name: Name::cleaned("a speaker"),
        claim: Some(cast.claim(who, who)),
    };
    Stage::new(on.map(member).collect()).expect("different nodes and voices")
}

/// Nobody is banned, or one neighbour.
fn bans(flags: u8) -> Bans {
    let mut bans = Bans::default();
    if flags & 8 == 8 {
        bans.add(Ban { who: Banned::Node(Cast::node(1 + flags % 3)), until: UnixSeconds(u64::MAX) });
    }
    bans
}

/// A state: version, stage, and a byte whose bits are k, recording, and who signs.
fn state(cast: Cast, from: u8, script: &mut Script<'_>) -> Statement {
    let (version, mask, flags) = (script.byte(), script.byte(), script.byte());
    let state = RoomState {
        host: Cast::node(cast.host),
        term: 0,
        version: u32::from(version),
        epoch: Epoch::default(),
        protection: [Protection::Off, Protection::Relays, Protection::All][usize::from(flags >> 4) % 3],
        frames_per_packet: if flags & 1 == 1 { 3 } else { 1 },
        recording: flags & 2 == 2,
        co_root: perhaps(script).map(Cast::node),
        members: u32::from(script.byte()),
        stage_digest: stage(cast, mask).digest(),
        bans_digest: bans(flags).digest(),
        key_digest: cast.room_key().digest(&cast.room(), Epoch::default()),
    };
    state.sign(&Cheap, &Cast::seed(if flags & 4 == 4 { from } else { cast.host }), &cast.room())
}

fn beacon(cast: Cast, from: u8, script: &mut Script<'_>) -> Statement {
    let (number, flags) = (script.byte(), script.byte());
    let voice = |script: &mut Script<'_>| Cast::media_key(anyone(script)).voice();
    let beacon = Beacon {
        state: (0, u32::from(script.byte())),
        number: u32::from(number),
        chosen: some_of(script, voice),
        carried: some_of(script, |script| Carried {
            voice: voice(script),
            first: FrameNumber(u32::from(script.byte())),
            last: FrameNumber(script.number()),
            count: script.number(),
        }),
    };
    beacon.sign(&Cheap, &Cast::seed(if flags & 1 == 1 { from } else { cast.host }), &cast.room())
}

/// A lease where the byte says so; most certificates have none.
fn lease(cast: Cast, script: &mut Script<'_>) -> Option<Statement> {
    let which = script.byte();
    (which & 0x40 != 0).then(|| cast.lease(which % PEERS, (which >> 3) % 3))
}

fn record(script: &mut Script<'_>) -> Record {
    let who = anyone(script);
    Record {
        node: Cast::node(who),
        profile: Cast::profile(script.byte()),
        role: script.byte() % 6,
        admission: u32::from(script.byte()),
        lineage: Cast::lineage(who),
        age_s: script.number(),
        counter: u32::from(script.byte()),
        status: status(script),
    }
}

fn report(cast: Cast, script: &mut Script<'_>) -> Report {
    let (kind, by) = (script.byte(), anyone(script));
    let node = Cast::node(by);
    match kind & 3 {
        0 | 2 => Report::Status { node, status: status(script) },
        1 if kind & 4 == 4 => cast.complaint(by, anyone(script), kind),
        1 => Report::Gone { node, polite: false },
        _ => Report::Gone { node, polite: true },
    }
}

/// A message of this number, as section 9 of the protocol counts them, from `from`.
pub fn message(cast: Cast, from: u8, number: u8, script: &mut Script<'_>) -> Control {
    match number % 37 {
        0..=5 => entering(cast, from, number % 37, script),
        6 => Control::Refused(pick(REFUSALS, script)),
        number @ 7..=12 => placing(cast, number, script),
        number @ 13..=18 => feeding(cast, from, number, script),
        number @ 19..=24 => stating(cast, from, number, script),
        number => leading(cast, number, script),
    }
}

fn entering(cast: Cast, from: u8, number: u8, script: &mut Script<'_>) -> Control {
    match number {
        0 => Control::Ping { nonce: script.number() },
        1 => Control::Pong { nonce: script.number() },
        2 => Control::Bye(pick(FAREWELLS, script)),
        3 => {
            let (kind, as_who, flags) = (script.byte(), script.byte(), script.byte());
            let who = if as_who <= ME { as_who } else { from };
            let (host, node) = (Cast::node(cast.host), Cast::node(who));
            let redeemed = cast.invite(kind).redeem(&Cheap, &Cast::seed(who), &node, &host);
            let (chain, proof) = redeemed.expect("a bearer invite");
            let proof = if flags & 2 == 2 { Signature([3; 64]) } else { proof };
            Control::Join(Box::new(Join { chain, proof, profile: Cast::profile(from), direct: flags & 1 == 1 }))
        }
        4 => {
            let (who, kind, flags) = (perhaps(script).unwrap_or(from), script.byte(), script.byte());
            let (certificate, lease) = (cast.certificate(who, kind), lease(cast, script));
            Control::Resume { certificate, lease, profile: Cast::profile(flags), direct: flags & 1 == 1 }
        }
        _ => {
            let (who, kind) = (perhaps(script).unwrap_or(ME), script.byte());
            Control::Admitted(Box::new(Admitted {
                charter: cast.charter().sign(&Cheap, &Cast::seed(cast.host)),
                certificate: cast.certificate(who, kind),
                lease: lease(cast, script),
                host: Cast::contact(cast.host).addresses,
                epoch: Epoch::default(),
                key: (kind & 0x40 == 0).then(|| cast.room_key()),
            }))
        }
    }
}

fn placing(cast: Cast, number: u8, script: &mut Script<'_>) -> Control {
    let contact = |script: &mut Script<'_>| Cast::contact(anyone(script));
    match number {
        7 => Control::Seek {
            failed: some_of(script, |script| Cast::node(anyone(script))),
            review: script.byte() & 1 == 1,
        },
        8 => Control::Offer { round: u32::from(script.byte()), candidates: some_of(script, contact) },
        9 => {
            let trip = |script: &mut Script<'_>| {
                let node = Cast::node(anyone(script));
                (node, Some(u16::from(script.byte())).filter(|ms| *ms < 250))
            };
            Control::Measured { round: u32::from(script.byte()), round_trip_ms: some_of(script, trip) }
        }
        10 => Control::Placement(Box::new(Placement {
            counter: u32::from(script.byte()),
            rank: rank(script),
            parent: contact(script),
            adopts: perhaps(script).map(Cast::node),
            standby: perhaps(script).map(Cast::contact),
            spares: some_of(script, contact),
            position: position(script),
            review_s: u16::from(script.byte()),
        })),
        11 => Control::Status(status(script)),
        _ => Control::Reports(some_of(script, |script| report(cast, script))),
    }
}

fn feeding(cast: Cast, from: u8, number: u8, script: &mut Script<'_>) -> Control {
    match number {
        13 => {
            let (who, kind) = (perhaps(script).unwrap_or(from), script.byte());
            let adoption = |leaf| Adoption { leaf: Cast::node(leaf), addresses: Cast::contact(from).addresses };
            Control::Subscribe(Box::new(Subscribe {
                certificate: cast.certificate(who, kind),
                lease: lease(cast, script),
                purpose: pick(PURPOSES, script),
                relay: (script.byte() & 1 == 1).then(|| rank(script)),
                adopts: perhaps(script).map(adoption),
                replay: script.byte() & 1 == 1,
                from: some_of(script, |script| (Cast::media_key(anyone(script)).voice(), FrameNumber(script.number()))),
            }))
        }
        14 => Control::Subscribed { purpose: pick(PURPOSES, script), tick: tick(from, script) },
        15 => Control::Declined { purpose: pick(PURPOSES, script), reason: pick(DECLINES, script) },
        16 => Control::Unsubscribe,
        17 => Control::Moved(Cast::contact(anyone(script))),
        _ => Control::Tick(tick(from, script)),
    }
}

fn stating(cast: Cast, from: u8, number: u8, script: &mut Script<'_>) -> Control {
    match number {
        19 => {
            let of = script.byte();
            // For another, or of another's key, of which `from` has seen only what its owner has proved.
            let (who, voice) = match of >> 6 {
                0 | 1 => (from, from),
                2 => (1, of % (ME + 1)),
                _ => (from, of % (ME + 1)),
            };
            let claim = (of != 0xff).then(|| (cast.claim(who, voice), cast.held(voice)));
            Control::Hand { claim: claim.map(|(claim, proof)| (claim.key, claim.signature, proof)) }
        }
        20 => Control::State(state(cast, from, script)),
        21 => {
            let (mask, flags) = (script.byte(), script.byte());
            let parts = if flags & 0x80 == 0x80 { bans(mask).parts() } else { stage(cast, mask).parts() };
            let Some(Control::StatePart { digest, index, of, part }) = parts.into_iter().last() else {
                return Control::StateWanted;
            };
            // The piece as it is, or cut, or of a list that is said to have more pieces.
            let kept = if flags & 1 == 1 { part.len() / 2 } else { part.len() };
            let of = if flags & 2 == 2 { flags >> 2 } else { of };
            Control::StatePart { digest, index, of, part: Blob::truncated(part.iter().copied().take(kept)) }
        }
        22 => Control::StateWanted,
        23 => Control::StageContact(Cast::contact(anyone(script))),
        _ => Control::Beacon(beacon(cast, from, script)),
    }
}

fn leading(cast: Cast, number: u8, script: &mut Script<'_>) -> Control {
    let contact = |script: &mut Script<'_>| Cast::contact(anyone(script));
    let tag = |script: &mut Script<'_>| Cast::node(anyone(script)).tag();
    match number {
        25 => Control::Redirect { leaders: some_of(script, contact), direct: script.byte() & 1 == 1 },
        26 => {
            let (leader, before) = (anyone(script), anyone(script));
            let lease = cast.lease(leader, script.byte() % 3);
            Control::Leader { leader: Cast::contact(leader), before: Cast::node(before), lease }
        }
        27 => Control::LeaseWanted { node: contact(script), fresh: script.byte() & 1 == 1 },
        28 => Control::Lease {
            lease: cast.lease(anyone(script), script.byte() % 3),
            charter: cast.charter().sign(&Cheap, &Cast::seed(cast.host)),
            host: Cast::contact(cast.host).addresses,
        },
        29 => Control::Records(some_of(script, record)),
        30 => Control::HubStatus { members: script.number(), spare: script.number(), hands: u32::from(script.byte()) },
        31 => Control::Hubs(some_of(script, |script| {
            let contact: Contact = contact(script);
            HubRow { contact, members: script.number(), spare: script.number() }
        })),
        32 => Control::LeaderGone(NodeId(Cast::node(anyone(script)).0)),
        33 => Control::HandsWanted { count: script.byte() },
        34 => Control::Page { path: some_of(script, tag) },
        36 => Control::Losses(some_of(script, |script| {
            let losses = Losses(std::array::from_fn(|_| script.number()));
            (Cast::media_key(anyone(script)).voice(), losses)
        })),
        _ => {
            let epoch = Epoch { term: 0, number: u32::from(script.byte() % 3) };
            Control::Key { epoch, key: if script.byte() & 1 == 1 { RoomKey([9; 32]) } else { cast.room_key() } }
        }
    }
}
