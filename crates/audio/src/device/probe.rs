//! Trying a device out: a tone from speakers, and whether a microphone hears anything.

use std::{
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant},
};

use rtrb::{Consumer, Producer};
use treehouse_wire::{Level, units::SAMPLE_RATE_HZ};

use super::{Connected, Device, DeviceError, Direction, FarEnd, RING_SAMPLES, Wanted};
use crate::{FRAME, level::level, resample::Resampler, source::ToneSource};

/// How often the tone is topped up.
const TOP_UP: Duration = Duration::from_millis(20);
/// How far ahead of the callbacks the tone is written.
const AHEAD: Duration = Duration::from_millis(100);
/// So long it may take until sound flows: a sound server plays out first what it had, which may be two seconds of silence.
const FLOW_MAX: Duration = Duration::from_secs(4);
/// Sound flows once this much has passed: the first of it only fills buffers.
const FLOWS: Duration = Duration::from_millis(200);

/// A device is tried for a time that begins when sound flows.
struct Trial {
    opened: Instant,
    flows_since: Option<Instant>,
    duration: Duration,
}

impl Trial {
    fn new(duration: Duration) -> Self {
        Trial { opened: Instant::now(), flows_since: None, duration }
    }

    fn goes_on(&mut self, flows: bool) -> bool {
        if flows && self.flows_since.is_none() {
            self.flows_since = Some(Instant::now());
        }
        match self.flows_since {
            Some(since) => since.elapsed() < self.duration,
            None => self.opened.elapsed() < FLOW_MAX,
        }
    }
}

/// Plays the test tone, 440 Hz half a second on and half off, and returns the name of the device that played it.
///
/// # Errors
/// [`DeviceError`] where the device does not open, or takes no sound once it is open.
pub fn play_test_tone(name: Option<String>, duration: Duration) -> Result<String, DeviceError> {
    play(name, duration, true)
}

/// As [`play_test_tone`], but silence.
///
/// # Errors
/// As there.
pub fn check_speakers(name: Option<String>, duration: Duration) -> Result<String, DeviceError> {
    play(name, duration, false)
}

fn play(name: Option<String>, duration: Duration, is_heard: bool) -> Result<String, DeviceError> {
    let failed = |why: String| DeviceError::Failed { direction: Direction::Playback, why };
    let (device, connected) = Device::<Producer<f32>>::start(Wanted::speakers(name, FarEnd::default()))?;
    let Connected { mut ring, rate_hz, name, health, .. } = connected;
    let mut resampler = Resampler::new(SAMPLE_RATE_HZ, rate_hz).map_err(|error| failed(error.to_string()))?;
    let (mut tone, mut converted, mut pcm) = (ToneSource::default(), Vec::new(), [0.0; FRAME]);
    let samples =
        |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX) * u64::from(rate_hz) / 1000;
    let ahead = 2 * usize::try_from(samples(AHEAD)).unwrap_or(0);
    let passed = || health.samples.load(Ordering::Relaxed);
    let mut trial = Trial::new(duration);
    while trial.goes_on(passed() > samples(FLOWS)) {
        while RING_SAMPLES - ring.slots() < ahead {
            if is_heard {
                tone.next_frame(&mut pcm);
            }
            converted.clear();
            resampler.push(&pcm, &mut converted);
            for sample in &converted {
                // The ring takes a left and a right sample in turn.
                let _ = ring.push_partial_slice(&[*sample; 2]);
            }
        }
        thread::sleep(TOP_UP);
    }
    drop(device);
    if trial.flows_since.is_none() {
        return Err(failed(format!("{name} opened but took no sound")));
    }
    Ok(name)
}

/// What a microphone delivered while it was tried out.
#[derive(Clone, Debug, PartialEq)]
pub struct MicrophoneCheck {
    /// Its name.
    pub name: String,
    /// Its rate, in Hz.
    pub rate_hz: u32,
    /// How loud it was throughout.
    pub level: Level,
    /// The largest sample; 0.0 means that it is switched off or muted by the system, 1.0 that it is turned up too far.
    pub peak: f32,
}

/// Listens to a microphone; ten times a second `meter` is told how loud it is, and its largest sample since the last time.
///
/// # Errors
/// [`DeviceError`] where the device does not open, or delivers nothing once it is open.
pub fn check_microphone(
    name: Option<String>,
    duration: Duration,
    mut meter: impl FnMut(Level, f32),
) -> Result<MicrophoneCheck, DeviceError> {
    let (device, connected) = Device::<Consumer<f32>>::start(Wanted::microphone(name, 1))?;
    let Connected { mut ring, rate_hz, name, .. } = connected;
    let (mut trial, mut heard, mut told) = (Trial::new(duration), Vec::new(), 0);
    while trial.goes_on(!heard.is_empty()) {
        thread::sleep(TOP_UP);
        if let Ok(chunk) = ring.read_chunk(ring.slots()) {
            heard.extend(chunk);
        }
        if let Some(new) = heard.get(told..).filter(|new| new.len() >= rate_hz as usize / 10) {
            meter(level(new), peak_of(new));
            told = heard.len();
        }
    }
    drop(device);
    if heard.is_empty() {
        let why = format!("{name} opened but delivered no sound");
        return Err(DeviceError::Failed { direction: Direction::Capture, why });
    }
    Ok(MicrophoneCheck { name, rate_hz, level: level(&heard), peak: peak_of(&heard) })
}

fn peak_of(samples: &[f32]) -> f32 {
    samples.iter().fold(0.0_f32, |peak, sample| peak.max(sample.abs()))
}
