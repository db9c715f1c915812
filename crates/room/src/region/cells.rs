//! An index of members by what they cost and where they are: the best for a newcomer without looking at all.
//!
//! Members stand in cubes of network coordinates, in each in the order of the part of their score that is the same for every
//! child. A search goes through cubes by the least score that any member in them can have, and ends where the next cube
//! cannot beat what was found. The number of cubes follows from geography, not from the number of members.

use core::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use super::directory::Slot;
use crate::coordinates::Coordinate;

/// Edge of a cube in milliseconds of round trip.
const EDGE_MS: f32 = 16.0;
/// Members looked at in one search at most.
const LOOKS_MAX: usize = 400;

/// A cube.
pub(crate) type Cube = [i16; 3];

/// Where a member stands in the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) cube: Cube,
    /// The part of the score that is the same for every child, in microseconds.
    pub(crate) cost_us: u32,
}

impl Entry {
    pub(crate) fn new(at: &Coordinate, cost_us: u32) -> Self {
        Entry { cube: at.at_ms().map(|axis| (axis / EDGE_MS).floor() as i16), cost_us }
    }
}

/// The members of a cube by cost, in microseconds.
type Members = BTreeSet<(u32, Slot)>;

/// A cube in the order of a search.
struct Near<'a> {
    /// The least score of any in it, in microseconds.
    least_us: u32,
    /// Half the least round trip to any in it, in microseconds.
    way_us: u32,
    cube: &'a Cube,
    members: &'a Members,
}

impl PartialEq for Near<'_> {
    fn eq(&self, other: &Self) -> bool {
        (self.least_us, self.cube) == (other.least_us, other.cube)
    }
}
impl Eq for Near<'_> {}
impl PartialOrd for Near<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Near<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.least_us, self.cube).cmp(&(other.least_us, other.cube))
    }
}

/// Members by cube and cost.
#[derive(Debug, Default)]
pub(crate) struct Cells {
    cubes: BTreeMap<Cube, Members>,
}

impl Cells {
    pub(crate) fn insert(&mut self, entry: Entry, slot: Slot) {
        self.cubes.entry(entry.cube).or_default().insert((entry.cost_us, slot));
    }

    pub(crate) fn remove(&mut self, entry: Entry, slot: Slot) {
        let Some(cube) = self.cubes.get_mut(&entry.cube) else { return };
        cube.remove(&(entry.cost_us, slot));
        if cube.is_empty() {
            self.cubes.remove(&entry.cube);
        }
    }

    /// The cheapest member of some cubes, to have landmarks all over the network: of each `nth` cube from `first` on.
    pub(crate) fn spread(&self, first: usize, wanted: usize) -> Vec<Slot> {
        let cubes = self.cubes.len();
        let step = (cubes / wanted.max(1)).max(1);
        let picks = (0..wanted.min(cubes)).map(|pick| (first + pick * step) % cubes);
        let mut picks: Vec<usize> = picks.collect();
        picks.sort_unstable();
        picks.dedup();
        let mut found = Vec::new();
        let mut picks = picks.into_iter().peekable();
        for (index, cube) in self.cubes.values().enumerate() {
            if picks.peek() == Some(&index) {
                picks.next();
                found.extend(cube.first().map(|(_, slot)| *slot));
            }
        }
        found
    }

    /// The `wanted` members of least score for a child at `from`, best first. `score` gives the whole score in microseconds, or
    /// none for a member that does not fit; it must not be below the cost plus half the round trip by coordinates.
    pub(crate) fn best(
        &self,
        from: Option<&Coordinate>,
        wanted: usize,
        mut score: impl FnMut(Slot) -> Option<u32>,
    ) -> Vec<(u32, Slot)> {
        // Most searches end after a few cubes: a heap is made in linear time, and only those are taken out of it in order.
        let cubes = self.cubes.iter().map(|(cube, members)| {
            let way_us = from.map_or(0, |from| least_way_us(from, cube));
            let cost_us = members.first().map_or(u32::MAX, |(cost_us, _)| *cost_us);
            Reverse(Near { least_us: cost_us.saturating_add(way_us), way_us, cube, members })
        });
        let mut cubes = BinaryHeap::from(cubes.collect::<Vec<_>>());
        let mut found: Vec<(u32, Slot)> = Vec::with_capacity(wanted + 1);
        let mut looks = 0;
        while let Some(Reverse(Near { least_us, way_us, members, .. })) = cubes.pop() {
            let worst_us = |found: &[(u32, Slot)]| {
                if found.len() < wanted { u32::MAX } else { found.last().map_or(u32::MAX, |(score, _)| *score) }
            };
            if least_us >= worst_us(&found) || looks >= LOOKS_MAX {
                break;
            }
            for (cost_us, slot) in members {
                if cost_us.saturating_add(way_us) >= worst_us(&found) || looks >= LOOKS_MAX {
                    break;
                }
                looks += 1;
                let Some(score_us) = score(*slot) else { continue };
                let at = found.partition_point(|of| *of < (score_us, *slot));
                found.insert(at, (score_us, *slot));
                found.truncate(wanted);
            }
        }
        found
    }
}

/// Half the least round trip between a coordinate and any in a cube, in microseconds.
fn least_way_us(from: &Coordinate, cube: &Cube) -> u32 {
    let squares = from.at_ms().into_iter().zip(cube).map(|(at, edge)| {
        let (low, high) = (f32::from(*edge) * EDGE_MS, (f32::from(*edge) + 1.0) * EDGE_MS);
        let outside = if at < low { low - at } else { (at - high).max(0.0) };
        outside * outside
    });
    (squares.sum::<f32>().sqrt() * 500.0) as u32
}

#[cfg(test)]
mod tests {
    use treehouse_wire::control::Position;

    use super::*;
    use crate::rng::Rng;

    #[test]
    fn a_search_finds_what_looking_at_everyone_finds() {
        let mut rng = Rng::new(&[7; 32]);
        let mut draw = |to: usize| rng.below(to) as i16;
        let mut at =
            || Coordinate::from_wire(&Position { at: [draw(2000), draw(2000), draw(2000)], height: 10, error: 5 });
        let members: Vec<(Coordinate, u32)> = (0..300).map(|of| (at(), (of * 37 % 100) * 1000)).collect();
        let mut cells = Cells::default();
        for (slot, (at, cost_us)) in (0..).map(Slot).zip(&members) {
            cells.insert(Entry::new(at, *cost_us), slot);
        }
        for _ in 0..50 {
            let from = at();
            let score = |slot: Slot| {
                let (at, cost_us) = &members[slot.0 as usize];
                (slot.0 % 7 != 3).then_some(cost_us + (from.distance_ms(at) * 500.0) as u32)
            };
            let mut all: Vec<(u32, Slot)> = (0..300).map(Slot).filter_map(|slot| Some((score(slot)?, slot))).collect();
            all.sort_unstable();
            all.truncate(5);
            assert_eq!(cells.best(Some(&from), 5, score), all);
        }
        assert!(cells.spread(3, 6).len() == 6);
        for (slot, (at, cost_us)) in (0..).map(Slot).zip(&members) {
            cells.remove(Entry::new(at, *cost_us), slot);
        }
        assert_eq!(cells.best(None, 3, |_| Some(0)), []);
        assert_eq!(cells.spread(0, 3), []);
    }
}
