//! Network coordinates: how far it is to a node that was never measured.
//!
//! Vivaldi (Dabek, Cox, Kaashoek and Morris, "Vivaldi: a decentralized network coordinate system", SIGCOMM 2004) in three
//! dimensions with a height, which stands for the last mile that every path of a node crosses. Each measured round trip pulls or
//! pushes the own coordinate, by less where the other end is less sure of its own. Distances are round trips in milliseconds.
//!
//! A peer may lie about where it is, and answer late (Kaafar, Mathy, Turletti and Dabbous, "Virtual networks under attack:
//! disrupting Internet coordinate systems", CoNEXT 2006). What that can do is bounded: one sample moves a coordinate by a quarter of
//! the measured round trip at most, whatever distance is claimed; nobody is believed to err by less than a tenth; a newcomer leaves
//! out the landmark that fits none of the others; and a round trip that was measured counts for more than any coordinate.

use core::time::Duration;

use treehouse_wire::control::Position;

use crate::rng::Rng;

/// Dimensions beside the height.
const DIMENSIONS: usize = 3;
/// Share of the distance to where it should be that a coordinate moves at most: Vivaldi's c_c.
const MOVE: f32 = 0.25;
/// Weight of a new sample in the estimate of the own error: Vivaldi's c_e.
const LEARN: f32 = 0.25;
/// Least error that another is believed to have of its coordinate: who claims none would pull the others to it.
const ERROR_MIN: f32 = 0.1;
/// Where a landmark is off by this share of the round trip it is tried without each, and one is left out if the others then fit
/// so many times better.
const MISFIT_SHARE: f32 = 0.3;
const MISFIT_TIMES: f32 = 2.0;
/// Landmarks of which one may be left out: fewer do not say which is wrong.
const LANDMARKS_MIN: usize = 5;
/// Least height in milliseconds: no last mile is shorter.
const HEIGHT_MIN_MS: f32 = 0.1;
/// Round trips outside of this, in milliseconds, are measured wrong or lies.
const TRIP_MS: core::ops::RangeInclusive<f32> = 0.05..=3000.0;
/// Rounds over the same few samples until a newcomer's coordinate has settled.
const ROUNDS: usize = 40;

/// Where a node is, for distances.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Coordinate {
    at_ms: [f32; DIMENSIONS],
    height_ms: f32,
    /// Relative error that the node expects of distances to it: 1 for one that knows nothing.
    error: f32,
}

impl Default for Coordinate {
    fn default() -> Self {
        Coordinate { at_ms: [0.0; DIMENSIONS], height_ms: HEIGHT_MIN_MS, error: 1.0 }
    }
}

impl Coordinate {
    /// Where the host of a room is, by definition: the others find their places around it.
    pub(crate) fn origin() -> Self {
        Coordinate { at_ms: [0.0; DIMENSIONS], height_ms: 5.0, error: 0.2 }
    }

    /// Whether anything was measured for it.
    pub(crate) fn is_known(&self) -> bool {
        self.error < 1.0
    }

    /// Round trip between two coordinates, in milliseconds.
    pub(crate) fn distance_ms(&self, other: &Coordinate) -> f32 {
        self.plane_ms(other) + self.height_ms + other.height_ms
    }

    /// The same without the last miles.
    pub(crate) fn plane_ms(&self, other: &Coordinate) -> f32 {
        let squares = self.at_ms.iter().zip(&other.at_ms).map(|(a, b)| (a - b) * (a - b));
        squares.sum::<f32>().sqrt()
    }

    /// Where it is, without its height, in milliseconds.
    pub(crate) fn at_ms(&self) -> [f32; DIMENSIONS] {
        self.at_ms
    }

    /// Its last mile, in milliseconds.
    pub(crate) fn height_ms(&self) -> f32 {
        self.height_ms
    }

    /// Learns from a round trip to a node that says it is at `other`.
    pub(crate) fn learn(&mut self, trip: Duration, other: &Coordinate, rng: &mut Rng) {
        let trip_ms = trip.as_secs_f32() * 1000.0;
        if !TRIP_MS.contains(&trip_ms) {
            return;
        }
        let distance_ms = self.distance_ms(other);
        let weight = self.error / (self.error + other.error.max(ERROR_MIN));
        let sample = ((distance_ms - trip_ms).abs() / trip_ms).min(1.0);
        self.error = (sample * LEARN * weight + self.error * (1.0 - LEARN * weight)).clamp(0.01, 0.99);
        self.pull(bounded(trip_ms - distance_ms, trip_ms), MOVE * weight, other, rng);
    }

    /// Moves by a share of a force along the line to another node; away from it where the force is positive.
    fn pull(&mut self, force_ms: f32, share: f32, other: &Coordinate, rng: &mut Rng) {
        let mut away = [0.0; DIMENSIONS];
        for (axis, (a, b)) in away.iter_mut().zip(self.at_ms.iter().zip(&other.at_ms)) {
            *axis = a - b;
        }
        let mut length = away.iter().map(|axis| axis * axis).sum::<f32>().sqrt();
        if length < 1e-3 {
            // On the same spot: any direction will do.
            away = core::array::from_fn(|_| rng.below(2001) as f32 / 1000.0 - 1.0);
            length = away.iter().map(|axis| axis * axis).sum::<f32>().sqrt().max(1e-3);
        }
        let heights_ms = self.height_ms + other.height_ms;
        let whole = length + heights_ms;
        let step_ms = force_ms * share;
        for (at, axis) in self.at_ms.iter_mut().zip(away) {
            *at += step_ms * axis / length * (length / whole);
        }
        self.height_ms = (self.height_ms + step_ms * heights_ms / whole).max(HEIGHT_MIN_MS);
    }

    /// A newcomer's coordinate from what it measured to nodes that know where they are.
    pub(crate) fn locate(samples: &[(Duration, Coordinate)], rng: &mut Rng) -> Option<Coordinate> {
        let known: Vec<(Duration, Coordinate)> = samples.iter().filter(|(_, of)| of.is_known()).copied().collect();
        let found = Coordinate::fit(&known, rng)?;
        if known.len() < LANDMARKS_MIN || known.iter().all(|sample| found.misfit(sample) < MISFIT_SHARE) {
            return Some(found);
        }
        let without = |left_out: usize| {
            let others: Vec<_> =
                known.iter().enumerate().filter(|(of, _)| *of != left_out).map(|(_, of)| *of).collect();
            Coordinate::fit(&others, rng)
        };
        let best = (0..known.len()).filter_map(without).min_by(|a, b| a.error.total_cmp(&b.error))?;
        // All of them are off a little; one that lies is off by far more than the others.
        Some(if best.error * MISFIT_TIMES < found.error { best } else { found })
    }

    /// By how much of the measured round trip the distance to a landmark is off.
    fn misfit(&self, (trip, other): &(Duration, Coordinate)) -> f32 {
        let trip_ms = trip.as_secs_f32() * 1000.0;
        (self.distance_ms(other) - trip_ms).abs() / trip_ms.max(1.0)
    }

    /// The coordinate that fits all samples best, roughly.
    fn fit(samples: &[(Duration, Coordinate)], rng: &mut Rng) -> Option<Coordinate> {
        let nearest = samples.iter().min_by_key(|(trip, _)| *trip)?;
        let mut found = Coordinate { error: 1.0, ..nearest.1 };
        for round in 0..ROUNDS {
            let share = MOVE * (1.0 - round as f32 / ROUNDS as f32) + 0.02;
            for (trip, other) in samples {
                let trip_ms = trip.as_secs_f32() * 1000.0;
                if TRIP_MS.contains(&trip_ms) {
                    found.pull(bounded(trip_ms - found.distance_ms(other), trip_ms), share, other, rng);
                }
            }
        }
        let misfits = samples.iter().map(|sample| found.misfit(sample).min(0.99));
        found.error = (misfits.sum::<f32>() / samples.len().max(1) as f32).clamp(0.1, 0.9);
        Some(found)
    }

    /// As it crosses the network: tenths of milliseconds, error in hundredths.
    pub(crate) fn to_wire(self) -> Position {
        let tenths = |ms: f32| (ms * 10.0).clamp(f32::from(i16::MIN), f32::from(i16::MAX)) as i16;
        Position {
            at: self.at_ms.map(tenths),
            height: (self.height_ms * 10.0).clamp(0.0, f32::from(u16::MAX)) as u16,
            error: (self.error * 100.0).clamp(0.0, 100.0) as u8,
        }
    }

    /// Reads what crossed the network; every value is a possible one.
    pub(crate) fn from_wire(position: &Position) -> Self {
        Coordinate {
            at_ms: position.at.map(|tenths| f32::from(tenths) / 10.0),
            height_ms: (f32::from(position.height) / 10.0).max(HEIGHT_MIN_MS),
            error: (f32::from(position.error) / 100.0).clamp(0.01, 1.0),
        }
    }
}

/// A force of no more than the measured round trip, in milliseconds: who claims to be far away pulls no harder for it.
fn bounded(force_ms: f32, trip_ms: f32) -> f32 {
    force_ms.clamp(-trip_ms, trip_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sites on a square, with last miles: a distance that the model can represent.
    fn sites(count: usize, rng: &mut Rng) -> Vec<([f32; 2], f32)> {
        let mut draw = |to: usize| rng.below(to) as f32;
        (0..count).map(|_| ([draw(200), draw(200)], 1.0 + draw(10))).collect()
    }

    fn trip((a, ha): &([f32; 2], f32), (b, hb): &([f32; 2], f32)) -> Duration {
        let plane = ((a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2)).sqrt();
        Duration::from_secs_f32((plane + ha + hb) / 1000.0)
    }

    fn errors(sites: &[([f32; 2], f32)], known: &[Coordinate]) -> Vec<f32> {
        let mut errors = Vec::new();
        for (a, at) in sites.iter().zip(known) {
            for (b, bt) in sites.iter().zip(known).filter(|(b, _)| *b != a) {
                let exact = trip(a, b).as_secs_f32() * 1000.0;
                errors.push((at.distance_ms(bt) - exact).abs() / exact);
            }
        }
        errors.sort_by(f32::total_cmp);
        errors
    }

    #[test]
    fn coordinates_predict_round_trips_after_some_samples() {
        let mut rng = Rng::new(&[1; 32]);
        let sites = sites(60, &mut rng);
        let mut known = vec![Coordinate::default(); sites.len()];
        for _ in 0..200 {
            for me in 0..sites.len() {
                let other = rng.below(sites.len());
                let at = known[other];
                if other != me {
                    known[me].learn(trip(&sites[me], &sites[other]), &at, &mut rng);
                }
            }
        }
        let errors = errors(&sites, &known);
        assert!(errors[errors.len() / 2] < 0.1, "median relative error {}", errors[errors.len() / 2]);
        assert!(errors[errors.len() * 9 / 10] < 0.4, "90th percentile {}", errors[errors.len() * 9 / 10]);

        // A newcomer that measures six of them knows its distance to the others.
        let newcomer = ([77.0, 123.0], 4.0);
        let samples: Vec<_> = (0..6).map(|of| (trip(&newcomer, &sites[of * 9]), known[of * 9])).collect();
        let found = Coordinate::locate(&samples, &mut rng).expect("six samples");
        let mut wrong: Vec<f32> = sites
            .iter()
            .zip(&known)
            .map(|(site, at)| {
                let exact = trip(&newcomer, site).as_secs_f32() * 1000.0;
                (found.distance_ms(at) - exact).abs() / exact
            })
            .collect();
        wrong.sort_by(f32::total_cmp);
        assert!(wrong[wrong.len() / 2] < 0.2, "median relative error {}", wrong[wrong.len() / 2]);
    }

    #[test]
    fn nonsense_moves_nothing_far() {
        let mut rng = Rng::new(&[2; 32]);
        let mut me = Coordinate::default();
        let liar = Coordinate::from_wire(&Position { at: [i16::MAX; 3], height: u16::MAX, error: 0 });
        me.learn(Duration::ZERO, &liar, &mut rng);
        me.learn(Duration::from_secs(3600), &liar, &mut rng);
        assert_eq!(me, Coordinate::default(), "times that cannot be are ignored");
        me.learn(Duration::from_millis(50), &liar, &mut rng);
        assert!(me.at_ms.iter().all(|at| at.is_finite()) && me.height_ms.is_finite());
        assert_eq!(Coordinate::locate(&[], &mut rng), None);
    }

    /// How far it is between two, heights included.
    fn moved_ms(a: &Coordinate, b: &Coordinate) -> f32 {
        a.plane_ms(b) + (a.height_ms - b.height_ms).abs()
    }

    #[test]
    fn a_sample_moves_a_coordinate_by_a_quarter_of_the_round_trip_at_most() {
        let mut rng = Rng::new(&[3; 32]);
        for at in [[i16::MAX; 3], [i16::MIN; 3], [0; 3], [50, -50, 10]] {
            let liar = Coordinate::from_wire(&Position { at, height: 10, error: 0 });
            for error in [0.01, 0.3, 0.99] {
                let honest = Coordinate { at_ms: [5.0, -5.0, 1.0], height_ms: 4.0, error };
                for trip_ms in [1, 40, 900] {
                    let mut me = honest;
                    me.learn(Duration::from_millis(trip_ms), &liar, &mut rng);
                    let moved_ms = moved_ms(&me, &honest);
                    // In the plane and in height, each by its part of a step of a quarter.
                    assert!(
                        moved_ms <= trip_ms as f32 / 4.0 * 2.0_f32.sqrt() + 0.01,
                        "{at:?} {error} {trip_ms}: {moved_ms}"
                    );
                }
            }
        }
    }

    /// One that is sure of its own coordinate is not moved much by who claims to be surer still.
    #[test]
    fn nobody_is_believed_to_know_exactly() {
        let mut rng = Rng::new(&[4; 32]);
        let liar = Coordinate { at_ms: [0.0; 3], height_ms: 1.0, error: 0.01 };
        let honest = Coordinate { at_ms: [100.0, 0.0, 0.0], height_ms: 4.0, error: 0.05 };
        let mut me = honest;
        me.learn(Duration::from_millis(300), &liar, &mut rng);
        assert!(moved_ms(&me, &honest) < 300.0 / 4.0 * 0.05 / 0.15 * 2.0_f32.sqrt(), "{me:?}");
    }

    #[test]
    fn a_newcomer_leaves_out_one_landmark_that_lies() {
        let mut rng = Rng::new(&[5; 32]);
        let at = |place: ([f32; 2], f32)| Coordinate {
            at_ms: [place.0[0], place.0[1], 0.0],
            height_ms: place.1,
            error: 0.1,
        };
        for round in 0..50_u8 {
            let mut rng_sites = Rng::new(&[round; 32]);
            let sites = sites(7, &mut rng_sites);
            let (newcomer, landmarks) = (sites[0], &sites[1..]);
            let mut samples: Vec<_> = landmarks.iter().map(|of| (trip(&newcomer, of), at(*of))).collect();
            let honest = Coordinate::locate(&samples, &mut rng).expect("six samples");
            for far in [-900.0, 900.0] {
                samples[usize::from(round) % 6].1.at_ms = [far, far, far];
                let lied = Coordinate::locate(&samples, &mut rng).expect("six samples");
                let off_ms = |found: &Coordinate| {
                    let off = |of: &([f32; 2], f32)| {
                        (found.distance_ms(&at(*of)) - trip(&newcomer, of).as_secs_f32() * 1000.0).abs()
                    };
                    landmarks.iter().map(off).sum::<f32>() / landmarks.len() as f32
                };
                assert!(
                    off_ms(&lied) < off_ms(&honest) + 15.0,
                    "{round}: {} against {}",
                    off_ms(&lied),
                    off_ms(&honest)
                );
            }
        }
    }

    #[test]
    fn the_wire_keeps_tenths_of_milliseconds() {
        let exact = Coordinate { at_ms: [12.3, -45.6, 0.1], height_ms: 7.8, error: 0.42 };
        let back = Coordinate::from_wire(&exact.to_wire());
        assert!(exact.at_ms.iter().zip(back.at_ms).all(|(a, b)| (a - b).abs() <= 0.1), "{back:?}");
        assert!((exact.height_ms - back.height_ms).abs() <= 0.1 && (exact.error - back.error).abs() <= 0.011);
    }
}
