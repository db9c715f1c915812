//! The event queue: a timing wheel whose buckets are sorted when they come up.
//!
//! Varghese and Lauck, "Hashed and hierarchical timing wheels", 1987, with a calendar of `BUCKETS` buckets of
//! `WIDTH_US` and one heap for what lies beyond. Events come out in the order of their time, and of their making where
//! the time is the same, which makes a run a function of its seed.

use std::{cmp::Reverse, collections::BinaryHeap};

/// Width of a bucket in microseconds.
const WIDTH_US: u64 = 512;
/// Buckets of the wheel: about four seconds.
const BUCKETS: usize = 8192;

struct Entry<E> {
    at_us: u64,
    made: u64,
    event: E,
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        (self.at_us, self.made) == (other.at_us, other.made)
    }
}
impl<E> Eq for Entry<E> {}
impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at_us, self.made).cmp(&(other.at_us, other.made))
    }
}

/// Events in the order of their time.
pub struct Queue<E> {
    wheel: Vec<Vec<Entry<E>>>,
    /// The bucket that is being emptied, latest first.
    current: Vec<Entry<E>>,
    /// What was made for the current bucket after it was sorted.
    late: BinaryHeap<Reverse<Entry<E>>>,
    /// What lies beyond the wheel.
    far: BinaryHeap<Reverse<Entry<E>>>,
    /// Number of the current bucket since the start of time.
    bucket: u64,
    made: u64,
    in_wheel: usize,
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Queue {
            wheel: std::iter::repeat_with(Vec::new).take(BUCKETS).collect(),
            current: Vec::new(),
            late: BinaryHeap::new(),
            far: BinaryHeap::new(),
            bucket: 0,
            made: 0,
            in_wheel: 0,
        }
    }
}

impl<E> Queue<E> {
    /// Adds an event; one for the past comes next.
    pub fn push(&mut self, at_us: u64, event: E) {
        self.made += 1;
        let entry = Entry { at_us, made: self.made, event };
        let bucket = at_us / WIDTH_US;
        if bucket <= self.bucket {
            self.late.push(Reverse(entry));
        } else if bucket - self.bucket < BUCKETS as u64 {
            self.wheel[bucket as usize % BUCKETS].push(entry);
            self.in_wheel += 1;
        } else {
            self.far.push(Reverse(entry));
        }
    }

    /// Takes the next event, if it is due at `until_us` or before.
    pub fn pop(&mut self, until_us: u64) -> Option<(u64, E)> {
        loop {
            let from_late = match (self.current.last(), self.late.peek()) {
                (Some(next), Some(Reverse(late))) => late < next,
                (None, Some(_)) => true,
                (Some(_), None) => false,
                (None, None) => {
                    if !self.turn(until_us) {
                        return None;
                    }
                    continue;
                }
            };
            let at_us =
                if from_late { self.late.peek().map(|of| of.0.at_us) } else { self.current.last().map(|of| of.at_us) };
            if at_us.is_none_or(|at| at > until_us) {
                return None;
            }
            let entry = if from_late { self.late.pop().map(|of| of.0) } else { self.current.pop() };
            return entry.map(|entry| (entry.at_us, entry.event));
        }
    }

    /// Goes on to the next bucket that holds something; false where there is none up to `until_us`.
    fn turn(&mut self, until_us: u64) -> bool {
        let last = until_us / WIDTH_US;
        while self.bucket < last {
            if self.in_wheel == 0 {
                // Nothing near: straight to the first of what is far.
                let Some(next) = self.far.peek().map(|far| far.0.at_us / WIDTH_US).filter(|next| *next <= last) else {
                    return false;
                };
                self.bucket = self.bucket.max(next.saturating_sub(1));
            }
            self.bucket += 1;
            let horizon = (self.bucket + BUCKETS as u64) * WIDTH_US;
            while self.far.peek().is_some_and(|far| far.0.at_us < horizon) {
                if let Some(Reverse(entry)) = self.far.pop() {
                    self.wheel[(entry.at_us / WIDTH_US) as usize % BUCKETS].push(entry);
                    self.in_wheel += 1;
                }
            }
            let slot = self.bucket as usize % BUCKETS;
            if !self.wheel[slot].is_empty() {
                self.in_wheel -= self.wheel[slot].len();
                std::mem::swap(&mut self.current, &mut self.wheel[slot]);
                self.current.sort_unstable_by(|a, b| b.cmp(a));
                return true;
            }
        }
        false
    }

    /// Events that wait.
    pub fn len(&self) -> usize {
        self.in_wheel + self.current.len() + self.late.len() + self.far.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;
    use crate::random::Stream;

    #[test]
    fn events_come_in_the_order_of_time_and_of_making() {
        let mut rng = Stream::Network.rng(1);
        let mut queue = Queue::default();
        let mut expected = Vec::new();
        let (mut now, mut seen) = (0, Vec::new());
        for made in 0..50_000_u64 {
            let reach = if made % 50 == 0 { 60_000_000 } else { 300_000 };
            let at = now + rng.random_range(0..reach);
            queue.push(at, made);
            expected.push((at, made));
            if made % 3 == 0
                && let Some((at, event)) = queue.pop(u64::MAX)
            {
                assert!(at >= now, "time goes on");
                now = at;
                seen.push((at, event));
            }
        }
        while let Some(event) = queue.pop(u64::MAX) {
            seen.push(event);
        }
        expected.sort_unstable();
        assert_eq!(seen, expected);
        assert!(queue.is_empty());
    }

    #[test]
    fn nothing_comes_before_its_time() {
        let mut queue = Queue::default();
        queue.push(5_000_000, 'b');
        queue.push(1_000, 'a');
        assert_eq!(queue.pop(999), None);
        assert_eq!(queue.pop(1_000), Some((1_000, 'a')));
        assert_eq!(queue.pop(4_999_999), None);
        queue.push(4_999_999, 'c');
        assert_eq!(queue.pop(u64::MAX), Some((4_999_999, 'c')));
        assert_eq!(queue.pop(u64::MAX), Some((5_000_000, 'b')));
    }
}
