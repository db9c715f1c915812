//! Worlds without distance, for the published experiments that other papers ran: delay drawn for each pair of members.
//!
//! - `uniform`: between two bounds, as in Protocol Labs' evaluation of GossipSub (D. Vyzovitis et al., 2020).
//! - `regions`: EU, US and Asia with a mean for each pair of regions and a normal deviation for each pair of members, as in the
//!   simulation of Ethereum's `lean-gossip`: one way 120, 220 and 200 ms between EU and US, EU and Asia, US and Asia, and 30, 30 and
//!   40 ms within. Its deviation of 0.3 of the mean is read as one of pairs, not of messages: paths differ from each other more than
//!   they vary.

use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::{normal_quantile, pair_uniform};
use crate::{
    network::Delay,
    random::Rng,
    scenario::units::{Share, Time},
};

/// The section `[delay.uniform]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct UniformSettings {
    /// Least one-way delay. Default 10 ms.
    pub min: Time,
    /// Greatest. Default 150 ms.
    pub max: Time,
}

/// The section `[delay.regions]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct RegionsSettings {
    /// Share of members in the EU. Default 30 %.
    pub eu: Share,
    /// Share in the US. Default 40 %.
    pub us: Share,
    /// Share in Asia. Default 30 %.
    pub asia: Share,
    /// Mean one-way delay within the EU. Default 30 ms.
    pub eu_eu: Time,
    /// Within the US. Default 30 ms.
    pub us_us: Time,
    /// Within Asia. Default 40 ms.
    pub asia_asia: Time,
    /// Between EU and US. Default 120 ms.
    pub eu_us: Time,
    /// Between EU and Asia. Default 220 ms.
    pub eu_asia: Time,
    /// Between US and Asia. Default 200 ms.
    pub us_asia: Time,
    /// Standard deviation of a pair's delay, as a share of the mean. Default 30 %.
    pub sd: Share,
}

impl Default for UniformSettings {
    fn default() -> Self {
        UniformSettings { min: Time(10_000), max: Time(150_000) }
    }
}

impl Default for RegionsSettings {
    fn default() -> Self {
        let ms = |ms: u64| Time(ms * 1000);
        RegionsSettings {
            eu: Share(0.3),
            us: Share(0.4),
            asia: Share(0.3),
            eu_eu: ms(30),
            us_us: ms(30),
            asia_asia: ms(40),
            eu_us: ms(120),
            eu_asia: ms(220),
            us_asia: ms(200),
            sd: Share(0.3),
        }
    }
}

/// Each pair between two bounds.
pub struct Uniform {
    seed: u64,
    min_us: u64,
    span_us: f64,
}

impl Uniform {
    /// The delays of a seed.
    pub fn new(settings: UniformSettings, seed: u64) -> Self {
        let span_us = settings.max.0.saturating_sub(settings.min.0) as f64;
        Uniform { seed, min_us: settings.min.0, span_us }
    }
}

impl Delay for Uniform {
    fn one_way_us(&self, a: u32, b: u32) -> u64 {
        self.min_us + (pair_uniform(self.seed, a, b) * self.span_us) as u64
    }

    fn name(&self) -> &str {
        "uniform"
    }
}

/// Members in three regions.
pub struct Regions {
    seed: u64,
    mean_us: [[f64; 3]; 3],
    sd: f64,
    region: Vec<u8>,
}

impl Regions {
    /// Settles this many sites.
    pub fn new(settings: RegionsSettings, sites: u32, seed: u64, rng: &mut Rng) -> Self {
        let RegionsSettings { eu_eu, us_us, asia_asia, eu_us, eu_asia, us_asia, .. } = settings;
        let us = |time: Time| time.0 as f64;
        let mean_us = [
            [us(eu_eu), us(eu_us), us(eu_asia)],
            [us(eu_us), us(us_us), us(us_asia)],
            [us(eu_asia), us(us_asia), us(asia_asia)],
        ];
        let region = |at: f64| u8::from(at >= settings.eu.0) + u8::from(at >= settings.eu.0 + settings.us.0);
        let region = (0..sites).map(|_| region(rng.random())).collect();
        Regions { seed, mean_us, sd: settings.sd.0, region }
    }
}

impl Delay for Regions {
    fn one_way_us(&self, a: u32, b: u32) -> u64 {
        let region = |site: u32| usize::from(self.region[site as usize % self.region.len()]);
        let normal = normal_quantile(pair_uniform(self.seed, a, b));
        // A message takes a millisecond at least.
        (self.mean_us[region(a)][region(b)] * (1.0 + self.sd * normal)).max(1000.0) as u64
    }

    fn name(&self) -> &str {
        "regions"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    #[test]
    fn regions_have_their_means_and_deviations() {
        let settings = RegionsSettings::default();
        let regions = Regions::new(settings, 2_000, 1, &mut Stream::Members.rng(1));
        for (a, b, mean_ms) in [(0, 0, 30.0), (2, 2, 40.0), (0, 1, 120.0), (0, 2, 220.0), (1, 2, 200.0)] {
            let region = &regions.region;
            let of = |wanted: u8| (0..2_000_u32).filter(move |site| region[*site as usize] == wanted);
            let delays: Vec<f64> = of(a)
                .take(300)
                .flat_map(|x| of(b).take(300).filter(move |y| *y != x).map(move |y| (x, y)))
                .map(|(x, y)| regions.one_way_us(x, y) as f64 / 1000.0)
                .collect();
            let mean = delays.iter().sum::<f64>() / delays.len() as f64;
            let sd = (delays.iter().map(|of| (of - mean).powi(2)).sum::<f64>() / delays.len() as f64).sqrt();
            assert!((mean / mean_ms - 1.0).abs() < 0.01, "{mean} for {mean_ms}");
            assert!((sd / mean_ms - 0.3).abs() < 0.01, "{sd} for {mean_ms}");
        }
        let share = |wanted: u8| regions.region.iter().filter(|region| **region == wanted).count() as f64 / 2_000.0;
        assert!((share(0) - 0.3).abs() < 0.04 && (share(1) - 0.4).abs() < 0.04, "{} {}", share(0), share(1));
    }

    #[test]
    fn uniform_pairs_fill_their_bounds_evenly() {
        let uniform = Uniform::new(UniformSettings::default(), 3);
        let mut delays: Vec<u64> = (0..40_000).map(|at| uniform.one_way_us(at, at + 17)).collect();
        delays.sort_unstable();
        for (share, expected) in [(0.1, 24_000), (0.5, 80_000), (0.9, 136_000)] {
            let of = delays[(share * 40_000.0) as usize];
            assert!(of.abs_diff(expected) < 2_000, "{of} for {expected}");
        }
        assert_eq!(uniform.one_way_us(4, 9), uniform.one_way_us(9, 4));
    }
}
