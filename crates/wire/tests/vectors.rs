//! The vector files hold: what they say decodes to the same values, and the values encode to what they say.

mod support;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use support::{
    files::{check, hex, load, readable, unhex},
    messages, node,
};
use treehouse_wire::{
    Bytes, CaptureTime, Control, DecodeError, Domain, Epoch, FrameNumber, FramesPerPacket, Header, Level, MediaKey,
    NodeId, Packet, RoomId, RoomKey, RoomKeySeed, Shipped, Suite, Voiced,
    limits::{OPUS_FRAME_BYTES_MAX, PACKET_BYTES_MAX},
    packet::{HEADER_BYTES, PACKET_BYTES_MIN, SIGNATURE_BYTES},
};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors").join(name)
}

#[test]
fn ids_are_derived_as_the_file_says() {
    let key = |seed: u8| Shipped.public_key(&Shipped.signer(&[seed; 32]));
    let rooms = [(1, [0; 16]), (1, [0xff; 16]), (2, *b"sixteen bytes ok")].map(|(seed, salt)| {
        let founder = NodeId(key(seed));
        json!({
            "name": format!("room of the founder with seed {seed}"),
            "founder_seed": hex([seed; 32]), "founder": hex(founder.0), "founder_tag": hex(founder.tag().0),
            "salt": hex(salt), "room": hex(RoomId::derive(&founder, &salt).0),
        })
    });
    let voices = [3, 4].map(|seed| {
        let key = MediaKey(key(seed));
        json!({
            "name": format!("voice with seed {seed}"),
            "media_seed": hex([seed; 32]), "media_key": hex(key.0), "voice": hex(key.voice().0),
        })
    });
    let room = RoomId([0xab; 32]);
    let signatures = [
        Domain::Charter,
        Domain::InviteLink,
        Domain::Redemption,
        Domain::Certificate,
        Domain::Lease,
        Domain::RoomState,
        Domain::MediaKey,
        Domain::Packet,
        Domain::Beacon,
        Domain::Recording,
    ]
    .map(|domain| {
        let payload = b"payload";
        json!({
            "name": domain.as_str(), "seed": hex([5; 32]), "room": hex(room.0), "payload": hex(payload),
            "message": hex(domain.message(&room, payload)),
            "signature": hex(domain.sign(&Shipped, &Shipped.signer(&[5; 32]), &room, payload).0),
        })
    });
    let mut seed = RoomKeySeed::new([6; 32]);
    let room = RoomId([0x52; 32]);
    let keys = [(0, 0), (0, 1), (2, 300)].map(|(term, number)| {
        let epoch = Epoch { term, number };
        let key = seed.draw(epoch);
        json!({ "term": term, "number": number, "key": hex(key.0), "digest": hex(key.digest(&room, epoch)) })
    });
    let keys = json!({ "seed": hex([6; 32]), "room": hex(room.0), "drawn": keys });
    let document = json!({ "rooms": rooms, "voices": voices, "signatures": signatures, "room_keys": keys });
    check(&file("ids.json"), &document);
}

#[test]
fn every_control_message_has_the_bytes_in_the_file() {
    let made: Vec<Value> = messages()
        .iter()
        .map(|(name, message)| json!({ "name": name, "bytes": hex(message.to_bytes()), "value": readable(message) }))
        .collect();
    check(&file("control.json"), &json!({ "messages": made }));
}

#[test]
fn the_file_decodes_to_every_control_message() {
    let document = load(&file("control.json"));
    let entries = document["messages"].as_array().expect("a list of messages");
    assert_eq!(entries.len(), messages().len());
    for (entry, (name, message)) in entries.iter().zip(messages()) {
        let bytes = unhex(&entry["bytes"]);
        assert_eq!(Control::from_bytes(&bytes).as_ref(), Ok(&message), "{name}");
        assert_eq!(message.to_bytes(), bytes, "{name}");
    }
    // A message of each variant, so that a new one cannot be forgotten: the first byte is its index.
    let kinds: std::collections::BTreeSet<u8> = entries.iter().map(|entry| unhex(&entry["bytes"])[0]).collect();
    let count = kinds.len() as u8;
    assert_eq!(kinds, (0..count).collect(), "a variant has no vector");
    assert_eq!(Control::from_bytes(&[count]), Err(DecodeError::Malformed), "variant {count} has no vector");
}

/// Everything that goes into one packet.
struct Talk {
    name: &'static str,
    k: FramesPerPacket,
    epoch: Epoch,
    first: u32,
    captured: u64,
    level: u8,
    frames: Vec<Vec<u8>>,
}

const ROOM_KEY: RoomKey = RoomKey([0x4b; 32]);
const MEDIA_SEED: [u8; 32] = [3; 32];

fn talks() -> Vec<Talk> {
    let start = Epoch { term: 0, number: 0 };
    vec![
        Talk {
            name: "k=1, first frame of a session",
            k: FramesPerPacket::One,
            epoch: start,
            first: 0,
            captured: 0,
            level: 127,
            frames: vec![vec![0xf8, 0xff, 0xfe]],
        },
        Talk {
            name: "k=1, later epoch",
            k: FramesPerPacket::One,
            epoch: Epoch { term: 2, number: 65_537 },
            first: 1_000_001,
            captured: 0x0102_0304_0506_0708,
            level: 23,
            frames: vec![(0..80).collect()],
        },
        Talk {
            name: "k=3",
            k: FramesPerPacket::Three,
            epoch: start,
            first: 999,
            captured: 959_040,
            level: 30,
            frames: vec![(0..80).collect(), vec![0x78; 3], (100..181).collect()],
        },
        Talk {
            name: "k=3, largest frames",
            k: FramesPerPacket::Three,
            epoch: start,
            first: 3,
            captured: 2_880,
            level: 0,
            frames: vec![vec![1; OPUS_FRAME_BYTES_MAX]; 3],
        },
    ]
}

fn room() -> RoomId {
    RoomId::derive(&NodeId(Shipped.public_key(&Shipped.signer(&[1; 32]))), &[0; 16])
}

fn seal(talk: &Talk) -> Packet {
    let signer = Shipped.signer(&MEDIA_SEED);
    let media_key = MediaKey(Shipped.public_key(&signer));
    let header = Header {
        k: talk.k,
        epoch: talk.epoch,
        voice: media_key.voice(),
        first: FrameNumber(talk.first),
        captured: CaptureTime(talk.captured),
    };
    let voice_key = Shipped.voice_key(&room(), talk.epoch, &ROOM_KEY, &media_key);
    let level = Level::from_minus_dbov(talk.level);
    Packet::seal(&Shipped, &room(), &signer, &voice_key, header, level, &talk.frames).expect("the talk is in range")
}

/// The voice's key by HKDF (RFC 5869), from the specification and not from the suite.
fn voice_key_bytes(epoch: Epoch, media_key: &MediaKey) -> [u8; 32] {
    let mut info = b"treehouse/voice/1".to_vec();
    info.extend(epoch.term.to_be_bytes());
    info.extend(epoch.number.to_be_bytes());
    info.extend(media_key.0);
    let mut key = [0; 32];
    let hkdf = hkdf::Hkdf::<sha2::Sha256>::new(Some(&room().0), &ROOM_KEY.0);
    hkdf.expand(&info, &mut key).expect("one block of output");
    key
}

#[test]
fn packets_have_the_bytes_in_the_file() {
    let media_key = MediaKey(Shipped.public_key(&Shipped.signer(&MEDIA_SEED)));
    let made: Vec<Value> = talks()
        .iter()
        .map(|talk| {
            let packet = seal(talk);
            json!({
                "name": talk.name, "k": talk.k.count(), "term": talk.epoch.term, "number": talk.epoch.number,
                "first": talk.first, "captured": talk.captured.to_string(), "level": talk.level,
                "frames": talk.frames.iter().map(hex).collect::<Vec<_>>(),
                "voice_key": hex(voice_key_bytes(talk.epoch, &media_key)),
                "lane": packet.header().lane(), "bytes": hex(packet.bytes()),
            })
        })
        .collect();
    let document = json!({
        "room": hex(room().0), "room_key": hex(ROOM_KEY.0), "media_seed": hex(MEDIA_SEED),
        "media_key": hex(media_key.0), "voice": hex(media_key.voice().0), "packets": made,
    });
    check(&file("packets.json"), &document);
}

#[test]
fn the_packets_in_the_file_verify_and_open() {
    let document = load(&file("packets.json"));
    let media_key = MediaKey(unhex(&document["media_key"]).try_into().expect("32 bytes"));
    let entries = document["packets"].as_array().expect("a list of packets");
    for (entry, talk) in entries.iter().zip(talks()) {
        let bytes = unhex(&entry["bytes"]);
        let packet = Packet::parse(Bytes::from(bytes.clone())).expect(talk.name);
        assert!(packet.verify(&Shipped, &room(), &media_key), "{}", talk.name);
        let voice_key = Shipped.voice_key(&room(), talk.epoch, &ROOM_KEY, &media_key);
        let voiced = packet.open(&Shipped, &voice_key).expect(talk.name);
        let frames = talk.frames.iter().cloned().map(Bytes::from).collect();
        assert_eq!(voiced, Voiced { level: Level::from_minus_dbov(talk.level), frames }, "{}", talk.name);
        // The clear text as the specification lays it out, sealed with the key that the file names.
        assert_eq!(seal_by_the_book(&unhex(&entry["voice_key"]), &talk, &bytes[..HEADER_BYTES]), {
            let end = bytes.len() - SIGNATURE_BYTES;
            bytes[HEADER_BYTES..end].to_vec()
        });
    }
    assert_eq!(entries.len(), talks().len());
}

fn seal_by_the_book(key: &[u8], talk: &Talk, header: &[u8]) -> Vec<u8> {
    use chacha20poly1305::{
        ChaCha20Poly1305, KeyInit,
        aead::{Aead, Payload},
    };
    let mut clear = vec![talk.level];
    for (i, frame) in talk.frames.iter().enumerate() {
        if i + 1 < talk.frames.len() {
            clear.extend((frame.len() as u16).to_be_bytes());
        }
        clear.extend(frame);
    }
    let mut nonce = [0; 12];
    nonce[..4].copy_from_slice(&talk.first.to_be_bytes());
    nonce[4] = talk.k.count() as u8;
    let cipher = ChaCha20Poly1305::new_from_slice(key).expect("32 bytes");
    cipher.encrypt(&nonce.into(), Payload { msg: &clear, aad: header }).expect("a short text")
}

/// Bytes that must be refused, and why.
fn malformed_messages() -> Vec<(&'static str, Vec<u8>)> {
    let message = |name: &str| {
        let found = messages().into_iter().find(|(other, _)| *other == name).expect("a message of this name");
        found.1.to_bytes()
    };
    let with = |name: &str, more: &[u8]| [message(name).as_slice(), more].concat();
    let replaced = |name: &str, at: usize, byte: u8| {
        let mut bytes = message(name);
        bytes[at] = byte;
        bytes
    };
    let profile = |tail: &[u8]| [&[4, 0][..], &[0; 64], tail].concat();
    vec![
        ("nothing", vec![]),
        ("a byte behind the message", with("unsubscribe", &[0])),
        ("a whole message behind the message", with("unsubscribe", &message("unsubscribe"))),
        ("a variant that does not exist", vec![0x7f]),
        ("overlong varint of the variant", [&[0x80, 0][..], &[7]].concat()),
        ("overlong varint of a number", vec![0, 0x87, 0]),
        ("a number past 32 bits", vec![0, 0xff, 0xff, 0xff, 0xff, 0x1f]),
        ("a varint without end", vec![0, 0xff, 0xff, 0xff, 0xff, 0xff]),
        ("cut in the middle", message("tick")[..9].to_vec()),
        ("a boolean of 2", {
            let at = message("tick").len() - 12;
            replaced("tick", at, 2)
        }),
        ("an option of 2", replaced("hand down", 1, 2)),
        ("a reason that does not exist", replaced("bye, leaving", 1, 5)),
        ("a list of seven candidates", [&[8, 5, 7][..], &[0; 7 * 33]].concat()),
        ("a list that claims 2^32 - 1 elements", vec![7, 0xff, 0xff, 0xff, 0xff, 0x0f]),
        ("an overlong length of a list", vec![7, 0x80, 0x00]),
        ("a chain of 1025 bytes", [&[3, 0x81, 8][..], &[0; 1025]].concat()),
        ("a name of 49 bytes", profile(&[&[49][..], &[b'a'; 49], &[0, 0]].concat())),
        ("a name with a line break", profile(&[&[3][..], b"a\nb", &[0, 0]].concat())),
        ("a name that turns the writing direction", profile(&[&[3][..], "\u{202e}".as_bytes(), &[0, 0]].concat())),
        ("a name that is not UTF-8", profile(&[1, 0xff, 0, 0])),
        ("longer than 4096 bytes", vec![0; 4097]),
    ]
}

#[test]
fn malformed_messages_are_refused_as_the_file_says() {
    let entries = malformed_messages().into_iter().map(|(name, bytes)| {
        let error = Control::from_bytes(&bytes).expect_err(name);
        json!({ "name": name, "error": format!("{error:?}"), "bytes": hex(bytes) })
    });
    check(&file("malformed_control.json"), &json!({ "messages": entries.collect::<Vec<_>>() }));
}

/// Packets that are refused before any signature is looked at.
fn malformed_packets() -> Vec<(&'static str, Vec<u8>)> {
    let talks = talks();
    let (one, three) = (seal(&talks[1]).bytes().to_vec(), seal(&talks[2]).bytes().to_vec());
    let set = |packet: &[u8], at: usize, bytes: &[u8]| {
        let mut packet = packet.to_vec();
        packet[at..at + bytes.len()].copy_from_slice(bytes);
        packet
    };
    vec![
        ("nothing", vec![]),
        ("shorter than a frame of one byte", one[..PACKET_BYTES_MIN - 1].to_vec()),
        ("longer than 1200 bytes", [one.as_slice(), &vec![0; PACKET_BYTES_MAX]].concat()),
        ("kind 0", set(&one, 0, &[0])),
        ("kind 2", set(&one, 0, &[2])),
        ("k = 0", set(&one, 1, &[0])),
        ("k = 2", set(&one, 1, &[2])),
        ("k = 4", set(&one, 1, &[4])),
        ("first frame no multiple of 3", set(&three, 16, &1000u32.to_be_bytes())),
        ("first frame 2^32 - 2", set(&one, 16, &(u32::MAX - 1).to_be_bytes())),
        ("first frame 2^32 - 1", set(&three, 16, &u32::MAX.to_be_bytes())),
    ]
}

#[test]
fn malformed_packets_are_refused_as_the_file_says() {
    let entries = malformed_packets().into_iter().map(|(name, bytes)| {
        let error = Packet::parse(Bytes::from(bytes.clone())).expect_err(name);
        json!({ "name": name, "error": format!("{error:?}"), "bytes": hex(bytes) })
    });
    check(&file("malformed_packets.json"), &json!({ "packets": entries.collect::<Vec<_>>() }));
}

#[test]
fn a_node_tag_is_the_start_of_its_key() {
    assert_eq!(node(0x2f).tag().0, [0x2f; 4]);
}
