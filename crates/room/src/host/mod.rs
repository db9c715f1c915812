//! What only the acting host does: admit, bring onto the stage, sign the room state.

mod admission;
mod hubs;
mod moderation;
mod publish;
mod reports;

use std::{collections::BTreeMap, sync::Arc};

use treehouse_invite::{Bans, StageMember};
use treehouse_wire::{NodeId, control::Statement};

use crate::{beacon::Account, floor::Floor, time::Instant};
use hubs::Hubs;
use moderation::Rotation;

/// Members that one host places itself.
const MEMBERS_MAX: usize = 1 << 20;
/// The audience from which packets carry three frames down the tree, and below which they carry one again.
const TREE_OF_THREE_FROM: usize = 50;
const TREE_OF_THREE_BELOW: usize = 40;

/// The acting host's own state.
#[derive(Debug)]
pub(crate) struct Acting {
    pub(crate) charter: Statement,
    /// Uses consumed of each counted link.
    uses: BTreeMap<[u8; 32], u32>,
    pub(crate) bans: Arc<Bans>,
    rotation: Rotation,
    recording: bool,
    tree_of_three: bool,
    pub(crate) co_root: Option<NodeId>,
    pub(crate) stage: BTreeMap<NodeId, StageMember>,
    /// Which voices go down the tree.
    pub(crate) floor: Floor,
    /// What went down since the last beacon.
    pub(crate) account: Account,
    pub(crate) hubs: Hubs,
    /// Raised hands in the whole room, as last told.
    hands_told: u32,
    version: u32,
    published: Option<Instant>,
    dirty: bool,
}

impl Acting {
    pub(crate) fn new(charter: Statement, key_seed: [u8; 32], now: Instant) -> Self {
        Acting {
            charter,
            uses: BTreeMap::new(),
            bans: Arc::default(),
            rotation: Rotation::new(key_seed, now),
            recording: false,
            tree_of_three: false,
            co_root: None,
            stage: BTreeMap::new(),
            floor: Floor::default(),
            account: Account::default(),
            hubs: Hubs::default(),
            hands_told: 0,
            version: 0,
            published: None,
            dirty: true,
        }
    }
}
