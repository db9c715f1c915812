//! A leader reaches members that have no link to it, down the tree.

use std::time::Duration;

use crate::support::{Ix, World};
use treehouse_room::{Cheap, Protection};
use treehouse_wire::{Control, List, control::Purpose};

const SECOND: Duration = Duration::from_secs(1);

/// A room whose members keep no links to the host, some of them below others.
fn deep_room() -> World<Cheap> {
    let mut world = World::new(11, Protection::Off);
    world.open(4);
    world.speak(0);
    world.join_many(90, 45, 4);
    world.run_for(60 * SECOND);
    world
}

fn parent_of(world: &World<Cheap>, ix: Ix) -> Option<Ix> {
    let view = world.room(ix).view();
    let parent = view.feeds.iter().find(|feed| feed.purpose == Purpose::Primary)?.node;
    (0..world.nodes.len()).find(|of| world.nodes[*of].id == parent)
}

/// A member three levels down and those above it, the nearest first, none of them linked to the host but the last.
fn chain(world: &World<Cheap>) -> [Ix; 3] {
    let chains = world.inside().into_iter().filter_map(|ix| {
        let middle = parent_of(world, ix)?;
        let top = parent_of(world, middle)?;
        let apart = !world.nodes[ix].links.contains_key(&0) && !world.nodes[middle].links.contains_key(&0);
        (parent_of(world, top)? == 0 && apart).then_some([ix, middle, top])
    });
    chains.into_iter().next().expect("some member is three levels down")
}

#[test]
fn a_page_goes_down_the_tree_and_its_member_comes() {
    let mut world = deep_room();
    let [member, middle, top] = chain(&world);
    let path = [middle, member].map(|ix| world.nodes[ix].id.tag());
    world.slip_control(0, top, &Control::Page { path: List::truncated(path) });
    world.run_for(3 * SECOND);
    assert!(world.nodes[member].links.contains_key(&0), "it has called its leader");
    assert!(!world.nodes[middle].links.contains_key(&0), "those on the way have not");
    world.run_for(20 * SECOND);
    assert!(!world.nodes[member].links.contains_key(&0), "and stays in the tree");
    world.assert_all_hear(0, 2 * SECOND);
}

#[test]
fn a_page_from_others_than_a_feed_or_for_others_than_a_child_moves_nobody() {
    let mut world = deep_room();
    let [member, middle, top] = chain(&world);
    let stranger = world.nodes[member].links.keys().copied().find(|ix| *ix != middle);
    // A child is no feed.
    world.slip_control(member, middle, &Control::Page { path: List::default() });
    if let Some(stranger) = stranger {
        world.slip_control(stranger, member, &Control::Page { path: List::truncated([world.nodes[top].id.tag()]) });
    }
    world.slip_control(0, top, &Control::Page { path: List::truncated([world.nodes[member].id.tag()]) });
    world.run_for(3 * SECOND);
    for ix in [member, middle] {
        assert!(!world.nodes[ix].links.contains_key(&0), "{ix} was not meant");
    }
}
