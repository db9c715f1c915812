//! Runs cells as processes of this program, as many at once as there are cores.
//!
//! A process a cell: one that runs out of memory takes no other with it, its memory is its own figure, and nothing that it
//! does can depend on its neighbours. Its folder is filled beside its place and moved there when it is whole.

use std::{
    collections::VecDeque,
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use super::Cell;

/// How often the runner looks whether it was asked to stop.
const STOP_LOOKED_FOR: Duration = Duration::from_millis(50);

/// Where and how cells are run.
#[derive(Clone, Debug)]
pub struct Runner {
    /// This program.
    pub program: PathBuf,
    /// The scenario: a name or a path.
    pub scenario: String,
    /// The sweep's folder.
    pub folder: PathBuf,
    /// How many cells at once.
    pub at_once: usize,
}

/// What happens to a cell. Each is told by the number of its worker, which does one at a time.
#[derive(Debug)]
pub enum Event<'a> {
    /// It was begun.
    Started(&'a Cell),
    /// It is under way.
    Under {
        /// Share of its simulated time that is done, 0 to 1.
        share: f64,
    },
    /// It is finished, and its folder is there.
    Finished(&'a Cell),
    /// It failed.
    Failed {
        /// Which.
        cell: &'a Cell,
        /// Why, in a sentence.
        reason: String,
    },
}

/// Runs cells; answers how many failed. Ends early, and drops what is under way, once `stop` is set.
pub fn run(runner: &Runner, cells: Vec<Cell>, stop: &AtomicBool, watch: &(dyn Fn(usize, Event<'_>) + Sync)) -> usize {
    let workers = runner.at_once.clamp(1, cells.len().max(1));
    let queue = Mutex::new(VecDeque::from(cells));
    let children: Vec<Mutex<Option<Child>>> = (0..workers).map(|_| Mutex::new(None)).collect();
    let (at_work, failed) = (AtomicUsize::new(workers), AtomicUsize::new(0));
    thread::scope(|scope| {
        for (worker, child) in children.iter().enumerate() {
            let (queue, at_work, failed) = (&queue, &at_work, &failed);
            scope.spawn(move || {
                while let Some(cell) = next(queue, stop) {
                    watch(worker, Event::Started(&cell));
                    match run_cell(runner, &cell, child, &|share| watch(worker, Event::Under { share })) {
                        Ok(()) => watch(worker, Event::Finished(&cell)),
                        Err(_) if stop.load(Ordering::Relaxed) => {}
                        Err(reason) => {
                            failed.fetch_add(1, Ordering::Relaxed);
                            watch(worker, Event::Failed { cell: &cell, reason });
                        }
                    }
                }
                at_work.fetch_sub(1, Ordering::Relaxed);
            });
        }
        while at_work.load(Ordering::Relaxed) > 0 {
            if stop.load(Ordering::Relaxed) {
                for child in &children {
                    if let Some(child) = locked(child).as_mut() {
                        let _ = child.kill();
                    }
                }
            }
            thread::sleep(STOP_LOOKED_FOR);
        }
    });
    failed.into_inner()
}

fn next(queue: &Mutex<VecDeque<Cell>>, stop: &AtomicBool) -> Option<Cell> {
    if stop.load(Ordering::Relaxed) { None } else { locked(queue).pop_front() }
}

/// A worker that panicked leaves nothing half done behind these locks.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn run_cell(runner: &Runner, cell: &Cell, slot: &Mutex<Option<Child>>, progress: &dyn Fn(f64)) -> Result<(), String> {
    let folder = cell.folder(&runner.folder);
    let parent = folder.parent().unwrap_or(&runner.folder);
    // The dot keeps readers of all folders away from what is not whole yet.
    let name = format!(".{}.{}", folder.file_name().unwrap_or_default().display(), std::process::id());
    let (partial, log) = (parent.join(&name), parent.join(format!("{name}.log")));
    fs::create_dir_all(parent).map_err(|error| format!("cannot make the folder {}: {error}", parent.display()))?;
    let outcome = run_process(runner, cell, slot, &partial, &log, progress);
    let outcome = outcome.and_then(|()| {
        let moved = fs::rename(&partial, &folder);
        // Another process may have finished the same cell in the meantime; both have the same results.
        if folder.is_dir() {
            Ok(())
        } else {
            moved.map_err(|error| format!("cannot make {}: {error}", folder.display()))
        }
    });
    let _ = fs::remove_dir_all(&partial);
    let _ = fs::remove_file(&log);
    outcome
}

fn run_process(
    runner: &Runner,
    cell: &Cell,
    slot: &Mutex<Option<Child>>,
    partial: &Path,
    log: &Path,
    progress: &dyn Fn(f64),
) -> Result<(), String> {
    let told = fs::File::create(log).map_err(|error| format!("cannot write {}: {error}", log.display()))?;
    let mut command = Command::new(&runner.program);
    command.args(["run", "--json", "--seed", &cell.seed.to_string(), "--out"]).arg(partial);
    for setting in cell.settings() {
        command.args(["--set", &setting]);
    }
    command.arg("--").arg(&runner.scenario).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(told);
    let mut child = command.spawn().map_err(|error| format!("cannot start {}: {error}", runner.program.display()))?;
    let lines = child.stdout.take().map(BufReader::new);
    *locked(slot) = Some(child);
    for line in lines.into_iter().flat_map(BufRead::lines).map_while(Result::ok) {
        if let Some(share) = share_done(&line) {
            progress(share);
        }
    }
    // It has closed its output, so that it is at its end, or was ended.
    let ended = locked(slot).take();
    match ended.map(|mut child| child.wait()) {
        Some(Ok(status)) if status.success() => Ok(()),
        Some(Ok(status)) => {
            let told = fs::read_to_string(log).unwrap_or_default();
            let last = told.lines().rfind(|line| !line.trim().is_empty());
            Err(last.map_or_else(|| format!("ended with {status}"), |line| line.trim().to_owned()))
        }
        Some(Err(error)) => Err(error.to_string()),
        None => Err("it was lost".to_owned()),
    }
}

/// The share that a line of progress tells.
fn share_done(line: &str) -> Option<f64> {
    let told: serde_json::Value = serde_json::from_str(line).ok()?;
    let (now, whole) = (told["simulated_s"].as_f64()?, told["duration_s"].as_f64()?);
    (told["event"] == "progress" && whole > 0.0).then_some(now / whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_read_and_other_lines_are_not() {
        assert_eq!(share_done(r#"{"event":"progress","simulated_s":15,"duration_s":60}"#), Some(0.25));
        assert_eq!(share_done(r#"{"event":"summary","duration_s":60}"#), None);
        assert_eq!(share_done("treehouse"), None);
    }
}
