//! What listeners lost of a voice, on its way to the speaker.
//!
//! Each listener says what it lost of each voice that it hears; whoever feeds others adds up what they said last. A sum goes to the
//! speaker where there is a direct link, as the roots and the stage have, else to the parent: up one way and never down, so that nobody
//! is counted twice. All of it is soft state that is forgotten within seconds, and a wrong word costs some bits of redundancy.

use core::time::Duration;
use std::collections::BTreeMap;

use treehouse_wire::{
    Control, List, Losses, NodeId, Suite, VoiceId,
    limits::{STAGE_MAX, VOICES_MAX},
};

use crate::{api::Event, room::Room, time::Instant};

/// Sums go up no more often than this.
const EVERY: Duration = Duration::from_secs(2);
/// What was said longer ago than this counts no more: whoever hears a voice says it each five seconds.
const KEPT: Duration = Duration::from_secs(15);
/// What is kept at most: of each neighbour that may say something, the three voices that go down the tree and one more, whose place a
/// new one takes. Beyond it what comes is dropped.
const KEPT_MAX: usize = 4 * (STAGE_MAX + 64);

/// What was said last, by whom and of which voice.
#[derive(Debug, Default)]
pub(crate) struct HeardLosses {
    said: BTreeMap<(NodeId, VoiceId), (Losses, Instant)>,
    told: Option<Instant>,
    /// Something has been said since.
    news: bool,
}

impl HeardLosses {
    fn note(&mut self, from: NodeId, voice: VoiceId, losses: Losses, now: Instant) {
        if self.said.len() < KEPT_MAX || self.said.contains_key(&(from, voice)) {
            self.said.insert((from, voice), (losses, now));
            self.news = true;
        }
    }

    /// The sum for each voice, if it is time to tell.
    fn sums(&mut self, now: Instant) -> BTreeMap<VoiceId, Losses> {
        let mut sums = BTreeMap::new();
        self.said.retain(|_, (_, at)| now.since(*at) < KEPT);
        if self.news && self.told.is_none_or(|at| now.since(at) >= EVERY) {
            (self.told, self.news) = (Some(now), false);
            for ((_, voice), (losses, _)) in &self.said {
                sums.entry(*voice).or_insert_with(Losses::default).add(losses);
            }
        }
        sums
    }
}

impl<S: Suite> Room<S> {
    /// This node's own listener has lost so much.
    pub(crate) fn lost_here(&mut self, voice: VoiceId, losses: Losses) {
        self.note_losses(self.me, voice, losses);
    }

    /// A neighbour says what it and those below it have lost.
    pub(crate) fn losses_came(&mut self, from: NodeId, losses: &[(VoiceId, Losses)]) {
        if self.children.contains(&from) || self.stage_links.listens(&from) {
            losses.iter().for_each(|(voice, losses)| self.note_losses(from, *voice, *losses));
        }
    }

    fn note_losses(&mut self, from: NodeId, voice: VoiceId, losses: Losses) {
        if self.state.stage().voice(&voice).is_some() {
            let now = self.now;
            self.losses.get_or_insert_default().note(from, voice, losses, now);
        }
    }

    /// Once a second: what was said goes on its way.
    pub(crate) fn send_losses(&mut self) {
        let now = self.now;
        let Some(heard) = &mut self.losses else { return };
        let sums = heard.sums(now);
        if heard.said.is_empty() {
            self.losses = None;
        }
        let parent = self.feeds.upstream().map(|feed| feed.node());
        let mut going: BTreeMap<NodeId, Vec<(VoiceId, Losses)>> = BTreeMap::new();
        for (voice, losses) in sums {
            let Some((&speaker, _)) = self.state.stage().voice(&voice) else { continue };
            if speaker == self.me {
                losses.reckon().into_iter().for_each(|reckoned| self.event(Event::Losses(reckoned)));
                continue;
            }
            let direct = self.stage_links.contains(&speaker) && self.links.is_up(&speaker);
            if let Some(to) = direct.then_some(speaker).or(parent) {
                going.entry(to).or_default().push((voice, losses));
            }
        }
        for (to, losses) in going {
            self.send(to, &Control::Losses(List::truncated(losses.into_iter().take(VOICES_MAX))));
        }
    }
}
