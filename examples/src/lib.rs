//! What the examples share: an identity for the length of a run, and a room to open or to join.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use treehouse_invite::Invite;
use treehouse_net::{Endpoint, NetConfig, parse_address, start};
use treehouse_room::Config;
use treehouse_wire::{UnixSeconds, control::Name};

/// The time of day.
pub fn wall() -> UnixSeconds {
    UnixSeconds(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

/// 32 secret random bytes.
///
/// # Errors
/// Where the system has no randomness to give.
pub fn secret() -> Result<[u8; 32]> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| anyhow::anyhow!("the system gives no random bytes: {error}"))?;
    Ok(seed)
}

/// A new identity that listens on every interface, and what a room needs of it. It is willing to feed four others.
///
/// # Errors
/// Where nothing can be listened on.
pub async fn newcomer(name: &str) -> Result<(Endpoint, Config)> {
    let listen = ["/ip4/0.0.0.0/udp/0/quic-v1", "/ip4/0.0.0.0/tcp/0"].map(parse_address);
    let listen = listen.into_iter().collect::<Result<Vec<_>, _>>()?;
    let identity_seed = secret()?;
    let endpoint = start(&identity_seed, &NetConfig::listening_on(&listen)?).await?;
    let config = Config { identity_seed, random_seed: secret()?, name: Name::cleaned(name), children_max: 4 };
    Ok((endpoint, config))
}

/// The invite that is the program's first argument, as text or as a file that holds it.
///
/// # Errors
/// Where there is none, or it does not parse or verify.
pub fn invite_argument(usage: &str) -> Result<Invite> {
    let argument = std::env::args().nth(1).with_context(|| format!("usage: {usage}"))?;
    let text = std::fs::read_to_string(&argument).unwrap_or(argument);
    let invite = Invite::parse(text.trim())?;
    invite.verify(&treehouse_wire::Shipped, wall())?;
    Ok(invite)
}

/// How long the examples wait for what should take a moment.
pub const PATIENCE: Duration = Duration::from_secs(20);
