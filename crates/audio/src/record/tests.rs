use std::collections::BTreeMap;

use ogg::PacketReader;

use super::*;
use crate::{Sample, decode::VoiceDecoder, encode::VoiceEncoder, mix::Block, ogg_opus::SILENCE, source::FileSource};

const SERIALS: [u32; TRACKS] = [7, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13];

fn tape() -> Tape<Vec<u8>> {
    Tape::new(Vec::new(), &tracks(&SERIALS, pre_skip().unwrap(), "", &[], &[])).unwrap()
}

/// So many frames of speech.
fn speech(sample: Sample, frames: usize) -> Vec<(Vec<f32>, Bytes)> {
    let (mut source, mut encoder) = (FileSource::sample(sample).unwrap(), VoiceEncoder::new().unwrap());
    let mut pcm = [0.0; FRAME];
    let mut next = || {
        assert!(source.next_frame(&mut pcm).unwrap());
        (pcm.to_vec(), encoder.encode(&pcm).unwrap().1.unwrap())
    };
    (0..frames).map(|_| next()).collect()
}

/// Packets by track, and the granule position at the end of each page.
fn read(bytes: &[u8]) -> BTreeMap<u32, Vec<(Vec<u8>, u64)>> {
    let mut packets = PacketReader::new(io::Cursor::new(bytes));
    let mut all: BTreeMap<u32, Vec<_>> = BTreeMap::new();
    while let Ok(Some(packet)) = packets.read_packet() {
        all.entry(packet.stream_serial()).or_default().push((packet.data.clone(), packet.absgp_page()));
    }
    all.values_mut().for_each(|packets| drop(packets.drain(..2)));
    all
}

#[test]
fn frames_stand_in_their_slots_as_they_came_and_gaps_are_filled() {
    let mut tape = tape();
    let frames = speech(Sample::One, 20);
    for (n, (_, frame)) in frames.iter().enumerate() {
        // From slot 5 on; the eighth is lost, and eleven follow after a pause.
        let slot = if n < 8 {
            5 + n
        } else if n == 8 {
            continue;
        } else {
            50 + n
        };
        assert!(tape.put(1, slot as u64, frame));
        assert!(!tape.put(1, slot as u64, frame), "once");
    }
    tape.advance(80).unwrap();
    assert!(!tape.put(1, 79, &frames[0].1), "what is written is written");
    assert!(!tape.put(1, 80 + AHEAD_MAX as u64, &frames[0].1) && !tape.put(SPEAKERS_MAX, 80, &frames[0].1));
    assert!(!tape.put(1, 80, &Bytes::from_static(&[0x00])) && !tape.put(1, 80, &Bytes::new()), "10 ms, and nothing");
    let all = read(&tape.finish().unwrap());
    assert_eq!(all.keys().count(), TRACKS, "each has its end");
    let (track, mix) = (&all[&SERIALS[2]], &all[&SERIALS[0]]);
    assert_eq!((track.len(), mix.len()), (76, 81));
    assert_eq!(track[0].0, frames[0].1);
    assert_eq!(track[7].0, frames[7].1);
    let toc = frames[7].1[0];
    assert!(track[8..13].iter().all(|(packet, _)| *packet == [toc]), "a few are left to the decoder");
    assert!(track[13..54].iter().all(|(packet, _)| *packet == SILENCE));
    assert_eq!(track[54].0, frames[9].1, "slot 59");
    // The granule position says where in the file the track begins: 81 slots, 76 packets.
    assert_eq!(track[75].1, 81 * FRAME as u64);
    assert_eq!(all[&SERIALS[1]], [(SILENCE.to_vec(), 81 * FRAME as u64)], "nobody spoke there");
}

#[test]
fn the_mix_is_all_of_them_together() {
    let (one, two) = (speech(Sample::One, 150), speech(Sample::Two, 150));
    let mut tape = tape();
    for (n, ((_, a), (_, b))) in one.iter().zip(&two).enumerate() {
        assert!(tape.put(0, n as u64, a) && tape.put(3, n as u64, b));
    }
    tape.advance(150).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), tape.finish().unwrap()).unwrap();
    let mut source = FileSource::open(file.path()).unwrap();
    let (mut pcm, mut heard) = ([0.0; FRAME], Vec::new());
    while source.next_frame(&mut pcm).unwrap() {
        heard.extend(pcm);
    }
    assert_eq!(heard.len(), 150 * FRAME);
    let decoded = |frames: &[(Vec<f32>, Bytes)]| {
        let mut decoder = VoiceDecoder::new().unwrap();
        let mut pcm = [0.0; FRAME];
        let decoded = frames.iter().flat_map(|(_, frame)| {
            decoder.decode(frame, &mut pcm);
            pcm
        });
        decoded.collect::<Vec<f32>>()
    };
    let sum: Vec<f32> = decoded(&one).iter().zip(decoded(&two)).map(|(a, b)| a + b).collect();
    // The limiter is 1 ms late.
    let pairs = || sum.iter().zip(&heard[48..]);
    let dot: f32 = pairs().map(|(a, b)| a * b).sum();
    let energy = |x: &[f32]| x.iter().map(|x| x * x).sum::<f32>().sqrt();
    let likeness = dot / (energy(&sum) * energy(&heard));
    // Encoded once more; either voice alone would be less than 0.8.
    assert!(likeness > 0.9, "{likeness}");
}

#[test]
fn music_keeps_its_sides_in_its_track_and_in_the_mix() {
    let mut encoder = VoiceEncoder::music(96_000).unwrap();
    let mut tape = tape();
    for n in 0..50 {
        let mut block = Block::default();
        let sine = |at: usize| 0.3 * ((n * FRAME + at) as f32 * 440.0 * std::f32::consts::TAU / 48_000.0).sin();
        block.left = std::array::from_fn(sine);
        assert!(tape.put(2, n as u64, &encoder.encode_block(&block).unwrap().1.unwrap()));
    }
    tape.advance(50).unwrap();
    let bytes = tape.finish().unwrap();
    let all = read(&bytes);
    for serial in [SERIALS[0], SERIALS[3]] {
        let mut decoder = VoiceDecoder::new().unwrap();
        let (mut pcm, mut power) = (Block::default(), [0.0; 2]);
        for (packet, _) in &all[&serial] {
            decoder.decode_block(packet, &mut pcm);
            power[0] += pcm.left.iter().map(|s| s * s).sum::<f32>();
            power[1] += pcm.right.iter().map(|s| s * s).sum::<f32>();
        }
        assert!(power[0] > 1_000.0 && power[1] < 0.01 * power[0], "{serial}: {power:?}");
    }
    // Whoever plays it is told of two channels: the ninth byte of each head.
    let mut packets = PacketReader::new(io::Cursor::new(&bytes));
    let head = packets.read_packet().unwrap().unwrap();
    assert!(head.data.starts_with(b"OpusHead") && head.data[9] == 2);
}

#[test]
fn what_was_flushed_is_whole_pages_up_to_the_last_slot() {
    let mut tape = tape();
    for (n, (_, frame)) in speech(Sample::Two, 60).iter().enumerate() {
        assert!(tape.put(0, n as u64, frame));
        tape.advance(n as u64 + 1).unwrap();
        if n % 20 == 19 {
            tape.flush().unwrap();
            let all = read(tape.get_ref());
            for track in [0, 1] {
                assert_eq!(all[&SERIALS[track]].len(), n + 1, "track {track}");
            }
            assert_eq!(all[&SERIALS[1]][n].1, (n as u64 + 1) * FRAME as u64);
        }
    }
}

#[test]
fn names_and_chapters_that_do_not_fit_are_left_out() {
    let chapters: Vec<Chapter> = (0..400)
        .map(|n| Chapter {
            start: std::time::Duration::from_secs(n),
            title: format!("somebody {n} comes onto the stage"),
        })
        .collect();
    let names = vec!["Ann".to_owned(), "x".repeat(TAGS_BYTES)];
    let tracks = tracks(&SERIALS, 312, "Tea", &names, &chapters);
    let kept = tracks[0].chapters.len();
    assert!(kept > 40 && kept < 400, "{kept}");
    assert_eq!(tracks[0].chapters[..], chapters[..kept]);
    assert_eq!((tracks[1].comments.len(), tracks[2].comments.len()), (1, 0));
    let empty = head_bytes(&super::tracks(&SERIALS, 312, "", &[], &[])).unwrap();
    assert_eq!(head_bytes(&tracks).unwrap().len(), empty.len(), "so that they can be written over each other");
}
