//! The proof's bytes: the vector, and what is no proof.

use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use treehouse_wire::{Blob, encode};

use super::*;
use crate::record::{
    proof::{Begin, Progress, ProofWriter},
    sound::{compare, nothing_expected},
};

fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A small proof with each kind of record, and what is read from its packets.
fn small_proof(places: &[(u32, u32)]) -> (Vec<Record>, Vec<u8>) {
    let ann = stage(&[(&ANN, "Ann")]);
    let Recorded::State { head, stage, .. } = state(1, true, RECORDED, &ann) else { unreachable!("it is a state") };
    let Recorded::Beacon(account) = beacon(1, &[(&ANN, 300, 303)]) else { unreachable!("it is a beacon") };
    let key = VoiceKeyBytes::derive(&room(), RECORDED, &ROOM_KEY, &media_key(&ANN));
    // A frame of one byte and more, 20 ms each by their first.
    let frames: Vec<Bytes> = (0..4).map(|n| Bytes::from(vec![0xf8, n, 7])).collect();
    let packet = |written, first, frames: &[Bytes]| Record::Packet {
        written,
        new: (1 << frames.len()) - 1,
        packet: Blob::truncated(seal(&ANN, &media(&ANN), RECORDED, first, frames).to_vec()),
    };
    let place = |(frame, slot): &(u32, u32)| Record::Place {
        voice: media_key(&ANN).voice(),
        track: 2,
        frame: FrameNumber(*frame),
        slot: *slot,
    };
    let mut records = vec![
        Record::State { slot: 0, head, stage: Blob::truncated(stage.to_vec()) },
        Record::Key { epoch: RECORDED, media: media_key(&ANN), key },
        place(&places[0]),
        packet(0b1, 299, &frames[..1]),
    ];
    records.extend(places[1..].iter().map(place));
    records.extend([
        packet(0b101, 300, &frames[1..]),
        Record::Beacon { slot: 50, beacon: account },
        Record::Lost { slot: 60, items: 3 },
    ]);
    let statement = charter().sign(&Shipped, &Shipped.signer(&HOST));
    let Who { node, signer, serials } = who(1000);
    let begin = Begin {
        charter: statement,
        recorder: node,
        started: UnixSeconds(1_795_883_940),
        serials: List::truncated(serials),
        head_bytes: 100,
        head_digest: [0x11; 32],
    };
    let mut proof = ProofWriter::begin(Vec::new(), begin).expect("memory");
    for (at, record) in records.iter().enumerate() {
        proof.put(record).expect("memory");
        let last = at + 1 == records.len();
        let (slots, sound_bytes) = (20 * (at as u32 + 1), 1_000 * (at as u64 + 1));
        let progress = Progress { slots, sound_bytes, sound_digest: [0x22; 32], head_digest: [0x33; 32], last };
        if last || at == 3 {
            proof.mark(progress, &room(), &signer).expect("memory");
        }
    }
    (records, proof.into_inner())
}

#[test]
fn a_proof_has_the_bytes_in_the_vector() {
    let (records, proof) = small_proof(&[(299, 5)]);
    let read = Proof::read(&proof).expect("a proof");
    assert_eq!(read.ending, Ending::Closed);
    let unmarked: Vec<&Record> = read.records.iter().filter(|record| !matches!(record, Record::Mark { .. })).collect();
    assert_eq!(unmarked, records.iter().collect::<Vec<_>>());
    let all: Vec<Value> = [Record::Begin(Box::new(read.begin.clone()))]
        .iter()
        .chain(&read.records)
        .map(|record| json!({ "value": format!("{record:?}"), "bytes": hex(encode(record)) }))
        .collect();
    // Frame 301 came too late: it is in the proof alone.
    let track = json!([[5, "f80007"], [6, "f80107"], [8, "f80307"]]);
    let document = json!({ "recorder_seed": hex(RECORDER), "records": all, "proof": hex(&proof), "track_2": track });
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/recording.json");
    if std::env::var_os("TREEHOUSE_WRITE_VECTORS").is_some() {
        let text = serde_json::to_string_pretty(&document).expect("it is printable") + "\n";
        std::fs::write(&path, text).expect("it can be written");
    }
    let text = std::fs::read_to_string(&path).expect("the vector is there");
    assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON"), document);
    let faults = check(&[], &proof).faults;
    assert_eq!(faults, [Fault::NoSound], "all that is signed is well");
    let said = check(&[], &proof);
    assert_eq!((said.speakers[0].frames, said.speakers[0].late, said.lost), (3, 1, 3));
}

#[test]
fn whoever_records_cannot_put_one_voice_into_another_order() {
    // Frame 300 and those behind it before frame 299, and in its place.
    for places in [[(299, 20), (300, 3)], [(299, 5), (300, 5)]] {
        let (_, proof) = small_proof(&places);
        let faults = check(&[], &proof).faults;
        assert!(matches!(faults[0], Fault::Disordered { .. }), "{faults:?}");
    }
}

#[test]
fn a_mark_that_claims_more_than_the_file_can_hold_costs_nothing() {
    let (sound, proof) = genuine();
    let begin = Proof::read(proof).expect("a proof").begin;
    let body = &sound[begin.head_bytes as usize..];
    let claims = Progress {
        slots: u32::MAX,
        sound_bytes: body.len() as u64,
        sound_digest: Sha256::digest(body).into(),
        head_digest: begin.head_digest,
        last: true,
    };
    let mut expected = nothing_expected();
    expected[0].insert(0, vec![0xf8, 1, 2]);
    let faults = compare(sound, &begin, &[claims], &expected);
    assert!(faults.iter().any(|fault| matches!(fault, Fault::CutEnd { .. })), "{faults:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn garbage_is_refused_and_never_panics(sound in proptest::collection::vec(any::<u8>(), 0..2000), proof in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let _ = verify(&sound, &proof);
        let (good, begun) = genuine();
        let _ = verify(&sound, begun);
        // Records that decode, in an order that nobody wrote.
        let mut bytes = begun[..ends(begun)[0]].to_vec();
        bytes.extend(&proof);
        let _ = verify(good, &bytes);
    }
}
