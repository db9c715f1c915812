//! All sinks behind one face, as the playback thread writes them.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use rtrb::Producer;
use treehouse_wire::units::SAMPLE_RATE_HZ;

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
            Output::Speakers(speakers) => speakers.live.as_mut().map_or(0, |live| live.write(block)),
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
    written_at: Option<Instant>,
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
                written_at: None,
            },
            opened,
        ))
    }

    fn write(&mut self, block: &Block) -> i64 {
        let per_ms = (self.connected.rate_hz / 1000) as usize;
        let now = Instant::now();
        let missed = self.connected.health.missed.swap(0, Ordering::Relaxed);
        if self.written_at.is_some_and(|at| now - at < WRITTEN_LATELY) {
            self.missed += missed;
        }
        self.written_at = Some(now);
        let ring = &mut self.connected.ring;
        let ahead = (RING_SAMPLES - ring.slots()) / 2;
        if ahead > AHEAD_MS_MAX * per_ms {
            return NUDGE_US;
        }
        if ahead == 0 {
            // Starting, or the thread woke too late: a block of silence first, so that the next one has time to come.
            let _ = ring.push_partial_slice(&[0.0; 2 * FRAME]);
        }
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
        let _ = ring.push_partial_slice(&self.interleaved);
        match ahead {
            _ if ahead < AHEAD_MS.0 * per_ms => -NUDGE_US,
            _ if ahead > AHEAD_MS.1 * per_ms => NUDGE_US,
            _ => 0,
        }
    }
}
