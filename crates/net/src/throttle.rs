//! A token bucket: how fast a peer is read.

use std::time::{Duration, Instant};

use crate::limits::{INBOUND_FRAMES_BURST, INBOUND_FRAMES_PER_S};

/// Frames that may be taken from a peer: [`INBOUND_FRAMES_BURST`] at once, [`INBOUND_FRAMES_PER_S`] for long.
#[derive(Debug)]
pub(crate) struct Throttle {
    /// When the bucket was, or will be, empty of debt: each frame moves it on by its share of a second.
    spent_until: Instant,
}

impl Throttle {
    const PER_FRAME: Duration = Duration::from_nanos(1_000_000_000 / INBOUND_FRAMES_PER_S as u64);
    const BURST: Duration = Self::PER_FRAME.saturating_mul(INBOUND_FRAMES_BURST);

    /// A full bucket.
    pub(crate) fn new(now: Instant) -> Self {
        Throttle { spent_until: now }
    }

    /// Takes one frame; where there is none left, says how long until there is.
    pub(crate) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let from = self.spent_until.max(now);
        let ahead = from.duration_since(now);
        if ahead >= Self::BURST {
            return Err(ahead - Self::BURST + Self::PER_FRAME);
        }
        self.spent_until = from + Self::PER_FRAME;
        Ok(())
    }

    /// Gives back what the last successful [`Throttle::take`] took, since no frame came.
    pub(crate) fn put_back(&mut self) {
        self.spent_until = self.spent_until.checked_sub(Self::PER_FRAME).unwrap_or(self.spent_until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_passes_at_once_and_a_flood_is_slowed_to_the_rate() {
        let start = Instant::now();
        let mut throttle = Throttle::new(start);
        assert!((0..INBOUND_FRAMES_BURST).all(|_| throttle.take(start).is_ok()));
        let wait = throttle.take(start).expect_err("the burst is spent");
        assert!(throttle.take(start + wait).is_ok());

        let mut now = start + Duration::from_secs(100);
        let mut taken = 0;
        while now < start + Duration::from_secs(110) {
            match throttle.take(now) {
                Ok(()) => taken += 1,
                Err(wait) => now += wait,
            }
        }
        let expected = INBOUND_FRAMES_BURST + 10 * INBOUND_FRAMES_PER_S;
        assert!((expected - 20..=expected + 20).contains(&taken), "{taken} frames in ten seconds");
    }
}
