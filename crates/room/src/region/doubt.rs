//! Members that others report as not working, until they answer.
//!
//! A member that lives in the tree has no link to its registry, which learns late that it died: its parent may have died with it.
//! Until then it would be proposed again and again to those that it left behind. So what members say of feeds that failed is
//! looked into: the registry asks the member itself, and proposes neither it nor what hangs on it until it answers. A lie costs its victim
//! no child and the registry one question in a while.

use core::time::Duration;
use std::collections::BTreeMap;

use treehouse_wire::{Control, NodeId, Suite};

use super::directory::{Presence, Slot};
use crate::{room::Room, time::Instant};

/// Reports that are of one cause come within this; after it a member that has answered may be doubted again.
const WINDOW: Duration = Duration::from_secs(3);
/// One that was never fed by it may have been refused for want of a slot: so many such reports are looked into.
const REPORTS: usize = 2;
/// A member that has not answered after this is lost.
const ANSWER: Duration = Duration::from_secs(2);
/// Members asked at once.
const DOUBTS_MAX: usize = 64;

/// What is held against a member.
#[derive(Debug)]
struct Doubt {
    since: Instant,
    reporters: Vec<NodeId>,
    /// When it was asked.
    asked: Option<Instant>,
    /// When it was taken for lost, since it had not answered.
    lost: Option<Instant>,
}

/// Members in doubt, and those that were cleared a moment ago.
#[derive(Debug, Default)]
pub(crate) struct Doubts(BTreeMap<NodeId, Doubt>);

impl<S: Suite> Room<S> {
    /// A member reports feeds that failed it.
    pub(crate) fn doubt(&mut self, reporter: NodeId, failed: &[NodeId]) {
        for node in failed {
            self.doubt_one(reporter, *node);
        }
    }

    fn doubt_one(&mut self, reporter: NodeId, node: NodeId) {
        let now = self.now;
        let fed = self.feeds_in_view(&node, &reporter);
        let Some(region) = &mut self.region else { return };
        let directory = &region.directory;
        let slot = directory.slot(&node).filter(|slot| *slot != Slot::SELF);
        let doubtable = |slot: &Slot| directory.at(*slot).is_some_and(|of| of.is_there() && of.is_capable());
        if slot.filter(doubtable).is_none() {
            return;
        }
        let doubts = &mut region.doubts.0;
        if !doubts.contains_key(&node) && doubts.len() >= DOUBTS_MAX {
            return;
        }
        let doubt =
            doubts.entry(node).or_insert_with(|| Doubt { since: now, reporters: Vec::new(), asked: None, lost: None });
        if doubt.asked.is_some() || now.since(doubt.since) >= WINDOW {
            return;
        }
        if !doubt.reporters.contains(&reporter) {
            doubt.reporters.push(reporter);
        }
        if fed || doubt.reporters.len() >= REPORTS {
            doubt.asked = Some(now);
            self.ask_whether_there(node);
        }
    }

    fn ask_whether_there(&mut self, node: NodeId) {
        let contact = self.change_member(&node, |member| {
            member.doubted = true;
            member.contact()
        });
        if self.links.is_up(&node) {
            self.send(node, &Control::Ping { nonce: 0 });
        } else if let Some(contact) = contact {
            self.dial(&contact);
        }
    }

    /// A member was heard from: it is there.
    pub(crate) fn is_there(&mut self, node: NodeId) {
        let Some(doubt) = self.region.as_mut().and_then(|region| region.doubts.0.get_mut(&node)) else { return };
        let (asked, lost) = (doubt.asked.take(), doubt.lost.take());
        let linked = self.links.is_up(&node);
        // The entry stays until its time is over, so that it is not asked all the time.
        if asked.is_some() || lost.is_some() {
            self.change_member(&node, |member| {
                member.doubted = false;
                if lost.is_some() && linked && !member.is_there() {
                    // It was only slow: it keeps its link and its place.
                    member.presence = Presence::Linked;
                }
            });
        }
    }

    /// A member in doubt cannot be reached.
    pub(crate) fn is_not_there(&mut self, node: NodeId) {
        let now = self.now;
        let Some(region) = &mut self.region else { return };
        let Some(doubt) = region.doubts.0.get_mut(&node).filter(|doubt| doubt.asked.is_some()) else { return };
        (doubt.asked, doubt.lost) = (None, Some(now));
        let directory = &mut region.directory;
        let Some(slot) = directory.slot(&node) else { return };
        directory.change(&node, now, |member| {
            member.doubted = false;
            member.presence = Presence::Lost(now);
        });
        let children = directory.at(slot).map_or_else(Vec::new, |of| of.children().to_vec());
        for child in children {
            directory.set_parent(child, None, now);
        }
    }

    /// Once a second: those that have not answered are lost, and what was long ago is forgotten.
    pub(crate) fn settle_doubts(&mut self) {
        let now = self.now;
        let Some(region) = &mut self.region else { return };
        region.doubts.0.retain(|_, doubt| {
            let lost = doubt.lost.is_some_and(|at| now.since(at) < super::LOST);
            doubt.asked.is_some() || lost || now.since(doubt.since) < WINDOW
        });
        let silent = |doubt: &Doubt| doubt.asked.is_some_and(|at| now.since(at) >= ANSWER);
        let silent: Vec<NodeId> =
            region.doubts.0.iter().filter(|(_, doubt)| silent(doubt)).map(|(node, _)| *node).collect();
        for node in silent {
            self.is_not_there(node);
        }
    }
}
