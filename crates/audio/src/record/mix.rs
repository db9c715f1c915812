//! The mix of a recording: each voice as it comes, added up and encoded once more.

use opus::{Application, Bitrate, Channels, Encoder};
use treehouse_wire::units::SAMPLE_RATE_HZ;

use super::{CONCEALED_MAX, SPEAKERS_MAX};
use crate::{
    FRAME,
    decode::VoiceDecoder,
    encode::CodecError,
    mix::{Block, Fade, Mixer},
};

/// At this rate a mix of voices is not told from its source; music takes more, but less than it came with is enough beside its own track.
const BITRATE_BPS: i32 = 64_000;
/// Longest packet of one frame of 20 ms.
const PACKET_BYTES_MAX: usize = 1_275;

struct Voice {
    decoder: VoiceDecoder,
    fade: Fade,
    missing: u32,
}

pub(super) struct Mix {
    voices: Vec<Voice>,
    mixer: Mixer,
    encoder: Encoder,
}

/// The encoder, and by how many samples what it writes is late.
pub(super) fn encoder() -> Result<(Encoder, u16), CodecError> {
    let mut encoder = Encoder::new(SAMPLE_RATE_HZ, Channels::Stereo, Application::Audio)?;
    encoder.set_bitrate(Bitrate::Bits(BITRATE_BPS))?;
    let lookahead = encoder.get_lookahead()?;
    Ok((encoder, u16::try_from(lookahead).unwrap_or(0)))
}

impl Mix {
    pub(super) fn new() -> Result<Self, CodecError> {
        let voice = |_| Ok(Voice { decoder: VoiceDecoder::new()?, fade: Fade::default(), missing: u32::MAX });
        let voices = (0..SPEAKERS_MAX).map(voice).collect::<Result<_, CodecError>>()?;
        Ok(Mix { voices, mixer: Mixer::default(), encoder: encoder()?.0 })
    }

    /// Adds 20 ms of a speaker, or what a decoder makes of a frame that is missing.
    pub(super) fn add(&mut self, speaker: usize, frame: Option<&[u8]>) {
        let Some(voice) = self.voices.get_mut(speaker) else { return };
        let mut pcm = Block::default();
        match frame {
            Some(frame) => {
                voice.missing = 0;
                voice.decoder.decode_block(frame, &mut pcm);
            }
            None => {
                voice.missing = voice.missing.saturating_add(1);
                if voice.fade.is_silent() {
                    return;
                }
                voice.decoder.conceal_block(&mut pcm);
            }
        }
        let audible = voice.missing <= CONCEALED_MAX;
        // Both sides by the same gain.
        let mut other = voice.fade;
        other.apply(&mut pcm.right, audible);
        voice.fade.apply(&mut pcm.left, audible);
        let Block { left, right } = self.mixer.block();
        for (sum, sample) in left.iter_mut().zip(&pcm.left).chain(right.iter_mut().zip(&pcm.right)) {
            *sum += sample;
        }
    }

    /// The 20 ms, as one packet.
    pub(super) fn finish(&mut self) -> Result<Vec<u8>, CodecError> {
        let mut block = Block::default();
        self.mixer.finish(&mut block);
        let mut packet = vec![0; PACKET_BYTES_MAX];
        let mut interleaved = [0.0; 2 * FRAME];
        let sides = block.left.iter().zip(&block.right).flat_map(|(left, right)| [*left, *right]);
        interleaved.iter_mut().zip(sides).for_each(|(out, sample)| *out = sample);
        let len = self.encoder.encode_float(&interleaved, &mut packet)?;
        packet.truncate(len);
        Ok(packet)
    }
}
