//! Packet mode: every message of every node, over links with propagation, queues, loss and in-order streams.
//!
//! A discrete-event simulation. A message waits in its sender's uplink behind what was sent before (one queue a node, at the
//! uplink's rate), travels for the pair's propagation and a jitter, and arrives behind what was sent before it on the same stream.
//! A lost packet of a stream comes when it was recovered; a lost datagram never.

use std::sync::Arc;

use rand::RngExt;
use rand_distr::{Distribution, Exp1};
use rustc_hash::FxHashMap;

use crate::{
    flow::Media,
    measure::{Outcome, Recorder},
    network::{Loss, recovery_us},
    plan::{Departure, Hostile, Incident, NodeIx, Plan},
    queue::Queue,
    random::{Rng, Stream},
    strategy::{Class, Frame, Packet, Strategy},
};

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
    /// The sound, in flow mode.
    media: Option<Box<Media>>,
}

impl<S: Strategy> Net<S> {
    /// Now, in microseconds since the start of the run.
    pub fn now_us(&self) -> u64 {
        self.now_us
    }

    /// The world.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Whether a node is there. A strategy may use it for its figures, not to let one node know of another.
    pub fn is_alive(&self, node: NodeIx) -> bool {
        matches!(self.life[node.index()], Life::Here | Life::Leaving)
    }

    /// A member that is there, at random: whom a newcomer was told of by whoever invited it.
    pub fn someone(&mut self, but: NodeIx) -> Option<NodeIx> {
        let count = self.life.len();
        for _ in 0..1000 {
            let node = NodeIx(self.rng.random_range(0..count) as u32);
            if node != but && self.life[node.index()] == Life::Here {
                return Some(node);
            }
        }
        (0..count as u32).map(NodeIx).find(|node| *node != but && self.life[node.index()] == Life::Here)
    }

    /// Asks for a link. [`Strategy::connected`] or [`Strategy::unreachable`] follows.
    pub fn connect(&mut self, node: NodeIx, peer: NodeIx) {
        let reachable = self.is_alive(peer) && self.plan.nodes[peer.index()].reachable || self.is_up(peer, node);
        if node == peer || !reachable || self.is_cut(node, peer) {
            return self.queue.push(self.now_us + self.plan.dial_us, Event::Unreachable { node, peer });
        }
        let one_way_us = self.one_way_us(node, peer);
        let at = self.now_us + 2 * one_way_us;
        if let Some(flow) = self.flows.get(&(node, peer)) {
            // Asked for before, and under way or there.
            let link = flow.link;
            return self.queue.push(at, Event::Connected { node, peer, link });
        }
        self.links += 1;
        let link = self.links;
        // Where this end closed the last link a moment ago the peer's end may not know yet: that comes first.
        if let Some(old) = self.flows.get(&(peer, node)) {
            let old = old.link;
            self.flows.insert((node, peer), Flow::new(link, one_way_us));
            self.peers[node.index()].push(peer);
            self.queue.push(at, Event::Connected { node, peer, link });
            return self.queue.push(at + one_way_us, Event::Replaced { node: peer, peer: node, old, link });
        }
        for (a, b) in [(node, peer), (peer, node)] {
            self.flows.insert((a, b), Flow::new(link, one_way_us));
            self.peers[a.index()].push(b);
        }
        // The handshake's last flight reaches the listening end half a round trip later, with the first message behind it.
        self.queue.push(at, Event::Connected { node, peer, link });
        self.queue.push(at + one_way_us, Event::Connected { node: peer, peer: node, link });
    }

    /// Closes a link; the peer learns of it after what was sent before.
    pub fn disconnect(&mut self, node: NodeIx, peer: NodeIx) {
        let Some(flow) = self.flows.remove(&(node, peer)) else { return };
        self.peers[node.index()].retain(|of| *of != peer);
        let arrives = flow.last_us.iter().copied().max().unwrap_or(0).max(self.now_us + flow.one_way_us);
        self.queue.push(arrives, Event::Disconnected { node: peer, peer: node, link: flow.link });
    }

    /// Whether this end of a link is up.
    pub fn is_up(&self, node: NodeIx, peer: NodeIx) -> bool {
        self.flows.get(&(node, peer)).is_some_and(|flow| flow.up)
    }

    /// The peers of a node's links that are up.
    pub fn links(&self, node: NodeIx) -> impl Iterator<Item = NodeIx> + '_ {
        self.peers[node.index()].iter().copied().filter(move |peer| self.is_up(node, *peer))
    }

    /// A round trip as a member would estimate it that has not measured it: off by the plan's relative error, the same each
    /// time it is asked.
    pub fn guessed_round_trip_us(&self, a: NodeIx, b: NodeIx) -> u64 {
        let exact = 2 * self.one_way_us(a, b);
        let pair = (u64::from(a.0.min(b.0)) << 32) | u64::from(a.0.max(b.0));
        let mut rng = Stream::Network.rng(crate::random::mix(pair) ^ self.plan.seed);
        let normal: f64 = rand_distr::StandardNormal.sample(&mut rng);
        (exact as f64 * (1.0 + self.plan.distance_error * normal).max(0.1)) as u64
    }

    pub(crate) fn one_way_us(&self, a: NodeIx, b: NodeIx) -> u64 {
        self.plan.delay.one_way_us(self.plan.nodes[a.index()].site, self.plan.nodes[b.index()].site)
    }

    fn is_cut(&self, a: NodeIx, b: NodeIx) -> bool {
        let side = |node: NodeIx| self.sides.get(node.index()).copied().unwrap_or(0);
        self.now_us < self.heals_us && side(a) != side(b)
    }

    /// Sends a message of this many bytes; false where there is no link that is up.
    pub fn send(&mut self, node: NodeIx, peer: NodeIx, bytes: u32, class: Class, message: S::Message) -> bool {
        let now_us = self.now_us;
        if !matches!(self.life[node.index()], Life::Here | Life::Leaving) {
            return false;
        }
        let cut = self.is_cut(node, peer);
        let (heals_us, idle_us) = (self.heals_us, self.plan.idle_us);
        let Some(flow) = self.flows.get_mut(&(node, peer)).filter(|flow| flow.up) else { return false };
        let is_media = matches!(class, Class::Media { .. });
        let mut late_us = 0;
        if is_media {
            match self.plan.nodes[node.index()].hostile {
                Some(Hostile::Drop { share }) if self.network.random_bool(share.clamp(0.0, 1.0)) => return true,
                Some(Hostile::Delay { by_us }) => late_us = by_us,
                _ => {}
            }
        }
        let wire_bytes = u64::from(bytes) + OVERHEAD_BYTES;
        let free_us = &mut self.uplink_free_us[node.index()];
        let starts_us = now_us.max(*free_us);
        if let Class::Media { deadline_us, .. } = class
            && starts_us > now_us + deadline_us
        {
            flow.dropped += 1;
            if flow.dropped == 1 {
                self.queue.push(now_us + SECOND_US, Event::Dropped { node, peer });
            }
            return true;
        }
        let takes_us = wire_bytes * 8 * SECOND_US / self.plan.nodes[node.index()].uplink_bps.max(1);
        *free_us = starts_us + takes_us;
        self.record.sent(node, peer, wire_bytes, is_media || class == Class::Datagram, now_us);
        let lost = lose(&self.plan.loss, &mut flow.bursting, &mut self.network);
        if class == Class::Datagram && (lost || cut) {
            return true;
        }
        let mut arrives_us = starts_us + takes_us + flow.one_way_us + late_us;
        if self.plan.jitter_us > 0 {
            let jitter: f64 = Exp1.sample(&mut self.network);
            arrives_us += (jitter * self.plan.jitter_us as f64) as u64;
        }
        if lost {
            arrives_us += recovery_us(flow.one_way_us);
        }
        let link = flow.link;
        if cut {
            if heals_us > now_us + idle_us {
                self.queue.push(now_us + idle_us, Event::Disconnected { node, peer, link });
                return true;
            }
            arrives_us = arrives_us.max(heals_us + recovery_us(flow.one_way_us));
        }
        if let Some(stream) = match class {
            Class::Control => Some(0),
            Class::Media { lane, .. } => Some(1 + usize::from(lane) % (LANES - 1)),
            Class::Datagram => None,
        } {
            arrives_us = arrives_us.max(flow.last_us[stream]);
            flow.last_us[stream] = arrives_us;
        }
        self.queue.push(arrives_us, Event::Message { node: peer, from: node, link, message });
        true
    }

    /// Wakes a node at a time.
    pub fn timer(&mut self, node: NodeIx, at_us: u64, timer: S::Timer) {
        self.queue.push(at_us.max(self.now_us), Event::Timer { node, timer });
    }

    /// A node that was leaving has gone.
    pub fn gone(&mut self, node: NodeIx) {
        self.queue.push(self.now_us, Event::Gone(node));
    }

    /// A packet has come to a node, for the record; true where it, or a frame in it, is new there.
    pub fn received(&mut self, node: NodeIx, packet: Packet) -> bool {
        self.record.received(node, packet, self.now_us)
    }

    /// The root of a strategy that chooses voices has a packet, and sends it on or keeps it back, for the record.
    pub fn chosen(&mut self, packet: Packet, sent: bool) {
        self.record.chosen(packet, sent, self.now_us);
    }

    /// A packet has come to a node straight from its speaker, where it may be one that the root keeps back, for the record.
    pub fn overheard(&mut self, node: NodeIx, packet: Packet) {
        self.record.overheard(node, packet, self.now_us);
    }

    /// A packet has come that the strategy did not take as new, for the record: a copy, where it is one.
    pub fn repeated(&mut self, node: NodeIx, packet: Packet) {
        self.record.repeated(node, packet);
    }

    /// A node hears again, this long after it noticed that it heard nothing.
    pub fn repaired(&mut self, node: NodeIx, after_us: u64) {
        self.record.repaired(node, after_us, self.now_us);
    }

    /// Whether this is flow mode: sound is not to be sent, but [`Net::feeds`] to be told who feeds whom.
    pub fn is_flow(&self) -> bool {
        self.media.is_some()
    }

    /// In flow mode: whom a node sends all packets from now on, in the order in which it does.
    pub fn feeds(&mut self, node: NodeIx, children: Vec<NodeIx>) {
        if let Some(media) = &mut self.media {
            media.feeds(node, children, self.now_us, &mut self.record.outcome);
        }
    }

    /// In flow mode: a node is, or is no more, a second root that speakers send to.
    pub fn co_root(&mut self, node: NodeIx, on: bool) {
        if let Some(media) = &mut self.media {
            media.set_co_root(node, on, self.now_us, &mut self.record.outcome);
        }
    }

    /// In flow mode: where a node is in the tree, whenever that changes.
    pub fn placed(&mut self, node: NodeIx, place: crate::strategy::Place) {
        if let Some(media) = &mut self.media {
            media.placed(node, place, &mut self.record.outcome);
        }
    }

    /// Adds to a named count of the outcome.
    pub fn count(&mut self, name: &'static str, by: u64) {
        self.record.count(name, by);
    }
}

impl<S: Strategy> Net<S> {
    fn left(&mut self, node: NodeIx) {
        self.record.left(node, self.now_us, true);
        if let Some(media) = &mut self.media {
            media.left(node, self.now_us, &mut self.record.outcome);
        }
    }
}

impl Flow {
    fn new(link: u32, one_way_us: u64) -> Self {
        Flow { link, up: false, one_way_us, last_us: [0; LANES], bursting: false, dropped: 0 }
    }
}

fn lose(loss: &Loss, bursting: &mut bool, rng: &mut Rng) -> bool {
    match *loss {
        Loss::None => false,
        Loss::Independent { share } => share > 0.0 && rng.random_bool(share.clamp(0.0, 1.0)),
        Loss::Bursty { enter, leave } => {
            let flips = rng.random_bool(if *bursting { leave } else { enter }.clamp(0.0, 1.0));
            *bursting ^= flips;
            *bursting
        }
    }
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
            plan,
        };
        Engine { net, strategy, voices: FxHashMap::default(), next_frame: Vec::new(), events: 0 }
    }

    /// Computes sound as spans of time over the feeds that the strategy tells of, and asks for no packet to be sent: flow mode.
    #[must_use]
    pub fn in_flow(mut self) -> Self {
        self.net.record.is_silent = true;
        self.net.media = Some(Box::new(Media::new(&self.net.plan)));
        self
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
        if let Some(media) = &mut self.net.media {
            media.finish(now_us, &mut self.net.record.outcome);
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
                    if let Some(media) = &mut net.media {
                        media.joined(node, net.now_us, &mut net.record.outcome);
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
        }
    }

    fn disconnected(&mut self, node: NodeIx, peer: NodeIx, link: u32) {
        let net = &mut self.net;
        if net.flows.get(&(node, peer)).is_none_or(|flow| flow.link != link) {
            return;
        }
        let was_up = net.flows.remove(&(node, peer)).is_some_and(|flow| flow.up);
        net.peers[node.index()].retain(|of| *of != peer);
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
        if let Some(media) = &mut net.media {
            media.gone(node, now_us, &mut net.record.outcome);
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
            return match (&mut net.media, self.voices.get(&spurt.node)) {
                (None, _) => self.strategy.speaks(net, spurt.node, false),
                (Some(media), Some(voice)) => media.paused(*voice, spurt.node, now_us, &mut net.record.outcome),
                (Some(_), None) => {}
            };
        }
        if now_us > spurt.from_us {
            let count = self.voices.len() as u16;
            let voice = *self.voices.entry(spurt.node).or_insert(count);
            if self.next_frame.len() <= usize::from(voice) {
                self.next_frame.resize(usize::from(voice) + 1, 0);
            }
            if let Some(media) = &mut net.media {
                media.captured(voice, spurt.node, now_us, &mut net.record.outcome);
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
        if let Some(media) = &net.media {
            media.second(net.now_us, &mut net.record.outcome);
            return net.queue.push(net.now_us + SECOND_US, Event::Second);
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
            Incident::HostDies => {
                if self.net.is_alive(NodeIx::HOST) {
                    self.die(NodeIx::HOST, true);
                }
            }
        }
    }
}
