//! Invites, and what Alice shows the host to redeem one.

use treehouse_invite::{HolderKey, Policy, Role};
use treehouse_tests::fuzz::{
    parsers::{REDEEMED, REVOKED, framed},
    people::{ALICE, BOB, FOUNDER, MALLORY, NOW, Person},
};
use treehouse_wire::{NodeId, RoomId, UnixSeconds};

use crate::{
    Seed,
    forge::{Forge, chain, terms},
    seed,
};

fn redeemed(forge: &Forge, holder: Person, redeemer: &NodeId, host: &NodeId) -> Vec<u8> {
    [REDEEMED, &forge.proof(holder, redeemer, host).0, &forge.chain()].concat()
}

pub fn seeds() -> Vec<Seed> {
    [texts(), chains(), redemptions(), revocations()].into_iter().flatten().collect()
}

fn texts() -> Vec<Seed> {
    let good = framed(1, &chain(1).body());
    let altered: String = good.chars().enumerate().map(|(at, c)| if at == 40 && c != 'A' { 'A' } else { c }).collect();
    vec![
        seed("malformed-lower-case", good.replace('B', "b"), "Invite(BadCharacter { position: 59 })"),
        seed("malformed-cut-short", &good.as_bytes()[..good.len() - 1], "Invite(Cut)"),
        seed("malformed-mistyped", altered, "Invite(Checksum)"),
        seed("malformed-of-a-later-version", framed(2, &chain(1).body()), "Invite(UnsupportedVersion(2))"),
        seed(
            "malformed-too-long",
            [good.as_str(), &" ".repeat(2048)].concat(),
            "Invite(TooLong { len: 2380, max: 2048 })",
        ),
        seed("malformed-bytes-behind-it", [chain(1).body(), vec![0]].concat(), "Invite(Malformed(Trailing(1)))"),
        seed(
            "malformed-no-link",
            chain(0).with(|forge| forge.seed = None).body(),
            "Invite(Malformed(OutOfRange(\"the number of links\")))",
        ),
        seed(
            "malformed-no-use",
            chain(1).with(|forge| forge.links[0].terms.uses = Some(0)).body(),
            "Invite(Malformed(OutOfRange(\"the number of uses\")))",
        ),
    ]
}

fn chains() -> Vec<Seed> {
    let wider =
        |change: fn(&mut treehouse_invite::Terms)| chain(2).with(|forge| change(&mut forge.links[1].terms)).body();
    let both = |change: fn(&mut treehouse_invite::Terms)| {
        chain(2).with(|forge| forge.links.iter_mut().for_each(|link| change(&mut link.terms))).body()
    };
    vec![
        seed("widened-role", wider(|terms| terms.role = Role::Moderator), "Invite(Widened { link: 2, what: Role })"),
        seed("widened-start", wider(|terms| terms.not_before.0 -= 1), "Invite(Widened { link: 2, what: NotBefore })"),
        seed("widened-end", wider(|terms| terms.expires.0 += 1), "Invite(Widened { link: 2, what: Expires })"),
        seed("widened-uses", wider(|terms| terms.uses = None), "Invite(Widened { link: 2, what: Uses })"),
        seed("widened-depth", wider(|terms| terms.depth = 3), "Invite(Widened { link: 2, what: Depth })"),
        seed("expired", both(|terms| terms.expires = UnixSeconds(NOW.0 - 121)), "Invite(Expired { seconds_ago: 121 })"),
        seed(
            "expired-before-it-begins",
            both(|terms| terms.not_before = UnixSeconds(NOW.0 + 121)),
            "Invite(NotYetValid { in_seconds: 121 })",
        ),
        seed(
            "wrongly-bound-link-by-another",
            chain(3).with(|forge| forge.links[1].signer = MALLORY).body(),
            "Invite(BadSignature { link: 2 })",
        ),
        seed(
            "wrongly-bound-first-link-not-by-the-founder",
            chain(1).with(|forge| forge.links[0].signer = MALLORY).body(),
            "Invite(BadSignature { link: 1 })",
        ),
        seed(
            "wrongly-bound-link-of-another-room",
            chain(2).with(|forge| forge.links[1].room = RoomId([0; 32])).body(),
            "Invite(BadSignature { link: 2 })",
        ),
        seed(
            "wrongly-bound-holder-of-small-order",
            chain(2).with(|forge| forge.links[0].holder = HolderKey::Bearer([0; 32])).body(),
            "Invite(BadSignature { link: 2 })",
        ),
        seed(
            "wrongly-bound-secret-of-another-link",
            chain(2).with(|forge| forge.seed = Some(Person(31).seed())).body(),
            "Invite(WrongSeed)",
        ),
        seed(
            "wrongly-bound-to-another-policy",
            chain(1).with(|forge| forge.policy = Policy::Open).body(),
            "Invite(BadSignature { link: 1 })",
        ),
        seed("wrongly-bound-no-secret", chain(2).with(|forge| forge.seed = None).body(), "Invite(WrongSeed)"),
    ]
}

fn redemptions() -> Vec<Seed> {
    let (good, host, alice) = (chain(2), FOUNDER.node(), ALICE.node());
    let bound_to = |person: Person| chain(1).with(|forge| forge.links[0].holder = HolderKey::Bound(person.node()));
    let other_room = chain(1).with(|forge| forge.salt = [0; 16]);
    let out_of_date = chain(1).with(|forge| forge.links[0].terms.expires = UnixSeconds(NOW.0 - 120));
    let wide = chain(2).with(|forge| forge.links[1].terms = terms(3));
    vec![
        seed("redeemed", redeemed(&good, Person(32), &alice, &host), "Accepted"),
        seed("redeemed-by-the-one-it-is-bound-to", redeemed(&bound_to(ALICE), ALICE, &alice, &host), "Accepted"),
        seed("replayed-proof-of-another-redeemer", redeemed(&good, Person(32), &BOB.node(), &host), "Invite(BadProof)"),
        seed("replayed-proof-for-another-host", redeemed(&good, Person(32), &alice, &BOB.node()), "Invite(BadProof)"),
        seed(
            "wrongly-bound-proof-by-an-earlier-holder",
            redeemed(&good, Person(31), &alice, &host),
            "Invite(BadProof)",
        ),
        seed("wrongly-bound-to-another-redeemer", redeemed(&bound_to(BOB), BOB, &alice, &host), "Invite(NotForYou)"),
        seed("wrongly-bound-to-another-room", redeemed(&other_room, Person(31), &alice, &host), "Invite(OtherRoom)"),
        seed(
            "expired-when-it-is-redeemed",
            redeemed(&out_of_date, Person(31), &alice, &host),
            "Invite(Expired { seconds_ago: 120 })",
        ),
        seed(
            "widened-when-it-is-redeemed",
            redeemed(&wide, Person(32), &alice, &host),
            "Invite(Widened { link: 2, what: Depth })",
        ),
        seed("malformed-chain", [REDEEMED, &[0; 64], &good.chain()[..40]].concat(), "Invite(Malformed(Malformed))"),
    ]
}

fn revocations() -> Vec<Seed> {
    let (good, host, alice) = (chain(3), FOUNDER.node(), ALICE.node());
    let shown = |proof: Person, revoked: &Forge| {
        [REVOKED, &revoked.tag().0, &good.proof(proof, &alice, &host).0, &good.chain()].concat()
    };
    vec![
        seed("revoked", shown(Person(33), &good), "Revoked"),
        seed("revoked-first-link-of-three", shown(Person(33), &chain(1)), "Revoked"),
        seed("revoked-and-wrongly-bound", shown(Person(32), &good), "Invite(BadProof)"),
        seed("redeemed-beside-a-revoked-link", shown(Person(33), &chain(4)), "Accepted"),
    ]
}
