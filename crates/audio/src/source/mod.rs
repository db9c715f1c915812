//! What is said: where a voice's sound comes from.
//!
//! [`Say`] is the user's choice, as `--say` spells it. A file is opened and its beginning decoded before anything else
//! happens, so that a wrong file is reported at once and not in the middle of a room. Files are decoded as they are
//! read: an hour of sound takes no more memory than a second.

mod container;
mod downmix;
mod file;
mod http;
mod ogg_opus;
mod playlist;
mod pump;
mod raw;
mod stream;
#[cfg(test)]
mod tests;
mod timed;

use std::{convert::Infallible, fmt, io, path::PathBuf, str::FromStr, time::Duration};

use treehouse_wire::units::SAMPLE_RATE_HZ;

pub use self::{file::FileSource, timed::TimedSource};
use self::{
    playlist::Playlist,
    stream::{Stream, is_url},
};
use crate::{FRAME, device::DeviceError, encode::CodecError, samples::Sample, sink::Samples};

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
    /// A sound file: WAV, FLAC, MP3, AAC (`.m4a`, `.aac`), Ogg Vorbis or Ogg Opus, of any rate and channels. Or several, one
    /// after the other: a list (`.m3u`, `.m3u8`, `.pls`), or a folder.
    File(PathBuf),
    /// Standard input. Spelled `-` for any format that files may have, else `s16le:-` or `f32le:-`.
    Input(Input),
    /// A station or another stream, by its `http:` address.
    Stream(String),
}

/// What standard input carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A format that says itself what it is, and that can be read without going back.
    Container,
    /// Bare samples: 48 kHz, mono.
    Raw(Samples),
}

/// Channels that a source gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Width {
    /// One: what has more is mixed down.
    #[default]
    Mono,
    /// Left and right.
    Stereo,
}

impl Width {
    /// How many these are.
    pub fn channels(self) -> usize {
        match self {
            Width::Mono => 1,
            Width::Stereo => 2,
        }
    }
}

/// What a source that is asked for the next 20 ms answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Here they are.
    Frame,
    /// They have not come yet: the voice is silent.
    Nothing,
    /// Nothing more comes.
    End,
}

/// What happens to a source that goes on all the same. Its text is a sentence for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceNotice {
    /// An entry of a list was passed over, and why.
    Skipped(String),
    /// The next file of a list, or the next title of a station.
    Playing(String),
    /// A stream has broken off, and is tried again.
    Lost {
        /// What was seen.
        why: String,
        /// After this time.
        wait: Duration,
    },
    /// The stream at this address is heard again.
    Back(String),
}

impl fmt::Display for SourceNotice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SourceNotice::Skipped(error) => write!(f, "left out: {error}"),
            SourceNotice::Playing(title) => write!(f, "now playing: {title}"),
            SourceNotice::Lost { why, wait } => write!(f, "{why}; it is tried again in {} s", wait.as_secs()),
            SourceNotice::Back(url) => write!(f, "the stream {url} is back"),
        }
    }
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
            "-" => Say::Input(Input::Container),
            "s16le:-" => Say::Input(Input::Raw(Samples::S16le)),
            "f32le:-" => Say::Input(Input::Raw(Samples::F32le)),
            _ if is_url(text) => Say::Stream(text.to_owned()),
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
            Say::Input(Input::Container) => f.write_str("-"),
            Say::Input(Input::Raw(Samples::S16le)) => f.write_str("s16le:-"),
            Say::Input(Input::Raw(Samples::F32le)) => f.write_str("f32le:-"),
            Say::Stream(url) => f.write_str(url),
        }
    }
}

impl Say {
    /// Checks a file by opening it and decoding its first frame, a list by its first file that can be opened, and an address by
    /// reading it; other sources can only be checked by using them.
    pub fn check(&self) -> Result<(), SourceError> {
        match self {
            Say::File(path) if Playlist::is_one(path) => Playlist::open(path, false, Width::Mono).map(|_| ()),
            Say::File(path) => FileSource::open(path).map(|_| ()),
            Say::Stream(url) => Stream::new(url, Width::Mono).map(|_| ()),
            Say::Mic(_) | Say::Tone | Say::None | Say::Sample(_) | Say::Input(_) => Ok(()),
        }
    }

    /// Whether it reads standard input, so that nothing else may.
    pub fn takes_standard_input(&self) -> bool {
        matches!(self, Say::Input(_))
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
    /// A device or a pipe, not a file.
    #[error("{} is not a regular file; name a sound file, or use - to read standard input", .0.display())]
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
    /// A sample rate that no sound has.
    #[error(
        "{} has a sample rate of {rate_hz} Hz, and rates from 4000 to 384000 Hz can be used; convert it, as in `sox FILE -r 48000 NEW.wav`",
        .path.display()
    )]
    Rate {
        /// The file.
        path: PathBuf,
        /// What it says.
        rate_hz: u32,
    },
    /// A list of which nothing can be played.
    #[error("nothing of the list {} can be said: {why}", .path.display())]
    Playlist {
        /// The list or folder.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A stream that cannot be reached or read.
    #[error("the stream {url} cannot be heard: {why}")]
    Stream {
        /// Its address.
        url: String,
        /// What is wrong, and what to do.
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
