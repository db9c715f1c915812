//! What a type alone does not say: bounds, and keys that must fit each other.

use super::{
    Scenario,
    units::{Share, Time},
};
use crate::{
    models::{arrivals, delay, incidents, sessions, talk},
    strategies::SettingsError,
};

/// Most members at a time.
pub const MEMBERS_MAX: u32 = 2_000_000;
/// Most stays in a run.
const STAYS_MAX: f64 = 20e6;
/// Most speakers: the design's stage.
const SPEAKERS_MAX: u32 = 50;
const DAY: Time = Time(86_400_000_000);
const MS: Time = Time(1_000);

/// A key whose value cannot be.
pub(super) struct Wrong {
    pub key: String,
    pub message: String,
}

type Checked = Result<(), Wrong>;

fn rule(holds: bool, key: &str, message: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(Wrong { key: key.to_owned(), message: message() }) }
}

fn number(value: f64, from: f64, to: f64, key: &str) -> Checked {
    rule((from..=to).contains(&value), key, || format!("{value} is out of range: {from} to {to}"))
}

fn time(value: Time, from: Time, to: Time, key: &str) -> Checked {
    rule((from..=to).contains(&value), key, || format!("{value} is out of range: {from} to {to}"))
}

fn whole(shares: &[Share], key: &str) -> Checked {
    let sum: f64 = shares.iter().map(|share| share.0).sum();
    let shown = Share(sum);
    rule((sum - 1.0).abs() < 1e-3, key, || format!("the shares of its classes make {shown}; they must make 100%"))
}

/// Looks for the first thing that cannot be.
pub(super) fn check(scenario: &Scenario) -> Checked {
    let Scenario { members, duration, warmup, .. } = *scenario;
    number(f64::from(members), 1.0, f64::from(MEMBERS_MAX), "members")?;
    time(duration, Time(1_000_000), DAY, "duration")?;
    rule(warmup < duration, "warmup", || format!("{warmup} must be less than the duration of {duration}"))?;
    media(scenario)?;
    delay(scenario)?;
    access(scenario)?;
    network(scenario)?;
    arrivals(scenario)?;
    sessions(scenario)?;
    stays(scenario)?;
    talk(scenario)?;
    adversaries(scenario)?;
    incidents(scenario)?;
    scenario.settings.check().map_err(|SettingsError { section, key, want }| Wrong {
        key: format!("settings.{section}.{key}"),
        message: format!("must be {want}"),
    })
}

fn media(scenario: &Scenario) -> Checked {
    let media = &scenario.media;
    time(media.frame, MS, Time(10_000_000), "media.frame")?;
    number(f64::from(media.frames_per_packet.unwrap_or(1)), 1.0, 50.0, "media.frames-per-packet")?;
    number(f64::from(media.packet_bytes.unwrap_or(1)), 1.0, 1e6, "media.packet-bytes")?;
    number(media.bitrate.0 as f64, 1.0, 1e7, "media.bitrate")
}

fn delay(scenario: &Scenario) -> Checked {
    let delay::DelaySettings { model, matrix, plane, uniform, regions, .. } = &scenario.delay;
    let named = *model != delay::Model::Matrix || !matrix.file.is_empty();
    rule(named, "delay.matrix.file", || "`delay.model` is `matrix`: name its file".to_owned())?;
    number(plane.side, 1e-9, 1e9, "delay.plane.side")?;
    time(plane.per_unit, Time(0), Time(10_000_000), "delay.plane.per-unit")?;
    time(plane.base, Time(0), Time(10_000_000), "delay.plane.base")?;
    time(matrix.within, Time(0), Time(10_000_000), "delay.matrix.within")?;
    time(uniform.max, uniform.min, Time(60_000_000), "delay.uniform.max")?;
    for (mean, key) in [
        (regions.eu_eu, "eu-eu"),
        (regions.us_us, "us-us"),
        (regions.asia_asia, "asia-asia"),
        (regions.eu_us, "eu-us"),
        (regions.eu_asia, "eu-asia"),
        (regions.us_asia, "us-asia"),
    ] {
        time(mean, Time(0), Time(60_000_000), &format!("delay.regions.{key}"))?;
    }
    whole(&[regions.eu, regions.us, regions.asia], "delay.regions")
}

fn access(scenario: &Scenario) -> Checked {
    let access = &scenario.access;
    let classes = access.classes();
    whole(&classes.map(|(_, class)| class.share), "access")?;
    whole(&[access.nat.open, access.nat.cone, access.nat.symmetric], "access.nat")?;
    for (name, class) in classes {
        number(class.uplink.0 as f64, 1000.0, 1e12, &format!("access.{name}.uplink"))?;
        time(class.last_mile, Time(0), Time(5_000_000), &format!("access.{name}.last-mile"))?;
    }
    number(access.host_uplink.0 as f64, 1000.0, 1e12, "access.host-uplink")?;
    number(f64::from(access.d_max), 1.0, 200.0, "access.d-max")?;
    number(f64::from(access.voices), 1.0, 50.0, "access.voices")?;
    number(access.last_mile_sigma, 0.0, 3.0, "access.last-mile-sigma")
}

fn network(scenario: &Scenario) -> Checked {
    let network = &scenario.network;
    rule(network.loss.0 < 1.0, "network.loss", || "all packets are lost; less than 100%".to_owned())?;
    number(network.mean_burst, 1.0, 1000.0, "network.mean-burst")?;
    let enter = network.loss.0 / (1.0 - network.loss.0) / network.mean_burst;
    rule(enter <= 1.0 || network.mean_burst == 1.0, "network.mean-burst", || {
        let least = network.loss.0 / (1.0 - network.loss.0);
        format!("bursts of {} cannot make a loss of {}; at least {least}", network.mean_burst, network.loss)
    })?;
    time(network.jitter, Time(0), Time(10_000_000), "network.jitter")?;
    time(network.idle, MS, DAY, "network.idle")?;
    time(network.dial, MS, DAY, "network.dial")
}

fn arrivals(scenario: &Scenario) -> Checked {
    let arrivals::Arrivals { model, ramp, flash, trace, ticks, .. } = &scenario.arrivals;
    rule(*ramp <= scenario.warmup, "arrivals.ramp", || {
        format!(
            "{ramp} is longer than the warm-up of {}: figures would count while members still come",
            scenario.warmup
        )
    })?;
    number(flash.rate.0, 1e-6, 1e6, "arrivals.flash.rate")?;
    let named = *model != arrivals::Model::Trace || !trace.file.is_empty();
    rule(named, "arrivals.trace.file", || "`arrivals.model` is `trace`: name its file".to_owned())?;
    time(ticks.tick, MS, DAY, "arrivals.ticks.tick")?;
    number(ticks.leave.0, 1e-9, 1.0, "arrivals.ticks.leave")?;
    number(ticks.rejoin.0, 1e-9, 1.0, "arrivals.ticks.rejoin")
}

fn sessions(scenario: &Scenario) -> Checked {
    let sessions::Sessions { lognormal, exponential, fixed, .. } = &scenario.sessions;
    number(lognormal.mu, -10.0, 20.0, "sessions.lognormal.mu")?;
    number(lognormal.sigma, 0.0, 5.0, "sessions.lognormal.sigma")?;
    rule(lognormal.sigma > 0.0, "sessions.lognormal.sigma", || "must be above 0; use `fixed` otherwise".to_owned())?;
    time(lognormal.cap, Time(1_000_000), Time(365 * DAY.0), "sessions.lognormal.cap")?;
    time(exponential.mean, MS, Time(365 * DAY.0), "sessions.exponential.mean")?;
    time(fixed.length, MS, Time(365 * DAY.0), "sessions.fixed.length")
}

/// No more stays than memory holds.
fn stays(scenario: &Scenario) -> Checked {
    let arrivals::Arrivals { model, poisson, flash, ticks, .. } = &scenario.arrivals;
    let (members, seconds) = (f64::from(scenario.members), scenario.duration.seconds());
    let kept = scenario.sessions.mean_s().map_or(0.0, |mean_s| members / mean_s * seconds);
    let cycle_s = ticks.tick.seconds() * (1.0 / ticks.leave.0 + 1.0 / ticks.rejoin.0);
    let (come, key) = match model {
        arrivals::Model::None | arrivals::Model::Trace => (0.0, "members"),
        arrivals::Model::Steady => (kept, "sessions"),
        arrivals::Model::Poisson => (poisson.rate.0 * seconds, "arrivals.poisson.rate"),
        arrivals::Model::Flash => (kept + f64::from(flash.count), "arrivals.flash.count"),
        arrivals::Model::Ticks => (members * ticks.churny.0 * seconds / cycle_s, "arrivals.ticks"),
    };
    rule(members + come <= STAYS_MAX, key, || {
        format!("{} members would come in {}; at most {STAYS_MAX}", (members + come).round(), scenario.duration)
    })
}

fn talk(scenario: &Scenario) -> Checked {
    let talk::Talk { speakers, on_off, floor, .. } = &scenario.talk;
    let speakers_max = SPEAKERS_MAX.min(scenario.members);
    rule((1..=speakers_max).contains(speakers), "talk.speakers", || {
        format!("{speakers} is out of range: 1 to {SPEAKERS_MAX}, and no more than `members`")
    })?;
    for (value, key) in [
        (on_off.talkspurt, "on-off.talkspurt"),
        (on_off.pause, "on-off.pause"),
        (floor.turn, "floor.turn"),
        (floor.talkspurt, "floor.talkspurt"),
        (floor.pause, "floor.pause"),
    ] {
        time(value, MS, DAY, &format!("talk.{key}"))?;
    }
    time(floor.gap, Time(0), DAY, "talk.floor.gap")?;
    time(floor.gap_sd, Time(0), DAY, "talk.floor.gap-sd")
}

fn adversaries(scenario: &Scenario) -> Checked {
    let adversaries = &scenario.adversaries;
    let does_something = adversaries.share.0 == 0.0 || !adversaries.kinds.is_empty();
    rule(does_something, "adversaries.kinds", || "name at least one kind, or set the share to 0%".to_owned())?;
    time(adversaries.delays, Time(0), Time(60_000_000), "adversaries.delays")?;
    number(f64::from(adversaries.floods), 1.0, 100_000.0, "adversaries.floods")?;
    number(adversaries.capacity_times, 1.0, 100.0, "adversaries.capacity-times")
}

fn incidents(scenario: &Scenario) -> Checked {
    for (number, incident) in scenario.incidents.iter().enumerate() {
        let key = |key: &str| format!("incidents.{number}.{key}");
        let duration = scenario.duration;
        rule(incident.at < duration, &key("at"), || {
            format!("{} is not before the end of the run, {duration}", incident.at)
        })?;
        let needs_share = incident.kind != incidents::Kind::HostDies && incident.share.is_none();
        rule(!needs_share, &key("share"), || "missing: the share of members that it strikes".to_owned())?;
        let lasting = match incident.kind {
            incidents::Kind::Partition => Some("the partition lasts"),
            incidents::Kind::Kicks => Some("the kicks go on"),
            incidents::Kind::RelaysFail | incidents::Kind::HostDies => None,
        };
        if let Some(what) = lasting.filter(|_| incident.lasts.is_none()) {
            rule(false, &key("lasts"), || format!("missing: how long {what}"))?;
        }
    }
    Ok(())
}
