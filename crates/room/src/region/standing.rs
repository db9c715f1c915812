//! What the members that a relay feeds show of it: how many it carries, and whether they stay.
//!
//! What a member says of itself it may make up: how many feeds it gives, how near it is to the root. What its children say, each of
//! itself, counts for more. A relay is believed to carry what its children have confirmed, and as many again; where two of them
//! lose it within a while it costs more as a parent, and is believed to carry less. One member that lies can demote nobody: the
//! graver of all complaints never counts, a complaint is heard only from a member that was placed there, and each fades.

use core::time::Duration;

use treehouse_wire::NodeId;

use super::{Directory, Slot};
use crate::time::Instant;

/// A complaint counts for less and less, and after this for nothing.
const FADES: Duration = Duration::from_secs(120);
/// After a member was cut off its children may be cut off for this long.
const CUT: Duration = Duration::from_secs(5);
/// A complaint counts from then on, unless the member has said meanwhile that it was cut off itself.
const SETTLES: Duration = Duration::from_secs(3);
/// Cost of a parent by each fresh complaint beside the first, in microseconds, and at most.
const LOSS_US: f32 = 50_000.0;
const LOSS_US_MAX: f32 = 200_000.0;
/// So many fresh complaints beside the first show that a member does not carry what it says.
const FAILS: f32 = 0.5;
/// Complaints remembered: more cost no more.
const COMPLAINTS_MAX: usize = 6;
/// Children that a member is believed to carry which nobody has confirmed yet.
const UNCONFIRMED: u8 = 4;

/// How a relay stands with those that it fed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing {
    /// Who lost it as a parent, and when; each once.
    complaints: Vec<(NodeId, Instant)>,
    /// The most children that have confirmed at once that it feeds them.
    carried: u8,
    /// It did not carry what it was believed to: more is given to it one by one.
    failed: bool,
}

impl Standing {
    /// A member that was placed there has lost it as a parent.
    pub(crate) fn complain(&mut self, reporter: NodeId, now: Instant) {
        self.complaints.retain(|(of, at)| *of != reporter && now.since(*at) < FADES);
        if self.complaints.len() >= COMPLAINTS_MAX {
            self.complaints.remove(0);
        }
        self.complaints.push((reporter, now));
    }

    /// It was cut off itself: what those below it have just said of it is not its fault.
    pub(crate) fn forgive(&mut self, now: Instant) {
        self.complaints.retain(|(_, at)| now.since(*at) >= SETTLES);
    }

    /// So many children say that it feeds them; whether that changes what is believed.
    pub(crate) fn confirm(&mut self, children: usize, now: Instant) -> bool {
        let before = (self.failed, self.carried);
        let children = u8::try_from(children).unwrap_or(u8::MAX);
        if self.fails(now) {
            // Those that stay in spite of complaints do not know yet what the others know.
            (self.failed, self.carried) = (true, self.carried.min(children));
        } else {
            self.carried = self.carried.max(children);
        }
        before != (self.failed, self.carried)
    }

    /// Children that it is believed to carry, of those that it says it can.
    pub(crate) fn believed(&self, said: u32) -> u32 {
        let carried = u32::from(self.carried);
        let believed = if self.failed { carried + 1 } else { (2 * carried).max(UNCONFIRMED.into()) };
        said.min(believed)
    }

    /// Whether it did not carry what it was believed to.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed
    }

    /// Complaints beside the gravest, each by how fresh it is.
    fn weight(&self, now: Instant) -> f32 {
        let fresh = |at: Instant| 1.0 - now.since(at).as_secs_f32() / FADES.as_secs_f32();
        let settled = self.complaints.iter().filter(|(_, at)| now.since(*at) >= SETTLES);
        let weights = settled.map(|(_, at)| fresh(*at).max(0.0));
        weights.clone().sum::<f32>() - weights.fold(0.0, f32::max)
    }

    /// Whether several have lost it of late.
    pub(crate) fn fails(&self, now: Instant) -> bool {
        self.weight(now) >= FAILS
    }

    /// Whether so many have that it costs no more for more.
    pub(crate) fn fails_badly(&self, now: Instant) -> bool {
        self.loss_us(now) >= LOSS_US_MAX * 0.9
    }

    /// What it costs more as a parent, in microseconds.
    pub(crate) fn loss_us(&self, now: Instant) -> f32 {
        (LOSS_US * self.weight(now)).min(LOSS_US_MAX)
    }
}

impl Directory {
    /// A member has lost a parent that it was placed with.
    pub(super) fn complain(&mut self, reporter: NodeId, parent: Slot, now: Instant) {
        let Some(of) = self.at(parent).filter(|of| parent != Slot::SELF && of.is_there()) else { return };
        // One that is cut off itself, or has said that it gives fewer feeds, is not to blame.
        let cut = of.cut_at.is_some_and(|at| now.since(at) < CUT);
        if cut || of.reported > of.profile.children_max || of.node == reporter {
            return;
        }
        self.change_at(parent, now, |of| of.standing.complain(reporter, now));
    }

    /// A member has said who feeds it.
    pub(super) fn confirm(&mut self, parent: Slot, now: Instant) {
        let children = self.confirmed(parent);
        let changed = self.at_mut(parent).is_some_and(|of| of.standing.confirm(children, now));
        if changed {
            self.index(parent, now);
        }
    }

    /// Those that say themselves that a member feeds them.
    fn confirmed(&self, slot: Slot) -> usize {
        let Some(member) = self.at(slot) else { return 0 };
        let tag = member.node.tag();
        let says = |child: &&Slot| self.at(**child).is_some_and(|of| of.said_parent == Some(tag));
        member.children().iter().filter(says).count()
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
    fn one_reporter_costs_nothing_however_often_it_complains() {
        let mut now = Instant::from_micros(1_000_000);
        let mut standing = Standing::default();
        standing.confirm(6, now);
        for _ in 0..50 {
            now = now.after(4 * SECOND);
            standing.complain(peer(1), now);
            standing.confirm(6, now);
        }
        assert_eq!((standing.loss_us(now), standing.fails(now), standing.believed(16)), (0.0, false, 12));
    }

    #[test]
    fn several_cost_more_and_fade() {
        let mut now = Instant::from_micros(1_000_000);
        for (count, cost_us) in [(1, 0.0), (2, 48_750.0), (3, 97_500.0), (6, 200_000.0), (9, 200_000.0)] {
            let mut standing = Standing::default();
            (0..count).for_each(|number| standing.complain(peer(number), now));
            assert_eq!((standing.loss_us(now), standing.fails(now)), (0.0, false), "too early");
            let later = now.after(SETTLES);
            assert!((standing.loss_us(later) - cost_us).abs() < 1.0, "{count}: {}", standing.loss_us(later));
            assert_eq!(standing.fails(later), count > 1);
            let half = now.after(FADES / 2);
            assert!(standing.loss_us(half) < cost_us || cost_us == 0.0 || count > 5, "it fades");
            assert_eq!((standing.loss_us(now.after(FADES)), standing.fails(now.after(FADES))), (0.0, false));
            now = now.after(SECOND);
        }
    }

    #[test]
    fn one_that_was_cut_off_itself_is_forgiven() {
        let now = Instant::from_micros(1_000_000);
        let mut standing = Standing::default();
        (0..4).for_each(|number| standing.complain(peer(number), now));
        standing.forgive(now.after(SECOND));
        assert!(!standing.fails(now.after(SETTLES)));
        (4..8).for_each(|number| standing.complain(peer(number), now));
        standing.forgive(now.after(4 * SECOND));
        assert!(standing.fails(now.after(4 * SECOND)), "that was another time");
    }

    #[test]
    fn what_children_confirm_is_believed_and_twice_that() {
        let mut now = Instant::from_micros(1_000_000);
        let mut standing = Standing::default();
        let mut believed = vec![standing.believed(20)];
        for _ in 0..3 {
            standing.confirm(standing.believed(20) as usize, now);
            believed.push(standing.believed(20));
        }
        assert_eq!(believed, [4, 8, 16, 20]);
        // It carries sixteen badly: of those that are left one more is tried at a time, once nobody complains any more.
        standing.complain(peer(1), now);
        standing.complain(peer(2), now);
        now = now.after(SETTLES);
        standing.confirm(5, now);
        assert_eq!(standing.believed(20), 6);
        standing.confirm(6, now);
        assert_eq!(standing.believed(20), 6, "others have just lost it");
        now = now.after(121 * SECOND);
        standing.confirm(6, now);
        assert_eq!(standing.believed(20), 7);
    }
}
