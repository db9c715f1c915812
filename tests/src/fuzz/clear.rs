//! A suite that hides nothing and lets every signature through, so that inputs reach what stands behind the checks.

use treehouse_wire::{
    Epoch, MediaKey, RoomId, RoomKey, Signature, Suite,
    suite::{OpenError, TAG_BYTES},
};

/// Believes every signature and leaves the clear text as it is.
#[derive(Clone, Copy, Debug)]
pub struct Clear;

impl Suite for Clear {
    type Signer = ();
    type VoiceKey = ();

    fn signer(&self, _seed: &[u8; 32]) {}

    fn public_key(&self, (): &()) -> [u8; 32] {
        [0; 32]
    }

    fn sign(&self, (): &(), _message: &[u8]) -> Signature {
        Signature([0; 64])
    }

    fn verify(&self, _key: &[u8; 32], _message: &[u8], _signature: &Signature) -> bool {
        true
    }

    fn voice_key(&self, _room: &RoomId, _epoch: Epoch, _room_key: &RoomKey, _media_key: &MediaKey) {}

    fn seal(&self, (): &(), _nonce: &[u8; 12], _associated: &[u8], buffer: &mut Vec<u8>) {
        buffer.extend_from_slice(&[0; TAG_BYTES]);
    }

    fn open(&self, (): &(), _nonce: &[u8; 12], _associated: &[u8], buffer: &mut Vec<u8>) -> Result<(), OpenError> {
        let kept = buffer.len().checked_sub(TAG_BYTES).ok_or(OpenError)?;
        buffer.truncate(kept);
        Ok(())
    }
}
