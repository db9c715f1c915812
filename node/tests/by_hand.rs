//! A room by hand: one process opens it, others enter with the invite that it prints.

mod support;

use rustix::process::Signal;
use support::{LOOPBACK, Place, host, program, recording, start};

#[test]
fn a_listener_records_what_the_host_says() {
    let place = Place::new();
    let (mut host, invite) = host(&place, "sample:1", &["--hear", "none"]);
    let wav = place.text("heard.wav");
    let listener = start(&place.path("listener"), &["join", &invite, "--name", "bob", "--hear", &wav, "--for", "3s"]);
    host.line("word of bob", |line| line.contains("bob came in"));
    host.line("farewell", |line| line == "bob left");
    let ended = listener.ended();
    assert!(ended.status.success(), "{}", ended.stderr);
    let (seconds, rms) = recording(&place.path("heard.wav"));
    assert!(seconds > 2.0, "{seconds} s");
    assert!(rms > 0.01, "speech is louder than {rms}");
    host.signal(Signal::INT);
    assert!(host.ended().status.success());
}

#[test]
fn ctrl_c_leaves_politely_and_the_host_closes_the_room() {
    let place = Place::new();
    let (mut host, invite) = host(&place, "none", &["--hear", "none", "--json"]);
    let mut first = start(&place.path("first"), &["join", &invite, "--hear", "none", "--json"]);
    first.event("admitted", |_| true);
    first.signal(Signal::INT);
    host.event("member_left", |left| left["polite"] == true);
    let ended = first.ended();
    assert!(ended.status.success(), "{}", ended.stderr);
    assert!(ended.stdout.lines().last().is_some_and(|line| line.contains(r#""reason":"left""#)), "{}", ended.stdout);

    let mut second = start(&place.path("second"), &["join", &invite, "--hear", "none", "--json"]);
    second.event("feeds", |feeds| feeds["parent"].is_string());
    host.signal(Signal::TERM);
    let (host, second) = (host.ended(), second.ended());
    assert!(host.status.success() && second.status.success());
    let last = second.stdout.lines().last().unwrap_or_default();
    assert!(last.contains(r#""reason":"closed_by_host""#), "{last}");
}

#[test]
fn a_crash_is_not_taken_for_a_goodbye() {
    let place = Place::new();
    let (mut host, invite) = host(&place, "none", &["--hear", "none", "--json"]);
    let mut listener = start(&place.path("listener"), &["join", &invite, "--hear", "none", "--json"]);
    listener.event("feeds", |feeds| feeds["parent"].is_string());
    listener.signal(Signal::KILL);
    host.event("member_left", |left| left["polite"] == false);
}

#[test]
fn a_joiner_that_has_something_to_say_is_brought_onto_the_stage() {
    let place = Place::new();
    let wav = place.text("heard.wav");
    let (mut host, invite) = host(&place, "none", &["--hear", &wav, "--json"]);
    let arguments = ["join", &invite, "--name", "ann", "--say", "sample:2", "--hear", "none", "--json"];
    let mut speaker = start(&place.path("speaker"), &arguments);
    let live = speaker.event("live", |_| true);
    host.event("hand", |hand| hand["name"] == "ann" && hand["raised"] == true);
    host.event("stage", |stage| {
        stage["members"].as_array().is_some_and(|members| members.iter().any(|member| member["voice"] == live["voice"]))
    });
    host.event("first_audio", |_| true);
    host.event("speaking", |speaking| speaking["on"] == true);
    speaker.signal(Signal::INT);
    host.event("speaking", |speaking| speaking["on"] == false);
    assert!(speaker.ended().status.success());
    host.signal(Signal::INT);
    assert!(host.ended().status.success());
    let (_, rms) = recording(&place.path("heard.wav"));
    assert!(rms > 0.003, "speech is louder than {rms}");
}

#[test]
fn a_file_is_said_once_and_then_the_stage_is_left() {
    let place = Place::new();
    let clip = place.path("clip.wav");
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 48_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut wav = hound::WavWriter::create(&clip, spec).expect("a file");
    (0..48_000).for_each(|i| wav.write_sample(if i % 96 < 48 { 4_000_i16 } else { -4_000 }).expect("space"));
    wav.finalize().expect("a header");
    let (mut host, invite) = host(&place, "none", &["--hear", "none", "--json"]);
    let arguments = ["join", &invite, "--say", &place.text("clip.wav"), "--hear", "none", "--json"];
    let mut speaker = start(&place.path("speaker"), &arguments);
    let peer = speaker.event("started", |_| true)["peer"].clone();
    let on_stage = |stage: &serde_json::Value| {
        stage["members"].as_array().is_some_and(|members| members.iter().any(|member| member["peer"] == peer))
    };
    host.event("stage", |stage| on_stage(stage));
    host.event("stage", |stage| !on_stage(stage));
    drop(speaker);
}

#[test]
fn two_sessions_of_one_person_meet_in_a_room() {
    let place = Place::new();
    let (mut host, invite) = host(&place, "none", &["--hear", "none", "--json"]);
    let again = start(&place.path("host"), &["join", &invite, "--hear", "none", "--for", "1s", "--json"]);
    host.event("member_joined", |_| true);
    let ended = again.ended();
    assert!(ended.status.success(), "{}", ended.stderr);
    assert!(ended.stdout.lines().any(|line| line.contains(r#""temporary":true"#)), "{}", ended.stdout);
}

#[test]
fn without_sound_devices_a_room_still_opens_and_says_so() {
    let place = Place::new();
    let mut arguments = vec!["host", "--say", "mic:no such microphone", "--hear", "speakers:no such speakers"];
    arguments.extend(LOOPBACK);
    arguments.push("--json");
    let mut host = start(&place.path("host"), &arguments);
    let mut notices = Vec::new();
    while notices.len() < 2 {
        notices.push(host.event("sound", |_| true)["notice"].as_str().expect("text").to_owned());
    }
    for wanted in ["microphone", "speakers"] {
        assert!(notices.iter().any(|notice| notice.contains(wanted)), "{notices:?}");
    }
    host.signal(Signal::INT);
    let ended = host.ended();
    assert!(ended.status.success(), "{}", ended.stderr);
    assert!(ended.stdout.lines().any(|line| line.contains(r#""event":"admitted""#)), "{}", ended.stdout);
}

#[test]
fn what_starts_a_node_ends_it_by_closing_its_input() {
    let place = Place::new();
    // Standard input of `start` is empty, so that it is closed from the beginning.
    let arguments = ["host", "--say", "none", "--hear", "none", "--json", "--until-stdin-closes", "--listen"];
    let host = start(&place.path("host"), &[&arguments[..], &["/ip4/127.0.0.1/tcp/0"]].concat());
    let ended = host.ended();
    assert!(ended.status.success(), "{}", ended.stderr);
    assert!(ended.stdout.lines().any(|line| line.contains(r#""event":"admitted""#)), "{}", ended.stdout);
}

/// A booster relays for members, although it has no key: it opens no frame, and plays none.
#[test]
fn a_booster_carries_a_room_and_hears_nothing() {
    let place = Place::new();
    let (host, invite) =
        host(&place, "sample:1", &["--hear", "none", "--max-children", "2", "--protection", "off", "--json"]);
    let made =
        program(&place.path("host")).args(["invite", "new", "--role", "booster", "--json"]).output().expect("it runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let made: serde_json::Value = serde_json::from_slice(&made.stdout).expect("JSON");
    let link = made["invite"].as_str().expect("a link").to_owned();
    // Each kind of link is for its own command.
    for (command, given, word) in [("join", &link, "treehouse boost"), ("boost", &invite, "treehouse join")] {
        let refused = program(&place.path("wrong")).args([command, given.as_str()]).output().expect("it runs");
        assert_eq!(refused.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&refused.stderr).contains(word));
    }
    let mut booster = start(&place.path("booster"), &["boost", &link, "--uplink", "3M", "--json"]);
    booster.event("admitted", |admitted| admitted["role"] == "booster");
    let listen = |name: &str| {
        let wav = place.text(&format!("{name}.wav"));
        start(&place.path(name), &["join", &invite, "--name", name, "--hear", &wav, "--max-children", "0", "--json"])
    };
    let mut listeners: Vec<_> = ["ann", "bob", "eve", "joe"].into_iter().map(listen).collect();
    for listener in &mut listeners {
        listener.event("first_audio", |_| true);
    }
    let fed = booster.event("children", |fed| fed["primary"].as_array().is_some_and(|of| of.len() >= 2));
    let carried = booster.event("stats", |stats| stats["bytes_sent"].as_u64().is_some_and(|bytes| bytes > 50_000));
    println!("{fed} {carried}");
    assert_eq!(carried["frames_verified"], 0, "it has opened none");
    booster.signal(Signal::INT);
    let ended = booster.ended();
    assert!(ended.status.success(), "{}", ended.stderr);
    assert!(!ended.stdout.lines().any(|line| line.contains(r#""event":"first_audio""#)));
    for listener in listeners {
        listener.signal(Signal::INT);
        assert!(listener.ended().status.success());
    }
    host.signal(Signal::INT);
    assert!(host.ended().status.success());
}

/// Kicked, let in again, banned: by commands beside the node that has the room open.
#[test]
fn who_is_put_out_stays_out_until_let_in_again() {
    let place = Place::new();
    let (host, invite) = host(&place, "none", &["--hear", "none", "--json"]);
    let room = |arguments: &[&str]| {
        let output = program(&place.path("host")).arg("room").args(arguments).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        said
    };
    let join = || start(&place.path("guest"), &["join", &invite, "--hear", "none", "--json"]);
    let mut guest = join();
    let peer = guest.event("started", |_| true)["peer"].as_str().expect("an id").to_owned();
    let feeds = guest.event("feeds", |feeds| feeds["parent"].is_string());
    let host_peer = feeds["parent"].as_str().expect("an id").to_owned();
    for (command, last) in [("kick", false), ("ban", true)] {
        assert!(room(&[command, &peer]).contains(&peer));
        let ended = guest.ended();
        assert!(
            ended.stdout.lines().last().is_some_and(|line| line.contains(r#""reason":"removed""#)),
            "{}",
            ended.stdout
        );
        let refused = join().ended();
        assert!(!refused.status.success() && refused.stderr.contains("banned"), "{}", refused.stderr);
        assert_eq!(room(&["bans"]).contains(&peer), last, "a kick is not for good");
        assert!(room(&["unban", &peer]).contains(&peer));
        // The host signs the state that lets them in within the second.
        std::thread::sleep(std::time::Duration::from_secs(1));
        guest = join();
        guest.event("feeds", |feeds| feeds["parent"].is_string());
    }
    guest.signal(Signal::INT);
    assert!(guest.ended().status.success());
    // What the room says to it is what the command says.
    for (arguments, status, sentence) in [
        (["unban", peer.as_str()], 2, "is not banned"),
        (["kick", host_peer.as_str()], 1, "cannot be put out of its own room"),
    ] {
        let output = program(&place.path("host")).arg("room").args(arguments).output().expect("it runs");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.code() == Some(status) && told.contains(sentence),
            "{arguments:?}: {:?}, {told}",
            output.status
        );
    }
    host.signal(Signal::INT);
    assert!(host.ended().status.success());
}
