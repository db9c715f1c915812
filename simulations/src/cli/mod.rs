//! The program around the simulator: what a person or a script sees of it.
//!
//! * [`args`]: the command line.
//! * [`failure`]: why the program ends without success; [`interrupt`]: Ctrl-C; [`output`]: lines that may meet a closed pipe.
//! * [`progress`]: how far a run or a sweep is, for a terminal, for a log, and for a program.
//! * the commands: [`one`] (`run`), [`sweep`], [`results`] (`compare` and `report`), [`scenarios`], [`baselines`].

use std::process::ExitCode;

pub mod args;
mod baselines;
mod failure;
mod interrupt;
mod keys;
mod one;
mod output;
mod progress;
mod results;
mod scenarios;
mod summary;
mod sweep;

use args::{Cli, Command};

/// Does what the command line asks for. What went wrong is one sentence on standard error.
pub fn run(cli: Cli) -> ExitCode {
    let done = match cli.command {
        Command::Run(args) => one::run(&args),
        Command::Sweep(args) => sweep::run(&args),
        Command::Compare(args) => results::compare(&args),
        Command::Report(args) => results::report(&args),
        Command::Scenarios(args) => scenarios::run(&args),
        Command::Baselines(args) => baselines::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let status = failure::exit_status(&error);
            if !output::is_closed(&error) {
                eprintln!("treehouse-sim: {error:#}");
            }
            ExitCode::from(status)
        }
    }
}
