//! How a node's key is written for people: as the libp2p `PeerId` in base58.

use treehouse_wire::NodeId;

/// The libp2p peer id of a node, such as `12D3KooW…`; its bytes in hexadecimal where they are no key.
pub fn peer_id(node: &NodeId) -> String {
    treehouse_net::peer_id(node).map_or_else(|| node.to_string(), |peer| peer.to_string())
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
        let mut key = [0; 32];
        let hex = "1ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e";
        for (byte, digits) in key.iter_mut().zip(hex.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(digits).expect("ascii"), 16).expect("hexadecimal");
        }
        assert_eq!(peer_id(&NodeId(key)), "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq");
    }

    #[test]
    fn the_short_form_is_the_end() {
        assert_eq!(short("12D3KooWabcdef"), "abcdef");
        assert_eq!(short("abc"), "abc");
        assert_eq!(short("ÄÖÜäöüß"), "ÖÜäöüß");
    }
}
