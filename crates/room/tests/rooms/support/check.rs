//! What must hold after each step.

use std::{collections::BTreeSet, time::Duration};

use treehouse_room::{Event, View};
use treehouse_wire::{NodeId, Suite, control::Purpose};

use super::{Ix, World};

impl<S: Suite> World<S> {
    /// A node's place in the tree as of its last step; a crashed node has none.
    fn view_of(&self, node: &NodeId) -> Option<&View> {
        self.nodes[*self.index.get(node)?].view.as_ref()
    }

    /// Whether both ends agree that `parent` feeds `child`.
    fn feeds(&self, parent: &NodeId, child: &NodeId) -> bool {
        self.view_of(parent).is_some_and(|view| view.children.iter().any(|(node, _)| node == child))
    }

    /// Checks the node that has just done something, if that changed its place in the tree.
    pub fn check_step(&mut self, ix: Ix) {
        let view = self.nodes[ix].room.as_ref().map(|room| room.view());
        if view != self.nodes[ix].view {
            self.nodes[ix].view = view;
            self.check_place(ix);
        }
    }

    fn check_place(&self, ix: Ix) {
        let Some(view) = &self.nodes[ix].view else { return };
        let slots =
            view.children.iter().filter(|(_, purpose)| matches!(purpose, Purpose::Primary | Purpose::LiveStandby));
        let slots = slots.count() - view.making_way;
        assert!(slots <= usize::from(view.children_max), "node {ix} gives more feeds than it may: {view:?}");
        if view.children.is_empty() {
            return;
        }
        for feed in view.feeds.iter().filter(|feed| self.feeds(&feed.node, &view.node)) {
            let actual = self.view_of(&feed.node).map(|view| view.rank);
            assert!(
                actual.is_some_and(|rank| rank < view.rank),
                "relay {ix} of rank {:?} has a feed of rank {actual:?}",
                view.rank
            );
        }
        self.check_no_cycle(view);
    }

    fn check_no_cycle(&self, start: &View) {
        let (mut open, mut seen) = (vec![start], BTreeSet::new());
        while let Some(view) = open.pop() {
            for feed in view.feeds.iter().filter(|feed| self.feeds(&feed.node, &view.node)) {
                assert_ne!(feed.node, start.node, "feeds form a cycle");
                if seen.insert(feed.node) {
                    open.extend(self.view_of(&feed.node));
                }
            }
        }
    }

    /// Checks everyone: honest members are never accused, and nobody is without a feed for too long.
    pub fn check_all(&mut self) {
        let now = self.now;
        for ix in 0..self.nodes.len() {
            for (_, event) in self.nodes[ix].events.iter().rev().take(4) {
                let honest = |peer: &NodeId| !self.hostile.contains(peer) && !self.hostile.contains(&self.nodes[ix].id);
                let accuses = matches!(event, Event::Offence { peer, .. } if honest(peer));
                assert!(!accuses, "node {ix} accuses an honest peer: {event:?}");
            }
            if self.is_covered(ix) {
                self.nodes[ix].uncovered_since = None;
                continue;
            }
            let since = *self.nodes[ix].uncovered_since.get_or_insert(now);
            if now.since(since) > self.uncovered_max {
                let view = self.room(ix).view();
                let events: Vec<_> = self.nodes[ix].events.iter().rev().take(12).collect();
                panic!("at {now:?} node {ix} has been without a feed since {since:?}: {view:#?} {events:#?}");
            }
        }
    }

    /// Whether a node has a feed that really carries, or no right to one.
    fn is_covered(&self, ix: Ix) -> bool {
        let Some(view) = &self.nodes[ix].view else { return true };
        let cut = self.is_cut(ix, 0) || !self.is_alive(0);
        if !view.inside || cut || ix == 0 || !self.has_capacity() {
            return true;
        }
        view.feeds.iter().any(|feed| {
            let peer = self.index[&feed.node];
            self.is_alive(peer) && !self.is_cut(ix, peer) && self.feeds(&feed.node, &view.node)
        })
    }

    /// Whether the members that the host can reach have slots for all of them, and some to choose from.
    fn has_capacity(&self) -> bool {
        let reachable = self.inside().into_iter().filter(|ix| !self.is_cut(*ix, 0));
        let (mut slots, mut members) = (0, 0);
        for ix in reachable {
            slots += self.nodes[ix].view.as_ref().map_or(0, |view| usize::from(view.children_max));
            members += 1;
        }
        // Under `all` each takes two, and only half the slots are for primary feeds.
        slots >= 3 * members
    }

    /// Every member is in one tree under the roots, with a parent and, where wanted, a standby: 99 of 100 of them, since one
    /// right below the roots may find both full.
    pub fn check_settled(&self, with_standby: bool) {
        let mut without = Vec::new();
        for ix in self.inside().into_iter().filter(|ix| *ix != 0) {
            let view = self.room(ix).view();
            let primary = view.feeds.iter().filter(|feed| feed.purpose == Purpose::Primary).count();
            assert_eq!(primary, 1, "node {ix} has one parent: {view:#?}");
            let standby =
                view.feeds.iter().any(|feed| matches!(feed.purpose, Purpose::LiveStandby | Purpose::IdleStandby));
            if !standby && !view.root && with_standby {
                without.push(view);
            }
        }
        assert!(without.len() <= self.inside().len().div_ceil(100), "these have no standby: {without:#?}");
    }

    /// The time for which nodes were ever without a feed is in their own events.
    pub fn repairs(&self) -> Vec<Duration> {
        let all = self.nodes.iter().flat_map(|node| &node.events);
        all.filter_map(|(_, event)| if let Event::Repaired { after } = event { Some(*after) } else { None }).collect()
    }
}
