//! Jamulus without a window, its server on loopback, and the way from PulseAudio's null sinks to it and back.

use std::{
    process::{Command, Output},
    thread,
    time::{Duration, Instant},
};

use libtest_mimic::Failed;
use treehouse_tests::{
    sound_server::{Running, SoundServer},
    speech::missing,
};

/// A name of its own, so that no JACK server of a user's is meant.
const JACK: &str = "treehouse-test";
const PORT: &str = "22924";
const LIMIT: Duration = Duration::from_secs(20);

/// What the program is called: its package has had both names.
pub fn program() -> &'static str {
    if missing(&["Jamulus"]).is_none() { "Jamulus" } else { "jamulus" }
}

/// PulseAudio's microphone leads into a JACK server without a sound card, and out of it to the speakers.
pub struct Bridge<'a> {
    server: &'a SoundServer,
    _jack: Running,
}

/// A server of Jamulus, one who speaks and one who hears.
pub struct Players {
    _running: [Running; 3],
}

impl<'a> Bridge<'a> {
    pub fn build(server: &'a SoundServer) -> Result<Self, Failed> {
        // Blocks of 128 samples: what Jamulus is made for. No scheduling in real time: nodes have none either.
        let mut command = jack(server, "jackd");
        command.args(["-n", JACK, "-r", "-d", "dummy", "-r", "48000", "-p", "128"]);
        let bridge = Bridge { server, _jack: server.spawn("jackd", &mut command) };
        let end = Instant::now() + LIMIT;
        while bridge.ports()?.is_empty() {
            if Instant::now() > end {
                return Err(format!("no JACK server: {}", server.log("jackd")).into());
            }
            thread::sleep(Duration::from_millis(100));
        }
        let own = format!("channels=1 connect=false server_name={JACK}");
        for module in [
            format!("module-jack-sink sink_name=to_jack client_name=to_jack {own}"),
            format!("module-jack-source source_name=from_jack client_name=from_jack {own}"),
            "module-loopback source=mic.monitor sink=to_jack latency_msec=10".to_owned(),
            "module-loopback source=from_jack sink=spk latency_msec=10".to_owned(),
        ] {
            let arguments: Vec<&str> = ["load-module"].into_iter().chain(module.split(' ')).collect();
            if !server.control(&arguments) {
                return Err(format!("{module}: {}", server.log("pulseaudio")).into());
            }
        }
        Ok(bridge)
    }

    /// What happens while the microphone leads straight to the speakers.
    pub fn direct<T>(&self, act: impl FnOnce() -> Result<T, Failed>) -> Result<T, Failed> {
        let (from, to) = (self.port("to_jack:")?, self.port("from_jack:")?);
        self.connect(&from, &to)?;
        thread::sleep(Duration::from_secs(2));
        let done = act();
        said(&jack(self.server, "jack_disconnect").args(["-s", JACK, &from, &to]).output()?)?;
        done
    }

    /// One speaks into the microphone, and another plays it by the speakers.
    pub fn players(&self) -> Result<Players, Failed> {
        let start = |name: &str, arguments: &[&str]| {
            let mut command = jack(self.server, program());
            command.arg("--nogui").args(arguments);
            self.server.spawn(name, &mut command)
        };
        let server = start("server", &["--server", "--fastupdate", "--multithreading", "--port", PORT]);
        thread::sleep(Duration::from_secs(1));
        let address = format!("127.0.0.1:{PORT}");
        let client = |name: &str, port: &str| {
            let settings = self.server.folder().join(name).with_extension("ini");
            let settings = settings.display().to_string();
            let own = [
                "--connect",
                &address,
                "--nojackconnect",
                "--clientname",
                name,
                "--port",
                port,
                "--inifile",
                &settings,
            ];
            start(name, &own)
        };
        let running = [server, client("speaks", "22934"), client("hears", "22944")];
        let (mic, spk) = (self.port("to_jack:")?, self.port("from_jack:")?);
        for side in ["left", "right"] {
            self.connect(&mic, &self.port(&format!("Jamulus speaks:input {side}"))?)?;
        }
        self.connect(&self.port("Jamulus hears:output left")?, &spk)?;
        Ok(Players { _running: running })
    }

    fn ports(&self) -> Result<Vec<String>, Failed> {
        let output = jack(self.server, "jack_lsp").args(["-s", JACK]).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
    }

    /// Waits for a port whose name begins so.
    fn port(&self, prefix: &str) -> Result<String, Failed> {
        let end = Instant::now() + LIMIT;
        while Instant::now() < end {
            if let Some(port) = self.ports()?.into_iter().find(|port| port.starts_with(prefix)) {
                return Ok(port);
            }
            thread::sleep(Duration::from_millis(100));
        }
        Err(format!("no port {prefix}: {}", self.server.log("speaks")).into())
    }

    fn connect(&self, from: &str, to: &str) -> Result<(), Failed> {
        said(&jack(self.server, "jack_connect").args(["-s", JACK, from, to]).output()?)
    }
}

fn said(output: &Output) -> Result<(), Failed> {
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned().into()) }
}

fn jack(server: &SoundServer, program: &str) -> Command {
    let mut command = server.command(program);
    // It asks for no sound card, and for none of a session's.
    command.env("JACK_DEFAULT_SERVER", JACK).env("JACK_NO_AUDIO_RESERVATION", "1");
    command
}
