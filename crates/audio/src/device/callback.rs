//! What runs on the sound system's thread: samples to or from a ring, and counters. It takes no lock and allocates nothing,
//! which `tests/callbacks.rs` holds it to.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use cpal::{FromSample, Sample, SizedSample};
use rtrb::{Consumer, Producer};

/// How fast speakers that run dry fall silent, per sample: to a tenth in 2 ms, without a click.
const DECAY: f32 = 0.976;

/// What the callbacks leave for others to see.
#[derive(Debug, Default)]
pub struct Health {
    /// The sound system reported that the stream is over.
    pub lost: AtomicBool,
    /// Sample frames that passed the callback.
    pub samples: AtomicU64,
    /// Sample frames dropped because the ring was full (microphone), or played as silence because it was empty (speakers).
    pub missed: AtomicU64,
    /// When the last callback came, in microseconds since [`Health::began`]; 0 before the first.
    pub called_us: AtomicU64,
    /// Sample frames that it passed.
    pub called_for: AtomicU64,
    /// Zero of those times.
    pub began: Began,
}

/// A moment before the first callback.
#[derive(Clone, Copy, Debug)]
pub struct Began(Instant);

impl Default for Began {
    fn default() -> Self {
        Began(Instant::now())
    }
}

impl Health {
    fn passed(&self, samples: u64) {
        let now_us = u64::try_from(self.began.0.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.called_us.store(now_us.max(1), Ordering::Relaxed);
        self.called_for.store(samples, Ordering::Relaxed);
        self.samples.fetch_add(samples, Ordering::Relaxed);
    }

    /// When the last callback came, and how many sample frames it passed; none before the first.
    pub fn last_call(&self) -> Option<(Instant, u64)> {
        let at = Duration::from_micros(self.called_us.load(Ordering::Relaxed));
        (!at.is_zero()).then(|| (self.began.0 + at, self.called_for.load(Ordering::Relaxed)))
    }
}

/// Takes what a microphone delivers.
#[derive(Debug)]
pub struct MicrophoneCallback {
    /// Channels that the device delivers, interleaved.
    pub device_channels: usize,
    /// Channels that go into the ring, interleaved: one, mixed down, or the first two.
    pub channels: usize,
    /// Where samples go; what does not fit is dropped and counted.
    pub ring: Producer<f32>,
    /// What others see.
    pub health: Arc<Health>,
}

impl MicrophoneCallback {
    /// Takes what the device has recorded.
    pub fn run<T>(&mut self, data: &[T])
    where
        T: SizedSample,
        f32: FromSample<T>,
    {
        let device_channels = self.device_channels.max(1);
        let mut missed = 0;
        for frame in data.chunks_exact(device_channels) {
            // Both of a pair or none, or left and right would change places.
            if self.ring.slots() < self.channels {
                missed += 1;
            } else if self.channels == 2 {
                let sample =
                    |at: usize| frame.get(at).or(frame.first()).map_or(0.0, |sample| f32::from_sample(*sample));
                let _ = self.ring.push(sample(0));
                let _ = self.ring.push(sample(1));
            } else {
                let sum: f32 = frame.iter().map(|sample| f32::from_sample(*sample)).sum();
                let _ = self.ring.push(sum / device_channels as f32);
            }
        }
        self.health.missed.fetch_add(missed, Ordering::Relaxed);
        self.health.passed((data.len() / device_channels) as u64);
    }
}

/// Gives speakers what to play.
#[derive(Debug)]
pub struct SpeakersCallback {
    /// Channels that the device takes, interleaved.
    pub device_channels: usize,
    /// Where samples come from, a left and a right one in turn; when it is empty the sound fades to silence.
    pub ring: Consumer<f32>,
    /// Gets a copy of all that is played, a left and a right sample in turn, silence too; what does not fit is dropped.
    pub far_end: Producer<f32>,
    /// The samples played last.
    pub last: [f32; 2],
    /// What others see.
    pub health: Arc<Health>,
}

impl SpeakersCallback {
    /// Fills what the device plays next.
    pub fn run<T>(&mut self, data: &mut [T])
    where
        T: SizedSample + FromSample<f32>,
    {
        let device_channels = self.device_channels.max(1);
        let mut missed = 0;
        for frame in data.chunks_exact_mut(device_channels) {
            self.last = next_pair(&mut self.ring).unwrap_or_else(|| {
                missed += 1;
                self.last.map(|sample| sample * DECAY)
            });
            spread(self.last, frame);
            let [left, right] = if device_channels == 1 { [middle(self.last); 2] } else { self.last };
            // Both of a pair or none, or left and right would change places.
            if self.far_end.slots() >= 2 {
                let _ = self.far_end.push(left);
                let _ = self.far_end.push(right);
            }
        }
        self.health.missed.fetch_add(missed, Ordering::Relaxed);
        self.health.passed((data.len() / device_channels) as u64);
    }
}

fn next_pair(ring: &mut Consumer<f32>) -> Option<[f32; 2]> {
    if ring.slots() < 2 {
        return None;
    }
    Some([ring.pop().ok()?, ring.pop().ok()?])
}

/// The first two channels are left and right everywhere; a single one, and any others, get both.
fn spread<T: SizedSample + FromSample<f32>>(pair: [f32; 2], frame: &mut [T]) {
    let both = T::from_sample(middle(pair));
    match frame {
        [first, second, others @ ..] => {
            (*first, *second) = (T::from_sample(pair[0]), T::from_sample(pair[1]));
            others.fill(both);
        }
        fewer => fewer.fill(both),
    }
}

fn middle([left, right]: [f32; 2]) -> f32 {
    (left + right) / 2.0
}

#[cfg(test)]
mod tests {
    use rtrb::RingBuffer;

    use super::*;

    #[test]
    fn left_and_right_go_to_the_first_two_channels_and_both_to_a_single_one() {
        let spread_over = |channels: usize| {
            let mut frame = vec![0.0_f32; channels];
            spread([0.5, -0.25], &mut frame);
            frame
        };
        assert_eq!(spread_over(1), [0.125]);
        assert_eq!(spread_over(2), [0.5, -0.25]);
        assert_eq!(spread_over(4), [0.5, -0.25, 0.125, 0.125]);
    }

    #[test]
    fn half_a_pair_stays_in_the_ring() {
        let (mut ring_in, mut ring) = RingBuffer::new(4);
        [1.0, 2.0, 3.0].into_iter().for_each(|sample| ring_in.push(sample).unwrap());
        assert_eq!(next_pair(&mut ring), Some([1.0, 2.0]));
        assert_eq!(next_pair(&mut ring), None);
        ring_in.push(4.0).unwrap();
        assert_eq!(next_pair(&mut ring), Some([3.0, 4.0]));
    }
}
