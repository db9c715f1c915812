//! Flow mode: what rooms would be told by regular traffic, and what the sound is told of rooms.
//!
//! Rooms are hushed: they send what changes. Here is computed what a room would notice by silence, and when; what pings to candidates
//! would tell it; and the feeds that
//! rooms give, and where they are, are passed on to the engine, which computes who hears what.

use std::time::Duration;

use rand::RngExt;
use rand_distr::{Distribution, Exp1};
use treehouse_room::{Input, Instant, Trip};
use treehouse_wire::{NodeId, Suite, control::Purpose};

use super::{Timer, Treehouse};
use crate::{
    engine::{Net, OVERHEAD_BYTES},
    plan::NodeIx,
    strategy::Place,
};

/// A live feed carries a packet or a tick this often, in microseconds, and is suspect after so long a silence: the room's
/// own numbers, its estimate of the jitter aside.
const LIVE_US: u64 = 60_000;
const LIVE_PATIENCE_US: u64 = 150_000;
/// The same of an idle feed.
const IDLE_US: u64 = 1_000_000;
const IDLE_PATIENCE_US: u64 = 2_500_000;

/// Bytes of a tick on the wire without its path.
const TICK_BYTES: u32 = 25 + 2 + OVERHEAD_BYTES as u32;
/// A ping and its answer every 30 s.
const PING_BYTES_PER_S: u32 = 2 * (6 + 2 + OVERHEAD_BYTES as u32) / 30;

/// Pings to each candidate, and bytes of one and of its answer on the wire.
const PINGS: u32 = 2;
const PING_BYTES: u64 = 6 + 2 + OVERHEAD_BYTES;
/// Links that were made to measure are there for so long: the room's own number.
const UNUSED_US: u64 = 10_000_000;

impl<S: Suite> Treehouse<S> {
    /// Tells a room what dials and pings to candidates would bring.
    pub(super) fn measure(&mut self, net: &mut Net<Self>, node: NodeIx, peers: &[NodeId]) {
        let (mut trips, mut measured) = (Vec::with_capacity(peers.len()), Vec::with_capacity(peers.len()));
        for peer in peers {
            let Some(at) = self.index.get(peer).copied() else { continue };
            let linked = self.has_measured(net.now_us(), node, at);
            let (after_us, trip_us) = net.measure(node, at, linked, PINGS, PING_BYTES);
            measured.extend(trip_us.map(|_| at));
            let round_trip = trip_us.map(Duration::from_micros);
            trips.push(Trip { peer: *peer, after: Duration::from_micros(after_us), round_trip });
        }
        let now_us = net.now_us();
        let Some(member) = self.member_mut(node) else { return };
        (member.measured, member.measured_until_us) = (measured, now_us + UNUSED_US);
        if let Some(room) = member.room.as_deref_mut() {
            // Trips are never refused.
            let _ = room.handle_input(Instant::from_micros(now_us), Input::Measured(&trips));
        }
    }

    /// Tells a room what a ping to one of its feeds would bring.
    pub(super) fn measure_feed(&mut self, net: &mut Net<Self>, node: NodeIx, peer: NodeId) {
        let Some(at) = self.index.get(&peer).copied() else { return };
        let (_, trip_us) = net.measure(node, at, true, 1, PING_BYTES);
        let now = Instant::from_micros(net.now_us());
        if let (Some(trip_us), Some(room)) = (trip_us, self.room_mut(node)) {
            // It is never refused.
            let _ = room.handle_input(now, Input::FeedMeasured { peer, round_trip: Duration::from_micros(trip_us) });
        }
    }

    /// Whether a node has measured another so lately that it would still have a link to it.
    pub(super) fn has_measured(&self, now_us: u64, node: NodeIx, peer: NodeIx) -> bool {
        self.member(node).is_some_and(|of| now_us < of.measured_until_us && of.measured.contains(&peer))
    }

    /// A peer will be silent from now on: wakes the room when it would notice if it is a live feed.
    pub(super) fn notice_silence(&mut self, net: &mut Net<Self>, node: NodeIx, peer: NodeIx) {
        // The last packet or tick was sent a moment ago, the way makes it later, and jitter counts four times.
        let passed_us = net.rng.random_range(0..LIVE_US);
        let jitter: f64 = Exp1.sample(&mut net.rng);
        let jitter_us = ((jitter + 4.0 * 0.5) * net.plan().jitter_us as f64) as u64;
        let at_us = net.now_us() + net.one_way_us(peer, node) + LIVE_PATIENCE_US + jitter_us - passed_us;
        net.timer(node, at_us, Timer::Silent { peer, idle: false });
    }

    /// The time has come that a silent peer is noticed.
    pub(super) fn silent(&mut self, net: &mut Net<Self>, node: NodeIx, peer: NodeIx, idle: bool) {
        let Some(peer_id) = self.id(peer).filter(|_| !net.is_alive(peer)) else { return };
        let Some(room) = self.member(node).and_then(|member| member.room.as_deref()) else { return };
        let Some(purpose) = room.feed_purpose(&peer_id) else { return };
        if purpose == Purpose::IdleStandby && !idle {
            let passed_us = net.rng.random_range(0..IDLE_US);
            let at_us = net.now_us() + IDLE_PATIENCE_US - LIVE_PATIENCE_US - passed_us;
            return net.timer(node, at_us, Timer::Silent { peer, idle: true });
        }
        self.input(net, node, Input::FeedSilent { peer: peer_id });
    }

    /// Tells the engine whom a node feeds now.
    pub(super) fn see_children(&mut self, net: &mut Net<Self>, node: NodeIx, ticked: usize) {
        let Some(room) = self.member(node).and_then(|member| member.room.as_deref()) else { return };
        let children: Vec<NodeIx> = room.fed().iter().filter_map(|child| self.index.get(child).copied()).collect();
        let small = |count: usize| u16::try_from(count).unwrap_or(u16::MAX);
        if let Some(member) = self.member_mut(node) {
            (member.ticked, member.fed) = (small(ticked), small(children.len()));
        }
        net.feeds(node, children);
        self.see_regular(net, node);
    }

    /// What goes out while somebody speaks and nothing changes: a tick a second to each child and standby, whose path grows with
    /// the depth; pings; and ticks of feeds that are silent for as long as a packet of three frames lasts, which jitter makes of
    /// every second packet.
    fn see_regular(&self, net: &mut Net<Self>, node: NodeIx) {
        let Some(member) = self.member(node) else { return };
        let media = net.plan().media;
        let packet_us = media.frame_us * u64::from(media.frames_per_packet);
        let late = if packet_us < LIVE_US || net.plan().jitter_us == 0 { 0 } else { 500_000 / packet_us as u32 };
        let tick_bytes = TICK_BYTES + 4 * (u32::from(member.upstream.depth) + 1);
        let (ticked, fed) = (u32::from(member.ticked), u32::from(member.fed));
        net.regular(node, ticked * (tick_bytes + PING_BYTES_PER_S) + fed * late * tick_bytes);
    }

    /// Tells the engine where a node is now, if that has changed.
    pub(super) fn see_place(&mut self, net: &mut Net<Self>, node: NodeIx) {
        let Some(member) = self.members.get_mut(node.index()).and_then(Option::as_mut) else { return };
        let Some(room) = member.room.as_deref_mut() else { return };
        let upstream = room.upstream();
        if member.upstream == upstream {
            return;
        }
        let before = std::mem::replace(&mut member.upstream, upstream);
        if before.state != upstream.state {
            room.share(&mut self.pool);
        }
        let place = Place {
            parent: upstream.parent.and_then(|parent| self.index.get(&parent).copied()),
            standby: upstream.standby.and_then(|standby| self.index.get(&standby).copied()),
            depth: upstream.parent.map(|_| f64::from(upstream.depth)),
        };
        net.placed(node, place);
        self.see_regular(net, node);
        if before.root != upstream.root {
            net.co_root(node, upstream.root);
        }
    }
}
