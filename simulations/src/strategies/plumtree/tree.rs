//! The tree: eager and lazy neighbours, announcements, and what is missing.

use rustc_hash::FxHashMap;

use super::{HEAD_BYTES, Message, Plumtree, Timer};
use crate::{
    engine::Net,
    plan::NodeIx,
    strategies::messages::{MessageIx, Seen},
    strategy::{Class, Place},
};

/// Size of a GRAFT or PRUNE.
const CONTROL_BYTES: u32 = 24;
/// An announcement: an id of 20 bytes and the round.
const ANNOUNCED_BYTES: u32 = 21;
/// How long a message may wait in the uplink.
const DEADLINE_US: u64 = 1_000_000;

/// The tree as one node sees it.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    /// Neighbours that are sent messages.
    pub eager: Vec<NodeIx>,
    /// Neighbours that are told of them.
    pub lazy: Vec<NodeIx>,
    pub seen: Seen,
    /// Who has told of messages that have not come, and their hops there; a timer runs for each.
    missing: FxHashMap<MessageIx, Vec<(NodeIx, u8)>>,
    /// Announcements that wait to go together, and from whom each message came.
    held: Vec<(MessageIx, u8, Option<NodeIx>)>,
    /// Who sent the last message that was new, and its hops here.
    last: Option<(NodeIx, u8)>,
}

impl Tree {
    pub fn new(known_from: MessageIx) -> Self {
        Tree { seen: Seen::new(known_from), ..Tree::default() }
    }

    pub fn add(&mut self, peer: NodeIx) {
        if !self.eager.contains(&peer) && !self.lazy.contains(&peer) {
            self.eager.push(peer);
        }
    }

    pub fn remove(&mut self, peer: NodeIx) {
        self.eager.retain(|of| *of != peer);
        self.lazy.retain(|of| *of != peer);
        for tellers in self.missing.values_mut() {
            tellers.retain(|(teller, _)| *teller != peer);
        }
    }

    pub fn set_lazy(&mut self, peer: NodeIx) {
        if let Some(at) = self.eager.iter().position(|of| *of == peer) {
            self.lazy.push(self.eager.swap_remove(at));
        }
    }

    fn set_eager(&mut self, peer: NodeIx) {
        if let Some(at) = self.lazy.iter().position(|of| *of == peer) {
            self.eager.push(self.lazy.swap_remove(at));
        }
    }

    pub fn place(&self) -> Place {
        let parent = self.last.map(|(peer, _)| peer).filter(|peer| self.eager.contains(peer));
        Place { parent, standby: None, depth: self.last.map(|(_, hops)| f64::from(hops)) }
    }
}

impl Plumtree {
    /// Sends a message to eager neighbours and announces it to lazy ones.
    pub(super) fn push(
        &mut self,
        net: &mut Net<Self>,
        node: NodeIx,
        from: Option<NodeIx>,
        message: MessageIx,
        hops: u8,
    ) {
        let tree = &mut self.trees[node.index()];
        let class = Class::Media { lane: (message % 4) as u8, deadline_us: DEADLINE_US };
        for peer in tree.eager.iter().filter(|peer| Some(**peer) != from) {
            let gossip = Message::Gossip(message, hops.saturating_add(1));
            net.send(node, *peer, self.message_bytes, class, gossip);
        }
        if tree.lazy.iter().all(|peer| Some(*peer) == from) {
            return;
        }
        if tree.held.is_empty() {
            net.timer(node, net.now_us() + self.settings.dispatch_ms * 1000, Timer::Dispatch);
        }
        tree.held.push((message, hops, from));
    }

    /// Announcements go out.
    pub(super) fn dispatch(&mut self, net: &mut Net<Self>, node: NodeIx) {
        let tree = &mut self.trees[node.index()];
        let held = std::mem::take(&mut tree.held);
        for peer in &tree.lazy {
            let news = held.iter().filter(|(_, _, from)| *from != Some(*peer));
            let news: Box<[(MessageIx, u8)]> = news.map(|(message, hops, _)| (*message, *hops)).collect();
            if !news.is_empty() {
                let bytes = HEAD_BYTES + news.len() as u32 * ANNOUNCED_BYTES;
                net.send(node, *peer, bytes, Class::Control, Message::IHave(news));
            }
        }
    }

    /// A message has come.
    pub(super) fn gossip(&mut self, net: &mut Net<Self>, node: NodeIx, from: NodeIx, message: MessageIx, hops: u8) {
        let packet = self.published.packet(message);
        let is_own = self.published.origin(message) == node;
        let tree = &mut self.trees[node.index()];
        if !tree.seen.insert(message) {
            tree.set_lazy(from);
            net.send(node, from, CONTROL_BYTES, Class::Control, Message::Prune);
            if !is_own {
                net.repeated(node, packet);
            }
            return;
        }
        net.received(node, packet);
        tree.last = Some((from, hops));
        tree.set_eager(from);
        let tellers = tree.missing.remove(&message).unwrap_or_default();
        self.push(net, node, Some(from), message, hops);
        self.optimise(net, node, from, hops, &tellers);
    }

    /// Changes over to a neighbour that had the message by a much shorter way.
    fn optimise(&mut self, net: &mut Net<Self>, node: NodeIx, from: NodeIx, hops: u8, tellers: &[(NodeIx, u8)]) {
        let threshold = self.settings.threshold;
        let is_shorter = |of: &&(NodeIx, u8)| hops.saturating_sub(of.1.saturating_add(1)) >= threshold;
        let Some((peer, _)) = tellers.iter().find(is_shorter).filter(|_| threshold > 0) else { return };
        let tree = &mut self.trees[node.index()];
        tree.set_eager(*peer);
        tree.set_lazy(from);
        net.send(node, *peer, CONTROL_BYTES, Class::Control, Message::Graft(None));
        net.send(node, from, CONTROL_BYTES, Class::Control, Message::Prune);
    }

    /// A neighbour has these.
    pub(super) fn announced(&mut self, net: &mut Net<Self>, node: NodeIx, from: NodeIx, messages: &[(MessageIx, u8)]) {
        let tree = &mut self.trees[node.index()];
        for (message, hops) in messages.iter().filter(|(message, _)| !tree.seen.contains(*message)) {
            let at_us = net.now_us() + self.settings.ihave_timeout_ms * 1000;
            let tellers = tree.missing.entry(*message).or_insert_with(|| {
                net.timer(node, at_us, Timer::Missing(*message));
                Vec::new()
            });
            tellers.push((from, *hops));
        }
    }

    /// A message that was announced should have come.
    pub(super) fn is_missing(&mut self, net: &mut Net<Self>, node: NodeIx, message: MessageIx) {
        let tree = &mut self.trees[node.index()];
        let Some(tellers) = tree.missing.get_mut(&message) else { return };
        if tellers.is_empty() {
            tree.missing.remove(&message);
            return;
        }
        let (peer, _) = tellers.remove(0);
        tree.set_eager(peer);
        net.send(node, peer, CONTROL_BYTES, Class::Control, Message::Graft(Some(message)));
        net.count("plumtree_grafts", 1);
        net.timer(node, net.now_us() + self.settings.graft_timeout_ms * 1000, Timer::Missing(message));
    }

    /// A neighbour wants to be sent messages, this one first.
    pub(super) fn grafted(&mut self, net: &mut Net<Self>, node: NodeIx, from: NodeIx, message: Option<MessageIx>) {
        let keep_us = self.settings.keep_s * 1_000_000;
        let tree = &mut self.trees[node.index()];
        tree.set_eager(from);
        let Some(message) = message else { return };
        if tree.seen.contains(message) && self.published.published_us(message) + keep_us >= net.now_us() {
            let class = Class::Media { lane: (message % 4) as u8, deadline_us: DEADLINE_US };
            let hops = tree.last.map_or(0, |(_, hops)| hops);
            net.send(node, from, self.message_bytes, class, Message::Gossip(message, hops.saturating_add(1)));
        }
    }
}
