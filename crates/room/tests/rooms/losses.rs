//! What listeners lose of a voice comes to its speaker, each counted once, however deep they sit.

use std::time::Duration;

use crate::support::{Ix, World};
use treehouse_room::{Cheap, Command, Event, Protection};
use treehouse_wire::{Control, List, Losses, losses::Reckoned};

const SECOND: Duration = Duration::from_secs(1);
/// A member that speaks.
const SPEAKER: Ix = 3;

/// Forty members in a tree whose nodes feed three, one of them on stage.
fn room() -> World<Cheap> {
    let mut world = World::new(91, Protection::Relays);
    world.open(3);
    world.join_many(40, 4, 3);
    world.run_for(6 * SECOND);
    world.speak(SPEAKER);
    world.run_for(3 * SECOND);
    world
}

/// What the speaker was told last.
fn told(world: &World<Cheap>) -> Option<Reckoned> {
    world.nodes[SPEAKER].events.iter().rev().find_map(|(_, event)| match event {
        Event::Losses(reckoned) => Some(*reckoned),
        _ => None,
    })
}

fn report(world: &mut World<Cheap>, ix: Ix, lost_permille: u16) {
    let voice = world.nodes[SPEAKER].voice.expect("it speaks");
    world.command(ix, Command::ReportLosses { voice, losses: Losses::of_one(lost_permille, false) });
}

fn listeners(world: &World<Cheap>) -> Vec<Ix> {
    world.inside().into_iter().filter(|ix| *ix != SPEAKER).collect()
}

#[test]
fn what_each_listener_lost_comes_to_the_speaker_and_counts_once() {
    let mut world = room();
    let listeners = listeners(&world);
    assert!(listeners.iter().any(|ix| world.room(*ix).upstream().depth >= 3), "the tree is deep");
    assert_eq!((listeners.len(), told(&world)), (40, None));
    for _ in 0..4 {
        // One in eight loses 12 %.
        for (n, ix) in listeners.iter().enumerate() {
            report(&mut world, *ix, if n % 8 == 0 { 120 } else { 0 });
        }
        world.run_for(5 * SECOND);
    }
    assert_eq!(told(&world), Some(Reckoned { listeners: 40, lost_permille: 150, bursts: false }));
}

#[test]
fn what_was_said_long_ago_counts_no_more() {
    let mut world = room();
    let listeners = listeners(&world);
    for ix in &listeners {
        report(&mut world, *ix, 120);
    }
    world.run_for(30 * SECOND);
    assert_eq!(told(&world).map(|of| of.lost_permille), Some(150));
    for _ in 0..4 {
        report(&mut world, listeners[5], 0);
        world.run_for(5 * SECOND);
    }
    assert_eq!(told(&world), Some(Reckoned { listeners: 1, lost_permille: 0, bursts: false }));
}

#[test]
fn who_is_no_listener_of_a_node_is_not_believed_and_a_voice_that_is_not_on_stage_is_nobodys() {
    let mut world = room();
    let voice = world.nodes[SPEAKER].voice.expect("it speaks");
    let said = |voice| Control::Losses(List::truncated([(voice, Losses([1_000; 12]))]));
    let above = world.room(SPEAKER).upstream().parent.expect("it has a parent");
    let above = world.index[&above];
    // A parent is no child; the host hears the speaker on stage, and may say what it lost.
    let other = (1..).find(|ix| *ix != SPEAKER && !world.nodes[*ix].links.contains_key(&SPEAKER)).expect("one far off");
    let up = world.index[&world.room(other).upstream().parent.expect("it has a parent")];
    world.slip_control(up, other, &said(voice));
    if above != 0 {
        world.slip_control(above, SPEAKER, &said(voice));
    }
    let nobody = treehouse_wire::VoiceId([9; 8]);
    world.slip_control(0, SPEAKER, &said(nobody));
    world.run_for(10 * SECOND);
    assert_eq!(told(&world), None);
    world.slip_control(0, SPEAKER, &said(voice));
    world.run_for(10 * SECOND);
    assert_eq!(told(&world).map(|of| of.listeners), Some(12_000));
}
