//! Any number of channels to one, with the weights that broadcasters use.
//!
//! ITU-R BS.775-4, table 2, mixes 3/2 to mono with left and right 3 dB and the surround channels 6 dB below the centre, where speech is. The
//! low-frequency channel is left out, as it holds nothing of its own. The weights here add up to one, so that nothing clips, and
//! channels that all hold the same come out as it.

use symphonia::core::audio::{Channels, Position};

const SIDE: f32 = std::f32::consts::FRAC_1_SQRT_2;
const SURROUND: f32 = 0.5;
/// With fewer channels than 5.1 has, what is called the low-frequency channel is a reader's guess.
const CHANNELS_WITH_LFE: usize = 6;

/// Weights of interleaved channels.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Downmix {
    channels: Channels,
    weights: Vec<f32>,
}

impl Downmix {
    /// Takes these channels from now on.
    pub(super) fn set(&mut self, channels: &Channels) {
        if self.channels != *channels {
            let weights = match channels {
                Channels::Positioned(positions) => positions.iter().map(|at| weight(at, channels.count())).collect(),
                other => vec![1.0; other.count()],
            };
            *self = Downmix { channels: channels.clone(), weights: to_one(weights) };
        }
    }

    /// Channels in the order of Ogg Opus and Vorbis (RFC 7845 section 5.1.1.2).
    pub(super) fn of_opus(channels: u8) -> Self {
        const LFE: f32 = 0.0;
        let weights: &[f32] = match channels {
            0 | 1 => &[1.0],
            2 => &[SIDE, SIDE],
            3 => &[SIDE, 1.0, SIDE],
            4 => &[SIDE, SIDE, SURROUND, SURROUND],
            5 => &[SIDE, 1.0, SIDE, SURROUND, SURROUND],
            6 => &[SIDE, 1.0, SIDE, SURROUND, SURROUND, LFE],
            7 => &[SIDE, 1.0, SIDE, SURROUND, SURROUND, SURROUND, LFE],
            _ => &[SIDE, 1.0, SIDE, SURROUND, SURROUND, SURROUND, SURROUND, LFE],
        };
        Downmix { channels: Channels::None, weights: to_one(weights.to_vec()) }
    }

    /// Mixes interleaved channels down and appends the result.
    pub(super) fn apply(&self, interleaved: &[f32], mono: &mut Vec<f32>) {
        let frames = interleaved.chunks_exact(self.weights.len().max(1));
        mono.extend(
            frames.map(|frame| frame.iter().zip(&self.weights).map(|(sample, weight)| sample * weight).sum::<f32>()),
        );
    }
}

fn weight(at: Position, count: usize) -> f32 {
    match at {
        Position::FRONT_CENTER => 1.0,
        Position::FRONT_LEFT
        | Position::FRONT_RIGHT
        | Position::FRONT_LEFT_CENTER
        | Position::FRONT_RIGHT_CENTER
        | Position::FRONT_LEFT_WIDE
        | Position::FRONT_RIGHT_WIDE => SIDE,
        Position::LFE1 | Position::LFE2 if count >= CHANNELS_WITH_LFE => 0.0,
        _ => SURROUND,
    }
}

fn to_one(mut weights: Vec<f32>) -> Vec<f32> {
    let sum: f32 = weights.iter().sum();
    weights.iter_mut().for_each(|weight| *weight /= sum.max(f32::MIN_POSITIVE));
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mixed(downmix: &Downmix, frame: &[f32]) -> f32 {
        let mut mono = Vec::new();
        downmix.apply(frame, &mut mono);
        assert_eq!(mono.len(), 1);
        mono[0]
    }

    fn wave(channels: u32) -> Downmix {
        let mut downmix = Downmix::default();
        downmix.set(&Channels::Positioned(Position::from_wave_channel_count(channels).unwrap()));
        downmix
    }

    #[test]
    fn what_is_the_same_everywhere_stays_and_the_centre_is_loudest() {
        for channels in 1..=8 {
            let same = vec![0.5; channels as usize];
            assert!((mixed(&wave(channels), &same) - 0.5).abs() < 1e-6, "{channels}");
            assert!((mixed(&Downmix::of_opus(channels as u8), &same) - 0.5).abs() < 1e-6, "{channels}");
        }
        assert_eq!(mixed(&wave(2), &[0.4, 0.2]), 0.3);
        // 5.1: left, right, centre, low frequencies, left and right surround.
        let of = |at: usize| mixed(&wave(6), &std::array::from_fn::<f32, 6, _>(|i| f32::from(u8::from(i == at))));
        assert!((of(2) / of(0) - 2.0_f32.sqrt()).abs() < 1e-4 && (of(2) / of(4) - 2.0).abs() < 1e-4);
        assert_eq!(of(3), 0.0);
    }

    #[test]
    fn four_separate_microphones_are_all_heard() {
        for at in 0..4 {
            let frame: [f32; 4] = std::array::from_fn(|i| f32::from(u8::from(i == at)));
            assert!(mixed(&wave(4), &frame) > 0.1, "{at}");
        }
        let mut discrete = Downmix::default();
        discrete.set(&Channels::Discrete(12));
        assert!((mixed(&discrete, &[0.3; 12]) - 0.3).abs() < 1e-6);
    }
}
