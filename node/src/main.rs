//! The treehouse program.
fn main() {}
