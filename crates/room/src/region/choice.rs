//! Where a member would best be fed from, as a registry sees it: a parent, a standby, and spares.

use treehouse_wire::{Contact, control::Rank};

use super::{
    Slot,
    directory::{Among, Directory, Member},
};
use crate::{config::Protection, time::Instant};

/// Spare members that come with a placement.
const SPARES: usize = 3;
/// Standbys among which the one that shares least with the parent is taken.
const STANDBYS: usize = 12;
/// What it is worth that a standby shares no relay with the parent's path, hangs from another root, and is no standby of a
/// sibling, in microseconds: a standby that is far away is heard when it takes over.
const OVERLAPS_US: u32 = 300_000;
const SAME_ROOT_US: u32 = 40_000;
const SIBLING_US: u32 = 20_000;
/// A leaf is displaced only where that gains this much over a free slot, in microseconds.
const DISPLACE_US: u32 = 8_000;
/// A member moves only to gain this much, in microseconds, and this share.
const GAIN_US: u32 = 20_000;
const GAIN_SHARE: u32 = 5;

/// Where a member is to go.
pub(super) struct Choice {
    pub(super) parent: Slot,
    pub(super) adopts: Option<Slot>,
    pub(super) standby: Option<Slot>,
    pub(super) spares: Vec<Slot>,
    pub(super) rank: Rank,
    pub(super) delay_us: u32,
}

/// A way to be fed: a parent, and the leaf that makes way there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub(super) score_us: u32,
    pub(super) parent: Slot,
    pub(super) adopts: Option<Slot>,
}

/// The directory while one member is placed.
pub(super) struct View<'a> {
    pub(super) directory: &'a Directory,
    pub(super) slot: Slot,
    pub(super) member: &'a Member,
    pub(super) co_root: Option<Slot>,
    /// Whether it keeps the children that it has, and so can only be fed by those that come before it.
    pub(super) keeps_children: bool,
    pub(super) now: Instant,
}

impl View<'_> {
    /// Whether a node may feed the member at all.
    fn fits(&self, slot: Slot, of: &Member) -> bool {
        let in_order = !self.keeps_children || of.rank < self.member.rank;
        slot == Slot::SELF
            || !self.member.is_relay()
            || in_order && self.directory.above(slot).all(|above| above != self.slot)
    }

    /// Members with a free slot that may feed this one, best first; those that did not work out lately only where there is
    /// no other.
    pub(super) fn open(&self, wanted: usize) -> Vec<(u32, Slot)> {
        let best = |fits: &dyn Fn(Slot, &Member) -> bool| {
            self.directory
                .best(Among::Open, self.slot, wanted, self.now, |slot, of| self.fits(slot, of) && fits(slot, of))
        };
        let works = |_: Slot, of: &Member| !self.member.avoids(&of.node, self.now);
        let found = best(&|slot, of| self.is_sound(slot, of));
        let found = if found.is_empty() { best(&works) } else { found };
        if found.is_empty() { best(&|_, of| !self.member.is_kept_from(&of.node, self.now)) } else { found }
    }

    /// Whether a node has not failed this member, and no node above it is in doubt or has stopped to feed this member a moment
    /// ago: it would be cut off with the others below that one.
    fn is_sound(&self, slot: Slot, of: &Member) -> bool {
        let carries = |of: &Member| of.is_there() && !of.doubted && !self.member.was_failed_by(&of.node, self.now);
        let mut above = self.directory.above(slot).skip(1).filter_map(|above| self.directory.at(above));
        !self.member.avoids(&of.node, self.now) && above.all(carries)
    }

    /// The best way to be fed: a free slot, or that of a leaf; for a hub, that of any other at a root too.
    pub(super) fn ways(&self, open: &[(u32, Slot)]) -> Option<Way> {
        let way = self.way_of_any(open);
        let at_root = if self.member.leads { self.way_at_a_root() } else { None };
        way.into_iter().chain(at_root).min_by_key(|way| way.score_us)
    }

    /// A hub's whole region hangs from it, so half the slots at the roots are for hubs first.
    fn way_at_a_root(&self) -> Option<Way> {
        let roots = [Some(Slot::SELF), self.co_root].into_iter().flatten();
        let ways = roots.filter_map(|root| {
            let of = self.directory.at(root)?;
            if !self.fits(root, of) || !self.is_sound(root, of) || !self.directory.may_feed(root, of) {
                return None;
            }
            if self.directory.room_for_hubs(of, |child| child.leads) == 0 {
                return None;
            }
            let is_free = self.directory.open_slots_of(of) > 0;
            let adopts = if is_free { None } else { Some(self.gives_way_at(of)?) };
            Some(Way { score_us: self.directory.score_us(root, self.member, self.now)?, parent: root, adopts })
        });
        ways.min_by_key(|way| way.score_us)
    }

    /// The child of a root that a hub would adopt: one that leads nobody and may come behind it in the order, with the fewest children.
    fn gives_way_at(&self, root: &Member) -> Option<Slot> {
        let rank = Rank { depth: root.rank.depth.saturating_add(1), admission: self.member.admission };
        let children = root.children().iter().filter_map(|slot| Some((*slot, self.directory.at(*slot)?)));
        let others = children.filter(|(slot, of)| {
            *slot != self.slot && !of.leads && of.placed_at.is_none() && (!of.is_relay() || of.rank > rank)
        });
        others.min_by_key(|(slot, of)| (of.is_relay(), of.children().len(), *slot)).map(|(slot, _)| slot)
    }

    fn way_of_any(&self, open: &[(u32, Slot)]) -> Option<Way> {
        let free = open.first().map(|(score_us, parent)| Way { score_us: *score_us, parent: *parent, adopts: None });
        let ripe = self.member.proven;
        if !self.member.is_trusted(self.now) || !ripe && free.is_some() {
            return free.or_else(|| self.kept_for_standbys());
        }
        let among = Among::Displaceable;
        let fits = |slot: Slot, of: &Member| self.fits(slot, of) && self.is_sound(slot, of);
        let found = self.directory.best(among, self.slot, 4, self.now, fits);
        let displaced = found
            .into_iter()
            .find_map(|(score_us, parent)| Some(Way { score_us, parent, adopts: Some(self.leaf_of(parent)?) }));
        match (free, displaced) {
            (Some(free), Some(displaced)) if free.score_us <= displaced.score_us.saturating_add(DISPLACE_US) => {
                Some(free)
            }
            (_, Some(displaced)) => Some(displaced),
            (free, None) => free.or_else(|| self.kept_for_standbys()),
        }
    }

    /// The leaf of a parent that this member would adopt: one that cannot feed others, the nearest.
    fn leaf_of(&self, parent: Slot) -> Option<Slot> {
        let children = self.directory.at(parent)?.children().iter().copied();
        let leaves = children.filter_map(|slot| Some((slot, self.directory.at(slot)?)));
        let leaves = leaves.filter(|(slot, of)| *slot != self.slot && !of.is_relay() && of.placed_at.is_none());
        leaves.min_by_key(|(slot, of)| (of.is_trusted(self.now), self.member.way_us(of), *slot)).map(|(slot, _)| slot)
    }

    /// A slot that is kept for standbys is better used than a member left in silence.
    fn kept_for_standbys(&self) -> Option<Way> {
        let meets = |of: &Member| !self.member.is_kept_from(&of.node, self.now);
        let fits = |slot: Slot, of: &Member| self.fits(slot, of) && meets(of) && self.directory.has_slot(of);
        let found = self.directory.best(Among::Standby, self.slot, 1, self.now, fits);
        found.first().map(|(score_us, parent)| Way { score_us: *score_us, parent: *parent, adopts: None })
    }

    /// The root that a node hangs from: the registry or the co-root. Feeds from both survive the death of either.
    fn root_of(&self, slot: Slot) -> Slot {
        let co_root = self.co_root;
        self.directory.above(slot).find(|above| Some(*above) == co_root).unwrap_or(Slot::SELF)
    }

    /// The best standby: earlier in the order where possible, and sharing no relay with the parent's path.
    fn standby(&self, parent: Slot, rank: Rank) -> Option<Slot> {
        let shared: Vec<Slot> = self.directory.above(parent).filter(|slot| Some(*slot) != self.co_root).collect();
        let siblings = self.directory.at(parent).map_or(&[][..], Member::children);
        let taken: Vec<Slot> = siblings.iter().filter_map(|slot| self.directory.at(*slot)?.standby()).collect();
        let root = self.root_of(parent);
        // Whoever hangs below a booster has the room key by its standby, which has it from members all the way up.
        let has_key = self.directory.is_keyed(parent);
        let of_those = |wanted: &dyn Fn(Slot) -> bool| {
            let fits = |slot: Slot, of: &Member| {
                slot != parent && self.fits(slot, of) && self.is_sound(slot, of) && wanted(slot)
            };
            self.directory.best(Among::Standby, self.slot, STANDBYS, self.now, fits)
        };
        let found = of_those(&|slot| has_key || self.directory.is_keyed(slot));
        let found = if found.is_empty() { of_those(&|slot| !self.directory.is_booster(slot)) } else { found };
        let live = self.member.is_relay() || self.directory.protection() == Protection::All;
        let key = |(score_us, slot): &(u32, Slot)| {
            // Relays can only stand behind those that come before them: the roots' slots are for them.
            let is_root = *slot == Slot::SELF || Some(*slot) == self.co_root;
            let late = self.directory.at(*slot).is_none_or(|of| of.rank >= rank);
            let unfit = if self.member.is_relay() { late } else { is_root };
            let overlaps = self.directory.above(*slot).any(|above| shared.contains(&above));
            // Children of one parent that share a standby would all fall on it at once.
            let siblings = taken.iter().filter(|standby| *standby == slot).count();
            let same_root = self.root_of(*slot) == root;
            let worse_us = OVERLAPS_US * u32::from(overlaps) + SAME_ROOT_US * u32::from(same_root);
            let score_us = score_us.saturating_add(worse_us).saturating_add(SIBLING_US * siblings as u32);
            // Live standbys spread over both roots, whatever that costs: the roots' slots would run out on one side.
            let spread = if live { (overlaps, same_root, siblings) } else { (false, false, 0) };
            (unfit, spread, score_us, *slot)
        };
        found.iter().min_by_key(|of| key(of)).map(|(_, slot)| *slot)
    }

    pub(super) fn contact(&self, slot: Slot) -> Option<Contact> {
        self.directory.at(slot).map(Member::contact)
    }

    /// How good the member's present parent is for it.
    pub(super) fn present_us(&self) -> Option<u32> {
        let parent = self.member.parent().filter(|parent| self.directory.at(*parent).is_some_and(Member::is_there))?;
        self.directory.score_us(parent, self.member, self.now)
    }

    /// A way that is worth a move.
    pub(super) fn gain(&self) -> Option<Way> {
        let present_us = self.present_us()?;
        let way = self.ways(&self.open(2)).filter(|way| Some(way.parent) != self.member.parent())?;
        let gain_us = present_us.saturating_sub(way.score_us);
        (gain_us >= GAIN_US && gain_us >= present_us / GAIN_SHARE).then_some(way)
    }

    pub(super) fn choose(&self, moves: bool) -> Option<Choice> {
        let there = |slot: &Slot| self.directory.at(*slot).is_some_and(Member::is_there);
        let open = self.open(1 + SPARES + 2);
        // A parent that works stays, and only what is missing is assigned; unless the member is to move.
        let kept = self.member.parent().filter(there).filter(|_| !moves || self.gain().is_none());
        let way = match kept {
            Some(parent) => Way { score_us: 0, parent, adopts: None },
            None => self.ways(&open)?,
        };
        let parent = self.directory.at(way.parent)?;
        let depth = if self.co_root == Some(self.slot) { 0 } else { parent.rank.depth.saturating_add(1) };
        let admission = self.member.admission;
        let keeps_rank = self.member.is_relay() && self.keeps_children;
        let rank = if keeps_rank { self.member.rank } else { Rank { depth, admission } };
        let has_key = self.directory.is_keyed(way.parent);
        let serves = |of: &Slot| *of != way.parent && there(of) && (has_key || self.directory.is_keyed(*of));
        let kept = self.member.standby().filter(serves);
        let standby = kept.or_else(|| self.standby(way.parent, rank));
        let above: Vec<Slot> = self.directory.above(way.parent).collect();
        // A spare may come to stand beside any parent.
        let apart = |slot: &Slot| *slot != way.parent && Some(*slot) != standby && !self.directory.is_booster(*slot);
        let mut spares: Vec<Slot> = open.iter().map(|(_, slot)| *slot).filter(apart).collect();
        // Those that do not hang on the same relays come first.
        spares.sort_by_key(|slot| self.directory.above(*slot).any(|of| above.contains(&of)));
        spares.truncate(SPARES);
        let delay_us = parent.delay_us.saturating_add(self.member.way_us(parent)).saturating_add(1000);
        Some(Choice { parent: way.parent, adopts: way.adopts, standby, spares, rank, delay_us })
    }
}
