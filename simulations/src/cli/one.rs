//! `treehouse-sim run`: one scenario, once.

use std::{
    fs, io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use anyhow::{Context, anyhow};
use treehouse_sim::{
    measure::Outcome,
    plan::Plan,
    results::{self, Meta, Summary, peak_rss_mib},
    scenario::{Mode, Scenario, shipped},
    strategies::{self, NotInFlow},
};

use super::{
    args::RunArgs,
    failure::{Interrupted, Usage, setting},
    interrupt, output, progress, summary,
};

/// Runs a scenario, shows its summary, and writes its results where that is asked for.
///
/// # Errors
/// Where the scenario is wrong, its results cannot be written, or somebody interrupted it.
pub fn run(args: &RunArgs) -> anyhow::Result<()> {
    let sets = args.sets.iter().map(|given| setting(given)).collect::<Result<Vec<_>, _>>()?;
    let scenario = Scenario::load(&args.scenario, &sets)?;
    let stop = interrupt::watched().context("cannot watch for Ctrl-C")?;
    if let Some(folder) = &args.out {
        claim(folder)?;
    }
    let begun = Instant::now();
    let seed = args.seed.unwrap_or(scenario.seed);
    let plan = Arc::new(scenario.plan(seed)?);
    let mut progress = progress::Run::new(&scenario.name, args.json);
    let simulated = simulate(&scenario, &plan, &stop, &mut progress);
    progress.end();
    let (outcome, told) = simulated.map_err(|reason| Usage(format!("{}: {reason}", scenario.name)))?;
    told?;
    let mut meta = meta(&args.scenario, &args.sets, &scenario, &plan)?;
    meta.interrupted = outcome.ended_us < plan.duration_us;
    meta.wall_s = begun.elapsed().as_secs_f64();
    meta.rss_mib = peak_rss_mib();
    let summary = match &args.out {
        Some(folder) => results::write(folder, &meta, &outcome)?,
        None => Summary::new(&meta, &outcome),
    };
    if args.json {
        output::say(&serde_json::to_string(&summary)?)?;
    } else {
        let present = outcome.seconds.iter().map(|second| second.present).max().unwrap_or(0);
        summary::lines(&summary, present).iter().try_for_each(|line| output::say(line))?;
    }
    if meta.interrupted { Err(interrupted(&summary, args.out.as_deref()).into()) } else { Ok(()) }
}

fn simulate(
    scenario: &Scenario,
    plan: &Arc<Plan>,
    stop: &AtomicBool,
    progress: &mut progress::Run,
) -> Result<(Outcome, io::Result<()>), NotInFlow> {
    let mut told = Ok(());
    let mut watch = |of| {
        told = progress.seen(of);
        told.is_ok() && !stop.load(Ordering::Relaxed)
    };
    let (name, settings, plan) = (scenario.strategy, &scenario.settings, Arc::clone(plan));
    let outcome = match scenario.mode {
        Mode::Packet => strategies::run_packets(name, settings, plan, &mut watch),
        Mode::Flow => strategies::run_flow(name, settings, plan, &mut watch)?,
    };
    Ok((outcome, told))
}

/// Makes sure that results can be written here, before anything is simulated.
fn claim(folder: &Path) -> anyhow::Result<()> {
    let at = folder.display();
    fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {at}"))?;
    let mut entries = fs::read_dir(folder).with_context(|| format!("cannot read the folder {at}"))?;
    if entries.next().is_some() {
        return Err(anyhow!("{at} is not empty, and results are never written over: give another --out, or remove it"));
    }
    Ok(())
}

fn interrupted(summary: &Summary, out: Option<&Path>) -> Interrupted {
    let kept =
        out.map_or_else(String::new, |folder| format!(" and written to {}, marked as interrupted", folder.display()));
    Interrupted(format!("interrupted: the first {:.0} s were simulated{kept}", summary.simulated_s))
}

/// What is known of a run before it: `given` and `sets` are what the scenario was loaded from.
pub fn meta(given: &str, sets: &[String], scenario: &Scenario, plan: &Plan) -> anyhow::Result<Meta> {
    let known = shipped().iter().find(|(name, _)| *name == given).map(|(_, text)| (*text).to_owned());
    let text = known.map_or_else(|| fs::read_to_string(given), Ok);
    let strategy = serde_json::to_value(scenario.strategy)?.as_str().unwrap_or_default().to_owned();
    Ok(Meta {
        scenario_text: text.with_context(|| format!("cannot read {given} again"))?,
        changes: sets.to_vec(),
        ..Meta::new(scenario, plan, &strategy)
    })
}
