//! From any sample rate to any other, as a stream, by `rubato`.
//!
//! Rates whose ratio is a small fraction (44.1 kHz to 48 kHz is 160/147) go through its FFT resampler, which is fastest;
//! odd ones, for which that would need a transform of a second's length, through its windowed-sinc one. The delay of the
//! filter is trimmed, so that sound keeps its place in time.

use rubato::{
    Async, Fft, FixedAsync, FixedSync, Indexing, SincInterpolationParameters, WindowFunction,
    audioadapter_buffers::direct::InterleavedSlice,
};

/// Lowest sample rate taken, in Hz.
pub const RATE_HZ_MIN: u32 = 4_000;
/// Highest sample rate taken, in Hz.
pub const RATE_HZ_MAX: u32 = 384_000;
/// Samples that go in at a time: 10 ms at 48 kHz, so that a live stream is not held up.
const CHUNK: usize = 480;
/// Largest FFT that is worth it.
const FFT_SIZE_MAX: u32 = 1_024;

/// Rates out of range, or a failure inside the library.
#[derive(Debug, thiserror::Error)]
#[error("sound at {from_hz} Hz cannot be converted to {to_hz} Hz; rates from 4000 to 384000 Hz can")]
pub struct ResampleError {
    from_hz: u32,
    to_hz: u32,
}

/// Converts one mono stream.
pub struct Resampler {
    from_hz: u32,
    to_hz: u32,
    /// None where the rates are equal.
    inner: Option<Box<dyn rubato::Resampler<f32>>>,
    pending: Vec<f32>,
    block: Vec<f32>,
    /// Samples of filter delay still to be dropped from the front.
    trim: usize,
    taken: u64,
    given: u64,
}

impl Resampler {
    /// A converter between two rates, in Hz.
    pub fn new(from_hz: u32, to_hz: u32) -> Result<Self, ResampleError> {
        let range = RATE_HZ_MIN..=RATE_HZ_MAX;
        if !range.contains(&from_hz) || !range.contains(&to_hz) {
            return Err(ResampleError { from_hz, to_hz });
        }
        let inner = if from_hz == to_hz {
            None
        } else {
            Some(build(from_hz, to_hz).map_err(|_| ResampleError { from_hz, to_hz })?)
        };
        let (trim, block) = inner.as_ref().map_or((0, 0), |r| (r.output_delay(), r.output_frames_max()));
        let (pending, block) = (Vec::with_capacity(2 * CHUNK), vec![0.0; block]);
        Ok(Resampler { from_hz, to_hz, inner, pending, block, trim, taken: 0, given: 0 })
    }

    /// Takes `input` and appends to `out` what is ready.
    pub fn push(&mut self, input: &[f32], out: &mut Vec<f32>) {
        self.taken += input.len() as u64;
        if self.inner.is_none() {
            out.extend_from_slice(input);
            return;
        }
        self.pending.extend_from_slice(input);
        let mut used = 0;
        while self.pending.len() - used >= CHUNK {
            self.run(used, out);
            used += CHUNK;
        }
        self.pending.drain(..used);
    }

    /// The stream has ended: appends what is still in the filter, so that the total length is right.
    pub fn finish(&mut self, out: &mut Vec<f32>) {
        if self.inner.is_none() {
            return;
        }
        let total = (self.taken * u64::from(self.to_hz)).div_ceil(u64::from(self.from_hz));
        // The filter's delay is a few chunks at most; the bound only guards against a library that stops giving.
        for _ in 0..16 {
            if self.given >= total {
                break;
            }
            self.pending.resize(CHUNK, 0.0);
            self.run(0, out);
            self.pending.clear();
        }
        let surplus = self.given.saturating_sub(total) as usize;
        out.truncate(out.len().saturating_sub(surplus));
    }

    fn run(&mut self, from: usize, out: &mut Vec<f32>) {
        let Some(inner) = self.inner.as_mut() else { return };
        let Some(chunk) = self.pending.get(from..from + CHUNK) else { return };
        let room = self.block.len();
        let (Ok(input), Ok(mut output)) =
            (InterleavedSlice::new(chunk, 1, CHUNK), InterleavedSlice::new_mut(&mut self.block, 1, room))
        else {
            return;
        };
        let Ok((_, made)) = inner.process_into_buffer(&input, &mut output, Some(&Indexing::new())) else { return };
        let skipped = made.min(self.trim);
        self.trim -= skipped;
        self.given += (made - skipped) as u64;
        out.extend_from_slice(self.block.get(skipped..made).unwrap_or(&[]));
    }
}

fn build(from_hz: u32, to_hz: u32) -> Result<Box<dyn rubato::Resampler<f32>>, rubato::ResamplerConstructionError> {
    let divisor = gcd(from_hz, to_hz);
    if from_hz.max(to_hz) / divisor <= FFT_SIZE_MAX {
        Ok(Box::new(Fft::new(from_hz as usize, to_hz as usize, CHUNK, 1, FixedSync::Input)?))
    } else {
        let parameters = SincInterpolationParameters::new(128, WindowFunction::BlackmanHarris2);
        let ratio = f64::from(to_hz) / f64::from(from_hz);
        Ok(Box::new(Async::new_sinc(ratio, 1.0, &parameters, CHUNK, 1, FixedAsync::Input)?))
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(hz: f32, rate_hz: u32, len: usize) -> Vec<f32> {
        (0..len).map(|i| 0.5 * (i as f32 * hz * std::f32::consts::TAU / rate_hz as f32).sin()).collect()
    }

    fn convert(from_hz: u32, to_hz: u32, input: &[f32]) -> Vec<f32> {
        let mut resampler = Resampler::new(from_hz, to_hz).unwrap();
        let mut out = Vec::new();
        // Odd pieces, as device callbacks deliver them.
        input.chunks(337).for_each(|piece| resampler.push(piece, &mut out));
        resampler.finish(&mut out);
        out
    }

    #[test]
    fn every_common_and_odd_rate_keeps_pitch_length_and_place() {
        for rate_hz in [8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 44_101, 37_199, 96_000, 192_000]
        {
            let said = sine(440.0, rate_hz, rate_hz as usize);
            let heard = convert(rate_hz, 48_000, &said);
            assert_eq!(heard.len(), 48_000, "{rate_hz} Hz");
            let wanted = sine(440.0, 48_000, 48_000);
            let worst = (2_000..46_000).map(|i| (heard[i] - wanted[i]).abs()).fold(0.0, f32::max);
            assert!(worst < 0.02, "{rate_hz} Hz: {worst}");
        }
    }

    #[test]
    fn down_to_a_device_of_another_rate_works_too() {
        let heard = convert(48_000, 44_100, &sine(440.0, 48_000, 48_000));
        assert_eq!(heard.len(), 44_100);
    }

    #[test]
    fn rates_out_of_range_are_refused_in_one_sentence() {
        for rate_hz in [0, 1, 3_999, 384_001, u32::MAX] {
            let error = Resampler::new(rate_hz, 48_000).map(|_| ()).unwrap_err();
            assert!(error.to_string().contains("rates from 4000 to 384000 Hz"), "{error}");
        }
    }
}
