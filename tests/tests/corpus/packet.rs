//! Media packets: two that hold, and what is wrong with others.

use treehouse_tests::fuzz::{
    parsers::{EPOCH, ROOM_KEY, SPEAKER},
    people::{MALLORY, Person, room},
};
use treehouse_wire::{
    CaptureTime, Domain, Epoch, FrameNumber, FramesPerPacket, Header, Level, Packet, RoomId, RoomKey, Shipped, Suite,
    packet::{HEADER_BYTES, SIGNATURE_BYTES},
};

use crate::{Seed, listed, seed};

fn header(k: FramesPerPacket, first: u32) -> Header {
    let voice = SPEAKER.media_key().voice();
    Header { k, epoch: EPOCH, voice, first: FrameNumber(first), captured: CaptureTime(1 << 40) }
}

fn packet(header: Header, signer: Person, room_id: &RoomId) -> Vec<u8> {
    let key = Shipped.voice_key(&room(), header.epoch, &RoomKey(ROOM_KEY), &SPEAKER.media_key());
    let frames = vec![[0xf8, 0xff, 0xfe]; header.k.count() as usize];
    let packet = Packet::seal(&Shipped, room_id, &signer.signer(), &key, header, Level::SILENCE, &frames);
    packet.expect("a packet").bytes().to_vec()
}

/// A good packet with one byte of its header changed, signed again.
fn altered(at: usize, byte: u8) -> Vec<u8> {
    let mut bytes = packet(header(FramesPerPacket::One, 9), SPEAKER, &room());
    bytes[at] = byte;
    signed(bytes, Domain::Packet)
}

fn signed(mut bytes: Vec<u8>, domain: Domain) -> Vec<u8> {
    bytes.truncate(bytes.len() - SIGNATURE_BYTES);
    let signature = SPEAKER.sign(domain, &room(), &bytes);
    bytes.extend_from_slice(&signature.0);
    bytes
}

/// A packet of one frame in which the speaker itself has sealed this.
fn sealed(clear: &[u8]) -> Vec<u8> {
    let good = packet(header(FramesPerPacket::One, 9), SPEAKER, &room());
    let (head, mut nonce) = (&good[..HEADER_BYTES], [0; 12]);
    nonce[..4].copy_from_slice(&9_u32.to_be_bytes());
    nonce[4] = 1;
    let key = Shipped.voice_key(&room(), EPOCH, &RoomKey(ROOM_KEY), &SPEAKER.media_key());
    let mut inside = clear.to_vec();
    Shipped.seal(&key, &nonce, head, &mut inside);
    signed([head, &inside, &[0; SIGNATURE_BYTES]].concat(), Domain::Packet)
}

pub fn seeds() -> Vec<Seed> {
    let one = packet(header(FramesPerPacket::One, 9), SPEAKER, &room());
    let three = packet(header(FramesPerPacket::Three, 9), SPEAKER, &room());
    let long = [one.as_slice(), &[0; 1200]].concat();
    let other_epoch = Header { epoch: Epoch { term: 0, number: 2 }, ..header(FramesPerPacket::One, 9) };
    let altered_inside = [&one[..HEADER_BYTES], &[one[HEADER_BYTES] ^ 1], &one[HEADER_BYTES + 1..]].concat();
    let last = u32::MAX.to_be_bytes();
    let at_the_end = signed([&one[..16], &last, &one[20..]].concat(), Domain::Packet);
    let mut all = vec![
        seed("genuine-k-1", one.clone(), "Accepted"),
        seed("genuine-k-3", three, "Accepted"),
        seed("malformed-too-short", &one[..109], "Decode(TooShort { len: 109, min: 110 })"),
        seed("malformed-too-long", &long[..1201], "Decode(TooLong { len: 1201, max: 1200 })"),
        seed("malformed-another-kind", altered(0, 2), "Decode(UnknownKind(2))"),
        seed("malformed-two-frames", altered(1, 2), "Decode(OutOfRange(\"k\"))"),
        seed(
            "malformed-first-is-no-multiple",
            altered(1, 3).tap(|b| b[19] = 10),
            "Decode(OutOfRange(\"first frame\"))",
        ),
        seed("malformed-first-at-the-end-of-numbers", at_the_end, "Decode(OutOfRange(\"first frame\"))"),
        seed("malformed-level-inside", sealed(&[128, 0xf8]), "Unseal(Content)"),
        seed("malformed-frame-too-large-inside", sealed(&[1; 362]), "Unseal(Content)"),
        seed("forged-by-another", packet(header(FramesPerPacket::One, 9), MALLORY, &room()), "Forged"),
        seed("forged-altered-on-its-way", altered_inside, "Forged"),
        seed(
            "wrongly-bound-to-another-room",
            packet(header(FramesPerPacket::One, 9), SPEAKER, &RoomId([0; 32])),
            "Forged",
        ),
        seed("wrongly-bound-signed-as-a-beacon", signed(one.clone(), Domain::Beacon), "Forged"),
        seed("wrongly-bound-voice-of-nobody-on-stage", altered(8, one[8] ^ 1), "UnknownVoice"),
        seed("wrongly-bound-to-another-epoch", packet(other_epoch, SPEAKER, &room()), "Unseal(Key(OpenError))"),
    ];
    // From the vectors of the wire, of another room and voice; the clear ones are for what stands behind the cipher.
    all.extend(
        [
            "k-1-first-frame-of-a-session",
            "k-1-later-epoch",
            "k-3",
            "k-3-largest-frames",
            "clear-k-1-first-frame-of-a-session",
            "clear-k-1-later-epoch",
            "clear-k-3",
            "clear-k-3-largest-frames",
        ]
        .map(|name| listed(name, "UnknownVoice")),
    );
    all
}

trait Tap: Sized {
    /// The same after a change.
    fn tap(self, change: impl FnOnce(&mut Self)) -> Self;
}

impl Tap for Vec<u8> {
    fn tap(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}
