//! Microphone to speakers through a real sound server: what is played into one node's microphone comes out of another's
//! speakers.
//!
//! The server is PulseAudio with two null sinks. `paplay` plays into the first, whose monitor is the host's microphone;
//! the listener plays into the second, whose monitor `parec` records.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use libtest_mimic::{Arguments, Failed, Trial};
use rustix::process::{Signal, kill_process};
use treehouse_tests::{
    program::{Finished, Program},
    sound_server::SoundServer,
    speech::{missing, must_run, score, wav_of_raw, write_clips},
};

/// A step of a room on one machine takes far less.
const LIMIT: Duration = Duration::from_secs(20);
/// Rooms of tests never leave the machine.
const LISTEN: &str = "/ip4/127.0.0.1/udp/0/quic-v1";
/// Recorders start this long before there is something to record.
const HEAD_START: Duration = Duration::from_secs(2);
/// What is under way when the last word was said arrives within this.
const TAIL: Duration = Duration::from_secs(2);
/// Two clocks of null sinks and two resamplers are on the way, so less is asked than of files.
const PESQ_MIN: f64 = 3.0;
/// Half the pieces of speech correlate better than this with what was heard. The jitter buffer may move within others.
const MEDIAN_CORRELATION_MIN: f64 = 0.9;

fn main() {
    let mut arguments = Arguments::from_args();
    // Two sound servers side by side would disturb each other.
    arguments.test_threads = Some(1);
    let lacking = missing(&["pulseaudio", "pactl", "paplay", "parec"]).filter(|_| !must_run());
    if let Some(lacking) = &lacking {
        eprintln!("sound: skipped, {lacking}");
    }
    let trial = |name, test: fn() -> Result<(), Failed>| Trial::test(name, test).with_ignored_flag(lacking.is_some());
    let trials = vec![
        trial("speech_goes_from_microphone_to_speakers", speech_goes_from_microphone_to_speakers),
        trial("devices_that_cannot_be_used_are_told_in_one_sentence", devices_that_cannot_be_used),
        trial("a_device_that_vanishes_is_told_and_found_again", device_vanishes),
        trial("the_doctor_finds_nothing_wrong_with_a_sound_server", doctor),
        trial("a_running_node_is_muted_and_talks_by_commands", a_running_node_is_muted_and_talks_by_commands),
    ];
    libtest_mimic::run(&arguments, trials).exit();
}

/// A command beside a running node; it must succeed and say so.
fn command(folder: &Path, name: &str, arguments: &[&str]) {
    let finished = Program::start(folder, name, arguments).finish(LIMIT);
    assert!(finished.code == Some(0) && finished.out.lines().count() == 1, "{arguments:?}: {finished:?}");
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !done() {
        assert!(Instant::now() < end, "in vain: {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Runs a command that takes no longer than a few seconds.
fn run(server: &SoundServer, folder: &Path, arguments: &[&str]) -> Finished {
    server.node(folder, "user", arguments).finish(LIMIT)
}

fn devices_that_cannot_be_used() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let (bare, full) = (folder.join("bare"), folder.join("full"));
    fs::create_dir_all(&bare)?;
    fs::create_dir_all(&full)?;

    // A server that runs and has no device.
    let server = SoundServer::start_with(&bare, &[]);
    let none = run(&server, folder, &["devices", "--test-microphone"]);
    let wanted = "no microphone found; plug one in or start a sound server, or say none, tone or a file";
    assert_eq!(none.sentence(1), wanted);
    let none = run(&server, folder, &["devices", "--test-speakers"]);
    assert!(none.sentence(1).starts_with("no speakers found; plug some in"), "{none:?}");
    drop(server);

    let server = SoundServer::start(&full);
    let pid = server.pid();
    let user = |arguments: &[&str]| run(&server, folder, arguments);

    // A user whose clients have left no cookie.
    fs::remove_file(server.folder().join(".config/pulse/cookie"))?;
    let listed = user(&["devices"]);
    assert!(listed.out.starts_with("sound system: PulseAudio") && listed.out.contains("* mic.monitor"), "{listed:?}");

    // One that hangs, whatever is asked of it.
    kill_process(pid, Signal::STOP)?;
    for arguments in [&["devices"][..], &["devices", "--test-microphone"], &["devices", "--test-speakers"]] {
        let hung = user(arguments);
        assert!(
            hung.sentence(1).starts_with("the sound system does not answer; restart it"),
            "{arguments:?}: {hung:?}"
        );
    }
    kill_process(pid, Signal::CONT)?;

    // A name that no device has, a microphone that is muted, and one that is all right.
    let unknown = user(&["devices", "--test-microphone", "webcam"]);
    assert_eq!(unknown.sentence(1), "no microphone named \"webcam\" found; the system has mic.monitor, spk.monitor");
    let silent = user(&["devices", "--test-microphone"]);
    assert!(silent.code == Some(0) && silent.out.contains("it hears nothing: switch it on"), "{silent:?}");

    // No server any more.
    kill_process(pid, Signal::KILL)?;
    wait_until("it is gone", || !server.control(&["info"]));
    let gone = user(&["devices", "--test-speakers"]);
    assert!(gone.sentence(1).contains("start a sound server"), "{gone:?}");
    Ok(())
}

fn device_vanishes() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let server = SoundServer::start(folder);
    let arguments = ["host", "--say", "mic:mic.monitor", "--hear", "speakers:spk", "--listen", LISTEN, "--json"];
    let mut host = server.node(folder, "host", &arguments);
    host.wait_for("invite", LIMIT);
    let mut open = 0;
    while open < 2 {
        let notice = host.wait_for("sound", LIMIT)["notice"].as_str().unwrap_or_default().to_owned();
        open += u32::from(notice.ends_with(" Hz"));
    }
    assert!(server.control(&["unload-module", "module-null-sink"]));
    let mut lost = Vec::new();
    while lost.len() < 2 {
        let notice = host.wait_for("sound", LIMIT)["notice"].as_str().unwrap_or_default().to_owned();
        if notice.contains("lost (") {
            assert!(notice.contains("opened again as soon as"), "{notice}");
            lost.push(notice);
        }
    }
    for sink in ["mic", "spk"] {
        assert!(server.control(&[
            "load-module",
            "module-null-sink",
            &format!("sink_name={sink}"),
            "rate=48000",
            "channels=1"
        ]));
    }
    wait_until("the microphone is open again", || server.recording() == 1);
    host.interrupt();
    assert_eq!(host.finish(LIMIT).code, Some(0));
    Ok(())
}

fn doctor() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let server = SoundServer::start(folder);
    // A microphone in which nobody speaks at all counts as switched off.
    let said = folder.join("said.wav");
    let _ = write_clips(&said);
    let finished = thread::scope(|scope| {
        scope.spawn(|| server.play(&said, 40));
        thread::sleep(Duration::from_secs(2));
        run(&server, folder, &["doctor", "--listen", LISTEN])
    });
    let lines: Vec<&str> = finished.out.lines().collect();
    assert!(lines.len() == 7 && lines.iter().all(|line| line.starts_with("ok ")), "{finished:?}");
    assert_eq!(finished.code, Some(0), "{finished:?}");
    println!("{}", finished.out);
    Ok(())
}

/// The commands of `treehouse sound` to a host whose microphone is real.
fn a_running_node_is_muted_and_talks_by_commands() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let said = folder.join("said.wav");
    let _ = write_clips(&said);
    let server = SoundServer::start(folder);
    let arguments = ["host", "--say", "mic", "--talk", "push", "--hear", "none", "--listen", LISTEN, "--json"];
    let mut host = server.node(folder, "host", &arguments);
    let invite = host.wait_for("invite", LIMIT)["invite"].as_str().unwrap_or_default().to_owned();
    let heard = folder.join("heard.wav").display().to_string();
    let mut listener = server.node(folder, "listener", &["join", &invite, "--hear", &heard, "--json"]);
    listener.wait_for("admitted", LIMIT);
    wait_until("the microphone is open", || server.recording() == 1);

    // Without the key nothing is sent, and with it what is said arrives.
    server.play(&said, 40);
    let frames = |listener: &mut Program| {
        listener.wait_for("stats", LIMIT);
        listener.wait_for("stats", LIMIT)["frames_verified"].as_u64().unwrap_or_default()
    };
    assert_eq!(frames(&mut listener), 0, "sent without the key");
    command(folder, "host", &["sound", "press"]);
    listener.wait_for("first_audio", LIMIT);
    command(folder, "host", &["sound", "release"]);
    thread::sleep(Duration::from_secs(1));
    let released = frames(&mut listener);
    assert_eq!(frames(&mut listener), released, "sent after the key was let go");

    // Muted, nobody records, whatever the key does.
    command(folder, "host", &["sound", "mute"]);
    wait_until("nobody records", || server.recording() == 0);
    let refused = Program::start(folder, "host", &["sound", "press"]).finish(LIMIT);
    assert!(refused.sentence(1).contains("`treehouse sound unmute` first"), "{refused:?}");
    thread::sleep(Duration::from_secs(1));
    assert_eq!((server.recording(), frames(&mut listener)), (0, released), "muted, and yet it records or sends");
    command(folder, "host", &["sound", "unmute"]);
    wait_until("it records again", || server.recording() == 1);
    command(folder, "host", &["sound", "press"]);
    thread::scope(|scope| {
        // In silence nothing is sent.
        scope.spawn(|| server.play(&said, 40));
        wait_until("it is heard again", || frames(&mut listener) > released);
    });
    for program in [listener, host] {
        program.interrupt();
        let finished = program.finish(LIMIT);
        assert_eq!(finished.code, Some(0), "{finished:?}");
    }
    Ok(())
}

fn speech_goes_from_microphone_to_speakers() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let (said, raw, heard) = (folder.join("said.wav"), folder.join("heard.raw"), folder.join("heard.wav"));
    let _ = write_clips(&said);
    let server = SoundServer::start(folder);

    let mut host =
        server.node(folder, "host", &["host", "--say", "mic", "--raw", "--hear", "none", "--listen", LISTEN, "--json"]);
    let invite = host.wait_for("invite", LIMIT)["invite"].as_str().unwrap_or_default().to_owned();
    let mut listener = server.node(folder, "listener", &["join", &invite, "--hear", "speakers", "--json"]);
    listener.wait_for("admitted", LIMIT);
    listener.wait_for("first_audio", LIMIT);

    let recorder = server.record(&raw);
    thread::sleep(HEAD_START);
    server.play(&said, 40);
    thread::sleep(TAIL);
    drop(recorder);

    for program in [listener, host] {
        program.interrupt();
        let finished = program.finish(LIMIT);
        assert_eq!(finished.code, Some(0), "{finished:?}");
    }
    wav_of_raw(&raw, &heard);
    let score = score(&said, &heard);
    println!("{score:?}");
    assert!(score.median_window() >= MEDIAN_CORRELATION_MIN, "{score:?}");
    assert!(score.pesq >= PESQ_MIN, "{score:?}");
    Ok(())
}
