//! Packets over this crate's links.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::time::{MissedTickBehavior, interval};
use treehouse_net::{NetConfig, NetEvent, Network, address_text, parse_address};
use treehouse_wire::{Address, NodeId, limits::MEDIA_LANES};

use crate::{Case, Cost, Failed, MEASURED, Receivers, WARM_UP, Way, cost, cpu_time, until_told};

async fn network(number: u16) -> Result<Network, Failed> {
    let mut seed = [4; 32];
    seed[..2].copy_from_slice(&number.to_be_bytes());
    let config = NetConfig::listening_on(&[parse_address("/ip4/127.0.0.1/udp/0/quic-v1")?])?;
    Ok(Network::start(seed, &config).await?)
}

/// Sends one voice to its children.
pub async fn send(case: Case) -> Result<Cost, Failed> {
    let mut network = network(0).await?;
    let address = network.addresses().first().map(address_text).ok_or("no address")?;
    let mut receivers = Receivers::start(Way::Links, case.children, &address)?;
    let mut children: Vec<NodeId> = Vec::new();
    while children.len() < case.children {
        if let Some(NetEvent::LinkUp(child)) = network.next().await {
            children.push(child);
        }
    }
    receivers.line()?;
    pace(&mut network, case, &children, case.packets(WARM_UP)).await;
    let before = cpu_time();
    pace(&mut network, case, &children, case.packets(MEASURED)).await;
    let cpu = cpu_time() - before;
    tokio::time::sleep(Duration::from_millis(300)).await;
    Ok(cost(case, cpu, receivers.end()?))
}

async fn pace(network: &mut Network, case: Case, children: &[NodeId], packets: u32) {
    let packet = case.packet();
    let mut ticks = interval(case.interval());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for number in 0..packets {
        ticks.tick().await;
        while network.try_next().is_some() {}
        let now = Instant::now();
        network.forward(children, number as usize % MEDIA_LANES, &packet, now + Duration::from_millis(400), now);
    }
}

/// Receives as so many children of the node at `address`; returns the packets that came.
pub async fn receive(children: u16, address: &str) -> Result<u64, Failed> {
    let parent = network(0).await?.node_id();
    let address = parse_address(address)?;
    let received = Arc::new(AtomicU64::new(0));
    let mut tasks = Vec::new();
    for number in 1..=children {
        let network = join(number, parent, address.clone()).await?;
        tasks.push(tokio::spawn(count(network, Arc::clone(&received))));
    }
    println!("ready");
    until_told().await;
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    Ok(received.load(Relaxed))
}

async fn join(number: u16, parent: NodeId, address: Address) -> Result<Network, Failed> {
    let mut network = network(number).await?;
    network.dial(parent, vec![address]);
    match network.next().await {
        Some(NetEvent::LinkUp(_)) => Ok(network),
        other => Err(format!("no link: {other:?}").into()),
    }
}

async fn count(mut network: Network, received: Arc<AtomicU64>) {
    while let Some(event) = network.next().await {
        if let NetEvent::Media(..) = event {
            received.fetch_add(1, Relaxed);
        }
    }
}
