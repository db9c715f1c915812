use std::{fs, path::Path};

use super::*;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");

fn read_all(source: &mut FileSource) -> Vec<f32> {
    let (mut all, mut pcm) = (Vec::new(), [0.0; FRAME]);
    while source.next_frame(&mut pcm).unwrap() {
        all.extend(pcm);
    }
    all
}

fn write_wav(path: &Path, channels: u16, sample_rate: u32, seconds: f32, hz: f32) {
    let spec = hound::WavSpec { channels, sample_rate, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let mut wav = hound::WavWriter::create(path, spec).unwrap();
    for i in 0..(sample_rate as f32 * seconds) as usize {
        let sample = (16_000.0 * (i as f32 * hz * std::f32::consts::TAU / sample_rate as f32).sin()) as i16;
        (0..channels).for_each(|_| wav.write_sample(sample).unwrap());
    }
    wav.finalize().unwrap();
}

/// The best normalized correlation of `heard` with `said` over lags of up to `lag_max` either way.
fn likeness(said: &[f32], heard: &[f32], lag_max: usize) -> f32 {
    let correlate = |a: &[f32], b: &[f32]| {
        let dot: f32 = a.iter().zip(b).map(|(a, b)| a * b).sum();
        let energy = |x: &[f32]| x.iter().map(|x| x * x).sum::<f32>();
        dot / (energy(a) * energy(b)).sqrt()
    };
    let lags = 0..=lag_max;
    lags.map(|lag| correlate(&said[lag..], heard).max(correlate(said, &heard[lag..]))).fold(-1.0, f32::max)
}

#[test]
fn every_compressed_format_reads_back_as_the_speech_it_was_made_from() {
    let said = read_all(&mut FileSource::sample(Sample::One).unwrap());
    for (name, lag_max) in
        [("clip.mp3", 2_400), ("clip.m4a", 2_400), ("clip.aac", 2_400), ("clip.ogg", 0), ("clip.opus", 0)]
    {
        let heard = read_all(&mut FileSource::open(&Path::new(FIXTURES).join(name)).unwrap());
        let seconds = heard.len() as f32 / 48_000.0;
        assert!((1.98..2.1).contains(&seconds), "{name}: {seconds} s");
        let likeness = likeness(&said[24_000..60_000], &heard[24_000..60_000], lag_max);
        assert!(likeness > 0.9, "{name}: {likeness}");
    }
}

#[test]
fn ogg_opus_has_exactly_the_length_that_its_last_granule_says() {
    let mut source = FileSource::open(&Path::new(FIXTURES).join("clip.opus")).unwrap();
    assert_eq!(read_all(&mut source).len(), 96_000);
}

#[test]
fn the_samples_are_half_a_minute_of_two_different_voices() {
    let [one, two] = Sample::ALL.map(|sample| read_all(&mut FileSource::sample(sample).unwrap()));
    for voice in [&one, &two] {
        assert!(voice.len() > 10 * 48_000, "{}", voice.len());
        let loud = voice.chunks(FRAME).filter(|frame| !crate::level::is_silence(frame)).count();
        assert!(loud > 600, "{loud} frames of speech");
    }
    assert!(likeness(&one[48_000..96_000], &two[48_000..96_000], 0) < 0.5);
}

#[test]
fn wav_files_of_any_rate_and_channel_count_become_48_khz_mono() {
    let dir = tempfile::tempdir().unwrap();
    for (channels, rate_hz) in [(1, 8_000), (2, 44_100), (8, 48_000), (6, 96_000), (1, 11_025), (3, 37_199)] {
        let path = dir.path().join(format!("{channels}-{rate_hz}.wav"));
        write_wav(&path, channels, rate_hz, 0.5, 440.0);
        let heard = read_all(&mut FileSource::open(&path).unwrap());
        assert_eq!(heard.len(), 24_000, "{channels} channels, {rate_hz} Hz");
        let wanted = |i: usize| 0.488 * (i as f32 * 440.0 * std::f32::consts::TAU / 48_000.0).sin();
        let worst = (2_000..22_000).map(|i| (heard[i] - wanted(i)).abs()).fold(0.0, f32::max);
        assert!(worst < 0.02, "{channels} channels, {rate_hz} Hz: {worst}");
    }
}

#[test]
fn a_file_that_ends_within_a_frame_ends_in_silence() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("odd.wav");
    write_wav(&path, 1, 48_000, 0.05, 440.0);
    let heard = read_all(&mut FileSource::open(&path).unwrap());
    assert_eq!(heard.len(), 3 * FRAME);
    assert!(heard[2_400..].iter().all(|&s| s == 0.0));
}

fn refused(path: &Path) -> String {
    Say::File(path.to_owned()).check().unwrap_err().to_string()
}

#[test]
fn files_that_are_missing_empty_or_no_sound_are_each_said_so() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    assert!(refused(&at("gone.wav")).starts_with("there is no file "));
    assert!(refused(Path::new("/dev/zero")).contains("is not a regular file"));
    assert!(refused(dir.path()).contains("names no sound file"));
    fs::write(at("empty.wav"), b"").unwrap();
    assert!(refused(&at("empty.wav")).contains("is empty"));
    fs::write(at("text.mp3"), "This is a letter, not a recording. ".repeat(400)).unwrap();
    assert!(refused(&at("text.mp3")).contains("is not sound that can be read"));
    fs::write(at("zeros.flac"), vec![0; 100_000]).unwrap();
    assert!(refused(&at("zeros.flac")).contains("is not sound that can be read"));
    fs::write(at("head.ogg"), b"OggS\0OpusHead").unwrap();
    assert!(refused(&at("head.ogg")).contains("is not sound that can be read"));
    write_wav(&at("short.wav"), 1, 48_000, 0.0071, 440.0);
    assert!(refused(&at("short.wav")).contains("holds only 7 ms"), "{}", refused(&at("short.wav")));
    write_wav(&at("none.wav"), 2, 44_100, 0.0, 440.0);
    assert!(refused(&at("none.wav")).contains("is empty"));
    write_wav(&at("slow.wav"), 1, 100, 9.0, 4.0);
    let slow = refused(&at("slow.wav"));
    assert!(slow.contains("100 Hz") && slow.contains("rates from 4000") && slow.contains("sox"), "{slow}");
    write_wav(&at("1000.wav"), 1, 1_000, 3.0, 40.0);
    assert!(refused(&at("1000.wav")).contains("a sample rate of 1000 Hz"));
}

#[test]
fn a_file_that_is_cut_off_plays_up_to_the_cut() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["clip.mp3", "clip.ogg", "clip.opus", "clip.aac"] {
        let whole = fs::read(Path::new(FIXTURES).join(name)).unwrap();
        let path = dir.path().join(name);
        fs::write(&path, &whole[..whole.len() * 2 / 3]).unwrap();
        let heard = read_all(&mut FileSource::open(&path).unwrap());
        assert!((40_000..80_000).contains(&heard.len()), "{name}: {}", heard.len());
    }
}

#[test]
fn bytes_that_were_altered_never_panic() {
    let dir = tempfile::tempdir().unwrap();
    let mut state = 7u32;
    let mut random = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize
    };
    for name in ["clip.mp3", "clip.m4a", "clip.ogg", "clip.opus", "clip.aac"] {
        let whole = fs::read(Path::new(FIXTURES).join(name)).unwrap();
        for _ in 0..30 {
            let mut altered = whole.clone();
            for _ in 0..20 {
                let at = random() % altered.len();
                altered[at] = random() as u8;
            }
            let path = dir.path().join(name);
            fs::write(&path, &altered).unwrap();
            let Ok(mut source) = FileSource::open(&path) else { continue };
            let mut pcm = [0.0; FRAME];
            while let Ok(true) = source.next_frame(&mut pcm) {
                assert!(pcm.iter().all(|s| s.is_finite()));
            }
        }
    }
}

#[test]
fn the_tone_is_half_a_second_on_and_half_off_without_a_click() {
    let mut tone = ToneSource::default();
    let mut all = Vec::new();
    for _ in 0..100 {
        let mut pcm = [0.0; FRAME];
        tone.next_frame(&mut pcm);
        all.extend(pcm);
    }
    assert!(all[12_000..23_000].iter().any(|s| s.abs() > 0.09));
    assert!(all[24_000..48_000].iter().all(|&s| s == 0.0));
    assert!(all[60_000..71_000].iter().any(|s| s.abs() > 0.09));
    assert!(all.windows(2).all(|pair| (pair[1] - pair[0]).abs() < 0.01));
}

#[test]
fn words_on_the_command_line_round_trip() {
    for text in [
        "mic",
        "mic:mic_a.monitor",
        "tone",
        "none",
        "sample:1",
        "sample:2",
        "./talk.flac",
        "mic.wav",
        "-",
        "s16le:-",
        "f32le:-",
        "http://radio.example:8000/live",
    ] {
        let say: Say = text.parse().unwrap();
        assert_eq!(say.to_string(), text);
    }
    assert_eq!("talk.ogg".parse(), Ok(Say::File("talk.ogg".into())));
    assert_eq!("mic:USB".parse(), Ok(Say::Mic(Some("USB".into()))));
}
