//! What members connect by: uplink, last mile, NAT, and with them how many others each can feed.
//!
//! Four classes of access with their shares. The defaults are round figures, assumed: uplinks of the order that the FCC's "Measuring
//! Broadband America" reports for fixed lines and speed tests for mobile ones; last miles one way of 1, 4, 8 and 12 ms, less than the idle
//! latencies of such lines by what [`geography`](super::delay::geography) counts as distance. A member's last mile is lognormal
//! about its class's median. NAT classes after Ford, Srisuresh and Kegel, "Peer-to-peer communication across network
//! address translators" (2005), where 82 % of NATs supported UDP hole punching; the rest behave as symmetric.
//!
//! A member feeds `min(d_max, floor(s * uplink / (3 * rate)))` others: a share `s` of its uplink carries three voices each.
//! Members behind a symmetric NAT are leaves, and so are those that do not relay: classes say which share does. With the
//! defaults 50 % have a line that can, 75 % of these can be reached and 80 % relay: 30 % capable relays.

use rand::RngExt;
use rand_distr::{Distribution, LogNormal};
use serde::{Deserialize, Deserializer, Serialize};

use crate::{
    random::Rng,
    scenario::units::{BitRate, Share, Time},
};

/// The section `[access]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Access {
    /// The host's uplink; it can always be reached. Default 50 Mbit/s.
    pub host_uplink: BitRate,
    /// Most others that anyone feeds. Default 16.
    pub d_max: u8,
    /// Share of an uplink that feeds may take. Default 50 %.
    pub uplink_share: Share,
    /// Voices at once that each feed must carry. Default 3.
    pub voices: u8,
    /// Spread of last miles: standard deviation of their logarithm. Default 0.5.
    pub last_mile_sigma: f64,
    /// NAT classes.
    pub nat: Nat,
    /// Optical fibre: 25 %, 50 Mbit/s up, last mile 1 ms, 80 % relay.
    #[serde(deserialize_with = "fibre")]
    pub fibre: Class,
    /// Cable television networks: 25 %, 20 Mbit/s up, last mile 4 ms, 80 % relay.
    #[serde(deserialize_with = "cable")]
    pub cable: Class,
    /// Telephone lines: 20 %, 1 Mbit/s up, last mile 8 ms, none relays.
    #[serde(deserialize_with = "dsl")]
    pub dsl: Class,
    /// Cellular networks: 30 %, 8 Mbit/s up, last mile 12 ms, none relays: metered, and on a battery.
    #[serde(deserialize_with = "mobile")]
    pub mobile: Class,
}

/// One class of access.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Class {
    /// Share of members; the shares of all classes make 100 %.
    pub share: Share,
    /// Uplink.
    pub uplink: BitRate,
    /// Median one-way delay between the member and its provider's network.
    pub last_mile: Time,
    /// Share of the class that relays where it can be reached.
    pub relays: Share,
}

/// What a scenario says of a class; the rest stays as it is by default.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct Changes {
    share: Option<Share>,
    uplink: Option<BitRate>,
    last_mile: Option<Time>,
    relays: Option<Share>,
}

fn change<'de, D: Deserializer<'de>>(class: Class, from: D) -> Result<Class, D::Error> {
    let Changes { share, uplink, last_mile, relays } = Changes::deserialize(from)?;
    Ok(Class {
        share: share.unwrap_or(class.share),
        uplink: uplink.unwrap_or(class.uplink),
        last_mile: last_mile.unwrap_or(class.last_mile),
        relays: relays.unwrap_or(class.relays),
    })
}

fn fibre<'de, D: Deserializer<'de>>(from: D) -> Result<Class, D::Error> {
    change(Access::default().fibre, from)
}

fn cable<'de, D: Deserializer<'de>>(from: D) -> Result<Class, D::Error> {
    change(Access::default().cable, from)
}

fn dsl<'de, D: Deserializer<'de>>(from: D) -> Result<Class, D::Error> {
    change(Access::default().dsl, from)
}

fn mobile<'de, D: Deserializer<'de>>(from: D) -> Result<Class, D::Error> {
    change(Access::default().mobile, from)
}

/// The section `[access.nat]`: shares that make 100 %.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Nat {
    /// Public addresses and forwarded ports. Default 15 %.
    pub open: Share,
    /// NATs that hole punching passes: members that others can reach. Default 60 %.
    pub cone: Share,
    /// NATs that it does not pass: members that can only reach out, and are leaves. Default 25 %.
    pub symmetric: Share,
}

impl Default for Nat {
    fn default() -> Self {
        Nat { open: Share(0.15), cone: Share(0.6), symmetric: Share(0.25) }
    }
}

impl Default for Access {
    fn default() -> Self {
        let class = |share, mbps: u64, last_mile_ms: u64, relays| Class {
            share: Share(share),
            uplink: BitRate(mbps * 1_000_000),
            last_mile: Time(last_mile_ms * 1000),
            relays: Share(relays),
        };
        Access {
            host_uplink: BitRate(50_000_000),
            d_max: 16,
            uplink_share: Share(0.5),
            voices: 3,
            last_mile_sigma: 0.5,
            nat: Nat::default(),
            fibre: class(0.25, 50, 1, 0.8),
            cable: class(0.25, 20, 4, 0.8),
            dsl: class(0.2, 1, 8, 0.0),
            mobile: class(0.3, 8, 12, 0.0),
        }
    }
}

/// What one member connects by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    /// What its uplink carries, in bits a second.
    pub uplink_bps: u64,
    /// One-way delay to its provider's network, in microseconds.
    pub last_mile_us: u32,
    /// Whether others can connect to it.
    pub reachable: bool,
    /// How many it may feed.
    pub children_max: u8,
}

impl Access {
    /// The classes and their names.
    pub fn classes(&self) -> [(&'static str, Class); 4] {
        [("fibre", self.fibre), ("cable", self.cable), ("dsl", self.dsl), ("mobile", self.mobile)]
    }

    /// How many others an uplink feeds where each voice takes `voice_bps` on the wire.
    pub fn children_max(&self, uplink_bps: u64, voice_bps: f64) -> u8 {
        let slots = self.uplink_share.0 * uplink_bps as f64 / (f64::from(self.voices) * voice_bps);
        slots.floor().min(f64::from(self.d_max)) as u8
    }

    /// The host's line: that of its uplink on fibre, reachable.
    pub fn host(&self, voice_bps: f64) -> Line {
        let uplink_bps = self.host_uplink.0;
        Line {
            uplink_bps,
            last_mile_us: self.fibre.last_mile.0 as u32,
            reachable: true,
            children_max: self.children_max(uplink_bps, voice_bps),
        }
    }

    /// Draws a member's line.
    pub fn draw(&self, voice_bps: f64, rng: &mut Rng) -> Line {
        // As many draws for each member, whatever comes out, so that members do not depend on each other.
        let (of_class, of_nat, of_relay) = (rng.random::<f64>(), rng.random::<f64>(), rng.random::<f64>());
        let spread = LogNormal::new(0.0, self.last_mile_sigma).map_or(1.0, |spread| spread.sample(rng));
        let mut left = of_class;
        let classes = self.classes();
        let class = classes.iter().find(|(_, class)| {
            left -= class.share.0;
            left < 0.0
        });
        let class = class.unwrap_or(&classes[3]).1;
        let reachable = of_nat >= self.nat.symmetric.0;
        let relays = reachable && of_relay < class.relays.0;
        let last_mile_us = (class.last_mile.0 as f64 * spread).min(5e6) as u32;
        let children_max = if relays { self.children_max(class.uplink.0, voice_bps) } else { 0 };
        Line { uplink_bps: class.uplink.0, last_mile_us, reachable, children_max }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    /// One voice at k = 3 on the wire.
    const VOICE_BPS: f64 = 54_000.0;

    #[test]
    fn three_in_ten_members_are_capable_relays() {
        let access = Access::default();
        let mut rng = Stream::Members.rng(1);
        let lines: Vec<Line> = (0..100_000).map(|_| access.draw(VOICE_BPS, &mut rng)).collect();
        let share = |is: &dyn Fn(&Line) -> bool| lines.iter().filter(|line| is(line)).count() as f64 / 1e5;
        assert!((share(&|line| line.children_max > 0) - 0.3).abs() < 0.005);
        assert!((share(&|line| line.reachable) - 0.75).abs() < 0.005);
        assert!((share(&|line| line.uplink_bps == 1_000_000) - 0.2).abs() < 0.005);
        assert!(lines.iter().all(|line| line.reachable || line.children_max == 0));
        let mut of_mobile: Vec<u32> =
            lines.iter().filter(|line| line.uplink_bps == 8_000_000).map(|line| line.last_mile_us).collect();
        of_mobile.sort_unstable();
        let median = of_mobile[of_mobile.len() / 2];
        assert!((11_700..12_300).contains(&median), "{median}");
    }

    #[test]
    fn slots_follow_the_capacity_formula() {
        let access = Access::default();
        assert_eq!(access.children_max(50_000_000, VOICE_BPS), 16);
        assert_eq!(access.children_max(5_000_000, VOICE_BPS), 15);
        assert_eq!(access.children_max(1_000_000, VOICE_BPS), 3);
        assert_eq!(access.children_max(300_000, VOICE_BPS), 0);
    }
}
