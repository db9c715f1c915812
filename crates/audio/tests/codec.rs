//! What a decoder makes of what an encoder sent, whole and with losses.

use treehouse_audio::{
    FRAME, Outcome, Sample,
    decode::{VoiceDecoder, has_fec},
    encode::{Adaptation, LossReport, Sizes, VoiceEncoder},
    level::level,
    source::FileSource,
};

fn speech() -> Vec<[f32; FRAME]> {
    let mut source = FileSource::sample(Sample::One).unwrap();
    let (mut frames, mut pcm) = (Vec::new(), [0.0; FRAME]);
    while source.next_frame(&mut pcm).unwrap() {
        frames.push(pcm);
    }
    frames
}

fn encoded(frames: &[[f32; FRAME]]) -> Vec<bytes::Bytes> {
    let mut encoder = VoiceEncoder::new().unwrap();
    frames.iter().map(|pcm| encoder.encode(pcm).unwrap().1.unwrap()).collect()
}

/// Correlation of what was heard with what was said, the codec's delay allowed for.
fn likeness(said: &[[f32; FRAME]], heard: &[[f32; FRAME]], lag: usize) -> f32 {
    let (said, heard) = (said.concat(), heard.concat());
    let pairs = said.iter().zip(&heard[lag..]);
    let (mut dot, mut a2, mut b2) = (0.0f64, 0.0, 0.0);
    for (a, b) in pairs {
        let (a, b) = (f64::from(*a), f64::from(*b));
        dot += a * b;
        a2 += a * a;
        b2 += b * b;
    }
    (dot / (a2 * b2).sqrt()) as f32
}

#[test]
fn packets_of_one_size_say_nothing_by_it() {
    let mut said = speech();
    // A pause, too, looks like speech.
    said.extend([[0.0; FRAME]; 50]);
    let mut encoder = VoiceEncoder::new().and_then(VoiceEncoder::with_one_size).unwrap();
    let sizes: std::collections::BTreeSet<usize> =
        said.iter().map(|pcm| encoder.encode(pcm).unwrap().1.unwrap().len()).collect();
    assert_eq!(sizes.into_iter().collect::<Vec<_>>(), [80]);
    let variable: std::collections::BTreeSet<usize> = encoded(&said).iter().map(|packet| packet.len()).collect();
    assert!(variable.len() > 20, "otherwise they differ");
}

#[test]
fn speech_comes_back_at_32_kbit_s_in_frames_that_fit_a_packet() {
    let said = speech();
    let mut encoder = VoiceEncoder::new().unwrap();
    let lag = encoder.lookahead_samples().unwrap();
    let packets = encoded(&said);
    let bytes: usize = packets.iter().map(|p| p.len()).sum();
    let bits_per_second = bytes * 8 * 50 / packets.len();
    assert!((24_000..36_000).contains(&bits_per_second), "{bits_per_second}");
    assert!(packets.iter().all(|p| (1..=360).contains(&p.len())));
    let mut decoder = VoiceDecoder::new().unwrap();
    let heard: Vec<[f32; FRAME]> = packets
        .iter()
        .map(|packet| {
            let mut pcm = [0.0; FRAME];
            assert_eq!(decoder.decode(packet, &mut pcm), Outcome::Decoded);
            pcm
        })
        .collect();
    let likeness = likeness(&said, &heard, lag);
    assert!(likeness > 0.9, "{likeness}");
}

#[test]
fn most_frames_of_speech_carry_a_copy_of_the_one_before() {
    let said = speech();
    let packets = encoded(&said);
    // A copy is sent of what was active: look at frames whose predecessor was speech.
    let spoken = said.windows(2).zip(packets.windows(2)).filter(|(pcm, _)| level(&pcm[0]).minus_dbov() < 30);
    let (with, all) = spoken.fold((0, 0), |(with, all), (_, p)| (with + usize::from(has_fec(&p[1])), all + 1));
    assert!(all > 300 && with * 10 > all * 8, "{with} of {all}");
}

/// Decodes all but every tenth frame, which `rebuild` supplies from its successor.
fn with_losses(
    packets: &[bytes::Bytes],
    mut rebuild: impl FnMut(&mut VoiceDecoder, &[u8], &mut [f32; FRAME]) -> Outcome,
) -> (Vec<[f32; FRAME]>, Vec<Outcome>) {
    let mut decoder = VoiceDecoder::new().unwrap();
    let next_of = |i: usize| packets.get(i + 1).map_or(&[][..], |next| &next[..]);
    (0..packets.len())
        .map(|i| {
            let mut pcm = [0.0; FRAME];
            let outcome = match i % 10 {
                5 => rebuild(&mut decoder, next_of(i), &mut pcm),
                _ => decoder.decode(&packets[i], &mut pcm),
            };
            (pcm, outcome)
        })
        .unzip()
}

#[test]
fn rebuilt_frames_are_nearer_to_the_speech_than_concealed_ones() {
    let said = speech();
    let lag = VoiceEncoder::new().unwrap().lookahead_samples().unwrap();
    let packets = encoded(&said);
    let (rebuilt, outcomes) = with_losses(&packets, |decoder, next, pcm| decoder.decode_fec(next, pcm));
    let (concealed, _) = with_losses(&packets, |decoder, _, pcm| decoder.conceal(pcm));
    assert!(outcomes.contains(&Outcome::Fec));
    let (fec, plc) = (likeness(&said, &rebuilt, lag), likeness(&said, &concealed, lag));
    assert!(fec > plc + 0.005, "FEC {fec}, concealment {plc}");
}

#[test]
fn frames_that_cannot_be_read_are_concealed_and_the_next_one_is_heard() {
    let packets = encoded(&speech()[..50]);
    let mut decoder = VoiceDecoder::new().unwrap();
    let mut pcm = [0.0; FRAME];
    let stereo_toc = 0xFC;
    let forty_ms_toc = 0x10;
    let bad: [&[u8]; 6] = [&[], &[0xFF], &[forty_ms_toc, 1, 2, 3], &[0x03, 0xFF, 0xFF], &[0x83, 0x00], &[0x01; 4]];
    for bad in bad {
        assert_eq!(decoder.decode(bad, &mut pcm), Outcome::Concealed, "{bad:x?}");
        assert_eq!(decoder.decode_fec(bad, &mut pcm), Outcome::Concealed, "{bad:x?}");
        assert!(pcm.iter().all(|s| s.is_finite()));
        assert_eq!(decoder.decode(&packets[20], &mut pcm), Outcome::Decoded);
    }
    // A stereo packet of 20 ms is folded to mono.
    assert_eq!(decoder.decode(&[stereo_toc, 0, 0, 0], &mut pcm), Outcome::Decoded);
}

#[test]
fn any_bytes_at_all_decode_to_a_frame_of_finite_samples() {
    let mut decoder = VoiceDecoder::new().unwrap();
    let mut state = 1u32;
    let mut random = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as u8
    };
    for _ in 0..2_000 {
        let packet: Vec<u8> = (0..usize::from(random()) + 1).map(|_| random()).collect();
        let mut pcm = [f32::NAN; FRAME];
        decoder.decode(&packet, &mut pcm);
        assert!(pcm.iter().all(|s| s.is_finite()));
        decoder.decode_fec(&packet, &mut pcm);
        assert!(pcm.iter().all(|s| s.is_finite()));
    }
}

#[test]
fn concealment_dies_away() {
    let packets = encoded(&speech()[..60]);
    let mut decoder = VoiceDecoder::new().unwrap();
    let mut pcm = [0.0; FRAME];
    assert!(packets.iter().all(|packet| decoder.decode(packet, &mut pcm) == Outcome::Decoded));
    for _ in 0..25 {
        decoder.conceal(&mut pcm);
    }
    assert!(level(&pcm).minus_dbov() > 45, "{:?}", level(&pcm));
}

#[test]
fn silence_is_not_sent_where_it_need_not_be_and_speech_is() {
    let mut encoder = VoiceEncoder::new().unwrap();
    encoder.adapt(Adaptation::new(Sizes::Free).settings()).unwrap();
    let mut sent =
        |frames: &[[f32; FRAME]]| frames.iter().map(|pcm| encoder.encode(pcm).unwrap().1.is_some()).collect::<Vec<_>>();
    let speech = speech();
    let loud: Vec<bool> = speech.iter().map(|pcm| level(pcm).minus_dbov() < 30).collect();
    let spoken = sent(&speech);
    assert!(loud.iter().zip(&spoken).all(|(loud, sent)| *sent || !loud), "what is said is sent");
    let pause = sent(&[[0.0; FRAME]; 150]);
    assert!(pause[50..].iter().all(|sent| !sent), "{pause:?}");
    assert!(sent(&speech[20..60]).iter().filter(|sent| **sent).count() > 35, "and again after a pause");
}

#[test]
fn closed_rooms_have_one_size_whatever_is_lost() {
    let said = speech();
    let mut encoder = VoiceEncoder::new().unwrap();
    let mut adaptation = Adaptation::new(Sizes::One);
    let mut sizes = std::collections::BTreeSet::new();
    let reports = [(0.0, 0.0), (0.05, 1.0), (0.3, 1.2), (0.16, 4.0), (0.0, 0.0)];
    for (frames, (loss, burst_frames)) in said.chunks(200).zip(reports) {
        adaptation.report(LossReport { loss, burst_frames });
        encoder.adapt(adaptation.settings()).unwrap();
        sizes.extend(frames.iter().map(|pcm| encoder.encode(pcm).unwrap().1.map(|packet| packet.len())));
    }
    assert_eq!(sizes.into_iter().collect::<Vec<_>>(), [Some(80)]);
}

#[cfg(feature = "deep")]
#[test]
fn a_burst_is_rebuilt_from_the_packet_after_it() {
    let said = speech();
    let mut encoder = VoiceEncoder::new().unwrap();
    let lag = encoder.lookahead_samples().unwrap();
    let mut adaptation = Adaptation::new(Sizes::Free);
    adaptation.report(LossReport { loss: 0.16, burst_frames: 4.0 });
    let mut settings = adaptation.settings();
    settings.dtx = false;
    encoder.adapt(settings).unwrap();
    let packets: Vec<_> = said.iter().map(|pcm| encoder.encode(pcm).unwrap().1.unwrap()).collect();
    // Of every twenty frames five in a row are lost.
    let hear = |deep: bool| {
        let mut decoder = VoiceDecoder::new().unwrap();
        let mut rebuilt = 0;
        let heard: Vec<[f32; FRAME]> = (0..packets.len() / 20 * 20)
            .map(|n| {
                let mut pcm = [0.0; FRAME];
                let ahead = 15_usize.saturating_sub(n % 20);
                let outcome = match n % 20 {
                    10..15 if deep => decoder.decode_dred(&packets[n + ahead], ahead as u32, &mut pcm),
                    10..15 => decoder.conceal(&mut pcm),
                    _ => decoder.decode(&packets[n], &mut pcm),
                };
                rebuilt += u32::from(outcome == Outcome::Dred);
                pcm
            })
            .collect();
        (heard, rebuilt)
    };
    let ((deep, rebuilt), (concealed, none)) = (hear(true), hear(false));
    assert!(none == 0 && rebuilt as usize > packets.len() / 20 * 4, "{rebuilt} of {}", packets.len() / 4);
    // What is rebuilt is as loud as what was said, where concealment has faded; its waveform is another.
    let loudness = |heard: &[[f32; FRAME]]| -> f32 {
        let pairs = said.concat().into_iter().zip(heard.concat().split_off(lag)).collect::<Vec<_>>();
        let frames = pairs.chunks(FRAME).map(|frame| {
            let [a, b] =
                [0, 1].map(|i| frame.iter().map(|p| if i == 0 { p.0 * p.0 } else { p.1 * p.1 }).sum::<f32>().sqrt());
            (a - b).abs()
        });
        frames.sum()
    };
    assert!(loudness(&deep) < 0.8 * loudness(&concealed), "{} {}", loudness(&deep), loudness(&concealed));
}

/// How many frames back the middle one of a sample's packets reaches, and how large they are on average.
#[cfg(feature = "deep")]
fn reach(report: Option<LossReport>) -> (u32, usize) {
    let (mut encoder, mut decoder) = (VoiceEncoder::new().unwrap(), VoiceDecoder::new().unwrap());
    let mut adaptation = Adaptation::new(Sizes::Free);
    report.into_iter().for_each(|report| adaptation.report(report));
    encoder.adapt(adaptation.settings()).unwrap();
    let packets: Vec<_> = speech().iter().filter_map(|pcm| encoder.encode(pcm).unwrap().1).collect();
    let mut pcm = [0.0; FRAME];
    let mut reaches = |packet: &[u8]| {
        (1..60).take_while(|ahead| decoder.decode_dred(packet, *ahead, &mut pcm) == Outcome::Dred).count()
    };
    let mut all: Vec<_> = packets.iter().map(|packet| reaches(packet)).collect();
    all.sort_unstable();
    (all[all.len() / 2] as u32, packets.iter().map(|packet| packet.len()).sum::<usize>() / packets.len())
}

#[cfg(feature = "deep")]
#[test]
fn packets_reach_back_further_the_more_is_lost_and_grow_little() {
    assert_eq!(reach(None).0, 0);
    let [few, many] = [0.05, 0.2].map(|loss| reach(Some(LossReport { loss, burst_frames: 4.0 })));
    assert!(few.0 >= 3 && many.0 >= few.0 + 2, "{few:?} {many:?}");
    assert!(many.1 < 120, "{many:?}");
}

#[cfg(feature = "deep")]
#[test]
fn any_bytes_at_all_are_read_for_deep_redundancy_without_harm() {
    let mut decoder = VoiceDecoder::new().unwrap();
    let mut state = 7u32;
    let mut random = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as u8
    };
    for n in 0..3_000u32 {
        let mut packet: Vec<u8> = (0..usize::from(random()) + 2).map(|_| random()).collect();
        // Mostly packets of code 3 with padding, where an extension may be; of one frame, 20 ms long.
        if n % 4 != 0 {
            (packet[0], packet[1]) = (0x7B, 0x41);
        }
        let mut pcm = [f32::NAN; FRAME];
        decoder.decode_dred(&packet, n % 60, &mut pcm);
        assert!(pcm.iter().all(|s| s.is_finite()));
    }
}
