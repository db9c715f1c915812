//! From text and `--set`s to a [`Scenario`], with the place of each mistake.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::{
    Table, Value,
    de::{DeTable, DeValue},
};

use super::{
    Place, Scenario, ScenarioError, check,
    nearest::nearest,
    shipped::{shipped, shipped_text},
};

impl Scenario {
    /// Loads a shipped scenario by its name, or a file; then replaces keys, in order.
    ///
    /// # Errors
    /// See [`ScenarioError`].
    pub fn load(name_or_path: &str, sets: &[(String, String)]) -> Result<Scenario, ScenarioError> {
        if let Some(text) = shipped_text(name_or_path) {
            let folder = PathBuf::from(".");
            return Scenario::parse(text, &format!("{name_or_path}.toml"), name_or_path, &folder, sets);
        }
        let path = Path::new(name_or_path);
        if !path.exists() {
            let near = nearest(name_or_path, shipped().iter().map(|of| of.0)).map(str::to_owned);
            return Err(ScenarioError::NotFound { name: name_or_path.to_owned(), nearest: near });
        }
        let text = std::fs::read_to_string(path)
            .map_err(|error| ScenarioError::Read { path: path.to_owned(), message: error.to_string() })?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        Scenario::parse(&text, name_or_path, &name, path.parent().unwrap_or(Path::new(".")), sets)
    }

    /// Reads a scenario from text. `file` is what errors call it; files that it names are relative to `folder`.
    ///
    /// # Errors
    /// See [`ScenarioError`].
    pub fn parse(
        text: &str,
        file: &str,
        name: &str,
        folder: &Path,
        sets: &[(String, String)],
    ) -> Result<Scenario, ScenarioError> {
        let source = Source { text, file };
        let document = DeTable::parse(text).map_err(|error| source.syntax(&error))?.into_inner();
        let read = toml::from_str::<Scenario>(text).map_err(|error| source.explain(&document, &error));
        let (mut scenario, mut table) = (read?, text.parse::<Table>().map_err(|error| source.syntax(&error))?);
        for (key, value) in sets {
            let place = || Place::Set { key: key.clone(), value: value.clone() };
            let path: Vec<&str> = key.split('.').map(str::trim).collect();
            set(&mut table, &path, parse_value(value)).map_err(|message| ScenarioError::Value {
                place: place(),
                key: key.clone(),
                message,
            })?;
            scenario =
                Scenario::deserialize(table.clone()).map_err(|error| explain(place(), &path, error.message()))?;
        }
        name.clone_into(&mut scenario.name);
        folder.clone_into(&mut scenario.folder);
        check::check(&scenario).map_err(|wrong| scenario_error(&source, &document, sets, wrong.key, wrong.message))?;
        Ok(scenario)
    }
}

fn scenario_error(
    source: &Source<'_>,
    document: &DeTable<'_>,
    sets: &[(String, String)],
    key: String,
    message: String,
) -> ScenarioError {
    let within = |of: &str| key == of || key.strip_prefix(of).is_some_and(|rest| rest.starts_with('.'));
    let from_set = |(key, value): &(String, String)| Place::Set { key: key.clone(), value: value.clone() };
    let in_text = || find(document, &key.split('.').collect::<Vec<_>>()).map(|offset| source.line(offset));
    // What is missing is missed by what was set beside it.
    let section = |key: &str| key.rsplit_once('.').map(|(section, _)| section.to_owned());
    let beside = |of: &str| section(of).is_some() && section(of) == section(&key);
    let place = (sets.iter().rev().find(|(of, _)| within(of)).map(from_set))
        .or_else(in_text)
        .or_else(|| sets.iter().rev().find(|(of, _)| beside(of)).map(from_set))
        .unwrap_or_else(|| Place::Whole { file: source.file.to_owned() });
    ScenarioError::Value { place, key, message }
}

/// The text of a scenario, and what it is called.
struct Source<'a> {
    text: &'a str,
    file: &'a str,
}

impl Source<'_> {
    fn line(&self, offset: usize) -> Place {
        let before = self.text.get(..offset).unwrap_or(self.text);
        Place::Line { file: self.file.to_owned(), line: before.matches('\n').count() + 1 }
    }

    fn syntax(&self, error: &toml::de::Error) -> ScenarioError {
        let place = self.line(error.span().map_or(0, |span| span.start));
        ScenarioError::Syntax { place, message: error.message().replace('\n', " ") }
    }

    fn explain(&self, document: &DeTable<'_>, error: &toml::de::Error) -> ScenarioError {
        let offset = error.span().map_or(0, |span| span.start);
        let path = path_at(document, offset);
        explain(self.line(offset), &path.iter().map(String::as_str).collect::<Vec<_>>(), error.message())
    }
}

/// Turns what serde says of the value at a path into an error of ours.
fn explain(place: Place, path: &[&str], message: &str) -> ScenarioError {
    let mut words = message.split('`').skip(1).step_by(2);
    let (wrong, valid) = (words.next().unwrap_or_default(), words.collect::<Vec<_>>());
    if message.starts_with("unknown field") {
        let at = path.iter().position(|segment| *segment == wrong).unwrap_or(path.len().saturating_sub(1));
        let section = &path[..at];
        let full = |key: &str| section.iter().copied().chain([key]).collect::<Vec<_>>().join(".");
        let here = nearest(wrong, valid.iter().copied()).map(full);
        return ScenarioError::UnknownKey {
            place,
            key: full(wrong),
            nearest: here.or_else(|| elsewhere(wrong)),
            valid: valid.iter().map(|key| (*key).to_owned()).collect(),
        };
    }
    let message = if message.starts_with("unknown variant") {
        let near = nearest(wrong, valid.iter().copied());
        let near = near.map(|near| format!("; the nearest valid one is `{near}`")).unwrap_or_default();
        format!("unknown word `{wrong}`{near} (valid: {})", valid.join(", "))
    } else {
        message.to_owned()
    };
    ScenarioError::Value { place, key: path.join("."), message }
}

/// A key of this name in another section.
fn elsewhere(key: &str) -> Option<String> {
    let mut all = Vec::new();
    if let Ok(Value::Table(table)) = Value::try_from(Scenario::default()) {
        keys(&table, "", &mut all);
    }
    let key = key.replace('_', "-");
    all.into_iter().find(|path| path.rsplit('.').next() == Some(&key))
}

fn keys(table: &Table, prefix: &str, all: &mut Vec<String>) {
    for (key, value) in table {
        all.push(format!("{prefix}{key}"));
        if let Value::Table(table) = value {
            keys(table, &format!("{prefix}{key}."), all);
        }
    }
}

/// The keys that lead to what stands at an offset.
fn path_at(table: &DeTable<'_>, offset: usize) -> Vec<String> {
    for (key, value) in table {
        let below = match value.get_ref() {
            DeValue::Table(table) => path_at(table, offset),
            DeValue::Array(array) => {
                let item = |(index, item): (usize, &toml::Spanned<DeValue<'_>>)| {
                    let below = item.get_ref().as_table().map(|table| path_at(table, offset)).unwrap_or_default();
                    let is_here = !below.is_empty() || item.span().contains(&offset);
                    is_here.then(|| [vec![index.to_string()], below].concat())
                };
                array.iter().enumerate().find_map(item).unwrap_or_default()
            }
            _ => Vec::new(),
        };
        if !below.is_empty() || key.span().contains(&offset) || value.span().contains(&offset) {
            return [vec![key.get_ref().to_string()], below].concat();
        }
    }
    Vec::new()
}

/// Where a key stands.
fn find(table: &DeTable<'_>, path: &[&str]) -> Option<usize> {
    let (first, rest) = path.split_first()?;
    let (key, value) = table.iter().find(|(key, _)| key.get_ref().as_ref() == *first)?;
    let below = match (value.get_ref(), rest) {
        (DeValue::Table(table), _) => find(table, rest),
        (DeValue::Array(array), [index, rest @ ..]) => {
            let item = index.parse::<usize>().ok().and_then(|index| array.get(index))?;
            let below = item.get_ref().as_table().and_then(|table| find(table, rest));
            Some(below.unwrap_or(item.span().start))
        }
        _ => None,
    };
    Some(below.unwrap_or(key.span().start))
}

/// A value as TOML writes it, or else a string: `--set duration=60s` needs no quotes.
fn parse_value(text: &str) -> Value {
    let parsed = format!("value = {text}").parse::<Table>().ok();
    let single = parsed.filter(|table| table.len() == 1).and_then(|mut table| table.remove("value"));
    single.unwrap_or_else(|| Value::String(text.to_owned()))
}

/// Replaces what stands at a path; sections that are not there are made, and so is the next item of a list.
fn set(table: &mut Table, path: &[&str], value: Value) -> Result<(), String> {
    let Some((first, rest)) = path.split_first().filter(|(first, _)| !first.is_empty()) else {
        return Err("a key is missing; write --set section.key=value".to_owned());
    };
    if rest.is_empty() {
        table.insert((*first).to_owned(), value);
        return Ok(());
    }
    match table.entry(*first).or_insert_with(|| {
        let is_list = rest[0].parse::<usize>().is_ok();
        if is_list { Value::Array(Vec::new()) } else { Value::Table(Table::new()) }
    }) {
        Value::Table(table) => set(table, rest, value),
        Value::Array(items) => {
            let (number, count) = (rest[0].parse::<usize>().ok(), items.len());
            let Some(index) = number.filter(|index| *index <= count) else {
                return Err(format!("`{first}` is a list of {count}: `{}` is no item of it", rest[0]));
            };
            if index == count {
                items.push(Value::Table(Table::new()));
            }
            match (&mut items[index], rest.len()) {
                (item, 1) => *item = value,
                (Value::Table(table), _) => set(table, &rest[1..], value)?,
                _ => return Err(format!("`{first}.{index}` is no section")),
            }
            Ok(())
        }
        _ => Err(format!("`{first}` is a value, not a section")),
    }
}
