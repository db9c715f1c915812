//! Which names a Rust file uses: its tokens, and every path resolved through the file's own `use` lines.
//!
//! Comments are no tokens, so a rule built on this cannot be set off by prose, and the inside of macros is seen. Names
//! are resolved per file, not per scope: an import anywhere in a file counts for all of it.

use std::collections::BTreeMap;

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

/// One token of a flattened stream, with its line.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    pub kind: Kind,
    pub line: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    Word(String),
    /// `::`
    PathSeparator,
    Sign(char),
    Open(Delimiter),
    Close,
    Literal,
}

impl Token {
    pub fn word(&self) -> Option<&str> {
        match &self.kind {
            Kind::Word(word) => Some(word),
            _ => None,
        }
    }

    pub fn is_sign(&self, sign: char) -> bool {
        self.kind == Kind::Sign(sign)
    }
}

/// A path as it is meant: `["std", "time", "Instant"]`, also where the file says `Instant`. A glob import ends with `*`.
#[derive(Clone, Debug, PartialEq)]
pub struct Name {
    pub path: Vec<String>,
    pub line: usize,
}

impl Name {
    pub fn starts_with(&self, prefix: &[&str]) -> bool {
        self.path.len() >= prefix.len() && self.path.iter().zip(prefix).all(|(found, wanted)| found == wanted)
    }

    /// Whether this is a glob import that may bring in what stands below `prefix`'s parents.
    pub fn hides(&self, prefix: &[&str]) -> bool {
        let Some((last, parents)) = self.path.split_last() else { return false };
        last == "*"
            && !parents.is_empty()
            && parents.len() < prefix.len()
            && parents.iter().zip(prefix).all(|(found, wanted)| found == wanted)
    }

    pub fn text(&self) -> String {
        self.path.join("::")
    }
}

pub fn tokens(stream: TokenStream) -> Vec<Token> {
    let mut out = Vec::new();
    flatten(stream, &mut out);
    out
}

fn flatten(stream: TokenStream, out: &mut Vec<Token>) {
    let mut trees = stream.into_iter().peekable();
    while let Some(tree) = trees.next() {
        let line = tree.span().start().line;
        let kind = match tree {
            TokenTree::Ident(word) => Kind::Word(word.to_string()),
            TokenTree::Literal(_) => Kind::Literal,
            TokenTree::Punct(sign) if sign.as_char() == ':' && sign.spacing() == Spacing::Joint => {
                match trees.next_if(|next| matches!(next, TokenTree::Punct(next) if next.as_char() == ':')) {
                    Some(_) => Kind::PathSeparator,
                    None => Kind::Sign(':'),
                }
            }
            TokenTree::Punct(sign) => Kind::Sign(sign.as_char()),
            TokenTree::Group(group) => {
                out.push(Token { kind: Kind::Open(group.delimiter()), line });
                flatten(group.stream(), out);
                out.push(Token { kind: Kind::Close, line: group.span_close().start().line });
                continue;
            }
        };
        out.push(Token { kind, line });
    }
}

/// Every path of a file, imports first resolved. `core` and `alloc` count as `std`.
pub fn names(tokens: &[Token]) -> Vec<Name> {
    let mut imports = Vec::new();
    let mut uses = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let word = tokens[at].word();
        let next_is_tree = matches!(
            tokens.get(at + 1).map(|token| &token.kind),
            Some(Kind::Word(_) | Kind::PathSeparator | Kind::Open(Delimiter::Brace) | Kind::Sign('*'))
        );
        if word == Some("use") && next_is_tree {
            at = use_tree(tokens, at + 1, &[], &mut imports);
        } else if word.is_some() && starts_path(tokens, at) {
            let (name, next) = path(tokens, at);
            uses.push(name);
            at = next;
        } else {
            at += 1;
        }
    }
    let mut aliases: BTreeMap<&str, Vec<&[String]>> = BTreeMap::new();
    for (alias, name) in &imports {
        aliases.entry(alias).or_default().push(&name.path);
    }
    let mut found: Vec<Name> = imports.iter().map(|(_, name)| name.clone()).collect();
    for name in &uses {
        let Some((first, rest)) = name.path.split_first() else { continue };
        match aliases.get(first.as_str()) {
            None => found.push(name.clone()),
            Some(imported) => {
                found.extend(imported.iter().map(|path| Name { path: [path, rest].concat(), line: name.line }));
            }
        }
    }
    for name in &mut found {
        if let Some(first) = name.path.first_mut()
            && (first == "core" || first == "alloc")
        {
            "std".clone_into(first);
        }
    }
    found
}

/// A word starts a path unless it is a field or method, or continues one.
fn starts_path(tokens: &[Token], at: usize) -> bool {
    let Some(before) = at.checked_sub(1).map(|before| &tokens[before]) else { return true };
    match before.kind {
        Kind::Sign('.') => at >= 2 && tokens[at - 2].is_sign('.'),
        Kind::PathSeparator => {
            // `::std::fs` starts a path, `a::b` and `<T>::b` continue one.
            at < 2 || !(tokens[at - 2].word().is_some() || tokens[at - 2].is_sign('>'))
        }
        _ => true,
    }
}

fn path(tokens: &[Token], start: usize) -> (Name, usize) {
    let mut path = Vec::new();
    let mut at = start;
    while let Some(word) = tokens.get(at).and_then(Token::word) {
        path.push(word.to_owned());
        let more = tokens.get(at + 1).is_some_and(|token| token.kind == Kind::PathSeparator)
            && tokens.get(at + 2).is_some_and(|token| token.word().is_some());
        if !more {
            at += 1;
            break;
        }
        at += 2;
    }
    (Name { path, line: tokens[start].line }, at)
}

/// Reads one `use` tree from `at` and returns where it ends; each leaf goes to `imports` under the name it brings in.
fn use_tree(tokens: &[Token], mut at: usize, prefix: &[String], imports: &mut Vec<(String, Name)>) -> usize {
    let mut path = prefix.to_vec();
    while let Some(token) = tokens.get(at) {
        match &token.kind {
            Kind::PathSeparator => at += 1,
            Kind::Word(word) if word == "as" => {
                let alias = tokens.get(at + 1).and_then(Token::word).unwrap_or("_").to_owned();
                imports.push((alias, Name { path, line: token.line }));
                return at + 2;
            }
            Kind::Word(word) if word == "self" && !path.is_empty() => at += 1,
            Kind::Word(word) => {
                path.push(word.clone());
                at += 1;
            }
            Kind::Sign('*') => {
                path.push("*".to_owned());
                imports.push(("*".to_owned(), Name { path, line: token.line }));
                return at + 1;
            }
            Kind::Open(Delimiter::Brace) => {
                at += 1;
                while tokens.get(at).is_some_and(|token| token.kind != Kind::Close) {
                    at = use_tree(tokens, at, &path, imports);
                    if tokens.get(at).is_some_and(|token| token.is_sign(',')) {
                        at += 1;
                    }
                }
                return at + 1;
            }
            _ => break,
        }
    }
    if let Some(last) = path.last().cloned() {
        let line = tokens.get(at.saturating_sub(1)).map_or(0, |token| token.line);
        imports.push((last, Name { path, line }));
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(code: &str) -> Vec<String> {
        names(&tokens(code.parse().unwrap())).iter().map(Name::text).collect()
    }

    #[test]
    fn a_name_is_resolved_through_nested_imports_and_aliases() {
        let names = found(
            "use std::{time::{self, Duration as Span}, fs}; fn f() -> Span { time::Instant::now(); fs::read(x) }",
        );
        for wanted in ["std::time::Duration", "std::time::Instant::now", "std::fs::read"] {
            assert!(names.iter().any(|name| name == wanted), "{wanted} not in {names:?}");
        }
    }

    #[test]
    fn fields_methods_and_comments_are_no_paths() {
        let names = found("/* std::fs */ fn f(a: A) { a.fs.read(); } // std::net");
        assert!(!names.iter().any(|name| name.contains("read") || name.contains("std")), "{names:?}");
    }

    #[test]
    fn the_inside_of_macros_and_absolute_paths_are_seen() {
        assert!(found("fn f() { vec![::core::time::Instant::now()] }").contains(&"std::time::Instant::now".to_owned()));
    }

    #[test]
    fn a_glob_hides_what_it_may_bring_in() {
        let names = names(&tokens("use std::time::*;".parse().unwrap()));
        assert!(names[0].hides(&["std", "time", "Instant"]));
        assert!(!names[0].hides(&["std", "net", "TcpStream"]));
    }
}
