//! Opus to PCM: one decoder a voice, with forward error correction, deep redundancy where built in, and concealment.
//!
//! The frames come from other people. One that libopus cannot read, or that is not 20 ms long, is concealed like a lost
//! one: decoding always yields a frame.

use opus::Channels;
#[cfg(not(feature = "deep"))]
use opus::Decoder;
use treehouse_wire::units::SAMPLE_RATE_HZ;

#[cfg(feature = "deep")]
use crate::deep::Decoder;
use crate::{FRAME, encode::CodecError};

/// How a frame of sound came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Decoded from its own packet, which came before its playout time.
    Decoded,
    /// Rebuilt from the low-rate copy in the following packet.
    Fec,
    /// Rebuilt from the deep redundancy in a later packet; only builds with the feature `deep` do.
    Dred,
    /// Invented from what came before, or faded to silence: the packet was missing or unreadable.
    Concealed,
}

/// Ticks of concealment in a row that still sound like the voice; after them it fades away.
pub const CONCEALED_AUDIBLE: u32 = 2;
/// 0 to 10: from 5 on libopus conceals deeply, from 7 on it enhances what was coded at a low rate (NoLACE).
#[cfg(feature = "deep")]
const COMPLEXITY: i32 = 7;

/// Decodes one voice, frame after frame, in order.
pub struct VoiceDecoder {
    opus: Decoder,
}

impl VoiceDecoder {
    /// A decoder in its initial state.
    ///
    /// # Errors
    /// [`CodecError`] where the library of this build does not work.
    pub fn new() -> Result<Self, CodecError> {
        #[cfg_attr(not(feature = "deep"), expect(unused_mut, reason = "only the deep build has something to set"))]
        let mut opus = Decoder::new(SAMPLE_RATE_HZ, Channels::Mono)?;
        #[cfg(feature = "deep")]
        opus.set_complexity(COMPLEXITY)?;
        Ok(VoiceDecoder { opus })
    }

    /// Decodes `frame` into `pcm`; conceals it if it is unreadable or not 20 ms long.
    pub fn decode(&mut self, frame: &[u8], pcm: &mut [f32; FRAME]) -> Outcome {
        if is_one_frame(frame) && self.run(frame, pcm, false) { Outcome::Decoded } else { self.conceal(pcm) }
    }

    /// Rebuilds the frame before `next` from what `next` carries of it; conceals it if that is nothing.
    ///
    /// libopus falls back to concealment by itself when the packet has no copy, and does not say so; [`has_fec`] does.
    pub fn decode_fec(&mut self, next: &[u8], pcm: &mut [f32; FRAME]) -> Outcome {
        if is_one_frame(next) && has_fec(next) && self.run(next, pcm, true) {
            Outcome::Fec
        } else {
            self.decode_dred(next, 1, pcm)
        }
    }

    /// Rebuilds the frame that is `ahead` frames before `later` from the deep redundancy in it; conceals it if there is none.
    pub fn decode_dred(&mut self, later: &[u8], ahead: u32, pcm: &mut [f32; FRAME]) -> Outcome {
        if self.run_dred(later, ahead, pcm) { Outcome::Dred } else { self.conceal(pcm) }
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

    #[cfg(feature = "deep")]
    fn run_dred(&mut self, later: &[u8], ahead: u32, pcm: &mut [f32; FRAME]) -> bool {
        is_one_frame(later)
            && may_have_dred(later)
            && self.opus.decode_dred(later, FRAME.saturating_mul(ahead as usize), pcm)
            && pcm.iter().all(|s| s.is_finite())
    }

    #[cfg(not(feature = "deep"))]
    fn run_dred(&mut self, _later: &[u8], _ahead: u32, _pcm: &mut [f32; FRAME]) -> bool {
        false
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
    silk_flags(packet).is_some_and(|flags| flags & 0x40 != 0)
}

/// Whether a mono packet of one 20 ms frame says that nobody speaks in it, so that the next may not be sent at all.
pub fn is_pause(packet: &[u8]) -> bool {
    silk_flags(packet).is_some_and(|flags| flags & 0x80 == 0)
}

/// The byte that begins with the flags of a mono SILK or hybrid frame; none if the packet has no such frame, or several.
fn silk_flags(packet: &[u8]) -> Option<u8> {
    let (toc, rest) = packet.split_first()?;
    // Configurations 0 to 15 are SILK and hybrid; the third bit is stereo, the last two are the code (RFC 6716 section 3.1).
    if toc >> 3 >= 16 || toc & 0b100 != 0 {
        return None;
    }
    match toc & 0b11 {
        0 => rest.first().copied(),
        // One frame with padding, whose length comes first, in bytes of 255 and a last that is less (section 3.2.5).
        3 => {
            let (count, rest) = rest.split_first()?;
            let lengths = rest.iter().take_while(|byte| **byte == 255).count() + 1;
            let at = if count & 0x40 != 0 { lengths } else { 0 };
            rest.get(at).copied().filter(|_| count & 0x3F == 1)
        }
        _ => None,
    }
}

/// Whether a packet may carry deep redundancy: it travels in the padding, which only packets of code 3 have (RFC 6716 section
/// 3.2.5).
pub fn may_have_dred(packet: &[u8]) -> bool {
    cfg!(feature = "deep") && matches!(packet, [toc, count, ..] if toc & 0b11 == 3 && count & 0x40 != 0)
}
