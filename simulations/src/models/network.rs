//! What happens to a packet on its way besides propagation: loss, jitter, and how long silence is borne.
//!
//! Loss is independent, or comes in bursts by Gilbert's two-state chain (E. N. Gilbert, "Capacity of a burst-noise channel", Bell System
//! Technical Journal 39, 1960): in the bad state every packet is lost. A scenario gives the share of lost packets and the mean
//! number of packets in a burst; from them follow the chain's two probabilities. Jitter is exponential.

use serde::{Deserialize, Serialize};

use crate::{
    network::Loss,
    scenario::units::{Share, Time},
};

/// The section `[network]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct NetworkSettings {
    /// Share of packets of a hop that are lost. Default 0 %.
    pub loss: Share,
    /// Mean number of packets that are lost in a row; 1 for losses that do not depend on each other. Default 1.
    pub mean_burst: f64,
    /// Mean of the jitter that each message adds. Default 1 ms.
    pub jitter: Time,
    /// A link whose other end is silent is given up after this. Default 10 s, QUIC's idle timeout in libp2p.
    pub idle: Time,
    /// An attempt to connect that nobody answers fails after this. Default 4 s.
    pub dial: Time,
    /// Standard deviation of the relative error of round trips that a member did not measure itself. Default 30 %.
    pub distance_error: Share,
}

impl Default for NetworkSettings {
    fn default() -> Self {
        NetworkSettings {
            loss: Share(0.0),
            mean_burst: 1.0,
            jitter: Time(1_000),
            idle: Time(10_000_000),
            dial: Time(4_000_000),
            distance_error: Share(0.3),
        }
    }
}

impl NetworkSettings {
    /// The loss model.
    pub fn loss(&self) -> Loss {
        let share = self.loss.0;
        if share == 0.0 {
            Loss::None
        } else if self.mean_burst <= 1.0 {
            Loss::Independent { share }
        } else {
            // The share of time in the bad state is enter / (enter + leave).
            let leave = 1.0 / self.mean_burst;
            Loss::Bursty { enter: leave * share / (1.0 - share), leave }
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;
    use crate::random::Stream;

    #[test]
    fn bursts_have_their_share_and_length() {
        let settings = NetworkSettings { loss: Share(0.02), mean_burst: 3.0, ..NetworkSettings::default() };
        let Loss::Bursty { enter, leave } = settings.loss() else { panic!("{:?}", settings.loss()) };
        let mut rng = Stream::Network.rng(1);
        let (mut bad, mut lost, mut bursts) = (false, 0, 0);
        let packets = 2_000_000;
        for _ in 0..packets {
            let flips = rng.random_bool(if bad { leave } else { enter });
            bad ^= flips;
            lost += u32::from(bad);
            bursts += u32::from(bad && flips);
        }
        let share = f64::from(lost) / f64::from(packets);
        assert!((share / 0.02 - 1.0).abs() < 0.04, "{share}");
        let length = f64::from(lost) / f64::from(bursts);
        assert!((length / 3.0 - 1.0).abs() < 0.04, "{length}");
    }

    #[test]
    fn bursts_of_one_are_none() {
        let mut settings = NetworkSettings::default();
        assert_eq!(settings.loss(), Loss::None);
        settings.loss = Share(0.1);
        assert_eq!(settings.loss(), Loss::Independent { share: 0.1 });
    }
}
