//! The `treehouse` program as a library, so that tests can use its parts.
//!
//! * [`cli`]: the command line; [`failure`]: why the program ends without success.
//! * [`identity`]: the key that is this node's name, in a file; [`peer`]: how it is written.
//! * [`host`], [`join`], [`boost`]: how a room is opened, entered and relayed; [`session`]: one node in it, from its start to its end.
//! * [`events`]: what a node tells a program; [`view`], [`terminal`]: what it shows to a person.
//! * [`invite`]: how invites are made, narrowed, revoked and listed; [`mod@inspect`]: what one says; [`qr`]: how it looks.
//! * [`doctor`]: what rooms need, checked; [`devices`]: which microphones and speakers there are; [`mod@sound`]: what a running node sends and hears.
//! * [`store`]: what is kept beside the identity; [`control`]: how a command talks to a running node; [`private`]: secret files.
//! * [`record`]: recordings, their proofs, and whether they are genuine.
//! * [`demo`]: a whole room of real processes on one machine, checked frame by frame.
//! * [`framelog`], [`stats`], [`clock`], [`output`], [`duration`], [`process`]: what these are made of.

/// Prints a line for whoever reads on: where nobody does any more, as with `head`, that is no fault of this program.
macro_rules! say {
    ($($words:tt)*) => { $crate::output::say(format_args!($($words)*)) };
}

pub mod boost;
pub mod cli;
pub mod clock;
pub mod control;
pub mod demo;
pub mod devices;
pub mod doctor;
pub mod duration;
pub mod events;
pub mod failure;
pub mod framelog;
pub mod host;
pub mod identity;
pub mod inspect;
pub mod invite;
pub mod join;
pub mod moderate;
pub mod output;
pub mod peer;
pub mod private;
pub mod process;
pub mod qr;
pub mod record;
pub mod session;
pub mod sound;
pub mod stats;
pub mod store;
pub mod terminal;
pub mod view;

use std::{io, process::ExitCode, time::Duration};

use tokio::runtime::Builder;
use tracing_subscriber::EnvFilter;

use cli::{Cli, Command, IdentityCommand, InspectArgs, InviteCommand};
use failure::Failure;
use identity::Identity;

/// How long tasks that are still under way may take once the work is done.
const SHUTDOWN_MAX: Duration = Duration::from_millis(500);

/// What is logged unless `RUST_LOG` says otherwise. Of a file that is no sound, and of a sound server that is gone, the program speaks itself,
/// once.
const LOGGED: &str = "warn,symphonia_core=off,symphonia_metadata=off,pulseaudio=off";

/// Does what the command line asks for. What went wrong is one sentence on standard error.
pub fn run(cli: Cli) -> ExitCode {
    log_to_stderr();
    match dispatch(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("treehouse: {failure}");
            ExitCode::from(failure.exit_status())
        }
    }
}

/// Warnings and worse, unless `RUST_LOG` says otherwise.
fn log_to_stderr() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOGGED));
    let ansi = io::IsTerminal::is_terminal(&io::stderr());
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(ansi).with_writer(io::stderr).try_init();
}

fn dispatch(command: Command) -> Result<(), Failure> {
    match command {
        Command::Host(args) => block_on(host::run(args)),
        Command::Join(args) => block_on(join::run(args)),
        Command::Boost(args) => block_on(boost::run(args)),
        Command::Demo(args) => block_on(demo::run(&args)),
        Command::Invite(InviteCommand::New(args)) => invite::new(&args),
        Command::Invite(InviteCommand::Narrow(args)) => invite::narrow(&args),
        Command::Invite(InviteCommand::Inspect(args)) => inspect(&args),
        Command::Invite(InviteCommand::Revoke(args)) => invite::revoke(&args),
        Command::Invite(InviteCommand::List(args)) => invite::list(&args),
        Command::Devices(args) => devices::run(&args),
        Command::Doctor(args) => block_on(doctor::run(&args)),
        Command::Room(command) => moderate::run(&command),
        Command::Verify(args) => record::run(&args),
        Command::Sound(command) => sound::run(command),
        Command::Identity(IdentityCommand::Show) => show_identity(),
    }
}

fn block_on(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(format!("cannot start: {error}; close other programs and try again")))?;
    let outcome = runtime.block_on(work);
    runtime.shutdown_timeout(SHUTDOWN_MAX);
    outcome
}

fn inspect(args: &InspectArgs) -> Result<(), Failure> {
    let invite = inspect::read(&args.invite)?;
    let (report, verified) = inspect::report(&invite, inspect::now());
    if args.json {
        say!("{}", serde_json::to_string(&report).unwrap_or_default());
    } else {
        say!("{}", report.lines().join("\n"));
    }
    verified
}

fn show_identity() -> Result<(), Failure> {
    let identity = Identity::load(&identity::data_folder()?)?;
    say!("{}", peer::peer_id(&identity.node()));
    if let Some(path) = &identity.path {
        say!("kept in {}: whoever has this file is you", path.display());
    }
    Ok(())
}
