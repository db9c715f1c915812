//! Protection that nobody chose: the strongest that spare capacity carries.
//!
//! `all` takes two feeds a member, `relays` one and another for each member that feeds others, `off` one. A level is carried where the
//! region's slots leave some over: without a choice of parents members are placed far from where they are, and a neighbour that
//! repairs needs a slot at once. How much is left over is assumed: three tenths of what `all` takes, a half of what `off` takes. Nobody is
//! refused for the sake of protection: a room that is full goes down a level first. A stronger level is taken up once it was carried for [`HOLD`] without a break, and kept until
//! much of what it needed is gone, so that a room near the border does not change its mind with each member that comes and goes.

use core::time::Duration;

use crate::{config::Protection, time::Instant};

/// A stronger level must be carried for this long before it is taken up.
const HOLD: Duration = Duration::from_secs(30);

/// The host's choice of a level, while nobody else chooses.
#[derive(Debug, Default)]
pub(crate) struct Auto {
    /// A stronger level that is carried, and since when.
    carried: Option<(Protection, Instant)>,
}

/// The next weaker level.
pub(crate) fn weaker(level: Protection) -> Option<Protection> {
    match level {
        Protection::All => Some(Protection::Relays),
        Protection::Relays => Some(Protection::Off),
        Protection::Off => None,
    }
}

/// Slots that a level needs, in tenths of a slot a member: to be taken up, and to be kept.
fn needs(level: Protection) -> (u64, u64) {
    match level {
        Protection::Off => (0, 0),
        Protection::Relays => (15, 12),
        Protection::All => (26, 22),
    }
}

impl Auto {
    /// The level of a room that nobody has come to yet: it carries everything.
    pub(crate) const FIRST: Protection = Protection::All;

    /// The level from now on, where `slots` feeds can be given to `members` in all.
    pub(crate) fn choose(&mut self, present: Protection, slots: u32, members: usize, now: Instant) -> Protection {
        let (slots, members) = (10 * u64::from(slots), members as u64);
        let levels = [Protection::All, Protection::Relays, Protection::Off];
        let strongest = |bound: fn(Protection) -> u64| {
            levels.into_iter().find(|level| slots >= bound(*level) * members).unwrap_or(Protection::Off)
        };
        let kept = strongest(|level| needs(level).1);
        if kept < present {
            self.carried = None;
            return kept;
        }
        let stronger = strongest(|level| needs(level).0);
        if stronger <= present {
            self.carried = None;
            return present;
        }
        let since = self.carried.filter(|(level, _)| *level == stronger).map_or(now, |(_, since)| since);
        self.carried = Some((stronger, since));
        if now.since(since) >= HOLD { stronger } else { present }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is chosen in each of some seconds, from a level on.
    fn chosen(from: Protection, seconds: impl IntoIterator<Item = (u32, usize)>) -> Vec<Protection> {
        let (mut auto, mut level, mut now) = (Auto::default(), from, Instant::from_micros(1_000_000));
        let mut next = |(slots, members)| {
            now = now.after(Duration::from_secs(1));
            level = auto.choose(level, slots, members, now);
            level
        };
        seconds.into_iter().map(&mut next).collect()
    }

    #[test]
    fn what_slots_do_not_carry_any_more_is_given_up_at_once() {
        let levels = chosen(Auto::FIRST, [(8, 0), (80, 30), (80, 40), (80, 60), (80, 70)]);
        assert_eq!(levels[..3], [Protection::All, Protection::All, Protection::Relays]);
        assert_eq!(levels[3..], [Protection::Relays, Protection::Off]);
    }

    #[test]
    fn a_stronger_level_is_taken_up_when_it_was_carried_for_a_while() {
        let levels = chosen(Protection::Off, core::iter::repeat_n((300, 100), 40));
        assert_eq!(levels.iter().position(|level| *level == Protection::All), Some(30));
        assert!(!levels.contains(&Protection::Relays), "no detour");
    }

    #[test]
    fn near_the_border_the_level_stays() {
        // Members come and go around what `all` needs: between 2.4 and 2.6 slots each.
        let members = (0..300).map(|second| (250, [95, 100, 105][second % 3]));
        let levels = chosen(Protection::Relays, members.clone());
        assert!(levels.iter().all(|level| *level == Protection::Relays));
        assert!(chosen(Protection::All, members).iter().all(|level| *level == Protection::All));
    }
}
