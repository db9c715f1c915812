//! What a strategy can do in the simulated network, and what becomes of it.

use rand::RngExt;
use rand_distr::{Distribution, Exp1};

use super::{Event, Flow, LANES, Life, Net, OVERHEAD_BYTES, SECOND_US};
use crate::{
    network::{Loss, recovery_us},
    plan::{Hostile, NodeIx, Plan},
    random::{Rng, Stream},
    strategy::{Class, Packet, Strategy},
};

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
        let first_us = self.first_through_us(node, peer).filter(|_| node != peer && reachable);
        let Some(first_us) = first_us else {
            return self.queue.push(self.now_us + self.plan.dial_us, Event::Unreachable { node, peer });
        };
        let one_way_us = self.one_way_us(node, peer);
        self.link(node, peer, first_us + 2 * one_way_us, one_way_us);
    }

    /// When the first packet of a handshake gets through: at once, or by a later try where the two are cut off from each other and
    /// that ends before the attempt does. A handshake tries again after a second, and twice as long each time: the probe timeout of
    /// RFC 9002 before there is a sample of the round trip (sections 6.2.1 and 6.2.2: 333 ms, three times).
    fn first_through_us(&self, node: NodeIx, peer: NodeIx) -> Option<u64> {
        if !self.is_cut(node, peer) {
            return Some(self.now_us);
        }
        let tries = core::iter::successors(Some(SECOND_US), |wait_us| Some(2 * wait_us + SECOND_US));
        let mut tries = tries.take_while(|after_us| *after_us < self.plan.dial_us);
        tries.find(|after_us| self.now_us + after_us >= self.heals_us).map(|after_us| self.now_us + after_us)
    }

    /// In flow mode: a link is needed that would have been made before, by what was only computed. It is up at once, where the
    /// peer is still there.
    pub fn connect_again(&mut self, node: NodeIx, peer: NodeIx) {
        if !self.is_alive(peer) || self.is_cut(node, peer) {
            return self.connect(node, peer);
        }
        self.link(node, peer, self.now_us, 0);
    }

    /// Makes a link that is up at a time, and at the peer's end so much later.
    fn link(&mut self, node: NodeIx, peer: NodeIx, at: u64, later_us: u64) {
        let one_way_us = self.one_way_us(node, peer);
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
            return self.queue.push(at + later_us, Event::Replaced { node: peer, peer: node, old, link });
        }
        for (a, b) in [(node, peer), (peer, node)] {
            self.flows.insert((a, b), Flow::new(link, one_way_us));
            self.peers[a.index()].push(b);
        }
        // The handshake's last flight reaches the listening end half a round trip later, with the first message behind it.
        self.queue.push(at, Event::Connected { node, peer, link });
        self.queue.push(at + later_us, Event::Connected { node: peer, peer: node, link });
    }

    /// In flow mode: how long it takes from now to connect to a peer, unless there is a link, and to ping it so often, one ping
    /// after the other, and the least round trip; none where it cannot be reached. The pings and their answers count as control.
    pub fn measure(
        &mut self,
        node: NodeIx,
        peer: NodeIx,
        linked: bool,
        pings: u32,
        wire_bytes: u64,
    ) -> (u64, Option<u64>) {
        let linked = linked || self.is_up(node, peer) || self.is_up(peer, node);
        let reachable = self.is_alive(peer) && (linked || self.plan.nodes[peer.index()].reachable);
        if node == peer || !reachable || self.is_cut(node, peer) {
            return (self.plan.dial_us, None);
        }
        let one_way_us = self.one_way_us(node, peer);
        let takes_us = |of: NodeIx| wire_bytes * 8 * SECOND_US / self.plan.nodes[of.index()].uplink_bps.max(1);
        let least_us = 2 * one_way_us + takes_us(node) + takes_us(peer);
        let (mut after_us, mut best_us) = (if linked { 0 } else { 2 * one_way_us }, None);
        for _ in 0..pings {
            let mut trip_us = least_us;
            for (from, to) in [(node, peer), (peer, node)] {
                if self.plan.jitter_us > 0 {
                    let jitter: f64 = Exp1.sample(&mut self.network);
                    trip_us += (jitter * self.plan.jitter_us as f64) as u64;
                }
                self.record.sent(from, to, wire_bytes, false, self.now_us);
            }
            after_us += trip_us;
            best_us = Some(best_us.map_or(trip_us, |best: u64| best.min(trip_us)));
        }
        (after_us, best_us)
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

    pub(super) fn is_cut(&self, a: NodeIx, b: NodeIx) -> bool {
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

    /// Adds to a named count of the outcome.
    pub fn count(&mut self, name: &'static str, by: u64) {
        self.record.count(name, by);
    }
}

impl Flow {
    pub(super) fn new(link: u32, one_way_us: u64) -> Self {
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
