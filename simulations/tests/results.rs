//! Results on disk: read back here, and opened by DuckDB and Polars.

mod support;

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::{Value, json};
use support::plan;
use treehouse_sim::{
    engine::Engine,
    measure::Outcome,
    results::{self, Host, Meta, Mode, ResultsError, Summary},
    strategies::star::Star,
};

fn main() {
    let arguments = Arguments::from_args();
    let must_run = std::env::var_os("CI").is_some_and(|value| !value.is_empty());
    let python = python();
    let lacks = !must_run && !has_libraries(&python);
    if lacks {
        eprintln!("results: skipped, there is no .venv with DuckDB and Polars; ./dev test makes it");
    }
    let open = move || duckdb_and_polars_open_what_a_run_writes(&python);
    let trials = vec![
        Trial::test("duckdb_and_polars_open_what_a_run_writes", open).with_ignored_flag(lacks),
        Trial::test("a_run_is_read_back_as_it_was_written", a_run_is_read_back_as_it_was_written),
        Trial::test("what_is_no_run_is_refused_in_words", what_is_no_run_is_refused_in_words),
    ];
    libtest_mimic::run(&arguments, trials).exit();
}

fn python() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../.venv/bin/python")
}

fn has_libraries(python: &Path) -> bool {
    let output = Command::new(python).args(["-c", "import duckdb, polars"]).output();
    output.is_ok_and(|output| output.status.success())
}

fn meta(seed: u64) -> Meta {
    Meta {
        scenario: "twelve".to_owned(),
        strategy: "star".to_owned(),
        protection: None,
        mode: Mode::Packet,
        members: 12,
        seed,
        loss_share: 0.0,
        scenario_text: "members = 12\n".to_owned(),
        changes: vec!["duration=6s".to_owned()],
        settings: json!({}),
        version: Meta::this_version(),
        host: Host::here(),
        interrupted: false,
        wall_s: 0.25,
        rss_mib: results::peak_rss_mib(),
    }
}

/// Twelve members of a star, of whom one comes late and one goes early.
fn run(seed: u64) -> Outcome {
    let mut plan = plan(12, 6_000_000);
    plan.seed = seed;
    plan.nodes[3].joins_us = 2_000_000;
    plan.nodes[4].leaves_us = Some(4_000_000);
    Engine::new(Arc::new(plan), |_| Star::default()).run()
}

/// Two runs, in folders named as a sweep names them.
fn two_runs(folder: &Path) -> Result<[(Outcome, Summary); 2], ResultsError> {
    let write = |seed: u64| {
        let outcome = run(seed);
        let summary = results::write(&folder.join(format!("strategy=star/seed={seed}")), &meta(seed), &outcome)?;
        Ok((outcome, summary))
    };
    Ok([write(1)?, write(2)?])
}

fn duckdb_and_polars_open_what_a_run_writes(python: &Path) -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let [(outcome, summary), _] = two_runs(folder.path())?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/open_results.py");
    let output = Command::new(python).arg(script).arg(folder.path()).output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let seen: Value = serde_json::from_slice(&output.stdout)?;
    for library in ["duckdb", "polars"] {
        let seen = &seen[library];
        let rows = json!({
            "nodes": 24,
            "seconds": 2 * outcome.seconds.len(),
            "outages": 0,
            "delays": 2 * outcome.delays.bins().count(),
            "joins": 2,
            "tree": 20,
        });
        assert_eq!(seen["rows"], rows, "{library}");
        assert_eq!(seen["runs"], json!([["star", 1], ["star", 2]]), "{library}");
        assert_eq!(seen["delivery"].as_f64(), summary.delivery_400ms, "{library}");
        assert_eq!(seen["median_ms"].as_f64(), summary.delay_ms.p50, "{library}");
        assert_eq!(seen["unplaced"], 2, "{library}: the host of each run has no parent");
    }
    Ok(())
}

fn a_run_is_read_back_as_it_was_written() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let [(outcome, summary), _] = two_runs(folder.path())?;
    let runs = results::find(folder.path())?;
    assert_eq!(runs.iter().map(|run| run.meta.seed).collect::<Vec<_>>(), [1, 2]);
    let run = &runs[0];
    assert_eq!(run.meta, Meta { rss_mib: run.meta.rss_mib, ..meta(1) });
    assert_eq!(run.summary, summary);
    let [node, joined_s, left_s, heard] = run.nodes(["node", "joined_s", "left_s", "heard"])?;
    assert_eq!(node.len(), 12);
    assert_eq!((node[3], joined_s[3], left_s[4]), (3.0, 2.0, 4.0));
    assert!(left_s[5].is_nan(), "it stayed");
    assert_eq!(heard.iter().sum::<f64>(), outcome.nodes.iter().map(|of| of.heard as f64).sum::<f64>());
    let [cdf] = run.delays(["cdf"])?;
    assert_eq!(cdf.last(), Some(&1.0));
    let [due] = run.seconds(["due"])?;
    assert_eq!(due.len(), outcome.seconds.len());
    let [parent] = run.tree(["parent"])?;
    assert_eq!(parent, [0.0; 10], "a star has one parent, and one listener went");
    assert!(run.nodes(["shoe_size"]).is_err_and(|error| error.to_string().contains("no column `shoe_size`")));
    Ok(())
}

fn what_is_no_run_is_refused_in_words() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let said =
        |of: Result<Vec<results::Run>, ResultsError>| of.err().map_or_else(String::new, |error| error.to_string());
    assert!(said(results::find(folder.path())).contains("treehouse-sim run SCENARIO --out DIR"));
    assert!(said(results::find(&folder.path().join("nowhere"))).contains("nowhere"));
    two_runs(folder.path())?;
    let manifest = folder.path().join("strategy=star/seed=1/manifest.json");
    let text = std::fs::read_to_string(&manifest)?;
    std::fs::write(&manifest, text.replace("\"format\": 1", "\"format\": 99"))?;
    assert!(said(results::find(folder.path())).contains("format 99"));
    std::fs::write(&manifest, "{}")?;
    assert!(said(results::find(folder.path())).contains("manifest.json is not what"));
    std::fs::write(&manifest, text)?;
    std::fs::write(manifest.with_file_name("delays.parquet"), "no table")?;
    let run = &results::find(folder.path())?[0];
    assert!(run.delays(["cdf"]).is_err_and(|error| error.to_string().contains("delays.parquet")));
    Ok(())
}
