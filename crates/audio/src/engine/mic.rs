//! A microphone whose callbacks, of any size, are cut into blocks of 10 ms at 48 kHz.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use rtrb::Consumer;
use treehouse_wire::units::SAMPLE_RATE_HZ;

use super::TICK;
use crate::{
    device::{Connected, Device, DeviceError, DeviceReport, Direction, FromDevice, Wanted},
    jitter::samples_duration,
    process::BLOCK,
    resample::Resampler,
};

/// A microphone this far behind its clock has lost sound on the way; less is the unevenness of callbacks and threads.
const GAP_MIN: Duration = Duration::from_millis(120);
/// How long a block lasts.
const BLOCK_TIME: Duration = Duration::from_millis(10);
/// By how much a clock may be fast, for each block: 0.25 %.
const GIVE: Duration = Duration::from_micros(25);

/// Where the next block lies in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlockTime {
    /// When its first sample was captured.
    pub(super) captured_at: Instant,
    /// Whole frames of 20 ms that were lost before it.
    pub(super) missing: u64,
}

/// A microphone in use; dropping it closes the device.
pub(super) struct Mic {
    device: Device<Consumer<f32>>,
    channels: usize,
    /// None while the device is lost.
    live: Option<LiveMic>,
    /// When the next block's first sample is expected to have been captured.
    expected_at: Option<Instant>,
}

struct LiveMic {
    connected: Connected<Consumer<f32>>,
    /// One for each channel.
    resamplers: Vec<Resampler>,
    raw: Vec<f32>,
    channel: Vec<f32>,
    /// Samples at 48 kHz of each channel, not yet taken.
    ready: Vec<Vec<f32>>,
    /// Samples dropped at a full ring, not yet turned into skipped numbers.
    missed: u64,
}

impl Mic {
    /// Opens a device, with one channel or two, and waits until it is open.
    pub(super) fn open(name: Option<String>, channels: usize) -> Result<(Self, DeviceReport), DeviceError> {
        let (device, connected) = Device::start(wanted(name, channels))?;
        let (live, opened) = LiveMic::new(connected, channels)?;
        Ok((Mic { device, channels, live: Some(live), expected_at: None }, opened))
    }

    /// The same without waiting; [`Mic::poll`] tells.
    pub(super) fn open_later(name: Option<String>, channels: usize) -> Result<Self, DeviceError> {
        let device = Device::start_later(wanted(name, channels))?;
        Ok(Mic { device, channels, live: None, expected_at: None })
    }

    /// What has happened to the device.
    pub(super) fn poll(&mut self) -> Option<DeviceReport> {
        let lost = |why| DeviceReport::Lost { direction: Direction::Capture, why };
        match self.device.poll()? {
            FromDevice::Lost(why) => {
                (self.live, self.expected_at) = (None, None);
                Some(lost(why))
            }
            FromDevice::Connected(connected) => match LiveMic::new(connected, self.channels) {
                Ok((live, opened)) => {
                    (self.live, self.expected_at) = (Some(live), None);
                    Some(opened)
                }
                Err(error) => Some(lost(error.to_string())),
            },
        }
    }

    /// Takes what the callbacks have left; returns how many whole frames were lost before it.
    pub(super) fn read(&mut self) -> u64 {
        self.live.as_mut().map_or(0, LiveMic::read)
    }

    /// Cuts off the next block, one for each channel; a second block stays as it is where there is one channel.
    pub(super) fn next_block(&mut self, blocks: &mut [[f32; BLOCK]; 2]) -> Option<BlockTime> {
        let live = self.live.as_mut()?;
        let ready = live.ready.iter().map(Vec::len).min().unwrap_or(0);
        if ready < BLOCK {
            return None;
        }
        let now = Instant::now();
        let seen_at = now.checked_sub(samples_duration(ready)).unwrap_or(now);
        // Sound is seen some time after it was captured, never before: the earliest of what the arithmetic says and what
        // the last block led to expect, with a little give for drift, is nearest to the truth.
        let expected_at = self.expected_at.unwrap_or(seen_at);
        let behind = seen_at.saturating_duration_since(expected_at);
        let (captured_at, missing) = if behind < GAP_MIN {
            (expected_at.min(seen_at), 0)
        } else {
            // Far too little has come: numbers count time, so they skip what is missing.
            (seen_at, u64::try_from(behind.as_millis() / TICK.as_millis()).unwrap_or(0))
        };
        self.expected_at = Some(captured_at + BLOCK_TIME + GIVE);
        for (block, ready) in blocks.iter_mut().zip(&mut live.ready) {
            block.iter_mut().zip(ready.drain(..BLOCK)).for_each(|(out, sample)| *out = sample);
        }
        Some(BlockTime { captured_at, missing })
    }

    /// How long the missing samples take; callbacks bring them in pieces, so never less than 2 ms.
    pub(super) fn until_next_block(&self) -> Duration {
        let ready = self.live.as_ref().and_then(|live| live.ready.first()).map_or(0, Vec::len);
        samples_duration(BLOCK.saturating_sub(ready)).max(Duration::from_millis(2))
    }
}

fn wanted(name: Option<String>, channels: usize) -> Wanted {
    Wanted::microphone(name, if channels == 2 { 2 } else { 1 })
}

impl LiveMic {
    fn new(connected: Connected<Consumer<f32>>, channels: usize) -> Result<(Self, DeviceReport), DeviceError> {
        let resampler = || Resampler::new(connected.rate_hz, SAMPLE_RATE_HZ);
        let resamplers: Result<Vec<Resampler>, _> = (0..channels).map(|_| resampler()).collect();
        let resamplers = resamplers
            .map_err(|error| DeviceError::Failed { direction: Direction::Capture, why: error.to_string() })?;
        let (name, rate_hz) = (connected.name.clone(), connected.rate_hz);
        let opened = DeviceReport::Opened { direction: Direction::Capture, name, rate_hz };
        let ready = vec![Vec::new(); channels];
        Ok((LiveMic { connected, resamplers, raw: Vec::new(), channel: Vec::new(), ready, missed: 0 }, opened))
    }

    fn read(&mut self) -> u64 {
        let (ring, channels) = (&mut self.connected.ring, self.resamplers.len().max(1));
        // The callback may be between the two samples of a pair.
        let whole = ring.slots() / channels * channels;
        self.raw.clear();
        if let Ok(chunk) = ring.read_chunk(whole) {
            self.raw.extend(chunk);
        }
        for (at, (resampler, ready)) in self.resamplers.iter_mut().zip(&mut self.ready).enumerate() {
            self.channel.clear();
            self.channel.extend(self.raw.iter().skip(at).step_by(channels));
            resampler.push(&self.channel, ready);
        }
        self.missed += self.connected.health.missed.swap(0, Ordering::Relaxed);
        let per_frame = u64::from(self.connected.rate_hz / 50).max(1);
        let frames = self.missed / per_frame;
        self.missed %= per_frame;
        frames
    }
}
