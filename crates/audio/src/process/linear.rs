//! The echo's path as a long linear filter, learnt while it is used: the partitioned-block frequency-domain Kalman filter of Kuech,
//! Mabande and Enzner, "State-space architecture of the partitioned-block-based acoustic echo controller" (ICASSP 2014), with the
//! covariance taken as diagonal.
//!
//! How fast it learns follows from what it does not know: where the microphone has more than an echo in it, the near speaker
//! talks, and it holds still. So it needs no detector of double talk. It holds sound back not at all, since it works by
//! overlap-save, and it takes nothing from the near voice, since it only ever subtracts. What it cannot know (a path that
//! changes, a loudspeaker that distorts, an echo later than [`LENGTH_MS`]) is left to the suppressor behind it.
//!
//! It needs ten seconds of speech for what two tell, so beside it the path is solved for ([`BatchEstimator`]). What is found stays as it
//! is, while the filter follows; of the two the better one is subtracted, which is the filter where the path has just changed.
//!
//! Two loudspeakers have a path each. They are learnt as one for what both play and one for what they play differently: mostly that is
//! nothing, and then the second costs nothing and has nothing to forget. Where it is something, a single path would be another one for
//! each voice with a place of its own, and be learnt anew whenever somebody else speaks.

use std::sync::Arc;

use realfft::{ComplexToReal, RealFftPlanner, RealToComplex, num_complex::Complex32};

use super::{
    BLOCK,
    batch::{BatchEstimator, Found, LOW_BLOCK},
};

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

/// From where to where, in bins, a path that was solved for at 16 kHz gives way to the other one: 6.75 to 7.75 kHz.
const LOW_BINS: (usize, usize) = (135, 155);
/// What is not known of a path that was solved for.
const SOLVED: f32 = 1e-4;
/// A path that leaves this many times what another would, for so many blocks, has changed; a little, or wholly where it leaves this share
/// of what came in.
const CHANGED: f32 = 1.5;
const CHANGED_LEFT: f32 = 0.25;
const CHANGED_BLOCKS: usize = 30;

/// Where this many times what came in is left, the path is not the one that is known.
const LOUDER: f32 = 1.2;

type Spectrum = Vec<Complex32>;

pub(super) struct LinearCanceller {
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
    scratch: Spectrum,
    /// Of what both loudspeakers play, and of how they differ.
    references: [Reference; 2],
    batch: Box<BatchEstimator>,
    /// Power of what is no echo, in each bin.
    other: Vec<f32>,
    time: Vec<f32>,
    spectrum: Vec<Complex32>,
    /// Power of what comes in.
    near: f32,
    /// By the path that is followed, and by the one that was solved for, if one was.
    followed: Estimate,
    solved: Estimate,
    is_solved: bool,
    /// For how many blocks that has been far worse than something else, and whether the path has just changed.
    worse: usize,
    has_changed: bool,
}

/// An echo as one path says, and what is left without it.
struct Estimate {
    echo: [f32; BLOCK],
    left: f32,
    /// How much of it was subtracted at the end of the last block.
    weight: f32,
}

impl Estimate {
    const fn new() -> Self {
        Estimate { echo: [0.0; BLOCK], left: 0.0, weight: 0.0 }
    }

    /// Takes in the second half of what a convolution came to, which is the linear one.
    fn hear(&mut self, convolved: &[f32], near: &[f32; BLOCK]) {
        self.echo.iter_mut().zip(convolved.iter().skip(BLOCK)).for_each(|(echo, sample)| *echo = *sample);
        let left = near.iter().zip(&self.echo).map(|(near, echo)| (near - echo).powi(2)).sum::<f32>();
        self.left += LOUDNESS * (left - self.left);
    }

    /// Takes the echo out, from now on to this share.
    fn subtract(&mut self, weight: f32, near: &mut [f32; BLOCK]) {
        let slope = (weight - self.weight) / BLOCK as f32;
        for (near, echo) in near.iter_mut().zip(&self.echo) {
            self.weight += slope;
            *near -= self.weight * echo;
        }
        self.weight = weight;
    }
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
    /// The path that was solved for, of which the lower bins count, if one was.
    solved: Vec<Spectrum>,
    is_solved: bool,
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
            solved: (0..PARTITIONS).map(|_| zeros()).collect(),
            is_solved: false,
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

    /// Adds the echo as a path says.
    fn predict(&self, path: &[Spectrum], sum: &mut [Complex32]) {
        for (played, path) in self.late().zip(path) {
            for ((sum, played), path) in sum.iter_mut().zip(played).zip(path) {
                *sum += played * path;
            }
        }
    }

    /// Lets the path that was solved for be the one that is followed too; `time` and `scratch` are room to work in.
    fn follow_solved(
        &mut self,
        forward: &dyn RealToComplex<f32>,
        inverse: &dyn ComplexToReal<f32>,
        time: &mut [f32],
        scratch: &mut [Complex32],
    ) {
        for ((path, solved), unknown) in self.path.iter_mut().zip(&self.solved).zip(&mut self.unknown) {
            for (bin, ((path, solved), unknown)) in path.iter_mut().zip(solved).zip(unknown).enumerate() {
                let share = low(bin);
                *path += share * (solved - *path);
                if share > 0.5 {
                    *unknown = unknown.min(SOLVED);
                }
            }
            // A filter of ten milliseconds has no second half, whatever is done to its spectrum.
            back(inverse, path, time, scratch);
            time.iter_mut().skip(BLOCK).for_each(|sample| *sample = 0.0);
            transform(forward, time, path, scratch);
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
            batch: Box::new(BatchEstimator::new()),
            other: vec![0.0; BINS],
            time: vec![0.0; FFT],
            spectrum: vec![Complex32::default(); BINS],
            near: 0.0,
            followed: Estimate::new(),
            solved: Estimate::new(),
            is_solved: false,
            worse: 0,
            has_changed: false,
        }
    }

    /// Takes the echo of what has been played up to and with `far`, left and right, out of `near`; returns the echo.
    pub(super) fn process(&mut self, far: &[[f32; BLOCK]; 2], near: &mut [f32; BLOCK]) -> [f32; BLOCK] {
        let came = *near;
        let played = self.push_played(far);
        self.near += LOUDNESS * (came.iter().map(|s| s * s).sum::<f32>() - self.near);
        self.predict(&came);
        let (first, second) = self.time.split_at_mut(BLOCK);
        first.fill(0.0);
        let left = second.iter_mut().zip(came.iter().zip(&self.followed.echo));
        left.for_each(|(left, (near, echo))| *left = near - echo);
        transform(&*self.forward, &mut self.time, &mut self.spectrum, &mut self.scratch);
        self.learn();
        // All of the echo is to be subtracted, unless that makes it louder: then the path is wrong, and what came in goes out.
        let is_solved_better = self.is_solved && self.solved.left <= self.followed.left;
        let weight = if self.left() > self.near { 0.0 } else { 1.0 };
        let (solved, followed) = if is_solved_better { (weight, 0.0) } else { (0.0, weight) };
        self.solved.subtract(solved, near);
        self.followed.subtract(followed, near);
        let echo = if is_solved_better { self.solved.echo } else { self.followed.echo };
        self.look_for_change();
        let [both, differ] = &played;
        if let Some(found) = self.batch.process([both, differ], &came, near) {
            self.take(&found);
        }
        echo
    }

    /// Power of what is left by the better path.
    fn left(&self) -> f32 {
        if self.is_solved { self.solved.left.min(self.followed.left) } else { self.followed.left }
    }

    /// Whether nearly all that came in lately was an echo.
    pub(super) fn is_only_echo(&self) -> bool {
        self.left() < ONLY_ECHO * self.near
    }

    /// Whether the path is another one than is known: what is known of it makes what came in louder, which no voice here can bring about.
    pub(super) fn is_lost(&self) -> bool {
        self.has_changed || self.left() > LOUDER * self.near
    }

    /// Whether something is played of whose echo nothing is known yet.
    pub(super) fn is_unknown(&self) -> bool {
        self.batch.is_unknown()
    }

    /// By how many parts in a million what is played is to be made longer from now on to keep step with what comes in, if that is seen just
    /// now.
    pub(super) fn take_ppm(&mut self) -> Option<f32> {
        self.batch.take_ppm()
    }

    fn look_for_change(&mut self) {
        let is_worse = self.is_solved && self.solved.left > CHANGED * self.followed.left.min(self.near);
        self.worse = if is_worse { self.worse + 1 } else { 0 };
        self.has_changed = false;
        if self.worse < CHANGED_BLOCKS {
            return;
        }
        self.worse = 0;
        if self.solved.left <= CHANGED_LEFT * self.near {
            // A little, or the filter that follows has become better.
            self.batch.hurry();
            return;
        }
        (self.is_solved, self.has_changed) = (false, true);
        for reference in &mut self.references {
            reference.is_solved = false;
        }
        self.batch.forget(CHANGED_BLOCKS);
    }

    /// Takes over a path that was solved for.
    fn take(&mut self, found: &Found) {
        // Of two paths only what both make of the voices so far is known.
        let is_certain = found.is_much_better && found.taps.iter().any(Vec::is_empty);
        for (reference, taps) in self.references.iter_mut().zip(&found.taps) {
            if taps.is_empty() {
                // Nothing of it was played, so that nothing better is known.
                continue;
            }
            reference.is_solved = true;
            for (at, partition) in reference.solved.iter_mut().enumerate() {
                self.time.fill(0.0);
                // With silence between, its lower bins are those of the same at 48 kHz.
                let taps = taps.iter().skip(at * LOW_BLOCK).take(LOW_BLOCK);
                self.time.iter_mut().step_by(BLOCK / LOW_BLOCK).zip(taps).for_each(|(time, tap)| *time = *tap);
                transform(&*self.forward, &mut self.time, partition, &mut self.scratch);
            }
            if is_certain {
                reference.follow_solved(&*self.forward, &*self.inverse, &mut self.time, &mut self.scratch);
            }
        }
        // It is better than what is in use, so it begins with that.
        self.solved.left = self.left().min(self.near);
        (self.is_solved, self.worse) = (true, 0);
    }

    /// Returns what both loudspeakers play, and how they differ.
    fn push_played(&mut self, [left, right]: &[[f32; BLOCK]; 2]) -> [[f32; BLOCK]; 2] {
        let (mut both, mut differ) = (*left, *left);
        for ((both, differ), right) in both.iter_mut().zip(&mut differ).zip(right) {
            (*both, *differ) = ((*both + right) / 2.0, (*differ - right) / 2.0);
        }
        for (reference, block) in self.references.iter_mut().zip([&both, &differ]) {
            reference.push(block, &*self.forward, &mut self.time, &mut self.scratch);
        }
        [both, differ]
    }

    /// Asks the paths for the echo in what came in.
    fn predict(&mut self, near: &[f32; BLOCK]) {
        let mut followed = vec![Complex32::default(); BINS];
        self.spectrum.fill(Complex32::default());
        for reference in self.references.iter().filter(|reference| reference.sounds > 0) {
            reference.predict(&reference.path, &mut followed);
            if self.is_solved {
                let path = if reference.is_solved { &reference.solved } else { &reference.path };
                reference.predict(path, &mut self.spectrum);
            }
        }
        if self.is_solved {
            for (bin, (solved, followed)) in self.spectrum.iter_mut().zip(&followed).enumerate() {
                *solved = followed + low(bin) * (*solved - followed);
            }
            back(&*self.inverse, &mut self.spectrum, &mut self.time, &mut self.scratch);
            self.solved.hear(&self.time, near);
        }
        back(&*self.inverse, &mut followed, &mut self.time, &mut self.scratch);
        self.followed.hear(&self.time, near);
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

/// How much of a path that was solved for counts at a bin.
fn low(bin: usize) -> f32 {
    let (from, to) = LOW_BINS;
    (to.saturating_sub(bin) as f32 / (to - from) as f32).min(1.0)
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
