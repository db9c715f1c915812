//! Every key that a scenario may have, found by asking the scenario itself for what it takes.

use std::collections::BTreeMap;

use treehouse_sim::scenario::{Scenario, ScenarioError};

/// No key is called this.
const NO_KEY: &str = "no-such-key";

/// Every key with its default as TOML writes it, sections dotted; one without a default has none.
pub fn keys() -> Vec<(String, Option<String>)> {
    let mut defaults = BTreeMap::new();
    if let Ok(toml::Value::Table(table)) = toml::Value::try_from(Scenario::default()) {
        flatten("", &table, &mut defaults);
    }
    let mut keys = Vec::new();
    walk("", &mut keys);
    keys.into_iter().map(|key| (defaults.get(&key).cloned(), key)).map(|(default, key)| (key, default)).collect()
}

/// The keys of a section and of all below it.
fn walk(section: &str, keys: &mut Vec<String>) {
    for key in valid(section) {
        let key = format!("{section}{key}");
        // A list of sections is looked into by its first.
        let below = [format!("{key}."), format!("{key}.0.")];
        match below.iter().find(|below| !valid(below).is_empty()) {
            Some(below) => walk(below, keys),
            None => keys.push(key),
        }
    }
}

/// What the scenario says is valid in a section; nothing where it is none.
fn valid(section: &str) -> Vec<String> {
    let set = (format!("{section}{NO_KEY}"), "0".to_owned());
    let parsed = Scenario::parse("", "keys", "keys", ".".as_ref(), &[set]);
    match parsed {
        Err(ScenarioError::UnknownKey { key, valid, .. }) if key == format!("{section}{NO_KEY}") => valid,
        _ => Vec::new(),
    }
}

fn flatten(prefix: &str, table: &toml::Table, defaults: &mut BTreeMap<String, String>) {
    for (key, value) in table {
        match value {
            toml::Value::Table(inner) => flatten(&format!("{prefix}{key}."), inner, defaults),
            value => drop(defaults.insert(format!("{prefix}{key}"), value.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_with_a_default_is_found_by_asking() {
        let keys = keys();
        let mut defaults = BTreeMap::new();
        let table = toml::Table::try_from(Scenario::default()).expect("a scenario is a table");
        flatten("", &table, &mut defaults);
        let found: Vec<&String> = keys.iter().map(|(key, _)| key).collect();
        for key in defaults.keys().filter(|key| *key != "incidents") {
            assert!(found.contains(&key), "{key} is not found among {found:?}");
        }
        assert!(found.iter().any(|key| *key == "sessions.crash"));
    }
}
