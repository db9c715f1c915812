//! Names of nodes, rooms and voices.

use core::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

macro_rules! bytes_id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub [u8; $len]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "("))?;
                self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))?;
                f.write_str(")")
            }
        }
    };
}

bytes_id!(
    /// A node: its Ed25519 public key, which is also the key of its libp2p `PeerId`.
    NodeId, 32
);
bytes_id!(
    /// The first four bytes of a [`NodeId`], as root paths carry them.
    NodeTag, 4
);
bytes_id!(
    /// A room: the hash of its founder's key and a salt.
    RoomId, 32
);
bytes_id!(
    /// A link of an invite: the first sixteen bytes of its id.
    LinkTag, 16
);
bytes_id!(
    /// The Ed25519 public key that signs the packets of one voice for one session of its speaker.
    MediaKey, 32
);
bytes_id!(
    /// A voice on the wire: the first eight bytes of the SHA-256 of its [`MediaKey`].
    VoiceId, 8
);

impl NodeId {
    /// The short form that root paths carry.
    pub fn tag(&self) -> NodeTag {
        NodeTag([self.0[0], self.0[1], self.0[2], self.0[3]])
    }
}

impl LinkTag {
    /// The short form of a link's id.
    pub fn of(id: &[u8; 32]) -> Self {
        let mut tag = [0; 16];
        tag.copy_from_slice(&id[..16]);
        LinkTag(tag)
    }
}

impl MediaKey {
    /// The eight bytes that name this key in each packet's header.
    pub fn voice(&self) -> VoiceId {
        let digest = Sha256::digest(self.0);
        let mut id = [0; 8];
        id.copy_from_slice(&digest[..8]);
        VoiceId(id)
    }
}

impl RoomId {
    /// The room that `founder` opened with `salt`: SHA-256 over a domain string, the key and the salt.
    pub fn derive(founder: &NodeId, salt: &[u8; 16]) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"treehouse/room/1");
        hash.update(founder.0);
        hash.update(salt);
        RoomId(hash.finalize().into())
    }
}
