//! The floor in rooms of forty: at most three voices go down the tree, and what the audience hears of the others.

use std::{collections::BTreeSet, time::Duration};

use crate::support::{Ix, World};
use treehouse_room::{Cheap, Event, Instant, Protection, Suspicion};

const SECOND: Duration = Duration::from_secs(1);
const SPEAKERS: [Ix; 5] = [1, 2, 3, 4, 5];

/// Forty members; the first five are on stage and silent.
fn room(seed: u64) -> World<Cheap> {
    room_of(40, seed)
}

fn room_of(members: usize, seed: u64) -> World<Cheap> {
    let mut world = World::new(seed, Protection::Relays);
    world.open(4);
    world.join_many(members, 4, 4);
    world.run_for(6 * SECOND);
    for ix in SPEAKERS {
        world.nodes[ix].minus_dbov = 127;
        world.speak(ix);
    }
    world.run_for(3 * SECOND);
    // They were on stage with something to say; from now on they are silent and then speak when told to.
    for ix in SPEAKERS {
        world.nodes[ix].speaking = false;
    }
    world.run_for(SECOND);
    world
}

fn talk(world: &mut World<Cheap>, ix: Ix, minus_dbov: u8) {
    world.nodes[ix].minus_dbov = minus_dbov;
    world.resume(ix);
}

/// Those who never speak and do not host.
fn audience(world: &World<Cheap>) -> Vec<Ix> {
    world.inside().into_iter().filter(|ix| *ix != 0 && !SPEAKERS.contains(ix)).collect()
}

/// Whose voices a node has played since a time.
fn heard(world: &World<Cheap>, ix: Ix, since: Instant) -> BTreeSet<Ix> {
    let played = world.nodes[ix].played.iter().filter(|(_, at)| **at >= since);
    let of = |voice| SPEAKERS.into_iter().find(|speaker| world.nodes[*speaker].voice == Some(voice));
    played.filter_map(|((voice, _), _)| of(*voice)).collect()
}

fn floor(world: &World<Cheap>, ix: Ix) -> BTreeSet<Ix> {
    let last = world.nodes[ix].events.iter().rev().find_map(|(_, event)| match event {
        Event::Floor(speakers) => Some(speakers),
        _ => None,
    });
    last.into_iter().flatten().map(|speaker| world.index[speaker]).collect()
}

#[test]
fn of_five_who_speak_at_once_the_audience_hears_three_and_the_stage_all() {
    let mut world = room(30);
    for ix in SPEAKERS {
        talk(&mut world, ix, 30);
    }
    world.run_for(SECOND);
    let from = world.now;
    world.run_for(4 * SECOND);
    let to = world.now;
    world.run_for(SECOND);
    let chosen = floor(&world, 0);
    assert_eq!(chosen.len(), 3);
    for ix in audience(&world) {
        assert_eq!(heard(&world, ix, from), chosen, "node {ix}");
        assert_eq!(floor(&world, ix), chosen, "node {ix} is told");
        for speaker in &chosen {
            world.assert_heard(*speaker, ix, from, to);
        }
    }
    for ix in SPEAKERS {
        for speaker in SPEAKERS.into_iter().filter(|speaker| *speaker != ix) {
            world.assert_heard(speaker, ix, from, to);
        }
    }
}

#[test]
fn the_place_of_one_that_falls_silent_goes_to_the_next_and_no_frame_of_it_is_lost() {
    let mut world = room(31);
    for ix in [1, 2, 3] {
        talk(&mut world, ix, 30);
    }
    world.run_for(2 * SECOND);
    world.nodes[2].speaking = false;
    world.run_for(Duration::from_millis(400));
    assert_eq!(floor(&world, 0), [1, 2, 3].into(), "nobody else wants it");
    let from = world.now;
    talk(&mut world, 4, 50);
    world.run_for(2 * SECOND);
    let to = world.now;
    world.run_for(SECOND);
    assert_eq!(floor(&world, 0), [1, 3, 4].into());
    for ix in audience(&world) {
        world.assert_heard(4, ix, from, to);
    }
}

#[test]
fn a_louder_voice_is_let_in_from_the_start_of_its_challenge_on() {
    let mut world = room(32);
    for (ix, minus_dbov) in [(1, 30), (2, 30), (3, 40)] {
        talk(&mut world, ix, minus_dbov);
    }
    world.run_for(2 * SECOND);
    talk(&mut world, 4, 37);
    world.run_for(2 * SECOND);
    assert_eq!(floor(&world, 0), [1, 2, 3].into(), "3 dB are not enough");
    let from = world.now;
    world.nodes[4].minus_dbov = 25;
    world.run_for(2 * SECOND);
    let to = world.now;
    world.run_for(SECOND);
    assert_eq!(floor(&world, 0), [1, 2, 4].into());
    for ix in audience(&world) {
        // Smoothing takes a frame or two before the challenge begins.
        world.assert_heard(4, ix, from.after(Duration::from_millis(60)), to);
        assert!(!heard(&world, ix, from.after(SECOND)).contains(&3), "the quietest goes down no more");
    }
    // Each root has sent down what the host's account counts.
    let withheld = |event: &Event| matches!(event, Event::Suspected { reason: Suspicion::Withheld, .. });
    let accusers = world.nodes.iter().filter(|node| node.events.iter().any(|(_, event)| withheld(event)));
    assert_eq!(accusers.count(), 0, "somebody is thought to withhold");
}

#[test]
fn a_large_audience_hears_three_too_three_frames_a_packet() {
    let mut world = room_of(80, 33);
    for ix in SPEAKERS {
        talk(&mut world, ix, 30);
    }
    world.run_for(SECOND);
    let from = world.now;
    world.run_for(2 * SECOND);
    let to = world.now;
    world.run_for(SECOND);
    let chosen = floor(&world, 0);
    for ix in audience(&world) {
        assert_eq!(heard(&world, ix, from), chosen, "node {ix}");
        for speaker in &chosen {
            world.assert_heard(*speaker, ix, from, to);
        }
    }
}

/// Some relay of the host may have no standby: it misses some until one that it is linked to has a slot.
#[test]
fn a_host_that_dies_silences_nobody() {
    let (mut deaf, mut cut, mut members) = (0, 0, 0);
    for seed in 34..46 {
        let mut world = room(seed);
        for ix in SPEAKERS {
            talk(&mut world, ix, 30);
        }
        world.run_for(2 * SECOND);
        let (chosen, from) = (floor(&world, 1), world.now);
        world.crash(0);
        world.run_for(4 * SECOND);
        let audience = audience(&world);
        members += audience.len();
        let heard_all = |ix: &&Ix| heard(&world, **ix, from.after(SECOND)).is_superset(&chosen);
        let here = audience.len() - audience.iter().filter(heard_all).count();
        assert!(seed != 38 || here == 0, "in this room all have a standby, and {here} missed some");
        deaf += here;
        // With nobody to choose, all may be heard.
        world.run_for(4 * SECOND);
        let from = world.now;
        world.run_for(2 * SECOND);
        cut += audience.into_iter().filter(|ix| heard(&world, *ix, from) != SPEAKERS.into()).count();
    }
    println!("{deaf} of {members} missed some, {cut} still six seconds later");
    assert!(deaf <= 7 && cut == 0, "{deaf} of {members} in twelve rooms missed some, {cut} still six seconds later");
}

#[test]
fn a_speaker_that_nobody_can_dial_is_heard_when_the_host_dies() {
    let mut world = World::new(35, Protection::Relays);
    world.open(3);
    for n in 0..24 {
        world.join(if n < 10 { 4 } else { 0 });
        world.run_for(300 * Duration::from_millis(1));
    }
    world.run_for(15 * SECOND);
    let inside = world.inside();
    let root = inside.iter().copied().find(|ix| *ix != 0 && world.room(*ix).view().root).expect("a co-root");
    let strange = |ix: &Ix| world.room(*ix).view().children_max == 0 && !world.nodes[*ix].links.contains_key(&root);
    let speaker = inside.into_iter().find(strange).expect("a leaf without a link to the co-root");
    world.speak(speaker);
    world.run_for(10 * SECOND);
    assert!(world.nodes[speaker].links.contains_key(&root), "it has dialled the co-root");
    let from = world.now;
    world.crash(0);
    world.run_for(4 * SECOND);
    let to = world.now;
    world.run_for(SECOND);
    for ix in world.inside().into_iter().filter(|ix| *ix != speaker) {
        world.assert_heard(speaker, ix, from.after(SECOND), to);
    }
}
