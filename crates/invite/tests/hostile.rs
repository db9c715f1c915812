//! Whatever arrives: nothing panics, and what is accepted is written the same way.

mod support;

use proptest::prelude::*;
use support::*;
use treehouse_invite::{
    Assembly, Certificate, Charter, HolderKey, Invite, InviteError, Role, RoomState, Stage, StateList, Terms,
    check_redemption,
};
use treehouse_wire::{Blob, Shipped, Signature, UnixSeconds, control::Statement};

fn any_terms() -> impl Strategy<Value = Terms> {
    let role = prop::sample::select(vec![Role::Listener, Role::Speaker, Role::Moderator, Role::Host]);
    let uses = prop::option::of(1u32..20);
    (role, START..START + 100, START + 100..START + 200, uses, 0u8..5).prop_map(
        |(role, not_before, expires, uses, depth)| Terms {
            role,
            not_before: UnixSeconds(not_before),
            expires: UnixSeconds(expires),
            uses,
            depth,
        },
    )
}

/// Whether `child` is nowhere wider than `parent`, said another way than the crate says it.
fn is_narrower(parent: &Terms, child: &Terms) -> bool {
    child.role <= parent.role
        && child.not_before >= parent.not_before
        && child.expires <= parent.expires
        && child.uses.unwrap_or(u32::MAX) <= parent.uses.unwrap_or(u32::MAX)
        && child.depth < parent.depth
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_chain_verifies_exactly_if_each_link_is_narrower(all in prop::collection::vec(any_terms(), 1..=4)) {
        let mut forge = Forge::chain(all.len() as u8);
        for (link, terms) in forge.links.iter_mut().zip(&all) {
            link.terms = *terms;
        }
        let invite = forge.parse().unwrap();
        let good = all.windows(2).all(|pair| is_narrower(&pair[0], &pair[1]));
        let verified = invite.verify(&Shipped, UnixSeconds(START + 100 - 1));
        let last = all.last().unwrap();
        match verified {
            Ok(grant) => prop_assert!(good && grant.role == last.role && grant.expires == last.expires),
            Err(InviteError::Widened { link, .. }) => {
                prop_assert!(!good);
                prop_assert!(!is_narrower(&all[link - 2], &all[link - 1]));
            }
            Err(other) => prop_assert!(false, "{other}"),
        }
    }

    #[test]
    fn narrowing_offline_makes_what_verifies(first in any_terms(), second in any_terms()) {
        let invite = issue(first, Person(20).bearer());
        match invite.narrow(&Shipped, None, second, BOB.bound()) {
            Ok(narrowed) => {
                prop_assert!(is_narrower(&first, &second));
                let parsed = Invite::parse(&narrowed.to_string()).unwrap();
                prop_assert_eq!(&parsed, &narrowed);
                prop_assert!(parsed.verify(&Shipped, UnixSeconds(START + 99)).is_ok());
            }
            Err(InviteError::Widened { link: 2, .. }) => prop_assert!(!is_narrower(&first, &second)),
            Err(other) => prop_assert!(false, "{other}"),
        }
    }

    #[test]
    fn random_texts_are_refused(text in "(TREEHOUSE:)?[A-Z2-7 \n=a-z\u{0}-\u{ff}]{0,300}") {
        prop_assert!(Invite::parse(&text).is_err());
    }

    #[test]
    fn bodies_with_a_fitting_checksum_are_refused_or_canonical(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
        tail in prop::collection::vec(any::<u8>(), 0..3),
        len in 1u8..=4,
    ) {
        let mut body = Forge { bootstrap: vec![contact(1), contact(2)], ..Forge::chain(len) }.body();
        for (at, byte) in edits {
            let at = at.index(body.len());
            body[at] = byte;
        }
        if let Some(cut) = cut {
            body.truncate(cut.index(body.len()));
        }
        body.extend(tail);
        let text = text_of(1, &body);
        if let Ok(invite) = Invite::parse(&text) {
            prop_assert_eq!(invite.to_string(), text);
            let _ = invite.verify(&Shipped, NOW);
        }
    }

    #[test]
    fn random_bytes_are_no_chain_stage_or_statement(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let (me, proof) = (FOUNDER.node(), Signature([1; 64]));
        prop_assert!(check_redemption(&Shipped, &room(), &me, &me, &me, &bytes, &proof, NOW).is_err());
        if let Ok(stage) = Stage::from_bytes(&bytes) {
            prop_assert_eq!(stage.to_bytes(), bytes.clone());
        }
        let statement = Statement { payload: Blob::truncated(bytes), signature: proof };
        prop_assert!(Charter::verify(&Shipped, &statement, &room()).is_err());
        prop_assert!(Certificate::verify(&Shipped, &statement, &room(), &me, NOW).is_err());
        prop_assert!(RoomState::verify(&Shipped, &statement, &room(), &me).is_err());
    }

    #[test]
    fn an_assembly_survives_any_pieces(
        pieces in prop::collection::vec((0u8..6, 0u8..6, prop::sample::select(vec![0usize, 1, 3799, 3800, 3801])), 0..12)
    ) {
        let mut assembly = Assembly::<Stage>::new([9; 32]);
        for (index, of, len) in pieces {
            // Nothing random hashes to nines.
            prop_assert!(!matches!(assembly.add([9; 32], index, of, &vec![0; len]), Ok(Some(_))));
        }
    }
}

#[test]
fn holders_with_keys_of_small_order_are_refused() {
    // Under a lax check the neutral point verifies a signature over anything; the strict one refuses it.
    let mut neutral = [0; 32];
    neutral[0] = 1;
    for key in [[0; 32], neutral, [0xff; 32]] {
        let mut forge = Forge::chain(2);
        forge.links[0].holder = HolderKey::Bearer(key);
        let refused = forge.parse().expect("well-formed").verify(&Shipped, NOW);
        assert_eq!(refused, Err(InviteError::BadSignature { link: 2 }));
    }
}
