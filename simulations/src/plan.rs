//! Everything in a run that does not depend on the strategy: who comes when, from where, by what uplink, who speaks, what
//! happens to the network. It is drawn before the run, so that every strategy meets the same world.

use std::sync::Arc;

use treehouse_hostile::Behaviour;

use crate::network::{Delay, Loss};

/// A member's number in a run; 0 is the host. A person who leaves and comes back is a new node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeIx(pub u32);

impl NodeIx {
    /// The host.
    pub const HOST: NodeIx = NodeIx(0);

    /// As an index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// How a member goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure {
    /// It says goodbye, and may take up to [`LINGER_US`](crate::engine::LINGER_US) over it.
    Polite,
    /// Its process or machine dies: nobody is told.
    Crash,
}

/// What a hostile member does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Hostile {
    /// Forwards a packet with this probability only.
    Drop {
        /// Share of packets that it withholds, 0 to 1.
        share: f64,
    },
    /// Forwards packets late.
    Delay {
        /// By how much, in microseconds.
        by_us: u64,
    },
    /// Alters the packets that it forwards.
    Forge,
    /// Claims this many times the slots that its uplink carries.
    LieCapacity {
        /// The factor.
        times: f64,
    },
    /// Claims network coordinates, or round trips, that are not its own.
    LieCoordinates(CoordinateLie),
    /// Does something that only Treehouse's protocol knows; other strategies take it for honest.
    Twist(Behaviour),
}

/// How a member lies about where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoordinateLie {
    /// It claims to sit at the origin, sure of it, and to hear at once.
    Attract,
    /// It claims to be somewhere else each time, far away, sure of it, and answers pings late.
    Disorder {
        /// By how much, in microseconds.
        late_us: u64,
    },
}

/// One member.
#[derive(Clone, Debug)]
pub struct NodePlan {
    /// The person: nodes of one person are its stays, one after another.
    pub person: u32,
    /// Where it is, as the delay model understands it.
    pub site: u32,
    /// What its uplink carries, in bits a second.
    pub uplink_bps: u64,
    /// Whether others can connect to it; one that they cannot connect to is a leaf.
    pub reachable: bool,
    /// Feeds that it may give, by the design's capacity formula; 0 for a leaf.
    pub children_max: u8,
    /// When it comes.
    pub joins_us: u64,
    /// When it goes; none for one that stays to the end.
    pub leaves_us: Option<u64>,
    /// How it goes.
    pub departure: Departure,
    /// What it does wrong.
    pub hostile: Option<Hostile>,
}

/// A span in which a member speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spurt {
    /// Who.
    pub node: NodeIx,
    /// From when.
    pub from_us: u64,
    /// Until when.
    pub until_us: u64,
}

/// What a scenario does to the world at a time.
#[derive(Clone, Debug, PartialEq)]
pub enum Incident {
    /// The network falls apart: nodes of different sides cannot reach each other until it heals.
    Partition {
        /// The side of each node.
        sides: Vec<u8>,
        /// When it heals, in microseconds from the start of the run.
        heals_us: u64,
    },
    /// This share of the members that feed others at this moment crash at once.
    RelaysFail {
        /// 0 to 1.
        share: f64,
    },
    /// The host crashes.
    HostDies,
    /// The host puts this share of the members out, one after another.
    Kicks {
        /// 0 to 1.
        share: f64,
        /// For how long it goes on, in microseconds.
        lasts_us: u64,
    },
}

/// How sound is cut into packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Media {
    /// Length of a frame in microseconds: 20,000.
    pub frame_us: u64,
    /// Frames a packet for strategies that do not choose for themselves.
    pub frames_per_packet: u32,
    /// Bytes of a packet on the wire, all headers included.
    pub packet_bytes: u32,
}

/// A world in which a strategy runs.
#[derive(Clone)]
pub struct Plan {
    /// The scenario's seed.
    pub seed: u64,
    /// Length of the run in microseconds.
    pub duration_us: u64,
    /// Figures count from here.
    pub warmup_us: u64,
    /// Members in the order of their numbers, the host first. Their order is not that of their coming.
    pub nodes: Vec<NodePlan>,
    /// Persons: numbers of `NodePlan::person` are below this.
    pub persons: u32,
    /// Who speaks when, in the order of time; spans of one node do not overlap.
    pub talk: Vec<Spurt>,
    /// What happens when.
    pub incidents: Vec<(u64, Incident)>,
    /// The sound.
    pub media: Media,
    /// Propagation.
    pub delay: Arc<dyn Delay>,
    /// Loss and jitter.
    pub loss: Loss,
    /// Mean of the exponentially distributed jitter that each message adds, in microseconds.
    pub jitter_us: u64,
    /// A link whose other end is silent is given up after this.
    pub idle_us: u64,
    /// An attempt to connect that nobody answers fails after this.
    pub dial_us: u64,
    /// Standard deviation of the relative error with which a member knows a round trip that it did not measure itself.
    pub distance_error: f64,
}
