//! The treehouse program.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    treehouse::run(treehouse::cli::Cli::parse())
}
