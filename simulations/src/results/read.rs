//! Runs read back from their folders.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;

use super::{FORMAT, MANIFEST, Manifest, Meta, ResultsError, SUMMARY, Summary, columns, tables};

/// A run on disk. Its tables are read when they are asked for.
#[derive(Clone, Debug)]
pub struct Run {
    /// Its folder.
    pub folder: PathBuf,
    /// What was run.
    pub meta: Meta,
    /// What it came to.
    pub summary: Summary,
}

/// Reads a run from its folder.
///
/// # Errors
/// When there is none, or one of another version.
pub fn read(folder: &Path) -> Result<Run, ResultsError> {
    let path = folder.join(MANIFEST);
    if !path.is_file() {
        return Err(ResultsError::Empty { path: folder.to_owned() });
    }
    let manifest: Manifest = read_json(&path)?;
    if manifest.format != FORMAT {
        return Err(ResultsError::Format { path, format: manifest.format });
    }
    let summary = read_json(&folder.join(SUMMARY))?;
    Ok(Run { folder: folder.to_owned(), meta: manifest.meta, summary })
}

/// Reads all runs in a folder: the folder itself where it is one, else those in it at any depth, in the order of their paths.
///
/// # Errors
/// When there is none, or one that cannot be read.
pub fn find(folder: &Path) -> Result<Vec<Run>, ResultsError> {
    let mut runs = Vec::new();
    collect(folder, &mut runs)?;
    if runs.is_empty() {
        return Err(ResultsError::Empty { path: folder.to_owned() });
    }
    Ok(runs)
}

fn collect(folder: &Path, runs: &mut Vec<Run>) -> Result<(), ResultsError> {
    if folder.join(MANIFEST).is_file() {
        runs.push(read(folder)?);
        return Ok(());
    }
    let refused = |error| ResultsError::File { path: folder.to_owned(), error };
    let entries = fs::read_dir(folder).map_err(refused)?.collect::<Result<Vec<_>, _>>().map_err(refused)?;
    // A link may lead back to where it is; a name with a dot before it is that of a cell that was under way when its sweep was killed.
    let is_hidden = |of: &fs::DirEntry| of.file_name().as_encoded_bytes().starts_with(b".");
    let is_folder = |of: &&fs::DirEntry| of.file_type().is_ok_and(|of| of.is_dir()) && !is_hidden(of);
    let mut folders: Vec<PathBuf> = entries.iter().filter(is_folder).map(fs::DirEntry::path).collect();
    folders.sort_unstable();
    folders.iter().try_for_each(|folder| collect(folder, runs))
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, ResultsError> {
    let text = fs::read_to_string(path).map_err(|error| ResultsError::File { path: path.to_owned(), error })?;
    serde_json::from_str(&text).map_err(|error| ResultsError::Json { path: path.to_owned(), error })
}

impl Run {
    fn table<const N: usize>(&self, name: &str, columns: [&str; N]) -> Result<[Vec<f64>; N], ResultsError> {
        let path = self.folder.join(name);
        columns::read(&path, columns).map_err(|error| ResultsError::Table { path, error })
    }

    /// Columns of numbers of the table of members; a missing value is not a number.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn nodes<const N: usize>(&self, columns: [&str; N]) -> Result<[Vec<f64>; N], ResultsError> {
        self.table(tables::NODES, columns)
    }

    /// The same of the table of seconds.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn seconds<const N: usize>(&self, columns: [&str; N]) -> Result<[Vec<f64>; N], ResultsError> {
        self.table(tables::SECONDS, columns)
    }

    /// The same of the table of outages.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn outages<const N: usize>(&self, columns: [&str; N]) -> Result<[Vec<f64>; N], ResultsError> {
        self.table(tables::OUTAGES, columns)
    }

    /// The same of the table of delays.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn delays<const N: usize>(&self, columns: [&str; N]) -> Result<[Vec<f64>; N], ResultsError> {
        self.table(tables::DELAYS, columns)
    }

    /// The same of the table of newcomers.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn joins<const N: usize>(&self, columns: [&str; N]) -> Result<[Vec<f64>; N], ResultsError> {
        self.table(tables::JOINS, columns)
    }

    /// The same of the tree at the end.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn tree<const N: usize>(&self, columns: [&str; N]) -> Result<[Vec<f64>; N], ResultsError> {
        self.table(tables::TREE, columns)
    }
}
