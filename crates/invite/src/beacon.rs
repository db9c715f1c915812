//! The beacon: which voices go down the tree, signed by the acting host once a second and at once on a change.
//!
//! Only the host decides, since only it hears everyone and can read how loud they are. A beacon also says what of each
//! voice has gone down the tree since the one before, so that a member can tell what was kept from it.

use serde::{Deserialize, Serialize};
use treehouse_wire::{
    Domain, FrameNumber, List, NodeId, RoomId, Suite, VoiceId,
    control::Statement,
    limits::{CARRIED_MAX, CHOSEN_MAX},
};

use crate::statement::{StatementError, check_signature, read, sign};

/// What of one voice has gone down the tree since the beacon before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    /// The voice.
    pub voice: VoiceId,
    /// The lowest frame.
    pub first: FrameNumber,
    /// The highest frame.
    pub last: FrameNumber,
    /// How many distinct frames, these two among them; 1 at least.
    pub count: u32,
}

/// Which voices go down the tree. The newer one, by [`Beacon::id`], replaces the older.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beacon {
    /// Term and version of the newest room state.
    pub state: (u16, u32),
    /// Grows with each beacon in the term.
    pub number: u32,
    /// The voices that go down the tree from now on.
    pub chosen: List<VoiceId, CHOSEN_MAX>,
    /// What has gone down the tree since the beacon before, a voice each.
    pub carried: List<Carried, CARRIED_MAX>,
}

impl Beacon {
    /// Term and number: which of two beacons is newer.
    pub fn id(&self) -> (u16, u32) {
        (self.state.0, self.number)
    }

    /// The beacon as it is flooded.
    pub fn sign<S: Suite>(&self, suite: &S, host: &S::Signer, room: &RoomId) -> Statement {
        sign(suite, Domain::Beacon, host, room, self)
    }

    /// Reads a beacon without looking at its signature, to tell whether it is new at all.
    ///
    /// # Errors
    /// [`StatementError::Malformed`] where it is no beacon.
    pub fn read(statement: &Statement) -> Result<Beacon, StatementError> {
        read(statement)
    }

    /// Reads a beacon that `host` signed for `room`.
    ///
    /// # Errors
    /// [`StatementError`], which says what is wrong with it.
    pub fn verify<S: Suite>(
        suite: &S,
        statement: &Statement,
        room: &RoomId,
        host: &NodeId,
    ) -> Result<Beacon, StatementError> {
        let beacon = read(statement)?;
        check_signature(suite, Domain::Beacon, statement, room, host)?;
        Ok(beacon)
    }
}
