//! The stage: raising a hand, being brought up, and the direct links that carry each voice to the others in one hop.
//!
//! Whoever needs a voice first-hand (members of the stage, the roots) subscribes to its speaker for
//! [`Purpose::Stage`]. The host tells both ends where the other is; to keep them from dialling each other at once the
//! smaller id dials and the greater waits a moment. A pair that cannot connect still hears each other through the tree.

use core::time::Duration;

use treehouse_invite::{MediaClaim, Role};
use treehouse_wire::{
    Contact, Control, List, MediaKey, NodeId, Suite,
    control::{Decline, Purpose, Subscribe},
};

use crate::{api::RoomError, room::Room, speak::OwnVoice, time::Instant};

/// A contact that the host has sent is kept for this long although its node is not on stage yet.
const AHEAD: Duration = Duration::from_secs(5);
/// The greater id dials after this if the smaller has not.
const DIAL_SECOND: Duration = Duration::from_secs(2);

impl<S: Suite> Room<S> {
    /// Whether this node feeds the tree: the acting host or the co-root.
    pub(crate) fn is_root(&self) -> bool {
        self.is_host() || self.state.head().and_then(|state| state.co_root) == Some(self.me)
    }

    fn is_root_node(&self, node: &NodeId) -> bool {
        *node == self.host || self.state.head().and_then(|state| state.co_root) == Some(*node)
    }

    fn has_voice(&self, node: &NodeId) -> bool {
        self.state.stage().get(node).is_some_and(|member| member.claim.is_some())
    }

    /// Whether a node gets voices first-hand.
    fn is_first_hand(&self, node: &NodeId) -> bool {
        self.is_root_node(node) || self.state.stage().get(node).is_some()
    }

    /// Whether the stage is why there is a link to this peer.
    pub(crate) fn stage_needs(&self, peer: &NodeId) -> bool {
        let hears = self.is_first_hand(&self.me) && self.has_voice(peer);
        let heard = self.is_first_hand(peer) && self.has_voice(&self.me);
        hears || heard || self.stage_links.contains(peer) || self.stage_links.listens(peer)
    }

    pub(crate) fn raise_hand(&mut self, media_seed: &[u8; 32]) {
        let signer = self.suite.signer(media_seed);
        let key = MediaKey(self.suite.public_key(&signer));
        let claim = MediaClaim::sign(&self.suite, &self.signer, &self.room, &self.me, key);
        self.own_voice = Some(Box::new(OwnVoice::new(signer, claim)));
        self.host_link.raised = true;
        self.send_hand();
        if self.is_host() {
            let me = self.me;
            self.hand_raised(me, Some(claim));
        }
    }

    pub(crate) fn lower_hand(&mut self) {
        self.own_voice = None;
        self.send_hand();
        if self.is_host() {
            let me = self.me;
            self.hand_raised(me, None);
        }
    }

    /// Tells the registry about the hand: on change, and again after the link to it was lost. A hub counts it, and sends its
    /// member on when the host wants to see it.
    pub(crate) fn send_hand(&mut self) {
        let claim = self.own_voice.as_ref().map(|voice| {
            let proof = voice.prove(&self.suite, &self.room, &self.me);
            (voice.claim.key, voice.claim.signature, proof)
        });
        if self.is_host() || self.booster {
            return;
        }
        if claim.is_some() && self.has_hub() && self.may_speak_by_invite() && self.go_direct() {
            return;
        }
        let registry = self.registry();
        if claim.is_some() && self.is_in() && !self.links.is_up(&registry) {
            // It is sent once the link is there.
            return self.call_host();
        }
        self.send(registry, &Control::Hand { claim });
    }

    /// Whether the invite lets its holder speak without being asked: a hub's certificate does not say so.
    fn may_speak_by_invite(&self) -> bool {
        let last = self.host_link.invite.as_ref().and_then(|invite| invite.links().next_back());
        last.is_some_and(|link| link.terms.role >= Role::Speaker)
    }

    /// Leaves the hub for the host, to which it shows the invite; true where the host is linked and was asked: the hand follows
    /// when it has answered.
    fn go_direct(&mut self) -> bool {
        self.host_link.direct = true;
        self.go_by_host();
        let linked = self.is_in() && self.links.is_up(&self.host);
        self.host_link.closed = !linked;
        if linked {
            self.ask_admission();
        }
        linked
    }

    /// The stage has changed, or who is root: makes the direct links that are missing, drops those of no use.
    pub(crate) fn stage_changed(&mut self) {
        for speaker in self.stage_links.speakers() {
            if !self.is_first_hand(&self.me) || !self.has_voice(&speaker) {
                self.stage_links.remove_speaker(&speaker);
                // `Unsubscribe` would end a feed of the tree too; the speaker hears of the new stage itself.
                if self.feeds.get(&speaker).is_none() && !self.children.contains(&speaker) {
                    self.send(speaker, &Control::Unsubscribe);
                }
            }
        }
        for listener in self.stage_links.listeners().to_vec() {
            if !self.is_first_hand(&listener) {
                self.stage_links.remove_listener(&listener);
            }
        }
        let (host, co_root) = (self.host, self.state.head().and_then(|state| state.co_root));
        let is_root = |node: &NodeId| *node == host || Some(*node) == co_root;
        // Where somebody is may be known before the state that brings it up: that one comes down the tree, and one of before may be
        // under way still.
        let is_new = |at: Instant| self.now.since(at) < AHEAD;
        self.stage_contacts
            .retain(|node, (_, at)| self.state.stage().get(node).is_some() || is_root(node) || is_new(*at));
        self.link_stage();
    }

    /// Subscribes to each voice on stage if this node gets voices first-hand.
    pub(crate) fn link_stage(&mut self) {
        if !self.is_first_hand(&self.me) || !self.is_in() {
            return;
        }
        let voices =
            self.state.stage().members().iter().filter(|member| member.claim.is_some() && member.node != self.me);
        let speakers: Vec<NodeId> = voices.map(|member| member.node).collect();
        let now = self.now;
        for speaker in speakers {
            if !self.stage_links.is_due(&speaker, now) {
                continue;
            }
            if self.links.is_up(&speaker) {
                self.stage_ask(speaker);
            } else {
                self.dial_on_stage(&speaker);
            }
        }
        // A root cannot dial a speaker that is not reachable from outside: so that it hears the speaker when the host dies, the
        // speaker dials it.
        let co_root = self.state.head().and_then(|state| state.co_root).filter(|root| *root != self.me);
        if let Some(root) = co_root.filter(|root| self.has_voice(&self.me) && !self.links.is_up(root)) {
            self.dial_on_stage(&root);
        }
    }

    /// Connects to one on stage, or a root, once it is known where: the smaller id at once, and who cannot be dialled.
    fn dial_on_stage(&mut self, node: &NodeId) {
        let Some((contact, since)) = self.stage_contacts.get(node).cloned() else { return };
        if self.me < *node || self.addresses.is_empty() || self.now.since(since) >= DIAL_SECOND {
            self.dial(&contact);
        }
    }

    pub(crate) fn stage_ask(&mut self, speaker: NodeId) {
        let Some(held) = &self.certificate else { return };
        let request = Subscribe {
            certificate: held.statement.clone(),
            lease: held.lease.as_deref().cloned(),
            purpose: Purpose::Stage,
            relay: None,
            adopts: None,
            replay: false,
            from: List::default(),
        };
        self.stage_links.ask(speaker, self.now);
        self.send(speaker, &Control::Subscribe(Box::new(request)));
    }

    /// The host says where a member of the stage, or a root, can be reached.
    pub(crate) fn stage_contact(&mut self, contact: Contact) {
        if self.stage_contacts.len() >= treehouse_wire::limits::STAGE_MAX + 2 {
            return;
        }
        let (node, now) = (contact.node, self.now);
        self.stage_contacts.insert(node, (contact, now));
        self.link_stage();
    }

    /// Someone wants this node's voice first-hand.
    pub(crate) fn stage_subscribe(&mut self, from: NodeId) {
        let allowed = self.own_voice.is_some() && self.is_first_hand(&from);
        if !allowed || !self.stage_links.add_listener(from) {
            return self.send(from, &Control::Declined { purpose: Purpose::Stage, reason: Decline::NotOnStage });
        }
        let tick = self.own_tick();
        self.send(from, &Control::Subscribed { purpose: Purpose::Stage, tick });
    }

    pub(crate) fn stage_granted(&mut self, from: NodeId) {
        self.stage_links.grant(&from);
    }

    /// The speaker does not know yet that this node belongs to the stage; it is asked again later.
    pub(crate) fn stage_declined(&mut self, _from: NodeId) {}

    pub(crate) fn stage_link_up(&mut self, peer: NodeId) {
        if self.has_voice(&peer) && self.is_first_hand(&self.me) {
            self.stage_ask(peer);
        }
    }

    pub(crate) fn stage_link_down(&mut self, peer: NodeId) {
        self.stage_links.remove_speaker(&peer);
        self.stage_links.remove_listener(&peer);
    }

    /// Brings a member whose hand is up onto the stage, or sends one back.
    pub(crate) fn set_on_stage(&mut self, peer: NodeId, on: bool) -> Result<(), RoomError> {
        if !self.is_host() {
            return Err(RoomError::NotHost);
        }
        if on { self.promote(peer) } else { self.demote(peer) }
    }
}
