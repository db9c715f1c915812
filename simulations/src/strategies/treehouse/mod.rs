//! Treehouse: each node is the very [`Room`] that ships, driven in virtual time.
//!
//! This module is a driver, as `crates/net` is one over libp2p: it does what a room asks for, tells it what happened and wakes
//! it when it wants to. All decisions are the room's. Messages are the encoded bytes and so have their real size; with the
//! [`Cheap`] suite, which signs and seals without cryptography but to the same lengths, nothing else differs from a
//! node that ships.

mod keys;
mod kicks;
mod lies;
mod perform;
mod slow;
mod sweep;
mod tally;
mod voice;

use std::{collections::BTreeMap, sync::Arc};

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use treehouse_hostile::Twist;
use treehouse_invite::Invite;
use treehouse_room::{Cheap, Command, HostConfig, Input, Instant, JoinConfig, Pool, Room, Upstream};
use treehouse_wire::{Address, Bytes, Contact, Control, Header, List, NodeId, Suite, UnixSeconds, VoiceId};

use crate::{
    engine::{Engine, Net, Run},
    plan::{Hostile, NodeIx, Plan},
    random::mix,
    strategy::{Frame, Place, Strategy},
};
use keys::WALL;
use kicks::Kicks;
use slow::Slow;
use tally::Kinds;
use voice::{Turn, Voice};

pub use keys::{Keys, SeedMap};

/// A room is told the time of day this often; only expiry, in hours, depends on it.
const WALL_CLOCK_US: u64 = 60_000_000;
/// A person whose join failed tries again after this, in microseconds.
const RETRY_US: u64 = 2_000_000;
/// Nodes drawn to find one that is present; the host's address serves where none is.
const DRAWS: u32 = 64;

/// Members that an invite names, where it names members: one may be gone, or go.
const NAMED: usize = 2;

/// Which members hold a live standby feed beside their parent's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protection {
    /// Nobody.
    Off,
    /// Members that feed others.
    #[default]
    Relays,
    /// Everyone.
    All,
    /// As many as spare capacity carries, at any time.
    Auto,
}

impl Protection {
    /// The levels themselves.
    pub const ALL: [Protection; 3] = [Protection::Off, Protection::Relays, Protection::All];

    /// Its name in scenarios and results.
    pub fn name(self) -> &'static str {
        match self {
            Protection::Off => "off",
            Protection::Relays => "relays",
            Protection::All => "all",
            Protection::Auto => "auto",
        }
    }

    /// The room's own name for it.
    pub fn of_room(self) -> Option<treehouse_room::Protection> {
        match self {
            Protection::Off => Some(treehouse_room::Protection::Off),
            Protection::Relays => Some(treehouse_room::Protection::Relays),
            Protection::All => Some(treehouse_room::Protection::All),
            Protection::Auto => None,
        }
    }
}

/// Whose address a joiner's invite names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bootstrap {
    /// The host's while those present fit one region, else a member's.
    #[default]
    Auto,
    /// The host's.
    Host,
    /// That of a member drawn at random of those that are present and can be reached.
    Member,
}

/// The `[treehouse]` section of a scenario. How many frames a packet carries is the room's own decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// The room's protection.
    pub protection: Protection,
    /// Members of one region, from which its leader sends joiners on to hubs.
    pub region_max: u32,
    /// Whose address joiners come by.
    pub bootstrap: Bootstrap,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            protection: Protection::default(),
            region_max: HostConfig::REGION_MAX_DEFAULT,
            bootstrap: Bootstrap::default(),
        }
    }
}

/// One node.
struct Member<S: Suite> {
    id: NodeId,
    room: Option<Box<Room<S>>>,
    /// When it is woken next.
    wake_us: Option<u64>,
    /// When it was last told the time of day.
    wall_us: u64,
    /// How often it has tried to join.
    attempts: u32,
    admitted: bool,
    /// Hops from the root, as its feed says.
    depth: Option<u8>,
    feeds_others: bool,
    /// What its room lived on when flow mode last looked.
    upstream: Upstream,
    /// Members that it sends ticks, and those among them that it sends packets.
    ticked: u16,
    fed: u16,
    /// In flow mode: whom it measured last, and until when the links to those would be there.
    measured: Vec<NodeIx>,
    measured_until_us: u64,
    voice: Option<Box<Voice>>,
    /// What stands between its room and the network, and when that acts of its own accord.
    twist: Option<Box<Twist>>,
    twist_us: Option<u64>,
}

/// All nodes of a run.
pub struct Treehouse<S: Suite = Cheap> {
    suite: S,
    settings: Settings,
    keys: Keys,
    invite: Invite,
    members: Vec<Option<Member<S>>>,
    /// Members that are admitted and have not gone.
    present: u32,
    index: FxHashMap<NodeId, NodeIx>,
    voices: FxHashMap<VoiceId, NodeIx>,
    /// The voice of each speaker's newest turn.
    newest_voice: BTreeMap<NodeIx, VoiceId>,
    /// When members that ever speak have their hands up.
    turns: BTreeMap<NodeIx, Vec<Turn>>,
    /// What has been played since the last input.
    played: Vec<(NodeIx, u32)>,
    kinds: Kinds,
    kicks: Kicks,
    slow: FxHashMap<NodeIx, Slow>,
    /// Room states, each held once.
    pool: Pool,
}

/// What travels over a link.
#[derive(Debug)]
pub enum Message {
    /// One control message.
    Control(Vec<u8>),
    /// One media packet.
    Media(Bytes),
}

/// What a node is woken for.
#[derive(Clone, Copy, Debug)]
pub enum Timer {
    /// Its room wanted to wake at this time.
    Wake(u64),
    /// A contact without an address cannot be dialled.
    NoAddress(NodeId),
    /// The turn of this number begins or ends.
    Hand {
        /// Which.
        turn: u32,
        /// It begins.
        up: bool,
    },
    /// Another try to join.
    Retry,
    /// Who lies about round trips answers a ping now.
    Pong {
        /// Whose.
        to: NodeIx,
        /// Its number.
        nonce: u32,
    },
    /// In flow mode: a peer that fell silent is noticed, if it is a feed; an idle one later.
    Silent {
        /// Who.
        peer: NodeIx,
        /// An idle feed is noticed now.
        idle: bool,
    },
    /// Whether those whom the host has put out are kept out by now.
    Kicks,
    /// A hostile node acts of its own accord at this time.
    Twist(u64),
    /// One that is slow takes what has waited.
    Take,
}

/// How sound is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sound {
    /// Every packet is sent: packet mode.
    Packets,
    /// As spans of time over the tree: flow mode.
    Spans,
    /// As packets, and over the same tree as spans beside them.
    Both,
}

/// Starts a run with the simulator's suite.
pub fn start(plan: Arc<Plan>, settings: Settings, sound: Sound) -> Box<dyn Run> {
    start_with_seeds(plan, settings, sound, |seed| *seed)
}

/// Starts a run with the simulator's suite and secret keys that `seeds` makes.
pub fn start_with_seeds(plan: Arc<Plan>, settings: Settings, sound: Sound, seeds: SeedMap) -> Box<dyn Run> {
    let engine = Engine::new(plan, |plan| Treehouse::with_suite(plan, settings, Cheap, seeds));
    Box::new(match sound {
        Sound::Packets => engine,
        Sound::Spans => engine.in_flow(),
        Sound::Both => engine.with_spans(),
    })
}

impl<S: Suite> Treehouse<S> {
    /// A room with another suite than the simulator's. `seeds` makes secret keys out of random seeds: two suites whose public keys come out the
    /// same give the same run.
    pub fn with_suite(plan: &Arc<Plan>, settings: Settings, suite: S, seeds: SeedMap) -> Self {
        let keys = Keys::new(plan.seed, seeds);
        let invite = keys.invite(&suite, WALL, plan.duration_us, address(NodeIx::HOST));
        Treehouse {
            suite,
            settings,
            keys,
            invite,
            members: plan.nodes.iter().map(|_| None).collect(),
            present: 0,
            index: FxHashMap::default(),
            voices: FxHashMap::default(),
            newest_voice: BTreeMap::new(),
            turns: voice::turns(&plan.talk),
            played: Vec::new(),
            kinds: Kinds::default(),
            kicks: Kicks::default(),
            slow: FxHashMap::default(),
            pool: Pool::default(),
        }
    }

    /// A node's room, to look at.
    pub fn room(&self, node: NodeIx) -> Option<&Room<S>> {
        self.member(node)?.room.as_deref()
    }

    fn member(&self, node: NodeIx) -> Option<&Member<S>> {
        self.members.get(node.index())?.as_ref()
    }

    fn member_mut(&mut self, node: NodeIx) -> Option<&mut Member<S>> {
        self.members.get_mut(node.index())?.as_mut()
    }

    fn room_mut(&mut self, node: NodeIx) -> Option<&mut Room<S>> {
        self.member_mut(node)?.room.as_deref_mut()
    }

    fn id(&self, node: NodeIx) -> Option<NodeId> {
        Some(self.member(node)?.id)
    }

    /// Opens the room, or tries to join it.
    fn enter(&mut self, net: &mut Net<Self>, node: NodeIx, attempt: u32) {
        let of = &net.plan().nodes[node.index()];
        let now = Instant::from_micros(net.now_us());
        let wall = wall(net.now_us());
        let config = self.keys.config(node, attempt, of);
        let listening = if of.reachable { vec![address(node)] } else { Vec::new() };
        let suite = self.suite.clone();
        let room = if node == NodeIx::HOST {
            let media_seed = self.turns.contains_key(&node).then(|| self.media_seed(node, 0));
            let host = self.keys.host(&self.suite, self.settings, media_seed);
            Room::host(now, wall, suite, config, host)
        } else {
            Room::join(now, wall, suite, config, JoinConfig { invite: self.invite_of(net, node, attempt) })
        };
        let mut room = room;
        if net.is_flow() {
            room.hush();
        }
        let id = room.node();
        self.index.insert(id, node);
        let voice = self.member_mut(node).and_then(|member| member.voice.take());
        let twist = match net.plan().nodes[node.index()].hostile {
            Some(Hostile::Twist(behaviour)) => {
                Some(Twist::new(behaviour, now, mix(net.plan().seed ^ u64::from(node.0).rotate_left(32))))
            }
            _ => None,
        };
        self.members[node.index()] = Some(Member {
            id,
            room: Some(Box::new(room)),
            wake_us: None,
            wall_us: net.now_us(),
            attempts: attempt,
            admitted: false,
            depth: None,
            feeds_others: false,
            upstream: Upstream::default(),
            ticked: 0,
            fed: 0,
            measured: Vec::new(),
            measured_until_us: 0,
            voice,
            twist: twist.map(Box::new),
            twist_us: None,
        });
        self.input(net, node, Input::Listening(listening));
    }

    /// The invite as a joiner has it: with the address of the host or of some member.
    fn invite_of(&self, net: &Net<Self>, node: NodeIx, attempt: u32) -> Invite {
        let by_member = match self.settings.bootstrap {
            Bootstrap::Auto => self.present > self.settings.region_max,
            Bootstrap::Host => false,
            Bootstrap::Member => true,
        };
        let present = |drawn: &NodeIx| {
            let of = &net.plan().nodes[drawn.index()];
            of.reachable && *drawn != node && self.member(*drawn).is_some_and(|of| of.admitted && of.room.is_some())
        };
        if !by_member {
            return self.invite.clone();
        }
        let drawn = self.keys.bootstrap(node, attempt, self.members.len(), DRAWS).filter(present);
        let contact = |at| Some(Contact { node: self.id(at)?, addresses: List::truncated([address(at)]) });
        let contacts: Vec<Contact> = drawn.filter_map(contact).take(NAMED).collect();
        if contacts.is_empty() { self.invite.clone() } else { self.invite.clone().with_bootstrap(contacts) }
    }

    /// A fresh seed of a media key, whose voice is known to be this node's from now on.
    fn media_seed(&mut self, node: NodeIx, turn: u32) -> [u8; 32] {
        let seed = self.keys.media_seed(node, turn);
        let key = treehouse_wire::MediaKey(self.suite.public_key(&self.suite.signer(&seed)));
        self.voices.insert(key.voice(), node);
        self.newest_voice.insert(node, key.voice());
        seed
    }

    /// Raises the hand for a turn, if the room is one that can be spoken in.
    fn raise_hand(&mut self, net: &mut Net<Self>, node: NodeIx, turn: u32) {
        if node == NodeIx::HOST || self.member(node).is_none_or(|member| !member.admitted) {
            return;
        }
        let media_seed = self.media_seed(node, turn);
        self.input(net, node, Input::Command(Command::RaiseHand { media_seed }));
    }

    /// A member was admitted: if its turn has come it raises its hand.
    fn admitted(&mut self, net: &mut Net<Self>, node: NodeIx) {
        if let Some(member) = self.member_mut(node) {
            member.admitted = true;
            self.present += 1;
        }
        let now_us = net.now_us();
        let turns = (0_u32..).zip(self.turns.get(&node).into_iter().flatten());
        for (turn, _) in turns.filter(|(_, turn)| turn.from_us <= now_us && now_us < turn.until_us) {
            net.timer(node, now_us, Timer::Hand { turn, up: true });
        }
    }

    fn join_failed(&mut self, net: &mut Net<Self>, node: NodeIx) {
        net.count("joins_failed", 1);
        for peer in net.links(node).collect::<Vec<_>>() {
            net.disconnect(node, peer);
        }
        net.timer(node, net.now_us() + RETRY_US, Timer::Retry);
    }

    fn hear(&mut self, net: &mut Net<Self>, node: NodeIx, from: NodeIx, message: Message) {
        let Some(from) = self.id(from) else { return };
        match message {
            Message::Control(bytes) => self.input(net, node, Input::Control { from, bytes: &bytes }),
            Message::Media(packet) => self.media(net, node, from, packet),
        }
    }

    /// Whether a node hears speakers directly, chosen or not: on stage, or as a root.
    fn is_first_hand(&self, node: NodeIx) -> bool {
        self.turns.contains_key(&node) || self.room(node).is_some_and(|room| room.view().root)
    }

    /// Records what a packet brought, or that it brought nothing new.
    fn record(&mut self, net: &mut Net<Self>, node: NodeIx, from: NodeId, header: &Header) {
        let played = std::mem::take(&mut self.played);
        let speaker = self.voices.get(&header.voice).copied();
        let direct = speaker.and_then(|speaker| self.id(speaker)) == Some(from) && self.is_first_hand(node);
        let voice = speaker.and_then(|speaker| self.member(speaker)?.voice.as_deref());
        if let Some(packet) = voice.and_then(|voice| voice.packet(header.first.0, header.k.count())) {
            if played.is_empty() {
                net.repeated(node, packet);
            } else if direct {
                net.overheard(node, packet);
            } else {
                net.received(node, packet);
            }
        }
    }

    /// Records frames of packets that had waited for the room state.
    fn record_held(&mut self, net: &mut Net<Self>, node: NodeIx) {
        let played = std::mem::take(&mut self.played);
        for (speaker, first, frames) in voice::packets(&played) {
            let voice = self.member(speaker).and_then(|member| member.voice.as_deref());
            if let Some(packet) = voice.and_then(|voice| voice.packet(first, frames)) {
                net.received(node, packet);
            }
        }
    }
}

/// The address of a node: its number.
fn address(node: NodeIx) -> Address {
    Address::truncated(node.0.to_be_bytes())
}

fn wall(now_us: u64) -> UnixSeconds {
    UnixSeconds(WALL.0 + now_us / 1_000_000)
}

impl<S: Suite> Strategy for Treehouse<S> {
    type Message = Message;
    type Timer = Timer;

    fn name(&self) -> &'static str {
        "treehouse"
    }

    fn join(&mut self, net: &mut Net<Self>, node: NodeIx) {
        self.enter(net, node, 0);
        let turns = (0_u32..).zip(self.turns.get(&node).into_iter().flatten());
        for (turn, of) in turns.filter(|_| node != NodeIx::HOST) {
            if of.from_us > net.now_us() {
                net.timer(node, of.from_us, Timer::Hand { turn, up: true });
            }
            net.timer(node, of.until_us, Timer::Hand { turn, up: false });
        }
    }

    fn leave(&mut self, net: &mut Net<Self>, node: NodeIx) {
        self.input(net, node, Input::Command(Command::Leave));
        if self.member(node).is_none_or(|member| !member.admitted) {
            net.gone(node);
        }
    }

    fn gone(&mut self, node: NodeIx) {
        if let Some(member) = self.member_mut(node) {
            member.room = None;
            member.wake_us = None;
            member.feeds_others = false;
            if std::mem::take(&mut member.admitted) {
                self.present -= 1;
            }
        }
    }

    fn connected(&mut self, net: &mut Net<Self>, node: NodeIx, peer: NodeIx) {
        if let Some(peer) = self.id(peer) {
            self.input(net, node, Input::LinkUp { peer });
        }
    }

    fn unreachable(&mut self, net: &mut Net<Self>, node: NodeIx, peer: NodeIx) {
        let attempts = vec![(address(peer), "nobody answers".to_owned())];
        if let Some(peer) = self.id(peer) {
            self.input(net, node, Input::DialFailed { peer, attempts });
        }
    }

    fn disconnected(&mut self, net: &mut Net<Self>, node: NodeIx, peer: NodeIx) {
        if let Some(peer) = self.id(peer) {
            if let Some(twist) = self.member_mut(node).and_then(|member| member.twist.as_deref_mut()) {
                twist.lost(&peer);
            }
            self.input(net, node, Input::LinkDown { peer });
        }
    }

    fn receive(&mut self, net: &mut Net<Self>, node: NodeIx, from: NodeIx, message: Message) {
        if let Some(message) = self.put_by(net, node, from, message) {
            self.hear(net, node, from, message);
        }
    }

    fn timer(&mut self, net: &mut Net<Self>, node: NodeIx, timer: Timer) {
        match timer {
            Timer::Wake(at_us) => self.wake(net, node, at_us),
            Timer::NoAddress(peer) => self.input(net, node, Input::DialFailed { peer, attempts: Vec::new() }),
            Timer::Hand { turn, up: true } => self.raise_hand(net, node, turn),
            Timer::Hand { up: false, .. } => self.input(net, node, Input::Command(Command::LowerHand)),
            Timer::Pong { to, nonce } => self.send(net, node, to, Control::Pong { nonce }.to_bytes()),
            Timer::Silent { peer, idle } => self.silent(net, node, peer, idle),
            Timer::Kicks => self.see_kicks(net),
            Timer::Take => self.take(net, node),
            Timer::Twist(at_us) => self.act(net, node, at_us),
            Timer::Retry => {
                let attempt = self.member(node).map_or(0, |member| member.attempts + 1);
                self.enter(net, node, attempt);
            }
        }
    }

    fn falls_silent(&mut self, net: &mut Net<Self>, node: NodeIx, peer: NodeIx) {
        self.notice_silence(net, node, peer);
    }

    fn dropped(&mut self, net: &mut Net<Self>, node: NodeIx, peer: NodeIx, packets: u32) {
        // Who lies about its capacity does not heed its lanes either.
        let lies = matches!(net.plan().nodes[node.index()].hostile, Some(Hostile::LieCapacity { .. }));
        if let Some(peer) = self.id(peer).filter(|_| !lies) {
            self.input(net, node, Input::LaneDrops { peer, packets });
        }
    }

    fn frame(&mut self, net: &mut Net<Self>, node: NodeIx, frame: Frame) {
        self.capture(net, node, frame);
    }

    fn kick(&mut self, net: &mut Net<Self>, node: NodeIx) {
        self.put_out(net, node);
    }

    fn place(&self, node: NodeIx) -> Place {
        let Some(member) = self.member(node) else { return Place::default() };
        let Some(room) = member.room.as_deref() else { return Place::default() };
        tally::place(&room.view(), member.depth, |id| self.index.get(id).copied())
    }

    fn finish(&mut self, net: &mut Net<Self>) {
        for (name, count) in self.kicks.counts().into_iter().chain(self.kinds.counts()) {
            net.count(name, count);
        }
    }

    fn is_relay(&self, node: NodeIx) -> bool {
        self.member(node).is_some_and(|member| member.feeds_others)
    }
}
