//! The parsers of what crosses the network or is pasted: control messages, media packets, invites.

use std::sync::OnceLock;

use bytes::Bytes;
use data_encoding::BASE32_NOPAD;
use sha2::{Digest, Sha256};
use treehouse_invite::{Ban, Banned, Bans, CLOCK_SKEW_SECONDS, INVITE_VERSION, Invite, check_redemption};
use treehouse_wire::{
    Control, Epoch, LinkTag, Packet, RoomKey, Shipped, Signature, Suite, UnixSeconds, VoiceId,
    limits::OPUS_FRAME_BYTES_MAX,
};

use super::{
    Verdict,
    clear::Clear,
    people::{ALICE, FOUNDER, NOW, Person, room},
};

/// The voice whose packets the target knows, the epoch and the key that open them.
pub const SPEAKER: Person = Person(50);
/// The epoch whose key is at hand.
pub const EPOCH: Epoch = Epoch { term: 0, number: 1 };
/// That key.
pub const ROOM_KEY: [u8; 32] = [7; 32];
/// Before the proof and the chain of an invite that is redeemed.
pub const REDEEMED: &[u8] = b"REDEEMED";
/// The same after the tag of a link that the host has revoked.
pub const REVOKED: &[u8] = b"REVOKED";

/// A control message: an accepted one has one encoding.
///
/// # Panics
/// When a message is accepted that encodes to other bytes.
pub fn control(input: &[u8]) -> Verdict {
    match Control::from_bytes(input) {
        Ok(message) => {
            assert_eq!(message.to_bytes(), input, "another encoding of {message:?} was accepted");
            Verdict::Accepted
        }
        Err(error) => Verdict::Decode(error),
    }
}

/// A media packet on the way that a room takes it: header, voice, signature, content. The content of any packet is looked at
/// once more behind a cipher that lets all through.
///
/// # Panics
/// When a packet changes its bytes, or opens to frames that its header does not announce.
pub fn packet(input: &[u8]) -> Verdict {
    static VOICE: OnceLock<VoiceId> = OnceLock::new();
    let packet = match Packet::parse(Bytes::copy_from_slice(input)) {
        Ok(packet) => packet,
        Err(error) => return Verdict::Decode(error),
    };
    assert_eq!(packet.bytes().as_ref(), input);
    let header = *packet.header();
    assert!(header.lane() < treehouse_wire::limits::MEDIA_LANES);
    if let Ok(voiced) = packet.open(&Clear, &()) {
        assert_eq!(voiced.frames.len(), header.k.count() as usize);
        assert!(voiced.frames.iter().all(|frame| !frame.is_empty() && frame.len() <= OPUS_FRAME_BYTES_MAX));
    }
    if header.voice != *VOICE.get_or_init(|| SPEAKER.media_key().voice()) {
        return Verdict::UnknownVoice;
    }
    if !packet.verify(&Shipped, &room(), &SPEAKER.media_key()) {
        return Verdict::Forged;
    }
    // One key is at hand, whatever epoch the packet names.
    let voice_key = Shipped.voice_key(&room(), EPOCH, &RoomKey(ROOM_KEY), &SPEAKER.media_key());
    match packet.open(&Shipped, &voice_key) {
        Ok(_) => Verdict::Accepted,
        Err(error) => Verdict::Unseal(error),
    }
}

/// An invite: a text as it is; [`REDEEMED`], a proof and a chain, as Alice shows them to the host; [`REVOKED`], a link's tag, and the
/// same; or any other bytes as the body of an invite whose version and checksum are right.
///
/// # Panics
/// When an invite is accepted that has another text.
pub fn invite(input: &[u8]) -> Verdict {
    if let Some(shown) = input.strip_prefix(REDEEMED) {
        return redemption(shown, &Bans::default());
    }
    if let Some((tag, shown)) = input.strip_prefix(REVOKED).and_then(|rest| rest.split_first_chunk()) {
        let mut bans = Bans::default();
        bans.add(Ban { who: Banned::Revoked(LinkTag(*tag)), until: UnixSeconds(u64::MAX) });
        return redemption(shown, &bans);
    }
    let text = match std::str::from_utf8(input) {
        Ok(text) if text.trim_start().starts_with("TREEHOUSE:") => text.to_owned(),
        _ => framed(INVITE_VERSION, input),
    };
    let invite = match Invite::parse(&text) {
        Ok(invite) => invite,
        Err(error) => return Verdict::Invite(error),
    };
    let kept: String = text.chars().filter(|letter| !letter.is_ascii_whitespace()).collect();
    assert_eq!(invite.to_string(), kept, "one invite has two texts");
    match invite.verify(&Shipped, NOW) {
        Ok(grant) => {
            assert!(grant.expires.0 + CLOCK_SKEW_SECONDS > NOW.0, "an invite that has expired was accepted");
            Verdict::Accepted
        }
        Err(error) => Verdict::Invite(error),
    }
}

fn redemption(shown: &[u8], bans: &Bans) -> Verdict {
    let (proof, chain) = shown.split_at(shown.len().min(64));
    let proof = Signature(proof.try_into().unwrap_or([0; 64]));
    let (host, redeemer) = (FOUNDER.node(), ALICE.node());
    match check_redemption(&Shipped, &room(), &host, &host, &redeemer, chain, &proof, NOW) {
        Ok(grant) => {
            assert!(grant.path.len() <= treehouse_wire::limits::LINKS_MAX && grant.uses.len() <= grant.path.len());
            if bans.revoke(&grant.lineage()) { Verdict::Revoked } else { Verdict::Accepted }
        }
        Err(error) => Verdict::Invite(error),
    }
}

/// Version, body and the checksum that fits, as text.
#[must_use]
pub fn framed(version: u8, body: &[u8]) -> String {
    let mut bytes = [&[version], body].concat();
    let checksum = Sha256::digest(&bytes);
    bytes.extend_from_slice(&checksum[..4]);
    format!("TREEHOUSE:{}", BASE32_NOPAD.encode(&bytes))
}
