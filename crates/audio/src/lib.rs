//! Sound for Treehouse: PCM to Opus frames, and Opus frames back to PCM.
//!
//! A speaker's way: a [`source`] yields 48 kHz mono, the [`engine::Capture`] cuts it into frames of 20 ms, cleans a microphone's
//! sound ([`process`]), measures their [`level`] and runs them through [`encode`]. A listener's way: frames that the room has
//! verified and opened go into [`engine::Playback`], which holds a [`jitter`] buffer and a decoder ([`decode`]) for each voice, adds the voices up
//! ([`mix`]) and hands the sum to a [`sink`] 50 times a second.
//!
//! Sealing, signing and the network are elsewhere; this crate sees Opus frames with a number. What it guarantees:
//!
//! * The jitter buffer is pure: time is an argument. It plays no frame twice and reports one outcome for each number.
//! * No thread waits for another: what arrives goes into a bounded queue that drops its oldest entry.
//! * Audio callbacks take no lock and allocate nothing ([`device`], the only module that names cpal).
//! * Frames come from strangers. A frame that cannot be decoded is concealed; nothing here panics on it.
//!
//! ```
//! use std::time::Duration;
//! use treehouse_audio::{CaptureEvent, CaptureOptions, Capture, Say};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (tx, rx) = std::sync::mpsc::sync_channel(1024);
//! let say: Say = "tone".parse()?;
//! let capture = Capture::start(say, CaptureOptions::default(), move |event| drop(tx.send(event)))?;
//! let first = rx.recv_timeout(Duration::from_secs(5))?;
//! assert!(matches!(first, CaptureEvent::Frame(frame) if frame.number.0 == 0));
//! capture.stop();
//! # Ok(()) }
//! ```

mod adapt;
pub mod decode;
#[cfg(feature = "deep")]
mod deep;
pub mod device;
pub mod encode;
pub mod engine;
pub mod jitter;
pub mod level;
pub mod mix;
pub mod ogg_opus;
pub mod process;
pub mod record;
pub mod resample;
pub mod samples;
pub mod sink;
pub mod source;
mod stretch;

pub use decode::Outcome;
pub use device::{DeviceError, DeviceInfo, DeviceReport, Direction, FarEnd};
pub use engine::{
    Capture, CaptureEvent, CaptureOptions, CapturedFrame, Meter, MixOptions, Music, Playback, PlaybackEvent,
    PlaybackOptions, PlaybackTotals, Talk, VoiceFrame,
};
pub use jitter::JitterConfig;
pub use mix::{Place, Volume};
pub use process::Processing;
pub use samples::Sample;
pub use sink::{Format, Hear, SinkError};
pub use source::{Say, SourceError, SourceNotice};

/// Samples in a frame: 20 ms at 48 kHz.
pub const FRAME: usize = treehouse_wire::units::FRAME_SAMPLES as usize;
