//! The device module against a real sound server: PulseAudio with null sinks, started by each test for itself.
//!
//! A node runs as a child process, since which server it talks to is decided by its environment: this program again,
//! with `TREEHOUSE_TALK` set. Where PulseAudio is not installed the tests count as ignored; with `CI=true` they fail.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use libtest_mimic::{Arguments, Failed, Trial};
use treehouse_audio::{
    Capture, CaptureEvent, CaptureOptions, DeviceReport, FRAME, Hear, Playback, PlaybackEvent, PlaybackOptions, Sample,
    Say, VoiceFrame, source::FileSource,
};
use treehouse_wire::VoiceId;

const PROGRAMS: [&str; 4] = ["pulseaudio", "pactl", "paplay", "parec"];
const PATIENCE: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    if env::var_os("TREEHOUSE_TALK").is_some() {
        return talk();
    }
    let mut arguments = Arguments::from_args();
    // Sound servers and recorders side by side on two cores would disturb each other.
    arguments.test_threads = Some(1);
    let missing = PROGRAMS.into_iter().find(|program| !installed(program));
    let ci = env::var("CI").is_ok_and(|ci| ci == "true");
    if let Some(program) = missing {
        eprintln!("{program} is missing; install the packages pulseaudio and pulseaudio-utils to run these tests");
    }
    let trial = |name, test: fn() -> Result<(), Failed>| match missing {
        Some(program) if ci => Trial::test(name, move || Err(format!("{program} is missing").into())),
        _ => Trial::test(name, test).with_ignored_flag(missing.is_some()),
    };
    let trials = vec![
        trial("what_is_said_into_a_microphone_is_heard_from_the_speakers", said_is_heard),
        trial("a_sound_server_that_dies_is_reported_and_found_again", server_dies),
        trial("without_a_sound_server_there_is_an_error_that_says_so", no_server),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn installed(program: &str) -> bool {
    env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}

/// The node: says and hears what the environment tells, prints what happens, ends when its standard input does.
fn talk() -> ExitCode {
    let [say, hear] = ["TREEHOUSE_SAY", "TREEHOUSE_HEAR"].map(|name| env::var(name).expect("set by the test"));
    let report = |report: DeviceReport| match report {
        DeviceReport::Opened { direction, .. } => println!("opened {direction:?}"),
        DeviceReport::Lost { direction, .. } => println!("lost {direction:?}"),
    };
    let hear: Hear = hear.parse().expect("a sink");
    let playback = match Playback::start(hear, PlaybackOptions::default(), move |event| {
        if let PlaybackEvent::Device(device) = event {
            report(device);
        }
    }) {
        Ok(playback) => Arc::new(Mutex::new(playback)),
        Err(error) => {
            println!("error {error}");
            return ExitCode::FAILURE;
        }
    };
    let sink = playback.clone();
    let say: Say = say.parse().expect("a source");
    let _capture = match Capture::start(say, CaptureOptions::default(), move |event| match event {
        CaptureEvent::Frame(frame) => {
            let (number, captured, opus) = (frame.number, frame.captured, frame.opus);
            let frame = VoiceFrame { voice: VoiceId([1; 8]), number, captured, arrived: Instant::now(), opus };
            sink.lock().expect("nobody panics").push(frame);
        }
        CaptureEvent::Device(device) => report(device),
        _ => {}
    }) {
        Ok(capture) => capture,
        Err(error) => {
            println!("error {error}");
            return ExitCode::FAILURE;
        }
    };
    let _ = std::io::stdin().read_line(&mut String::new());
    ExitCode::SUCCESS
}

/// A process that is killed when the test is over, however it ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A place for sound servers, which no user's server shares.
struct Home {
    dir: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        #[cfg(unix)]
        fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).expect("permissions");
        Home { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
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
    fn serve(&self) -> Result<Running, Failed> {
        // A server that was killed leaves these behind.
        let _ = fs::remove_dir_all(self.path("pulse"));
        let sink = |name: &str| format!("module-null-sink sink_name={name} rate=48000 channels=1");
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

    fn node(&self, say: &str, hear: &str) -> Result<Node, Failed> {
        let mut child = self
            .command(env::current_exe()?)
            .env("TREEHOUSE_TALK", "1")
            .env("TREEHOUSE_SAY", say)
            .env("TREEHOUSE_HEAR", hear)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let lines = Arc::new(Mutex::new(Vec::new()));
        let output = child.stdout.take().ok_or("no output")?;
        let sink = lines.clone();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                sink.lock().expect("nobody panics").push(line);
            }
        });
        Ok(Node { _child: Running(child), lines })
    }

    fn record(&self, file: &Path) -> Result<Running, Failed> {
        let recorder = self
            .command("parec")
            .args(["-d", "spk_b.monitor", "--latency-msec=20", "--format=s16le", "--rate=48000", "--channels=1"])
            .stdout(fs::File::create(file)?)
            .spawn()?;
        Ok(Running(recorder))
    }

    /// Says four seconds of a sample into the microphone. A small latency: null sinks hand sound on in blocks of it.
    fn speak(&self) -> Result<(), Failed> {
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

struct Node {
    _child: Running,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Node {
    /// How many lines begin with `what`.
    fn said(&self, what: &str) -> usize {
        self.lines.lock().expect("nobody panics").iter().filter(|line| line.starts_with(what)).count()
    }
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) -> Result<(), Failed> {
    let give_up = Instant::now() + PATIENCE;
    while !done() {
        if Instant::now() > give_up {
            return Err(format!("waited 20 s until {what}").into());
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn speech() -> Result<Vec<f32>, Failed> {
    let mut source = FileSource::sample(Sample::One)?;
    let (mut pcm, mut all) = ([0.0; FRAME], Vec::new());
    while all.len() < 4 * 48_000 && source.next_frame(&mut pcm)? {
        all.extend(pcm);
    }
    Ok(all)
}

/// How many of the half seconds of `said` are found in `heard`, all at about the same place relative to each other.
fn half_seconds_found(said: &[f32], heard: &[f32]) -> usize {
    let like = |piece: &[f32], at: usize, step: usize| {
        let (mut dot, mut a2, mut b2) = (0.0, 1e-6, 1e-6);
        for (a, b) in piece.iter().zip(&heard[at..]).step_by(step) {
            dot += a * b;
            a2 += a * a;
            b2 += b * b;
        }
        dot / f32::sqrt(a2 * b2)
    };
    let mut places: Vec<isize> = Vec::new();
    for (n, piece) in said.chunks_exact(24_000).enumerate() {
        let ends = heard.len().saturating_sub(piece.len());
        let coarse = (0..ends).step_by(4).map(|at| (at, like(piece, at, 16)));
        let (at, _) = coarse.fold((0, -1.0), |best, next| if next.1 > best.1 { next } else { best });
        let fine = at.saturating_sub(8)..(at + 8).min(ends);
        if fine.into_iter().any(|at| like(piece, at, 1) > 0.8) {
            places.push(at as isize - n as isize * 24_000);
        }
    }
    // A loaded machine may shift sound by some tens of milliseconds midway; more would be another place.
    let near = |place: isize| places.iter().filter(|other| (place - **other).abs() < 4_800).count();
    places.iter().map(|place| near(*place)).max().unwrap_or(0)
}

fn read_raw(file: &Path) -> Result<Vec<f32>, Failed> {
    let bytes = fs::read(file)?;
    Ok(bytes.chunks_exact(2).map(|b| f32::from(i16::from_le_bytes([b[0], b[1]])) / 32_768.0).collect())
}

fn said_is_heard() -> Result<(), Failed> {
    let home = Home::new();
    let _server = home.serve()?;
    let heard = home.path("heard.raw");
    let recorder = home.record(&heard)?;
    let node = home.node("mic:mic_a.monitor", "speakers:spk_b")?;
    wait_until("both devices are open", || node.said("opened Capture") == 1 && node.said("opened Playback") == 1)?;
    home.speak()?;
    thread::sleep(Duration::from_millis(700));
    drop(recorder);
    let found = half_seconds_found(&speech()?, &read_raw(&heard)?);
    if found >= 5 { Ok(()) } else { Err(format!("only {found} of 8 half seconds were heard").into()) }
}

fn server_dies() -> Result<(), Failed> {
    let home = Home::new();
    let server = home.serve()?;
    let node = home.node("mic:mic_a.monitor", "speakers:spk_b")?;
    wait_until("both devices are open", || node.said("opened Capture") == 1 && node.said("opened Playback") == 1)?;
    drop(server);
    wait_until("both are lost", || node.said("lost Capture") > 0 && node.said("lost Playback") > 0)?;
    let _server = home.serve()?;
    wait_until("both are open again", || node.said("opened Capture") > 1 && node.said("opened Playback") > 1)?;
    let heard = home.path("heard.raw");
    let recorder = home.record(&heard)?;
    thread::sleep(Duration::from_secs(1));
    home.speak()?;
    thread::sleep(Duration::from_millis(700));
    drop(recorder);
    let found = half_seconds_found(&speech()?, &read_raw(&heard)?);
    if found >= 4 { Ok(()) } else { Err(format!("only {found} of 8 half seconds were heard").into()) }
}

fn no_server() -> Result<(), Failed> {
    let home = Home::new();
    for (say, hear, noun) in [("mic:mic_a.monitor", "none", "microphone"), ("none", "speakers:spk_b", "speakers")] {
        let node = home.node(say, hear)?;
        wait_until("the node says what is wrong", || node.said("error") == 1)?;
        let lines = node.lines.lock().expect("nobody panics").join("\n");
        if !lines.contains(noun) {
            return Err(lines.into());
        }
    }
    Ok(())
}
