//! What a registry makes of reports that a member does not work: it asks the member, and believes what it sees.

use std::time::Duration;

use crate::support::World;
use treehouse_room::{Cheap, Command, Event, Protection};
use treehouse_wire::{Control, List, NodeId, control::Purpose};

const SECOND: Duration = Duration::from_secs(1);

fn room_of(members: usize, seed: u64) -> World<Cheap> {
    let mut world = World::new(seed, Protection::Off);
    world.open(6);
    world.join_many(members, 3, 5);
    world.run_for(8 * SECOND);
    world.speak(1);
    world.run_for(2 * SECOND);
    world
}

/// Whom a member feeds.
fn children(world: &World<Cheap>, ix: usize) -> Vec<NodeId> {
    let view = world.room(ix).view();
    view.children.iter().filter(|(_, purpose)| *purpose == Purpose::Primary).map(|(node, _)| *node).collect()
}

#[test]
fn liars_cost_a_relay_no_child() {
    let mut world = room_of(40, 3);
    let relay = (2..=40).max_by_key(|ix| children(&world, *ix).len()).expect("there are members");
    let before = children(&world, relay);
    assert!(before.len() > 1, "it feeds some");
    let liars = [38, 39, 40].map(|ix| if ix == relay { 37 } else { ix });
    for _ in 0..5 {
        for liar in liars {
            let failed = List::truncated([world.nodes[relay].id]);
            world.slip_control(liar, 0, &Control::Seek { failed, review: false });
        }
        world.run_for(2 * SECOND);
    }
    // The liars themselves are placed elsewhere, if it fed them.
    let lied = liars.map(|ix| world.nodes[ix].id);
    let after = children(&world, relay);
    for child in before.iter().filter(|child| !lied.contains(child)) {
        assert!(after.contains(child), "{child:?} was taken from it");
    }
}

/// Relays that die together leave nobody to report them; who is left must not be sent to them again and again.
#[test]
fn members_whose_relays_die_together_hear_again_soon() {
    for seed in 1..=4 {
        let mut world = room_of(100, seed);
        world.uncovered_max = 4 * SECOND;
        let from = world.now;
        let relays: Vec<usize> = (2..=100).filter(|ix| !children(&world, *ix).is_empty()).collect();
        let dead: Vec<usize> = relays.iter().copied().filter(|ix| ix % 3 == 1).collect();
        assert!(dead.len() > 5, "{} relays", relays.len());
        for relay in &dead {
            world.crash(*relay);
        }
        world.run_for(10 * SECOND);
        let here: Vec<usize> = world.inside().into_iter().filter(|ix| *ix > 1).collect();
        let gaps = here.iter().map(|ix| world.gap_max(*ix, from, world.now));
        let longest = gaps.max().expect("somebody is there");
        println!("seed {seed}: {} of {} relays died, the longest gap {longest:?}", dead.len(), relays.len());
        assert!(longest < 2 * SECOND, "seed {seed}: {longest:?}");
        world.command(0, Command::Leave);
    }
}

/// A relay to which everything takes two seconds for a while: its links outlive that.
#[test]
fn a_member_that_was_only_slow_is_not_forgotten() {
    let mut world = room_of(40, 5);
    let relay = (2..=40).max_by_key(|ix| children(&world, *ix).len()).expect("there are members");
    world.uncovered_max = 10 * SECOND;
    let near = core::mem::replace(&mut world.nodes[relay].place, (25.0, 25.0));
    world.run_for(4 * SECOND);
    world.nodes[relay].place = near;
    world.run_for(25 * SECOND);
    let id = world.nodes[relay].id;
    assert!(!world.has_event(0, |event| matches!(event, Event::MemberLeft { peer, .. } if *peer == id)));
    let from = world.now;
    world.run_for(2 * SECOND);
    let to = world.now;
    world.run_for(SECOND);
    world.assert_heard(1, relay, from, to);
}
