//! Drives a node's HyParView: its links, its timers, and what it is told by the network.

use super::{Message, Plumtree, RETRY_US, Timer};
use crate::{
    engine::Net,
    plan::NodeIx,
    strategies::hyparview::{self, Action, HyParView},
    strategy::Class,
};

/// The membership of one node, and what waits for its links to come up.
#[derive(Clone, Debug, Default)]
pub(super) struct Member {
    pub view: HyParView,
    waiting: Vec<(NodeIx, hyparview::Message)>,
}

impl Plumtree {
    /// A node comes, or comes anew, by way of a random member.
    pub(super) fn enter(&mut self, net: &mut Net<Self>, node: NodeIx) {
        let contact = net.someone(node);
        let mut out = Vec::new();
        self.members[node.index()].view = HyParView::new(node, contact, &mut out);
        self.act(net, node, out);
        net.timer(node, net.now_us() + net.plan().dial_us + RETRY_US, Timer::Rejoin);
    }

    /// A node that has no neighbour and nobody to ask begins anew.
    pub(super) fn rejoin(&mut self, net: &mut Net<Self>, node: NodeIx) {
        let view = &self.members[node.index()].view;
        if view.active.is_empty() && view.passive.is_empty() {
            self.enter(net, node);
        }
    }

    pub(super) fn shuffle(&mut self, net: &mut Net<Self>, node: NodeIx) {
        let mut out = Vec::new();
        self.members[node.index()].view.shuffle(&self.membership, &mut net.rng, &mut out);
        self.act(net, node, out);
        net.timer(node, net.now_us() + self.membership.shuffle_ms * 1000, Timer::Shuffle);
    }

    pub(super) fn member(&mut self, net: &mut Net<Self>, node: NodeIx, from: NodeIx, message: hyparview::Message) {
        let mut out = Vec::new();
        self.members[node.index()].view.receive(&self.membership, &mut net.rng, from, message, &mut out);
        self.act(net, node, out);
    }

    pub(super) fn lost(&mut self, net: &mut Net<Self>, node: NodeIx, peer: NodeIx) {
        let mut out = Vec::new();
        let member = &mut self.members[node.index()];
        member.waiting.retain(|(to, _)| *to != peer);
        member.view.lost(&self.membership, &mut net.rng, peer, &mut out);
        if member.view.active.is_empty() && member.view.passive.is_empty() {
            net.timer(node, net.now_us() + RETRY_US, Timer::Rejoin);
        }
        self.act(net, node, out);
    }

    /// A link is up: what waited for it goes out.
    pub(super) fn flush(&mut self, net: &mut Net<Self>, node: NodeIx, peer: NodeIx) {
        let waiting = std::mem::take(&mut self.members[node.index()].waiting);
        let (now, later) = waiting.into_iter().partition(|(to, _)| *to == peer);
        self.members[node.index()].waiting = later;
        for (_, message) in now {
            net.send(node, peer, message.bytes(), Class::Control, Message::Member(message));
        }
    }

    fn act(&mut self, net: &mut Net<Self>, node: NodeIx, out: Vec<Action>) {
        for action in out {
            match action {
                Action::Send(peer, message) if net.is_up(node, peer) => {
                    net.send(node, peer, message.bytes(), Class::Control, Message::Member(message));
                }
                Action::Send(peer, message) => {
                    self.members[node.index()].waiting.push((peer, message));
                    net.connect(node, peer);
                }
                Action::Close(peer) => {
                    if !self.members[node.index()].view.needs(peer) {
                        net.disconnect(node, peer);
                    }
                }
                Action::Up(peer) => self.trees[node.index()].add(peer),
                Action::Down(peer) => self.trees[node.index()].remove(peer),
            }
        }
    }
}
