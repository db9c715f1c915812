//! Charters, certificates, leases, room states, claims: good ones, and what is not believed.

use serde::Serialize;
use treehouse_invite::{Certificate, Charter, Lease, MediaClaim, Policy, Protection, Role, RoomState};
use treehouse_tests::fuzz::{
    people::{ALICE, BOB, FOUNDER, MALLORY, NOW, Person, SALT, START, room},
    statements::kind,
};
use treehouse_wire::{
    Blob, Domain, Epoch, LinkTag, List, NodeId, RoomId, Shipped, UnixSeconds,
    control::{Name, Statement},
    encode,
};

use crate::{Seed, seed};

/// A value as a statement of any kind, by anyone, for any room.
pub fn stated<T: Serialize>(domain: Domain, by: Person, room: &RoomId, value: &T) -> Statement {
    let payload = encode(value);
    Statement { signature: by.sign(domain, room, &payload), payload: Blob::truncated(payload) }
}

fn of(kind: u8, value: &impl Serialize) -> Vec<u8> {
    [vec![kind], encode(value)].concat()
}

pub fn seeds() -> Vec<Seed> {
    [charters(), certificates(), leases(), states(), claims()].into_iter().flatten().collect()
}

fn charters() -> Vec<Seed> {
    let charter = Charter {
        founder: FOUNDER.node(),
        salt: SALT,
        title: Name::cleaned("A room"),
        policy: Policy::Social,
        successors: List::default(),
    };
    let by = |person, charter: &Charter| of(kind::CHARTER, &stated(Domain::Charter, person, &room(), charter));
    let other = Charter { salt: [0; 16], ..charter.clone() };
    let unprintable = (FOUNDER.node(), SALT, "\u{202e}moor", 0_u8, 0_u8);
    let unprintable = stated(Domain::Charter, FOUNDER, &room(), &unprintable);
    vec![
        seed("charter", by(FOUNDER, &charter), "Accepted"),
        seed("charter-wrongly-bound-to-another-room", by(FOUNDER, &other), "Statement(OtherRoom)"),
        seed("charter-forged", by(MALLORY, &charter), "Statement(BadSignature)"),
        seed("charter-malformed-title", of(kind::CHARTER, &unprintable), "Statement(Malformed(Malformed))"),
    ]
}

fn certificate() -> Certificate {
    Certificate {
        node: ALICE.node(),
        role: Role::Listener,
        admission: 1003,
        term: 0,
        issued: NOW,
        expires: UnixSeconds(NOW.0 + 7200),
        lineage: List::truncated([LinkTag([0xc4; 16])]),
    }
}

fn lease() -> Lease {
    Lease {
        hub: BOB.node(),
        region: 1,
        role: Role::Listener,
        first: 1000,
        quota: 10,
        members_max: 2500,
        term: 0,
        not_before: UnixSeconds(NOW.0 - 1),
        expires: UnixSeconds(NOW.0 + 599),
    }
}

fn shown(by: Person, certificate: &Certificate, lease: Option<Lease>) -> Vec<u8> {
    let statement = stated(Domain::Certificate, by, &room(), certificate);
    let lease = lease.map(|lease| stated(Domain::Lease, FOUNDER, &room(), &lease));
    of(kind::CERTIFICATE, &(statement, lease))
}

fn certificates() -> Vec<Seed> {
    let by_host = |certificate: Certificate| shown(FOUNDER, &certificate, None);
    let under = |certificate: Certificate| shown(BOB, &certificate, Some(lease()));
    let at = |issued: u64, seconds: u64| Certificate {
        issued: UnixSeconds(issued),
        expires: UnixSeconds(issued + seconds),
        ..certificate()
    };
    let elsewhere = stated(Domain::Certificate, FOUNDER, &RoomId([0; 32]), &certificate());
    let as_lease = stated(Domain::Lease, FOUNDER, &room(), &certificate());
    let alone = |statement: Statement| of(kind::CERTIFICATE, &(statement, None::<Statement>));
    let beyond = "Statement(BeyondLease)";
    vec![
        seed("certificate", by_host(certificate()), "Accepted"),
        seed("certificate-under-a-lease", under(certificate()), "Accepted"),
        seed("certificate-expired", by_host(at(NOW.0 - 7320, 7200)), "Statement(Expired)"),
        seed("certificate-within-the-skew", by_host(at(NOW.0 - 7319, 7200)), "Accepted"),
        seed("certificate-expired-before-it-begins", by_host(at(NOW.0 + 121, 60)), "Statement(NotYetValid)"),
        seed(
            "certificate-widened-life",
            by_host(at(NOW.0, 7201)),
            "Statement(Malformed(OutOfRange(\"the certificate's lifetime\")))",
        ),
        seed("certificate-forged", shown(ALICE, &certificate(), None), "Statement(BadSignature)"),
        seed("certificate-by-a-hub-without-its-lease", shown(BOB, &certificate(), None), "Statement(BadSignature)"),
        seed(
            "certificate-by-another-than-the-hub",
            shown(MALLORY, &certificate(), Some(lease())),
            "Statement(BadSignature)",
        ),
        seed("certificate-widened-role", under(Certificate { role: Role::Speaker, ..certificate() }), beyond),
        seed("certificate-widened-number", under(Certificate { admission: 1010, ..certificate() }), beyond),
        seed("certificate-widened-term", under(Certificate { term: 1, ..certificate() }), beyond),
        seed("certificate-widened-to-the-hub-itself", under(Certificate { node: BOB.node(), ..certificate() }), beyond),
        seed("certificate-of-before-the-lease", under(at(NOW.0 - 2, 60)), beyond),
        seed(
            "certificate-wrongly-bound-to-another-node",
            by_host(Certificate { node: MALLORY.node(), ..certificate() }),
            "NotTheirs",
        ),
        seed("certificate-wrongly-bound-to-another-room", alone(elsewhere), "Statement(BadSignature)"),
        seed("certificate-wrongly-bound-signed-as-a-lease", alone(as_lease), "Statement(BadSignature)"),
        seed(
            "certificate-malformed-role",
            by_host(certificate())
                .into_iter()
                .enumerate()
                .map(|(at, byte)| if at == 34 { 5 } else { byte })
                .collect::<Vec<u8>>(),
            "Statement(Malformed(Malformed))",
        ),
        seed("certificate-malformed-cut-short", &by_host(certificate())[..60], "Decode(Malformed)"),
        seed("malformed-kind-that-is-none", [9], "Decode(Malformed)"),
    ]
}

fn leases() -> Vec<Seed> {
    let by = |person, lease: &Lease| of(kind::LEASE, &stated(Domain::Lease, person, &room(), lease));
    let grants = "Statement(Malformed(OutOfRange(\"what the lease grants\")))";
    let numbers = "Statement(Malformed(OutOfRange(\"the lease's admissions\")))";
    let life = "Statement(Malformed(OutOfRange(\"the lease's lifetime\")))";
    vec![
        seed("lease", by(FOUNDER, &lease()), "Accepted"),
        seed("lease-forged-by-the-hub", by(BOB, &lease()), "Statement(BadSignature)"),
        seed("lease-widened-role", by(FOUNDER, &Lease { role: Role::Host, ..lease() }), grants),
        seed("lease-wrongly-bound-to-the-host", by(FOUNDER, &Lease { hub: FOUNDER.node(), ..lease() }), grants),
        seed("lease-widened-to-the-host's-number", by(FOUNDER, &Lease { first: 0, ..lease() }), numbers),
        seed("lease-widened-past-the-last-number", by(FOUNDER, &Lease { first: u32::MAX - 9, ..lease() }), numbers),
        seed("lease-widened-life", by(FOUNDER, &Lease { expires: UnixSeconds(NOW.0 + 600), ..lease() }), life),
        seed("lease-expired-before-it-begins", by(FOUNDER, &Lease { expires: UnixSeconds(START), ..lease() }), life),
    ]
}

fn states() -> Vec<Seed> {
    let state = RoomState {
        host: FOUNDER.node(),
        term: 0,
        version: 7,
        epoch: Epoch { term: 0, number: 1 },
        protection: Protection::Relays,
        frames_per_packet: 3,
        recording: false,
        co_root: Some(BOB.node()),
        members: 40,
        stage_digest: [0xd1; 32],
        bans_digest: [0xb1; 32],
        key_digest: [0x4e; 32],
    };
    let by = |person, state: &RoomState| of(kind::STATE, &stated(Domain::RoomState, person, &room(), state));
    let usurped = RoomState { host: MALLORY.node(), ..state.clone() };
    let two = RoomState { frames_per_packet: 2, ..state.clone() };
    vec![
        seed("state", by(FOUNDER, &state), "Accepted"),
        seed("state-forged", by(MALLORY, &state), "Statement(BadSignature)"),
        seed("state-wrongly-bound-to-another-host", by(MALLORY, &usurped), "Statement(BadSignature)"),
        seed(
            "state-malformed-two-frames",
            by(FOUNDER, &two),
            "Statement(Malformed(OutOfRange(\"frames per packet\")))",
        ),
    ]
}

fn claims() -> Vec<Seed> {
    let key = Person(50).media_key();
    let claim = MediaClaim::sign(&Shipped, &ALICE.signer(), &room(), &ALICE.node(), key);
    let by = |node: NodeId, claim: MediaClaim| of(kind::CLAIM, &(node, claim));
    let other_key = MediaClaim { key: Person(51).media_key(), ..claim };
    let elsewhere = MediaClaim::sign(&Shipped, &ALICE.signer(), &RoomId([0; 32]), &ALICE.node(), key);
    vec![
        seed("claim", by(ALICE.node(), claim), "Accepted"),
        seed("claim-wrongly-bound-to-another-speaker", by(BOB.node(), claim), "Forged"),
        seed("claim-wrongly-bound-to-another-key", by(ALICE.node(), other_key), "Forged"),
        seed("claim-wrongly-bound-to-another-room", by(ALICE.node(), elsewhere), "Forged"),
        seed("claim-malformed-cut-short", &by(ALICE.node(), claim)[..100], "Decode(Malformed)"),
    ]
}
