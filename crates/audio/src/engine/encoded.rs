//! The encoder of a voice, which follows what listeners lose of it.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use treehouse_wire::Level;

use crate::{
    encode::{Adaptation, CodecError, EncoderSettings, LossReport, Sizes, VoiceEncoder},
    engine::CaptureOptions,
    mix::Block,
};

/// What listeners lost lately, from whoever is told to the thread that encodes. Only the newest report is kept.
#[derive(Clone, Default)]
pub(super) struct Lost(Arc<Mutex<Option<LossReport>>>);

impl Lost {
    pub(super) fn put(&self, report: LossReport) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(report);
    }

    fn take(&self) -> Option<LossReport> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The encoder, and what it goes by.
pub(super) struct EncodedVoice {
    encoder: VoiceEncoder,
    adaptation: Adaptation,
    dtx: bool,
    lost: Lost,
}

impl EncodedVoice {
    /// With packets of one size or, otherwise, with none where nobody speaks, as the options say.
    pub(super) fn new(options: &CaptureOptions, lost: Lost) -> Result<Self, CodecError> {
        let sizes = if options.one_size { Sizes::One } else { Sizes::Free };
        let (encoder, adaptation) = match options.music {
            Some(music) => (VoiceEncoder::music(music.bitrate())?, Adaptation::music(music.bitrate(), sizes)),
            None => (VoiceEncoder::new()?, Adaptation::new(sizes)),
        };
        let mut voice = EncodedVoice { encoder, adaptation, dtx: options.dtx, lost };
        voice.adapt()?;
        Ok(voice)
    }

    fn adapt(&mut self) -> Result<(), CodecError> {
        let settings = self.adaptation.settings();
        self.encoder.adapt(EncoderSettings { dtx: settings.dtx && self.dtx, ..settings })
    }

    /// The level of a frame and its packet; no packet where nobody speaks and that is not sent.
    pub(super) fn encode(&mut self, pcm: &Block) -> Result<(Level, Option<Bytes>), CodecError> {
        if let Some(report) = self.lost.take() {
            self.adaptation.report(report);
            self.adapt()?;
        }
        self.encoder.encode_block(pcm)
    }
}
