//! The voices of a room on their way to one stereo sum: a mixing desk without a clock, a thread or a device.
//!
//! Time is an argument, as in the jitter buffers below it, so that a test or a bench plays an hour as fast as it can. What
//! belongs to a voice and not to its sound, its volume and its place, is remembered while the voice is away.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use treehouse_wire::{FrameNumber, VoiceId};

use super::voice::{Voice, VoiceReport};
use crate::{
    FRAME,
    encode::{CodecError, LossReport},
    jitter::{JitterConfig, JitterCounts},
    mix::{Block, MIX_VOICES_MAX, Mixer, Place, REMEMBERED_MAX, Seats, Strip, Volume},
};

/// Less than a second of a voice says nothing of what is lost of it.
const LOSSES_FRAMES_MIN: u64 = 50;

/// How voices are mixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MixOptions {
    /// Voices are brought to one loudness; see [`crate::mix::loudness`]. On unless said: people sit at any distance from any
    /// microphone.
    pub even_loudness: bool,
    /// Each voice has its place between left and right, and the sum is stereo. Off unless said: some listen with one ear.
    pub spatial: bool,
}

impl Default for MixOptions {
    fn default() -> Self {
        MixOptions { even_loudness: true, spatial: false }
    }
}

/// What a listener has chosen for a voice.
#[derive(Clone, Copy, Debug, Default)]
struct Choice {
    volume: Volume,
    /// None: the seat it got when it came.
    place: Option<Place>,
}

struct Channel {
    id: VoiceId,
    voice: Voice,
    strip: Strip,
    /// Its counts when [`Desk::losses`] last told of it.
    told: JitterCounts,
}

/// Jitter buffers, decoders and the mixer of one listener.
pub struct Desk {
    jitter: JitterConfig,
    options: MixOptions,
    channels: Vec<Channel>,
    seats: Seats,
    choices: VecDeque<(VoiceId, Choice)>,
    mixer: Mixer,
    /// Of voices that are forgotten.
    counts: JitterCounts,
    refused: u64,
}

impl Desk {
    /// A desk without voices.
    pub fn new(jitter: JitterConfig, options: MixOptions) -> Self {
        Desk {
            jitter,
            options,
            channels: Vec::new(),
            seats: Seats::default(),
            choices: VecDeque::new(),
            mixer: Mixer::default(),
            counts: JitterCounts::default(),
            refused: 0,
        }
    }

    /// Takes a frame that arrived at this time since the desk's zero. One of a new voice is dropped and counted where
    /// [`MIX_VOICES_MAX`] others are heard.
    ///
    /// # Errors
    /// [`CodecError`] where a decoder cannot be made.
    pub fn insert(
        &mut self,
        arrived: Duration,
        id: VoiceId,
        number: FrameNumber,
        opus: Bytes,
    ) -> Result<(), CodecError> {
        let known = self.channels.iter_mut().find(|channel| channel.id == id && !channel.voice.is_leaving());
        if let Some(channel) = known {
            channel.voice.insert(arrived, number, opus);
            return Ok(());
        }
        if self.channels.len() >= MIX_VOICES_MAX && !self.evict() {
            self.refused += 1;
            return Ok(());
        }
        let mut voice = Voice::new(self.jitter)?;
        voice.insert(arrived, number, opus);
        let strip = Strip::new(self.options.even_loudness, self.choice(id).volume, self.place(id));
        self.channels.push(Channel { id, voice, strip, told: JitterCounts::default() });
        Ok(())
    }

    /// Fades a voice out and forgets its frames; a frame that comes later starts it anew.
    pub fn remove(&mut self, id: VoiceId) {
        self.channels.iter_mut().filter(|channel| channel.id == id).for_each(|channel| channel.voice.leave());
    }

    /// Sets how loud a voice is, now and when it comes again.
    pub fn set_volume(&mut self, id: VoiceId, volume: Volume) {
        self.choose(id, |choice| choice.volume = volume);
        self.channels
            .iter_mut()
            .filter(|channel| channel.id == id)
            .for_each(|channel| channel.strip.set_volume(volume));
    }

    /// Puts a voice somewhere else than where it was seated. Without [`MixOptions::spatial`] nothing is heard of it.
    pub fn set_place(&mut self, id: VoiceId, place: Place) {
        self.choose(id, |choice| choice.place = Some(place));
        let place = self.place(id);
        self.channels.iter_mut().filter(|channel| channel.id == id).for_each(|channel| channel.strip.set_place(place));
    }

    /// Whether there is anything to hear.
    pub fn is_active(&self) -> bool {
        let heard = |channel: &Channel| channel.voice.is_active() || channel.strip.has_tail();
        self.mixer.has_tail() || self.channels.iter().any(heard)
    }

    /// When the first of the voices that are not heard yet is to start, of those that hold frames.
    pub fn starts_at(&self, now: Duration) -> Option<Duration> {
        self.channels.iter().filter_map(|channel| channel.voice.starts_at(now)).min()
    }

    /// Forgets voices that have left and faded away.
    pub fn tidy(&mut self) {
        let counts = &mut self.counts;
        self.channels.retain(|channel| {
            let gone = channel.voice.is_gone();
            if gone {
                add(counts, channel.voice.counts());
            }
            !gone
        });
    }

    /// Fills `out` with the 20 ms that begin at `now`.
    pub fn tick(&mut self, now: Duration, out: &mut Block) {
        self.tick_reporting(now, out, &mut |_, _| {});
    }

    /// As [`Desk::tick`]; says what each voice did.
    pub(super) fn tick_reporting(
        &mut self,
        now: Duration,
        out: &mut Block,
        report: &mut impl FnMut(VoiceId, VoiceReport),
    ) {
        let mut pcm = Block::default();
        for Channel { id, voice, strip, .. } in &mut self.channels {
            if voice.tick(now, &mut pcm, &mut |what| report(*id, what)) {
                if voice.is_stereo() {
                    strip.add_stereo(&pcm, self.mixer.block());
                } else {
                    strip.add(&pcm.left, self.mixer.block());
                }
            } else if strip.has_tail() {
                strip.add(&[0.0; FRAME], self.mixer.block());
            }
        }
        self.mixer.finish(out);
    }

    /// Delays voices so from now on, those that are heard and those that come.
    pub fn set_jitter(&mut self, jitter: JitterConfig) {
        self.jitter = jitter;
        self.channels.iter_mut().for_each(|channel| channel.voice.set_jitter(jitter));
    }

    /// What was lost of each voice since this was last asked, where enough of it came to say.
    pub fn losses(&mut self) -> Vec<(VoiceId, LossReport)> {
        let mut losses = Vec::new();
        for Channel { id, voice, told, .. } in &mut self.channels {
            let counts = voice.counts();
            if counts.decoded + counts.lost >= told.decoded + told.lost + LOSSES_FRAMES_MIN {
                losses.push((*id, LossReport::between(told, &counts)));
                *told = counts;
            }
        }
        losses
    }

    /// What became of all frames, those of forgotten voices too.
    pub fn counts(&self) -> JitterCounts {
        let mut counts = self.counts;
        self.channels.iter().for_each(|channel| add(&mut counts, channel.voice.counts()));
        counts
    }

    /// Frames that were dropped since as many others were heard as may be.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    fn choice(&self, id: VoiceId) -> Choice {
        self.choices.iter().find(|(known, _)| *known == id).map(|(_, choice)| *choice).unwrap_or_default()
    }

    fn choose(&mut self, id: VoiceId, change: impl FnOnce(&mut Choice)) {
        let mut choice = self.choice(id);
        change(&mut choice);
        self.choices.retain(|(known, _)| *known != id);
        if self.choices.len() >= REMEMBERED_MAX {
            self.choices.pop_front();
        }
        self.choices.push_back((id, choice));
    }

    fn place(&mut self, id: VoiceId) -> Place {
        if !self.options.spatial {
            return Place::default();
        }
        let channels = &self.channels;
        let seat = self.seats.of(id, |id| channels.iter().any(|channel| channel.id == *id));
        self.choice(id).place.unwrap_or(seat)
    }

    /// Forgets the voice that has been silent longest; false if all are being heard.
    fn evict(&mut self) -> bool {
        let silent = self.channels.iter().enumerate().filter(|(_, channel)| !channel.voice.is_active());
        let Some((index, _)) = silent.min_by_key(|(_, channel)| channel.voice.active_at) else { return false };
        let channel = self.channels.swap_remove(index);
        add(&mut self.counts, channel.voice.counts());
        true
    }
}

fn add(total: &mut JitterCounts, voice: JitterCounts) {
    total.decoded += voice.decoded;
    total.fec += voice.fec;
    total.concealed += voice.concealed;
    total.skipped += voice.skipped;
    total.late += voice.late;
    total.duplicate += voice.duplicate;
    total.refused += voice.refused;
    total.held += voice.held;
    total.lost += voice.lost;
    total.bursts += voice.bursts;
}
