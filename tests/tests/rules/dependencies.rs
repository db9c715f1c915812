//! Which crate may depend on which: `wire <- invite <- room <- {net, simulations}`, `wire <- audio`, `{net, audio} <- node`.
//!
//! Reads what cargo itself says about the workspace, so renames and target-specific sections count too.

use std::{collections::BTreeMap, path::Path};

use serde_json::{Value, json};

use crate::{
    assert_clean, assert_finds,
    licences::metadata,
    source::{Source, whole},
};

/// What each crate may depend on within the workspace, in its code and in its tests.
const MAY_DEPEND: &[(&str, &[&str])] = &[
    ("treehouse-wire", &[]),
    ("treehouse-invite", &["treehouse-wire"]),
    ("treehouse-room", &["treehouse-wire", "treehouse-invite"]),
    ("treehouse-audio", &["treehouse-wire"]),
    ("treehouse-net", &["treehouse-wire", "treehouse-invite", "treehouse-room"]),
    // Its own tests have it with the feature that only they need.
    (
        "treehouse-hostile",
        &["treehouse-wire", "treehouse-invite", "treehouse-room", "treehouse-net", "treehouse-hostile"],
    ),
    ("treehouse-sim", &["treehouse-wire", "treehouse-invite", "treehouse-room", "treehouse-hostile"]),
    ("treehouse", &["treehouse-wire", "treehouse-invite", "treehouse-room", "treehouse-audio", "treehouse-net"]),
];
/// Packages that nothing depends on, so that they may use every crate.
const MAY_DEPEND_ON_ALL: [&str; 3] = ["treehouse-examples", "treehouse-reality", "treehouse-tests"];
/// Outside crates that one crate alone may depend on.
const RESERVED: [(&str, &str); 5] = [
    ("libp2p", "treehouse-net"),
    ("cpal", "treehouse-audio"),
    ("opus", "treehouse-audio"),
    ("opusic-sys", "treehouse-audio"),
    ("symphonia", "treehouse-audio"),
];

/// Package name -> names of what it depends on, of every kind.
fn edges(metadata: &Value) -> BTreeMap<String, Vec<String>> {
    let members = metadata["workspace_members"].as_array().cloned().unwrap_or_default();
    let packages = metadata["packages"].as_array().into_iter().flatten();
    packages
        .filter(|package| members.contains(&package["id"]))
        .map(|package| {
            let names = package["dependencies"].as_array().into_iter().flatten();
            let names = names.filter_map(|dependency| dependency["name"].as_str()).map(str::to_owned).collect();
            (package["name"].as_str().unwrap_or_default().to_owned(), names)
        })
        .collect()
}

fn wrong_edges(edges: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let mut findings = Vec::new();
    for (package, dependencies) in edges {
        let allowed = MAY_DEPEND.iter().find(|(name, _)| name == package).map(|(_, allowed)| *allowed);
        if allowed.is_none() && !MAY_DEPEND_ON_ALL.contains(&package.as_str()) {
            findings.push(format!("{package} has no place in the dependency rule; give it one"));
        }
        for dependency in dependencies {
            let ours = edges.contains_key(dependency);
            if ours && allowed.is_some_and(|allowed| !allowed.contains(&dependency.as_str())) {
                findings.push(format!("{package} depends on {dependency}: dependencies point one way"));
            }
            if ours && MAY_DEPEND_ON_ALL.contains(&dependency.as_str()) {
                findings.push(format!("{package} depends on {dependency}, which nothing may"));
            }
            for (reserved, owner) in RESERVED {
                let family = dependency == reserved || dependency.starts_with(&format!("{reserved}-"));
                if family && package != owner {
                    findings.push(format!("{package} depends on {dependency}: only {owner} may"));
                }
            }
        }
    }
    findings
}

/// Names `word` anywhere but under `allowed`.
fn named_elsewhere(source: &Source, word: &str, allowed: impl Fn(&Path) -> bool) -> Vec<String> {
    if allowed(&source.path) {
        return Vec::new();
    }
    let mut findings: Vec<String> = source
        .tokens
        .iter()
        .filter(|token| token.word() == Some(word))
        .map(|token| format!("{}: names {word}", source.at(token.line)))
        .collect();
    findings.dedup();
    findings
}

fn is_net(path: &Path) -> bool {
    path.starts_with("crates/net")
}

fn is_device(path: &Path) -> bool {
    path.starts_with("crates/audio/src/device") || path == Path::new("crates/audio/src/device.rs")
}

#[test]
fn dependencies_point_one_way() {
    let edges = edges(&metadata());
    for (package, _) in MAY_DEPEND {
        assert!(edges.contains_key(*package), "{package} is in the rule and not in the workspace");
    }
    assert_clean(&wrong_edges(&edges));
}

#[test]
fn an_edge_against_the_direction_is_found() {
    let workspace = |package: &str, dependency: &str| {
        edges(&json!({
            "workspace_members": ["a", "b"],
            "packages": [
                {"id": "a", "name": package, "dependencies": [{"name": dependency}]},
                {"id": "b", "name": "treehouse-room", "dependencies": []},
            ],
        }))
    };
    assert_finds(
        &wrong_edges(&workspace("treehouse-invite", "treehouse-room")),
        "treehouse-invite depends on treehouse-room",
    );
    assert_finds(&wrong_edges(&workspace("treehouse-audio", "treehouse-room")), "one way");
    assert_finds(&wrong_edges(&workspace("treehouse", "libp2p-swarm")), "only treehouse-net may");
    assert_finds(&wrong_edges(&workspace("treehouse-net", "cpal")), "only treehouse-audio may");
    assert_finds(&wrong_edges(&workspace("treehouse-extra", "serde")), "no place");
    assert_clean(&wrong_edges(&workspace("treehouse-net", "treehouse-room")));
}

#[test]
fn only_net_names_libp2p() {
    assert_clean(&whole().iter().flat_map(|source| named_elsewhere(source, "libp2p", is_net)).collect::<Vec<_>>());
}

#[test]
fn only_the_device_module_names_cpal() {
    assert_clean(&whole().iter().flat_map(|source| named_elsewhere(source, "cpal", is_device)).collect::<Vec<_>>());
}

#[test]
fn a_reserved_name_is_found_where_it_does_not_belong() {
    let snippet = Source::snippet("// libp2p\nfn f(peer: libp2p::PeerId) {}");
    assert_finds(&named_elsewhere(&snippet, "libp2p", is_net), "snippet.rs:2");
    assert_clean(&named_elsewhere(&snippet, "libp2p", |_| true));
    assert!(
        is_device(Path::new("crates/audio/src/device/mod.rs")) && is_device(Path::new("crates/audio/src/device.rs"))
    );
    assert!(!is_device(Path::new("crates/audio/src/sink/mod.rs")));
}
