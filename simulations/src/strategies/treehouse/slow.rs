//! One that takes slowly what comes. What its neighbours send waits for it; of what does not fit into the windows of its streams they
//! drop packets, and see that they do.

use std::collections::{BTreeMap, VecDeque};

use treehouse_hostile::Behaviour;
use treehouse_wire::Suite;

use super::{Message, Timer, Treehouse};
use crate::{
    engine::Net,
    plan::{Hostile, NodeIx},
    strategy::Strategy,
};

/// One thing is taken in this, as by the hostile node that speaks libp2p.
const TAKES_US: u64 = 200_000;
/// Things that wait: four lanes of 8 KiB hold so many packets of three frames.
const WAITING_MAX: usize = 92;

/// What has come to one that is slow.
#[derive(Debug, Default)]
pub(super) struct Slow {
    waiting: VecDeque<(NodeIx, Message)>,
    /// Packets that a neighbour has dropped since it was last told.
    dropped: BTreeMap<NodeIx, u32>,
}

impl<S: Suite> Treehouse<S> {
    /// Puts by what comes to one that is slow; returns it where a node is not.
    pub(super) fn put_by(
        &mut self,
        net: &mut Net<Self>,
        node: NodeIx,
        from: NodeIx,
        message: Message,
    ) -> Option<Message> {
        if net.plan().nodes[node.index()].hostile != Some(Hostile::Twist(Behaviour::SlowReader)) {
            return Some(message);
        }
        let slow = self.slow.entry(node).or_default();
        if slow.waiting.len() >= WAITING_MAX && matches!(message, Message::Media(_)) {
            *slow.dropped.entry(from).or_default() += 1;
            return None;
        }
        if slow.waiting.is_empty() {
            net.timer(node, net.now_us() + TAKES_US, Timer::Take);
        }
        slow.waiting.push_back((from, message));
        None
    }

    /// It takes one thing.
    pub(super) fn take(&mut self, net: &mut Net<Self>, node: NodeIx) {
        let Some(slow) = self.slow.get_mut(&node) else { return };
        let (taken, dropped) = (slow.waiting.pop_front(), std::mem::take(&mut slow.dropped));
        if !slow.waiting.is_empty() {
            net.timer(node, net.now_us() + TAKES_US, Timer::Take);
        }
        for (neighbour, packets) in dropped {
            self.dropped(net, neighbour, node, packets);
        }
        if let Some((from, message)) = taken {
            self.hear(net, node, from, message);
        }
    }
}
