//! The stage list: ordered, bounded, and put together from pieces that anyone may have sent.

mod support;

use support::*;
use treehouse_invite::{Assembly, MediaClaim, Role, Stage, StageMember, StateList};
use treehouse_wire::{
    Control, DecodeError, List, MediaKey, NodeId, RoomId, Shipped, Text, encode,
    limits::{STAGE_MAX, STATE_PART_BYTES_MAX},
};

fn member(person: Person, voice: Option<u8>) -> StageMember {
    let claim = voice.map(|voice| {
        MediaClaim::sign(&Shipped, &person.signer(), &room(), &person.node(), MediaKey(Person(voice).key()))
    });
    StageMember { node: person.node(), role: Role::Speaker, name: Text::cleaned("A name of a usual length"), claim }
}

fn full_stage() -> Stage {
    let members = (0..STAGE_MAX as u8).map(|n| member(Person(100 + n), Some(200 - n)));
    Stage::new(members.collect()).expect("a full stage")
}

#[test]
fn a_stage_is_ordered_by_node_and_reads_back() {
    let stage = Stage::new(vec![member(BOB, Some(50)), member(ALICE, None), member(FOUNDER, Some(51))]).expect("three");
    assert!(stage.members().is_sorted_by_key(|member| member.node));
    assert_eq!(stage.get(&ALICE.node()), Some(&member(ALICE, None)));
    assert_eq!(stage.get(&MALLORY.node()), None);
    assert_eq!(Stage::from_bytes(&stage.to_bytes()), Ok(stage.clone()));
    assert_eq!(Stage::from_bytes(&Stage::default().to_bytes()), Ok(Stage::default()));
    let reordered = Stage::new(vec![member(FOUNDER, Some(51)), member(BOB, Some(50)), member(ALICE, None)]);
    assert_eq!(reordered.map(|stage| stage.digest()), Some(stage.digest()), "one stage has one digest");
}

#[test]
fn nobody_and_no_voice_is_on_stage_twice() {
    assert_eq!(Stage::new(vec![member(ALICE, Some(50)), member(ALICE, None)]), None);
    assert_eq!(Stage::new(vec![member(ALICE, Some(50)), member(BOB, Some(50))]), None);
    let mut many: Vec<StageMember> = full_stage().members().to_vec();
    many.push(member(ALICE, None));
    assert_eq!(Stage::new(many.clone()), None, "51 members");
    assert_eq!(Stage::from_bytes(&encode(&many)), Err(DecodeError::Malformed));
}

#[test]
fn lists_out_of_order_or_with_somebody_twice_are_refused() {
    let (low, high) = if ALICE.node() < BOB.node() { (ALICE, BOB) } else { (BOB, ALICE) };
    let lists = [
        vec![member(high, None), member(low, None)],
        vec![member(low, None), member(low, None)],
        vec![member(low, Some(50)), member(high, Some(50))],
    ];
    for list in lists {
        assert_eq!(Stage::from_bytes(&encode(&list)), Err(DecodeError::NotCanonical));
    }
}

#[test]
fn each_voice_is_claimed_by_the_one_that_it_stands_beside() {
    assert!(full_stage().verify_claims(&Shipped, &room()));
    assert!(!full_stage().verify_claims(&Shipped, &RoomId([0; 32])));
    let stolen = StageMember { claim: member(ALICE, Some(50)).claim, ..member(MALLORY, None) };
    let stage = Stage::new(vec![stolen, member(BOB, Some(51))]).expect("well-formed");
    assert!(!stage.verify_claims(&Shipped, &room()));
}

/// The pieces of a stage.
fn pieces(stage: &Stage) -> Vec<([u8; 32], u8, u8, Vec<u8>)> {
    let piece = |message| match message {
        Control::StatePart { digest, index, of, part } => (digest, index, of, part.into_vec()),
        other => panic!("not a piece: {other:?}"),
    };
    stage.parts().into_iter().map(piece).collect()
}

#[test]
fn a_full_stage_travels_in_pieces_of_any_order() {
    let stage = full_stage();
    let pieces = pieces(&stage);
    assert_eq!(pieces.len(), 3);
    for message in stage.parts() {
        assert_eq!(Control::from_bytes(&message.to_bytes()), Ok(message));
    }
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut assembly = Assembly::<Stage>::new(stage.digest());
        let mut done = None;
        for at in order {
            let (digest, index, of, part) = &pieces[at];
            assert_eq!(done, None);
            // Each twice, as from two neighbours.
            for _ in 0..2 {
                done = done.or(assembly.add(*digest, *index, *of, part).expect("a good piece"));
            }
        }
        assert_eq!(done.as_ref(), Some(&stage));
    }
}

#[test]
fn a_small_stage_is_one_piece() {
    for stage in [Stage::default(), Stage::new(vec![member(ALICE, None)]).expect("one")] {
        let [(digest, 0, 1, part)] = &pieces(&stage)[..] else { panic!("one piece") };
        assert_eq!(Assembly::<Stage>::new(*digest).add(*digest, 0, 1, part), Ok(Some(stage)));
    }
}

#[test]
fn pieces_of_another_list_are_left_aside() {
    let (wanted, other) = (full_stage(), Stage::new(vec![member(ALICE, None)]).expect("one"));
    let mut assembly = Assembly::<Stage>::new(wanted.digest());
    assert_eq!(assembly.digest(), &wanted.digest());
    let (digest, index, of, part) = &pieces(&other)[0];
    assert_eq!(assembly.add(*digest, *index, *of, part), Ok(None));
}

#[test]
fn a_lying_neighbour_can_spoil_a_collection_but_not_block_the_next() {
    let stage = full_stage();
    let good = pieces(&stage);
    let mut assembly = Assembly::<Stage>::new(stage.digest());
    let mut spoilt = good[0].3.clone();
    spoilt[10] ^= 1;
    assert_eq!(assembly.add(stage.digest(), 0, 3, &spoilt), Ok(None));
    assert_eq!(assembly.add(stage.digest(), 1, 3, &good[1].3), Ok(None));
    // Who completes it need not be the one that lied.
    assert_eq!(assembly.add(stage.digest(), 2, 3, &good[2].3), Ok(None));
    // Another lie, about how many there are.
    assert_eq!(assembly.add(stage.digest(), 0, 4, &good[0].3), Ok(None));
    let mut done = None;
    for (digest, index, of, part) in &good {
        done = assembly.add(*digest, *index, *of, part).expect("a good piece");
    }
    assert_eq!(done, Some(stage));
}

#[test]
fn a_lie_in_one_piece_is_its_senders() {
    let stage = Stage::new(vec![member(ALICE, None)]).expect("one");
    let mut spoilt = stage.to_bytes();
    spoilt[10] ^= 1;
    let refused = Assembly::<Stage>::new(stage.digest()).add(stage.digest(), 0, 1, &spoilt);
    assert_eq!(refused, Err(DecodeError::OutOfRange("the list's digest")));
}

#[test]
fn pieces_out_of_range_are_refused() {
    let digest = [1; 32];
    let full = vec![0; STATE_PART_BYTES_MAX];
    let add = |index, of, part: &[u8]| Assembly::<Stage>::new(digest).add(digest, index, of, part);
    for (index, of) in [(0, 0), (0, 5), (0, 255), (1, 1), (4, 4), (255, 4)] {
        assert_eq!(add(index, of, &full), Err(DecodeError::OutOfRange("number of the part")));
    }
    let max = STATE_PART_BYTES_MAX;
    assert_eq!(add(0, 1, &[]), Err(DecodeError::TooShort { len: 0, min: 1 }));
    assert_eq!(add(0, 2, &full[1..]), Err(DecodeError::TooShort { len: max - 1, min: max }));
    assert_eq!(add(0, 1, &vec![0; max + 1]), Err(DecodeError::TooLong { len: max + 1, max }));
}

#[test]
fn a_list_that_the_host_signed_but_that_is_malformed_is_refused() {
    use sha2::{Digest, Sha256};
    let bytes = encode(&List::<NodeId, 4>::truncated([ALICE.node()]));
    let digest = Sha256::digest(&bytes).into();
    assert_eq!(Assembly::<Stage>::new(digest).add(digest, 0, 1, &bytes), Err(DecodeError::Malformed));
}
