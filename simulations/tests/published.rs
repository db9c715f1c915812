//! The baselines against figures that others published: each test names the figure, its source and how near it must come.

mod support;

use std::sync::Arc;

use support::plan;
use treehouse_sim::{
    engine::Engine,
    network::Delay,
    plan::{NodeIx, Spurt},
    random::mix,
    strategies::{gossipsub, random_tree::RandomTree},
};

/// Any two sites are this far from each other, drawn once for each pair.
struct Uniform {
    seed: u64,
    least_us: u64,
    most_us: u64,
}

impl Delay for Uniform {
    fn one_way_us(&self, a: u32, b: u32) -> u64 {
        let pair = (u64::from(a.min(b)) << 32) | u64::from(a.max(b));
        self.least_us + mix(mix(pair) ^ self.seed) % (self.most_us - self.least_us)
    }

    fn name(&self) -> &str {
        "uniform"
    }
}

/// One packet of a node, captured at a time.
fn packet_at(node: u32, at_us: u64, frame_us: u64) -> Spurt {
    Spurt { node: NodeIx(node), from_us: at_us - frame_us, until_us: at_us + frame_us }
}

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

/// vyzo/gerbil-simsub (the simulator of GossipSub's author), gossipsub v1.0 with D = 6, 4 to 12, D_lazy = 6: 1,000 nodes, 20 links opened
/// by each, 10 to 150 ms one way plus up to a tenth of that, 5 sources, a message a second: 6.3 copies per delivery, 61 % of
/// deliveries within 200 to 300 ms. Tolerance: 0.4 copies, 7 points.
#[test]
fn gossipsub_makes_as_many_copies_as_its_author_saw() {
    let mut plan = plan(1000, 66_000_000);
    plan.seed = 7;
    plan.warmup_us = 6_000_000;
    plan.delay = Arc::new(Uniform { seed: 7, least_us: 10_000, most_us: 150_000 });
    plan.jitter_us = 4_000;
    plan.media.packet_bytes = 200;
    plan.talk = (0..60)
        .map(|number| packet_at(1 + number % 5 * 199, 5_000_000 + u64::from(number) * 1_000_000, 20_000))
        .collect();
    let settings = gossipsub::Settings {
        d: 6,
        d_lo: 4,
        d_hi: 12,
        d_out: 0,
        d_lazy: 6,
        gossip_factor: 0.0,
        flood_publish: false,
        idontwant_bytes: u32::MAX,
        prune_peers: 0,
        prune_backoff_s: 0,
        graft_on_join: false,
        ..gossipsub::Settings::default()
    };
    settings.check().expect("they make sense");
    let outcome = Engine::new(Arc::new(plan), |plan| gossipsub::GossipSub::new(plan, &settings)).run();
    let (copies, fresh) = outcome.nodes.iter().fold((0, 0), |sum, node| (sum.0 + node.copies, sum.1 + node.fresh));
    let copies = copies as f64 / fresh as f64;
    let delays = &outcome.delays;
    let within = (delays.within(300_000) - delays.within(200_000)) as f64 / delays.count() as f64;
    println!("copies {copies:.2}, within 200 to 300 ms {:.1} %", 100.0 * within);
    assert!((copies - 6.3).abs() < 0.4, "{copies:.2} copies per delivery, published 6.3");
    assert!((within - 0.61).abs() < 0.07, "{:.1} % within 200 to 300 ms, published 61 %", 100.0 * within);
}
