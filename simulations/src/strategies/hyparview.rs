//! HyParView: a small symmetric active view over live links, and a larger passive view to mend it from.
//!
//! Source: J. Leitão, J. Pereira, L. Rodrigues, "HyParView: a membership protocol for reliable gossip-based broadcast", DSN 2007 (extended
//! as DI-FCUL TR-07-13). A newcomer's contact spreads its coming by random walks (FORWARDJOIN) of length ARWL, at whose end it enters
//! an active view, and a passive one PRWL steps before the end. Active views are symmetric and change only when a link fails or
//! someone joins: the failed one is replaced from the passive view by NEIGHBOR requests, which only a node without any
//! neighbour makes with high priority, and which only these may not be refused. Shuffles refresh passive views.
//!
//! This is the membership of one node as a state machine: it takes what happened and leaves [`Action`]s. Whoever drives it owns
//! links and timers. A link that is up carries its active neighbour; the passive view's attempts dial first.

use rand::{RngExt, seq::SliceRandom};
use serde::{Deserialize, Serialize};

use super::SettingsError;
use crate::{plan::NodeIx, random::Rng};

/// Settings of HyParView; the defaults are the paper's for 10,000 nodes (section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// Neighbours at most: fanout 4 and one.
    pub active_max: usize,
    /// Members at most that a node knows beside these.
    pub passive_max: usize,
    /// Length of the walk that a newcomer's coming takes (ARWL).
    pub active_walk: u8,
    /// Steps before its end at which it enters a passive view (PRWL).
    pub passive_walk: u8,
    /// Neighbours named in a shuffle (k_a).
    pub shuffle_active: usize,
    /// Passive members named in a shuffle (k_p).
    pub shuffle_passive: usize,
    /// Interval of shuffles, in milliseconds.
    pub shuffle_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            active_max: 5,
            passive_max: 30,
            active_walk: 6,
            passive_walk: 3,
            shuffle_active: 3,
            shuffle_passive: 4,
            shuffle_ms: 10_000,
        }
    }
}

impl Settings {
    /// Whether they make sense together.
    ///
    /// # Errors
    ///
    /// The first setting that does not, with what would.
    pub fn check(&self) -> Result<(), SettingsError> {
        let wrong = |key, want: String| Err(SettingsError { section: "hyparview", key, want });
        if !(2..=1000).contains(&self.active_max) {
            return wrong("active-max", format!("2 to 1000, not {}", self.active_max));
        }
        if !(1..=10_000).contains(&self.passive_max) {
            return wrong("passive-max", format!("1 to 10000, not {}", self.passive_max));
        }
        if self.passive_walk > self.active_walk {
            return wrong("passive-walk", format!("at most active-walk, which is {}", self.active_walk));
        }
        if !(100..=3_600_000).contains(&self.shuffle_ms) {
            return wrong("shuffle-ms", format!("100 to 3600000, not {}", self.shuffle_ms));
        }
        Ok(())
    }
}

/// What nodes send each other.
#[derive(Clone, Debug)]
pub enum Message {
    /// A newcomer to its contact.
    Join,
    /// A newcomer's coming, and how many steps are left.
    ForwardJoin(NodeIx, u8),
    /// Be my neighbour; with high priority where it has no other.
    Neighbor {
        /// Not to be refused.
        is_urgent: bool,
    },
    /// The answer to that.
    NeighborReply {
        /// Whether it is one now.
        accepts: bool,
    },
    /// Not my neighbour any more.
    Disconnect,
    /// Members that the origin knows, on a walk with so many steps left.
    Shuffle {
        /// Who began it.
        origin: NodeIx,
        /// Steps left.
        ttl: u8,
        /// Whom it knows.
        members: Box<[NodeIx]>,
    },
    /// The answer to it, straight to its origin over a link of its own.
    ShuffleReply(Box<[NodeIx]>),
}

impl Message {
    /// Its size, with members as an id of 32 bytes and an address of 6.
    pub fn bytes(&self) -> u32 {
        const MEMBER: u32 = 38;
        match self {
            Message::Join | Message::Disconnect => 2,
            Message::Neighbor { .. } | Message::NeighborReply { .. } => 3,
            Message::ForwardJoin(..) => 3 + MEMBER,
            Message::Shuffle { members, .. } => 4 + MEMBER * (1 + members.len() as u32),
            Message::ShuffleReply(members) => 4 + MEMBER * members.len() as u32,
        }
    }
}

/// What the driver must do.
#[derive(Clone, Debug)]
pub enum Action {
    /// Send this, dialing first where there is no link.
    Send(NodeIx, Message),
    /// The link to it is of no more use once what was sent is out.
    Close(NodeIx),
    /// It is a neighbour now.
    Up(NodeIx),
    /// It is none any more.
    Down(NodeIx),
}

/// The membership of one node.
#[derive(Clone, Debug, Default)]
pub struct HyParView {
    me: Option<NodeIx>,
    /// Neighbours.
    pub active: Vec<NodeIx>,
    /// Others that it knows.
    pub passive: Vec<NodeIx>,
    /// Whom it has asked to be a neighbour, and whom it has asked in vain since it last won one.
    asked: Option<NodeIx>,
    refused: Vec<NodeIx>,
    /// What it named in its last shuffle: the first to make room.
    named: Vec<NodeIx>,
}

impl HyParView {
    /// The membership of a node that has just come, with the member that it was told of.
    pub fn new(me: NodeIx, contact: Option<NodeIx>, out: &mut Vec<Action>) -> Self {
        if let Some(contact) = contact {
            out.push(Action::Send(contact, Message::Join));
        }
        HyParView { me: Some(me), ..HyParView::default() }
    }

    /// Whether a member is a neighbour, or may become one.
    pub fn needs(&self, peer: NodeIx) -> bool {
        self.active.contains(&peer) || self.asked == Some(peer)
    }

    /// A message has come.
    pub fn receive(
        &mut self,
        settings: &Settings,
        rng: &mut Rng,
        from: NodeIx,
        message: Message,
        out: &mut Vec<Action>,
    ) {
        match message {
            Message::Join => {
                self.add_active(settings, rng, from, out);
                out.push(Action::Send(from, Message::NeighborReply { accepts: true }));
                for peer in self.active.iter().filter(|peer| **peer != from) {
                    out.push(Action::Send(*peer, Message::ForwardJoin(from, settings.active_walk)));
                }
            }
            Message::ForwardJoin(newcomer, ttl) => self.forward_join(settings, rng, from, newcomer, ttl, out),
            Message::Neighbor { is_urgent } => {
                let accepts = is_urgent || self.active.len() < settings.active_max || self.active.contains(&from);
                if accepts {
                    self.add_active(settings, rng, from, out);
                }
                out.push(Action::Send(from, Message::NeighborReply { accepts }));
            }
            Message::NeighborReply { accepts: true } => {
                self.asked = self.asked.filter(|asked| *asked != from);
                self.refused.clear();
                self.add_active(settings, rng, from, out);
            }
            Message::NeighborReply { accepts: false } => {
                self.asked = self.asked.filter(|asked| *asked != from);
                self.refused.push(from);
                out.push(Action::Close(from));
            }
            Message::Disconnect => {
                if self.drop_active(from, out) {
                    self.add_passive(settings, rng, from);
                    out.push(Action::Close(from));
                }
            }
            Message::Shuffle { origin, ttl, members } => {
                self.shuffled(settings, rng, from, (origin, ttl, members), out)
            }
            Message::ShuffleReply(members) => {
                members.iter().for_each(|member| self.add_passive(settings, rng, *member));
                out.push(Action::Close(from));
            }
        }
        self.mend(settings, rng, out);
    }

    /// The link to a member is gone, or did not come about.
    pub fn lost(&mut self, settings: &Settings, rng: &mut Rng, peer: NodeIx, out: &mut Vec<Action>) {
        self.drop_active(peer, out);
        self.passive.retain(|member| *member != peer);
        self.asked = self.asked.filter(|asked| *asked != peer);
        self.mend(settings, rng, out);
    }

    /// It is time to shuffle.
    pub fn shuffle(&mut self, settings: &Settings, rng: &mut Rng, out: &mut Vec<Action>) {
        self.refused.clear();
        self.mend(settings, rng, out);
        let (Some(me), Some(to)) = (self.me, pick(&self.active, rng, |_| true)) else { return };
        let mut members = sample(&self.active, settings.shuffle_active, rng);
        members.extend(sample(&self.passive, settings.shuffle_passive, rng));
        members.push(me);
        self.named.clone_from(&members);
        let ttl = settings.active_walk;
        out.push(Action::Send(to, Message::Shuffle { origin: me, ttl, members: members.into() }));
    }

    fn forward_join(
        &mut self,
        settings: &Settings,
        rng: &mut Rng,
        from: NodeIx,
        newcomer: NodeIx,
        ttl: u8,
        out: &mut Vec<Action>,
    ) {
        if Some(newcomer) == self.me {
            return;
        }
        let next = pick(&self.active, rng, |peer| peer != from && peer != newcomer).filter(|_| ttl > 0);
        let Some(next) = next else {
            if !self.active.contains(&newcomer) {
                self.add_active(settings, rng, newcomer, out);
                out.push(Action::Send(newcomer, Message::NeighborReply { accepts: true }));
            }
            return;
        };
        if ttl == settings.passive_walk {
            self.add_passive(settings, rng, newcomer);
        }
        out.push(Action::Send(next, Message::ForwardJoin(newcomer, ttl - 1)));
    }

    fn shuffled(
        &mut self,
        settings: &Settings,
        rng: &mut Rng,
        from: NodeIx,
        (origin, ttl, members): (NodeIx, u8, Box<[NodeIx]>),
        out: &mut Vec<Action>,
    ) {
        if Some(origin) == self.me {
            return;
        }
        let next = pick(&self.active, rng, |peer| peer != from && peer != origin).filter(|_| ttl > 1);
        if let Some(next) = next {
            return out.push(Action::Send(next, Message::Shuffle { origin, ttl: ttl - 1, members }));
        }
        let answer = sample(&self.passive, members.len(), rng);
        self.named.clone_from(&answer);
        members.iter().for_each(|member| self.add_passive(settings, rng, *member));
        out.push(Action::Send(origin, Message::ShuffleReply(answer.into())));
    }

    fn add_active(&mut self, settings: &Settings, rng: &mut Rng, peer: NodeIx, out: &mut Vec<Action>) {
        if Some(peer) == self.me || self.active.contains(&peer) {
            return;
        }
        if self.active.len() >= settings.active_max
            && let Some(victim) = pick(&self.active, rng, |_| true)
        {
            self.drop_active(victim, out);
            out.push(Action::Send(victim, Message::Disconnect));
            self.add_passive(settings, rng, victim);
        }
        self.passive.retain(|member| *member != peer);
        self.active.push(peer);
        out.push(Action::Up(peer));
    }

    fn drop_active(&mut self, peer: NodeIx, out: &mut Vec<Action>) -> bool {
        let Some(at) = self.active.iter().position(|of| *of == peer) else { return false };
        self.active.remove(at);
        out.push(Action::Down(peer));
        true
    }

    fn add_passive(&mut self, settings: &Settings, rng: &mut Rng, member: NodeIx) {
        if Some(member) == self.me || self.active.contains(&member) || self.passive.contains(&member) {
            return;
        }
        if self.passive.len() >= settings.passive_max {
            // Room is made by what the other side of a shuffle now knows, else at random.
            let named = self.passive.iter().position(|known| self.named.contains(known));
            let at = named.unwrap_or_else(|| rng.random_range(0..self.passive.len()));
            self.passive.swap_remove(at);
        }
        self.passive.push(member);
    }

    /// Asks one of the passive view to be a neighbour where there is room.
    fn mend(&mut self, settings: &Settings, rng: &mut Rng, out: &mut Vec<Action>) {
        if self.asked.is_some() || self.active.len() >= settings.active_max {
            return;
        }
        let is_urgent = self.active.is_empty();
        if is_urgent && self.passive.iter().all(|member| self.refused.contains(member)) {
            self.refused.clear();
        }
        if let Some(peer) = pick(&self.passive, rng, |member| !self.refused.contains(&member)) {
            self.asked = Some(peer);
            out.push(Action::Send(peer, Message::Neighbor { is_urgent }));
        }
    }
}

fn pick(of: &[NodeIx], rng: &mut Rng, which: impl Fn(NodeIx) -> bool) -> Option<NodeIx> {
    let count = of.iter().filter(|member| which(**member)).count();
    let at = (count > 0).then(|| rng.random_range(0..count))?;
    of.iter().copied().filter(|member| which(*member)).nth(at)
}

fn sample(of: &[NodeIx], count: usize, rng: &mut Rng) -> Vec<NodeIx> {
    let mut of = of.to_vec();
    of.partial_shuffle(rng, count).0.to_vec()
}
