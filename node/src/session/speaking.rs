//! Who speaks, from how loud each voice is.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use treehouse_wire::{Level, NodeId};

/// Louder than this counts as speech, in -dBov.
const SPEECH: u8 = 50;
/// Pauses between words are shorter than this.
const PAUSE: Duration = Duration::from_millis(600);
/// Voices that are followed; no more than may be on stage.
const VOICES_MAX: usize = treehouse_wire::limits::STAGE_MAX;

/// Voices that speak, and since when they pause.
#[derive(Debug, Default)]
pub struct Speaking {
    heard: BTreeMap<NodeId, Instant>,
}

impl Speaking {
    /// Takes in a level; true where the voice begins to speak.
    pub fn level(&mut self, node: NodeId, level: Level, now: Instant) -> bool {
        let loud = level.minus_dbov() < SPEECH;
        let room = self.heard.len() < VOICES_MAX || self.heard.contains_key(&node);
        loud && room && self.heard.insert(node, now).is_none()
    }

    /// Those who have ceased to speak since this was last asked.
    pub fn ceased(&mut self, now: Instant) -> Vec<NodeId> {
        let silent = |at: &Instant| now.duration_since(*at) >= PAUSE;
        let ceased = self.heard.iter().filter(|(_, at)| silent(at)).map(|(node, _)| *node).collect();
        self.heard.retain(|_, at| !silent(at));
        ceased
    }
}

/// Thins levels out: the loudest of each 100 ms, so that a display gets ten a second of each voice.
#[derive(Debug, Default)]
pub struct Meter {
    voices: BTreeMap<NodeId, (Instant, Level)>,
}

impl Meter {
    const EVERY: Duration = Duration::from_millis(100);

    /// Takes in the level of a frame; returns the loudest since the last one returned, if it is time.
    pub fn frame(&mut self, node: NodeId, level: Level, now: Instant) -> Option<Level> {
        if self.voices.len() >= VOICES_MAX && !self.voices.contains_key(&node) {
            self.voices.clear();
        }
        let (since, loudest) = self.voices.entry(node).or_insert((now, level));
        *loudest = (*loudest).min(level);
        if now.duration_since(*since) < Self::EVERY {
            return None;
        }
        let told = *loudest;
        (*since, *loudest) = (now, Level::SILENCE);
        Some(told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: NodeId = NodeId([1; 32]);

    #[test]
    fn speech_begins_with_the_first_loud_frame_and_ends_after_a_pause() {
        let (mut speaking, start) = (Speaking::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        assert!(!speaking.level(ANN, Level::SILENCE, start));
        assert!(speaking.level(ANN, Level::from_minus_dbov(20), start));
        assert!(!speaking.level(ANN, Level::from_minus_dbov(25), at(300)), "she is already speaking");
        assert!(speaking.ceased(at(800)).is_empty(), "a pause between words");
        assert_eq!(speaking.ceased(at(900)), [ANN]);
        assert!(speaking.ceased(at(2_000)).is_empty(), "told once");
    }

    #[test]
    fn a_meter_tells_the_loudest_ten_times_a_second() {
        let (mut meter, start) = (Meter::default(), Instant::now());
        let level = |frame: u64| Level::from_minus_dbov(if frame == 3 { 10 } else { 40 });
        let told: Vec<u8> = (0..50)
            .filter_map(|frame| meter.frame(ANN, level(frame), start + Duration::from_millis(20 * frame)))
            .map(Level::minus_dbov)
            .collect();
        assert_eq!(told.first(), Some(&10));
        assert!((8..=10).contains(&told.len()) && told.iter().skip(1).all(|level| *level == 40), "{told:?}");
    }
}
