//! What a member hears, as spans of capture time, and what that comes to in the figures that packet mode counts packet by packet.
//!
//! A span ends where the member's way changes. While it hears, every packet of a span came after the delay of its way; in a span in
//! which it was cut off the packets of the last two seconds came at once when it was fed again, out of its feeder's replay
//! ring, and what is older is lost. Definitions are those of [`measure`](crate::measure).

use rand_distr::{Distribution, Exp1};

use super::{Media, Ways};
use crate::{
    measure::{BASE_STEP_US, GRACE_US, JITTER_TARGET_US, ON_TIME_US, OUTAGE_US, Outage, Outcome},
    plan::NodeIx,
};

/// What is sent again to a member that is fed again.
const REPLAY_US: u64 = 2_000_000;
/// Draws of jitter for the packets of one span.
const DRAWS: u64 = 8;

/// A member as it listens.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Listener {
    present: bool,
    /// It was fed at some time.
    fed: bool,
    /// Whether the next packet may end a silence.
    waits: bool,
    /// Feeds that bring it sound.
    feeds: u8,
    joined_us: u64,
    warmup_us: u64,
    /// From when packets are due at it.
    from_us: Option<u64>,
    /// What was captured before is accounted for.
    mark_us: u64,
    /// From when all that was accounted for was in time.
    on_time_us: u64,
    /// When something new last came, and when that was captured.
    last: Option<(u64, u64)>,
    /// The delay of its way, as its jitter buffer estimates it.
    base_us: Option<u64>,
}

impl Listener {
    pub(super) fn new(joined_us: u64, warmup_us: u64) -> Self {
        Listener { present: true, waits: true, joined_us, warmup_us, mark_us: joined_us, ..Listener::default() }
    }

    pub(super) fn is_present(&self) -> bool {
        self.present
    }

    /// A packet has come: the first, or the first after a silence.
    fn hear_first(&mut self, arrived_us: u64) -> Option<u64> {
        let from_us = *self.from_us.get_or_insert(arrived_us.min(self.joined_us + GRACE_US));
        std::mem::take(&mut self.waits).then(|| self.last.map_or(from_us, |(at, _)| at))
    }

    fn hear_last(&mut self, arrived_us: u64, captured_us: u64) {
        let (_, captured) = self.last.unwrap_or_default();
        self.last = Some((arrived_us, captured.max(captured_us)));
    }

    /// Where frames count from.
    fn due_from_us(&self) -> u64 {
        self.from_us.unwrap_or(self.joined_us + GRACE_US).max(self.warmup_us)
    }
}

impl Media {
    /// How many feeds carry sound to a member.
    pub(super) fn set_carrying(&mut self, node: NodeIx, feeds: u8, passed_us: u64, out: &mut Outcome) {
        let before = self.nodes[node.index()].listener.feeds;
        if before == feeds {
            return;
        }
        self.hear_until(node, passed_us, out);
        self.nodes[node.index()].listener.feeds = feeds;
        self.carrying = self.carrying + u64::from(feeds) - u64::from(before);
    }

    /// The ways to a member change, for what is captured from a time on.
    pub(super) fn set_ways(&mut self, node: NodeIx, ways: Ways, passed_us: u64, out: &mut Outcome) {
        let before = self.nodes[node.index()].ways;
        self.hear_until(node, passed_us, out);
        self.nodes[node.index()].ways = ways;
        let listener = &mut self.nodes[node.index()].listener;
        listener.waits = true;
        if !before.any() && ways.any() {
            let again = std::mem::replace(&mut listener.fed, true);
            if again && listener.present {
                self.hear_again(node, passed_us, out);
            }
            let listener = &mut self.nodes[node.index()].listener;
            listener.mark_us = listener.mark_us.max(passed_us);
        }
    }

    /// Accounts for what a member has heard by its present ways.
    fn hear_until(&mut self, node: NodeIx, until_us: u64, out: &mut Outcome) {
        let (ways, mark_us) = (self.nodes[node.index()].ways, self.nodes[node.index()].listener.mark_us);
        if !self.nodes[node.index()].listener.present || !ways.any() || until_us <= mark_us {
            return;
        }
        let (mut first, mut last) = (None, None);
        for voice in 0..self.timeline.voices.len() {
            let Some((delay_us, _)) = self.delay_us(node, voice) else { continue };
            let voice = &self.timeline.voices[voice];
            let span = voice.span(mark_us, until_us);
            if span.first < span.end {
                let (a, b) = (voice.at_us[span.first], voice.at_us[span.end - 1]);
                first = first.min(Some((a + delay_us, a))).or(Some((a + delay_us, a)));
                last = last.max(Some((b + delay_us, b)));
            }
        }
        if let (Some((first_us, captured_us)), Some((last_us, last_captured_us))) = (first, last) {
            self.first_heard(node, first_us, captured_us, out);
            self.nodes[node.index()].listener.hear_last(last_us, last_captured_us);
            let from_us = mark_us.max(self.nodes[node.index()].listener.due_from_us());
            for voice in 0..self.timeline.voices.len() {
                self.count(node, voice, from_us, until_us, out);
            }
        }
        self.nodes[node.index()].listener.mark_us = until_us;
    }

    /// Delay of a voice at a member, mean jitter included, and hops; none for the member's own.
    fn delay_us(&self, node: NodeIx, voice: usize) -> Option<(u64, u8)> {
        if self.timeline.voices[voice].speaker == node {
            return None;
        }
        let (delay_us, hops) = self.offsets[voice].delay(self.nodes[node.index()].ways)?;
        Some((delay_us + u64::from(hops) * self.plan.jitter_us, hops))
    }

    /// The first packet after a change has come: the end of a silence, perhaps.
    fn first_heard(&mut self, node: NodeIx, arrived_us: u64, captured_us: u64, out: &mut Outcome) {
        let listener = &mut self.nodes[node.index()].listener;
        let row = &mut out.nodes[node.index()];
        row.first_audio_us.get_or_insert(arrived_us.saturating_sub(listener.joined_us));
        let Some(silent_us) = listener.hear_first(arrived_us) else { return };
        let waited_us = arrived_us.saturating_sub(silent_us);
        if waited_us < OUTAGE_US || captured_us < listener.due_from_us() {
            return;
        }
        let last_us = listener.last.map_or(silent_us, |(_, captured)| captured);
        let length_us = waited_us.saturating_sub(self.timeline.pauses_us(last_us, captured_us, node));
        if length_us >= OUTAGE_US {
            out.outages.push(Outage { node, at_us: arrived_us, length_us });
        }
    }

    /// Counts the packets of a voice that a member heard by its present ways.
    fn count(&mut self, node: NodeIx, voice: usize, from_us: u64, until_us: u64, out: &mut Outcome) {
        let Some((mean_us, hops)) = self.delay_us(node, voice) else { return };
        let span = self.timeline.voices[voice].span(from_us, until_us);
        if span.frames == 0 {
            return;
        }
        let packets = (span.end - span.first) as u64;
        let listener = &mut self.nodes[node.index()].listener;
        let row = &mut out.nodes[node.index()];
        row.heard += span.frames;
        row.fresh += packets;
        row.copies += packets * u64::from(listener.feeds.max(1));
        row.delay_sum_us += span.frames * mean_us;
        row.late_for_target += late_for_target(&mut listener.base_us, mean_us, span.frames);
        if mean_us <= ON_TIME_US {
            row.on_time += span.frames;
            self.timeline.voices[voice].is_on_time(span, 1);
        } else {
            listener.on_time_us = until_us;
        }
        let draws = DRAWS.min(packets);
        let least_us = mean_us - u64::from(hops) * self.plan.jitter_us;
        for draw in 0..draws {
            let frames = span.frames * (draw + 1) / draws - span.frames * draw / draws;
            let jitter: f64 = (0..hops).map(|_| -> f64 { Exp1.sample(&mut self.rng) }).sum();
            out.delays.add(least_us + (jitter * self.plan.jitter_us as f64) as u64, frames);
        }
    }

    /// A member that was cut off is fed again: what it missed comes at once, as far as it was kept.
    fn hear_again(&mut self, node: NodeIx, passed_us: u64, out: &mut Outcome) {
        let mark_us = self.nodes[node.index()].listener.mark_us.max(passed_us.saturating_sub(REPLAY_US));
        let mut first: Option<(u64, u64)> = None;
        for voice in 0..self.timeline.voices.len() {
            let Some((delay_us, _)) = self.delay_us(node, voice) else { continue };
            let voice = &self.timeline.voices[voice];
            let span = voice.span(mark_us, passed_us);
            if span.first < span.end {
                let captured_us = voice.at_us[span.first];
                first = Some(first.map_or((captured_us, delay_us), |of| of.min((captured_us, delay_us))));
            }
        }
        let Some((captured_us, delay_us)) = first else { return };
        let arrived_us = passed_us + delay_us;
        self.first_heard(node, arrived_us, captured_us, out);
        self.nodes[node.index()].listener.hear_last(arrived_us, passed_us);
        let from_us = mark_us.max(self.nodes[node.index()].listener.due_from_us());
        for voice in 0..self.timeline.voices.len() {
            self.count_replayed(node, voice, (from_us, passed_us), out);
        }
    }

    fn count_replayed(&mut self, node: NodeIx, voice: usize, (from_us, passed_us): (u64, u64), out: &mut Outcome) {
        let Some((delay_us, _)) = self.delay_us(node, voice) else { return };
        let arrived_us = passed_us + delay_us;
        let listener = &mut self.nodes[node.index()].listener;
        let row = &mut out.nodes[node.index()];
        let voice = &mut self.timeline.voices[voice];
        let span = voice.span(from_us, passed_us);
        for packet in span.first..span.end {
            let (frames, late_us) = (voice.frames_of(packet), arrived_us - voice.at_us[packet]);
            row.heard += frames;
            row.fresh += 1;
            row.copies += 1;
            row.delay_sum_us += frames * late_us;
            row.late_for_target += late_for_target(&mut listener.base_us, late_us, frames);
            out.delays.add(late_us, frames);
        }
        let in_time_us = from_us.max(arrived_us.saturating_sub(ON_TIME_US));
        if in_time_us > from_us {
            listener.on_time_us = in_time_us;
        }
        let in_time = voice.span(in_time_us, passed_us);
        row.on_time += in_time.frames;
        voice.is_on_time(in_time, 1);
    }

    /// A member goes, or the run ends.
    pub(super) fn leave_listener(&mut self, node: NodeIx, now_us: u64, out: &mut Outcome) {
        let until_us = now_us.saturating_sub(ON_TIME_US);
        self.hear_until(node, until_us, out);
        let listener = &mut self.nodes[node.index()].listener;
        listener.present = false;
        let from_us = listener.due_from_us();
        let listener = *listener;
        if from_us >= until_us {
            return;
        }
        out.listened_us += until_us - from_us;
        let row = &mut out.nodes[node.index()];
        let silent_us = listener.last.map_or(from_us, |(at, _)| at.max(from_us));
        let mut missed = 0;
        for voice in self.timeline.voices.iter_mut().filter(|voice| voice.speaker != node) {
            let due = voice.span(from_us, until_us);
            voice.is_due(due);
            row.due += due.frames;
            missed = missed.max(voice.span(silent_us, until_us.max(silent_us)).frames);
            // What was captured so late that nobody asks for it is not to its credit either.
            let accounted_us = listener.mark_us.max(until_us);
            row.heard = row.heard.saturating_sub(voice.span(until_us, accounted_us).frames);
            let in_time = voice.span(listener.on_time_us.clamp(until_us, accounted_us), accounted_us);
            row.on_time = row.on_time.saturating_sub(in_time.frames);
            voice.is_on_time(in_time, -1);
        }
        let missed_us = missed * self.plan.media.frame_us;
        if missed_us >= OUTAGE_US {
            out.outages.push(Outage { node, at_us: now_us, length_us: missed_us });
        }
    }
}

/// How many of so many frames of one delay are late for the jitter target, while the base delay moves towards it.
fn late_for_target(base_us: &mut Option<u64>, delay_us: u64, frames: u64) -> u64 {
    let base = base_us.get_or_insert(delay_us);
    let step_us = BASE_STEP_US;
    let late = delay_us.saturating_sub(*base + JITTER_TARGET_US).div_ceil(step_us).min(frames);
    let reach_us = step_us.saturating_mul(frames);
    *base = delay_us.clamp(base.saturating_sub(reach_us), base.saturating_add(reach_us));
    late
}
