//! Voices: when a member has its hand up, and how the engine's frames are numbered in its room.
//!
//! The engine numbers frames that are sound; silence takes no numbers. A room cuts packets at multiples of three, so each
//! talkspurt begins at one here, and its last packet is filled up at once, as an encoder's hangover does: a packet would
//! otherwise wait for the next talkspurt.

use std::collections::BTreeMap;

use crate::{
    plan::{NodeIx, Spurt},
    strategy::Packet,
};

/// Frames in the larger of the two packets.
const GROUP: u32 = 3;
/// Somebody who will speak raises a hand this long before, and keeps it up through pauses of that length.
const LEAD_US: u64 = 30_000_000;

/// A span in which a member has its hand up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) from_us: u64,
    pub(super) until_us: u64,
}

/// The turns of all who ever speak, in the order of time.
pub(super) fn turns(talk: &[Spurt]) -> BTreeMap<NodeIx, Vec<Turn>> {
    let mut turns: BTreeMap<NodeIx, Vec<Turn>> = BTreeMap::new();
    for spurt in talk {
        let of = turns.entry(spurt.node).or_default();
        let (from_us, until_us) = (spurt.from_us.saturating_sub(LEAD_US), spurt.until_us + LEAD_US);
        match of.last_mut().filter(|last| from_us <= last.until_us) {
            Some(last) => last.until_us = last.until_us.max(until_us),
            None => of.push(Turn { from_us, until_us }),
        }
    }
    turns
}

/// The numbers of one voice.
#[derive(Debug)]
pub(super) struct Voice {
    /// Its number in the engine.
    number: u16,
    /// First frame of each talkspurt: in the room, in the engine.
    spurts: Vec<(u32, u32)>,
    /// Whether the next frame begins a talkspurt.
    paused: bool,
    next_room: u32,
    next_engine: u32,
}

impl Voice {
    pub(super) fn new(number: u16) -> Self {
        Voice { number, spurts: Vec::new(), paused: true, next_room: 0, next_engine: 0 }
    }

    /// Takes in a frame of the engine, or a filler; gives its number in the room.
    pub(super) fn take(&mut self, engine: Option<u32>) -> u32 {
        let number = self.next_room;
        self.next_room += 1;
        if let Some(engine) = engine {
            if std::mem::take(&mut self.paused) {
                self.spurts.push((number, engine));
            }
            self.next_engine = engine + 1;
        }
        number
    }

    /// A talkspurt ends; so many fillers complete its last packet.
    pub(super) fn pause(&mut self) -> u32 {
        self.paused = true;
        self.next_room.next_multiple_of(GROUP) - self.next_room
    }

    /// What a packet of a room is in the engine's numbers; none where it is nothing but filling.
    pub(super) fn packet(&self, first: u32, frames: u32) -> Option<Packet> {
        let spurt = self.spurts.partition_point(|(room, _)| *room <= first).checked_sub(1)?;
        let (room, engine) = *self.spurts.get(spurt)?;
        let end = self.spurts.get(spurt + 1).map_or(self.next_engine, |(_, engine)| *engine);
        let first = engine + (first - room);
        let frames = end.checked_sub(first).filter(|left| *left > 0)?.min(frames);
        Some(Packet { voice: self.number, first, frames: u8::try_from(frames).ok()? })
    }
}

/// Packets that frames came in which were played one after another: speaker, first frame, frames.
pub(super) fn packets(played: &[(NodeIx, u32)]) -> Vec<(NodeIx, u32, u32)> {
    let mut found = Vec::new();
    let mut rest = played;
    while let Some((speaker, first)) = rest.first().copied() {
        let whole = first.is_multiple_of(GROUP)
            && (0..GROUP).zip(rest).filter(|(offset, of)| **of == (speaker, first + offset)).count() == GROUP as usize;
        let frames = if whole { GROUP } else { 1 };
        found.push((speaker, first, frames));
        rest = &rest[frames as usize..];
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_talkspurt_begins_and_ends_with_a_whole_packet() {
        let mut voice = Voice::new(4);
        let numbers: Vec<u32> = (0..4).map(|engine| voice.take(Some(engine))).collect();
        assert_eq!(numbers, [0, 1, 2, 3]);
        assert_eq!(voice.pause(), 2);
        assert_eq!([voice.take(None), voice.take(None)], [4, 5]);
        assert_eq!(voice.pause(), 0);
        assert_eq!(voice.take(Some(4)), 6);
        let packet = |first, frames| Some(Packet { voice: 4, first, frames });
        assert_eq!(voice.packet(0, 3), packet(0, 3));
        assert_eq!(voice.packet(3, 3), packet(3, 1), "the filling is no sound");
        assert_eq!(voice.packet(4, 1), None);
        assert_eq!(voice.packet(6, 1), packet(4, 1));
        assert_eq!(voice.packet(7, 1), None);
    }

    #[test]
    fn short_pauses_do_not_end_a_turn() {
        let spurt = |from_s: u64, until_s: u64| Spurt {
            node: NodeIx(3),
            from_us: from_s * 1_000_000,
            until_us: until_s * 1_000_000,
        };
        let turns = turns(&[spurt(100, 101), spurt(110, 130), spurt(300, 301)]);
        let turn = |from_s: u64, until_s: u64| Turn { from_us: from_s * 1_000_000, until_us: until_s * 1_000_000 };
        assert_eq!(turns[&NodeIx(3)], [turn(70, 160), turn(270, 331)]);
    }

    #[test]
    fn frames_that_follow_each_other_came_in_one_packet() {
        let (a, b) = (NodeIx(1), NodeIx(2));
        let played = [(a, 2), (a, 3), (a, 4), (a, 5), (b, 6), (b, 7)];
        assert_eq!(packets(&played), [(a, 2, 1), (a, 3, 3), (b, 6, 1), (b, 7, 1)]);
    }
}
