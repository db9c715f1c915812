//! PCM to Opus (RFC 6716): 48 kHz, frames of 20 ms. A voice is mono at about 32 kbit/s, with redundancy that follows what is lost;
//! music is stereo at 96 to 128 kbit/s, without, since only the speech coder has it.

use bytes::Bytes;
#[cfg(not(feature = "deep"))]
use opus::Encoder;
use opus::{Application, Bitrate, Channels, Signal};
use treehouse_wire::{Level, limits::OPUS_FRAME_BYTES_MAX, units::SAMPLE_RATE_HZ};

pub use crate::adapt::{Adaptation, EncoderSettings, LossReport, Sizes};
#[cfg(feature = "deep")]
use crate::deep::Encoder;
use crate::{FRAME, level::level, mix::Block};

/// A library of sound refused: a fault of this build, not of the input.
#[derive(Debug, thiserror::Error)]
#[error("a library of sound failed in {function}: {what}; this is a fault of this program, please report it")]
pub struct CodecError {
    pub(crate) function: &'static str,
    pub(crate) what: &'static str,
}

impl From<opus::Error> for CodecError {
    fn from(error: opus::Error) -> Self {
        CodecError { function: error.function(), what: error.description() }
    }
}

/// Encodes one voice, frame after frame.
pub struct VoiceEncoder {
    opus: Encoder,
    settings: EncoderSettings,
    /// In stereo: room for a left and a right sample in turn.
    pairs: Option<Vec<f32>>,
}

impl VoiceEncoder {
    /// An encoder for speech, before anything is known of what gets lost, whose packets have the size that their content needs.
    ///
    /// # Errors
    /// [`CodecError`] where the library of this build does not work.
    pub fn new() -> Result<Self, CodecError> {
        // Audio rather than VoIP: the latter's high-pass filter takes the chest out of a voice (PESQ 4.34 against 4.38).
        // Told that it is a voice and that packets get lost, libopus chooses the hybrid mode, which carries FEC, anyway.
        let mut opus = Encoder::new(SAMPLE_RATE_HZ, Channels::Mono, Application::Audio)?;
        opus.set_signal(Signal::Voice)?;
        Self::starting(opus, Adaptation::new(Sizes::Free), None)
    }

    /// An encoder for music in stereo, at so many bits a second.
    ///
    /// # Errors
    /// [`CodecError`] where the library of this build does not work.
    pub fn music(bitrate_bps: i32) -> Result<Self, CodecError> {
        let mut opus = Encoder::new(SAMPLE_RATE_HZ, Channels::Stereo, Application::Audio)?;
        opus.set_signal(Signal::Music)?;
        // The bitrate would let it choose; said, a quiet passage does not turn mono.
        opus.set_force_channels(Some(Channels::Stereo))?;
        Self::starting(opus, Adaptation::music(bitrate_bps, Sizes::Free), Some(vec![0.0; 2 * FRAME]))
    }

    fn starting(opus: Encoder, adaptation: Adaptation, pairs: Option<Vec<f32>>) -> Result<Self, CodecError> {
        let settings = EncoderSettings { dtx: false, ..adaptation.settings() };
        let mut encoder = VoiceEncoder { opus, settings, pairs };
        encoder.apply(settings)?;
        Ok(encoder)
    }

    /// Makes all packets of one size, whatever is said: where they are encrypted their sizes would tell (White et al., "Phonotactic
    /// reconstruction of encrypted VoIP conversations", IEEE S&P 2011).
    ///
    /// # Errors
    /// [`CodecError`] where the library of this build does not work.
    pub fn with_one_size(mut self) -> Result<Self, CodecError> {
        self.adapt(EncoderSettings { one_size: true, dtx: false, ..self.settings })?;
        Ok(self)
    }

    /// Encodes from the next frame on as `settings` say; costs nothing where they are the ones in force.
    ///
    /// # Errors
    /// [`CodecError`] where the library refuses a setting.
    pub fn adapt(&mut self, settings: EncoderSettings) -> Result<(), CodecError> {
        if settings != self.settings {
            self.apply(settings)?;
            self.settings = settings;
        }
        Ok(())
    }

    fn apply(&mut self, settings: EncoderSettings) -> Result<(), CodecError> {
        self.opus.set_bitrate(Bitrate::Bits(settings.bitrate_bps))?;
        self.opus.set_complexity(settings.complexity)?;
        self.opus.set_packet_loss_perc(settings.expected_loss_percent)?;
        self.opus.set_inband_fec(settings.fec)?;
        self.opus.set_dtx(settings.dtx)?;
        self.opus.set_vbr(!settings.one_size)?;
        #[cfg(feature = "deep")]
        self.opus.set_dred_duration(settings.dred_ms / 10)?;
        Ok(())
    }

    /// Encodes one frame of 960 samples; returns its level and at most [`OPUS_FRAME_BYTES_MAX`] bytes, or none where nobody
    /// speaks and [`EncoderSettings::dtx`] says that this is not sent.
    ///
    /// # Errors
    /// [`CodecError`] where the library of this build does not work.
    pub fn encode(&mut self, pcm: &[f32; FRAME]) -> Result<(Level, Option<Bytes>), CodecError> {
        match self.pairs {
            None => self.run(pcm),
            Some(_) => self.encode_block(&Block::both(*pcm)),
        }
    }

    /// As [`VoiceEncoder::encode`]: in stereo, or mixed down where the encoder is one for speech.
    ///
    /// # Errors
    /// [`CodecError`] where the library of this build does not work.
    pub fn encode_block(&mut self, block: &Block) -> Result<(Level, Option<Bytes>), CodecError> {
        let Some(mut pairs) = self.pairs.take() else { return self.run(&block.mono()) };
        pairs.clear();
        pairs.extend(block.left.iter().zip(&block.right).flat_map(|(left, right)| [*left, *right]));
        let encoded = self.run(&pairs);
        self.pairs = Some(pairs);
        encoded
    }

    fn run(&mut self, pcm: &[f32]) -> Result<(Level, Option<Bytes>), CodecError> {
        let mut out = [0; OPUS_FRAME_BYTES_MAX];
        let len = self.opus.encode_float(pcm, &mut out)?;
        // libopus makes packets of one or two bytes in a pause, and every 400 ms one with the noise of the room. Listeners fade
        // to silence well before that, so the noise would be heard as a tick: none of them is sent.
        let silent = self.settings.dtx && (len <= 2 || self.opus.get_in_dtx()?);
        let packet = out.get(..len).filter(|_| !silent).map(Bytes::copy_from_slice);
        Ok((level(pcm), packet))
    }

    /// How many samples the decoded sound lags the encoded, beyond whole frames.
    ///
    /// # Errors
    /// [`CodecError`] where the library of this build does not work.
    pub fn lookahead_samples(&mut self) -> Result<usize, CodecError> {
        Ok(self.opus.get_lookahead()?.max(0) as usize)
    }
}
