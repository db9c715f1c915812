//! Puts a stage list together from the pieces that it travels in.

use sha2::{Digest, Sha256};
use treehouse_wire::{
    DecodeError,
    limits::{STAGE_PART_BYTES_MAX, STAGE_PARTS_MAX},
};

use crate::stage::Stage;

/// Collects the pieces of the one list whose digest is wanted; holds [`STAGE_PARTS_MAX`] pieces at most.
///
/// Pieces may come in any order, more than once and from several neighbours. One that disagrees with those before it
/// about how many there are starts the collection anew, so that a wrong first piece cannot block the right ones. An error
/// says that whoever sent this very piece is at fault; several pieces that together are not the list accuse nobody, since
/// any of them may be the wrong one, and the collection starts anew.
#[derive(Clone, Debug)]
pub struct StageAssembly {
    digest: [u8; 32],
    pieces: Vec<Option<Vec<u8>>>,
}

impl StageAssembly {
    /// Waits for the list with this SHA-256.
    pub fn new(digest: [u8; 32]) -> Self {
        StageAssembly { digest, pieces: Vec::new() }
    }

    /// The digest that is waited for.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// Takes one piece; the list once it is complete. Pieces of another list are left aside.
    ///
    /// # Errors
    /// [`DecodeError`] where the piece is out of range, where it is the only one and not the list with the digest, or where
    /// the list is malformed, which no honest node passes on.
    pub fn add(&mut self, digest: [u8; 32], index: u8, of: u8, part: &[u8]) -> Result<Option<Stage>, DecodeError> {
        if digest != self.digest {
            return Ok(None);
        }
        let (index, of) = (usize::from(index), usize::from(of));
        if of == 0 || of > STAGE_PARTS_MAX || index >= of {
            return Err(DecodeError::OutOfRange("number of the stage part"));
        }
        if part.len() > STAGE_PART_BYTES_MAX {
            return Err(DecodeError::TooLong { len: part.len(), max: STAGE_PART_BYTES_MAX });
        }
        // Only the last piece may be shorter, so that a list has one way to be cut.
        let min = if index + 1 < of { STAGE_PART_BYTES_MAX } else { 1 };
        if part.len() < min {
            return Err(DecodeError::TooShort { len: part.len(), min });
        }
        if self.pieces.len() != of {
            self.pieces = vec![None; of];
        }
        if let Some(piece) = self.pieces.get_mut(index) {
            *piece = Some(part.to_vec());
        }
        self.complete()
    }

    fn complete(&mut self) -> Result<Option<Stage>, DecodeError> {
        let Some(pieces) = self.pieces.iter().map(Option::as_deref).collect::<Option<Vec<&[u8]>>>() else {
            return Ok(None);
        };
        let (bytes, alone) = (pieces.concat(), pieces.len() == 1);
        self.pieces.clear();
        if <[u8; 32]>::from(Sha256::digest(&bytes)) != self.digest {
            return if alone { Err(DecodeError::OutOfRange("the stage list's digest")) } else { Ok(None) };
        }
        Stage::from_bytes(&bytes).map(Some)
    }
}
