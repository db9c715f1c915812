//! What charter, certificate and room state have in common: payloads of a kind, signed for a room.

use serde::{Serialize, de::DeserializeOwned};
use treehouse_wire::{
    Blob, DecodeError, Domain, NodeId, RoomId, Suite, control::Statement, decode, encode, limits::SIGNED_BYTES_MAX,
};

/// How far two honest clocks may disagree, in seconds.
pub const CLOCK_SKEW_SECONDS: u64 = 120;

/// Why a statement was refused. Whoever sent it is at fault, or the clock of one of the two is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// Its payload is no statement of this kind.
    #[error("the statement is malformed: {0}")]
    Malformed(#[from] DecodeError),
    /// It was not signed by the key that it must be signed by, for this room and as this kind.
    #[error("the statement's signature does not verify")]
    BadSignature,
    /// A charter whose founder and salt make another room.
    #[error("the statement is for another room")]
    OtherRoom,
    /// Its time is over.
    #[error("the statement has expired; check the clock, or ask the host for a new one")]
    Expired,
    /// Its time has not come.
    #[error("the statement is not valid yet; check the clock")]
    NotYetValid,
    /// A certificate that a hub had no right to sign: another role, number or time than its lease says.
    #[error("the hub's lease does not allow this certificate; ask the host for one")]
    BeyondLease,
}

/// Signs the canonical bytes of `value`.
pub(crate) fn sign<S: Suite, T: Serialize>(
    suite: &S,
    domain: Domain,
    signer: &S::Signer,
    room: &RoomId,
    value: &T,
) -> Statement {
    let bytes = encode(value);
    // Each payload's largest size is far below the limit, which a test holds; a longer one would not verify.
    let payload: Blob<SIGNED_BYTES_MAX> = Blob::truncated(bytes);
    let signature = domain.sign(suite, signer, room, &payload);
    Statement { payload, signature }
}

/// The value in a statement. Decoding comes first: it is a hundred times cheaper than the signature.
pub(crate) fn read<T: Serialize + DeserializeOwned>(statement: &Statement) -> Result<T, StatementError> {
    Ok(decode(&statement.payload, SIGNED_BYTES_MAX)?)
}

/// Whether `key` signed this statement for this room as this kind.
pub(crate) fn check_signature<S: Suite>(
    suite: &S,
    domain: Domain,
    statement: &Statement,
    room: &RoomId,
    key: &NodeId,
) -> Result<(), StatementError> {
    if domain.verify(suite, &key.0, room, &statement.payload, &statement.signature) {
        Ok(())
    } else {
        Err(StatementError::BadSignature)
    }
}
