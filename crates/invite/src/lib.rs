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
//! * [`Lease`]: that a hub may issue certificates too, so many and up to a role.
//! * [`RoomState`]: the head of what changes while the room lives, and the [`Stage`] that it has the digest of.
//! * [`MediaClaim`]: that the key which signs a voice's packets is this speaker's.
//!
//! Every check is generic over a [`Suite`](treehouse_wire::Suite). The crate has no clock, no randomness, no task, no
//! socket and no file: seeds and the time come in as arguments. Every decoder refuses what its encoder would not have
//! written, and nothing panics on input. `docs/protocol.md` specifies the bytes, and `vectors/` has examples of them.
//!
//! # An invite's way
//!
//! ```
//! use treehouse_invite::{Founding, Holder, Invite, Policy, Role, Terms, check_redemption};
//! use treehouse_wire::{NodeId, Shipped, Suite, UnixSeconds};
//!
//! let suite = Shipped;
//! let node = |seed: &[u8; 32]| NodeId(suite.public_key(&suite.signer(seed)));
//! let (founder_seed, alice_seed, now) = ([1; 32], [2; 32], UnixSeconds(1_790_000_000));
//! let (founder, alice) = (node(&founder_seed), node(&alice_seed));
//!
//! // The founder issues an invite for whoever has the text, ten at most, for a day.
//! let terms = Terms {
//!     role: Role::Speaker,
//!     not_before: now,
//!     expires: UnixSeconds(now.0 + 86_400),
//!     uses: Some(10),
//!     depth: 1,
//! };
//! let holder = Holder::Bearer { seed: [3; 32] };
//! let founding = Founding { founder, salt: [4; 16], policy: Policy::Social };
//! let invite = Invite::issue(&suite, &suite.signer(&founder_seed), founding, terms, holder, [])?;
//! let text = invite.to_string();
//!
//! // Alice reads it, and shows the host the chain and a proof that she holds it.
//! let invite = Invite::parse(&text)?;
//! assert_eq!(invite.verify(&suite, now)?.role, Role::Speaker);
//! let (chain, proof) = invite.redeem(&suite, &alice_seed, &alice, &invite.host())?;
//!
//! // The host knows from the connection who shows it.
//! let grant = check_redemption(&suite, &invite.room(), &founder, &founder, &alice, &chain, &proof, now)?;
//! assert_eq!((grant.role, grant.uses.len()), (Role::Speaker, 1));
//! # Ok::<(), treehouse_invite::InviteError>(())
//! ```

mod assembly;
mod bans;
mod beacon;
mod certificate;
mod charter;
mod complaint;
mod invite;
mod lease;
mod media;
mod role;
mod stage;
mod state;
mod statement;

pub use assembly::{Assembly, StateList};
pub use bans::{Ban, Banned, Bans};
pub use beacon::{Beacon, Carried};
pub use certificate::{CERTIFICATE_SECONDS, Certificate};
pub use charter::{Charter, Founding, SUCCESSORS_MAX};
pub use complaint::Complaint;
pub use invite::{
    BOOTSTRAP_MAX, Grant, Holder, HolderKey, INVITE_TEXT_MAX, INVITE_VERSION, Invite, InviteError, LINK_BYTES_MAX,
    Link, Terms, Widening, check_redemption,
};
pub use lease::{LEASE_SECONDS, Lease};
pub use media::MediaClaim;
pub use role::{Policy, Protection, Role, UnknownProtection};
pub use stage::{Stage, StageMember};
pub use state::{KEY_ACTIVATION_MS, RoomState};
pub use statement::{CLOCK_SKEW_SECONDS, StatementError};
