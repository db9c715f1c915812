//! A source as encoded frames in real time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use bytes::Bytes;
use treehouse_wire::{CaptureTime, FrameNumber, Level, units::FRAME_SAMPLES};

use super::{
    TICK,
    encoded::{EncodedVoice, Lost},
    microphone::{Microphone, Piece},
    ticks,
};
use crate::{
    device::{DeviceReport, FarEnd},
    encode::LossReport,
    level::level,
    mix::Block,
    process::Processing,
    source::{Next, Say, SourceError, SourceNotice, TimedSource, Width},
};

/// A frame, ready to be sealed and sent.
#[derive(Clone, Debug)]
pub struct CapturedFrame {
    /// Counts every 20 ms since capture began, from 0: those that were muted, held back or lost with a device too.
    pub number: FrameNumber,
    /// Samples at 48 kHz since capture began: `number` times 960.
    pub captured: CaptureTime,
    /// When the first sample was captured; the frame is complete 20 ms later.
    pub captured_at: Instant,
    /// How loud it is; silence where nobody speaks, however loud the room is.
    pub level: Level,
    /// One Opus packet of 20 ms.
    pub opus: Bytes,
}

/// What capture delivers.
#[derive(Debug)]
pub enum CaptureEvent {
    /// The next frame.
    Frame(CapturedFrame),
    /// How loud the microphone is, ten times a second, also while nothing is sent. None while it is muted, and for files.
    Meter(Meter),
    /// The file is over; nothing more comes.
    Ended,
    /// The source failed midway; nothing more comes.
    Failed(SourceError),
    /// The microphone opened, was lost or was closed.
    Device(DeviceReport),
    /// Something has happened to a list or a stream, which goes on.
    Source(SourceNotice),
}

/// What a display of the own microphone shows: the loudest of the last 100 ms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Meter {
    /// After processing; silence where nobody speaks.
    pub level: Level,
    /// The largest sample that the device delivered: from 1.0 on the sound is cut off, and the microphone is to be turned down.
    pub peak: f32,
    /// Whether somebody speaks.
    pub voice: bool,
    /// Whether it is sent.
    pub sent: bool,
}

/// When a microphone is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Talk {
    /// Always.
    #[default]
    Open,
    /// While somebody speaks: nothing is sent in pauses. Who watches the packets learns when that is.
    Voice,
    /// While a key is held; see [`Capture::set_talking`]. The device stays open, so that the first word is not cut.
    Push,
}

/// Music instead of speech: both channels, no processing, more bits. What has one channel is the same on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Music {
    /// Bits a second, of [`Music::BITRATE_BPS_RANGE`]; the nearest of it where it is none of it.
    pub bitrate_bps: i32,
}

impl Music {
    /// Below it music suffers audibly, above it nobody hears a difference and every listener pays.
    pub const BITRATE_BPS_RANGE: std::ops::RangeInclusive<i32> = 96_000..=128_000;

    pub(super) fn bitrate(self) -> i32 {
        self.bitrate_bps.clamp(*Self::BITRATE_BPS_RANGE.start(), *Self::BITRATE_BPS_RANGE.end())
    }
}

/// How to capture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaptureOptions {
    /// Start a file or sample again when it ends, without a pause.
    pub looped: bool,
    /// Begin muted. A microphone is then not opened at all.
    pub muted: bool,
    /// All packets have one size, so that theirs tells nothing of what is said.
    pub one_size: bool,
    /// Frames in which nobody speaks are not delivered, their numbers are passed over; not with `one_size`.
    pub dtx: bool,
    /// When a microphone is sent.
    pub talk: Talk,
    /// What is done to a microphone's sound; not to files.
    pub processing: Processing,
    /// Music, from a microphone or any other source: [`CaptureOptions::processing`] does not count.
    pub music: Option<Music>,
    /// What the speakers play, to be taken out of the microphone: the same as in the options of playback.
    pub far_end: FarEnd,
}

/// What can be changed while capture runs.
#[derive(Debug)]
pub(super) struct Controls {
    pub(super) muted: AtomicBool,
    pub(super) talking: AtomicBool,
    processing: AtomicU8,
}

impl Controls {
    fn new(options: &CaptureOptions) -> Self {
        let processing = AtomicU8::new(bits(options.processing));
        Controls { muted: AtomicBool::new(options.muted), talking: AtomicBool::new(false), processing }
    }

    pub(super) fn processing(&self) -> Processing {
        let bits = self.processing.load(Ordering::Relaxed);
        let on = |bit: u8| bits & 1 << bit != 0;
        Processing { echo: on(0), noise: on(1), gain: on(2), high_pass: on(3) }
    }
}

fn bits(on: Processing) -> u8 {
    let all = [on.echo, on.noise, on.gain, on.high_pass];
    all.into_iter().enumerate().map(|(bit, on)| u8::from(on) << bit).sum()
}

/// A source being captured. Dropping it stops it.
pub struct Capture {
    controls: Arc<Controls>,
    lost: Lost,
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Capture {
    /// Opens the source, then calls `deliver` from a thread of its own, 50 times a second, until the source ends or the
    /// capture is stopped. A slow `deliver` makes frames late, but loses none from a file.
    ///
    /// # Errors
    /// [`SourceError`] when the source cannot be opened; a microphone may take some seconds to fail. One that begins muted fails
    /// when it is opened, with a [`DeviceReport`].
    pub fn start(
        say: Say,
        options: CaptureOptions,
        mut deliver: impl FnMut(CaptureEvent) + Send + 'static,
    ) -> Result<Self, SourceError> {
        let controls = Arc::new(Controls::new(&options));
        let lost = Lost::default();
        let voice = EncodedVoice::new(&options, lost.clone())?;
        let Some(feed) = Feed::open(say, options, controls.clone())? else {
            return Ok(Capture { controls, lost, stop: None, thread: None });
        };
        let (stop, stop_rx) = sync_channel(1);
        let shared = controls.clone();
        let thread = thread::Builder::new()
            .name("treehouse-capture".into())
            .spawn(move || {
                let session = Session { began: Instant::now(), next: 0, voice, controls: shared, stop: stop_rx };
                match feed {
                    Feed::Timed(source) => session.run_timed(source, &mut deliver),
                    Feed::Mic(mic) => session.run_mic(*mic, &mut deliver),
                }
            })
            .map_err(SourceError::Thread)?;
        Ok(Capture { controls, lost, stop: Some(stop), thread: Some(thread) })
    }

    /// While muted, time and numbers go on but no frame is delivered. A microphone is closed, so that the system shows that
    /// nothing records, and opened again afterwards.
    pub fn set_muted(&self, muted: bool) {
        self.controls.muted.store(muted, Ordering::Relaxed);
    }

    /// The key of [`Talk::Push`] is held. For 200 ms after it is let go what is said is sent still.
    pub fn set_talking(&self, talking: bool) {
        self.controls.talking.store(talking, Ordering::Relaxed);
    }

    /// Switches parts of the processing on or off. It has no effect on music and files.
    pub fn set_processing(&self, processing: Processing) {
        self.controls.processing.store(bits(processing), Ordering::Relaxed);
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
    Mic(Box<Microphone>),
}

impl Feed {
    fn open(say: Say, options: CaptureOptions, controls: Arc<Controls>) -> Result<Option<Self>, SourceError> {
        match &say {
            Say::Mic(name) => Ok(Some(Feed::Mic(Box::new(Microphone::open(name.clone(), options, controls)?)))),
            other => {
                let width = if options.music.is_some() { Width::Stereo } else { Width::Mono };
                Ok(TimedSource::open(other, options.looped, width)?.map(Feed::Timed))
            }
        }
    }
}

/// Frames since capture began.
struct Session {
    began: Instant,
    next: u64,
    voice: EncodedVoice,
    controls: Arc<Controls>,
    stop: Receiver<()>,
}

impl Session {
    fn run_timed(mut self, mut source: TimedSource, deliver: &mut impl FnMut(CaptureEvent)) {
        let mut pcm = Block::default();
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
            let muted = self.controls.muted.load(Ordering::Relaxed);
            let level = level(&pcm.left).min(level(&pcm.right));
            if !self.emit((!muted).then_some(&pcm), level, complete_at - TICK, deliver) {
                return;
            }
        }
    }

    fn run_mic(mut self, mut mic: Microphone, deliver: &mut impl FnMut(CaptureEvent)) {
        loop {
            while let Some(report) = mic.poll() {
                if matches!(report, DeviceReport::Opened { .. }) {
                    self.skip_to_now();
                }
                deliver(CaptureEvent::Device(report));
            }
            while let Some(piece) = mic.next_piece() {
                let alive = match piece {
                    Piece::Missing(frames) => {
                        self.next += frames;
                        true
                    }
                    Piece::Meter(meter) => {
                        deliver(CaptureEvent::Meter(meter));
                        true
                    }
                    Piece::Frame { pcm, level, captured_at, sent } => {
                        self.emit(sent.then_some(&*pcm), level, captured_at, deliver)
                    }
                };
                if !alive {
                    return;
                }
            }
            if self.stopped_within(mic.until_next_block()) {
                return;
            }
        }
    }

    /// Numbers count time: what passed without a microphone is skipped.
    fn skip_to_now(&mut self) {
        let passed = self.began.elapsed().as_millis() / TICK.as_millis();
        self.next = self.next.max(u64::try_from(passed).unwrap_or(self.next));
    }

    /// Encodes and delivers one frame, or passes it over; false if that is impossible from now on.
    fn emit(
        &mut self,
        pcm: Option<&Block>,
        level: Level,
        captured_at: Instant,
        deliver: &mut impl FnMut(CaptureEvent),
    ) -> bool {
        let Ok(number) = u32::try_from(self.next) else { return false };
        self.next += 1;
        let Some(pcm) = pcm else { return true };
        match self.voice.encode(pcm) {
            Ok((_, None)) => true,
            Ok((_, Some(opus))) => {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_of_the_processing_is_switched_by_itself() {
        let controls = Controls::new(&CaptureOptions::default());
        assert_eq!(controls.processing(), Processing::default());
        for at in 0..16_u8 {
            let on = |bit: u8| at & 1 << bit != 0;
            let wanted = Processing { echo: on(0), noise: on(1), gain: on(2), high_pass: on(3) };
            controls.processing.store(bits(wanted), Ordering::Relaxed);
            assert_eq!(controls.processing(), wanted);
        }
    }
}
