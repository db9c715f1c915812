//! What a listener with six voices costs: jitter buffers, decoders, loudness, places, limiter.
//!
//! `cargo bench -p treehouse-audio --profile dev --bench listener`
//!
//! Six voices speak without a pause, from the samples that come with the program, and their frames arrive 0 to 30 ms late. It prints the CPU
//! time of the mixing desk as a share of the time that the sound lasts, which is a share of one core; then the same for a playback
//! in real time, with its thread, its queue and its clock. Shares of one run are to be compared, not those of two machines.

use std::{
    hint::black_box,
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rustix::time::{ClockId, clock_gettime};
use treehouse_audio::{
    FRAME, Hear, JitterConfig, MixOptions, Playback, PlaybackOptions, Sample, VoiceFrame, encode::VoiceEncoder,
    engine::Desk, mix::Block, source::FileSource,
};
use treehouse_wire::{CaptureTime, FrameNumber, VoiceId};

const TICK: Duration = Duration::from_millis(20);
/// Sound that the desk is measured on, and a playback in real time.
const DESK_FRAMES: u32 = 3_000;
const PLAYBACK_FRAMES: u32 = 500;
const VOICES: [usize; 3] = [1, 3, 6];
const LATE_MS_MAX: u64 = 30;
const CORE_PERCENT_MAX: f64 = 5.0;

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Frames of speech without pauses, over and over.
fn speech(sample: Sample) -> Vec<Bytes> {
    let mut source = FileSource::sample(sample).expect("a sample of the program's own");
    let mut encoder = VoiceEncoder::new().expect("a codec that works");
    let (mut pcm, mut frames) = ([0.0; FRAME], Vec::new());
    while source.next_frame(&mut pcm).expect("a sample of the program's own") {
        if !treehouse_audio::level::is_silence(&pcm) {
            frames.extend(encoder.encode(&pcm).expect("a codec that works").1);
        }
    }
    frames
}

/// How late the frame of a voice is; the same in every run.
fn late(voice: usize, number: u32) -> Duration {
    let mixed = (voice as u64 + 1)
        .wrapping_mul(0x9e37_79b9)
        .wrapping_add(u64::from(number))
        .wrapping_mul(0xd1b5_4a32_d192_ed03);
    Duration::from_millis((mixed >> 40) % LATE_MS_MAX)
}

fn desk_percent(frames: &[Vec<Bytes>], voices: usize, mix: MixOptions) -> f64 {
    let mut desk = Desk::new(JitterConfig::default(), mix);
    let mut block = Block::default();
    let began = cpu_time();
    for number in 0..DESK_FRAMES {
        let now = TICK * number;
        for voice in 0..voices {
            let said = &frames[voice % frames.len()];
            let opus = said[(number as usize + 97 * voice) % said.len()].clone();
            let id = VoiceId([voice as u8; 8]);
            desk.insert(now + late(voice, number), id, FrameNumber(number), opus).expect("a codec that works");
        }
        desk.tick(now, &mut block);
        black_box(&block);
    }
    let counts = desk.counts();
    assert!(counts.decoded > u64::from(DESK_FRAMES) * voices as u64 * 9 / 10, "{counts:?}");
    100.0 * (cpu_time() - began).as_secs_f64() / (TICK * DESK_FRAMES).as_secs_f64()
}

fn playback_percent(frames: &[Vec<Bytes>], voices: usize) -> f64 {
    let options =
        PlaybackOptions { mix: MixOptions { even_loudness: true, spatial: true }, ..PlaybackOptions::default() };
    let playback = Playback::start(Hear::None, options, |_| {}).expect("a playback to nowhere");
    let (began, cpu_began) = (Instant::now(), cpu_time());
    for number in 0..PLAYBACK_FRAMES {
        thread::sleep((began + TICK * number).saturating_duration_since(Instant::now()));
        for voice in 0..voices {
            let said = &frames[voice % frames.len()];
            let opus = said[(number as usize + 97 * voice) % said.len()].clone();
            let (captured, arrived) = (CaptureTime(u64::from(number) * FRAME as u64), Instant::now());
            playback.push(VoiceFrame {
                voice: VoiceId([voice as u8; 8]),
                number: FrameNumber(number),
                captured,
                arrived,
                opus,
            });
        }
    }
    let percent = 100.0 * (cpu_time() - cpu_began).as_secs_f64() / began.elapsed().as_secs_f64();
    playback.stop();
    percent
}

fn main() {
    let frames: Vec<Vec<Bytes>> = Sample::ALL.map(speech).to_vec();
    println!("| voices | mixed as they come | loudness evened | loudness and places | a playback in real time |");
    println!("|---|---|---|---|---|");
    let mut last = 0.0;
    for voices in VOICES {
        let mixes = [(false, false), (true, false), (true, true)];
        let [bare, even, spatial] =
            mixes.map(|(even_loudness, spatial)| desk_percent(&frames, voices, MixOptions { even_loudness, spatial }));
        last = playback_percent(&frames, voices);
        println!("| {voices} | {bare:.2} % | {even:.2} % | {spatial:.2} % | {last:.2} % |");
    }
    let verdict = if last <= CORE_PERCENT_MAX { "within" } else { "ABOVE" };
    println!("\nsix voices in real time: {last:.2} % of a core, {verdict} the {CORE_PERCENT_MAX} % that they may take");
}
