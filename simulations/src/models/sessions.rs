//! How long members stay, and how they go.
//!
//! - `lognormal`: live-streaming sessions as Veloso et al. found them ("A hierarchical characterization of a live streaming media
//!   workload", IEEE/ACM ToN 14(1), 2006): the logarithm of seconds has mean 5.235 and standard deviation 1.544. Capped at 4 h,
//!   the mean is about ten minutes.
//! - `exponential`, `fixed`, `forever`: for comparison with other simulations.
//!
//! Who is there at a moment is not a fair sample of sessions: long ones are met more often. [`Sessions::residual_us`] draws how long
//! such a member still stays: its density is the survival function over the mean (renewal theory; W. Feller, "An introduction to
//! probability theory and its applications", volume 2, XI.4).

use rand::RngExt;
use rand_distr::{Distribution, Exp1, StandardNormal};
use serde::{Deserialize, Serialize};

use crate::{
    plan::Departure,
    random::Rng,
    scenario::units::{Share, Time},
};

/// How the lengths of sessions are distributed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Model {
    /// Lognormal, capped.
    #[default]
    Lognormal,
    /// Exponential.
    Exponential,
    /// All the same.
    Fixed,
    /// Nobody leaves.
    Forever,
}

/// The section `[sessions]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Sessions {
    /// Which of the models below. Default `lognormal`.
    pub model: Model,
    /// Share of departures that are crashes: nobody is told. Default 20 %.
    pub crash: Share,
    /// Settings of `lognormal`.
    pub lognormal: Lognormal,
    /// Settings of `exponential`.
    pub exponential: Exponential,
    /// Settings of `fixed`.
    pub fixed: Fixed,
}

/// The section `[sessions.lognormal]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Lognormal {
    /// Mean of the logarithm of seconds. Default 5.235.
    pub mu: f64,
    /// Standard deviation of it. Default 1.544.
    pub sigma: f64,
    /// Nobody stays longer. Default 4 h.
    pub cap: Time,
}

/// The section `[sessions.exponential]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Exponential {
    /// Mean. Default 10 min.
    pub mean: Time,
}

/// The section `[sessions.fixed]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Fixed {
    /// Length. Default 10 min.
    pub length: Time,
}

impl Default for Lognormal {
    fn default() -> Self {
        Lognormal { mu: 5.235, sigma: 1.544, cap: Time(4 * 3_600_000_000) }
    }
}

impl Default for Exponential {
    fn default() -> Self {
        Exponential { mean: Time(600_000_000) }
    }
}

impl Default for Fixed {
    fn default() -> Self {
        Fixed { length: Time(600_000_000) }
    }
}

impl Default for Sessions {
    fn default() -> Self {
        Sessions {
            model: Model::default(),
            crash: Share(0.2),
            lognormal: Lognormal::default(),
            exponential: Exponential::default(),
            fixed: Fixed::default(),
        }
    }
}

impl Sessions {
    /// Draws the length of a session in microseconds; none where nobody leaves.
    pub fn length_us(&self, rng: &mut Rng) -> Option<u64> {
        let seconds = match self.model {
            Model::Lognormal => {
                let Lognormal { mu, sigma, cap } = self.lognormal;
                let normal: f64 = StandardNormal.sample(rng);
                (mu + sigma * normal).exp().min(cap.seconds())
            }
            Model::Exponential => {
                let exponential: f64 = Exp1.sample(rng);
                self.exponential.mean.seconds() * exponential
            }
            Model::Fixed => self.fixed.length.seconds(),
            Model::Forever => return None,
        };
        Some((seconds * 1e6) as u64)
    }

    /// Draws how long a member that is there already still stays, in microseconds.
    pub fn residual_us(&self, rng: &mut Rng) -> Option<u64> {
        let seconds = match self.model {
            Model::Lognormal => loop {
                // Sessions met are lognormal about mu + sigma^2; a member met is at a uniform point of its own. The cap cuts the
                // survival function, hence the residual, off.
                let Lognormal { mu, sigma, cap } = self.lognormal;
                let normal: f64 = StandardNormal.sample(rng);
                let seconds = (mu + sigma * sigma + sigma * normal).exp() * rng.random::<f64>();
                if seconds < cap.seconds() {
                    break seconds;
                }
            },
            Model::Exponential => return self.length_us(rng),
            Model::Fixed => self.fixed.length.seconds() * rng.random::<f64>(),
            Model::Forever => return None,
        };
        Some((seconds * 1e6) as u64)
    }

    /// Mean length in seconds; none where nobody leaves.
    pub fn mean_s(&self) -> Option<f64> {
        match self.model {
            Model::Lognormal => {
                let Lognormal { mu, sigma, cap } = self.lognormal;
                let cap = cap.seconds();
                let below = |mean: f64| normal_below((cap.ln() - mean) / sigma);
                Some((mu + sigma * sigma / 2.0).exp() * below(mu + sigma * sigma) + cap * (1.0 - below(mu)))
            }
            Model::Exponential => Some(self.exponential.mean.seconds()),
            Model::Fixed => Some(self.fixed.length.seconds()),
            Model::Forever => None,
        }
    }

    /// Draws how a member goes.
    pub fn departure(&self, rng: &mut Rng) -> Departure {
        if rng.random::<f64>() < self.crash.0 { Departure::Crash } else { Departure::Polite }
    }
}

/// The standard normal distribution function.
fn normal_below(x: f64) -> f64 {
    0.5 * libm::erfc(-x / std::f64::consts::SQRT_2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    fn draws(sessions: &Sessions, draw: fn(&Sessions, &mut Rng) -> Option<u64>) -> Vec<f64> {
        let mut rng = Stream::Sessions.rng(7);
        let mut of: Vec<f64> =
            (0..1_000_000).map(|_| draw(sessions, &mut rng).expect("they end") as f64 / 1e6).collect();
        of.sort_by(f64::total_cmp);
        of
    }

    fn mean(of: &[f64]) -> f64 {
        of.iter().sum::<f64>() / of.len() as f64
    }

    #[test]
    fn lognormal_sessions_have_their_median_and_mean() {
        let sessions = Sessions::default();
        let of = draws(&sessions, Sessions::length_us);
        let median = of[of.len() / 2];
        assert!((median / 5.235_f64.exp() - 1.0).abs() < 0.02, "{median}");
        let expected = sessions.mean_s().expect("they end");
        assert!((540.0..600.0).contains(&expected), "{expected}");
        assert!((mean(&of) / expected - 1.0).abs() < 0.02, "{} for {expected}", mean(&of));
        assert!(of[of.len() - 1] <= 14_400.0);
    }

    #[test]
    fn residuals_have_the_mean_of_renewal_theory() {
        for model in [Model::Lognormal, Model::Exponential, Model::Fixed] {
            let sessions = Sessions { model, ..Sessions::default() };
            let of = draws(&sessions, Sessions::length_us);
            // E[L^2] / 2 E[L].
            let expected = of.iter().map(|length| length * length).sum::<f64>() / of.len() as f64 / mean(&of) / 2.0;
            let residuals = mean(&draws(&sessions, Sessions::residual_us));
            assert!((residuals / expected - 1.0).abs() < 0.03, "{model:?}: {residuals} for {expected}");
        }
    }

    #[test]
    fn one_departure_in_five_is_a_crash() {
        let mut rng = Stream::Sessions.rng(7);
        let sessions = Sessions::default();
        let crashes = (0..100_000).filter(|_| sessions.departure(&mut rng) == Departure::Crash).count();
        assert!((19_500..20_500).contains(&crashes), "{crashes}");
    }
}
