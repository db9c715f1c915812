//! What a room needs of cryptography.
//!
//! Everything above this trait is generic over it: a node runs [`Shipped`], a simulator of a million nodes a cheap keyed
//! tag that still tells forged from genuine. A suite has no state and no randomness: seeds come in.

use core::fmt;

use chacha20poly1305::{
    ChaCha20Poly1305, KeyInit,
    aead::{AeadInOut, Buffer},
};
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use hkdf::Hkdf;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::{
    ids::{MediaKey, RoomId},
    signed::Signature,
    units::Epoch,
};

/// Bytes that sealing adds.
pub const TAG_BYTES: usize = 16;

/// The key of one epoch, from which each voice's key is derived. Wiped when dropped, never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct RoomKey(pub [u8; 32]);

impl RoomKey {
    /// What the room state names the key by: SHA-256 over a domain string, the room, the epoch and the key. It gives nothing of
    /// the key away, and nobody can pass another one off for it.
    pub fn digest(&self, room: &RoomId, epoch: Epoch) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(b"treehouse/room-key-digest/1");
        hash.update(room.0);
        hash.update(epoch.term.to_be_bytes());
        hash.update(epoch.number.to_be_bytes());
        hash.update(self.0);
        hash.finalize().into()
    }
}

/// What a host draws room keys from: 32 secret bytes. Wiped when dropped, never printed.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct RoomKeySeed([u8; 32]);

impl RoomKeySeed {
    /// A seed of random bytes that nothing else is drawn from.
    pub fn new(seed: [u8; 32]) -> Self {
        RoomKeySeed(seed)
    }

    /// The key of an epoch: SHA-256 over a domain string, the epoch and the seed. The seed is replaced by its hash, so that a key that
    /// has been wiped cannot be drawn again.
    pub fn draw(&mut self, epoch: Epoch) -> RoomKey {
        let mut hash = Sha256::new();
        hash.update(b"treehouse/room-key/1");
        hash.update(epoch.term.to_be_bytes());
        hash.update(epoch.number.to_be_bytes());
        hash.update(self.0);
        self.0 = Sha256::new().chain_update(b"treehouse/room-key-seed/1").chain_update(self.0).finalize().into();
        RoomKey(hash.finalize().into())
    }
}

impl fmt::Debug for RoomKeySeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RoomKeySeed(..)")
    }
}

impl fmt::Debug for RoomKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RoomKey(..)")
    }
}

/// The key of one voice in one epoch, as bytes: what a recording gives away of the room's keys, so that others can open what it
/// holds, and nothing else. Wiped when dropped, never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct VoiceKeyBytes(pub [u8; 32]);

impl VoiceKeyBytes {
    /// The key of a voice: HKDF over the epoch's key and the media key.
    pub fn derive(room: &RoomId, epoch: Epoch, room_key: &RoomKey, media_key: &MediaKey) -> Self {
        let mut info = Vec::with_capacity(64);
        info.extend_from_slice(b"treehouse/voice/1");
        info.extend_from_slice(&epoch.term.to_be_bytes());
        info.extend_from_slice(&epoch.number.to_be_bytes());
        info.extend_from_slice(&media_key.0);
        let mut key = VoiceKeyBytes([0; 32]);
        // 32 bytes are one block of output, far below the 8,160 at which HKDF refuses.
        let expanded = Hkdf::<Sha256>::new(Some(&room.0), &room_key.0).expand(&info, &mut key.0);
        debug_assert!(expanded.is_ok());
        key
    }

    /// The same as [`Shipped`] uses it.
    pub fn cipher(&self) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new(&self.0.into())
    }
}

impl fmt::Debug for VoiceKeyBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VoiceKeyBytes(..)")
    }
}

/// A ciphertext did not open: other key, other nonce, other header, or altered bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the ciphertext does not open under this key")]
pub struct OpenError;

/// Sign, verify, seal, open.
pub trait Suite: Clone + fmt::Debug + 'static {
    /// A signing key.
    type Signer: Clone;
    /// The key under which one voice is sealed in one epoch.
    type VoiceKey: Clone;

    /// The signing key of a seed.
    fn signer(&self, seed: &[u8; 32]) -> Self::Signer;
    /// The public key that verifies what `signer` signs.
    fn public_key(&self, signer: &Self::Signer) -> [u8; 32];
    /// Signs a message. Call it through [`Domain`](crate::Domain), which keeps kinds and rooms apart.
    fn sign(&self, signer: &Self::Signer, message: &[u8]) -> Signature;
    /// Whether `key` signed `message`. False on any doubt, a malformed key included.
    fn verify(&self, key: &[u8; 32], message: &[u8], signature: &Signature) -> bool;
    /// The key that seals one voice in one epoch.
    fn voice_key(&self, room: &RoomId, epoch: Epoch, room_key: &RoomKey, media_key: &MediaKey) -> Self::VoiceKey;
    /// Encrypts `buffer` in place and appends a tag of [`TAG_BYTES`].
    fn seal(&self, key: &Self::VoiceKey, nonce: &[u8; 12], associated: &[u8], buffer: &mut Vec<u8>);
    /// Decrypts `buffer` in place and removes the tag.
    ///
    /// # Errors
    /// [`OpenError`]; the buffer's content is then of no use.
    fn open(
        &self,
        key: &Self::VoiceKey,
        nonce: &[u8; 12],
        associated: &[u8],
        buffer: &mut Vec<u8>,
    ) -> Result<(), OpenError>;
}

/// The suite that ships: Ed25519 (RFC 8032, strict verification), HKDF-SHA256 (RFC 5869), ChaCha20-Poly1305 (RFC 8439).
#[derive(Clone, Copy, Debug, Default)]
pub struct Shipped;

impl Suite for Shipped {
    type Signer = SigningKey;
    type VoiceKey = ChaCha20Poly1305;

    fn signer(&self, seed: &[u8; 32]) -> SigningKey {
        SigningKey::from_bytes(seed)
    }

    fn public_key(&self, signer: &SigningKey) -> [u8; 32] {
        signer.verifying_key().to_bytes()
    }

    fn sign(&self, signer: &SigningKey, message: &[u8]) -> Signature {
        Signature(signer.sign(message).to_bytes())
    }

    fn verify(&self, key: &[u8; 32], message: &[u8], signature: &Signature) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        // Strict: small-order keys and malleable signatures are refused, so that all hops agree on each packet.
        VerifyingKey::from_bytes(key).is_ok_and(|key| key.verify_strict(message, &signature).is_ok())
    }

    fn voice_key(&self, room: &RoomId, epoch: Epoch, room_key: &RoomKey, media_key: &MediaKey) -> ChaCha20Poly1305 {
        VoiceKeyBytes::derive(room, epoch, room_key, media_key).cipher()
    }

    fn seal(&self, key: &ChaCha20Poly1305, nonce: &[u8; 12], associated: &[u8], buffer: &mut Vec<u8>) {
        // Fails only past 256 GiB; an empty packet then, which no receiver accepts.
        if key.encrypt_in_place(&(*nonce).into(), associated, buffer as &mut dyn Buffer).is_err() {
            buffer.clear();
        }
    }

    fn open(
        &self,
        key: &ChaCha20Poly1305,
        nonce: &[u8; 12],
        associated: &[u8],
        buffer: &mut Vec<u8>,
    ) -> Result<(), OpenError> {
        key.decrypt_in_place(&(*nonce).into(), associated, buffer as &mut dyn Buffer).map_err(|_| OpenError)
    }
}
