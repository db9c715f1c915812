//! A map for the few: links, children, speakers.
//!
//! A sorted vector. Most rooms have three links and no child, where a B-tree's first node has space for eleven; a lookup is
//! a binary search, and a walk goes in the order of ids, so that a run is the same each time.

use treehouse_wire::NodeId;

/// Up to this many entries no space is kept for more.
const EXACT: usize = 8;

/// Values by node, in the order of ids.
#[derive(Debug)]
pub(crate) struct Sorted<V>(Vec<(NodeId, V)>);

impl<V> Default for Sorted<V> {
    fn default() -> Self {
        Sorted(Vec::new())
    }
}

impl<V> Sorted<V> {
    fn find(&self, node: &NodeId) -> Result<usize, usize> {
        // Keys are as good as random: their first eight bytes tell almost always, and fit a register.
        let wanted = prefix(node);
        self.0.binary_search_by(|(of, _)| prefix(of).cmp(&wanted).then_with(|| of.cmp(node)))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn contains(&self, node: &NodeId) -> bool {
        self.find(node).is_ok()
    }

    pub(crate) fn get(&self, node: &NodeId) -> Option<&V> {
        self.find(node).ok().and_then(|at| self.0.get(at)).map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, node: &NodeId) -> Option<&mut V> {
        self.find(node).ok().and_then(|at| self.0.get_mut(at)).map(|(_, value)| value)
    }

    /// Sets a value, whatever it was before.
    pub(crate) fn insert(&mut self, node: NodeId, value: V) {
        match self.find(&node) {
            Ok(at) => self.0[at].1 = value,
            Err(at) => {
                if self.0.len() < EXACT {
                    self.0.reserve_exact(1);
                }
                self.0.insert(at, (node, value));
            }
        }
    }

    pub(crate) fn remove(&mut self, node: &NodeId) -> Option<V> {
        let (_, value) = self.0.remove(self.find(node).ok()?);
        self.shrink();
        Some(value)
    }

    pub(crate) fn retain(&mut self, keep: impl Fn(&NodeId, &V) -> bool) {
        self.0.retain(|(node, value)| keep(node, value));
        self.shrink();
    }

    fn shrink(&mut self) {
        if self.0.len() < EXACT {
            self.0.shrink_to_fit();
        } else if self.0.capacity() > self.0.len() * 4 {
            self.0.shrink_to(self.0.len() * 2);
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&NodeId, &V)> {
        self.0.iter().map(|(node, value)| (node, value))
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.0.iter().map(|(node, _)| *node)
    }
}

/// The first bytes of an id as a number that sorts as they do.
fn prefix(NodeId([a, b, c, d, e, f, g, h, ..]): &NodeId) -> u64 {
    u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against the standard library's map.
        #[test]
        fn a_sorted_vector_is_a_map(steps in prop::collection::vec((0_u8..20, prop::option::of(0_u32..9)), 0..200)) {
            let (mut sorted, mut map) = (Sorted::default(), BTreeMap::new());
            for (node, value) in steps {
                let node = NodeId([node; 32]);
                match value {
                    Some(value) => {
                        sorted.insert(node, value);
                        map.insert(node, value);
                    }
                    None => prop_assert_eq!(sorted.remove(&node), map.remove(&node)),
                }
                prop_assert_eq!(sorted.get(&node), map.get(&node));
                prop_assert!(sorted.iter().eq(map.iter()));
                prop_assert!(sorted.len() >= EXACT || sorted.0.capacity() == sorted.len());
            }
        }
    }
}
