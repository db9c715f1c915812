//! The signed room state as a member holds it, and how it floods.
//!
//! The host signs a head that names the stage list by its digest. A member takes over a head once it verifies, is newer,
//! and the list is at hand; then it passes both on to all whom it feeds. A neighbour whose tick names a newer state is
//! asked for it.

use core::time::Duration;
use std::sync::Arc;

use treehouse_invite::{RoomState, Stage, StageAssembly};
use treehouse_wire::{Control, NodeId, Suite, control::Statement};

use crate::{
    api::{Event, Offence},
    lead::Lead,
    room::Room,
};

/// A neighbour is asked for its state this often at most.
const ASK: Duration = Duration::from_millis(500);

/// The head of a state as its host signed it.
#[derive(Debug, PartialEq)]
pub(crate) struct Head {
    state: RoomState,
    statement: Statement,
}

/// A state whose stage list has not come yet.
struct Pending {
    state: RoomState,
    statement: Statement,
    assembly: StageAssembly,
}

/// The newest state, and the one that is still incomplete.
#[derive(Default)]
pub(crate) struct HeldState {
    current: Option<Arc<Head>>,
    stage: Arc<Stage>,
    pending: Option<Box<Pending>>,
}

impl HeldState {
    pub(crate) fn head(&self) -> Option<&RoomState> {
        self.current.as_ref().map(|head| &head.state)
    }

    /// Shares what others hold too.
    pub(crate) fn share(&mut self, pool: &mut Pool) {
        if let Some(head) = &mut self.current {
            share(&mut pool.heads, head);
            share(&mut pool.stages, &mut self.stage);
        }
    }

    pub(crate) fn stage(&self) -> &Stage {
        &self.stage
    }

    /// Term and version; zeros while there is none.
    pub(crate) fn id(&self) -> (u16, u32) {
        self.head().map_or((0, 0), RoomState::id)
    }

    /// The messages that carry this state.
    pub(crate) fn messages(&self) -> Vec<Control> {
        let Some(head) = &self.current else { return Vec::new() };
        let mut messages = vec![Control::State(head.statement.clone())];
        messages.extend(self.stage.parts());
        messages
    }
}

/// What many rooms in one process hold alike: the room state and its stage list. See [`Room::share`].
#[derive(Debug, Default)]
pub struct Pool {
    heads: Vec<Arc<Head>>,
    stages: Vec<Arc<Stage>>,
    leads: Vec<Arc<Lead>>,
    leases: Vec<Arc<Statement>>,
}

/// Puts the known value in place of an equal one, or makes a new one known and forgets those that nobody else holds.
fn share<T: PartialEq>(known: &mut Vec<Arc<T>>, value: &mut Arc<T>) {
    // The newest come last and are asked for most.
    match known.iter().rev().find(|known| Arc::ptr_eq(known, value) || *known == value) {
        Some(known) => *value = Arc::clone(known),
        None => {
            known.retain(|known| Arc::strong_count(known) > 1);
            known.push(Arc::clone(value));
        }
    }
}

impl<S: Suite> Room<S> {
    /// Lets go what `pool` has already, and holds the pool's instead. Nothing that the room does changes by it.
    ///
    /// For a simulator that holds many rooms: where it calls this after an [`Event::Stage`], or whenever
    /// [`View::state`](crate::View::state) has changed, all of them hold one room state.
    pub fn share(&mut self, pool: &mut Pool) {
        self.state.share(pool);
        if let Some(lead) = &mut self.host_link.lead {
            share(&mut pool.leads, lead);
        }
        if let Some(lease) = self.certificate.as_mut().and_then(|held| held.lease.as_mut()) {
            share(&mut pool.leases, lease);
        }
    }

    pub(crate) fn state_head(&mut self, from: NodeId, statement: Statement) {
        let Ok(state) = RoomState::verify(&self.suite, &statement, &self.room, &self.host) else {
            return self.offended(from, Offence::Forged);
        };
        let pending = self.state.pending.as_ref().map_or((0, 0), |pending| pending.state.id());
        if state.id() <= self.state.id() || state.id() <= pending || self.is_host() {
            return;
        }
        if state.stage_digest == self.state.stage.digest() {
            let stage = Arc::clone(&self.state.stage);
            self.state.pending = None;
            return self.install_state(Some(from), state, statement, stage);
        }
        let assembly = StageAssembly::new(state.stage_digest);
        self.state.pending = Some(Box::new(Pending { state, statement, assembly }));
    }

    pub(crate) fn stage_part(&mut self, from: NodeId, digest: [u8; 32], index: u8, of: u8, part: &[u8]) {
        let Some(mut pending) = self.state.pending.take() else { return };
        let wanted = digest == pending.state.stage_digest;
        match pending.assembly.add(digest, index, of, part) {
            Ok(Some(stage)) => {
                return self.install_state(Some(from), pending.state, pending.statement, Arc::new(stage));
            }
            Ok(None) => {}
            // Parts of two states may mix on their way; only what cannot be a part at all is an offence.
            Err(_) if wanted => self.offended(from, Offence::Malformed),
            Err(_) => {}
        }
        self.state.pending = Some(pending);
    }

    /// Takes over a state that the host signed, and passes it on.
    pub(crate) fn install_state(
        &mut self,
        from: Option<NodeId>,
        state: RoomState,
        statement: Statement,
        stage: Arc<Stage>,
    ) {
        let was_recording = self.state.head().is_some_and(|old| old.recording);
        let stage_changed = stage != self.state.stage;
        // The host vouches for the list; the speakers' own signatures say that it did not make up their keys.
        if stage_changed && !stage.verify_claims(&self.suite, &self.room) {
            return;
        }
        let recording = state.recording;
        self.state.stage = stage;
        self.state.current = Some(Arc::new(Head { state, statement }));
        if stage_changed {
            self.voices.forget_left(&self.state.stage);
            let members = self.state.stage.members().to_vec();
            self.event(Event::Stage(members));
            self.own_voice_staged();
            self.keep_floor_staged();
        }
        if was_recording != recording {
            self.event(Event::Recording(recording));
        }
        self.flood_state(from);
        self.stage_changed();
        self.receive_held();
    }

    fn flood_state(&mut self, from: Option<NodeId>) {
        let messages = self.state.messages();
        let mut to = self.children.with_purpose(|_| true);
        to.extend(self.stage_links.listeners());
        to.sort_unstable();
        to.dedup();
        for peer in to.into_iter().filter(|peer| Some(*peer) != from) {
            for message in &messages {
                self.send(peer, message);
            }
        }
    }

    pub(crate) fn send_state(&mut self, to: NodeId) {
        for message in self.state.messages() {
            self.send(to, &message);
        }
    }

    /// A neighbour named its newest state.
    pub(crate) fn learn_state_id(&mut self, from: NodeId, id: (u16, u32)) {
        let now = self.now;
        if id <= self.state.id() {
            return;
        }
        let Some(link) = self.links.get(&from) else { return };
        if link.state_asked.is_none_or(|at| now.since(at) >= ASK) {
            link.state_asked = Some(now);
            // What is pending may have lost a part on its way.
            self.state.pending = None;
            self.send(from, &Control::StateWanted);
        }
    }
}
