//! Finding feeds: placements by the host, spare members, the host again.
//!
//! Every change is made before the old feed is broken, and every request says what this member already has, so that the
//! new feed goes on from there.

use core::time::Duration;

use treehouse_wire::{
    Contact, Control, List, NodeId, Suite,
    control::{Adoption, Decline, Placement, Positions, Purpose, Rank, Subscribe, Tick},
};

use crate::{
    api::Suspicion,
    config::Protection,
    coordinates::Coordinate,
    feeds::{Aim, Brought, FEEDS_MAX, Feed, Phase},
    room::Room,
    time::Instant,
};

/// The host is asked for a place this often at most.
const SEEK: Duration = Duration::from_secs(1);
/// And this often while nothing carries.
const SEEK_URGENT: Duration = Duration::from_millis(250);
/// And this often for a better standby, doubling up to [`SEEK_STANDBY_MAX_S`].
const SEEK_STANDBY_S: u8 = 4;
const SEEK_STANDBY_MAX_S: u8 = 64;
/// While nothing carries, a hub that answers nothing for this long is not waited for any longer.
const UNANSWERED: Duration = Duration::from_millis(500);
/// A member to which a link takes longer than this is not to be proposed again.
const SLOW: Duration = Duration::from_millis(600);
/// A member that did not work out is not tried again for this long.
const FAILED: Duration = Duration::from_secs(10);

/// Where no other is left, and no registry to name one, for this long only.
const FAILED_ALL: Duration = Duration::from_secs(2);

/// Delay from the root from which on a member listens twice under `relays`, in milliseconds: 250 up to a thousand members, and more with each
/// time that a room doubles beyond, since its tree gets deeper. A standby that carries for this goes back a little below.
const LATE_MS: u32 = 250;
const LATE_MS_A_DOUBLING: u32 = 15;
const LATE_MEMBERS_LOG2: u32 = 9;
const LATE_MS_BACK: u32 = 30;

/// A member that did not work out as a feed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failed {
    node: NodeId,
    at: Instant,
    /// It has answered that it does not feed this member: it is there, and may still be asked for other things.
    pub(crate) answered: bool,
}

impl<S: Suite> Room<S> {
    pub(crate) fn placement(&mut self, placement: Placement) {
        if placement.counter <= self.placed {
            return;
        }
        self.placed = placement.counter;
        self.rank_wanted = Some(placement.rank);
        self.apply_rank();
        self.feeds.spares = placement.spares.into_vec();
        if !self.coordinate.is_known() {
            self.coordinate = Coordinate::from_wire(&placement.position);
        }
        self.review_at = Some(self.now.after(Duration::from_secs(placement.review_s.max(1).into())));
        let addresses = List::truncated(self.addresses.iter().cloned());
        let adopts = placement.adopts.map(|leaf| (placement.parent.node, Adoption { leaf, addresses }));
        self.adopting = adopts.map(Box::new);
        self.scatter_if_cut(placement.rank);
        let parent = placement.parent.node;
        self.give_up_attempts(&parent);
        self.establish(placement.parent, Aim::Primary);
        if let Some(standby) = placement.standby.filter(|standby| standby.node != parent) {
            // A standby that is sound stays: a new one would only cost both ends work. Unless it lives on the parent.
            let (parent, below) = (parent.tag(), standby.node);
            let apart = |feed: &Feed| feed.is_sound() && (feed.node() == below || !feed.path.contains(&parent));
            if !self.feeds.standby().is_some_and(apart) {
                self.establish(standby, Aim::Standby);
            }
        }
        self.arm_feeds();
    }

    /// What was tried by an older placement is not tried further.
    fn give_up_attempts(&mut self, parent: &NodeId) {
        let tried = |feed: &&Feed| feed.aim == Aim::Primary && !feed.is_live() && feed.node() != *parent;
        for node in self.feeds.all.iter().filter(tried).map(Feed::node).collect::<Vec<_>>() {
            self.release(node);
        }
    }

    /// Goes by the rank that the host assigned as soon as that keeps the order: always for a leaf; for a relay where it
    /// comes earlier than before, so that its children stay later, and still later than its feeds.
    pub(crate) fn apply_rank(&mut self) {
        let Some(wanted) = self.rank_wanted else { return };
        let earlier = wanted < self.rank && self.feeds.rank_max().is_none_or(|feed| feed < wanted);
        if wanted != self.rank && (self.children.is_empty() || earlier) {
            self.rank = wanted;
            self.status_due = true;
        }
        if wanted == self.rank || !self.children.is_empty() && wanted > self.rank {
            self.rank_wanted = None;
        }
    }

    /// Whether a feed of this rank keeps the order: a relay's feeds come earlier than itself, a leaf may take any.
    fn keeps_order(&self, rank: Rank) -> bool {
        self.children.is_empty() || rank < self.rank
    }

    /// Asks a member for a feed, connecting to it first where that is needed.
    pub(crate) fn establish(&mut self, contact: Contact, aim: Aim) {
        let (node, now) = (contact.node, self.now);
        if node == self.me || self.links.is_shunned(&node, now) {
            return;
        }
        if let Some(feed) = self.feeds.get_mut(&node) {
            feed.aim = feed.aim.min(aim);
            let (aim, live, asked) = (feed.aim, feed.is_live(), feed.purpose);
            let purpose = self.purpose_of(aim);
            if live && asked != purpose {
                self.subscribe(node, purpose);
            }
            return;
        }
        if self.feeds.all.len() >= FEEDS_MAX {
            self.make_room(aim);
        }
        self.feeds.add(node, aim, now);
        if self.links.is_up(&node) {
            let purpose = self.purpose_of(aim);
            self.subscribe(node, purpose);
        } else {
            self.dial(&contact);
        }
        self.arm_feeds();
    }

    /// Lets the feed go that is worth least: one that is only asked for, else one that is suspect.
    fn make_room(&mut self, aim: Aim) {
        let spare = self.feeds.all.iter().filter(|feed| !feed.carries() || feed.aim > aim);
        if let Some(node) = spare.max_by_key(|feed| (!feed.is_live(), feed.suspect.is_some(), feed.aim)).map(Feed::node)
        {
            self.release(node);
        }
    }

    /// Sends `Subscribe`: for a new feed or for another purpose of one that is there.
    pub(crate) fn subscribe(&mut self, node: NodeId, purpose: Purpose) {
        let Some(held) = &self.certificate else { return };
        let (certificate, lease) = (held.statement.clone(), held.lease.as_deref().cloned());
        let from: Positions = self.voices.positions(self.state.stage(), self.is_newcomer());
        let relay = (!self.children.is_empty()).then_some(self.rank);
        let replay = !from.is_empty() && purpose != Purpose::IdleStandby;
        let now = self.now;
        if let Some(feed) = self.feeds.get_mut(&node) {
            feed.asked(purpose, now);
        }
        if let Some(link) = self.links.get(&node) {
            link.unsolicited = None;
        }
        let adopting = self.adopting.take_if(|adopting| adopting.0 == node && purpose == Purpose::Primary);
        let adopts = adopting.map(|adopting| adopting.1);
        let request = Subscribe { certificate, lease, purpose, relay, adopts, replay, from };
        self.send(node, &Control::Subscribe(Box::new(request)));
    }

    pub(crate) fn purpose_of(&self, aim: Aim) -> Purpose {
        match aim {
            Aim::Primary => Purpose::Primary,
            Aim::Standby if self.cut_since.is_some() => Purpose::LiveStandby,
            Aim::Standby => self.standby_purpose(),
            Aim::Provisional => Purpose::Provisional,
        }
    }

    /// What the room's protection asks of this member's standby.
    pub(crate) fn standby_purpose(&self) -> Purpose {
        let live = match self.state.head().map(|state| state.protection) {
            Some(Protection::All) => true,
            Some(Protection::Relays) => {
                !self.children.is_empty() || self.feeds.are_restless(self.now) || self.hears_late()
            }
            Some(Protection::Off) | None => false,
        };
        if live { Purpose::LiveStandby } else { Purpose::IdleStandby }
    }

    /// Whether sound takes longer to this member than to most: one in ten or twenty. What two feeds bring is as early as the earlier.
    fn hears_late(&self) -> bool {
        let doublings = self.members.max(1).ilog2().saturating_sub(LATE_MEMBERS_LOG2);
        let late_ms = LATE_MS + LATE_MS_A_DOUBLING * doublings;
        let twice = self.feeds.standby().is_some_and(|feed| feed.purpose == Purpose::LiveStandby);
        u32::from(self.delay_ms()) > if twice { late_ms - LATE_MS_BACK } else { late_ms }
    }

    pub(crate) fn subscribed(&mut self, from: NodeId, purpose: Purpose, tick: Tick) {
        let now = self.now;
        if purpose == Purpose::Stage {
            return;
        }
        // A late answer to a request that was given up: say so, or the parent keeps a slot for it.
        if self.feeds.get(&from).is_none() {
            return self.end_feeds(from);
        }
        // Both have asked each other, and both have granted: the one that comes first in the order feeds the other.
        if self.children.contains(&from) {
            if (self.rank, self.me) < (tick.rank, from) {
                return self.feed_declined(from);
            }
            self.child_gone(from);
        }
        let Some(feed) = self.feeds.get_mut(&from) else { return };
        if feed.phase != Phase::Live {
            feed.phase = Phase::Live;
            feed.since = now;
            feed.expect_from(now);
        }
        if purpose == Purpose::Provisional && feed.purpose != Purpose::Provisional {
            // All that it has for now: something else is found meanwhile.
            (feed.purpose, feed.aim, feed.since) = (purpose, Aim::Provisional, now);
        }
        if purpose == Purpose::IdleStandby && feed.purpose == Purpose::LiveStandby {
            (feed.purpose, feed.gives_less) = (purpose, true);
        }
        self.learn_tick(from, tick);
        let Some((aim, asked)) = self.feeds.get(&from).map(|feed| (feed.aim, feed.purpose)) else { return };
        if aim == Aim::Primary {
            self.supersede(from);
            // It may have been asked as a standby, and become the parent while the answer was under way.
            if asked != Purpose::Primary {
                self.subscribe(from, Purpose::Primary);
            }
        }
        self.ping_feed(from);
        self.see_repaired();
        self.refill();
        self.arm_feeds();
        self.status_due = true;
    }

    /// Makes a new parent the only one: what carried until now is let go, or kept as the standby.
    fn supersede(&mut self, parent: NodeId) {
        let others: Vec<NodeId> = self
            .feeds
            .all
            .iter()
            .filter(|feed| feed.node() != parent && feed.aim != Aim::Standby)
            .map(Feed::node)
            .collect();
        for node in others {
            self.release(node);
        }
    }

    /// The parent has given this member's slot to a relay, which feeds it from now on; or it names itself, since it has too many
    /// children, and this member is to find another feed.
    pub(crate) fn moved(&mut self, from: NodeId, contact: Contact) {
        if contact.node == from {
            return self.crowded(from);
        }
        if self.feeds.get(&from).is_some_and(|feed| feed.is_live() && feed.aim == Aim::Primary) {
            self.establish(contact, Aim::Primary);
        }
    }

    /// A feed asks to be let go. A standby is, while the parent carries; a parent once there is another.
    fn crowded(&mut self, from: NodeId) {
        let parent_carries = self.feeds.parent().is_some_and(|feed| feed.carries());
        let Some(feed) = self.feeds.get_mut(&from).filter(|feed| feed.is_live()) else { return };
        match feed.aim {
            Aim::Primary => {
                feed.crowded = true;
                self.refill();
            }
            Aim::Standby if parent_carries => self.feed_declined(from),
            Aim::Standby | Aim::Provisional => {}
        }
    }

    pub(crate) fn declined(&mut self, from: NodeId, purpose: Purpose, _reason: Decline) {
        if purpose == Purpose::Stage {
            return self.stage_declined(from);
        }
        let Some(feed) = self.feeds.get_mut(&from) else { return };
        if feed.aim == Aim::Provisional {
            return self.drop_feed(from);
        }
        self.feed_declined(from);
        self.arm_feeds();
    }

    pub(crate) fn tick(&mut self, from: NodeId, tick: Tick) {
        if self.feeds.get(&from).is_none_or(|feed| !feed.is_live()) {
            return;
        }
        self.learn_tick(from, tick);
        self.heard(from, Brought::Tick);
    }

    fn learn_tick(&mut self, from: NodeId, tick: Tick) {
        let (now, me) = (self.now, self.me.tag());
        let loops = tick.path.contains(&me) || tick.path.last() != Some(&from.tag());
        if loops {
            return self.feed_failed(from);
        }
        if !self.keeps_order(tick.rank) {
            return self.feed_disordered(from);
        }
        let (members, state) = (tick.members, tick.state);
        if let Some(feed) = self.feeds.get_mut(&from) {
            let repairing = feed.repairing.is_some();
            feed.learn(tick, now);
            if repairing && feed.repairing.is_none() && matches!(feed.suspect, Some((_, Suspicion::Repairing))) {
                feed.suspect = None;
                feed.calm = now;
            }
            if feed.repairing.is_some() && !repairing {
                self.arm_feeds();
                self.forget_accounts();
            }
        }
        self.follow_rank(from);
        self.learn_members(members);
        self.learn_state_id(from, state);
        self.apply_rank();
    }

    /// A leaf comes right behind its parent in the order, wherever that is, so that it can take children.
    fn follow_rank(&mut self, from: NodeId) {
        if !self.children.is_empty() || self.is_root() || self.rank_wanted.is_some() {
            return;
        }
        let parent = self.feeds.get(&from).filter(|feed| feed.is_live() && feed.aim == Aim::Primary);
        let Some(depth) = parent.map(|feed| feed.rank.depth.saturating_add(1)) else { return };
        if self.rank.depth != depth {
            self.rank.depth = depth;
            self.status_due = true;
        }
    }

    /// Makes sure that there is a parent and a standby, or that somebody was asked for one.
    pub(crate) fn refill(&mut self) {
        if !self.is_in() || self.is_host() {
            return;
        }
        let primary = self.feeds.with_aim(Aim::Primary);
        // A parent that leaves feeds on for a moment: time to find the best other one, not just any.
        let leaves = primary.is_some_and(|feed| feed.crowded || matches!(feed.suspect, Some((_, Suspicion::Leaving))));
        let primary = primary.map(|feed| (feed.is_live(), feed.suspect.is_some()));
        let asked = self.feeds.all.iter().any(|feed| feed.aim == Aim::Primary && !feed.is_live());
        // And a provisional feed ends soon.
        let waits = self.placed > 0 && self.feeds.any_carries() && !self.feeds.are_settled();
        if leaves && !asked || waits {
            self.seek();
        }
        if primary.is_none() && !self.promote_standby() && !self.try_spare(Aim::Primary) {
            // Before the first placement the host is on its way to make one.
            if self.placed > 0 {
                self.seek();
            }
        }
        let has_standby = self.feeds.with_aim(Aim::Standby).is_some();
        if matches!(primary, Some((true, false))) && !has_standby && !self.is_root() && !self.try_spare(Aim::Standby) {
            self.seek_standby();
        }
    }

    fn promote_standby(&mut self) -> bool {
        let standby = self.feeds.all.iter().find(|feed| feed.aim == Aim::Standby && feed.is_sound());
        let Some((node, less)) = standby.map(|feed| (feed.node(), feed.gives_less)) else { return false };
        if less {
            self.ask_refuge(node);
            return false;
        }
        if let Some(feed) = self.feeds.get_mut(&node) {
            feed.aim = Aim::Primary;
        }
        self.subscribe(node, Purpose::Primary);
        self.sought_standby = None;
        self.status_due = true;
        true
    }

    /// Asks a standby that has no slot to feed this member for a moment, while it finds something else.
    pub(crate) fn ask_refuge(&mut self, node: NodeId) {
        if let Some(feed) = self.feeds.get_mut(&node) {
            (feed.aim, feed.since) = (Aim::Provisional, self.now);
        }
        self.subscribe(node, Purpose::Provisional);
    }

    /// Asks the next spare member; false where there is none.
    pub(crate) fn try_spare(&mut self, aim: Aim) -> bool {
        while let Some(contact) = (!self.feeds.spares.is_empty()).then(|| self.feeds.spares.remove(0)) {
            if self.feeds.get(&contact.node).is_none() && !self.has_failed(&contact.node) && contact.node != self.me {
                self.establish(contact, aim);
                return true;
            }
        }
        false
    }

    /// While nothing carries and the registry cannot be asked, any member that this one is linked to may have a slot; false where
    /// there is none to try.
    pub(crate) fn try_linked(&mut self) -> bool {
        let waits = self.cut_since.is_some_and(|since| self.now.since(since) >= UNANSWERED);
        if !waits || self.links.is_up(&self.registry()) {
            return false;
        }
        // One after another: each may decline at once.
        let now = self.now;
        if self.sought.is_some_and(|at| now.since(at) < SEEK_URGENT) {
            return true;
        }
        // Where all of them have failed, the one whose failure is the longest ago: it may have a slot by now, and nobody else can be
        // asked.
        let failed_at = |node: &NodeId| self.failed.iter().find(|of| of.node == *node).map(|of| of.at);
        let rested = |node: &NodeId| failed_at(node).is_none_or(|at| now.since(at) >= FAILED_ALL);
        let fits = |node: &NodeId| self.feeds.get(node).is_none() && !self.children.contains(node) && rested(node);
        let Some(node) = self.links.up.nodes().filter(fits).min_by_key(failed_at) else { return false };
        self.sought = Some(now);
        self.establish(Contact { node, addresses: List::default() }, Aim::Standby);
        true
    }

    pub(crate) fn note_failed(&mut self, node: NodeId, answered: bool) {
        let now = self.now;
        self.failed.retain(|of| of.node != node && now.since(of.at) < FAILED);
        if self.failed.len() >= treehouse_wire::limits::CANDIDATES_MAX {
            self.failed.remove(0);
        }
        self.failed.push(Failed { node, at: now, answered });
        self.feeds.spares.retain(|spare| spare.node != node);
        self.status_due = true;
    }

    /// Once a second: those that may be tried again, and the space for them.
    pub(crate) fn forget_failed(&mut self) {
        let now = self.now;
        if !self.failed.is_empty() {
            self.failed.retain(|of| now.since(of.at) < FAILED);
            self.failed.shrink_to_fit();
        }
    }

    /// When the next of those may be tried again.
    pub(crate) fn failed_due(&self) -> Option<Instant> {
        self.failed.iter().map(|of| of.at.after(FAILED)).min()
    }

    fn has_failed(&self, node: &NodeId) -> bool {
        self.failed.iter().any(|of| of.node == *node && self.now.since(of.at) < FAILED)
    }

    /// Whether a member has failed as a feed without a word, and may be gone.
    pub(crate) fn is_lost(&self, node: &NodeId) -> bool {
        self.failed.iter().any(|of| of.node == *node && !of.answered && self.now.since(of.at) < FAILED)
    }

    /// Asks the host for a place, at once but not all the time.
    pub(crate) fn seek(&mut self) {
        let now = self.now;
        let pause = if self.cut_since.is_some() { SEEK_URGENT } else { SEEK };
        if self.is_host() || self.sought.is_some_and(|at| now.since(at) < pause) {
            return;
        }
        let leader = self.registry();
        if self.has_hub() && (self.is_lost(&leader) || self.feeds.get(&leader).is_some_and(|of| of.suspect.is_some())) {
            // The hub itself is what was lost: the host knows another.
            self.leave_leader();
            self.host_link.closed = true;
        } else if self.is_unanswered() {
            self.go_by_host();
            self.host_link.closed = true;
        }
        if !self.links.is_up(&self.registry()) {
            return self.call_host();
        }
        self.sought = Some(now);
        let slow = |feed: &Feed| feed.phase == Phase::Linking && now.since(feed.since) >= SLOW;
        let unwanted = |feed: &&Feed| feed.suspect.is_some() || feed.crowded || slow(feed);
        let suspects = self.feeds.all.iter().filter(unwanted).map(Feed::node);
        let failed = self.failed.iter().rev().filter(|of| now.since(of.at) < FAILED).map(|of| of.node);
        let failed = List::truncated(suspects.chain(failed));
        self.send(self.registry(), &Control::Seek { failed, review: false });
        // Where there is no other place the registry hears that this member has one still, and is asked again once the parent asks.
        for feed in self.feeds.all.iter_mut().filter(|feed| feed.crowded) {
            feed.crowded = false;
            self.status_due = true;
        }
    }

    /// Whether this member hears nothing, and its hub, which is linked, has named nobody to try for a while: it is gone, or has no
    /// slot.
    fn is_unanswered(&self) -> bool {
        let waits = self.cut_since.is_some_and(|since| self.now.since(since) >= UNANSWERED);
        waits
            && self.has_hub()
            && self.links.is_up(&self.registry())
            && self.host_link.asked.is_none()
            && self.sought.is_some()
            && self.feeds.all.iter().all(Feed::is_live)
    }

    fn seek_standby(&mut self) {
        let now = self.now;
        if self.sought_standby.is_some_and(|(at, wait_s)| now.since(at) < Duration::from_secs(wait_s.into())) {
            return;
        }
        let wait_s = self.sought_standby.map_or(SEEK_STANDBY_S, |(_, wait_s)| (wait_s * 2).min(SEEK_STANDBY_MAX_S));
        self.sought_standby = Some((now, wait_s));
        self.seek();
    }
}
