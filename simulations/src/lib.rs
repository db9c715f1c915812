//! `treehouse-sim`: drives a thousand to a million Rooms in virtual time.
//!
//! A [`Plan`](plan::Plan) is a world: members, churn, network, talk. A [`Strategy`](strategy::Strategy) is what its nodes do.
//! The [`engine`] runs one in the other and leaves an [`Outcome`](measure::Outcome).

pub mod engine;
mod flow;
pub mod measure;
pub mod models;
pub mod network;
pub mod plan;
pub mod queue;
pub mod random;
pub mod report;
pub mod results;
pub mod scenario;
pub mod statistics;
pub mod strategies;
pub mod strategy;
pub mod sweep;
