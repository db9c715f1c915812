//! Media packets: k consecutive frames of one voice, encrypted once, signed once.
//!
//! ```text
//! offset  bytes  field
//!      0      1  kind, 0x01
//!      1      1  k: frames in the packet, 1 or 3
//!      2      2  epoch: term
//!      4      4  epoch: number
//!      8      8  voice id
//!     16      4  first frame, a multiple of k
//!     20      8  capture time of the first sample, 48 kHz
//!     28      n  ciphertext: level, frames; and a tag of 16 bytes; the header is associated data
//!   28+n     64  signature by the media key over everything before it
//! ```
//! All integers are big-endian. In the clear text one byte of level comes first, then each frame but the last behind a
//! u16 length; the last takes what remains. Every hop verifies the signature before it forwards or plays; only members
//! hold the room key that opens the ciphertext. The level is inside: in the clear it would leak who speaks to a relay
//! that is no member, and let liars win the floor.

use bytes::Bytes;

use crate::{
    codec::DecodeError,
    ids::{MediaKey, RoomId, VoiceId},
    limits::{MEDIA_LANES, OPUS_FRAME_BYTES_MAX, PACKET_BYTES_MAX},
    signed::{Domain, Signature},
    suite::{OpenError, Suite, TAG_BYTES},
    units::{CaptureTime, Epoch, FrameNumber},
};

/// First byte of every media packet of this version.
pub const PACKET_KIND: u8 = 0x01;
/// Bytes before the ciphertext.
pub const HEADER_BYTES: usize = 28;
/// Bytes of signature at the end.
pub const SIGNATURE_BYTES: usize = 64;
/// A packet of one frame of one byte is this long.
pub const PACKET_BYTES_MIN: usize = HEADER_BYTES + 2 + TAG_BYTES + SIGNATURE_BYTES;

/// Frames in a packet: one on the stage, where delay matters; three down a large tree, where bytes do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FramesPerPacket {
    /// k = 1.
    One,
    /// k = 3.
    Three,
}

impl FramesPerPacket {
    /// The number.
    pub const fn count(self) -> u32 {
        match self {
            FramesPerPacket::One => 1,
            FramesPerPacket::Three => 3,
        }
    }

    /// The kind for a number, where there is one.
    pub const fn from_count(count: u8) -> Option<Self> {
        match count {
            1 => Some(FramesPerPacket::One),
            3 => Some(FramesPerPacket::Three),
            _ => None,
        }
    }
}

/// Loudness of a packet in -dBov, as in RFC 6464: 0 is the loudest, 127 silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Level(u8);

impl Level {
    /// Digital silence.
    pub const SILENCE: Level = Level(127);

    /// A level; quieter than 127 counts as silence.
    pub const fn from_minus_dbov(value: u8) -> Self {
        Level(if value > 127 { 127 } else { value })
    }

    /// The level below full scale, in dB.
    pub const fn minus_dbov(self) -> u8 {
        self.0
    }
}

/// What a packet says of itself in the clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Frames inside.
    pub k: FramesPerPacket,
    /// The epoch whose key sealed it.
    pub epoch: Epoch,
    /// The voice.
    pub voice: VoiceId,
    /// Number of the first frame inside; a multiple of k.
    pub first: FrameNumber,
    /// When the first sample was captured.
    pub captured: CaptureTime,
}

impl Header {
    /// The lane that carries this packet: (first / k) mod 4.
    pub fn lane(&self) -> usize {
        (self.first.0 / self.k.count()) as usize % MEDIA_LANES
    }

    /// The frame numbers inside.
    pub fn frames(&self) -> impl DoubleEndedIterator<Item = FrameNumber> + use<> {
        let first = self.first;
        (0..self.k.count()).map(move |i| first.saturating_add(i))
    }

    /// Unique for each packet under one voice key: the first frame, k, zeros.
    fn nonce(&self) -> [u8; 12] {
        let mut nonce = [0; 12];
        nonce[..4].copy_from_slice(&self.first.0.to_be_bytes());
        nonce[4] = self.k.count() as u8;
        nonce
    }

    fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0] = PACKET_KIND;
        bytes[1] = self.k.count() as u8;
        bytes[2..4].copy_from_slice(&self.epoch.term.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.epoch.number.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.voice.0);
        bytes[16..20].copy_from_slice(&self.first.0.to_be_bytes());
        bytes[20..28].copy_from_slice(&self.captured.0.to_be_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; HEADER_BYTES]) -> Result<Self, DecodeError> {
        let [kind, k, t0, t1, n0, n1, n2, n3, v0, v1, v2, v3, v4, v5, v6, v7, f0, f1, f2, f3, c @ ..] = *bytes;
        if kind != PACKET_KIND {
            return Err(DecodeError::UnknownKind(kind));
        }
        let k = FramesPerPacket::from_count(k).ok_or(DecodeError::OutOfRange("k"))?;
        let first = u32::from_be_bytes([f0, f1, f2, f3]);
        // The last frame's number must exist too.
        if !first.is_multiple_of(k.count()) || first > u32::MAX - 2 {
            return Err(DecodeError::OutOfRange("first frame"));
        }
        Ok(Header {
            k,
            epoch: Epoch { term: u16::from_be_bytes([t0, t1]), number: u32::from_be_bytes([n0, n1, n2, n3]) },
            voice: VoiceId([v0, v1, v2, v3, v4, v5, v6, v7]),
            first: FrameNumber(first),
            captured: CaptureTime(u64::from_be_bytes(c)),
        })
    }
}

/// What is inside a packet: its level and its frames, oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voiced {
    /// The loudest of the frames.
    pub level: Level,
    /// One Opus packet a frame, as many as the header's k.
    pub frames: Vec<Bytes>,
}

/// A packet as it crosses the network. Cloning shares the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    header: Header,
    bytes: Bytes,
}

impl Packet {
    /// Reads a packet's header. The signature and the ciphertext are not looked at yet.
    ///
    /// # Errors
    /// [`DecodeError`] where the length or a header field is out of range.
    pub fn parse(bytes: Bytes) -> Result<Self, DecodeError> {
        let (len, min, max) = (bytes.len(), PACKET_BYTES_MIN, PACKET_BYTES_MAX);
        if len > max {
            return Err(DecodeError::TooLong { len, max });
        }
        let header = bytes.first_chunk().filter(|_| len >= min).ok_or(DecodeError::TooShort { len, min })?;
        Ok(Packet { header: Header::from_bytes(header)?, bytes })
    }

    /// Seals and signs frames of one voice.
    ///
    /// A speaker does this once for each (first frame, k) and never again with other frames: the nonce depends on
    /// nothing else.
    ///
    /// # Errors
    /// [`DecodeError::OutOfRange`] where the frames are not k in number, one is empty or longer than
    /// [`OPUS_FRAME_BYTES_MAX`], or the first frame is not a multiple of k.
    pub fn seal<S: Suite>(
        suite: &S,
        room: &RoomId,
        signer: &S::Signer,
        voice_key: &S::VoiceKey,
        header: Header,
        level: Level,
        frames: &[impl AsRef<[u8]>],
    ) -> Result<Self, DecodeError> {
        let header_bytes = header.to_bytes();
        Header::from_bytes(&header_bytes)?;
        if frames.len() != header.k.count() as usize {
            return Err(DecodeError::OutOfRange("number of frames"));
        }
        let mut sealed = Vec::with_capacity(PACKET_BYTES_MAX);
        sealed.push(level.minus_dbov());
        for (i, frame) in frames.iter().map(AsRef::as_ref).enumerate() {
            if frame.is_empty() || frame.len() > OPUS_FRAME_BYTES_MAX {
                return Err(DecodeError::OutOfRange("frame length"));
            }
            if i + 1 < frames.len() {
                sealed.extend_from_slice(&(frame.len() as u16).to_be_bytes());
            }
            sealed.extend_from_slice(frame);
        }
        suite.seal(voice_key, &header.nonce(), &header_bytes, &mut sealed);
        let mut bytes = Vec::with_capacity(HEADER_BYTES + sealed.len() + SIGNATURE_BYTES);
        bytes.extend_from_slice(&header_bytes);
        bytes.extend_from_slice(&sealed);
        let signature = Domain::Packet.sign(suite, signer, room, &bytes);
        bytes.extend_from_slice(&signature.0);
        Ok(Packet { header, bytes: bytes.into() })
    }

    /// What the packet says of itself.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The bytes that cross the network.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Whether this media key signed these bytes in this room.
    pub fn verify<S: Suite>(&self, suite: &S, room: &RoomId, key: &MediaKey) -> bool {
        let (signed, signature) = self.bytes.split_at(self.bytes.len() - SIGNATURE_BYTES);
        let Ok(signature) = signature.try_into().map(Signature) else { return false };
        Domain::Packet.verify(suite, &key.0, room, signed, &signature)
    }

    /// Decrypts the frames.
    ///
    /// # Errors
    /// [`UnsealError::Key`] where the key is another one (which accuses nobody: keys change), [`UnsealError::Content`]
    /// where the speaker itself sealed something malformed.
    pub fn open<S: Suite>(&self, suite: &S, voice_key: &S::VoiceKey) -> Result<Voiced, UnsealError> {
        let (associated, rest) = self.bytes.split_at(HEADER_BYTES);
        let mut clear = rest[..rest.len() - SIGNATURE_BYTES].to_vec();
        suite.open(voice_key, &self.header.nonce(), associated, &mut clear)?;
        parse_voiced(self.header.k, clear.into()).ok_or(UnsealError::Content)
    }
}

/// Why a verified packet gave no sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnsealError {
    /// Sealed under another key than the one at hand.
    #[error("sealed under another key")]
    Key(#[from] OpenError),
    /// Opened, but level or frames are malformed: the speaker's doing.
    #[error("the speaker sealed malformed frames")]
    Content,
}

fn parse_voiced(k: FramesPerPacket, mut clear: Bytes) -> Option<Voiced> {
    let level = *clear.first().filter(|level| **level <= 127)?;
    let mut rest = clear.split_off(1);
    let mut frames = Vec::with_capacity(k.count() as usize);
    for i in 0..k.count() {
        let len = if i + 1 < k.count() {
            let len = u16::from_be_bytes(*rest.first_chunk()?) as usize;
            rest = rest.split_off(2);
            len
        } else {
            rest.len()
        };
        if len == 0 || len > OPUS_FRAME_BYTES_MAX || len > rest.len() {
            return None;
        }
        let next = rest.split_off(len);
        frames.push(rest);
        rest = next;
    }
    Some(Voiced { level: Level(level), frames })
}
