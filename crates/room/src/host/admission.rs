//! Admission: checking a redemption, counting uses, signing the certificate.

use treehouse_invite::{CERTIFICATE_SECONDS, Certificate, Grant, InviteError, Role, StatementError, check_redemption};
use treehouse_wire::{
    Control, NodeId, Suite, UnixSeconds,
    control::{Admitted, Join, Profile, Refusal, Statement},
};

use super::MEMBERS_MAX;
use crate::{
    api::{Event, Offence},
    member::HeldCertificate,
    region::{Member, Presence},
    room::Room,
};

impl<S: Suite> Room<S> {
    pub(crate) fn join_request(&mut self, from: NodeId, join: Join) {
        if !self.is_host() {
            return self.send(from, &Control::Refused(Refusal::NotHost));
        }
        match self.admit(from, &join) {
            Ok((role, admission, chain)) => self.welcome(from, join.profile, role, admission, chain),
            Err(refusal) => self.send(from, &Control::Refused(refusal)),
        }
    }

    fn admit(&mut self, from: NodeId, join: &Join) -> Result<(Role, u32, [u8; 32]), Refusal> {
        if self.is_leaving() {
            return Err(Refusal::Busy);
        }
        let known = self.region.as_ref().and_then(|region| region.directory.get(&from));
        let known = known.map(|member| (member.admission, member.chain));
        // The cheap checks come first: a full room verifies nothing.
        if known.is_none() && !self.has_place(&join.profile) {
            return Err(Refusal::RoomFull);
        }
        let grant = check_redemption(
            &self.suite,
            &self.room,
            &self.host,
            &self.host,
            &from,
            &join.chain,
            &join.proof,
            self.wall,
        )
        .map_err(|error: InviteError| error.refusal())?;
        let (Some(acting), Some(region)) = (&mut self.acting, &mut self.region) else { return Err(Refusal::NotHost) };
        match known {
            // The same node with the same invite: it has restarted, and takes no further use.
            Some((admission, chain)) if chain == grant.chain => Ok((grant.role, admission, grant.chain)),
            _ => {
                consume(&mut acting.uses, &grant)?;
                Ok((grant.role, region.admission(), grant.chain))
            }
        }
    }

    /// A member is back after its link was lost, or wants its certificate renewed.
    pub(crate) fn resume_request(&mut self, from: NodeId, statement: &Statement, profile: Profile) {
        if !self.is_host() {
            return self.send(from, &Control::Refused(Refusal::NotHost));
        }
        let certificate = Certificate::verify(&self.suite, statement, &self.room, &self.host, self.wall);
        match certificate {
            Ok(certificate) if certificate.node == from => {
                self.welcome(from, profile, certificate.role, certificate.admission, certificate.chain);
            }
            Ok(_) => self.offended(from, Offence::OutOfRole),
            Err(error) => self.send(from, &Control::Refused(refusal_of(error))),
        }
    }

    fn has_place(&self, profile: &Profile) -> bool {
        let Some(region) = &self.region else { return false };
        region.directory.len() < MEMBERS_MAX
            && self.any_slot_free(profile.children_max > 0 && !profile.addresses.is_empty())
    }

    fn welcome(&mut self, node: NodeId, profile: Profile, role: Role, admission: u32, chain: [u8; 32]) {
        let role = role.min(Role::Moderator);
        let statement = self.certify(node, role, admission, chain);
        let name = profile.name.as_str().to_owned();
        let now = self.now;
        let (Some(acting), Some(region)) = (&self.acting, &mut self.region) else { return };
        let charter = acting.charter.clone();
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
            _ => directory.insert(Member::new(node, profile, role, admission, chain, now), now),
        }
        let Some((epoch, key)) = self.key.clone() else { return };
        let admitted = Admitted { charter, certificate: statement, epoch, key };
        self.send(node, &Control::Admitted(Box::new(admitted)));
        if known.is_none() {
            self.event(Event::MemberJoined { peer: node, name, role });
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
    pub(crate) fn certify(&mut self, node: NodeId, role: Role, admission: u32, chain: [u8; 32]) -> Statement {
        let certificate = Certificate {
            node,
            role,
            admission,
            term: 0,
            issued: self.wall,
            expires: UnixSeconds(self.wall.0.saturating_add(CERTIFICATE_SECONDS)),
            chain,
        };
        certificate.sign(&self.suite, &self.signer, &self.room)
    }

    /// The host is a member too: it certifies itself, for the links of the stage.
    pub(crate) fn certify_self(&mut self) {
        let statement = self.certify(self.me, Role::Host, 0, [0; 32]);
        let expires = UnixSeconds(self.wall.0.saturating_add(CERTIFICATE_SECONDS));
        self.certificate = Some(HeldCertificate { expires, statement });
    }
}

fn refusal_of(error: StatementError) -> Refusal {
    match error {
        StatementError::Expired => Refusal::Expired,
        StatementError::NotYetValid => Refusal::NotYetValid,
        StatementError::OtherRoom => Refusal::OtherRoom,
        StatementError::Malformed(_) | StatementError::BadSignature => Refusal::Invalid,
    }
}

/// Takes one use of every counted link of a chain, or none where one is spent.
fn consume(uses: &mut std::collections::BTreeMap<[u8; 32], u32>, grant: &Grant) -> Result<(), Refusal> {
    let taken = |id: &[u8; 32]| uses.get(id).copied().unwrap_or(0);
    if grant.uses.iter().any(|(id, limit)| taken(id) >= *limit) {
        return Err(Refusal::UsedUp);
    }
    for (id, _) in &grant.uses {
        *uses.entry(*id).or_insert(0) += 1;
    }
    Ok(())
}
