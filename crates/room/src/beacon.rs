//! The beacon: the host says once a second, and at once on a change, which voices go down the tree.
//!
//! All hear the host's choice and keep to it: a packet of a voice that was not chosen ends where it is. It is kept for a
//! moment, since the beacon that names its voice may be under way, and goes on when that comes, so that the first frames of a voice
//! that is let in are not lost. While at most [`CHOSEN_MAX`] voices are on stage there is nothing to choose, and where no
//! beacon has come for [`LOST`] every voice goes on: a host that dies silences nobody.

use core::time::Duration;

use treehouse_invite::{Beacon, Carried};
use treehouse_wire::{
    Control, FrameNumber, Header, Level, List, NodeId, Suite, VoiceId,
    control::Statement,
    limits::{CARRIED_MAX, CHOSEN_MAX},
};

use crate::{
    api::{Event, Offence},
    room::Room,
    time::Instant,
};

/// A choice is forgotten where it was not said again for this long.
const LOST: Duration = Duration::from_secs(5);

/// The newest beacon, as a member of the tree knows it while voices are chosen.
#[derive(Debug)]
pub(crate) struct Choice {
    id: (u16, u32),
    at: Instant,
    chosen: List<VoiceId, CHOSEN_MAX>,
    /// As it is passed on to a child that comes later.
    statement: Statement,
}

/// What of one voice the host has sent down the tree since the last beacon.
#[derive(Clone, Copy, Debug)]
struct Sent {
    voice: VoiceId,
    first: u32,
    /// Which of the 128 frames from the first on.
    frames: u128,
}

/// The host's account of what it has sent since the last beacon.
#[derive(Debug, Default)]
pub(crate) struct Account {
    sent: Vec<Sent>,
    /// Number of the last beacon.
    number: u32,
}

impl Account {
    fn add(&mut self, header: &Header) {
        let at = self.sent.iter().position(|sent| sent.voice == header.voice).unwrap_or_else(|| {
            self.sent.push(Sent { voice: header.voice, first: header.first.0, frames: 0 });
            self.sent.len() - 1
        });
        if self.sent.len() > CARRIED_MAX {
            self.sent.remove(0);
            return self.add(header);
        }
        let sent = &mut self.sent[at];
        for FrameNumber(frame) in header.frames() {
            if frame < sent.first {
                sent.frames = sent.frames.checked_shl(sent.first - frame).unwrap_or(0);
                sent.first = frame;
            }
            sent.frames |= 1_u128.checked_shl(frame - sent.first).unwrap_or(0);
        }
    }

    fn take(&mut self) -> List<Carried, CARRIED_MAX> {
        let carried = core::mem::take(&mut self.sent).into_iter().filter(|sent| sent.frames != 0).map(|sent| Carried {
            voice: sent.voice,
            first: FrameNumber(sent.first),
            last: FrameNumber(sent.first.saturating_add(sent.frames.ilog2())),
            count: sent.frames.count_ones(),
        });
        List::truncated(carried)
    }
}

impl<S: Suite> Room<S> {
    /// Whether packets of a voice go down the tree, as far as this node knows.
    pub fn goes_down(&self, voice: &VoiceId) -> bool {
        if self.state.stage().voices().nth(CHOSEN_MAX).is_none() {
            return true;
        }
        match (&self.acting, &self.choice) {
            (Some(acting), _) => acting.floor.is_chosen(voice),
            (None, Some(choice)) => self.now.since(choice.at) >= LOST || choice.chosen.contains(voice),
            (None, None) => true,
        }
    }

    /// The host has heard how loud a voice is.
    pub(crate) fn judge(&mut self, voice: VoiceId, level: Level) {
        let now = self.now;
        let Some(acting) = &mut self.acting else { return };
        if acting.floor.hear(voice, level, now) {
            self.announce();
        }
    }

    /// The host has sent a packet down the tree.
    pub(crate) fn account_for(&mut self, header: &Header) {
        if let Some(acting) = &mut self.acting {
            acting.account.add(header);
        }
    }

    /// Once a second the host says what it has chosen, and once more when there is nothing left to say. A hushed host speaks of
    /// changes alone.
    pub(crate) fn beacon_due(&mut self) {
        let now = self.now;
        let Some(acting) = &mut self.acting else { return };
        if !acting.floor.settle(now) && self.hushed {
            return;
        }
        let said = self.choice.as_ref().is_some_and(|choice| !choice.chosen.is_empty());
        if said || !acting.floor.chosen().is_empty() || !acting.account.sent.is_empty() {
            self.announce();
        }
    }

    /// The stage has changed: those that left it have no place any more.
    pub(crate) fn keep_floor_staged(&mut self) {
        let stage = self.state.stage();
        let Some(acting) = &mut self.acting else { return };
        if acting.floor.keep_staged(|voice| stage.voice(voice).is_some()) {
            self.announce();
        }
    }

    /// Signs a beacon and sends it down.
    fn announce(&mut self) {
        let state = self.state.id();
        let Some(acting) = &mut self.acting else { return };
        acting.account.number = acting.account.number.saturating_add(1);
        let (number, carried) = (acting.account.number, acting.account.take());
        let beacon = Beacon { state, number, chosen: List::truncated(acting.floor.chosen()), carried };
        let statement = beacon.sign(&self.suite, &self.signer, &self.room);
        self.follow(None, &beacon, statement);
    }

    /// A beacon has come from a neighbour.
    pub(crate) fn beacon(&mut self, from: NodeId, statement: Statement) {
        // One that comes late, from a feed that was let go, accuses nobody.
        if self.is_host() || self.feeds.get(&from).is_none() {
            return;
        }
        let Ok(beacon) = Beacon::read(&statement) else { return self.offended(from, Offence::Malformed) };
        if self.choice.as_ref().is_some_and(|choice| choice.id >= beacon.id()) {
            return self.beacon_by(from, beacon.id());
        }
        if Beacon::verify(&self.suite, &statement, &self.room, &self.host).is_err() {
            return self.forged(from);
        }
        self.learn_state_id(from, beacon.state);
        self.enter_account(from, &beacon);
        self.follow(Some(from), &beacon, statement);
    }

    /// Keeps to a beacon from now on, and passes it on.
    fn follow(&mut self, from: Option<NodeId>, beacon: &Beacon, statement: Statement) {
        self.record_beacon(&statement);
        let message = Control::Beacon(statement.clone());
        // Idle standbys too: it is by the other feed that one sees what its parent keeps back.
        for child in self.children.with_purpose(|_| true).into_iter().filter(|child| Some(*child) != from) {
            self.send(child, &message);
        }
        let before = self.choice.take();
        // A member at rest, with no child to keep it for, need not know that nobody is chosen.
        if !beacon.chosen.is_empty() || !beacon.carried.is_empty() || !self.children.is_empty() {
            let (id, chosen) = (beacon.id(), beacon.chosen.clone());
            self.choice = Some(Box::new(Choice { id, at: self.now, chosen, statement }));
        }
        let before = before.map(|choice| choice.chosen).unwrap_or_default();
        if before != beacon.chosen {
            let speaker = |voice| self.state.stage().voice(voice).map(|(speaker, _)| *speaker);
            let speakers = beacon.chosen.iter().filter_map(speaker).collect();
            self.event(Event::Floor(speakers));
            self.let_in();
        }
    }

    /// A new child hears what was chosen last.
    pub(crate) fn send_beacon(&mut self, to: NodeId) {
        if let Some(choice) = &self.choice {
            let message = Control::Beacon(choice.statement.clone());
            self.send(to, &message);
        }
    }
}

#[cfg(test)]
mod tests {
    use treehouse_wire::{CaptureTime, Epoch, FramesPerPacket};

    use super::*;

    fn header(voice: u8, k: FramesPerPacket, first: u32) -> Header {
        let (voice, first) = (VoiceId([voice; 8]), FrameNumber(first));
        Header { k, epoch: Epoch::default(), voice, first, captured: CaptureTime(0) }
    }

    #[test]
    fn an_account_counts_each_frame_once_in_whatever_order_it_went() {
        let mut account = Account::default();
        for (k, first) in [(1, 31), (1, 30), (3, 30), (3, 36), (1, 27)] {
            account.add(&header(1, FramesPerPacket::from_count(k).expect("1 or 3"), first));
        }
        account.add(&header(2, FramesPerPacket::One, 9));
        let carried = account.take();
        let of = |carried: &Carried| (carried.voice.0[0], carried.first.0, carried.last.0, carried.count);
        assert_eq!(carried.iter().map(of).collect::<Vec<_>>(), [(1, 27, 38, 7), (2, 9, 9, 1)]);
        assert!(account.take().is_empty());
        for voice in 0..20 {
            account.add(&header(voice, FramesPerPacket::One, 5));
        }
        let carried = account.take();
        assert_eq!((carried.len(), carried[0].voice.0[0]), (CARRIED_MAX, 8), "the newest");
    }
}
