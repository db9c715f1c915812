//! Runs sorted by what they are runs of: the worlds, and in each the strategies with their seeds.

use std::{collections::BTreeMap, path::PathBuf};

use super::figures::Figure;
use crate::{
    results::{self, Mode, ResultsError, Run, Summary},
    statistics::{self, Interval},
};

/// Runs of one strategy in one world, a seed each.
#[derive(Clone, Debug)]
pub struct Group {
    /// What it is called.
    pub label: String,
    /// The runs by seed.
    pub runs: BTreeMap<u64, Run>,
}

impl Group {
    /// A figure by seed.
    pub fn values(&self, figure: &Figure) -> BTreeMap<u64, f64> {
        self.runs.iter().filter_map(|(seed, run)| figure.of(&run.summary).map(|value| (*seed, value))).collect()
    }

    /// A figure's mean and interval; none where no run has it.
    pub fn interval(&self, figure: &Figure) -> Option<Interval> {
        statistics::mean(&self.values(figure).into_values().collect::<Vec<_>>())
    }

    /// Summaries in the order of their seeds.
    pub fn summaries(&self) -> impl Iterator<Item = &Summary> {
        self.runs.values().map(|run| &run.summary)
    }
}

/// A scenario under one set of changes, and the strategies that were run in it.
#[derive(Clone, Debug)]
pub struct World {
    /// The scenario's name.
    pub scenario: String,
    /// Members that it aims at.
    pub members: u64,
    /// How it was simulated.
    pub mode: Mode,
    /// Share of packets that a hop loses.
    pub loss_share: f64,
    /// What was changed in it, but for the strategy, its settings and the seed.
    pub changes: Vec<String>,
    /// The strategies.
    pub groups: Vec<Group>,
}

impl World {
    /// In a few words.
    pub fn title(&self) -> String {
        let mode = if self.mode == Mode::Flow { ", flow mode" } else { "" };
        let members = super::figures::number(self.members as f64, 0);
        let loss = if self.loss_share > 0.0 {
            format!(", {:.1} % loss a hop", 100.0 * self.loss_share)
        } else {
            String::new()
        };
        let is_said = |change: &&String| {
            matches!(change.split('=').next().unwrap_or_default().trim(), "members" | "mode" | "network.loss")
        };
        let others: String = self.changes.iter().filter(|of| !is_said(of)).map(|of| format!(", {of}")).collect();
        format!("{}: {members} members{loss}{mode}{others}", self.scenario)
    }
}

/// All runs in folders. Where some are whole, those that were ended early are left out.
///
/// # Errors
/// When a folder holds none, or one cannot be read.
pub fn load(folders: &[PathBuf]) -> Result<Vec<Run>, ResultsError> {
    let mut runs = Vec::new();
    for folder in folders {
        runs.extend(results::find(folder)?);
    }
    if runs.iter().any(|run| !run.meta.interrupted) {
        runs.retain(|run| !run.meta.interrupted);
    }
    Ok(runs)
}

/// Whether a change of a scenario is one of the strategy or the seed, and not of the world.
fn is_of_strategy(change: &str) -> bool {
    let key = change.split('=').next().unwrap_or_default().trim();
    let section = key.split('.').next().unwrap_or_default();
    matches!(section, "strategy" | "seed" | "settings")
}

/// Sorts runs into worlds. Runs of one strategy under other settings are groups of their own, called by what was changed; of two
/// runs with one seed the later path counts.
pub fn worlds(runs: Vec<Run>) -> Vec<World> {
    type Key = (String, u64, Mode, u64, Vec<String>);
    let mut sorted: BTreeMap<Key, BTreeMap<(String, String), Vec<Run>>> = BTreeMap::new();
    for run in runs {
        let meta = &run.meta;
        let mut changes: Vec<String> = meta.changes.iter().filter(|of| !is_of_strategy(of)).cloned().collect();
        changes.sort_unstable();
        let key = (meta.scenario.clone(), meta.members, meta.mode, meta.loss_share.to_bits(), changes);
        let group = (meta.label(), meta.settings.to_string());
        sorted.entry(key).or_default().entry(group).or_default().push(run);
    }
    sorted
        .into_iter()
        .map(|((scenario, members, mode, loss, changes), groups)| World {
            scenario,
            members,
            mode,
            loss_share: f64::from_bits(loss),
            changes,
            groups: named(groups),
        })
        .collect()
}

/// Groups with names that tell them apart, Treehouse first.
fn named(sorted: BTreeMap<(String, String), Vec<Run>>) -> Vec<Group> {
    let labels: Vec<String> = sorted.keys().map(|(label, _)| label.clone()).collect();
    let mut groups: Vec<Group> = sorted
        .into_iter()
        .enumerate()
        .map(|(number, ((label, _), runs))| {
            let is_shared = labels.iter().filter(|of| **of == label).count() > 1;
            let settings = runs.first().map(settings_of).unwrap_or_default();
            let label = match (is_shared, settings.is_empty()) {
                (false, _) => label,
                (true, false) => format!("{label} ({settings})"),
                (true, true) => format!("{label} (variant {})", number + 1),
            };
            Group { label, runs: runs.into_iter().map(|run| (run.meta.seed, run)).collect() }
        })
        .collect();
    groups.sort_by_key(|group| !group.label.starts_with("treehouse"));
    groups
}

/// The settings that were changed for a run: `gossipsub.d=6`.
fn settings_of(run: &Run) -> String {
    let settings = run.meta.changes.iter().filter_map(|change| change.strip_prefix("settings."));
    settings.collect::<Vec<_>>().join(", ")
}
