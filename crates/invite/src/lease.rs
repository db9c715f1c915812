//! That a hub may admit and place members, signed by the host.
//!
//! A large room has more joiners than one node can serve. The host leases a part of its right to relays near the roots: a
//! span of the numbers of admission, up to a role, for some minutes. Whoever is shown a certificate that a hub has signed is
//! shown the lease beside it, and sees from the two alone whether the hub kept to it: no number is in two leases, so the span
//! is the quota.

use serde::{Deserialize, Serialize};
use treehouse_wire::{DecodeError, Domain, NodeId, RoomId, Suite, UnixSeconds, control::Statement};

use crate::{
    certificate::Certificate,
    role::Role,
    statement::{CLOCK_SKEW_SECONDS, StatementError, check_signature, read, sign},
};

/// Longest life of a lease, in seconds: ten minutes. A hub has it renewed before.
pub const LEASE_SECONDS: u64 = 600;

/// What lets a hub admit and place members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Who holds it.
    pub hub: NodeId,
    /// The region that it leads.
    pub region: u32,
    /// The highest role that it may certify; never the host's.
    pub role: Role,
    /// The first number of admission that it may give.
    pub first: u32,
    /// How many it may give.
    pub quota: u32,
    /// Members of its region from which it is to send joiners on.
    pub members_max: u32,
    /// The host's term in which it was issued.
    pub term: u16,
    /// When it begins.
    pub not_before: UnixSeconds,
    /// When it ends, [`LEASE_SECONDS`] after that at most.
    pub expires: UnixSeconds,
}

impl Lease {
    /// The lease as it is handed out.
    pub fn sign<S: Suite>(&self, suite: &S, host: &S::Signer, room: &RoomId) -> Statement {
        sign(suite, Domain::Lease, host, room, self)
    }

    /// Reads a lease that `host` signed for `room`, whatever the time is: certificates outlive the lease that they were
    /// signed under. Ask [`Lease::is_valid`] whether it is to be acted on.
    ///
    /// # Errors
    /// [`StatementError`], which says what is wrong with it.
    pub fn verify<S: Suite>(
        suite: &S,
        statement: &Statement,
        room: &RoomId,
        host: &NodeId,
    ) -> Result<Lease, StatementError> {
        let lease: Lease = read(statement)?;
        if lease.role >= Role::Host || lease.hub == *host {
            return Err(DecodeError::OutOfRange("what the lease grants").into());
        }
        if lease.first == 0 || lease.first.checked_add(lease.quota).is_none() {
            return Err(DecodeError::OutOfRange("the lease's admissions").into());
        }
        match lease.expires.0.checked_sub(lease.not_before.0) {
            Some(seconds) if seconds <= LEASE_SECONDS => {}
            _ => return Err(DecodeError::OutOfRange("the lease's lifetime").into()),
        }
        check_signature(suite, Domain::Lease, statement, room, host)?;
        Ok(lease)
    }

    /// Whether it holds at a time, give or take [`CLOCK_SKEW_SECONDS`].
    pub fn is_valid(&self, now: UnixSeconds) -> bool {
        now.0.saturating_add(CLOCK_SKEW_SECONDS) >= self.not_before.0
            && now.0 < self.expires.0.saturating_add(CLOCK_SKEW_SECONDS)
    }

    /// Whether a hub that holds it may have signed this certificate.
    pub fn covers(&self, certificate: &Certificate) -> bool {
        let number = certificate.admission.checked_sub(self.first);
        certificate.role <= self.role
            && certificate.node != self.hub
            && number.is_some_and(|number| number < self.quota)
            && certificate.term == self.term
            && certificate.issued >= self.not_before
            && certificate.issued <= self.expires
    }
}
