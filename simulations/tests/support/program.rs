//! The built program, run as a person or a script runs it.

use std::{
    path::Path,
    process::{Command, Output},
};

/// The program with arguments, in a folder.
pub fn program(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_treehouse-sim"));
    command.args(arguments).current_dir(folder);
    command
}

/// How it ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status; none where a signal ended it.
    pub status: Option<i32>,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ended { status: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

/// Runs it to its end.
pub fn run(folder: &Path, arguments: &[&str]) -> Ended {
    program(folder, arguments).output().expect("the program starts").into()
}

/// Runs it to its end, which is a good one; answers its standard output.
#[track_caller]
pub fn done(folder: &Path, arguments: &[&str]) -> String {
    let ended = run(folder, arguments);
    assert_eq!(ended.status, Some(0), "{arguments:?}: {ended:?}");
    ended.out
}
