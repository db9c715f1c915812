//! What can be set, with the defaults of the issue at hand where it names them and of go-libp2p-pubsub where it does not.

use serde::{Deserialize, Serialize};

use crate::strategies::SettingsError;

/// Whom a node gossips to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GossipTargets {
    /// Random peers outside the mesh, new ones at each heartbeat: the specification.
    #[default]
    Random,
    /// Always the first peers outside the mesh, in the order of their numbers: what the simulator of "Lean Gossip" did when its
    /// first results were made (before its commit f4c15c0).
    First,
}

/// Settings of GossipSub.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// Mesh peers that a node wants (D).
    pub d: usize,
    /// Below this many it grafts (D_lo).
    pub d_lo: usize,
    /// Above this many it prunes (D_hi).
    pub d_hi: usize,
    /// Mesh peers that it wants to have connected to itself (D_out).
    pub d_out: usize,
    /// Peers that it gossips to, at the least (D_lazy).
    pub d_lazy: usize,
    /// Share of the peers outside the mesh that it gossips to, where that is more; 0 to 1.
    pub gossip_factor: f64,
    /// Whom it gossips to.
    pub gossip_targets: GossipTargets,
    /// Interval of the heartbeat, in milliseconds.
    pub heartbeat_ms: u64,
    /// Heartbeats for which a message can be asked for.
    pub mcache_len: usize,
    /// Heartbeats in which a message is gossiped.
    pub mcache_gossip: usize,
    /// For how long a node knows what it has seen, in seconds: what was published before it came counts as seen from then on.
    pub seen_ttl_s: u64,
    /// Whether a node sends what it publishes to all its peers, not to the mesh alone.
    pub flood_publish: bool,
    /// A message of this size or more is announced to the mesh by IDONTWANT, in bytes.
    pub idontwant_bytes: u32,
    /// Peers named in a PRUNE; 0 for no peer exchange.
    pub prune_peers: usize,
    /// For how long a pruned link is not grafted again, in seconds.
    pub prune_backoff_s: u64,
    /// Links that a newcomer opens, to members at random.
    pub links: usize,
    /// Whether a newcomer grafts as soon as links come up, as JOIN does, not at its first heartbeat.
    pub graft_on_join: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            d: 8,
            d_lo: 6,
            d_hi: 12,
            d_out: 2,
            d_lazy: 6,
            gossip_factor: 0.25,
            gossip_targets: GossipTargets::Random,
            heartbeat_ms: 1000,
            mcache_len: 5,
            mcache_gossip: 3,
            seen_ttl_s: 120,
            flood_publish: true,
            idontwant_bytes: 1024,
            prune_peers: 16,
            prune_backoff_s: 60,
            links: 20,
            graft_on_join: true,
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
        let wrong = |key, want: String| Err(SettingsError { section: "gossipsub", key, want });
        if !(1..=1000).contains(&self.d_hi) {
            return wrong("d-hi", format!("1 to 1000, not {}", self.d_hi));
        }
        if self.d == 0 || self.d > self.d_hi {
            return wrong("d", format!("1 to d-hi, which is {}, not {}", self.d_hi, self.d));
        }
        if self.d_lo > self.d {
            return wrong("d-lo", format!("at most d, which is {}, not {}", self.d, self.d_lo));
        }
        if self.d_out > self.d_lo || self.d_out > self.d / 2 {
            let most = self.d_lo.min(self.d / 2);
            return wrong("d-out", format!("at most d-lo and half of d, which is {most}, not {}", self.d_out));
        }
        if !(0.0..=1.0).contains(&self.gossip_factor) {
            return wrong("gossip-factor", format!("0 to 1, not {}", self.gossip_factor));
        }
        if !(10..=3_600_000).contains(&self.heartbeat_ms) {
            return wrong("heartbeat-ms", format!("10 to 3600000, not {}", self.heartbeat_ms));
        }
        if !(1..=1000).contains(&self.mcache_len) {
            return wrong("mcache-len", format!("1 to 1000, not {}", self.mcache_len));
        }
        if self.mcache_gossip > self.mcache_len {
            let most = self.mcache_len;
            return wrong("mcache-gossip", format!("at most mcache-len, which is {most}, not {}", self.mcache_gossip));
        }
        if self.seen_ttl_s > 86_400 {
            return wrong("seen-ttl-s", format!("at most 86400, not {}", self.seen_ttl_s));
        }
        if self.prune_backoff_s > 86_400 {
            return wrong("prune-backoff-s", format!("at most 86400, not {}", self.prune_backoff_s));
        }
        if !(1..=10_000).contains(&self.links) {
            return wrong("links", format!("1 to 10000, not {}", self.links));
        }
        Ok(())
    }
}
