//! What a scenario does to the world at a moment: a partition, the failure of many relays at once, the host's death.

use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::{
    plan::{Incident, NodePlan},
    random::Stream,
    scenario::units::{Share, Time},
};

/// What happens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A share of the members, never the host, can reach only each other for a while.
    #[default]
    Partition,
    /// A share of the members that feed others at that moment crash.
    RelaysFail,
    /// The host crashes.
    HostDies,
    /// The host puts a share of the members out, one after another, over `lasts`; of use to Treehouse alone.
    Kicks,
}

/// One of the sections `[[incidents]]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct IncidentSettings {
    /// What happens. Default `partition`.
    pub kind: Kind,
    /// When. Default 0 s.
    pub at: Time,
    /// Share of the members (of the relays) that it strikes; of no use with `host-dies`. No default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<Share>,
    /// How long a partition lasts, or kicks go on; of no use otherwise. No default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Time>,
}

impl IncidentSettings {
    /// The incident of this number in a scenario, with its time in microseconds.
    pub fn incident(&self, number: u64, seed: u64, nodes: &[NodePlan], persons: u32) -> (u64, Incident) {
        let share = self.share.unwrap_or_default().0;
        let incident = match self.kind {
            Kind::Partition => {
                let mut rng = Stream::Script.rng(seed ^ crate::random::mix(number));
                let mut side: Vec<u8> = (0..persons).map(|_| u8::from(rng.random::<f64>() < share)).collect();
                side.iter_mut().take(1).for_each(|host| *host = 0);
                let side_of = |node: &NodePlan| side.get(node.person as usize).copied().unwrap_or(0);
                let heals_us = self.at.0 + self.lasts.unwrap_or_default().0;
                Incident::Partition { sides: nodes.iter().map(side_of).collect(), heals_us }
            }
            Kind::RelaysFail => Incident::RelaysFail { share },
            Kind::HostDies => Incident::HostDies,
            Kind::Kicks => Incident::Kicks { share, lasts_us: self.lasts.unwrap_or_default().0 },
        };
        (self.at.0, incident)
    }
}
