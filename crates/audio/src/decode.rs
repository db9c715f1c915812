//! Opus to PCM: one decoder a voice, with forward error correction and concealment.
//!
//! The frames come from other people. One that libopus cannot read, or that is not 20 ms long, is concealed like a lost
//! one: decoding always yields a frame.

use opus::{Channels, Decoder};
use treehouse_wire::units::SAMPLE_RATE_HZ;

use crate::{FRAME, encode::CodecError};

/// How a frame of sound came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Decoded from its own packet, which came before its playout time.
    Decoded,
    /// Rebuilt from the low-rate copy in the following packet.
    Fec,
    /// Invented from what came before, or faded to silence: the packet was missing or unreadable.
    Concealed,
}

/// Decodes one voice, frame after frame, in order.
pub struct VoiceDecoder {
    opus: Decoder,
}

impl VoiceDecoder {
    /// A decoder in its initial state.
    pub fn new() -> Result<Self, CodecError> {
        Ok(VoiceDecoder { opus: Decoder::new(SAMPLE_RATE_HZ, Channels::Mono)? })
    }

    /// Decodes `frame` into `pcm`; conceals it if it is unreadable or not 20 ms long.
    pub fn decode(&mut self, frame: &[u8], pcm: &mut [f32; FRAME]) -> Outcome {
        if is_one_frame(frame) && self.run(frame, pcm, false) { Outcome::Decoded } else { self.conceal(pcm) }
    }

    /// Rebuilds the frame before `next` from the copy that `next` carries; conceals it if there is none.
    ///
    /// libopus falls back to concealment by itself when the packet has no copy, and does not say so; [`has_fec`] does.
    pub fn decode_fec(&mut self, next: &[u8], pcm: &mut [f32; FRAME]) -> Outcome {
        if is_one_frame(next) && has_fec(next) && self.run(next, pcm, true) { Outcome::Fec } else { self.conceal(pcm) }
    }

    /// Invents a frame that continues what came before; repeated, it dies away.
    pub fn conceal(&mut self, pcm: &mut [f32; FRAME]) -> Outcome {
        if !self.run(&[], pcm, false) {
            pcm.fill(0.0);
        }
        Outcome::Concealed
    }

    fn run(&mut self, frame: &[u8], pcm: &mut [f32; FRAME], fec: bool) -> bool {
        matches!(self.opus.decode_float(frame, pcm, fec), Ok(FRAME)) && pcm.iter().all(|s| s.is_finite())
    }
}

/// Whether a packet decodes to exactly 20 ms.
fn is_one_frame(packet: &[u8]) -> bool {
    !packet.is_empty() && matches!(opus::packet::get_nb_samples(packet, SAMPLE_RATE_HZ), Ok(FRAME))
}

/// Whether a mono packet of one 20 ms frame carries a low-rate copy of the frame before it.
///
/// RFC 6716 section 4.2.3: a SILK or hybrid frame begins with a voice activity flag and the LBRR flag, coded at even
/// odds, so they are the top two bits of its first byte. CELT frames have neither.
pub fn has_fec(packet: &[u8]) -> bool {
    // Configurations 0 to 15 are SILK and hybrid; code 0 says one frame (RFC 6716 section 3.1).
    matches!(packet, [toc, first, ..] if toc >> 3 < 16 && toc & 0b111 == 0 && first & 0x40 != 0)
}
