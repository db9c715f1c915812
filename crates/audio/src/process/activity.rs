//! Whether somebody speaks, in time for no word to be cut.
//!
//! Two judges. A small network (`earshot`) knows speech from noise nearly without fault, but looks at 48 ms at a time and so
//! hears of a word some 40 ms late. A rise of energy above the tracked floor is seen at once, but it may be a door. So a
//! rise opens a talkspurt on trial; it goes on only if the network confirms it, and then for as long as it is loud. A confirmed talkspurt lasts until the network has
//! denied speech for [`HANG_OVER_MS`], so that pauses between words and soft ends are kept.
//!
//! Measured on real speech in white, pink and fan noise (`tests/processing.rs` prints it): the network alone loses 2 to 8 % of the
//! speech's energy, nearly all of it in first syllables.

use treehouse_wire::units::SAMPLE_RATE_HZ;

use super::BLOCK;
use crate::resample::Resampler;

/// How long after the last word a talkspurt lasts.
pub const HANG_OVER_MS: u32 = 400;
const HANG_OVER_BLOCKS: u32 = HANG_OVER_MS / 10;
/// How long a rise of energy counts without being confirmed: twice the network's delay.
const TRIAL_BLOCKS: u32 = 10;
/// The network's score from which on it says speech.
const SPEECH_MIN: f32 = 0.5;
/// So much above the floor is a rise, and so much may be speech: the network takes any loud noise for it.
const RISE_DB: f32 = 12.0;
const SPEECH_DB: f32 = 6.0;
/// Quieter than this nothing is a rise: self-noise of a good microphone comes and goes.
const RISE_FROM_DB: f32 = -65.0;
/// The floor follows quieter sound within 50 ms, and louder sound by this many dB a block: 6 dB a second.
const FLOOR_DOWN: f32 = 0.2;
const FLOOR_UP_DB: f32 = 0.06;
/// Samples that the network takes at a time: 16 ms at its rate.
const NETWORK_FRAME: usize = 256;
const NETWORK_RATE_HZ: u32 = 16_000;

/// Follows one microphone.
pub(super) struct Detector {
    /// None only where the resampler cannot be had: then energy alone decides.
    network: Option<Network>,
    before: Floor,
    after: Floor,
    /// Blocks for which a talkspurt goes on by itself.
    left: u32,
    /// The last block's rise is still one: a long noise is tried once, not over and over.
    risen: bool,
    /// The network has heard speech in this talkspurt.
    confirmed: bool,
}

struct Network {
    detector: Box<earshot::Detector>,
    resampler: Resampler,
    pending: Vec<f32>,
    score: f32,
}

impl Default for Detector {
    fn default() -> Self {
        let network = Resampler::new(SAMPLE_RATE_HZ, NETWORK_RATE_HZ).ok().map(|resampler| Network {
            detector: Box::default(),
            resampler,
            pending: Vec::with_capacity(2 * NETWORK_FRAME),
            score: 0.0,
        });
        Detector {
            network,
            before: Floor(RISE_FROM_DB),
            after: Floor(RISE_FROM_DB),
            left: 0,
            risen: false,
            confirmed: false,
        }
    }
}

impl Detector {
    /// Judges 10 ms, as they were before noise suppression and after it: the network knows noise better than its removal's traces,
    /// and energy rises clearest without noise.
    pub(super) fn is_voice(&mut self, before: &[f32; BLOCK], after: &[f32; BLOCK]) -> bool {
        // Noise suppression takes the edge off a first consonant; noise hides a soft one.
        let above_db = self.before.above_db(before).max(self.after.above_db(after));
        let rise = above_db > RISE_DB;
        let known = self.network.as_mut().map(|network| network.score(before) >= SPEECH_MIN);
        let speech = known.unwrap_or(rise) && above_db > SPEECH_DB;
        if speech {
            (self.left, self.confirmed) = (HANG_OVER_BLOCKS, true);
        } else if rise && (self.confirmed || !self.risen) {
            self.left = self.left.max(TRIAL_BLOCKS);
        } else {
            self.left = self.left.saturating_sub(1);
        }
        self.risen = rise;
        self.confirmed &= self.left > 0;
        self.left > 0
    }
}

/// The loudness that a place always has, in dB.
struct Floor(f32);

impl Floor {
    /// How far a block is above it; nothing where it is too quiet to be anything.
    fn above_db(&mut self, block: &[f32; BLOCK]) -> f32 {
        let mean_square = block.iter().map(|s| s * s).sum::<f32>() / BLOCK as f32;
        let now_db = 10.0 * mean_square.max(1e-10).log10();
        let step = now_db - self.0;
        self.0 += if step < 0.0 { FLOOR_DOWN * step } else { step.min(FLOOR_UP_DB) };
        if now_db > RISE_FROM_DB { step } else { 0.0 }
    }
}

impl Network {
    /// The latest score, 0 for noise to 1 for speech.
    fn score(&mut self, block: &[f32; BLOCK]) -> f32 {
        self.resampler.push(block, &mut self.pending);
        while self.pending.len() >= NETWORK_FRAME {
            let (frame, _) = self.pending.split_at_mut(NETWORK_FRAME);
            frame.iter_mut().for_each(|sample| *sample = sample.clamp(-1.0, 1.0));
            self.score = self.detector.predict_f32(frame);
            self.pending.drain(..NETWORK_FRAME);
        }
        self.score
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FRAME, Sample, source::FileSource};

    fn voice(detector: &mut Detector, samples: &[f32]) -> Vec<bool> {
        let (blocks, _) = samples.as_chunks::<BLOCK>();
        blocks.iter().map(|block| detector.is_voice(block, block)).collect()
    }

    fn sample(seconds: usize) -> Vec<f32> {
        let mut source = FileSource::sample(Sample::One).unwrap();
        let (mut pcm, mut all) = ([0.0; FRAME], Vec::new());
        while all.len() < seconds * 48_000 && source.next_frame(&mut pcm).unwrap() {
            all.extend(pcm);
        }
        all
    }

    fn noise(samples: usize, gain: f32) -> Vec<f32> {
        let mut state = 1_u32;
        let mut next = move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..samples).map(|_| gain * next()).collect()
    }

    #[test]
    fn speech_is_a_talkspurt_and_ends_a_hang_over_after_the_last_word() {
        let mut detector = Detector::default();
        let spoken = voice(&mut detector, &sample(4));
        assert!(spoken.iter().filter(|voice| **voice).count() > 350, "{}", spoken.iter().filter(|v| **v).count());
        let pause = voice(&mut detector, &[0.0; 100 * BLOCK]);
        let lasts = pause.iter().filter(|voice| **voice).count();
        assert!((30..=60).contains(&lasts), "{lasts} blocks");
        assert!(!pause[99]);
    }

    #[test]
    fn a_steady_noise_is_no_talkspurt_for_longer_than_a_trial() {
        let mut detector = Detector::default();
        voice(&mut detector, &noise(100 * BLOCK, 0.0001));
        let fan = voice(&mut detector, &noise(500 * BLOCK, 0.02));
        let tried = fan.iter().filter(|voice| **voice).count();
        assert!(tried <= 2 * TRIAL_BLOCKS as usize, "{tried} blocks");
        // So loud that the network takes it for speech: then it counts until it has been there for a while.
        let gale = voice(&mut detector, &noise(1_500 * BLOCK, 0.1));
        assert!(gale[1_000..].iter().all(|voice| !voice), "{}", gale.iter().filter(|voice| **voice).count());
    }
}
