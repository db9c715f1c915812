//! A relay whose uplink carries less than its user said.

use std::time::Duration;

use crate::support::{Ix, World};
use treehouse_room::{Cheap, Event, Input, Protection};
use treehouse_wire::{NodeId, control::Purpose};

const SECOND: Duration = Duration::from_secs(1);
/// Feeds that each relay is set to give.
const SET: u8 = 8;

/// A room of four relays and ten leaves, its host talking; with the relay that has most children.
fn room(seed: u64) -> (World<Cheap>, Ix) {
    let mut world = World::new(seed, Protection::Off);
    world.open(3);
    for _ in 0..4 {
        world.join(SET);
        world.run_for(500 * Duration::from_millis(1));
    }
    for _ in 0..10 {
        world.join(0);
        world.run_for(200 * Duration::from_millis(1));
    }
    world.speak(0);
    world.run_for(8 * SECOND);
    let busiest = (1..=4).max_by_key(|ix| given(&world, *ix).len()).expect("relays");
    (world, busiest)
}

/// Whom a node feeds in its slots.
fn given(world: &World<Cheap>, ix: Ix) -> Vec<NodeId> {
    let children = world.room(ix).view().children.into_iter();
    children.filter(|(_, purpose)| matches!(purpose, Purpose::Primary | Purpose::LiveStandby)).map(|of| of.0).collect()
}

fn drops(world: &mut World<Cheap>, at: Ix, peers: &[NodeId], packets: u32) {
    for peer in peers {
        world.input(at, Input::LaneDrops { peer: *peer, packets });
    }
}

#[test]
fn a_relay_whose_lanes_drop_gives_fewer_feeds_and_nobody_misses_a_frame() {
    let (mut world, relay) = room(1);
    let before = given(&world, relay);
    assert!(before.len() >= 4, "it feeds some: {before:?}");
    let from = world.now;
    drops(&mut world, relay, &before[..2], 10);
    let expected = before.len() - before.len() / 4;
    assert_eq!(usize::from(world.room(relay).view().children_max), expected, "a quarter fewer than it gave");
    world.run_for(5 * SECOND);
    let after = given(&world, relay);
    assert!(after.len() <= expected, "{} children of {} stay", after.len(), before.len());
    assert!(after.len() + 2 >= expected, "no more than was asked to go: {} of {}", after.len(), before.len());
    let newcomer = world.join(0);
    world.run_for(4 * SECOND);
    let to = world.now;
    world.run_for(SECOND);
    assert!(given(&world, relay).len() <= expected, "the registry gives its slots to nobody");
    for ix in world.inside().into_iter().filter(|ix| *ix != 0 && *ix != newcomer) {
        world.assert_heard(0, ix, from, to);
    }
}

#[test]
fn one_slow_child_of_several_is_no_reason() {
    let (mut world, relay) = room(2);
    let before = given(&world, relay);
    assert!(before.len() >= 4, "it feeds some: {before:?}");
    for _ in 0..20 {
        drops(&mut world, relay, &before[..1], 50);
        world.run_for(SECOND);
    }
    assert_eq!(world.room(relay).view().children_max, SET);
}

#[test]
fn what_was_given_up_is_offered_again_one_by_one() {
    let (mut world, relay) = room(3);
    let before = given(&world, relay);
    drops(&mut world, relay, &before[..2], 10);
    let lowered = world.room(relay).view().children_max;
    assert!(lowered < SET);
    world.run_for(28 * SECOND);
    assert_eq!(world.room(relay).view().children_max, lowered, "not at once");
    world.run_for(5 * SECOND);
    assert_eq!(world.room(relay).view().children_max, lowered + 1, "one more");
    world.run_for(u32::from(SET) * 32 * SECOND);
    assert_eq!(world.room(relay).view().children_max, SET, "no more than was set");
}

#[test]
fn drops_that_go_on_leave_a_relay_without_children_and_all_of_them_fed() {
    let (mut world, relay) = room(4);
    for _ in 0..60 {
        let children = given(&world, relay);
        drops(&mut world, relay, &children, 10);
        world.run_for(SECOND);
    }
    assert_eq!(given(&world, relay), [], "nobody is fed by an uplink that carries nothing");
    world.assert_all_hear(0, 3 * SECOND);
}

#[test]
fn a_co_root_that_gives_too_few_feeds_to_be_one_is_fed_on() {
    let (mut world, _) = room(5);
    let root = (1..=4).find(|ix| world.room(*ix).view().root).expect("a co-root");
    let from = world.now;
    for _ in 0..20 {
        if !world.room(root).view().root {
            break;
        }
        let fed = given(&world, root);
        drops(&mut world, root, &fed, 10);
        world.run_for(2 * SECOND);
    }
    assert!(!world.room(root).view().root, "the host has chosen another, or none");
    world.run_for(5 * SECOND);
    assert!(world.room(root).view().feeds.iter().any(|feed| feed.purpose == Purpose::Primary), "it has a parent");
    let suspects =
        world.nodes[root].events.iter().filter(|(at, event)| *at >= from && matches!(event, Event::Suspected { .. }));
    assert_eq!(suspects.count(), 0, "and had no reason to doubt it");
    world.assert_heard(0, root, from, world.now);
}
