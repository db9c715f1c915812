//! The text form of an invite: `TREEHOUSE:` and uppercase base32, dense in a QR code and pasteable anywhere.
//!
//! Base32 of RFC 4648 section 6 without padding, over one byte of version, the body in the canonical encoding, and the
//! first four bytes of SHA-256 over everything before them. Bits that fill up the last character must be zero. So each
//! invite has one text, and a text with any character altered, left out or added is no invite. White space around it
//! or within it, as a mail program's line breaks leave it, is no part of it.

use core::ops::Deref;

use data_encoding::{BASE32_NOPAD, DecodeKind};
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use treehouse_wire::{DecodeError, decode, encode, limits::INVITE_BYTES_MAX};
use zeroize::Zeroizing;

use super::error::InviteError;

/// First byte of an invite of this version.
pub const INVITE_VERSION: u8 = 1;
/// Longest text that is looked at, in bytes; the longest invite has 1,649, the rest is room for line breaks.
pub const INVITE_TEXT_MAX: usize = 2048;

const PREFIX: &str = "TREEHOUSE:";
const CHECKSUM_BYTES: usize = 4;
/// Bytes that version and checksum take.
pub(super) const FRAME_BYTES: usize = 1 + CHECKSUM_BYTES;

/// The text of an invite's body.
pub(super) fn write<T: Serialize>(body: &T) -> String {
    let body = Zeroizing::new(encode(body));
    let mut bytes = Zeroizing::new(Vec::with_capacity(FRAME_BYTES + body.len()));
    bytes.push(INVITE_VERSION);
    bytes.extend_from_slice(&body);
    let checksum = checksum(&bytes);
    bytes.extend_from_slice(&checksum);
    format!("{PREFIX}{}", BASE32_NOPAD.encode(&bytes))
}

/// The body that a text holds.
pub(super) fn read<T: Serialize + DeserializeOwned>(text: &str) -> Result<T, InviteError> {
    let bytes = bytes_of(text)?;
    let (signed, check) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(InviteError::Cut)?;
    let (version, body) = signed.split_first().ok_or(InviteError::Cut)?;
    if checksum(signed) != *check {
        return Err(InviteError::Checksum);
    }
    if *version != INVITE_VERSION {
        return Err(InviteError::UnsupportedVersion(*version));
    }
    Ok(decode(body, INVITE_BYTES_MAX - FRAME_BYTES)?)
}

fn bytes_of(text: &str) -> Result<Zeroizing<Vec<u8>>, InviteError> {
    if text.len() > INVITE_TEXT_MAX {
        return Err(InviteError::TooLong { len: text.len(), max: INVITE_TEXT_MAX });
    }
    let start = text.len() - text.trim_ascii_start().len();
    let digits = text.get(start..).and_then(|text| text.strip_prefix(PREFIX)).ok_or(InviteError::NotAnInvite)?;
    let mut base32 = Zeroizing::new(Vec::with_capacity(digits.len()));
    for (at, byte) in digits.bytes().enumerate() {
        match byte {
            b'A'..=b'Z' | b'2'..=b'7' => base32.push(byte),
            _ if byte.is_ascii_whitespace() => {}
            _ => {
                let before = text.get(..start + PREFIX.len() + at).unwrap_or(text);
                return Err(InviteError::BadCharacter { position: before.chars().count() + 1 });
            }
        }
    }
    let bytes = BASE32_NOPAD.decode(base32.deref()).map(Zeroizing::new).map_err(|error| match error.kind {
        DecodeKind::Length | DecodeKind::Trailing | DecodeKind::Padding => InviteError::Cut,
        DecodeKind::Symbol => InviteError::NotAnInvite,
    })?;
    if bytes.len() > INVITE_BYTES_MAX {
        return Err(DecodeError::TooLong { len: bytes.len(), max: INVITE_BYTES_MAX }.into());
    }
    Ok(bytes)
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let [a, b, c, d, ..] = <[u8; 32]>::from(Sha256::digest(bytes));
    [a, b, c, d]
}
