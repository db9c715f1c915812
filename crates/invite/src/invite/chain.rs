//! The chain of an invite: which room, and one to four links. It is what a redeemer shows to the host.

use serde::{Deserialize, Serialize};
use treehouse_wire::{
    DecodeError, Domain, Lineage, LinkTag, List, NodeId, RoomId, Signature, Suite, UnixSeconds, decode, encode,
    limits::{INVITE_BYTES_MAX, LINKS_MAX},
};

use super::{
    error::InviteError,
    link::{HolderKey, Link, SignedLink, check_narrowing},
};
use crate::{
    charter::Founding,
    role::{Policy, Role},
    statement::CLOCK_SKEW_SECONDS,
};

/// A chain as it travels.
#[derive(Serialize, Deserialize)]
pub(super) struct WireChain {
    founding: Founding,
    links: List<SignedLink, LINKS_MAX>,
}

/// What room it is, and links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chain {
    pub(super) founding: Founding,
    first: Link,
    rest: Vec<Link>,
}

/// What an invite that verifies grants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The highest role.
    pub role: Role,
    /// When it ends.
    pub expires: UnixSeconds,
    /// It is made out to one person.
    pub bound: bool,
    /// Id of the last link.
    pub chain: [u8; 32],
    /// Each counted link: its id and how many may be admitted by it. An admission uses up one of each.
    pub uses: Vec<([u8; 32], u32)>,
    /// The ids of all links, the founder's first: who shares a prefix was invited along the same way.
    pub path: Vec<[u8; 32]>,
}

impl Grant {
    /// The links as certificates carry them.
    pub fn lineage(&self) -> Lineage {
        List::truncated(self.path.iter().map(LinkTag::of))
    }
}

impl Chain {
    pub(super) fn new(founding: Founding, first: Link) -> Chain {
        Chain { founding, first, rest: Vec::new() }
    }

    pub(super) fn room(&self) -> RoomId {
        self.founding.room()
    }

    pub(super) fn links(&self) -> impl DoubleEndedIterator<Item = &Link> + Clone {
        core::iter::once(&self.first).chain(&self.rest)
    }

    pub(super) fn last(&self) -> &Link {
        self.rest.last().unwrap_or(&self.first)
    }

    /// The chain with a link behind it.
    pub(super) fn with(&self, link: Link) -> Result<Chain, InviteError> {
        if self.rest.len() + 1 >= LINKS_MAX {
            return Err(InviteError::TooManyLinks { max: LINKS_MAX });
        }
        let mut chain = self.clone();
        chain.rest.push(link);
        Ok(chain)
    }

    pub(super) fn to_wire(&self) -> WireChain {
        WireChain { founding: self.founding, links: List::truncated(self.links().map(|link| link.wire().clone())) }
    }

    pub(super) fn from_wire(wire: WireChain) -> Result<Chain, DecodeError> {
        let mut links = wire.links.into_vec().into_iter().map(Link::from_wire);
        let first = links.next().ok_or(DecodeError::OutOfRange("the number of links"))??;
        Ok(Chain { founding: wire.founding, first, rest: links.collect::<Result<_, _>>()? })
    }

    /// What costs no signature: each link narrows the one before, and the last is valid now, which all are then.
    pub(super) fn check_terms(&self, now: UnixSeconds) -> Result<(), InviteError> {
        check_narrowing(self.links())?;
        let terms = &self.last().terms;
        let starts = terms.not_before.0.saturating_sub(CLOCK_SKEW_SECONDS);
        if now.0 < starts {
            return Err(InviteError::NotYetValid { in_seconds: terms.not_before.0 - now.0 });
        }
        // Both ends give way by as much: an invite may be made, narrowed and shown by three clocks.
        match now.0.checked_sub(terms.expires.0) {
            Some(seconds_ago) if seconds_ago >= CLOCK_SKEW_SECONDS => Err(InviteError::Expired { seconds_ago }),
            _ => Ok(()),
        }
    }

    /// Each link is signed by the holder of the one before it, the first by the founder.
    pub(super) fn check_signatures<S: Suite>(&self, suite: &S) -> Result<(), InviteError> {
        let room = self.room();
        let start = start_of(self.founding.policy);
        let (mut key, mut previous) = (&self.founding.founder.0, &start);
        for (number, link) in (1..).zip(self.links()) {
            if !link.is_signed_by(suite, key, &room, previous) {
                return Err(InviteError::BadSignature { link: number });
            }
            (key, previous) = (link.holder.as_bytes(), link.id());
        }
        Ok(())
    }

    pub(super) fn grant(&self) -> Grant {
        let last = self.last();
        Grant {
            role: last.terms.role,
            expires: last.terms.expires,
            bound: matches!(last.holder, HolderKey::Bound(_)),
            chain: *last.id(),
            uses: self.links().filter_map(|link| Some((*link.id(), link.terms.uses?))).collect(),
            path: self.links().map(|link| *link.id()).collect(),
        }
    }
}

/// What the first link stands behind, in place of a link's id: the policy, so that the founder's signature is for it.
pub(super) fn start_of(policy: Policy) -> [u8; 32] {
    let mut start = [0; 32];
    start[0] = policy as u8;
    start
}

/// What the holder of the last link signs to redeem: the chain's hash, who redeems, at which host.
pub(super) fn redemption(chain: &[u8; 32], redeemer: &NodeId, host: &NodeId) -> Vec<u8> {
    [chain.as_slice(), &redeemer.0, &host.0].concat()
}

/// What a host checks before it admits `redeemer`, whose key the link has authenticated; cheap checks first.
///
/// # Errors
/// [`InviteError`]; [`InviteError::refusal`] is what to answer.
#[expect(clippy::too_many_arguments, reason = "each is one thing that the proof binds together")]
pub fn check_redemption<S: Suite>(
    suite: &S,
    room: &RoomId,
    founder: &NodeId,
    host: &NodeId,
    redeemer: &NodeId,
    chain: &[u8],
    proof: &Signature,
    now: UnixSeconds,
) -> Result<Grant, InviteError> {
    let chain = Chain::from_wire(decode(chain, INVITE_BYTES_MAX)?)?;
    if chain.founding.founder != *founder || chain.room() != *room {
        return Err(InviteError::OtherRoom);
    }
    let last = chain.last();
    if matches!(last.holder, HolderKey::Bound(node) if node != *redeemer) {
        return Err(InviteError::NotForYou);
    }
    chain.check_terms(now)?;
    chain.check_signatures(suite)?;
    let payload = redemption(last.id(), redeemer, host);
    if !Domain::Redemption.verify(suite, last.holder.as_bytes(), room, &payload, proof) {
        return Err(InviteError::BadProof);
    }
    Ok(chain.grant())
}

/// The bytes of a chain, as a redeemer shows them.
pub(super) fn chain_bytes(chain: &Chain) -> Vec<u8> {
    encode(&chain.to_wire())
}
