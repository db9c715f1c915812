//! The built `treehouse` program, run as a user would run it: its own data folder, real sockets, exit status and output.

use std::{
    env,
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

/// Lines of JSON that wait to be looked at; a program that says more waits itself.
const EVENTS_MAX: usize = 10_000;
/// How often an end is looked for.
const POLL: Duration = Duration::from_millis(10);

/// The program that was built together with this test.
///
/// # Panics
/// When it is missing, or older than a file that it is made of: `cargo test -p treehouse-tests` alone does not build it.
#[must_use]
pub fn binary() -> PathBuf {
    let test = env::current_exe().expect("a test has a path");
    let folder = test.parent().and_then(Path::parent).expect("tests are in target/debug/deps");
    let binary = folder.join("treehouse");
    if let Some(problem) = stale(&binary) {
        panic!("{problem}: run `cargo build --workspace --all-targets` first");
    }
    binary
}

/// Why the program at `binary` is not the one that the sources describe; cargo lists those beside it.
fn stale(binary: &Path) -> Option<String> {
    let changed = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified());
    let Ok(built) = changed(binary) else { return Some(format!("{} is not built", binary.display())) };
    let list = fs::read_to_string(binary.with_extension("d")).unwrap_or_default();
    // Paths are separated by spaces; a space within one is escaped.
    let sources = list.split_once(':').map_or("", |(_, sources)| sources).replace("\\ ", "\u{0}");
    let newer = sources
        .split_whitespace()
        .map(|path| PathBuf::from(path.replace('\u{0}', " ")))
        .find(|path| changed(path).is_ok_and(|changed| changed > built));
    newer.map(|path| format!("{} is newer than the program", path.display()))
}

/// What a program left behind.
#[derive(Debug)]
pub struct Finished {
    /// Exit status; none where a signal ended it.
    pub code: Option<i32>,
    /// All of standard output.
    pub out: String,
    /// All of standard error.
    pub err: String,
    /// How long it ran.
    pub took: Duration,
}

impl Finished {
    /// The lines of JSON on standard output.
    #[must_use]
    pub fn events(&self) -> Vec<Value> {
        self.out.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The first event of a kind.
    #[must_use]
    pub fn event(&self, kind: &str) -> Option<Value> {
        self.events().into_iter().find(|event| event["event"] == kind)
    }

    /// The one sentence of a failure.
    ///
    /// # Panics
    /// When the program ended otherwise than with `code` and exactly one line that begins as its messages do.
    #[must_use]
    #[track_caller]
    pub fn sentence(&self, code: i32) -> &str {
        assert_eq!(self.code, Some(code), "{self:?}");
        let sentence = self.err.trim_end().strip_prefix("treehouse: ").unwrap_or_default();
        assert!(!sentence.is_empty() && sentence.lines().count() == 1, "not one sentence: {self:?}");
        sentence
    }
}

/// A running program. It is killed when it is dropped.
pub struct Program {
    child: Child,
    started: Instant,
    folder: PathBuf,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Program {
    /// Starts the program with a data folder of its own under `folder`; `name` tells it from others.
    ///
    /// # Panics
    /// When it cannot be started.
    #[track_caller]
    pub fn start(folder: &Path, name: &str, arguments: &[impl AsRef<OsStr>]) -> Self {
        Self::start_with(folder, name, arguments, &[])
    }

    /// The same with more environment variables.
    ///
    /// # Panics
    /// When it cannot be started.
    #[track_caller]
    pub fn start_with(
        folder: &Path,
        name: &str,
        arguments: &[impl AsRef<OsStr>],
        variables: &[(&str, &OsStr)],
    ) -> Self {
        let folder = folder.join(name);
        fs::create_dir_all(&folder).expect("a folder");
        let log = fs::File::create(folder.join("stderr")).expect("a file");
        let mut child = Command::new(binary())
            .args(arguments)
            .env("TREEHOUSE_DATA", folder.join("data"))
            .env_remove("RUST_LOG")
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the program starts");
        let (sender, lines) = sync_channel(EVENTS_MAX);
        let out = child.stdout.take().expect("it is piped");
        thread::spawn(move || forward(out, &sender));
        Program { child, started: Instant::now(), folder, lines, seen: Vec::new() }
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the next event of a kind, and returns it.
    ///
    /// # Panics
    /// When it does not come within `limit`.
    #[track_caller]
    pub fn wait_for(&mut self, kind: &str, limit: Duration) -> Value {
        self.wait_until(kind, limit, |_| true)
    }

    /// Waits for the next event of a kind that `fits`, and returns it.
    ///
    /// # Panics
    /// When it does not come within `limit`.
    #[track_caller]
    pub fn wait_until(&mut self, kind: &str, limit: Duration, fits: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + limit;
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let event: Value = serde_json::from_str(&line).unwrap_or_default();
                    self.seen.push(line);
                    if event["event"] == kind && fits(&event) {
                        return event;
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("no {kind}: {}", self.account())
                }
            }
        }
    }

    /// Asks it to end, as Ctrl-C does.
    ///
    /// # Panics
    /// When the signal cannot be sent.
    pub fn interrupt(&self) {
        let status = Command::new("kill").args(["-INT", &self.id().to_string()]).status().expect("kill runs");
        assert!(status.success());
    }

    /// Ends it at once, as a crash would.
    ///
    /// # Panics
    /// When it cannot be killed.
    pub fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end within `limit`.
    #[must_use]
    #[track_caller]
    pub fn finish(mut self, limit: Duration) -> Finished {
        let Some(status) = self.ended(limit) else { panic!("it does not end: {}", self.account()) };
        let took = self.started.elapsed();
        // The pipe ends with the program, so this ends too.
        let rest = std::mem::take(&mut self.seen).into_iter().chain(self.lines.iter());
        let out = rest.map(|line| line + "\n").collect();
        Finished { code: status.code(), out, err: self.errors(), took }
    }

    fn ended(&mut self, limit: Duration) -> Option<ExitStatus> {
        let end = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait().expect("its status can be asked") {
                return Some(status);
            }
            if Instant::now() >= end {
                return None;
            }
            thread::sleep(POLL);
        }
    }

    fn errors(&self) -> String {
        fs::read_to_string(self.folder.join("stderr")).unwrap_or_default()
    }

    fn account(&mut self) -> String {
        self.seen.extend(self.lines.try_iter());
        format!("{}\n{}", self.seen.join("\n"), self.errors())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn forward(out: impl Read, lines: &SyncSender<String>) {
    for line in BufReader::new(out).lines() {
        let Ok(line) = line else { break };
        if lines.send(line).is_err() {
            break;
        }
    }
}

/// Runs the program to its end.
///
/// # Panics
/// When it does not end within `limit`.
#[must_use]
#[track_caller]
pub fn run(folder: &Path, arguments: &[impl AsRef<OsStr>], limit: Duration) -> Finished {
    Program::start(folder, "run", arguments).finish(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_older_than_its_sources_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let (binary, source) = (folder.path().join("treehouse"), folder.path().join("a b.rs"));
        assert!(stale(&binary).is_some_and(|problem| problem.contains("not built")));
        fs::write(&source, "").unwrap();
        thread::sleep(Duration::from_millis(20));
        fs::write(&binary, "").unwrap();
        let escaped = source.display().to_string().replace(' ', "\\ ");
        fs::write(binary.with_extension("d"), format!("{}: {escaped}\n", binary.display())).unwrap();
        assert_eq!(stale(&binary), None);
        thread::sleep(Duration::from_millis(20));
        fs::write(&source, "changed").unwrap();
        assert!(stale(&binary).is_some_and(|problem| problem.contains("a b.rs is newer")));
    }
}
