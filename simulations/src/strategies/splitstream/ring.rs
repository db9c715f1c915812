//! What Pastry gives: identifiers, the way from a node towards a stripe, and who is nearest to a key.
//!
//! An oracle in place of routing tables: A. Rowstron, P. Druschel, "Pastry", Middleware 2001. A hop of prefix routing leads to a
//! node that shares one digit more with the key. Which of these a routing table holds is drawn at random here, or, with locality,
//! is the nearest of [`DRAWS`] drawn.

use rand::RngExt;

use crate::{
    plan::NodeIx,
    random::{Rng, mix},
};

/// Nodes that are drawn for one place in a routing table.
pub(super) const DRAWS: usize = 16;
/// Values of a digit after the first, which has as many as there are stripes.
const DIGITS: u128 = 16;
/// Digits that are compared at most: no two of a million nodes share as many.
const LEVELS: u32 = 12;

/// The nodes that can route and be interior, by their identifiers.
#[derive(Clone, Debug, Default)]
pub(super) struct Ring {
    nodes: Vec<(u64, NodeIx)>,
    /// The identifier of each stripe.
    keys: Vec<u64>,
    seed: u64,
}

impl Ring {
    pub fn new(stripes: u8, seed: u64) -> Self {
        let width = (1_u128 << 64) / u128::from(stripes.max(1));
        let key = |stripe: u8| (u128::from(stripe) * width + u128::from(mix(seed ^ u64::from(stripe))) % width) as u64;
        Ring { nodes: Vec::new(), keys: (0..stripes.max(1)).map(key).collect(), seed }
    }

    pub fn id(&self, node: NodeIx) -> u64 {
        mix(mix(u64::from(node.0)) ^ self.seed)
    }

    pub fn insert(&mut self, node: NodeIx) {
        let entry = (self.id(node), node);
        if let Err(at) = self.nodes.binary_search(&entry) {
            self.nodes.insert(at, entry);
        }
    }

    pub fn remove(&mut self, node: NodeIx) {
        if let Ok(at) = self.nodes.binary_search(&(self.id(node), node)) {
            self.nodes.remove(at);
        }
    }

    /// Identifiers that share so many digits with a stripe: from and to, the end not included.
    fn range(&self, stripe: u8, digits: u32) -> (u128, u128) {
        let key = u128::from(self.keys[usize::from(stripe)]);
        let (mut from, mut width) = (0, 1_u128 << 64);
        for digit in 0..digits {
            width /= if digit == 0 { self.keys.len() as u128 } else { DIGITS };
            from += (key - from) / width.max(1) * width;
        }
        (from, from + width)
    }

    /// Digits that a node shares with a stripe.
    pub fn shared(&self, node: NodeIx, stripe: u8) -> u32 {
        let id = u128::from(self.id(node));
        let shares = |digits: &u32| {
            let (from, to) = self.range(stripe, *digits);
            (from..to).contains(&id)
        };
        (1..=LEVELS).take_while(shares).last().unwrap_or(0)
    }

    /// The node whose identifier is nearest to a stripe's: its root.
    pub fn nearest(&self, stripe: u8) -> Option<NodeIx> {
        let key = self.keys[usize::from(stripe)];
        let at = self.nodes.partition_point(|(id, _)| *id < key);
        let before = at.checked_sub(1).and_then(|at| self.nodes.get(at));
        [before, self.nodes.get(at)].into_iter().flatten().min_by_key(|(id, _)| id.abs_diff(key)).map(|(_, node)| *node)
    }

    /// Nodes that a node's routing table may hold as the next hop towards a stripe; none where it knows none that is nearer.
    pub fn next_hops(&self, node: NodeIx, stripe: u8, rng: &mut Rng) -> Vec<NodeIx> {
        let (from, to) = self.range(stripe, self.shared(node, stripe) + 1);
        let start = self.nodes.partition_point(|(id, _)| u128::from(*id) < from);
        let end = self.nodes.partition_point(|(id, _)| u128::from(*id) < to);
        if start == end {
            return Vec::new();
        }
        (0..DRAWS).map(|_| self.nodes[rng.random_range(start..end)].1).filter(|hop| *hop != node).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    #[test]
    fn each_hop_shares_a_digit_more_and_the_last_is_the_root() {
        let mut ring = Ring::new(16, 3);
        (0..5000).map(NodeIx).for_each(|node| ring.insert(node));
        let mut rng = Stream::Strategy.rng(1);
        for node in (0..5000).step_by(97).map(NodeIx) {
            for stripe in 0..16 {
                let mut at = node;
                let mut hops = 0;
                while let Some(next) = ring.next_hops(at, stripe, &mut rng).first().copied() {
                    assert!(ring.shared(next, stripe) > ring.shared(at, stripe));
                    at = next;
                    hops += 1;
                }
                // The logarithm of 5,000 to the base 16 is 3.1.
                assert!(hops <= 5, "{hops} hops");
            }
        }
        let root = ring.nearest(7).expect("there are nodes");
        ring.remove(root);
        assert_ne!(ring.nearest(7), Some(root));
    }
}
