//! Gives each connection its handler, refuses those that are no nodes, and closes those whose link is over.

use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    swarm::{
        CloseConnection, ConnectionClosed, ConnectionDenied, ConnectionId, DialFailure, FromSwarm, NetworkBehaviour,
        THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
    },
};
use tokio::sync::mpsc;

use crate::{
    address,
    events::{ConnectionKey, Event},
    handler::{Handler, Report},
    outbound::Outbound,
};

/// Why a connection is refused although its peer proved its identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RefusedConnection {
    /// The peer's key is of another kind.
    #[error("its key is not an Ed25519 key")]
    NotEd25519,
    /// A usable link to the peer exists; a second dial is of no use.
    #[error("a link to it exists already")]
    AlreadyLinked,
}

/// The links of this node, as libp2p sees them.
pub(crate) struct Links {
    events: mpsc::Sender<Event>,
    next_key: u64,
    live: HashMap<ConnectionId, (PeerId, Arc<Outbound>)>,
    closing: VecDeque<(PeerId, ConnectionId)>,
}

impl Links {
    pub(crate) fn new(events: mpsc::Sender<Event>) -> Self {
        Links { events, next_key: 0, live: HashMap::new(), closing: VecDeque::new() }
    }

    /// Whether a link to this peer is up and not about to end.
    pub(crate) fn is_linked(&self, peer: &PeerId) -> bool {
        self.live.values().any(|(other, outbound)| other == peer && !outbound.is_closing())
    }

    fn handler(&mut self, peer: &PeerId, dialer: bool) -> Result<Handler, ConnectionDenied> {
        let node = address::node_id(peer).ok_or_else(|| ConnectionDenied::new(RefusedConnection::NotEd25519))?;
        self.next_key += 1;
        Ok(Handler::new(ConnectionKey(self.next_key), node, dialer, self.events.clone()))
    }
}

impl NetworkBehaviour for Links {
    type ConnectionHandler = Handler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.handler(&peer, false)
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if self.is_linked(&peer) {
            return Err(ConnectionDenied::new(RefusedConnection::AlreadyLinked));
        }
        let handler = self.handler(&peer, true)?;
        // From now on, and not only once its control substream is there: of several addresses that answer at the same
        // moment one is enough.
        self.live.insert(id, (peer, Arc::clone(handler.outbound())));
        Ok(handler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        if let FromSwarm::ConnectionClosed(ConnectionClosed { connection_id, .. })
        | FromSwarm::DialFailure(DialFailure { connection_id, .. }) = event
        {
            self.live.remove(&connection_id);
        }
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, id: ConnectionId, report: THandlerOutEvent<Self>) {
        match report {
            Report::Up(outbound) => _ = self.live.insert(id, (peer, outbound)),
            Report::Over => {
                self.live.remove(&id);
                self.closing.push_back((peer, id));
            }
        }
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Infallible, THandlerInEvent<Self>>> {
        match self.closing.pop_front() {
            Some((peer_id, id)) => {
                Poll::Ready(ToSwarm::CloseConnection { peer_id, connection: CloseConnection::One(id) })
            }
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_whose_key_is_not_ed25519_is_refused() {
        let (events, _receiver) = mpsc::channel(1);
        let mut links = Links::new(events);
        let address: Multiaddr = "/ip4/127.0.0.1/udp/9/quic-v1".parse().expect("an address");
        // An identity multihash of bytes that are no Ed25519 key.
        let stranger = PeerId::random();
        let id = ConnectionId::new_unchecked(1);
        let refused = links.handle_established_inbound_connection(id, stranger, &address, &address).err();
        let refused = refused.expect("no handler").downcast::<RefusedConnection>().expect("our own reason");
        assert_eq!(refused, RefusedConnection::NotEd25519);
    }
}
