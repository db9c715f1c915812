//! Voices: when a member has its hand up, and how the engine's frames are numbered in its room.
//!
//! The engine numbers frames that are sound; silence takes no numbers. In a room it does: a frame has the number of the 20 ms
//! that it was captured in, and a talkspurt begins and ends anywhere in a packet of three.

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
    next_room: u32,
    next_engine: u32,
}

impl Voice {
    pub(super) fn new(number: u16) -> Self {
        Voice { number, spurts: Vec::new(), next_room: 0, next_engine: 0 }
    }

    /// Takes in a frame of the engine, captured in this 20 ms of the run; gives its number in the room.
    pub(super) fn take(&mut self, engine: u32, slot: u32) -> u32 {
        let number = slot.max(self.next_room);
        if number != self.next_room || self.spurts.is_empty() {
            self.spurts.push((number, engine));
        }
        self.next_room = number + 1;
        self.next_engine = engine + 1;
        number
    }

    /// What a packet of a room is in the engine's numbers; none where the room has none of its frames.
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
    fn silence_takes_numbers_in_the_room_and_none_in_the_engine() {
        let mut voice = Voice::new(4);
        let numbers: Vec<u32> = (0..4).map(|engine| voice.take(engine, 10 + engine)).collect();
        assert_eq!(numbers, [10, 11, 12, 13]);
        assert_eq!([voice.take(4, 13), voice.take(5, 15)], [14, 15], "two in one 20 ms are one after the other");
        assert_eq!([voice.take(6, 40), voice.take(7, 41)], [40, 41]);
        let packet = |first, frames| Some(Packet { voice: 4, first, frames });
        assert_eq!(voice.packet(12, 3), packet(2, 3));
        assert_eq!(voice.packet(15, 1), packet(5, 1));
        assert_eq!(voice.packet(16, 1), None);
        assert_eq!(voice.packet(40, 1), packet(6, 1));
        assert_eq!(voice.packet(9, 1), None);
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
