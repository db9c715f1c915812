//! What reaches the host: hands, and that members come and go.

use treehouse_invite::{MediaClaim, Role};
use treehouse_wire::{Control, NodeId, Signature, Suite};

use crate::{
    api::{Event, Offence},
    room::Room,
};

/// Raised hands that the host sees by name; the others wait with their hubs, which count them.
const HANDS_SEEN: u32 = 32;

impl<S: Suite> Room<S> {
    pub(crate) fn hand_request(&mut self, from: NodeId, claim: Option<(MediaClaim, Signature)>) {
        let Some(region) = &self.region else { return self.offended(from, Offence::OutOfRole) };
        if !region.directory.contains(&from) {
            // One that was handed over may not know yet.
            let splits = region.hub.is_some() || self.acting.as_ref().is_some_and(|acting| !acting.hubs.is_empty());
            return if splits { self.send_on(from) } else { self.offended(from, Offence::OutOfRole) };
        }
        if self.is_booster(&from) {
            return self.offended(from, Offence::OutOfRole);
        }
        if claim.is_some_and(|(claim, proof)| !claim.verify_held(&self.suite, &self.room, &from, &proof)) {
            return self.offended(from, Offence::Forged);
        }
        self.hand_raised(from, claim.map(|(claim, _)| claim));
    }

    /// A hand went up or down. One that the invite lets speak is brought up at once.
    pub(crate) fn hand_raised(&mut self, node: NodeId, claim: Option<MediaClaim>) {
        if node == self.me {
            // The host's place on the stage is kept for it, and the key of its voice is fresh: neither can be refused.
            let _ = if claim.is_some() { self.promote(node) } else { self.demote(node) };
            return;
        }
        let changed = self.change_member(&node, |member| {
            let changed = member.hand != claim;
            member.hand = claim;
            changed.then(|| (member.role, member.profile.name.as_str().to_owned()))
        });
        let Some(Some((role, name))) = changed else { return };
        if let Some(region) = &mut self.region {
            region.hands.retain(|of| *of != node);
            if claim.is_some() {
                region.hands.push_back(node);
            }
        }
        if !self.is_host() {
            // A hub counts it.
            return;
        }
        self.event(Event::Hand { peer: node, name, raised: claim.is_some() });
        // A stage that is full, or a key that is another's, leaves the hand up for the host to see.
        let _ = match claim {
            Some(_) if role >= Role::Speaker => self.promote(node),
            Some(_) => Ok(()),
            None => self.demote(node),
        };
    }

    /// Once a second, for the host.
    pub(crate) fn host_housekeeping(&mut self) {
        if !self.is_host() {
            return;
        }
        self.keep_hubs();
        self.keep_hands();
        self.choose_co_root();
        self.choose_protection();
        self.link_stage();
        self.beacon_due();
        self.keep_rotating();
        if self.certificate_ends_soon() {
            self.certify_self();
        }
    }

    /// Says how many hands are up in the whole room, and calls members of hubs as long as few are seen by name.
    fn keep_hands(&mut self) {
        let now = self.now;
        let (Some(region), Some(acting)) = (&mut self.region, &mut self.acting) else { return };
        let own = region.count_hands();
        let hands = own.saturating_add(acting.hubs.hands());
        let told = core::mem::replace(&mut acting.hands_told, hands);
        let calls = acting.hubs.call_hands(HANDS_SEEN.saturating_sub(own), now);
        if told != hands {
            self.event(Event::Hands(hands));
        }
        for (hub, count) in calls {
            self.send(hub, &Control::HandsWanted { count });
        }
    }

    pub(crate) fn members_changed(&mut self) {
        let (Some(region), Some(acting)) = (&self.region, &self.acting) else { return };
        let own = u32::try_from(region.directory.len()).unwrap_or(u32::MAX).saturating_add(1);
        self.members = own.saturating_add(acting.hubs.members());
        self.event(Event::Members(self.members));
        self.choose_packetisation();
        self.choose_co_root();
    }

    /// Tells a member of the stage, or a root, where the others are, and the others where it is.
    pub(crate) fn introduce(&mut self, node: NodeId) {
        let (Some(acting), Some(region)) = (&self.acting, &self.region) else { return };
        let contact_of = |node: &NodeId| region.directory.get(node).map(crate::region::Member::contact);
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
