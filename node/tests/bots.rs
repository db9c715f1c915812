//! Programs at either end of a room: one reads it from standard output, one speaks through standard input, one is killed.

mod support;

use std::{
    io::{Read, Write},
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use support::{PATIENCE, Place, host, program, recording, start};
use treehouse_audio::{FRAME, source::FileSource};

/// Bytes of a WAV header, and of 20 ms behind it.
const HEADER_BYTES: usize = 44;
const BLOCK_BYTES: usize = 2 * FRAME;

/// Ends it whatever happens.
struct Bot(Child);

impl Drop for Bot {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn loud(block: &[u8]) -> bool {
    block.as_chunks::<2>().0.iter().any(|sample| i16::from_le_bytes(*sample).unsigned_abs() > 1_000)
}

#[test]
fn a_room_can_be_read_from_standard_output_until_nobody_reads_any_more() {
    let place = Place::new();
    let (mut host, invite) = host(&place, "sample:1", &["--hear", "none"]);
    let arguments = ["join", &invite, "--name", "bot", "--hear", "-", "--json"];
    let bot = program(&place.path("bot")).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut bot = Bot(bot.expect("the program starts"));
    let mut sound = bot.0.stdout.take().expect("a pipe");
    let mut header = [0; HEADER_BYTES];
    sound.read_exact(&mut header).expect("a header");
    assert!(header.starts_with(b"RIFF") && header.ends_with(b"data\xff\xff\xff\xff"));
    let (mut block, began, mut heard) = ([0; BLOCK_BYTES], Instant::now(), 0);
    while heard < 50 {
        assert!(began.elapsed() < PATIENCE, "a second of speech was to be heard, {heard} blocks were");
        sound.read_exact(&mut block).expect("sound");
        heard += u32::from(loud(&block));
    }
    drop(sound);
    host.line("farewell", |line| line == "bot left");
    let mut said = String::new();
    bot.0.stderr.take().expect("a pipe").read_to_string(&mut said).expect("words");
    assert!(bot.0.wait().expect("its end").success(), "{said}");
    assert!(said.contains(r#""event":"admitted""#) && said.contains(r#""reason":"left""#), "{said}");
}

#[test]
fn a_program_can_speak_through_standard_input() {
    let place = Place::new();
    let wav = place.text("heard.wav");
    let (mut host, invite) = host(&place, "none", &["--hear", &wav, "--json"]);
    let arguments = ["join", &invite, "--name", "bot", "--say", "s16le:-", "--hear", "none"];
    let bot = program(&place.path("bot")).args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
    let mut bot = Bot(bot.expect("the program starts"));
    let mut input = bot.0.stdin.take().expect("a pipe");
    // Two seconds of a tone, all at once: the pipe and the program hold back what is not yet to be said.
    let tone = (0..96_000).map(|i| (8_000.0 * (i as f32 * 0.0576).sin()) as i16);
    let bytes: Vec<u8> = tone.flat_map(i16::to_le_bytes).collect();
    let writer = thread::spawn(move || input.write_all(&bytes));
    host.event("first_audio", |_| true);
    host.event("speaking", |speaking| speaking["on"] == false);
    writer.join().expect("no panic").expect("all of it is read");
    host.signal(Signal::INT);
    assert!(host.ended().status.success());
    let (_, rms) = recording(&place.path("heard.wav"));
    assert!(rms > 0.01, "a tone is louder than {rms}");
}

#[test]
fn music_is_in_stereo_from_the_file_to_the_listener() {
    let place = Place::new();
    let (seconds, hz) = (4, [440.0, 1_250.0]);
    let samples = (0..seconds * 48_000)
        .flat_map(|at| hz.map(|hz| 0.2 * (at as f32 * hz * std::f32::consts::TAU / 48_000.0).sin()));
    let bytes: Vec<u8> = samples.flat_map(|sample| ((sample * 32_767.0) as i16).to_le_bytes()).collect();
    let mut wav = treehouse_audio::sink::wav_header(2);
    wav.extend(bytes);
    std::fs::write(place.path("song.wav"), wav).expect("a file");
    let (_host, invite) = host(&place, &place.text("song.wav"), &["--hear", "none", "--music", "--repeat"]);
    let (both, one) = (place.text("both.wav"), place.text("one.wav"));
    let listen = |name: &str, more: &[&str]| start(&place.path(name), &[&["join", &invite, "--json"], more].concat());
    let mut listeners = [listen("a", &["--hear", &both, "--stereo"]), listen("b", &["--hear", &one])];
    for listener in &mut listeners {
        listener.event("first_audio", |_| true);
    }
    thread::sleep(Duration::from_secs(3));
    for listener in listeners {
        listener.signal(Signal::INT);
        assert!(listener.ended().status.success());
    }
    // How loud each tone is on each side, in the second before the last.
    let loudness = |file: &str, channels: usize| -> Vec<[f32; 2]> {
        let bytes = std::fs::read(place.path(file)).expect("a recording");
        let samples: Vec<f32> = bytes[HEADER_BYTES..]
            .as_chunks::<2>()
            .0
            .iter()
            .map(|sample| f32::from(i16::from_le_bytes(*sample)) / 32_768.0)
            .collect();
        let from = samples.len() - 2 * channels * 48_000;
        (0..channels)
            .map(|channel| hz.map(|hz| tone(samples[from..].iter().skip(channel).step_by(channels).take(48_000), hz)))
            .collect()
    };
    let [left, right] = loudness("both.wav", 2)[..] else { panic!("two channels") };
    assert!(left[0] > 20.0 * left[1] && right[1] > 20.0 * right[0] && left[0] > 0.01, "{left:?}, {right:?}");
    let [mixed] = loudness("one.wav", 1)[..] else { panic!("one channel") };
    assert!(mixed.iter().all(|loud| *loud > 0.01), "one channel has both: {mixed:?}");
}

/// How strong a frequency is among samples.
fn tone<'a>(samples: impl Iterator<Item = &'a f32>, hz: f32) -> f32 {
    let (mut re, mut im, mut count) = (0.0, 0.0, 0);
    for (at, sample) in samples.enumerate() {
        let (sin, cos) = (at as f32 * hz * std::f32::consts::TAU / 48_000.0).sin_cos();
        (re, im, count) = (re + sample * cos, im + sample * sin, count + 1);
    }
    f32::hypot(re, im) / count.max(1) as f32
}

#[test]
fn what_a_killed_listener_wrote_is_played_up_to_its_last_second() {
    let place = Place::new();
    let (_host, invite) = host(&place, "sample:2", &["--hear", "none"]);
    let file = place.text("heard.opus");
    let mut listener = start(&place.path("listener"), &["join", &invite, "--hear", &file, "--json"]);
    listener.event("first_audio", |_| true);
    let heard_from = Instant::now();
    thread::sleep(Duration::from_secs(3));
    let at_least = heard_from.elapsed() - Duration::from_secs(1);
    listener.signal(Signal::KILL);
    assert!(!listener.ended().status.success());
    let mut source = FileSource::open(&place.path("heard.opus")).expect("a file that can be played");
    let (mut pcm, mut frames, mut loud) = ([0.0; FRAME], 0, 0);
    while source.next_frame(&mut pcm).expect("nothing wrong in it") {
        frames += 1;
        loud += u32::from(pcm.iter().any(|sample| sample.abs() > 0.03));
    }
    assert!(Duration::from_millis(20) * frames >= at_least, "{frames} frames of {at_least:?}");
    assert!(loud > 50, "{loud} frames of speech");
}
