//! Placement: which parent and standby a member gets.
//!
//! The score of a parent is its own delay from the root, half the round trip, and a load that grows with the square, as
//! in the design's overlay section, rule 3; depth breaks ties until delays are known. The order of ranks (rule 5) is kept
//! by construction: a member's rank is one deeper than its parent's, so whoever it feeds comes later.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use treehouse_wire::{
    Contact, Control, List, NodeId, Suite,
    control::{Placement, Rank},
};

use super::{Acting, Member, RESERVED, directory::Loads};
use crate::{api::Offence, room::Room, time::Instant};

/// Candidates that a joiner measures; one of them is drawn at random.
const OFFERED: usize = 3;
/// Spare members that come with a placement.
const SPARES: usize = 3;
/// A member that has not answered an offer after this is placed without.
const ANSWER: Duration = Duration::from_secs(3);
/// A member that did not work out for another is not proposed to it again for this long.
const FAILED: Duration = Duration::from_secs(10);
/// And one that it could not even reach for this long.
const UNREACHABLE: Duration = Duration::from_secs(60);
/// Cost of one hop beside the network's, in microseconds.
const HOP_US: f64 = 1000.0;
/// Cost of a parent whose slots are all taken, in microseconds.
const LOAD_US: f64 = 15_000.0;
/// Half a round trip that nobody measured, in microseconds.
const UNKNOWN_US: f64 = 40_000.0;

/// A node that could feed a member.
#[derive(Clone, Debug)]
struct Candidate {
    node: NodeId,
    rank: Rank,
    score: f64,
}

/// The host's view while one member is placed.
struct View<'a> {
    acting: &'a Acting,
    loads: Loads,
    host: NodeId,
    host_slots: u8,
    member: NodeId,
    below: BTreeSet<NodeId>,
    now: Instant,
}

impl<'a> View<'a> {
    fn new(acting: &'a Acting, host: NodeId, host_slots: u8, member: NodeId, now: Instant) -> Self {
        let loads = Loads::count(&acting.directory, acting.protection, Some(&member));
        let below = descendants(&acting.directory, member);
        View { acting, loads, host, host_slots, member, below, now }
    }

    fn slots(&self, node: &NodeId) -> u8 {
        if *node == self.host {
            self.host_slots
        } else {
            self.acting.directory.get(node).map_or(0, |of| of.profile.children_max)
        }
    }

    fn rank(&self, node: &NodeId) -> Rank {
        if *node == self.host { Rank::HOST } else { self.acting.directory.get(node).map_or(Rank::HOST, |of| of.rank) }
    }

    /// All nodes that may feed the member at all, best first; those that did not work out lately only where there is no
    /// other.
    fn candidates(&self, fits: impl Fn(&Self, &NodeId) -> bool) -> Vec<Candidate> {
        let found = self.candidates_among(|view, member, node| !member.avoids(node, view.now) && fits(view, node));
        if !found.is_empty() {
            return found;
        }
        self.candidates_among(|view, _, node| fits(view, node))
    }

    fn candidates_among(&self, fits: impl Fn(&Self, &Member, &NodeId) -> bool) -> Vec<Candidate> {
        let Some(member) = self.acting.directory.get(&self.member) else { return Vec::new() };
        let feeding = self.acting.directory.iter().filter(|(_, of)| of.may_feed()).map(|(node, _)| *node);
        let nodes = feeding.chain([self.host]).filter(|node| {
            let earlier = member.children == 0 || self.rank(node) < member.rank;
            *node != self.member && !self.below.contains(node) && earlier && fits(self, member, node)
        });
        let mut found: Vec<Candidate> =
            nodes.map(|node| Candidate { node, rank: self.rank(&node), score: self.score(member, &node) }).collect();
        found.sort_by(|a, b| a.score.total_cmp(&b.score).then(a.rank.cmp(&b.rank)));
        found
    }

    fn score(&self, member: &Member, node: &NodeId) -> f64 {
        let delay_us = self.acting.directory.get(node).map_or(0, |of| of.delay_us);
        let half = member.trip_to(node).map_or(UNKNOWN_US, |trip| trip.as_micros() as f64 / 2.0);
        let hops = f64::from(self.rank(node).depth);
        delay_us as f64 + half + HOP_US * hops + LOAD_US * self.loads.share(node, self.slots(node)).powi(2)
    }

    fn parents(&self) -> Vec<Candidate> {
        let found = self.candidates(|view, node| view.loads.has_primary_slot(node, view.slots(node)));
        if !found.is_empty() {
            return found;
        }
        // A slot that is kept for standbys is better used than a member left in silence.
        self.candidates(|view, node| view.loads.has_slot(node, view.slots(node)))
    }

    /// The best standby: earlier in the order where possible, and sharing no relay with the parent's path.
    fn standby(&self, parent: &NodeId, rank: Rank) -> Option<Candidate> {
        let mut shared = self.relays_above(parent);
        shared.insert(*parent);
        let found = self.candidates(|view, node| node != parent && view.loads.has_standby_slot(node, view.slots(node)));
        // Children of one parent that share a standby would all fall on it at once.
        let siblings = self.acting.directory.values().filter(|of| of.parent == Some(*parent));
        let taken: Vec<NodeId> = siblings.filter_map(|of| of.standby).collect();
        let key = |candidate: &Candidate| {
            let siblings = taken.iter().filter(|standby| **standby == candidate.node).count();
            let overlaps = !self.relays_above(&candidate.node).is_disjoint(&shared);
            let behind_parent = shared.contains(&candidate.node) && candidate.node != self.host;
            let same_root = self.root_of(&candidate.node) == self.root_of(parent);
            (candidate.rank >= rank, overlaps || behind_parent, same_root, siblings)
        };
        found.into_iter().min_by(|a, b| key(a).cmp(&key(b)).then(a.score.total_cmp(&b.score)))
    }

    /// The relays between the roots and a node, the node too; the host is left out, since all paths share it.
    fn relays_above(&self, node: &NodeId) -> BTreeSet<NodeId> {
        let mut above = BTreeSet::new();
        let mut at = Some(*node);
        while let Some(node) = at.filter(|node| *node != self.host && Some(*node) != self.acting.co_root) {
            if !above.insert(node) {
                break;
            }
            at = self.acting.directory.get(&node).and_then(|member| member.parent);
        }
        above
    }

    /// The root whose tree a node hangs in: the host or the co-root. Feeds from both survive the death of either.
    fn root_of(&self, node: &NodeId) -> NodeId {
        let mut at = *node;
        for _ in 0..treehouse_wire::limits::PATH_MAX {
            if at == self.host || Some(at) == self.acting.co_root {
                break;
            }
            let Some(parent) = self.acting.directory.get(&at).and_then(|member| member.parent) else { break };
            at = parent;
        }
        at
    }

    fn contact(&self, node: &NodeId, own: &[treehouse_wire::Address]) -> Contact {
        match self.acting.directory.get(node) {
            Some(member) => member.contact(*node),
            None => Contact { node: *node, addresses: List::truncated(own.iter().cloned()) },
        }
    }
}

/// All members whose feed comes through `top`, in the host's view.
fn descendants(directory: &BTreeMap<NodeId, Member>, top: NodeId) -> BTreeSet<NodeId> {
    let mut below = BTreeSet::new();
    if directory.get(&top).is_none_or(|member| member.children == 0) {
        return below;
    }
    let mut open = vec![top];
    while let Some(node) = open.pop() {
        for (child, _) in directory.iter().filter(|(_, member)| member.parent == Some(node)) {
            if below.insert(*child) {
                open.push(*child);
            }
        }
    }
    below
}

impl<S: Suite> Room<S> {
    fn view_for<'a>(&self, acting: &'a Acting, member: NodeId) -> View<'a> {
        View::new(acting, self.me, self.children_max, member, self.now)
    }

    /// Whether one more member could be fed by anyone. One that feeds nobody may not take the last slot: the next one
    /// that does could then not come in, and the room not grow.
    pub(crate) fn any_slot_free(&self, relays: bool) -> bool {
        let Some(acting) = &self.acting else { return false };
        let loads = Loads::count(&acting.directory, acting.protection, None);
        let host = loads.primary_slots(&self.me, self.children_max);
        // One that is being placed now will have slots in a moment.
        let feeding = acting.directory.iter().filter(|(_, of)| of.linked && !of.profile.addresses.is_empty());
        let others: u32 = feeding.map(|(node, of)| loads.primary_slots(node, of.profile.children_max)).sum();
        host.saturating_add(others) > u32::from(!relays)
    }

    /// No slot is free for a member that could give some: a child of the host that gives none makes way. It will find a
    /// slot with the newcomer.
    fn make_way(&mut self, node: NodeId) {
        let Some(acting) = &self.acting else { return };
        let slots = |node: &NodeId| acting.directory.get(node).map_or(0, |of| of.profile.children_max);
        if slots(&node) == 0 {
            return;
        }
        let primary = self.children.with_purpose(|of| of == treehouse_wire::control::Purpose::Primary);
        let idle = |child: &NodeId| {
            acting.directory.get(child).is_some_and(|of| of.children == 0 && of.profile.children_max == 0)
        };
        let Some(child) = primary.into_iter().find(idle) else { return };
        if let Some(member) = self.member_mut(&child) {
            member.parent = None;
        }
        self.send(child, &Control::Unsubscribe);
        self.child_gone(child);
        self.place(node);
    }

    /// Offers a member candidates to measure.
    pub(crate) fn offer_candidates(&mut self, node: NodeId) {
        let Some(acting) = self.acting.take() else { return };
        let mut found = self.view_for(&acting, node).parents();
        let own = self.addresses.clone();
        let view = self.view_for(&acting, node);
        let mut chosen: Vec<Candidate> = found.drain(..found.len().min(OFFERED - 1)).collect();
        if !found.is_empty() {
            chosen.push(found.swap_remove(self.rng.below(found.len())));
        }
        let contacts = chosen.iter().map(|candidate| view.contact(&candidate.node, &own));
        let candidates = List::truncated(contacts);
        let now = self.now;
        self.acting = Some(acting);
        let Some(member) = self.member_mut(&node) else { return };
        member.round = member.round.wrapping_add(1);
        member.offered_at = Some(now);
        let round = member.round;
        self.send(node, &Control::Offer { round, candidates });
    }

    pub(crate) fn measured(&mut self, from: NodeId, round: u32, trips: &[(NodeId, Option<u16>)]) {
        if !self.is_host() {
            return self.offended(from, Offence::OutOfRole);
        }
        let now = self.now;
        let Some(member) = self.member_mut(&from).filter(|member| member.round == round) else { return };
        if member.offered_at.take().is_none() {
            return;
        }
        member.trips = trips.to_vec();
        for (node, _) in trips.iter().filter(|(_, trip)| trip.is_none()) {
            member.avoid(*node, now.after(UNREACHABLE));
        }
        self.place(from);
    }

    /// Places a member that asks, now; those that did not work out for it are not proposed again.
    pub(crate) fn seek_request(&mut self, from: NodeId, failed: &[NodeId]) {
        if !self.is_host() {
            return self.offended(from, Offence::OutOfRole);
        }
        let (me, now) = (self.me, self.now);
        let Some(member) = self.member_mut(&from) else { return };
        for node in failed.iter().filter(|node| **node != me) {
            member.avoid(*node, now.after(FAILED));
        }
        if member.parent.is_some_and(|parent| failed.contains(&parent)) {
            member.parent = None;
        }
        if member.standby.is_some_and(|standby| failed.contains(&standby)) {
            member.standby = None;
        }
        self.place(from);
    }

    /// Assigns parent, standby and spares; where no slot is free the member keeps asking.
    fn place(&mut self, node: NodeId) {
        let Some(acting) = self.acting.take() else { return };
        let placed = self.choose(&acting, node);
        self.acting = Some(acting);
        let Some((placement, parent, standby, delay_us)) = placed else { return self.make_way(node) };
        let now = self.now;
        let Some(member) = self.member_mut(&node) else { return };
        member.counter = placement.counter;
        member.parent = Some(parent);
        member.standby = standby;
        member.delay_us = delay_us;
        member.placed_at = Some(now);
        if member.children == 0 {
            member.rank = placement.rank;
        }
        self.send(node, &Control::Placement(Box::new(placement)));
    }

    fn choose(&self, acting: &Acting, node: NodeId) -> Option<(Placement, NodeId, Option<NodeId>, u64)> {
        let view = self.view_for(acting, node);
        let member = acting.directory.get(&node)?;
        let parents = view.parents();
        // A parent that works stays: only what is missing is assigned.
        let kept = member
            .parent
            .filter(|parent| *parent == self.me || acting.directory.get(parent).is_some_and(|of| of.linked));
        let parent = kept.or_else(|| parents.first().map(|candidate| candidate.node))?;
        let depth = if acting.co_root == Some(node) { 0 } else { view.rank(&parent).depth.saturating_add(1) };
        let rank = if member.children == 0 { Rank { depth, admission: member.admission } } else { member.rank };
        let kept_standby = member
            .standby
            .filter(|standby| *standby != parent && acting.directory.get(standby).is_none_or(|of| of.linked));
        let standby = kept_standby.or_else(|| view.standby(&parent, rank).map(|candidate| candidate.node));
        let above = view.relays_above(&parent);
        let apart = |candidate: &&Candidate| candidate.node != parent && Some(candidate.node) != standby;
        let mut spares: Vec<&Candidate> = parents.iter().filter(apart).filter(|of| of.rank < rank).collect();
        // Those that do not hang on the same relays come first.
        spares.sort_by_key(|candidate| !view.relays_above(&candidate.node).is_disjoint(&above));
        let spares = spares.into_iter().take(SPARES).map(|candidate| view.contact(&candidate.node, &self.addresses));
        let trip = member.trip_to(&parent).unwrap_or_default();
        let half_us = u64::try_from(trip.as_micros() / 2).unwrap_or(0);
        let delay_us = acting.directory.get(&parent).map_or(0, |of| of.delay_us).saturating_add(half_us);
        let placement = Placement {
            counter: member.counter.saturating_add(1),
            rank,
            parent: view.contact(&parent, &self.addresses),
            standby: standby.map(|standby| view.contact(&standby, &self.addresses)),
            spares: List::truncated(spares),
        };
        Some((placement, parent, standby, delay_us))
    }

    /// Frees slots that were reserved and never taken, and places those that did not answer an offer.
    pub(crate) fn expire_reservations(&mut self) {
        let now = self.now;
        let Some(acting) = &mut self.acting else { return };
        let mut silent = Vec::new();
        for (node, member) in &mut acting.directory {
            if member.placed_at.is_some_and(|at| now.since(at) > RESERVED) {
                member.placed_at = None;
                member.parent = None;
                member.standby = None;
            }
            if member.offered_at.is_some_and(|at| now.since(at) > ANSWER) {
                member.offered_at = None;
                silent.push(*node);
            }
        }
        for node in silent {
            self.place(node);
        }
    }

    pub(crate) fn member_mut(&mut self, node: &NodeId) -> Option<&mut Member> {
        self.acting.as_mut()?.directory.get_mut(node)
    }
}
