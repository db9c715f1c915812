//! Drives a Room over libp2p.
//!
//! A link is one or two libp2p connections to a peer, over QUIC or over TCP with Noise and Yamux. On each connection:
//!
//! * **One control substream**, `/treehouse/control/1`, opened by the dialer and used both ways: u16 big-endian length,
//!   message, [`CONTROL_BYTES_MAX`](treehouse_wire::limits::CONTROL_BYTES_MAX) at most. The link is up once it is
//!   there, and over once either side ends it.
//! * **Media lanes**, `/treehouse/media/1`, opened by the sender of packets when the first one comes: the lane's number in
//!   one byte, then u16 big-endian length and packet,
//!   [`PACKET_BYTES_MAX`](treehouse_wire::limits::PACKET_BYTES_MAX) at most. The receiver writes nothing on it. At most
//!   one substream is open for a lane and direction.
//!
//! How a packet travels: a link's task reads it and puts it into the one bounded queue of the node; the driver's task
//! hands it to the room, which says whom to forward it to; the driver writes it straight to the lanes of those peers.
//! Only a lane whose transport has no room queues it, drops what is too late, and is written on by its link's task.
//!
//! ```text
//!  substreams -> link task -> queue -> driver (owns the room) -> lanes of the children
//!                    ^                                              | no room
//!                    +------------ writes when there is room <------+
//! ```
//!
//! What it never does: wait for a peer, queue without a bound, or let one peer's traffic hold up another's.

mod address;
mod behaviour;
mod config;
mod dial;
mod driver;
mod end;
mod events;
mod frame;
mod gate;
mod handle;
mod handler;
mod ledger;
pub mod limits;
mod link;
mod network;
mod outbound;
mod peers;
mod queue;
mod reason;
mod swarm;
mod throttle;
mod wake;

pub use address::{AddressError, address_text, node_id, parse_address, peer_id};
pub use config::{NetConfig, NetError};
pub use end::LinkEnd;
pub use handle::{Captured, CapturedSender, Endpoint, Handle, Stats, start};
pub use ledger::{Ledger, LedgerError};
pub use libp2p::{Multiaddr, PeerId};
pub use network::{NetEvent, Network};
