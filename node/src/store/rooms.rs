//! The rooms that this node has founded.

use rusqlite::{OptionalExtension, Row, TransactionBehavior, params};
use treehouse_invite::Charter;
use treehouse_wire::{Contact, RoomId, Shipped, UnixSeconds, control::Statement, decode, encode};

use super::{Store, StoreError, from_sql, to_sql};

/// Longest charter or contact that is read back.
const RECORD_BYTES_MAX: usize = 2048;

/// A room that can be opened again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptRoom {
    /// Its id.
    pub id: RoomId,
    /// What it is.
    pub charter: Charter,
    /// The charter as its founder signed it.
    pub statement: Statement,
    /// Where its host was last reached.
    pub contact: Contact,
    /// How often it was opened.
    pub openings: u32,
    /// When it was last opened.
    pub opened: UnixSeconds,
}

type Raw = ([u8; 32], Vec<u8>, Vec<u8>, u32, i64);

fn raw(row: &Row<'_>) -> rusqlite::Result<Raw> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
}

impl Store {
    /// Notes that a room is opened, and how its host is reached; returns how often it was opened before.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn note_opening(
        &mut self,
        charter: &Charter,
        statement: &Statement,
        contact: &Contact,
        now: UnixSeconds,
    ) -> Result<u32, StoreError> {
        let id = charter.room().0;
        let (statement, contact) = (encode(statement), encode(contact));
        self.sql(|connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let before: Option<u32> =
                transaction.query_row("SELECT openings FROM room WHERE id = ?1", [id], |row| row.get(0)).optional()?;
            transaction.execute(
                "INSERT INTO room (id, charter, contact, openings, opened_unix_s) VALUES (?1, ?2, ?3, 1, ?4)
                 ON CONFLICT (id) DO UPDATE SET contact = ?3, openings = openings + 1, opened_unix_s = ?4",
                params![id, statement, contact, to_sql(now)],
            )?;
            transaction.commit()?;
            Ok(before.unwrap_or(0))
        })
    }

    /// All rooms, the one that was opened last first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn rooms(&mut self) -> Result<Vec<KeptRoom>, StoreError> {
        let rows: Vec<Raw> = self.sql(|connection| {
            connection
                .prepare(
                    "SELECT id, charter, contact, openings, opened_unix_s FROM room
                     ORDER BY opened_unix_s DESC, rowid DESC",
                )?
                .query_map([], raw)?
                .collect()
        })?;
        rows.into_iter().map(|row| read(row).ok_or_else(|| self.damaged())).collect()
    }
}

/// A row whose charter verifies; others are not believed.
fn read((id, charter, contact, openings, opened): Raw) -> Option<KeptRoom> {
    let id = RoomId(id);
    let statement: Statement = decode(&charter, RECORD_BYTES_MAX).ok()?;
    let charter = Charter::verify(&Shipped, &statement, &id).ok()?;
    let contact = decode(&contact, RECORD_BYTES_MAX).ok()?;
    Some(KeptRoom { id, charter, statement, contact, openings, opened: from_sql(opened) })
}
