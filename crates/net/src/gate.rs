//! Who may connect how often, by address: one machine that keeps knocking shuts nobody else out.
//!
//! A connection costs a handshake and, until that is over, one of a few places. Each address has a bucket of connections (the generic
//! cell rate algorithm, ITU-T I.371) and a share of the places. An IPv6 address stands for its /64, which one subscriber has (RFC 6177).
//! The usual loopback addresses are not counted: who comes by them is the user of this machine.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    task::{Context, Poll},
    time::Instant,
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    multiaddr::Protocol,
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent,
        ToSwarm, dummy,
    },
};

use crate::limits::{
    INBOUND_ADDRESSES_MAX, INBOUND_BURST_PER_ADDRESS, INBOUND_INTERVAL_PER_ADDRESS, PENDING_INBOUND_PER_ADDRESS_MAX,
};

/// Why a connection is refused before its peer has said who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// Too many have come from there of late.
    #[error("too many connections came from its address")]
    TooMany,
    /// Too many from there have not said yet who they are.
    #[error("too many connections from its address are unfinished")]
    Unfinished,
}

/// Whose bucket a connection is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Source {
    V4(Ipv4Addr),
    /// The first half of the address.
    V6([u16; 4]),
    /// All beyond those that are remembered.
    Others,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    full_at: Instant,
    pending: u32,
}

/// Counts connections that come in.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    buckets: HashMap<Source, Bucket>,
    pending: HashMap<ConnectionId, Source>,
}

impl Gate {
    fn admit(&mut self, id: ConnectionId, remote: &Multiaddr, now: Instant) -> Result<(), Refused> {
        let Some(source) = source(remote) else { return Ok(()) };
        let source = self.remembered(source, now);
        let bucket = self.buckets.entry(source).or_insert(Bucket { full_at: now, pending: 0 });
        let full_at = bucket.full_at.max(now) + INBOUND_INTERVAL_PER_ADDRESS;
        if full_at.duration_since(now) > INBOUND_INTERVAL_PER_ADDRESS * INBOUND_BURST_PER_ADDRESS {
            return Err(Refused::TooMany);
        }
        if bucket.pending >= PENDING_INBOUND_PER_ADDRESS_MAX {
            return Err(Refused::Unfinished);
        }
        (bucket.full_at, bucket.pending) = (full_at, bucket.pending + 1);
        self.pending.insert(id, source);
        Ok(())
    }

    /// Where a source is counted: with all others where no more can be remembered.
    fn remembered(&mut self, source: Source, now: Instant) -> Source {
        if self.buckets.len() >= INBOUND_ADDRESSES_MAX && !self.buckets.contains_key(&source) {
            self.buckets.retain(|_, bucket| bucket.pending > 0 || bucket.full_at > now);
            if self.buckets.len() >= INBOUND_ADDRESSES_MAX {
                return Source::Others;
            }
        }
        source
    }

    /// A connection has said who it is, or has failed.
    fn finished(&mut self, id: ConnectionId) {
        let Some(source) = self.pending.remove(&id) else { return };
        if let Some(bucket) = self.buckets.get_mut(&source) {
            bucket.pending = bucket.pending.saturating_sub(1);
        }
    }
}

fn source(remote: &Multiaddr) -> Option<Source> {
    let ip = remote.iter().find_map(|part| match part {
        Protocol::Ip4(ip) => Some(IpAddr::V4(ip)),
        Protocol::Ip6(ip) => Some(IpAddr::V6(ip).to_canonical()),
        _ => None,
    })?;
    match ip {
        IpAddr::V4(ip) => (ip != Ipv4Addr::LOCALHOST).then_some(Source::V4(ip)),
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            (ip != Ipv6Addr::LOCALHOST).then_some(Source::V6([a, b, c, d]))
        }
    }
}

impl NetworkBehaviour for Gate {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        id: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.admit(id, remote, Instant::now()).map_err(ConnectionDenied::new)
    }

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(established) => self.finished(established.connection_id),
            FromSwarm::ListenFailure(failure) => self.finished(failure.connection_id),
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Infallible, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn from(address: &str) -> Multiaddr {
        format!("{address}/tcp/9").parse().expect("an address")
    }

    fn knock(gate: &mut Gate, id: usize, address: &str, now: Instant) -> Result<(), Refused> {
        gate.admit(ConnectionId::new_unchecked(id), &from(address), now)
    }

    #[test]
    fn one_address_gets_its_burst_and_then_its_rate_and_others_are_served() {
        let (mut gate, now) = (Gate::default(), Instant::now());
        let admitted = |gate: &mut Gate, ids: std::ops::Range<usize>, now: Instant| {
            ids.filter(|id| {
                let passes = knock(gate, *id, "/ip4/10.0.0.1", now).is_ok();
                gate.finished(ConnectionId::new_unchecked(*id));
                passes
            })
            .count()
        };
        assert_eq!(admitted(&mut gate, 0..1000, now), INBOUND_BURST_PER_ADDRESS as usize);
        let later = now + 10 * INBOUND_INTERVAL_PER_ADDRESS;
        assert_eq!(admitted(&mut gate, 1000..2000, later), 10);
        assert_eq!(knock(&mut gate, 2000, "/ip4/10.0.0.1", later), Err(Refused::TooMany));
        assert_eq!(knock(&mut gate, 2001, "/ip4/10.0.0.2", later), Ok(()));
        assert_eq!(knock(&mut gate, 2002, "/ip4/127.0.0.1", later), Ok(()), "the user of this machine");
    }

    #[test]
    fn unfinished_ones_of_one_address_leave_places_to_others() {
        let (mut gate, now) = (Gate::default(), Instant::now());
        for id in 0..PENDING_INBOUND_PER_ADDRESS_MAX as usize {
            assert_eq!(knock(&mut gate, id, "/ip6/2001:db8::1", now), Ok(()));
        }
        assert_eq!(knock(&mut gate, 90, "/ip6/2001:db8::2", now), Err(Refused::Unfinished), "the same subscriber");
        assert_eq!(knock(&mut gate, 91, "/ip6/2001:db8:0:1::1", now), Ok(()));
        gate.finished(ConnectionId::new_unchecked(0));
        assert_eq!(knock(&mut gate, 92, "/ip6/2001:db8::2", now), Ok(()));
    }

    #[test]
    fn what_is_remembered_of_addresses_is_bounded() {
        let (mut gate, now) = (Gate::default(), Instant::now());
        for id in 0..3 * INBOUND_ADDRESSES_MAX {
            let _ = knock(&mut gate, id, &format!("/ip4/10.{}.{}.1", id / 256, id % 256), now);
        }
        assert!(gate.buckets.len() <= INBOUND_ADDRESSES_MAX + 1, "{}", gate.buckets.len());
        (0..3 * INBOUND_ADDRESSES_MAX).for_each(|id| gate.finished(ConnectionId::new_unchecked(id)));
        let later = now + Duration::from_secs(60);
        assert_eq!(knock(&mut gate, 1_000_000, "/ip4/172.16.0.1", later), Ok(()));
        assert!(gate.buckets.len() < 3, "and forgotten in its time: {}", gate.buckets.len());
    }
}
