//! A room whose regular traffic the driver computes.
//!
//! A room at rest sends ticks and pings, looks for silence and does its chores once a second, all of which changes nothing
//! while nothing happens. A simulator of a million rooms computes the outcome of that traffic instead (sweeps over arrays, as in
//! "flow-level" network simulation: Liu et al., "A study of packet-level and flow-level simulation", 2001) and tells a room only
//! what it came to: [`Input::FeedSilent`](crate::Input::FeedSilent), [`Input::FeedHeard`](crate::Input::FeedHeard). What
//! Round trips to candidates are asked of the driver too ([`Output::Measure`](crate::Output::Measure)). What
//! *changes* still goes out as a message, once, at the time when the regular one would have carried it.

use core::time::Duration;

use treehouse_wire::{NodeId, Suite};

use crate::{
    api::Suspicion,
    children::TickDigest,
    feeds::{Aim, Feed, TICK_IDLE},
    room::{HOUSEKEEPING, Room},
    time::Instant,
    timers::Timer,
};

/// Nobody waits so long for anything: the deadline of what only the driver can find out.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);
/// While feeds are not as they should be in the end, the routine that watches them looks this often.
const LOOK: Duration = Duration::from_millis(500);
/// A room without anything to do looks again after this at the latest.
const REST_MAX: Duration = Duration::from_secs(120);
/// Children are told of a delay that has changed by this much, in milliseconds.
const DELAY_MS: u16 = 3;

impl<S: Suite> Room<S> {
    /// Makes this a room for a driver that computes what regular traffic would bring.
    ///
    /// From now on it sends no repeated ticks, pings ever more rarely, does not look for silence, and wakes only when it has
    /// something to do. A feed that fails is the driver's to tell, by [`Input::FeedSilent`](crate::Input::FeedSilent). For
    /// simulators; a node that ships must not.
    pub fn hush(&mut self) {
        self.hushed = true;
    }

    /// The driver has computed that a feed would have been silent for too long.
    pub(crate) fn feed_silent(&mut self, peer: NodeId) {
        self.suspect(peer, Suspicion::Silent);
    }

    /// What a hushed room wakes for next, after each input.
    pub(crate) fn settle_hushed(&mut self) {
        self.expect_no_silence();
        self.pace_housekeeping();
        if !self.children.is_empty() {
            self.arm_ticks();
        }
    }

    /// The feeds timer, without the silence that only the driver sees.
    fn expect_no_silence(&mut self) {
        let never = self.now.after(NEVER);
        self.feeds.all.iter_mut().for_each(|feed| feed.expect_at(never));
        let due = self.timers.due(Timer::Feeds);
        self.timers.disarm(Timer::Feeds);
        if self.feeds_at_rest() {
            return;
        }
        self.arm_feeds();
        self.timers.arm_by(Timer::Feeds, self.now.after(LOOK));
        if let Some(due) = due.filter(|due| *due > self.now && *due < self.now.after(LOOK)) {
            self.timers.arm_by(Timer::Feeds, due);
        }
    }

    /// Whether the feeds are what they should be in the end: a parent and at most one standby, both sound.
    fn feeds_at_rest(&self) -> bool {
        let wanted = self.standby_purpose();
        let calm = |feed: &Feed| {
            let as_wanted = match feed.aim {
                Aim::Primary => true,
                Aim::Standby => feed.purpose == wanted || feed.gives_less,
                Aim::Provisional => false,
            };
            feed.is_sound() && feed.repairing.is_none() && as_wanted
        };
        let alone = |aim| self.feeds.all.iter().filter(|feed| feed.aim == aim).count() <= 1;
        self.cut_since.is_none() && self.feeds.all.iter().all(calm) && alone(Aim::Primary) && alone(Aim::Standby)
    }

    /// Puts the next housekeeping off to the second in which there is something to do. It stays in step with what it was.
    fn pace_housekeeping(&mut self) {
        let Some(due) = self.timers.due(Timer::Housekeeping) else { return };
        let (now, wanted) = (self.now, self.next_chore());
        let wanted = wanted.max(now.after(Duration::from_micros(1)));
        let second = HOUSEKEEPING.as_micros() as u64;
        let (due, wanted) = (due.as_micros(), wanted.as_micros());
        let at = if wanted > due {
            due + (wanted - due).div_ceil(second) * second
        } else {
            due - (due - wanted) / second * second
        };
        self.timers.arm(Timer::Housekeeping, Instant::from_micros(at));
    }

    /// When housekeeping has something to do next.
    fn next_chore(&self) -> Instant {
        if !self.is_at_rest() {
            return self.now;
        }
        let small = self.keeps_links();
        let stays = |peer: &NodeId| {
            self.feeds.get(peer).is_some() || self.children.contains(peer) || small && *peer == self.registry()
        };
        let pings = self.feeds.all.iter().map(|feed| self.ping_due(feed));
        let rest = self.now.after(REST_MAX);
        let due = [self.standby_due(), self.review_at, self.failed_due(), self.links_due(stays), self.keys_due()];
        pings.chain(due.into_iter().flatten()).chain([self.status_due_at(), rest]).min().unwrap_or(rest)
    }

    /// When a standby is looked for again, where there is none.
    fn standby_due(&self) -> Option<Instant> {
        let wants = self.feeds.with_aim(Aim::Standby).is_none();
        let sought = self.sought_standby.filter(|_| self.feeds.spares.is_empty());
        wants.then(|| sought.map_or(self.now, |(at, wait_s)| at.after(Duration::from_secs(wait_s.into()))))
    }

    /// Whether there is nothing under way that housekeeping would see to in a second.
    fn is_at_rest(&self) -> bool {
        let host_unreached = !self.links.is_up(&self.registry()) && !self.host_link_is_closed();
        self.is_in()
            && !self.is_root()
            && self.region.is_none()
            && self.host_link.entry.is_none()
            && self.placed > 0
            && self.own_voice.is_none()
            && self.feeds_at_rest()
            && self.feeds.parent().is_some()
            && self.measuring.is_none()
            && self.reports_waiting.is_empty()
            && self.children.are_settled()
            && !host_unreached
    }

    /// Whether children have been told what their next tick would say.
    pub(crate) fn is_told(&self) -> bool {
        let (told, now) = (self.children.told(), self.tick_digest());
        told.rest == now.rest && told.delay_ms.abs_diff(now.delay_ms) < DELAY_MS
    }

    /// What ticks say, short. The position and the exact number of members go along with other changes.
    pub(crate) fn tick_digest(&self) -> TickDigest {
        let tick = self.own_tick();
        let rank = (u32::from(tick.rank.depth) << 24) ^ tick.rank.admission;
        let (term, version) = tick.state;
        let members = tick.members.saturating_sub(1).checked_ilog2().unwrap_or(0);
        let words = [rank, u32::from(term), version, u32::from(tick.repairing), members];
        let path = tick.path.iter().map(|tag| u32::from_le_bytes(tag.0));
        // FNV-1a over words (Fowler, Noll and Vo, 1991).
        let rest = words
            .into_iter()
            .chain(path)
            .fold(0x811c_9dc5, |hash: u32, word| (hash ^ word).wrapping_mul(0x0100_0193).rotate_left(15));
        TickDigest { rest, delay_ms: tick.delay_ms }
    }

    /// When the tick would go out that brings the change.
    pub(crate) fn arm_changed_tick(&mut self) {
        if self.is_told() {
            return self.timers.disarm(Timer::Ticks);
        }
        let passed = self.now.since(self.children.all_ticked).as_micros() as u64;
        let period = TICK_IDLE.as_micros() as u64;
        let at = self.children.all_ticked.as_micros() + (passed / period + 1) * period;
        self.timers.arm(Timer::Ticks, Instant::from_micros(at));
    }
}
