//! Why an invite was refused or could not be made, one sentence each that says what to do.

use core::fmt;

use treehouse_wire::{DecodeError, control::Refusal};

/// What a link grants more of than the link before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Widening {
    /// A higher role.
    Role,
    /// An earlier start.
    NotBefore,
    /// A later end.
    Expires,
    /// More uses.
    Uses,
    /// As many or more further links.
    Depth,
}

impl fmt::Display for Widening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Widening::Role => "a higher role",
            Widening::NotBefore => "an earlier start",
            Widening::Expires => "a later end",
            Widening::Uses => "more uses",
            Widening::Depth => "more further links",
        })
    }
}

/// Why an invite was refused, or could not be issued, narrowed or redeemed.
///
/// Up to [`InviteError::NotYetValid`] the text or who made it is at fault; after it the one who uses it. Links are
/// counted from 1 in messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InviteError {
    /// The text does not begin as an invite does.
    #[error("this is not an invite: paste the whole text, from TREEHOUSE: to its end")]
    NotAnInvite,
    /// A character that base32 does not have. Counted from 1, in the whole text.
    #[error("character {position} is not one that an invite can have (A to Z, 2 to 7): copy the invite again")]
    BadCharacter {
        /// Its place in the text, from 1.
        position: usize,
    },
    /// The last characters do not complete a byte as the encoder would have.
    #[error("the invite is cut short or mistyped at its end: copy the whole text again")]
    Cut,
    /// The checksum over all bytes does not match.
    #[error("the invite's checksum is wrong, so it is mistyped or cut short: copy the whole text again")]
    Checksum,
    /// Of a version that this implementation does not read.
    #[error("the invite is of version {0}, which this program cannot read: update it, or ask for another invite")]
    UnsupportedVersion(u8),
    /// A text longer than any invite's.
    #[error("{len} bytes are more than the {max} of the longest invite: paste the invite alone")]
    TooLong {
        /// Bytes of text that came.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// The checksum matches but the bytes are no invite: its maker is broken.
    #[error("the invite is malformed ({0}): ask for another one")]
    Malformed(DecodeError),
    /// A link is not signed by the holder of the one before it, or the first not by the founder.
    #[error("the signature of link {link} in the invite does not verify: ask for another invite")]
    BadSignature {
        /// The link, from 1.
        link: usize,
    },
    /// A link grants more than the link before it.
    #[error("link {link} of the invite grants {what} than the link before it: ask for another invite")]
    Widened {
        /// The link, from 1.
        link: usize,
        /// What it grants more of.
        what: Widening,
    },
    /// The seed in a bearer invite is not that of its last link.
    #[error("the secret in the invite does not fit its last link: ask for another invite")]
    WrongSeed,
    /// Made for another room than the one it was shown to.
    #[error("the invite is for another room: ask this room's host for one")]
    OtherRoom,
    /// Its time is over.
    #[error("the invite expired {} ago: ask for a new one, or check the clock", Span(*.seconds_ago))]
    Expired {
        /// How long ago.
        seconds_ago: u64,
    },
    /// Its time has not come.
    #[error("the invite becomes valid in {}: try again then, or check the clock", Span(*.in_seconds))]
    NotYetValid {
        /// How long that takes.
        in_seconds: u64,
    },
    /// Bound to another key than the one that redeems or narrows it.
    #[error("the invite is made out to another person's key: ask for one that is made out to you")]
    NotForYou,
    /// The proof of redemption was not made by the holder of the last link, for this redeemer and host.
    #[error("whoever redeems the invite has not proven to hold it")]
    BadProof,
    /// The signing key at hand is not the founder's.
    #[error("only the room's founder can issue its first link: narrow an invite that you hold instead")]
    NotFounder,
    /// A link that would never be valid, or that allows no use.
    #[error("the invite would never be valid: let it end after it starts and allow at least one use")]
    NeverValid,
    /// The chain has the largest number of links already.
    #[error("the invite has {max} links already, which is the most: ask someone earlier in its chain for one")]
    TooManyLinks {
        /// The largest number.
        max: usize,
    },
}

impl InviteError {
    /// What a host answers when it refuses for this reason.
    pub fn refusal(&self) -> Refusal {
        match self {
            InviteError::OtherRoom => Refusal::OtherRoom,
            InviteError::Expired { .. } => Refusal::Expired,
            InviteError::NotYetValid { .. } => Refusal::NotYetValid,
            _ => Refusal::Invalid,
        }
    }
}

impl From<DecodeError> for InviteError {
    fn from(error: DecodeError) -> Self {
        InviteError::Malformed(error)
    }
}

/// A length of time for people, in its largest unit, rounded down.
struct Span(u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, unit) = match self.0 {
            s if s < 120 => (s, "second"),
            s if s < 2 * 3600 => (s / 60, "minute"),
            s if s < 2 * 86_400 => (s / 3600, "hour"),
            s => (s / 86_400, "day"),
        };
        write!(f, "{count} {unit}{}", if count == 1 { "" } else { "s" })
    }
}
