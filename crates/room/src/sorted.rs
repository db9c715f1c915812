//! A map for the few, and sometimes for the many: links, children, speakers.
//!
//! A sorted vector. Most rooms have three links and no child, where a B-tree's first node has space for eleven; a lookup is
//! a binary search, and a walk goes in the order of ids, so that a run is the same each time. A host whom thousands call at
//! once has a B-tree instead: an insertion into a vector moves half of it.

use std::collections::BTreeMap;

use treehouse_wire::NodeId;

/// Up to this many entries no space is kept for more.
const EXACT: usize = 8;
/// Past this many entries they are in a tree, and below the other in a vector again.
const MANY: usize = 256;
const FEW: usize = 64;

/// Values by node, in the order of ids.
#[derive(Debug)]
pub(crate) enum Sorted<V> {
    Few(Vec<(NodeId, V)>),
    #[expect(clippy::box_collection, reason = "a vector's size is what most of these have to spare")]
    Many(Box<BTreeMap<NodeId, V>>),
}

impl<V> Default for Sorted<V> {
    fn default() -> Self {
        Sorted::Few(Vec::new())
    }
}

fn find<V>(few: &[(NodeId, V)], node: &NodeId) -> Result<usize, usize> {
    // Keys are as good as random: their first eight bytes tell almost always, and fit a register.
    let wanted = prefix(node);
    few.binary_search_by(|(of, _)| prefix(of).cmp(&wanted).then_with(|| of.cmp(node)))
}

impl<V> Sorted<V> {
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Sorted::Few(few) => few.len(),
            Sorted::Many(many) => many.len(),
        }
    }

    pub(crate) fn contains(&self, node: &NodeId) -> bool {
        self.get(node).is_some()
    }

    pub(crate) fn get(&self, node: &NodeId) -> Option<&V> {
        match self {
            Sorted::Few(few) => find(few, node).ok().and_then(|at| few.get(at)).map(|(_, value)| value),
            Sorted::Many(many) => many.get(node),
        }
    }

    pub(crate) fn get_mut(&mut self, node: &NodeId) -> Option<&mut V> {
        match self {
            Sorted::Few(few) => find(few, node).ok().and_then(|at| few.get_mut(at)).map(|(_, value)| value),
            Sorted::Many(many) => many.get_mut(node),
        }
    }

    /// Sets a value, whatever it was before.
    pub(crate) fn insert(&mut self, node: NodeId, value: V) {
        match self {
            Sorted::Few(few) => match find(few, &node) {
                Ok(at) => few[at].1 = value,
                Err(at) => {
                    if few.len() < EXACT {
                        few.reserve_exact(1);
                    }
                    few.insert(at, (node, value));
                    if few.len() > MANY {
                        *self = Sorted::Many(Box::new(core::mem::take(few).into_iter().collect()));
                    }
                }
            },
            Sorted::Many(many) => {
                many.insert(node, value);
            }
        }
    }

    pub(crate) fn remove(&mut self, node: &NodeId) -> Option<V> {
        let value = match self {
            Sorted::Few(few) => find(few, node).ok().map(|at| few.remove(at).1),
            Sorted::Many(many) => many.remove(node),
        };
        self.shrink();
        value
    }

    pub(crate) fn retain(&mut self, keep: impl Fn(&NodeId, &V) -> bool) {
        match self {
            Sorted::Few(few) => few.retain(|(node, value)| keep(node, value)),
            Sorted::Many(many) => many.retain(|node, value| keep(node, value)),
        }
        self.shrink();
    }

    fn shrink(&mut self) {
        match self {
            Sorted::Few(few) if few.len() < EXACT => few.shrink_to_fit(),
            Sorted::Few(few) if few.capacity() > few.len() * 4 => few.shrink_to(few.len() * 2),
            Sorted::Many(many) if many.len() < FEW => {
                *self = Sorted::Few(core::mem::take(many.as_mut()).into_iter().collect());
            }
            Sorted::Few(_) | Sorted::Many(_) => {}
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&NodeId, &V)> {
        let (few, many) = match self {
            Sorted::Few(few) => (few.as_slice(), None),
            Sorted::Many(many) => (&[][..], Some(many.iter())),
        };
        few.iter().map(|(node, value)| (node, value)).chain(many.into_iter().flatten())
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.iter().map(|(node, _)| *node)
    }
}

/// The first bytes of an id as a number that sorts as they do.
fn prefix(NodeId([a, b, c, d, e, f, g, h, ..]): &NodeId) -> u64 {
    u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against the standard library's map; with few entries, and with so many that it is one.
        #[test]
        fn it_is_a_map(most in prop::sample::select(vec![20_u16, 500]), steps in steps()) {
            let (mut sorted, mut map) = (Sorted::default(), BTreeMap::new());
            for (node, value) in steps {
                let mut id = [7; 32];
                id[..2].copy_from_slice(&(node % most).to_be_bytes());
                let node = NodeId(id);
                match value {
                    Some(value) => {
                        sorted.insert(node, value);
                        map.insert(node, value);
                    }
                    None => prop_assert_eq!(sorted.remove(&node), map.remove(&node)),
                }
                prop_assert_eq!(sorted.get(&node), map.get(&node));
                prop_assert!(sorted.iter().eq(map.iter()));
                let exact = matches!(&sorted, Sorted::Few(few) if few.capacity() == few.len());
                prop_assert!(sorted.len() >= EXACT || exact);
            }
            sorted.retain(|_, value| *value == 0);
            map.retain(|_, value| *value == 0);
            prop_assert!(sorted.iter().eq(map.iter()));
        }
    }

    /// Fills up, and empties again.
    fn steps() -> impl Strategy<Value = Vec<(u16, Option<u32>)>> {
        let fill = prop::collection::vec((0_u16..500, (0_u32..9).prop_map(Some)), 0..800);
        let empty = prop::collection::vec((0_u16..500, prop::option::weighted(0.2, 0_u32..9)), 0..1500);
        (fill, empty).prop_map(|(fill, empty)| fill.into_iter().chain(empty).collect())
    }
}
