//! What a room is, signed by its founder.

use serde::{Deserialize, Serialize};
use treehouse_wire::{
    Domain, List, NodeId, RoomId, Suite,
    control::{Name, Statement},
};

use crate::{
    role::Policy,
    statement::{StatementError, check_signature, read, sign},
};

/// Successors that a charter names.
pub const SUCCESSORS_MAX: usize = 4;

/// What a room is. It never changes while the room lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charter {
    /// Who founded the room and signs its first invites.
    pub founder: NodeId,
    /// Random bytes that tell the founder's rooms apart.
    pub salt: [u8; 16],
    /// What the room is called.
    pub title: Name,
    /// Who may come.
    pub policy: Policy,
    /// Who takes over when the host is lost, first first.
    pub successors: List<NodeId, SUCCESSORS_MAX>,
}

/// What every invite to a room says of its charter: which room, and who may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Founding {
    /// Who founded the room.
    pub founder: NodeId,
    /// Random bytes that tell the founder's rooms apart.
    pub salt: [u8; 16],
    /// Who may come. The first link of an invite is signed for one policy only.
    pub policy: Policy,
}

impl Founding {
    /// The room.
    pub fn room(&self) -> RoomId {
        RoomId::derive(&self.founder, &self.salt)
    }
}

impl Charter {
    /// What invites to the room say of it.
    pub fn founding(&self) -> Founding {
        Founding { founder: self.founder, salt: self.salt, policy: self.policy }
    }

    /// The room that this charter is of.
    pub fn room(&self) -> RoomId {
        RoomId::derive(&self.founder, &self.salt)
    }

    /// The charter as it is handed to members.
    pub fn sign<S: Suite>(&self, suite: &S, founder: &S::Signer) -> Statement {
        sign(suite, Domain::Charter, founder, &self.room(), self)
    }

    /// Reads a charter that its founder signed for `room`.
    ///
    /// # Errors
    /// [`StatementError::OtherRoom`] where founder and salt do not hash to `room`; otherwise what is wrong with it.
    pub fn verify<S: Suite>(suite: &S, statement: &Statement, room: &RoomId) -> Result<Charter, StatementError> {
        let charter: Charter = read(statement)?;
        if charter.room() != *room {
            return Err(StatementError::OtherRoom);
        }
        check_signature(suite, Domain::Charter, statement, room, &charter.founder)?;
        Ok(charter)
    }
}
