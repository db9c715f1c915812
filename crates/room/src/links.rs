//! Links: who is connected, who is being dialled, who may send how much.

use core::time::Duration;
use std::collections::BTreeMap;

use treehouse_wire::{Address, Contact, Control, NodeId, control::Farewell};

use crate::{
    api::{Event, Offence, Output},
    room::Room,
    time::Instant,
};
use treehouse_wire::Suite;

/// Control messages that a peer may send at once.
const CONTROL_BURST: u32 = 200;
/// Control messages a second that a peer may send in the long run; an honest one sends about twenty.
const CONTROL_PER_SECOND: u32 = 60;
/// Packets a peer may send at once: a replay of two seconds of twelve voices in both packetisations.
const MEDIA_BURST: u32 = 2400;
/// Packets a second a peer may send in the long run: twelve voices in both packetisations.
const MEDIA_PER_SECOND: u32 = 900;
/// A link that serves nothing for this long is closed.
const UNUSED: Duration = Duration::from_secs(10);
/// A peer that was told to stop and still sends packets after this breaks the protocol.
const UNSOLICITED: Duration = Duration::from_secs(5);
/// How long a peer that broke the protocol is not spoken to.
const SHUNNED: Duration = Duration::from_secs(60);
/// Peers remembered as shunned; past it the one whose time ends first is forgotten.
const SHUNNED_MAX: usize = 256;
/// A dial without an answer counts as failed after this; the driver answers within ten seconds.
const DIAL: Duration = Duration::from_secs(12);

/// A token bucket in whole tokens; it refills with the time that inputs carry.
#[derive(Debug)]
pub(crate) struct Bucket {
    tokens: u32,
    burst: u32,
    per_second: u32,
    filled: Instant,
}

impl Bucket {
    pub(crate) fn new(now: Instant, burst: u32, per_second: u32) -> Self {
        Bucket { tokens: burst, burst, per_second, filled: now }
    }

    /// Takes one token, if there is one.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let gained = now.since(self.filled).as_micros().saturating_mul(u128::from(self.per_second)) / 1_000_000;
        if gained > 0 {
            self.tokens = self.tokens.saturating_add(u32::try_from(gained).unwrap_or(u32::MAX)).min(self.burst);
            self.filled = now;
        }
        let taken = self.tokens > 0;
        self.tokens = self.tokens.saturating_sub(1);
        taken
    }
}

/// One connected peer.
#[derive(Debug)]
pub(crate) struct Link {
    control: Bucket,
    media: Bucket,
    /// The last time that the link served a purpose.
    pub(crate) used: Instant,
    /// Packets may be under way from a feed that was given up; until then they accuse nobody.
    pub(crate) media_grace: Instant,
    /// Since when packets come that were not asked for, although the peer was told.
    pub(crate) unsolicited: Option<Instant>,
    /// The last time that the peer was asked for its room state.
    pub(crate) state_asked: Option<Instant>,
}

/// All peers that this node has or wants a connection to.
#[derive(Debug, Default)]
pub(crate) struct Links {
    pub(crate) up: BTreeMap<NodeId, Link>,
    dialing: BTreeMap<NodeId, Instant>,
    shunned: BTreeMap<NodeId, Instant>,
}

impl Links {
    pub(crate) fn is_up(&self, peer: &NodeId) -> bool {
        self.up.contains_key(peer)
    }

    pub(crate) fn get(&mut self, peer: &NodeId) -> Option<&mut Link> {
        self.up.get_mut(peer)
    }

    pub(crate) fn is_shunned(&self, peer: &NodeId, now: Instant) -> bool {
        self.shunned.get(peer).is_some_and(|until| *until > now)
    }

    pub(crate) fn dial_ended(&mut self, peer: &NodeId) {
        self.dialing.remove(peer);
    }

    pub(crate) fn is_dialing(&self, peer: &NodeId, now: Instant) -> bool {
        self.dialing.get(peer).is_some_and(|since| now.since(*since) < DIAL)
    }

    fn shun(&mut self, peer: NodeId, now: Instant) {
        self.shunned.retain(|_, until| *until > now);
        if self.shunned.len() >= SHUNNED_MAX {
            let first = self.shunned.iter().min_by_key(|(_, until)| **until).map(|(peer, _)| *peer);
            first.and_then(|peer| self.shunned.remove(&peer));
        }
        self.shunned.insert(peer, now.after(SHUNNED));
    }
}

impl<S: Suite> Room<S> {
    /// Queues a control message to a peer that is connected; to others nothing can be said.
    pub(crate) fn send(&mut self, to: NodeId, message: &Control) {
        if self.links.is_up(&to) {
            self.outputs.push_back(Output::Send { to, bytes: message.to_bytes() });
        }
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    /// Connects to a peer unless that is under way.
    pub(crate) fn dial(&mut self, contact: &Contact) {
        let (peer, now) = (contact.node, self.now);
        if peer == self.me || self.links.is_up(&peer) || self.links.is_dialing(&peer, now) {
            return;
        }
        self.links.dialing.insert(peer, now);
        self.outputs.push_back(Output::Dial { peer, addresses: contact.addresses.to_vec() });
    }

    pub(crate) fn link_up(&mut self, peer: NodeId) {
        self.links.dial_ended(&peer);
        if self.links.is_shunned(&peer, self.now) || peer == self.me {
            self.outputs.push_back(Output::Hangup { peer });
            return;
        }
        let now = self.now;
        let link = Link {
            control: Bucket::new(now, CONTROL_BURST, CONTROL_PER_SECOND),
            media: Bucket::new(now, MEDIA_BURST, MEDIA_PER_SECOND),
            used: now,
            media_grace: now,
            unsolicited: None,
            state_asked: None,
        };
        self.links.up.insert(peer, link);
        self.host_link_up(peer);
        self.measure_link_up(peer);
        self.feeds_link_up(peer);
        self.stage_link_up(peer);
    }

    /// The link is gone, by a crash or after a goodbye.
    pub(crate) fn link_down(&mut self, peer: NodeId) {
        self.links.dial_ended(&peer);
        if self.links.up.remove(&peer).is_none() {
            return;
        }
        self.measure_gone(peer);
        self.stage_link_down(peer);
        self.child_gone(peer);
        self.feed_link_down(peer);
        self.member_link_down(peer);
        self.host_link_down(peer);
    }

    pub(crate) fn dial_failed(&mut self, peer: NodeId, attempts: Vec<(Address, String)>) {
        self.links.dial_ended(&peer);
        if self.links.is_up(&peer) {
            return;
        }
        self.measure_gone(peer);
        self.feed_unreachable(peer);
        self.host_unreachable(peer, attempts);
    }

    /// Closes a link after saying why.
    pub(crate) fn hang_up(&mut self, peer: NodeId, why: Farewell) {
        if self.links.is_up(&peer) {
            self.send(peer, &Control::Bye(why));
            self.outputs.push_back(Output::Hangup { peer });
            self.link_down(peer);
        }
    }

    /// Drops a peer that broke the protocol, and does not speak to it for a while.
    pub(crate) fn offended(&mut self, peer: NodeId, kind: Offence) {
        self.event(Event::Offence { peer, kind });
        self.links.shun(peer, self.now);
        self.hang_up(peer, Farewell::Misbehaved);
    }

    /// Whether a peer may send another control message now.
    pub(crate) fn may_send_control(&mut self, peer: NodeId) -> bool {
        let now = self.now;
        self.links.get(&peer).is_some_and(|link| link.control.take(now))
    }

    /// Whether a peer may send another packet now.
    pub(crate) fn may_send_media(&mut self, peer: NodeId) -> bool {
        let now = self.now;
        self.links.get(&peer).is_some_and(|link| link.media.take(now))
    }

    /// Packets came that nobody asked for. A peer whose other connection to this node outlived a cut may not know that
    /// its child is none any more, so it is told before it is blamed.
    pub(crate) fn unsolicited(&mut self, peer: NodeId) {
        let now = self.now;
        let Some(link) = self.links.get(&peer).filter(|link| link.media_grace <= now) else { return };
        match link.unsolicited {
            None => {
                link.unsolicited = Some(now);
                self.send(peer, &Control::Unsubscribe);
            }
            Some(since) if now.since(since) >= UNSOLICITED => self.offended(peer, Offence::Unsolicited),
            Some(_) => {}
        }
    }

    /// Closes links that have served nothing for a while.
    pub(crate) fn close_unused_links(&mut self) {
        let now = self.now;
        let peers: Vec<NodeId> = self.links.up.keys().copied().collect();
        for peer in peers {
            let in_use = self.is_link_in_use(&peer);
            let Some(link) = self.links.get(&peer) else { continue };
            if in_use {
                link.used = now;
            } else if now.since(link.used) >= UNUSED {
                self.hang_up(peer, Farewell::Unused);
            }
        }
    }

    fn is_link_in_use(&self, peer: &NodeId) -> bool {
        *peer == self.host
            || self.feeds.get(peer).is_some()
            || self.children.contains(peer)
            || self.is_measuring(peer)
            || self.stage_needs(peer)
            || self.acting.as_ref().is_some_and(|acting| acting.directory.contains_key(peer))
    }
}
