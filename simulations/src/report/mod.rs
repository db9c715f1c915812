//! What researchers look at: comparisons, one page with plots, and the table of targets.
//!
//! All of them take folders of runs, sort them into worlds and strategies, and say each figure with its 95 % bootstrap
//! interval over seeds and, between strategies, with the paired difference on the same seeds ([`crate::statistics`]).

mod compare;
mod curves;
pub mod figures;
mod groups;
mod page;
mod svg;
mod targets;
mod tree;

pub use compare::{Comparison, Row, compare};
pub use groups::{Group, World, load, worlds};
pub use page::html;
pub use targets::targets;
