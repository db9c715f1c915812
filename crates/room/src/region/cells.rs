//! An index of members by what they cost and where they are: the best for a newcomer without looking at all.
//!
//! Members stand in cubes of network coordinates, in each in the order of the part of their score that is the same for every
//! child; eight cubes stand in one of twice the edge by the least of theirs, and so on up: an octree (Meagher, "Geometric modeling
//! using octree encoding", 1982). A search goes down from the largest by the least score that any member in a cube can have, and ends
//! where the next cannot beat what was found. What it looks at follows from what is near, not from the number of members.

use core::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use super::directory::Slot;
use crate::coordinates::Coordinate;

/// Edge of a cube in milliseconds of round trip.
const EDGE_MS: f32 = 16.0;
/// Levels of larger cubes: the largest hold a quarter of all that crosses the network as a coordinate.
const LEVELS: usize = 8;
/// Cubes gone through for landmarks at most, where there are levels enough.
const SPREAD_MAX: usize = 256;
/// Members looked at in one search at most.
const LOOKS_MAX: usize = 400;

/// A cube.
pub(crate) type Cube = [i16; 3];

/// Where a member stands in the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    cube: Cube,
    /// The part of the score that is the same for every child, in microseconds.
    pub(crate) cost_us: u32,
    /// The same with its last mile, which every way to it crosses too.
    whole_us: u32,
}

impl Entry {
    pub(crate) fn new(at: &Coordinate, cost_us: u32) -> Self {
        let cube = at.at_ms().map(|axis| (axis / EDGE_MS).floor() as i16);
        Entry { cube, cost_us, whole_us: cost_us.saturating_add(half_us(at.height_ms())) }
    }
}

/// What stands in a cube by its cost, in microseconds: members, or the cubes of half the edge.
#[derive(Debug)]
struct ByCost<T>(BTreeSet<(u32, T)>);

impl<T> Default for ByCost<T> {
    fn default() -> Self {
        ByCost(BTreeSet::new())
    }
}

/// A cube in the order of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Near {
    /// The least score of any in it, in microseconds.
    least_us: u32,
    /// How often its edge is twice the smallest.
    level: usize,
    cube: Cube,
    /// Half the least round trip to any in it, in microseconds.
    way_us: u32,
}

/// Members by cube and cost.
#[derive(Debug, Default)]
pub(crate) struct Cells {
    smallest: BTreeMap<Cube, ByCost<Slot>>,
    /// The larger ones, each level of twice the edge.
    larger: [BTreeMap<Cube, ByCost<Cube>>; LEVELS],
}

impl<T: Ord + Copy> ByCost<T> {
    fn least_us(&self) -> Option<u32> {
        self.0.first().map(|(cost_us, _)| *cost_us)
    }
}

/// Takes something out of a cube, puts it in again at another cost, and says what the cube's least cost was before and is now.
fn change<T: Ord + Copy>(
    cubes: &mut BTreeMap<Cube, ByCost<T>>,
    cube: Cube,
    what: T,
    (before, after): (Option<u32>, Option<u32>),
) -> (Option<u32>, Option<u32>) {
    let inside = cubes.entry(cube).or_default();
    let least_before = inside.least_us();
    if let Some(cost_us) = before {
        inside.0.remove(&(cost_us, what));
    }
    if let Some(cost_us) = after {
        inside.0.insert((cost_us, what));
    }
    let least_after = inside.least_us();
    if least_after.is_none() {
        cubes.remove(&cube);
    }
    (least_before, least_after)
}

impl Cells {
    pub(crate) fn insert(&mut self, entry: Entry, slot: Slot) {
        self.change(entry.cube, slot, (None, Some(entry.whole_us)));
    }

    pub(crate) fn remove(&mut self, entry: Entry, slot: Slot) {
        self.change(entry.cube, slot, (Some(entry.whole_us), None));
    }

    fn change(&mut self, cube: Cube, slot: Slot, costs: (Option<u32>, Option<u32>)) {
        let mut leasts = change(&mut self.smallest, cube, slot, costs);
        let mut child = cube;
        for cubes in &mut self.larger {
            if leasts.0 == leasts.1 {
                return;
            }
            let cube = child.map(|axis| axis >> 1);
            leasts = change(cubes, cube, child, leasts);
            child = cube;
        }
    }

    /// The cheapest members of some cubes, to have landmarks all over the network: of each `nth` cube from `first` on. Where there are
    /// many cubes larger ones are taken.
    pub(crate) fn spread(&self, first: usize, wanted: usize) -> Vec<Slot> {
        let fitting = (0..=LEVELS).find(|level| self.len(*level) <= SPREAD_MAX);
        let level = fitting.unwrap_or(LEVELS);
        let cubes = self.len(level);
        let step = (cubes / wanted.max(1)).max(1);
        let picks = (0..wanted.min(cubes)).map(|pick| (first + pick * step) % cubes);
        let mut picks: Vec<usize> = picks.collect();
        picks.sort_unstable();
        picks.dedup();
        let mut picks = picks.into_iter().peekable();
        let mut picked = |index: usize| picks.next_if_eq(&index).is_some();
        let all: Vec<Cube> = match level.checked_sub(1) {
            None => self.smallest.keys().copied().collect(),
            Some(larger) => self.larger[larger].keys().copied().collect(),
        };
        let chosen = all.into_iter().enumerate().filter(|(index, _)| picked(*index));
        chosen.filter_map(|(_, cube)| self.cheapest(level, cube)).collect()
    }

    /// Cubes of a level.
    fn len(&self, level: usize) -> usize {
        match level.checked_sub(1) {
            None => self.smallest.len(),
            Some(larger) => self.larger[larger].len(),
        }
    }

    /// The cheapest member in a cube.
    fn cheapest(&self, level: usize, mut cube: Cube) -> Option<Slot> {
        for larger in self.larger.iter().take(level).rev() {
            cube = larger.get(&cube)?.0.first()?.1;
        }
        self.smallest.get(&cube)?.0.first().map(|(_, slot)| *slot)
    }

    /// The `wanted` members of least score for a child at `from` of those that fit, best first. `score` gives the whole score in
    /// microseconds; where it is below the cost plus half the round trip by coordinates the search may end before that member.
    /// Whether one fits, which takes longer to see, is asked only of those that would be among the best.
    pub(crate) fn best(
        &self,
        from: Option<&Coordinate>,
        wanted: usize,
        score: impl Fn(Slot) -> Option<u32>,
        fits: impl Fn(Slot) -> bool,
    ) -> Vec<(u32, Slot)> {
        let near = |level: usize, cube: Cube, cost_us: u32| {
            let way_us = from.map_or(0, |from| least_way_us(from, level, cube));
            Reverse(Near { least_us: cost_us.saturating_add(way_us), level, cube, way_us })
        };
        let largest = self.larger.last().into_iter().flatten();
        let largest = largest.filter_map(|(cube, inside)| Some(near(LEVELS, *cube, inside.least_us()?)));
        let mut cubes: BinaryHeap<Reverse<Near>> = largest.collect();
        let mut found: Vec<(u32, Slot)> = Vec::with_capacity(wanted + 1);
        let mut looks = 0;
        while let Some(Reverse(Near { least_us, level, cube, way_us })) = cubes.pop() {
            let worst_us = |found: &[(u32, Slot)]| {
                if found.len() < wanted { u32::MAX } else { found.last().map_or(u32::MAX, |(score, _)| *score) }
            };
            if least_us >= worst_us(&found) || looks >= LOOKS_MAX {
                break;
            }
            if let Some(larger) = level.checked_sub(1) {
                let inside = self.larger[larger].get(&cube).into_iter().flat_map(|inside| &inside.0);
                cubes.extend(inside.map(|(cost_us, cube)| near(larger, *cube, *cost_us)));
                continue;
            }
            for (cost_us, slot) in self.smallest.get(&cube).into_iter().flat_map(|inside| &inside.0) {
                if cost_us.saturating_add(way_us) >= worst_us(&found) || looks >= LOOKS_MAX {
                    break;
                }
                looks += 1;
                let Some(score_us) = score(*slot) else { continue };
                if found.last().is_some_and(|last| found.len() >= wanted && *last <= (score_us, *slot)) || !fits(*slot)
                {
                    continue;
                }
                let at = found.partition_point(|of| *of < (score_us, *slot));
                found.insert(at, (score_us, *slot));
                found.truncate(wanted);
            }
        }
        found
    }
}

/// Half the least round trip between a coordinate and any in a cube, in microseconds.
fn least_way_us(from: &Coordinate, level: usize, cube: Cube) -> u32 {
    let edge_ms = EDGE_MS * (1 << level) as f32;
    let squares = from.at_ms().into_iter().zip(cube).map(|(at, edge)| {
        let (low, high) = (f32::from(edge) * edge_ms, (f32::from(edge) + 1.0) * edge_ms);
        let outside = if at < low { low - at } else { (at - high).max(0.0) };
        outside * outside
    });
    half_us(squares.sum::<f32>().sqrt() + from.height_ms())
}

/// Half of a round trip of milliseconds, in microseconds.
fn half_us(trip_ms: f32) -> u32 {
    (trip_ms * 500.0) as u32
}

#[cfg(test)]
mod tests {
    use core::cell::Cell;

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
                Some(cost_us + (from.distance_ms(at) * 500.0) as u32)
            };
            let fits = |slot: Slot| slot.0 % 7 != 3;
            let fitting = (0..300).map(Slot).filter(|slot| fits(*slot));
            let mut all: Vec<(u32, Slot)> = fitting.filter_map(|slot| Some((score(slot)?, slot))).collect();
            all.sort_unstable();
            all.truncate(5);
            assert_eq!(cells.best(Some(&from), 5, score, fits), all);
        }
        assert!(cells.spread(3, 6).len() == 6);
        for (slot, (at, cost_us)) in (0..).map(Slot).zip(&members) {
            cells.remove(Entry::new(at, *cost_us), slot);
        }
        assert_eq!(cells.best(None, 3, |_| Some(0), |_| true), []);
        assert_eq!(cells.spread(0, 3), []);
    }
    /// A hundred times as many members around forty places: a search may not look at many more.
    #[test]
    fn a_search_looks_at_what_is_near_however_many_there_are() {
        let looks = [500, 50_000].map(|count| {
            let mut rng = Rng::new(&[8; 32]);
            let places: Vec<[i16; 3]> = (0..40).map(|_| [0; 3].map(|_| rng.below(2500) as i16)).collect();
            let mut at = || {
                let place = places[rng.below(places.len())];
                let at = place.map(|axis: i16| axis + rng.below(240) as i16);
                let height = 10 + rng.below(200) as u16;
                Coordinate::from_wire(&Position { at, height, error: 5 })
            };
            let members: Vec<(Coordinate, u32)> = (0..count).map(|of| (at(), (of * 37 % 1000) * 100)).collect();
            let mut cells = Cells::default();
            for (slot, (at, cost_us)) in (0..).map(Slot).zip(&members) {
                cells.insert(Entry::new(at, *cost_us), slot);
            }
            let looks = Cell::new(0);
            for _ in 0..100 {
                let from = at();
                let score = |slot: Slot| {
                    looks.set(looks.get() + 1);
                    let (at, cost_us) = &members[slot.0 as usize];
                    Some(cost_us + (from.distance_ms(at) * 500.0) as u32)
                };
                assert_eq!(cells.best(Some(&from), 6, score, |_| true).len(), 6);
            }
            assert!(cells.spread(3, 6).len() == 6);
            looks.get()
        });
        assert!(looks[1] < 3 * looks[0], "{looks:?} members looked at in a hundred searches");
    }
}
