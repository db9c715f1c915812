//! The voices on stage as a receiver knows them: what came already, what can still be replayed.
//!
//! Whose a voice is says the room state. Here is what differs from node to node, and only of voices that were heard; a voice
//! that has been silent for a while costs no more than where it stopped.

use core::time::Duration;
use std::collections::VecDeque;

use treehouse_invite::Stage;
use treehouse_wire::{
    Epoch, FrameNumber, FramesPerPacket, Header, MediaKey, NodeId, Packet, RoomId, RoomKey, Suite, VoiceId,
    control::Positions,
};

use crate::{floor::CHALLENGE, keys::Keys, time::Instant, window::Window};

/// Frames back to which a receiver asks for what it missed, and past which a packet is of no use: three seconds.
pub(crate) const FRAMES_OLD: u32 = 150;
/// How long a packet can be replayed to a child that subscribes.
pub(crate) const REPLAY: Duration = Duration::from_secs(2);
/// How much of the beginning of a voice goes down the tree when it is let in: as much as passes while it challenges another
/// ([`CHALLENGE`]), and the frames before that are smoothed, so that nothing is lost of it.
pub(crate) const ONSET: Duration = CHALLENGE.saturating_add(Duration::from_millis(60));
/// The same at a root that does not choose: the beacon takes its time to come, and what the host has counted must go down here too.
pub(crate) const ONSET_BY_BEACON: Duration = ONSET.saturating_add(Duration::from_millis(240));
/// Packets in the replay ring: two seconds of twelve voices at one frame a packet. Past it the oldest go.
const RING_MAX: usize = 1200;
/// How long a root holds a single frame back for the packet of three that it would be in. Three frames are captured in 60 ms; what
/// has not come together then is the end of a talkspurt.
pub(crate) const WHOLE: Duration = Duration::from_millis(60);
/// How far back single frames that wait are looked for: longer than the timer that sends them can be late.
const LOOK_BACK: Duration = Duration::from_millis(500);
/// Packets of unknown voices that wait for the room state. Past it the oldest go.
const HELD_MAX: usize = 64;
/// Voices remembered after they left the stage. Past it the oldest go.
const LEFT_MAX: usize = 16;
/// How long a packet of an unknown voice waits.
pub(crate) const HELD: Duration = Duration::from_millis(500);
/// A voice that was silent for this long is at rest: nothing that it said before can still be under way.
const QUIET: Duration = Duration::from_secs(10);

/// A voice that was heard.
struct Heard<S: Suite> {
    voice: VoiceId,
    /// Where it stopped when it came to rest: the ends of the three windows of [`Recent`].
    ends: [u32; 3],
    recent: Option<Box<Recent<S>>>,
}

/// What is known of a voice that speaks.
pub(crate) struct Recent<S: Suite> {
    unsealing: Option<(Epoch, S::VoiceKey)>,
    /// Packets seen, by first / k.
    seen: [Window; 2],
    /// Frames given to the player.
    played: Window,
    /// The last packet of three frames.
    three_at: Option<Instant>,
    /// What begins before this frame is too old, as the host says, whatever was heard of the voice.
    oldest: u32,
    /// The last packet.
    used: Instant,
}

impl<S: Suite> Recent<S> {
    fn new([one, three, played]: [u32; 3], now: Instant) -> Self {
        let seen = [Window::below(one), Window::below(three)];
        Recent { unsealing: None, seen, played: Window::below(played), three_at: None, oldest: 0, used: now }
    }

    fn ends(&self) -> [u32; 3] {
        [self.seen[0].end(), self.seen[1].end(), self.played.end()]
    }

    fn seen_slot(header: &Header) -> (usize, u32) {
        let slot = usize::from(header.k == FramesPerPacket::Three);
        (slot, header.first.0 / header.k.count())
    }

    /// Whether this packet came before, or is too old to tell.
    pub(crate) fn has_seen(&self, header: &Header) -> bool {
        let (slot, number) = Self::seen_slot(header);
        let newest = self.seen.iter().zip([1, 3]).filter_map(|(window, k)| Some(window.newest()? * k)).max();
        let old = newest.is_some_and(|newest| newest.saturating_sub(header.first.0) > FRAMES_OLD);
        old || header.first.0 < self.oldest || self.seen[slot].contains(number)
    }

    /// The host says which frame of this voice it has sent last.
    pub(crate) fn was_sent(&mut self, last: FrameNumber) {
        self.oldest = self.oldest.max(last.0.saturating_sub(FRAMES_OLD));
    }

    /// Remembers a packet that verifies.
    pub(crate) fn mark_seen(&mut self, header: &Header, now: Instant) {
        let (slot, number) = Self::seen_slot(header);
        self.seen[slot].insert(number);
        self.used = now;
        if header.k == FramesPerPacket::Three {
            self.three_at = Some(now);
        }
    }

    /// Whether a single frame may be part of a packet of three: it begins one, or the frame before it has come.
    pub(crate) fn may_be_whole(&self, header: &Header) -> bool {
        let FrameNumber(first) = header.first;
        first % FramesPerPacket::Three.count() == 0 || self.seen[0].contains(first - 1)
    }

    /// Whether the packet of three that a single frame is in has come.
    pub(crate) fn has_whole(&self, header: &Header) -> bool {
        self.seen[1].contains(header.first.0 / FramesPerPacket::Three.count())
    }

    /// Whether packets of three frames have come in the last `span`.
    pub(crate) fn sends_three(&self, now: Instant, span: Duration) -> bool {
        self.three_at.is_some_and(|at| now.since(at) < span)
    }

    /// Whether a frame is new to the player; it is not the next time.
    pub(crate) fn mark_played(&mut self, frame: FrameNumber) -> bool {
        self.played.insert(frame.0)
    }

    /// The key that opens this voice's packets in an epoch.
    pub(crate) fn unsealing_key(
        &mut self,
        suite: &S,
        room: &RoomId,
        (epoch, room_key): (Epoch, &RoomKey),
        key: &MediaKey,
    ) -> &S::VoiceKey {
        if self.unsealing.as_ref().is_none_or(|(of, _)| *of != epoch) {
            self.unsealing = None;
        }
        &self.unsealing.get_or_insert_with(|| (epoch, suite.voice_key(room, epoch, room_key, key))).1
    }
}

/// A packet that can still be replayed.
struct Kept {
    at: Instant,
    packet: Packet,
    way: Way,
}

/// What has become of a packet that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// It has gone down the tree.
    Sent,
    /// Its voice was not chosen.
    Unchosen,
    /// A single frame that waits for the packet of three that it would be in.
    Waits,
    /// A single frame that has gone in that packet, or goes on its own.
    Spent,
}

/// What a receiver knows of all voices.
pub(crate) struct Voices<S: Suite> {
    /// Those that left the stage stay for a while: should one come back with its key, no frame of it is played again.
    heard: Vec<Heard<S>>,
    ring: VecDeque<Kept>,
    held: VecDeque<(Instant, NodeId, Packet)>,
}

impl<S: Suite> Default for Voices<S> {
    fn default() -> Self {
        Voices { heard: Vec::new(), ring: VecDeque::new(), held: VecDeque::new() }
    }
}

impl<S: Suite> Voices<S> {
    /// What is known of a voice, which must be on stage.
    pub(crate) fn recent(&mut self, voice: VoiceId, now: Instant) -> &mut Recent<S> {
        let at = self.heard.iter().position(|heard| heard.voice == voice).unwrap_or_else(|| {
            self.heard.reserve_exact(1);
            self.heard.push(Heard { voice, ends: [0; 3], recent: None });
            self.heard.len() - 1
        });
        let Heard { ends, recent, .. } = &mut self.heard[at];
        recent.get_or_insert_with(|| Box::new(Recent::new(*ends, now)))
    }

    /// How many frames of a voice have come, of those from the first to the last.
    pub(crate) fn came_between(&self, voice: VoiceId, first: FrameNumber, last: FrameNumber) -> u32 {
        let recent = self.heard.iter().find(|heard| heard.voice == voice).and_then(|heard| heard.recent.as_ref());
        let Some(recent) = recent else { return 0 };
        let came = |frame: &u32| recent.seen[0].contains(*frame) || recent.seen[1].contains(*frame / 3);
        // An account is of a second, and no window of more frames than it holds.
        (first.0..=last.0).take(crate::window::WINDOW as usize).filter(came).count() as u32
    }

    /// The stage has changed: of the voices that are not on it the oldest are forgotten.
    pub(crate) fn forget_left(&mut self, stage: &Stage) {
        let has_left = |heard: &Heard<S>| stage.voice(&heard.voice).is_none();
        let mut excess = self.heard.iter().filter(|heard| has_left(heard)).count().saturating_sub(LEFT_MAX);
        self.heard.retain(|heard| {
            let goes = excess > 0 && has_left(heard);
            excess -= usize::from(goes);
            !goes
        });
    }

    /// The newest frame of each voice before which nothing is missing, for `Subscribe`.
    ///
    /// A newcomer wants nothing old of voices that it has not heard: it says that it has their last possible frame. In a
    /// repair they are left out instead, and so replayed, since they may have begun while nothing carried.
    pub(crate) fn positions(&self, stage: &Stage, newcomer: bool) -> Positions {
        let has = |voice: &VoiceId| {
            let heard = self.heard.iter().find(|heard| heard.voice == *voice);
            let played = heard.and_then(|heard| match &heard.recent {
                Some(recent) => recent.played.contiguous(FRAMES_OLD),
                None => heard.ends[2].checked_sub(1),
            });
            played.or(newcomer.then_some(u32::MAX))
        };
        Positions::truncated(stage.voices().filter_map(|voice| Some((*voice, FrameNumber(has(voice)?)))))
    }

    /// Keeps a packet for children that subscribe later, or, where it was not sent, until its voice is let in.
    pub(crate) fn keep(&mut self, now: Instant, packet: Packet, way: Way) {
        self.forget_replayed(now);
        if self.ring.len() >= RING_MAX {
            self.ring.pop_front();
        }
        self.ring.push_back(Kept { at: now, packet, way });
    }

    /// What came in the last moment, newest first.
    fn last_kept(&mut self, now: Instant) -> impl Iterator<Item = &mut Kept> {
        self.ring.iter_mut().rev().take_while(move |kept| now.since(kept.at) <= LOOK_BACK)
    }

    /// Holds a single frame back for the packet of three that it would be in; when that is not to be waited for any more.
    pub(crate) fn hold_back(&mut self, now: Instant, packet: Packet) -> Instant {
        let of = group_of(&packet);
        let first = self.last_kept(now).filter(|kept| kept.way == Way::Waits && group_of(&kept.packet) == of).last();
        let until = first.map_or(now, |kept| kept.at).after(WHOLE);
        self.keep(now, packet, Way::Waits);
        until
    }

    /// A packet of three frames has come: single frames of it need not go.
    pub(crate) fn is_whole(&mut self, now: Instant, packet: &Packet) {
        let of = group_of(packet);
        for kept in self.last_kept(now).filter(|kept| kept.way == Way::Waits && group_of(&kept.packet) == of) {
            kept.way = Way::Spent;
        }
    }

    /// Single frames whose packet of three has not come in time, the ends of talkspurts, oldest first.
    pub(crate) fn take_tails(&mut self, now: Instant) -> Vec<Packet> {
        let waiting = |kept: &&mut Kept| kept.way == Way::Waits;
        let late = self.last_kept(now).filter(waiting).filter(|kept| now.since(kept.at) >= WHOLE);
        let groups: Vec<_> = late.map(|kept| group_of(&kept.packet)).collect();
        let tails = self.last_kept(now).filter(waiting).filter(|kept| groups.contains(&group_of(&kept.packet)));
        let mut tails: Vec<Packet> = tails
            .map(|kept| {
                kept.way = Way::Spent;
                kept.packet.clone()
            })
            .collect();
        tails.reverse();
        tails
    }

    /// The packets of the last moment that were not sent, of voices that are wanted now, oldest first. They count as sent.
    pub(crate) fn take_unsent(
        &mut self,
        now: Instant,
        onset: Duration,
        wanted: impl Fn(&VoiceId) -> bool,
    ) -> Vec<Packet> {
        let late = |kept: &&mut Kept| {
            now.since(kept.at) <= onset && kept.way == Way::Unchosen && wanted(&kept.packet.header().voice)
        };
        let taken = self.ring.iter_mut().filter(late).map(|kept| {
            kept.way = Way::Sent;
            kept.packet.clone()
        });
        taken.collect()
    }

    /// Wipes what was derived from keys that are gone.
    pub(crate) fn wipe_keys(&mut self, keys: &Keys) {
        for recent in self.heard.iter_mut().filter_map(|heard| heard.recent.as_mut()) {
            recent.unsealing.take_if(|(epoch, _)| keys.opening(*epoch).is_none());
        }
    }

    fn forget_replayed(&mut self, now: Instant) {
        while self.ring.front().is_some_and(|kept| now.since(kept.at) > REPLAY) {
            self.ring.pop_front();
        }
    }

    fn forget_held(&mut self, now: Instant) {
        while self.held.front().is_some_and(|(at, ..)| now.since(*at) > HELD) {
            self.held.pop_front();
        }
    }

    /// Once a second: lets go what is too old to be of use, and the space for it.
    pub(crate) fn forget_old(&mut self, now: Instant) {
        self.forget_replayed(now);
        if self.ring.is_empty() {
            self.ring = VecDeque::new();
        }
        self.forget_held(now);
        if self.held.is_empty() {
            self.held = VecDeque::new();
        }
        for heard in &mut self.heard {
            if let Some(recent) = heard.recent.take_if(|recent| now.since(recent.used) > QUIET) {
                heard.ends = recent.ends();
            }
        }
    }

    /// The packets that a child lacks, oldest first. A speaker need not have its own voice back.
    pub(crate) fn replay(&mut self, now: Instant, stage: &Stage, child: &NodeId, from: &Positions) -> Vec<Packet> {
        self.forget_replayed(now);
        let lacks = |packet: &Packet| {
            let header = packet.header();
            let last = header.frames().next_back().unwrap_or(header.first);
            let is_new = from.iter().find(|(voice, _)| *voice == header.voice).is_none_or(|(_, has)| last > *has);
            is_new && stage.voice(&header.voice).is_some_and(|(speaker, _)| speaker != child)
        };
        self.ring
            .iter()
            .filter(|kept| kept.way == Way::Sent)
            .map(|kept| &kept.packet)
            .filter(|packet| lacks(packet))
            .cloned()
            .collect()
    }

    /// Holds a packet of a voice that the room state does not know yet.
    pub(crate) fn hold(&mut self, now: Instant, from: NodeId, packet: Packet) {
        self.forget_held(now);
        if self.held.len() >= HELD_MAX {
            self.held.pop_front();
        }
        self.held.push_back((now, from, packet));
    }

    /// What was held and is not too old, to be looked at again.
    pub(crate) fn take_held(&mut self, now: Instant) -> VecDeque<(Instant, NodeId, Packet)> {
        self.forget_held(now);
        core::mem::take(&mut self.held)
    }
}

/// The packet of three that a packet is, or would be in.
fn group_of(packet: &Packet) -> (VoiceId, u32) {
    (packet.header().voice, packet.header().first.0 / FramesPerPacket::Three.count())
}

#[cfg(test)]
mod tests {
    use treehouse_wire::CaptureTime;

    use super::*;
    use crate::Cheap;

    #[test]
    fn what_is_older_than_three_seconds_counts_as_seen() {
        let header = |k, first| Header {
            k,
            epoch: Epoch::default(),
            voice: VoiceId([1; 8]),
            first: FrameNumber(first),
            captured: CaptureTime(0),
        };
        let (one, three) = (FramesPerPacket::One, FramesPerPacket::Three);
        for newest in [header(one, 1200), header(three, 1200)] {
            let mut recent = Recent::<Cheap>::new([0; 3], Instant::ZERO);
            assert!(!recent.has_seen(&header(one, 1049)) && !recent.has_seen(&newest));
            recent.mark_seen(&newest, Instant::ZERO);
            assert!(recent.has_seen(&newest));
            assert!(!recent.has_seen(&header(one, 1050)), "150 frames of 20 ms");
            assert!(recent.has_seen(&header(one, 1049)) && recent.has_seen(&header(three, 1047)));
        }
    }
}
