//! Networks on loopback, and what tests say about them.

#![allow(dead_code, reason = "each test file uses its own part")]

pub mod hostile;

use std::{
    future::Future,
    time::{Duration, Instant},
};

use treehouse_net::{NetConfig, NetEvent, Network, parse_address};
use treehouse_wire::NodeId;

/// Long enough for a slow machine; no test waits this long unless it fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";
pub const TCP: &str = "/ip4/127.0.0.1/tcp/0";

/// A network on loopback whose key is made of `seed`.
pub async fn network(seed: u16, listen: &[&str]) -> Network {
    let addresses: Vec<_> = listen.iter().map(|text| parse_address(text).expect("an address")).collect();
    let config = NetConfig::listening_on(&addresses).expect("addresses");
    Network::start(seed_bytes(seed), &config).await.expect("loopback can be listened on")
}

pub fn seed_bytes(seed: u16) -> [u8; 32] {
    let mut bytes = [9; 32];
    bytes[..2].copy_from_slice(&seed.to_be_bytes());
    bytes
}

pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: nothing happened for {PATIENCE:?}"),
    }
}

/// The next event of a network, which must come.
pub async fn next(network: &mut Network) -> NetEvent {
    within("an event", network.next()).await.expect("the network runs")
}

/// Dials from one network to the other and waits until both have the link.
pub async fn link(from: &mut Network, to: &mut Network) {
    from.dial(to.node_id(), to.addresses().to_vec());
    assert_eq!(next(from).await, NetEvent::LinkUp(to.node_id()));
    assert_eq!(next(to).await, NetEvent::LinkUp(from.node_id()));
}

/// A deadline that no packet of a test misses.
pub fn later() -> Instant {
    Instant::now() + PATIENCE
}

pub fn forward(network: &Network, to: &[NodeId], lane: usize, packet: &[u8]) -> usize {
    network.forward(to, lane, packet, later(), Instant::now())
}
