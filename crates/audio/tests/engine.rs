//! Capture and playback in real time, as a node uses them. The tests assert what was heard, never how fast.

mod common;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, sync_channel},
    thread,
    time::{Duration, Instant},
};

use treehouse_audio::{
    Capture, CaptureEvent, CaptureOptions, CapturedFrame, FRAME, Hear, Outcome, Playback, PlaybackEvent,
    PlaybackOptions, Sample, Say, VoiceFrame, decode::has_fec, encode::LossReport, engine::INBOX_MAX,
    mix::MIX_VOICES_MAX, source::FileSource,
};
use treehouse_wire::{FrameNumber, VoiceId};

const PATIENCE: Duration = Duration::from_secs(20);
/// More events than any test makes.
const EVENTS_MAX: usize = 65_536;

fn voice(n: u8) -> VoiceId {
    VoiceId([n; 8])
}

/// Writes a piece of a sample, so that a test need not wait for all of it.
fn clip(dir: &Path, sample: Sample, frames: usize) -> (PathBuf, Vec<f32>) {
    let path = dir.join(format!("clip-{}-{frames}.wav", sample.file_name()));
    let mut source = FileSource::sample(sample).unwrap();
    let (mut pcm, mut all) = ([0.0; FRAME], Vec::new());
    for _ in 0..frames {
        assert!(source.next_frame(&mut pcm).unwrap());
        all.extend(pcm);
    }
    write(&path, &all);
    (path, all)
}

fn write(path: &Path, pcm: &[f32]) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 48_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut wav = hound::WavWriter::create(path, spec).unwrap();
    pcm.iter().for_each(|s| wav.write_sample((s * 32_768.0) as i16).unwrap());
    wav.finalize().unwrap();
}

fn start(say: Say, options: CaptureOptions) -> (Capture, Receiver<CaptureEvent>) {
    let (tx, rx) = sync_channel(EVENTS_MAX);
    let capture = Capture::start(say, options, move |event| drop(tx.send(event))).unwrap();
    (capture, rx)
}

fn next_frame(events: &Receiver<CaptureEvent>) -> Option<CapturedFrame> {
    match events.recv_timeout(PATIENCE).expect("an event within twenty seconds") {
        CaptureEvent::Frame(frame) => Some(frame),
        CaptureEvent::Ended => None,
        other => panic!("{other:?}"),
    }
}

fn as_heard(from: u8, frame: CapturedFrame) -> VoiceFrame {
    let CapturedFrame { number, captured, opus, .. } = frame;
    VoiceFrame { voice: voice(from), number, captured, arrived: Instant::now(), opus }
}

fn listen(hear: Hear) -> (Playback, Receiver<PlaybackEvent>) {
    let (tx, rx) = sync_channel(EVENTS_MAX);
    let playback = Playback::start(hear, PlaybackOptions::default(), move |event| drop(tx.send(event))).unwrap();
    (playback, rx)
}

/// Reads a recording and finds where in it `said` is most alike, and how much.
fn find(path: &Path, said: &[f32]) -> (usize, f32) {
    let mut reader = hound::WavReader::open(path).unwrap();
    let heard: Vec<f32> = reader.samples::<i16>().map(|s| f32::from(s.unwrap()) / 32_768.0).collect();
    common::find(said, &heard)
}

/// How much of `said` is in a recording.
fn likeness(path: &Path, said: &[f32]) -> f32 {
    common::median(said, |_, piece| find(path, piece).1)
}

#[test]
fn a_file_is_delivered_as_consecutive_frames_20_ms_apart_and_then_ends() {
    let dir = tempfile::tempdir().unwrap();
    let (path, _) = clip(dir.path(), Sample::One, 25);
    let before = Instant::now();
    let (_capture, events) = start(Say::File(path), CaptureOptions::default());
    let frames: Vec<CapturedFrame> = std::iter::from_fn(|| next_frame(&events)).collect();
    assert_eq!(frames.len(), 25);
    assert!(before.elapsed() >= Duration::from_millis(500), "in real time");
    for (n, frame) in (0u32..).zip(&frames) {
        assert_eq!(frame.number, FrameNumber(n));
        assert_eq!(frame.captured.0, u64::from(n) * FRAME as u64);
        assert_eq!(frame.captured_at - frames[0].captured_at, Duration::from_millis(20) * n);
    }
    assert!(frames.iter().any(|frame| frame.level.minus_dbov() < 30), "somebody speaks");
}

#[test]
fn a_looped_file_goes_on_and_numbers_go_on_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let (path, _) = clip(dir.path(), Sample::Two, 5);
    let (capture, events) = start(Say::File(path), CaptureOptions { looped: true, ..CaptureOptions::default() });
    for n in 0..12 {
        assert_eq!(next_frame(&events).unwrap().number, FrameNumber(n));
    }
    capture.stop();
}

#[test]
fn a_voice_carries_as_many_copies_as_its_listeners_lose() {
    let options = CaptureOptions { looped: true, ..CaptureOptions::default() };
    let (capture, events) = start(Say::Sample(Sample::One), options);
    let copies_after = |loss: f32| {
        capture.report_loss(LossReport { loss, burst_frames: 1.0 });
        // The frame that is under way and the first after a change are still as before.
        (0..3).for_each(|_| drop(next_frame(&events)));
        (0..50).filter(|_| has_fec(&next_frame(&events).unwrap().opus)).count()
    };
    assert_eq!(copies_after(0.0), 0);
    assert!(copies_after(0.1) > 20);
}

#[test]
fn silence_is_passed_over_where_it_need_not_be_sent() {
    let dir = tempfile::tempdir().unwrap();
    let (path, mut said) = clip(dir.path(), Sample::One, 40);
    said.resize(60 * FRAME, 0.0);
    write(&path, &said);
    let count = |dtx: bool| {
        let (_capture, events) = start(Say::File(path.clone()), CaptureOptions { dtx, ..CaptureOptions::default() });
        std::iter::from_fn(|| next_frame(&events)).map(|frame| frame.number.0).collect::<Vec<_>>()
    };
    assert_eq!(count(false).len(), 60);
    let numbers = count(true);
    assert!((40..58).contains(&numbers.len()), "{numbers:?}");
    assert_eq!(numbers[..40], (0..40).collect::<Vec<_>>());
}

#[test]
fn a_muted_speaker_sends_nothing_and_time_goes_on() {
    let (capture, events) = start(Say::Tone, CaptureOptions { muted: true, ..CaptureOptions::default() });
    assert!(events.recv_timeout(Duration::from_millis(200)).is_err());
    capture.set_muted(false);
    assert!(next_frame(&events).unwrap().number >= FrameNumber(8));
}

#[test]
fn saying_none_is_no_error_and_no_frame() {
    let (capture, events) = start(Say::None, CaptureOptions::default());
    assert!(events.recv_timeout(Duration::from_millis(100)).is_err());
    capture.stop();
}

#[test]
fn what_was_said_is_what_is_heard_and_every_frame_is_decoded() {
    let dir = tempfile::tempdir().unwrap();
    let (path, said) = clip(dir.path(), Sample::One, 150);
    let wav = dir.path().join("heard.wav");
    let (playback, played) = listen(Hear::Wav(wav.clone()));
    let (capture, events) = start(Say::File(path), CaptureOptions::default());
    while let Some(frame) = next_frame(&events) {
        playback.push(as_heard(1, frame));
    }
    capture.stop();
    wait_for_stop(&played, voice(1), &mut |_| {});
    let totals = playback.stop();
    assert_eq!((totals.frames.decoded, totals.frames.concealed, totals.frames.late), (150, 0, 0), "{totals:?}");
    let likeness = likeness(&wav, &said);
    assert!(likeness > 0.8, "{likeness}");
}

/// Waits until playback says that the voice has stopped; passes everything before on.
fn wait_for_stop(events: &Receiver<PlaybackEvent>, of: VoiceId, seen: &mut dyn FnMut(PlaybackEvent)) {
    loop {
        match events.recv_timeout(PATIENCE).expect("the voice stops within twenty seconds") {
            PlaybackEvent::VoiceStopped { voice, .. } if voice == of => return,
            other => seen(other),
        }
    }
}

#[test]
fn each_frame_is_reported_once_in_order_between_start_and_stop() {
    let (playback, played) = listen(Hear::None);
    let (capture, events) = start(Say::Tone, CaptureOptions::default());
    for _ in 0..40 {
        playback.push(as_heard(3, next_frame(&events).unwrap()));
    }
    capture.stop();
    let (mut numbers, mut starts) = (Vec::new(), 0);
    wait_for_stop(&played, voice(3), &mut |event| match event {
        PlaybackEvent::VoiceStarted { voice: v, .. } => {
            assert_eq!((v, numbers.len()), (voice(3), 0));
            starts += 1;
        }
        PlaybackEvent::Played { voice: v, number, outcome, .. } => {
            assert_eq!((v, outcome), (voice(3), Outcome::Decoded));
            numbers.push(number.0);
        }
        other => panic!("{other:?}"),
    });
    assert_eq!(starts, 1);
    assert_eq!(numbers, (0..40).collect::<Vec<_>>());
    drop(playback);
}

#[test]
fn two_voices_are_both_in_the_recording() {
    let dir = tempfile::tempdir().unwrap();
    let (path_1, said_1) = clip(dir.path(), Sample::One, 100);
    let (path_2, said_2) = clip(dir.path(), Sample::Two, 100);
    let wav = dir.path().join("both.wav");
    let (playback, played) = listen(Hear::Wav(wav.clone()));
    let (_one, events_1) = start(Say::File(path_1), CaptureOptions::default());
    let (_two, events_2) = start(Say::File(path_2), CaptureOptions::default());
    while let (Some(one), Some(two)) = (next_frame(&events_1), next_frame(&events_2)) {
        playback.push(as_heard(1, one));
        playback.push(as_heard(2, two));
    }
    wait_for_stop(&played, voice(2), &mut |_| {});
    playback.stop();
    // Some of what nobody said, such as speech played backwards, is found too.
    let unsaid: Vec<f32> = said_1.iter().rev().copied().collect();
    let by_chance = likeness(&wav, &unsaid);
    for said in [said_1, said_2] {
        let likeness = likeness(&wav, &said);
        assert!(likeness > by_chance + 0.1, "{likeness}, by chance {by_chance}");
    }
}

#[test]
fn a_voice_that_is_removed_falls_silent_and_may_come_back_from_its_first_frame() {
    let (playback, played) = listen(Hear::None);
    let mut heard = BTreeSet::new();
    for round in 0..2 {
        let (capture, events) = start(Say::Tone, CaptureOptions::default());
        for _ in 0..10 {
            playback.push(as_heard(1, next_frame(&events).unwrap()));
        }
        capture.stop();
        playback.remove_voice(voice(1));
        thread::sleep(Duration::from_millis(150));
        for event in played.try_iter() {
            if let PlaybackEvent::Played { number, .. } = event {
                heard.insert((round, number));
            }
        }
    }
    assert!(heard.contains(&(0, FrameNumber(0))) && heard.contains(&(1, FrameNumber(0))), "{heard:?}");
    playback.stop();
}

#[test]
fn a_flood_is_bounded_in_frames_and_in_voices() {
    let (playback, _played) = listen(Hear::None);
    let (capture, events) = start(Say::Tone, CaptureOptions::default());
    let frame = next_frame(&events).unwrap();
    capture.stop();
    for n in 0..40_000u32 {
        let mut flood = as_heard((n % 200) as u8, frame.clone());
        flood.number = FrameNumber(n / 200);
        playback.push(flood);
    }
    thread::sleep(Duration::from_millis(100));
    let totals = playback.stop();
    assert!(totals.inbox_dropped > 0 || totals.voices_refused > 0, "{totals:?}");
    let kept = 40_000 - totals.inbox_dropped - totals.voices_refused;
    assert!(kept <= (INBOX_MAX + 200 * MIX_VOICES_MAX) as u64, "{totals:?}");
}

#[test]
fn silence_is_recorded_in_real_time_while_nobody_speaks() {
    let dir = tempfile::tempdir().unwrap();
    let wav = dir.path().join("silence.wav");
    let began = Instant::now();
    let (playback, _events) = listen(Hear::Wav(wav.clone()));
    thread::sleep(Duration::from_millis(1_300));
    playback.stop();
    let at_most = began.elapsed().as_millis() as u32 * 48;
    let len = hound::WavReader::open(&wav).unwrap().len();
    assert!((1_240 * 48..=at_most).contains(&len), "{len} samples");
}

#[test]
fn devices_that_are_not_there_are_an_error_that_says_what_to_do() {
    let mic = Capture::start(Say::Mic(Some("no such thing".into())), CaptureOptions::default(), |_| {});
    let error = mic.err().expect("no such microphone").to_string();
    assert!(error.contains("microphone") && error.contains(['"', ';']), "{error}");
    let hear = Hear::Speakers(Some("no such thing".into()));
    let error = Playback::start(hear, PlaybackOptions::default(), |_| {}).err().expect("no such speakers").to_string();
    assert!(error.contains("speakers"), "{error}");
}

#[test]
fn a_recording_that_cannot_be_made_is_an_error_that_names_it() {
    let hear: Hear = "/nowhere/at/all.wav".parse().unwrap();
    let error = Playback::start(hear, PlaybackOptions::default(), |_| {}).err().unwrap().to_string();
    assert!(error.starts_with("cannot write /nowhere/at/all.wav"), "{error}");
    assert!("talk.mp3".parse::<Hear>().unwrap_err().to_string().contains("ends in .wav"));
}
