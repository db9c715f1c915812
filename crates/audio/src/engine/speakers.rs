//! All sinks behind one face, as the playback thread writes them.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use rtrb::Producer;
use treehouse_wire::units::SAMPLE_RATE_HZ;

use super::pace::{NUDGE_US, Pace, Ring};
use crate::{
    FRAME,
    device::{Connected, Device, DeviceError, DeviceReport, Direction, FarEnd, FromDevice, RING_SAMPLES, Wanted},
    mix::Block,
    resample::Resampler,
    sink::{
        Format, Hear, SinkError,
        recorder::{Ended, Recorder},
    },
};

/// Silence before a start on a device that has asked for nothing yet, in milliseconds.
const CUSHION_MS: f64 = 14.0;
/// A device that has asked for nothing for so long has stopped.
const CALLED_LATELY: Duration = Duration::from_millis(100);
/// Beyond this a block is dropped: the device has stopped taking sound.
const AHEAD_MS_MAX: usize = 200;

/// Where blocks go.
pub(super) enum Output {
    None,
    File(Recorder),
    /// Somebody listens along, and is not to wait for silence.
    Pipe(Recorder),
    Speakers(Box<Speakers>),
}

/// What happens to an output while it is in use.
pub(super) enum OutputReport {
    Device(DeviceReport),
    Failed(SinkError),
    /// Nobody reads any more.
    Closed,
}

impl Output {
    /// Opens the sink. Files get two channels if that is wanted, speakers always.
    pub(super) fn open(hear: Hear, stereo: bool, far_end: FarEnd) -> Result<(Self, Option<DeviceReport>), SinkError> {
        let channels = if stereo { 2 } else { 1 };
        Ok(match hear {
            Hear::None => (Output::None, None),
            Hear::Wav(path) => (Output::File(Recorder::create(&path, Format::Wav, channels)?), None),
            Hear::File(path, format) => (Output::File(Recorder::create(&path, format, channels)?), None),
            Hear::Output(format) => (Output::Pipe(Recorder::output(format, channels)?), None),
            Hear::Speakers(name) => {
                let (device, connected) = Device::start(Wanted::speakers(name, far_end))?;
                let (live, opened) = LiveSpeakers::new(connected)?;
                (Output::Speakers(Box::new(Speakers { device, live: Some(live), missed: 0 })), Some(opened))
            }
        })
    }

    /// Writes 20 ms; returns by how many microseconds the next tick should come later (negative: earlier).
    pub(super) fn write(&mut self, block: &Block) -> i64 {
        match self {
            Output::None => 0,
            Output::File(recorder) | Output::Pipe(recorder) => {
                recorder.write(block);
                0
            }
            Output::Speakers(speakers) => speakers.live.as_mut().map_or(0, |live| live.write(block, Instant::now())),
        }
    }

    /// Whether ticks may begin anew after silence. In files they count time.
    pub(super) fn may_begin_anew(&self) -> bool {
        matches!(self, Output::None | Output::Speakers(_))
    }

    /// What is written next does not continue what was written last.
    pub(super) fn pause(&mut self) {
        if let Output::Speakers(speakers) = self
            && let Some(live) = &mut speakers.live
        {
            live.sounds = false;
        }
    }

    /// Writes silence. Speakers need none: they are silent by themselves.
    pub(super) fn write_silence(&mut self, blocks: u64) {
        if let Output::File(recorder) | Output::Pipe(recorder) = self {
            recorder.write_silence(blocks);
        }
    }

    /// How long the playback thread may sleep when there is nothing to hear.
    pub(super) fn rest(&self) -> Duration {
        match self {
            Output::None => Duration::from_secs(60),
            Output::File(recorder) | Output::Pipe(recorder) if recorder.is_over() => Duration::from_secs(60),
            // The file should not fall behind its own header by more than this.
            Output::File(_) => Duration::from_secs(1),
            // As often as whoever listens along would notice.
            Output::Pipe(_) => Duration::from_millis(60),
            Output::Speakers(_) => Duration::from_millis(500),
        }
    }

    /// What has happened to the device or the file.
    pub(super) fn poll(&mut self) -> Option<OutputReport> {
        match self {
            Output::None => None,
            Output::File(recorder) | Output::Pipe(recorder) => recorder.poll().map(|ended| match ended {
                Ended::Closed => OutputReport::Closed,
                Ended::Failed(error) => OutputReport::Failed(error),
            }),
            Output::Speakers(speakers) => speakers.poll().map(OutputReport::Device),
        }
    }

    /// Blocks that a file or reader did not take in time.
    pub(super) fn dropped(&self) -> u64 {
        match self {
            Output::File(recorder) | Output::Pipe(recorder) => recorder.dropped(),
            Output::None | Output::Speakers(_) => 0,
        }
    }

    /// Closes the sink; returns the samples that speakers played as silence for want of sound.
    pub(super) fn finish(self) -> Result<u64, SinkError> {
        match self {
            Output::None => Ok(0),
            Output::File(recorder) | Output::Pipe(recorder) => recorder.finish().map(|()| 0),
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
    /// One for each ear.
    resamplers: [Resampler; 2],
    converted: [Vec<f32>; 2],
    /// A left and a right sample in turn, as the ring has them.
    interleaved: Vec<f32>,
    /// Samples that the callbacks lacked while there was sound to play.
    missed: u64,
    /// What is written continues what was written before: what callbacks lacked in between was sound.
    sounds: bool,
    pace: Pace,
}

impl LiveSpeakers {
    fn new(connected: Connected<Producer<f32>>) -> Result<(Self, DeviceReport), DeviceError> {
        let resampler = || {
            Resampler::new(SAMPLE_RATE_HZ, connected.rate_hz)
                .map_err(|error| DeviceError::Failed { direction: Direction::Playback, why: error.to_string() })
        };
        let resamplers = [resampler()?, resampler()?];
        let (name, rate_hz) = (connected.name.clone(), connected.rate_hz);
        let opened = DeviceReport::Opened { direction: Direction::Playback, name, rate_hz };
        Ok((
            LiveSpeakers {
                connected,
                resamplers,
                converted: Default::default(),
                interleaved: Vec::new(),
                missed: 0,
                sounds: false,
                pace: Pace::new(),
            },
            opened,
        ))
    }

    /// Writes 20 ms at `now`; returns by how many microseconds the next tick should come later (negative: earlier).
    fn write(&mut self, block: &Block, now: Instant) -> i64 {
        let per_ms = (self.connected.rate_hz / 1000) as usize;
        let ahead = (RING_SAMPLES - self.connected.ring.slots()) / 2;
        if ahead > AHEAD_MS_MAX * per_ms {
            return NUDGE_US;
        }
        let later_us = self.keep_pace(ahead as f64 / per_ms as f64, now);
        let [left, right] = &mut self.converted;
        for (resampler, (ear, converted)) in
            self.resamplers.iter_mut().zip([(&block.left, &mut *left), (&block.right, &mut *right)])
        {
            converted.clear();
            resampler.push(ear, converted);
        }
        self.interleaved.clear();
        self.interleaved.extend(left.iter().zip(right.iter()).flat_map(|(left, right)| [*left, *right]));
        // The ring is far from full: see the bound above.
        let _ = self.connected.ring.push_partial_slice(&self.interleaved);
        later_us
    }

    /// Puts silence before what begins or was missed; returns by how much the next tick should come later.
    fn keep_pace(&mut self, ahead_ms: f64, now: Instant) -> i64 {
        let missed = self.connected.health.missed.swap(0, Ordering::Relaxed);
        let sounds = std::mem::replace(&mut self.sounds, true);
        let ms_of = |samples: u64| samples as f64 * 1000.0 / f64::from(self.connected.rate_hz);
        let called = self.connected.health.last_call().map(|(at, took)| (now.saturating_duration_since(at), took));
        let Some((since, took)) = called.filter(|(since, took)| *since < CALLED_LATELY && *took > 0) else {
            if !sounds {
                self.put_silence(CUSHION_MS - ahead_ms);
            }
            return 0;
        };
        let ring = Ring { ahead_ms, period_ms: ms_of(took), since_ms: since.as_secs_f64() * 1000.0 };
        let silence_ms = match (sounds, missed) {
            (false, _) => self.pace.start(ring),
            (true, 0) => return self.pace.go_on(ring),
            (true, missed) => {
                self.missed += missed;
                self.pace.ran_dry(ring)
            }
        };
        self.put_silence(silence_ms);
        0
    }

    fn put_silence(&mut self, ms: f64) {
        let samples = (ms.max(0.0) * f64::from(self.connected.rate_hz) / 1000.0) as usize;
        let silence = [0.0; 2 * FRAME];
        let mut samples = (2 * samples).min(self.connected.ring.slots() / 2 * 2);
        while samples > 0 {
            let some = samples.min(silence.len());
            let _ = self.connected.ring.push_partial_slice(silence.get(..some).unwrap_or(&silence));
            samples -= some;
        }
    }
}
