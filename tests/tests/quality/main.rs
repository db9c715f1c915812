//! How speech sounds after a bad network, as a table: the program beside concealment alone and beside a buffer of fixed length.
//!
//! Real speech goes through the encoder, over a network model, and through the jitter buffer and the decoder, all in virtual time: the same
//! build prints the same table. What the listener lost is reported, the encoder adapts, and it is all said again over the same
//! network; the second half of that is scored, when the buffer has learned the network. `--features deep` prints it for libopus's deep models.

mod listener;
mod network;

use std::{
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use libtest_mimic::{Arguments, Failed, Trial};
use treehouse_audio::{
    JitterConfig,
    encode::{Adaptation, EncoderSettings, LossReport, Sizes},
    jitter::JitterCounts,
};
use treehouse_tests::speech::{Clips, Quality, missing, must_run, quality, write_wav};
use treehouse_wire::Losses;

use crate::{
    listener::{Heard, adaptive, encode, fixed, mixed},
    network::{Jitter, Loss, arrivals},
};

/// Networks of each kind, each with its own seed and phase; `TREEHOUSE_NETWORKS` asks for more.
const SEEDS: u64 = 8;
const FIXED: Duration = Duration::from_millis(60);

struct Condition {
    name: &'static str,
    loss: Loss,
    jitter: Jitter,
    pesq_min: f64,
    stoi_min: f64,
    /// Only builds with the deep models are held to it.
    deep: bool,
}

/// The thresholds are promises of issue 5; STOI where it names one.
const CONDITIONS: [Condition; 4] = [
    Condition { name: "no loss", loss: Loss::None, jitter: Jitter::None, pesq_min: 4.2, stoi_min: 0.99, deep: false },
    Condition {
        name: "10 % random loss",
        loss: Loss::Random(0.10),
        jitter: Jitter::None,
        pesq_min: 3.6,
        stoi_min: 0.98,
        deep: false,
    },
    Condition {
        name: "bursts, 16 %",
        loss: Loss::Bursts { share: 0.16, frames: BURST_FRAMES },
        jitter: Jitter::None,
        pesq_min: 2.8,
        stoi_min: 0.0,
        deep: true,
    },
    Condition {
        name: "30 ms jitter",
        loss: Loss::None,
        jitter: Jitter::Around(30.0),
        pesq_min: 4.0,
        stoi_min: 0.0,
        deep: false,
    },
];
/// 60 ms: what copies alone make of such bursts is 2.1, however long one waits.
const BURST_FRAMES: f64 = 3.0;

fn main() {
    let arguments = Arguments::from_args();
    let lacking = missing(&[]).filter(|_| !must_run());
    if let Some(lacking) = &lacking {
        eprintln!("quality: skipped, {lacking}");
    }
    let trial = Trial::test("speech_survives_bad_networks", speech_survives_bad_networks);
    libtest_mimic::run(&arguments, vec![trial.with_ignored_flag(lacking.is_some())]).exit();
}

/// How the packets of a run are made and heard.
#[derive(Clone, Copy)]
enum Way {
    Program,
    ConcealmentAlone,
    Fixed,
}

const WAYS: [Way; 3] = [Way::Program, Way::ConcealmentAlone, Way::Fixed];

/// The settings after `report`. Where there is no redundancy its bits go into the sound.
fn settings(way: Way, adaptation: &Adaptation) -> EncoderSettings {
    let settings = adaptation.settings();
    match way {
        Way::ConcealmentAlone => EncoderSettings { fec: false, dred_ms: 0, expected_loss_percent: 0, ..settings },
        Way::Program | Way::Fixed => settings,
    }
}

/// What a speaker is told of what one listener lost.
fn as_told(lost: LossReport) -> LossReport {
    let one = Losses::of_one((lost.loss * 1000.0).round() as u16, lost.wants_deep());
    one.reckon().map(LossReport::of).expect("one listener")
}

/// Says it once over the network, reports what was lost, and says it again.
fn hear(speech: &[f32], condition: &Condition, way: Way, seed: u64) -> Heard {
    let count = (speech.len() / treehouse_audio::FRAME) as u32;
    let arrivals = arrivals(count, condition.loss, condition.jitter, seed);
    let phase = Duration::from_millis(seed * 4 % 20);
    let mut adaptation = Adaptation::new(Sizes::Free);
    let first = adaptive(&encode(speech, settings(way, &adaptation)), &arrivals, JitterConfig::default(), phase);
    let lost = LossReport::between(&JitterCounts::default(), &first.counts);
    adaptation.report(as_told(lost));
    let packets = encode(speech, settings(way, &adaptation));
    match way {
        Way::Fixed => fixed(&packets, &arrivals, FIXED),
        Way::Program | Way::ConcealmentAlone => adaptive(&packets, &arrivals, JitterConfig::default(), phase),
    }
}

fn networks() -> u64 {
    let asked: Option<u64> = std::env::var("TREEHOUSE_NETWORKS").ok().and_then(|count| count.parse().ok());
    asked.filter(|count| *count > 0).unwrap_or(SEEDS)
}

struct Row {
    name: &'static str,
    /// For each way: PESQ, STOI, and frames by how they came to be.
    scores: Vec<(f64, f64, [u32; 4])>,
}

fn row(folder: &Path, clips: &Clips, condition: &Condition) -> Row {
    let still = matches!((condition.loss, condition.jitter), (Loss::None, Jitter::None));
    let seeds = if still { 1 } else { networks() };
    let score = |way: Way| {
        let heard: Vec<Heard> = (1..=seeds).map(|seed| hear(&clips.twice, condition, way, seed)).collect();
        let files: Vec<PathBuf> = heard
            .iter()
            .zip(0..)
            .map(|(heard, n)| {
                let file = folder.join(format!("{}-{n}.wav", condition.name));
                write_pcm(&file, &heard.pcm);
                file
            })
            .collect();
        let scores = quality(&clips.file, &clips.spans, &files);
        let mean = |of: fn(&Quality) -> f64| scores.iter().map(of).sum::<f64>() / scores.len() as f64;
        let sum = heard.iter().fold([0; 4], |sum, heard| std::array::from_fn(|i| sum[i] + heard.outcomes[i]));
        (mean(|score| score.pesq), mean(|score| score.stoi), sum)
    };
    Row { name: condition.name, scores: WAYS.map(score).into() }
}

/// What evening the loudness costs: the same sound through the mixing desk with and without.
fn loudness(folder: &Path, clips: &Clips) -> Vec<Quality> {
    let packets = encode(&clips.twice, Adaptation::new(Sizes::Free).settings());
    let arrivals = arrivals(packets.len() as u32, Loss::None, Jitter::None, 1);
    let files = [true, false].map(|even| {
        let file = folder.join(format!("even-{even}.wav"));
        write_pcm(&file, &mixed(&packets, &arrivals, even));
        file
    });
    quality(&clips.file, &clips.spans, &files)
}

fn write_pcm(file: &Path, pcm: &[f32]) {
    write_wav(file, &pcm.iter().map(|s| (s * 32_767.0) as i16).collect::<Vec<_>>());
}

fn speech_survives_bad_networks() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let clips = Clips::write(folder.path());
    let build = if cfg!(feature = "deep") { "with" } else { "without" };
    println!("PESQ wideband / STOI of real speech, mean of {} networks, {build} deep models", networks());
    println!(
        "{:<18} {:>14} {:>19} {:>14}   frames decoded, FEC, DRED, concealed",
        "", "program", "concealment alone", "fixed 60 ms"
    );
    let mut failed = Vec::new();
    let (path, clips) = (folder.path(), &clips);
    let rows: Vec<Row> = thread::scope(|scope| {
        let row = |condition| scope.spawn(move || row(path, clips, condition));
        let running: Vec<_> = CONDITIONS.iter().map(row).collect();
        running.into_iter().map(|row| row.join().expect("a row")).collect()
    });
    for (condition, row) in CONDITIONS.iter().zip(rows) {
        let cell = |n: usize| format!("{:.2} / {:.3}", row.scores[n].0, row.scores[n].1);
        println!("{:<18} {:>14} {:>19} {:>14}   {:?}", row.name, cell(0), cell(1), cell(2), row.scores[0].2);
        let (pesq, stoi, _) = row.scores[0];
        let held = cfg!(feature = "deep") || !condition.deep;
        if held && (pesq < condition.pesq_min || stoi < condition.stoi_min) {
            failed.push(format!(
                "{}: {pesq:.3} / {stoi:.4}, promised {} / {}",
                row.name, condition.pesq_min, condition.stoi_min
            ));
        }
    }
    if let [even, as_it_came] = loudness(path, clips).as_slice() {
        println!(
            "without loss, through the mixing desk: loudness evened {:.2} / {:.3}, as it came {:.2} / {:.3}",
            even.pesq, even.stoi, as_it_came.pesq, as_it_came.stoi
        );
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("; ").into()) }
}
