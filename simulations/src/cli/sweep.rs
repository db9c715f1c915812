//! `treehouse-sim sweep`: a scenario over lists of settings and seeds.

use std::{
    env, fs,
    num::NonZero,
    path::{Path, PathBuf},
    sync::atomic::Ordering,
    thread,
};

use anyhow::{Context, anyhow};
use serde_json::{Map, Value};
use treehouse_sim::{
    results::{self, Summary},
    scenario::Scenario,
    sweep::{self, Cell, Event, Runner, Script, Sweep},
};

use super::{
    args::SweepArgs,
    failure::{Interrupted, Usage, setting},
    interrupt, output, progress,
};

/// The sweep itself, in its folder.
const SWEEP: &str = "sweep.toml";
/// The summaries of all finished cells, in its folder.
const SUMMARIES: &str = "summaries.jsonl";
/// The job array, in its folder.
const SCRIPT: &str = "sweep.sbatch";

/// Runs what is not finished of a sweep, or writes a script that does.
///
/// # Errors
/// Where the sweep or its scenario is wrong, cells failed, or somebody interrupted it.
pub fn run(args: &SweepArgs) -> anyhow::Result<()> {
    let sweep = read(args)?;
    let cells = sweep.cells();
    for cell in &cells {
        // A wrong setting shows before the first hour of work, not after it.
        load(&sweep.scenario, cell)?;
    }
    let folder = folder(args, &sweep);
    settle(&folder, &sweep)?;
    if args.emit.is_some() {
        return emit(&folder, cells.len());
    }
    let mine = args.shard.of(cells.clone());
    let missing: Vec<Cell> = mine.iter().filter(|cell| !cell.folder(&folder).is_dir()).cloned().collect();
    let skipped = mine.len() - missing.len();
    if skipped > 0 && !args.json {
        output::say(&format!("{skipped} of {} cells were finished before", mine.len()))?;
    }
    let (failures, stopped) = work(args, &sweep, &folder, missing)?;
    let finished = finished(&folder, &mine)?;
    if args.json {
        finished.iter().try_for_each(|line| output::say(line))?;
    }
    if args.shard.is_whole() {
        let path = folder.join(SUMMARIES);
        fs::write(&path, finished.join("\n") + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    }
    let said = format!("{} of {} cells are finished in {}", finished.len(), mine.len(), folder.display());
    if stopped {
        Err(Interrupted(format!("interrupted: {said}; the same command goes on from there")).into())
    } else if let Some(first) = failures.first() {
        Err(anyhow!("cells failed: {}, and {said}; the first: {first}", failures.len()))
    } else if args.json {
        Ok(())
    } else {
        Ok(output::say(&said)?)
    }
}

/// What the command line or its file says.
fn read(args: &SweepArgs) -> anyhow::Result<Sweep> {
    if let Some(path) = &args.from {
        return Ok(Sweep::read(path)?);
    }
    let scenario = args.scenario.clone().unwrap_or_default();
    // A file is found from wherever the sweep goes on.
    let path = Path::new(&scenario);
    let scenario = if path.is_file() { path.canonicalize()?.to_string_lossy().into_owned() } else { scenario };
    let set = args.sets.iter().map(|given| setting(given)).collect::<Result<_, _>>()?;
    let mut sweep = Sweep { scenario, seeds: args.seeds.clone().unwrap_or_default(), set, over: Default::default() };
    for axis in &args.over {
        sweep.add_axis(axis)?;
    }
    sweep.check()?;
    Ok(sweep)
}

fn load(scenario: &str, cell: &Cell) -> anyhow::Result<Scenario> {
    let sets: Vec<(String, String)> = cell.set.iter().chain(&cell.varied).cloned().collect();
    Ok(Scenario::load(scenario, &sets)?)
}

fn folder(args: &SweepArgs, sweep: &Sweep) -> PathBuf {
    let stem = Path::new(&sweep.scenario).file_stem().unwrap_or_default();
    args.out.clone().unwrap_or_else(|| Path::new("results").join(stem))
}

/// Writes the sweep into its folder, or finds the same one there.
fn settle(folder: &Path, sweep: &Sweep) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let (path, text) = (folder.join(SWEEP), sweep.to_toml());
    match fs::read_to_string(&path) {
        Ok(there) if there == text => Ok(()),
        Ok(_) => {
            let advice = "give another --out, or remove it";
            Err(Usage(format!("{} holds another sweep: {advice}", folder.display())).into())
        }
        Err(_) => fs::write(&path, text).with_context(|| format!("cannot write {}", path.display())),
    }
}

fn emit(folder: &Path, cells: usize) -> anyhow::Result<()> {
    let program = env::current_exe().context("cannot tell where this program is")?;
    let folder = folder.canonicalize().with_context(|| format!("cannot find {}", folder.display()))?;
    let script = Script { program: &program, folder: &folder, cells };
    let path = folder.join(SCRIPT);
    fs::write(&path, script.text()).with_context(|| format!("cannot write {}", path.display()))?;
    output::say(&format!("{cells} cells in {} tasks: cd {} && sbatch {SCRIPT}", script.tasks(), folder.display()))?;
    let again = format!("treehouse-sim sweep --from {SWEEP} --out .");
    output::say(&format!("once they have run, merge the summaries in that folder: {again}"))?;
    Ok(())
}

/// Runs cells; answers why some failed, and whether somebody asked to stop.
fn work(args: &SweepArgs, sweep: &Sweep, folder: &Path, cells: Vec<Cell>) -> anyhow::Result<(Vec<String>, bool)> {
    if cells.is_empty() {
        return Ok((Vec::new(), false));
    }
    let stop = interrupt::watched().context("cannot watch for Ctrl-C")?;
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let at_once = args.threads.map_or(cores, usize::from).min(cells.len());
    let program = env::current_exe().context("cannot tell where this program is")?;
    let runner = Runner { program, scenario: sweep.scenario.clone(), folder: folder.to_path_buf(), at_once };
    let progress = progress::Sweep::new(cells.len(), at_once);
    sweep::run(&runner, cells, &stop, &|worker: usize, event: Event<'_>| progress.seen(worker, event));
    Ok((progress.end(), stop.load(Ordering::Relaxed)))
}

/// The summaries of those of the cells that are finished, each as a line that also says what the sweep varied.
fn finished(folder: &Path, cells: &[Cell]) -> anyhow::Result<Vec<String>> {
    let mut lines = Vec::new();
    for cell in cells {
        let at = cell.folder(folder);
        if at.is_dir() {
            lines.push(line(&results::read(&at)?.summary, cell)?);
        }
    }
    Ok(lines)
}

fn line(summary: &Summary, cell: &Cell) -> anyhow::Result<String> {
    let mut line = serde_json::to_value(summary)?;
    let varied: Map<String, Value> =
        cell.varied.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect();
    if let Value::Object(fields) = &mut line {
        fields.insert("varied".to_owned(), Value::Object(varied));
    }
    Ok(line.to_string())
}
