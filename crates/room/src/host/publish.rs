//! The room state as the host signs it: at most twice a second, everything that changed at once.

use core::time::Duration;
use std::sync::Arc;

use treehouse_invite::{Role, RoomState, Stage, StageMember, StateList};
use treehouse_wire::{NodeId, Suite, limits::STAGE_MAX};

use super::{TREE_OF_THREE_BELOW, TREE_OF_THREE_FROM};
use crate::{
    api::RoomError,
    region::{Member, Slot, weaker},
    room::Room,
    timers::Timer,
};

/// Changes are coalesced to two states a second.
const PUBLISH: Duration = Duration::from_millis(500);
/// A co-root feeds at least this many.
const CO_ROOT_CHILDREN_MIN: u8 = 2;

impl<S: Suite> Room<S> {
    /// Publishes what has changed, at once or when half a second has passed since the last time.
    pub(crate) fn publish_soon(&mut self) {
        let now = self.now;
        let Some(acting) = &mut self.acting else { return };
        acting.dirty = true;
        let at = acting.published.map_or(now, |at| at.after(PUBLISH));
        if at <= now {
            self.publish_state();
        } else {
            self.timers.arm_by(Timer::Publish, at);
        }
    }

    /// Signs the state and floods it.
    pub(crate) fn publish_state(&mut self) {
        let now = self.now;
        let rotates = self.key_is_due();
        if rotates {
            self.draw_key();
            if let Some(acting) = &mut self.acting {
                acting.recording = acting.recording_wanted;
            }
        }
        let (Some(acting), Some(region)) = (&mut self.acting, &self.region) else { return };
        if !acting.dirty && !rotates {
            return;
        }
        let Some(stage) = Stage::new(acting.stage.values().cloned().collect()) else { return };
        acting.dirty = false;
        acting.published = Some(now);
        acting.version = acting.version.saturating_add(1);
        let state = RoomState {
            host: self.me,
            term: acting.rotation.epoch.term,
            version: acting.version,
            epoch: acting.rotation.epoch,
            protection: region.directory.protection(),
            frames_per_packet: if acting.tree_of_three { 3 } else { 1 },
            recording: acting.recording,
            co_root: acting.co_root,
            members: self.members,
            stage_digest: stage.digest(),
            bans_digest: acting.bans.digest(),
            key_digest: acting.rotation.digest,
        };
        let bans = Arc::clone(&acting.bans);
        let statement = state.sign(&self.suite, &self.signer, &self.room);
        self.install_state(None, state, statement, Arc::new(stage), bans);
        if rotates {
            self.flood_key(None);
        }
    }

    /// The flag changes with the room key, in one state: so an epoch is recorded from its beginning or not at all, and the key of what
    /// was said unrecorded is none of the keys that a recording gives away.
    pub(crate) fn set_recording(&mut self, on: bool) -> Result<(), RoomError> {
        let acting = self.acting.as_mut().ok_or(RoomError::NotHost)?;
        if acting.recording_wanted != on {
            acting.recording_wanted = on;
            self.rotate_now();
        }
        Ok(())
    }

    /// Brings a member whose hand is up onto the stage.
    pub(crate) fn promote(&mut self, node: NodeId) -> Result<(), RoomError> {
        let own = (node == self.me).then(|| StageMember {
            node,
            role: Role::Host,
            name: self.name.clone(),
            claim: self.own_voice.as_ref().map(|voice| voice.claim),
        });
        let (Some(acting), Some(region)) = (&mut self.acting, &self.region) else { return Err(RoomError::NotHost) };
        let listed = region.directory.get(&node).filter(|member| member.hand.is_some());
        let member = own.or_else(|| listed.map(|member| member.stage_member(member.hand)));
        let mut member = member.ok_or(RoomError::NoSuchHand)?;
        member.role = member.role.max(Role::Speaker);
        if acting.stage.len() >= STAGE_MAX && !acting.stage.contains_key(&node) {
            return Err(RoomError::StageFull);
        }
        let voice = member.claim.map(|claim| claim.key.voice());
        let taken =
            |(of, other): (&NodeId, &StageMember)| *of != node && other.claim.map(|claim| claim.key.voice()) == voice;
        if acting.stage.iter().any(taken) {
            return Err(RoomError::NoSuchHand);
        }
        acting.stage.insert(node, member);
        if let Some(region) = &mut self.region {
            region.hands.retain(|of| *of != node);
        }
        self.publish_soon();
        self.introduce(node);
        Ok(())
    }

    /// Sends a member back to the audience. The host keeps its place, without a voice.
    pub(crate) fn demote(&mut self, node: NodeId) -> Result<(), RoomError> {
        let me = self.me;
        let acting = self.acting.as_mut().ok_or(RoomError::NotHost)?;
        if node == me {
            if let Some(member) = acting.stage.get_mut(&me) {
                member.claim = None;
            }
        } else {
            acting.stage.remove(&node);
            self.change_member(&node, |member| member.hand = None);
        }
        self.publish_soon();
        Ok(())
    }

    /// Puts the host itself on the stage when the room opens.
    pub(crate) fn take_the_stage(&mut self) {
        let (me, name) = (self.me, self.name.clone());
        if let Some(acting) = &mut self.acting {
            acting.stage.insert(me, StageMember { node: me, role: Role::Host, name, claim: None });
        }
    }

    /// Three frames a packet down the tree once the audience is large, with hysteresis.
    pub(crate) fn choose_packetisation(&mut self) {
        let Some(acting) = &mut self.acting else { return };
        let audience = (self.members as usize).saturating_sub(1 + acting.stage.len());
        let three = if acting.tree_of_three { audience >= TREE_OF_THREE_BELOW } else { audience > TREE_OF_THREE_FROM };
        if acting.tree_of_three != three {
            acting.tree_of_three = three;
            self.publish_soon();
        }
    }

    /// Once a second: protects feeds as well as spare capacity allows, where nobody has said how well.
    pub(crate) fn choose_protection(&mut self) {
        let now = self.now;
        let Some(region) = &mut self.region else { return };
        let (present, slots, members) =
            (region.directory.protection(), region.directory.slots(), region.directory.len());
        let Some(auto) = &mut region.auto else { return };
        let chosen = auto.choose(present, slots, members, now);
        if chosen != present {
            region.directory.protect(chosen, now);
            self.publish_soon();
        }
    }

    /// Whether the room could protect feeds less well of its own accord.
    pub(crate) fn may_relax_protection(&self) -> bool {
        let auto = self.region.as_ref().filter(|region| region.auto.is_some());
        auto.is_some_and(|region| weaker(region.directory.protection()).is_some())
    }

    /// Somebody may come and there is no slot: the room protects feeds less well.
    pub(crate) fn relax_protection(&mut self) {
        let now = self.now;
        let Some(region) = &mut self.region else { return };
        if let Some(weaker) = weaker(region.directory.protection()) {
            region.directory.protect(weaker, now);
            self.publish_soon();
        }
    }

    /// A hub reckons with the protection that the room state says.
    pub(crate) fn follow_protection(&mut self) {
        let (now, said) = (self.now, self.state.head().map(|state| state.protection));
        let Some(region) = self.region.as_mut().filter(|region| region.hub.is_some()) else { return };
        if let Some(said) = said.filter(|said| *said != region.directory.protection()) {
            region.directory.protect(said, now);
        }
    }

    /// Keeps a co-root: of the members that the host itself feeds, the one with most slots, the oldest among equals.
    ///
    /// Only a child of the host can be one: its only feed beside the stage must come before it in the order.
    pub(crate) fn choose_co_root(&mut self) {
        let now = self.now;
        let (Some(acting), Some(region)) = (&mut self.acting, &self.region) else { return };
        let directory = &region.directory;
        let fits = |slot: &Slot| {
            directory.at(*slot).filter(|of| {
                of.parent() == Some(Slot::SELF)
                    && !of.leads
                    && !of.is_booster()
                    && of.is_there()
                    && of.is_capable()
                    && of.profile.children_max >= CO_ROOT_CHILDREN_MIN
            })
        };
        // Of so many children some always come and go: only one that many have lost at once is replaced.
        let stays = |slot: Slot| fits(&slot).is_some_and(|of| !of.standing.fails_badly(now));
        if acting.co_root.and_then(|node| directory.slot(&node)).is_some_and(stays) {
            return;
        }
        let children = directory.at(Slot::SELF).map_or(&[][..], Member::children);
        let settled = children.iter().filter_map(fits).filter(|of| of.placed_at.is_none());
        let settled = settled.filter(|of| of.proven && of.is_trusted(now));
        let best = settled.max_by_key(|of| (of.profile.children_max, core::cmp::Reverse(of.admission)));
        let chosen = best.map(|of| of.node);
        if acting.co_root == chosen {
            return;
        }
        acting.co_root = chosen;
        self.publish_soon();
        if let Some(node) = chosen {
            self.introduce(node);
            // A new placement, for the rank of a root.
            self.place(node, false);
        }
    }
}
