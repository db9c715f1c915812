//! `./dev reality`: one scenario with real nodes and in packet mode, side by side.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::Context;
use clap::Parser;
use treehouse_reality::{
    Unfit, check,
    compare::{Row, compare, table},
    sides::{Run, live, simulate},
};
use treehouse_sim::{
    results,
    scenario::{Scenario, ScenarioError},
};

/// Live through one scenario with real nodes and in the simulator, and compare.
///
/// Real nodes are the driver and the QUIC links that ship, a hundred of them in this process, with the scenario's delays and
/// uplinks between them. A run with them takes as long as the scenario says.
#[derive(Debug, Parser)]
#[command(name = "treehouse-reality", version, max_term_width = 110)]
#[command(
    after_help = "Exit status: 0 they agree; 1 they differ by more than is allowed, or it did not work; 2 wrong use."
)]
struct Args {
    /// The name of a shipped scenario, or a file.
    #[arg(default_value = "reality")]
    scenario: String,
    /// Seed of the world. Without it: the scenario's.
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Change a setting of the scenario, for example --set members=50; may be given several times.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// Runs with real nodes; 0 shows how far simulated runs are apart.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(0..=100))]
    runs: u32,
    /// Simulated runs, which differ in what nodes draw.
    #[arg(long, value_name = "N", default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..=1000))]
    simulated: u32,
    /// Write the results of each run into a folder in this one, which must not exist or be empty.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// A wrong use that the parser of the command line does not see.
#[derive(Debug, thiserror::Error)]
#[error("--set {0}: write --set KEY=VALUE")]
struct NoSetting(String);

fn main() -> ExitCode {
    let args = Args::parse();
    match both(&args) {
        Ok(rows) => ExitCode::from(u8::from(args.runs > 0 && !rows.iter().all(Row::holds))),
        Err(error) => {
            eprintln!("treehouse-reality: {error:#}");
            let misused = error.is::<Unfit>() || error.is::<ScenarioError>() || error.is::<NoSetting>();
            ExitCode::from(if misused { 2 } else { 1 })
        }
    }
}

fn both(args: &Args) -> anyhow::Result<Vec<Row>> {
    let set = |text: &String| {
        let (key, value) = text.split_once('=').ok_or_else(|| NoSetting(text.clone()))?;
        anyhow::Ok((key.to_owned(), value.to_owned()))
    };
    let sets = args.sets.iter().map(set).collect::<anyhow::Result<Vec<_>>>()?;
    let scenario = Scenario::load(&args.scenario, &sets)?;
    let plan = Arc::new(scenario.plan(args.seed.unwrap_or(scenario.seed))?);
    if args.runs > 0 {
        check(&scenario, &plan)?;
    }
    if let Some(folder) = &args.out {
        claim(folder)?;
    }
    let mut simulated = Vec::new();
    for number in 0..args.simulated {
        simulated.push(keep(args, "simulated", number, simulate(&scenario, &plan, number))?);
    }
    let mut real = Vec::new();
    for number in 0..args.runs {
        let (nodes, seconds) = (plan.nodes.len(), plan.duration_us / 1_000_000);
        eprintln!("real nodes, run {} of {}: {nodes} of them, {seconds} s", number + 1, args.runs);
        let (run, load) = live(&scenario, &plan)?;
        let late_ms = f64::from(load.late_p99_us) / 1000.0;
        eprintln!("it took {:.2} cores; of datagrams 99 in 100 were late by {late_ms:.2} ms at most", load.cores);
        real.push(keep(args, "real", number, run)?);
    }
    let rows = compare(&simulated, &real);
    table(&rows).iter().try_for_each(|line| writeln!(io::stdout(), "{line}"))?;
    Ok(rows)
}

/// Makes sure that results can be written here, before anything is run.
fn claim(folder: &Path) -> anyhow::Result<()> {
    let at = folder.display();
    fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {at}"))?;
    let mut entries = fs::read_dir(folder).with_context(|| format!("cannot read the folder {at}"))?;
    anyhow::ensure!(entries.next().is_none(), "{at} is not empty: give another --out, or remove it");
    Ok(())
}

/// Writes a run's results where that is asked for.
fn keep(args: &Args, kind: &str, number: u32, run: Run) -> anyhow::Result<Run> {
    if let Some(folder) = &args.out {
        results::write(&folder.join(format!("{kind}-{}", number + 1)), &run.0, &run.1)?;
    }
    Ok(run)
}
