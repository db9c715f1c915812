//! The one routine that watches feeds, and what follows from a suspicion.
//!
//! Suspicion is cheap and accuses nobody: it only makes sure that another feed carries. A feed that stays suspect is let
//! go; one whose link is gone, that said goodbye or that forged is let go at once.

use core::time::Duration;

use treehouse_wire::{
    NodeId, Suite,
    control::{Purpose, Rank},
};

use crate::{
    api::{Event, Suspicion},
    feeds::{Aim, Brought, Feed, Phase},
    room::Room,
    time::Instant,
    timers::Timer,
};

/// A suspect feed that has not recovered after this is let go, and a second feed that is not needed any more too.
const RELEASE: Duration = Duration::from_secs(2);
/// How long a child holds still while its parent says that it is repairing.
const HOLD: Duration = Duration::from_millis(500);
/// A request for a feed fails after this; it is longer where another feed carries meanwhile.
const ASKED: Duration = Duration::from_secs(1);
/// A relay that has found no feed after this becomes a leaf.
const SCATTER: Duration = Duration::from_secs(2);
/// While nothing carries, this member looks for another feed this often.
const RETRY: Duration = Duration::from_millis(250);
/// Time to make a link while nothing else carries.
const LINKING_URGENT: Duration = Duration::from_millis(1500);
/// Time to make a link while something else carries.
const LINKING: Duration = Duration::from_secs(5);
/// A provisional feed is let go after this, and the parent counts on it.
pub(crate) const PROVISIONAL: Duration = Duration::from_secs(5);
/// Packets of a feed that was let go may be under way for this long.
const MEDIA_GRACE: Duration = Duration::from_secs(3);

/// What is to become of a feed.
enum Verdict {
    /// It did not work out.
    Failed,
    /// It has done what it was for.
    Spent,
    Suspect(Suspicion),
}

/// Looks at one feed; `None` where all is well, or where time will tell. `settled`: something carries that is not only
/// provisional.
fn verdict(feed: &Feed, settled: bool, is_restless: bool, now: Instant) -> Option<Verdict> {
    let age = now.since(feed.since);
    let linking = if settled { LINKING } else { LINKING_URGENT };
    match (feed.phase, feed.suspect) {
        (Phase::Linking, _) => (age >= linking).then_some(Verdict::Failed),
        (Phase::Asked, _) => (age >= ASKED).then_some(Verdict::Failed),
        (Phase::Live, _) if feed.aim == Aim::Provisional && age >= PROVISIONAL && settled => Some(Verdict::Spent),
        // Who keeps something back does not recover, nor who is late with all.
        (Phase::Live, Some((_, Suspicion::Withheld | Suspicion::Late | Suspicion::Missing))) if settled => {
            Some(Verdict::Failed)
        }
        (Phase::Live, Some((since, _))) => (now.since(since) >= RELEASE).then_some(Verdict::Failed),
        (Phase::Live, None) if now >= feed.silent_at(is_restless) => Some(Verdict::Suspect(Suspicion::Silent)),
        (Phase::Live, None) => {
            let held = feed.repairing.is_some_and(|since| now.since(since) >= HOLD);
            held.then_some(Verdict::Suspect(Suspicion::Repairing))
        }
    }
}

impl<S: Suite> Room<S> {
    /// Something came from a peer: its feed, if it is one, lives.
    pub(crate) fn heard(&mut self, from: NodeId, brought: Brought) {
        let now = self.now;
        let Some(feed) = self.feeds.hear(&from, brought, now) else { return };
        if matches!(feed.suspect, Some((_, Suspicion::Silent))) {
            feed.goes_on(brought, now);
        }
        self.see_repaired();
    }

    /// Ends the repair once a feed carries again.
    pub(crate) fn see_repaired(&mut self) {
        let Some(since) = self.cut_since else { return };
        if self.feeds.any_carries() {
            self.cut_since = None;
            self.event(Event::Repaired { after: self.now.since(since) });
            self.tick_children();
        }
    }

    /// Looks at every feed: the timer's work.
    pub(crate) fn watch_feeds(&mut self) {
        let now = self.now;
        let (settled, is_restless) = (self.feeds.are_settled(), self.feeds.are_restless(now));
        let found = |feed: &Feed| Some((feed.node(), verdict(feed, settled, is_restless, now)?));
        for (node, verdict) in self.feeds.all.iter().filter_map(found).collect::<Vec<_>>() {
            match verdict {
                Verdict::Failed => self.feed_failed(node),
                Verdict::Spent => self.release(node),
                Verdict::Suspect(reason) => self.suspect(node, reason),
            }
        }
        for (node, reason) in self.feeds.compare(now) {
            self.suspect(node, reason);
        }
        self.calm_standby();
        self.release_surplus();
        self.keep_repairing();
        self.refill();
        self.arm_feeds();
    }

    /// When this routine has to look again.
    pub(crate) fn arm_feeds(&mut self) {
        let (settled, is_restless) = (self.feeds.are_settled(), self.feeds.are_restless(self.now));
        let due = |feed: &Feed| match (feed.phase, feed.suspect) {
            (Phase::Linking, _) => feed.since.after(if settled { LINKING } else { LINKING_URGENT }),
            (Phase::Asked, _) => feed.since.after(ASKED),
            (Phase::Live, Some((_, Suspicion::Withheld | Suspicion::Late | Suspicion::Missing))) if settled => self.now,
            (Phase::Live, Some((since, _))) => since.after(RELEASE),
            (Phase::Live, None) if feed.aim == Aim::Provisional && settled => {
                feed.silent_at(is_restless).min(feed.since.after(PROVISIONAL))
            }
            (Phase::Live, None) => feed
                .repairing
                .map_or(feed.silent_at(is_restless), |since| feed.silent_at(is_restless).min(since.after(HOLD))),
        };
        let repair = self.cut_since.is_some().then(|| self.now.after(RETRY));
        let Some(at) = self.feeds.all.iter().map(due).chain(repair).min() else {
            return;
        };
        // Lazy: what was heard meanwhile does not move the timer, which costs a look now and then but nothing a packet. Never
        // now again: a deadline that this pass has handled must not spin.
        self.timers.arm_by(Timer::Feeds, at.max(self.now.after(Duration::from_millis(1))));
    }

    /// Doubts a feed: another has to carry, and this one has two seconds to recover.
    pub(crate) fn suspect(&mut self, node: NodeId, reason: Suspicion) {
        let now = self.now;
        let is_again =
            reason == Suspicion::Silent && self.feeds.is_silent_again(&node, now) && !self.have_beacons_stopped();
        let reason = if is_again { Suspicion::Missing } else { reason };
        let Some(feed) = self.feeds.get_mut(&node) else { return };
        if feed.suspect.is_some() || !feed.is_live() {
            return;
        }
        feed.suspect = Some((now, reason));
        let was_idle = feed.purpose == Purpose::IdleStandby;
        self.event(Event::Suspected { peer: node, reason });
        self.forget_accounts();
        self.note_cut(now);
        if !was_idle {
            self.make_standby_carry();
        }
        self.arm_feeds();
    }

    /// Tells the children to hold still where nothing carries any more.
    pub(crate) fn note_cut(&mut self, now: Instant) {
        if self.cut_since.is_none() && !self.is_root() && !self.feeds.any_carries() {
            self.cut_since = Some(now);
            self.tick_children();
        }
    }

    /// Subscribes a sound standby that is idle, or else tries a spare member.
    fn make_standby_carry(&mut self) {
        if self.feeds.any_carries() {
            return;
        }
        // Where the standby fails too the registry is needed, and the way to it takes a while.
        if self.is_in() && !self.is_host() && !self.links.is_up(&self.registry()) {
            self.call_host();
        }
        let idle = self.feeds.all.iter().find(|feed| feed.is_sound() && feed.purpose == Purpose::IdleStandby);
        if let Some((node, less)) = idle.map(|feed| (feed.node(), feed.gives_less)) {
            return if less { self.ask_refuge(node) } else { self.subscribe(node, Purpose::LiveStandby) };
        }
        // One that does not answer at once may be gone: another is tried beside it.
        let now = self.now;
        let trying = self.feeds.all.iter().any(|feed| !feed.is_live() && now.since(feed.since) < RETRY);
        if !trying && !self.try_spare(Aim::Standby) && !self.try_linked() {
            self.seek();
        }
    }

    /// While nothing carries, somebody is always being asked.
    fn keep_repairing(&mut self) {
        let Some(since) = self.cut_since.filter(|_| self.is_in() && !self.is_host()) else { return };
        if self.now.since(since) >= SCATTER {
            self.scatter();
        }
        self.make_standby_carry();
    }

    /// A registry answers while nothing carries: a relay whose children do not hold still any more becomes a leaf now, since
    /// as one it can be placed anywhere; and at once where it is placed later in the order than it is, for then nobody before
    /// it has a slot. Without an answer the children are better kept: nobody would place them either.
    pub(crate) fn scatter_if_cut(&mut self, placed: Rank) {
        let cut = self.cut_since.is_some_and(|since| placed > self.rank || self.now.since(since) >= HOLD);
        if cut && !self.children.is_empty() {
            self.scatter();
        }
    }

    /// Lets all children go: they hear nothing by this node anyway, and as a leaf it may be fed by anyone, where a relay
    /// can only be fed by the few that come before it in the order.
    fn scatter(&mut self) {
        let children = self.children.with_purpose(|_| true);
        if !children.is_empty() {
            // Who declined a relay for the order's sake may feed a leaf.
            self.failed.retain(|of| !of.answered);
        }
        for child in children {
            self.end_feeds(child);
            self.child_gone(child);
        }
    }

    /// A standby that was made to carry goes back to what the room's protection asks, once all is well.
    fn calm_standby(&mut self) {
        let now = self.now;
        let wanted = self.standby_purpose();
        let calm = self.feeds.parent().is_some_and(|feed| feed.carries() && now.since(feed.calm) >= RELEASE);
        let standby = self.feeds.standby().filter(|feed| feed.is_sound() && now.since(feed.calm) >= RELEASE);
        let other = |feed: &&Feed| feed.purpose != wanted && !feed.gives_less;
        let Some(node) = standby.filter(other).map(Feed::node) else { return };
        if calm || wanted == Purpose::LiveStandby {
            self.subscribe(node, wanted);
        }
    }

    /// One standby is enough once it has proved itself.
    fn release_surplus(&mut self) {
        let now = self.now;
        let Some(kept) = self.feeds.standby().filter(|feed| feed.is_sound()).map(Feed::node) else { return };
        let surplus = self.feeds.all.iter().filter(|feed| feed.is_live() && feed.aim == Aim::Standby);
        let old = |feed: &&Feed| now.since(feed.since) >= RELEASE;
        let surplus: Vec<NodeId> = surplus.filter(|feed| feed.node() != kept).filter(old).map(Feed::node).collect();
        for node in surplus {
            self.release(node);
        }
    }

    /// Lets a feed go that is not needed, and says so.
    pub(crate) fn release(&mut self, node: NodeId) {
        // One that this member feeds meanwhile declines, and would take an end of the request for the end of its own feed.
        let declines = self.children.contains(&node) && self.feeds.get(&node).is_some_and(|feed| !feed.is_live());
        if !declines {
            self.end_feeds(node);
        }
        self.drop_feed(node);
    }

    /// Lets a feed go that did not work out; it is not tried again soon.
    pub(crate) fn feed_failed(&mut self, node: NodeId) {
        self.note_failed(node, false);
        self.replace(node);
    }

    /// Lets a feed go that has said that it does not feed this member, or not any more.
    pub(crate) fn feed_declined(&mut self, node: NodeId) {
        self.note_failed(node, true);
        self.replace(node);
    }

    /// Lets a feed go that does not come before this member in the order. A standby may in a moment, where one of the two has only
    /// just been placed, so nothing is held against it.
    pub(crate) fn feed_disordered(&mut self, node: NodeId) {
        match self.feeds.get(&node).map(|feed| feed.aim) {
            Some(Aim::Standby) => self.replace(node),
            _ => self.feed_failed(node),
        }
    }

    fn replace(&mut self, node: NodeId) {
        self.release(node);
        self.refill();
        self.keep_repairing();
    }

    /// Forgets a feed.
    pub(crate) fn drop_feed(&mut self, node: NodeId) {
        self.feeds.all.retain(|feed| feed.node() != node);
        self.feeds.all.shrink_to_fit();
        let grace = self.now.after(MEDIA_GRACE);
        if let Some(link) = self.links.get(&node) {
            link.media_grace = grace;
        }
        self.note_cut(self.now);
    }

    pub(crate) fn feed_link_down(&mut self, node: NodeId) {
        if self.feeds.get(&node).is_some() {
            self.event(Event::Suspected { peer: node, reason: Suspicion::LinkDown });
            self.feed_failed(node);
        }
    }

    pub(crate) fn feed_unreachable(&mut self, node: NodeId) {
        if self.feeds.get(&node).is_some_and(|feed| feed.phase == Phase::Linking) {
            self.feed_failed(node);
        }
    }

    pub(crate) fn feed_forged(&mut self, node: NodeId) {
        if self.feeds.get(&node).is_some() {
            self.event(Event::Suspected { peer: node, reason: Suspicion::Forged });
            self.feed_failed(node);
        }
    }

    /// The feed said that it leaves. It feeds on for a moment, so another is found before it is let go.
    pub(crate) fn feed_leaving(&mut self, node: NodeId) {
        self.note_failed(node, false);
        self.suspect(node, Suspicion::Leaving);
        self.refill();
    }

    pub(crate) fn feeds_link_up(&mut self, peer: NodeId) {
        let Some(feed) = self.feeds.get(&peer).filter(|feed| feed.phase == Phase::Linking) else { return };
        let purpose = self.purpose_of(feed.aim);
        self.subscribe(peer, purpose);
    }
}
