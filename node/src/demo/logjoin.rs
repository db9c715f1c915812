//! Joins what speakers captured with what a listener played, by (voice, frame).
//!
//! *Expected* of a listener is every frame that a speaker's own log says it captured, from one second after the
//! listener's first audio to the end of the comparison. The end is the moment at which the speakers are told to stop;
//! listeners stay long enough after it to play what is still on its way, so that the tail does not count as lost.
//! *Heard* is what was decoded from a verified packet before its playout time: redundancy and concealment count as lost.

use std::collections::{BTreeMap, HashMap};

use treehouse_wire::VoiceId;

use crate::framelog::{Entry, Outcome};

/// Nothing is expected until this long after a listener's first audio.
pub const SETTLING_NS: u64 = 1_000_000_000;
/// Length of a frame.
pub const FRAME_NS: u64 = 20_000_000;

/// What speakers captured: when each frame's last sample was, by voice and frame.
#[derive(Debug, Default)]
pub struct Spoken {
    voices: BTreeMap<VoiceId, BTreeMap<u32, u64>>,
}

impl Spoken {
    /// Adds the log of one speaker.
    pub fn add(&mut self, log: &[Entry]) {
        for entry in log {
            if let Entry::Captured { voice, frame, at_ns } = *entry {
                self.voices.entry(voice).or_default().insert(frame, at_ns);
            }
        }
    }

    /// Voices that were heard of.
    pub fn voices(&self) -> usize {
        self.voices.len()
    }

    /// Frames captured up to a moment.
    pub fn frames_until(&self, until_ns: u64) -> u64 {
        self.voices.values().flat_map(BTreeMap::values).filter(|at_ns| **at_ns <= until_ns).count() as u64
    }
}

/// What one listener's log says.
#[derive(Debug, Default)]
pub struct Listened {
    verified: HashMap<(VoiceId, u32), u64>,
    played: HashMap<(VoiceId, u32), (Outcome, u64)>,
    first_audio_ns: Option<u64>,
    last_audio_ns: u64,
    /// Entries that the log lacks, because the disk was too slow; absent where the log has no end.
    pub dropped: Option<u64>,
}

impl Listened {
    /// Reads the log of one listener.
    pub fn new(log: &[Entry]) -> Self {
        let mut listened = Listened::default();
        for entry in log {
            match *entry {
                Entry::Captured { .. } => {}
                Entry::Verified { voice, frame, at_ns } => {
                    listened.verified.entry((voice, frame)).or_insert(at_ns);
                }
                Entry::Played { voice, frame, outcome, at_ns } => listened.add_played(voice, frame, outcome, at_ns),
                Entry::End { dropped } => listened.dropped = Some(dropped),
            }
        }
        listened
    }

    fn add_played(&mut self, voice: VoiceId, frame: u32, outcome: Outcome, at_ns: u64) {
        self.played.entry((voice, frame)).or_insert((outcome, at_ns));
        if outcome == Outcome::Decoded {
            self.last_audio_ns = self.last_audio_ns.max(at_ns);
            self.first_audio_ns = Some(self.first_audio_ns.map_or(at_ns, |first| first.min(at_ns)));
        }
    }

    /// Distinct frames that came.
    pub fn frames_verified(&self) -> u64 {
        self.verified.len() as u64
    }

    /// From the first decoded sample to the last, in seconds.
    pub fn seconds(&self) -> f64 {
        self.first_audio_ns.map_or(0.0, |first| self.last_audio_ns.saturating_sub(first) as f64 / 1e9)
    }

    /// When the first decoded sample left the mixer.
    pub fn first_audio_ns(&self) -> Option<u64> {
        self.first_audio_ns
    }
}

/// A frame that was expected and not heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Its voice.
    pub voice: VoiceId,
    /// Its number.
    pub frame: u32,
    /// When its last sample was captured.
    pub captured_ns: u64,
    /// What was played instead; absent where its place in time was never played.
    pub instead: Option<Outcome>,
}

/// What one listener heard of what was said.
#[derive(Debug, Default)]
pub struct Heard {
    /// Frames that it should have heard.
    pub expected: u64,
    /// Frames that it heard.
    pub heard: u64,
    /// Frames whose place redundancy or concealment took.
    pub concealed: u64,
    /// Expected frames that were not heard, by voice, then by number.
    pub losses: Vec<Loss>,
    /// From each frame's last sample to its verification, in microseconds.
    pub network_delay_us: Vec<u64>,
    /// From each frame's first sample to when it left the mixer, in microseconds.
    pub mouth_to_ear_us: Vec<u64>,
}

/// Compares what was said until `until_ns` with what one listener heard.
pub fn join(spoken: &Spoken, listened: &Listened, until_ns: u64) -> Heard {
    let mut heard = Heard::default();
    let Some(first_audio_ns) = listened.first_audio_ns else { return heard };
    let from_ns = first_audio_ns + SETTLING_NS;
    for (&voice, frames) in &spoken.voices {
        for (&frame, &captured_ns) in frames.iter().filter(|(_, at_ns)| (from_ns..=until_ns).contains(at_ns)) {
            heard.expected += 1;
            if let Some(verified_ns) = listened.verified.get(&(voice, frame)) {
                heard.network_delay_us.push(verified_ns.saturating_sub(captured_ns) / 1_000);
            }
            let played = listened.played.get(&(voice, frame)).copied();
            if let Some((Outcome::Decoded, left_mixer_ns)) = played {
                heard.heard += 1;
                heard.mouth_to_ear_us.push((left_mixer_ns + FRAME_NS).saturating_sub(captured_ns) / 1_000);
            } else {
                heard.concealed += u64::from(played.is_some());
                let instead = played.map(|(outcome, _)| outcome);
                heard.losses.push(Loss { voice, frame, captured_ns, instead });
            }
        }
    }
    heard
}

/// The longest time within a span in which a listener heard nothing new of a voice that went on, in milliseconds, in
/// whole frames. It does not matter whether frames were lost, or playback paused until they came after all.
pub fn gap_ms(listened: &Listened, from_ns: u64, until_ns: u64) -> u64 {
    let mut plays: BTreeMap<VoiceId, Vec<u64>> = BTreeMap::new();
    for ((voice, _), (outcome, at_ns)) in &listened.played {
        if *outcome == Outcome::Decoded && (from_ns..=until_ns).contains(at_ns) {
            plays.entry(*voice).or_default().push(*at_ns);
        }
    }
    let mut longest_ns = 0;
    for times in plays.values_mut() {
        times.sort_unstable();
        let gaps = times.iter().zip(times.iter().skip(1)).map(|(a, b)| (b - a).saturating_sub(FRAME_NS));
        longest_ns = longest_ns.max(gaps.max().unwrap_or(0));
    }
    // A tick that comes a little late is no gap.
    longest_ns / FRAME_NS * (FRAME_NS / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: VoiceId = VoiceId([1; 8]);
    const B: VoiceId = VoiceId([2; 8]);
    const MS: u64 = 1_000_000;

    /// Captures a frame each 20 ms from time zero.
    fn speaker(voice: VoiceId, frames: u32) -> Vec<Entry> {
        (0..frames).map(|frame| Entry::Captured { voice, frame, at_ns: u64::from(frame + 1) * FRAME_NS }).collect()
    }

    /// Verifies each frame 3 ms after its last sample and plays it 40 ms later.
    fn listener(voice: VoiceId, frames: impl Iterator<Item = u32>, outcome: impl Fn(u32) -> Outcome) -> Vec<Entry> {
        frames
            .flat_map(|frame| {
                let at_ns = u64::from(frame + 1) * FRAME_NS + 3 * MS;
                let played = Entry::Played { voice, frame, outcome: outcome(frame), at_ns: at_ns + 40 * MS };
                [Entry::Verified { voice, frame, at_ns }, played]
            })
            .collect()
    }

    fn spoken(logs: &[Vec<Entry>]) -> Spoken {
        let mut spoken = Spoken::default();
        logs.iter().for_each(|log| spoken.add(log));
        spoken
    }

    #[test]
    fn all_that_was_said_a_second_after_the_first_audio_is_expected() {
        let spoken = spoken(&[speaker(A, 500), speaker(B, 500)]);
        // It comes late, at frame 100, and first audio is heard at 20 * 101 + 43 ms.
        let mut log = listener(A, 100..500, |_| Outcome::Decoded);
        log.extend(listener(B, 100..500, |_| Outcome::Decoded));
        let heard = join(&spoken, &Listened::new(&log), u64::MAX);
        let first_expected = (20 * 101 + 43 + 1_000_u64).div_ceil(20) - 1;
        assert_eq!(heard.expected, 2 * (500 - first_expected));
        assert_eq!(heard.heard, heard.expected);
        assert!(heard.losses.is_empty());
        assert!(heard.network_delay_us.iter().all(|us| *us == 3_000));
        assert!(heard.mouth_to_ear_us.iter().all(|us| *us == 63_000), "20 ms of frame, 3 of network, 40 of buffer");
    }

    #[test]
    fn redundancy_concealment_and_silence_count_as_lost() {
        let spoken = spoken(&[speaker(A, 200)]);
        let log = listener(A, (0..200).filter(|frame| *frame != 150), |frame| match frame {
            160 => Outcome::Fec,
            170 => Outcome::Concealed,
            _ => Outcome::Decoded,
        });
        let heard = join(&spoken, &Listened::new(&log), u64::MAX);
        assert_eq!((heard.expected - heard.heard, heard.concealed), (3, 2));
        let lost: Vec<_> = heard.losses.iter().map(|loss| (loss.frame, loss.instead)).collect();
        assert_eq!(lost, [(150, None), (160, Some(Outcome::Fec)), (170, Some(Outcome::Concealed))]);
    }

    #[test]
    fn what_is_said_after_the_end_is_not_expected() {
        let spoken = spoken(&[speaker(A, 300)]);
        let log = listener(A, 0..200, |_| Outcome::Decoded);
        let heard = join(&spoken, &Listened::new(&log), 200 * FRAME_NS);
        assert_eq!(heard.heard, heard.expected);
        assert_eq!(spoken.frames_until(200 * FRAME_NS), 200);
    }

    #[test]
    fn a_listener_that_never_heard_anything_is_told_apart_from_one_that_heard_all() {
        let heard = join(&spoken(&[speaker(A, 300)]), &Listened::new(&[]), u64::MAX);
        assert_eq!((heard.expected, heard.heard), (0, 0));
        assert_eq!(Listened::new(&[]).first_audio_ns(), None);
    }

    #[test]
    fn a_gap_is_the_longest_time_without_anything_new() {
        let lost =
            listener(A, 0..200, |frame| if (50..55).contains(&frame) { Outcome::Concealed } else { Outcome::Decoded });
        assert_eq!(gap_ms(&Listened::new(&lost), 0, u64::MAX), 100, "five frames were made up");
        assert_eq!(gap_ms(&Listened::new(&lost), 0, 40 * FRAME_NS), 0, "not within the span");
        // Nothing is lost, but from frame 100 on everything is heard 210 ms later.
        let paused: Vec<Entry> = listener(A, 0..200, |_| Outcome::Decoded)
            .into_iter()
            .map(|entry| match entry {
                Entry::Played { voice, frame, outcome, at_ns } if frame >= 100 => {
                    Entry::Played { voice, frame, outcome, at_ns: at_ns + 210 * MS }
                }
                other => other,
            })
            .collect();
        assert_eq!(gap_ms(&Listened::new(&paused), 0, u64::MAX), 200);
        assert_eq!(gap_ms(&Listened::default(), 0, u64::MAX), 0);
    }
}
