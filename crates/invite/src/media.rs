//! That a media key is a speaker's.
//!
//! A speaker signs its packets with a key of this session only, so that its identity key stays off the hot path and a
//! restarted speaker never seals two packets under one nonce. The identity signs the media key once, and the media key signs for
//! the identity when the hand goes up: else whoever has seen a key on the stage could claim it once its speaker has left.

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

    /// That whoever claims `key` for `node` has it: signed by the media key itself.
    pub fn prove<S: Suite>(suite: &S, media: &S::Signer, room: &RoomId, node: &NodeId) -> Signature {
        let key = MediaKey(suite.public_key(media));
        Domain::MediaKeyHeld.sign(suite, media, room, &payload(node, &key))
    }

    /// Whether `node` has this key, as `proof` shows, and claims it in this room.
    pub fn verify_held<S: Suite>(&self, suite: &S, room: &RoomId, node: &NodeId, proof: &Signature) -> bool {
        self.verify(suite, room, node)
            && Domain::MediaKeyHeld.verify(suite, &self.key.0, room, &payload(node, &self.key), proof)
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
