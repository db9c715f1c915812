//! The fuzz targets: what must hold of everything that reads foreign bytes, whatever the bytes.
//!
//! Each target is a function that takes one input, panics where a promise is broken, and otherwise says what became of the
//! input. Three things call them: libFuzzer (`tests/fuzz`), the runner without instrumentation (`treehouse-fuzz`), and the
//! ordinary tests, which replay `tests/fuzz/corpus` and compare each file's verdict with the one that it is there for.

pub mod clear;
pub mod memory;
pub mod mutate;
pub mod parsers;
pub mod people;
#[cfg(feature = "records")]
pub mod records;
pub mod room;
pub mod statements;

use treehouse_invite::{InviteError, StatementError};
use treehouse_wire::{DecodeError, packet::UnsealError};

/// What became of an input. `Debug` is what the tables of the tests compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was taken for what it says it is.
    Accepted,
    /// Not the encoding of anything.
    Decode(DecodeError),
    /// No invite, or one that does not hold.
    Invite(InviteError),
    /// An invite that holds, with a link that the host has revoked.
    Revoked,
    /// A statement that does not hold.
    Statement(StatementError),
    /// A statement that holds, shown by another node than the one it is for.
    NotTheirs,
    /// A signature that does not verify.
    Forged,
    /// A packet of a voice that is not on stage, which accuses nobody.
    UnknownVoice,
    /// A packet that verifies and does not open.
    Unseal(UnsealError),
    /// Pieces of a list that is not complete yet.
    Incomplete,
    /// A stored record that is damaged.
    Damaged(&'static str),
    /// What a room did about its neighbours.
    Room(String),
}

/// One target.
pub struct Target {
    /// What `./dev fuzz` and the corpus's folder call it.
    pub name: &'static str,
    /// What it does with an input.
    pub run: fn(&[u8]) -> Verdict,
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target { name: "control", run: parsers::control },
    Target { name: "packet", run: parsers::packet },
    Target { name: "invite", run: parsers::invite },
    Target { name: "certificate", run: statements::certificate },
    Target { name: "beacon", run: statements::beacon },
    #[cfg(feature = "records")]
    Target { name: "records", run: records::records },
    Target { name: "room", run: room::room },
];

impl Target {
    /// The target of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Target> {
        TARGETS.iter().find(|target| target.name == name)
    }

    /// Runs an input, which is to give back all memory that it took: what one input could keep, ten million would. Nothing else
    /// may allocate meanwhile; it says nothing in a program whose allocator is not [`memory::COUNTED`].
    ///
    /// # Panics
    /// Where the target does, or where memory is left behind.
    pub fn run_counted(&self, input: &[u8]) {
        let before = memory::live_bytes();
        drop((self.run)(input));
        let after = memory::live_bytes();
        assert_eq!(before, after, "an input of {} left memory behind", self.name);
    }
}
