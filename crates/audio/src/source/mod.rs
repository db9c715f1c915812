//! What is said: where a voice's sound comes from.
//!
//! [`Say`] is the user's choice, as `--say` spells it. A file is opened and its beginning decoded before anything else
//! happens, so that a wrong file is reported at once and not in the middle of a room. Files are decoded as they are
//! read: an hour of sound takes no more memory than a second.

mod container;
mod file;
mod ogg_opus;
#[cfg(test)]
mod tests;

use std::{convert::Infallible, fmt, io, path::PathBuf, str::FromStr};

use treehouse_wire::units::SAMPLE_RATE_HZ;

pub use self::file::FileSource;
use crate::{FRAME, device::DeviceError, encode::CodecError, samples::Sample};

/// Where a voice's sound comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Say {
    /// A microphone: the system's default, or the one whose name or id this is. Spelled `mic` or `mic:NAME`.
    Mic(Option<String>),
    /// A 440 Hz tone, half a second on, half off. Spelled `tone`.
    Tone,
    /// Nothing: listen only. Spelled `none`.
    None,
    /// One of the two speech samples that come with the program. Spelled `sample:1` and `sample:2`.
    Sample(Sample),
    /// A sound file: WAV, FLAC, MP3, AAC (`.m4a`, `.aac`), Ogg Vorbis or Ogg Opus, of any rate and channels.
    File(PathBuf),
}

impl FromStr for Say {
    type Err = Infallible;

    /// What is no keyword is a file's path; whether it can be used, opening it tells.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "mic" => Say::Mic(None),
            "tone" => Say::Tone,
            "none" => Say::None,
            "sample:1" => Say::Sample(Sample::One),
            "sample:2" => Say::Sample(Sample::Two),
            _ => match text.strip_prefix("mic:") {
                Some(name) => Say::Mic(Some(name.to_owned())),
                None => Say::File(PathBuf::from(text)),
            },
        })
    }
}

impl fmt::Display for Say {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Say::Mic(None) => f.write_str("mic"),
            Say::Mic(Some(name)) => write!(f, "mic:{name}"),
            Say::Tone => f.write_str("tone"),
            Say::None => f.write_str("none"),
            Say::Sample(Sample::One) => f.write_str("sample:1"),
            Say::Sample(Sample::Two) => f.write_str("sample:2"),
            Say::File(path) => write!(f, "{}", path.display()),
        }
    }
}

impl Say {
    /// Checks a file by opening it and decoding its first frame; other sources need nothing checked before use.
    pub fn check(&self) -> Result<(), SourceError> {
        match self {
            Say::File(path) => FileSource::open(path).map(|_| ()),
            Say::Mic(_) | Say::Tone | Say::None | Say::Sample(_) => Ok(()),
        }
    }
}

/// A source that cannot be used, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The file is not there.
    #[error("there is no file {}; check the path, or say mic, tone or none", .0.display())]
    Missing(PathBuf),
    /// The file cannot be read.
    #[error("cannot read {}: {error}; check its permissions", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A directory or a device, not a file.
    #[error("{} is not a regular file; name a sound file", .0.display())]
    NotAFile(PathBuf),
    /// The file has no bytes, or no sound in it.
    #[error("{} is empty; name a file with sound in it", .0.display())]
    Empty(PathBuf),
    /// No format that can be decoded.
    #[error("{} is not sound that can be read ({why}); use WAV, FLAC, MP3, AAC, Ogg Vorbis or Ogg Opus", .path.display())]
    NotAudio {
        /// The file.
        path: PathBuf,
        /// What the decoder said.
        why: String,
    },
    /// Less than one frame of sound.
    #[error("{} holds only {ms} ms of sound; use a file of at least 20 ms", .path.display())]
    TooShort {
        /// The file.
        path: PathBuf,
        /// Its length.
        ms: u64,
    },
    /// No microphone could be opened.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The codec library failed.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The system refused a thread.
    #[error("cannot start the capture thread: {0}; close other programs and try again")]
    Thread(io::Error),
}

/// A test tone: 440 Hz at -20 dBFS, half a second on and half off, so that gaps and delays can be heard.
#[derive(Debug, Default)]
pub struct ToneSource {
    sample: u64,
}

impl ToneSource {
    /// Fills the next 20 ms.
    pub fn next_frame(&mut self, pcm: &mut [f32; FRAME]) {
        let half_second = u64::from(SAMPLE_RATE_HZ / 2);
        // 10 ms ramps: an abrupt edge would click.
        let ramp = SAMPLE_RATE_HZ as f32 / 100.0;
        for out in pcm {
            let within = self.sample % half_second;
            let on = (self.sample / half_second).is_multiple_of(2);
            let edge = within.min(half_second - within) as f32 / ramp;
            let phase = (self.sample % u64::from(SAMPLE_RATE_HZ)) as f32 * 440.0 / SAMPLE_RATE_HZ as f32;
            *out = if on { 0.1 * edge.min(1.0) * (phase.fract() * std::f32::consts::TAU).sin() } else { 0.0 };
            self.sample += 1;
        }
    }
}
