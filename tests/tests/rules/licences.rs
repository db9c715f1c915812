//! Every crate that Treehouse is built from: its licence, where it comes from, and the few that must not be there.
//!
//! All platforms count, also those that this machine does not build for.

use std::{env, process::Command, sync::OnceLock};

use serde_json::{Value, json};
use spdx::{Expression, ParseMode};
use treehouse_tests::tree;

use crate::{assert_clean, assert_finds};

/// Licences that let Treehouse be given out under MIT or Apache-2.0.
const ALLOWED: [&str; 12] = [
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];
/// Copyleft by file: fine to link against unchanged, and only for crates named here (all of one name's family).
const ALLOWED_FOR: [(&str, &str); 2] = [("MPL-2.0", "symphonia"), ("MPL-2.0", "attohttpc")];
/// The one registry that crates may come from.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";
/// Crates that must not be part of the build, and why.
const BANNED: [(&str, &str); 5] = [
    ("openssl", "a system library that machines have in different versions; rustls is in the build"),
    ("openssl-sys", "a system library that machines have in different versions; rustls is in the build"),
    ("native-tls", "a system library that machines have in different versions; rustls is in the build"),
    ("libp2p-stream", "drops inbound streams silently under load; crates/net has its own handler"),
    ("libp2p-webrtc", "150 crates more"),
];

/// What `cargo metadata` says of the workspace and everything below it, read once.
pub fn metadata() -> Value {
    static METADATA: OnceLock<Value> = OnceLock::new();
    METADATA.get_or_init(read_metadata).clone()
}

fn read_metadata() -> Value {
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["metadata", "--locked", "--format-version", "1"])
        .current_dir(tree::root())
        .output()
        .expect("cargo runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo metadata failed; `cargo fetch --locked` may help: {errors}");
    serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON")
}

fn is_allowed(package: &str, licence: &str) -> bool {
    let exception = |(name, family): &(&str, &str)| *name == licence && package.starts_with(family);
    ALLOWED.contains(&licence) || ALLOWED_FOR.iter().any(exception)
}

fn licence_findings(package: &Value) -> Option<String> {
    let name = package["name"].as_str().unwrap_or_default();
    let Some(text) = package["license"].as_str() else {
        return Some(format!("{name} names no licence"));
    };
    let expression = match Expression::parse_mode(text, ParseMode::LAX) {
        Ok(expression) => expression,
        Err(error) => return Some(format!("{name}: '{text}' is no licence expression: {}", error.reason)),
    };
    let accepted = expression.evaluate(|wanted| wanted.license.id().is_some_and(|id| is_allowed(name, id.name)));
    (!accepted).then(|| format!("{name}: '{text}' is not on the list of allowed licences"))
}

fn origin_findings(package: &Value, members: &[Value]) -> Option<String> {
    let name = package["name"].as_str().unwrap_or_default();
    match package["source"].as_str() {
        Some(REGISTRY) => None,
        Some(source) => Some(format!("{name} comes from {source}, not from crates.io")),
        None if members.contains(&package["id"]) => None,
        None => Some(format!("{name} comes from a folder outside the workspace")),
    }
}

fn findings(metadata: &Value) -> Vec<String> {
    let members = metadata["workspace_members"].as_array().cloned().unwrap_or_default();
    let mut findings = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        findings.extend(licence_findings(package));
        findings.extend(origin_findings(package, &members));
        let banned = BANNED.iter().filter(|(name, _)| package["name"] == *name);
        findings.extend(banned.map(|(name, reason)| format!("{name} is banned: {reason}")));
    }
    findings
}

#[test]
fn every_crate_is_allowed() {
    let metadata = metadata();
    assert!(metadata["packages"].as_array().is_some_and(|packages| packages.len() > 100), "the packages are missing");
    assert_clean(&findings(&metadata));
}

#[test]
fn a_licence_that_does_not_fit_is_found() {
    let with = |name: &str, licence: Value| {
        findings(&json!({"packages": [{"id": "x", "name": name, "license": licence, "source": REGISTRY}]}))
    };
    assert_finds(&with("a", json!("GPL-3.0-only")), "not on the list");
    assert_finds(&with("a", json!("MIT AND AGPL-3.0-only")), "not on the list");
    assert_finds(&with("a", json!("MPL-2.0")), "not on the list");
    assert_finds(&with("a", json!("whatever I like")), "no licence expression");
    assert_finds(&with("a", Value::Null), "names no licence");
    assert_clean(&with("a", json!("GPL-2.0-or-later OR MIT")));
    assert_clean(&with("a", json!("MIT/Apache-2.0")));
    assert_clean(&with("symphonia-core", json!("MPL-2.0")));
}

#[test]
fn a_foreign_source_and_a_banned_crate_are_found() {
    let from = |name: &str, source: Value| {
        let package = json!({"id": "x", "name": name, "license": "MIT", "source": source});
        findings(&json!({"workspace_members": ["ours"], "packages": [package]}))
    };
    assert_finds(&from("a", json!("git+https://example.org/a")), "not from crates.io");
    assert_finds(&from("a", Value::Null), "outside the workspace");
    assert_finds(&from("libp2p-stream", json!(REGISTRY)), "is banned");
}
