//! Packet mode and flow mode agree at 1,000 nodes.
//!
//! Two things differ between the modes, and each is held against packets. How sound is computed: over the very same tree, in one
//! run, by packets and by spans. And how rooms are driven, hushed or not: the trees of two runs differ as those of two seeds do,
//! since a millisecond of jitter sends a member elsewhere: a quantile of one run differs by 5 % or more from that of another.
//! There the means of eight seeds are compared, and held to what such means differ by.

use std::sync::Arc;

use treehouse_sim::{
    measure::Outcome,
    results::{Meta, Summary},
    scenario::Scenario,
    strategies::{
        self,
        treehouse::{Settings, Sound},
    },
};

const QUANTILES: [f64; 4] = [0.1, 0.5, 0.9, 0.99];

/// A thousand members with churn, of which half a minute counts.
fn evening(duration_s: u64) -> Scenario {
    let sets = [
        ("members", "1000".to_owned()),
        ("duration", format!("{duration_s}s")),
        ("warmup", "30s".to_owned()),
        ("arrivals.ramp", "20s".to_owned()),
        ("talk.model", "constant".to_owned()),
        ("talk.speakers", "1".to_owned()),
    ];
    let sets: Vec<_> = sets.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    Scenario::load("evening-room", &sets).expect("the scenario is shipped")
}

/// The quantiles of delay in milliseconds.
fn delays_ms(outcome: &Outcome) -> [f64; 4] {
    QUANTILES.map(|share| outcome.delays.quantile_us(share).expect("there are deliveries") as f64 / 1000.0)
}

/// Frames on time in percent.
fn delivery(outcome: &Outcome) -> f64 {
    let sum =
        |of: fn(&treehouse_sim::measure::NodeRow) -> u64| outcome.nodes.iter().skip(1).map(of).sum::<u64>() as f64;
    100.0 * sum(|node| node.on_time) / sum(|node| node.due)
}

fn assert_near(what: &str, packets: f64, flow: f64, share: f64) {
    println!("{what}: packets {packets:.3}, flow {flow:.3}");
    assert!((flow / packets - 1.0).abs() < share, "{what}: {packets} by packets, {flow} by flow");
}

#[test]
fn sound_as_spans_is_sound_as_packets_over_the_same_tree() {
    for seed in 1..=3 {
        let plan = Arc::new(evening(60).plan(seed).expect("the plan can be drawn"));
        let mut run = strategies::treehouse::start(plan, Settings::default(), Sound::Both);
        while run.run_until(run.now_us() + 1_000_000) {}
        let (packets, spans) = run.finish_both();
        for ((share, packets), spans) in QUANTILES.iter().zip(delays_ms(&packets)).zip(delays_ms(&spans)) {
            assert_near(&format!("seed {seed}, delay at {share}, ms"), packets, spans, 0.03);
        }
        let (a, b) = (delivery(&packets), delivery(&spans));
        println!("seed {seed}, on time: packets {a:.4} %, spans {b:.4} %");
        assert!((a - b).abs() < 0.05, "on time: {a} % by packets, {b} % by spans");
        let copies = |of: &Outcome| {
            let sum = |of: &[treehouse_sim::measure::NodeRow]| {
                of.iter().skip(1).fold((0, 0), |(a, b), row| (a + row.copies, b + row.fresh))
            };
            let (copies, fresh) = sum(&of.nodes);
            copies as f64 / fresh as f64
        };
        assert_near("copies", copies(&packets), copies(&spans), 0.02);
        assert_near("listened", packets.listened_us as f64, spans.listened_us as f64, 0.001);
        println!("outages: packets {}, spans {}", packets.outages.len(), spans.outages.len());
    }
}

#[test]
fn hushed_rooms_build_what_rooms_build() {
    let mut means = [[0.0; 7]; 2];
    let seeds = 8;
    for seed in 1..=seeds {
        let scenario = evening(45);
        let plan = Arc::new(scenario.plan(seed).expect("the plan can be drawn"));
        let meta = Meta::new(&scenario, &plan, "treehouse");
        let packets = strategies::run_packets(scenario.strategy, &scenario.settings, Arc::clone(&plan), &mut |_| true);
        let flow = strategies::run_flow(scenario.strategy, &scenario.settings, plan, &mut |_| true);
        for (mean, outcome) in means.iter_mut().zip([&packets, &flow.expect("flow mode can run it")]) {
            let summary = Summary::new(&meta, outcome);
            let rest =
                [summary.depth.mean, summary.standby_share, summary.copies].map(|of| of.expect("it was observed"));
            let all = delays_ms(outcome).into_iter().chain(rest);
            mean.iter_mut().zip(all).for_each(|(mean, of)| *mean += of / f64::from(seeds as u32));
        }
    }
    let names = ["delay at 0.1", "delay at 0.5", "delay at 0.9", "delay at 0.99", "depth", "standby share", "copies"];
    for ((name, packets), flow) in names.iter().zip(means[0]).zip(means[1]) {
        assert_near(name, packets, flow, 0.1);
    }
}
