//! Churn in ticks: churny persons that leave and come back, as in the simulation of Ethereum's `lean-gossip`.
//!
//! Each tick a churny person that is there leaves with one probability, and one that is away comes back with another. Time
//! on either side is therefore geometric. The others stay.

use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::arrivals::{Crowd, Stay};
use crate::{
    random::Rng,
    scenario::units::{Share, Time},
};

/// The section `[arrivals.ticks]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Ticks {
    /// Length of a tick. Default 100 ms.
    pub tick: Time,
    /// Share of persons, the host and speakers excepted, that are churny. Default 10 %.
    pub churny: Share,
    /// Probability a tick of leaving. Default 1 %.
    pub leave: Share,
    /// Probability a tick of coming back. Default 5 %.
    pub rejoin: Share,
}

impl Default for Ticks {
    fn default() -> Self {
        Ticks { tick: Time(100_000), churny: Share(0.1), leave: Share(0.01), rejoin: Share(0.05) }
    }
}

impl Ticks {
    /// Draws the stays of all persons from `first` on, who come over a ramp.
    pub(super) fn draw(
        &self,
        first: u32,
        ramp_us: u64,
        crowd: &Crowd<'_>,
        arrivals: &mut Rng,
        sessions: &mut Rng,
    ) -> Vec<Stay> {
        let mut stays = Vec::new();
        // As many churny persons as the share says, not a random number of them.
        let audience = crowd.members.saturating_sub(first);
        let churny = (f64::from(audience) * self.churny.0).round() as u32;
        for person in first..crowd.members {
            let mut at_us = (arrivals.random::<f64>() * ramp_us as f64) as u64;
            if person >= first + churny {
                let departure = crowd.sessions.departure(sessions);
                stays.push(Stay { person, joins_us: at_us, leaves_us: None, departure });
                continue;
            }
            while at_us < crowd.duration_us {
                let leaves_us = at_us.saturating_add(self.span_us(self.leave, arrivals));
                let departure = crowd.sessions.departure(sessions);
                let leaves = Some(leaves_us).filter(|leaves_us| *leaves_us < crowd.duration_us);
                stays.push(Stay { person, joins_us: at_us, leaves_us: leaves, departure });
                at_us = leaves_us.saturating_add(self.span_us(self.rejoin, arrivals));
            }
        }
        stays
    }

    /// Whole ticks until something of this probability a tick happens.
    fn span_us(&self, share: Share, rng: &mut Rng) -> u64 {
        let uniform = 1.0 - rng.random::<f64>();
        let ticks = if share.0 >= 1.0 { 1.0 } else { (uniform.ln() / (1.0 - share.0).ln()).ceil().max(1.0) };
        (ticks * self.tick.0 as f64).min(1e18) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::{
        arrivals::{Arrivals, Model},
        sessions::Sessions,
    };

    #[test]
    fn churny_persons_are_away_a_sixth_of_the_time() {
        let sessions = Sessions::default();
        let crowd = Crowd { seed: 1, members: 1000, speakers: 1, duration_us: 600_000_000, sessions: &sessions };
        let ticks = Ticks { churny: Share(0.3), ..Ticks::default() };
        let stays = Arrivals { model: Model::Ticks, ticks, ..Arrivals::default() }.draw(&crowd);
        let churny: Vec<&Stay> = stays.iter().filter(|stay| (1..301).contains(&stay.person)).collect();
        assert!(stays.iter().filter(|stay| !(1..301).contains(&stay.person)).all(|stay| stay.leaves_us.is_none()));
        let (from_us, until_us) = (60_000_000, 600_000_000);
        let there_us: u64 = churny
            .iter()
            .map(|stay| stay.leaves_us.unwrap_or(until_us).saturating_sub(stay.joins_us.max(from_us)))
            .sum();
        // 0.05 / (0.05 + 0.01).
        let share = there_us as f64 / (300.0 * (until_us - from_us) as f64);
        assert!((share - 5.0 / 6.0).abs() < 0.01, "{share}");
        assert!(
            churny.windows(2).all(|two| two[0].person != two[1].person || two[0].leaves_us < Some(two[1].joins_us))
        );
    }
}
