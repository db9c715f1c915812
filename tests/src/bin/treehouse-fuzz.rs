//! Fuzzing without instrumentation, in the build that the tests use: fast, and nothing more to compile.
//!
//! ```text
//! treehouse-fuzz TARGET|all [--runs N | --seconds S]
//! ```
//! A target's work is shared by as many processes as the machine has cores; with `all` the targets run side by side, one
//! process each. Each changes seeds of `tests/fuzz/corpus` at random, and fails where an input panics, hangs, or leaves memory
//! behind. It looks at no coverage; `./dev fuzz TARGET N` without `--plain` does, and finds more in as many executions.

use std::{
    env,
    fmt::Display,
    fs,
    panic::catch_unwind,
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio, exit},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use treehouse_tests::{
    fuzz::{
        TARGETS, Target,
        memory::{self, StatsAlloc},
        mutate::{Rng, mutate},
    },
    tree,
};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<std::alloc::System> = memory::COUNTED;

/// An input that has not come back after this hangs.
const HANGS: Duration = Duration::from_secs(60);
/// Memory that the system may count more at the end than after the first hundredth of the work, in KiB.
const GROWN_KIB_MAX: u64 = 16 * 1024;
/// Longest input.
const INPUT_BYTES_MAX: usize = 4096;

/// How long a process goes on.
#[derive(Clone, Copy)]
enum Until {
    Runs(u64),
    Seconds(u64),
}

impl Until {
    /// The share of the work that is done, in hundredths.
    fn done(self, runs: u64, since: Instant) -> u64 {
        match self {
            Until::Runs(all) => runs.saturating_mul(100) / all.max(1),
            Until::Seconds(all) => u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX) / (10 * all.max(1)),
        }
    }
}

/// What one process has done, or several together.
#[derive(Clone, Copy, Default)]
struct Count {
    runs: u64,
    millis: u64,
    peak_kib: u64,
    grown_kib: u64,
}

impl Count {
    fn with(self, other: Count) -> Count {
        Count {
            runs: self.runs + other.runs,
            millis: self.millis.max(other.millis),
            peak_kib: self.peak_kib.max(other.peak_kib),
            grown_kib: self.grown_kib.max(other.grown_kib),
        }
    }

    fn line(self) -> String {
        format!("{} {} {} {}", self.runs, self.millis, self.peak_kib, self.grown_kib)
    }

    fn read(line: &str) -> Option<Count> {
        let words: Vec<u64> = line.split_whitespace().map_while(|word| word.parse().ok()).collect();
        let [runs, millis, peak_kib, grown_kib] = words.try_into().ok()?;
        Some(Count { runs, millis, peak_kib, grown_kib })
    }

    fn report(self, target: &str) {
        let rate = self.runs * 1000 / self.millis.max(1);
        let (seconds, peak) = (self.millis as f64 / 1000.0, self.peak_kib as f64 / 1024.0);
        println!(
            "{target}: {} executions in {seconds:.1} s, {rate} a second; peak {peak:.1} MiB a process, grown by {} KiB",
            self.runs, self.grown_kib
        );
    }
}

fn complain(what: impl Display) -> ExitCode {
    eprintln!("treehouse-fuzz: {what}");
    ExitCode::from(2)
}

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (name, until, worker) = match words.as_slice() {
        [name] => (*name, Some(Until::Runs(1_000_000)), None),
        [name, "--runs", runs] => (*name, runs.parse().ok().map(Until::Runs), None),
        [name, "--seconds", seconds] => (*name, seconds.parse().ok().map(Until::Seconds), None),
        // What this program starts itself.
        [name, "--runs", runs, "--worker", seed] => (*name, runs.parse().ok().map(Until::Runs), Some(*seed)),
        [name, "--seconds", seconds, "--worker", seed] => {
            (*name, seconds.parse().ok().map(Until::Seconds), Some(*seed))
        }
        _ => return complain("usage: treehouse-fuzz TARGET|all [--runs N | --seconds S]"),
    };
    let Some(until) = until else { return complain("N and S are numbers") };
    let named: Vec<&Target> = TARGETS.iter().filter(|target| name == "all" || target.name == name).collect();
    if named.is_empty() {
        let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        return complain(format!("there is no target {name}; there are all, {}", names.join(", ")));
    }
    match worker {
        Some(seed) => named.first().map_or(ExitCode::FAILURE, |target| work(target, until, seed.parse().unwrap_or(0))),
        None => lead(&named, until),
    }
}

/// Starts the processes, as many at once as there are cores, and adds up what they say.
fn lead(targets: &[&Target], until: Until) -> ExitCode {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let shares = if targets.len() > 1 { 1 } else { cores as u64 };
    // A seed that nobody chose, so that every run tries something else; a failing input is kept in a file.
    let seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(1, |since| since.as_secs());
    let mut jobs = Vec::new();
    for target in targets {
        for share in 0..shares {
            let until = match until {
                Until::Runs(runs) => Until::Runs(runs / shares + u64::from(share < runs % shares)),
                Until::Seconds(seconds) => Until::Seconds(seconds),
            };
            jobs.push((*target, until, seed.wrapping_mul(64).wrapping_add(share)));
        }
    }
    let mut failed = false;
    let mut counts: Vec<Count> = vec![Count::default(); targets.len()];
    for batch in jobs.chunks(cores) {
        let started: Vec<_> =
            batch.iter().map(|(target, until, seed)| (*target, start(target, *until, *seed))).collect();
        for (target, child) in started {
            let count = child.and_then(|child| child.wait_with_output().ok()).filter(|output| output.status.success());
            let count = count.and_then(|output| Count::read(&String::from_utf8_lossy(&output.stdout)));
            let at = targets.iter().position(|of| of.name == target.name).unwrap_or(0);
            match count {
                Some(count) => counts[at] = counts[at].with(count),
                None => failed = true,
            }
        }
    }
    for (target, count) in targets.iter().zip(counts) {
        count.report(target.name);
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn start(target: &Target, until: Until, seed: u64) -> Option<Child> {
    let (kind, number) = match until {
        Until::Runs(runs) => ("--runs", runs),
        Until::Seconds(seconds) => ("--seconds", seconds),
    };
    let (number, seed) = (number.to_string(), seed.to_string());
    Command::new(env::current_exe().ok()?)
        .args([target.name, kind, &number, "--worker", &seed])
        .stdout(Stdio::piped())
        .spawn()
        .ok()
}

/// One process's share of the work.
fn work(target: &'static Target, until: Until, seed: u64) -> ExitCode {
    let folder = tree::root().join("tests/fuzz/corpus").join(target.name);
    let seeds = match read_seeds(&folder) {
        Ok(seeds) if !seeds.is_empty() => seeds,
        _ => return complain(format!("{} has no seeds", folder.display())),
    };
    static RUNS: AtomicU64 = AtomicU64::new(0);
    static WATCHED: AtomicBool = AtomicBool::new(false);
    thread::spawn(move || {
        WATCHED.store(true, Ordering::Release);
        let mut seen = u64::MAX;
        while RUNS.load(Ordering::Relaxed) != seen {
            seen = RUNS.load(Ordering::Relaxed);
            thread::sleep(HANGS);
        }
        eprintln!("{}: an input (seed {seed}, execution {seen}) has not come back for {HANGS:?}", target.name);
        exit(1);
    });
    // The thread must have taken what it needs, or it would be taken for what an input left behind.
    while !WATCHED.load(Ordering::Acquire) {
        thread::sleep(Duration::from_millis(1));
    }
    let (since, mut rng) = (Instant::now(), Rng::new(seed));
    let mut input = Vec::with_capacity(2 * INPUT_BYTES_MAX);
    let mut warm_kib = None;
    let mut runs = 0;
    loop {
        // The clock costs more than most inputs.
        let looks = matches!(until, Until::Runs(_)) || runs % 64 == 0;
        let done = if looks { until.done(runs, since) } else { 0 };
        if done >= 100 {
            break;
        }
        if done >= 1 && warm_kib.is_none() {
            warm_kib = memory::resident_kib();
        }
        mutate(&mut rng, &seeds, &mut input, INPUT_BYTES_MAX);
        if catch_unwind(|| target.run_counted(&input)).is_err() {
            return keep(target, &input);
        }
        runs += 1;
        RUNS.store(runs, Ordering::Relaxed);
    }
    let (now_kib, peak_kib) = memory::resident_kib().unwrap_or_default();
    let grown_kib = warm_kib.map_or(0, |(warm, _)| now_kib.saturating_sub(warm));
    let millis = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
    println!("{}", Count { runs, millis, peak_kib, grown_kib }.line());
    if grown_kib > GROWN_KIB_MAX {
        return complain(format!("{} grew by {grown_kib} KiB in {runs} executions", target.name));
    }
    ExitCode::SUCCESS
}

fn read_seeds(folder: &Path) -> std::io::Result<Vec<Vec<u8>>> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths.iter().map(fs::read).collect()
}

/// Keeps the input that failed, where it can be replayed and added to the corpus.
fn keep(target: &Target, input: &[u8]) -> ExitCode {
    let name = format!("treehouse-fuzz-{}-{}", target.name, std::process::id());
    let path = env::temp_dir().join(name);
    match fs::write(&path, input) {
        Ok(()) => eprintln!("{}: the input that failed is in {}", target.name, path.display()),
        Err(error) => eprintln!("{}: the input that failed cannot be kept ({error}): {input:02x?}", target.name),
    }
    ExitCode::FAILURE
}
