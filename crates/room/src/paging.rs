//! Paging: a leader reaches a member that has no link to it, down the tree.
//!
//! Most members live in the tree and keep no link to their leader, which knows from their reports where they are. When it sees a
//! better place for one of them it says so to the one of its own children that leads to it, and each node on the way passes the
//! page on, as a telephone network pages an idle phone. Nobody has to ask now and then whether there is something. A page is a hint and
//! may be lost: the leader looks again later, and a false one costs a member one question in a while.

use core::time::Duration;
use std::collections::BTreeMap;

use treehouse_wire::{Control, List, NodeId, NodeTag, Suite, limits::PATH_MAX};

use crate::{
    feeds::Feed,
    region::{Directory, Slot},
    room::Room,
};

/// A member that was paged is not moved by another page for this long.
const PAGED: Duration = Duration::from_secs(10);
/// Pages that one child passes on in a second, beside all else that it is sent: it takes sixty messages a second in the long run
/// and holds more for an offence.
const PAGES_A_SECOND: u32 = 20;

/// Pages sent in one round of reviews, by child.
#[derive(Debug, Default)]
pub(crate) struct Paged(BTreeMap<NodeId, u32>);

impl Directory {
    /// The way down the tree to a member, itself last, where the registry's view has one: by parents, and by the standby of one that
    /// is fed from outside of the region.
    fn way_down(&self, slot: Slot) -> Option<Vec<Slot>> {
        let mut way = vec![slot];
        loop {
            let member = self.at(*way.last()?)?;
            let above = member.parent().or(member.standby())?;
            if above == Slot::SELF {
                way.reverse();
                return Some(way);
            }
            if way.len() > PATH_MAX {
                return None;
            }
            way.push(above);
        }
    }
}

impl<S: Suite> Room<S> {
    /// Calls a member of this region, whether or not it is linked; false where its turn has not come, since many came at once and
    /// are looked at at once.
    pub(crate) fn page(&mut self, node: &NodeId, paged: &mut Paged) -> bool {
        let Some(directory) = self.region.as_ref().map(|region| &region.directory) else { return true };
        let Some(way) = directory.slot(node).and_then(|slot| directory.way_down(slot)) else { return true };
        let mut nodes = way.into_iter().filter_map(|slot| directory.at(slot)).map(|member| member.node);
        let Some(first) = nodes.next().filter(|first| self.children.contains(first)) else { return true };
        let sent = paged.0.entry(first).or_default();
        if *sent >= PAGES_A_SECOND {
            return false;
        }
        *sent += 1;
        let path = List::truncated(nodes.map(|node| node.tag()));
        self.send(first, &Control::Page { path });
        true
    }

    /// Whether the leader can reach this member down the tree: it is among those that its sound comes by. What comes by a root comes by
    /// the host.
    pub(crate) fn can_be_paged(&self) -> bool {
        let leader = self.registry();
        let by = |feed: &Feed| leader == self.host || feed.path.contains(&leader.tag());
        self.feeds.all.iter().any(|feed| feed.is_live() && by(feed))
    }

    /// A feed passes a page on: for this member, or for one below it.
    pub(crate) fn paged(&mut self, from: NodeId, path: &List<NodeTag, PATH_MAX>) {
        let now = self.now;
        if self.feeds.get(&from).is_none_or(|feed| !feed.is_live()) {
            return;
        }
        let Some((next, rest)) = path.split_first() else {
            if self.sought.is_none_or(|at| now.since(at) >= PAGED) {
                self.review_at = Some(now);
                self.host_link.paged = true;
            }
            return;
        };
        let next = self.children.with_purpose(|_| true).into_iter().find(|child| child.tag() == *next);
        if let Some(next) = next {
            self.send(next, &Control::Page { path: List::truncated(rest.iter().copied()) });
        }
    }
}
