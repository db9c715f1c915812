//! Chains of links as the specification describes them, made without any check: what no honest program would make.

use sha2::{Digest, Sha256};
use treehouse_invite::{HolderKey, Policy, Role, Terms};
use treehouse_tests::fuzz::people::{FOUNDER, Person, SALT, START, room};
use treehouse_wire::{Blob, Contact, Domain, LinkTag, NodeId, RoomId, Signature, Signed, UnixSeconds, encode};

/// A link and who signs it, for which room.
pub struct Link {
    pub terms: Terms,
    pub holder: HolderKey,
    pub signer: Person,
    pub room: RoomId,
}

/// A chain and what travels beside it.
pub struct Forge {
    pub salt: [u8; 16],
    /// As the chain says; its first link is signed for [`Policy::Social`].
    pub policy: Policy,
    pub links: Vec<Link>,
    pub seed: Option<[u8; 32]>,
}

/// A day for speakers, ten uses, and so many further links.
pub fn terms(depth: u8) -> Terms {
    Terms {
        role: Role::Speaker,
        not_before: UnixSeconds(START),
        expires: UnixSeconds(START + 86_400),
        uses: Some(10),
        depth,
    }
}

/// A good chain: the founder's link to person 31, hers to 32, and so on, each a bearer and one link less deep.
pub fn chain(len: u8) -> Forge {
    let link = |n: u8| Link {
        terms: terms(3 - n),
        holder: HolderKey::Bearer(Person(31 + n).key()),
        signer: if n == 0 { FOUNDER } else { Person(30 + n) },
        room: room(),
    };
    Forge {
        salt: SALT,
        policy: Policy::Social,
        links: (0..len).map(link).collect(),
        seed: Some(Person(30 + len).seed()),
    }
}

impl Forge {
    /// The same after a change.
    pub fn with(mut self, change: impl FnOnce(&mut Forge)) -> Forge {
        change(&mut self);
        self
    }

    fn signed(&self) -> (Vec<Signed<64>>, [u8; 32]) {
        let (mut links, mut previous) = (Vec::new(), [0; 32]);
        previous[0] = Policy::Social as u8;
        for link in &self.links {
            let payload = encode(&(link.terms, link.holder));
            let signature = link.signer.sign(Domain::InviteLink, &link.room, &[previous.as_slice(), &payload].concat());
            let signed = Signed { payload: Blob::truncated(payload), signature };
            previous = Sha256::digest(encode(&signed)).into();
            links.push(signed);
        }
        (links, previous)
    }

    /// The tag of its last link, under which the host revokes it.
    pub fn tag(&self) -> LinkTag {
        LinkTag::of(&self.signed().1)
    }

    /// The chain as it is shown.
    pub fn chain(&self) -> Vec<u8> {
        encode(&(FOUNDER.node(), self.salt, self.policy, self.signed().0))
    }

    /// The body of an invite.
    pub fn body(&self) -> Vec<u8> {
        let nowhere: Vec<Contact> = Vec::new();
        [self.chain(), encode(&(self.seed, nowhere))].concat()
    }

    /// That `holder` redeems it as `redeemer` at `host`.
    pub fn proof(&self, holder: Person, redeemer: &NodeId, host: &NodeId) -> Signature {
        let payload = [self.signed().1.as_slice(), &redeemer.0, &host.0].concat();
        holder.sign(Domain::Redemption, &room(), &payload)
    }
}
