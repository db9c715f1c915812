//! A run in one line: the figures that runs are compared by.

use serde::{Deserialize, Serialize};

use super::{Meta, Mode, hash};
use crate::measure::{GRACE_US, NodeRow, Outcome, Second};

/// A newcomer that hears within this joined in time.
pub const JOINED_IN_TIME_US: u64 = GRACE_US;
/// The share of a second's newcomers that must join in time for the second to count as survived.
const SURVIVED: f64 = 0.99;
const SECOND_US: u64 = 1_000_000;

/// Two quantiles; none where nothing was observed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// The median.
    pub p50: Option<f64>,
    /// What 99 of 100 do not exceed.
    pub p99: Option<f64>,
}

impl Quantiles {
    /// Of values in microseconds, in milliseconds.
    fn of_us(mut values: Vec<u64>) -> Self {
        values.sort_unstable();
        let at = |share: f64| {
            let rank = (share * values.len() as f64).ceil().max(1.0) as usize;
            values.get(rank - 1).map(|us| *us as f64 / 1000.0)
        };
        Quantiles { p50: at(0.5), p99: at(0.99) }
    }
}

/// Hops from the host to its listeners.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Depth {
    /// Mean over the time of all members that were placed.
    pub mean: Option<f64>,
    /// The greatest depth seen at the end of a second.
    pub max: Option<f64>,
}

/// The line that `run --json` ends with. Figures count from the end of the warm-up on; one is `null` where there was nothing to
/// observe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// `summary`.
    pub event: String,
    /// The scenario's name.
    pub scenario: String,
    /// The strategy's name.
    pub strategy: String,
    /// Treehouse's protection level.
    pub protection: Option<String>,
    /// How the network was simulated.
    pub mode: Mode,
    /// Members that the scenario aims at.
    pub members: u64,
    /// The seed.
    pub seed: u64,
    /// Delay of frames, from a packet's last sample to its first arrival.
    pub delay_ms: Quantiles,
    /// Median over listeners of their mean delay, divided by that straight from the host.
    pub stretch_p50: Option<f64>,
    /// Hops from the host.
    pub depth: Depth,
    /// Share of the frames due that came within 400 ms.
    pub delivery_400ms: Option<f64>,
    /// Packets that came for each one that was new.
    pub copies: Option<f64>,
    /// How long outages took until sound came again.
    pub repair_ms: Quantiles,
    /// Outages for each hour that a listener listened.
    pub outages_per_listener_hour: Option<f64>,
    /// From coming to the first packet, of members that came after the warm-up. Of one that heard nothing it is how long it
    /// stayed; it is left out where that was less than 3 s.
    pub join_ms: Quantiles,
    /// Mean rate of control messages that the host sent and received.
    pub host_control_kbps: Option<f64>,
    /// Bytes of control messages as a share of all.
    pub control_share: Option<f64>,
    /// Events that the engine handled.
    pub events: u64,
    /// The same for each second of real time.
    pub events_per_s: Option<f64>,
    /// How long the run took, in seconds of real time.
    pub wall_s: f64,
    /// The most memory that the process had resident.
    pub rss_mib: Option<f64>,
    /// See [`hash()`].
    pub hash: String,
    /// Simulated time, in seconds.
    pub simulated_s: f64,
    /// Whether somebody ended the run early.
    #[serde(default)]
    pub interrupted: bool,
    /// Share of member-time with a standby that nothing spoke against.
    pub standby_share: Option<f64>,
    /// Share of the frames due that a jitter buffer with a target of base delay and 100 ms would not play: missing or too late.
    pub lost_to_target: Option<f64>,
    /// The longest outage.
    pub outage_ms_max: Option<f64>,
    /// Feeds suspected without cause for each hour that a member had a feed; none where the strategy does not count them.
    pub false_suspicions_per_feed_hour: Option<f64>,
    /// The most members that came within one second of which 99 % heard within 3 s.
    pub joins_per_s: Option<u64>,
}

impl Summary {
    /// The figures of a run.
    pub fn new(meta: &Meta, outcome: &Outcome) -> Self {
        let nodes = &outcome.nodes;
        let total = |of: fn(&NodeRow) -> u64| nodes.iter().map(of).sum::<u64>() as f64;
        let due = total(|of| of.due);
        let missing = total(|of| of.due.saturating_sub(of.heard) + of.late_for_target);
        let ms = |share| outcome.delays.quantile_us(share).map(|us| us as f64 / 1000.0);
        let outages: Vec<u64> = outcome.outages.iter().map(|outage| outage.length_us).collect();
        let time = Time::of(outcome);
        Summary {
            event: "summary".to_owned(),
            scenario: meta.scenario.clone(),
            strategy: meta.strategy.clone(),
            protection: meta.protection.clone(),
            mode: meta.mode,
            members: meta.members,
            seed: meta.seed,
            delay_ms: Quantiles { p50: ms(0.5), p99: ms(0.99) },
            stretch_p50: stretch(nodes),
            depth: time.depth,
            delivery_400ms: ratio(total(|of| of.on_time), due),
            copies: ratio(total(|of| of.copies), total(|of| of.fresh)),
            repair_ms: Quantiles::of_us(outages.clone()),
            outages_per_listener_hour: ratio(outages.len() as f64, outcome.listened_us as f64 / 3.6e9),
            join_ms: Quantiles::of_us(joins_us(outcome).collect()),
            host_control_kbps: ratio(time.host_control_bytes * 8.0 / 1000.0, time.seconds),
            control_share: ratio(time.control_bytes, time.control_bytes + time.media_bytes),
            events: outcome.events,
            events_per_s: ratio(outcome.events as f64, meta.wall_s),
            wall_s: meta.wall_s,
            rss_mib: meta.rss_mib,
            hash: hash(outcome),
            simulated_s: outcome.ended_us as f64 / 1e6,
            interrupted: meta.interrupted,
            standby_share: ratio(time.with_standby_s, time.members_s),
            lost_to_target: ratio(missing, due),
            outage_ms_max: outages.iter().max().map(|us| *us as f64 / 1000.0),
            false_suspicions_per_feed_hour: outcome
                .counts
                .get("false_suspicions")
                .and_then(|count| ratio(*count as f64, time.fed_s / 3600.0)),
            joins_per_s: joins_survived(outcome),
        }
    }
}

fn ratio(of: f64, to: f64) -> Option<f64> {
    (to > 0.0).then(|| of / to)
}

/// Sums over the seconds after the warm-up.
#[derive(Default)]
struct Time {
    seconds: f64,
    members_s: f64,
    fed_s: f64,
    with_standby_s: f64,
    depth: Depth,
    control_bytes: f64,
    media_bytes: f64,
    host_control_bytes: f64,
}

impl Time {
    fn of(outcome: &Outcome) -> Self {
        let seconds = outcome.seconds.get(outcome.warmup_us.div_ceil(SECOND_US) as usize..).unwrap_or_default();
        let sum = |of: fn(&Second) -> f64| seconds.iter().map(of).sum::<f64>();
        let mean = ratio(sum(|of| of.depth_sum), sum(|of| of.with_depth.into()));
        let max = mean.map(|_| seconds.iter().map(|of| of.depth_max).fold(0.0, f64::max));
        Time {
            seconds: seconds.len() as f64,
            // But for the host, which is fed by nobody.
            members_s: sum(|of| of.present.saturating_sub(1).into()),
            fed_s: sum(|of| of.with_parent.into()),
            with_standby_s: sum(|of| of.with_standby.into()),
            depth: Depth { mean, max },
            control_bytes: sum(|of| of.control_bytes as f64),
            media_bytes: sum(|of| of.media_bytes as f64),
            host_control_bytes: sum(|of| of.host_control_bytes as f64),
        }
    }
}

fn stretch(nodes: &[NodeRow]) -> Option<f64> {
    let heard = nodes.iter().filter(|of| of.heard > 0 && of.direct_us > 0);
    let mut stretches: Vec<f64> =
        heard.map(|of| of.delay_sum_us as f64 / of.heard as f64 / of.direct_us as f64).collect();
    stretches.sort_unstable_by(f64::total_cmp);
    stretches.get(stretches.len().saturating_sub(1) / 2).copied()
}

/// Members that came after the warm-up: when, how long they stayed, when they first heard.
pub(super) fn joins(outcome: &Outcome) -> impl Iterator<Item = (u32, &NodeRow)> {
    let came = |of: &NodeRow| of.joined_us >= outcome.warmup_us.max(1);
    (0_u32..).zip(&outcome.nodes).skip(1).filter(move |(_, of)| came(of))
}

/// How long a member stayed, or has stayed by the end.
fn stayed_us(of: &NodeRow, outcome: &Outcome) -> u64 {
    of.left_us.unwrap_or(outcome.ended_us).saturating_sub(of.joined_us)
}

fn joins_us(outcome: &Outcome) -> impl Iterator<Item = u64> {
    let unheard = |of: &NodeRow| Some(stayed_us(of, outcome)).filter(|us| *us >= GRACE_US);
    joins(outcome).filter_map(move |(_, of)| of.first_audio_us.or_else(|| unheard(of)))
}

/// The most members that came within one second of which enough heard in time. Those that went before that are left out.
fn joins_survived(outcome: &Outcome) -> Option<u64> {
    let mut seconds = std::collections::BTreeMap::<u64, (u64, u64)>::new();
    for (_, of) in joins(outcome) {
        let in_time = of.first_audio_us.is_some_and(|us| us <= JOINED_IN_TIME_US);
        if in_time || stayed_us(of, outcome) >= JOINED_IN_TIME_US {
            let (came, heard) = seconds.entry(of.joined_us / SECOND_US).or_default();
            *came += 1;
            *heard += u64::from(in_time);
        }
    }
    seconds.into_values().filter(|(came, heard)| *heard as f64 >= SURVIVED * *came as f64).map(|(came, _)| came).max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{measure::Outage, plan::NodeIx, results::Host};

    fn meta() -> Meta {
        Meta {
            scenario: "smoke".to_owned(),
            strategy: "treehouse".to_owned(),
            protection: Some("relays".to_owned()),
            mode: Mode::Packet,
            members: 3,
            seed: 7,
            loss_share: 0.0,
            scenario_text: String::new(),
            changes: Vec::new(),
            settings: serde_json::Value::Null,
            version: Meta::this_version(),
            host: Host::here(),
            interrupted: false,
            wall_s: 2.0,
            rss_mib: Some(10.0),
        }
    }

    /// A host and three listeners, of which the last comes after the warm-up.
    fn outcome() -> Outcome {
        let mut outcome = Outcome { warmup_us: 1_000_000, ended_us: 3_000_000, events: 500, ..Outcome::default() };
        let second = Second { present: 3, with_parent: 2, with_standby: 1, ..Second::default() };
        let second = Second { with_depth: 2, depth_sum: 3.0, depth_max: 2.0, ..second };
        let second = Second { control_bytes: 1000, media_bytes: 3000, host_control_bytes: 250, ..second };
        outcome.seconds = vec![Second { depth_max: 9.0, ..second }, second, second];
        let row = NodeRow { due: 100, on_time: 90, heard: 95, late_for_target: 5, ..NodeRow::default() };
        let row = NodeRow { delay_sum_us: 95 * 60_000, copies: 110, fresh: 100, direct_us: 40_000, ..row };
        let late = NodeRow { joined_us: 1_500_000, first_audio_us: Some(250_000), direct_us: 20_000, ..row };
        outcome.nodes = vec![NodeRow::default(), row, row, late];
        outcome.outages = vec![Outage { node: NodeIx(1), at_us: 2_000_000, length_us: 300_000 }];
        outcome.listened_us = 3_600_000_000 * 2;
        outcome.delays.add(60_000, 285);
        outcome.counts.insert("false_suspicions", 1);
        outcome
    }

    #[test]
    fn figures_are_those_that_one_reckons_by_hand() {
        let of = Summary::new(&meta(), &outcome());
        assert_eq!(of.delay_ms.p50, Some(60.05));
        assert_eq!(of.stretch_p50, Some(1.5));
        assert_eq!(of.depth, Depth { mean: Some(1.5), max: Some(2.0) }, "the warm-up does not count");
        assert_eq!(of.delivery_400ms, Some(0.9));
        assert_eq!(of.copies, Some(1.1));
        assert_eq!(of.repair_ms, Quantiles { p50: Some(300.0), p99: Some(300.0) });
        assert_eq!(of.outages_per_listener_hour, Some(0.5));
        assert_eq!(of.join_ms.p50, Some(250.0));
        assert_eq!(of.host_control_kbps, Some(2.0));
        assert_eq!(of.control_share, Some(0.25));
        assert_eq!(of.events_per_s, Some(250.0));
        assert_eq!(of.standby_share, Some(0.5));
        assert_eq!(of.lost_to_target, Some(0.1));
        assert_eq!(of.false_suspicions_per_feed_hour, Some(900.0));
        assert_eq!(of.joins_per_s, Some(1));
    }

    #[test]
    fn the_line_has_the_documented_fields_in_their_order() {
        let line = serde_json::to_string(&Summary::new(&meta(), &outcome())).expect("it is plain data");
        assert!(line.starts_with(r#"{"event":"summary","scenario":"smoke","strategy":"treehouse","protection":"relays","mode":"packet","members":3,"seed":7,"delay_ms":{"p50":60.05,"p99":60.05},"stretch_p50":1.5,"depth":{"mean":1.5,"max":2.0},"delivery_400ms":0.9,"copies":1.1,"repair_ms":{"p50":300.0,"p99":300.0},"outages_per_listener_hour":0.5,"join_ms":{"p50":250.0,"p99":250.0},"host_control_kbps":2.0,"control_share":0.25,"events":500,"events_per_s":250.0,"wall_s":2.0,"rss_mib":10.0,"hash":""#), "{line}");
    }

    #[test]
    fn nothing_observed_is_null_and_no_zero() {
        let of = Summary::new(&meta(), &Outcome::default());
        assert_eq!((of.delivery_400ms, of.copies, of.join_ms.p99, of.depth.mean), (None, None, None, None));
    }

    #[test]
    fn a_newcomer_that_never_hears_counts_with_its_stay() {
        let mut outcome = Outcome { ended_us: 60_000_000, ..Outcome::default() };
        let row = |joined_us, first_audio_us| NodeRow { joined_us, first_audio_us, ..NodeRow::default() };
        outcome.nodes = vec![row(0, None), row(1, Some(200_000)), row(10_000_000, None), row(59_000_000, None)];
        let of = Summary::new(&meta(), &outcome);
        assert_eq!(of.join_ms, Quantiles { p50: Some(200.0), p99: Some(50_000.0) });
        assert_eq!(of.joins_per_s, Some(1), "the second of the one that never heard was not survived");
    }
}
