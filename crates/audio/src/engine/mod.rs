//! What a node uses: [`Capture`] turns a source into encoded frames in real time, [`Playback`] turns frames of several
//! voices into sound in real time.
//!
//! Each runs on one plain thread, paced by absolute deadlines: a tick is due 20 ms after the last one was, however late that
//! came, so nothing drifts and a thread that woke late catches up without dropping a frame. Where a device plays, ticks begin anew after
//! silence and follow the device's clock.

mod capture;
mod desk;
mod drift;
mod encoded;
mod mic;
mod microphone;
mod pace;
mod playback;
mod speakers;
mod voice;

use std::time::Duration;

use treehouse_wire::units::FRAME_MS;

pub use self::{
    capture::{Capture, CaptureEvent, CaptureOptions, CapturedFrame, Meter, Music, Talk},
    desk::{Desk, MixOptions},
    playback::{INBOX_MAX, Playback, PlaybackEvent, PlaybackOptions, PlaybackTotals, VoiceFrame},
    voice::{Voice, VoiceReport},
};

/// The length of a frame and of a tick.
pub(crate) const TICK: Duration = Duration::from_millis(FRAME_MS);

/// `TICK` times `count`, which no session outlasts.
fn ticks(count: u64) -> Duration {
    Duration::from_millis(count.saturating_mul(FRAME_MS))
}
