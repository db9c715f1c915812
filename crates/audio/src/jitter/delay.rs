//! How long a frame waits before it is played.
//!
//! The transit of a frame is its arrival less the moment it was spoken, up to an unknown constant: the clocks of two
//! machines have nothing to do with each other. Only differences count, so the least transit of the last seconds is the
//! base, and a frame's relative delay is its transit above the base. The target is a high percentile of the relative
//! delays in a histogram that forgets exponentially, as WebRTC's NetEQ estimates it.

/// Width of a histogram bin.
const BIN_US: i64 = 5_000;
/// Bins: relative delays up to half a second; nothing above the largest allowed target is recorded.
const BINS: usize = 100;
/// Share of frames that the target must cover.
const PERCENTILE: f32 = 0.97;
/// How fast the longest wait for deep redundancy is forgotten: bursts are few, what was not waited for is a syllable, and a target that follows
/// each of them moves the delay within sentences.
const DEEP_FADE_US_PER_S: i64 = 2_000;
/// Where bursts can be rebuilt they are waited for this long from the first one on: a target that grew from burst to burst would move the voice each
/// time (bursts of 16 %, three frames on average: PESQ 2.22 without this, 2.75 with it, and no more with 300 ms).
const DEEP_MIN_US: i64 = 200_000;
/// Weight that a frame's delay keeps when the next one comes: a time constant of 200 frames, 4 s.
const FORGET: f32 = 0.995;
/// The base is the least transit of this span and the one before it: short enough that the drift between two sound
/// clocks (100 ppm) moves it by 1 ms at most, long enough to see a fast frame.
const BASE_SPAN_US: i64 = 5_000_000;
/// Margin above a frame that came too late, so that the next one as late is not.
const LATE_MARGIN_US: i64 = 10_000;
/// How fast the memory of a late frame fades, in microseconds of delay a second: an outlier of 100 ms costs a second.
const LATE_FADE_US_PER_S: i64 = 100_000;

/// Frames that come this close together came as one: what was sent in one packet, or what waited for the same obstacle.
const TOGETHER_US: i64 = 2_000;

/// Estimates the playout delay of one voice. All times are microseconds on the receiver's clock.
#[derive(Debug)]
pub(super) struct DelayEstimator {
    histogram: [f32; BINS],
    observed: u32,
    base_us: Option<i64>,
    /// Least transit of the span under way and of the one before.
    least_us: (i64, i64),
    span_began_us: i64,
    /// When the last frame came, and its transit.
    last_us: (i64, i64),
    /// Relative delay of the worst late frame.
    late_us: Fading,
    /// Longest that a lost frame had to wait for the packet that rebuilds it deeply.
    deep_us: Fading,
    /// Bounds of the target.
    bounds_us: (i64, i64),
    max_us: i64,
}

impl DelayEstimator {
    pub(super) fn new(bounds_us: (i64, i64), max_us: i64) -> Self {
        DelayEstimator {
            histogram: [0.0; BINS],
            observed: 0,
            base_us: None,
            least_us: (i64::MAX, i64::MAX),
            span_began_us: 0,
            last_us: (i64::MIN, 0),
            late_us: Fading::default(),
            deep_us: Fading::default(),
            bounds_us,
            max_us,
        }
    }

    /// From now on the target stays between these.
    pub(super) fn set_bounds(&mut self, bounds_us: (i64, i64), max_us: i64) {
        (self.bounds_us, self.max_us) = (bounds_us, max_us);
    }

    /// Forgets the base but not the jitter: after a pause, clocks and paths may have moved.
    pub(super) fn rebase(&mut self) {
        self.base_us = None;
    }

    /// Takes in a frame that arrived at `now_us`, `transit_us` after it was spoken (plus the unknown constant).
    ///
    /// Of frames that come together the first to come counts, which is the oldest: the others were early enough if it was. Else one stall of
    /// this machine, after which a second of frames is there at once, would look like a second of jitter.
    pub(super) fn observe(&mut self, now_us: i64, transit_us: i64) {
        self.update_base(now_us, transit_us);
        let (last_at_us, last_transit_us) = std::mem::replace(&mut self.last_us, (now_us, transit_us));
        if now_us.saturating_sub(last_at_us) < TOGETHER_US && transit_us <= last_transit_us {
            return;
        }
        self.record(transit_us);
    }

    /// The same for a frame that did not come itself, but what rebuilds it; `deep` if that can be frames away.
    pub(super) fn observe_rebuilt(&mut self, now_us: i64, transit_us: i64, deep: bool) {
        let relative_us = self.relative_us(transit_us);
        let us = relative_us.max(DEEP_MIN_US);
        if deep && relative_us <= self.max_us && us > self.deep_us.at(now_us, DEEP_FADE_US_PER_S) {
            self.deep_us = Fading { us, since_us: now_us };
        }
        self.record(transit_us);
    }

    fn record(&mut self, transit_us: i64) {
        let relative_us = self.relative_us(transit_us);
        if relative_us > self.max_us {
            return; // No allowed delay could have saved it.
        }
        self.observed = self.observed.saturating_add(1);
        // The first frames count equally, so that an estimate stands after a few of them.
        let keep = FORGET.min(1.0 - 1.0 / (self.observed as f32 + 1.0));
        self.histogram.iter_mut().for_each(|weight| *weight *= keep);
        let bin = (relative_us / BIN_US).clamp(0, BINS as i64 - 1) as usize;
        if let Some(weight) = self.histogram.get_mut(bin) {
            *weight += 1.0 - keep;
        }
    }

    /// A frame came after it had been given up: the target grows at once, past it, and comes back within seconds.
    pub(super) fn observe_late(&mut self, now_us: i64, transit_us: i64) {
        let relative_us = self.relative_us(transit_us);
        let us = relative_us.saturating_add(LATE_MARGIN_US);
        if relative_us <= self.max_us && us > self.late_us.at(now_us, LATE_FADE_US_PER_S) {
            self.late_us = Fading { us, since_us: now_us };
        }
    }

    /// The delay above the base at which frames should play.
    pub(super) fn target_us(&self, now_us: i64) -> i64 {
        let late_us = self.late_us.at(now_us, LATE_FADE_US_PER_S);
        let deep_us = self.deep_us.at(now_us, DEEP_FADE_US_PER_S);
        self.percentile_us().max(late_us).max(deep_us).clamp(self.bounds_us.0, self.bounds_us.1)
    }

    /// The transit of the fastest recent frame.
    pub(super) fn base_us(&self) -> i64 {
        self.base_us.unwrap_or(0)
    }

    fn relative_us(&self, transit_us: i64) -> i64 {
        transit_us.saturating_sub(self.base_us()).max(0)
    }

    fn update_base(&mut self, now_us: i64, transit_us: i64) {
        if self.base_us.is_none() {
            self.least_us = (i64::MAX, i64::MAX);
            self.span_began_us = now_us;
        } else if now_us.saturating_sub(self.span_began_us) >= BASE_SPAN_US {
            self.least_us = (i64::MAX, self.least_us.0);
            self.span_began_us = now_us;
        }
        self.least_us.0 = self.least_us.0.min(transit_us);
        self.base_us = Some(self.least_us.0.min(self.least_us.1));
    }

    fn percentile_us(&self) -> i64 {
        let total: f32 = self.histogram.iter().sum();
        let mut covered = 0.0;
        for (bin, weight) in self.histogram.iter().enumerate() {
            covered += weight;
            if covered >= PERCENTILE * total {
                // The upper edge of the bin covers all of it.
                return (bin as i64 + 1) * BIN_US;
            }
        }
        self.max_us
    }
}

/// A delay that counts for less as time goes by.
#[derive(Clone, Copy, Debug, Default)]
struct Fading {
    us: i64,
    since_us: i64,
}

impl Fading {
    fn at(self, now_us: i64, us_per_s: i64) -> i64 {
        let elapsed_us = now_us.saturating_sub(self.since_us).max(0);
        self.us.saturating_sub(elapsed_us.saturating_mul(us_per_s) / 1_000_000).max(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME_US: i64 = 20_000;

    fn after_frames(delays_us: impl IntoIterator<Item = i64>) -> (DelayEstimator, i64) {
        let mut estimator = DelayEstimator::new((20_000, 400_000), 400_000);
        let mut now_us = 0;
        for (n, delay_us) in delays_us.into_iter().enumerate() {
            now_us = n as i64 * FRAME_US + delay_us;
            estimator.observe(now_us, delay_us);
        }
        (estimator, now_us)
    }

    #[test]
    fn steady_frames_need_only_the_floor() {
        let (estimator, now_us) = after_frames([70_000; 500]);
        assert_eq!(estimator.target_us(now_us), 20_000);
        assert_eq!(estimator.base_us(), 70_000);
    }

    #[test]
    fn one_frame_in_ten_60_ms_late_is_covered_and_one_in_a_hundred_is_not() {
        let (often, now_us) = after_frames((0..1000).map(|n| if n % 10 == 9 { 60_000 } else { 0 }));
        assert!((60_000..=70_000).contains(&often.target_us(now_us)), "{}", often.target_us(now_us));
        let (seldom, now_us) = after_frames((0..1000).map(|n| if n % 100 == 50 { 60_000 } else { 0 }));
        assert_eq!(seldom.target_us(now_us), 20_000);
    }

    #[test]
    fn the_target_never_passes_the_maximum() {
        let (estimator, now_us) = after_frames((0..1000).map(|n| (n % 2) * 390_000));
        assert!(estimator.target_us(now_us) <= 400_000);
        let (hopeless, now_us) = after_frames((0..1000).map(|n| (n % 2) * 3_000_000));
        assert_eq!(hopeless.target_us(now_us), 20_000, "frames that no delay can save do not count");
    }

    #[test]
    fn jitter_is_forgotten_within_seconds() {
        let (estimator, now_us) = after_frames((0..200).map(|n| (n % 2) * 100_000).chain([0; 800]));
        assert_eq!(estimator.target_us(now_us), 20_000);
    }

    #[test]
    fn a_late_frame_raises_the_target_at_once_and_for_a_second_or_so() {
        let (mut estimator, now_us) = after_frames([0; 200]);
        estimator.observe_late(now_us, 90_000);
        assert_eq!(estimator.target_us(now_us), 100_000);
        assert_eq!(estimator.target_us(now_us + 500_000), 50_000);
        assert_eq!(estimator.target_us(now_us + 1_000_000), 20_000);
    }

    #[test]
    fn the_base_follows_a_path_that_grew_longer() {
        let (estimator, _) = after_frames([10_000; 200].into_iter().chain([60_000; 1000]));
        assert_eq!(estimator.base_us(), 60_000);
    }
}
