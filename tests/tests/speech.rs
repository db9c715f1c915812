//! What a listener hears is the speech that was said: real processes, real speech, scored by PESQ.

use std::{
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use libtest_mimic::{Arguments, Failed, Trial};
use treehouse_tests::{
    program::Program,
    speech::{Score, missing, must_run, score, write_clips},
};

/// A step of a room on one machine takes far less.
const LIMIT: Duration = Duration::from_secs(20);
/// What is under way when the last word was said arrives within this.
const TAIL: Duration = Duration::from_secs(2);
/// Without loss, by promise; Opus alone reaches 4.43 on this speech.
const PESQ_MIN: f64 = 4.0;
/// Half the pieces of speech correlate better than this with what was heard: the very words, not just good speech.
const MEDIAN_CORRELATION_MIN: f64 = 0.95;

fn main() {
    let arguments = Arguments::from_args();
    let lacking = missing(&[]).filter(|_| !must_run());
    if let Some(lacking) = &lacking {
        eprintln!("speech: skipped, {lacking}");
    }
    let trial = Trial::test("speech_reaches_listeners_as_it_was_said", speech_reaches_listeners_as_it_was_said);
    libtest_mimic::run(&arguments, vec![trial.with_ignored_flag(lacking.is_some())]).exit();
}

/// A listener that joins with `invite` and records.
fn listener(folder: &Path, name: &str, invite: &str) -> (Program, PathBuf) {
    let heard = folder.join(format!("{name}.wav"));
    let arguments = ["join", invite, "--name", name, "--hear", heard.to_str().unwrap(), "--json"];
    let mut listener = Program::start(folder, name, &arguments);
    listener.wait_for("admitted", LIMIT);
    listener.wait_until("feeds", LIMIT, |feeds| feeds["parent"].is_string());
    (listener, heard)
}

/// The host feeds one listener, and that one the next: host -> near -> far. Somebody joins and speaks.
fn speech_reaches_listeners_as_it_was_said() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let said = folder.join("said.wav");
    let seconds = write_clips(&said);

    let mut host = Program::start(
        folder,
        "host",
        &[
            "host",
            "--say",
            "none",
            "--hear",
            "none",
            "--listen",
            "/ip4/127.0.0.1/udp/0/quic-v1",
            "--max-children",
            "1",
            "--protection",
            "off",
            "--json",
        ],
    );
    let invite = host.wait_for("invite", LIMIT)["invite"].as_str().unwrap_or_default().to_owned();
    let (near, near_heard) = listener(folder, "near", &invite);
    let (far, far_heard) = listener(folder, "far", &invite);

    let mut speaker = Program::start(
        folder,
        "speaker",
        &["join", &invite, "--name", "speaker", "--say", said.to_str().unwrap(), "--hear", "none", "--json"],
    );
    speaker.wait_for("live", LIMIT);
    thread::sleep(Duration::from_secs_f64(seconds) + TAIL);

    for program in [speaker, far, near, host] {
        program.interrupt();
        let finished = program.finish(LIMIT);
        assert_eq!(finished.code, Some(0), "{finished:?}");
    }
    for heard in [near_heard, far_heard] {
        check(&heard, &score(&said, &heard));
    }
    Ok(())
}

fn check(heard: &Path, score: &Score) {
    println!("{}: {score:?}", heard.display());
    assert!(score.median_window() >= MEDIAN_CORRELATION_MIN, "{}: {score:?}", heard.display());
    assert!(score.pesq >= PESQ_MIN, "{}: {score:?}", heard.display());
}
