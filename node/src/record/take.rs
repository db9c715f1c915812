//! From what a room hands out to a recording: where each frame stands, what is proved, and when it is safe on the disk.
//!
//! There is no clock in here: whoever calls says which slot it is. A voice's frames stand as far from each other as their speaker
//! numbered them; only where a voice is out of step with the time of this machine, by a clock that runs faster or a way
//! that has become longer, its place is chosen anew, at the beginning of what it says next.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, BufWriter, Seek, Write},
    time::Duration,
};

use sha2::{Digest, Sha256};
use treehouse_audio::{
    ogg_opus::{Chapter, Track},
    record::{AHEAD_MAX, SPEAKERS_MAX, TRACKS, Tape, TapeError, head_bytes, pre_skip, tracks},
};
use treehouse_invite::{Stage, StateList};
use treehouse_room::Recorded;
use treehouse_wire::{
    Blob, Bytes, Epoch, FrameNumber, Header, List, MediaKey, NodeId, Packet, RoomId, RoomKey, Shipped, Suite,
    UnixSeconds, VoiceId, VoiceKeyBytes, control::Statement,
};

use super::proof::{Begin, Progress, ProofWriter, Record};

/// Slots that a frame may be late: 300 ms. They are what a power cut takes, with those up to the next mark.
pub const HOLD_SLOTS: u64 = 15;
/// Slots from mark to mark: 400 ms.
pub const MARK_SLOTS: u64 = 20;
/// A voice that has said nothing for so many slots begins anew: half a second.
const PAUSE_SLOTS: u64 = 25;
/// Frames in a row that are late, or this far ahead, until a voice's place is chosen anew.
const OUT_OF_STEP: u64 = 15;
/// Chapters that are kept: more do not fit into the file's headers.
const CHAPTERS_MAX: usize = 200;
/// Voices that are remembered: those of everybody who may come onto the stage of a long evening. Past it the one that has said nothing
/// for longest is forgotten.
const VOICES_MAX: usize = 1_024;

/// Keys that are remembered as said.
const KEYS_MAX: usize = 4_096;

/// A file that can be made safe.
pub trait Durable: Write {
    /// Returns once all that was written survives a power cut.
    ///
    /// # Errors
    /// Where it does not.
    fn sync(&mut self) -> io::Result<()>;

    /// Writes over the beginning.
    ///
    /// # Errors
    /// Where it cannot be written.
    fn write_head(&mut self, head: &[u8]) -> io::Result<()>;
}

impl Durable for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn write_head(&mut self, head: &[u8]) -> io::Result<()> {
        self.rewind()?;
        self.write_all(head)?;
        self.sync_data()
    }
}

impl Durable for Vec<u8> {
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn write_head(&mut self, head: &[u8]) -> io::Result<()> {
        self.splice(..head.len().min(self.len()), head.iter().copied());
        Ok(())
    }
}

/// The sound on its way to the file, hashed but for the headers.
struct Hashed<D: Durable> {
    file: BufWriter<D>,
    hash: Sha256,
    head_left: usize,
    sound_bytes: u64,
}

impl<D: Durable> Write for Hashed<D> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_all(bytes)?;
        let (_, sound) = bytes.split_at(self.head_left.min(bytes.len()));
        self.head_left -= bytes.len() - sound.len();
        self.hash.update(sound);
        self.sound_bytes += sound.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()?;
        self.file.get_mut().sync()
    }
}

/// Who has a track.
#[derive(Clone, Debug)]
struct Seat {
    node: NodeId,
    name: String,
    /// The last slot that it said something in.
    used: u64,
}

/// Where a voice stands.
#[derive(Clone, Copy, Debug)]
struct Voice {
    node: NodeId,
    seat: usize,
    frame: u32,
    slot: u64,
    /// The last slot that was taken.
    last: Option<u64>,
    /// Frames in a row that could not be placed.
    late: u64,
}

impl Voice {
    fn slot_of(&self, frame: FrameNumber) -> Option<u64> {
        u64::try_from(self.slot as i64 + i64::from(frame.0) - i64::from(self.frame)).ok()
    }
}

/// What somebody who records is.
#[derive(Clone)]
pub struct Who {
    /// Its node.
    pub node: NodeId,
    /// What it signs with.
    pub signer: <Shipped as Suite>::Signer,
    /// Random numbers for the file's streams.
    pub serials: [u32; TRACKS],
}

/// A recording under way.
pub struct Take<D: Durable> {
    who: Who,
    room: RoomId,
    title: String,
    tape: Tape<Hashed<D>>,
    proof: ProofWriter<BufWriter<D>>,
    head_digest: [u8; 32],
    pre_skip: u16,
    /// Who may speak under which key, as the newest state has it.
    stage: Stage,
    seats: Vec<Option<Seat>>,
    voices: BTreeMap<VoiceId, Voice>,
    keys: BTreeSet<(Epoch, VoiceId)>,
    chapters: Vec<Chapter>,
    marked: u64,
}

impl<D: Durable> Take<D> {
    /// Begins a recording; `charter` is the room's, and `title` what it is called.
    ///
    /// # Errors
    /// [`TapeError`] where the files cannot be written or the codec does not work.
    pub fn begin(
        (sound, proof): (D, D),
        who: Who,
        (room, charter, title): (RoomId, Statement, String),
        started: UnixSeconds,
    ) -> Result<Self, TapeError> {
        let pre_skip = pre_skip()?;
        let plain = tracks(&who.serials, pre_skip, "", &[], &[]);
        let head = head_bytes(&plain)?;
        let head_digest = Sha256::digest(&head).into();
        let file = BufWriter::new(sound);
        let tape = Tape::new(Hashed { file, hash: Sha256::new(), head_left: head.len(), sound_bytes: 0 }, &plain)?;
        let serials = List::truncated(who.serials);
        let head_bytes = u32::try_from(head.len()).unwrap_or(u32::MAX);
        let begin = Begin { charter, recorder: who.node, started, serials, head_bytes, head_digest };
        let proof = ProofWriter::begin(BufWriter::new(proof), begin)?;
        Ok(Take {
            who,
            room,
            title,
            tape,
            proof,
            head_digest,
            pre_skip,
            stage: Stage::default(),
            seats: vec![None; SPEAKERS_MAX],
            voices: BTreeMap::new(),
            keys: BTreeSet::new(),
            chapters: Vec::new(),
            marked: 0,
        })
    }

    /// Takes in what the room hands out, in the slot that it is now.
    ///
    /// # Errors
    /// [`TapeError`] where it cannot be written.
    pub fn hear(&mut self, recorded: Recorded, now: u64) -> Result<(), TapeError> {
        match recorded {
            Recorded::Charter(_) => Ok(()),
            Recorded::State { recording, head, stage } => self.state(recording, head, &stage, now),
            Recorded::Packet { packet, key, room_key, new } => self.packet(packet, &key, &room_key, new, now),
            Recorded::Beacon(beacon) => Ok(self.proof.put(&Record::Beacon { slot: number(now), beacon })?),
        }
    }

    fn state(&mut self, recording: bool, head: Statement, bytes: &Bytes, now: u64) -> Result<(), TapeError> {
        let stage = Stage::from_bytes(bytes).map_err(|_| io::Error::other("a stage list does not decode"))?;
        let names = stage.members().iter().filter(|member| member.claim.is_some()).map(|member| member.name.as_str());
        let title = match recording {
            true => format!("on stage: {}", names.collect::<Vec<_>>().join(", ")),
            false => "the room is not recorded".to_owned(),
        };
        if self.chapters.last().is_none_or(|last| last.title != title) && self.chapters.len() < CHAPTERS_MAX {
            self.chapters.push(Chapter { start: time_of(now), title });
        }
        self.stage = stage;
        let stage = Blob::truncated(bytes.to_vec());
        Ok(self.proof.put(&Record::State { slot: number(now), head, stage })?)
    }

    fn packet(&mut self, bytes: Bytes, key: &MediaKey, room_key: &RoomKey, new: u8, now: u64) -> Result<(), TapeError> {
        let Ok(packet) = Packet::parse(bytes) else { return Ok(()) };
        let header = *packet.header();
        let voice_key = VoiceKeyBytes::derive(&self.room, header.epoch, room_key, key);
        let Ok(voiced) = packet.open(&Shipped, &voice_key.cipher()) else { return Ok(()) };
        if self.keys.len() >= KEYS_MAX {
            // They are said again.
            self.keys.clear();
        }
        if self.keys.insert((header.epoch, header.voice)) {
            self.proof.put(&Record::Key { epoch: header.epoch, media: *key, key: voice_key })?;
        }
        let mut written = 0;
        for (at, (frame, opus)) in header.frames().zip(&voiced.frames).enumerate() {
            if new & (1 << at) != 0 && self.frame(&header, frame, opus, now)? {
                written |= 1 << at;
            }
        }
        let packet = Blob::truncated(packet.bytes().to_vec());
        Ok(self.proof.put(&Record::Packet { written, new, packet })?)
    }

    /// Puts a frame where it belongs; false where that is written already, or there is no track.
    fn frame(&mut self, header: &Header, frame: FrameNumber, opus: &Bytes, now: u64) -> Result<bool, TapeError> {
        let Some(mut voice) = self.placed(&header.voice, frame, now)? else { return Ok(false) };
        let slot = voice.slot_of(frame);
        let put = slot.filter(|slot| self.tape.put(voice.seat, *slot, opus));
        match put {
            Some(slot) => (voice.last, voice.late) = (voice.last.max(Some(slot)), 0),
            None => voice.late += 1,
        }
        self.voices.insert(header.voice, voice);
        if let (Some(slot), Some(Some(seat))) = (put, self.seats.get_mut(voice.seat)) {
            seat.used = seat.used.max(slot);
        }
        Ok(put.is_some())
    }

    /// Where a voice stands for a frame, chosen anew where it must be; none where all tracks are taken, or nobody knows whose it is.
    fn placed(&mut self, id: &VoiceId, frame: FrameNumber, now: u64) -> Result<Option<Voice>, TapeError> {
        let head = self.tape.head();
        let known = self.voices.get(id).copied();
        if let Some(voice) = known.filter(|voice| self.has_seat(voice) && !self.must_move(voice, frame, now)) {
            return Ok(Some(voice));
        }
        // Whoever has left the stage meanwhile may have last frames on their way.
        let Some(node) = self.stage.voice(id).map(|(node, _)| *node).or(known.map(|voice| voice.node)) else {
            return Ok(None);
        };
        let Some(seat) = self.seat(node, now) else { return Ok(None) };
        // Behind all that stands in the track: what was said first is heard first.
        let used = self.seats.get(seat).and_then(Option::as_ref).map_or(0, |seat| seat.used);
        let slot = now.max(head).max(if used > 0 { used + 1 } else { 0 });
        if slot >= head + AHEAD_MAX as u64 {
            return Ok(None);
        }
        let last = known.and_then(|voice| voice.last);
        let voice = Voice { node, seat, frame: frame.0, slot, last, late: 0 };
        if self.voices.len() >= VOICES_MAX && known.is_none() {
            let oldest = self.voices.iter().min_by_key(|(_, voice)| voice.last).map(|(id, _)| *id);
            self.voices.retain(|id, _| Some(*id) != oldest);
        }
        self.proof.put(&Record::Place { voice: *id, track: seat as u8, frame, slot: number(slot) })?;
        Ok(Some(voice))
    }

    /// Whether the track that a voice stood in is still its speaker's.
    fn has_seat(&self, voice: &Voice) -> bool {
        self.seats.get(voice.seat).and_then(Option::as_ref).is_some_and(|seat| seat.node == voice.node)
    }

    /// Whether a voice is out of step, and may be moved.
    fn must_move(&self, voice: &Voice, frame: FrameNumber, now: u64) -> bool {
        let head = self.tape.head();
        let Some(slot) = voice.slot_of(frame) else { return true };
        if slot >= head + AHEAD_MAX as u64 {
            return true;
        }
        let begins = voice.last.is_none_or(|last| last + PAUSE_SLOTS <= now && slot > last);
        let out_of_step = slot < head || slot > now + OUT_OF_STEP;
        out_of_step && begins || slot < head && voice.late >= OUT_OF_STEP
    }

    /// The track of whoever a voice is: its own, a free one, or that of somebody who has said nothing for longest.
    fn seat(&mut self, node: NodeId, now: u64) -> Option<usize> {
        let name = self.stage.get(&node).map_or_else(String::new, |member| member.name.to_string());
        let of = |seat: &Option<Seat>| seat.as_ref().is_some_and(|seat| seat.node == node);
        if let Some(at) = self.seats.iter().position(of) {
            return Some(at);
        }
        let free = self.seats.iter().position(Option::is_none);
        let idle = || {
            let used = |seat: &Option<Seat>| seat.as_ref().map(|seat| seat.used);
            let (at, used) = self.seats.iter().map(used).enumerate().min_by_key(|(_, used)| *used)?;
            used.is_none_or(|used| used + PAUSE_SLOTS <= now).then_some(at)
        };
        let at = free.or_else(idle)?;
        let used = self.seats.get(at)?.as_ref().map_or(0, |seat| seat.used);
        *self.seats.get_mut(at)? = Some(Seat { node, name, used });
        Some(at)
    }

    /// So many things were lost on the way to here.
    ///
    /// # Errors
    /// [`TapeError`] where it cannot be written.
    pub fn lost(&mut self, items: u32, now: u64) -> Result<(), TapeError> {
        Ok(self.proof.put(&Record::Lost { slot: number(now), items })?)
    }

    /// It is this slot now: writes what need not be waited for any more, and marks it when it is time.
    ///
    /// # Errors
    /// [`TapeError`] where it cannot be written.
    pub fn advance(&mut self, now: u64) -> Result<(), TapeError> {
        self.tape.advance(now.saturating_sub(HOLD_SLOTS))?;
        if self.tape.head() >= self.marked + MARK_SLOTS {
            self.mark()?;
        }
        Ok(())
    }

    /// Makes all that is written safe, and signs it: first the sound, then what proves it.
    fn mark(&mut self) -> Result<(), TapeError> {
        self.marked = self.tape.head();
        self.tape.flush()?;
        let progress = progress(self.tape.get_ref(), self.tape.head(), self.head_digest, false);
        self.proof.mark(progress, &self.room, &self.who.signer)?;
        self.proof.get_mut().flush()?;
        Ok(self.proof.get_mut().get_mut().sync()?)
    }

    /// Ends the recording: writes all that is there, names and chapters too. Returns both files.
    ///
    /// # Errors
    /// [`TapeError`] where it cannot be written.
    pub fn finish(mut self, now: u64) -> Result<(D, D), TapeError> {
        self.tape.advance(now)?;
        let head = head_bytes(&self.tracks())?;
        let slots = self.tape.head();
        let mut sound = self.tape.finish()?;
        sound.flush()?;
        let progress = progress(&sound, slots, Sha256::digest(&head).into(), true);
        self.proof.mark(progress, &self.room, &self.who.signer)?;
        self.proof.get_mut().flush()?;
        self.proof.get_mut().get_mut().sync()?;
        sound.file.get_mut().write_head(&head)?;
        let proof = self.proof.into_inner().into_inner().map_err(io::IntoInnerError::into_error)?;
        let sound = sound.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok((sound, proof))
    }

    fn tracks(&self) -> Vec<Track> {
        let name = |seat: &Option<Seat>| seat.as_ref().map_or_else(String::new, |seat| seat.name.clone());
        let names: Vec<String> = self.seats.iter().map(name).collect();
        tracks(&self.who.serials, self.pre_skip, &self.title, &names, &self.chapters)
    }
}

fn progress<D: Durable>(sound: &Hashed<D>, slots: u64, head_digest: [u8; 32], last: bool) -> Progress {
    let sound_digest = sound.hash.clone().finalize().into();
    Progress { slots: number(slots), sound_bytes: sound.sound_bytes, sound_digest, head_digest, last }
}

/// 32 bits of slots last 2.7 years.
fn number(slot: u64) -> u32 {
    u32::try_from(slot).unwrap_or(u32::MAX)
}

fn time_of(slot: u64) -> Duration {
    Duration::from_millis(20) * number(slot)
}
