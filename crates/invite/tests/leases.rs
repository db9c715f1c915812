//! Leases: what a hub may sign under one, and what is not believed of it.

mod support;

use support::*;
use treehouse_invite::{CLOCK_SKEW_SECONDS, Certificate, LEASE_SECONDS, Lease, Role, StatementError};
use treehouse_wire::{Domain, LinkTag, List, RoomId, Shipped, UnixSeconds, control::Statement};

/// Bob's lease, from a second before now.
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
        expires: UnixSeconds(NOW.0 - 1 + LEASE_SECONDS),
    }
}

fn certificate() -> Certificate {
    Certificate {
        node: ALICE.node(),
        role: Role::Listener,
        admission: 1003,
        term: 0,
        issued: NOW,
        expires: UnixSeconds(NOW.0 + 7200),
        lineage: List::truncated([LinkTag([0xc4; 16]), LinkTag([0xc5; 16])]),
    }
}

fn by(person: Person, certificate: &Certificate) -> Statement {
    certificate.sign(&Shipped, &person.signer(), &room())
}

fn under(certificate: &Statement, lease: &Statement, now: UnixSeconds) -> Result<Certificate, StatementError> {
    Certificate::verify_under(&Shipped, certificate, Some(lease), &room(), &FOUNDER.node(), now)
}

#[test]
fn a_certificate_by_a_hub_is_believed_with_its_lease() {
    let signed = lease().sign(&Shipped, &FOUNDER.signer(), &room());
    let shown = by(BOB, &certificate());
    assert_eq!(under(&shown, &signed, NOW), Ok(certificate()));
    // It outlives the lease that it was signed under.
    assert_eq!(under(&shown, &signed, UnixSeconds(NOW.0 + 7000)), Ok(certificate()));
    let late = UnixSeconds(NOW.0 + 7200 + CLOCK_SKEW_SECONDS);
    assert_eq!(under(&shown, &signed, late), Err(StatementError::Expired));
    // Without the lease it is nobody's.
    let alone = Certificate::verify_under(&Shipped, &shown, None, &room(), &FOUNDER.node(), NOW);
    assert_eq!(alone, Err(StatementError::BadSignature));
}

#[test]
fn what_the_lease_does_not_allow_is_refused() {
    let signed = lease().sign(&Shipped, &FOUNDER.signer(), &room());
    let beyond = [
        ("a higher role", Certificate { role: Role::Speaker, ..certificate() }),
        ("a number before its span", Certificate { admission: 999, ..certificate() }),
        ("the first number behind its span", Certificate { admission: 1010, ..certificate() }),
        ("another term", Certificate { term: 1, ..certificate() }),
        (
            "issued before the lease",
            Certificate { issued: UnixSeconds(NOW.0 - 2), expires: UnixSeconds(NOW.0 + 60), ..certificate() },
        ),
        ("the hub itself", Certificate { node: BOB.node(), ..certificate() }),
    ];
    for (name, certificate) in beyond {
        assert_eq!(under(&by(BOB, &certificate), &signed, NOW), Err(StatementError::BeyondLease), "{name}");
    }
    let after = UnixSeconds(lease().expires.0 + 1);
    let late = Certificate { issued: after, expires: UnixSeconds(after.0 + 7200), ..certificate() };
    assert_eq!(under(&by(BOB, &late), &signed, after), Err(StatementError::BeyondLease), "signed after its end");
    assert_eq!(under(&by(MALLORY, &certificate()), &signed, NOW), Err(StatementError::BadSignature));
    for last in [1000, 1009] {
        let certificate = Certificate { admission: last, ..certificate() };
        assert_eq!(under(&by(BOB, &certificate), &signed, NOW), Ok(certificate));
    }
}

#[test]
fn only_the_host_leases_and_not_more_than_it_may() {
    let read = |statement: &Statement, room: &RoomId| Lease::verify(&Shipped, statement, room, &FOUNDER.node());
    let signed = lease().sign(&Shipped, &FOUNDER.signer(), &room());
    assert_eq!(read(&signed, &room()), Ok(lease()));
    assert_eq!(read(&signed, &RoomId([0; 32])), Err(StatementError::BadSignature));
    let own = lease().sign(&Shipped, &BOB.signer(), &room());
    assert_eq!(read(&own, &room()), Err(StatementError::BadSignature), "a hub leases itself nothing");
    let payload = signed.payload.clone();
    let signature = Domain::Certificate.sign(&Shipped, &FOUNDER.signer(), &room(), &payload);
    assert_eq!(read(&Statement { payload, signature }, &room()), Err(StatementError::BadSignature));
    let widest = [
        ("the host's role", Lease { role: Role::Host, ..lease() }),
        ("the host as its own hub", Lease { hub: FOUNDER.node(), ..lease() }),
        ("the host's number", Lease { first: 0, ..lease() }),
        ("numbers past the last", Lease { first: u32::MAX - 5, ..lease() }),
        ("a second too long", Lease { expires: UnixSeconds(NOW.0 + LEASE_SECONDS), ..lease() }),
        ("an end before its start", Lease { expires: UnixSeconds(NOW.0 - 2), ..lease() }),
    ];
    for (name, lease) in widest {
        let signed = lease.sign(&Shipped, &FOUNDER.signer(), &room());
        assert!(matches!(read(&signed, &room()), Err(StatementError::Malformed(_))), "{name}");
    }
}

#[test]
fn a_lease_is_acted_on_in_its_time() {
    let at = |seconds| lease().is_valid(UnixSeconds(seconds));
    let (start, end) = (lease().not_before.0, lease().expires.0);
    assert!(at(start - CLOCK_SKEW_SECONDS) && at(end + CLOCK_SKEW_SECONDS - 1));
    assert!(!at(start - CLOCK_SKEW_SECONDS - 1) && !at(end + CLOCK_SKEW_SECONDS));
}
