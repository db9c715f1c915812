//! Brings voices to one loudness, slowly and within bounds.
//!
//! Loudness is measured as EBU R 128 and ITU-R BS.1770-4 say: K-weighted, in blocks of 400 ms that begin every 100 ms, of
//! which those below -70 LUFS and those 10 LU below the mean of the others do not count. Unlike a programme's, a
//! conversation's loudness is wanted while it lasts, so the mean forgets: what was said 10 seconds of speech ago counts a third.

use ebur128::{EbuR128, Mode};
use treehouse_wire::units::SAMPLE_RATE_HZ;

use super::Block;
use crate::FRAME;

/// What voices are brought to: out of two loudspeakers this is -18 LUFS, what AES TD1008 recommends for speech.
pub const TARGET_LUFS: f64 = -21.0;
/// A voice is turned up or down by this at most: a whisper stays one.
pub const GAIN_DB_MAX: f32 = 12.0;
/// The gain moves this much a second at most, so that nobody hears it move.
pub const SLEW_DB_PER_SECOND: f32 = 1.5;
/// Quieter blocks are no speech (BS.1770-4).
const ABSOLUTE_GATE_LUFS: f64 = -70.0;
/// Blocks this much below the mean are pauses (BS.1770-4).
const RELATIVE_GATE_LU: f64 = -10.0;
/// Frames between two blocks: 100 ms.
const HOP_FRAMES: u32 = 5;
/// Frames until the first block is full: 400 ms.
const BLOCK_FRAMES: u32 = 20;
/// Blocks of speech before the gain moves at all: one second.
const BLOCKS_MIN: u32 = 10;
/// Blocks over which the mean forgets: ten seconds.
const BLOCKS_REMEMBERED: u32 = 100;
/// What two sides are louder together than one.
const STEREO_LU: f64 = 3.01;
const FRAMES_PER_SECOND: f32 = 50.0;

/// A mean of energies that forgets.
#[derive(Debug, Default)]
struct Mean {
    energy: f64,
    blocks: u32,
}

impl Mean {
    fn add(&mut self, energy: f64) {
        self.blocks = (self.blocks + 1).min(BLOCKS_REMEMBERED);
        self.energy += (energy - self.energy) / f64::from(self.blocks);
    }
}

/// The gain of one voice.
pub(super) struct Leveller {
    meter: EbuR128,
    stereo: bool,
    frames: u32,
    /// Of all blocks that are sound at all: the relative gate hangs on it.
    sound: Mean,
    /// Of those that count.
    speech: Mean,
    gain_db: f32,
}

impl Leveller {
    /// None only where the library refuses 48 kHz mono.
    pub(super) fn new() -> Option<Self> {
        let meter = EbuR128::new(1, SAMPLE_RATE_HZ, Mode::M).ok()?;
        Some(Leveller {
            meter,
            stereo: false,
            frames: 0,
            sound: Mean::default(),
            speech: Mean::default(),
            gain_db: 0.0,
        })
    }

    /// Hears 20 ms of the voice; returns the gain for it, as a factor.
    pub(super) fn hear(&mut self, pcm: &[f32; FRAME]) -> f32 {
        let heard = self.meter.add_frames_f32(pcm).is_ok();
        self.gain(heard)
    }

    /// Hears 20 ms of a voice in stereo. The two sides' powers add up: the same on both is as loud as it is in mono, heard from two
    /// loudspeakers.
    pub(super) fn hear_stereo(&mut self, voice: &Block) -> f32 {
        if !self.stereo {
            let Ok(meter) = EbuR128::new(2, SAMPLE_RATE_HZ, Mode::M) else { return 1.0 };
            (self.meter, self.stereo, self.frames) = (meter, true, 0);
        }
        let heard = self.meter.add_frames_planar_f32(&[voice.left.as_slice(), voice.right.as_slice()]).is_ok();
        self.gain(heard)
    }

    /// The gain after another 20 ms were heard.
    fn gain(&mut self, heard: bool) -> f32 {
        self.frames = self.frames.saturating_add(u32::from(heard));
        if self.frames >= BLOCK_FRAMES && self.frames.is_multiple_of(HOP_FRAMES) {
            self.measure();
        }
        if self.speech.blocks >= BLOCKS_MIN {
            let wanted_db = (TARGET_LUFS - lufs(self.speech.energy)) as f32;
            let step = SLEW_DB_PER_SECOND / FRAMES_PER_SECOND;
            let wanted_db = wanted_db.clamp(-GAIN_DB_MAX, GAIN_DB_MAX);
            self.gain_db = wanted_db.clamp(self.gain_db - step, self.gain_db + step);
        }
        10.0_f32.powf(self.gain_db / 20.0)
    }

    fn measure(&mut self) {
        let Ok(measured_lufs) = self.meter.loudness_momentary() else { return };
        let block_lufs = if self.stereo { measured_lufs - STEREO_LU } else { measured_lufs };
        if !block_lufs.is_finite() || block_lufs < ABSOLUTE_GATE_LUFS {
            return;
        }
        let energy = energy(block_lufs);
        self.sound.add(energy);
        if block_lufs >= lufs(self.sound.energy) + RELATIVE_GATE_LU {
            self.speech.add(energy);
        }
    }
}

/// BS.1770-4, equation 2.
fn energy(lufs: f64) -> f64 {
    10.0_f64.powf((lufs + 0.691) / 10.0)
}

fn lufs(energy: f64) -> f64 {
    10.0 * energy.log10() - 0.691
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tone of this peak, syllables of 200 ms with pauses as long.
    fn babble(gain: f32, frame: usize) -> [f32; FRAME] {
        let on = (frame / 10).is_multiple_of(2);
        std::array::from_fn(|i| {
            if on {
                gain * ((frame * FRAME + i) as f32 * 1_000.0 * std::f32::consts::TAU / 48_000.0).sin()
            } else {
                0.0
            }
        })
    }

    fn after(gain: f32, seconds: usize) -> (f32, f32) {
        let mut leveller = Leveller::new().unwrap();
        let (mut last, mut step_max) = (1.0, 0.0f32);
        for frame in 0..seconds * 50 {
            let next = leveller.hear(&babble(gain, frame));
            step_max = step_max.max((20.0 * (next / last).log10()).abs());
            last = next;
        }
        (20.0 * last.log10(), step_max)
    }

    #[test]
    fn voices_9_db_apart_end_less_than_half_a_db_apart_at_the_target() {
        for peak in [0.05, 0.14] {
            let (gain_db, step_db) = after(peak, 20);
            // A sine of 1 kHz at full scale is -3.01 LUFS (BS.1770-4); with half of it pauses the blocks of 400 ms hold half.
            let was = -3.01 + 20.0 * f64::from(peak).log10() - 3.01;
            assert!((was + f64::from(gain_db) - TARGET_LUFS).abs() < 0.5, "{was} LUFS, {gain_db} dB");
            assert!(step_db <= 1.01 * SLEW_DB_PER_SECOND / FRAMES_PER_SECOND, "{step_db} dB in a frame");
        }
    }

    #[test]
    fn nobody_is_turned_up_or_down_without_bound_and_silence_moves_nothing() {
        assert!((after(0.001, 30).0 - GAIN_DB_MAX).abs() < 0.01);
        assert!((after(1.0, 30).0 + 12.0).abs() < 0.01, "{}", after(1.0, 30).0);
        assert_eq!(after(0.0, 10).0, 0.0);
        assert_eq!(after(0.0002, 10).0, 0.0, "below the absolute gate");
    }

    #[test]
    fn the_first_second_is_left_alone() {
        assert_eq!(after(0.05, 1).0, 0.0);
    }
}
