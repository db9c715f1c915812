//! The cells of a sweep, and the folder of each.

use std::path::{Path, PathBuf};

use super::Sweep;

/// Cells of one sweep at most.
pub const CELLS_MAX: usize = 100_000;

/// One run of a sweep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// What the sweep varies: settings and this cell's values.
    pub varied: Vec<(String, String)>,
    /// What the sweep sets for all.
    pub set: Vec<(String, String)>,
    /// The seed.
    pub seed: u64,
}

impl Cell {
    /// Its folder below the sweep's.
    pub fn folder(&self, sweep: &Path) -> PathBuf {
        let mut path = sweep.join("cells");
        for (key, value) in &self.varied {
            path.push(format!("{}={}", escaped(key), escaped(value)));
        }
        path.join(format!("seed={}", self.seed))
    }

    /// How people call it: `members=1000 strategy=star seed=3`.
    pub fn name(&self) -> String {
        let settings = self.varied.iter().map(|(key, value)| format!("{key}={value} "));
        format!("{}seed={}", settings.collect::<String>(), self.seed)
    }

    /// All its settings, as `--set` takes them.
    pub fn settings(&self) -> impl Iterator<Item = String> + '_ {
        self.set.iter().chain(&self.varied).map(|(key, value)| format!("{key}={value}"))
    }
}

impl Sweep {
    /// Its cells: every combination of what is varied, with every seed. The seeds change fastest.
    pub fn cells(&self) -> Vec<Cell> {
        let mut combinations: Vec<Vec<(String, String)>> = vec![Vec::new()];
        for (key, values) in &self.over {
            let with = |combination: &Vec<(String, String)>, value: &String| {
                let mut longer = combination.clone();
                longer.push((key.clone(), value.clone()));
                longer
            };
            combinations = combinations.iter().flat_map(|of| values.iter().map(move |value| with(of, value))).collect();
        }
        let set: Vec<(String, String)> = self.set.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        let cell = |varied: &Vec<(String, String)>, seed: u64| Cell { varied: varied.clone(), set: set.clone(), seed };
        combinations.iter().flat_map(|of| self.seeds.list().iter().map(move |seed| cell(of, *seed))).collect()
    }
}

/// A text as a part of a path: as in URLs, so that readers of Hive partitions take it back.
fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let mut out: String = text
        .bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect();
    if out.bytes().all(|byte| byte == b'.') {
        out = out.replace('.', "%2E");
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    fn sweep(over: &[(&str, &[&str])], seeds: &str) -> Sweep {
        let owned = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
        Sweep {
            scenario: "smoke".to_owned(),
            seeds: seeds.parse().expect("seeds"),
            set: BTreeMap::from([("duration".to_owned(), "10s".to_owned())]),
            over: over.iter().map(|(key, values)| ((*key).to_owned(), owned(values))).collect(),
        }
    }

    #[test]
    fn cells_are_every_combination_with_every_seed() {
        let cells = sweep(&[("members", &["10", "20"]), ("strategy", &["star", "random-tree"])], "3").cells();
        assert_eq!(cells.len(), 12);
        let names: BTreeSet<String> = cells.iter().map(Cell::name).collect();
        assert_eq!(names.len(), 12, "all are different");
        assert_eq!(cells[0].name(), "members=10 strategy=star seed=1");
        assert_eq!(cells[1].name(), "members=10 strategy=star seed=2");
        assert_eq!(cells[11].name(), "members=20 strategy=random-tree seed=3");
        let settings: Vec<String> = cells[11].settings().collect();
        assert_eq!(settings, ["duration=10s", "members=20", "strategy=random-tree"]);
    }

    #[test]
    fn a_sweep_over_nothing_is_its_seeds() {
        let cells = sweep(&[], "7-8").cells();
        assert_eq!(cells.iter().map(|cell| cell.seed).collect::<Vec<_>>(), [7, 8]);
        assert_eq!(cells[0].folder(Path::new("out")), Path::new("out/cells/seed=7"));
    }

    #[test]
    fn folders_are_hive_partitions_that_no_value_escapes() {
        let cell = |value: &str| sweep(&[("delay.file", &[value])], "1-1").cells().remove(0).folder(Path::new("out"));
        assert_eq!(cell("a b/c=d"), Path::new("out/cells/delay.file=a%20b%2Fc%3Dd/seed=1"));
        assert_eq!(cell("../x"), Path::new("out/cells/delay.file=..%2Fx/seed=1"));
        assert_eq!(escaped(".."), "%2E%2E");
    }
}
