//! What must hold of all that a room puts out, whatever went in.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use treehouse_room::{Cheap, Event, Input, Instant, Output, PlayFrame, Room, RoomError};
use treehouse_wire::{
    Bytes, Control, FrameNumber, MediaKey, NodeId, Packet,
    control::Purpose,
    limits::{ADDRESSES_MAX, CONTROL_BYTES_MAX, MEDIA_LANES},
};

use super::cast::{Cast, ME, PEERS};
use crate::fuzz::memory;

/// Things that one input may make a room do: a child that subscribes may be sent two seconds of twelve voices.
const OUTPUTS_MAX: usize = 1500;
/// Memory that a room with six neighbours may take, in bytes; a full replay ring of small packets is most of it.
const ROOM_BYTES_MAX: usize = 2 << 20;
/// A packet that was just received or spoken may wait so long on its lane; one that is replayed may wait longer.
const LANE_DEADLINE_US: u64 = 500_000;

/// What the neighbours have seen of the room, and the findings.
pub struct Check {
    cast: Cast,
    /// Whom the driver is connected to.
    connected: BTreeSet<u8>,
    /// Frames that were played, by speaker and number.
    played: BTreeSet<(u8, FrameNumber)>,
    /// Packets that were sent on as they came, by receiver and packet.
    sent: BTreeSet<(u8, u8, u32, u32)>,
    /// Offences, refusals and the like, with how often each came.
    told: BTreeMap<String, usize>,
    opened: Instant,
    bytes_before: usize,
}

impl Check {
    /// For a room that was just made.
    pub fn new(cast: Cast, opened: Instant) -> Check {
        Check {
            cast,
            connected: BTreeSet::new(),
            played: BTreeSet::new(),
            sent: BTreeSet::new(),
            told: BTreeMap::new(),
            opened,
            bytes_before: memory::live_bytes(),
        }
    }

    /// A connection is there; false where it was before.
    pub fn connect(&mut self, who: u8) -> bool {
        self.connected.insert(who)
    }

    /// A connection is gone; false where there was none.
    pub fn disconnect(&mut self, who: u8) -> bool {
        self.connected.remove(&who)
    }

    /// Whether there is a connection.
    pub fn is_connected(&self, who: u8) -> bool {
        self.connected.contains(&who)
    }

    /// The room could not use what the user or the driver gave it.
    pub fn refused(&mut self, error: RoomError) {
        self.note(format!("{error:?}"));
    }

    /// All that was noted, in order.
    pub fn told(&self) -> String {
        let mut text = String::new();
        for (what, times) in &self.told {
            let times = if *times == 1 { String::new() } else { format!(" x{times}") };
            let _ = write!(text, "{}{what}{times}", if text.is_empty() { "" } else { ", " });
        }
        text
    }

    fn note(&mut self, what: String) {
        *self.told.entry(what).or_default() += 1;
    }

    /// Takes all that the room puts out and looks at it, then at the room.
    pub fn look(&mut self, room: &mut Room<Cheap>, now: Instant) {
        let mut outputs = 0;
        while let Some(output) = room.poll_output() {
            outputs += 1;
            assert!(outputs <= OUTPUTS_MAX, "one input makes the room do more than {OUTPUTS_MAX} things");
            if let Output::Redeem(redemption) = output {
                let answered = room.handle_input(now, Input::Redeemed { redemption, kept: true });
                assert_eq!(answered, Ok(()), "a use that is kept");
                continue;
            }
            self.output(output, now);
        }
        self.place(room);
        let bytes = memory::live_bytes().saturating_sub(self.bytes_before);
        assert!(bytes <= ROOM_BYTES_MAX, "the room has taken {bytes} bytes in {:?}", now.since(self.opened));
    }

    fn output(&mut self, output: Output, now: Instant) {
        match output {
            Output::Dial { peer, addresses } => {
                assert!(Cast::who(&peer).is_some_and(|who| who != ME), "it dials {peer}");
                assert!(addresses.len() <= ADDRESSES_MAX);
            }
            Output::Measure { .. } | Output::MeasureFeed { .. } => panic!("only hushed rooms ask for round trips"),
            Output::Hangup { peer } => {
                let who = Cast::who(&peer).expect("somebody that it knows");
                self.connected.remove(&who);
            }
            Output::Send { to, bytes } => self.said(&to, &bytes),
            Output::Forward { to, lane, packet, deadline } => {
                let replayed = deadline.since(now).as_micros() as u64 > LANE_DEADLINE_US;
                self.forwarded(&to, lane, packet, replayed);
            }
            Output::Play(frame) => self.heard(&frame),
            Output::Event(event) => self.event(&event),
            Output::Record(_) => panic!("nobody asked for a recording"),
            Output::Redeem(_) => unreachable!("it is answered where it is asked"),
        }
    }

    fn said(&mut self, to: &NodeId, bytes: &[u8]) {
        let who = self.receiver(to);
        assert!(bytes.len() <= CONTROL_BYTES_MAX, "a message of {} bytes", bytes.len());
        match Control::from_bytes(bytes) {
            Ok(Control::Refused(refusal)) => self.note(format!("{who} refused {refusal:?}")),
            Ok(Control::Declined { reason, .. }) => self.note(format!("{who} declined {reason:?}")),
            Ok(Control::Admitted(_)) => self.note(format!("{who} admitted")),
            Ok(_) => {}
            Err(error) => panic!("it says what nobody can read: {error}"),
        }
    }

    /// Whom something goes to: a neighbour, and one with a link.
    fn receiver(&self, to: &NodeId) -> u8 {
        let who = Cast::who(to).filter(|who| *who < PEERS).expect("a neighbour");
        assert!(self.connected.contains(&who), "it speaks to {who}, to whom there is no link");
        who
    }

    fn forwarded(&mut self, to: &[NodeId], lane: usize, bytes: Bytes, replayed: bool) {
        assert!(!to.is_empty() && lane < MEDIA_LANES);
        let packet = Packet::parse(bytes).expect("a packet");
        let header = *packet.header();
        let speaker = Cast::speaker(&header.voice).expect("a voice of somebody in the play");
        let key: MediaKey = Cast::media_key(speaker);
        assert!(packet.verify(&Cheap, &self.cast.room(), &key), "it sends on what {speaker} has not signed");
        assert_eq!(lane, header.lane());
        for to in to {
            let who = self.receiver(to);
            assert_ne!(who, speaker, "a speaker gets its own voice back");
            let new = self.sent.insert((who, speaker, header.k.count(), header.first.0));
            assert!(new || replayed, "it sends {who} frame {} of {speaker} twice", header.first.0);
        }
    }

    fn heard(&mut self, frame: &PlayFrame) {
        let speaker = Cast::speaker(&frame.voice).expect("a voice of somebody in the play");
        assert_eq!(frame.speaker, Cast::node(speaker), "a voice is played as somebody else's");
        assert_eq!(frame.opus, Cast::sound(speaker, frame.number.0), "it plays what {speaker} has not said");
        assert!(self.played.insert((speaker, frame.number)), "it plays frame {} of {speaker} twice", frame.number.0);
        self.note(format!("heard {speaker}"));
    }

    fn event(&mut self, event: &Event) {
        match event {
            Event::Offence { peer, kind } => {
                let who = Cast::who(peer).expect("a neighbour");
                self.note(format!("{who} accused of {kind:?}"));
            }
            Event::JoinFailed(failure) => self.note(format!("{failure}")),
            Event::Closed(closing) => self.note(format!("closed {closing:?}")),
            _ => {}
        }
    }

    /// The node's place in the tree, as it is itself to keep it whatever others say.
    fn place(&self, room: &Room<Cheap>) {
        let view = room.view();
        let takes = |purpose: &Purpose| matches!(purpose, Purpose::Primary | Purpose::LiveStandby);
        let slots = view.children.iter().filter(|(_, purpose)| takes(purpose)).count();
        assert!(slots - view.making_way <= usize::from(view.children_max), "more feeds than it may give: {view:?}");
        for (child, _) in &view.children {
            assert!(view.feeds.iter().all(|feed| feed.node != *child), "{child} is fed by its own child: {view:?}");
        }
        if !view.children.is_empty() && !view.root && view.inside {
            let early = |feed: &treehouse_room::FeedView| feed.rank < view.rank;
            assert!(view.feeds.iter().all(early), "a relay has a feed that does not come before it: {view:?}");
        }
    }
}
