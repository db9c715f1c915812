//! A PulseAudio of a test's own, with a null sink to speak into and another to hear from.

use std::{
    ffi::OsStr,
    fs::{self, File, Permissions},
    io::Read,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::process::Pid;

use crate::program::Program;

/// A server, or a client of it, that takes longer to start never does.
const LIMIT: Duration = Duration::from_secs(20);
/// What a recorder writes: a sample each 1/48,000 s, two bytes long.
const SAMPLE_RATE: f64 = 48_000.0;
/// Bytes read at once from a recorder: a tenth of a second.
const READ_MAX: usize = 9_600;

/// A process that is killed when it is dropped.
pub struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The sinks are `mic`, whose monitor is the default microphone, and `spk`, the default speakers; both 48 kHz, mono.
pub struct SoundServer {
    folder: PathBuf,
    server: Running,
}

impl SoundServer {
    /// Starts one that keeps what it has in `folder`, and waits until it answers.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(folder: &Path) -> Self {
        let server = Self::start_with(folder, &["mic", "spk"]);
        assert!(server.control(&["set-default-source", "mic.monitor"]) && server.control(&["set-default-sink", "spk"]));
        server
    }

    /// Starts one with other null sinks, or none.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start_with(folder: &Path, sinks: &[&str]) -> Self {
        let folder = folder.join("pulse");
        fs::create_dir(&folder).expect("a folder");
        fs::set_permissions(&folder, Permissions::from_mode(0o700)).expect("the folder is ours");
        let mut command = Command::new("pulseaudio");
        command.args(["-n", "--daemonize=no", "--exit-idle-time=-1", "-L", "module-native-protocol-unix"]);
        for sink in sinks {
            command.args(["-L", &format!("module-null-sink sink_name={sink} rate=48000 channels=1")]);
        }
        let server = spawn(in_folder(&mut command, &folder), &folder, "pulseaudio");
        let server = SoundServer { folder, server };
        let end = Instant::now() + LIMIT;
        while !server.control(&["info"]) {
            assert!(Instant::now() < end, "no sound server: {}", server.log("pulseaudio"));
            thread::sleep(Duration::from_millis(100));
        }
        server
    }

    /// The server's process.
    #[must_use]
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.server.0)
    }

    /// How many programs record.
    ///
    /// # Panics
    /// When `pactl` does not run.
    #[must_use]
    pub fn recording(&self) -> usize {
        let output = self.command("pactl").args(["list", "short", "source-outputs"]).output().expect("pactl runs");
        String::from_utf8_lossy(&output.stdout).lines().count()
    }

    /// Tells it something, as `pactl` does; whether it obeyed.
    ///
    /// # Panics
    /// When `pactl` does not run.
    #[must_use]
    pub fn control(&self, arguments: &[&str]) -> bool {
        let mut command = self.command("pactl");
        command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().expect("pactl runs").success()
    }

    /// A program that finds this server and no other, and no display.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        in_folder(&mut command, &self.folder).env("QT_QPA_PLATFORM", "offscreen");
        command
    }

    /// Starts such a program; what it complains of is read by [`Self::log`] of the same name.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn spawn(&self, name: &str, command: &mut Command) -> Running {
        spawn(command, &self.folder, name)
    }

    /// What a program that was started by that name complained of.
    #[must_use]
    pub fn log(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join(name).with_extension("log")).unwrap_or_default()
    }

    /// Where its clients may keep files.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Records what the speakers play into a file of bare samples, until it is dropped.
    ///
    /// # Panics
    /// When the recorder does not start or the file cannot be written.
    #[must_use]
    pub fn record(&self, raw: &Path) -> Running {
        let mut command = self.recorder("spk.monitor", 50);
        Running(command.stdout(File::create(raw).expect("a file")).spawn().expect("parec runs"))
    }

    fn recorder(&self, device: &str, latency_ms: u32) -> Command {
        let mut command = self.command("parec");
        command.args(["--format=s16le", "--rate=48000", "--channels=1"]);
        command.args([format!("--device={device}"), format!("--latency-msec={latency_ms}")]);
        command
    }

    /// Listens to a device, and to the time.
    ///
    /// # Panics
    /// When the recorder does not start.
    #[must_use]
    pub fn tap(&self, device: &str) -> Tap {
        let mut child = self.recorder(device, 5).stdout(Stdio::piped()).spawn().expect("parec runs");
        let out = child.stdout.take().expect("it is piped");
        Tap { listens: thread::spawn(move || listen(out)), recorder: Running(child) }
    }

    /// Plays a file into the microphone, to its end. The default latency of two seconds would make the microphone deliver in pieces of
    /// two seconds, so one is named, in milliseconds.
    ///
    /// # Panics
    /// When it cannot be played.
    pub fn play(&self, file: &Path, latency_ms: u32) {
        let mut command = self.command("paplay");
        command.args([&format!("--latency-msec={latency_ms}"), "--device=mic"]).arg(file);
        assert!(command.status().expect("paplay runs").success());
    }

    /// Starts a node that uses this server.
    #[must_use]
    pub fn node(&self, folder: &Path, name: &str, arguments: &[impl AsRef<OsStr>]) -> Program {
        let socket = format!("unix:{}", self.folder.join("pulse/native").display());
        let variables = [
            ("XDG_RUNTIME_DIR", self.folder.as_os_str()),
            ("HOME", self.folder.as_os_str()),
            ("PULSE_SERVER", socket.as_ref()),
        ];
        Program::start_with(folder, name, arguments, &variables)
    }
}

/// Listens to one device.
pub struct Tap {
    recorder: Running,
    listens: JoinHandle<Recording>,
}

impl Tap {
    /// Stops, and returns what it heard.
    ///
    /// # Panics
    /// When the recorder's output could not be read.
    #[must_use]
    pub fn stop(self) -> Recording {
        drop(self.recorder);
        self.listens.join().expect("the recorder can be read")
    }
}

/// What a [`Tap`] heard.
pub struct Recording {
    /// 48 kHz, mono.
    pub samples: Vec<i16>,
    /// When the first of them came, as near as the block that came soonest after it was recorded tells. Two taps of one server are
    /// late by the same, so that their times can be compared.
    pub start: Instant,
}

fn listen(mut out: impl Read) -> Recording {
    let opened = Instant::now();
    let mut bytes = Vec::new();
    let mut block = [0; READ_MAX];
    let mut start_s = f64::MAX;
    while let Ok(length @ 1..) = out.read(&mut block) {
        bytes.extend(block.iter().take(length));
        start_s = start_s.min(opened.elapsed().as_secs_f64() - bytes.len() as f64 / 2.0 / SAMPLE_RATE);
    }
    let samples = bytes.as_chunks().0.iter().map(|sample| i16::from_le_bytes(*sample)).collect();
    Recording { samples, start: opened + Duration::from_secs_f64(start_s.clamp(0.0, 3_600.0)) }
}

fn in_folder<'a>(command: &'a mut Command, folder: &Path) -> &'a mut Command {
    command.env("HOME", folder).env("XDG_RUNTIME_DIR", folder).stdin(Stdio::null());
    command.env_remove("PULSE_SERVER").env_remove("DISPLAY")
}

fn spawn(command: &mut Command, folder: &Path, name: &str) -> Running {
    let log = File::create(folder.join(name).with_extension("log")).expect("a file");
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
    Running(child.unwrap_or_else(|error| panic!("{name} does not start: {error}")))
}
