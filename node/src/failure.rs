//! Why the program ends without success: one sentence for a person, one number for a script.

use crate::{identity::IdentityError, store::StoreError};

/// Why the program ends without success.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Wrong use, or an invite that cannot be parsed or verified.
    #[error("{0}")]
    Usage(String),
    /// Used right, and yet it did not work: expired, refused, unanswered, failed.
    #[error("{0}")]
    Failed(String),
    /// The identity cannot be used.
    #[error("{0}")]
    Identity(#[from] IdentityError),
    /// The store cannot be used.
    #[error("{0}")]
    Store(#[from] StoreError),
}

impl Failure {
    /// The exit status: 2 for wrong use, 1 for the rest.
    pub fn exit_status(&self) -> u8 {
        match self {
            Failure::Usage(_) => 2,
            Failure::Failed(_) | Failure::Identity(_) | Failure::Store(_) => 1,
        }
    }
}
