//! Sound as spans of time instead of packets, or beside them: the engine's side of flow mode.

use super::{Engine, Net};
use crate::{
    flow::Media,
    measure::Outcome,
    plan::NodeIx,
    strategy::{Place, Strategy},
};

impl<S: Strategy> Engine<S> {
    /// Computes sound as spans of time over the feeds that the strategy tells of, and asks for no packet to be sent: flow mode.
    #[must_use]
    pub fn in_flow(mut self) -> Self {
        self.net.record.is_silent = true;
        self.net.media = Some(Box::new(Media::new(&self.net.plan)));
        self
    }

    /// Sends every packet and computes the same sound as spans of time beside it, over the very same tree: what flow mode
    /// makes of sound can be held against packets. See [`Engine::finish_both`].
    #[must_use]
    pub fn with_spans(mut self) -> Self {
        let rows = self.net.record.outcome.nodes.clone();
        let outcome = Outcome { warmup_us: self.net.plan.warmup_us, nodes: rows, ..Outcome::default() };
        self.net.beside = Some(Box::new(outcome));
        self.net.media = Some(Box::new(Media::new(&self.net.plan)));
        self
    }

    /// Ends a run that was begun [with spans](Engine::with_spans): what the packets came to, and what the spans.
    pub fn finish_both(mut self) -> (Outcome, Outcome) {
        let now_us = self.net.now_us;
        if let Some((media, out)) = self.net.sound() {
            media.finish(now_us, out);
        }
        self.net.media = None;
        let mut spans = self.net.beside.take().map(|outcome| *outcome).unwrap_or_default();
        spans.ended_us = now_us;
        (self.finish(), spans)
    }
}

impl<S: Strategy> Net<S> {
    /// Whether this is flow mode: sound is not to be sent, but [`Net::feeds`] to be told who feeds whom.
    pub fn is_flow(&self) -> bool {
        self.media.is_some() && self.beside.is_none()
    }

    /// Whether [`Net::feeds`] and the like are listened to.
    pub fn wants_feeds(&self) -> bool {
        self.media.is_some()
    }

    /// The sound as spans, and where it is counted.
    pub(super) fn sound(&mut self) -> Option<(&mut Media, &mut Outcome)> {
        let media = self.media.as_deref_mut()?;
        Some((media, self.beside.as_deref_mut().unwrap_or(&mut self.record.outcome)))
    }

    /// In flow mode: whom a node sends all packets from now on, in the order in which it does.
    pub fn feeds(&mut self, node: NodeIx, children: Vec<NodeIx>) {
        let now_us = self.now_us;
        if let Some((media, out)) = self.sound() {
            media.feeds(node, children, now_us, out);
        }
    }

    /// In flow mode: a node with more children than it could name at each change sends one of them all packets from now on, or no
    /// more. Places in its queue are left out: its uplink is that of a server.
    pub fn feed(&mut self, node: NodeIx, child: NodeIx, on: bool) {
        let now_us = self.now_us;
        if let Some((media, out)) = self.sound() {
            media.feed(node, child, on, now_us, out);
        }
    }

    /// In flow mode: a node is, or is no more, a second root that speakers send to.
    pub fn co_root(&mut self, node: NodeIx, on: bool) {
        let now_us = self.now_us;
        if let Some((media, out)) = self.sound() {
            media.set_co_root(node, on, now_us, out);
        }
    }

    /// In flow mode: where a node is in the tree, whenever that changes.
    pub fn placed(&mut self, node: NodeIx, place: Place) {
        if let Some((media, out)) = self.sound() {
            media.placed(node, place, out);
        }
    }

    /// In flow mode: what a node sends each second although nothing changes, in bytes on the wire.
    pub fn regular(&mut self, node: NodeIx, bytes_per_s: u32) {
        if let Some((media, _)) = self.sound() {
            media.regular(node, bytes_per_s);
        }
    }

    /// A node listens no more.
    pub(super) fn left(&mut self, node: NodeIx) {
        let now_us = self.now_us;
        self.record.left(node, now_us, true);
        if let Some((media, out)) = self.sound() {
            media.left(node, now_us, out);
        }
    }
}
