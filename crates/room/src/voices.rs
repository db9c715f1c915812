//! The voices on stage as a receiver knows them: which key is whose, what came already, what can still be replayed.

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use treehouse_invite::Stage;
use treehouse_wire::{
    Epoch, FrameNumber, FramesPerPacket, Header, MediaKey, NodeId, Packet, RoomId, RoomKey, Suite, VoiceId,
    control::Positions,
};

use crate::{time::Instant, window::Window};

/// Frames back to which a receiver asks for what it missed, and past which a packet is of no use: three seconds.
pub(crate) const FRAMES_OLD: u32 = 150;
/// How long a packet can be replayed to a child that subscribes.
pub(crate) const REPLAY: Duration = Duration::from_secs(2);
/// Packets in the replay ring: two seconds of twelve voices at one frame a packet. Past it the oldest go.
const RING_MAX: usize = 1200;
/// Packets of unknown voices that wait for the room state. Past it the oldest go.
const HELD_MAX: usize = 64;
/// Voices remembered after they left the stage. Past it the oldest go.
const LEFT_MAX: usize = 16;
/// How long a packet of an unknown voice waits.
pub(crate) const HELD: Duration = Duration::from_millis(500);

/// One voice on stage.
pub(crate) struct Voice<S: Suite> {
    pub(crate) speaker: NodeId,
    pub(crate) key: MediaKey,
    unsealing: Option<(Epoch, S::VoiceKey)>,
    /// Packets seen, by first / k; allocated with the first packet.
    seen: [Option<Box<Window>>; 2],
    /// Frames given to the player.
    played: Option<Box<Window>>,
    /// The last packet of three frames.
    pub(crate) three_at: Option<Instant>,
}

impl<S: Suite> Voice<S> {
    fn new(speaker: NodeId, key: MediaKey) -> Self {
        Voice { speaker, key, unsealing: None, seen: [None, None], played: None, three_at: None }
    }

    fn seen_slot(header: &Header) -> (usize, u32) {
        let slot = usize::from(header.k == FramesPerPacket::Three);
        (slot, header.first.0 / header.k.count())
    }

    /// Whether this packet came before, or is too old to tell.
    pub(crate) fn has_seen(&self, header: &Header) -> bool {
        let (slot, number) = Self::seen_slot(header);
        let newest = self.seen.iter().flatten().zip([1, 3]).filter_map(|(window, k)| Some(window.newest()? * k)).max();
        let old = newest.is_some_and(|newest| newest.saturating_sub(header.first.0) > FRAMES_OLD);
        old || self.seen[slot].as_ref().is_some_and(|window| window.contains(number))
    }

    /// Remembers a packet that verifies.
    pub(crate) fn mark_seen(&mut self, header: &Header) {
        let (slot, number) = Self::seen_slot(header);
        self.seen[slot].get_or_insert_default().insert(number);
    }

    /// Whether a frame is new to the player; it is not the next time.
    pub(crate) fn mark_played(&mut self, frame: FrameNumber) -> bool {
        self.played.get_or_insert_default().insert(frame.0)
    }

    /// The key that opens this voice's packets in an epoch.
    pub(crate) fn unsealing_key(&mut self, suite: &S, room: &RoomId, epoch: Epoch, room_key: &RoomKey) -> &S::VoiceKey {
        if self.unsealing.as_ref().is_none_or(|(of, _)| *of != epoch) {
            self.unsealing = None;
        }
        let key = self.key;
        &self.unsealing.get_or_insert_with(|| (epoch, suite.voice_key(room, epoch, room_key, &key))).1
    }
}

/// A verified packet that may still be replayed.
#[derive(Debug)]
struct Kept {
    at: Instant,
    /// The speaker need not have its own voice back.
    speaker: NodeId,
    packet: Packet,
}

/// All voices on stage.
pub(crate) struct Voices<S: Suite> {
    map: BTreeMap<VoiceId, Voice<S>>,
    /// Voices that left the stage: should one come back with its key, no frame of it is played again.
    left: VecDeque<(VoiceId, Voice<S>)>,
    ring: VecDeque<Kept>,
    held: VecDeque<(Instant, NodeId, Packet)>,
}

impl<S: Suite> Default for Voices<S> {
    fn default() -> Self {
        Voices { map: BTreeMap::new(), left: VecDeque::new(), ring: VecDeque::new(), held: VecDeque::new() }
    }
}

impl<S: Suite> Voices<S> {
    /// Takes over a new stage: voices that stay keep what is known of them.
    pub(crate) fn install(&mut self, stage: &Stage) {
        let mut old = core::mem::take(&mut self.map);
        old.extend(core::mem::take(&mut self.left));
        for member in stage.members() {
            let Some(claim) = &member.claim else { continue };
            let id = claim.key.voice();
            let voice = old.remove(&id).filter(|voice| voice.key == claim.key && voice.speaker == member.node);
            self.map.insert(id, voice.unwrap_or_else(|| Voice::new(member.node, claim.key)));
        }
        self.left.extend(old.into_iter().filter(|(_, voice)| voice.played.is_some()));
        while self.left.len() > LEFT_MAX {
            self.left.pop_front();
        }
    }

    pub(crate) fn get(&mut self, voice: &VoiceId) -> Option<&mut Voice<S>> {
        self.map.get_mut(voice)
    }

    /// The newest frame of each voice before which nothing is missing, for `Subscribe`.
    ///
    /// A newcomer wants nothing old of voices that it has not heard: it says that it has their last possible frame. In a
    /// repair they are left out instead, and so replayed, since they may have begun while nothing carried.
    pub(crate) fn positions(&self, newcomer: bool) -> Positions {
        let has = |voice: &Voice<S>| match &voice.played {
            Some(played) => played.contiguous(FRAMES_OLD),
            None => newcomer.then_some(u32::MAX),
        };
        Positions::truncated(self.map.iter().filter_map(|(id, voice)| Some((*id, FrameNumber(has(voice)?)))))
    }

    /// Keeps a packet for children that subscribe later.
    pub(crate) fn keep(&mut self, now: Instant, speaker: NodeId, packet: Packet) {
        self.forget_old(now);
        if self.ring.len() >= RING_MAX {
            self.ring.pop_front();
        }
        self.ring.push_back(Kept { at: now, speaker, packet });
    }

    pub(crate) fn forget_old(&mut self, now: Instant) {
        while self.ring.front().is_some_and(|kept| now.since(kept.at) > REPLAY) {
            self.ring.pop_front();
        }
    }

    /// The packets that a child lacks, oldest first.
    pub(crate) fn replay(&mut self, now: Instant, child: &NodeId, from: &Positions) -> Vec<Packet> {
        self.forget_old(now);
        let lacks = |packet: &Packet| {
            let header = packet.header();
            let last = header.frames().next_back().unwrap_or(header.first);
            from.iter().find(|(voice, _)| *voice == header.voice).is_none_or(|(_, has)| last > *has)
        };
        let wanted = self.ring.iter().filter(|kept| kept.speaker != *child && lacks(&kept.packet));
        wanted.map(|kept| kept.packet.clone()).collect()
    }

    /// Holds a packet of a voice that the room state does not know yet.
    pub(crate) fn hold(&mut self, now: Instant, from: NodeId, packet: Packet) {
        while self.held.len() >= HELD_MAX || self.held.front().is_some_and(|(at, ..)| now.since(*at) > HELD) {
            self.held.pop_front();
        }
        self.held.push_back((now, from, packet));
    }

    /// What was held and is not too old, to be looked at again.
    pub(crate) fn take_held(&mut self, now: Instant) -> Vec<(NodeId, Packet)> {
        let held = core::mem::take(&mut self.held);
        held.into_iter().filter(|(at, ..)| now.since(*at) <= HELD).map(|(_, from, packet)| (from, packet)).collect()
    }
}
