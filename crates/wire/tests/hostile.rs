//! Whatever the network sends: nothing panics, and what decodes encodes to the same bytes.

mod support;

use proptest::prelude::*;
use support::messages;
use treehouse_wire::{
    Bytes, CaptureTime, Control, Epoch, FrameNumber, FramesPerPacket, Header, Level, MediaKey, Packet, RoomId, RoomKey,
    Shipped, Suite, limits::OPUS_FRAME_BYTES_MAX, packet::UnsealError,
};

const ROOM: RoomId = RoomId([7; 32]);
const KEY: RoomKey = RoomKey([8; 32]);
const EPOCH: Epoch = Epoch { term: 0, number: 0 };

fn media_key() -> MediaKey {
    MediaKey(Shipped.public_key(&Shipped.signer(&[3; 32])))
}

fn seal(k: FramesPerPacket, first: u32, frames: &[Vec<u8>]) -> Packet {
    let header =
        Header { k, epoch: EPOCH, voice: media_key().voice(), first: FrameNumber(first), captured: CaptureTime(9) };
    let voice_key = Shipped.voice_key(&ROOM, EPOCH, &KEY, &media_key());
    Packet::seal(&Shipped, &ROOM, &Shipped.signer(&[3; 32]), &voice_key, header, Level::from_minus_dbov(20), frames)
        .expect("frames in range")
}

fn is_canonical(bytes: &[u8]) -> bool {
    Control::from_bytes(bytes).is_ok_and(|message| message.to_bytes() == bytes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn random_bytes_are_refused_or_canonical(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0u8..24) {
        // With the first byte in range, so that every variant is reached.
        let bytes = [&[kind][..], &bytes].concat();
        prop_assert!(Control::from_bytes(&bytes).is_err() || is_canonical(&bytes));
    }

    #[test]
    fn altered_messages_are_refused_or_canonical(
        pick in any::<prop::sample::Index>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let all = messages();
        let mut bytes = pick.get(&all).1.to_bytes();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        prop_assert!(Control::from_bytes(&bytes).is_err() || is_canonical(&bytes));
    }

    #[test]
    fn random_packets_never_panic_and_never_verify(bytes in prop::collection::vec(any::<u8>(), 0..1300), k in 0u8..5) {
        let mut bytes = bytes;
        if let [kind, count, ..] = bytes.as_mut_slice() {
            (*kind, *count) = (1, k);
        }
        if let Ok(packet) = Packet::parse(Bytes::from(bytes)) {
            prop_assert!(!packet.verify(&Shipped, &ROOM, &media_key()));
            let voice_key = Shipped.voice_key(&ROOM, EPOCH, &KEY, &media_key());
            prop_assert_eq!(packet.open(&Shipped, &voice_key).err(), UnsealError::Key(treehouse_wire::suite::OpenError).into());
        }
    }

    #[test]
    fn what_a_speaker_seals_a_listener_opens(
        sizes in prop::collection::vec(1..=OPUS_FRAME_BYTES_MAX, 3),
        first in 0u32..1_000_000,
        three in any::<bool>(),
    ) {
        let k = if three { FramesPerPacket::Three } else { FramesPerPacket::One };
        let frames: Vec<Vec<u8>> = sizes.iter().take(k.count() as usize).map(|len| vec![0x5a; *len]).collect();
        let packet = seal(k, first / 3 * 3, &frames);
        let parsed = Packet::parse(packet.bytes().clone()).unwrap();
        prop_assert_eq!(&parsed, &packet);
        let voice_key = Shipped.voice_key(&ROOM, EPOCH, &KEY, &media_key());
        let voiced = parsed.open(&Shipped, &voice_key).unwrap();
        prop_assert_eq!(voiced.frames, frames);
        prop_assert_eq!(voiced.level.minus_dbov(), 20);
    }
}

#[test]
fn a_packet_with_any_bit_flipped_does_not_verify() {
    let packet = seal(FramesPerPacket::Three, 999, &[vec![1; 4], vec![2; 5], vec![3; 6]]);
    assert!(packet.verify(&Shipped, &ROOM, &media_key()));
    for bit in 0..packet.bytes().len() * 8 {
        let mut bytes = packet.bytes().to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let verified = Packet::parse(bytes.into()).is_ok_and(|packet| packet.verify(&Shipped, &ROOM, &media_key()));
        assert!(!verified, "bit {bit}");
    }
}

#[test]
fn a_packet_of_another_room_or_speaker_does_not_verify() {
    let packet = seal(FramesPerPacket::One, 4, &[vec![1]]);
    let other = MediaKey(Shipped.public_key(&Shipped.signer(&[4; 32])));
    assert!(!packet.verify(&Shipped, &RoomId([6; 32]), &media_key()));
    assert!(!packet.verify(&Shipped, &ROOM, &other));
    // A key that is no point of the curve, and the point of small order that would verify anything in lax checks.
    assert!(!packet.verify(&Shipped, &ROOM, &MediaKey([0xff; 32])));
    assert!(!packet.verify(&Shipped, &ROOM, &MediaKey([0; 32])));
}

#[test]
fn a_speaker_that_seals_malformed_frames_is_told_from_a_wrong_key() {
    // k = 3, but the length of the first frame reaches past the end: signed and sealed rightly, malformed inside.
    let packet = seal(FramesPerPacket::Three, 3, &[vec![1; 2], vec![2; 2], vec![3; 2]]);
    let voice_key = Shipped.voice_key(&ROOM, EPOCH, &KEY, &media_key());
    for clear in
        [&[20u8, 0, 200, 1][..], &[20, 0, 0, 0, 1, 9, 9], &[128, 0, 1, 1, 0, 1, 1, 1], &[20, 0, 1, 1, 0, 1, 1], &[20]]
    {
        let mut bytes = packet.bytes()[..28].to_vec();
        let mut nonce = [0; 12];
        nonce[..5].copy_from_slice(&[0, 0, 0, 3, 3]);
        let mut sealed = clear.to_vec();
        Shipped.seal(&voice_key, &nonce, &packet.bytes()[..28], &mut sealed);
        bytes.extend(sealed);
        bytes.extend([0; 64]);
        let Ok(packet) = Packet::parse(bytes.into()) else { continue };
        assert_eq!(packet.open(&Shipped, &voice_key), Err(UnsealError::Content), "{clear:?}");
    }
    let other = Shipped.voice_key(&ROOM, Epoch { term: 0, number: 1 }, &KEY, &media_key());
    assert!(matches!(packet.open(&Shipped, &other), Err(UnsealError::Key(_))));
}

#[test]
fn no_two_packets_of_a_voice_share_a_nonce() {
    // The first five bytes of the nonce are the first frame and k, so a k=1 and a k=3 packet that begin alike differ:
    // their ciphertexts would otherwise begin with the same key stream.
    let frames = vec![vec![0u8; 40]; 3];
    let (one, three) = (seal(FramesPerPacket::One, 3, &frames[..1]), seal(FramesPerPacket::Three, 3, &frames));
    // Level at 28, then zeros under both: equal key streams would show in the bytes behind the length.
    let overlap = one.bytes()[31..68].iter().zip(&three.bytes()[31..68]).filter(|(a, b)| a == b).count();
    assert!(overlap < 8, "{overlap} of 37 bytes are equal");
}
