//! What a join costs the node that leads the region, by members that it leads already.
//!
//! `cargo bench -p treehouse-room --profile dev --bench joins`
//!
//! One host leads one region that grows to a hundred thousand members, forty times what a region holds before it is split. Members are
//! scripted: each redeems its invite, measures what it is offered, takes the place that it is given, reports, and closes its link. Three
//! in ten feed others. Where members are follows the forty cities of a made-up map, with an error in each round trip. Signatures
//! are the simulator's, since verifying real ones costs the same in a room of any size. It prints a table.

use std::{collections::BTreeMap, env, time::Duration};

use rustix::time::{ClockId, clock_gettime};
use treehouse_invite::{Charter, Holder, Invite, Policy, Role, Terms};
use treehouse_room::{Cheap, Config, HostConfig, Input, Instant, Output, Past, Protection, Room};
use treehouse_wire::{
    Address, Blob, Contact, Control, List, NodeId, Suite, UnixSeconds,
    control::{Farewell, Join, Name, Placement, Profile, Status},
};

/// Rooms in which a join is measured.
const MEMBERS: [usize; 3] = [1_000, 10_000, 100_000];
/// Joins measured from there on.
const JOINS: usize = 2_000;
/// A thousand join in a second: all are here before the first would have to report again.
const PAUSE: Duration = Duration::from_millis(1);
const CITIES: usize = 40;
/// Edge of the map in milliseconds of round trip, and how far from its city a member is at most.
const MAP_MS: f64 = 250.0;
const SUBURB_MS: f64 = 12.0;
const WALL: UnixSeconds = UnixSeconds(1_800_000_000);

/// Draws by xorshift64* (Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled", 2016).
struct Draw(u64);

impl Draw {
    /// Evenly from 0 to below 1.
    fn unit(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Where a member is, in milliseconds of round trip, and how far it is to its first router.
#[derive(Clone, Copy)]
struct Place {
    at_ms: (f64, f64),
    last_mile_ms: f64,
}

impl Place {
    fn trip_ms(&self, other: &Place) -> f64 {
        (self.at_ms.0 - other.at_ms.0).hypot(self.at_ms.1 - other.at_ms.1) + self.last_mile_ms + other.last_mile_ms
    }
}

/// CPU time of this process so far.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

struct World {
    now: Instant,
    host: Room<Cheap>,
    invite: Invite,
    draw: Draw,
    cities: Vec<(f64, f64)>,
    places: BTreeMap<NodeId, Place>,
    /// One-way delay from the host along the tree, in milliseconds.
    delays_ms: BTreeMap<NodeId, f64>,
    placed: usize,
}

impl World {
    fn new() -> Self {
        let mut draw = Draw(7);
        let cities = (0..CITIES).map(|_| (draw.unit() * MAP_MS, draw.unit() * MAP_MS)).collect();
        let identity_seed = [1; 32];
        let signer = Cheap.signer(&identity_seed);
        let founder = NodeId(Cheap.public_key(&signer));
        let salt = [7; 16];
        let title = Name::cleaned("A room");
        let charter = Charter { founder, salt, title, policy: Policy::Social, successors: List::default() };
        let charter_statement = charter.sign(&Cheap, &signer);
        let terms = Terms {
            role: Role::Listener,
            not_before: UnixSeconds(WALL.0 - 10),
            expires: UnixSeconds(WALL.0 + 7200),
            uses: None,
            depth: 0,
        };
        let bootstrap = [Contact { node: founder, addresses: List::truncated([address()]) }];
        let holder = Holder::Bearer { seed: [9; 32] };
        let invite =
            Invite::issue(&Cheap, &signer, charter.founding(), terms, holder, bootstrap).expect("a valid invite");
        let config = Config { identity_seed, random_seed: [2; 32], name: Name::cleaned("host"), children_max: 16 };
        let host_config = HostConfig {
            charter,
            charter_statement,
            protection: Some(Protection::Relays),
            media_seed: None,
            region_max: u32::MAX,
            past: Past::default(),
        };
        let now = Instant::from_micros(1_000_000);
        let host = Room::host(now, WALL, Cheap, config, host_config);
        let place = Place { at_ms: (MAP_MS / 2.0, MAP_MS / 2.0), last_mile_ms: 5.0 };
        let mut world = World {
            now,
            host,
            invite,
            draw,
            cities,
            places: [(founder, place)].into(),
            delays_ms: [(founder, 0.0)].into(),
            placed: 0,
        };
        world.input(Input::Listening(vec![address()]));
        world
    }

    fn input(&mut self, input: Input<'_>) -> Vec<Control> {
        self.host.handle_input(self.now, input).expect("the host takes it");
        let mut sent = Vec::new();
        while let Some(output) = self.host.poll_output() {
            if let Output::Send { bytes, .. } = output {
                sent.push(Control::from_bytes(&bytes).expect("what a room sends decodes"));
            }
        }
        sent
    }

    fn say(&mut self, from: NodeId, message: &Control) -> Vec<Control> {
        self.input(Input::Control { from, bytes: &message.to_bytes() })
    }

    /// Time passes; the host does what it does now and then.
    fn pass(&mut self) {
        self.now = self.now.after(PAUSE);
        while self.host.poll_timeout().is_some_and(|(at, _)| at <= self.now) {
            self.host.handle_timeout(self.now);
            while self.host.poll_output().is_some() {}
        }
    }

    /// One joins, from its first message until its link is closed.
    fn join(&mut self, number: usize) {
        let mut seed = [3; 32];
        seed[..8].copy_from_slice(&(number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
        let node = NodeId(Cheap.public_key(&Cheap.signer(&seed)));
        let city = self.cities[(self.draw.unit() * CITIES as f64) as usize];
        let mut near = |at: f64| at + (self.draw.unit() * 2.0 - 1.0) * SUBURB_MS;
        let place = Place { at_ms: (near(city.0), near(city.1)), last_mile_ms: 1.0 + self.draw.unit() * 20.0 };
        self.places.insert(node, place);
        let children_max = if number % 10 < 3 { 8 } else { 0 };
        let addresses = if children_max > 0 { List::truncated([address()]) } else { List::default() };
        let profile = Profile { name: Name::cleaned("member"), addresses, children_max };
        let (chain, proof) =
            self.invite.redeem(&Cheap, &seed, &node, &self.invite.host()).expect("the invite can be redeemed");
        let join = Join { chain, proof, profile, direct: false };
        self.input(Input::LinkUp { peer: node });
        let mut heard = self.say(node, &Control::Join(Box::new(join)));
        let mut placement = None;
        while let Some(message) = heard.pop() {
            match message {
                Control::Offer { round, candidates } => {
                    let trips = candidates.iter().map(|of| {
                        let exact_ms = place.trip_ms(&self.places[&of.node]);
                        let trip_ms = exact_ms * (0.9 + 0.2 * self.draw.unit());
                        (of.node, Some(trip_ms.max(1.0) as u16))
                    });
                    let round_trip_ms = List::truncated(trips.collect::<Vec<_>>());
                    heard = self.say(node, &Control::Measured { round, round_trip_ms });
                }
                Control::Placement(of) => placement = Some(of),
                _ => {}
            }
        }
        if let Some(placement) = placement {
            self.placed += 1;
            self.report(node, &placement, children_max);
        }
        self.say(node, &Control::Bye(Farewell::Unused));
        self.input(Input::LinkDown { peer: node });
    }

    fn report(&mut self, node: NodeId, placement: &Placement, slots: u8) {
        let parent = placement.parent.node;
        let way_ms = self.places[&node].trip_ms(&self.places[&parent]) / 2.0;
        let delay_ms = self.delays_ms.get(&parent).copied().unwrap_or_default() + way_ms + 1.0;
        self.delays_ms.insert(node, delay_ms);
        let status = Status {
            parent: Some(parent.tag()),
            standby: placement.standby.as_ref().map(|standby| standby.node.tag()),
            rank: placement.rank,
            children: u8::from(placement.adopts.is_some()),
            standbys: 0,
            slots,
            position: Some(placement.position),
            delay_ms: delay_ms as u16,
        };
        self.say(node, &Control::Status(status));
    }
}

fn address() -> Address {
    Blob::truncated([4; 8])
}

fn main() {
    // A name asks for this benchmark or for another one.
    let names: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if !names.iter().all(|name| "joins host".contains(name.as_str())) {
        return;
    }
    println!("The host's CPU a join, in a region of so many members, mean of {JOINS} joins");
    println!("members  us a join  to the first  ms a second of housekeeping");
    let (mut world, mut first) = (World::new(), None);
    let mut members = 0;
    for size in MEMBERS {
        while members < size {
            world.join(members);
            world.pass();
            members += 1;
        }
        let (mut joining, mut keeping, since) = (Duration::ZERO, Duration::ZERO, world.now);
        for _ in 0..JOINS {
            let before = cpu_time();
            world.join(members);
            let joined = cpu_time();
            world.pass();
            members += 1;
            joining += joined - before;
            keeping += cpu_time() - joined;
        }
        let us = joining.as_secs_f64() * 1e6 / JOINS as f64;
        let first = *first.get_or_insert(us);
        let keeping_ms = keeping.as_secs_f64() * 1e3 / world.now.since(since).as_secs_f64();
        println!("{size:7}  {us:9.1}  {:12.2}  {keeping_ms:27.2}", us / first);
    }
    assert!(world.placed * 100 >= members * 99, "{} of {members} were placed", world.placed);
}
