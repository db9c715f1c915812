//! Takes out of the microphone what the speakers play, in two steps: a linear filter that leaves the near voice alone
//! ([`LinearCanceller`]), and behind it a suppressor for what is left ([`ResidualSuppressor`]).
//!
//! WebRTC's AEC3, by `sonora`, was measured in the same scene: where both speak, its linear filter takes out 15 dB after half a
//! minute, and its suppressor takes so much of the near voice that PESQ falls from 1.5 to 1.3 with an echo 10 dB below the voice.
//!
//! What is played comes from another thread than what is heard, on another device's clock. It waits here in a short queue, from
//! which each block of the microphone takes one. Where the queue is empty the block has come too late: silence takes its place and
//! it is thrown away when it comes, so that every other one keeps its place and the path stays the same. Only where that happens again
//! and again the queue is let grow; where it never gets short, the oldest are dropped, or an echo would be here before its cause.

use std::collections::VecDeque;

use rubato::{
    Adjustable, Async, FixedAsync, Indexing, PolynomialDegree, Resampler, audioadapter_buffers::direct::SequentialSlice,
};

use super::{BLOCK, clock::PPM_MAX, linear::LinearCanceller, residual::ResidualSuppressor};

/// More samples than resampling holds back.
const HELD_BACK: usize = 8;
/// Room for what a block becomes.
const ROOM: usize = BLOCK + 16;

/// Half a second of waiting blocks; more means that nobody takes them, and the oldest goes.
const WAITING_MAX: usize = 50;
/// How often the queue is looked at, in blocks: two seconds.
const LOOK_BLOCKS: u32 = 200;
/// Blocks that may wait at all times: threads take turns.
const CUSHION: usize = 2;
/// Blocks that may come too late between two looks.
const LATE_MAX: u32 = 2;

pub(super) struct Echo {
    linear: LinearCanceller,
    suppressor: ResidualSuppressor,
    in_step: InStep,
    /// Left and right.
    waiting: VecDeque<[[f32; BLOCK]; 2]>,
    /// Blocks that silence took the place of, still to come.
    owed: usize,
    /// The shortest that the queue was since it was looked at, how many came too late since, and how long ago that was.
    shortest: usize,
    late: u32,
    looked: u32,
}

impl Echo {
    pub(super) fn new() -> Self {
        Echo {
            linear: LinearCanceller::new(),
            suppressor: ResidualSuppressor::new(),
            in_step: InStep::new(),
            waiting: VecDeque::with_capacity(WAITING_MAX),
            owed: 0,
            shortest: WAITING_MAX,
            late: 0,
            looked: 0,
        }
    }

    /// Takes 10 ms that are played, left and right.
    pub(super) fn far_end(&mut self, pair: &[[f32; BLOCK]; 2]) {
        self.in_step.push(pair);
        while let Some(pair) = self.in_step.pop() {
            self.wait(&pair);
        }
    }

    fn wait(&mut self, pair: &[[f32; BLOCK]; 2]) {
        if self.owed > 0 {
            self.owed -= 1;
            return;
        }
        if self.waiting.len() >= WAITING_MAX {
            self.waiting.pop_front();
        }
        self.waiting.push_back(*pair);
    }

    /// Takes the echo out of 10 ms; returns whether there was nothing but an echo in it.
    pub(super) fn near_end(&mut self, block: &mut [f32; BLOCK]) -> bool {
        let played = self.waiting.pop_front().unwrap_or_else(|| {
            self.owed += 1;
            self.late += 1;
            [[0.0; BLOCK]; 2]
        });
        self.keep_short();
        let echo = self.linear.process(&played, block);
        if let Some(ppm) = self.linear.take_ppm() {
            self.in_step.turn(ppm);
        }
        if self.linear.is_lost() {
            self.suppressor.forget();
        }
        self.suppressor.process(&echo, block);
        self.linear.is_only_echo()
    }

    /// Whether something is played whose echo nothing is known of, not even that there is none: in the first second.
    pub(super) fn is_unknown(&self) -> bool {
        self.linear.is_unknown()
    }

    fn keep_short(&mut self) {
        self.shortest = self.shortest.min(self.waiting.len());
        self.looked += 1;
        if self.late > LATE_MAX {
            // They are not thrown away then: the queue is longer from now on, and the path begins sooner.
            (self.owed, self.late) = (0, 0);
        }
        if self.looked >= LOOK_BLOCKS {
            self.waiting.drain(..self.shortest.saturating_sub(CUSHION));
            (self.shortest, self.late, self.looked) = (WAITING_MAX, 0, 0);
        }
    }
}

/// What is played, resampled from the loudspeakers' clock to the microphone's.
struct InStep {
    resampler: Option<Async<f32>>,
    ppm: f32,
    ready: [Vec<f32>; 2],
}

impl InStep {
    fn new() -> Self {
        let most = 1.0 + 2.0 * f64::from(PPM_MAX) / 1e6;
        // Polynomials of eight points, as for voices; a failure of the library would cost the correction.
        let resampler = Async::new_poly(1.0, most, PolynomialDegree::Septic, BLOCK, 2, FixedAsync::Input).ok();
        // The filter holds back a few samples; with more than that before them blocks go out as they come in.
        InStep { resampler, ppm: 0.0, ready: [vec![0.0; HELD_BACK], vec![0.0; HELD_BACK]] }
    }

    /// Makes what is played from now on longer by so much.
    fn turn(&mut self, ppm: f32) {
        self.ppm = (self.ppm + ppm).clamp(-PPM_MAX, PPM_MAX);
        tracing::debug!(ppm = self.ppm, "the microphone's clock and the loudspeakers' differ");
        if let Some(resampler) = &mut self.resampler {
            let _ = resampler.set_resample_ratio_relative(1.0 + f64::from(self.ppm) / 1e6, true);
        }
    }

    fn push(&mut self, pair: &[[f32; BLOCK]; 2]) {
        let mut out = [0.0; 2 * ROOM];
        let made = self.resampler.as_mut().and_then(|resampler| {
            let input = SequentialSlice::new(pair.as_flattened(), 2, BLOCK).ok()?;
            let mut output = SequentialSlice::new_mut(&mut out, 2, ROOM).ok()?;
            resampler.process_into_buffer(&input, &mut output, Some(&Indexing::new())).ok()
        });
        let (left, right) = out.split_at(ROOM);
        for ((ready, resampled), as_it_came) in self.ready.iter_mut().zip([left, right]).zip(pair) {
            ready.extend_from_slice(made.and_then(|(_, made)| resampled.get(..made)).unwrap_or(as_it_came));
        }
    }

    fn pop(&mut self) -> Option<[[f32; BLOCK]; 2]> {
        let [left, right] = &mut self.ready;
        let pair = [*left.first_chunk()?, *right.first_chunk()?];
        left.drain(..BLOCK);
        right.drain(..BLOCK);
        Some(pair)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_played_waits_no_longer_than_it_must() {
        let mut echo = Echo::new();
        for _ in 0..30 {
            echo.far_end(&[[0.0; BLOCK]; 2]);
        }
        for _ in 0..2 * LOOK_BLOCKS {
            echo.far_end(&[[0.0; BLOCK]; 2]);
            echo.near_end(&mut [0.0; BLOCK]);
        }
        assert_eq!(echo.waiting.len(), CUSHION);
    }

    #[test]
    fn what_nobody_takes_is_bounded() {
        let mut echo = Echo::new();
        (0..1_000).for_each(|_| echo.far_end(&[[0.0; BLOCK]; 2]));
        assert_eq!(echo.waiting.len(), WAITING_MAX);
    }

    #[test]
    fn a_block_that_comes_too_late_moves_no_other() {
        let mut echo = Echo::new();
        echo.near_end(&mut [0.0; BLOCK]);
        assert_eq!((echo.owed, echo.waiting.len()), (1, 0));
        (0..2).for_each(|_| echo.far_end(&[[0.5; BLOCK]; 2]));
        assert_eq!((echo.owed, echo.waiting.len()), (0, 1), "the late one is gone");
    }

    #[test]
    fn where_blocks_come_too_late_again_and_again_the_queue_grows() {
        let mut echo = Echo::new();
        for _ in 0..LATE_MAX + 1 {
            echo.near_end(&mut [0.0; BLOCK]);
        }
        assert_eq!(echo.owed, 0);
        (0..3).for_each(|_| echo.far_end(&[[0.5; BLOCK]; 2]));
        assert_eq!(echo.waiting.len(), 3);
    }
}
