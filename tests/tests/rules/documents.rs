//! Documents: links lead somewhere, the table of measurements is whole, and no file knows one machine's folders.

use std::{
    collections::BTreeSet,
    fs,
    path::{Component, Path, PathBuf},
};

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use treehouse_tests::tree;

use crate::{
    assert_clean, assert_finds,
    source::{Source, whole},
};

/// What the header of the table of measurements must name.
const MEASUREMENT_COLUMNS: [&str; 3] = ["wanted", "seen", "command"];

/// A Markdown file's link targets, and the anchors that its headings give.
struct Document {
    links: Vec<String>,
    anchors: BTreeSet<String>,
}

fn read(text: &str) -> Document {
    let mut document = Document { links: Vec::new(), anchors: BTreeSet::new() };
    let mut heading: Option<String> = None;
    for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                document.links.push(dest_url.into_string());
            }
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::End(TagEnd::Heading(_)) => {
                document.anchors.extend(heading.take().map(|title| slug(&title)));
            }
            Event::Text(words) | Event::Code(words) => {
                if let Some(title) = &mut heading {
                    title.push_str(&words);
                }
            }
            _ => {}
        }
    }
    document
}

/// The anchor that forges give a heading.
fn slug(title: &str) -> String {
    let kept = title.to_lowercase().replace(' ', "-");
    kept.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, '-' | '_')).collect()
}

/// `path` with its `..` and `.` worked off.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(out.pop()),
            Component::CurDir => {}
            other => out.push(other),
        }
    }
    out
}

/// Links of `file` (with `text`) that lead nowhere in the tree at `root`.
fn broken_links(root: &Path, file: &Path, text: &str) -> Vec<String> {
    let document = read(text);
    let mut findings = Vec::new();
    for link in &document.links {
        if link.contains("://") || link.starts_with("mailto:") {
            continue;
        }
        let (path, anchor) = link.split_once('#').map_or((link.as_str(), None), |(path, anchor)| (path, Some(anchor)));
        let target = if path.is_empty() {
            root.join(file)
        } else {
            root.join(normal(&file.parent().unwrap_or(Path::new("")).join(path)))
        };
        let whole_anchor = || match anchor {
            Some(anchor) if path.is_empty() => document.anchors.contains(anchor),
            Some(anchor) if target.extension().is_some_and(|extension| extension == "md") => {
                fs::read_to_string(&target).is_ok_and(|text| read(&text).anchors.contains(anchor))
            }
            _ => true,
        };
        if !(path.is_empty() || target.exists()) || !whole_anchor() {
            findings.push(format!("{}: the link '{link}' leads nowhere", file.display()));
        }
    }
    findings
}

/// Rows of tables in `text` whose header names the columns of measurements, checked; none found is a finding too.
fn table_findings(text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    let mut header: Option<Vec<String>> = None;
    let mut rows = 0;
    for (number, line) in text.lines().enumerate() {
        let Some(cells) = cells(line) else {
            header = None;
            continue;
        };
        let Some(columns) = &header else {
            let names: Vec<String> = cells.iter().map(|cell| cell.to_lowercase()).collect();
            if !MEASUREMENT_COLUMNS.iter().all(|wanted| names.iter().any(|name| name.contains(wanted))) {
                findings.push(format!("line {}: the header must name {}", number + 1, MEASUREMENT_COLUMNS.join(", ")));
            }
            header = Some(names);
            continue;
        };
        if cells.len() != columns.len() {
            findings.push(format!("line {}: {} cells under {} columns", number + 1, cells.len(), columns.len()));
        } else if let Some(empty) = cells.iter().position(String::is_empty) {
            findings.push(format!("line {}: '{}' is empty", number + 1, columns[empty]));
        }
        rows += usize::from(!cells.iter().all(|cell| cell.chars().all(|letter| matches!(letter, '-' | ':' | ' '))));
    }
    if rows == 0 && findings.is_empty() {
        findings.push("no measurement is listed".to_owned());
    }
    findings
}

/// The cells of a table's line; none when the line belongs to no table. A pipe within a cell is written `\|`.
fn cells(line: &str) -> Option<Vec<String>> {
    let inner = line.trim().strip_prefix('|')?.strip_suffix('|')?.replace("\\|", "\u{0}");
    Some(inner.split('|').map(|cell| cell.trim().replace('\u{0}', "|")).collect())
}

/// Folders that only one machine has: somebody's home, or where a build happened to run.
fn machine_paths(file: &Path, text: &str) -> Vec<String> {
    // Put together here, since this file is searched too.
    let folders = ["home", "root", "Users", "work"].map(|folder| format!("/{folder}/"));
    let starts = folders.iter().map(String::as_str).chain(["C:\\Users\\"]).collect::<Vec<_>>();
    let mut findings = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for start in &starts {
            let found = line.match_indices(*start).any(|(at, _)| {
                let before = line[..at].chars().next_back();
                let after = line[at + start.len()..].chars().next();
                !before.is_some_and(|letter| letter.is_alphanumeric() || matches!(letter, '.' | '_' | '-' | '/'))
                    && after.is_some_and(|letter| letter.is_alphanumeric() || letter == '.')
            });
            if found {
                findings.push(format!("{}:{}: a path of one machine", file.display(), number + 1));
            }
        }
    }
    findings
}

/// Words of code in a document that look like the name of a test and are no function of the workspace.
fn tests_that_are_not_there(text: &str, functions: &BTreeSet<String>) -> Vec<String> {
    let named = Parser::new_ext(text, Options::ENABLE_TABLES).filter_map(|event| match event {
        Event::Code(words) if words.matches('_').count() >= 3 || words.ends_with("()") => Some(words.into_string()),
        _ => None,
    });
    let missing = named.filter(|name| !functions.contains(name.trim_end_matches("()")));
    missing.map(|name| format!("{name} is named as a test, and there is none")).collect()
}

fn functions() -> BTreeSet<String> {
    let names = |source: &Source| -> Vec<String> {
        let pairs = source.tokens.windows(2).filter(|pair| pair[0].word() == Some("fn"));
        pairs.filter_map(|pair| pair[1].word().map(str::to_owned)).collect()
    };
    whole().iter().flat_map(names).collect()
}

#[test]
fn the_threat_model_names_tests_that_are_there() {
    let text = fs::read_to_string(tree::root().join("docs/threat-model.md")).expect("docs/threat-model.md is there");
    let functions = functions();
    assert_clean(&tests_that_are_not_there(&text, &functions));
    assert_finds(&tests_that_are_not_there("| `nobody_wrote_this_test` |", &functions), "nobody_wrote_this_test");
}

#[test]
fn every_link_leads_somewhere() {
    let root = tree::root();
    let findings: Vec<String> = tree::files_ending(&root, "md")
        .unwrap()
        .iter()
        .flat_map(|file| broken_links(&root, file, &fs::read_to_string(root.join(file)).unwrap()))
        .collect();
    assert_clean(&findings);
}

#[test]
fn a_broken_link_or_anchor_is_found() {
    let root = tree::root();
    let file = Path::new("docs/page.md");
    let links = |text: &str| broken_links(&root, file, text);
    assert_finds(&links("[a](nowhere.md)"), "nowhere.md");
    assert_finds(&links("![a](../nowhere.svg)"), "nowhere.svg");
    assert_finds(&links("[a][b]\n\n[b]: nowhere.md"), "nowhere.md");
    assert_finds(&links("[a](#missing)\n\n# Present"), "#missing");
    assert_finds(&links("[a](../CONTRIBUTING.md#no-such-heading)"), "no-such-heading");
    assert_clean(&links("[a](#two-words) `[x](y)` [b](https://example.org/x) [c](../Cargo.toml)\n\n## Two `words`!"));
}

#[test]
fn the_table_of_measurements_is_whole() {
    let text = fs::read_to_string(tree::root().join("docs/measurements.md")).expect("docs/measurements.md is there");
    assert_clean(&table_findings(&text));
}

#[test]
fn a_table_with_a_hole_is_found() {
    let head = "| figure | wanted | seen | command |\n|---|---|---|---|\n";
    let with = |row: &str| table_findings(&format!("{head}{row}\n"));
    assert_finds(&with("| delay | 30 ms | | `x` |"), "'seen' is empty");
    assert_finds(&with("| delay | 30 ms | 3 ms |"), "3 cells under 4 columns");
    assert_finds(&table_findings(head), "no measurement");
    assert_finds(&table_findings("| figure | seen |\n"), "header must name");
    assert_clean(&with("| delay | 30 ms | 3 ms | `a \\| b` |"));
}

#[test]
fn no_file_knows_the_folders_of_one_machine() {
    let root = tree::root();
    let findings: Vec<String> = tree::files(&root)
        .unwrap()
        .iter()
        .filter(|file| *file != Path::new("tests/tests/rules/documents.rs"))
        .filter_map(|file| Some((file, fs::read_to_string(root.join(file)).ok()?)))
        .flat_map(|(file, text)| machine_paths(file, &text))
        .collect();
    assert_clean(&findings);
}

#[test]
fn a_path_of_one_machine_is_found() {
    let paths = |text: &str| machine_paths(Path::new("a.md"), text);
    assert_finds(&paths("see /home/somebody/file"), "a.md:1");
    assert_finds(&paths(&format!("\n\"/{}/x\"", "root")), "a.md:2");
    assert_clean(&paths("https://example.org/home/page, ./work/x, /home/<you>/x, target/work/x"));
}
