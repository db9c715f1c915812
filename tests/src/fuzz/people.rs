//! Somebody to sign and to be signed for: a founder, members, a liar, each by one byte of seed.
//!
//! The corpora name the same people, so that a seed's signatures hold in the target that reads it.

use std::sync::OnceLock;

use treehouse_wire::{Domain, MediaKey, NodeId, RoomId, Shipped, Suite, UnixSeconds};

/// Somebody, by one byte of seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Person(pub u8);

/// Founded the room and hosts it.
pub const FOUNDER: Person = Person(1);
/// A member.
pub const ALICE: Person = Person(2);
/// Another member, and a hub.
pub const BOB: Person = Person(3);
/// Somebody who has no right to anything.
pub const MALLORY: Person = Person(9);

/// The salt of the room.
pub const SALT: [u8; 16] = [0x5a; 16];
/// When invites and certificates begin to hold.
pub const START: u64 = 1_790_000_000;
/// The time at which the targets look at them.
pub const NOW: UnixSeconds = UnixSeconds(START + 3600);

impl Person {
    /// The seed of the key.
    #[must_use]
    pub fn seed(self) -> [u8; 32] {
        [self.0; 32]
    }

    /// The signing key.
    #[must_use]
    pub fn signer(self) -> <Shipped as Suite>::Signer {
        Shipped.signer(&self.seed())
    }

    /// The public key.
    #[must_use]
    pub fn key(self) -> [u8; 32] {
        static KEYS: [OnceLock<[u8; 32]>; 256] = [const { OnceLock::new() }; 256];
        *KEYS[usize::from(self.0)].get_or_init(|| Shipped.public_key(&self.signer()))
    }

    /// The same as the name of a node.
    #[must_use]
    pub fn node(self) -> NodeId {
        NodeId(self.key())
    }

    /// The same as the key of a voice.
    #[must_use]
    pub fn media_key(self) -> MediaKey {
        MediaKey(self.key())
    }

    /// A statement's signature over `payload`.
    #[must_use]
    pub fn sign(self, domain: Domain, room: &RoomId, payload: &[u8]) -> treehouse_wire::Signature {
        domain.sign(&Shipped, &self.signer(), room, payload)
    }
}

/// The room.
#[must_use]
pub fn room() -> RoomId {
    static ROOM: OnceLock<RoomId> = OnceLock::new();
    *ROOM.get_or_init(|| RoomId::derive(&FOUNDER.node(), &SALT))
}
