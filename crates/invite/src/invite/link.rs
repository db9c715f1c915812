//! One link of an invite: what it grants, to whom, and the signature over both.

use core::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use treehouse_wire::{
    Blob, DecodeError, Domain, NodeId, RoomId, Signature, Signed, Suite, UnixSeconds, decode, encode,
};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::error::{InviteError, Widening};
use crate::role::Role;

/// Largest signed payload of a link, in bytes.
pub const LINK_BYTES_MAX: usize = 64;

/// A link on the wire.
pub(super) type SignedLink = Signed<LINK_BYTES_MAX>;

/// What a link grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The highest role.
    pub role: Role,
    /// Not valid before this, give or take [`CLOCK_SKEW_SECONDS`](crate::CLOCK_SKEW_SECONDS).
    pub not_before: UnixSeconds,
    /// Not valid from this on, give or take the same.
    pub expires: UnixSeconds,
    /// How many may be admitted by it; unlimited where absent, never 0.
    pub uses: Option<u32>,
    /// How many further links may be put behind it.
    pub depth: u8,
}

impl Terms {
    /// Terms that some time and somebody can use.
    pub(super) fn is_usable(&self) -> bool {
        self.not_before < self.expires && self.uses != Some(0)
    }

    /// What these terms grant more of than `parent`, if anything.
    pub fn widening(&self, parent: &Terms) -> Option<Widening> {
        let more_uses = match (self.uses, parent.uses) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(own), Some(parent)) => own > parent,
        };
        [
            (self.role > parent.role, Widening::Role),
            (self.not_before < parent.not_before, Widening::NotBefore),
            (self.expires > parent.expires, Widening::Expires),
            (more_uses, Widening::Uses),
            (self.depth >= parent.depth, Widening::Depth),
        ]
        .into_iter()
        .find_map(|(wider, what)| wider.then_some(what))
    }
}

/// Whom a new link is made out to.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub enum Holder {
    /// A person, by key. The text holds no secret.
    Bound(#[zeroize(skip)] NodeId),
    /// Whoever has the text.
    Bearer {
        /// Seed of a throwaway signing key: 32 bytes from a secure source, used for this link only. It travels in the
        /// text and is wiped when dropped.
        seed: [u8; 32],
    },
}

impl Holder {
    /// The public part.
    pub(super) fn key<S: Suite>(&self, suite: &S) -> HolderKey {
        match self {
            Holder::Bound(node) => HolderKey::Bound(*node),
            Holder::Bearer { seed } => HolderKey::Bearer(suite.public_key(&suite.signer(seed))),
        }
    }
}

impl fmt::Debug for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Holder::Bound(node) => f.debug_tuple("Bound").field(node).finish(),
            Holder::Bearer { .. } => f.write_str("Bearer(..)"),
        }
    }
}

/// The key of a link's holder, which signs the next link or the proof of redemption.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HolderKey {
    /// A person's identity.
    Bound(NodeId),
    /// A throwaway key whose seed travels in the text.
    Bearer([u8; 32]),
}

impl HolderKey {
    /// The bytes of the public key.
    pub fn as_bytes(&self) -> &[u8; 32] {
        match self {
            HolderKey::Bound(node) => &node.0,
            HolderKey::Bearer(key) => key,
        }
    }
}

/// What is signed of a link, behind the hash of the link before.
#[derive(Serialize, Deserialize)]
struct LinkBody {
    terms: Terms,
    holder: HolderKey,
}

/// One link of an invite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// What it grants.
    pub terms: Terms,
    /// To whom.
    pub holder: HolderKey,
    wire: SignedLink,
    id: [u8; 32],
}

impl Link {
    /// Makes a link behind the one with the id `previous`; the first stands behind its room's policy.
    pub(super) fn sign<S: Suite>(
        suite: &S,
        signer: &S::Signer,
        room: &RoomId,
        previous: &[u8; 32],
        terms: Terms,
        holder: HolderKey,
    ) -> Link {
        let payload = encode(&LinkBody { terms, holder });
        let signature = Domain::InviteLink.sign(suite, signer, room, &signed_bytes(previous, &payload));
        Link::assemble(terms, holder, Signed { payload: Blob::truncated(payload), signature })
    }

    /// Reads a link; its signature is not looked at.
    pub(super) fn from_wire(wire: SignedLink) -> Result<Link, DecodeError> {
        let LinkBody { terms, holder } = decode(&wire.payload, LINK_BYTES_MAX)?;
        if terms.uses == Some(0) {
            return Err(DecodeError::OutOfRange("the number of uses"));
        }
        Ok(Link::assemble(terms, holder, wire))
    }

    fn assemble(terms: Terms, holder: HolderKey, wire: SignedLink) -> Link {
        let id = Sha256::digest(encode(&wire)).into();
        Link { terms, holder, wire, id }
    }

    /// The bytes as they travel.
    pub(super) fn wire(&self) -> &SignedLink {
        &self.wire
    }

    /// SHA-256 of the link as it travels, signature included. Uses are counted under it.
    pub fn id(&self) -> &[u8; 32] {
        &self.id
    }

    /// The signature by the holder of the link before, or by the founder.
    pub fn signature(&self) -> &Signature {
        &self.wire.signature
    }

    /// Whether `key` signed this link behind the one with the id `previous`.
    pub(super) fn is_signed_by<S: Suite>(&self, suite: &S, key: &[u8; 32], room: &RoomId, previous: &[u8; 32]) -> bool {
        let bytes = signed_bytes(previous, &self.wire.payload);
        Domain::InviteLink.verify(suite, key, room, &bytes, &self.wire.signature)
    }
}

fn signed_bytes(previous: &[u8; 32], payload: &[u8]) -> Vec<u8> {
    [previous.as_slice(), payload].concat()
}

/// The first link that grants more than the one before it is refused.
pub(super) fn check_narrowing<'a>(links: impl Iterator<Item = &'a Link> + Clone) -> Result<(), InviteError> {
    let pairs = links.clone().zip(links.skip(1));
    for (link, (parent, child)) in (2..).zip(pairs) {
        if let Some(what) = child.terms.widening(&parent.terms) {
            return Err(InviteError::Widened { link, what });
        }
    }
    Ok(())
}
