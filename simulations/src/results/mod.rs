//! What a run leaves on disk and on the last line of its output.
//!
//! A run is a folder: `manifest.json` says what was run, where and how ([`Meta`]), `summary.json` holds the [`Summary`], and
//! [`tables`] are Parquet files with a row for each observation. Every row also names its run, so that the results of many runs
//! merge by file: `SELECT strategy, avg(delay_ms) FROM read_parquet('out/*/nodes.parquet') GROUP BY strategy`.
//! [`hash()`] covers what the run came to and nothing of how long it took.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{measure::Outcome, network::Loss, plan::Plan, scenario::Scenario};

pub use crate::scenario::Mode;

mod columns;
mod hash;
mod read;
mod summary;
pub mod tables;

pub use columns::TableError;
pub use hash::hash;
pub use read::{Run, find, read};
pub use summary::{Depth, JOINED_IN_TIME_US, Quantiles, Summary};

/// The version of the layout of a folder of results; a reader refuses another.
pub const FORMAT: u32 = 1;
const MANIFEST: &str = "manifest.json";
const SUMMARY: &str = "summary.json";

/// Why results cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ResultsError {
    /// The file system refused.
    #[error("{}: {error}", path.display())]
    File {
        /// Which file or folder.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
    /// A manifest or a summary that is none.
    #[error("{} is not what `treehouse-sim run --out` writes: {error}", path.display())]
    Json {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        error: serde_json::Error,
    },
    /// Results of another version.
    #[error("{} has format {format}, and this treehouse-sim reads {FORMAT}: run the scenario again", path.display())]
    Format {
        /// The manifest.
        path: PathBuf,
        /// Its format.
        format: u32,
    },
    /// A table that cannot be written or read.
    #[error("{}: {error}", path.display())]
    Table {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        error: TableError,
    },
    /// A folder without results.
    #[error("{}: no {MANIFEST} in it or in a folder in it; `treehouse-sim run SCENARIO --out DIR` makes one", path.display())]
    Empty {
        /// The folder.
        path: PathBuf,
    },
}

/// The machine of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Operating system, such as `linux`.
    pub os: String,
    /// Architecture, such as `x86_64`.
    pub arch: String,
    /// Processors that the run could use.
    pub cpus: usize,
    /// The processor's name, where the system tells it.
    pub cpu: Option<String>,
    /// Whether the program was built without optimisation.
    pub debug: bool,
}

impl Host {
    /// This machine.
    pub fn here() -> Self {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpu = info.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split(": ").nth(1));
        Host {
            os: std::env::consts::OS.to_owned(),
            arch: std::env::consts::ARCH.to_owned(),
            cpus: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            cpu: cpu.map(str::to_owned),
            debug: cfg!(debug_assertions),
        }
    }
}

/// What was run, where and how: all of a run but its outcome.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    /// The scenario's name.
    pub scenario: String,
    /// The strategy's name. Free text: a researcher's own strategy has results as well.
    pub strategy: String,
    /// Treehouse's protection level; none for strategies that have none.
    pub protection: Option<String>,
    /// How the network was simulated.
    pub mode: Mode,
    /// Members that the scenario aims at; how many were present is in the table of seconds.
    pub members: u64,
    /// The seed.
    pub seed: u64,
    /// Share of packets that a hop loses, 0 to 1.
    pub loss_share: f64,
    /// The scenario as TOML: the text of its file, or all of its keys where it came from none.
    pub scenario_text: String,
    /// What `--set` changed in it, as `key=value`, in the order given.
    pub changes: Vec<String>,
    /// The settings of the strategy.
    pub settings: serde_json::Value,
    /// Version of treehouse-sim.
    pub version: String,
    /// The machine.
    pub host: Host,
    /// Whether somebody ended the run early: its figures are those of the time until then.
    #[serde(default)]
    pub interrupted: bool,
    /// How long the run took, in seconds of real time.
    pub wall_s: f64,
    /// The most memory that the process had resident, in MiB, where the system tells it.
    pub rss_mib: Option<f64>,
}

impl Meta {
    /// Of a run of this strategy in a scenario, on this machine and before it begins.
    pub fn new(scenario: &Scenario, plan: &Plan, strategy: &str) -> Self {
        let of_strategies = serde_json::to_value(&scenario.settings).unwrap_or_default();
        let settings = of_strategies.get(strategy).cloned().unwrap_or_default();
        Meta {
            scenario: scenario.name.clone(),
            strategy: strategy.to_owned(),
            protection: settings.get("protection").and_then(|level| level.as_str()).map(str::to_owned),
            mode: scenario.mode,
            members: scenario.members.into(),
            seed: plan.seed,
            loss_share: Meta::loss_share_of(plan),
            scenario_text: toml::to_string(scenario).unwrap_or_default(),
            changes: Vec::new(),
            settings,
            version: Meta::this_version(),
            host: Host::here(),
            interrupted: false,
            wall_s: 0.0,
            rss_mib: None,
        }
    }

    /// The version that runs.
    pub fn this_version() -> String {
        env!("CARGO_PKG_VERSION").to_owned()
    }

    /// The share of packets that a hop of a plan's network loses.
    pub fn loss_share_of(plan: &Plan) -> f64 {
        match plan.loss {
            Loss::None => 0.0,
            Loss::Independent { share } => share,
            // The stationary share of Gilbert's bad state.
            Loss::Bursty { enter, leave } => enter / (enter + leave).max(f64::MIN_POSITIVE),
        }
    }

    /// What is compared: the strategy, with its protection level where it has one.
    pub fn label(&self) -> String {
        match &self.protection {
            Some(protection) => format!("{} {protection}", self.strategy),
            None => self.strategy.clone(),
        }
    }
}

/// The most memory that this process had resident so far, in MiB; none where the system does not tell.
pub fn peak_rss_mib() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}

/// `manifest.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    format: u32,
    #[serde(flatten)]
    meta: Meta,
    hash: String,
    /// Rows of each table, by its file's name.
    tables: BTreeMap<String, u64>,
    /// What the strategy counted, by names of its own.
    #[serde(default)]
    counts: BTreeMap<String, u64>,
}

/// Writes a run into a folder of its own, which is made where it is missing, and returns its summary. The manifest is written
/// last: a folder with one is complete.
///
/// # Errors
/// When a file cannot be written.
pub fn write(folder: &Path, meta: &Meta, outcome: &Outcome) -> Result<Summary, ResultsError> {
    let file = |path: &Path, error| ResultsError::File { path: path.to_owned(), error };
    fs::create_dir_all(folder).map_err(|error| file(folder, error))?;
    let summary = Summary::new(meta, outcome);
    let tables = tables::write(folder, meta, outcome)?;
    let counts = outcome.counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
    let manifest = Manifest { format: FORMAT, meta: meta.clone(), hash: summary.hash.clone(), tables, counts };
    write_json(&folder.join(SUMMARY), &summary)?;
    write_json(&folder.join(MANIFEST), &manifest)?;
    Ok(summary)
}

fn write_json(path: &Path, of: &impl Serialize) -> Result<(), ResultsError> {
    let text = serde_json::to_string_pretty(of).map_err(|error| ResultsError::Json { path: path.to_owned(), error })?;
    fs::write(path, text + "\n").map_err(|error| ResultsError::File { path: path.to_owned(), error })
}
