//! The program as people and scripts use it: its last line, its folders, its refusals, and Ctrl-C.

#[path = "support/program.rs"]
mod program;

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use program::{Ended, done, run};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// A run that takes no time.
const SMALL: [&str; 8] =
    ["--set", "members=20", "--set", "duration=6s", "--set", "warmup=3s", "--set", "arrivals.ramp=1s"];

fn with<'a>(command: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [command, &SMALL, more].concat()
}

fn last_line(out: &str) -> Value {
    serde_json::from_str(out.lines().last().unwrap_or_default()).expect("the last line is JSON")
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).expect("the file is there");
    text.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
}

#[test]
fn the_last_line_of_a_run_is_its_summary() {
    let folder = tempfile::tempdir().expect("a folder");
    let summary = last_line(&done(folder.path(), &with(&["run", "smoke", "--json"], &["--seed", "7"])));
    for key in [
        "event",
        "scenario",
        "strategy",
        "protection",
        "mode",
        "members",
        "seed",
        "delay_ms",
        "stretch_p50",
        "depth",
        "delivery_400ms",
        "copies",
        "repair_ms",
        "outages_per_listener_hour",
        "join_ms",
        "host_control_kbps",
        "control_share",
        "events",
        "events_per_s",
        "wall_s",
        "rss_mib",
        "hash",
    ] {
        assert!(summary.get(key).is_some(), "{key} is missing: {summary}");
    }
    assert_eq!((&summary["event"], &summary["seed"]), (&Value::from("summary"), &Value::from(7)));
    assert!(summary["delivery_400ms"].as_f64().is_some_and(|share| (0.9..=1.0).contains(&share)), "{summary}");
    let again = last_line(&done(folder.path(), &with(&["run", "smoke", "--json"], &["--seed", "7"])));
    assert_eq!(summary["hash"], again["hash"], "one seed gives one result");
    let other = last_line(&done(folder.path(), &with(&["run", "smoke", "--json"], &["--seed", "8"])));
    assert_ne!(summary["hash"], other["hash"], "another seed gives another");
}

#[test]
fn a_person_reads_figures_with_their_units() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = done(folder.path(), &with(&["run", "smoke"], &[]));
    for words in ["delay p50, p99", " ms", "events per second", "memory per member", " KiB", "hash"] {
        assert!(out.contains(words), "'{words}' is not in: {out}");
    }
}

#[test]
fn a_scenario_of_ones_own_is_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = done(folder.path(), &["scenarios", "smoke"]);
    fs::write(folder.path().join("mine.toml"), text).expect("a file");
    let shipped = last_line(&done(folder.path(), &with(&["run", "smoke", "--json"], &[])));
    let mine = last_line(&done(folder.path(), &with(&["run", "mine.toml", "--json", "--out", "results"], &[])));
    assert_eq!(mine["scenario"], "mine");
    assert_eq!(mine["hash"], shipped["hash"]);
    let manifest = fs::read_to_string(folder.path().join("results/manifest.json")).expect("a manifest");
    assert!(manifest.contains("members=20"), "{manifest}");
}

#[test]
fn what_is_wrong_is_one_sentence_and_a_status() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    fs::write(folder.join("wrong.toml"), "members = 20\n\n[talk]\nspeekers = 2\n").expect("a file");
    fs::write(folder.join("unit.toml"), "duration = \"60sec\"\n").expect("a file");
    fs::create_dir(folder.join("full")).expect("a folder");
    fs::write(folder.join("full/file"), "").expect("a file");
    assert_refused(folder, &["run", "smok"], 2, "did you mean `smoke`");
    assert_refused(folder, &["run", "wrong.toml"], 2, "wrong.toml:4: unknown key `talk.speekers`; the nearest valid");
    assert_refused(folder, &["run", "unit.toml"], 2, "unit.toml:1");
    assert_refused(folder, &["run", "smoke", "--set", "members"], 2, "--set members");
    assert_refused(folder, &["run", "smoke", "--set", "membres=5"], 2, "members");
    assert_refused(folder, &["run", "smoke", "--out", "full"], 1, "not empty");
    assert_refused(folder, &["run", "smoke", "--out", "full/file/below"], 1, "cannot make the folder");
    assert_refused(folder, &["scenarios", "smok"], 2, "did you mean `smoke`");
    assert_refused(folder, &["sweep", "smoke", "--over", "members"], 2, "lists no values");
    assert_refused(folder, &["sweep", "smoke", "--over", "membres=5,6", "--out", "s"], 2, "members");
    assert_refused(folder, &["sweep", "--from", "nothing.toml"], 1, "nothing.toml");
    assert_refused(folder, &["compare", "full"], 1, "full");
    assert_refused(folder, &["report", "nowhere"], 1, "nowhere");
    assert_refused(folder, &["baselines"], 1, "simulations/baselines");
}

#[test]
fn a_reader_that_has_read_enough_is_no_failure() {
    let mut child = program::program(".".as_ref(), &["scenarios", "--keys"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    drop(child.stdout.take());
    let ended: Ended = child.wait_with_output().expect("it ends").into();
    assert_eq!(ended.err, "", "{ended:?}");
}

#[test]
fn ctrl_c_keeps_what_was_measured_and_marks_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let arguments = ["run", "smoke", "--json", "--set", "duration=4h", "--set", "strategy=star", "--out", "results"];
    let mut child = program::program(folder.path(), &arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut out = BufReader::new(child.stdout.take().expect("its output"));
    let mut line = String::new();
    out.read_line(&mut line).expect("progress");
    assert!(line.contains("progress"), "{line}");
    interrupt(&child);
    let told: Vec<String> = out.lines().map_while(Result::ok).collect();
    let ended: Ended = child.wait_with_output().expect("it ends").into();
    assert_eq!(ended.status, Some(130), "{ended:?}");
    assert!(ended.err.contains("interrupted: the first") && ended.err.contains("results"), "{ended:?}");
    let summary = last_line(&told.join("\n"));
    assert_eq!(summary["interrupted"], true);
    assert!(summary["simulated_s"].as_f64().is_some_and(|s| s > 0.0 && s < 14_400.0), "{summary}");
    assert!(folder.path().join("results/nodes.parquet").is_file());
    let seen = run(folder.path(), &["compare", "results"]);
    assert!(seen.err.contains("was interrupted"), "{seen:?}");
}

#[test]
fn a_second_ctrl_c_ends_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    // So many come in the first two seconds that simulating them takes far longer than what follows here.
    let sets = ["--set", "members=20000", "--set", "arrivals.ramp=2s", "--out", "results"];
    let mut child = program::program(folder.path(), &[&["run", "smoke", "--json"], &sets[..]].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    // It claims its folder once it watches for Ctrl-C.
    wait_until(|| folder.path().join("results").is_dir());
    interrupt(&child);
    thread::sleep(Duration::from_millis(100));
    assert!(child.try_wait().expect("it is there").is_none(), "the first asks for an end that keeps what there is");
    interrupt(&child);
    let ended: Ended = child.wait_with_output().expect("it ends").into();
    assert_eq!(ended.status, Some(130), "{ended:?}");
    assert!(!ended.out.contains("summary"), "{ended:?}");
}

#[test]
fn ctrl_c_ends_a_sweep_and_leaves_nothing_half_done() {
    let folder = tempfile::tempdir().expect("a folder");
    let arguments = ["sweep", "smoke", "--over", "duration=10s,4h", "--set", "warmup=9s", "--threads", "1"];
    let child = program::program(folder.path(), &arguments).stderr(Stdio::piped()).spawn().expect("it starts");
    let cells = folder.path().join("results/smoke/cells");
    wait_until(|| cells.join("duration=4h").is_dir());
    interrupt(&child);
    let ended: Ended = child.wait_with_output().expect("it ends").into();
    assert_eq!(ended.status, Some(130), "{ended:?}");
    assert!(ended.err.contains("1 of 2 cells are finished"), "{ended:?}");
    assert!(cells.join("duration=10s/seed=1/manifest.json").is_file());
    assert_eq!(fs::read_dir(cells.join("duration=4h")).expect("a folder").count(), 0, "what was under way is gone");
}

#[test]
fn a_sweep_goes_on_where_it_was_stopped_and_merges_by_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let lists = ["--over", "members=20,30", "--over", "strategy=star,random-tree", "--seeds", "2", "--out", "sweep"];
    let sweep = |more: &[&str]| {
        let lengths = ["--set", "duration=6s", "--set", "warmup=3s", "--set", "arrivals.ramp=1s"];
        done(folder, &[&["sweep", "smoke"], &lists[..], &lengths[..], more].concat())
    };
    assert!(sweep(&["--shard", "1/2"]).contains("4 of 4 cells are finished"));
    assert!(!folder.join("sweep/summaries.jsonl").exists(), "a part is no whole");
    let out = sweep(&["--threads", "2"]);
    assert!(out.contains("4 of 8 cells were finished before") && out.contains("8 of 8"), "{out}");
    let merged = lines(&folder.join("sweep/summaries.jsonl"));
    assert_eq!(merged.len(), 8);
    assert_eq!(merged[0]["varied"]["strategy"], "star");
    assert!(folder.join("sweep/cells/members=20/strategy=star/seed=1/nodes.parquet").is_file());
    assert_refused(folder, &["sweep", "smoke", "--seeds", "9", "--out", "sweep"], 2, "holds another sweep");

    // A sweep that was killed leaves what it had under way; it counts as nothing.
    let killed = folder.join("sweep/cells/members=20/strategy=star/.seed=3.1");
    fs::create_dir(&killed).expect("a folder");
    fs::write(killed.join("manifest.json"), "{}").expect("a file");
    let compared = done(folder, &["compare", "sweep"]);
    assert!(compared.contains("random-tree") && compared.contains("star"), "{compared}");
    let page = done(folder, &["report", "sweep"]);
    let page = fs::read_to_string(folder.join(page.trim())).expect("the page is where it says");
    assert!(page.contains("<svg"), "there are plots");
    assert!(done(folder, &["report", "sweep", "--targets"]).starts_with("| figure"));
}

#[test]
fn one_and_two_threads_come_to_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let hashes = |threads, out| {
        let lists = ["--seeds", "4", "--threads", threads, "--out", out, "--json"];
        let told = done(folder.path(), &with(&["sweep", "smoke"], &lists));
        let hash = |line: &str| serde_json::from_str::<Value>(line).expect("JSON")["hash"].to_string();
        told.lines().map(hash).collect::<Vec<_>>()
    };
    let (one, two) = (hashes("1", "one"), hashes("2", "two"));
    assert_eq!(one.len(), 4);
    assert_eq!(one, two);
}

#[test]
fn a_cell_that_fails_takes_no_other_with_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    fs::create_dir_all(folder.join("sweep/cells")).expect("a folder");
    // Where the folder of a cell should be there is a file.
    fs::write(folder.join("sweep/cells/members=20"), "").expect("a file");
    let lengths = ["--set", "duration=6s", "--set", "warmup=3s", "--set", "arrivals.ramp=1s"];
    let ended = run(folder, &[&["sweep", "smoke", "--over", "members=20,30", "--out", "sweep"], &lengths[..]].concat());
    assert_eq!(ended.status, Some(1), "{ended:?}");
    assert!(ended.err.contains("cells failed: 1") && ended.err.contains("members=20"), "{ended:?}");
    assert!(folder.join("sweep/cells/members=30/seed=1/manifest.json").is_file());
}

fn interrupt(child: &Child) {
    kill_process(Pid::from_child(child), Signal::INT).expect("it runs");
}

#[track_caller]
fn wait_until(condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(30), "it never happened");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Fails unless it ends with this status and one sentence that has these words.
#[track_caller]
fn assert_refused(folder: &Path, arguments: &[&str], status: i32, words: &str) {
    let ended = run(folder, arguments);
    assert_eq!(ended.status, Some(status), "{arguments:?}: {ended:?}");
    let lines: Vec<&str> = ended.err.lines().filter(|line| line.starts_with("treehouse-sim: ")).collect();
    assert_eq!(lines.len(), 1, "{arguments:?}: {ended:?}");
    assert!(lines[0].contains(words), "{arguments:?}: '{words}' is not in: {}", lines[0]);
}
