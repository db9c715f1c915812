//! Recordings by real processes: only while the host says so, verified, tampered with, and broken off by a kill.

mod support;

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::Value;
use support::{Ended, Place, Running, host, program, start};
use treehouse_audio::{FRAME, source::FileSource};

/// Runs a command to its end; its status and what it said.
fn run(data: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = program(data).args(arguments).output().expect("the program starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Switches recording in the host's room.
fn switch(place: &Place, to: &str) {
    let (status, said, errors) = run(&place.path("host"), &["room", "record", to]);
    assert_eq!(status, Some(0), "{said}{errors}");
}

/// What `treehouse verify --json` says, and its status.
fn verify(place: &Place, file: &str, more: &[&str]) -> (Option<i32>, Value, String) {
    let path = place.text(file);
    let (status, said, errors) = run(&place.path("nobody"), &[&["verify", &path, "--json"], more].concat());
    let report = serde_json::from_str(said.trim()).unwrap_or(Value::Null);
    (status, report, errors)
}

/// Seconds that the project's own reader plays of a file, and how much of it is loud.
fn played(path: &Path) -> (f64, f64) {
    let mut source = FileSource::open(path).expect("a file that can be played");
    let (mut pcm, mut frames, mut loud) = ([0.0; FRAME], 0_u32, 0_u32);
    while source.next_frame(&mut pcm).expect("nothing wrong in it") {
        frames += 1;
        loud += u32::from(pcm.iter().any(|sample| sample.abs() > 0.03));
    }
    (f64::from(frames) / 50.0, f64::from(loud) / 50.0)
}

/// Others play it too, where they are installed: each of the tracks is there, and they find nothing wrong but what is said.
fn others_play(path: &Path, tracks: usize, unfinished: bool) {
    let path = path.to_str().expect("unicode");
    let ffprobe = ["-v", "error", "-show_entries", "stream=codec_name", "-of", "csv=p=0", path];
    let ffmpeg = ["-v", "error", "-i", path, "-map", "0", "-f", "null", "-"];
    for (program, arguments, word) in
        [("opusinfo", &[path][..], "type opus"), ("ffprobe", &ffprobe, "opus"), ("ffmpeg", &ffmpeg, "")]
    {
        let Ok(output) = Command::new(program).args(arguments).output() else {
            eprintln!("{program} is not installed: not asked");
            continue;
        };
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        // A file that was broken off has no ends, and tracks without a packet where nobody spoke.
        let expected = |line: &&str| unfinished && (line.contains("EOS not set") || line.contains("is empty"));
        let wrong = said.lines().filter(|line| !line.contains("New logical") && *line != word && !expected(line));
        let wrong: Vec<&str> = wrong.filter(|line| program != "opusinfo" || line.contains("WARNING")).collect();
        assert!(wrong.is_empty(), "{program}: {wrong:?}");
        assert!(output.status.success() || unfinished && program == "opusinfo", "{program}: {said}");
        assert!(word.is_empty() || said.matches(word).count() == tracks, "{program}: {said}");
    }
}

fn numbers(log: &Path, what: &str) -> BTreeSet<(String, u32)> {
    let text = fs::read_to_string(log).expect("a log");
    let words = text.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let wanted = words.filter(|words| words.first() == Some(&what));
    wanted.map(|words| (words[1].to_owned(), words[2].parse().expect("a number"))).collect()
}

fn ends_well(running: Running) -> Ended {
    running.signal(Signal::INT);
    let ended = running.ended();
    assert!(ended.status.success(), "{}", ended.stderr);
    ended
}

/// What `verify` says to a person of a recording in which ann speaks, and once it was altered or cut.
fn what_is_done_to_it_is_named(place: &Place, file: &str) {
    let (status, said, _) = run(&place.path("nobody"), &["verify", file]);
    assert!(status == Some(0) && said.contains("ann") && said.contains("genuine"), "{said}");
    let bytes = fs::read(file).expect("it is there");
    for (at, wanted) in [(bytes.len() - 3_000, "altered"), (900, "headers")] {
        let mut altered = bytes.clone();
        altered[at] ^= 4;
        fs::write(file, &altered).expect("space");
        let (status, _, errors) = run(&place.path("nobody"), &["verify", file]);
        assert!(status == Some(1) && errors.contains(wanted), "{wanted}: {errors}");
    }
    fs::write(file, &bytes[..bytes.len() - 10_000]).expect("space");
    let (status, _, errors) = run(&place.path("nobody"), &["verify", file]);
    assert!(status == Some(1) && errors.contains("the end of the recording was cut off"), "{errors}");
}

#[test]
fn what_is_said_while_the_flag_is_on_is_recorded_and_nothing_else() {
    let place = Place::new();
    let (mut host, invite) = host(&place, "sample:1", &["--hear", "none", "--json"]);
    let arguments = ["join", &invite, "--name", "ann", "--say", "sample:2", "--hear", "none", "--json"];
    let mut ann = start(&place.path("ann"), &arguments);
    let voice = ann.event("live", |_| true)["voice"].as_str().expect("text").to_owned();
    let (file, log) = (place.text("room.ogg"), place.text("frames.log"));
    let arguments = ["join", &invite, "--hear", "none", "--record", &file, "--frame-log", &log, "--json"];
    let mut listener = start(&place.path("listener"), &arguments);
    listener.event("first_audio", |_| true);
    thread::sleep(Duration::from_secs(2));
    switch(&place, "on");
    for node in [&mut host, &mut ann, &mut listener] {
        node.event("recording", |recording| recording["on"] == true);
    }
    listener.event("sound", |sound| sound["notice"].as_str().is_some_and(|notice| notice.contains("you record")));
    thread::sleep(Duration::from_secs(4));
    switch(&place, "off");
    for node in [&mut host, &mut ann, &mut listener] {
        node.event("recording", |recording| recording["on"] == false);
    }
    let off = Instant::now();
    thread::sleep(Duration::from_secs(2));
    let silent_s = off.elapsed().as_secs_f64();
    ends_well(listener);
    ends_well(ann);
    drop(host);

    let (status, report, errors) = verify(&place, "room.ogg", &[]);
    assert_eq!((status, report["genuine"].as_bool()), (Some(0), Some(true)), "{report} {errors}");
    let speakers = report["speakers"].as_array().expect("a list");
    assert_eq!(speakers.len(), 2, "{report}");
    assert!(speakers.iter().any(|speaker| speaker["name"] == "ann"));
    for speaker in speakers {
        let frames = speaker["frames"].as_u64().expect("a number");
        // Four seconds, but for the one until all speak under the new key.
        assert!((130..=300).contains(&frames), "{speaker}");
        let spoke = speaker["spoke_ms"].as_array().expect("a list");
        let last = spoke.iter().filter_map(|span| span[1].as_u64()).max().expect("it spoke");
        let end = report["ends_ms"].as_u64().expect("a number");
        assert!(
            last as f64 / 1000.0 <= end as f64 / 1000.0 - silent_s + 0.5,
            "nothing once the flag is down: {report}"
        );
    }
    let heard = numbers(&place.path("frames.log"), "verified").into_iter().filter(|(of, _)| *of == voice).count();
    let recorded =
        speakers.iter().find(|speaker| speaker["name"] == "ann").and_then(|speaker| speaker["frames"].as_u64());
    assert!(heard > 350 && recorded.is_some_and(|recorded| (recorded as usize) < heard - 150), "{heard}, {recorded:?}");
    assert_eq!(
        (report["frames_missing"].as_u64(), report["lost_by_recorder"].as_u64()),
        (Some(0), Some(0)),
        "{report}"
    );
    let (seconds, loud) = played(&place.path("room.ogg"));
    assert!(seconds > 5.5 && loud > 1.5 && loud < 4.5, "{seconds} s, {loud} s of them loud");
    others_play(&place.path("room.ogg"), 13, false);

    what_is_done_to_it_is_named(&place, &file);
}

#[test]
fn a_recording_that_is_killed_plays_and_is_proved_up_to_its_last_second() {
    let place = Place::new();
    let file = place.text("room.ogg");
    // The host itself records: it switches recording on.
    let (mut host, invite) = host(&place, "sample:1", &["--hear", "none", "--json", "--record", &file]);
    let mut listener = start(&place.path("listener"), &["join", &invite, "--hear", "none", "--json"]);
    listener.event("recording", |recording| recording["on"] == true);
    host.event("sound", |sound| sound["notice"].as_str().is_some_and(|notice| notice.contains("you record")));
    let began = Instant::now();
    thread::sleep(Duration::from_secs(5));
    let recorded_s = began.elapsed().as_secs_f64();
    host.signal(Signal::KILL);
    assert!(!host.ended().status.success());
    let (seconds, loud) = played(&place.path("room.ogg"));
    assert!(seconds >= recorded_s - 1.0 && loud > 1.0, "{seconds} of {recorded_s} s, {loud} loud");
    others_play(&place.path("room.ogg"), 13, true);
    let (status, report, errors) = verify(&place, "room.ogg", &[]);
    assert!(status == Some(1) && errors.contains("the recording has no end"), "{errors}");
    assert_eq!(report["faults"].as_array().map(Vec::len), Some(1), "nothing else is wrong with it: {report}");
    let proved_s = report["ends_ms"].as_u64().expect("a number") as f64 / 1000.0;
    let bytes = |name: &str| fs::metadata(place.path(name)).expect("it is there").len();
    println!(
        "killed after {recorded_s:.2} s: {seconds:.2} s play, {proved_s:.2} s are proved; {} bytes of sound, {} of proof",
        bytes("room.ogg"),
        bytes("room.ogg.proof")
    );
    assert!(proved_s >= recorded_s - 1.0, "{proved_s} of {recorded_s} s");
    let (status, _, errors) = verify(&place, "room.ogg", &["--unfinished"]);
    assert_eq!(status, Some(0), "{errors}");
}

#[test]
fn where_the_host_never_says_so_nothing_is_recorded() {
    let place = Place::new();
    let (host, invite) = host(&place, "sample:1", &["--hear", "none"]);
    let file = place.text("room.ogg");
    let arguments = ["join", &invite, "--hear", "none", "--record", &file, "--for", "3s"];
    let ended = start(&place.path("listener"), &arguments).ended();
    assert!(ended.status.success(), "{}", ended.stderr);
    assert!(ended.stdout.contains("nothing was recorded"), "{}", ended.stdout);
    assert!(!place.path("room.ogg").exists() && !place.path("room.ogg.proof").exists());
    drop(host);
}

#[test]
fn what_cannot_be_recorded_or_verified_is_said_in_a_sentence() {
    let place = Place::new();
    let (host, invite) = host(&place, "none", &["--hear", "none"]);
    fs::write(place.path("there.ogg"), b"something").expect("space");
    for (file, wanted) in
        [("there.ogg", "is there already"), ("room.wav", "end in .ogg"), ("no/where.ogg", "cannot record")]
    {
        let path = place.text(file);
        let (status, _, errors) = run(&place.path("listener"), &["join", &invite, "--hear", "none", "--record", &path]);
        assert!(status == Some(2) && errors.contains(wanted), "{file}: {errors}");
    }
    assert_eq!(fs::read(place.path("there.ogg")).expect("it is there"), b"something");
    let path = place.text("there.ogg");
    let (status, _, errors) = run(&place.path("nobody"), &["verify", &path]);
    assert!(status == Some(2) && errors.contains("there.ogg.proof"), "{errors}");
    fs::write(place.path("there.ogg.proof"), b"something").expect("space");
    let (status, _, errors) = run(&place.path("nobody"), &["verify", &path]);
    assert!(status == Some(1) && errors.contains("it is no proof of a recording"), "{errors}");
    let (status, _, errors) = run(&place.path("listener"), &["room", "record", "on"]);
    assert!(status == Some(2), "{errors}");
    drop(host);
}
