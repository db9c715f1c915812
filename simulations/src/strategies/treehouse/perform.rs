//! What a room asks for, done in the simulated network, and what happens there, told to the room.

use treehouse_hostile::forge;
use treehouse_room::{Event, Input, Instant, Output, PlayFrame, Room, RoomError};
use treehouse_wire::{Address, Bytes, CaptureTime, FrameNumber, Level, NodeId, Packet, Suite, units::FRAME_SAMPLES};

use super::{Message, Timer, Treehouse, WALL_CLOCK_US, lies, tally, voice::Voice, wall};
use crate::{
    engine::Net,
    plan::{Hostile, NodeIx},
    random::mix,
    strategy::{Class, Frame},
};

/// Bytes of an Opus frame at 32 kbit/s, constant bitrate.
const OPUS_BYTES: usize = 80;
/// Bytes of the length before each message on a stream.
const LENGTH_BYTES: usize = 2;
/// Level of speech, in dB below full scale: the nominal level of ITU-T P.56 measurements.
const LEVEL: u8 = 26;
/// How far speakers are apart, and how far one rises and falls, in dB from the mean to either side: assumed.
const SPEAKER_DB: u64 = 6;
const SYLLABLE_DB: u64 = 3;
/// Frames for which a speaker keeps to a level.
const SYLLABLE_FRAMES: u64 = 10;

impl<S: Suite> Treehouse<S> {
    /// Tells a room what happened and does what it asks for.
    pub(super) fn input(&mut self, net: &mut Net<Self>, node: NodeIx, input: Input<'_>) {
        let now = Instant::from_micros(net.now_us());
        let Some(room) = self.room_mut(node) else { return };
        // What a peer did wrong is in the events; what cannot be done any more, such as lowering a hand in a room
        // that was closed, is of no use either.
        let _ = room.handle_input(now, input);
        self.drain(net, node);
        if !self.played.is_empty() {
            self.record_held(net, node);
        }
    }

    /// A media packet has come.
    pub(super) fn media(&mut self, net: &mut Net<Self>, node: NodeIx, from: NodeId, bytes: Bytes) {
        let header = Packet::parse(bytes.clone()).ok().map(|packet| *packet.header());
        let now = Instant::from_micros(net.now_us());
        let Some(room) = self.room_mut(node) else { return };
        let _ = room.handle_input(now, Input::Media { from, packet: bytes });
        self.drain(net, node);
        if let Some(header) = header {
            self.record(net, node, from, &header);
        }
    }

    /// The time has come that the room wanted to wake at.
    pub(super) fn wake(&mut self, net: &mut Net<Self>, node: NodeIx, at_us: u64) {
        let now_us = net.now_us();
        let Some(member) = self.member_mut(node).filter(|member| member.wake_us == Some(at_us)) else { return };
        member.wake_us = None;
        let tells_time = now_us - member.wall_us >= WALL_CLOCK_US;
        if tells_time {
            member.wall_us = now_us;
        }
        let Some(room) = member.room.as_deref_mut() else { return };
        let now = Instant::from_micros(now_us);
        if tells_time {
            // Nothing can be wrong with a time of day.
            let _ = room.handle_input(now, Input::WallClock(wall(now_us)));
        }
        room.handle_timeout(now);
        self.drain(net, node);
        if !self.played.is_empty() {
            self.record_held(net, node);
        }
    }

    /// A frame of a node's voice was captured.
    pub(super) fn capture(&mut self, net: &mut Net<Self>, node: NodeIx, frame: Frame) {
        let (now_us, frame_us) = (net.now_us(), net.plan().media.frame_us);
        let Some(member) = self.member_mut(node) else { return };
        let voice = member.voice.get_or_insert_with(|| Box::new(Voice::new(frame.voice)));
        let number = voice.take(frame.number, (now_us / frame_us.max(1)) as u32);
        let Some(room) = member.room.as_deref_mut() else { return };
        let input = Input::Captured {
            number: FrameNumber(number),
            captured: CaptureTime(now_us.saturating_sub(frame_us) * u64::from(FRAME_SAMPLES) / frame_us.max(1)),
            level: level(node, number),
            opus: sound(node, number),
        };
        match room.handle_input(Instant::from_micros(now_us), input) {
            Err(RoomError::NotOnStage) => net.count("frames_not_on_stage", 1),
            Err(_) => net.count("frames_refused", 1),
            Ok(()) => {}
        }
        if node == NodeIx::HOST {
            self.chosen(net, node, number, 1);
        }
        self.drain(net, node);
    }

    /// The host has frames of a voice: whether they go down the tree.
    fn chosen(&self, net: &mut Net<Self>, speaker: NodeIx, first: u32, frames: u32) {
        let packet = self.member(speaker).and_then(|of| of.voice.as_deref()?.packet(first, frames));
        let room = self.room(NodeIx::HOST);
        let id = self.newest_voice.get(&speaker);
        if let (Some(packet), Some(room), Some(id)) = (packet, room, id) {
            net.chosen(packet, room.goes_down(id));
        }
    }

    fn drain(&mut self, net: &mut Net<Self>, node: NodeIx) {
        while let Some(output) = self.room_mut(node).and_then(Room::poll_output) {
            if let Some(output) = self.instead_of(net, node, output) {
                self.perform(net, node, output);
            }
        }
        self.arm_twist(net, node);
        if net.wants_feeds() {
            self.see_place(net, node);
        }
        let Some(member) = self.member_mut(node) else { return };
        let next = member.room.as_deref().and_then(Room::poll_timeout).map(|(at, _)| at.as_micros());
        if let Some(at_us) = next.filter(|at_us| member.wake_us.is_none_or(|wake_us| wake_us > *at_us)) {
            member.wake_us = Some(at_us);
            net.timer(node, at_us, Timer::Wake(at_us));
        }
    }

    /// What a hostile node does in place of what its room wants; an honest one does that.
    fn instead_of(&mut self, net: &Net<Self>, node: NodeIx, output: Output) -> Option<Output> {
        let now = Instant::from_micros(net.now_us());
        match self.member_mut(node).and_then(|member| member.twist.as_deref_mut()) {
            Some(twist) => twist.instead_of(now, output),
            None => Some(output),
        }
    }

    fn arm_twist(&mut self, net: &mut Net<Self>, node: NodeIx) {
        let Some(member) = self.member_mut(node) else { return };
        let due = member.twist.as_ref().and_then(|twist| twist.poll_timeout()).map(|at| at.as_micros());
        if let Some(at_us) = due.filter(|at_us| member.twist_us.is_none_or(|armed_us| armed_us > *at_us)) {
            member.twist_us = Some(at_us);
            net.timer(node, at_us, Timer::Twist(at_us));
        }
    }

    /// A hostile node does something that its room did not ask for.
    pub(super) fn act(&mut self, net: &mut Net<Self>, node: NodeIx, at_us: u64) {
        let now = Instant::from_micros(net.now_us());
        let Some(member) = self.member_mut(node).filter(|member| member.twist_us == Some(at_us)) else { return };
        member.twist_us = None;
        if member.room.is_none() {
            return;
        }
        while let Some(output) = self.member_mut(node).and_then(|member| member.twist.as_deref_mut()?.poll_output(now))
        {
            self.perform(net, node, output);
        }
        self.arm_twist(net, node);
    }

    fn perform(&mut self, net: &mut Net<Self>, node: NodeIx, output: Output) {
        match output {
            Output::Dial { peer, addresses } => self.dial(net, node, peer, &addresses),
            Output::Measure { peers } => self.measure(net, node, &peers),
            Output::MeasureFeed { peer } => self.measure_feed(net, node, peer),
            Output::Hangup { peer } => {
                if let Some(peer) = self.index.get(&peer) {
                    net.disconnect(node, *peer);
                }
            }
            Output::Send { to, bytes } => {
                let Some(to) = self.index.get(&to).copied() else { return };
                if self.kinds.sent(&bytes) {
                    net.count(tally::decline(&bytes), 1);
                }
                if net.is_flow() && !net.is_alive(to) && tally::is_subscribe(&bytes) {
                    self.notice_silence(net, node, to);
                }
                self.kicks.sent(to, &bytes);
                self.say(net, node, to, bytes);
            }
            Output::Forward { to, lane, packet, deadline } => {
                self.host_forwards(net, node, &packet);
                let packet = self.forge(net, node, packet);
                let len = (packet.len() + LENGTH_BYTES) as u32;
                let deadline_us = deadline.as_micros().saturating_sub(net.now_us());
                let class = Class::Media { lane: lane as u8, deadline_us };
                for to in to {
                    if let Some(to) = self.index.get(&to) {
                        net.send(node, *to, len, class, Message::Media(packet.clone()));
                    }
                }
            }
            Output::Play(frame) => self.play(net, node, &frame),
            Output::Redeem(redemption) => {
                // Nothing here survives a crash of the host; what it asks for next is drained by whoever drains this.
                let now = Instant::from_micros(net.now_us());
                if let Some(room) = self.room_mut(node) {
                    let _ = room.handle_input(now, Input::Redeemed { redemption, kept: true });
                }
            }
            // Nobody records here.
            Output::Record(_) => {}
            Output::Event(event) => self.event(net, node, &event),
        }
    }

    /// Sends a message as it is, or as a liar sends it.
    fn say(&self, net: &mut Net<Self>, node: NodeIx, to: NodeIx, bytes: Vec<u8>) {
        let Some(Hostile::LieCoordinates(lie)) = net.plan().nodes[node.index()].hostile else {
            return self.send(net, node, to, bytes);
        };
        if let Some((nonce, late_us)) = lies::late_pong(lie, &bytes) {
            return net.timer(node, net.now_us() + late_us, Timer::Pong { to, nonce });
        }
        let told = self.id(node).and_then(|id| lies::retold(lie, node, id, &bytes, net.now_us()));
        self.send(net, node, to, told.unwrap_or(bytes));
    }

    pub(super) fn send(&self, net: &mut Net<Self>, node: NodeIx, to: NodeIx, bytes: Vec<u8>) {
        let len = (bytes.len() + LENGTH_BYTES) as u32;
        net.send(node, to, len, Class::Control, Message::Control(bytes));
    }

    fn dial(&mut self, net: &mut Net<Self>, node: NodeIx, peer: NodeId, addresses: &[Address]) {
        let measured = self.index.get(&peer).filter(|at| self.has_measured(net.now_us(), node, **at));
        let number =
            addresses.first().and_then(|address| Some(u32::from_be_bytes(<[u8; 4]>::try_from(&**address).ok()?)));
        match measured.copied().or(number.map(NodeIx)).filter(|at| self.id(*at) == Some(peer)) {
            Some(at) if self.has_measured(net.now_us(), node, at) => net.connect_again(node, at),
            Some(at) => net.connect(node, at),
            None => net.timer(node, net.now_us(), Timer::NoAddress(peer)),
        }
    }

    /// What a hostile relay makes of a packet that it passes on.
    fn forge(&self, net: &Net<Self>, node: NodeIx, packet: Bytes) -> Bytes {
        let forges = net.plan().nodes[node.index()].hostile == Some(Hostile::Forge);
        if !forges || self.turns.contains_key(&node) {
            return packet;
        }
        forge(&packet)
    }

    /// What the host sends on is for everybody; it may have kept it back before.
    fn host_forwards(&self, net: &mut Net<Self>, node: NodeIx, packet: &Bytes) {
        let header = Packet::parse(packet.clone()).ok().filter(|_| node == NodeIx::HOST);
        let Some(header) = header.map(|packet| *packet.header()) else { return };
        if let Some(speaker) = self.voices.get(&header.voice) {
            self.chosen(net, *speaker, header.first.0, header.k.count());
        }
    }

    fn play(&mut self, net: &mut Net<Self>, node: NodeIx, frame: &PlayFrame) {
        let Some(speaker) = self.index.get(&frame.speaker).copied() else { return };
        if frame.opus != sound(speaker, frame.number.0) {
            return net.count("forged_frames_heard", 1);
        }
        self.played.push((speaker, frame.number.0));
        if node == NodeIx::HOST {
            self.chosen(net, speaker, frame.number.0, 1);
        }
    }

    fn event(&mut self, net: &mut Net<Self>, node: NodeIx, event: &Event) {
        match event {
            Event::Admitted { .. } => self.admitted(net, node),
            Event::JoinFailed(_) => self.join_failed(net, node),
            Event::Closed(_) => net.gone(node),
            // All look at one copy, which the processor's cache then holds.
            Event::Stage(_) => {
                if let Some(room) = self.members[node.index()].as_mut().and_then(|member| member.room.as_deref_mut()) {
                    room.share(&mut self.pool);
                }
            }
            Event::Feeds { parent, depth, .. } => {
                if let Some(member) = self.member_mut(node) {
                    member.depth = parent.map(|_| *depth);
                }
            }
            Event::Children { primary, standby } => {
                let feeds_others = !primary.is_empty();
                if net.wants_feeds() {
                    self.see_children(net, node, primary.len() + standby.len());
                }
                if let Some(member) = self.member_mut(node) {
                    member.feeds_others = feeds_others;
                }
            }
            _ => {}
        }
        self.tally(net, node, event);
    }
}

/// How loud a frame is: some speak louder than others, and nobody on one tone.
fn level(speaker: NodeIx, number: u32) -> Level {
    let around = |of: u64, db: u64| mix(of) % (2 * db + 1);
    let (speaker, syllable) = (u64::from(speaker.0), u64::from(number) / SYLLABLE_FRAMES);
    let above = around(speaker, SPEAKER_DB) + around((speaker << 32) | syllable, SYLLABLE_DB);
    Level::from_minus_dbov(LEVEL + (SPEAKER_DB + SYLLABLE_DB) as u8 - above as u8)
}

/// What a frame sounds like: who says it and its number, at the length of a real one.
fn sound(speaker: NodeIx, number: u32) -> Bytes {
    let mut opus = [0; OPUS_BYTES];
    opus[..4].copy_from_slice(&speaker.0.to_be_bytes());
    opus[4..8].copy_from_slice(&number.to_be_bytes());
    Bytes::copy_from_slice(&opus)
}
