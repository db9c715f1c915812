//! What can be said of a mean from a few runs, and of the difference between two strategies.
//!
//! Runs under different seeds are independent; what is inside one run is not. So the run is the unit that is resampled: the
//! percentile bootstrap of B. Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7 (1979), over one
//! value a seed. Two strategies under the same seed met the same members, churn, network and talk, so their difference is
//! taken seed by seed before it is averaged: what the seeds have in common cancels.
//!
//! The percentile bootstrap is a little too narrow for few runs: below [`SAMPLES_MIN`] an interval is a hint.

use std::collections::BTreeMap;

use rand::RngExt;

use crate::random::Stream;

/// Runs from which on an interval is worth its name.
pub const SAMPLES_MIN: usize = 10;
/// Confidence of all intervals.
pub const CONFIDENCE: f64 = 0.95;
/// Times that runs are drawn again.
const RESAMPLES: usize = 2000;

/// A mean over runs with its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The mean.
    pub mean: f64,
    /// The interval's ends; none with a single run.
    pub bounds: Option<(f64, f64)>,
    /// Runs.
    pub samples: usize,
}

impl Interval {
    /// The lower end; the mean where there is no interval.
    pub fn low(&self) -> f64 {
        self.bounds.map_or(self.mean, |bounds| bounds.0)
    }

    /// The upper end; the mean where there is no interval.
    pub fn high(&self) -> f64 {
        self.bounds.map_or(self.mean, |bounds| bounds.1)
    }

    /// Whether the interval leaves out nought: whether a difference is one.
    pub fn is_clear(&self) -> bool {
        self.bounds.is_some_and(|(low, high)| low > 0.0 || high < 0.0)
    }
}

/// The draws of runs with replacement, the same for the same number of runs: curves are resampled as a whole.
pub struct Bootstrap {
    samples: usize,
    /// Which runs each resample consists of, one after another.
    draws: Vec<u32>,
}

impl Bootstrap {
    /// Draws for this many runs.
    pub fn new(samples: usize) -> Self {
        let mut rng = Stream::Bootstrap.rng(samples as u64);
        let count = if samples < 2 { 0 } else { samples * RESAMPLES };
        let draws = (0..count).map(|_| rng.random_range(0..samples as u32)).collect();
        Bootstrap { samples, draws }
    }

    /// The interval of a mean of values, one for each run; none where there are none, or where one is not finite.
    pub fn mean(&self, values: &[f64]) -> Option<Interval> {
        debug_assert_eq!(values.len(), self.samples, "one value for each run");
        if values.is_empty() || values.iter().any(|value| !value.is_finite()) {
            return None;
        }
        let mean_of = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / self.samples as f64;
        let mean = mean_of(&mut values.iter().copied());
        let mut means: Vec<f64> = self
            .draws
            .chunks(self.samples)
            .map(|draw| mean_of(&mut draw.iter().filter_map(|run| values.get(*run as usize).copied())))
            .collect();
        means.sort_unstable_by(f64::total_cmp);
        let at = |share: f64| means.get((share * (means.len() as f64 - 1.0)).round() as usize).copied();
        let tail = (1.0 - CONFIDENCE) / 2.0;
        let bounds = at(tail).zip(at(1.0 - tail));
        Some(Interval { mean, bounds, samples: self.samples })
    }
}

/// The interval of the mean of values, one for each run.
pub fn mean(values: &[f64]) -> Option<Interval> {
    Bootstrap::new(values.len()).mean(values)
}

/// The interval of the mean difference `a - b` over the seeds that both have; none where they have none in common.
pub fn paired_difference(a: &BTreeMap<u64, f64>, b: &BTreeMap<u64, f64>) -> Option<Interval> {
    let differences: Vec<f64> = a.iter().filter_map(|(seed, a)| b.get(seed).map(|b| a - b)).collect();
    mean(&differences)
}

#[cfg(test)]
mod tests {
    use rand_distr::{Distribution, Exp1, StandardNormal};

    use super::*;
    use crate::random::Rng;

    /// How often the interval of samples holds the true mean.
    fn coverage(samples: usize, mean: f64, draw: impl Fn(&mut Rng) -> f64) -> f64 {
        let mut rng = Stream::Members.rng(11);
        let bootstrap = Bootstrap::new(samples);
        let trials = 1000;
        let holds = (0..trials).filter(|_| {
            let values: Vec<f64> = (0..samples).map(|_| draw(&mut rng)).collect();
            bootstrap.mean(&values).is_some_and(|of| of.low() <= mean && mean <= of.high())
        });
        holds.count() as f64 / f64::from(trials)
    }

    #[test]
    fn the_interval_of_normal_samples_holds_their_mean_as_often_as_it_says() {
        let share = coverage(50, 3.0, |rng| 3.0 + 2.0 * Distribution::<f64>::sample(&StandardNormal, rng));
        assert!((0.92..=0.97).contains(&share), "{share}");
    }

    #[test]
    fn ten_skewed_samples_cover_less_but_not_much() {
        let share = coverage(10, 1.0, |rng| Exp1.sample(rng));
        assert!((0.82..=0.95).contains(&share), "{share}");
    }

    #[test]
    fn the_width_is_that_of_the_central_limit() {
        let mut rng = Stream::Members.rng(3);
        let values: Vec<f64> = (0..400).map(|_| StandardNormal.sample(&mut rng)).collect();
        let of = mean(&values).expect("there are samples");
        // Two times 1.96 standard errors of 1/20.
        let width = of.high() - of.low();
        assert!((width - 0.196).abs() < 0.03, "{width}");
    }

    #[test]
    fn pairs_see_a_difference_that_two_intervals_do_not() {
        let mut rng = Stream::Members.rng(5);
        let (mut a, mut b) = (BTreeMap::new(), BTreeMap::new());
        for seed in 0..10 {
            let world: f64 = 100.0 * Distribution::<f64>::sample(&StandardNormal, &mut rng);
            let noise: f64 = StandardNormal.sample(&mut rng);
            a.insert(seed, world + 5.0 + noise);
            b.insert(seed, world);
        }
        let difference = paired_difference(&a, &b).expect("they have seeds in common");
        assert!(difference.is_clear() && (difference.mean - 5.0).abs() < 1.0, "{difference:?}");
        let of = |values: &BTreeMap<u64, f64>| mean(&values.values().copied().collect::<Vec<_>>()).expect("samples");
        assert!(of(&a).low() < of(&b).high(), "apart, they overlap");
    }

    #[test]
    fn one_run_has_no_interval_and_none_no_mean() {
        assert_eq!(mean(&[4.0]), Some(Interval { mean: 4.0, bounds: None, samples: 1 }));
        assert_eq!(mean(&[]), None);
        assert_eq!(mean(&[1.0, f64::NAN]), None);
        assert_eq!(paired_difference(&BTreeMap::from([(1, 2.0)]), &BTreeMap::from([(2, 2.0)])), None);
    }

    #[test]
    fn equal_runs_have_an_interval_of_no_width() {
        assert_eq!(mean(&[0.5; 10]).and_then(|of| of.bounds), Some((0.5, 0.5)));
    }
}
