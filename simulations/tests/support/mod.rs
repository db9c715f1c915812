//! Small plans for tests.

use std::sync::Arc;

use treehouse_sim::{
    network::{Delay, Loss},
    plan::{Departure, Media, NodeIx, NodePlan, Plan, Spurt},
};

/// Everyone is equally far from everyone.
pub struct Everywhere(pub u64);

impl Delay for Everywhere {
    fn one_way_us(&self, a: u32, b: u32) -> u64 {
        if a == b { 0 } else { self.0 }
    }

    fn name(&self) -> &str {
        "everywhere"
    }
}

/// A member that comes at the start and stays.
pub fn node(person: u32, uplink_bps: u64) -> NodePlan {
    NodePlan {
        person,
        site: person,
        uplink_bps,
        reachable: true,
        children_max: 8,
        joins_us: 0,
        leaves_us: None,
        departure: Departure::Polite,
        hostile: None,
    }
}

/// Members 20 ms apart, the host speaking all the time.
pub fn plan(members: u32, duration_us: u64) -> Plan {
    Plan {
        seed: 1,
        duration_us,
        warmup_us: 1_000_000,
        nodes: (0..members).map(|person| node(person, 100_000_000)).collect(),
        persons: members,
        talk: vec![Spurt { node: NodeIx::HOST, from_us: 0, until_us: duration_us }],
        incidents: Vec::new(),
        media: Media { frame_us: 20_000, frames_per_packet: 1, packet_bytes: 160 },
        delay: Arc::new(Everywhere(20_000)),
        loss: Loss::None,
        jitter_us: 0,
        idle_us: 10_000_000,
        dial_us: 4_000_000,
        distance_error: 0.0,
    }
}
