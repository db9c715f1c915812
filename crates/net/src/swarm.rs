//! The swarm: libp2p put together with tightened limits, and the task that polls it.
//!
//! Audio does not pass through here. The task dials, listens, and closes what failed; the links that come of it speak
//! to the driver themselves.

use std::{collections::BTreeMap, convert::Infallible, time::Instant};

use libp2p::{
    Multiaddr, PeerId, Swarm, SwarmBuilder, connection_limits,
    core::{transport::ListenerId, upgrade::Version},
    futures::StreamExt,
    identify,
    identity::Keypair,
    noise, ping, quic,
    swarm::{
        ConnectionId, DialError, NetworkBehaviour, SwarmEvent,
        dial_opts::{DialOpts, PeerCondition},
    },
    tcp, yamux,
};
use tokio::{sync::mpsc, time::sleep_until};
use treehouse_wire::{Address, NodeId};

use crate::{
    address,
    behaviour::Links,
    config::{NetConfig, NetError},
    dial::Dial,
    events::Event,
    gate::Gate,
    limits::{
        ADDRESS_TIMEOUT, CONNECTIONS_PER_PEER_MAX, DIALS_MAX, NEGOTIATING_MAX, PENDING_INBOUND_MAX, PING_INTERVAL,
        PING_TIMEOUT, QUIC_CONNECTION_BYTES_MAX, QUIC_IDLE_TIMEOUT, QUIC_KEEP_ALIVE, QUIC_STREAM_BYTES_MAX,
        SUBSTREAMS_MAX,
    },
    reason::dial_reason,
};

/// What this node does on each connection. The limits come first: what they refuse gets no link.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    gate: Gate,
    limits: connection_limits::Behaviour,
    links: Links,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
}

/// What the driver asks of the swarm's task.
#[derive(Debug)]
pub(crate) enum Command {
    /// Connect to a peer.
    Dial {
        /// Whom.
        peer: NodeId,
        /// Where, best first.
        addresses: Vec<Address>,
    },
}

/// Builds a swarm that does not listen yet.
pub(crate) fn build(
    keypair: Keypair,
    config: &NetConfig,
    events: mpsc::Sender<Event>,
) -> Result<Swarm<Behaviour>, NetError> {
    let setup = |what: &str, error: &dyn std::fmt::Display| NetError::Setup(format!("{what}: {error}"));
    let mut yamux = yamux::Config::default();
    yamux.set_max_num_streams(SUBSTREAMS_MAX);
    let swarm = SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, || yamux)
        .map_err(|error| setup("Noise", &error))?
        .with_quic_config(tighten_quic)
        .with_dns()
        .map_err(|error| setup("the name resolver", &error))?
        .with_behaviour(|keypair| Behaviour {
            gate: Gate::default(),
            limits: connection_limits::Behaviour::new(limits(config)),
            links: Links::new(events),
            identify: identify::Behaviour::new(
                identify::Config::new("/treehouse/1".into(), keypair.public())
                    .with_agent_version(concat!("treehouse/", env!("CARGO_PKG_VERSION")).into())
                    .with_cache_size(0)
                    .with_hide_listen_addrs(true),
            ),
            ping: ping::Behaviour::new(ping::Config::new().with_interval(PING_INTERVAL).with_timeout(PING_TIMEOUT)),
        })
        .map_err(|error: Infallible| match error {})
        .unwrap_or_else(|never: Infallible| match never {})
        .with_swarm_config(|swarm| {
            swarm
                .with_substream_upgrade_protocol_override(Version::V1Lazy)
                .with_max_negotiating_inbound_streams(NEGOTIATING_MAX)
                .with_idle_connection_timeout(ADDRESS_TIMEOUT)
        })
        .with_connection_timeout(ADDRESS_TIMEOUT)
        .build();
    Ok(swarm)
}

fn tighten_quic(mut config: quic::Config) -> quic::Config {
    config.handshake_timeout = ADDRESS_TIMEOUT;
    config.max_idle_timeout = u32::try_from(QUIC_IDLE_TIMEOUT.as_millis()).unwrap_or(u32::MAX);
    config.keep_alive_interval = QUIC_KEEP_ALIVE;
    config.max_concurrent_stream_limit = SUBSTREAMS_MAX as u32;
    config.max_stream_data = QUIC_STREAM_BYTES_MAX;
    config.max_connection_data = QUIC_CONNECTION_BYTES_MAX;
    config
}

fn limits(config: &NetConfig) -> connection_limits::ConnectionLimits {
    connection_limits::ConnectionLimits::default()
        .with_max_pending_incoming(Some(PENDING_INBOUND_MAX))
        .with_max_established(Some(config.connections_max))
        .with_max_established_per_peer(Some(CONNECTIONS_PER_PEER_MAX))
}

/// The task that polls a swarm. It ends when the driver drops its end of the commands.
pub(crate) struct SwarmTask {
    pub(crate) swarm: Swarm<Behaviour>,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) listening: Vec<(ListenerId, Multiaddr)>,
    pub(crate) announce: Vec<Multiaddr>,
    pub(crate) tell_loopback: bool,
    dials: BTreeMap<PeerId, (NodeId, Dial<ConnectionId>)>,
}

impl SwarmTask {
    pub(crate) fn new(
        swarm: Swarm<Behaviour>,
        config: &NetConfig,
        commands: mpsc::Receiver<Command>,
        events: mpsc::Sender<Event>,
    ) -> Self {
        SwarmTask {
            swarm,
            commands,
            events,
            listening: Vec::new(),
            announce: config.announce.clone(),
            tell_loopback: config.tell_loopback,
            dials: BTreeMap::new(),
        }
    }

    /// Runs until the driver is gone.
    pub(crate) async fn run(mut self) {
        loop {
            let timeout = self.dials.values().map(|(_, dial)| dial.timeout()).min();
            let due = async {
                match timeout {
                    Some(at) => sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            let said = tokio::select! {
                event = self.swarm.select_next_some() => self.on_event(event),
                command = self.commands.recv() => match command {
                    Some(Command::Dial { peer, addresses }) => self.dial(peer, addresses),
                    None => return,
                },
                () = due => None,
                () = self.events.closed() => return,
            };
            if let Some(event) = said
                && self.events.send(event).await.is_err()
            {
                return;
            }
            if self.advance_dials().await.is_err() {
                return;
            }
        }
    }

    fn dial(&mut self, peer: NodeId, addresses: Vec<Address>) -> Option<Event> {
        let all = |addresses: Vec<Address>, reason: &str| {
            let attempts = addresses.into_iter().map(|address| (address, reason.to_owned())).collect();
            Some(Event::DialFailed { peer, attempts })
        };
        let Some(peer_id) = address::peer_id(&peer) else {
            return all(addresses, "the node's id is not a valid key");
        };
        if peer_id == *self.swarm.local_peer_id() {
            return all(addresses, "it is this node itself");
        }
        if self.dials.len() >= DIALS_MAX {
            return all(addresses, "too many dials are under way; try again later");
        }
        self.dials.entry(peer_id).or_insert_with(|| (peer, Dial::new(addresses, Instant::now())));
        None
    }

    /// Starts what is due in each dial, and reports those that have failed.
    async fn advance_dials(&mut self) -> Result<(), mpsc::error::SendError<Event>> {
        let now = Instant::now();
        let mut over = Vec::new();
        for (peer_id, (node, dial)) in &mut self.dials {
            while let Some(multiaddr) = dial.next(now) {
                let options = DialOpts::peer_id(*peer_id)
                    .condition(PeerCondition::Always)
                    .addresses(vec![multiaddr.clone()])
                    .build();
                let id = options.connection_id();
                dial.started(&multiaddr, id);
                if let Err(error) = self.swarm.dial(options) {
                    dial.failed(&id, dial_reason(&error));
                }
            }
            if let Some(attempts) = dial.verdict(now) {
                over.push((*peer_id, Event::DialFailed { peer: *node, attempts }));
            }
        }
        for (peer_id, event) in over {
            self.dials.remove(&peer_id);
            if !self.swarm.behaviour().links.is_linked(&peer_id) {
                self.events.send(event).await?;
            }
        }
        Ok(())
    }

    fn on_event(&mut self, event: SwarmEvent<BehaviourEvent>) -> Option<Event> {
        match event {
            SwarmEvent::ConnectionEstablished { peer_id, endpoint, .. } if endpoint.is_dialer() => {
                self.dials.remove(&peer_id);
            }
            SwarmEvent::OutgoingConnectionError { connection_id, peer_id: Some(peer_id), error } => {
                self.attempt_failed(&peer_id, &connection_id, &error);
            }
            SwarmEvent::NewListenAddr { listener_id, address } => {
                self.listening.push((listener_id, address));
                return Some(Event::Listening(self.addresses()));
            }
            SwarmEvent::ExpiredListenAddr { address, .. } => {
                self.listening.retain(|(_, other)| *other != address);
                return Some(Event::Listening(self.addresses()));
            }
            SwarmEvent::ListenerClosed { listener_id, .. } => {
                self.listening.retain(|(listener, _)| *listener != listener_id);
                return Some(Event::Listening(self.addresses()));
            }
            // QUIC notices a dead peer by its idle timeout; over TCP this is what does.
            SwarmEvent::Behaviour(BehaviourEvent::Ping(ping::Event {
                connection,
                result: Err(ping::Failure::Timeout),
                ..
            })) => {
                tracing::debug!("a connection does not answer pings");
                self.swarm.close_connection(connection);
            }
            _ => {}
        }
        None
    }

    fn attempt_failed(&mut self, peer_id: &PeerId, id: &ConnectionId, error: &DialError) {
        if let Some((_, dial)) = self.dials.get_mut(peer_id) {
            dial.failed(id, dial_reason(error));
        }
    }

    /// The addresses that others may use.
    pub(crate) fn addresses(&self) -> Vec<Address> {
        let listening: Vec<Multiaddr> = self.listening.iter().map(|(_, address)| address.clone()).collect();
        address::tellable(&self.announce, &listening, self.tell_loopback)
    }
}
