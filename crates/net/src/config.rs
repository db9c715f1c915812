//! How a node's network is set up, and why that may fail.

use std::{
    error::Error,
    io,
    net::{IpAddr, Ipv4Addr, TcpListener},
};

use libp2p::{Multiaddr, TransportError, multiaddr::Protocol};
use treehouse_wire::Address;

use crate::{
    address,
    limits::CONNECTIONS_MAX,
    reason::{io_reason, os_error},
};

/// How a node's network is set up.
#[derive(Clone, Debug)]
pub struct NetConfig {
    /// Where to listen, at least one address. By default all interfaces, any free port, over QUIC and over TCP.
    pub listen: Vec<Multiaddr>,
    /// Addresses to tell others before those that the node finds itself: a forwarded port, a DNS name.
    pub announce: Vec<Multiaddr>,
    /// Tell others loopback addresses although there are better ones; for rooms within one machine. A node that listens
    /// on loopback alone tells them anyway.
    pub tell_loopback: bool,
    /// Connections at once, both ways; at roughly 130 KiB each.
    pub connections_max: u32,
}

impl Default for NetConfig {
    fn default() -> Self {
        let any = |parts: &[Protocol<'static>]| {
            let unspecified = Multiaddr::from(Ipv4Addr::UNSPECIFIED);
            parts.iter().fold(unspecified, |address, part| address.with(part.clone()))
        };
        NetConfig {
            listen: vec![any(&[Protocol::Udp(0), Protocol::QuicV1]), any(&[Protocol::Tcp(0)])],
            announce: Vec::new(),
            tell_loopback: false,
            connections_max: CONNECTIONS_MAX,
        }
    }
}

impl NetConfig {
    /// A node that listens on these addresses only.
    ///
    /// # Errors
    /// [`NetError::Listen`] where one is no address that a node can listen on.
    pub fn listening_on(addresses: &[Address]) -> Result<Self, NetError> {
        let listen = addresses
            .iter()
            .map(|address| {
                address::to_multiaddr(address).ok_or_else(|| NetError::Listen {
                    address: address::address_text(address),
                    reason: "it is not an address that this version understands".into(),
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(NetConfig { listen, ..NetConfig::default() })
    }
}

/// Why a node's network could not be started. All are for the user of this machine to mend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetError {
    /// The port is taken.
    #[error("cannot listen on {address}: the port is in use; stop the other program or choose another port")]
    PortInUse {
        /// The address.
        address: String,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {reason}; choose another address")]
    Listen {
        /// The address.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no address to listen on.
    #[error("there is no address to listen on; name at least one")]
    NoAddress,
    /// The identity's seed is no key.
    #[error("the identity is not a valid key; make a new one")]
    Identity,
    /// A part of the network cannot be set up on this machine.
    #[error("cannot set up the network: {0}")]
    Setup(String),
}

impl NetError {
    pub(crate) fn listen(address: &Multiaddr, error: &TransportError<io::Error>) -> Self {
        let address = address.to_string();
        match error {
            TransportError::MultiaddrNotSupported(_) => {
                NetError::Listen { address, reason: "this node cannot listen on this kind of address".into() }
            }
            TransportError::Other(error) if is_in_use(error) => NetError::PortInUse { address },
            TransportError::Other(error) => NetError::Listen { address, reason: io_reason(error) },
        }
    }
}

/// Fails where another socket already accepts connections on a TCP port. libp2p itself shares ports (`SO_REUSEPORT`), so
/// two nodes on one port would each get some of the connections, and neither an error.
pub(crate) fn check_tcp_port(address: &Multiaddr) -> Result<(), NetError> {
    let mut parts = address.iter();
    let ip: IpAddr = match parts.next() {
        Some(Protocol::Ip4(ip)) => ip.into(),
        Some(Protocol::Ip6(ip)) => ip.into(),
        _ => return Ok(()),
    };
    match parts.next() {
        Some(Protocol::Tcp(port)) if port != 0 => match TcpListener::bind((ip, port)) {
            Err(error) if is_in_use(&error) => Err(NetError::PortInUse { address: address.to_string() }),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

fn is_in_use(error: &io::Error) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        let io = error.downcast_ref::<io::Error>();
        let kind = os_error(&error.to_string()).map(|error| error.kind());
        if [io.map(io::Error::kind), kind].contains(&Some(io::ErrorKind::AddrInUse)) {
            return true;
        }
        cause = match io.and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    false
}
