//! Real speech to say in tests, and how much of it somebody heard.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use hound::{SampleFormat, WavReader, WavSpec, WavWriter};
use serde::Deserialize;

use crate::tree;

/// The eight clips of real speech that Debian's `alsa-utils` brings: 48 kHz, mono, 16 bits.
const CLIPS: [&str; 8] =
    ["Front_Left", "Front_Center", "Front_Right", "Rear_Center", "Rear_Left", "Rear_Right", "Side_Left", "Side_Right"];
const CLIPS_FOLDER: &str = "/usr/share/sounds/alsa";
/// Silence before and after the clips, so that what is said first and last is as clean as the rest.
const MARGIN_SAMPLES: usize = 48_000;

/// What a test needs and this machine lacks; none when all is there.
#[must_use]
pub fn missing(programs: &[&str]) -> Option<String> {
    let found = |name: &&&str| {
        let paths = env::var_os("PATH").unwrap_or_default();
        env::split_paths(&paths).any(|folder| folder.join(name).is_file())
    };
    if let Some(program) = programs.iter().find(|program| !found(program)) {
        return Some(format!("{program} is not installed"));
    }
    if !CLIPS.iter().all(|clip| clip_path(clip).is_file()) {
        return Some(format!("the speech of alsa-utils is not in {CLIPS_FOLDER}"));
    }
    (!python().is_file()).then(|| "there is no .venv with the speech quality score; ./dev test makes it".to_owned())
}

/// Whether a test that lacks something fails instead of being skipped: in continuous integration it does.
#[must_use]
pub fn must_run() -> bool {
    env::var_os("CI").is_some_and(|value| !value.is_empty())
}

fn clip_path(name: &str) -> PathBuf {
    Path::new(CLIPS_FOLDER).join(name).with_extension("wav")
}

fn python() -> PathBuf {
    tree::root().join(".venv/bin/python")
}

/// Writes the clips, one after the other, to a file, and returns its length in seconds.
///
/// # Panics
/// When the clips cannot be read or the file not be written.
#[must_use]
pub fn write_clips(file: &Path) -> f64 {
    let (samples, _) = read_clips();
    write_wav(file, &samples);
    samples.len() as f64 / 48_000.0
}

/// The clips between two margins, and where each lies: first sample and length.
fn read_clips() -> (Vec<i16>, Vec<(usize, usize)>) {
    let spec = WavSpec { channels: 1, sample_rate: 48_000, bits_per_sample: 16, sample_format: SampleFormat::Int };
    let mut samples = vec![0_i16; MARGIN_SAMPLES];
    let mut spans = Vec::new();
    for clip in CLIPS {
        let mut reader = WavReader::open(clip_path(clip)).expect("a clip");
        assert_eq!(reader.spec(), spec, "{clip}");
        let start = samples.len();
        samples.extend(reader.samples::<i16>().map(|sample| sample.expect("a sample")));
        spans.push((start, samples.len() - start));
    }
    samples.extend(vec![0; MARGIN_SAMPLES]);
    (samples, spans)
}

/// The clips said twice, for what must learn the network first.
pub struct Clips {
    /// All of it, 48 kHz mono.
    pub twice: Vec<f32>,
    /// The same as a file.
    pub file: PathBuf,
    /// Where the clips of the second time are: first sample and length.
    pub spans: Vec<(usize, usize)>,
}

impl Clips {
    /// Reads them, and writes the file into `folder`.
    ///
    /// # Panics
    /// When the clips cannot be read or the file not be written.
    #[must_use]
    pub fn write(folder: &Path) -> Self {
        let (once, spans) = read_clips();
        let twice = [once.as_slice(), once.as_slice()].concat();
        let file = folder.join("said.wav");
        write_wav(&file, &twice);
        Clips {
            twice: twice.iter().map(|sample| f32::from(*sample) / 32_768.0).collect(),
            file,
            spans: spans.iter().map(|(start, length)| (once.len() + start, *length)).collect(),
        }
    }
}

/// Writes 48 kHz mono samples to a WAV file.
///
/// # Panics
/// When the file cannot be written.
pub fn write_wav(file: &Path, samples: &[i16]) {
    let spec = WavSpec { channels: 1, sample_rate: 48_000, bits_per_sample: 16, sample_format: SampleFormat::Int };
    let mut writer = WavWriter::create(file, spec).expect("a file");
    samples.iter().for_each(|sample| writer.write_sample(*sample).expect("room on the disk"));
    writer.finalize().expect("room on the disk");
}

/// The same for what `parec` writes: bare little-endian samples.
///
/// # Panics
/// When a file cannot be read or written.
pub fn wav_of_raw(raw: &Path, file: &Path) {
    let bytes = fs::read(raw).expect("a recording");
    let samples: Vec<i16> = bytes.as_chunks::<2>().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect();
    write_wav(file, &samples);
}

/// How much a recording sounds like what was said; `tests/score.py` says what the numbers mean.
#[derive(Clone, Debug, Deserialize)]
pub struct Score {
    /// Where in the recording what was said begins.
    pub lag_ms: f64,
    /// Of the whole.
    pub correlation: f64,
    /// Of each piece of 400 ms with speech.
    pub windows: Vec<f64>,
    /// PESQ wideband, 1.0 to 4.64.
    pub pesq: f64,
}

impl Score {
    /// The correlation that half the pieces reach.
    #[must_use]
    pub fn median_window(&self) -> f64 {
        let mut windows = self.windows.clone();
        windows.sort_by(f64::total_cmp);
        windows.get(windows.len() / 2).copied().unwrap_or_default()
    }
}

/// Compares a recording with what was said.
///
/// # Panics
/// When the score cannot be had.
#[must_use]
pub fn score(said: &Path, heard: &Path) -> Score {
    let output = Command::new(python())
        .arg(tree::root().join("tests/score.py"))
        .args([said, heard])
        .output()
        .expect("python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("the score is JSON")
}

/// How much a recording sounds like what was said; `tests/quality.py` says what the numbers mean.
#[derive(Clone, Debug, Deserialize)]
pub struct Quality {
    /// PESQ wideband, 1.0 to 4.64.
    pub pesq: f64,
    /// Short-time objective intelligibility, 0 to 1.
    pub stoi: f64,
    /// How much later each span is heard than it was said.
    pub lags: Vec<f64>,
}

/// Compares recordings with those spans of what was said: first sample and length.
///
/// # Panics
/// When the scores cannot be had.
#[must_use]
pub fn quality(said: &Path, spans: &[(usize, usize)], heard: &[PathBuf]) -> Vec<Quality> {
    let spans: Vec<String> = spans.iter().map(|(start, length)| format!("{start}+{length}")).collect();
    let output = Command::new(python())
        .arg(tree::root().join("tests/quality.py"))
        .arg(said)
        .arg(spans.join(","))
        .args(heard)
        .output()
        .expect("python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).expect("the score is JSON")).collect()
}
