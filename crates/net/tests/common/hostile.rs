//! A libp2p node that is bound by nothing: it opens any substream of any protocol and writes any bytes.

use std::{
    collections::VecDeque,
    convert::Infallible,
    task::{Context, Poll},
    time::Duration,
};

use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::{
    Multiaddr, PeerId, Stream, StreamProtocol, Swarm, SwarmBuilder,
    core::{
        Endpoint,
        transport::PortUse,
        upgrade::{ReadyUpgrade, Version},
    },
    swarm::{
        ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm, NetworkBehaviour,
        NotifyHandler, SubstreamProtocol, SwarmEvent, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
        handler::{ConnectionEvent, FullyNegotiatedInbound, FullyNegotiatedOutbound},
    },
};
use tokio::sync::{mpsc, oneshot};
use treehouse_net::{Network, address_text, node_id, peer_id};
use treehouse_wire::{Address, NodeId};

pub const CONTROL: StreamProtocol = StreamProtocol::new("/treehouse/control/1");
pub const MEDIA: StreamProtocol = StreamProtocol::new("/treehouse/media/1");

type Opened = oneshot::Sender<Stream>;

/// A hostile node with one connection to a victim.
pub struct Hostile {
    pub node: NodeId,
    /// Lanes that the victim opens. Those that nobody takes are never read.
    lanes: tokio::sync::Mutex<mpsc::Receiver<Stream>>,
    open: mpsc::Sender<(StreamProtocol, Opened)>,
    task: tokio::task::JoinHandle<()>,
}

impl Hostile {
    /// Connects to a network over its first address.
    pub async fn connect(seed: u16, victim: &Network) -> Hostile {
        Hostile::connect_to(seed, victim.node_id(), &victim.addresses()[0]).await
    }

    /// Connects to a node at an address.
    pub async fn connect_to(seed: u16, victim: NodeId, address: &Address) -> Hostile {
        let keypair = libp2p::identity::Keypair::ed25519_from_bytes(super::seed_bytes(seed)).expect("32 bytes");
        let node = node_id(&keypair.public().to_peer_id()).expect("an Ed25519 key");
        let (lanes_sender, lanes) = mpsc::channel(16);
        let mut swarm = SwarmBuilder::with_existing_identity(keypair)
            .with_tokio()
            .with_tcp(Default::default(), libp2p::noise::Config::new, libp2p::yamux::Config::default)
            .expect("Noise")
            // The windows of an honest node: a peer's window is what bounds the bytes in flight to it.
            .with_quic_config(|mut config| {
                config.max_stream_data = treehouse_net::limits::QUIC_STREAM_BYTES_MAX;
                config
            })
            .with_behaviour(|_| Behaviour { requests: VecDeque::new(), lanes: lanes_sender })
            .expect("a behaviour")
            .with_swarm_config(|config| {
                config
                    .with_substream_upgrade_protocol_override(Version::V1Lazy)
                    .with_idle_connection_timeout(Duration::from_secs(60))
            })
            .build();
        let address: Multiaddr = address_text(address).parse().expect("an address");
        let peer = peer_id(&victim).expect("a key");
        swarm.dial(address.with_p2p(peer).expect("no other peer in it")).expect("a dial");
        let (open, mut requests) = mpsc::channel::<(StreamProtocol, Opened)>(64);
        let (connected, is_connected) = oneshot::channel();
        let task = tokio::spawn(async move { run(&mut swarm, peer, &mut requests, connected).await });
        super::within("a connection", is_connected).await.expect("connected");
        Hostile { node, lanes: lanes.into(), open, task }
    }

    /// Opens a substream.
    pub async fn open(&self, protocol: StreamProtocol) -> Stream {
        let (opened, stream) = oneshot::channel();
        self.open.send((protocol, opened)).await.expect("the hostile node runs");
        super::within("a substream", stream).await.expect("opened")
    }

    /// Opens the control substream.
    pub async fn control(&self) -> Stream {
        let mut stream = self.open(CONTROL).await;
        stream.flush().await.expect("flushed");
        stream
    }

    /// Opens a lane and names it.
    pub async fn lane(&self, number: u8) -> Stream {
        let mut stream = self.open(MEDIA).await;
        stream.write_all(&[number]).await.expect("written");
        stream.flush().await.expect("flushed");
        stream
    }

    /// Writes on the receiving side of the first lane that the victim opens.
    pub async fn answer_lanes(&self, bytes: &[u8]) {
        let mut lane = super::within("a lane", async { self.lanes.lock().await.recv().await }).await.expect("a lane");
        lane.write_all(bytes).await.expect("written");
        lane.flush().await.expect("flushed");
        std::mem::forget(lane);
    }

    /// The next lane that the victim opens, its number read; none once the connection is closed.
    pub async fn accept_lane(&self) -> Option<Stream> {
        let mut lane = self.lanes.lock().await.recv().await?;
        lane.read_exact(&mut [0]).await.ok()?;
        Some(lane)
    }

    /// Waits until the victim has closed the connection.
    pub async fn let_go(self) {
        super::within("the end of a connection", self.task).await.expect("no panic");
    }
}

/// Frames and writes.
pub async fn write_frame(stream: &mut Stream, payload: &[u8]) -> std::io::Result<()> {
    let length = u16::try_from(payload.len()).expect("short").to_be_bytes();
    stream.write_all(&[&length[..], payload].concat()).await?;
    stream.flush().await
}

/// Reads one frame; none where the substream has ended.
pub async fn read_frame(stream: &mut Stream) -> Option<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).await.ok()?;
    let mut frame = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut frame).await.ok()?;
    Some(frame)
}

/// Reads until the other end has closed the substream, and says whether that was clean.
pub async fn read_to_end(stream: &mut Stream) -> bool {
    let mut rest = Vec::new();
    super::within("the end of a substream", stream.read_to_end(&mut rest)).await.is_ok()
}

async fn run(
    swarm: &mut Swarm<Behaviour>,
    peer: PeerId,
    requests: &mut mpsc::Receiver<(StreamProtocol, Opened)>,
    connected: oneshot::Sender<()>,
) {
    let mut connected = Some(connected);
    loop {
        tokio::select! {
            event = swarm.select_next_some() => match event {
                SwarmEvent::ConnectionEstablished { .. } => {
                    if let Some(connected) = connected.take() {
                        let _ = connected.send(());
                    }
                }
                SwarmEvent::ConnectionClosed { .. } => return,
                _ => {}
            },
            Some(request) = requests.recv() => swarm.behaviour_mut().requests.push_back((peer, request)),
        }
    }
}

struct Behaviour {
    lanes: mpsc::Sender<Stream>,
    requests: VecDeque<(PeerId, (StreamProtocol, Opened))>,
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler { requests: VecDeque::new(), lanes: self.lanes.clone() })
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler { requests: VecDeque::new(), lanes: self.lanes.clone() })
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Infallible, THandlerInEvent<Self>>> {
        match self.requests.pop_front() {
            Some((peer_id, event)) => {
                Poll::Ready(ToSwarm::NotifyHandler { peer_id, handler: NotifyHandler::Any, event })
            }
            None => Poll::Pending,
        }
    }
}

struct Handler {
    requests: VecDeque<(StreamProtocol, Opened)>,
    lanes: mpsc::Sender<Stream>,
}

impl ConnectionHandler for Handler {
    type FromBehaviour = (StreamProtocol, Opened);
    type ToBehaviour = Infallible;
    type InboundProtocol = ReadyUpgrade<StreamProtocol>;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Opened;

    fn listen_protocol(&self) -> SubstreamProtocol<ReadyUpgrade<StreamProtocol>, ()> {
        SubstreamProtocol::new(ReadyUpgrade::new(MEDIA), ())
    }

    fn connection_keep_alive(&self) -> bool {
        true
    }

    fn on_behaviour_event(&mut self, request: (StreamProtocol, Opened)) {
        self.requests.push_back(request);
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<ReadyUpgrade<StreamProtocol>, Opened, Infallible>> {
        match self.requests.pop_front() {
            Some((protocol, opened)) => Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest {
                protocol: SubstreamProtocol::new(ReadyUpgrade::new(protocol), opened),
            }),
            None => Poll::Pending,
        }
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, ReadyUpgrade<StreamProtocol>, ReadyUpgrade<StreamProtocol>, (), Opened>,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, info }) => {
                let _ = info.send(protocol);
            }
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, .. }) => {
                let _ = self.lanes.try_send(protocol);
            }
            _ => {}
        }
    }
}
