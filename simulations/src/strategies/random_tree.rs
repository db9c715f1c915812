//! A random tree: each newcomer hangs below a random member that has a free slot.
//!
//! What a tree costs and gives where nobody thinks about it: the shape is a random recursive tree with bounded degree
//! (H. M. Mahmoud, "Limiting distributions for path lengths in recursive trees", 1991), whose mean depth without a bound
//! is the harmonic number H(n) - 1.
//!
//! The host keeps a tracker. Every member holds a link to the host and asks there for a parent; the tracker answers with one that
//! has a slot free and is connected to the host, drawn at random from all of these, never one below the member that asks. A
//! parent that cannot be reached or that is full makes the member ask again, and so does the loss of its parent, which it
//! learns of when the link closes: at once where the parent said goodbye, else when the link is given up. There is no standby and
//! no watch over the feed. Sound of others than the host goes to the host first and down the tree from there.

use rand::RngExt;

use crate::{
    engine::Net,
    plan::{Hostile, NodeIx, Plan},
    strategy::{Class, Packet, Place, Strategy},
};

/// Size of the messages that are no media, in bytes.
const CONTROL_BYTES: u32 = 60;
/// Lanes of a link.
const LANES: u32 = 4;
/// How long a packet may wait in the uplink.
const DEADLINE_US: u64 = 500_000;
/// Pause before a member asks again that was told that there is no slot.
const RETRY_US: u64 = 1_000_000;
/// Random draws of a parent before the tracker goes through all members.
const DRAWS: usize = 64;

/// What nodes of a random tree send.
#[derive(Clone, Copy, Debug)]
pub enum Message {
    /// To the tracker: a parent is wanted.
    Ask {
        /// Feeds that it says it can give.
        slots: u32,
        /// One that will not do.
        but: Option<NodeIx>,
    },
    /// From the tracker: this one.
    Parent(NodeIx),
    /// From the tracker: nobody has a slot.
    Full,
    /// To the parent: feed me.
    Attach,
    /// From the parent: it will be fed.
    Accept,
    /// From the parent: there is no slot.
    Refuse,
    /// To the tracker: this parent feeds me.
    Attached(NodeIx),
    /// To the parent: stop.
    Detach,
    /// A packet, and whose sound it is.
    Media(Packet, NodeIx),
}

/// One member.
#[derive(Clone, Debug, Default)]
struct Member {
    parent: Option<NodeIx>,
    /// The parent that accepted feeds it.
    is_fed: bool,
    children: Vec<NodeIx>,
}

/// What the tracker knows of one member.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    is_present: bool,
    parent: Option<NodeIx>,
    is_fed: bool,
    /// Slots that it has promised to nobody.
    free: u32,
    /// Where it stands among those with free slots.
    at: Option<u32>,
}

/// A random tree.
pub struct RandomTree {
    members: Vec<Member>,
    known: Vec<Known>,
    /// Those with free slots, in no order.
    open: Vec<NodeIx>,
}

impl RandomTree {
    /// A tree over the members of a plan.
    pub fn new(plan: &Plan) -> Self {
        let count = plan.nodes.len();
        RandomTree { members: vec![Member::default(); count], known: vec![Known::default(); count], open: Vec::new() }
    }

    /// Who feeds a member now.
    pub fn parent(&self, node: NodeIx) -> Option<NodeIx> {
        self.members[node.index()].parent.filter(|_| self.members[node.index()].is_fed)
    }

    /// Whom a member feeds now.
    pub fn children(&self, node: NodeIx) -> &[NodeIx] {
        &self.members[node.index()].children
    }

    fn spread(&self, net: &mut Net<Self>, node: NodeIx, packet: Packet, speaker: NodeIx) {
        let lane = (packet.first / u32::from(packet.frames) % LANES) as u8;
        let class = Class::Media { lane, deadline_us: DEADLINE_US };
        let bytes = net.plan().media.packet_bytes;
        for child in &self.members[node.index()].children {
            net.send(node, *child, bytes, class, Message::Media(packet, speaker));
        }
    }

    /// In flow mode: tells whom a member feeds.
    fn tell_feeds(&self, net: &mut Net<Self>, node: NodeIx) {
        if net.wants_feeds() {
            net.feeds(node, self.members[node.index()].children.clone());
        }
    }

    fn control(net: &mut Net<Self>, node: NodeIx, peer: NodeIx, message: Message) {
        net.send(node, peer, CONTROL_BYTES, Class::Control, message);
    }

    /// The tracker gives or takes slots of a member.
    fn set_free(&mut self, node: NodeIx, free: u32) {
        let known = &mut self.known[node.index()];
        known.free = free;
        match (known.at, free > 0) {
            (None, true) => {
                known.at = Some(self.open.len() as u32);
                self.open.push(node);
            }
            (Some(at), false) => {
                known.at = None;
                self.open.swap_remove(at as usize);
                if let Some(moved) = self.open.get(at as usize) {
                    self.known[moved.index()].at = Some(at);
                }
            }
            _ => {}
        }
    }

    /// The tracker frees the slot that it gave to a member.
    fn release(&mut self, node: NodeIx) {
        self.known[node.index()].is_fed = false;
        if let Some(parent) = self.known[node.index()].parent.take()
            && self.known[parent.index()].is_present
        {
            self.set_free(parent, self.known[parent.index()].free + 1);
        }
    }

    /// Whether a member hangs below the host and not below the one that asks.
    fn may_feed(&self, node: NodeIx, child: NodeIx) -> bool {
        let mut at = node;
        for _ in 0..self.known.len() {
            if at == child {
                return false;
            }
            if at == NodeIx::HOST {
                return true;
            }
            match self.known[at.index()] {
                Known { parent: Some(parent), is_fed: true, .. } => at = parent,
                _ => return false,
            }
        }
        false
    }

    fn draw(&self, net: &mut Net<Self>, child: NodeIx, but: Option<NodeIx>) -> Option<NodeIx> {
        if self.open.is_empty() {
            return None;
        }
        let will_do = |node: &NodeIx| Some(*node) != but && self.may_feed(*node, child);
        for _ in 0..DRAWS {
            let node = self.open[net.rng.random_range(0..self.open.len())];
            if will_do(&node) {
                return Some(node);
            }
        }
        let start = net.rng.random_range(0..self.open.len());
        let (before, after) = self.open.split_at(start);
        after.iter().chain(before).copied().find(will_do)
    }

    /// The tracker places a member.
    fn place_below(&mut self, net: &mut Net<Self>, child: NodeIx, slots: u32, but: Option<NodeIx>) {
        if !std::mem::replace(&mut self.known[child.index()].is_present, true) {
            self.set_free(child, slots);
        }
        self.release(child);
        let Some(parent) = self.draw(net, child, but) else {
            return Self::control(net, NodeIx::HOST, child, Message::Full);
        };
        self.set_free(parent, self.known[parent.index()].free - 1);
        self.known[child.index()].parent = Some(parent);
        Self::control(net, NodeIx::HOST, child, Message::Parent(parent));
    }

    /// A member asks for a parent, and leaves the one that it has.
    fn ask(&mut self, net: &mut Net<Self>, node: NodeIx, but: Option<NodeIx>) {
        let member = &mut self.members[node.index()];
        let was_fed = std::mem::take(&mut member.is_fed);
        if let Some(parent) = member.parent.take()
            && was_fed
        {
            Self::control(net, node, parent, Message::Detach);
        }
        if net.is_up(node, NodeIx::HOST) {
            let slots = slots(net.plan(), node);
            Self::control(net, node, NodeIx::HOST, Message::Ask { slots, but });
        } else {
            net.connect(node, NodeIx::HOST);
        }
    }

    fn attach(&mut self, net: &mut Net<Self>, node: NodeIx, parent: NodeIx) {
        self.members[node.index()].parent = Some(parent);
        if net.is_up(node, parent) {
            Self::control(net, node, parent, Message::Attach);
        } else {
            net.connect(node, parent);
        }
    }

    /// A member feeds another no more.
    fn let_go(&mut self, net: &mut Net<Self>, node: NodeIx, child: NodeIx) {
        let children = &mut self.members[node.index()].children;
        let before = children.len();
        children.retain(|of| *of != child);
        if children.len() < before {
            self.tell_feeds(net, node);
        }
    }

    fn adopt(&mut self, net: &mut Net<Self>, node: NodeIx, child: NodeIx) {
        let slots = slots(net.plan(), node);
        let children = &mut self.members[node.index()].children;
        if children.len() >= slots as usize {
            return Self::control(net, node, child, Message::Refuse);
        }
        if !children.contains(&child) {
            children.push(child);
            self.tell_feeds(net, node);
        }
        Self::control(net, node, child, Message::Accept);
    }

    /// The tracker forgets a member that is gone. What hung below it asks again.
    fn forget(&mut self, node: NodeIx) {
        self.release(node);
        self.set_free(node, 0);
        self.known[node.index()].is_present = false;
    }
}

/// Feeds that a member says it can give.
pub(super) fn slots(plan: &Plan, node: NodeIx) -> u32 {
    let of = &plan.nodes[node.index()];
    match of.hostile {
        Some(Hostile::LieCapacity { times }) => (f64::from(of.children_max) * times.max(0.0)) as u32,
        _ => u32::from(of.children_max),
    }
}

impl Strategy for RandomTree {
    type Message = Message;
    type Timer = ();

    fn name(&self) -> &'static str {
        "random-tree"
    }

    fn join(&mut self, net: &mut Net<Self>, node: NodeIx) {
        if node == NodeIx::HOST {
            self.known[node.index()].is_present = true;
            self.set_free(node, slots(net.plan(), node));
        } else {
            net.connect(node, NodeIx::HOST);
        }
    }

    fn leave(&mut self, net: &mut Net<Self>, node: NodeIx) {
        // Closing its links says it all.
        net.gone(node);
    }

    fn gone(&mut self, node: NodeIx) {
        self.members[node.index()] = Member::default();
        if node == NodeIx::HOST {
            self.open.clear();
            self.known.fill(Known::default());
        }
    }

    fn connected(&mut self, net: &mut Net<Self>, node: NodeIx, peer: NodeIx) {
        if node == NodeIx::HOST {
            return;
        }
        let member = &self.members[node.index()];
        if member.parent == Some(peer) && !member.is_fed {
            Self::control(net, node, peer, Message::Attach);
        } else if peer == NodeIx::HOST {
            // The tracker knows nothing of it, or no longer.
            self.ask(net, node, None);
        }
    }

    fn unreachable(&mut self, net: &mut Net<Self>, node: NodeIx, peer: NodeIx) {
        if peer == NodeIx::HOST {
            net.timer(node, net.now_us() + RETRY_US, ());
        } else if self.members[node.index()].parent == Some(peer) {
            self.ask(net, node, Some(peer));
        }
    }

    fn disconnected(&mut self, net: &mut Net<Self>, node: NodeIx, peer: NodeIx) {
        self.let_go(net, node, peer);
        let member = &self.members[node.index()];
        if node == NodeIx::HOST {
            self.forget(peer);
        } else if member.parent == Some(peer) {
            self.ask(net, node, Some(peer));
        } else if peer == NodeIx::HOST {
            net.timer(node, net.now_us() + RETRY_US, ());
        }
    }

    fn receive(&mut self, net: &mut Net<Self>, node: NodeIx, from: NodeIx, message: Message) {
        match message {
            Message::Ask { slots, but } => self.place_below(net, from, slots, but),
            Message::Parent(parent) => self.attach(net, node, parent),
            Message::Full => net.timer(node, net.now_us() + RETRY_US, ()),
            Message::Attach => self.adopt(net, node, from),
            Message::Accept if self.members[node.index()].parent == Some(from) => {
                self.members[node.index()].is_fed = true;
                Self::control(net, node, NodeIx::HOST, Message::Attached(from));
            }
            Message::Accept => Self::control(net, node, from, Message::Detach),
            Message::Refuse => {
                if self.members[node.index()].parent == Some(from) {
                    self.ask(net, node, Some(from));
                }
            }
            Message::Attached(parent) => {
                let known = &mut self.known[from.index()];
                known.is_fed |= known.parent == Some(parent);
            }
            Message::Detach => self.let_go(net, node, from),
            Message::Media(packet, speaker) => {
                // What comes back to its speaker is nothing that it hears, but its children do.
                if node == speaker || net.received(node, packet) {
                    self.spread(net, node, packet, speaker);
                }
            }
        }
    }

    fn timer(&mut self, net: &mut Net<Self>, node: NodeIx, (): ()) {
        if !net.is_up(node, NodeIx::HOST) {
            net.connect(node, NodeIx::HOST);
        } else if self.members[node.index()].parent.is_none() {
            self.ask(net, node, None);
        }
    }

    fn packet(&mut self, net: &mut Net<Self>, node: NodeIx, packet: Packet) {
        if node == NodeIx::HOST {
            self.spread(net, node, packet, node);
        } else {
            let class = Class::Media { lane: 0, deadline_us: DEADLINE_US };
            let bytes = net.plan().media.packet_bytes;
            net.send(node, NodeIx::HOST, bytes, class, Message::Media(packet, node));
        }
    }

    fn place(&self, node: NodeIx) -> Place {
        let mut depth = 0.0;
        let mut at = node;
        for _ in 0..self.members.len() {
            if at == NodeIx::HOST {
                return Place { parent: self.parent(node), standby: None, depth: Some(depth) };
            }
            match self.parent(at) {
                Some(parent) => at = parent,
                None => break,
            }
            depth += 1.0;
        }
        Place { parent: self.parent(node), standby: None, depth: None }
    }

    fn is_relay(&self, node: NodeIx) -> bool {
        !self.members[node.index()].children.is_empty()
    }
}
