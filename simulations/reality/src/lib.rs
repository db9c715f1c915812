//! Simulation against reality: one world, lived through by real nodes and by the simulator.
//!
//! A scenario's plan says who comes and goes when, by what uplink, and how far everyone is from everyone. [`run`](run::run) starts a
//! real node for each member, the driver and the QUIC links that ship, in one process on loopback; a [`relay`] between them adds the
//! plan's delays. What they hear is written down with one clock and goes through the simulator's own
//! [`Recorder`](treehouse_sim::measure::Recorder), so that every figure is defined alike. [`compare`] puts it beside the same plan
//! in packet mode.

pub mod compare;
mod fit;
mod member;
mod record;
pub mod relay;
pub mod run;
pub mod sides;

pub use fit::{Unfit, check};
