//! The text of an invite: whole, or refused.

mod support;

use support::*;
use treehouse_invite::{INVITE_TEXT_MAX, Invite, InviteError};
use treehouse_wire::DecodeError;

fn texts() -> Vec<String> {
    [issue(terms(), ALICE.bound()), issue(terms(), Person(20).bearer()), four_links()]
        .iter()
        .map(Invite::to_string)
        .collect()
}

#[test]
fn a_text_reads_back_as_the_same_invite_and_the_same_text() {
    for text in texts() {
        assert_eq!(Invite::parse(&text).expect("a text").to_string(), text);
        assert_eq!(text.parse::<Invite>(), Invite::parse(&text));
    }
    assert_eq!(four_links().to_string(), Forge { bootstrap: vec![contact(1)], ..forged_four_links() }.text());
}

/// The same chain as [`four_links`], made from the specification.
fn forged_four_links() -> Forge {
    use treehouse_invite::HolderKey::{Bearer, Bound};
    let holders = [Bound(ALICE.node()), Bearer(Person(20).key()), Bound(BOB.node()), Bearer(Person(21).key())];
    let signers = [FOUNDER, ALICE, Person(20), BOB];
    let mut forge = Forge::chain(4);
    for ((link, holder), signer) in forge.links.iter_mut().zip(holders).zip(signers) {
        (link.holder, link.signer) = (holder, signer);
    }
    forge.seed = Some(Person(21).seed());
    forge
}

#[test]
fn every_alteration_of_a_single_character_is_refused() {
    let strange = ['\0', '\u{a0}', '\u{2028}', 'É', 'ſ', '٣', '🎪'];
    for text in texts() {
        let characters: Vec<char> = text.chars().collect();
        for at in 0..characters.len() {
            for other in (1..128u8).map(char::from).chain(strange).filter(|other| *other != characters[at]) {
                let mut altered = characters.clone();
                altered[at] = other;
                let altered: String = altered.into_iter().collect();
                assert!(Invite::parse(&altered).is_err(), "character {at} altered to {other:?}");
            }
        }
    }
}

#[test]
fn every_cut_is_refused() {
    for text in texts() {
        for at in 0..text.len() {
            assert!(Invite::parse(&text[..at]).is_err(), "the first {at} characters");
            assert!(at == 0 || Invite::parse(&text[at..]).is_err(), "without the first {at} characters");
            let without = [&text[..at], &text[at + 1..]].concat();
            assert!(Invite::parse(&without).is_err(), "without character {at}");
        }
    }
}

#[test]
fn every_swap_and_every_doubling_is_refused() {
    for text in texts() {
        for at in 0..text.len() - 1 {
            let (a, b) = (&text[at..=at], &text[at + 1..at + 2]);
            let swapped = [&text[..at], b, a, &text[at + 2..]].concat();
            assert!(a == b || Invite::parse(&swapped).is_err(), "characters {at} and the next swapped");
            let doubled = [&text[..=at], a, &text[at + 1..]].concat();
            assert!(Invite::parse(&doubled).is_err(), "character {at} twice");
        }
    }
}

#[test]
fn white_space_of_a_paste_is_no_part_of_it() {
    for text in texts() {
        let invite = Invite::parse(&text);
        let wrapped: String =
            text.as_bytes().chunks(72).map(|line| format!("  {}\r\n", str::from_utf8(line).unwrap())).collect();
        assert_eq!(Invite::parse(&wrapped), invite);
        assert_eq!(Invite::parse(&format!("\n\t {text} \n")), invite);
        assert_eq!(Invite::parse(&text.replace("TREEHOUSE:", "TREEHOUSE: ")), invite);
    }
}

#[test]
fn lower_case_and_padding_are_refused() {
    for text in texts() {
        assert_eq!(Invite::parse(&text.to_lowercase()), Err(InviteError::NotAnInvite));
        let lower_digits = text.to_lowercase().replace("treehouse:", "TREEHOUSE:");
        assert!(matches!(Invite::parse(&lower_digits), Err(InviteError::BadCharacter { .. })));
        let padded = Invite::parse(&format!("{text}="));
        assert_eq!(padded, Err(InviteError::BadCharacter { position: text.len() + 1 }));
    }
}

#[test]
fn bits_that_fill_up_the_last_character_are_zero() {
    // Of each length of the last group: the value of the last character plus one has a bit that no byte holds.
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut seen = std::collections::BTreeSet::new();
    for len in 0..8 {
        let text = text_of(1, &vec![0; len]);
        let digits = text.len() - "TREEHOUSE:".len();
        if digits.is_multiple_of(8) {
            continue;
        }
        let last = alphabet.find(&text[text.len() - 1..]).expect("a digit");
        let altered = format!("{}{}", &text[..text.len() - 1], &alphabet[last + 1..last + 2]);
        assert_eq!(Invite::parse(&altered), Err(InviteError::Cut), "{digits} digits");
        seen.insert(digits % 8);
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [2, 4, 5, 7], "the lengths that base32 has");
}

#[test]
fn another_version_is_named() {
    let body = Forge::chain(1).body();
    for version in [0, 2, 255] {
        assert_eq!(Invite::parse(&text_of(version, &body)), Err(InviteError::UnsupportedVersion(version)));
    }
}

#[test]
fn bodies_that_are_no_invite_are_refused_though_the_checksum_fits() {
    let body = Forge::chain(2).body();
    assert!(Invite::parse(&text_of(1, &body)).is_ok());
    let trailing = [body.as_slice(), &[0]].concat();
    assert_eq!(Invite::parse(&text_of(1, &trailing)), Err(InviteError::Malformed(DecodeError::Trailing(1))));
    for len in 0..body.len() {
        assert!(Invite::parse(&text_of(1, &body[..len])).is_err(), "{len} bytes");
    }
    // The number of links, written in two bytes.
    let overlong = [&body[..48], &[0x82, 0], &body[49..]].concat();
    assert_eq!(Invite::parse(&text_of(1, &overlong)), Err(InviteError::Malformed(DecodeError::NotCanonical)));
    let five_links = Forge { links: [Forge::chain(4).links, Forge::chain(1).links].concat(), ..Forge::chain(1) };
    assert_eq!(five_links.parse(), Err(InviteError::Malformed(DecodeError::Malformed)));
    let no_links = Forge { links: vec![], seed: None, ..Forge::chain(1) };
    assert_eq!(no_links.parse(), Err(InviteError::Malformed(DecodeError::OutOfRange("the number of links"))));
}

#[test]
fn what_is_too_long_is_not_read() {
    let long = "A".repeat(INVITE_TEXT_MAX + 1);
    let refused = InviteError::TooLong { len: INVITE_TEXT_MAX + 1, max: INVITE_TEXT_MAX };
    assert_eq!(Invite::parse(&long), Err(refused));
    let too_many = DecodeError::TooLong { len: 1025, max: 1024 };
    assert_eq!(Invite::parse(&text_of(1, &[0; 1020])), Err(InviteError::Malformed(too_many)));
    assert!(matches!(Invite::parse(&text_of(1, &[0; 1019])), Err(InviteError::Malformed(_))));
}

#[test]
fn what_is_no_invite_is_said_to_be_none() {
    for text in ["", " ", "TREEHOUSE", "/ip4/127.0.0.1/udp/1", "TREEHOUSE;AAAA", "xTREEHOUSE:AAAA", "TREE HOUSE:AAAA"] {
        assert_eq!(Invite::parse(text), Err(InviteError::NotAnInvite), "{text:?}");
    }
    assert_eq!(Invite::parse("TREEHOUSE:"), Err(InviteError::Cut));
    assert_eq!(Invite::parse("TREEHOUSE:AA"), Err(InviteError::Cut));
    assert_eq!(Invite::parse("TREEHOUSE:A1"), Err(InviteError::BadCharacter { position: 12 }));
    assert_eq!(Invite::parse("TREEHOUSE:AAAAAAAA"), Err(InviteError::Checksum));
}
