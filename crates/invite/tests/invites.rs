//! Who may come in with an invite, and who may not.

mod support;

use support::*;
use treehouse_invite::{
    CLOCK_SKEW_SECONDS, Founding, Grant, Holder, HolderKey, Invite, InviteError, Policy, Role, Terms, Widening,
    check_redemption,
};
use treehouse_wire::{
    Blob, Domain, LinkTag, NodeId, RoomId, Shipped, Signature, UnixSeconds, control::Refusal, limits::LINKS_MAX,
};

/// What `who` sends to the founder, and what the founder answers.
fn redeem_as(invite: &Invite, who: Person, now: UnixSeconds) -> Result<Grant, InviteError> {
    let (chain, proof) = invite.redeem(&Shipped, &who.seed(), &who.node(), &FOUNDER.node())?;
    check(&chain, &proof, who, now)
}

fn check(chain: &[u8], proof: &Signature, redeemer: Person, now: UnixSeconds) -> Result<Grant, InviteError> {
    check_redemption(&Shipped, &room(), &FOUNDER.node(), &FOUNDER.node(), &redeemer.node(), chain, proof, now)
}

#[test]
fn alice_comes_in_with_an_invite_made_out_to_her() {
    let invite = Invite::parse(&issue(terms(), ALICE.bound()).to_string()).expect("a text");
    let grant = invite.verify(&Shipped, NOW).expect("a valid invite");
    assert_eq!(redeem_as(&invite, ALICE, NOW), Ok(grant.clone()));
    assert_eq!((grant.role, grant.expires), (Role::Speaker, terms().expires));
    let link = invite.links().next().expect("a link");
    assert_eq!(grant.lineage().to_vec(), [LinkTag::of(link.id())]);
    assert_eq!((grant.uses, grant.path), (vec![(*link.id(), 10)], vec![*link.id()]));
    assert_eq!((invite.room(), invite.host(), *invite.founder()), (room(), FOUNDER.node(), FOUNDER.node()));
    assert_eq!((invite.founding(), invite.bootstrap()), (founding(), &[contact(1)][..]));
    assert_eq!(invite.holder(), &HolderKey::Bound(ALICE.node()));
}

#[test]
fn nobody_else_comes_in_with_it() {
    let invite = issue(terms(), ALICE.bound());
    assert_eq!(redeem_as(&invite, BOB, NOW), Err(InviteError::NotForYou));
    // Alice's own proof, shown by Bob.
    let (chain, proof) = invite.redeem(&Shipped, &ALICE.seed(), &ALICE.node(), &FOUNDER.node()).expect("hers");
    assert_eq!(check(&chain, &proof, BOB, NOW), Err(InviteError::NotForYou));
    // Alice redeems in Bob's name.
    assert_eq!(invite.redeem(&Shipped, &ALICE.seed(), &BOB.node(), &FOUNDER.node()), Err(InviteError::NotForYou));
    // Bob signs a proof himself.
    let forged = proof_by(BOB, &invite, ALICE.node(), FOUNDER.node());
    assert_eq!(check(&chain, &forged, ALICE, NOW), Err(InviteError::BadProof));
}

fn proof_by(signer: Person, invite: &Invite, redeemer: NodeId, host: NodeId) -> Signature {
    let chain = invite.links().last().expect("a link").id();
    let payload = [&chain[..], &redeemer.0, &host.0].concat();
    Domain::Redemption.sign(&Shipped, &signer.signer(), &room(), &payload)
}

#[test]
fn whoever_has_a_bearer_invite_comes_in() {
    let invite = Invite::parse(&issue(terms(), Person(20).bearer()).to_string()).expect("a text");
    for who in [ALICE, BOB] {
        assert_eq!(redeem_as(&invite, who, NOW).map(|grant| grant.role), Ok(Role::Speaker));
    }
}

#[test]
fn watching_a_bearer_redemption_teaches_nothing() {
    let invite = issue(terms(), Person(20).bearer());
    let (chain, proof) = invite.redeem(&Shipped, &ALICE.seed(), &ALICE.node(), &FOUNDER.node()).expect("a proof");
    assert_eq!(check(&chain, &proof, MALLORY, NOW), Err(InviteError::BadProof), "shown again by another");
    let elsewhere = MALLORY.node();
    let at_another_host =
        check_redemption(&Shipped, &room(), &FOUNDER.node(), &elsewhere, &ALICE.node(), &chain, &proof, NOW);
    assert_eq!(at_another_host, Err(InviteError::BadProof), "shown again at another host");
    let own = proof_by(MALLORY, &invite, MALLORY.node(), FOUNDER.node());
    assert_eq!(check(&chain, &own, MALLORY, NOW), Err(InviteError::BadProof), "signed by another key");
    let seed = Person(20).seed();
    assert!(!chain.windows(32).any(|window| window == seed), "the seed is not sent");
}

#[test]
fn an_invite_travels_along_four_holders() {
    let invite = Invite::parse(&four_links().to_string()).expect("a text");
    assert_eq!(invite.links().count(), LINKS_MAX);
    let grant = redeem_as(&invite, MALLORY, NOW).expect("whoever holds the last link");
    assert_eq!(invite.verify(&Shipped, NOW), Ok(grant.clone()));
    let ids: Vec<[u8; 32]> = invite.links().map(|link| *link.id()).collect();
    assert_eq!(grant.path, ids);
    assert_eq!(grant.uses, ids.iter().map(|id| (*id, 10)).collect::<Vec<_>>(), "a use of each link is used up");
    let bob_to_alice = invite.narrow(&Shipped, None, narrower(3), ALICE.bound());
    assert!(matches!(bob_to_alice, Err(InviteError::Widened { link: 5, what: Widening::Depth })));
}

#[test]
fn links_without_a_number_of_uses_are_not_counted() {
    let free = Terms { uses: None, ..terms() };
    let counted = Terms { uses: Some(2), depth: 2, ..terms() };
    let invite = issue(free, ALICE.bound())
        .narrow(&Shipped, Some(&ALICE.signer()), counted, BOB.bound())
        .expect("a narrower link");
    let last = *invite.links().last().expect("a link").id();
    assert_eq!(redeem_as(&invite, BOB, NOW).map(|grant| grant.uses), Ok(vec![(last, 2)]));
}

/// Each way to widen `parent`, and its name.
fn widenings(parent: Terms) -> Vec<(Widening, Terms)> {
    let narrowed = Terms { depth: parent.depth.saturating_sub(1), ..parent };
    vec![
        (Widening::Role, Terms { role: Role::Moderator, ..narrowed }),
        (Widening::NotBefore, Terms { not_before: UnixSeconds(parent.not_before.0 - 1), ..narrowed }),
        (Widening::Expires, Terms { expires: UnixSeconds(parent.expires.0 + 1), ..narrowed }),
        (Widening::Uses, Terms { uses: parent.uses.map(|uses| uses + 1), ..narrowed }),
        (Widening::Uses, Terms { uses: None, ..narrowed }),
        (Widening::Depth, Terms { depth: parent.depth, ..narrowed }),
        (Widening::Depth, Terms { depth: u8::MAX, ..narrowed }),
    ]
}

#[test]
fn no_holder_can_make_a_wider_link() {
    for len in 1..LINKS_MAX as u8 {
        let invite = Forge::chain(len).parse().expect("a good chain");
        let parent = invite.links().last().expect("a link").terms;
        for (what, wider) in widenings(parent) {
            let made = invite.narrow(&Shipped, None, wider, BOB.bound());
            assert_eq!(made, Err(InviteError::Widened { link: usize::from(len) + 1, what }));
        }
    }
}

#[test]
fn a_widened_link_is_refused_wherever_it_stands() {
    for wide in 1..LINKS_MAX {
        for (what, wider) in widenings(narrower(wide as u8 - 1)) {
            let mut forge = Forge::chain(4);
            forge.links[wide].terms = wider;
            let invite = forge.parse().expect("well-formed");
            let refused = Err(InviteError::Widened { link: wide + 1, what });
            assert_eq!(invite.verify(&Shipped, NOW), refused);
            assert_eq!(redeem_as(&invite, BOB, NOW), refused);
        }
    }
}

#[test]
fn each_link_is_signed_by_the_holder_of_the_one_before() {
    for at in 0..LINKS_MAX {
        let refused = Err(InviteError::BadSignature { link: at + 1 });
        let forge = |change: &dyn Fn(&mut ForgedLink)| {
            let mut forge = Forge::chain(4);
            change(&mut forge.links[at]);
            forge.parse().expect("well-formed")
        };
        let by_another = forge(&|link| link.signer = MALLORY);
        let for_another_room = forge(&|link| link.room = RoomId([1; 32]));
        let as_another_kind = forge(&|link| link.domain = Domain::Redemption);
        let behind_another_link = forge(&|link| link.previous = Some([7; 32]));
        for invite in [by_another, for_another_room, as_another_kind, behind_another_link] {
            assert_eq!(invite.verify(&Shipped, NOW), refused);
            assert_eq!(redeem_as(&invite, BOB, NOW), refused);
        }
    }
}

#[test]
fn a_link_made_out_to_mallory_cannot_replace_one_in_the_middle() {
    // The founder invited Mallory and person 31; Mallory puts her own link where person 31's was.
    let mut forge = Forge::chain(3);
    forge.links[0].holder = HolderKey::Bearer(MALLORY.key());
    assert_eq!(forge.parse().expect("well-formed").verify(&Shipped, NOW), Err(InviteError::BadSignature { link: 2 }));
}

#[test]
fn an_invite_has_its_time() {
    let invite = issue(terms(), ALICE.bound());
    let at = |seconds| redeem_as(&invite, ALICE, UnixSeconds(seconds)).map(|grant| grant.role);
    let (start, end) = (START, START + 86_400);
    assert_eq!(at(start - CLOCK_SKEW_SECONDS), Ok(Role::Speaker), "clocks may differ a little");
    assert_eq!(
        at(start - CLOCK_SKEW_SECONDS - 1),
        Err(InviteError::NotYetValid { in_seconds: CLOCK_SKEW_SECONDS + 1 })
    );
    assert_eq!(at(end - 1), Ok(Role::Speaker));
    assert_eq!(at(end + CLOCK_SKEW_SECONDS - 1), Ok(Role::Speaker), "clocks may differ a little");
    let late = Err(InviteError::Expired { seconds_ago: CLOCK_SKEW_SECONDS });
    assert_eq!(at(end + CLOCK_SKEW_SECONDS), late);
    assert_eq!(at(end + 7200), Err(InviteError::Expired { seconds_ago: 7200 }));
    assert_eq!(at(u64::MAX), Err(InviteError::Expired { seconds_ago: u64::MAX - end }));
    assert_eq!(at(0), Err(InviteError::NotYetValid { in_seconds: start }));
    assert_eq!(invite.verify(&Shipped, UnixSeconds(end + CLOCK_SKEW_SECONDS)).map(|grant| grant.role), late);
    for (error, words) in [
        (InviteError::Expired { seconds_ago: 180 }, "3 minutes ago"),
        (InviteError::NotYetValid { in_seconds: 180 }, "in 3 minutes"),
    ] {
        let sentence = error.to_string();
        assert!(sentence.contains(words) && sentence.contains("check the clock"), "{sentence}");
    }
}

#[test]
fn terms_that_are_never_valid_are_not_issued() {
    let empty = Terms { expires: UnixSeconds(START), ..terms() };
    let no_uses = Terms { uses: Some(0), ..terms() };
    for terms in [empty, no_uses] {
        let issued = Invite::issue(&Shipped, &FOUNDER.signer(), founding(), terms, ALICE.bound(), []);
        assert_eq!(issued, Err(InviteError::NeverValid));
        let narrower = Terms { depth: 2, ..terms };
        let narrowed =
            issue(support::terms(), ALICE.bound()).narrow(&Shipped, Some(&ALICE.signer()), narrower, BOB.bound());
        assert_eq!(narrowed, Err(InviteError::NeverValid));
    }
}

#[test]
fn a_host_refuses_an_invite_to_another_room() {
    let founded_by = |founder: Person, salt| {
        let founding = Founding { founder: founder.node(), salt, policy: Policy::Social };
        Invite::issue(&Shipped, &founder.signer(), founding, terms(), ALICE.bound(), []).expect("an invite")
    };
    for other in [founded_by(FOUNDER, [1; 16]), founded_by(MALLORY, SALT)] {
        assert_eq!(other.verify(&Shipped, NOW).map(|grant| grant.role), Ok(Role::Speaker), "good in its own room");
        assert_eq!(redeem_as(&other, ALICE, NOW), Err(InviteError::OtherRoom));
    }
    // A chain that claims to be of this room but was signed for the other.
    let mut forge = Forge::chain(1);
    forge.links[0].room = RoomId::derive(&FOUNDER.node(), &[1; 16]);
    assert_eq!(forge.parse().expect("well-formed").verify(&Shipped, NOW), Err(InviteError::BadSignature { link: 1 }));
}

/// Who reads an invite sees who may come before joining, and nobody but the founder can say so.
#[test]
fn an_invite_says_who_may_come_and_the_founder_has_signed_it() {
    for policy in [Policy::Open, Policy::Social, Policy::Closed] {
        let founding = Founding { policy, ..founding() };
        let issued = Invite::issue(&Shipped, &FOUNDER.signer(), founding, terms(), ALICE.bearer(), []).expect("terms");
        let read = Invite::parse(&issued.to_string()).expect("a text");
        assert_eq!((read.founding(), read.verify(&Shipped, NOW).is_ok()), (founding, true));
        let narrowed = read.narrow(&Shipped, None, narrower(1), BOB.bound()).expect("a link");
        assert_eq!((narrowed.founding(), narrowed.verify(&Shipped, NOW).is_ok()), (founding, true));
        let mut forge = Forge::chain(2);
        forge.founding.policy = policy;
        let verified = forge.parse().expect("well-formed").verify(&Shipped, NOW);
        match policy {
            Policy::Social => assert!(verified.is_ok()),
            _ => assert_eq!(verified, Err(InviteError::BadSignature { link: 1 }), "{policy}"),
        }
    }
}

#[test]
fn only_the_founder_issues_and_only_the_holder_narrows() {
    let issued = Invite::issue(&Shipped, &MALLORY.signer(), founding(), terms(), ALICE.bound(), []);
    assert_eq!(issued, Err(InviteError::NotFounder));
    let invite = issue(terms(), ALICE.bound());
    assert_eq!(invite.narrow(&Shipped, None, narrower(1), BOB.bound()), Err(InviteError::NotForYou));
    assert_eq!(invite.narrow(&Shipped, Some(&MALLORY.signer()), narrower(1), BOB.bound()), Err(InviteError::NotForYou));
}

#[test]
fn a_bearer_invite_carries_the_seed_of_its_last_link_and_a_bound_one_none() {
    let mut other_seed = Forge::chain(2);
    other_seed.seed = Some([0x77; 32]);
    let invite = other_seed.parse().expect("well-formed");
    assert_eq!(invite.verify(&Shipped, NOW), Err(InviteError::WrongSeed));
    assert_eq!(redeem_as(&invite, BOB, NOW), Err(InviteError::WrongSeed));
    assert_eq!(invite.narrow(&Shipped, None, narrower(2), BOB.bound()), Err(InviteError::WrongSeed));
    let mut without = Forge::chain(2);
    without.seed = None;
    assert_eq!(without.parse(), Err(InviteError::WrongSeed));
    let mut bound_with_seed = Forge::chain(2);
    bound_with_seed.links[1].holder = HolderKey::Bound(BOB.node());
    assert_eq!(bound_with_seed.parse(), Err(InviteError::WrongSeed));
}

#[test]
fn a_proof_is_no_other_kind_of_signature() {
    let invite = issue(terms(), ALICE.bound());
    let (chain, _) = invite.redeem(&Shipped, &ALICE.seed(), &ALICE.node(), &FOUNDER.node()).expect("hers");
    let payload = [&invite.links().last().expect("a link").id()[..], &ALICE.node().0, &FOUNDER.node().0].concat();
    for domain in [Domain::InviteLink, Domain::MediaKey, Domain::Packet, Domain::Certificate, Domain::Charter] {
        let proof = domain.sign(&Shipped, &ALICE.signer(), &room(), &payload);
        assert_eq!(check(&chain, &proof, ALICE, NOW), Err(InviteError::BadProof));
    }
    let elsewhere = Domain::Redemption.sign(&Shipped, &ALICE.signer(), &RoomId([0; 32]), &payload);
    assert_eq!(check(&chain, &elsewhere, ALICE, NOW), Err(InviteError::BadProof));
}

#[test]
fn chains_that_are_cut_or_longer_than_they_say_are_refused() {
    let chain = Forge::chain(4).chain_bytes();
    let proof = Signature([0; 64]);
    assert_eq!(check(&chain, &proof, BOB, NOW), Err(InviteError::BadProof), "well-formed, but no proof");
    for len in 0..chain.len() {
        assert!(matches!(check(&chain[..len], &proof, BOB, NOW), Err(InviteError::Malformed(_))), "{len} bytes");
    }
    let longer = [chain.as_slice(), &[0]].concat();
    assert!(matches!(check(&longer, &proof, BOB, NOW), Err(InviteError::Malformed(_))));
    let empty = Forge { links: vec![], ..Forge::chain(1) }.chain_bytes();
    assert!(matches!(check(&empty, &proof, BOB, NOW), Err(InviteError::Malformed(_))));
    let five = Forge { links: [Forge::chain(4).links, Forge::chain(1).links].concat(), ..Forge::chain(1) };
    assert!(matches!(check(&five.chain_bytes(), &proof, BOB, NOW), Err(InviteError::Malformed(_))));
    let mut no_uses = Forge::chain(1);
    no_uses.links[0].terms.uses = Some(0);
    assert!(matches!(check(&no_uses.chain_bytes(), &proof, BOB, NOW), Err(InviteError::Malformed(_))));
}

#[test]
fn refusals_name_their_reason() {
    let cases = [
        (InviteError::OtherRoom, Refusal::OtherRoom),
        (InviteError::Expired { seconds_ago: 1 }, Refusal::Expired),
        (InviteError::NotYetValid { in_seconds: 1 }, Refusal::NotYetValid),
        (InviteError::BadProof, Refusal::Invalid),
    ];
    for (error, refusal) in cases {
        assert_eq!(error.refusal(), refusal);
    }
    let ago = |seconds_ago| InviteError::Expired { seconds_ago }.to_string();
    assert_eq!(ago(1), "the invite expired 1 second ago: ask for a new one, or check the clock");
    assert_eq!(ago(7200), "the invite expired 2 hours ago: ask for a new one, or check the clock");
    assert_eq!(ago(86_400 * 3), "the invite expired 3 days ago: ask for a new one, or check the clock");
}

#[test]
fn contacts_are_kept_as_far_as_there_is_room() {
    let long = |byte: u8| {
        let mut contact = contact(byte);
        contact.addresses = treehouse_wire::List::truncated(std::iter::repeat_n(Blob::truncated([byte; 128]), 6));
        contact
    };
    let invite = four_links().with_bootstrap([long(1), long(2), contact(3), long(4), contact(5)]);
    let parsed = Invite::parse(&invite.to_string()).expect("it fits");
    assert_eq!(parsed, invite);
    assert!(!parsed.bootstrap().is_empty() && parsed.bootstrap().len() <= 4);
    assert!(parsed.bootstrap().iter().all(|contact| !contact.addresses.is_empty()));
    assert_eq!(parsed.verify(&Shipped, NOW).map(|grant| grant.role), Ok(Role::Speaker));
    let narrowed = issue(terms(), Person(20).bearer())
        .with_bootstrap([long(1), long(2), long(3), long(4)])
        .narrow(&Shipped, None, narrower(1), Person(21).bearer())
        .expect("a link");
    assert_eq!(Invite::parse(&narrowed.to_string()), Ok(narrowed));
    let small = [contact(1), contact(2), contact(3), contact(4)];
    assert_eq!(four_links().with_bootstrap(small.clone()).bootstrap(), small, "four usual contacts fit any chain");
}

#[test]
fn secrets_are_not_printed_by_accident() {
    let seed = Person(20).seed();
    let holder = Holder::Bearer { seed };
    let invite = issue(terms(), holder.clone());
    for debug in [format!("{holder:?}"), format!("{invite:?}"), format!("{invite:#?}")] {
        assert!(!debug.contains("20, 20") && !debug.contains("1414"), "{debug}");
    }
}
