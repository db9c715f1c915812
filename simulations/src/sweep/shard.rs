//! A part of a sweep, for schedulers that start the same command many times with a number.

use std::str::FromStr;

/// Part `index` of `count`: every `count`-th cell, so that parts are alike though cells of one axis differ in size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    index: usize,
    count: usize,
}

impl Shard {
    /// The whole.
    pub const WHOLE: Shard = Shard { index: 1, count: 1 };

    /// The parts of a list that are this shard's.
    pub fn of<T>(self, list: Vec<T>) -> Vec<T> {
        list.into_iter().skip(self.index - 1).step_by(self.count).collect()
    }

    /// Whether it is all there is.
    pub fn is_whole(self) -> bool {
        self.count == 1
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, String> {
        let parts = given.split_once('/').and_then(|(index, count)| Some((index.parse().ok()?, count.parse().ok()?)));
        match parts {
            Some((index, count)) if (1..=count).contains(&index) => Ok(Shard { index, count }),
            _ => Err(format!("'{given}' is no shard: give a number and how many there are, from 1/4 to 4/4 for four")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_disjoint_and_together_the_whole() {
        let mut all: Vec<u32> = Vec::new();
        for index in 1..=4 {
            let shard: Shard = format!("{index}/4").parse().expect("a shard");
            let part = shard.of((0..10).collect());
            assert!(part.len() >= 2 && part.len() <= 3);
            all.extend(part);
        }
        all.sort_unstable();
        assert_eq!(all, (0..10).collect::<Vec<_>>());
        assert_eq!(Shard::WHOLE.of(vec![1, 2]), [1, 2]);
    }

    #[test]
    fn what_is_no_shard_is_refused() {
        for wrong in ["", "1", "0/4", "5/4", "1/0", "a/b", "1/2/3", "-1/2"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }
}
