//! A run under way, of whatever strategy.

use super::Engine;
use crate::{
    measure::Outcome,
    plan::NodeIx,
    strategy::{Place, Strategy},
};

/// A run under way. An [`Engine`] of Treehouse holds all code of a room: who takes one of these instead does not compile that again.
pub trait Run {
    /// Runs up to a time; false once the run is over.
    fn run_until(&mut self, until_us: u64) -> bool;

    /// Simulated time, in microseconds since the start.
    fn now_us(&self) -> u64;

    /// Events handled so far.
    fn events(&self) -> u64;

    /// Where a node is now.
    fn place(&self, node: NodeIx) -> Place;

    /// Ends the run where it is.
    fn finish(self: Box<Self>) -> Outcome;

    /// Ends a run that was begun [with spans](Engine::with_spans): what the packets came to, and what the spans.
    fn finish_both(self: Box<Self>) -> (Outcome, Outcome);

    /// Runs to the end.
    fn run(self: Box<Self>) -> Outcome;
}

impl<S: Strategy> Run for Engine<S> {
    fn run_until(&mut self, until_us: u64) -> bool {
        Engine::run_until(self, until_us)
    }

    fn now_us(&self) -> u64 {
        self.net.now_us
    }

    fn events(&self) -> u64 {
        self.events
    }

    fn place(&self, node: NodeIx) -> Place {
        self.strategy.place(node)
    }

    fn finish(self: Box<Self>) -> Outcome {
        Engine::finish(*self)
    }

    fn finish_both(self: Box<Self>) -> (Outcome, Outcome) {
        Engine::finish_both(*self)
    }

    fn run(self: Box<Self>) -> Outcome {
        Engine::run(*self)
    }
}
