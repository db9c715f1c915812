//! What the tutorial says is so: its scenarios and sweeps are read, its tables are whole.

#[path = "support/program.rs"]
mod program;

use std::{fs, path::Path};

use program::{done, run};
use treehouse_sim::{scenario::Scenario, sweep::Sweep};

fn readme() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("the tutorial is there")
}

/// The text of each block of code in this language.
fn blocks(readme: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    readme.split(&fence).skip(1).filter_map(|rest| rest.split("\n```").next().map(str::to_owned)).collect()
}

#[test]
fn every_key_of_a_scenario_is_in_the_table_with_its_default() {
    let (readme, folder) = (readme(), tempfile::tempdir().expect("a folder"));
    let mut expected = Vec::new();
    for line in done(folder.path(), &["scenarios", "--keys"]).lines() {
        let (key, default) =
            line.split_once(" = ").map_or((line, "—".to_owned()), |(key, value)| (key, format!("`{value}`")));
        let row = format!("| `{key}` | {default} | ");
        assert!(readme.contains(&row), "the table of all keys lacks this row, or has another default: {row}...");
        expected.push(row);
    }
    let table = readme.split("## All keys of a scenario").nth(1).expect("the section is there");
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let unknown: Vec<&str> = rows.filter(|row| !expected.iter().any(|known| row.starts_with(known))).collect();
    assert!(unknown.is_empty(), "no scenario has these keys any more: {unknown:?}");
}

#[test]
fn every_shipped_scenario_is_in_the_table() {
    let readme = readme();
    for (name, text) in treehouse_sim::scenario::shipped() {
        let scenario = Scenario::load(name, &[]).expect(text);
        let row = format!("| `{name}` | {} |", scenario.description);
        assert!(readme.contains(&row), "the table of scenarios lacks this row: {row}");
    }
}

#[test]
fn its_scenario_runs_and_its_sweep_is_one() {
    let (readme, folder) = (readme(), tempfile::tempdir().expect("a folder"));
    let at = folder.path();
    let blocks = blocks(&readme, "toml");
    let (scenarios, sweeps): (Vec<String>, Vec<String>) =
        blocks.into_iter().partition(|text| text.starts_with("description"));
    assert_eq!((scenarios.len(), sweeps.len()), (1, 1));
    fs::write(at.join("festival.toml"), &scenarios[0]).expect("a file");
    done(at, &["run", "festival.toml", "--set", "members=60", "--set", "arrivals.flash.count=40"]);
    fs::write(at.join("sweep.toml"), &sweeps[0]).expect("a file");
    assert_eq!(Sweep::read(&at.join("sweep.toml")).expect("a sweep").cells().len(), 30);
}

#[test]
fn its_mistake_is_answered_as_it_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let ended = run(folder.path(), &["run", "evening-room", "--set", "sesions.crash=50%"]);
    assert_eq!((ended.status, ended.out.as_str()), (Some(2), ""));
    assert!(readme().contains(ended.err.trim()), "{ended:?}");
}
