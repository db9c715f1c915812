//! The head of what changes while a room lives, signed by the acting host.

use serde::{Deserialize, Serialize};
use treehouse_wire::{DecodeError, Domain, Epoch, FramesPerPacket, NodeId, RoomId, Suite, control::Statement};

use crate::{
    role::Protection,
    statement::{StatementError, check_signature, read, sign},
};

/// A new room key seals packets this long after it was signed, in milliseconds: by then it has come to everyone.
pub const KEY_ACTIVATION_MS: u64 = 800;

/// The head of the room state. The newer one, by [`RoomState::id`], replaces the older.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomState {
    /// The acting host.
    pub host: NodeId,
    /// How often the host's role has passed on.
    pub term: u16,
    /// Grows with each change in the term.
    pub version: u32,
    /// The newest epoch. Its key seals packets from [`KEY_ACTIVATION_MS`] after the state that named it first was signed.
    pub epoch: Epoch,
    /// How many members hold live standby feeds.
    pub protection: Protection,
    /// Frames in a packet down the tree: 1 or 3.
    pub frames_per_packet: u8,
    /// Somebody records.
    pub recording: bool,
    /// Who feeds the tree beside the host.
    pub co_root: Option<NodeId>,
    /// Members in the room.
    pub members: u32,
    /// SHA-256 of the stage list.
    pub stage_digest: [u8; 32],
    /// SHA-256 of the list of bans.
    pub bans_digest: [u8; 32],
    /// [`RoomKey::digest`](treehouse_wire::RoomKey::digest) of the epoch's key.
    pub key_digest: [u8; 32],
}

impl RoomState {
    /// Term and version: which of two states is newer.
    pub fn id(&self) -> (u16, u32) {
        (self.term, self.version)
    }

    /// The state as it is flooded.
    pub fn sign<S: Suite>(&self, suite: &S, host: &S::Signer, room: &RoomId) -> Statement {
        sign(suite, Domain::RoomState, host, room, self)
    }

    /// Reads a state that `host` signed for `room` and in which it calls itself the host.
    ///
    /// # Errors
    /// [`StatementError`], which says what is wrong with it.
    pub fn verify<S: Suite>(
        suite: &S,
        statement: &Statement,
        room: &RoomId,
        host: &NodeId,
    ) -> Result<RoomState, StatementError> {
        let state: RoomState = read(statement)?;
        if FramesPerPacket::from_count(state.frames_per_packet).is_none() {
            return Err(DecodeError::OutOfRange("frames per packet").into());
        }
        if state.host != *host {
            return Err(StatementError::BadSignature);
        }
        check_signature(suite, Domain::RoomState, statement, room, host)?;
        Ok(state)
    }
}
