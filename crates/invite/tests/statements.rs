//! Charter, certificate, room state and media claim: what is believed of them, and what is not.

mod support;

use support::*;
use treehouse_invite::{
    Beacon, CERTIFICATE_SECONDS, CLOCK_SKEW_SECONDS, Carried, Certificate, Charter, Complaint, MediaClaim, Policy,
    Protection, Role, RoomState, StatementError, UnknownProtection,
};
use treehouse_wire::{
    Blob, DecodeError, Domain, Epoch, FrameNumber, LinkTag, List, MediaKey, NodeId, RoomId, Shipped, Text, UnixSeconds,
    VoiceId,
    control::Statement,
    limits::{CARRIED_MAX, CHOSEN_MAX, SIGNED_BYTES_MAX},
};

fn charter() -> Charter {
    Charter {
        founder: FOUNDER.node(),
        salt: SALT,
        title: Text::cleaned("Evening talk"),
        policy: Policy::Social,
        successors: List::truncated([ALICE.node()]),
    }
}

fn certificate() -> Certificate {
    Certificate {
        node: ALICE.node(),
        role: Role::Speaker,
        admission: 7,
        term: 0,
        issued: UnixSeconds(START),
        expires: UnixSeconds(START + CERTIFICATE_SECONDS),
        lineage: List::truncated([LinkTag([0xc4; 16]), LinkTag([0xc5; 16])]),
    }
}

fn state() -> RoomState {
    RoomState {
        host: FOUNDER.node(),
        term: 1,
        version: 20,
        epoch: Epoch { term: 1, number: 0 },
        protection: Protection::Relays,
        frames_per_packet: 3,
        recording: true,
        co_root: Some(BOB.node()),
        members: 14,
        stage_digest: [0xd1; 32],
        bans_digest: [0xb1; 32],
        key_digest: [0x4e; 32],
    }
}

fn resign(domain: Domain, payload: Vec<u8>, signer: Person) -> Statement {
    let payload = Blob::truncated(payload);
    let signature = domain.sign(&Shipped, &signer.signer(), &room(), &payload);
    Statement { payload, signature }
}

#[test]
fn a_charter_is_believed_only_from_the_founder_that_the_room_is_named_after() {
    let statement = charter().sign(&Shipped, &FOUNDER.signer());
    assert_eq!(charter().room(), room());
    assert_eq!(Charter::verify(&Shipped, &statement, &room()), Ok(charter()));
    assert_eq!(Charter::verify(&Shipped, &statement, &RoomId([0; 32])), Err(StatementError::OtherRoom));
    let by_mallory = charter().sign(&Shipped, &MALLORY.signer());
    assert_eq!(Charter::verify(&Shipped, &by_mallory, &room()), Err(StatementError::BadSignature));
    for usurped in [Charter { founder: MALLORY.node(), ..charter() }, Charter { salt: [0; 16], ..charter() }] {
        let statement = usurped.sign(&Shipped, &MALLORY.signer());
        assert_eq!(Charter::verify(&Shipped, &statement, &room()), Err(StatementError::OtherRoom));
    }
}

#[test]
fn a_certificate_is_believed_from_the_host_and_in_its_time() {
    let statement = certificate().sign(&Shipped, &FOUNDER.signer(), &room());
    let at = |seconds| Certificate::verify(&Shipped, &statement, &room(), &FOUNDER.node(), UnixSeconds(seconds));
    let end = START + CERTIFICATE_SECONDS;
    for good in [START - CLOCK_SKEW_SECONDS, START, end, end + CLOCK_SKEW_SECONDS - 1] {
        assert_eq!(at(good), Ok(certificate()));
    }
    assert_eq!(at(START - CLOCK_SKEW_SECONDS - 1), Err(StatementError::NotYetValid));
    assert_eq!(at(0), Err(StatementError::NotYetValid));
    assert_eq!(at(end + CLOCK_SKEW_SECONDS), Err(StatementError::Expired));
    assert_eq!(at(u64::MAX), Err(StatementError::Expired));
    let by_another_host = Certificate::verify(&Shipped, &statement, &room(), &MALLORY.node(), NOW);
    assert_eq!(by_another_host, Err(StatementError::BadSignature));
    let for_another_room = Certificate::verify(&Shipped, &statement, &RoomId([0; 32]), &FOUNDER.node(), NOW);
    assert_eq!(for_another_room, Err(StatementError::BadSignature));
}

#[test]
fn a_certificate_lives_for_two_hours_at_most() {
    let longer = UnixSeconds(START + CERTIFICATE_SECONDS + 1);
    let backwards = UnixSeconds(START - 1);
    for expires in [longer, backwards, UnixSeconds(u64::MAX)] {
        let statement = Certificate { expires, ..certificate() }.sign(&Shipped, &FOUNDER.signer(), &room());
        let refused = Certificate::verify(&Shipped, &statement, &room(), &FOUNDER.node(), UnixSeconds(START));
        assert_eq!(refused, Err(DecodeError::OutOfRange("the certificate's lifetime").into()));
    }
}

#[test]
fn a_room_state_is_believed_from_the_host_that_it_names() {
    let statement = state().sign(&Shipped, &FOUNDER.signer(), &room());
    assert_eq!(RoomState::verify(&Shipped, &statement, &room(), &FOUNDER.node()), Ok(state()));
    assert_eq!(state().id(), (1, 20));
    let refused = |statement: &Statement, room: &RoomId, host: NodeId| {
        RoomState::verify(&Shipped, statement, room, &host).expect_err("it must not be believed")
    };
    assert_eq!(refused(&statement, &RoomId([0; 32]), FOUNDER.node()), StatementError::BadSignature);
    assert_eq!(refused(&statement, &room(), MALLORY.node()), StatementError::BadSignature);
    let by_mallory = state().sign(&Shipped, &MALLORY.signer(), &room());
    assert_eq!(refused(&by_mallory, &room(), FOUNDER.node()), StatementError::BadSignature);
    // Signed by the host, but naming another: the statement contradicts itself.
    let other_host = RoomState { host: MALLORY.node(), ..state() }.sign(&Shipped, &FOUNDER.signer(), &room());
    assert_eq!(refused(&other_host, &room(), FOUNDER.node()), StatementError::BadSignature);
}

#[test]
fn a_room_state_has_one_or_three_frames_in_a_packet() {
    for frames_per_packet in [0, 2, 4, 255] {
        let statement = RoomState { frames_per_packet, ..state() }.sign(&Shipped, &FOUNDER.signer(), &room());
        let refused = RoomState::verify(&Shipped, &statement, &room(), &FOUNDER.node());
        assert_eq!(refused, Err(DecodeError::OutOfRange("frames per packet").into()));
    }
}

/// A beacon at its limits.
fn beacon() -> Beacon {
    let (voice, frame) = (VoiceId([0xff; 8]), FrameNumber(u32::MAX));
    let carried = Carried { voice, first: frame, last: frame, count: u32::MAX };
    let carried = List::truncated([carried; CARRIED_MAX]);
    Beacon { state: (u16::MAX, u32::MAX), number: u32::MAX, chosen: List::truncated([voice; CHOSEN_MAX]), carried }
}

#[test]
fn a_statement_of_one_kind_is_none_of_another() {
    let all = [
        Domain::Charter,
        Domain::InviteLink,
        Domain::Redemption,
        Domain::Certificate,
        Domain::RoomState,
        Domain::MediaKey,
        Domain::Packet,
        Domain::Beacon,
    ];
    let payload = |statement: Statement| statement.payload.into_vec();
    let certificate = payload(certificate().sign(&Shipped, &FOUNDER.signer(), &room()));
    let state = payload(state().sign(&Shipped, &FOUNDER.signer(), &room()));
    let charter = payload(charter().sign(&Shipped, &FOUNDER.signer()));
    let beacon = payload(beacon().sign(&Shipped, &FOUNDER.signer(), &room()));
    for domain in all {
        let (a, b, c, d) = (
            Certificate::verify(&Shipped, &resign(domain, certificate.clone(), FOUNDER), &room(), &FOUNDER.node(), NOW)
                .is_ok(),
            RoomState::verify(&Shipped, &resign(domain, state.clone(), FOUNDER), &room(), &FOUNDER.node()).is_ok(),
            Charter::verify(&Shipped, &resign(domain, charter.clone(), FOUNDER), &room()).is_ok(),
            Beacon::verify(&Shipped, &resign(domain, beacon.clone(), FOUNDER), &room(), &FOUNDER.node()).is_ok(),
        );
        let only = [Domain::Certificate, Domain::RoomState, Domain::Charter, Domain::Beacon].map(|of| of == domain);
        assert_eq!([a, b, c, d], only, "{domain:?}");
    }
}

#[test]
fn altered_cut_and_lengthened_statements_are_refused() {
    let statement = certificate().sign(&Shipped, &FOUNDER.signer(), &room());
    let verify = |payload: Vec<u8>| {
        let altered = Statement { payload: Blob::truncated(payload), signature: statement.signature };
        Certificate::verify(&Shipped, &altered, &room(), &FOUNDER.node(), NOW)
    };
    for bit in 0..statement.payload.len() * 8 {
        let mut payload = statement.payload.to_vec();
        payload[bit / 8] ^= 1 << (bit % 8);
        assert!(verify(payload).is_err(), "bit {bit}");
    }
    for len in 0..statement.payload.len() {
        assert!(matches!(verify(statement.payload[..len].to_vec()), Err(StatementError::Malformed(_))), "{len} bytes");
    }
    let longer = [&statement.payload[..], &[0]].concat();
    assert_eq!(verify(longer), Err(DecodeError::Trailing(1).into()));
}

#[test]
fn trailing_bytes_are_refused_even_where_the_host_signed_them() {
    let payload = [&state().sign(&Shipped, &FOUNDER.signer(), &room()).payload[..], &[0]].concat();
    let statement = resign(Domain::RoomState, payload, FOUNDER);
    let refused = RoomState::verify(&Shipped, &statement, &room(), &FOUNDER.node());
    assert_eq!(refused, Err(DecodeError::Trailing(1).into()));
}

#[test]
fn the_largest_statements_fit() {
    let title = Text::new(&"x".repeat(48)).expect("a title at its limit");
    let charter = Charter { title, successors: List::truncated([BOB.node(); 4]), ..charter() };
    let max = UnixSeconds(u64::MAX);
    let certificate = Certificate { admission: u32::MAX, term: u16::MAX, issued: max, expires: max, ..certificate() };
    let epoch = Epoch { term: u16::MAX, number: u32::MAX };
    let state = RoomState { term: u16::MAX, version: u32::MAX, epoch, members: u32::MAX, ..state() };
    let statements = [
        charter.sign(&Shipped, &FOUNDER.signer()),
        certificate.sign(&Shipped, &FOUNDER.signer(), &room()),
        state.sign(&Shipped, &FOUNDER.signer(), &room()),
        beacon().sign(&Shipped, &FOUNDER.signer(), &room()),
    ];
    for statement in &statements {
        assert!(statement.payload.len() < SIGNED_BYTES_MAX, "{} bytes", statement.payload.len());
    }
    assert_eq!(Charter::verify(&Shipped, &statements[0], &room()), Ok(charter));
    assert_eq!(
        Certificate::verify(&Shipped, &statements[1], &room(), &FOUNDER.node(), UnixSeconds(u64::MAX - 60)),
        Ok(certificate)
    );
    assert_eq!(RoomState::verify(&Shipped, &statements[2], &room(), &FOUNDER.node()), Ok(state));
}

#[test]
fn a_media_key_is_its_speakers_in_one_room() {
    let key = MediaKey(Person(40).key());
    let claim = MediaClaim::sign(&Shipped, &ALICE.signer(), &room(), &ALICE.node(), key);
    assert!(claim.verify(&Shipped, &room(), &ALICE.node()));
    assert!(!claim.verify(&Shipped, &room(), &BOB.node()), "not Bob's");
    assert!(!claim.verify(&Shipped, &RoomId([0; 32]), &ALICE.node()), "not in another room");
    let other = MediaClaim { key: MediaKey(Person(41).key()), ..claim };
    assert!(!other.verify(&Shipped, &room(), &ALICE.node()), "not for another key");
    let by_bob = MediaClaim::sign(&Shipped, &BOB.signer(), &room(), &ALICE.node(), key);
    assert!(!by_bob.verify(&Shipped, &room(), &ALICE.node()), "not signed by another");
}

#[test]
fn who_claims_a_key_shows_that_it_has_it() {
    let media = Person(40);
    let claim = MediaClaim::sign(&Shipped, &ALICE.signer(), &room(), &ALICE.node(), MediaKey(media.key()));
    let proof = MediaClaim::prove(&Shipped, &media.signer(), &room(), &ALICE.node());
    assert!(claim.verify_held(&Shipped, &room(), &ALICE.node(), &proof));
    // Bob has seen Alice's key, claim and proof, and signs what he can.
    let by_bob = MediaClaim::sign(&Shipped, &BOB.signer(), &room(), &BOB.node(), claim.key);
    let own = MediaClaim::prove(&Shipped, &BOB.signer(), &room(), &BOB.node());
    for proof in [proof, own, by_bob.signature, claim.signature] {
        assert!(!by_bob.verify_held(&Shipped, &room(), &BOB.node(), &proof));
    }
    assert!(!claim.verify_held(&Shipped, &RoomId([0; 32]), &ALICE.node(), &proof), "not in another room");
    let other = MediaClaim::prove(&Shipped, &Person(41).signer(), &room(), &ALICE.node());
    assert!(!claim.verify_held(&Shipped, &room(), &ALICE.node(), &other), "not by another key");
}

#[test]
fn a_complaint_is_one_members_about_one_other_and_of_late() {
    let complaint = Complaint::sign(&Shipped, &ALICE.signer(), &room(), ALICE.node(), BOB.node(), NOW);
    let heard = |complaint: &Complaint, after_s: u64| complaint.verify(&Shipped, &room(), UnixSeconds(NOW.0 + after_s));
    assert!(heard(&complaint, 0) && heard(&complaint, 720) && !heard(&complaint, 721));
    assert!(!complaint.verify(&Shipped, &room(), UnixSeconds(NOW.0 - 721)), "nor of the future");
    assert!(!complaint.verify(&Shipped, &RoomId([0; 32]), NOW));
    let about = Complaint { of: FOUNDER.node(), ..complaint };
    let by = Complaint { by: BOB.node(), ..complaint };
    let later = Complaint { at: UnixSeconds(NOW.0 + 1), ..complaint };
    assert!(![about, by, later].iter().any(|complaint| heard(complaint, 0)));
}

#[test]
fn roles_include_the_ones_before_and_words_are_words() {
    assert!(Role::Listener < Role::Speaker && Role::Speaker < Role::Moderator && Role::Moderator < Role::Host);
    let words = [Role::Listener, Role::Speaker, Role::Moderator, Role::Host].map(|role| role.to_string());
    assert_eq!(words, ["listener", "speaker", "moderator", "host"]);
    for protection in [Protection::Off, Protection::Relays, Protection::All] {
        assert_eq!(protection.to_string().parse(), Ok(protection));
    }
    assert_eq!("All".parse::<Protection>(), Err(UnknownProtection));
    assert_eq!([Policy::Open, Policy::Social, Policy::Closed].map(|p| p.to_string()), ["open", "social", "closed"]);
}
