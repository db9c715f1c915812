//! Every byte that crosses a Treehouse network, and its limits.
//!
//! A Treehouse room has no server, so the bytes are the contract: whatever two nodes agree on stands in this crate and
//! in `docs/protocol.md`, which specifies it for a second implementation and carries the test vectors that the tests
//! of this crate check.
//!
//! * [`ids`]: names of nodes, rooms, voices; [`units`]: frame numbers, capture time, wall-clock time, epochs.
//! * [`codec`]: one canonical encoding (postcard, refused unless it re-encodes to the same bytes) and bounded lists.
//! * [`signed`]: payloads with a signature, each kind under its own domain string.
//! * [`suite`]: what a room needs of cryptography, and the shipped Ed25519 / ChaCha20-Poly1305 suite.
//! * [`packet`]: media packets of k signed, encrypted Opus frames.
//! * [`control`]: the messages of the control substream.
//! * [`losses`]: what listeners lost of a voice, as it goes up the tree.
//! * [`limits`]: every bound, by name.
//!
//! The crate has no clock, no randomness, no task, no socket and no file. Nothing in it panics on input: a decoder
//! returns a [`DecodeError`] that says what was wrong.

pub mod codec;
pub mod control;
pub mod ids;
pub mod limits;
pub mod losses;
pub mod packet;
pub mod signed;
pub mod suite;
pub mod units;

pub use bytes::Bytes;
pub use codec::{Blob, DecodeError, List, Text, decode, encode};
pub use control::{Address, Contact, Control, Lineage};
pub use ids::{LinkTag, MediaKey, NodeId, NodeTag, RoomId, VoiceId};
pub use losses::Losses;
pub use packet::{FramesPerPacket, Header, Level, Packet, Voiced};
pub use signed::{Domain, Signature, Signed};
pub use suite::{RoomKey, RoomKeySeed, Shipped, Suite, VoiceKeyBytes};
pub use units::{CaptureTime, Epoch, FrameNumber, UnixSeconds};
