//! The feeds that a member gives.

use core::time::Duration;

use treehouse_invite::{Certificate, Role};
use treehouse_wire::{
    Contact, Control, Lineage, List, NodeId, Suite, UnixSeconds,
    control::{Adoption, Decline, Purpose, Rank, Subscribe, Tick},
};

use crate::{
    config::Protection,
    feeds::{TICK_IDLE, TICK_SILENCE},
    room::Room,
    sorted::Sorted,
    time::Instant,
    timers::Timer,
    watch::PROVISIONAL,
};

/// Provisional feeds at once: a flash crowd must not take what the tree needs.
const PROVISIONAL_MAX: usize = 4;
/// Children beside the slots while a leaf makes way for a relay.
const OVERBOOKED_MAX: usize = 2;
/// A leaf that was told to make way is let go after this.
const MAKES_WAY: Duration = Duration::from_secs(5);
/// A child that was asked to find another feed is asked again after this, where it has found none.
const ASK_TO_MOVE: Duration = Duration::from_secs(10);
/// Idle standbys beside the slots for feeds: each costs a tick a second.
const IDLE_MAX: usize = 32;
/// Stage links: every member of the stage, the roots, and some that are about to change places.
const STAGE_LINKS_MAX: usize = treehouse_wire::limits::STAGE_MAX + 4;
/// A stage subscription that was neither granted nor declined is sent again after this.
const ASK_AGAIN: Duration = Duration::from_secs(2);
/// And one that was granted after the speaker has been silent for this long.
const ASK_SILENT: Duration = Duration::from_secs(5);
/// A provisional feed ends here even if the child does not let go.
const PROVISIONAL_END: Duration = PROVISIONAL.saturating_add(Duration::from_secs(1));

/// What a child's certificate says of it.
#[derive(Debug)]
pub(crate) struct Certified {
    pub(crate) until: UnixSeconds,
    /// The links of the invite that it came by.
    pub(crate) lineage: Lineage,
    /// It is no member, and gets no key.
    pub(crate) booster: bool,
}

/// One feed given.
#[derive(Debug)]
struct Child {
    purpose: Purpose,
    since: Instant,
    certified: Certified,
    /// When it was told to make way for another, or said that it leaves.
    makes_way: Option<Instant>,
    /// It said that it leaves: it is fed on for a moment, since it feeds its own children on.
    leaves: bool,
    /// It feeds others itself.
    relays: bool,
    /// When it was asked to find another feed, since there are too many here.
    asked_to_move: Option<Instant>,
}

/// All feeds given, but those to the stage.
#[derive(Debug, Default)]
pub(crate) struct Children {
    map: Sorted<Child>,
    /// When packets or ticks last went to all that carry.
    fed: Instant,
    /// Who did not get the last packet, since it is its own voice, and when it last got something.
    left_out: Option<Box<(NodeId, Instant)>>,
    /// When everyone, idle standbys too, was last sent a tick.
    pub(crate) all_ticked: Instant,
    changed: bool,
    /// What all children were told last, while the room is hushed.
    told_delay_ms: u16,
    told_rest: u32,
}

/// What a tick says, short enough to remember.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TickDigest {
    pub(crate) rest: u32,
    pub(crate) delay_ms: u16,
}

impl Children {
    pub(crate) fn contains(&self, peer: &NodeId) -> bool {
        self.map.contains(peer)
    }

    /// Each child, and the links of the invite that it came by.
    pub(crate) fn came_by(&self) -> impl Iterator<Item = (NodeId, &Lineage)> {
        self.map.iter().map(|(node, child)| (*node, &child.certified.lineage))
    }

    /// Whether a child relays without being a member.
    pub(crate) fn is_booster(&self, peer: &NodeId) -> bool {
        self.map.get(peer).is_some_and(|child| child.certified.booster)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// Those that get packets.
    pub(crate) fn live(&self, wanted: impl Fn(&NodeId) -> bool) -> Vec<NodeId> {
        let live = self.map.iter().filter(|(node, child)| child.purpose != Purpose::IdleStandby && wanted(node));
        live.map(|(node, _)| *node).collect()
    }

    pub(crate) fn with_purpose(&self, wanted: impl Fn(Purpose) -> bool) -> Vec<NodeId> {
        self.map.iter().filter(|(_, child)| wanted(child.purpose)).map(|(node, _)| *node).collect()
    }

    /// A packet is about to go to all but these.
    pub(crate) fn leave_out(&mut self, nodes: [&NodeId; 2]) {
        let live = |node: &&NodeId| self.map.get(node).is_some_and(|child| child.purpose != Purpose::IdleStandby);
        let left = nodes.into_iter().find(live).copied();
        let before = self.left_out.take();
        let fed = self.fed;
        self.left_out = left.map(|node| before.filter(|of| of.0 == node).unwrap_or_else(|| Box::new((node, fed))));
    }

    /// When ticks are due to those that carry.
    fn ticks_due(&self) -> Instant {
        let left_out = self.left_out.as_ref().map_or(self.fed, |of| of.1);
        self.fed.min(left_out).after(TICK_SILENCE)
    }

    pub(crate) fn fed(&mut self, now: Instant) {
        self.fed = now;
    }

    pub(crate) fn take_changed(&mut self) -> bool {
        core::mem::take(&mut self.changed)
    }

    pub(crate) fn told(&self) -> TickDigest {
        TickDigest { rest: self.told_rest, delay_ms: self.told_delay_ms }
    }

    /// Whether nothing has to be ended soon.
    pub(crate) fn are_settled(&self) -> bool {
        self.map.iter().all(|(_, child)| child.purpose != Purpose::Provisional && child.makes_way.is_none())
    }

    /// Feeds in slots that end soon: to leaves that make way, to children that leave, and to those that look for another feed.
    pub(crate) fn making_way(&self) -> usize {
        let ends = |child: &Child| child.makes_way.is_some() || child.asked_to_move.is_some();
        self.map.iter().filter(|(_, child)| ends(child) && counts(child.purpose)).count()
    }

    pub(crate) fn has_provisional_slot(&self) -> bool {
        self.map.iter().filter(|(_, child)| child.purpose == Purpose::Provisional).count() < PROVISIONAL_MAX
    }

    /// Children that are to find another feed, since there are more than `children_max`: those first to whom it is the second
    /// one, then leaves, the newest before others.
    pub(crate) fn take_excess(&mut self, children_max: u8, now: Instant) -> Vec<NodeId> {
        let stays = |child: &Child| child.makes_way.is_none() && counts(child.purpose);
        let asked = |child: &Child| child.asked_to_move.is_some_and(|at| now.since(at) < ASK_TO_MOVE);
        let staying = self.map.iter().filter(|(_, child)| stays(child));
        let (asked, mut others): (Vec<_>, Vec<_>) = staying.partition(|(_, child)| asked(child));
        let excess = (asked.len() + others.len()).saturating_sub(usize::from(children_max));
        others.sort_by_key(|(node, of)| {
            (of.purpose == Purpose::Primary, of.relays, core::cmp::Reverse(of.since), **node)
        });
        others.truncate(excess.saturating_sub(asked.len()));
        let chosen: Vec<NodeId> = others.into_iter().map(|(node, _)| *node).collect();
        for node in &chosen {
            if let Some(child) = self.map.get_mut(node) {
                child.asked_to_move = Some(now);
            }
        }
        chosen
    }

    /// Whether a relay may take the place of a leaf.
    fn can_adopt(&self, leaf: &NodeId, children_max: u8) -> bool {
        let taken = self.map.iter().filter(|(_, child)| counts(child.purpose)).count();
        taken < usize::from(children_max) + OVERBOOKED_MAX
            && self.map.get(leaf).is_some_and(|child| child.purpose == Purpose::Primary && child.makes_way.is_none())
    }

    /// Whether one more feed for this purpose fits, beside the child's present one.
    fn has_slot(&self, child: &NodeId, purpose: Purpose, children_max: u8) -> bool {
        let others = |wanted: fn(Purpose) -> bool| {
            self.map.iter().filter(|(node, of)| *node != child && !of.leaves && wanted(of.purpose)).count()
        };
        match purpose {
            Purpose::Primary | Purpose::LiveStandby => others(counts) < usize::from(children_max),
            Purpose::IdleStandby => others(|purpose| purpose == Purpose::IdleStandby) < IDLE_MAX,
            Purpose::Provisional => others(|purpose| purpose == Purpose::Provisional) < PROVISIONAL_MAX,
            Purpose::Stage => false,
        }
    }
}

/// Whether a feed takes one of the slots that the user granted.
pub(crate) fn counts(purpose: Purpose) -> bool {
    matches!(purpose, Purpose::Primary | Purpose::LiveStandby)
}

impl<S: Suite> Room<S> {
    pub(crate) fn subscribe_request(&mut self, from: NodeId, request: Subscribe) {
        let purpose = request.purpose;
        let (suite, lease) = (&self.suite, request.lease.as_ref());
        let certificate =
            Certificate::verify_under(suite, &request.certificate, lease, &self.room, &self.host, self.wall).ok();
        let allowed = |of: &Certificate| of.node == from && !self.is_banned(&from, &of.lineage);
        let Some(certificate) = certificate.filter(allowed) else {
            return self.send(from, &Control::Declined { purpose, reason: Decline::NotCertified });
        };
        let booster = certificate.role == Role::Booster;
        if purpose == Purpose::Stage && booster {
            return self.send(from, &Control::Declined { purpose, reason: Decline::NotCertified });
        }
        if purpose == Purpose::Stage {
            return self.stage_subscribe(from);
        }
        let adopts = request.adopts.as_ref().filter(|_| purpose == Purpose::Primary);
        let purpose = match self.may_feed(&from, purpose, request.relay, adopts) {
            Ok(()) => purpose,
            Err(Decline::Full) if self.gives_refuge(&from, &request) => Purpose::Provisional,
            Err(Decline::Full) if self.stands_by_idle(&from, &request) => Purpose::IdleStandby,
            Err(reason) => return self.decline(from, purpose, reason),
        };
        let certified = Certified { until: certificate.expires, lineage: certificate.lineage, booster };
        self.feed(from, purpose, certified, request.relay.is_some());
        if let Some(adoption) = request.adopts.filter(|_| purpose == Purpose::Primary) {
            self.make_way(from, adoption);
        }
        if request.replay {
            self.replay_to(from, &request.from);
        }
    }

    /// A newcomer hears from the one that admits it at once: its `Join` is as good as a request, and saves it a round trip.
    pub(crate) fn feed_newcomer(&mut self, node: NodeId, certified: Certified) {
        let purpose = Purpose::Provisional;
        if self.children.contains(&node) {
            self.child_gone(node);
        }
        match self.may_feed(&node, purpose, None, None) {
            Ok(()) => self.feed(node, purpose, certified, false),
            Err(reason) => self.decline(node, purpose, reason),
        }
    }

    fn decline(&mut self, node: NodeId, purpose: Purpose, reason: Decline) {
        self.child_gone(node);
        self.send(node, &Control::Declined { purpose, reason });
    }

    fn feed(&mut self, node: NodeId, purpose: Purpose, certified: Certified, relays: bool) {
        self.give_up_disordered_standby();
        let child =
            Child { purpose, since: self.now, certified, makes_way: None, leaves: false, relays, asked_to_move: None };
        self.children.map.insert(node, child);
        self.children.changed = true;
        let tick = self.own_tick();
        self.send(node, &Control::Subscribed { purpose, tick });
        if purpose != Purpose::IdleStandby {
            self.send_beacon(node);
        }
        self.arm_ticks();
        self.status_due = true;
    }

    fn may_feed(
        &self,
        from: &NodeId,
        purpose: Purpose,
        relay: Option<Rank>,
        adopts: Option<&Adoption>,
    ) -> Result<(), Decline> {
        if self.is_leaving() {
            return Err(Decline::Leaving);
        }
        // A member that lost its own feed keeps the children it has: they hold still while it repairs.
        if !self.is_root() && !self.feeds.any_carries() && !self.children.contains(from) {
            return Err(Decline::NoFeed);
        }
        let feeds_child = self.feeds.get(from).is_some_and(|feed| feed.is_live());
        let late_parent = self.feeds.parent().is_some_and(|feed| feed.rank >= self.rank);
        // With its first child it may keep only feeds that come before it; one at least has to be left.
        let early = |feed: &crate::feeds::Feed| feed.carries() && feed.rank < self.rank;
        let cut_off = !self.is_root() && self.children.is_empty() && !self.feeds.all.iter().any(early);
        if feeds_child || late_parent || cut_off || relay.is_some_and(|rank| rank <= self.rank) {
            return Err(Decline::Order);
        }
        let adopted = |of: &Adoption| self.children.can_adopt(&of.leaf, self.children_max) && of.leaf != *from;
        if !adopts.is_some_and(adopted) && !self.children.has_slot(from, purpose, self.children_max) {
            return Err(Decline::Full);
        }
        Ok(())
    }

    /// Whether a member whose feed is cut is fed for a moment although all slots are taken: who needs no live standby asks for
    /// one only then.
    fn gives_refuge(&self, from: &NodeId, request: &Subscribe) -> bool {
        let protection = self.state.head().map(|state| state.protection);
        let lives_without = match protection {
            Some(Protection::All) => false,
            Some(Protection::Relays) => request.relay.is_none(),
            Some(Protection::Off) | None => true,
        };
        request.purpose == Purpose::LiveStandby
            && lives_without
            && self.children.has_slot(from, Purpose::Provisional, self.children_max)
    }

    /// Whether a member of another region, which asks for a live standby, gets an idle one where there is no slot: its leader
    /// does not know of slots here, and does not count on one.
    fn stands_by_idle(&self, from: &NodeId, request: &Subscribe) -> bool {
        let own = self.certificate.as_ref().and_then(|held| held.lease.as_deref());
        request.purpose == Purpose::LiveStandby
            && request.lease.as_ref() != own
            && self.children.has_slot(from, Purpose::IdleStandby, self.children_max)
    }

    /// Sends a leaf to the relay that takes its place.
    fn make_way(&mut self, relay: NodeId, adoption: Adoption) {
        let now = self.now;
        let Some(leaf) = self.children.map.get_mut(&adoption.leaf).filter(|of| of.purpose == Purpose::Primary) else {
            return;
        };
        leaf.makes_way = Some(now);
        self.send(adoption.leaf, &Control::Moved(Contact { node: relay, addresses: adoption.addresses }));
    }

    /// A leaf may have any standby; with its first child it needs one that comes earlier in the order.
    fn give_up_disordered_standby(&mut self) {
        let rank = self.rank;
        let late: Vec<NodeId> =
            self.feeds.all.iter().filter(|feed| feed.is_live() && feed.rank >= rank).map(|feed| feed.node()).collect();
        for node in late {
            self.feed_disordered(node);
        }
    }

    pub(crate) fn unsubscribe(&mut self, from: NodeId) {
        // Where both feed each other, as for a moment when a relay becomes a root, it is the child that goes: a parent that ends its feed
        // is noticed by silence at last.
        if self.feeds.get(&from).is_some() && !self.children.contains(&from) {
            // The parent ends it: as good as a decline.
            self.event(crate::api::Event::Suspected { peer: from, reason: crate::api::Suspicion::LinkDown });
            self.feed_declined(from);
        }
        self.stage_links.remove_listener(&from);
        self.child_gone(from);
    }

    /// Ends the feeds between this node and a peer. That ends the stage's too: a voice that is still needed first-hand is asked
    /// for again.
    pub(crate) fn end_feeds(&mut self, peer: NodeId) {
        self.send(peer, &Control::Unsubscribe);
        if self.stage_links.contains(&peer) {
            self.stage_ask(peer);
        }
    }

    /// A child is gone for good, as far as this node can tell: its registry hears of it.
    pub(crate) fn child_left(&mut self, peer: NodeId, polite: bool) {
        let Some(child) = self.children.map.get_mut(&peer) else { return self.child_gone(peer) };
        let (fed, known) = (child.purpose == Purpose::Primary, child.leaves);
        let lingers = polite && child.purpose != Purpose::IdleStandby;
        if lingers {
            (child.makes_way, child.leaves) = (Some(self.now), true);
        }
        if fed && !known && self.is_in() {
            self.report_gone(peer, polite);
        }
        if !lingers {
            self.child_gone(peer);
        }
    }

    /// Forgets a child, whatever the reason.
    pub(crate) fn child_gone(&mut self, peer: NodeId) {
        if self.children.map.remove(&peer).is_some() {
            self.children.changed = true;
            self.status_due = true;
            self.apply_rank();
        }
    }

    /// What this member says of itself to its children.
    pub(crate) fn own_tick(&self) -> Tick {
        let mut path = match self.feeds.upstream() {
            Some(feed) if !self.is_root() => feed.path.to_vec(),
            _ => Vec::new(),
        };
        path.push(self.me.tag());
        Tick {
            path: List::truncated(path),
            rank: self.rank,
            state: self.state.id(),
            repairing: self.cut_since.is_some(),
            members: self.members,
            position: self.coordinate.to_wire(),
            delay_ms: self.delay_ms(),
        }
    }

    /// Tells every child at once.
    pub(crate) fn tick_children(&mut self) {
        let tick = Control::Tick(self.own_tick());
        for child in self.children.with_purpose(|_| true) {
            self.send(child, &tick);
        }
        self.children.fed = self.now;
        self.children.all_ticked = self.now;
        if self.hushed {
            let TickDigest { rest, delay_ms } = self.tick_digest();
            (self.children.told_rest, self.children.told_delay_ms) = (rest, delay_ms);
        }
        self.arm_ticks();
    }

    /// Ticks to those that have heard nothing for a while: the timer's work.
    pub(crate) fn tick_silent_children(&mut self) {
        let now = self.now;
        self.flush_tails();
        if now.since(self.children.all_ticked) >= TICK_IDLE {
            return self.tick_children();
        }
        if now.since(self.children.fed) >= TICK_SILENCE {
            let tick = Control::Tick(self.own_tick());
            for child in self.children.live(|_| true) {
                self.send(child, &tick);
            }
            self.children.fed = now;
            self.children.left_out = None;
        } else if let Some(left_out) = self.children.left_out.as_mut().filter(|of| now.since(of.1) >= TICK_SILENCE) {
            // Who speaks alone gets no packets, and its feeds would look silent.
            left_out.1 = now;
            let child = left_out.0;
            if self.children.contains(&child) {
                let tick = Control::Tick(self.own_tick());
                self.send(child, &tick);
            }
        }
        self.arm_ticks();
    }

    pub(crate) fn arm_ticks(&mut self) {
        if self.children.is_empty() {
            return self.timers.disarm(Timer::Ticks);
        }
        if self.hushed {
            return self.arm_changed_tick();
        }
        let idle = self.children.all_ticked.after(TICK_IDLE);
        let live = self.children.ticks_due();
        self.timers.arm(Timer::Ticks, idle.min(live).max(self.now.after(Duration::from_millis(1))));
    }

    /// Ends feeds whose time is over: provisional ones, and those whose certificate has expired.
    pub(crate) fn end_spent_feeds(&mut self) {
        let (now, wall) = (self.now, self.wall);
        let spent = |child: &Child| {
            let provisional = child.purpose == Purpose::Provisional && now.since(child.since) > PROVISIONAL_END;
            let moved = child.makes_way.is_some_and(|at| now.since(at) > MAKES_WAY);
            provisional
                || moved
                || child.certified.until.0.saturating_add(treehouse_invite::CLOCK_SKEW_SECONDS) < wall.0
        };
        let ended: Vec<NodeId> =
            self.children.map.iter().filter(|(_, child)| spent(child)).map(|(node, _)| *node).collect();
        for node in ended {
            self.end_feeds(node);
            self.child_gone(node);
        }
    }

    /// Whether anyone may ever subscribe here, so that packets are worth keeping.
    pub(crate) fn may_have_children(&self) -> bool {
        self.children_max > 0 || self.is_host()
    }
}

/// A speaker that was asked for its voice.
#[derive(Clone, Copy, Debug)]
struct Asked {
    /// When it was last asked, or last sent its voice.
    at: Instant,
    granted: bool,
}

/// The direct links of the stage: whom this node sends its own voice, and whose voice it gets.
#[derive(Debug, Default)]
pub(crate) struct StageLinks {
    /// Peers that subscribed to this node's voice.
    listeners: Vec<NodeId>,
    /// Peers whose own voice this node has asked for.
    speakers: Sorted<Asked>,
}

impl StageLinks {
    pub(crate) fn contains(&self, peer: &NodeId) -> bool {
        self.speakers.contains(peer)
    }

    /// Whether a speaker is to be asked, for the first time or again: the answer may be lost with a link, and so may the
    /// knowledge of it at the other end.
    pub(crate) fn is_due(&self, peer: &NodeId, now: Instant) -> bool {
        let wait = |asked: &Asked| if asked.granted { ASK_SILENT } else { ASK_AGAIN };
        self.speakers.get(peer).is_none_or(|asked| now.since(asked.at) >= wait(asked))
    }

    /// A speaker has sent its own voice.
    pub(crate) fn heard(&mut self, peer: &NodeId, now: Instant) {
        if let Some(asked) = self.speakers.get_mut(peer) {
            asked.at = now;
        }
    }

    pub(crate) fn listens(&self, peer: &NodeId) -> bool {
        self.listeners.contains(peer)
    }

    pub(crate) fn listeners(&self) -> &[NodeId] {
        &self.listeners
    }

    pub(crate) fn speakers(&self) -> Vec<NodeId> {
        self.speakers.nodes().collect()
    }

    pub(crate) fn ask(&mut self, peer: NodeId, now: Instant) {
        let granted = self.speakers.get(&peer).is_some_and(|asked| asked.granted);
        self.speakers.insert(peer, Asked { at: now, granted });
    }

    pub(crate) fn grant(&mut self, peer: &NodeId) {
        if let Some(asked) = self.speakers.get_mut(peer) {
            asked.granted = true;
        }
    }

    pub(crate) fn remove_speaker(&mut self, peer: &NodeId) {
        self.speakers.remove(peer);
    }

    /// Adds a listener; false where there is no room.
    pub(crate) fn add_listener(&mut self, peer: NodeId) -> bool {
        if self.listens(&peer) {
            return true;
        }
        let fits = self.listeners.len() < STAGE_LINKS_MAX;
        if fits {
            self.listeners.push(peer);
        }
        fits
    }

    pub(crate) fn remove_listener(&mut self, peer: &NodeId) {
        self.listeners.retain(|listener| listener != peer);
    }
}
