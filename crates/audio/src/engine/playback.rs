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
    speakers::Output,
    ticks,
    voice::{Voice, VoiceReport},
};
use crate::{
    FRAME,
    decode::{Outcome, VoiceDecoder},
    device::DeviceReport,
    jitter::{JitterConfig, JitterCounts},
    mix::{MIX_VOICES_MAX, Mixer},
    sink::{Hear, SinkError},
};

/// Frames that wait for the playback thread's next tick: a two-second replay of twelve voices. Beyond it the oldest goes.
pub const INBOX_MAX: usize = 1_200;
/// A thread that woke later than this does not catch up: the machine slept.
const CATCH_UP_MAX: Duration = Duration::from_millis(600);
/// After waking two ticks late or more, others did too: this lets them bring what has arrived meanwhile.
const LET_OTHERS: Duration = Duration::from_millis(2);

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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlaybackOptions {
    /// How much voices are delayed.
    pub jitter: JitterConfig,
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
    /// The speakers opened or were lost.
    Device(DeviceReport),
    /// The file cannot be written any more; playback goes on unheard.
    SinkFailed(SinkError),
}

/// What a playback session came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlaybackTotals {
    /// Frames by their fate, over all voices.
    pub frames: JitterCounts,
    /// Frames dropped because the inbox was full.
    pub inbox_dropped: u64,
    /// Frames dropped because [`MIX_VOICES_MAX`] other voices were being heard.
    pub voices_refused: u64,
    /// Ticks of 20 ms that passed.
    pub ticks: u64,
    /// Ticks that came more than 20 ms after their time.
    pub ticks_late: u64,
    /// Samples that speakers played as silence in the middle of sound.
    pub device_missed: u64,
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
        let (output, opened) = Output::open(hear)?;
        let inbox = Arc::new(Inbox::default());
        let shared = inbox.clone();
        let thread = thread::Builder::new()
            .name("treehouse-playback".into())
            .spawn(move || {
                if let Some(opened) = opened {
                    report(PlaybackEvent::Device(opened));
                }
                Player::new(shared, options.jitter, output, report).run()
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
    jitter: JitterConfig,
    output: Output,
    mixer: Mixer,
    voices: Vec<(VoiceId, Voice)>,
    /// Zero of the voices' clock.
    origin: Instant,
    /// When the next tick is due.
    due: Instant,
    /// What the voices did during a tick, reported once it has left the mixer.
    reports: Vec<(VoiceId, VoiceReport)>,
    totals: PlaybackTotals,
}

impl<F: FnMut(PlaybackEvent)> Player<F> {
    fn new(inbox: Arc<Inbox>, jitter: JitterConfig, output: Output, report: F) -> Self {
        let now = Instant::now();
        Player {
            inbox,
            report,
            jitter,
            output,
            mixer: Mixer::default(),
            voices: Vec::new(),
            origin: now,
            due: now + TICK,
            reports: Vec::new(),
            totals: PlaybackTotals::default(),
        }
    }

    fn run(mut self) -> PlaybackTotals {
        while self.sleep() {
            let late = Instant::now().saturating_duration_since(self.due);
            if !self.is_active() || late > CATCH_UP_MAX {
                self.skip_silence();
            } else if late >= 2 * TICK {
                thread::sleep(LET_OTHERS);
            }
            self.take_inbox();
            while self.due <= Instant::now() {
                self.tick();
            }
            if let Some(report) = self.output.poll() {
                (self.report)(PlaybackEvent::Device(report));
            }
        }
        self.skip_silence();
        self.voices.drain(..).for_each(|(_, voice)| add(&mut self.totals.frames, voice.counts()));
        self.totals.inbox_dropped = self.inbox.lock().dropped;
        match self.output.finish() {
            Ok(missed) => self.totals.device_missed = missed,
            Err(error) => (self.report)(PlaybackEvent::SinkFailed(error)),
        }
        self.totals
    }

    fn is_active(&self) -> bool {
        self.voices.iter().any(|(_, voice)| voice.is_active())
    }

    /// Waits for the next tick, or when nothing is heard, for the next frame; false when it is time to stop.
    fn sleep(&mut self) -> bool {
        if self.is_active() {
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
                Message::Frame(frame) => self.insert(frame),
                Message::Remove(id) => {
                    self.voices.iter_mut().filter(|(voice, _)| *voice == id).for_each(|(_, voice)| voice.leave());
                }
            }
        }
        let totals = &mut self.totals.frames;
        self.voices.retain(|(_, voice)| {
            let gone = voice.is_gone();
            if gone {
                add(totals, voice.counts());
            }
            !gone
        });
    }

    fn insert(&mut self, frame: VoiceFrame) {
        let arrived = frame.arrived.saturating_duration_since(self.origin);
        let known = self.voices.iter_mut().find(|(id, voice)| *id == frame.voice && !voice.is_leaving());
        if let Some((_, voice)) = known {
            return voice.insert(arrived, frame.number, frame.opus);
        }
        if self.voices.len() >= MIX_VOICES_MAX && !self.evict() {
            self.totals.voices_refused += 1;
            return;
        }
        match Voice::new(self.jitter) {
            Ok(mut voice) => {
                voice.insert(arrived, frame.number, frame.opus);
                self.voices.push((frame.voice, voice));
            }
            Err(error) => tracing::error!(%error, "a voice is not heard"),
        }
    }

    /// Forgets the voice that has been silent longest; false if all are being heard.
    fn evict(&mut self) -> bool {
        let silent = self.voices.iter().enumerate().filter(|(_, (_, voice))| !voice.is_active());
        let Some((index, _)) = silent.min_by_key(|(_, (_, voice))| voice.active_at) else { return false };
        let (_, voice) = self.voices.swap_remove(index);
        add(&mut self.totals.frames, voice.counts());
        true
    }

    /// Passes over the ticks that are due, as silence.
    fn skip_silence(&mut self) {
        let behind = Instant::now().saturating_duration_since(self.due).as_millis() / TICK.as_millis();
        let blocks = u64::try_from(behind).unwrap_or(0);
        self.due += ticks(blocks);
        self.totals.ticks += blocks;
        if let Err(error) = self.output.write_silence(blocks) {
            (self.report)(PlaybackEvent::SinkFailed(error));
        }
    }

    fn tick(&mut self) {
        let now = self.due.saturating_duration_since(self.origin);
        let mut pcm = [0.0; FRAME];
        for (id, voice) in &mut self.voices {
            let reports = &mut self.reports;
            if voice.tick(now, &mut pcm, &mut |report| reports.push((*id, report))) {
                self.mixer.add(&pcm);
            }
        }
        self.mixer.finish(&mut pcm);
        let left_mixer_at = Instant::now();
        self.totals.ticks += 1;
        self.totals.ticks_late += u64::from(left_mixer_at.saturating_duration_since(self.due) > TICK);
        self.due += TICK;
        match self.output.write(&pcm) {
            Ok(0) => {}
            Ok(later_us) if later_us > 0 => self.due += Duration::from_micros(later_us.unsigned_abs()),
            Ok(earlier_us) => self.due -= Duration::from_micros(earlier_us.unsigned_abs()),
            Err(error) => (self.report)(PlaybackEvent::SinkFailed(error)),
        }
        self.pass_reports_on(left_mixer_at);
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

fn add(total: &mut JitterCounts, voice: JitterCounts) {
    total.decoded += voice.decoded;
    total.fec += voice.fec;
    total.concealed += voice.concealed;
    total.skipped += voice.skipped;
    total.late += voice.late;
    total.duplicate += voice.duplicate;
    total.refused += voice.refused;
    total.held += voice.held;
}
