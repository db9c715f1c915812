//! The one table of timers.
//!
//! Each kind of wake-up has one slot. Slots are lazy: a deadline that moves later on every packet is not moved; the timer
//! fires at the old time, looks, and is armed again for the rest.

use crate::time::Instant;

/// Why a room wants to wake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// The host has not answered, or is to be dialled again.
    Admission,
    /// The leaders that were dialled first, or the one that was asked, have had their time.
    Entry,
    /// Round trips of candidates are being measured.
    Measure,
    /// A feed may have gone silent, or an attempt to get one may have failed.
    Feeds,
    /// Children may need to hear that their feed lives.
    Ticks,
    /// Once a second: reports, unused links, spent reservations.
    Housekeeping,
    /// The host has changes of the room state to publish; another misses the key that came with them.
    Publish,
    /// The node is leaving and has fed its children for long enough.
    Linger,
}

impl Timer {
    const ALL: [Timer; 8] = [
        Timer::Admission,
        Timer::Entry,
        Timer::Measure,
        Timer::Feeds,
        Timer::Ticks,
        Timer::Housekeeping,
        Timer::Publish,
        Timer::Linger,
    ];
}

/// When each timer is due.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    due: [Option<Instant>; Timer::ALL.len()],
}

impl Timers {
    /// Sets a timer, whatever it was before.
    pub(crate) fn arm(&mut self, timer: Timer, at: Instant) {
        self.due[timer as usize] = Some(at);
    }

    /// Sets a timer unless it is due before that already.
    pub(crate) fn arm_by(&mut self, timer: Timer, at: Instant) {
        let slot = &mut self.due[timer as usize];
        *slot = Some(slot.map_or(at, |due| due.min(at)));
    }

    /// When a timer is due, if it is set.
    pub(crate) fn due(&self, timer: Timer) -> Option<Instant> {
        self.due[timer as usize]
    }

    /// Forgets a timer.
    pub(crate) fn disarm(&mut self, timer: Timer) {
        self.due[timer as usize] = None;
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.due = Default::default();
    }

    /// The next timer and when it is due.
    pub(crate) fn next(&self) -> Option<(Instant, Timer)> {
        Timer::ALL.into_iter().filter_map(|timer| Some((self.due[timer as usize]?, timer))).min()
    }

    /// Takes out one timer that is due.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Timer> {
        let (at, timer) = self.next()?;
        (at <= now).then(|| {
            self.disarm(timer);
            timer
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_timer_comes_first_and_once() {
        let at = Instant::from_micros;
        let mut timers = Timers::default();
        timers.arm(Timer::Ticks, at(20));
        timers.arm(Timer::Feeds, at(10));
        timers.arm_by(Timer::Feeds, at(30));
        assert_eq!(timers.next(), Some((at(10), Timer::Feeds)));
        assert_eq!(timers.take_due(at(9)), None);
        assert_eq!(timers.take_due(at(25)), Some(Timer::Feeds));
        assert_eq!(timers.take_due(at(25)), Some(Timer::Ticks));
        assert_eq!(timers.take_due(at(25)), None);
    }
}
