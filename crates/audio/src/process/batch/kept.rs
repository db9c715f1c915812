//! What came in and was played lately, at 16 kHz.

use super::{BLOCK, DECIMATION, KEPT_MAX, LOW_BLOCK, PATH_BLOCKS, SOUND, TAPS, mean_square};

/// Blocks that go when there are so many.
const DROPPED: usize = 128;
/// Half the order of the low-pass before decimation.
const HALF_ORDER: usize = 48;
/// Its cut-off, in cycles a sample: 7.2 kHz.
const CUT_OFF: f32 = 0.15;

/// 48 to 16 kHz.
pub(super) struct Decimator {
    response: Vec<f32>,
    /// The last samples, and room for a block.
    samples: Vec<f32>,
}

impl Decimator {
    pub(super) fn new() -> Self {
        // A sinc in a Hamming window.
        let tap = |at: usize| {
            let x = at as f32 - HALF_ORDER as f32;
            let sinc = if at == HALF_ORDER {
                2.0 * CUT_OFF
            } else {
                (2.0 * std::f32::consts::PI * CUT_OFF * x).sin() / (std::f32::consts::PI * x)
            };
            sinc * (0.54 - 0.46 * (std::f32::consts::PI * at as f32 / HALF_ORDER as f32).cos())
        };
        Decimator { response: (0..=2 * HALF_ORDER).map(tap).collect(), samples: vec![0.0; 2 * HALF_ORDER + BLOCK] }
    }

    pub(super) fn process(&mut self, block: &[f32; BLOCK]) -> [f32; LOW_BLOCK] {
        self.samples.copy_within(BLOCK.., 0);
        let before = self.samples.len() - BLOCK;
        self.samples.iter_mut().skip(before).zip(block).for_each(|(sample, new)| *sample = *new);
        let mut windows = self.samples.windows(self.response.len()).step_by(DECIMATION);
        std::array::from_fn(|_| {
            let window = windows.next().unwrap_or_default();
            window.iter().zip(&self.response).map(|(sample, tap)| sample * tap).sum()
        })
    }
}

/// The last seconds. Blocks are counted from the first ever, which is preceded by silence as long as a path.
pub(super) struct Kept {
    played: [Vec<f32>; 2],
    near: Vec<f32>,
    /// Power of what was left of each block, and whether something was played in it.
    left: Vec<f32>,
    sounds: Vec<[bool; 2]>,
    dropped: usize,
}

impl Kept {
    pub(super) fn new() -> Self {
        let silence = |samples: usize| {
            let mut all = Vec::with_capacity(KEPT_MAX * LOW_BLOCK);
            all.resize(samples, 0.0);
            all
        };
        Kept {
            played: [silence(TAPS), silence(TAPS)],
            near: silence(TAPS),
            left: vec![0.0; PATH_BLOCKS],
            sounds: vec![[false; 2]; PATH_BLOCKS],
            dropped: 0,
        }
    }

    pub(super) fn push(&mut self, played: &[[f32; LOW_BLOCK]; 2], near: &[f32; LOW_BLOCK], left: f32) {
        if self.left.len() >= KEPT_MAX {
            let samples = DROPPED * LOW_BLOCK;
            self.played.iter_mut().chain([&mut self.near]).for_each(|all| drop(all.drain(..samples)));
            self.left.drain(..DROPPED);
            self.sounds.drain(..DROPPED);
            self.dropped += DROPPED;
        }
        self.played.iter_mut().zip(played).for_each(|(all, block)| all.extend_from_slice(block));
        self.near.extend_from_slice(near);
        self.left.push(left);
        self.sounds.push([0, 1].map(|side| played.get(side).is_some_and(|block| mean_square(block) > SOUND)));
    }

    /// Samples there is room for.
    #[cfg(test)]
    pub(super) fn room(&self) -> [usize; 3] {
        let [both, differ] = &self.played;
        [both, differ, &self.near].map(Vec::capacity)
    }

    /// One after the newest.
    pub(super) fn blocks(&self) -> usize {
        self.dropped + self.left.len()
    }

    fn range(&self, from: usize, to: usize) -> std::ops::Range<usize> {
        from.saturating_sub(self.dropped)..to.saturating_sub(self.dropped)
    }

    fn samples(&self, from: usize, to: usize) -> std::ops::Range<usize> {
        let blocks = self.range(from, to);
        blocks.start * LOW_BLOCK..blocks.end * LOW_BLOCK
    }

    pub(super) fn sounding(&self, from: usize, to: usize) -> usize {
        self.sounds.get(self.range(from, to)).unwrap_or_default().iter().filter(|sounds| sounds.contains(&true)).count()
    }

    pub(super) fn sides_differ(&self, from: usize, to: usize) -> bool {
        self.sounds.get(self.range(from, to)).unwrap_or_default().iter().any(|sounds| sounds[1])
    }

    pub(super) fn lefts(&self, from: usize, to: usize) -> &[f32] {
        self.left.get(self.range(from, to)).unwrap_or_default()
    }

    pub(super) fn near(&self, from: usize, to: usize) -> &[f32] {
        self.near.get(self.samples(from, to)).unwrap_or_default()
    }

    /// What was played from as long before `from` as a path is.
    pub(super) fn played(&self, side: usize, from: usize, to: usize) -> &[f32] {
        let all = self.played.get(side).map(Vec::as_slice).unwrap_or_default();
        all.get(self.samples(from.saturating_sub(PATH_BLOCKS), to)).unwrap_or_default()
    }
}
