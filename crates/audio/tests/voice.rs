//! One voice in virtual time, from encoded speech to sound: drift, starvation, and jitter as it was recorded.

use std::{fmt::Write as _, time::Duration};

use bytes::Bytes;
use treehouse_audio::{
    FRAME, JitterConfig, Outcome, Sample,
    encode::VoiceEncoder,
    engine::{Voice, VoiceReport},
    mix::Block,
    source::FileSource,
};
use treehouse_wire::FrameNumber;

const TICK_US: f64 = 20_000.0;

fn speech() -> Vec<Bytes> {
    let mut source = FileSource::sample(Sample::One).unwrap();
    let mut encoder = VoiceEncoder::new().unwrap();
    let (mut packets, mut pcm) = (Vec::new(), [0.0; FRAME]);
    while source.next_frame(&mut pcm).unwrap() {
        packets.push(encoder.encode(&pcm).unwrap().1.unwrap());
    }
    packets
}

fn us(us: f64) -> Duration {
    Duration::from_secs_f64(us / 1e6)
}

/// Numbers in a scrambled but repeatable order.
fn noise(n: u32) -> u32 {
    n.wrapping_mul(2_654_435_761).rotate_left(13).wrapping_mul(2_246_822_519) >> 8
}

/// A listener, tick by tick, and a speaker whose clock need not agree.
struct Listener {
    voice: Voice,
    packets: Vec<Bytes>,
    /// Length of a speaker's frame on the listener's clock, in microseconds.
    frame_us: f64,
    /// When each number arrives, in order of arrival, and when it would at the soonest.
    arrivals: std::iter::Peekable<std::vec::IntoIter<(f64, u32)>>,
    least_us: f64,
    last: Option<u32>,
    lost: u32,
    starts: u32,
}

impl Listener {
    /// Frame n arrives `delay_us(n)` after it was complete, never sooner than `least_us`.
    fn new(config: JitterConfig, ppm: f64, frames: u32, least_us: f64, delay_us: impl Fn(u32) -> f64) -> Self {
        let frame_us = TICK_US * (1.0 + ppm / 1e6);
        let mut arrivals: Vec<(f64, u32)> =
            (0..frames).map(|n| (f64::from(n + 1) * frame_us + delay_us(n), n)).collect();
        arrivals.sort_by(|a, b| a.0.total_cmp(&b.0));
        let voice = Voice::new(config).unwrap();
        let arrivals = arrivals.into_iter().peekable();
        Listener { voice, packets: speech(), frame_us, arrivals, least_us, last: None, lost: 0, starts: 0 }
    }

    fn take(&mut self, until_us: f64, seen_us: impl Fn(f64) -> f64) {
        while let Some((at_us, n)) = self.arrivals.next_if(|(at_us, _)| *at_us <= until_us) {
            let packet = self.packets[n as usize % self.packets.len()].clone();
            self.voice.insert(us(seen_us(at_us)), FrameNumber(n), packet);
        }
    }

    /// Plays 20 ms; returns how long after the soonest arrival the last frame is played and how long it should be, in milliseconds.
    fn tick(&mut self, now_us: f64) -> Option<(f64, f64)> {
        let mut pcm = Block::default();
        let Listener { voice, last, lost, starts, .. } = self;
        voice.tick(us(now_us), &mut pcm, &mut |report| match report {
            VoiceReport::Played { number, outcome } => {
                *last = Some(number.0);
                *lost += u32::from(outcome != Outcome::Decoded);
            }
            VoiceReport::Started { .. } => *starts += 1,
            VoiceReport::Stopped => {}
        });
        let played_us = now_us + voice.decoded_ahead().as_secs_f64() * 1e6;
        let soonest_us = f64::from((*last)? + 1) * self.frame_us + self.least_us;
        Some(((played_us - soonest_us) / 1000.0, voice.aim(us(now_us)).as_secs_f64() * 1000.0))
    }
}

fn ten_minutes_at(ppm: f64) {
    let frames = 30_000;
    let mut listener =
        Listener::new(JitterConfig::default(), ppm, frames, 15_000.0, |n| 15_000.0 + f64::from(noise(n) % 5_000));
    let (mut worst_ms, mut ticks) = (0.0_f64, 0);
    for tick in 0..frames - 50 {
        let now_us = f64::from(tick) * TICK_US + 3_000.0;
        listener.take(now_us, |at| at);
        if let Some((delay_ms, aim_ms)) = listener.tick(now_us) {
            worst_ms = worst_ms.max((delay_ms - aim_ms).abs());
            ticks += 1;
        }
    }
    let counts = listener.voice.counts();
    println!(
        "{ppm:+} ppm, ten minutes: at most {worst_ms:.1} ms from the aim, {counts:?}, at the end {:+.0} ppm",
        listener.voice.drift_ppm()
    );
    assert!(ticks > 29_900, "{ticks}");
    assert_eq!((counts.held, counts.late, listener.lost, listener.starts), (0, 0, 0, 1));
    assert!(worst_ms <= 10.0, "{worst_ms}");
    assert!((listener.voice.drift_ppm() - ppm).abs() < 100.0, "{}", listener.voice.drift_ppm());
}

#[test]
fn a_speaker_whose_clock_is_300_ppm_slow_is_heard_for_ten_minutes_without_a_cut() {
    ten_minutes_at(300.0);
}

#[test]
fn a_speaker_whose_clock_is_300_ppm_fast_is_heard_for_ten_minutes_without_a_cut() {
    ten_minutes_at(-300.0);
}

/// Two seconds without a tick; frames are seen as they come, or all when the machine goes on.
fn starved(seen_late: bool) {
    let mut listener = Listener::new(JitterConfig::default(), 0.0, 1_000, 15_000.0, |_| 15_000.0);
    let (from_us, until_us) = (5_000_000.0, 7_000_000.0);
    let mut normal_from_us = None;
    for tick in 0..900 {
        let now_us = f64::from(tick) * TICK_US + 3_000.0;
        if (from_us..until_us).contains(&now_us) {
            continue;
        }
        let seen = |at: f64| if seen_late && (from_us..until_us).contains(&at) { until_us + 3_000.0 } else { at };
        listener.take(now_us, seen);
        let Some((delay_ms, _)) = listener.tick(now_us) else { continue };
        let normal = (35.0..75.0).contains(&delay_ms);
        if now_us > until_us {
            normal_from_us = normal_from_us.filter(|_| normal).or(normal.then_some(now_us));
        } else if now_us > 1_000_000.0 {
            assert!(normal, "before: {delay_ms}");
        }
    }
    let after_s = (normal_from_us.expect("the delay is normal again") - until_us) / 1e6;
    println!("2 s without a tick, frames seen late: {seen_late}; normal for good after {after_s:.2} s");
    assert!(after_s <= 3.0, "{after_s}");
}

#[test]
fn after_two_seconds_without_a_tick_the_delay_is_normal_within_three() {
    starved(false);
    starved(true);
}

/// Delays in microseconds beyond the least, frame by frame; `fixtures/README.md` says how they were recorded.
fn recorded() -> Vec<f64> {
    let text = include_str!("fixtures/loopback-jitter.txt");
    text.split_whitespace().map(|us| us.parse().unwrap()).collect()
}

#[test]
fn jitter_recorded_on_a_busy_machine_costs_few_frames_and_little_delay() {
    let delays = recorded();
    let frames = delays.len() as u32;
    let mut listener = Listener::new(JitterConfig::default(), 0.0, frames, 0.0, |n| delays[n as usize]);
    let mut heard_ms = Vec::new();
    for tick in 0..frames - 10 {
        let now_us = f64::from(tick) * TICK_US + 3_000.0;
        listener.take(now_us, |at| at);
        heard_ms.extend(listener.tick(now_us).map(|(delay_ms, _)| delay_ms));
    }
    heard_ms.sort_by(f64::total_cmp);
    let median_ms = heard_ms[heard_ms.len() / 2];
    let mut report = String::new();
    write!(report, "{frames} frames, {:?}, median delay {median_ms:.0} ms", listener.voice.counts()).unwrap();
    println!("{report}");
    assert!(f64::from(listener.lost) < 0.01 * f64::from(frames), "{report}");
    assert!((40.0..90.0).contains(&median_ms), "{report}");
}
