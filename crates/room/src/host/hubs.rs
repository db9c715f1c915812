//! The host's table of hubs: who holds a lease, and what the hubs say of their regions.
//!
//! What it costs follows from the number of hubs, a few hundred where members are a million: a hub says sums once a second
//! at most, and is told of a few others now and then.

use core::time::Duration;
use std::collections::BTreeMap;

use treehouse_invite::{LEASE_SECONDS, Lease, Role};
use treehouse_wire::{
    Contact, Control, List, NodeId, Suite, UnixSeconds,
    control::{HubRow, Statement},
    limits::HUBS_MAX,
};

use crate::{api::Offence, region::Sums, room::Room, time::Instant};

/// Hubs of one room.
const SEATS_MAX: usize = 4096;
/// Admissions that one lease grants.
const QUOTA: u32 = 4096;
/// A hub whose link is lost is given this long to come back.
const LOST: Duration = Duration::from_secs(15);
/// A hub that was granted a lease and has not been heard of after this has not taken it.
const UNTAKEN: Duration = Duration::from_secs(30);
/// A hub is told of others this often.
const ROWS: Duration = Duration::from_secs(10);
/// A member that was called because its hand is up comes to the host within this.
const CALLED: Duration = Duration::from_secs(5);
/// Hands called from one hub at once.
const CALLED_AT_ONCE: u32 = 8;
/// However many hubs there are, the host leads this part of a full region itself.
const OWN_MIN_SHARE: u64 = 10;
/// Hubs looked at in a second.
const LOOKS: usize = 64;

/// One hub.
#[derive(Debug)]
struct Seat {
    contact: Contact,
    region: u32,
    first: u32,
    sums: Sums,
    /// Since when its link is gone; it has none before it was first heard of.
    lost: Option<Instant>,
    heard: bool,
    told: Option<Instant>,
    /// What it knows of others.
    rows: BTreeMap<NodeId, Sums>,
}

/// All hubs.
#[derive(Debug, Default)]
pub(crate) struct Hubs {
    seats: BTreeMap<NodeId, Seat>,
    regions: u32,
    /// Members of all hubs' regions.
    members: u32,
    /// Raised hands that wait there.
    hands: u32,
    /// Hands that were called of late and may be on their way.
    called: Vec<(Instant, u32)>,
    /// Where the next look begins.
    next: Option<NodeId>,
}

impl Hubs {
    pub(crate) fn is_empty(&self) -> bool {
        self.seats.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.seats.len()
    }

    pub(crate) fn contains(&self, node: &NodeId) -> bool {
        self.seats.contains_key(node)
    }

    pub(crate) fn is_there(&self, node: &NodeId) -> bool {
        self.seats.get(node).is_some_and(|seat| seat.lost.is_none())
    }

    /// Members of all hubs' regions.
    pub(crate) fn members(&self) -> u32 {
        self.members
    }

    /// Raised hands that wait with the hubs.
    pub(crate) fn hands(&self) -> u32 {
        self.hands
    }

    /// Which hubs are to send members with raised hands, and how many, so that `wanted` are seen.
    pub(crate) fn call_hands(&mut self, wanted: u32, now: Instant) -> Vec<(NodeId, u8)> {
        self.called.retain(|(at, _)| now.since(*at) < CALLED);
        let coming: u32 = self.called.iter().map(|(_, count)| count).sum();
        let mut wanted = wanted.saturating_sub(coming);
        if wanted == 0 || self.hands == 0 {
            return Vec::new();
        }
        let mut calls = Vec::new();
        for (node, seat) in self.seats.iter().filter(|(_, seat)| seat.lost.is_none() && seat.sums.hands > 0) {
            // Some from each of several regions; in which order is of no account to the host.
            let count = seat.sums.hands.min(wanted).min(CALLED_AT_ONCE);
            if count == 0 {
                break;
            }
            wanted -= count;
            self.called.push((now, count));
            calls.push((*node, count as u8));
        }
        calls
    }

    /// Some hubs that are there and have room, from a random place on; only where there is none, some whose regions are full.
    pub(crate) fn with_room(&self, random: u32, members_max: u32, wanted: usize) -> Vec<Contact> {
        let (roomy, full): (Vec<_>, Vec<_>) = self.open_from(random).partition(|seat| seat.sums.members < members_max);
        roomy.into_iter().chain(full).take(wanted).map(|seat| seat.contact.clone()).collect()
    }

    fn open_from(&self, random: u32) -> impl Iterator<Item = &Seat> {
        let mut from = [0; 32];
        from[..4].copy_from_slice(&random.to_be_bytes());
        let from = NodeId(from);
        let turned = self.seats.range(from..).chain(self.seats.range(..from));
        // A search that finds nothing open soon has seen enough.
        let looked = turned.map(|(_, seat)| seat).take(LOOKS);
        looked.filter(|seat| seat.heard && seat.lost.is_none() && seat.sums.spare > 0)
    }

    fn remove(&mut self, node: &NodeId) -> bool {
        let Some(seat) = self.seats.remove(node) else { return false };
        self.members = self.members.saturating_sub(seat.sums.members);
        self.hands = self.hands.saturating_sub(seat.sums.hands);
        true
    }

    /// Some hubs in turn, so that each is looked at now and then.
    fn next_ones(&mut self) -> Vec<NodeId> {
        let from = self.next.unwrap_or(NodeId([0; 32]));
        let found: Vec<NodeId> = self.seats.range(from..).take(LOOKS).map(|(node, _)| *node).collect();
        self.next = if found.len() == LOOKS { found.last().copied() } else { None };
        found
    }
}

impl<S: Suite> Room<S> {
    /// Signs a lease: a new one, or the same span of numbers for longer.
    pub(crate) fn grant_lease(&mut self, contact: &Contact, fresh: bool) -> Option<Statement> {
        let (me, wall) = (self.me, self.wall);
        let region = self.region.as_mut()?;
        let acting = self.acting.as_mut()?;
        let hubs = &mut acting.hubs;
        if contact.node == me || hubs.seats.len() >= SEATS_MAX && !hubs.contains(&contact.node) {
            return None;
        }
        if !hubs.contains(&contact.node) {
            hubs.regions += 1;
            let seat = Seat {
                contact: contact.clone(),
                region: hubs.regions,
                first: region.admissions(QUOTA),
                sums: Sums::default(),
                lost: Some(self.now),
                heard: false,
                told: None,
                rows: BTreeMap::new(),
            };
            hubs.seats.insert(contact.node, seat);
        } else if fresh && let Some(seat) = hubs.seats.get_mut(&contact.node) {
            seat.first = region.admissions(QUOTA);
        }
        let seat = hubs.seats.get_mut(&contact.node)?;
        seat.contact = contact.clone();
        let lease = Lease {
            hub: contact.node,
            region: seat.region,
            role: Role::Listener,
            first: seat.first,
            quota: QUOTA,
            members_max: region.members_max,
            term: 0,
            not_before: wall,
            expires: UnixSeconds(wall.0.saturating_add(LEASE_SECONDS)),
        };
        Some(lease.sign(&self.suite, &self.signer, &self.room))
    }

    /// A hub wants its lease renewed, or one for a relay of its region.
    pub(crate) fn lease_wanted(&mut self, from: NodeId, node: Contact, fresh: bool) {
        let Some(acting) = &self.acting else { return self.offended(from, Offence::OutOfRole) };
        if !acting.hubs.contains(&from) {
            return self.offended(from, Offence::OutOfRole);
        }
        // One hub may not spend another's numbers.
        if node.node != from && acting.hubs.contains(&node.node) {
            return;
        }
        let Some(lease) = self.grant_lease(&node, fresh) else { return };
        let Some((charter, host)) = self.charter_and_host() else { return };
        self.send(from, &Control::Lease { lease, charter, host });
    }

    /// The sums of a hub's region; from a relay that was offered a lease, that it has taken it.
    pub(crate) fn hub_status(&mut self, from: NodeId, sums: Sums) {
        self.handover_taken(from);
        let most = self.region.as_ref().map_or(0, |region| region.members_max).saturating_mul(4);
        let Some(acting) = &mut self.acting else { return };
        let hubs = &mut acting.hubs;
        let Some(seat) = hubs.seats.get_mut(&from) else { return };
        // No region is much larger than its leader was told.
        let sums = Sums { members: sums.members.min(most), ..sums };
        let sums = Sums { hands: sums.hands.min(sums.members), ..sums };
        let before = core::mem::replace(&mut seat.sums, sums);
        (seat.lost, seat.heard) = (None, true);
        hubs.members = hubs.members.saturating_sub(before.members).saturating_add(sums.members);
        hubs.hands = hubs.hands.saturating_sub(before.hands).saturating_add(sums.hands);
        if before.members != sums.members {
            self.members_changed();
        }
    }

    pub(crate) fn hub_link_down(&mut self, peer: &NodeId) {
        let now = self.now;
        if let Some(seat) = self.acting.as_mut().and_then(|acting| acting.hubs.seats.get_mut(peer)) {
            seat.lost = Some(now);
        }
    }

    /// A hub said goodbye.
    pub(crate) fn hub_left(&mut self, peer: NodeId) {
        if self.acting.as_mut().is_some_and(|acting| acting.hubs.remove(&peer)) {
            self.members_changed();
        }
    }

    /// Once a second: forgets hubs that are gone, and tells others of some.
    pub(crate) fn keep_hubs(&mut self) {
        let now = self.now;
        let Some(acting) = &mut self.acting else { return };
        for node in acting.hubs.next_ones() {
            self.keep_hub_seat(node, now);
        }
    }

    fn keep_hub_seat(&mut self, node: NodeId, now: Instant) {
        let random = self.rng.next_u32();
        let Some(hubs) = self.acting.as_mut().map(|acting| &mut acting.hubs) else { return };
        let Some(seat) = hubs.seats.get(&node) else { return };
        let patience = if seat.heard { LOST } else { UNTAKEN };
        if seat.lost.is_some_and(|at| now.since(at) >= patience) {
            return self.hub_left(node);
        }
        if seat.lost.is_some() || seat.told.is_some_and(|at| now.since(at) < ROWS) {
            return;
        }
        let known = &seat.rows;
        let others = hubs.open_from(random).filter(|of| of.contact.node != node).take(HUBS_MAX);
        // Hands are the host's own affair.
        let sums = |of: &Seat| Sums { hands: 0, ..of.sums };
        let news = others.filter(|of| known.get(&of.contact.node).is_none_or(|known| sums(of).tells_news(known)));
        let rows: Vec<HubRow> = news
            .map(|of| HubRow { contact: of.contact.clone(), members: of.sums.members, spare: of.sums.spare })
            .collect();
        let Some(seat) = hubs.seats.get_mut(&node) else { return };
        seat.told = Some(now);
        if rows.is_empty() {
            return;
        }
        for row in &rows {
            seat.rows.insert(row.contact.node, Sums { members: row.members, spare: row.spare, hands: 0 });
        }
        while seat.rows.len() > 2 * HUBS_MAX {
            seat.rows.pop_first();
        }
        self.send(node, &Control::Hubs(List::truncated(rows)));
    }

    /// Whether this leader is to send a joiner on.
    pub(crate) fn sends_on(&self, relays: bool) -> bool {
        let Some(region) = &self.region else { return true };
        region.directory.len() as u64 >= self.members_wanted() || !self.any_slot_free(relays)
    }

    /// Members from which on this leader sends joiners on and hands members over. The more hubs there are, the fewer the host
    /// leads itself, beside the hubs: what its own members ask of it is most of what it sends.
    pub(crate) fn members_wanted(&self) -> u64 {
        let most = self.region.as_ref().map_or(0, |region| u64::from(region.members_max));
        let hubs = self.acting.as_ref().map_or(0, |acting| acting.hubs.len() as u64);
        if hubs == 0 { most } else { (most / (1 + hubs / 2)).max(most / OWN_MIN_SHARE) + hubs }
    }
}
