//! Links: who is connected, who is being dialled, who may send how much.

use core::time::Duration;

use treehouse_wire::{Address, Contact, Control, NodeId, control::Farewell};

use crate::{
    api::{Event, Offence, Output},
    room::Room,
    sorted::Sorted,
    time::Instant,
};
use treehouse_wire::Suite;

/// Control messages that a peer may send: 200 at once, 60 a second in the long run; an honest one sends about twenty.
const CONTROL: Rate = Rate { burst: 200, interval: Duration::from_micros(1_000_000 / 60) };
/// Invites that a peer may show: five at once, one every two seconds in the long run. Each costs up to five signatures to check.
const JOINS: Rate = Rate { burst: 5, interval: Duration::from_secs(2) };
/// Packets that a peer may send: at once a replay of two seconds of twelve voices in both packetisations, 900 a second in
/// the long run, which is twelve voices in both.
const MEDIA: Rate = Rate { burst: 2400, interval: Duration::from_micros(1_000_000 / 900) };
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

/// Keys remembered that have shown invites of late and are not linked; past it the one that may show most again is forgotten.
const JOINERS_MAX: usize = 1024;

/// How much may come at once, and one more after each interval.
#[derive(Clone, Copy, Debug)]
struct Rate {
    burst: u32,
    interval: Duration,
}

/// A token bucket as the one time at which it is full again: the generic cell rate algorithm (ITU-T I.371).
#[derive(Clone, Copy, Debug)]
struct Bucket {
    full_at: Instant,
}

impl Bucket {
    /// Takes one token, if there is one.
    fn take(&mut self, now: Instant, rate: Rate) -> bool {
        let full_at = self.full_at.max(now).after(rate.interval);
        let taken = full_at.since(now) <= rate.interval * rate.burst;
        if taken {
            self.full_at = full_at;
        }
        taken
    }
}

/// One connected peer.
#[derive(Debug)]
pub(crate) struct Link {
    control: Bucket,
    media: Bucket,
    joins: Bucket,
    /// Since when the link was seen to serve nothing.
    unused: Option<Instant>,
    /// Packets may be under way from a feed that was given up; until then they accuse nobody.
    pub(crate) media_grace: Instant,
    /// Since when packets come that were not asked for, although the peer was told.
    pub(crate) unsolicited: Option<Instant>,
    /// The last time that the peer was asked for its room state.
    pub(crate) state_asked: Option<Instant>,
}

impl Link {
    /// Whether an invite that the peer shows is looked at now.
    pub(crate) fn may_join(&mut self, now: Instant) -> bool {
        self.joins.take(now, JOINS)
    }

    /// Whether the peer may send another packet now.
    pub(crate) fn may_send_media(&mut self, now: Instant) -> bool {
        self.media.take(now, MEDIA)
    }
}

/// What keys may still show after their links have ended: who comes again does not begin anew.
#[derive(Debug, Default)]
pub(crate) struct Joiners(Sorted<Bucket>);

impl Joiners {
    fn keep(&mut self, peer: NodeId, bucket: Bucket, now: Instant) {
        if bucket.full_at <= now {
            return;
        }
        if self.0.len() >= JOINERS_MAX {
            self.0.retain(|_, of| of.full_at > now);
        }
        if self.0.len() >= JOINERS_MAX {
            let first = self.0.iter().min_by_key(|(_, of)| of.full_at).map(|(peer, _)| *peer);
            first.and_then(|peer| self.0.remove(&peer));
        }
        self.0.insert(peer, bucket);
    }
}

/// All peers that this node has or wants a connection to.
#[derive(Debug, Default)]
pub(crate) struct Links {
    pub(crate) up: Sorted<Link>,
    dialing: Sorted<Instant>,
    shunned: Sorted<Instant>,
}

impl Links {
    pub(crate) fn is_up(&self, peer: &NodeId) -> bool {
        self.up.contains(peer)
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
        self.forget_shunned(now);
        if self.shunned.len() >= SHUNNED_MAX {
            let first = self.shunned.iter().min_by_key(|(_, until)| **until).map(|(peer, _)| *peer);
            first.and_then(|peer| self.shunned.remove(&peer));
        }
        self.shunned.insert(peer, now.after(SHUNNED));
    }

    fn forget_shunned(&mut self, now: Instant) {
        if !self.shunned.is_empty() {
            self.shunned.retain(|_, until| *until > now);
        }
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
        let full = Bucket { full_at: now };
        let shown = self.region.as_mut().and_then(|region| region.joiners.0.remove(&peer));
        let link = Link {
            control: full,
            media: full,
            joins: shown.unwrap_or(full),
            unused: None,
            media_grace: now,
            unsolicited: None,
            state_asked: None,
        };
        self.links.up.insert(peer, link);
        self.is_there(peer);
        self.host_link_up(peer);
        self.measure_link_up(peer);
        self.feeds_link_up(peer);
        self.stage_link_up(peer);
    }

    /// The link is gone, by a crash or after a goodbye.
    pub(crate) fn link_down(&mut self, peer: NodeId) {
        self.links.dial_ended(&peer);
        let Some(link) = self.links.up.remove(&peer) else { return };
        if let Some(region) = &mut self.region {
            region.joiners.keep(peer, link.joins, self.now);
        }
        self.measure_gone(peer);
        self.stage_link_down(peer);
        self.child_left(peer, false);
        self.feed_link_down(peer);
        self.member_link_down(peer);
        self.host_link_down(peer);
        self.hub_link_down(&peer);
    }

    pub(crate) fn dial_failed(&mut self, peer: NodeId, attempts: Vec<(Address, String)>) {
        self.links.dial_ended(&peer);
        if self.links.is_up(&peer) {
            return;
        }
        self.measure_gone(peer);
        self.feed_unreachable(peer);
        self.host_unreachable(peer, attempts);
        self.is_not_there(peer);
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

    /// Whether a peer may send another control message now; `None` where it is not connected.
    pub(crate) fn may_send_control(&mut self, peer: &NodeId) -> Option<bool> {
        self.links.get(peer).map(|link| link.control.take(self.now, CONTROL))
    }

    /// Packets came that nobody asked for. A peer whose other connection to this node outlived a cut may not know that
    /// its child is none any more, so it is told before it is blamed.
    pub(crate) fn unsolicited(&mut self, peer: NodeId) {
        let now = self.now;
        // The first packets of a leader may overtake its words that this node is admitted.
        if self.host_link.asked.is_some() && peer == self.registry() {
            return;
        }
        let Some(link) = self.links.get(&peer).filter(|link| link.media_grace <= now) else { return };
        match link.unsolicited {
            Some(since) if now.since(since) < UNSOLICITED => {}
            // A stream that goes on is noticed at once; what was told long ago was about another feed.
            Some(since) if now.since(since) < 2 * UNSOLICITED => self.offended(peer, Offence::Unsolicited),
            _ => {
                link.unsolicited = Some(now);
                self.send(peer, &Control::Unsubscribe);
            }
        }
    }

    /// Closes links that have served nothing for a while.
    pub(crate) fn close_unused_links(&mut self) {
        let now = self.now;
        self.links.forget_shunned(now);
        // Of most nothing is to be noted.
        let noted = |(peer, link): (&NodeId, &Link)| {
            let in_use = self.is_link_in_use(peer);
            (!in_use || link.unused.is_some()).then_some((*peer, in_use))
        };
        for (peer, in_use) in self.links.up.iter().filter_map(noted).collect::<Vec<_>>() {
            let Some(link) = self.links.get(&peer) else { continue };
            if in_use {
                link.unused = None;
            } else if now.since(*link.unused.get_or_insert(now)) >= UNUSED {
                self.host_link_closes(&peer);
                self.hang_up(peer, Farewell::Unused);
            }
        }
    }

    /// When there is something to note of a link, or one to close, if its peer is not among those that stay.
    pub(crate) fn links_due(&self, stays: impl Fn(&NodeId) -> bool) -> Option<Instant> {
        let due = |(peer, link): (&NodeId, &Link)| match (stays(peer), link.unused) {
            (true, None) => None,
            (false, Some(since)) if !(*peer == self.registry() && self.needs_host_link()) => Some(since.after(UNUSED)),
            _ => Some(self.now),
        };
        self.links.up.iter().filter_map(due).min()
    }

    fn is_link_in_use(&self, peer: &NodeId) -> bool {
        *peer == self.registry() && self.needs_host_link()
            || self.needs_hub_link(peer)
            || self.feeds.get(peer).is_some()
            || self.children.contains(peer)
            || self.is_measuring(peer)
            || self.stage_needs(peer)
            || self.region.as_ref().is_some_and(|region| region.directory.contains(peer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_lets_a_burst_through_and_then_its_rate() {
        let rate = Rate { burst: 10, interval: Duration::from_millis(100) };
        let mut now = Instant::from_micros(5_000_000);
        let mut bucket = Bucket { full_at: now };
        let mut taken = |now| (0..20).filter(|_| bucket.take(now, rate)).count();
        assert_eq!(taken(now), 10, "the burst");
        now = now.after(Duration::from_millis(299));
        assert_eq!(taken(now), 2, "what has come since");
        now = now.after(Duration::from_secs(60));
        assert_eq!(taken(now), 10, "never more than the burst");
    }
}
