//! Secrets of a run, all drawn from the plan's seed, and what is made of them: identities, the charter, the invite.

use rand::RngExt;
use rand_xoshiro::rand_core::SeedableRng;
use treehouse_invite::{Charter, Founding, Holder, Invite, Policy, Role, Terms};
use treehouse_room::{Config, HostConfig, Past};
use treehouse_wire::{Address, Contact, List, NodeId, Suite, UnixSeconds, control::Name};

use super::Settings;
use crate::{
    plan::{Hostile, NodeIx, NodePlan},
    random::{Rng, mix},
};

/// The time of day when a run starts.
pub(super) const WALL: UnixSeconds = UnixSeconds(1_800_000_000);
const SALT: [u8; 16] = [7; 16];

/// Makes a suite's secret key out of a random seed.
pub type SeedMap = fn(&[u8; 32]) -> [u8; 32];

/// What a seed is for.
#[derive(Clone, Copy)]
enum Use {
    Identity,
    Random,
    Media,
    Invite,
    Bootstrap,
}

/// Where all secrets of a run come from. Whoever runs real nodes in the world of a plan gives them the same.
#[derive(Clone, Copy)]
pub struct Keys {
    seed: u64,
    map: SeedMap,
}

impl Keys {
    /// Of a run under this seed.
    pub fn new(seed: u64, map: SeedMap) -> Self {
        Keys { seed, map }
    }

    fn random(&self, of: Use, node: NodeIx, number: u32) -> [u8; 32] {
        let place = (u64::from(node.0) << 32) | u64::from(number);
        let mut rng = Rng::seed_from_u64(mix(self.seed ^ mix(place) ^ mix(of as u64).rotate_left(17)));
        let mut seed = [0; 32];
        rng.fill(&mut seed);
        seed
    }

    fn identity_seed(&self, node: NodeIx) -> [u8; 32] {
        (self.map)(&self.random(Use::Identity, node, 0))
    }

    /// Seed of the media key that a node raises its hand with in this turn; a host speaks with that of turn 0.
    pub fn media_seed(&self, node: NodeIx, turn: u32) -> [u8; 32] {
        (self.map)(&self.random(Use::Media, node, turn))
    }

    /// Nodes drawn at random to join by, of so many.
    pub(super) fn bootstrap(&self, node: NodeIx, attempt: u32, of: usize, draws: u32) -> impl Iterator<Item = NodeIx> {
        let seed = self.random(Use::Bootstrap, node, attempt);
        let mut rng = Rng::from_seed(seed);
        (0..draws).map(move |_| NodeIx(rng.random_range(0..of.max(1)) as u32))
    }

    /// How a node's room is set up. One that lies about its capacity says so here.
    pub fn config(&self, node: NodeIx, attempt: u32, of: &NodePlan) -> Config {
        let times = match of.hostile {
            Some(Hostile::LieCapacity { times }) => times,
            _ => 1.0,
        };
        Config {
            identity_seed: self.identity_seed(node),
            random_seed: self.random(Use::Random, node, attempt),
            name: Name::cleaned(&format!("member {}", node.0)),
            // The cast saturates.
            children_max: (f64::from(of.children_max) * times) as u8,
        }
    }

    fn charter(founder: NodeId) -> Charter {
        let title = Name::cleaned("A simulated room");
        Charter { founder, salt: SALT, title, policy: Policy::Social, successors: List::default() }
    }

    /// How the host's room is set up beside [`Keys::config`].
    pub fn host<S: Suite>(&self, suite: &S, settings: Settings, media_seed: Option<[u8; 32]>) -> HostConfig {
        let signer = suite.signer(&self.identity_seed(NodeIx::HOST));
        let charter = Keys::charter(NodeId(suite.public_key(&signer)));
        let charter_statement = charter.sign(suite, &signer);
        let (protection, region_max) = (settings.protection.of_room(), settings.region_max);
        HostConfig { charter, charter_statement, protection, media_seed, region_max, past: Past::default() }
    }

    /// The invite that everyone joins by: whoever holds it may speak, and it has no end of uses. It is valid from a little before
    /// `begins` to some time after the run's end; the host is at `address`.
    pub fn invite<S: Suite>(&self, suite: &S, begins: UnixSeconds, duration_us: u64, address: Address) -> Invite {
        let signer = suite.signer(&self.identity_seed(NodeIx::HOST));
        let founder = NodeId(suite.public_key(&signer));
        let expires = UnixSeconds(begins.0 + duration_us / 1_000_000 + 7200);
        let terms = Terms {
            role: Role::Speaker,
            not_before: UnixSeconds(begins.0.saturating_sub(10)),
            expires,
            uses: None,
            depth: 0,
        };
        let holder = Holder::Bearer { seed: (self.map)(&self.random(Use::Invite, NodeIx::HOST, 0)) };
        let contact = Contact { node: founder, addresses: List::truncated([address]) };
        let founding = Founding { founder, salt: SALT, policy: Policy::Social };
        match Invite::issue(suite, &signer, founding, terms, holder, [contact]) {
            Ok(invite) => invite,
            // The signer is the founder's and the terms end after they begin: nothing is left to refuse.
            Err(error) => unreachable!("{error}"),
        }
    }
}
