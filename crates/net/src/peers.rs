//! One logical link a peer, whatever connections there are.
//!
//! Mostly there is one. Two ends that dial each other at the same moment get two, and neither can tell in time which one
//! the other will drop. So both stay: each end sends on the one that was up first for it, which keeps its messages in
//! order, and reads both. The link ends when either connection does, since something sent on it may be lost.
//!
//! A peer that was restarted, or lost its network for a moment, dials again while its old connection still looks
//! alive here. Then the link goes down and up again, so that the room starts afresh with it.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use treehouse_wire::NodeId;

use crate::{
    end::LinkEnd,
    events::ConnectionKey,
    limits::SIMULTANEOUS_DIAL_MAX,
    outbound::{Io, Outbound},
};

/// The peers that this node has a link to.
#[derive(Debug)]
pub(crate) struct Peers<S = libp2p::Stream> {
    peers: BTreeMap<NodeId, Peer<S>>,
}

#[derive(Debug)]
struct Peer<S> {
    since: Instant,
    hung_up: bool,
    /// The connection that is sent on.
    pinned: Connection<S>,
    second: Option<Connection<S>>,
}

#[derive(Debug)]
struct Connection<S> {
    key: ConnectionKey,
    dialer: bool,
    outbound: Arc<Outbound<S>>,
}

/// What a new connection means for the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// The link is up.
    Up,
    /// The link goes down and is up again.
    DownUp,
    /// The link has a second connection; nothing changes.
    None,
}

impl<S: Io> Peers<S> {
    pub(crate) fn new() -> Self {
        Peers { peers: BTreeMap::new() }
    }

    /// A connection has become usable. `dialer`: this node has dialled it.
    pub(crate) fn connection_up(
        &mut self,
        node: NodeId,
        key: ConnectionKey,
        dialer: bool,
        outbound: Arc<Outbound<S>>,
        now: Instant,
    ) -> Change {
        let connection = Connection { key, dialer, outbound };
        let Some(peer) = self.peers.get_mut(&node) else {
            self.peers.insert(node, Peer { since: now, hung_up: false, pinned: connection, second: None });
            return Change::Up;
        };
        let simultaneous =
            peer.pinned.dialer != dialer && now.saturating_duration_since(peer.since) < SIMULTANEOUS_DIAL_MAX;
        if simultaneous && peer.second.is_none() && !peer.hung_up && !peer.pinned.outbound.is_closing() {
            peer.second = Some(connection);
            return Change::None;
        }
        let old = std::mem::replace(peer, Peer { since: now, hung_up: false, pinned: connection, second: None });
        old.end();
        Change::DownUp
    }

    /// A connection is over. Whether the link went down with it.
    pub(crate) fn connection_down(&mut self, node: &NodeId, key: ConnectionKey) -> bool {
        if !self.peers.get(node).is_some_and(|peer| peer.has(key)) {
            return false;
        }
        if let Some(peer) = self.peers.remove(node) {
            peer.end();
        }
        true
    }

    /// Whether what comes on this connection counts: it belongs to a link that this node has not hung up.
    pub(crate) fn accepts(&self, node: &NodeId, key: ConnectionKey) -> bool {
        self.peers.get(node).is_some_and(|peer| !peer.hung_up && peer.has(key))
    }

    /// Where to send to a peer.
    pub(crate) fn outbound(&self, node: &NodeId) -> Option<&Arc<Outbound<S>>> {
        self.peers.get(node).filter(|peer| !peer.hung_up).map(|peer| &peer.pinned.outbound)
    }

    /// Ends the link to a peer once what is queued is delivered.
    pub(crate) fn hang_up(&mut self, node: &NodeId) {
        if let Some(peer) = self.peers.get_mut(node) {
            peer.hung_up = true;
            peer.pinned.outbound.hang_up();
            if let Some(second) = &peer.second {
                second.outbound.hang_up();
            }
        }
    }

    /// Every peer that a link is up to, or being hung up.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&NodeId, &Arc<Outbound<S>>)> {
        self.peers.iter().map(|(node, peer)| (node, &peer.pinned.outbound))
    }

    /// Links, those that are being hung up among them.
    pub(crate) fn len(&self) -> usize {
        self.peers.len()
    }
}

impl<S: Io> Peer<S> {
    fn has(&self, key: ConnectionKey) -> bool {
        self.pinned.key == key || self.second.as_ref().is_some_and(|second| second.key == key)
    }

    /// Ends what is left of a link that counts no more.
    fn end(self) {
        for connection in [Some(self.pinned), self.second].into_iter().flatten() {
            connection.outbound.fail(LinkEnd::Replaced);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::io::Cursor;

    use super::*;

    type Memory = Cursor<Vec<u8>>;

    const NODE: NodeId = NodeId([1; 32]);
    const DIALLED: bool = true;
    const ACCEPTED: bool = false;

    fn up(peers: &mut Peers<Memory>, key: u64, dialer: bool, now: Instant) -> (Change, Arc<Outbound<Memory>>) {
        let outbound = Arc::new(Outbound::new());
        (peers.connection_up(NODE, ConnectionKey(key), dialer, Arc::clone(&outbound), now), outbound)
    }

    #[test]
    fn two_ends_that_dial_at_once_share_one_link() {
        let now = Instant::now();
        let mut peers = Peers::new();
        let (change, first) = up(&mut peers, 1, DIALLED, now);
        assert_eq!(change, Change::Up);
        assert_eq!(up(&mut peers, 2, ACCEPTED, now).0, Change::None);
        assert!(peers.accepts(&NODE, ConnectionKey(1)) && peers.accepts(&NODE, ConnectionKey(2)));
        assert!(Arc::ptr_eq(peers.outbound(&NODE).expect("a link"), &first));
        // Either end takes the whole link down, once.
        assert!(peers.connection_down(&NODE, ConnectionKey(2)));
        assert!(!peers.connection_down(&NODE, ConnectionKey(1)));
        assert!(first.is_closing());
    }

    #[test]
    fn a_peer_that_dials_again_has_lost_its_first_connection() {
        let now = Instant::now();
        let mut peers = Peers::new();
        let (_, first) = up(&mut peers, 1, ACCEPTED, now);
        let (change, second) = up(&mut peers, 2, ACCEPTED, now);
        assert_eq!(change, Change::DownUp);
        assert!(first.is_closing() && !second.is_closing());
        assert!(!peers.accepts(&NODE, ConnectionKey(1)));
        assert!(!peers.connection_down(&NODE, ConnectionKey(1)), "the old connection's end is no news");
    }

    #[test]
    fn long_after_the_first_connection_a_second_is_not_simultaneous() {
        let now = Instant::now();
        let mut peers = Peers::new();
        up(&mut peers, 1, DIALLED, now);
        assert_eq!(up(&mut peers, 2, ACCEPTED, now + SIMULTANEOUS_DIAL_MAX).0, Change::DownUp);
    }

    #[test]
    fn a_link_that_was_hung_up_is_silent_and_can_be_replaced() {
        let now = Instant::now();
        let mut peers = Peers::new();
        let (_, first) = up(&mut peers, 1, DIALLED, now);
        peers.hang_up(&NODE);
        assert!(first.is_hung_up());
        assert!(peers.outbound(&NODE).is_none() && !peers.accepts(&NODE, ConnectionKey(1)));
        assert_eq!(up(&mut peers, 2, ACCEPTED, now).0, Change::DownUp);
        assert!(peers.accepts(&NODE, ConnectionKey(2)));
    }
}
