//! The tree of a demo, as the nodes themselves report it.

use std::collections::{BTreeMap, BTreeSet};

/// What one node is in the demo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Opened the room.
    Host,
    /// Speaks.
    Speaker,
    /// Listens.
    Listener,
}

/// One node and its feeds.
#[derive(Clone, Debug)]
struct Node {
    name: String,
    part: Part,
    parent: Option<String>,
    standby: Option<String>,
}

/// All nodes by peer id.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    nodes: BTreeMap<String, Node>,
}

impl Tree {
    /// Adds a node that has no feeds yet.
    pub fn add(&mut self, peer: &str, name: &str, part: Part) {
        let node = Node { name: name.to_owned(), part, parent: None, standby: None };
        self.nodes.insert(peer.to_owned(), node);
    }

    /// Notes a node's feeds.
    pub fn set_feeds(&mut self, peer: &str, parent: Option<String>, standby: Option<String>) {
        if let Some(node) = self.nodes.get_mut(peer) {
            (node.parent, node.standby) = (parent, standby);
        }
    }

    /// Takes out a node that has died.
    pub fn remove(&mut self, peer: &str) {
        self.nodes.remove(peer);
    }

    /// The name that the demo gave a node.
    pub fn name(&self, peer: &str) -> Option<&str> {
        self.nodes.get(peer).map(|node| node.name.as_str())
    }

    /// Nodes beside the host.
    pub fn members(&self) -> usize {
        self.nodes.values().filter(|node| node.part != Part::Host).count()
    }

    /// Members that have a parent.
    pub fn fed(&self) -> usize {
        self.nodes.values().filter(|node| node.parent.is_some()).count()
    }

    /// Members that have a standby.
    pub fn with_standby(&self) -> usize {
        self.nodes.values().filter(|node| node.standby.is_some()).count()
    }

    /// Listeners that have one.
    pub fn listeners_with_standby(&self) -> usize {
        self.nodes.values().filter(|node| node.part == Part::Listener && node.standby.is_some()).count()
    }

    /// Whom a node feeds as their parent.
    pub fn children<'a>(&'a self, peer: &'a str) -> impl Iterator<Item = &'a str> {
        self.nodes.iter().filter(move |(_, node)| node.parent.as_deref() == Some(peer)).map(|(peer, _)| peer.as_str())
    }

    /// Members other than the host that feed at least one other.
    pub fn relays(&self) -> usize {
        self.nodes.iter().filter(|(peer, node)| node.part != Part::Host && self.children(peer).next().is_some()).count()
    }

    /// All listeners whose feed comes through a node.
    pub fn listeners_below(&self, peer: &str) -> BTreeSet<String> {
        let mut below = BTreeSet::new();
        let mut left = vec![peer];
        while let Some(peer) = left.pop() {
            left.extend(self.children(peer).filter(|child| below.insert((*child).to_owned())));
        }
        below.retain(|peer| self.nodes.get(peer).is_some_and(|node| node.part == Part::Listener));
        below
    }

    /// Hops from the host to the member farthest from it; a member that nobody feeds does not count.
    pub fn depth_max(&self) -> usize {
        let roots = self.nodes.iter().filter(|(_, node)| node.part == Part::Host).map(|(peer, _)| peer.as_str());
        let mut level: Vec<&str> = roots.collect();
        let mut depth = 0;
        // A tree of n nodes has less than n levels, so a cycle in stale reports cannot hold this up.
        for hops in 1..=self.nodes.len() {
            level = level.iter().flat_map(|peer| self.children(peer)).collect();
            if level.is_empty() {
                break;
            }
            depth = hops;
        }
        depth
    }

    /// The listener to kill: it feeds others, and has the most listeners below it.
    pub fn victim(&self) -> Option<&str> {
        let listeners = self.nodes.iter().filter(|(_, node)| node.part == Part::Listener);
        listeners
            .map(|(peer, _)| (self.listeners_below(peer).len(), peer.as_str()))
            .filter(|(below, _)| *below > 0)
            .max_by_key(|(below, peer)| (*below, std::cmp::Reverse(*peer)))
            .map(|(_, peer)| peer)
    }

    /// The tree as lines of text, the host first, standbys behind the names.
    pub fn render(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut seen = BTreeSet::new();
        for (peer, node) in self.nodes.iter().filter(|(_, node)| node.part == Part::Host) {
            lines.push(node.name.clone());
            seen.insert(peer.as_str());
            self.render_below(peer, "", &mut seen, &mut lines);
        }
        let lost = self.nodes.iter().filter(|(peer, _)| !seen.contains(peer.as_str()));
        lines.extend(lost.map(|(_, node)| format!("({} has no feed yet)", node.name)));
        lines
    }

    fn render_below<'a>(&'a self, peer: &'a str, indent: &str, seen: &mut BTreeSet<&'a str>, lines: &mut Vec<String>) {
        let mut children: Vec<(&String, &Node)> =
            self.nodes.iter().filter(|(_, node)| node.parent.as_deref() == Some(peer)).collect();
        children.sort_by(|a, b| a.1.name.cmp(&b.1.name));
        let last = children.len().saturating_sub(1);
        for (at, (child, node)) in children.into_iter().enumerate() {
            if !seen.insert(child) {
                continue;
            }
            let (branch, below) = if at == last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            let speaks = if node.part == Part::Speaker { ", speaks" } else { "" };
            let standby = node.standby.as_deref().and_then(|peer| self.name(peer));
            let standby = standby.map(|name| format!("  (standby: {name})")).unwrap_or_default();
            lines.push(format!("{indent}{branch}{}{speaks}{standby}", node.name));
            self.render_below(child, &format!("{indent}{below}"), seen, lines);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// host - speaker, a; a - b, c; c - d.
    fn tree() -> Tree {
        let mut tree = Tree::default();
        tree.add("H", "host", Part::Host);
        for (peer, part, parent) in [
            ("S", Part::Speaker, "H"),
            ("A", Part::Listener, "H"),
            ("B", Part::Listener, "A"),
            ("C", Part::Listener, "A"),
            ("D", Part::Listener, "C"),
        ] {
            tree.add(peer, &format!("node-{}", peer.to_lowercase()), part);
            tree.set_feeds(peer, Some(parent.to_owned()), Some("H".to_owned()));
        }
        tree
    }

    #[test]
    fn a_tree_knows_its_shape() {
        let tree = tree();
        assert_eq!((tree.members(), tree.fed(), tree.relays(), tree.depth_max()), (5, 5, 2, 3));
        assert_eq!(tree.listeners_below("A").into_iter().collect::<Vec<_>>(), ["B", "C", "D"]);
        assert_eq!(tree.children("A").collect::<Vec<_>>(), ["B", "C"]);
    }

    #[test]
    fn the_listener_with_most_below_it_is_the_one_to_kill() {
        let mut tree = tree();
        assert_eq!(tree.victim(), Some("A"));
        tree.remove("A");
        assert_eq!(tree.victim(), Some("C"), "its children have lost their parent and are below nobody");
        tree.set_feeds("D", Some("S".to_owned()), None);
        assert_eq!(tree.victim(), None, "a speaker is never killed");
    }

    #[test]
    fn a_tree_is_drawn_from_the_host_down() {
        assert_eq!(
            tree().render(),
            [
                "host",
                "├─ node-a  (standby: host)",
                "│  ├─ node-b  (standby: host)",
                "│  └─ node-c  (standby: host)",
                "│     └─ node-d  (standby: host)",
                "└─ node-s, speaks  (standby: host)",
            ]
        );
    }

    #[test]
    fn stale_reports_that_form_a_cycle_do_no_harm() {
        let mut tree = tree();
        tree.set_feeds("A", Some("D".to_owned()), None);
        assert_eq!(tree.depth_max(), 1);
        assert_eq!(tree.listeners_below("A").len(), 4);
        assert!(tree.render().iter().any(|line| line.contains("no feed")));
    }
}
