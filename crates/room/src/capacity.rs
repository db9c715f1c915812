//! How many feeds a member gives, by what its uplink turns out to carry.
//!
//! A member starts with the number that its user set. Where its lanes drop packets to several children at once, its uplink carries
//! less: it gives a quarter fewer feeds than it gives now, tells its registry so with its next report, and asks the children
//! that are too many to find others, while it feeds them on. After half a minute without a drop it offers one feed more, and so
//! on up to what was set; where that was too much again it waits twice as long the next time.
//!
//! Additive increase and multiplicative decrease are those of congestion control (Chiu and Jain, "Analysis of the increase and
//! decrease algorithms for congestion avoidance in computer networks", 1989); the times are much longer, since a child that
//! moves costs more than a window that shrinks.

use core::time::Duration;

use treehouse_wire::{Contact, Control, List, NodeId, Suite};

use crate::{children::counts, room::Room, time::Instant};

/// Drops that lie further apart than this are not one strain. Drivers report once a second.
const WINDOW: Duration = Duration::from_secs(2);
/// Links that drop before the uplink is blamed, where there are so many: one slow child says nothing of it.
const LINKS_MIN: usize = 2;
/// Packets that are dropped before it is: fewer may be a moment's hiccup.
const PACKETS_MIN: u32 = 5;
/// Links remembered as dropping: more than any uplink of a member has.
const LINKS_MAX: usize = 64;
/// Children need this long to move; until then the uplink is not blamed again.
const SETTLE: Duration = Duration::from_secs(5);
/// Time without a drop after which one feed more is offered, doubling up to the other where that was too much.
const CALM: Duration = Duration::from_secs(30);
const CALM_MAX: Duration = Duration::from_secs(480);

/// What is known of an uplink that drops; there is none while all is well.
#[derive(Debug)]
pub(crate) struct Strain {
    /// Which links dropped how much of late, and when.
    drops: Vec<(NodeId, u32, Instant)>,
    /// When packets were last dropped, or the number of feeds changed.
    since: Instant,
    lowered: Option<Instant>,
    raised: Option<Instant>,
    /// Time without a drop until the next feed is offered.
    calm: Duration,
}

impl Strain {
    fn new(now: Instant) -> Self {
        Strain { drops: Vec::new(), since: now, lowered: None, raised: None, calm: CALM }
    }

    /// Takes in what a link dropped. Whether the uplink is to blame, where so many links carry packets.
    fn dropped(&mut self, peer: NodeId, packets: u32, links: usize, now: Instant) -> bool {
        self.since = now;
        self.drops.retain(|(of, _, at)| *of != peer && now.since(*at) < WINDOW);
        if self.drops.len() >= LINKS_MAX {
            self.drops.remove(0);
        }
        self.drops.push((peer, packets, now));
        let packets = self.drops.iter().fold(0_u32, |sum, (_, packets, _)| sum.saturating_add(*packets));
        let settled = self.lowered.is_none_or(|at| now.since(at) >= SETTLE);
        settled && self.drops.len() >= links.min(LINKS_MIN) && packets >= PACKETS_MIN
    }

    fn lowered(&mut self, now: Instant) {
        // The feed that was offered last was too much: the next is offered later.
        if self.raised.is_some_and(|at| now.since(at) < 2 * self.calm) {
            self.calm = (2 * self.calm).min(CALM_MAX);
        }
        (self.lowered, self.since) = (Some(now), now);
        self.drops.clear();
    }
}

impl<S: Suite> Room<S> {
    /// The link to a peer dropped packets past their deadline.
    pub(crate) fn lane_drops(&mut self, peer: NodeId, packets: u32) {
        let now = self.now;
        let given = self.children.with_purpose(counts).len();
        if given == 0 || packets == 0 {
            return;
        }
        let links = given + self.stage_links.listeners().len();
        let strain = self.strain.get_or_insert_with(|| Box::new(Strain::new(now)));
        if !strain.dropped(peer, packets, links, now) {
            return;
        }
        strain.lowered(now);
        let given = u8::try_from(given).unwrap_or(u8::MAX).min(self.children_max);
        // Without its leader's feed a region has none.
        let least = u8::from(self.region.is_some() || self.is_root());
        self.give_feeds(given.saturating_sub((given / 4).max(1)).max(least));
    }

    /// Once a second: offers one feed more where all has been well for long, and asks those to move that are too many.
    pub(crate) fn keep_capacity(&mut self) {
        let now = self.now;
        let Some(strain) = self.strain.as_deref_mut() else { return };
        if now.since(strain.since) >= strain.calm {
            if self.children_max >= self.children_set {
                self.strain = None;
                return;
            }
            (strain.since, strain.raised) = (now, Some(now));
            self.give_feeds(self.children_max.saturating_add(1));
        }
        self.ask_to_move();
    }

    /// Gives at most so many feeds from now on.
    fn give_feeds(&mut self, children_max: u8) {
        if self.children_max == children_max {
            return;
        }
        self.children_max = children_max;
        let (now, profile) = (self.now, self.profile());
        if let Some(region) = &mut self.region {
            region.directory.change(&self.me, now, |own| own.profile = profile);
        }
        self.status_due = true;
        self.ask_to_move();
    }

    /// Asks children that are too many to find another feed. They are fed on until they have one.
    fn ask_to_move(&mut self) {
        let me = Contact { node: self.me, addresses: List::default() };
        for child in self.children.take_excess(self.children_max, self.now) {
            self.send(child, &Control::Moved(me.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn peer(number: u8) -> NodeId {
        NodeId([number; 32])
    }

    #[test]
    fn one_slow_link_of_several_is_not_the_uplink() {
        let mut now = Instant::from_micros(1_000_000);
        let mut strain = Strain::new(now);
        for _ in 0..20 {
            now = now.after(SECOND);
            assert!(!strain.dropped(peer(1), 40, 8, now), "one link");
        }
        assert!(strain.dropped(peer(2), 1, 8, now), "two links");
        assert!(strain.dropped(peer(1), 40, 1, now.after(10 * SECOND)), "the only link");
    }

    #[test]
    fn drops_that_are_few_or_far_apart_are_not_a_strain() {
        let mut now = Instant::from_micros(1_000_000);
        let mut strain = Strain::new(now);
        for number in 0..20 {
            now = now.after(3 * SECOND);
            assert!(!strain.dropped(peer(number), 40, 8, now), "far apart");
        }
        let mut strain = Strain::new(now);
        assert!(!strain.dropped(peer(1), 2, 8, now) && !strain.dropped(peer(2), 2, 8, now), "few");
    }

    #[test]
    fn children_are_given_time_to_move() {
        let now = Instant::from_micros(1_000_000);
        let mut strain = Strain::new(now);
        strain.lowered(now);
        let drops = |strain: &mut Strain, now| strain.dropped(peer(1), 9, 8, now) | strain.dropped(peer(2), 9, 8, now);
        assert!(!drops(&mut strain, now.after(4 * SECOND)));
        assert!(drops(&mut strain, now.after(5 * SECOND)));
    }

    #[test]
    fn what_was_too_much_again_is_offered_later() {
        let mut now = Instant::from_micros(1_000_000);
        let mut strain = Strain::new(now);
        let mut waits = Vec::new();
        for _ in 0..6 {
            strain.raised = Some(now);
            now = now.after(3 * SECOND);
            strain.lowered(now);
            waits.push(strain.calm.as_secs());
            now = now.after(strain.calm);
        }
        assert_eq!(waits, [60, 120, 240, 480, 480, 480]);
    }
}
