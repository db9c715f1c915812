//! The `treehouse-sim` program.

use std::process::ExitCode;

use clap::Parser;

mod cli;

/// Most of a run's time goes into waiting for memory that no cache holds: this one lays small things closer together, and asks for
/// huge pages.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run(cli::args::Cli::parse())
}
