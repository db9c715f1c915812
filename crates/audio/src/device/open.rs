//! Finding, configuring and opening a device, and the callbacks.

use std::sync::{Arc, atomic::Ordering};

use cpal::{
    BufferSize, ErrorKind, FromSample, Sample, SampleFormat, SizedSample, StreamConfig, SupportedStreamConfig,
    traits::{DeviceTrait, HostTrait, StreamTrait},
};
use rtrb::{Consumer, Producer, RingBuffer};
use treehouse_wire::units::SAMPLE_RATE_HZ;

use super::{Connected, DeviceError, Direction, Health, RING_SAMPLES};

/// A running stream; dropping it closes the device.
pub(crate) struct Stream(#[expect(dead_code, reason = "held so that the device stays open")] cpal::Stream);

pub(crate) struct Open<R> {
    pub(crate) stream: Stream,
    pub(crate) connected: Connected<R>,
}

/// How fast speakers that run dry fall silent, per sample: to a tenth in 2 ms, without a click.
const DECAY: f32 = 0.976;

/// Opens a microphone; its callback mixes channels down and fills the ring.
pub(crate) fn microphone(name: Option<&str>, callback_ms: u32) -> Result<Open<Consumer<f32>>, DeviceError> {
    let (device, config) = find(Direction::Capture, name)?;
    let (ring_in, ring) = RingBuffer::new(RING_SAMPLES);
    let health = Arc::new(Health::default());
    let stream = match config.sample_format() {
        SampleFormat::F32 => capture::<f32>(&device, &config, callback_ms, ring_in, &health),
        SampleFormat::I16 => capture::<i16>(&device, &config, callback_ms, ring_in, &health),
        SampleFormat::I32 => capture::<i32>(&device, &config, callback_ms, ring_in, &health),
        SampleFormat::U8 => capture::<u8>(&device, &config, callback_ms, ring_in, &health),
        SampleFormat::U16 => capture::<u16>(&device, &config, callback_ms, ring_in, &health),
        other => return Err(failed(Direction::Capture, format!("it only offers the sample format {other}"))),
    };
    connect(Direction::Capture, stream, &device, &config, ring, health)
}

/// Opens speakers; their callback empties the ring, which holds a left and a right sample in turn, into their channels.
pub(crate) fn speakers(name: Option<&str>, callback_ms: u32) -> Result<Open<Producer<f32>>, DeviceError> {
    let (device, config) = find(Direction::Playback, name)?;
    let (ring, ring_out) = RingBuffer::new(RING_SAMPLES);
    let health = Arc::new(Health::default());
    let stream = match config.sample_format() {
        SampleFormat::F32 => playback::<f32>(&device, &config, callback_ms, ring_out, &health),
        SampleFormat::I16 => playback::<i16>(&device, &config, callback_ms, ring_out, &health),
        SampleFormat::I32 => playback::<i32>(&device, &config, callback_ms, ring_out, &health),
        SampleFormat::U8 => playback::<u8>(&device, &config, callback_ms, ring_out, &health),
        SampleFormat::U16 => playback::<u16>(&device, &config, callback_ms, ring_out, &health),
        other => return Err(failed(Direction::Playback, format!("they only offer the sample format {other}"))),
    };
    connect(Direction::Playback, stream, &device, &config, ring, health)
}

fn connect<R>(
    direction: Direction,
    stream: Result<cpal::Stream, cpal::Error>,
    device: &cpal::Device,
    config: &SupportedStreamConfig,
    ring: R,
    health: Arc<Health>,
) -> Result<Open<R>, DeviceError> {
    let stream = stream.map_err(|error| failed(direction, error.to_string()))?;
    // Streams start paused.
    stream.play().map_err(|error| failed(direction, error.to_string()))?;
    let connected = Connected { ring, rate_hz: config.sample_rate(), name: label(device), health };
    Ok(Open { stream: Stream(stream), connected })
}

fn find(direction: Direction, name: Option<&str>) -> Result<(cpal::Device, SupportedStreamConfig), DeviceError> {
    let host = cpal::default_host();
    if !has_any_card(&host) {
        return Err(DeviceError::NoDevice(direction));
    }
    let device = match (name, direction) {
        (Some(name), _) => find_named(&host, direction, name)?,
        (None, Direction::Capture) => host.default_input_device().ok_or(DeviceError::NoDevice(direction))?,
        (None, Direction::Playback) => host.default_output_device().ok_or(DeviceError::NoDevice(direction))?,
    };
    if id(&device) == "null" {
        return Err(DeviceError::NoDevice(direction));
    }
    let config = choose_config(&device, direction).map_err(|error| match error.kind() {
        ErrorKind::DeviceNotAvailable => DeviceError::NoDevice(direction),
        _ => failed(direction, error.to_string()),
    })?;
    Ok((device, config))
}

/// Without a sound server, ALSA on a machine without a card only fills standard error with its search for one.
#[cfg(target_os = "linux")]
fn has_any_card(host: &cpal::Host) -> bool {
    host.id() != cpal::HostId::Alsa || std::fs::read_dir("/proc/asound").is_ok()
}

#[cfg(not(target_os = "linux"))]
fn has_any_card(_: &cpal::Host) -> bool {
    true
}

fn find_named(host: &cpal::Host, direction: Direction, name: &str) -> Result<cpal::Device, DeviceError> {
    let devices = host.devices().map_err(|error| failed(direction, error.to_string()))?;
    let usable = devices.filter(|device| match direction {
        Direction::Capture => device.supports_input(),
        Direction::Playback => device.supports_output(),
    });
    let mut known = Vec::new();
    for device in usable {
        if id(&device) == name || label(&device) == name {
            return Ok(device);
        }
        known.push(id(&device));
    }
    let known = if known.is_empty() { "none".into() } else { known.join(", ") };
    Err(DeviceError::Unknown { direction, name: name.into(), known })
}

fn id(device: &cpal::Device) -> String {
    device.id().map_or_else(|_| String::new(), |id| id.id().to_owned())
}

fn label(device: &cpal::Device) -> String {
    device.description().map_or_else(|_| id(device), |description| description.name().to_owned())
}

/// 48 kHz if the device has it, in the format and channel count that need the least conversion; else its default.
fn choose_config(device: &cpal::Device, direction: Direction) -> Result<SupportedStreamConfig, cpal::Error> {
    let best = match direction {
        Direction::Capture => best_of(1, device.supported_input_configs()?),
        Direction::Playback => best_of(2, device.supported_output_configs()?),
    };
    match (best, direction) {
        (Some(config), _) => Ok(config),
        (None, Direction::Capture) => device.default_input_config(),
        (None, Direction::Playback) => device.default_output_config(),
    }
}

fn best_of(
    channels: u16,
    ranges: impl Iterator<Item = cpal::SupportedStreamConfigRange>,
) -> Option<SupportedStreamConfig> {
    let format_cost = |format| match format {
        SampleFormat::F32 => Some(0),
        SampleFormat::I16 => Some(1),
        SampleFormat::I32 => Some(2),
        SampleFormat::U16 => Some(3),
        SampleFormat::U8 => Some(4),
        _ => None,
    };
    ranges
        .filter(|range| (range.min_sample_rate()..=range.max_sample_rate()).contains(&SAMPLE_RATE_HZ))
        .filter_map(|range| Some(((format_cost(range.sample_format())?, range.channels().abs_diff(channels)), range)))
        .min_by_key(|(cost, _)| *cost)
        .and_then(|(_, range)| range.try_with_sample_rate(SAMPLE_RATE_HZ))
}

/// Always a fixed size: the default, through PulseAudio, queues two seconds.
fn stream_config(config: &SupportedStreamConfig, callback_ms: u32) -> StreamConfig {
    StreamConfig {
        channels: config.channels(),
        sample_rate: config.sample_rate(),
        buffer_size: BufferSize::Fixed(config.sample_rate() * callback_ms / 1000),
    }
}

fn capture<T>(
    device: &cpal::Device,
    config: &SupportedStreamConfig,
    callback_ms: u32,
    mut ring: Producer<f32>,
    health: &Arc<Health>,
) -> Result<cpal::Stream, cpal::Error>
where
    T: SizedSample,
    f32: FromSample<T>,
{
    let channels = usize::from(config.channels().max(1));
    let in_callback = health.clone();
    let callback = move |data: &[T], _: &cpal::InputCallbackInfo| {
        let mut missed = 0;
        for frame in data.chunks_exact(channels) {
            let sum: f32 = frame.iter().map(|sample| f32::from_sample(*sample)).sum();
            missed += u64::from(ring.push(sum / channels as f32).is_err());
        }
        in_callback.missed.fetch_add(missed, Ordering::Relaxed);
        in_callback.samples.fetch_add((data.len() / channels) as u64, Ordering::Relaxed);
    };
    device.build_input_stream(stream_config(config, callback_ms), callback, on_error(health), Some(super::OPEN_MAX / 2))
}

fn playback<T>(
    device: &cpal::Device,
    config: &SupportedStreamConfig,
    callback_ms: u32,
    mut ring: Consumer<f32>,
    health: &Arc<Health>,
) -> Result<cpal::Stream, cpal::Error>
where
    T: SizedSample + FromSample<f32>,
{
    let channels = usize::from(config.channels().max(1));
    let in_callback = health.clone();
    let mut last = [0.0; 2];
    let callback = move |data: &mut [T], _: &cpal::OutputCallbackInfo| {
        let mut missed = 0;
        for frame in data.chunks_exact_mut(channels) {
            last = next_pair(&mut ring).unwrap_or_else(|| {
                missed += 1;
                last.map(|sample| sample * DECAY)
            });
            spread(last, frame);
        }
        in_callback.missed.fetch_add(missed, Ordering::Relaxed);
        in_callback.samples.fetch_add((data.len() / channels) as u64, Ordering::Relaxed);
    };
    device.build_output_stream(
        stream_config(config, callback_ms),
        callback,
        on_error(health),
        Some(super::OPEN_MAX / 2),
    )
}

fn next_pair(ring: &mut Consumer<f32>) -> Option<[f32; 2]> {
    if ring.slots() < 2 {
        return None;
    }
    Some([ring.pop().ok()?, ring.pop().ok()?])
}

/// The first two channels are left and right everywhere; a single one, and any others, get both.
fn spread<T: SizedSample + FromSample<f32>>([left, right]: [f32; 2], frame: &mut [T]) {
    let both = T::from_sample((left + right) / 2.0);
    match frame {
        [first, second, others @ ..] => {
            (*first, *second) = (T::from_sample(left), T::from_sample(right));
            others.fill(both);
        }
        fewer => fewer.fill(both),
    }
}

/// The error callback: only what ends the stream matters, and only a flag is set.
fn on_error(health: &Arc<Health>) -> impl FnMut(cpal::Error) + Send + 'static {
    let health = health.clone();
    move |error| match error.kind() {
        ErrorKind::DeviceChanged | ErrorKind::RealtimeDenied | ErrorKind::Xrun => {}
        _ => health.lost.store(true, Ordering::Relaxed),
    }
}

fn failed(direction: Direction, why: String) -> DeviceError {
    DeviceError::Failed { direction, why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn left_and_right_go_to_the_first_two_channels_and_both_to_a_single_one() {
        let spread_over = |channels: usize| {
            let mut frame = vec![0.0_f32; channels];
            spread([0.5, -0.25], &mut frame);
            frame
        };
        assert_eq!(spread_over(1), [0.125]);
        assert_eq!(spread_over(2), [0.5, -0.25]);
        assert_eq!(spread_over(4), [0.5, -0.25, 0.125, 0.125]);
    }

    #[test]
    fn half_a_pair_stays_in_the_ring() {
        let (mut ring_in, mut ring) = RingBuffer::new(4);
        [1.0, 2.0, 3.0].into_iter().for_each(|sample| ring_in.push(sample).unwrap());
        assert_eq!(next_pair(&mut ring), Some([1.0, 2.0]));
        assert_eq!(next_pair(&mut ring), None);
        ring_in.push(4.0).unwrap();
        assert_eq!(next_pair(&mut ring), Some([3.0, 4.0]));
    }
}
