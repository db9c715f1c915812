//! Who may not come into a room any more.

use rusqlite::params;
use treehouse_wire::{NodeId, RoomId, UnixSeconds};

use super::{Store, StoreError, to_sql};

/// Whom a ban keeps out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ban {
    /// One node.
    Key(NodeId),
    /// Whoever came by an invite that ends with this link.
    Link([u8; 32]),
    /// Whoever came by an invite that has this link anywhere.
    Subtree([u8; 32]),
}

impl Ban {
    fn to_row(self) -> (&'static str, [u8; 32]) {
        match self {
            Ban::Key(node) => ("key", node.0),
            Ban::Link(link) => ("link", link),
            Ban::Subtree(link) => ("subtree", link),
        }
    }

    fn of_row(kind: &str, subject: [u8; 32]) -> Option<Ban> {
        match kind {
            "key" => Some(Ban::Key(NodeId(subject))),
            "link" => Some(Ban::Link(subject)),
            "subtree" => Some(Ban::Subtree(subject)),
            _ => None,
        }
    }
}

impl Store {
    /// Keeps a ban; one that is kept already stays as it is.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn ban(&mut self, room: &RoomId, ban: Ban, now: UnixSeconds) -> Result<(), StoreError> {
        let (kind, subject) = ban.to_row();
        self.sql(|connection| {
            connection.execute(
                "INSERT INTO ban (room, kind, subject, at_unix_s) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (room, kind, subject) DO NOTHING",
                params![room.0, kind, subject, to_sql(now)],
            )
        })?;
        Ok(())
    }

    /// Takes a ban back; true where there was one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn unban(&mut self, room: &RoomId, ban: Ban) -> Result<bool, StoreError> {
        let (kind, subject) = ban.to_row();
        let sql = "DELETE FROM ban WHERE room = ?1 AND kind = ?2 AND subject = ?3";
        Ok(self.sql(|connection| connection.execute(sql, params![room.0, kind, subject]))? > 0)
    }

    /// All bans of a room, in order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn bans(&mut self, room: &RoomId) -> Result<Vec<Ban>, StoreError> {
        let rows: Vec<(String, [u8; 32])> = self.sql(|connection| {
            connection
                .prepare("SELECT kind, subject FROM ban WHERE room = ?1 ORDER BY kind, subject")?
                .query_map([room.0], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect()
        })?;
        rows.into_iter().map(|(kind, subject)| Ban::of_row(&kind, subject).ok_or_else(|| self.damaged())).collect()
    }
}
