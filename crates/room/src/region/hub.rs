//! A hub: a relay that leads a region of its own by a lease of the host's.
//!
//! A leader whose region grows too large takes a relay near its top out of it: the relay gets a lease and, in bounded pieces,
//! the records of the members below it, which stay where they are in the tree and hear of it from above. Regions split as the
//! nodes of a B-tree do. From then on the relay is two things: a member like others, placed by who led it before, and the root
//! of its own region, whose slots nobody else gives away. To the host it reports sums.

use core::time::Duration;
use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use treehouse_invite::{LEASE_SECONDS, Lease, Role};
use treehouse_wire::{
    Address, Contact, Control, Lineage, List, NodeId, Suite,
    control::{HubRow, Record, Statement, Status},
    limits::{ADDRESSES_MAX, HUBS_MAX, LEADERS_MAX, RECORDS_MAX},
};

use super::{Member, Presence, Region, Slot};
use crate::{
    api::{Event, Offence},
    room::Room,
    time::Instant,
};

/// Other hubs that a hub remembers.
const ROWS_MAX: usize = 16;
/// Messages of a handover in a second: a peer may send sixty.
const RECORDS_A_SECOND: usize = 30;
/// Subtrees that are handed over have this many members at least, or a hub would be of no use.
const SUBTREE_MIN: usize = 4;
/// A hub gives at least this many feeds.
const HUB_CHILDREN_MIN: u8 = 4;
/// A handover that was not answered after this is given up, and another may start.
const ANSWER: Duration = Duration::from_secs(10);
/// The host is asked for a lease again after this.
const ASK_LEASE: Duration = Duration::from_secs(10);
/// Members that were taken over are looked at for a better place after this, and a minute.
const REVIEWED: Duration = Duration::from_secs(30);
/// The sums are told again after this even if nothing changed.
const TELL: Duration = Duration::from_secs(30);

/// A certificate as a member shows it, with the lease where a hub signed it.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) certificate: Statement,
    pub(crate) lease: Option<Statement>,
}

/// What a hub tells the host of its region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) members: u32,
    pub(crate) spare: u32,
    pub(crate) hands: u32,
}

/// What only a hub has.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) lease: Lease,
    pub(crate) statement: Arc<Statement>,
    pub(crate) charter: Statement,
    pub(crate) host: List<Address, ADDRESSES_MAX>,
    /// The next number of admission.
    next: u32,
    /// Who led its members before, and is told of those that come without a record.
    pub(crate) before: NodeId,
    /// Members came that do not know yet who leads them.
    flood: bool,
    pub(crate) rows: Vec<HubRow>,
    told: Option<(Sums, Instant)>,
    asked: Option<Instant>,
}

impl Hub {
    /// The next number of admission, while the lease has one.
    pub(crate) fn admission(&mut self) -> Option<u32> {
        let next = self.next;
        (next - self.lease.first < self.lease.quota).then(|| {
            self.next = next + 1;
            next
        })
    }
}

/// A subtree on its way to the relay that takes it over.
#[derive(Debug)]
pub(crate) struct Handover {
    node: NodeId,
    since: Instant,
    /// The lease, once there is one.
    lease: Option<Statement>,
    offered: bool,
    /// Who is left to hand over, parents before children, once the relay has taken the lease.
    queue: Option<VecDeque<NodeId>>,
}

impl<S: Suite> Room<S> {
    pub(crate) fn hub(&self) -> Option<&Hub> {
        self.region.as_ref()?.hub.as_deref()
    }

    fn hub_mut(&mut self) -> Option<&mut Hub> {
        self.region.as_mut()?.hub.as_deref_mut()
    }

    /// The room's charter and where the host is, as a leader tells them.
    pub(crate) fn charter_and_host(&self) -> Option<(Statement, List<Address, ADDRESSES_MAX>)> {
        let host = self.acting.as_ref().map(|acting| (acting.charter.clone(), self.profile().addresses));
        host.or_else(|| self.hub().map(|hub| (hub.charter.clone(), hub.host.clone())))
    }

    /// Once a second, for the leader of a region.
    pub(crate) fn leader_housekeeping(&mut self) {
        if self.region.is_none() {
            return;
        }
        self.count_own_feeds();
        self.keep_hub();
        self.follow_protection();
        self.keep_region();
        self.hand_over();
        self.start_handover();
    }

    /// A leader's own slots may be taken by members of other regions, of whom its directory knows nothing.
    fn count_own_feeds(&mut self) {
        let (now, me) = (self.now, self.me);
        let given = self.children.with_purpose(crate::children::counts).len();
        let given = u8::try_from(given).unwrap_or(u8::MAX);
        let Some(region) = &mut self.region else { return };
        if region.directory.at(Slot::SELF).is_some_and(|own| own.reported != given) {
            region.directory.change(&me, now, |own| own.reported = given);
        }
    }

    fn keep_hub(&mut self) {
        if self.hub().is_none() {
            return;
        }
        let (now, me) = (self.now, self.me);
        let (profile, rank, at, delay_ms) = (self.profile(), self.rank, self.coordinate, self.delay_ms());
        if let Some(region) = &mut self.region {
            region.directory.change(&me, now, |own| {
                own.profile = profile;
                own.rank = rank;
                own.at = Some(at);
                own.delay_us = u32::from(delay_ms) * 1000;
            });
        }
        if !self.links.is_up(&self.host) {
            let host = self.hub().map(|hub| Contact { node: self.host, addresses: hub.host.clone() });
            host.iter().for_each(|host| self.dial(host));
        }
        self.renew_lease();
        self.tell_sums(false);
        self.flood_leader();
    }

    /// Asks for a new lease when half of this one's time is over, or when its numbers run out.
    fn renew_lease(&mut self) {
        let (now, wall, host) = (self.now, self.wall, self.host);
        let me = Contact { node: self.me, addresses: self.profile().addresses };
        let Some(hub) = self.hub_mut() else { return };
        let fresh = (hub.next - hub.lease.first) > hub.lease.quota / 4 * 3;
        let old = hub.lease.expires.0 < wall.0.saturating_add(LEASE_SECONDS / 2);
        if !fresh && !old || hub.asked.is_some_and(|at| now.since(at) < ASK_LEASE) {
            return;
        }
        hub.asked = Some(now);
        self.send(host, &Control::LeaseWanted { node: me, fresh });
    }

    /// Tells the host the sums of the region, where they have changed.
    fn tell_sums(&mut self, always: bool) {
        let now = self.now;
        let Some(region) = &mut self.region else { return };
        let directory = &region.directory;
        region.gone_over.retain(|node| directory.contains(node));
        let sums = Sums {
            members: u32::try_from(directory.len() - region.gone_over.len()).unwrap_or(u32::MAX),
            spare: region.directory.open_slots(),
            hands: region.count_hands(),
        };
        let Some(hub) = region.hub.as_deref_mut() else { return };
        if !always && hub.told.is_some_and(|(told, at)| told == sums && now.since(at) < TELL) {
            return;
        }
        hub.told = Some((sums, now));
        let Sums { members, spare, hands } = sums;
        self.send(self.host, &Control::HubStatus { members, spare, hands });
    }

    /// Says down the tree who leads the region now.
    fn flood_leader(&mut self) {
        let me = Contact { node: self.me, addresses: self.profile().addresses };
        let Some(hub) = self.hub_mut().filter(|hub| hub.flood) else { return };
        hub.flood = false;
        let (before, lease) = (hub.before, (*hub.statement).clone());
        self.pass_on_leader(me, before, lease);
    }

    /// A lease has come: for this node, or for the relay that it was asked for.
    pub(crate) fn leased(
        &mut self,
        from: NodeId,
        statement: Statement,
        charter: Statement,
        host: List<Address, ADDRESSES_MAX>,
    ) {
        let Ok(lease) = Lease::verify(&self.suite, &statement, &self.room, &self.host) else {
            return self.offended(from, Offence::Forged);
        };
        if from != self.host && from != self.registry() || self.is_host() || !lease.is_valid(self.wall) {
            return;
        }
        if lease.hub != self.me {
            if let Some(handover) = self.region.as_mut().and_then(|region| region.handover.as_mut())
                && handover.node == lease.hub
            {
                handover.lease = Some(statement);
            }
            return;
        }
        if !self.is_in() || self.is_root() {
            return;
        }
        match self.hub_mut() {
            Some(hub) => {
                if hub.lease.first != lease.first {
                    hub.next = lease.first;
                }
                hub.lease = lease;
                hub.statement = Arc::new(statement);
                hub.asked = None;
            }
            None => self.become_hub(from, lease, statement, charter, host),
        }
    }

    fn become_hub(
        &mut self,
        from: NodeId,
        lease: Lease,
        statement: Statement,
        charter: Statement,
        host: List<Address, ADDRESSES_MAX>,
    ) {
        let Some(protection) = self.state.head().map(|head| head.protection) else { return };
        let mut own =
            Member::new(self.me, self.profile(), Role::Listener, self.rank.admission, Lineage::default(), self.now);
        own.rank = self.rank;
        own.delay_us = u32::from(self.delay_ms()) * 1000;
        own.at = Some(self.coordinate);
        let members_max = lease.members_max;
        let mut region = Region::new(own, protection, members_max, self.now);
        region.hub = Some(Box::new(Hub {
            next: lease.first,
            lease,
            statement: Arc::new(statement),
            charter,
            host,
            before: from,
            flood: true,
            rows: Vec::new(),
            told: None,
            asked: None,
        }));
        self.region = Some(Box::new(region));
        self.event(Event::Leads { members_max });
        if from != self.host {
            // The answer to who offered it; the host hears it below.
            self.send(from, &Control::HubStatus { members: 0, spare: 0, hands: 0 });
        }
        self.go_below_the_roots();
        self.keep_hub();
        self.tell_sums(true);
    }

    /// Hubs belong right below the roots, since all their regions hang from them: the host places them, whoever led them before.
    fn go_below_the_roots(&mut self) {
        let Some(host) = self.hub().map(|hub| Contact { node: self.host, addresses: hub.host.clone() }) else { return };
        if self.registry() != host.node {
            self.follow_leader(host.clone(), host);
            self.host_link.asked = None;
            if self.links.is_up(&self.host) {
                self.ask_admission();
            }
        }
    }

    /// The link to the host, or to a hub, is for the talk between leaders.
    pub(crate) fn needs_hub_link(&self, peer: &NodeId) -> bool {
        let Some(region) = &self.region else { return false };
        region.hub.as_deref().is_some_and(|hub| *peer == self.host || *peer == hub.before)
            || region.handover.as_ref().is_some_and(|handover| handover.node == *peer)
            || self.acting.as_ref().is_some_and(|acting| acting.hubs.contains(peer))
    }

    /// The host tells of other hubs.
    pub(crate) fn hub_rows(&mut self, from: NodeId, rows: &List<HubRow, HUBS_MAX>) {
        if from != self.host {
            return self.offended(from, Offence::OutOfRole);
        }
        let me = self.me;
        let Some(hub) = self.hub_mut() else { return };
        for row in rows.iter().filter(|row| row.contact.node != me) {
            hub.rows.retain(|of| of.contact.node != row.contact.node);
            hub.rows.push(row.clone());
        }
        let excess = hub.rows.len().saturating_sub(ROWS_MAX);
        hub.rows.drain(..excess);
    }

    /// The host can see more raised hands by name: those that were up first go to it, and raise them there.
    pub(crate) fn hands_wanted(&mut self, from: NodeId, count: u8) {
        if from != self.host {
            return self.offended(from, Offence::OutOfRole);
        }
        let host = self.hub().map(|hub| Contact { node: self.host, addresses: hub.host.clone() });
        let (Some(host), Some(region)) = (host, self.region.as_mut()) else { return };
        region.count_hands();
        let (mut called, mut waiting) = (Vec::new(), VecDeque::new());
        for node in core::mem::take(&mut region.hands) {
            // One whose link is lost tells its hand again when it is back.
            if called.len() < usize::from(count) && self.links.is_up(&node) {
                called.push(node);
            } else {
                waiting.push_back(node);
            }
        }
        region.hands = waiting;
        for node in called {
            self.change_member(&node, |member| member.hand = None);
            self.send(node, &Control::Redirect { leaders: List::truncated([host.clone()]), direct: true });
        }
        self.tell_sums(false);
    }

    /// Who leads a member that was handed over of late.
    pub(crate) fn moved_to(&self, node: &NodeId) -> Option<Contact> {
        let region = self.region.as_ref()?;
        let hub = region.directory.get(region.moved.get(node)?).filter(|hub| hub.leads && hub.is_there())?;
        let lost = self.acting.as_ref().is_some_and(|acting| !acting.hubs.is_there(&hub.node));
        (!lost).then(|| hub.contact())
    }

    /// Leaders that have room for a joiner, as far as this one knows.
    pub(crate) fn other_leaders(&mut self) -> Vec<Contact> {
        let random = self.rng.next_u32();
        if let Some(acting) = &self.acting {
            return acting.hubs.with_room(random, LEADERS_MAX);
        }
        let Some(hub) = self.hub() else { return Vec::new() };
        let most = hub.lease.members_max;
        let open: Vec<&HubRow> = hub.rows.iter().filter(|row| row.members < most && row.spare > 0).collect();
        let first = random as usize % open.len().max(1);
        let turned = open.iter().cycle().skip(first).take(open.len().min(LEADERS_MAX));
        turned.map(|row| row.contact.clone()).collect()
    }

    /// A region that is nearly full is split: a relay near its top is to lead the members below it.
    fn start_handover(&mut self) {
        let (now, wanted) = (self.now, self.members_wanted());
        let Some(region) = &mut self.region else { return };
        if region.handover.as_ref().is_some_and(|of| of.queue.is_none() && now.since(of.since) >= ANSWER) {
            region.handover = None;
        }
        let full = region.directory.len() as u64 * 5 >= wanted * 4;
        if !full || region.handover.is_some() || region.split.is_some_and(|at| now.since(at) < ANSWER) {
            return;
        }
        region.split = Some(now);
        if region.moved.len() as u64 > u64::from(region.members_max) {
            region.moved.clear();
        }
        let co_root = self.state.head().and_then(|head| head.co_root);
        let stage = self.state.stage();
        // Nor one with a raised hand, which would be lost between the two regions that it belongs to then.
        let fits = |member: &Member| {
            Some(member.node) != co_root && stage.get(&member.node).is_none() && member.hand.is_none()
        };
        let Some(node) = region.directory.to_lead(now, fits) else { return };
        let Some(contact) = region.directory.get(&node).map(Member::contact) else { return };
        region.handover = Some(Box::new(Handover { node, since: now, lease: None, offered: false, queue: None }));
        if self.is_host() {
            let lease = self.grant_lease(&contact, true);
            if let Some(handover) = self.region.as_mut().and_then(|region| region.handover.as_mut()) {
                handover.lease = lease;
            }
        } else {
            self.send(self.host, &Control::LeaseWanted { node: contact, fresh: true });
        }
        self.hand_over();
    }

    /// Goes on with a handover: the lease first, then the members.
    fn hand_over(&mut self) {
        let Some(region) = &self.region else { return };
        let Some(handover) = &region.handover else { return };
        let node = handover.node;
        if handover.queue.is_some() {
            return self.hand_over_members(node);
        }
        let (Some(lease), false) = (handover.lease.clone(), handover.offered) else { return };
        if !self.links.is_up(&node) {
            let contact = region.directory.get(&node).map(Member::contact);
            return contact.iter().for_each(|contact| self.dial(contact));
        }
        let Some((charter, host)) = self.charter_and_host() else { return };
        if let Some(handover) = self.region.as_mut().and_then(|region| region.handover.as_mut()) {
            handover.offered = true;
        }
        self.send(node, &Control::Lease { lease, charter, host });
    }

    /// The relay has taken the lease: those below it are its own from now on.
    pub(crate) fn handover_taken(&mut self, from: NodeId) {
        let now = self.now;
        let Some(region) = &mut self.region else { return };
        let Some(handover) = region.handover.as_mut().filter(|of| of.node == from && of.queue.is_none()) else {
            return;
        };
        let Some(slot) = region.directory.slot(&from) else { return };
        let below = region.directory.below(slot).into_iter();
        // Whom the host is to bring up, has on stage, or alone can admit, stays with it.
        let is_host = self.acting.is_some();
        let stays = |member: &Member| is_host && (member.hand.is_some() || member.direct);
        handover.queue = Some(below.filter(|node| !region.directory.get(node).is_some_and(stays)).collect());
        region.directory.change(&from, now, |member| member.leads = true);
        self.hand_over_members(from);
    }

    fn hand_over_members(&mut self, node: NodeId) {
        let now = self.now;
        let me = self.me;
        for _ in 0..RECORDS_A_SECOND {
            let Some(region) = &mut self.region else { return };
            let Some(queue) = region.handover.as_mut().and_then(|handover| handover.queue.as_mut()) else { return };
            let count = queue.len().min(RECORDS_MAX);
            let nodes: Vec<NodeId> = queue.drain(..count).filter(|node| *node != me).collect();
            if nodes.is_empty() || !self.links.is_up(&node) {
                region.handover = None;
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

impl super::Directory {
    /// A relay of the first two levels that could lead those below it: the one with the most, up to some three fifths of all.
    fn to_lead(&self, now: Instant, fits: impl Fn(&Member) -> bool) -> Option<NodeId> {
        let most = self.len() * 3 / 5;
        let first = self.at(Slot::SELF)?.children().to_vec();
        let second = first.iter().filter_map(|slot| self.at(*slot)).flat_map(|member| member.children().to_vec());
        let able = |member: &&Member| {
            member.is_there()
                && member.is_trusted(now)
                && member.proven
                && !member.leads
                && member.placed_at.is_none()
                && member.profile.children_max >= HUB_CHILDREN_MIN
        };
        let candidates: Vec<Slot> = first.iter().copied().chain(second).collect();
        let sized = candidates.into_iter().filter_map(|slot| {
            let member = self.at(slot).filter(able).filter(|member| fits(member))?;
            let size = self.below(slot).len();
            (size >= SUBTREE_MIN && size <= most.max(SUBTREE_MIN)).then_some((size, member.profile.children_max, slot))
        });
        let (.., slot) = sized.max()?;
        Some(self.at(slot)?.node)
    }

    /// The members below one, parents before children.
    fn below(&self, slot: Slot) -> Vec<NodeId> {
        let (mut found, mut seen) = (Vec::new(), BTreeSet::from([slot, Slot::SELF]));
        let mut queue = VecDeque::from([slot]);
        while let Some(at) = queue.pop_front() {
            let Some(member) = self.at(at) else { continue };
            for child in member.children().iter().filter(|child| seen.insert(**child)) {
                // Another hub stays where it is, with what is below it.
                if let Some(of) = self.at(*child).filter(|of| !of.leads) {
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
                parent: tag(member.parent()),
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
        // The role is that of its certificate, which only the host acts on.
        let age = Duration::from_secs(record.age_s.into());
        let joined = Instant::from_micros(now.as_micros().saturating_sub(age.as_micros() as u64));
        let (node, status) = (record.node, record.status);
        let mut member = Member::new(node, record.profile, Role::Listener, record.admission, record.lineage, joined);
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
