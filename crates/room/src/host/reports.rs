//! What members report to the host: whom they are fed by, their hands, and that they are gone.

use treehouse_invite::{MediaClaim, Role};
use treehouse_wire::{Control, NodeId, Suite, control::Rank};

use super::LOST;
use crate::{
    api::{Event, Offence},
    room::Room,
};

/// What a `Status` says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report {
    pub(crate) parent: Option<NodeId>,
    pub(crate) standby: Option<NodeId>,
    pub(crate) rank: Rank,
    pub(crate) feeds_given: u8,
}

impl<S: Suite> Room<S> {
    pub(crate) fn status_report(&mut self, from: NodeId, report: Report) {
        if !self.is_host() {
            return self.offended(from, Offence::OutOfRole);
        }
        let parent_rank = report.parent.and_then(|parent| self.member_mut(&parent).map(|of| of.rank));
        let Some(member) = self.member_mut(&from) else { return };
        // While a placement is under way the report may still be of before; a parent in it ends the reservation.
        if member.placed_at.is_none() || report.parent.is_some() {
            if report.parent.is_some() {
                member.placed_at = None;
            }
            member.parent = report.parent;
            if report.standby.is_some() || member.placed_at.is_none() {
                member.standby = report.standby;
            }
        }
        member.rank = report.rank;
        member.children = report.feeds_given;
        // A leaf whose feed comes later in the order could take no child: it gets a rank that fits.
        if report.feeds_given == 0 && parent_rank.is_some_and(|rank| rank >= report.rank) {
            self.seek_request(from, &[]);
        }
    }

    pub(crate) fn hand_request(&mut self, from: NodeId, claim: Option<MediaClaim>) {
        if !self.is_host() || self.member_mut(&from).is_none() {
            return self.offended(from, Offence::OutOfRole);
        }
        if claim.is_some_and(|claim| !claim.verify(&self.suite, &self.room, &from)) {
            return self.offended(from, Offence::Forged);
        }
        self.hand_raised(from, claim);
    }

    /// A hand went up or down. One that the invite lets speak is brought up at once.
    pub(crate) fn hand_raised(&mut self, node: NodeId, claim: Option<MediaClaim>) {
        if node == self.me {
            // The host's place on the stage is kept for it, and the key of its voice is fresh: neither can be refused.
            let _ = if claim.is_some() { self.promote(node) } else { self.demote(node) };
            return;
        }
        let Some(member) = self.member_mut(&node) else { return };
        if member.hand == claim {
            return;
        }
        member.hand = claim;
        let (role, name) = (member.role, member.profile.name.as_str().to_owned());
        self.event(Event::Hand { peer: node, name, raised: claim.is_some() });
        // A stage that is full, or a key that is another's, leaves the hand up for the host to see.
        let _ = match claim {
            Some(_) if role >= Role::Speaker => self.promote(node),
            Some(_) => Ok(()),
            None => self.demote(node),
        };
    }

    pub(crate) fn host_link_down(&mut self, peer: NodeId) {
        let now = self.now;
        let Some(member) = self.member_mut(&peer) else { return };
        member.linked = false;
        member.lost_since = Some(now);
    }

    /// A member said goodbye.
    pub(crate) fn member_left(&mut self, peer: NodeId) {
        self.forget_member(peer, true);
    }

    fn forget_member(&mut self, peer: NodeId, polite: bool) {
        let Some(acting) = &mut self.acting else { return };
        if acting.directory.remove(&peer).is_none() {
            return;
        }
        let staged = acting.stage.remove(&peer).is_some();
        for member in acting.directory.values_mut() {
            member.avoid.retain(|(node, _)| *node != peer);
        }
        self.event(Event::MemberLeft { peer, polite });
        if staged {
            self.publish_soon();
        }
        self.members_changed();
    }

    /// Once a second, for the host.
    pub(crate) fn host_housekeeping(&mut self) {
        let now = self.now;
        let Some(acting) = &self.acting else { return };
        let gone = acting.directory.iter().filter(|(_, of)| of.lost_since.is_some_and(|at| now.since(at) >= LOST));
        let gone: Vec<NodeId> = gone.map(|(node, _)| *node).collect();
        for node in gone {
            self.forget_member(node, false);
        }
        self.expire_reservations();
        self.choose_co_root();
        self.link_stage();
        if self.certificate_ends_soon() {
            self.certify_self();
        }
    }

    pub(crate) fn members_changed(&mut self) {
        let Some(acting) = &self.acting else { return };
        self.members = u32::try_from(acting.directory.len()).unwrap_or(u32::MAX).saturating_add(1);
        self.event(Event::Members(self.members));
        self.choose_packetisation();
        self.choose_co_root();
    }

    /// Tells a member of the stage, or a root, where the others are, and the others where it is.
    pub(crate) fn introduce(&mut self, node: NodeId) {
        let Some(acting) = &self.acting else { return };
        let contact_of = |node: &NodeId| acting.directory.get(node).map(|member| member.contact(*node));
        let Some(contact) = contact_of(&node) else { return };
        let others: Vec<NodeId> = acting
            .stage
            .keys()
            .copied()
            .chain(acting.co_root)
            .filter(|other| *other != node && *other != self.me)
            .collect();
        let contacts: Vec<_> = others.iter().filter_map(contact_of).collect();
        for other in others {
            self.send(other, &Control::StageContact(contact.clone()));
        }
        for contact in contacts {
            self.send(node, &Control::StageContact(contact));
        }
    }
}
