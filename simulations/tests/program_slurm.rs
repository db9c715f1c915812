//! A sweep as a job array of a real Slurm: one node on this machine, with its own keys, ports and folders.

#[path = "support/program.rs"]
mod program;

use std::{
    env,
    fs::{self, Permissions},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use libtest_mimic::{Arguments, Failed, Trial};
use program::{done, run};
use rustix::process::{Pid, Signal, getuid, kill_process};

/// What Debian's packages slurm-wlm and munge bring.
const PROGRAMS: [&str; 6] = ["munged", "slurmctld", "slurmd", "sbatch", "sinfo", "scontrol"];
/// Everything here takes a few seconds.
const LIMIT: Duration = Duration::from_secs(60);

fn main() {
    let arguments = Arguments::from_args();
    let must_run = env::var_os("CI").is_some_and(|value| !value.is_empty());
    let lacking = lacking().filter(|_| !must_run);
    if let Some(lacking) = &lacking {
        eprintln!("program_slurm: skipped, {lacking}");
    }
    let trial = Trial::test("a_job_array_runs_a_sweep_that_then_merges", a_job_array_runs_a_sweep_that_then_merges);
    libtest_mimic::run(&arguments, vec![trial.with_ignored_flag(lacking.is_some())]).exit();
}

/// What is missing to run this, if anything.
fn lacking() -> Option<String> {
    if let Some(missing) = PROGRAMS.iter().find(|name| find(name).is_none()) {
        return Some(format!("{missing} is missing: install the packages slurm-wlm and munge"));
    }
    (!getuid().is_root()).then(|| "Slurm's daemons start jobs for others and must be started by root".to_owned())
}

/// Where a program is: daemons are not in everyone's path.
fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin", "/usr/bin"].map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|path| path.is_file())
}

fn a_job_array_runs_a_sweep_that_then_merges() -> Result<(), Failed> {
    if let Some(lacking) = lacking() {
        return Err(lacking.into());
    }
    let cluster = Cluster::start();
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let lists = ["--over", "members=20,30", "--seeds", "3", "--out", "a sweep", "--emit", "slurm"];
    let lengths = ["--set", "duration=6s", "--set", "warmup=3s", "--set", "arrivals.ramp=1s"];
    let told = done(at, &[&["sweep", "smoke"], &lists[..], &lengths[..]].concat());
    assert!(told.contains("6 cells in 6 tasks"), "{told}");
    let sweep = at.join("a sweep");
    assert!(!sweep.join("cells").exists(), "nothing has run yet");

    cluster.submit(&sweep, &["sweep.sbatch"]);
    let logs = (1..=6).map(|task| fs::read_to_string(sweep.join(format!("task-{task}.log"))).unwrap_or_default());
    let logs: Vec<String> = logs.collect();
    assert!(logs.iter().all(|log| log.contains("1 of 1 cells are finished")), "{logs:?}");

    let merged = run(&sweep, &["sweep", "--from", "sweep.toml", "--out", "."]);
    assert_eq!(merged.status, Some(0), "{merged:?}");
    assert!(merged.out.contains("6 of 6 cells were finished before") && merged.err.is_empty(), "{merged:?}");
    let summaries = fs::read_to_string(sweep.join("summaries.jsonl"))?;
    assert_eq!(summaries.lines().count(), 6);

    // Here or there, the results are the same.
    let here =
        done(at, &[&["sweep", "smoke", "--over", "members=20,30", "--seeds", "3", "--json"], &lengths[..]].concat());
    assert_eq!(hashes(&summaries), hashes(&here));
    Ok(())
}

fn hashes(lines: &str) -> Vec<String> {
    let hash = |line: &str| serde_json::from_str::<serde_json::Value>(line).expect("JSON")["hash"].to_string();
    lines.lines().map(hash).collect()
}

/// Slurm on this machine: its folder and its daemons, which end with it.
struct Cluster {
    folder: tempfile::TempDir,
    daemons: Vec<Child>,
}

impl Cluster {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let at = folder.path();
        fs::set_permissions(at, Permissions::from_mode(0o755)).expect("a mode");
        for name in ["state", "spool"] {
            fs::create_dir(at.join(name)).expect("a folder");
        }
        let key = at.join("munge.key");
        fs::write(&key, [7; 1024]).expect("a key");
        fs::set_permissions(&key, Permissions::from_mode(0o400)).expect("a mode");
        fs::write(at.join("slurm.conf"), configuration(at)).expect("a file");
        let mut cluster = Cluster { folder, daemons: Vec::new() };
        let file = |flag: &str, name: &str| format!("--{flag}={}", cluster.path(name).display());
        let munged = [
            "--foreground".to_owned(),
            "--force".to_owned(),
            file("key-file", "munge.key"),
            file("socket", "munge.socket"),
            file("pid-file", "munged.pid"),
            file("log-file", "munged.log"),
            file("seed-file", "munged.seed"),
        ];
        cluster.daemon("munged", &munged);
        cluster.wait("munged listens", |cluster| cluster.path("munge.socket").exists());
        cluster.daemon("slurmctld", &["-D".to_owned()]);
        cluster.daemon("slurmd", &["-D".to_owned(), "-N".to_owned(), "here".to_owned()]);
        cluster.wait("the node is idle", |cluster| {
            let told = cluster.command("sinfo").args(["--noheader", "--format=%T"]).output().expect("sinfo runs");
            String::from_utf8_lossy(&told.stdout).trim() == "idle"
        });
        cluster
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(find(name).expect("it was looked for before"));
        command.env("SLURM_CONF", self.path("slurm.conf")).stdin(Stdio::null());
        command
    }

    fn daemon(&mut self, name: &str, arguments: &[String]) {
        let log = fs::File::create(self.path(&format!("{name}.out"))).expect("a file");
        let both = log.try_clone().expect("a file");
        let child = self.command(name).args(arguments).stdout(log).stderr(both).spawn().expect("it starts");
        self.daemons.push(child);
    }

    /// Submits a script and waits for all of its tasks.
    fn submit(&self, folder: &Path, arguments: &[&str]) {
        let submitted = self.command("sbatch").arg("--wait").args(arguments).current_dir(folder).output();
        let submitted = submitted.expect("sbatch runs");
        assert!(submitted.status.success(), "{submitted:?}\n{}", self.logs());
    }

    #[track_caller]
    fn wait(&self, what: &str, condition: impl Fn(&Cluster) -> bool) {
        let begun = Instant::now();
        while !condition(self) {
            assert!(begun.elapsed() < LIMIT, "it never came about that {what}\n{}", self.logs());
            thread::sleep(Duration::from_millis(100));
        }
    }

    fn logs(&self) -> String {
        let log = |name: &str| fs::read_to_string(self.path(&format!("{name}.out"))).unwrap_or_default();
        ["munged", "slurmctld", "slurmd"].map(log).join("\n")
    }
}

impl Drop for Cluster {
    /// The last started first, so that each still has what it needs to end well.
    fn drop(&mut self) {
        for mut daemon in self.daemons.drain(..).rev() {
            let _ = kill_process(Pid::from_child(&daemon), Signal::TERM);
            let begun = Instant::now();
            while matches!(daemon.try_wait(), Ok(None)) && begun.elapsed() < Duration::from_secs(10) {
                thread::sleep(Duration::from_millis(50));
            }
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

/// One node called `here`, on ports that are free. Nothing that needs cgroups, accounting or another machine.
fn configuration(at: &Path) -> String {
    let ports = [0, 0].map(|port| TcpListener::bind(("127.0.0.1", port)).expect("a port"));
    let [control, node] = ports.map(|listener| listener.local_addr().expect("an address").port());
    let at = at.display();
    let host = fs::read_to_string("/proc/sys/kernel/hostname").expect("a name");
    let host = host.trim();
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    format!(
        "ClusterName=treehouse
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={control}
SlurmdPort={node}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={at}/munge.socket
StateSaveLocation={at}/state
SlurmdSpoolDir={at}/spool
SlurmctldPidFile={at}/slurmctld.pid
SlurmdPidFile={at}/slurmd.pid
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SchedulerParameters=sched_interval=1
NodeName=here NodeHostname={host} NodeAddr=127.0.0.1 CPUs={cores} State=UNKNOWN
PartitionName=all Nodes=here Default=YES MaxTime=10 State=UP
"
    )
}
