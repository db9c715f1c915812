//! Invites: chains of signed links, each narrower than the one before.
//!
//! The founder signs the first link. Whoever a link is made out to, its *holder*, can put a narrower one behind it, or
//! redeem it: a holder is a person's key (*bound*), or a throwaway key whose seed travels in the text (*bearer*). A
//! redeemer shows the chain without the seed and a signature by the last holder over chain, redeemer and host, so that
//! watching a redemption teaches nothing that could be used again.

mod chain;
mod error;
mod link;
mod text;

use core::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use treehouse_wire::{
    Blob, Contact, Domain, List, NodeId, RoomId, Signature, Suite, UnixSeconds, encode, limits::INVITE_BYTES_MAX,
};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::charter::Founding;
use chain::{Chain, WireChain, chain_bytes, redemption, start_of};

pub use chain::{Grant, check_redemption};
pub use error::{InviteError, Widening};
pub use link::{Holder, HolderKey, LINK_BYTES_MAX, Link, Terms};
pub use text::{INVITE_TEXT_MAX, INVITE_VERSION};

/// Contacts that an invite names.
pub const BOOTSTRAP_MAX: usize = 4;

/// Seed of a bearer's key: wiped when dropped, never printed.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
struct Seed([u8; 32]);

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(..)")
    }
}

impl Serialize for Seed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Seed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <[u8; 32]>::deserialize(deserializer).map(Seed)
    }
}

/// An invite as it travels, between version and checksum.
#[derive(Serialize, Deserialize)]
struct WireInvite {
    chain: WireChain,
    seed: Option<Seed>,
    bootstrap: List<Contact, BOOTSTRAP_MAX>,
}

/// An invite: the chain, the seed of a bearer's key, and whom to ask first.
///
/// [`fmt::Display`] gives its text, which holds the secret of a bearer invite; [`fmt::Debug`] does not show it. Clones
/// share what they hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invite(Arc<Contents>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Contents {
    chain: Chain,
    seed: Option<Seed>,
    bootstrap: List<Contact, BOOTSTRAP_MAX>,
}

impl Invite {
    fn new(chain: Chain, seed: Option<Seed>, bootstrap: List<Contact, BOOTSTRAP_MAX>) -> Self {
        Invite(Arc::new(Contents { chain, seed, bootstrap }))
    }

    /// Issues a room's first link. Of `bootstrap` as much is kept as an invite has room for.
    ///
    /// # Errors
    /// [`InviteError::NotFounder`] where the signer is not the founder's, [`InviteError::NeverValid`] for empty terms.
    pub fn issue<S: Suite>(
        suite: &S,
        founder_signer: &S::Signer,
        founding: Founding,
        terms: Terms,
        holder: Holder,
        bootstrap: impl IntoIterator<Item = Contact>,
    ) -> Result<Invite, InviteError> {
        if suite.public_key(founder_signer) != founding.founder.0 {
            return Err(InviteError::NotFounder);
        }
        if !terms.is_usable() {
            return Err(InviteError::NeverValid);
        }
        let start = start_of(founding.policy);
        let link = Link::sign(suite, founder_signer, &founding.room(), &start, terms, holder.key(suite));
        Ok(Invite::new(Chain::new(founding, link), seed_of(&holder), List::default()).with_bootstrap(bootstrap))
    }

    /// Puts a narrower link behind the last one. It needs nobody: the seed of a bearer invite signs, or
    /// `holder_signer` where it is bound.
    ///
    /// # Errors
    /// [`InviteError::NotForYou`] where a bound invite's holder does not sign, [`InviteError::WrongSeed`] where a
    /// bearer invite's seed is not that of its last link, [`InviteError::Widened`] where the terms are not narrower,
    /// [`InviteError::NeverValid`] for empty terms, [`InviteError::TooManyLinks`].
    pub fn narrow<S: Suite>(
        &self,
        suite: &S,
        holder_signer: Option<&S::Signer>,
        terms: Terms,
        holder: Holder,
    ) -> Result<Invite, InviteError> {
        let last = self.0.chain.last();
        if let Some(what) = terms.widening(&last.terms) {
            return Err(InviteError::Widened { link: self.links().count() + 1, what });
        }
        if !terms.is_usable() {
            return Err(InviteError::NeverValid);
        }
        let signer = self.holder_signer(suite, holder_signer)?;
        let link = Link::sign(suite, &signer, &self.room(), last.id(), terms, holder.key(suite));
        let bootstrap = self.0.bootstrap.clone().into_vec();
        Ok(Invite::new(self.0.chain.with(link)?, seed_of(&holder), List::default()).with_bootstrap(bootstrap))
    }

    /// Reads an invite's text. Its signatures and its time are not looked at; see [`Invite::verify`].
    ///
    /// # Errors
    /// [`InviteError`], which says whether the text is none, altered, too new or malformed.
    pub fn parse(text: &str) -> Result<Invite, InviteError> {
        let WireInvite { chain, seed, bootstrap } = text::read(text)?;
        let chain = Chain::from_wire(chain)?;
        if seed.is_some() != matches!(chain.last().holder, HolderKey::Bearer(_)) {
            return Err(InviteError::WrongSeed);
        }
        Ok(Invite::new(chain, seed, bootstrap))
    }

    /// Checks the whole chain: each link narrows the one before and is signed by its holder, and it is valid now.
    ///
    /// # Errors
    /// [`InviteError`], which names the link.
    pub fn verify<S: Suite>(&self, suite: &S, now: UnixSeconds) -> Result<Grant, InviteError> {
        self.0.chain.check_terms(now)?;
        self.0.chain.check_signatures(suite)?;
        if self.0.seed.is_some() {
            self.holder_signer(suite, None)?;
        }
        Ok(self.0.chain.grant())
    }

    /// The room that it invites to.
    pub fn room(&self) -> RoomId {
        self.0.chain.room()
    }

    /// Who founded the room.
    pub fn founder(&self) -> &NodeId {
        &self.0.chain.founding.founder
    }

    /// What it says of the room: whose it is, and who may come.
    pub fn founding(&self) -> Founding {
        self.0.chain.founding
    }

    /// Who admits: the founder.
    pub fn host(&self) -> NodeId {
        self.0.chain.founding.founder
    }

    /// Whom to ask first, best first.
    pub fn bootstrap(&self) -> &[Contact] {
        &self.0.bootstrap
    }

    /// The links, the founder's first.
    pub fn links(&self) -> impl DoubleEndedIterator<Item = &Link> {
        self.0.chain.links()
    }

    /// Whom it is made out to.
    pub fn holder(&self) -> &HolderKey {
        &self.0.chain.last().holder
    }

    /// The invite with other contacts: the first [`BOOTSTRAP_MAX`] that have an address, and of their addresses as
    /// many as an invite has room for; the contact with most of them loses its last one first.
    pub fn with_bootstrap(mut self, contacts: impl IntoIterator<Item = Contact>) -> Invite {
        let mut contacts: Vec<Contact> =
            contacts.into_iter().filter(|contact| !contact.addresses.is_empty()).take(BOOTSTRAP_MAX).collect();
        loop {
            Arc::make_mut(&mut self.0).bootstrap = List::truncated(contacts.iter().cloned());
            if self.encoded_len() <= INVITE_BYTES_MAX {
                return self;
            }
            // The last of the longest, so that the best contact keeps its addresses longest.
            let Some(longest) = contacts.iter_mut().max_by_key(|contact| contact.addresses.len()) else { return self };
            let keep = longest.addresses.len().saturating_sub(1);
            longest.addresses = List::truncated(longest.addresses.iter().take(keep).cloned());
            contacts.retain(|contact| !contact.addresses.is_empty());
        }
    }

    /// What to send to `host` in order to be admitted as `redeemer`: the chain without the seed, and the proof.
    ///
    /// # Errors
    /// [`InviteError::NotForYou`] where it is bound to another key than that of `identity_seed`,
    /// [`InviteError::WrongSeed`] where its own seed is not that of its last link.
    pub fn redeem<S: Suite>(
        &self,
        suite: &S,
        identity_seed: &[u8; 32],
        redeemer: &NodeId,
        host: &NodeId,
    ) -> Result<(Blob<INVITE_BYTES_MAX>, Signature), InviteError> {
        let signer = self.holder_signer(suite, Some(&suite.signer(identity_seed)))?;
        let last = self.0.chain.last();
        if matches!(last.holder, HolderKey::Bound(node) if node != *redeemer) {
            return Err(InviteError::NotForYou);
        }
        let proof = Domain::Redemption.sign(suite, &signer, &self.room(), &redemption(last.id(), redeemer, host));
        Ok((Blob::truncated(chain_bytes(&self.0.chain)), proof))
    }

    /// The last holder's signing key: from the seed that travels, or the one at hand where the invite is bound.
    fn holder_signer<S: Suite>(&self, suite: &S, own: Option<&S::Signer>) -> Result<S::Signer, InviteError> {
        let (signer, error) = match &self.0.seed {
            Some(seed) => (suite.signer(&seed.0), InviteError::WrongSeed),
            None => (own.cloned().ok_or(InviteError::NotForYou)?, InviteError::NotForYou),
        };
        if suite.public_key(&signer) == *self.holder().as_bytes() { Ok(signer) } else { Err(error) }
    }

    fn to_wire(&self) -> WireInvite {
        WireInvite { chain: self.0.chain.to_wire(), seed: self.0.seed.clone(), bootstrap: self.0.bootstrap.clone() }
    }

    fn encoded_len(&self) -> usize {
        text::FRAME_BYTES + encode(&self.to_wire()).len()
    }
}

impl fmt::Display for Invite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::write(&self.to_wire()))
    }
}

impl core::str::FromStr for Invite {
    type Err = InviteError;

    fn from_str(text: &str) -> Result<Self, InviteError> {
        Invite::parse(text)
    }
}

fn seed_of(holder: &Holder) -> Option<Seed> {
    match holder {
        Holder::Bound(_) => None,
        Holder::Bearer { seed } => Some(Seed(*seed)),
    }
}
