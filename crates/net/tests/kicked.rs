//! A member that is put out of a real room and does not go: it keeps its connections, its certificate and every key that it was
//! given, and asks everyone for sound. What the room says a second later it cannot open.

mod common;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use common::{
    QUIC,
    hostile::{Hostile, read_frame, write_frame},
    seed_bytes,
};
use treehouse_invite::{Banned, Charter, Holder, Invite, Policy, Role, Terms};
use treehouse_net::{Captured, CapturedSender, Endpoint, Handle, NetConfig, parse_address, start};
use treehouse_room::{Command, Config, HostConfig, JoinConfig, Past, Protection, Room};
use treehouse_wire::{
    Address, CaptureTime, Contact, Epoch, FrameNumber, Level, List, MediaKey, NodeId, Packet, RoomId, RoomKey, Shipped,
    Suite, UnixSeconds,
    control::{Control, Join, Name, Profile, Purpose, Statement, Subscribe},
};

const HONEST: u16 = 42;
const KICKED: u16 = 7;
const FRAME: Duration = Duration::from_millis(20);
/// What is said this long after a kick is not for the one that was put out.
const KICK: Duration = Duration::from_secs(1);

fn wall() -> UnixSeconds {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    UnixSeconds(since.as_secs())
}

async fn endpoint(seed: u16) -> Endpoint {
    let config = NetConfig::listening_on(&[parse_address(QUIC).expect("an address")]).expect("addresses");
    start(&seed_bytes(seed), &config).await.expect("loopback can be listened on")
}

fn config(seed: u16, children_max: u8) -> Config {
    let mut random_seed = seed_bytes(seed);
    random_seed[31] = 1;
    Config { identity_seed: seed_bytes(seed), random_seed, name: Name::cleaned(&format!("node {seed}")), children_max }
}

const MEDIA_SEED: [u8; 32] = [3; 32];

async fn host() -> (Handle, Invite, (NodeId, Address)) {
    let endpoint = endpoint(1).await;
    let signer = Shipped.signer(&seed_bytes(1));
    let (founder, address) = (endpoint.node_id(), endpoint.addresses()[0].clone());
    let title = Name::cleaned("A test");
    let charter = Charter { founder, salt: [7; 16], title, policy: Policy::Social, successors: List::default() };
    let (not_before, expires) = (UnixSeconds(wall().0 - 60), UnixSeconds(wall().0 + 3600));
    let terms = Terms { role: Role::Listener, not_before, expires, uses: None, depth: 0 };
    let contact = Contact { node: founder, addresses: List::truncated([address.clone()]) };
    let holder = Holder::Bearer { seed: [8; 32] };
    let invite = Invite::issue(&Shipped, &signer, charter.founding(), terms, holder, [contact]).expect("an invite");
    let charter_statement = charter.sign(&Shipped, &signer);
    let host = HostConfig {
        charter,
        charter_statement,
        protection: Some(Protection::Relays),
        media_seed: Some(MEDIA_SEED),
        region_max: HostConfig::REGION_MAX_DEFAULT,
        past: Past::default(),
    };
    let handle = endpoint.run(|now| Room::host(now, wall(), Shipped, config(1, 20), host), |_, _| {});
    (handle, invite, (founder, address))
}

/// Speaks from now on; says when each frame was handed over.
fn speak(voice: CapturedSender, said: Arc<Mutex<BTreeMap<u32, Instant>>>) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(FRAME);
        for number in 0.. {
            ticks.tick().await;
            said.lock().expect("no panic").insert(number, Instant::now());
            voice.send(Captured {
                number: FrameNumber(number),
                captured: CaptureTime(u64::from(number) * 960),
                level: Level::from_minus_dbov(20),
                opus: vec![number as u8; 80].into(),
            });
        }
    })
}

/// All that the member got to know that is put out.
#[derive(Default)]
struct Loot {
    keys: BTreeMap<Epoch, RoomKey>,
    certificate: Option<Statement>,
    packets: Vec<(Instant, Packet)>,
}

type Shared = Arc<Mutex<Loot>>;

/// Connects to a node as the member of this seed, says `first`, then whatever the certificate is good for, and keeps what comes.
async fn listen_in(seed: u16, to: (NodeId, Address), first: Option<Control>, loot: Shared) {
    let Ok(peer) = tokio::time::timeout(Duration::from_secs(3), Hostile::connect_to(seed, to.0, &to.1)).await else {
        return;
    };
    let mut control = peer.control().await;
    let held = loot.lock().expect("no panic").certificate.clone();
    let hello = first.or_else(|| held.map(subscribe));
    if let Some(hello) = hello {
        let _ = write_frame(&mut control, &hello.to_bytes()).await;
    }
    let packets = Arc::clone(&loot);
    let lanes = async move {
        let mut readers = tokio::task::JoinSet::new();
        while let Some(mut lane) = peer.accept_lane().await {
            let loot = Arc::clone(&packets);
            readers.spawn(async move {
                while let Some(bytes) = read_frame(&mut lane).await {
                    if let Ok(packet) = Packet::parse(bytes.into()) {
                        loot.lock().expect("no panic").packets.push((Instant::now(), packet));
                    }
                }
            });
        }
        while readers.join_next().await.is_some() {}
    };
    let words = async move {
        while let Some(bytes) = read_frame(&mut control).await {
            let answer = match Control::from_bytes(&bytes) {
                Ok(Control::Admitted(admitted)) => {
                    let mut loot = loot.lock().expect("no panic");
                    loot.keys.extend(admitted.key.map(|key| (admitted.epoch, key)));
                    loot.certificate = Some(admitted.certificate.clone());
                    Some(subscribe(admitted.certificate))
                }
                Ok(Control::Key { epoch, key }) => {
                    loot.lock().expect("no panic").keys.insert(epoch, key);
                    None
                }
                Ok(Control::Ping { nonce }) => Some(Control::Pong { nonce }),
                _ => None,
            };
            if let Some(answer) = answer
                && write_frame(&mut control, &answer.to_bytes()).await.is_err()
            {
                return;
            }
        }
    };
    tokio::join!(lanes, words);
}

fn subscribe(certificate: Statement) -> Control {
    let purpose = Purpose::LiveStandby;
    let from = List::default();
    Control::Subscribe(Box::new(Subscribe {
        certificate,
        lease: None,
        purpose,
        relay: None,
        adopts: None,
        replay: true,
        from,
    }))
}

fn join(seed: u16, invite: &Invite) -> Control {
    let node = NodeId(Shipped.public_key(&Shipped.signer(&seed_bytes(seed))));
    let (chain, proof) = invite.redeem(&Shipped, &seed_bytes(seed), &node, &invite.host()).expect("the holder redeems");
    let profile = Profile { name: Name::cleaned("Mallory"), addresses: List::default(), children_max: 0 };
    Control::Join(Box::new(Join { chain, proof, profile, direct: false }))
}

/// Whether anything that is known opens a packet.
fn opens(room: &RoomId, keys: &BTreeMap<Epoch, RoomKey>, packet: &Packet) -> bool {
    let media = MediaKey(Shipped.public_key(&Shipped.signer(&MEDIA_SEED)));
    let with =
        |(epoch, key): (&Epoch, &RoomKey)| packet.open(&Shipped, &Shipped.voice_key(room, *epoch, key, &media)).is_ok();
    keys.iter().any(with)
}

/// Nobody who was put out opens what was said a second later, the others do; when each last could, after its kick, in milliseconds.
fn judge(
    room: &RoomId,
    kicks: &[Instant],
    loots: &[Shared],
    said: &Mutex<BTreeMap<u32, Instant>>,
    witness: &Shared,
) -> Vec<u128> {
    let (said, wire) = (said.lock().expect("no panic"), witness.lock().expect("no panic"));
    let mut last_opened_ms = Vec::new();
    for (kicked, loot) in kicks.iter().zip(loots) {
        let loot = loot.lock().expect("no panic");
        // Whatever it hears by whom: all that is on the wire, as the witness has it.
        let packets: BTreeMap<FrameNumber, &Packet> =
            wire.packets.iter().map(|(_, packet)| (packet.header().first, packet)).collect();
        let late = |packet: &&Packet| said.get(&packet.header().first.0).is_some_and(|at| *at >= *kicked + KICK);
        let (late, before): (Vec<_>, Vec<_>) = packets.values().copied().partition(|packet| late(packet));
        assert!(
            late.len() > 50 && before.iter().any(|packet| opens(room, &loot.keys, packet)),
            "{} packets",
            late.len()
        );
        let opened: Vec<FrameNumber> =
            late.iter().filter(|packet| opens(room, &loot.keys, packet)).map(|packet| packet.header().first).collect();
        assert_eq!(opened, [], "{} keys", loot.keys.len());
        assert!(late.iter().all(|packet| opens(room, &wire.keys, packet)), "the others open all of it");
        let last = before
            .iter()
            .filter(|packet| opens(room, &loot.keys, packet))
            .map(|packet| said[&packet.header().first.0])
            .max();
        last_opened_ms.push(last.expect("it was a member").saturating_duration_since(*kicked).as_millis());
        let got = loot.packets.iter().filter(|(at, _)| *at >= *kicked + KICK).count();
        assert_eq!(got, 0, "and nobody sends it anything");
    }
    last_opened_ms.sort_unstable();
    last_opened_ms
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_put_out_of_fifty_opens_nothing_that_is_said_a_second_later() {
    let (host, invite, at) = host().await;
    let room = invite.room();
    let mut members = Vec::new();
    for seed in 0..HONEST {
        let endpoint = endpoint(100 + seed).await;
        let contact = (endpoint.node_id(), endpoint.addresses()[0].clone());
        let join = JoinConfig { invite: invite.clone() };
        members.push((
            contact,
            endpoint.run(|now| Room::join(now, wall(), Shipped, config(100 + seed, 6), join), |_, _| {}),
        ));
    }
    // One that nobody puts out tells what is on the wire.
    let witness = Shared::default();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(listen_in(70, at.clone(), Some(join(70, &invite)), Arc::clone(&witness)));
    let loots: Vec<Shared> = (0..KICKED).map(|_| Shared::default()).collect();
    for (seed, loot) in (80..).zip(&loots) {
        tasks.spawn(listen_in(seed, at.clone(), Some(join(seed, &invite)), Arc::clone(loot)));
    }
    let said = Arc::new(Mutex::new(BTreeMap::new()));
    let speaking = speak(host.captured(), Arc::clone(&said));
    tokio::time::sleep(Duration::from_secs(4)).await;
    // The host's own slots are taken by now; members have some.
    for (contact, _) in members.iter().step_by(5) {
        tasks.spawn(listen_in(70, contact.clone(), None, Arc::clone(&witness)));
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut kicks = Vec::new();
    for (seed, loot) in (80_u16..).zip(&loots) {
        assert!(loot.lock().expect("no panic").certificate.is_some(), "it was admitted");
        let node = NodeId(Shipped.public_key(&Shipped.signer(&seed_bytes(seed))));
        kicks.push(Instant::now());
        host.command(Command::Kick(Banned::Node(node))).await;
        // It asks the host, and some of the others, for what it is owed, again and again.
        for round in 0..3 {
            for (contact, _) in members.iter().skip(usize::from(seed - 80) * 5).take(3) {
                tasks.spawn(listen_in(seed, contact.clone(), None, Arc::clone(loot)));
            }
            tasks.spawn(listen_in(seed, at.clone(), (round > 0).then(|| join(seed, &invite)), Arc::clone(loot)));
            tokio::time::sleep(Duration::from_millis(600)).await;
        }
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    speaking.abort();
    let last_opened_ms = judge(&room, &kicks, &loots, &said, &witness);
    println!("the last frame that could be opened was said {last_opened_ms:?} ms after the kick");
    tasks.abort_all();
    for (_, member) in &members {
        member.command(Command::Leave).await;
    }
    host.command(Command::Leave).await;
}
