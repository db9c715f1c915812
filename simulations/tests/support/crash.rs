//! A room whose busiest relay crashes, in either mode.

use std::sync::Arc;

use treehouse_sim::{
    engine::Run,
    measure::Outcome,
    plan::{Departure, NodeIx, Plan},
};

const SECOND_US: u64 = 1_000_000;

/// Runs a room of a hundred until its busiest relay is killed, and on to the end.
pub fn kill_a_relay(plan: impl Fn() -> Plan, start: impl Fn(&Arc<Plan>) -> Box<dyn Run>) -> (NodeIx, Outcome) {
    let mut run = start(&Arc::new(plan()));
    run.run_until(33 * SECOND_US);
    let parent = |node: u32| run.place(NodeIx(node)).parent;
    let children = |relay: u32| (1..100).filter(|node| parent(*node) == Some(NodeIx(relay))).count();
    let relay = NodeIx((1..100).max_by_key(|relay| children(*relay)).expect("there are members"));
    assert!(children(relay.0) >= 2, "{relay:?}");
    // A run is a function of its plan: the same room again, in which that relay crashes a moment later.
    let mut plan = plan();
    plan.nodes[relay.index()].leaves_us = Some(33 * SECOND_US);
    plan.nodes[relay.index()].departure = Departure::Crash;
    (relay, start(&Arc::new(plan)).run())
}

/// Everyone else heard all in time, though the crash was noticed.
pub fn assert_nothing_is_lost((relay, outcome): (NodeIx, Outcome)) {
    for (number, node) in outcome.nodes.iter().enumerate().skip(1).filter(|(number, _)| *number != relay.index()) {
        assert_eq!(node.on_time, node.due, "{number} {node:?}");
    }
    assert_eq!(outcome.outages, []);
    assert!(outcome.counts["suspicions_silent"] > 0, "its children have noticed: {:?}", outcome.counts);
}

/// The crash is heard, for less than a second.
pub fn assert_the_outage_is_short((_, outcome): (NodeIx, Outcome)) {
    assert!(!outcome.outages.is_empty(), "a crash without a live standby is heard: {:?}", outcome.counts);
    let longest = outcome.outages.iter().map(|outage| outage.length_us).max();
    assert!(longest.is_some_and(|length_us| length_us < SECOND_US), "{:?}", outcome.outages);
    assert!(outcome.repairs.count() > 0);
}
