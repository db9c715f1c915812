//! Handovers: a region that grows too large is split.
//!
//! A leader takes a relay out of its region: the relay gets a lease and, in bounded pieces, the records of the members below it,
//! which stay where they are in the tree and hear of it from above. Regions split as the nodes of a B-tree do, but in a crowd,
//! which comes faster than records travel, several at once and before they are full: what a crowd needs is leaders to ask.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use treehouse_invite::Role;
use treehouse_wire::{
    Control, List, NodeId, Suite,
    control::{Record, Statement, Status},
    limits::RECORDS_MAX,
};

use super::{Directory, Member, Presence, Slot};
use crate::{api::Offence, room::Room, time::Instant};

/// Messages of a handover in a second: a peer may send sixty.
const RECORDS_A_SECOND: usize = 40;
/// Subtrees on their way at once, in a crowd.
const HANDOVERS_MAX: usize = 16;
/// From when a leader sees that a hub is wanted until the relay has taken the lease, in seconds.
const LEASE_S: usize = 2;
/// Subtrees that are handed over have this many members at least, or a hub would be of no use.
const SUBTREE_MIN: usize = 4;
/// A hub gives at least this many feeds.
const HUB_CHILDREN_MIN: u8 = 4;
/// A handover that was not answered after this is given up, and another may start.
const ANSWER: Duration = Duration::from_secs(10);
/// Members that were taken over are looked at for a better place after this, and a minute.
const REVIEWED: Duration = Duration::from_secs(30);

/// How many come.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    /// Since the last second began.
    now: u32,
    /// In a second, of late.
    a_second: u32,
}

impl Crowd {
    /// One more has come.
    pub(crate) fn came(&mut self) {
        self.now = self.now.saturating_add(1);
    }

    /// A second is over. One that nobody came in does not end a crowd.
    fn tick(&mut self) {
        self.a_second = self.now.max(self.a_second / 2);
        self.now = 0;
    }
}

/// A subtree on its way to the relay that takes it over.
#[derive(Debug)]
pub(crate) struct Handover {
    pub(super) node: NodeId,
    since: Instant,
    /// Members below it when it was chosen.
    size: usize,
    /// The lease, once there is one.
    lease: Option<Statement>,
    offered: bool,
    /// Who is left to hand over, parents before children, once the relay has taken the lease.
    queue: Option<VecDeque<NodeId>>,
}

impl Handover {
    /// Members that are still to go.
    fn len(&self) -> usize {
        self.queue.as_ref().map_or(self.size, VecDeque::len)
    }
}

impl<S: Suite> Room<S> {
    /// A region that is nearly full is split: relays near its top are to lead the members below them. One does, but for a crowd,
    /// which comes faster than a subtree is handed over: then as many as will have members enough.
    pub(super) fn start_handovers(&mut self) {
        let (now, wanted) = (self.now, self.members_wanted());
        let Some(region) = &mut self.region else { return };
        region.crowd.tick();
        region.handovers.retain(|of| of.queue.is_some() || now.since(of.since) < ANSWER);
        let hubs = self.acting.as_ref().map_or(0, |acting| acting.hubs.len());
        let going: usize = region.handovers.iter().map(Handover::len).sum();
        let own = region.directory.len().saturating_sub(hubs + going);
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX).saturating_sub(hubs);
        // What is kept free is enough for those that come until half a region has gone over, but for a crowd.
        let takes_s = LEASE_S + (region.members_max as usize / 2) / (RECORDS_A_SECOND * RECORDS_MAX);
        let coming = region.crowd.a_second as usize * takes_s;
        let (full, coming) = (wanted * 4 / 5, coming.saturating_sub(wanted / 5));
        // A room that may yet stay in one region is not split before its time.
        let is_split = region.hub.is_some() || hubs > 0;
        if own + if is_split { coming } else { 0 } < full.max(1) {
            return;
        }
        let part = (region.members_max as usize / 2).max(1);
        let hubs = (own + coming).saturating_sub(full).div_ceil(part).clamp(1, HANDOVERS_MAX);
        let lately = region.split.is_some_and(|at| now.since(at) < ANSWER);
        let more = hubs.saturating_sub(region.handovers.len());
        // What stays has to carry the hubs, and those that come to this leader.
        let spare = own.saturating_sub((own * 2 / 5).min(wanted / 2));
        if more == 0 || hubs == 1 && lately {
            return;
        }
        region.split = Some(now);
        if region.moved.len() as u64 > u64::from(region.members_max).max(2 * own as u64) {
            region.moved.clear();
        }
        let co_root = self.state.head().and_then(|head| head.co_root);
        let stage = self.state.stage();
        // Nor one with a raised hand, which would be lost between the two regions that it belongs to then.
        let fits = |member: &Member| {
            Some(member.node) != co_root && stage.get(&member.node).is_none() && member.hand.is_none()
        };
        // A hub's slots are not its leader's to give: relays at the roots are to carry the hubs that find no slot there themselves.
        let roots = match &self.acting {
            Some(_) => vec![Some(Slot::SELF), co_root.and_then(|node| region.directory.slot(&node))],
            None => Vec::new(),
        };
        let roots: Vec<Slot> = roots.into_iter().flatten().collect();
        for (node, size) in region.directory.to_lead(now, &region.handovers, (more, spare), &roots, fits) {
            self.start_handover(node, size);
        }
        self.hand_over();
    }

    fn start_handover(&mut self, node: NodeId, size: usize) {
        let now = self.now;
        let Some(contact) = self.region.as_ref().and_then(|of| of.directory.get(&node)).map(Member::contact) else {
            return;
        };
        let lease = if self.is_host() { self.grant_lease(&contact, true) } else { None };
        if let Some(region) = &mut self.region {
            region.handovers.push(Handover { node, since: now, size, lease, offered: false, queue: None });
        }
        if !self.is_host() {
            self.send(self.host, &Control::LeaseWanted { node: contact, fresh: true });
        }
    }

    /// Goes on with handovers: the leases first, then the members.
    pub(super) fn hand_over(&mut self) {
        let handovers = self.region.iter().flat_map(|region| &region.handovers);
        let (taken, offered): (Vec<&Handover>, Vec<&Handover>) = handovers.partition(|of| of.queue.is_some());
        let taken: Vec<NodeId> = taken.iter().map(|of| of.node).collect();
        let offers = offered.iter().filter(|of| !of.offered);
        let offers: Vec<(NodeId, Statement)> = offers.filter_map(|of| Some((of.node, of.lease.clone()?))).collect();
        taken.into_iter().for_each(|node| self.hand_over_members(node));
        offers.into_iter().for_each(|(node, lease)| self.offer_lease(node, lease));
    }

    /// The lease has come that was wanted for a relay.
    pub(super) fn lease_for_relay(&mut self, node: NodeId, lease: Statement) {
        let handovers = self.region.iter_mut().flat_map(|region| &mut region.handovers);
        if let Some(handover) = handovers.into_iter().find(|handover| handover.node == node && !handover.offered) {
            handover.lease = Some(lease.clone());
            self.offer_lease(node, lease);
        }
    }

    fn offer_lease(&mut self, node: NodeId, lease: Statement) {
        let Some(region) = &mut self.region else { return };
        if !self.links.is_up(&node) {
            let contact = region.directory.get(&node).map(Member::contact);
            return contact.iter().for_each(|contact| self.dial(contact));
        }
        if let Some(handover) = region.handovers.iter_mut().find(|of| of.node == node) {
            handover.offered = true;
        }
        let Some((charter, host)) = self.charter_and_host() else { return };
        self.send(node, &Control::Lease { lease, charter, host });
    }

    /// The relay has taken the lease: those below it are its own from now on.
    pub(crate) fn handover_taken(&mut self, from: NodeId) {
        let now = self.now;
        let is_host = self.acting.is_some();
        let Some(region) = &mut self.region else { return };
        let Some(at) = region.handovers.iter().position(|of| of.node == from && of.queue.is_none()) else { return };
        let Some(slot) = region.directory.slot(&from) else { return };
        let leads = |member: &Member| region.handovers.iter().any(|of| of.node == member.node);
        // Whom the host is to bring up, has on stage, or alone can admit, stays with it.
        let stays = |member: &Member| member.is_booster() || is_host && (member.hand.is_some() || member.direct);
        let below = region.directory.below(slot, leads).into_iter();
        let below = below.filter(|node| !region.directory.get(node).is_some_and(stays)).collect();
        region.handovers[at].queue = Some(below);
        region.directory.change(&from, now, |member| member.leads = true);
        self.hand_over_members(from);
    }

    fn hand_over_members(&mut self, node: NodeId) {
        let now = self.now;
        let me = self.me;
        for _ in 0..RECORDS_A_SECOND {
            let Some(region) = &mut self.region else { return };
            let Some(at) = region.handovers.iter().position(|of| of.node == node) else { return };
            let Some(queue) = &mut region.handovers[at].queue else { return };
            let count = queue.len().min(RECORDS_MAX);
            let nodes: Vec<NodeId> = queue.drain(..count).filter(|node| *node != me).collect();
            if nodes.is_empty() || !self.links.is_up(&node) {
                region.handovers.swap_remove(at);
                if region.hub.is_some() && !region.gone_over.contains(&node) {
                    region.gone_over.push(node);
                }
                break;
            }
            let records: Vec<Record> = nodes.iter().filter_map(|node| region.directory.record(node, now)).collect();
            for moved in &nodes {
                region.directory.remove(moved, now);
                region.moved.insert(*moved, node);
            }
            self.send(node, &Control::Records(List::truncated(records)));
        }
        self.members_changed();
    }

    /// Members that are this hub's from now on.
    pub(crate) fn records(&mut self, from: NodeId, records: List<Record, RECORDS_MAX>) {
        let now = self.now;
        let (me, registry, host) = (self.me, self.registry(), self.host);
        let Some(region) = self.region.as_mut().filter(|region| region.hub.is_some()) else {
            return self.offended(from, Offence::OutOfRole);
        };
        let before = region.hub.as_deref().map(|hub| hub.before);
        if from != registry && from != host && Some(from) != before {
            return self.offended(from, Offence::OutOfRole);
        }
        for record in records.into_vec() {
            if record.node == me || record.node == host || region.directory.contains(&record.node) {
                continue;
            }
            region.directory.adopt(record, now);
        }
        if let Some(hub) = region.hub.as_deref_mut() {
            hub.flood = true;
        }
    }
}

impl Directory {
    /// Relays that could lead those below them, none of them below another, and how many that are: those with the most, each up to
    /// its part of those that may go.
    fn to_lead(
        &self,
        now: Instant,
        handovers: &[Handover],
        (wanted, spare): (usize, usize),
        roots: &[Slot],
        fits: impl Fn(&Member) -> bool,
    ) -> Vec<(NodeId, usize)> {
        let most = spare.min(self.len() / wanted.saturating_sub(1).max(1)).max(SUBTREE_MIN);
        let leads = |member: &Member| member.leads || handovers.iter().any(|of| of.node == member.node);
        let able = |member: &Member| {
            member.is_there()
                && member.is_trusted(now)
                && member.proven
                && !member.is_booster()
                && !leads(member)
                && member.placed_at.is_none()
                && member.profile.children_max >= HUB_CHILDREN_MIN
                && fits(member)
        };
        let sizes = self.sizes(leads).into_iter();
        let sized = sizes.filter(|(_, size)| (SUBTREE_MIN..=most).contains(size)).filter_map(|(slot, size)| {
            let member = self.at(slot).filter(|member| able(member))?;
            Some((size, member.profile.children_max, slot))
        });
        let mut sized: Vec<_> = sized.collect();
        sized.sort_unstable_by(|a, b| b.cmp(a));
        let room = |root: &Slot| (*root, self.at(*root).map_or(0, |root| self.room_for_hubs(root, leads)));
        let mut room: BTreeMap<Slot, usize> = roots.iter().map(room).collect();
        let (mut found, mut sum): (Vec<(Slot, usize)>, usize) = (Vec::new(), 0);
        for (size, _, slot) in sized {
            let below = |of: Slot, up: Slot| self.above(of).any(|above| above == up);
            let apart = |(of, _): &(Slot, usize)| !below(*of, slot) && !below(slot, *of);
            let root = self.at(slot).and_then(Member::parent).and_then(|parent| room.get_mut(&parent));
            let fits = root.as_ref().is_none_or(|room| **room > 0);
            if fits && found.len() < wanted && sum + size <= most.max(spare) && found.iter().all(apart) {
                found.push((slot, size));
                sum += size;
                root.into_iter().for_each(|room| *room -= 1);
            }
        }
        found.into_iter().filter_map(|(slot, size)| Some((self.at(slot)?.node, size))).collect()
    }

    /// Hubs that a root may feed beside those that it does: half its slots are for relays that carry others.
    pub(super) fn room_for_hubs(&self, root: &Member, leads: impl Fn(&Member) -> bool) -> usize {
        let hubs = root.children().iter().filter(|child| self.at(**child).is_some_and(&leads)).count();
        usize::from(root.profile.children_max / 2).saturating_sub(hubs)
    }

    /// How many members are below each, without those below one that leads others.
    fn sizes(&self, leads: impl Fn(&Member) -> bool) -> BTreeMap<Slot, usize> {
        let (mut order, mut sizes) = (Vec::new(), BTreeMap::new());
        let roots = self.slots_of_members().filter(|slot| self.at(*slot).is_some_and(|of| of.parent().is_none()));
        let mut queue: VecDeque<Slot> = roots.collect();
        while let Some(slot) = queue.pop_front() {
            let Some(member) = self.at(slot).filter(|member| slot == Slot::SELF || !leads(member)) else { continue };
            // Views that are behind may go round in circles.
            if sizes.insert(slot, 0).is_none() {
                order.push((slot, member.parent()));
                queue.extend(member.children());
            }
        }
        for (slot, parent) in order.into_iter().rev() {
            let size = sizes.get(&slot).map_or(0, |size| size + 1);
            if let Some(of) = parent.and_then(|parent| sizes.get_mut(&parent)) {
                *of += size;
            }
        }
        sizes
    }

    /// The members below one, parents before children, without those that lead others or are to.
    fn below(&self, slot: Slot, leads: impl Fn(&Member) -> bool) -> Vec<NodeId> {
        let (mut found, mut seen) = (Vec::new(), BTreeSet::from([slot, Slot::SELF]));
        let mut queue = VecDeque::from([slot]);
        while let Some(at) = queue.pop_front() {
            let Some(member) = self.at(at) else { continue };
            for child in member.children().iter().filter(|child| seen.insert(**child)) {
                // Another hub stays where it is, with what is below it.
                if let Some(of) = self.at(*child).filter(|of| !of.leads && !leads(of)) {
                    found.push(of.node);
                    queue.push_back(*child);
                }
            }
        }
        found
    }

    /// What another registry is told of a member.
    fn record(&self, node: &NodeId, now: Instant) -> Option<Record> {
        let member = self.get(node)?;
        let tag = |slot: Option<Slot>| Some(self.at(slot?)?.node.tag());
        Some(Record {
            node: member.node,
            profile: member.profile.clone(),
            role: member.role as u8,
            admission: member.admission,
            lineage: member.lineage.clone(),
            age_s: u32::try_from(now.since(member.joined).as_secs()).unwrap_or(u32::MAX),
            counter: member.counter,
            status: Status {
                // A parent that has gone over before is not in this region any more.
                parent: tag(member.parent()).or(member.said_parent),
                standby: tag(member.standby()),
                rank: member.rank,
                children: member.reported,
                standbys: 0,
                slots: member.profile.children_max,
                position: member.at.map(|at| at.to_wire()),
                delay_ms: u16::try_from(member.delay_us / 1000).unwrap_or(u16::MAX),
            },
        })
    }

    /// Takes over a member from another registry.
    fn adopt(&mut self, record: Record, now: Instant) {
        // The role is that of its certificate, which only the host acts on; but that one is no member a leader must know.
        let role = if record.role == Role::Booster as u8 { Role::Booster } else { Role::Listener };
        let age = Duration::from_secs(record.age_s.into());
        let joined = Instant::from_micros(now.as_micros().saturating_sub(age.as_micros() as u64));
        let (node, status) = (record.node, record.status);
        let mut member = Member::new(node, record.profile, role, record.admission, record.lineage, joined);
        member.presence = Presence::InTree(now);
        member.counter = record.counter;
        member.rank = status.rank;
        member.said_parent = status.parent;
        member.reported = status.children.saturating_add(status.standbys);
        member.delay_us = u32::from(status.delay_ms) * 1000;
        member.at = status.position.map(|at| crate::coordinates::Coordinate::from_wire(&at));
        self.insert(member, now);
        let Some(slot) = self.slot(&node) else { return };
        // Not all at once.
        let review = now.after(REVIEWED + Duration::from_secs(u64::from(slot.0 % 64)));
        self.change_at(slot, now, |member| member.review_at = Some(review));
        let slot_of = |of: &Self, tag: Option<treehouse_wire::NodeTag>| tag.and_then(|tag| of.slot_of_tag(tag));
        self.set_parent(slot, slot_of(self, status.parent), now);
        self.set_standby(slot, slot_of(self, status.standby), now);
        self.index(slot, now);
    }
}
