//! By how much two sound cards differ on how long a second is, from what that does to the echo's path.
//!
//! A microphone and loudspeakers of one card share a clock. Of two cards the path moves by up to 300 µs a second, and nothing that is
//! learnt of it stays true. But of two paths that were solved for, one after the other, the later one is the earlier one
//! moved; how far, and how long that took, is the difference of the clocks. Somebody who moves the microphone moves the path too, but not
//! steadily: so half of the movement must have taken half of the time.

use realfft::num_complex::Complex32;

/// Which bins of a path's spectrum are looked at, of those of 8,192 samples at 16 kHz: 20 Hz apart, from 200 to 4,000 Hz.
const STEP: usize = 10;
const LOWEST: usize = 100;
const HIGHEST: usize = 2_050;
/// Of a bin, for a movement by one sample: radians.
const ANGLE: f32 = std::f32::consts::TAU / super::batch::CIRCULANT as f32;
/// How far a path is thought to have moved at most between two solutions, in samples at 16 kHz.
const MOVED_MAX: f32 = 6.0;
/// Steps in which that is looked for: a quarter of a sample.
const STEPS: i32 = 24;
/// How alike two paths must be, one of them moved: correlation.
const ALIKE: f32 = 0.7;
/// How well both halves of a movement must agree, as a share of the whole.
const AGREE: f32 = 0.25;
/// Paths that are compared with the first one; then a new one is the first.
const COMPARED_MAX: usize = 16;
/// Less is not worth a correction.
const PPM_MIN: f32 = 0.5;
/// Largest difference between two cards, in parts in a million.
pub(super) const PPM_MAX: f32 = 1_000.0;

/// Compares the paths of one microphone.
#[derive(Default)]
pub(super) struct ClockEstimator {
    /// The first path, by its spectrum, and to how many samples its place is known.
    first: Vec<Complex32>,
    exact: f32,
    /// When each was, in samples at 16 kHz, and by how many it was later than the first.
    moved: Vec<(f64, f32)>,
}

impl ClockEstimator {
    /// Takes in the spectrum of a path, as it was on average at a time, in samples; returns by how many parts in a million what is played is to
    /// be made longer, where that is known now. Its place is known to `exact` samples: a movement by less is not believed.
    pub(super) fn take(&mut self, spectrum: &[Complex32], at: f64, exact: f32) -> Option<f32> {
        let spectrum: Vec<_> = spectrum.iter().copied().take(HIGHEST).skip(LOWEST).step_by(STEP).collect();
        let now = moved(&self.first, &spectrum).filter(|_| self.moved.len() < COMPARED_MAX);
        let (Some(now), Some((began, _))) = (now, self.moved.first().copied()) else {
            self.first = spectrum;
            (self.exact, self.moved) = (exact, vec![(at, 0.0)]);
            return None;
        };
        self.moved.push((at, now));
        let middle = f64::midpoint(began, at);
        let from_middle = |(at, _): &&(f64, f32)| (at - middle).abs();
        let (half_at, half) = *self.moved.iter().min_by(|a, b| from_middle(a).total_cmp(&from_middle(b)))?;
        let share = ((half_at - began) / (at - began)) as f32;
        let is_steady = (0.25..0.75).contains(&share) && (half - share * now).abs() < AGREE * now.abs();
        let ppm = 1e6 * now / (at - began) as f32;
        if now.abs() < exact.max(self.exact) || !is_steady || !(PPM_MIN..PPM_MAX).contains(&ppm.abs()) {
            return None;
        }
        self.forget();
        Some(ppm)
    }

    /// Whether the last path was elsewhere than the first.
    pub(super) fn is_moving(&self) -> bool {
        self.moved.last().is_some_and(|(_, moved)| moved.abs() >= self.exact)
    }

    /// What was seen before says nothing any more.
    pub(super) fn forget(&mut self) {
        *self = ClockEstimator::default();
    }
}

/// By how many samples the second is the first one later, if it is.
fn moved(first: &[Complex32], second: &[Complex32]) -> Option<f32> {
    let power = |of: &[Complex32]| of.iter().map(|bin| bin.norm_sqr()).sum::<f32>();
    let scale = (power(first) * power(second)).sqrt().max(f32::MIN_POSITIVE);
    let likeness = |moved: f32| -> f32 {
        let bins = first.iter().zip(second).zip((LOWEST..).step_by(STEP));
        let sum: f32 = bins
            .map(|((first, second), bin)| (second * first.conj() * Complex32::cis(ANGLE * bin as f32 * moved)).re)
            .sum();
        sum / scale
    };
    let step = MOVED_MAX / STEPS as f32;
    let likenesses: Vec<f32> = (-STEPS..=STEPS).map(|at| likeness(step * at as f32)).collect();
    let best = (1..likenesses.len() - 1).max_by(|a, b| likenesses[*a].total_cmp(&likenesses[*b]))?;
    let [before, peak, after] = *likenesses.get(best - 1..=best + 1)?.first_chunk::<3>()?;
    if peak < ALIKE {
        return None;
    }
    // The top of the parabola through the three.
    let bend = before - 2.0 * peak + after;
    let aside = if bend < 0.0 { 0.5 * (before - after) / bend } else { 0.0 };
    Some(step * (best as f32 - STEPS as f32 + aside))
}

#[cfg(test)]
mod tests {
    use realfft::RealFftPlanner;

    use super::*;

    fn spectrum(taps: impl Iterator<Item = f32>) -> Vec<Complex32> {
        let fft = RealFftPlanner::new().plan_fft_forward(crate::process::batch::CIRCULANT);
        let (mut time, mut bins) = (fft.make_input_vec(), fft.make_output_vec());
        time.iter_mut().zip(taps).for_each(|(time, tap)| *time = tap);
        fft.process(&mut time, &mut bins).expect("the lengths are its own");
        bins
    }

    /// A tap between samples, and others behind it.
    fn path(delay: f32) -> Vec<Complex32> {
        let sinc =
            |x: f32| if x.abs() < 1e-6 { 1.0 } else { (std::f32::consts::PI * x).sin() / (std::f32::consts::PI * x) };
        let taps = [(0.0, 1.0), (37.3, 0.5), (90.8, -0.3), (400.1, 0.2)];
        spectrum((0..4_000).map(|at| taps.iter().map(|(late, gain)| gain * sinc(at as f32 - delay - late)).sum()))
    }

    #[test]
    fn a_path_that_moves_steadily_is_a_clock_that_differs() {
        for ppm in [-300.0, -20.0, 50.0, 300.0_f32] {
            let mut clock = ClockEstimator::default();
            // A solution each quarter of a second.
            let found = (0..20).find_map(|at| {
                let at = 4_000.0 * at as f32;
                clock.take(&path(600.0 + at * ppm * 1e-6), f64::from(at), 0.1)
            });
            assert!(found.is_some_and(|found| (found - ppm).abs() < 0.05 * ppm.abs()), "{ppm}: {found:?}");
        }
    }

    #[test]
    fn a_path_that_stays_or_moves_once_is_none() {
        let mut clock = ClockEstimator::default();
        for at in 0..40 {
            let delay = if at < 20 { 600.0 } else { 602.5 };
            assert_eq!(clock.take(&path(delay), 4_000.0 * f64::from(at), 0.1), None, "{at}");
        }
    }

    #[test]
    fn another_path_says_nothing() {
        let mut clock = ClockEstimator::default();
        for at in 0..10 {
            let tap = 500 + 379 * at;
            let taps = spectrum((0..4_000).map(|at| if at == tap { 1.0 } else { 0.0 }));
            assert_eq!(clock.take(&taps, 4_000.0 * at as f64, 0.1), None);
        }
    }
}
