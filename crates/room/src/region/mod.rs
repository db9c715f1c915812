//! What a registry does for its region: know who is in it, and place them.
//!
//! The acting host is the registry of a small room; in a large one hubs are, each of its own region.

pub(crate) mod cells;
mod choice;
pub(crate) mod directory;
mod doubt;
mod forgers;
mod handover;
mod hub;
mod overdue;
mod placement;
mod protection;
mod reports;
mod slots;
mod standing;
mod survival;

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use treehouse_invite::Role;
use treehouse_wire::{
    Lineage, NodeId, NodeTag,
    control::{Profile, Rank},
};

use crate::{config::Protection, coordinates::Coordinate, links::Joiners, time::Instant};

pub(crate) use protection::{Auto, weaker};

use doubt::Doubts;
use forgers::Hearing;

pub(crate) use directory::{Directory, Member, Presence, Slot};
pub(crate) use handover::{Crowd, Handover};
pub(crate) use hub::{Hub, Shown, Sums};

/// A member whose link is lost stays in the directory for this long: it may only be cut off, and may feed others still.
const LOST: Duration = Duration::from_secs(15);
/// A member in the tree that was not heard of for this long is gone: it reports every minute.
const SILENT: Duration = Duration::from_secs(200);
/// A placement reserves its slots for this long.
const RESERVED: Duration = Duration::from_secs(5);
/// A member that has not answered an offer after this is placed without.
const ANSWER: Duration = Duration::from_secs(3);

/// A registry's own state.
#[derive(Debug)]
pub(crate) struct Region {
    pub(crate) directory: Directory,
    /// Members from which on joiners are sent to others.
    pub(crate) members_max: u32,
    /// What a hub has and the host has not.
    pub(crate) hub: Option<Box<Hub>>,
    /// Subtrees that are being handed over.
    pub(crate) handovers: Vec<Handover>,
    /// When the region was last split.
    pub(crate) split: Option<Instant>,
    pub(crate) crowd: Crowd,
    /// What was heard of forgers.
    pub(crate) hearing: Hearing,
    pub(crate) joiners: Joiners,
    /// Hubs that this one made out of its members, which belong to the host since.
    gone_over: Vec<NodeId>,
    /// Members that were handed over of late, and to whom.
    pub(crate) moved: BTreeMap<NodeId, NodeId>,
    /// Members that are gone, of late: what comes up the tree of them is known here.
    gone: VecDeque<NodeTag>,
    /// Members with raised hands that are not on stage, the first to raise theirs first; some may be gone.
    pub(crate) hands: VecDeque<NodeId>,
    /// Where the host did not say how well feeds are to be protected.
    pub(crate) auto: Option<Auto>,
    /// Members that others report as not working.
    doubts: Doubts,
    next_admission: u32,
}

impl Region {
    /// The region of a host that may give this many feeds.
    pub(crate) fn of_host(
        host: NodeId,
        profile: Profile,
        protection: Option<Protection>,
        members_max: u32,
        now: Instant,
    ) -> Self {
        let mut registry = Member::new(host, profile, Role::Host, 0, Lineage::default(), now);
        registry.rank = Rank::HOST;
        // The host is where coordinates begin.
        registry.at = Some(Coordinate::origin());
        let mut region = Region::new(registry, protection.unwrap_or(Auto::FIRST), members_max, now);
        region.auto = protection.is_none().then(Auto::default);
        region
    }

    /// The region of a leader.
    pub(crate) fn new(mut registry: Member, protection: Protection, members_max: u32, now: Instant) -> Self {
        registry.proven = true;
        let mut directory = Directory::new(registry, protection);
        directory.index(Slot::SELF, now);
        Region {
            directory,
            members_max,
            auto: None,
            hub: None,
            handovers: Vec::new(),
            split: None,
            crowd: Crowd::default(),
            hearing: Hearing::default(),
            joiners: Joiners::default(),
            gone_over: Vec::new(),
            moved: BTreeMap::new(),
            gone: VecDeque::new(),
            hands: VecDeque::new(),
            doubts: Doubts::default(),
            next_admission: 1,
        }
    }

    /// The next number of admission comes behind this one: those up to it were given when the room was open before.
    pub(crate) fn admit_behind(&mut self, last: u32) {
        self.next_admission = last.saturating_add(1);
    }

    /// How many hands are up: those that still are remembered.
    pub(crate) fn count_hands(&mut self) -> u32 {
        let directory = &self.directory;
        self.hands.retain(|node| directory.get(node).is_some_and(|member| member.hand.is_some()));
        u32::try_from(self.hands.len()).unwrap_or(u32::MAX)
    }

    /// The first of so many numbers of admission that are leased.
    pub(crate) fn admissions(&mut self, count: u32) -> u32 {
        let first = self.next_admission;
        self.next_admission = first.saturating_add(count);
        first
    }

    /// The next number in the order of admission.
    pub(crate) fn admission(&mut self) -> u32 {
        let admission = self.next_admission;
        self.next_admission = admission.saturating_add(1);
        admission
    }
}
