//! The rules of the design that a program can check, each beside a test that shows it can fail.
//!
//! A rule is a function from what it looks at to a list of findings, one sentence each. The test on the real tree wants
//! the list empty; the tests on made-up snippets want the findings they plant.

mod dependencies;
mod documents;
mod hygiene;
mod licences;
mod names;
mod purity;
mod source;

use std::fmt::Display;

/// Fails with every finding on a line of its own.
#[track_caller]
fn assert_clean(findings: &[impl Display]) {
    let list: Vec<String> = findings.iter().map(|finding| format!("  {finding}")).collect();
    assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), list.join("\n"));
}

/// Fails unless there is exactly one finding and it contains `words`.
#[track_caller]
fn assert_finds(findings: &[impl Display], words: &str) {
    assert_eq!(findings.len(), 1, "findings: {:?}", findings.iter().map(ToString::to_string).collect::<Vec<_>>());
    let finding = findings[0].to_string();
    assert!(finding.contains(words), "expected '{words}' in: {finding}");
}
