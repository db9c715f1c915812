//! The host's view of the tree: who is in it, who feeds whom, where slots are free.
//!
//! The view follows what members report. It may be behind; then a parent declines, the member asks again, and nothing
//! worse happens.

use core::time::Duration;
use std::collections::BTreeMap;

use treehouse_invite::{MediaClaim, Role};
use treehouse_wire::{
    NodeId,
    control::{Profile, Rank},
};

use crate::{config::Protection, time::Instant};

/// Members that are not paired with one member again.
const AVOID_MAX: usize = 8;

/// One member as the host sees it.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) profile: Profile,
    pub(crate) role: Role,
    pub(crate) admission: u32,
    pub(crate) chain: [u8; 32],
    pub(crate) linked: bool,
    pub(crate) lost_since: Option<Instant>,
    pub(crate) parent: Option<NodeId>,
    pub(crate) standby: Option<NodeId>,
    pub(crate) rank: Rank,
    /// Primary and live standby feeds that it reports to give.
    pub(crate) children: u8,
    /// Estimate of the one-way delay from the root, in microseconds.
    pub(crate) delay_us: u64,
    /// When it was last placed; until it reports, its slots are reserved.
    pub(crate) placed_at: Option<Instant>,
    /// Grows with each placement.
    pub(crate) counter: u32,
    pub(crate) round: u32,
    /// Round trips that it measured, in milliseconds.
    pub(crate) trips: Vec<(NodeId, Option<u16>)>,
    pub(crate) offered_at: Option<Instant>,
    pub(crate) hand: Option<MediaClaim>,
    /// Members that did not work out for it, and until when they are not proposed again.
    pub(crate) avoid: Vec<(NodeId, Instant)>,
}

impl Member {
    /// Whether others can be placed under it.
    pub(crate) fn may_feed(&self) -> bool {
        self.linked && self.parent.is_some() && !self.profile.addresses.is_empty() && self.profile.children_max > 0
    }

    pub(crate) fn avoid(&mut self, node: NodeId, until: Instant) {
        self.avoid.retain(|(of, _)| *of != node);
        if self.avoid.len() >= AVOID_MAX {
            self.avoid.remove(0);
        }
        self.avoid.push((node, until));
    }

    pub(crate) fn avoids(&self, node: &NodeId, now: Instant) -> bool {
        self.avoid.iter().any(|(of, until)| of == node && *until > now)
    }

    pub(crate) fn trip_to(&self, node: &NodeId) -> Option<Duration> {
        let trip = self.trips.iter().find(|(of, _)| of == node)?.1?;
        Some(Duration::from_millis(u64::from(trip)))
    }
}

/// Feeds that a node gives, in the host's view.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Load {
    pub(crate) primary: u32,
    pub(crate) live_standby: u32,
    pub(crate) idle_standby: u32,
}

/// The slots of each node.
#[derive(Debug)]
pub(crate) struct Loads {
    map: BTreeMap<NodeId, Load>,
    protection: Protection,
}

impl Loads {
    /// Counts the feeds in a directory, without those of `except`.
    pub(crate) fn count(directory: &BTreeMap<NodeId, Member>, protection: Protection, except: Option<&NodeId>) -> Self {
        let mut map: BTreeMap<NodeId, Load> = BTreeMap::new();
        for (_, member) in directory.iter().filter(|(node, _)| Some(*node) != except) {
            if let Some(parent) = member.parent {
                map.entry(parent).or_default().primary += 1;
            }
            let Some(standby) = member.standby else { continue };
            let live = match protection {
                Protection::All => true,
                Protection::Relays => member.children > 0,
                Protection::Off => false,
            };
            let load = map.entry(standby).or_default();
            if live { load.live_standby += 1 } else { load.idle_standby += 1 }
        }
        Loads { map, protection }
    }

    pub(crate) fn of(&self, node: &NodeId) -> Load {
        self.map.get(node).copied().unwrap_or_default()
    }

    /// Primary feeds that the host gives a node out of its `slots`: room is kept for standbys.
    ///
    /// Under `all` every member takes two feeds, so half the slots are for standbys; an odd slot goes to a child, since
    /// leaves have slots for standbys too. Otherwise one slot stays free for a neighbour that repairs.
    pub(crate) fn primary_max(&self, slots: u8) -> u32 {
        let slots = u32::from(slots);
        match self.protection {
            Protection::All => slots.div_ceil(2),
            Protection::Relays | Protection::Off => slots.saturating_sub(1).max(slots.min(1)),
        }
    }

    /// Primary feeds that a node could give beside those that it gives.
    pub(crate) fn primary_slots(&self, node: &NodeId, slots: u8) -> u32 {
        let load = self.of(node);
        let free = u32::from(slots).saturating_sub(load.primary + load.live_standby);
        free.min(self.primary_max(slots).saturating_sub(load.primary))
    }

    pub(crate) fn has_primary_slot(&self, node: &NodeId, slots: u8) -> bool {
        self.primary_slots(node, slots) > 0
    }

    /// Whether a node has any slot, those kept for standbys included.
    pub(crate) fn has_slot(&self, node: &NodeId, slots: u8) -> bool {
        let load = self.of(node);
        load.primary + load.live_standby < u32::from(slots)
    }

    pub(crate) fn has_standby_slot(&self, node: &NodeId, slots: u8) -> bool {
        let load = self.of(node);
        let taken = load.primary + load.live_standby;
        match self.protection {
            Protection::All => taken < u32::from(slots),
            // An idle standby takes a slot only when it has to carry.
            Protection::Relays | Protection::Off => taken + load.idle_standby.div_ceil(4) < u32::from(slots),
        }
    }

    /// Share of a node's slots that are taken.
    pub(crate) fn share(&self, node: &NodeId, slots: u8) -> f64 {
        let load = self.of(node);
        f64::from(load.primary + load.live_standby) / f64::from(slots.max(1))
    }
}
