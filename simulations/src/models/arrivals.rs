//! Who comes when.
//!
//! Host and speakers come first and stay. `members` are there at the end of a ramp: they come spread over it, and stay as long
//! as somebody who is met in a room at a moment stays ([`Sessions::residual_us`]). To them a model adds:
//!
//! - `none`: nobody.
//! - `steady`: a Poisson process at the rate that keeps the population: members over mean session (Little's law).
//! - `poisson`: a Poisson process at a rate of its own.
//! - `flash`: `steady`, and a crowd that joins at a rate from a moment on.
//! - `trace`: what a file says; `members` counts for nothing. See [`trace`](super::trace).
//! - `ticks`: persons that leave and come back. See [`ticks`](super::ticks).

use rand::RngExt;
use rand_distr::{Distribution, Exp1};
use serde::{Deserialize, Serialize};

use super::{sessions::Sessions, ticks::Ticks, trace::Trace};
use crate::{
    plan::Departure,
    random::Stream,
    scenario::units::{Frequency, Time},
};

/// What makes members come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Model {
    /// Nobody comes after the ramp.
    None,
    /// As many as go.
    #[default]
    Steady,
    /// At a rate.
    Poisson,
    /// A crowd at a moment.
    Flash,
    /// From a file.
    Trace,
    /// Persons that leave and come back.
    Ticks,
}

/// The section `[arrivals]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Arrivals {
    /// Which of the models below. Default `steady`.
    pub model: Model,
    /// The first members come spread over this. Default 20 s.
    pub ramp: Time,
    /// Settings of `poisson`.
    pub poisson: Poisson,
    /// Settings of `flash`.
    pub flash: Flash,
    /// Settings of `trace`.
    pub trace: Trace,
    /// Settings of `ticks`.
    pub ticks: Ticks,
}

/// The section `[arrivals.poisson]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Poisson {
    /// Arrivals a second. Default 1/s.
    pub rate: Frequency,
    /// From when. Default 0 s.
    pub from: Time,
}

/// The section `[arrivals.flash]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Flash {
    /// Joins a second. Default 1000/s.
    pub rate: Frequency,
    /// From when. Default 60 s.
    pub at: Time,
    /// How many. Default 1000.
    pub count: u32,
}

impl Default for Arrivals {
    fn default() -> Self {
        Arrivals {
            model: Model::default(),
            ramp: Time(20_000_000),
            poisson: Poisson::default(),
            flash: Flash::default(),
            trace: Trace::default(),
            ticks: Ticks::default(),
        }
    }
}

impl Default for Poisson {
    fn default() -> Self {
        Poisson { rate: Frequency(1.0), from: Time(0) }
    }
}

impl Default for Flash {
    fn default() -> Self {
        Flash { rate: Frequency(1000.0), at: Time(60_000_000), count: 1000 }
    }
}

/// From a person's coming to its going.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stay {
    /// Who.
    pub person: u32,
    /// When it comes, in microseconds.
    pub joins_us: u64,
    /// When it goes; none where it stays to the end.
    pub leaves_us: Option<u64>,
    /// How it goes.
    pub departure: Departure,
}

/// What arrivals are drawn for.
#[derive(Clone, Copy, Debug)]
pub struct Crowd<'a> {
    /// The scenario's seed.
    pub seed: u64,
    /// Members at the end of the ramp, the host and speakers among them.
    pub members: u32,
    /// Speakers, the host among them: persons 0 to `speakers - 1`.
    pub speakers: u32,
    /// Length of the run in microseconds.
    pub duration_us: u64,
    /// How long they stay.
    pub sessions: &'a Sessions,
}

/// Shorter stays are none: connecting alone takes longer.
const STAY_US_MIN: u64 = 1_000_000;
/// Host and speakers are there after this, or at the end of a shorter ramp.
const STAGE_US: u64 = 2_000_000;

impl Arrivals {
    /// Draws all stays of all persons but those of a trace, speakers first, in the order of persons.
    pub fn draw(&self, crowd: &Crowd<'_>) -> Vec<Stay> {
        let mut draft = Draft::new(self, crowd);
        draft.stage();
        let (mut arrivals, mut sessions) = (Stream::Arrivals.rng(crowd.seed), Stream::Sessions.rng(crowd.seed));
        if self.model == Model::Ticks {
            let first = draft.stays.len() as u32;
            draft.stays.extend(self.ticks.draw(first, self.ramp.0, crowd, &mut arrivals, &mut sessions));
            return draft.stays;
        }
        for _ in crowd.speakers.min(crowd.members)..crowd.members {
            let joins_us = (arrivals.random::<f64>() * self.ramp.0 as f64) as u64;
            let leaves_us = crowd.sessions.residual_us(&mut sessions);
            // Who would be gone before it came, somebody who came since stands for.
            draft.stay(joins_us, leaves_us, &mut sessions);
        }
        let steady = |of: f64| crowd.sessions.mean_s().map_or(0.0, |mean_s| of / mean_s);
        let audience = f64::from(crowd.members.saturating_sub(crowd.speakers));
        match self.model {
            Model::None | Model::Trace | Model::Ticks => {}
            Model::Steady => draft.poisson(steady(audience), 0, &mut arrivals, &mut sessions),
            Model::Poisson => draft.poisson(self.poisson.rate.0, self.poisson.from.0, &mut arrivals, &mut sessions),
            Model::Flash => {
                draft.poisson(steady(audience), 0, &mut arrivals, &mut sessions);
                let Flash { rate, at, count } = self.flash;
                for number in 0..count {
                    let joins_us = at.0 + (f64::from(number) / rate.0 * 1e6) as u64;
                    draft.come(joins_us, &mut sessions);
                }
            }
        }
        draft.stays
    }

    /// The stays of host and speakers.
    pub(super) fn stage(&self, crowd: &Crowd<'_>) -> Vec<Stay> {
        let mut draft = Draft::new(self, crowd);
        draft.stage();
        draft.stays
    }
}

/// Stays as they are drawn.
struct Draft<'a> {
    ramp_us: u64,
    crowd: Crowd<'a>,
    stays: Vec<Stay>,
}

impl<'a> Draft<'a> {
    fn new(arrivals: &Arrivals, crowd: &Crowd<'a>) -> Self {
        Draft { ramp_us: arrivals.ramp.0, crowd: *crowd, stays: Vec::with_capacity(crowd.members as usize) }
    }

    fn stage(&mut self) {
        let speakers = self.crowd.speakers.max(1);
        let span_us = self.ramp_us.min(STAGE_US);
        for person in 0..speakers {
            let joins_us = span_us * u64::from(person) / u64::from(speakers);
            self.stays.push(Stay { person, joins_us, leaves_us: None, departure: Departure::Polite });
        }
    }

    fn stay(&mut self, joins_us: u64, leaves_us: Option<u64>, sessions: &mut crate::random::Rng) {
        let departure = self.crowd.sessions.departure(sessions);
        let duration_us = self.crowd.duration_us;
        if joins_us >= duration_us || leaves_us.is_some_and(|leaves_us| leaves_us < joins_us + STAY_US_MIN) {
            return;
        }
        let leaves_us = leaves_us.filter(|leaves_us| *leaves_us < duration_us);
        self.stays.push(Stay { person: self.stays.len() as u32, joins_us, leaves_us, departure });
    }

    /// Somebody comes for a whole session.
    fn come(&mut self, joins_us: u64, sessions: &mut crate::random::Rng) {
        let length_us = self.crowd.sessions.length_us(sessions);
        self.stay(joins_us, length_us.map(|length_us| joins_us + length_us), sessions);
    }

    fn poisson(
        &mut self,
        per_s: f64,
        from_us: u64,
        arrivals: &mut crate::random::Rng,
        sessions: &mut crate::random::Rng,
    ) {
        if per_s <= 0.0 {
            return;
        }
        let mut at_us = from_us as f64;
        loop {
            let gap: f64 = Exp1.sample(arrivals);
            at_us += gap / per_s * 1e6;
            if at_us >= self.crowd.duration_us as f64 {
                return;
            }
            self.come(at_us as u64, sessions);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(arrivals: &Arrivals, members: u32) -> Vec<Stay> {
        let sessions = Sessions::default();
        let crowd = Crowd { seed: 5, members, speakers: 1, duration_us: 600_000_000, sessions: &sessions };
        arrivals.draw(&crowd)
    }

    fn present(stays: &[Stay], at_us: u64) -> usize {
        let is_there =
            |stay: &&Stay| stay.joins_us <= at_us && stay.leaves_us.is_none_or(|leaves_us| leaves_us > at_us);
        stays.iter().filter(is_there).count()
    }

    #[test]
    fn a_steady_population_is_reached_and_kept() {
        let stays = draw(&Arrivals::default(), 20_000);
        assert_eq!(present(&stays, 0), 1, "the host comes first");
        let half = present(&stays, 10_000_000);
        assert!((9_500..10_500).contains(&half), "{half} half way up the ramp");
        for at_s in [20, 60, 120, 300, 599] {
            let there = present(&stays, at_s * 1_000_000) as f64;
            // Newcomers who stay less than a second are left out: under one in a hundred of those there.
            assert!((there / 20_000.0 - 1.0).abs() < 0.03, "{there} after {at_s} s");
        }
        // About 34 a second come at a mean stay of ten minutes.
        let came = stays.iter().filter(|stay| stay.joins_us > 60_000_000).count() as f64 / 540.0;
        let expected = 20_000.0 / Sessions::default().mean_s().expect("they end");
        assert!((came / expected - 1.0).abs() < 0.05, "{came} for {expected}");
    }

    #[test]
    fn a_flash_crowd_comes_at_its_rate() {
        let flash = Flash { rate: Frequency(5000.0), at: Time(60_000_000), count: 10_000 };
        let before = draw(&Arrivals { model: Model::Steady, ..Arrivals::default() }, 500);
        let stays = draw(&Arrivals { model: Model::Flash, flash, ..Arrivals::default() }, 500);
        assert_eq!(stays[..before.len()], before[..], "the rest is as it was");
        let of = |span: std::ops::Range<u64>| {
            stays[before.len()..].iter().filter(|stay| span.contains(&stay.joins_us)).count()
        };
        assert!(of(60_000_000..61_000_000) > 4_900);
        assert!(of(61_000_000..62_000_000) > 4_900);
        assert_eq!(of(62_000_000..u64::MAX) + of(0..60_000_000), 0);
    }

    #[test]
    fn poisson_counts_vary_as_they_should() {
        let poisson = Poisson { rate: Frequency(50.0), from: Time(0) };
        let sessions = Sessions { model: super::super::sessions::Model::Forever, ..Sessions::default() };
        let crowd = Crowd { seed: 9, members: 1, speakers: 1, duration_us: 1_000_000_000, sessions: &sessions };
        let stays = Arrivals { model: Model::Poisson, poisson, ..Arrivals::default() }.draw(&crowd);
        let mut counts = vec![0.0; 1000];
        stays[1..].iter().for_each(|stay| counts[(stay.joins_us / 1_000_000) as usize] += 1.0);
        let mean = counts.iter().sum::<f64>() / 1000.0;
        let variance = counts.iter().map(|count: &f64| (count - mean).powi(2)).sum::<f64>() / 1000.0;
        assert!((mean - 50.0).abs() < 1.0, "{mean}");
        assert!((variance / mean - 1.0).abs() < 0.15, "{variance} for {mean}");
    }
}
