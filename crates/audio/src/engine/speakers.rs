//! The three sinks behind one face, as the playback thread writes them.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use rtrb::Producer;
use treehouse_wire::units::SAMPLE_RATE_HZ;

use crate::{
    FRAME,
    device::{Connected, Device, DeviceError, DeviceReport, Direction, FromDevice, RING_SAMPLES},
    resample::Resampler,
    sink::{Hear, SinkError, WavFile},
};

/// Sound kept in the speakers' ring ahead of the callbacks when a block is about to be written, in milliseconds: enough
/// for the playback thread to wake late. Between the two bounds nothing is done.
const AHEAD_MS: (usize, usize) = (12, 32);
/// Beyond this a block is dropped: the device has stopped taking sound.
const AHEAD_MS_MAX: usize = 200;
/// Blocks follow each other this closely while there is sound; what callbacks lacked over a longer pause was silence.
const WRITTEN_LATELY: Duration = Duration::from_millis(100);
/// How far one tick may shift the next: 1 %, a hundred times what two clocks differ by.
const NUDGE_US: i64 = 200;

/// Where blocks go.
pub(super) enum Output {
    None,
    /// None after a write failed.
    Wav(Option<WavFile>),
    Speakers(Box<Speakers>),
}

impl Output {
    pub(super) fn open(hear: Hear) -> Result<(Self, Option<DeviceReport>), SinkError> {
        Ok(match hear {
            Hear::None => (Output::None, None),
            Hear::Wav(path) => (Output::Wav(Some(WavFile::create(&path)?)), None),
            Hear::Speakers(name) => {
                let (device, connected) = Device::start(name)?;
                let (live, opened) = LiveSpeakers::new(connected)?;
                (Output::Speakers(Box::new(Speakers { device, live: Some(live), missed: 0 })), Some(opened))
            }
        })
    }

    /// Writes 20 ms; returns by how many microseconds the next tick should come later (negative: earlier).
    pub(super) fn write(&mut self, block: &[f32; FRAME]) -> Result<i64, SinkError> {
        match self {
            Output::None | Output::Wav(None) => Ok(0),
            Output::Wav(wav) => {
                let result = wav.as_mut().map_or(Ok(()), |wav| wav.write(block));
                if result.is_err() {
                    // The file keeps what it has; saying so once is enough.
                    *wav = None;
                }
                result.map(|()| 0)
            }
            Output::Speakers(speakers) => Ok(speakers.live.as_mut().map_or(0, |live| live.write(block))),
        }
    }

    /// Writes silence. Speakers need none: they are silent by themselves.
    pub(super) fn write_silence(&mut self, blocks: u64) -> Result<(), SinkError> {
        if matches!(self, Output::Wav(Some(_))) {
            for _ in 0..blocks {
                self.write(&[0.0; FRAME])?;
            }
        }
        Ok(())
    }

    /// How long the playback thread may sleep when there is nothing to hear.
    pub(super) fn rest(&self) -> Duration {
        match self {
            Output::None | Output::Wav(None) => Duration::from_secs(60),
            // The file should not fall behind its own header by more than this.
            Output::Wav(Some(_)) => Duration::from_secs(1),
            Output::Speakers(_) => Duration::from_millis(500),
        }
    }

    /// What has happened to the device.
    pub(super) fn poll(&mut self) -> Option<DeviceReport> {
        match self {
            Output::Speakers(speakers) => speakers.poll(),
            Output::None | Output::Wav(_) => None,
        }
    }

    /// Closes the sink; returns the samples that speakers played as silence for want of sound.
    pub(super) fn finish(self) -> Result<u64, SinkError> {
        match self {
            Output::Wav(Some(wav)) => wav.finish().map(|()| 0),
            Output::None | Output::Wav(None) => Ok(0),
            Output::Speakers(speakers) => Ok(speakers.missed + speakers.live.map_or(0, |live| live.missed)),
        }
    }
}

pub(super) struct Speakers {
    device: Device<Producer<f32>>,
    /// None while the device is lost.
    live: Option<LiveSpeakers>,
    missed: u64,
}

impl Speakers {
    fn poll(&mut self) -> Option<DeviceReport> {
        let lost = |why| DeviceReport::Lost { direction: Direction::Playback, why };
        match self.device.poll()? {
            FromDevice::Lost(why) => {
                self.missed += self.live.take().map_or(0, |live| live.missed);
                Some(lost(why))
            }
            FromDevice::Connected(connected) => match LiveSpeakers::new(connected) {
                Ok((live, opened)) => {
                    self.live = Some(live);
                    Some(opened)
                }
                Err(error) => Some(lost(error.to_string())),
            },
        }
    }
}

struct LiveSpeakers {
    connected: Connected<Producer<f32>>,
    resampler: Resampler,
    converted: Vec<f32>,
    /// Samples that the callbacks lacked while there was sound to play.
    missed: u64,
    written_at: Option<Instant>,
}

impl LiveSpeakers {
    fn new(connected: Connected<Producer<f32>>) -> Result<(Self, DeviceReport), DeviceError> {
        let resampler = Resampler::new(SAMPLE_RATE_HZ, connected.rate_hz)
            .map_err(|error| DeviceError::Failed { direction: Direction::Playback, why: error.to_string() })?;
        let (name, rate_hz) = (connected.name.clone(), connected.rate_hz);
        let opened = DeviceReport::Opened { direction: Direction::Playback, name, rate_hz };
        Ok((LiveSpeakers { connected, resampler, converted: Vec::new(), missed: 0, written_at: None }, opened))
    }

    fn write(&mut self, block: &[f32; FRAME]) -> i64 {
        let per_ms = (self.connected.rate_hz / 1000) as usize;
        let now = Instant::now();
        let missed = self.connected.health.missed.swap(0, Ordering::Relaxed);
        if self.written_at.is_some_and(|at| now - at < WRITTEN_LATELY) {
            self.missed += missed;
        }
        self.written_at = Some(now);
        let ring = &mut self.connected.ring;
        let ahead = RING_SAMPLES - ring.slots();
        if ahead > AHEAD_MS_MAX * per_ms {
            return NUDGE_US;
        }
        if ahead == 0 {
            // Starting, or the thread woke too late: a block of silence first, so that the next one has time to come.
            let _ = ring.push_partial_slice(&[0.0; FRAME]);
        }
        self.converted.clear();
        self.resampler.push(block, &mut self.converted);
        // The ring is far from full: see the bound above.
        let _ = ring.push_partial_slice(&self.converted);
        match ahead {
            _ if ahead < AHEAD_MS.0 * per_ms => -NUDGE_US,
            _ if ahead > AHEAD_MS.1 * per_ms => NUDGE_US,
            _ => 0,
        }
    }
}
