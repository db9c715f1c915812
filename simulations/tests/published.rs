//! The baselines against figures that others published: each test names the figure, its source and how near it must come.

mod support;

use std::sync::Arc;

use support::plan;
use treehouse_sim::{engine::Engine, plan::NodeIx, strategies::random_tree::RandomTree};

/// In a random recursive tree the mean depth of n nodes is H(n) - 1 (Mahmoud 1991; Moon, "The distance between nodes in recursive
/// trees", 1974), 6.49 for 1,000; its standard deviation over trees is near 0.6.
#[test]
fn a_random_tree_without_a_bound_is_as_deep_as_a_random_recursive_tree() {
    const MEMBERS: u32 = 1000;
    let seeds = [1, 2, 3, 4];
    let mut mean = 0.0;
    for seed in seeds {
        let mut plan = plan(MEMBERS, 102_000_000);
        plan.seed = seed;
        for (number, node) in (0_u64..).zip(&mut plan.nodes) {
            node.children_max = u8::MAX;
            node.joins_us = number * 100_000;
        }
        plan.talk.clear();
        let outcome = Engine::new(Arc::new(plan), |plan| RandomTree::new(plan)).run();
        let depths: f64 = outcome.nodes.iter().skip(1).map(|node| node.depth.expect("everyone is in the tree")).sum();
        mean += depths / f64::from(MEMBERS) / seeds.len() as f64;
    }
    let expected: f64 = (1..=MEMBERS).map(|k| 1.0 / f64::from(k)).sum::<f64>() - 1.0;
    assert!((mean - expected).abs() < 0.7, "mean depth {mean:.2}, published {expected:.2}");
}

#[test]
fn a_random_tree_respects_slots_and_mends_itself() {
    let mut plan = plan(200, 40_000_000);
    plan.warmup_us = 10_000_000;
    for (number, node) in (0_u64..).zip(&mut plan.nodes) {
        node.children_max = if number % 3 == 0 { 6 } else { 0 };
        node.joins_us = number * 20_000;
        if number % 7 == 3 {
            node.leaves_us = Some(20_000_000 + number * 10_000);
        }
    }
    let slots: Vec<u8> = plan.nodes.iter().map(|node| node.children_max).collect();
    let mut engine = Engine::new(Arc::new(plan), |plan| RandomTree::new(plan));
    while engine.run_until(engine.net().now_us() + 1_000_000) {
        for (node, slots) in (0_u32..).map(NodeIx).zip(&slots) {
            assert!(engine.strategy().children(node).len() <= usize::from(*slots));
        }
    }
    let outcome = engine.finish();
    let last = outcome.seconds.last().expect("seconds");
    assert_eq!(last.with_parent, last.present - 1);
    let (due, on_time) = outcome.nodes.iter().fold((0, 0), |sum, node| (sum.0 + node.due, sum.1 + node.on_time));
    assert!(on_time as f64 > 0.98 * due as f64, "{on_time} of {due}");
    assert!(outcome.nodes.iter().all(|node| node.copies <= node.fresh + 25), "one copy each, but for those that moved");
}
