//! Which members are hostile, and what they do.
//!
//! A share of those who could relay is hostile; each does one of the kinds, at random. What they do is an assumption of the
//! design's threat model, not a measurement. How coordinates are lied about follows Kaafar, Mathy, Turletti and Dabbous, "Virtual
//! networks under attack: disrupting Internet coordinate systems", CoNEXT 2006.

use std::time::Duration;

use rand::RngExt;
use serde::{Deserialize, Serialize};
use treehouse_hostile::Behaviour;

use crate::{
    plan::{CoordinateLie, Hostile},
    random::Rng,
    scenario::units::{Share, Time},
};

/// What a hostile member does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Withholds packets.
    Drop,
    /// Forwards late.
    Delay,
    /// Alters what it forwards.
    Forge,
    /// Claims more slots than it has.
    LieCapacity,
    /// Claims coordinates or round trips that are not its own.
    LieCoordinates,
    /// Passes every packet on again, `delays` later.
    Replay,
    /// Withholds one voice.
    DropVoice,
    /// Sends a neighbour `floods` messages a second.
    Flood,
    /// Tells old room states, beacons and keys again and again.
    StaleState,
    /// Shows its invite to everybody again and again.
    RedeemTwice,
    /// Shows it with something changed in it.
    WidenInvite,
    /// Sends messages and packets without a meaning.
    Garbage,
    /// Takes what comes to it five times a second, one thing each time.
    SlowReader,
}

/// What `lie-coordinates` claims.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Coordinates {
    /// To sit at the origin, where the host is, and to hear at once: many would have it as their parent.
    #[default]
    Attract,
    /// To be somewhere else each time, up to a second away; pings are answered later by `delays`.
    Disorder,
}

/// The section `[adversaries]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Adversaries {
    /// Share of capable relays that are hostile; the host and speakers never are. Default 0 %.
    pub share: Share,
    /// What they do, each one of these. Default the first five, which all strategies know.
    pub kinds: Vec<Kind>,
    /// Share of packets that `drop` withholds. Default 50 %.
    pub drops: Share,
    /// How late `delay` forwards, and `lie-coordinates` answers under `disorder`. Default 300 ms.
    pub delays: Time,
    /// Messages a second that `flood` sends. Default 1,000.
    pub floods: u32,
    /// How many times its slots `lie-capacity` claims. Default 4.
    pub capacity_times: f64,
    /// What `lie-coordinates` claims. Default `attract`.
    pub coordinates: Coordinates,
}

impl Default for Adversaries {
    fn default() -> Self {
        Adversaries {
            share: Share(0.0),
            kinds: vec![Kind::Drop, Kind::Delay, Kind::Forge, Kind::LieCapacity, Kind::LieCoordinates],
            drops: Share(0.5),
            delays: Time(300_000),
            floods: 1000,
            capacity_times: 4.0,
            coordinates: Coordinates::default(),
        }
    }
}

impl Adversaries {
    /// Draws what a person does wrong, if anything.
    pub fn draw(&self, is_relay: bool, rng: &mut Rng) -> Option<Hostile> {
        // As many draws for each person, so that persons do not depend on each other.
        let (is_hostile, kind) = (rng.random::<f64>() < self.share.0, rng.random::<f64>());
        let kind = self.kinds.get((kind * self.kinds.len() as f64) as usize).filter(|_| is_relay && is_hostile)?;
        Some(match kind {
            Kind::Drop => Hostile::Drop { share: self.drops.0 },
            Kind::Delay => Hostile::Delay { by_us: self.delays.0 },
            Kind::Forge => Hostile::Forge,
            Kind::LieCapacity => Hostile::LieCapacity { times: self.capacity_times },
            Kind::LieCoordinates => Hostile::LieCoordinates(match self.coordinates {
                Coordinates::Attract => CoordinateLie::Attract,
                Coordinates::Disorder => CoordinateLie::Disorder { late_us: self.delays.0 },
            }),
            Kind::Replay => Hostile::Twist(Behaviour::Replay { after: Duration::from_micros(self.delays.0) }),
            Kind::DropVoice => Hostile::Twist(Behaviour::DropVoice),
            Kind::Flood => Hostile::Twist(Behaviour::Flood { per_second: self.floods }),
            Kind::StaleState => Hostile::Twist(Behaviour::StaleState),
            Kind::RedeemTwice => Hostile::Twist(Behaviour::RedeemTwice),
            Kind::WidenInvite => Hostile::Twist(Behaviour::WidenInvite),
            Kind::Garbage => Hostile::Twist(Behaviour::Garbage),
            Kind::SlowReader => Hostile::Twist(Behaviour::SlowReader),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    #[test]
    fn the_share_of_relays_is_hostile_in_all_kinds() {
        let adversaries = Adversaries { share: Share(0.3), ..Adversaries::default() };
        let mut rng = Stream::Adversaries.rng(1);
        let all: Vec<Option<Hostile>> = (0..20_000).map(|_| adversaries.draw(true, &mut rng)).collect();
        let of = |is: fn(&Hostile) -> bool| all.iter().flatten().filter(|hostile| is(hostile)).count();
        for count in [
            of(|hostile| matches!(hostile, Hostile::Drop { share: 0.5 })),
            of(|hostile| matches!(hostile, Hostile::Delay { by_us: 300_000 })),
            of(|hostile| matches!(hostile, Hostile::Forge)),
            of(|hostile| matches!(hostile, Hostile::LieCapacity { times: 4.0 })),
            of(|hostile| matches!(hostile, Hostile::LieCoordinates(CoordinateLie::Attract))),
        ] {
            // 6 % of 20,000, four standard deviations.
            assert!((1_065..1_335).contains(&count), "{count}");
        }
        assert_eq!(adversaries.draw(false, &mut rng), None);
    }
}
