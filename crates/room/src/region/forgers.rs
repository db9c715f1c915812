//! Who was sent a forgery, and says so.
//!
//! A packet whose signature fails under a key that is on stage proves to its receiver, and to nobody else, that its neighbour made
//! it up. The receiver signs a complaint, which goes up the tree to its registry, and is believed as far as one member can be: the
//! two are never put together again. Only where two complain that one person cannot have brought in alone, by invites that
//! share no link or, in open rooms, from two address prefixes, the accused loses its children, and gets no others.

use core::time::Duration;

use treehouse_invite::{Complaint, Policy};
use treehouse_wire::{Address, LinkTag, NodeId, NodeTag, Signature, Suite, UnixSeconds, control::Report};

use super::{Directory, Member, Slot};
use crate::{room::Room, time::Instant};

/// Two that are never to meet again.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);
/// Accusers remembered of one member. Two that are unrelated are enough.
const ACCUSERS_MAX: usize = 8;

/// Where a complaint comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Accuser {
    /// The founder's link by which it came in: whoever holds that could have brought in others by it.
    link: Option<LinkTag>,
    /// The first 24 bits of an IPv4 address, or 48 of an IPv6 address.
    prefix: Option<[u8; 7]>,
}

impl Accuser {
    fn new(member: &Member, policy: Policy) -> Accuser {
        let open = policy == Policy::Open;
        let prefix = member.profile.addresses.iter().find_map(prefix_of).filter(|_| open);
        Accuser { link: member.lineage.first().copied(), prefix }
    }

    /// Whether one person can hardly be both.
    fn is_unrelated_to(&self, other: &Accuser) -> bool {
        let differ = |a: Option<[u8; 7]>, b: Option<[u8; 7]>| a.zip(b).is_some_and(|(a, b)| a != b);
        self.link.zip(other.link).is_some_and(|(a, b)| a != b) || differ(self.prefix, other.prefix)
    }
}

/// The network that an address is in: the protocol's number and 24 bits of IPv4, or 48 of IPv6.
fn prefix_of(address: &Address) -> Option<[u8; 7]> {
    let (protocol, rest) = address.split_first()?;
    let bytes = match protocol {
        4 => rest.get(..3)?,
        41 => rest.get(..6)?,
        _ => return None,
    };
    let mut prefix = [*protocol, 0, 0, 0, 0, 0, 0];
    prefix[1..=bytes.len()].copy_from_slice(bytes);
    Some(prefix)
}

/// What is said of a member that is said to forge.
#[derive(Clone, Debug, Default)]
pub(super) struct Accused {
    by: Vec<Accuser>,
    /// Two that are unrelated say so, or its leader has seen it.
    pub(super) forges: bool,
}

impl Accused {
    /// Whether this makes it a forger, which it was not before.
    fn accuse(&mut self, accuser: Accuser) -> bool {
        let forges = self.by.iter().any(|of| of.is_unrelated_to(&accuser));
        if !self.by.contains(&accuser) && self.by.len() < ACCUSERS_MAX {
            self.by.push(accuser);
        }
        forges && !core::mem::replace(&mut self.forges, true)
    }
}

impl Directory {
    /// Whether one member is fed by another, or was just before.
    fn is_or_was_fed_by(&self, member: &Member, slot: Slot, node: &NodeId, now: Instant) -> bool {
        [member.parent(), member.standby()].contains(&Some(slot))
            || member.had.contains(&Some(node.tag()))
            || member.was_failed_by(node, now)
    }
}

impl<S: Suite> Room<S> {
    /// A neighbour has sent a packet that nobody signed: those who place members are told.
    pub(crate) fn complain_of(&mut self, of: NodeId) {
        if self.region.is_some() {
            return self.distrust(of);
        }
        let complaint = Complaint::sign(&self.suite, &self.signer, &self.room, self.me, of, self.wall);
        let Complaint { by: node, of, at, signature } = complaint;
        self.report_up(Report::Complaint { node, of: of.tag(), at, signature });
    }

    /// A member complains of another, both of this region.
    pub(super) fn complaint(&mut self, by: NodeId, of: NodeTag, at: UnixSeconds, signature: Signature) {
        let (now, policy) = (self.now, self.policy);
        let Some(directory) = self.region.as_ref().map(|region| &region.directory) else { return };
        let accused = directory.slot_of_tag(of).and_then(|slot| Some((slot, directory.at(slot)?.node)));
        let (Some(member), Some((slot, of))) = (directory.get(&by), accused) else { return };
        let complaint = Complaint { by, of, at, signature };
        // What costs a signature comes last; who complained of this one before has been heard.
        if member.is_kept_from(&complaint.of, now) || !directory.is_or_was_fed_by(member, slot, &complaint.of, now) {
            return;
        }
        let accuser = Accuser::new(member, policy);
        if !complaint.verify(&self.suite, &self.room, self.wall) {
            return;
        }
        self.change_member(&complaint.by, |member| member.keep_from(complaint.of, now.after(NEVER)));
        if self.change_member(&complaint.of, |member| member.accused.accuse(accuser)) == Some(true) {
            self.distrust(complaint.of);
        }
    }

    /// Takes a member's children away, for good: it forges.
    fn distrust(&mut self, of: NodeId) {
        let now = self.now;
        self.change_member(&of, |member| member.accused.forges = true);
        let Some(directory) = self.region.as_mut().map(|region| &mut region.directory) else { return };
        let Some(slot) = directory.slot(&of) else { return };
        let fed: Vec<Slot> = directory.at(slot).map_or(&[][..], Member::children).to_vec();
        let stood_by: Vec<Slot> = directory.at(slot).map_or(&[][..], |of| &of.standing_by).to_vec();
        fed.iter().for_each(|child| directory.set_parent(*child, None, now));
        stood_by.iter().for_each(|child| directory.set_standby(*child, None, now));
        let node_of = |slot: &Slot| directory.at(*slot).map(|of| of.node);
        let nodes: Vec<NodeId> = fed.iter().chain(&stood_by).filter_map(node_of).collect();
        nodes.into_iter().for_each(|node| self.place(node, false));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accuser(link: u8, prefix: Option<u8>) -> Accuser {
        Accuser { link: Some(LinkTag([link; 16])), prefix: prefix.map(|of| [4, of, 0, 0, 0, 0, 0]) }
    }

    #[test]
    fn one_invite_or_one_network_is_not_enough() {
        let mut accused = Accused::default();
        for _ in 0..20 {
            assert!(!accused.accuse(accuser(1, None)));
        }
        assert!(!accused.accuse(Accuser { link: None, prefix: None }), "nor who came by no link");
        assert!(accused.accuse(accuser(2, None)) && accused.forges);
        assert!(!accused.accuse(accuser(3, None)), "it is known");
        let mut accused = Accused::default();
        assert!(!accused.accuse(accuser(1, Some(9))));
        assert!(!accused.accuse(accuser(1, Some(9))) && !accused.accuse(accuser(1, None)));
        assert!(accused.accuse(accuser(1, Some(10))));
    }

    #[test]
    fn a_network_is_24_bits_of_ipv4_and_48_of_ipv6() {
        let address = |bytes: &[u8]| Address::truncated(bytes.iter().copied());
        let v4 = |last| address(&[4, 192, 0, 2, last, 0x91, 2, 0x0f, 0xa1]);
        assert_eq!(prefix_of(&v4(1)), prefix_of(&v4(2)));
        assert_ne!(prefix_of(&v4(1)), prefix_of(&address(&[4, 192, 0, 3, 1])));
        let v6 = |sixth, last| address(&[41, 0x20, 1, 0x0d, 0xb8, 0, sixth, 0, 0, 0, 0, 0, 0, 0, 0, 0, last, 6]);
        assert_eq!(prefix_of(&v6(1, 1)), prefix_of(&v6(1, 2)));
        assert_ne!(prefix_of(&v6(1, 1)), prefix_of(&v6(2, 1)));
        assert_eq!(prefix_of(&address(&[4, 192, 0])), None, "cut");
        assert_eq!(prefix_of(&address(&[54, 3, 97, 98, 99])), None, "a name");
    }
}
