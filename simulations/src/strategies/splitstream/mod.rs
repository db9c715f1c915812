//! SplitStream: the packets go in turns down sixteen trees, and each member is interior in one of these.
//!
//! Source: M. Castro, P. Druschel, A.-M. Kermarrec, A. Nandi, A. Rowstron, A. Singh, "SplitStream: High-bandwidth multicast in cooperative
//! environments", SOSP 2003. A stripe's tree is the union of Pastry's routes from the members to the stripe's identifier. As these
//! identifiers differ in their first digit, a node's own first digit says in which one tree it is interior. A node whose
//! capacity is used up rejects a child of a foreign stripe, else the one whose identifier is farthest from the stripe's; that one tries
//! its former siblings (push-down), and then any node with capacity to spare (the spare capacity group), which may then be interior
//! in a second tree.
//!
//! Modelled: stripes, capacities, push-down, spare capacity, and all messages by which a child finds a parent, over links of
//! the engine. Given: what Pastry and Scribe maintain (`ring`): identifiers, routes, the root of each stripe and the members of the
//! spare capacity group are looked up without messages, so that control traffic is less than the real one's; a child never
//! gets a parent below itself. Members that nobody can connect to, or that have no capacity, are no part of the ring.
//! Nothing codes over stripes: packets of a stripe that is cut are lost. Nobody watches a silent parent but the link itself.
//! Capacity counts stripes: sixteen for each child that a member may have in a tree.

mod forest;
mod ring;

use serde::{Deserialize, Serialize};

use super::{SettingsError, random_tree};
use crate::{
    engine::Net,
    plan::{NodeIx, Plan},
    strategy::{Class, Packet, Place, Strategy},
};
use forest::Member;
use ring::Ring;

/// Size of a message that is no media, in bytes: a stripe's identifier, the node's, the kind.
const CONTROL_BYTES: u32 = 40;
/// A member named in one: identifier and address.
const MEMBER_BYTES: u32 = 22;
/// How long a packet may wait in the uplink.
const DEADLINE_US: u64 = 500_000;
/// Pause before a member that found no parent looks again.
const RETRY_US: u64 = 1_000_000;

/// A member joins the trees this long after the ring: when those that came with it are there too.
const SETTLE_US: u64 = 1_000;

/// Settings of SplitStream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// Stripes.
    pub stripes: u8,
    /// Whether nodes prefer near ones where the identifiers leave a choice.
    pub locality: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { stripes: 16, locality: true }
    }
}

impl Settings {
    /// Whether they make sense.
    ///
    /// # Errors
    ///
    /// The setting that does not, with what would.
    pub fn check(&self) -> Result<(), SettingsError> {
        if (1..=64).contains(&self.stripes) {
            return Ok(());
        }
        let want = format!("1 to 64, not {}", self.stripes);
        Err(SettingsError { section: "splitstream", key: "stripes", want })
    }
}

/// What nodes send.
#[derive(Clone, Debug)]
pub enum Message {
    /// Feed me this stripe; as a member of the spare capacity group, where `spare`.
    Join {
        /// The stripe.
        stripe: u8,
        /// Not to be pushed down.
        spare: bool,
    },
    /// It will be fed.
    Accept(u8),
    /// It will not, or no longer; these may.
    Reject(u8, Box<[NodeIx]>),
    /// Do not feed me this stripe.
    Leave(u8),
    /// A packet, whose sound it is, and whether it goes to the root of its stripe first.
    Media {
        /// The packet.
        packet: Packet,
        /// Its speaker.
        speaker: NodeIx,
        /// From the speaker to the root.
        to_root: bool,
    },
}

/// A member looks again for a parent in this stripe.
pub type Timer = u8;

/// SplitStream over all nodes of a run.
pub struct SplitStream {
    settings: Settings,
    members: Vec<Member>,
    ring: Ring,
    roots: Vec<Option<NodeIx>>,
    /// Those with capacity to spare, in no order, and where each stands.
    spare: Vec<NodeIx>,
}

impl SplitStream {
    /// A forest over the members of a plan.
    pub fn new(plan: &Plan, settings: Settings) -> Self {
        let settings = Settings { stripes: settings.stripes.clamp(1, 64), ..settings };
        SplitStream {
            settings,
            members: plan.nodes.iter().map(|_| Member::default()).collect(),
            ring: Ring::new(settings.stripes, plan.seed),
            roots: vec![None; usize::from(settings.stripes)],
            spare: Vec::new(),
        }
    }

    /// Who feeds a member a stripe.
    pub fn parent(&self, node: NodeIx, stripe: u8) -> Option<NodeIx> {
        let feed = self.members[node.index()].feeds.get(usize::from(stripe))?;
        feed.parent.filter(|_| feed.is_fed)
    }

    /// The root of a stripe.
    pub fn root(&self, stripe: u8) -> Option<NodeIx> {
        self.roots.get(usize::from(stripe)).copied().flatten()
    }

    /// Whom a member feeds which stripe.
    pub fn children(&self, node: NodeIx) -> &[(u8, NodeIx)] {
        &self.members[node.index()].children
    }

    /// Children that a member may have over all stripes.
    pub fn capacity(&self, plan: &Plan, node: NodeIx) -> usize {
        random_tree::slots(plan, node) as usize * usize::from(self.settings.stripes)
    }

    fn stripe(&self, packet: Packet) -> u8 {
        (packet.first / u32::from(packet.frames.max(1)) % u32::from(self.settings.stripes)) as u8
    }

    fn spread(&self, net: &mut Net<Self>, node: NodeIx, packet: Packet, speaker: NodeIx) {
        let (stripe, bytes) = (self.stripe(packet), net.plan().media.packet_bytes);
        let class = Class::Media { lane: stripe % 4, deadline_us: DEADLINE_US };
        for (_, child) in self.members[node.index()].children.iter().filter(|(of, _)| *of == stripe) {
            net.send(node, *child, bytes, class, Message::Media { packet, speaker, to_root: false });
        }
    }

    fn hear(&mut self, net: &mut Net<Self>, node: NodeIx, packet: Packet, speaker: NodeIx) {
        // What comes back to its speaker is nothing that it hears, but its children do.
        if node == speaker || net.received(node, packet) {
            self.spread(net, node, packet, speaker);
        }
    }
}

impl Strategy for SplitStream {
    type Message = Message;
    type Timer = Timer;

    fn name(&self) -> &'static str {
        if self.settings.locality { "splitstream" } else { "splitstream-random" }
    }

    fn join(&mut self, net: &mut Net<Self>, node: NodeIx) {
        self.members[node.index()] = Member::new(self.settings.stripes);
        if self.capacity(net.plan(), node) > 0 && net.plan().nodes[node.index()].reachable {
            self.ring.insert(node);
            self.spare.push(node);
        }
        for stripe in 0..self.settings.stripes {
            net.timer(node, net.now_us() + SETTLE_US, stripe);
        }
    }

    fn leave(&mut self, net: &mut Net<Self>, node: NodeIx) {
        net.gone(node);
    }

    fn gone(&mut self, node: NodeIx) {
        self.members[node.index()] = Member::default();
        self.ring.remove(node);
        self.spare.retain(|of| *of != node);
    }

    fn connected(&mut self, net: &mut Net<Self>, node: NodeIx, peer: NodeIx) {
        let waiting = std::mem::take(&mut self.members[node.index()].waiting);
        let (now, later) = waiting.into_iter().partition(|(to, _)| *to == peer);
        self.members[node.index()].waiting = later;
        for (_, message) in now {
            self.send(net, node, peer, message);
        }
    }

    fn unreachable(&mut self, net: &mut Net<Self>, node: NodeIx, peer: NodeIx) {
        self.lost(net, node, peer);
    }

    fn disconnected(&mut self, net: &mut Net<Self>, node: NodeIx, peer: NodeIx) {
        self.lost(net, node, peer);
    }

    fn receive(&mut self, net: &mut Net<Self>, node: NodeIx, from: NodeIx, message: Message) {
        match message {
            Message::Join { stripe, spare } => self.asked(net, node, from, stripe, spare),
            Message::Accept(stripe) => self.accepted(net, node, from, stripe),
            Message::Reject(stripe, siblings) => self.rejected(net, node, from, stripe, &siblings),
            Message::Leave(stripe) => self.drop_child(net, node, stripe, from),
            Message::Media { packet, speaker, to_root: true } if self.root(self.stripe(packet)) != Some(node) => {
                // The root of before passes it on.
                self.publish(net, node, packet, speaker);
            }
            Message::Media { packet, speaker, .. } => self.hear(net, node, packet, speaker),
        }
    }

    fn timer(&mut self, net: &mut Net<Self>, node: NodeIx, stripe: Timer) {
        let feed = self.members[node.index()].feeds.get(usize::from(stripe));
        if feed.is_some_and(|feed| feed.parent.is_none()) {
            self.route(net, node, stripe);
        }
    }

    fn packet(&mut self, net: &mut Net<Self>, node: NodeIx, packet: Packet) {
        self.publish(net, node, packet, node);
    }

    fn place(&self, node: NodeIx) -> Place {
        let depths = (0..self.settings.stripes).map(|stripe| self.depth(node, stripe));
        let depths: Option<Vec<u32>> = depths.collect();
        let mean = |depths: Vec<u32>| f64::from(depths.iter().sum::<u32>()) / depths.len() as f64;
        let depth = depths.map(mean);
        let fed = (0..self.settings.stripes).find_map(|stripe| self.parent(node, stripe));
        Place { parent: fed.filter(|_| depth.is_some()), standby: None, depth }
    }

    fn is_relay(&self, node: NodeIx) -> bool {
        !self.members[node.index()].children.is_empty()
    }
}
