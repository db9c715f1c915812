//! `treehouse boost`: relays a room whose member this node is not.

use treehouse_invite::Role;

use crate::{
    cli::{BoostArgs, JoinArgs, LoudnessArg, MicrophoneArgs, NodeArgs},
    failure::Failure,
    inspect, join,
    peer::{peer_id, short},
};

/// Uplink that one feed may take, in bits per second: three voices at once, one frame a packet.
pub(crate) const FEED_BPS: u64 = 300_000;
/// Feeds that a node gives at most.
const FEEDS_MAX: u64 = 250;

/// Relays by a boost link until Ctrl-C.
///
/// # Errors
/// [`Failure`], one sentence.
pub async fn run(args: BoostArgs) -> Result<(), Failure> {
    let invite = inspect::read(&args.link)?;
    let role = invite.links().next_back().map(|link| link.terms.role);
    if role != Some(Role::Booster) {
        let role = role.map(|role| role.to_string()).unwrap_or_default();
        return Err(Failure::Usage(format!(
            "this is an invite for a {role}: enter with `treehouse join`, or make a boost link of it with \
             `treehouse invite narrow --role booster`"
        )));
    }
    let slots = slots(args.uplink)?;
    let BoostArgs { link, name, listen, stay, json, until_stdin_closes, .. } = args;
    let node = NodeArgs {
        max_children: slots,
        stay,
        loudness: LoudnessArg::Even,
        spatial: false,
        stereo: false,
        repeat: false,
        json,
        record: None,
        frame_log: None,
        until_stdin_closes,
    };
    let (say, hear) = ("none".to_owned(), "none".to_owned());
    let named = |me: &_| format!("booster {}", short(&peer_id(me)));
    join::enter(JoinArgs { invite: link, name, say, hear, listen, microphone: MicrophoneArgs::default(), node }, named)
        .await
}

/// Feeds that an uplink carries.
fn slots(uplink_bps: u64) -> Result<u8, Failure> {
    match uplink_bps / FEED_BPS {
        0 => Err(Failure::Usage("this uplink carries no feed: a booster needs 300k and more".to_owned())),
        feeds => Ok(feeds.min(FEEDS_MAX) as u8),
    }
}

/// Reads a rate such as `20M`, in bits per second.
///
/// # Errors
/// A sentence that says how it is written.
pub fn parse_rate(text: &str) -> Result<u64, String> {
    let wrong = || format!("'{text}' is no rate: write bits per second like 800k, 20M or 1G");
    let (digits, unit) = match text.trim().char_indices().next_back().ok_or_else(wrong)? {
        (_, digit) if digit.is_ascii_digit() => (text.trim(), 1),
        (at, 'k' | 'K') => (&text.trim()[..at], 1_000),
        (at, 'm' | 'M') => (&text.trim()[..at], 1_000_000),
        (at, 'g' | 'G') => (&text.trim()[..at], 1_000_000_000),
        _ => return Err(wrong()),
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    number.checked_mul(unit).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_and_a_unit() {
        for (text, bps) in
            [("20M", 20_000_000), ("800k", 800_000), ("1G", 1_000_000_000), ("64000", 64_000), (" 2m ", 2_000_000)]
        {
            assert_eq!(parse_rate(text), Ok(bps), "{text}");
        }
        for text in ["", "M", "20 Mbit", "-1M", "1.5M", "99999999999G", "20é"] {
            assert!(parse_rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_uplink_carries_so_many_feeds() {
        for (uplink, feeds) in [(300_000, 1), (20_000_000, 66), (1_000_000_000, 250)] {
            assert_eq!(slots(uplink).ok(), Some(feeds));
        }
        assert!(slots(299_999).is_err());
    }
}
