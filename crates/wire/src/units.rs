//! Quantities that must not be confused with each other.

use serde::{Deserialize, Serialize};

/// Samples a second, everywhere on the wire.
pub const SAMPLE_RATE_HZ: u32 = 48_000;
/// Samples of one voice in a frame: 20 ms at 48 kHz.
pub const FRAME_SAMPLES: u32 = 960;
/// Length of a frame, in milliseconds.
pub const FRAME_MS: u64 = 20;

/// The n-th 20 ms of a voice, counted from the start of its speaker's session; silence counts too.
///
/// 32 bits last 2.7 years, so a number never wraps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct FrameNumber(pub u32);

impl FrameNumber {
    /// The frame `count` later, or `None` at the end of the number space.
    pub fn checked_add(self, count: u32) -> Option<Self> {
        self.0.checked_add(count).map(FrameNumber)
    }

    /// The frame `count` later, stopping at the end of the number space.
    pub fn saturating_add(self, count: u32) -> Self {
        FrameNumber(self.0.saturating_add(count))
    }

    /// The frame `count` earlier, stopping at zero.
    pub fn saturating_sub(self, count: u32) -> Self {
        FrameNumber(self.0.saturating_sub(count))
    }
}

/// When a frame's first sample was captured, in samples at 48 kHz on the speaker's own clock, from any origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct CaptureTime(pub u64);

/// Wall-clock time in seconds since 1970; only expiry uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct UnixSeconds(pub u64);

/// The span in which one room key is valid: the term of the acting host and a number that grows within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Epoch {
    /// How often the host's role has passed on.
    pub term: u16,
    /// How often the key has changed within the term.
    pub number: u32,
}
