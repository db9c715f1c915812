//! What a registry does for its region: know who is in it, and place them.
//!
//! The acting host is the registry of its room.

pub(crate) mod cells;
pub(crate) mod directory;
mod placement;
mod reports;
mod survival;

use core::time::Duration;

use treehouse_invite::Role;
use treehouse_wire::{
    NodeId,
    control::{Profile, Rank},
};

use crate::{config::Protection, coordinates::Coordinate, time::Instant};

pub(crate) use directory::{Directory, Member, Presence, Slot};

/// A member whose link is lost stays in the directory for this long: it may only be cut off, and may feed others still.
const LOST: Duration = Duration::from_secs(15);
/// A member in the tree that was not heard of for this long is gone: it reports every minute.
const SILENT: Duration = Duration::from_secs(200);
/// A placement reserves its slots for this long.
const RESERVED: Duration = Duration::from_secs(5);

/// A registry's own state.
#[derive(Debug)]
pub(crate) struct Region {
    pub(crate) directory: Directory,
    next_admission: u32,
}

impl Region {
    /// The region of a host that may give this many feeds.
    pub(crate) fn of_host(host: NodeId, profile: Profile, protection: Protection, now: Instant) -> Self {
        let mut registry = Member::new(host, profile, Role::Host, 0, [0; 32], now);
        registry.rank = Rank::HOST;
        registry.proven = true;
        // The host is where coordinates begin.
        registry.at = Some(Coordinate::origin());
        let mut directory = Directory::new(registry, protection);
        directory.index(Slot::SELF, now);
        Region { directory, next_admission: 1 }
    }

    /// The next number in the order of admission.
    pub(crate) fn admission(&mut self) -> u32 {
        let admission = self.next_admission;
        self.next_admission = admission.saturating_add(1);
        admission
    }
}
