//! The mesh: grafting, pruning, backoff and peer exchange.

use rand::seq::SliceRandom;

use super::{GossipSub, Message, PEER_BYTES, TOPIC_BYTES, node::Peer};
use crate::{engine::Net, plan::NodeIx};

/// A PRUNE's backoff field.
const BACKOFF_BYTES: u32 = 3;

impl GossipSub {
    /// A peer is interested in the topic.
    pub(super) fn subscribed(&mut self, net: &mut Net<Self>, node: NodeIx, peer: NodeIx) {
        let of = &mut self.nodes[node.index()];
        let Some(link) = of.peer(peer) else { return };
        link.is_subscribed = true;
        if self.settings.graft_on_join && !of.is_settled && of.mesh.len() < self.settings.d {
            self.graft(net, node, peer);
        }
    }

    /// The heartbeat's care for the mesh.
    pub(super) fn maintain(&mut self, net: &mut Net<Self>, node: NodeIx) {
        let (d, d_lo, d_hi, d_out) = (self.settings.d, self.settings.d_lo, self.settings.d_hi, self.settings.d_out);
        let count = self.nodes[node.index()].mesh.len();
        if count < d_lo {
            self.graft_some(net, node, d - count, |_| true);
        }
        if count > d_hi {
            self.prune_some(net, node);
        }
        let outbound = self.outbound(node);
        let count = self.nodes[node.index()].mesh.len();
        if count >= d_lo && outbound < d_out {
            self.graft_some(net, node, d_out - outbound, |peer| peer.is_outbound);
        }
    }

    fn outbound(&self, node: NodeIx) -> usize {
        let of = &self.nodes[node.index()];
        of.peers.iter().filter(|peer| peer.is_outbound && of.mesh.contains(&peer.node)).count()
    }

    fn graft_some(&mut self, net: &mut Net<Self>, node: NodeIx, count: usize, which: impl Fn(&Peer) -> bool) {
        let now_us = net.now_us();
        let of = &self.nodes[node.index()];
        let may = |peer: &&Peer| peer.is_subscribed && peer.backoff_us <= now_us && which(peer);
        let peers = of.peers.iter().filter(may).map(|peer| peer.node);
        let mut peers: Vec<NodeIx> = peers.filter(|peer| !of.mesh.contains(peer)).collect();
        let (chosen, _) = peers.partial_shuffle(&mut net.rng, count);
        for peer in chosen {
            self.graft(net, node, *peer);
        }
    }

    fn graft(&mut self, net: &mut Net<Self>, node: NodeIx, peer: NodeIx) {
        let mesh = &mut self.nodes[node.index()].mesh;
        if !mesh.contains(&peer) {
            mesh.push(peer);
            Self::control(net, node, peer, TOPIC_BYTES, Message::Graft);
        }
    }

    /// Keeps D of the mesh: D_out that this node connected to, the others at random.
    fn prune_some(&mut self, net: &mut Net<Self>, node: NodeIx) {
        let (d, d_out) = (self.settings.d, self.settings.d_out);
        let of = &self.nodes[node.index()];
        let mut mesh = of.mesh.clone();
        mesh.shuffle(&mut net.rng);
        let is_outbound = |node: &NodeIx| of.peers.iter().any(|peer| peer.node == *node && peer.is_outbound);
        // Those first that must stay.
        let (mut kept, rest): (Vec<NodeIx>, Vec<NodeIx>) = mesh.into_iter().partition(is_outbound);
        let spare = kept.split_off(d_out.min(kept.len()));
        let mut rest = [spare, rest].concat();
        rest.shuffle(&mut net.rng);
        for peer in rest.split_off(d.saturating_sub(kept.len()).min(rest.len())) {
            self.nodes[node.index()].mesh.retain(|of| *of != peer);
            self.send_prune(net, node, peer);
        }
    }

    fn send_prune(&mut self, net: &mut Net<Self>, node: NodeIx, peer: NodeIx) {
        self.back_off(net.now_us(), node, peer);
        let of = &self.nodes[node.index()];
        let mut others: Vec<NodeIx> = of.peers.iter().map(|of| of.node).filter(|of| *of != peer).collect();
        let (chosen, _) = others.partial_shuffle(&mut net.rng, self.settings.prune_peers);
        let bytes = TOPIC_BYTES + BACKOFF_BYTES + chosen.len() as u32 * PEER_BYTES;
        let message = Message::Prune((&*chosen).into());
        Self::control(net, node, peer, bytes, message);
    }

    fn back_off(&mut self, now_us: u64, node: NodeIx, peer: NodeIx) {
        if let Some(link) = self.nodes[node.index()].peer(peer) {
            link.backoff_us = now_us + self.settings.prune_backoff_s * 1_000_000;
        }
    }

    /// A peer has this node in its mesh.
    pub(super) fn grafted(&mut self, net: &mut Net<Self>, node: NodeIx, peer: NodeIx) {
        let now_us = net.now_us();
        let of = &mut self.nodes[node.index()];
        let is_full = of.mesh.len() >= self.settings.d_hi;
        let Some(link) = of.peer(peer) else { return };
        if link.backoff_us > now_us || is_full && !link.is_outbound {
            return self.send_prune(net, node, peer);
        }
        if !of.mesh.contains(&peer) {
            of.mesh.push(peer);
        }
    }

    /// A peer no longer has this node in its mesh. It connects to as many of the peers it is told of as its own mesh lacks.
    pub(super) fn pruned(&mut self, net: &mut Net<Self>, node: NodeIx, from: NodeIx, peers: &[NodeIx]) {
        self.back_off(net.now_us(), node, from);
        let of = &mut self.nodes[node.index()];
        of.mesh.retain(|peer| *peer != from);
        let missing = self.settings.d.saturating_sub(of.mesh.len() + of.dialing.len());
        let fresh = peers.iter().filter(|peer| **peer != node && !of.is_linked(**peer) && !of.dialing.contains(*peer));
        let fresh: Vec<NodeIx> = fresh.copied().take(missing).collect();
        of.dialing.extend(&fresh);
        for peer in fresh {
            net.connect(node, peer);
        }
    }
}
