//! What the end to end tests share: where the workspace is, and which files are ours.
//!
//! The package has no product code. Its tests run the built program as a user would, and hold the rules of
//! `docs/architecture.md` that a program can check.

pub mod tree;
