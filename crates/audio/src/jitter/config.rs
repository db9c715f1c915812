//! How much a voice is delayed, by who listens.

use super::{DELAY_MS_MAX, DELAY_MS_MIN};

/// How much a voice is delayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JitterConfig {
    /// The target never falls below this; [`DELAY_MS_MIN`] at least. The default, 40 ms, covers the pauses that a busy
    /// machine's scheduler makes.
    pub floor_ms: u64,
    /// The target never rises above this, whatever the network does. By default it may rise as far as the delay.
    pub target_max_ms: u64,
    /// The delay never grows beyond this while nothing comes; [`DELAY_MS_MAX`] at most.
    pub max_ms: u64,
}

impl Default for JitterConfig {
    fn default() -> Self {
        JitterConfig { floor_ms: 40, target_max_ms: DELAY_MS_MAX, max_ms: DELAY_MS_MAX }
    }
}

/// Who has a second feed, as the room's setting says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// Nobody.
    Off,
    /// Those who feed others.
    Relays,
    /// Everyone.
    All,
}

/// Who hears a voice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// By one who speaks too, linked to the speaker directly.
    Stage,
    /// Down the tree.
    Audience {
        /// The room's.
        protection: Protection,
        /// Hops from the roots; 1 for those that a root feeds.
        depth: u32,
    },
}

/// Beyond this on stage people begin to talk into each other, which is worse than a frame that is concealed.
const STAGE_TARGET_MS_MAX: u64 = 60;
/// What a feed that comes from a root or from two ways needs: pauses of a busy machine's scheduler.
const STEADY_MS: u64 = 40;
/// What QUIC takes to bring a lost packet again where the round trip is 50 ms: three later packets must come first (RFC 9002, section
/// 6.1.1), 60 ms of one voice; 70 to 95 ms were measured. Below relays with one feed each a gap opens on any of the hops.
const RETRANSMITTED_MS: u64 = 80;
/// The same where relays, but not the listener itself, have a second feed: only the last hop's losses wait for that.
const LAST_HOP_MS: u64 = 60;
/// What each hop below the first adds: a thread that wakes, a queue.
const HOP_MS: u64 = 5;
/// Beyond this many the delays of hops even out.
const HOPS_MAX: u32 = 8;

impl JitterConfig {
    /// Bounds of the target and the largest delay, in microseconds.
    pub(super) fn bounds_us(&self) -> ((i64, i64), i64) {
        let max_us = self.max_ms.clamp(DELAY_MS_MIN, DELAY_MS_MAX) as i64 * 1000;
        let within = |ms: u64| (ms.clamp(DELAY_MS_MIN, DELAY_MS_MAX) as i64 * 1000).min(max_us);
        ((within(self.floor_ms), within(self.target_max_ms.max(self.floor_ms))), max_us)
    }

    /// What fits a listener. The network itself raises the target from this floor, so the floor covers what is seldom, and therefore not
    /// learned in time: retransmissions, and the switch from one feed to another.
    #[must_use]
    pub fn of(listener: Listener) -> Self {
        let Listener::Audience { protection, depth } = listener else {
            return JitterConfig {
                floor_ms: DELAY_MS_MIN,
                target_max_ms: STAGE_TARGET_MS_MAX,
                ..JitterConfig::default()
            };
        };
        let feed_ms = match protection {
            // Between a root and those that it feeds there is no relay that could leave.
            _ if depth <= 1 => STEADY_MS,
            Protection::Off => RETRANSMITTED_MS,
            Protection::Relays => LAST_HOP_MS,
            Protection::All => STEADY_MS,
        };
        let hops = u64::from(depth.saturating_sub(1).min(HOPS_MAX));
        JitterConfig { floor_ms: feed_ms + hops * HOP_MS, ..JitterConfig::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn audience(protection: Protection, depth: u32) -> u64 {
        JitterConfig::of(Listener::Audience { protection, depth }).floor_ms
    }

    #[test]
    fn on_stage_the_target_stays_between_20_and_60_ms() {
        let config = JitterConfig::of(Listener::Stage);
        assert_eq!((config.floor_ms, config.target_max_ms, config.max_ms), (20, 60, 400));
    }

    #[test]
    fn the_fewer_feeds_and_the_deeper_the_longer_and_never_without_end() {
        for depth in 2..100 {
            let [all, relays, off] =
                [Protection::All, Protection::Relays, Protection::Off].map(|protection| audience(protection, depth));
            assert!(all < relays && relays < off && off <= 120, "{depth}: {all} {relays} {off}");
            assert!(audience(Protection::All, depth + 1) >= all);
        }
        assert_eq!([0, 1, 4].map(|depth| audience(Protection::All, depth)), [40, 40, 55]);
        assert_eq!([1, 2, u32::MAX].map(|depth| audience(Protection::Off, depth)), [40, 85, 120]);
    }
}
