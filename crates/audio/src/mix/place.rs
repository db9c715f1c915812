//! Where a voice stands between left and right.
//!
//! Whoever talks from a place of their own is understood better among others, and told apart (Bronkhorst, "The cocktail
//! party problem", Attention, Perception & Psychophysics 77, 2015). A place is made by level and time: constant power, so that
//! a voice is equally loud everywhere, and the further ear a little later, as for a head between loudspeakers 30 degrees
//! to either side (Woodworth's formula gives 0.26 ms).

use std::collections::VecDeque;

use treehouse_wire::VoiceId;

/// Samples by which the further ear is later at the sides: 0.25 ms.
pub(super) const DELAY_MAX: usize = 12;
/// How far the sides are from hard left and right: something stays for whoever has one ear free.
const WIDTH: f32 = 0.8;
/// Voices whose place is remembered, in the order of their coming; beyond it the first is forgotten.
pub const REMEMBERED_MAX: usize = 256;
/// Places in the order in which voices take them: whoever is alone stands in the middle.
const SEATS: [f32; 7] = [0.0, -0.6, 0.6, -0.3, 0.3, -1.0, 1.0];

/// A place from -1, left, over 0, the middle, to 1, right.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Place(f32);

impl Place {
    /// The nearest place there is; the middle for what is no number.
    pub fn new(right: f32) -> Self {
        Place(if right.is_finite() { right.clamp(-1.0, 1.0) } else { 0.0 })
    }

    /// From -1, left, to 1, right.
    pub fn right(self) -> f32 {
        self.0
    }

    pub(super) fn pan(self) -> Pan {
        let angle = (1.0 + self.0 * WIDTH) * std::f32::consts::FRAC_PI_4;
        let later = |side: f32| (side.max(0.0) * DELAY_MAX as f32).round() as usize;
        // Twice the power of one loudspeaker, as without places, where both play the same; exactly one in the middle.
        let (left, right) = match self.0 {
            0.0 => (1.0, 1.0),
            _ => (std::f32::consts::SQRT_2 * angle.cos(), std::f32::consts::SQRT_2 * angle.sin()),
        };
        Pan { left, right, left_later: later(self.0), right_later: later(-self.0) }
    }
}

/// What a place does to a voice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pan {
    pub(super) left: f32,
    pub(super) right: f32,
    /// Samples by which the left ear is later.
    pub(super) left_later: usize,
    pub(super) right_later: usize,
}

/// Who stands where. A voice keeps its place for as long as it is remembered, also while others come and go.
#[derive(Debug, Default)]
pub(crate) struct Seats {
    taken: VecDeque<(VoiceId, usize)>,
}

impl Seats {
    /// The voice's place: the one it has, else the first that the fewest of those present have, and of all others.
    pub(crate) fn of(&mut self, voice: VoiceId, is_present: impl Fn(&VoiceId) -> bool) -> Place {
        let known = self.taken.iter().find(|(id, _)| *id == voice).map(|(_, seat)| *seat);
        let seat = known.unwrap_or_else(|| {
            let holders = |seat: usize| {
                let of_seat = self.taken.iter().filter(|(_, taken)| *taken == seat);
                (of_seat.clone().filter(|(id, _)| is_present(id)).count(), of_seat.count())
            };
            let seat = (0..SEATS.len()).min_by_key(|seat| holders(*seat)).unwrap_or(0);
            if self.taken.len() >= REMEMBERED_MAX {
                self.taken.pop_front();
            }
            self.taken.push_back((voice, seat));
            seat
        });
        Place(SEATS.get(seat).copied().unwrap_or(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_equally_loud_and_the_middle_changes_nothing() {
        for right in [-1.0, -0.6, -0.3, 0.1, 0.3, 0.6, 1.0] {
            let pan = Place::new(right).pan();
            assert!((pan.left.powi(2) + pan.right.powi(2) - 2.0).abs() < 1e-5, "{right}: {pan:?}");
            assert_eq!(pan.right > pan.left, right > 0.0);
            assert_eq!((pan.left_later > 0, pan.right_later > 0), (right > 0.0, right < 0.0));
            assert!(pan.left_later.max(pan.right_later) <= DELAY_MAX);
        }
        assert_eq!(Place::new(0.0).pan(), Pan { left: 1.0, right: 1.0, left_later: 0, right_later: 0 });
        assert_eq!(Place::new(f32::NAN), Place::default());
        assert_eq!(Place::new(7.0).right(), 1.0);
    }

    #[test]
    fn seven_voices_have_seven_places_and_keep_them() {
        let mut seats = Seats::default();
        let first: Vec<f32> = (0..7).map(|n| seats.of(VoiceId([n; 8]), |_| true).right()).collect();
        let mut sorted = first.clone();
        sorted.sort_by(f32::total_cmp);
        assert!(sorted.windows(2).all(|pair| pair[1] - pair[0] >= 0.3 - 1e-6), "{sorted:?}");
        assert_eq!(first[0], 0.0);
        (100..150).for_each(|n| assert!(seats.of(VoiceId([n; 8]), |_| true).right().is_finite()));
        let again: Vec<f32> = (0..7).map(|n| seats.of(VoiceId([n; 8]), |_| true).right()).collect();
        assert_eq!(again, first);
    }

    #[test]
    fn a_place_whose_voice_has_left_is_taken_before_one_whose_voice_is_there() {
        let mut seats = Seats::default();
        let [left, stays, comes] = [1, 2, 3].map(|n| VoiceId([n; 8]));
        let was = seats.of(left, |_| true);
        seats.of(stays, |_| true);
        (4..9).for_each(|n| assert!(seats.of(VoiceId([n; 8]), |_| true).right().is_finite()));
        assert_eq!(seats.of(comes, |id| *id != left), was);
    }

    #[test]
    fn what_is_remembered_has_a_bound() {
        let mut seats = Seats::default();
        for n in 0..2_000u64 {
            seats.of(VoiceId(n.to_le_bytes()), |_| false);
        }
        assert_eq!(seats.taken.len(), REMEMBERED_MAX);
    }
}
