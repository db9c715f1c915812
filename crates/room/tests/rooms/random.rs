//! Random schedules: joins, leaves, crashes, restarts, partitions, loss, hands, drawn from a seed. After each step what
//! must always hold is checked (see `crate::support::check`); a failure names the seed that brings it back.

use std::time::Duration;

use crate::support::{CALM, Weather, World};
use treehouse_room::{Cheap, Command, Protection};
use treehouse_wire::control::Purpose;

/// Members that one schedule has at most.
const MEMBERS_MAX: usize = 24;
/// What happens in one schedule.
const STEPS: usize = 40;

/// Whether those that crash come again, as the same node.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Crashed {
    StayAway,
    ComeAgain,
}

fn step(world: &mut World<Cheap>, crashed: Crashed, cut_until: &mut Option<treehouse_room::Instant>) {
    let inside = world.inside();
    let pick = world.below(inside.len());
    let someone = inside.get(pick).copied().filter(|ix| *ix != 0);
    match (world.below(12), someone) {
        (0..=3, _) if inside.len() < MEMBERS_MAX => {
            let children_max = [0, 2, 4, 4, 8, 8][world.below(6)];
            world.join(children_max);
        }
        (4, Some(ix)) => world.command(ix, Command::Leave),
        (5 | 6, Some(ix)) => {
            world.crash(ix);
            if crashed == Crashed::ComeAgain {
                // Sooner than its neighbours notice, or later.
                let away = Duration::from_millis(world.below(1000) as u64);
                world.run_for(away);
                let invite = world.invite.clone().expect("the room is open");
                let identity_seed = world.nodes[ix].identity_seed;
                world.join_as(identity_seed, invite, 4);
            }
        }
        (7, Some(ix)) => world.speak(ix),
        (8, Some(ix)) => world.command(ix, Command::LowerHand),
        (9, _) if cut_until.is_none() => {
            let (modulus, rest) = (2 + world.below(3), world.below(2));
            world.partition(|ix| u8::from(ix != 0 && ix % modulus == rest));
            *cut_until = Some(world.now.after(Duration::from_secs(8)));
        }
        (10, _) => {
            world.weather = Weather { loss: 0.05, drop: 0.02, jitter: Duration::from_millis(world.below(80) as u64) };
        }
        _ => world.weather = CALM,
    }
}

fn run(seed: u64, crashed: Crashed) {
    let protection = [Protection::Off, Protection::Relays, Protection::All][(seed % 3) as usize];
    let mut world = World::new(seed, protection);
    world.open(4);
    world.uncovered_max = Duration::from_secs(20);
    let mut cut_until = None;
    for _ in 0..6 {
        world.join(4);
    }
    world.run_for(Duration::from_secs(2));
    for _ in 0..STEPS {
        step(&mut world, crashed, &mut cut_until);
        let pause = Duration::from_millis(20 + world.below(800) as u64);
        world.run_for(pause);
        if cut_until.is_some_and(|until| until <= world.now) {
            world.partition(|_| 0);
            cut_until = None;
        }
    }
    settle(&mut world);
}

/// In calm weather the room comes to rest, and everyone who is there hears everything.
fn settle(world: &mut World<Cheap>) {
    world.weather = CALM;
    world.partition(|_| 0);
    world.run_for(Duration::from_secs(25));
    // A member may be on its way to a better place, which has to be over a second later.
    let parents =
        |ix: &usize| world.room(*ix).view().feeds.iter().filter(|feed| feed.purpose == Purpose::Primary).count();
    if world.inside().iter().any(|ix| parents(ix) > 1) {
        world.run_for(Duration::from_secs(1));
    }
    world.check_settled(false);
    let Some(speaker) = world.inside().into_iter().find(|ix| *ix != 0) else { return };
    // Where more than three speak not all are heard: the others fall silent.
    world.nodes.iter_mut().for_each(|node| node.speaking = false);
    world.speak(speaker);
    world.run_for(Duration::from_secs(2));
    let from = world.now;
    world.run_for(Duration::from_secs(2));
    let to = world.now;
    world.run_for(Duration::from_secs(1));
    assert!(world.nodes[speaker].captured.len() > 100, "the speaker speaks");
    for ix in world.inside().into_iter().filter(|ix| *ix != speaker) {
        world.assert_heard(speaker, ix, from, to);
    }
}

/// Runs the seeds of one of four tests, so that they share the machine's cores.
fn run_quarter(quarter: u64) {
    for seed in (0..1000).filter(|seed| seed % 4 == quarter) {
        let outcome = std::panic::catch_unwind(|| run(seed, Crashed::StayAway));
        assert!(outcome.is_ok(), "schedule {seed} fails");
    }
}

#[test]
fn schedules_in_which_those_that_crash_come_again() {
    for seed in 1000..1120 {
        let outcome = std::panic::catch_unwind(|| run(seed, Crashed::ComeAgain));
        assert!(outcome.is_ok(), "schedule {seed} fails");
    }
}

#[test]
fn schedules_first_quarter() {
    run_quarter(0);
}

#[test]
fn schedules_second_quarter() {
    run_quarter(1);
}

#[test]
fn schedules_third_quarter() {
    run_quarter(2);
}

#[test]
fn schedules_fourth_quarter() {
    run_quarter(3);
}
