//! What only the acting host does: admit, bring onto the stage, sign the room state.

mod admission;
mod hubs;
mod moderation;
mod publish;
mod reports;
mod uses;

use std::{collections::BTreeMap, sync::Arc};

use treehouse_invite::{Bans, StageMember};
use treehouse_wire::{NodeId, control::Statement};

use crate::{beacon::Account, config::Past, floor::Floor, time::Instant};
use hubs::Hubs;
use moderation::Rotation;
use uses::Uses;

/// Members that one host places itself.
const MEMBERS_MAX: usize = 1 << 20;
/// The audience from which packets carry three frames down the tree, and below which they carry one again.
const TREE_OF_THREE_FROM: usize = 50;
const TREE_OF_THREE_BELOW: usize = 40;

/// The acting host's own state.
#[derive(Debug)]
pub(crate) struct Acting {
    pub(crate) charter: Statement,
    uses: Uses,
    pub(crate) bans: Arc<Bans>,
    rotation: Rotation,
    /// The flag that the state is signed with, and the one that is wanted: it takes effect with the next room key.
    recording: bool,
    recording_wanted: bool,
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
    pub(crate) fn new(charter: Statement, past: &Past, key_seed: [u8; 32], now: Instant) -> Self {
        Acting {
            charter,
            uses: Uses::recall(past),
            bans: Arc::new(moderation::recall(past)),
            rotation: Rotation::new(key_seed, past, now),
            recording: false,
            recording_wanted: false,
            tree_of_three: false,
            co_root: None,
            stage: BTreeMap::new(),
            floor: Floor::default(),
            account: Account::default(),
            hubs: Hubs::default(),
            hands_told: 0,
            version: past.first_number(),
            published: None,
            dirty: true,
        }
    }
}
