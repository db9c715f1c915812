//! Admission under attack: what a stranger can cost a host.

#[path = "rooms/support/mod.rs"]
mod support;

use std::{alloc::System, time::Duration};

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use support::World;
use treehouse_invite::Invite;
use treehouse_room::{Event, Input, Output, Protection};
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
