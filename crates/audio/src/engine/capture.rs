//! A source as encoded frames in real time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use bytes::Bytes;
use rtrb::Consumer;
use treehouse_wire::{
    CaptureTime, FrameNumber, Level,
    units::{FRAME_SAMPLES, SAMPLE_RATE_HZ},
};

use super::{
    TICK,
    encoded::{EncodedVoice, Lost},
    ticks,
};
use crate::{
    FRAME,
    device::{Connected, Device, DeviceError, DeviceReport, Direction, FromDevice},
    encode::LossReport,
    jitter::samples_duration,
    resample::Resampler,
    source::{Next, Say, SourceError, SourceNotice, TimedSource},
};

/// A microphone this far behind its clock has lost sound on the way; less is the unevenness of callbacks and threads.
const GAP_MIN: Duration = Duration::from_millis(120);

/// A frame, ready to be sealed and sent.
#[derive(Clone, Debug)]
pub struct CapturedFrame {
    /// Counts every 20 ms since capture began, from 0, muted ones and those lost with a device too.
    pub number: FrameNumber,
    /// Samples at 48 kHz since capture began: `number` times 960.
    pub captured: CaptureTime,
    /// When the first sample was captured; the frame is complete 20 ms later.
    pub captured_at: Instant,
    /// How loud it is.
    pub level: Level,
    /// One Opus packet of 20 ms.
    pub opus: Bytes,
}

/// What capture delivers.
#[derive(Debug)]
pub enum CaptureEvent {
    /// The next frame.
    Frame(CapturedFrame),
    /// The file is over; nothing more comes.
    Ended,
    /// The source failed midway; nothing more comes.
    Failed(SourceError),
    /// The microphone opened or was lost.
    Device(DeviceReport),
    /// Something has happened to a list or a stream, which goes on.
    Source(SourceNotice),
}

/// How to capture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CaptureOptions {
    /// Start a file or sample again when it ends, without a pause.
    pub looped: bool,
    /// Begin muted.
    pub muted: bool,
    /// All packets have one size, so that theirs tells nothing of what is said.
    pub one_size: bool,
    /// Frames in which nobody speaks are not delivered, their numbers are passed over; not with `one_size`.
    pub dtx: bool,
}

/// A source being captured. Dropping it stops it.
pub struct Capture {
    muted: Arc<AtomicBool>,
    lost: Lost,
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Capture {
    /// Opens the source, then calls `deliver` from a thread of its own, 50 times a second, until the source ends or the
    /// capture is stopped. A slow `deliver` makes frames late, but loses none from a file.
    ///
    /// # Errors
    /// [`SourceError`] when the source cannot be opened; a microphone may take some seconds to fail.
    pub fn start(
        say: Say,
        options: CaptureOptions,
        mut deliver: impl FnMut(CaptureEvent) + Send + 'static,
    ) -> Result<Self, SourceError> {
        let muted = Arc::new(AtomicBool::new(options.muted));
        let lost = Lost::default();
        let Some(feed) = Feed::open(say, options.looped)? else {
            return Ok(Capture { muted, lost, stop: None, thread: None });
        };
        let voice = EncodedVoice::new(options.one_size, options.dtx, lost.clone())?;
        let (stop, stop_rx) = sync_channel(1);
        let flag = muted.clone();
        let thread = thread::Builder::new()
            .name("treehouse-capture".into())
            .spawn(move || {
                let session = Session { began: Instant::now(), next: 0, voice, muted: flag, stop: stop_rx };
                match feed {
                    Feed::Timed(source) => session.run_timed(source, &mut deliver),
                    Feed::Mic(mic) => session.run_mic(*mic, &mut deliver),
                }
            })
            .map_err(SourceError::Thread)?;
        Ok(Capture { muted, lost, stop: Some(stop), thread: Some(thread) })
    }

    /// While muted, time and numbers go on but no frame is delivered.
    pub fn set_muted(&self, muted: bool) {
        self.muted.store(muted, Ordering::Relaxed);
    }

    /// What listeners lost lately: the voice is encoded with as much redundancy as that needs, from the next frame on.
    pub fn report_loss(&self, report: LossReport) {
        self.lost.put(report);
    }

    /// Stops; no `deliver` call is under way or follows when this returns.
    pub fn stop(self) {}
}

impl Drop for Capture {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the capture thread panicked");
        }
    }
}

/// An opened source.
enum Feed {
    Timed(TimedSource),
    Mic(Box<Mic>),
}

impl Feed {
    fn open(say: Say, looped: bool) -> Result<Option<Self>, SourceError> {
        match &say {
            Say::Mic(name) => Ok(Some(Feed::Mic(Box::new(Mic::open(name.clone())?)))),
            other => Ok(TimedSource::open(other, looped)?.map(Feed::Timed)),
        }
    }
}

/// Frames since capture began.
struct Session {
    began: Instant,
    next: u64,
    voice: EncodedVoice,
    muted: Arc<AtomicBool>,
    stop: Receiver<()>,
}

impl Session {
    fn run_timed(mut self, mut source: TimedSource, deliver: &mut impl FnMut(CaptureEvent)) {
        let mut pcm = [0.0; FRAME];
        loop {
            // A frame is complete when its last sample has been spoken.
            let complete_at = self.began + ticks(self.next + 1);
            if self.stopped_within(complete_at.saturating_duration_since(Instant::now())) {
                return;
            }
            let next = source.next(&mut pcm);
            while let Some(notice) = source.notice() {
                deliver(CaptureEvent::Source(notice));
            }
            match next {
                Ok(Next::Frame) => {}
                Ok(Next::Nothing) => {
                    // Numbers count time, also while a source has nothing to say.
                    self.next += 1;
                    continue;
                }
                Ok(Next::End) => return deliver(CaptureEvent::Ended),
                Err(error) => return deliver(CaptureEvent::Failed(error)),
            }
            if !self.emit(&pcm, complete_at - TICK, deliver) {
                return;
            }
        }
    }

    fn run_mic(mut self, mut mic: Mic, deliver: &mut impl FnMut(CaptureEvent)) {
        let mut pcm = [0.0; FRAME];
        deliver(CaptureEvent::Device(mic.opened.clone()));
        loop {
            if let Some(report) = mic.poll() {
                if matches!(report, DeviceReport::Opened { .. }) {
                    // Numbers count time: what passed without a microphone is skipped.
                    let passed = self.began.elapsed().as_millis() / TICK.as_millis();
                    self.next = self.next.max(u64::try_from(passed).unwrap_or(self.next));
                }
                deliver(CaptureEvent::Device(report));
            }
            self.next += mic.read();
            while let Some((captured_at, missing)) = mic.next_frame(&mut pcm) {
                self.next += missing;
                if !self.emit(&pcm, captured_at, deliver) {
                    return;
                }
            }
            if self.stopped_within(mic.until_next_frame()) {
                return;
            }
        }
    }

    /// Encodes and delivers one frame; false if that is impossible from now on.
    fn emit(&mut self, pcm: &[f32; FRAME], captured_at: Instant, deliver: &mut impl FnMut(CaptureEvent)) -> bool {
        let Ok(number) = u32::try_from(self.next) else { return false };
        self.next += 1;
        if self.muted.load(Ordering::Relaxed) {
            return true;
        }
        match self.voice.encode(pcm) {
            Ok((_, None)) => true,
            Ok((level, Some(opus))) => {
                let captured = CaptureTime(u64::from(number) * u64::from(FRAME_SAMPLES));
                let number = FrameNumber(number);
                deliver(CaptureEvent::Frame(CapturedFrame { number, captured, captured_at, level, opus }));
                true
            }
            Err(error) => {
                deliver(CaptureEvent::Failed(error.into()));
                false
            }
        }
    }

    fn stopped_within(&self, wait: Duration) -> bool {
        !matches!(self.stop.recv_timeout(wait), Err(RecvTimeoutError::Timeout))
    }
}

/// A microphone whose callbacks, of any size, are cut into frames.
struct Mic {
    device: Device<Consumer<f32>>,
    /// None while the device is lost.
    live: Option<LiveMic>,
    opened: DeviceReport,
    /// When the next frame's first sample is expected to have been captured.
    expected_at: Option<Instant>,
}

struct LiveMic {
    connected: Connected<Consumer<f32>>,
    resampler: Resampler,
    raw: Vec<f32>,
    ready: Vec<f32>,
    /// Samples dropped at a full ring, not yet turned into skipped numbers.
    missed: u64,
}

impl Mic {
    fn open(name: Option<String>) -> Result<Self, DeviceError> {
        let (device, connected) = Device::start(name)?;
        let (live, opened) = LiveMic::new(connected)?;
        Ok(Mic { device, live: Some(live), opened, expected_at: None })
    }

    fn poll(&mut self) -> Option<DeviceReport> {
        let lost = |why| DeviceReport::Lost { direction: Direction::Capture, why };
        match self.device.poll()? {
            FromDevice::Lost(why) => {
                (self.live, self.expected_at) = (None, None);
                Some(lost(why))
            }
            FromDevice::Connected(connected) => match LiveMic::new(connected) {
                Ok((live, opened)) => {
                    self.live = Some(live);
                    Some(opened)
                }
                Err(error) => Some(lost(error.to_string())),
            },
        }
    }

    /// Takes what the callbacks have left; returns how many whole frames were lost before it.
    fn read(&mut self) -> u64 {
        self.live.as_mut().map_or(0, LiveMic::read)
    }

    /// Cuts off the next frame and says when its first sample was captured, and how many frames the sound system lost
    /// before it.
    fn next_frame(&mut self, pcm: &mut [f32; FRAME]) -> Option<(Instant, u64)> {
        let ready = &mut self.live.as_mut()?.ready;
        if ready.len() < FRAME {
            return None;
        }
        let now = Instant::now();
        let seen_at = now.checked_sub(samples_duration(ready.len())).unwrap_or(now);
        // Sound is seen some time after it was captured, never before: the earliest of what the arithmetic says and what
        // the last frame led to expect, with a little give for drift, is nearest to the truth.
        let expected_at = self.expected_at.unwrap_or(seen_at);
        let behind = seen_at.saturating_duration_since(expected_at);
        let (captured_at, missing) = if behind < GAP_MIN {
            (expected_at.min(seen_at), 0)
        } else {
            // Far too little has come: numbers count time, so they skip what is missing.
            (seen_at, u64::try_from(behind.as_millis() / TICK.as_millis()).unwrap_or(0))
        };
        self.expected_at = Some(captured_at + TICK + Duration::from_micros(50));
        pcm.iter_mut().zip(ready.drain(..FRAME)).for_each(|(out, sample)| *out = sample);
        Some((captured_at, missing))
    }

    /// How long the missing samples take; callbacks bring them in pieces, so never less than 2 ms.
    fn until_next_frame(&self) -> Duration {
        let ready = self.live.as_ref().map_or(0, |live| live.ready.len());
        samples_duration(FRAME.saturating_sub(ready)).max(Duration::from_millis(2))
    }
}

impl LiveMic {
    fn new(connected: Connected<Consumer<f32>>) -> Result<(Self, DeviceReport), DeviceError> {
        let resampler = Resampler::new(connected.rate_hz, SAMPLE_RATE_HZ)
            .map_err(|error| DeviceError::Failed { direction: Direction::Capture, why: error.to_string() })?;
        let (name, rate_hz) = (connected.name.clone(), connected.rate_hz);
        let opened = DeviceReport::Opened { direction: Direction::Capture, name, rate_hz };
        Ok((LiveMic { connected, resampler, raw: Vec::new(), ready: Vec::new(), missed: 0 }, opened))
    }

    fn read(&mut self) -> u64 {
        let ring = &mut self.connected.ring;
        self.raw.clear();
        if let Ok(chunk) = ring.read_chunk(ring.slots()) {
            self.raw.extend(chunk);
        }
        self.resampler.push(&self.raw, &mut self.ready);
        self.missed += self.connected.health.missed.swap(0, Ordering::Relaxed);
        let per_frame = u64::from(self.connected.rate_hz / 50).max(1);
        let frames = self.missed / per_frame;
        self.missed %= per_frame;
        frames
    }
}
