//! What a member may do, who may come, and how well feeds are protected.

use core::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// What a member may do. Each role may do what the ones before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Relay, and hold no room key: a volunteer that is no member.
    Booster,
    /// Hear, relay, raise a hand.
    Listener,
    /// Come onto the stage and speak.
    Speaker,
    /// Ask the host to change roles, mutes and bans.
    Moderator,
    /// Admit, place, and sign the room state.
    Host,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Role::Booster => "booster",
            Role::Listener => "listener",
            Role::Speaker => "speaker",
            Role::Moderator => "moderator",
            Role::Host => "host",
        })
    }
}

/// Who may come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Policy {
    /// Anyone who has an invite; invites may be published.
    Open,
    /// Those whom members invite.
    Social,
    /// Those whom the host invites; sound is sent at a constant rate, since sizes leak speech.
    Closed,
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Policy::Open => "open",
            Policy::Social => "social",
            Policy::Closed => "closed",
        })
    }
}

/// Which members hold a live standby feed beside their parent's, so that a relay's crash loses nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Protection {
    /// Nobody: a standby is idle and subscribed to on suspicion.
    Off,
    /// Members that feed others.
    Relays,
    /// Everyone; relays then give at most half their slots to primary feeds.
    All,
}

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Protection::Off => "off",
            Protection::Relays => "relays",
            Protection::All => "all",
        })
    }
}

/// A word that names no [`Protection`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("protection must be one of off, relays, all")]
pub struct UnknownProtection;

impl FromStr for Protection {
    type Err = UnknownProtection;

    fn from_str(word: &str) -> Result<Self, UnknownProtection> {
        match word {
            "off" => Ok(Protection::Off),
            "relays" => Ok(Protection::Relays),
            "all" => Ok(Protection::All),
            _ => Err(UnknownProtection),
        }
    }
}
