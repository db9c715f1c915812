//! Treehouse in packet mode: rooms of the kind that ships, over the engine's network.

#[path = "support/crash.rs"]
mod crash;
mod support;

use std::{sync::Arc, time::Duration};

use support::{Everywhere, plan};
use treehouse_hostile::Behaviour;
use treehouse_sim::{
    engine::{Engine, Run},
    measure::{Outage, Outcome},
    network::Delay,
    plan::{Departure, Hostile, NodeIx, Plan, Spurt},
    results,
    scenario::Scenario,
    strategies::treehouse::{self, Protection, Settings, Sound, Treehouse},
};
use treehouse_wire::{Shipped, Suite};

const SECOND_US: u64 = 1_000_000;

/// Sites on a line, a millisecond of propagation between neighbours.
struct Line;

impl Delay for Line {
    fn one_way_us(&self, a: u32, b: u32) -> u64 {
        2_000 + u64::from(a.abs_diff(b)) * 1_000
    }

    fn name(&self) -> &str {
        "line"
    }
}

/// A hundred members that come five a second, two thirds of them leaves, on a network that loses nothing.
fn room(duration_us: u64) -> Plan {
    let mut plan = plan(100, duration_us);
    for (number, node) in (0_u64..).zip(&mut plan.nodes).skip(1) {
        node.joins_us = number * SECOND_US / 5;
        node.children_max = if number % 3 == 1 { 8 } else { 0 };
    }
    plan.warmup_us = 30 * SECOND_US;
    plan
}

/// The same on unequal ways with jitter, with a second speaker who pauses, and members that go, some of them rudely.
fn busy_room(duration_us: u64) -> Plan {
    let mut plan = room(duration_us);
    plan.delay = Arc::new(Line);
    plan.jitter_us = 1_000;
    for number in (5..100).step_by(9) {
        plan.nodes[number].leaves_us = Some(30 * SECOND_US + number as u64 * SECOND_US / 5);
        plan.nodes[number].departure = if number % 2 == 0 { Departure::Polite } else { Departure::Crash };
    }
    let turn = |from_s: u64| Spurt { node: NodeIx(3), from_us: from_s * SECOND_US, until_us: (from_s + 2) * SECOND_US };
    plan.talk.extend((32..50).step_by(4).map(turn));
    plan.talk.sort_by_key(|spurt| spurt.from_us);
    plan
}

fn start(plan: &Arc<Plan>, protection: Protection) -> Box<dyn Run> {
    treehouse::start(Arc::clone(plan), Settings { protection, ..Settings::default() }, Sound::Packets)
}

fn run(plan: Plan, protection: Protection) -> Outcome {
    start(&Arc::new(plan), protection).run()
}

#[test]
fn a_hundred_members_hear_everything_on_a_quiet_network() {
    for protection in Protection::ALL {
        let outcome = run(room(60 * SECOND_US), protection);
        for (number, node) in outcome.nodes.iter().enumerate().skip(1) {
            assert_eq!(node.on_time, node.due, "{protection:?}: {number} {node:?} {:?}", outcome.counts);
            assert!(node.due > 1400, "{protection:?}: {number} {node:?}");
        }
        assert_eq!(outcome.outages, [], "{protection:?}");
        let second = outcome.seconds[50];
        assert_eq!((second.present, second.with_parent), (100, 99), "{protection:?}: {second:?}");
        // A standby more for nobody, for relays, for everyone.
        let copies: u64 = outcome.nodes.iter().skip(1).map(|node| node.copies).sum();
        let fresh: u64 = outcome.nodes.iter().skip(1).map(|node| node.fresh).sum();
        let copies = copies as f64 / fresh as f64;
        let expected = match protection {
            Protection::Off => 1.0..1.1,
            Protection::Relays => 1.05..1.6,
            Protection::All | Protection::Auto => 1.8..2.1,
        };
        assert!(expected.contains(&copies), "{protection:?}: {copies}");
    }
}

/// Runs a room until its busiest relay is killed, and on to the end.
fn kill_a_relay(protection: Protection) -> (NodeIx, Outcome) {
    // Ways so long that a repair, of 150 ms of silence and a round trip, is a silence that a listener notices; under `all`,
    // where nobody should, the tree is deeper, and shorter ways bring all in time through it.
    let way_us = if protection == Protection::All { 40_000 } else { 60_000 };
    let long = || Plan { delay: Arc::new(Everywhere(way_us)), ..room(45 * SECOND_US) };
    crash::kill_a_relay(long, |plan| start(plan, protection))
}

#[test]
fn with_live_standbys_a_relay_s_crash_loses_nothing() {
    crash::assert_nothing_is_lost(kill_a_relay(Protection::All));
}

#[test]
fn without_them_it_makes_an_outage_of_less_than_a_second() {
    crash::assert_the_outage_is_short(kill_a_relay(Protection::Off));
}

#[test]
fn one_plan_gives_one_outcome() {
    let hash = || results::hash(&run(busy_room(60 * SECOND_US), Protection::Relays));
    let first = hash();
    assert_eq!(first, hash());
    // Printed, so that a run under another profile can be held against it.
    println!("hash of the busy room: {first}");
}

#[test]
fn forgers_are_never_heard() {
    let mut plan = room(60 * SECOND_US);
    for number in (1..100).step_by(9) {
        plan.nodes[number].hostile = Some(Hostile::Forge);
    }
    let outcome = run(plan, Protection::Relays);
    assert!(outcome.counts["offences_forged"] > 0, "forged packets are noticed: {:?}", outcome.counts);
    assert_eq!(outcome.counts.get("forged_frames_heard"), None);
}

/// Whatever one relay in nine does, those that are honest hear.
#[test]
fn each_way_to_be_hostile_costs_the_others_little() {
    for behaviour in [
        Behaviour::Replay { after: Duration::from_secs(1) },
        Behaviour::DropVoice,
        Behaviour::Flood { per_second: 1000 },
        Behaviour::StaleState,
        Behaviour::RedeemTwice,
        Behaviour::WidenInvite,
        Behaviour::Garbage,
        Behaviour::SlowReader,
    ] {
        let mut plan = room(60 * SECOND_US);
        let hostile = |number: usize| number % 9 == 1;
        for number in (1..100).filter(|number| hostile(*number)) {
            plan.nodes[number].hostile = Some(Hostile::Twist(behaviour));
        }
        let outcome = run(plan, Protection::Relays);
        let honest = outcome.nodes.iter().enumerate().skip(1).filter(|(number, _)| !hostile(*number));
        let (on_time, due) = honest.fold((0, 0), |(on_time, due), (_, of)| (on_time + of.on_time, due + of.due));
        println!("{behaviour:?}: {on_time} of {due} frames; {:?}", outcome.counts);
        assert!(due > 100_000 && on_time * 100 >= due * 97, "{behaviour:?}: {on_time} of {due}");
        assert_eq!(outcome.counts.get("forged_frames_heard"), None, "{behaviour:?}");
    }
}

/// The seed under which [`Cheap`] has the public key that [`Shipped`] has under another.
fn same_key(seed: &[u8; 32]) -> [u8; 32] {
    Shipped.public_key(&Shipped.signer(seed)).map(|byte| !byte)
}

/// What a run comes to, and everyone's parent, standby and depth after each second.
fn watch(members: usize, mut run: Box<dyn Run>) -> (Vec<String>, Outcome) {
    let mut topology = Vec::new();
    while run.run_until(run.now_us() + SECOND_US) {
        let places = (0..members as u32).map(|node| run.place(NodeIx(node)));
        topology.push(format!("{:?}", places.collect::<Vec<_>>()));
    }
    (topology, run.finish())
}

#[test]
fn the_real_suite_gives_the_same_tree_and_the_same_deliveries_as_the_cheap_one() {
    let plan = Arc::new(busy_room(40 * SECOND_US));
    let (settings, members) = (Settings { protection: Protection::Relays, ..Settings::default() }, plan.nodes.len());
    let cheap = treehouse::start_with_seeds(Arc::clone(&plan), settings, Sound::Packets, same_key);
    let (cheap_tree, cheap) = watch(members, cheap);
    let real = Engine::new(plan, |plan| Treehouse::with_suite(plan, settings, Shipped, |seed| *seed));
    let (real_tree, real) = watch(members, Box::new(real));
    for (second, (cheap, real)) in cheap_tree.iter().zip(&real_tree).enumerate() {
        assert_eq!(cheap, real, "after {second} s");
    }
    assert_eq!(cheap_tree.len(), real_tree.len());
    assert!(cheap.delays.count() > 30_000, "there is something to compare");
    assert_eq!(results::hash(&cheap), results::hash(&real));
    assert_eq!(cheap.counts, real.counts);
    assert_eq!(cheap.nodes, real.nodes);
    assert_eq!(cheap.events, real.events);
}

/// The scenario as it is shipped, up to half a minute after the relays die.
#[test]
fn of_those_whose_relays_die_together_nearly_all_hear_again_within_two_seconds() {
    let died_us = 60 * SECOND_US;
    for seed in 1..=2 {
        let sets = [("duration".to_owned(), "90s".to_owned())];
        let plan = Scenario::load("mass-failure", &sets).expect("it is shipped").plan(seed).expect("it can be drawn");
        let outcome = treehouse::start(Arc::new(plan), Settings::default(), Sound::Packets).run();
        let begins_us = |of: &&Outage| of.at_us.saturating_sub(of.length_us);
        let cut = outcome.outages.iter().filter(|of| (died_us..died_us + SECOND_US).contains(&begins_us(of)));
        let cut: Vec<u64> = cut.map(|of| of.length_us).collect();
        let late = cut.iter().filter(|length_us| **length_us > 2 * SECOND_US).count();
        println!("seed {seed}: {late} of {} heard nothing for more than two seconds", cut.len());
        assert!(cut.len() > 100, "many are cut off: {}", cut.len());
        assert!(100 * late <= cut.len(), "{late} of {}", cut.len());
    }
}
