//! The messages of the control substream.
//!
//! Each link has one control substream, `/treehouse/control/1`: a big-endian u16 length, then one [`Control`] in the
//! canonical encoding of [`codec`](crate::codec), [`CONTROL_BYTES_MAX`] at most.
//! Signed statements travel as the bytes that were signed; what is in them is defined by the `invite` crate.

use serde::{Deserialize, Serialize};

use crate::{
    codec::{Blob, DecodeError, List, Text, decode, encode},
    ids::{LinkTag, MediaKey, NodeId, NodeTag, VoiceId},
    limits::{
        ADDRESS_BYTES_MAX, ADDRESSES_MAX, CANDIDATES_MAX, CONTROL_BYTES_MAX, HUBS_MAX, INVITE_BYTES_MAX, LEADERS_MAX,
        LINKS_MAX, NAME_BYTES_MAX, PATH_MAX, RECORDS_MAX, REPORTS_MAX, SIGNED_BYTES_MAX, SPARES_MAX,
        STATE_PART_BYTES_MAX, VOICES_MAX,
    },
    losses::Losses,
    signed::{Signature, Signed},
    suite::RoomKey,
    units::{Epoch, FrameNumber, UnixSeconds},
};

/// A binary multiaddress without its `/p2p` part. Only the `net` crate looks inside, and the room at which network it is in.
pub type Address = Blob<ADDRESS_BYTES_MAX>;
/// A display name or a title.
pub type Name = Text<NAME_BYTES_MAX>;
/// A signed statement in a control message.
pub type Statement = Signed<SIGNED_BYTES_MAX>;
/// The newest frame that a member has of each voice, so that a feed can go on from there.
pub type Positions = List<(VoiceId, FrameNumber), VOICES_MAX>;

/// The links of the invite that a member was admitted by, the founder's first; none for the host itself.
pub type Lineage = List<LinkTag, LINKS_MAX>;

/// A node and where it can be reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// The node.
    pub node: NodeId,
    /// Its addresses, best first.
    pub addresses: List<Address, ADDRESSES_MAX>,
}

/// Place in the order that keeps feeds free of cycles: a relay's feeds come from members of smaller rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Rank {
    /// Hops from the roots when the rank was given.
    pub depth: u8,
    /// Number of the member's admission; the host has 0.
    pub admission: u32,
}

impl Rank {
    /// The acting host's rank: before everyone's.
    pub const HOST: Rank = Rank { depth: 0, admission: 0 };
}

/// A network coordinate (Vivaldi): where a node is, for round trips that nobody measured.
///
/// The round trip between two nodes is the distance between their points plus both heights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// A point in three dimensions, in tenths of milliseconds.
    pub at: [i16; 3],
    /// The last mile that all its paths cross, in tenths of milliseconds.
    pub height: u16,
    /// Relative error that the node expects, in hundredths; 100 where nothing was measured.
    pub error: u8,
}

/// What a node tells the host about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// What to call it.
    pub name: Name,
    /// Where others can reach it; empty where they cannot, and then it stays a leaf.
    pub addresses: List<Address, ADDRESSES_MAX>,
    /// Primary and live standby feeds that it is willing to give.
    pub children_max: u8,
}

/// A request to be admitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Join {
    /// The invite's chain of links, without the seed of a bearer invite.
    pub chain: Blob<INVITE_BYTES_MAX>,
    /// By the holder of the last link, over who redeems it and at which host.
    pub proof: Signature,
    /// Who asks.
    pub profile: Profile,
    /// The host itself is to admit, where a hub could.
    pub direct: bool,
}

/// Admission. The room state follows in messages of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admitted {
    /// What the room is, signed by its founder.
    pub charter: Statement,
    /// That the node belongs to it, signed by the host, or by a hub.
    pub certificate: Statement,
    /// The lease of the hub that signed the certificate; absent where the host did.
    pub lease: Option<Statement>,
    /// Where the host can be reached.
    pub host: List<Address, ADDRESSES_MAX>,
    /// The epoch of the key.
    pub epoch: Epoch,
    /// The room key of that epoch; absent to a booster.
    pub key: Option<RoomKey>,
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// The invite or certificate is malformed or a signature in it does not verify.
    Invalid,
    /// It belongs to another room.
    OtherRoom,
    /// It is not valid any more.
    Expired,
    /// It is not valid yet.
    NotYetValid,
    /// Its uses are spent.
    UsedUp,
    /// It grants less than was asked.
    NotGranted,
    /// The node is not the host and cannot admit.
    NotHost,
    /// The host cannot place another member.
    RoomFull,
    /// Too many requests: try again later.
    Busy,
    /// The node, or an invite that it came by, is banned from the room.
    Banned,
    /// The host has revoked one of its links.
    Revoked,
    /// The room is closed, and the invite neither counted nor made out to one person.
    Uncounted,
}

/// Why a link ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Farewell {
    /// The node leaves the room.
    Leaving,
    /// The host has closed the room.
    RoomClosed,
    /// The link has no use any more; its ends stay in the room.
    Unused,
    /// The other end broke the protocol.
    Misbehaved,
    /// The other end was put out of the room.
    Removed,
}

/// What a feed is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Purpose {
    /// The feed that the child lives on.
    Primary,
    /// A second feed that carries everything, so that a crash loses nothing.
    LiveStandby,
    /// A reserved slot that carries ticks only, until the child subscribes to more.
    IdleStandby,
    /// For five seconds after admission, until a parent is found.
    Provisional,
    /// Between members of the stage and the roots: each sends its own voice.
    Stage,
}

/// Why a subscription was declined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Decline {
    /// No certificate, or one that does not verify or has expired.
    NotCertified,
    /// No slot is free.
    Full,
    /// It would break the order of ranks.
    Order,
    /// The parent has no feed itself.
    NoFeed,
    /// The parent is leaving.
    Leaving,
    /// The child has no place on the stage.
    NotOnStage,
}

/// A request to be fed, or to be fed for another purpose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscribe {
    /// The child's certificate.
    pub certificate: Statement,
    /// The lease that it was signed under, where a hub signed it.
    pub lease: Option<Statement>,
    /// What the feed is for.
    pub purpose: Purpose,
    /// The child's rank, if it feeds others; a leaf may take any feed.
    pub relay: Option<Rank>,
    /// A child of the parent that makes way: it is to be fed by the one that asks, at this contact. With it the request is
    /// granted where no slot is free.
    pub adopts: Option<Adoption>,
    /// Replay what the parent still holds that is newer than [`Subscribe::from`].
    pub replay: bool,
    /// The newest frame that the child has of each voice; of other voices it wants everything.
    pub from: Positions,
}

/// A leaf that makes way for a relay, and is fed by it from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adoption {
    /// The leaf.
    pub leaf: NodeId,
    /// Where it finds the relay.
    pub addresses: List<Address, ADDRESSES_MAX>,
}

/// What a parent says of itself to a child: at once on subscription, then every second, and after 60 ms of silence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tick {
    /// The nodes that the feed has come through, root first, the sender last.
    pub path: List<NodeTag, PATH_MAX>,
    /// The sender's rank.
    pub rank: Rank,
    /// The newest room state that it has: term and version.
    pub state: (u16, u32),
    /// It has lost its own feed and is looking for another: the child holds still for a while.
    pub repairing: bool,
    /// Members in the room, as far as the sender knows.
    pub members: u32,
    /// Where the sender is.
    pub position: Position,
    /// Estimated one-way delay from the root to the sender, in milliseconds.
    pub delay_ms: u16,
}

/// Whom a member is fed by, and whom it feeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The parent.
    pub parent: Option<NodeTag>,
    /// The standby.
    pub standby: Option<NodeTag>,
    /// The rank that the member goes by.
    pub rank: Rank,
    /// Primary feeds given.
    pub children: u8,
    /// Live standby feeds given.
    pub standbys: u8,
    /// Feeds that it is willing to give in all: fewer than its profile said where its uplink did not carry them.
    pub slots: u8,
    /// Where it is, once it has measured enough to know.
    pub position: Option<Position>,
    /// Estimated one-way delay from the root, in milliseconds.
    pub delay_ms: u16,
}

/// News of a member on the way up the tree to its registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Report {
    /// What a member says of itself.
    Status {
        /// The member.
        node: NodeId,
        /// What it says.
        status: Status,
    },
    /// A parent has lost a child.
    Gone {
        /// The child.
        node: NodeId,
        /// It said goodbye.
        polite: bool,
    },
    /// A member was sent a packet that nobody signed.
    Complaint {
        /// The member.
        node: NodeId,
        /// Who sent it.
        of: NodeTag,
        /// When.
        at: UnixSeconds,
        /// By the member, over its own id, that of the other, and the time.
        signature: Signature,
    },
}

impl Report {
    /// Whose it is.
    pub fn node(&self) -> NodeId {
        match self {
            Report::Status { node, .. } | Report::Gone { node, .. } | Report::Complaint { node, .. } => *node,
        }
    }
}

/// A member as one registry hands it over to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The member.
    pub node: NodeId,
    /// What it says of itself.
    pub profile: Profile,
    /// Role of its certificate, as the `invite` crate numbers them.
    pub role: u8,
    /// Number of its admission.
    pub admission: u32,
    /// The links of its invite.
    pub lineage: Lineage,
    /// Seconds that it has been in the room.
    pub age_s: u32,
    /// Counter of its newest placement.
    pub counter: u32,
    /// Whom it is fed by, and what else it last reported.
    pub status: Status,
}

/// A hub as the host tells the others of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HubRow {
    /// Where it is found.
    pub contact: Contact,
    /// Members of its region, itself not counted.
    pub members: u32,
    /// Free slots for children there.
    pub spare: u32,
}

/// Where a member is to take its feeds from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// Grows with each placement of this member; an older one is ignored.
    pub counter: u32,
    /// The member's rank from now on, unless it already feeds others.
    pub rank: Rank,
    /// Its parent.
    pub parent: Contact,
    /// A leaf of the parent that makes way for this member, and is to be its child.
    pub adopts: Option<NodeId>,
    /// Its standby, where one is free.
    pub standby: Option<Contact>,
    /// Members to try next, before the host is asked again.
    pub spares: List<Contact, SPARES_MAX>,
    /// Where the member is, as its registry reckons from what it measured.
    pub position: Position,
    /// When to ask whether there is a better place, in seconds from now.
    pub review_s: u16,
}

/// A control message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Control {
    /// Asks for a [`Control::Pong`] with the same number at once.
    Ping {
        /// Chosen by the sender.
        nonce: u32,
    },
    /// Answers a [`Control::Ping`].
    Pong {
        /// The number of the ping.
        nonce: u32,
    },
    /// The link ends. One that ends without it has crashed.
    Bye(Farewell),
    /// Asks a leader for admission: the host, or a hub.
    Join(Box<Join>),
    /// A member that lost its link to the host is back, or wants its certificate renewed.
    Resume {
        /// Its certificate.
        certificate: Statement,
        /// The lease that it was signed under, where a hub signed it.
        lease: Option<Statement>,
        /// Itself.
        profile: Profile,
        /// The host itself is asked, where a hub could.
        direct: bool,
    },
    /// Admits.
    Admitted(Box<Admitted>),
    /// Refuses a `Join` or a `Resume`.
    Refused(Refusal),
    /// Asks the host for a place.
    Seek {
        /// Members that were tried and did not work out.
        failed: List<NodeId, CANDIDATES_MAX>,
        /// Nothing is wrong: a better place is asked for, if there is one.
        review: bool,
    },
    /// Candidates to measure the round trip to.
    Offer {
        /// Names this offer in the answer.
        round: u32,
        /// Whom to measure.
        candidates: List<Contact, CANDIDATES_MAX>,
    },
    /// Answers an [`Control::Offer`].
    Measured {
        /// The offer's number.
        round: u32,
        /// Round trip to each candidate in milliseconds, absent where it could not be reached.
        round_trip_ms: List<(NodeId, Option<u16>), CANDIDATES_MAX>,
    },
    /// Assigns feeds.
    Placement(Box<Placement>),
    /// Tells the registry whom the member is fed by, by a link to it, on change and now and then.
    Status(Status),
    /// The same up the tree, with the news of others from below.
    Reports(List<Report, REPORTS_MAX>),
    /// Asks for a feed.
    Subscribe(Box<Subscribe>),
    /// Grants it.
    Subscribed {
        /// What for.
        purpose: Purpose,
        /// The parent's first tick.
        tick: Tick,
    },
    /// Declines it.
    Declined {
        /// What for.
        purpose: Purpose,
        /// Why.
        reason: Decline,
    },
    /// Ends a feed, said by either end.
    Unsubscribe,
    /// A parent's word to a child: another feeds it from now on, and it makes way.
    Moved(Contact),
    /// Says that the feed lives.
    Tick(Tick),
    /// Raises a hand with the media key that would be spoken under, or lowers it.
    Hand {
        /// The media key, the speaker's signature over it, and the media key's over the speaker; absent to lower the hand or leave
        /// the stage.
        claim: Option<(MediaKey, Signature, Signature)>,
    },
    /// The head of a room state.
    State(Statement),
    /// A piece of the stage list, or of the list of bans, that the newest head has the digest of.
    StatePart {
        /// SHA-256 of the whole list.
        digest: [u8; 32],
        /// This piece's number.
        index: u8,
        /// How many there are.
        of: u8,
        /// Its bytes.
        part: Blob<STATE_PART_BYTES_MAX>,
    },
    /// Asks a neighbour for its newest room state.
    StateWanted,
    /// Where a member of the stage or a root can be reached; from the host to those who need a direct link.
    StageContact(Contact),
    /// Which voices go down the tree; see the `invite` crate's `Beacon`.
    Beacon(Statement),
    /// Answers a `Join` or a `Resume`: others are to be asked, whichever of these is reached first.
    Redirect {
        /// Leaders of regions.
        leaders: List<Contact, LEADERS_MAX>,
        /// The one that is asked is to admit and not to redirect again.
        direct: bool,
    },
    /// From a new hub down its subtree: the region is led by another now.
    Leader {
        /// The hub.
        leader: Contact,
        /// Who has led the region until now; others do not listen.
        before: NodeId,
        /// The hub's lease.
        lease: Statement,
    },
    /// From a hub to the host: a lease is wanted, for a member that is to be a hub, or for the hub itself.
    LeaseWanted {
        /// Who is to lead.
        node: Contact,
        /// The admissions of the present lease are used up.
        fresh: bool,
    },
    /// A lease, to the hub that it is for or to the one that asked for it, and what a hub tells those whom it admits.
    Lease {
        /// Signed by the host.
        lease: Statement,
        /// What the room is, signed by its founder.
        charter: Statement,
        /// Where the host can be reached.
        host: List<Address, ADDRESSES_MAX>,
    },
    /// From a leader to the hub that takes over a subtree: who is in it, parents before children.
    Records(List<Record, RECORDS_MAX>),
    /// From a hub to the host: the sums of its region, on change and once a second at most.
    HubStatus {
        /// Members, the hub not counted.
        members: u32,
        /// Free slots for children.
        spare: u32,
        /// Raised hands.
        hands: u32,
    },
    /// From the host to a hub: others that joiners may be sent to; only what has changed.
    Hubs(List<HubRow, HUBS_MAX>),
    /// From a member down its subtree: this hub, which has led the region, cannot be reached any more.
    LeaderGone(NodeId),
    /// From the host to a hub: so many members with raised hands, the first to raise them, are to come to the host.
    HandsWanted {
        /// How many at most.
        count: u8,
    },
    /// From a leader down the tree to one of its members that has no link to it, which is to come for a better place.
    Page {
        /// The nodes that it still has to pass, the member last; empty for the member itself.
        path: List<NodeTag, PATH_MAX>,
    },
    /// The room key whose digest the newest head has, to members whose certificate the sender has seen.
    Key {
        /// Its epoch.
        epoch: Epoch,
        /// The key.
        key: RoomKey,
    },
    /// What a member and those whom it feeds lost of voices, to whoever feeds it, or to the speaker where that is linked directly.
    Losses(List<(VoiceId, Losses), VOICES_MAX>),
}

impl Control {
    /// The message as it crosses the network, without the length before it.
    pub fn to_bytes(&self) -> Vec<u8> {
        encode(self)
    }

    /// Reads one message.
    ///
    /// # Errors
    /// [`DecodeError`] where it is too long, malformed, not canonical, or followed by other bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        decode(bytes, CONTROL_BYTES_MAX)
    }
}
