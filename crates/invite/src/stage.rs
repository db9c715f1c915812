//! Who may speak, as one list that the room state has the digest of.

use serde::{Deserialize, Serialize};
use treehouse_wire::{
    DecodeError, List, MediaKey, NodeId, RoomId, Suite, VoiceId,
    control::Name,
    decode, encode,
    limits::{STAGE_MAX, STAGE_PARTS_MAX, STATE_PART_BYTES_MAX},
};

use crate::{assembly::StateList, media::MediaClaim, role::Role};

/// Largest stage list that is read, in bytes.
pub(crate) const STAGE_BYTES_MAX: usize = STATE_PART_BYTES_MAX * STAGE_PARTS_MAX;

/// One who may speak.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageMember {
    /// Who.
    pub node: NodeId,
    /// What it may do.
    pub role: Role,
    /// What it calls itself.
    pub name: Name,
    /// The media key that it speaks under; absent where it has none yet or never speaks.
    pub claim: Option<MediaClaim>,
}

/// Everyone on stage, ordered by node; no node and no voice is there twice.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Stage {
    members: Vec<StageMember>,
    /// Which member each voice is, ordered by voice: every packet asks.
    voices: Vec<(VoiceId, u8)>,
}

impl Stage {
    /// A stage of these members in any order, or `None` where they are more than
    /// [`STAGE_MAX`] or a node or a voice is there twice.
    pub fn new(mut members: Vec<StageMember>) -> Option<Stage> {
        members.sort_by_key(|member| member.node);
        Stage::from_ordered(members)
    }

    /// The stage, or `None` where nodes are not strictly ascending, voices do not differ, or there are too many.
    fn from_ordered(members: Vec<StageMember>) -> Option<Stage> {
        const { assert!(STAGE_MAX <= u8::MAX as usize) };
        let claims = (0..).zip(&members).filter_map(|(at, member)| Some((member.claim?.key.voice(), at)));
        let mut voices: Vec<(VoiceId, u8)> = claims.collect();
        voices.sort_unstable();
        let nodes_differ = members.is_sorted_by(|a, b| a.node < b.node);
        let voices_differ = voices.is_sorted_by(|a, b| a.0 < b.0);
        (members.len() <= STAGE_MAX && nodes_differ && voices_differ).then_some(Stage { members, voices })
    }

    /// The members, ordered by node.
    pub fn members(&self) -> &[StageMember] {
        &self.members
    }

    /// Whose a voice is, and the key that its packets are signed with.
    pub fn voice(&self, voice: &VoiceId) -> Option<(&NodeId, &MediaKey)> {
        let at = self.voices.binary_search_by_key(voice, |(of, _)| *of).ok()?;
        let member = self.members.get(usize::from(self.voices.get(at)?.1))?;
        Some((&member.node, &member.claim.as_ref()?.key))
    }

    /// The voices, in their order.
    pub fn voices(&self) -> impl Iterator<Item = &VoiceId> {
        self.voices.iter().map(|(voice, _)| voice)
    }

    /// The member with this key.
    pub fn get(&self, node: &NodeId) -> Option<&StageMember> {
        self.members.binary_search_by_key(node, |member| member.node).ok().and_then(|at| self.members.get(at))
    }

    /// Whether each media key is claimed by the identity that it stands beside.
    pub fn verify_claims<S: Suite>(&self, suite: &S, room: &RoomId) -> bool {
        self.members.iter().all(|member| member.claim.is_none_or(|claim| claim.verify(suite, room, &member.node)))
    }
}

impl StateList for Stage {
    // 50 members of at most 179 bytes make three pieces.
    const PARTS_MAX: usize = STAGE_PARTS_MAX;

    fn to_bytes(&self) -> Vec<u8> {
        encode(&self.members)
    }

    /// Signatures in it are not looked at; see [`Stage::verify_claims`]. No node and no voice may be there twice.
    fn from_bytes(bytes: &[u8]) -> Result<Stage, DecodeError> {
        let members = decode::<List<StageMember, STAGE_MAX>>(bytes, STAGE_BYTES_MAX)?.into_vec();
        Stage::from_ordered(members).ok_or(DecodeError::NotCanonical)
    }
}
