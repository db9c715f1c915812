//! Recordings that anyone can verify.
//!
//! A node that records ([`Recorder`]) writes two files: the sound, which any player plays, and beside it the proof ([`proof`]): the
//! packets as their speakers signed them, with what the host signed of the room meanwhile. [`verify`](verify::verify) says from the two who spoke when,
//! and whether anything was cut or altered since. What is recorded is the room's affair: it hands out nothing while the signed flag
//! is off.

pub mod fault;
pub mod proof;
mod recorder;
mod report;
mod sound;
mod take;
#[cfg(test)]
mod tests;
pub mod verify;

use std::path::{Path, PathBuf};

pub use self::{
    recorder::{Files, Recorder},
    report::{Report, run},
    take::{Durable, Take, Who},
};

/// Where the proof of a recording is: beside it, with `.proof` at the end of its name.
pub fn proof_of(sound: &Path) -> PathBuf {
    let mut name = sound.as_os_str().to_owned();
    name.push(".proof");
    PathBuf::from(name)
}
