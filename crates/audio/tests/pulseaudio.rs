//! The device module against a real sound server: PulseAudio with null sinks, started by each test for itself.
//!
//! A node runs as a child process, since which server it talks to is decided by its environment: this program again,
//! with `TREEHOUSE_TALK` set. Where PulseAudio is not installed the tests count as ignored; with `CI=true` they fail.

mod pulse;

use std::{env, fs, path::Path, process::ExitCode, thread, time::Duration};

use libtest_mimic::{Arguments, Failed, Trial};
use pulse::{
    home::{Home, wait_until},
    node::{self, speech},
};

const PROGRAMS: [&str; 4] = ["pulseaudio", "pactl", "paplay", "parec"];

fn main() -> ExitCode {
    if let Some(role) = env::var_os("TREEHOUSE_TALK") {
        return node::run(&role);
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
        trial("mute_closes_the_microphone_and_unmute_opens_it_again", mute_closes),
        trial("who_begins_muted_opens_no_microphone_until_unmuted", begins_muted),
        trial("push_to_talk_sends_while_the_key_is_held", push_to_talk),
        trial("the_default_is_followed_when_it_changes", default_is_followed),
        trial("a_device_that_is_unplugged_is_lost_and_found_again", unplugged),
        trial("when_the_default_is_unplugged_the_next_one_is_used", default_unplugged),
        trial("devices_are_listed_with_ids_that_outlive_the_server", listed),
        trial("a_device_that_is_not_there_is_named_with_those_that_are", not_there),
        trial("the_test_tone_is_heard_and_a_microphone_hears_it", test_tone),
        trial("what_the_speakers_play_is_taken_out_of_the_microphone", echo_is_cancelled),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn installed(program: &str) -> bool {
    env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}

/// How many tenths of a second of `said` are found in `heard`, all at about the same place relative to each other. The rate of a voice moves
/// by 0.4 % at most while its delay is held, so that longer pieces are alike in sound and not in phase.
fn tenths_found(said: &[f32], heard: &[f32]) -> usize {
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
    for (n, piece) in said.chunks_exact(4_800).enumerate() {
        let ends = heard.len().saturating_sub(piece.len());
        let coarse = (0..ends).step_by(4).map(|at| (at, like(piece, at, 16)));
        let (at, _) = coarse.fold((0, -1.0), |best, next| if next.1 > best.1 { next } else { best });
        let fine = at.saturating_sub(8)..(at + 8).min(ends);
        if fine.into_iter().any(|at| like(piece, at, 1) > 0.8) {
            places.push(at as isize - n as isize * 4_800);
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
    let node = home.node("mic:mic_a.monitor", "speakers:spk_b", &[])?;
    wait_until("both devices are open", || node.said("opened Capture") == 1 && node.said("opened Playback") == 1)?;
    home.speak()?;
    thread::sleep(Duration::from_millis(700));
    drop(recorder);
    let found = tenths_found(&speech()?, &read_raw(&heard)?);
    println!("{found} of 40 tenths of a second");
    if found >= 20 { Ok(()) } else { Err(format!("only {found} of 40 tenths of a second were heard").into()) }
}

fn server_dies() -> Result<(), Failed> {
    let home = Home::new();
    let server = home.serve()?;
    let node = home.node("mic:mic_a.monitor", "speakers:spk_b", &[])?;
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
    let found = tenths_found(&speech()?, &read_raw(&heard)?);
    if found >= 16 { Ok(()) } else { Err(format!("only {found} of 40 tenths of a second were heard").into()) }
}

fn no_server() -> Result<(), Failed> {
    let home = Home::new();
    for (say, hear, noun) in [("mic:mic_a.monitor", "none", "microphone"), ("none", "speakers:spk_b", "speakers")] {
        let node = home.node(say, hear, &[])?;
        wait_until("the node says what is wrong", || node.said("error") == 1)?;
        if !node.lines().contains(noun) {
            return Err(node.lines().into());
        }
    }
    Ok(())
}

fn fail_unless(holds: bool, what: impl Into<String>) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(what.into().into()) }
}

/// How many programs record, as the server sees it.
fn recording(home: &Home) -> usize {
    home.pactl(&["list", "short", "source-outputs"]).lines().count()
}

fn mute_closes() -> Result<(), Failed> {
    let home = Home::new();
    let _server = home.serve()?;
    let mut node = home.node("mic:mic_a.monitor", "none", &[])?;
    wait_until("the microphone is open", || node.said("opened Capture") == 1 && recording(&home) == 1)?;
    wait_until("frames come", || node.frames() > 10)?;
    node.tell("mute")?;
    wait_until("nobody records", || recording(&home) == 0)?;
    wait_until("that is said", || node.said("closed Capture") == 1)?;
    let (frames, meters) = (node.frames(), node.meters());
    thread::sleep(Duration::from_millis(500));
    fail_unless((node.frames(), node.meters()) == (frames, meters), "something came of a closed microphone")?;
    fail_unless(recording(&home) == 0, "somebody records again")?;
    node.tell("unmute")?;
    wait_until("the microphone is open again", || node.said("opened Capture") == 2 && recording(&home) == 1)?;
    wait_until("frames come again", || node.frames() > frames + 10)?;
    fail_unless(node.last_number() > frames + 25, "numbers count the time that was muted too")
}

fn begins_muted() -> Result<(), Failed> {
    let home = Home::new();
    let _server = home.serve()?;
    let mut node = home.node("mic:mic_a.monitor", "none", &[("TREEHOUSE_MUTED", "1")])?;
    wait_until("the node runs", || node.said("ready") == 1)?;
    thread::sleep(Duration::from_millis(700));
    fail_unless(recording(&home) == 0 && node.said("opened") == 0, "a muted microphone was opened")?;
    node.tell("unmute")?;
    wait_until("it is open", || node.said("opened Capture") == 1 && recording(&home) == 1 && node.frames() > 5)
}

fn push_to_talk() -> Result<(), Failed> {
    let home = Home::new();
    let _server = home.serve()?;
    let mut node = home.node("mic:mic_a.monitor", "none", &[("TREEHOUSE_PUSH", "1")])?;
    wait_until("the microphone is open and measured", || recording(&home) == 1 && node.meters() > 3)?;
    fail_unless(node.frames() == 0, "frames without the key")?;
    node.tell("press")?;
    wait_until("frames come", || node.frames() > 10)?;
    node.tell("release")?;
    thread::sleep(Duration::from_millis(500));
    let frames = node.frames();
    thread::sleep(Duration::from_millis(500));
    fail_unless(node.frames() == frames, "frames after the key was let go")
}

fn default_is_followed() -> Result<(), Failed> {
    let home = Home::new();
    let _server = home.serve()?;
    home.plug_in("mic_c")?;
    home.plug_in("spk_d")?;
    home.pactl(&["set-default-source", "mic_a.monitor"]);
    home.pactl(&["set-default-sink", "spk_b"]);
    let node = home.node("mic", "speakers", &[])?;
    wait_until("both are open", || node.said("opened Capture mic_a") == 1 && node.said("opened Playback spk_b") == 1)?;
    home.pactl(&["set-default-source", "mic_c.monitor"]);
    wait_until("the new microphone is open", || node.said("opened Capture mic_c") == 1)?;
    home.pactl(&["set-default-sink", "spk_d"]);
    wait_until("the new speakers are open", || node.said("opened Playback spk_d") == 1)?;
    fail_unless(node.said("lost") == 0, node.lines())?;
    let frames = node.frames();
    wait_until("frames come", || node.frames() > frames + 10)
}

fn unplugged() -> Result<(), Failed> {
    let home = Home::new();
    let _server = home.serve()?;
    let (mic, spk) = (home.plug_in("mic_c")?, home.plug_in("spk_d")?);
    let node = home.node("mic:mic_c.monitor", "speakers:spk_d", &[])?;
    wait_until("both are open", || node.said("opened Capture mic_c") == 1 && node.said("opened Playback spk_d") == 1)?;
    home.pactl(&["unload-module", &mic]);
    wait_until("the microphone is lost", || node.said("lost Capture") == 1)?;
    home.pactl(&["unload-module", &spk]);
    wait_until("the speakers are lost", || node.said("lost Playback") == 1)?;
    thread::sleep(Duration::from_secs(1));
    fail_unless(node.said("opened") == 2, format!("another device took its place: {}", node.lines()))?;
    home.plug_in("mic_c")?;
    home.plug_in("spk_d")?;
    wait_until("both are open again", || {
        node.said("opened Capture mic_c") == 2 && node.said("opened Playback spk_d") == 2
    })?;
    let frames = node.frames();
    wait_until("frames come", || node.frames() > frames + 10)
}

fn default_unplugged() -> Result<(), Failed> {
    let home = Home::new();
    let _server = home.serve()?;
    let mic = home.plug_in("mic_c")?;
    home.pactl(&["set-default-source", "mic_c.monitor"]);
    let node = home.node("mic", "none", &[])?;
    wait_until("it is open", || node.said("opened Capture mic_c") == 1)?;
    home.pactl(&["unload-module", &mic]);
    wait_until("another one is open", || node.said("opened Capture") == 2)?;
    let frames = node.frames();
    wait_until("frames come", || node.frames() > frames + 10)
}

fn listed() -> Result<(), Failed> {
    let home = Home::new();
    let list = |home: &Home| -> Result<String, Failed> {
        let node = home.role("list", &[])?;
        wait_until("the devices are listed", || node.said("end") == 1)?;
        Ok(node.lines())
    };
    let server = home.serve()?;
    home.pactl(&["set-default-source", "mic_a.monitor"]);
    home.pactl(&["set-default-sink", "spk_b"]);
    let before = list(&home)?;
    for line in
        ["Capture mic_a.monitor 48000 1 default", "Capture spk_b.monitor 48000 1", "Playback spk_b 48000 1 default"]
    {
        fail_unless(before.lines().any(|l| l == line), format!("{line:?} is not among\n{before}"))?;
    }
    drop(server);
    let none = list(&home)?;
    fail_unless(none.lines().next() == Some("end"), format!("no server, and yet\n{none}"))?;
    let _server = home.serve()?;
    home.pactl(&["set-default-source", "mic_a.monitor"]);
    home.pactl(&["set-default-sink", "spk_b"]);
    let after = list(&home)?;
    fail_unless(after == before, format!("{before}\nbecame\n{after}"))
}

fn not_there() -> Result<(), Failed> {
    let home = Home::new();
    let _server = home.serve()?;
    let node = home.node("mic:no such thing", "none", &[])?;
    wait_until("the node says what is wrong", || node.said("error") == 1)?;
    let lines = node.lines();
    let wanted = "no microphone named \"no such thing\" found; the system has mic_a.monitor, spk_b.monitor";
    fail_unless(lines.contains(wanted), lines)
}

fn test_tone() -> Result<(), Failed> {
    let home = Home::new();
    let _server = home.serve()?;
    let file = home.path("tone.raw");
    let recorder = home.record(&file)?;
    let tone = home.role("tone", &[])?;
    let check = home.role("check", &[])?;
    wait_until("both have ended", || tone.said("end") == 1 && check.said("end") == 1)?;
    drop(recorder);
    fail_unless(tone.said("played") == 1, tone.lines())?;
    // The tone's amplitude is 0.1.
    let heard = check.lines();
    let peak = heard.lines().find_map(|line| line.strip_prefix("peak ")).and_then(|peak| peak.parse::<f32>().ok());
    fail_unless(peak.is_some_and(|peak| (0.08..0.13).contains(&peak)), heard)?;
    let pitches = pitches_hz(&read_raw(&file)?);
    let right = pitches.iter().filter(|hz| (430..=450).contains(*hz)).count();
    fail_unless(right >= 5 && right * 10 >= pitches.len() * 8, format!("not the tone's 440 Hz: {pitches:?}"))
}

/// The pitch of each tenth of a second that is a tone throughout.
fn pitches_hz(heard: &[f32]) -> Vec<usize> {
    let is_tone = |piece: &[f32]| piece.chunks(480).all(|c| c.iter().any(|s| s.abs() > 0.08));
    let rises = |piece: &[f32]| piece.windows(2).filter(|pair| pair[0] < 0.0 && pair[1] >= 0.0).count();
    heard.chunks_exact(4_800).filter(|piece| is_tone(piece)).map(|piece| 10 * rises(piece)).collect()
}

/// The speakers' monitor is looped into the microphone, as the air between them would.
fn echo_is_cancelled() -> Result<(), Failed> {
    let home = Home::new();
    let _server = home.serve()?;
    home.pactl(&[
        "load-module",
        "module-loopback",
        "source=spk_b.monitor",
        "sink=mic_a",
        "latency_msec=40",
        "adjust_time=0",
    ]);
    let mut levels = Vec::new();
    for processing in ["0", "1"] {
        let environment = [("TREEHOUSE_FAR", "1"), ("TREEHOUSE_PROCESSING", processing)];
        let mut node = home.node("mic:mic_a.monitor", "speakers:spk_b", &environment)?;
        wait_until("both are open", || node.said("opened Capture") == 1 && node.said("opened Playback") == 1)?;
        thread::sleep(Duration::from_secs(7));
        // The loop itself loses its place now and then, which puts an echo into the three seconds that are told.
        let mut told = Vec::new();
        while told.len() < 5 {
            thread::sleep(Duration::from_secs(1));
            node.tell("level")?;
            wait_until("it says how loud it is", || node.said("level") == told.len() + 1)?;
            let lines = node.lines();
            let level = lines.lines().rev().find_map(|line| line.strip_prefix("level ")).ok_or("no level")?;
            told.push(level.parse::<f32>()?);
        }
        println!("    with processing {processing} the echo is sent at {told:.1?} dBFS");
        levels.push(told.into_iter().fold(0.0, f32::min));
    }
    fail_unless(levels[0] > -45.0, format!("there was no echo: {levels:?}"))?;
    fail_unless(levels[0] - levels[1] > 30.0, format!("{levels:?}"))
}
