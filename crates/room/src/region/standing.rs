//! What the members that a relay feeds show of it: how many it carries, and whether they stay.
//!
//! What a member says of itself it may make up: how many feeds it gives, how near it is to the root. What its children say, each of
//! itself, counts for more. A relay is believed to carry what its children have confirmed, and as many again; where two of them
//! lose it within a while it costs more as a parent, and is believed to carry less. One member that lies can demote nobody: the
//! graver of all complaints never counts, a complaint is heard only from a member that was placed there, and each fades.

use core::time::Duration;

use treehouse_wire::NodeId;

use crate::time::Instant;

/// A complaint counts for less and less, and after this for nothing.
const FADES: Duration = Duration::from_secs(120);
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
    /// A member that was placed there has lost it as a parent, while so many others are fed by it.
    pub(crate) fn complain(&mut self, reporter: NodeId, others: usize, now: Instant) {
        self.complaints.retain(|(of, at)| *of != reporter && now.since(*at) < FADES);
        if self.complaints.len() >= COMPLAINTS_MAX {
            self.complaints.remove(0);
        }
        self.complaints.push((reporter, now));
        if self.fails(now) {
            (self.failed, self.carried) = (true, self.carried.min(u8::try_from(others).unwrap_or(u8::MAX)));
        }
    }

    /// So many children say that it feeds them.
    pub(crate) fn confirm(&mut self, children: usize, now: Instant) {
        // Those that stay in spite of complaints do not know yet what the others know.
        if !self.fails(now) {
            self.carried = self.carried.max(u8::try_from(children).unwrap_or(u8::MAX));
        }
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
        let weights = self.complaints.iter().map(|(_, at)| fresh(*at).max(0.0));
        weights.clone().sum::<f32>() - weights.fold(0.0, f32::max)
    }

    /// Whether several have lost it of late.
    pub(crate) fn fails(&self, now: Instant) -> bool {
        self.weight(now) >= FAILS
    }

    /// What it costs more as a parent, in microseconds.
    pub(crate) fn loss_us(&self, now: Instant) -> f32 {
        (LOSS_US * self.weight(now)).min(LOSS_US_MAX)
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
            now = now.after(SECOND);
            standing.complain(peer(1), 5, now);
        }
        assert_eq!((standing.loss_us(now), standing.fails(now), standing.believed(16)), (0.0, false, 12));
    }

    #[test]
    fn several_cost_more_and_fade() {
        let mut now = Instant::from_micros(1_000_000);
        let mut standing = Standing::default();
        let mut costs = Vec::new();
        for number in 0..8 {
            standing.complain(peer(number), 0, now);
            costs.push(standing.loss_us(now));
        }
        assert_eq!(costs, [0.0, 50_000.0, 100_000.0, 150_000.0, 200_000.0, 200_000.0, 200_000.0, 200_000.0]);
        assert!(standing.fails(now));
        now = now.after(60 * SECOND);
        assert!((standing.loss_us(now) - 125_000.0).abs() < 1.0, "{}", standing.loss_us(now));
        now = now.after(60 * SECOND);
        assert_eq!((standing.loss_us(now), standing.fails(now)), (0.0, false));
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
        standing.complain(peer(1), 15, now);
        standing.complain(peer(2), 5, now);
        assert_eq!(standing.believed(20), 6);
        standing.confirm(6, now);
        assert_eq!(standing.believed(20), 6, "others have just lost it");
        now = now.after(121 * SECOND);
        standing.confirm(6, now);
        assert_eq!(standing.believed(20), 7);
    }
}
