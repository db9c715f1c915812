//! Rust files as the rules see them: whole, or only what is shipped of a crate.
//!
//! "Shipped" follows the module tree from `lib.rs` as the compiler does and leaves out what stands under `cfg(test)`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use proc_macro2::TokenStream;
use syn::{Attribute, ImplItem, Item, Meta, Token as T, ext::IdentExt, punctuated::Punctuated};
use treehouse_tests::tree;

use crate::names::{Name, Token, names, tokens};

/// One Rust file: its path from the workspace's root, its tokens and its names.
pub struct Source {
    pub path: PathBuf,
    pub tokens: Vec<Token>,
    pub names: Vec<Name>,
}

impl Source {
    pub fn new(path: &Path, stream: TokenStream) -> Self {
        let tokens = tokens(stream);
        let names = names(&tokens);
        Self { path: path.to_path_buf(), tokens, names }
    }

    /// A made-up file, for tests of the rules; what stands under `cfg(test)` is dropped, as for shipped code.
    pub fn snippet(code: &str) -> Self {
        Self::new(Path::new("snippet.rs"), shipped_stream(syn::parse_file(code).unwrap().items))
    }

    pub fn at(&self, line: usize) -> String {
        format!("{}:{line}", self.path.display())
    }
}

/// Every Rust file of the workspace, tests and all.
pub fn whole() -> Vec<Source> {
    let root = tree::root();
    tree::files_ending(&root, "rs")
        .unwrap()
        .iter()
        .map(|path| {
            let text = fs::read_to_string(root.join(path)).unwrap();
            let stream = text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            Source::new(path, stream)
        })
        .collect()
}

/// What is shipped of the crate in `folder`, a path from the workspace's root.
pub fn shipped(folder: &str) -> Vec<Source> {
    let root = tree::root();
    let mut found = Vec::new();
    let mut waiting = vec![(PathBuf::from(folder).join("src/lib.rs"), PathBuf::from(folder).join("src"))];
    while let Some((path, below)) = waiting.pop() {
        let text = fs::read_to_string(root.join(&path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let file = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        if only_for_tests(&file.attrs) {
            continue;
        }
        for module in child_modules(&file.items) {
            let flat = below.join(format!("{module}.rs"));
            let folder = below.join(&module);
            let file = if root.join(&flat).is_file() { flat } else { folder.join("mod.rs") };
            waiting.push((file, folder));
        }
        found.push(Source::new(&path, shipped_stream(file.items)));
    }
    found
}

/// Names of the modules that `items` declare and that have a file of their own.
fn child_modules(items: &[Item]) -> Vec<String> {
    let modules = items.iter().filter_map(|item| match item {
        Item::Mod(module) if module.content.is_none() && !only_for_tests(&module.attrs) => Some(module),
        _ => None,
    });
    modules
        .map(|module| {
            let plain = !module.attrs.iter().any(|attribute| attribute.path().is_ident("path"));
            assert!(plain, "mod {} has a #[path]; the rules cannot follow it", module.ident);
            module.ident.unraw().to_string()
        })
        .collect()
}

fn shipped_stream(items: Vec<Item>) -> TokenStream {
    let mut stream = TokenStream::new();
    for item in items {
        if let Some(item) = shipped_item(item) {
            quote::ToTokens::to_tokens(&item, &mut stream);
        }
    }
    stream
}

fn shipped_item(mut item: Item) -> Option<Item> {
    if attributes(&item).is_some_and(only_for_tests) {
        return None;
    }
    if let Item::Mod(module) = &mut item
        && let Some((_, items)) = &mut module.content
    {
        *items = std::mem::take(items).into_iter().filter_map(shipped_item).collect();
    }
    if let Item::Impl(block) = &mut item {
        block.items.retain(|item| !matches!(item, ImplItem::Fn(method) if only_for_tests(&method.attrs)));
    }
    Some(item)
}

fn attributes(item: &Item) -> Option<&[Attribute]> {
    Some(match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => return None,
    })
}

/// `cfg(test)`, or `cfg(all(...))` with `test` among its conditions.
fn only_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().filter(|attribute| attribute.path().is_ident("cfg")).any(|attribute| {
        attribute.parse_args::<Meta>().is_ok_and(|condition| match condition {
            Meta::Path(path) => path.is_ident("test"),
            Meta::List(list) if list.path.is_ident("all") => list
                .parse_args_with(Punctuated::<Meta, T![,]>::parse_terminated)
                .is_ok_and(|parts| parts.iter().any(|part| part.path().is_ident("test"))),
            _ => false,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_shipped_is_seen() {
        let source = Source::snippet(
            "use std::time::Duration;
             #[cfg(test)] use std::fs;
             mod inner { #[cfg(all(test, unix))] fn t() { std::net::lookup() } fn f() { std::env::args() } }
             struct S; impl S { #[cfg(test)] fn t() { std::thread::yield_now() } }
             #[cfg(any(test, feature = \"x\"))] fn g() { std::process::exit(1) }
             #[cfg(test)] mod tests { use std::io; }",
        );
        let names: Vec<String> = source.names.iter().map(Name::text).filter(|name| name.starts_with("std::")).collect();
        assert_eq!(names, ["std::time::Duration", "std::env::args", "std::process::exit"]);
    }

    #[test]
    fn the_modules_of_a_crate_are_followed_into_their_files() {
        let files: Vec<PathBuf> = shipped("crates/wire").into_iter().map(|source| source.path).collect();
        assert!(files.contains(&PathBuf::from("crates/wire/src/lib.rs")), "{files:?}");
        assert!(files.contains(&PathBuf::from("crates/wire/src/packet.rs")), "{files:?}");
    }
}
