//! How often invites were used, by whom, and which are revoked.
//!
//! A use is taken before it is durable: the room asks its driver to keep it ([`Output::Redeem`](crate::Output::Redeem)) and
//! lets the member in only once the driver says that it is kept. So a crash in between loses no use, and whoever was admitted
//! is on the list, which is as long as the uses of counted links allow. Who comes by a chain without one is listed too, up to
//! [`NOTED_MAX`], and waits for nothing.

use std::collections::{BTreeMap, BTreeSet};

use treehouse_invite::{Grant, Role};
use treehouse_wire::{
    Lineage, NodeId,
    control::{Profile, Refusal},
};

use crate::{api::Redemption, config::Past};

/// Redemptions that wait to be kept at once; others are told to come again.
const WAITING_MAX: usize = 1024;
/// Redemptions on the list past which none that takes no use is added.
const NOTED_MAX: usize = 10_000;

/// A member that comes in once its use is kept.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) profile: Profile,
    pub(crate) role: Role,
    pub(crate) direct: bool,
    pub(crate) lineage: Lineage,
    path: Vec<[u8; 32]>,
    redemption: Redemption,
}

/// What a host counts.
#[derive(Debug, Default)]
pub(crate) struct Uses {
    /// Uses taken of each counted link.
    taken: BTreeMap<[u8; 32], u32>,
    /// The last link of a chain, and who has redeemed it.
    redeemed: BTreeSet<([u8; 32], NodeId)>,
    waiting: BTreeMap<NodeId, Waiting>,
    revoked: BTreeSet<[u8; 32]>,
}

impl Uses {
    /// What was counted when the room was open before.
    pub(crate) fn recall(past: &Past) -> Self {
        let mut uses = Uses { revoked: past.revoked.iter().copied().collect(), ..Uses::default() };
        for redemption in &past.redemptions {
            if uses.redeemed.insert((redemption.chain, redemption.node)) {
                uses.take(&redemption.links);
            }
        }
        uses
    }

    /// No chain with this link is redeemed any more.
    pub(crate) fn revoke(&mut self, link: [u8; 32]) {
        self.revoked.insert(link);
    }

    /// A link of the chain is revoked.
    pub(crate) fn is_revoked(&self, path: &[[u8; 32]]) -> bool {
        path.iter().any(|link| self.revoked.contains(link))
    }

    /// The same node has redeemed the same invite before, and takes no further use.
    pub(crate) fn has_redeemed(&self, chain: [u8; 32], node: NodeId) -> bool {
        self.redeemed.contains(&(chain, node))
    }

    /// Takes one use of every counted link of a chain, or none where one is spent. What is to be kept is returned; none
    /// where that is under way.
    pub(crate) fn reserve(
        &mut self,
        node: NodeId,
        grant: &Grant,
        profile: Profile,
        direct: bool,
    ) -> Result<Option<Redemption>, Refusal> {
        if let Some(waiting) = self.waiting.get(&node) {
            return if waiting.redemption.chain == grant.chain { Ok(None) } else { Err(Refusal::Busy) };
        }
        let taken = |id: &[u8; 32]| self.taken.get(id).copied().unwrap_or(0);
        if grant.uses.iter().any(|(id, limit)| taken(id) >= *limit) {
            return Err(Refusal::UsedUp);
        }
        if self.waiting.len() >= WAITING_MAX {
            return Err(Refusal::Busy);
        }
        let links = grant.uses.iter().map(|(id, _)| *id).collect();
        let redemption = Redemption { node, chain: grant.chain, links };
        self.take(&redemption.links);
        let (lineage, path) = (grant.lineage(), grant.path.clone());
        let waiting = Waiting { profile, role: grant.role, direct, lineage, path, redemption: redemption.clone() };
        self.waiting.insert(node, waiting);
        Ok(Some(redemption))
    }

    /// Somebody comes by a chain that nobody counts; what is to be kept for the list of who came, if that is new and the list not full.
    pub(crate) fn note(&mut self, node: NodeId, chain: [u8; 32]) -> Option<Redemption> {
        let is_new = self.redeemed.len() < NOTED_MAX && self.redeemed.insert((chain, node));
        is_new.then(|| Redemption { node, chain, links: Vec::new() })
    }

    /// A use is kept, or could not be and is given back. Returns who waited for it, unless it may not come in after all.
    pub(crate) fn settle(&mut self, redemption: &Redemption, kept: bool) -> Option<Result<Waiting, Refusal>> {
        let node = redemption.node;
        if redemption.links.is_empty() {
            return None;
        }
        let waiting = self.waiting.remove(&node)?;
        if !kept {
            for link in &waiting.redemption.links {
                self.taken.entry(*link).and_modify(|taken| *taken = taken.saturating_sub(1));
            }
            return Some(Err(Refusal::Busy));
        }
        self.redeemed.insert((waiting.redemption.chain, node));
        Some(if self.is_revoked(&waiting.path) { Err(Refusal::Revoked) } else { Ok(waiting) })
    }

    fn take(&mut self, links: &[[u8; 32]]) {
        for link in links {
            let taken = self.taken.entry(*link).or_insert(0);
            *taken = taken.saturating_add(1);
        }
    }
}
