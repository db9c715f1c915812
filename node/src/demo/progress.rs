//! What a demo prints: lines for a person, or lines of JSON with the words for people on standard error.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::{Value, json};

use super::report::{Row, Summary};

/// Where the demo prints.
pub(super) struct Progress {
    json: bool,
}

impl Progress {
    pub(super) fn new(json: bool) -> Self {
        Progress { json }
    }

    /// A sentence for people.
    pub(super) fn say(&mut self, sentence: &str) {
        self.people(sentence);
    }

    /// Several lines that belong together.
    pub(super) fn block(&mut self, lines: &[String]) {
        self.people(&lines.join("\n"));
    }

    /// A listener's row, for programs only: people see the table.
    pub(super) fn row(&mut self, row: &Row) {
        self.programs(row);
    }

    /// The shape of the tree, for both.
    pub(super) fn tree(&mut self, why: &str, lines: &[String], facts: &Value) {
        self.people(&format!("{why}\n  {}", lines.join("\n  ")));
        self.programs(&json!({ "event": "tree", "why": why, "shape": facts, "lines": lines }));
    }

    /// The last line, in any case.
    pub(super) fn summary(&mut self, summary: &Summary) {
        print(&mut io::stdout().lock(), &serde_json::to_string(summary).unwrap_or_default());
    }

    fn programs(&self, value: &impl Serialize) {
        if self.json {
            print(&mut io::stdout().lock(), &serde_json::to_string(value).unwrap_or_default());
        }
    }

    fn people(&self, text: &str) {
        if self.json { print(&mut io::stderr().lock(), text) } else { print(&mut io::stdout().lock(), text) }
    }
}

/// A reader that is gone is no reason to stop: the verdict is in the exit status, too.
fn print(to: &mut impl Write, text: &str) {
    let _ = writeln!(to, "{text}").and_then(|()| to.flush());
}
