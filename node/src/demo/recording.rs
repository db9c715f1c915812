//! Looks into a listener's recording: it must be sound, and as long as it should be.

use std::path::Path;

/// Quieter than this on the whole, a recording counts as silence: -60 dBFS.
const SILENCE_RMS: f64 = 0.001;

/// What is in a recording.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recording {
    /// Its length in seconds.
    pub seconds: f64,
    /// Its loudness over all, 1.0 being full scale.
    pub rms: f64,
}

impl Recording {
    /// Reads a WAV file to its end.
    ///
    /// # Errors
    /// One sentence, where it is no 16-bit WAV.
    pub fn read(path: &Path) -> Result<Self, String> {
        let wrong = |error: hound::Error| format!("{} cannot be played: {error}", path.display());
        let mut wav = hound::WavReader::open(path).map_err(wrong)?;
        let rate_hz = f64::from(wav.spec().sample_rate) * f64::from(wav.spec().channels);
        let (mut samples, mut energy) = (0_u64, 0.0);
        for sample in wav.samples::<i16>() {
            let value = f64::from(sample.map_err(wrong)?) / 32_768.0;
            samples += 1;
            energy += value * value;
        }
        let rms = if samples == 0 { 0.0 } else { (energy / samples as f64).sqrt() };
        Ok(Recording { seconds: samples as f64 / rate_hz.max(1.0), rms })
    }

    /// Nothing can be heard in it.
    pub fn is_silent(&self) -> bool {
        self.rms < SILENCE_RMS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, samples: impl Iterator<Item = i16>) {
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: 48_000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut wav = hound::WavWriter::create(path, spec).expect("a file");
        samples.for_each(|sample| wav.write_sample(sample).expect("space"));
        wav.finalize().expect("a header");
    }

    #[test]
    fn sound_is_told_from_silence_and_from_what_is_no_recording() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.wav");
        write(&path, (0..48_000).map(|i| if i % 100 < 50 { 3_000 } else { -3_000 }));
        let recording = Recording::read(&path).expect("a recording");
        assert!((recording.seconds - 1.0).abs() < 1e-9 && !recording.is_silent());
        write(&path, std::iter::repeat_n(2, 4_800));
        assert!(Recording::read(&path).expect("a recording").is_silent());
        write(&path, std::iter::empty());
        assert!(Recording::read(&path).expect("an empty recording").is_silent());
        std::fs::write(&path, "no sound").expect("a file");
        assert!(Recording::read(&path).is_err());
    }
}
