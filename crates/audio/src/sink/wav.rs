//! A WAV file that is valid at any moment, also after the process was killed.
//!
//! The header's lengths are brought up to date every second, so that a file that was never closed plays up to its last
//! second.

use std::{
    fs::File,
    io::BufWriter,
    path::{Path, PathBuf},
};

use hound::{SampleFormat, WavSpec, WavWriter};
use treehouse_wire::units::SAMPLE_RATE_HZ;

use super::SinkError;
use crate::FRAME;

/// Blocks between two updates of the header: one second.
const FLUSH_BLOCKS: u32 = 50;
/// A WAV file's length field has 32 bits; at 96 kB/s that is 12 hours, after which writing stops.
const SAMPLES_MAX: u32 = (u32::MAX - 1024) / 2;

/// A recording under way: 48 kHz, mono, 16 bits.
pub struct WavFile {
    path: PathBuf,
    writer: WavWriter<BufWriter<File>>,
    blocks: u32,
}

impl WavFile {
    /// Makes the file, replacing one of that name, and writes a header that is valid already.
    pub fn create(path: &Path) -> Result<Self, SinkError> {
        let spec =
            WavSpec { channels: 1, sample_rate: SAMPLE_RATE_HZ, bits_per_sample: 16, sample_format: SampleFormat::Int };
        let failed = |error: hound::Error| SinkError::File { path: path.to_owned(), why: error.to_string() };
        let mut writer = WavWriter::create(path, spec).map_err(failed)?;
        writer.flush().map_err(failed)?;
        Ok(WavFile { path: path.to_owned(), writer, blocks: 0 })
    }

    /// Appends 20 ms. A file that has reached the format's limit takes no more, silently.
    pub fn write(&mut self, block: &[f32; FRAME]) -> Result<(), SinkError> {
        if self.writer.len() > SAMPLES_MAX - FRAME as u32 {
            return Ok(());
        }
        self.append(block).map_err(|error| self.failed(error))
    }

    /// Brings the header up to date and closes the file.
    pub fn finish(self) -> Result<(), SinkError> {
        let path = self.path;
        self.writer.finalize().map_err(|error| SinkError::File { path, why: error.to_string() })
    }

    fn append(&mut self, block: &[f32; FRAME]) -> hound::Result<()> {
        let mut samples = self.writer.get_i16_writer(FRAME as u32);
        for sample in block {
            samples.write_sample((sample * 32_767.0).round().clamp(-32_768.0, 32_767.0) as i16);
        }
        samples.flush()?;
        self.blocks += 1;
        if self.blocks >= FLUSH_BLOCKS {
            self.blocks = 0;
            self.writer.flush()?;
        }
        Ok(())
    }

    fn failed(&self, error: hound::Error) -> SinkError {
        SinkError::File { path: self.path.clone(), why: error.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_that_was_never_closed_plays_to_its_last_second() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("heard.wav");
        let mut wav = WavFile::create(&path).unwrap();
        assert_eq!(hound::WavReader::open(&path).unwrap().len(), 0, "valid before the first sample");
        for _ in 0..120 {
            wav.write(&[0.5; FRAME]).unwrap();
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
        let mut wav = WavFile::create(&path).unwrap();
        wav.write(&[2.0; FRAME]).unwrap();
        wav.write(&[-2.0; FRAME]).unwrap();
        wav.finish().unwrap();
        let samples: Vec<i16> = hound::WavReader::open(&path).unwrap().into_samples().map(|s| s.unwrap()).collect();
        assert_eq!((samples.len(), samples[0], samples[FRAME]), (2 * FRAME, i16::MAX, i16::MIN));
    }

    #[test]
    fn a_folder_that_is_not_there_is_said_so() {
        let error = WavFile::create(Path::new("/nowhere/at/all.wav")).map(|_| ()).unwrap_err();
        assert!(error.to_string().starts_with("cannot write /nowhere/at/all.wav"), "{error}");
    }
}
