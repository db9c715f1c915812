//! WAV, FLAC, MP3, AAC, Ogg Vorbis and whatever else `symphonia` reads.

use std::path::Path;

use symphonia::core::{
    codecs::audio::{AudioDecoder, AudioDecoderOptions},
    errors::Error,
    formats::{FormatOptions, FormatReader, TrackType, probe::Hint},
    io::{MediaSource, MediaSourceStream},
    meta::MetadataOptions,
};

use super::{Width, downmix::Downmix, file::PcmReader};

/// Packets in a row that may fail to decode before the file counts as broken: two seconds of MP3.
const BAD_PACKETS_MAX: usize = 80;

pub(super) struct Container {
    format: Box<dyn FormatReader>,
    decoder: Box<dyn AudioDecoder>,
    track: u32,
    rate_hz: u32,
    interleaved: Vec<f32>,
    downmix: Downmix,
}

impl Container {
    pub(super) fn open(path: &Path, source: Box<dyn MediaSource>, width: Width) -> Result<Self, String> {
        let mut hint = Hint::new();
        if let Some(extension) = path.extension().and_then(|e| e.to_str()) {
            hint.with_extension(extension);
        }
        let stream = MediaSourceStream::new(source, Default::default());
        let format = symphonia::default::get_probe()
            .probe(&hint, stream, FormatOptions::default(), MetadataOptions::default())
            .map_err(|_| "no known format".to_owned())?;
        let track = format.default_track(TrackType::Audio).ok_or("it has no audio track")?;
        let parameters = track.codec_params.as_ref().and_then(|p| p.audio()).ok_or("its audio track has no codec")?;
        let rate_hz = parameters.sample_rate.ok_or("it does not say its sample rate")?;
        let decoder = symphonia::default::get_codecs()
            .make_audio_decoder(parameters, &AudioDecoderOptions::default())
            .map_err(|error| error.to_string())?;
        let track = track.id;
        Ok(Container { format, decoder, track, rate_hz, interleaved: Vec::new(), downmix: Downmix::to(width) })
    }
}

impl PcmReader for Container {
    fn rate_hz(&self) -> u32 {
        self.rate_hz
    }

    fn read(&mut self, out: &mut Vec<f32>) -> Result<bool, String> {
        for _ in 0..BAD_PACKETS_MAX {
            let packet = match self.format.next_packet() {
                Ok(Some(packet)) if packet.track_id != self.track => continue,
                Ok(Some(packet)) => packet,
                // A file that was cut off ends where it was cut.
                Ok(None) | Err(Error::IoError(_) | Error::ResetRequired) => return Ok(false),
                Err(error) => return Err(error.to_string()),
            };
            match self.decoder.decode(&packet) {
                Ok(buffer) => {
                    if buffer.spec().rate() != self.rate_hz {
                        return Err("its sample rate changes midway".to_owned());
                    }
                    self.downmix.set(buffer.spec().channels());
                    buffer.copy_to_vec_interleaved(&mut self.interleaved);
                    self.downmix.apply(&self.interleaved, out);
                    return Ok(true);
                }
                Err(Error::DecodeError(_) | Error::IoError(_)) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        Err("too much of it cannot be decoded".to_owned())
    }
}
