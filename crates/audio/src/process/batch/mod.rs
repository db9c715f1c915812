//! The echo's path by weighted least squares over the last half to three seconds, solved a little in each block.
//!
//! A filter that learns block by block needs some ten seconds of speech to know a path well, because speech excites few frequencies at a time. Solved
//! for at once, the same seconds tell far more: of half a second 20 dB of the echo are known, of three 40. The normal equations of 4,000
//! taps are solved by conjugate gradients (Hestenes and Stiefel, 1952) that need their matrix only as a convolution, by FFT, with a
//! circulant in front (Chan, "An optimal circulant preconditioner for Toeplitz systems", 1988). Blocks are weighted by how little was left
//! of them the last time, again and again, so that those in which somebody speaks here count for little (iteratively reweighted
//! least squares: Holland and Welsch, 1977). What does not follow from them stays as it was known, which keeps noise from making up a path, and
//! one voice at one place from undoing what another taught of the same two loudspeakers.
//!
//! All of it is at 16 kHz, where nearly all of a voice is. A path is worth something only if it does better on what came after
//! the seconds that it was solved from.

mod kept;
mod solution;
#[cfg(test)]
mod tests;

use realfft::RealFftPlanner;

use self::{
    kept::{Decimator, Kept},
    solution::{Plan, Solution},
};
use super::{BLOCK, clock::ClockEstimator};

const DECIMATION: usize = 3;
/// Samples of 10 ms at 16 kHz.
pub(super) const LOW_BLOCK: usize = BLOCK / DECIMATION;
/// Blocks that a path is long, as the filter that follows it.
const PATH_BLOCKS: usize = super::linear::LENGTH_MS / 10;
/// Taps of a path.
const TAPS: usize = PATH_BLOCKS * LOW_BLOCK;
/// Lengths of the convolutions that paths are solved by: 0.5, 1.3 and 2.8 s, and the path.
const LENGTHS: [usize; 3] = [12_288, 24_576, 49_152];
/// How far a path must have moved for the clocks to be thought to differ, in samples: what it is known to after so long is less.
const MOVED: [f32; 3] = [0.6, 0.4, 0.1];
/// How long a path is judged at most, in blocks: what fits into the second of them.
const JUDGED_MAX: usize = window_blocks(LENGTHS[1]);
/// Short windows between two long ones; of two paths one.
const SHORTS: usize = 4;
/// A solution is not hurried sooner after the last one was judged.
const HURRY_BLOCKS: usize = 100;
/// Blocks in which something is played after which it is known that there is no echo, if none is.
const UNKNOWN_MAX: usize = 150;
/// Weight of a block in what comes in and is left lately: 0.2 s.
const LATELY: f32 = 0.05;
/// Much is left where this share is: 10 dB.
const POOR: f32 = 0.1;
/// Power of a sample below which nothing is played: -70 dBFS.
const SOUND: f32 = 1e-7;
/// Blocks with an echo that a path must have been judged by.
const JUDGED_MIN: usize = 20;
/// Blocks after which a silent microphone is looked at again.
const SILENT_BLOCKS: usize = 20;
/// Blocks that are kept at most: the longest window, the path before it, what comes while it is solved, and what goes at a time.
const KEPT_MAX: usize = 640;
/// Samples of FFTs in a block: two of the longest, 1 to 2 ms of a core, and with two paths three and more.
const BUDGET: usize = LENGTHS[2];
/// Length of the circulant.
pub(super) const CIRCULANT: usize = 8_192;
/// Power of a sample that counts as nothing: that of the last bit of 16.
const NOTHING: f64 = 1e-9;
/// How much better a path must be in the mean of blocks, in dB; from where on it was worth the work; and from where on it is much better.
const BETTER_DB: f64 = 0.5;
const WORTH_DB: f64 = 1.0;
const MUCH_BETTER_DB: f64 = 3.0;
/// Blocks between two solutions once there is enough for the longest window: 3 s, and where they bring less than 1 dB up to 12.
const PAUSE: (usize, usize) = (300, 1_200);
/// Clocks that differ by no more may be solved over.
const SAME_PPM: f32 = 20.0;

/// A path that was found to be better than the one in use.
pub(super) struct Found {
    /// Taps at 16 kHz, for what both loudspeakers play and for how they differ; the second is empty where they do not.
    pub(super) taps: [Vec<f32>; 2],
    /// Whether it is so much better that nothing else is worth keeping.
    pub(super) is_much_better: bool,
}

pub(super) struct BatchEstimator {
    low: [Decimator; 4],
    kept: Kept,
    plans: Vec<Plan>,
    circulant: Plan,
    solution: Solution,
    /// Paths of windows of one length are compared: longer ones are blurred where clocks differ.
    clocks: [ClockEstimator; LENGTHS.len()],
    /// By how many parts in a million what is played is too short, as far as is known.
    ppm: Option<f32>,
    /// What is being solved for, or solved and not judged yet.
    job: Option<Job>,
    /// Blocks since the path has been what it is, as far as is known, and whether the next solution of two paths reaches back beyond that.
    age: usize,
    reaches_back: bool,
    /// Power of what came in and of what was left of it, about the last 0.2 s in which something was played.
    power: (f32, f32),
    /// How many short windows in a row were tried where long ones brought nothing.
    shorts: usize,
    /// Whether the last path did no better than what was in use, and whether any was ever judged.
    is_rejected: bool,
    has_judged: bool,
    /// Blocks in which something was played, since the path has been what it is and ever; and blocks since a path was judged.
    heard: usize,
    heard_ever: usize,
    judged: usize,
    /// Blocks until the next solution, and how many there are between two.
    wait: usize,
    pause: usize,
}

/// Which blocks a solution is for.
#[derive(Clone, Copy)]
struct Job {
    /// Of `LENGTHS`.
    size: usize,
    /// First block and the one after the last.
    from: usize,
    to: usize,
    credit: usize,
    is_solved: bool,
}

impl BatchEstimator {
    pub(super) fn new() -> Self {
        let mut planner = RealFftPlanner::new();
        BatchEstimator {
            low: std::array::from_fn(|_| Decimator::new()),
            kept: Kept::new(),
            plans: LENGTHS.iter().map(|length| Plan::new(&mut planner, *length)).collect(),
            circulant: Plan::new(&mut planner, CIRCULANT),
            solution: Solution::new(),
            clocks: Default::default(),
            power: (0.0, 0.0),
            is_rejected: false,
            shorts: 0,
            has_judged: false,
            heard: 0,
            heard_ever: 0,
            judged: 0,
            ppm: None,
            job: None,
            age: 0,
            reaches_back: false,
            wait: 0,
            pause: PAUSE.0,
        }
    }

    /// Takes in a block of what is played, of what came in, and of what is left of that now; returns a better path if one is found.
    pub(super) fn process(
        &mut self,
        played: [&[f32; BLOCK]; 2],
        near: &[f32; BLOCK],
        left: &[f32; BLOCK],
    ) -> Option<Found> {
        let [both, differ, near_low, left_low] = &mut self.low;
        let played = [both.process(played[0]), differ.process(played[1])];
        let (near, left) = (near_low.process(near), mean_square(&left_low.process(left)));
        self.kept.push(&played, &near, left);
        if mean_square(&played[0]) > SOUND {
            self.heard += 1;
            self.heard_ever += 1;
            self.power.0 += LATELY * (mean_square(&near) - self.power.0);
            self.power.1 += LATELY * (left - self.power.1);
        }
        self.age += 1;
        self.judged += 1;
        self.wait = self.wait.saturating_sub(1);
        let Some(mut job) = self.job else {
            self.begin();
            return None;
        };
        if job.is_solved {
            return self.judge(job);
        }
        let plan = self.plans.get_mut(job.size)?;
        job.credit += BUDGET;
        while job.credit >= plan.length && !job.is_solved {
            job.credit -= plan.length;
            job.is_solved = self.solution.half_step(plan, &mut self.circulant);
        }
        self.job = Some(job);
        None
    }

    /// Whether something is played of whose echo nothing is known yet, not even that there is none.
    pub(super) fn is_unknown(&self) -> bool {
        let now = self.kept.blocks();
        !self.has_judged && self.heard_ever < UNKNOWN_MAX && self.kept.sounding(now - PATH_BLOCKS, now) > 0
    }

    /// There is reason to solve again soon.
    pub(super) fn hurry(&mut self) {
        if self.judged >= HURRY_BLOCKS {
            (self.wait, self.pause) = (0, PAUSE.0);
        }
    }

    /// The path has been another one for so many blocks: what came in before says nothing of it. Of two paths it may say something: where it is
    /// another voice at another place that makes them seem wrong, only both voices together tell what they are.
    pub(super) fn forget(&mut self, age: usize) {
        (self.wait, self.pause) = (0, PAUSE.0);
        (self.job, self.age, self.heard, self.reaches_back) = (None, age, age, false);
        if self.solution.used == 1 {
            self.solution.forget();
        }
    }

    /// By how many parts in a million what is played is to be made longer from now on to keep step with what comes in, if that is seen just
    /// now.
    pub(super) fn take_ppm(&mut self) -> Option<f32> {
        let ppm = self.ppm.take()?;
        if ppm.abs() > SAME_PPM {
            // What came before was out of step.
            (self.wait, self.pause) = (0, PAUSE.0);
            (self.job, self.age, self.heard) = (None, 0, 0);
        }
        Some(ppm)
    }

    /// Whether much is left of what comes in while something is played.
    fn is_poor(&self) -> bool {
        self.power.1 > POOR * self.power.0
    }

    fn begin(&mut self) {
        let to = self.kept.blocks();
        if self.solution.used == 1 && self.wait > 0 && self.kept.sides_differ(to - 1, to) {
            // A second path, of which nothing is known.
            self.hurry();
        }
        if self.wait > 0 {
            return;
        }
        let reach = if self.reaches_back { to - PATH_BLOCKS } else { self.age };
        // The longest window that there is, if something was played in at least half of it.
        let fits = |length: usize| {
            let blocks = window_blocks(length);
            blocks <= reach && 2 * self.kept.sounding(to.saturating_sub(blocks), to) >= blocks
        };
        let Some(mut size) = LENGTHS.iter().rposition(|length| fits(*length)) else { return };
        // Where long windows bring nothing, somebody may speak here, or the path may be moving: some short ones are tried in between, which
        // are soon enough after each other for their paths to be compared.
        let shorts_max = if self.solution.used == 1 { SHORTS } else { 1 };
        let is_wanting = size > 0 && self.is_poor() && (self.is_rejected || self.shorts > 0);
        self.shorts = if is_wanting && self.shorts < shorts_max { self.shorts + 1 } else { 0 };
        if self.shorts > 0 {
            size = 0;
        }
        let (Some(plan), Some(length)) = (self.plans.get_mut(size), LENGTHS.get(size)) else { return };
        let from = to - window_blocks(*length);
        if self.solution.begin(plan, &self.kept, (from, to), self.shorts > 0) {
            self.job = Some(Job { size, from, to, credit: 0, is_solved: false });
        } else {
            self.wait = SILENT_BLOCKS;
        }
        self.reaches_back = self.solution.used > 1 && !self.reaches_back;
    }

    /// Whether the path does better than the one in use on the echo that has come in since. Where there was little of one, it waits.
    fn judge(&mut self, job: Job) -> Option<Found> {
        let now = self.kept.blocks();
        let from = job.to.max(now.saturating_sub(JUDGED_MAX));
        let echoes: Vec<bool> =
            (from..now).map(|at| self.kept.sounding(at.saturating_sub(PATH_BLOCKS), at + 1) > 0).collect();
        if echoes.iter().filter(|echo| **echo).count() < JUDGED_MIN {
            return None;
        }
        (self.job, self.has_judged, self.judged) = (None, true, 0);
        let plan = self.plans.get_mut(1)?;
        let lefts = self.solution.lefts(plan, &self.kept, from, now);
        let gains: Vec<f64> = lefts
            .iter()
            .zip(self.kept.lefts(from, now))
            .zip(echoes)
            .filter(|(_, echo)| *echo)
            .map(|((new, old), _)| 10.0 * ((new + NOTHING) / (f64::from(*old) + NOTHING)).log10())
            .collect();
        let gain_db = gains.iter().sum::<f64>() / gains.len().max(1) as f64;
        // What is out of step does badly on what comes later, and says by how much it is.
        let (clock, moved) = (self.clocks.get_mut(job.size)?, MOVED.get(job.size).copied()?);
        if self.solution.fits() {
            let at = (self.solution.middle() + job.from as f64) * LOW_BLOCK as f64;
            self.circulant.transform(0, self.solution.path().iter().copied());
            self.ppm = clock.take(&self.circulant.spectrum, at, moved);
        }
        let is_moving = clock.is_moving();
        if self.ppm.is_some() {
            self.clocks = Default::default();
        }
        self.is_rejected = gain_db.is_nan() || gain_db > -BETTER_DB;
        if job.size + 1 == LENGTHS.len() {
            let is_better = gain_db < -WORTH_DB;
            let is_wanting = self.is_rejected && self.is_poor();
            self.pause = if is_better || is_moving || is_wanting { PAUSE.0 } else { (2 * self.pause).min(PAUSE.1) };
            self.wait = self.pause.saturating_sub(now - job.to);
        } else if self.heard > PAUSE.0 && self.shorts == 0 {
            // Too little is played for the longest.
            self.wait = PAUSE.0;
        }
        tracing::trace!(gain_db, blocks = job.to - job.from, "a path was solved for");
        if self.is_rejected {
            return None;
        }
        self.solution.keep();
        Some(Found { taps: self.solution.taps(), is_much_better: gain_db < -MUCH_BETTER_DB })
    }
}

/// Blocks whose echo a convolution of this length gives.
const fn window_blocks(length: usize) -> usize {
    length / LOW_BLOCK - PATH_BLOCKS
}

fn mean_square(samples: &[f32]) -> f32 {
    samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len() as f32
}
