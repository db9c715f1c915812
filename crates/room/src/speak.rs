//! The own voice: from encoded frames to packets.
//!
//! Each frame is sealed alone for the stage. Down a large tree three go in one packet; the speaker seals both and the
//! roots forward the larger. A (first frame, k) is sealed once and never again: the nonce depends on nothing else.

use core::time::Duration;

use treehouse_invite::MediaClaim;
use treehouse_wire::{
    Bytes, CaptureTime, Epoch, FrameNumber, FramesPerPacket, Header, Level, NodeId, Packet, RoomId, RoomKey, Signature,
    Suite, limits::OPUS_FRAME_BYTES_MAX,
};

use crate::{api::RoomError, room::Room, time::Instant, voices::Way};

/// After the tree went back to single frames, triples are still sent for this long, until every root knows.
const THREE_LINGER: Duration = Duration::from_secs(1);

/// A frame that waits for the rest of its packet.
#[derive(Clone, Debug)]
struct Waiting {
    number: FrameNumber,
    captured: CaptureTime,
    level: Level,
    opus: Bytes,
}

/// The voice of this node for one session.
pub(crate) struct OwnVoice<S: Suite> {
    signer: S::Signer,
    pub(crate) claim: MediaClaim,
    sealing: Option<(Epoch, S::VoiceKey)>,
    next: FrameNumber,
    group: Vec<Waiting>,
    three_until: Option<Instant>,
    pub(crate) on_stage: bool,
}

impl<S: Suite> OwnVoice<S> {
    pub(crate) fn new(signer: S::Signer, claim: MediaClaim) -> Self {
        OwnVoice {
            signer,
            claim,
            sealing: None,
            next: FrameNumber(0),
            group: Vec::new(),
            three_until: None,
            on_stage: false,
        }
    }

    /// That `me` has the key that it claims.
    pub(crate) fn prove(&self, suite: &S, room: &RoomId, me: &NodeId) -> Signature {
        MediaClaim::prove(suite, &self.signer, room, me)
    }

    /// Whether a frame begins a group or goes on with one. A group that misses its first frame can never be whole.
    fn follows(&self, number: FrameNumber) -> bool {
        let begins = number.0.is_multiple_of(FramesPerPacket::Three.count());
        begins || self.group.last().is_some_and(|last| last.number.checked_add(1) == Some(number))
    }

    /// Adds a frame; returns the three of a whole group.
    fn group(&mut self, frame: Waiting) -> Option<Vec<Waiting>> {
        let follows = self.follows(frame.number);
        if !follows || frame.number.0.is_multiple_of(FramesPerPacket::Three.count()) {
            self.group.clear();
        }
        if follows {
            self.group.push(frame);
        }
        (self.group.len() == FramesPerPacket::Three.count() as usize).then(|| core::mem::take(&mut self.group))
    }
}

impl<S: Suite> Room<S> {
    /// Whether this node's own voice is on stage, as the room state that it has says.
    pub(crate) fn own_voice_staged(&mut self) {
        let staged = self.state.stage().get(&self.me).and_then(|member| member.claim).map(|claim| claim.key);
        if let Some(voice) = &mut self.own_voice {
            voice.on_stage = staged == Some(voice.claim.key);
        }
    }

    pub(crate) fn captured(
        &mut self,
        number: FrameNumber,
        captured: CaptureTime,
        level: Level,
        opus: Bytes,
    ) -> Result<(), RoomError> {
        let three = self.frames_per_packet() == FramesPerPacket::Three;
        let now = self.now;
        let Some(voice) = self.own_voice.as_mut().filter(|voice| voice.on_stage) else {
            return Err(RoomError::NotOnStage);
        };
        if number < voice.next || opus.is_empty() || opus.len() > OPUS_FRAME_BYTES_MAX {
            return Err(RoomError::BadFrame);
        }
        voice.next = number.checked_add(1).ok_or(RoomError::BadFrame)?;
        if three {
            voice.three_until = Some(now.after(THREE_LINGER));
        }
        let id = voice.claim.key.voice();
        let frame = Waiting { number, captured, level, opus };
        let follows = voice.follows(number);
        let group = voice.group(frame.clone()).filter(|_| voice.three_until.is_some_and(|until| now < until));
        self.judge(id, level);
        // A single frame that cannot be in a packet of three goes down the tree as it is.
        self.publish(FramesPerPacket::One, &[frame], three && follows)?;
        if let Some(group) = group {
            self.publish(FramesPerPacket::Three, &group, three)?;
        }
        Ok(())
    }

    /// Seals frames once and sends them to all who get this packetisation from this node.
    fn publish(&mut self, k: FramesPerPacket, frames: &[Waiting], tree_of_three: bool) -> Result<(), RoomError> {
        let Some(packet) = self.seal(k, frames)? else { return Ok(()) };
        if let (FramesPerPacket::One, Some(key)) = (k, self.own_voice.as_ref().map(|voice| voice.claim.key)) {
            self.record_packet(&packet, &key, 1);
        }
        let for_tree = (k == FramesPerPacket::Three) == tree_of_three;
        let mut to: Vec<NodeId> = if k == FramesPerPacket::One {
            self.stage_links.listeners().to_vec()
        } else {
            // Only roots forward; the rest of the stage has had the single frames.
            self.roots_listening()
        };
        if for_tree {
            let goes = self.goes_down(&packet.header().voice);
            if goes {
                to.extend(self.children.live(|_| true));
                to.sort_unstable();
                to.dedup();
                self.account_for(packet.header());
            }
            if self.may_have_children() {
                self.voices.keep(self.now, packet.clone(), if goes { Way::Sent } else { Way::Unchosen });
            }
            if k == FramesPerPacket::Three {
                self.voices.is_whole(self.now, &packet);
            }
        } else if k == FramesPerPacket::One {
            self.hold_back(packet.clone());
        }
        self.forward(to, &packet);
        Ok(())
    }

    fn roots_listening(&self) -> Vec<NodeId> {
        let co_root = self.state.head().and_then(|state| state.co_root);
        let is_root = |node: &&NodeId| **node == self.host || Some(**node) == co_root;
        self.stage_links.listeners().iter().filter(is_root).copied().collect()
    }

    fn seal(&mut self, k: FramesPerPacket, frames: &[Waiting]) -> Result<Option<Packet>, RoomError> {
        let sealing = self.keys.sealing(self.now);
        let (Some(voice), Some((epoch, room_key)), Some(first)) = (&mut self.own_voice, sealing, frames.first()) else {
            return Ok(None);
        };
        let key = sealing_key::<S>(&self.suite, voice, &self.room, epoch, room_key);
        let level = frames.iter().map(|frame| frame.level).min().unwrap_or(Level::SILENCE);
        let header = Header { k, epoch, voice: voice.claim.key.voice(), first: first.number, captured: first.captured };
        let opus: Vec<&Bytes> = frames.iter().map(|frame| &frame.opus).collect();
        Packet::seal(&self.suite, &self.room, &voice.signer, &key, header, level, &opus)
            .map(Some)
            .map_err(|_| RoomError::BadFrame)
    }
}

fn sealing_key<S: Suite>(
    suite: &S,
    voice: &mut OwnVoice<S>,
    room: &treehouse_wire::RoomId,
    epoch: Epoch,
    room_key: &RoomKey,
) -> S::VoiceKey {
    if voice.sealing.as_ref().is_none_or(|(of, _)| *of != epoch) {
        voice.sealing = Some((epoch, suite.voice_key(room, epoch, room_key, &voice.claim.key)));
    }
    match &voice.sealing {
        Some((_, key)) => key.clone(),
        None => suite.voice_key(room, epoch, room_key, &voice.claim.key),
    }
}
