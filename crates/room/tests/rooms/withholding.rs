//! Relays that keep something back: their children leave them, and nobody who is honest.

use std::{collections::BTreeSet, time::Duration};

use crate::support::{Ix, Withholds, World};
use treehouse_room::{Cheap, Event, Protection, Suspicion};
use treehouse_wire::control::Purpose;

const SECOND: Duration = Duration::from_secs(1);
/// A parent that withholds is left within this.
const LEFT: Duration = Duration::from_secs(3);

/// A room where the host and one member talk.
fn room(protection: Protection, seed: u64) -> World<Cheap> {
    let mut world = World::new(seed, protection);
    world.open(6);
    world.join_many(50, 3, 6);
    world.speak(0);
    world.speak(20);
    world.run_for(15 * SECOND);
    world
}

fn parent(world: &World<Cheap>, ix: Ix) -> Option<Ix> {
    let view = world.room(ix).view();
    view.feeds.iter().find(|of| of.purpose == Purpose::Primary).map(|of| world.index[&of.node])
}

/// The relay with most children that is no root and on no stage, and its children.
fn busiest(world: &World<Cheap>) -> (Ix, Vec<Ix>) {
    let children =
        |relay: Ix| world.inside().into_iter().filter(|ix| *ix != 0 && parent(world, *ix) == Some(relay)).collect();
    let relays = world.inside().into_iter().filter(|ix| *ix != 0 && *ix != 20 && !world.room(*ix).view().root);
    relays.map(|relay| (relay, children(relay))).max_by_key(|(_, of): &(Ix, Vec<Ix>)| of.len()).expect("a relay")
}

/// A relay begins to withhold; how long its children took to leave it, and whom else anyone left for it.
fn withhold(world: &mut World<Cheap>, what: Withholds) -> (Vec<Duration>, BTreeSet<Ix>) {
    let (relay, children) = busiest(world);
    assert!(children.len() >= 2, "{children:?}");
    world.hostile.insert(world.nodes[relay].id);
    world.withholds.insert(relay, what);
    let from = world.now;
    let mut left = vec![None; children.len()];
    while world.now.since(from) < 8 * SECOND {
        world.run_for(Duration::from_millis(20));
        for (child, at) in children.iter().zip(&mut left) {
            if at.is_none() && parent(world, *child) != Some(relay) {
                *at = Some(world.now.since(from));
            }
        }
    }
    let mut others = BTreeSet::new();
    for node in &world.nodes {
        for (at, event) in &node.events {
            if let Event::Suspected { peer, reason: Suspicion::Withheld | Suspicion::Missing | Suspicion::Late } = event
                && *at >= from
                && world.index[peer] != relay
            {
                others.insert(world.index[peer]);
            }
        }
    }
    (left.into_iter().map(|at| at.unwrap_or(8 * SECOND)).collect(), others)
}

#[test]
fn a_parent_that_keeps_something_back_is_left_within_three_seconds() {
    for protection in [Protection::Off, Protection::Relays] {
        for seed in 1..6 {
            let world = room(protection, seed);
            let voice = world.nodes[20].voice;
            let third = Withholds { share: 0.3, ..Withholds::default() };
            let one = Withholds { share: 1.0, voice, ..Withholds::default() };
            let late = Withholds { late: 2 * SECOND, ..Withholds::default() };
            for what in [third, one, late] {
                let mut world = room(protection, seed);
                let (left, others) = withhold(&mut world, what);
                assert!(left.iter().all(|after| *after <= LEFT), "{protection:?}, {seed}, {what:?}: {left:?}");
                assert!(others.is_empty(), "honest ones are suspected: {others:?}, {protection:?}, {seed}, {what:?}");
            }
        }
    }
}

/// The ticks of each pause end the suspicion that the silence before it raised.
#[test]
fn a_parent_that_keeps_the_only_voice_back_is_left_although_it_ticks_in_the_pauses() {
    for protection in [Protection::Off, Protection::Relays, Protection::All] {
        for seed in 1..6 {
            let mut world = room(protection, seed);
            world.nodes[0].speaking = false;
            let (relay, children) = busiest(&world);
            world.hostile.insert(world.nodes[relay].id);
            let voice = world.nodes[20].voice;
            world.withholds.insert(relay, Withholds { share: 1.0, voice, ..Withholds::default() });
            let from = world.now;
            let is_left = |world: &World<Cheap>| children.iter().all(|child| parent(world, *child) != Some(relay));
            while !is_left(&world) && world.now.since(from) < 20 * SECOND {
                world.run_for(SECOND * 4 / 5);
                world.nodes[20].speaking = false;
                world.run_for(SECOND * 4 / 5);
                world.resume(20);
            }
            println!("{protection:?}, {seed}: {} children gone after {:?}", children.len(), world.now.since(from));
            assert!(is_left(&world), "{protection:?}, {seed}");
        }
    }
}

#[test]
fn nobody_is_suspected_where_nobody_withholds() {
    for seed in 1..6 {
        let mut world = room(Protection::Relays, seed);
        let crashed = busiest(&world).0;
        world.crash(crashed);
        world.run_for(20 * SECOND);
        let joins = world.join(4);
        world.run_for(20 * SECOND);
        assert!(world.room(joins).view().inside);
        let withheld = |event: &Event| matches!(event, Event::Suspected { reason: Suspicion::Withheld, .. });
        let said: Vec<_> = world
            .nodes
            .iter()
            .filter(|node| node.events.iter().any(|(_, event)| withheld(event)))
            .map(|node| node.id)
            .collect();
        assert!(said.is_empty(), "{seed}: {said:?}");
    }
}
