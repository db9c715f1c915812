//! Who is in the room of the target: six neighbours by number, the node under test, and what they can sign.
//!
//! With the cheap suite a seed is as good as a key, so the target can sign for the host where the host is not under test.

use std::sync::OnceLock;

use bytes::Bytes;
use treehouse_invite::{
    CERTIFICATE_SECONDS, Certificate, Charter, Complaint, Founding, Holder, Invite, Lease, MediaClaim, Policy, Role,
    Terms,
};
use treehouse_room::Cheap;
use treehouse_wire::{
    Address, Blob, CaptureTime, Contact, Epoch, FrameNumber, FramesPerPacket, Header, Level, Lineage, LinkTag, List,
    MediaKey, NodeId, Packet, RoomId, RoomKey, RoomKeySeed, Signature, Suite, UnixSeconds, VoiceId,
    control::{Name, Profile, Report, Statement},
    limits::ADDRESSES_MAX,
};

/// Neighbours of the node under test. Number 0 is the host, unless the node under test is.
pub const PEERS: u8 = 6;
/// The node under test, in places where a peer's number goes.
pub const ME: u8 = 6;
/// The time of day at which every play starts.
pub const WALL: UnixSeconds = UnixSeconds(1_800_000_000);
/// The randomness of a host under test, from which its room key follows.
pub const RANDOM_SEED: [u8; 32] = [2; 32];

/// Who hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cast {
    /// Number of the host: 0, or [`ME`].
    pub host: u8,
}

impl Cast {
    /// The secret of somebody's identity.
    #[must_use]
    pub fn seed(who: u8) -> [u8; 32] {
        [10 + who; 32]
    }

    /// Somebody's name.
    #[must_use]
    pub fn node(who: u8) -> NodeId {
        NodeId(Cheap.public_key(&Self::seed(who)))
    }

    /// Whose name this is; none of somebody outside the play.
    #[must_use]
    pub fn who(node: &NodeId) -> Option<u8> {
        (0..=ME).find(|who| Self::node(*who) == *node)
    }

    /// The secret of somebody's voice.
    #[must_use]
    pub fn media_seed(who: u8) -> [u8; 32] {
        [40 + who; 32]
    }

    /// The key of somebody's voice.
    #[must_use]
    pub fn media_key(who: u8) -> MediaKey {
        MediaKey(Cheap.public_key(&Self::media_seed(who)))
    }

    /// Whose voice this is.
    #[must_use]
    pub fn speaker(voice: &VoiceId) -> Option<u8> {
        static VOICES: OnceLock<[VoiceId; ME as usize + 1]> = OnceLock::new();
        let voices = VOICES.get_or_init(|| std::array::from_fn(|who| Self::media_key(who as u8).voice()));
        voices.iter().position(|of| of == voice).map(|who| who as u8)
    }

    fn addresses(who: u8) -> List<Address, ADDRESSES_MAX> {
        List::truncated([Blob::truncated([who; 4])])
    }

    /// Where somebody can be reached.
    #[must_use]
    pub fn contact(who: u8) -> Contact {
        Contact { node: Self::node(who), addresses: Self::addresses(who) }
    }

    /// What somebody says of itself; an odd number cannot feed others.
    #[must_use]
    pub fn profile(who: u8) -> Profile {
        let relays = who.is_multiple_of(2);
        let addresses = if relays { Self::addresses(who) } else { List::default() };
        Profile { name: Name::cleaned("somebody"), addresses, children_max: if relays { 2 } else { 0 } }
    }

    /// What the room is.
    #[must_use]
    pub fn charter(self) -> Charter {
        let founder = Self::node(self.host);
        let title = Name::cleaned("A room");
        Charter { founder, salt: [7; 16], title, policy: Policy::Social, successors: List::default() }
    }

    /// The room.
    #[must_use]
    pub fn room(self) -> RoomId {
        RoomId::derive(&Self::node(self.host), &[7; 16])
    }

    /// The links by which a neighbour came.
    #[must_use]
    pub fn lineage(who: u8) -> Lineage {
        List::truncated([LinkTag([who; 16])])
    }

    /// The key of the first epoch.
    #[must_use]
    pub fn room_key(self) -> RoomKey {
        if self.host == ME { RoomKeySeed::new(RANDOM_SEED).draw(Epoch::default()) } else { RoomKey([5; 32]) }
    }

    /// An invite by whoever has it; odd kinds may be used once, and those from 2 on are out of date.
    #[must_use]
    pub fn invite(self, kind: u8) -> Invite {
        // Past the clock skew that is tolerated.
        let expires = if kind & 2 == 0 { WALL.0 + 7200 } else { WALL.0 - 200 };
        let terms = Terms {
            role: Role::Speaker,
            not_before: UnixSeconds(WALL.0 - 300),
            expires: UnixSeconds(expires),
            uses: (kind & 1 == 1).then_some(1),
            depth: 0,
        };
        let (holder, at) = (Holder::Bearer { seed: [9; 32] }, [Self::contact(self.host)]);
        let founding = Founding { founder: Self::node(self.host), salt: [7; 16], policy: Policy::Social };
        Invite::issue(&Cheap, &Self::seed(self.host), founding, terms, holder, at).expect("terms that hold")
    }

    /// That `who` belongs to the room, as `kind` says: 0 rightly, 1 by itself, 2 of long ago, 3 of another room.
    #[must_use]
    pub fn certificate(self, who: u8, kind: u8) -> Statement {
        let issued = if kind == 2 { WALL.0 - 2 * CERTIFICATE_SECONDS } else { WALL.0 };
        let certificate = Certificate {
            node: Self::node(who),
            role: if who == self.host { Role::Host } else { Role::Speaker },
            admission: if who == self.host { 0 } else { u32::from(who) + 1 },
            term: 0,
            issued: UnixSeconds(issued),
            expires: UnixSeconds(issued + CERTIFICATE_SECONDS),
            lineage: Self::lineage(who),
        };
        let signer = Self::seed(if kind == 1 { who } else { self.host });
        let room = if kind == 3 { RoomId([0; 32]) } else { self.room() };
        certificate.sign(&Cheap, &signer, &room)
    }

    /// A lease for `who`, as `kind` says: 0 rightly, 1 by itself, 2 of long ago.
    #[must_use]
    pub fn lease(self, who: u8, kind: u8) -> Statement {
        let from = if kind == 2 { WALL.0 - 5000 } else { WALL.0 - 1 };
        let lease = Lease {
            hub: Self::node(who),
            region: 1 + u32::from(who),
            role: Role::Listener,
            first: 1000 * (1 + u32::from(who)),
            quota: 50,
            members_max: 4,
            term: 0,
            not_before: UnixSeconds(from),
            expires: UnixSeconds(from + 600),
        };
        lease.sign(&Cheap, &Self::seed(if kind == 1 { who } else { self.host }), &self.room())
    }

    /// That `by` was sent a forgery by `of`, as `kind` says: rightly, or signed by another.
    #[must_use]
    pub fn complaint(self, by: u8, of: u8, kind: u8) -> Report {
        let signer = Self::seed(if kind & 8 == 8 { by } else { of });
        let complaint = Complaint::sign(&Cheap, &signer, &self.room(), Self::node(by), Self::node(of), WALL);
        let Complaint { by: node, of, at, signature } = complaint;
        Report::Complaint { node, of: of.tag(), at, signature }
    }

    /// What the owner of a voice has shown of its having the key.
    #[must_use]
    pub fn held(self, of: u8) -> Signature {
        MediaClaim::prove(&Cheap, &Self::media_seed(of), &self.room(), &Self::node(of))
    }

    /// That a voice is `who`'s; where `of` is another, it claims that one's voice for itself.
    #[must_use]
    pub fn claim(self, who: u8, of: u8) -> MediaClaim {
        MediaClaim::sign(&Cheap, &Self::seed(who), &self.room(), &Self::node(who), Self::media_key(of))
    }

    /// What somebody says in a frame: so much follows from who and when that a forged frame is known by it.
    #[must_use]
    pub fn sound(who: u8, number: u32) -> Bytes {
        let [a, b, c, d] = number.to_be_bytes();
        Bytes::copy_from_slice(&[who, a, b, c, d])
    }

    /// A packet of a voice; not signed by it where `forged`.
    #[must_use]
    pub fn packet(self, who: u8, first: u32, k: FramesPerPacket, forged: bool) -> Option<Bytes> {
        let (key, epoch) = (Self::media_key(who), Epoch::default());
        let voice_key = Cheap.voice_key(&self.room(), epoch, &self.room_key(), &key);
        let captured = CaptureTime(u64::from(first) * 960);
        let header = Header { k, epoch, voice: key.voice(), first: FrameNumber(first), captured };
        let frames: Vec<Bytes> = header.frames().map(|FrameNumber(number)| Self::sound(who, number)).collect();
        let frames: Vec<&[u8]> = frames.iter().map(|frame| &frame[..]).collect();
        let signer = if forged { [0; 32] } else { Self::media_seed(who) };
        let level = Level::from_minus_dbov(20 + who);
        Some(Packet::seal(&Cheap, &self.room(), &signer, &voice_key, header, level, &frames).ok()?.bytes().clone())
    }
}
