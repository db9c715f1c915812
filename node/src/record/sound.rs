//! Compares the sound of a recording with what its proof says stands in it, and says what was done to it.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};
use treehouse_audio::{
    FRAME,
    record::{Line, SPEAKERS_MAX, TRACKS},
};

use super::{
    fault::{Fault, Slots},
    proof::{Begin, Progress},
};

/// Bytes behind the last mark of a recording that was broken off, at most: what is written between two marks.
const TAIL_BYTES_MAX: usize = 1 << 18;

/// What stands in each slot of each speaker's track.
pub type Expected = Vec<BTreeMap<u32, Vec<u8>>>;

/// One track as it is in the file: its packets, and where each page ends that says so.
#[derive(Default)]
struct Found {
    packets: Vec<Vec<u8>>,
    /// Index behind the last packet of a page, and its granule position.
    ends: Vec<(usize, u64)>,
}

/// All that is wrong with the sound; nothing where it is as its proof says.
pub fn compare(sound: &[u8], begin: &Begin, marks: &[Progress], expected: &Expected) -> Vec<Fault> {
    let Some(last) = marks.last() else { return vec![Fault::NothingMarked] };
    let head_bytes = begin.head_bytes as usize;
    let Some((head, body)) = sound.split_at_checked(head_bytes) else { return vec![Fault::NoSound] };
    if !same_streams(head, begin) {
        return vec![Fault::OtherRecording];
    }
    let mut faults = Vec::new();
    let digest: [u8; 32] = Sha256::digest(head).into();
    if digest != begin.head_digest && digest != last.head_digest {
        faults.push(Fault::Headers);
    }
    let intact = intact(body, marks);
    let whole = intact == marks.len();
    let tail_max = if last.last { 0 } else { TAIL_BYTES_MAX };
    if whole && body.len() as u64 > last.sound_bytes + tail_max as u64 {
        faults.push(Fault::Appended);
    }
    if !whole
        && (body.len() as u64) < last.sound_bytes
        && marks.get(intact).is_some_and(|mark| mark.sound_bytes > body.len() as u64)
    {
        let at = intact.checked_sub(1).and_then(|at| marks.get(at)).map_or(0, |mark| mark.slots);
        faults.push(Fault::CutEnd { at: Slots(at), of: Slots(last.slots) });
        return faults;
    }
    let body = body.get(..if whole { last.sound_bytes as usize } else { body.len() }).unwrap_or(body);
    // The mix has a packet in each slot: a mark that says more would have more reckoned than the file can hold.
    if u64::from(last.slots) > body.len() as u64 {
        faults.push(Fault::CutEnd { at: Slots(0), of: Slots(last.slots) });
        return faults;
    }
    let (found, reading) = read(body, begin);
    let before = faults.len();
    for (track, expected) in expected.iter().enumerate() {
        let Some(found) = found.get(track + 1) else { continue };
        faults.extend(track_fault(expected, found, last));
    }
    if whole {
        // As its recorder wrote it: then the recorder itself wrote something else than it proves.
        return faults;
    }
    let from = intact.checked_sub(1).and_then(|at| marks.get(at)).map_or(0, |mark| mark.slots);
    let to = marks.get(intact).map_or(last.slots, |mark| mark.slots);
    let (from, to) = (Slots(from), Slots(to));
    // What cannot be read hides what else was done.
    match reading {
        Reading::Whole if faults.len() == before => faults.push(Fault::Mix { from, to }),
        Reading::Whole => {}
        Reading::Broken => faults.splice(before.., [Fault::Altered { from, to }]).for_each(drop),
        Reading::Foreign => faults.splice(before.., [Fault::Foreign { from, to }]).for_each(drop),
    }
    faults
}

/// How many marks hold, from the first on.
fn intact(body: &[u8], marks: &[Progress]) -> usize {
    let (mut hash, mut at) = (Sha256::new(), 0);
    let holds = |mark: &&Progress| {
        let to = usize::try_from(mark.sound_bytes).unwrap_or(usize::MAX);
        let Some(piece) = body.get(at..to) else { return false };
        hash.update(piece);
        at = to;
        <[u8; 32]>::from(hash.clone().finalize()) == mark.sound_digest
    };
    marks.iter().take_while(holds).count()
}

/// Whether the file begins with the streams of this recording.
fn same_streams(head: &[u8], begin: &Begin) -> bool {
    // Bytes 14 to 17 of a page are its stream's number (RFC 3533, section 6); the first pages are those of the streams.
    let page = 28 + 19;
    let serial = |page: &[u8]| page.get(14..18).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes);
    begin.serials.iter().zip(head.chunks(page)).all(|(wanted, page)| serial(page) == Some(*wanted))
}

/// How far the pages behind the headers could be read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// All of them.
    Whole,
    /// Up to something that is no whole page of a recording.
    Broken,
    /// Up to a page of another file's stream.
    Foreign,
}

/// The packets of each track. Pages of a recording are simpler than others': no packet goes on in the next. And unlike readers that play, this
/// one begins in the middle of a file, and says where it cannot go on.
fn read(mut body: &[u8], begin: &Begin) -> (Vec<Found>, Reading) {
    let mut tracks: Vec<Found> = (0..TRACKS).map(|_| Found::default()).collect();
    while !body.is_empty() {
        let Some((page, rest)) = Page::take(body) else { return (tracks, Reading::Broken) };
        let at = begin.serials.iter().position(|serial| *serial == page.serial);
        let Some(track) = at.and_then(|at| tracks.get_mut(at)) else { return (tracks, Reading::Foreign) };
        track.packets.extend(page.packets);
        track.ends.push((track.packets.len(), page.granule));
        body = rest;
    }
    (tracks, Reading::Whole)
}

/// A page (RFC 3533, section 6) that whole packets stand in.
struct Page {
    serial: u32,
    granule: u64,
    packets: Vec<Vec<u8>>,
}

impl Page {
    fn take(bytes: &[u8]) -> Option<(Page, &[u8])> {
        let (header, rest) = bytes.split_first_chunk::<27>()?;
        let [
            b'O',
            b'g',
            b'g',
            b'S',
            0,
            flags,
            g0,
            g1,
            g2,
            g3,
            g4,
            g5,
            g6,
            g7,
            s0,
            s1,
            s2,
            s3,
            _,
            _,
            _,
            _,
            c0,
            c1,
            c2,
            c3,
            segments,
        ] = *header
        else {
            return None;
        };
        // Neither goes on with a packet nor begins a stream.
        if flags & 0b11 != 0 {
            return None;
        }
        let (lacing, rest) = rest.split_at_checked(usize::from(segments))?;
        let len = lacing.iter().map(|len| usize::from(*len)).sum();
        let (mut content, rest) = rest.split_at_checked(len)?;
        let mut plain = *header;
        plain[22..26].fill(0);
        let sum = [plain.as_slice(), lacing, content].into_iter().flatten().fold(0, |sum, byte| crc(sum, *byte));
        if sum != u32::from_le_bytes([c0, c1, c2, c3]) || lacing.last().is_none_or(|len| *len == 255) {
            return None;
        }
        let mut packets = Vec::new();
        for segments in lacing.split_inclusive(|len| *len < 255) {
            let (packet, behind) = content.split_at_checked(segments.iter().map(|len| usize::from(*len)).sum())?;
            packets.push(packet.to_vec());
            content = behind;
        }
        let granule = u64::from_le_bytes([g0, g1, g2, g3, g4, g5, g6, g7]);
        Some((Page { serial: u32::from_le_bytes([s0, s1, s2, s3]), granule, packets }, rest))
    }
}

/// The checksum of Ogg pages with one byte more.
fn crc(sum: u32, byte: u8) -> u32 {
    (0..8).fold(sum ^ u32::from(byte) << 24, |sum, _| sum << 1 ^ if sum >> 31 == 1 { 0x04c1_1db7 } else { 0 })
}

/// What a track holds as its proof says: from its first frame to the last slot.
fn reckon(expected: &BTreeMap<u32, Vec<u8>>, last: &Progress) -> (u32, Vec<Vec<u8>>) {
    let first = expected.keys().next().copied().unwrap_or(last.slots);
    let mut line = Line::default();
    let slots = (first..last.slots).filter_map(|slot| line.next(expected.get(&slot).map(Vec::as_slice)));
    let mut packets: Vec<Vec<u8>> = slots.map(std::borrow::Cow::into_owned).collect();
    if last.last {
        packets.push(Line::LAST.to_vec());
    }
    (first, packets)
}

fn track_fault(expected: &BTreeMap<u32, Vec<u8>>, found: &Found, last: &Progress) -> Option<Fault> {
    let (first, wanted) = reckon(expected, last);
    let slot = |at: usize| Slots(first.saturating_add(u32::try_from(at).unwrap_or(u32::MAX)));
    let have = &found.packets;
    if *have == wanted {
        let wrong = found.ends.iter().find(|(at, granule)| *granule != u64::from(slot(*at).0) * FRAME as u64);
        return wrong.map(|(at, _)| Fault::Shifted { at: slot(*at) });
    }
    let alike = wanted.iter().zip(have).take_while(|(a, b)| a == b).count();
    let (wanted_rest, have_rest) = (wanted.get(alike..)?, have.get(alike..)?);
    let alike_end = wanted_rest.iter().rev().zip(have_rest.iter().rev()).take_while(|(a, b)| a == b).count();
    let missing = wanted_rest.get(..wanted_rest.len() - alike_end)?;
    let instead = have_rest.get(..have_rest.len() - alike_end)?;
    let (from, to) = (slot(alike), slot(alike + missing.len()));
    let sorted = |packets: &[Vec<u8>]| {
        let mut sorted = packets.to_vec();
        sorted.sort_unstable();
        sorted
    };
    let known: BTreeSet<&Vec<u8>> = wanted.iter().collect();
    Some(match (missing.is_empty(), instead.is_empty()) {
        (false, true) if have_rest.is_empty() => Fault::CutEnd { at: from, of: Slots(last.slots) },
        (false, true) if alike == 0 => Fault::CutStart { to },
        (false, true) => Fault::CutMiddle { from, to },
        (true, false) => Fault::Inserted { at: from },
        _ if sorted(missing) == sorted(instead) => Fault::Reordered { from, to },
        _ if instead.len() < missing.len() && instead.iter().all(|packet| known.contains(packet)) => {
            if alike == 0 {
                Fault::CutStart { to }
            } else {
                Fault::CutMiddle { from, to }
            }
        }
        _ => Fault::Altered { from, to },
    })
}

/// An empty place for every speaker's track.
pub fn nothing_expected() -> Expected {
    vec![BTreeMap::new(); SPEAKERS_MAX]
}
