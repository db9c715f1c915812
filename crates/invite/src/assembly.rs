//! The lists that the room state names by their digests, and how they travel: in pieces.

use core::marker::PhantomData;

use sha2::{Digest, Sha256};
use treehouse_wire::{Blob, Control, DecodeError, limits::STATE_PART_BYTES_MAX};

/// A list that the room state names by the SHA-256 of its canonical encoding.
pub trait StateList: Sized {
    /// Pieces of [`STATE_PART_BYTES_MAX`] bytes that it may come in.
    const PARTS_MAX: usize;

    /// The list in the canonical encoding.
    fn to_bytes(&self) -> Vec<u8>;

    /// Reads a list. Signatures in it are not looked at.
    ///
    /// # Errors
    /// [`DecodeError`] where it is too long, malformed, or not in the canonical order.
    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError>;

    /// SHA-256 of [`StateList::to_bytes`], as the room state carries it.
    fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.to_bytes()).into()
    }

    /// The messages that carry the list: pieces of [`STATE_PART_BYTES_MAX`] bytes, the last one shorter.
    fn parts(&self) -> Vec<Control> {
        let bytes = self.to_bytes();
        let digest = Sha256::digest(&bytes).into();
        let pieces = bytes.chunks(STATE_PART_BYTES_MAX);
        // No list is longer than `PARTS_MAX` pieces.
        let of = pieces.len() as u8;
        (0..of)
            .zip(pieces)
            .map(|(index, piece)| Control::StatePart { digest, index, of, part: Blob::truncated(piece.to_vec()) })
            .collect()
    }
}

/// Collects the pieces of the one list whose digest is wanted; holds [`StateList::PARTS_MAX`] pieces at most.
///
/// Pieces may come in any order, more than once and from several neighbours. One that disagrees with those before it
/// about how many there are starts the collection anew, so that a wrong first piece cannot block the right ones. An error
/// says that whoever sent this very piece is at fault; several pieces that together are not the list accuse nobody, since
/// any of them may be the wrong one, and the collection starts anew.
#[derive(Clone, Debug)]
pub struct Assembly<L> {
    digest: [u8; 32],
    pieces: Vec<Option<Vec<u8>>>,
    list: PhantomData<L>,
}

impl<L: StateList> Assembly<L> {
    /// Waits for the list with this SHA-256.
    pub fn new(digest: [u8; 32]) -> Self {
        Assembly { digest, pieces: Vec::new(), list: PhantomData }
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
    pub fn add(&mut self, digest: [u8; 32], index: u8, of: u8, part: &[u8]) -> Result<Option<L>, DecodeError> {
        if digest != self.digest {
            return Ok(None);
        }
        let (index, of) = (usize::from(index), usize::from(of));
        if of == 0 || of > L::PARTS_MAX || index >= of {
            return Err(DecodeError::OutOfRange("number of the part"));
        }
        if part.len() > STATE_PART_BYTES_MAX {
            return Err(DecodeError::TooLong { len: part.len(), max: STATE_PART_BYTES_MAX });
        }
        // Only the last piece may be shorter, so that a list has one way to be cut.
        let min = if index + 1 < of { STATE_PART_BYTES_MAX } else { 1 };
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

    fn complete(&mut self) -> Result<Option<L>, DecodeError> {
        let Some(pieces) = self.pieces.iter().map(Option::as_deref).collect::<Option<Vec<&[u8]>>>() else {
            return Ok(None);
        };
        let (bytes, alone) = (pieces.concat(), pieces.len() == 1);
        self.pieces.clear();
        if <[u8; 32]>::from(Sha256::digest(&bytes)) != self.digest {
            return if alone { Err(DecodeError::OutOfRange("the list's digest")) } else { Ok(None) };
        }
        L::from_bytes(&bytes).map(Some)
    }
}
