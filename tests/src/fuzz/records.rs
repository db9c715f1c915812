//! What a node reads back from its disk: the identity, the frame logs of a demo, and the proofs of recordings.
//!
//! The first byte of an input says which record the rest is. A store of rooms and redemptions gets its own letter here.

use treehouse::{
    framelog, identity,
    record::{fault::Fault, verify::verify},
};

use super::Verdict;

/// The identity file.
pub const IDENTITY: u8 = b'i';
/// A frame log.
pub const FRAME_LOG: u8 = b'l';
/// The proof of a recording, without its sound.
pub const PROOF: u8 = b'p';

/// One stored record.
///
/// # Panics
/// When a record is read as something that does not read back as the same.
pub fn records(input: &[u8]) -> Verdict {
    let Some((of, rest)) = input.split_first() else { return Verdict::Damaged("nothing") };
    match *of {
        IDENTITY => match identity::read_seed(rest) {
            Ok(Some(seed)) => {
                assert_eq!(seed.as_slice(), rest);
                Verdict::Accepted
            }
            Ok(None) | Err(_) => Verdict::Damaged("identity"),
        },
        FRAME_LOG => match framelog::read(rest) {
            Ok(entries) => {
                let text: String = entries.iter().map(|entry| format!("{entry}\n")).collect();
                let again = framelog::read(text.as_bytes()).expect("a log that was just written");
                assert_eq!(again, entries, "a log does not read back");
                Verdict::Accepted
            }
            Err(_) => Verdict::Damaged("frame log"),
        },
        PROOF => match verify(&[], rest) {
            // All that is signed is well.
            Ok(said) if said.faults == [Fault::NoSound] => Verdict::Accepted,
            Ok(_) => Verdict::Damaged("recording"),
            Err(_) => Verdict::Damaged("proof"),
        },
        _ => Verdict::Damaged("kind"),
    }
}
