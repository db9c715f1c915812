//! The strategies that are compared, by name, with their settings.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{engine::Engine, measure::Outcome, plan::Plan, strategy::Strategy};

pub mod gossipsub;
pub mod hyparview;
mod messages;
pub mod plumtree;
pub mod random_tree;
pub mod star;
pub mod treehouse;

/// A strategy's name in scenarios and results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Name {
    /// A central server.
    Star,
    /// This project's own tree of rooms.
    Treehouse,
    /// A tree that grows at random.
    RandomTree,
    /// GossipSub.
    #[serde(rename = "gossipsub")]
    GossipSub,
    /// Plumtree over HyParView.
    Plumtree,
}

/// Settings of every strategy; a scenario has a section for each that it changes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// Of Treehouse.
    pub treehouse: treehouse::Settings,
    /// Of GossipSub.
    pub gossipsub: gossipsub::Settings,
    /// Of Plumtree.
    pub plumtree: plumtree::Settings,
    /// Of the membership below Plumtree.
    pub hyparview: hyparview::Settings,
}

/// A setting that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} in [{section}] must be {want}")]
pub struct SettingsError {
    /// The strategy's section.
    pub section: &'static str,
    /// The setting.
    pub key: &'static str,
    /// What it must be, and what it is.
    pub want: String,
}

impl Settings {
    /// Whether the settings of every strategy make sense.
    ///
    /// # Errors
    ///
    /// The first that does not.
    pub fn check(&self) -> Result<(), SettingsError> {
        self.gossipsub.check()?;
        self.plumtree.check()?;
        self.hyparview.check()
    }
}

/// How far a run has come.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Simulated time, in microseconds.
    pub now_us: u64,
    /// Simulated time at the end.
    pub duration_us: u64,
    /// Events handled.
    pub events: u64,
}

/// Runs a strategy in packet mode. `watch` is told of each simulated second; the run ends early where it answers false.
pub fn run_packets(
    name: Name,
    settings: &Settings,
    plan: Arc<Plan>,
    watch: &mut dyn FnMut(Progress) -> bool,
) -> Outcome {
    match name {
        Name::Star => drive(Engine::new(plan, |_| star::Star::default()), watch),
        Name::Treehouse => drive(Engine::new(plan, |plan| treehouse::Treehouse::new(plan, settings.treehouse)), watch),
        Name::GossipSub => drive(Engine::new(plan, |plan| gossipsub::GossipSub::new(plan, &settings.gossipsub)), watch),
        Name::Plumtree => {
            let make = |plan: &Arc<Plan>| plumtree::Plumtree::new(plan, settings.plumtree, settings.hyparview);
            drive(Engine::new(plan, make), watch)
        }
        Name::RandomTree => drive(Engine::new(plan, |plan| random_tree::RandomTree::new(plan)), watch),
    }
}

fn drive<S: Strategy>(mut engine: Engine<S>, watch: &mut dyn FnMut(Progress) -> bool) -> Outcome {
    let duration_us = engine.net().plan().duration_us;
    loop {
        let goes_on = engine.run_until(engine.net().now_us() + 1_000_000);
        let progress = Progress { now_us: engine.net().now_us(), duration_us, events: engine.events() };
        if !watch(progress) || !goes_on {
            return engine.finish();
        }
    }
}
