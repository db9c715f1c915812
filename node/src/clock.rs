//! The machine's monotonic clock, so that logs of several processes on one machine can be joined.
//!
//! `std::time::Instant` hides its origin. The mapping to nanoseconds of `CLOCK_MONOTONIC` is taken once at start; on
//! Linux both are the same clock, so it holds for the life of the process.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Maps instants to nanoseconds of the machine's monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
    origin_ns: u64,
}

impl Clock {
    /// Takes the mapping now.
    pub fn start() -> Self {
        let before = Instant::now();
        let time = clock_gettime(ClockId::Monotonic);
        let half = before.elapsed() / 2;
        let time = Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0));
        Clock { origin: before + half, origin_ns: nanos(time) }
    }

    /// The instant in nanoseconds of the monotonic clock.
    pub fn ns(&self, instant: Instant) -> u64 {
        match instant.checked_duration_since(self.origin) {
            Some(after) => self.origin_ns.saturating_add(nanos(after)),
            None => self.origin_ns.saturating_sub(nanos(self.origin - instant)),
        }
    }

    /// Now, in nanoseconds of the monotonic clock.
    pub fn now_ns(&self) -> u64 {
        self.ns(Instant::now())
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_mappings_of_one_machine_agree() {
        let (a, b) = (Clock::start(), Clock::start());
        let now = Instant::now();
        assert!(a.ns(now).abs_diff(b.ns(now)) < 5_000_000);
        let earlier = now - Duration::from_millis(10);
        assert_eq!(a.ns(now) - a.ns(earlier), 10_000_000);
    }
}
