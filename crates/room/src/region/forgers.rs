//! Who was sent a forgery, and says so.
//!
//! A packet whose signature fails under a key that is on stage proves to its receiver, and to nobody else, that its neighbour made
//! it up. The receiver signs a complaint, which goes up the tree to its registry, and is believed as far as one member can be: the
//! two are never put together again. Only where two complain that one person cannot have brought in alone, by invites that
//! share no link or, in open rooms, from two address prefixes, the accused loses its children, and gets no others.

use core::time::Duration;
use std::collections::VecDeque;

use treehouse_invite::{Complaint, Policy};
use treehouse_wire::{Address, LinkTag, NodeId, NodeTag, Signature, Suite, UnixSeconds, control::Report};

use super::{Directory, Member, Slot};
use crate::{room::Room, time::Instant};

/// Two that are never to meet again.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);
/// Complaints whose signatures are looked at in a second.
const HEARD_A_SECOND: u8 = 20;
const SECOND: Duration = Duration::from_secs(1);
/// Forgers remembered, past it the oldest go.
const FORGERS_MAX: usize = 256;
/// Accusers remembered of one member. Two that are unrelated are enough.
const ACCUSERS_MAX: usize = 8;

/// Where a complaint comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Accuser {
    node: NodeId,
    /// The founder's link by which it came in: whoever holds that could have brought in others by it.
    link: Option<LinkTag>,
    /// The first 24 bits of an IPv4 address, or 48 of an IPv6 address.
    prefix: Option<[u8; 7]>,
}

impl Accuser {
    fn new(member: &Member, policy: Policy) -> Accuser {
        let open = policy == Policy::Open;
        let prefix = member.profile.addresses.iter().find_map(prefix_of).filter(|_| open);
        Accuser { node: member.node, link: member.lineage.first().copied(), prefix }
    }

    /// Whether one person can hardly be both.
    fn is_unrelated_to(&self, other: &Accuser) -> bool {
        let differ = |a: Option<[u8; 7]>, b: Option<[u8; 7]>| a.zip(b).is_some_and(|(a, b)| a != b);
        let apart = self.link.zip(other.link).is_some_and(|(a, b)| a != b) || differ(self.prefix, other.prefix);
        apart && self.node != other.node
    }
}

/// The network that a public address is in: the protocol's number and 24 bits of IPv4, or 48 of IPv6.
fn prefix_of(address: &Address) -> Option<[u8; 7]> {
    let (protocol, rest) = address.split_first()?;
    let bytes = match protocol {
        4 => rest.get(..3).filter(|bytes| !is_private(bytes))?,
        41 => rest.get(..6).filter(|bytes| bytes.first().is_some_and(|byte| byte >> 5 == 1))?,
        _ => return None,
    };
    let mut prefix = [*protocol, 0, 0, 0, 0, 0, 0];
    prefix[1..=bytes.len()].copy_from_slice(bytes);
    Some(prefix)
}

/// Networks that anybody may have at home: RFC 1918, RFC 6598, loopback and link-local.
fn is_private(bytes: &[u8]) -> bool {
    matches!(
        bytes,
        [0 | 10 | 127 | 224.., ..] | [172, 16..=31, ..] | [192, 168, ..] | [169, 254, ..] | [100, 64..=127, ..]
    )
}

/// What a leader has heard of forgers, beside what stands with each member.
#[derive(Debug, Default)]
pub(crate) struct Hearing {
    /// Complaints looked at in this second.
    lately: Option<(Instant, u8)>,
    /// Those that forge, also when they come anew.
    forgers: VecDeque<NodeId>,
}

impl Hearing {
    /// Whether another complaint may be looked at.
    fn may(&mut self, now: Instant) -> bool {
        let (since, count) = self.lately.filter(|(since, _)| now.since(*since) < SECOND).unwrap_or((now, 0));
        self.lately = Some((since, count.saturating_add(1)));
        count < HEARD_A_SECOND
    }

    fn note_forger(&mut self, node: NodeId) {
        if self.forgers.len() >= FORGERS_MAX {
            self.forgers.pop_front();
        }
        self.forgers.push_back(node);
    }

    /// Whether a member that comes is known to forge.
    pub(crate) fn is_forger(&self, node: &NodeId) -> bool {
        self.forgers.contains(node)
    }
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

impl Member {
    /// It comes, and is known to forge.
    pub(crate) fn know_forger(&mut self, forges: bool) {
        self.accused.forges |= forges;
    }
}

impl Directory {
    /// A member is placed with another. What it says itself of who feeds it is no ground to believe its complaints.
    pub(super) fn note_given(&mut self, slot: Slot, feed: Option<Slot>) {
        let tag = feed.and_then(|feed| self.at(feed)).map(|of| of.node.tag());
        if let Some(member) = self.at_mut(slot).filter(|of| tag.is_some() && !of.had.contains(&tag)) {
            member.had.rotate_right(1);
            member.had[0] = tag;
        }
    }
}

impl<S: Suite> Room<S> {
    /// A neighbour has sent a packet that nobody signed: those who place members are told.
    pub(crate) fn complain_of(&mut self, of: NodeId) {
        if self.region.as_ref().is_some_and(|region| region.directory.contains(&of)) {
            return self.distrust(of);
        }
        if self.is_host() {
            return;
        }
        let complaint = Complaint::sign(&self.suite, &self.signer, &self.room, self.me, of, self.wall);
        let Complaint { by: node, of, at, signature } = complaint;
        self.report_up(Report::Complaint { node, of: of.tag(), at, signature });
    }

    /// A member complains of another, both of this region.
    pub(super) fn complaint(&mut self, by: NodeId, of: NodeTag, at: UnixSeconds, signature: Signature) {
        let (now, policy) = (self.now, self.policy);
        let Some(directory) = self.region.as_ref().map(|region| &region.directory) else { return };
        let accused = directory.slot_of_tag(of).and_then(|slot| directory.at(slot)).map(|of| of.node);
        let (Some(member), Some(node)) = (directory.get(&by), accused) else { return };
        // What costs a signature comes last; who complained of this one before has been heard.
        if member.is_kept_from(&node, now) || !member.had.contains(&Some(of)) {
            return;
        }
        let (accuser, is_booster) = (Accuser::new(member, policy), member.is_booster());
        let complaint = Complaint { by, of: node, at, signature };
        // Whoever passes complaints on has not looked at them, and is not to blame.
        let may = self.region.as_mut().is_some_and(|region| region.hearing.may(now));
        if !may || !complaint.verify(&self.suite, &self.room, self.wall) {
            return;
        }
        self.change_member(&complaint.by, |member| member.keep_from(complaint.of, now.after(NEVER)));
        // Boost links are handed out to strangers: what they say takes nobody's children.
        let accused = |member: &mut Member| !is_booster && member.accused.accuse(accuser);
        if self.change_member(&complaint.of, accused) == Some(true) {
            self.distrust(complaint.of);
        }
    }

    /// Takes a member's children away, for good: it forges.
    fn distrust(&mut self, of: NodeId) {
        let now = self.now;
        self.change_member(&of, |member| member.accused.forges = true);
        let Some(region) = &mut self.region else { return };
        region.hearing.note_forger(of);
        let directory = &mut region.directory;
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

    fn accuser(node: u8, link: u8, prefix: Option<u8>) -> Accuser {
        let prefix = prefix.map(|of| [4, of, 0, 0, 0, 0, 0]);
        Accuser { node: NodeId([node; 32]), link: Some(LinkTag([link; 16])), prefix }
    }

    #[test]
    fn one_invite_or_one_network_is_not_enough() {
        let mut accused = Accused::default();
        for _ in 0..20 {
            assert!(!accused.accuse(accuser(1, 1, None)) && !accused.accuse(accuser(2, 1, None)));
        }
        assert!(!accused.accuse(Accuser { link: None, ..accuser(3, 0, None) }), "nor who came by no link");
        let mut accused = Accused::default();
        assert!(!accused.accuse(accuser(1, 1, None)) && !accused.accuse(accuser(1, 2, None)));
        assert!(accused.accuse(accuser(2, 2, None)) && accused.forges);
        assert!(!accused.accuse(accuser(3, 3, None)), "it is known");
        let mut accused = Accused::default();
        assert!(!accused.accuse(accuser(1, 1, Some(9))) && !accused.accuse(accuser(1, 1, Some(10))));
        assert!(!accused.accuse(accuser(2, 1, None)));
        assert!(accused.accuse(accuser(3, 1, Some(11))));
    }

    #[test]
    fn a_network_is_24_bits_of_ipv4_and_48_of_ipv6() {
        let address = |bytes: &[u8]| Address::truncated(bytes.iter().copied());
        for private in [[10, 1, 2], [127, 0, 0], [192, 168, 7], [172, 31, 0], [169, 254, 0], [100, 64, 0]] {
            let [a, b, c] = private;
            assert_eq!(prefix_of(&address(&[4, a, b, c, 1])), None, "anybody has it");
        }
        assert_eq!(prefix_of(&address(&[41, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1])), None);
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
