//! What the founder, the host, hubs and speakers sign: charter, certificate, lease, room state, claims, beacon, stage list.
//!
//! Each statement is looked at twice: with the suite that ships, which gives the verdict, and with one that believes every
//! signature, so that random payloads reach what is behind the signature too.

use treehouse_invite::{
    Assembly, Beacon, CERTIFICATE_SECONDS, CLOCK_SKEW_SECONDS, Certificate, Charter, LEASE_SECONDS, Lease, MediaClaim,
    Role, RoomState, Stage, StateList, StatementError,
};
use treehouse_wire::{
    Blob, Control, DecodeError, List, NodeId, Shipped,
    control::Statement,
    decode, encode,
    limits::{CHOSEN_MAX, CONTROL_BYTES_MAX, STAGE_MAX, STATE_PART_BYTES_MAX},
};

use super::{
    Verdict,
    clear::Clear,
    people::{ALICE, FOUNDER, NOW, room},
};

/// What the first byte of an input of `certificate` says that the rest is.
pub mod kind {
    /// A `Statement`.
    pub const CHARTER: u8 = 0;
    /// A `Statement`, and a `Statement?` with the lease; Alice shows it.
    pub const CERTIFICATE: u8 = 1;
    /// A `Statement`.
    pub const LEASE: u8 = 2;
    /// A `Statement`.
    pub const STATE: u8 = 3;
    /// A `NodeId` and its `MediaClaim`.
    pub const CLAIM: u8 = 4;
    /// Of `beacon`: a `Statement`.
    pub const BEACON: u8 = 5;
    /// Of `beacon`: the encoded list.
    pub const STAGE: u8 = 6;
    /// Of `beacon`: the digest that is wanted, and a list of [`Pieces`](super::Pieces).
    pub const PIECES: u8 = 7;
}

/// Pieces of stage lists as they come: index, of how many, bytes.
pub type Pieces = List<(u8, u8, Blob<STATE_PART_BYTES_MAX>), 8>;

impl<T> From<Result<T, StatementError>> for Verdict {
    fn from(result: Result<T, StatementError>) -> Self {
        result.map_or_else(Verdict::Statement, |_| Verdict::Accepted)
    }
}

fn unknown(kind: Option<&u8>) -> Verdict {
    Verdict::Decode(DecodeError::UnknownKind(kind.copied().unwrap_or_default()))
}

/// One of the statements that make a member; the first byte says which.
///
/// # Panics
/// When one is accepted that grants more than such a statement may, or has another encoding.
pub fn certificate(input: &[u8]) -> Verdict {
    let Some((of, rest)) = input.split_first() else { return unknown(None) };
    let (room, host) = (room(), FOUNDER.node());
    if *of == kind::CERTIFICATE {
        return match decode(rest, CONTROL_BYTES_MAX) {
            Ok((statement, lease)) => shown(&statement, Option::as_ref(&lease)),
            Err(error) => Verdict::Decode(error),
        };
    }
    if *of == kind::CLAIM {
        return match decode::<(NodeId, MediaClaim)>(rest, CONTROL_BYTES_MAX) {
            Ok((node, claim)) if claim.verify(&Shipped, &room, &node) => Verdict::Accepted,
            Ok(_) => Verdict::Forged,
            Err(error) => Verdict::Decode(error),
        };
    }
    let statement: Statement = match decode(rest, CONTROL_BYTES_MAX) {
        Ok(statement) => statement,
        Err(error) => return Verdict::Decode(error),
    };
    match *of {
        kind::CHARTER => {
            if let Ok(charter) = Charter::verify(&Clear, &statement, &room) {
                assert_eq!((encode(&charter).as_slice(), charter.room()), (&*statement.payload, room));
            }
            Charter::verify(&Shipped, &statement, &room).into()
        }
        kind::LEASE => {
            if let Ok(lease) = Lease::verify(&Clear, &statement, &room, &host) {
                check_lease(&lease, &statement);
            }
            Lease::verify(&Shipped, &statement, &room, &host).into()
        }
        kind::STATE => {
            if let Ok(state) = RoomState::verify(&Clear, &statement, &room, &host) {
                assert_eq!(encode(&state).as_slice(), &*statement.payload);
                assert!(state.host == host && matches!(state.frames_per_packet, 1 | 3), "{state:?}");
            }
            RoomState::verify(&Shipped, &statement, &room, &host).into()
        }
        other => unknown(Some(&other)),
    }
}

/// A certificate as Alice shows it, perhaps with the lease of the hub that signed it.
fn shown(statement: &Statement, lease: Option<&Statement>) -> Verdict {
    let (room, host) = (room(), FOUNDER.node());
    if let Ok(certificate) = Certificate::verify_under(&Clear, statement, lease, &room, &host, NOW) {
        assert_eq!(encode(&certificate).as_slice(), &*statement.payload);
        let (issued, expires) = (certificate.issued.0, certificate.expires.0);
        assert!(expires - issued <= CERTIFICATE_SECONDS, "{certificate:?} lives too long");
        assert!(issued <= NOW.0 + CLOCK_SKEW_SECONDS && NOW.0 < expires + CLOCK_SKEW_SECONDS, "{certificate:?}");
        if let Some(lease) = lease {
            let lease = Lease::verify(&Clear, lease, &room, &host).expect("it was good enough for the certificate");
            let number = certificate.admission.checked_sub(lease.first).expect("a number of the lease");
            assert!(number < lease.quota && certificate.role <= lease.role && certificate.role < Role::Host);
        }
    }
    let read = Certificate::verify_under(&Shipped, statement, lease, &room, &host, NOW);
    match read {
        // The room itself compares the name with that of the neighbour who shows it.
        Ok(certificate) if certificate.node != ALICE.node() => Verdict::NotTheirs,
        read => read.into(),
    }
}

fn check_lease(lease: &Lease, statement: &Statement) {
    assert_eq!(encode(lease).as_slice(), &*statement.payload);
    assert!(lease.role < Role::Host && lease.first > 0 && lease.hub != FOUNDER.node(), "{lease:?}");
    assert!(lease.first.checked_add(lease.quota).is_some(), "{lease:?}");
    assert!(lease.expires.0 - lease.not_before.0 <= LEASE_SECONDS, "{lease:?}");
}

/// What says who speaks: a beacon, a stage list, or the pieces that a list travels in.
///
/// # Panics
/// When one is accepted that breaks its bounds or has another encoding.
pub fn beacon(input: &[u8]) -> Verdict {
    let Some((of, rest)) = input.split_first() else { return unknown(None) };
    match *of {
        kind::BEACON => {
            decode(rest, CONTROL_BYTES_MAX).map_or_else(Verdict::Decode, |statement| signed_beacon(&statement))
        }
        kind::STAGE => Stage::from_bytes(rest).map_or_else(Verdict::Decode, |stage| staged(&stage, rest)),
        kind::PIECES => match rest.split_first_chunk() {
            Some((digest, pieces)) => assembled(*digest, pieces),
            None => Verdict::Decode(DecodeError::TooShort { len: rest.len(), min: 32 }),
        },
        other => unknown(Some(&other)),
    }
}

fn signed_beacon(statement: &Statement) -> Verdict {
    let (room, host) = (room(), FOUNDER.node());
    if let Ok(beacon) = Beacon::verify(&Clear, statement, &room, &host) {
        assert_eq!(encode(&beacon).as_slice(), &*statement.payload);
        assert!(beacon.chosen.len() <= CHOSEN_MAX);
    }
    Beacon::verify(&Shipped, statement, &room, &host).into()
}

fn staged(stage: &Stage, bytes: &[u8]) -> Verdict {
    assert_eq!(stage.to_bytes(), bytes, "another encoding of a stage list was accepted");
    assert!(stage.members().len() <= STAGE_MAX && stage.members().is_sorted_by(|a, b| a.node < b.node));
    // Signatures cost most, so a list of lies is looked at as one that a host has vouched for.
    if stage.verify_claims(&Shipped, &room()) { Verdict::Accepted } else { Verdict::Forged }
}

fn assembled(digest: [u8; 32], pieces: &[u8]) -> Verdict {
    let pieces: Pieces = match decode(pieces, CONTROL_BYTES_MAX * 4) {
        Ok(pieces) => pieces,
        Err(error) => return Verdict::Decode(error),
    };
    let mut assembly = Assembly::<Stage>::new(digest);
    for (index, of, part) in pieces.iter() {
        match assembly.add(digest, *index, *of, part) {
            Ok(None) => {}
            Err(error) => return Verdict::Decode(error),
            Ok(Some(stage)) => {
                assert_eq!(stage.digest(), digest, "a list with another digest was accepted");
                check_parts(&stage);
                return Verdict::Accepted;
            }
        }
    }
    Verdict::Incomplete
}

/// A list that was read is cut and put together again.
fn check_parts(stage: &Stage) {
    let mut assembly = Assembly::new(stage.digest());
    let mut whole = None;
    for part in stage.parts() {
        let Control::StatePart { digest, index, of, part } = part else { panic!("{part:?} is no piece") };
        whole = assembly.add(digest, index, of, &part).expect("an honest piece");
    }
    assert_eq!(whole.as_ref(), Some(stage));
}
