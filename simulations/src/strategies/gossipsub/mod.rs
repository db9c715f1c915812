//! GossipSub v1.1 with the IDONTWANT of v1.2: a random mesh that pushes, and gossip that mends.
//!
//! Source: libp2p's specifications "gossipsub v1.0", "v1.1" and "v1.2" (libp2p/specs, pubsub/gossipsub); D. Vyzovitis et al.,
//! "GossipSub: Attack-resilient message propagation in the Filecoin and ETH2.0 networks", 2020; where they leave
//! something open, go-libp2p-pubsub.
//!
//! Every node keeps a mesh of D of its peers and sends each message on to all of these when it is new to it. At each
//! heartbeat it grafts where it has fewer than D_lo, prunes where it has more than D_hi, and tells max(D_lazy, a share) of the
//! other peers which messages came lately (IHAVE); who misses one asks for it (IWANT). A pruned peer is told of others (peer
//! exchange) and neither side grafts the other again for a while (backoff). A publisher sends to all its peers (flood publishing).
//!
//! Modelled: all of that, one topic, links to random members (as a discovery service names them), one stream a peer that keeps the
//! order and drops what would wait too long, sizes of the protobuf encoding. Not modelled: fanout, which a room does not
//! need as who speaks also listens; scores and what hangs on them (opportunistic grafting, the D_score best on pruning, thresholds):
//! all peers count as equal, so hostile members are not found out.

mod gossip;
mod mesh;
mod node;
mod settings;

pub use settings::{GossipTargets, Settings};

use std::sync::Arc;

use rand::RngExt;

use crate::{
    engine::Net,
    plan::{NodeIx, Plan},
    strategies::messages::{MessageIx, Published},
    strategy::{Class, Packet, Place, Strategy},
};
use node::Node;

/// Around a message: the frame's length, the field heads of message, data and topic, and a topic of 32 bytes. The packet bears its own
/// signature, so that the message has none (the policy StrictNoSign), and its id is a hash that is not sent.
const ENVELOPE_BYTES: u32 = 42;
/// Around the control part of an RPC: the frame's length and the heads of two nested fields.
const CONTROL_BYTES: u32 = 6;
/// A topic of 32 bytes with its head.
const TOPIC_BYTES: u32 = 34;
/// A message id of 20 bytes with its head.
const ID_BYTES: u32 = 22;
/// A peer id of 38 bytes with its head.
const PEER_BYTES: u32 = 40;
/// A message that would wait longer at the uplink is dropped: rust-libp2p's `forward_queue_duration`.
const FORWARD_US: u64 = 1_000_000;
/// The same for one that the node itself publishes: its `publish_queue_duration`.
const PUBLISH_US: u64 = 5_000_000;
/// A newcomer looks for peers this long after it came, when those that came with it are there too.
const DISCOVER_US: u64 = 1_000;
/// Links that a node with too few asks for at one heartbeat.
const DISCOVER_MAX: usize = 5;

/// What nodes send.
#[derive(Clone, Debug)]
pub enum Message {
    /// The topic is of interest.
    Subscribe,
    /// A message, and how many hops it has come.
    Publish(MessageIx, u8),
    /// These came lately.
    IHave(Arc<[MessageIx]>),
    /// These are missing.
    IWant(Box<[MessageIx]>),
    /// This has come, or is coming, already.
    IDontWant(MessageIx),
    /// You are in my mesh.
    Graft,
    /// You are not; these others would do.
    Prune(Box<[NodeIx]>),
}

/// Why a node wakes.
#[derive(Clone, Copy, Debug)]
pub enum Timer {
    /// To look for peers.
    Discover,
    /// The heartbeat.
    Heartbeat,
}

/// GossipSub over all nodes of a run.
pub struct GossipSub {
    settings: Settings,
    nodes: Vec<Node>,
    published: Published,
    message_bytes: u32,
}

impl GossipSub {
    /// Sets up the nodes of a plan. Settings that do not pass [`Settings::check`] make a poor mesh and nothing worse.
    pub fn new(plan: &Plan, settings: &Settings) -> Self {
        GossipSub {
            settings: settings.clone(),
            nodes: plan.nodes.iter().map(|_| Node::default()).collect(),
            published: Published::default(),
            message_bytes: plan.media.packet_bytes + ENVELOPE_BYTES,
        }
    }

    /// The mesh peers of a node now.
    pub fn mesh(&self, node: NodeIx) -> &[NodeIx] {
        &self.nodes[node.index()].mesh
    }

    fn control(net: &mut Net<Self>, node: NodeIx, peer: NodeIx, bytes: u32, message: Message) {
        net.send(node, peer, CONTROL_BYTES + bytes, Class::Control, message);
    }

    fn discover(&mut self, net: &mut Net<Self>, node: NodeIx, most: usize) {
        for _ in 0..most {
            let Some(peer) = net.someone(node) else { return };
            let of = &mut self.nodes[node.index()];
            if of.is_linked(peer) || of.dialing.contains(&peer) {
                continue;
            }
            of.dialing.push(peer);
            net.connect(node, peer);
        }
    }

    /// A message is new to a node: keep it, send it on.
    fn accept(&mut self, net: &mut Net<Self>, node: NodeIx, from: Option<NodeIx>, message: MessageIx, hops: u8) {
        let origin = self.published.origin(message);
        let of = &mut self.nodes[node.index()];
        of.windows[0].push(message);
        let deadline_us = if from.is_none() { PUBLISH_US } else { FORWARD_US };
        let class = Class::Media { lane: 0, deadline_us };
        let send = |net: &mut Net<Self>, peer: NodeIx| {
            if Some(peer) != from && peer != origin && !of.is_unwanted(peer, message) {
                net.send(node, peer, self.message_bytes, class, Message::Publish(message, hops + 1));
            }
        };
        if from.is_none() && self.settings.flood_publish {
            of.peers.iter().for_each(|peer| send(net, peer.node));
        } else {
            of.mesh.iter().for_each(|peer| send(net, *peer));
        }
    }

    fn publish(&mut self, net: &mut Net<Self>, node: NodeIx, from: NodeIx, message: MessageIx, hops: u8) {
        let packet = self.published.packet(message);
        let of = &mut self.nodes[node.index()];
        if !of.seen.insert(message) {
            if self.published.origin(message) != node {
                net.received(node, packet);
            }
            return;
        }
        net.received(node, packet);
        of.count_hops(hops);
        if self.message_bytes >= self.settings.idontwant_bytes {
            for peer in of.mesh.iter().filter(|peer| **peer != from) {
                Self::control(net, node, *peer, ID_BYTES, Message::IDontWant(message));
            }
        }
        self.accept(net, node, Some(from), message, hops);
    }
}

impl Strategy for GossipSub {
    type Message = Message;
    type Timer = Timer;

    fn name(&self) -> &'static str {
        "gossipsub"
    }

    fn join(&mut self, net: &mut Net<Self>, node: NodeIx) {
        let now_us = net.now_us();
        let known_from = self.published.first_since(now_us.saturating_sub(self.settings.seen_ttl_s * 1_000_000));
        self.nodes[node.index()] = Node::new(known_from, self.settings.mcache_len);
        net.timer(node, now_us + DISCOVER_US, Timer::Discover);
        let phase_us = net.rng.random_range(0..self.settings.heartbeat_ms.max(1) * 1000);
        net.timer(node, now_us + self.settings.heartbeat_ms * 1000 + phase_us, Timer::Heartbeat);
    }

    fn leave(&mut self, net: &mut Net<Self>, node: NodeIx) {
        net.gone(node);
    }

    fn gone(&mut self, node: NodeIx) {
        self.nodes[node.index()] = Node::default();
    }

    fn connected(&mut self, net: &mut Net<Self>, node: NodeIx, peer: NodeIx) {
        let of = &mut self.nodes[node.index()];
        let is_outbound = of.dialing.contains(&peer);
        of.dialing.retain(|dialed| *dialed != peer);
        of.link(peer, is_outbound);
        Self::control(net, node, peer, TOPIC_BYTES, Message::Subscribe);
    }

    fn unreachable(&mut self, net: &mut Net<Self>, node: NodeIx, peer: NodeIx) {
        self.nodes[node.index()].dialing.retain(|dialed| *dialed != peer);
        self.discover(net, node, 1);
    }

    fn disconnected(&mut self, _net: &mut Net<Self>, node: NodeIx, peer: NodeIx) {
        self.nodes[node.index()].unlink(peer);
    }

    fn receive(&mut self, net: &mut Net<Self>, node: NodeIx, from: NodeIx, message: Message) {
        match message {
            Message::Subscribe => self.subscribed(net, node, from),
            Message::Publish(message, hops) => self.publish(net, node, from, message, hops),
            Message::IHave(messages) => self.ihave(net, node, from, &messages),
            Message::IWant(messages) => self.iwant(net, node, from, &messages),
            Message::IDontWant(message) => {
                self.nodes[node.index()].unwanted[0].insert((message, from));
            }
            Message::Graft => self.grafted(net, node, from),
            Message::Prune(peers) => self.pruned(net, node, from, &peers),
        }
    }

    fn timer(&mut self, net: &mut Net<Self>, node: NodeIx, timer: Timer) {
        match timer {
            Timer::Discover => self.discover(net, node, self.settings.links),
            Timer::Heartbeat => {
                self.maintain(net, node);
                self.gossip(net, node);
                self.nodes[node.index()].shift();
                let of = &self.nodes[node.index()];
                let missing = self.settings.links.saturating_sub(of.peers.len() + of.dialing.len());
                self.discover(net, node, missing.min(DISCOVER_MAX));
                net.timer(node, net.now_us() + self.settings.heartbeat_ms * 1000, Timer::Heartbeat);
            }
        }
    }

    fn packet(&mut self, net: &mut Net<Self>, node: NodeIx, packet: Packet) {
        let message = self.published.add(packet, node, net.now_us());
        self.nodes[node.index()].seen.insert(message);
        self.accept(net, node, None, message, 0);
    }

    fn place(&self, node: NodeIx) -> Place {
        Place { depth: self.nodes[node.index()].hops, ..Place::default() }
    }

    fn is_relay(&self, node: NodeIx) -> bool {
        !self.nodes[node.index()].mesh.is_empty()
    }

    fn memory_bytes(&self) -> Option<u64> {
        Some(self.nodes.iter().map(Node::memory_bytes).sum())
    }
}
