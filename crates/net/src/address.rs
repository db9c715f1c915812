//! Between the wire's opaque addresses and keys and libp2p's own types.
//!
//! The rest of the program carries an [`Address`] as bytes and a node as its Ed25519 key; what these mean to libp2p is
//! known here alone. An address never carries a `/p2p` part: whom one expects there is a [`NodeId`] beside it.

use std::net::IpAddr;

use libp2p::{
    Multiaddr, PeerId,
    identity::{PublicKey, ed25519},
    multiaddr::Protocol,
};
use treehouse_wire::{Address, NodeId, limits::ADDRESSES_MAX};

/// Why a text or bytes are no address that a node can use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not a multiaddress at all.
    #[error("`{0}` is not a multiaddress; write for example /ip4/192.0.2.7/udp/4001/quic-v1")]
    NotMultiaddr(String),
    /// A multiaddress, but longer than the wire allows.
    #[error("the address `{0}` is too long")]
    TooLong(String),
}

/// Reads a multiaddress as people write it, such as `/ip4/192.0.2.7/udp/4001/quic-v1`. A `/p2p` part is left out.
///
/// # Errors
/// [`AddressError`] where it is none, or too long for the wire.
pub fn parse_address(text: &str) -> Result<Address, AddressError> {
    let multiaddr: Multiaddr = text.parse().map_err(|_| AddressError::NotMultiaddr(text.to_owned()))?;
    to_address(&multiaddr).ok_or_else(|| AddressError::TooLong(text.to_owned()))
}

/// An address as people read it; bytes that are no multiaddress are shown as such.
pub fn address_text(address: &Address) -> String {
    match to_multiaddr(address) {
        Some(multiaddr) => multiaddr.to_string(),
        None => format!("({} bytes that are no multiaddress)", address.len()),
    }
}

/// The multiaddress that these bytes are, if they are one.
pub(crate) fn to_multiaddr(address: &Address) -> Option<Multiaddr> {
    Multiaddr::try_from(address.to_vec()).ok().map(|multiaddr| without_peer(&multiaddr))
}

/// The wire's form of a multiaddress, if it is short enough.
pub(crate) fn to_address(multiaddr: &Multiaddr) -> Option<Address> {
    Address::new(without_peer(multiaddr).to_vec())
}

fn without_peer(multiaddr: &Multiaddr) -> Multiaddr {
    multiaddr.iter().filter(|part| !matches!(part, Protocol::P2p(_))).collect()
}

/// The Ed25519 key that a peer id is made of. Other kinds of key, and ids that hold only a hash of one, give `None`:
/// a node is its Ed25519 key.
pub fn node_id(peer: &PeerId) -> Option<NodeId> {
    const IDENTITY_MULTIHASH: u64 = 0x00;
    let hash = peer.as_ref();
    if hash.code() != IDENTITY_MULTIHASH {
        return None;
    }
    let key = PublicKey::try_decode_protobuf(hash.digest()).ok()?;
    Some(NodeId(key.try_into_ed25519().ok()?.to_bytes()))
}

/// The peer id of a node, unless its 32 bytes are no point of the curve.
pub fn peer_id(node: &NodeId) -> Option<PeerId> {
    let key = ed25519::PublicKey::try_from_bytes(&node.0).ok()?;
    Some(PublicKey::from(key).to_peer_id())
}

/// Whether an address is dialled over QUIC.
pub(crate) fn is_quic(multiaddr: &Multiaddr) -> bool {
    multiaddr.iter().any(|part| matches!(part, Protocol::QuicV1))
}

fn ip(multiaddr: &Multiaddr) -> Option<IpAddr> {
    match multiaddr.iter().next()? {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => Some(ip.into()),
        _ => None,
    }
}

/// Addresses to tell others, best first: what the user announces, then what this node listens on, public before
/// private, QUIC before TCP, IPv4 before IPv6. Loopback is told only where there is nothing else, or on request; an
/// IPv6 link-local address never, since it means nothing without a zone. At most [`ADDRESSES_MAX`].
pub(crate) fn tellable(announce: &[Multiaddr], listening: &[Multiaddr], tell_loopback: bool) -> Vec<Address> {
    let rank = |multiaddr: &Multiaddr| match ip(multiaddr) {
        None => 0,
        Some(ip) if ip.is_loopback() => 3,
        Some(ip) if is_private(ip) => 2,
        Some(_) => 1,
    };
    let mut usable: Vec<&Multiaddr> = listening.iter().filter(|a| !ip(a).is_some_and(is_unusable)).collect();
    if !tell_loopback && (!announce.is_empty() || usable.iter().any(|a| rank(a) < 3)) {
        usable.retain(|a| rank(a) < 3);
    }
    usable.sort_by_key(|a| (rank(a), !is_quic(a), ip(a).is_some_and(|ip| ip.is_ipv6())));
    let mut told: Vec<Address> = Vec::new();
    for address in announce.iter().chain(usable).filter_map(to_address) {
        if told.len() < ADDRESSES_MAX && !told.contains(&address) {
            told.push(address);
        }
    }
    told
}

fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            ip.is_private() || ip.is_link_local() || (ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64)
        }
        IpAddr::V6(ip) => ip.is_unique_local(),
    }
}

fn is_unusable(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_unspecified(),
        IpAddr::V6(ip) => ip.is_unspecified() || ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use libp2p::identity::Keypair;

    use super::*;

    fn multiaddrs(texts: &[&str]) -> Vec<Multiaddr> {
        texts.iter().map(|text| text.parse().expect("a multiaddress")).collect()
    }

    fn told(announce: &[&str], listening: &[&str], loopback: bool) -> Vec<String> {
        tellable(&multiaddrs(announce), &multiaddrs(listening), loopback).iter().map(address_text).collect()
    }

    #[test]
    fn a_node_is_its_ed25519_key_both_ways() {
        let keypair = Keypair::ed25519_from_bytes([7; 32]).expect("32 bytes");
        let peer = keypair.public().to_peer_id();
        let node = node_id(&peer).expect("an Ed25519 peer");
        assert_eq!(peer_id(&node), Some(peer));
    }

    #[test]
    fn peers_with_other_keys_are_no_nodes() {
        // An identity multihash of random bytes: no key at all.
        assert_eq!(node_id(&PeerId::random()), None);
        // A SHA-256 multihash, as RSA keys have.
        let rsa: PeerId = "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N".parse().expect("a peer id");
        assert_eq!(node_id(&rsa), None);
        // A secp256k1 key.
        let secp: PeerId = "16Uiu2HAmBkH6fEkXMAxgEUS1noD4qTm92SSQm4WkTQdKQRwGmKDZ".parse().expect("a peer id");
        assert_eq!(node_id(&secp), None);
    }

    #[test]
    fn bytes_that_are_no_point_have_no_peer_id() {
        let mut no_point = [0xff; 32];
        no_point[0] = 2;
        assert_eq!(peer_id(&NodeId(no_point)), None);
    }

    #[test]
    fn addresses_survive_the_wire_and_lose_their_peer() {
        let text = "/ip4/192.0.2.7/udp/4001/quic-v1";
        let address = parse_address(text).expect("an address");
        assert_eq!(address_text(&address), text);
        let with_peer = format!("{text}/p2p/{}", PeerId::random());
        assert_eq!(parse_address(&with_peer), Ok(address));
        assert!(parse_address("192.0.2.7:4001").is_err());
        let garbage = Address::new(vec![0xff; 9]).expect("short");
        assert_eq!(address_text(&garbage), "(9 bytes that are no multiaddress)");
    }

    #[test]
    fn others_hear_quic_first_and_no_loopback_where_there_is_better() {
        let listening = [
            "/ip4/127.0.0.1/tcp/9",
            "/ip4/10.0.0.2/tcp/9",
            "/ip6/fe80::1/udp/9/quic-v1",
            "/ip4/10.0.0.2/udp/9/quic-v1",
            "/ip4/203.0.113.5/tcp/9",
        ];
        assert_eq!(
            told(&[], &listening, false),
            ["/ip4/203.0.113.5/tcp/9", "/ip4/10.0.0.2/udp/9/quic-v1", "/ip4/10.0.0.2/tcp/9"]
        );
        assert_eq!(told(&["/dns4/example.org/udp/9/quic-v1"], &[listening[0]], false).len(), 1);
    }

    #[test]
    fn a_node_on_loopback_alone_tells_loopback() {
        let listening = ["/ip4/127.0.0.1/tcp/9", "/ip4/127.0.0.1/udp/9/quic-v1"];
        assert_eq!(told(&[], &listening, false), ["/ip4/127.0.0.1/udp/9/quic-v1", "/ip4/127.0.0.1/tcp/9"]);
    }

    #[test]
    fn no_more_addresses_are_told_than_the_wire_carries() {
        let listening: Vec<String> = (1..20).map(|i| format!("/ip4/10.0.0.{i}/tcp/9")).collect();
        let listening: Vec<&str> = listening.iter().map(String::as_str).collect();
        assert_eq!(told(&[], &listening, false).len(), ADDRESSES_MAX);
    }
}
