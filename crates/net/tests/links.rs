//! Links between honest nodes, over real libp2p on loopback.

mod common;

use std::time::{Duration, Instant};

use common::{QUIC, TCP, forward, link, network, next, within};
use treehouse_net::{LinkEnd, NetConfig, NetError, NetEvent, Network, address_text, parse_address};
use treehouse_wire::limits::MEDIA_LANES;

async fn exchange(transport: &str) {
    let mut host = network(1, &[transport]).await;
    let mut guest = network(2, &[transport]).await;
    link(&mut guest, &mut host).await;

    // Control both ways, in order, up to the largest message.
    let largest = vec![7; 4096];
    guest.send(&host.node_id(), b"hello");
    guest.send(&host.node_id(), &largest);
    host.send(&guest.node_id(), b"welcome");
    assert_eq!(next(&mut host).await, NetEvent::Control(guest.node_id(), b"hello".as_slice().into()));
    assert_eq!(next(&mut host).await, NetEvent::Control(guest.node_id(), largest.into()));
    assert_eq!(next(&mut guest).await, NetEvent::Control(host.node_id(), b"welcome".as_slice().into()));

    // Packets both ways on each lane, in order within it.
    for number in 0..40u8 {
        assert_eq!(forward(&host, &[guest.node_id()], usize::from(number) % MEDIA_LANES, &[number; 200]), 1);
    }
    let mut lanes: [Vec<u8>; MEDIA_LANES] = Default::default();
    for _ in 0..40 {
        let NetEvent::Media(from, packet) = next(&mut guest).await else { panic!("a packet") };
        assert_eq!((from, packet.len()), (host.node_id(), 200));
        lanes[usize::from(packet[0]) % MEDIA_LANES].push(packet[0]);
    }
    for (lane, numbers) in (0u8..).zip(&lanes) {
        assert_eq!(*numbers, (0..10).map(|i| lane + 4 * i).collect::<Vec<u8>>());
    }
    forward(&guest, &[host.node_id()], 3, &[1; 1200]);
    assert_eq!(next(&mut host).await, NetEvent::Media(guest.node_id(), vec![1; 1200].into()));

    // Nothing is sent to strangers, and nothing that is too large.
    assert_eq!(forward(&host, &[host.node_id()], 0, &[1]), 0);
    assert_eq!(forward(&host, &[guest.node_id()], 0, &[1; 1201]), 0);
    assert_eq!(host.take_drops(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_talk_over_quic() {
    exchange(QUIC).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_talk_over_tcp() {
    exchange(TCP).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quic_is_preferred_and_tcp_used_where_quic_does_not_answer() {
    let mut host = network(1, &[TCP]).await;
    let mut guest = network(2, &[QUIC, TCP]).await;
    let dead = parse_address("/ip4/127.0.0.1/udp/9/quic-v1").expect("an address");
    let mut addresses = vec![dead];
    addresses.extend_from_slice(host.addresses());
    let asked = Instant::now();
    guest.dial(host.node_id(), addresses);
    assert_eq!(next(&mut guest).await, NetEvent::LinkUp(host.node_id()));
    assert_eq!(next(&mut host).await, NetEvent::LinkUp(guest.node_id()));
    assert!(asked.elapsed() < Duration::from_secs(3), "TCP did not wait for QUIC to time out");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hangup_delivers_what_was_said_before() {
    for transport in [QUIC, TCP] {
        let mut host = network(1, &[transport]).await;
        let mut guest = network(2, &[transport]).await;
        link(&mut guest, &mut host).await;
        for number in 0..100u8 {
            host.send(&guest.node_id(), &[number; 300]);
        }
        forward(&host, &[guest.node_id()], 2, &[9; 100]);
        host.hang_up(&guest.node_id());
        // What comes after the hangup is not sent.
        host.send(&guest.node_id(), b"too late");
        let mut heard = Vec::new();
        let mut packets = 0;
        let end = loop {
            match next(&mut guest).await {
                NetEvent::Control(_, message) => heard.push(message[0]),
                NetEvent::Media(..) => packets += 1,
                NetEvent::LinkDown(peer, end) => break (peer, end),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(heard, (0..100).collect::<Vec<u8>>());
        assert_eq!(packets, 1);
        assert_eq!(end, (host.node_id(), LinkEnd::PeerEnded));
        assert_eq!(next(&mut host).await, NetEvent::LinkDown(guest.node_id(), LinkEnd::HungUp));
        // And the link can come back.
        link(&mut guest, &mut host).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_ends_may_hang_up_at_once() {
    for transport in [QUIC, TCP] {
        let mut host = network(1, &[transport]).await;
        let mut guest = network(2, &[transport]).await;
        let mut took = Vec::new();
        for _ in 0..5 {
            link(&mut guest, &mut host).await;
            forward(&host, &[guest.node_id()], 0, &[1; 100]);
            forward(&guest, &[host.node_id()], 1, &[2; 100]);
            assert!(matches!(next(&mut guest).await, NetEvent::Media(..)));
            assert!(matches!(next(&mut host).await, NetEvent::Media(..)));
            let asked = Instant::now();
            host.hang_up(&guest.node_id());
            guest.hang_up(&host.node_id());
            // Where one of them is not scheduled for a moment the goodbye of the other may come before its own.
            let NetEvent::LinkDown(_, of_host) = next(&mut host).await else { panic!("the host's link is down") };
            let NetEvent::LinkDown(_, of_guest) = next(&mut guest).await else { panic!("the guest's link is down") };
            match (of_host, of_guest) {
                (LinkEnd::HungUp, LinkEnd::HungUp) => took.push(asked.elapsed()),
                (LinkEnd::HungUp, LinkEnd::PeerEnded) | (LinkEnd::PeerEnded, LinkEnd::HungUp) => {}
                other => panic!("{other:?}"),
            }
        }
        // A link that hangs up reads the lanes of the other out: else each would wait for the other, 500 ms at most.
        assert!(took.iter().any(|took| *took < Duration::from_millis(400)), "{transport}: {took:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stops_says_what_it_had_to_say() {
    let mut host = network(1, &[QUIC]).await;
    let mut guest = network(2, &[QUIC]).await;
    link(&mut guest, &mut host).await;
    guest.send(&host.node_id(), b"bye");
    let peer = guest.node_id();
    let stopping = Instant::now();
    tokio::join!(guest.stop(), async {
        assert_eq!(next(&mut host).await, NetEvent::Control(peer, b"bye".as_slice().into()));
        assert_eq!(next(&mut host).await, NetEvent::LinkDown(peer, LinkEnd::PeerEnded));
    });
    assert!(stopping.elapsed() < Duration::from_secs(5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_that_dial_each_other_at_once_have_one_link() {
    for round in 0..10 {
        let mut a = network(2 * round + 1, &[QUIC]).await;
        let mut b = network(2 * round + 2, &[QUIC]).await;
        a.dial(b.node_id(), b.addresses().to_vec());
        b.dial(a.node_id(), a.addresses().to_vec());
        assert_eq!(next(&mut a).await, NetEvent::LinkUp(b.node_id()));
        assert_eq!(next(&mut b).await, NetEvent::LinkUp(a.node_id()));
        for number in 0..50u8 {
            a.send(&b.node_id(), &[number]);
            b.send(&a.node_id(), &[number]);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        for number in 0..50u8 {
            assert_eq!(next(&mut a).await, NetEvent::Control(b.node_id(), vec![number].into()));
            assert_eq!(next(&mut b).await, NetEvent::Control(a.node_id(), vec![number].into()));
        }
        a.hang_up(&b.node_id());
        assert_eq!(next(&mut b).await, NetEvent::LinkDown(a.node_id(), LinkEnd::PeerEnded));
        assert!(matches!(next(&mut a).await, NetEvent::LinkDown(peer, _) if peer == b.node_id()));
        assert_eq!((a.links(), b.links()), (0, 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_dial_names_each_address_and_why() {
    let host = network(1, &[QUIC, TCP]).await;
    let other = network(3, &[TCP]).await;
    let mut guest = network(2, &[QUIC, TCP]).await;
    let addresses = [
        "/ip4/127.0.0.1/udp/9/quic-v1",
        "/ip4/127.0.0.1/tcp/9",
        &address_text(&other.addresses()[0]),
        "/dns4/no-such-name.invalid/tcp/9",
        "/memory/7",
    ]
    .map(|text| parse_address(text).expect("an address"));
    let asked = Instant::now();
    guest.dial(host.node_id(), addresses.to_vec());
    let NetEvent::DialFailed(peer, attempts) = next(&mut guest).await else { panic!("the dial fails") };
    assert!(asked.elapsed() < Duration::from_secs(10));
    assert_eq!(peer, host.node_id());
    assert_eq!(attempts.iter().map(|(address, _)| address.clone()).collect::<Vec<_>>(), addresses);
    let reasons: Vec<&str> = attempts.iter().map(|(_, reason)| reason.as_str()).collect();
    assert_eq!(reasons[0], "it did not answer within 4 s");
    assert_eq!(reasons[1], "it refused the connection");
    assert!(reasons[2].starts_with("another node answers there: "), "{}", reasons[2]);
    assert!(["its name does not resolve", "it did not answer within 4 s"].contains(&reasons[3]), "{}", reasons[3]);
    assert_eq!(reasons[4], "this node cannot dial this kind of address");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_dials_itself_is_told_so() {
    let mut node = network(1, &[QUIC]).await;
    node.dial(node.node_id(), node.addresses().to_vec());
    let NetEvent::DialFailed(_, attempts) = next(&mut node).await else { panic!("the dial fails") };
    assert_eq!(attempts[0].1, "it is this node itself");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_in_use_is_said_in_one_sentence() {
    for transport in [QUIC, TCP] {
        let first = network(1, &[transport]).await;
        let taken = first.addresses()[0].clone();
        let config = NetConfig::listening_on(std::slice::from_ref(&taken)).expect("an address");
        let error = Network::start([2; 32], &config).await.expect_err("the port is taken");
        assert_eq!(error, NetError::PortInUse { address: address_text(&taken) });
        assert!(error.to_string().contains("is in use; stop the other program or choose another port"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_listen_address_is_said_in_one_sentence() {
    for text in ["/ip4/192.0.2.1/tcp/0", "/memory/5"] {
        let address = parse_address(text).expect("an address");
        let config = NetConfig::listening_on(&[address]).expect("readable");
        let error = Network::start([2; 32], &config).await.expect_err("it cannot be listened on");
        assert!(matches!(&error, NetError::Listen { address, .. } if address == text), "{error}");
    }
    let none = NetConfig { listen: Vec::new(), ..NetConfig::default() };
    assert_eq!(Network::start([2; 32], &none).await.err(), Some(NetError::NoAddress));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_default_a_node_listens_everywhere_and_tells_usable_addresses() {
    let node = Network::start([1; 32], &NetConfig::default()).await.expect("a network");
    let told: Vec<String> = node.addresses().iter().map(address_text).collect();
    assert!(told[0].ends_with("/quic-v1"), "{told:?}");
    assert!(told.iter().any(|address| address.contains("/tcp/")), "{told:?}");
    assert!(told.iter().all(|address| !address.contains("/0.0.0.0/") && !address.contains("/udp/0")), "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_without_a_word_is_noticed_by_the_idle_timeout() {
    let mut host = network(1, &[QUIC]).await;
    // A runtime of its own is the nearest thing to a process that is killed.
    let addresses = host.addresses().to_vec();
    let (node, peer) = (host.node_id(), std::sync::mpsc::sync_channel(1));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    runtime.spawn(async move {
        let mut guest = network(2, &[QUIC]).await;
        guest.dial(node, addresses);
        next(&mut guest).await;
        peer.0.send(guest.node_id()).expect("the test waits");
        std::future::pending::<()>().await;
    });
    let NetEvent::LinkUp(guest) = next(&mut host).await else { panic!("a link") };
    assert_eq!(peer.1.recv_timeout(common::PATIENCE), Ok(guest));
    std::mem::forget(runtime_frozen(runtime));
    let NetEvent::LinkDown(down, _) = next(&mut host).await else { panic!("the link goes down") };
    assert_eq!(down, guest);
}

/// Stops a runtime's only worker for good without dropping anything on it, so that no farewell leaves.
fn runtime_frozen(runtime: tokio::runtime::Runtime) -> tokio::runtime::Runtime {
    runtime.spawn(async {
        loop {
            std::thread::park();
        }
    });
    runtime
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_peers_hear_every_packet() {
    const PEERS: u16 = 50;
    const PACKETS: u32 = 100;
    let mut host = network(1, &[QUIC]).await;
    let (node, addresses) = (host.node_id(), host.addresses().to_vec());
    let mut listeners = Vec::new();
    for seed in 0..PEERS {
        let addresses = addresses.clone();
        listeners.push(tokio::spawn(async move {
            let mut listener = network(100 + seed, &[QUIC]).await;
            listener.dial(node, addresses);
            assert_eq!(next(&mut listener).await, NetEvent::LinkUp(node));
            let mut heard = Vec::new();
            while heard.len() < PACKETS as usize {
                let NetEvent::Media(_, packet) = next(&mut listener).await else { panic!("a packet") };
                heard.push(u32::from_be_bytes(*packet.first_chunk().expect("four bytes")));
            }
            heard.sort_unstable();
            heard
        }));
    }
    let mut peers = Vec::new();
    while peers.len() < usize::from(PEERS) {
        let NetEvent::LinkUp(peer) = next(&mut host).await else { panic!("a link") };
        peers.push(peer);
    }
    for number in 0..PACKETS {
        let mut packet = [0; 191];
        packet[..4].copy_from_slice(&number.to_be_bytes());
        assert_eq!(forward(&host, &peers, number as usize % MEDIA_LANES, &packet), peers.len());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for listener in listeners {
        let heard = within("a listener", listener).await.expect("it heard all");
        assert_eq!(heard, (0..PACKETS).collect::<Vec<_>>());
    }
    assert_eq!(host.take_drops(), []);
}
