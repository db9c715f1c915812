//! Recordings of a made-up room: what they say, and that whatever is done to them is noticed and named.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    sync::{Arc, Mutex, OnceLock},
};

use treehouse_audio::{FRAME, encode::VoiceEncoder, record::TRACKS};
use treehouse_invite::{
    Beacon, Carried, Charter, MediaClaim, Policy, Protection, Role, RoomState, Stage, StageMember, StateList,
};
use treehouse_room::Recorded;
use treehouse_wire::{
    Bytes, CaptureTime, Epoch, FrameNumber, FramesPerPacket, Header, Level, List, MediaKey, NodeId, Packet, RoomId,
    RoomKey, Shipped, Signature, Suite, UnixSeconds, VoiceKeyBytes,
    control::{Name, Statement},
};

mod vector;

use super::{
    fault::{Fault, Slots},
    proof::{Ending, Proof, ProofError, Record},
    take::{Durable, HOLD_SLOTS, MARK_SLOTS, Take, Who},
    verify::{Said, verify},
};

const HOST: [u8; 32] = [1; 32];
const ANN: [u8; 32] = [2; 32];
const BOB: [u8; 32] = [3; 32];
const RECORDER: [u8; 32] = [4; 32];
const RECORDED: Epoch = Epoch { term: 0, number: 7 };
const ROOM_KEY: RoomKey = RoomKey([9; 32]);

fn node(seed: &[u8; 32]) -> NodeId {
    NodeId(Shipped.public_key(&Shipped.signer(seed)))
}

/// A speaker's media seed.
fn media(seed: &[u8; 32]) -> [u8; 32] {
    seed.map(|byte| byte + 100)
}

fn media_key(seed: &[u8; 32]) -> MediaKey {
    MediaKey(Shipped.public_key(&Shipped.signer(&media(seed))))
}

fn charter() -> Charter {
    Charter {
        founder: node(&HOST),
        salt: [5; 16],
        title: Name::cleaned("Tea"),
        policy: Policy::Social,
        successors: List::default(),
    }
}

fn room() -> RoomId {
    charter().room()
}

fn stage(who: &[(&[u8; 32], &str)]) -> Stage {
    let member = |(seed, name): &(&[u8; 32], &str)| StageMember {
        node: node(seed),
        role: Role::Speaker,
        name: Name::cleaned(name),
        claim: Some(MediaClaim::sign(&Shipped, &Shipped.signer(seed), &room(), &node(seed), media_key(seed))),
    };
    Stage::new(who.iter().map(member).collect()).expect("a stage")
}

fn state(version: u32, recording: bool, epoch: Epoch, stage: &Stage) -> Recorded {
    let state = RoomState {
        host: node(&HOST),
        term: 0,
        version,
        epoch,
        protection: Protection::Off,
        frames_per_packet: 1,
        recording,
        co_root: None,
        members: 3,
        stage_digest: stage.digest(),
        bans_digest: [0; 32],
        key_digest: ROOM_KEY.digest(&room(), epoch),
    };
    let head = state.sign(&Shipped, &Shipped.signer(&HOST), &room());
    Recorded::State { recording, head, stage: stage.to_bytes().into() }
}

/// Seals frames as `seed` would.
fn seal(seed: &[u8; 32], signer: &[u8; 32], epoch: Epoch, first: u32, frames: &[Bytes]) -> Bytes {
    let key = VoiceKeyBytes::derive(&room(), epoch, &ROOM_KEY, &media_key(seed)).cipher();
    let header = Header {
        k: FramesPerPacket::from_count(frames.len() as u8).expect("1 or 3"),
        epoch,
        voice: media_key(seed).voice(),
        first: FrameNumber(first),
        captured: CaptureTime(u64::from(first) * FRAME as u64),
    };
    let level = Level::from_minus_dbov(20);
    let packet = Packet::seal(&Shipped, &room(), &Shipped.signer(signer), &key, header, level, frames);
    packet.expect("a packet").bytes().clone()
}

fn packet(seed: &[u8; 32], first: u32, frames: &[Bytes]) -> Recorded {
    let packet = seal(seed, &media(seed), RECORDED, first, frames);
    Recorded::Packet { packet, key: media_key(seed), room_key: ROOM_KEY, new: (1 << frames.len()) - 1 }
}

fn beacon(number: u32, carried: &[(&[u8; 32], u32, u32)]) -> Recorded {
    let carried = carried.iter().map(|(seed, first, last)| Carried {
        voice: media_key(seed).voice(),
        first: FrameNumber(*first),
        last: FrameNumber(*last),
        count: last - first + 1,
    });
    let beacon = Beacon { state: (0, 1), number, chosen: List::default(), carried: List::truncated(carried) };
    Recorded::Beacon(beacon.sign(&Shipped, &Shipped.signer(&HOST), &room()))
}

/// Frames of a tone, each different.
fn tone(pitch: f32) -> Vec<Bytes> {
    let mut encoder = VoiceEncoder::new().expect("the codec works");
    let frame =
        |n: usize| std::array::from_fn(|i| 0.3 * ((n * FRAME + i) as f32 * pitch * (1.0 + n as f32 * 0.003)).sin());
    (0..600).filter_map(|n| encoder.encode(&frame(n)).expect("a frame").1).collect()
}

fn tones() -> &'static [Vec<Bytes>; 2] {
    static TONES: OnceLock<[Vec<Bytes>; 2]> = OnceLock::new();
    TONES.get_or_init(|| [tone(0.02), tone(0.05)])
}

fn who(serial: u32) -> Who {
    let serials = std::array::from_fn(|track| serial + track as u32);
    Who { node: node(&RECORDER), signer: Shipped.signer(&RECORDER), serials }
}

fn begin(serial: u32) -> Take<Vec<u8>> {
    begin_in((Vec::new(), Vec::new()), serial)
}

fn begin_in<D: Durable>(files: (D, D), serial: u32) -> Take<D> {
    let statement = charter().sign(&Shipped, &Shipped.signer(&HOST));
    let of = (room(), statement, "Tea".to_owned());
    Take::begin(files, who(serial), of, UnixSeconds(1_795_883_940)).expect("memory")
}

/// A file whose content outlives whoever writes it.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Kept {
    fn bytes(&self) -> Vec<u8> {
        self.0.lock().expect("no panic").clone()
    }
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Durable for Kept {
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn write_head(&mut self, head: &[u8]) -> io::Result<()> {
        self.0.lock().expect("no panic").write_head(head)
    }
}

/// A talk of eight seconds: Ann throughout, one frame a packet, from her frame 300 on; Bob three frames a packet from 2 s to 4 s. `edit`
/// may change what is handed out, or leave it out.
fn talk(serial: u32, edit: impl Fn(u64, Recorded) -> Option<Recorded>) -> Take<Vec<u8>> {
    talk_into(begin(serial), edit)
}

fn talk_into<D: Durable>(mut take: Take<D>, edit: impl Fn(u64, Recorded) -> Option<Recorded>) -> Take<D> {
    let both = stage(&[(&ANN, "Ann"), (&BOB, "Bob")]);
    let hear = |take: &mut Take<D>, slot, recorded| {
        if let Some(recorded) = edit(slot, recorded) {
            take.hear(recorded, slot).expect("memory");
        }
    };
    hear(&mut take, 0, state(1, true, RECORDED, &both));
    let [ann, bob] = tones();
    for slot in 0..400_u32 {
        let now = u64::from(slot);
        hear(&mut take, now, packet(&ANN, 300 + slot, &ann[slot as usize..][..1]));
        if (100..200).contains(&slot) && slot % 3 == 2 {
            // Frames 3n to 3n + 2 come when the last is captured.
            hear(&mut take, now, packet(&BOB, slot - 2, &bob[slot as usize - 2..][..3]));
        }
        if slot % 50 == 49 {
            let mut carried = vec![(&ANN, 300 + slot - 49, 300 + slot)];
            if slot == 149 {
                carried.push((&BOB, 99, 149));
            }
            hear(&mut take, now, beacon(slot / 50, &carried));
        }
        take.advance(now).expect("memory");
    }
    take
}

/// A genuine recording.
fn genuine() -> &'static (Vec<u8>, Vec<u8>) {
    static GENUINE: OnceLock<(Vec<u8>, Vec<u8>)> = OnceLock::new();
    GENUINE.get_or_init(|| talk(1000, |_, recorded| Some(recorded)).finish(400).expect("memory"))
}

fn check(sound: &[u8], proof: &[u8]) -> Said {
    verify(sound, proof).expect("a proof")
}

/// Pages behind the headers: where each begins, and its stream.
fn pages(sound: &[u8]) -> Vec<(usize, u32)> {
    let head = Proof::read(&genuine().1).expect("a proof").begin.head_bytes as usize;
    let (mut at, mut pages) = (head, Vec::new());
    while at < sound.len() {
        let page = &sound[at..];
        pages.push((at, u32::from_le_bytes(page[14..18].try_into().expect("four"))));
        let segments = usize::from(page[26]);
        at += 27 + segments + page[27..27 + segments].iter().map(|len| usize::from(*len)).sum::<usize>();
    }
    pages.push((at, 0));
    pages
}

/// The sound without some of its pages.
fn without(sound: &[u8], drop: impl Fn(usize) -> bool) -> Vec<u8> {
    let pages = pages(sound);
    let mut kept = sound[..pages[0].0].to_vec();
    for (n, pair) in pages.windows(2).enumerate().filter(|(n, _)| !drop(*n)) {
        let _ = n;
        kept.extend(&sound[pair[0].0..pair[1].0]);
    }
    kept
}

#[test]
fn a_genuine_recording_says_who_spoke_when_and_that_nothing_is_missing() {
    let (sound, proof) = genuine();
    let said = check(sound, proof);
    assert_eq!(said.faults, []);
    assert_eq!((said.end, said.charter.title.as_str(), said.recorder), (Slots(400), "Tea", node(&RECORDER)));
    let spoke: Vec<_> =
        said.speakers.iter().map(|of| (of.name.as_str(), of.node, of.frames, of.late, &of.spoke[..])).collect();
    assert_eq!(spoke.len(), 2);
    assert!(spoke.contains(&("Ann", node(&ANN), 400, 0, &[(Slots(0), Slots(400))])));
    // Three frames that come together stand from the slot on in which they come.
    assert!(spoke.contains(&("Bob", node(&BOB), 99, 0, &[(Slots(101), Slots(200))])), "{spoke:?}");
    assert_eq!((said.counted, said.missing.len(), said.accounts_missing, said.lost), (351 - 50, 0, 0, 0));
}

#[test]
fn what_was_lost_on_its_way_is_told_from_what_was_cut_afterwards() {
    // Frames 310 to 319 of Ann, in the fifth second, never came: that is in the proof.
    let lost = |slot, recorded| {
        (!(210..220).contains(&slot) || !matches!(recorded, Recorded::Packet { .. })).then_some(recorded)
    };
    let (sound, proof) = talk(1000, lost).finish(400).expect("memory");
    let said = check(&sound, &proof);
    assert_eq!(said.faults, [], "a genuine recording of what came");
    assert_eq!((said.missing.len(), said.missing[0].frames, said.missing[0].at), (1, 10, Slots(249)));
    // The host's account of that second did not come either: then they are missing without being counted.
    let lost = |slot, recorded| {
        let gone = (210..220).contains(&slot) && matches!(recorded, Recorded::Packet { .. });
        (!(gone || slot == 249 && matches!(recorded, Recorded::Beacon(_)))).then_some(recorded)
    };
    let (sound, proof) = talk(1000, lost).finish(400).expect("memory");
    let said = check(&sound, &proof);
    assert_eq!((said.missing.len(), said.accounts_missing, said.faults.len()), (0, 1, 0));
}

/// Whether a fault is the one that something was done.
type Names = fn(&Fault) -> bool;

#[test]
fn each_way_to_tamper_with_the_sound_has_its_own_sentence() {
    let (sound, proof) = genuine();
    let pages = pages(sound);
    let count = pages.len() - 1;
    let of = |n: usize| pages[n].1 - 1000;
    let flip = |at: usize| {
        let mut sound = sound.clone();
        sound[at] ^= 1;
        sound
    };
    // Two pages of Ann in each other's place, numbered as if they had been so.
    let ann: Vec<usize> = (0..count).filter(|n| of(*n) == 1).collect();
    let swapped = {
        let page = |n: usize| &sound[pages[n].0..pages[n + 1].0];
        let mut all: Vec<Vec<u8>> = (0..count).map(|n| page(n).to_vec()).collect();
        all.swap(ann[3], ann[4]);
        let mut swapped = sound[..pages[0].0].to_vec();
        swapped.extend(all.concat());
        swapped
    };
    let (other, _) = talk(5000, |_, recorded| Some(recorded)).finish(400).expect("memory");
    let mixed =
        [&sound[..pages[ann[4]].0], &other[pages[ann[4]].0..pages[ann[4] + 1].0], &sound[pages[ann[4] + 1].0..]]
            .concat();
    let appended = [&sound[..], &sound[pages[count - 1].0..]].concat();
    let twice = {
        let mut twice = sound[..pages[ann[4]].0].to_vec();
        twice.extend(&sound[pages[ann[3]].0..pages[ann[3] + 1].0]);
        twice.extend(&sound[pages[ann[4]].0..]);
        twice
    };
    let cases: Vec<(&str, Vec<u8>, Names)> = vec![
        ("a flipped bit", flip(pages[ann[5]].0 + 200), |fault| matches!(fault, Fault::Altered { .. })),
        ("the first pages", without(sound, |n| n < 6), |fault| matches!(fault, Fault::CutStart { .. })),
        ("a page in the middle", without(sound, |n| n == ann[4]), |fault| matches!(fault, Fault::CutMiddle { .. })),
        ("pages in the middle", without(sound, |n| (12..20).contains(&n)), |fault| {
            matches!(fault, Fault::CutMiddle { .. })
        }),
        ("the last pages", without(sound, |n| n + 20 > count), |fault| matches!(fault, Fault::CutEnd { .. })),
        ("the last bytes", sound[..sound.len() - 5000].to_vec(), |fault| matches!(fault, Fault::CutEnd { .. })),
        ("all but the headers", sound[..pages[0].0].to_vec(), |fault| matches!(fault, Fault::CutEnd { .. })),
        ("another order", swapped, |fault| matches!(fault, Fault::Reordered { .. })),
        ("another recording", other, |fault| matches!(fault, Fault::OtherRecording)),
        ("a page of another", mixed, |fault| matches!(fault, Fault::Foreign { .. })),
        ("more behind the end", appended, |fault| matches!(fault, Fault::Appended)),
        ("a page twice", twice, |fault| matches!(fault, Fault::Inserted { .. })),
        ("a name", flip(1500), |fault| matches!(fault, Fault::Headers)),
        ("nothing at all", Vec::new(), |fault| matches!(fault, Fault::NoSound)),
    ];
    let mut sentences = BTreeMap::new();
    for (what, sound, wanted) in cases {
        let faults = check(&sound, proof).faults;
        assert!(faults.iter().any(wanted), "{what}: {faults:?}");
        sentences.insert(what, faults[0].to_string());
    }
    assert!(sentences["the first pages"].contains("beginning of the recording was cut off"), "{sentences:?}");
}

#[test]
fn a_mix_that_was_changed_is_named_where_the_speakers_are_genuine() {
    let (sound, proof) = genuine();
    let pages = pages(sound);
    let mix = (0..pages.len() - 1).filter(|n| pages[*n].1 == 1000).nth(4).expect("a page");
    let faults = check(&without(sound, |n| n == mix), proof).faults;
    assert!(matches!(faults[..], [Fault::Mix { from, to }] if from < to), "{faults:?}");
}

#[test]
fn a_proof_that_was_altered_cut_or_exchanged_is_named() {
    let (sound, proof) = genuine();
    let faults = |proof: &[u8]| check(sound, proof).faults;
    let marks: Vec<usize> = ends(proof);
    // Cut behind a mark: as a crash leaves it, and the sound goes on without it.
    let cut = faults(&proof[..marks[5]]);
    assert!(
        cut.iter().any(|fault| matches!(fault, Fault::Unfinished { at } if *at == Slots(6 * MARK_SLOTS as u32))),
        "{cut:?}"
    );
    // Cut anywhere, the beginning away, a record twice, one left out.
    let mut short = proof.clone();
    short.drain(marks[2]..marks[3]);
    assert!(faults(&short).iter().any(|fault| matches!(fault, Fault::ProofAltered { .. })));
    let mut turned = proof[..marks[2]].to_vec();
    turned.extend(&proof[marks[3]..marks[4]]);
    turned.extend(&proof[marks[2]..marks[3]]);
    turned.extend(&proof[marks[4]..]);
    assert!(faults(&turned).iter().any(|fault| matches!(fault, Fault::ProofAltered { .. })));
    let longer = [&proof[..], &[0]].concat();
    assert!(faults(&longer).contains(&Fault::ProofAppended));
    assert_eq!(verify(sound, &proof[100..]).err(), Some(ProofError::NotOne));
    assert_eq!(verify(sound, &proof[..16]).err(), Some(ProofError::Beginning));
    let mut newer = proof.clone();
    newer[15] = 2;
    assert_eq!(verify(sound, &newer).err(), Some(ProofError::Version));
    let (_, other) = talk(5000, |_, recorded| Some(recorded)).finish(400).expect("memory");
    assert!(faults(&other).contains(&Fault::OtherRecording));
}

/// Where each mark of a proof ends.
fn ends(proof: &[u8]) -> Vec<usize> {
    let (mut at, mut ends) = (16, Vec::new());
    while at + 3 <= proof.len() {
        let len = usize::from(u16::from_be_bytes([proof[at], proof[at + 1]]));
        // The number of the variant comes first.
        if proof[at + 2] == 7 {
            ends.push(at + 2 + len);
        }
        at += 2 + len;
    }
    ends
}

#[test]
fn whoever_records_cannot_make_up_what_others_sign() {
    let faults = |edit: &dyn Fn(u64, Recorded) -> Option<Recorded>| {
        let (sound, proof) = talk(1000, edit).finish(400).expect("memory");
        check(&sound, &proof).faults
    };
    let [ann, _] = tones();
    let at_200 = |with: Recorded| {
        move |slot, recorded| match recorded {
            Recorded::Packet { .. } if slot == 205 => Some(with.clone()),
            recorded => Some(recorded),
        }
    };
    let forged = seal(&ANN, &media(&BOB), RECORDED, 505, &ann[3..4]);
    let forged = Recorded::Packet { packet: forged, key: media_key(&ANN), room_key: ROOM_KEY, new: 1 };
    assert_eq!(faults(&at_200(forged)), [Fault::Forged { name: "Ann".to_owned(), frame: 505 }]);
    let before = seal(&ANN, &media(&ANN), Epoch { term: 0, number: 6 }, 505, &ann[3..4]);
    let before = Recorded::Packet { packet: before, key: media_key(&ANN), room_key: ROOM_KEY, new: 1 };
    assert_eq!(faults(&at_200(before)), [Fault::Unrecorded { name: "Ann".to_owned(), frame: 505 }]);
    // A state that says that the room was recorded, and is not the host's.
    let own = |slot, recorded| match recorded {
        Recorded::State { recording, mut head, stage } if slot == 0 => {
            head.signature = Signature([7; 64]);
            Some(Recorded::State { recording, head, stage })
        }
        recorded => Some(recorded),
    };
    assert!(faults(&own).contains(&Fault::State { at: Slots(0) }));
    let account = |_, recorded| match recorded {
        Recorded::Beacon(Statement { payload, .. }) => {
            Some(Recorded::Beacon(Statement { payload, signature: Signature([7; 64]) }))
        }
        recorded => Some(recorded),
    };
    assert!(faults(&account).iter().any(|fault| matches!(fault, Fault::Account { .. })));
}

#[test]
fn a_recording_that_is_broken_off_anywhere_is_proved_up_to_its_last_mark() {
    let files = (Kept::default(), Kept::default());
    std::mem::forget(talk_into(begin_in(files.clone(), 1000), |_, recorded| Some(recorded)));
    let (sound, proof) = (files.0.bytes(), files.1.bytes());
    // As a kill leaves them: sound behind the last mark, and a proof cut off anywhere.
    for cut in [0, 1, 77, 700] {
        let said = check(&sound, &proof[..proof.len() - cut]);
        let [Fault::Unfinished { at }] = said.faults[..] else { panic!("{cut}: {:?}", said.faults) };
        assert!(u64::from(at.0) + HOLD_SLOTS + 2 * MARK_SLOTS >= 400, "less than a second is gone: {at}");
        let ann = said.speakers.iter().find(|speaker| speaker.name == "Ann").expect("she spoke");
        assert!(ann.frames >= u64::from(at.0), "{} of {at}", ann.frames);
    }
    let first = ends(&proof)[0];
    assert!(check(&sound, &proof[..first - 1]).faults.contains(&Fault::NothingMarked));
    assert!(matches!(Proof::read(&proof).expect("a proof").ending, Ending::Open(_)));
}

#[test]
fn random_alterations_are_all_noticed() {
    let (sound, proof) = genuine();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % below as u64) as usize
    };
    let mut kinds = BTreeMap::new();
    for n in 0..120 {
        let in_proof = n % 2 == 1;
        let mut bytes = if in_proof { proof.clone() } else { sound.clone() };
        let (at, len) = (next(bytes.len() - 400), 1 + next(300));
        let what = match n / 2 % 5 {
            0 => {
                bytes[at] ^= 1 << next(8);
                "a bit"
            }
            1 => {
                bytes.drain(at..at + len);
                "bytes cut out"
            }
            2 => {
                bytes.truncate(at);
                "the end cut off"
            }
            3 => {
                let piece = bytes[at..at + len].to_vec();
                bytes.splice(at..at, piece);
                "bytes twice"
            }
            _ => {
                bytes[at..at + len].rotate_left(len / 2 + 1);
                "bytes in another order"
            }
        };
        if bytes == *if in_proof { proof } else { sound } {
            continue;
        }
        let noticed = match if in_proof { verify(sound, &bytes) } else { verify(&bytes, proof) } {
            Ok(said) => said.faults.first().map(Fault::to_string),
            Err(error) => Some(error.to_string()),
        };
        assert!(
            noticed.is_some(),
            "{what} at {at} of {} went unnoticed",
            if in_proof { "the proof" } else { "the sound" }
        );
        *kinds.entry(what).or_insert(0) += 1;
    }
    println!("noticed: {kinds:?}");
    assert!(kinds.len() == 5 && kinds.values().sum::<i32>() >= 110, "{kinds:?}");
}

#[test]
fn who_comes_late_speaks_early_or_drifts_keeps_its_order() {
    let mut take = begin(1000);
    let all = stage(&[(&ANN, "Ann")]);
    take.hear(state(1, true, RECORDED, &all), 0).expect("memory");
    let [ann, _] = tones();
    // The way becomes 400 ms longer in the middle; then a clock that runs fast brings frames ever earlier, until there is a pause.
    for n in 0..500_u32 {
        let at = match n {
            0..200 => n,
            200..300 => n + 20,
            _ => 320 + (n - 300) * 7 / 8,
        };
        if (400..450).contains(&n) {
            continue;
        }
        take.advance(u64::from(at)).expect("memory");
        take.hear(packet(&ANN, n, &ann[n as usize..][..1]), u64::from(at)).expect("memory");
    }
    let (sound, proof) = take.finish(600).expect("memory");
    let said = check(&sound, &proof);
    assert_eq!(said.faults, []);
    let ann = &said.speakers[0];
    assert_eq!(ann.frames + ann.late, 450);
    assert!(ann.late > 0 && ann.late <= 20, "{}", ann.late);
    assert!(ann.moved >= 30, "{}", ann.moved);
}

#[test]
fn a_voice_that_is_put_at_another_time_than_the_host_says_is_named() {
    for (later, named) in [(100, false), (400, true)] {
        let mut take = begin(1000);
        take.hear(state(1, true, RECORDED, &stage(&[(&ANN, "Ann")])), 0).expect("memory");
        let [ann, _] = tones();
        for slot in 0..600_u32 {
            take.advance(u64::from(slot)).expect("memory");
            if slot >= 100 && slot % 50 == 49 && slot < 300 {
                take.hear(beacon(slot / 50, &[(&ANN, slot - 49, slot)]), u64::from(slot)).expect("memory");
            }
            if let Some(frame) = slot.checked_sub(later).filter(|frame| *frame < 200) {
                take.hear(packet(&ANN, frame, &ann[frame as usize..][..1]), u64::from(slot)).expect("memory");
            }
        }
        let (sound, proof) = take.finish(600).expect("memory");
        let faults = check(&sound, &proof).faults;
        assert_eq!(faults.iter().any(|fault| matches!(fault, Fault::Displaced { .. })), named, "{later}: {faults:?}");
    }
}

#[test]
fn a_thirteenth_speaker_takes_the_track_of_who_has_been_silent_longest() {
    let seeds: Vec<[u8; 32]> = (10..23).map(|n| [n; 32]).collect();
    let members: Vec<(&[u8; 32], &str)> = seeds.iter().map(|seed| (seed, "x")).collect();
    let mut take = begin(1000);
    take.hear(state(1, true, RECORDED, &stage(&members)), 0).expect("memory");
    let [ann, _] = tones();
    for (n, seed) in seeds.iter().enumerate() {
        for frame in 0..10 {
            let now = 10 * n as u64 + u64::from(frame);
            take.advance(now).expect("memory");
            take.hear(packet(seed, frame, &ann[frame as usize..][..1]), now).expect("memory");
        }
    }
    // The first comes again, and takes the second's.
    take.hear(packet(&seeds[0], 200, &ann[20..21]), 200).expect("memory");
    let (sound, proof) = take.finish(220).expect("memory");
    let said = check(&sound, &proof);
    assert_eq!(said.faults, []);
    assert!(said.speakers.iter().all(|speaker| speaker.frames >= 10), "{:?}", said.speakers);
    let tracks =
        said.speakers.iter().find(|speaker| speaker.node == node(&seeds[0])).map(|speaker| speaker.tracks.len());
    assert_eq!((tracks, TRACKS), (Some(2), 13));
}

#[test]
fn records_read_back_as_they_were_written() {
    let proof = Proof::read(&genuine().1).expect("a proof");
    assert_eq!(proof.ending, Ending::Closed);
    let kinds = |kind: fn(&Record) -> bool| proof.records.iter().filter(|record| kind(record)).count();
    assert_eq!(kinds(|record| matches!(record, Record::Key { .. })), 2);
    assert_eq!(kinds(|record| matches!(record, Record::Packet { .. })), 400 + 33);
    assert!(kinds(|record| matches!(record, Record::Mark { .. })) >= 19);
}
