//! The state of one node.

use rustc_hash::FxHashSet;

use crate::{
    plan::NodeIx,
    strategies::messages::{MessageIx, Seen},
};

/// How much a message's hops weigh in the mean.
const HOPS_WEIGHT: f64 = 0.05;

/// A link's other end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    pub node: NodeIx,
    /// Whether this node opened the link.
    pub is_outbound: bool,
    /// Whether it has subscribed.
    pub is_subscribed: bool,
    /// Not grafted before this.
    pub backoff_us: u64,
}

/// One node.
#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    /// In the order of their numbers.
    pub peers: Vec<Peer>,
    pub mesh: Vec<NodeIx>,
    pub dialing: Vec<NodeIx>,
    pub seen: Seen,
    /// The message cache: what came in this heartbeat, in the last, and so on.
    pub windows: Vec<Vec<MessageIx>>,
    /// What peers do not want, in this heartbeat and the last two.
    pub unwanted: [FxHashSet<(MessageIx, NodeIx)>; 3],
    /// Whether it has had a heartbeat.
    pub is_settled: bool,
    /// Mean hops of what came lately.
    pub hops: Option<f64>,
}

impl Node {
    pub fn new(known_from: MessageIx, windows: usize) -> Self {
        Node { seen: Seen::new(known_from), windows: vec![Vec::new(); windows.max(1)], ..Node::default() }
    }

    pub fn peer(&mut self, node: NodeIx) -> Option<&mut Peer> {
        let at = self.peers.binary_search_by_key(&node, |peer| peer.node).ok()?;
        self.peers.get_mut(at)
    }

    pub fn is_linked(&self, node: NodeIx) -> bool {
        self.peers.binary_search_by_key(&node, |peer| peer.node).is_ok()
    }

    pub fn link(&mut self, node: NodeIx, is_outbound: bool) {
        if let Err(at) = self.peers.binary_search_by_key(&node, |peer| peer.node) {
            self.peers.insert(at, Peer { node, is_outbound, is_subscribed: false, backoff_us: 0 });
        }
    }

    pub fn unlink(&mut self, node: NodeIx) {
        self.peers.retain(|peer| peer.node != node);
        self.mesh.retain(|peer| *peer != node);
    }

    pub fn is_unwanted(&self, peer: NodeIx, message: MessageIx) -> bool {
        self.unwanted.iter().any(|of| of.contains(&(message, peer)))
    }

    pub fn holds(&self, message: MessageIx) -> bool {
        self.windows.iter().any(|window| window.contains(&message))
    }

    pub fn count_hops(&mut self, hops: u8) {
        let hops = f64::from(hops);
        self.hops = Some(self.hops.map_or(hops, |mean| mean + HOPS_WEIGHT * (hops - mean)));
    }

    /// The heartbeat's end: what is too old is forgotten.
    pub fn shift(&mut self) {
        self.is_settled = true;
        self.windows.rotate_right(1);
        self.windows[0].clear();
        self.unwanted.rotate_right(1);
        self.unwanted[0].clear();
    }

    pub fn memory_bytes(&self) -> u64 {
        let windows: usize = self.windows.iter().map(Vec::capacity).sum();
        let unwanted: usize = self.unwanted.iter().map(FxHashSet::capacity).sum();
        let bytes = size_of::<Self>()
            + self.peers.capacity() * size_of::<Peer>()
            + (self.mesh.capacity() + self.dialing.capacity()) * size_of::<NodeIx>()
            + windows * size_of::<MessageIx>()
            + unwanted * size_of::<(MessageIx, NodeIx)>()
            + self.seen.memory_bytes();
        bytes as u64
    }
}
