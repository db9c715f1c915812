//! Random streams: one per subsystem, so that a change in one draws nothing from another.
//!
//! Each stream is a xoshiro256++ generator (Blackman and Vigna, "Scrambled linear pseudorandom number generators", 2021)
//! seeded by SplitMix64 from the scenario's seed and the stream's name. Two strategies under one seed therefore meet the same
//! members, churn, network and talk.

pub use rand_xoshiro::Xoshiro256PlusPlus as Rng;

use rand_xoshiro::rand_core::SeedableRng;

/// Who draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Where members are and what they connect by.
    Members,
    /// When they come.
    Arrivals,
    /// How long they stay and how they go.
    Sessions,
    /// Who speaks when.
    Talk,
    /// Who is hostile.
    Adversaries,
    /// What the script of a scenario draws, such as the relays that fail at once.
    Script,
    /// Jitter and loss of each message.
    Network,
    /// What the strategy draws.
    Strategy,
    /// Resampling in the statistics.
    Bootstrap,
    /// What flow mode draws in place of what happens to each packet.
    Flow,
}

impl Stream {
    /// The generator of this stream under a seed.
    pub fn rng(self, seed: u64) -> Rng {
        Rng::seed_from_u64(mix(seed ^ mix(self as u64 + 1)))
    }
}

/// The finaliser of SplitMix64: a good hash of one number.
pub fn mix(of: u64) -> u64 {
    let mut z = of.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
