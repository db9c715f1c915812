//! That a neighbour has passed on a packet which nobody signed.

use treehouse_wire::{Domain, NodeId, RoomId, Signature, Suite, UnixSeconds};

use crate::statement::CLOCK_SKEW_SECONDS;

/// A complaint is heard for this long.
const HEARD_SECONDS: u64 = 600;

/// A member's word that another has sent it a forgery. It proves nothing to others: so it is signed, and one is not enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// Who was sent the forgery.
    pub by: NodeId,
    /// Who sent it.
    pub of: NodeId,
    /// When.
    pub at: UnixSeconds,
    /// By the identity of the one that complains, over both and the time.
    pub signature: Signature,
}

impl Complaint {
    /// Complains of `of` for `by`, whose signing key `identity` is.
    pub fn sign<S: Suite>(
        suite: &S,
        identity: &S::Signer,
        room: &RoomId,
        by: NodeId,
        of: NodeId,
        at: UnixSeconds,
    ) -> Complaint {
        let signature = Domain::Complaint.sign(suite, identity, room, &payload(&by, &of, at));
        Complaint { by, of, at, signature }
    }

    /// Whether `by` says so in this room, of late.
    pub fn verify<S: Suite>(&self, suite: &S, room: &RoomId, now: UnixSeconds) -> bool {
        let Complaint { by, of, at, signature } = self;
        now.0.abs_diff(at.0) <= HEARD_SECONDS + CLOCK_SKEW_SECONDS
            && Domain::Complaint.verify(suite, &by.0, room, &payload(by, of, *at), signature)
    }
}

fn payload(by: &NodeId, of: &NodeId, at: UnixSeconds) -> [u8; 72] {
    let mut payload = [0; 72];
    payload[..32].copy_from_slice(&by.0);
    payload[32..64].copy_from_slice(&of.0);
    payload[64..].copy_from_slice(&at.0.to_be_bytes());
    payload
}
