//! Scenarios: what a researcher writes down, in TOML, to say what world a strategy is to live in.
//!
//! Every key has a default, so that a scenario holds only what matters to it. Quantities carry their units ([`units`]); a
//! wrong key, word or unit is an error that names its line and the nearest valid one ([`ScenarioError`]). Keys can be
//! replaced from the command line: `--set sessions.crash=50%`.
//!
//! ```
//! use treehouse_sim::scenario::Scenario;
//!
//! let sets = [("members".to_owned(), "50".to_owned())];
//! let scenario = Scenario::load("smoke", &sets)?;
//! let plan = scenario.plan(scenario.seed)?;
//! assert!(plan.nodes.len() >= 50);
//! # Ok::<(), treehouse_sim::scenario::ScenarioError>(())
//! ```

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{
    models::{
        access::Access, adversaries::Adversaries, arrivals::Arrivals, delay::DelaySettings,
        incidents::IncidentSettings, media::MediaSettings, network::NetworkSettings, sessions::Sessions, talk::Talk,
    },
    strategies,
};

mod check;
mod document;
mod error;
mod nearest;
mod shipped;
pub mod units;
mod world;

pub use error::{Place, ScenarioError};
pub use shipped::shipped;

use units::Time;

/// How a run is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Every packet is an event; up to 20,000 members.
    #[default]
    Packet,
    /// The control plane is exact, media are sweeps over arrays; to a million members.
    Flow,
}

/// A scenario, whole: each section is the struct of its model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Scenario {
    /// Its name: that of the file without its ending.
    #[serde(skip)]
    pub name: String,
    /// Where files that it names are looked for: the folder of its own file.
    #[serde(skip)]
    pub folder: PathBuf,
    /// One line on what it is for.
    pub description: String,
    /// Which strategy runs in it. Default `treehouse`.
    pub strategy: strategies::Name,
    /// How it is computed. Default `packet`.
    pub mode: Mode,
    /// Seed of all random streams. Default 1.
    pub seed: u64,
    /// Members at the end of the ramp, the host among them. Default 1000.
    pub members: u32,
    /// Length of the run. Default 120 s.
    pub duration: Time,
    /// Figures count from here. Default 30 s.
    pub warmup: Time,
    /// How sound is cut.
    pub media: MediaSettings,
    /// How far members are from each other.
    pub delay: DelaySettings,
    /// What they connect by.
    pub access: Access,
    /// What happens to packets on their way.
    pub network: NetworkSettings,
    /// Who comes when.
    pub arrivals: Arrivals,
    /// How long they stay.
    pub sessions: Sessions,
    /// Who speaks.
    pub talk: Talk,
    /// Who is hostile.
    pub adversaries: Adversaries,
    /// What happens when.
    pub incidents: Vec<IncidentSettings>,
    /// Settings of the strategies: `[settings.NAME]`.
    pub settings: strategies::Settings,
}

impl Default for Scenario {
    fn default() -> Self {
        Scenario {
            name: String::new(),
            folder: PathBuf::new(),
            description: String::new(),
            strategy: strategies::Name::Treehouse,
            mode: Mode::default(),
            seed: 1,
            members: 1000,
            duration: Time(120_000_000),
            warmup: Time(30_000_000),
            media: MediaSettings::default(),
            delay: DelaySettings::default(),
            access: Access::default(),
            network: NetworkSettings::default(),
            arrivals: Arrivals::default(),
            sessions: Sessions::default(),
            talk: Talk::default(),
            adversaries: Adversaries::default(),
            incidents: Vec::new(),
            settings: strategies::Settings::default(),
        }
    }
}

#[cfg(test)]
mod tests;
