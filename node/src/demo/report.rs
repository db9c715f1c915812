//! What a demo came to: a row a listener, a summary, and the verdict.

use std::collections::BTreeMap;

use serde::Serialize;
use treehouse_invite::Protection;

use super::{
    logjoin::{Heard, Listened, Spoken, gap_ms, join},
    recording::Recording,
};
use crate::{
    events::Stats,
    stats::{Percentiles, percentile, round},
};

/// The share of frames that a listener may lose.
pub const LOSS_MAX: f64 = 0.001;
/// The longest gap that a crash may leave where no live standby is promised, in milliseconds.
pub const GAP_MS_MAX: u64 = 300;
/// Frames captured so long before a kill may still have been on their way through the relay.
const KILL_BEFORE_NS: u64 = 500_000_000;
/// Repair is over this long after a kill, and later losses have other causes.
const KILL_AFTER_NS: u64 = 5_000_000_000;
/// A recording may be this much shorter than the time that its listener was heard to listen.
const RECORDING_SLACK_S: f64 = 1.0;

/// All that is known of one listener.
pub struct Listener {
    /// Its name.
    pub name: String,
    /// What its log says.
    pub listened: Listened,
    /// What is in its recording; a sentence where it cannot be read; absent for one that was killed.
    pub recording: Option<Result<Recording, String>>,
    /// From the start of its join to its first audio.
    pub first_audio_ms: Option<u64>,
    /// Its last counters.
    pub stats: Stats,
    /// When it was killed.
    pub killed_ns: Option<u64>,
}

/// A relay that was killed.
#[derive(Clone, Debug)]
pub struct Kill {
    /// Its peer id.
    pub peer: String,
    /// When.
    pub at_ns: u64,
    /// Whom it fed.
    pub children: usize,
    /// Names of the listeners whose feed came through it.
    pub below: Vec<String>,
}

/// What was observed of the whole.
pub struct Observed {
    /// What speakers captured.
    pub spoken: Spoken,
    /// When the speakers were told to stop.
    pub until_ns: u64,
    /// Each listener.
    pub listeners: Vec<Listener>,
    /// How many spoke.
    pub speakers: usize,
    /// Members that fed others, half-way.
    pub relays: usize,
    /// Hops from the host to the farthest, half-way.
    pub depth_max: usize,
    /// The relay that was killed, if one was.
    pub kill: Option<Kill>,
    /// What the room promises.
    pub protection: Protection,
    /// The host's counters when all had come, and at the end.
    pub host: (Stats, Stats),
    /// Most memory of any node, in KiB.
    pub rss_kib_max: u64,
}

/// Two percentiles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spread {
    /// Half of the values are at most this.
    pub p50: Option<f64>,
    /// 99 in a hundred are.
    pub p99: Option<f64>,
}

/// What the death of a relay cost.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KilledRelay {
    /// Its peer id.
    pub peer: String,
    /// Whom it fed.
    pub children: usize,
    /// Listeners whose feed came through it.
    pub listeners_below: usize,
    /// Frames that the survivors lost between 0.5 s before and 5 s after.
    pub frames_lost: u64,
    /// The longest time in which a listener below heard nothing new of a voice, in milliseconds, in whole frames.
    pub gap_ms_max: u64,
}

/// The last line of a demo. The names of the fields are a contract.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename = "summary")]
pub struct Summary {
    /// How many listened.
    pub listeners: usize,
    /// How many spoke.
    pub speakers: usize,
    /// Members other than the host that fed others, half-way.
    pub relays: usize,
    /// Hops from the host to the member farthest from it, half-way.
    pub depth_max: usize,
    /// Frames that were to be heard, over all listeners.
    pub frames_expected: u64,
    /// Frames that were heard.
    pub frames_heard: u64,
    /// The second by the first.
    pub heard_ratio: f64,
    /// Frames whose place redundancy or concealment took.
    pub frames_concealed: u64,
    /// Copies of a frame that came to a listener, by distinct frames.
    pub copies_per_frame: f64,
    /// From a packet's last sample to its verification.
    pub network_delay_ms: Percentiles,
    /// From a sample's capture to its leaving the mixer.
    pub mouth_to_ear_ms: Percentiles,
    /// From the start of a join to the first decoded sample's leaving the mixer.
    pub join_to_first_audio_ms: Spread,
    /// The relay that was killed, if one was.
    pub killed_relay: Option<KilledRelay>,
    /// Processor time of the host's process by frames sent, one for each frame and receiver.
    pub sender_cpu_us_per_frame_child: Option<f64>,
    /// Most memory of any node.
    pub rss_mib_max: f64,
}

/// One listener in the table.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename = "listener")]
pub struct Row {
    /// Its name.
    pub name: String,
    /// It was the relay that was killed; it counts up to its death.
    pub killed: bool,
    /// From the start of its join to its first audio.
    pub first_audio_ms: Option<u64>,
    /// Frames that it should have heard.
    pub frames_expected: u64,
    /// Frames that it heard.
    pub frames_heard: u64,
    /// Frames whose place redundancy or concealment took.
    pub frames_concealed: u64,
    /// Copies that came of each frame.
    pub copies_per_frame: f64,
    /// From a packet's last sample to its verification.
    pub network_delay_ms: Percentiles,
    /// From a sample's capture to its leaving the mixer.
    pub mouth_to_ear_ms: Percentiles,
    /// Length of its recording.
    pub recording_s: Option<f64>,
}

/// Rows, summary, and whatever is not as it should be.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// One row a listener.
    pub rows: Vec<Row>,
    /// The whole.
    pub summary: Summary,
    /// One sentence for each thing that is wrong; none if all is well.
    pub problems: Vec<String>,
}

/// Works out what was heard, and judges it.
pub fn evaluate(observed: &Observed) -> Outcome {
    let mut heard: BTreeMap<usize, Heard> = BTreeMap::new();
    for (at, listener) in observed.listeners.iter().enumerate() {
        // What was captured just before its death could not reach a listener that was killed.
        let until_ns = listener.killed_ns.map_or(observed.until_ns, |at_ns| at_ns.saturating_sub(KILL_BEFORE_NS));
        heard.insert(at, join(&observed.spoken, &listener.listened, until_ns));
    }
    let killed_relay = observed.kill.as_ref().map(|kill| killed_relay(kill, &observed.listeners, &heard));
    let problems = problems(observed, &heard, killed_relay.as_ref());
    let summary = summary(observed, &mut heard, killed_relay);
    let rows =
        observed.listeners.iter().zip(heard.into_values()).map(|(listener, heard)| row(listener, heard)).collect();
    Outcome { rows, summary, problems }
}

fn killed_relay(kill: &Kill, listeners: &[Listener], heard: &BTreeMap<usize, Heard>) -> KilledRelay {
    let (from_ns, until_ns) = (kill.at_ns.saturating_sub(KILL_BEFORE_NS), kill.at_ns + KILL_AFTER_NS);
    let survivors = listeners.iter().zip(heard.values()).filter(|(listener, _)| listener.killed_ns.is_none());
    let (mut frames_lost, mut gap_ms_max) = (0, 0);
    for (listener, heard) in survivors {
        frames_lost += lost_within(heard, from_ns, until_ns);
        if kill.below.contains(&listener.name) {
            gap_ms_max = gap_ms_max.max(gap_ms(&listener.listened, from_ns, until_ns));
        }
    }
    KilledRelay {
        peer: kill.peer.clone(),
        children: kill.children,
        listeners_below: kill.below.len(),
        frames_lost,
        gap_ms_max,
    }
}

fn lost_within(heard: &Heard, from_ns: u64, until_ns: u64) -> u64 {
    heard.losses.iter().filter(|loss| (from_ns..=until_ns).contains(&loss.captured_ns)).count() as u64
}

fn problems(observed: &Observed, heard: &BTreeMap<usize, Heard>, killed: Option<&KilledRelay>) -> Vec<String> {
    let mut problems = Vec::new();
    let voices = observed.spoken.voices();
    if voices < observed.speakers {
        problems.push(format!("{voices} of {} speakers were on stage: look into their logs", observed.speakers));
    }
    for (listener, heard) in observed.listeners.iter().zip(heard.values()) {
        problems.extend(loss_problem(observed, listener, heard));
        problems.extend(file_problems(listener));
    }
    if let Some(killed) = killed.filter(|killed| killed.gap_ms_max > GAP_MS_MAX) {
        problems.push(format!("the kill left a gap of {} ms, more than {GAP_MS_MAX}", killed.gap_ms_max));
    }
    problems
}

/// A listener that lost too much. Where a relay was killed and no live standby is promised, what the kill cost is judged
/// by the length of its gap instead.
fn loss_problem(observed: &Observed, listener: &Listener, heard: &Heard) -> Option<String> {
    let name = &listener.name;
    if heard.expected == 0 {
        let killed = listener.killed_ns.is_some();
        return (!killed).then(|| format!("{name} heard nothing: look into its log"));
    }
    let excused = match &observed.kill {
        Some(kill) if observed.protection != Protection::All => {
            lost_within(heard, kill.at_ns.saturating_sub(KILL_BEFORE_NS), kill.at_ns + KILL_AFTER_NS)
        }
        _ => 0,
    };
    let lost = heard.expected - heard.heard;
    let share = lost.saturating_sub(excused) as f64 / heard.expected as f64;
    (share > LOSS_MAX).then(|| {
        format!(
            "{name} lost {lost} of {} frames, {:.2} %: more than 0.1 %",
            heard.expected,
            100.0 * lost as f64 / heard.expected as f64
        )
    })
}

fn file_problems(listener: &Listener) -> Vec<String> {
    if listener.killed_ns.is_some() {
        return Vec::new();
    }
    let name = &listener.name;
    let mut problems = Vec::new();
    match listener.listened.dropped {
        Some(0) => {}
        Some(dropped) => problems.push(format!("the disk was too slow for {dropped} lines of {name}'s frame log")),
        None => problems.push(format!("{name}'s frame log has no end: it did not leave in order")),
    }
    match &listener.recording {
        Some(Ok(recording)) if recording.is_silent() => problems.push(format!("{name}'s recording is silent")),
        Some(Ok(recording)) if recording.seconds + RECORDING_SLACK_S < listener.listened.seconds() => {
            problems.push(format!("{name}'s recording has only {:.1} s", recording.seconds));
        }
        Some(Ok(_)) => {}
        Some(Err(sentence)) => problems.push(sentence.clone()),
        None => problems.push(format!("{name} left no recording")),
    }
    problems
}

fn summary(observed: &Observed, heard: &mut BTreeMap<usize, Heard>, killed_relay: Option<KilledRelay>) -> Summary {
    let frames_expected = heard.values().map(|heard| heard.expected).sum();
    let frames_heard = heard.values().map(|heard| heard.heard).sum();
    let mut network: Vec<u64> = heard.values().flat_map(|heard| heard.network_delay_us.iter().copied()).collect();
    let mut mouth_to_ear: Vec<u64> = heard.values().flat_map(|heard| heard.mouth_to_ear_us.iter().copied()).collect();
    let mut joins: Vec<u64> = observed.listeners.iter().filter_map(|listener| listener.first_audio_ms).collect();
    joins.sort_unstable();
    let join_ms = |percent| percentile(&joins, percent).map(|ms| ms as f64);
    let (received, verified) = observed.listeners.iter().fold((0, 0), |(received, verified), listener| {
        (received + listener.stats.frames_received, verified + listener.stats.frames_verified)
    });
    let (from, to) = &observed.host;
    let frames_sent = to.frames_sent.saturating_sub(from.frames_sent);
    let cpu_us = to.cpu_ms.saturating_sub(from.cpu_ms) * 1_000;
    Summary {
        listeners: observed.listeners.len(),
        speakers: observed.speakers,
        relays: observed.relays,
        depth_max: observed.depth_max,
        frames_expected,
        frames_heard,
        heard_ratio: ratio(frames_heard, frames_expected, 6),
        frames_concealed: heard.values().map(|heard| heard.concealed).sum(),
        copies_per_frame: ratio(received, verified, 3),
        network_delay_ms: Percentiles::of_us(&mut network),
        mouth_to_ear_ms: Percentiles::of_us(&mut mouth_to_ear),
        join_to_first_audio_ms: Spread { p50: join_ms(50), p99: join_ms(99) },
        killed_relay,
        sender_cpu_us_per_frame_child: (frames_sent > 0).then(|| ratio(cpu_us, frames_sent, 1)),
        rss_mib_max: round(observed.rss_kib_max as f64 / 1_024.0, 1),
    }
}

fn ratio(part: u64, whole: u64, digits: i32) -> f64 {
    if whole == 0 { 0.0 } else { round(part as f64 / whole as f64, digits) }
}

fn row(listener: &Listener, mut heard: Heard) -> Row {
    let recording = listener.recording.as_ref().and_then(|recording| recording.as_ref().ok());
    Row {
        name: listener.name.clone(),
        killed: listener.killed_ns.is_some(),
        first_audio_ms: listener.first_audio_ms,
        frames_expected: heard.expected,
        frames_heard: heard.heard,
        frames_concealed: heard.concealed,
        copies_per_frame: ratio(listener.stats.frames_received, listener.stats.frames_verified, 2),
        network_delay_ms: Percentiles::of_us(&mut heard.network_delay_us),
        mouth_to_ear_ms: Percentiles::of_us(&mut heard.mouth_to_ear_us),
        recording_s: recording.map(|recording| round(recording.seconds, 2)),
    }
}

/// The rows as a table for people.
pub fn table(rows: &[Row]) -> Vec<String> {
    let mut lines = vec![format!(
        "{:<12} {:>8} {:>8} {:>5} {:>9} {:>7} {:>12} {:>12} {:>9}",
        "listener", "expected", "heard", "lost", "concealed", "copies", "network p99", "to ear p95", "recorded"
    )];
    let number = |value: Option<f64>, unit: &str| value.map_or("-".to_owned(), |value| format!("{value:.1} {unit}"));
    for row in rows {
        lines.push(format!(
            "{:<12} {:>8} {:>8} {:>5} {:>9} {:>7.2} {:>12} {:>12} {:>9}{}",
            row.name,
            row.frames_expected,
            row.frames_heard,
            row.frames_expected - row.frames_heard,
            row.frames_concealed,
            row.copies_per_frame,
            number(row.network_delay_ms.p99, "ms"),
            number(row.mouth_to_ear_ms.p95, "ms"),
            number(row.recording_s, "s"),
            if row.killed { "  killed" } else { "" },
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use treehouse_wire::VoiceId;

    use super::*;
    use crate::framelog::{Entry, Outcome as Played};

    const VOICE: VoiceId = VoiceId([9; 8]);
    const FRAME_NS: u64 = 20_000_000;
    const FRAMES: u32 = 2_100;

    fn spoken() -> Spoken {
        let mut spoken = Spoken::default();
        let log: Vec<Entry> = (0..FRAMES)
            .map(|frame| Entry::Captured { voice: VOICE, frame, at_ns: u64::from(frame + 1) * FRAME_NS })
            .collect();
        spoken.add(&log);
        spoken
    }

    /// A listener that heard all frames but these.
    fn listener(name: &str, lost: impl Fn(u32) -> bool) -> Listener {
        let mut log: Vec<Entry> = (0..FRAMES)
            .map(|frame| {
                let at_ns = u64::from(frame + 1) * FRAME_NS + 60_000_000;
                let outcome = if lost(frame) { Played::Concealed } else { Played::Decoded };
                Entry::Played { voice: VOICE, frame, outcome, at_ns }
            })
            .collect();
        log.push(Entry::End { dropped: 0 });
        Listener {
            name: name.to_owned(),
            listened: Listened::new(&log),
            recording: Some(Ok(Recording { seconds: 60.0, rms: 0.1 })),
            first_audio_ms: Some(200),
            stats: Stats { frames_received: 20, frames_verified: 10, ..Stats::default() },
            killed_ns: None,
        }
    }

    fn observed(listeners: Vec<Listener>, protection: Protection, kill: Option<Kill>) -> Observed {
        let host = (Stats::default(), Stats { frames_sent: 1_000, cpu_ms: 25, ..Stats::default() });
        let (relays, depth_max, speakers, rss_kib_max) = (1, 2, 1, 20_480);
        Observed {
            spoken: spoken(),
            until_ns: u64::MAX,
            listeners,
            speakers,
            relays,
            depth_max,
            kill,
            protection,
            host,
            rss_kib_max,
        }
    }

    fn kill() -> Kill {
        Kill { peer: "12D3".to_owned(), at_ns: 500 * FRAME_NS, children: 1, below: vec!["a".to_owned()] }
    }

    #[test]
    fn when_all_is_heard_there_is_nothing_to_complain_about() {
        let outcome =
            evaluate(&observed(vec![listener("a", |_| false), listener("b", |_| false)], Protection::All, None));
        assert!(outcome.problems.is_empty(), "{:?}", outcome.problems);
        let summary = &outcome.summary;
        assert_eq!((summary.heard_ratio, summary.copies_per_frame), (1.0, 2.0));
        assert_eq!((summary.sender_cpu_us_per_frame_child, summary.rss_mib_max), (Some(25.0), 20.0));
    }

    #[test]
    fn a_listener_that_lost_more_than_one_in_a_thousand_fails_the_demo() {
        // 2,047 frames are expected: those captured a second after the first audio.
        let run = |lost: u32| {
            evaluate(&observed(vec![listener("a", |frame| (700..700 + lost).contains(&frame))], Protection::All, None))
        };
        assert!(run(2).problems.is_empty());
        let failed = run(3);
        assert_eq!((failed.summary.frames_expected, failed.summary.frames_heard), (2_047, 2_044));
        assert!(
            failed.problems.iter().any(|problem| problem.contains("a lost 3 of 2047 frames")),
            "{:?}",
            failed.problems
        );
    }

    #[test]
    fn without_a_live_standby_a_kill_may_cost_a_gap_of_300_ms_and_no_more() {
        let gap = |frames: u32| move |frame: u32| (500..500 + frames).contains(&frame);
        let run = |frames, protection| evaluate(&observed(vec![listener("a", gap(frames))], protection, Some(kill())));
        let short = run(15, Protection::Off);
        assert!(short.problems.is_empty(), "{:?}", short.problems);
        let killed = short.summary.killed_relay.expect("a kill");
        assert_eq!((killed.frames_lost, killed.gap_ms_max), (15, 300));
        assert!(run(16, Protection::Off).problems.iter().any(|problem| problem.contains("gap of 320 ms")));
        assert!(run(15, Protection::All).problems.iter().any(|problem| problem.contains("lost 15")));
    }

    #[test]
    fn a_killed_listener_counts_until_shortly_before_its_death() {
        let mut dead = listener("dead", |frame| frame >= 475);
        dead.killed_ns = Some(500 * FRAME_NS);
        (dead.recording, dead.listened.dropped) = (None, None);
        let outcome = evaluate(&observed(vec![dead], Protection::All, Some(kill())));
        assert!(outcome.problems.is_empty(), "{:?}", outcome.problems);
        assert_eq!(outcome.summary.killed_relay.map(|killed| killed.frames_lost), Some(0));
    }

    #[test]
    fn silence_and_missing_logs_fail_the_demo() {
        let mut silent = listener("silent", |_| false);
        silent.recording = Some(Ok(Recording { seconds: 60.0, rms: 0.0 }));
        let mut deaf = listener("deaf", |_| false);
        deaf.listened = Listened::default();
        let problems = evaluate(&observed(vec![silent, deaf], Protection::All, None)).problems;
        for wanted in ["silent's recording is silent", "deaf heard nothing", "deaf's frame log has no end"] {
            assert!(problems.iter().any(|problem| problem.contains(wanted)), "{wanted}: {problems:?}");
        }
    }

    #[test]
    fn the_summary_has_the_fields_that_scripts_rely_on() {
        let outcome = evaluate(&observed(vec![listener("a", |_| false)], Protection::All, Some(kill())));
        let line = serde_json::to_value(&outcome.summary).expect("json");
        let names: Vec<&str> = line.as_object().expect("an object").keys().map(String::as_str).collect();
        for name in [
            "event",
            "listeners",
            "speakers",
            "relays",
            "depth_max",
            "frames_expected",
            "frames_heard",
            "heard_ratio",
            "frames_concealed",
            "copies_per_frame",
            "network_delay_ms",
            "mouth_to_ear_ms",
            "join_to_first_audio_ms",
            "killed_relay",
            "sender_cpu_us_per_frame_child",
            "rss_mib_max",
        ] {
            assert!(names.contains(&name), "{name} is missing from {names:?}");
        }
        assert_eq!(line["event"], "summary");
        assert_eq!(line["killed_relay"]["gap_ms_max"], 0);
    }

    #[test]
    fn a_table_has_a_line_for_each_listener() {
        let rows = evaluate(&observed(vec![listener("a", |_| false)], Protection::All, None)).rows;
        assert_eq!(table(&rows).len(), 2);
    }
}
