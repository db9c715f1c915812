//! People, terms, and a forge that makes chains which no honest program would make.

#![allow(dead_code, reason = "each test uses a part of it")]

use data_encoding::BASE32_NOPAD;
use sha2::{Digest, Sha256};
use treehouse_invite::{Founding, Holder, HolderKey, Invite, Policy, Role, Terms};
use treehouse_wire::{Blob, Contact, Domain, List, NodeId, RoomId, Shipped, Signed, Suite, UnixSeconds, encode};

/// Somebody, by one byte of seed.
#[derive(Clone, Copy)]
pub struct Person(pub u8);

pub const FOUNDER: Person = Person(1);
pub const ALICE: Person = Person(2);
pub const BOB: Person = Person(3);
pub const MALLORY: Person = Person(9);

impl Person {
    pub fn seed(self) -> [u8; 32] {
        [self.0; 32]
    }
    pub fn signer(self) -> <Shipped as Suite>::Signer {
        Shipped.signer(&self.seed())
    }
    pub fn key(self) -> [u8; 32] {
        Shipped.public_key(&self.signer())
    }
    pub fn node(self) -> NodeId {
        NodeId(self.key())
    }
    pub fn bound(self) -> Holder {
        Holder::Bound(self.node())
    }
    /// A bearer invite whose throwaway key is this one.
    pub fn bearer(self) -> Holder {
        Holder::Bearer { seed: self.seed() }
    }
}

pub const SALT: [u8; 16] = [0x5a; 16];
pub const START: u64 = 1_790_000_000;
pub const NOW: UnixSeconds = UnixSeconds(START + 3600);

pub fn room() -> RoomId {
    RoomId::derive(&FOUNDER.node(), &SALT)
}

/// A day for speakers, ten uses, three further links.
pub fn terms() -> Terms {
    Terms {
        role: Role::Speaker,
        not_before: UnixSeconds(START),
        expires: UnixSeconds(START + 86_400),
        uses: Some(10),
        depth: 3,
    }
}

/// The same with `less` fewer further links.
pub fn narrower(less: u8) -> Terms {
    Terms { depth: 3 - less, ..terms() }
}

pub fn contact(last: u8) -> Contact {
    let address = List::truncated([4, 127, 0, 0, last, 0x91, 2, 0x0f, 0xa1, 0xcd, 3]);
    Contact { node: FOUNDER.node(), addresses: List::truncated([address]) }
}

/// What invites say of the room of these tests.
pub fn founding() -> Founding {
    Founding { founder: FOUNDER.node(), salt: SALT, policy: Policy::Social }
}

pub fn issue(terms: Terms, holder: Holder) -> Invite {
    Invite::issue(&Shipped, &FOUNDER.signer(), founding(), terms, holder, [contact(1)]).expect("an invite")
}

/// Four links: to Alice, from her to a bearer, from the bearer to Bob, from Bob to another bearer.
pub fn four_links() -> Invite {
    let to_alice = issue(terms(), ALICE.bound());
    let to_anyone = to_alice.narrow(&Shipped, Some(&ALICE.signer()), narrower(1), Person(20).bearer()).expect("a link");
    let to_bob = to_anyone.narrow(&Shipped, None, narrower(2), BOB.bound()).expect("a link");
    to_bob.narrow(&Shipped, Some(&BOB.signer()), narrower(3), Person(21).bearer()).expect("a link")
}

/// A link as the specification describes it, made without any check.
#[derive(Clone)]
pub struct ForgedLink {
    pub terms: Terms,
    pub holder: HolderKey,
    pub signer: Person,
    pub domain: Domain,
    pub room: RoomId,
    /// Signed behind this hash instead of the link before.
    pub previous: Option<[u8; 32]>,
}

/// A chain as the specification describes it.
#[derive(Clone)]
pub struct Forge {
    pub founding: Founding,
    /// The policy that the first link is signed for.
    pub signed_for: Policy,
    pub links: Vec<ForgedLink>,
    pub seed: Option<[u8; 32]>,
    pub bootstrap: Vec<Contact>,
}

impl Forge {
    /// A good chain that ends at a bearer: the founder's to person 31, hers to 32, and so on, each one link less deep.
    pub fn chain(len: u8) -> Forge {
        let link = |n: u8| ForgedLink {
            terms: narrower(n),
            holder: HolderKey::Bearer(Person(31 + n).key()),
            signer: if n == 0 { FOUNDER } else { Person(30 + n) },
            domain: Domain::InviteLink,
            room: room(),
            previous: None,
        };
        Forge {
            founding: founding(),
            signed_for: Policy::Social,
            links: (0..len).map(link).collect(),
            seed: Some(Person(30 + len).seed()),
            bootstrap: vec![],
        }
    }

    /// The links as they travel.
    pub fn signed_links(&self) -> Vec<Signed<64>> {
        let mut previous = [0; 32];
        previous[0] = self.signed_for as u8;
        self.links
            .iter()
            .map(|link| {
                let payload = encode(&(link.terms, link.holder));
                let bytes = [link.previous.unwrap_or(previous).as_slice(), &payload].concat();
                let signature = link.domain.sign(&Shipped, &link.signer.signer(), &link.room, &bytes);
                let signed = Signed { payload: Blob::truncated(payload), signature };
                previous = Sha256::digest(encode(&signed)).into();
                signed
            })
            .collect()
    }

    pub fn chain_bytes(&self) -> Vec<u8> {
        encode(&(self.founding, self.signed_links()))
    }

    pub fn body(&self) -> Vec<u8> {
        [self.chain_bytes(), encode(&(self.seed, &self.bootstrap))].concat()
    }

    pub fn text(&self) -> String {
        text_of(1, &self.body())
    }

    pub fn parse(&self) -> Result<Invite, treehouse_invite::InviteError> {
        Invite::parse(&self.text())
    }
}

/// Version, body and the checksum that fits, as text.
pub fn text_of(version: u8, body: &[u8]) -> String {
    let mut bytes = [&[version], body].concat();
    let checksum = Sha256::digest(&bytes);
    bytes.extend_from_slice(&checksum[..4]);
    format!("TREEHOUSE:{}", BASE32_NOPAD.encode(&bytes))
}
