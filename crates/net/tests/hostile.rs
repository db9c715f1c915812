//! Peers that break every rule, over real libp2p on loopback: they lose their link, and nobody else notices.

mod common;

use std::time::{Duration, Instant};

use common::{
    QUIC, TCP, forward,
    hostile::{CONTROL, Hostile, MEDIA, read_to_end, write_frame},
    link, network, next, within,
};
use futures::{AsyncReadExt, AsyncWriteExt};
use treehouse_net::{LinkEnd, NetEvent, Network, limits};
use treehouse_wire::{NodeId, limits::MEDIA_LANES};

/// The end of the hostile node's link; events of honest nodes must not come in between.
async fn down(victim: &mut Network, hostile: NodeId) -> LinkEnd {
    match next(victim).await {
        NetEvent::LinkDown(peer, end) if peer == hostile => end,
        other => panic!("{other:?}"),
    }
}

async fn up(victim: &mut Network, hostile: &Hostile) {
    assert_eq!(next(victim).await, NetEvent::LinkUp(hostile.node));
}

/// Two honest nodes with a link still hear each other.
async fn still_talk(a: &mut Network, b: &mut Network) {
    a.send(&b.node_id(), b"still there?");
    assert_eq!(next(b).await, NetEvent::Control(a.node_id(), b"still there?".as_slice().into()));
    forward(b, &[a.node_id()], 0, b"yes");
    assert_eq!(next(a).await, NetEvent::Media(b.node_id(), b"yes".as_slice().into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_oversized_length_ends_the_link_before_its_bytes_come() {
    for transport in [QUIC, TCP] {
        let mut victim = network(1, &[transport]).await;
        let mut friend = network(2, &[transport]).await;
        link(&mut friend, &mut victim).await;

        let hostile = Hostile::connect(3, &victim).await;
        let mut control = hostile.control().await;
        up(&mut victim, &hostile).await;
        control.write_all(&4097u16.to_be_bytes()).await.expect("written");
        control.flush().await.expect("flushed");
        assert_eq!(
            down(&mut victim, hostile.node).await,
            LinkEnd::Framing("a frame of 4097 bytes exceeds the limit of 4096".into())
        );

        let hostile = Hostile::connect(4, &victim).await;
        let _control = hostile.control().await;
        up(&mut victim, &hostile).await;
        let mut lane = hostile.lane(0).await;
        lane.write_all(&u16::MAX.to_be_bytes()).await.expect("written");
        lane.flush().await.expect("flushed");
        assert!(matches!(down(&mut victim, hostile.node).await, LinkEnd::Framing(_)));
        still_talk(&mut friend, &mut victim).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_frame_ends_the_link() {
    let mut victim = network(1, &[QUIC]).await;
    let hostile = Hostile::connect(3, &victim).await;
    let mut control = hostile.control().await;
    up(&mut victim, &hostile).await;
    write_frame(&mut control, &[]).await.expect("written");
    assert_eq!(down(&mut victim, hostile.node).await, LinkEnd::Framing("a frame is empty".into()));
    read_to_end(&mut control).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_messages_reach_the_room_as_bytes() {
    // What is in a message is for the room to judge; the link carries it.
    let mut victim = network(1, &[QUIC]).await;
    let hostile = Hostile::connect(3, &victim).await;
    let mut control = hostile.control().await;
    up(&mut victim, &hostile).await;
    write_frame(&mut control, &[0xff; 100]).await.expect("written");
    assert_eq!(next(&mut victim).await, NetEvent::Control(hostile.node, vec![0xff; 100].into()));
    victim.hang_up(&hostile.node);
    assert_eq!(down(&mut victim, hostile.node).await, LinkEnd::HungUp);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lanes_that_do_not_exist_or_exist_already_end_the_link() {
    let mut victim = network(1, &[QUIC]).await;
    let hostile = Hostile::connect(3, &victim).await;
    let _control = hostile.control().await;
    up(&mut victim, &hostile).await;
    let _lane = hostile.lane(4).await;
    assert_eq!(down(&mut victim, hostile.node).await, LinkEnd::BadLane(4));

    let hostile = Hostile::connect(4, &victim).await;
    let _control = hostile.control().await;
    up(&mut victim, &hostile).await;
    let mut first = hostile.lane(2).await;
    write_frame(&mut first, b"one").await.expect("written");
    assert_eq!(next(&mut victim).await, NetEvent::Media(hostile.node, b"one".as_slice().into()));
    let _second = hostile.lane(2).await;
    assert_eq!(down(&mut victim, hostile.node).await, LinkEnd::BadLane(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_may_end_cleanly_and_be_opened_again_but_not_break_off() {
    let mut victim = network(1, &[QUIC]).await;
    let hostile = Hostile::connect(3, &victim).await;
    let _control = hostile.control().await;
    up(&mut victim, &hostile).await;
    for _ in 0..20 {
        let mut lane = hostile.lane(1).await;
        write_frame(&mut lane, b"packet").await.expect("written");
        lane.close().await.expect("closed");
        assert_eq!(next(&mut victim).await, NetEvent::Media(hostile.node, b"packet".as_slice().into()));
        read_to_end(&mut lane).await;
    }
    let mut lane = hostile.lane(1).await;
    lane.write_all(&[0, 100, 1, 2, 3]).await.expect("written");
    lane.close().await.expect("closed");
    assert_eq!(down(&mut victim, hostile.node).await, LinkEnd::Framing("a packet breaks off".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_abrupt_end_of_the_control_substream_ends_the_link() {
    for transport in [QUIC, TCP] {
        let mut victim = network(1, &[transport]).await;
        let hostile = Hostile::connect(3, &victim).await;
        let mut control = hostile.control().await;
        up(&mut victim, &hostile).await;
        control.write_all(&[0, 50, 1]).await.expect("written");
        control.close().await.expect("closed");
        assert_eq!(down(&mut victim, hostile.node).await, LinkEnd::Framing("a message breaks off".into()));

        let hostile = Hostile::connect(4, &victim).await;
        let control = hostile.control().await;
        up(&mut victim, &hostile).await;
        drop(control);
        down(&mut victim, hostile.node).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_substreams_are_refused_and_the_link_lives() {
    for transport in [QUIC, TCP] {
        let mut victim = network(1, &[transport]).await;
        let mut friend = network(2, &[transport]).await;
        link(&mut friend, &mut victim).await;
        let hostile = Hostile::connect(3, &victim).await;
        let mut control = hostile.control().await;
        up(&mut victim, &hostile).await;
        // A second control substream, and media substreams that never name a lane, far more than the limit over time.
        let mut extra = Vec::new();
        for round in 0..60 {
            let protocol = if round % 10 == 0 { CONTROL } else { MEDIA };
            let mut stream = hostile.open(protocol).await;
            let _ = stream.flush().await;
            extra.push(stream);
            if extra.len() > 8 {
                drop(extra.remove(0));
            }
        }
        write_frame(&mut control, b"still here").await.expect("written");
        assert_eq!(next(&mut victim).await, NetEvent::Control(hostile.node, b"still here".as_slice().into()));
        still_talk(&mut friend, &mut victim).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_reads_nothing_loses_packets_and_costs_nobody_else() {
    const PACKETS: u32 = 1_000;
    for transport in [QUIC, TCP] {
        let mut victim = network(1, &[transport]).await;
        let mut friend = network(2, &[transport]).await;
        link(&mut friend, &mut victim).await;
        let hostile = Hostile::connect(3, &victim).await;
        let _control = hostile.control().await;
        up(&mut victim, &hostile).await;

        let to = [hostile.node, friend.node_id()];
        let mut heard = 0;
        for number in 0..PACKETS {
            let now = Instant::now();
            let deadline = now + Duration::from_millis(400);
            victim.forward(&to, number as usize % MEDIA_LANES, &[5; 1_100], deadline, now);
            tokio::time::sleep(Duration::from_millis(2)).await;
            while friend.try_next().is_some() {
                heard += 1;
            }
        }
        while heard < PACKETS {
            assert!(matches!(next(&mut friend).await, NetEvent::Media(..)));
            heard += 1;
        }
        let drops = victim.take_drops();
        if transport == QUIC {
            let [(peer, dropped)] = drops[..] else { panic!("{drops:?}") };
            assert_eq!(peer, hostile.node);
            // What is not dropped is in flight: the stream windows of four lanes, and the queues.
            let held = MEDIA_LANES * (limits::QUIC_STREAM_BYTES_MAX as usize / 1_100 + limits::LANE_QUEUE_PACKETS_MAX);
            assert!(dropped as usize + held >= PACKETS as usize, "{dropped} dropped, {held} may be held");
        } else {
            // Yamux gives each stream a window of 256 KiB, more than is sent here.
            assert!(drops.iter().all(|(peer, _)| *peer == hostile.node), "{drops:?}");
        }
        still_talk(&mut friend, &mut victim).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_does_not_take_its_messages_is_hung_up() {
    let mut victim = network(1, &[QUIC]).await;
    let mut friend = network(2, &[QUIC]).await;
    link(&mut friend, &mut victim).await;
    let hostile = Hostile::connect(3, &victim).await;
    let _control = hostile.control().await;
    up(&mut victim, &hostile).await;
    for _ in 0..limits::CONTROL_QUEUE_BYTES_MAX / 4096 + 10 {
        victim.send(&hostile.node, &[1; 4096]);
    }
    assert_eq!(down(&mut victim, hostile.node).await, LinkEnd::ControlQueueFull);
    still_talk(&mut friend, &mut victim).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_is_slowed_and_others_are_served() {
    for transport in [QUIC, TCP] {
        let mut victim = network(1, &[transport]).await;
        let mut friend = network(2, &[transport]).await;
        link(&mut friend, &mut victim).await;
        let hostile = Hostile::connect(3, &victim).await;
        let mut control = hostile.control().await;
        up(&mut victim, &hostile).await;
        let flood = tokio::spawn(async move {
            let message = [&100u16.to_be_bytes()[..], &[3; 100]].concat().repeat(20);
            while control.write_all(&message).await.is_ok() {}
        });

        // For two seconds the friend says something every 20 ms; the victim reads all that comes.
        let started = Instant::now();
        let mut said = 0u32;
        let (mut flooded, mut heard) = (0u32, 0u32);
        let mut worst = Duration::ZERO;
        while started.elapsed() < Duration::from_secs(2) {
            let now = Instant::now();
            friend.send(&victim.node_id(), &said.to_be_bytes());
            said += 1;
            while heard < said {
                match next(&mut victim).await {
                    NetEvent::Control(from, _) if from == friend.node_id() => heard += 1,
                    NetEvent::Control(..) => flooded += 1,
                    other => panic!("{other:?}"),
                }
            }
            worst = worst.max(now.elapsed());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let allowed = limits::INBOUND_FRAMES_BURST + 3 * limits::INBOUND_FRAMES_PER_S;
        assert!(flooded <= allowed, "{flooded} messages got through");
        assert!(worst < Duration::from_secs(1), "the friend waited {worst:?}");
        victim.hang_up(&hostile.node);
        while !matches!(next(&mut victim).await, NetEvent::LinkDown(..)) {}
        within("the flood's end", flood).await.expect("no panic");
        still_talk(&mut friend, &mut victim).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_who_opens_no_control_substream_gets_no_link_and_is_let_go() {
    let mut victim = network(1, &[QUIC]).await;
    let hostile = Hostile::connect(3, &victim).await;
    let mut lane = hostile.lane(0).await;
    write_frame(&mut lane, b"out of the blue").await.expect("written");
    // The victim closes the connection, which ends the substream.
    read_to_end(&mut lane).await;
    assert_eq!(victim.links(), 0);
    assert_eq!(victim.try_next(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_on_the_receiving_side_of_a_lane_end_the_link() {
    let mut victim = network(1, &[QUIC]).await;
    let hostile = Hostile::connect(3, &victim).await;
    let mut control = hostile.control().await;
    up(&mut victim, &hostile).await;
    forward(&victim, &[hostile.node], 0, b"packet");
    hostile.answer_lanes(b"what?").await;
    assert_eq!(down(&mut victim, hostile.node).await, LinkEnd::ReverseLane);
    let mut rest = [0; 16];
    let _ = within("the end", control.read(&mut rest)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_peer_replaces_its_old_connection() {
    let mut victim = network(1, &[QUIC]).await;
    let first = Hostile::connect(3, &victim).await;
    let old_control = first.control().await;
    up(&mut victim, &first).await;
    // The same identity dials again while the first connection is still there.
    let second = Hostile::connect(3, &victim).await;
    let mut control = second.control().await;
    assert_eq!(next(&mut victim).await, NetEvent::LinkDown(second.node, LinkEnd::Replaced));
    assert_eq!(next(&mut victim).await, NetEvent::LinkUp(second.node));
    write_frame(&mut control, b"again").await.expect("written");
    assert_eq!(next(&mut victim).await, NetEvent::Control(second.node, b"again".as_slice().into()));
    drop((old_control, control));
    assert_eq!(down(&mut victim, second.node).await, LinkEnd::PeerEnded);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_third_connection_of_one_peer_is_refused() {
    let mut victim = network(1, &[QUIC]).await;
    let mut hostiles = Vec::new();
    for _ in 0..limits::CONNECTIONS_PER_PEER_MAX {
        hostiles.push(Hostile::connect(3, &victim).await);
    }
    let third = Hostile::connect(3, &victim).await;
    third.let_go().await;
    assert_eq!(victim.try_next(), None);
}
