//! Real nodes where packets get lost or the machine stands still: what the speaker learns of it, and what is heard.

mod support;

use std::{
    collections::BTreeMap,
    fs,
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use support::{Place, host, start};
use treehouse_invite::Invite;
use treehouse_net::{address_text, parse_address};
use treehouse_wire::Contact;

/// Half the round trip.
const WAY: Duration = Duration::from_millis(25);
/// What is lost of what goes to the listener, in a hundred.
const LOST_PERCENT: u64 = 12;
/// Packets under way in one direction; more are lost.
const UNDER_WAY_MAX: usize = 1_024;

/// Two ends of a UDP flow, with a bad network between: every packet takes its time, and some of those to the client are lost.
struct BadNetwork {
    address: SocketAddr,
    loses: Arc<AtomicBool>,
    lost: Arc<AtomicU64>,
}

impl BadNetwork {
    fn before(server: SocketAddr) -> Self {
        let open = || UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let (near, far) = (open(), open());
        far.connect(server).expect("an address");
        let address = near.local_addr().expect("an address");
        let (loses, lost) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU64::new(0)));
        let client: Arc<Mutex<Option<SocketAddr>>> = Arc::default();
        let copy = |socket: &UdpSocket| socket.try_clone().expect("a copy");
        let (from_client, known) = (copy(&near), client.clone());
        let (to_server, to_client) = (copy(&far), copy(&near));
        let outbound = delayed(move || {
            let mut buffer = [0; 2_048];
            let (len, from) = from_client.recv_from(&mut buffer).ok()?;
            *known.lock().expect("no panic elsewhere") = Some(from);
            Some(buffer[..len].to_vec())
        });
        let (drops, dropped) = (loses.clone(), lost.clone());
        let mut state = 1_u64;
        let inbound = delayed(move || {
            let mut buffer = [0; 2_048];
            loop {
                let len = far.recv(&mut buffer).ok()?;
                // A linear congruential generator; its upper bits look random.
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                if !drops.load(Ordering::Relaxed) || (state >> 33) % 100 >= LOST_PERCENT {
                    return Some(buffer[..len].to_vec());
                }
                dropped.fetch_add(1, Ordering::Relaxed);
            }
        });
        send(outbound, move |packet| drop(to_server.send(packet)));
        send(inbound, move |packet| {
            if let Some(client) = *client.lock().expect("no panic elsewhere") {
                let _ = to_client.send_to(packet, client);
            }
        });
        BadNetwork { address, loses, lost }
    }
}

/// Reads packets on a thread of its own and says when each is due.
fn delayed(mut next: impl FnMut() -> Option<Vec<u8>> + Send + 'static) -> Receiver<(Instant, Vec<u8>)> {
    let (sender, packets) = sync_channel(UNDER_WAY_MAX);
    thread::spawn(move || {
        while let Some(packet) = next() {
            let _ = sender.try_send((Instant::now() + WAY, packet));
        }
    });
    packets
}

fn send(packets: Receiver<(Instant, Vec<u8>)>, send: impl Fn(&[u8]) + Send + 'static) {
    thread::spawn(move || {
        for (due, packet) in packets {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            send(&packet);
        }
    });
}

/// The invite by way of a bad network.
fn through_a_bad_network(invite: &str) -> (String, BadNetwork) {
    let invite = Invite::parse(invite).expect("an invite");
    let [contact, ..] = invite.bootstrap() else { panic!("no address") };
    let text = contact.addresses.iter().map(address_text).find(|text| text.contains("/quic-v1")).expect("QUIC");
    let port: u16 = text.split('/').nth(4).and_then(|port| port.parse().ok()).expect("a port");
    let network = BadNetwork::before(SocketAddr::from(([127, 0, 0, 1], port)));
    let address = parse_address(&format!("/ip4/127.0.0.1/udp/{}/quic-v1", network.address.port())).expect("an address");
    let contact = Contact { node: contact.node, addresses: treehouse_wire::List::truncated([address]) };
    (invite.with_bootstrap([contact]).to_string(), network)
}

#[test]
fn a_speaker_learns_what_its_listener_loses() {
    let place = Place::new();
    let (mut host, invite) = host(&place, "sample:1", &["--hear", "none", "--json"]);
    let (invite, network) = through_a_bad_network(&invite);
    let wav = place.text("heard.wav");
    let arguments = ["join", &invite, "--hear", &wav, "--json", "--listen", "/ip4/127.0.0.1/udp/0/quic-v1"];
    let mut listener = start(&place.path("listener"), &arguments);
    listener.event("first_audio", |_| true);
    let lossy = host.event("losses", |losses| losses["lost_percent"].as_f64() > Some(0.0));
    assert_eq!(lossy["listeners"], 1, "{lossy}");
    assert!(network.lost.load(Ordering::Relaxed) > 10, "the network has lost packets");
    println!("{} packets lost: {lossy}", network.lost.load(Ordering::Relaxed));
    network.loses.store(false, Ordering::Relaxed);
    let fine = host.event("losses", |losses| losses["lost_percent"] == 0.0);
    println!("none lost any more: {fine}");
}

/// Delays are compared by their medians in so long.
const WINDOW_NS: u64 = 500_000_000;

/// What a frame log says of one voice's frames: when each was captured or played, in nanoseconds. Only those that were decoded.
fn logged(path: &std::path::Path, kind: &str) -> BTreeMap<u32, u64> {
    let text = fs::read_to_string(path).expect("a log");
    let lines = text.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let of_kind = lines.filter(|words| words.first() == Some(&kind));
    let decoded = of_kind.filter(|words| kind == "captured" || words.get(3) == Some(&"decoded"));
    decoded.map(|words| (words[2].parse().expect("a number"), words.last().unwrap().parse().expect("a time"))).collect()
}

#[test]
fn a_listener_that_stood_still_for_two_seconds_hears_at_its_normal_delay_within_three() {
    let place = Place::new();
    let (said, heard) = (place.path("said.log"), place.path("heard.log"));
    let log = said.to_str().expect("unicode");
    let (host, invite) = host(&place, "sample:1", &["--hear", "none", "--frame-log", log]);
    let (wav, log) = (place.text("heard.wav"), heard.to_str().expect("unicode"));
    let arguments =
        ["join", &invite, "--hear", &wav, "--frame-log", log, "--json", "--listen", "/ip4/127.0.0.1/udp/0/quic-v1"];
    let mut listener = start(&place.path("listener"), &arguments);
    listener.event("first_audio", |_| true);
    thread::sleep(Duration::from_secs(5));
    listener.signal(Signal::STOP);
    thread::sleep(Duration::from_secs(2));
    listener.signal(Signal::CONT);
    thread::sleep(Duration::from_secs(6));
    listener.signal(Signal::TERM);
    listener.ended();
    host.signal(Signal::TERM);
    host.ended();
    let (said, played) = (logged(&said, "captured"), logged(&heard, "played"));
    let mut delays: Vec<(u64, f64)> =
        played.iter().filter_map(|(frame, at)| Some((*at, at.checked_sub(*said.get(frame)?)? as f64 / 1e6))).collect();
    delays.sort_unstable_by_key(|(at, _)| *at);
    let gap = delays.windows(2).max_by_key(|pair| pair[1].0 - pair[0].0).expect("frames");
    let (stopped, resumed) = (gap[0].0, gap[1].0);
    let silent_ms = (resumed - stopped) as f64 / 1e6;
    assert!((1_900.0..2_600.0).contains(&silent_ms), "it stood still for {silent_ms:.0} ms");
    let mut before: Vec<f64> = delays.iter().filter(|(at, _)| *at <= stopped).map(|(_, ms)| *ms).collect();
    before.sort_by(f64::total_cmp);
    let normal_ms = before[before.len() / 2];
    // In each half second from then on: single late frames are no delay. Two ticks are what a busy machine adds.
    let median_of = |window: u64| {
        let within = resumed + window * WINDOW_NS..resumed + (window + 1) * WINDOW_NS;
        let mut of: Vec<f64> = delays.iter().filter(|(at, _)| within.contains(at)).map(|(_, ms)| *ms).collect();
        of.sort_by(f64::total_cmp);
        of.get(of.len() / 2).copied()
    };
    let late = (0..10).filter(|window| median_of(*window).is_some_and(|ms| ms > normal_ms + 40.0)).max();
    let recovered_ms = late.map_or(0.0, |window| (window + 1) as f64 * WINDOW_NS as f64 / 1e6);
    println!("normal {normal_ms:.0} ms; silent for {silent_ms:.0} ms; normal for good {recovered_ms:.0} ms after");
    assert!(recovered_ms <= 3_000.0, "{recovered_ms}");
    let after = delays.iter().filter(|(at, _)| *at >= resumed + 3_000_000_000).count();
    assert!(after > 100, "{after} frames heard from 3 s after on");
}
