//! A region's members as its registry sees them: where they are, who feeds whom, where slots are free.
//!
//! The view follows what members report. It may be behind; then a parent declines, the member asks again, and nothing
//! worse happens. Every change of one member costs time in the number of its own neighbours only.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use treehouse_invite::{MediaClaim, Role, StageMember};
use treehouse_wire::{
    Contact, Lineage, NodeId, NodeTag,
    control::{Profile, Rank},
};

use super::{
    cells::{Cells, Entry},
    forgers::Accused,
    standing::Standing,
    survival::leaves_soon,
};
use crate::{config::Protection, coordinates::Coordinate, time::Instant};

/// Members that are not paired with one member again.
const AVOID_MAX: usize = 8;
/// Feeds that a member was given which are remembered: a complaint may come after the next were.
const HAD_MAX: usize = 8;
/// Members that one is never to meet again which are remembered.
const KEPT_MAX: usize = 8;
/// Nobody is avoided for so long because it did not answer.
const KEPT: Duration = Duration::from_secs(3600);
/// Cost of one hop beside the network's, in microseconds.
const HOP_US: u32 = 1000;
/// Cost of a parent whose slots are all taken, in microseconds.
const LOAD_US: f32 = 15_000.0;
/// Cost of a parent that is sure to leave within five minutes, in microseconds.
const LEAVES_US: f32 = 40_000.0;
/// Half a round trip that nobody measured or can reckon, in microseconds.
const UNKNOWN_US: u32 = 40_000;
/// What it costs to be a child beyond those that a member is believed to carry: others come first where they are near.
const UNCONFIRMED_US: u32 = 60_000;
/// A newcomer feeds others after this, where there are as many free slots as members; sooner where there are fewer.
const PROBATION: Duration = Duration::from_secs(120);

/// A member's place in the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Slot(pub(crate) u32);

impl Slot {
    /// The registry's own.
    pub(crate) const SELF: Slot = Slot(0);
}

/// Whether a member can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// By its own link.
    Linked,
    /// It closed its link and lives in the tree; it reported last at this time.
    InTree(Instant),
    /// Its link was lost at this time.
    Lost(Instant),
}

/// One member as the registry sees it.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) node: NodeId,
    pub(crate) profile: Profile,
    pub(crate) role: Role,
    pub(crate) admission: u32,
    pub(crate) lineage: Lineage,
    pub(crate) presence: Presence,
    pub(crate) joined: Instant,
    /// It has stayed for long enough to have children.
    pub(crate) proven: bool,
    pub(crate) rank: Rank,
    pub(crate) at: Option<Coordinate>,
    /// Estimate of the one-way delay from the root, in microseconds.
    pub(crate) delay_us: u32,
    parent: Option<Slot>,
    standby: Option<Slot>,
    children: Vec<Slot>,
    pub(super) standing_by: Vec<Slot>,
    /// Primary and live standby feeds that it reports to give.
    pub(crate) reported: u8,
    /// When it was last placed; until it reports, its slots are reserved.
    pub(crate) placed_at: Option<Instant>,
    /// Grows with each placement.
    pub(crate) counter: u32,
    pub(crate) round: u32,
    /// Round trips that it measured, in milliseconds.
    pub(crate) trips: Vec<(NodeId, Option<u16>)>,
    pub(crate) offered_at: Option<Instant>,
    /// When a better place was seen for it, and how often it was looked at.
    pub(crate) gain_seen: Option<Instant>,
    pub(crate) reviews: u8,
    /// When it is looked at next.
    pub(crate) review_at: Option<Instant>,
    pub(crate) hand: Option<MediaClaim>,
    /// It belongs to the host itself, and is handed over to nobody.
    pub(crate) direct: bool,
    /// Others report that it does not work, and it was asked whether it is there.
    pub(crate) doubted: bool,
    /// What those show of it that it feeds.
    pub(crate) standing: Standing,
    /// What those say of it whom it has sent a forgery.
    pub(super) accused: Accused,
    /// Whom it was last placed with, the newest first.
    pub(super) had: [Option<NodeTag>; HAD_MAX],
    /// Whom it last said that it is fed by.
    pub(super) said_parent: Option<NodeTag>,
    /// When it last was cut off itself: those below it are no witnesses then.
    pub(super) cut_at: Option<Instant>,
    /// When it was sent to another region, since this one has no slot for it.
    pub(crate) sent_on: Option<Instant>,
    /// It leads a region of its own: its slots are not this registry's to give.
    pub(crate) leads: bool,
    /// Members that did not work out for it, until when they are not proposed again, and whether they had fed it.
    avoid: Vec<(NodeId, Instant, bool)>,
    indexed: Option<Indexed>,
    /// When it is looked at next, to see whether something that it was to do is overdue.
    pub(super) look_at: Option<Instant>,
}

/// In which indexes a member stands, and the slots that it adds to the region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Indexed {
    entry: Entry,
    open: u32,
    /// Some of them may be given: it has not failed those that it has.
    is_open: bool,
    /// Nobody has confirmed that it carries one child more, in microseconds.
    doubt_us: u32,
    /// All that it may give.
    slots: u32,
    standby: bool,
    displaceable: bool,
}

impl Indexed {
    fn is_among(&self, among: Among) -> bool {
        match among {
            Among::Open => self.is_open,
            Among::Standby => self.standby,
            Among::Displaceable => self.displaceable,
        }
    }
}

impl Member {
    pub(crate) fn new(
        node: NodeId,
        profile: Profile,
        role: Role,
        admission: u32,
        lineage: Lineage,
        joined: Instant,
    ) -> Self {
        Member {
            node,
            profile,
            role,
            admission,
            lineage,
            presence: Presence::Linked,
            joined,
            proven: false,
            rank: Rank { depth: u8::MAX, admission },
            at: None,
            delay_us: 0,
            parent: None,
            standby: None,
            children: Vec::new(),
            standing_by: Vec::new(),
            reported: 0,
            placed_at: None,
            counter: 0,
            round: 0,
            trips: Vec::new(),
            offered_at: None,
            gain_seen: None,
            reviews: 0,
            review_at: None,
            hand: None,
            direct: false,
            doubted: false,
            standing: Standing::default(),
            said_parent: None,
            accused: Accused::default(),
            had: [None; HAD_MAX],
            cut_at: None,
            sent_on: None,
            leads: false,
            avoid: Vec::new(),
            indexed: None,
            look_at: None,
        }
    }

    pub(crate) fn contact(&self) -> Contact {
        Contact { node: self.node, addresses: self.profile.addresses.clone() }
    }

    pub(crate) fn stage_member(&self, claim: Option<MediaClaim>) -> StageMember {
        StageMember { node: self.node, role: self.role, name: self.profile.name.clone(), claim }
    }

    pub(crate) fn parent(&self) -> Option<Slot> {
        self.parent
    }

    pub(crate) fn standby(&self) -> Option<Slot> {
        self.standby
    }

    pub(crate) fn children(&self) -> &[Slot] {
        &self.children
    }

    /// Whether it feeds others, by what it reports or by where others were placed.
    pub(crate) fn is_relay(&self) -> bool {
        self.reported > 0 || !self.children.is_empty()
    }

    /// Whether others could connect to it and be fed, and it does not forge.
    pub(crate) fn is_capable(&self) -> bool {
        !self.profile.addresses.is_empty() && self.profile.children_max > 0 && !self.accused.forges
    }

    /// Whether it relays without being a member: it has no key to pass on.
    pub(crate) fn is_booster(&self) -> bool {
        self.role == Role::Booster
    }

    /// Whether it could, and those that it fed have not lost it of late.
    pub(crate) fn is_trusted(&self, now: Instant) -> bool {
        self.is_capable() && !self.standing.fails(now)
    }

    /// It was cut off: those below it are no witnesses.
    pub(super) fn cut(&mut self, now: Instant) {
        self.cut_at = Some(now);
        self.standing.forgive(now);
    }

    pub(crate) fn is_there(&self) -> bool {
        !matches!(self.presence, Presence::Lost(_))
    }

    /// Is not to be paired with another until then. One that it avoids already it names each time that it asks: that is no new
    /// reason.
    pub(crate) fn avoid(&mut self, node: NodeId, now: Instant, until: Instant, had_fed: bool) {
        if let Some((_, ends, fed)) = self.avoid.iter_mut().find(|(of, until, _)| *of == node && *until > now) {
            (*ends, *fed) = ((*ends).max(until), *fed | had_fed);
            return;
        }
        self.avoid.retain(|(of, ..)| *of != node);
        if self.avoid.len() >= AVOID_MAX + KEPT_MAX {
            let soonest = (0..).zip(&self.avoid).min_by_key(|(_, (_, until, _))| *until);
            let soonest = soonest.map_or(0, |(at, _)| at);
            self.avoid.remove(soonest);
        }
        self.avoid.push((node, until, had_fed));
    }

    /// Never mind what was between the two: they are not put together until then.
    pub(super) fn keep_from(&mut self, node: NodeId, until: Instant) {
        self.avoid.retain(|(of, ..)| *of != node);
        if self.avoid.len() >= AVOID_MAX + KEPT_MAX {
            self.avoid.remove(0);
        }
        self.avoid.push((node, until, false));
    }

    /// Whether the two are not to be put together for longer than because something did not work out.
    pub(super) fn is_kept_from(&self, node: &NodeId, now: Instant) -> bool {
        self.avoid.iter().any(|(of, until, _)| of == node && until.since(now) > KEPT)
    }

    pub(crate) fn avoids(&self, node: &NodeId, now: Instant) -> bool {
        self.avoid.iter().any(|(of, until, _)| of == node && *until > now)
    }

    /// Whether a node that fed it failed a moment ago: what hangs on that node may be cut off too.
    pub(crate) fn was_failed_by(&self, node: &NodeId, now: Instant) -> bool {
        self.avoid.iter().any(|(of, until, had_fed)| *had_fed && of == node && *until > now)
    }

    pub(crate) fn trip_to(&self, node: &NodeId) -> Option<Duration> {
        let trip = self.trips.iter().find(|(of, _)| of == node)?.1?;
        Some(Duration::from_millis(u64::from(trip)))
    }

    /// Half the round trip to another, measured or reckoned, in microseconds.
    pub(crate) fn way_us(&self, other: &Member) -> u32 {
        if let Some(trip) = self.trip_to(&other.node) {
            return u32::try_from(trip.as_micros() / 2).unwrap_or(u32::MAX);
        }
        match (&self.at, &other.at) {
            (Some(a), Some(b)) => (a.distance_ms(b) * 500.0) as u32,
            _ => UNKNOWN_US,
        }
    }
}

/// Which members a search goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Among {
    /// Those with a free slot for a child.
    Open,
    /// Those with a free slot for a standby.
    Standby,
    /// Those whose slots are taken, one at least by a leaf.
    Displaceable,
}

/// All members of a region, its registry first.
#[derive(Debug)]
pub(crate) struct Directory {
    members: Vec<Option<Member>>,
    free: Vec<Slot>,
    nodes: BTreeMap<NodeId, Slot>,
    tags: BTreeMap<NodeTag, Slot>,
    open: Cells,
    standby: Cells,
    displaceable: Cells,
    /// Free slots for children in the region.
    open_slots: u32,
    /// Feeds that its members may give in all.
    slots: u32,
    pub(super) protection: Protection,
    /// Newcomers in the order of their coming, until their probation is over.
    newcomers: VecDeque<(Instant, NodeId)>,
    /// When members are looked at next: nobody walks over all of them.
    pub(super) looks: BTreeSet<(Instant, Slot)>,
}

impl Directory {
    /// A region of its registry alone, which may give this many feeds.
    pub(crate) fn new(registry: Member, protection: Protection) -> Self {
        let node = registry.node;
        Directory {
            members: vec![Some(registry)],
            free: Vec::new(),
            nodes: [(node, Slot::SELF)].into(),
            tags: [(node.tag(), Slot::SELF)].into(),
            open: Cells::default(),
            standby: Cells::default(),
            displaceable: Cells::default(),
            open_slots: 0,
            slots: 0,
            protection,
            newcomers: VecDeque::new(),
            looks: BTreeSet::new(),
        }
    }

    /// Members without the registry.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().flatten()
    }

    /// Where the registry and its members are.
    pub(crate) fn slots_of_members(&self) -> impl Iterator<Item = Slot> + '_ {
        self.nodes.values().copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len() - 1
    }

    pub(crate) fn protection(&self) -> Protection {
        self.protection
    }

    /// Feeds that members can give in all, those given included.
    pub(crate) fn slots(&self) -> u32 {
        self.slots
    }

    /// Protects feeds from now on as said. What that leaves of everyone's slots is reckoned anew.
    pub(crate) fn protect(&mut self, protection: Protection, now: Instant) {
        self.protection = protection;
        for slot in 0..self.members.len() as u32 {
            self.index(Slot(slot), now);
        }
    }

    pub(crate) fn slot(&self, node: &NodeId) -> Option<Slot> {
        self.nodes.get(node).copied()
    }

    pub(crate) fn slot_of_tag(&self, tag: NodeTag) -> Option<Slot> {
        self.tags.get(&tag).copied()
    }

    pub(crate) fn at(&self, slot: Slot) -> Option<&Member> {
        self.members.get(slot.0 as usize)?.as_ref()
    }

    pub(super) fn at_mut(&mut self, slot: Slot) -> Option<&mut Member> {
        self.members.get_mut(slot.0 as usize)?.as_mut()
    }

    pub(crate) fn get(&self, node: &NodeId) -> Option<&Member> {
        self.at(self.slot(node)?)
    }

    /// Whether it is a member other than the registry.
    pub(crate) fn contains(&self, node: &NodeId) -> bool {
        self.slot(node).is_some_and(|slot| slot != Slot::SELF)
    }

    /// Free slots for children.
    pub(crate) fn open_slots(&self) -> u32 {
        self.open_slots
    }

    /// Changes a member, and sees to the indexes.
    pub(crate) fn change<T>(
        &mut self,
        node: &NodeId,
        now: Instant,
        change: impl FnOnce(&mut Member) -> T,
    ) -> Option<T> {
        let slot = self.slot(node)?;
        let changed = change(self.at_mut(slot)?);
        self.index(slot, now);
        Some(changed)
    }

    pub(crate) fn insert(&mut self, member: Member, now: Instant) {
        self.remove(&member.node, now);
        let (node, joined) = (member.node, member.joined);
        let slot = self.free.pop().unwrap_or_else(|| {
            self.members.push(None);
            Slot(self.members.len() as u32 - 1)
        });
        if let Some(place) = self.members.get_mut(slot.0 as usize) {
            *place = Some(member);
        }
        self.nodes.insert(node, slot);
        self.tags.insert(node.tag(), slot);
        self.newcomers.push_back((joined, node));
        self.index(slot, now);
    }

    /// Forgets a member; those that it fed have no parent until they say so.
    pub(crate) fn remove(&mut self, node: &NodeId, now: Instant) -> Option<Member> {
        let slot = self.slot(node).filter(|slot| *slot != Slot::SELF)?;
        self.set_parent(slot, None, now);
        self.set_standby(slot, None, now);
        self.unindex(slot);
        let member = self.members.get_mut(slot.0 as usize)?.take()?;
        if let Some(at) = member.look_at {
            self.looks.remove(&(at, slot));
        }
        for child in &member.children {
            if let Some(child) = self.at_mut(*child) {
                child.parent = None;
            }
        }
        for child in &member.standing_by {
            if let Some(child) = self.at_mut(*child) {
                child.standby = None;
            }
        }
        self.nodes.remove(node);
        if self.tags.get(&node.tag()) == Some(&slot) {
            self.tags.remove(&node.tag());
        }
        self.free.push(slot);
        Some(member)
    }

    pub(crate) fn set_parent(&mut self, slot: Slot, parent: Option<Slot>, now: Instant) {
        let Some(before) = self.at_mut(slot).map(|of| core::mem::replace(&mut of.parent, parent)) else { return };
        if before == parent {
            return;
        }
        if let Some(before) = before {
            self.change_at(before, now, |of| of.children.retain(|child| *child != slot));
        }
        if let Some(parent) = parent {
            self.change_at(parent, now, |of| of.children.push(slot));
        }
        // Whether a standby is live, and whether a child can be displaced, hangs on whether it feeds others.
        for changed in [before, parent].into_iter().flatten() {
            let Some(member) = self.at(changed) else { continue };
            for neighbour in [member.standby, member.parent].into_iter().flatten() {
                self.index(neighbour, now);
            }
        }
    }

    /// A member says that it feeds nobody: who was believed to be its child has no parent until it says so. Those that were
    /// only just placed with it are under way.
    pub(crate) fn detach_children(&mut self, slot: Slot, now: Instant) {
        let children = self.at(slot).map_or(&[][..], Member::children).iter().copied();
        let settled = |child: &Slot| self.at(*child).is_some_and(|of| of.placed_at.is_none());
        for child in children.filter(settled).collect::<Vec<_>>() {
            self.set_parent(child, None, now);
        }
    }

    pub(crate) fn set_standby(&mut self, slot: Slot, standby: Option<Slot>, now: Instant) {
        let Some(before) = self.at_mut(slot).map(|of| core::mem::replace(&mut of.standby, standby)) else { return };
        if before == standby {
            return;
        }
        if let Some(before) = before {
            self.change_at(before, now, |of| of.standing_by.retain(|child| *child != slot));
        }
        if let Some(standby) = standby {
            self.change_at(standby, now, |of| of.standing_by.push(slot));
        }
    }

    pub(super) fn change_at(&mut self, slot: Slot, now: Instant, change: impl FnOnce(&mut Member)) {
        if let Some(member) = self.at_mut(slot) {
            change(member);
        }
        self.index(slot, now);
    }

    /// How long a newcomer feeds nobody: newcomers are the likeliest to leave again. Spare slots shorten it.
    pub(crate) fn probation(&self) -> Duration {
        let spare = f64::from(self.open_slots) / self.nodes.len() as f64;
        if spare < 0.25 { Duration::ZERO } else { PROBATION.mul_f64(spare.min(1.0)) }
    }

    /// The part of a parent's score that is the same for every child, in microseconds.
    fn cost_us(&self, slot: Slot, member: &Member, now: Instant) -> u32 {
        let slots = f32::from(member.profile.children_max.max(1));
        let (children, live, idle) = self.load(member);
        let share = ((children + live) as f32 + 0.25 * idle as f32) / slots;
        let leaves = if slot == Slot::SELF { 0.0 } else { leaves_soon(now.since(member.joined)) };
        let extra = LOAD_US * share.min(1.0).powi(2) + LEAVES_US * leaves + member.standing.loss_us(now);
        member.delay_us.saturating_add(HOP_US).saturating_add(extra as u32)
    }

    fn unindex(&mut self, slot: Slot) {
        let Some(indexed) = self.at_mut(slot).and_then(|of| of.indexed.take()) else { return };
        self.slots -= indexed.slots;
        self.open_slots -= indexed.open;
        if indexed.is_open {
            self.open.remove(indexed.entry, slot);
        }
        if indexed.standby {
            self.standby.remove(indexed.entry, slot);
        }
        if indexed.displaceable {
            self.displaceable.remove(indexed.entry, slot);
        }
    }

    /// Puts a member where it belongs in the indexes.
    pub(crate) fn index(&mut self, slot: Slot, now: Instant) {
        self.look_later(slot);
        let Some(member) = self.at(slot) else { return };
        let indexed = self.may_feed(slot, member).then(|| {
            let open = if member.proven { self.open_slots_of(member) } else { 0 };
            let believed = slot == Slot::SELF || self.is_believed_open(member);
            let leaf = |child: &&Slot| self.at(**child).is_some_and(|of| !of.is_relay());
            Indexed {
                entry: Entry::new(&member.at.unwrap_or_default(), self.cost_us(slot, member, now)),
                open,
                is_open: open > 0 && (believed || !member.standing.has_failed()),
                doubt_us: if believed { 0 } else { UNCONFIRMED_US },
                slots: member.profile.children_max.into(),
                standby: self.has_standby_slot(member),
                displaceable: member.proven && open == 0 && member.children.iter().any(|child| leaf(&child)),
            }
        });
        if member.indexed == indexed {
            return;
        }
        self.unindex(slot);
        if let Some(indexed) = indexed {
            self.slots += indexed.slots;
            self.open_slots += indexed.open;
            if indexed.is_open {
                self.open.insert(indexed.entry, slot);
            }
            if indexed.standby {
                self.standby.insert(indexed.entry, slot);
            }
            if indexed.displaceable {
                self.displaceable.insert(indexed.entry, slot);
            }
        }
        if let Some(member) = self.at_mut(slot) {
            member.indexed = indexed;
        }
    }

    /// Whether there are more free slots for children than this, those of members that are being placed or on probation
    /// included. It looks at no more of these than it has to.
    pub(crate) fn has_slots_in_sight(&self, more_than: u32) -> bool {
        let waiting = self.newcomers.iter().filter_map(|(_, node)| self.get(node));
        let waiting = waiting.filter(|member| !member.proven && member.is_capable() && member.is_there());
        let mut slots = self.open_slots;
        let mut more = waiting.map(|member| self.open_slots_of(member));
        while slots <= more_than {
            let Some(of) = more.next() else { return false };
            slots += of;
        }
        true
    }

    /// Lets those feed others whose probation is over.
    pub(crate) fn admit_newcomers(&mut self, now: Instant) {
        while let Some((joined, node)) = self.newcomers.front().copied() {
            let member = self.get(&node).filter(|member| member.joined == joined);
            if member.is_some() && now.since(joined) < self.probation() {
                break;
            }
            self.newcomers.pop_front();
            self.change(&node, now, |member| member.proven = true);
        }
    }

    /// Looks again at some members, whose age has changed what they cost.
    pub(crate) fn age(&mut self, now: Instant) {
        self.admit_newcomers(now);
        let (count, seconds) = (self.members.len(), now.as_micros() / 1_000_000);
        let looked_at = count.div_ceil(64).min(256);
        let first = (seconds as usize).wrapping_mul(looked_at) % count;
        for look in first..first + looked_at {
            self.index(Slot((look % count) as u32), now);
        }
    }

    /// The whole score of a parent for a member, in microseconds.
    pub(crate) fn score_us(&self, parent: Slot, member: &Member, now: Instant) -> Option<u32> {
        let of = self.at(parent)?;
        let cost_us = of.indexed.map_or_else(|| self.cost_us(parent, of, now), |indexed| indexed.entry.cost_us);
        Some(cost_us.saturating_add(member.way_us(of)))
    }

    /// The best feeds for a member, best first, of those that fit.
    pub(crate) fn best(
        &self,
        among: Among,
        slot: Slot,
        wanted: usize,
        now: Instant,
        fits: impl Fn(Slot, &Member) -> bool,
    ) -> Vec<(u32, Slot)> {
        let Some(member) = self.at(slot) else { return Vec::new() };
        let cells = match among {
            Among::Open => &self.open,
            Among::Standby => &self.standby,
            Among::Displaceable => &self.displaceable,
        };
        // An entry's cost is a lower bound of the score, so the search stays exact.
        let doubt_us = |other: Slot| match among {
            Among::Open => self.at(other).and_then(|of| of.indexed).map_or(0, |of| of.doubt_us),
            Among::Standby | Among::Displaceable => 0,
        };
        let score = |other: Slot| Some(self.score_us(other, member, now)?.saturating_add(doubt_us(other)));
        let fits = |other: Slot| other != slot && self.at(other).is_some_and(|of| fits(other, of));
        let mut found = cells.best(member.at.as_ref(), wanted, score, fits);
        // One that was measured may be nearer than it seems by coordinates, where the search ended before it.
        let measured = member.trips.iter().filter_map(|(node, _)| self.slot(node));
        let measured =
            measured.filter(|of| self.at(*of).and_then(|of| of.indexed).is_some_and(|of| of.is_among(among)));
        for other in measured.collect::<Vec<_>>() {
            if !found.iter().any(|(_, slot)| *slot == other) && fits(other) {
                found.extend(score(other).map(|score_us| (score_us, other)));
            }
        }
        found.sort_unstable();
        found.truncate(wanted);
        found
    }

    /// Members all over the network, for a newcomer to find out where it is.
    pub(crate) fn landmarks(&self, first: usize, wanted: usize) -> Vec<Slot> {
        let mut found = self.standby.spread(first, wanted);
        found.retain(|slot| self.at(*slot).is_some_and(|member| member.at.is_some()));
        found
    }

    /// The nodes between a member and the roots, itself first; the registry ends it and is left out.
    pub(crate) fn above(&self, slot: Slot) -> impl Iterator<Item = Slot> + '_ {
        let up = move |slot: &Slot| self.at(*slot).and_then(|member| member.parent);
        core::iter::successors(Some(slot), up)
            .take(treehouse_wire::limits::PATH_MAX)
            .take_while(|slot| *slot != Slot::SELF)
    }
}
