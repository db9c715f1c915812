//! Microphones and speakers. This is the only module that names `cpal`.
//!
//! A device is owned by a thread of its own (`Device`), because opening one can take seconds and its sound server can
//! hang; the thread that encodes or mixes only ever sees the end of a lock-free ring. The callbacks, which run on the
//! sound system's thread, copy samples to or from that ring and count; they take no lock and allocate nothing.
//!
//! A microphone that delivers much less than its rate is opened again with larger callbacks: through PulseAudio, sound
//! that comes in blocks larger than a callback is cut down to one, and how large they are depends on who else uses it.
//!
//! A device that reports an error, or whose callbacks cease, is lost: its thread says so, opens the device anew after
//! 0.2 s, then 0.4 s and so on up to 5 s, and hands over a new ring. There is no silent fallback to a device that only
//! pretends: ALSA's `null`, which runs free at a thousand times real time, is refused by name and by speed.
//!
//! Whoever asks for the system's default gets what is the default at any time: once a second it is asked for, since neither
//! PulseAudio nor ALSA moves a stream by itself for sure. A device that was asked for by name and is gone is lost, even where
//! the sound server has moved its stream to another one: nobody is to be heard through a microphone that they did not choose.

#[doc(hidden)]
pub mod callback;
#[cfg(target_os = "linux")]
mod cookie;
mod far_end;
mod find;
mod open;
mod probe;

use std::{
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rtrb::{Consumer, Producer};

pub(crate) use self::far_end::FarEndReader;
use self::{callback::Health, find::System};
pub use self::{
    far_end::FarEnd,
    find::{DeviceInfo, list, sound_system},
    probe::{MicrophoneCheck, check_microphone, check_speakers, play_test_tone},
};

/// A second of sound at the highest usual rate, half of it in stereo; a ring that is full drops what comes.
pub(crate) const RING_SAMPLES: usize = 96_000;
/// How often a device is looked after.
const LOOK: Duration = Duration::from_millis(200);
/// Callbacks come every 10 ms; a device without any for this long is lost.
const STALL: Duration = Duration::from_secs(3);
/// Time between callbacks, in milliseconds: at first, and where a microphone needs more, at most.
const CALLBACK_MS: (u32, u32) = (10, 80);
/// How long a microphone is watched before it is said to deliver too little; opening takes half a second of it.
const SHORT_AFTER: Duration = Duration::from_millis(1_000);
/// How often it is asked whether the device is still the one that is meant.
const LOOK_ELSEWHERE: Duration = Duration::from_secs(1);
/// Less than this share of its rate is too little.
const SHORT_PERCENT: u64 = 85;
const BACKOFF_MIN: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// Opening takes longer than this only where the sound server hangs.
const OPEN_MAX: Duration = Duration::from_secs(6);
/// Closing takes longer than this only where the device is gone.
const CLOSE_MAX: Duration = Duration::from_millis(500);
/// A device this many times faster than its rate is no device.
const FREE_RUN: u64 = 8;

/// Which way sound goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// A microphone.
    Capture,
    /// Speakers or headphones.
    Playback,
}

impl Direction {
    const fn noun(self) -> &'static str {
        match self {
            Direction::Capture => "microphone",
            Direction::Playback => "speakers",
        }
    }

    const fn plural(self) -> &'static str {
        match self {
            Direction::Capture => "microphones",
            Direction::Playback => "speakers",
        }
    }

    const fn instead(self) -> &'static str {
        match self {
            Direction::Capture => "plug one in or start a sound server, or say none, tone or a file",
            Direction::Playback => "plug some in or start a sound server, or hear none or a .wav file",
        }
    }
}

/// A device that cannot be used, and what to do about it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DeviceError {
    /// The system has no such device at all.
    #[error("no {} found; {}", .0.noun(), .0.instead())]
    NoDevice(Direction),
    /// No device has the name that was asked for.
    #[error("no {} named {name:?} found; the system has {known}", .direction.noun())]
    Unknown {
        /// Which way.
        direction: Direction,
        /// What was asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// More than one device has the name that was asked for.
    #[error("several {} are named {name:?}; say which by its id, one of {ids}: `treehouse devices` lists them", .direction.plural())]
    Ambiguous {
        /// Which way.
        direction: Direction,
        /// What was asked for.
        name: String,
        /// The ids that fit.
        ids: String,
    },
    /// Somebody else holds it.
    #[error("another program uses the {} alone; close it, or choose another device: `treehouse devices` lists them", .0.noun())]
    Busy(Direction),
    /// The system does not let this program.
    #[error("this program may not use the {}; allow it in the system's settings, or choose another device: `treehouse devices` lists them", .0.noun())]
    Forbidden(Direction),
    /// The sound system hangs.
    #[error("the sound system does not answer; restart it, or log out and in again")]
    NoAnswer,
    /// The device is there but does not open.
    #[error("cannot open the {} ({why}); {}", .direction.noun(), .direction.instead())]
    Failed {
        /// Which way.
        direction: Direction,
        /// What the sound system said.
        why: String,
    },
}

/// What happens to a device while it is in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceReport {
    /// It opened, for the first time or again.
    Opened {
        /// Which way.
        direction: Direction,
        /// Its name.
        name: String,
        /// Its own sample rate; sound is converted where it is not 48 kHz.
        rate_hz: u32,
    },
    /// It vanished or failed; opening it is tried again until it works or the session ends.
    Lost {
        /// Which way.
        direction: Direction,
        /// What was seen.
        why: String,
    },
    /// It was closed because nobody wants it: the speaker is muted. Nothing is recorded any more.
    Closed {
        /// Which way.
        direction: Direction,
    },
}

/// What to open.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// The id or the name of a device; none for the system's default, whatever that is at the time.
    pub(crate) name: Option<String>,
    /// Channels in a microphone's ring, interleaved: 1 or 2.
    pub(crate) channels: u16,
    /// Who is told what speakers play.
    pub(crate) far_end: FarEnd,
}

impl Wanted {
    pub(crate) fn microphone(name: Option<String>, channels: u16) -> Self {
        Wanted { name, channels, far_end: FarEnd::default() }
    }

    pub(crate) fn speakers(name: Option<String>, far_end: FarEnd) -> Self {
        Wanted { name, channels: 2, far_end }
    }
}

/// The end of a ring that the engine holds: it reads a microphone's and writes the speakers'.
pub(crate) trait RingEnd: Send + Sized + 'static {
    const DIRECTION: Direction;
    /// Opens the device, with callbacks about every `callback_ms`, and connects it to a new ring.
    fn open(wanted: &Wanted, callback_ms: u32) -> Result<open::Open<Self>, DeviceError>;
}

impl RingEnd for Consumer<f32> {
    const DIRECTION: Direction = Direction::Capture;
    fn open(wanted: &Wanted, callback_ms: u32) -> Result<open::Open<Self>, DeviceError> {
        open::microphone(wanted, callback_ms)
    }
}

impl RingEnd for Producer<f32> {
    const DIRECTION: Direction = Direction::Playback;
    fn open(wanted: &Wanted, callback_ms: u32) -> Result<open::Open<Self>, DeviceError> {
        open::speakers(wanted, callback_ms)
    }
}

/// A ring that has just been connected to a device.
pub(crate) struct Connected<R> {
    pub(crate) ring: R,
    pub(crate) rate_hz: u32,
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) health: Arc<Health>,
}

pub(crate) enum FromDevice<R> {
    Connected(Connected<R>),
    Lost(String),
}

/// A device in use, kept alive by its own thread.
pub(crate) struct Device<R: RingEnd> {
    events: Receiver<FromDevice<R>>,
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl<R: RingEnd> Device<R> {
    /// Opens the device; returns it with its first ring.
    pub(crate) fn start(wanted: Wanted) -> Result<(Self, Connected<R>), DeviceError> {
        let failed = |why: String| DeviceError::Failed { direction: R::DIRECTION, why };
        let (first_tx, first) = sync_channel(1);
        let device = Self::spawn(wanted, move |keeper| match R::open(&keeper.wanted, keeper.callback_ms) {
            Err(error) => drop(first_tx.send(Err(error))),
            Ok(open::Open { stream, connected }) => {
                let opened = Opened::new(stream, &connected);
                if first_tx.send(Ok(connected)).is_ok() {
                    keeper.keep(opened);
                }
            }
        })
        .map_err(|error| failed(error.to_string()))?;
        let connected = first.recv_timeout(OPEN_MAX).map_err(|_| DeviceError::NoAnswer)??;
        Ok((device, connected))
    }

    /// Opens the device without waiting for it: its first ring comes with [`Device::poll`], and so does what is wrong with it.
    pub(crate) fn start_later(wanted: Wanted) -> Result<Self, DeviceError> {
        let spawned = Self::spawn(wanted, |mut keeper: Keeper<R>| {
            let opened = match keeper.open() {
                Ok(opened) => opened,
                Err(error) if keeper.tell(FromDevice::Lost(error.to_string())) => keeper.reopen(true),
                Err(_) => None,
            };
            if let Some(opened) = opened {
                keeper.keep(opened);
            }
        });
        spawned.map_err(|error| DeviceError::Failed { direction: R::DIRECTION, why: error.to_string() })
    }

    fn spawn(wanted: Wanted, run: impl FnOnce(Keeper<R>) + Send + 'static) -> std::io::Result<Self> {
        // The engine looks every 20 ms, and a device changes state a few times a second at most.
        let (events_tx, events) = sync_channel(4);
        let (stop, stop_rx) = sync_channel(1);
        let keeper = Keeper { wanted, events: events_tx, stop: stop_rx, callback_ms: CALLBACK_MS.0 };
        let name = format!("treehouse-{}", R::DIRECTION.noun());
        let thread = thread::Builder::new().name(name).spawn(move || run(keeper))?;
        Ok(Device { events, stop: Some(stop), thread: Some(thread) })
    }

    /// What has happened since the last look; never waits.
    pub(crate) fn poll(&self) -> Option<FromDevice<R>> {
        self.events.try_recv().ok()
    }
}

impl<R: RingEnd> Drop for Device<R> {
    fn drop(&mut self) {
        drop(self.stop.take());
        let Some(thread) = self.thread.take() else { return };
        // A sound server that hangs must not hold up the end of the program.
        let give_up = Instant::now() + Duration::from_secs(1);
        while !thread.is_finished() && Instant::now() < give_up {
            thread::sleep(Duration::from_millis(5));
        }
        if thread.is_finished() && thread.join().is_err() {
            tracing::warn!("the {} thread panicked", R::DIRECTION.noun());
        }
    }
}

/// Runs on the device's thread.
struct Keeper<R> {
    wanted: Wanted,
    events: SyncSender<FromDevice<R>>,
    stop: Receiver<()>,
    callback_ms: u32,
}

/// A device that is open, whose ring the engine has.
struct Opened {
    _stream: open::Stream,
    health: Arc<Health>,
    rate_hz: u32,
    id: String,
}

impl Opened {
    fn new<R>(stream: open::Stream, connected: &Connected<R>) -> Self {
        let (health, rate_hz, id) = (connected.health.clone(), connected.rate_hz, connected.id.clone());
        Opened { _stream: stream, health, rate_hz, id }
    }
}

impl Opened {
    /// Closes the device. The stream of one that was unplugged may wait for ever for an answer of the sound server; it is left to that.
    fn close(self) {
        let (closing, closed) = sync_channel::<()>(1);
        let work = move || {
            drop(self);
            drop(closing);
        };
        if thread::Builder::new().name("treehouse-close".into()).spawn(work).is_ok() {
            let _ = closed.recv_timeout(CLOSE_MAX);
        }
    }
}

/// Why a device must be opened again.
enum Verdict {
    Lost(&'static str),
    /// It works, but needs larger callbacks.
    Short,
    /// It works, but another one is the system's default now.
    Moved,
}

impl<R: RingEnd> Keeper<R> {
    fn keep(mut self, mut opened: Opened) {
        while let Some(verdict) = self.watch(&opened) {
            opened.close();
            let mut lost = false;
            match verdict {
                Verdict::Short => self.callback_ms *= 2,
                Verdict::Lost(why) if !self.tell(FromDevice::Lost(why.to_owned())) => return,
                Verdict::Lost(_) => lost = true,
                Verdict::Moved => {}
            }
            let Some(again) = self.reopen(lost) else { return };
            opened = again;
        }
        opened.close();
    }

    /// Returns what is wrong with the device, or none when it is no longer wanted.
    fn watch(&self, opened: &Opened) -> Option<Verdict> {
        let mut pulse = Pulse::new();
        let mut elsewhere = Elsewhere::default();
        let system = System::new();
        loop {
            if self.stopped_within(LOOK) {
                return None;
            }
            if opened.health.lost.load(Ordering::Relaxed) {
                return Some(Verdict::Lost("the sound system ended the stream"));
            }
            let samples = opened.health.samples.load(Ordering::Relaxed);
            let may_grow = R::DIRECTION == Direction::Capture && self.callback_ms < CALLBACK_MS.1;
            if let Some(verdict) = pulse.look(samples, opened.rate_hz, may_grow) {
                return Some(verdict);
            }
            // A sound server that hangs does not answer either: it is asked only while sound passes.
            if let Some(verdict) = elsewhere.look(samples, || self.meant(&system), &opened.id) {
                return Some(verdict);
            }
        }
    }

    /// The id of the device that would be opened now, or how it is not there.
    fn meant(&self, system: &System) -> Result<Option<String>, &'static str> {
        let current = system.current(R::DIRECTION, self.wanted.name.as_deref());
        match (current, &self.wanted.name) {
            (None, Some(_)) => Err("the device is gone"),
            (current, _) => Ok(current),
        }
    }

    /// Opens the device and hands over its ring.
    fn open(&mut self) -> Result<Option<Opened>, DeviceError> {
        let open = R::open(&self.wanted, self.callback_ms)?;
        let opened = Opened::new(open.stream, &open.connected);
        Ok(self.tell(FromDevice::Connected(open.connected)).then_some(opened))
    }

    /// Opens the device as soon as that works; tells that it is `lost` where that is news.
    fn reopen(&mut self, mut lost: bool) -> Option<Opened> {
        let mut backoff = BACKOFF_MIN;
        loop {
            match self.open() {
                Ok(opened) => return opened,
                Err(error) if lost => tracing::debug!(%error, "device still lost"),
                Err(error) if self.tell(FromDevice::Lost(error.to_string())) => lost = true,
                Err(_) => return None,
            }
            if self.stopped_within(backoff) {
                return None;
            }
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    fn stopped_within(&self, wait: Duration) -> bool {
        !matches!(self.stop.recv_timeout(wait), Err(RecvTimeoutError::Timeout))
    }

    /// False once nobody listens. The queue is full only if the engine is gone or stuck: wait for it then.
    fn tell(&self, mut event: FromDevice<R>) -> bool {
        loop {
            match self.events.try_send(event) {
                Ok(()) => return true,
                Err(TrySendError::Disconnected(_)) => return false,
                Err(TrySendError::Full(back)) => event = back,
            }
            if self.stopped_within(LOOK) {
                return false;
            }
        }
    }
}

/// Sees when another device is meant than the one that is open.
#[derive(Default)]
struct Elsewhere {
    /// Samples when it was asked last, and when that was.
    asked: Option<(u64, Instant)>,
}

impl Elsewhere {
    fn look(
        &mut self,
        samples: u64,
        meant: impl FnOnce() -> Result<Option<String>, &'static str>,
        open: &str,
    ) -> Option<Verdict> {
        let (before, at) = *self.asked.get_or_insert_with(|| (samples, Instant::now()));
        if samples == before || at.elapsed() < LOOK_ELSEWHERE {
            return None;
        }
        self.asked = Some((samples, Instant::now()));
        match meant() {
            Err(why) => Some(Verdict::Lost(why)),
            Ok(Some(id)) if id != open => Some(Verdict::Moved),
            Ok(_) => None,
        }
    }
}

/// Judges a device by the samples that pass.
struct Pulse {
    /// Samples at the last progress, and when that was.
    seen: u64,
    seen_at: Instant,
    /// Samples at the start of the window in which the rate is measured.
    window: u64,
    window_at: Instant,
}

impl Pulse {
    fn new() -> Self {
        let now = Instant::now();
        Pulse { seen: 0, seen_at: now, window: 0, window_at: now }
    }

    fn look(&mut self, samples: u64, rate_hz: u32, may_grow: bool) -> Option<Verdict> {
        if samples == self.seen {
            return (self.seen_at.elapsed() > STALL).then_some(Verdict::Lost("no sound has passed for 3 seconds"));
        }
        if self.seen == 0 {
            // The first sound: the rate is measured from here.
            (self.window, self.window_at) = (samples, Instant::now());
        }
        (self.seen, self.seen_at) = (samples, Instant::now());
        let window = self.window_at.elapsed();
        if window < SHORT_AFTER {
            return None;
        }
        let fair = u64::from(rate_hz) * u64::try_from(window.as_millis()).unwrap_or(u64::MAX) / 1000;
        let passed = samples - self.window;
        (self.window, self.window_at) = (samples, Instant::now());
        if passed > FREE_RUN * fair {
            return Some(Verdict::Lost("it runs faster than any sound device does"));
        }
        (may_grow && passed * 100 < fair * SHORT_PERCENT).then_some(Verdict::Short)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks at a device every 200 ms of pretended time, in which `per_look` samples pass.
    fn judge(per_look: impl Fn(u64) -> u64, may_grow: bool) -> Option<&'static str> {
        let mut pulse = Pulse::new();
        let mut samples = 0;
        for look in 0..40 {
            samples += per_look(look);
            pulse.seen_at = pulse.seen_at.checked_sub(LOOK).unwrap();
            pulse.window_at = pulse.window_at.checked_sub(LOOK).unwrap();
            match pulse.look(samples, 48_000, may_grow) {
                None => {}
                Some(Verdict::Lost(why)) => return Some(why),
                Some(Verdict::Short) => return Some("short"),
                Some(Verdict::Moved) => return Some("moved"),
            }
        }
        None
    }

    #[test]
    fn a_device_at_its_rate_is_left_alone_also_when_it_starts_late() {
        assert_eq!(judge(|_| 9_600, true), None);
        assert_eq!(judge(|look| if look < 5 { 0 } else { 9_600 }, true), None);
    }

    #[test]
    fn a_microphone_at_a_third_of_its_rate_needs_larger_callbacks_while_they_may_grow() {
        assert_eq!(judge(|_| 3_200, true), Some("short"));
        assert_eq!(judge(|_| 3_200, false), None);
    }

    #[test]
    fn a_device_that_falls_silent_is_lost() {
        assert_eq!(judge(|look| if look < 5 { 9_600 } else { 0 }, true), Some("no sound has passed for 3 seconds"));
        assert_eq!(judge(|_| 0, true), Some("no sound has passed for 3 seconds"));
    }

    #[test]
    fn a_device_that_runs_free_is_no_device() {
        assert_eq!(judge(|_| 9_600_000, true), Some("it runs faster than any sound device does"));
    }
}
