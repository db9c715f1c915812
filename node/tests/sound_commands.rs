//! `treehouse sound` beside nodes that say and hear files.

mod support;

use std::{path::Path, thread, time::Duration};

use rustix::process::Signal;
use support::{Ended, Place, Running, host, start};

/// The loudness of the last second but one of bare samples, and of the one so many seconds earlier.
fn loudness(file: &Path, before: usize) -> [f32; 2] {
    let bytes = std::fs::read(file).expect("a recording");
    let samples: Vec<f32> =
        bytes.as_chunks::<2>().0.iter().map(|sample| f32::from(i16::from_le_bytes(*sample)) / 32_768.0).collect();
    [before + 2, 2].map(|seconds| {
        let from = samples.len() - seconds * 48_000;
        (samples[from..from + 48_000].iter().map(|sample| sample * sample).sum::<f32>() / 48_000.0).sqrt()
    })
}

fn sound(place: &Place, who: &str, arguments: &[&str]) -> Ended {
    start(&place.path(who), &[&["sound"], arguments].concat()).ended()
}

/// Frames that a node has verified, by the second report of them from now on.
fn frames(node: &mut Running) -> u64 {
    node.event("stats", |_| true);
    node.event("stats", |_| true)["frames_verified"].as_u64().expect("a number")
}

#[test]
fn a_voice_is_turned_down_by_a_command() {
    let place = Place::new();
    let (_host, invite) = host(&place, "tone", &["--hear", "none"]);
    let file = place.text("heard.s16le");
    let arguments = ["join", &invite, "--hear", &file, "--loudness", "as-is", "--json"];
    let mut listener = start(&place.path("listener"), &arguments);
    let peer = listener.event("joining", |_| true)["host"].as_str().expect("a peer id").to_owned();
    listener.event("first_audio", |_| true);
    thread::sleep(Duration::from_secs(4));
    let said = sound(&place, "listener", &["volume", &peer, "25%"]);
    assert!(said.status.success() && said.stdout.contains("is heard at 25 %"), "{}", said.stderr);
    thread::sleep(Duration::from_secs(4));
    listener.signal(Signal::INT);
    assert!(listener.ended().status.success());
    // The tone is on for half of each second.
    let [before, after] = loudness(&place.path("heard.s16le"), 5);
    assert!((3.5..4.5).contains(&(before / after)), "{before}, then {after}");
}

#[test]
fn whoever_is_muted_sends_nothing_until_unmuted() {
    let place = Place::new();
    let (_host, invite) = host(&place, "sample:1", &["--hear", "none", "--muted"]);
    let mut listener = start(&place.path("listener"), &["join", &invite, "--hear", "none", "--json"]);
    listener.event("admitted", |_| true);
    assert_eq!(frames(&mut listener), 0, "it began muted");
    assert!(sound(&place, "host", &["unmute"]).status.success());
    let heard = frames(&mut listener);
    assert!(heard > 20, "{heard}");
    let said = sound(&place, "host", &["mute"]);
    assert!(said.status.success() && said.stdout.contains("you are muted"), "{}", said.stderr);
    let heard = frames(&mut listener);
    assert_eq!(frames(&mut listener), heard);
}

#[test]
fn what_cannot_be_is_refused_in_one_sentence() {
    let place = Place::new();
    let said = sound(&place, "host", &["mute"]);
    assert!(said.status.code() == Some(2) && said.stderr.contains("no node of yours is in a room"), "{}", said.stderr);
    let (_host, _) = host(&place, "tone", &["--hear", "none"]);
    let peer = "12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X";
    for (arguments, why) in [
        (vec!["press"], "start it with --say mic --talk push"),
        (vec!["volume", peer, "50%"], "start it with --hear speakers"),
    ] {
        let said = sound(&place, "host", &arguments);
        assert!(said.status.code() == Some(1) && said.stderr.contains(why), "{}", said.stderr);
    }
    let place = Place::new();
    let (_host, _) = host(&place, "tone", &["--hear", &place.text("heard.s16le")]);
    let said = sound(&place, "host", &["volume", peer, "50%"]);
    assert!(said.stderr.contains("nobody with this peer id is on stage"), "{}", said.stderr);
}
