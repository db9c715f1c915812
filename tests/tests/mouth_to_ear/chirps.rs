//! Chirps, and when they are heard.

use std::{
    f64::consts::TAU,
    fmt,
    ops::RangeBounds,
    time::{Duration, Instant},
};

use treehouse_tests::sound_server::Recording;

const SAMPLE_RATE: f64 = 48_000.0;
/// Samples of one chirp: 100 ms. What is much shorter a microphone's processing takes for noise.
const LENGTH: usize = 4_800;
/// Samples in which it fades in and out: nothing clicks.
const FADE: usize = 240;
/// It sweeps between these, in hertz: what a codec for speech carries well.
const FROM_HZ: f64 = 300.0;
const TO_HZ: f64 = 4_000.0;
/// Samples from one to the next, and by how many the place of each varies: a place that repeats would hide that blocks wait.
const PERIOD: usize = 24_000;
const VARIES: usize = 2_000;
/// One that comes later belongs to the next.
const DELAY_MAX: Duration = Duration::from_millis(450);
/// What is like a chirp by so much is one; 1.0 is the chirp itself, whatever its loudness. Gain control takes some seconds to find its own.
const LIKE_MIN: f64 = 0.5;
/// Less loud than this on average, of 32,768, it is none.
const LOUD_MIN: f64 = 50.0;

fn chirp() -> Vec<f64> {
    let sweep = |at: usize| {
        let (t, end) = (at as f64 / SAMPLE_RATE, LENGTH as f64 / SAMPLE_RATE);
        let phase = TAU * (FROM_HZ * t + (TO_HZ - FROM_HZ) * t * t / (2.0 * end));
        let edge = at.min(LENGTH - 1 - at);
        phase.sin() * (edge as f64 / FADE as f64).min(1.0)
    };
    (0..LENGTH).map(sweep).collect()
}

/// So many chirps, half a second apart, at places that vary.
pub fn said(count: usize) -> Vec<i16> {
    let chirp = chirp();
    let mut samples = vec![0; (count + 1) * PERIOD];
    for number in 0..count {
        // Steps of the golden ratio spread evenly (Knuth, vol. 3, 6.4).
        let varies = (number * 1_236) % VARIES;
        let start = number * PERIOD + PERIOD / 2 + varies;
        for (sample, value) in samples.iter_mut().skip(start).zip(&chirp) {
            *sample = (value * 16_384.0) as i16;
        }
    }
    samples
}

/// Where chirps begin, by a matched filter, in samples.
fn found(samples: &[i16]) -> Vec<usize> {
    let chirp = chirp();
    let norm = chirp.iter().map(|value| value * value).sum::<f64>().sqrt();
    let mut power = samples.iter().take(LENGTH).map(|sample| f64::from(*sample).powi(2)).sum::<f64>();
    let mut likeness = Vec::with_capacity(samples.len());
    for (at, window) in samples.windows(LENGTH).enumerate() {
        // Silence, as most of it is, needs no sum.
        let is_loud = power > LENGTH as f64 * LOUD_MIN * LOUD_MIN;
        let dot = || window.iter().zip(&chirp).map(|(sample, value)| f64::from(*sample) * value).sum::<f64>();
        likeness.push(if is_loud { dot().abs() / (power.sqrt() * norm) } else { 0.0 });
        let next = samples.get(at + LENGTH).map_or(0.0, |sample| f64::from(*sample).powi(2));
        power += next - f64::from(*window.first().unwrap_or(&0)).powi(2);
    }
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(rest) = likeness.get(at..) {
        let Some(first) = rest.iter().position(|value| *value > LIKE_MIN) else { break };
        let near = rest.iter().enumerate().skip(first).take(2 * LENGTH);
        let best = near.max_by(|a, b| a.1.total_cmp(b.1)).map_or(first, |(best, _)| best);
        found.push(at + best);
        at += best + PERIOD / 2;
    }
    found
}

/// How long chirps were under way.
pub struct Delays {
    /// When each was said, and how long it took, in milliseconds; none where it was not heard.
    each: Vec<(Instant, Option<f64>)>,
    /// In order of size, of those that were heard.
    sorted_ms: Vec<f64>,
}

/// Compares what was said with what was heard.
pub fn delays(said: &Recording, heard: &Recording) -> Delays {
    let at =
        |recording: &Recording, sample: usize| recording.start + Duration::from_secs_f64(sample as f64 / SAMPLE_RATE);
    let heard_at: Vec<_> = found(&heard.samples).into_iter().map(|sample| at(heard, sample)).collect();
    let delay = |from| heard_at.iter().find(|to| **to >= from).map(|to| *to - from).filter(|delay| *delay <= DELAY_MAX);
    let said_at = found(&said.samples).into_iter().map(|sample| at(said, sample));
    Delays::of(said_at.map(|from| (from, delay(from).map(|delay| delay.as_secs_f64() * 1_000.0))).collect())
}

impl Delays {
    fn of(each: Vec<(Instant, Option<f64>)>) -> Self {
        let mut sorted_ms: Vec<f64> = each.iter().filter_map(|(_, ms)| *ms).collect();
        sorted_ms.sort_by(f64::total_cmp);
        Delays { each, sorted_ms }
    }

    /// Of those that were said within some time.
    pub fn within(&self, time: impl RangeBounds<Instant>) -> Self {
        Self::of(self.each.iter().filter(|(at, _)| time.contains(at)).copied().collect())
    }

    /// Found where they were said.
    pub fn said(&self) -> usize {
        self.each.len()
    }

    /// Of those said, the share that was heard.
    pub fn share(&self) -> f64 {
        self.sorted_ms.len() as f64 / self.said().max(1) as f64
    }

    /// By nearest rank; what no chirp took where none was heard.
    pub fn quantile_ms(&self, share: f64) -> f64 {
        let rank = (share * self.sorted_ms.len() as f64).ceil().max(1.0) as usize - 1;
        self.sorted_ms.get(rank).copied().unwrap_or(f64::INFINITY)
    }
}

impl fmt::Display for Delays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [median, p95, most] = [0.5, 0.95, 1.0].map(|share| self.quantile_ms(share));
        let (heard, said) = (self.sorted_ms.len(), self.said());
        write!(f, "{heard} of {said} chirps, median {median:.1} ms, p95 {p95:.1} ms, at most {most:.1} ms")
    }
}
