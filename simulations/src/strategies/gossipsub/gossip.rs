//! Gossip: IHAVE at each heartbeat, IWANT for what is missing.

use std::sync::Arc;

use rand::seq::SliceRandom;

use super::{FORWARD_US, GossipSub, GossipTargets, ID_BYTES, Message, TOPIC_BYTES};
use crate::{engine::Net, plan::NodeIx, strategies::messages::MessageIx, strategy::Class};

/// Message ids in one IHAVE at most; `GossipSubMaxIHaveLength` of go-libp2p-pubsub.
const IHAVE_MAX: usize = 5000;

impl GossipSub {
    /// Tells peers outside the mesh what came in the last heartbeats.
    pub(super) fn gossip(&mut self, net: &mut Net<Self>, node: NodeIx) {
        let of = &self.nodes[node.index()];
        let recent = of.windows.iter().take(self.settings.mcache_gossip).flatten().copied();
        let recent: Arc<[MessageIx]> = recent.take(IHAVE_MAX).collect();
        if recent.is_empty() {
            return;
        }
        let others = of.peers.iter().filter(|peer| peer.is_subscribed).map(|peer| peer.node);
        let mut others: Vec<NodeIx> = others.filter(|peer| !of.mesh.contains(peer)).collect();
        let share = (self.settings.gossip_factor * others.len() as f64) as usize;
        let count = self.settings.d_lazy.max(share).min(others.len());
        let targets = match self.settings.gossip_targets {
            GossipTargets::Random => others.partial_shuffle(&mut net.rng, count).0,
            GossipTargets::First => &mut others[..count],
        };
        let bytes = TOPIC_BYTES + recent.len() as u32 * ID_BYTES;
        for peer in targets {
            Self::control(net, node, *peer, bytes, Message::IHave(Arc::clone(&recent)));
        }
    }

    /// A peer has these: ask for those that are new.
    pub(super) fn ihave(&mut self, net: &mut Net<Self>, node: NodeIx, from: NodeIx, messages: &[MessageIx]) {
        let of = &self.nodes[node.index()];
        let missing: Box<[MessageIx]> =
            messages.iter().copied().filter(|of_peer| !of.seen.contains(*of_peer)).collect();
        if !missing.is_empty() {
            net.count("gossipsub_iwant_ids", missing.len() as u64);
            Self::control(net, node, from, missing.len() as u32 * ID_BYTES, Message::IWant(missing));
        }
    }

    /// A peer asks for these: send those that are still there.
    pub(super) fn iwant(&mut self, net: &mut Net<Self>, node: NodeIx, from: NodeIx, messages: &[MessageIx]) {
        let class = Class::Media { lane: 0, deadline_us: FORWARD_US };
        for message in messages {
            let of = &self.nodes[node.index()];
            if of.holds(*message) && !of.is_unwanted(from, *message) {
                let hops = of.hops.unwrap_or(0.0) as u8;
                net.send(node, from, self.message_bytes, class, Message::Publish(*message, hops.saturating_add(1)));
            }
        }
    }
}
