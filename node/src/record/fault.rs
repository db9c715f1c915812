//! What can be wrong with a recording, each a sentence, and how times in it are written.

use std::fmt;

use super::proof::ProofError;

/// A time in a recording, in slots of 20 ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slots(pub u32);

impl Slots {
    /// Milliseconds since the recording's beginning.
    pub fn ms(self) -> u64 {
        u64::from(self.0) * 20
    }
}

impl fmt::Display for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, ms) = (self.ms() / 1000, self.ms() % 1000);
        let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
        if hours > 0 {
            write!(f, "{hours}:")?;
        }
        write!(f, "{minutes:02}:{:02}.{:02}", seconds % 60, ms / 10)
    }
}

/// What is wrong with a recording: each a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The proof does not begin as one.
    #[error("the proof cannot be used: {0}")]
    Proof(#[from] ProofError),
    /// The proof was changed.
    #[error("the proof was altered, cut or put together anew: what stands in it behind {at} is not what was signed")]
    ProofAltered {
        /// Up to here it holds.
        at: Slots,
    },
    /// Something was put behind the proof.
    #[error("something was put behind the end of the proof")]
    ProofAppended,
    /// There is no end.
    #[error(
        "the recording has no end: it was broken off at {at}, by a crash or a power cut, or somebody cut off its end; nobody can \
         tell which. What stands before is genuine where nothing else is said"
    )]
    Unfinished {
        /// Up to here it is proved.
        at: Slots,
    },
    /// It was broken off before its first mark.
    #[error(
        "the recording has no part that is proved: it was broken off in its first second, or its proof was cut off"
    )]
    NothingMarked,
    /// The file has no sound in it.
    #[error("the sound is missing: the file ends before its first page of sound")]
    NoSound,
    /// Another file's proof.
    #[error("the sound is not that of this proof: it is of another recording, or was written anew")]
    OtherRecording,
    /// Titles or chapters.
    #[error("the names or chapters in the file's headers were altered")]
    Headers,
    /// More sound than there was.
    #[error("sound was put behind the end of the recording")]
    Appended,
    /// The beginning is missing.
    #[error("the beginning of the recording was cut off, up to {to}")]
    CutStart {
        /// What follows is there.
        to: Slots,
    },
    /// Something in the middle is missing.
    #[error("something was cut out of the recording, from {from} to {to}")]
    CutMiddle {
        /// The first slot that is missing.
        from: Slots,
        /// The first that is there again.
        to: Slots,
    },
    /// The end is missing.
    #[error("the end of the recording was cut off: it stops at about {at} and went on until {of}")]
    CutEnd {
        /// Where it stops.
        at: Slots,
        /// Where it ended.
        of: Slots,
    },
    /// Frames stand in another order.
    #[error("the recording was put into another order, between {from} and {to}")]
    Reordered {
        /// The first slot that differs.
        from: Slots,
        /// The slot behind the last.
        to: Slots,
    },
    /// Frames that were not there.
    #[error("something was put into the recording at {at}")]
    Inserted {
        /// Where.
        at: Slots,
    },
    /// Bytes were changed.
    #[error("the recording was altered between {from} and {to}")]
    Altered {
        /// Not before.
        from: Slots,
        /// Not behind.
        to: Slots,
    },
    /// Pages of another file.
    #[error("a piece of another recording was put in, between {from} and {to}")]
    Foreign {
        /// Not before.
        from: Slots,
        /// Not behind.
        to: Slots,
    },
    /// Only the mix was changed.
    #[error("the mix, or how the tracks stand beside each other, was altered behind {from}, not behind {to}")]
    Mix {
        /// Not before.
        from: Slots,
        /// The first mark that does not hold.
        to: Slots,
    },
    /// A page says another time.
    #[error("a track was moved against the others at {at}")]
    Shifted {
        /// Where.
        at: Slots,
    },
    /// The founder did not sign the charter.
    #[error("the room's charter is not signed by its founder: whoever recorded made it up")]
    Charter,
    /// The host did not sign a state, or its list is another one.
    #[error("a room state at {at} is not signed by the room's host: whoever recorded made it up")]
    State {
        /// When.
        at: Slots,
    },
    /// The host did not sign an account.
    #[error("an account of the host at {at} is not signed by it: whoever recorded made it up")]
    Account {
        /// When.
        at: Slots,
    },
    /// A packet that is of no speaker.
    #[error("frame {frame} of {name} is not signed by {name}: whoever recorded made it up")]
    Forged {
        /// Whose it is said to be.
        name: String,
        /// Which.
        frame: u32,
    },
    /// A packet of nobody on stage, or that does not open.
    #[error("a packet is of nobody who was on stage, or does not open: whoever recorded made it up")]
    Stranger,
    /// A packet that was sealed unrecorded.
    #[error("frame {frame} of {name} was said when the room was not recorded")]
    Unrecorded {
        /// Whose.
        name: String,
        /// Which.
        frame: u32,
    },
    /// A voice does not stand where the host's accounts are.
    #[error("what {name} said was put at another time than the host's accounts say, at {at}")]
    Displaced {
        /// Who.
        name: String,
        /// When the account came.
        at: Slots,
    },
    /// A voice's frames are not in the order in which they were said.
    #[error("what {name} said was put into another order by whoever recorded, at {at}")]
    Disordered {
        /// Who.
        name: String,
        /// Where.
        at: Slots,
    },
}
