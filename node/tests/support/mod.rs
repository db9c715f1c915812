//! Real processes of the program under test, each with a data folder of its own, ended when dropped.

#![allow(dead_code, reason = "each test file uses its own part of this")]

use std::{
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, sync_channel},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// Nothing here takes longer on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// More lines than any test makes.
const LINES_MAX: usize = 65_536;
/// Rooms of tests never leave the machine.
pub const LOOPBACK: [&str; 4] = ["--listen", "/ip4/127.0.0.1/udp/0/quic-v1", "--listen", "/ip4/127.0.0.1/tcp/0"];

/// A process that is under way.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
    stderr: Receiver<String>,
}

/// How a process ended, and what it wrote.
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

/// The program with a data folder.
pub fn program(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_treehouse"));
    command.env("TREEHOUSE_DATA", data).stdin(Stdio::null());
    command
}

/// Starts the program and reads along.
pub fn start(data: &Path, arguments: &[&str]) -> Running {
    let mut child = program(data)
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let stdout = child.stdout.take().expect("a pipe");
    let (sender, lines) = sync_channel(LINES_MAX);
    thread::spawn(move || BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    let mut errors = child.stderr.take().expect("a pipe");
    let (sender, stderr) = sync_channel(LINES_MAX);
    thread::spawn(move || {
        let mut text = String::new();
        let _ = errors.read_to_string(&mut text);
        sender.send(text)
    });
    Running { child, lines, seen: Vec::new(), stderr }
}

impl Running {
    /// Waits for a line that fits.
    pub fn line(&mut self, what: &str, fits: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if fits(&line) {
                        return line;
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("no {what} came; what came is:\n{}", self.seen.join("\n"))
                }
            }
        }
    }

    /// Waits for an event of this kind that fits.
    pub fn event(&mut self, kind: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let parse = |line: &str| serde_json::from_str::<Value>(line).expect("each line is JSON");
        let line = self.line(&format!("event {kind}"), |line| {
            let value = parse(line);
            value["event"] == kind && fits(&value)
        });
        parse(&line)
    }

    /// The invite that a host prints for people.
    pub fn invite(&mut self) -> String {
        self.line("invite", |line| line.starts_with("TREEHOUSE:"))
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("it still runs");
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Waits for its end.
    pub fn ended(mut self) -> Ended {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("it is ours") {
                break status;
            }
            assert!(Instant::now() < deadline, "it does not end; it said:\n{}", self.seen.join("\n"));
            thread::sleep(Duration::from_millis(10));
        };
        while let Ok(line) = self.lines.recv_timeout(Duration::from_secs(5)) {
            self.seen.push(line);
        }
        let stderr = self.stderr.recv_timeout(Duration::from_secs(5)).unwrap_or_default();
        Ended { status, stdout: std::mem::take(&mut self.seen).join("\n"), stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder for a test, with one for each node.
pub struct Place(TempDir);

impl Place {
    pub fn new() -> Self {
        Place(TempDir::new().expect("a folder"))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).to_str().expect("unicode").to_owned()
    }
}

/// Opens a room on loopback that says and hears what is given; returns it with its invite.
pub fn host(place: &Place, say: &str, more: &[&str]) -> (Running, String) {
    let mut arguments = vec!["host", "--say", say];
    arguments.extend(LOOPBACK);
    arguments.extend(more);
    let mut host = start(&place.path("host"), &arguments);
    let invite = if more.contains(&"--json") {
        host.event("invite", |_| true)["invite"].as_str().expect("text").to_owned()
    } else {
        host.invite()
    };
    (host, invite)
}

/// Seconds and loudness of a recording.
pub fn recording(path: &Path) -> (f64, f64) {
    let recording = treehouse::demo::recording::Recording::read(path).expect("a recording");
    (recording.seconds, recording.rms)
}
