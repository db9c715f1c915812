//! That a node belongs to a room, signed by the host or by a hub that has a lease.

use serde::{Deserialize, Serialize};
use treehouse_wire::{DecodeError, Domain, Lineage, NodeId, RoomId, Suite, UnixSeconds, control::Statement};

use crate::{
    lease::Lease,
    role::Role,
    statement::{CLOCK_SKEW_SECONDS, StatementError, check_signature, read, sign},
};

/// Longest life of a certificate, in seconds: two hours. A member has it renewed before.
pub const CERTIFICATE_SECONDS: u64 = 7200;

/// What admission returns and every member shows to the relays that it asks for a feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// Who was admitted.
    pub node: NodeId,
    /// What it may do.
    pub role: Role,
    /// How many were admitted before it; the host has 0.
    pub admission: u32,
    /// The host's term in which it was issued.
    pub term: u16,
    /// When it was issued.
    pub issued: UnixSeconds,
    /// When it ends, [`CERTIFICATE_SECONDS`] after that at most.
    pub expires: UnixSeconds,
    /// The links of the invite that it was admitted by; none for the host itself.
    pub lineage: Lineage,
}

impl Certificate {
    /// The certificate as it is handed out.
    pub fn sign<S: Suite>(&self, suite: &S, host: &S::Signer, room: &RoomId) -> Statement {
        sign(suite, Domain::Certificate, host, room, self)
    }

    /// Reads a certificate without looking at its signature: one's own.
    ///
    /// # Errors
    /// [`StatementError::Malformed`] where it is none.
    pub fn read(statement: &Statement) -> Result<Certificate, StatementError> {
        read(statement)
    }

    /// Reads a certificate that `host` signed for `room` and that is valid `now`, give or take
    /// [`CLOCK_SKEW_SECONDS`].
    ///
    /// # Errors
    /// [`StatementError`], which says what is wrong with it.
    pub fn verify<S: Suite>(
        suite: &S,
        statement: &Statement,
        room: &RoomId,
        host: &NodeId,
        now: UnixSeconds,
    ) -> Result<Certificate, StatementError> {
        let certificate: Certificate = read(statement)?;
        match certificate.expires.0.checked_sub(certificate.issued.0) {
            Some(seconds) if seconds <= CERTIFICATE_SECONDS => {}
            _ => return Err(DecodeError::OutOfRange("the certificate's lifetime").into()),
        }
        if now.0.saturating_add(CLOCK_SKEW_SECONDS) < certificate.issued.0 {
            return Err(StatementError::NotYetValid);
        }
        if now.0 >= certificate.expires.0.saturating_add(CLOCK_SKEW_SECONDS) {
            return Err(StatementError::Expired);
        }
        check_signature(suite, Domain::Certificate, statement, room, host)?;
        Ok(certificate)
    }

    /// Reads a certificate that the host signed, or a hub under the lease that is shown with it.
    ///
    /// The lease need not hold any more: the certificate must have been issued while it did.
    ///
    /// # Errors
    /// [`StatementError`], which says what is wrong with either.
    pub fn verify_under<S: Suite>(
        suite: &S,
        statement: &Statement,
        lease: Option<&Statement>,
        room: &RoomId,
        host: &NodeId,
        now: UnixSeconds,
    ) -> Result<Certificate, StatementError> {
        let Some(lease) = lease else { return Certificate::verify(suite, statement, room, host, now) };
        let lease = Lease::verify(suite, lease, room, host)?;
        let certificate = Certificate::verify(suite, statement, room, &lease.hub, now)?;
        if lease.covers(&certificate) { Ok(certificate) } else { Err(StatementError::BeyondLease) }
    }
}
