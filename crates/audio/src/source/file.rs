//! A sound file as a stream of 48 kHz mono frames.

use std::{
    fs::File,
    io::{self, Cursor, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use symphonia::core::io::MediaSource;
use treehouse_wire::units::SAMPLE_RATE_HZ;

use super::{SourceError, container::Container, ogg_opus::OggOpus};
use crate::{FRAME, resample::Resampler, samples::Sample};

/// A decoder of one file: yields mono samples at the file's own rate.
pub(super) trait PcmReader: Send {
    /// Samples a second.
    fn rate_hz(&self) -> u32;
    /// Appends some samples to `mono`; false at the end. The error says in a few words what is wrong with the file.
    fn read(&mut self, mono: &mut Vec<f32>) -> Result<bool, String>;
}

/// Averages interleaved channels and appends the result.
pub(super) fn mix_down(interleaved: &[f32], channels: usize, mono: &mut Vec<f32>) {
    let channels = channels.max(1);
    mono.extend(interleaved.chunks_exact(channels).map(|frame| frame.iter().sum::<f32>() / channels as f32));
}

/// A file being read, or a sample that comes with the program.
pub struct FileSource {
    path: PathBuf,
    reader: Box<dyn PcmReader>,
    resampler: Resampler,
    /// Samples at the file's rate, just decoded.
    mono: Vec<f32>,
    /// Samples at 48 kHz, not yet given out.
    ready: Vec<f32>,
    ended: bool,
}

impl FileSource {
    /// Opens a file and decodes its first frame.
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        let unreadable = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => SourceError::Missing(path.to_owned()),
            _ => SourceError::Unreadable { path: path.to_owned(), error },
        };
        let metadata = std::fs::metadata(path).map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(SourceError::NotAFile(path.to_owned()));
        }
        if metadata.len() == 0 {
            return Err(SourceError::Empty(path.to_owned()));
        }
        Self::decode(path, Box::new(File::open(path).map_err(unreadable)?))
    }

    /// One of the samples that come with the program.
    pub fn sample(sample: Sample) -> Result<Self, SourceError> {
        Self::decode(Path::new(sample.file_name()), Box::new(Cursor::new(sample.flac())))
    }

    fn decode(path: &Path, mut source: Box<dyn MediaSource>) -> Result<Self, SourceError> {
        let path = path.to_owned();
        let opened = is_ogg_opus(&mut source).and_then(|opus| -> Result<Box<dyn PcmReader>, String> {
            Ok(if opus { Box::new(OggOpus::open(source)?) } else { Box::new(Container::open(&path, source)?) })
        });
        let opened = opened.and_then(|reader| {
            let resampler = Resampler::new(reader.rate_hz(), SAMPLE_RATE_HZ).map_err(|error| error.to_string())?;
            Ok((reader, resampler))
        });
        let (reader, resampler) = match opened {
            Ok(opened) => opened,
            Err(why) => return Err(SourceError::NotAudio { path, why }),
        };
        let mut file = FileSource { path, reader, resampler, mono: Vec::new(), ready: Vec::new(), ended: false };
        file.fill()?;
        match file.ready.len() {
            0 => Err(SourceError::Empty(file.path)),
            FRAME.. => Ok(file),
            len => Err(SourceError::TooShort { path: file.path, ms: len as u64 * 1000 / u64::from(SAMPLE_RATE_HZ) }),
        }
    }

    /// Fills the next 20 ms, the last with silence at its end; false when there is nothing left.
    ///
    /// # Errors
    /// [`SourceError::NotAudio`] where the file cannot be decoded further; what was decoded so far has been given out.
    pub fn next_frame(&mut self, pcm: &mut [f32; FRAME]) -> Result<bool, SourceError> {
        let failed = self.fill().err();
        if self.ready.is_empty() {
            return failed.map_or(Ok(false), Err);
        }
        let len = self.ready.len().min(FRAME);
        pcm.fill(0.0);
        pcm.iter_mut().zip(self.ready.drain(..len)).for_each(|(out, sample)| *out = sample);
        Ok(true)
    }

    /// Decodes until a frame is ready or the file ends.
    fn fill(&mut self) -> Result<(), SourceError> {
        while self.ready.len() < FRAME && !self.ended {
            self.mono.clear();
            let result = self.reader.read(&mut self.mono);
            self.mono.iter_mut().filter(|s| !s.is_finite()).for_each(|s| *s = 0.0);
            self.resampler.push(&self.mono, &mut self.ready);
            match result {
                Ok(true) => {}
                Ok(false) => {
                    self.ended = true;
                    self.resampler.finish(&mut self.ready);
                }
                Err(why) => {
                    self.ended = true;
                    return Err(SourceError::NotAudio { path: self.path.clone(), why });
                }
            }
        }
        Ok(())
    }
}

/// Looks at the first page: an Ogg stream whose first packet is an Opus header (RFC 7845 section 5.1).
fn is_ogg_opus(source: &mut Box<dyn MediaSource>) -> Result<bool, String> {
    let mut head = [0; 128];
    let mut len = 0;
    while let Some(rest) = head.get_mut(len..).filter(|rest| !rest.is_empty()) {
        match source.read(rest) {
            Ok(0) => break,
            Ok(n) => len += n,
            Err(error) => return Err(error.to_string()),
        }
    }
    source.seek(SeekFrom::Start(0)).map_err(|error| error.to_string())?;
    Ok(head.starts_with(b"OggS") && head.windows(8).any(|window| window == b"OpusHead"))
}
