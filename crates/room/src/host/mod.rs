//! What only the acting host does: admit, place, bring onto the stage, sign the room state.

mod admission;
pub(crate) mod directory;
mod placement;
mod publish;
mod reports;
pub(crate) use reports::Report;

use core::time::Duration;
use std::collections::BTreeMap;

use treehouse_invite::{MediaClaim, Role, StageMember};
use treehouse_wire::{
    Contact, NodeId,
    control::{Profile, Rank, Statement},
};

use crate::{config::Protection, time::Instant};

pub(crate) use directory::Member;

/// A member whose link is lost stays in the directory for this long: it may only be cut off, and may feed others still.
const LOST: Duration = Duration::from_secs(15);
/// A placement reserves its slots for this long.
const RESERVED: Duration = Duration::from_secs(5);
/// Members that one host places itself.
const MEMBERS_MAX: usize = 4096;
/// The audience from which packets carry three frames down the tree, and below which they carry one again.
const TREE_OF_THREE_FROM: usize = 50;
const TREE_OF_THREE_BELOW: usize = 40;

/// The acting host's own state.
#[derive(Debug)]
pub(crate) struct Acting {
    pub(crate) charter: Statement,
    pub(crate) directory: BTreeMap<NodeId, Member>,
    next_admission: u32,
    /// Uses consumed of each counted link.
    uses: BTreeMap<[u8; 32], u32>,
    protection: Protection,
    recording: bool,
    tree_of_three: bool,
    co_root: Option<NodeId>,
    stage: BTreeMap<NodeId, StageMember>,
    version: u32,
    published: Option<Instant>,
    dirty: bool,
}

impl Acting {
    pub(crate) fn new(charter: Statement, protection: Protection) -> Self {
        Acting {
            charter,
            directory: BTreeMap::new(),
            next_admission: 1,
            uses: BTreeMap::new(),
            protection,
            recording: false,
            tree_of_three: false,
            co_root: None,
            stage: BTreeMap::new(),
            version: 0,
            published: None,
            dirty: true,
        }
    }
}

impl Member {
    fn new(profile: Profile, role: Role, admission: u32, chain: [u8; 32]) -> Self {
        Member {
            profile,
            role,
            admission,
            chain,
            linked: true,
            lost_since: None,
            parent: None,
            standby: None,
            rank: Rank { depth: u8::MAX, admission },
            children: 0,
            delay_us: 0,
            placed_at: None,
            counter: 0,
            round: 0,
            trips: Vec::new(),
            offered_at: None,
            hand: None,
            avoid: Vec::new(),
        }
    }

    fn contact(&self, node: NodeId) -> Contact {
        Contact { node, addresses: self.profile.addresses.clone() }
    }

    pub(crate) fn stage_member(&self, node: NodeId, claim: Option<MediaClaim>) -> StageMember {
        StageMember { node, role: self.role, name: self.profile.name.clone(), claim }
    }
}
