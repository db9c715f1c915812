//! What a node keeps beside its identity: its rooms, the invites that it issued, who has used them, what is revoked, who is
//! banned. One SQLite file in the data folder, which only its owner can read: it holds the secrets of bearer invites.
//!
//! Several processes use it at once, a running host and the commands beside it: hence the write-ahead log, and transactions
//! that take the lock before they read. `synchronous=FULL`: what is committed survives a loss of power, which the count of an
//! invite's uses must. The identity stays in its own file; that one alone is you.

mod bans;
mod error;
mod links;
mod redemptions;
mod rooms;
mod schema;

use std::{
    fs::OpenOptions,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};

pub use bans::Ban;
pub use error::StoreError;
pub use links::Issued;
pub use redemptions::{StoreLedger, Used};
pub use rooms::KeptRoom;
pub use schema::SCHEMA_VERSION;

/// The store's file in the data folder.
pub const STORE_FILE: &str = "treehouse.sqlite";
/// Another process holds the lock for no longer than this.
const BUSY: Duration = Duration::from_secs(5);

/// The open store.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    path: PathBuf,
}

impl Store {
    /// Opens the store in a folder that exists; makes it where there is none, and migrates it where it is older.
    ///
    /// # Errors
    /// [`StoreError`], one sentence that says what to do.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(STORE_FILE);
        let io = |source| StoreError::Io { path: path.clone(), source };
        // SQLite gives its own files beside it the same permissions.
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(io)?;
        if file.metadata().map_err(io)?.permissions().mode() & 0o077 != 0 {
            return Err(StoreError::Readable(path));
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(&path, flags).map_err(|error| StoreError::of(error, &path))?;
        prepare(&mut connection).map_err(|problem| problem.at(&path))?;
        let mut store = Store { connection, path };
        store.check()?;
        Ok(store)
    }

    /// A page that was altered is found now, and not while somebody waits to be admitted. The file is small.
    fn check(&mut self) -> Result<(), StoreError> {
        let verdict: String =
            self.sql(|connection| connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)))?;
        if verdict == "ok" { Ok(()) } else { Err(self.damaged()) }
    }

    fn damaged(&self) -> StoreError {
        StoreError::Damaged { path: self.path.clone() }
    }

    fn sql<T>(&mut self, work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        work(&mut self.connection).map_err(|error| StoreError::of(error, &self.path))
    }
}

fn prepare(connection: &mut Connection) -> Result<(), error::StoreProblem> {
    connection.busy_timeout(BUSY)?;
    let _: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    schema::migrate(connection)
}

/// Seconds as the database has them; later than it can say is as late as it can say.
fn to_sql(seconds: treehouse_wire::UnixSeconds) -> i64 {
    i64::try_from(seconds.0).unwrap_or(i64::MAX)
}

fn from_sql(seconds: i64) -> treehouse_wire::UnixSeconds {
    treehouse_wire::UnixSeconds(u64::try_from(seconds).unwrap_or(0))
}

#[cfg(test)]
mod tests;
