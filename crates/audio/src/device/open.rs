//! Configuring and opening a device.

use std::sync::{Arc, atomic::Ordering};

use cpal::{
    BufferSize, ErrorKind, FromSample, SampleFormat, SizedSample, StreamConfig, SupportedStreamConfig,
    traits::{DeviceTrait, StreamTrait},
};
use rtrb::{Consumer, Producer, RingBuffer};
use treehouse_wire::units::SAMPLE_RATE_HZ;

use super::{
    Connected, DeviceError, Direction, RING_SAMPLES, Wanted,
    callback::{Health, MicrophoneCallback, SpeakersCallback},
    far_end::FAR_END_SAMPLES,
    find::{System, id, label},
};

/// A running stream; dropping it closes the device.
pub(crate) struct Stream(#[expect(dead_code, reason = "held so that the device stays open")] cpal::Stream);

pub(crate) struct Open<R> {
    pub(crate) stream: Stream,
    pub(crate) connected: Connected<R>,
}

/// Opens a microphone; its callback fills the ring.
pub(crate) fn microphone(wanted: &Wanted, callback_ms: u32) -> Result<Open<Consumer<f32>>, DeviceError> {
    let (device, config) = find(Direction::Capture, wanted)?;
    let (ring_in, ring) = RingBuffer::new(RING_SAMPLES);
    let health = Arc::new(Health::default());
    let callback = MicrophoneCallback {
        device_channels: usize::from(config.channels()),
        channels: usize::from(wanted.channels),
        ring: ring_in,
        health: health.clone(),
    };
    let stream = match config.sample_format() {
        SampleFormat::F32 => capture::<f32>(&device, &config, callback_ms, callback),
        SampleFormat::I16 => capture::<i16>(&device, &config, callback_ms, callback),
        SampleFormat::I32 => capture::<i32>(&device, &config, callback_ms, callback),
        SampleFormat::U8 => capture::<u8>(&device, &config, callback_ms, callback),
        SampleFormat::U16 => capture::<u16>(&device, &config, callback_ms, callback),
        other => return Err(failed(Direction::Capture, format!("it only offers the sample format {other}"))),
    };
    connect(Direction::Capture, stream, &device, &config, ring, health)
}

/// Opens speakers; their callback empties the ring, which holds a left and a right sample in turn, into their channels, and
/// tells the echo canceller.
pub(crate) fn speakers(wanted: &Wanted, callback_ms: u32) -> Result<Open<Producer<f32>>, DeviceError> {
    let (device, config) = find(Direction::Playback, wanted)?;
    let (ring, ring_out) = RingBuffer::new(RING_SAMPLES);
    let (far_end, played) = RingBuffer::new(FAR_END_SAMPLES);
    let health = Arc::new(Health::default());
    let device_channels = usize::from(config.channels());
    let callback =
        SpeakersCallback { device_channels, ring: ring_out, far_end, last: [0.0; 2], health: health.clone() };
    let stream = match config.sample_format() {
        SampleFormat::F32 => playback::<f32>(&device, &config, callback_ms, callback),
        SampleFormat::I16 => playback::<i16>(&device, &config, callback_ms, callback),
        SampleFormat::I32 => playback::<i32>(&device, &config, callback_ms, callback),
        SampleFormat::U8 => playback::<u8>(&device, &config, callback_ms, callback),
        SampleFormat::U16 => playback::<u16>(&device, &config, callback_ms, callback),
        other => return Err(failed(Direction::Playback, format!("they only offer the sample format {other}"))),
    };
    let open = connect(Direction::Playback, stream, &device, &config, ring, health)?;
    wanted.far_end.connect(played, config.sample_rate());
    Ok(open)
}

fn connect<R>(
    direction: Direction,
    stream: Result<cpal::Stream, cpal::Error>,
    device: &cpal::Device,
    config: &SupportedStreamConfig,
    ring: R,
    health: Arc<Health>,
) -> Result<Open<R>, DeviceError> {
    let refused = |error: cpal::Error| DeviceError::from_system(direction, &error);
    let stream = stream.map_err(refused)?;
    // Streams start paused.
    stream.play().map_err(refused)?;
    let connected = Connected { ring, rate_hz: config.sample_rate(), name: label(device), id: id(device), health };
    Ok(Open { stream: Stream(stream), connected })
}

fn find(direction: Direction, wanted: &Wanted) -> Result<(cpal::Device, SupportedStreamConfig), DeviceError> {
    let device = System::new().find(direction, wanted.name.as_deref())?;
    let config = choose_config(&device, direction, wanted.channels)
        .map_err(|error| DeviceError::from_system(direction, &error))?;
    Ok((device, config))
}

/// 48 kHz if the device has it, in the format and channel count that need the least conversion; else its default.
fn choose_config(
    device: &cpal::Device,
    direction: Direction,
    channels: u16,
) -> Result<SupportedStreamConfig, cpal::Error> {
    let best = match direction {
        Direction::Capture => best_of(channels, device.supported_input_configs()?),
        Direction::Playback => best_of(channels, device.supported_output_configs()?),
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
        .filter_map(|range| {
            let too_few = range.channels() < channels;
            let too_many = range.channels().saturating_sub(channels);
            Some(((too_few, format_cost(range.sample_format())?, too_many), range))
        })
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
    mut callback: MicrophoneCallback,
) -> Result<cpal::Stream, cpal::Error>
where
    T: SizedSample,
    f32: FromSample<T>,
{
    let on_error = on_error(&callback.health);
    let on_data = move |data: &[T], _: &cpal::InputCallbackInfo| callback.run(data);
    device.build_input_stream(stream_config(config, callback_ms), on_data, on_error, Some(super::OPEN_MAX / 2))
}

fn playback<T>(
    device: &cpal::Device,
    config: &SupportedStreamConfig,
    callback_ms: u32,
    mut callback: SpeakersCallback,
) -> Result<cpal::Stream, cpal::Error>
where
    T: SizedSample + FromSample<f32>,
{
    let on_error = on_error(&callback.health);
    let on_data = move |data: &mut [T], _: &cpal::OutputCallbackInfo| callback.run(data);
    device.build_output_stream(stream_config(config, callback_ms), on_data, on_error, Some(super::OPEN_MAX / 2))
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
