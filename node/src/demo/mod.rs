//! A whole room of real processes on one machine, checked frame by frame.
//!
//! The demo starts a host, speakers and listeners as child processes of the same program, on loopback, each with an
//! identity of its own. It shows the tree as the nodes report it, kills a relay half-way when asked to, and in the end
//! joins what each speaker's log says it captured with what each listener's log says it played.
//!
//! The end is defined so that frames on their way do not count as lost: what speakers captured up to a moment is
//! compared, speakers are told to stop at that moment, and listeners stay for [`TAIL`] longer.

pub mod children;
pub mod logjoin;
mod progress;
pub mod recording;
pub mod report;
mod run;
pub mod tree;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process,
    time::Duration,
};

use crate::{cli::DemoArgs, failure::Failure};
use progress::Progress;

/// Listeners stay this long after the speakers have stopped: more than any playout delay.
pub const TAIL: Duration = Duration::from_millis(1_500);

/// Runs the demo; the last line on standard output is its summary.
///
/// # Errors
/// [`Failure::Failed`] where a child failed or a listener lost too much; the sentence says which.
pub async fn run(args: &DemoArgs) -> Result<(), Failure> {
    let folder = folder(args.out.as_deref())?;
    let mut progress = Progress::new(args.json);
    progress.say(&format!(
        "{} listeners, {} speaker(s), {} feeds a node at most, protection {}; files go to {}",
        args.listeners,
        args.speakers,
        args.max_children,
        args.protection,
        folder.display()
    ));
    let observed = run::Run::new(args, &folder, &mut progress).observe().await?;
    let outcome = report::evaluate(&observed);
    for row in &outcome.rows {
        progress.row(row);
    }
    progress.block(&report::table(&outcome.rows));
    for problem in &outcome.problems {
        progress.say(&format!("problem: {problem}"));
    }
    progress.say(&format!("recordings and logs are in {}", folder.display()));
    progress.summary(&outcome.summary);
    match outcome.problems.first() {
        None => Ok(()),
        Some(first) => Err(Failure::Failed(first.clone())),
    }
}

/// The folder for recordings and logs, made if it is not there.
fn folder(out: Option<&Path>) -> Result<PathBuf, Failure> {
    let failed = |path: &Path, error: std::io::Error| {
        Failure::Failed(format!("cannot make the folder {}: {error}; name another one with --out", path.display()))
    };
    if let Some(out) = out {
        fs::create_dir_all(out).map_err(|error| failed(out, error))?;
        return Ok(out.to_owned());
    }
    let parent = env::temp_dir();
    for attempt in 0..1_000 {
        let path = parent.join(format!("treehouse-demo-{}-{attempt}", process::id()));
        match fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(&path, error)),
        }
    }
    Err(Failure::Failed(format!("{} is full of old demos: remove them", parent.display())))
}
