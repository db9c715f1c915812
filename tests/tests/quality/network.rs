//! A network that loses and delays packets, the same for the same seed.

use std::time::Duration;

/// Which packets never come.
#[derive(Clone, Copy, Debug)]
pub enum Loss {
    None,
    /// Each on its own with this probability.
    Random(f64),
    /// Two states (Gilbert, Bell System Technical Journal 1960): all is lost in the bad one. `share` of all packets, `frames` in a
    /// row on average.
    Bursts {
        share: f64,
        frames: f64,
    },
}

/// How packets are delayed beyond the least that the way takes.
#[derive(Clone, Copy, Debug)]
pub enum Jitter {
    None,
    /// Anything up to twice as much, all as likely: what `tc netem delay 60ms 30ms` does with 30.
    Around(f64),
}

/// The least that the way takes.
const WAY: Duration = Duration::from_millis(30);
const FRAME: Duration = Duration::from_millis(20);

/// When packet n arrives, counted from when the first sample of packet 0 was spoken; none if never.
pub fn arrivals(count: u32, loss: Loss, jitter: Jitter, seed: u64) -> Vec<Option<Duration>> {
    let mut random = Random(seed);
    let mut bad = false;
    (0..count)
        .map(|n| {
            let lost = match loss {
                Loss::None => false,
                Loss::Random(share) => random.next() < share,
                Loss::Bursts { share, frames } => {
                    let leaves = 1.0 / frames;
                    let enters = leaves * share / (1.0 - share);
                    bad = if bad { random.next() >= leaves } else { random.next() < enters };
                    bad
                }
            };
            let extra = match jitter {
                Jitter::None => 0.0,
                Jitter::Around(ms) => 2.0 * ms * random.next() / 1000.0,
            };
            (!lost).then(|| FRAME * (n + 1) + WAY + Duration::from_secs_f64(extra))
        })
        .collect()
}

/// SplitMix64 (Steele et al., OOPSLA 2014).
struct Random(u64);

impl Random {
    /// From 0.0 up to, and not including, 1.0.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}
