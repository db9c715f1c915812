//! Who leads this member's region, and how it finds out.
//!
//! A small room has one leader, the host. In a large one hubs lead regions of it, and whoever asks the wrong node is
//! redirected: a joiner may come by the address of any member. A redirect names up to three leaders; the hubs among them are
//! dialled, and the one that is reached first is asked, so that the nearest is taken without anyone knowing where the joiner
//! is ("happy eyeballs", RFC 8305, is the same race for addresses). The host is spared as long as there are others, and dialled
//! after a head start: a hub may have died without all its region knowing. A third redirect leads to the host, if any has named it,
//! which then admits; after that the joiner gives up. Whoever answers in the end
//! proves by its lease that the host sent it: a false redirect leads nowhere, but cannot lead astray.

use core::time::Duration;
use std::sync::Arc;

use treehouse_invite::{Invite, Lease};
use treehouse_wire::{
    Address, Contact, Control, List, NodeId, Suite,
    control::{Purpose, Refusal, Statement},
    limits::{LEADERS_MAX, REDIRECTS_MAX},
};

use crate::{
    api::{JoinFailure, Offence},
    feeds::Aim,
    room::{Phase, Room},
    timers::Timer,
};

/// Hubs that were named have this long before the host is dialled too. Most round trips are over by then.
const HEAD_START: Duration = Duration::from_millis(600);

/// One that was asked to admit and has not answered after this may be gone: the next one is asked.
const UNANSWERED: Duration = Duration::from_millis(1500);

/// The leader of a member's region, where that is not the host as the invite names it.
#[derive(Debug, PartialEq)]
pub(crate) struct Lead {
    pub(crate) leader: Contact,
    pub(crate) host: Contact,
}

/// Leaders that are being dialled, and what came of it so far.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    contacts: Vec<Contact>,
    redirects: u8,
    /// Where the host is, once one has said so.
    host: Option<Contact>,
    attempts: Vec<(Address, String)>,
}

impl<S: Suite> Room<S> {
    /// The leader of this member's region: the host, or a hub.
    pub(crate) fn registry(&self) -> NodeId {
        self.host_link.lead.as_ref().map_or(self.host, |lead| lead.leader.node)
    }

    pub(crate) fn has_hub(&self) -> bool {
        self.registry() != self.host
    }

    pub(crate) fn leader_contact(&self) -> Contact {
        self.host_link.lead.as_ref().map_or_else(|| self.host_contact(), |lead| lead.leader.clone())
    }

    /// Where the host is, as a leader said or else the invite.
    pub(crate) fn host_contact(&self) -> Contact {
        if let Some(lead) = &self.host_link.lead {
            return lead.host.clone();
        }
        let host = self.host;
        let named = self.host_link.invite.iter().flat_map(Invite::bootstrap).filter(|contact| contact.node == host);
        let addresses = List::truncated(named.flat_map(|contact| contact.addresses.iter().cloned()));
        Contact { node: host, addresses }
    }

    /// Goes by a leader from now on.
    pub(crate) fn follow_leader(&mut self, leader: Contact, host: Contact) {
        let by_invite = self.host_link.invite.iter().flat_map(Invite::bootstrap).any(|of| of.node == self.host);
        self.host_link.led_by_hub |= leader.node != self.host;
        if leader.node != self.registry() {
            // Another registry counts its placements anew, from two on.
            self.placed = self.placed.min(1);
        }
        let plain = leader.node == self.host && by_invite;
        self.host_link.lead = (!plain).then(|| Arc::new(Lead { leader, host }));
        self.host_link.closed = false;
    }

    /// The leader is gone: the host knows another, and is asked at once where it is linked. Those below hear of it, or each
    /// would find out when it needs the leader, and send joiners there until then.
    pub(crate) fn leave_leader(&mut self) {
        self.host_link.stray = true;
        self.pass_on_gone();
        self.go_by_host();
        if self.is_in() && self.links.is_up(&self.host) {
            self.ask_admission();
        }
    }

    /// The host is the one to ask from now on.
    pub(crate) fn go_by_host(&mut self) {
        let host = self.host_contact();
        self.follow_leader(host.clone(), host);
        self.host_link.asked = None;
    }

    /// Dials whom the invite names: the host, or members, who know where to go.
    pub(crate) fn enter_by_invite(&mut self) {
        let mut contacts: Vec<Contact> = Vec::new();
        for contact in self.host_link.invite.iter().flat_map(Invite::bootstrap) {
            match contacts.iter_mut().find(|of| of.node == contact.node) {
                Some(known) => {
                    let both = known.addresses.iter().chain(contact.addresses.iter()).cloned();
                    known.addresses = List::truncated(both);
                }
                None => contacts.push(contact.clone()),
            }
        }
        if contacts.is_empty() {
            contacts.push(self.host_contact());
        }
        self.enter(contacts);
    }

    /// Asks whichever of these is reached first.
    fn enter(&mut self, contacts: Vec<Contact>) {
        let up = contacts.iter().find(|contact| self.links.is_up(&contact.node)).map(|contact| contact.node);
        let entry = self.host_link.entry.get_or_insert_default();
        entry.contacts = contacts;
        match up {
            Some(peer) => self.host_link_up(peer),
            None => self.dial_entry(),
        }
    }

    /// Dials the leaders that are named: the host only where there is no other, or later.
    fn dial_entry(&mut self) {
        let Some(entry) = &self.host_link.entry else { return };
        let hubs: Vec<Contact> = entry.contacts.iter().filter(|contact| contact.node != self.host).cloned().collect();
        if hubs.is_empty() || entry.redirects == 0 {
            self.dial_host_too();
        } else {
            // The host that has sent this node on is asked again only when none of them answers.
            let names_host = entry.contacts.iter().any(|contact| contact.node == self.host);
            let wait = if names_host { HEAD_START } else { UNANSWERED };
            self.timers.arm(Timer::Entry, self.now.after(wait));
        }
        hubs.iter().for_each(|contact| self.dial(contact));
    }

    /// Time is up for those that were dialled first, or for the one that was asked.
    pub(crate) fn entry_due(&mut self) {
        if self.host_link.asked.is_none() {
            self.name_host_at_last();
            return self.dial_host_too();
        }
        self.ask_next();
    }

    /// None of the leaders that the host has named is reached: they may have died with their links up. Now it is the host that is
    /// to admit.
    fn name_host_at_last(&mut self) {
        let host = self.host;
        let Some(entry) = &mut self.host_link.entry else { return };
        let named = entry.contacts.iter().any(|contact| contact.node == host);
        if let Some(contact) = entry.host.clone().filter(|of| !named && of.node == host) {
            entry.redirects = REDIRECTS_MAX;
            entry.contacts.push(contact);
            if self.links.is_up(&host) {
                self.host_link_up(host);
            }
        }
    }

    /// The leader that was asked does not answer, or is gone: asks the others that were named; false where there is none.
    pub(crate) fn ask_next(&mut self) -> bool {
        let asked = self.host_link.asked.is_some();
        let Some(entry) = self.host_link.entry.as_mut().filter(|entry| asked && !entry.contacts.is_empty()) else {
            return false;
        };
        let contacts = core::mem::take(&mut entry.contacts);
        self.host_link.asked = None;
        self.enter(contacts);
        true
    }

    pub(crate) fn dial_host_too(&mut self) {
        let Some(entry) = &self.host_link.entry else { return };
        let host = entry.contacts.iter().find(|contact| contact.node == self.host).cloned();
        host.iter().for_each(|host| self.dial(host));
    }

    /// What only a leader may say came from another: an offence, unless it may have been this member's a moment ago.
    pub(crate) fn not_my_leader(&mut self, from: NodeId) {
        if !self.host_link.led_by_hub || self.is_host() {
            self.offended(from, Offence::OutOfRole);
        }
    }

    /// Whether this peer is one of those being dialled, and the first to be reached; it is the leader from now on. The others are
    /// kept until it has answered.
    pub(crate) fn entered(&mut self, peer: &NodeId) -> bool {
        let Some(entry) = self.host_link.entry.as_mut().filter(|_| self.host_link.asked.is_none()) else {
            return false;
        };
        let Some(at) = entry.contacts.iter().position(|contact| contact.node == *peer) else { return false };
        let leader = entry.contacts.swap_remove(at);
        if !entry.contacts.is_empty() {
            self.timers.arm(Timer::Entry, self.now.after(UNANSWERED));
        }
        let host = if leader.node == self.host { leader.clone() } else { self.host_contact() };
        self.follow_leader(leader, host);
        true
    }

    /// A leader that was dialled cannot be reached; whether this was one.
    pub(crate) fn entry_unreachable(&mut self, peer: &NodeId, attempts: &[(Address, String)]) -> bool {
        let Some(entry) = &mut self.host_link.entry else { return false };
        let Some(at) = entry.contacts.iter().position(|contact| contact.node == *peer) else { return false };
        entry.contacts.swap_remove(at);
        entry.attempts.extend_from_slice(attempts);
        if entry.contacts.iter().all(|contact| contact.node == self.host) {
            self.dial_host_too();
        }
        let Some(entry) = &mut self.host_link.entry else { return true };
        if entry.contacts.is_empty() {
            let attempts = core::mem::take(&mut entry.attempts);
            self.host_link.entry = None;
            if self.phase == Phase::Joining {
                self.join_failed(JoinFailure::Unanswered { attempts });
            } else {
                self.leave_leader();
                self.redial_later();
            }
        }
        true
    }

    /// The one that was asked sends this node on.
    pub(crate) fn redirected(&mut self, from: NodeId, leaders: List<Contact, LEADERS_MAX>, direct: bool) {
        if self.told_whom_to_ask(from, &leaders) {
            return;
        }
        if from != self.registry() || self.is_host() {
            return self.not_my_leader(from);
        }
        self.host_link.asked = None;
        let entry = self.host_link.entry.get_or_insert_default();
        entry.redirects = entry.redirects.saturating_add(1);
        if entry.redirects > REDIRECTS_MAX {
            self.host_link.entry = None;
            if self.phase == Phase::Joining {
                return self.join_failed(JoinFailure::TooManyRedirects);
            }
            self.go_by_host();
            return self.redial_later();
        }
        self.host_link.direct |= direct;
        let (me, now) = (self.me, self.now);
        let mut contacts = leaders.into_vec();
        // Regions that fill up send on and on: the last time it is the host, where one has named it, and it is to admit.
        let named = contacts.iter().find(|contact| contact.node == self.host).cloned();
        let host = named.unwrap_or_else(|| self.host_contact());
        if let Some(entry) = self.host_link.entry.as_mut().filter(|_| !host.addresses.is_empty()) {
            entry.host = Some(host);
        }
        if let Some(host) = self.last_resort() {
            contacts = vec![host];
        }
        contacts.retain(|contact| {
            contact.node != me && !self.links.is_shunned(&contact.node, now) && !self.is_lost(&contact.node)
        });
        if !contacts.is_empty() {
            return self.enter(contacts);
        }
        self.host_link.entry = None;
        if self.phase == Phase::Joining {
            return self.join_failed(JoinFailure::BadAnswer);
        }
        self.go_by_host();
        // It knows no leader but one that is lost. Who hears nothing is placed by the host itself.
        if self.cut_since.is_some() && self.links.is_up(&self.host) {
            return self.ask_admission();
        }
        self.redial_later();
    }

    /// The host, for one that follows no further redirect.
    pub(crate) fn last_resort(&self) -> Option<Contact> {
        self.host_link.entry.as_ref().filter(|entry| entry.redirects == REDIRECTS_MAX)?.host.clone()
    }

    /// A parent passes on that the region has another leader; so does this member, to those whom it feeds.
    pub(crate) fn leader_said(&mut self, from: NodeId, leader: Contact, before: NodeId, statement: Statement) {
        let parent = self.feeds.get(&from).is_some_and(|feed| feed.is_live() && feed.aim == Aim::Primary);
        // One that the host is to bring up, or alone can admit, stays with it; others may hang on it.
        let stays = self.host_link.direct || self.own_voice.is_some() && !self.has_hub();
        if !parent || self.is_host() || self.region.is_some() || before != self.registry() && !stays {
            return;
        }
        let lease = Lease::verify(&self.suite, &statement, &self.room, &self.host);
        if lease.is_ok_and(|lease| lease.hub == leader.node && lease.is_valid(self.wall)) {
            if stays {
                return self.pass_on_leader(leader, before, statement);
            }
            let host = self.host_contact();
            self.follow_leader(leader.clone(), host);
            self.host_link.closed = !self.links.is_up(&leader.node);
            self.pass_on_leader(leader.clone(), before, statement);
            if self.links.is_up(&leader.node) {
                self.ask_admission();
            } else if self.own_voice.is_some() {
                // The new leader does not know of the hand.
                self.call_host();
            }
        }
    }

    pub(crate) fn pass_on_leader(&mut self, leader: Contact, before: NodeId, lease: Statement) {
        let message = Control::Leader { leader, before, lease };
        for child in self.children.with_purpose(|purpose| purpose == Purpose::Primary) {
            self.send(child, &message);
        }
    }

    /// A leader has taken this member in. Those below that were left by the same one need not ask the host, each for itself, which.
    pub(crate) fn taken_in(&mut self) {
        if core::mem::take(&mut self.host_link.stray) && self.has_hub() {
            self.pass_on_whom_to_ask();
        }
    }

    fn pass_on_whom_to_ask(&mut self) {
        let message = Control::Redirect { leaders: List::truncated([self.leader_contact()]), direct: false };
        for child in self.children.with_purpose(|purpose| purpose == Purpose::Primary) {
            self.send(child, &message);
        }
    }

    /// A parent says whom to ask instead of the leader that is gone; false where this is no such word. The one that is named is
    /// believed no more than one that a redirect names: it has to show its lease before it is this member's leader.
    fn told_whom_to_ask(&mut self, from: NodeId, leaders: &[Contact]) -> bool {
        let parent = self.feeds.get(&from).is_some_and(|feed| feed.is_live() && feed.aim == Aim::Primary);
        if !parent || from == self.registry() {
            return false;
        }
        let (me, now) = (self.me, self.now);
        let fits = |of: &&Contact| of.node != me && !self.links.is_shunned(&of.node, now) && !self.is_lost(&of.node);
        let busy = self.has_hub() || self.host_link.asked.is_some() || self.host_link.entry.is_some();
        if let Some(leader) = leaders.first().filter(fits).filter(|_| self.host_link.stray && !busy) {
            self.follow_leader(leader.clone(), self.host_contact());
            self.host_link.closed = !self.links.is_up(&self.registry());
            self.pass_on_whom_to_ask();
        }
        true
    }

    fn pass_on_gone(&mut self) {
        if self.has_hub() && self.is_in() {
            let message = Control::LeaderGone(self.registry());
            for child in self.children.with_purpose(|purpose| purpose == Purpose::Primary) {
                self.send(child, &message);
            }
        }
    }

    /// The leader said goodbye.
    pub(crate) fn leader_left(&mut self, leader: NodeId) {
        if self.has_hub() && self.is_in() && leader == self.registry() {
            self.leave_leader();
            self.host_link.closed = !self.links.is_up(&self.host);
        }
    }

    /// A parent says that the leader is gone. The host is asked once there is something to ask for: a whole region at once
    /// would be a flood.
    pub(crate) fn leader_gone(&mut self, from: NodeId, leader: NodeId) {
        let parent = self.feeds.get(&from).is_some_and(|feed| feed.is_live() && feed.aim == Aim::Primary);
        if parent && leader != self.host && !self.links.is_up(&leader) {
            self.leader_left(leader);
        }
    }

    /// Sends one that asked here to those who can help it, and to the host where they cannot be reached.
    pub(crate) fn redirect(&mut self, to: NodeId, mut leaders: Vec<Contact>, direct: bool) {
        if leaders.is_empty() {
            return self.send(to, &Control::Refused(Refusal::RoomFull));
        }
        if !self.is_host() && leaders.iter().all(|leader| leader.node != self.host) {
            leaders.truncate(LEADERS_MAX - 1);
            leaders.push(self.host_contact());
        }
        // Who is not known here gets no more than it sent.
        let known =
            self.children.contains(&to) || self.region.as_ref().is_some_and(|region| region.directory.contains(&to));
        let most = if known { usize::MAX } else { self.asked_bytes };
        let mut message = Control::Redirect { leaders: List::truncated(leaders.iter().cloned()), direct };
        while message.to_bytes().len() > most {
            let several = leaders.iter_mut().filter(|contact| contact.addresses.len() > 1);
            if let Some(contact) = several.max_by_key(|contact| contact.addresses.len()) {
                let fewer = contact.addresses.len() - 1;
                contact.addresses = List::truncated(contact.addresses.iter().take(fewer).cloned());
            } else if leaders.len() > 1 {
                // The host comes last.
                leaders.remove(0);
            } else {
                return self.send(to, &Control::Refused(Refusal::Busy));
            }
            message = Control::Redirect { leaders: List::truncated(leaders.iter().cloned()), direct };
        }
        self.send(to, &message);
    }

    /// Sends one that took this member for a leader to the leader.
    pub(crate) fn redirect_to_leader(&mut self, to: NodeId, direct: bool) {
        if !self.is_in() {
            return self.send(to, &Control::Refused(Refusal::NotHost));
        }
        let leader = if direct { self.host_contact() } else { self.leader_contact() };
        self.redirect(to, vec![leader], direct);
    }
}
