//! The command line. Its flags are a contract: scripts rely on them.

use std::{path::PathBuf, str::FromStr, time::Duration};

use clap::{Args, Parser, Subcommand};
use treehouse_invite::{Protection, UnknownProtection};

use crate::duration;

/// Live audio rooms with no server in the middle.
#[derive(Debug, Parser)]
#[command(name = "treehouse", version, about, long_about = None, max_term_width = 110)]
#[command(
    after_help = "Exit status: 0 done; 1 the room could not be joined, opened or kept; 2 wrong use, or an invite \
    that cannot be parsed or verified.\nThe folder of the identity is $TREEHOUSE_DATA, or treehouse in the XDG data \
    folder. RUST_LOG=treehouse=debug shows more on standard error."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// How well feeds are protected: a level, or `auto` for the strongest that spare capacity carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProtectionArg(pub Option<Protection>);

impl FromStr for ProtectionArg {
    type Err = UnknownProtectionArg;

    fn from_str(word: &str) -> Result<Self, UnknownProtectionArg> {
        if word == "auto" { Ok(ProtectionArg(None)) } else { Ok(ProtectionArg(Some(word.parse()?))) }
    }
}

/// A word that names neither a level nor `auto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("protection must be one of off, relays, all, auto")]
pub struct UnknownProtectionArg(#[from] UnknownProtection);

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Open a room, print an invite to it, and stay until Ctrl-C.
    Host(HostArgs),
    /// Enter a room with an invite, hear it, and pass it on to others.
    Join(JoinArgs),
    /// Look at an invite without using it.
    #[command(subcommand)]
    Invite(InviteCommand),
    /// Look at who you are.
    #[command(subcommand)]
    Identity(IdentityCommand),
    /// Run a whole room on this machine and check what each listener heard.
    Demo(DemoArgs),
}

/// What to do with an invite.
#[derive(Debug, Subcommand)]
pub enum InviteCommand {
    /// Say who issued an invite, what it grants, and until when.
    Inspect(InspectArgs),
}

/// What to do with the identity.
#[derive(Debug, Subcommand)]
pub enum IdentityCommand {
    /// Print this node's peer id and where its key is kept; the key is made first where there is none.
    Show,
}

/// Flags of `host`.
#[derive(Debug, Args)]
pub struct HostArgs {
    /// What the room is called.
    #[arg(long, default_value = "Treehouse")]
    pub title: String,
    /// What to say: mic, tone, none, sample:1, sample:2, or a WAV, FLAC, MP3, AAC or Opus file.
    #[arg(long, value_name = "SOURCE", default_value = "mic")]
    pub say: String,
    /// Where the room is heard: speakers, none, or a WAV file to write.
    #[arg(long, value_name = "SINK", default_value = "speakers")]
    pub hear: String,
    /// Address to listen on, such as /ip4/0.0.0.0/udp/4001/quic-v1; may be given several times. Without it: QUIC and
    /// TCP on all interfaces, on ports that the system picks.
    #[arg(long, value_name = "MULTIADDR")]
    pub listen: Vec<String>,
    /// Write the invite to this file as well.
    #[arg(long, value_name = "FILE")]
    pub invite_file: Option<PathBuf>,
    /// Who holds a second, live feed: nobody (off), members that feed others (relays), everyone (all), or as many as the members'
    /// uplinks carry at any time (auto).
    #[arg(long, default_value = "auto")]
    pub protection: ProtectionArg,
    /// What every node takes.
    #[command(flatten)]
    pub node: NodeArgs,
}

/// Flags of `join`.
#[derive(Debug, Args)]
pub struct JoinArgs {
    /// The invite, or a file that holds it.
    pub invite: String,
    /// What others call you. Without it: `guest` and the end of your peer id.
    #[arg(long)]
    pub name: Option<String>,
    /// What to say: mic, tone, none, sample:1, sample:2, or a WAV, FLAC, MP3, AAC or Opus file. Raises a hand; you speak
    /// as soon as you are on stage.
    #[arg(long, value_name = "SOURCE", default_value = "none")]
    pub say: String,
    /// Where the room is heard: speakers, none, or a WAV file to write.
    #[arg(long, value_name = "SINK", default_value = "speakers")]
    pub hear: String,
    /// Address to listen on for those whom you feed; may be given several times. Without it: QUIC and TCP on all
    /// interfaces, or on this machine alone when the invite leads nowhere else.
    #[arg(long, value_name = "MULTIADDR")]
    pub listen: Vec<String>,
    /// What every node takes.
    #[command(flatten)]
    pub node: NodeArgs,
}

/// Flags of `host` and `join` alike.
#[derive(Debug, Args)]
pub struct NodeArgs {
    /// Feeds given to others at most, primary and live standby; links between those on stage do not count.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u8).range(0..=250))]
    pub max_children: u8,
    /// Leave after this long, for instance 20s, 2m or 1h30m.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration::parse)]
    pub stay: Option<Duration>,
    /// Print each event as one line of JSON on standard output; docs/events.md lists them.
    #[arg(long)]
    pub json: bool,
    /// For measurements: write when each frame was captured, verified and played to this file.
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub frame_log: Option<PathBuf>,
    /// For programs that start this one: leave as soon as standard input is closed.
    #[arg(long, hide_short_help = true)]
    pub until_stdin_closes: bool,
}

/// Flags of `invite inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// The invite, or a file that holds it.
    pub invite: String,
    /// Print one line of JSON.
    #[arg(long)]
    pub json: bool,
}

/// Flags of `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// How many listen.
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u16).range(1..=500))]
    pub listeners: u16,
    /// How many speak.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=12))]
    pub speakers: u16,
    /// Feeds that each node gives at most.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=250))]
    pub max_children: u8,
    /// Who holds a second, live feed: nobody (off), members that feed others (relays), everyone (all).
    #[arg(long, default_value = "all")]
    pub protection: Protection,
    /// How long everyone listens once all have come.
    #[arg(long = "for", value_name = "DURATION", default_value = "20s", value_parser = duration::parse)]
    pub stay: Duration,
    /// Half-way, kill a listener that feeds others, as a crash would.
    #[arg(long)]
    pub kill_relay: bool,
    /// Folder for recordings and logs. Without it: a new one in the folder for temporary files.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Print progress as lines of JSON; the last line, the summary, is printed in any case.
    #[arg(long)]
    pub json: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn defaults_are_the_documented_ones() {
        let Ok(Cli { command: Command::Host(host) }) = parse("treehouse host") else {
            panic!("host takes no argument")
        };
        assert_eq!((host.say.as_str(), host.hear.as_str()), ("mic", "speakers"));
        assert_eq!(host.protection, ProtectionArg(None));
        let Ok(Cli { command: Command::Host(host) }) = parse("treehouse host --protection relays") else {
            panic!("it takes a level")
        };
        assert_eq!(host.protection, ProtectionArg(Some(Protection::Relays)));
        let Ok(Cli { command: Command::Join(join) }) = parse("treehouse join INVITE") else { panic!("join takes one") };
        assert_eq!((join.say.as_str(), join.hear.as_str()), ("none", "speakers"));
        let Ok(Cli { command: Command::Demo(demo) }) = parse("treehouse demo") else { panic!("demo takes none") };
        assert_eq!((demo.listeners, demo.speakers, demo.max_children), (12, 2, 3));
        assert_eq!((demo.protection, demo.stay, demo.kill_relay), (Protection::All, Duration::from_secs(20), false));
    }

    #[test]
    fn wrong_use_is_refused_with_status_2() {
        for line in [
            "treehouse",
            "treehouse join",
            "treehouse host --protection some",
            "treehouse host --for 20",
            "treehouse host --max-children 9999",
            "treehouse demo --listeners 0",
            "treehouse invite",
            "treehouse sing",
        ] {
            assert_eq!(parse(line).err().map(|error| error.exit_code()), Some(2), "{line}");
        }
    }
}
