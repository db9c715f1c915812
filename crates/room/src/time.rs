//! The crate's own monotonic time: the driver says what time it is, and a simulator says it too.

use core::{fmt, num::NonZeroU64, ops::Sub, time::Duration};

/// A point on the driver's monotonic clock, in microseconds from an origin of the driver's choice.
///
/// It is kept one up, so that an `Option<Instant>`, of which a room has many, takes no more than the eight bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(NonZeroU64);

impl Instant {
    /// The origin.
    pub const ZERO: Instant = Instant(NonZeroU64::MIN);

    /// The point `us` microseconds after the origin.
    pub const fn from_micros(us: u64) -> Self {
        Instant(NonZeroU64::MIN.saturating_add(us))
    }

    /// Microseconds since the origin.
    pub const fn as_micros(self) -> u64 {
        self.0.get() - 1
    }

    /// The point `by` later; it stops at the end of time, which is half a million years away.
    pub fn after(self, by: Duration) -> Self {
        Instant(self.0.saturating_add(u64::try_from(by.as_micros()).unwrap_or(u64::MAX)))
    }

    /// How long ago `earlier` was; zero where it was not earlier.
    pub fn since(self, earlier: Instant) -> Duration {
        Duration::from_micros(self.0.get().saturating_sub(earlier.0.get()))
    }
}

impl Sub for Instant {
    type Output = Duration;
    fn sub(self, earlier: Instant) -> Duration {
        self.since(earlier)
    }
}

impl Default for Instant {
    fn default() -> Self {
        Instant::ZERO
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Instant({})", self.as_micros())
    }
}
