//! Events in the order of their time, and of their making where the time is the same.

use std::{cmp::Reverse, collections::BTreeMap};

use treehouse_room::Instant;

pub struct Queue<T> {
    events: BTreeMap<(Instant, u64), T>,
    made: Reverse<u64>,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Queue { events: BTreeMap::new(), made: Reverse(0) }
    }
}

impl<T> Queue<T> {
    pub fn push(&mut self, at: Instant, event: T) {
        self.made.0 += 1;
        self.events.insert((at, self.made.0), event);
    }

    pub fn pop_before(&mut self, until: Instant) -> Option<(Instant, T)> {
        let (key, _) = self.events.first_key_value().filter(|((at, _), _)| *at <= until)?;
        let key = *key;
        self.events.remove(&key).map(|event| (key.0, event))
    }
}
