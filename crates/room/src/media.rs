//! A packet's way through a room: who may send it, whether it is new, whether it is genuine, who gets it next.
//!
//! Every hop verifies a packet before it plays or forwards it. What repeats is dropped before it is verified, so that two
//! feeds cost one verification. A packet of a voice that the room state does not name waits for the state and accuses
//! nobody; a signature that fails under a key that is on stage proves that this neighbour forged, because an honest one
//! would have dropped it.

use core::time::Duration;

use treehouse_wire::{Bytes, FramesPerPacket, NodeId, Packet, Suite, packet::UnsealError};

use crate::{
    api::{Offence, Output, PlayFrame, RoomError},
    room::Room,
    voices::FRAMES_OLD,
};

/// A packet is dropped from a lane when it has waited this long: past it no jitter buffer has use for it.
pub(crate) const LANE_DEADLINE: Duration = Duration::from_millis(500);
/// The deadline of replayed packets, of which up to two seconds are queued at once.
pub(crate) const REPLAY_DEADLINE: Duration = Duration::from_secs(1);
/// While packets of three frames of a voice come, those of one frame are not for the tree.
const THREE_RECENT: Duration = Duration::from_millis(250);

/// How a packet came.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Via {
    /// By a feed of the tree.
    Tree,
    /// By its speaker itself.
    Stage,
}

impl<S: Suite> Room<S> {
    pub(crate) fn media(&mut self, from: NodeId, bytes: Bytes) -> Result<(), RoomError> {
        if !self.links.is_up(&from) {
            return Ok(());
        }
        if !self.may_send_media(from) {
            self.offended(from, Offence::Flood);
            return Ok(());
        }
        let packet = match Packet::parse(bytes) {
            Ok(packet) => packet,
            Err(error) => {
                self.offended(from, Offence::Malformed);
                return Err(error.into());
            }
        };
        if self.via(&from, &packet).is_none() {
            // A voice may leave the stage while its packets are under way.
            if !self.stage_needs(&from) {
                self.unsolicited(from);
            }
            return Ok(());
        }
        self.heard(from);
        self.stage_links.heard(&from, self.now);
        self.receive(from, packet);
        Ok(())
    }

    fn via(&mut self, from: &NodeId, packet: &Packet) -> Option<Via> {
        let speaker = self.voices.get(&packet.header().voice).map(|voice| voice.speaker);
        if speaker == Some(*from) && self.stage_links.contains(from) {
            return Some(Via::Stage);
        }
        if self.feeds.get(from).is_some() {
            return Some(Via::Tree);
        }
        // The state that names the voice may be behind its first packet.
        (speaker.is_none() && self.stage_links.contains(from)).then_some(Via::Stage)
    }

    fn receive(&mut self, from: NodeId, packet: Packet) {
        let header = *packet.header();
        let now = self.now;
        let Some(voice) = self.voices.get(&header.voice) else {
            return self.voices.hold(now, from, packet);
        };
        if voice.speaker == self.me {
            return;
        }
        if voice.has_seen(&header) {
            return self.feeds.carried_again(&from, &header, now);
        }
        if !packet.verify(&self.suite, &self.room, &voice.key) {
            return self.forged(from);
        }
        voice.mark_seen(&header);
        if header.k == FramesPerPacket::Three {
            voice.three_at = Some(now);
        }
        self.feeds.carried_first(&from, &header, now);
        self.pass_on(from, &packet);
        self.play(from, &packet);
    }

    /// Looks again at packets that came before the state that names their voice.
    pub(crate) fn receive_held(&mut self) {
        for (from, packet) in self.voices.take_held(self.now) {
            if self.via(&from, &packet).is_some() {
                self.receive(from, packet);
            }
        }
    }

    fn forged(&mut self, from: NodeId) {
        self.feed_forged(from);
        self.offended(from, Offence::Forged);
    }

    /// Forwards a verified packet to the children, and keeps it for those who subscribe later.
    fn pass_on(&mut self, from: NodeId, packet: &Packet) {
        let (now, header) = (self.now, packet.header());
        let via_stage = self.via(&from, packet) == Some(Via::Stage);
        let Some(voice) = self.voices.get(&header.voice) else { return };
        let speaker = voice.speaker;
        // Down a tree of three frames a packet the single frames do not go, once the speaker sends both.
        let recent = voice.three_at.is_some_and(|at| now.since(at) < THREE_RECENT);
        if via_stage && header.k == FramesPerPacket::One && self.frames_per_packet() == FramesPerPacket::Three && recent
        {
            return;
        }
        let to = self.children.live(|child| *child != from && *child != speaker);
        self.forward(to, packet);
        if self.may_have_children() {
            self.voices.keep(now, speaker, packet.clone());
        }
    }

    /// Sends a packet to these peers.
    pub(crate) fn forward(&mut self, to: Vec<NodeId>, packet: &Packet) {
        if to.is_empty() {
            return;
        }
        let deadline = self.now.after(LANE_DEADLINE);
        self.children.fed(self.now);
        self.outputs.push_back(Output::Forward {
            to,
            lane: packet.header().lane(),
            packet: packet.bytes().clone(),
            deadline,
        });
    }

    fn play(&mut self, from: NodeId, packet: &Packet) {
        let header = packet.header();
        let Some((epoch, room_key)) = self.key.as_ref().filter(|(epoch, _)| *epoch == header.epoch) else { return };
        let Some(voice) = self.voices.get(&header.voice) else { return };
        let speaker = voice.speaker;
        let key = voice.unsealing_key(&self.suite, &self.room, *epoch, room_key);
        let voiced = match packet.open(&self.suite, key) {
            Ok(voiced) => voiced,
            // Neither accuses the neighbour: it cannot open what it relays if it is no member.
            Err(UnsealError::Key(_) | UnsealError::Content) => return,
        };
        for (offset, (number, opus)) in (0_u64..).zip(header.frames().zip(voiced.frames)) {
            if !voice.mark_played(number) {
                continue;
            }
            let samples = offset * u64::from(treehouse_wire::units::FRAME_SAMPLES);
            self.outputs.push_back(Output::Play(PlayFrame {
                voice: header.voice,
                speaker,
                number,
                captured: treehouse_wire::CaptureTime(header.captured.0.saturating_add(samples)),
                level: voiced.level,
                opus,
                from,
            }));
        }
    }

    /// Sends a new child what it lacks of the last two seconds.
    pub(crate) fn replay_to(&mut self, child: NodeId, from: &treehouse_wire::control::Positions) {
        let deadline = self.now.after(REPLAY_DEADLINE);
        for packet in self.voices.replay(self.now, &child, from) {
            self.outputs.push_back(Output::Forward {
                to: vec![child],
                lane: packet.header().lane(),
                packet: packet.bytes().clone(),
                deadline,
            });
        }
    }

    /// Frames a packet down the tree, as the room state says.
    pub(crate) fn frames_per_packet(&self) -> FramesPerPacket {
        let k = self.state.head().map_or(1, |state| state.frames_per_packet);
        FramesPerPacket::from_count(k).unwrap_or(FramesPerPacket::One)
    }
}

const _: () = assert!(FRAMES_OLD < crate::window::WINDOW);
