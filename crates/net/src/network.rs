//! The libp2p half of a node: links to peers, without a word about rooms.
//!
//! [`Network`] belongs to one task, which hears [`NetEvent`]s and tells it whom to dial, what to send and whom to
//! forward a packet to. None of these calls waits. A benchmark or a second kind of driver can use it without a room.

use std::{collections::VecDeque, time::Instant};

use bytes::Bytes;
use libp2p::{Swarm, core::transport::ListenerId, futures::StreamExt, identity::Keypair, swarm::SwarmEvent};
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};
use treehouse_wire::{
    Address, NodeId,
    limits::{CONTROL_BYTES_MAX, PACKET_BYTES_MAX},
};

use crate::{
    address,
    config::{NetConfig, NetError, check_tcp_port},
    end::LinkEnd,
    events::{ConnectionKey, Event, LinkEvent},
    frame::frame,
    limits::{EVENTS_MAX, HANGUP_FLUSH_MAX, LISTEN_TIMEOUT, SWARM_COMMANDS_MAX},
    peers::{Change, Peers},
    swarm::{self, Behaviour, Command, SwarmTask},
};

/// What a network reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetEvent {
    /// A link to this peer is up.
    LinkUp(NodeId),
    /// The link to this peer is gone, and why.
    LinkDown(NodeId, LinkEnd),
    /// A control message, without its length.
    Control(NodeId, Bytes),
    /// A media packet, without its length.
    Media(NodeId, Bytes),
    /// A dial has failed: each address and why.
    DialFailed(NodeId, Vec<(Address, String)>),
    /// The addresses that others may use have changed; all of them.
    Listening(Vec<Address>),
}

/// A node's links.
#[derive(Debug)]
pub struct Network {
    node: NodeId,
    addresses: Vec<Address>,
    events: mpsc::Receiver<Event>,
    commands: mpsc::Sender<Command>,
    peers: Peers,
    /// Events that follow from one that was received.
    follow_up: VecDeque<NetEvent>,
    task: JoinHandle<()>,
}

impl Network {
    /// Starts a network: builds the swarm, listens, and waits until the addresses are known. `identity_seed` is the
    /// node's Ed25519 secret key.
    ///
    /// # Errors
    /// [`NetError`], one sentence that says what to do.
    pub async fn start(identity_seed: [u8; 32], config: &NetConfig) -> Result<Self, NetError> {
        let keypair = Keypair::ed25519_from_bytes(identity_seed).map_err(|_| NetError::Identity)?;
        let node = address::node_id(&keypair.public().to_peer_id()).ok_or(NetError::Identity)?;
        let (events_sender, events) = mpsc::channel(EVENTS_MAX);
        let (commands, commands_receiver) = mpsc::channel(SWARM_COMMANDS_MAX);
        let mut swarm = swarm::build(keypair, config, events_sender.clone())?;
        let listeners = listen(&mut swarm, config)?;
        let mut task = SwarmTask::new(swarm, config, commands_receiver, events_sender);
        if timeout(LISTEN_TIMEOUT, bound(&mut task, &listeners)).await.is_err() && task.listening.is_empty() {
            return Err(NetError::Setup("no listen address came up in time".into()));
        }
        let addresses = task.addresses();
        let task = tokio::spawn(task.run());
        Ok(Network { node, addresses, events, commands, peers: Peers::new(), follow_up: VecDeque::new(), task })
    }

    /// This node.
    pub fn node_id(&self) -> NodeId {
        self.node
    }

    /// Where others can reach this node, best first.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// Links that are up.
    pub fn links(&self) -> usize {
        self.peers.len()
    }

    /// The next event; `None` once the network has stopped. Nothing is lost where the future is dropped.
    pub async fn next(&mut self) -> Option<NetEvent> {
        loop {
            if let Some(event) = self.follow_up.pop_front() {
                return Some(event);
            }
            let event = self.events.recv().await?;
            if let Some(event) = self.on_event(event) {
                return Some(event);
            }
        }
    }

    /// The next event, if one is there.
    pub fn try_next(&mut self) -> Option<NetEvent> {
        loop {
            if let Some(event) = self.follow_up.pop_front() {
                return Some(event);
            }
            let event = self.events.try_recv().ok()?;
            if let Some(event) = self.on_event(event) {
                return Some(event);
            }
        }
    }

    fn on_event(&mut self, event: Event) -> Option<NetEvent> {
        match event {
            Event::Link { key, peer, event } => self.on_link_event(key, peer, event),
            Event::DialFailed { peer, .. } if self.peers.outbound(&peer).is_some() => None,
            Event::DialFailed { peer, attempts } => Some(NetEvent::DialFailed(peer, attempts)),
            Event::Listening(addresses) if addresses == self.addresses => None,
            Event::Listening(addresses) => {
                self.addresses.clone_from(&addresses);
                Some(NetEvent::Listening(addresses))
            }
        }
    }

    fn on_link_event(&mut self, key: ConnectionKey, peer: NodeId, event: LinkEvent) -> Option<NetEvent> {
        match event {
            LinkEvent::Media(packet) => self.peers.accepts(&peer, key).then_some(NetEvent::Media(peer, packet)),
            LinkEvent::Control(bytes) => self.peers.accepts(&peer, key).then_some(NetEvent::Control(peer, bytes)),
            LinkEvent::Up { dialer, outbound } => {
                match self.peers.connection_up(peer, key, dialer, outbound, Instant::now()) {
                    Change::None => None,
                    Change::Up => Some(NetEvent::LinkUp(peer)),
                    Change::DownUp => {
                        self.follow_up.push_back(NetEvent::LinkUp(peer));
                        Some(NetEvent::LinkDown(peer, LinkEnd::Replaced))
                    }
                }
            }
            LinkEvent::Down(end) => self.peers.connection_down(&peer, key).then_some(NetEvent::LinkDown(peer, end)),
        }
    }

    /// Connects to a peer. [`NetEvent::LinkUp`] or [`NetEvent::DialFailed`] follows within ten seconds, unless a link
    /// exists.
    pub fn dial(&mut self, peer: NodeId, addresses: Vec<Address>) {
        if let Err(error) = self.commands.try_send(Command::Dial { peer, addresses }) {
            let Command::Dial { peer, addresses } = error.into_inner();
            let busy = "too many dials are under way; try again later";
            let attempts = addresses.into_iter().map(|address| (address, busy.to_owned())).collect();
            self.follow_up.push_back(NetEvent::DialFailed(peer, attempts));
        }
    }

    /// Ends the link to a peer, after what was sent to it before. [`NetEvent::LinkDown`] follows.
    pub fn hang_up(&mut self, peer: &NodeId) {
        self.peers.hang_up(peer);
    }

    /// Sends a control message, in order. A message to a peer without a link, or one of no or too many bytes, is lost.
    pub fn send(&self, peer: &NodeId, message: &[u8]) {
        if let (Some(outbound), Some(framed)) = (self.peers.outbound(peer), frame(message, CONTROL_BYTES_MAX)) {
            outbound.send(framed);
        }
    }

    /// Sends a packet to each of these peers that has a link. The length is put before the packet once for all of them.
    /// Returns to how many it went.
    pub fn forward(&self, to: &[NodeId], lane: usize, packet: &[u8], deadline: Instant, now: Instant) -> usize {
        let Some(framed) = frame(packet, PACKET_BYTES_MAX) else { return 0 };
        let mut sent = 0;
        for outbound in to.iter().filter_map(|peer| self.peers.outbound(peer)) {
            outbound.forward(lane, framed.clone(), deadline, now);
            sent += 1;
        }
        sent
    }

    /// The peers whose lanes dropped packets since this was last asked, and how many.
    pub fn take_drops(&self) -> Vec<(NodeId, u32)> {
        let drops = self.peers.iter().map(|(node, outbound)| (*node, outbound.take_dropped()));
        drops.filter(|(_, dropped)| *dropped > 0).collect()
    }

    /// Hangs up every link, waits until what was sent is delivered, for half a second at most, and stops.
    pub async fn stop(mut self) {
        let peers: Vec<NodeId> = self.peers.iter().map(|(node, _)| *node).collect();
        peers.iter().for_each(|peer| self.peers.hang_up(peer));
        let flushed = async { while self.peers.len() > 0 && self.next().await.is_some() {} };
        let _ = timeout(HANGUP_FLUSH_MAX, flushed).await;
        drop((self.commands, self.events));
        let _ = self.task.await;
    }
}

fn listen(swarm: &mut Swarm<Behaviour>, config: &NetConfig) -> Result<Vec<ListenerId>, NetError> {
    if config.listen.is_empty() {
        return Err(NetError::NoAddress);
    }
    let listen = |address: &libp2p::Multiaddr| {
        check_tcp_port(address)?;
        swarm.listen_on(address.clone()).map_err(|error| NetError::listen(address, &error))
    };
    config.listen.iter().map(listen).collect()
}

/// Waits until each listener has an address, and then until no further one is ready. A dial before that would leave from
/// a port that nobody can answer to.
async fn bound(task: &mut SwarmTask, listeners: &[ListenerId]) {
    while !listeners.iter().all(|listener| task.listening.iter().any(|(other, _)| other == listener)) {
        let event = task.swarm.select_next_some().await;
        remember(task, event);
    }
    while let Ok(event) = timeout(std::time::Duration::from_millis(10), task.swarm.select_next_some()).await {
        remember(task, event);
    }
}

fn remember<E>(task: &mut SwarmTask, event: SwarmEvent<E>) {
    if let SwarmEvent::NewListenAddr { listener_id, address } = event {
        task.listening.push((listener_id, address));
    }
}
