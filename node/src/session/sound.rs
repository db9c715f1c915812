//! A session's voice and ears: between the sound threads, the driver's task and the session, without waiting.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{sync::mpsc, task::spawn_blocking};
use treehouse_audio::{
    Capture, CaptureEvent, CaptureOptions, CapturedFrame, DeviceReport, Direction, FarEnd, Hear, JitterConfig,
    MixOptions, Outcome, Playback, PlaybackEvent, PlaybackOptions, Say, SinkError, SourceError, VoiceFrame, Volume,
};
use treehouse_room::PlayFrame;
use treehouse_wire::{Level, Losses, NodeId, VoiceId};

use super::{setup::sink_failure, speaking::Meter};
use crate::{
    clock::Clock,
    failure::Failure,
    framelog::{self, Entry},
    output::LineSender,
};

/// What the sound tells the session that waits at most; more is dropped: levels, of which new ones come, for the most
/// part.
pub const TOLD_MAX: usize = 256;
/// Length of a frame.
const FRAME: Duration = Duration::from_millis(20);

/// What the sound tells the session.
#[derive(Debug)]
pub enum Told {
    /// How loud somebody is.
    Level(NodeId, Level),
    /// The first decoded sample has left the mixer.
    FirstAudio(Instant),
    /// One sentence for a person.
    Notice(String),
    /// The own voice is over: its file has ended, or it failed.
    VoiceOver,
    /// Whoever read the sound from standard output reads no more.
    Unheard,
    /// What was lost of a voice, for its speaker.
    Lost(VoiceId, Losses),
}

/// Where frames are logged and events told, for every part that has sound.
#[derive(Clone)]
pub struct Taps {
    /// Maps instants to the clock that logs share.
    pub clock: Clock,
    /// The frame log, if one is written.
    pub log: Option<LineSender<Entry>>,
    /// To the session.
    pub told: mpsc::Sender<Told>,
    /// What the speakers play, to be taken out of the microphone.
    pub far_end: FarEnd,
}

impl Taps {
    fn log(&self, entry: Entry) {
        if let Some(log) = &self.log {
            log.send(entry);
        }
    }

    pub(super) fn tell(&self, told: Told) {
        let _ = self.told.try_send(told);
    }
}

/// Where a room is heard.
pub struct Ears {
    playback: Arc<OnceLock<Playback>>,
    verified: Arc<AtomicU64>,
    taps: Taps,
}

impl Ears {
    /// Opens the sink, with two channels if that is wanted. Speakers may take seconds and are opened beside the room; a file that cannot be written is
    /// reported at once.
    ///
    /// # Errors
    /// [`Failure::Usage`] where the file cannot be written, [`Failure::Failed`] where the codec does not work.
    pub async fn open(hear: Hear, mix: (MixOptions, bool), taps: Taps) -> Result<Self, Failure> {
        let playback = Arc::new(OnceLock::new());
        let ears = Ears { playback: playback.clone(), verified: Arc::default(), taps: taps.clone() };
        // What nobody hears or measures is not decoded.
        if hear == Hear::None && taps.log.is_none() {
            return Ok(ears);
        }
        let beside = matches!(hear, Hear::Speakers(_));
        let tell = taps.clone();
        let opening = spawn_blocking(move || start_playback(hear, mix, taps).map(|opened| drop(playback.set(opened))));
        if beside {
            tokio::spawn(async move {
                if let Ok(Err(error)) = opening.await {
                    tell.tell(Told::Notice(format!("you hear nothing: {error}")));
                }
            });
            return Ok(ears);
        }
        match opening.await {
            Ok(Ok(())) => Ok(ears),
            Ok(Err(error)) => Err(sink_failure(error)),
            Err(panic) => Err(Failure::Failed(format!("playback cannot be started: {panic}"))),
        }
    }

    /// The end that the driver hands frames to.
    pub fn player(&self) -> Player {
        let (playback, verified, taps) = (self.playback.clone(), self.verified.clone(), self.taps.clone());
        Player { playback, verified, taps, meter: Meter::default() }
    }

    /// Delays voices so from now on; false where nothing is heard, or not yet.
    pub fn set_jitter(&self, config: JitterConfig) -> bool {
        let playback = self.playback.get();
        playback.into_iter().for_each(|playback| playback.set_jitter(config));
        playback.is_some()
    }

    /// Distinct frames that were verified and opened.
    pub fn frames_verified(&self) -> u64 {
        self.verified.load(Ordering::Relaxed)
    }

    /// Sets how loud a voice is heard, once there is something to hear it with.
    pub fn set_volume(&self, voice: VoiceId, volume: Volume) {
        if let Some(playback) = self.playback.get() {
            playback.set_volume(voice, volume);
        }
    }

    /// Stops and closes the sink.
    pub async fn close(self) {
        let playback = self.playback;
        // The last owner of a playback stops it and waits for its thread, for a tick or two.
        let _ = spawn_blocking(move || drop(playback)).await;
    }
}

/// Takes frames from the driver; never waits.
pub struct Player {
    playback: Arc<OnceLock<Playback>>,
    verified: Arc<AtomicU64>,
    taps: Taps,
    meter: Meter,
}

impl Player {
    /// Plays a frame whose packet was verified at this time.
    pub fn play(&mut self, frame: PlayFrame, verified_at: Instant) {
        self.verified.fetch_add(1, Ordering::Relaxed);
        let (voice, number) = (frame.voice, frame.number);
        self.taps.log(Entry::Verified { voice, frame: number.0, at_ns: self.taps.clock.ns(verified_at) });
        if let Some(level) = self.meter.frame(frame.speaker, frame.level, verified_at) {
            self.taps.tell(Told::Level(frame.speaker, level));
        }
        if let Some(playback) = self.playback.get() {
            let (captured, opus) = (frame.captured, frame.opus);
            playback.push(VoiceFrame { voice, number, captured, arrived: verified_at, opus });
        }
    }
}

fn start_playback(hear: Hear, (mix, stereo): (MixOptions, bool), taps: Taps) -> Result<Playback, SinkError> {
    let first = AtomicBool::new(true);
    let options = PlaybackOptions { mix, stereo, far_end: taps.far_end.clone(), ..PlaybackOptions::default() };
    Playback::start(hear, options, move |event| match event {
        PlaybackEvent::Played { voice, number, outcome, left_mixer_at } => {
            let outcome = match outcome {
                Outcome::Decoded => framelog::Outcome::Decoded,
                Outcome::Fec | Outcome::Dred => framelog::Outcome::Fec,
                Outcome::Concealed => framelog::Outcome::Concealed,
            };
            let at_ns = taps.clock.ns(left_mixer_at);
            taps.log(Entry::Played { voice, frame: number.0, outcome, at_ns });
            if outcome == framelog::Outcome::Decoded && first.swap(false, Ordering::Relaxed) {
                taps.tell(Told::FirstAudio(left_mixer_at));
            }
        }
        PlaybackEvent::Device(report) => taps.tell(Told::Notice(device_notice(&report))),
        PlaybackEvent::SinkFailed(error) => taps.tell(Told::Notice(format!("the recording has stopped: {error}"))),
        PlaybackEvent::SinkClosed => taps.tell(Told::Unheard),
        PlaybackEvent::Lost { voice, loss } => {
            let permille = (loss.loss * 1000.0).round() as u16;
            taps.tell(Told::Lost(voice, Losses::of_one(permille, loss.wants_deep())));
        }
        PlaybackEvent::VoiceStarted { .. } | PlaybackEvent::VoiceStopped { .. } => {}
    })
}

/// Starts to speak: each frame goes to `send`.
///
/// # Errors
/// [`SourceError`] where the source cannot be opened.
pub async fn start_voice(
    say: Say,
    options: CaptureOptions,
    (me, voice): (NodeId, VoiceId),
    taps: Taps,
    mut send: impl FnMut(CapturedFrame) + Send + 'static,
) -> Result<Capture, SourceError> {
    let mut meter = Meter::default();
    // The samples that come with the program go on for as long as the session does; a file is said once.
    let looped = options.looped || matches!(say, Say::Sample(_));
    let dtx = !options.one_size;
    let options = CaptureOptions { looped, dtx, far_end: taps.far_end.clone(), ..options };
    let deliver = move |event| match event {
        CaptureEvent::Frame(frame) => {
            let at_ns = taps.clock.ns(frame.captured_at + FRAME);
            taps.log(Entry::Captured { voice, frame: frame.number.0, at_ns });
            if let Some(level) = meter.frame(me, frame.level, frame.captured_at) {
                taps.tell(Told::Level(me, level));
            }
            send(frame);
        }
        CaptureEvent::Ended => taps.tell(Told::VoiceOver),
        CaptureEvent::Failed(error) => {
            taps.tell(Told::Notice(format!("you are not heard any more: {error}")));
            taps.tell(Told::VoiceOver);
        }
        // Levels come with the frames.
        CaptureEvent::Meter(_) => {}
        CaptureEvent::Device(report) => taps.tell(Told::Notice(device_notice(&report))),
        CaptureEvent::Source(notice) => taps.tell(Told::Notice(notice.to_string())),
    };
    // A microphone may take some seconds to open.
    let opened = spawn_blocking(move || Capture::start(say, options, deliver)).await;
    opened.unwrap_or_else(|panic| Err(SourceError::Thread(std::io::Error::other(panic))))
}

fn device_notice(report: &DeviceReport) -> String {
    let noun = |direction: &Direction| match direction {
        Direction::Capture => "microphone",
        Direction::Playback => "speakers",
    };
    let number = |direction: &Direction| match direction {
        Direction::Capture => ("is", "it is"),
        Direction::Playback => ("are", "they are"),
    };
    match report {
        DeviceReport::Opened { direction, name, rate_hz } => format!("{}: {name} at {rate_hz} Hz", noun(direction)),
        DeviceReport::Lost { direction, why } => {
            let (is, it) = number(direction);
            format!("the {} {is} lost ({why}); {it} opened again as soon as possible", noun(direction))
        }
        DeviceReport::Closed { direction } => format!("the {} {} closed", noun(direction), number(direction).0),
    }
}
