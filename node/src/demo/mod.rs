//! A whole room of real processes on one machine, checked frame by frame.

pub mod logjoin;
pub mod tree;
