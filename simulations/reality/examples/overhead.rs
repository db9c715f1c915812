//! What a link costs on the wire beside what it carries: `cargo run -p treehouse-reality --example overhead`.
//!
//! Two nodes of `treehouse-net`, the relay between them, and a count of every byte of IPv4, UDP and QUIC in both directions,
//! acknowledgements, keep-alives and pings among them: an idle link, sound in packets of one and of three frames, and messages.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::Context;
use treehouse_net::{NetConfig, NetEvent, Network};
use treehouse_reality::relay::Relay;
use treehouse_sim::{plan::NodeIx, scenario::Scenario};
use treehouse_wire::NodeId;

const A: NodeIx = NodeIx(0);
const B: NodeIx = NodeIx(1);
/// Before anything is counted: handshake, identification, and the discovery of the path's datagram size.
const WARM_UP: Duration = Duration::from_secs(8);
/// Six rounds of libp2p's pings.
const MEASURED: Duration = Duration::from_secs(30);
/// Bytes of a packet of one frame and of three at 32 kbit/s, and of a message.
const ONE_FRAME_BYTES: usize = 191;
const THREE_FRAMES_BYTES: usize = 353;
const MESSAGE_BYTES: usize = 40;

/// What node A sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Load {
    Nothing,
    Packets(usize),
    Messages(usize),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let idle = measure(Load::Nothing, Duration::from_secs(1)).await?;
    println!("an idle link: {:.0} bytes a second in both directions together", idle.bytes_per_s);
    let cases = [
        ("a packet of one frame, 50 a second", Load::Packets(ONE_FRAME_BYTES), 20),
        ("a packet of three frames, 16.7 a second", Load::Packets(THREE_FRAMES_BYTES), 60),
        ("a message, one a second", Load::Messages(MESSAGE_BYTES), 1000),
        ("a message, ten a second", Load::Messages(MESSAGE_BYTES), 100),
    ];
    for (name, load, every_ms) in cases {
        let of = measure(load, Duration::from_millis(every_ms)).await?;
        let each = |bytes_per_s: f64| bytes_per_s * every_ms as f64 / 1000.0;
        let carried = match load {
            Load::Nothing => 0,
            Load::Packets(bytes) | Load::Messages(bytes) => bytes + 2,
        };
        println!(
            "{name}: {:.0} bytes beside its own {carried}, {:.0} of them back; {:.0} beyond the idle link",
            each(of.bytes_per_s) - carried as f64,
            each(of.back_bytes_per_s),
            each(of.bytes_per_s - idle.bytes_per_s) - carried as f64,
        );
    }
    Ok(())
}

struct Measured {
    bytes_per_s: f64,
    back_bytes_per_s: f64,
}

async fn measure(load: Load, every: Duration) -> anyhow::Result<Measured> {
    let sets = [("members".to_owned(), "2".to_owned()), ("arrivals.model".to_owned(), "none".to_owned())];
    let relay = Relay::start(&Scenario::load("reality", &sets)?.plan(1)?)?;
    let mut networks = Vec::new();
    for (node, seed) in [(A, 1), (B, 2)] {
        networks.push(Network::start([seed; 32], &config(&relay, node)?).await?);
    }
    let (mut b, mut a) = (networks.pop().context("two")?, networks.pop().context("two")?);
    a.dial(b.node_id(), b.addresses().to_vec());
    let peer = b.node_id();
    let pump = tokio::spawn(async move { while b.next().await.is_some() {} });
    anyhow::ensure!(a.next().await == Some(NetEvent::LinkUp(peer)), "the two nodes have no link");
    send(&mut a, peer, load, every, WARM_UP).await;
    let before = (relay.sent_bytes(A).0, relay.sent_bytes(B).0);
    let begun = Instant::now();
    send(&mut a, peer, load, every, MEASURED).await;
    let seconds = begun.elapsed().as_secs_f64();
    let (there, back) = (relay.sent_bytes(A).0 - before.0, relay.sent_bytes(B).0 - before.1);
    pump.abort();
    Ok(Measured { bytes_per_s: (there + back) as f64 / seconds, back_bytes_per_s: back as f64 / seconds })
}

async fn send(network: &mut Network, peer: NodeId, load: Load, every: Duration, long: Duration) {
    let mut ticks = tokio::time::interval(every);
    let ends = Instant::now() + long;
    while Instant::now() < ends {
        tokio::select! {
            _ = ticks.tick() => match load {
                Load::Nothing => {}
                Load::Packets(bytes) => {
                    let now = Instant::now();
                    network.forward(&[peer], 0, &vec![7; bytes], now + Duration::from_secs(1), now);
                }
                Load::Messages(bytes) => network.send(&peer, &vec![7; bytes]),
            },
            _ = network.next() => {}
        }
    }
}

fn config(relay: &Relay, node: NodeIx) -> anyhow::Result<NetConfig> {
    let quic = |at: SocketAddr| format!("/ip4/{}/udp/{}/quic-v1", at.ip(), at.port()).parse();
    Ok(NetConfig {
        listen: vec![quic(relay.inner(node))?],
        announce: vec![quic(relay.outer(node))?],
        ..NetConfig::default()
    })
}
