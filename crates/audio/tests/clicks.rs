//! Voices that start and stop a thousand times, at random and in the middle of a sound, without a click.
//!
//! A click is a step from one sample to the next that the voices do not contain. The voices are sines of up to 400 Hz at a tenth of full
//! scale, whose own steps are small: a stop without a fade would be one of up to a tenth, three times the bound. The bound is the sum of
//! the largest steps that each voice has by itself, as its decoder gives it without a stop, times two factors. The square root of
//! two is what a place at one side makes of it. A third is for what stops and starts add by nature: a fade of 5 ms moves by a 240th of the
//! level a sample (an eighth of these voices' own steps), and libopus is not quite smooth where it passes from a sound to its concealment
//! and back, as it does at every stop here. Loudness only turns these voices down, and their sum does not reach the limiter.

use std::time::Duration;

use bytes::Bytes;
use treehouse_audio::{FRAME, JitterConfig, MixOptions, Place, Volume, encode::VoiceEncoder, engine::Desk, mix::Block};
use treehouse_wire::{FrameNumber, VoiceId};

const TICK: Duration = Duration::from_millis(20);
const CHANGES: usize = 1_000;
const PEAK: f32 = 0.1;

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// A voice that sounds all the time: its packets, and the largest step in what they decode to.
fn voice(hz: f32) -> (Vec<Bytes>, f32) {
    let mut encoder = VoiceEncoder::new().unwrap();
    let mut decoder = treehouse_audio::decode::VoiceDecoder::new().unwrap();
    let (mut packets, mut heard) = (Vec::new(), Vec::new());
    for frame in 0..200 {
        let pcm =
            std::array::from_fn(|i| PEAK * ((frame * FRAME + i) as f32 * hz * std::f32::consts::TAU / 48_000.0).sin());
        let opus = encoder.encode(&pcm).unwrap().1.unwrap();
        let mut out = [0.0; FRAME];
        decoder.decode(&opus, &mut out);
        heard.extend(out);
        packets.push(opus);
    }
    (packets, largest_step(&heard[4_800..]))
}

fn largest_step(pcm: &[f32]) -> f32 {
    pcm.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max)
}

struct Speaker {
    packets: Vec<Bytes>,
    speaks: bool,
    /// Its number goes up with every media key it takes.
    life: u8,
}

fn id(n: usize, life: u8) -> VoiceId {
    VoiceId([n as u8, life, 0, 0, 0, 0, 0, 0])
}

#[test]
fn a_thousand_random_starts_and_stops_of_six_voices_never_click() {
    let hz = [110.0, 147.0, 196.0, 247.0, 330.0, 392.0];
    let made = hz.map(voice);
    let own_steps: f32 = made.iter().map(|(_, step)| step).sum();
    let mut speakers = made.map(|(packets, _)| Speaker { packets, speaks: false, life: 0 });
    let mut random = Random(11);
    let mut desk = Desk::new(JitterConfig::default(), MixOptions { even_loudness: true, spatial: true });
    let (mut left, mut right, mut changes, mut number) = (Vec::new(), Vec::new(), 0, 0u32);
    while changes < CHANGES {
        for (n, speaker) in speakers.iter_mut().enumerate() {
            if random.below(8) == 0 {
                changes += 1;
                match (speaker.speaks, random.below(3)) {
                    // It is muted: its frames cease. Or it is put off the stage, and comes back with another key.
                    (true, 0 | 1) => speaker.speaks = false,
                    (true, _) => {
                        desk.remove(id(n, speaker.life));
                        (speaker.speaks, speaker.life) = (false, speaker.life.wrapping_add(1));
                    }
                    (false, _) => speaker.speaks = true,
                }
            }
            let change = random.below(40);
            if change == 0 {
                desk.set_volume(id(n, speaker.life), Volume::new(random.below(5) as f32 / 4.0));
            } else if change == 1 {
                desk.set_place(id(n, speaker.life), Place::new(random.below(9) as f32 / 4.0 - 1.0));
            }
            // One frame in ten is lost.
            if speaker.speaks && random.below(10) != 0 {
                let opus = speaker.packets[number as usize % speaker.packets.len()].clone();
                desk.insert(TICK * number, id(n, speaker.life), FrameNumber(number), opus).unwrap();
            }
        }
        desk.tidy();
        let mut block = Block::default();
        desk.tick(TICK * number, &mut block);
        left.extend(block.left);
        right.extend(block.right);
        number += 1;
    }
    assert!(left.iter().chain(&right).all(|s| s.abs() <= 1.0));
    let loudest = left.iter().fold(0.0f32, |a, s| a.max(s.abs()));
    assert!(loudest > 2.0 * PEAK, "several are heard at once: {loudest}");
    let bound = 2.0_f32.sqrt() * own_steps * 4.0 / 3.0;
    let worst = largest_step(&left).max(largest_step(&right));
    println!("largest step {worst:.4}, bound {bound:.4}, the voices' own {own_steps:.4}");
    assert!(worst <= bound, "a step of {worst}, more than {bound}");
}

#[test]
fn a_voice_keeps_its_place_while_others_come_and_go() {
    let (packets, _) = voice(220.0);
    let mut desk = Desk::new(JitterConfig::default(), MixOptions { even_loudness: false, spatial: true });
    // Each talks alone for a second, the second of them again at the end; how much louder is the left?
    let mut balance = |who: u8, from: u32| {
        let (mut left, mut right) = (0.0, 0.0);
        for number in from..from + 75 {
            if number < from + 50 {
                let opus = packets[number as usize % packets.len()].clone();
                desk.insert(TICK * number, VoiceId([who; 8]), FrameNumber(number), opus).unwrap();
            }
            let mut block = Block::default();
            desk.tick(TICK * number, &mut block);
            left += block.left.iter().map(|s| s * s).sum::<f32>();
            right += block.right.iter().map(|s| s * s).sum::<f32>();
        }
        10.0 * (left / right).log10()
    };
    let first = balance(1, 0);
    let second = balance(2, 100);
    let third = balance(3, 200);
    (4..20).for_each(|who| assert!(balance(who, 200 + 100 * u32::from(who)).is_finite()));
    let again = balance(2, 3_000);
    assert!(first.abs() < 0.1, "the first is in the middle: {first} dB");
    assert!(second > 3.0 && third < -3.0, "{second} dB, {third} dB");
    assert!((second - again).abs() < 0.2, "{second} dB, then {again} dB");
}
