//! Real rooms over real libp2p on loopback, driven by this crate.

mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use common::{
    QUIC, TCP,
    hostile::{Hostile, write_frame},
    seed_bytes, within,
};
use futures::AsyncWriteExt;
use treehouse_invite::{Charter, Holder, Invite, Policy, Role, Terms};
use treehouse_net::{Captured, CapturedSender, Endpoint, Handle, NetConfig, NetEvent, parse_address, start};
use treehouse_room::{
    Closing, Command, Config, Event, HostConfig, Input, JoinConfig, JoinFailure, Offence, Output, Past, PlayFrame,
    Protection, Room,
};
use treehouse_wire::{
    CaptureTime, Contact, FrameNumber, Level, List, NodeId, Shipped, Suite, UnixSeconds,
    control::{Control, Name},
};

const FRAME: Duration = Duration::from_millis(20);

fn wall() -> UnixSeconds {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    UnixSeconds(since.as_secs())
}

async fn endpoint(seed: u16, listen: &[&str]) -> Endpoint {
    let addresses: Vec<_> = listen.iter().map(|text| parse_address(text).expect("an address")).collect();
    let config = NetConfig::listening_on(&addresses).expect("addresses");
    start(&seed_bytes(seed), &config).await.expect("loopback can be listened on")
}

fn config(seed: u16, children_max: u8) -> Config {
    let mut random_seed = seed_bytes(seed);
    random_seed[31] = 1;
    Config { identity_seed: seed_bytes(seed), random_seed, name: Name::cleaned(&format!("node {seed}")), children_max }
}

/// A host that speaks, and its invite.
async fn host(seed: u16, listen: &[&str], protection: Protection, children_max: u8) -> (Handle, Invite) {
    let endpoint = endpoint(seed, listen).await;
    let signer = Shipped.signer(&seed_bytes(seed));
    let title = Name::cleaned("A test");
    let founder = endpoint.node_id();
    let charter = Charter { founder, salt: [7; 16], title, policy: Policy::Social, successors: List::default() };
    let terms = Terms {
        role: Role::Speaker,
        not_before: UnixSeconds(wall().0 - 60),
        expires: UnixSeconds(wall().0 + 3_600),
        uses: None,
        depth: 1,
    };
    let contact = Contact { node: founder, addresses: List::truncated(endpoint.addresses().iter().cloned()) };
    let holder = Holder::Bearer { seed: [8; 32] };
    let invite = Invite::issue(&Shipped, &signer, charter.founding(), terms, holder, [contact]).expect("an invite");
    let charter_statement = charter.sign(&Shipped, &signer);
    let host = HostConfig {
        charter,
        charter_statement,
        protection: Some(protection),
        media_seed: Some([3; 32]),
        region_max: HostConfig::REGION_MAX_DEFAULT,
        past: Past::default(),
    };
    let handle = endpoint.run(|now| Room::host(now, wall(), Shipped, config(seed, children_max), host), |_, _| {});
    (handle, invite)
}

/// A listener, and the frames it hears with the times at which they were verified.
struct Listener {
    node: NodeId,
    /// Where it can be reached.
    contact: Contact,
    handle: Handle,
    heard: Arc<Mutex<BTreeMap<u32, Instant>>>,
    twice: Arc<AtomicU32>,
}

impl Listener {
    async fn join(seed: u16, listen: &[&str], invite: &Invite, children_max: u8) -> Listener {
        let endpoint = endpoint(seed, listen).await;
        let node = endpoint.node_id();
        let contact = Contact { node, addresses: List::truncated(endpoint.addresses().iter().cloned()) };
        let heard = Arc::new(Mutex::new(BTreeMap::new()));
        let twice = Arc::new(AtomicU32::new(0));
        let (frames, doubles) = (Arc::clone(&heard), Arc::clone(&twice));
        let play = move |frame: PlayFrame, at| {
            // What is played is what was said, whatever a relay made of it.
            assert!(frame.opus.iter().all(|byte| *byte == frame.number.0 as u8), "frame {:?} is altered", frame.number);
            let mut frames = frames.lock().expect("no panic");
            if frames.insert(frame.number.0, at).is_some() {
                doubles.fetch_add(1, Relaxed);
            }
        };
        let join = JoinConfig { invite: invite.clone() };
        let handle = endpoint.run(|now| Room::join(now, wall(), Shipped, config(seed, children_max), join), play);
        Listener { node, contact, handle, heard, twice }
    }

    async fn admitted(&mut self) {
        until(&mut self.handle, "admission", |event| matches!(event, Event::Admitted { .. })).await;
    }

    fn missing(&self, frames: std::ops::Range<u32>) -> Vec<u32> {
        let heard = self.heard.lock().expect("no panic");
        frames.filter(|frame| !heard.contains_key(frame)).collect()
    }

    fn first(&self) -> Option<u32> {
        self.heard.lock().expect("no panic").keys().next().copied()
    }
}

async fn until(handle: &mut Handle, what: &str, wanted: impl Fn(&Event) -> bool) -> Event {
    within(what, async {
        loop {
            let event = handle.event().await.expect("the driver runs");
            if wanted(&event) {
                return event;
            }
        }
    })
    .await
}

/// Speaks frames `from..to` in real time.
async fn speak(voice: &CapturedSender, frames: std::ops::Range<u32>) {
    let mut ticks = tokio::time::interval(FRAME);
    for number in frames {
        ticks.tick().await;
        voice.send(Captured {
            number: FrameNumber(number),
            captured: CaptureTime(u64::from(number) * 960),
            level: Level::from_minus_dbov(20),
            opus: vec![number as u8; 80].into(),
        });
    }
}

async fn hears_a_host(transport: &str) {
    let (mut host, invite) = host(1, &[transport], Protection::Off, 8).await;
    let mut listener = Listener::join(2, &[transport], &invite, 0).await;
    listener.admitted().await;
    until(&mut host, "a member", |event| matches!(event, Event::MemberJoined { .. })).await;
    speak(&host.captured(), 0..150).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let first = listener.first().expect("something is heard");
    assert!(first < 50, "the first frame heard is {first}");
    assert_eq!(listener.missing(first..150), []);
    assert_eq!(listener.twice.load(Relaxed), 0);

    listener.handle.command(Command::Leave).await;
    until(&mut listener.handle, "its own end", |event| *event == Event::Closed(Closing::Left)).await;
    assert_eq!(within("the driver's end", listener.handle.event()).await, None);
    let left = Event::MemberLeft { peer: listener.node, polite: true };
    until(&mut host, "a goodbye", |event| *event == left).await;
    let stats = host.stats();
    assert!(stats.frames_sent >= 100 && stats.packets_dropped == 0 && stats.captured_dropped == 0, "{stats:?}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_hears_every_frame_of_its_host_over_quic() {
    hears_a_host(QUIC).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_hears_every_frame_of_its_host_over_tcp() {
    hears_a_host(TCP).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_joiner_comes_by_the_address_of_any_member() {
    let (mut host, invite) = host(1, &[QUIC], Protection::Off, 8).await;
    let mut first = Listener::join(2, &[QUIC], &invite, 4).await;
    first.admitted().await;
    until(&mut host, "the first member", |event| matches!(event, Event::MemberJoined { .. })).await;
    // The second one's invite names the first alone, which sends it on to the host.
    let by_member = invite.with_bootstrap([first.contact.clone()]);
    let mut second = Listener::join(3, &[QUIC], &by_member, 0).await;
    second.admitted().await;
    let node = second.node;
    until(&mut host, "the second", |event| matches!(event, Event::MemberJoined { peer, .. } if *peer == node)).await;
    speak(&host.captured(), 0..150).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let heard = second.first().expect("something is heard");
    assert!(heard < 50, "the first frame heard is {heard}");
    assert_eq!(second.missing(heard..150), []);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listeners_relay_and_the_death_of_a_relay_loses_nothing_under_full_protection() {
    const LISTENERS: u16 = 10;
    let (mut host, invite) = host(1, &[QUIC], Protection::All, 3).await;
    let mut listeners = Vec::new();
    for seed in 0..LISTENERS {
        let mut listener = Listener::join(10 + seed, &[QUIC], &invite, 3).await;
        listener.admitted().await;
        listeners.push(listener);
    }
    // Time to find parents and standbys while nothing is said.
    tokio::time::sleep(Duration::from_secs(6)).await;
    speak(&host.captured(), 0..100).await;
    // A relay that feeds others dies without a word.
    let victim = listeners.iter().position(|listener| listener.handle.stats().frames_sent > 0);
    let victim = listeners.remove(victim.expect("somebody relays"));
    let Listener { node, handle, .. } = victim;
    drop(handle);
    speak(&host.captured(), 100..250).await;
    tokio::time::sleep(Duration::from_millis(500)).await;

    let mut depths = BTreeSet::new();
    for listener in &mut listeners {
        let first = listener.first().expect("everyone hears");
        assert!(first < 50, "{} hears from frame {first} on", listener.node);
        assert_eq!(listener.missing(first..250), [], "{} after {node} died", listener.node);
        assert_eq!(listener.twice.load(Relaxed), 0);
        while let Ok(Some(event)) = tokio::time::timeout(Duration::from_millis(1), listener.handle.event()).await {
            if let Event::Feeds { depth, .. } = event {
                depths.insert(depth);
            }
        }
    }
    assert!(depths.iter().any(|depth| *depth > 1), "nobody listened to a listener: {depths:?}");
    host.command(Command::Leave).await;
    until(&mut host, "the end", |event| *event == Event::Closed(Closing::Left)).await;
    for listener in &mut listeners {
        until(&mut listener.handle, "the host's goodbye", |event| *event == Event::Closed(Closing::ByHost)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_that_send_nonsense_are_let_go_and_nobody_else_notices() {
    let (mut host, invite) = host(1, &[QUIC], Protection::Off, 8).await;
    let (node, address) = (invite.host(), invite.bootstrap()[0].addresses[0].clone());
    let mut listener = Listener::join(2, &[QUIC], &invite, 0).await;
    listener.admitted().await;
    let voice = host.captured();
    let talk = async {
        speak(&voice, 0..200).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
    };
    let trouble = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        // Bytes that are no message, an oversized length, packets that nobody asked for, and a flood.
        for seed in 30..34 {
            let hostile = Hostile::connect_to(seed, node, &address).await;
            let mut control = hostile.control().await;
            let _ = match seed {
                30 => write_frame(&mut control, &[0xff; 200]).await,
                31 => control.write_all(&[0xff; 400]).await,
                32 => {
                    let mut lane = hostile.lane(0).await;
                    write_frame(&mut lane, &[1; 200]).await
                }
                _ => flood(&mut control).await,
            };
            let _ = control.flush().await;
            if seed != 32 {
                hostile.let_go().await;
            }
        }
    };
    tokio::join!(talk, trouble);
    let first = listener.first().expect("something is heard");
    assert!(first < 50, "the first frame heard is {first}");
    assert_eq!(listener.missing(first..200), []);

    let mut offences = BTreeSet::new();
    while let Ok(Some(event)) = tokio::time::timeout(Duration::from_millis(10), host.event()).await {
        match event {
            Event::Offence { kind: Offence::Malformed, .. } => _ = offences.insert("malformed"),
            Event::Offence { kind: Offence::Flood, .. } => _ = offences.insert("flood"),
            Event::MemberJoined { peer, .. } => assert_eq!(peer, listener.node),
            Event::MemberLeft { peer, .. } => panic!("{peer} has left"),
            _ => {}
        }
    }
    assert_eq!(offences.into_iter().collect::<Vec<_>>(), ["flood", "malformed"]);
}

/// Well-formed pings, as many as go out.
async fn flood(control: &mut libp2p::Stream) -> std::io::Result<()> {
    let ping = Control::Ping { nonce: 1 }.to_bytes();
    let framed = [&(ping.len() as u16).to_be_bytes()[..], &ping].concat().repeat(50);
    loop {
        control.write_all(&framed).await?;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_does_not_answer_is_reported_address_by_address_within_ten_seconds() {
    let (host, invite) = host(1, &[QUIC, TCP], Protection::Off, 8).await;
    host.stop().await;
    let asked = Instant::now();
    let mut listener = Listener::join(2, &[QUIC, TCP], &invite, 0).await;
    let failed = until(&mut listener.handle, "a failure", |event| matches!(event, Event::JoinFailed(_))).await;
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    let Event::JoinFailed(JoinFailure::Unanswered { attempts }) = failed else { panic!("{failed:?}") };
    let reasons: Vec<&str> = attempts.iter().map(|(_, reason)| reason.as_str()).collect();
    assert_eq!(reasons, ["it did not answer within 4 s", "it refused the connection"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handle_that_is_dropped_stops_its_driver() {
    let (host, _) = host(1, &[TCP], Protection::Off, 8).await;
    let voice = host.captured();
    drop(host);
    // Nobody takes the frames any more; once the channel is full they are dropped and counted, and nothing hangs.
    within("the end", async {
        for number in 0..200 {
            let opus = vec![1; 80].into();
            voice.send(Captured { number: FrameNumber(number), captured: CaptureTime(0), level: Level::SILENCE, opus });
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// An honest Room behind a driver that alters one bit of each packet that it forwards, while `flips` says so.
async fn relay_that_flips(seed: u16, invite: Invite, flips: Arc<AtomicBool>) {
    let mut network = common::network(seed, &[QUIC]).await;
    let begin = Instant::now();
    let now = || treehouse_room::Instant::from_micros(begin.elapsed().as_micros() as u64);
    let mut room = Room::join(now(), wall(), Shipped, config(seed, 8), JoinConfig { invite });
    let _ = room.handle_input(now(), Input::Listening(network.addresses().to_vec()));
    loop {
        while let Some(output) = room.poll_output() {
            match output {
                Output::Dial { peer, addresses } => network.dial(peer, addresses),
                Output::Hangup { peer } => network.hang_up(&peer),
                Output::Send { to, bytes } => network.send(&to, &bytes),
                Output::Forward { to, lane, packet, .. } => {
                    let mut bytes = packet.to_vec();
                    bytes[40] ^= u8::from(flips.load(Relaxed));
                    common::forward(&network, &to, lane, &bytes);
                }
                Output::Play(_)
                | Output::Record(_)
                | Output::Redeem(_)
                | Output::Event(_)
                | Output::Measure { .. }
                | Output::MeasureFeed { .. } => {}
            }
        }
        let wait = room.poll_timeout().map_or(FRAME, |(at, _)| at.since(now()));
        let Ok(event) = tokio::time::timeout(wait, network.next()).await else {
            room.handle_timeout(now());
            continue;
        };
        let outcome = match event {
            Some(NetEvent::LinkUp(peer)) => room.handle_input(now(), Input::LinkUp { peer }),
            Some(NetEvent::LinkDown(peer, _)) => room.handle_input(now(), Input::LinkDown { peer }),
            Some(NetEvent::Control(from, bytes)) => room.handle_input(now(), Input::Control { from, bytes: &bytes }),
            Some(NetEvent::Media(from, packet)) => room.handle_input(now(), Input::Media { from, packet }),
            Some(NetEvent::DialFailed(peer, attempts)) => {
                room.handle_input(now(), Input::DialFailed { peer, attempts })
            }
            Some(NetEvent::Listening(addresses)) => room.handle_input(now(), Input::Listening(addresses)),
            None => return,
        };
        assert!(outcome.is_ok(), "{outcome:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_flips_bits_is_left_after_one_packet_and_nothing_is_lost() {
    // The host feeds one child, the relay, and has a slot for one standby: the listener's.
    let (host, invite) = host(1, &[QUIC], Protection::All, 2).await;
    let flips = Arc::new(AtomicBool::new(false));
    let relay = tokio::spawn(relay_that_flips(2, invite.clone(), Arc::clone(&flips)));
    let forger = NodeId(Shipped.public_key(&Shipped.signer(&seed_bytes(2))));
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut listener = Listener::join(3, &[QUIC], &invite, 0).await;
    let fed = |event: &Event| matches!(event, Event::Feeds { parent: Some(parent), standby: Some(_), .. } if *parent == forger);
    until(&mut listener.handle, "the relay as parent, the host as standby", fed).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    speak(&host.captured(), 0..100).await;
    flips.store(true, Relaxed);
    speak(&host.captured(), 100..250).await;
    tokio::time::sleep(Duration::from_millis(500)).await;

    let forged = Event::Offence { peer: forger, kind: Offence::Forged };
    until(&mut listener.handle, "the forger is named", |event| *event == forged).await;
    let moved = |event: &Event| matches!(event, Event::Feeds { parent: Some(parent), .. } if *parent != forger);
    until(&mut listener.handle, "the standby takes over", moved).await;
    assert_eq!(listener.missing(0..250), [], "nothing is lost");
    assert_eq!(listener.twice.load(Relaxed), 0);
    assert!(!relay.is_finished(), "the relay goes on");
    relay.abort();
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_nodes_hear_every_frame_for_half_a_minute() {
    const NODES: u16 = 199;
    const FRAMES: u32 = 1500;
    let (mut host, invite) = host(1, &[QUIC], Protection::Relays, 8).await;
    let mut listeners = Vec::new();
    for seed in 0..NODES {
        let mut listener = Listener::join(100 + seed, &[QUIC], &invite, 8).await;
        listener.admitted().await;
        listeners.push(listener);
    }
    // Until the last has its parent and its standby.
    tokio::time::sleep(Duration::from_secs(10)).await;
    speak(&host.captured(), 0..FRAMES).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let missed: usize = listeners.iter().map(|listener| listener.missing(0..FRAMES).len()).sum();
    let relays = listeners.iter().filter(|listener| listener.handle.stats().frames_sent > 0).count();
    println!("{} nodes, {FRAMES} frames: {missed} missed, {relays} relays", NODES + 1);
    assert_eq!(missed, 0, "all frames reach all");
    assert!(relays > 20, "listeners relay");
    assert!(listeners.iter().all(|listener| listener.twice.load(Relaxed) == 0));
    host.command(Command::Leave).await;
    until(&mut host, "the end", |event| *event == Event::Closed(Closing::Left)).await;
}
