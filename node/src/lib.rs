//! The `treehouse` program as a library, so that tests can use its parts.
//!
//! * [`cli`]: the command line; [`failure`]: why the program ends without success.
//! * [`identity`]: the key that is this node's name, in a file; [`peer`]: how it is written.
//! * [`demo`]: a whole room of real processes on one machine, checked frame by frame.
//! * [`framelog`], [`stats`], [`clock`], [`output`], [`duration`]: what these are made of.

pub mod cli;
pub mod clock;
pub mod demo;
pub mod duration;
pub mod failure;
pub mod framelog;
pub mod identity;
pub mod output;
pub mod peer;
pub mod stats;
