//! The vector files hold: what they say reads as the same values, and the values are written as they say.

#[path = "../../wire/tests/support/files.rs"]
mod files;
mod support;

use std::path::{Path, PathBuf};

use files::{check, hex, load, readable, unhex};
use serde_json::{Value, json};
use support::*;
use treehouse_invite::{
    Ban, Banned, Bans, Beacon, CLOCK_SKEW_SECONDS, Carried, Certificate, Charter, Complaint, HolderKey, Invite, Lease,
    MediaClaim, Policy, Protection, Role, RoomState, Stage, StageMember, StateList, check_redemption,
};
use treehouse_wire::{
    Control, Epoch, FrameNumber, LinkTag, List, MediaKey, RoomKey, Shipped, Signature, Text, UnixSeconds, VoiceId,
    control::Statement, decode, encode,
};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors").join(name)
}

fn invites() -> Vec<(&'static str, Invite)> {
    let to_alice = issue(terms(), ALICE.bound());
    let to_anyone = to_alice.narrow(&Shipped, Some(&ALICE.signer()), narrower(1), Person(20).bearer()).expect("a link");
    let to_bob = to_anyone.narrow(&Shipped, None, narrower(2), BOB.bound()).expect("a link");
    let unlimited = treehouse_invite::Terms { role: Role::Listener, uses: None, depth: 0, ..terms() };
    vec![
        ("bound, one link", to_alice),
        ("bearer, one link, unlimited uses", issue(unlimited, Person(20).bearer())),
        ("bearer, two links", to_anyone),
        ("bound, three links", to_bob),
        ("bearer, four links", four_links()),
        ("bearer, no contacts", issue(terms(), Person(20).bearer()).with_bootstrap([])),
    ]
}

/// Who redeems an invite in the vectors: the one that it is made out to, or Mallory where anyone may.
fn redeemer(invite: &Invite) -> Person {
    let holders = [ALICE, BOB];
    holders.into_iter().find(|who| *invite.holder() == HolderKey::Bound(who.node())).unwrap_or(MALLORY)
}

#[test]
fn invites_have_the_text_in_the_file() {
    let made = invites().into_iter().map(|(name, invite)| {
        let who = redeemer(&invite);
        let redeemed = invite.redeem(&Shipped, &who.seed(), &who.node(), &FOUNDER.node());
        let (chain, proof) = redeemed.expect("the holder redeems");
        let grant = invite.verify(&Shipped, NOW).expect("a valid invite");
        let links = invite.links().map(|link| {
            json!({
                "terms": readable(&link.terms), "holder": readable(&link.holder),
                "signature": hex(link.signature().0), "id": hex(link.id()),
            })
        });
        let uses = grant.uses.iter().map(|(id, uses)| json!({ "link": hex(id), "uses": uses }));
        json!({
            "name": name, "links": links.collect::<Vec<_>>(), "bootstrap": readable(&invite.bootstrap()),
            "text": invite.to_string(),
            "grant": {
                "role": readable(&grant.role), "expires": grant.expires.0, "uses": uses.collect::<Vec<_>>(),
            },
            "redeemer": hex(who.node().0), "chain": hex(&chain[..]), "proof": hex(proof.0),
        })
    });
    let document = json!({
        "about": "a key of seed nn is that of 32 bytes nn; the founder is of seed 01 and hosts",
        "founder": hex(FOUNDER.node().0), "salt": hex(SALT), "room": hex(room().0), "now": NOW.0,
        "invites": made.collect::<Vec<_>>(),
    });
    check(&file("invites.json"), &document);
}

#[test]
fn the_invites_in_the_file_verify_and_redeem() {
    let document = load(&file("invites.json"));
    let entries = document["invites"].as_array().expect("a list of invites");
    assert_eq!(entries.len(), invites().len());
    for (entry, (name, invite)) in entries.iter().zip(invites()) {
        let text = entry["text"].as_str().expect("a text");
        let parsed = Invite::parse(text).expect(name);
        assert_eq!(parsed, invite, "{name}");
        assert_eq!(parsed.to_string(), text, "{name}");
        let grant = parsed.verify(&Shipped, NOW).expect(name);
        let (chain, proof) = (unhex(&entry["chain"]), Signature(unhex(&entry["proof"]).try_into().expect("64 bytes")));
        let (host, redeemer) = (FOUNDER.node(), redeemer(&invite).node());
        let redeemed = check_redemption(&Shipped, &room(), &host, &host, &redeemer, &chain, &proof, NOW);
        assert_eq!(redeemed, Ok(grant), "{name}");
    }
}

/// Texts that must not be read, by name.
fn malformed_texts() -> Vec<(&'static str, String)> {
    let good = issue(terms(), Person(20).bearer()).to_string();
    let body = Forge::chain(2).body();
    let mut bound_with_seed = Forge::chain(1);
    bound_with_seed.links[0].holder = HolderKey::Bound(BOB.node());
    let mut no_uses = Forge::chain(1);
    no_uses.links[0].terms.uses = Some(0);
    let five = Forge { links: [Forge::chain(4).links, Forge::chain(1).links].concat(), ..Forge::chain(1) };
    let altered = |at: usize, to: &str| [&good[..at], to, &good[at + 1..]].concat();
    vec![
        ("nothing", String::new()),
        ("another prefix", good.replace("TREEHOUSE:", "TREEHOUSE-")),
        ("lower case", good.to_lowercase()),
        ("lower-case digits", format!("TREEHOUSE:{}", good["TREEHOUSE:".len()..].to_lowercase())),
        ("a digit that base32 does not have", altered(40, "1")),
        ("padding", format!("{good}=")),
        ("one character altered", altered(40, if &good[40..41] == "A" { "B" } else { "A" })),
        ("the last character left out", good[..good.len() - 1].to_owned()),
        ("the last eight characters left out", good[..good.len() - 8].to_owned()),
        ("a bit set that no byte holds", "TREEHOUSE:AB".to_owned()),
        ("version 0", text_of(0, &body)),
        ("version 2", text_of(2, &body)),
        ("a byte behind the body", text_of(1, &[body.as_slice(), &[0]].concat())),
        ("the number of links in two bytes", text_of(1, &[&body[..48], &[0x82, 0], &body[49..]].concat())),
        ("no links", Forge { links: vec![], seed: None, ..Forge::chain(1) }.text()),
        ("five links", five.text()),
        ("no uses", no_uses.text()),
        ("bearer without seed", Forge { seed: None, ..Forge::chain(1) }.text()),
        ("bound with seed", bound_with_seed.text()),
        ("1025 bytes", text_of(1, &[0; 1020])),
    ]
}

/// Texts that are read, but whose chain must not be believed.
fn bad_chains() -> Vec<(&'static str, String)> {
    let changed = |at: usize, change: &dyn Fn(&mut ForgedLink)| {
        let mut forge = Forge::chain(3);
        change(&mut forge.links[at]);
        forge.text()
    };
    let wrong_seed = Forge { seed: Some([0x77; 32]), ..Forge::chain(2) };
    vec![
        ("first link not by the founder", changed(0, &|link| link.signer = MALLORY)),
        ("second link not by the holder of the first", changed(1, &|link| link.signer = MALLORY)),
        ("third link behind another", changed(2, &|link| link.previous = Some([7; 32]))),
        ("signed as a redemption", changed(1, &|link| link.domain = treehouse_wire::Domain::Redemption)),
        ("signed for another room", changed(0, &|link| link.room = treehouse_wire::RoomId([1; 32]))),
        ("a higher role", changed(2, &|link| link.terms.role = Role::Moderator)),
        ("an earlier start", changed(1, &|link| link.terms.not_before.0 -= 1)),
        ("a later end", changed(1, &|link| link.terms.expires.0 += 1)),
        ("more uses", changed(1, &|link| link.terms.uses = Some(11))),
        ("unlimited uses behind counted ones", changed(1, &|link| link.terms.uses = None)),
        ("as many further links", changed(2, &|link| link.terms.depth = 2)),
        ("another seed", wrong_seed.text()),
        ("expired", changed(2, &|link| link.terms.expires = UnixSeconds(NOW.0 - CLOCK_SKEW_SECONDS))),
        ("not valid yet", changed(2, &|link| link.terms.not_before = UnixSeconds(NOW.0 + 600))),
    ]
}

#[test]
fn bad_invites_are_refused_as_the_file_says() {
    let malformed = malformed_texts().into_iter().map(|(name, text)| {
        let error = Invite::parse(&text).expect_err(name);
        json!({ "name": name, "text": text, "error": format!("{error:?}") })
    });
    let unbelieved = bad_chains().into_iter().map(|(name, text)| {
        let error = Invite::parse(&text).expect(name).verify(&Shipped, NOW).expect_err(name);
        json!({ "name": name, "text": text, "error": format!("{error:?}") })
    });
    let document = json!({
        "now": NOW.0,
        "not_read": malformed.collect::<Vec<_>>(),
        "not_believed": unbelieved.collect::<Vec<_>>(),
    });
    check(&file("malformed_invites.json"), &document);
}

fn charters() -> Vec<(&'static str, Charter)> {
    let charter = Charter {
        founder: FOUNDER.node(),
        salt: SALT,
        title: Text::cleaned("Evening talk"),
        policy: Policy::Social,
        successors: List::truncated([ALICE.node(), BOB.node()]),
    };
    let plain =
        Charter { title: Text::default(), policy: Policy::Open, successors: List::default(), ..charter.clone() };
    vec![("charter", charter), ("charter without title and successors", plain)]
}

fn certificate() -> Certificate {
    Certificate {
        node: ALICE.node(),
        role: Role::Speaker,
        admission: 300,
        term: 2,
        issued: NOW,
        expires: UnixSeconds(NOW.0 + 7200),
        lineage: List::truncated([LinkTag([0xc4; 16]), LinkTag([0xc5; 16])]),
    }
}

fn lease() -> Lease {
    Lease {
        hub: BOB.node(),
        region: 3,
        role: Role::Listener,
        first: 4096,
        quota: 4096,
        members_max: 2500,
        term: 2,
        not_before: NOW,
        expires: UnixSeconds(NOW.0 + 600),
    }
}

/// A certificate that a hub signed under [`lease`].
fn leased() -> Certificate {
    Certificate { role: Role::Listener, admission: 4100, ..certificate() }
}

fn states() -> Vec<(&'static str, RoomState)> {
    let state = RoomState {
        host: FOUNDER.node(),
        term: 2,
        version: 70_000,
        epoch: Epoch { term: 2, number: 300 },
        protection: Protection::All,
        frames_per_packet: 3,
        recording: true,
        co_root: Some(BOB.node()),
        members: 1_000_000,
        stage_digest: stage().digest(),
        bans_digest: bans().digest(),
        key_digest: RoomKey([7; 32]).digest(&room(), Epoch { term: 2, number: 300 }),
    };
    let first = RoomState {
        term: 0,
        version: 1,
        epoch: Epoch::default(),
        protection: Protection::Off,
        frames_per_packet: 1,
        recording: false,
        co_root: None,
        members: 1,
        stage_digest: Stage::default().digest(),
        bans_digest: Bans::default().digest(),
        key_digest: RoomKey([8; 32]).digest(&room(), Epoch::default()),
        ..state.clone()
    };
    vec![("room state", state), ("first room state, empty stage", first)]
}

fn beacons() -> Vec<(&'static str, Beacon)> {
    let voices = [VoiceId([0x70; 8]), VoiceId([0x71; 8])];
    let carried =
        |voice, first, last, count| Carried { voice, first: FrameNumber(first), last: FrameNumber(last), count };
    let beacon = Beacon {
        state: (2, 70_000),
        number: 300,
        chosen: List::truncated([voices[1]]),
        carried: List::truncated([carried(voices[0], 16_384, 16_386, 3), carried(voices[1], 9, 60, 50)]),
    };
    let silent = Beacon { state: (0, 1), number: 1, chosen: List::default(), carried: List::default() };
    vec![("beacon", beacon), ("first beacon, nobody speaks", silent)]
}

fn entry(name: &str, value: Value, statement: &Statement) -> Value {
    json!({
        "name": name, "value": value, "payload": hex(&statement.payload[..]),
        "signature": hex(statement.signature.0), "bytes": hex(encode(statement)),
    })
}

#[test]
fn statements_have_the_bytes_in_the_file() {
    let charters = charters()
        .into_iter()
        .map(|(name, charter)| entry(name, readable(&charter), &charter.sign(&Shipped, &FOUNDER.signer())));
    let certificate =
        entry("certificate", readable(&certificate()), &certificate().sign(&Shipped, &FOUNDER.signer(), &room()));
    let lease = entry("lease", readable(&lease()), &lease().sign(&Shipped, &FOUNDER.signer(), &room()));
    let under_lease = leased().sign(&Shipped, &BOB.signer(), &room());
    let states = states()
        .into_iter()
        .map(|(name, state)| entry(name, readable(&state), &state.sign(&Shipped, &FOUNDER.signer(), &room())));
    let beacons = beacons()
        .into_iter()
        .map(|(name, beacon)| entry(name, readable(&beacon), &beacon.sign(&Shipped, &FOUNDER.signer(), &room())));
    let key = MediaKey(Person(40).key());
    let claim = MediaClaim::sign(&Shipped, &ALICE.signer(), &room(), &ALICE.node(), key);
    let complaint = Complaint::sign(&Shipped, &ALICE.signer(), &room(), ALICE.node(), BOB.node(), NOW);
    let document = json!({
        "about": "a key of seed nn is that of 32 bytes nn; the founder is of seed 01 and hosts",
        "founder": hex(FOUNDER.node().0), "room": hex(room().0), "now": NOW.0,
        "charters": charters.collect::<Vec<_>>(), "certificates": [certificate], "leases": [lease],
        "certificate_under_the_lease": { "hub": hex(BOB.node().0), "value": readable(&leased()), "bytes": hex(encode(&under_lease)) },
        "states": states.collect::<Vec<_>>(),
        "beacons": beacons.collect::<Vec<_>>(),
        "media_claims": [{
            "name": "media claim", "speaker_seed": hex(ALICE.seed()), "speaker": hex(ALICE.node().0),
            "media_key": hex(key.0), "signature": hex(claim.signature.0),
            "held": hex(MediaClaim::prove(&Shipped, &Person(40).signer(), &room(), &ALICE.node()).0),
        }],
        "complaints": [{
            "name": "complaint", "by": hex(complaint.by.0), "of": hex(complaint.of.0), "at": complaint.at.0,
            "signature": hex(complaint.signature.0),
        }],
    });
    check(&file("statements.json"), &document);
}

#[test]
fn the_statements_in_the_file_verify() {
    let document = load(&file("statements.json"));
    let statements = |kind: &str| -> Vec<Statement> {
        let entries = document[kind].as_array().expect("a list");
        entries.iter().map(|entry| decode(&unhex(&entry["bytes"]), 600).expect("a statement")).collect()
    };
    for (statement, (name, charter)) in statements("charters").iter().zip(charters()) {
        assert_eq!(Charter::verify(&Shipped, statement, &room()), Ok(charter), "{name}");
    }
    for statement in statements("certificates") {
        let verified = Certificate::verify(&Shipped, &statement, &room(), &FOUNDER.node(), NOW);
        assert_eq!(verified, Ok(certificate()));
    }
    let leases = statements("leases");
    assert_eq!(Lease::verify(&Shipped, &leases[0], &room(), &FOUNDER.node()), Ok(lease()));
    let bytes = unhex(&document["certificate_under_the_lease"]["bytes"]);
    let under: Statement = decode(&bytes, 600).expect("a statement");
    let verified = Certificate::verify_under(&Shipped, &under, leases.first(), &room(), &FOUNDER.node(), NOW);
    assert_eq!(verified, Ok(leased()));
    for (statement, (name, state)) in statements("states").iter().zip(states()) {
        assert_eq!(RoomState::verify(&Shipped, statement, &room(), &FOUNDER.node()), Ok(state), "{name}");
    }
    for (statement, (name, beacon)) in statements("beacons").iter().zip(beacons()) {
        assert_eq!(Beacon::verify(&Shipped, statement, &room(), &FOUNDER.node()), Ok(beacon), "{name}");
    }
    let claim = &document["media_claims"][0];
    let held = Signature(unhex(&claim["held"]).try_into().expect("64 bytes"));
    let claim = MediaClaim {
        key: MediaKey(unhex(&claim["media_key"]).try_into().expect("32 bytes")),
        signature: Signature(unhex(&claim["signature"]).try_into().expect("64 bytes")),
    };
    assert!(claim.verify_held(&Shipped, &room(), &ALICE.node(), &held));
    let signature = Signature(unhex(&document["complaints"][0]["signature"]).try_into().expect("64 bytes"));
    let complaint = Complaint { by: ALICE.node(), of: BOB.node(), at: NOW, signature };
    assert!(complaint.verify(&Shipped, &room(), NOW));
}

fn bans() -> Bans {
    let mut bans = Bans::default();
    let (of_subtree, of_link) = (Banned::Subtree(LinkTag([0xc5; 16])), Banned::Link(LinkTag([0xc4; 16])));
    let who = [of_subtree, Banned::Node(BOB.node()), of_link, Banned::Revoked(LinkTag([0xc6; 16]))];
    for (who, until) in who.into_iter().zip([u64::MAX, NOW.0 + 7200, NOW.0, u64::MAX]) {
        assert!(bans.add(Ban { who, until: UnixSeconds(until) }));
    }
    bans
}

fn stage() -> Stage {
    let member = |person: Person, role, name, voice: Option<u8>| StageMember {
        node: person.node(),
        role,
        name: Text::cleaned(name),
        claim: voice.map(|voice| {
            let key = MediaKey(Person(voice).key());
            MediaClaim::sign(&Shipped, &person.signer(), &room(), &person.node(), key)
        }),
    };
    Stage::new(vec![
        member(FOUNDER, Role::Host, "Zoë", Some(40)),
        member(ALICE, Role::Speaker, "Alice", Some(41)),
        member(BOB, Role::Moderator, "", None),
    ])
    .expect("three members")
}

/// Lists that must not be read, by name.
fn malformed_stages() -> Vec<(&'static str, Vec<u8>)> {
    let members = stage().members().to_vec();
    let mut reversed = members.clone();
    reversed.reverse();
    let twice = vec![members[0].clone(), members[0].clone()];
    let mut same_voice = members.clone();
    same_voice.iter_mut().for_each(|member| member.claim = members.iter().find_map(|member| member.claim));
    let many: Vec<StageMember> =
        (0..51).map(|n| StageMember { node: Person(n).node(), ..members[2].clone() }).collect();
    vec![
        ("nothing", vec![]),
        ("a byte behind the list", [stage().to_bytes().as_slice(), &[0]].concat()),
        ("cut", stage().to_bytes()[..100].to_vec()),
        ("out of order", encode(&reversed)),
        ("a member twice", encode(&twice)),
        ("a voice twice", encode(&same_voice)),
        ("51 members", encode(&many)),
        ("the number of members in two bytes", vec![0x80, 0]),
    ]
}

#[test]
fn the_stage_has_the_bytes_in_the_file() {
    let bad = malformed_stages().into_iter().map(|(name, bytes)| {
        let error = Stage::from_bytes(&bytes).expect_err(name);
        json!({ "name": name, "bytes": hex(bytes), "error": format!("{error:?}") })
    });
    let lists = [("three members", stage()), ("empty", Stage::default())].map(|(name, stage)| {
        json!({
            "name": name, "value": readable(&stage.members()), "bytes": hex(stage.to_bytes()),
            "digest": hex(stage.digest()),
            "parts": stage.parts().iter().map(|part| hex(part.to_bytes())).collect::<Vec<_>>(),
        })
    });
    let bans = [("three bans", bans()), ("nobody", Bans::default())].map(|(name, bans)| {
        json!({
            "name": name, "value": readable(&bans.all()), "bytes": hex(bans.to_bytes()), "digest": hex(bans.digest()),
            "parts": bans.parts().iter().map(|part| hex(part.to_bytes())).collect::<Vec<_>>(),
        })
    });
    let mut unordered = bans_bytes();
    unordered[1..].rotate_left(34);
    let bad_bans = [("out of order", unordered), ("cut", bans_bytes()[..20].to_vec())].map(|(name, bytes)| {
        let error = Bans::from_bytes(&bytes).expect_err("it is malformed");
        json!({ "name": name, "bytes": hex(bytes), "error": format!("{error:?}") })
    });
    let document = json!({
        "room": hex(room().0), "stages": lists, "not_read": bad.collect::<Vec<_>>(), "bans": bans, "bans_not_read": bad_bans,
    });
    check(&file("stage.json"), &document);
}

/// Two bans whose encodings are of one length.
fn bans_bytes() -> Vec<u8> {
    let mut bans = Bans::default();
    for node in [ALICE.node(), BOB.node()] {
        assert!(bans.add(Ban { who: Banned::Node(node), until: UnixSeconds(1) }));
    }
    bans.to_bytes()
}

#[test]
fn the_bans_in_the_file_are_read() {
    let document = load(&file("stage.json"));
    for (entry, expected) in [(&document["bans"][0], bans()), (&document["bans"][1], Bans::default())] {
        let read = Bans::from_bytes(&unhex(&entry["bytes"])).expect("bans");
        assert_eq!((&read, hex(read.digest()).into()), (&expected, entry["digest"].clone()));
        assert_eq!(Control::from_bytes(&unhex(&entry["parts"][0])).ok().as_ref(), read.parts().first());
    }
}

#[test]
fn the_stage_in_the_file_is_read() {
    let document = load(&file("stage.json"));
    for (entry, expected) in [(&document["stages"][0], stage()), (&document["stages"][1], Stage::default())] {
        let read = Stage::from_bytes(&unhex(&entry["bytes"])).expect("a stage");
        assert_eq!(read, expected);
        assert!(read.verify_claims(&Shipped, &room()));
        assert_eq!(hex(read.digest()), entry["digest"]);
        let part = Control::from_bytes(&unhex(&entry["parts"][0]));
        assert_eq!(part.as_ref().ok(), read.parts().first());
    }
}
