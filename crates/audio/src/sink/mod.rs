//! What is heard: where the mixed sound goes.

mod wav;

use std::{fmt, io, path::PathBuf, str::FromStr};

pub use self::wav::WavFile;
use crate::{device::DeviceError, encode::CodecError};

/// Where the mixed sound goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hear {
    /// Speakers: the system's default, or those whose name or id this is. Spelled `speakers` or `speakers:NAME`.
    Speakers(Option<String>),
    /// Nowhere; everything is still received, decoded and mixed in real time. Spelled `none`.
    None,
    /// A WAV file, 48 kHz mono, 16 bits, from the start of the session in real time. Spelled as a path ending in `.wav`.
    Wav(PathBuf),
}

/// A word that names no sink.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is nowhere to hear; use speakers, none, or a file name that ends in .wav")]
pub struct UnknownSink(String);

impl FromStr for Hear {
    type Err = UnknownSink;

    fn from_str(text: &str) -> Result<Self, UnknownSink> {
        let path = PathBuf::from(text);
        match text {
            "speakers" => Ok(Hear::Speakers(None)),
            "none" => Ok(Hear::None),
            _ if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("wav")) => Ok(Hear::Wav(path)),
            _ => match text.strip_prefix("speakers:") {
                Some(name) => Ok(Hear::Speakers(Some(name.to_owned()))),
                None => Err(UnknownSink(text.to_owned())),
            },
        }
    }
}

impl fmt::Display for Hear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Hear::Speakers(None) => f.write_str("speakers"),
            Hear::Speakers(Some(name)) => write!(f, "speakers:{name}"),
            Hear::None => f.write_str("none"),
            Hear::Wav(path) => write!(f, "{}", path.display()),
        }
    }
}

/// A sink that cannot be used, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The file cannot be made or written.
    #[error("cannot write {}: {why}; check the folder, its permissions and the space left", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// No speakers could be opened.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The codec library failed.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The system refused a thread.
    #[error("cannot start the playback thread: {0}; close other programs and try again")]
    Thread(io::Error),
}
