//! Regions that hubs lead: who comes where, by whom they are admitted, and what happens when a hub dies.

mod support;

use std::{collections::BTreeMap, time::Duration};

use support::{Ix, World};
use treehouse_room::{Cheap, Event, Protection};

const SECOND: Duration = Duration::from_secs(1);

/// A room whose regions hold some thirty members, the host talking; joiners come by a random member's address.
fn regions(members: usize, protection: Protection, seed: u64) -> World<Cheap> {
    let mut world = World::new(seed, protection);
    world.region_max = 30;
    world.open(6);
    world.speak(0);
    for n in 0..members {
        let children_max = if n % 4 == 3 { 0 } else { 6 };
        let inside = world.inside();
        let by = inside[world.below(inside.len())];
        let reachable = by == 0 || world.room(by).view().children_max > 0;
        world.join_by(if reachable { by } else { 0 }, children_max);
        world.run_for(Duration::from_millis(200));
    }
    world.run_for(15 * SECOND);
    world
}

/// Members by who leads them.
fn led(world: &World<Cheap>) -> BTreeMap<Ix, usize> {
    let leads = |ix: &Ix| world.room(*ix).view().region.map(|members| (*ix, members));
    world.inside().iter().filter_map(leads).collect()
}

#[test]
fn a_large_room_is_led_by_hubs() {
    let mut world = regions(150, Protection::Relays, 1);
    let led = led(&world);
    assert_eq!(world.inside().len(), 151, "all were admitted");
    assert!(led.len() >= 4, "regions: {led:?}");
    assert!(led.values().all(|members| *members <= 45), "regions: {led:?}");
    let from = world.now;
    world.run_for(5 * SECOND);
    let to = world.now;
    world.run_for(SECOND);
    for ix in world.inside().into_iter().filter(|ix| *ix != 0) {
        world.assert_heard(0, ix, from, to);
    }
    let mut counts = world.nodes[0].events.iter().filter_map(|(_, event)| match event {
        Event::Members(members) => Some(*members),
        _ => None,
    });
    // Who has changed regions may be counted in both until the former one has not heard of it for 200 seconds.
    let counted = counts.next_back().expect("members came");
    assert!((151..=154).contains(&counted), "the host's count is the sum of the regions: {counted}");
}
