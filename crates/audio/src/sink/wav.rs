//! A WAV file that is valid at any moment, also after the process was killed.
//!
//! The header's lengths are brought up to date every second, so that a file that was never closed plays up to its last
//! second.

use std::{
    fs::File,
    io::{self, BufWriter},
    path::Path,
};

use hound::{SampleFormat, WavSpec, WavWriter};
use treehouse_wire::units::SAMPLE_RATE_HZ;

use super::{SinkError, SoundFile, raw::to_i16};
use crate::{FRAME, mix::Block};

/// Blocks between two updates of the header: one second.
const FLUSH_BLOCKS: u32 = 50;
/// A WAV file's length field has 32 bits; at 96 kB/s that is 12 hours, in stereo half of it, after which writing stops.
const SAMPLES_MAX: u32 = (u32::MAX - 1024) / 2;

/// A recording under way: 48 kHz, 16 bits.
pub struct WavFile {
    writer: WavWriter<BufWriter<File>>,
    channels: u16,
    blocks: u32,
}

impl WavFile {
    /// Makes the file, replacing one of that name, and writes a header that is valid already. It has one channel, or two.
    pub fn create(path: &Path, channels: u16) -> Result<Self, SinkError> {
        let spec =
            WavSpec { channels, sample_rate: SAMPLE_RATE_HZ, bits_per_sample: 16, sample_format: SampleFormat::Int };
        let failed = |error: hound::Error| SinkError::File { path: path.to_owned(), why: error.to_string() };
        let mut writer = WavWriter::create(path, spec).map_err(failed)?;
        writer.flush().map_err(failed)?;
        Ok(WavFile { writer, channels, blocks: 0 })
    }

    fn append(&mut self, block: &Block) -> hound::Result<()> {
        let mut samples = self.writer.get_i16_writer(FRAME as u32 * u32::from(self.channels));
        for (left, right) in block.left.iter().zip(&block.right) {
            samples.write_sample(to_i16(*left));
            if self.channels == 2 {
                samples.write_sample(to_i16(*right));
            }
        }
        samples.flush()?;
        self.blocks += 1;
        if self.blocks >= FLUSH_BLOCKS {
            self.blocks = 0;
            self.writer.flush()?;
        }
        Ok(())
    }
}

impl SoundFile for WavFile {
    /// A file that has reached the format's limit takes no more, silently.
    fn write(&mut self, block: &Block) -> io::Result<()> {
        if self.writer.len() > SAMPLES_MAX - 2 * FRAME as u32 {
            return Ok(());
        }
        self.append(block).map_err(as_io)
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        self.writer.finalize().map_err(as_io)
    }
}

fn as_io(error: hound::Error) -> io::Error {
    match error {
        hound::Error::IoError(error) => error,
        other => io::Error::other(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn constant(sample: f32) -> Block {
        Block { left: [sample; FRAME], right: [sample / 2.0; FRAME] }
    }

    #[test]
    fn a_recording_that_was_never_closed_plays_to_its_last_second() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("heard.wav");
        let mut wav = WavFile::create(&path, 1).unwrap();
        assert_eq!(hound::WavReader::open(&path).unwrap().len(), 0, "valid before the first sample");
        for _ in 0..120 {
            wav.write(&constant(0.5)).unwrap();
        }
        // As a kill leaves it: no destructor runs.
        std::mem::forget(wav);
        let reader = hound::WavReader::open(&path).unwrap();
        assert_eq!((reader.spec().sample_rate, reader.spec().channels, reader.len()), (48_000, 1, 2 * 48_000));
        assert!(reader.into_samples::<i16>().all(|s| s.unwrap() == 16_384));
    }

    #[test]
    fn a_closed_recording_has_every_sample_within_range() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("heard.wav");
        let mut wav = WavFile::create(&path, 1).unwrap();
        wav.write(&constant(2.0)).unwrap();
        wav.write(&constant(-2.0)).unwrap();
        Box::new(wav).finish().unwrap();
        let samples: Vec<i16> = hound::WavReader::open(&path).unwrap().into_samples().map(|s| s.unwrap()).collect();
        assert_eq!((samples.len(), samples[0], samples[FRAME]), (2 * FRAME, i16::MAX, i16::MIN));
    }

    #[test]
    fn a_folder_that_is_not_there_is_said_so() {
        let error = WavFile::create(Path::new("/nowhere/at/all.wav"), 1).map(|_| ()).unwrap_err();
        assert!(error.to_string().starts_with("cannot write /nowhere/at/all.wav"), "{error}");
    }

    #[test]
    fn a_stereo_recording_has_the_left_channel_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("heard.wav");
        let mut wav = Box::new(WavFile::create(&path, 2).unwrap());
        wav.write(&constant(0.5)).unwrap();
        wav.finish().unwrap();
        let reader = hound::WavReader::open(&path).unwrap();
        assert_eq!((reader.spec().channels, reader.duration()), (2, FRAME as u32));
        let samples: Vec<i16> = reader.into_samples().map(|s| s.unwrap()).collect();
        assert_eq!(samples[..4], [16_384, 8_192, 16_384, 8_192]);
    }
}
