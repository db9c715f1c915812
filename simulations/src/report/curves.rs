//! Curves of many runs on common grids: each point a mean over seeds with its interval.

use super::groups::Group;
use crate::{
    results::{ResultsError, Run},
    statistics::{Bootstrap, Interval},
};

/// Points of a curve at most.
const POINTS: usize = 120;

/// A curve: from left to right.
pub type Curve = Vec<(f64, Interval)>;

/// The mean of curves that share their x, a run each; points at which a run has no value are left out.
fn mean_of(x: &[f64], runs: &[Vec<f64>]) -> Curve {
    let bootstrap = Bootstrap::new(runs.len());
    let at = |index: usize| -> Option<Vec<f64>> { runs.iter().map(|run| run.get(index).copied()).collect() };
    let point = |(index, x): (usize, &f64)| Some((*x, bootstrap.mean(&at(index)?)?));
    x.iter().enumerate().filter_map(point).collect()
}

/// Steps that multiply, from one number to another.
fn log_grid(low: f64, high: f64) -> Vec<f64> {
    let ratio = (high / low).max(1.001);
    (0..POINTS).map(|at| low * ratio.powf(at as f64 / (POINTS - 1) as f64)).collect()
}

/// For each group the share of values up to x, in percent, on one grid for all: from what one value in a thousand does not
/// reach to what one exceeds. `of` gives a run's values in ascending order and the share up to each.
fn distributions(
    groups: &[Group],
    of: impl Fn(&Run) -> Result<(Vec<f64>, Vec<f64>), ResultsError>,
) -> Result<Vec<Curve>, ResultsError> {
    let read = |group: &Group| group.runs.values().map(&of).collect::<Result<Vec<_>, _>>();
    let groups = groups.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let quantile = |(values, cdf): &(Vec<f64>, Vec<f64>), share: f64| {
        values.get(cdf.partition_point(|of| *of < share)).or(values.last()).copied()
    };
    let all = || groups.iter().flatten();
    let low = all().filter_map(|run| quantile(run, 0.001)).fold(f64::INFINITY, f64::min).max(0.1);
    let high = all().filter_map(|run| quantile(run, 0.999)).fold(low * 1.1, f64::max);
    if !low.is_finite() {
        return Ok(groups.iter().map(|_| Vec::new()).collect());
    }
    let grid = log_grid(low, high);
    let share_at = |(values, cdf): &(Vec<f64>, Vec<f64>), x: f64| {
        let upto = values.partition_point(|of| *of <= x);
        if values.is_empty() {
            f64::NAN
        } else {
            upto.checked_sub(1).and_then(|at| cdf.get(at)).map_or(0.0, |of| 100.0 * of)
        }
    };
    let curve = |runs: &Vec<(Vec<f64>, Vec<f64>)>| {
        // A run without a single value says nothing of how they are distributed.
        let runs = runs.iter().filter(|(values, _)| !values.is_empty());
        let curves: Vec<Vec<f64>> = runs.map(|run| grid.iter().map(|x| share_at(run, *x)).collect()).collect();
        mean_of(&grid, &curves)
    };
    Ok(groups.iter().map(curve).collect())
}

fn sorted(mut values: Vec<f64>) -> (Vec<f64>, Vec<f64>) {
    values.retain(|of| of.is_finite());
    values.sort_unstable_by(f64::total_cmp);
    let cdf = (1..=values.len()).map(|rank| rank as f64 / values.len() as f64).collect();
    (values, cdf)
}

/// Share of frames by delay.
pub fn delays(groups: &[Group]) -> Result<Vec<Curve>, ResultsError> {
    distributions(groups, |run| run.delays(["delay_ms", "cdf"]).map(|[delay_ms, cdf]| (delay_ms, cdf)))
}

/// Share of outages by length.
pub fn repairs(groups: &[Group]) -> Result<Vec<Curve>, ResultsError> {
    distributions(groups, |run| run.outages(["length_ms"]).map(|[length_ms]| sorted(length_ms)))
}

/// Share of newcomers by time to first audio.
pub fn joins(groups: &[Group]) -> Result<Vec<Curve>, ResultsError> {
    distributions(groups, |run| run.joins(["first_audio_ms"]).map(|[first_audio_ms]| sorted(first_audio_ms)))
}

/// Sums of two columns over stretches of time, and their ratio times a factor; none where the second sums to nought.
fn over_time(group: &Group, columns: [&str; 2], factor: f64) -> Result<Curve, ResultsError> {
    let read = |run: &Run| run.seconds(columns);
    let runs = group.runs.values().map(read).collect::<Result<Vec<_>, _>>()?;
    let seconds = runs.iter().map(|[of, _]| of.len()).min().unwrap_or(0);
    let width = seconds.div_ceil(POINTS).max(1);
    let starts: Vec<usize> = (0..seconds).step_by(width).collect();
    let sum = |of: &[f64], from: usize| of.iter().skip(from).take(width).sum::<f64>();
    let ratio = |[of, to]: &[Vec<f64>; 2], from: usize| {
        let to = sum(to, from);
        if to > 0.0 { factor * sum(of, from) / to } else { f64::NAN }
    };
    let curves: Vec<Vec<f64>> = runs.iter().map(|run| starts.iter().map(|from| ratio(run, *from)).collect()).collect();
    let middles: Vec<f64> = starts.iter().map(|from| *from as f64 + width as f64 / 2.0).collect();
    Ok(mean_of(&middles, &curves))
}

/// Share of frames on time, in percent, by when they were captured.
pub fn delivery(groups: &[Group]) -> Result<Vec<Curve>, ResultsError> {
    groups.iter().map(|group| over_time(group, ["on_time", "due"], 100.0)).collect()
}

/// Control traffic in kbit/s a member, over time.
pub fn control(groups: &[Group]) -> Result<Vec<Curve>, ResultsError> {
    groups.iter().map(|group| over_time(group, ["control_bytes", "present"], 0.008)).collect()
}

/// Share of members, in percent, by their depth at the end.
pub fn depths(groups: &[Group]) -> Result<Vec<Curve>, ResultsError> {
    groups.iter().map(depth).collect()
}

fn depth(group: &Group) -> Result<Curve, ResultsError> {
    let read = |run: &Run| run.tree(["depth"]).map(|[depth]| depth);
    let runs = group.runs.values().map(read).collect::<Result<Vec<_>, _>>()?;
    let deepest = runs.iter().flatten().filter(|of| of.is_finite()).fold(0.0_f64, |most, of| most.max(of.round()));
    if deepest < 1.0 {
        return Ok(Vec::new());
    }
    let grid: Vec<f64> = (1..=deepest.min(200.0) as u32).map(f64::from).collect();
    let share = |depths: &Vec<f64>, at: f64| {
        let there = depths.iter().filter(|of| (of.round() - at).abs() < 0.5).count();
        100.0 * there as f64 / depths.len().max(1) as f64
    };
    let curves: Vec<Vec<f64>> = runs.iter().map(|run| grid.iter().map(|at| share(run, *at)).collect()).collect();
    Ok(mean_of(&grid, &curves))
}
