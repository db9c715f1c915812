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
/// Weight that a frame's delay keeps when the next one comes: a time constant of 200 frames, 4 s.
const FORGET: f32 = 0.995;
/// The base is the least transit of this span and the one before it: short enough that the drift between two sound
/// clocks (100 ppm) moves it by 1 ms at most, long enough to see a fast frame.
const BASE_SPAN_US: i64 = 5_000_000;
/// Margin above a frame that came too late, so that the next one as late is not.
const LATE_MARGIN_US: i64 = 10_000;
/// How fast the memory of a late frame fades, in microseconds of delay a second: an outlier of 100 ms costs a second.
const LATE_FADE_US_PER_S: i64 = 100_000;

/// Estimates the playout delay of one voice. All times are microseconds on the receiver's clock.
#[derive(Debug)]
pub(super) struct DelayEstimator {
    histogram: [f32; BINS],
    observed: u32,
    base_us: Option<i64>,
    /// Least transit of the span under way and of the one before.
    least_us: (i64, i64),
    span_began_us: i64,
    /// Relative delay of the worst late frame, and when it came.
    late_us: (i64, i64),
    floor_us: i64,
    max_us: i64,
}

impl DelayEstimator {
    pub(super) fn new(floor_us: i64, max_us: i64) -> Self {
        DelayEstimator {
            histogram: [0.0; BINS],
            observed: 0,
            base_us: None,
            least_us: (i64::MAX, i64::MAX),
            span_began_us: 0,
            late_us: (0, 0),
            floor_us,
            max_us,
        }
    }

    /// Forgets the base but not the jitter: after a pause, clocks and paths may have moved.
    pub(super) fn rebase(&mut self) {
        self.base_us = None;
    }

    /// Takes in a frame that arrived at `now_us`, `transit_us` after it was spoken (plus the unknown constant).
    pub(super) fn observe(&mut self, now_us: i64, transit_us: i64) {
        self.update_base(now_us, transit_us);
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
        if relative_us <= self.max_us && relative_us + LATE_MARGIN_US > self.late_now_us(now_us) {
            self.late_us = (relative_us + LATE_MARGIN_US, now_us);
        }
    }

    /// The delay above the base at which frames should play.
    pub(super) fn target_us(&self, now_us: i64) -> i64 {
        self.percentile_us().max(self.late_now_us(now_us)).clamp(self.floor_us, self.max_us)
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

    fn late_now_us(&self, now_us: i64) -> i64 {
        let elapsed_us = now_us.saturating_sub(self.late_us.1).max(0);
        self.late_us.0.saturating_sub(elapsed_us.saturating_mul(LATE_FADE_US_PER_S) / 1_000_000).max(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME_US: i64 = 20_000;

    fn after_frames(delays_us: impl IntoIterator<Item = i64>) -> (DelayEstimator, i64) {
        let mut estimator = DelayEstimator::new(20_000, 400_000);
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
