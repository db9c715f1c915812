//! Any number of channels to one or two, with the weights that broadcasters use.
//!
//! ITU-R BS.775-4, table 2, mixes 3/2 to mono with left and right 3 dB and the surround channels 6 dB below the centre, where speech is, and to
//! stereo with the centre and a side's surround channel 3 dB below left and right. The low-frequency channel is left out, as it
//! holds nothing of its own. The weights here add up to one, so that nothing clips, and channels that all hold the same come out as it.

use symphonia::core::audio::{Channels, Position};

use super::Width;

const SIDE: f32 = std::f32::consts::FRAC_1_SQRT_2;
const SURROUND: f32 = 0.5;
/// With fewer channels than 5.1 has, what is called the low-frequency channel is a reader's guess.
const CHANNELS_WITH_LFE: usize = 6;

/// Where a channel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Left,
    Middle,
    Right,
}

/// Weights of interleaved channels, a row for each that comes out.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Downmix {
    width: Width,
    channels: Channels,
    rows: Vec<Vec<f32>>,
}

impl Downmix {
    /// Mixes whatever comes to so many channels.
    pub(super) fn to(width: Width) -> Self {
        Downmix { width, ..Downmix::default() }
    }

    /// Takes these channels from now on.
    pub(super) fn set(&mut self, channels: &Channels) {
        if self.channels != *channels {
            let all: Vec<(f32, At)> = match channels {
                // A single one is called the left by WAV, and is meant for both sides.
                one if one.count() == 1 => vec![(1.0, At::Middle)],
                Channels::Positioned(at) => at.iter().map(|at| (weight(at, channels.count()), side(at))).collect(),
                other if other.count() == 2 => vec![(1.0, At::Left), (1.0, At::Right)],
                other => vec![(1.0, At::Middle); other.count()],
            };
            *self = Downmix { channels: channels.clone(), ..Self::of(&all, self.width) };
        }
    }

    /// Channels in the order of Ogg Opus and Vorbis (RFC 7845 section 5.1.1.2).
    pub(super) fn of_opus(channels: u8, width: Width) -> Self {
        const LEFT: (f32, At) = (SIDE, At::Left);
        const RIGHT: (f32, At) = (SIDE, At::Right);
        const CENTRE: (f32, At) = (1.0, At::Middle);
        const LEFT_BACK: (f32, At) = (SURROUND, At::Left);
        const RIGHT_BACK: (f32, At) = (SURROUND, At::Right);
        const BACK: (f32, At) = (SURROUND, At::Middle);
        const LFE: (f32, At) = (0.0, At::Middle);
        let all: &[(f32, At)] = match channels {
            0 | 1 => &[CENTRE],
            2 => &[LEFT, RIGHT],
            3 => &[LEFT, CENTRE, RIGHT],
            4 => &[LEFT, RIGHT, LEFT_BACK, RIGHT_BACK],
            5 => &[LEFT, CENTRE, RIGHT, LEFT_BACK, RIGHT_BACK],
            6 => &[LEFT, CENTRE, RIGHT, LEFT_BACK, RIGHT_BACK, LFE],
            7 => &[LEFT, CENTRE, RIGHT, LEFT_BACK, RIGHT_BACK, BACK, LFE],
            _ => &[LEFT, CENTRE, RIGHT, LEFT_BACK, RIGHT_BACK, LEFT_BACK, RIGHT_BACK, LFE],
        };
        Self::of(all, width)
    }

    fn of(all: &[(f32, At)], width: Width) -> Self {
        let row = |of: &dyn Fn(&(f32, At)) -> f32| to_one(all.iter().map(of).collect());
        let of_side = |mine: At| {
            row(&|(weight, at)| match at {
                At::Middle => weight * SIDE,
                at if *at == mine => weight / SIDE,
                _ => 0.0,
            })
        };
        let rows = match width {
            Width::Mono => vec![row(&|(weight, _)| *weight)],
            Width::Stereo => vec![of_side(At::Left), of_side(At::Right)],
        };
        Downmix { width, channels: Channels::None, rows }
    }

    /// Mixes interleaved channels down and appends the result: one sample, or a left and a right one.
    pub(super) fn apply(&self, interleaved: &[f32], out: &mut Vec<f32>) {
        let channels = self.rows.first().map_or(1, |row| row.len().max(1));
        for frame in interleaved.chunks_exact(channels) {
            let mixed = |row: &Vec<f32>| frame.iter().zip(row).map(|(sample, weight)| sample * weight).sum::<f32>();
            out.extend(self.rows.iter().map(mixed));
        }
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

fn side(at: Position) -> At {
    match at {
        Position::FRONT_LEFT
        | Position::FRONT_LEFT_CENTER
        | Position::FRONT_LEFT_WIDE
        | Position::SIDE_LEFT
        | Position::REAR_LEFT
        | Position::TOP_FRONT_LEFT
        | Position::TOP_SIDE_LEFT
        | Position::TOP_REAR_LEFT
        | Position::BOTTOM_FRONT_LEFT => At::Left,
        Position::FRONT_RIGHT
        | Position::FRONT_RIGHT_CENTER
        | Position::FRONT_RIGHT_WIDE
        | Position::SIDE_RIGHT
        | Position::REAR_RIGHT
        | Position::TOP_FRONT_RIGHT
        | Position::TOP_SIDE_RIGHT
        | Position::TOP_REAR_RIGHT
        | Position::BOTTOM_FRONT_RIGHT => At::Right,
        _ => At::Middle,
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
            assert!((mixed(&Downmix::of_opus(channels as u8, Width::Mono), &same) - 0.5).abs() < 1e-6, "{channels}");
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

    #[test]
    fn in_stereo_each_side_keeps_its_own_and_the_middle_goes_to_both() {
        let mixed = |downmix: &Downmix, frame: &[f32]| {
            let mut out = Vec::new();
            downmix.apply(frame, &mut out);
            out
        };
        let wave = |channels: u32| {
            let mut downmix = Downmix::to(Width::Stereo);
            downmix.set(&Channels::Positioned(Position::from_wave_channel_count(channels).unwrap()));
            downmix
        };
        for (one, two) in [(wave(1), wave(2)), (Downmix::of_opus(1, Width::Stereo), Downmix::of_opus(2, Width::Stereo))]
        {
            assert_eq!(mixed(&one, &[0.5]), [0.5, 0.5]);
            assert_eq!(mixed(&two, &[0.5, -0.25]), [0.5, -0.25]);
        }
        // Left, right, centre, low frequencies, left and right surround.
        let of = |at: usize| mixed(&wave(6), &std::array::from_fn::<f32, 6, _>(|i| f32::from(u8::from(i == at))));
        assert!(of(0)[0] > 0.3 && of(0)[1] == 0.0 && of(1)[0] == 0.0);
        assert!(of(2)[0] == of(2)[1] && (of(2)[0] / of(0)[0] - SIDE).abs() < 1e-6);
        assert!((of(4)[0] / of(0)[0] - SIDE).abs() < 1e-6 && of(4)[1] == 0.0 && of(3) == [0.0, 0.0]);
    }
}
