//! A suite for simulation: a keyed tag in place of signatures and encryption.
//!
//! It tells forged from genuine as long as nobody tries to fool it: what was altered does not verify, what was sealed
//! under another key does not open. Anyone can compute its tags, so it protects nothing and must never meet a network.

use treehouse_wire::{
    Epoch, MediaKey, RoomId, RoomKey, Signature, Suite,
    suite::{OpenError, TAG_BYTES},
};

/// The simulator's suite.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cheap;

/// Folds bytes into a state a word at a time, by turn, exclusive or and an odd factor (2^64 / golden ratio; Knuth, TAOCP 3,
/// 6.4). Each step is one-to-one, so that no single altered word goes unnoticed.
fn fold(state: u64, bytes: &[u8]) -> u64 {
    let step = |hash: u64, word: [u8; 8]| {
        (hash.rotate_left(23) ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    };
    let (words, rest) = bytes.as_chunks();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    // How much of the last word counts, so that zeros cannot be put behind.
    last[7] = rest.len() as u8;
    step(words.iter().copied().fold(state, step), last)
}

fn tag(key: &[u8], message: &[u8]) -> u64 {
    fold(fold(0xcbf2_9ce4_8422_2325, key), message)
}

impl Suite for Cheap {
    type Signer = [u8; 32];
    type VoiceKey = u64;

    fn signer(&self, seed: &[u8; 32]) -> [u8; 32] {
        *seed
    }

    /// The seed with every bit turned, so that a public key is never mistaken for a seed.
    fn public_key(&self, signer: &[u8; 32]) -> [u8; 32] {
        signer.map(|byte| !byte)
    }

    fn sign(&self, signer: &[u8; 32], message: &[u8]) -> Signature {
        let mut bytes = [0; 64];
        bytes[..8].copy_from_slice(&tag(&self.public_key(signer), message).to_le_bytes());
        Signature(bytes)
    }

    fn verify(&self, key: &[u8; 32], message: &[u8], signature: &Signature) -> bool {
        signature.0[..8] == tag(key, message).to_le_bytes() && signature.0[8..].iter().all(|byte| *byte == 0)
    }

    fn voice_key(&self, room: &RoomId, epoch: Epoch, room_key: &RoomKey, media_key: &MediaKey) -> u64 {
        let key = fold(tag(&room.0, &room_key.0), &media_key.0);
        fold(fold(key, &epoch.term.to_le_bytes()), &epoch.number.to_le_bytes())
    }

    fn seal(&self, key: &u64, nonce: &[u8; 12], associated: &[u8], buffer: &mut Vec<u8>) {
        let tag = fold(fold(tag(&key.to_le_bytes(), nonce), associated), buffer);
        buffer.extend_from_slice(&tag.to_le_bytes());
        buffer.resize(buffer.len() + TAG_BYTES - 8, 0);
    }

    fn open(&self, key: &u64, nonce: &[u8; 12], associated: &[u8], buffer: &mut Vec<u8>) -> Result<(), OpenError> {
        let at = buffer.len().checked_sub(TAG_BYTES).ok_or(OpenError)?;
        let found = buffer.split_off(at);
        let tag = fold(fold(tag(&key.to_le_bytes(), nonce), associated), buffer);
        if found[..8] == tag.to_le_bytes() && found[8..].iter().all(|byte| *byte == 0) {
            Ok(())
        } else {
            Err(OpenError)
        }
    }
}
