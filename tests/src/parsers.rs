//! What every parser of foreign bytes must do, whatever the bytes: return, and accept only what it would have written.
//!
//! Each function takes one input and panics if the parser breaks its promise. The fuzz targets in `tests/fuzz` call
//! them with random input, the ordinary tests with the seeds in `tests/fuzz/corpus`.

use bytes::Bytes;
use data_encoding::BASE32_NOPAD;
use sha2::{Digest, Sha256};
use treehouse_invite::{INVITE_VERSION, Invite};
use treehouse_wire::{
    Control, Epoch, MediaKey, Packet, RoomId, RoomKey, Shipped, Signature, Suite, UnixSeconds,
    limits::OPUS_FRAME_BYTES_MAX,
    suite::{OpenError, TAG_BYTES},
};

/// A control message: an accepted one has one encoding.
///
/// # Panics
/// When a message is accepted that encodes to other bytes.
pub fn control(input: &[u8]) {
    if let Ok(message) = Control::from_bytes(input) {
        assert_eq!(message.to_bytes(), input, "another encoding of {message:?} was accepted");
    }
}

/// A media packet: its header, its signature check, and its content, the last behind a cipher that lets all through.
///
/// # Panics
/// When a packet changes its bytes, or opens to frames that its header does not announce.
pub fn packet(input: &[u8]) {
    let Ok(packet) = Packet::parse(Bytes::copy_from_slice(input)) else { return };
    assert_eq!(packet.bytes().as_ref(), input);
    let header = *packet.header();
    assert!(header.lane() < treehouse_wire::limits::MEDIA_LANES);
    let room = RoomId([0; 32]);
    let media_key = MediaKey([1; 32]);
    assert!(!packet.verify(&Shipped, &room, &media_key), "a signature by no key verified");
    let voice_key = Shipped.voice_key(&room, header.epoch, &RoomKey([2; 32]), &media_key);
    assert!(packet.open(&Shipped, &voice_key).is_err(), "a ciphertext opened under a key that never sealed it");
    if let Ok(voiced) = packet.open(&Clear, &()) {
        assert_eq!(voiced.frames.len(), header.k.count() as usize);
        assert!(voiced.frames.iter().all(|frame| !frame.is_empty() && frame.len() <= OPUS_FRAME_BYTES_MAX));
    }
}

/// An invite: a text as it is, or any other bytes as the body of one whose version and checksum are right.
///
/// # Panics
/// When an invite is accepted that has another text.
pub fn invite(input: &[u8]) {
    let text = match std::str::from_utf8(input) {
        Ok(text) if text.trim_start().starts_with("TREEHOUSE:") => text.to_owned(),
        _ => framed(input),
    };
    if let Ok(invite) = Invite::parse(&text) {
        let kept: String = text.chars().filter(|letter| !letter.is_ascii_whitespace()).collect();
        assert_eq!(invite.to_string(), kept, "one invite has two texts");
        // Whatever the verdict, it must come.
        let _ = invite.verify(&Shipped, UnixSeconds(1_790_003_600));
    }
}

fn framed(body: &[u8]) -> String {
    let mut bytes = [&[INVITE_VERSION], body].concat();
    let checksum = Sha256::digest(&bytes);
    bytes.extend_from_slice(&checksum[..4]);
    format!("TREEHOUSE:{}", BASE32_NOPAD.encode(&bytes))
}

/// A cipher that hides nothing, so that inputs reach what stands behind the ciphertext.
#[derive(Clone, Copy, Debug)]
struct Clear;

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
