//! One voice on its way to the mixer: jitter buffer, decoder, and a short store of decoded sound whose length is moved
//! by stretching, so that the delay can change while the voice plays, and by resampling, so that clocks may drift apart.
//!
//! It is pure, like its buffer: the caller says what time it is, and takes 20 ms a tick. [`Playback`](super::Playback) does so in real time,
//! tests and measurements in no time.

use std::time::Duration;

use treehouse_wire::{FrameNumber, units::SAMPLE_RATE_HZ};

use super::{TICK, drift::Drift};
use crate::{
    FRAME,
    decode::{CONCEALED_AUDIBLE, Outcome, VoiceDecoder},
    encode::CodecError,
    jitter::{JitterBuffer, JitterConfig, JitterCounts, Step, samples_duration},
    level::is_silence,
    mix::{Block, Fade},
    stretch,
};

/// Where a start puts the delay on average, above its target, and where it is held against drift: half a tick.
const AIM_US: i64 = FRAME_US / 2;
const FRAME_US: i64 = TICK.as_micros() as i64;
/// The target is known no better than this.
const MARGIN_US: i64 = 3_000;
/// Where the delay is above its target by more than this, what is decoded ahead is more than drift asks for.
const AHEAD_SLACK_US: i64 = 19_000;
/// Silence before a start, in samples: 1 ms. The resampler keeps a few samples back, and without something in store a second frame would have
/// to be there at the first tick to make up for them.
const HEAD_START: usize = 48;
/// In speech each cut costs: one of 10 ms in each sentence takes 0.5 to 1.4 off its PESQ, moving the rate by 0.2 % all the time 0.04. So
/// a surplus is left to the rate up to here.
const SPEECH_SURPLUS_US: i64 = 60_000;
/// A surplus above this is taken out even where the cut will be heard.
const URGENT_US: i64 = 120_000;
/// A delay this much below its target is filled up in speech too.
const SPEECH_DEFICIT_US: i64 = -60_000;
/// Ticks between two cuts or repeats in speech: at most a tenth faster or slower.
const SPEECH_CUT_TICKS: u32 = 6;
/// Steps that one tick can take: every frame held may be covered at once, and a few fill time.
const STEPS_MAX: u32 = crate::jitter::FRAMES_HELD_MAX + 8;

/// What happened to a voice during a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VoiceReport {
    /// It is heard for the first time, or again after a silence.
    Started {
        /// The first number that was passed over since it stopped.
        first: FrameNumber,
        /// How many were passed over.
        skipped: u32,
    },
    /// A frame number's time has come. Each is reported once at most.
    Played {
        /// Which frame.
        number: FrameNumber,
        /// What is heard of it.
        outcome: Outcome,
    },
    /// Nothing has come for longer than the delay may grow.
    Stopped,
}

/// One voice; see the module's documentation. Times are since any fixed moment on the listener's clock.
pub struct Voice {
    jitter: JitterBuffer,
    decoder: VoiceDecoder,
    drift: Drift,
    /// Decoded sound not yet played, left and right; less than a frame between ticks, three while stretching.
    pcm: [Vec<f32>; 2],
    fade: Fade,
    concealed_in_a_row: u32,
    since_cut: u32,
    /// Being removed: it fades out and takes nothing more.
    leaving: bool,
    /// When it last had anything to do, to choose whom to evict.
    pub(super) active_at: Duration,
}

impl Voice {
    /// A voice of which nothing has come yet.
    ///
    /// # Errors
    /// [`CodecError`] where a library of this build does not work.
    pub fn new(config: JitterConfig) -> Result<Self, CodecError> {
        Ok(Voice {
            jitter: JitterBuffer::new(config),
            decoder: VoiceDecoder::new()?,
            drift: Drift::new()?,
            pcm: [Vec::with_capacity(4 * FRAME), Vec::with_capacity(4 * FRAME)],
            fade: Fade::default(),
            concealed_in_a_row: 0,
            since_cut: 0,
            leaving: false,
            active_at: Duration::ZERO,
        })
    }

    /// Delays it so from now on.
    pub fn set_jitter(&mut self, config: JitterConfig) {
        self.jitter.set_config(config);
    }

    /// Takes a frame that arrived at `arrived`.
    pub fn insert(&mut self, arrived: Duration, number: FrameNumber, opus: bytes::Bytes) {
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

    /// Whether it is heard, or will be of what has come.
    pub fn is_active(&self) -> bool {
        if self.leaving { !self.fade.is_silent() } else { self.jitter.is_active() || self.len() > 0 }
    }

    /// When it is to start; none where it has, or nothing of it has come.
    pub fn starts_at(&self, now: Duration) -> Option<Duration> {
        if self.leaving { None } else { self.jitter.starts_at(now) }
    }

    /// The delay that frames are to have when they are played, above the fastest recent frame.
    pub fn aim(&self, now: Duration) -> Duration {
        self.jitter.target(now) + TICK / 2
    }

    /// By how many parts in a million the voice is being made longer, against drift.
    pub fn drift_ppm(&self) -> f64 {
        self.drift.ppm()
    }

    /// Sound that is decoded and not yet played.
    pub fn decoded_ahead(&self) -> Duration {
        samples_duration(self.len())
    }

    /// What has become of its frames.
    pub fn counts(&self) -> JitterCounts {
        self.jitter.counts()
    }

    /// Whether left and right are not the same.
    pub(super) fn is_stereo(&self) -> bool {
        self.decoder.is_stereo()
    }

    /// Samples of each side that are decoded and not played.
    fn len(&self) -> usize {
        self.pcm.first().map_or(0, Vec::len)
    }

    /// Fills `out` with the 20 ms that begin at `now`; false if the voice is silent throughout.
    pub fn tick(&mut self, now: Duration, out: &mut Block, report: &mut impl FnMut(VoiceReport)) -> bool {
        if !self.is_active() {
            return false;
        }
        self.active_at = now;
        self.fill(now, report);
        if !self.leaving && self.len() > 0 {
            self.adjust(now, report);
            self.fill(now, report);
        }
        let len = self.len().min(FRAME);
        *out = Block::default();
        for (out, pcm) in [&mut out.left, &mut out.right].into_iter().zip(&mut self.pcm) {
            out.iter_mut().zip(pcm.drain(..len)).for_each(|(out, sample)| *out = sample);
        }
        len > 0
    }

    /// Takes steps until a frame's worth of sound is there or the voice is silent.
    fn fill(&mut self, now: Duration, report: &mut impl FnMut(VoiceReport)) {
        for _ in 0..STEPS_MAX {
            if self.len() >= FRAME || !self.step(now, report) {
                return;
            }
        }
    }

    /// Takes one step; false if it brought silence.
    fn step(&mut self, now: Duration, report: &mut impl FnMut(VoiceReport)) -> bool {
        let mut pcm = Block::default();
        if self.leaving {
            if self.fade.is_silent() {
                return false;
            }
            self.decoder.conceal_block(&mut pcm);
            self.append(pcm, Outcome::Concealed);
            return true;
        }
        let (number, outcome) = match self.jitter.pull(now + samples_duration(self.len())) {
            Step::Silent => return false,
            Step::Start { first, skipped } => {
                self.drift.anchor();
                if self.len() == 0 {
                    self.pcm.iter_mut().for_each(|pcm| pcm.resize(HEAD_START, 0.0));
                }
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
            Step::Decode { number, frame } => (Some(number), self.decoder.decode_block(&frame, &mut pcm)),
            Step::Fec { number, next } => (Some(number), self.decoder.decode_fec_block(&next, &mut pcm)),
            Step::Conceal { number, later: Some(later) } => {
                (Some(number), self.decoder.decode_dred_block(&later.frame, later.ahead, &mut pcm))
            }
            Step::Conceal { number, later: None } => (Some(number), self.decoder.conceal_block(&mut pcm)),
            Step::Hold => (None, self.decoder.conceal_block(&mut pcm)),
        };
        if let Some(number) = number {
            report(VoiceReport::Played { number, outcome });
        }
        self.append(pcm, outcome);
        true
    }

    fn append(&mut self, mut block: Block, outcome: Outcome) {
        self.concealed_in_a_row = if outcome == Outcome::Concealed { self.concealed_in_a_row + 1 } else { 0 };
        let audible = self.concealed_in_a_row <= CONCEALED_AUDIBLE && !self.leaving;
        let mut faded = self.fade;
        for pcm in [&mut block.left, &mut block.right] {
            faded = self.fade;
            faded.apply(pcm, audible);
        }
        self.fade = faded;
        self.drift.push(&block, &mut self.pcm);
    }

    /// Moves the delay towards its target: at will in silence, by as little as clocks differ all the time, and in speech by a pitch period now
    /// and then where the delay is far off.
    ///
    /// The next frame is pulled at a tick and played when what is decoded before it has been, so its delay is its margin, the age at which it
    /// must have come, and that. The margin moves in steps of a tick: it is to be the least of them that reaches the target, with nothing
    /// decoded ahead, since that is delay that saves no frame.
    fn adjust(&mut self, now: Duration, report: &mut impl FnMut(VoiceReport)) {
        if self.concealed_in_a_row > 0 {
            // While nothing comes the delay grows, and is back at once when the speaker only paused.
            return;
        }
        let slack_us = self.jitter.slack_us(now + samples_duration(self.len()));
        let ahead_us = samples_duration(self.len().saturating_sub(FRAME)).as_micros() as i64;
        let margin_us = slack_us - ahead_us;
        self.drift.steer(slack_us - AIM_US, margin_us < 0);
        self.since_cut = self.since_cut.saturating_add(1);
        if self.pcm.iter().all(|pcm| is_silence(pcm)) {
            if margin_us < -MARGIN_US {
                self.lengthen(FRAME_US - ahead_us);
            } else if ahead_us > MARGIN_US && slack_us > AHEAD_SLACK_US {
                self.shorten(ahead_us.min(slack_us - AIM_US), false);
            } else if margin_us > FRAME_US + MARGIN_US && self.jitter.is_next_here() {
                self.step(now, report);
                self.shorten(FRAME_US, false);
            }
        } else if slack_us > URGENT_US || self.since_cut >= SPEECH_CUT_TICKS && slack_us > SPEECH_SURPLUS_US {
            if self.jitter.is_next_here() {
                // A cut needs the frame after this one to look at, and it is here.
                self.step(now, report);
                self.shorten(slack_us - AIM_US, slack_us > URGENT_US);
            }
        } else if self.since_cut >= SPEECH_CUT_TICKS && slack_us < SPEECH_DEFICIT_US {
            self.lengthen(-slack_us);
        }
    }

    fn shorten(&mut self, us: i64, urgent: bool) {
        let cut = stretch::shorten(&mut self.pcm, samples_of(us), urgent);
        self.moved(cut);
    }

    fn lengthen(&mut self, us: i64) {
        let added = stretch::lengthen(&mut self.pcm, samples_of(us));
        self.moved(added);
    }

    fn moved(&mut self, samples: usize) {
        if samples > 0 {
            self.since_cut = 0;
            self.drift.anchor();
        }
    }
}

fn samples_of(us: i64) -> usize {
    usize::try_from(us.max(0) * i64::from(SAMPLE_RATE_HZ) / 1_000_000).unwrap_or(0)
}
