//! Real rooms on loopback, some of whose members are hostile.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use tokio::{sync::mpsc, task::JoinHandle};
use treehouse_hostile::{Behaviour, Hostile, run};
use treehouse_invite::{Charter, Founding, Holder, Invite, Policy, Role, Terms};
use treehouse_net::{Captured, NetConfig, Network, parse_address, start};
use treehouse_room::{Command, Config, Event, HostConfig, JoinConfig, Past, PlayFrame, Protection, Room};
use treehouse_wire::{
    Address, Bytes, CaptureTime, Contact, FrameNumber, Level, List, NodeId, Shipped, Suite, UnixSeconds, control::Name,
};

pub const TCP: &str = "/ip4/127.0.0.1/tcp/0";
pub const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";
const FRAME: Duration = Duration::from_millis(20);
/// Bytes of a frame at 32 kbit/s.
const OPUS_BYTES: usize = 80;

pub fn wall() -> UnixSeconds {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    UnixSeconds(since.as_secs())
}

pub fn seed_bytes(seed: u16) -> [u8; 32] {
    let mut bytes = [5; 32];
    bytes[..2].copy_from_slice(&seed.to_be_bytes());
    bytes
}

fn net(listen: &[&str]) -> NetConfig {
    let addresses: Vec<Address> = listen.iter().map(|text| parse_address(text).expect("an address")).collect();
    NetConfig::listening_on(&addresses).expect("addresses")
}

fn config(seed: u16, children_max: u8) -> Config {
    let mut random_seed = seed_bytes(seed);
    random_seed[31] = 1;
    Config { identity_seed: seed_bytes(seed), random_seed, name: Name::cleaned(&format!("node {seed}")), children_max }
}

/// What a voice says in a frame: nothing else was ever said.
pub fn said(voice: u16, number: u32) -> Bytes {
    let mut opus = [voice as u8; OPUS_BYTES];
    opus[..4].copy_from_slice(&number.to_be_bytes());
    Bytes::copy_from_slice(&opus)
}

/// What an honest node has heard and noticed.
#[derive(Default)]
pub struct Heard {
    /// When each frame came, by speaker.
    pub frames: BTreeMap<(NodeId, u32), Instant>,
    /// Frames that nobody has said, and frames that came twice.
    pub forged: usize,
    pub twice: usize,
    pub events: Vec<(Instant, Event)>,
}

/// An honest node.
pub struct Honest {
    pub node: NodeId,
    pub addresses: Vec<Address>,
    pub heard: Arc<Mutex<Heard>>,
    pub captured: treehouse_net::CapturedSender,
    commands: mpsc::Sender<Command>,
    task: JoinHandle<()>,
}

impl Honest {
    async fn start(
        seed: u16,
        listen: &[&str],
        speakers: Arc<Mutex<BTreeMap<NodeId, u16>>>,
        room: impl FnOnce(treehouse_room::Instant) -> Room<Shipped>,
    ) -> Honest {
        let endpoint = start(&seed_bytes(seed), &net(listen)).await.expect("loopback can be listened on");
        let (node, addresses) = (endpoint.node_id(), endpoint.addresses().to_vec());
        let heard = Arc::<Mutex<Heard>>::default();
        let (ears, notes) = (Arc::clone(&heard), Arc::clone(&heard));
        let play = move |frame: PlayFrame, at: Instant| {
            let voice = speakers.lock().expect("no panic").get(&frame.speaker).copied();
            let mut heard = ears.lock().expect("no panic");
            if voice.is_none_or(|voice| frame.opus != said(voice, frame.number.0)) {
                heard.forged += 1;
            } else if heard.frames.insert((frame.speaker, frame.number.0), at).is_some() {
                heard.twice += 1;
            }
        };
        let mut handle = endpoint.run(room, play);
        let captured = handle.captured();
        let (commands, mut wanted) = mpsc::channel(16);
        let task = tokio::spawn(async move {
            loop {
                tokio::select! {
                    event = handle.event() => match event {
                        Some(event) => notes.lock().expect("no panic").events.push((Instant::now(), event)),
                        None => break,
                    },
                    command = wanted.recv() => match command {
                        Some(command) => handle.command(command).await,
                        None => break,
                    },
                }
            }
            handle.stop().await;
        });
        Honest { node, addresses, heard, captured, commands, task }
    }

    pub async fn command(&self, command: Command) {
        self.commands.send(command).await.expect("it runs");
    }

    pub fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().expect("no panic")
    }

    pub fn is_admitted(&self) -> bool {
        self.heard().events.iter().any(|(_, event)| matches!(event, Event::Admitted { .. }))
    }

    pub async fn stop(self) {
        drop(self.commands);
        let _ = self.task.await;
    }
}

/// An invite of the founder's for whoever has it.
fn issue(founding: Founding, role: Role, bearer: u8, bootstrap: Vec<Contact>) -> Invite {
    let (not_before, expires) = (UnixSeconds(wall().0 - 60), UnixSeconds(wall().0 + 3600));
    let terms = Terms { role, not_before, expires, uses: None, depth: 0 };
    let (signer, holder) = (Shipped.signer(&seed_bytes(1)), Holder::Bearer { seed: [bearer; 32] });
    Invite::issue(&Shipped, &signer, founding, terms, holder, bootstrap).expect("an invite")
}

/// A room and all its nodes.
pub struct Lab {
    pub host: Honest,
    pub invite: Invite,
    pub honest: Vec<Honest>,
    pub hostile: Vec<(Behaviour, Hostile)>,
    /// When everything is to begin to go wrong.
    pub wrong_at: Instant,
    speakers: Arc<Mutex<BTreeMap<NodeId, u16>>>,
    /// When the host said each frame.
    said_at: Arc<Mutex<BTreeMap<u32, Instant>>>,
    talks: Vec<JoinHandle<()>>,
    next_seed: u16,
}

impl Lab {
    /// Opens a room; those that are hostile begin `after` from now.
    pub async fn open(protection: Option<Protection>, children_max: u8, after: Duration) -> Lab {
        Lab::open_on(&[QUIC], protection, children_max, after).await
    }

    /// The same; the host listens where it is told.
    pub async fn open_on(listen: &[&str], protection: Option<Protection>, children_max: u8, after: Duration) -> Lab {
        let speakers = Arc::<Mutex<BTreeMap<NodeId, u16>>>::default();
        let signer = Shipped.signer(&seed_bytes(1));
        let founder = NodeId(Shipped.public_key(&signer));
        let title = Name::cleaned("A test");
        let charter = Charter { founder, salt: [7; 16], title, policy: Policy::Social, successors: List::default() };
        let founding = charter.founding();
        let host = HostConfig {
            charter_statement: charter.sign(&Shipped, &signer),
            charter,
            protection,
            media_seed: Some([3; 32]),
            region_max: HostConfig::REGION_MAX_DEFAULT,
            past: Past::default(),
        };
        let open = |now| Room::host(now, wall(), Shipped, config(1, children_max), host);
        let host = Honest::start(1, listen, Arc::clone(&speakers), open).await;
        let contact = Contact { node: founder, addresses: List::truncated(host.addresses.iter().cloned()) };
        let invite = issue(founding, Role::Speaker, 8, vec![contact]);
        let wrong_at = Instant::now() + after;
        let (honest, hostile, talks) = (Vec::new(), Vec::new(), Vec::new());
        let said_at = Arc::default();
        let mut lab = Lab { host, invite, honest, hostile, wrong_at, speakers, said_at, talks, next_seed: 2 };
        lab.talk_as(1, founder, lab.host.captured.clone());
        lab
    }

    fn seed(&mut self) -> u16 {
        self.next_seed += 1;
        self.next_seed
    }

    /// One more honest member.
    pub async fn join(&mut self, children_max: u8) {
        self.join_with(self.invite.clone(), children_max).await;
    }

    /// One more honest member, by an invite of its own.
    pub async fn join_with(&mut self, invite: Invite, children_max: u8) {
        let (seed, join) = (self.seed(), JoinConfig { invite });
        let room = |now| Room::join(now, wall(), Shipped, config(seed, children_max), join);
        self.honest.push(Honest::start(seed, &[QUIC], Arc::clone(&self.speakers), room).await);
    }

    /// Another invite of the founder's: who comes by it has nothing in common with those who came by the first.
    pub fn invite_for(&self, role: Role, bearer: u8) -> Invite {
        issue(self.invite.founding(), role, bearer, self.invite.bootstrap().to_vec())
    }

    /// One that will not keep to the protocol.
    pub async fn join_hostile(&mut self, behaviour: Behaviour, children_max: u8) {
        self.join_hostile_with(self.invite.clone(), behaviour, children_max).await;
    }

    /// The same by an invite of its own.
    pub async fn join_hostile_with(&mut self, invite: Invite, behaviour: Behaviour, children_max: u8) {
        let (seed, join) = (self.seed(), JoinConfig { invite });
        let network = Network::start(seed_bytes(seed), &net(&[QUIC])).await.expect("loopback can be listened on");
        let claims = behaviour.claims(children_max);
        let room = |now| Room::join(now, wall(), Shipped, config(seed, claims), join);
        let after = self.wrong_at.saturating_duration_since(Instant::now());
        self.hostile.push((behaviour, run(network, room, behaviour, after)));
    }

    /// The honest member of this number goes on stage and speaks.
    pub async fn speak(&mut self, member: usize) {
        let (node, captured) = (self.honest[member].node, self.honest[member].captured.clone());
        self.honest[member].command(Command::RaiseHand { media_seed: [40 + member as u8; 32] }).await;
        self.talk_as(40 + member as u16, node, captured);
    }

    fn talk_as(&mut self, voice: u16, node: NodeId, captured: treehouse_net::CapturedSender) {
        self.speakers.lock().expect("no panic").insert(node, voice);
        let said_at = (node == self.host.node).then(|| Arc::clone(&self.said_at));
        self.talks.push(tokio::spawn(async move {
            let mut ticks = tokio::time::interval(FRAME);
            for number in 0.. {
                ticks.tick().await;
                if let Some(said_at) = &said_at {
                    said_at.lock().expect("no panic").insert(number, Instant::now());
                }
                captured.send(Captured {
                    number: FrameNumber(number),
                    captured: CaptureTime(u64::from(number) * 960),
                    level: Level::from_minus_dbov(20),
                    opus: said(voice, number),
                });
            }
        }));
    }

    /// When the host said a frame.
    pub fn said_at(&self, number: u32) -> Option<Instant> {
        self.said_at.lock().expect("no panic").get(&number).copied()
    }

    /// Where the host takes TCP connections.
    pub fn host_tcp(&self) -> std::net::SocketAddr {
        let texts = self.host.addresses.iter().map(treehouse_net::address_text);
        let port = texts.filter_map(|text| text.rsplit_once("/tcp/").and_then(|(_, port)| port.parse().ok())).next();
        (std::net::Ipv4Addr::LOCALHOST, port.expect("it listens on TCP")).into()
    }

    pub async fn until_wrong(&self, past: Duration) {
        tokio::time::sleep_until((self.wrong_at + past).into()).await;
    }

    /// Frames of the host that came to somebody between two instants after everything began to go wrong: whoever missed one that
    /// another heard has missed it.
    pub fn said_between(&self, from: Duration, to: Duration) -> std::ops::RangeInclusive<u32> {
        let (from, to) = (self.wrong_at + from, self.wrong_at + to);
        let (mut first, mut last) = (u32::MAX, 0);
        for honest in &self.honest {
            let heard = honest.heard();
            for ((speaker, number), at) in &heard.frames {
                if *speaker == self.host.node && (from..to).contains(at) {
                    (first, last) = (first.min(*number), last.max(*number));
                }
            }
        }
        first..=last
    }

    pub async fn stop(self) {
        self.talks.iter().for_each(JoinHandle::abort);
        for (_, hostile) in self.hostile {
            hostile.stop().await;
        }
        for honest in self.honest {
            honest.stop().await;
        }
        self.host.stop().await;
    }
}
