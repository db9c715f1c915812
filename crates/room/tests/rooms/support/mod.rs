//! A scripted network in virtual time: many rooms, one queue of events, one seed.
//!
//! The network has delays from a plane, an in-order control stream and four in-order lanes a link, loss that delays what
//! comes behind it on the same lane (as a reliable stream does) or drops the packet (as a full queue does), crashes that the
//! other side notices only after an idle time, and partitions. After each step it checks what must always hold.

#![allow(dead_code, reason = "each test uses its own part")]

pub mod again;
pub mod check;
pub mod queue;
pub mod weather;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use treehouse_invite::{Charter, Holder, Invite, Policy, Role, Terms};
use treehouse_room::{
    Cheap, Closing, Command, Config, Event, HostConfig, Input, Instant, JoinConfig, Output, Past, Protection, Recorded,
    Redemption, Room, Trip, View,
};
use treehouse_wire::{
    Address, Blob, Bytes, CaptureTime, Contact, Control, Epoch, FrameNumber, Level, List, MediaKey, NodeId, Suite,
    UnixSeconds, VoiceId,
    control::{Name, Report},
};

use queue::Queue;
pub use weather::{CALM, Weather, Withholds};

/// The time of day at which every script starts.
pub const WALL: u64 = 1_800_000_000;
/// A crashed peer is noticed by its links after this, as QUIC's idle timeout does.
const IDLE: Duration = Duration::from_secs(5);
/// A dial that nobody answers fails after this.
const DIAL: Duration = Duration::from_secs(4);

pub type Ix = usize;

/// What happens at a time.
#[derive(Debug)]
pub enum Happening {
    Wake(Ix),
    LinkUp { at: Ix, peer: Ix, link: u64 },
    LinkDown { at: Ix, peer: Ix, link: u64 },
    DialFailed { at: Ix, peer: NodeId },
    Control { to: Ix, from: Ix, link: u64, bytes: Vec<u8> },
    Media { to: Ix, from: Ix, link: u64, packet: Bytes },
    Capture(Ix),
    Check,
}

pub struct Node<S: Suite> {
    pub room: Option<Room<S>>,
    pub id: NodeId,
    /// Its secret key.
    pub identity_seed: [u8; 32],
    pub place: (f64, f64),
    pub side: u8,
    /// Link number by peer, as this end sees it.
    pub links: BTreeMap<Ix, u64>,
    pub events: Vec<(Instant, Event)>,
    /// Frames played: when.
    pub played: BTreeMap<(VoiceId, FrameNumber), Instant>,
    /// What it was handed for a recording.
    pub recorded: Vec<Recorded>,
    pub speaking: bool,
    /// How loud it speaks, in dB below full scale.
    pub minus_dbov: u8,
    /// Its newest voice.
    pub voice: Option<VoiceId>,
    media_key: Option<MediaKey>,
    pub next_frame: u32,
    pub captured: BTreeMap<FrameNumber, Instant>,
    pub joined_at: Option<Instant>,
    pub uncovered_since: Option<Instant>,
    /// Its place in the tree as of its last step.
    pub view: Option<View>,
    wake_at: Option<Instant>,
}

pub struct World<S: Suite> {
    pub now: Instant,
    pub suite: S,
    pub nodes: Vec<Node<S>>,
    pub index: BTreeMap<NodeId, Ix>,
    pub weather: Weather,
    pub protection: Protection,
    /// The host chooses the protection by spare capacity.
    pub auto: bool,
    pub invite: Option<Invite>,
    /// Members of one region.
    pub region_max: u32,
    /// What the host knows of before.
    pub past: Past,
    pub policy: Policy,
    /// Uses that were kept, first first; where `keeps` is none they wait in it instead.
    pub kept_uses: Vec<Redemption>,
    pub keeps: Option<bool>,
    /// What the invite lets its holders do.
    pub role: Role,
    pub forwarded: u64,
    /// Round trips that were computed for hushed rooms.
    pub measured: usize,
    /// Whether the driver answers those that want round trips.
    pub answers: bool,
    /// Packets that were forwarded, while a test wants them.
    pub kept: Vec<Bytes>,
    pub keep_packets: bool,
    /// Room keys that were sent: when, by whom, to whom, of which epoch.
    pub keys_sent: Vec<(Instant, Ix, Ix, Epoch)>,
    /// What the host was told by way of others.
    pub reported: Vec<Report>,
    /// Relays that keep something back.
    pub withholds: BTreeMap<Ix, Withholds>,
    /// Room keys get lost.
    pub hold_keys: bool,
    /// Nodes that a test lets do wrong, and that may be accused.
    pub hostile: BTreeSet<NodeId>,
    /// Longest time that a connected member may be without a feed that carries.
    pub uncovered_max: Duration,
    /// What must always hold is checked; a test of something else may do without, which is faster.
    pub checked: bool,
    pub queue: Queue<Happening>,
    /// When the last message of a stream arrives: control is stream 4.
    streams: BTreeMap<(Ix, Ix, usize), Instant>,
    link_count: u64,
    rng: u64,
}

impl World<Cheap> {
    pub fn new(seed: u64, protection: Protection) -> Self {
        World::with_suite(Cheap, seed, protection)
    }
}

impl<S: Suite> World<S> {
    pub fn with_suite(suite: S, seed: u64, protection: Protection) -> Self {
        let mut world = World {
            now: Instant::from_micros(1_000_000),
            suite,
            nodes: Vec::new(),
            index: BTreeMap::new(),
            weather: CALM,
            protection,
            auto: false,
            invite: None,
            region_max: HostConfig::REGION_MAX_DEFAULT,
            past: Past::default(),
            policy: Policy::Social,
            kept_uses: Vec::new(),
            keeps: Some(true),
            role: Role::Speaker,
            forwarded: 0,
            measured: 0,
            answers: true,
            kept: Vec::new(),
            keep_packets: false,
            keys_sent: Vec::new(),
            reported: Vec::new(),
            withholds: BTreeMap::new(),
            hold_keys: false,
            hostile: BTreeSet::new(),
            uncovered_max: Duration::from_secs(10),
            checked: true,
            queue: Queue::default(),
            streams: BTreeMap::new(),
            link_count: 0,
            rng: seed.wrapping_mul(2).wrapping_add(1),
        };
        world.queue.push(world.now, Happening::Check);
        world
    }

    pub fn random(&mut self) -> u64 {
        self.rng ^= self.rng << 13;
        self.rng ^= self.rng >> 7;
        self.rng ^= self.rng << 17;
        self.rng.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        ((self.random() >> 33) as usize) % bound.max(1)
    }

    pub fn chance(&mut self, share: f64) -> bool {
        share > 0.0 && ((self.random() >> 11) as f64) / ((1_u64 << 53) as f64) < share
    }

    fn seed_of(&mut self, tag: u8) -> [u8; 32] {
        let mut seed = [tag; 32];
        seed[..8].copy_from_slice(&self.random().to_le_bytes());
        seed[8..16].copy_from_slice(&(self.nodes.len() as u64).to_le_bytes());
        seed
    }

    pub(super) fn add(&mut self, room: Room<S>, identity_seed: [u8; 32]) -> Ix {
        let ix = self.nodes.len();
        let place = ((self.below(1000) as f64) / 1000.0, (self.below(1000) as f64) / 1000.0);
        self.index.insert(room.node(), ix);
        self.nodes.push(Node {
            id: room.node(),
            identity_seed,
            room: Some(room),
            place,
            side: 0,
            links: BTreeMap::new(),
            events: Vec::new(),
            played: BTreeMap::new(),
            recorded: Vec::new(),
            speaking: false,
            minus_dbov: 30,
            voice: None,
            media_key: None,
            next_frame: 0,
            captured: BTreeMap::new(),
            joined_at: None,
            uncovered_since: None,
            view: None,
            wake_at: None,
        });
        ix
    }

    pub fn address(ix: Ix) -> Address {
        Blob::truncated((ix as u32).to_be_bytes())
    }

    pub(super) fn config(&mut self, name: &str, children_max: u8) -> Config {
        Config { identity_seed: self.seed_of(1), random_seed: self.seed_of(2), name: Name::cleaned(name), children_max }
    }

    /// Opens the room; the host is node 0.
    pub fn open(&mut self, children_max: u8) -> Ix {
        let config = self.config("host", children_max);
        let signer = self.suite.signer(&config.identity_seed);
        let founder = NodeId(self.suite.public_key(&signer));
        let salt = [7; 16];
        let title = Name::cleaned("A room");
        let charter = Charter { founder, salt, title, policy: self.policy, successors: List::default() };
        let charter_statement = charter.sign(&self.suite, &signer);
        let terms = Terms {
            role: self.role,
            not_before: UnixSeconds(WALL - 10),
            expires: UnixSeconds(WALL + 7200),
            uses: None,
            depth: 0,
        };
        let contact = Contact { node: founder, addresses: List::truncated([Self::address(0)]) };
        let bootstrap = [contact];
        let holder = Holder::Bearer { seed: [9; 32] };
        let invite = Invite::issue(&self.suite, &signer, charter.founding(), terms, holder, bootstrap);
        self.invite = Some(invite.expect("a valid invite"));
        let host = HostConfig {
            charter,
            charter_statement,
            protection: (!self.auto).then_some(self.protection),
            media_seed: None,
            region_max: self.region_max,
            past: self.past.clone(),
        };
        let identity_seed = config.identity_seed;
        let room = Room::host(self.now, UnixSeconds(WALL), self.suite.clone(), config, host);
        let ix = self.add(room, identity_seed);
        self.input(ix, Input::Listening(vec![Self::address(ix)]));
        ix
    }

    /// A node joins by the host's address.
    pub fn join(&mut self, children_max: u8) -> Ix {
        let invite = self.invite.clone().expect("the room is open");
        self.join_with(invite, children_max)
    }

    /// So many join, ten a second; each `leaves`-th cannot feed others, the others may have so many children.
    pub fn join_many(&mut self, members: usize, leaves: usize, children_max: u8) {
        for n in 0..members {
            self.join(if n % leaves == leaves - 1 { 0 } else { children_max });
            self.run_for(Duration::from_millis(100));
        }
    }

    /// A node joins by another member's address.
    pub fn join_by(&mut self, member: Ix, children_max: u8) -> Ix {
        let contact = Contact { node: self.nodes[member].id, addresses: List::truncated([Self::address(member)]) };
        let invite = self.invite.clone().expect("the room is open").with_bootstrap([contact]);
        self.join_with(invite, children_max)
    }

    /// A node joins by an invite.
    pub fn join_with(&mut self, invite: Invite, children_max: u8) -> Ix {
        let identity_seed = self.seed_of(1);
        self.join_as(identity_seed, invite, children_max)
    }

    /// Somebody joins by an invite; who was in the room before is another node of this world.
    pub fn join_as(&mut self, identity_seed: [u8; 32], invite: Invite, children_max: u8) -> Ix {
        let name = Name::cleaned(&format!("member {}", self.nodes.len()));
        let config = Config { identity_seed, random_seed: self.seed_of(2), name, children_max };
        let room = Room::join(self.now, UnixSeconds(WALL), self.suite.clone(), config, JoinConfig { invite });
        let ix = self.add(room, identity_seed);
        let reachable = if children_max > 0 { vec![Self::address(ix)] } else { Vec::new() };
        self.input(ix, Input::Listening(reachable));
        ix
    }

    /// Brings a node to the stage and lets it talk.
    pub fn speak(&mut self, ix: Ix) {
        let media_seed = self.seed_of(3);
        let key = MediaKey(self.suite.public_key(&self.suite.signer(&media_seed)));
        self.nodes[ix].voice = Some(key.voice());
        self.nodes[ix].media_key = Some(key);
        self.nodes[ix].next_frame = 0;
        self.nodes[ix].captured.clear();
        self.command(ix, Command::RaiseHand { media_seed });
        self.resume(ix);
    }

    /// Lets a node that is on stage talk again, with the key that it has.
    pub fn resume(&mut self, ix: Ix) {
        if !self.nodes[ix].speaking {
            self.nodes[ix].speaking = true;
            self.queue.push(self.now, Happening::Capture(ix));
        }
    }

    pub fn command(&mut self, ix: Ix, command: Command) {
        self.input(ix, Input::Command(command));
    }

    /// The process is killed: nobody is told.
    pub fn crash(&mut self, ix: Ix) {
        self.nodes[ix].room = None;
        self.nodes[ix].view = None;
        self.nodes[ix].speaking = false;
        let links = std::mem::take(&mut self.nodes[ix].links);
        for (peer, link) in links {
            self.queue.push(self.now.after(IDLE), Happening::LinkDown { at: peer, peer: ix, link });
        }
    }

    /// Puts nodes on one side of a partition or another; links across it die after the idle time.
    pub fn partition(&mut self, side: impl Fn(Ix) -> u8) {
        for ix in 0..self.nodes.len() {
            self.nodes[ix].side = side(ix);
        }
        for at in 0..self.nodes.len() {
            let links = self.nodes[at].links.iter().map(|(peer, link)| (*peer, *link));
            let cut: Vec<_> = links.filter(|(peer, _)| self.is_cut(at, *peer)).collect();
            for (peer, link) in cut {
                self.queue.push(self.now.after(IDLE), Happening::LinkDown { at, peer, link });
            }
        }
    }

    pub fn is_cut(&self, a: Ix, b: Ix) -> bool {
        self.nodes[a].side != self.nodes[b].side
    }

    /// The key of a node's newest voice.
    pub fn media_key(&self, ix: Ix) -> MediaKey {
        self.nodes[ix].media_key.expect("it has spoken")
    }

    pub fn room(&self, ix: Ix) -> &Room<S> {
        self.nodes[ix].room.as_ref().expect("the node is alive")
    }

    pub fn is_alive(&self, ix: Ix) -> bool {
        self.nodes[ix].room.is_some()
    }

    pub fn alive(&self) -> Vec<Ix> {
        (0..self.nodes.len()).filter(|ix| self.is_alive(*ix)).collect()
    }

    /// Members that were admitted and are still there.
    pub fn inside(&self) -> Vec<Ix> {
        self.alive().into_iter().filter(|ix| self.room(*ix).view().inside).collect()
    }

    fn delay(&mut self, a: Ix, b: Ix) -> Duration {
        let (pa, pb) = (self.nodes[a].place, self.nodes[b].place);
        let distance = ((pa.0 - pb.0).powi(2) + (pa.1 - pb.1).powi(2)).sqrt();
        let jitter = self.weather.jitter.mul_f64((self.below(1000) as f64) / 1000.0);
        Duration::from_micros(2000) + Duration::from_micros((distance * 60_000.0) as u64) + jitter
    }

    /// Runs until `until`.
    pub fn run_until(&mut self, until: Instant) {
        while let Some((at, happening)) = self.queue.pop_before(until) {
            self.now = self.now.max(at);
            self.happen(happening);
        }
        self.now = until;
    }

    pub fn run_for(&mut self, time: Duration) {
        self.run_until(self.now.after(time));
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Wake(ix) => self.wake(ix),
            Happening::LinkUp { at, peer, link } => self.link_up(at, peer, link),
            Happening::LinkDown { at, peer, link } => {
                if self.nodes[at].links.get(&peer) == Some(&link) {
                    self.nodes[at].links.remove(&peer);
                    let peer = self.nodes[peer].id;
                    self.input(at, Input::LinkDown { peer });
                }
            }
            Happening::DialFailed { at, peer } => {
                let attempts = vec![(Self::address(0), "nobody answers".to_owned())];
                self.input(at, Input::DialFailed { peer, attempts });
            }
            Happening::Control { to, from, link, bytes } => {
                if self.nodes[to].links.get(&from) == Some(&link) && !self.is_cut(to, from) {
                    let from = self.nodes[from].id;
                    self.input(to, Input::Control { from, bytes: &bytes });
                } else {
                    // Nobody acknowledges: the sender's end of the link dies too.
                    self.queue.push(self.now.after(IDLE), Happening::LinkDown { at: from, peer: to, link });
                }
            }
            Happening::Media { to, from, link, packet } => {
                if self.nodes[to].links.get(&from) == Some(&link) && !self.is_cut(to, from) {
                    let from = self.nodes[from].id;
                    self.input(to, Input::Media { from, packet });
                }
            }
            Happening::Capture(ix) => self.capture(ix),
            Happening::Check if !self.checked => {}
            Happening::Check => {
                self.check_all();
                self.queue.push(self.now.after(Duration::from_millis(50)), Happening::Check);
            }
        }
    }

    fn wake(&mut self, ix: Ix) {
        let now = self.now;
        let due = self.nodes[ix].room.as_ref().and_then(Room::poll_timeout).is_some_and(|(at, _)| at <= now);
        self.nodes[ix].wake_at = None;
        if due && let Some(room) = self.nodes[ix].room.as_mut() {
            room.handle_timeout(now);
        }
        self.drain(ix);
    }

    fn link_up(&mut self, at: Ix, peer: Ix, link: u64) {
        if self.is_alive(at) && self.is_alive(peer) && !self.is_cut(at, peer) {
            // Who has come again has lost the link that it had: the driver says so first.
            let id = self.nodes[peer].id;
            let lost = self.nodes[at].links.keys().copied().find(|of| *of != peer && self.nodes[*of].id == id);
            if let Some(lost) = lost {
                self.nodes[at].links.remove(&lost);
                self.input(at, Input::LinkDown { peer: id });
            }
            // A second connection between two nodes is the driver's business: the room knows one link. Where both have dialled, what was
            // sent by the first still arrives.
            let before = self.nodes[at].links.get(&peer).copied();
            if before.is_some_and(|link| self.nodes[peer].links.get(&at) == Some(&link)) {
                return;
            }
            self.nodes[at].links.insert(peer, link);
            if before.is_some() {
                return;
            }
            let peer = self.nodes[peer].id;
            self.input(at, Input::LinkUp { peer });
        }
    }

    fn capture(&mut self, ix: Ix) {
        let now = self.now;
        if !self.is_alive(ix) || !self.nodes[ix].speaking {
            return;
        }
        let number = FrameNumber(self.nodes[ix].next_frame);
        let opus = Bytes::from(format!("{ix}:{}", number.0));
        let captured = CaptureTime(u64::from(number.0) * 960);
        let level = Level::from_minus_dbov(self.nodes[ix].minus_dbov);
        let room = self.nodes[ix].room.as_mut().expect("alive");
        if room.handle_input(now, Input::Captured { number, captured, level, opus }).is_ok() {
            self.nodes[ix].captured.insert(number, now);
            self.nodes[ix].next_frame += 1;
        }
        self.drain(ix);
        self.queue.push(now.after(Duration::from_millis(20)), Happening::Capture(ix));
    }

    pub fn input(&mut self, ix: Ix, input: Input<'_>) {
        let now = self.now;
        if let Some(room) = self.nodes[ix].room.as_mut() {
            // A peer's mistake is in the events; a command that cannot be done is a mistake of the script.
            let outcome = room.handle_input(now, input);
            assert!(
                !matches!(outcome, Err(error) if !matches!(error, treehouse_room::RoomError::Peer(_) | treehouse_room::RoomError::Closed)),
                "{outcome:?}"
            );
        }
        self.drain(ix);
    }

    fn drain(&mut self, ix: Ix) {
        while let Some(output) = self.nodes[ix].room.as_mut().and_then(Room::poll_output) {
            self.output(ix, output);
        }
        let next = self.nodes[ix].room.as_ref().and_then(Room::poll_timeout).map(|(at, _)| at);
        if let Some(at) = next
            && self.nodes[ix].wake_at.is_none_or(|wake| wake > at)
        {
            self.nodes[ix].wake_at = Some(at);
            self.queue.push(at.max(self.now), Happening::Wake(ix));
        }
        if self.checked {
            self.check_step(ix);
        }
    }

    fn output(&mut self, ix: Ix, output: Output) {
        match output {
            Output::Dial { peer, addresses } => self.dial(ix, peer, &addresses),
            Output::Measure { peers } => self.measure(ix, &peers),
            Output::MeasureFeed { peer } => self.measure_feed(ix, peer),
            Output::Hangup { peer } => self.hang_up(ix, peer),
            Output::Send { to, bytes } => {
                if let Some((peer, link, at)) = self.transit(ix, &to, 4) {
                    match Control::from_bytes(&bytes) {
                        Ok(Control::Key { epoch, .. }) => {
                            self.keys_sent.push((self.now, ix, peer, epoch));
                            if self.hold_keys {
                                return;
                            }
                        }
                        Ok(Control::Reports(reports)) if peer == 0 => self.reported.extend(reports.into_vec()),
                        _ => {}
                    }
                    self.queue.push(at, Happening::Control { to: peer, from: ix, link, bytes });
                }
            }
            Output::Forward { to, lane, packet, .. } => {
                if self.keep_packets && !self.kept.contains(&packet) {
                    self.kept.push(packet.clone());
                }
                let voice = treehouse_wire::Packet::parse(packet.clone()).expect("a packet").header().voice;
                let withholds = self.withholds.get(&ix).copied().unwrap_or_default();
                let concerned = withholds.voice.is_none_or(|of| of == voice);
                for to in to {
                    self.forwarded += 1;
                    let concerned = concerned && withholds.only.is_none_or(|ix| self.nodes[ix].id == to);
                    if self.chance(self.weather.drop) || concerned && self.chance(withholds.share) {
                        continue;
                    }
                    if let Some((peer, link, at)) = self.transit(ix, &to, lane) {
                        self.queue.push(at, Happening::Media { to: peer, from: ix, link, packet: packet.clone() });
                    }
                }
            }
            Output::Play(frame) => {
                // Who came again has two numbers.
                let speakers = (0..self.nodes.len()).filter(|ix| self.nodes[*ix].id == frame.speaker);
                let mut genuine = speakers.map(|speaker| format!("{speaker}:{}", frame.number.0));
                assert!(genuine.any(|genuine| frame.opus == genuine.as_bytes()), "only what was said is played");
                let again = self.nodes[ix].played.insert((frame.voice, frame.number), self.now);
                assert_eq!(again, None, "no frame is played twice");
            }
            Output::Record(recorded) => self.nodes[ix].recorded.push(*recorded),
            Output::Redeem(redemption) => {
                if !redemption.links.is_empty() {
                    self.kept_uses.push(redemption.clone());
                }
                if let Some(kept) = self.keeps {
                    self.input(ix, Input::Redeemed { redemption, kept });
                }
            }
            Output::Event(event) => {
                match &event {
                    Event::Admitted { .. } => self.nodes[ix].joined_at = Some(self.now),
                    Event::Closed(Closing::Left | Closing::ByHost | Closing::Removed) => {
                        self.nodes[ix].speaking = false
                    }
                    _ => {}
                }
                self.nodes[ix].events.push((self.now, event));
            }
        }
    }

    /// What a ping would have brought.
    fn measure_feed(&mut self, ix: Ix, peer: NodeId) {
        let target = (0..self.nodes.len()).find(|of| self.is_alive(*of) && self.nodes[*of].id == peer);
        let round_trip = target.map(|target| self.delay(ix, target) * 2);
        if let (Some(round_trip), Some(room)) = (round_trip, &mut self.nodes[ix].room) {
            room.handle_input(self.now, Input::FeedMeasured { peer, round_trip }).expect("it can be told");
        }
    }

    /// What dials and two pings would have brought.
    fn measure(&mut self, ix: Ix, peers: &[NodeId]) {
        self.measured += peers.len();
        if !self.answers {
            return;
        }
        let mut trips = Vec::new();
        for peer in peers {
            let target = (0..self.nodes.len()).find(|of| self.is_alive(*of) && self.nodes[*of].id == *peer);
            let one_way = target.map(|target| self.delay(ix, target));
            let round_trip = one_way.map(|way| way * 2);
            trips.push(Trip { peer: *peer, after: one_way.map_or(DIAL, |way| way * 6), round_trip });
        }
        if let Some(room) = &mut self.nodes[ix].room {
            room.handle_input(self.now, Input::Measured(&trips)).expect("it can be told");
        }
    }

    fn dial(&mut self, ix: Ix, peer: NodeId, addresses: &[Address]) {
        let target = addresses.first().and_then(|address| Some(u32::from_be_bytes(address.as_ref().try_into().ok()?)));
        let target = target.map(|target| target as Ix).filter(|target| *target < self.nodes.len());
        let answered = target.filter(|target| self.is_alive(*target) && !self.is_cut(ix, *target));
        let Some(target) = answered else {
            return self.queue.push(self.now.after(DIAL), Happening::DialFailed { at: ix, peer });
        };
        self.link_count += 1;
        let (link, trip) = (self.link_count, self.delay(ix, target) * 3);
        if let Some(existing) = self.nodes[ix].links.get(&target).copied() {
            // The other side has connected meanwhile.
            return self.queue.push(self.now.after(trip), Happening::LinkUp { at: ix, peer: target, link: existing });
        }
        self.queue.push(self.now.after(trip), Happening::LinkUp { at: target, peer: ix, link });
        self.queue.push(self.now.after(trip), Happening::LinkUp { at: ix, peer: target, link });
    }

    fn hang_up(&mut self, ix: Ix, peer: NodeId) {
        let peer = self.index[&peer];
        if let Some((_, link, at)) = self.transit(ix, &self.nodes[peer].id.clone(), 4) {
            self.queue.push(at, Happening::LinkDown { at: peer, peer: ix, link });
            self.nodes[ix].links.remove(&peer);
        }
    }

    /// When something that is sent now on a stream arrives: in order on its stream, later where it was lost once.
    fn transit(&mut self, from: Ix, to: &NodeId, stream: usize) -> Option<(Ix, u64, Instant)> {
        let peer = *self.index.get(to)?;
        let link = *self.nodes[from].links.get(&peer)?;
        let mut delay = self.delay(from, peer);
        delay += self.withholds.get(&from).map_or(Duration::ZERO, |of| of.late);
        if self.chance(self.weather.loss) {
            delay += delay * 2 + Duration::from_millis(25);
        }
        let slot = self.streams.entry((from, peer, stream)).or_default();
        *slot = (*slot).max(self.now.after(delay));
        Some((peer, link, *slot))
    }

    /// Frames of `speaker` captured in a span that `ix` has not played.
    pub fn missing(&self, speaker: Ix, ix: Ix, from: Instant, to: Instant) -> BTreeSet<FrameNumber> {
        let captured = self.nodes[speaker].captured.iter().filter(|(_, at)| **at >= from && **at < to);
        let voice = self.nodes[speaker].voice.expect("it has spoken");
        let lacks = |number: &FrameNumber| !self.nodes[ix].played.contains_key(&(voice, *number));
        captured.map(|(number, _)| *number).filter(lacks).collect()
    }

    /// `ix` has played every frame that `speaker` captured in a span; what happened to it is shown where not.
    pub fn assert_heard(&self, speaker: Ix, ix: Ix, from: Instant, to: Instant) {
        let missing = self.missing(speaker, ix, from, to);
        let events: Vec<_> = self.nodes[ix].events.iter().rev().take(8).collect();
        assert!(missing.is_empty(), "node {ix} misses {missing:?} since {from:?}; {events:#?}");
    }

    /// Runs on, and everyone in the room plays every frame that `speaker` captures in that time.
    pub fn assert_all_hear(&mut self, speaker: Ix, time: Duration) {
        let from = self.now;
        self.run_for(time);
        let to = self.now;
        self.run_for(Duration::from_secs(1));
        for ix in self.inside().into_iter().filter(|ix| *ix != speaker) {
            self.assert_heard(speaker, ix, from, to);
        }
    }

    /// The longest time between two frames of one voice in a span.
    pub fn gap_max(&self, ix: Ix, from: Instant, to: Instant) -> Duration {
        let mut at: Vec<Instant> =
            self.nodes[ix].played.values().copied().filter(|at| *at >= from && *at < to).collect();
        at.sort_unstable();
        at.windows(2).map(|pair| pair[1].since(pair[0])).max().unwrap_or(Duration::MAX)
    }

    pub fn has_event(&self, ix: Ix, wanted: impl Fn(&Event) -> bool) -> bool {
        self.nodes[ix].events.iter().any(|(_, event)| wanted(event))
    }
}
