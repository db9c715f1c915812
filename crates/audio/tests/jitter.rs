//! The jitter buffer in virtual time: a speaker, a network that delays, loses, doubles and reorders, and a listener that
//! pulls 20 ms at a time. Nothing here takes real time.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use proptest::prelude::*;
use treehouse_audio::{
    Outcome,
    encode::LossReport,
    jitter::{FRAMES_HELD_MAX, Inserted, JitterBuffer, JitterConfig, JitterCounts, Listener, Step},
};
use treehouse_wire::FrameNumber;

const TICK_MS: u64 = 20;

/// A network in which frame n, spoken at n x 20 ms, arrives at the given times (several: copies).
#[derive(Default)]
struct Network {
    arrivals: Vec<(u64, u32)>,
}

impl Network {
    fn deliver(mut self, number: u32, at_ms: u64) -> Self {
        self.arrivals.push((at_ms, number));
        self
    }

    /// Frames `numbers`, each `delay_ms(n)` after it was complete; none is lost.
    fn delayed(numbers: std::ops::Range<u32>, delay_ms: impl Fn(u32) -> u64) -> Self {
        Self::lossy(numbers, |n| Some(delay_ms(n)))
    }

    /// The same with frames that never come.
    fn lossy(numbers: std::ops::Range<u32>, delay_ms: impl Fn(u32) -> Option<u64>) -> Self {
        let arrive = |n: u32| delay_ms(n).map(|delay| ((u64::from(n) + 1) * TICK_MS + delay, n));
        Network { arrivals: numbers.filter_map(arrive).collect() }
    }

    fn and(mut self, other: Network) -> Self {
        self.arrivals.extend(other.arrivals);
        self
    }

    /// Runs a listener whose ticks fall 7 ms after the speaker's until `until_ms`.
    fn listen(mut self, config: JitterConfig, until_ms: u64) -> Heard {
        let mut buffer = JitterBuffer::new(config);
        self.arrivals.sort_by_key(|&(at_ms, _)| at_ms);
        let mut arrivals = self.arrivals.into_iter().peekable();
        let mut heard = Heard::default();
        for due_ms in (7..until_ms).step_by(TICK_MS as usize) {
            while let Some((at_ms, number)) = arrivals.next_if(|&(at_ms, _)| at_ms <= due_ms) {
                buffer.insert(ms(at_ms), FrameNumber(number), frame(number));
            }
            heard.tick(&mut buffer, due_ms);
        }
        heard.counts = buffer.counts();
        heard
    }
}

#[derive(Default)]
struct Heard {
    /// Outcome of each number and when it was played.
    outcomes: BTreeMap<u32, (Outcome, u64)>,
    held: u32,
    started: u32,
    stopped_ms: Vec<u64>,
    skipped: u32,
    /// Times that a frame was missing, its successor too, and a later one there.
    later: u32,
    counts: JitterCounts,
}

impl Heard {
    fn tick(&mut self, buffer: &mut JitterBuffer, due_ms: u64) {
        // What the stretcher does in silence: when more than a tick too late, two frames in the time of one.
        let pulls = if buffer.slack_us(ms(due_ms)) > 30_000 && buffer.is_next_here() { 2 } else { 1 };
        for _ in 0..pulls {
            while !self.step(buffer.pull(ms(due_ms)), due_ms) {}
        }
    }

    /// Notes a step; false if it filled no time and another must follow.
    fn step(&mut self, step: Step, due_ms: u64) -> bool {
        match step {
            Step::Silent => {}
            Step::Stop => self.stopped_ms.push(due_ms),
            Step::Hold => self.held += 1,
            Step::Start { skipped, .. } => {
                self.started += 1;
                self.skipped += skipped;
                return false;
            }
            Step::Decode { number, frame: bytes } => {
                assert_eq!(bytes, frame(number.0), "each number comes with its own bytes");
                self.play(number, Outcome::Decoded, due_ms);
            }
            Step::Fec { number, next } => {
                assert_eq!(next, frame(number.0 + 1), "a frame is rebuilt from its successor");
                self.play(number, Outcome::Fec, due_ms);
            }
            Step::Conceal { number, later } => {
                if let Some(later) = later {
                    assert_eq!(
                        later.frame,
                        frame(number.0 + later.ahead),
                        "it may be rebuilt from the next that has come"
                    );
                    assert!(later.ahead >= 2);
                    self.later += 1;
                }
                self.play(number, Outcome::Concealed, due_ms);
            }
            Step::Cover { number } => {
                self.play(number, Outcome::Concealed, due_ms);
                return false;
            }
        }
        true
    }

    /// Whatever happens, numbers only grow, so none is played twice.
    fn play(&mut self, number: FrameNumber, outcome: Outcome, due_ms: u64) {
        let last = self.outcomes.last_key_value().map(|(&last, _)| last);
        assert!(last.is_none_or(|last| number.0 > last), "{number:?} after {last:?}");
        self.outcomes.insert(number.0, (outcome, due_ms));
    }

    fn count(&self, outcome: Outcome) -> usize {
        self.outcomes.values().filter(|(o, _)| *o == outcome).count()
    }

    /// How long after the end of its capture each frame was played.
    fn delays_ms(&self) -> Vec<u64> {
        self.outcomes.iter().map(|(&n, &(_, at_ms))| at_ms.saturating_sub((u64::from(n) + 1) * TICK_MS)).collect()
    }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A packet in which somebody speaks, without a copy of the one before (RFC 6716, sections 3.1 and 4.2.3).
fn frame(number: u32) -> Bytes {
    Bytes::from([&[0, 0x80], &number.to_be_bytes()[..]].concat())
}

/// One in which nobody speaks.
fn pause(number: u32) -> Bytes {
    Bytes::from([&[0, 0], &number.to_be_bytes()[..]].concat())
}

fn floor_ms(floor_ms: u64) -> JitterConfig {
    JitterConfig { floor_ms, ..JitterConfig::default() }
}

fn percentile(mut values: Vec<u64>, percent: usize) -> u64 {
    values.sort_unstable();
    values.get((values.len() * percent / 100).min(values.len() - 1)).copied().unwrap()
}

/// Numbers in a scrambled but repeatable order.
fn noise(n: u32) -> u64 {
    u64::from(n.wrapping_mul(2_654_435_761).rotate_left(13).wrapping_mul(2_246_822_519) >> 8)
}

#[test]
fn on_a_steady_network_every_frame_is_decoded_at_the_target_delay() {
    let heard = Network::delayed(0..1_000, |_| 15).listen(floor_ms(40), 20_800);
    assert_eq!(heard.count(Outcome::Decoded), 1_000);
    assert_eq!((heard.started, heard.counts.late, heard.stopped_ms.len()), (1, 0, 1));
    assert!(heard.held <= 18, "it holds only when the talk is over: {}", heard.held);
    let delays = heard.delays_ms();
    assert!(delays.iter().all(|&delay| (15 + 40..15 + 60).contains(&delay)), "{:?}", &delays[..5]);
}

#[test]
fn a_floor_of_20_ms_is_kept_too_when_the_network_is_steady() {
    let heard = Network::delayed(0..500, |_| 3).listen(floor_ms(0), 10_200);
    assert_eq!(heard.count(Outcome::Decoded), 500);
    assert!(heard.delays_ms().iter().all(|&delay| (23..43).contains(&delay)));
}

#[test]
fn random_jitter_below_the_floor_loses_nothing() {
    let heard = Network::delayed(0..5_000, |n| 5 + noise(n) % 35).listen(floor_ms(40), 100_100);
    assert_eq!(heard.count(Outcome::Decoded), 5_000);
    assert!(percentile(heard.delays_ms(), 95) <= 75);
}

#[test]
fn the_delay_grows_to_cover_jitter_above_the_floor_and_no_further() {
    // One frame in five comes 100 ms late; the others have all come by then.
    let heard =
        Network::delayed(0..5_000, |n| if noise(n).is_multiple_of(5) { 105 } else { 5 }).listen(floor_ms(20), 100_300);
    let lost = heard.outcomes.values().filter(|(o, _)| *o != Outcome::Decoded).count();
    assert!(lost < 10, "{lost} lost before the target had grown");
    let delays = heard.delays_ms();
    assert!(percentile(delays.clone(), 5) >= 105 && percentile(delays, 99) <= 160);
}

#[test]
fn the_delay_comes_back_when_the_network_calms_down() {
    let heard =
        Network::delayed(0..3_000, |n| if n < 500 { 5 + noise(n) % 150 } else { 5 }).listen(floor_ms(40), 60_100);
    let late: Vec<u64> = heard.delays_ms().into_iter().skip(1_500).collect();
    assert!(late.iter().all(|&delay| delay < 80), "{:?}", late.iter().max());
    assert!(heard.outcomes.range(1_500..).all(|(_, (outcome, _))| *outcome == Outcome::Decoded));
}

#[test]
fn a_lost_frame_is_rebuilt_from_its_successor_and_two_lost_ones_are_not_both() {
    let lost = |n: u32| matches!(n, 100 | 200 | 201);
    let heard = Network::lossy(0..300, |n| (!lost(n)).then_some(5)).listen(floor_ms(40), 6_200);
    let outcome = |n: u32| heard.outcomes.get(&n).unwrap().0;
    assert_eq!((outcome(100), outcome(200), outcome(201)), (Outcome::Fec, Outcome::Concealed, Outcome::Fec));
    assert_eq!(heard.later, 1);
    assert_eq!(heard.count(Outcome::Decoded), 297);
}

/// What a listener counts of frames of which some are lost, some said nothing.
fn counted(lost: impl Fn(u32) -> bool, said_nothing: impl Fn(u32) -> bool) -> JitterCounts {
    let packet = |n: u32| Bytes::copy_from_slice(&[0x78, if said_nothing(n) { 0 } else { 0x80 }, 0, 0]);
    let mut buffer = JitterBuffer::new(floor_ms(40));
    for tick in 0..610u32 {
        if tick < 600 && !lost(tick) {
            buffer.insert(ms(u64::from(tick) * 20), FrameNumber(tick), packet(tick));
        }
        for _ in 0..=FRAMES_HELD_MAX {
            if !matches!(buffer.pull(ms(u64::from(tick) * 20 + 7)), Step::Cover { .. } | Step::Start { .. }) {
                break;
            }
        }
    }
    buffer.counts()
}

#[test]
fn what_was_lost_is_counted_with_its_bursts_and_a_pause_is_no_loss() {
    // Two alone, one burst of three, a pause of four seconds, one of 220 ms, and a burst of ten.
    let lost = |n: u32| matches!(n, 100 | 120 | 150..=152 | 200..=399 | 450..=460 | 500..=509);
    let counts = counted(lost, |_| false);
    assert_eq!((counts.lost, counts.bursts), (2 + 3 + 10, 2 + 1 + 1));
    let report = LossReport::between(&JitterCounts::default(), &counts);
    assert!((report.burst_frames - 3.75).abs() < 0.01 && (report.loss - 15.0 / 394.0).abs() < 0.002, "{report:?}");
    assert_eq!(LossReport::between(&counts, &counts), LossReport { loss: 0.0, burst_frames: 0.0 });
    let paused = counted(lost, |n| (90..100).contains(&n));
    assert_eq!((paused.lost, paused.bursts), (1 + 3 + 10, 1 + 1 + 1), "after a pause a missing frame was never sent");
}

#[test]
fn on_stage_a_bad_network_does_not_take_the_target_beyond_60_ms() {
    let heard = Network::delayed(0..3_000, |n| 5 + noise(n) % 150).listen(JitterConfig::of(Listener::Stage), 60_100);
    let delays = heard.delays_ms();
    assert!(percentile(delays.clone(), 50) <= 5 + 60 + 30, "{}", percentile(delays, 50));
}

#[test]
fn a_stall_that_ends_with_a_second_of_frames_at_once_does_not_look_like_jitter() {
    let stalled = |n: u32| if (400..450).contains(&n) { 5 + u64::from(450 - n) * 20 } else { 5 };
    let mut buffer = JitterBuffer::new(floor_ms(40));
    for n in 0..460 {
        buffer.insert(ms((u64::from(n) + 1) * 20 + stalled(n)), FrameNumber(n), frame(n));
    }
    assert_eq!(buffer.target(ms(9_300)), ms(40));
}

#[test]
fn a_missing_frame_that_a_later_packet_rebuilds_is_waited_for() {
    // A packet of the hybrid mode that carries a copy of the frame before it.
    let with_copy = Bytes::from_static(&[0x78, 0x40, 0, 0]);
    let target = |packet: &Bytes| {
        let mut buffer = JitterBuffer::new(floor_ms(20));
        for n in (0..1_000u32).filter(|n| n % 10 != 3) {
            buffer.insert(ms((u64::from(n) + 1) * 20), FrameNumber(n), packet.clone());
        }
        buffer.target(ms(20_000))
    };
    assert_eq!(target(&Bytes::from_static(&[0x78, 0, 0, 0])), ms(20), "nothing to wait for");
    assert_eq!(target(&with_copy), ms(25));
}

#[test]
fn ten_percent_of_loss_costs_no_more_than_what_was_lost() {
    let kept = |n: u32| noise(n) % 10 != 3;
    let all = 4_000;
    let heard = Network::lossy(0..all, |n| kept(n).then(|| 5 + noise(n) % 25)).listen(floor_ms(40), 80_200);
    let first = *heard.outcomes.first_key_value().unwrap().0;
    for n in first..*heard.outcomes.last_key_value().unwrap().0 {
        assert_eq!(heard.outcomes[&n].0 == Outcome::Decoded, kept(n), "frame {n}");
    }
    assert!(heard.count(Outcome::Fec) > 300);
}

#[test]
fn loss_and_jitter_together_do_not_lengthen_the_delay() {
    let heard =
        Network::lossy(0..4_000, |n| (noise(n) % 10 != 3).then(|| 5 + noise(n + 9) % 30)).listen(floor_ms(40), 80_200);
    let delays = heard.delays_ms();
    assert!(percentile(delays.clone(), 95) <= 85, "{}", percentile(delays, 95));
    assert!(heard.held < 150, "{}", heard.held);
}

#[test]
fn a_speaker_whose_clock_is_three_times_too_slow_is_heard_without_stopping_at_each_frame() {
    let heard = Network::delayed(0..300, |n| 5 + u64::from(n) * 40).listen(floor_ms(40), 18_600);
    assert!(heard.started <= 2, "{}", heard.started);
    assert_eq!(heard.count(Outcome::Decoded), 300);
}

#[test]
fn an_outage_of_300_ms_that_ends_in_a_burst_loses_nothing_and_the_delay_recovers() {
    // Frames 200 to 214 wait for the standby: all come at once, 310 ms after the first of them was due.
    let heard = Network::delayed(0..1_000, |n| if (200..215).contains(&n) { 5 + u64::from(215 - n) * 20 } else { 5 })
        .listen(floor_ms(40), 20_200);
    assert_eq!(heard.count(Outcome::Decoded), 1_000);
    assert_eq!(heard.started, 1);
    let delays = heard.delays_ms();
    let worst = delays[200..215].iter().max().copied().unwrap();
    assert!((250..400).contains(&worst), "{worst}");
    assert!(delays[600..].iter().all(|&delay| delay < 90), "{:?}", delays[600..].iter().max());
}

#[test]
fn a_burst_whose_lanes_do_not_keep_step_loses_nothing_either() {
    // After an outage lane 0 is 15 ms behind the other three.
    let delay = |n: u32| if (200..212).contains(&n) { 5 + u64::from(212 - n) * 20 } else { 5 };
    let heard = Network::delayed(0..600, |n| delay(n) + if n % 4 == 0 && (200..212).contains(&n) { 15 } else { 0 })
        .listen(floor_ms(40), 12_200);
    assert_eq!(heard.count(Outcome::Decoded), 600);
}

#[test]
fn after_an_outage_longer_than_the_delay_may_grow_the_voice_resumes_with_what_is_still_fresh() {
    // A second of nothing, then a replay of it.
    let heard = Network::delayed(0..500, |n| if (200..250).contains(&n) { 5 + u64::from(250 - n) * 20 } else { 5 })
        .listen(floor_ms(40), 11_000);
    assert_eq!((heard.started, heard.stopped_ms.len()), (2, 2));
    let lost: Vec<u32> = (200..500).filter(|n| !heard.outcomes.contains_key(n)).collect();
    assert!(lost.len() > 20 && lost.len() <= 31, "{lost:?}");
    assert_eq!((lost[0], lost.len() as u32), (200, heard.skipped));
    assert_eq!(heard.counts.late, u64::from(heard.skipped), "passed over frames count as late");
    assert!(heard.outcomes.values().all(|(outcome, _)| *outcome == Outcome::Decoded));
}

#[test]
fn two_feeds_deliver_every_frame_twice_and_each_is_heard_once() {
    let near = Network::delayed(0..1_000, |n| 5 + noise(n) % 20);
    let far = Network::delayed(0..1_000, |n| 25 + noise(n + 7) % 20);
    let heard = near.and(far).listen(floor_ms(40), 20_200);
    assert_eq!(heard.count(Outcome::Decoded), 1_000);
    assert_eq!(heard.counts.duplicate, 1_000);
    assert!(percentile(heard.delays_ms(), 95) < 80, "the slower copies do not lengthen the delay");
}

#[test]
fn one_of_two_feeds_dies_and_nothing_is_lost() {
    let dies = Network::delayed(0..300, |n| 5 + noise(n) % 10);
    let lives = Network::delayed(0..600, |n| 20 + noise(n) % 15);
    let heard = dies.and(lives).listen(floor_ms(40), 12_200);
    assert_eq!(heard.count(Outcome::Decoded), 600);
}

#[test]
fn a_listener_who_comes_late_and_gets_two_seconds_replayed_by_two_feeds_starts_near_the_target() {
    let replay = || Network { arrivals: (0..100).map(|n| (2_000, n)).collect() };
    let live = Network::delayed(100..600, |_| 5);
    let heard = replay().and(replay()).and(live).listen(floor_ms(40), 12_200);
    let first = *heard.outcomes.first_key_value().unwrap().0;
    assert!(first >= 94, "{first}");
    assert!((first..600).all(|n| heard.outcomes[&n].0 == Outcome::Decoded));
    assert!(heard.delays_ms().iter().all(|&delay| delay < 120), "{:?}", heard.delays_ms().iter().max());
}

#[test]
fn reordered_frames_play_in_order() {
    let swapped = |n: u32| if n.is_multiple_of(2) { 30 } else { 5 };
    let heard = Network::delayed(0..500, swapped).listen(floor_ms(40), 10_200);
    assert_eq!(heard.count(Outcome::Decoded), 500);
}

#[test]
fn packets_of_three_frames_need_no_more_than_their_own_length() {
    let heard = Network::delayed(0..999, |n| 5 + u64::from(2 - n % 3) * 20).listen(floor_ms(20), 20_200);
    // The very first is passed over: nothing is known yet of how frames come.
    assert_eq!(heard.outcomes.len(), heard.count(Outcome::Decoded));
    assert!(heard.outcomes.len() >= 998);
    assert!(percentile(heard.delays_ms(), 95) <= 90);
}

#[test]
fn a_speaker_who_pauses_is_not_concealed_for_ever_and_is_heard_again_at_once() {
    // Numbers count the pause: 4 s of it are missing.
    let heard = Network::delayed(0..200, |_| 5).and(Network::delayed(400..600, |_| 5)).listen(floor_ms(40), 12_200);
    assert_eq!(heard.count(Outcome::Decoded), 400);
    assert_eq!(heard.outcomes.len(), 400, "nothing is reported for what was never said");
    assert_eq!((heard.started, heard.skipped), (2, 200));
    assert!(heard.stopped_ms[0] < 4_000 + 450);
    assert!(heard.delays_ms().iter().all(|&delay| delay < 75));
}

#[test]
fn a_pause_shorter_than_the_longest_delay_does_not_lengthen_it() {
    let heard = Network::delayed(0..200, |_| 5).and(Network::delayed(210..400, |_| 5)).listen(floor_ms(40), 8_200);
    assert_eq!((heard.started, heard.count(Outcome::Decoded)), (1, 390));
    assert_eq!(heard.count(Outcome::Concealed), 10, "held time stands for the missing numbers");
    let delays: Vec<u64> = heard.outcomes.range(215..).map(|(&n, &(_, at))| at - (u64::from(n) + 1) * 20).collect();
    assert!(delays.iter().all(|&delay| delay <= 100), "{:?}", delays.iter().max());
}

#[test]
fn after_an_announced_pause_the_voice_starts_at_its_target_and_not_at_the_next_tick_of_an_old_start() {
    let mut buffer = JitterBuffer::new(floor_ms(20));
    for n in 0..60 {
        let arrives_ms = (u64::from(n) + 1) * TICK_MS + 5;
        buffer.insert(ms(arrives_ms), FrameNumber(n), if n < 50 { frame(n) } else { pause(n) });
        // Ticks come 19 ms after the target.
        while matches!(buffer.pull(ms(arrives_ms + 39)), Step::Start { .. } | Step::Cover { .. }) {}
    }
    for tick in 0..8 {
        let _ = buffer.pull(ms(61 * TICK_MS + 44 + tick * TICK_MS));
    }
    assert!(!buffer.is_active(), "nothing is waited for");
    let mut plays = |n: u32| {
        let arrives_ms = (u64::from(n) + 1) * TICK_MS + 5;
        buffer.insert(ms(arrives_ms), FrameNumber(n), frame(n));
        buffer.starts_at(ms(arrives_ms)).map(|at| at.as_millis() as u64 - arrives_ms)
    };
    assert_eq!(plays(90), Some(20));
    assert!(matches!(buffer.pull(ms(91 * TICK_MS + 25)), Step::Start { .. }));
    assert!(matches!(buffer.pull(ms(91 * TICK_MS + 25)), Step::Decode { number: FrameNumber(90), .. }));
}

#[test]
fn a_path_that_becomes_longer_for_good_costs_nothing_but_delay() {
    let heard = Network::delayed(0..2_000, |n| if n < 500 { 5 } else { 205 }).listen(floor_ms(40), 40_400);
    assert_eq!(heard.count(Outcome::Decoded), 2_000);
    assert!(heard.delays_ms()[1_500..].iter().all(|&delay| delay < 205 + 90));
}

#[test]
fn clocks_that_drift_apart_for_an_hour_lose_nothing() {
    // The speaker's clock is 200 ppm slow: every frame comes 4 us later than the last.
    let heard = Network::delayed(0..180_000, |n| 5 + u64::from(n) / 250).listen(floor_ms(40), 3_601_500);
    assert_eq!(heard.count(Outcome::Decoded), 180_000);
    let delays: Vec<u64> = heard.outcomes.iter().map(|(&n, &(_, at))| at - (u64::from(n) + 1) * 20).collect();
    assert!(delays[179_000] < 5 + 720 + 90, "{}", delays[179_000]);
}

#[test]
fn a_frame_that_comes_after_its_time_is_late_once_and_never_played() {
    let heard = Network::lossy(0..200, |n| (n != 50).then_some(5))
        .deliver(50, 2_000)
        .deliver(50, 2_005)
        .listen(floor_ms(40), 4_200);
    assert_eq!(heard.outcomes[&50].0, Outcome::Fec);
    assert_eq!((heard.counts.late, heard.counts.duplicate), (1, 1));
}

#[test]
fn a_recording_of_frames_played_before_is_not_heard_again() {
    let replayed = Network { arrivals: (0..500).map(|n| (30_000 + u64::from(n) * 20, n)).collect() };
    let heard = Network::delayed(0..500, |_| 5).and(replayed).listen(floor_ms(40), 45_000);
    assert_eq!(heard.outcomes.len(), 500);
    assert_eq!(heard.counts.late + heard.counts.duplicate, 500);
}

#[test]
fn a_leap_in_numbers_starts_the_voice_anew_within_bounded_memory() {
    let mut buffer = JitterBuffer::new(JitterConfig::default());
    let mut accepted = 0;
    for i in 0..10_000u32 {
        let number = if i % 2 == 0 { i } else { i.wrapping_mul(400_009) };
        accepted +=
            u32::from(buffer.insert(ms(u64::from(i)), FrameNumber(number), frame(number)) == Inserted::Accepted);
        if i % 20 == 0 {
            buffer.pull(ms(u64::from(i)));
        }
    }
    assert!(accepted > 0);
    let mut heard = Heard::default();
    for tick in 0..u64::from(FRAMES_HELD_MAX) + 50 {
        heard.tick(&mut buffer, 10_000 + tick * 20);
    }
    assert!(heard.outcomes.len() <= FRAMES_HELD_MAX as usize + 1, "{}", heard.outcomes.len());
    assert!(!buffer.is_active());
}

#[test]
fn after_a_leap_the_voice_is_heard_at_its_new_place() {
    let ahead = Network { arrivals: (0..200).map(|n| (4_025 + u64::from(n) * 20, 1_000_000 + n)).collect() };
    let heard = Network::delayed(0..200, |_| 5).and(ahead).listen(floor_ms(40), 9_000);
    assert!(heard.outcomes.range(1_000_000..).count() == 200);
}

#[test]
fn empty_and_oversized_frames_are_refused_and_so_is_the_last_number() {
    let mut buffer = JitterBuffer::new(JitterConfig::default());
    assert_eq!(buffer.insert(ms(0), FrameNumber(0), Bytes::new()), Inserted::Refused);
    assert_eq!(buffer.insert(ms(0), FrameNumber(0), Bytes::from(vec![0; 361])), Inserted::Refused);
    assert_eq!(buffer.insert(ms(0), FrameNumber(u32::MAX), frame(1)), Inserted::Refused);
    assert_eq!(buffer.insert(ms(0), FrameNumber(u32::MAX - 1), frame(1)), Inserted::Accepted);
    assert_eq!(buffer.counts().refused, 3);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Whatever a network does with the first copies of frames, each number between the first and the last that were
    /// played has one outcome or was passed over, nothing is decoded that did not come, and nothing twice.
    #[test]
    fn every_number_has_one_outcome_on_any_network(
        fates in prop::collection::vec((0u64..500, 0u8..10), 1..400),
        floor in 0u64..200,
    ) {
        let fates = fates.into_iter().enumerate().map(|(n, (delay, luck))| (n as u32, delay, luck));
        let mut came = std::collections::BTreeSet::new();
        let mut network = Network::default();
        for (n, delay, luck) in fates {
            let at_ms = (u64::from(n) + 1) * TICK_MS;
            let delays: &[u64] = match luck { 0 => &[], 1 => &[delay, 40], 2..=4 => &[delay], _ => &[10] };
            for delay in delays {
                came.insert(n);
                network = network.deliver(n, at_ms + delay);
            }
        }
        let heard = network.listen(floor_ms(floor), 10_000);
        for (n, (outcome, _)) in &heard.outcomes {
            prop_assert!(*outcome != Outcome::Decoded || came.contains(n));
        }
        if let (Some((first, _)), Some((last, _))) = (heard.outcomes.first_key_value(), heard.outcomes.last_key_value()) {
            prop_assert_eq!(heard.outcomes.len() as u32 + heard.skipped, last - first + 1);
        }
        let counts = heard.counts;
        prop_assert_eq!(counts.decoded as usize, heard.count(Outcome::Decoded));
        prop_assert_eq!((counts.fec + counts.concealed) as usize, heard.outcomes.len() - counts.decoded as usize);
        prop_assert!(heard.delays_ms().iter().all(|&delay| delay <= 1_000));
    }

    /// Any numbers at any times: no panic, bounded work, and the buffer comes to rest.
    #[test]
    fn hostile_numbers_and_times_never_panic_and_come_to_rest(
        frames in prop::collection::vec((any::<u32>(), any::<u64>(), 0u64..200), 0..300),
    ) {
        let mut buffer = JitterBuffer::new(JitterConfig::default());
        let mut now_ms = 0;
        for (number, arrived_ms, step_ms) in frames {
            now_ms += step_ms;
            buffer.insert(ms(arrived_ms.min(now_ms)), FrameNumber(number), frame(number));
            buffer.insert(Duration::MAX, FrameNumber(number ^ 3), frame(number));
            buffer.pull(ms(now_ms));
            buffer.slack_us(ms(now_ms));
        }
        for _ in 0..400 {
            now_ms += TICK_MS;
            for _ in 0..=FRAMES_HELD_MAX {
                if !matches!(buffer.pull(ms(now_ms)), Step::Cover { .. } | Step::Start { .. }) {
                    break;
                }
            }
        }
    }
}
