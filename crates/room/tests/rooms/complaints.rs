//! What comes of a forgery beside the link that ends: the registry hears of it, and believes one member only so far.

use std::time::Duration;

use bytes::Bytes;
use treehouse_invite::Policy;
use treehouse_room::{Cheap, Event, Offence, Protection};
use treehouse_wire::{
    CaptureTime, Epoch, FrameNumber, FramesPerPacket, Header, Level, MediaKey, NodeId, Packet, RoomKey, Suite,
    control::Purpose,
};

use crate::support::{Ix, World};

const SECOND: Duration = Duration::from_secs(1);

/// A room whose members come by `invites` of the founder's in turn.
fn room(seed: u64, policy: Policy, invites: u8) -> World<Cheap> {
    let mut world = World::new(seed, Protection::Relays);
    world.policy = policy;
    world.open(3);
    for n in 0..24 {
        let invite = world.deep_invite(n % invites);
        world.join_with(invite, 5);
        world.run_for(Duration::from_millis(100));
    }
    world.speak(0);
    world.run_for(12 * SECOND);
    world
}

/// A packet of the host's voice that the host has not signed.
fn forgery(world: &World<Cheap>) -> Bytes {
    let id = world.room(0).id();
    let key = Cheap.voice_key(&id, Epoch::default(), &RoomKey([5; 32]), &MediaKey([5; 32]));
    let header = Header {
        k: FramesPerPacket::One,
        epoch: Epoch::default(),
        voice: world.nodes[0].voice.expect("it speaks"),
        first: FrameNumber(world.nodes[0].next_frame + 10),
        captured: CaptureTime(0),
    };
    let packet = Packet::seal(&Cheap, &id, &[5; 32], &key, header, Level::SILENCE, &[b"not what was said"]);
    packet.expect("a well-formed packet").bytes().clone()
}

fn children(world: &World<Cheap>, of: Ix) -> Vec<Ix> {
    let view = world.room(of).view();
    let fed = view.children.iter().filter(|(_, purpose)| *purpose == Purpose::Primary);
    fed.map(|(child, _)| world.index[child]).collect()
}

/// A relay with four children or more; the host feeds it, and it is no co-root.
fn relay(world: &World<Cheap>) -> Option<Ix> {
    let inside = world.inside();
    inside.into_iter().find(|ix| *ix != 0 && !world.room(*ix).view().root && children(world, *ix).len() >= 4)
}

fn forge(world: &mut World<Cheap>, forger: Ix, child: Ix) {
    let packet = forgery(world);
    world.slip_media(forger, child, packet);
    let peer = world.nodes[forger].id;
    assert!(world.has_event(child, |event| *event == Event::Offence { peer, kind: Offence::Forged }));
}

fn is_fed_by(world: &World<Cheap>, child: Ix, node: NodeId) -> bool {
    world.room(child).view().feeds.iter().any(|feed| feed.node == node)
}

/// Which of `invites` a member came by.
fn came_by(ix: Ix, invites: usize) -> usize {
    (ix - 1) % invites
}

#[test]
fn a_forger_loses_all_its_children_once_two_complain_that_are_unrelated() {
    let mut seen = 0;
    for seed in 70..78 {
        let mut world = room(seed, Policy::Social, 2);
        let Some(forger) = relay(&world) else { continue };
        let fed = children(&world, forger);
        let first = fed[0];
        let Some(second) = fed.iter().copied().find(|ix| came_by(*ix, 2) != came_by(first, 2)) else { continue };
        seen += 1;
        forge(&mut world, forger, first);
        world.run_for(4 * SECOND);
        let left = children(&world, forger);
        assert!(fed[1..].iter().all(|child| left.contains(child)), "one is not believed alone: {left:?} of {fed:?}");
        forge(&mut world, forger, second);
        world.run_for(8 * SECOND);
        assert_eq!(children(&world, forger), Vec::<Ix>::new(), "seed {seed}");
        // Whoever comes later is not given to it.
        for _ in 0..6 {
            world.join(0);
        }
        world.run_for(60 * SECOND);
        assert_eq!(children(&world, forger), Vec::<Ix>::new(), "seed {seed}");
        world.assert_all_hear(0, 3 * SECOND);
    }
    assert!(seen >= 3, "{seen} rooms had such a relay");
}

/// A forger beside the host, which cheats two at once: the host takes the others away, and another stands beside it.
#[test]
fn a_co_root_that_forges_is_one_no_more() {
    let mut seen = 0;
    for seed in 70..78 {
        let mut world = room(seed, Policy::Social, 2);
        let root = |ix: &Ix| *ix != 0 && world.room(*ix).view().root;
        let Some(forger) = world.inside().into_iter().find(root) else { continue };
        let fed = children(&world, forger);
        let by = |invite: usize| fed.iter().copied().find(|ix| came_by(*ix, 2) == invite);
        let (Some(first), Some(second), 4..) = (by(0), by(1), fed.len()) else { continue };
        seen += 1;
        forge(&mut world, forger, first);
        forge(&mut world, forger, second);
        world.run_for(15 * SECOND);
        assert_eq!(children(&world, forger), Vec::<Ix>::new(), "seed {seed}");
        assert!(!world.room(forger).view().root, "seed {seed}");
        world.assert_all_hear(0, 3 * SECOND);
    }
    assert!(seen >= 3, "{seen} rooms had such a relay");
}

#[test]
fn those_who_came_by_one_invite_cannot_take_a_relays_children_but_do_not_meet_it_again() {
    let mut seen = 0;
    for (seed, policy) in [(70, Policy::Social), (71, Policy::Social), (72, Policy::Closed), (73, Policy::Closed)] {
        let mut world = room(seed, policy, 1);
        let Some(relay) = relay(&world) else { continue };
        seen += 1;
        let (node, fed) = (world.nodes[relay].id, children(&world, relay));
        let liars = [fed[0], fed[1]];
        for liar in liars {
            forge(&mut world, relay, liar);
            world.run_for(SECOND);
        }
        for _ in 0..150 {
            world.run_for(SECOND);
            assert!(!liars.iter().any(|liar| is_fed_by(&world, *liar, node)), "they are kept apart");
        }
        assert!(!children(&world, relay).is_empty(), "it feeds others");
        world.assert_all_hear(0, 3 * SECOND);
    }
    assert!(seen >= 2, "{seen} rooms had such a relay");
}

/// From the forgery until the host is heard again by another feed. An idle standby is a round trip away, of up to 174 ms here.
#[test]
fn the_standby_carries_within_150_ms_of_a_forgery() {
    for protection in [Protection::Off, Protection::Relays, Protection::All] {
        let mut gaps_ms = Vec::new();
        for seed in 80..86 {
            let mut world = World::new(seed, protection);
            world.open(3);
            for _ in 0..24 {
                world.join(5);
                world.run_for(Duration::from_millis(100));
            }
            world.speak(0);
            world.run_for(20 * SECOND);
            let inside = world.inside();
            for forger in inside.into_iter().filter(|ix| *ix != 0) {
                // One that has a standby, as nearly all have.
                let has_two = |child: &Ix| world.room(*child).view().feeds.len() > 1;
                let Some(child) = children(&world, forger).into_iter().find(has_two) else { continue };
                let at = world.now;
                forge(&mut world, forger, child);
                world.run_for(4 * SECOND);
                let voice = world.nodes[0].voice.expect("it speaks");
                let played = &world.nodes[child].played;
                let next =
                    played.iter().filter(|((of, _), when)| *of == voice && **when > at).map(|(_, when)| *when).min();
                gaps_ms.push(next.expect("it hears again").since(at).as_millis());
            }
        }
        gaps_ms.sort_unstable();
        let (count, most) = (gaps_ms.len(), gaps_ms[gaps_ms.len() - 1]);
        println!("{protection:?}: {count} forgeries, {} ms in the median, {most} ms at most", gaps_ms[count / 2]);
        let within = gaps_ms.iter().filter(|ms| **ms <= 150).count();
        assert!(count >= 40 && within * 20 >= count * 19, "{protection:?}: {gaps_ms:?}");
    }
}
