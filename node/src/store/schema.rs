//! The tables, and how a file of an earlier version becomes one of this version.
//!
//! `PRAGMA user_version` holds the number of migrations that were applied. Each runs once, in order, all in one transaction: a
//! crash leaves the old version or the new one. A migration that was released is never changed; a new one comes behind it.

use rusqlite::{Connection, TransactionBehavior};

use super::error::{StoreError, StoreProblem};

/// What each version adds, the first first.
const MIGRATIONS: [&str; 2] = [
    // 1: rooms, their invites, and who has used them. `charter` is the signed statement, `contact` where the host was last
    // reached; `text` holds the whole chain and, of a bearer invite, its secret. A redemption has one row for each counted link.
    "CREATE TABLE room (
         id BLOB PRIMARY KEY CHECK (length(id) = 32),
         charter BLOB NOT NULL,
         contact BLOB NOT NULL,
         openings INTEGER NOT NULL,
         opened_unix_s INTEGER NOT NULL
     ) STRICT;
     CREATE TABLE link (
         id BLOB PRIMARY KEY CHECK (length(id) = 32),
         room BLOB NOT NULL REFERENCES room (id),
         parent BLOB CHECK (length(parent) = 32),
         label TEXT NOT NULL,
         issued_unix_s INTEGER NOT NULL,
         text TEXT NOT NULL
     ) STRICT;
     CREATE TABLE redemption (
         link BLOB NOT NULL CHECK (length(link) = 32),
         chain BLOB NOT NULL CHECK (length(chain) = 32),
         node BLOB NOT NULL CHECK (length(node) = 32),
         room BLOB NOT NULL REFERENCES room (id),
         at_unix_s INTEGER NOT NULL,
         PRIMARY KEY (link, chain, node)
     ) STRICT, WITHOUT ROWID;
     CREATE TABLE revoked (
         link BLOB PRIMARY KEY CHECK (length(link) = 32),
         room BLOB NOT NULL REFERENCES room (id),
         at_unix_s INTEGER NOT NULL
     ) STRICT, WITHOUT ROWID;",
    // 2: bans, of a key, of those who came by one link, or of all below a link.
    "CREATE TABLE ban (
         room BLOB NOT NULL REFERENCES room (id),
         kind TEXT NOT NULL CHECK (kind IN ('key', 'link', 'subtree')),
         subject BLOB NOT NULL CHECK (length(subject) = 32),
         at_unix_s INTEGER NOT NULL,
         PRIMARY KEY (room, kind, subject)
     ) STRICT, WITHOUT ROWID;",
];

/// The version that this program writes.
pub const SCHEMA_VERSION: usize = MIGRATIONS.len();

/// Brings the file to this program's version.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), StoreProblem> {
    migrate_to(connection, SCHEMA_VERSION)
}

fn migrate_to(connection: &mut Connection, wanted: usize) -> Result<(), StoreProblem> {
    // Two processes may start at once: the second finds the work done.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let applied = usize::try_from(found).unwrap_or(usize::MAX);
    if applied > SCHEMA_VERSION {
        return Err(StoreProblem::Newer(found));
    }
    for migration in MIGRATIONS.iter().take(wanted).skip(applied) {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "user_version", wanted.max(applied) as i64)?;
    transaction.commit()?;
    Ok(())
}

impl From<rusqlite::Error> for StoreProblem {
    fn from(error: rusqlite::Error) -> Self {
        StoreProblem::Sql(error)
    }
}

impl StoreProblem {
    /// The same about the file at `path`.
    pub(super) fn at(self, path: &std::path::Path) -> StoreError {
        let path = path.to_owned();
        match self {
            StoreProblem::Newer(version) => StoreError::Newer { path, version },
            StoreProblem::Sql(error) => StoreError::of(error, &path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_the_first_version_keeps_what_it_holds() {
        let mut connection = Connection::open_in_memory().expect("memory");
        migrate_to(&mut connection, 1).expect("version 1");
        let room = [7_u8; 32];
        connection.execute("INSERT INTO room VALUES (?1, x'', x'', 3, 0)", [room]).expect("a row of version 1");
        migrate(&mut connection).expect("the newest version");
        let openings: u32 = connection.query_row("SELECT openings FROM room", [], |row| row.get(0)).expect("a row");
        assert_eq!(openings, 3);
        connection.execute("INSERT INTO ban VALUES (?1, 'key', ?1, 0)", [room]).expect("the new table");
        migrate(&mut connection).expect("nothing is left to do");
    }
}
