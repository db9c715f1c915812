//! The signed room state as a member holds it, and how it floods.
//!
//! The host signs a head that names the stage list and the list of bans by their digests. A member takes over a head once it
//! verifies, is newer, and the lists are at hand; then it lets go whom they ban, and passes all on to the others whom it feeds.
//! A neighbour whose tick names a newer state is asked for it.

use core::time::Duration;
use std::sync::Arc;

use treehouse_invite::{Assembly, Bans, RoomState, Stage, StateList};
use treehouse_wire::{Control, NodeId, Suite, control::Statement};

use crate::{
    api::{Event, Offence},
    keys::Keys,
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

/// A state whose lists have not all come yet.
struct Pending {
    state: RoomState,
    statement: Statement,
    stage: Wanted<Stage>,
    bans: Wanted<Bans>,
}

/// A list that a state names.
enum Wanted<L> {
    Here(Arc<L>),
    Comes(Assembly<L>),
}

impl<L: StateList> Wanted<L> {
    /// The list at hand where it is that of the digest.
    fn new(held: &Arc<L>, digest: [u8; 32]) -> Self {
        if held.digest() == digest { Wanted::Here(Arc::clone(held)) } else { Wanted::Comes(Assembly::new(digest)) }
    }

    fn here(&self) -> Option<Arc<L>> {
        match self {
            Wanted::Here(list) => Some(Arc::clone(list)),
            Wanted::Comes(_) => None,
        }
    }

    /// Takes one piece; none where it is of another list, else whether it can be one.
    fn add(&mut self, digest: [u8; 32], index: u8, of: u8, part: &[u8]) -> Option<bool> {
        let Wanted::Comes(assembly) = self else { return None };
        if *assembly.digest() != digest {
            return None;
        }
        match assembly.add(digest, index, of, part) {
            Ok(Some(list)) => *self = Wanted::Here(Arc::new(list)),
            Ok(None) => {}
            Err(_) => return Some(false),
        }
        Some(true)
    }
}

/// The newest state, and the one that is still incomplete.
#[derive(Default)]
pub(crate) struct HeldState {
    current: Option<Arc<Head>>,
    stage: Arc<Stage>,
    bans: Arc<Bans>,
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
            share(&mut pool.bans, &mut self.bans);
        }
    }

    /// The newest state, and as the host signed it.
    pub(crate) fn signed(&self) -> Option<(&RoomState, &Statement)> {
        self.current.as_ref().map(|head| (&head.state, &head.statement))
    }

    pub(crate) fn stage(&self) -> &Stage {
        &self.stage
    }

    pub(crate) fn bans(&self) -> &Bans {
        &self.bans
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
        // An empty list is what everyone begins with.
        if !self.bans.is_empty() {
            messages.extend(self.bans.parts());
        }
        messages
    }
}

/// What many rooms in one process hold alike: the room state and its stage list. See [`Room::share`].
#[derive(Debug, Default)]
pub struct Pool {
    heads: Vec<Arc<Head>>,
    stages: Vec<Arc<Stage>>,
    bans: Vec<Arc<Bans>>,
    keys: Vec<Arc<Keys>>,
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
        if self.keys.is_settled() {
            share(&mut pool.keys, &mut self.keys);
        }
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
        let stage = Wanted::new(&self.state.stage, state.stage_digest);
        let bans = Wanted::new(&self.state.bans, state.bans_digest);
        self.state.pending = Some(Box::new(Pending { state, statement, stage, bans }));
        self.install_pending(from);
    }

    pub(crate) fn state_part(&mut self, from: NodeId, digest: [u8; 32], index: u8, of: u8, part: &[u8]) {
        let Some(pending) = &mut self.state.pending else { return };
        let stage = pending.stage.add(digest, index, of, part);
        // Parts of two states may mix on their way; only what cannot be a part at all is an offence.
        match stage.or_else(|| pending.bans.add(digest, index, of, part)) {
            Some(true) => self.install_pending(from),
            Some(false) => self.offended(from, Offence::Malformed),
            None => {}
        }
    }

    /// Takes over the state that waits, once all its lists are there.
    fn install_pending(&mut self, from: NodeId) {
        let lists = self.state.pending.as_ref().and_then(|pending| Some((pending.stage.here()?, pending.bans.here()?)));
        let Some((stage, bans)) = lists else { return };
        if let Some(pending) = self.state.pending.take() {
            let Pending { state, statement, .. } = *pending;
            self.install_state(Some(from), state, statement, stage, bans);
        }
    }

    /// Takes over a state that the host signed, and passes it on.
    pub(crate) fn install_state(
        &mut self,
        from: Option<NodeId>,
        state: RoomState,
        statement: Statement,
        stage: Arc<Stage>,
        bans: Arc<Bans>,
    ) {
        let was_recording = self.state.head().is_some_and(|old| old.recording);
        let was_protected = self.state.head().map(|old| old.protection);
        let stage_changed = stage != self.state.stage;
        // The host vouches for the list; the speakers' own signatures say that it did not make up their keys.
        if stage_changed && !stage.verify_claims(&self.suite, &self.room) {
            return;
        }
        let (recording, protection) = (state.recording, state.protection);
        let bans_changed = bans != self.state.bans;
        self.state.stage = stage;
        self.state.bans = bans;
        self.state.current = Some(Arc::new(Head { state, statement }));
        self.record_state();
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
        if was_protected != Some(protection) {
            self.event(Event::Protection(protection));
        }
        if bans_changed && !self.expel_banned() {
            return;
        }
        self.flood_state(from, bans_changed);
        self.expect_key();
        self.stage_changed();
        self.receive_held();
    }

    /// Those who get the room state and the room key from this node, whose certificates it has seen.
    pub(crate) fn who_gets_state(&self) -> Vec<NodeId> {
        let mut to = self.children.with_purpose(|_| true);
        to.extend(self.stage_links.listeners());
        to.sort_unstable();
        to.dedup();
        to
    }

    fn flood_state(&mut self, from: Option<NodeId>, bans_changed: bool) {
        let mut messages = self.state.messages();
        if !bans_changed {
            // Who has the state before has this list; who has not asks for all of it.
            let stage_parts = self.state.stage.parts().len();
            messages.truncate(1 + stage_parts);
        }
        for peer in self.who_gets_state().into_iter().filter(|peer| Some(*peer) != from) {
            for message in &messages {
                self.send(peer, message);
            }
        }
    }

    pub(crate) fn send_state(&mut self, to: NodeId) {
        for message in self.state.messages() {
            self.send(to, &message);
        }
        self.send_key(to);
    }

    /// A neighbour named its newest state.
    pub(crate) fn learn_state_id(&mut self, from: NodeId, id: (u16, u32)) {
        if id > self.state.id() {
            self.ask_state(from);
        }
    }

    /// Asks a neighbour for the newest state, its lists and its key, not all the time.
    pub(crate) fn ask_state(&mut self, from: NodeId) {
        let now = self.now;
        let Some(link) = self.links.get(&from) else { return };
        if link.state_asked.is_none_or(|at| now.since(at) >= ASK) {
            link.state_asked = Some(now);
            // What is pending may have lost a part on its way.
            self.state.pending = None;
            self.send(from, &Control::StateWanted);
        }
    }
}
