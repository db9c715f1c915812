//! Several voices into one stream that never exceeds full scale.
//!
//! Voices add up. A limiter turns the sum down as a whole when a block would exceed full scale (fast, within 1 ms) and
//! lets it come back slowly; what still pokes out is bent by a soft knee instead of clipped. A single voice within full
//! scale passes unchanged. Each voice fades in and out by its own [`Fade`], so that starts and stops do not click.

use treehouse_wire::limits::VOICES_MAX;

use crate::FRAME;

/// Voices that are mixed at once: as many as may be on the wire.
pub const MIX_VOICES_MAX: usize = VOICES_MAX;
/// The limiter keeps blocks at or below this.
const PEAK_MAX: f32 = 0.98;
/// The knee begins here; below it samples pass unchanged.
const KNEE: f32 = 0.95;
/// Samples over which the gain falls: 1 ms.
const ATTACK: f32 = 48.0;
/// Gain regained per block: from half to full in a quarter of a second.
const RELEASE_PER_BLOCK: f32 = 0.04;

/// Adds voices up, 20 ms at a time.
#[derive(Debug)]
pub struct Mixer {
    block: [f32; FRAME],
    gain: f32,
}

impl Default for Mixer {
    fn default() -> Self {
        Mixer { block: [0.0; FRAME], gain: 1.0 }
    }
}

impl Mixer {
    /// Adds one voice's 20 ms to the block under way.
    pub fn add(&mut self, voice: &[f32; FRAME]) {
        self.block.iter_mut().zip(voice).for_each(|(sum, sample)| *sum += sample);
    }

    /// Moves the finished block to `out`, every sample within -1.0 to 1.0, and begins the next.
    pub fn finish(&mut self, out: &mut [f32; FRAME]) {
        let peak = self.block.iter().fold(0.0f32, |peak, sample| peak.max(sample.abs()));
        let goal = if peak > PEAK_MAX { PEAK_MAX / peak } else { 1.0 };
        let (goal, step) = if goal < self.gain {
            (goal, (self.gain - goal) / ATTACK)
        } else {
            let goal = goal.min(self.gain + RELEASE_PER_BLOCK);
            (goal, (goal - self.gain) / FRAME as f32)
        };
        for (out, sample) in out.iter_mut().zip(&mut self.block) {
            self.gain = if self.gain > goal { (self.gain - step).max(goal) } else { (self.gain + step).min(goal) };
            *out = knee(*sample * self.gain);
            *sample = 0.0;
        }
        self.gain = goal;
    }
}

/// Leaves small samples alone and bends large ones towards full scale; nonsense becomes silence.
fn knee(sample: f32) -> f32 {
    let size = sample.abs();
    if size <= KNEE {
        sample
    } else if size.is_finite() {
        (KNEE + (1.0 - KNEE) * ((size - KNEE) / (1.0 - KNEE)).tanh()).copysign(sample)
    } else {
        0.0
    }
}

/// A gain that moves in a straight line, so that a voice starts and stops without a click.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fade {
    gain: f32,
}

/// Time to fade in: 5 ms, short enough not to eat a consonant.
const FADE_IN: f32 = 240.0;
/// Time to fade out: 60 ms, as long as concealment sounds like the voice.
const FADE_OUT: f32 = 2_880.0;

impl Fade {
    /// Applies the gain to `pcm` while it moves towards full or to nothing.
    pub fn apply(&mut self, pcm: &mut [f32], audible: bool) {
        if audible && self.gain >= 1.0 {
            return;
        }
        let step = if audible { 1.0 / FADE_IN } else { -1.0 / FADE_OUT };
        for sample in pcm {
            self.gain = (self.gain + step).clamp(0.0, 1.0);
            *sample *= self.gain;
        }
    }

    /// Whether nothing is heard any more.
    pub fn is_silent(&self) -> bool {
        self.gain <= 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(gain: f32, block: usize) -> [f32; FRAME] {
        std::array::from_fn(|i| gain * ((block * FRAME + i) as f32 * 0.0262).sin())
    }

    fn run(blocks: impl IntoIterator<Item = Vec<[f32; FRAME]>>) -> Vec<f32> {
        let (mut mixer, mut all) = (Mixer::default(), Vec::new());
        for voices in blocks {
            let mut out = [0.0; FRAME];
            voices.iter().for_each(|voice| mixer.add(voice));
            mixer.finish(&mut out);
            all.extend(out);
        }
        all
    }

    #[test]
    fn one_voice_within_full_scale_passes_unchanged() {
        let mixed = run((0..10).map(|b| vec![sine(0.9, b)]));
        let said: Vec<f32> = (0..10).flat_map(|b| sine(0.9, b)).collect();
        assert_eq!(mixed, said);
    }

    #[test]
    fn voices_add_up_and_nothing_is_as_quiet_as_nothing() {
        assert_eq!(
            run([vec![sine(0.2, 0), sine(0.3, 0)]]),
            run([vec![std::array::from_fn(|i| { sine(0.2, 0)[i] + sine(0.3, 0)[i] })]])
        );
        assert!(run([vec![]]).iter().all(|&s| s == 0.0));
    }

    #[test]
    fn sixteen_loud_voices_stay_within_full_scale_without_a_click() {
        let mixed = run((0..50).map(|b| vec![sine(0.8, b); MIX_VOICES_MAX]));
        assert!(mixed.iter().all(|s| s.abs() <= 1.0));
        // After the attack the sum is a clean sine again: no sample-to-sample step beyond a full-scale sine's.
        let largest_step = mixed[FRAME..].windows(2).map(|p| (p[1] - p[0]).abs()).fold(0.0, f32::max);
        assert!(largest_step < 0.03, "{largest_step}");
    }

    #[test]
    fn the_limiter_lets_go_again() {
        let loud = (0..10).map(|b| vec![sine(0.8, b); 4]);
        let mixed = run(loud.chain((10..60).map(|b| vec![sine(0.5, b)])));
        let last: f32 = mixed[mixed.len() - FRAME..].iter().fold(0.0, |peak, s| peak.max(s.abs()));
        assert!((last - 0.5).abs() < 0.01, "{last}");
    }

    #[test]
    fn nonsense_samples_become_silence() {
        let mixed = run([vec![[f32::NAN; FRAME]], vec![[f32::INFINITY; FRAME]], vec![sine(0.5, 0)]]);
        assert!(mixed.iter().all(|s| s.is_finite() && s.abs() <= 1.0));
    }

    #[test]
    fn a_voice_that_starts_or_stops_at_full_level_moves_in_small_steps() {
        let mut fade = Fade::default();
        let mut pcm = vec![0.0];
        for audible in [true, true, false, false, false, false] {
            let mut frame = [0.8; FRAME];
            fade.apply(&mut frame, audible);
            pcm.extend(frame);
        }
        assert!(pcm.windows(2).all(|p| (p[1] - p[0]).abs() < 0.004));
        assert_eq!(pcm[FRAME], 0.8);
        assert!(fade.is_silent());
    }
}
