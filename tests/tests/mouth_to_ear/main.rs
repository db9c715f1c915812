//! From a mouth to an ear through a real sound server, and by Jamulus in the same run.
//!
//! Chirps are played into the null sink that is the microphone, and looked for in the one that is the speakers. Both are recorded in the
//! same way, so what is measured is the time between the two monitors: capture, voice processing, Opus, network, jitter buffer, playback.
//! Jamulus speaks JACK only. PulseAudio's own bridges join the same null sinks to a JACK server without a sound card; what they add
//! by themselves is measured first.

mod chirps;
mod jamulus;

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use libtest_mimic::{Arguments, Failed, Trial};
use rustix::process::{Pid, Signal, kill_process};
use treehouse_tests::{
    program::Program,
    sound_server::SoundServer,
    speech::{missing, must_run, write_wav},
};

use chirps::Delays;

/// A step of a room on one machine takes far less.
const LIMIT: Duration = Duration::from_secs(20);
/// What comes first in a room, such as a jitter buffer's first guess, is not what people talk through.
const SETTLED: Duration = Duration::from_secs(5);
/// Chirps in a measurement, half a second apart: a few more than p95 needs.
const CHIRPS: usize = 40;
/// Of them so many are found at least. Sound that is cut off is no delay.
const FOUND_MIN: f64 = 0.95;
/// What docs/measurements.md says is less. A machine that does something else meanwhile adds to it, and its tests are to pass.
const MEDIAN_MAX_MS: f64 = 120.0;
const P95_MAX_MS: f64 = 160.0;
/// What the audience's delay is above the stage's.
const AUDIENCE_MS: f64 = 20.0;
/// How long a listener is stopped, and after how long it is to be as it was.
const STARVED: Duration = Duration::from_secs(2);
const RECOVERED: Duration = Duration::from_secs(3);
/// What starts and a busy machine may add to a delay that is as it was: two ticks.
const SLACK_MAX_MS: f64 = 40.0;
/// Who is on stage has something to say: here a tone, which nobody hears.
const ON_STAGE: &[&str] = &["--say", "tone"];
const LISTEN: &str = "/ip4/127.0.0.1/udp/0/quic-v1";

fn main() {
    let mut arguments = Arguments::from_args();
    // Delays are measured: nothing runs beside.
    arguments.test_threads = Some(1);
    let programs = ["pulseaudio", "pactl", "paplay", "parec", "jackd", "jack_connect", jamulus::program()];
    let lacking = missing(&programs).filter(|_| !must_run());
    if let Some(lacking) = &lacking {
        eprintln!("mouth_to_ear: skipped, {lacking}");
    }
    let trial = |name, test: fn() -> Result<(), Failed>| Trial::test(name, test).with_ignored_flag(lacking.is_some());
    let trials = vec![
        trial("chirps_are_heard_and_when_by_jamulus", chirps_are_heard_and_when_by_jamulus),
        trial("a_listener_without_a_processor_for_two_seconds_is_soon_back", a_listener_without_a_processor),
    ];
    libtest_mimic::run(&arguments, trials).exit();
}

/// Plays chirps into the microphone, and measures when the speakers play them.
fn measure(server: &SoundServer, what: &str) -> Result<Delays, Failed> {
    let delays = chirp(server);
    println!("{what}: {delays}");
    if delays.said() < CHIRPS || delays.share() < FOUND_MIN {
        return Err(format!("{what}: {delays}").into());
    }
    Ok(delays)
}

fn chirp(server: &SoundServer) -> Delays {
    let file = server.folder().join("chirps.wav");
    write_wav(&file, &chirps::said(CHIRPS));
    let (mic, spk) = (server.tap("mic.monitor"), server.tap("spk.monitor"));
    thread::sleep(Duration::from_secs(1));
    // A small latency: the microphone hands sound on in blocks of it.
    server.play(&file, 10);
    thread::sleep(Duration::from_secs(1));
    let (said, heard) = (mic.stop(), spk.stop());
    chirps::delays(&said, &heard)
}

/// One who speaks, with the program's own settings, and one who hears: on stage, or down in the audience.
struct Room {
    host: Program,
    listener: Program,
}

impl Room {
    fn open(server: &SoundServer, folder: &Path, hears: &[&str]) -> Self {
        let host = ["host", "--say", "mic", "--hear", "none", "--listen", LISTEN, "--json"];
        let mut host = server.node(folder, "host", &host);
        let invite = host.wait_for("invite", LIMIT)["invite"].as_str().unwrap_or_default().to_owned();
        let join = ["join", &invite, "--hear", "speakers", "--json"];
        let mut listener = server.node(folder, "listener", &[&join, hears].concat());
        listener.wait_for("admitted", LIMIT);
        thread::sleep(SETTLED);
        Room { host, listener }
    }

    fn close(self) {
        for program in [self.listener, self.host] {
            program.interrupt();
            let finished = program.finish(LIMIT);
            assert_eq!(finished.code, Some(0), "{finished:?}");
        }
    }
}

fn treehouse(server: &SoundServer, folder: &Path, what: &str, hears: &[&str]) -> Result<Delays, Failed> {
    let folder = folder.join(what);
    fs::create_dir(&folder)?;
    let room = Room::open(server, &folder, hears);
    let delays = measure(server, &format!("treehouse, {what}"))?;
    room.close();
    Ok(delays)
}

fn a_listener_without_a_processor() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let server = SoundServer::start(folder.path());
    let room = Room::open(&server, folder.path(), ON_STAGE);
    let listener = Pid::from_raw(room.listener.id().cast_signed()).ok_or("a listener")?;
    let (delays, (stopped, resumed)) = thread::scope(|scope| {
        let delays = scope.spawn(|| chirp(&server));
        thread::sleep(Duration::from_secs(7));
        let stopped = Instant::now();
        kill_process(listener, Signal::STOP)?;
        thread::sleep(STARVED);
        kill_process(listener, Signal::CONT)?;
        let times = (stopped, Instant::now());
        let delays = delays.join().map_err(|_| Failed::from("no delays"))?;
        Ok::<_, Failed>((delays, times))
    })?;
    let before = delays.within(..stopped);
    println!("before: {before}");
    for second in 0..4 {
        let from = resumed + Duration::from_secs(second);
        println!("in second {} after: {}", second + 1, delays.within(from..from + Duration::from_secs(1)));
    }
    let after = delays.within(resumed + RECOVERED..);
    println!("from second 4 on: {after}");
    let slack_ms = after.quantile_ms(0.5) - before.quantile_ms(0.5);
    assert!(before.said() > 8 && after.said() > 8, "{before}; {after}");
    assert!(after.share() >= FOUND_MIN && slack_ms <= SLACK_MAX_MS, "{before}; {after}");
    room.close();
    Ok(())
}

fn chirps_are_heard_and_when_by_jamulus() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let server = SoundServer::start(folder);
    let on_stage = treehouse(&server, folder, "on stage", ON_STAGE)?;
    let audience = treehouse(&server, folder, "in the audience", &[])?;
    let bridge = jamulus::Bridge::build(&server)?;
    let bare = bridge.direct(|| measure(&server, "the bridge to JACK alone"))?;
    let _players = bridge.players()?;
    thread::sleep(SETTLED);
    let jamulus = measure(&server, "jamulus")?;
    println!("jamulus without the bridge: median {:.1} ms", jamulus.quantile_ms(0.5) - bare.quantile_ms(0.5));
    let (median_ms, p95_ms) = (on_stage.quantile_ms(0.5), on_stage.quantile_ms(0.95));
    assert!(median_ms <= MEDIAN_MAX_MS && p95_ms <= P95_MAX_MS, "{on_stage}");
    assert!(audience.quantile_ms(0.5) <= MEDIAN_MAX_MS + AUDIENCE_MS, "{audience}");
    Ok(())
}
