//! What can be wrong with a scenario, said so that it can be put right.

use std::{fmt, path::PathBuf};

/// Where something wrong stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a file, or in a shipped scenario.
    Line {
        /// The file.
        file: String,
        /// Its line, from 1.
        line: usize,
    },
    /// In a `--set` of the command line.
    Set {
        /// Its key.
        key: String,
        /// Its value.
        value: String,
    },
    /// Nowhere: it follows from several keys, or from defaults.
    Whole {
        /// The file.
        file: String,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Line { file, line } => write!(f, "{file}:{line}"),
            Place::Set { key, value } => write!(f, "--set {key}={value}"),
            Place::Whole { file } => f.write_str(file),
        }
    }
}

/// What is wrong with a scenario. All are the user's to put right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScenarioError {
    /// No file and no shipped scenario.
    #[error("no file and no shipped scenario is called `{name}`;{} `treehouse-sim scenarios` lists what is shipped",
        nearest.as_ref().map(|near| format!(" did you mean `{near}`?")).unwrap_or_default())]
    NotFound {
        /// What was asked for.
        name: String,
        /// The shipped scenario with the nearest name.
        nearest: Option<String>,
    },
    /// A file that cannot be read.
    #[error("cannot read {}: {message}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        message: String,
    },
    /// Not TOML.
    #[error("{place}: this is not TOML: {message}")]
    Syntax {
        /// Where.
        place: Place,
        /// What the parser says.
        message: String,
    },
    /// A key that there is not.
    #[error("{place}: unknown key `{key}`; {}", hint(nearest.as_deref(), valid))]
    UnknownKey {
        /// Where.
        place: Place,
        /// The key with its sections.
        key: String,
        /// The nearest valid key, with its sections.
        nearest: Option<String>,
        /// Keys that are valid in its section.
        valid: Vec<String>,
    },
    /// A value that cannot be.
    #[error("{place}: `{key}`: {message}")]
    Value {
        /// Where.
        place: Place,
        /// The key with its sections.
        key: String,
        /// What is wrong, and what would be right.
        message: String,
    },
}

fn hint(nearest: Option<&str>, valid: &[String]) -> String {
    match nearest {
        Some(near) => format!("the nearest valid key is `{near}`"),
        None if valid.is_empty() => "there are no keys in this section".to_owned(),
        None => format!("valid keys here are: {}", valid.join(", ")),
    }
}
