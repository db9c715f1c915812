//! What is heard: where the mixed sound goes.
//!
//! [`Hear`] is the user's choice, as `--hear` spells it. Files and standard output are written by a thread of their own behind a
//! bounded queue ([`recorder`]), so that neither a slow disk nor a program that reads slowly holds up the sound.

mod opus;
mod raw;
pub mod recorder;
mod wav;

use std::{fmt, io, path::PathBuf, str::FromStr};

pub use self::{
    opus::OpusSink,
    raw::{RawSink, Samples, wav_header},
    wav::WavFile,
};
use crate::{device::DeviceError, encode::CodecError, mix::Block, ogg_opus::OggOpusError};

/// Takes 20 ms after the other, and is readable up to a second before the last of them at any time.
pub trait SoundFile: Send {
    /// Appends 20 ms.
    ///
    /// # Errors
    /// Where it cannot be written; [`io::ErrorKind::BrokenPipe`] where nobody reads any more.
    fn write(&mut self, block: &Block) -> io::Result<()>;

    /// Completes and closes the file.
    ///
    /// # Errors
    /// Where it cannot be written.
    fn finish(self: Box<Self>) -> io::Result<()>;
}

/// How sound is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// WAV with 16 bits. Spelled `wav`, and the ending `.wav`.
    Wav,
    /// Ogg Opus. Spelled `opus`, and the endings `.opus` and `.ogg`.
    OggOpus,
    /// Samples of 16 bits, little-endian, without a header. Spelled `s16le`, and the ending `.s16le`.
    S16le,
    /// Samples of 32 bits, floating point, little-endian, without a header. Spelled `f32le`, and the ending `.f32le`.
    F32le,
}

impl Format {
    /// All of them.
    pub const ALL: [Format; 4] = [Format::Wav, Format::OggOpus, Format::S16le, Format::F32le];

    /// How it is spelled.
    pub const fn name(self) -> &'static str {
        match self {
            Format::Wav => "wav",
            Format::OggOpus => "opus",
            Format::S16le => "s16le",
            Format::F32le => "f32le",
        }
    }

    /// The format that a file's ending stands for.
    fn of_ending(ending: &str) -> Option<Self> {
        let ending = ending.to_ascii_lowercase();
        match ending.as_str() {
            "ogg" => Some(Format::OggOpus),
            _ => Format::ALL.into_iter().find(|format| format.name() == ending),
        }
    }
}

/// Where the mixed sound goes. All files have 48 kHz, and one channel, or two where voices have places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hear {
    /// Speakers: the system's default, or those whose name or id this is. Spelled `speakers` or `speakers:NAME`.
    Speakers(Option<String>),
    /// Nowhere; everything is still received, decoded and mixed in real time. Spelled `none`.
    None,
    /// A WAV file, from the start of the session in real time. Spelled as a path ending in `.wav`.
    Wav(PathBuf),
    /// Another file, from the start of the session in real time. Spelled as a path with the format's ending.
    File(PathBuf, Format),
    /// Standard output, for another program to read. Spelled `-` for WAV, else `opus:-`, `s16le:-`, `f32le:-`.
    Output(Format),
}

/// A word that names no sink.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is nowhere to hear; use speakers, none, a file name that ends in .wav, .opus, .ogg, .s16le or .f32le, or for \
     standard output -, opus:-, s16le:- or f32le:-"
)]
pub struct UnknownSink(String);

impl FromStr for Hear {
    type Err = UnknownSink;

    fn from_str(text: &str) -> Result<Self, UnknownSink> {
        match text {
            "speakers" => return Ok(Hear::Speakers(None)),
            "none" => return Ok(Hear::None),
            "-" => return Ok(Hear::Output(Format::Wav)),
            _ => {}
        }
        if let Some(name) = text.strip_prefix("speakers:") {
            return Ok(Hear::Speakers(Some(name.to_owned())));
        }
        if let Some(name) = text.strip_suffix(":-") {
            let format = Format::ALL.into_iter().find(|format| format.name() == name);
            return format.map(Hear::Output).ok_or_else(|| UnknownSink(text.to_owned()));
        }
        let path = PathBuf::from(text);
        match path.extension().and_then(|ending| Format::of_ending(&ending.to_string_lossy())) {
            Some(Format::Wav) => Ok(Hear::Wav(path)),
            Some(format) => Ok(Hear::File(path, format)),
            None => Err(UnknownSink(text.to_owned())),
        }
    }
}

impl fmt::Display for Hear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Hear::Speakers(None) => f.write_str("speakers"),
            Hear::Speakers(Some(name)) => write!(f, "speakers:{name}"),
            Hear::None => f.write_str("none"),
            Hear::Wav(path) | Hear::File(path, _) => write!(f, "{}", path.display()),
            Hear::Output(Format::Wav) => f.write_str("-"),
            Hear::Output(format) => write!(f, "{}:-", format.name()),
        }
    }
}

impl Hear {
    /// Whether standard output carries sound, so that nothing else may be printed there.
    pub fn takes_standard_output(&self) -> bool {
        matches!(self, Hear::Output(_))
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
    /// Standard output is a terminal.
    #[error(
        "standard output is a terminal, which cannot show sound: send it to a file or another program, as in `--hear - > room.wav`"
    )]
    Terminal,
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

/// The system's part of what can go wrong with a file of Opus packets; the rest is this program's fault and said so.
fn io_error(error: OggOpusError) -> io::Error {
    match error {
        OggOpusError::Io(error) => error,
        other => io::Error::other(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_on_the_command_line_round_trip() {
        for text in [
            "speakers",
            "speakers:USB",
            "none",
            "-",
            "opus:-",
            "s16le:-",
            "f32le:-",
            "a.wav",
            "b/room.opus",
            "room.ogg",
            "x.s16le",
            "x.f32le",
        ] {
            let hear: Hear = text.parse().unwrap();
            assert_eq!(hear.to_string(), text);
            assert_eq!(hear.takes_standard_output(), text.ends_with('-'));
        }
        assert_eq!("wav:-".parse(), Ok(Hear::Output(Format::Wav)));
        assert_eq!("Room.WAV".parse(), Ok(Hear::Wav("Room.WAV".into())));
        assert_eq!("room.ogg".parse(), Ok(Hear::File("room.ogg".into(), Format::OggOpus)));
    }

    #[test]
    fn words_that_name_no_sink_are_told_what_does() {
        for text in ["trumpet", "talk.mp3", "mp3:-", ":-", "", ".wav:-"] {
            let error = text.parse::<Hear>().unwrap_err().to_string();
            assert!(error.contains("ends in .wav") && error.contains("opus:-"), "{error}");
        }
    }
}
