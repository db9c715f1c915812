//! A room whose host did not say how well feeds are to be protected: it does what spare capacity carries.

use std::time::Duration;

use crate::support::World;
use treehouse_room::{Cheap, Command, Protection};
use treehouse_wire::control::Purpose;

const SECOND: Duration = Duration::from_secs(1);

/// Members with a live standby, and members.
fn protected(world: &World<Cheap>) -> (usize, usize) {
    let inside: Vec<_> = world.inside().into_iter().filter(|ix| *ix != 0 && !world.room(*ix).view().root).collect();
    let live = |ix: &&usize| world.room(**ix).view().feeds.iter().any(|feed| feed.purpose == Purpose::LiveStandby);
    (inside.iter().filter(live).count(), inside.len())
}

#[test]
fn protection_follows_spare_capacity_and_nobody_misses_a_frame() {
    let mut world = World::new(50, Protection::Off);
    world.auto = true;
    world.open(6);
    for _ in 0..10 {
        world.join(6);
        world.run_for(Duration::from_millis(200));
    }
    world.run_for(6 * SECOND);
    world.speak(1);
    world.run_for(4 * SECOND);
    let (live, all) = protected(&world);
    assert!(live + 1 >= all, "66 slots for ten members carry two feeds each: {live} of {all}");

    let from = world.now;
    let crowd: Vec<_> = (0..40)
        .map(|_| {
            world.run_for(Duration::from_millis(200));
            world.join(0)
        })
        .collect();
    world.run_for(10 * SECOND);
    let leaves =
        crowd.iter().filter(|ix| world.room(**ix).view().feeds.iter().any(|of| of.purpose == Purpose::LiveStandby));
    assert_eq!(leaves.count(), 0, "66 slots for fifty members do not");

    for ix in crowd {
        world.command(ix, Command::Leave);
        world.run_for(Duration::from_millis(50));
    }
    world.run_for(20 * SECOND);
    let before = protected(&world).0;
    world.run_for(20 * SECOND);
    let (live, all) = protected(&world);
    assert!(before < live && live + 1 >= all, "half a minute later they do again: {before}, then {live} of {all}");
    let to = world.now;
    world.run_for(SECOND);
    for ix in (2..=10).filter(|ix| world.is_alive(*ix)) {
        world.assert_heard(1, ix, from, to);
    }
}

#[test]
fn who_hears_late_listens_twice_and_no_other_leaf() {
    let mut world = World::new(51, Protection::Relays);
    world.open(6);
    world.join_many(40, 2, 6);
    world.speak(0);
    world.run_for(10 * SECOND);
    let far = world.join(0);
    let place = world.nodes[far].place;
    // Some 360 ms from everybody else, where 250 is late.
    world.nodes[far].place = (place.0 + 6.0, place.1);
    world.run_for(15 * SECOND);
    let twice = |world: &World<Cheap>, ix: usize| {
        world.room(ix).view().feeds.iter().any(|feed| feed.purpose == Purpose::LiveStandby)
    };
    let leaves: Vec<_> =
        world.inside().into_iter().filter(|ix| *ix != far && world.room(*ix).view().children.is_empty()).collect();
    assert!(twice(&world, far) && leaves.len() > 10);
    assert!(leaves.iter().all(|ix| !twice(&world, *ix)), "who hears early listens once");
}
