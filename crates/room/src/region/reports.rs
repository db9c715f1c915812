//! What members report: whom they are fed by, whom they feed, who is gone.
//!
//! A member with a link to its registry reports there. The others report to their parent, and relays pass reports on, several in
//! one message, so that a registry hears of its region by the few links that it feeds.

use treehouse_wire::{
    Control, List, NodeId, Suite,
    control::{Report, Status},
    limits::REPORTS_MAX,
};

use super::directory::Presence;
use crate::{
    api::{Event, Offence},
    room::Room,
};

/// Reports that wait to be passed on. Past it the oldest go: a member reports again every minute.
const WAITING_MAX: usize = 512;
/// Members that are gone are remembered until so many others are: longer than a report takes.
const GONE_MAX: usize = 256;

impl<S: Suite> Room<S> {
    pub(crate) fn status_report(&mut self, from: NodeId, status: &Status) {
        if self.region.is_none() {
            return self.offended(from, Offence::OutOfRole);
        }
        self.take_status(from, status, true);
    }

    /// Reports from below, out of a child's subtree, or of a hub that was of this region: those of members of this region end here, the others go on up.
    pub(crate) fn reports(&mut self, from: NodeId, reports: &[Report]) {
        let leads = self.region.as_ref().and_then(|region| region.directory.get(&from)).is_some_and(|of| of.leads);
        if !leads && !self.children.contains(&from) {
            return;
        }
        for report in reports {
            let known = |node: &NodeId| self.region.as_ref().is_some_and(|region| region.directory.contains(node));
            match report {
                Report::Status { node, status } if known(node) => self.take_status(*node, status, false),
                Report::Complaint { node, of, at, signature } if known(node) => {
                    self.complaint(*node, *of, *at, *signature);
                }
                Report::Gone { node, polite } if known(node) => self.member_lost(*node, *polite),
                // It said goodbye here as well as to its parent.
                Report::Gone { node, .. } if self.is_gone(node) => {}
                _ if self.is_host() => {}
                _ => self.report_up(report.clone()),
            }
        }
    }

    fn take_status(&mut self, from: NodeId, status: &Status, direct: bool) {
        let now = self.now;
        let Some(region) = &mut self.region else { return };
        let directory = &mut region.directory;
        let Some(slot) = directory.slot(&from) else { return };
        let slot_of = |tag: Option<treehouse_wire::NodeTag>| tag.and_then(|tag| directory.slot_of_tag(tag));
        let (parent, standby) = (slot_of(status.parent), slot_of(status.standby));
        let Some(member) = directory.at(slot) else { return };
        let (was_placed, rank_before) = (member.placed_at.is_some(), member.rank);
        let parent_rank = parent.and_then(|parent| directory.at(parent)).map(|of| of.rank);
        let (said_before, placed_with) = (member.said_parent, member.parent());
        // While a placement is under way the report may still be of before; the parent that was assigned ends the reservation.
        let arrived = parent.is_some() && parent == member.parent();
        directory.change(&from, now, |member| {
            if arrived {
                member.placed_at = None;
            }
            if !matches!(member.presence, Presence::Linked) || !direct {
                member.presence = if direct { Presence::Linked } else { Presence::InTree(now) };
            }
            member.said_parent = status.parent;
            member.rank = status.rank;
            member.reported = status.children.saturating_add(status.standbys);
            member.profile.children_max = status.slots;
            member.delay_us = u32::from(status.delay_ms) * 1000;
            if let Some(position) = status.position {
                member.at = Some(crate::coordinates::Coordinate::from_wire(&position));
            }
        });
        // It lives by another now, and nobody has told it to: it has lost the parent that it had.
        let had = placed_with.filter(|slot| directory.at(*slot).is_some_and(|of| said_before == Some(of.node.tag())));
        if let Some(lost) = had.filter(|lost| !was_placed && parent != Some(*lost)) {
            directory.complain(from, lost, now);
            directory.change(&from, now, |member| member.cut(now));
        }
        if direct && status.children == 0 {
            directory.detach_children(slot, now);
        }
        if !was_placed || arrived {
            directory.set_parent(slot, parent, now);
            if standby.is_some() || !was_placed {
                directory.set_standby(slot, standby, now);
            }
        }
        if let Some(parent) = parent.filter(|parent| *parent != super::Slot::SELF) {
            directory.confirm(parent, now);
        }
        directory.index(slot, now);
        // A leaf whose feed comes later in the order could take no child: it gets a rank that fits.
        let feeds = status.children.saturating_add(status.standbys);
        if direct && feeds == 0 && rank_before != status.rank && parent_rank.is_some_and(|rank| rank >= status.rank) {
            self.place(from, false);
        }
    }

    /// Passes a report on to the parent, with others, soon.
    pub(crate) fn report_up(&mut self, report: Report) {
        let about = |of: &Report| match of {
            Report::Complaint { of, .. } => Some(*of),
            Report::Status { .. } | Report::Gone { .. } => None,
        };
        let newer = (report.node(), about(&report));
        let waiting = &mut self.reports_waiting;
        waiting.retain(|of| (of.node(), about(of)) != newer);
        if waiting.len() >= WAITING_MAX {
            waiting.remove(0);
        }
        waiting.push(report);
    }

    fn is_gone(&self, node: &NodeId) -> bool {
        self.region.as_ref().is_some_and(|region| region.gone.contains(&node.tag()))
    }

    /// A child is gone; the registry is told, which may be this node.
    pub(crate) fn report_gone(&mut self, node: NodeId, polite: bool) {
        if self.region.as_ref().is_some_and(|region| region.directory.contains(&node)) {
            self.member_lost(node, polite);
        } else if !self.is_host() && self.is_heard_above() {
            self.report_up(Report::Gone { node, polite });
        }
    }

    /// Once a second: what waits goes up.
    pub(crate) fn send_reports(&mut self) {
        let Some(parent) = self.feeds.upstream().map(|feed| feed.node()) else { return };
        while !self.reports_waiting.is_empty() {
            let count = self.reports_waiting.len().min(REPORTS_MAX);
            let reports = List::truncated(self.reports_waiting.drain(..count));
            self.send(parent, &Control::Reports(reports));
        }
        self.reports_waiting = Vec::new();
    }

    /// The registry's link to a member is gone.
    pub(crate) fn host_link_down(&mut self, peer: NodeId) {
        let now = self.now;
        self.change_member(&peer, |member| {
            if member.presence == Presence::Linked {
                member.presence = Presence::Lost(now);
            }
        });
    }

    /// A member has closed its link to the registry, and lives in the tree.
    pub(crate) fn host_link_unused(&mut self, peer: NodeId) {
        let now = self.now;
        self.change_member(&peer, |member| member.presence = Presence::InTree(now));
    }

    /// A parent says that a child is gone. One that is linked here is not.
    fn member_lost(&mut self, node: NodeId, polite: bool) {
        let now = self.now;
        if polite {
            return self.forget_member(node, true);
        }
        self.change_member(&node, |member| {
            if matches!(member.presence, Presence::InTree(_)) {
                member.presence = Presence::Lost(now);
            }
        });
    }

    /// A member said goodbye.
    pub(crate) fn member_left(&mut self, peer: NodeId) {
        self.forget_member(peer, true);
    }

    pub(crate) fn forget_member(&mut self, peer: NodeId, polite: bool) {
        let now = self.now;
        let Some(region) = &mut self.region else { return };
        if region.directory.remove(&peer, now).is_none() {
            return;
        }
        if region.gone.len() >= GONE_MAX {
            region.gone.pop_front();
        }
        region.gone.push_back(peer.tag());
        let staged = self.acting.as_mut().is_some_and(|acting| acting.stage.remove(&peer).is_some());
        if self.is_host() {
            self.event(Event::MemberLeft { peer, polite });
        }
        if staged {
            self.publish_soon();
        }
        self.members_changed();
    }
}
