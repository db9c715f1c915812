//! How far it is: pings to the own feeds, the delay from the root along the tree, the own coordinate.

use core::time::Duration;

use treehouse_wire::{Control, NodeId, Suite};

use crate::{api::Output, coordinates::Coordinate, feeds::Feed, room::Room, time::Instant};

/// A feed's round trip is measured this often.
const PING: Duration = Duration::from_secs(30);
/// What a relay adds to the delay of what it forwards, in microseconds.
const HOP_US: u64 = 1000;
/// The way to a parent whose round trip is not known yet, in microseconds.
const UNKNOWN_US: u64 = 40_000;

impl<S: Suite> Room<S> {
    /// Once a second: measures the round trip to feeds that were not measured lately.
    pub(crate) fn ping_feeds(&mut self) {
        let now = self.now;
        let due = |feed: &&Feed| feed.is_live() && self.ping_due(feed) <= now;
        let feeds: Vec<NodeId> = self.feeds.all.iter().filter(due).map(Feed::node).collect();
        for node in feeds {
            self.ping_feed(node);
        }
    }

    /// When a feed is to be pinged again; ever later while the room is hushed, since the way to it does not change.
    pub(crate) fn ping_due(&self, feed: &Feed) -> Instant {
        let Some(pinged) = feed.pinged else { return self.now };
        let pause = if self.hushed { PING.max(pinged.since(feed.since)) } else { PING };
        pinged.after(pause)
    }

    pub(crate) fn ping_feed(&mut self, node: NodeId) {
        let (now, nonce) = (self.now, self.rng.next_u32());
        let Some(feed) = self.feeds.get_mut(&node) else { return };
        feed.pinged = Some(now);
        feed.ping_nonce = nonce;
        if self.hushed {
            return self.outputs.push_back(Output::MeasureFeed { peer: node });
        }
        self.send(node, &Control::Ping { nonce });
    }

    /// A feed has answered a ping: the way to it, and where this node is by it.
    pub(crate) fn feed_pong(&mut self, from: NodeId, nonce: u32) {
        let now = self.now;
        let Some(feed) = self.feeds.get_mut(&from).filter(|feed| feed.ping_nonce == nonce) else { return };
        let Some(sent) = feed.pinged else { return };
        // The same nonce answered twice says nothing.
        feed.ping_nonce = feed.ping_nonce.wrapping_add(1);
        self.feed_measured(from, now.since(sent));
    }

    /// The round trip to a feed, pinged or computed.
    pub(crate) fn feed_measured(&mut self, from: NodeId, trip: Duration) {
        let Some(feed) = self.feeds.get_mut(&from) else { return };
        feed.trip_us = u32::try_from(trip.as_micros()).unwrap_or(u32::MAX);
        let position = feed.position;
        if !self.is_host() {
            self.coordinate.learn(trip, &Coordinate::from_wire(&position), &mut self.rng);
        }
    }

    /// Estimated one-way delay from the root to this node, in milliseconds.
    pub(crate) fn delay_ms(&self) -> u16 {
        if self.is_host() {
            return 0;
        }
        let Some(feed) = self.feeds.upstream() else { return 0 };
        let way_us = if feed.trip_us == 0 { UNKNOWN_US } else { u64::from(feed.trip_us) / 2 };
        let delay_us = u64::from(feed.delay_ms) * 1000 + way_us + HOP_US;
        u16::try_from(delay_us / 1000).unwrap_or(u16::MAX)
    }
}
