//! Payloads with a signature.
//!
//! What is signed is never the bare payload: a domain string comes first, so that a signature made for one kind of
//! statement cannot be shown as another, then the room, so that it cannot be shown in another room. The bytes that are
//! verified are the bytes that arrived; nothing is encoded again in between.

use core::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{codec::Blob, ids::RoomId, suite::Suite};

/// A signature, 64 bytes; Ed25519 in the shipped suite.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; 64]);

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({:02x}{:02x}..)", self.0[0], self.0[1])
    }
}

impl Serialize for Signature {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (a, b) = self.0.split_at(32);
        (<[u8; 32]>::try_from(a).unwrap_or_default(), <[u8; 32]>::try_from(b).unwrap_or_default()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Signature {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (a, b) = <([u8; 32], [u8; 32])>::deserialize(deserializer)?;
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&a);
        bytes[32..].copy_from_slice(&b);
        Ok(Signature(bytes))
    }
}

/// The kinds of statement that are signed, each with a domain string that carries its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// What a room is, signed by its founder.
    Charter,
    /// One link of an invite, signed by the holder of the link before.
    InviteLink,
    /// That a node redeems an invite, signed by the holder of its last link.
    Redemption,
    /// Admission of a node, signed by the host or by a hub.
    Certificate,
    /// That a hub may admit and place members, signed by the host.
    Lease,
    /// The head of the room state, signed by the host.
    RoomState,
    /// That a media key is a speaker's, signed by the speaker's identity.
    MediaKey,
    /// That whoever claims a media key has it, signed by the media key.
    MediaKeyHeld,
    /// A media packet, signed by its media key.
    Packet,
    /// That a neighbour has passed on a forgery, signed by the one that got it.
    Complaint,
    /// Which voices go down the tree and what of them has gone, signed by the host.
    Beacon,
    /// What a recording holds up to a mark in its proof, signed by the one that records.
    Recording,
}

impl Domain {
    /// The bytes that precede the room and the payload.
    pub const fn as_str(self) -> &'static str {
        match self {
            Domain::Charter => "treehouse/charter/1",
            Domain::InviteLink => "treehouse/invite-link/1",
            Domain::Redemption => "treehouse/redemption/1",
            Domain::Certificate => "treehouse/certificate/1",
            Domain::Lease => "treehouse/lease/1",
            Domain::RoomState => "treehouse/room-state/1",
            Domain::MediaKey => "treehouse/media-key/1",
            Domain::MediaKeyHeld => "treehouse/media-key-held/1",
            Domain::Packet => "treehouse/packet/1",
            Domain::Complaint => "treehouse/complaint/1",
            Domain::Beacon => "treehouse/beacon/1",
            Domain::Recording => "treehouse/recording/1",
        }
    }

    /// What is signed: one byte of length, the domain string, the room, the payload.
    pub fn message(self, room: &RoomId, payload: &[u8]) -> Vec<u8> {
        let domain = self.as_str().as_bytes();
        let mut message = Vec::with_capacity(1 + domain.len() + room.0.len() + payload.len());
        message.push(domain.len() as u8);
        message.extend_from_slice(domain);
        message.extend_from_slice(&room.0);
        message.extend_from_slice(payload);
        message
    }

    /// Signs a payload of this kind.
    pub fn sign<S: Suite>(self, suite: &S, signer: &S::Signer, room: &RoomId, payload: &[u8]) -> Signature {
        suite.sign(signer, &self.message(room, payload))
    }

    /// Whether `key` signed this payload as a statement of this kind in this room.
    pub fn verify<S: Suite>(
        self,
        suite: &S,
        key: &[u8; 32],
        room: &RoomId,
        payload: &[u8],
        signature: &Signature,
    ) -> bool {
        suite.verify(key, &self.message(room, payload), signature)
    }
}

/// A payload of at most `N` bytes and the signature over it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed<const N: usize> {
    /// The bytes that were signed, as they came.
    pub payload: Blob<N>,
    /// The signature over domain, room and payload.
    pub signature: Signature,
}
