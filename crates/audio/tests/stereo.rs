//! Music from a stereo file to a listener's two ears: source, encoder, jitter buffer, decoder and mixer.

mod common;

use std::{path::Path, time::Duration};

use bytes::Bytes;
use treehouse_audio::{
    FRAME, JitterConfig, MixOptions, Sample,
    encode::VoiceEncoder,
    engine::Desk,
    mix::Block,
    source::{FileSource, Width},
};
use treehouse_wire::{FrameNumber, VoiceId, limits::OPUS_FRAME_BYTES_MAX};

const TICK: Duration = Duration::from_millis(20);
const VOICE: VoiceId = VoiceId([1; 8]);

fn sample(sample: Sample, frames: usize) -> Vec<f32> {
    let mut source = FileSource::sample(sample).unwrap();
    let (mut pcm, mut all) = ([0.0; FRAME], Vec::new());
    while all.len() < frames * FRAME && source.next_frame(&mut pcm).unwrap() {
        all.extend(pcm);
    }
    all
}

/// One voice on the left, another on the right, as a file.
fn write_song(path: &Path, frames: usize) -> [Vec<f32>; 2] {
    let spec = hound::WavSpec {
        channels: 2,
        sample_rate: 48_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut wav = hound::WavWriter::create(path, spec).unwrap();
    let song = [sample(Sample::One, frames), sample(Sample::Two, frames)];
    for (left, right) in song[0].iter().zip(&song[1]) {
        wav.write_sample((left * 32_767.0) as i16).unwrap();
        wav.write_sample((right * 32_767.0) as i16).unwrap();
    }
    wav.finalize().unwrap();
    song
}

fn encode(path: &Path, mut encoder: VoiceEncoder) -> Vec<Bytes> {
    let mut source = FileSource::open_as(path, Width::Stereo).unwrap();
    let (mut block, mut packets) = (Block::default(), Vec::new());
    while source.next_block(&mut block).unwrap() {
        packets.push(encoder.encode_block(&block).unwrap().1.unwrap());
    }
    packets
}

/// Plays packets but for those that `lost` says; returns left and right.
fn play(packets: &[Bytes], options: MixOptions, lost: impl Fn(usize) -> bool) -> [Vec<f32>; 2] {
    let mut desk = Desk::new(JitterConfig::default(), options);
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for (at, opus) in packets.iter().enumerate() {
        let now = TICK * at as u32;
        if !lost(at) {
            desk.insert(now, VOICE, FrameNumber(at as u32), opus.clone()).unwrap();
        }
        let mut block = Block::default();
        desk.tick(now, &mut block);
        left.extend(block.left);
        right.extend(block.right);
    }
    [left, right]
}

/// How much of what was said is in what was heard up to 100 ms later, once the voice has settled.
fn likeness(said: &[f32], heard: &[f32]) -> f32 {
    const SETTLED: usize = 24_000;
    common::median(&said[SETTLED..], |at, piece| {
        let from = SETTLED + at;
        common::find(piece, &heard[from..heard.len().min(from + 2 * common::PIECE)]).1
    })
}

const PLAIN: MixOptions = MixOptions { even_loudness: false, spatial: false };

#[test]
fn each_ear_hears_its_own_side_and_nothing_of_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("song.wav");
    let song = write_song(&path, 150);
    for bitrate_bps in [96_000, 128_000] {
        let packets = encode(&path, VoiceEncoder::music(bitrate_bps).unwrap());
        let bytes: usize = packets.iter().map(Bytes::len).sum();
        let bps = bytes * 8 * 50 / packets.len();
        let bounds = bitrate_bps as usize / 2..bitrate_bps as usize * 11 / 10;
        assert!(bounds.contains(&bps) && packets.iter().all(|opus| opus.len() <= OPUS_FRAME_BYTES_MAX), "{bps}");
        for options in [PLAIN, MixOptions { spatial: true, ..PLAIN }, MixOptions { even_loudness: true, ..PLAIN }] {
            let heard = play(&packets, options, |_| false);
            for side in 0..2 {
                let (own, other) = (likeness(&song[side], &heard[side]), likeness(&song[1 - side], &heard[side]));
                println!(
                    "{bitrate_bps} bit/s, really {bps}, side {side}: {own:.3} like its own, {other:.3} like the other"
                );
                assert!(own > 0.97 && other < 0.4, "{options:?}, side {side}: {own}, {other}");
            }
        }
    }
}

#[test]
fn packets_of_one_size_have_it_in_stereo_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("song.wav");
    write_song(&path, 50);
    let packets = encode(&path, VoiceEncoder::music(128_000).unwrap().with_one_size().unwrap());
    assert!(packets.iter().all(|opus| opus.len() == 320), "{:?}", packets.iter().map(Bytes::len).collect::<Vec<_>>());
}

#[test]
fn lost_packets_are_made_up_for_on_both_sides_without_noise() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("song.wav");
    let song = write_song(&path, 150);
    let packets = encode(&path, VoiceEncoder::music(128_000).unwrap());
    let heard = play(&packets, PLAIN, |at| at % 10 == 7);
    for side in 0..2 {
        let own = likeness(&song[side], &heard[side]);
        assert!(own > 0.8, "side {side}: {own}");
        assert!(heard[side].iter().all(|sample| sample.abs() <= 1.0));
    }
}

#[test]
fn a_listener_for_whom_a_voice_turns_into_music_hears_it_in_stereo_from_then_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("song.wav");
    write_song(&path, 100);
    let mut packets = encode(&path, VoiceEncoder::new().unwrap());
    packets.truncate(50);
    packets.extend(encode(&path, VoiceEncoder::music(96_000).unwrap()).into_iter().skip(50));
    let [left, right] = play(&packets, PLAIN, |_| false);
    let differs = |from: usize, to: usize| left[from * FRAME..to * FRAME] != right[from * FRAME..to * FRAME];
    assert!(!differs(0, 48) && differs(60, 100));
}
