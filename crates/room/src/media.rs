//! A packet's way through a room: who may send it, whether it is new, whether it is genuine, who gets it next.
//!
//! Every hop verifies a packet before it plays or forwards it. What repeats is dropped before it is verified, so that two
//! feeds cost one verification. A packet of a voice that the room state does not name waits for the state and accuses
//! nobody; a signature that fails under a key that is on stage proves that this neighbour forged, because an honest one
//! would have dropped it.

use core::time::Duration;

use treehouse_wire::{Bytes, FramesPerPacket, Level, MediaKey, NodeId, Packet, Suite, VoiceId, packet::UnsealError};

use crate::{
    api::{Offence, Output, PlayFrame, RoomError, Suspicion},
    feeds::Brought,
    room::Room,
    timers::Timer,
    voices::{FRAMES_OLD, ONSET, ONSET_BY_BEACON, Way},
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
        let now = self.now;
        let Some(link) = self.links.get(&from) else { return Ok(()) };
        if !link.may_send_media(now) {
            self.offended(from, Offence::Flood);
            return Ok(());
        }
        // Looked up once: most packets are asked for.
        let was_unsolicited = link.unsolicited.is_some();
        let packet = match Packet::parse(bytes) {
            Ok(packet) => packet,
            Err(error) => {
                self.offended(from, Offence::Malformed);
                return Err(error.into());
            }
        };
        let Some(via) = self.via(&from, &packet) else {
            // A voice may leave the stage while its packets are under way.
            if !self.stage_needs(&from) {
                self.unsolicited(from);
            } else if let Some(link) = self.links.get(&from) {
                link.unsolicited = None;
            }
            return Ok(());
        };
        if was_unsolicited && let Some(link) = self.links.get(&from) {
            link.unsolicited = None;
        }
        self.heard(from, Brought::Packet);
        self.judge_accounts();
        self.stage_links.heard(&from, self.now);
        self.receive(from, via, packet);
        Ok(())
    }

    fn via(&self, from: &NodeId, packet: &Packet) -> Option<Via> {
        let on_stage = self.stage_links.contains(from);
        let speaker = self.state.stage().voice(&packet.header().voice).map(|(speaker, _)| speaker);
        match speaker {
            Some(speaker) if on_stage && speaker == from => Some(Via::Stage),
            _ if self.feeds.get(from).is_some() => Some(Via::Tree),
            // The state that names the voice may be behind its first packet.
            None if on_stage => Some(Via::Stage),
            _ => None,
        }
    }

    fn receive(&mut self, from: NodeId, via: Via, packet: Packet) {
        let header = *packet.header();
        let now = self.now;
        let Some((&speaker, &key)) = self.state.stage().voice(&header.voice) else {
            return self.voices.hold(now, from, packet);
        };
        if speaker == self.me {
            return;
        }
        // Down a tree of three frames a packet a root sends single ones where their packet of three is late, and the other root need not:
        // who brings them is no better than who does not.
        let is_extra = header.k == FramesPerPacket::One && self.frames_per_packet() == FramesPerPacket::Three;
        let recent = self.voices.recent(header.voice, now);
        if recent.has_seen(&header) {
            if !is_extra && self.feeds.carried_again(&from, &header, now) {
                self.suspect(from, Suspicion::Late);
            }
            return;
        }
        if !packet.verify(&self.suite, &self.room, &key) {
            return self.forged(from);
        }
        recent.mark_seen(&header, now);
        // Down a tree of three frames a packet the single frames do not go, once the speaker sends both.
        let single = via == Via::Stage && header.k == FramesPerPacket::One;
        let for_stage = single && recent.sends_three(now, THREE_RECENT) && recent.may_be_whole(&header);
        let is_part = single && recent.has_whole(&header);
        if !is_extra {
            self.feeds.carried_first(&from, &header, now);
        }
        if let Some(level) = self.play(from, speaker, &key, &packet) {
            self.judge(header.voice, level);
        }
        if header.k == FramesPerPacket::Three {
            self.voices.is_whole(now, &packet);
        }
        if self.frames_per_packet() != FramesPerPacket::Three || !for_stage {
            self.pass_on(&from, &speaker, &packet);
        } else if !is_part && self.is_root() {
            // To the rest of the stage the packet of three comes down the tree, later than it would be waited for here.
            self.hold_back(packet);
        }
    }

    /// Holds a single frame back for a packet of three, down a tree that takes those.
    pub(crate) fn hold_back(&mut self, packet: Packet) {
        if !self.children.is_empty() {
            let until = self.voices.hold_back(self.now, packet);
            self.timers.arm_by(Timer::Ticks, until);
        }
    }

    /// The end of a talkspurt seldom fills a packet of three: what is left of it goes down alone.
    pub(crate) fn flush_tails(&mut self) {
        for packet in self.voices.take_tails(self.now) {
            let speaker = self.state.stage().voice(&packet.header().voice).map(|(speaker, _)| *speaker);
            if let Some(speaker) = speaker {
                self.pass_on(&speaker, &speaker, &packet);
            }
        }
    }

    /// Looks again at packets that came before the state that names their voice.
    pub(crate) fn receive_held(&mut self) {
        for (_, from, packet) in self.voices.take_held(self.now) {
            if let Some(via) = self.via(&from, &packet) {
                self.receive(from, via, packet);
            }
        }
    }

    pub(crate) fn forged(&mut self, from: NodeId) {
        self.feed_forged(from);
        self.complain_of(from);
        self.offended(from, Offence::Forged);
    }

    /// Forwards a verified packet to the children if its voice is one that goes down the tree, and keeps it for those who
    /// subscribe later, or until its voice is chosen.
    pub(crate) fn pass_on(&mut self, from: &NodeId, speaker: &NodeId, packet: &Packet) {
        let goes = self.goes_down(&packet.header().voice);
        if goes {
            self.send_down(from, speaker, packet);
        }
        if self.may_have_children() {
            self.voices.keep(self.now, packet.clone(), if goes { Way::Sent } else { Way::Unchosen });
        }
    }

    fn send_down(&mut self, from: &NodeId, speaker: &NodeId, packet: &Packet) {
        let to = self.children.live(|child| child != from && child != speaker);
        self.children.leave_out([from, speaker]);
        self.account_for(packet.header());
        self.forward(to, packet);
    }

    /// The choice of voices has changed: what came of the new ones a moment ago follows.
    pub(crate) fn let_in(&mut self) {
        let mut unsent = Vec::new();
        let stage = self.state.stage();
        let new: Vec<VoiceId> = stage.voices().copied().filter(|voice| self.goes_down(voice)).collect();
        let onset = if self.acting.is_some() { ONSET } else { ONSET_BY_BEACON };
        for packet in self.voices.take_unsent(self.now, onset, |voice| new.contains(voice)) {
            let speaker = self.state.stage().voice(&packet.header().voice).map(|(speaker, _)| *speaker);
            unsent.extend(speaker.map(|speaker| (speaker, packet)));
        }
        for (speaker, packet) in unsent {
            self.send_down(&speaker, &speaker, &packet);
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

    /// Gives each frame that is new to the player; how loud the packet is, where there is one.
    fn play(&mut self, from: NodeId, speaker: NodeId, key: &MediaKey, packet: &Packet) -> Option<Level> {
        let header = packet.header();
        if self.booster {
            // It plays nothing, but says to a new parent from where on it lacks something.
            let recent = self.voices.recent(header.voice, self.now);
            header.frames().for_each(|number| {
                recent.mark_played(number);
            });
            return None;
        }
        let room_key = (header.epoch, self.keys.opening(header.epoch)?);
        let recent = self.voices.recent(header.voice, self.now);
        let voiced = match packet.open(&self.suite, recent.unsealing_key(&self.suite, &self.room, room_key, key)) {
            Ok(voiced) => voiced,
            // Neither accuses the neighbour: it cannot open what it relays if it is no member.
            Err(UnsealError::Key(_) | UnsealError::Content) => return None,
        };
        let (mut new, mut bits) = (None, 0);
        for (offset, (number, opus)) in (0_u64..).zip(header.frames().zip(voiced.frames)) {
            if !recent.mark_played(number) {
                continue;
            }
            new = Some(voiced.level);
            bits |= 1 << offset;
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
        self.record_packet(packet, key, bits);
        new
    }

    /// Sends a new child what it lacks of the last two seconds.
    pub(crate) fn replay_to(&mut self, child: NodeId, from: &treehouse_wire::control::Positions) {
        let deadline = self.now.after(REPLAY_DEADLINE);
        for packet in self.voices.replay(self.now, self.state.stage(), &child, from) {
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
