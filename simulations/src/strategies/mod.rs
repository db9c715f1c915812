//! The strategies that are compared, by name, with their settings.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    engine::{Engine, Run},
    measure::Outcome,
    plan::Plan,
};

pub mod gossipsub;
pub mod hyparview;
mod messages;
pub mod plumtree;
pub mod random_tree;
pub mod splitstream;
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
    /// SplitStream.
    #[serde(rename = "splitstream")]
    SplitStream,
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
    /// Of SplitStream.
    pub splitstream: splitstream::Settings,
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
        self.hyparview.check()?;
        self.splitstream.check()
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

/// Starts a strategy in packet mode.
pub fn start_packets(name: Name, settings: &Settings, plan: Arc<Plan>) -> Box<dyn Run> {
    match name {
        Name::Star => Box::new(Engine::new(star::with_server(plan), |_| star::Star::default())),
        Name::Treehouse => treehouse::start(plan, settings.treehouse, treehouse::Sound::Packets),
        Name::GossipSub => Box::new(Engine::new(plan, |plan| gossipsub::GossipSub::new(plan, &settings.gossipsub))),
        Name::Plumtree => {
            let make = |plan: &Arc<Plan>| plumtree::Plumtree::new(plan, settings.plumtree, settings.hyparview);
            Box::new(Engine::new(plan, make))
        }
        Name::SplitStream => {
            Box::new(Engine::new(plan, |plan| splitstream::SplitStream::new(plan, settings.splitstream)))
        }
        Name::RandomTree => Box::new(Engine::new(plan, |plan| random_tree::RandomTree::new(plan))),
    }
}

/// Starts a strategy in flow mode.
///
/// # Errors
/// A sentence where the strategy, or what the plan asks for, exists in packet mode only.
pub fn start_flow(name: Name, settings: &Settings, plan: Arc<Plan>) -> Result<Box<dyn Run>, NotInFlow> {
    flow_can(&plan)?;
    match name {
        Name::Treehouse => Ok(treehouse::start(plan, settings.treehouse, treehouse::Sound::Spans)),
        Name::RandomTree => Ok(Box::new(Engine::new(plan, |plan| random_tree::RandomTree::new(plan)).in_flow())),
        Name::Star => Ok(Box::new(Engine::new(star::with_server(plan), |_| star::Star::default()).in_flow())),
        Name::GossipSub | Name::Plumtree | Name::SplitStream => Err(NotInFlow(NO_TREE)),
    }
}

/// Runs a strategy in packet mode. `watch` is told of each simulated second; the run ends early where it answers false.
pub fn run_packets(
    name: Name,
    settings: &Settings,
    plan: Arc<Plan>,
    watch: &mut dyn FnMut(Progress) -> bool,
) -> Outcome {
    let duration_us = plan.duration_us;
    drive(start_packets(name, settings, plan), duration_us, watch)
}

/// Runs a strategy in flow mode, as [`run_packets`] does in packet mode.
///
/// # Errors
/// A sentence where the strategy, or what the plan asks for, exists in packet mode only.
pub fn run_flow(
    name: Name,
    settings: &Settings,
    plan: Arc<Plan>,
    watch: &mut dyn FnMut(Progress) -> bool,
) -> Result<Outcome, NotInFlow> {
    let duration_us = plan.duration_us;
    Ok(drive(start_flow(name, settings, plan)?, duration_us, watch))
}

/// Something that exists in packet mode only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("flow mode cannot run {0}: --set mode=packet, and at most 20,000 members")]
pub struct NotInFlow(&'static str);

const NO_TREE: &str = "a strategy without a tree of feeds";

fn flow_can(plan: &Plan) -> Result<(), NotInFlow> {
    if plan.loss != crate::network::Loss::None {
        return Err(NotInFlow("losses (network.loss)"));
    }
    if plan.nodes.iter().any(|node| node.hostile.is_some()) {
        return Err(NotInFlow("hostile members (adversaries.share)"));
    }
    if plan.incidents.iter().any(|(_, incident)| matches!(incident, crate::plan::Incident::Partition { .. })) {
        return Err(NotInFlow("a partition"));
    }
    Ok(())
}

fn drive(mut run: Box<dyn Run>, duration_us: u64, watch: &mut dyn FnMut(Progress) -> bool) -> Outcome {
    loop {
        let goes_on = run.run_until(run.now_us() + 1_000_000);
        if !watch(Progress { now_us: run.now_us(), duration_us, events: run.events() }) || !goes_on {
            return run.finish();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_makes_no_sense_is_named_with_what_would() {
        assert_eq!(Settings::default().check(), Ok(()));
        let with = |change: fn(&mut Settings)| {
            let mut settings = Settings::default();
            change(&mut settings);
            settings.check().expect_err("it makes no sense").to_string()
        };
        assert_eq!(with(|of| of.gossipsub.d = 13), "d in [gossipsub] must be 1 to d-hi, which is 12, not 13");
        assert_eq!(with(|of| of.gossipsub.d_lo = 9), "d-lo in [gossipsub] must be at most d, which is 8, not 9");
        assert_eq!(with(|of| of.plumtree.keep_s = 90_000), "keep-s in [plumtree] must be at most 86400, not 90000");
        assert_eq!(with(|of| of.hyparview.active_max = 1), "active-max in [hyparview] must be 2 to 1000, not 1");
        assert_eq!(with(|of| of.splitstream.stripes = 0), "stripes in [splitstream] must be 1 to 64, not 0");
    }
}
