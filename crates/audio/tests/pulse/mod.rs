//! A sound server of a test's own, and a node that uses it.

pub mod home;
pub mod node;
