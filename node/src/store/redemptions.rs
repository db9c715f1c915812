//! Who has used which invite: one row for each counted link of the chain, all of them or none, or one where none is counted.

use rusqlite::{TransactionBehavior, params};
use treehouse_net::{Ledger, LedgerError};
use treehouse_room::{Past, Redemption};
use treehouse_wire::{NodeId, RoomId, UnixSeconds};

use super::{Store, StoreError, from_sql, to_sql};
use crate::{inspect, moderate::banned};

/// One use of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Used {
    /// The link.
    pub link: [u8; 32],
    /// The last link of the chain that was redeemed: the same, or one that somebody put behind it.
    pub chain: [u8; 32],
    /// By whom.
    pub node: NodeId,
    /// When.
    pub at: UnixSeconds,
}

impl Store {
    /// Keeps redemptions; when this returns they are on the disk.
    ///
    /// # Errors
    /// [`StoreError`]; none of them is kept then.
    pub fn redeem(&mut self, room: &RoomId, redemptions: &[Redemption], now: UnixSeconds) -> Result<(), StoreError> {
        self.sql(|connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            {
                let mut insert = transaction.prepare_cached(
                    "INSERT INTO redemption (link, chain, node, room, at_unix_s) VALUES (?1, ?2, ?3, ?4, ?5)
                     ON CONFLICT (link, chain, node) DO NOTHING",
                )?;
                for redemption in redemptions {
                    // One that takes no use is listed under the link that it came by.
                    let uncounted = redemption.links.is_empty().then_some(&redemption.chain);
                    for link in redemption.links.iter().chain(uncounted) {
                        insert.execute(params![link, redemption.chain, redemption.node.0, room.0, to_sql(now)])?;
                    }
                }
            }
            transaction.commit()
        })
    }

    /// All uses of a room's invites, the first first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn used(&mut self, room: &RoomId) -> Result<Vec<Used>, StoreError> {
        self.sql(|connection| {
            connection
                .prepare(
                    "SELECT link, chain, node, at_unix_s FROM redemption WHERE room = ?1 ORDER BY at_unix_s, chain, node",
                )?
                .query_map([room.0], |row| {
                    let at: i64 = row.get(3)?;
                    Ok(Used { link: row.get(0)?, chain: row.get(1)?, node: NodeId(row.get(2)?), at: from_sql(at) })
                })?
                .collect()
        })
    }

    /// What a host that opens the room again must know, where it was opened so often before.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn past(&mut self, room: &RoomId, openings: u32) -> Result<Past, StoreError> {
        let mut redemptions: Vec<Redemption> = Vec::new();
        for Used { link, chain, node, .. } in self.used(room)? {
            // The rows of one redemption come one behind the other.
            match redemptions.last_mut().filter(|last| last.chain == chain && last.node == node) {
                Some(last) => last.links.push(link),
                None => redemptions.push(Redemption { node, chain, links: vec![link] }),
            }
        }
        let bans = self.bans(room)?.iter().map(banned).collect();
        Ok(Past { openings, redemptions, revoked: self.revoked(room)?, bans })
    }
}

/// The store as a host's driver uses it.
#[derive(Debug)]
pub struct StoreLedger {
    /// Its own connection.
    pub store: Store,
    /// The room that is open.
    pub room: RoomId,
}

impl Ledger for StoreLedger {
    fn keep(&mut self, redemptions: &[Redemption]) -> Result<(), LedgerError> {
        self.store.redeem(&self.room, redemptions, inspect::now()).map_err(|error| LedgerError(error.to_string()))
    }
}
