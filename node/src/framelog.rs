//! The frame log: when each frame was captured, verified and played.
//!
//! One line an entry, words separated by a space, times in nanoseconds of the machine's monotonic clock, so that the
//! logs of all processes on one machine can be joined by (voice, frame):
//!
//! ```text
//! captured VOICE FRAME T     speaker: T is when the frame's last sample was captured
//! verified VOICE FRAME T     listener: T is when a packet with the frame had been verified
//! played VOICE FRAME OUTCOME T   listener: T is when the frame's first sample left the mixer
//! end DROPPED                the log is complete but for so many entries that the disk was too slow for
//! ```
//! OUTCOME is `decoded` (from a verified packet, in time), `fec` (from the redundancy in the next frame) or `concealed`.

use std::{fmt, io::BufRead, str::FromStr};

use treehouse_wire::VoiceId;

/// Entries that wait for the disk at most; one more is dropped and counted.
pub const QUEUE_ENTRIES: usize = 16_384;

/// Where the samples of a frame came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// From the frame itself.
    Decoded,
    /// From the redundancy that the next frame carries.
    Fec,
    /// Made up by the decoder.
    Concealed,
}

/// One entry of a frame log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A speaker captured a frame.
    Captured {
        /// Its voice.
        voice: VoiceId,
        /// Its number.
        frame: u32,
        /// When its last sample was captured.
        at_ns: u64,
    },
    /// A listener verified the first copy of a frame.
    Verified {
        /// Its voice.
        voice: VoiceId,
        /// Its number.
        frame: u32,
        /// When.
        at_ns: u64,
    },
    /// A listener played a frame's place in time.
    Played {
        /// Its voice.
        voice: VoiceId,
        /// Its number.
        frame: u32,
        /// Where the samples came from.
        outcome: Outcome,
        /// When the first of them left the mixer.
        at_ns: u64,
    },
    /// The end of a complete log.
    End {
        /// Entries that were dropped.
        dropped: u64,
    },
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Entry::Captured { voice, frame, at_ns } => write!(f, "captured {voice} {frame} {at_ns}"),
            Entry::Verified { voice, frame, at_ns } => write!(f, "verified {voice} {frame} {at_ns}"),
            Entry::Played { voice, frame, outcome, at_ns } => {
                let outcome = match outcome {
                    Outcome::Decoded => "decoded",
                    Outcome::Fec => "fec",
                    Outcome::Concealed => "concealed",
                };
                write!(f, "played {voice} {frame} {outcome} {at_ns}")
            }
            Entry::End { dropped } => write!(f, "end {dropped}"),
        }
    }
}

/// A line that is no entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a line of a frame log")]
pub struct NotAnEntry;

impl FromStr for Entry {
    type Err = NotAnEntry;

    fn from_str(line: &str) -> Result<Self, NotAnEntry> {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |word: &str| word.parse().map_err(|_| NotAnEntry);
        let frame = |word: &str| word.parse().map_err(|_| NotAnEntry);
        match words.as_slice() {
            ["captured", voice, f, t] => {
                Ok(Entry::Captured { voice: voice_id(voice)?, frame: frame(f)?, at_ns: number(t)? })
            }
            ["verified", voice, f, t] => {
                Ok(Entry::Verified { voice: voice_id(voice)?, frame: frame(f)?, at_ns: number(t)? })
            }
            ["played", voice, f, outcome, t] => {
                let outcome = match *outcome {
                    "decoded" => Outcome::Decoded,
                    "fec" => Outcome::Fec,
                    "concealed" => Outcome::Concealed,
                    _ => return Err(NotAnEntry),
                };
                Ok(Entry::Played { voice: voice_id(voice)?, frame: frame(f)?, outcome, at_ns: number(t)? })
            }
            ["end", dropped] => Ok(Entry::End { dropped: number(dropped)? }),
            _ => Err(NotAnEntry),
        }
    }
}

fn voice_id(hex: &str) -> Result<VoiceId, NotAnEntry> {
    let value = u64::from_str_radix(hex, 16).map_err(|_| NotAnEntry)?;
    if hex.len() != 16 { Err(NotAnEntry) } else { Ok(VoiceId(value.to_be_bytes())) }
}

/// Reads a log. The last line of a process that was killed may be cut; it is left out.
///
/// # Errors
/// Where the file cannot be read, or a line before the last is no entry.
pub fn read(log: impl BufRead) -> std::io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut lines = log.lines().peekable();
    while let Some(line) = lines.next() {
        match line?.parse() {
            Ok(entry) => entries.push(entry),
            Err(NotAnEntry) if lines.peek().is_none() => {}
            Err(error) => return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, error)),
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOICE: VoiceId = VoiceId([0, 1, 2, 3, 0xfc, 0xfd, 0xfe, 0xff]);

    #[test]
    fn every_entry_reads_back_as_it_was_written() {
        let mut entries = vec![
            Entry::Captured { voice: VOICE, frame: 0, at_ns: 1 },
            Entry::Verified { voice: VOICE, frame: u32::MAX, at_ns: u64::MAX },
            Entry::End { dropped: 3 },
        ];
        for outcome in [Outcome::Decoded, Outcome::Fec, Outcome::Concealed] {
            entries.push(Entry::Played { voice: VOICE, frame: 7, outcome, at_ns: 12 });
        }
        let text: String = entries.iter().map(|entry| format!("{entry}\n")).collect();
        assert_eq!(read(text.as_bytes()).expect("a whole log"), entries);
    }

    #[test]
    fn a_killed_process_leaves_a_cut_line_and_nothing_else_may_be_wrong() {
        let whole = "verified 00010203fcfdfeff 1 10\n";
        assert_eq!(read(format!("{whole}played 0001").as_bytes()).expect("a cut log").len(), 1);
        assert!(read(format!("nonsense\n{whole}").as_bytes()).is_err());
        for line in
            ["", "captured", "captured 0001 1 1", "captured 00010203fcfdfeff -1 1", "played 00010203fcfdfeff 1 loud 1"]
        {
            assert_eq!(line.parse::<Entry>(), Err(NotAnEntry), "{line}");
        }
    }
}
