//! Why the store cannot be used, one sentence each that says what to do.

use std::{
    io,
    path::{Path, PathBuf},
};

use rusqlite::ErrorCode;

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A later version of the program has written it.
    #[error(
        "{path} was written by a newer version of this program (its version is {version}, this one knows {known}): \
         update the program, or set TREEHOUSE_DATA to another folder",
        path = .path.display(), known = super::SCHEMA_VERSION
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version that it says.
        version: i64,
    },
    /// It is no store, or was altered or cut.
    #[error(
        "{path} is damaged: move it away, and a new one is made; rooms and counts of invites in it are lost, so hand out \
         invites to a new room",
        path = .path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// Others can read it, and there are secrets in it.
    #[error("others can read {path}, which holds invites: run `chmod 600 {path}` and try again", path = .0.display())]
    Readable(PathBuf),
    /// The file could not be made or opened.
    #[error("cannot open {path}: {source}; check the folder, or set TREEHOUSE_DATA to another one", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The database refused.
    #[error("cannot use {path}: {source}; check that the disk has room and try again", path = .path.display())]
    Sql {
        /// The file.
        path: PathBuf,
        /// What the database said.
        source: rusqlite::Error,
    },
}

/// The same, before it is known of which file.
#[derive(Debug)]
pub(super) enum StoreProblem {
    Newer(i64),
    Sql(rusqlite::Error),
}

impl StoreError {
    /// What an error of the database means for the file.
    pub(super) fn of(source: rusqlite::Error, path: &Path) -> Self {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            // Unknown is what a table or a column that is not there comes to.
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt | ErrorCode::Unknown) => {
                StoreError::Damaged { path }
            }
            // It was opened for writing: that it cannot be written is a byte of its header, but where its folder is closed.
            Some(ErrorCode::ReadOnly) if !is_of_folder(&source) => StoreError::Damaged { path },
            Some(_) => StoreError::Sql { path, source },
            // No error of the database: a row is there, and holds what no version writes.
            None => StoreError::Damaged { path },
        }
    }
}

fn is_of_folder(source: &rusqlite::Error) -> bool {
    source.sqlite_error().is_some_and(|error| error.extended_code == rusqlite::ffi::SQLITE_READONLY_DIRECTORY)
}
