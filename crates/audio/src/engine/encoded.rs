//! The encoder of a voice, which follows what listeners lose of it.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use treehouse_wire::Level;

use crate::{
    FRAME,
    encode::{Adaptation, CodecError, EncoderSettings, LossReport, Sizes, VoiceEncoder},
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
    /// With packets of one size or, otherwise, with none where nobody speaks, if `dtx`.
    pub(super) fn new(one_size: bool, dtx: bool, lost: Lost) -> Result<Self, CodecError> {
        let adaptation = Adaptation::new(if one_size { Sizes::One } else { Sizes::Free });
        let mut voice = EncodedVoice { encoder: VoiceEncoder::new()?, adaptation, dtx, lost };
        voice.adapt()?;
        Ok(voice)
    }

    fn adapt(&mut self) -> Result<(), CodecError> {
        let settings = self.adaptation.settings();
        self.encoder.adapt(EncoderSettings { dtx: settings.dtx && self.dtx, ..settings })
    }

    /// The level of a frame and its packet; no packet where nobody speaks and that is not sent.
    pub(super) fn encode(&mut self, pcm: &[f32; FRAME]) -> Result<(Level, Option<Bytes>), CodecError> {
        if let Some(report) = self.lost.take() {
            self.adaptation.report(report);
            self.adapt()?;
        }
        self.encoder.encode(pcm)
    }
}
