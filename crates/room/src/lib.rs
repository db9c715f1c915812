//! The room as a state machine without I/O: admission, stage, overlay, forwarding, repair.
//!
//! A [`Room`] is what one node knows of a live conversation, and all that it decides. It has no clock, no randomness of its
//! own, no socket, no task and no lock: a driver tells it what happened and when, and does what it asks for. The `net` crate
//! drives one over libp2p, the simulator drives thousands in virtual time, and both run this code.
//!
//! # Driving a room
//!
//! ```
//! use treehouse_room::{Input, Instant, Output, Room};
//! # use treehouse_room::{Cheap, Config, HostConfig, Past, Protection};
//! # use treehouse_invite::{Charter, Policy};
//! # use treehouse_wire::{List, NodeId, Suite, UnixSeconds, control::Name};
//! # let suite = Cheap;
//! # let signer = suite.signer(&[1; 32]);
//! # let founder = NodeId(suite.public_key(&signer));
//! # let title = Name::cleaned("An example");
//! # let charter = Charter { founder, salt: [0; 16], title, policy: Policy::Social, successors: List::default() };
//! # let charter_statement = charter.sign(&suite, &signer);
//! # let host = HostConfig { charter, charter_statement, protection: Some(Protection::Relays), media_seed: None, region_max: HostConfig::REGION_MAX_DEFAULT, past: Past::default() };
//! # let name = Name::cleaned("host");
//! # let config = Config { identity_seed: [1; 32], random_seed: [2; 32], name, children_max: 8 };
//! # let wall = UnixSeconds(1_800_000_000);
//! let mut now = Instant::ZERO;
//! let mut room = Room::host(now, wall, suite, config, host);
//! loop {
//!     // 1. Do what it asks for.
//!     while let Some(output) = room.poll_output() {
//!         match output {
//!             Output::Dial { .. } | Output::Hangup { .. } => { /* connect, disconnect */ }
//!             Output::Send { .. } | Output::Forward { .. } => { /* write to a link */ }
//!             Output::Play(_frame) => { /* to the jitter buffer */ }
//!             Output::Redeem(redemption) => {
//!                 // Write it down for good, and only then:
//!                 room.handle_input(now, Input::Redeemed { redemption, kept: true })?;
//!             }
//!             Output::Record(_recorded) => { /* only who records asks for it */ }
//!             Output::Event(_event) => { /* show it */ }
//!             Output::Measure { .. } | Output::MeasureFeed { .. } => { /* only hushed rooms, in simulators, ask for it */ }
//!         }
//!     }
//!     // 2. Wait for the network, the user, or the time that it names, whatever comes first.
//!     let Some((at, _why)) = room.poll_timeout() else { break };
//!     now = at;
//!     // 3. Say what happened.
//!     room.handle_timeout(now);
//!     room.handle_input(now, Input::WallClock(wall))?;
//! #   if now > Instant::from_micros(3_000_000) { break }
//! }
//! # Ok::<(), treehouse_room::RoomError>(())
//! ```
//!
//! # What holds
//!
//! - Nothing from the network can make it panic; what cannot be used is dropped, and a peer that breaks the protocol is
//!   hung up on and not spoken to for a minute.
//! - No packet is played or forwarded that does not verify under a media key on stage, and none twice.
//! - At most three voices go down the tree, those that the host has chosen.
//! - A relay's feeds come from members of smaller rank, so feeds form no cycle; no more feeds are given than the user
//!   allows.
//! - A run is a function of its seed and its inputs.

mod api;
mod beacon;
mod capacity;
mod cheap;
mod children;
mod config;
mod coordinates;
mod distance;
mod expel;
mod feeds;
mod floor;
mod host;
mod hush;
mod keys;
mod lead;
mod links;
mod losses;
mod measure;
mod media;
mod member;
mod paging;
mod place;
mod record;
mod region;
mod rng;
mod room;
mod sorted;
mod speak;
mod stage;
mod state;
mod time;
mod timers;
mod view;
mod voices;
mod watch;
mod window;
mod withheld;

pub use api::{
    Closing, Command, Event, Input, JoinFailure, Offence, Output, PlayFrame, Recorded, Redemption, RoomError,
    Suspicion, Trip,
};
pub use cheap::Cheap;
pub use config::{Config, HostConfig, JoinConfig, Past, Protection};
pub use room::Room;
pub use state::Pool;
pub use time::Instant;
pub use timers::Timer;
pub use view::{FeedView, Upstream, View};
