//! What holds for every Rust file: bounded channels, no `unsafe`, nothing left for later, files and functions of a size
//! that a reader can hold.

use std::{fs, path::Path};

use proc_macro2::Delimiter;
use treehouse_tests::tree;

use crate::{
    assert_clean, assert_finds,
    names::{Kind, Token},
    source::{Source, whole},
};

/// Longest file, in lines, tests included.
const FILE_LINES_MAX: usize = 700;
/// Longest function, in lines.
const FUNCTION_LINES_MAX: usize = 70;
/// Files that may say `unsafe`, each with its reason.
const UNSAFE_EXCEPTIONS: &[(&str, &str)] =
    &[("crates/audio/src/deep.rs", "libopus's deep models are reached by its C interface alone; behind a feature")];

fn unbounded_channels(source: &Source) -> Vec<String> {
    let mut findings: Vec<String> = source
        .names
        .iter()
        .filter(|name| {
            let last = name.path.last().map(String::as_str);
            matches!(last, Some("unbounded_channel" | "unbounded" | "UnboundedSender" | "UnboundedReceiver"))
                || name.starts_with(&["std", "sync", "mpsc", "channel"])
                || name.starts_with(&["std", "sync", "mpsc", "Sender"])
        })
        .map(|name| format!("{}: {} has no bound; name one", source.at(name.line), name.text()))
        .collect();
    findings.dedup();
    findings
}

fn unsafe_code(source: &Source) -> Vec<String> {
    let excepted = UNSAFE_EXCEPTIONS.iter().any(|(path, _)| source.path == Path::new(path));
    let unsafe_words = source.tokens.iter().filter(|token| !excepted && token.word() == Some("unsafe"));
    unsafe_words.map(|token| format!("{}: unsafe, and the file is no exception", source.at(token.line))).collect()
}

fn left_for_later(source: &Source) -> Vec<String> {
    let mut findings = Vec::new();
    for (at, token) in source.tokens.iter().enumerate() {
        let Some(word) = token.word() else { continue };
        let called = source.tokens.get(at + 1).is_some_and(|next| next.is_sign('!'));
        if called && matches!(word, "todo" | "unimplemented" | "dbg") {
            findings.push(format!("{}: {word}! is unfinished work", source.at(token.line)));
        }
        if word == "ignore" && in_attribute(&source.tokens, at) {
            findings.push(format!("{}: #[ignore] hides a test", source.at(token.line)));
        }
    }
    findings
}

/// Whether the word at `at` is what an attribute is called: `#[word` with anything after it.
fn in_attribute(tokens: &[Token], at: usize) -> bool {
    at >= 2 && tokens[at - 1].kind == Kind::Open(Delimiter::Bracket) && tokens[at - 2].is_sign('#')
}

fn long_file(path: &Path, text: &str) -> Option<String> {
    let lines = text.lines().count();
    (lines >= FILE_LINES_MAX).then(|| format!("{}: {lines} lines; split it by what it does", path.display()))
}

fn long_functions(source: &Source) -> Vec<String> {
    let mut findings = Vec::new();
    for (at, token) in source.tokens.iter().enumerate() {
        if token.word() == Some("fn")
            && let Some(name) = source.tokens.get(at + 1).and_then(Token::word)
            && let Some(end) = body_end(&source.tokens[at..])
        {
            let lines = end + 1 - token.line;
            if lines > FUNCTION_LINES_MAX {
                findings.push(format!("{}: fn {name} has {lines} lines; split it", source.at(token.line)));
            }
        }
    }
    findings
}

/// The last line of the body of the function that starts here; none for a declaration without a body.
fn body_end(tokens: &[Token]) -> Option<usize> {
    let mut depth = 0_usize;
    let mut body_depth = None;
    for token in tokens {
        match token.kind {
            Kind::Sign(';') if depth == 0 => return None,
            Kind::Open(delimiter) => {
                if depth == 0 && delimiter == Delimiter::Brace {
                    body_depth = Some(depth);
                }
                depth += 1;
            }
            Kind::Close => {
                depth = depth.checked_sub(1)?;
                if body_depth == Some(depth) {
                    return Some(token.line);
                }
            }
            _ => {}
        }
    }
    None
}

#[test]
fn every_channel_has_a_bound() {
    assert_clean(&whole().iter().flat_map(unbounded_channels).collect::<Vec<_>>());
}

#[test]
fn an_unbounded_channel_is_found() {
    assert_finds(
        &unbounded_channels(&Source::snippet("fn f() { tokio::sync::mpsc::unbounded_channel::<u8>(); }")),
        "bound",
    );
    assert_finds(
        &unbounded_channels(&Source::snippet("use futures::channel::mpsc; fn f() { mpsc::unbounded::<u8>(); }")),
        "bound",
    );
    assert_finds(
        &unbounded_channels(&Source::snippet("use std::sync::mpsc; fn f() { mpsc::channel::<u8>(); }")),
        "std::sync::mpsc::channel",
    );
    assert_clean(&unbounded_channels(&Source::snippet("use tokio::sync::mpsc; fn f() { mpsc::channel::<u8>(8); }")));
    assert_clean(&unbounded_channels(&Source::snippet("use std::sync::mpsc; fn f() { mpsc::sync_channel::<u8>(8); }")));
}

#[test]
fn no_file_is_unsafe_but_the_named_exceptions() {
    assert_clean(&whole().iter().flat_map(unsafe_code).collect::<Vec<_>>());
}

#[test]
fn unsafe_is_found_in_code_and_not_in_prose() {
    assert_finds(&unsafe_code(&Source::snippet("fn f() { unsafe { g() } }")), "snippet.rs:1");
    assert_clean(&unsafe_code(&Source::snippet("/// unsafe\nfn f() { g(\"unsafe\") } // unsafe")));
}

#[test]
fn nothing_is_left_for_later() {
    assert_clean(&whole().iter().flat_map(left_for_later).collect::<Vec<_>>());
}

#[test]
fn unfinished_work_is_found() {
    assert_finds(&left_for_later(&Source::snippet("fn f() { todo!() }")), "todo!");
    assert_finds(&left_for_later(&Source::snippet("fn f() { unimplemented!(\"x\") }")), "unimplemented!");
    assert_finds(&left_for_later(&Source::snippet("#[test] #[ignore = \"slow\"] fn f() {}")), "#[ignore]");
    assert_clean(&left_for_later(&Source::snippet("fn todo() { ignore(todo) } // todo!()")));
}

#[test]
fn no_file_is_too_long() {
    let root = tree::root();
    let findings: Vec<String> = tree::files_ending(&root, "rs")
        .unwrap()
        .iter()
        .filter_map(|path| long_file(path, &fs::read_to_string(root.join(path)).unwrap()))
        .collect();
    assert_clean(&findings);
    assert!(long_file(Path::new("a.rs"), &"\n".repeat(FILE_LINES_MAX)).is_some());
    assert!(long_file(Path::new("a.rs"), &"\n".repeat(FILE_LINES_MAX - 1)).is_none());
}

#[test]
fn no_function_is_too_long() {
    assert_clean(&whole().iter().flat_map(long_functions).collect::<Vec<_>>());
}

#[test]
fn a_long_function_is_found_and_a_short_one_is_not() {
    let body = |lines: usize| format!("trait T {{ fn d(); }}\nfn f(a: [u8; 3]) {{{}}}", "\n".repeat(lines - 1));
    assert_finds(&long_functions(&Source::snippet(&body(FUNCTION_LINES_MAX + 1))), "fn f has 71 lines");
    assert_clean(&long_functions(&Source::snippet(&body(FUNCTION_LINES_MAX))));
}
