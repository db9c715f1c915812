//! The demo itself, small: it checks what was heard, and nothing outlives it.

mod support;

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::Value;
use support::{PATIENCE, Place, Running, start};

/// Processes whose data folder is below this one.
fn children(folder: &str) -> usize {
    let environments = fs::read_dir("/proc").expect("/proc").flatten().map(|entry| entry.path().join("environ"));
    let wanted = format!("TREEHOUSE_DATA={folder}/data/");
    environments
        .filter_map(|path| fs::read(path).ok())
        .filter(|environment| String::from_utf8_lossy(environment).split('\0').any(|entry| entry.starts_with(&wanted)))
        .count()
}

fn wait_for(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(50));
    }
}

fn demo(place: &Place, out: &str, more: &[&str]) -> Running {
    let arguments = ["demo", "--listeners", "4", "--speakers", "1", "--out", out];
    start(&place.path("data"), &[&arguments[..], more].concat())
}

#[test]
fn a_small_room_hears_all_that_is_said_though_a_relay_is_killed() {
    let place = Place::new();
    let out = place.text("out");
    let ended = demo(&place, &out, &["--max-children", "3", "--for", "5s", "--kill-relay", "--json"]).ended();
    assert!(ended.status.success(), "{}\n{}", ended.stdout, ended.stderr);
    let last = ended.stdout.lines().last().unwrap_or_default();
    let summary: Value = serde_json::from_str(last).expect("the last line is JSON");
    assert_eq!(summary["event"], "summary");
    assert_eq!((&summary["listeners"], &summary["speakers"]), (&Value::from(4), &Value::from(1)));
    assert!(summary["frames_expected"].as_u64().is_some_and(|frames| frames > 300), "{last}");
    assert!(summary["depth_max"].as_u64().is_some_and(|depth| depth >= 2), "{last}");
    assert!(summary["killed_relay"]["children"].as_u64().is_some_and(|children| children > 0), "{last}");
    assert_eq!(ended.stdout.lines().filter(|line| line.contains(r#""event":"listener""#)).count(), 4);
    assert_eq!(children(&out), 0);
}

#[test]
fn ctrl_c_ends_all_nodes() {
    let place = Place::new();
    let out = place.text("out");
    let demo = demo(&place, &out, &["--for", "1m"]);
    wait_for("no node starts", || children(&out) >= 3);
    demo.signal(Signal::INT);
    let ended = demo.ended();
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("interrupted"), "{}", ended.stderr);
    assert_eq!(children(&out), 0);
}

#[test]
fn nodes_leave_even_when_the_demo_is_killed() {
    let place = Place::new();
    let out = place.text("out");
    let demo = demo(&place, &out, &["--for", "1m"]);
    wait_for("no node starts", || children(&out) >= 3);
    demo.signal(Signal::KILL);
    wait_for("nodes outlive the demo", || children(&out) == 0);
}
