//! Two or more sets of runs beside each other, and what they differ by on the same seeds.

use std::{fmt, path::PathBuf};

use serde::Serialize;

use super::{
    figures::{Better, FIGURES, Figure},
    groups::{Group, load, worlds},
};
use crate::{
    results::ResultsError,
    statistics::{Interval, SAMPLES_MIN, paired_difference},
};

/// A figure of one set beside that of the reference.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The world.
    pub world: String,
    /// The figure's key, unit last.
    pub figure: &'static str,
    /// The set.
    pub set: String,
    /// Its mean.
    pub mean: f64,
    /// 95 % interval of the mean; none with a single run.
    pub interval: Option<(f64, f64)>,
    /// Runs.
    pub runs: usize,
    /// The reference; none in its own rows.
    pub reference: Option<String>,
    /// Mean difference from the reference over the seeds that both have.
    pub difference: Option<f64>,
    /// 95 % interval of the difference.
    pub difference_interval: Option<(f64, f64)>,
    /// Seeds that both have.
    pub pairs: usize,
}

/// Sets of runs compared; [`fmt::Display`] writes Markdown tables, serde a list of rows.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct Comparison {
    /// The rows.
    pub rows: Vec<Row>,
}

/// Compares the runs of folders. The first group of the first folder is what the others are compared with; worlds are kept
/// apart where a world has more than one group.
///
/// # Errors
/// When a folder holds no run, or one that cannot be read.
pub fn compare(folders: &[PathBuf]) -> Result<Comparison, ResultsError> {
    let mut sets: Vec<Set> = Vec::new();
    for folder in folders {
        let name = folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned();
        for world in worlds(load(std::slice::from_ref(folder))?) {
            let title = world.title();
            let set = |group| Set { world: title.clone(), folder: name.clone(), group };
            sets.extend(world.groups.into_iter().map(set));
        }
    }
    tell_apart(&mut sets);
    let mut rows = Vec::new();
    let mut titles: Vec<String> = Vec::new();
    for set in &sets {
        if !titles.contains(&set.world) {
            titles.push(set.world.clone());
        }
    }
    if titles.len() == sets.len() {
        // Nothing was run twice in one world, so it is the worlds that are compared.
        let named = |set: Set| Group { label: format!("{}, {}", set.group.label, set.world), ..set.group };
        compare_groups("across worlds", &sets.into_iter().map(named).collect::<Vec<_>>(), &mut rows);
    } else {
        for title in &titles {
            let groups = sets.iter().filter(|set| set.world == *title).map(|set| set.group.clone());
            compare_groups(title, &groups.collect::<Vec<_>>(), &mut rows);
        }
    }
    Ok(Comparison { rows })
}

/// A group, and where it is from.
struct Set {
    world: String,
    folder: String,
    group: Group,
}

/// Adds the folder's name to labels that several folders share.
fn tell_apart(sets: &mut [Set]) {
    let labels: Vec<(String, String)> = sets.iter().map(|set| (set.world.clone(), set.group.label.clone())).collect();
    for set in sets {
        let is_this = |(world, label): &&(String, String)| *world == set.world && *label == set.group.label;
        if labels.iter().filter(is_this).count() > 1 {
            set.group.label = format!("{} in {}", set.group.label, set.folder);
        }
    }
}

fn compare_groups(world: &str, groups: &[Group], rows: &mut Vec<Row>) {
    let Some(reference) = groups.first() else { return };
    for figure in &FIGURES {
        for (number, group) in groups.iter().enumerate() {
            let Some(of) = group.interval(figure) else { continue };
            let difference = if number == 0 { None } else { difference(figure, group, reference) };
            rows.push(Row {
                world: world.to_owned(),
                figure: figure.key,
                set: group.label.clone(),
                mean: of.mean,
                interval: of.bounds,
                runs: of.samples,
                reference: (number > 0).then(|| reference.label.clone()),
                difference: difference.map(|of| of.mean),
                difference_interval: difference.and_then(|of| of.bounds),
                pairs: difference.map_or(0, |of| of.samples),
            });
        }
    }
}

/// A figure of a group minus that of another, seed by seed.
pub fn difference(figure: &Figure, of: &Group, from: &Group) -> Option<Interval> {
    paired_difference(&of.values(figure), &from.values(figure))
}

/// What an interval that is clear of nought says: better or worse.
pub fn verdict(figure: &Figure, difference: &Interval) -> &'static str {
    match figure.better {
        Some(better) if difference.is_clear() => {
            if (difference.mean < 0.0) == (better == Better::Less) {
                "better"
            } else {
                "worse"
            }
        }
        _ => "",
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut world = "";
        for row in &self.rows {
            if row.world != world {
                world = &row.world;
                writeln!(f, "\n## {world}\n")?;
                writeln!(f, "| figure | set | mean | 95 % interval | runs | difference | 95 % interval | pairs | |")?;
                writeln!(f, "|---|---|--:|---|--:|--:|---|--:|---|")?;
            }
            write_row(f, row)?;
        }
        if self.rows.iter().any(|row| row.runs < SAMPLES_MIN) {
            writeln!(
                f,
                "\nWith fewer than {SAMPLES_MIN} seeds an interval is a hint: percentile bootstrap over seeds."
            )?;
        }
        Ok(())
    }
}

fn write_row(f: &mut fmt::Formatter<'_>, row: &Row) -> fmt::Result {
    let Some(figure) = Figure::named(row.figure) else { return Ok(()) };
    let range = |of: Option<(f64, f64)>| {
        of.map_or_else(String::new, |(low, high)| format!("{} to {}", figure.text(low), figure.text(high)))
    };
    let unit = if figure.unit.is_empty() { String::new() } else { format!(", {}", figure.unit) };
    let interval = row.difference.map(|mean| Interval { mean, bounds: row.difference_interval, samples: row.pairs });
    let difference = row.difference.map_or_else(String::new, |of| figure.text(of));
    let verdict = interval.map_or("", |of| verdict(figure, &of));
    let pairs = if row.reference.is_some() { row.pairs.to_string() } else { String::new() };
    writeln!(
        f,
        "| {}{unit} | {} | {} | {} | {} | {difference} | {} | {pairs} | {verdict} |",
        figure.title,
        row.set,
        figure.text(row.mean),
        range(row.interval),
        row.runs,
        range(row.difference_interval),
    )
}
