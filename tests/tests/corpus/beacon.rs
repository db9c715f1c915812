//! Beacons, stage lists, and the pieces of a list.

use treehouse_invite::{Beacon, Carried, MediaClaim, Role, Stage, StageMember, StateList};
use treehouse_tests::fuzz::{
    people::{ALICE, BOB, FOUNDER, MALLORY, Person, room},
    statements::{Pieces, kind},
};
use treehouse_wire::{
    Blob, Control, Domain, FrameNumber, List, RoomId, Shipped,
    control::{Name, Statement},
    encode,
    limits::{STAGE_MAX, STATE_PART_BYTES_MAX},
};

use crate::{Seed, certificate::stated, seed};

pub fn seeds() -> Vec<Seed> {
    [beacons(), lists(), pieces()].into_iter().flatten().collect()
}

fn beacons() -> Vec<Seed> {
    let voice = |person: u8| Person(person).media_key().voice();
    let carried = Carried { voice: voice(50), first: FrameNumber(100), last: FrameNumber(149), count: 50 };
    let beacon = Beacon {
        state: (0, 7),
        number: 12,
        chosen: List::truncated([voice(50), voice(51)]),
        carried: List::truncated([carried]),
    };
    let of = |statement: Statement| [vec![kind::BEACON], encode(&statement)].concat();
    let by = |person, room: &RoomId| of(stated(Domain::Beacon, person, room, &beacon));
    let four = ((0_u16, 7_u32), 12_u32, vec![voice(50); 4], Vec::<Carried>::new());
    vec![
        seed("beacon", by(FOUNDER, &room()), "Accepted"),
        seed("beacon-forged", by(MALLORY, &room()), "Statement(BadSignature)"),
        seed("beacon-wrongly-bound-to-another-room", by(FOUNDER, &RoomId([0; 32])), "Statement(BadSignature)"),
        seed(
            "beacon-wrongly-bound-signed-as-a-state",
            of(stated(Domain::RoomState, FOUNDER, &room(), &beacon)),
            "Statement(BadSignature)",
        ),
        seed(
            "beacon-malformed-four-voices",
            of(stated(Domain::Beacon, FOUNDER, &room(), &four)),
            "Statement(Malformed(Malformed))",
        ),
        seed("malformed-kind-that-is-none", [0], "Decode(UnknownKind(0))"),
    ]
}

fn member(person: Person, voice: Option<u8>) -> StageMember {
    let claim = voice
        .map(|voice| MediaClaim::sign(&Shipped, &person.signer(), &room(), &person.node(), Person(voice).media_key()));
    StageMember { node: person.node(), role: Role::Speaker, name: Name::cleaned("A name of a usual length"), claim }
}

fn stage() -> Stage {
    Stage::new(vec![member(ALICE, Some(50)), member(BOB, None), member(FOUNDER, Some(51))]).expect("three")
}

fn full_stage() -> Stage {
    let members = (0..STAGE_MAX as u8).map(|n| member(Person(100 + n), Some(200 - n)));
    Stage::new(members.collect()).expect("a full stage")
}

fn lists() -> Vec<Seed> {
    let list = |members: &[StageMember]| [vec![kind::STAGE], encode(members)].concat();
    let good = stage().members().to_vec();
    let mut turned = good.clone();
    turned.reverse();
    let mut stolen = good.clone();
    // Bob shows Alice's claim as his own.
    let of_alice = member(ALICE, Some(52)).claim;
    stolen.iter_mut().filter(|member| member.node == BOB.node()).for_each(|member| member.claim = of_alice);
    let mut twice = good.clone();
    twice.iter_mut().filter(|of| of.node == BOB.node()).for_each(|of| of.claim = member(BOB, Some(50)).claim);
    let many = vec![member(ALICE, None); STAGE_MAX + 1];
    vec![
        seed("list", list(&good), "Accepted"),
        seed("list-malformed-out-of-order", list(&turned), "Decode(NotCanonical)"),
        seed("list-malformed-a-voice-twice", list(&twice), "Decode(NotCanonical)"),
        seed("list-malformed-51-members", list(&many), "Decode(Malformed)"),
        seed("list-wrongly-bound-claim-of-another", list(&stolen), "Forged"),
    ]
}

fn pieces() -> Vec<Seed> {
    let of = |digest: [u8; 32], pieces: Pieces| [vec![kind::PIECES], digest.to_vec(), encode(&pieces)].concat();
    let cut = |stage: &Stage| -> Vec<(u8, u8, Blob<STATE_PART_BYTES_MAX>)> {
        let parts = stage.parts().into_iter();
        parts
            .filter_map(|part| {
                if let Control::StatePart { index, of, part, .. } = part { Some((index, of, part)) } else { None }
            })
            .collect()
    };
    let (small, full) = (stage(), full_stage());
    let all = |stage: &Stage| List::truncated(cut(stage));
    let short = |(index, of, part): (u8, u8, Blob<STATE_PART_BYTES_MAX>)| {
        (index, of, Blob::truncated(part.iter().copied().take(100)))
    };
    vec![
        seed("pieces-of-a-short-list", of(small.digest(), all(&small)), "Accepted"),
        seed(
            "pieces-of-a-full-list-last-first",
            of(full.digest(), List::truncated(cut(&full).into_iter().rev())),
            "Accepted",
        ),
        seed("pieces-incomplete", of(full.digest(), List::truncated(cut(&full).into_iter().skip(1))), "Incomplete"),
        seed("pieces-replayed", of(full.digest(), List::truncated(vec![cut(&full)[0].clone(); 3])), "Incomplete"),
        seed(
            "pieces-wrongly-bound-to-another-digest",
            of([0xd1; 32], all(&small)),
            "Decode(OutOfRange(\"the list's digest\"))",
        ),
        seed(
            "pieces-malformed-number",
            of(small.digest(), List::truncated([(1, 1, Blob::truncated([1]))])),
            "Decode(OutOfRange(\"number of the part\"))",
        ),
        seed(
            "pieces-malformed-five-of-them",
            of(small.digest(), List::truncated([(0, 5, Blob::truncated([1]))])),
            "Decode(OutOfRange(\"number of the part\"))",
        ),
        seed(
            "pieces-malformed-short-before-the-last",
            of(full.digest(), List::truncated(cut(&full).into_iter().map(short))),
            "Decode(TooShort { len: 100, min: 3800 })",
        ),
    ]
}
