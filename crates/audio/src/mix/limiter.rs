//! A limiter that sees peaks before they come: whatever is added up leaves within full scale, and what is below it unchanged.
//!
//! Each sample says by how much it must be turned down. The least of these gains over the look-ahead is held for half a period of the lowest
//! voice, let go slowly, and averaged over the look-ahead, which gives a ramp that is down when the peak arrives (the usual
//! structure; Giannoulis, Massberg and Reiss, "Digital dynamic range compressor design", JAES 60 (6), 2012). Both
//! channels are turned down alike, so that nothing moves from left to right.

use crate::mix::Block;

/// Samples by which sound is delayed, and over which the gain falls: 1 ms.
pub(crate) const LOOKAHEAD: usize = 48;
/// No sample leaves larger than this.
pub(crate) const CEILING: f32 = 0.98;
/// Samples for which the gain stays before it is let go: 10 ms, or it would breathe within the periods of a voice, which is distortion.
const HOLD: u32 = 480;
/// Gain regained per sample: 24 dB a second, from half to full in a quarter of one.
const RELEASE: f32 = 1.000_057_6;

#[derive(Debug)]
pub(super) struct Limiter {
    /// The last samples that came, as a ring from `at`.
    delayed: [[f32; 2]; LOOKAHEAD],
    /// The gain that each of the last samples needs, as a ring from `need_at`.
    needed: [f32; LOOKAHEAD + 1],
    /// The gains that are averaged, as a ring from `at`.
    held: [f32; LOOKAHEAD],
    at: usize,
    need_at: usize,
    /// The least of `needed`, and how many samples ago it came.
    least: f32,
    least_age: usize,
    gain: f32,
    /// Samples for which it stays.
    hold: u32,
    sum: f64,
    /// Samples since the gain was last below 1.
    idle: usize,
}

impl Default for Limiter {
    fn default() -> Self {
        Limiter {
            delayed: [[0.0; 2]; LOOKAHEAD],
            needed: [1.0; LOOKAHEAD + 1],
            held: [1.0; LOOKAHEAD],
            at: 0,
            need_at: 0,
            least: 1.0,
            least_age: 0,
            gain: 1.0,
            hold: 0,
            sum: LOOKAHEAD as f64,
            idle: LOOKAHEAD,
        }
    }
}

impl Limiter {
    /// Delays the block by [`LOOKAHEAD`] samples and turns it down where it must be; nonsense becomes silence.
    pub(super) fn apply(&mut self, block: &mut Block) {
        for (left, right) in block.left.iter_mut().zip(&mut block.right) {
            let sample = [*left, *right].map(|sample| if sample.is_finite() { sample } else { 0.0 });
            let gain = self.next_gain(sample);
            let Some(delayed) = self.delayed.get_mut(self.at) else { return };
            let [out_left, out_right] = std::mem::replace(delayed, sample);
            self.at = (self.at + 1) % LOOKAHEAD;
            (*left, *right) = (out_left * gain, out_right * gain);
        }
    }

    /// Whether sound is still on its way out.
    pub(super) fn has_tail(&self) -> bool {
        self.delayed.iter().flatten().any(|sample| *sample != 0.0)
    }

    fn next_gain(&mut self, [left, right]: [f32; 2]) -> f32 {
        let peak = left.abs().max(right.abs());
        let needed = if peak > CEILING { CEILING / peak } else { 1.0 };
        let least = self.least_of_window(needed);
        if least <= self.gain {
            (self.gain, self.hold) = (least, HOLD);
        } else if self.hold > 0 {
            self.hold -= 1;
        } else {
            self.gain = least.min(self.gain * RELEASE);
        }
        let Some(held) = self.held.get_mut(self.at) else { return 0.0 };
        let oldest = std::mem::replace(held, self.gain);
        self.idle = if self.gain < 1.0 { 0 } else { self.idle + 1 };
        if self.idle >= LOOKAHEAD {
            // Exactly one again, whatever the sum has gathered in rounding.
            self.sum = LOOKAHEAD as f64;
            return 1.0;
        }
        self.sum += f64::from(self.gain) - f64::from(oldest);
        (self.sum / LOOKAHEAD as f64) as f32
    }

    /// The least gain needed by this sample and the [`LOOKAHEAD`] before it.
    fn least_of_window(&mut self, needed: f32) -> f32 {
        if let Some(slot) = self.needed.get_mut(self.need_at) {
            *slot = needed;
        }
        self.need_at = (self.need_at + 1) % (LOOKAHEAD + 1);
        self.least_age += 1;
        if needed <= self.least {
            (self.least, self.least_age) = (needed, 0);
        } else if self.least_age > LOOKAHEAD {
            self.least = self.needed.iter().copied().fold(1.0, f32::min);
            // Its age is not known; looking again soon enough is cheap, as this only runs while the limiter works.
            self.least_age = LOOKAHEAD;
        }
        self.least
    }
}
