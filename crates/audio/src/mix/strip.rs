//! One voice's way into the mix: loudness, volume, place.

use super::{
    Block,
    loudness::Leveller,
    place::{DELAY_MAX, Pan, Place},
};
use crate::FRAME;

/// How loud a listener wants a voice: 0 is silent, 1 as it comes, up to [`Volume::MAX`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Volume(f32);

impl Volume {
    /// Four times, or 12 dB.
    pub const MAX: Volume = Volume(4.0);

    /// The nearest volume there is; as it comes for what is no number.
    pub fn new(factor: f32) -> Self {
        Volume(if factor.is_finite() { factor.clamp(0.0, Self::MAX.0) } else { 1.0 })
    }

    /// As a factor.
    pub fn factor(self) -> f32 {
        self.0
    }
}

impl Default for Volume {
    fn default() -> Self {
        Volume(1.0)
    }
}

/// What is done to one voice. All changes are ramps over one block.
pub(crate) struct Strip {
    leveller: Option<Leveller>,
    volume: Volume,
    /// The gain at the end of the last block.
    gain: f32,
    pan: Pan,
    place: Place,
    /// The last samples of the block before, for the ear that is later.
    before: [f32; DELAY_MAX],
}

impl Strip {
    pub(crate) fn new(even_loudness: bool, volume: Volume, place: Place) -> Self {
        let leveller = if even_loudness { Leveller::new() } else { None };
        Strip { leveller, volume, gain: volume.0, pan: place.pan(), place, before: [0.0; DELAY_MAX] }
    }

    pub(crate) fn set_volume(&mut self, volume: Volume) {
        self.volume = volume;
    }

    pub(crate) fn set_place(&mut self, place: Place) {
        self.place = place;
    }

    /// Whether the later ear has not heard all yet.
    pub(crate) fn has_tail(&self) -> bool {
        self.before.iter().any(|sample| *sample != 0.0)
    }

    /// Adds 20 ms of a voice in stereo to the mix: what is left stays left, and it has no other place.
    pub(crate) fn add_stereo(&mut self, voice: &Block, block: &mut Block) {
        let levelled = self.leveller.as_mut().map_or(1.0, |leveller| leveller.hear_stereo(voice));
        let (from, to) = (self.gain, levelled * self.volume.0);
        self.gain = to;
        self.before = [0.0; DELAY_MAX];
        for (ear, pcm) in [(&mut block.left, &voice.left), (&mut block.right, &voice.right)] {
            for (i, (ear, sample)) in ear.iter_mut().zip(pcm).enumerate() {
                *ear += sample * ramp(from, to, i);
            }
        }
    }

    /// Adds 20 ms of the voice to the mix.
    pub(crate) fn add(&mut self, pcm: &[f32; FRAME], block: &mut Block) {
        let levelled = self.leveller.as_mut().map_or(1.0, |leveller| leveller.hear(pcm));
        let (from, to) = (self.gain, levelled * self.volume.0);
        self.gain = to;
        let mut voice = [0.0; DELAY_MAX + FRAME];
        let (start, rest) = voice.split_at_mut(DELAY_MAX);
        start.copy_from_slice(&self.before);
        for (i, (out, sample)) in rest.iter_mut().zip(pcm).enumerate() {
            *out = sample * ramp(from, to, i);
        }
        let (was, is) = (self.pan, self.place.pan());
        self.pan = is;
        pan_ear(&voice, &mut block.left, (was.left, was.left_later), (is.left, is.left_later));
        pan_ear(&voice, &mut block.right, (was.right, was.right_later), (is.right, is.right_later));
        self.before.copy_from_slice(voice.get(FRAME..).unwrap_or(&[0.0; DELAY_MAX]));
    }
}

/// A gain on its way through a block: exactly the last one at the end, and no rounding where it stays.
fn ramp(from: f32, to: f32, at: usize) -> f32 {
    if from == to { to } else { from + (to - from) * (at + 1) as f32 / FRAME as f32 }
}

/// Adds a voice to one ear: from the gain and delay that were to those that are, by a cross-fade over the block.
fn pan_ear(voice: &[f32; DELAY_MAX + FRAME], ear: &mut [f32; FRAME], was: (f32, usize), is: (f32, usize)) {
    let heard = |(gain, later): (f32, usize)| {
        let from = DELAY_MAX - later.min(DELAY_MAX);
        voice.get(from..).unwrap_or(&[]).iter().map(move |sample| sample * gain)
    };
    if was == is {
        ear.iter_mut().zip(heard(is)).for_each(|(ear, sample)| *ear += sample);
        return;
    }
    for (i, (ear, (old, new))) in ear.iter_mut().zip(heard(was).zip(heard(is))).enumerate() {
        let fade = (i + 1) as f32 / FRAME as f32;
        *ear += old * (1.0 - fade) + new * fade;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(block: usize) -> [f32; FRAME] {
        std::array::from_fn(|i| 0.5 * ((block * FRAME + i) as f32 * 0.0262).sin())
    }

    fn largest_step(pcm: &[f32]) -> f32 {
        pcm.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max)
    }

    #[test]
    fn a_voice_in_the_middle_is_the_same_on_both_sides_and_unchanged() {
        let mut strip = Strip::new(false, Volume::default(), Place::default());
        let mut block = Block::default();
        strip.add(&sine(0), &mut block);
        assert_eq!(block.left, sine(0));
        assert_eq!(block.right, sine(0));
    }

    #[test]
    fn a_voice_at_the_left_is_louder_and_earlier_there() {
        let mut strip = Strip::new(false, Volume::default(), Place::new(-1.0));
        let mut pulse = [0.0; FRAME];
        pulse[100] = 0.5;
        let mut block = Block::default();
        strip.add(&pulse, &mut block);
        let at = |ear: &[f32; FRAME]| ear.iter().position(|s| *s != 0.0).unwrap();
        assert_eq!((at(&block.left), at(&block.right)), (100, 100 + DELAY_MAX));
        assert!(block.left[100] > 4.0 * block.right[100 + DELAY_MAX]);
    }

    #[test]
    fn what_the_later_ear_has_not_heard_comes_with_the_next_block() {
        let mut strip = Strip::new(false, Volume::default(), Place::new(-1.0));
        let mut pulse = [0.0; FRAME];
        pulse[FRAME - 1] = 0.5;
        strip.add(&pulse, &mut Block::default());
        assert!(strip.has_tail());
        let mut block = Block::default();
        strip.add(&[0.0; FRAME], &mut block);
        assert!(block.right[DELAY_MAX - 1] > 0.0 && !strip.has_tail());
    }

    #[test]
    fn a_new_volume_and_a_new_place_come_without_a_click() {
        let mut strip = Strip::new(false, Volume::default(), Place::new(-1.0));
        let (mut left, mut right) = (Vec::new(), Vec::new());
        for block in 0..12 {
            match block {
                3 => strip.set_volume(Volume::new(0.0)),
                6 => strip.set_volume(Volume::new(1.0)),
                9 => strip.set_place(Place::new(1.0)),
                _ => {}
            }
            let mut mixed = Block::default();
            strip.add(&sine(block), &mut mixed);
            left.extend(mixed.left);
            right.extend(mixed.right);
        }
        // The sine itself moves by 0.0131 a sample, 1.42 times as much at the side; a ramp adds a 960th of its level.
        assert!(
            largest_step(&left) < 0.021 && largest_step(&right) < 0.021,
            "{} {}",
            largest_step(&left),
            largest_step(&right)
        );
        assert!(left[4 * FRAME..6 * FRAME].iter().all(|s| *s == 0.0));
        assert!(right[11 * FRAME..].iter().any(|s| s.abs() > 0.5));
    }

    #[test]
    fn a_voice_in_stereo_keeps_its_sides_wherever_its_place_is() {
        let mut strip = Strip::new(false, Volume::default(), Place::new(-1.0));
        let voice = Block { left: sine(0), right: sine(0).map(|s| -s / 2.0) };
        let mut block = Block::default();
        strip.add_stereo(&voice, &mut block);
        assert_eq!(block, voice);
        strip.set_volume(Volume::new(0.0));
        let mut block = Block::default();
        strip.add_stereo(&voice, &mut block);
        assert_eq!((block.left[FRAME - 1], block.right[FRAME - 1]), (0.0, 0.0));
        assert!(!strip.has_tail());
    }

    #[test]
    fn volumes_are_bounded() {
        assert_eq!(Volume::new(9.0), Volume::MAX);
        assert_eq!(Volume::new(-1.0).factor(), 0.0);
        assert_eq!(Volume::new(f32::NAN), Volume::default());
    }
}
