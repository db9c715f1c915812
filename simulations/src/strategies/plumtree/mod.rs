//! Plumtree over HyParView: a tree that the first copies find, and announcements over the other links that mend it.
//!
//! Source: J. Leitão, J. Pereira, L. Rodrigues, "Epidemic broadcast trees", SRDS 2007 (extended as DI-FCUL TR-07-14, whose Algorithms 1
//! and 2 these are). Each neighbour is eager or lazy. A message goes whole to the eager ones and as an announcement (IHAVE) to the lazy
//! ones. Who gets a message twice makes that link lazy (PRUNE), so that eager links become a tree. Who is told of a message that
//! does not come asks for it when a timer ends (GRAFT), which makes that link eager again. Who was told of it by a much shorter way
//! than the one it came by changes over.
//!
//! Modelled: all of that, the membership with its own messages and links, announcements in batches. Given: a newcomer's contact, a
//! random member. All speakers share one tree, the cheaper of the two ways that the paper weighs.

mod membership;
mod tree;

use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::{SettingsError, hyparview};
use crate::{
    engine::Net,
    plan::{NodeIx, Plan},
    strategies::messages::{MessageIx, Published},
    strategy::{Packet, Place, Strategy},
};
use membership::Member;
use tree::Tree;

/// A message's head: its id of 20 bytes, the round, the kind.
const HEAD_BYTES: u32 = 24;
/// Pause before a node that nobody is left of looks for a new contact.
const RETRY_US: u64 = 1_000_000;

/// Settings of Plumtree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// How long a node that was told of a message waits for it, in milliseconds: longer than the ways of a message differ.
    pub ihave_timeout_ms: u64,
    /// How long it waits for each that it asked for it, in milliseconds: about a round trip.
    pub graft_timeout_ms: u64,
    /// Announcements are held this long to go together, in milliseconds.
    pub dispatch_ms: u64,
    /// A way shorter by this many hops takes the place of the one that a message came by; 0 for never. The paper has 7.
    pub threshold: u8,
    /// For how long a message can be asked for, in seconds.
    pub keep_s: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { ihave_timeout_ms: 200, graft_timeout_ms: 150, dispatch_ms: 20, threshold: 7, keep_s: 30 }
    }
}

impl Settings {
    /// Whether they make sense together.
    ///
    /// # Errors
    ///
    /// The first setting that does not, with what would.
    pub fn check(&self) -> Result<(), SettingsError> {
        let times = [
            ("ihave-timeout-ms", self.ihave_timeout_ms, 1),
            ("graft-timeout-ms", self.graft_timeout_ms, 1),
            ("dispatch-ms", self.dispatch_ms, 0),
        ];
        for (key, value, least) in times {
            if !(least..=3_600_000).contains(&value) {
                let want = format!("{least} to 3600000, not {value}");
                return Err(SettingsError { section: "plumtree", key, want });
            }
        }
        if self.keep_s > 86_400 {
            let want = format!("at most 86400, not {}", self.keep_s);
            return Err(SettingsError { section: "plumtree", key: "keep-s", want });
        }
        Ok(())
    }
}

/// What nodes send.
#[derive(Clone, Debug)]
pub enum Message {
    /// Of the membership.
    Member(hyparview::Message),
    /// A message, and how many hops it has come.
    Gossip(MessageIx, u8),
    /// These have come, each with its hops.
    IHave(Box<[(MessageIx, u8)]>),
    /// Feed me, and send this if it is there.
    Graft(Option<MessageIx>),
    /// Do not feed me.
    Prune,
}

/// Why a node wakes.
#[derive(Clone, Copy, Debug)]
pub enum Timer {
    /// To shuffle.
    Shuffle,
    /// To look for a contact, if nobody is left.
    Rejoin,
    /// A message that it was told of should have come.
    Missing(MessageIx),
    /// To send the announcements that were held.
    Dispatch,
}

/// Plumtree over all nodes of a run.
pub struct Plumtree {
    settings: Settings,
    membership: hyparview::Settings,
    members: Vec<Member>,
    trees: Vec<Tree>,
    published: Published,
    message_bytes: u32,
}

impl Plumtree {
    /// Sets up the nodes of a plan. Settings that do not pass their checks make a poor overlay and nothing worse.
    pub fn new(plan: &Plan, settings: Settings, membership: hyparview::Settings) -> Self {
        Plumtree {
            settings,
            membership,
            members: plan.nodes.iter().map(|_| Member::default()).collect(),
            trees: plan.nodes.iter().map(|_| Tree::default()).collect(),
            published: Published::default(),
            message_bytes: plan.media.packet_bytes + HEAD_BYTES,
        }
    }

    /// The neighbours of a node now.
    pub fn neighbours(&self, node: NodeIx) -> &[NodeIx] {
        &self.members[node.index()].view.active
    }

    /// Those of them that it sends messages to.
    pub fn eager(&self, node: NodeIx) -> &[NodeIx] {
        &self.trees[node.index()].eager
    }
}

impl Strategy for Plumtree {
    type Message = Message;
    type Timer = Timer;

    fn name(&self) -> &'static str {
        "plumtree"
    }

    fn join(&mut self, net: &mut Net<Self>, node: NodeIx) {
        let now_us = net.now_us();
        self.trees[node.index()] = Tree::new(self.published.first_since(now_us));
        self.enter(net, node);
        let shuffle_us = self.membership.shuffle_ms * 1000;
        let phase_us = net.rng.random_range(0..shuffle_us.max(1));
        net.timer(node, now_us + shuffle_us / 2 + phase_us, Timer::Shuffle);
    }

    fn leave(&mut self, net: &mut Net<Self>, node: NodeIx) {
        net.gone(node);
    }

    fn gone(&mut self, node: NodeIx) {
        self.members[node.index()] = Member::default();
        self.trees[node.index()] = Tree::default();
    }

    fn connected(&mut self, net: &mut Net<Self>, node: NodeIx, peer: NodeIx) {
        self.flush(net, node, peer);
    }

    fn unreachable(&mut self, net: &mut Net<Self>, node: NodeIx, peer: NodeIx) {
        self.lost(net, node, peer);
    }

    fn disconnected(&mut self, net: &mut Net<Self>, node: NodeIx, peer: NodeIx) {
        if self.members[node.index()].view.needs(peer) {
            self.lost(net, node, peer);
        }
    }

    fn receive(&mut self, net: &mut Net<Self>, node: NodeIx, from: NodeIx, message: Message) {
        match message {
            Message::Member(message) => self.member(net, node, from, message),
            Message::Gossip(message, hops) => self.gossip(net, node, from, message, hops),
            Message::IHave(messages) => self.announced(net, node, from, &messages),
            Message::Graft(message) => self.grafted(net, node, from, message),
            Message::Prune => self.trees[node.index()].set_lazy(from),
        }
    }

    fn timer(&mut self, net: &mut Net<Self>, node: NodeIx, timer: Timer) {
        match timer {
            Timer::Shuffle => self.shuffle(net, node),
            Timer::Rejoin => self.rejoin(net, node),
            Timer::Missing(message) => self.is_missing(net, node, message),
            Timer::Dispatch => self.dispatch(net, node),
        }
    }

    fn packet(&mut self, net: &mut Net<Self>, node: NodeIx, packet: Packet) {
        let message = self.published.add(packet, node, net.now_us());
        self.trees[node.index()].seen.insert(message);
        self.push(net, node, None, message, 0);
    }

    fn place(&self, node: NodeIx) -> Place {
        self.trees[node.index()].place()
    }

    fn is_relay(&self, node: NodeIx) -> bool {
        self.trees[node.index()].eager.len() > 1
    }
}
