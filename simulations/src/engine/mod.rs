//! Packet mode: every message of every node, over links with propagation, queues, loss and in-order streams.
//!
//! A discrete-event simulation. A message waits in its sender's uplink behind what was sent before (one queue a node, at the
//! uplink's rate), travels for the pair's propagation and a jitter, and arrives behind what was sent before it on the same stream.
//! A lost packet of a stream comes when it was recovered; a lost datagram never.

mod net;
mod run;
mod sound;

use std::sync::Arc;

use rand::RngExt;
use rustc_hash::FxHashMap;

use crate::{
    flow::Media,
    measure::{Outcome, Recorder},
    plan::{Departure, Incident, NodeIx, Plan},
    queue::Queue,
    random::{Rng, Stream},
    strategy::{Frame, Packet, Strategy},
};

pub use run::Run;

/// A polite member may take this long to go.
pub const LINGER_US: u64 = 3_000_000;
/// Bytes of headers below a message: IPv4, UDP, QUIC's short header and tag, and its share of acknowledgements.
pub const OVERHEAD_BYTES: u64 = 60;
const LANES: usize = 5;
const SECOND_US: u64 = 1_000_000;

/// One direction of a link, as its sender's end knows it.
#[derive(Clone, Debug)]
struct Flow {
    /// Which link between the two this is.
    link: u32,
    up: bool,
    one_way_us: u64,
    /// When the last message of each stream arrives: control, then the media lanes.
    last_us: [u64; LANES],
    /// Whether the loss model is in a burst.
    bursting: bool,
    dropped: u32,
}

enum Event<S: Strategy> {
    Join(NodeIx),
    Leave(NodeIx),
    Gone(NodeIx),
    Connected {
        node: NodeIx,
        peer: NodeIx,
        link: u32,
    },
    Unreachable {
        node: NodeIx,
        peer: NodeIx,
    },
    Disconnected {
        node: NodeIx,
        peer: NodeIx,
        link: u32,
    },
    /// A new link from a peer that had closed the old one.
    Replaced {
        node: NodeIx,
        peer: NodeIx,
        old: u32,
        link: u32,
    },
    Message {
        node: NodeIx,
        from: NodeIx,
        link: u32,
        message: S::Message,
    },
    Timer {
        node: NodeIx,
        timer: S::Timer,
    },
    Dropped {
        node: NodeIx,
        peer: NodeIx,
    },
    /// The next frame of the spurt of this number.
    Speak(u32),
    Second,
    Incident(u32),
    Kick(NodeIx),
}

/// Where a node is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Absent,
    Here,
    Leaving,
    Dead,
}

/// The network as a strategy sees it: the clock, links, messages, timers, and the record.
pub struct Net<S: Strategy> {
    plan: Arc<Plan>,
    now_us: u64,
    queue: Queue<Event<S>>,
    flows: FxHashMap<(NodeIx, NodeIx), Flow>,
    /// Who each node has, or had, a link to; looked through when it dies.
    peers: Vec<Vec<NodeIx>>,
    life: Vec<Life>,
    uplink_free_us: Vec<u64>,
    sides: Vec<u8>,
    heals_us: u64,
    links: u32,
    network: Rng,
    /// The strategy's own random stream.
    pub rng: Rng,
    record: Recorder,
    /// The sound as spans of time: in flow mode, or beside the packets.
    media: Option<Box<Media>>,
    /// What the spans come to, where packets are sent too.
    beside: Option<Box<Outcome>>,
}

/// A run in packet mode.
pub struct Engine<S: Strategy> {
    net: Net<S>,
    strategy: S,
    /// Voices by speaker.
    voices: FxHashMap<NodeIx, u16>,
    /// Next frame of each voice.
    next_frame: Vec<u32>,
    events: u64,
}

impl<S: Strategy> Engine<S> {
    /// Sets up a run: `make` makes the strategy for the plan.
    pub fn new(plan: Arc<Plan>, make: impl FnOnce(&Arc<Plan>) -> S) -> Self {
        let count = plan.nodes.len();
        let mut queue = Queue::default();
        for (node, of) in (0_u32..).map(NodeIx).zip(&plan.nodes) {
            queue.push(of.joins_us, Event::Join(node));
            if let Some(leaves_us) = of.leaves_us {
                queue.push(leaves_us, Event::Leave(node));
            }
        }
        for (number, spurt) in (0_u32..).zip(&plan.talk) {
            queue.push(spurt.from_us, Event::Speak(number));
        }
        for (number, (at_us, _)) in (0_u32..).zip(&plan.incidents) {
            queue.push(*at_us, Event::Incident(number));
        }
        queue.push(SECOND_US, Event::Second);
        let strategy = make(&plan);
        let net = Net {
            now_us: 0,
            queue,
            flows: FxHashMap::default(),
            peers: vec![Vec::new(); count],
            life: vec![Life::Absent; count],
            uplink_free_us: vec![0; count],
            sides: Vec::new(),
            heals_us: 0,
            links: 0,
            network: Stream::Network.rng(plan.seed),
            rng: Stream::Strategy.rng(plan.seed),
            record: Recorder::new(&plan),
            media: None,
            beside: None,
            plan,
        };
        Engine { net, strategy, voices: FxHashMap::default(), next_frame: Vec::new(), events: 0 }
    }

    /// Keeps every packet in [`Outcome::log`]: tens of bytes for each that comes to a node.
    pub fn keep_log(mut self) -> Self {
        self.net.record.keep_log();
        self
    }

    /// Runs up to a time; false once the run is over.
    pub fn run_until(&mut self, until_us: u64) -> bool {
        let until_us = until_us.min(self.net.plan.duration_us);
        while let Some((at_us, event)) = self.net.queue.pop(until_us) {
            self.net.now_us = self.net.now_us.max(at_us);
            self.events += 1;
            self.happen(event);
        }
        self.net.now_us = until_us;
        until_us < self.net.plan.duration_us
    }

    /// Runs to the end.
    pub fn run(mut self) -> Outcome {
        while self.run_until(self.net.now_us + SECOND_US) {}
        self.finish()
    }

    /// Ends the run where it is.
    pub fn finish(mut self) -> Outcome {
        self.strategy.finish(&mut self.net);
        let (now_us, events) = (self.net.now_us, self.events);
        if let Some((media, out)) = self.net.sound() {
            media.finish(now_us, out);
        }
        self.net.record.finish(now_us, events)
    }

    /// The strategy, to look at.
    pub fn strategy(&self) -> &S {
        &self.strategy
    }

    /// The network, to look at.
    pub fn net(&self) -> &Net<S> {
        &self.net
    }

    /// Events handled so far.
    pub fn events(&self) -> u64 {
        self.events
    }

    fn happen(&mut self, event: Event<S>) {
        let net = &mut self.net;
        match event {
            Event::Join(node) => {
                if net.life[node.index()] == Life::Absent {
                    net.life[node.index()] = Life::Here;
                    net.record.joined(node, net.now_us);
                    let now_us = net.now_us;
                    if let Some((media, out)) = net.sound() {
                        media.joined(node, now_us, out);
                    }
                    self.strategy.join(net, node);
                }
            }
            Event::Leave(node) => self.leave(node),
            Event::Gone(node) => {
                if net.life[node.index()] == Life::Leaving {
                    self.die(node, false);
                }
            }
            Event::Connected { node, peer, link } => {
                let here = net.is_alive(node);
                if let Some(flow) = net.flows.get_mut(&(node, peer)).filter(|flow| here && flow.link == link)
                    && !std::mem::replace(&mut flow.up, true)
                {
                    self.strategy.connected(net, node, peer);
                }
            }
            Event::Unreachable { node, peer } => {
                if net.is_alive(node) {
                    self.strategy.unreachable(net, node, peer);
                }
            }
            Event::Disconnected { node, peer, link } => self.disconnected(node, peer, link),
            Event::Replaced { node, peer, old, link } => self.replaced(node, peer, old, link),
            Event::Message { node, from, link, message } => {
                if net.flows.get(&(node, from)).is_some_and(|flow| flow.up && flow.link == link) {
                    self.strategy.receive(net, node, from, message);
                }
            }
            Event::Timer { node, timer } => {
                if net.is_alive(node) {
                    self.strategy.timer(net, node, timer);
                }
            }
            Event::Dropped { node, peer } => {
                let dropped = net.flows.get_mut(&(node, peer)).map(|flow| std::mem::take(&mut flow.dropped));
                if let Some(packets) = dropped.filter(|packets| *packets > 0) {
                    net.count("uplink_drops", u64::from(packets));
                    self.strategy.dropped(net, node, peer, packets);
                }
            }
            Event::Speak(spurt) => self.speak(spurt),
            Event::Second => self.second(),
            Event::Incident(number) => self.incident(number as usize),
            Event::Kick(node) => {
                if net.life[node.index()] == Life::Here {
                    self.strategy.kick(net, node);
                }
            }
        }
    }

    fn disconnected(&mut self, node: NodeIx, peer: NodeIx, link: u32) {
        let net = &mut self.net;
        if net.flows.get(&(node, peer)).is_none_or(|flow| flow.link != link) {
            return;
        }
        let was_up = net.flows.remove(&(node, peer)).is_some_and(|flow| flow.up);
        let peers = &mut net.peers[node.index()];
        // Links that end are new ones more often than not, and a host has thousands.
        if let Some(at) = peers.iter().rposition(|of| *of == peer) {
            peers.remove(at);
        }
        if !net.is_alive(node) {
            return;
        }
        if was_up {
            self.strategy.disconnected(net, node, peer);
        } else {
            self.strategy.unreachable(net, node, peer);
        }
    }

    fn replaced(&mut self, node: NodeIx, peer: NodeIx, old: u32, link: u32) {
        self.disconnected(node, peer, old);
        let net = &mut self.net;
        let one_way_us = net.flows.get(&(peer, node)).filter(|flow| flow.link == link).map(|flow| flow.one_way_us);
        let Some(one_way_us) = one_way_us.filter(|_| net.is_alive(node)) else { return };
        if net.flows.contains_key(&(node, peer)) {
            // This end has asked for a link of its own meanwhile; the peer's end joins in.
            return;
        }
        net.flows.insert((node, peer), Flow { up: true, ..Flow::new(link, one_way_us) });
        net.peers[node.index()].push(peer);
        self.strategy.connected(net, node, peer);
    }

    fn leave(&mut self, node: NodeIx) {
        let net = &mut self.net;
        if net.life[node.index()] != Life::Here {
            return;
        }
        let now_us = net.now_us;
        net.left(node);
        if net.plan.nodes[node.index()].departure == Departure::Crash {
            return self.die(node, true);
        }
        net.life[node.index()] = Life::Leaving;
        net.queue.push(now_us + LINGER_US, Event::Gone(node));
        self.strategy.leave(net, node);
    }

    /// A node is no more. Its peers learn of it at once where it closed its links, else when they have waited long enough.
    fn die(&mut self, node: NodeIx, crashed: bool) {
        let net = &mut self.net;
        let now_us = net.now_us;
        net.left(node);
        net.life[node.index()] = Life::Dead;
        if let Some((media, out)) = net.sound() {
            media.gone(node, now_us, out);
        }
        for peer in std::mem::take(&mut net.peers[node.index()]) {
            let Some(flow) = net.flows.remove(&(node, peer)) else { continue };
            let closes_us = flow.last_us.iter().copied().max().unwrap_or(0).max(now_us + flow.one_way_us);
            let at_us = if crashed { now_us + net.plan.idle_us } else { closes_us };
            net.queue.push(at_us, Event::Disconnected { node: peer, peer: node, link: flow.link });
            if crashed && net.is_flow() {
                self.strategy.falls_silent(net, peer, node);
            }
        }
        self.strategy.gone(node);
    }

    fn speak(&mut self, number: u32) {
        let net = &mut self.net;
        let spurt = net.plan.talk[number as usize];
        let now_us = net.now_us;
        if net.life[spurt.node.index()] != Life::Here {
            return;
        }
        if now_us == spurt.from_us && !net.is_flow() {
            self.strategy.speaks(net, spurt.node, true);
        }
        let next_us = now_us + net.plan.media.frame_us;
        if next_us > spurt.until_us {
            if let (Some((media, out)), Some(voice)) = (net.sound(), self.voices.get(&spurt.node)) {
                media.paused(*voice, spurt.node, now_us, out);
            }
            if !net.is_flow() {
                self.strategy.speaks(net, spurt.node, false);
            }
            return;
        }
        if now_us > spurt.from_us {
            let count = self.voices.len() as u16;
            let voice = *self.voices.entry(spurt.node).or_insert(count);
            if self.next_frame.len() <= usize::from(voice) {
                self.next_frame.resize(usize::from(voice) + 1, 0);
            }
            if let Some((media, out)) = net.sound() {
                media.captured(voice, spurt.node, now_us, out);
            }
            if net.is_flow() {
                return net.queue.push(next_us, Event::Speak(number));
            }
            let frame = self.next_frame[usize::from(voice)];
            self.next_frame[usize::from(voice)] += 1;
            net.record.captured(voice, spurt.node, now_us);
            self.strategy.frame(net, spurt.node, Frame { voice, number: frame });
            let frames = net.plan.media.frames_per_packet;
            if frame % frames == frames - 1 {
                let packet = Packet { voice, first: frame + 1 - frames, frames: frames as u8 };
                self.strategy.packet(net, spurt.node, packet);
            }
        }
        net.queue.push(next_us, Event::Speak(number));
    }

    fn second(&mut self) {
        let net = &mut self.net;
        let now_us = net.now_us;
        if let Some((media, out)) = net.sound() {
            media.second(now_us, out);
        }
        if net.is_flow() {
            return net.queue.push(now_us + SECOND_US, Event::Second);
        }
        for node in (0..net.life.len() as u32).map(NodeIx) {
            if net.life[node.index()] == Life::Here {
                net.record.placed(node, self.strategy.place(node), net.now_us);
            }
        }
        net.queue.push(net.now_us + SECOND_US, Event::Second);
    }

    fn incident(&mut self, number: usize) {
        let plan = Arc::clone(&self.net.plan);
        match &plan.incidents[number].1 {
            Incident::Partition { sides, heals_us } => {
                self.net.sides.clone_from(sides);
                self.net.heals_us = *heals_us;
            }
            Incident::RelaysFail { share } => {
                let mut rng = Stream::Script.rng(plan.seed ^ number as u64);
                let here = |node: &NodeIx| self.net.life[node.index()] == Life::Here && *node != NodeIx::HOST;
                let relays = (0..plan.nodes.len() as u32).map(NodeIx).filter(here);
                let relays: Vec<NodeIx> = relays.filter(|node| self.strategy.is_relay(*node)).collect();
                for node in relays {
                    if rng.random_bool(share.clamp(0.0, 1.0)) {
                        self.die(node, true);
                    }
                }
            }
            Incident::Kicks { share, lasts_us } => {
                let mut rng = Stream::Script.rng(plan.seed ^ number as u64);
                for node in (1..plan.nodes.len() as u32).map(NodeIx) {
                    if self.net.life[node.index()] == Life::Here && rng.random_bool(share.clamp(0.0, 1.0)) {
                        let at_us = self.net.now_us + rng.random_range(0..=*lasts_us);
                        self.net.queue.push(at_us, Event::Kick(node));
                    }
                }
            }
            Incident::HostDies => {
                if self.net.is_alive(NodeIx::HOST) {
                    self.die(NodeIx::HOST, true);
                }
            }
        }
    }
}
