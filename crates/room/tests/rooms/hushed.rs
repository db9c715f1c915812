//! Rooms whose regular traffic the driver computes: quiet while nothing changes, the same as others when something does.

use std::time::Duration;

use crate::support::{Ix, World};
use treehouse_room::{Cheap, Event, Input, Output, Protection, Suspicion};

/// A host, four relays and eighty listeners, all hushed, at rest.
fn hushed_world() -> (World<Cheap>, Vec<Ix>) {
    let mut world = World::new(7, Protection::Relays);
    world.checked = false;
    world.open(8);
    world.run_for(Duration::from_millis(200));
    for number in 0..84 {
        world.join(if number < 12 { 10 } else { 0 });
        world.run_for(Duration::from_millis(100));
    }
    world.run_for(Duration::from_secs(10));
    let members: Vec<Ix> = world.inside().into_iter().skip(1).collect();
    for ix in 0..world.nodes.len() {
        if let Some(room) = &mut world.nodes[ix].room {
            room.hush();
        }
    }
    world.run_for(Duration::from_secs(150));
    (world, members)
}

#[test]
fn a_hushed_room_at_rest_sleeps_and_its_place_stays() {
    let (mut world, members) = hushed_world();
    assert!(members.len() > 70, "{}", members.len());
    let mut sleeping = 0;
    for _ in 0..10 {
        world.run_for(Duration::from_secs(3));
        for ix in &members {
            let view = world.room(*ix).view();
            assert!(view.inside && !view.feeds.is_empty(), "{view:?}");
            let wakes = world.room(*ix).poll_timeout().map(|(at, _)| at.since(world.now));
            sleeping += usize::from(wakes.is_none_or(|after| after > Duration::from_secs(2)));
        }
    }
    // The others have a review, a ping or a status within the next two seconds, or are roots.
    assert!(sleeping > members.len() * 8, "{sleeping} of ten times {} sleep", members.len());
    let suspected =
        members.iter().flat_map(|ix| &world.nodes[*ix].events).filter(|(_, of)| matches!(of, Event::Suspected { .. }));
    let late = suspected.filter(|(at, _)| at.since(treehouse_room::Instant::ZERO) > Duration::from_secs(20)).count();
    assert_eq!(late, 0, "silence on purpose is not suspect");
}

#[test]
fn a_feed_that_the_driver_calls_silent_is_suspect_until_it_is_heard() {
    let (mut world, members) = hushed_world();
    let now = world.now;
    let member = members.into_iter().find(|ix| world.room(*ix).upstream().parent.is_some()).expect("one is fed");
    let room = world.nodes[member].room.as_mut().expect("it is there");
    let peer = room.upstream().parent.expect("it is fed");
    let suspects = |room: &mut treehouse_room::Room<Cheap>| {
        let outputs: Vec<Output> = core::iter::from_fn(|| room.poll_output()).collect();
        outputs.iter().any(|output| {
            matches!(output, Output::Event(Event::Suspected { reason: Suspicion::Silent, peer: of }) if *of == peer)
        })
    };
    room.handle_input(now, Input::FeedSilent { peer }).expect("it can be told");
    assert!(suspects(room));
    assert!(room.view().feeds.iter().any(|feed| feed.node == peer && feed.suspect));
    assert!(room.poll_timeout().is_some_and(|(at, _)| at.since(now) <= Duration::from_secs(1)), "it is awake");
    room.handle_input(now, Input::FeedHeard { peer }).expect("it can be told");
    assert!(room.view().feeds.iter().all(|feed| feed.node != peer || !feed.suspect));
    assert!(!suspects(room));
}

#[test]
fn a_hushed_newcomer_goes_by_round_trips_that_the_driver_computes() {
    let (mut world, members) = hushed_world();
    let before = world.measured;
    let newcomer = world.join(0);
    world.nodes[newcomer].room.as_mut().expect("it joins").hush();
    world.run_for(Duration::from_millis(1500));
    let upstream = world.room(newcomer).upstream();
    let parent = upstream.parent.expect("it was placed by what it was told");
    assert!(members.iter().any(|ix| world.nodes[*ix].id == parent) || parent == world.nodes[0].id);
    // Landmarks, and where they leave a better one to look at, those that seem near.
    assert!(world.measured > before, "nobody was asked for");
    let linked = world.nodes[newcomer].links.len();
    assert!(linked <= 5, "it has {linked} links: to the host and its feeds, and none to those that it only measured");
    // A driver that says nothing: the newcomer is placed none the less.
    let lonely = world.join(0);
    world.nodes[lonely].room.as_mut().expect("it joins").hush();
    world.answers = false;
    world.run_for(Duration::from_secs(3));
    assert!(world.room(lonely).upstream().parent.is_some(), "time was up");
}
