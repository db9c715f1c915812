//! What the processing does to real speech: echo that it takes out, speech that it leaves alone, noise, loudness, and when it says
//! that somebody speaks. Prints its figures: `cargo test -p treehouse-audio --test processing`.
//!
//! The scene is synthetic and always the same: a loudspeaker 40 ms of buffers away, whose echo decays by 60 dB in 300 ms with the
//! direct sound 6 dB above the rest, as from a laptop on a desk, and a microphone with noise at -75 dBFS. Near and far speech are
//! as loud as each other at their own microphone, -26 dBFS. Quality is PESQ wideband by the `.venv` that `./dev test` makes; where it
//! or the speech of alsa-utils is missing those tests count as ignored, and with `CI=true` they fail.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use libtest_mimic::{Arguments, Failed, Trial};
use treehouse_audio::{
    FRAME, Processing, Sample,
    process::{BLOCK, Heard, Processor},
    source::FileSource,
};
use treehouse_wire::Level;

const CLIPS_FOLDER: &str = "/usr/share/sounds/alsa";
const CLIPS: [&str; 8] =
    ["Front_Left", "Front_Center", "Front_Right", "Rear_Center", "Rear_Left", "Rear_Right", "Side_Left", "Side_Right"];
const SECOND: usize = 48_000;
/// Root mean square of speech where there is some: -26 dBFS, ITU-T P.56's usual level.
const SPEECH_RMS: f32 = 0.05;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let missing = missing();
    let ci = env::var("CI").is_ok_and(|ci| ci == "true");
    if let Some(missing) = &missing {
        eprintln!("processing: {missing}; some tests are skipped");
    }
    let real = |name, test: fn() -> Result<(), Failed>| match &missing {
        Some(missing) if ci => {
            let missing = missing.clone();
            Trial::test(name, move || Err(missing.into()))
        }
        _ => Trial::test(name, test).with_ignored_flag(missing.is_some()),
    };
    let trials = vec![
        Trial::test("what_is_switched_off_changes_nothing", switched_off),
        Trial::test("nonsense_from_a_device_does_not_last", nonsense),
        Trial::test("an_echo_loses_30_db", echo_is_gone),
        Trial::test("an_echo_is_gone_as_soon_where_the_other_side_speaks_late", first_word_late),
        Trial::test("a_path_that_changes_is_learnt_again", path_changes),
        Trial::test("two_cards_whose_clocks_differ_are_brought_into_step", clocks_differ),
        Trial::test("an_echo_of_voices_with_places_is_learnt_once", echo_with_places),
        Trial::test("places_that_come_later_or_move_are_learnt_too", places_change),
        Trial::test("a_quiet_voice_and_a_loud_one_come_out_alike", loudness),
        real("speech_is_left_as_it_is", clean_speech),
        real("both_speaking_at_once_understand_each_other", double_talk),
        real("noise_is_suppressed_and_speech_is_not", noise),
        real("no_word_is_cut_and_noise_is_no_talkspurt", talkspurts),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn missing() -> Option<String> {
    if !CLIPS.iter().all(|clip| Path::new(CLIPS_FOLDER).join(clip).with_extension("wav").is_file()) {
        return Some(format!("the speech of alsa-utils is not in {CLIPS_FOLDER}"));
    }
    let python = root().join(".venv/bin/python");
    (!python.is_file()).then(|| "there is no .venv with the speech quality score; ./dev test makes it".to_owned())
}

/// Eight clips of a woman's real speech, a second of silence around them.
fn clips() -> Result<Vec<f32>, Failed> {
    let mut samples = vec![0.0; SECOND];
    for clip in CLIPS {
        let mut reader = hound::WavReader::open(Path::new(CLIPS_FOLDER).join(clip).with_extension("wav"))?;
        for sample in reader.samples::<i16>() {
            samples.push(f32::from(sample?) / 32_768.0);
        }
    }
    samples.extend(vec![0.0; SECOND]);
    samples.truncate(samples.len() / BLOCK * BLOCK);
    Ok(at_speech_level(samples))
}

/// Another voice, which goes on and on.
fn other_voice(samples: usize) -> Result<Vec<f32>, Failed> {
    let mut source = FileSource::sample(Sample::Two)?;
    let (mut pcm, mut all) = ([0.0; FRAME], Vec::new());
    while source.next_frame(&mut pcm)? {
        all.extend(pcm);
    }
    let all = at_speech_level(all);
    Ok(all.iter().copied().cycle().take(samples).collect())
}

fn rms(samples: &[f32]) -> f32 {
    (samples.iter().map(|s| s * s).sum::<f32>() / samples.len().max(1) as f32).sqrt()
}

fn db(samples: &[f32]) -> f32 {
    20.0 * rms(samples).max(1e-9).log10()
}

/// Of the blocks in which somebody speaks.
fn speech_rms(samples: &[f32]) -> f32 {
    let loudest = samples.chunks(BLOCK).map(rms).fold(0.0, f32::max);
    let spoken: Vec<f32> = samples.chunks(BLOCK).filter(|b| rms(b) > 0.03 * loudest).flatten().copied().collect();
    rms(&spoken)
}

fn at_speech_level(samples: Vec<f32>) -> Vec<f32> {
    let gain = SPEECH_RMS / speech_rms(&samples);
    samples.into_iter().map(|s| s * gain).collect()
}

/// Numbers between -1 and 1, the same each time (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    }
}

/// Noise of root mean square 1.
fn make_noise(kind: &str, samples: usize) -> Vec<f32> {
    let mut random = Random(0x1234_5678_9abc);
    let (mut low, mut mid) = (0.0_f32, 0.0_f32);
    let mut all: Vec<f32> = (0..samples)
        .map(|at| {
            let white = random.next();
            // One-pole low-passes: what a fan and the air of a room sound like.
            low += 0.004 * (white - low);
            mid += 0.08 * (white - mid);
            match kind {
                "white" => white,
                "room" => 8.0 * low + mid + 0.05 * white,
                _ => 4.0 * low + 0.3 * mid + 0.1 * (at as f32 * 120.0 * std::f32::consts::TAU / 48_000.0).sin(),
            }
        })
        .collect();
    let gain = 1.0 / rms(&all);
    all.iter_mut().for_each(|s| *s *= gain);
    all
}

/// Sound on its way from the loudspeaker to the microphone: see the top of this file.
fn echo_of(far: &[f32], relative_db: f32) -> Vec<f32> {
    let mut random = Random(0xabcd_ef77);
    let (delay, decay) = (40 * 48, 300 * 48);
    let mut tail: Vec<f32> =
        (0..decay).map(|at| random.next() * 10.0_f32.powf(-3.0 * at as f32 / decay as f32)).collect();
    let gain = 0.5 / tail.iter().map(|s| s * s).sum::<f32>().sqrt();
    tail.iter_mut().for_each(|s| *s *= gain);
    tail[0] = 1.0;
    let mut echo = vec![0.0; far.len()];
    for (at, gain) in tail.iter().enumerate().filter(|(_, gain)| gain.abs() > 1e-4) {
        let shift = (delay + at).min(far.len());
        echo[shift..].iter_mut().zip(far).for_each(|(out, sample)| *out += gain * sample);
    }
    let gain = SPEECH_RMS / speech_rms(&echo) * 10.0_f32.powf(relative_db / 20.0);
    echo.iter_mut().for_each(|s| *s *= gain);
    echo
}

fn process(on: Processing, far: Option<&[f32]>, near: &[f32]) -> (Vec<f32>, Vec<Heard>) {
    process_stereo(on, far.map(|far| [far, far]), near)
}

/// The same with loudspeakers that play each its own.
fn process_stereo(on: Processing, far: Option<[&[f32]; 2]>, near: &[f32]) -> (Vec<f32>, Vec<Heard>) {
    let mut processor = Processor::new(on);
    let (mut out, mut heard) = (Vec::new(), Vec::new());
    let (blocks, _) = near.as_chunks::<BLOCK>();
    for (at, block) in blocks.iter().enumerate() {
        if let Some([Some(left), Some(right)]) = far.map(|far| far.map(|side| side.as_chunks::<BLOCK>().0.get(at))) {
            processor.far_end(&[*left, *right]);
        }
        let mut block = *block;
        heard.push(processor.near_end(&mut block));
        out.extend(block);
    }
    (out, heard)
}

/// How much a recording sounds like what was said, PESQ wideband, and by how many milliseconds it lags.
fn score(said: &[f32], heard: &[f32]) -> Result<(f64, f64), Failed> {
    let dir = tempfile::tempdir()?;
    let write = |name: &str, samples: &[f32]| -> Result<PathBuf, Failed> {
        let path = dir.path().join(name);
        let sample_format = hound::SampleFormat::Int;
        let spec = hound::WavSpec { channels: 1, sample_rate: 48_000, bits_per_sample: 16, sample_format };
        let mut wav = hound::WavWriter::create(&path, spec)?;
        for sample in samples {
            wav.write_sample((sample * 32_767.0).clamp(-32_768.0, 32_767.0) as i16)?;
        }
        wav.finalize()?;
        Ok(path)
    };
    let files = [write("said.wav", said)?, write("heard.wav", heard)?];
    let script = fs::canonicalize(root().join("tests/score.py"))?;
    let output = Command::new(root().join(".venv/bin/python")).arg(script).args(files).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    let json: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let number = |name: &str| json[name].as_f64().ok_or("the score lacks a number");
    Ok((number("pesq")?, number("lag_ms")?))
}

fn check(holds: bool, figure: String) -> Result<(), Failed> {
    println!("    {figure}");
    if holds { Ok(()) } else { Err(figure.into()) }
}

const SPEECH_ONLY: Processing = Processing { echo: true, noise: true, gain: false, high_pass: true };

fn switched_off() -> Result<(), Failed> {
    let near = other_voice(5 * SECOND)?;
    let (out, _) = process(Processing::NONE, Some(&near), &near);
    check(out == near, "with everything off each sample comes out as it went in".into())
}

fn nonsense() -> Result<(), Failed> {
    let mut near = other_voice(10 * SECOND)?;
    for (at, nonsense) in [f32::NAN, f32::INFINITY, -f32::INFINITY, 1e30].into_iter().enumerate() {
        near[SECOND + at * 7_001] = nonsense;
    }
    let (out, _) = process(Processing::default(), Some(&near), &near);
    let (clean, _) = process(Processing { echo: false, ..Processing::default() }, None, &near);
    check(out.iter().all(|s| s.is_finite() && s.abs() <= 1.0), "all that comes out is sound".into())?;
    let after = db(&clean[5 * SECOND..]);
    check(after > -40.0, format!("and it goes on afterwards, at {after:.1} dBFS"))
}

fn echo_is_gone() -> Result<(), Failed> {
    let far = other_voice(25 * SECOND)?;
    let mut random = Random(7);
    for relative_db in [-10.0, 0.0] {
        let echo = echo_of(&far, relative_db);
        let mic: Vec<f32> = echo.iter().map(|s| s + 3e-4 * random.next()).collect();
        for (name, on) in [("without gain", SPEECH_ONLY), ("all", Processing::default())] {
            let (out, _) = process(on, Some(&far), &mic);
            let loss =
                |from: usize, to: usize| db(&mic[from * SECOND..to * SECOND]) - db(&out[from * SECOND..to * SECOND]);
            let loss_db = loss(15, 25);
            // Seconds in which the other side says something: of silence nothing can be lost.
            let mut spoken = (0..24).filter(|second| db(&echo[second * SECOND..(second + 1) * SECOND]) > -50.0);
            let late = spoken.rfind(|second| loss(*second, second + 1) < 30.0).map_or(0, |second| second + 1);
            let figure = format!(
                "echo {relative_db} dB, {name}: loses {:.1} dB in the first second, {:.1} at 1-3 s, {:.1} at 3-6 s, \
                 {loss_db:.1} at 15-25 s; each second loses 30 dB from {late} s on",
                loss(0, 1),
                loss(1, 3),
                loss(3, 6)
            );
            check(loss_db >= 30.0 && late <= 2, figure)?;
        }
    }
    Ok(())
}

/// For ten seconds nobody speaks.
fn first_word_late() -> Result<(), Failed> {
    let mut far = vec![0.0; 10 * SECOND];
    far.extend(other_voice(8 * SECOND)?);
    let mut random = Random(7);
    let mic: Vec<f32> = echo_of(&far, -10.0).iter().map(|s| s + 3e-4 * random.next()).collect();
    let (out, _) = process(Processing::default(), Some(&far), &mic);
    let loss = |from: usize, to: usize| db(&mic[from * SECOND..to * SECOND]) - db(&out[from * SECOND..to * SECOND]);
    let figure = format!(
        "the first word after 10 s: loses {:.1} dB in its second, {:.1} in the next, {:.1} in the third, then {:.1}",
        loss(10, 11),
        loss(11, 12),
        loss(12, 13),
        loss(13, 18)
    );
    check(loss(12, 13) >= 30.0 && loss(13, 18) >= 30.0, figure)
}

/// Somebody moves the microphone: the sound goes 5 ms further, another way round the room.
fn path_changes() -> Result<(), Failed> {
    let far = other_voice(20 * SECOND)?;
    let mut echo = echo_of(&far, -10.0);
    let further: Vec<f32> = std::iter::repeat_n(0.0, 5 * 48).chain(far.iter().map(|s| -s)).collect();
    let other = echo_of(&further[..far.len()], -13.0);
    echo[10 * SECOND..].copy_from_slice(&other[10 * SECOND..]);
    for noise in [3e-4, 6e-3] {
        let mut random = Random(7);
        let mic: Vec<f32> = echo.iter().map(|s| s + noise * random.next()).collect();
        let (out, _) = process(SPEECH_ONLY, Some(&far), &mic);
        let loss =
            |from: usize, to: usize| db(&echo[from * SECOND..to * SECOND]) - db(&out[from * SECOND..to * SECOND]);
        let figure = format!(
            "noise at {:.0} dBFS, a path that changes: loses {:.1} dB the second before, {:.1} the second after, {:.1} the next, \
             then {:.1}, at the end {:.1}",
            20.0 * (noise / 3.0_f32.sqrt()).log10(),
            loss(9, 10),
            loss(10, 11),
            loss(11, 12),
            loss(12, 13),
            loss(17, 20)
        );
        check(loss(12, 13) >= if noise < 1e-3 { 25.0 } else { 10.0 }, figure)?;
    }
    Ok(())
}

/// Sound by a clock that is slower by so many parts in a million.
fn by_another_clock(samples: &[f32], ppm: f32) -> Vec<f32> {
    const HALF: isize = 16;
    let at = |index: isize| usize::try_from(index).ok().and_then(|index| samples.get(index)).copied().unwrap_or(0.0);
    let count = (samples.len() as f64 / (1.0 + f64::from(ppm) * 1e-6)) as usize;
    let sample = |n: usize| -> f32 {
        let place = n as f64 * (1.0 + f64::from(ppm) * 1e-6);
        let (whole, part) = (place.floor() as isize, place.fract() as f32);
        // A sinc in a Hann window.
        (1 - HALF..=HALF)
            .map(|tap| {
                let x = std::f32::consts::PI * (tap as f32 - part);
                let sinc = if x.abs() < 1e-6 { 1.0 } else { x.sin() / x };
                at(whole + tap) * sinc * (0.5 + 0.5 * (x / HALF as f32).cos())
            })
            .sum()
    };
    (0..count).map(sample).collect()
}

/// A microphone and loudspeakers of two cards: in the time of one second of the microphone more or less than a second is played.
fn clocks_differ() -> Result<(), Failed> {
    let far = other_voice(40 * SECOND)?;
    let echo = echo_of(&far, -10.0);
    for ppm in [0.0, 20.0, 50.0, -100.0, 300.0] {
        let mut random = Random(7);
        let heard = by_another_clock(&echo, ppm);
        let mic: Vec<f32> = heard.iter().map(|s| s + 3e-4 * random.next()).collect();
        let mut processor = Processor::new(SPEECH_ONLY);
        let (mut out, mut played) = (Vec::new(), far.as_chunks::<BLOCK>().0.iter());
        let mut given = 0;
        for (at, block) in mic.as_chunks::<BLOCK>().0.iter().enumerate() {
            // A block is taken in before it is heard.
            while (given as f64) < (at + 2) as f64 * (1.0 + f64::from(ppm) * 1e-6) {
                if let Some(far) = played.next() {
                    processor.far_end(&[*far, *far]);
                }
                given += 1;
            }
            let mut block = *block;
            processor.near_end(&mut block);
            out.extend(block);
        }
        let loss = |from: usize, to: usize| db(&mic[from * SECOND..to * SECOND]) - db(&out[from * SECOND..to * SECOND]);
        let figure = format!(
            "clocks {ppm} ppm apart: loses {:.1} dB at 1-3 s, {:.1} at 3-6 s, {:.1} at 6-10 s, {:.1} at 20-39 s",
            loss(1, 3),
            loss(3, 6),
            loss(6, 10),
            loss(20, 39)
        );
        check(loss(20, 39) >= if ppm.abs() < 60.0 { 35.0 } else { 25.0 }, figure)?;
    }
    Ok(())
}

/// What two loudspeakers play of two voices by turns, two seconds each, one at the left and one at the right.
fn two_places(voice: &[f32]) -> [Vec<f32>; 2] {
    let (mut left, mut right) = (vec![0.0; voice.len()], vec![0.0; voice.len()]);
    // Of the quieter side the sound comes 0.4 ms later, as places do it.
    for at in 19..voice.len() {
        let (near, far) = (1.3 * voice[at], 0.5 * voice[at - 19]);
        (left[at], right[at]) = if (at / (2 * SECOND)).is_multiple_of(2) { (near, far) } else { (far, near) };
    }
    [left, right]
}

/// Their echo; the right loudspeaker is further away by so many samples, and its sound goes another way round the room.
fn echo_of_two([left, right]: [&[f32]; 2], further: usize) -> Vec<f32> {
    let mut echo = echo_of(left, -10.0);
    let shifted: Vec<f32> = std::iter::repeat_n(0.0, further).chain(right.iter().map(|s| -0.8 * s)).collect();
    let other = echo_of(&shifted[..right.len()], -13.0);
    echo.iter_mut().zip(&other).for_each(|(echo, other)| *echo += other);
    echo
}

/// With `--spatial`: two far voices by turns, one at the left and one at the right, and two loudspeakers with paths of their own.
fn echo_with_places() -> Result<(), Failed> {
    let [left, right] = two_places(&other_voice(30 * SECOND)?);
    let echo = echo_of_two([&left, &right], 29);
    let mut random = Random(7);
    let mic: Vec<f32> = echo.iter().map(|s| s + 3e-4 * random.next()).collect();
    let loss = |out: &[f32], from: usize, to: usize| {
        db(&mic[from * SECOND..to * SECOND]) - db(&out[from * SECOND..to * SECOND])
    };
    let (out, _) = process_stereo(SPEECH_ONLY, Some([&left, &right]), &mic);
    let mixed: Vec<f32> = left.iter().zip(&right).map(|(left, right)| (left + right) / 2.0).collect();
    let (out_mono, _) = process(SPEECH_ONLY, Some(&mixed), &mic);
    let loss_db = loss(&out, 18, 30);
    let figure = format!(
        "echo of places: loses {:.1} dB at 2-6 s, {loss_db:.1} at 18-30 s; with one path for both {:.1} and {:.1}",
        loss(&out, 2, 6),
        loss(&out_mono, 2, 6),
        loss(&out_mono, 18, 30)
    );
    check(loss_db >= 30.0 && loss_db > loss(&out_mono, 18, 30) + 15.0, figure)
}

/// One voice in the middle at first, from 10 s on two at their places; at 24 s somebody moves the right loudspeaker.
fn places_change() -> Result<(), Failed> {
    let voice = other_voice(40 * SECOND)?;
    let [mut left, mut right] = two_places(&voice);
    [&mut left, &mut right].into_iter().for_each(|side| side[..10 * SECOND].copy_from_slice(&voice[..10 * SECOND]));
    let mut echo = echo_of_two([&left, &right], 29);
    let moved = echo_of_two([&left, &right], 129);
    echo[24 * SECOND..].copy_from_slice(&moved[24 * SECOND..]);
    let mut random = Random(7);
    let mic: Vec<f32> = echo.iter().map(|s| s + 3e-4 * random.next()).collect();
    let (out, _) = process_stereo(SPEECH_ONLY, Some([&left, &right]), &mic);
    let loss = |from: usize, to: usize| db(&mic[from * SECOND..to * SECOND]) - db(&out[from * SECOND..to * SECOND]);
    let figure = format!(
        "places from 10 s on, moved at 24 s: loses {:.1} dB at 5-10 s, {:.1} at 10-14, {:.1} at 14-18, {:.1} at 18-24; {:.1} at 24-28, {:.1} at \
         28-32, {:.1} at 32-40",
        loss(5, 10),
        loss(10, 14),
        loss(14, 18),
        loss(18, 24),
        loss(24, 28),
        loss(28, 32),
        loss(32, 40)
    );
    check(loss(18, 24) >= 25.0 && loss(32, 40) >= 20.0, figure)
}

fn double_talk() -> Result<(), Failed> {
    let near = clips()?;
    // Before both speak only the other side does, for so many seconds, from which the canceller learns.
    let scenes = [(12, -20.0, 3.0), (12, -10.0, 3.0), (12, 0.0, 3.0), (3, -10.0, 3.0), (0, -10.0, 3.0)];
    for (alone_s, relative_db, pesq_min) in scenes {
        let alone = alone_s * SECOND;
        // The other side says the same words at other times.
        let far: Vec<f32> = near.iter().copied().cycle().skip(6 * SECOND).take(alone + near.len() + SECOND).collect();
        let mut random = Random(7);
        let mut mic: Vec<f32> = echo_of(&far, relative_db).iter().map(|s| s + 3e-4 * random.next()).collect();
        mic[alone..].iter_mut().zip(&near).for_each(|(out, sample)| *out += sample);
        let (before, _) = score(&near, &mic[alone..alone + near.len()])?;
        let (out, _) = process(SPEECH_ONLY, Some(&far), &mic);
        let (pesq, lag_ms) = score(&near, &out[alone..])?;
        let figure = format!(
            "echo {relative_db} dB, {alone_s} s to learn: near speech PESQ {pesq:.2}, unprocessed {before:.2}, lag {lag_ms} ms"
        );
        check(pesq >= pesq_min, figure)?;
    }
    Ok(())
}

fn clean_speech() -> Result<(), Failed> {
    let near = clips()?;
    let silence = vec![0.0; near.len()];
    let parts = [
        ("high-pass", Processing { high_pass: true, ..Processing::NONE }, 4.4),
        ("echo, nothing played", Processing { echo: true, ..Processing::NONE }, 4.4),
        ("noise", Processing { noise: true, ..Processing::NONE }, 4.2),
        ("gain", Processing { gain: true, ..Processing::NONE }, 4.2),
        ("all", Processing::default(), 4.0),
    ];
    for (name, on, pesq_min) in parts {
        let (out, _) = process(on, Some(&silence), &near);
        let (pesq, lag_ms) = score(&near, &out)?;
        let said = Processor::new(on).delay().as_secs_f64() * 1000.0;
        check(pesq >= pesq_min, format!("{name}: PESQ {pesq:.2}, lag {lag_ms:.1} ms"))?;
        check((lag_ms - said).abs() < 1.5, format!("{name}: said to lag {said} ms"))?;
    }
    Ok(())
}

fn noise() -> Result<(), Failed> {
    let near = clips()?;
    let on = Processing { noise: true, high_pass: true, ..Processing::NONE };
    for kind in ["white", "room", "fan"] {
        for snr_db in [20.0_f32, 10.0] {
            let gain = SPEECH_RMS * 10.0_f32.powf(-snr_db / 20.0);
            let noise = make_noise(kind, near.len());
            let mic: Vec<f32> = near.iter().zip(&noise).map(|(s, n)| s + gain * n).collect();
            let (out, _) = process(on, None, &mic);
            let (before, _) = score(&near, &mic)?;
            let (after, _) = score(&near, &out)?;
            check(after > before + 0.1, format!("{kind} at {snr_db} dB: PESQ {before:.2} -> {after:.2}"))?;
        }
    }
    Ok(())
}

fn loudness() -> Result<(), Failed> {
    let voice = other_voice(20 * SECOND)?;
    let mut levels = Vec::new();
    for gain_db in [-20.0_f32, 0.0, 10.0] {
        let near: Vec<f32> = voice.iter().map(|s| s * 10.0_f32.powf(gain_db / 20.0)).collect();
        let (out, _) = process(Processing::default(), None, &near);
        let level = 20.0 * speech_rms(&out[12 * SECOND..]).log10();
        println!("    spoken at {:.0} dBFS: sent at {level:.1}", -26.0 + gain_db);
        levels.push(level);
    }
    let spread = levels.iter().copied().fold(f32::MIN, f32::max) - levels.iter().copied().fold(f32::MAX, f32::min);
    check(spread < 8.0, format!("30 dB apart go in, {spread:.1} dB apart come out"))
}

/// Blocks whose speech must be sent, and blocks that are far from any.
fn labels(near: &[f32]) -> (Vec<bool>, Vec<bool>) {
    let level: Vec<f32> = near.chunks(BLOCK).map(db).collect();
    let quiet = |from: usize, to: usize| level[from..to.min(level.len())].iter().all(|level| *level < -60.0);
    let spoken = level.iter().map(|level| *level > -46.0).collect();
    let silent = (0..level.len()).map(|at| quiet(at.saturating_sub(60), at + 5)).collect();
    (spoken, silent)
}

fn talkspurts() -> Result<(), Failed> {
    let mut near = clips()?;
    near.extend(vec![0.0; 20 * SECOND]);
    let (spoken, silent) = labels(&near);
    let energy: Vec<f32> = near.chunks(BLOCK).map(|b| b.iter().map(|s| s * s).sum()).collect();
    let scenes = [("none", 60.0_f32), ("room", 30.0), ("white", 20.0), ("room", 20.0), ("fan", 20.0), ("room", 10.0)];
    for (kind, snr_db) in scenes {
        let gain = SPEECH_RMS * 10.0_f32.powf(-snr_db / 20.0);
        let noise = make_noise(kind, near.len());
        let mic: Vec<f32> = near.iter().zip(&noise).map(|(s, n)| s + gain * n).collect();
        let (_, heard) = process(Processing { echo: false, ..Processing::default() }, None, &mic);
        // What is judged now came in when the delay began.
        let voice: Vec<bool> = heard[1..].iter().map(|heard| heard.voice).chain([false]).collect();
        let lost: f32 = (0..voice.len()).filter(|at| !voice[*at] && spoken[*at]).map(|at| energy[at]).sum();
        let lost_percent = 100.0 * lost / energy.iter().sum::<f32>();
        let count = |of: &dyn Fn(usize) -> bool| (0..voice.len()).filter(|at| of(*at)).count();
        let false_percent = 100.0 * count(&|at| voice[at] && silent[at]) as f32 / count(&|at| silent[at]) as f32;
        let figure = format!(
            "{kind} noise at {snr_db} dB: {lost_percent:.2} % of the speech cut, {false_percent:.1} % of the pauses sent"
        );
        check(lost_percent < 1.0 && false_percent < 10.0, figure)?;
        let loud = heard.iter().zip(&silent).filter(|(h, s)| **s && !h.voice).all(|(h, _)| h.level == Level::SILENCE);
        check(loud, "outside talkspurts the level is silence".into())?;
    }
    Ok(())
}
