//! Sound servers, which no user's server shares.

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use libtest_mimic::Failed;

use super::node::speech;

const PATIENCE: Duration = Duration::from_secs(20);

/// A process that is killed when the test is over, however it ends.
pub struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A folder for servers and what they leave.
pub struct Home {
    dir: tempfile::TempDir,
}

impl Home {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        #[cfg(unix)]
        fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).expect("permissions");
        Home { dir }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env("HOME", self.dir.path()).env("XDG_RUNTIME_DIR", self.dir.path());
        for name in ["PULSE_SERVER", "PULSE_RUNTIME_PATH", "PULSE_COOKIE", "DISPLAY"] {
            command.env_remove(name);
        }
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Starts a server with a sink to speak into and one to hear from.
    pub fn serve(&self) -> Result<Running, Failed> {
        // A server that was killed leaves these behind.
        let _ = fs::remove_dir_all(self.path("pulse"));
        let server = self
            .command("pulseaudio")
            .args(["-n", "--daemonize=no", "--exit-idle-time=-1", "-L", "module-native-protocol-unix"])
            .args(["-L", &sink("mic_a"), "-L", &sink("spk_b")])
            .spawn()?;
        let server = Running(server);
        wait_until("the sound server answers", || {
            self.command("pactl").arg("info").status().is_ok_and(|status| status.success())
        })?;
        Ok(server)
    }

    /// What the server's control program says.
    pub fn pactl(&self, arguments: &[&str]) -> String {
        let output = self.command("pactl").args(arguments).stdout(Stdio::piped()).output();
        output.map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Adds a device while the server runs; returns what `unload-module` takes it away by.
    pub fn plug_in(&self, name: &str) -> Result<String, Failed> {
        let module = self.pactl(&[&["load-module"], sink(name).split(' ').collect::<Vec<_>>().as_slice()].concat());
        if module.parse::<u32>().is_ok() { Ok(module) } else { Err(format!("{name} is not there: {module:?}").into()) }
    }

    /// A node that says and hears.
    pub fn node(&self, say: &str, hear: &str, environment: &[(&str, &str)]) -> Result<Node, Failed> {
        let environment = [&[("TREEHOUSE_SAY", say), ("TREEHOUSE_HEAR", hear)], environment].concat();
        self.role("talk", &environment)
    }

    /// This program again, as something else.
    pub fn role(&self, role: &str, environment: &[(&str, &str)]) -> Result<Node, Failed> {
        let mut child = self
            .command(env::current_exe()?)
            .env("TREEHOUSE_TALK", role)
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().ok_or("no output")?;
        let input = child.stdin.take().ok_or("no input")?;
        let heard = Arc::new(Heard::default());
        let sink = heard.clone();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                sink.line(line);
            }
        });
        Ok(Node { _child: Running(child), input, heard })
    }

    pub fn record(&self, file: &Path) -> Result<Running, Failed> {
        let recorder = self
            .command("parec")
            .args(["-d", "spk_b.monitor", "--latency-msec=20", "--format=s16le", "--rate=48000", "--channels=1"])
            .stdout(fs::File::create(file)?)
            .spawn()?;
        Ok(Running(recorder))
    }

    /// Says four seconds of a sample into the microphone. A small latency: null sinks hand sound on in blocks of it.
    pub fn speak(&self) -> Result<(), Failed> {
        let path = self.path("speech.wav");
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: 48_000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut wav = hound::WavWriter::create(&path, spec)?;
        for sample in speech()? {
            wav.write_sample((sample * 32_767.0) as i16)?;
        }
        wav.finalize()?;
        let status = self.command("paplay").args(["--latency-msec=40", "--device=mic_a"]).arg(&path).status()?;
        if status.success() { Ok(()) } else { Err(format!("paplay: {status}").into()) }
    }
}

fn sink(name: &str) -> String {
    format!("module-null-sink sink_name={name} rate=48000 channels=1 sink_properties=device.description={name}")
}

/// What a node has said so far.
#[derive(Default)]
struct Heard {
    lines: Mutex<Vec<String>>,
    frames: AtomicU32,
    last_number: AtomicU32,
    meters: AtomicU32,
}

impl Heard {
    fn line(&self, line: String) {
        if let Some(number) = line.strip_prefix("frame ") {
            self.frames.fetch_add(1, Ordering::Relaxed);
            self.last_number.store(number.parse().unwrap_or(0), Ordering::Relaxed);
        } else if line == "meter" {
            self.meters.fetch_add(1, Ordering::Relaxed);
        } else {
            self.lines.lock().expect("nobody panics").push(line);
        }
    }
}

pub struct Node {
    _child: Running,
    input: ChildStdin,
    heard: Arc<Heard>,
}

impl Node {
    /// How many lines begin with `what`.
    pub fn said(&self, what: &str) -> usize {
        self.heard.lines.lock().expect("nobody panics").iter().filter(|line| line.starts_with(what)).count()
    }

    /// All lines but those of frames and meters.
    pub fn lines(&self) -> String {
        self.heard.lines.lock().expect("nobody panics").join("\n")
    }

    pub fn frames(&self) -> u32 {
        self.heard.frames.load(Ordering::Relaxed)
    }

    pub fn last_number(&self) -> u32 {
        self.heard.last_number.load(Ordering::Relaxed)
    }

    pub fn meters(&self) -> u32 {
        self.heard.meters.load(Ordering::Relaxed)
    }

    pub fn tell(&mut self, what: &str) -> Result<(), Failed> {
        Ok(writeln!(self.input, "{what}")?)
    }
}

pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) -> Result<(), Failed> {
    let give_up = Instant::now() + PATIENCE;
    while !done() {
        if Instant::now() > give_up {
            return Err(format!("waited 20 s until {what}").into());
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
