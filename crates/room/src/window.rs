//! Which of the last 1024 numbers were seen: the anti-replay window of RFC 4303 appendix A, over frame numbers.

/// Numbers that a window remembers.
pub(crate) const WINDOW: u32 = 1024;
const WORDS: usize = (WINDOW / 64) as usize;

/// A sliding set of numbers. Numbers older than the window count as seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Window {
    /// One past the newest number; zero while nothing was seen.
    end: u32,
    bits: [u64; WORDS],
}

impl Window {
    /// A window in which everything below `end` was seen.
    pub(crate) fn below(end: u32) -> Self {
        Window { end, bits: [u64::MAX; WORDS] }
    }

    /// One past the newest number that was seen; zero while there is none.
    pub(crate) fn end(&self) -> u32 {
        self.end
    }

    /// Whether a number was seen, or is too old to tell.
    pub(crate) fn contains(&self, number: u32) -> bool {
        if number >= self.end {
            return false;
        }
        self.end - number > WINDOW || self.bits[Self::word(number)] & Self::bit(number) != 0
    }

    /// Remembers a number; returns whether it is new.
    pub(crate) fn insert(&mut self, number: u32) -> bool {
        if self.contains(number) {
            return false;
        }
        if number >= self.end {
            self.advance(number);
        }
        self.bits[Self::word(number)] |= Self::bit(number);
        true
    }

    /// The newest number that was seen.
    pub(crate) fn newest(&self) -> Option<u32> {
        self.end.checked_sub(1)
    }

    /// The newest number up to which nothing of the last `span` is missing.
    pub(crate) fn contiguous(&self, span: u32) -> Option<u32> {
        let newest = self.newest()?;
        let oldest = newest.saturating_sub(span.min(WINDOW - 1));
        // What came before the first number that was ever seen is not missing.
        let start = (oldest..=newest).find(|number| self.contains(*number))?;
        let missing = (start..=newest).find(|number| !self.contains(*number));
        Some(missing.map_or(newest, |number| number.saturating_sub(1)))
    }

    fn advance(&mut self, number: u32) {
        if number - self.end >= WINDOW {
            self.bits = [0; WORDS];
        } else {
            for passed in self.end..number {
                self.bits[Self::word(passed)] &= !Self::bit(passed);
            }
            self.bits[Self::word(number)] &= !Self::bit(number);
        }
        self.end = number + 1;
    }

    fn word(number: u32) -> usize {
        (number / 64) as usize % WORDS
    }

    fn bit(number: u32) -> u64 {
        1 << (number % 64)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a set that forgets nothing: a number is new once, unless it is older than the window.
        #[test]
        fn a_window_is_a_set_that_forgets_the_old(numbers in prop::collection::vec(0_u32..5000, 1..400)) {
            let (mut window, mut all) = (Window::default(), BTreeSet::new());
            for number in numbers {
                let newest = all.last().copied().unwrap_or(0);
                let new = !all.contains(&number) && newest.saturating_sub(number) < WINDOW;
                prop_assert_eq!(window.insert(number), new);
                if new {
                    all.insert(number);
                }
                prop_assert!(window.contains(number));
            }
        }
    }

    #[test]
    fn below_its_start_a_window_has_seen_all_and_above_nothing() {
        for end in [0, 1, 100, 1000] {
            let mut window = Window::below(end);
            assert!((0..end).all(|number| window.contains(number)));
            assert!((end..end + 600).all(|number| !window.contains(number)));
            assert!(window.insert(end + 200));
            assert!((end..end + 200).all(|number| !window.contains(number)), "what was passed by may still come");
        }
    }

    #[test]
    fn contiguous_stops_before_the_first_gap() {
        let mut window = Window::default();
        assert_eq!(window.contiguous(150), None);
        for number in [100, 101, 102, 104] {
            window.insert(number);
        }
        assert_eq!(window.contiguous(150), Some(102));
        window.insert(103);
        assert_eq!(window.contiguous(150), Some(104));
    }
}
