//! That a media key is a speaker's.
//!
//! A speaker signs its packets with a key of this session only, so that its identity key stays off the hot path and a
//! restarted speaker never seals two packets under one nonce. The identity signs the media key once.

use serde::{Deserialize, Serialize};
use treehouse_wire::{Domain, MediaKey, NodeId, RoomId, Signature, Suite};

/// A media key and its speaker's signature over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaClaim {
    /// The key that signs the voice's packets.
    pub key: MediaKey,
    /// By the speaker's identity, over the speaker's key and the media key.
    pub signature: Signature,
}

impl MediaClaim {
    /// Claims `key` for `node`, whose signing key `identity` is.
    pub fn sign<S: Suite>(suite: &S, identity: &S::Signer, room: &RoomId, node: &NodeId, key: MediaKey) -> MediaClaim {
        let signature = Domain::MediaKey.sign(suite, identity, room, &payload(node, &key));
        MediaClaim { key, signature }
    }

    /// Whether `node` claims this key in this room.
    pub fn verify<S: Suite>(&self, suite: &S, room: &RoomId, node: &NodeId) -> bool {
        Domain::MediaKey.verify(suite, &node.0, room, &payload(node, &self.key), &self.signature)
    }
}

fn payload(node: &NodeId, key: &MediaKey) -> [u8; 64] {
    let mut payload = [0; 64];
    payload[..32].copy_from_slice(&node.0);
    payload[32..].copy_from_slice(&key.0);
    payload
}
