//! Whether a recording is what its speakers said: every signature in its proof, and the sound beside it.
//!
//! Trust goes from the charter, whose founder's key the room's id is the hash of, to the host's room states, from those to the speakers'
//! media keys, and from those to packets. The host's states say in which epochs the room was recorded, and a packet's own signature
//! covers its epoch: so what was said unrecorded cannot be among them. That nothing was changed since is what the recorder's marks say.

use std::collections::{BTreeMap, BTreeSet};

use treehouse_audio::record::SPEAKERS_MAX;
use treehouse_invite::{Beacon, Charter, RoomState, Stage, StateList};
use treehouse_wire::{
    Bytes, Epoch, MediaKey, NodeId, Packet, RoomId, Shipped, UnixSeconds, VoiceId, VoiceKeyBytes, control::Statement,
    decode, limits::SIGNED_BYTES_MAX,
};

use super::{
    fault::{Fault, Slots},
    proof::{Ending, Progress, Proof, ProofError, Record},
    sound::{self, Expected},
};

/// Slots from the flag's going up until the host's accounts are about recorded frames alone: two seconds.
const SETTLED_SLOTS: u32 = 100;
/// What the host counts stands within so many slots of its account: five seconds. It is of the second before, and may come late.
const APART_SLOTS: u32 = 250;
/// Louder than this somebody speaks, in -dBov, as in the protocol.
const SPEAKS: u8 = 60;
/// Pauses up to here are within what somebody says: half a second.
const PAUSE_SLOTS: u32 = 25;

/// Somebody who said something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Speaker {
    /// Who.
    pub node: NodeId,
    /// As the host's list names it.
    pub name: String,
    /// Its tracks in the file, 1 the first behind the mix.
    pub tracks: BTreeSet<u8>,
    /// Frames that stand in the file.
    pub frames: u64,
    /// Frames that came too late to stand in the file; they are in the proof.
    pub late: u64,
    /// When it spoke: from slot to slot.
    pub spoke: Vec<(Slots, Slots)>,
    /// How much the place of its voices was moved, in slots, up and down.
    pub moved: u64,
}

/// Frames that the host sent and that are not in the recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Whose.
    pub node: NodeId,
    /// About when.
    pub at: Slots,
    /// How many.
    pub frames: u32,
}

/// What a recording says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The room's charter.
    pub charter: Charter,
    /// The room.
    pub room: RoomId,
    /// Who recorded.
    pub recorder: NodeId,
    /// When it began, by the recorder's clock.
    pub started: UnixSeconds,
    /// Where it ends.
    pub end: Slots,
    /// Who said something, by when they first did.
    pub speakers: Vec<Speaker>,
    /// Frames that the host's accounts count and that should be in it.
    pub counted: u64,
    /// Those that are not.
    pub missing: Vec<Missing>,
    /// Accounts of the host that are missing between others.
    pub accounts_missing: u64,
    /// Things that whoever recorded was too slow for.
    pub lost: u64,
    /// What is wrong; nothing where it is genuine.
    pub faults: Vec<Fault>,
}

struct Voice {
    /// Whose it is: its place in the list of speakers.
    speaker: usize,
    key: MediaKey,
    /// This frame stands in this slot of this track.
    place: Option<(u32, u32, u8)>,
    /// The highest frame that stands in the file, and where.
    last: Option<(u32, u32)>,
    /// Frames that are in the proof, and where they stand in the sound.
    frames: BTreeMap<u32, Option<u32>>,
}

/// One walk through the records of a proof.
struct Walk<'a> {
    proof: &'a Proof,
    host: NodeId,
    /// Epochs that the host has signed as recorded.
    epochs: BTreeSet<Epoch>,
    voices: BTreeMap<VoiceId, Voice>,
    keys: BTreeMap<(Epoch, VoiceId), VoiceKeyBytes>,
    speakers: Vec<Speaker>,
    /// The slots in which each speaks.
    loud: Vec<BTreeSet<u32>>,
    expected: Expected,
    /// Since when the flag is up.
    up: Option<u32>,
    /// Accounts that are about recorded frames alone, one list for each time that the flag was up.
    accounts: Vec<Vec<(u32, Beacon)>>,
    lost: u64,
    faults: Vec<Fault>,
}

/// Says what a recording says, and what is wrong with it.
///
/// # Errors
/// [`ProofError`] where the proof is none.
pub fn verify(sound: &[u8], bytes: &[u8]) -> Result<Said, ProofError> {
    let proof = Proof::read(bytes)?;
    let marks: Vec<Progress> = proof.marks().copied().collect();
    let end = Slots(marks.last().map_or(0, |mark| mark.slots));
    let charter: Charter = decode(&proof.begin.charter.payload, SIGNED_BYTES_MAX).map_err(|_| ProofError::Beginning)?;
    let mut walk = Walk::new(&proof, charter.founder);
    if Charter::verify(&Shipped, &proof.begin.charter, &proof.room).is_err() {
        walk.faults.push(Fault::Charter);
    }
    walk.faults.extend(match proof.ending {
        Ending::Closed => None,
        Ending::Appended => Some(Fault::ProofAppended),
        Ending::Broken => Some(Fault::ProofAltered { at: end }),
        Ending::Open(_) if marks.is_empty() => Some(Fault::NothingMarked),
        Ending::Open(_) => Some(Fault::Unfinished { at: end }),
    });
    proof.records.iter().for_each(|record| walk.record(record));
    let (counted, missing, accounts_missing) = walk.reckon(end);
    if !marks.is_empty() {
        walk.faults.extend(sound::compare(sound, &proof.begin, &marks, &walk.expected));
    }
    let Walk { mut speakers, loud, lost, mut faults, .. } = walk;
    for (speaker, loud) in speakers.iter_mut().zip(&loud) {
        speaker.spoke = spans(loud);
    }
    // What is wrong in many places is said once.
    let mut said = Vec::new();
    faults.retain(|fault| {
        let kind = std::mem::discriminant(fault);
        let new = !said.contains(&kind);
        said.push(kind);
        new
    });
    Ok(Said {
        charter,
        room: proof.room,
        recorder: proof.begin.recorder,
        started: proof.begin.started,
        end,
        speakers,
        counted,
        missing,
        accounts_missing,
        lost,
        faults,
    })
}

impl<'a> Walk<'a> {
    fn new(proof: &'a Proof, host: NodeId) -> Self {
        Walk {
            proof,
            host,
            epochs: BTreeSet::new(),
            voices: BTreeMap::new(),
            keys: BTreeMap::new(),
            speakers: Vec::new(),
            loud: Vec::new(),
            expected: sound::nothing_expected(),
            up: None,
            accounts: Vec::new(),
            lost: 0,
            faults: Vec::new(),
        }
    }

    fn record(&mut self, record: &Record) {
        match record {
            Record::State { slot, head, stage } => self.state(*slot, head, stage),
            Record::Key { epoch, media, key } => drop(self.keys.insert((*epoch, media.voice()), key.clone())),
            Record::Place { voice, track, frame, slot } => self.place(voice, *track, frame.0, *slot),
            Record::Packet { written, new, packet } => self.packet(*written, *new, packet),
            Record::Beacon { slot, beacon } => self.account(*slot, beacon),
            Record::Lost { items, .. } => self.lost = self.lost.saturating_add(u64::from(*items)),
            // The first is not among these, and marks were looked at when the proof was read.
            Record::Begin(_) | Record::Mark { .. } => {}
        }
    }

    fn state(&mut self, slot: u32, head: &Statement, bytes: &[u8]) {
        let room = &self.proof.room;
        let state = RoomState::verify(&Shipped, head, room, &self.host).ok();
        let stage = Stage::from_bytes(bytes).ok().filter(|stage| stage.verify_claims(&Shipped, room));
        let both = state.zip(stage).filter(|(state, stage)| state.stage_digest == stage.digest());
        let Some((state, stage)) = both else { return self.faults.push(Fault::State { at: Slots(slot) }) };
        if state.recording {
            self.epochs.insert(state.epoch);
            if self.up.is_none() {
                self.up = Some(slot);
                self.accounts.push(Vec::new());
            }
        } else if self.up.take().is_some() {
            self.forget_accounts(slot);
        }
        for member in stage.members() {
            let Some(claim) = &member.claim else { continue };
            let speaker = self.speaker(member.node, member.name.as_str());
            let voice = Voice { speaker, key: claim.key, place: None, last: None, frames: BTreeMap::new() };
            self.voices.entry(claim.key.voice()).or_insert(voice);
        }
    }

    fn speaker(&mut self, node: NodeId, name: &str) -> usize {
        let at = self.speakers.iter().position(|speaker| speaker.node == node);
        at.unwrap_or_else(|| {
            let name = name.to_owned();
            let tracks = BTreeSet::new();
            self.speakers.push(Speaker { node, name, tracks, frames: 0, late: 0, spoke: Vec::new(), moved: 0 });
            self.loud.push(BTreeSet::new());
            self.speakers.len() - 1
        })
    }

    fn place(&mut self, voice: &VoiceId, track: u8, frame: u32, slot: u32) {
        let known = self.voices.get_mut(voice).filter(|_| usize::from(track) < SPEAKERS_MAX);
        let Some(voice) = known else { return self.faults.push(Fault::Stranger) };
        if let Some((frame_before, slot_before, _)) = voice.place.replace((frame, slot, track)) {
            let stood = i64::from(slot_before) + i64::from(frame) - i64::from(frame_before);
            if let Some(speaker) = self.speakers.get_mut(voice.speaker) {
                speaker.moved = speaker.moved.saturating_add(stood.abs_diff(i64::from(slot)));
            }
        }
    }

    fn packet(&mut self, written: u8, new: u8, bytes: &[u8]) {
        let Ok(packet) = Packet::parse(Bytes::copy_from_slice(bytes)) else { return self.faults.push(Fault::Stranger) };
        let header = *packet.header();
        let key = self.keys.get(&(header.epoch, header.voice));
        let (Some(voice), Some(key)) = (self.voices.get_mut(&header.voice), key) else {
            return self.faults.push(Fault::Stranger);
        };
        let Some(speaker) = self.speakers.get_mut(voice.speaker) else { return };
        let (name, frame) = (speaker.name.clone(), header.first.0);
        let (signed, recorded) =
            (packet.verify(&Shipped, &self.proof.room, &voice.key), self.epochs.contains(&header.epoch));
        self.faults.extend(match (signed, recorded) {
            (false, _) => Some(Fault::Forged { name: name.clone(), frame }),
            (true, false) => Some(Fault::Unrecorded { name: name.clone(), frame }),
            (true, true) => None,
        });
        let Ok(voiced) = packet.open(&Shipped, &key.cipher()) else { return self.faults.push(Fault::Stranger) };
        let said = signed && recorded;
        for (at, (frame, opus)) in header.frames().zip(&voiced.frames).enumerate() {
            if said {
                voice.frames.entry(frame.0).or_default();
            }
            if written & (1 << at) == 0 {
                speaker.late += u64::from(said && new & (1 << at) != 0);
                continue;
            }
            let Some((slot, track)) = voice.stands(frame.0) else {
                self.faults.push(Fault::Disordered { name: name.clone(), at: Slots(0) });
                continue;
            };
            let again = self.expected.get_mut(usize::from(track)).and_then(|of| of.insert(slot, opus.to_vec()));
            if again.is_some() || !voice.in_order(frame.0, slot) {
                self.faults.push(Fault::Disordered { name: name.clone(), at: Slots(slot) });
            }
            // What is not signed is compared with the sound as well, but nobody said it.
            if said {
                voice.frames.insert(frame.0, Some(slot));
                speaker.frames += 1;
                speaker.tracks.insert(track.saturating_add(1));
                if voiced.level.minus_dbov() <= SPEAKS {
                    self.loud.get_mut(voice.speaker).map(|loud| loud.insert(slot));
                }
            }
        }
    }

    fn account(&mut self, slot: u32, statement: &Statement) {
        let Ok(beacon) = Beacon::verify(&Shipped, statement, &self.proof.room, &self.host) else {
            return self.faults.push(Fault::Account { at: Slots(slot) });
        };
        if self.up.is_some_and(|up| slot >= up.saturating_add(SETTLED_SLOTS))
            && let Some(accounts) = self.accounts.last_mut()
        {
            accounts.push((slot, beacon));
        }
    }

    /// What the host counted last before the end was still on its way.
    fn forget_accounts(&mut self, end: u32) {
        if let Some(accounts) = self.accounts.last_mut() {
            accounts.retain(|(slot, _)| slot.saturating_add(PAUSE_SLOTS) < end);
        }
    }

    /// Frames that the host counts, those of them that are missing, and how many accounts are.
    fn reckon(&mut self, end: Slots) -> (u64, Vec<Missing>, u64) {
        self.forget_accounts(end.0);
        let (mut counted, mut missing, mut accounts_missing) = (0, Vec::new(), 0);
        for (slot, beacon) in self.accounts.iter().flatten() {
            for carried in beacon.carried.iter().filter(|carried| carried.first <= carried.last) {
                counted += u64::from(carried.count);
                let Some(voice) = self.voices.get(&carried.voice) else { continue };
                let Some(speaker) = self.speakers.get(voice.speaker) else { continue };
                let have = voice.frames.range(carried.first.0..=carried.last.0);
                let frames = carried.count.saturating_sub(u32::try_from(have.clone().count()).unwrap_or(u32::MAX));
                if frames > 0 {
                    missing.push(Missing { node: speaker.node, at: Slots(*slot), frames });
                }
                if have.filter_map(|(_, stands)| *stands).any(|stands| stands.abs_diff(*slot) > APART_SLOTS) {
                    self.faults.push(Fault::Displaced { name: speaker.name.clone(), at: Slots(*slot) });
                }
            }
        }
        for pair in self.accounts.iter().flat_map(|accounts| accounts.windows(2)) {
            let [(_, before), (_, after)] = pair else { continue };
            accounts_missing += u64::from(after.number.saturating_sub(before.number).saturating_sub(1));
        }
        (counted, missing, accounts_missing)
    }
}

impl Voice {
    /// In which slot of which track a frame stands.
    fn stands(&self, frame: u32) -> Option<(u32, u8)> {
        let (at, slot, track) = self.place?;
        let slot = u32::try_from(i64::from(slot) + i64::from(frame) - i64::from(at)).ok()?;
        Some((slot, track))
    }

    /// Whether a frame stands behind those before it and before those behind it.
    fn in_order(&mut self, frame: u32, slot: u32) -> bool {
        match self.last {
            Some((highest, at)) if frame <= highest => slot < at,
            Some((_, at)) if slot <= at => false,
            _ => {
                self.last = Some((frame, slot));
                true
            }
        }
    }
}

/// Slots as spans, with pauses that are within what somebody says.
fn spans(slots: &BTreeSet<u32>) -> Vec<(Slots, Slots)> {
    let mut spans: Vec<(Slots, Slots)> = Vec::new();
    for slot in slots {
        match spans.last_mut() {
            Some((_, to)) if *slot <= to.0.saturating_add(PAUSE_SLOTS) => *to = Slots(slot.saturating_add(1)),
            _ => spans.push((Slots(*slot), Slots(slot.saturating_add(1)))),
        }
    }
    spans
}
