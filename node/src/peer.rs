//! How a node's key is written for people: as the libp2p `PeerId` in base58.

use treehouse_wire::NodeId;

/// Multihash "identity" of 36 bytes, then the protobuf of an Ed25519 public key of 32 bytes (libp2p peer-ids
/// specification).
const ED25519_PREFIX: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];

/// The libp2p peer id of a node, such as `12D3KooW…`.
pub fn peer_id(node: &NodeId) -> String {
    let bytes: Vec<u8> = ED25519_PREFIX.iter().chain(&node.0).copied().collect();
    bs58::encode(bytes).into_string()
}

/// The last six characters of a peer id, which differ where the first ones never do.
pub fn short(peer: &str) -> &str {
    peer.char_indices().rev().nth(5).and_then(|(at, _)| peer.get(at..)).unwrap_or(peer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_id_is_the_one_of_the_libp2p_specification() {
        // The Ed25519 public key among the test vectors of the libp2p peer-ids specification.
        let key = *b"\x1e\xd1\xe8\xfa\xe2\xc4\xa1\x44\xb8\xbe\x8f\xd4\xb4\x7b\xf3\xd3\xb3\x4b\x87\x1c\x3c\xac\xf6\x01\x0f\x0e\x42\xd4\x74\xfc\xe2\x7e";
        assert_eq!(peer_id(&NodeId(key)), "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq");
    }

    #[test]
    fn the_short_form_is_the_end() {
        assert_eq!(short("12D3KooWabcdef"), "abcdef");
        assert_eq!(short("abc"), "abc");
        assert_eq!(short("ÄÖÜäöüß"), "ÖÜäöüß");
    }
}
