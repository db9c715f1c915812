//! Child processes of the same program, one a node, each with an identity of its own.
//!
//! Nothing may outlive the demo. A child leaves politely as soon as its standard input closes, which happens however the
//! demo ends; one that does not is killed when its handle is dropped. Children are in process groups of their own, so
//! that Ctrl-C reaches the demo alone, which then ends them in order.

use std::{
    env,
    ffi::OsString,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdin, Command},
    sync::mpsc,
    time::timeout,
};

use super::tree::Part;
use crate::{
    events::{Event, Line},
    failure::Failure,
    identity::DATA_VARIABLE,
};

/// What children report that waits for the demo; a child that finds it full waits with its next line.
pub const EVENTS_MAX: usize = 1_024;
/// A child that was told to leave is killed after this.
const LEAVE_MAX: Duration = Duration::from_secs(8);

/// What a child reports.
#[derive(Debug)]
pub enum Report {
    /// A line of its JSON.
    Event(Event),
    /// It has ended.
    Ended(Option<ExitStatus>),
}

/// One child.
pub struct Node {
    /// The name that the demo gave it.
    pub name: String,
    /// What it is for.
    pub part: Part,
    /// Its peer id, once it has said so.
    pub peer: Option<String>,
    /// It was told to leave, or killed.
    pub ending: bool,
    /// How it ended.
    pub ended: Option<Option<ExitStatus>>,
    folder: PathBuf,
    stdin: Option<ChildStdin>,
    kill: mpsc::Sender<()>,
}

impl Node {
    /// Starts a child. It writes its frame log, its recording and its standard error into `folder`.
    ///
    /// # Errors
    /// [`Failure::Failed`] where the system starts no process or a file cannot be made.
    pub fn start(
        index: usize,
        (name, part): (String, Part),
        folder: &Path,
        arguments: Vec<OsString>,
        reports: mpsc::Sender<(usize, Report)>,
    ) -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::Failed(format!("cannot start {name}: {error}; close other programs"));
        let program = env::current_exe().map_err(failed)?;
        let data = folder.join("data").join(&name);
        fs::create_dir_all(&data).map_err(failed)?;
        let log = File::create(folder.join(format!("{name}.log"))).map_err(failed)?;
        let mut child = Command::new(program)
            .args(arguments)
            .args(["--json", "--until-stdin-closes", "--frame-log"])
            .arg(folder.join(format!("{name}.frames")))
            .env(DATA_VARIABLE, data)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let stdin = child.stdin.take();
        let (kill, killed) = mpsc::channel(1);
        tokio::spawn(attend(index, child, killed, reports));
        Ok(Node { name, part, peer: None, ending: false, ended: None, folder: folder.to_owned(), stdin, kill })
    }

    /// Tells it to leave.
    pub fn leave(&mut self) {
        self.ending = true;
        self.stdin = None;
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        self.ending = true;
        let _ = self.kill.try_send(());
    }

    /// Where it logs when each frame was captured, verified and played.
    pub fn frame_log(&self) -> PathBuf {
        self.folder.join(format!("{}.frames", self.name))
    }

    /// Where it records what it hears.
    pub fn recording(&self) -> PathBuf {
        self.folder.join(format!("{}.wav", self.name))
    }

    /// Why it ended too early, as well as can be told.
    pub fn obituary(&self) -> String {
        let log = self.folder.join(format!("{}.log", self.name));
        let text = fs::read_to_string(&log).unwrap_or_default();
        match text.lines().rfind(|line| !line.trim().is_empty()) {
            Some(last) => format!("{} ended too early: {last} (its log is {})", self.name, log.display()),
            None => format!("{} ended too early and said nothing (its log is {})", self.name, log.display()),
        }
    }
}

/// Passes on what a child says, and how it ends.
async fn attend(index: usize, mut child: Child, mut kill: mpsc::Receiver<()>, reports: mpsc::Sender<(usize, Report)>) {
    if let Some(stdout) = child.stdout.take() {
        let mut lines = BufReader::new(stdout).lines();
        loop {
            let line = tokio::select! {
                line = lines.next_line() => line,
                Some(()) = kill.recv() => {
                    let _ = child.start_kill();
                    continue;
                }
            };
            let Ok(Some(line)) = line else { break };
            if let Ok(Line { event, .. }) = serde_json::from_str(&line)
                && reports.send((index, Report::Event(event))).await.is_err()
            {
                return;
            }
        }
    }
    // Its output is closed, so it is as good as gone; one that hangs now is ended when the child is dropped.
    let status = timeout(LEAVE_MAX, child.wait()).await.ok().and_then(Result::ok);
    let _ = reports.send((index, Report::Ended(status))).await;
}
