//! Rooms whose network loses packets: what comes late for that accuses nobody, and who hears by such links is protected more.

use std::time::Duration;

use crate::support::{CALM, Ix, Weather, World};
use treehouse_room::{Cheap, Event, Instant, Protection, Suspicion};
use treehouse_wire::control::Purpose;

const SECOND: Duration = Duration::from_secs(1);
const LOSSY: Weather = Weather { loss: 0.03, ..CALM };

/// A room whose tree takes packets of three frames, with a co-root, a speaker who is no root, and loss since now.
fn lossy_room(protection: Protection, seed: u64) -> World<Cheap> {
    let mut world = World::new(seed, protection);
    world.open(6);
    world.join_many(70, 4, 6);
    world.run_for(8 * SECOND);
    let speaker = world.inside().into_iter().find(|ix| !world.room(*ix).view().root).expect("not all are roots");
    world.speak(speaker);
    world.run_for(4 * SECOND);
    assert!(world.inside().iter().filter(|ix| world.room(**ix).view().root).count() == 2, "there is a co-root");
    world.weather = LOSSY;
    world
}

/// How often one suspected another for a reason in a span.
fn suspicions(world: &World<Cheap>, of: Suspicion, from: Instant, to: Instant) -> usize {
    let events = world.nodes.iter().flat_map(|node| &node.events);
    let wanted = |event: &Event| matches!(event, Event::Suspected { reason, .. } if *reason == of);
    events.filter(|(at, event)| *at >= from && *at < to && wanted(event)).count()
}

fn listens_twice(world: &World<Cheap>, ix: Ix) -> bool {
    world.room(ix).view().feeds.iter().any(|feed| feed.purpose == Purpose::LiveStandby)
}

#[test]
fn packets_that_are_late_for_loss_accuse_nobody_of_keeping_them_back() {
    for seed in 1..4 {
        let mut world = lossy_room(Protection::All, seed);
        let from = world.now;
        world.run_for(40 * SECOND);
        // 140 feeds, each judged some 15 times.
        let missing = suspicions(&world, Suspicion::Missing, from, world.now);
        assert!(missing <= 2, "{missing} times in 40 s, seed {seed}");
    }
}

#[test]
fn who_hears_by_a_link_that_loses_packets_is_patient_and_listens_twice() {
    let mut world = lossy_room(Protection::Relays, 1);
    let leaves = |world: &World<Cheap>| -> Vec<Ix> {
        let leaf = |ix: &Ix| world.room(*ix).view().children.is_empty() && !world.room(*ix).view().root;
        world.inside().into_iter().filter(leaf).collect()
    };
    let before = leaves(&world).iter().filter(|ix| listens_twice(&world, **ix)).count();
    // Two gaps within ten seconds tell, long before two packets in a row are lost.
    world.run_for(20 * SECOND);
    let from = world.now;
    world.run_for(100 * SECOND);
    let silent = suspicions(&world, Suspicion::Silent, from, world.now);
    println!("{silent} suspicions of silence in 100 s");
    assert!(silent <= 5, "{silent} in 100 s");
    let twice = leaves(&world).iter().filter(|ix| listens_twice(&world, **ix)).count();
    assert!(before == 0 && twice * 3 > leaves(&world).len(), "{before}, then {twice} of {}", leaves(&world).len());
    world.weather = CALM;
    world.run_for(330 * SECOND);
    let calm = leaves(&world).iter().filter(|ix| listens_twice(&world, **ix)).count();
    assert!(calm * 10 < twice, "{calm} of {twice} five minutes after the last packet was lost");
}
