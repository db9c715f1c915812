//! How a room is set up.

use treehouse_invite::{Banned, Charter, Invite};
use treehouse_wire::control::{Name, Statement};

pub use treehouse_invite::Protection;

use crate::api::Redemption;

/// What every room needs.
#[derive(Clone, Debug)]
pub struct Config {
    /// Seed of the node's identity: its Ed25519 secret key.
    pub identity_seed: [u8; 32],
    /// Seed of everything that the room draws at random, the room key of a host among it: secret, fresh for each room.
    pub random_seed: [u8; 32],
    /// What to call this node.
    pub name: Name,
    /// Primary and live standby feeds that this node is willing to give; stage links do not count.
    pub children_max: u8,
}

impl Config {
    /// A node that gives at most eight feeds: 5 Mbit/s up, half of it used, at about 100 kbit/s a voice and three voices.
    pub const CHILDREN_MAX_DEFAULT: u8 = 8;
}

/// What a host needs beside [`Config`].
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// What the room is.
    pub charter: Charter,
    /// The charter with its founder's signature, as it is handed to members.
    pub charter_statement: Statement,
    /// How many members hold live standby feeds; without it as many as spare capacity carries, at any time.
    pub protection: Option<Protection>,
    /// Seed of the host's own media key; fresh for each session. None where the host never speaks.
    pub media_seed: Option<[u8; 32]>,
    /// Members of one region, the host's own or a hub's, from which its leader sends joiners on to hubs.
    pub region_max: u32,
    /// What is known from when the room was open before; nothing for a new room.
    pub past: Past,
}

impl HostConfig {
    /// What one leader's uplink carries of the talk with its members beside their sound: about 0.6 Mbit/s.
    pub const REGION_MAX_DEFAULT: u32 = 2500;
}

/// What a host that opens its room again must know of before.
#[derive(Clone, Debug, Default)]
pub struct Past {
    /// How often the room was open. The numbers of admissions and of room states begin behind those of before, since members
    /// that are still about hold some of them.
    pub openings: u32,
    /// Who has used which invites.
    pub redemptions: Vec<Redemption>,
    /// The ids of links that are revoked.
    pub revoked: Vec<[u8; 32]>,
    /// Who is banned for good.
    pub bans: Vec<Banned>,
}

impl Past {
    /// Numbers for one opening: a state twice a second for six days, a million admissions.
    const NUMBERS: u32 = 1 << 20;

    /// The number from which this opening counts.
    pub(crate) fn first_number(&self) -> u32 {
        self.openings.saturating_mul(Past::NUMBERS)
    }
}

/// What a joiner needs beside [`Config`].
#[derive(Clone, Debug)]
pub struct JoinConfig {
    /// The invite, already verified.
    pub invite: Invite,
}
