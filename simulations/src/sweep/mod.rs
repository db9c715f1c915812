//! Sweeps: one scenario over lists of settings and seeds, as independent cells.
//!
//! A cell is one run, and one folder below the sweep's: `cells/members=1000/strategy=star/seed=3`. That is the layout that
//! DuckDB and Polars read as Hive partitions, so the settings of a cell are columns of its rows. A cell's folder appears in one
//! step once the cell is finished, so nothing else needs to be remembered: a sweep that is started again runs what has no
//! folder yet. Shards of one sweep, on one machine or on many that share a disk, fill the same folder and never meet.

use std::path::{Path, PathBuf};

mod cells;
mod runner;
mod shard;
mod slurm;
mod spec;

pub use cells::{CELLS_MAX, Cell};
pub use runner::{Event, Runner, run};
pub use shard::Shard;
pub use slurm::{Script, TASKS_MAX};
pub use spec::{Seeds, Sweep};

/// Why a sweep cannot be. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The sweep is not what it should be: whoever wrote it must change it.
    #[error("{0}")]
    Wrong(String),
    /// A file or folder cannot be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

impl SweepError {
    pub(crate) fn file<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(std::io::Error) -> Self + 'a {
        move |source| SweepError::File { action, path: path.to_path_buf(), source }
    }
}
