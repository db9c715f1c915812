//! Models of the world that a scenario picks from: each documents its source, and each is replaced by a word in the scenario.

pub mod access;
pub mod adversaries;
pub mod arrivals;
pub mod delay;
pub mod incidents;
pub mod media;
pub mod network;
pub mod sessions;
pub mod talk;
pub mod ticks;
pub mod trace;
