//! What a run is judged by, recorded as it happens.
//!
//! - A member is a listener from its first packet, at the latest [`GRACE_US`] after it came, until it goes.
//! - A frame is due at every listener of that time who stays another [`ON_TIME_US`], but not at its speaker. It is on time
//!   when it is there within [`ON_TIME_US`] of its packet's last sample.
//! - Delay counts from a packet's last sample to its first arrival.
//! - An outage is a time without anything new, longer than the speakers' own pauses by [`OUTAGE_US`] or more; its length is what
//!   the listener waited.
//! - A frame is late for a jitter target where it comes more than [`JITTER_TARGET_US`] after the listener's base delay: a running
//!   median that moves a fixed step towards each delay (Ma, Muthukrishnan and Sandler, "Frugal streaming for estimating
//!   quantiles", 2013), so that it follows a change of the way within a second and no single late packet.
//! - A strategy may choose which voices it spreads. Frames of the others are due at nobody and count as nothing where they come.
//! - Copies are packets that arrived for each one that was new.

use std::collections::VecDeque;

use crate::{
    plan::{NodeIx, Plan},
    strategy::{Packet, Place},
};

/// Within this a frame is of use.
pub const ON_TIME_US: u64 = 400_000;
/// A member that has heard nothing this long after it came is counted as a listener all the same.
pub const GRACE_US: u64 = 3_000_000;
/// Silence beyond the speakers' own that a listener notices.
pub const OUTAGE_US: u64 = 200_000;
/// A jitter buffer that adds this to the way's own delay plays what comes by then.
pub const JITTER_TARGET_US: u64 = 100_000;
/// How fast a listener's own estimate of its way's delay follows, in microseconds a frame: 100 ms in a second of sound.
pub(crate) const BASE_STEP_US: u64 = 2_000;
/// A root that has a frame and has not sent it on after this is not going to.
const CHOOSES_US: u64 = 500_000;
/// Width of a bin of [`Delays`].
pub const BIN_US: u64 = 100;
/// Bins of [`Delays`]: what takes longer counts in the last.
const BINS: usize = 200_000;

/// A histogram of delays in bins of [`BIN_US`], each weighing one frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delays {
    bins: Vec<u64>,
    count: u64,
}

impl Delays {
    /// Counts frames that took this long.
    pub fn add(&mut self, delay_us: u64, frames: u64) {
        let bin = ((delay_us / BIN_US) as usize).min(BINS - 1);
        if self.bins.len() <= bin {
            self.bins.resize(bin + 1, 0);
        }
        self.bins[bin] += frames;
        self.count += frames;
    }

    /// Frames counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The least delay, in microseconds, that this share of frames does not exceed; none where there are no frames.
    pub fn quantile_us(&self, share: f64) -> Option<u64> {
        let wanted = (share * self.count as f64).ceil().max(1.0) as u64;
        let mut sum = 0;
        for (bin, frames) in (0_u64..).zip(&self.bins) {
            sum += frames;
            if sum >= wanted {
                return Some(bin * BIN_US + BIN_US / 2);
            }
        }
        None
    }

    /// Frames that took less than this.
    pub fn within(&self, delay_us: u64) -> u64 {
        self.bins.iter().take((delay_us / BIN_US) as usize).sum()
    }

    /// The bins that hold something: delay in microseconds at the bin's start, frames.
    pub fn bins(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        (0_u64..).zip(&self.bins).filter(|(_, frames)| **frames > 0).map(|(bin, frames)| (bin * BIN_US, *frames))
    }
}

/// One second of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Second {
    /// Frames captured in it that were due at listeners.
    pub due: u64,
    /// Those that were on time.
    pub on_time: u64,
    /// Members present at its end.
    pub present: u32,
    /// Of those that are no host, those with a parent.
    pub with_parent: u32,
    /// And those with a standby that nothing speaks against.
    pub with_standby: u32,
    /// And those whose depth is known.
    pub with_depth: u32,
    /// Sum of their depths.
    pub depth_sum: f64,
    /// The greatest of their depths.
    pub depth_max: f64,
    /// Bytes of control messages sent in it.
    pub control_bytes: u64,
    /// Bytes of media packets sent in it.
    pub media_bytes: u64,
    /// Bytes of control messages that the host sent or received in it.
    pub host_control_bytes: u64,
}

/// A time in which a listener heard nothing that it should have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// Who.
    pub node: NodeIx,
    /// When it ended.
    pub at_us: u64,
    /// How long it took.
    pub length_us: u64,
}

/// What is known of one member at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct NodeRow {
    /// When it came.
    pub joined_us: u64,
    /// When it went; none for one that stayed to the end.
    pub left_us: Option<u64>,
    /// From its coming to its first packet; none where it heard nothing.
    pub first_audio_us: Option<u64>,
    /// Frames that were due at it.
    pub due: u64,
    /// Frames that came within [`ON_TIME_US`].
    pub on_time: u64,
    /// Frames that came.
    pub heard: u64,
    /// Those of them that were late for a jitter target of the listener's base delay and [`JITTER_TARGET_US`].
    pub late_for_target: u64,
    /// Sum of their delays, in microseconds.
    pub delay_sum_us: u64,
    /// Packets that came, repeats included.
    pub copies: u64,
    /// Packets that were new.
    pub fresh: u64,
    /// One-way delay from the host straight, in microseconds.
    pub direct_us: u64,
    /// Its depth when it was last seen in a tree.
    pub depth: Option<f64>,
    /// Its parent when it was last seen.
    pub parent: Option<NodeIx>,
}

/// Every packet of a run, for figures that the others do not give.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// Frames as they were captured: the voice, its speaker, when. The n-th of a voice is its frame n.
    pub captured: Vec<(u16, NodeIx, u64)>,
    /// Packets as they came to a node, the first of each.
    pub received: Vec<(NodeIx, Packet, u64)>,
}

/// All that a run leaves behind. Times count from the start of the run; figures count from its warm-up on.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// From when figures count, in microseconds.
    pub warmup_us: u64,
    /// When the run ended, in microseconds.
    pub ended_us: u64,
    /// Delays of frames.
    pub delays: Delays,
    /// The run second by second.
    pub seconds: Vec<Second>,
    /// Outages.
    pub outages: Vec<Outage>,
    /// Repairs: from when a node noticed that nothing fed it until something did again. Each weighs one.
    pub repairs: Delays,
    /// A row for each member.
    pub nodes: Vec<NodeRow>,
    /// Time that listeners spent listening, in microseconds.
    pub listened_us: u64,
    /// Events that the engine handled.
    pub events: u64,
    /// Frames that feeds were wrongly suspected of losing, and the like: named counts of the strategy's own.
    pub counts: std::collections::BTreeMap<&'static str, u64>,
    /// Every packet, where the run was told to keep them.
    pub log: Option<Log>,
}

/// Which of a voice's last 128 frames came.
#[derive(Clone, Copy, Debug, Default)]
struct Heard {
    any: bool,
    newest: u32,
    bits: u128,
}

impl Heard {
    /// Whether the frame is new; it is not the next time. What is older than the window counts as known.
    fn insert(&mut self, number: u32) -> bool {
        if !self.any {
            *self = Heard { any: true, newest: number, bits: 1 };
            return true;
        }
        if number > self.newest {
            let shift = number - self.newest;
            self.bits = if shift < 128 { self.bits << shift } else { 0 } | 1;
            self.newest = number;
            return true;
        }
        let back = self.newest - number;
        let bit = 1_u128.checked_shl(back).unwrap_or(0);
        let new = bit != 0 && self.bits & bit == 0;
        self.bits |= bit;
        new
    }

    fn contains(&self, number: u32) -> bool {
        let back = self.newest.checked_sub(number).filter(|_| self.any);
        back.and_then(|back| 1_u128.checked_shl(back)).is_some_and(|bit| self.bits & bit != 0)
    }
}

/// What the root has done with a frame, for a strategy that chooses voices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Fate {
    /// It has not come to the root.
    #[default]
    Unknown,
    /// The root has it and does not spread it.
    Held,
    /// It was sent on.
    Sent,
}

/// A listener as it listens.
#[derive(Clone, Debug, Default)]
struct Listener {
    present: bool,
    /// From when frames are due at it.
    from_us: Option<u64>,
    /// When something new last came, and when that was captured.
    last: Option<(u64, u64)>,
    /// The delay of its way, as it estimates it.
    base_us: Option<u64>,
    heard: Vec<(u16, Heard)>,
}

/// Takes down what happens in a run.
pub struct Recorder {
    warmup_us: u64,
    frame_us: u64,
    /// When each frame of each voice was captured: the time of its last sample.
    captured: Vec<Vec<u64>>,
    speakers: Vec<NodeIx>,
    /// What became of each frame of each voice at the root; empty for a strategy that chooses no voices.
    fates: Vec<Vec<Fate>>,
    /// Packets that came before the root had them, which those on stage may: who, what, when.
    waiting: VecDeque<(NodeIx, Packet, u64)>,
    /// All frames, in the order of time: the same of all voices together, with the voice.
    all: Vec<(u64, u16)>,
    listeners: Vec<Listener>,
    pub(crate) outcome: Outcome,
    /// Sound is counted elsewhere.
    pub(crate) is_silent: bool,
}

impl Recorder {
    /// Starts to record a run.
    pub fn new(plan: &Plan) -> Self {
        let direct = |node: &crate::plan::NodePlan| plan.delay.one_way_us(plan.nodes[0].site, node.site);
        let row = |node| NodeRow { direct_us: direct(node), ..NodeRow::default() };
        Recorder {
            warmup_us: plan.warmup_us,
            frame_us: plan.media.frame_us,
            captured: Vec::new(),
            speakers: Vec::new(),
            fates: Vec::new(),
            waiting: VecDeque::new(),
            all: Vec::new(),
            listeners: vec![Listener::default(); plan.nodes.len()],
            is_silent: false,
            outcome: Outcome {
                warmup_us: plan.warmup_us,
                nodes: plan.nodes.iter().map(row).collect(),
                ..Outcome::default()
            },
        }
    }

    /// Keeps every packet from here on.
    pub fn keep_log(&mut self) {
        self.outcome.log.get_or_insert_default();
    }

    /// A member comes.
    pub fn joined(&mut self, node: NodeIx, now_us: u64) {
        self.listeners[node.index()].present = true;
        self.outcome.nodes[node.index()].joined_us = now_us;
    }

    /// A member goes, or the run ends.
    pub fn left(&mut self, node: NodeIx, now_us: u64, for_good: bool) {
        let listener = &mut self.listeners[node.index()];
        if !std::mem::take(&mut listener.present) {
            return;
        }
        let row = &mut self.outcome.nodes[node.index()];
        row.left_us = for_good.then_some(now_us);
        let from = listener.from_us.unwrap_or(row.joined_us + GRACE_US).max(self.warmup_us);
        if self.is_silent {
            return;
        }
        // Nothing was due at one that went at once, and so nothing is to its credit.
        let until = now_us.saturating_sub(ON_TIME_US).max(from);
        // A listener that is cut off when it goes has its outage all the same.
        let silent_from = listener.last.map_or(from, |(at, _)| at.max(from));
        self.outcome.listened_us += until - from;
        let (mut due, mut missed) = (0, 0);
        for (index, (voice, speaker)) in self.captured.iter().zip(&self.speakers).enumerate() {
            if *speaker == node {
                continue;
            }
            let number_at = |at_us: u64| voice.partition_point(|at| *at < at_us);
            let end = number_at(until);
            let fates = self.fates.get(index).map_or(&[][..], Vec::as_slice);
            let held = |number: usize| fates.get(number) == Some(&Fate::Held);
            let first = number_at(from).min(end);
            for (_, at) in (first..).zip(&voice[first..end]).filter(|(number, _)| !held(*number)) {
                second(&mut self.outcome.seconds, *at).due += 1;
                due += 1;
            }
            missed = missed.max((number_at(silent_from)..end).filter(|number| !held(*number)).count());
            // What was captured so late that nobody asks for it is not to its credit either.
            let heard = listener.heard.iter().find(|(of, _)| usize::from(*of) == index).map(|(_, heard)| *heard);
            for (number, at) in (0_u32..).zip(voice).skip(end) {
                if *at >= until && heard.is_some_and(|heard| heard.contains(number)) {
                    row.on_time -= 1;
                    row.heard -= 1;
                    second(&mut self.outcome.seconds, *at).on_time -= 1;
                }
            }
        }
        row.due = due;
        let missed_us = missed as u64 * self.frame_us;
        if missed_us >= OUTAGE_US {
            self.outcome.outages.push(Outage { node, at_us: now_us, length_us: missed_us });
        }
    }

    /// A frame was captured: its last sample is of now.
    pub fn captured(&mut self, voice: u16, speaker: NodeIx, now_us: u64) {
        let voice = usize::from(voice);
        if self.captured.len() <= voice {
            self.captured.resize_with(voice + 1, Vec::new);
            self.speakers.resize(voice + 1, speaker);
        }
        self.speakers[voice] = speaker;
        self.captured[voice].push(now_us);
        if let Some(log) = &mut self.outcome.log {
            log.captured.push((voice as u16, speaker, now_us));
        }
        self.all.push((now_us, voice as u16));
    }

    /// The root of a strategy that chooses voices has a packet, and sends it on or not. One that it kept back at first it may send
    /// later.
    pub fn chosen(&mut self, packet: Packet, sent: bool, now_us: u64) {
        let voice = usize::from(packet.voice);
        if self.fates.len() <= voice {
            self.fates.resize_with(voice + 1, Vec::new);
        }
        let end = packet.first as usize + usize::from(packet.frames);
        let fates = &mut self.fates[voice];
        fates.resize(fates.len().max(end), Fate::Unknown);
        for fate in &mut fates[packet.first as usize..end] {
            *fate = if sent || *fate == Fate::Sent { Fate::Sent } else { Fate::Held };
        }
        if !self.waiting.is_empty() && (sent || self.is_over(now_us)) {
            for (node, packet, at_us) in std::mem::take(&mut self.waiting) {
                if !self.waits(packet) {
                    self.count_received(node, packet, at_us);
                } else if now_us < at_us + CHOOSES_US {
                    self.waiting.push_back((node, packet, at_us));
                } else if self.fates_of(packet).all(|fate| fate != Fate::Held) {
                    // The root never had it; those who heard it are not to blame.
                    self.count_received(node, packet, at_us);
                }
            }
        }
    }

    fn is_over(&self, now_us: u64) -> bool {
        self.waiting.front().is_some_and(|(.., at_us)| now_us >= at_us + CHOOSES_US)
    }

    fn fates_of(&self, packet: Packet) -> impl Iterator<Item = Fate> + '_ {
        let fates = self.fates.get(usize::from(packet.voice)).map_or(&[][..], Vec::as_slice);
        let numbers = packet.first..packet.first + u32::from(packet.frames);
        numbers.map(|number| fates.get(number as usize).copied().unwrap_or_default())
    }

    /// Whether it is not known yet that a packet is one for everybody.
    fn waits(&self, packet: Packet) -> bool {
        self.is_present(NodeIx::HOST) && self.fates_of(packet).any(|fate| fate != Fate::Sent)
    }

    /// A packet has come to a node by a way that does not say whether it is one for everybody.
    pub fn overheard(&mut self, node: NodeIx, packet: Packet, now_us: u64) {
        if self.waits(packet) {
            self.waiting.push_back((node, packet, now_us));
        } else {
            self.count_received(node, packet, now_us);
        }
    }

    /// A packet has come to a node; true where it, or a frame in it, is new there.
    pub fn received(&mut self, node: NodeIx, packet: Packet, now_us: u64) -> bool {
        if !self.fates.is_empty() && self.fates_of(packet).any(|fate| fate != Fate::Sent) {
            self.chosen(packet, true, now_us);
        }
        self.count_received(node, packet, now_us)
    }

    fn count_received(&mut self, node: NodeIx, packet: Packet, now_us: u64) -> bool {
        let listener = &mut self.listeners[node.index()];
        let row = &mut self.outcome.nodes[node.index()];
        let last_frame = packet.first + u32::from(packet.frames) - 1;
        let Some(voice) = self.captured.get(usize::from(packet.voice)) else { return false };
        let Some(captured_us) = voice.get(last_frame as usize).copied() else { return false };
        let present = listener.present;
        let delay_us = now_us - captured_us;
        // Frames from before a listener's first packet were not due at it.
        let from_us = listener.from_us.unwrap_or(now_us.min(row.joined_us + GRACE_US));
        let due_from_us = from_us.max(self.warmup_us);
        let at = listener.heard.iter().position(|(voice, _)| *voice == packet.voice).unwrap_or_else(|| {
            listener.heard.push((packet.voice, Heard::default()));
            listener.heard.len() - 1
        });
        let heard = &mut listener.heard[at].1;
        let (mut fresh, mut due) = (0_u64, 0_u64);
        for (number, at_us) in (packet.first..=last_frame).zip(&voice[packet.first as usize..]) {
            if heard.insert(number) {
                fresh += 1;
                if present && *at_us >= due_from_us {
                    due += 1;
                    second(&mut self.outcome.seconds, *at_us).on_time += u64::from(delay_us <= ON_TIME_US);
                }
            }
        }
        row.copies += u64::from(present && captured_us >= self.warmup_us);
        if let Some(log) = self.outcome.log.as_mut().filter(|_| fresh > 0) {
            log.received.push((node, packet, now_us));
        }
        if fresh == 0 || !present {
            return fresh > 0;
        }
        listener.from_us = Some(from_us);
        row.first_audio_us.get_or_insert(now_us - row.joined_us);
        let silence_from = listener.last.map_or(from_us, |(at, _)| at);
        if due > 0 {
            row.fresh += 1;
            row.heard += due;
            row.delay_sum_us += delay_us * due;
            row.late_for_target += if is_late(&mut listener.base_us, delay_us, due) { due } else { 0 };
            row.on_time += if delay_us <= ON_TIME_US { due } else { 0 };
            self.outcome.delays.add(delay_us, due);
            self.see_outage(node, silence_from, captured_us, now_us);
        }
        let last = &mut self.listeners[node.index()].last;
        let newest = last.map_or(captured_us, |(_, captured)| captured.max(captured_us));
        *last = Some((last.map_or(now_us, |(at, _)| at.max(now_us)), newest));
        true
    }

    /// A packet has come that was not new: a copy, if all its frames have come before.
    pub fn repeated(&mut self, node: NodeIx, packet: Packet) {
        let listener = &self.listeners[node.index()];
        let last_frame = packet.first + u32::from(packet.frames) - 1;
        let captured = self.captured.get(usize::from(packet.voice)).and_then(|of| of.get(last_frame as usize));
        let counts = listener.present && captured.is_some_and(|at| *at >= self.warmup_us);
        let heard = listener.heard.iter().find(|(voice, _)| *voice == packet.voice);
        if counts && heard.is_some_and(|(_, heard)| (packet.first..=last_frame).all(|number| heard.contains(number))) {
            self.outcome.nodes[node.index()].copies += 1;
        }
    }

    /// A node hears again.
    pub fn repaired(&mut self, node: NodeIx, after_us: u64, now_us: u64) {
        if now_us >= self.warmup_us && self.listeners[node.index()].present {
            self.outcome.repairs.add(after_us, 1);
        }
    }

    /// After a silence: how much of it should have been sound.
    fn see_outage(&mut self, node: NodeIx, silent_from: u64, captured_us: u64, now_us: u64) {
        let waited = now_us.saturating_sub(silent_from);
        if waited < OUTAGE_US {
            return;
        }
        let last_captured = self.listeners[node.index()].last.map_or(silent_from, |(_, captured)| captured);
        let after = self.all.partition_point(|(at, _)| *at <= last_captured);
        let before = self.all.partition_point(|(at, _)| *at < captured_us);
        // The speakers' own pauses in between; to a speaker its own turns are pauses.
        let mut pauses = 0;
        let mut previous = last_captured;
        let between = self.all.get(after..before.max(after)).unwrap_or_default();
        let others = between.iter().filter(|(_, voice)| self.speakers.get(usize::from(*voice)) != Some(&node));
        for at in others.map(|(at, _)| *at).chain([captured_us]) {
            let gap = at.saturating_sub(previous);
            pauses += gap.saturating_sub(self.frame_us);
            previous = at.max(previous);
        }
        let length_us = waited.saturating_sub(pauses);
        if length_us >= OUTAGE_US {
            self.outcome.outages.push(Outage { node, at_us: now_us, length_us });
        }
    }

    /// Bytes were sent.
    pub fn sent(&mut self, from: NodeIx, to: NodeIx, bytes: u64, media: bool, now_us: u64) {
        let second = second(&mut self.outcome.seconds, now_us);
        if media {
            second.media_bytes += bytes;
        } else {
            second.control_bytes += bytes;
            if from == NodeIx::HOST || to == NodeIx::HOST {
                second.host_control_bytes += bytes;
            }
        }
    }

    /// The end of a second: where everyone is.
    pub fn placed(&mut self, node: NodeIx, place: Place, now_us: u64) {
        let second = second(&mut self.outcome.seconds, now_us.saturating_sub(1));
        second.present += 1;
        if node == NodeIx::HOST {
            return;
        }
        second.with_parent += u32::from(place.parent.is_some());
        second.with_standby += u32::from(place.standby.is_some());
        let row = &mut self.outcome.nodes[node.index()];
        if let Some(depth) = place.depth {
            second.with_depth += 1;
            second.depth_sum += depth;
            second.depth_max = second.depth_max.max(depth);
            row.depth = place.depth;
            row.parent = place.parent;
        }
    }

    /// Adds to a count of the strategy's own.
    pub fn count(&mut self, name: &'static str, by: u64) {
        *self.outcome.counts.entry(name).or_default() += by;
    }

    /// Whether the member is there.
    pub fn is_present(&self, node: NodeIx) -> bool {
        self.listeners[node.index()].present
    }

    /// Ends the record.
    pub fn finish(mut self, now_us: u64, events: u64) -> Outcome {
        for node in 0..self.listeners.len() {
            self.left(NodeIx(node as u32), now_us, false);
        }
        self.outcome.events = events;
        self.outcome.ended_us = now_us;
        self.outcome.outages.sort_unstable_by_key(|outage| (outage.at_us, outage.node));
        self.outcome
    }
}

/// Whether frames of this delay are late for the jitter target; moves the base delay towards them.
fn is_late(base_us: &mut Option<u64>, delay_us: u64, frames: u64) -> bool {
    let base = base_us.get_or_insert(delay_us);
    let is_late = delay_us > *base + JITTER_TARGET_US;
    let step = BASE_STEP_US * frames;
    *base = delay_us.clamp(base.saturating_sub(step), *base + step);
    is_late
}

pub(crate) fn second(seconds: &mut Vec<Second>, at_us: u64) -> &mut Second {
    let index = (at_us / 1_000_000) as usize;
    if seconds.len() <= index {
        seconds.resize(index + 1, Second::default());
    }
    &mut seconds[index]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_delay_follows_the_way_and_no_single_packet() {
        let mut base = None;
        assert!(!is_late(&mut base, 80_000, 1), "the first packet is its own base");
        assert!(is_late(&mut base, 300_000, 1));
        assert!(!is_late(&mut base, 80_000, 1));
        assert!(base.is_some_and(|base| base < 83_000), "{base:?}");
        // A way that is 200 ms longer: late until the base is within 100 ms of it, 50 frames of 2 ms.
        let late = (0..200).filter(|_| is_late(&mut base, 280_000, 1)).count();
        assert!((45..=55).contains(&late), "{late}");
        assert_eq!(base, Some(280_000));
    }
}
