//! Frames of several voices as sound in real time.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use bytes::Bytes;
use treehouse_wire::{CaptureTime, FrameNumber, VoiceId};

use super::{
    TICK,
    desk::{Desk, MixOptions},
    speakers::{Output, OutputReport},
    ticks,
    voice::VoiceReport,
};
use crate::{
    decode::{Outcome, VoiceDecoder},
    device::{DeviceReport, FarEnd},
    encode::LossReport,
    jitter::{JitterConfig, JitterCounts},
    mix::{Block, Place, Volume},
    sink::{Hear, SinkError},
};

/// Frames that wait for the playback thread's next tick: a two-second replay of twelve voices. Beyond it the oldest goes.
pub const INBOX_MAX: usize = 1_200;
/// A thread that woke later than this does not catch up: the machine slept.
const CATCH_UP_MAX: Duration = Duration::from_millis(600);
/// After waking two ticks late or more, others did too: this lets them bring what has arrived meanwhile.
const LET_OTHERS: Duration = Duration::from_millis(2);

/// Ticks after which it is told what was lost: five seconds.
const LOSSES_EVERY: u32 = 250;

/// A frame to be heard, verified and opened.
#[derive(Clone, Debug)]
pub struct VoiceFrame {
    /// Whose it is.
    pub voice: VoiceId,
    /// Its place in time; see [`FrameNumber`].
    pub number: FrameNumber,
    /// Its capture time; carried for the caller's logs, playout goes by the number.
    pub captured: CaptureTime,
    /// When its packet arrived.
    pub arrived: Instant,
    /// One Opus packet of 20 ms.
    pub opus: Bytes,
}

/// How to play.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlaybackOptions {
    /// How much voices are delayed.
    pub jitter: JitterConfig,
    /// How voices are mixed.
    pub mix: MixOptions,
    /// Files and pipes get two channels, as they do where voices have places; else what is in stereo is mixed down for them.
    pub stereo: bool,
    /// Who takes what the speakers play out of the microphone: the same as in the options of capture.
    pub far_end: FarEnd,
}

/// What playback reports, from its own thread.
#[derive(Debug)]
pub enum PlaybackEvent {
    /// A voice is heard for the first time, or again after a silence.
    VoiceStarted {
        /// Whose.
        voice: VoiceId,
        /// The first number that was passed over since it stopped.
        first_skipped: FrameNumber,
        /// How many were passed over.
        skipped: u32,
        /// When.
        at: Instant,
    },
    /// A frame number's time has come, with what was heard of it. Each number is reported once at most.
    Played {
        /// Whose.
        voice: VoiceId,
        /// Which frame.
        number: FrameNumber,
        /// What was heard.
        outcome: Outcome,
        /// When the 20 ms block with its first sample left the mixer.
        left_mixer_at: Instant,
    },
    /// Nothing has come of a voice for longer than the delay may grow.
    VoiceStopped {
        /// Whose.
        voice: VoiceId,
        /// When.
        at: Instant,
    },
    /// What was lost of a voice in the last five seconds that something was heard: its speaker is to know.
    Lost {
        /// Whose.
        voice: VoiceId,
        /// How much, before redundancy.
        loss: LossReport,
    },
    /// The speakers opened or were lost.
    Device(DeviceReport),
    /// The file cannot be written any more; playback goes on unheard.
    SinkFailed(SinkError),
    /// Whoever read the sound, the next program of a pipe for instance, reads no more; playback goes on unheard.
    SinkClosed,
}

/// What a playback session came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlaybackTotals {
    /// Frames by their fate, over all voices.
    pub frames: JitterCounts,
    /// Frames dropped because the inbox was full.
    pub inbox_dropped: u64,
    /// Frames dropped because [`crate::mix::MIX_VOICES_MAX`] other voices were being heard.
    pub voices_refused: u64,
    /// Ticks of 20 ms that passed.
    pub ticks: u64,
    /// Ticks that came more than 20 ms after their time.
    pub ticks_late: u64,
    /// Samples that speakers played as silence in the middle of sound.
    pub device_missed: u64,
    /// Blocks of 20 ms that a file or a reader did not take in time, and that became silence there.
    pub sink_dropped: u64,
}

/// Voices being played. Dropping it stops it.
pub struct Playback {
    inbox: Arc<Inbox>,
    thread: Option<JoinHandle<PlaybackTotals>>,
}

#[derive(Default)]
struct Inbox {
    state: Mutex<InboxState>,
    wake: Condvar,
}

#[derive(Default)]
struct InboxState {
    queue: VecDeque<Message>,
    dropped: u64,
    stop: bool,
    /// The thread sleeps until something comes.
    resting: bool,
}

enum Message {
    Frame(VoiceFrame),
    Remove(VoiceId),
    Volume(VoiceId, Volume),
    Place(VoiceId, Place),
    Jitter(JitterConfig),
}

impl Inbox {
    /// The lock is held for a few instructions at a time; a panic elsewhere leaves the queue usable.
    fn lock(&self) -> MutexGuard<'_, InboxState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, message: Message) {
        let mut state = self.lock();
        if state.queue.len() >= INBOX_MAX {
            state.queue.pop_front();
            state.dropped += 1;
        }
        state.queue.push_back(message);
        if state.resting {
            self.wake.notify_one();
        }
    }
}

impl Playback {
    /// Opens the sink and plays on a thread of its own, which calls `report`; a slow `report` delays the sound.
    ///
    /// # Errors
    /// [`SinkError`] when the sink cannot be opened; speakers may take some seconds to fail.
    pub fn start(
        hear: Hear,
        options: PlaybackOptions,
        mut report: impl FnMut(PlaybackEvent) + Send + 'static,
    ) -> Result<Self, SinkError> {
        // A codec library that does not work is better found out now than at the first frame.
        VoiceDecoder::new()?;
        let (output, opened) = Output::open(hear, options.stereo || options.mix.spatial, options.far_end.clone())?;
        let inbox = Arc::new(Inbox::default());
        let shared = inbox.clone();
        let thread = thread::Builder::new()
            .name("treehouse-playback".into())
            .spawn(move || {
                if let Some(opened) = opened {
                    report(PlaybackEvent::Device(opened));
                }
                Player::new(shared, options, output, report).run()
            })
            .map_err(SinkError::Thread)?;
        Ok(Playback { inbox, thread: Some(thread) })
    }

    /// Hands over a frame; never waits. Beyond [`INBOX_MAX`] waiting frames the oldest is dropped and counted.
    pub fn push(&self, frame: VoiceFrame) {
        self.inbox.send(Message::Frame(frame));
    }

    /// Fades a voice out and forgets it, without a further report. A frame pushed later starts it anew.
    pub fn remove_voice(&self, voice: VoiceId) {
        self.inbox.send(Message::Remove(voice));
    }

    /// Sets how loud a voice is, now and when it comes again during this playback.
    pub fn set_volume(&self, voice: VoiceId, volume: Volume) {
        self.inbox.send(Message::Volume(voice, volume));
    }

    /// Puts a voice somewhere else than where it was seated; heard with [`MixOptions::spatial`] only.
    pub fn set_place(&self, voice: VoiceId, place: Place) {
        self.inbox.send(Message::Place(voice, place));
    }

    /// Delays voices so from now on, those that are heard and those that come.
    pub fn set_jitter(&self, config: JitterConfig) {
        self.inbox.send(Message::Jitter(config));
    }

    /// Stops, closes the sink and returns what the session came to; no `report` call follows.
    pub fn stop(mut self) -> PlaybackTotals {
        self.join()
    }

    fn join(&mut self) -> PlaybackTotals {
        let Some(thread) = self.thread.take() else { return PlaybackTotals::default() };
        self.inbox.lock().stop = true;
        self.inbox.wake.notify_one();
        thread.join().unwrap_or_else(|_| {
            tracing::error!("the playback thread panicked");
            PlaybackTotals::default()
        })
    }
}

impl Drop for Playback {
    fn drop(&mut self) {
        self.join();
    }
}

/// The playback thread.
struct Player<F> {
    inbox: Arc<Inbox>,
    report: F,
    output: Output,
    desk: Desk,
    /// Zero of the voices' clock.
    origin: Instant,
    /// When the next tick is due.
    due: Instant,
    /// What the voices did during a tick, reported once it has left the mixer.
    reports: Vec<(VoiceId, VoiceReport)>,
    totals: PlaybackTotals,
    /// Ticks since it was told what was lost.
    untold_ticks: u32,
}

impl<F: FnMut(PlaybackEvent)> Player<F> {
    fn new(inbox: Arc<Inbox>, options: PlaybackOptions, output: Output, report: F) -> Self {
        let now = Instant::now();
        Player {
            inbox,
            report,
            output,
            desk: Desk::new(options.jitter, options.mix),
            origin: now,
            due: now + TICK,
            reports: Vec::new(),
            totals: PlaybackTotals::default(),
            untold_ticks: 0,
        }
    }

    fn run(mut self) -> PlaybackTotals {
        while self.sleep() {
            let late = Instant::now().saturating_duration_since(self.due);
            let rests = !self.desk.is_active();
            if rests || late > CATCH_UP_MAX {
                self.skip_silence();
            } else if late >= 2 * TICK {
                thread::sleep(LET_OTHERS);
            }
            self.take_inbox();
            if rests {
                self.output.pause();
                self.begin_anew();
            }
            while self.due <= Instant::now() {
                self.tick();
            }
            if let Some(report) = self.output.poll() {
                self.pass_on(report);
            }
        }
        self.skip_silence();
        self.totals.frames = self.desk.counts();
        self.totals.voices_refused = self.desk.refused();
        self.totals.inbox_dropped = self.inbox.lock().dropped;
        self.totals.sink_dropped = self.output.dropped();
        match self.output.finish() {
            Ok(missed) => self.totals.device_missed = missed,
            Err(error) => (self.report)(PlaybackEvent::SinkFailed(error)),
        }
        self.totals
    }

    /// Waits for the next tick, or when nothing is heard, for the next frame; false when it is time to stop.
    fn sleep(&mut self) -> bool {
        if self.desk.is_active() {
            thread::sleep(self.due.saturating_duration_since(Instant::now()));
            return !self.inbox.lock().stop;
        }
        let mut state = self.inbox.lock();
        if state.queue.is_empty() && !state.stop {
            state.resting = true;
            let (back, _) =
                self.inbox.wake.wait_timeout(state, self.output.rest()).unwrap_or_else(PoisonError::into_inner);
            state = back;
            state.resting = false;
        }
        !state.stop
    }

    fn take_inbox(&mut self) {
        let queue = std::mem::take(&mut self.inbox.lock().queue);
        for message in queue {
            match message {
                Message::Frame(frame) => {
                    let arrived = frame.arrived.saturating_duration_since(self.origin);
                    if let Err(error) = self.desk.insert(arrived, frame.voice, frame.number, frame.opus) {
                        tracing::error!(%error, "a voice is not heard");
                    }
                }
                Message::Remove(id) => self.desk.remove(id),
                Message::Volume(id, volume) => self.desk.set_volume(id, volume),
                Message::Place(id, place) => self.desk.set_place(id, place),
                Message::Jitter(config) => self.desk.set_jitter(config),
            }
        }
        self.desk.tidy();
    }

    /// Passes over the ticks that are due, as silence.
    fn skip_silence(&mut self) {
        let behind = Instant::now().saturating_duration_since(self.due).as_millis() / TICK.as_millis();
        let blocks = u64::try_from(behind).unwrap_or(0);
        self.due += ticks(blocks);
        self.totals.ticks += blocks;
        self.output.write_silence(blocks);
    }

    /// After silence ticks go by the voice that comes first: on a grid of their own they would meet it half a tick late on average.
    fn begin_anew(&mut self) {
        let starts_at = self.desk.starts_at(self.origin.elapsed()).filter(|_| self.output.may_begin_anew());
        let Some(starts_at) = starts_at else { return };
        let now = Instant::now();
        let due = (self.origin + starts_at).max(now);
        // No later than a tick from now: others may come meanwhile.
        let whole = (due - now).as_nanos() / TICK.as_nanos();
        self.due = due - ticks(u64::try_from(whole).unwrap_or(0));
    }

    fn tick(&mut self) {
        let now = self.due.saturating_duration_since(self.origin);
        let (mut block, reports) = (Block::default(), &mut self.reports);
        self.desk.tick_reporting(now, &mut block, &mut |id, report| reports.push((id, report)));
        let left_mixer_at = Instant::now();
        self.totals.ticks += 1;
        self.totals.ticks_late += u64::from(left_mixer_at.saturating_duration_since(self.due) > TICK);
        self.due += TICK;
        match self.output.write(&block) {
            0 => {}
            later_us if later_us > 0 => self.due += Duration::from_micros(later_us.unsigned_abs()),
            earlier_us => self.due -= Duration::from_micros(earlier_us.unsigned_abs()),
        }
        self.pass_reports_on(left_mixer_at);
        self.untold_ticks += 1;
        if self.untold_ticks >= LOSSES_EVERY {
            self.untold_ticks = 0;
            for (voice, loss) in self.desk.losses() {
                (self.report)(PlaybackEvent::Lost { voice, loss });
            }
        }
    }

    fn pass_on(&mut self, report: OutputReport) {
        (self.report)(match report {
            OutputReport::Device(report) => PlaybackEvent::Device(report),
            OutputReport::Failed(error) => PlaybackEvent::SinkFailed(error),
            OutputReport::Closed => PlaybackEvent::SinkClosed,
        });
    }

    fn pass_reports_on(&mut self, at: Instant) {
        for (voice, report) in self.reports.drain(..) {
            (self.report)(match report {
                VoiceReport::Started { first, skipped } => {
                    PlaybackEvent::VoiceStarted { voice, first_skipped: first, skipped, at }
                }
                VoiceReport::Played { number, outcome } => {
                    PlaybackEvent::Played { voice, number, outcome, left_mixer_at: at }
                }
                VoiceReport::Stopped => PlaybackEvent::VoiceStopped { voice, at },
            });
        }
    }
}
