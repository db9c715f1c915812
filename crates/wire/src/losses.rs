//! How many listeners lost how much of a voice, so that its speaker knows how much redundancy it takes.
//!
//! A histogram: those of two subtrees are added up, so that what goes up the tree stays of one size however many listen.

use serde::{Deserialize, Serialize};

/// Classes of loss, from none to the most.
pub const LOSS_CLASSES: usize = 6;
/// From which share of lost frames on a listener belongs to the next class, in thousandths.
const FROM_PERMILLE: [u16; LOSS_CLASSES - 1] = [3, 20, 50, 100, 150];
/// What those of a class lost at most, for whoever reckons with it, in thousandths; none where it is next to none.
const UP_TO_PERMILLE: [u16; LOSS_CLASSES] = [0, 20, 50, 100, 150, 200];
/// Of so many listeners the worst one does not count: one bad link is not to cost all others.
const ONE_IN: u64 = 10;

/// Listeners of one voice by what they lost of it before redundancy: the classes of those whom copies in the next packet help, then of
/// those who lost several frames in a row and can rebuild them from deep redundancy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Losses(pub [u32; 2 * LOSS_CLASSES]);

/// What a speaker reckons with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reckoned {
    /// Listeners that said what they lost.
    pub listeners: u32,
    /// What nine in ten of them lost at most, in thousandths.
    pub lost_permille: u16,
    /// Most of those that lost as much or more lost it in bursts that they can rebuild deeply.
    pub bursts: bool,
}

impl Losses {
    /// One listener that lost so many thousandths; in bursts that it can rebuild from deep redundancy, if `bursts`.
    #[must_use]
    pub fn of_one(lost_permille: u16, bursts: bool) -> Self {
        let class = FROM_PERMILLE.iter().filter(|from| lost_permille >= **from).count();
        let mut losses = Losses::default();
        if let Some(count) = losses.0.get_mut(class + if bursts { LOSS_CLASSES } else { 0 }) {
            *count = 1;
        }
        losses
    }

    /// Adds the listeners of another part of the tree; a sum too large to count stays the largest.
    pub fn add(&mut self, other: &Losses) {
        self.0.iter_mut().zip(other.0).for_each(|(sum, count)| *sum = sum.saturating_add(count));
    }

    /// What to reckon with; none where nobody has said anything.
    #[must_use]
    pub fn reckon(&self) -> Option<Reckoned> {
        let listeners: u64 = self.0.iter().map(|count| u64::from(*count)).sum();
        let (scattered, bursts) = self.0.split_at(LOSS_CLASSES);
        let (mut at_least, mut of_bursts) = (0, 0);
        for ((alone, burst), lost_permille) in scattered.iter().zip(bursts).zip(UP_TO_PERMILLE).rev() {
            at_least += u64::from(*alone) + u64::from(*burst);
            of_bursts += u64::from(*burst);
            if at_least > listeners / ONE_IN {
                let listeners = u32::try_from(listeners).unwrap_or(u32::MAX);
                return Some(Reckoned { listeners, lost_permille, bursts: 2 * of_bursts > at_least });
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(of: &[(u16, bool, u32)]) -> Option<Reckoned> {
        let mut sum = Losses::default();
        for (lost_permille, bursts, times) in of {
            let one = Losses::of_one(*lost_permille, *bursts);
            sum.add(&Losses(one.0.map(|count| count * times)));
        }
        sum.reckon()
    }

    #[test]
    fn the_worst_of_a_few_counts_and_one_of_many_does_not() {
        assert_eq!(sum(&[]), None);
        let reckoned = |listeners, lost_permille, bursts| Some(Reckoned { listeners, lost_permille, bursts });
        assert_eq!(sum(&[(0, false, 2), (110, false, 1)]), reckoned(3, 150, false));
        assert_eq!(sum(&[(0, false, 18), (999, false, 2)]), reckoned(20, 0, false));
        assert_eq!(sum(&[(0, false, 18), (40, false, 1), (999, false, 2)]), reckoned(21, 50, false));
    }

    #[test]
    fn bursts_count_where_most_that_lose_so_much_lose_in_bursts() {
        let bursts =
            |alone, burst| sum(&[(160, false, alone), (160, true, burst)]).map(|of| (of.lost_permille, of.bursts));
        assert_eq!(bursts(1, 2), Some((200, true)));
        assert_eq!(bursts(1, 1), Some((200, false)));
    }

    #[test]
    fn sums_too_large_to_count_do_not_wrap() {
        let mut most = Losses([u32::MAX; 2 * LOSS_CLASSES]);
        most.add(&Losses::of_one(0, false));
        assert_eq!(most.reckon().map(|of| of.listeners), Some(u32::MAX));
    }
}
