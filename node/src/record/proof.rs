//! The proof beside a recording: its records as bytes, how they are written and how they are read. `docs/protocol.md` specifies it.
//!
//! ```text
//! magic: "TREEHOUSE-PROOF" 0x01    ( length: u16 BE  record: length bytes )*
//! ```
//! A record is one value in the canonical encoding. A mark says what has been recorded so far and is signed by whoever records, over
//! the hash of all bytes before it: so nothing before a mark can be changed, and what stands behind the last one says nothing.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use treehouse_audio::record::TRACKS;
use treehouse_invite::Charter;
use treehouse_wire::{
    Blob, Domain, Epoch, FrameNumber, List, MediaKey, NodeId, RoomId, Shipped, Signature, Suite, UnixSeconds, VoiceId,
    VoiceKeyBytes,
    control::Statement,
    decode, encode,
    limits::{PACKET_BYTES_MAX, SIGNED_BYTES_MAX, STAGE_PARTS_MAX, STATE_PART_BYTES_MAX},
};

/// With what a proof begins; the last byte is the version.
pub const MAGIC: [u8; 16] = *b"TREEHOUSE-PROOF\x01";
/// Longest record: a whole stage list and what stands beside it.
pub const RECORD_BYTES_MAX: usize = 16_384;
/// Longest encoded stage list.
pub const STAGE_BYTES_MAX: usize = STATE_PART_BYTES_MAX * STAGE_PARTS_MAX;

/// The first record: what is recorded, by whom, into what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    /// The room's charter.
    pub charter: Statement,
    /// Who records, and signs the marks.
    pub recorder: NodeId,
    /// The first slot's time of day, by the clock of whoever records.
    pub started: UnixSeconds,
    /// The numbers of the file's logical streams: the mix's, then the speakers'.
    pub serials: List<u32, TRACKS>,
    /// Bytes of headers before the first page of sound.
    pub head_bytes: u32,
    /// Their SHA-256 before names and chapters were written into them.
    pub head_digest: [u8; 32],
}

/// What has been recorded so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Slots of 20 ms that are written.
    pub slots: u32,
    /// Bytes of sound: those of the file behind its headers.
    pub sound_bytes: u64,
    /// Their SHA-256.
    pub sound_digest: [u8; 32],
    /// The SHA-256 of the headers, as they will be once this is the last mark.
    pub head_digest: [u8; 32],
    /// The recording is complete: nothing follows, and each track has one more slot that says that it ends.
    pub last: bool,
}

/// One record of a proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// What is recorded. The first record, and no other.
    Begin(Box<Begin>),
    /// A room state that the host signed, and the stage list whose digest it has.
    State {
        /// When it came.
        slot: u32,
        /// The head.
        head: Statement,
        /// The encoded list.
        stage: Blob<STAGE_BYTES_MAX>,
    },
    /// The key that opens a voice's packets of one epoch.
    Key {
        /// The epoch.
        epoch: Epoch,
        /// Who signs the packets.
        media: MediaKey,
        /// The key.
        key: VoiceKeyBytes,
    },
    /// Where a voice stands in the file from here on: this frame in this slot of this track, and the others as far before and behind it.
    Place {
        /// The voice.
        voice: VoiceId,
        /// The speaker's track, from 0.
        track: u8,
        /// The frame.
        frame: FrameNumber,
        /// The slot.
        slot: u32,
    },
    /// A packet as it crossed the network.
    Packet {
        /// Which of its frames stand in the file: bit i for frame i. Others came before in another packet, or too late.
        written: u8,
        /// Which were new: those that were not written came too late.
        new: u8,
        /// The packet.
        packet: Blob<PACKET_BYTES_MAX>,
    },
    /// The host's account.
    Beacon {
        /// When it came.
        slot: u32,
        /// The beacon.
        beacon: Statement,
    },
    /// Whoever records was too slow for so many things that came.
    Lost {
        /// When it was noticed.
        slot: u32,
        /// How many.
        items: u32,
    },
    /// What has been recorded so far, signed.
    Mark {
        /// What.
        progress: Progress,
        /// By whoever records, over the SHA-256 of all bytes before this record and `progress`.
        signature: Signature,
    },
}

/// The bytes that the signature of a mark is over.
fn marked(before: &[u8; 32], progress: &Progress) -> Vec<u8> {
    encode(&(before, progress))
}

/// Writes a proof.
pub struct ProofWriter<W: Write> {
    out: W,
    hash: Sha256,
}

impl<W: Write> ProofWriter<W> {
    /// Begins a proof.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn begin(out: W, begin: Begin) -> io::Result<Self> {
        let mut writer = ProofWriter { out, hash: Sha256::new() };
        writer.bytes(&MAGIC)?;
        writer.put(&Record::Begin(Box::new(begin)))?;
        Ok(writer)
    }

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.out.write_all(bytes)
    }

    /// Appends a record.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn put(&mut self, record: &Record) -> io::Result<()> {
        let bytes = encode(record);
        let len = u16::try_from(bytes.len()).ok().filter(|len| usize::from(*len) <= RECORD_BYTES_MAX);
        let len = len.ok_or_else(|| io::Error::other("a record is too long"))?;
        self.bytes(&len.to_be_bytes())?;
        self.bytes(&bytes)
    }

    /// Signs all that was written.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn mark(&mut self, progress: Progress, room: &RoomId, signer: &<Shipped as Suite>::Signer) -> io::Result<()> {
        let before = self.hash.clone().finalize().into();
        let signature = Domain::Recording.sign(&Shipped, signer, room, &marked(&before, &progress));
        self.put(&Record::Mark { progress, signature })
    }

    /// What it went to.
    pub fn into_inner(self) -> W {
        self.out
    }

    /// What it goes to.
    pub fn get_mut(&mut self) -> &mut W {
        &mut self.out
    }
}

/// How a proof ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// As its recorder ended it.
    Closed,
    /// Behind a mark, with so many bytes that no mark covers: the recorder was killed, or the end was cut off.
    Open(usize),
    /// What stands behind the last mark that holds is not what was signed.
    Broken,
    /// Something stands behind the end.
    Appended,
}

/// A proof up to its last mark that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The first record.
    pub begin: Begin,
    /// The room, as the charter has it. Whether its founder signed that is not looked at here.
    pub room: RoomId,
    /// All others, marks among them. The last is a mark, or there is none.
    pub records: Vec<Record>,
    /// What follows.
    pub ending: Ending,
}

/// Why a file is no proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// It begins with something else.
    #[error("it is no proof of a recording")]
    NotOne,
    /// It is one of a version that this program does not know.
    #[error("it is a proof of a version that this program does not know: use a newer program")]
    Version,
    /// Its first record is another one, or none.
    #[error("its beginning was cut off or altered")]
    Beginning,
}

/// Takes one record; none where its bytes are not all there.
fn take<'a>(rest: &mut &'a [u8]) -> Option<Result<Record, &'a [u8]>> {
    let (len, behind) = rest.split_first_chunk::<2>()?;
    let len = usize::from(u16::from_be_bytes(*len));
    if len > RECORD_BYTES_MAX {
        return Some(Err(behind));
    }
    let (bytes, behind) = behind.split_at_checked(len)?;
    let record = decode(bytes, RECORD_BYTES_MAX).map_err(|_| bytes);
    *rest = behind;
    Some(record)
}

impl Proof {
    /// Reads a proof up to the last mark that its recorder signed. Nothing else that is signed is looked at.
    ///
    /// # Errors
    /// [`ProofError`] where it does not begin as a proof does.
    pub fn read(bytes: &[u8]) -> Result<Proof, ProofError> {
        let [magic @ .., version] = &MAGIC;
        let rest = bytes.strip_prefix(magic.as_slice()).ok_or(ProofError::NotOne)?;
        let (found, mut rest) = rest.split_first().ok_or(ProofError::Beginning)?;
        if found != version {
            return Err(ProofError::Version);
        }
        let Some(Ok(Record::Begin(begin))) = take(&mut rest) else { return Err(ProofError::Beginning) };
        let charter: Charter = decode(&begin.charter.payload, SIGNED_BYTES_MAX).map_err(|_| ProofError::Beginning)?;
        if begin.serials.len() != TRACKS {
            return Err(ProofError::Beginning);
        }
        let mut proof = Proof { begin: *begin, room: charter.room(), records: Vec::new(), ending: Ending::Broken };
        proof.read_records(bytes, rest);
        Ok(proof)
    }

    fn read_records(&mut self, bytes: &[u8], mut rest: &[u8]) {
        let (mut hash, mut hashed) = (Sha256::new(), 0);
        let mut unmarked = Vec::new();
        let mut marked_to = bytes.len() - rest.len();
        loop {
            let at = bytes.len() - rest.len();
            match take(&mut rest) {
                None => return self.ending = Ending::Open(bytes.len() - marked_to),
                Some(Err(_) | Ok(Record::Begin(_))) => return,
                Some(Ok(Record::Mark { progress, signature })) => {
                    hash.update(&bytes[hashed..at]);
                    hashed = at;
                    let before = hash.clone().finalize().into();
                    let payload = marked(&before, &progress);
                    if !Domain::Recording.verify(&Shipped, &self.begin.recorder.0, &self.room, &payload, &signature) {
                        return;
                    }
                    self.records.append(&mut unmarked);
                    self.records.push(Record::Mark { progress, signature });
                    marked_to = bytes.len() - rest.len();
                    if progress.last {
                        self.ending = if rest.is_empty() { Ending::Closed } else { Ending::Appended };
                        return;
                    }
                }
                Some(Ok(record)) => unmarked.push(record),
            }
        }
    }

    /// The marks, in their order.
    pub fn marks(&self) -> impl Iterator<Item = &Progress> {
        self.records.iter().filter_map(|record| match record {
            Record::Mark { progress, .. } => Some(progress),
            _ => None,
        })
    }
}
