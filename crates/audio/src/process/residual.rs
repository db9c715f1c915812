//! Suppresses what a linear filter leaves of an echo: its errors, and what lies beyond its length.
//!
//! In frames of 10 ms that overlap by half, each bin gets a gain by the decision-directed rule of Ephraim and Malah ("Speech
//! enhancement using a minimum mean-square error short-time spectral amplitude estimator", 1984), with the echo's remainder in the
//! place of noise. How large the remainder is follows from the echo as the linear filter knows it, times a leak for each
//! band. The leak is the smallest ratio of what is left to the echo within the last seconds (Martin's minimum statistics, 2001):
//! a near voice only ever makes the ratio larger, and leaves every band alone now and then. So who speaks while the other side
//! does is left alone, which is what suppressors that judge by energy cannot do.

use std::sync::Arc;

use realfft::{ComplexToReal, RealFftPlanner, RealToComplex, num_complex::Complex32};

use super::BLOCK;

/// Samples in a frame, and by how many the next one is later.
const FRAME: usize = BLOCK;
const HOP: usize = FRAME / 2;
const BINS: usize = FRAME / 2 + 1;
/// First bins of bands, 100 Hz each, about as the ear divides them.
const BANDS: [usize; 19] = [0, 2, 4, 6, 8, 10, 13, 16, 20, 25, 32, 40, 50, 63, 80, 100, 125, 160, 200];
/// Weight of the newest frame in a band's power: 50 ms.
const NEWEST: f32 = 0.1;
/// Frames with an echo after which the smallest ratio is looked for anew, and how many such windows count: three seconds.
const WINDOW_FRAMES: u32 = 200;
const WINDOWS: usize = 3;
/// The smallest of many ratios is smaller than their mean: by this.
const BIAS: f32 = 5.0;
/// Power in a bin below which there is no echo: -90 dBFS.
const NOTHING: f32 = 1e-7;
/// How fast an echo dies away in a room, for each frame: 60 dB in 300 ms.
const REVERBERATION: f32 = 0.8;
/// Weight of the frame before in what is thought to be the voice.
const BEFORE: f32 = 0.85;
/// No bin is turned down further: 30 dB.
const GAIN_MIN: f32 = 0.03;

pub(super) struct ResidualSuppressor {
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
    window: Vec<f32>,
    time: Vec<f32>,
    voice: Stream,
    echo: Stream,
    /// Second halves of frames, to be added to the next.
    overlap: [f32; HOP],
    bands: Vec<Band>,
    /// Power of the echo in each bin, dying away.
    lingering: Vec<f32>,
    /// Power of the voice in each bin, as it was thought to be in the frame before.
    clean: Vec<f32>,
}

/// What goes in, and its newest spectrum.
struct Stream {
    before: [f32; HOP],
    spectrum: Vec<Complex32>,
}

impl Stream {
    fn new() -> Self {
        Stream { before: [0.0; HOP], spectrum: vec![Complex32::default(); BINS] }
    }

    fn push(&mut self, fft: &dyn RealToComplex<f32>, window: &[f32], time: &mut [f32], half: &[f32]) {
        let all = self.before.iter().chain(half).zip(window);
        time.iter_mut().zip(all).for_each(|(out, (sample, window))| *out = sample * window);
        self.before.iter_mut().zip(half).for_each(|(before, sample)| *before = *sample);
        // The lengths are the plan's own.
        let _ = fft.process(time, &mut self.spectrum);
    }
}

/// How much of the echo is left in a band.
struct Band {
    left: f32,
    echo: f32,
    /// The smallest ratio in this window and in the last ones.
    smallest: f32,
    windows: [f32; WINDOWS],
    frames: u32,
}

impl Band {
    /// Until it is known better all of the echo is left.
    fn new() -> Self {
        Band { left: 0.0, echo: 0.0, smallest: 1.0, windows: [1.0; WINDOWS], frames: 0 }
    }

    /// Takes in the power of one frame; returns the leak.
    fn leak(&mut self, left: f32, echo: f32, width: usize) -> f32 {
        self.left += NEWEST * (left - self.left);
        self.echo += NEWEST * (echo - self.echo);
        if self.echo > NOTHING * width as f32 {
            self.smallest = self.smallest.min(self.left / self.echo);
            self.frames += 1;
        }
        if self.frames >= WINDOW_FRAMES {
            self.windows.rotate_right(1);
            if let Some(newest) = self.windows.first_mut() {
                *newest = self.smallest;
            }
            (self.smallest, self.frames) = (1.0, 0);
        }
        let smallest = self.windows.iter().copied().fold(self.smallest, f32::min);
        (BIAS * smallest).min(1.0)
    }
}

impl ResidualSuppressor {
    pub(super) fn new() -> Self {
        let mut planner = RealFftPlanner::new();
        let angle = |at: usize| std::f32::consts::PI * (at as f32 + 0.5) / FRAME as f32;
        ResidualSuppressor {
            forward: planner.plan_fft_forward(FRAME),
            inverse: planner.plan_fft_inverse(FRAME),
            window: (0..FRAME).map(|at| angle(at).sin()).collect(),
            time: vec![0.0; FRAME],
            voice: Stream::new(),
            echo: Stream::new(),
            overlap: [0.0; HOP],
            bands: BANDS.iter().map(|_| Band::new()).collect(),
            lingering: vec![0.0; BINS],
            clean: vec![0.0; BINS],
        }
    }

    /// The path has changed, and with it what the filter leaves.
    pub(super) fn forget(&mut self) {
        self.bands.iter_mut().for_each(|band| *band = Band::new());
    }

    /// Takes out of `voice` what is left of `echo`; what comes out lags by half a frame, 5 ms.
    pub(super) fn process(&mut self, echo: &[f32; BLOCK], voice: &mut [f32; BLOCK]) {
        for (echo, voice) in echo.chunks_exact(HOP).zip(voice.chunks_exact_mut(HOP)) {
            self.echo.push(&*self.forward, &self.window, &mut self.time, echo);
            self.voice.push(&*self.forward, &self.window, &mut self.time, voice);
            self.apply_gains();
            let _ = self.inverse.process(&mut self.voice.spectrum, &mut self.time);
            let (first, second) = self.time.split_at(HOP);
            let (first_window, second_window) = self.window.split_at(HOP);
            let scale = 1.0 / FRAME as f32;
            for ((out, overlap), (sample, window)) in
                voice.iter_mut().zip(&self.overlap).zip(first.iter().zip(first_window))
            {
                *out = overlap + sample * window * scale;
            }
            for (overlap, (sample, window)) in self.overlap.iter_mut().zip(second.iter().zip(second_window)) {
                *overlap = sample * window * scale;
            }
        }
    }

    fn apply_gains(&mut self) {
        let ends = BANDS.iter().skip(1).copied().chain([BINS]);
        for ((from, to), band) in BANDS.iter().copied().zip(ends).zip(&mut self.bands) {
            let (Some(voice), Some(echo), Some(lingering), Some(clean)) = (
                self.voice.spectrum.get_mut(from..to),
                self.echo.spectrum.get(from..to),
                self.lingering.get_mut(from..to),
                self.clean.get_mut(from..to),
            ) else {
                continue;
            };
            let power = |bins: &[Complex32]| bins.iter().map(|bin| bin.norm_sqr()).sum::<f32>();
            let leak = band.leak(power(voice), power(echo), to - from);
            for (((voice, echo), lingering), clean) in voice.iter_mut().zip(echo).zip(lingering).zip(clean) {
                *lingering = echo.norm_sqr().max(REVERBERATION * *lingering);
                let left = leak * *lingering + NOTHING * NOTHING;
                let power = voice.norm_sqr();
                let ratio = BEFORE * *clean / left + (1.0 - BEFORE) * (power / left - 1.0).max(0.0);
                let gain = (ratio / (1.0 + ratio)).max(GAIN_MIN);
                *clean = gain * gain * power;
                *voice *= gain;
            }
        }
        // Of a real signal's spectrum these two are real; rounding makes them nearly so.
        for edge in [0, BINS - 1] {
            if let Some(bin) = self.voice.spectrum.get_mut(edge) {
                bin.im = 0.0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(hz: f32, gain: f32, at: usize) -> [f32; BLOCK] {
        std::array::from_fn(|i| gain * ((at * BLOCK + i) as f32 * hz * std::f32::consts::TAU / 48_000.0).sin())
    }

    fn power(block: &[f32; BLOCK]) -> f32 {
        block.iter().map(|s| s * s).sum()
    }

    #[test]
    fn without_an_echo_sound_passes_unchanged_5_ms_later() {
        let mut suppressor = ResidualSuppressor::new();
        let (mut before, mut first) = ([0.0; BLOCK], true);
        for at in 0..50 {
            let voice = sine(440.0, 0.3, at);
            let mut block = voice;
            suppressor.process(&[0.0; BLOCK], &mut block);
            if !first {
                let late = |i: usize| if i < HOP { before[i + HOP] } else { voice[i - HOP] };
                let worst = (0..BLOCK).map(|i| (block[i] - late(i)).abs()).fold(0.0, f32::max);
                assert!(worst < 1e-3, "{worst}");
            }
            (before, first) = (voice, false);
        }
    }

    #[test]
    fn what_is_left_of_an_echo_goes_and_a_voice_elsewhere_in_the_spectrum_stays() {
        let mut suppressor = ResidualSuppressor::new();
        let (mut rest, mut voice) = (0.0, 0.0);
        for at in 0..1_000 {
            // A tenth of the echo is left, now louder and now softer, as speech is.
            let loud = 0.2 + 0.1 * (at as f32 * 0.7).sin();
            let echo = sine(1_000.0, loud, at);
            let near = if at < 700 { [0.0; BLOCK] } else { sine(5_000.0, 0.2, at) };
            let mut block: [f32; BLOCK] = std::array::from_fn(|i| 0.1 * echo[i] + near[i]);
            suppressor.process(&echo, &mut block);
            match at {
                600..700 => rest += power(&block) / power(&echo.map(|s| 0.1 * s)),
                800.. => voice += power(&block) / power(&near),
                _ => {}
            }
        }
        assert!(rest / 100.0 < 0.1, "{}", rest / 100.0);
        assert!((0.8..1.2).contains(&(voice / 200.0)), "{}", voice / 200.0);
    }
}
