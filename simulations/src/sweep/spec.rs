//! What a sweep runs over: a scenario, settings for all cells, lists of settings, and seeds.

use std::{
    collections::BTreeMap,
    fmt::{self, Display},
    fs,
    path::Path,
    str::FromStr,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{SweepError, cells::CELLS_MAX};

/// A sweep. In a file:
///
/// ```toml
/// scenario = "evening-room"
/// seeds = 10
///
/// [set]
/// duration = "60s"
///
/// [over]
/// members = [1000, 10000]
/// strategy = ["treehouse", "gossipsub"]
/// gossipsub.d = [6, 8]
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sweep {
    /// The name of a shipped scenario, or the path of a file.
    pub scenario: String,
    /// Each combination of settings is run with each of these. Default: 1.
    #[serde(default)]
    pub seeds: Seeds,
    /// Settings of every cell.
    #[serde(default, deserialize_with = "settings")]
    pub set: BTreeMap<String, String>,
    /// Settings that are varied, each with its values.
    #[serde(default, deserialize_with = "axes")]
    pub over: BTreeMap<String, Vec<String>>,
}

impl Sweep {
    /// Reads a sweep from a file; a scenario's path counts from the file's folder.
    ///
    /// # Errors
    /// [`SweepError`] where there is no such file, or it says no sweep.
    pub fn read(path: &Path) -> Result<Self, SweepError> {
        let text = fs::read_to_string(path).map_err(SweepError::file("read the sweep", path))?;
        let mut sweep: Sweep = toml::from_str(&text).map_err(|error| {
            let line = error.span().map_or(0, |span| text[..span.start].matches('\n').count() + 1);
            let reason = error.message();
            SweepError::Wrong(format!(
                "{}, line {line}: {reason}; a sweep has the keys scenario, seeds, [set] and [over]",
                path.display()
            ))
        })?;
        let beside = path.parent().unwrap_or(Path::new("")).join(&sweep.scenario);
        if sweep.scenario.ends_with(".toml") && beside.is_file() {
            sweep.scenario = beside.to_string_lossy().into_owned();
        }
        sweep.check()?;
        Ok(sweep)
    }

    /// Its text in a file, the same for the same sweep.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).unwrap_or_default()
    }

    /// Adds values to vary a setting by, as a command line gives them: `members=1000,10000`.
    ///
    /// # Errors
    /// [`SweepError::Wrong`] where that is no list.
    pub fn add_axis(&mut self, given: &str) -> Result<(), SweepError> {
        let example = "give a setting and its values, for example --over members=1000,10000";
        let Some((key, values)) = given.split_once('=') else {
            return Err(SweepError::Wrong(format!("--over {given} lists no values: {example}")));
        };
        let values: Vec<String> = values.split(',').map(|value| value.trim().to_owned()).collect();
        if key.trim().is_empty() || values.iter().any(String::is_empty) {
            return Err(SweepError::Wrong(format!("--over {given} leaves something empty: {example}")));
        }
        if self.over.insert(key.trim().to_owned(), values).is_some() {
            return Err(SweepError::Wrong(format!("--over {key} is given twice: put all its values into one list")));
        }
        Ok(())
    }

    /// Whether its cells are all different and not too many.
    ///
    /// # Errors
    /// [`SweepError::Wrong`].
    pub fn check(&self) -> Result<(), SweepError> {
        let mut count = self.seeds.0.len();
        for (key, values) in &self.over {
            if key == "seed" {
                return Err(SweepError::Wrong("seed cannot be varied like a setting: use seeds".to_owned()));
            }
            if self.set.contains_key(key) {
                return Err(SweepError::Wrong(format!("{key} is both set and varied: leave one of the two out")));
            }
            if values.is_empty() {
                return Err(SweepError::Wrong(format!("{key} is varied over no values: give at least one")));
            }
            if let Some(twice) = repeated(values) {
                return Err(SweepError::Wrong(format!("{key} lists {twice} twice: leave one out")));
            }
            count = count.saturating_mul(values.len());
        }
        if self.set.contains_key("seed") {
            return Err(SweepError::Wrong("seed cannot be set for a whole sweep: use seeds".to_owned()));
        }
        if count > CELLS_MAX {
            return Err(SweepError::Wrong(format!("these are {count} cells, more than {CELLS_MAX}: split the sweep")));
        }
        Ok(())
    }
}

fn repeated(values: &[String]) -> Option<&String> {
    values.iter().enumerate().find(|(at, value)| values[..*at].contains(value)).map(|(_, value)| value)
}

/// The seeds of a sweep: `10` (1 to 10), `11-20`, `1,5,9` or any list of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seeds(Vec<u64>);

impl Seeds {
    /// In the order that they were given in.
    pub fn list(&self) -> &[u64] {
        &self.0
    }

    /// From 1 to this.
    fn count(count: u64) -> Result<Self, String> {
        if count == 0 || count > CELLS_MAX as u64 {
            return Err(format!("{count} seeds are none, or too many: give 1 to {CELLS_MAX}"));
        }
        Ok(Seeds((1..=count).collect()))
    }
}

impl Default for Seeds {
    fn default() -> Self {
        Seeds(vec![1])
    }
}

impl FromStr for Seeds {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, String> {
        let number = |text: &str| text.trim().parse::<u64>().map_err(|_| wrong_seeds(given));
        if !given.contains([',', '-']) {
            return Seeds::count(number(given)?);
        }
        let mut list = Vec::new();
        for part in given.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (number(first)?, number(last)?);
            if last < first || last - first >= CELLS_MAX as u64 || list.len() > CELLS_MAX {
                return Err(wrong_seeds(given));
            }
            list.extend(first..=last);
        }
        let mut sorted = list.clone();
        sorted.sort_unstable();
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("seed {} is given twice: leave one out", pair[0]));
        }
        Ok(Seeds(list))
    }
}

fn wrong_seeds(given: &str) -> String {
    format!("'{given}' names no seeds: give a count such as 10, a range such as 11-20, or a list such as 1,5,9")
}

impl Display for Seeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = (self.0.first().copied().unwrap_or(1), self.0.last().copied().unwrap_or(1));
        if self.0.len() > 1 && self.0.windows(2).all(|pair| pair[1] == pair[0] + 1) {
            return write!(f, "{first}-{last}");
        }
        let list: Vec<String> = self.0.iter().map(u64::to_string).collect();
        // A trailing range keeps a single seed apart from a count.
        if let [only] = list.as_slice() { write!(f, "{only}-{only}") } else { f.write_str(&list.join(",")) }
    }
}

impl Serialize for Seeds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Seeds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seeds = match toml::Value::deserialize(deserializer)? {
            toml::Value::Integer(count) => Seeds::count(u64::try_from(count).unwrap_or(0)),
            toml::Value::String(text) => text.parse(),
            toml::Value::Array(list) => list.iter().map(scalar).collect::<Option<Vec<_>>>().map_or_else(
                || Err(wrong_seeds("this list")),
                |list| if list.len() == 1 { format!("{0}-{0}", list[0]).parse() } else { list.join(",").parse() },
            ),
            other => Err(wrong_seeds(&other.to_string())),
        };
        seeds.map_err(de::Error::custom)
    }
}

/// A value as `--set` takes it; none for a table or a list.
fn scalar(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Array(_) | toml::Value::Table(_) => None,
        other => Some(other.to_string()),
    }
}

fn settings<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let mut flat = BTreeMap::new();
    flatten("", &toml::Table::deserialize(deserializer)?, &mut |key, value| {
        let value = scalar(value).ok_or_else(|| format!("{key} in [set] is a list; lists belong into [over]"))?;
        flat.insert(key, value);
        Ok(())
    })
    .map_err(de::Error::custom)?;
    Ok(flat)
}

fn axes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Vec<String>>, D::Error> {
    let mut flat = BTreeMap::new();
    flatten("", &toml::Table::deserialize(deserializer)?, &mut |key, value| {
        let values = value.as_array().and_then(|list| list.iter().map(scalar).collect());
        let values = values.ok_or_else(|| format!("{key} in [over] is no list of values, such as [1000, 10000]"))?;
        flat.insert(key, values);
        Ok(())
    })
    .map_err(de::Error::custom)?;
    Ok(flat)
}

/// Calls `take` for each value with its dotted key.
fn flatten(
    prefix: &str,
    table: &toml::Table,
    take: &mut impl FnMut(String, &toml::Value) -> Result<(), String>,
) -> Result<(), String> {
    for (key, value) in table {
        let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            toml::Value::Table(inner) => flatten(&key, inner, take)?,
            value => take(key, value)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Sweep, SweepError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("sweep.toml");
        fs::write(&path, text).expect("a file");
        Sweep::read(&path)
    }

    fn refused(text: &str) -> String {
        read(text).expect_err(text).to_string()
    }

    #[test]
    fn a_sweep_is_read_as_it_is_documented_and_written_the_same() {
        let sweep = read(
            "scenario = 'evening-room'\nseeds = 3\n[set]\nduration = '60s'\n[over]\nmembers = [1000, 10000]\n\
             gossipsub.d = [6, 8]\n",
        )
        .expect("a sweep");
        assert_eq!(sweep.seeds.list(), [1, 2, 3]);
        assert_eq!(sweep.set["duration"], "60s");
        assert_eq!(sweep.over["members"], ["1000", "10000"]);
        assert_eq!(sweep.over["gossipsub.d"], ["6", "8"]);
        assert_eq!(read(&sweep.to_toml()).expect("its own text"), sweep);
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(refused("scenario = 'a'\n[over]\nmembers = 5\n").contains("members in [over] is no list"));
        assert!(refused("scenario = 'a'\n\nsed = 5\n").contains("line 3"));
        assert!(refused("scenario = 'a'\n[set]\nx = [1]\n").contains("[over]"));
        assert!(refused("scenario = 'a'\n[set]\nx = 1\n[over]\nx = [1, 2]\n").contains("both set and varied"));
        assert!(refused("scenario = 'a'\n[over]\nx = []\n").contains("no values"));
        assert!(refused("scenario = 'a'\n[over]\nx = [1, 1]\n").contains("1 twice"));
        assert!(refused("scenario = 'a'\n[over]\nseed = [1, 2]\n").contains("use seeds"));
        assert!(refused("scenario = 'a'\nseeds = 0\n").contains("1 to"));
        assert!(refused("scenario = 'a'\nseeds = 99999\n[over]\nx = [1, 2]\n").contains("split the sweep"));
    }

    #[test]
    fn seeds_are_a_count_a_range_or_a_list() {
        let list = |text: &str| text.parse::<Seeds>().map(|seeds| seeds.list().to_vec());
        assert_eq!(list("3"), Ok(vec![1, 2, 3]));
        assert_eq!(list("11-13"), Ok(vec![11, 12, 13]));
        assert_eq!(list("1,5-6"), Ok(vec![1, 5, 6]));
        for wrong in ["", "x", "0", "5-3", "1,,2", "1,1", "-1", "1-99999999999"] {
            assert!(list(wrong).is_err(), "{wrong}");
        }
        for text in ["3", "7-7", "1,5,9", "4-6"] {
            let seeds: Seeds = text.parse().expect(text);
            assert_eq!(seeds.to_string().parse::<Seeds>().as_ref(), Ok(&seeds), "{text}");
        }
    }

    #[test]
    fn an_axis_of_the_command_line_is_a_key_and_values() {
        let mut sweep = read("scenario = 'a'\n").expect("a sweep");
        sweep.add_axis("members=10, 20").expect("a list");
        assert_eq!(sweep.over["members"], ["10", "20"]);
        for wrong in ["members", "members=", "=1", "x=1,,2", "members=5"] {
            assert!(sweep.add_axis(wrong).is_err(), "{wrong}");
        }
    }
}
