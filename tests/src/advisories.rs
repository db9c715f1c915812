//! Known vulnerabilities of the crates that Treehouse is built from, by the database of the RustSec project.
//!
//! The database is a folder of files, each Markdown behind a block of TOML; its `EXAMPLE_ADVISORY.md` says what the fields
//! mean. Who fetches it is `./dev`. Here it is compared with the crates and versions of the build, on all platforms.

use std::{fs, path::Path};

use semver::{Version, VersionReq};
use serde::Deserialize;

/// The fields of an advisory that count here.
#[derive(Deserialize)]
struct File {
    advisory: Advisory,
    #[serde(default)]
    versions: Versions,
}

#[derive(Deserialize)]
struct Advisory {
    id: String,
    package: String,
    #[serde(default)]
    informational: Option<String>,
    #[serde(default)]
    withdrawn: Option<toml::Value>,
}

#[derive(Default, Deserialize)]
struct Versions {
    #[serde(default)]
    patched: Vec<String>,
    #[serde(default)]
    unaffected: Vec<String>,
}

/// What an advisory says of a crate in the build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// One line for the reader.
    pub text: String,
    /// It is a vulnerability, not a notice that a crate is unmaintained and the like.
    pub grave: bool,
}

/// Compares every advisory below `database` with the packages, names and versions, and says how many advisories there were.
///
/// # Errors
/// Where the database cannot be read, or is of a form that this does not know: then nothing is known of the build.
pub fn check(database: &Path, packages: &[(String, Version)]) -> Result<(usize, Vec<Finding>), String> {
    let failed = |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let (mut count, mut findings) = (0, Vec::new());
    let crates = database.join("crates");
    for folder in fs::read_dir(&crates).map_err(|error| failed(&crates, &error))? {
        let folder = folder.map_err(|error| failed(&crates, &error))?.path();
        for file in fs::read_dir(&folder).map_err(|error| failed(&folder, &error))? {
            let path = file.map_err(|error| failed(&folder, &error))?.path();
            if path.extension().is_none_or(|extension| extension != "md") {
                continue;
            }
            let text = fs::read_to_string(&path).map_err(|error| failed(&path, &error))?;
            findings.extend(findings_of(&text, packages).map_err(|error| failed(&path, &error))?);
            count += 1;
        }
    }
    Ok((count, findings))
}

/// What the text of one advisory says of the packages.
///
/// # Errors
/// Where it is no advisory.
pub fn findings_of(text: &str, packages: &[(String, Version)]) -> Result<Vec<Finding>, String> {
    let block = text.split_once("```toml").and_then(|(_, rest)| rest.split_once("```"));
    let File { advisory, versions } =
        toml::from_str(block.ok_or("there is no block of TOML")?.0).map_err(|error| error.to_string())?;
    let mut findings = Vec::new();
    if advisory.withdrawn.is_some() {
        return Ok(findings);
    }
    for (name, version) in packages.iter().filter(|(name, _)| *name == advisory.package) {
        let mut safe = false;
        for range in versions.patched.iter().chain(&versions.unaffected) {
            safe |= VersionReq::parse(range).map_err(|error| format!("{range}: {error}"))?.matches(version);
        }
        if !safe {
            let kind = advisory.informational.as_deref().unwrap_or("vulnerability");
            let text = format!("{} ({kind}): {name} {version}", advisory.id);
            findings.push(Finding { text, grave: advisory.informational.is_none() });
        }
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advisory(fields: &str, versions: &str) -> String {
        format!(
            "```toml\n[advisory]\nid = \"RUSTSEC-1\"\npackage = \"a\"\n{fields}\n[versions]\n{versions}\n```\n\n# A title\n"
        )
    }

    fn found(text: &str, name: &str, version: &str) -> Vec<Finding> {
        findings_of(text, &[(name.to_owned(), version.parse().expect("a version"))]).expect("an advisory")
    }

    #[test]
    fn a_version_before_the_patch_is_found_and_no_other() {
        let text = advisory("", "patched = [\">= 1.2.3\"]\nunaffected = [\"< 0.5\"]");
        let one = found(&text, "a", "1.2.2");
        assert!(one.len() == 1 && one[0].grave && one[0].text.contains("RUSTSEC-1"), "{one:?}");
        assert!(found(&text, "a", "1.2.3").is_empty() && found(&text, "a", "0.4.9").is_empty());
        assert!(found(&text, "b", "1.0.0").is_empty(), "of another crate");
        assert_eq!(found(&advisory("", "patched = []"), "a", "99.0.0").len(), 1, "never patched");
    }

    #[test]
    fn a_notice_is_not_grave_and_one_that_was_withdrawn_is_none() {
        let notice = found(&advisory("informational = \"unmaintained\"", "patched = []"), "a", "1.0.0");
        assert!(notice.len() == 1 && !notice[0].grave);
        assert!(found(&advisory("withdrawn = \"2024-01-01\"", "patched = []"), "a", "1.0.0").is_empty());
    }

    #[test]
    fn what_is_no_advisory_is_said() {
        assert!(findings_of("# A title", &[]).is_err());
        assert!(findings_of("```toml\n[advisory]\n```", &[]).is_err());
        let text = advisory("", "patched = [\"at some time\"]");
        assert!(findings_of(&text, &[("a".to_owned(), Version::new(1, 0, 0))]).is_err());
    }
}
