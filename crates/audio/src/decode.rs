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
use crate::{FRAME, encode::CodecError, mix::Block};

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
///
/// A voice is mono until its first packet in stereo comes, and stereo from then on: mono packets sound on both sides then.
pub struct VoiceDecoder {
    opus: Decoder,
    stereo: bool,
    /// What was decoded last: a frame, or two with a left and a right sample in turn.
    decoded: Vec<f32>,
}

impl VoiceDecoder {
    /// A decoder in its initial state.
    ///
    /// # Errors
    /// [`CodecError`] where the library of this build does not work.
    pub fn new() -> Result<Self, CodecError> {
        Ok(VoiceDecoder { opus: decoder(Channels::Mono)?, stereo: false, decoded: vec![0.0; FRAME] })
    }

    /// Whether the voice is in stereo.
    pub fn is_stereo(&self) -> bool {
        self.stereo
    }

    /// Decodes `frame` into `pcm`, a stereo one mixed down; conceals it if it is unreadable or not 20 ms long.
    pub fn decode(&mut self, frame: &[u8], pcm: &mut [f32; FRAME]) -> Outcome {
        let outcome = self.next(frame);
        *pcm = self.block().mono();
        outcome
    }

    /// As [`VoiceDecoder::decode`], left and right.
    pub fn decode_block(&mut self, frame: &[u8], out: &mut Block) -> Outcome {
        let outcome = self.next(frame);
        *out = self.block();
        outcome
    }

    /// Rebuilds the frame before `next` from what `next` carries of it; conceals it if that is nothing.
    ///
    /// libopus falls back to concealment by itself when the packet has no copy, and does not say so; [`has_fec`] does.
    pub fn decode_fec(&mut self, next: &[u8], pcm: &mut [f32; FRAME]) -> Outcome {
        let outcome = self.before(next);
        *pcm = self.block().mono();
        outcome
    }

    /// As [`VoiceDecoder::decode_fec`], left and right.
    pub fn decode_fec_block(&mut self, next: &[u8], out: &mut Block) -> Outcome {
        let outcome = self.before(next);
        *out = self.block();
        outcome
    }

    /// Rebuilds the frame that is `ahead` frames before `later` from the deep redundancy in it; conceals it if there is none.
    pub fn decode_dred(&mut self, later: &[u8], ahead: u32, pcm: &mut [f32; FRAME]) -> Outcome {
        let outcome = self.deep(later, ahead);
        *pcm = self.block().mono();
        outcome
    }

    /// As [`VoiceDecoder::decode_dred`], left and right.
    pub fn decode_dred_block(&mut self, later: &[u8], ahead: u32, out: &mut Block) -> Outcome {
        let outcome = self.deep(later, ahead);
        *out = self.block();
        outcome
    }

    /// Invents a frame that continues what came before; repeated, it dies away.
    pub fn conceal(&mut self, pcm: &mut [f32; FRAME]) -> Outcome {
        let outcome = self.invent();
        *pcm = self.block().mono();
        outcome
    }

    /// As [`VoiceDecoder::conceal`], left and right.
    pub fn conceal_block(&mut self, out: &mut Block) -> Outcome {
        let outcome = self.invent();
        *out = self.block();
        outcome
    }

    fn next(&mut self, frame: &[u8]) -> Outcome {
        if !is_one_frame(frame) {
            return self.invent();
        }
        self.widen(frame);
        if self.run(frame, false) { Outcome::Decoded } else { self.invent() }
    }

    fn before(&mut self, next: &[u8]) -> Outcome {
        if is_one_frame(next) && has_fec(next) && self.run(next, true) { Outcome::Fec } else { self.deep(next, 1) }
    }

    fn deep(&mut self, later: &[u8], ahead: u32) -> Outcome {
        if self.run_dred(later, ahead) { Outcome::Dred } else { self.invent() }
    }

    fn invent(&mut self) -> Outcome {
        if !self.run(&[], false) {
            self.decoded.fill(0.0);
        }
        Outcome::Concealed
    }

    /// Goes over to stereo at the first such packet. Of what came before the new decoder knows nothing: a voice does so once, at its start.
    fn widen(&mut self, frame: &[u8]) {
        // RFC 6716 section 3.1: the third lowest bit of the first byte.
        let stereo = frame.first().is_some_and(|toc| toc & 0b100 != 0);
        if !stereo || self.stereo {
            return;
        }
        if let Ok(opus) = decoder(Channels::Stereo) {
            (self.opus, self.stereo) = (opus, true);
            self.decoded.resize(2 * FRAME, 0.0);
        }
    }

    fn run(&mut self, frame: &[u8], fec: bool) -> bool {
        matches!(self.opus.decode_float(frame, &mut self.decoded, fec), Ok(FRAME))
            && self.decoded.iter().all(|s| s.is_finite())
    }

    fn block(&self) -> Block {
        let mut block = Block::default();
        if self.stereo {
            let (pairs, _) = self.decoded.as_chunks::<2>();
            for (pair, (left, right)) in pairs.iter().zip(block.left.iter_mut().zip(&mut block.right)) {
                [*left, *right] = *pair;
            }
        } else {
            block.left.iter_mut().zip(&self.decoded).for_each(|(out, sample)| *out = *sample);
            block.right = block.left;
        }
        block
    }

    #[cfg(feature = "deep")]
    fn run_dred(&mut self, later: &[u8], ahead: u32) -> bool {
        is_one_frame(later)
            && may_have_dred(later)
            && self.opus.decode_dred(later, FRAME.saturating_mul(ahead as usize), &mut self.decoded)
            && self.decoded.iter().all(|s| s.is_finite())
    }

    #[cfg(not(feature = "deep"))]
    fn run_dred(&mut self, _later: &[u8], _ahead: u32) -> bool {
        false
    }
}

fn decoder(channels: Channels) -> Result<Decoder, CodecError> {
    #[cfg_attr(not(feature = "deep"), expect(unused_mut, reason = "only the deep build has something to set"))]
    let mut opus = Decoder::new(SAMPLE_RATE_HZ, channels)?;
    #[cfg(feature = "deep")]
    opus.set_complexity(COMPLEXITY)?;
    Ok(opus)
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
