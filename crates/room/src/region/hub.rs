//! A hub: a relay that leads a region of its own by a lease of the host's.
//!
//! A leader whose region grows too large hands a part of it over to a relay (see [`super::handover`]). From then on the relay is two
//! things: a member like others, placed by who led it before, and the root
//! of its own region, whose slots nobody else gives away. To the host it reports sums.

use core::time::Duration;
use std::{collections::VecDeque, sync::Arc};

use treehouse_invite::{LEASE_SECONDS, Lease, Role};
use treehouse_wire::{
    Address, Contact, Control, Lineage, List, NodeId, NodeTag, Suite,
    control::{HubRow, Rank, Statement, Status},
    limits::{ADDRESSES_MAX, HUBS_MAX, LEADERS_MAX},
};

use super::{Member, Region, Slot};
use crate::{
    api::{Event, Offence},
    room::Room,
    time::Instant,
};

/// Other hubs that a hub remembers.
const ROWS_MAX: usize = 16;
/// The host is asked for a lease again after this.
const ASK_LEASE: Duration = Duration::from_secs(10);
/// Sums that are news, but for hands, are told after this; those that are about what they were after the next, and after the last
/// even if nothing changed.
const TELL_NEWS: Duration = Duration::from_secs(2);
const TELL_SMALL: Duration = Duration::from_secs(10);
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

impl Sums {
    /// Whether others would act otherwise by these: a hand or the last slot, or a sixteenth of the members.
    pub(crate) fn tells_news(&self, before: &Sums) -> bool {
        let much = |now: u32, before: u32| now.abs_diff(before) > before / 16;
        self.hands != before.hands
            || (self.spare == 0) != (before.spare == 0)
            || much(self.members, before.members)
            || much(self.spare, before.spare.max(self.members))
    }
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
    pub(super) flood: bool,
    pub(crate) rows: Vec<HubRow>,
    told: Option<(Sums, Instant)>,
    /// Where it stood when it last said so.
    stood: Option<(Option<NodeTag>, Option<NodeTag>, Rank)>,
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
        self.start_handovers();
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
        let pause = |told: &Sums| match sums {
            sums if sums.hands != told.hands => Duration::ZERO,
            sums if sums.tells_news(told) => TELL_NEWS,
            sums if sums != *told => TELL_SMALL,
            _ => TELL,
        };
        if !always && hub.told.is_some_and(|(told, at)| now.since(at) < pause(&told)) {
            return;
        }
        hub.told = Some((sums, now));
        let Sums { members, spare, hands } = sums;
        self.send(self.host, &Control::HubStatus { members, spare, hands });
    }

    /// Whether what a hub says of itself tells where it stands anew: the host has a thousand of them. True for who is no hub.
    pub(crate) fn hub_stands_elsewhere(&mut self, status: &Status) -> bool {
        let stands = (status.parent, status.standby, status.rank);
        self.hub_mut().is_none_or(|hub| hub.stood.replace(stands) != Some(stands))
    }

    /// Another registry has to be told where this hub stands.
    pub(crate) fn hub_stands_anew(&mut self) {
        if let Some(hub) = self.hub_mut() {
            hub.stood = None;
        }
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
            return self.lease_for_relay(lease.hub, statement);
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
            stood: None,
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
            || region.handovers.iter().any(|handover| handover.node == *peer)
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
            let most = self.region.as_ref().map_or(0, |region| region.members_max);
            return acting.hubs.with_room(random, most, LEADERS_MAX);
        }
        let Some(hub) = self.hub() else { return Vec::new() };
        let most = hub.lease.members_max;
        let open: Vec<&HubRow> = hub.rows.iter().filter(|row| row.members < most && row.spare > 0).collect();
        let first = random as usize % open.len().max(1);
        let turned = open.iter().cycle().skip(first).take(open.len().min(LEADERS_MAX));
        turned.map(|row| row.contact.clone()).collect()
    }
}
