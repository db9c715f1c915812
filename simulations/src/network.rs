//! What the network between members does: the seams that delay and loss models fill.

/// How long light and routers take between two sites. A model is a pure function: the same pair, the same answer.
pub trait Delay: Send + Sync {
    /// One-way propagation in microseconds between two sites, last miles included, without jitter and queues. Symmetric.
    fn one_way_us(&self, a: u32, b: u32) -> u64;

    /// A name for results.
    fn name(&self) -> &str;
}

/// How packets of a link are lost. A lost packet of a stream comes late, by what recovery takes; one of a datagram is gone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loss {
    /// None.
    None,
    /// Each packet on its own, with this probability.
    Independent {
        /// 0 to 1.
        share: f64,
    },
    /// Gilbert's two-state chain (E. N. Gilbert, "Capacity of a burst-noise channel", 1960): in the bad state every packet
    /// is lost.
    Bursty {
        /// Probability of going bad at each packet.
        enter: f64,
        /// Probability of going good again at each packet: the reciprocal of the mean length of a burst.
        leave: f64,
    },
}

/// How long QUIC takes to recover a lost packet beyond its usual way: one and a half round trips and an acknowledgement's
/// delay. Measured over one QUIC hop at a round trip of 50 ms: 70 to 95 ms (docs/measurements.md).
pub fn recovery_us(one_way_us: u64) -> u64 {
    3 * one_way_us + 10_000
}
