//! Who may do what in a Treehouse room, as signed statements that travel without a server.
//!
//! A room has no place that knows its members, so every right is a statement that its bearer carries and anyone can
//! check:
//!
//! * [`Charter`]: what the room is. Its founder signs it, and the room's id is a hash over the founder's key, so that
//!   nobody else can.
//! * [`Invite`]: a chain of at most four [`Link`]s, each signed by the holder of the one before and each narrower than
//!   it. Issuing and narrowing work offline.
//! * [`Certificate`]: what admission returns. Relays check certificates only; they never parse invites.
//! * [`RoomState`]: the head of what changes while the room lives, and the [`Stage`] that it has the digest of.
//! * [`MediaClaim`]: that the key which signs a voice's packets is this speaker's.
//!
//! Every check is generic over a [`Suite`](treehouse_wire::Suite). The crate has no clock, no randomness, no task, no
//! socket and no file: seeds and the time come in as arguments. Every decoder refuses what its encoder would not have
//! written, and nothing panics on input. `docs/protocol.md` specifies the bytes, and `vectors/` has examples of them.

mod assembly;
mod certificate;
mod charter;
mod invite;
mod media;
mod role;
mod stage;
mod state;
mod statement;

pub use assembly::StageAssembly;
pub use certificate::{CERTIFICATE_SECONDS, Certificate};
pub use charter::{Charter, SUCCESSORS_MAX};
pub use invite::{
    BOOTSTRAP_MAX, Grant, Holder, HolderKey, INVITE_TEXT_MAX, INVITE_VERSION, Invite, InviteError, LINK_BYTES_MAX,
    LINKS_MAX, Link, Terms, Widening, check_redemption,
};
pub use media::MediaClaim;
pub use role::{Policy, Protection, Role, UnknownProtection};
pub use stage::{Stage, StageMember};
pub use state::RoomState;
pub use statement::{CLOCK_SKEW_SECONDS, StatementError};
