//! What the end to end tests share: where the workspace and its program are, and what the fuzz targets do.
//!
//! The package has no product code. Its tests run the built program as a user would, and hold the rules of
//! `docs/architecture.md` that a program can check.

pub mod advisories;
pub mod fuzz;
pub mod program;
pub mod sound_server;
pub mod speech;
pub mod tree;
