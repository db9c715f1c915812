//! Flow mode: what is computed over spans of time against what can be reckoned by hand, and against itself.

#[path = "support/crash.rs"]
mod crash;
mod support;

use std::sync::Arc;

use support::{Everywhere, plan};
use treehouse_sim::{
    engine::Run,
    measure::{NodeRow, Outcome},
    network::Loss,
    plan::{Departure, Hostile, Incident, NodeIx, Plan},
    results,
    strategies::{
        self, Name, Settings,
        treehouse::{self, Protection, Sound},
    },
};

const SECOND_US: u64 = 1_000_000;

/// Members that come five a second, two thirds of them leaves, equally far from each other.
fn room(members: u32, way_us: u64, duration_us: u64) -> Plan {
    let mut plan = plan(members, duration_us);
    for (number, node) in (0_u64..).zip(&mut plan.nodes).skip(1) {
        node.joins_us = number * SECOND_US / 5;
        node.children_max = if number % 3 == 1 { 8 } else { 0 };
    }
    plan.delay = Arc::new(Everywhere(way_us));
    plan.media.frames_per_packet = 3;
    plan.warmup_us = 30 * SECOND_US;
    plan
}

fn start(plan: &Arc<Plan>, protection: Protection) -> Box<dyn Run> {
    let settings = treehouse::Settings { protection, ..treehouse::Settings::default() };
    treehouse::start(Arc::clone(plan), settings, Sound::Spans)
}

fn run(plan: Plan, protection: Protection) -> Outcome {
    start(&Arc::new(plan), protection).run()
}

#[test]
fn a_hundred_members_hear_everything_on_a_quiet_network() {
    for protection in Protection::ALL {
        let outcome = run(room(100, 20_000, 60 * SECOND_US), protection);
        for (number, node) in outcome.nodes.iter().enumerate().skip(1) {
            assert!(node.due > 1400, "{protection:?}: {number} {node:?}");
            assert_eq!((node.on_time, node.heard), (node.due, node.due), "{protection:?}: {number} {node:?}");
            // A way of 20 ms a hop.
            let mean_us = node.delay_sum_us / node.heard;
            assert!((20_000..150_000).contains(&mean_us), "{number}: {mean_us}");
        }
        assert_eq!(outcome.outages, [], "{protection:?}");
        let second = outcome.seconds[50];
        assert_eq!((second.present, second.with_parent), (100, 99), "{protection:?}: {second:?}");
        assert_eq!((second.due, second.on_time), (99 * 48, 99 * 48), "16 packets end in this second");
    }
}

/// The busiest relay crashes: what its subtree loses under a protection.
fn kill_a_relay(protection: Protection) -> (NodeIx, Outcome) {
    // As in packet mode: a repair over long ways is a silence that a listener notices; under `all` the tree is deeper, and
    // shorter ways bring all in time through it.
    let way_us = if protection == Protection::All { 40_000 } else { 60_000 };
    crash::kill_a_relay(|| room(100, way_us, 45 * SECOND_US), |plan| start(plan, protection))
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
    let hash = || {
        let mut plan = room(100, 20_000, 60 * SECOND_US);
        plan.jitter_us = 1_000;
        for number in (5..100).step_by(9) {
            plan.nodes[number].leaves_us = Some(30 * SECOND_US + number as u64 * SECOND_US / 5);
            plan.nodes[number].departure = if number % 2 == 0 { Departure::Polite } else { Departure::Crash };
        }
        results::hash(&run(plan, Protection::Relays))
    };
    let first = hash();
    assert_eq!(first, hash());
    // Printed, so that a run under another profile can be held against it.
    println!("hash of the room in flow mode: {first}");
}

#[test]
fn what_flow_mode_cannot_do_is_refused_in_a_sentence() {
    let refusal = |name, change: fn(&mut Plan)| {
        let mut plan = plan(3, SECOND_US);
        change(&mut plan);
        strategies::run_flow(name, &Settings::default(), Arc::new(plan), &mut |_| true).map(|_| ())
    };
    let said = |name, change| refusal(name, change).expect_err("it cannot").to_string();
    assert!(said(Name::GossipSub, |_| ()).contains("--set mode=packet"));
    assert!(said(Name::Treehouse, |plan| plan.loss = Loss::Independent { share: 0.01 }).contains("network.loss"));
    assert!(said(Name::Treehouse, |plan| plan.nodes[1].hostile = Some(Hostile::Forge)).contains("hostile"));
    let partition = |plan: &mut Plan| plan.incidents = vec![(0, Incident::Partition { sides: vec![0], heals_us: 1 })];
    assert!(said(Name::Treehouse, partition).contains("partition"));
    assert_eq!(refusal(Name::Treehouse, |_| ()), Ok(()));
}

#[test]
fn a_star_is_heard_as_in_packet_mode_and_its_server_is_never_short_of_uplink() {
    let star = |in_flow: bool| {
        let mut plan = room(60, 30_000, 60 * SECOND_US);
        // Too little for one listener, were it not a server's.
        plan.nodes[0].uplink_bps = 10_000;
        plan.nodes[5].leaves_us = Some(40 * SECOND_US);
        plan.nodes[6].leaves_us = Some(40 * SECOND_US);
        plan.nodes[6].departure = Departure::Crash;
        let (plan, settings) = (Arc::new(plan), Settings::default());
        match in_flow {
            true => strategies::run_flow(Name::Star, &settings, plan, &mut |_| true).expect("a star has feeds"),
            false => strategies::run_packets(Name::Star, &settings, plan, &mut |_| true),
        }
    };
    let (packets, flow) = (star(false), star(true));
    let sums =
        |of: &Outcome| of.nodes.iter().fold((0, 0, 0), |(a, b, c), row| (a + row.due, b + row.on_time, c + row.copies));
    let ((due, on_time, copies), of_packets) = (sums(&flow), sums(&packets));
    assert!(due > 80_000 && due == on_time, "all are on time: {due} {on_time}");
    let differ = |(a, b): &(&NodeRow, &NodeRow)| a.due.abs_diff(b.due) > 3;
    assert_eq!(flow.nodes.iter().zip(&packets.nodes).filter(differ).count(), 0, "by more than one packet");
    assert!(copies.abs_diff(of_packets.2) * 50 < copies, "{copies} {of_packets:?}");
    let delay_us = |of: &Outcome| of.delays.quantile_us(0.5).expect("deliveries");
    assert!(delay_us(&flow).abs_diff(delay_us(&packets)) < 2_000, "{} {}", delay_us(&flow), delay_us(&packets));
}
