//! The page, the comparison and the table of targets, made from runs that this test makes.

mod support;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::json;
use support::plan;
use treehouse_sim::{
    engine::Engine,
    report,
    results::{self, Host, Meta, Mode},
    strategies::star::Star,
};

/// Ten listeners of a star at two uplinks, a run for each seed; the slow ones pass for another strategy.
fn write_runs(folder: &Path, strategy: &str, protection: Option<&str>, uplink_bps: u64, seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let mut plan = plan(11, 6_000_000);
        plan.seed = seed;
        plan.jitter_us = 5_000;
        plan.nodes[0].uplink_bps = uplink_bps;
        plan.nodes[3].joins_us = 2_000_000;
        let meta = Meta {
            scenario: "eleven <members>".to_owned(),
            strategy: strategy.to_owned(),
            protection: protection.map(str::to_owned),
            mode: Mode::Packet,
            members: 1000,
            seed,
            loss_share: 0.0,
            scenario_text: "members = 11 # & more\n".to_owned(),
            changes: vec![format!("seed={seed}")],
            settings: json!({}),
            version: Meta::this_version(),
            host: Host::here(),
            interrupted: false,
            wall_s: 0.25,
            rss_mib: None,
        };
        let outcome = Engine::new(Arc::new(plan), |_| Star::default()).run();
        results::write(&folder.join(format!("{strategy}/{seed}")), &meta, &outcome).expect("room on the disk");
    }
}

fn two_strategies(seeds: std::ops::Range<u64>) -> (tempfile::TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().expect("a folder");
    write_runs(folder.path(), "treehouse", Some("relays"), 100_000_000, seeds.clone());
    write_runs(folder.path(), "star", None, 2_000_000, seeds);
    let folders = vec![folder.path().to_owned()];
    (folder, folders)
}

#[test]
fn a_page_needs_nothing_else_and_says_what_was_seen() {
    let (_folder, folders) = two_strategies(1..11);
    let page = report::html(&folders).expect("there are runs");
    for outside in ["http:", "https:", "src=", "href=", "url(", "@import", "<script"] {
        assert!(!page.contains(outside), "it refers to {outside}");
    }
    assert!(!page.contains("NaN") && !page.contains("inf "), "a plot has numbers only");
    assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
    assert!(page.contains("eleven &lt;members&gt;") && page.contains("# &amp; more"), "names and texts are escaped");
    for title in ["Delay", "Delivery over time", "Depth", "Copies", "Control bytes", "Outages", "Repair", "Joins"] {
        assert!(page.contains(&format!("<figcaption>{title}</figcaption>")), "{title}");
    }
    assert!(page.contains("The tree at the end") && page.contains("Paired differences"));
    assert!(page.contains("class=\"band c0\"") && page.contains("class=\"band c1\""), "both have intervals");
    assert!(page.contains("<td class=\"worse\">+"), "the slow one is later");
    assert!(!page.contains("Fewer than 10 seeds"));
}

#[test]
fn few_seeds_are_said_to_be_few_and_one_has_no_interval() {
    let (_folder, folders) = two_strategies(1..2);
    let page = report::html(&folders).expect("there are runs");
    assert!(page.contains("Fewer than 10 seeds: treehouse relays (1), star (1)."));
    assert!(!page.contains("class=\"band"), "one run has no band");
}

#[test]
fn a_comparison_pairs_seeds() {
    let (folder, _) = two_strategies(1..11);
    let folders = [folder.path().join("treehouse"), folder.path().join("star")];
    let comparison = report::compare(&folders).expect("there are runs");
    let row = comparison.rows.iter().find(|row| row.figure == "delay_p50_ms" && row.set == "star").expect("a row");
    assert_eq!((row.runs, row.pairs, row.reference.as_deref()), (10, 10, Some("treehouse relays")));
    let (low, high) = row.difference_interval.expect("ten pairs have an interval");
    // Ten packets of 220 bytes take 8.8 ms at 2 Mbit/s and 0.2 ms at 100.
    assert!(3.0 < low && low <= high && high < 6.0, "{low} to {high}");
    assert!(comparison.to_string().contains("| delay, median, ms | star |"), "{comparison}");
    let alone = report::compare(&[folder.path().join("star/1"), folder.path().join("star/2")]).expect("there are runs");
    assert!(alone.rows.iter().any(|row| row.set == "star in 2" && row.pairs == 0), "{alone}");
}

#[test]
fn the_table_of_targets_says_what_is_reached_missed_and_not_run() {
    let (_folder, folders) = two_strategies(1..11);
    let table = report::targets(&folders).expect("there are runs");
    let row = |start: &str, strategy: &str| {
        let mut rows = table.lines().skip_while(|line| !line.contains(start));
        let of_strategy = format!("| {strategy} |");
        rows.find(|line| line.contains(&of_strategy)).unwrap_or_default().to_owned()
    };
    assert!(row("**delay, median**, ms", "treehouse relays").contains("wanted 110: **reached**"), "{table}");
    assert!(row("**delay, median**, ms", "treehouse relays").contains("not run (wanted 120)"), "{table}");
    assert!(row("**standby present**", "treehouse relays").contains("wanted 99: **missed by 99**"), "{table}");
    assert!(row("**delay, median**, ms", "star").ends_with("| - | - | - |"), "{table}");
    assert!(report::targets(&[PathBuf::from("nowhere")]).is_err_and(|error| error.to_string().contains("nowhere")));
}
