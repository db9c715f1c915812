//! Floods over libp2p: what others hear meanwhile, and what a node's memory holds afterwards.

mod support;

use std::time::{Duration, Instant};

use support::Lab;
use tokio::net::{TcpSocket, TcpStream};
use treehouse_hostile::Behaviour;
use treehouse_room::{Event, Offence, Protection};

const SECOND: Duration = Duration::from_secs(1);
/// How long a flood lasts, and as long is measured before it.
const SPAN: Duration = Duration::from_secs(15);
/// A process that has heard a flood may hold this much more, in bytes.
const GROWTH_MAX: i64 = 24 * 1024 * 1024;

/// Resident bytes of this process.
fn resident() -> i64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: i64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number");
    pages * 4096
}

/// Frames of the host that came between two instants: how late, sorted, in milliseconds.
fn delays_ms(lab: &Lab, from: Instant, to: Instant) -> Vec<u128> {
    let mut delays: Vec<u128> = Vec::new();
    for honest in &lab.honest {
        for ((speaker, number), at) in &honest.heard().frames {
            let said = lab.said_at(*number).filter(|said| *speaker == lab.host.node && (from..to).contains(said));
            delays.extend(said.map(|said| at.saturating_duration_since(said).as_millis()));
        }
    }
    delays.sort_unstable();
    delays
}

/// What was heard in the span before a flood and during it is the same, but for what a busy machine does.
fn assert_unmoved(lab: &Lab, what: &str) {
    let (before, during) =
        (delays_ms(lab, lab.wrong_at - SPAN, lab.wrong_at), delays_ms(lab, lab.wrong_at, lab.wrong_at + SPAN));
    let at = |delays: &[u128], percent: usize| delays[(delays.len() - 1) * percent / 100];
    println!(
        "{what}: {} frames before it, {} during it; p50 {} and {} ms, p99 {} and {} ms",
        before.len(),
        during.len(),
        at(&before, 50),
        at(&during, 50),
        at(&before, 99),
        at(&during, 99)
    );
    assert!(during.len() * 1000 >= before.len() * 999, "nothing is missed");
    assert!(at(&during, 99) <= 3 * at(&before, 99).max(20), "delays are as they were");
}

/// One member sends its neighbour ten thousand messages a second until it is thrown out, then the next, and whoever it meets again.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_messages_a_second_by_one_peer_change_nothing_for_others() {
    let mut lab = Lab::open(Some(Protection::Relays), 6, SPAN + 8 * SECOND).await;
    lab.join_hostile(Behaviour::Flood { per_second: 10_000 }, 0).await;
    for _ in 0..20 {
        lab.join(6).await;
    }
    lab.until_wrong(Duration::ZERO).await;
    let before = resident();
    lab.until_wrong(SPAN + SECOND).await;
    let growth = resident() - before;
    assert_unmoved(&lab, "10,000 messages a second");
    let sent = lab.hostile[0].1.sent();
    println!("{sent} messages went over a link; {growth} bytes more are held");
    assert!(sent >= 1000, "{sent}");
    assert!(growth < GROWTH_MAX, "{growth}");
    let flooder = lab.hostile[0].1.node();
    let thrown_out = |events: &[(Instant, Event)]| {
        events.iter().any(|(_, event)| *event == Event::Offence { peer: flooder, kind: Offence::Flood })
    };
    let by_host = thrown_out(&lab.host.heard().events);
    assert!(by_host || lab.honest.iter().any(|honest| thrown_out(&honest.heard().events)), "the flooder is thrown out");
    lab.stop().await;
}

/// A machine with another address opens a thousand connections a second to the host and says nothing on them; who joins meanwhile is
/// let in at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_connections_a_second_keep_nobody_out() {
    let mut lab = Lab::open_on(&[support::QUIC, support::TCP], Some(Protection::Relays), 6, SPAN + 8 * SECOND).await;
    for _ in 0..20 {
        lab.join(6).await;
    }
    lab.until_wrong(Duration::ZERO).await;
    let before = resident();
    let victim = lab.host_tcp();
    let flood = tokio::spawn(async move {
        let (mut ticks, mut open, mut count) = (tokio::time::interval(SECOND / 100), Vec::<TcpStream>::new(), 0_u32);
        let ends = Instant::now() + SPAN;
        while Instant::now() < ends {
            ticks.tick().await;
            for _ in 0..10 {
                let socket = TcpSocket::new_v4().expect("a socket");
                socket.bind("127.0.0.66:0".parse().expect("an address")).expect("all of 127/8 is this machine");
                count += 1;
                if let Ok(Ok(stream)) = tokio::time::timeout(SECOND / 10, socket.connect(victim)).await {
                    open.push(stream);
                }
            }
            // What the victim has closed is closed here too.
            let excess = open.len().saturating_sub(2000);
            open.drain(..excess);
        }
        count
    });
    let mut joins_ms = Vec::new();
    for _ in 0..5 {
        tokio::time::sleep(2 * SECOND).await;
        let came = Instant::now();
        lab.join(0).await;
        let last = lab.honest.len() - 1;
        while !lab.honest[last].is_admitted() {
            assert!(came.elapsed() < 5 * SECOND, "it is let in");
            tokio::time::sleep(SECOND / 100).await;
        }
        joins_ms.push(came.elapsed().as_millis());
    }
    let count = flood.await.expect("no panic");
    tokio::time::sleep(SECOND).await;
    let growth = resident() - before;
    println!("{count} connections; joins took {joins_ms:?} ms; {growth} bytes more are held");
    assert!(f64::from(count) >= 0.9 * 1000.0 * SPAN.as_secs_f64(), "{count}");
    assert!(joins_ms.iter().all(|ms| *ms < 1000), "{joins_ms:?}");
    assert!(growth < GROWTH_MAX, "{growth}");
    assert_unmoved(&lab, "1,000 connections a second");
    lab.stop().await;
}

/// Old states, garbage and repeated packets: nobody hears a frame twice or misses one.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_old_repeated_or_meaningless_reaches_nobody() {
    let mut lab = Lab::open(Some(Protection::Relays), 4, 12 * SECOND).await;
    let ways = [
        Behaviour::Replay { after: SECOND },
        Behaviour::StaleState,
        Behaviour::RedeemTwice,
        Behaviour::WidenInvite,
        Behaviour::Garbage,
        Behaviour::LieCapacity { slots: 3, times: 4 },
        Behaviour::SlowReader,
    ];
    for way in ways {
        lab.join_hostile(way, 6).await;
        for _ in 0..5 {
            lab.join(4).await;
        }
    }
    lab.until_wrong(20 * SECOND).await;
    let frames = lab.said_between(Duration::ZERO, 18 * SECOND);
    let (mut heard, mut forged, mut twice) = (0, 0, 0);
    for honest in &lab.honest {
        let ears = honest.heard();
        heard += frames.clone().filter(|number| ears.frames.contains_key(&(lab.host.node, *number))).count();
        (forged, twice) = (forged + ears.forged, twice + ears.twice);
    }
    let share = heard as f64 / (frames.count() * lab.honest.len()) as f64;
    println!("{:.3} % heard", 100.0 * share);
    assert_eq!((forged, twice), (0, 0));
    assert!(share >= 0.99, "{share}");
    lab.stop().await;
}
