//! Every bound of this crate, by name and with its reason.

use std::time::Duration;

/// Packets that wait in one lane towards one peer; the oldest is dropped beyond it.
///
/// Deadlines keep the queue near empty. What sizes it is the replay of two seconds that a subscription may ask for:
/// five voices at 50 packets a second over four lanes are 125 packets a lane, and they come at once.
pub const LANE_QUEUE_PACKETS_MAX: usize = 128;

/// Control messages that wait towards one peer; a peer that lets them pile up is hung up.
pub const CONTROL_QUEUE_MESSAGES_MAX: usize = 256;

/// Bytes of control messages that wait towards one peer; a peer that lets them pile up is hung up. It holds admission,
/// a whole stage list and a second of everything else several times over.
pub const CONTROL_QUEUE_BYTES_MAX: usize = 128 * 1024;

/// Events from all links that wait for the driver. A link that finds it full stops reading its peer, and links take
/// turns, so that a flood from one peer costs the others at most one place each.
pub const EVENTS_MAX: usize = 256;

/// Frames that a link takes from its peer at once before [`INBOUND_FRAMES_PER_S`] holds it back. Above what the room itself
/// allows, so that it is the room that notices a flood.
pub const INBOUND_FRAMES_BURST: u32 = 3_000;

/// Frames a second, messages and packets together, that a link takes from its peer; beyond it the peer is read no
/// faster. Twelve voices in both packetisations are 800; checking 1,200 signatures costs 5 % of a core.
pub const INBOUND_FRAMES_PER_S: u32 = 1_200;

/// Media substreams of one peer that are open towards this node and have not yet named their lane.
pub const UNNAMED_LANES_MAX: usize = 4;

/// How long a link that is hung up may take to deliver what was queued before.
pub const HANGUP_FLUSH_MAX: Duration = Duration::from_millis(500);

/// Dials under way at once, counted by peer; more fail at once.
pub const DIALS_MAX: usize = 64;

/// How long one address has to answer. The usual ten seconds would leave no time for a second attempt.
pub const ADDRESS_TIMEOUT: Duration = Duration::from_secs(4);

/// How long a dial may take over all addresses, whatever they do.
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(9);

/// Head start of QUIC addresses before TCP ones are dialled as well, as in RFC 8305 section 5.
pub const QUIC_HEAD_START: Duration = Duration::from_millis(250);

/// A QUIC connection on which nothing comes for this long is dead. It bounds how long a crash can stay unnoticed by
/// those who expect no audio over the link; those who do notice within the room's own 150 ms.
pub const QUIC_IDLE_TIMEOUT: Duration = Duration::from_secs(5);

/// QUIC keep-alive: two in a row may be lost before [`QUIC_IDLE_TIMEOUT`].
pub const QUIC_KEEP_ALIVE: Duration = Duration::from_millis(1_600);

/// How often a connection is pinged by libp2p. Each ping is a substream, so not more often than a dead TCP peer needs to
/// be noticed; over QUIC the idle timeout is quicker, and round trips are measured by the room's own pings.
pub const PING_INTERVAL: Duration = Duration::from_secs(10);

/// How long an answer to such a ping may take.
pub const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes in flight on one QUIC stream. More would be stale audio beyond the reach of the lane's own queue.
pub const QUIC_STREAM_BYTES_MAX: u32 = 8 * 1024;

/// Bytes in flight on one QUIC connection: all its streams.
pub const QUIC_CONNECTION_BYTES_MAX: u32 = 256 * 1024;

/// Substreams that a peer may have open on a connection: control, four lanes, and short-lived identify and ping.
pub const SUBSTREAMS_MAX: usize = 32;

/// Substreams whose protocol is being negotiated on a connection.
pub const NEGOTIATING_MAX: usize = 16;

/// Connections that are coming in and not yet authenticated.
pub const PENDING_INBOUND_MAX: u32 = 128;

/// The same from one address: others have places too.
pub const PENDING_INBOUND_PER_ADDRESS_MAX: u32 = 32;

/// Connections from one address that come in at once before [`INBOUND_INTERVAL_PER_ADDRESS`] holds them back: a school or a company
/// behind one address may join together.
pub const INBOUND_BURST_PER_ADDRESS: u32 = 200;

/// And one more after each of these: twenty a second.
pub const INBOUND_INTERVAL_PER_ADDRESS: Duration = Duration::from_millis(50);

/// Addresses whose connections are counted each for itself; more are counted together.
pub const INBOUND_ADDRESSES_MAX: usize = 1_024;

/// Connections of one peer: two, since both ends may dial each other at once.
pub const CONNECTIONS_PER_PEER_MAX: u32 = 2;

/// Connections of a node, at roughly 130 KiB each.
pub const CONNECTIONS_MAX: u32 = 1_024;

/// A second connection that the same peer dials this long after the first was up means that the peer has lost the first:
/// two ends that dial each other at once are never so far apart.
pub const SIMULTANEOUS_DIAL_MAX: Duration = Duration::from_secs(2);

/// Captured frames that wait for the driver: over a second. The newest is dropped beyond it.
pub const CAPTURED_MAX: usize = 64;

/// Commands of the user that wait for the driver.
pub const COMMANDS_MAX: usize = 16;

/// How often the room hears of dropped packets.
pub const DROPS_INTERVAL: Duration = Duration::from_millis(500);

/// Requests of the driver that wait for the swarm's task; a dial beyond it fails at once.
pub const SWARM_COMMANDS_MAX: usize = 128;

/// How long a new node waits until each of its listen addresses is bound.
pub const LISTEN_TIMEOUT: Duration = Duration::from_secs(3);

/// Events of the network that the driver takes in before it looks at everything else.
pub const NETWORK_BATCH_MAX: usize = 32;

/// Events for the program that wait to be taken; the oldest is dropped beyond it.
pub const EVENTS_OUT_MAX: usize = 512;

/// Uses of invites that wait to be kept; the room asks for no more at once.
pub const REDEMPTIONS_MAX: usize = 1024;
