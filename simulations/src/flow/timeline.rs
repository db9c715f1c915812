//! All packets of a run, in the time of their capture: the axis on which flow mode counts.
//!
//! A cut in the tree falls between the same two packets for a whole subtree, whatever the delay at each member. What a member
//! hears is therefore a list of spans of capture time, and counting is a binary search. How many listeners each packet
//! was due at and in time for is kept as differences and summed up at the end.

use crate::{measure::Second, plan::NodeIx};

/// The packets of one voice.
#[derive(Debug)]
pub(super) struct Voice {
    pub(super) speaker: NodeIx,
    /// When the last sample of each was captured.
    pub(super) at_us: Vec<u64>,
    /// Frames before each, and of all.
    frames: Vec<u64>,
    /// Changes of the number of listeners at which packets are due, from each packet on.
    due: Vec<i64>,
    /// And of those at which they are in time.
    on_time: Vec<i64>,
}

/// Packets of one voice that follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) first: usize,
    pub(super) end: usize,
    pub(super) frames: u64,
}

impl Voice {
    fn new(speaker: NodeIx) -> Self {
        Voice { speaker, at_us: Vec::new(), frames: vec![0], due: vec![0], on_time: vec![0] }
    }

    /// What was captured from one time until before another.
    pub(super) fn span(&self, from_us: u64, until_us: u64) -> Span {
        let first = self.at_us.partition_point(|at| *at < from_us);
        let end = first + self.at_us[first..].partition_point(|at| *at < until_us);
        Span { first, end, frames: self.frames[end] - self.frames[first] }
    }

    pub(super) fn is_due(&mut self, span: Span) {
        self.due[span.first] += 1;
        self.due[span.end] -= 1;
    }

    /// Adds listeners to those that had these in time, or takes them away.
    pub(super) fn is_on_time(&mut self, span: Span, listeners: i64) {
        self.on_time[span.first] += listeners;
        self.on_time[span.end] -= listeners;
    }

    /// Frames of one packet.
    pub(super) fn frames_of(&self, packet: usize) -> u64 {
        self.frames[packet + 1] - self.frames[packet]
    }
}

/// The packets of all voices.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    pub(super) voices: Vec<Voice>,
    /// Capture times of the packets of all voices together, and the speaker of each.
    all: Vec<(u64, NodeIx)>,
    /// Length of the sound in a packet.
    pub(super) packet_us: u64,
}

impl Timeline {
    pub(super) fn new(packet_us: u64) -> Self {
        Timeline { packet_us, ..Timeline::default() }
    }

    /// A packet of a voice was captured.
    pub(super) fn captured(&mut self, voice: u16, speaker: NodeIx, frames: u64, now_us: u64) {
        while self.voices.len() <= usize::from(voice) {
            self.voices.push(Voice::new(speaker));
        }
        let of = &mut self.voices[usize::from(voice)];
        of.speaker = speaker;
        of.at_us.push(now_us);
        of.frames.push(of.frames.last().copied().unwrap_or(0) + frames);
        of.due.push(0);
        of.on_time.push(0);
        self.all.push((now_us, speaker));
    }

    /// The speakers' own pauses between two packets; to a speaker its own turns are pauses.
    pub(super) fn pauses_us(&self, from_us: u64, until_us: u64, listener: NodeIx) -> u64 {
        let after = self.all.partition_point(|(at, _)| *at <= from_us);
        let before = self.all.partition_point(|(at, _)| *at < until_us).max(after);
        let mut previous = from_us;
        let mut pauses_us = 0;
        let others = self.all[after..before].iter().filter(|(_, speaker)| *speaker != listener);
        for at in others.map(|(at, _)| *at).chain([until_us]) {
            pauses_us += at.saturating_sub(previous).saturating_sub(self.packet_us);
            previous = at.max(previous);
        }
        pauses_us
    }

    /// Sums up the differences into the seconds of capture.
    pub(super) fn sum(&self, seconds: &mut Vec<Second>) {
        for voice in &self.voices {
            let (mut due, mut on_time) = (0, 0);
            for (packet, at_us) in voice.at_us.iter().enumerate() {
                due += voice.due[packet];
                on_time += voice.on_time[packet];
                let second = crate::measure::second(seconds, *at_us);
                second.due += u64::try_from(due).unwrap_or(0) * voice.frames_of(packet);
                second.on_time += u64::try_from(on_time).unwrap_or(0) * voice.frames_of(packet);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_counted_and_summed_by_second() {
        let mut timeline = Timeline::new(60_000);
        for packet in 1..=50_u64 {
            timeline.captured(0, NodeIx::HOST, 3, packet * 60_000);
        }
        let voice = &mut timeline.voices[0];
        let span = voice.span(60_000, 1_200_000);
        assert_eq!((span.first, span.end, span.frames), (0, 19, 57));
        voice.is_due(span);
        voice.is_on_time(voice.span(600_000, 1_200_000), 1);
        let mut seconds = Vec::new();
        timeline.sum(&mut seconds);
        assert_eq!(seconds.iter().map(|second| second.due).collect::<Vec<_>>(), [48, 9, 0, 0]);
        assert_eq!(seconds.iter().map(|second| second.on_time).sum::<u64>(), 30);
        assert_eq!(timeline.pauses_us(60_000, 1_200_000, NodeIx(1)), 0);
        assert_eq!(timeline.pauses_us(60_000, 1_200_000, NodeIx::HOST), 1_080_000, "its own turn");
        timeline.captured(0, NodeIx::HOST, 3, 5_000_000);
        assert_eq!(timeline.pauses_us(3_000_000, 5_000_000, NodeIx(1)), 1_940_000);
    }
}
