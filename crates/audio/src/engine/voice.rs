//! One voice on its way to the mixer: jitter buffer, decoder, and a short store of decoded sound whose length is moved
//! by stretching, so that the delay can change while the voice plays.

use std::time::Duration;

use treehouse_wire::{FrameNumber, units::SAMPLE_RATE_HZ};

use super::TICK;
use crate::{
    FRAME,
    decode::{Outcome, VoiceDecoder},
    encode::CodecError,
    jitter::{JitterBuffer, JitterConfig, JitterCounts, Step, samples_duration},
    level::is_silence,
    mix::Fade,
    stretch,
};

/// A delay this much above its target is taken out. More than a tick, which is how exactly a start can hit the target.
const SURPLUS_US: i64 = 30_000;
/// A surplus above this is taken out even where the cut will be heard.
const URGENT_US: i64 = 120_000;
/// A delay this much below its target is filled up.
const DEFICIT_US: i64 = -10_000;
/// Ticks between two cuts or repeats in speech: at most a tenth faster or slower.
const SPEECH_CUT_TICKS: u32 = 6;
/// Ticks of concealment in a row that still sound like the voice; after them it fades away.
const CONCEALED_AUDIBLE: u32 = 2;
/// Steps that one tick can take: every frame held may be covered at once, and a few fill time.
const STEPS_MAX: u32 = crate::jitter::FRAMES_HELD_MAX + 8;

/// What happened to a voice during a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum VoiceReport {
    Started { first: FrameNumber, skipped: u32 },
    Played { number: FrameNumber, outcome: Outcome },
    Stopped,
}

pub(super) struct Voice {
    jitter: JitterBuffer,
    decoder: VoiceDecoder,
    /// Decoded sound not yet played; less than a frame between ticks, three while stretching.
    pcm: Vec<f32>,
    fade: Fade,
    concealed_in_a_row: u32,
    since_cut: u32,
    /// Being removed: it fades out and takes nothing more.
    leaving: bool,
    /// When it last had anything to do, to choose whom to evict.
    pub(super) active_at: Duration,
}

impl Voice {
    pub(super) fn new(config: JitterConfig) -> Result<Self, CodecError> {
        Ok(Voice {
            jitter: JitterBuffer::new(config),
            decoder: VoiceDecoder::new()?,
            pcm: Vec::with_capacity(3 * FRAME),
            fade: Fade::default(),
            concealed_in_a_row: 0,
            since_cut: 0,
            leaving: false,
            active_at: Duration::ZERO,
        })
    }

    pub(super) fn insert(&mut self, arrived: Duration, number: FrameNumber, opus: bytes::Bytes) {
        self.jitter.insert(arrived, number, opus);
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.leaving
    }

    /// Fades out instead of playing on.
    pub(super) fn leave(&mut self) {
        self.leaving = true;
    }

    /// Whether the voice is to be forgotten.
    pub(super) fn is_gone(&self) -> bool {
        self.leaving && self.fade.is_silent()
    }

    pub(super) fn is_active(&self) -> bool {
        if self.leaving { !self.fade.is_silent() } else { self.jitter.is_active() || !self.pcm.is_empty() }
    }

    pub(super) fn counts(&self) -> JitterCounts {
        self.jitter.counts()
    }

    /// Fills `out` with the 20 ms that begin at `now`; false if the voice is silent throughout.
    pub(super) fn tick(&mut self, now: Duration, out: &mut [f32; FRAME], report: &mut impl FnMut(VoiceReport)) -> bool {
        if !self.is_active() {
            return false;
        }
        self.active_at = now;
        self.fill(now, report);
        if !self.leaving && !self.pcm.is_empty() {
            self.adjust(now, report);
            self.fill(now, report);
        }
        let len = self.pcm.len().min(FRAME);
        out.fill(0.0);
        out.iter_mut().zip(self.pcm.drain(..len)).for_each(|(out, sample)| *out = sample);
        len > 0
    }

    /// Takes steps until a frame's worth of sound is there or the voice is silent.
    fn fill(&mut self, now: Duration, report: &mut impl FnMut(VoiceReport)) {
        for _ in 0..STEPS_MAX {
            if self.pcm.len() >= FRAME || !self.step(now, report) {
                return;
            }
        }
    }

    /// Takes one step; false if it brought silence.
    fn step(&mut self, now: Duration, report: &mut impl FnMut(VoiceReport)) -> bool {
        let mut pcm = [0.0; FRAME];
        if self.leaving {
            if self.fade.is_silent() {
                return false;
            }
            self.decoder.conceal(&mut pcm);
            self.append(pcm, Outcome::Concealed);
            return true;
        }
        let (number, outcome) = match self.jitter.pull(now + samples_duration(self.pcm.len())) {
            Step::Silent => return false,
            Step::Start { first, skipped } => {
                report(VoiceReport::Started { first, skipped });
                return true;
            }
            Step::Stop => {
                report(VoiceReport::Stopped);
                return false;
            }
            Step::Cover { number } => {
                report(VoiceReport::Played { number, outcome: Outcome::Concealed });
                return true;
            }
            Step::Decode { number, frame } => (Some(number), self.decoder.decode(&frame, &mut pcm)),
            Step::Fec { number, next } => (Some(number), self.decoder.decode_fec(&next, &mut pcm)),
            Step::Conceal { number } => (Some(number), self.decoder.conceal(&mut pcm)),
            Step::Hold => (None, self.decoder.conceal(&mut pcm)),
        };
        if let Some(number) = number {
            report(VoiceReport::Played { number, outcome });
        }
        self.append(pcm, outcome);
        true
    }

    fn append(&mut self, mut pcm: [f32; FRAME], outcome: Outcome) {
        self.concealed_in_a_row = if outcome == Outcome::Concealed { self.concealed_in_a_row + 1 } else { 0 };
        let audible = self.concealed_in_a_row <= CONCEALED_AUDIBLE && !self.leaving;
        self.fade.apply(&mut pcm, audible);
        self.pcm.extend_from_slice(&pcm);
    }

    /// Moves the delay towards its target: at will in silence, by a pitch period now and then in speech.
    fn adjust(&mut self, now: Duration, report: &mut impl FnMut(VoiceReport)) {
        let slack_us = self.jitter.slack_us(now + samples_duration(self.pcm.len()));
        self.since_cut = self.since_cut.saturating_add(1);
        let may_cut = self.since_cut >= SPEECH_CUT_TICKS || is_silence(&self.pcm) || slack_us > URGENT_US;
        if slack_us > SURPLUS_US && may_cut && self.jitter.is_next_here() {
            // A cut needs the frame after this one to look at, and it is here.
            self.step(now, report);
            // Half a tick above the target is where starts put it on average.
            let surplus = samples_of(slack_us - TICK.as_micros() as i64 / 2);
            if stretch::shorten(&mut self.pcm, surplus, slack_us > URGENT_US) > 0 {
                self.since_cut = 0;
            }
        } else if slack_us < DEFICIT_US && may_cut && stretch::lengthen(&mut self.pcm, samples_of(-slack_us)) > 0 {
            self.since_cut = 0;
        }
    }
}

fn samples_of(us: i64) -> usize {
    usize::try_from(us.max(0) * i64::from(SAMPLE_RATE_HZ) / 1_000_000).unwrap_or(0)
}
