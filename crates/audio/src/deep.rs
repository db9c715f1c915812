//! libopus with its deep models (feature `deep`): deep redundancy (DRED; Valin et al., "Low-bitrate redundancy coding of speech
//! using a rate-distortion-optimized variational autoencoder", ICASSP 2023), deep concealment (Valin et al., "Real-time packet
//! loss concealment with mixed generative and predictive model", Interspeech 2022) and the enhancement of low rates (NoLACE;
//! Büthe et al., ICASSP 2024).
//!
//! The `opus` crate offers none of this and keeps its pointers to itself; `opusic-c` rebuilds only the frame right before a packet, does not
//! say how far back a packet reaches, and takes the size of libopus's objects for a constant. So here is as much of libopus's C interface as a voice
//! needs, behind functions that are safe whatever they are called with. It is the only module of the workspace with `unsafe`
//! code: calls into libopus, each with the reason why it is sound. Encoder and decoder have the names that the
//! `opus` crate gives them, so that the code around them is the same with and without the feature.
//!
//! What all calls rest on: an object is made by libopus's own `create`, checked for null, owned by one Rust value, reached
//! through `&mut` alone and freed once, in `drop`. libopus bounds-checks packets, which may be anything.
#![allow(unsafe_code)]

use std::{ffi::c_int, ptr::NonNull};

use opus::{Application, Bitrate, Channels, Signal};
use opusic_sys as ffi;

use crate::encode::CodecError;

/// Longest packet that is read: libopus takes lengths as `i32`.
const PACKET_BYTES_MAX: usize = 1_500;

/// An encoder for one voice.
pub(crate) struct Encoder {
    raw: NonNull<ffi::OpusEncoder>,
    channels: usize,
}

// SAFETY: an OpusEncoder is plain memory without ties to the thread that made it, and this value is its only owner.
unsafe impl Send for Encoder {}

impl Encoder {
    pub(crate) fn new(rate_hz: u32, channels: Channels, application: Application) -> Result<Self, CodecError> {
        let mut error = ffi::OPUS_OK;
        // SAFETY: `error` outlives the call; libopus checks the three numbers itself.
        let raw = unsafe {
            ffi::opus_encoder_create(rate_hz as i32, channels as c_int, application as c_int, &raw mut error)
        };
        check(error, "opus_encoder_create")?;
        let raw = NonNull::new(raw).ok_or_else(|| out_of_memory("opus_encoder_create"))?;
        Ok(Encoder { raw, channels: channels as usize })
    }

    /// Encodes one frame, interleaved if it is stereo, into `out`; returns how many bytes.
    pub(crate) fn encode_float(&mut self, pcm: &[f32], out: &mut [u8]) -> Result<usize, CodecError> {
        let samples = frame_size(pcm.len(), self.channels);
        let room = out.len().min(PACKET_BYTES_MAX) as i32;
        // SAFETY: the encoder is alive and reads `samples` for each of its channels, which `pcm` has; it writes at most `room` bytes
        // to `out`, which has as many.
        let len = unsafe { ffi::opus_encode_float(self.raw.as_ptr(), pcm.as_ptr(), samples, out.as_mut_ptr(), room) };
        check(len, "opus_encode_float").map(|len| len as usize)
    }

    pub(crate) fn set_bitrate(&mut self, bitrate: Bitrate) -> Result<(), CodecError> {
        let bps = match bitrate {
            Bitrate::Bits(bps) => bps,
            Bitrate::Max => ffi::OPUS_BITRATE_MAX,
            Bitrate::Auto => ffi::OPUS_AUTO,
        };
        self.set(ffi::OPUS_SET_BITRATE_REQUEST, bps)
    }

    pub(crate) fn set_signal(&mut self, signal: Signal) -> Result<(), CodecError> {
        let value = match signal {
            Signal::Auto => ffi::OPUS_AUTO,
            Signal::Voice => ffi::OPUS_SIGNAL_VOICE,
            Signal::Music => ffi::OPUS_SIGNAL_MUSIC,
        };
        self.set(ffi::OPUS_SET_SIGNAL_REQUEST, value)
    }

    pub(crate) fn set_force_channels(&mut self, channels: Option<Channels>) -> Result<(), CodecError> {
        self.set(ffi::OPUS_SET_FORCE_CHANNELS_REQUEST, channels.map_or(ffi::OPUS_AUTO, |channels| channels as i32))
    }

    pub(crate) fn set_complexity(&mut self, complexity: i32) -> Result<(), CodecError> {
        self.set(ffi::OPUS_SET_COMPLEXITY_REQUEST, complexity)
    }

    pub(crate) fn set_vbr(&mut self, on: bool) -> Result<(), CodecError> {
        self.set(ffi::OPUS_SET_VBR_REQUEST, on.into())
    }

    pub(crate) fn set_dtx(&mut self, on: bool) -> Result<(), CodecError> {
        self.set(ffi::OPUS_SET_DTX_REQUEST, on.into())
    }

    pub(crate) fn set_inband_fec(&mut self, on: bool) -> Result<(), CodecError> {
        self.set(ffi::OPUS_SET_INBAND_FEC_REQUEST, on.into())
    }

    pub(crate) fn set_packet_loss_perc(&mut self, percent: i32) -> Result<(), CodecError> {
        self.set(ffi::OPUS_SET_PACKET_LOSS_PERC_REQUEST, percent)
    }

    /// How far back each packet can rebuild what was before it, in units of 10 ms; 0 switches deep redundancy off.
    pub(crate) fn set_dred_duration(&mut self, units: i32) -> Result<(), CodecError> {
        self.set(ffi::OPUS_SET_DRED_DURATION_REQUEST, units)
    }

    pub(crate) fn get_in_dtx(&mut self) -> Result<bool, CodecError> {
        self.get(ffi::OPUS_GET_IN_DTX_REQUEST).map(|value| value != 0)
    }

    pub(crate) fn get_lookahead(&mut self) -> Result<i32, CodecError> {
        self.get(ffi::OPUS_GET_LOOKAHEAD_REQUEST)
    }

    fn set(&mut self, request: c_int, value: i32) -> Result<(), CodecError> {
        // SAFETY: the encoder is alive, and every request that reaches this takes one opus_int32 by value.
        check(unsafe { ffi::opus_encoder_ctl(self.raw.as_ptr(), request, value) }, "opus_encoder_ctl").map(drop)
    }

    fn get(&mut self, request: c_int) -> Result<i32, CodecError> {
        let mut value = 0_i32;
        // SAFETY: the encoder is alive, and every request that reaches this writes one opus_int32 to the address it is given.
        check(unsafe { ffi::opus_encoder_ctl(self.raw.as_ptr(), request, &raw mut value) }, "opus_encoder_ctl")?;
        Ok(value)
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        // SAFETY: made by opus_encoder_create, and freed nowhere else.
        unsafe { ffi::opus_encoder_destroy(self.raw.as_ptr()) }
    }
}

/// A decoder for one voice, with what it takes to read deep redundancy.
pub(crate) struct Decoder {
    raw: NonNull<ffi::OpusDecoder>,
    channels: usize,
    dred_decoder: NonNull<ffi::OpusDREDDecoder>,
    dred: NonNull<ffi::OpusDRED>,
    /// The packet whose redundancy `dred` holds: one packet rebuilds several frames, and reading it costs most.
    parsed: Vec<u8>,
    /// How far back that goes, and how near to the packet it ends, in samples before the packet.
    span: (i32, i32),
}

// SAFETY: as for the encoder: three pieces of plain memory with one owner.
unsafe impl Send for Decoder {}

impl Decoder {
    pub(crate) fn new(rate_hz: u32, channels: Channels) -> Result<Self, CodecError> {
        let mut error = ffi::OPUS_OK;
        // SAFETY: `error` outlives the call; libopus checks the two numbers itself.
        let raw = unsafe { ffi::opus_decoder_create(rate_hz as i32, channels as c_int, &raw mut error) };
        check(error, "opus_decoder_create")?;
        let raw = NonNull::new(raw).ok_or_else(|| out_of_memory("opus_decoder_create"))?;
        let mut made = Half { raw: Some(raw), dred_decoder: None };
        // SAFETY: `error` outlives the call.
        let dred_decoder = unsafe { ffi::opus_dred_decoder_create(&raw mut error) };
        check(error, "opus_dred_decoder_create")?;
        let dred_decoder = NonNull::new(dred_decoder).ok_or_else(|| out_of_memory("opus_dred_decoder_create"))?;
        made.dred_decoder = Some(dred_decoder);
        // SAFETY: `error` outlives the call.
        let dred = unsafe { ffi::opus_dred_alloc(&raw mut error) };
        check(error, "opus_dred_alloc")?;
        let dred = NonNull::new(dred).ok_or_else(|| out_of_memory("opus_dred_alloc"))?;
        (made.raw, made.dred_decoder) = (None, None);
        Ok(Decoder { raw, channels: channels as usize, dred_decoder, dred, parsed: Vec::new(), span: (0, 0) })
    }

    /// 5 and more conceal deeply, 7 and more enhance what was coded at low rates as well.
    pub(crate) fn set_complexity(&mut self, complexity: i32) -> Result<(), CodecError> {
        // SAFETY: the decoder is alive, and this request takes one opus_int32 by value.
        let result = unsafe { ffi::opus_decoder_ctl(self.raw.as_ptr(), ffi::OPUS_SET_COMPLEXITY_REQUEST, complexity) };
        check(result, "opus_decoder_ctl").map(drop)
    }

    /// Decodes a packet, or with `fec` the copy in it of the frame before; conceals a frame if `packet` is empty.
    pub(crate) fn decode_float(&mut self, packet: &[u8], pcm: &mut [f32], fec: bool) -> Result<usize, CodecError> {
        let packet = packet.get(..packet.len().min(PACKET_BYTES_MAX)).unwrap_or(&[]);
        let data = if packet.is_empty() { std::ptr::null() } else { packet.as_ptr() };
        let samples = frame_size(pcm.len(), self.channels);
        // SAFETY: the decoder is alive and writes at most `samples` for each of its channels, which `pcm` has room for; it reads at
        // most the packet's length from `data`, which is null only where that is 0.
        let len = unsafe {
            ffi::opus_decode_float(self.raw.as_ptr(), data, packet.len() as i32, pcm.as_mut_ptr(), samples, fec.into())
        };
        check(len, "opus_decode_float").map(|len| len as usize)
    }

    /// Rebuilds the frame that began `before` samples ahead of the packet `later` from the deep redundancy in it; false, and
    /// nothing done, if there is none or it does not go back that far.
    pub(crate) fn decode_dred(&mut self, later: &[u8], before: usize, pcm: &mut [f32]) -> bool {
        let samples = frame_size(pcm.len(), self.channels);
        let Ok(before) = i32::try_from(before) else { return false };
        if self.parsed != later {
            self.parse(later);
        }
        let (back, end) = self.span;
        // A frame of which less than half is there is better invented.
        if before <= end + samples / 2 || before > back + samples / 2 {
            return false;
        }
        // SAFETY: both objects are alive, `dred` was filled by opus_dred_parse, since `back` is 0 otherwise; the decoder writes
        // `samples` for each of its channels, which `pcm` has room for.
        let len = unsafe {
            ffi::opus_decoder_dred_decode_float(
                self.raw.as_ptr(),
                self.dred.as_ptr(),
                before,
                pcm.as_mut_ptr(),
                samples,
            )
        };
        len == samples
    }

    fn parse(&mut self, later: &[u8]) {
        self.parsed.clear();
        self.span = (0, 0);
        if later.is_empty() || later.len() > PACKET_BYTES_MAX {
            return;
        }
        let mut end = 0;
        // SAFETY: both objects are alive; libopus reads at most the packet's length from it, and `end` outlives the call.
        let back = unsafe {
            ffi::opus_dred_parse(
                self.dred_decoder.as_ptr(),
                self.dred.as_ptr(),
                later.as_ptr(),
                later.len() as i32,
                DRED_SAMPLES_MAX,
                RATE_HZ,
                &raw mut end,
                0,
            )
        };
        self.parsed.extend_from_slice(later);
        self.span = (back.max(0), end);
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: each was made by its own `create` or `alloc`, and is freed nowhere else.
        unsafe {
            ffi::opus_dred_free(self.dred.as_ptr());
            ffi::opus_dred_decoder_destroy(self.dred_decoder.as_ptr());
            ffi::opus_decoder_destroy(self.raw.as_ptr());
        }
    }
}

/// What a decoder consists of so far; freed if the rest cannot be had.
struct Half {
    raw: Option<NonNull<ffi::OpusDecoder>>,
    dred_decoder: Option<NonNull<ffi::OpusDREDDecoder>>,
}

impl Drop for Half {
    fn drop(&mut self) {
        // SAFETY: what is still here was made by its own `create`, and has gone to nobody else.
        unsafe {
            if let Some(dred_decoder) = self.dred_decoder {
                ffi::opus_dred_decoder_destroy(dred_decoder.as_ptr());
            }
            if let Some(raw) = self.raw {
                ffi::opus_decoder_destroy(raw.as_ptr());
            }
        }
    }
}

/// The farthest back that a packet's redundancy is read: 1.04 s, all that the format holds.
const DRED_SAMPLES_MAX: i32 = 49_920;
const RATE_HZ: i32 = treehouse_wire::units::SAMPLE_RATE_HZ as i32;

/// Samples a channel in a buffer of `len`; libopus says itself what is no frame.
fn frame_size(len: usize, channels: usize) -> c_int {
    c_int::try_from(len / channels).unwrap_or(0)
}

fn check(result: c_int, function: &'static str) -> Result<c_int, CodecError> {
    if result >= 0 { Ok(result) } else { Err(CodecError { function, what: what(result) }) }
}

fn out_of_memory(function: &'static str) -> CodecError {
    CodecError { function, what: what(ffi::OPUS_ALLOC_FAIL) }
}

/// The names of opus_defines.h.
fn what(code: c_int) -> &'static str {
    match code {
        ffi::OPUS_BAD_ARG => "invalid argument",
        ffi::OPUS_BUFFER_TOO_SMALL => "buffer too small",
        ffi::OPUS_INVALID_PACKET => "corrupted stream",
        ffi::OPUS_UNIMPLEMENTED => "request not implemented",
        ffi::OPUS_INVALID_STATE => "invalid state",
        ffi::OPUS_ALLOC_FAIL => "memory allocation failed",
        _ => "internal error",
    }
}
