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
    let end = Instant::now() + duration;
    while Instant::now() < end {
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
    // Half of it is enough to say that the device takes sound: opening takes some of the time.
    if health.samples.load(Ordering::Relaxed) < samples(duration) / 2 {
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

/// Listens to a microphone.
///
/// # Errors
/// [`DeviceError`] where the device does not open, or delivers nothing once it is open.
pub fn check_microphone(name: Option<String>, duration: Duration) -> Result<MicrophoneCheck, DeviceError> {
    let (device, connected) = Device::<Consumer<f32>>::start(Wanted::microphone(name, 1))?;
    let Connected { mut ring, rate_hz, name, .. } = connected;
    let (end, mut heard) = (Instant::now() + duration, Vec::new());
    while Instant::now() < end {
        thread::sleep(TOP_UP);
        if let Ok(chunk) = ring.read_chunk(ring.slots()) {
            heard.extend(chunk);
        }
    }
    drop(device);
    if heard.is_empty() {
        let why = format!("{name} opened but delivered no sound");
        return Err(DeviceError::Failed { direction: Direction::Capture, why });
    }
    let peak = heard.iter().fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
    Ok(MicrophoneCheck { name, rate_hz, level: level(&heard), peak })
}
