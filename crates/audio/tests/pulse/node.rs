//! What runs in the child processes: prints what happens, and ends when its standard input does.

use std::{
    collections::VecDeque,
    env,
    ffi::OsStr,
    io::BufRead,
    process::ExitCode,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use libtest_mimic::Failed;
use treehouse_audio::{
    Capture, CaptureEvent, CaptureOptions, CapturedFrame, DeviceReport, FRAME, FarEnd, Hear, Playback, PlaybackEvent,
    PlaybackOptions, Processing, Sample, Say, Talk, VoiceFrame,
    decode::VoiceDecoder,
    device::{check_microphone, list, play_test_tone},
    source::FileSource,
};
use treehouse_wire::VoiceId;

/// Frames whose loudness is told: three seconds.
const LOUDNESS_FRAMES: usize = 150;

pub fn run(role: &OsStr) -> ExitCode {
    let done = match role.to_str() {
        Some("list") => print_devices(),
        Some("tone") => play_test_tone(Some("spk_b".into()), Duration::from_secs(4))
            .map(|name| println!("played {name}"))
            .map_err(|error| error.to_string()),
        Some("check") => check_microphone(Some("spk_b.monitor".into()), Duration::from_secs(3), |_, _| {})
            .map(|check| println!("peak {}", check.peak))
            .map_err(|error| error.to_string()),
        _ => talk(),
    };
    if let Err(error) = done {
        println!("error {error}");
        return ExitCode::FAILURE;
    }
    println!("end");
    ExitCode::SUCCESS
}

fn print_devices() -> Result<(), String> {
    for device in list().map_err(|error| error.to_string())? {
        let default = if device.is_default { " default" } else { "" };
        println!("{:?} {} {} {}{default}", device.direction, device.id, device.rate_hz, device.channels);
    }
    Ok(())
}

fn report(report: DeviceReport) {
    match report {
        // A monitor's name is "Monitor of" and the sink's.
        DeviceReport::Opened { direction, name, .. } => {
            println!("opened {direction:?} {}", name.trim_start_matches("Monitor of "));
        }
        DeviceReport::Lost { direction, why } => println!("lost {direction:?} {why}"),
        DeviceReport::Closed { direction } => println!("closed {direction:?}"),
    }
}

fn is_set(name: &str) -> bool {
    env::var(name).is_ok_and(|value| value == "1")
}

/// Says and hears what the environment tells; what it says it hears itself, unless somebody else speaks.
fn talk() -> Result<(), String> {
    let [say, hear] = ["TREEHOUSE_SAY", "TREEHOUSE_HEAR"].map(|name| env::var(name).expect("set by the test"));
    let hear: Hear = hear.parse().expect("a sink");
    let say: Say = say.parse().expect("a source");
    let far_end = FarEnd::default();
    let options = PlaybackOptions { far_end: far_end.clone(), ..PlaybackOptions::default() };
    let playback = Playback::start(hear, options, |event| {
        if let PlaybackEvent::Device(device) = event {
            report(device);
        }
    });
    let playback = Arc::new(Mutex::new(playback.map_err(|error| error.to_string())?));
    let (sink, is_far) = (playback.clone(), is_set("TREEHOUSE_FAR"));
    let loudness = Arc::new(Mutex::new(Loudness::default()));
    let measured = loudness.clone();
    let processing = if is_set("TREEHOUSE_PROCESSING") {
        // Gain would turn up whatever is left of an echo.
        Processing { gain: false, ..Processing::default() }
    } else {
        Processing::NONE
    };
    let talk = if is_set("TREEHOUSE_PUSH") { Talk::Push } else { Talk::Open };
    let muted = is_set("TREEHOUSE_MUTED");
    let options = CaptureOptions { processing, talk, muted, far_end, ..CaptureOptions::default() };
    let capture = Capture::start(say, options, move |event| match event {
        CaptureEvent::Frame(frame) => {
            println!("frame {}", frame.number.0);
            measured.lock().expect("nobody panics").frame(&frame);
            if !is_far {
                push(&sink, frame);
            }
        }
        CaptureEvent::Meter(_) => println!("meter"),
        CaptureEvent::Device(device) => report(device),
        CaptureEvent::Ended | CaptureEvent::Failed(_) | CaptureEvent::Source(_) => {}
    });
    let capture = capture.map_err(|error| error.to_string())?;
    let _far = is_far.then(|| somebody_else(playback.clone()));
    println!("ready");
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        match line.as_str() {
            "mute" => capture.set_muted(true),
            "unmute" => capture.set_muted(false),
            "press" => capture.set_talking(true),
            "release" => capture.set_talking(false),
            "level" => println!("level {}", loudness.lock().expect("nobody panics").dbfs()),
            _ => {}
        }
    }
    Ok(())
}

fn push(playback: &Mutex<Playback>, frame: CapturedFrame) {
    let (number, captured, opus) = (frame.number, frame.captured, frame.opus);
    let frame = VoiceFrame { voice: VoiceId([1; 8]), number, captured, arrived: Instant::now(), opus };
    playback.lock().expect("nobody panics").push(frame);
}

fn somebody_else(playback: Arc<Mutex<Playback>>) -> Capture {
    let options = CaptureOptions { looped: true, ..CaptureOptions::default() };
    let speaks = Capture::start(Say::Sample(Sample::Two), options, move |event| {
        if let CaptureEvent::Frame(frame) = event {
            push(&playback, frame);
        }
    });
    speaks.expect("a sample")
}

/// How loud the last frames are, as whoever receives them hears it.
struct Loudness {
    decoder: VoiceDecoder,
    squares: VecDeque<f32>,
}

impl Default for Loudness {
    fn default() -> Self {
        Loudness { decoder: VoiceDecoder::new().expect("a codec"), squares: VecDeque::new() }
    }
}

impl Loudness {
    fn frame(&mut self, frame: &CapturedFrame) {
        let mut pcm = [0.0; FRAME];
        self.decoder.decode(&frame.opus, &mut pcm);
        self.squares.push_back(pcm.iter().map(|s| s * s).sum::<f32>() / FRAME as f32);
        if self.squares.len() > LOUDNESS_FRAMES {
            self.squares.pop_front();
        }
    }

    fn dbfs(&self) -> f32 {
        10.0 * (self.squares.iter().sum::<f32>() / self.squares.len().max(1) as f32).max(1e-10).log10()
    }
}

/// Four seconds of a sample.
pub fn speech() -> Result<Vec<f32>, Failed> {
    let mut source = FileSource::sample(Sample::One)?;
    let (mut pcm, mut all) = ([0.0; FRAME], Vec::new());
    while all.len() < 4 * 48_000 && source.next_frame(&mut pcm)? {
        all.extend(pcm);
    }
    Ok(all)
}
