//! Placement: which member feeds which, with a slot for each, near in the network.
//!
//! A parent is scored by the delay at it, the way to it, its load, and how likely it is to leave soon (see
//! [`Directory::score_us`](super::Directory::score_us)). A newcomer first measures landmarks all over the network and so learns where it is; then the best
//! parents by coordinates and one at random; then it takes the best by measurement. A capable member may take the slot of a leaf
//! and adopt it: relays belong above leaves. What was placed in a hurry is reviewed later, at first soon, then ever more rarely.

use core::time::Duration;

use treehouse_wire::{Contact, Control, List, NodeId, Suite, control::Placement, limits::CANDIDATES_MAX};

use super::{
    ANSWER, RESERVED,
    choice::{Choice, View},
    directory::{Member, Presence, Slot},
};
use crate::{api::Offence, coordinates::Coordinate, paging::Paged, room::Room};

/// Candidates that a member measures which knows where it is; one of them is drawn at random.
const OFFERED: usize = 3;
/// A member that did not work out for another is not proposed to it again for this long.
const FAILED: Duration = Duration::from_secs(10);
/// And one that it could not even reach for this long.
const UNREACHABLE: Duration = Duration::from_secs(60);
/// A member moves only if the gain is seen twice, this far apart, in seconds; the second time is awaited until the other.
const CONFIRM_S: u16 = 10;
const CONFIRM_MAX: Duration = Duration::from_secs(90);
/// A place is looked at again after this at first, doubling up to the other, in seconds.
const REVIEW_S: u16 = 20;
const REVIEW_MAX_S: u16 = 80;
/// A member that was called for a better place is called again after this, in seconds.
const CALL_AGAIN_S: u16 = 60;
/// And one whose turn to be called has not come after this.
const TURN_S: u16 = 2;
/// A member that was sent to another region since this one has no slot is sent again after this.
const SENT_ON: Duration = Duration::from_secs(3);
/// Round trips remembered for a member.
const TRIPS_MAX: usize = 12;

impl<S: Suite> Room<S> {
    /// Someone outside of this hub's region to stand by a member that the hub itself feeds: when the hub dies, all below it are
    /// cut off, and nobody inside could help.
    fn standby_outside(&self, view: &View<'_>, parent: Slot) -> Option<Contact> {
        let hub = self.region.as_ref()?.hub.as_deref().filter(|_| parent == Slot::SELF)?;
        let host = Contact { node: self.host, addresses: hub.host.clone() };
        let others = hub.rows.iter().filter(|row| row.spare > 0).map(|row| &row.contact).chain([&host]);
        let apart = |contact: &&Contact| {
            // Another hub below this one is cut off with it.
            view.directory.get(&contact.node).is_none()
                && contact.node != view.member.node
                && !contact.addresses.is_empty()
                && !view.member.avoids(&contact.node, self.now)
        };
        // Spread over all of them, and for one member the same each time.
        let spread = |contact: &&Contact| {
            let bytes = contact.node.0.iter().zip(view.member.node.0);
            bytes.map(|(a, b)| a ^ b).take(8).fold(0_u64, |of, byte| of << 8 | u64::from(byte))
        };
        others.filter(apart).min_by_key(spread).cloned()
    }

    fn with_view<T>(&self, node: &NodeId, see: impl FnOnce(&View<'_>) -> T) -> Option<T> {
        let directory = &self.region.as_ref()?.directory;
        let slot = directory.slot(node)?;
        let co_root = self.acting.as_ref().and_then(|acting| acting.co_root);
        let co_root = co_root.and_then(|node| directory.slot(&node));
        let member = directory.at(slot)?;
        Some(see(&View { directory, slot, member, co_root, keeps_children: member.is_relay(), now: self.now }))
    }

    /// Whether one more member could be fed by anyone. One that feeds nobody may not take the last slot: the next one
    /// that does could then not come in, and the room not grow.
    pub(crate) fn any_slot_free(&self, relays: bool) -> bool {
        let Some(region) = &self.region else { return false };
        region.directory.has_slots_in_sight(u32::from(!relays))
    }

    /// Offers a member candidates to measure: landmarks to one that does not know where it is, else the best and one at random.
    pub(crate) fn offer_candidates(&mut self, node: NodeId) {
        self.admit_newcomers();
        let random = self.rng.next_u32() as usize;
        let Some(contacts) = self.with_view(&node, |view| {
            let mut chosen: Vec<Slot> = if view.member.at.is_some() {
                let open = view.open(OFFERED + 4);
                let mut chosen: Vec<Slot> = view.ways(&open).map(|way| way.parent).into_iter().collect();
                chosen.extend(
                    open.iter()
                        .map(|(_, slot)| *slot)
                        .filter(|slot| !chosen.contains(slot))
                        .take(OFFERED - 2)
                        .collect::<Vec<_>>(),
                );
                let others: Vec<Slot> =
                    open.iter().map(|(_, slot)| *slot).filter(|slot| !chosen.contains(slot)).collect();
                chosen.extend(others.get(random % others.len().max(1)));
                chosen
            } else {
                let mut chosen = view.directory.landmarks(random, CANDIDATES_MAX - 1);
                chosen.retain(|slot| *slot != Slot::SELF && *slot != view.slot);
                chosen.push(Slot::SELF);
                chosen
            };
            chosen.truncate(CANDIDATES_MAX);
            chosen.iter().filter_map(|slot| view.contact(*slot)).collect::<Vec<_>>()
        }) else {
            return;
        };
        let now = self.now;
        let round = self.change_member(&node, |member| {
            member.round = member.round.wrapping_add(1);
            member.offered_at = Some(now);
            member.round
        });
        if let Some(round) = round {
            self.send(node, &Control::Offer { round, candidates: List::truncated(contacts) });
        }
    }

    pub(crate) fn measured(&mut self, from: NodeId, round: u32, trips: &[(NodeId, Option<u16>)]) {
        if self.region.is_none() {
            return self.offended(from, Offence::OutOfRole);
        }
        let now = self.now;
        let answered = self.change_member(&from, |member| {
            let answers = member.round == round && member.offered_at.take().is_some();
            if answers {
                for (node, trip) in trips {
                    member.trips.retain(|(of, _)| of != node);
                    member.trips.push((*node, *trip));
                    if trip.is_none() {
                        member.avoid(*node, now, now.after(UNREACHABLE), false);
                    }
                }
                let excess = member.trips.len().saturating_sub(TRIPS_MAX);
                member.trips.drain(..excess);
            }
            (answers, member.at.is_none(), member.gain_seen.is_some())
        });
        let Some((true, newcomer, moves)) = answered else { return };
        let silent: Vec<NodeId> = trips.iter().filter(|(_, trip)| trip.is_none()).map(|(node, _)| *node).collect();
        self.doubt(from, &silent);
        if newcomer && self.locate(from) && self.has_better_unmeasured(from) {
            return self.offer_candidates(from);
        }
        self.place(from, moves);
    }

    /// Reckons where a newcomer is from what it measured.
    fn locate(&mut self, node: NodeId) -> bool {
        let Some(region) = &self.region else { return false };
        let Some(member) = region.directory.get(&node) else { return false };
        let sample = |(of, trip): &(NodeId, Option<u16>)| {
            let at = region.directory.get(of)?.at?;
            Some((Duration::from_millis(u64::from((*trip)?.max(1))), at))
        };
        let samples: Vec<_> = member.trips.iter().filter_map(sample).collect();
        let Some(found) = Coordinate::locate(&samples, &mut self.rng) else { return false };
        self.change_member(&node, |member| member.at = Some(found));
        true
    }

    /// Whether the best place by coordinates is with a member that was not measured.
    fn has_better_unmeasured(&self, node: NodeId) -> bool {
        let unmeasured = |view: &View<'_>| {
            let best = view.ways(&view.open(1))?;
            let parent = view.directory.at(best.parent)?;
            Some(!view.member.trips.iter().any(|(of, _)| *of == parent.node))
        };
        self.with_view(&node, unmeasured).flatten().unwrap_or(false)
    }

    /// Places a member that asks, now; those that did not work out for it are not proposed again.
    pub(crate) fn seek_request(&mut self, from: NodeId, failed: &[NodeId], review: bool) {
        if self.region.is_none() {
            return self.offended(from, Offence::OutOfRole);
        }
        let (me, now) = (self.me, self.now);
        let fed: Vec<NodeId> = failed.iter().copied().filter(|node| self.feeds_in_view(node, &from)).collect();
        if self
            .change_member(&from, |member| {
                for node in failed.iter().filter(|node| **node != me) {
                    member.avoid(*node, now, now.after(FAILED), fed.contains(node));
                }
            })
            .is_none()
        {
            // It was handed over, and does not know it yet.
            return self.send_on(from);
        }
        self.doubt(from, failed);
        self.hear_complaints(from, failed);
        self.forget_failed_feeds(from, failed);
        if review {
            return self.review(from);
        }
        // Who is fed by nobody hears of no change either: a co-root that was cut off may be none any more.
        let parent = self.region.as_ref().and_then(|region| region.directory.get(&from)?.parent());
        if parent.is_none() {
            self.send_state(from);
        }
        self.place(from, false);
    }

    /// Sends one that is not of this region any more to who leads it now, as far as that is known.
    pub(crate) fn send_on(&mut self, node: NodeId) {
        let leaders = self.moved_to(&node).map_or_else(|| self.other_leaders(), |hub| vec![hub]);
        if !leaders.is_empty() {
            self.redirect(node, leaders, false);
        }
    }

    /// Whether one member feeds another, as far as the registry was told: a placement alone is not enough.
    pub(super) fn feeds_in_view(&self, node: &NodeId, child: &NodeId) -> bool {
        let Some(directory) = self.region.as_ref().map(|region| &region.directory) else { return false };
        let Some(slot) = directory.slot(node) else { return false };
        let fed = |of: &Member| of.placed_at.is_none() && of.parent() == Some(slot);
        directory.get(child).is_some_and(fed)
    }

    /// A member says that what it was placed with did not work.
    fn hear_complaints(&mut self, from: NodeId, failed: &[NodeId]) {
        let now = self.now;
        let Some(region) = &mut self.region else { return };
        let directory = &mut region.directory;
        let parent = directory.get(&from).and_then(Member::parent);
        let said = directory.get(&from).and_then(|member| member.said_parent);
        // One that never fed it may have had no slot, which is no fault.
        let lost = failed.iter().filter(|node| said == Some(node.tag())).filter_map(|node| directory.slot(node));
        let lost = lost.into_iter().find(|slot| Some(*slot) == parent);
        let Some(lost) = lost else { return };
        directory.complain(from, lost, now);
        directory.change(&from, now, |member| member.cut(now));
    }

    fn forget_failed_feeds(&mut self, node: NodeId, failed: &[NodeId]) {
        let now = self.now;
        let Some(region) = &mut self.region else { return };
        let directory = &mut region.directory;
        let Some(slot) = directory.slot(&node) else { return };
        let failed: Vec<Slot> = failed.iter().filter_map(|node| directory.slot(node)).collect();
        if directory.at(slot).and_then(Member::parent).is_some_and(|parent| failed.contains(&parent)) {
            directory.set_parent(slot, None, now);
        }
        if directory.at(slot).and_then(Member::standby).is_some_and(|standby| failed.contains(&standby)) {
            directory.set_standby(slot, None, now);
        }
    }

    /// Looks whether there is a better place for a member. It moves once a gain was seen twice, and by measurement.
    fn review(&mut self, node: NodeId) {
        if self.sees_gain(&node) { self.offer_candidates(node) } else { self.place(node, false) }
    }

    /// Whether there is a better place for a member, and was some time ago already.
    fn sees_gain(&mut self, node: &NodeId) -> bool {
        let now = self.now;
        let gains = self.with_view(node, |view| view.gain().is_some()).unwrap_or(false);
        let seen = self.change_member(node, |member| {
            let seen = member.gain_seen.filter(|at| now.since(*at) < CONFIRM_MAX);
            member.gain_seen = if gains { Some(seen.unwrap_or(now)) } else { None };
            member.reviews = if gains { 0 } else { member.reviews.saturating_add(1) };
            seen
        });
        let confirmed = seen.flatten().is_some_and(|at| now.since(at) >= Duration::from_secs(u64::from(CONFIRM_S) - 1));
        gains && confirmed
    }

    /// Looks at a member's place again, although it has not asked, and calls it where there is a better one.
    fn review_due(&mut self, node: NodeId, paged: &mut Paged) {
        let Some(member) = self.region.as_ref().and_then(|region| region.directory.get(&node)) else { return };
        // A root stays where it is.
        let is_root = self.state.head().is_some_and(|state| state.co_root == Some(node));
        let settled = member.placed_at.is_none() && member.offered_at.is_none() && member.is_there() && !is_root;
        // It is fed by somebody who is not of this region.
        let strays = member.parent().is_none();
        // A hub's own children, which it had before it led, may have standbys yet that die with it.
        let has_standby_inside =
            member.parent() == Some(Slot::SELF) && member.standby().is_some() && self.hub().is_some();
        let calls = settled && (self.sees_gain(&node) || strays);
        let after_s = self.with_view(&node, |view| if calls { CALL_AGAIN_S } else { self.review_s(view) });
        self.review_after(&node, after_s.unwrap_or(REVIEW_S));
        if !calls {
            if settled && has_standby_inside {
                self.place(node, false);
            }
            return;
        }
        match self.links.is_up(&node) {
            true if strays => self.place(node, false),
            true => self.offer_candidates(node),
            false if !self.page(&node, paged) => self.review_after(&node, TURN_S),
            false => {}
        }
    }

    fn review_after(&mut self, node: &NodeId, after_s: u16) {
        let at = self.now.after(Duration::from_secs(after_s.into()));
        self.change_member(node, |member| member.review_at = Some(at));
    }

    /// Assigns parent, standby and spares; where no slot is free the member keeps asking.
    pub(crate) fn place(&mut self, node: NodeId, moves: bool) {
        self.admit_newcomers();
        let now = self.now;
        let Some(Some((placement, choice, slot))) = self.with_view(&node, |view| {
            let choice = view.choose(moves).or_else(|| {
                // None of those that come before it has a slot: without its children it can be fed by anyone.
                let cut = view.keeps_children && view.member.parent().is_none();
                cut.then(|| View { keeps_children: false, ..*view }.choose(moves))?
            })?;
            Some((self.placement_of(view, &choice)?, choice, view.slot))
        }) else {
            return self.send_to_other_region(node);
        };
        let Some(region) = &mut self.region else { return };
        let directory = &mut region.directory;
        let reviewed = directory.change(&node, now, |member| {
            let moved = member.parent() != Some(choice.parent);
            member.counter = placement.counter;
            member.delay_us = choice.delay_us;
            if moved || member.placed_at.is_some() {
                member.placed_at = Some(now);
            }
            if moved {
                member.gain_seen = None;
                member.reviews = 0;
            }
            if !member.is_relay() {
                member.rank = placement.rank;
            }
            !moved && member.review_at.is_some()
        });
        directory.set_parent(slot, Some(choice.parent), now);
        directory.set_standby(slot, choice.standby, now);
        directory.note_given(slot, Some(choice.parent));
        directory.note_given(slot, choice.standby);
        if let Some(leaf) = choice.adopts {
            directory.set_parent(leaf, Some(slot), now);
            directory.note_given(leaf, Some(slot));
        }
        directory.index(slot, now);
        if reviewed == Some(false) {
            let after_s = self.with_view(&node, |view| self.review_s(view));
            self.review_after(&node, after_s.unwrap_or(REVIEW_S));
        }
        self.send(node, &Control::Placement(Box::new(placement)));
    }

    /// No slot of this region is free for a member that is fed by nobody: another region may have one.
    fn send_to_other_region(&mut self, node: NodeId) {
        let now = self.now;
        let Some(member) = self.region.as_ref().and_then(|region| region.directory.get(&node)) else { return };
        let lately = member.sent_on.is_some_and(|at| now.since(at) < SENT_ON);
        let stays = member.direct || member.leads || member.hand.is_some() || !self.links.is_up(&node);
        if lately || stays || member.parent().is_some() || self.state.stage().get(&node).is_some() {
            return;
        }
        let leaders = self.other_leaders();
        if !leaders.is_empty() {
            self.change_member(&node, |member| member.sent_on = Some(now));
            self.redirect(node, leaders, false);
        }
    }

    fn placement_of(&self, view: &View<'_>, choice: &Choice) -> Option<Placement> {
        let node_of = |slot: Slot| view.directory.at(slot).map(|of| of.node);
        Some(Placement {
            counter: view.member.counter.saturating_add(1),
            rank: choice.rank,
            parent: view.contact(choice.parent)?,
            adopts: choice.adopts.and_then(node_of),
            standby: self
                .standby_outside(view, choice.parent)
                .or_else(|| choice.standby.and_then(|standby| view.contact(standby))),
            spares: List::truncated(choice.spares.iter().filter_map(|slot| view.contact(*slot))),
            position: view.member.at.unwrap_or_default().to_wire(),
            review_s: self.review_s(view),
        })
    }

    /// When a member's place is to be looked at again.
    fn review_s(&self, view: &View<'_>) -> u16 {
        let member = view.member;
        if member.gain_seen.is_some() {
            return CONFIRM_S;
        }
        let probation = view.directory.probation().saturating_sub(view.now.since(member.joined));
        if member.is_capable() && !probation.is_zero() {
            return u16::try_from(probation.as_secs()).unwrap_or(u16::MAX).saturating_add(1);
        }
        REVIEW_S.saturating_mul(1 << member.reviews.min(8)).min(REVIEW_MAX_S)
    }

    /// Lets those feed others whose probation is over, which spare slots that run out may end at any time.
    fn admit_newcomers(&mut self) {
        let now = self.now;
        if let Some(region) = &mut self.region {
            region.directory.admit_newcomers(now);
        }
    }

    /// Frees slots that were reserved and never taken, places those that did not answer an offer, forgets who is gone.
    pub(crate) fn keep_region(&mut self) {
        let now = self.now;
        self.settle_doubts();
        let Some(region) = &mut self.region else { return };
        region.directory.age(now);
        let (mut unplaced, mut silent, mut gone, mut due) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for slot in region.directory.overdue(now) {
            let Some(member) = region.directory.at(slot) else { continue };
            if member.placed_at.is_some_and(|at| now.since(at) > RESERVED) {
                unplaced.push(member.node);
            }
            if member.offered_at.is_some_and(|at| now.since(at) > ANSWER) {
                silent.push(member.node);
            }
            if member.review_at.is_some_and(|at| at <= now) {
                due.push(member.node);
            }
            match member.presence {
                Presence::Lost(at) if now.since(at) >= super::LOST => gone.push(member.node),
                Presence::InTree(at) if now.since(at) >= super::SILENT => gone.push(member.node),
                _ => {}
            }
        }
        for node in unplaced {
            region.directory.change(&node, now, |member| member.placed_at = None);
            if let Some(slot) = region.directory.slot(&node) {
                region.directory.set_parent(slot, None, now);
                region.directory.set_standby(slot, None, now);
            }
        }
        for node in silent {
            self.change_member(&node, |member| member.offered_at = None);
            self.place(node, false);
        }
        for node in gone {
            self.forget_member(node, false);
        }
        let mut paged = Paged::default();
        for node in due {
            self.review_due(node, &mut paged);
        }
    }

    /// Changes a member of the region, if there is such.
    pub(crate) fn change_member<T>(&mut self, node: &NodeId, change: impl FnOnce(&mut Member) -> T) -> Option<T> {
        let now = self.now;
        let directory = &mut self.region.as_mut()?.directory;
        if !directory.contains(node) {
            return None;
        }
        directory.change(node, now, change)
    }
}
