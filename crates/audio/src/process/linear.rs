//! The echo's path as a long linear filter, learnt while it is used: the partitioned-block frequency-domain Kalman filter of Kuech,
//! Mabande and Enzner, "State-space architecture of the partitioned-block-based acoustic echo controller" (ICASSP 2014), with the
//! covariance taken as diagonal.
//!
//! How fast it learns follows from what it does not know: where the microphone has more than an echo in it, the near speaker
//! talks, and it holds still. So it needs no detector of double talk. It holds sound back not at all, since it works by
//! overlap-save, and it takes nothing from the near voice, since it only ever subtracts. What it cannot know (a path that
//! changes, a loudspeaker that distorts, an echo later than [`LENGTH_MS`]) is left to the suppressor behind it.
//!
//! Two loudspeakers have a path each. They are learnt as one for what both play and one for what they play differently: mostly that is
//! nothing, and then the second costs nothing and has nothing to forget. Where it is something, a single path would be another one for
//! each voice with a place of its own, and be learnt anew whenever somebody else speaks.

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
    /// Of what both loudspeakers play, and of how they differ.
    references: [Reference; 2],
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

/// A signal that is played, and its path to the microphone.
struct Reference {
    /// Spectra of what was played, the newest first at `newest`.
    played: Vec<Spectrum>,
    newest: usize,
    last_played: [f32; BLOCK],
    /// Blocks for which something of it is still among `played`.
    sounds: usize,
    path: Vec<Spectrum>,
    /// Variance of what is not known of each bin of the path.
    unknown: Vec<Vec<f32>>,
}

impl Reference {
    fn new() -> Self {
        let zeros = || vec![Complex32::default(); BINS];
        Reference {
            played: (0..PARTITIONS).map(|_| zeros()).collect(),
            newest: 0,
            last_played: [0.0; BLOCK],
            sounds: 0,
            path: (0..PARTITIONS).map(|_| zeros()).collect(),
            unknown: vec![vec![UNKNOWN; BINS]; PARTITIONS],
        }
    }

    /// Takes in the newest block; `time` and `scratch` are room to work in.
    fn push(
        &mut self,
        block: &[f32; BLOCK],
        fft: &dyn RealToComplex<f32>,
        time: &mut [f32],
        scratch: &mut [Complex32],
    ) {
        let silent = block.iter().all(|sample| *sample == 0.0);
        // One more than there are partitions, since a block is half of two spectra.
        self.sounds = if silent { self.sounds.saturating_sub(1) } else { PARTITIONS + 1 };
        if self.sounds == 0 {
            self.last_played = *block;
            return;
        }
        self.newest = (self.newest + PARTITIONS - 1) % PARTITIONS;
        let (first, second) = time.split_at_mut(BLOCK);
        first.copy_from_slice(&self.last_played);
        second.copy_from_slice(block);
        self.last_played = *block;
        if let Some(newest) = self.played.get_mut(self.newest) {
            transform(fft, time, newest, scratch);
        }
    }

    /// What was played so long ago as each partition of the path is late.
    fn late(&self) -> impl Iterator<Item = &Spectrum> {
        self.played.iter().cycle().skip(self.newest).take(PARTITIONS)
    }

    /// Adds the echo as the path says.
    fn predict(&self, sum: &mut [Complex32]) {
        for (played, path) in self.late().zip(&self.path) {
            for ((sum, played), path) in sum.iter_mut().zip(played).zip(path) {
                *sum += played * path;
            }
        }
    }

    /// Adds the power that is not known of the echo.
    fn uncertainty(&self, total: &mut [f32]) {
        for (played, unknown) in self.late().zip(&self.unknown) {
            for ((total, played), unknown) in total.iter_mut().zip(played).zip(unknown) {
                *total += 0.5 * played.norm_sqr() * unknown;
            }
        }
    }
}

impl LinearCanceller {
    pub(super) fn new() -> Self {
        let mut planner = RealFftPlanner::new();
        let (forward, inverse) = (planner.plan_fft_forward(FFT), planner.plan_fft_inverse(FFT));
        let scratch = vec![Complex32::default(); forward.get_scratch_len().max(inverse.get_scratch_len())];
        LinearCanceller {
            forward,
            inverse,
            scratch,
            references: [Reference::new(), Reference::new()],
            other: vec![0.0; BINS],
            time: vec![0.0; FFT],
            spectrum: vec![Complex32::default(); BINS],
            near: 0.0,
            left: 0.0,
            weight: 0.0,
        }
    }

    /// Takes the echo of what has been played up to and with `far`, left and right, out of `near`; returns the echo.
    pub(super) fn process(&mut self, far: &[[f32; BLOCK]; 2], near: &mut [f32; BLOCK]) -> [f32; BLOCK] {
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

    fn push_played(&mut self, [left, right]: &[[f32; BLOCK]; 2]) {
        let (mut both, mut differ) = (*left, *left);
        for ((both, differ), right) in both.iter_mut().zip(&mut differ).zip(right) {
            (*both, *differ) = ((*both + right) / 2.0, (*differ - right) / 2.0);
        }
        for (reference, block) in self.references.iter_mut().zip([&both, &differ]) {
            reference.push(block, &*self.forward, &mut self.time, &mut self.scratch);
        }
    }

    /// Fills `time` with the echo as the paths say.
    fn predict(&mut self) {
        self.spectrum.fill(Complex32::default());
        for reference in self.references.iter().filter(|reference| reference.sounds > 0) {
            reference.predict(&mut self.spectrum);
        }
        back(&*self.inverse, &mut self.spectrum, &mut self.time, &mut self.scratch);
    }

    /// Moves the paths towards what `spectrum`, the remainder, says that they lacked.
    fn learn(&mut self) {
        let mut total = vec![0.0_f32; BINS];
        for reference in self.references.iter().filter(|reference| reference.sounds > 0) {
            reference.uncertainty(&mut total);
        }
        for ((total, other), left) in total.iter_mut().zip(&mut self.other).zip(&self.spectrum) {
            // What is left is what is not known of the echo, and what is no echo.
            let left = left.norm_sqr();
            *other += NEWEST * ((left - *total).max(OTHER_MIN * left) - *other);
            *total += *other + NOTHING;
        }
        let mut step = vec![Complex32::default(); BINS];
        for reference in self.references.iter_mut().filter(|reference| reference.sounds > 0) {
            let Reference { played, newest, path, unknown, .. } = reference;
            let late = played.iter().cycle().skip(*newest).take(PARTITIONS);
            for ((played, path), unknown) in late.zip(path).zip(unknown) {
                steps(played, &self.spectrum, &total, (path.as_slice(), unknown.as_mut_slice()), &mut step);
                // A filter of ten milliseconds has no second half.
                back(&*self.inverse, &mut step, &mut self.time, &mut self.scratch);
                self.time.iter_mut().skip(BLOCK).for_each(|sample| *sample = 0.0);
                transform(&*self.forward, &mut self.time, &mut step, &mut self.scratch);
                path.iter_mut().zip(&step).for_each(|(path, step)| *path += step);
            }
        }
    }
}

/// By how much each bin of one partition's path is to move, and what is not known of it then.
fn steps(
    played: &[Complex32],
    remainder: &[Complex32],
    total: &[f32],
    (path, unknown): (&[Complex32], &mut [f32]),
    step: &mut [Complex32],
) {
    let known = played.iter().zip(remainder).zip(total).zip(path);
    for ((((played, remainder), total), path), (unknown, step)) in known.zip(unknown.iter_mut().zip(step)) {
        let gain = *unknown / total;
        *step = played.conj() * remainder * gain;
        let learnt = (1.0 - 0.5 * gain * played.norm_sqr()).max(0.0);
        *unknown = SAME * SAME * learnt * *unknown + (1.0 - SAME * SAME) * path.norm_sqr();
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
            canceller.process(&[far; 2], &mut block);
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
            canceller.process(&[far; 2], &mut block);
            assert!(power(&block) < 1.3 * power(&voice), "{} of {}", power(&block), power(&voice));
        }
    }

    /// Two voices by turns, each louder on its own side; what is left of their echo in each block, in dB.
    fn left_of_two_db(blocks: usize, turn: usize) -> Vec<f32> {
        let (mut canceller, mut state) = (LinearCanceller::new(), 1);
        let mut played = [vec![0.0; 900], vec![0.0; 900]];
        let mut left = Vec::new();
        for at in 0..blocks {
            let gains = if (at / turn).is_multiple_of(2) { [1.0, 0.3] } else { [0.3, 1.0] };
            let voice: [f32; BLOCK] = std::array::from_fn(|_| 0.1 * noise(&mut state));
            let far = gains.map(|gain| voice.map(|sample| gain * sample));
            played.iter_mut().zip(far).for_each(|(played, far)| played.extend(far));
            // The microphone is nearer to the left.
            let echo: [f32; BLOCK] =
                std::array::from_fn(|i| 0.5 * played[0][at * BLOCK + i + 200] - 0.3 * played[1][at * BLOCK + i]);
            let mut block = echo;
            canceller.process(&far, &mut block);
            left.push(10.0 * (power(&block) / power(&echo).max(1e-9)).log10());
        }
        left
    }

    #[test]
    fn voices_at_different_places_are_learnt_once_and_not_at_each_turn() {
        let left = left_of_two_db(1_000, 50);
        // The first blocks of turns, when each voice has had its share.
        let starts: Vec<f32> = (600..1_000).step_by(50).flat_map(|at| left[at..at + 10].to_vec()).collect();
        let mean = starts.iter().sum::<f32>() / starts.len() as f32;
        assert!(mean < -20.0, "{mean} dB");
    }

    #[test]
    fn what_both_loudspeakers_play_alike_needs_one_path() {
        let mut canceller = LinearCanceller::new();
        let mut state = 1;
        for _ in 0..10 {
            let far: [f32; BLOCK] = std::array::from_fn(|_| 0.1 * noise(&mut state));
            canceller.process(&[far; 2], &mut [0.0; BLOCK]);
        }
        assert_eq!(canceller.references.each_ref().map(|reference| reference.sounds > 0), [true, false]);
    }
}
