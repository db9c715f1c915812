//! What is done to a voice between the microphone and the encoder, 10 ms of 48 kHz mono at a time.
//!
//! In this order, each switchable ([`Processing`]):
//!
//! 1. a high-pass filter takes out rumble, knocks on the desk and offset ([`HIGH_PASS_HZ`]);
//! 2. an echo canceller takes out what the speakers play, which [`Processor::far_end`] is told: a filter for what is linear, and a
//!    suppressor for the rest (`echo.rs`);
//! 3. a recurrent network takes out noise (Valin, "A Hybrid DSP/Deep Learning Approach to Real-Time Full-Band Speech
//!    Enhancement", MMSP 2018, by `nnnoiseless`);
//! 4. WebRTC's digital gain control (AGC2, by `sonora`) evens out how far one sits from the microphone.
//!
//! What comes out is judged: is it speech, and how loud ([`Heard`])? The chain is pure: no clock, no thread, no device. It allocates when
//! it is set up, and belongs on the capture thread, not in an audio callback.
//!
//! WebRTC's own high-pass filter and noise suppressor are not used. The filter takes the chest out of a voice: real speech through
//! it alone scores 4.0 in PESQ wideband, 4.5 through this one. The suppressor needs that filter, and scores 0.3 to 0.5 less in noise.

mod activity;
mod batch;
mod clock;
mod echo;
mod high_pass;
mod linear;
mod residual;

use std::time::Duration;

use nnnoiseless::DenoiseState;
use sonora::{
    AudioProcessing, Config, StreamConfig,
    config::{AdaptiveDigital, GainController2, MaxProcessingRate, Pipeline},
};
use treehouse_wire::{Level, units::SAMPLE_RATE_HZ};

use self::{activity::Detector, echo::Echo, high_pass::HighPass};
pub use self::{activity::HANG_OVER_MS, high_pass::HIGH_PASS_HZ};
use crate::level::level;

/// Samples that go through at a time: 10 ms at 48 kHz.
pub const BLOCK: usize = SAMPLE_RATE_HZ as usize / 100;

/// Which parts of the chain are on. All are unless one says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Processing {
    /// Take out what the speakers play.
    pub echo: bool,
    /// Take out noise.
    pub noise: bool,
    /// Even out loudness.
    pub gain: bool,
    /// Take out what lies below the voice.
    pub high_pass: bool,
}

impl Processing {
    /// Nothing is changed: for music, or where the sound system does all this already.
    pub const NONE: Processing = Processing { echo: false, noise: false, gain: false, high_pass: false };
}

impl Default for Processing {
    fn default() -> Self {
        Processing { echo: true, noise: true, gain: true, high_pass: true }
    }
}

/// What 10 ms of a microphone came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Heard {
    /// How loud it is after processing; [`Level::SILENCE`] outside talkspurts, so that noise never wins the floor.
    pub level: Level,
    /// The largest sample before processing: at 1.0 the microphone is turned up too far.
    pub peak: f32,
    /// Whether this is part of a talkspurt, pauses between words included.
    pub voice: bool,
}

/// The chain for one microphone.
pub struct Processor {
    on: Processing,
    high_pass: HighPass,
    echo: Option<Box<Echo>>,
    noise: Option<Box<DenoiseState<'static>>>,
    gain: Option<Box<AudioProcessing>>,
    /// How much of the gain was applied at the end of the last block.
    gain_share: f32,
    detector: Detector,
}

impl Processor {
    /// How long the echo canceller holds sound back: the suppressor's frames overlap by half.
    const ECHO_DELAY: Duration = Duration::from_millis(5);
    /// How long noise suppression holds sound back: its windows overlap by half.
    const NOISE_DELAY: Duration = Duration::from_millis(10);

    /// A chain that has heard nothing yet.
    pub fn new(on: Processing) -> Self {
        let mut new = Processor {
            on: Processing::NONE,
            high_pass: HighPass::default(),
            echo: None,
            noise: None,
            gain: None,
            gain_share: 1.0,
            detector: Detector::default(),
        };
        new.set(on);
        new
    }

    /// Switches parts on or off; those that stay on keep what they have learnt.
    pub fn set(&mut self, on: Processing) {
        let keep = |wanted: bool, had: bool| wanted && had;
        if on.high_pass && !self.on.high_pass {
            self.high_pass = HighPass::default();
        }
        if !keep(on.echo, self.echo.is_some()) {
            self.echo = on.echo.then(|| Box::new(Echo::new()));
        }
        if !keep(on.noise, self.noise.is_some()) {
            self.noise = on.noise.then(DenoiseState::new);
        }
        if !keep(on.gain, self.gain.is_some()) {
            self.gain = on.gain.then(gain_control);
        }
        self.on = on;
    }

    /// Other loudspeakers play now: what was learnt of the last ones' echo is nothing to them.
    pub fn new_loudspeakers(&mut self) {
        if let Some(echo) = &mut self.echo {
            **echo = Echo::new();
        }
    }

    /// What is on.
    pub fn processing(&self) -> Processing {
        self.on
    }

    /// By how much what comes out lags what goes in.
    pub fn delay(&self) -> Duration {
        let echo = if self.echo.is_some() { Self::ECHO_DELAY } else { Duration::ZERO };
        let noise = if self.noise.is_some() { Self::NOISE_DELAY } else { Duration::ZERO };
        echo + noise
    }

    /// Takes 10 ms that the speakers play, left and right, before the microphone can have heard it: as many blocks as [`Self::near_end`] takes,
    /// in the long run.
    pub fn far_end(&mut self, pair: &[[f32; BLOCK]; 2]) {
        if let Some(echo) = &mut self.echo {
            echo.far_end(&pair.map(|block| block.map(sane)));
        }
    }

    /// Processes 10 ms of the microphone in place.
    pub fn near_end(&mut self, block: &mut [f32; BLOCK]) -> Heard {
        // One sample that is no number would stay in every filter for ever.
        block.iter_mut().for_each(|sample| *sample = sane(*sample));
        let peak = block.iter().fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
        if self.on.high_pass {
            self.high_pass.process(block);
        }
        let only_echo = self.echo.as_mut().is_some_and(|echo| echo.near_end(block));
        let before = *block;
        if let Some(noise) = &mut self.noise {
            suppress(noise, block);
        }
        // What is left of an echo sounds like speech: judged by it, every pause would be a talkspurt, and the gain would turn it up.
        let mut silence = [0.0; BLOCK];
        // Judged before the gain, which turns up what is far away.
        let voice =
            if only_echo { self.detector.is_voice(&silence, &silence) } else { self.detector.is_voice(&before, block) };
        if let Some(gain) = &mut self.gain {
            let plain = *block;
            through(gain, if only_echo { &mut silence } else { block });
            // An echo of which nothing is known yet is not to be made louder.
            let share = if self.echo.as_ref().is_some_and(|echo| echo.is_unknown()) { 0.0 } else { 1.0 };
            let slope = (share - self.gain_share) / BLOCK as f32;
            for (out, plain) in block.iter_mut().zip(&plain) {
                self.gain_share += slope;
                *out = plain + self.gain_share * (*out - plain);
            }
            self.gain_share = share;
        }
        Heard { level: if voice { level(block) } else { Level::SILENCE }, peak, voice }
    }
}

/// A device may deliver anything.
fn sane(sample: f32) -> f32 {
    if sample.is_finite() { sample.clamp(-1.0, 1.0) } else { 0.0 }
}

fn through(processing: &mut AudioProcessing, block: &mut [f32; BLOCK]) {
    let mut out = [0.0; BLOCK];
    if processing.process_capture_f32(&[block.as_slice()], &mut [out.as_mut_slice()]).is_ok() {
        *block = out;
    }
}

fn suppress(noise: &mut DenoiseState<'static>, block: &mut [f32; BLOCK]) {
    // The library counts in 16-bit steps.
    const SCALE: f32 = 32_768.0;
    let scaled = block.map(|sample| sample * SCALE);
    noise.process_frame(block, &scaled);
    block.iter_mut().for_each(|sample| *sample /= SCALE);
}

/// What a voice is made louder by before it is known how loud it is. With the 15 dB of WebRTC's own a loud one is cut off for its first
/// seconds, and an echo that is not learnt yet comes out louder than it came.
const FIRST_GAIN_DB: f32 = 5.0;

fn gain_control() -> Box<AudioProcessing> {
    let adaptive = AdaptiveDigital { initial_gain_db: FIRST_GAIN_DB, ..AdaptiveDigital::default() };
    let gain = GainController2 { adaptive_digital: Some(adaptive), ..GainController2::default() };
    let pipeline = Pipeline { maximum_internal_processing_rate: MaxProcessingRate::Rate48kHz, ..Pipeline::default() };
    let config = Config { pipeline, gain_controller2: Some(gain), ..Config::default() };
    let mono = StreamConfig::new(SAMPLE_RATE_HZ, 1);
    Box::new(AudioProcessing::builder().config(config).capture_config(mono).render_config(mono).build())
}
