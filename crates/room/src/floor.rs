//! Who has the floor: which voices go down the tree, at most three, the loudest.
//!
//! The rule is that of conference bridges that pass on the loudest few, with their figures. A voice's level is smoothed over frames by
//! one half, and it is silent 150 ms after its last frame of sound (Jitsi Videobridge, `videobridge.loudest`: `num-loudest` 3,
//! `energy-alpha-pct` 50, `energy-expire-time` 150 ms). A free place goes to whoever speaks, at once, and so does that of a
//! voice that is silent; a voice that is silent keeps its place while nobody wants it. Where all three speak, a fourth takes
//! the place of the quietest only if it is louder by [`MARGIN_DB`], without a break for [`CHALLENGE`] (300 ms: the interval of decision of
//! mediasoup's `ActiveSpeakerObserver`, after Volfin and Cohen, "Dominant speaker identification for multipoint
//! videoconferencing", 2012), and if the quietest has had its place for [`TENURE`]. Margin and tenure are assumed: 6 dB is twice the
//! amplitude, and a second is a mean talkspurt of ITU-T P.59.

use core::time::Duration;

use treehouse_wire::{
    Level, VoiceId,
    limits::{CHOSEN_MAX, STAGE_MAX},
};

use crate::time::Instant;

/// Quieter than this, in -dBov, is silence: what the sound of a quiet room comes to.
const SILENT_MINUS_DBOV: u8 = 60;
/// A voice is silent this long after its last frame of sound.
const EXPIRE: Duration = Duration::from_millis(150);
/// A voice that is to take the place of another that speaks is louder by this, in dB.
const MARGIN_DB: u16 = 6;
/// And for this long without a break.
pub(crate) const CHALLENGE: Duration = Duration::from_millis(300);
/// A voice that speaks keeps its place for this long at least.
const TENURE: Duration = Duration::from_secs(1);
/// A voice that is silent for this long gives its place back, wanted or not.
const QUIET: Duration = Duration::from_secs(10);
/// Loudness is kept in this part of a dB.
const PARTS: u16 = 16;

/// A voice that speaks or has spoken.
#[derive(Clone, Copy, Debug)]
struct Contender {
    voice: VoiceId,
    /// Smoothed level above silence, in sixteenths of a dB.
    loudness: u16,
    /// Its last frame of sound.
    spoke: Instant,
    /// Since when it has a place.
    chosen: Option<Instant>,
    /// Since when it has been louder than the quietest that has a place.
    louder: Option<Instant>,
}

impl Contender {
    fn is_silent(&self, now: Instant) -> bool {
        now.since(self.spoke) >= EXPIRE
    }
}

/// The voices of a stage, and which of them go down the tree.
#[derive(Debug, Default)]
pub(crate) struct Floor {
    contenders: Vec<Contender>,
}

impl Floor {
    /// The voices that go down the tree, in ascending order.
    pub(crate) fn chosen(&self) -> Vec<VoiceId> {
        let mut chosen: Vec<VoiceId> = self.places().map(|of| of.voice).collect();
        chosen.sort_unstable();
        chosen
    }

    pub(crate) fn is_chosen(&self, voice: &VoiceId) -> bool {
        self.places().any(|of| of.voice == *voice)
    }

    fn places(&self) -> impl Iterator<Item = &Contender> {
        self.contenders.iter().filter(|of| of.chosen.is_some())
    }

    /// Takes in how loud a frame was; whether that changes the choice.
    pub(crate) fn hear(&mut self, voice: VoiceId, level: Level, now: Instant) -> bool {
        let sample = u16::from(Level::SILENCE.minus_dbov() - level.minus_dbov()) * PARTS;
        let sounds = level.minus_dbov() < SILENT_MINUS_DBOV;
        let at = match self.contenders.iter().position(|of| of.voice == voice) {
            Some(at) => at,
            None if !sounds || self.contenders.len() >= STAGE_MAX => return false,
            None => {
                self.contenders.push(Contender { voice, loudness: sample, spoke: now, chosen: None, louder: None });
                self.contenders.len() - 1
            }
        };
        let contender = &mut self.contenders[at];
        // What it was before a pause says nothing of how loud it is now.
        let known = if contender.is_silent(now) { sample } else { contender.loudness };
        contender.loudness = (known + sample) / 2;
        if sounds {
            contender.spoke = now;
        }
        !contender.is_silent(now) && contender.chosen.is_none() && self.contend(at, now)
    }

    /// One that speaks wants a place.
    fn contend(&mut self, at: usize, now: Instant) -> bool {
        if self.places().count() < CHOSEN_MAX {
            return self.choose(at, None, now);
        }
        let places = || (0..).zip(&self.contenders).filter(|(_, of)| of.chosen.is_some());
        let silent = places().filter(|(_, of)| of.is_silent(now)).min_by_key(|(_, of)| of.spoke);
        if let Some((silent, _)) = silent {
            return self.choose(at, Some(silent), now);
        }
        let quietest = places().min_by_key(|(_, of)| of.loudness);
        let Some((quietest, loudness, since)) = quietest.and_then(|(at, of)| Some((at, of.loudness, of.chosen?)))
        else {
            return false;
        };
        let contender = &mut self.contenders[at];
        if contender.loudness < loudness.saturating_add(MARGIN_DB * PARTS) {
            contender.louder = None;
            return false;
        }
        let louder = *contender.louder.get_or_insert(now);
        let ripe = now.since(louder) >= CHALLENGE && now.since(since) >= TENURE;
        ripe && self.choose(at, Some(quietest), now)
    }

    fn choose(&mut self, at: usize, instead_of: Option<usize>, now: Instant) -> bool {
        if let Some(other) = instead_of.and_then(|other| self.contenders.get_mut(other)) {
            other.chosen = None;
        }
        if let Some(contender) = self.contenders.get_mut(at) {
            contender.chosen = Some(now);
        }
        // Who was louder than the quietest need not be louder than the one that is the quietest now.
        self.contenders.iter_mut().for_each(|of| of.louder = None);
        true
    }

    /// Once a second: voices that have long been silent give their places back. Whether that changes the choice.
    pub(crate) fn settle(&mut self, now: Instant) -> bool {
        self.keep(|of| now.since(of.spoke) < QUIET)
    }

    /// The stage has changed: whether that changes the choice.
    pub(crate) fn keep_staged(&mut self, is_staged: impl Fn(&VoiceId) -> bool) -> bool {
        self.keep(|of| is_staged(&of.voice))
    }

    fn keep(&mut self, keeps: impl Fn(&Contender) -> bool) -> bool {
        let before = self.places().count();
        self.contenders.retain(keeps);
        before != self.places().count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stage in time: voices that speak at a level, heard every 20 ms.
    struct Stage {
        floor: Floor,
        now: Instant,
        changes: usize,
    }

    impl Stage {
        fn new() -> Self {
            Stage { floor: Floor::default(), now: Instant::from_micros(5_000_000), changes: 0 }
        }

        fn talk(&mut self, ms: u64, levels: &[(u8, u8)]) {
            for _ in 0..ms / 20 {
                self.now = self.now.after(Duration::from_millis(20));
                for (voice, minus_dbov) in levels {
                    let level = Level::from_minus_dbov(*minus_dbov);
                    self.changes += usize::from(self.floor.hear(VoiceId([*voice; 8]), level, self.now));
                }
            }
        }

        fn chosen(&self) -> Vec<u8> {
            self.floor.chosen().iter().map(|voice| voice.0[0]).collect()
        }
    }

    #[test]
    fn a_free_place_is_taken_by_the_first_frame_of_sound() {
        let mut stage = Stage::new();
        stage.talk(20, &[(1, 30), (2, 127), (3, 58)]);
        assert_eq!(stage.chosen(), [1, 3], "silence takes no place");
        stage.talk(20, &[(2, 40)]);
        assert_eq!(stage.chosen(), [1, 2, 3]);
    }

    #[test]
    fn never_more_than_three() {
        let mut stage = Stage::new();
        let all: Vec<_> = (0..12).map(|voice| (voice, 20 + voice)).collect();
        for _ in 0..100 {
            stage.talk(20, &all);
            assert!(stage.chosen().len() <= CHOSEN_MAX);
        }
        assert_eq!(stage.chosen(), [0, 1, 2], "nobody is louder by the margin");
        assert_eq!(stage.changes, 3);
    }

    #[test]
    fn a_louder_voice_waits_for_margin_challenge_and_tenure() {
        let mut stage = Stage::new();
        let three = [(1, 30), (2, 31), (3, 32)];
        stage.talk(600, &three);
        let with = |level| [three[0], three[1], three[2], (4, level)];
        stage.talk(3000, &with(27));
        assert_eq!(stage.chosen(), [1, 2, 3], "5 dB are not enough");
        stage.talk(280, &with(25));
        assert_eq!(stage.chosen(), [1, 2, 3], "nor is 7 dB for 280 ms");
        stage.talk(20, &with(40));
        stage.talk(300, &with(25));
        assert_eq!(stage.chosen(), [1, 2, 3], "a break starts the challenge anew");
        stage.talk(60, &with(25));
        assert_eq!(stage.chosen(), [1, 2, 4], "the quietest has lost its place");
        // The newcomer turns quiet and the one that lost shouts: not within the tenure.
        let shouting = [(1, 30), (2, 31), (3, 10), (4, 50)];
        stage.talk(900, &shouting);
        assert_eq!(stage.chosen(), [1, 2, 4]);
        stage.talk(200, &shouting);
        assert_eq!(stage.chosen(), [1, 2, 3]);
    }

    #[test]
    fn a_silence_frees_a_place_at_once() {
        let mut stage = Stage::new();
        stage.talk(2000, &[(1, 30), (2, 30), (3, 30)]);
        stage.talk(1000, &[(1, 30), (2, 30)]);
        assert_eq!(stage.chosen(), [1, 2, 3], "nobody else wants the place");
        stage.talk(20, &[(1, 30), (2, 30), (4, 55)]);
        assert_eq!(stage.chosen(), [1, 2, 4], "however quiet it is");
        // Frames of silence are silence too.
        stage.talk(160, &[(1, 30), (2, 110), (4, 55)]);
        stage.talk(20, &[(1, 30), (2, 110), (3, 30), (4, 55)]);
        assert_eq!(stage.chosen(), [1, 3, 4]);
    }

    #[test]
    fn who_is_silent_for_long_or_leaves_the_stage_gives_the_place_back() {
        let mut stage = Stage::new();
        stage.talk(100, &[(1, 30), (2, 30)]);
        stage.now = stage.now.after(Duration::from_secs(9));
        stage.talk(20, &[(2, 30)]);
        assert!(!stage.floor.settle(stage.now));
        stage.now = stage.now.after(Duration::from_secs(2));
        assert!(stage.floor.settle(stage.now));
        assert_eq!(stage.chosen(), [2]);
        assert!(stage.floor.keep_staged(|voice| voice.0[0] != 2) && stage.chosen().is_empty());
    }
}
