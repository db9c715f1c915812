//! Which tables a run leaves, and their columns.
//!
//! Each begins with the columns that name its run: `scenario`, `strategy`, `protection`, `mode`, `members`, `seed`, `loss_share`.
//! Times count from the start of the run. A value that there is none of is null.
//!
//! | file | a row for each | columns |
//! |---|---|---|
//! | `nodes.parquet` | member | `node`, `joined_s`, `left_s`, `first_audio_ms`, `due`, `on_time`, `heard`, `late_for_target`, `delay_ms` (mean), `direct_ms`, `copies`, `fresh`, `depth`, `parent` |
//! | `seconds.parquet` | second | `second`, `due`, `on_time`, `present`, `with_parent`, `with_standby`, `depth` (mean), `depth_max`, `control_bytes`, `media_bytes`, `host_control_bytes` |
//! | `outages.parquet` | outage | `node`, `at_s` (its end), `length_ms` |
//! | `delays.parquet` | bin of 0.1 ms that holds frames | `delay_ms` (its middle), `frames`, `cdf` (share of frames up to it) |
//! | `joins.parquet` | member that came after the warm-up | `node`, `joined_s`, `first_audio_ms`, `left_s` |
//! | `tree.parquet` | member that was placed at the end | `node`, `parent`, `depth` |

use std::{collections::BTreeMap, path::Path};

use super::{
    Meta, ResultsError,
    columns::{self, Column, integer, real},
    summary,
};
use crate::measure::{BIN_US, NodeRow, Outage, Outcome, Second};

/// Frames by delay.
pub(super) const DELAYS: &str = "delays.parquet";
/// The run second by second.
pub(super) const SECONDS: &str = "seconds.parquet";
/// Members.
pub(super) const NODES: &str = "nodes.parquet";
/// Outages.
pub(super) const OUTAGES: &str = "outages.parquet";
/// Newcomers.
pub(super) const JOINS: &str = "joins.parquet";
/// Who feeds whom.
pub(super) const TREE: &str = "tree.parquet";

type Node<'a> = (u32, &'a NodeRow);

/// Writes all tables of a run and says how many rows each has.
pub(super) fn write(folder: &Path, meta: &Meta, outcome: &Outcome) -> Result<BTreeMap<String, u64>, ResultsError> {
    let seconds: Vec<(u64, &Second)> = (0..).zip(&outcome.seconds).collect();
    let nodes: Vec<Node<'_>> = (0..).zip(&outcome.nodes).collect();
    let joins: Vec<Node<'_>> = summary::joins(outcome).collect();
    let placed = |of: &&Node<'_>| of.1.left_us.is_none() && of.1.parent.is_some();
    let tree: Vec<Node<'_>> = nodes.iter().filter(placed).copied().collect();
    let mut sum = 0;
    let delays: Vec<Delay> = outcome
        .delays
        .bins()
        .map(|(delay_us, frames)| {
            sum += frames;
            Delay { delay_us, frames, cdf: sum as f64 / outcome.delays.count() as f64 }
        })
        .collect();
    let mut tables = BTreeMap::new();
    let mut table = |name: &str, write: &dyn Fn(&Path) -> Result<u64, columns::TableError>| {
        let path = folder.join(name);
        let rows = write(&path).map_err(|error| ResultsError::Table { path, error })?;
        tables.insert(name.to_owned(), rows);
        Ok::<_, ResultsError>(())
    };
    table(NODES, &|path| columns::write(path, meta, &of_nodes(), &nodes))?;
    table(SECONDS, &|path| columns::write(path, meta, &of_seconds(), &seconds))?;
    table(OUTAGES, &|path| columns::write(path, meta, &of_outages(), &outcome.outages))?;
    table(DELAYS, &|path| columns::write(path, meta, &of_delays(), &delays))?;
    table(JOINS, &|path| columns::write(path, meta, &of_joins(), &joins))?;
    table(TREE, &|path| columns::write(path, meta, &of_tree(), &tree))?;
    Ok(tables)
}

struct Delay {
    delay_us: u64,
    frames: u64,
    cdf: f64,
}

fn s(us: u64) -> Option<f64> {
    Some(us as f64 / 1e6)
}

fn ms(us: u64) -> Option<f64> {
    Some(us as f64 / 1000.0)
}

fn count(of: impl Into<u64>) -> Option<i64> {
    i64::try_from(of.into()).ok()
}

fn of_nodes<'a>() -> Vec<Column<Node<'a>>> {
    vec![
        integer("node", |of| count(of.0)),
        real("joined_s", |of| s(of.1.joined_us)),
        real("left_s", |of| of.1.left_us.and_then(s)),
        real("first_audio_ms", |of| of.1.first_audio_us.and_then(ms)),
        integer("due", |of| count(of.1.due)),
        integer("on_time", |of| count(of.1.on_time)),
        integer("heard", |of| count(of.1.heard)),
        integer("late_for_target", |of| count(of.1.late_for_target)),
        real("delay_ms", |of| (of.1.heard > 0).then(|| of.1.delay_sum_us as f64 / of.1.heard as f64 / 1000.0)),
        real("direct_ms", |of| ms(of.1.direct_us)),
        integer("copies", |of| count(of.1.copies)),
        integer("fresh", |of| count(of.1.fresh)),
        real("depth", |of| of.1.depth),
        integer("parent", |of| of.1.parent.and_then(|parent| count(parent.0))),
    ]
}

fn of_seconds<'a>() -> Vec<Column<(u64, &'a Second)>> {
    vec![
        integer("second", |of| count(of.0)),
        integer("due", |of| count(of.1.due)),
        integer("on_time", |of| count(of.1.on_time)),
        integer("present", |of| count(of.1.present)),
        integer("with_parent", |of| count(of.1.with_parent)),
        integer("with_standby", |of| count(of.1.with_standby)),
        real("depth", |of| (of.1.with_depth > 0).then(|| of.1.depth_sum / f64::from(of.1.with_depth))),
        real("depth_max", |of| (of.1.with_depth > 0).then_some(of.1.depth_max)),
        integer("control_bytes", |of| count(of.1.control_bytes)),
        integer("media_bytes", |of| count(of.1.media_bytes)),
        integer("host_control_bytes", |of| count(of.1.host_control_bytes)),
    ]
}

fn of_outages() -> Vec<Column<Outage>> {
    vec![
        integer("node", |of| count(of.node.0)),
        real("at_s", |of| s(of.at_us)),
        real("length_ms", |of| ms(of.length_us)),
    ]
}

fn of_delays() -> Vec<Column<Delay>> {
    vec![
        real("delay_ms", |of| ms(of.delay_us + BIN_US / 2)),
        integer("frames", |of| count(of.frames)),
        real("cdf", |of| Some(of.cdf)),
    ]
}

fn of_joins<'a>() -> Vec<Column<Node<'a>>> {
    vec![
        integer("node", |of| count(of.0)),
        real("joined_s", |of| s(of.1.joined_us)),
        real("first_audio_ms", |of| of.1.first_audio_us.and_then(ms)),
        real("left_s", |of| of.1.left_us.and_then(s)),
    ]
}

fn of_tree<'a>() -> Vec<Column<Node<'a>>> {
    vec![
        integer("node", |of| count(of.0)),
        integer("parent", |of| of.1.parent.and_then(|parent| count(parent.0))),
        real("depth", |of| of.1.depth),
    ]
}
