//! Scenarios as a researcher meets them.

use std::path::Path;

use super::{Scenario, ScenarioError, check::MEMBERS_MAX, shipped};
use crate::{
    models::{arrivals, delay},
    network::Loss,
    plan::{Departure, NodeIx, Plan},
};

fn sets(of: &[(&str, &str)]) -> Vec<(String, String)> {
    of.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn parse(text: &str, with: &[(&str, &str)]) -> Result<Scenario, ScenarioError> {
    Scenario::parse(text, "room.toml", "room", Path::new("."), &sets(with))
}

fn wrong(text: &str) -> String {
    parse(text, &[]).expect_err("it is wrong").to_string()
}

fn wrong_set(key: &str, value: &str) -> String {
    parse("members = 20\n", &[(key, value)]).expect_err("it is wrong").to_string()
}

fn plan(with: &[(&str, &str)]) -> Plan {
    parse("members = 400\n", with).and_then(|scenario| scenario.plan(scenario.seed)).expect("it is a plan")
}

#[test]
fn every_shipped_scenario_loads_and_plans() {
    for (name, _) in shipped() {
        let scenario = Scenario::load(name, &[]).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(scenario.name, *name);
        assert!(!scenario.description.is_empty(), "{name}");
        let plan = scenario.plan(scenario.seed).unwrap_or_else(|error| panic!("{error}"));
        let host = &plan.nodes[0];
        assert!(host.reachable && host.children_max > 0 && host.joins_us == 0 && host.leaves_us.is_none(), "{name}");
        let is_there = |at_us| {
            move |node: &&crate::plan::NodePlan| {
                node.joins_us <= at_us && node.leaves_us.is_none_or(|leaves_us| leaves_us > at_us)
            }
        };
        let present = plan.nodes.iter().filter(is_there(plan.warmup_us)).count() as f64;
        // Four standard deviations of a Poisson count, and stays of less than a second that are left out; lean-gossip's churny persons are away a sixth of the time.
        let expected = f64::from(scenario.members);
        assert!(
            (present - expected).abs() < 4.0 * expected.sqrt() + 0.001 * expected + 5.0,
            "{name}: {present} of {expected}"
        );
        assert!(!plan.talk.is_empty(), "{name}");
        assert!(plan.talk.windows(2).all(|two| two[0].from_us <= two[1].from_us), "{name}");
        assert!(plan.incidents.iter().all(|(at_us, _)| *at_us > plan.warmup_us), "{name}");
        assert!(plan.nodes.iter().all(|node| node.person < plan.persons), "{name}");
    }
}

#[test]
fn one_seed_is_one_world() {
    let (a, b, c) = (plan(&[]), plan(&[]), plan(&[("seed", "2")]));
    let show = |plan: &Plan| format!("{:?} {:?}", plan.nodes, plan.talk);
    assert_eq!(show(&a), show(&b));
    assert_ne!(show(&a), show(&c));
    assert_eq!(a.delay.one_way_us(3, 300), b.delay.one_way_us(3, 300));
}

#[test]
fn each_subsystem_draws_from_its_own_stream() {
    let plain = plan(&[]);
    let times = |plan: &Plan| plan.nodes.iter().map(|node| (node.joins_us, node.leaves_us)).collect::<Vec<_>>();
    let lines = |plan: &Plan| {
        plan.nodes.iter().map(|node| (node.uplink_bps, node.reachable, node.children_max)).collect::<Vec<_>>()
    };
    let talk = plan(&[("talk.model", "on-off")]);
    assert_ne!(talk.talk, plain.talk);
    assert_eq!((times(&talk), lines(&talk)), (times(&plain), lines(&plain)));
    let hostile = plan(&[("adversaries.share", "50%")]);
    assert!(hostile.nodes.iter().filter(|node| node.hostile.is_some()).count() > 30);
    assert_eq!((times(&hostile), lines(&hostile)), (times(&plain), lines(&plain)));
    let plane = plan(&[("delay.model", "plane")]);
    assert_eq!((times(&plane), lines(&plane)), (times(&plain), lines(&plain)));
    let slow = plan(&[("access.fibre.uplink", "2Mbit/s")]);
    assert_eq!((times(&slow), &slow.talk), (times(&plain), &plain.talk));
    assert_eq!(slow.delay.one_way_us(1, 2), plain.delay.one_way_us(1, 2));
    let crashes = plan(&[("sessions.crash", "100%")]);
    assert_eq!(times(&crashes), times(&plain), "how members go leaves when they go as it is");
    assert!(crashes.nodes.iter().skip(1).all(|node| node.departure == Departure::Crash));
}

#[test]
fn a_wrong_key_is_named_with_its_line_and_the_nearest() {
    assert_eq!(
        wrong("members = 20\nduratoin = \"60s\"\n"),
        "room.toml:2: unknown key `duratoin`; the nearest valid key is `duration`"
    );
    assert_eq!(
        wrong("[talk]\nmodel = \"floor\"\n\n[talk.floor]\nturns = \"8s\"\n"),
        "room.toml:5: unknown key `talk.floor.turns`; the nearest valid key is `talk.floor.turn`"
    );
    assert_eq!(
        wrong("[access.fibre]\nshare = \"30%\"\nup_link = \"5Mbit/s\"\n"),
        "room.toml:3: unknown key `access.fibre.up_link`; the nearest valid key is `access.fibre.uplink`"
    );
    assert_eq!(
        wrong("[[incidents]]\nkind = \"host-dies\"\nwhen = \"60s\"\n"),
        "room.toml:3: unknown key `incidents.0.when`; valid keys here are: kind, at, share, lasts"
    );
    assert_eq!(
        wrong("[talk]\nloss = \"2%\"\n"),
        "room.toml:2: unknown key `talk.loss`; the nearest valid key is `network.loss`"
    );
    assert_eq!(
        wrong("[sesions]\nmodel = \"fixed\"\n"),
        "room.toml:1: unknown key `sesions`; the nearest valid key is `sessions`"
    );
    assert_eq!(
        wrong_set("sessions.lognormal.sgma", "2"),
        "--set sessions.lognormal.sgma=2: unknown key `sessions.lognormal.sgma`; the nearest valid key is \
         `sessions.lognormal.sigma`"
    );
}

#[test]
fn a_wrong_value_is_named_with_its_line_and_what_would_be_right() {
    assert_eq!(
        wrong("duration = \"60sec\"\n"),
        "room.toml:1: `duration`: unknown unit `sec` in `60sec`; the nearest valid one is `s` (units: h, min, s, ms, us)"
    );
    assert_eq!(
        wrong("members = 5\nwarmup = 10\n"),
        "room.toml:2: `warmup`: invalid type: integer `10`, expected a length of time with its unit, such as \"60s\""
    );
    assert_eq!(
        wrong("[arrivals]\nmodel = \"stedy\"\n"),
        "room.toml:2: `arrivals.model`: unknown word `stedy`; the nearest valid one is `steady` (valid: none, steady, \
         poisson, flash, trace, ticks)"
    );
    assert_eq!(wrong("[network]\nloss = \"101%\"\n"), "room.toml:2: `network.loss`: `101%` is more than 100%");
    assert_eq!(
        wrong_set("network.loss", "2"),
        "--set network.loss=2: `network.loss`: invalid type: integer `2`, expected a share with its unit, such as \"2%\""
    );
    assert_eq!(
        wrong("members = 20\nmembers ="),
        "room.toml:2: this is not TOML: string values must be quoted, expected literal string"
    );
}

#[test]
fn values_that_do_not_fit_are_named() {
    assert_eq!(
        wrong("duration = \"60s\"\n\nwarmup = \"2min\"\n"),
        "room.toml:3: `warmup`: 2min must be less than the duration of 1min"
    );
    assert_eq!(
        wrong("[access.nat]\nopen = \"90%\"\n"),
        "room.toml:1: `access.nat`: the shares of its classes make 175%; they must make 100%"
    );
    assert_eq!(
        wrong("[[incidents]]\nkind = \"partition\"\nshare = \"3%\"\n"),
        "room.toml:1: `incidents.0.lasts`: missing: how long the partition lasts"
    );
    assert_eq!(wrong_set("members", "0"), format!("--set members=0: `members`: 0 is out of range: 1 to {MEMBERS_MAX}"));
    assert_eq!(
        wrong_set("talk.speakers", "21"),
        "--set talk.speakers=21: `talk.speakers`: 21 is out of range: 1 to 50, and no more than `members`"
    );
    assert_eq!(
        wrong_set("warmup", "1s"),
        "room.toml: `arrivals.ramp`: 20s is longer than the warm-up of 1s: figures would count while members still come"
    );
    assert_eq!(
        wrong_set("sessions.fixed.length", "1us"),
        "--set sessions.fixed.length=1us: `sessions.fixed.length`: 1us is out of range: 1ms to 8760h"
    );
    assert_eq!(
        wrong_set("delay.model", "matrix"),
        "room.toml: `delay.matrix.file`: `delay.model` is `matrix`: name its file"
    );
    assert_eq!(
        wrong_set("network.mean-burst", "nan"),
        "--set network.mean-burst=nan: `network.mean-burst`: NaN is out of range: 1 to 1000"
    );
}

#[test]
fn what_is_not_there_is_said() {
    assert_eq!(
        Scenario::load("evening-rom", &[]).expect_err("there is none").to_string(),
        "no file and no shipped scenario is called `evening-rom`; did you mean `evening-room`? `treehouse-sim scenarios` \
         lists what is shipped"
    );
    let folder = Scenario::load("/", &[]).expect_err("it is a folder").to_string();
    assert!(folder.starts_with("cannot read /: "), "{folder}");
    let text = "[delay]\nmodel = \"matrix\"\nmatrix.file = \"no-such-file\"\n";
    let error = parse(text, &[]).and_then(|scenario| scenario.plan(1)).err().expect("there is no file");
    assert!(error.to_string().starts_with("room: `delay.matrix.file`: ./no-such-file: "), "{error}");
}

#[test]
fn keys_can_be_set() {
    let scenario = parse(
        "[talk]\nmodel = \"floor\"\nspeakers = 4\n\n[[incidents]]\nkind = \"host-dies\"\nat = \"40s\"\n",
        &[
            ("members", "50"),
            ("duration", "90s"),
            ("talk.model", "constant"),
            ("delay.model", "regions"),
            ("network.loss", "2%"),
            ("network.mean-burst", "4"),
            ("incidents.0.at", "50s"),
            ("incidents.1.kind", "relays-fail"),
            ("incidents.1.at", "45s"),
        ],
    );
    let error = scenario.expect_err("the second incident strikes nobody").to_string();
    assert_eq!(error, "--set incidents.1.at=45s: `incidents.1.share`: missing: the share of members that it strikes");
    let scenario = parse(
        "[talk]\nmodel = \"floor\"\nspeakers = 4\n",
        &[
            ("members", "50"),
            ("talk.model", "constant"),
            ("delay.model", "regions"),
            ("network.loss", "2%"),
            ("network.mean-burst", "4"),
            ("incidents.0.kind", "relays-fail"),
            ("incidents.0.share", "30%"),
            ("incidents.0.at", "45s"),
        ],
    )
    .expect("it is a scenario");
    assert_eq!((scenario.members, scenario.delay.model), (50, delay::Model::Regions));
    let plan = scenario.plan(1).expect("it is a plan");
    assert_eq!(plan.talk.len(), 4);
    assert_eq!(plan.incidents.len(), 1);
    assert!(matches!(plan.loss, Loss::Bursty { leave: 0.25, .. }), "{:?}", plan.loss);
    assert_eq!(plan.talk[0].node, NodeIx::HOST);
}

#[test]
fn a_scenario_can_be_written_and_read_again() {
    for (name, text) in shipped() {
        let scenario = Scenario::load(name, &[]).expect("it loads");
        let written = toml::to_string(&scenario).expect("it can be written");
        let folder = Path::new(".");
        let again = Scenario::parse(&written, name, name, folder, &[]).expect("it can be read");
        assert_eq!(again, scenario, "{text}\n{written}");
    }
}

#[test]
fn a_trace_of_a_file_is_what_happens() {
    let folder = std::env::temp_dir().join(format!("treehouse-trace-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("churn.txt"), "1 a JOIN\n2 b JOIN\n30 a LEAVE\n").expect("a trace");
    std::fs::write(folder.join("replay.toml"), "[arrivals]\nmodel = \"trace\"\ntrace.file = \"churn.txt\"\n")
        .expect("a scenario");
    let path = folder.join("replay.toml");
    let scenario = Scenario::load(&path.to_string_lossy(), &[]).expect("it loads");
    assert_eq!((scenario.name.as_str(), scenario.arrivals.model), ("replay", arrivals::Model::Trace));
    let plan = scenario.plan(1).expect("it is a plan");
    let times: Vec<_> = plan.nodes.iter().map(|node| (node.joins_us, node.leaves_us)).collect();
    assert_eq!(times, [(0, None), (1_000_000, Some(30_000_000)), (2_000_000, None)]);
    std::fs::write(folder.join("churn.txt"), "1 a JOIN\n2 b LEFT\n").expect("a trace");
    let error = scenario.plan(1).err().expect("it is wrong").to_string();
    assert!(error.ends_with("churn.txt: line 2: `LEFT` is neither JOIN nor LEAVE"), "{error}");
    std::fs::remove_dir_all(&folder).expect("it goes");
}
