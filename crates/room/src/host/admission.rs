//! Admission: checking a redemption, counting uses, signing the certificate.

use treehouse_invite::{
    Ban, Banned, CERTIFICATE_SECONDS, Certificate, InviteError, Policy, Role, StatementError, check_redemption,
};
use treehouse_wire::{
    Control, Lineage, LinkTag, List, NodeId, Suite, UnixSeconds,
    control::{Admitted, Join, Profile, Refusal, Report, Statement},
};

use super::{
    MEMBERS_MAX,
    moderation::{FOR_GOOD, note_ban},
    uses::Waiting,
};
use crate::{
    api::{Event, Offence, Output, Redemption, RoomError},
    children::Certified,
    member::{HeldCertificate, RENEW_SECONDS},
    region::{Member, Presence, Shown},
    room::Room,
};

/// What a redemption that holds leads to.
enum Admission {
    /// It comes in now.
    Granted { role: Role, admission: u32, lineage: Lineage },
    /// It comes in once its use is kept.
    Counted,
    /// The host decides.
    ForHost,
}

impl<S: Suite> Room<S> {
    pub(crate) fn join_request(&mut self, from: NodeId, join: Join) {
        let known = self.region.as_ref().is_some_and(|region| region.directory.contains(&from));
        if self.region.is_none() {
            return self.redirect_to_leader(from, false);
        }
        let relays = join.profile.children_max > 0 && !join.profile.addresses.is_empty();
        let stays = known || self.is_host() && join.direct;
        if !stays && self.sends_on(relays) {
            // Those too are a reason to have more leaders.
            self.region.iter_mut().for_each(|region| region.crowd.came());
            let leaders = self.other_leaders();
            // Where nobody else has room, as long as there is a slot a region may be larger than it should.
            if !leaders.is_empty() || !self.is_host() && !self.any_slot_free(relays) {
                return self.redirect(from, leaders, false);
            }
        }
        match self.admit(from, &join) {
            Ok(Admission::Granted { role, admission, lineage }) => {
                self.take_in_joiner(from, join.profile, join.direct, (role, admission, lineage));
            }
            // The driver says when the use is kept.
            Ok(Admission::Counted) => {}
            // Uses are counted by the host, and what a lease does not grant is the host's to give.
            Ok(Admission::ForHost) => self.redirect(from, vec![self.host_contact()], true),
            Err(refusal) => self.send(from, &Control::Refused(refusal)),
        }
    }

    /// Hands out the certificate, and feeds the newcomer.
    fn take_in_joiner(&mut self, from: NodeId, profile: Profile, direct: bool, granted: (Role, u32, Lineage)) {
        let known = self.region.as_ref().is_some_and(|region| region.directory.contains(&from));
        let (role, admission, lineage) = granted;
        let booster = role == Role::Booster;
        let certified = Certified { until: self.certified_until(), lineage: lineage.clone(), booster };
        self.welcome(from, profile, role, admission, lineage);
        self.change_member(&from, |member| member.direct |= direct);
        // One that comes to the host to speak has its feeds.
        if !known && direct && self.children.contains(&from) {
            return;
        }
        self.feed_newcomer(from, certified);
    }

    /// What came of keeping a use: the certificate leaves only now.
    pub(crate) fn redeemed(&mut self, redemption: &Redemption, kept: bool) {
        let from = redemption.node;
        let Some(acting) = &mut self.acting else { return };
        let waiting = match acting.uses.settle(redemption, kept) {
            Some(Ok(waiting)) => waiting,
            Some(Err(refusal)) => return self.send(from, &Control::Refused(refusal)),
            None => return,
        };
        // Whoever is gone meanwhile comes again, and takes no further use.
        if self.is_leaving() || !self.links.is_up(&from) {
            return;
        }
        if self.is_banned(&from, &waiting.lineage) {
            return self.send(from, &Control::Refused(Refusal::Banned));
        }
        let Some(region) = &mut self.region else { return };
        let Waiting { profile, role, direct, lineage, .. } = waiting;
        let granted = (role, region.admission(), lineage);
        self.take_in_joiner(from, profile, direct, granted);
    }

    /// Admits nobody any more by a chain with this link.
    pub(crate) fn revoke_invite(&mut self, link: [u8; 32]) -> Result<(), RoomError> {
        let wall = self.wall;
        let acting = self.acting.as_mut().ok_or(RoomError::NotHost)?;
        acting.uses.revoke(link);
        // Hubs admit too, and know of it by the room state.
        let revoked = Ban { who: Banned::Revoked(LinkTag::of(&link)), until: FOR_GOOD };
        if !note_ban(&mut acting.bans, revoked, wall) {
            return Err(RoomError::BansFull);
        }
        self.publish_soon();
        Ok(())
    }

    /// Checks a redemption; the cheap checks come first.
    fn admit(&mut self, from: NodeId, join: &Join) -> Result<Admission, Refusal> {
        let now = self.now;
        if self.is_leaving() || !self.links.get(&from).is_some_and(|link| link.may_join(now)) {
            return Err(Refusal::Busy);
        }
        let known = self.region.as_ref().and_then(|region| region.directory.get(&from));
        let known = known.map(|member| (member.admission, member.lineage.clone()));
        // The cheap checks come first: a full room verifies nothing, and who is banned by name is not looked at further.
        if self.is_banned(&from, &Lineage::default()) {
            return Err(Refusal::Banned);
        }
        let full = known.is_none() && !join.direct && !self.has_place(&join.profile);
        if full && !self.may_relax_protection() {
            return Err(Refusal::RoomFull);
        }
        let (wall, founder) = (self.wall, self.host);
        let grant =
            check_redemption(&self.suite, &self.room, &founder, &founder, &from, &join.chain, &join.proof, wall)
                .map_err(|error: InviteError| error.refusal())?;
        if self.is_banned(&from, &grant.lineage()) {
            return Err(Refusal::Banned);
        }
        while full && !self.has_place(&join.profile) {
            if !self.may_relax_protection() {
                return Err(Refusal::RoomFull);
            }
            self.relax_protection();
        }
        if self.state.bans().revoke(&grant.lineage()) {
            return Err(Refusal::Revoked);
        }
        if self.policy == Policy::Closed && grant.uses.is_empty() && !grant.bound {
            return Err(Refusal::Uncounted);
        }
        let Some(region) = &mut self.region else { return Err(Refusal::NotHost) };
        if let Some(hub) = region.hub.as_deref_mut() {
            let number = (grant.uses.is_empty() && hub.lease.is_valid(wall)).then(|| hub.admission()).flatten();
            let role = grant.role.min(hub.lease.role);
            let granted = |admission| Admission::Granted { role, admission, lineage: grant.lineage() };
            return Ok(number.map_or(Admission::ForHost, granted));
        }
        let Some(acting) = &mut self.acting else { return Err(Refusal::NotHost) };
        if acting.uses.is_revoked(&grant.path) {
            return Err(Refusal::Revoked);
        }
        // The same node with the same invite: it has restarted, and takes no further use.
        let same = known.filter(|(_, lineage)| *lineage == grant.lineage()).map(|(admission, _)| admission);
        if same.is_some() || grant.uses.is_empty() || acting.uses.has_redeemed(grant.chain, from) {
            let noted = grant.uses.is_empty().then(|| acting.uses.note(from, grant.chain)).flatten();
            self.outputs.extend(noted.map(Output::Redeem));
            let admission = same.unwrap_or_else(|| region.admission());
            return Ok(Admission::Granted { role: grant.role, admission, lineage: grant.lineage() });
        }
        let redemption = acting.uses.reserve(from, &grant, join.profile.clone(), join.direct)?;
        self.outputs.extend(redemption.map(Output::Redeem));
        Ok(Admission::Counted)
    }

    /// A member is back after its link was lost, comes from another region, or wants its certificate renewed.
    pub(crate) fn resume_request(&mut self, from: NodeId, shown: Shown, profile: Profile, direct: bool) {
        let Some(region) = &self.region else { return self.redirect_to_leader(from, direct) };
        let (suite, lease) = (&self.suite, shown.lease.as_ref());
        let certificate =
            Certificate::verify_under(suite, &shown.certificate, lease, &self.room, &self.host, self.wall);
        let certificate = match certificate {
            Ok(certificate) if certificate.node == from => certificate,
            Ok(_) => return self.offended(from, Offence::OutOfRole),
            Err(error) => return self.send(from, &Control::Refused(refusal_of(error))),
        };
        if self.is_banned(&from, &certificate.lineage) {
            return self.send(from, &Control::Refused(Refusal::Banned));
        }
        let known = region.directory.contains(&from);
        // A hub whose own leader is gone is placed by the host.
        let leads = self.acting.as_ref().is_some_and(|acting| acting.hubs.contains(&from));
        if let Some(hub) = self.moved_to(&from).filter(|hub| !known && !direct && !leads && hub.node != from) {
            return self.redirect(from, vec![hub], false);
        }
        if !known && !direct && !leads && self.sends_on(true) {
            let leaders = self.other_leaders();
            if !leaders.is_empty() {
                return self.redirect(from, leaders, false);
            }
        }
        let Certificate { role, admission, lineage, .. } = certificate;
        if self.is_host() {
            return self.welcome(from, profile, role, admission, lineage);
        }
        if !known {
            // It came without a record: whoever led it before is not to count it any more. Whom a hub has admitted was not the
            // host's, and most are of hubs that died.
            let gone = Control::Reports(List::truncated([Report::Gone { node: from, polite: true }]));
            let host = (shown.lease.is_none()).then_some(self.host);
            let before = self.hub().map(|hub| hub.before).filter(|before| *before != self.host);
            for leader in before.into_iter().chain(host) {
                self.send(leader, &gone);
            }
        }
        // A hub renews what it may give, and otherwise leaves to its member what it has.
        if certificate.expires.0 > self.wall.0.saturating_add(RENEW_SECONDS) {
            return self.take_in_member(from, profile, (role, admission, lineage), shown);
        }
        let Some(hub) = self.region.as_mut().and_then(|region| region.hub.as_deref_mut()) else { return };
        let number = (role <= hub.lease.role && hub.lease.is_valid(self.wall)).then(|| hub.admission()).flatten();
        match number {
            Some(number) => self.welcome(from, profile, role, number, lineage),
            None => self.redirect(from, vec![self.host_contact()], true),
        }
    }

    fn has_place(&self, profile: &Profile) -> bool {
        let Some(region) = &self.region else { return false };
        region.directory.len() < MEMBERS_MAX
            && self.any_slot_free(profile.children_max > 0 && !profile.addresses.is_empty())
    }

    fn welcome(&mut self, node: NodeId, profile: Profile, role: Role, admission: u32, lineage: Lineage) {
        let role = role.min(Role::Moderator);
        let certificate = self.certify(node, role, admission, lineage.clone());
        let lease = self.hub().map(|hub| (*hub.statement).clone());
        self.take_in_member(node, profile, (role, admission, lineage), Shown { certificate, lease });
    }

    /// Lists a member and answers with its certificate.
    fn take_in_member(
        &mut self,
        node: NodeId,
        profile: Profile,
        (role, admission, lineage): (Role, u32, Lineage),
        shown: Shown,
    ) {
        let name = profile.name.as_str().to_owned();
        let now = self.now;
        let Some((charter, host)) = self.charter_and_host() else { return };
        let leads = self.acting.as_ref().is_some_and(|acting| acting.hubs.contains(&node));
        let Some(region) = &mut self.region else { return };
        let directory = &mut region.directory;
        let known = directory.get(&node).map(|member| (member.admission == admission, member.parent().is_some()));
        match known {
            Some((true, _)) => {
                directory.change(&node, now, |member| {
                    member.profile = profile;
                    member.role = role;
                    member.presence = Presence::Linked;
                });
            }
            _ => {
                let mut member = Member::new(node, profile, role, admission, lineage, now);
                // A member that comes from another registry has had a placement, and takes none that is not newer.
                member.counter = 1;
                member.know_forger(region.hearing.is_forger(&node));
                member.leads = leads;
                directory.insert(member, now);
                region.crowd.came();
            }
        }
        let Some((epoch, key)) = self.keys.sealing(now).map(|(epoch, key)| (epoch, key.clone())) else { return };
        let Shown { certificate, lease } = shown;
        let key = (role != Role::Booster).then_some(key);
        let admitted = Admitted { charter, certificate, lease, host, epoch, key };
        self.send(node, &Control::Admitted(Box::new(admitted)));
        if known.is_none() {
            if self.is_host() {
                self.event(Event::MemberJoined { peer: node, name, role });
            }
            self.members_changed();
        }
        // One that is back only to ask for something has its place and the state already.
        if known != Some((true, true)) {
            self.send_state(node);
            if !self.children.has_provisional_slot() {
                self.place(node, false);
            }
            self.offer_candidates(node);
        }
    }

    /// Signs a certificate for a member.
    pub(crate) fn certify(&mut self, node: NodeId, role: Role, admission: u32, lineage: Lineage) -> Statement {
        let (issued, expires) = (self.certifies_at(), self.certified_until());
        let certificate = Certificate { node, role, admission, term: 0, issued, expires, lineage };
        certificate.sign(&self.suite, &self.signer, &self.room)
    }

    /// The host is a member too: it certifies itself, for the links of the stage.
    pub(crate) fn certify_self(&mut self) {
        let statement = self.certify(self.me, Role::Host, 0, Lineage::default());
        self.certificate = Some(HeldCertificate { expires: self.certified_until(), statement, lease: None });
    }

    /// When a certificate that is signed now begins: within the lease, though this hub's clock may differ from the host's.
    fn certifies_at(&self) -> UnixSeconds {
        self.hub().map_or(self.wall, |hub| self.wall.clamp(hub.lease.not_before, hub.lease.expires))
    }

    /// When a certificate that is signed now ends.
    fn certified_until(&self) -> UnixSeconds {
        UnixSeconds(self.certifies_at().0.saturating_add(CERTIFICATE_SECONDS))
    }
}

fn refusal_of(error: StatementError) -> Refusal {
    match error {
        StatementError::Expired => Refusal::Expired,
        StatementError::NotYetValid => Refusal::NotYetValid,
        StatementError::OtherRoom => Refusal::OtherRoom,
        StatementError::Malformed(_) | StatementError::BadSignature | StatementError::BeyondLease => Refusal::Invalid,
    }
}
