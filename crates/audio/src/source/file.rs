//! A sound file, or bytes that come in one after the other, as a stream of 48 kHz frames, mono or stereo.

use std::{
    fs::File,
    io::{self, Cursor, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use symphonia::core::io::{MediaSource, ReadOnlySource};
use treehouse_wire::units::SAMPLE_RATE_HZ;

use super::{SourceError, Width, container::Container, ogg_opus::OggOpus, raw::RawPcm};
use crate::{
    FRAME,
    mix::Block,
    resample::{RATE_HZ_MAX, RATE_HZ_MIN, ResampleError, Resampler},
    samples::Sample,
    sink::Samples,
};

/// What is looked at to tell Ogg Opus from other files.
const HEAD_BYTES: usize = 128;

/// A decoder of one file: yields samples at the file's own rate, of one channel or of left and right in turn.
pub(super) trait PcmReader: Send {
    /// Samples a second.
    fn rate_hz(&self) -> u32;
    /// Appends some samples to `out`; false at the end. The error says in a few words what is wrong with the file.
    fn read(&mut self, out: &mut Vec<f32>) -> Result<bool, String>;
}

/// A file or a stream being read, or a sample that comes with the program.
pub struct FileSource {
    path: PathBuf,
    reader: Box<dyn PcmReader>,
    /// One, or left and right.
    channels: Vec<Channel>,
    /// Samples at the file's rate, just decoded, of all channels in turn.
    decoded: Vec<f32>,
    ended: bool,
}

struct Channel {
    resampler: Resampler,
    /// Samples at the file's rate, just decoded.
    decoded: Vec<f32>,
    /// Samples at 48 kHz, not yet given out.
    ready: Vec<f32>,
}

impl Channel {
    fn fill(&mut self, out: &mut [f32; FRAME]) {
        let len = self.ready.len().min(FRAME);
        out.fill(0.0);
        out.iter_mut().zip(self.ready.drain(..len)).for_each(|(out, sample)| *out = sample);
    }
}

impl FileSource {
    /// Opens a file, mixed down to mono, and decodes its first frame.
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        Self::open_as(path, Width::Mono)
    }

    /// As [`FileSource::open`], with as many channels as are wanted.
    pub fn open_as(path: &Path, width: Width) -> Result<Self, SourceError> {
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
        let mut file = File::open(path).map_err(unreadable)?;
        let head = head_of(&mut file).map_err(unreadable)?;
        file.seek(SeekFrom::Start(0)).map_err(unreadable)?;
        Self::decode(path, path, &head, Box::new(file), width)
    }

    /// One of the samples that come with the program, which are mono.
    pub fn sample(sample: Sample) -> Result<Self, SourceError> {
        let name = Path::new(sample.file_name());
        Self::decode(name, name, &[], Box::new(Cursor::new(sample.flac())), Width::Mono)
    }

    /// Bytes that come in one after the other, in any format that files may have and that needs no going back. `name` is what errors
    /// call it, `hint` a file name whose ending says what it probably is.
    ///
    /// # Errors
    /// [`SourceError`] where this is no sound that can be read.
    pub fn stream(
        name: &Path,
        hint: &Path,
        mut bytes: impl Read + Send + Sync + 'static,
        width: Width,
    ) -> Result<Self, SourceError> {
        let unreadable = |error| SourceError::Unreadable { path: name.to_owned(), error };
        let head = head_of(&mut bytes).map_err(unreadable)?;
        if head.is_empty() {
            return Err(SourceError::Empty(name.to_owned()));
        }
        let whole = Cursor::new(head.clone()).chain(bytes);
        Self::decode(name, hint, &head, Box::new(ReadOnlySource::new(whole)), width)
    }

    /// Bare samples, 48 kHz mono, that come in one after the other.
    ///
    /// # Errors
    /// [`SourceError`] where less than a frame of them comes.
    pub fn raw(name: &Path, samples: Samples, bytes: impl Read + Send + 'static) -> Result<Self, SourceError> {
        Self::start(name, Box::new(RawPcm::new(bytes, samples)), Width::Mono)
    }

    fn decode(
        path: &Path,
        hint: &Path,
        head: &[u8],
        source: Box<dyn MediaSource>,
        width: Width,
    ) -> Result<Self, SourceError> {
        let opened = if is_ogg_opus(head) {
            OggOpus::open(source, width).map(|opus| Box::new(opus) as Box<dyn PcmReader>)
        } else {
            Container::open(hint, source, width).map(|container| Box::new(container) as Box<dyn PcmReader>)
        };
        let reader = opened.map_err(|why| SourceError::NotAudio { path: path.to_owned(), why })?;
        Self::start(path, reader, width)
    }

    fn start(path: &Path, reader: Box<dyn PcmReader>, width: Width) -> Result<Self, SourceError> {
        let (path, rate_hz) = (path.to_owned(), reader.rate_hz());
        if !(RATE_HZ_MIN..=RATE_HZ_MAX).contains(&rate_hz) {
            return Err(SourceError::Rate { path, rate_hz });
        }
        let channel = || {
            let resampler = Resampler::new(rate_hz, SAMPLE_RATE_HZ)?;
            Ok(Channel { resampler, decoded: Vec::new(), ready: Vec::new() })
        };
        let channels: Result<Vec<Channel>, ResampleError> = (0..width.channels()).map(|_| channel()).collect();
        let channels = match channels {
            Ok(channels) => channels,
            Err(error) => return Err(SourceError::NotAudio { path, why: error.to_string() }),
        };
        let mut file = FileSource { path, reader, channels, decoded: Vec::new(), ended: false };
        file.fill()?;
        match file.ready() {
            0 => Err(SourceError::Empty(file.path)),
            FRAME.. => Ok(file),
            len => Err(SourceError::TooShort { path: file.path, ms: len as u64 * 1000 / u64::from(SAMPLE_RATE_HZ) }),
        }
    }

    /// Fills the next 20 ms, the last with silence at its end; false when there is nothing left. Two channels are mixed down.
    ///
    /// # Errors
    /// [`SourceError::NotAudio`] where the file cannot be decoded further; what was decoded so far has been given out.
    pub fn next_frame(&mut self, pcm: &mut [f32; FRAME]) -> Result<bool, SourceError> {
        let mut block = Block::default();
        let more = self.next_block(&mut block)?;
        if more {
            *pcm = block.mono();
        }
        Ok(more)
    }

    /// As [`FileSource::next_frame`], left and right: the same on both sides where there is one channel.
    ///
    /// # Errors
    /// As there.
    pub fn next_block(&mut self, block: &mut Block) -> Result<bool, SourceError> {
        let failed = self.fill().err();
        if self.ready() == 0 {
            return failed.map_or(Ok(false), Err);
        }
        match self.channels.as_mut_slice() {
            [left, right] => {
                left.fill(&mut block.left);
                right.fill(&mut block.right);
            }
            one => {
                one.iter_mut().for_each(|channel| channel.fill(&mut block.left));
                block.right = block.left;
            }
        }
        Ok(true)
    }

    /// Samples of each channel that can be given out.
    fn ready(&self) -> usize {
        self.channels.first().map_or(0, |channel| channel.ready.len())
    }

    /// Decodes until a frame is ready or the file ends.
    fn fill(&mut self) -> Result<(), SourceError> {
        while self.ready() < FRAME && !self.ended {
            self.decoded.clear();
            let result = self.reader.read(&mut self.decoded);
            self.decoded.iter_mut().filter(|s| !s.is_finite()).for_each(|s| *s = 0.0);
            let step = self.channels.len().max(1);
            for (at, channel) in self.channels.iter_mut().enumerate() {
                channel.decoded.clear();
                channel.decoded.extend(self.decoded.iter().skip(at).step_by(step));
                channel.resampler.push(&channel.decoded, &mut channel.ready);
            }
            match result {
                Ok(true) => {}
                Ok(false) => {
                    self.ended = true;
                    self.channels.iter_mut().for_each(|channel| channel.resampler.finish(&mut channel.ready));
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

/// The first bytes; fewer only where there are no more.
fn head_of(bytes: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(HEAD_BYTES);
    bytes.take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// Looks at the first page: an Ogg stream whose first packet is an Opus header (RFC 7845 section 5.1).
fn is_ogg_opus(head: &[u8]) -> bool {
    head.starts_with(b"OggS") && head.windows(8).any(|window| window == b"OpusHead")
}
