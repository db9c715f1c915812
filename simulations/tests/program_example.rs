//! The strategy of the tutorial: short, and of use beside the others.

#[path = "support/program.rs"]
mod program;

#[path = "../examples/flood.rs"]
#[expect(dead_code, reason = "its main is for those who run it")]
mod flood;

use program::{done, run};
use treehouse_sim::scenario::Scenario;

const SETS: [(&str, &str); 4] = [("members", "60"), ("duration", "20s"), ("warmup", "10s"), ("arrivals.ramp", "5s")];

#[test]
fn a_strategy_in_under_100_lines_is_compared_with_those_that_ship() {
    let lines = include_str!("../examples/flood.rs").lines().count();
    assert!(lines < 100, "{lines} lines");

    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    let owned: Vec<(String, String)> = SETS.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
    let scenario = Scenario::load("evening-room", &owned).expect("a scenario");
    let summary = flood::simulate(&scenario, &at.join("flood")).expect("it runs");
    assert!(summary.delivery_400ms.is_some_and(|share| share > 0.99), "{summary:?}");
    assert!(summary.copies.is_some_and(|copies| copies > 3.0), "{summary:?}");

    let sets: Vec<String> = SETS.iter().map(|(key, value)| format!("--set={key}={value}")).collect();
    let sets: Vec<&str> = sets.iter().map(String::as_str).collect();
    done(at, &[&["run", "evening-room", "--set=strategy=star", "--out", "star"], &sets[..]].concat());
    let compared = run(at, &["compare", "star", "flood"]);
    assert_eq!(compared.status, Some(0), "{compared:?}");
    assert!(compared.out.contains("flood") && compared.out.contains("star") && compared.err.is_empty(), "{compared:?}");
}
