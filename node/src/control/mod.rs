//! How a command beside a running node talks to it: a Unix socket in the data folder, one line of JSON each way.
//!
//! What a command changes it writes into the store itself, so that it works without a running node too; the socket is for what
//! a running node must know at once. Only the same user is listened to. A line has [`LINE_BYTES_MAX`] bytes at most, a client
//! five seconds, and there are [`CLIENTS_MAX`] at once; more wait to be accepted.

mod client;
mod server;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use treehouse_invite::Banned;
use treehouse_room::Command;
use treehouse_wire::NodeId;

pub use client::{ControlError, tell};
pub use server::{Asked, Control};

/// The socket's name in the data folder.
pub const SOCKET_FILE: &str = "control.sock";
/// Longest line, either way.
pub const LINE_BYTES_MAX: usize = 4096;
/// Clients that are served at once.
pub const CLIENTS_MAX: usize = 8;

/// What a command asks of a running node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// A link was revoked: admit nobody by a chain that has it.
    RevokeInvite {
        /// The room, as hexadecimal digits.
        room: String,
        /// The link's id, as hexadecimal digits.
        link: String,
    },
    /// Whether the room is recorded.
    Record {
        /// The room, as hexadecimal digits.
        room: String,
        /// It is from now on.
        on: bool,
    },
    /// Somebody is to be put out, kept out, or let in again.
    Moderate {
        /// The room, as hexadecimal digits.
        room: String,
        /// Which of these.
        what: Moderation,
        /// Who.
        whom: Banned,
    },
    /// What this node sends or hears is to change, in whatever room it is.
    Sound(Sound),
}

/// What is to change about the sound of a running node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Sound {
    /// Nothing is sent any more, and no microphone is open; or again.
    Muted(bool),
    /// The key of push to talk goes down, or up.
    Talking(bool),
    /// How loud somebody is heard here, from 0 to [`VOLUME_PERCENT_MAX`]; 100 is as they come.
    Volume {
        /// Who.
        whom: NodeId,
        /// How loud.
        percent: u16,
    },
}

/// No voice gets louder than this: 12 dB.
pub const VOLUME_PERCENT_MAX: u16 = 400;

/// What is to become of somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moderation {
    /// Out, for two hours.
    Kick,
    /// Out for good.
    Ban,
    /// In again.
    Unban,
}

impl Moderation {
    /// What the room is told.
    pub fn command(self, whom: Banned) -> Command {
        match self {
            Moderation::Kick => Command::Kick(whom),
            Moderation::Ban => Command::Ban(whom),
            Moderation::Unban => Command::Unban(whom),
        }
    }
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Answer {
    /// It is done.
    Done,
    /// The room is not open here.
    OtherRoom,
    /// Nobody is banned whom it was to let in.
    NoSuchBan,
    /// It is not, and why: one sentence.
    Refused(String),
}

fn socket_path(folder: &Path) -> PathBuf {
    folder.join(SOCKET_FILE)
}

#[cfg(test)]
mod tests;
