//! What goes into a [`Room`](crate::Room) and what comes out of it.

use core::time::Duration;

use treehouse_invite::{Banned, Policy, Protection, Role, StageMember};
use treehouse_wire::{
    Address, Bytes, CaptureTime, FrameNumber, Level, Losses, MediaKey, NodeId, RoomId, RoomKey, UnixSeconds, VoiceId,
    control::{Refusal, Statement},
    losses::Reckoned,
};

use crate::time::Instant;

/// What a driver tells a room.
#[derive(Debug)]
pub enum Input<'a> {
    /// The wall clock, at the start and about once a second; only expiry uses it.
    WallClock(UnixSeconds),
    /// Where this node can be reached from outside has changed; the whole list.
    Listening(Vec<Address>),
    /// A link is up: authenticated as `peer`, its control substream usable. The room counts one link a peer; a driver
    /// that holds two connections keeps that to itself.
    LinkUp {
        /// The other end.
        peer: NodeId,
    },
    /// The last connection to `peer` is gone.
    LinkDown {
        /// The other end.
        peer: NodeId,
    },
    /// A [`Output::Dial`] has failed on each address.
    DialFailed {
        /// Whom the dial was for.
        peer: NodeId,
        /// Each address that was tried and one sentence of why it failed.
        attempts: Vec<(Address, String)>,
    },
    /// A control message has come, still as bytes.
    Control {
        /// Who sent it.
        from: NodeId,
        /// One message without its length.
        bytes: &'a [u8],
    },
    /// A media packet has come, still as bytes.
    Media {
        /// Who sent it.
        from: NodeId,
        /// One packet without its length.
        packet: Bytes,
    },
    /// The own voice: the next frame that was captured and encoded.
    Captured {
        /// Number of the frame in this session.
        number: FrameNumber,
        /// When its first sample was captured.
        captured: CaptureTime,
        /// Its loudness.
        level: Level,
        /// One Opus packet.
        opus: Bytes,
    },
    /// The packets that the link to `peer` dropped past their deadline since the last such input, at most a second ago. Where
    /// several links drop the room gives fewer feeds.
    LaneDrops {
        /// The slow end.
        peer: NodeId,
        /// How many.
        packets: u32,
    },
    /// What came of [`Output::Measure`].
    Measured(&'a [Trip]),
    /// A feed was silent for longer than the room would wait; for drivers of rooms that are hushed, see
    /// [`Room::hush`](crate::Room::hush).
    FeedSilent {
        /// Which.
        peer: NodeId,
    },
    /// Something came by a feed that had been silent; for the same drivers.
    FeedHeard {
        /// Which.
        peer: NodeId,
    },
    /// The round trip to a feed, in answer to [`Output::MeasureFeed`]; for the same drivers.
    FeedMeasured {
        /// Which.
        peer: NodeId,
        /// Not below zero.
        round_trip: Duration,
    },
    /// What came of [`Output::Redeem`].
    Redeemed {
        /// Which.
        redemption: Redemption,
        /// It survives a crash from now on. Otherwise the use is given back, and the joiner is told to come again.
        kept: bool,
    },
    /// Something that the user wants.
    Command(Command),
}

/// What a user asks of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Raise a hand: ask to speak. `media_seed` is fresh randomness for this session's media key.
    RaiseHand {
        /// 32 bytes from a secure source; never used twice.
        media_seed: [u8; 32],
    },
    /// Lower the hand, or leave the stage.
    LowerHand,
    /// Host: bring a member who raised a hand onto the stage.
    Promote(NodeId),
    /// Host: send a member back to the audience.
    Demote(NodeId),
    /// Host: say in the room state whether the room is recorded. A new room key goes with it.
    SetRecording(bool),
    /// Hand out what a recording needs, [`Output::Record`], whenever the room state says that the room is recorded. Say it before
    /// the room does anything else.
    Record,
    /// Host: put a member out for as long as its certificate could last, or those who came by an invite.
    Kick(Banned),
    /// Host: keep somebody out for good.
    Ban(Banned),
    /// Host: let somebody in again.
    Unban(Banned),
    /// Host: admit nobody any more by a chain that has the link with this id. Who is in stays.
    RevokeInvite([u8; 32]),
    /// What was lost lately of a voice that is heard here: on its way up to the speaker, [`Event::Losses`].
    ReportLosses {
        /// Whose.
        voice: VoiceId,
        /// One listener's, as a rule; see [`Losses::of_one`].
        losses: Losses,
    },
    /// Leave; a host closes the room. [`Event::Closed`] follows once neighbours have been told.
    Leave,
}

/// That a node has used an invite some of whose links are counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redemption {
    /// Who.
    pub node: NodeId,
    /// The id of the chain's last link.
    pub chain: [u8; 32],
    /// The ids of its counted links: one use of each is taken. Where none is counted nobody waits for this to be kept.
    pub links: Vec<[u8; 32]>,
}

/// How long a member takes to answer, as a driver has computed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trip {
    /// Who.
    pub peer: NodeId,
    /// How long it takes from now to connect to it, where that is needed, and to measure.
    pub after: Duration,
    /// The least round trip; none where it cannot be reached.
    pub round_trip: Option<Duration>,
}

/// What a room wants done. The driver drains these after each input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Connect to a peer; answered by [`Input::LinkUp`] or [`Input::DialFailed`].
    Dial {
        /// Whom.
        peer: NodeId,
        /// Where, best first.
        addresses: Vec<Address>,
    },
    /// Compute the round trips to these members, in place of pings; for drivers of rooms that are hushed, see
    /// [`Room::hush`](crate::Room::hush). Answered by [`Input::Measured`] at once.
    Measure {
        /// Whom.
        peers: Vec<NodeId>,
    },
    /// Compute the round trip to this feed, in place of a ping; for drivers of rooms that are hushed. Answered by
    /// [`Input::FeedMeasured`] at once.
    MeasureFeed {
        /// Which.
        peer: NodeId,
    },
    /// Close the link to a peer, after what was sent to it before.
    Hangup {
        /// Whom.
        peer: NodeId,
    },
    /// Send one control message, in order.
    Send {
        /// To whom.
        to: NodeId,
        /// The message without its length.
        bytes: Vec<u8>,
    },
    /// Send one media packet to each of these peers, on its lane, dropping it once `deadline` has passed.
    Forward {
        /// To whom; never empty.
        to: Vec<NodeId>,
        /// The lane, below [`MEDIA_LANES`](treehouse_wire::limits::MEDIA_LANES).
        lane: usize,
        /// The packet without its length.
        packet: Bytes,
        /// After this it is of no use.
        deadline: Instant,
    },
    /// One frame of someone else's voice, verified and decrypted; each frame of a voice comes once.
    Play(PlayFrame),
    /// What the room's signatures say, for one who records: only after [`Command::Record`], and of packets and beacons only what
    /// comes while the signed room state says that the room is recorded.
    Record(Box<Recorded>),
    /// Host: keep this where a crash does not take it, and answer with [`Input::Redeemed`]. The joiner's certificate waits for
    /// the answer, and nothing else does; a driver that keeps nothing says yes at once.
    Redeem(Redemption),
    /// Something that a user or a log wants to know.
    Event(Event),
}

/// What a recording is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// The room's charter, as its founder signed it.
    Charter(Statement),
    /// A room state that says something new of the recording: the flag, the epoch, or who is on stage.
    State {
        /// The flag in it.
        recording: bool,
        /// The head, as the host signed it.
        head: Statement,
        /// The encoded stage list, which the head has the digest of.
        stage: Bytes,
    },
    /// A packet that verified, or one of the own voice, sealed in an epoch whose key was drawn for a recorded room.
    Packet {
        /// As it crossed the network.
        packet: Bytes,
        /// The key that signed it.
        key: MediaKey,
        /// The epoch's key.
        room_key: RoomKey,
        /// Which of its frames are new: bit i for the frame i.
        new: u8,
    },
    /// The host's account of what it has sent.
    Beacon(Statement),
}

/// One frame to play.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlayFrame {
    /// Whose voice.
    pub voice: VoiceId,
    /// Who speaks.
    pub speaker: NodeId,
    /// The frame.
    pub number: FrameNumber,
    /// When its first sample was captured, on the speaker's clock.
    pub captured: CaptureTime,
    /// Loudness of its packet.
    pub level: Level,
    /// One Opus packet.
    pub opus: Bytes,
    /// The neighbour whose copy came first.
    pub from: NodeId,
}

/// What happened. Every variant is something that the program shows, logs or counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// This node is admitted (a host: has opened the room).
    Admitted {
        /// The room.
        room: RoomId,
        /// Its title.
        title: String,
        /// Who may come into it.
        policy: Policy,
        /// What this node may do.
        role: Role,
    },
    /// The room could not be joined. The room is of no more use.
    JoinFailed(JoinFailure),
    /// Host: a member was admitted.
    MemberJoined {
        /// Who.
        peer: NodeId,
        /// The name it gave.
        name: String,
        /// What it may do.
        role: Role,
    },
    /// Host: a member is gone.
    MemberLeft {
        /// Who.
        peer: NodeId,
        /// It said goodbye; otherwise it crashed or was cut off.
        polite: bool,
    },
    /// Members in the room, as far as this node knows.
    Members(u32),
    /// This node is a hub from now on: it admits and places members of its own region, up to about so many.
    Leads {
        /// From here on it sends joiners to others.
        members_max: u32,
    },
    /// Host: a hand went up or down.
    Hand {
        /// Whose.
        peer: NodeId,
        /// Its name.
        name: String,
        /// Up.
        raised: bool,
    },
    /// Host: so many hands are up in the whole room, the stage not counted. In a large room most wait with the leaders of their
    /// regions; the first are seen by name, with [`Event::Hand`].
    Hands(u32),
    /// Who is on stage has changed; the whole stage.
    Stage(Vec<StageMember>),
    /// Whose voices go down the tree has changed: the loudest, three at most, as the host has chosen.
    Floor(Vec<NodeId>),
    /// The room's recording flag has changed.
    Recording(bool),
    /// Who has a second feed has changed, or is known for the first time.
    Protection(Protection),
    /// What listeners lost lately of the own voice: it is to be encoded with as much redundancy as that takes.
    Losses(Reckoned),
    /// This node's feeds have changed.
    Feeds {
        /// The parent, if there is one.
        parent: Option<NodeId>,
        /// The standby, if there is one.
        standby: Option<NodeId>,
        /// Relays between the roots and this node.
        depth: u8,
    },
    /// This node feeds others, or other others.
    Children {
        /// Primary feeds given.
        primary: Vec<NodeId>,
        /// Standby feeds given, live or idle.
        standby: Vec<NodeId>,
    },
    /// A feed is suspect.
    Suspected {
        /// Which.
        peer: NodeId,
        /// Why.
        reason: Suspicion,
    },
    /// No feed is suspect any more, this long after the first was.
    Repaired {
        /// How long it took.
        after: Duration,
    },
    /// A neighbour broke the protocol; what it sent was dropped.
    Offence {
        /// Who.
        peer: NodeId,
        /// What it did.
        kind: Offence,
    },
    /// The link to the host is lost; the room goes on, and the host is dialled again.
    HostLost,
    /// The link to the host is back.
    HostBack,
    /// Everything is said; the driver may stop.
    Closed(Closing),
}

/// Why a room could not be joined.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinFailure {
    /// The host refused.
    #[error("the host refused: {0:?}")]
    Refused(Refusal),
    /// Nobody answered on any address.
    #[error("no address of the host answered")]
    Unanswered {
        /// Each address and why it failed.
        attempts: Vec<(Address, String)>,
    },
    /// The host answered but did not finish the admission in time.
    #[error("the host did not answer in time")]
    TimedOut,
    /// One node sent it to another, more often than is plausible.
    #[error("it was redirected too often")]
    TooManyRedirects,
    /// The host answered something that does not verify.
    #[error("the host's answer does not verify")]
    BadAnswer,
    /// What the host has just signed begins or has ended at another time than now: one of the two clocks is wrong.
    #[error("the host's clock and this machine's are too far apart")]
    Clock,
}

/// Why a feed is suspect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspicion {
    /// Neither packet nor tick came in time.
    Silent,
    /// It lacks packets that the other feed brings.
    Missing,
    /// It brings packets much later than the other feed.
    Late,
    /// It brought a packet whose signature does not verify under a key on stage.
    Forged,
    /// Its link is gone.
    LinkDown,
    /// It said that it leaves.
    Leaving,
    /// It has been repairing for too long.
    Repairing,
    /// It lacks packets, or is late with the host's own account of them, as the host says what it has sent.
    Withheld,
}

/// How a neighbour broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offence {
    /// A message or packet that does not decode.
    Malformed,
    /// A packet whose signature does not verify under a key on stage.
    Forged,
    /// A message that its sender has no right to send.
    OutOfRole,
    /// Packets that were not asked for.
    Unsolicited,
    /// More messages than the limit.
    Flood,
    /// The same packets over and over.
    Replayed,
}

/// Why a room has ended for this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// This node left.
    Left,
    /// The host closed the room.
    ByHost,
    /// The host has put this node out of the room.
    Removed,
}

/// Why an input could not be used. The room is as it was, and goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoomError {
    /// A booster relays and says nothing.
    #[error("a booster only relays: to speak, join with an invite of another role")]
    Booster,
    /// The peer sent something that does not decode; it was dropped.
    #[error("a peer sent what does not decode: {0}")]
    Peer(#[from] treehouse_wire::DecodeError),
    /// The command is for the host only.
    #[error("only the host can do this")]
    NotHost,
    /// There is no such member, or it has not raised a hand.
    #[error("no such member has a hand up")]
    NoSuchHand,
    /// The stage is full.
    #[error("the stage is full")]
    StageFull,
    /// The host cannot be put out of its own room.
    #[error("the host cannot be put out of its own room")]
    OwnRoom,
    /// The list of bans is full.
    #[error("the list of bans is full: end some first")]
    BansFull,
    /// There is no such ban.
    #[error("there is no such ban")]
    NoSuchBan,
    /// Captured frames are refused while this node is not on stage.
    #[error("this node is not on stage")]
    NotOnStage,
    /// A captured frame that is not newer than the last one, or too large.
    #[error("the captured frame cannot be sent")]
    BadFrame,
    /// The room has ended.
    #[error("the room has ended")]
    Closed,
}
