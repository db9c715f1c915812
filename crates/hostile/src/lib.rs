//! Nodes that do not keep to the protocol.
//!
//! A hostile node is a [`Room`](treehouse_room::Room) like any other, that knows all and is a member in good standing, and a [`Twist`]
//! between it and the network, which does something else than the room asks for. So it is placed, gets children and answers as an honest
//! node does, until it misbehaves. The twist knows neither sockets nor clocks: the simulator drives it in virtual time, and with the
//! feature `node` `run` drives it over libp2p.

mod behaviour;
#[cfg(feature = "node")]
mod node;

pub use behaviour::{Behaviour, Spell, Twist, forge};
#[cfg(feature = "node")]
pub use node::{Hostile, run};
