//! Who speaks when.
//!
//! - `constant`: every speaker all the time.
//! - `on-off`: each speaker on its own, talkspurts and pauses exponential with the means of ITU-T Recommendation P.59 (03/93), "Artificial
//!   conversational speech": 1.004 s and 1.587 s.
//! - `floor`: one conversation. Speakers take turns (exponential lengths); a turn consists of talkspurts with short pauses; the next
//!   speaker, often the one before, starts after a gap that is normal about 0.2 s, so that about one change in four overlaps
//!   (Heldner and Edlund, "Pauses, gaps and overlaps in conversations", Journal of Phonetics 38, 2010; Stivers et al.,
//!   "Universals and cultural variation in turn-taking in conversation", PNAS 106, 2009).
//!
//! Spans are cut to whole packets, so that none waits for the next talkspurt.

use rand::RngExt;
use rand_distr::{Distribution, Exp1, StandardNormal};
use serde::{Deserialize, Serialize};

use crate::{
    plan::{NodeIx, Spurt},
    random::Rng,
    scenario::units::{Share, Time},
};

/// How speakers take turns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Model {
    /// All the time.
    #[default]
    Constant,
    /// Talkspurts and pauses, each on its own.
    OnOff,
    /// One conversation.
    Floor,
}

/// The section `[talk]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Talk {
    /// Which of the models below. Default `constant`.
    pub model: Model,
    /// Speakers, the host the first; they come first and stay to the end. Default 1.
    pub speakers: u32,
    /// Settings of `on-off`.
    pub on_off: OnOff,
    /// Settings of `floor`.
    pub floor: Floor,
}

/// The section `[talk.on-off]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct OnOff {
    /// Mean talkspurt. Default 1004 ms.
    pub talkspurt: Time,
    /// Mean pause. Default 1587 ms.
    pub pause: Time,
}

/// The section `[talk.floor]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Floor {
    /// Mean length of a turn. Default 8 s.
    pub turn: Time,
    /// Mean talkspurt within a turn. Default 2 s.
    pub talkspurt: Time,
    /// Mean pause within a turn. Default 400 ms.
    pub pause: Time,
    /// Mean gap between turns. Default 200 ms.
    pub gap: Time,
    /// Standard deviation of gaps: what is below zero overlaps. Default 300 ms.
    pub gap_sd: Time,
    /// Share of turns that go back to the speaker before. Default 50 %.
    pub reply: Share,
}

impl Default for Talk {
    fn default() -> Self {
        Talk { model: Model::default(), speakers: 1, on_off: OnOff::default(), floor: Floor::default() }
    }
}

impl Default for OnOff {
    fn default() -> Self {
        OnOff { talkspurt: Time(1_004_000), pause: Time(1_587_000) }
    }
}

impl Default for Floor {
    fn default() -> Self {
        Floor {
            turn: Time(8_000_000),
            talkspurt: Time(2_000_000),
            pause: Time(400_000),
            gap: Time(200_000),
            gap_sd: Time(300_000),
            reply: Share(0.5),
        }
    }
}

/// Spurts as they are drawn, each cut to whole packets and after the last of the same speaker.
struct Draft {
    packet_us: u64,
    until_us: u64,
    ends_us: Vec<u64>,
    spurts: Vec<Spurt>,
}

impl Draft {
    fn add(&mut self, speaker: usize, from_us: u64, length_us: u64) {
        let from_us = from_us.max(self.ends_us[speaker]);
        let packets = length_us.div_ceil(self.packet_us).max(1);
        // Whole packets that end in the run.
        let packets = packets.min(self.until_us.saturating_sub(from_us) / self.packet_us);
        if packets > 0 {
            let until_us = from_us + packets * self.packet_us;
            self.ends_us[speaker] = until_us;
            self.spurts.push(Spurt { node: NodeIx(speaker as u32), from_us, until_us });
        }
    }
}

impl Talk {
    /// Draws who speaks when until the end of the run: nodes 0 to `speakers - 1`, each from when it is there, in packets of this
    /// length.
    pub fn draw(&self, starts_us: &[u64], until_us: u64, packet_us: u64, rng: &mut Rng) -> Vec<Spurt> {
        let ends_us = starts_us.to_vec();
        let mut draft = Draft { packet_us, until_us, ends_us, spurts: Vec::new() };
        match self.model {
            Model::Constant => {
                for (speaker, from_us) in starts_us.iter().enumerate() {
                    draft.add(speaker, *from_us, until_us);
                }
            }
            Model::OnOff => self.on_off.draw(&mut draft, starts_us, rng),
            Model::Floor => self.floor.draw(&mut draft, starts_us, rng),
        }
        draft.spurts.sort_unstable_by_key(|spurt| (spurt.from_us, spurt.node));
        draft.spurts
    }
}

fn exponential_us(mean: Time, rng: &mut Rng) -> u64 {
    let one: f64 = Exp1.sample(rng);
    (mean.0 as f64 * one) as u64
}

impl OnOff {
    fn draw(&self, draft: &mut Draft, starts_us: &[u64], rng: &mut Rng) {
        for (speaker, from_us) in starts_us.iter().enumerate() {
            let mut at_us = from_us + exponential_us(self.pause, rng);
            while at_us < draft.until_us {
                let talks_us = exponential_us(self.talkspurt, rng);
                draft.add(speaker, at_us, talks_us);
                at_us = at_us.max(draft.ends_us[speaker]) + exponential_us(self.pause, rng).max(1);
            }
        }
    }
}

impl Floor {
    fn draw(&self, draft: &mut Draft, starts_us: &[u64], rng: &mut Rng) {
        let everyone_us = starts_us.iter().copied().max().unwrap_or(0);
        let (mut holder, mut before) = (0, 0);
        let mut at_us = starts_us.first().copied().unwrap_or(0);
        while at_us < draft.until_us {
            let began_us = at_us;
            let ends_us = at_us + exponential_us(self.turn, rng).max(draft.packet_us);
            while at_us < ends_us {
                let talks_us = exponential_us(self.talkspurt, rng).min(ends_us - at_us);
                draft.add(holder, at_us, talks_us);
                at_us = at_us.max(draft.ends_us[holder]) + exponential_us(self.pause, rng).max(1);
            }
            let normal: f64 = StandardNormal.sample(rng);
            let gap_us = self.gap.0 as f64 + self.gap_sd.0 as f64 * normal;
            // No turn begins before the one it follows.
            at_us = (draft.ends_us[holder] as f64 + gap_us).max(began_us as f64 + 1.0) as u64;
            let next = self.next(holder, before, starts_us.len(), rng);
            if at_us >= everyone_us {
                (holder, before) = (next, holder);
            }
        }
    }

    fn next(&self, holder: usize, before: usize, speakers: usize, rng: &mut Rng) -> usize {
        let (reply, other) = (rng.random::<f64>(), rng.random::<f64>());
        if speakers < 2 {
            holder
        } else if before != holder && reply < self.reply.0 {
            before
        } else {
            let other = ((other * (speakers - 1) as f64) as usize).min(speakers - 2);
            if other >= holder { other + 1 } else { other }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    const HOUR_US: u64 = 3_600_000_000;
    const PACKET_US: u64 = 20_000;

    fn draw(talk: &Talk) -> Vec<Spurt> {
        let starts_us = vec![0; talk.speakers as usize];
        let spurts = talk.draw(&starts_us, HOUR_US, PACKET_US, &mut Stream::Talk.rng(3));
        for spurt in &spurts {
            assert!(spurt.until_us <= HOUR_US && (spurt.until_us - spurt.from_us).is_multiple_of(PACKET_US));
        }
        for speaker in 0..talk.speakers {
            let of: Vec<&Spurt> = spurts.iter().filter(|spurt| spurt.node == NodeIx(speaker)).collect();
            assert!(of.windows(2).all(|two| two[0].until_us <= two[1].from_us), "a speaker overlaps itself");
        }
        spurts
    }

    fn spoken_us(spurts: &[Spurt]) -> f64 {
        spurts.iter().map(|spurt| (spurt.until_us - spurt.from_us) as f64).sum()
    }

    #[test]
    fn on_off_has_the_means_of_p59() {
        let talk = Talk { model: Model::OnOff, speakers: 8, ..Talk::default() };
        let spurts = draw(&talk);
        // Cutting to packets lengthens a talkspurt by half a packet in the mean.
        let mean_s = spoken_us(&spurts) / spurts.len() as f64 / 1e6 - 0.01;
        assert!((mean_s / 1.004 - 1.0).abs() < 0.03, "{mean_s}");
        let activity = spoken_us(&spurts) / (8.0 * HOUR_US as f64);
        assert!((activity - 1.014 / (1.014 + 1.587)).abs() < 0.01, "{activity}");
    }

    #[test]
    fn a_floor_is_held_by_one_at_a_time_but_for_overlaps() {
        let talk = Talk { model: Model::Floor, speakers: 6, ..Talk::default() };
        let spurts = draw(&talk);
        let active = spoken_us(&spurts) / HOUR_US as f64;
        assert!((0.75..0.95).contains(&active), "{active}");
        let mut overlap = 0;
        for two in spurts.windows(2) {
            overlap += two[0].until_us.min(two[1].until_us).saturating_sub(two[1].from_us);
        }
        let share = overlap as f64 / HOUR_US as f64;
        assert!((0.001..0.03).contains(&share), "{share}");
        assert!((0..6).all(|speaker| spurts.iter().any(|spurt| spurt.node == NodeIx(speaker))));
        let changes: Vec<_> = spurts.windows(2).filter(|two| two[0].node != two[1].node).collect();
        assert!(changes.len() > 300, "{}", changes.len());
        let overlapping = changes.iter().filter(|two| two[1].from_us < two[0].until_us).count();
        let share = overlapping as f64 / changes.len() as f64;
        assert!((0.15..0.35).contains(&share), "{share}");
    }

    #[test]
    fn constant_is_one_span() {
        let talk = Talk::default();
        assert_eq!(draw(&talk), [Spurt { node: NodeIx::HOST, from_us: 0, until_us: HOUR_US }]);
    }
}
