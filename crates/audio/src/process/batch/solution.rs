//! Weighted least squares by conjugate gradients, a convolution at a time.

use std::sync::Arc;

use realfft::{ComplexToReal, RealFftPlanner, RealToComplex, num_complex::Complex32};

use super::{CIRCULANT, LOW_BLOCK, NOTHING, PATH_BLOCKS, TAPS, kept::Kept, mean_square};

/// How often blocks are weighted anew, and conjugate directions for each time.
const ROUNDS: usize = 3;
const DIRECTIONS: usize = 15;
/// A block counts as if this share of what is left on average was left of it too.
const LEFT_MIN: f64 = 0.03;
/// How much louder than what comes in a path may be, all its taps together, before that speaks against it.
const LOUDER: f64 = 4.0;

/// FFTs of one length, and room for them.
pub(super) struct Plan {
    pub(super) length: usize,
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
    time: Vec<f32>,
    pub(super) spectrum: Vec<Complex32>,
    sum: Vec<Complex32>,
    scratch: Vec<Complex32>,
}

impl Plan {
    pub(super) fn new(planner: &mut RealFftPlanner<f32>, length: usize) -> Self {
        let (forward, inverse) = (planner.plan_fft_forward(length), planner.plan_fft_inverse(length));
        let scratch = forward.get_scratch_len().max(inverse.get_scratch_len());
        let zeros = |length: usize| vec![Complex32::default(); length];
        Plan {
            length,
            forward,
            inverse,
            time: vec![0.0; length],
            spectrum: zeros(length / 2 + 1),
            sum: zeros(length / 2 + 1),
            scratch: zeros(scratch),
        }
    }

    /// The spectrum of samples that begin at `at`, with silence around them.
    pub(super) fn transform(&mut self, at: usize, samples: impl Iterator<Item = f32>) {
        self.time.fill(0.0);
        self.time.iter_mut().skip(at).zip(samples).for_each(|(time, sample)| *time = sample);
        // The lengths are the plan's own.
        let _ = self.forward.process_with_scratch(&mut self.time, &mut self.spectrum, &mut self.scratch);
    }

    /// The samples of `sum`, in `time`.
    fn back(&mut self) {
        // Of a real signal's spectrum these two are real; rounding makes them nearly so.
        let last = self.sum.len() - 1;
        for edge in [0, last] {
            if let Some(bin) = self.sum.get_mut(edge) {
                bin.im = 0.0;
            }
        }
        let _ = self.inverse.process_with_scratch(&mut self.sum, &mut self.time, &mut self.scratch);
        let scale = 1.0 / self.length as f32;
        self.time.iter_mut().for_each(|sample| *sample *= scale);
    }
}

/// What is played on one side, as a solution needs it.
#[derive(Default)]
struct Side {
    spectrum: Vec<Complex32>,
    /// Its power, smoothed, at the circulant's bins.
    power: Vec<f32>,
    /// The path so far, the gradient, the direction, and what the circulant makes of the gradient.
    path: Vec<f32>,
    /// The last path that was better than what was in use, or none; and what the path is thought to be like.
    known: Vec<f32>,
    prior: Vec<f32>,
    gradient: Vec<f32>,
    direction: Vec<f32>,
    steeper: Vec<f32>,
}

/// Conjugate gradients for paths, interrupted after each convolution.
pub(super) struct Solution {
    sides: [Side; 2],
    /// How many of them are played.
    pub(super) used: usize,
    near: Vec<f32>,
    /// What an estimate makes of what is played: each sample of the window.
    image: Vec<f32>,
    /// Weight of each block, and their mean.
    weights: Vec<f64>,
    weight: f64,
    /// Power of a sample that came in, and in the mean of what was left when blocks were weighed the last time.
    came: f64,
    left: f64,
    /// When the window was, in blocks from its beginning: the middle of what was played, as blocks are weighed.
    middle: f64,
    /// Power of a sample of each block that was played.
    played: Vec<f64>,
    /// How much it speaks against a path that a tap is other than what was known of it.
    penalty: f64,
    /// Gradient times what the circulant makes of it.
    slope: f64,
    round: usize,
    direction: usize,
    is_second_half: bool,
    /// Whether any path was ever better than what was in use, and whether it counts for this one.
    is_known: bool,
    is_anew: bool,
}

impl Solution {
    pub(super) fn new() -> Self {
        let side = || Side {
            power: vec![0.0; CIRCULANT / 2 + 1],
            path: vec![0.0; TAPS],
            known: vec![0.0; TAPS],
            prior: vec![0.0; TAPS],
            gradient: vec![0.0; TAPS],
            direction: vec![0.0; TAPS],
            steeper: vec![0.0; TAPS],
            ..Side::default()
        };
        Solution {
            sides: [side(), side()],
            used: 1,
            near: Vec::new(),
            image: Vec::new(),
            weights: Vec::new(),
            weight: 0.0,
            came: 0.0,
            left: 0.0,
            middle: 0.0,
            played: Vec::new(),
            penalty: 0.0,
            slope: 0.0,
            round: 0,
            direction: 0,
            is_second_half: false,
            is_known: false,
            is_anew: true,
        }
    }

    pub(super) fn forget(&mut self) {
        self.is_known = false;
        self.sides.iter_mut().for_each(|side| side.known.fill(0.0));
    }

    /// The next one begins with this one.
    pub(super) fn keep(&mut self) {
        self.is_known = true;
        self.sides.iter_mut().take(self.used).for_each(|side| side.known.copy_from_slice(&side.path));
    }

    /// Whether it explains half of what came in or more.
    pub(super) fn fits(&self) -> bool {
        self.left < 0.5 * self.came
    }

    /// When it was true, in blocks since the window began.
    pub(super) fn middle(&self) -> f64 {
        self.middle
    }

    /// Taps for what both loudspeakers play.
    pub(super) fn path(&self) -> &[f32] {
        &self.sides[0].path
    }

    pub(super) fn taps(&self) -> [Vec<f32>; 2] {
        let [both, differ] = &self.sides;
        [both.path.clone(), if self.used > 1 { differ.path.clone() } else { Vec::new() }]
    }

    /// Begins to solve for what came in from one block to before another, anew or from what is known; not where there is nothing to be learnt.
    pub(super) fn begin(&mut self, plan: &mut Plan, kept: &Kept, (from, to): (usize, usize), is_anew: bool) -> bool {
        let power = |samples: &[f32]| samples.iter().map(|s| f64::from(s * s)).sum::<f64>();
        self.used = if kept.sides_differ(from.saturating_sub(PATH_BLOCKS), to) { 2 } else { 1 };
        self.near.clear();
        self.near.extend_from_slice(kept.near(from, to));
        let (near, far) = (power(&self.near), power(kept.played(0, from, to)));
        if near < NOTHING * self.near.len() as f64 || far <= 0.0 {
            return false;
        }
        self.penalty = TAPS as f64 / LOUDER * far / near;
        self.came = near / self.near.len() as f64;
        self.played.clear();
        let played = kept.played(0, from, to).chunks(LOW_BLOCK).skip(PATH_BLOCKS);
        self.played.extend(played.map(|block| f64::from(mean_square(block))));
        for (at, side) in self.sides.iter_mut().enumerate().take(self.used) {
            plan.transform(0, kept.played(at, from, to).iter().copied());
            side.spectrum.clear();
            side.spectrum.extend_from_slice(&plan.spectrum);
            side.smooth();
        }
        self.is_anew = is_anew || !self.is_known;
        for side in &mut self.sides {
            if self.is_anew {
                side.prior.fill(0.0)
            } else {
                side.prior.copy_from_slice(&side.known)
            }
            side.path.copy_from_slice(&side.prior);
        }
        self.image.resize(self.near.len(), 0.0);
        (self.round, self.direction, self.is_second_half) = (0, 0, false);
        true
    }

    /// One convolution's worth of work; returns whether all is done.
    pub(super) fn half_step(&mut self, plan: &mut Plan, circulant: &mut Plan) -> bool {
        if self.is_second_half {
            self.convolve_back(plan);
            if self.direction == 0 {
                self.set_out(circulant)
            } else {
                self.go(circulant)
            }
            self.direction += 1;
        } else if self.direction == 0 {
            self.convolve(plan, |side| &side.path);
            self.weigh();
        } else {
            self.convolve(plan, |side| &side.direction);
        }
        self.is_second_half = !self.is_second_half;
        if self.direction > DIRECTIONS {
            (self.round, self.direction) = (self.round + 1, 0);
        }
        self.round >= ROUNDS
    }

    /// What `of` makes of what is played, into `image`.
    fn convolve(&mut self, plan: &mut Plan, of: impl Fn(&Side) -> &Vec<f32>) {
        plan.sum.fill(Complex32::default());
        for side in self.sides.iter().take(self.used) {
            plan.transform(0, of(side).iter().copied());
            for ((sum, played), bin) in plan.sum.iter_mut().zip(&side.spectrum).zip(&plan.spectrum) {
                *sum += played * bin;
            }
        }
        plan.back();
        // What wraps around has fallen on what was played before the window.
        self.image.iter_mut().zip(plan.time.iter().skip(TAPS)).for_each(|(image, sample)| *image = *sample);
    }

    /// Correlates `image`, weighted, with what is played, into what the circulant makes of the gradient, where there is room.
    fn convolve_back(&mut self, plan: &mut Plan) {
        let weighted = self.image.chunks(LOW_BLOCK).zip(&self.weights);
        plan.transform(TAPS, weighted.flat_map(|(block, weight)| block.iter().map(|s| s * *weight as f32)));
        for side in self.sides.iter_mut().take(self.used) {
            for ((sum, played), bin) in plan.sum.iter_mut().zip(&side.spectrum).zip(&plan.spectrum) {
                *sum = played.conj() * bin;
            }
            plan.back();
            side.steeper.iter_mut().zip(&plan.time).for_each(|(out, sample)| *out = *sample);
        }
    }

    /// Weighs blocks by what the path so far leaves of them, which stays in `image`.
    fn weigh(&mut self) {
        self.image.iter_mut().zip(&self.near).for_each(|(image, near)| *image = near - *image);
        let lefts: Vec<f64> = self.image.chunks(LOW_BLOCK).map(|block| f64::from(mean_square(block))).collect();
        let mean = lefts.iter().sum::<f64>() / lefts.len().max(1) as f64;
        // Of a path that nothing is known of yet nothing follows for the blocks.
        let is_first = self.round == 0 && self.is_anew;
        let weigh = |left: &f64| 1.0 / (if is_first { mean } else { *left } + LEFT_MIN * mean + NOTHING);
        self.weights.clear();
        self.weights.extend(lefts.iter().map(weigh));
        self.left = mean;
        let shares = || self.weights.iter().zip(&self.played).map(|(weight, played)| weight * played).enumerate();
        let all = shares().map(|(_, share)| share).sum::<f64>();
        self.middle = shares().map(|(at, share)| (at as f64 + 0.5) * share).sum::<f64>() / all.max(f64::MIN_POSITIVE);
        self.weight = self.weights.iter().sum::<f64>() / self.weights.len().max(1) as f64;
    }

    /// The first direction of a round.
    fn set_out(&mut self, circulant: &mut Plan) {
        let penalty = self.penalty as f32;
        for side in self.sides.iter_mut().take(self.used) {
            let Side { path, prior, gradient, steeper, .. } = side;
            for ((gradient, back), (path, prior)) in gradient.iter_mut().zip(steeper).zip(path.iter().zip(prior)) {
                *gradient = *back - penalty * (path - *prior);
            }
        }
        self.slope = self.steepen(circulant);
        for side in self.sides.iter_mut().take(self.used) {
            side.direction.copy_from_slice(&side.steeper);
        }
    }

    /// As far as it leads in a direction, and then the next one.
    fn go(&mut self, circulant: &mut Plan) {
        let penalty = self.penalty as f32;
        let mut bend = 0.0;
        for side in self.sides.iter_mut().take(self.used) {
            for (back, direction) in side.steeper.iter_mut().zip(&side.direction) {
                *back += penalty * direction;
                bend += f64::from(*back) * f64::from(*direction);
            }
        }
        let far = if bend > 0.0 { (self.slope / bend) as f32 } else { 0.0 };
        for side in self.sides.iter_mut().take(self.used) {
            let Side { path, gradient, direction, steeper, .. } = side;
            path.iter_mut().zip(&*direction).for_each(|(path, direction)| *path += far * direction);
            gradient.iter_mut().zip(&*steeper).for_each(|(gradient, back)| *gradient -= far * back);
        }
        let slope = self.steepen(circulant);
        let keep = if self.slope > 0.0 { (slope / self.slope) as f32 } else { 0.0 };
        self.slope = slope;
        for side in self.sides.iter_mut().take(self.used) {
            let Side { direction, steeper, .. } = side;
            direction.iter_mut().zip(&*steeper).for_each(|(d, steeper)| *d = steeper + keep * *d);
        }
    }

    /// What the circulant makes of the gradient; returns their product.
    fn steepen(&mut self, circulant: &mut Plan) -> f64 {
        let mut slope = 0.0;
        for side in self.sides.iter_mut().take(self.used) {
            circulant.transform(0, side.gradient.iter().copied());
            for ((sum, bin), power) in circulant.sum.iter_mut().zip(&circulant.spectrum).zip(&side.power) {
                *sum = bin / (f64::from(*power) * self.weight + self.penalty) as f32;
            }
            circulant.back();
            for ((steeper, sample), gradient) in side.steeper.iter_mut().zip(&circulant.time).zip(&side.gradient) {
                *steeper = *sample;
                slope += f64::from(*sample) * f64::from(*gradient);
            }
        }
        slope
    }

    /// Power of a sample in each block that came in, from one to before another, less what the path makes of what was played.
    pub(super) fn lefts(&mut self, plan: &mut Plan, kept: &Kept, from: usize, to: usize) -> Vec<f64> {
        plan.sum.fill(Complex32::default());
        for (at, side) in self.sides.iter_mut().enumerate().take(self.used) {
            plan.transform(0, kept.played(at, from, to).iter().copied());
            let played = plan.spectrum.clone();
            plan.transform(0, side.path.iter().copied());
            for ((sum, played), bin) in plan.sum.iter_mut().zip(&played).zip(&plan.spectrum) {
                *sum += played * bin;
            }
        }
        plan.back();
        let echo = plan.time.get(TAPS..).unwrap_or_default().chunks(LOW_BLOCK);
        let near = kept.near(from, to).chunks(LOW_BLOCK);
        let left = |(near, echo): (&[f32], &[f32])| {
            near.iter().zip(echo).map(|(near, echo)| f64::from(near - echo).powi(2)).sum::<f64>() / LOW_BLOCK as f64
        };
        near.zip(echo).map(left).collect()
    }
}

impl Side {
    /// Fills `power` from `spectrum`.
    fn smooth(&mut self) {
        let bins = self.spectrum.len() - 1;
        let width = 2 * bins / CIRCULANT + 1;
        for (at, power) in self.power.iter_mut().enumerate() {
            let middle = at * 2 * bins / CIRCULANT;
            let around =
                self.spectrum.get(middle.saturating_sub(width)..=(middle + width).min(bins)).unwrap_or_default();
            *power = around.iter().map(|bin| bin.norm_sqr()).sum::<f32>() / around.len().max(1) as f32;
        }
    }
}
