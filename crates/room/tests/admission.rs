//! Admission under attack: what a stranger can cost a host.

#[path = "rooms/support/mod.rs"]
mod support;

use std::{alloc::System, time::Duration};

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use support::World;
use treehouse_invite::Invite;
use treehouse_room::{Cheap, Command, Event, Input, Offence, Output, Protection};
use treehouse_wire::{
    Control, List, NodeId, Shipped, Suite,
    control::{Join, Name, Profile, Refusal},
};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const SECOND: Duration = Duration::from_secs(1);
/// Bad invites that are shown, and connections that each show so many.
const REDEMPTIONS: u32 = 1_000_000;
const EACH: u32 = 100;

fn held_bytes() -> isize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated as isize - stats.bytes_deallocated as isize
}

fn join(invite: &Invite, seed: [u8; 32], spoil: bool) -> (NodeId, Control) {
    let node = NodeId(Shipped.public_key(&Shipped.signer(&seed)));
    let (chain, mut proof) = invite.redeem(&Shipped, &seed, &node, &invite.host()).expect("its holder redeems");
    if spoil {
        proof.0[7] ^= 1;
    }
    let profile = Profile { name: Name::cleaned("Mallory"), addresses: List::default(), children_max: 0 };
    (node, Control::Join(Box::new(Join { chain, proof, profile, direct: false })))
}

/// Tells a host what a stranger sends, and takes what it answers.
fn tell(world: &mut World<Shipped>, from: NodeId, bytes: &[u8]) -> Vec<Control> {
    let now = world.now;
    let room = world.nodes[0].room.as_mut().expect("the host is there");
    // What a stranger did wrong is in the events.
    let _ = room.handle_input(now, Input::Control { from, bytes });
    let mut answers = Vec::new();
    while let Some(output) = room.poll_output() {
        if let Output::Send { to, bytes } = output
            && to == from
        {
            answers.push(Control::from_bytes(&bytes).expect("a message"));
        }
    }
    answers
}

/// A million redemptions with a false proof, a hundred by each of ten thousand connections: the host checks few, keeps nothing, and lets in who
/// is honest while they come.
#[test]
fn a_million_bad_redemptions_cost_a_host_nothing_that_stays() {
    let mut world = World::with_suite(Shipped, 1, Protection::Relays);
    world.open(6);
    let invite = world.invite.clone().expect("the room is open");
    let (_, bad) = join(&invite, [77; 32], true);
    let bytes = bad.to_bytes();
    let (mut refused, mut busy, mut honest) = (0, 0, 0);
    let mut held = Vec::new();
    for connection in 0..REDEMPTIONS / EACH {
        let mut from = NodeId([66; 32]);
        from.0[..4].copy_from_slice(&connection.to_be_bytes());
        let now = world.now;
        let link = |world: &mut World<Shipped>, input: Input<'_>| {
            let room = world.nodes[0].room.as_mut().expect("the host is there");
            room.handle_input(now, input).expect("it can be told");
        };
        link(&mut world, Input::LinkUp { peer: from });
        for _ in 0..EACH {
            for answer in tell(&mut world, from, &bytes) {
                assert!(answer.to_bytes().len() <= bytes.len(), "no answer is larger than what it answers");
                match answer {
                    Control::Refused(Refusal::Busy) => busy += 1,
                    Control::Refused(_) => refused += 1,
                    other => panic!("{other:?}"),
                }
            }
        }
        link(&mut world, Input::LinkDown { peer: from });
        while world.nodes[0].room.as_mut().expect("the host is there").poll_output().is_some() {}
        if connection % 1000 == 999 {
            // An honest one comes meanwhile.
            let ix = world.join(6);
            let came = world.now;
            world.run_for(2 * SECOND);
            let admitted = world.nodes[ix].events.iter().find(|(_, event)| matches!(event, Event::Admitted { .. }));
            let Some((at, _)) = admitted else { panic!("it is not let in: {:?}", world.nodes[ix].events) };
            assert!(at.since(came) < SECOND);
            honest += 1;
            held.push(held_bytes());
        }
    }
    println!("{refused} looked at and refused, {busy} not looked at; bytes held at each tenth: {held:?}");
    assert_eq!((refused + busy, honest), (REDEMPTIONS, 10));
    assert!(refused <= REDEMPTIONS / EACH * 5, "five of a connection's are looked at: {refused}");
    // Ten honest members and their worlds are what grows.
    assert!(held[9] - held[4] < 2 * 1024 * 1024, "{held:?}");
}

/// Whoever comes again by the same key may not begin anew: five are looked at, and one every two seconds.
#[test]
fn a_key_that_comes_again_has_no_more_tries() {
    let mut world = World::with_suite(Shipped, 3, Protection::Relays);
    world.open(6);
    let invite = world.invite.clone().expect("the room is open");
    let (from, bad) = join(&invite, [79; 32], true);
    let (_, other) = join(&invite, [80; 32], true);
    let looked_at = |world: &mut World<Shipped>, from: NodeId, message: &Control, times: usize| {
        let mut looked_at = 0;
        for _ in 0..times {
            let now = world.now;
            for input in [Input::LinkUp { peer: from }, Input::LinkDown { peer: from }] {
                let is_up = matches!(input, Input::LinkUp { .. });
                let room = world.nodes[0].room.as_mut().expect("the host is there");
                room.handle_input(now, input).expect("it can be told");
                if is_up {
                    let answers = tell(world, from, &message.to_bytes());
                    looked_at += answers.iter().filter(|of| !matches!(of, Control::Refused(Refusal::Busy))).count();
                }
            }
            while world.nodes[0].room.as_mut().expect("the host is there").poll_output().is_some() {}
        }
        looked_at
    };
    assert_eq!(looked_at(&mut world, from, &bad, 40), 5);
    assert_eq!(looked_at(&mut world, NodeId([7; 32]), &other, 40), 5, "another key has its own");
    world.run_for(2 * SECOND);
    assert_eq!(looked_at(&mut world, from, &bad, 40), 1);
    world.run_for(20 * SECOND);
    assert_eq!(looked_at(&mut world, from, &bad, 40), 5);
}

/// A stranger that is sent on learns no more bytes than it sent.
#[test]
fn a_redirect_is_no_larger_than_the_request() {
    let mut world = World::with_suite(Shipped, 2, Protection::Relays);
    world.open(6);
    let member = world.join(6);
    world.run_for(5 * SECOND);
    let invite = world.invite.clone().expect("the room is open");
    let (stranger, message) = join(&invite, [78; 32], false);
    let (bytes, now) = (message.to_bytes(), world.now);
    let room = world.nodes[member].room.as_mut().expect("a member");
    room.handle_input(now, Input::LinkUp { peer: stranger }).expect("it can be told");
    while room.poll_output().is_some() {}
    room.handle_input(now, Input::Control { from: stranger, bytes: &bytes }).expect("it is a message");
    let mut answered = 0;
    while let Some(output) = room.poll_output() {
        if let Output::Send { to, bytes: answer } = output
            && to == stranger
        {
            assert!(matches!(Control::from_bytes(&answer), Ok(Control::Redirect { .. })));
            assert!(answer.len() <= bytes.len(), "{} of {}", answer.len(), bytes.len());
            answered += 1;
        }
    }
    assert_eq!(answered, 1);
}

/// 99 in 100 frames are heard this long after they were said, by all but one; the host speaks for twenty seconds, in each of which `each`
/// happens.
fn p99_ms(world: &mut World<Cheap>, but: support::Ix, each: &mut dyn FnMut(&mut World<Cheap>)) -> u64 {
    world.speak(0);
    for _ in 0..20 {
        each(world);
    }
    world.command(0, Command::LowerHand);
    world.run_for(SECOND);
    let said = std::mem::take(&mut world.nodes[0].captured);
    let mut delays_us: Vec<u64> = Vec::new();
    for ix in world.inside().into_iter().filter(|ix| *ix != 0 && *ix != but) {
        let played = std::mem::take(&mut world.nodes[ix].played);
        assert!(played.len() * 100 >= said.len() * 99, "{ix} has heard {} of {}", played.len(), said.len());
        delays_us.extend(
            played.iter().filter_map(|((_, number), at)| Some(at.since(*said.get(number)?).as_micros() as u64)),
        );
    }
    delays_us.sort_unstable();
    delays_us[delays_us.len() * 99 / 100] / 1000
}

/// Ten thousand messages a second by one peer, for an hour: it is thrown out again and again, nothing of it stays, and the others
/// hear as before.
#[test]
fn an_hour_of_messages_costs_a_host_nothing_that_stays() {
    const A_SECOND: u32 = 10_000;
    const BURST: Duration = Duration::from_millis(10);
    let mut world = World::new(3, Protection::Relays);
    world.open(6);
    for _ in 0..12 {
        world.join(6);
        world.run_for(SECOND / 5);
    }
    // It is a member, and comes again whenever it may.
    let flooding = world.join(0);
    world.run_for(10 * SECOND);
    let before_ms = p99_ms(&mut world, flooding, &mut |world| world.run_for(SECOND));

    let flooder = world.nodes[flooding].id;
    world.hostile.insert(flooder);
    let mut sent = 0_u64;
    let mut second = |world: &mut World<Cheap>| {
        for _ in 0..100 {
            world.run_for(BURST);
            let bytes = Control::Ping { nonce: sent as u32 }.to_bytes();
            for _ in 0..A_SECOND / 100 - 1 {
                let now = world.now;
                let room = world.nodes[0].room.as_mut().expect("the host is there");
                let _ = room.handle_input(now, Input::Control { from: flooder, bytes: &bytes });
            }
            world.input(0, Input::Control { from: flooder, bytes: &bytes });
            sent += u64::from(A_SECOND / 100);
        }
    };
    let take_thrown = |world: &mut World<Cheap>| {
        let events: Vec<_> = world.nodes.iter_mut().map(|node| std::mem::take(&mut node.events)).collect();
        let flood = Event::Offence { peer: flooder, kind: Offence::Flood };
        events[0].iter().filter(|(_, event)| *event == flood).count()
    };
    let (mut held, mut thrown) = (Vec::new(), 0);
    for number in 0..3580 {
        second(&mut world);
        if number % 600 == 599 {
            // What the world notes is not the rooms'.
            thrown += take_thrown(&mut world);
            held.push(held_bytes());
        }
    }
    let after_ms = p99_ms(&mut world, flooding, &mut second);
    thrown += take_thrown(&mut world);
    println!(
        "{sent} messages; thrown out {thrown} times; p99 {before_ms} ms before, {after_ms} ms at its end; held {held:?}"
    );
    assert_eq!(sent, 36_000_000);
    assert!(thrown >= 20, "{thrown}");
    assert!(held[4] - held[0] < 64 * 1024, "{held:?}");
    assert!(after_ms <= before_ms + 20, "{before_ms} {after_ms}");
}
