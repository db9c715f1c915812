//! `treehouse-sim baselines`: what small variants of the shipped scenarios come to, compared with what is committed.
//!
//! A change of the simulator or of a strategy that changes any result changes a hash here. That may be meant: then the new
//! figures are committed with it, and a reviewer sees what the change does.

use std::{
    collections::BTreeMap,
    fs,
    num::NonZero,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use anyhow::{Context, anyhow};
use serde::{Deserialize, Serialize};
use treehouse_sim::{results::Summary, scenario::Scenario, strategies};

use super::{
    args::BaselinesArgs,
    failure::{Usage, setting},
    one, output,
};

/// Figures that differ from run to run, and what is no figure.
const NOT_COMPARED: [&str; 4] = ["wall_s", "rss_mib", "events_per_s", "event"];
const HEAD: &str = "# Written by `treehouse-sim baselines --update`; scenario and set are written by hand.\n";

/// A baseline, as its file has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Baseline {
    /// The shipped scenario.
    scenario: String,
    /// What makes it small.
    #[serde(default)]
    set: Vec<String>,
    /// The summary, but for how long it took.
    #[serde(default)]
    figures: BTreeMap<String, String>,
}

/// Compares, or with `--update` writes.
///
/// # Errors
/// Where a baseline is not what it should be, or a figure differs.
pub fn run(args: &BaselinesArgs) -> anyhow::Result<()> {
    let baselines = read(args)?;
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let figures = simulate(&baselines, args.threads.map_or(cores, usize::from))?;
    let mut differing = Vec::new();
    for ((path, old), figures) in baselines.into_iter().zip(figures) {
        let differences = differences(&old.figures, &figures);
        let name = path.file_stem().unwrap_or_default().display().to_string();
        let hash = figures.get("hash").cloned().unwrap_or_default();
        // Before anything is printed, since whoever reads that may have read enough.
        if args.update && !differences.is_empty() {
            let text = format!("{HEAD}{}", toml::to_string(&Baseline { figures, ..old })?);
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        let verdict = match differences.len() {
            0 => "the same".to_owned(),
            1 => "1 figure differs".to_owned(),
            count => format!("{count} figures differ"),
        };
        output::say(&format!("{name}: {verdict}, hash {hash}"))?;
        differences.iter().try_for_each(|line| output::say(&format!("  {line}")))?;
        if !args.update && !differences.is_empty() {
            differing.push(name);
        }
    }
    if differing.is_empty() {
        return Ok(());
    }
    let advice = "if that is meant, run `treehouse-sim baselines --update` and commit the files";
    Err(anyhow!("{} of the baselines differ ({}): {advice}", differing.len(), differing.join(", ")))
}

fn read(args: &BaselinesArgs) -> anyhow::Result<Vec<(PathBuf, Baseline)>> {
    let at = args.folder.display();
    let entries = fs::read_dir(&args.folder).with_context(|| format!("cannot read the baselines in {at}"))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, std::io::Error>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort_unstable();
    for name in &args.only {
        let path = args.folder.join(format!("{name}.toml"));
        if !paths.contains(&path) {
            return Err(Usage(format!("{at} has no baseline {name}: leave --only out to see them all")).into());
        }
    }
    let is_wanted = |path: &Path| {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        args.only.is_empty() || args.only.iter().any(|name| *name == stem)
    };
    paths.retain(|path| is_wanted(path));
    if paths.is_empty() {
        return Err(
            Usage(format!("{at} holds no baselines: run this at the root of the project, or give --folder")).into()
        );
    }
    let parse = |path: PathBuf| {
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let baseline = toml::from_str(&text).with_context(|| format!("{} is no baseline", path.display()))?;
        Ok((path, baseline))
    };
    paths.into_iter().map(parse).collect()
}

/// The figures of each, in their order, so many simulated at once.
fn simulate(baselines: &[(PathBuf, Baseline)], at_once: usize) -> anyhow::Result<Vec<BTreeMap<String, String>>> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        for _ in 0..at_once.min(baselines.len()) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some((path, baseline)) = baselines.get(index) else { return };
                    let figures = figures(baseline).with_context(|| path.display().to_string());
                    done.lock().unwrap_or_else(PoisonError::into_inner).insert(index, figures);
                }
            });
        }
    });
    done.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect()
}

fn figures(baseline: &Baseline) -> anyhow::Result<BTreeMap<String, String>> {
    let sets = baseline.set.iter().map(|given| setting(given)).collect::<Result<Vec<_>, _>>()?;
    let scenario = Scenario::load(&baseline.scenario, &sets)?;
    let plan = Arc::new(scenario.plan(scenario.seed)?);
    let meta = one::meta(&baseline.scenario, &baseline.set, &scenario, &plan)?;
    let outcome = strategies::run_packets(scenario.strategy, &scenario.settings, plan, &mut |_| true);
    let mut figures = BTreeMap::new();
    flatten("", &serde_json::to_value(Summary::new(&meta, &outcome))?, &mut figures);
    NOT_COMPARED.iter().for_each(|name| drop(figures.remove(*name)));
    Ok(figures)
}

/// Every value under a name: `delay_ms.p50`.
fn flatten(name: &str, value: &serde_json::Value, figures: &mut BTreeMap<String, String>) {
    match value {
        serde_json::Value::Object(fields) => {
            for (field, value) in fields {
                let name = if name.is_empty() { field.clone() } else { format!("{name}.{field}") };
                flatten(&name, value, figures);
            }
        }
        serde_json::Value::String(text) => drop(figures.insert(name.to_owned(), text.clone())),
        other => drop(figures.insert(name.to_owned(), other.to_string())),
    }
}

/// A line for each figure that is not as it was.
fn differences(old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> Vec<String> {
    let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let of =
        |figures: &BTreeMap<String, String>, name: &str| figures.get(name).cloned().unwrap_or("nothing".to_owned());
    let change = |name: &String| (of(old, name), of(new, name));
    let changes = names.into_iter().map(|name| (name, change(name)));
    changes.filter(|(_, (old, new))| old != new).map(|(name, (old, new))| format!("{name}: {old} -> {new}")).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn figures_are_named_by_their_place() {
        let mut figures = BTreeMap::new();
        flatten("", &json!({"delay_ms": {"p50": 1.5, "p99": null}, "hash": "ab", "members": 3}), &mut figures);
        let list: Vec<String> = figures.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(list, ["delay_ms.p50=1.5", "delay_ms.p99=null", "hash=ab", "members=3"]);
    }

    #[test]
    fn a_difference_is_shown_as_old_and_new() {
        let figures = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<BTreeMap<_, _>>()
        };
        let (old, new) = (figures(&[("a", "1"), ("b", "2")]), figures(&[("a", "1"), ("b", "3"), ("c", "4")]));
        assert_eq!(differences(&old, &new), ["b: 2 -> 3", "c: nothing -> 4"]);
        assert!(differences(&old, &old).is_empty());
    }
}
