//! Microphones and speakers. This is the only module that names `cpal`.
//!
//! A device is owned by a thread of its own (`Device`), because opening one can take seconds and its sound server can
//! hang; the thread that encodes or mixes only ever sees the end of a lock-free ring. The callbacks, which run on the
//! sound system's thread, copy samples to or from that ring and count; they take no lock and allocate nothing.
//!
//! A device that reports an error, or whose callbacks cease, is lost: its thread says so, opens the device anew after
//! 0.2 s, then 0.4 s and so on up to 5 s, and hands over a new ring. There is no silent fallback to a device that only
//! pretends: ALSA's `null`, which runs free at a thousand times real time, is refused by name and by speed.

mod open;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rtrb::{Consumer, Producer};

/// A second of sound at the highest usual rate; a ring that is full drops what comes.
pub(crate) const RING_SAMPLES: usize = 96_000;
/// How often a device is looked after.
const LOOK: Duration = Duration::from_millis(200);
/// Callbacks come every 10 ms; a device without any for this long is lost.
const STALL: Duration = Duration::from_secs(3);
const BACKOFF_MIN: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// Opening takes longer than this only where the sound server hangs.
const OPEN_MAX: Duration = Duration::from_secs(6);
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
}

/// The end of a ring that the engine holds: it reads a microphone's and writes the speakers'.
pub(crate) trait RingEnd: Send + Sized + 'static {
    const DIRECTION: Direction;
    /// Opens the device and connects it to a new ring.
    fn open(name: Option<&str>) -> Result<open::Open<Self>, DeviceError>;
}

impl RingEnd for Consumer<f32> {
    const DIRECTION: Direction = Direction::Capture;
    fn open(name: Option<&str>) -> Result<open::Open<Self>, DeviceError> {
        open::microphone(name)
    }
}

impl RingEnd for Producer<f32> {
    const DIRECTION: Direction = Direction::Playback;
    fn open(name: Option<&str>) -> Result<open::Open<Self>, DeviceError> {
        open::speakers(name)
    }
}

/// What the callbacks leave for others to see.
#[derive(Debug, Default)]
pub(crate) struct Health {
    /// The sound system reported that the stream is over.
    pub(crate) lost: AtomicBool,
    /// Samples that passed the callback.
    pub(crate) samples: AtomicU64,
    /// Samples dropped because the ring was full (microphone), or played as silence because it was empty (speakers).
    pub(crate) missed: AtomicU64,
}

/// A ring that has just been connected to a device.
pub(crate) struct Connected<R> {
    pub(crate) ring: R,
    pub(crate) rate_hz: u32,
    pub(crate) name: String,
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
    /// Opens the named device, or the default; returns it with its first ring.
    pub(crate) fn start(name: Option<String>) -> Result<(Self, Connected<R>), DeviceError> {
        let failed = |why: String| DeviceError::Failed { direction: R::DIRECTION, why };
        let (first_tx, first) = sync_channel(1);
        // The engine looks every 20 ms, and a device changes state a few times a second at most.
        let (events_tx, events) = sync_channel(4);
        let (stop, stop_rx) = sync_channel(1);
        let thread = thread::Builder::new()
            .name(format!("treehouse-{}", R::DIRECTION.noun()))
            .spawn(move || match R::open(name.as_deref()) {
                Err(error) => drop(first_tx.send(Err(error))),
                Ok(open::Open { stream, connected }) => {
                    let (health, rate_hz) = (connected.health.clone(), connected.rate_hz);
                    if first_tx.send(Ok(connected)).is_ok() {
                        Keeper { name, events: events_tx, stop: stop_rx }.keep(stream, health, rate_hz);
                    }
                }
            })
            .map_err(|error| failed(error.to_string()))?;
        let connected =
            first.recv_timeout(OPEN_MAX).map_err(|_| failed("the sound system does not answer".into()))??;
        Ok((Device { events, stop: Some(stop), thread: Some(thread) }, connected))
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
    name: Option<String>,
    events: SyncSender<FromDevice<R>>,
    stop: Receiver<()>,
}

impl<R: RingEnd> Keeper<R> {
    fn keep(&self, mut stream: open::Stream, mut health: Arc<Health>, mut rate_hz: u32) {
        loop {
            let Some(why) = self.watch(&health, rate_hz) else { return };
            drop(stream);
            if !self.tell(FromDevice::Lost(why)) {
                return;
            }
            let Some(again) = self.reopen() else { return };
            (stream, health, rate_hz) = (again.stream, again.connected.health.clone(), again.connected.rate_hz);
            if !self.tell(FromDevice::Connected(again.connected)) {
                return;
            }
        }
    }

    /// Returns why the device was lost, or none when it is no longer wanted.
    fn watch(&self, health: &Health, rate_hz: u32) -> Option<String> {
        let (mut seen, mut seen_at) = (0, Instant::now());
        loop {
            if self.stopped_within(LOOK) {
                return None;
            }
            let (samples, elapsed) = (health.samples.load(Ordering::Relaxed), seen_at.elapsed());
            if health.lost.load(Ordering::Relaxed) {
                return Some("the sound system ended the stream".into());
            }
            let fair = u64::from(rate_hz) * elapsed.as_millis() as u64 / 1000;
            if samples.saturating_sub(seen) > FREE_RUN * fair + u64::from(rate_hz) {
                return Some("it runs faster than any sound device does".into());
            }
            if samples != seen {
                (seen, seen_at) = (samples, Instant::now());
            } else if elapsed > STALL {
                return Some("no sound has passed for 3 seconds".into());
            }
        }
    }

    fn reopen(&self) -> Option<open::Open<R>> {
        let mut backoff = BACKOFF_MIN;
        loop {
            if self.stopped_within(backoff) {
                return None;
            }
            match R::open(self.name.as_deref()) {
                Ok(open) => return Some(open),
                Err(error) => tracing::debug!(%error, "device still lost"),
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
