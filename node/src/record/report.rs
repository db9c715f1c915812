//! `treehouse verify`: what a recording says, for a person or a program.

use std::{fs, path::Path};

use serde::Serialize;
use treehouse_wire::NodeId;

use super::{
    fault::Fault,
    proof_of,
    verify::{Said, Speaker, verify},
};
use crate::{
    cli::VerifyArgs,
    duration::utc,
    failure::Failure,
    peer::{peer_id, short},
};

/// Largest file that is read: four days of one voice.
const FILE_BYTES_MAX: u64 = 2 << 30;

/// What `--json` prints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Nothing is wrong with it.
    pub genuine: bool,
    /// The room's id, 64 hexadecimal digits.
    pub room: String,
    /// Its title.
    pub title: String,
    /// Its host.
    pub host: String,
    /// Who recorded.
    pub recorder: String,
    /// When it began, by the clock of whoever recorded.
    pub started_unix_s: u64,
    /// How long it is.
    pub ends_ms: u64,
    /// Who said something.
    pub speakers: Vec<SpeakerReport>,
    /// Frames that the host counted meanwhile.
    pub frames_counted: u64,
    /// Those of them that are missing.
    pub frames_missing: u64,
    /// Where they are missing.
    pub missing: Vec<MissingReport>,
    /// Accounts of the host that are missing.
    pub accounts_missing: u64,
    /// Packets and accounts that whoever recorded was too slow for.
    pub lost_by_recorder: u64,
    /// What is wrong, a sentence each.
    pub faults: Vec<String>,
}

/// One who said something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SpeakerReport {
    /// Who.
    pub peer: String,
    /// The name on the host's list.
    pub name: String,
    /// Its tracks, 0 being the mix.
    pub tracks: Vec<u8>,
    /// Frames of 20 ms that are in the sound.
    pub frames: u64,
    /// Frames that came too late for it.
    pub frames_late: u64,
    /// When it spoke, from and to, in milliseconds.
    pub spoke_ms: Vec<(u64, u64)>,
    /// By how much its times were moved.
    pub moved_ms: u64,
}

/// Where frames are missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MissingReport {
    /// Whose.
    pub peer: String,
    /// In the second before.
    pub at_ms: u64,
    /// How many.
    pub frames: u32,
}

impl Report {
    /// What was found.
    pub fn new(said: &Said) -> Self {
        let speaker = |speaker: &Speaker| SpeakerReport {
            peer: peer_id(&speaker.node),
            name: speaker.name.clone(),
            tracks: speaker.tracks.iter().copied().collect(),
            frames: speaker.frames,
            frames_late: speaker.late,
            spoke_ms: speaker.spoke.iter().map(|(from, to)| (from.ms(), to.ms())).collect(),
            moved_ms: speaker.moved.saturating_mul(20),
        };
        let missing = said.missing.iter().map(|missing| MissingReport {
            peer: peer_id(&missing.node),
            at_ms: missing.at.ms(),
            frames: missing.frames,
        });
        let heard = said.speakers.iter().filter(|speaker| speaker.frames + speaker.late > 0);
        Report {
            genuine: said.faults.is_empty(),
            room: said.room.to_string(),
            title: said.charter.title.to_string(),
            host: peer_id(&said.charter.founder),
            recorder: peer_id(&said.recorder),
            started_unix_s: said.started.0,
            ends_ms: said.end.ms(),
            speakers: heard.map(speaker).collect(),
            frames_counted: said.counted,
            frames_missing: said.missing.iter().map(|missing| u64::from(missing.frames)).sum(),
            missing: missing.collect(),
            accounts_missing: said.accounts_missing,
            lost_by_recorder: said.lost,
            faults: said.faults.iter().map(Fault::to_string).collect(),
        }
    }

    /// The same for a person.
    pub fn lines(&self, said: &Said) -> Vec<String> {
        let mut lines = vec![
            format!("the room \"{}\" of {}", self.title, self.host),
            format!("recorded by {} from {} on, {} long", self.recorder, utc(said.started), said.end),
        ];
        let name = |node: &NodeId| {
            let speaker = said.speakers.iter().find(|speaker| speaker.node == *node);
            speaker.map_or_else(|| peer_id(node), |speaker| named(speaker, said))
        };
        let spoke = said.speakers.iter().flat_map(|speaker| speaker.spoke.iter().map(move |span| (span, speaker)));
        let mut spoke: Vec<_> = spoke.collect();
        spoke.sort_by_key(|(span, _)| **span);
        lines.extend(spoke.iter().map(|((from, to), speaker)| format!("  {from} - {to}  {}", named(speaker, said))));
        for speaker in said.speakers.iter().filter(|speaker| speaker.frames + speaker.late > 0) {
            let tracks: Vec<String> = speaker.tracks.iter().map(u8::to_string).collect();
            let mut line = format!(
                "{} is {}: {} frames on track {}",
                named(speaker, said),
                peer_id(&speaker.node),
                speaker.frames,
                tracks.join(", ")
            );
            if speaker.late > 0 {
                line += &format!(", {} that came too late for the sound are in the proof alone", speaker.late);
            }
            if speaker.moved > 0 {
                line += &format!(", moved by {} ms in all to keep in step", speaker.moved.saturating_mul(20));
            }
            lines.push(line);
        }
        lines.push(match (self.frames_counted, self.frames_missing) {
            (0, _) => "the host has counted nothing of it: what is missing altogether cannot be told".to_owned(),
            (counted, 0) => format!("none of the {counted} frames that the host counted is missing"),
            (counted, missing) => format!(
                "{missing} of {counted} frames that the host counted are missing: they were lost on their way, or left out by whoever \
                 recorded; nobody can tell which"
            ),
        });
        lines.extend(
            said.missing
                .iter()
                .map(|missing| format!("  {}  {} of {}", missing.at, missing.frames, name(&missing.node))),
        );
        if self.accounts_missing > 0 {
            lines.push(format!(
                "{} accounts of the host are missing: what was said then may be missing too, without being counted",
                self.accounts_missing
            ));
        }
        if self.lost_by_recorder > 0 {
            lines.push(format!("the recorder's disk was too slow for {} packets", self.lost_by_recorder));
        }
        if self.genuine {
            lines
                .push("genuine: every frame is signed by who said it, and nothing was cut or altered since".to_owned());
        }
        lines
    }
}

/// The name, and the end of the key where two have the same.
fn named(speaker: &Speaker, said: &Said) -> String {
    let alike = said.speakers.iter().filter(|other| other.name == speaker.name).count();
    match (alike, speaker.name.is_empty()) {
        (1, false) => speaker.name.clone(),
        _ => format!("{} ({})", speaker.name, short(&peer_id(&speaker.node))),
    }
}

/// `treehouse verify`.
///
/// # Errors
/// [`Failure::Usage`] where a file cannot be read or is no proof, [`Failure::Failed`] where the recording is not genuine.
pub fn run(args: &VerifyArgs) -> Result<(), Failure> {
    let proof = args.proof.clone().unwrap_or_else(|| proof_of(&args.file));
    let (sound, bytes) = (read(&args.file)?, read(&proof)?);
    let said = verify(&sound, &bytes)
        .map_err(|error| Failure::Failed(format!("{}: {}", proof.display(), Fault::Proof(error))))?;
    let report = Report::new(&said);
    if args.json {
        say!("{}", serde_json::to_string(&report).unwrap_or_default());
    } else {
        say!("{}", report.lines(&said).join("\n"));
    }
    let bad = |fault: &&Fault| !(args.unfinished && matches!(fault, Fault::Unfinished { .. }));
    let bad: Vec<String> = said.faults.iter().filter(bad).map(Fault::to_string).collect();
    if bad.is_empty() { Ok(()) } else { Err(Failure::Failed(bad.join("; "))) }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let usage = |why: String| Failure::Usage(format!("cannot read {}: {why}", path.display()));
    let len = fs::metadata(path).map_err(|error| usage(error.to_string()))?.len();
    if len > FILE_BYTES_MAX {
        return Err(usage(format!("it is larger than {FILE_BYTES_MAX} bytes")));
    }
    fs::read(path).map_err(|error| usage(error.to_string()))
}
