//! Packets as bare datagrams: what the kernel costs.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    net::UdpSocket,
    time::{MissedTickBehavior, interval},
};

use crate::{Case, Cost, Failed, MEASURED, Receivers, WARM_UP, Way, cost, cpu_time, until_told};

/// Sends one voice to its children.
pub async fn send(case: Case) -> Result<Cost, Failed> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let mut receivers = Receivers::start(Way::Udp, case.children, "-")?;
    let mut children = Vec::new();
    for _ in 0..case.children {
        children.push(SocketAddr::from((Ipv4Addr::LOCALHOST, receivers.line()?.parse()?)));
    }
    pace(&socket, case, &children, case.packets(WARM_UP)).await?;
    let before = cpu_time();
    pace(&socket, case, &children, case.packets(MEASURED)).await?;
    let cpu = cpu_time() - before;
    tokio::time::sleep(Duration::from_millis(300)).await;
    Ok(cost(case, cpu, receivers.end()?))
}

async fn pace(socket: &UdpSocket, case: Case, children: &[SocketAddr], packets: u32) -> Result<(), Failed> {
    let packet = case.packet();
    let mut ticks = interval(case.interval());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for _ in 0..packets {
        ticks.tick().await;
        for child in children {
            socket.send_to(&packet, child).await?;
        }
    }
    Ok(())
}

/// Receives as so many children; returns the packets that came.
pub async fn receive(children: u16) -> Result<u64, Failed> {
    let received = Arc::new(AtomicU64::new(0));
    for _ in 0..children {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        println!("{}", socket.local_addr()?.port());
        let counter = Arc::clone(&received);
        tokio::spawn(async move {
            let mut packet = [0; 2048];
            while socket.recv(&mut packet).await.is_ok() {
                counter.fetch_add(1, Relaxed);
            }
        });
    }
    until_told().await;
    Ok(received.load(Relaxed))
}
