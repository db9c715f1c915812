//! Who may not come into a room, or not any more, as one list that the room state has the digest of.
//!
//! A ban revokes the certificates that it is about: relays feed nobody whom it names, leaders admit nobody, and the room key that
//! comes with the state goes past them. One that is put out of the room only for now is banned for as long as its certificate
//! could last. Links that were revoked stand there too, for leaders that the host has leased admission to.

use serde::{Deserialize, Serialize};
use treehouse_wire::{
    DecodeError, LinkTag, List, NodeId, UnixSeconds, decode, encode,
    limits::{BAN_PARTS_MAX, BANS_MAX, STATE_PART_BYTES_MAX},
};

use crate::assembly::StateList;

/// Whom a ban is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Banned {
    /// A node, by whatever invite it comes.
    Node(NodeId),
    /// Whoever came, or comes, by an invite that ends with this link.
    Link(LinkTag),
    /// Whoever came, or comes, by an invite with this link anywhere in its chain.
    Subtree(LinkTag),
    /// Whoever comes by an invite with this link anywhere in its chain: the link was revoked. Those who are in stay.
    Revoked(LinkTag),
}

impl Banned {
    /// Whether a member that came by these links is put out.
    pub fn is_about(&self, node: &NodeId, lineage: &[LinkTag]) -> bool {
        match self {
            Banned::Node(banned) => banned == node,
            Banned::Link(link) => lineage.last() == Some(link),
            Banned::Subtree(link) => lineage.contains(link),
            Banned::Revoked(_) => false,
        }
    }
}

/// One ban.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ban {
    /// Whom it is about.
    pub who: Banned,
    /// When it ends.
    pub until: UnixSeconds,
}

/// All bans of a room, ordered by whom they are about; none is there twice.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Bans {
    bans: Vec<Ban>,
}

impl Bans {
    /// The bans, ordered.
    pub fn all(&self) -> &[Ban] {
        &self.bans
    }

    /// Whether nobody is banned.
    pub fn is_empty(&self) -> bool {
        self.bans.is_empty()
    }

    /// Adds a ban, or changes when it ends; false where the list is full.
    pub fn add(&mut self, ban: Ban) -> bool {
        match self.bans.binary_search_by_key(&ban.who, |of| of.who) {
            Ok(at) => self.bans[at] = ban,
            Err(_) if self.bans.len() >= BANS_MAX => return false,
            Err(at) => self.bans.insert(at, ban),
        }
        true
    }

    /// Ends a ban; false where there is none.
    pub fn lift(&mut self, who: &Banned) -> bool {
        let found = self.bans.binary_search_by_key(who, |of| of.who);
        found.is_ok_and(|at| {
            self.bans.remove(at);
            true
        })
    }

    /// Forgets bans that are over; whether there were any.
    pub fn forget_past(&mut self, now: UnixSeconds) -> bool {
        let before = self.bans.len();
        self.bans.retain(|ban| ban.until > now);
        self.bans.len() != before
    }

    /// Whether a link among these is revoked: nobody comes in by them any more.
    pub fn revoke(&self, lineage: &[LinkTag]) -> bool {
        let revoked = |ban: &Ban| matches!(ban.who, Banned::Revoked(link) if lineage.contains(&link));
        self.bans.iter().any(revoked)
    }

    /// The ban that a node which came by these links falls under now, if any.
    pub fn of(&self, node: &NodeId, lineage: &[LinkTag], now: UnixSeconds) -> Option<&Ban> {
        self.bans.iter().find(|ban| ban.until > now && ban.who.is_about(node, lineage))
    }
}

impl StateList for Bans {
    const PARTS_MAX: usize = BAN_PARTS_MAX;

    fn to_bytes(&self) -> Vec<u8> {
        encode(&self.bans)
    }

    fn from_bytes(bytes: &[u8]) -> Result<Bans, DecodeError> {
        let bans = decode::<List<Ban, BANS_MAX>>(bytes, STATE_PART_BYTES_MAX * BAN_PARTS_MAX)?.into_vec();
        if bans.is_sorted_by(|a, b| a.who < b.who) { Ok(Bans { bans }) } else { Err(DecodeError::NotCanonical) }
    }
}

const _: () = {
    // A tag, a key and the longest number.
    const BAN_BYTES_MAX: usize = 1 + 32 + 10;
    assert!(2 + BANS_MAX * BAN_BYTES_MAX <= STATE_PART_BYTES_MAX * BAN_PARTS_MAX);
};
