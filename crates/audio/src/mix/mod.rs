//! Several voices into one stream, in stereo, that never exceeds full scale.
//!
//! Each voice goes through a `Strip`: its loudness is evened ([`loudness`]), it gets the volume that the listener wants and a place
//! from left to right ([`Place`]). Then voices add up, and a limiter that looks 1 ms ahead turns the sum down where it would exceed full
//! scale; a sum within full scale passes unchanged, 1 ms later. Each voice fades in and out by its own [`Fade`], so that starts
//! and stops do not click.

mod limiter;
pub mod loudness;
mod place;
mod strip;

use treehouse_wire::limits::VOICES_MAX;

use self::limiter::Limiter;
pub(crate) use self::{place::Seats, strip::Strip};
pub use self::{
    place::{Place, REMEMBERED_MAX},
    strip::Volume,
};
use crate::FRAME;

/// Voices that are mixed at once: as many as may be on the wire.
pub const MIX_VOICES_MAX: usize = VOICES_MAX;

/// 20 ms of sound in stereo, samples within -1.0 to 1.0.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// The left channel.
    pub left: [f32; FRAME],
    /// The right channel; the same as the left where voices have no places and none is in stereo.
    pub right: [f32; FRAME],
}

impl Default for Block {
    fn default() -> Self {
        Block { left: [0.0; FRAME], right: [0.0; FRAME] }
    }
}

impl Block {
    /// The same on both sides.
    pub fn both(pcm: [f32; FRAME]) -> Self {
        Block { left: pcm, right: pcm }
    }

    /// Left and right in one channel: what is the same on both sides stays as it is.
    pub fn mono(&self) -> [f32; FRAME] {
        let mut mono = self.left;
        mono.iter_mut().zip(&self.right).for_each(|(left, right)| *left = (*left + right) / 2.0);
        mono
    }
}

/// Adds voices up, 20 ms at a time.
#[derive(Debug, Default)]
pub struct Mixer {
    block: Block,
    limiter: Limiter,
}

impl Mixer {
    /// The block under way, to which voices are added.
    pub fn block(&mut self) -> &mut Block {
        &mut self.block
    }

    /// Moves the finished block to `out`, every sample within -1.0 to 1.0 and 1 ms later than it came, and begins the next.
    pub fn finish(&mut self, out: &mut Block) {
        self.limiter.apply(&mut self.block);
        *out = std::mem::take(&mut self.block);
    }

    /// Whether the last millisecond is still to come out.
    pub fn has_tail(&self) -> bool {
        self.limiter.has_tail()
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
    use super::{
        limiter::{CEILING, LOOKAHEAD},
        *,
    };

    fn sine(gain: f32, block: usize) -> [f32; FRAME] {
        std::array::from_fn(|i| gain * ((block * FRAME + i) as f32 * 0.0262).sin())
    }

    /// Mixes blocks of voices in the middle; returns the left channel without the limiter's delay.
    fn run(blocks: impl IntoIterator<Item = Vec<[f32; FRAME]>>) -> Vec<f32> {
        let (mut mixer, mut all) = (Mixer::default(), Vec::new());
        for voices in blocks {
            let mut out = Block::default();
            for voice in voices {
                let Block { left, right } = mixer.block();
                left.iter_mut().chain(right).zip(voice.iter().cycle()).for_each(|(sum, sample)| *sum += sample);
            }
            mixer.finish(&mut out);
            assert_eq!(out.left, out.right);
            all.extend(out.left);
        }
        let mut rest = Block::default();
        mixer.finish(&mut rest);
        all.extend(&rest.left[..LOOKAHEAD]);
        assert!(!mixer.has_tail());
        all.split_off(LOOKAHEAD)
    }

    fn peak(pcm: &[f32]) -> f32 {
        pcm.iter().fold(0.0, |peak, s| peak.max(s.abs()))
    }

    #[test]
    fn one_voice_within_full_scale_passes_unchanged() {
        let mixed = run((0..10).map(|b| vec![sine(0.9, b)]));
        let said: Vec<f32> = (0..10).flat_map(|b| sine(0.9, b)).collect();
        assert_eq!(mixed, said);
    }

    #[test]
    fn voices_add_up_and_nothing_is_as_quiet_as_nothing() {
        let both = std::array::from_fn(|i| sine(0.2, 0)[i] + sine(0.3, 0)[i]);
        assert_eq!(run([vec![sine(0.2, 0), sine(0.3, 0)]]), run([vec![both]]));
        assert!(run([vec![]]).iter().all(|&s| s == 0.0));
    }

    #[test]
    fn as_many_loud_voices_as_there_may_be_stay_within_full_scale_and_keep_their_shape() {
        let mixed = run((0..50).map(|b| vec![sine(0.8, b); MIX_VOICES_MAX]));
        assert!(peak(&mixed) <= CEILING * 1.000_01);
        // A sine turned down by a gain that only breathes: what is left beside it is below -40 dB from the first period on.
        let (first, rest) = mixed.split_at(480);
        assert!(peak(first) <= CEILING * 1.000_01);
        let worst = rest.iter().enumerate().map(|(i, s)| (s - CEILING * ((i + 480) as f32 * 0.0262).sin()).abs());
        assert!(worst.fold(0.0, f32::max) < 0.01 * CEILING);
    }

    #[test]
    fn a_peak_without_warning_is_turned_down_by_a_ramp_and_not_bent() {
        let mut blast = [0.0; FRAME];
        blast[..400].fill(0.1);
        blast[400..].fill(3.0);
        let mixed = run([vec![blast]]);
        assert!(peak(&mixed) <= CEILING * 1.000_01);
        // The ramp begins as far ahead as the limiter sees, and is down at the peak.
        assert_eq!(mixed[400 - LOOKAHEAD - 1], 0.1);
        assert!(mixed[399] < 0.05 && mixed[400 - LOOKAHEAD..400].windows(2).all(|p| p[1] <= p[0]));
        assert!(mixed[401..500].iter().all(|s| (s - CEILING).abs() < 0.01));
    }

    #[test]
    fn the_last_millisecond_is_known_to_be_on_its_way() {
        let (mut mixer, mut out) = (Mixer::default(), Block::default());
        assert!(!mixer.has_tail());
        mixer.block().right[FRAME - 1] = 0.5;
        mixer.finish(&mut out);
        assert!(mixer.has_tail() && out == Block::default());
        mixer.finish(&mut out);
        assert!(!mixer.has_tail());
        assert_eq!(out.right[LOOKAHEAD - 1], 0.5);
    }

    #[test]
    fn the_limiter_lets_go_again_to_exactly_nothing() {
        let loud = (0..10).map(|b| vec![sine(0.8, b); 4]);
        let mixed = run(loud.chain((10..60).map(|b| vec![sine(0.5, b)])));
        assert_eq!(mixed[59 * FRAME..], sine(0.5, 59));
    }

    #[test]
    fn nonsense_samples_become_silence() {
        let mixed = run([vec![[f32::NAN; FRAME]], vec![[f32::INFINITY; FRAME]], vec![sine(0.5, 0)]]);
        assert!(mixed.iter().all(|s| s.is_finite() && s.abs() <= 1.0));
        assert_eq!(mixed[2 * FRAME..], sine(0.5, 0));
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
