//! What researchers look at: comparisons, one page with plots, and the table of targets.
//!
//! All of them take folders of runs, sort them into worlds and strategies, and say each figure with its 95 % bootstrap
//! interval over seeds and, between strategies, with the paired difference on the same seeds ([`crate::statistics`]).

mod compare;
pub mod figures;
mod groups;
mod targets;

pub use compare::{Comparison, Row, compare};
pub use groups::{Group, World, load, worlds};
pub use targets::targets;
