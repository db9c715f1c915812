//! The command line. Its flags are a contract: scripts rely on them.

use std::{path::PathBuf, str::FromStr, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use treehouse_audio::{Music, Processing, Talk};
use treehouse_invite::{Policy, Protection, Role, UnknownProtection};
use treehouse_wire::NodeId;

use crate::{control::VOLUME_PERCENT_MAX, duration, invite::parse_peer};

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

/// Who may come, as a word.
fn parse_policy(word: &str) -> Result<Policy, String> {
    let all = [Policy::Open, Policy::Social, Policy::Closed];
    let found = all.into_iter().find(|policy| policy.to_string() == word);
    found.ok_or_else(|| "the policy must be one of open, social, closed".to_owned())
}

/// What an invite may grant, as a word.
fn parse_role(word: &str) -> Result<Role, String> {
    let all = [Role::Booster, Role::Listener, Role::Speaker, Role::Moderator];
    let found = all.into_iter().find(|role| role.to_string() == word);
    found.ok_or_else(|| "the role must be one of booster, listener, speaker, moderator".to_owned())
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Open a room, print an invite to it, and stay until Ctrl-C.
    Host(HostArgs),
    /// Enter a room with an invite, hear it, and pass it on to others.
    Join(JoinArgs),
    /// Relay a room with a boost link, for others: this node is no member and hears nothing.
    Boost(BoostArgs),
    /// Make, narrow, look at, revoke and list invites.
    #[command(subcommand)]
    Invite(InviteCommand),
    /// Put somebody out of a room of yours, keep them out, let them in again.
    #[command(subcommand)]
    Room(RoomCommand),
    /// Mute yourself, talk, turn somebody up or down, while this node is in a room.
    #[command(subcommand)]
    Sound(SoundCommand),
    /// List microphones and speakers, and try them out.
    Devices(DevicesArgs),
    /// Say who said what in a recording, and whether anything of it was cut or altered.
    Verify(VerifyArgs),
    /// Look at what rooms need on this machine: data folder, clock, ports, UDP, uplink, devices. Each line is ok or says what to do.
    Doctor(DoctorArgs),
    /// Look at who you are.
    #[command(subcommand)]
    Identity(IdentityCommand),
    /// Run a whole room on this machine and check what each listener heard.
    Demo(DemoArgs),
}

/// What to do with an invite.
#[derive(Debug, Subcommand)]
pub enum InviteCommand {
    /// Make an invite to a room of yours, open or not, and print it; with a QR code on a terminal.
    New(InviteNewArgs),
    /// Make a narrower invite from one that you hold, for somebody else. Nobody is asked for it.
    Narrow(NarrowArgs),
    /// Say who invited whom, what it grants, and until when, without using the invite.
    Inspect(InspectArgs),
    /// Take an invite back, with all that was put behind it. Whoever is in the room stays.
    Revoke(RevokeArgs),
    /// Show the invites to a room of yours, what is left of them, and who has used them.
    List(ListArgs),
}

/// What an invite grants; flags of `invite new` and `invite narrow` alike.
#[derive(Debug, Args)]
pub struct GrantArgs {
    /// The highest role: booster, listener, speaker or moderator. Without it: listener, or as in the invite that is narrowed.
    #[arg(long, value_parser = parse_role)]
    pub role: Option<Role>,
    /// How many may come in by it. Without it: as many as like, or as in the invite that is narrowed.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub uses: Option<u32>,
    /// How long it is valid, for instance 2h or 30d. Without it: 24h, or as in the invite that is narrowed.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_expiry)]
    pub expires: Option<Duration>,
    /// How many times over it may be passed on, narrower each time. Without it: 2 in a social room and 0 in others, or one less
    /// than the invite that is narrowed.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=3))]
    pub depth: Option<u8>,
    /// Make it out to one person, by the peer id that `treehouse identity show` prints there.
    #[arg(long, value_name = "PEER", value_parser = parse_peer)]
    pub to: Option<NodeId>,
    /// Print the QR code where standard output is no terminal too.
    #[arg(long)]
    pub qr: bool,
    /// Write the QR code to this file, which ends in .png or .svg.
    #[arg(long, value_name = "FILE")]
    pub qr_file: Option<PathBuf>,
    /// Print one line of JSON instead.
    #[arg(long, conflicts_with = "qr")]
    pub json: bool,
}

/// Flags of `invite new`.
#[derive(Debug, Args)]
pub struct InviteNewArgs {
    /// The room, by its title or the first digits of its id. Without it: the one that you opened last.
    #[arg(long, value_name = "TITLE|ID")]
    pub room: Option<String>,
    /// What to call it in the list, for instance whom it is for.
    #[arg(long, value_name = "TEXT")]
    pub label: Option<String>,
    /// What it grants.
    #[command(flatten)]
    pub grant: GrantArgs,
}

/// Flags of `invite narrow`.
#[derive(Debug, Args)]
pub struct NarrowArgs {
    /// The invite that you hold, or a file that holds it.
    pub invite: String,
    /// What the narrower one grants.
    #[command(flatten)]
    pub grant: GrantArgs,
}

/// Flags of `invite revoke`.
#[derive(Debug, Args)]
pub struct RevokeArgs {
    /// The first digits of its id, as the list shows it, or the invite itself, or a file that holds it.
    pub id: String,
    /// The room. Without it: the one that you opened last.
    #[arg(long, value_name = "TITLE|ID")]
    pub room: Option<String>,
}

/// Flags of `invite list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// The room. Without it: the one that you opened last.
    #[arg(long, value_name = "TITLE|ID")]
    pub room: Option<String>,
    /// Print one line of JSON for each invite.
    #[arg(long)]
    pub json: bool,
}

/// Whom to let into a room.
#[derive(Debug, Subcommand)]
pub enum RoomCommand {
    /// Put somebody out of the room that is open here, for two hours. What is said a second later they cannot hear, whoever helps them.
    Kick {
        /// The peer id, as `treehouse identity show` prints it there and the host's events name it.
        #[arg(value_name = "PEER", value_parser = parse_peer)]
        peer: NodeId,
        /// The room. Without it: the one that you opened last.
        #[arg(long, value_name = "TITLE|ID")]
        room: Option<String>,
    },
    /// Keep somebody out for good, or all who came by an invite.
    Ban(WhomArgs),
    /// Let them in again.
    Unban(WhomArgs),
    /// Show who is kept out.
    Bans(BansArgs),
    /// Let members record the room that is open here, and tell everyone so, or end it.
    Record {
        /// Whether it is recorded from now on.
        #[arg(value_name = "on|off")]
        switch: Switch,
        /// The room. Without it: the one that you opened last.
        #[arg(long, value_name = "TITLE|ID")]
        room: Option<String>,
    },
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// From now on.
    On,
    /// Not any more.
    Off,
}

/// Flags of `verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The recording.
    pub file: PathBuf,
    /// Its proof. Without it: the file beside it with `.proof` at the end of its name.
    #[arg(long, value_name = "FILE")]
    pub proof: Option<PathBuf>,
    /// Accept a recording that has no end, as a crash leaves it; somebody may as well have cut it off.
    #[arg(long)]
    pub unfinished: bool,
    /// Print one line of JSON.
    #[arg(long)]
    pub json: bool,
}

/// What a running node is to do about its sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub enum SoundCommand {
    /// Send nothing. The microphone is closed, so that the system shows that nothing records.
    Mute,
    /// Send again.
    Unmute,
    /// Hold down the key of push to talk: what is said is sent until `release`. For a node that was started with --talk push.
    Press,
    /// Let the key go.
    Release,
    /// How loud you hear somebody, in this room and for as long as this node runs.
    Volume {
        /// The peer id, as the list of who speaks and the events name it.
        #[arg(value_name = "PEER", value_parser = parse_peer)]
        peer: NodeId,
        /// From 0% to 400%; 100% is as they come.
        #[arg(value_name = "PERCENT", value_parser = parse_percent)]
        percent: u16,
    },
}

/// Reads a volume such as `50%` or `50`.
fn parse_percent(text: &str) -> Result<u16, String> {
    let percent =
        text.trim().trim_end_matches('%').parse::<u16>().ok().filter(|percent| *percent <= VOLUME_PERCENT_MAX);
    percent.ok_or_else(|| format!("'{text}' is no volume: give one from 0% to {VOLUME_PERCENT_MAX}%"))
}

/// When a microphone is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum TalkArg {
    /// Always, unless muted.
    #[default]
    Open,
    /// While somebody speaks; whoever watches the packets learns when that is.
    Voice,
    /// Between `treehouse sound press` and `release`.
    Push,
}

/// Flags of `room ban` and `room unban`.
#[derive(Debug, Args)]
pub struct WhomArgs {
    /// The peer id.
    #[arg(value_name = "PEER", value_parser = parse_peer, required_unless_present = "link", conflicts_with = "link")]
    pub peer: Option<NodeId>,
    /// Whoever comes by this invite: its whole id, as `treehouse invite list --json` shows it.
    #[arg(long, value_name = "ID")]
    pub link: Option<String>,
    /// And by those that were made from it.
    #[arg(long, requires = "link")]
    pub subtree: bool,
    /// The room. Without it: the one that you opened last.
    #[arg(long, value_name = "TITLE|ID")]
    pub room: Option<String>,
}

/// Flags of `room bans`.
#[derive(Debug, Args)]
pub struct BansArgs {
    /// The room. Without it: the one that you opened last.
    #[arg(long, value_name = "TITLE|ID")]
    pub room: Option<String>,
}

/// Flags of `devices`.
#[derive(Debug, Args)]
pub struct DevicesArgs {
    /// Play a tone from the default speakers, then listen to the default microphone.
    #[arg(long, conflicts_with_all = ["test_speakers", "test_microphone", "json"])]
    pub test: bool,
    /// Play a tone for three seconds, from the speakers with this id or the default.
    #[arg(long, value_name = "ID", num_args = 0..=1, default_missing_value = "default", conflicts_with_all = ["test_microphone", "json"])]
    pub test_speakers: Option<String>,
    /// Listen for three seconds to the microphone with this id or the default, and say how loud it is.
    #[arg(long, value_name = "ID", num_args = 0..=1, default_missing_value = "default", conflicts_with = "json")]
    pub test_microphone: Option<String>,
    /// Print one line of JSON for each device.
    #[arg(long)]
    pub json: bool,
}

/// Flags of `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Address that is to be listened on, as for `host`; may be given several times. Without it: any free ports.
    #[arg(long, value_name = "MULTIADDR")]
    pub listen: Vec<String>,
    /// Print each check as one line of JSON.
    #[arg(long)]
    pub json: bool,
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
    /// Who may come: whoever has the published invite, to listen (open); those whom members invite (social); those whose invite is
    /// made out to them or counted (closed).
    #[arg(long, default_value = "social", value_parser = parse_policy)]
    pub policy: Policy,
    /// Open a room again that you opened before, by its title or the first digits of its id: its invites are valid still.
    #[arg(long, value_name = "TITLE|ID", conflicts_with_all = ["title", "policy"])]
    pub room: Option<String>,
    /// What to say: mic, tone, none, sample:1, sample:2, a WAV, FLAC, MP3, AAC or Opus file, a list (.m3u, .pls) or folder of them, the
    /// http address of a station, or standard input: - for any of these formats, s16le:- or f32le:- for bare samples, 48 kHz mono.
    #[arg(long, value_name = "SOURCE", default_value = "mic")]
    pub say: String,
    /// Where the room is heard: speakers, none, a file to write (.wav, .opus, .ogg, .s16le, .f32le), or standard output: - for WAV,
    /// opus:-, s16le:- or f32le:-; what is otherwise printed there goes to standard error then.
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
    /// How the microphone is sent.
    #[command(flatten)]
    pub microphone: MicrophoneArgs,
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
    /// What to say: mic, tone, none, sample:1, sample:2, a WAV, FLAC, MP3, AAC or Opus file, a list (.m3u, .pls) or folder of them, the
    /// http address of a station, or standard input: - for any of these formats, s16le:- or f32le:- for bare samples, 48 kHz mono.
    /// Raises a hand; you speak as soon as you are on stage.
    #[arg(long, value_name = "SOURCE", default_value = "none")]
    pub say: String,
    /// Where the room is heard: speakers, none, a file to write (.wav, .opus, .ogg, .s16le, .f32le), or standard output: - for WAV,
    /// opus:-, s16le:- or f32le:-; what is otherwise printed there goes to standard error then.
    #[arg(long, value_name = "SINK", default_value = "speakers")]
    pub hear: String,
    /// Address to listen on for those whom you feed; may be given several times. Without it: QUIC and TCP on all
    /// interfaces, or on this machine alone when the invite leads nowhere else.
    #[arg(long, value_name = "MULTIADDR")]
    pub listen: Vec<String>,
    /// How the microphone is sent.
    #[command(flatten)]
    pub microphone: MicrophoneArgs,
    /// What every node takes.
    #[command(flatten)]
    pub node: NodeArgs,
}

/// How the microphone is sent; flags of `host` and `join` alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Args)]
pub struct MicrophoneArgs {
    /// Leave in the microphone what the speakers play: for headphones, or where the system takes it out.
    #[arg(long)]
    pub no_echo_cancellation: bool,
    /// Leave noise in.
    #[arg(long)]
    pub no_noise_suppression: bool,
    /// Leave the voice as loud as it comes.
    #[arg(long)]
    pub no_gain_control: bool,
    /// Send the microphone as it is: none of the three above, and what is below the voice stays too.
    #[arg(long)]
    pub raw: bool,
    /// When it is sent: always (open), while somebody speaks (voice), or while a key is held (push): bind `treehouse sound press` and
    /// `treehouse sound release` to one.
    #[arg(long, value_name = "WHEN", default_value = "open")]
    pub talk: TalkArg,
    /// Begin muted: no microphone is opened before `treehouse sound unmute`.
    #[arg(long)]
    pub muted: bool,
    /// Send music and not a voice: in stereo, at so many kbit/s, 96 to 128, unprocessed. For a microphone as for files; with `--talk voice` a
    /// microphone is sent always, since music is no talkspurt.
    #[arg(long, value_name = "KBITS", num_args = 0..=1, require_equals = true, default_missing_value = "128",
        value_parser = clap::value_parser!(u32).range(96..=128))]
    pub music: Option<u32>,
}

impl MicrophoneArgs {
    /// What is done to the microphone's sound.
    pub fn processing(&self) -> Processing {
        let on = Processing {
            echo: !self.no_echo_cancellation,
            noise: !self.no_noise_suppression,
            gain: !self.no_gain_control,
            high_pass: true,
        };
        if self.raw { Processing::NONE } else { on }
    }

    /// When it is sent.
    pub fn talk(&self) -> Talk {
        match self.talk {
            TalkArg::Open => Talk::Open,
            TalkArg::Voice => Talk::Voice,
            TalkArg::Push => Talk::Push,
        }
    }

    /// Music, if it is that.
    pub fn music(&self) -> Option<Music> {
        let kbits = i32::try_from(self.music?).unwrap_or(i32::MAX);
        Some(Music { bitrate_bps: kbits.saturating_mul(1000) })
    }
}

/// Flags of `boost`.
#[derive(Debug, Args)]
pub struct BoostArgs {
    /// The boost link, or a file that holds it: an invite for boosters, as `treehouse invite new --role booster` makes it.
    #[arg(value_name = "BOOST-LINK")]
    pub link: String,
    /// Uplink that may be used, in bits per second, for instance 800k, 20M or 1G; each feed takes up to 300k of it.
    #[arg(long, value_name = "RATE", default_value = "20M", value_parser = crate::boost::parse_rate)]
    pub uplink: u64,
    /// What others call you. Without it: `booster` and the end of your peer id.
    #[arg(long)]
    pub name: Option<String>,
    /// Address to listen on for those whom you feed; may be given several times. Without it: as for `join`.
    #[arg(long, value_name = "MULTIADDR")]
    pub listen: Vec<String>,
    /// Leave after this long, for instance 20s, 2m or 1h30m.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration::parse)]
    pub stay: Option<Duration>,
    /// Print each event as one line of JSON on standard output; docs/events.md lists them.
    #[arg(long)]
    pub json: bool,
    /// For programs that start this one: leave as soon as standard input is closed.
    #[arg(long, hide_short_help = true)]
    pub until_stdin_closes: bool,
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
    /// How loud voices are: all alike (even), or as they come (as-is).
    #[arg(long, value_name = "HOW", default_value = "even")]
    pub loudness: LoudnessArg,
    /// Give each voice a place of its own between left and right, for headphones or two speakers; files get two channels.
    #[arg(long)]
    pub spatial: bool,
    /// Write files and standard output with two channels, so that music is heard as it is; speakers play two in any case.
    #[arg(long)]
    pub stereo: bool,
    /// Say a file, or all of a list, again and again.
    #[arg(long)]
    pub repeat: bool,
    /// Record the room into this file (.ogg) while its host lets it be recorded, a track a speaker and the mix before them, with a proof of
    /// who said what beside it (.ogg.proof). A host that records switches recording on when it opens the room.
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
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

/// How loud voices are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LoudnessArg {
    /// Brought to one loudness, slowly.
    Even,
    /// Untouched.
    AsIs,
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
        assert_eq!((host.protection, host.policy), (ProtectionArg(None), Policy::Social));
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
    fn a_microphone_is_processed_unless_one_says_otherwise() {
        let processing = |line: &str| match parse(line) {
            Ok(Cli { command: Command::Host(host) }) => host.microphone.processing(),
            _ => panic!("{line}"),
        };
        assert_eq!(processing("treehouse host"), Processing::default());
        assert_eq!(processing("treehouse host --raw"), Processing::NONE);
        let on = Processing { echo: false, gain: false, ..Processing::default() };
        assert_eq!(processing("treehouse host --no-echo-cancellation --no-gain-control"), on);
    }

    #[test]
    fn music_has_a_bitrate_within_bounds() {
        let music = |line: &str| match parse(line) {
            Ok(Cli { command: Command::Host(host) }) => host.microphone.music().map(|music| music.bitrate_bps),
            _ => panic!("{line}"),
        };
        assert_eq!(music("treehouse host"), None);
        assert_eq!(music("treehouse host --music"), Some(128_000));
        assert_eq!(music("treehouse host --music=96"), Some(96_000));
        let Ok(Cli { command: Command::Join(join) }) = parse("treehouse join --music INVITE") else { panic!("join") };
        assert_eq!((join.invite.as_str(), join.microphone.music), ("INVITE", Some(128)));
    }

    #[test]
    fn volumes_are_percentages() {
        let peer = "12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X";
        let volume = |text: &str| match parse(&format!("treehouse sound volume {peer} {text}")) {
            Ok(Cli { command: Command::Sound(SoundCommand::Volume { percent, .. }) }) => Some(percent),
            _ => None,
        };
        assert_eq!((volume("50%"), volume("0"), volume("400%")), (Some(50), Some(0), Some(400)));
        assert_eq!((volume("401%"), volume("-1"), volume("loud")), (None, None, None));
    }

    #[test]
    fn devices_are_tested_by_id_or_the_default() {
        let test = |line: &str| match parse(line) {
            Ok(Cli { command: Command::Devices(args) }) => (args.test_speakers, args.test_microphone),
            _ => panic!("{line}"),
        };
        assert_eq!(test("treehouse devices"), (None, None));
        assert_eq!(test("treehouse devices --test-speakers").0.as_deref(), Some("default"));
        assert_eq!(test("treehouse devices --test-microphone usb-1").1.as_deref(), Some("usb-1"));
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
            "treehouse host --policy secret",
            "treehouse host --room Tea --title Tea",
            "treehouse invite new --role host",
            "treehouse invite new --uses 0",
            "treehouse invite new --depth 4",
            "treehouse invite new --expires soon",
            "treehouse invite new --to bob",
            "treehouse invite narrow",
            "treehouse invite revoke",
            "treehouse devices --test-speakers --test-microphone",
            "treehouse room record maybe",
            "treehouse verify",
            "treehouse devices --test --json",
            "treehouse host --music=64",
            "treehouse sing",
        ] {
            assert_eq!(parse(line).err().map(|error| error.exit_code()), Some(2), "{line}");
        }
    }
}
