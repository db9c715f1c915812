//! Keeps a voice's delay where it is aimed at although the speaker's sound card and the listener's do not agree on how long a second is.
//!
//! Two cards differ by up to 300 ppm: 18 ms a minute. The voice is resampled by as little as that, steered by how far its delay
//! is from its aim, so that nothing is ever cut or repeated for it.

use rubato::{
    Adjustable, Async, FixedAsync, Indexing, PolynomialDegree, Resampler, audioadapter_buffers::direct::SequentialSlice,
};

use crate::{FRAME, encode::CodecError, mix::Block};

/// Most that the rate is moved: 0.4 %, 7 cents, for what jitter has done to the delay as well; clocks need a tenth of it.
const PPM_MAX: f64 = 4_000.0;
/// How much the rate moves for each millisecond outside the band.
const PPM_PER_MS: f64 = 500.0;
/// How far above its aim the delay is put, in milliseconds, where frames begin to come too late for the tick at which they are needed: there each
/// tick of the speaker's fits one of the listener's, wherever drift moves them against each other.
const ANCHOR_MS: f64 = 7.0;
/// How far it may be from where it is held: the fastest frame of some seconds, by which delay is reckoned, is not always as fast.
const BAND_MS: f64 = 1.5;
/// Weight of a tick's error in the mean: a time constant of a second, so that single late frames move nothing.
const WEIGHT: f64 = 0.02;
/// Room for what a frame becomes.
const ROOM: usize = FRAME + 16;

/// Resamples one voice by a few hundred parts in a million.
pub(super) struct Drift {
    inner: Async<f32>,
    /// The error at which the delay is held; none until there is one.
    anchor_ms: Option<f64>,
    error_ms: f64,
    /// Share of the ticks of the last second at which frames were needed too soon.
    too_soon: f64,
    ppm: f64,
}

impl Drift {
    pub(super) fn new() -> Result<Self, CodecError> {
        // Polynomials of eight points delay by four samples and cost a few microseconds a frame. What a windowed sinc would do better is
        // above 16 kHz, where speech has nothing.
        let most = 1.0 + 2.0 * PPM_MAX / 1e6;
        let inner = Async::new_poly(1.0, most, PolynomialDegree::Septic, FRAME, 2, FixedAsync::Input)
            .map_err(|_| CodecError { function: "rubato's Async::new_poly", what: "it refused its parameters" })?;
        Ok(Drift { inner, anchor_ms: None, error_ms: 0.0, too_soon: 0.0, ppm: 0.0 })
    }

    /// Takes in by how much the delay exceeds its aim now, once a tick, and whether frames are needed before they may have come.
    ///
    /// The delay is held where it is as long as it does: to move each start to one place would change the pitch of all, and gain nothing.
    pub(super) fn steer(&mut self, error_us: i64, too_soon: bool) {
        let error_ms = error_us as f64 / 1000.0;
        self.too_soon += (f64::from(u8::from(too_soon)) - self.too_soon) * WEIGHT;
        if self.anchor_ms.is_none() {
            (self.error_ms, self.too_soon) = (error_ms, 0.0);
        }
        let start_ms = self.anchor_ms.unwrap_or(error_ms.clamp(-ANCHOR_MS, ANCHOR_MS));
        let anchor_ms = if self.too_soon > 0.5 { ANCHOR_MS } else { start_ms };
        self.anchor_ms = Some(anchor_ms);
        self.error_ms += (error_ms - self.error_ms) * WEIGHT;
        let off_ms = self.error_ms - anchor_ms;
        let outside_ms = off_ms - off_ms.clamp(-BAND_MS, BAND_MS);
        let ppm = (-outside_ms * PPM_PER_MS).clamp(-PPM_MAX, PPM_MAX);
        if ppm != self.ppm && self.inner.set_resample_ratio_relative(1.0 + ppm / 1e6, true).is_ok() {
            self.ppm = ppm;
        }
    }

    /// The voice has started, or its delay was moved otherwise: what it is now is what it is held at.
    pub(super) fn anchor(&mut self) {
        self.anchor_ms = None;
    }

    /// By how many parts in a million the voice is made longer at the moment.
    pub(super) fn ppm(&self) -> f64 {
        self.ppm
    }

    /// Appends a frame to both sides of `out`, a sample longer or shorter now and then.
    pub(super) fn push(&mut self, block: &Block, out: &mut [Vec<f32>; 2]) {
        let mut resampled = [0.0; 2 * ROOM];
        // A failure of the library would cost the correction, not the sound.
        let made = self.run(block, &mut resampled);
        let (left, right) = resampled.split_at(ROOM);
        for ((out, resampled), frame) in out.iter_mut().zip([left, right]).zip([&block.left, &block.right]) {
            out.extend_from_slice(made.and_then(|made| resampled.get(..made)).unwrap_or(frame));
        }
    }

    fn run(&mut self, block: &Block, out: &mut [f32; 2 * ROOM]) -> Option<usize> {
        let mut frame = [0.0; 2 * FRAME];
        frame.iter_mut().zip(block.left.iter().chain(&block.right)).for_each(|(out, sample)| *out = *sample);
        let input = SequentialSlice::new(&frame, 2, FRAME).ok()?;
        let mut output = SequentialSlice::new_mut(out, 2, ROOM).ok()?;
        let made = self.inner.process_into_buffer(&input, &mut output, Some(&Indexing::new())).ok()?;
        Some(made.1)
    }
}
