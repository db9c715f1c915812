//! The program's end of a running room: what goes in and what comes out, without waiting for the driver.

use std::{
    collections::VecDeque,
    fmt, io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant as StdInstant,
};

use bytes::Bytes;
use tokio::{
    sync::{Notify, mpsc, oneshot},
    task::JoinHandle,
};
use treehouse_room::{Command, Event, Instant, PlayFrame, Recorded, Room, RoomError};
use treehouse_wire::{Address, CaptureTime, FrameNumber, Level, NodeId, Shipped};

use crate::{
    config::{NetConfig, NetError},
    driver::{Asked, Clock, Driver, Inlets, Play, Record},
    ledger::{Keeper, Ledger},
    limits::{CAPTURED_MAX, COMMANDS_MAX, EVENTS_OUT_MAX},
    network::Network,
};

/// Starts a node's network: the addresses are known, nothing is dialled yet. `identity_seed` is the node's Ed25519
/// secret key.
///
/// # Errors
/// [`NetError`], one sentence that says what to do.
pub async fn start(identity_seed: &[u8; 32], config: &NetConfig) -> Result<Endpoint, NetError> {
    Ok(Endpoint { network: Network::start(*identity_seed, config).await?, clock: Clock::start(), record: None })
}

/// A network that listens and has no room yet.
pub struct Endpoint {
    network: Network,
    clock: Clock,
    record: Option<Record>,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("network", &self.network).finish_non_exhaustive()
    }
}

impl Endpoint {
    /// This node.
    pub fn node_id(&self) -> NodeId {
        self.network.node_id()
    }

    /// Where others can reach this node, best first.
    pub fn addresses(&self) -> &[Address] {
        self.network.addresses()
    }

    /// Has what a recording needs handed to `record`, on the driver's task, while the room's signed state says that it is recorded; it
    /// must not block.
    pub fn recording(mut self, record: impl FnMut(Recorded, StdInstant) + Send + 'static) -> Self {
        self.record = Some(Box::new(record));
        self
    }

    /// Runs a room on this network. `room` makes it, given the room's time; `play` is called on the driver's task with
    /// each frame to play and the instant at which its packet had been verified, and must not block.
    ///
    /// Call it within a Tokio runtime.
    pub fn run(
        self,
        room: impl FnOnce(Instant) -> Room<Shipped>,
        play: impl FnMut(PlayFrame, StdInstant) + Send + 'static,
    ) -> Handle {
        self.start(room, play, None)
    }

    /// The same for a host whose invites survive its end: nobody is let in by a counted invite before `ledger` has kept it.
    ///
    /// # Errors
    /// Where the system gives no thread for it.
    pub fn run_kept(
        self,
        room: impl FnOnce(Instant) -> Room<Shipped>,
        play: impl FnMut(PlayFrame, StdInstant) + Send + 'static,
        ledger: impl Ledger,
    ) -> io::Result<Handle> {
        let keeper = Keeper::start(ledger)?;
        Ok(self.start(room, play, Some(keeper)))
    }

    fn start(
        self,
        room: impl FnOnce(Instant) -> Room<Shipped>,
        play: impl FnMut(PlayFrame, StdInstant) + Send + 'static,
        keeper: Option<Keeper>,
    ) -> Handle {
        let room = room(self.clock.room(StdInstant::now()));
        self.drive(room, Box::new(play), keeper)
    }

    /// Generic in nothing, so that the driver and the room in it are compiled here once, and not by each program again.
    fn drive(self, room: Room<Shipped>, play: Play, keeper: Option<Keeper>) -> Handle {
        let Endpoint { network, clock, record } = self;
        let (commands, commands_receiver) = mpsc::channel(COMMANDS_MAX);
        let (captured, captured_receiver) = mpsc::channel(CAPTURED_MAX);
        let events = Arc::new(Mailbox::default());
        let counters = Arc::new(Counters::default());
        let driver = Driver {
            room,
            network,
            clock,
            play,
            record,
            keeper,
            events: Arc::clone(&events),
            counters: Arc::clone(&counters),
            closed: false,
        };
        let task = tokio::spawn(driver.run(Inlets { commands: commands_receiver, captured: captured_receiver }));
        Handle { commands, captured, events, counters, task }
    }
}

/// A running room. Dropping it stops the room's driver without a goodbye; [`Command::Leave`] says one.
#[derive(Debug)]
pub struct Handle {
    commands: mpsc::Sender<Asked>,
    captured: mpsc::Sender<Captured>,
    events: Arc<Mailbox>,
    counters: Arc<Counters>,
    task: JoinHandle<()>,
}

impl Handle {
    /// The next event; `None` once the driver has ended. Nothing is lost where the future is dropped. Of events that
    /// nobody takes the oldest are dropped beyond [`EVENTS_OUT_MAX`].
    pub async fn event(&mut self) -> Option<Event> {
        self.events.take().await
    }

    /// Asks the room for something. What the room refuses is logged; what comes of the rest is seen in its events.
    pub async fn command(&self, command: Command) {
        // It fails only where the driver has ended, which the events say.
        let _ = self.commands.send(Asked { command, answer: None }).await;
    }

    /// Asks the room for something, and waits for what it says.
    ///
    /// # Errors
    /// What the room refuses; [`RoomError::Closed`] where the driver has ended.
    pub async fn ask(&self, command: Command) -> Result<(), RoomError> {
        let (answer, answered) = oneshot::channel();
        let _ = self.commands.send(Asked { command, answer: Some(answer) }).await;
        answered.await.unwrap_or(Err(RoomError::Closed))
    }

    /// A way for the own voice into the room; there may be several.
    pub fn captured(&self) -> CapturedSender {
        CapturedSender { frames: self.captured.clone(), counters: Arc::clone(&self.counters) }
    }

    /// What has passed so far.
    pub fn stats(&self) -> Stats {
        self.counters.stats()
    }

    /// Stops: links are hung up after what was sent before is delivered, within half a second. It says no goodbye.
    pub async fn stop(self) {
        drop((self.commands, self.captured));
        let _ = self.task.await;
    }
}

/// One frame of the own voice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    /// Number of the frame in this session.
    pub number: FrameNumber,
    /// When its first sample was captured.
    pub captured: CaptureTime,
    /// Its loudness.
    pub level: Level,
    /// One Opus packet of 20 ms.
    pub opus: Bytes,
}

/// Takes the own voice from a sound thread to the driver.
#[derive(Clone, Debug)]
pub struct CapturedSender {
    frames: mpsc::Sender<Captured>,
    counters: Arc<Counters>,
}

impl CapturedSender {
    /// Sends a frame. It neither blocks nor waits: a frame that finds [`CAPTURED_MAX`] others before it is dropped and
    /// counted.
    pub fn send(&self, frame: Captured) {
        if self.frames.try_send(frame).is_err() {
            self.counters.captured_dropped.fetch_add(1, Relaxed);
        }
    }
}

/// Events for the program: bounded, the oldest goes first.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    events: Mutex<(VecDeque<Event>, bool)>,
    changed: Notify,
}

impl Mailbox {
    fn lock(&self) -> MutexGuard<'_, (VecDeque<Event>, bool)> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an event; true where an older one was dropped for it.
    pub(crate) fn put(&self, event: Event) -> bool {
        let mut events = self.lock();
        let full = events.0.len() >= EVENTS_OUT_MAX;
        if full {
            events.0.pop_front();
        }
        events.0.push_back(event);
        drop(events);
        self.changed.notify_one();
        full
    }

    /// No more events will come.
    pub(crate) fn close(&self) {
        self.lock().1 = true;
        self.changed.notify_one();
    }

    async fn take(&self) -> Option<Event> {
        loop {
            {
                let mut events = self.lock();
                if let Some(event) = events.0.pop_front() {
                    return Some(event);
                }
                if events.1 {
                    return None;
                }
            }
            self.changed.notified().await;
        }
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What has passed through a driver since it began.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Stats {
            $($(#[$doc])* pub $name: u64,)*
        }

        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: AtomicU64,)*
        }

        impl Counters {
            fn stats(&self) -> Stats {
                Stats { $($name: self.$name.load(Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Packets handed to lanes, counted once for each child.
    packets_sent,
    /// Frames in those packets.
    frames_sent,
    /// Bytes of those packets.
    bytes_sent,
    /// Packets that came, copies and refused ones among them.
    packets_received,
    /// Frames in those packets.
    frames_received,
    /// Bytes of those packets.
    bytes_received,
    /// Frames handed on to be played, each once.
    frames_played,
    /// Packets that lanes dropped because they were too late or too many for a slow child.
    packets_dropped,
    /// Frames of the own voice that were dropped because the driver was behind.
    captured_dropped,
    /// Events that were dropped because nobody took them.
    events_dropped,
    /// Inputs that the room refused: malformed messages, commands without the right.
    inputs_refused,
    /// Links that are up at the moment.
    links,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn of_events_that_nobody_takes_the_newest_are_kept() {
        let mailbox = Mailbox::default();
        let over = 3;
        let dropped = (0..EVENTS_OUT_MAX + over).filter(|n| mailbox.put(Event::Members(*n as u32))).count();
        assert_eq!(dropped, over);
        assert_eq!(mailbox.take().await, Some(Event::Members(over as u32)));
        mailbox.close();
        for _ in 1..EVENTS_OUT_MAX {
            assert!(mailbox.take().await.is_some());
        }
        assert_eq!(mailbox.take().await, None);
        assert_eq!(mailbox.take().await, None);
    }
}
