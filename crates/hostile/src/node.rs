//! A hostile node over libp2p.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant as StdInstant, SystemTime},
};

use tokio::{sync::oneshot, task::JoinHandle, time::sleep_until};
use treehouse_net::{NetEvent, Network};
use treehouse_room::{Event, Input, Instant, Output, Room};
use treehouse_wire::{NodeId, Shipped, UnixSeconds};

use crate::behaviour::{Behaviour, Spell, Twist};

/// One that takes what comes slowly takes one thing in this.
const SLOW: Duration = Duration::from_millis(200);
/// The room is told the time of day this often; only expiry depends on it.
const WALL_CLOCK: Duration = Duration::from_secs(10);
/// A node that has nothing to do looks up after this.
const IDLE: Duration = Duration::from_secs(1);

/// A hostile node that runs.
#[derive(Debug)]
pub struct Hostile {
    node: NodeId,
    seen: Arc<Mutex<Seen>>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Seen {
    fed: BTreeMap<NodeId, Vec<Spell<StdInstant>>>,
    admitted: bool,
    sent: u64,
}

impl Hostile {
    /// Which node it is.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// How long its room wanted to send each child packets, since it misbehaves: who is not fed any more has left.
    pub fn fed(&self) -> BTreeMap<NodeId, Vec<Spell<StdInstant>>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).fed.clone()
    }

    /// Messages that it sent of its own accord, each to somebody that it was linked to.
    pub fn sent(&self) -> u64 {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).sent
    }

    /// Whether it was ever let in.
    pub fn is_admitted(&self) -> bool {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).admitted
    }

    /// Stops it without a goodbye.
    pub async fn stop(self) {
        drop(self.stop);
        let _ = self.task.await;
    }
}

/// Runs a room with a twist on a network. `room` makes the room, given its time; it misbehaves from `after` on.
///
/// Call it within a Tokio runtime.
pub fn run(
    network: Network,
    room: impl FnOnce(Instant) -> Room<Shipped>,
    behaviour: Behaviour,
    after: Duration,
) -> Hostile {
    // The room's time begins at one second, as no driver's begins at none.
    let begin = Instant::ZERO.after(Duration::from_secs(1));
    drive(network, room(begin), begin, behaviour, after)
}

/// Generic in nothing, so that the room is compiled here once, and not by each test again.
fn drive(network: Network, room: Room<Shipped>, begin: Instant, behaviour: Behaviour, after: Duration) -> Hostile {
    let node = network.node_id();
    let seed = u64::from_le_bytes(node.0[..8].try_into().unwrap_or_default());
    let twist = Twist::new(behaviour, begin.after(after), seed);
    let seen = Arc::<Mutex<Seen>>::default();
    let (stop, stopped) = oneshot::channel();
    let driver = Driver { network, room, twist, clock: StdInstant::now(), begin, seen: Arc::clone(&seen) };
    Hostile { node, seen, stop, task: tokio::spawn(driver.run(stopped)) }
}

struct Driver {
    network: Network,
    room: Room<Shipped>,
    twist: Twist,
    clock: StdInstant,
    begin: Instant,
    seen: Arc<Mutex<Seen>>,
}

impl Driver {
    async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        let addresses = self.network.addresses().to_vec();
        self.input(Input::WallClock(wall_clock()));
        self.input(Input::Listening(addresses));
        let mut told = StdInstant::now();
        loop {
            let due = self.room.poll_timeout().map(|(at, _)| at).into_iter().chain(self.twist.poll_timeout()).min();
            let due = due.map_or_else(|| StdInstant::now() + IDLE, |at| self.machine(at));
            tokio::select! {
                event = self.network.next() => match event {
                    Some(event) => self.on_network(event),
                    None => break,
                },
                () = sleep_until(due.into()) => {
                    self.room.handle_timeout(self.now());
                    self.do_outputs();
                }
                _ = &mut stopped => break,
            }
            if told.elapsed() >= WALL_CLOCK {
                told = StdInstant::now();
                self.input(Input::WallClock(wall_clock()));
            }
            if self.twist.behaviour() == Behaviour::SlowReader && self.twist.has_begun(self.now()) {
                tokio::time::sleep(SLOW).await;
            }
        }
        self.network.stop().await;
    }

    fn now(&self) -> Instant {
        self.begin.after(self.clock.elapsed())
    }

    fn machine(&self, at: Instant) -> StdInstant {
        self.clock + at.since(self.begin).min(Duration::from_secs(3600))
    }

    fn on_network(&mut self, event: NetEvent) {
        match event {
            NetEvent::Media(from, packet) => self.input(Input::Media { from, packet }),
            NetEvent::Control(from, bytes) => self.input(Input::Control { from, bytes: &bytes }),
            NetEvent::LinkUp(peer) => self.input(Input::LinkUp { peer }),
            NetEvent::LinkDown(peer, _) => {
                self.twist.lost(&peer);
                self.input(Input::LinkDown { peer });
            }
            NetEvent::DialFailed(peer, attempts) => self.input(Input::DialFailed { peer, attempts }),
            NetEvent::Listening(addresses) => self.input(Input::Listening(addresses)),
        }
    }

    fn input(&mut self, input: Input<'_>) {
        // What others did wrong is of no account here.
        let _ = self.room.handle_input(self.now(), input);
        self.do_outputs();
    }

    fn do_outputs(&mut self) {
        let now = self.now();
        while let Some(output) = self.room.poll_output() {
            if let Some(output) = self.twist.instead_of(now, output) {
                self.perform(output);
            }
        }
        while let Some(output) = self.twist.poll_output(now) {
            self.perform(output);
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.sent = self.twist.sent();
        for (child, spells) in
            self.twist.fed().iter().filter(|(_, spells)| spells.last().is_some_and(|of| of.last == now))
        {
            let of = |spell: &Spell| Spell { first: self.machine(spell.first), last: self.machine(spell.last) };
            seen.fed.insert(*child, spells.iter().map(of).collect());
        }
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::Forward { to, lane, packet, deadline } => {
                let deadline = self.machine(deadline);
                self.network.forward(&to, lane, &packet, deadline, StdInstant::now());
            }
            Output::Send { to, bytes } => self.network.send(&to, &bytes),
            Output::Dial { peer, addresses } => self.network.dial(peer, addresses),
            Output::Hangup { peer } => self.network.hang_up(&peer),
            Output::Event(Event::Admitted { .. }) => {
                self.seen.lock().unwrap_or_else(PoisonError::into_inner).admitted = true;
            }
            // It hears and keeps nothing, and no room of a node is hushed.
            Output::Event(_)
            | Output::Play(_)
            | Output::Record(_)
            | Output::Redeem(_)
            | Output::Measure { .. }
            | Output::MeasureFeed { .. } => {}
        }
    }
}

fn wall_clock() -> UnixSeconds {
    UnixSeconds(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}
