//! The tree of a small room as a picture: the host in the middle, a ring for each depth.

use std::{collections::BTreeMap, fmt::Write};

use crate::results::{ResultsError, Run};

/// Rooms of more members are not drawn.
pub const MEMBERS_MAX: usize = 300;
const SIZE: f64 = 300.0;

/// Who feeds whom, as drawn: each member's angle in turns, and its depth.
struct Layout {
    children: BTreeMap<u32, Vec<u32>>,
    places: BTreeMap<u32, (f64, f64)>,
    deepest: f64,
}

impl Layout {
    /// Places all that hang on the host. Each subtree takes its share of the circle by its leaves (the radial layout of Eades,
    /// "Drawing free trees", 1992).
    fn of(edges: impl Iterator<Item = (u32, u32)>) -> Self {
        let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for (node, parent) in edges {
            children.entry(parent).or_default().push(node);
        }
        // Each member has one parent, so what is reached from the host is a tree, and what is not is left out.
        let mut order = vec![0];
        let mut next = 0;
        while let Some(node) = order.get(next).copied() {
            order.extend(children.get(&node).into_iter().flatten());
            next += 1;
        }
        let mut leaves: BTreeMap<u32, f64> = BTreeMap::new();
        for node in order.iter().rev() {
            let below = children.get(node).into_iter().flatten().filter_map(|child| leaves.get(child)).sum::<f64>();
            leaves.insert(*node, below.max(1.0));
        }
        let mut spans = BTreeMap::from([(0, (0.0, 1.0, 0.0))]);
        let (mut places, mut deepest) = (BTreeMap::new(), 1.0_f64);
        for node in &order {
            let Some((from, until, depth)) = spans.get(node).copied() else { continue };
            places.insert(*node, ((from + until) / 2.0, depth));
            deepest = deepest.max(depth);
            let mut at: f64 = from;
            let share = (until - from) / leaves.get(node).copied().unwrap_or(1.0);
            for child in children.get(node).into_iter().flatten() {
                let end = at + share * leaves.get(child).copied().unwrap_or(1.0);
                spans.insert(*child, (at, end, depth + 1.0));
                at = end;
            }
        }
        Layout { children, places, deepest }
    }

    fn point(&self, node: u32) -> Option<(f64, f64)> {
        let (turn, depth) = self.places.get(&node).copied()?;
        let radius = depth / self.deepest * (SIZE / 2.0 - 12.0);
        let (sin, cos) = (turn * std::f64::consts::TAU).sin_cos();
        Some((SIZE / 2.0 + radius * sin, SIZE / 2.0 - radius * cos))
    }

    fn svg(&self, colour: usize) -> String {
        let mut out = format!("<svg viewBox=\"0 0 {SIZE} {SIZE}\" role=\"img\" aria-label=\"the tree\">");
        let half = SIZE / 2.0;
        // Writing to a String cannot fail.
        for ring in 1..=self.deepest as u32 {
            let radius = f64::from(ring) / self.deepest * (half - 12.0);
            let _ = write!(out, "<circle class=\"ring\" cx=\"{half}\" cy=\"{half}\" r=\"{radius:.1}\"/>");
        }
        for (parent, children) in &self.children {
            let Some((x, y)) = self.point(*parent) else { continue };
            for (to_x, to_y) in children.iter().filter_map(|child| self.point(*child)) {
                let _ = write!(out, "<path class=\"edge c{colour}\" d=\"M{x:.1} {y:.1}L{to_x:.1} {to_y:.1}\"/>");
            }
        }
        for node in self.places.keys() {
            let Some((x, y)) = self.point(*node) else { continue };
            let feeds = self.children.get(node).map_or(0, Vec::len);
            let radius = if *node == 0 { 6.0 } else { 1.8 + (feeds as f64).sqrt() * 0.8 };
            let class = if *node == 0 { "host" } else { "node" };
            let name = if *node == 0 { "host".to_owned() } else { format!("member {node}") };
            let _ = write!(out, "<circle class=\"{class} c{colour}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius:.1}\">");
            let _ = write!(out, "<title>{name}, feeds {feeds}</title></circle>");
        }
        out.push_str("</svg>");
        out
    }
}

/// The tree at the end of a run; none where there is none or it is too large to be seen.
pub fn picture(run: &Run, colour: usize) -> Result<Option<String>, ResultsError> {
    let [nodes, parents] = run.tree(["node", "parent"])?;
    if nodes.is_empty() || nodes.len() > MEMBERS_MAX {
        return Ok(None);
    }
    let edges = nodes
        .iter()
        .zip(&parents)
        .filter(|(node, _)| **node > 0.0)
        .map(|(node, parent)| (*node as u32, *parent as u32));
    Ok(Some(Layout::of(edges).svg(colour)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subtrees_share_the_circle_by_their_leaves_and_a_loop_is_left_out() {
        // The host feeds 1 and 2; 1 feeds 3, 4 and 5; 8 and 9 feed each other.
        let layout = Layout::of([(1, 0), (2, 0), (3, 1), (4, 1), (5, 1), (8, 9), (9, 8)].into_iter());
        assert_eq!(layout.places.keys().copied().collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
        assert_eq!(layout.places[&1], (0.375, 1.0), "three of four leaves");
        assert_eq!(layout.places[&2], (0.875, 1.0));
        assert_eq!(layout.deepest, 2.0);
        let svg = layout.svg(0);
        assert_eq!(svg.matches("class=\"edge").count(), 5);
        assert!(svg.contains("<title>member 1, feeds 3</title>"));
    }
}
