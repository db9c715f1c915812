//! Treehouse in packet mode: rooms of the kind that ships, over the engine's network.

mod support;

use std::sync::Arc;

use support::plan;
use treehouse_sim::{
    engine::Engine,
    measure::Outcome,
    plan::Plan,
    strategies::treehouse::{Protection, Settings, Treehouse},
};

const SECOND_US: u64 = 1_000_000;

/// A hundred members that come two a second, two thirds of them leaves, on a network that loses nothing.
fn room(duration_us: u64) -> Plan {
    let mut plan = plan(100, duration_us);
    for (number, node) in (0_u64..).zip(&mut plan.nodes).skip(1) {
        node.joins_us = number * SECOND_US / 5;
        node.children_max = if number % 3 == 1 { 8 } else { 0 };
    }
    plan.warmup_us = 30 * SECOND_US;
    plan
}

fn run(plan: Plan, protection: Protection) -> Outcome {
    let settings = Settings { protection };
    Engine::new(Arc::new(plan), |plan| Treehouse::new(plan, settings)).run()
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
    }
}
