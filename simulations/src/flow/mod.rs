//! Flow mode: sound as spans of time over the tree instead of packets over links.
//!
//! What nodes tell each other travels message by message, as in packet mode. Sound does not: between two changes of the tree
//! every packet goes the same ways, so only changes are computed (fluid or flow-level simulation: Liu et al., "A study of
//! networks simulation efficiency: fluid simulation vs. packet-level simulation", INFOCOM 2001). This module keeps who sends whom
//! packets, and each member's delay from the roots: the least, over the feeds that carry, of the delay at the feeder, the way,
//! and the place in the feeder's queue. A change goes down its own subtree by a worklist. What a member then hears is
//! counted in `listener.rs`.
//!
//! Delays are reckoned from both roots, the host and the co-root, since a speaker sends to each: a packet takes the lesser
//! of the two ways, whoever speaks. Jitter is drawn when delays are counted. Not modelled: queues of control messages behind
//! sound, packets between the members of the stage, and the load of a burst of replayed packets.

mod listener;
mod timeline;

use std::{collections::VecDeque, sync::Arc};

use crate::{
    engine::OVERHEAD_BYTES,
    measure::{Outcome, second},
    plan::{NodeIx, Plan},
    random::{Rng, Stream},
    strategy::Place,
};
use listener::Listener;
use timeline::Timeline;

/// No way.
const NONE_US: u32 = u32::MAX;
/// A way of more hops runs in a circle.
const HOPS_MAX: u8 = 64;
/// A delay that changes by less than this, in microseconds, is left as it is.
const SAME_US: u32 = 200;
/// Depths counted at most.
const DEPTHS: usize = 256;

/// A way from one root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Way {
    delay_us: u32,
    hops: u8,
}

impl Way {
    const NONE: Way = Way { delay_us: NONE_US, hops: 0 };
    const ROOT: Way = Way { delay_us: 0, hops: 0 };

    fn is_some(self) -> bool {
        self.delay_us != NONE_US
    }

    /// The same way and one hop more.
    fn over(self, way_us: u32) -> Way {
        if !self.is_some() || self.hops >= HOPS_MAX {
            return Way::NONE;
        }
        Way { delay_us: self.delay_us.saturating_add(way_us).min(NONE_US - 1), hops: self.hops + 1 }
    }

    fn least(self, other: Way) -> Way {
        if other.delay_us < self.delay_us { other } else { self }
    }

    fn differs(self, other: Way) -> bool {
        self.is_some() != other.is_some() || self.delay_us.abs_diff(other.delay_us) > SAME_US
    }
}

/// The ways to a member: from the host, from the co-root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ways([Way; 2]);

impl Ways {
    const NONE: Ways = Ways([Way::NONE; 2]);

    fn any(self) -> bool {
        self.0.iter().any(|way| way.is_some())
    }
}

/// What a speaker's sound takes to the two roots, in microseconds; none where it does not come there.
#[derive(Clone, Copy, Debug, Default)]
struct Offsets([Option<u32>; 2]);

impl Offsets {
    /// Delay and hops of a voice at a member.
    fn delay(self, ways: Ways) -> Option<(u64, u8)> {
        let by = self.0.into_iter().zip(ways.0).filter(|(_, way)| way.is_some());
        let by = by.filter_map(|(offset, way)| {
            let offset_us = offset?;
            Some((u64::from(offset_us) + u64::from(way.delay_us), way.hops + u8::from(offset_us > 0)))
        });
        by.min()
    }
}

/// A feed that a member is sent.
#[derive(Clone, Copy, Debug)]
struct Feed {
    by: NodeIx,
    way_us: u32,
}

/// One member.
#[derive(Clone, Debug)]
struct Node {
    feeds: Vec<Feed>,
    children: Vec<NodeIx>,
    ways: Ways,
    alive: bool,
    place: Place,
    /// Bytes that it sends each second although nothing changes.
    regular: u32,
    listener: Listener,
}

/// Where members are at the moment, for the figures of each second.
#[derive(Debug)]
struct Places {
    present: u32,
    with_parent: u32,
    with_standby: u32,
    depths: [u32; DEPTHS],
}

impl Places {
    fn count(&mut self, place: &Place, by: i32) {
        let add = |of: &mut u32| *of = of.saturating_add_signed(by);
        if place.parent.is_some() {
            add(&mut self.with_parent);
        }
        if place.standby.is_some() {
            add(&mut self.with_standby);
        }
        if let Some(depth) = place.depth {
            add(&mut self.depths[(depth as usize).min(DEPTHS - 1)]);
        }
    }
}

/// The sound of a run in flow mode.
pub(crate) struct Media {
    plan: Arc<Plan>,
    nodes: Vec<Node>,
    co_root: Option<NodeIx>,
    timeline: Timeline,
    /// Of each voice.
    offsets: Vec<Offsets>,
    /// Of the voice that spoke last.
    spoken: Offsets,
    /// Frames of each voice that wait for the rest of their packet.
    waiting: Vec<u32>,
    work: VecDeque<NodeIx>,
    /// Feeds that carry sound now.
    carrying: u64,
    places: Places,
    /// Whether the strategy tells where members are; else they are where their feeds are.
    told: bool,
    /// Bytes that go out each second although nothing changes.
    regular: u64,
    /// The host feeds members that are not among its children here.
    unlisted: bool,
    rng: Rng,
}

impl Media {
    pub(crate) fn new(plan: &Arc<Plan>) -> Self {
        let node = Node {
            feeds: Vec::new(),
            children: Vec::new(),
            ways: Ways::NONE,
            alive: false,
            place: Place::default(),
            regular: 0,
            listener: Listener::default(),
        };
        let packet_us = plan.media.frame_us * u64::from(plan.media.frames_per_packet);
        Media {
            nodes: vec![node; plan.nodes.len()],
            co_root: None,
            timeline: Timeline::new(packet_us),
            offsets: Vec::new(),
            spoken: Offsets([Some(0), None]),
            waiting: Vec::new(),
            work: VecDeque::new(),
            carrying: 0,
            told: false,
            regular: 0,
            unlisted: false,
            places: Places { present: 0, with_parent: 0, with_standby: 0, depths: [0; DEPTHS] },
            rng: Stream::Flow.rng(plan.seed),
            plan: Arc::clone(plan),
        }
    }

    pub(crate) fn joined(&mut self, node: NodeIx, now_us: u64, out: &mut Outcome) {
        self.places.present += 1;
        let of = &mut self.nodes[node.index()];
        of.alive = true;
        of.listener = Listener::new(now_us, out.warmup_us);
        if node == NodeIx::HOST {
            self.root_changed(node, now_us, out);
        }
    }

    /// A member listens no more; it may feed others for a while yet.
    pub(crate) fn left(&mut self, node: NodeIx, now_us: u64, out: &mut Outcome) {
        if !self.nodes[node.index()].listener.is_present() {
            return;
        }
        self.places.present -= 1;
        self.leave_listener(node, now_us, out);
        if node != NodeIx::HOST {
            self.set_place(node, Place::default(), out);
        }
    }

    /// A member is no more.
    pub(crate) fn gone(&mut self, node: NodeIx, now_us: u64, out: &mut Outcome) {
        let passed_us = self.passed_us(node, now_us);
        self.nodes[node.index()].alive = false;
        self.regular(node, 0);
        if self.co_root == Some(node) {
            self.co_root = None;
        }
        let mut fed = std::mem::take(&mut self.nodes[node.index()].children);
        if self.unlisted && node == NodeIx::HOST {
            fed = (0..self.nodes.len() as u32).map(NodeIx).collect();
        }
        for child in fed {
            self.drop_feed(child, node);
        }
        for feed in std::mem::take(&mut self.nodes[node.index()].feeds) {
            self.nodes[feed.by.index()].children.retain(|child| *child != node);
        }
        self.set_ways(node, Ways::NONE, passed_us, out);
        self.set_carrying(node, 0, passed_us, out);
        self.reckon_offsets();
        self.work_off(passed_us, out);
    }

    /// The member that is a root beside the host has changed.
    pub(crate) fn set_co_root(&mut self, node: NodeIx, on: bool, now_us: u64, out: &mut Outcome) {
        if (self.co_root == Some(node)) == on || node == NodeIx::HOST {
            return;
        }
        let before = self.co_root.filter(|_| on);
        self.co_root = on.then_some(node);
        self.reckon_offsets();
        for changed in before.into_iter().chain([node]) {
            self.root_changed(changed, now_us, out);
        }
    }

    fn root_changed(&mut self, node: NodeIx, now_us: u64, out: &mut Outcome) {
        self.work.push_back(node);
        let passed_us = self.passed_us(node, now_us);
        self.work_off(passed_us, out);
    }

    /// Whom a member sends packets from now on, in the order in which it does.
    pub(crate) fn feeds(&mut self, node: NodeIx, children: Vec<NodeIx>, now_us: u64, out: &mut Outcome) {
        let before = std::mem::take(&mut self.nodes[node.index()].children);
        for child in before.iter().filter(|child| !children.contains(child)) {
            self.drop_feed(*child, node);
        }
        let bits = 8 * (u64::from(self.plan.media.packet_bytes) + LENGTH_BYTES + OVERHEAD_BYTES);
        let takes_us = bits * 1_000_000 / self.plan.nodes[node.index()].uplink_bps.max(1);
        for (place, child) in (1_u64..).zip(&children) {
            let way_us = self.one_way_us(node, *child).saturating_add((place * takes_us) as u32);
            let of = &mut self.nodes[child.index()];
            match of.feeds.iter_mut().find(|feed| feed.by == node) {
                Some(feed) if feed.way_us.abs_diff(way_us) <= SAME_US => {}
                Some(feed) => {
                    feed.way_us = way_us;
                    self.work.push_back(*child);
                }
                None if of.alive => {
                    of.feeds.push(Feed { by: node, way_us });
                    self.work.push_back(*child);
                }
                None => {}
            }
        }
        self.nodes[node.index()].children = children;
        let passed_us = self.passed_us(node, now_us);
        self.work_off(passed_us, out);
    }

    /// One child more or less of a node that feeds too many for a list: it is in none, and is found by looking at all.
    pub(crate) fn feed(&mut self, node: NodeIx, child: NodeIx, on: bool, now_us: u64, out: &mut Outcome) {
        self.drop_feed(child, node);
        let way_us = self.one_way_us(node, child);
        let of = &mut self.nodes[child.index()];
        if on && of.alive {
            of.feeds.push(Feed { by: node, way_us });
        }
        self.unlisted |= on;
        let passed_us = self.passed_us(child, now_us);
        self.work_off(passed_us, out);
    }

    fn drop_feed(&mut self, child: NodeIx, by: NodeIx) {
        let feeds = &mut self.nodes[child.index()].feeds;
        feeds.retain(|feed| feed.by != by);
        self.work.push_back(child);
    }

    fn one_way_us(&self, a: NodeIx, b: NodeIx) -> u32 {
        let site = |node: NodeIx| self.plan.nodes[node.index()].site;
        u32::try_from(self.plan.delay.one_way_us(site(a), site(b))).unwrap_or(NONE_US - 1)
    }

    /// What was captured before this has passed a member by now.
    fn passed_us(&self, node: NodeIx, now_us: u64) -> u64 {
        let delay = self.spoken.delay(self.nodes[node.index()].ways);
        now_us.saturating_sub(delay.map_or(0, |(delay_us, hops)| delay_us + u64::from(hops) * self.plan.jitter_us))
    }

    /// Reckons the ways of those whose feeds have changed, and of whom they feed. `passed_us` is the first capture that the change
    /// is of concern to.
    fn work_off(&mut self, passed_us: u64, out: &mut Outcome) {
        while let Some(node) = self.work.pop_front() {
            let ways = self.reckon(node);
            let before = self.nodes[node.index()].ways;
            let carrying = self.carrying_feeds(node);
            if before.0.iter().zip(ways.0).all(|(a, b)| !a.differs(b)) {
                self.set_carrying(node, carrying, passed_us, out);
                continue;
            }
            self.set_ways(node, ways, passed_us, out);
            self.set_carrying(node, carrying, passed_us, out);
            self.work.extend(&self.nodes[node.index()].children);
        }
    }

    fn reckon(&self, node: NodeIx) -> Ways {
        let of = &self.nodes[node.index()];
        if !of.alive {
            return Ways::NONE;
        }
        let mut ways = Ways::NONE;
        for feed in &of.feeds {
            let above = self.nodes[feed.by.index()].ways;
            for (way, above) in ways.0.iter_mut().zip(above.0) {
                *way = way.least(above.over(feed.way_us));
            }
        }
        if node == NodeIx::HOST {
            ways.0[0] = Way::ROOT;
        }
        if self.co_root == Some(node) {
            ways.0[1] = Way::ROOT;
        }
        ways
    }

    /// Feeds of a member that bring it sound.
    fn carrying_feeds(&self, node: NodeIx) -> u8 {
        let brings = |feed: &&Feed| self.nodes[feed.by.index()].ways.any();
        self.nodes[node.index()].feeds.iter().filter(brings).count() as u8
    }

    /// A frame was captured; the packet that it completes is sent.
    pub(crate) fn captured(&mut self, voice: u16, speaker: NodeIx, now_us: u64, out: &mut Outcome) {
        let at = usize::from(voice);
        if self.waiting.len() <= at {
            self.waiting.resize(at + 1, 0);
        }
        self.waiting[at] += 1;
        if self.waiting[at] >= self.plan.media.frames_per_packet {
            self.packet(voice, speaker, now_us, out);
        }
    }

    /// A talkspurt has ended: its last packet is filled up.
    pub(crate) fn paused(&mut self, voice: u16, speaker: NodeIx, now_us: u64, out: &mut Outcome) {
        if self.waiting.get(usize::from(voice)).is_some_and(|waiting| *waiting > 0) {
            self.packet(voice, speaker, now_us, out);
        }
    }

    fn packet(&mut self, voice: u16, speaker: NodeIx, now_us: u64, out: &mut Outcome) {
        let frames = std::mem::take(&mut self.waiting[usize::from(voice)]);
        let is_new = self.timeline.voices.len() <= usize::from(voice);
        self.timeline.captured(voice, speaker, u64::from(frames), now_us);
        if is_new {
            self.reckon_offsets();
        }
        self.spoken = self.offsets[usize::from(voice)];
        let bytes = u64::from(self.plan.media.packet_bytes) + LENGTH_BYTES + OVERHEAD_BYTES;
        second(&mut out.seconds, now_us).media_bytes += self.carrying * bytes;
    }

    fn reckon_offsets(&mut self) {
        let offset = |speaker: NodeIx, root: Option<NodeIx>| {
            let root = root.filter(|root| self.nodes[root.index()].alive)?;
            Some(if root == speaker { 0 } else { self.one_way_us(speaker, root) })
        };
        let of = |speaker: NodeIx| Offsets([offset(speaker, Some(NodeIx::HOST)), offset(speaker, self.co_root)]);
        self.offsets = self.timeline.voices.iter().map(|voice| of(voice.speaker)).collect();
    }

    /// Where a member is in the tree now.
    pub(crate) fn placed(&mut self, node: NodeIx, place: Place, out: &mut Outcome) {
        self.told = true;
        if node != NodeIx::HOST {
            self.set_place(node, place, out);
        }
    }

    /// What a member sends each second although nothing changes.
    pub(crate) fn regular(&mut self, node: NodeIx, bytes_per_s: u32) {
        let before = std::mem::replace(&mut self.nodes[node.index()].regular, bytes_per_s);
        self.regular = self.regular + u64::from(bytes_per_s) - u64::from(before);
    }

    fn set_place(&mut self, node: NodeIx, place: Place, out: &mut Outcome) {
        let before = std::mem::replace(&mut self.nodes[node.index()].place, place);
        self.places.count(&before, -1);
        self.places.count(&place, 1);
        if place.depth.is_some() {
            let row = &mut out.nodes[node.index()];
            row.depth = place.depth;
            row.parent = place.parent;
        }
    }

    /// The end of a second.
    pub(crate) fn second(&mut self, now_us: u64, out: &mut Outcome) {
        if !self.told {
            self.place_by_feeds(out);
        }
        let second = second(&mut out.seconds, now_us.saturating_sub(1));
        second.present = self.places.present;
        second.with_parent = self.places.with_parent;
        second.with_standby = self.places.with_standby;
        second.with_depth = self.places.depths.iter().sum();
        for (depth, members) in self.places.depths.iter().enumerate().filter(|(_, members)| **members > 0) {
            second.depth_sum += depth as f64 * f64::from(*members);
            second.depth_max = depth as f64;
        }
        second.control_bytes += self.regular;
        second.host_control_bytes += u64::from(self.nodes[NodeIx::HOST.index()].regular);
    }

    /// Members of a tree without standbys are where their feeds are.
    fn place_by_feeds(&mut self, out: &mut Outcome) {
        for node in (1..self.nodes.len() as u32).map(NodeIx) {
            let of = &self.nodes[node.index()];
            if of.listener.is_present() {
                let way = of.ways.0[0];
                let depth = way.is_some().then(|| f64::from(way.hops));
                let place = Place { parent: of.feeds.first().map(|feed| feed.by), standby: None, depth };
                self.set_place(node, place, out);
            }
        }
    }

    /// The end of the run.
    pub(crate) fn finish(&mut self, now_us: u64, out: &mut Outcome) {
        for node in (0..self.nodes.len() as u32).map(NodeIx) {
            if self.nodes[node.index()].listener.is_present() {
                self.leave_listener(node, now_us, out);
            }
        }
        self.timeline.sum(&mut out.seconds);
    }
}

/// Bytes of the length before each packet on a stream.
const LENGTH_BYTES: u64 = 2;
