//! The invites that this node issued or narrowed for its own rooms, and the links that are revoked.

use rusqlite::params;
use treehouse_invite::Invite;
use treehouse_wire::{RoomId, UnixSeconds};

use super::{Store, StoreError, from_sql, to_sql};

/// An invite that was given out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// Its whole chain; the last link is the one that was issued.
    pub invite: Invite,
    /// For whom, as its issuer called it.
    pub label: String,
    /// When it was issued.
    pub issued: UnixSeconds,
}

impl Issued {
    /// The id of the link that was issued.
    pub fn id(&self) -> [u8; 32] {
        self.invite.links().next_back().map_or([0; 32], |link| *link.id())
    }
}

impl Store {
    /// Keeps an invite to a room that is kept; one that is kept already stays as it is.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn note_invite(&mut self, invite: &Invite, label: &str, now: UnixSeconds) -> Result<(), StoreError> {
        let mut ids = invite.links().rev().map(|link| *link.id());
        let (Some(id), parent) = (ids.next(), ids.next()) else { return Ok(()) };
        let (room, text) = (invite.room().0, invite.to_string());
        self.sql(|connection| {
            connection.execute(
                "INSERT INTO link (id, room, parent, label, issued_unix_s, text) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (id) DO NOTHING",
                params![id, room, parent, label, to_sql(now), text],
            )
        })?;
        Ok(())
    }

    /// The invites to a room, the oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn invites(&mut self, room: &RoomId) -> Result<Vec<Issued>, StoreError> {
        let rows: Vec<(String, String, i64)> = self.sql(|connection| {
            connection
                .prepare("SELECT text, label, issued_unix_s FROM link WHERE room = ?1 ORDER BY issued_unix_s, rowid")?
                .query_map([room.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                .collect()
        })?;
        rows.into_iter()
            .map(|(text, label, issued)| {
                let invite = Invite::parse(&text).map_err(|_| self.damaged())?;
                Ok(Issued { invite, label, issued: from_sql(issued) })
            })
            .collect()
    }

    /// No chain with this link is to be redeemed any more. It may be one that somebody else made.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn revoke(&mut self, room: &RoomId, link: [u8; 32], now: UnixSeconds) -> Result<(), StoreError> {
        self.sql(|connection| {
            connection.execute(
                "INSERT INTO revoked (link, room, at_unix_s) VALUES (?1, ?2, ?3) ON CONFLICT (link) DO NOTHING",
                params![link, room.0, to_sql(now)],
            )
        })?;
        Ok(())
    }

    /// The links of a room that are revoked.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn revoked(&mut self, room: &RoomId) -> Result<Vec<[u8; 32]>, StoreError> {
        self.sql(|connection| {
            connection
                .prepare("SELECT link FROM revoked WHERE room = ?1 ORDER BY link")?
                .query_map([room.0], |row| row.get(0))?
                .collect()
        })
    }
}
