//! What a member costs that only listens: the memory of 10,000 rooms at rest, counted by the allocator.
//!
//! Each hundred joins a small room of its own, is placed below relays, hears a voice, and then a long silence. What the
//! allocator has handed out and not got back when all but the listeners are dropped is theirs; the vector that holds them
//! is counted too, so `size_of` is included, and so is what they share: the invite, and by a [`Pool`] the room state.

#[path = "rooms/support/mod.rs"]
mod support;

use std::time::Duration;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use support::World;
use treehouse_room::{Cheap, Pool, Protection, Room};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<std::alloc::System> = &INSTRUMENTED_SYSTEM;

/// Rooms that are counted.
const ROOMS: usize = 10_000;
/// Listeners of each small room.
const LISTENERS: usize = 100;
/// Members of each small room that feed others, and how many each.
const RELAYS: usize = 8;
const CHILDREN_MAX: u8 = 32;
/// Bytes that a room at rest may cost.
const BYTES_MAX: usize = 2048;

/// A room of listeners that have heard a voice and been silent since.
fn listeners(seed: u64, pool: &mut Pool) -> Vec<Room<Cheap>> {
    let mut world = World::new(seed, Protection::Relays);
    world.checked = false;
    let host = world.open(CHILDREN_MAX);
    world.run_for(Duration::from_millis(100));
    for _ in 0..RELAYS {
        world.join(CHILDREN_MAX);
        world.run_for(Duration::from_millis(100));
    }
    world.run_for(Duration::from_secs(2));
    let listeners: Vec<_> = (0..LISTENERS)
        .map(|_| {
            world.run_for(Duration::from_millis(20));
            world.join(0)
        })
        .collect();
    world.run_for(Duration::from_secs(5));
    world.speak(host);
    world.run_for(Duration::from_secs(1));
    world.command(host, treehouse_room::Command::Promote(world.nodes[host].id));
    world.run_for(Duration::from_secs(4));
    world.nodes[host].speaking = false;
    world.run_for(Duration::from_secs(30));
    for ix in &listeners {
        let view = world.room(*ix).view();
        assert!(view.inside && view.feeds.len() == 2 && view.children.is_empty(), "not at rest: {view:?}");
        assert!(!world.nodes[*ix].played.is_empty(), "it has heard the voice");
    }
    let mut rooms: Vec<_> = listeners.iter().filter_map(|ix| world.nodes[*ix].room.take()).collect();
    rooms.iter_mut().for_each(|room| room.share(pool));
    rooms
}

#[test]
fn a_room_at_rest_is_small() {
    let region = Region::new(ALLOCATOR);
    let (mut rooms, mut pool) = (Vec::with_capacity(ROOMS), Pool::default());
    for seed in 0.. {
        rooms.extend(listeners(seed, &mut pool));
        if rooms.len() >= ROOMS {
            break;
        }
    }
    let change = region.change();
    assert_eq!(rooms.len(), ROOMS);
    let bytes = (change.bytes_allocated - change.bytes_deallocated) / ROOMS;
    let blocks = (change.allocations - change.deallocations) as f64 / ROOMS as f64;
    let size = size_of::<Room<Cheap>>();
    println!("a room at rest costs {bytes} bytes, {size} of them in the Room itself, in {blocks:.1} blocks");
    assert!(bytes <= BYTES_MAX, "a room at rest costs {bytes} bytes, more than {BYTES_MAX}");
}
