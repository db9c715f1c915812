//! The one task that owns a room.
//!
//! It tells the room what happened and when, does what the room asks for after each input, and wakes when the room wants
//! to. It never waits for anything but the next thing that happens: what it hands on is either taken at once or dropped and
//! counted, so that neither a peer, a display nor a sound thread can hold up the audio of others.

use std::{
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant as StdInstant, SystemTime},
};

use tokio::{
    sync::{mpsc, oneshot},
    task::yield_now,
    time::{Interval, MissedTickBehavior, Sleep, interval, sleep_until},
};
use treehouse_room::{Command, Event, Input, Instant, Output, PlayFrame, Recorded, Redemption, Room, RoomError};
use treehouse_wire::{Shipped, UnixSeconds};

use crate::{
    handle::{Captured, Counters, Mailbox},
    ledger::Keeper,
    limits::{DROPS_INTERVAL, NETWORK_BATCH_MAX},
    network::{NetEvent, Network},
};

/// A timer that fires later than this was held up by the machine.
const LATE: Duration = Duration::from_millis(5);

/// Maps this machine's monotonic clock to the room's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: StdInstant,
}

impl Clock {
    /// A clock whose origin is now.
    pub(crate) fn start() -> Self {
        Clock { origin: StdInstant::now() }
    }

    /// The room's name for an instant.
    pub(crate) fn room(&self, at: StdInstant) -> Instant {
        let since = at.saturating_duration_since(self.origin);
        Instant::from_micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
    }

    /// This machine's name for one of the room's; a day from now where it is further than that.
    fn machine(&self, at: Instant) -> StdInstant {
        const DAY: Duration = Duration::from_secs(86_400);
        let latest = StdInstant::now() + DAY;
        self.origin.checked_add(Duration::from_micros(at.as_micros())).map_or(latest, |at| at.min(latest))
    }
}

/// What the user wants, and where to say what the room says to that.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) command: Command,
    pub(crate) answer: Option<oneshot::Sender<Result<(), RoomError>>>,
}

/// What reaches the driver from within the program.
pub(crate) struct Inlets {
    /// What the user wants. The driver stops when the other end is dropped.
    pub(crate) commands: mpsc::Receiver<Asked>,
    /// The own voice.
    pub(crate) captured: mpsc::Receiver<Captured>,
}

/// Takes each frame to play, and the instant at which its packet had been verified.
pub(crate) type Play = Box<dyn FnMut(PlayFrame, StdInstant) + Send>;

/// Takes what a recording needs, and the instant at which it had been verified.
pub(crate) type Record = Box<dyn FnMut(Recorded, StdInstant) + Send>;

/// The task that owns a room.
pub(crate) struct Driver {
    pub(crate) room: Room<Shipped>,
    pub(crate) network: Network,
    pub(crate) clock: Clock,
    pub(crate) play: Play,
    /// Where this node records.
    pub(crate) record: Option<Record>,
    /// Keeps uses of invites; without it they end with the process.
    pub(crate) keeper: Option<Keeper>,
    pub(crate) events: Arc<Mailbox>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) closed: bool,
}

/// The time of day, which only expiry uses.
pub(crate) fn wall_clock() -> UnixSeconds {
    UnixSeconds(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

impl Driver {
    /// Runs until the room has ended, the network has stopped or nobody holds the handle any more; then hangs up
    /// politely.
    pub(crate) async fn run(mut self, mut inlets: Inlets) {
        let addresses = self.network.addresses().to_vec();
        if self.record.is_some() {
            self.input(Input::Command(Command::Record));
        }
        self.input(Input::WallClock(wall_clock()));
        self.input(Input::Listening(addresses));
        let mut ticks = interval(DROPS_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut wake = Box::pin(sleep_until(StdInstant::now().into()));
        while !self.closed && self.step(&mut inlets, &mut ticks, wake.as_mut()).await {}
        self.network.stop().await;
        self.events.close();
    }

    /// Waits for one thing and deals with it; false where the driver is to stop.
    async fn step(&mut self, inlets: &mut Inlets, ticks: &mut Interval, mut wake: Pin<&mut Sleep>) -> bool {
        let timeout = self.room.poll_timeout().map(|(at, _)| self.clock.machine(at));
        // Setting a timer costs more than most inputs; the room's timers seldom move.
        if let Some(at) = timeout.filter(|at| wake.deadline() != (*at).into()) {
            wake.as_mut().reset(at.into());
        }
        tokio::select! {
            event = self.network.next() => {
                let Some(event) = event else { return false };
                self.on_network(event);
                self.catch_up();
                if timeout.is_some_and(|at| at <= StdInstant::now()) {
                    self.on_timeout();
                }
            }
            Some(frame) = inlets.captured.recv() => self.on_captured(frame),
            command = inlets.commands.recv() => match command {
                Some(Asked { command, answer }) => {
                    let outcome = self.try_input(Input::Command(command));
                    if let Some(answer) = answer {
                        // Who asked may have gone.
                        let _ = answer.send(outcome);
                    }
                }
                None => return false,
            },
            () = wake, if timeout.is_some() => {
                // A machine that is too busy wakes everything late. What has arrived meanwhile must be heard before the
                // room is told how late it is, or it takes its own slowness for its neighbours' silence.
                if timeout.is_some_and(|at| at.elapsed() > LATE) {
                    yield_now().await;
                }
                self.catch_up();
                self.on_timeout();
            }
            Some((redemption, kept)) = settled(&mut self.keeper) => self.input(Input::Redeemed { redemption, kept }),
            _ = ticks.tick() => self.on_tick(),
        }
        true
    }

    /// Takes in what is there already, but not so much that the own voice and the timers have to wait for a busy network.
    fn catch_up(&mut self) {
        for _ in 0..NETWORK_BATCH_MAX {
            let Some(event) = self.network.try_next() else { break };
            self.on_network(event);
        }
    }

    fn on_network(&mut self, event: NetEvent) {
        match event {
            NetEvent::Media(from, packet) => {
                self.counters.packets_received.fetch_add(1, Relaxed);
                self.counters.bytes_received.fetch_add(packet.len() as u64, Relaxed);
                self.counters.frames_received.fetch_add(frames_in(&packet), Relaxed);
                self.input(Input::Media { from, packet });
            }
            NetEvent::Control(from, bytes) => self.input(Input::Control { from, bytes: &bytes }),
            NetEvent::LinkUp(peer) => {
                tracing::debug!(%peer, "link up");
                self.input(Input::LinkUp { peer });
            }
            NetEvent::LinkDown(peer, end) => {
                tracing::debug!(%peer, %end, "link down");
                self.input(Input::LinkDown { peer });
            }
            NetEvent::DialFailed(peer, attempts) => self.input(Input::DialFailed { peer, attempts }),
            NetEvent::Listening(addresses) => self.input(Input::Listening(addresses)),
        }
    }

    fn on_captured(&mut self, frame: Captured) {
        let Captured { number, captured, level, opus } = frame;
        self.input(Input::Captured { number, captured, level, opus });
    }

    fn on_timeout(&mut self) {
        self.room.handle_timeout(self.clock.room(StdInstant::now()));
        self.do_outputs();
    }

    fn on_tick(&mut self) {
        for (peer, packets) in self.network.take_drops() {
            self.counters.packets_dropped.fetch_add(u64::from(packets), Relaxed);
            self.input(Input::LaneDrops { peer, packets });
        }
        self.counters.links.store(self.network.links() as u64, Relaxed);
        self.input(Input::WallClock(wall_clock()));
    }

    fn input(&mut self, input: Input<'_>) {
        // It is logged and counted.
        let _ = self.try_input(input);
    }

    fn try_input(&mut self, input: Input<'_>) -> Result<(), RoomError> {
        let now = self.clock.room(StdInstant::now());
        let outcome = self.room.handle_input(now, input);
        if let Err(error) = &outcome {
            tracing::debug!(%error, "an input was refused");
            self.counters.inputs_refused.fetch_add(1, Relaxed);
        }
        self.do_outputs();
        outcome
    }

    fn keep(&mut self, redemption: Redemption) {
        let (refused, kept) = match &self.keeper {
            Some(keeper) => (keeper.keep(redemption), false),
            None => (Some(redemption), true),
        };
        if let Some(redemption) = refused {
            // What the room wants done about it is polled next, by whoever polled this.
            let _ = self.room.handle_input(self.clock.room(StdInstant::now()), Input::Redeemed { redemption, kept });
        }
    }

    fn do_outputs(&mut self) {
        while let Some(output) = self.room.poll_output() {
            match output {
                Output::Forward { to, lane, packet, deadline } => {
                    let deadline = self.clock.machine(deadline);
                    let sent = self.network.forward(&to, lane, &packet, deadline, StdInstant::now()) as u64;
                    self.counters.packets_sent.fetch_add(sent, Relaxed);
                    self.counters.bytes_sent.fetch_add(sent * packet.len() as u64, Relaxed);
                    self.counters.frames_sent.fetch_add(sent * frames_in(&packet), Relaxed);
                }
                Output::Play(frame) => {
                    self.counters.frames_played.fetch_add(1, Relaxed);
                    (self.play)(frame, StdInstant::now());
                }
                Output::Record(recorded) => {
                    if let Some(record) = &mut self.record {
                        record(*recorded, StdInstant::now());
                    }
                }
                Output::Send { to, bytes } => self.network.send(&to, &bytes),
                Output::Dial { peer, addresses } => self.network.dial(peer, addresses),
                Output::Hangup { peer } => self.network.hang_up(&peer),
                // Only hushed rooms ask for it, and those of nodes never are.
                Output::Measure { .. } | Output::MeasureFeed { .. } => {}
                Output::Redeem(redemption) => self.keep(redemption),
                Output::Event(event) => {
                    self.closed |= matches!(event, Event::Closed(_));
                    if self.events.put(event) {
                        self.counters.events_dropped.fetch_add(1, Relaxed);
                    }
                }
            }
        }
    }
}

/// The next use that is kept, or could not be; never where nothing is kept.
async fn settled(keeper: &mut Option<Keeper>) -> Option<(Redemption, bool)> {
    match keeper {
        Some(keeper) => keeper.settled().await,
        None => std::future::pending().await,
    }
}

/// Frames in a packet, as its header says; one where it says nonsense, which the room refuses.
fn frames_in(packet: &[u8]) -> u64 {
    match packet.get(1) {
        Some(3) => 3,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_clocks_name_the_same_instants() {
        let clock = Clock::start();
        let later = clock.origin + Duration::from_micros(1_234_567);
        assert_eq!(clock.room(later), Instant::from_micros(1_234_567));
        assert_eq!(clock.machine(Instant::from_micros(1_234_567)), later);
        assert_eq!(clock.room(clock.origin - Duration::from_secs(1)), Instant::ZERO);
        assert!(clock.machine(Instant::from_micros(u64::MAX)) > later);
    }
}
