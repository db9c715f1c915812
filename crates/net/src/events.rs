//! What reaches the driver from the network: one bounded queue for all links, the dials and the addresses.

use std::sync::Arc;

use bytes::Bytes;
use treehouse_wire::{Address, NodeId};

use crate::{end::LinkEnd, outbound::Outbound};

/// Names one connection for as long as this process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ConnectionKey(pub(crate) u64);

/// What reaches the driver.
#[derive(Debug)]
pub(crate) enum Event<S = libp2p::Stream> {
    /// From one connection's link.
    Link {
        /// Which connection.
        key: ConnectionKey,
        /// Its authenticated peer.
        peer: NodeId,
        /// What happened.
        event: LinkEvent<S>,
    },
    /// No address of a dial has worked.
    DialFailed {
        /// Whom the dial was for.
        peer: NodeId,
        /// Each address and why it failed.
        attempts: Vec<(Address, String)>,
    },
    /// The addresses that others may use have changed; all of them.
    Listening(Vec<Address>),
}

/// What one connection's link reports: [`LinkEvent::Up`] first, [`LinkEvent::Down`] last.
#[derive(Debug)]
pub(crate) enum LinkEvent<S = libp2p::Stream> {
    /// The control substream is usable.
    Up {
        /// This node has dialled.
        dialer: bool,
        /// The connection's sending side.
        outbound: Arc<Outbound<S>>,
    },
    /// One control message.
    Control(Bytes),
    /// One media packet.
    Media(Bytes),
    /// The link is over.
    Down(LinkEnd),
}
