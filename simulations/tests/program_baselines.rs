//! The committed baselines: what small variants of the shipped scenarios come to.

#[path = "support/program.rs"]
mod program;

use std::{fs, path::Path};

use program::{done, run};
use treehouse_sim::scenario::shipped;

fn project() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn baselines() -> Vec<(String, String)> {
    let entries = fs::read_dir(project().join("simulations/baselines")).expect("the baselines are there");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let text = |path: &Path| fs::read_to_string(path).expect("a file");
    paths.map(|path| (path.file_stem().expect("a name").to_string_lossy().into_owned(), text(&path))).collect()
}

#[test]
fn nothing_differs_from_its_baseline() {
    let ended = run(project(), &["baselines"]);
    assert_eq!(ended.status, Some(0), "{}\n{}", ended.out, ended.err);
}

#[test]
fn every_shipped_scenario_has_a_baseline() {
    let baselines = baselines();
    for (name, _) in shipped() {
        let line = format!("scenario = \"{name}\"\n");
        assert!(baselines.iter().any(|(_, text)| text.contains(&line)), "{name} has none");
    }
}

#[test]
fn a_figure_that_differs_is_shown_old_and_new_and_can_be_taken_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, text) = baselines().into_iter().find(|(name, _)| name == "smoke-star").expect("it is there");
    let changed: String =
        text.lines()
            .map(|line| {
                if line.starts_with("hash = ") {
                    "hash = \"0123456789abcdef\"\n".to_owned()
                } else {
                    format!("{line}\n")
                }
            })
            .collect();
    let path = folder.path().join("smoke-star.toml");
    fs::write(&path, changed).expect("a file");
    let ended = run(folder.path(), &["baselines", "--folder", "."]);
    assert_eq!(ended.status, Some(1), "{ended:?}");
    assert!(ended.out.contains("  hash: 0123456789abcdef -> "), "{ended:?}");
    assert!(ended.out.contains("1 figure differs") && ended.err.contains("--update"), "{ended:?}");
    done(folder.path(), &["baselines", "--folder", ".", "--update"]);
    assert_eq!(fs::read_to_string(&path).expect("a file"), text);
}
