//! One real member's life: it comes, stays, and goes when the plan says, and writes down what it heard.
//!
//! The node is what ships: an [`Endpoint`] of `treehouse-net`, a [`Room`] with the real suite, and the driver between them. Its
//! secrets are those that the simulator gives the same member.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime},
};

use tokio::time::{Interval, MissedTickBehavior, interval_at, sleep_until, timeout};
use treehouse_invite::Invite;
use treehouse_net::{Captured, CapturedSender, Endpoint, Handle, Multiaddr, NetConfig, NetError, start};
use treehouse_room::{Command, Event, JoinConfig, Room, Suspicion};
use treehouse_sim::{
    engine::LINGER_US,
    plan::{Departure, NodeIx, NodePlan, Plan, Spurt},
    strategies::treehouse::{Keys, Settings},
    strategy::Place,
};
use treehouse_wire::{CaptureTime, FrameNumber, Level, NodeId, Shipped, UnixSeconds, units::FRAME_SAMPLES};

use crate::relay::Relay;

/// A person whose join failed tries again after this, as the simulator's do.
const RETRY: Duration = Duration::from_secs(2);
const SECOND_US: u64 = 1_000_000;
/// Bytes of an Opus frame at 32 kbit/s, as in the simulator.
const OPUS_BYTES: usize = 80;
/// Loudness of all sound, in dB below full scale.
const LEVEL: u8 = 30;

/// What all members share.
pub(crate) struct World {
    pub(crate) plan: Arc<Plan>,
    pub(crate) settings: Settings,
    pub(crate) keys: Keys,
    pub(crate) invite: Invite,
    pub(crate) index: BTreeMap<NodeId, NodeIx>,
    pub(crate) relay: Relay,
    /// When the run begins.
    pub(crate) origin: Instant,
}

impl World {
    fn at(&self, at_us: u64) -> tokio::time::Instant {
        (self.origin + Duration::from_micros(at_us)).into()
    }

    fn now_us(&self) -> u64 {
        since_us(self.origin, Instant::now())
    }

    fn of(&self, node: NodeIx) -> &NodePlan {
        &self.plan.nodes[node.index()]
    }
}

fn since_us(origin: Instant, at: Instant) -> u64 {
    u64::try_from(at.saturating_duration_since(origin).as_micros()).unwrap_or(u64::MAX)
}

/// The time of day, which invites depend on.
pub(crate) fn wall() -> UnixSeconds {
    UnixSeconds(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

/// Brings a member's network up, behind the relay. Nothing is dialled yet.
pub(crate) async fn listen(relay: &Relay, keys: &Keys, plan: &Plan, node: NodeIx) -> Result<Endpoint, NetError> {
    let quic = |at: std::net::SocketAddr| {
        let text = format!("/ip4/{}/udp/{}/quic-v1", at.ip(), at.port());
        text.parse::<Multiaddr>().map_err(|error| NetError::Setup(error.to_string()))
    };
    let config = NetConfig {
        listen: vec![quic(relay.inner(node))?],
        announce: vec![quic(relay.outer(node))?],
        ..NetConfig::default()
    };
    start(&keys.config(node, 0, &plan.nodes[node.index()]).identity_seed, &config).await
}

/// What a member sent in one second, in bytes with their headers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sent {
    pub(crate) bytes: u64,
    pub(crate) to_host_bytes: u64,
    /// Packets of sound, without any header.
    pub(crate) media_bytes: u64,
    pub(crate) media_packets: u64,
}

/// What a member went through. Times are in microseconds since the start of the run.
#[derive(Debug, Default)]
pub(crate) struct Life {
    pub(crate) joined_us: u64,
    /// When it went; none for one that stayed to the end.
    pub(crate) left_us: Option<u64>,
    /// Frames as they were played: when their packet was verified, and their number.
    pub(crate) played: Vec<(u64, u32)>,
    /// Where it was at the end of seconds.
    pub(crate) places: Vec<(u64, Place)>,
    /// What it had sent by then.
    pub(crate) sent: Vec<(u64, Sent)>,
    /// When it heard again, and how long after it noticed that it heard nothing.
    pub(crate) repaired: Vec<(u64, u64)>,
    /// Whom it suspected, when, and why.
    pub(crate) suspected: Vec<(u64, Option<NodeIx>, Suspicion)>,
    /// Packets that came until the warm-up's end, and to the end.
    pub(crate) packets_early: u64,
    pub(crate) packets: u64,
    pub(crate) joins_failed: u64,
    /// When each frame of its voice was captured.
    pub(crate) captured: Vec<u64>,
    /// Frames that the driver was too far behind to take.
    pub(crate) captured_dropped: u64,
}

/// How a try to be in the room ended.
enum End {
    JoinFailed,
    Over(Handle),
}

/// One member from before it comes until it has gone.
pub(crate) struct Member {
    world: Arc<World>,
    node: NodeIx,
    life: Life,
    played: Arc<Mutex<Vec<(u64, u32)>>>,
    parent: Option<NodeIx>,
    standby: Option<NodeIx>,
    depth: u8,
    seconds: Interval,
    next_second: u64,
    voice: Option<JoinHandle<Vec<u64>>>,
}

impl Member {
    pub(crate) fn new(world: Arc<World>, node: NodeIx) -> Self {
        let next_second = world.of(node).joins_us / SECOND_US + 1;
        let mut seconds = interval_at(world.at(next_second * SECOND_US), Duration::from_secs(1));
        // None is left out, however late it is.
        seconds.set_missed_tick_behavior(MissedTickBehavior::Burst);
        Member {
            world,
            node,
            life: Life::default(),
            played: Arc::default(),
            parent: None,
            standby: None,
            depth: 0,
            seconds,
            next_second,
            voice: None,
        }
    }

    /// Lives.
    pub(crate) async fn live(mut self, endpoint: Endpoint) -> Result<Life, NetError> {
        let world = Arc::clone(&self.world);
        let of = world.of(self.node);
        sleep_until(world.at(of.joins_us)).await;
        self.life.joined_us = world.now_us();
        let ends = world.at(of.leaves_us.unwrap_or(world.plan.duration_us));
        let mut endpoint = Some(endpoint);
        for attempt in 0.. {
            let listening = match endpoint.take() {
                Some(listening) => listening,
                None => listen(&world.relay, &world.keys, &world.plan, self.node).await?,
            };
            let handle = self.enter(listening, attempt);
            match self.stay(handle, ends).await {
                End::Over(handle) => {
                    self.life.left_us = of.leaves_us.map(|_| world.now_us());
                    self.go(handle, of).await;
                    break;
                }
                End::JoinFailed => {
                    self.life.joins_failed += 1;
                    sleep_until(ends.min(tokio::time::Instant::now() + RETRY)).await;
                    if tokio::time::Instant::now() >= ends {
                        self.life.left_us = of.leaves_us.map(|_| world.now_us());
                        break;
                    }
                }
            }
        }
        self.life.played = std::mem::take(&mut *self.played.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(voice) = self.voice.take() {
            self.life.captured = voice.join().unwrap_or_default();
        }
        Ok(self.life)
    }

    /// Opens the room, or tries to join it.
    fn enter(&mut self, endpoint: Endpoint, attempt: u32) -> Handle {
        let world = Arc::clone(&self.world);
        let config = world.keys.config(self.node, attempt, world.of(self.node));
        let (origin, played) = (world.origin, Arc::clone(&self.played));
        let play = move |frame: treehouse_room::PlayFrame, at| {
            played.lock().unwrap_or_else(PoisonError::into_inner).push((since_us(origin, at), frame.number.0));
        };
        if self.node != NodeIx::HOST {
            let join = JoinConfig { invite: world.invite.clone() };
            return endpoint.run(|now| Room::join(now, wall(), Shipped, config, join), play);
        }
        let host = world.keys.host(&Shipped, world.settings, Some(world.keys.media_seed(self.node, 0)));
        let handle = endpoint.run(|now| Room::host(now, wall(), Shipped, config, host), play);
        let (voice, spurts, frame_us) = (handle.captured(), world.plan.talk.clone(), world.plan.media.frame_us);
        self.voice = Some(thread::spawn(move || speak(&voice, &spurts, frame_us, origin)));
        handle
    }

    /// Stays until its time is over or its join has failed.
    async fn stay(&mut self, mut handle: Handle, ends: tokio::time::Instant) -> End {
        loop {
            tokio::select! {
                event = handle.event() => match event {
                    Some(Event::JoinFailed(_)) => return End::JoinFailed,
                    Some(event) => self.note(&event),
                    None => {
                        // The driver has ended before its time; what was not heard since then counts against it.
                        sleep_until(ends).await;
                        return End::Over(handle);
                    }
                },
                _ = self.seconds.tick() => self.sample(&handle),
                () = sleep_until(ends) => {
                    let stats = handle.stats();
                    self.life.packets = stats.packets_received;
                    self.life.captured_dropped = stats.captured_dropped;
                    return End::Over(handle);
                }
            }
        }
    }

    /// Goes as the plan says.
    async fn go(&mut self, mut handle: Handle, of: &NodePlan) {
        if of.leaves_us.is_none() || of.departure == Departure::Crash {
            self.world.relay.cut(self.node);
            return;
        }
        handle.command(Command::Leave).await;
        let said = async { while handle.event().await.is_some() {} };
        // Who does not get it said in time goes without.
        let _ = timeout(Duration::from_micros(LINGER_US), said).await;
    }

    fn note(&mut self, event: &Event) {
        let now_us = self.world.now_us();
        let index = |id: &NodeId| self.world.index.get(id).copied();
        match event {
            Event::Feeds { parent, standby, depth } => {
                self.parent = parent.as_ref().and_then(index);
                self.standby = standby.as_ref().and_then(index);
                self.depth = *depth;
            }
            Event::Repaired { after } => {
                self.life.repaired.push((now_us, u64::try_from(after.as_micros()).unwrap_or(u64::MAX)));
            }
            Event::Suspected { peer, reason } => self.life.suspected.push((now_us, index(peer), *reason)),
            _ => {}
        }
    }

    /// The end of a second.
    fn sample(&mut self, handle: &Handle) {
        let at_us = self.next_second * SECOND_US;
        self.next_second += 1;
        let depth = self.parent.map(|_| f64::from(self.depth));
        self.life.places.push((at_us, Place { parent: self.parent, standby: self.standby, depth }));
        let stats = handle.stats();
        let (bytes, to_host_bytes) = self.world.relay.sent_bytes(self.node);
        let (media_bytes, media_packets) = (stats.bytes_sent, stats.packets_sent);
        self.life.sent.push((at_us, Sent { bytes, to_host_bytes, media_bytes, media_packets }));
        if at_us <= self.world.plan.warmup_us {
            self.life.packets_early = stats.packets_received;
        }
    }
}

/// Speaks in real time; gives the time at which the last sample of each frame was captured. A frame is due as in the simulator:
/// the first one frame's length after the talkspurt's beginning.
fn speak(voice: &CapturedSender, spurts: &[Spurt], frame_us: u64, origin: Instant) -> Vec<u64> {
    let mut captured = Vec::new();
    for spurt in spurts {
        let mut due_us = spurt.from_us + frame_us;
        while due_us <= spurt.until_us {
            let due = origin + Duration::from_micros(due_us);
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let at_us = since_us(origin, Instant::now());
            let number = captured.len() as u32;
            let mut opus = vec![0; OPUS_BYTES];
            opus[..4].copy_from_slice(&number.to_be_bytes());
            voice.send(Captured {
                number: FrameNumber(number),
                captured: CaptureTime((due_us - frame_us) * u64::from(FRAME_SAMPLES) / frame_us.max(1)),
                level: Level::from_minus_dbov(LEVEL),
                opus: opus.into(),
            });
            captured.push(at_us);
            due_us += frame_us;
        }
    }
    captured
}
