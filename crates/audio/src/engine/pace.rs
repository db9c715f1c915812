//! How far ahead of a device's callbacks sound is written: as little as the writing thread's own unevenness allows.
//!
//! A callback takes a period of sound at once. What counts is the margin: how much later a block could be written before a callback finds too
//! little. It follows from what is in the ring and when the last callback came, and its least value says how late the thread
//! is at its worst, whatever the sizes of periods and blocks. So the least margin of the last seconds is held a little above nothing: ticks
//! are moved for it by 1 % at most, and where it was too little silence is put in between, which is the crackle that it is there to make rare.

/// Where the least margin is held, in milliseconds. Between the two nothing is done.
const LEAST_MS: (f64, f64) = (3.0, 6.0);
/// What a start reckons with above the least before it is known: a thread that shares two cores.
const SPREAD_MS: f64 = 3.0;
/// More than this a start does not reckon with: what a thread once was late by is not to be waited for each time.
const SPREAD_MS_MAX: f64 = 20.0;
/// The least is that of the last one to two times so many blocks: five to ten seconds.
const HALF_BLOCKS: u32 = 250;
/// Weight of a block in the mean of what is above the least.
const WEIGHT: f64 = 0.02;
/// How far one tick may shift the next: 1 %, a hundred times what two clocks differ by.
pub(super) const NUDGE_US: i64 = 200;

/// What is known of one device and this thread.
#[derive(Debug)]
pub(super) struct Pace {
    /// The least margins of the half window before and of the one under way, and how many blocks that has.
    halves_ms: [f64; 2],
    blocks: u32,
    /// By how much margins exceed the least on average.
    spread_ms: f64,
}

/// What is in the ring, and when callbacks come for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ring {
    pub(super) ahead_ms: f64,
    /// What a callback takes.
    pub(super) period_ms: f64,
    /// Since the last one.
    pub(super) since_ms: f64,
}

impl Ring {
    /// How much later a block could come before a callback finds too little.
    fn margin_ms(&self) -> f64 {
        let whole = (self.ahead_ms / self.period_ms).floor();
        // One that is overdue comes at once.
        (whole + 1.0) * self.period_ms - self.since_ms.min(self.period_ms)
    }
}

impl Pace {
    pub(super) fn new() -> Self {
        Pace { halves_ms: [LEAST_MS.1; 2], blocks: 0, spread_ms: SPREAD_MS }
    }

    /// Sound begins: how much silence is to be put before it, in milliseconds.
    pub(super) fn start(&mut self, ring: Ring) -> f64 {
        let margin_ms = ring.margin_ms();
        let silence_ms = whole(LEAST_MS.0 + self.spread_ms - margin_ms, ring.period_ms);
        self.begin(margin_ms + silence_ms - self.spread_ms);
        silence_ms
    }

    /// The callbacks lacked sound: how much silence is to be put before it goes on, in milliseconds. Mostly none: what was late comes at
    /// once, and all after it is ahead by as much as was missed.
    pub(super) fn ran_dry(&mut self, ring: Ring) -> f64 {
        let margin_ms = ring.margin_ms();
        let silence_ms = whole(LEAST_MS.0 - margin_ms, ring.period_ms);
        self.begin(margin_ms + silence_ms);
        silence_ms
    }

    /// By how many microseconds the next tick should come later (negative: earlier).
    pub(super) fn go_on(&mut self, ring: Ring) -> i64 {
        let margin_ms = ring.margin_ms();
        let least_ms = self.note(margin_ms);
        self.spread_ms += ((margin_ms - least_ms).min(SPREAD_MS_MAX) - self.spread_ms) * WEIGHT;
        let later_us = if least_ms < LEAST_MS.0 {
            -NUDGE_US
        } else if least_ms > LEAST_MS.1 {
            NUDGE_US
        } else {
            return 0;
        };
        // A tick that comes later leaves less for all that follow.
        self.halves_ms.iter_mut().for_each(|least_ms| *least_ms -= later_us as f64 / 1000.0);
        later_us
    }

    fn begin(&mut self, least_ms: f64) {
        (self.halves_ms, self.blocks) = ([least_ms; 2], 0);
    }

    /// Takes in a margin; returns the least of the window.
    fn note(&mut self, margin_ms: f64) -> f64 {
        let [before_ms, now_ms] = self.halves_ms;
        self.halves_ms =
            if self.blocks < HALF_BLOCKS { [before_ms, now_ms.min(margin_ms)] } else { [now_ms, margin_ms] };
        self.blocks = if self.blocks < HALF_BLOCKS { self.blocks + 1 } else { 0 };
        self.halves_ms.into_iter().fold(f64::INFINITY, f64::min)
    }
}

/// The next multiple of a period: of less the callback would wait for the rest.
fn whole(ms: f64, period_ms: f64) -> f64 {
    (ms / period_ms).ceil().max(0.0) * period_ms
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a device and a thread did for a while.
    #[derive(Debug, Default)]
    struct Seen {
        missed_ms: f64,
        /// What blocks waited for in the ring, in milliseconds, in order of size.
        waited_ms: Vec<f64>,
    }

    impl Seen {
        fn median_ms(&self) -> f64 {
            self.waited_ms[self.waited_ms.len() / 2]
        }
    }

    /// Callbacks every `period_ms` take that much, on a clock that is fast by `ppm`; blocks of 20 ms are written `late_ms` after their time.
    /// What is missed and waited for counts from half of the time on.
    fn play(period_ms: f64, ppm: f64, blocks: u32, mut late_ms: impl FnMut(u32) -> f64) -> Seen {
        let (mut pace, mut seen) = (Pace::new(), Seen::default());
        let (mut ring_ms, mut missed_ms, mut due_ms) = (0.0_f64, 0.0, 3.0);
        let (mut called_ms, mut now_ms) = (0.0, 0.0_f64);
        for block in 0..blocks {
            now_ms = now_ms.max(due_ms + late_ms(block));
            while called_ms + period_ms / (1.0 + ppm / 1e6) <= now_ms {
                called_ms += period_ms / (1.0 + ppm / 1e6);
                let lacks_ms = (period_ms - ring_ms).max(0.0);
                ring_ms = (ring_ms - period_ms).max(0.0);
                missed_ms += if block > 0 { lacks_ms } else { 0.0 };
            }
            let ring = Ring { ahead_ms: ring_ms, period_ms, since_ms: now_ms - called_ms };
            let (silence_ms, later_us) = match (block, missed_ms) {
                (0, _) => (pace.start(ring), 0),
                (_, 0.0) => (0.0, pace.go_on(ring)),
                _ => (pace.ran_dry(ring), 0),
            };
            if block > blocks / 2 {
                seen.missed_ms += missed_ms;
                seen.waited_ms.push(ring_ms + silence_ms + period_ms - ring.since_ms);
            }
            missed_ms = 0.0;
            ring_ms += silence_ms + 20.0;
            due_ms += 20.0 + later_us as f64 / 1000.0;
        }
        seen.waited_ms.sort_by(f64::total_cmp);
        seen
    }

    /// Numbers in a scrambled but repeatable order, from 0.0 to 1.0.
    fn noise(n: u32) -> f64 {
        f64::from(n.wrapping_mul(2_654_435_761).rotate_left(13).wrapping_mul(2_246_822_519) >> 8) / f64::from(1 << 24)
    }

    #[test]
    fn a_punctual_thread_writes_a_few_milliseconds_ahead_whatever_the_period() {
        for (period_ms, most_ms) in [(5.0, 12.0), (10.0, 17.0), (21.333, 33.0)] {
            for ppm in [-300.0, 0.0, 300.0] {
                let seen = play(period_ms, ppm, 6_000, |block| 0.2 * noise(block));
                assert!(seen.missed_ms == 0.0 && seen.median_ms() < most_ms, "{period_ms} {ppm}: {}", seen.median_ms());
            }
        }
    }

    #[test]
    fn a_thread_that_is_often_late_is_given_the_time_it_needs() {
        let late = |block: u32| if noise(block) < 0.05 { 12.0 } else { noise(block + 7) };
        let seen = play(10.0, 100.0, 6_000, late);
        // Of some 150 late blocks one may come after a time without any, of which the thread was forgiven.
        assert!(seen.missed_ms <= 10.0, "{}", seen.missed_ms);
        assert!(seen.median_ms() < 32.0, "{}", seen.median_ms());
    }

    #[test]
    fn a_stall_lengthens_neither_what_comes_half_a_minute_later_nor_the_next_starts() {
        let seen = play(10.0, 0.0, 3_000, |block| if block == 100 { 150.0 } else { 0.2 * noise(block) });
        assert!(seen.missed_ms == 0.0 && seen.median_ms() < 17.0, "{}", seen.median_ms());
        let mut pace = Pace::new();
        let stalled = Ring { ahead_ms: 190.0, period_ms: 10.0, since_ms: 5.0 };
        for _ in 0..150 {
            let _ = pace.go_on(stalled);
        }
        let silence_ms = pace.start(Ring { ahead_ms: 0.0, ..stalled });
        assert!(silence_ms <= 20.0, "{silence_ms}");
    }

    #[test]
    fn after_a_lateness_that_does_not_come_again_the_delay_goes_back() {
        let seen = play(10.0, 0.0, 12_000, |block| if block == 100 { 60.0 } else { 0.2 * noise(block) });
        assert!(seen.missed_ms == 0.0 && seen.median_ms() < 17.0, "{}", seen.median_ms());
    }
}
