//! What a running node tells a program that started it: with `--json`, one JSON object a line on standard output.
//!
//! `docs/events.md` lists them for readers. The names are stable: fields may be added, none is renamed or removed
//! within a major version. Each line has `event`, which names the kind, and `at_ms`, milliseconds since the program
//! started. Peers are libp2p peer ids in base58; voices are 16 hexadecimal digits.

use serde::{Deserialize, Serialize};
use treehouse_invite::StageMember;
use treehouse_room::{Closing, Event as RoomEvent, JoinFailure, Offence, Suspicion};
use treehouse_wire::{Address, NodeId, control::Refusal, losses::Reckoned};

use crate::peer::peer_id;

/// One line of JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
    /// Milliseconds since the program started.
    pub at_ms: u64,
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| std::fmt::Error)?)
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The node runs and listens.
    Started {
        /// This node.
        peer: String,
        /// The identity lasts as long as this process, since another one uses the kept one.
        temporary: bool,
        /// Where it listens, as multiaddresses.
        listening: Vec<String>,
    },
    /// An invite was read and is about to be used.
    Joining {
        /// The room's id, 64 hexadecimal digits.
        room: String,
        /// Its founder.
        host: String,
        /// Who may come, as the founder has signed: `open`, `social` or `closed`.
        policy: String,
    },
    /// Host: the invite, ready to be given away.
    Invite {
        /// Its text.
        invite: String,
    },
    /// This node is in the room; a host has opened it.
    Admitted {
        /// The room's id, 64 hexadecimal digits.
        room: String,
        /// Its title.
        title: String,
        /// Who may come: `open`, `social` or `closed`.
        policy: String,
        /// What this node may do: `listener`, `speaker`, `moderator` or `host`.
        role: String,
        /// Milliseconds since it began to join.
        after_ms: u64,
    },
    /// The room could not be joined.
    JoinFailed {
        /// One sentence.
        reason: String,
        /// Each address that was tried.
        attempts: Vec<Attempt>,
    },
    /// Host: a member was admitted.
    MemberJoined {
        /// Who.
        peer: String,
        /// Its name.
        name: String,
        /// What it may do.
        role: String,
    },
    /// Host: a member is gone.
    MemberLeft {
        /// Who.
        peer: String,
        /// It said goodbye.
        polite: bool,
    },
    /// How many members the room has, as far as this node knows.
    Members {
        /// Members, the host among them.
        count: u32,
    },
    /// This node is a hub: it admits and places members of its own region.
    Leads {
        /// From so many on it sends joiners to others.
        members_max: u32,
    },
    /// Host: how many hands are up in the whole room, the stage not counted.
    Hands {
        /// Hands.
        count: u32,
    },
    /// Host: a hand went up or down.
    Hand {
        /// Whose.
        peer: String,
        /// Its name.
        name: String,
        /// Up.
        raised: bool,
    },
    /// The whole stage, after a change.
    Stage {
        /// Who is on it.
        members: Vec<OnStage>,
    },
    /// Whose voices go down the tree.
    Floor {
        /// Those who speak them: three at most, the loudest.
        peers: Vec<String>,
    },
    /// The room is recorded, or not any more.
    Recording {
        /// It is.
        on: bool,
    },
    /// Who has a second feed.
    Protection {
        /// `off`, `relays` or `all`.
        protection: String,
    },
    /// What listeners lost lately of this node's own voice, which is encoded accordingly.
    Losses {
        /// Listeners that said so.
        listeners: u32,
        /// What nine in ten of them lost at most, in per cent of the frames.
        lost_percent: f32,
        /// Several frames in a row.
        bursts: bool,
    },
    /// Who feeds this node.
    Feeds {
        /// The parent.
        parent: Option<String>,
        /// The standby.
        standby: Option<String>,
        /// Relays between the roots and this node.
        depth: u8,
    },
    /// Whom this node feeds.
    Children {
        /// Those whose parent it is.
        primary: Vec<String>,
        /// Those whose standby it is.
        standby: Vec<String>,
    },
    /// A feed is suspect.
    Suspected {
        /// Which.
        peer: String,
        /// `silent`, `missing`, `late`, `forged`, `link_down`, `leaving` or `repairing`.
        reason: String,
    },
    /// No feed is suspect any more.
    Repaired {
        /// Milliseconds since the first was.
        after_ms: u64,
    },
    /// A neighbour broke the protocol; what it sent was dropped.
    Offence {
        /// Who.
        peer: String,
        /// `malformed`, `forged`, `out_of_role`, `unsolicited`, `flood` or `replayed`.
        kind: String,
    },
    /// The link to the host is lost; the room goes on.
    HostLost,
    /// The link to the host is back.
    HostBack,
    /// This node's own voice goes out from now on.
    Live {
        /// Its voice.
        voice: Option<String>,
    },
    /// Somebody begins or ceases to speak.
    Speaking {
        /// Who.
        peer: String,
        /// Begins.
        on: bool,
    },
    /// The first sound has left the mixer.
    FirstAudio {
        /// Milliseconds since this node began to join.
        after_ms: u64,
    },
    /// Something about the sound that a person should know, such as a device that is lost or back.
    Sound {
        /// One sentence.
        notice: String,
    },
    /// Counters since the start, once a second and once at the end.
    Stats(Stats),
    /// The node has left the room. Nothing follows.
    Closed {
        /// `left`, `closed_by_host`, `removed`, `host_lost`, or `failed`.
        reason: String,
        /// Lines of JSON that were dropped because nobody read them.
        events_dropped: u64,
    },
}

/// An address that was tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// The address, as a multiaddress.
    pub address: String,
    /// Why it did not work.
    pub reason: String,
}

/// One who may speak.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OnStage {
    /// Who.
    pub peer: String,
    /// Its name.
    pub name: String,
    /// What it may do.
    pub role: String,
    /// The voice that it speaks with, if it speaks.
    pub voice: Option<String>,
}

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// Bytes of packets sent, in all.
    pub bytes_sent: u64,
    /// Frames sent: one for each frame and receiver.
    pub frames_sent: u64,
    /// Frames that came, each copy counted.
    pub frames_received: u64,
    /// Distinct frames that were verified and opened.
    pub frames_verified: u64,
    /// Own frames that found the driver's queue full and were dropped.
    pub frames_unsent: u64,
    /// Packets dropped because they were too late for a slow receiver.
    pub packets_dropped: u64,
    /// Processor time of this process, user and system, in milliseconds.
    pub cpu_ms: u64,
    /// Most memory that this process has had resident, in KiB.
    pub rss_kib_max: u64,
}

impl From<&StageMember> for OnStage {
    fn from(member: &StageMember) -> Self {
        OnStage {
            peer: peer_id(&member.node),
            name: member.name.to_string(),
            role: member.role.to_string(),
            voice: member.claim.as_ref().map(|claim| claim.key.voice().to_string()),
        }
    }
}

/// A room's event for a reader. `after_ms` is the time since this node began to join; `address` writes an address.
pub fn from_room(event: &RoomEvent, after_ms: u64, address: impl Fn(&Address) -> String) -> Event {
    let peers = |nodes: &[NodeId]| nodes.iter().map(peer_id).collect();
    match event {
        RoomEvent::Admitted { room, title, policy, role } => Event::Admitted {
            room: room.to_string(),
            title: title.clone(),
            policy: policy.to_string(),
            role: role.to_string(),
            after_ms,
        },
        RoomEvent::JoinFailed(failure) => join_failed(failure, address),
        RoomEvent::MemberJoined { peer, name, role } => {
            Event::MemberJoined { peer: peer_id(peer), name: name.clone(), role: role.to_string() }
        }
        RoomEvent::MemberLeft { peer, polite } => Event::MemberLeft { peer: peer_id(peer), polite: *polite },
        RoomEvent::Members(count) => Event::Members { count: *count },
        RoomEvent::Leads { members_max } => Event::Leads { members_max: *members_max },
        RoomEvent::Hands(count) => Event::Hands { count: *count },
        RoomEvent::Hand { peer, name, raised } => {
            Event::Hand { peer: peer_id(peer), name: name.clone(), raised: *raised }
        }
        RoomEvent::Stage(members) => Event::Stage { members: members.iter().map(OnStage::from).collect() },
        RoomEvent::Floor(speakers) => Event::Floor { peers: peers(speakers) },
        RoomEvent::Recording(on) => Event::Recording { on: *on },
        RoomEvent::Protection(protection) => Event::Protection { protection: protection.to_string() },
        RoomEvent::Losses(Reckoned { listeners, lost_permille, bursts }) => {
            Event::Losses { listeners: *listeners, lost_percent: f32::from(*lost_permille) / 10.0, bursts: *bursts }
        }
        RoomEvent::Feeds { parent, standby, depth } => {
            Event::Feeds { parent: parent.as_ref().map(peer_id), standby: standby.as_ref().map(peer_id), depth: *depth }
        }
        RoomEvent::Children { primary, standby } => {
            Event::Children { primary: peers(primary), standby: peers(standby) }
        }
        RoomEvent::Suspected { peer, reason } => {
            Event::Suspected { peer: peer_id(peer), reason: suspicion(*reason).to_owned() }
        }
        RoomEvent::Repaired { after } => Event::Repaired { after_ms: after.as_millis() as u64 },
        RoomEvent::Offence { peer, kind } => Event::Offence { peer: peer_id(peer), kind: offence(*kind).to_owned() },
        RoomEvent::HostLost => Event::HostLost,
        RoomEvent::HostBack => Event::HostBack,
        RoomEvent::Closed(closing) => Event::Closed { reason: closing_word(*closing).to_owned(), events_dropped: 0 },
    }
}

fn join_failed(failure: &JoinFailure, address: impl Fn(&Address) -> String) -> Event {
    let attempts = match failure {
        JoinFailure::Unanswered { attempts } => {
            attempts.iter().map(|(tried, reason)| Attempt { address: address(tried), reason: reason.clone() }).collect()
        }
        _ => Vec::new(),
    };
    Event::JoinFailed { reason: join_failure(failure).to_owned(), attempts }
}

/// Why a room could not be joined, as one sentence that says what to do.
pub fn join_failure(failure: &JoinFailure) -> &'static str {
    match failure {
        JoinFailure::Refused(refusal) => match refusal {
            Refusal::Invalid => "the host does not accept this invite: ask for another one",
            Refusal::OtherRoom => "the invite is for another room than the host has open now: ask for a new one",
            Refusal::Expired => "the host says that the invite has expired: ask for a new one",
            Refusal::NotYetValid => {
                "the host says that the invite is not valid yet: look whether the clocks of both machines are right, or try again later"
            }
            Refusal::UsedUp => "the invite has been used as often as it allows: ask for a new one",
            Refusal::NotGranted => "the invite does not grant what was asked for: ask for one that does",
            Refusal::NotHost => "the node at the invite's address is not the room's host: ask for a new invite",
            Refusal::RoomFull => "the room is full: try again later",
            Refusal::Banned => {
                "you, or the invite that you came by, are banned from the room: only its host can change that"
            }
            Refusal::Revoked => "the host has taken this invite back: ask for another one",
            Refusal::Uncounted => {
                "the room is closed, and the invite neither made out to one person nor counted: ask for one that is"
            }
            Refusal::Busy => "the host has too many requests at once: try again in a moment",
        },
        JoinFailure::Unanswered { .. } => {
            "the host does not answer: check that the room is still open and that this machine can reach it"
        }
        JoinFailure::TimedOut => "the host was reached but did not answer in time: try again",
        JoinFailure::TooManyRedirects => {
            "the nodes that were asked only named others, three times over: try again in a moment"
        }
        JoinFailure::Clock => {
            "this machine's clock and the host's are more than two minutes apart: set the one that is wrong, and try again"
        }
        JoinFailure::BadAnswer => "what answered at the invite's address is not the room's host: ask for a new invite",
    }
}

fn suspicion(reason: Suspicion) -> &'static str {
    match reason {
        Suspicion::Silent => "silent",
        Suspicion::Missing => "missing",
        Suspicion::Late => "late",
        Suspicion::Forged => "forged",
        Suspicion::LinkDown => "link_down",
        Suspicion::Leaving => "leaving",
        Suspicion::Repairing => "repairing",
        Suspicion::Withheld => "withheld",
    }
}

fn offence(kind: Offence) -> &'static str {
    match kind {
        Offence::Malformed => "malformed",
        Offence::Forged => "forged",
        Offence::OutOfRole => "out_of_role",
        Offence::Unsolicited => "unsolicited",
        Offence::Flood => "flood",
        Offence::Replayed => "replayed",
    }
}

/// The word for why a room has ended.
pub fn closing_word(closing: Closing) -> &'static str {
    match closing {
        Closing::Left => "left",
        Closing::ByHost => "closed_by_host",
        Closing::Removed => "removed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_flat_object_that_reads_back() {
        let line =
            Line { event: Event::Feeds { parent: Some("12D3A".to_owned()), standby: None, depth: 2 }, at_ms: 17 };
        let text = line.to_string();
        assert_eq!(text, r#"{"event":"feeds","parent":"12D3A","standby":null,"depth":2,"at_ms":17}"#);
        assert_eq!(serde_json::from_str::<Line>(&text).expect("what was written"), line);
        for event in [Event::HostLost, Event::Stats(Stats { frames_sent: 3, ..Stats::default() })] {
            let line = Line { event, at_ms: 0 };
            assert_eq!(serde_json::from_str::<Line>(&line.to_string()).expect("what was written"), line);
        }
    }

    #[test]
    fn a_failed_join_names_each_address_that_was_tried() {
        let failure = JoinFailure::Unanswered { attempts: vec![(Address::default(), "timed out".to_owned())] };
        let event = from_room(&RoomEvent::JoinFailed(failure), 0, |_| "/ip4/127.0.0.1/tcp/1".to_owned());
        let Event::JoinFailed { reason, attempts } = event else { panic!("another event: {event:?}") };
        assert!(reason.contains("does not answer"));
        let wanted = Attempt { address: "/ip4/127.0.0.1/tcp/1".to_owned(), reason: "timed out".to_owned() };
        assert_eq!(attempts, [wanted]);
    }
}
