//! The engine against what can be reckoned by hand.

mod support;

use std::sync::Arc;

use support::{node, plan};
use treehouse_sim::{
    engine::Engine,
    plan::{Departure, NodeIx, Spurt},
    strategies::star::Star,
};

#[test]
fn a_star_delivers_each_frame_once_after_its_propagation() {
    let mut plan = plan(5, 10_000_000);
    plan.nodes[2].leaves_us = Some(5_000_000);
    plan.nodes[3].leaves_us = Some(5_000_000);
    plan.nodes[3].departure = Departure::Crash;
    let outcome = Engine::new(Arc::new(plan), |_| Star::default()).run();
    let delay_us = outcome.delays.quantile_us(0.5).expect("there are deliveries");
    // 20 ms of propagation, and at most 4 packets of 160 bytes behind each other at 100 Mbit/s.
    assert!((20_000..20_200).contains(&delay_us), "{delay_us}");
    let stayed = &outcome.nodes[1];
    assert_eq!(stayed.on_time, stayed.heard);
    assert_eq!(stayed.due, stayed.on_time, "everything due is heard");
    assert_eq!(stayed.copies, stayed.fresh);
    // From the warm-up of 1 s to 0.4 s before it goes, 50 frames a second.
    assert_eq!(outcome.nodes[2].due, 180, "{:?}", outcome.nodes[2]);
    assert_eq!(outcome.nodes[3].due, 180, "{:?}", outcome.nodes[3]);
    assert_eq!(outcome.outages, []);
}

#[test]
fn one_seed_gives_one_outcome() {
    let run = || Engine::new(Arc::new(plan(20, 5_000_000)), |_| Star::default()).run();
    let (a, b) = (run(), run());
    assert_eq!(a.delays, b.delays);
    assert_eq!(a.events, b.events);
    assert_eq!(a.nodes, b.nodes);
}

#[test]
fn an_uplink_that_is_too_small_delays_and_drops() {
    let mut plan = plan(50, 10_000_000);
    // 49 listeners at 50 packets a second of 160 + 60 bytes are 4.3 Mbit/s.
    plan.nodes[0] = node(0, 2_000_000);
    let outcome = Engine::new(Arc::new(plan), |_| Star::default()).run();
    assert!(outcome.counts["uplink_drops"] > 1000, "{:?}", outcome.counts);
    assert!(outcome.delays.quantile_us(0.5).expect("some arrive") > 400_000);
}

#[test]
fn a_speaker_has_no_outage_while_it_speaks_itself_and_owes_nobody_more_than_was_due() {
    let talk = |node: u32, from_s: u64, until_s: u64| Spurt {
        node: NodeIx(node),
        from_us: from_s * 1_000_000,
        until_us: until_s * 1_000_000,
    };
    let mut plan = plan(5, 10_000_000);
    plan.talk = vec![talk(1, 2, 5), talk(2, 5, 8), talk(1, 8, 10)];
    // One that goes 300 ms after it came: nothing was due at it.
    plan.nodes[3].joins_us = 6_000_000;
    plan.nodes[3].leaves_us = Some(6_300_000);
    plan.nodes[3].departure = Departure::Crash;
    let outcome = Engine::new(Arc::new(plan), |_| Star::default()).run();
    assert_eq!(outcome.outages, []);
    let sums = outcome.nodes.iter().fold((0, 0), |(due, on_time), row| (due + row.due, on_time + row.on_time));
    assert_eq!(sums.0, sums.1, "frames due, and on time");
}
