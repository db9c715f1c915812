//! Packets over raw quinn: four unidirectional streams a child, with libp2p's keys and this crate's transport settings.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use libp2p::identity::Keypair;
use quinn::{
    ClientConfig, Connection, Endpoint, RecvStream, SendStream, ServerConfig, TransportConfig, VarInt,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use tokio::time::{MissedTickBehavior, interval};
use treehouse_net::limits::{
    QUIC_CONNECTION_BYTES_MAX, QUIC_IDLE_TIMEOUT, QUIC_KEEP_ALIVE, QUIC_STREAM_BYTES_MAX, SUBSTREAMS_MAX,
};
use treehouse_wire::limits::MEDIA_LANES;

use crate::{Case, Cost, Failed, MEASURED, Receivers, WARM_UP, Way, cost, cpu_time, until_told};

type Lanes = [SendStream; MEDIA_LANES];

/// As libp2p sets quinn up, but with unidirectional streams.
fn transport() -> Result<Arc<TransportConfig>, Failed> {
    let mut transport = TransportConfig::default();
    transport.max_concurrent_uni_streams(VarInt::from_u32(SUBSTREAMS_MAX as u32));
    transport.datagram_receive_buffer_size(None);
    transport.keep_alive_interval(Some(QUIC_KEEP_ALIVE));
    transport.max_idle_timeout(Some(QUIC_IDLE_TIMEOUT.try_into()?));
    transport.allow_spin(false);
    transport.stream_receive_window(QUIC_STREAM_BYTES_MAX.into());
    transport.receive_window(QUIC_CONNECTION_BYTES_MAX.into());
    Ok(Arc::new(transport))
}

/// Sends one voice to its children.
pub async fn send(case: Case) -> Result<Cost, Failed> {
    let tls = libp2p_tls::make_server_config(&Keypair::generate_ed25519())?;
    let mut server = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
    server.transport_config(transport()?);
    let endpoint = Endpoint::server(server, (Ipv4Addr::LOCALHOST, 0).into())?;
    let mut receivers = Receivers::start(Way::Quinn, case.children, &endpoint.local_addr()?.to_string())?;
    let mut children = Vec::new();
    let mut connections: Vec<Connection> = Vec::new();
    while children.len() < case.children {
        let connection = endpoint.accept().await.ok_or("the endpoint is closed")?.await?;
        children.push(lanes(&connection).await?);
        connections.push(connection);
    }
    receivers.line()?;
    pace(case, &mut children, case.packets(WARM_UP)).await?;
    let before = cpu_time();
    pace(case, &mut children, case.packets(MEASURED)).await?;
    let cpu = cpu_time() - before;
    tokio::time::sleep(Duration::from_millis(300)).await;
    Ok(cost(case, cpu, receivers.end()?))
}

async fn lanes(connection: &Connection) -> Result<Lanes, Failed> {
    let mut lanes = Vec::new();
    for _ in 0..MEDIA_LANES {
        lanes.push(connection.open_uni().await?);
    }
    lanes.try_into().map_err(|_| "another number of lanes".into())
}

async fn pace(case: Case, children: &mut [Lanes], packets: u32) -> Result<(), Failed> {
    let packet = case.packet();
    let framed = [&(packet.len() as u16).to_be_bytes()[..], &packet].concat();
    let mut ticks = interval(case.interval());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for number in 0..packets as usize {
        ticks.tick().await;
        for lanes in &mut *children {
            lanes[number % MEDIA_LANES].write_all(&framed).await?;
        }
    }
    Ok(())
}

/// Receives as so many children of the endpoint at `address`; returns the packets that came.
pub async fn receive(children: u16, address: &str) -> Result<u64, Failed> {
    let address: SocketAddr = address.parse()?;
    let received = Arc::new(AtomicU64::new(0));
    let mut held = Vec::new();
    for _ in 0..children {
        let tls = libp2p_tls::make_client_config(&Keypair::generate_ed25519(), None)?;
        let mut client = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
        client.transport_config(transport()?);
        let endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into())?;
        let connection = endpoint.connect_with(client, address, "l")?.await?;
        let (accepting, counter) = (connection.clone(), Arc::clone(&received));
        tokio::spawn(async move {
            while let Ok(lane) = accepting.accept_uni().await {
                tokio::spawn(count(lane, Arc::clone(&counter)));
            }
        });
        held.push((endpoint, connection));
    }
    println!("ready");
    until_told().await;
    Ok(received.load(Relaxed))
}

async fn count(mut lane: RecvStream, received: Arc<AtomicU64>) {
    let mut length = [0; 2];
    let mut packet = [0; 2048];
    while lane.read_exact(&mut length).await.is_ok() {
        let Some(packet) = packet.get_mut(..usize::from(u16::from_be_bytes(length))) else { return };
        if lane.read_exact(packet).await.is_err() {
            return;
        }
        received.fetch_add(1, Relaxed);
    }
}
