//! How members find parents: routes, push-down, spare capacity.

use rand::{
    RngExt,
    seq::{IteratorRandom, SliceRandom},
};

use super::{CONTROL_BYTES, DEADLINE_US, MEMBER_BYTES, Message, RETRY_US, SplitStream, ring::DRAWS};
use crate::{
    engine::Net,
    plan::NodeIx,
    strategy::{Class, Packet},
};

/// A member's place in one tree.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Feed {
    /// Who feeds it, or was asked to.
    pub parent: Option<NodeIx>,
    /// Whether that one has accepted.
    pub is_fed: bool,
}

/// One member.
#[derive(Clone, Debug, Default)]
pub(super) struct Member {
    /// By stripe.
    pub feeds: Vec<Feed>,
    pub children: Vec<(u8, NodeIx)>,
    /// What waits for a link to come up.
    pub waiting: Vec<(NodeIx, Message)>,
}

impl Member {
    pub fn new(stripes: u8) -> Self {
        Member { feeds: vec![Feed::default(); usize::from(stripes)], ..Member::default() }
    }

    /// Whether a link to a peer is of use.
    fn needs(&self, peer: NodeIx) -> bool {
        self.children.iter().any(|(_, child)| *child == peer)
            || self.feeds.iter().any(|feed| feed.parent == Some(peer))
            || self.waiting.iter().any(|(to, _)| *to == peer)
    }
}

impl SplitStream {
    /// Sends a message, over a new link where there is none.
    pub(super) fn send(&mut self, net: &mut Net<Self>, node: NodeIx, peer: NodeIx, message: Message) {
        if !net.is_up(node, peer) {
            self.members[node.index()].waiting.push((peer, message));
            return net.connect(node, peer);
        }
        let (bytes, class) = match &message {
            Message::Media { .. } => {
                (net.plan().media.packet_bytes, Class::Media { lane: 0, deadline_us: DEADLINE_US })
            }
            Message::Reject(_, siblings) => (CONTROL_BYTES + siblings.len() as u32 * MEMBER_BYTES, Class::Control),
            _ => (CONTROL_BYTES, Class::Control),
        };
        net.send(node, peer, bytes, class, message);
    }

    /// A packet goes to the root of its stripe.
    pub(super) fn publish(&mut self, net: &mut Net<Self>, node: NodeIx, packet: Packet, speaker: NodeIx) {
        match self.root(self.stripe(packet)) {
            Some(root) if root == node => self.hear(net, node, packet, speaker),
            Some(root) => self.send(net, node, root, Message::Media { packet, speaker, to_root: true }),
            None => {}
        }
    }

    /// The ring's nearest to a stripe becomes its root; the root of before, if it is there, a member like any other.
    fn elect(&mut self, net: &mut Net<Self>, stripe: u8) {
        let new = self.ring.nearest(stripe);
        let old = std::mem::replace(&mut self.roots[usize::from(stripe)], new);
        if old == new {
            return;
        }
        if let Some(new) = new {
            self.part(net, new, stripe);
        }
        if let Some(old) = old.filter(|old| net.is_alive(*old)) {
            self.route(net, old, stripe);
        }
    }

    /// A member leaves its parent in a stripe.
    fn part(&mut self, net: &mut Net<Self>, node: NodeIx, stripe: u8) {
        let Some(feed) = self.members[node.index()].feeds.get_mut(usize::from(stripe)) else { return };
        let feed = std::mem::take(feed);
        if let Some(parent) = feed.parent {
            self.members[node.index()].waiting.retain(|(to, message)| *to != parent || !asks(message, stripe));
            if net.is_up(node, parent) {
                self.send(net, node, parent, Message::Leave(stripe));
                self.close(net, node, parent);
            }
        }
    }

    /// A member without a parent asks the next hop towards the stripe.
    pub(super) fn route(&mut self, net: &mut Net<Self>, node: NodeIx, stripe: u8) {
        self.elect(net, stripe);
        let Some(root) = self.root(stripe) else {
            return net.timer(node, net.now_us() + RETRY_US, stripe);
        };
        if root == node {
            return;
        }
        let hops = self.ring.next_hops(node, stripe, &mut net.rng);
        let parent =
            self.choose(net, node, stripe, &hops).or_else(|| self.may_feed(root, node, stripe).then_some(root));
        match parent {
            Some(parent) => self.ask(net, node, stripe, parent, false),
            None => self.ask_spare(net, node, stripe),
        }
    }

    fn ask(&mut self, net: &mut Net<Self>, node: NodeIx, stripe: u8, parent: NodeIx, spare: bool) {
        self.members[node.index()].feeds[usize::from(stripe)] = Feed { parent: Some(parent), is_fed: false };
        self.send(net, node, parent, Message::Join { stripe, spare });
    }

    /// A member whom nobody on the way took asks one with capacity to spare.
    fn ask_spare(&mut self, net: &mut Net<Self>, node: NodeIx, stripe: u8) {
        let drawn: Vec<NodeIx> = match self.spare.len() {
            0 => Vec::new(),
            count => (0..DRAWS).map(|_| self.spare[net.rng.random_range(0..count)]).collect(),
        };
        let fit = |of: &NodeIx| self.is_rooted(*of, stripe) && self.may_feed(*of, node, stripe);
        let drawn: Vec<NodeIx> = drawn.into_iter().filter(fit).collect();
        let parent = self.choose(net, node, stripe, &drawn).or_else(|| self.spare.iter().copied().find(fit));
        match parent {
            Some(parent) => {
                net.count("splitstream_spare", 1);
                self.ask(net, node, stripe, parent, true);
            }
            None => {
                self.members[node.index()].feeds[usize::from(stripe)] = Feed::default();
                net.timer(node, net.now_us() + RETRY_US, stripe);
            }
        }
    }

    /// The nearest that may feed a member, or the first where nearness does not count.
    fn choose(&self, net: &Net<Self>, node: NodeIx, stripe: u8, from: &[NodeIx]) -> Option<NodeIx> {
        let mut fit = from.iter().copied().filter(|of| self.may_feed(*of, node, stripe));
        if self.settings.locality {
            fit.min_by_key(|of| (net.guessed_round_trip_us(node, *of), *of))
        } else {
            fit.next()
        }
    }

    fn parent_or_asked(&self, node: NodeIx, stripe: u8) -> Option<NodeIx> {
        self.members[node.index()].feeds.get(usize::from(stripe)).and_then(|feed| feed.parent)
    }

    /// Whether a node is not below a child, nor the child itself.
    fn may_feed(&self, node: NodeIx, child: NodeIx, stripe: u8) -> bool {
        let mut at = Some(node);
        for _ in 0..self.members.len() {
            match at {
                Some(above) if above == child => return false,
                Some(above) => at = self.parent_or_asked(above, stripe),
                None => return true,
            }
        }
        false
    }

    fn is_rooted(&self, node: NodeIx, stripe: u8) -> bool {
        self.depth(node, stripe).is_some()
    }

    /// Hops between the host and a member in a stripe.
    pub(super) fn depth(&self, node: NodeIx, stripe: u8) -> Option<u32> {
        let root = self.root(stripe)?;
        let mut at = node;
        for depth in 0..self.members.len() as u32 {
            if at == root {
                return Some(depth + u32::from(root != NodeIx::HOST));
            }
            at = self.parent(at, stripe)?;
        }
        None
    }

    /// Someone wants to be fed a stripe.
    pub(super) fn asked(&mut self, net: &mut Net<Self>, node: NodeIx, from: NodeIx, stripe: u8, spare: bool) {
        let capacity = self.capacity(net.plan(), node);
        let member = &mut self.members[node.index()];
        if member.children.contains(&(stripe, from)) {
            return self.send(net, node, from, Message::Accept(stripe));
        }
        if spare && member.children.len() >= capacity || usize::from(stripe) >= member.feeds.len() {
            return self.send(net, node, from, Message::Reject(stripe, Box::default()));
        }
        member.children.push((stripe, from));
        let victim = if member.children.len() > capacity { self.victim(net, node, (stripe, from)) } else { None };
        if let Some((of, child)) = victim {
            self.members[node.index()].children.retain(|entry| *entry != (of, child));
            let siblings = self.members[node.index()].children.iter().filter(|(stripe, _)| *stripe == of);
            let siblings: Box<[NodeIx]> = siblings.map(|(_, sibling)| *sibling).collect();
            self.send(net, node, child, Message::Reject(of, siblings));
        }
        if victim != Some((stripe, from)) {
            self.send(net, node, from, Message::Accept(stripe));
        }
        self.count_spare(net, node);
    }

    /// Which child a full member rejects: the new one or any of a foreign stripe, else the one least like the stripe.
    fn victim(&self, net: &mut Net<Self>, node: NodeIx, new: (u8, NodeIx)) -> Option<(u8, NodeIx)> {
        let children = &self.members[node.index()].children;
        let is_foreign =
            |(stripe, _): &(u8, NodeIx)| self.ring.shared(node, *stripe) == 0 && self.root(*stripe) != Some(node);
        if is_foreign(&new) {
            return Some(new);
        }
        let foreign = children.iter().copied().filter(is_foreign).choose(&mut net.rng);
        foreign.or_else(|| children.iter().copied().min_by_key(|(stripe, child)| self.ring.shared(*child, *stripe)))
    }

    fn count_spare(&mut self, net: &Net<Self>, node: NodeIx) {
        let has_spare = self.members[node.index()].children.len() < self.capacity(net.plan(), node);
        let at = self.spare.iter().position(|of| *of == node);
        match at {
            Some(at) if !has_spare => {
                self.spare.swap_remove(at);
            }
            None if has_spare && net.plan().nodes[node.index()].reachable => self.spare.push(node),
            _ => {}
        }
    }

    pub(super) fn accepted(&mut self, net: &mut Net<Self>, node: NodeIx, from: NodeIx, stripe: u8) {
        match self.members[node.index()].feeds.get_mut(usize::from(stripe)) {
            Some(feed) if feed.parent == Some(from) => feed.is_fed = true,
            _ => {
                self.send(net, node, from, Message::Leave(stripe));
                self.close(net, node, from);
            }
        }
    }

    /// A parent has no place: on to the former siblings that are nearer to the stripe's identifier, else to spare capacity.
    pub(super) fn rejected(
        &mut self,
        net: &mut Net<Self>,
        node: NodeIx,
        from: NodeIx,
        stripe: u8,
        siblings: &[NodeIx],
    ) {
        if self.parent_or_asked(node, stripe) != Some(from) {
            return;
        }
        self.members[node.index()].feeds[usize::from(stripe)] = Feed::default();
        self.close(net, node, from);
        let mut nearer = siblings.to_vec();
        nearer.shuffle(&mut net.rng);
        let plan = net.plan();
        nearer.retain(|of| {
            let can_feed = plan.nodes[of.index()].reachable && self.capacity(plan, *of) > 0;
            can_feed && self.ring.shared(*of, stripe) > 0
        });
        match self.choose(net, node, stripe, &nearer) {
            Some(parent) => self.ask(net, node, stripe, parent, false),
            None => self.ask_spare(net, node, stripe),
        }
    }

    pub(super) fn drop_child(&mut self, net: &mut Net<Self>, node: NodeIx, stripe: u8, child: NodeIx) {
        self.members[node.index()].children.retain(|of| *of != (stripe, child));
        self.count_spare(net, node);
    }

    /// A link is gone, or did not come about.
    pub(super) fn lost(&mut self, net: &mut Net<Self>, node: NodeIx, peer: NodeIx) {
        let member = &mut self.members[node.index()];
        member.children.retain(|(_, child)| *child != peer);
        member.waiting.retain(|(to, _)| *to != peer);
        self.count_spare(net, node);
        for stripe in 0..self.settings.stripes {
            if self.root(stripe) == Some(peer) {
                self.elect(net, stripe);
            }
            if self.parent_or_asked(node, stripe) == Some(peer) {
                self.members[node.index()].feeds[usize::from(stripe)] = Feed::default();
                self.route(net, node, stripe);
            }
        }
    }

    /// Closes a link that is of no use.
    fn close(&mut self, net: &mut Net<Self>, node: NodeIx, peer: NodeIx) {
        if !self.members[node.index()].needs(peer) && !self.roots.contains(&Some(peer)) {
            net.disconnect(node, peer);
        }
    }
}

/// Whether a message asks for a stripe.
fn asks(message: &Message, stripe: u8) -> bool {
    matches!(message, Message::Join { stripe: of, .. } if *of == stripe)
}
