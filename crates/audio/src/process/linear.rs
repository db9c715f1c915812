//! The echo's path as a long linear filter, learnt while it is used: the partitioned-block frequency-domain Kalman filter of Kuech,
//! Mabande and Enzner, "State-space architecture of the partitioned-block-based acoustic echo controller" (ICASSP 2014), with the
//! covariance taken as diagonal.
//!
//! How fast it learns follows from what it does not know: where the microphone has more than an echo in it, the near speaker
//! talks, and it holds still. So it needs no detector of double talk. It holds sound back not at all, since it works by
//! overlap-save, and it takes nothing from the near voice, since it only ever subtracts. What it cannot know (a path that
//! changes, a loudspeaker that distorts, an echo later than [`LENGTH_MS`]) is left to the suppressor behind it.

use std::sync::Arc;

use realfft::{ComplexToReal, RealFftPlanner, RealToComplex, num_complex::Complex32};

use super::BLOCK;

/// How long after it was played an echo is found: buffers of the sound system and 150 ms of room.
pub(super) const LENGTH_MS: usize = 250;
const PARTITIONS: usize = LENGTH_MS / 10;
const FFT: usize = 2 * BLOCK;
const BINS: usize = BLOCK + 1;
/// How much of the path is the same after 10 ms: it changes within some seconds.
const SAME: f32 = 0.999_8;
/// Weight of the newest block in the power of what is no echo.
const NEWEST: f32 = 0.3;
/// What is not known of the path before anything was heard, relative to a loudspeaker as loud as the voice.
const UNKNOWN: f32 = 0.01;
/// Of what is left at least this much counts as no echo.
const OTHER_MIN: f32 = 0.1;
/// Weight of the newest block in the loudness of what comes in and of what is left: 100 ms.
const LOUDNESS: f32 = 0.1;
/// Where less than this is left of what came in, 15 dB, nobody speaks but from the speakers.
const ONLY_ECHO: f32 = 0.03;
/// The power in a bin that counts as nothing: that of the last bit of 20.
const NOTHING: f32 = 1e-9;

type Spectrum = Vec<Complex32>;

pub(super) struct LinearCanceller {
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
    scratch: Spectrum,
    /// Of what was played, the newest first at `newest`.
    played: Vec<Spectrum>,
    newest: usize,
    last_played: [f32; BLOCK],
    path: Vec<Spectrum>,
    /// Variance of what is not known of each bin of the path.
    unknown: Vec<Vec<f32>>,
    /// Power of what is no echo, in each bin.
    other: Vec<f32>,
    time: Vec<f32>,
    spectrum: Spectrum,
    /// Power of what comes in and of what is left.
    near: f32,
    left: f32,
    /// How much of the echo was subtracted at the end of the last block.
    weight: f32,
}

impl LinearCanceller {
    pub(super) fn new() -> Self {
        let mut planner = RealFftPlanner::new();
        let (forward, inverse) = (planner.plan_fft_forward(FFT), planner.plan_fft_inverse(FFT));
        let zeros = || vec![Complex32::default(); BINS];
        let scratch = vec![Complex32::default(); forward.get_scratch_len().max(inverse.get_scratch_len())];
        LinearCanceller {
            forward,
            inverse,
            scratch,
            played: (0..PARTITIONS).map(|_| zeros()).collect(),
            newest: 0,
            last_played: [0.0; BLOCK],
            path: (0..PARTITIONS).map(|_| zeros()).collect(),
            unknown: vec![vec![UNKNOWN; BINS]; PARTITIONS],
            other: vec![0.0; BINS],
            time: vec![0.0; FFT],
            spectrum: zeros(),
            near: 0.0,
            left: 0.0,
            weight: 0.0,
        }
    }

    /// Takes the echo of what has been played up to and with `far` out of `near`; returns the echo.
    pub(super) fn process(&mut self, far: &[f32; BLOCK], near: &mut [f32; BLOCK]) -> [f32; BLOCK] {
        self.push_played(far);
        self.predict();
        // Of a circular convolution the second half is the linear one.
        let mut echo = [0.0; BLOCK];
        echo.iter_mut().zip(self.time.iter().skip(BLOCK)).for_each(|(echo, sample)| *echo = *sample);
        let (first, second) = self.time.split_at_mut(BLOCK);
        first.fill(0.0);
        second.iter_mut().zip(near.iter().zip(&echo)).for_each(|(left, (near, echo))| *left = near - echo);
        let weight = self.trust(near);
        transform(&*self.forward, &mut self.time, &mut self.spectrum, &mut self.scratch);
        self.learn();
        let slope = (weight - self.weight) / BLOCK as f32;
        for (near, echo) in near.iter_mut().zip(&echo) {
            self.weight += slope;
            *near -= self.weight * echo;
        }
        self.weight = weight;
        echo
    }

    /// All of the echo is to be subtracted, unless that makes it louder: then the path is wrong, and what came in goes out.
    fn trust(&mut self, near: &[f32; BLOCK]) -> f32 {
        let power = |samples: &mut dyn Iterator<Item = &f32>| samples.map(|s| s * s).sum::<f32>();
        self.near += LOUDNESS * (power(&mut near.iter()) - self.near);
        self.left += LOUDNESS * (power(&mut self.time.iter().skip(BLOCK)) - self.left);
        if self.left > self.near { 0.0 } else { 1.0 }
    }

    /// Whether nearly all that came in lately was an echo.
    pub(super) fn is_only_echo(&self) -> bool {
        self.left < ONLY_ECHO * self.near
    }

    fn push_played(&mut self, far: &[f32; BLOCK]) {
        self.newest = (self.newest + PARTITIONS - 1) % PARTITIONS;
        let (first, second) = self.time.split_at_mut(BLOCK);
        first.copy_from_slice(&self.last_played);
        second.copy_from_slice(far);
        self.last_played = *far;
        if let Some(newest) = self.played.get_mut(self.newest) {
            transform(&*self.forward, &mut self.time, newest, &mut self.scratch);
        }
    }

    /// What was played so long ago as each partition of the path is late.
    fn played(played: &[Spectrum], newest: usize) -> impl Iterator<Item = &Spectrum> {
        played.iter().cycle().skip(newest).take(PARTITIONS)
    }

    /// Fills `time` with the echo as the path says.
    fn predict(&mut self) {
        self.spectrum.fill(Complex32::default());
        for (played, path) in Self::played(&self.played, self.newest).zip(&self.path) {
            for ((sum, played), path) in self.spectrum.iter_mut().zip(played).zip(path) {
                *sum += played * path;
            }
        }
        back(&*self.inverse, &mut self.spectrum, &mut self.time, &mut self.scratch);
    }

    /// Moves the path towards what `spectrum`, the remainder, says that it lacked.
    fn learn(&mut self) {
        let mut total = vec![0.0_f32; BINS];
        for (played, unknown) in Self::played(&self.played, self.newest).zip(&self.unknown) {
            for ((total, played), unknown) in total.iter_mut().zip(played).zip(unknown) {
                *total += 0.5 * played.norm_sqr() * unknown;
            }
        }
        for ((total, other), left) in total.iter_mut().zip(&mut self.other).zip(&self.spectrum) {
            // What is left is what is not known of the echo, and what is no echo.
            let left = left.norm_sqr();
            *other += NEWEST * ((left - *total).max(OTHER_MIN * left) - *other);
            *total += *other + NOTHING;
        }
        let mut step = vec![Complex32::default(); BINS];
        let late = Self::played(&self.played, self.newest);
        for ((played, path), unknown) in late.zip(&mut self.path).zip(&mut self.unknown) {
            for bin in 0..BINS {
                let (Some(played), Some(path), Some(unknown)) = (played.get(bin), path.get(bin), unknown.get_mut(bin))
                else {
                    continue;
                };
                let gain = *unknown / total.get(bin).copied().unwrap_or(1.0);
                let remainder = self.spectrum.get(bin).copied().unwrap_or_default();
                if let Some(step) = step.get_mut(bin) {
                    *step = played.conj() * remainder * gain;
                }
                let known = (1.0 - 0.5 * gain * played.norm_sqr()).max(0.0);
                *unknown = SAME * SAME * known * *unknown + (1.0 - SAME * SAME) * path.norm_sqr();
            }
            // A filter of ten milliseconds has no second half.
            back(&*self.inverse, &mut step, &mut self.time, &mut self.scratch);
            self.time.iter_mut().skip(BLOCK).for_each(|sample| *sample = 0.0);
            transform(&*self.forward, &mut self.time, &mut step, &mut self.scratch);
            path.iter_mut().zip(&step).for_each(|(path, step)| *path += step);
        }
    }
}

fn transform(fft: &dyn RealToComplex<f32>, time: &mut [f32], spectrum: &mut [Complex32], scratch: &mut [Complex32]) {
    // The lengths are the plan's own.
    let _ = fft.process_with_scratch(time, spectrum, scratch);
}

fn back(fft: &dyn ComplexToReal<f32>, spectrum: &mut [Complex32], time: &mut [f32], scratch: &mut [Complex32]) {
    // Of a real signal's spectrum these two are real; rounding makes them nearly so.
    for edge in [0, BINS - 1] {
        if let Some(bin) = spectrum.get_mut(edge) {
            bin.im = 0.0;
        }
    }
    let _ = fft.process_with_scratch(spectrum, time, scratch);
    time.iter_mut().for_each(|sample| *sample /= FFT as f32);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Noise between -1 and 1, the same each time.
    fn noise(state: &mut u32) -> f32 {
        *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (*state >> 8) as f32 / (1 << 23) as f32 - 1.0
    }

    fn power(block: &[f32; BLOCK]) -> f32 {
        block.iter().map(|s| s * s).sum()
    }

    /// Plays noise whose echo comes `delay` samples later at half its loudness; returns what is left of it in each block, in dB.
    fn left_db(blocks: usize, delay: usize, near: impl Fn(usize, &mut u32) -> f32) -> Vec<f32> {
        let (mut canceller, mut state) = (LinearCanceller::new(), 1);
        let mut played = vec![0.0; delay];
        let mut left = Vec::new();
        for at in 0..blocks {
            let far: [f32; BLOCK] = std::array::from_fn(|_| 0.1 * noise(&mut state));
            played.extend(far);
            let echo: [f32; BLOCK] = std::array::from_fn(|i| 0.5 * played[at * BLOCK + i]);
            let voice: [f32; BLOCK] = std::array::from_fn(|_| near(at, &mut state));
            let mut block: [f32; BLOCK] = std::array::from_fn(|i| echo[i] + voice[i]);
            canceller.process(&far, &mut block);
            let rest: [f32; BLOCK] = std::array::from_fn(|i| block[i] - voice[i]);
            left.push(10.0 * (power(&rest) / power(&echo).max(1e-9)).log10());
        }
        left
    }

    #[test]
    fn an_echo_within_its_length_is_learnt_in_two_seconds() {
        for delay in [0, 700, 7_777] {
            let left = left_db(300, delay, |_, _| 0.0);
            let mean = left[200..].iter().sum::<f32>() / 100.0;
            assert!(mean < -22.0, "{delay}: {mean} dB");
        }
    }

    #[test]
    fn a_near_voice_does_not_undo_what_was_learnt() {
        let left = left_db(500, 700, |at, state| if at < 300 { 0.0 } else { 0.2 * noise(state) });
        assert!(left[310..].iter().all(|left| *left < -12.0), "{:?}", &left[300..330]);
    }

    #[test]
    fn what_is_no_echo_is_left_as_it_is() {
        let (mut canceller, mut state) = (LinearCanceller::new(), 1);
        for _ in 0..300 {
            let far: [f32; BLOCK] = std::array::from_fn(|_| 0.1 * noise(&mut state));
            let voice: [f32; BLOCK] = std::array::from_fn(|_| 0.1 * noise(&mut state));
            let mut block = voice;
            canceller.process(&far, &mut block);
            assert!(power(&block) < 1.3 * power(&voice), "{} of {}", power(&block), power(&voice));
        }
    }
}
