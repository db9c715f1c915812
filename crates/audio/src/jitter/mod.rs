//! The jitter buffer: frames of one voice come in when the network likes, and leave one after the other.
//!
//! It is pure. The caller passes time in, as a [`Duration`] since any fixed moment on a monotonic clock, asks for the
//! next piece of sound with [`JitterBuffer::pull`] and does what the [`Step`] says; the buffer has no clock, no
//! thread and no randomness, so a test replays any trace.
//!
//! **Media clock.** A speaker numbers every 20 ms, silence too, so the frame number *is* the time at which a frame was
//! spoken. What a packet claims as capture time is not used here: it cannot then contradict the number.
//!
//! **Delay.** A frame is due at (number x 20 ms) + base + target, where the base is the fastest recent transit and the
//! target a high percentile of the delay above it (module `delay`).
//!
//! **Running dry.** When a frame is due and nothing at all has come, the network is late, not the frame lost: the
//! buffer says [`Step::Hold`], the caller fills the time with concealment, and the frame is still played when it comes,
//! later by what was held. The delay grows at once this way, up to its maximum, and [`JitterBuffer::slack_us`] tells the
//! caller to take the surplus out again, in silence where there is some. After the maximum the voice has stopped.
//!
//! **Gaps.** When a later frame has come, the missing one is held for only while the delay is below its target, then
//! rebuilt from the copy in its successor or the deep redundancy in a later one, else concealed. A missing frame counts as come when what
//! rebuilds it has come, so the target grows to the length of the bursts that deep redundancy can fill, and no further than a frame
//! where nothing can. Frames whose time was already filled by holding are
//! [`Step::Cover`]ed: the speaker paused, or they were lost in an outage, and playing catches up with the clock.
//!
//! **Never twice, never back.** A frame number at or below the last one played is a duplicate or late, for good: numbers
//! under one media key never restart, so a replayed recording cannot be heard again.
//!
//! **Bounds.** At most [`FRAMES_HELD_MAX`] frames, within as many numbers; a frame further ahead starts the voice anew.

mod config;
mod delay;

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use treehouse_wire::{
    FrameNumber,
    limits::OPUS_FRAME_BYTES_MAX,
    units::{FRAME_MS, SAMPLE_RATE_HZ},
};

pub use self::config::{JitterConfig, Listener, Protection};
use self::delay::DelayEstimator;
use crate::decode::{has_fec, is_pause, may_have_dred};

/// Frames held for one voice, and the span of their numbers: 2.56 s, since a standby replays up to 2 s.
pub const FRAMES_HELD_MAX: u32 = 128;
/// Least playout delay, however steady the network: one frame, since ticks of the mixer are that far apart.
pub const DELAY_MS_MIN: u64 = 20;
/// Largest playout delay: beyond it a conversation is no longer one.
pub const DELAY_MS_MAX: u64 = 400;
/// A silence this long makes the base stale: by then clocks may have drifted by 9 ms. After a shorter one, of which talk is full, a voice that
/// had to learn the network anew would start at a wrong delay and be stretched to the right one while it speaks.
const STALE_US: i64 = 30_000_000;
const FRAME_US: i64 = FRAME_MS as i64 * 1000;
/// After running dry, how long a frame may be missing once later ones have come: a burst comes over several lanes, and
/// they do not keep step. After an outage of three frames or more it is worth waiting for; after less, the frame was
/// probably just lost, and each wait lengthens the delay.
const GRACE_US: i64 = 2 * FRAME_US;
const GRACE_SHORT_US: i64 = 5_000;
const OUTAGE_HOLDS: u32 = 3;
/// The voice is held at least this often before it stops, however large its delay already is.
const HOLDS_MIN: u32 = 5;
/// After so many frames in which nobody spoke the speaker sends no more until somebody does; encoders send ten of them (libopus,
/// `NB_SPEECH_FRAMES_BEFORE_DTX`), some of which may be lost.
const PAUSED_MIN: u32 = 5;
/// A delay by which the largest is exceeded only where ticks were missed.
const MISSED_US: i64 = 5 * FRAME_US;
/// Frames in a row that may have been lost; more that are missing were never said.
const BURST_FRAMES_MAX: u32 = 10;
/// So many frames in a row are a burst, which deep redundancy is there for.
const DEEP_FRAMES_MIN: u32 = 2;
/// A gap is worth waiting for while the delay is this much below its target.
const HOLD_US: i64 = FRAME_US / 2;

/// What became of a frame that was put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// Held until it is due.
    Accepted,
    /// Held or played already; feeds overlap, the first copy wins.
    Duplicate,
    /// Its time had passed; it is not played.
    Late,
    /// Longer than any frame may be, or empty.
    Refused,
}

/// What to play next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing: the voice is silent, or its first frame is not due. No time passes in the voice.
    Silent,
    /// The voice starts with the next step. `skipped` numbers were passed over since it stopped, `first` the first.
    Start {
        /// The first number passed over.
        first: FrameNumber,
        /// How many; 0 for a voice never heard before.
        skipped: u32,
    },
    /// Decode this frame.
    Decode {
        /// Its number.
        number: FrameNumber,
        /// Its Opus bytes.
        frame: Bytes,
    },
    /// Rebuild this frame from the copy in its successor.
    Fec {
        /// The missing frame.
        number: FrameNumber,
        /// The successor's Opus bytes; it is decoded in its own turn too.
        next: Bytes,
    },
    /// Rebuild this frame from the deep redundancy in a later one, or conceal it.
    Conceal {
        /// The missing frame.
        number: FrameNumber,
        /// The nearest later frame that has come, if one has.
        later: Option<Later>,
    },
    /// This frame is lost, and its time has already been filled by holding: play nothing for it.
    Cover {
        /// The missing frame.
        number: FrameNumber,
    },
    /// Fill 20 ms with concealment; no frame is used up.
    Hold,
    /// The voice has stopped: nothing came for as long as the delay may grow.
    Stop,
}

/// A frame that came, after one that did not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Later {
    /// By how many numbers it is later than the missing frame; 2 at least.
    pub ahead: u32,
    /// Its Opus bytes; it is decoded in its own turn too.
    pub frame: Bytes,
}

/// What has become of the frames of a voice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JitterCounts {
    /// Given out to be decoded.
    pub decoded: u64,
    /// Given out to be rebuilt from their successor.
    pub fec: u64,
    /// Given up: concealed, covered, or rebuilt from deep redundancy.
    pub concealed: u64,
    /// Passed over while the voice was stopped.
    pub skipped: u64,
    /// Arrived after their time.
    pub late: u64,
    /// Arrived again.
    pub duplicate: u64,
    /// Too long to be a frame, or empty.
    pub refused: u64,
    /// Times that the buffer ran dry and held for 20 ms.
    pub held: u64,
    /// Did not come in time although the speaker did not pause, whatever was made of them.
    pub lost: u64,
    /// Times that one or more in a row were lost.
    pub bursts: u64,
}

/// Holds the frames of one voice; see the module's documentation.
#[derive(Debug)]
pub struct JitterBuffer {
    frames: BTreeMap<u32, Bytes>,
    /// The next number to play; none before the first.
    next: Option<u32>,
    playing: bool,
    /// One bit for each of the 128 numbers before `next`, nearest lowest: came already, so that a copy is a duplicate.
    came: u128,
    /// Frames up to the last that came in which nobody spoke: what is missing after them was perhaps never sent.
    paused: u32,
    /// Where the voice last started; what is older was passed over and says nothing of the network.
    started: u32,
    /// How often in a row nothing had come when a frame was due; cleared by the next frame played.
    dry_holds: u32,
    /// When the first frame after running dry came.
    refilled_us: Option<i64>,
    delay: DelayEstimator,
    max_us: i64,
    arrived_us: i64,
    counts: JitterCounts,
}

impl JitterBuffer {
    /// An empty buffer.
    pub fn new(config: JitterConfig) -> Self {
        let (target_us, max_us) = config.bounds_us();
        JitterBuffer {
            frames: BTreeMap::new(),
            next: None,
            playing: false,
            came: 0,
            paused: 0,
            started: 0,
            dry_holds: 0,
            refilled_us: None,
            delay: DelayEstimator::new(target_us, max_us),
            max_us,
            arrived_us: 0,
            counts: JitterCounts::default(),
        }
    }

    /// Delays the voice so from now on; what it plays moves there as for any other change of the network.
    pub fn set_config(&mut self, config: JitterConfig) {
        let (target_us, max_us) = config.bounds_us();
        self.max_us = max_us;
        self.delay.set_bounds(target_us, max_us);
    }

    /// Takes a frame that arrived at `now`.
    pub fn insert(&mut self, now: Duration, number: FrameNumber, frame: Bytes) -> Inserted {
        let inserted = self.sort_in(micros(now), number.0, frame);
        match inserted {
            Inserted::Accepted => {}
            Inserted::Duplicate => self.counts.duplicate += 1,
            Inserted::Late => self.counts.late += 1,
            Inserted::Refused => self.counts.refused += 1,
        }
        inserted
    }

    fn sort_in(&mut self, now_us: i64, number: u32, frame: Bytes) -> Inserted {
        // The very last number has no successor to move on to.
        if frame.is_empty() || frame.len() > OPUS_FRAME_BYTES_MAX || number == u32::MAX {
            return Inserted::Refused;
        }
        if self.frames.contains_key(&number) {
            return Inserted::Duplicate;
        }
        let transit_us = now_us.saturating_sub(i64::from(number) * FRAME_US);
        if self.next.is_some_and(|next| number < next) {
            return self.note_late(now_us, number, transit_us);
        }
        if !self.make_room(number) {
            return Inserted::Late;
        }
        if now_us.saturating_sub(self.arrived_us) > STALE_US {
            self.delay.rebase();
        }
        self.arrived_us = now_us;
        if self.dry_holds > 0 {
            self.refilled_us.get_or_insert(now_us);
        }
        self.delay.observe(now_us, transit_us);
        self.note_rebuildable(now_us, number, &frame);
        self.frames.insert(number, frame);
        Inserted::Accepted
    }

    /// The frames just before this one that have not come, and that it can rebuild, have come with it in effect.
    fn note_rebuildable(&mut self, now_us: i64, number: u32, frame: &[u8]) {
        let newest = self.frames.last_key_value().map(|(&newest, _)| newest);
        let Some(first) = newest.max(self.next.and_then(|next| next.checked_sub(1))).map(|newest| newest + 1) else {
            return;
        };
        // After a longer gap the speaker has paused: what was never said is not late.
        if number.saturating_sub(first) > BURST_FRAMES_MAX {
            return;
        }
        let deep = may_have_dred(frame);
        let rebuilt_from = if deep {
            first
        } else if has_fec(frame) {
            first.max(number.saturating_sub(1))
        } else {
            number
        };
        let deep = deep && number - first >= DEEP_FRAMES_MIN;
        for missing in rebuilt_from..number {
            self.delay.observe_rebuilt(now_us, now_us.saturating_sub(i64::from(missing) * FRAME_US), deep);
        }
    }

    fn note_late(&mut self, now_us: i64, number: u32, transit_us: i64) -> Inserted {
        let age = self.next.unwrap_or(0).saturating_sub(number).saturating_sub(1);
        let Some(bit) = 1u128.checked_shl(age) else { return Inserted::Late };
        if self.came & bit != 0 {
            return Inserted::Duplicate;
        }
        self.came |= bit;
        if number >= self.started {
            self.delay.observe(now_us, transit_us);
            self.delay.observe_late(now_us, transit_us);
        }
        Inserted::Late
    }

    /// Keeps the numbers held within their span; false if `number` itself is too old for it.
    fn make_room(&mut self, number: u32) -> bool {
        let Some((&newest, _)) = self.frames.last_key_value() else {
            if self.playing && self.next.is_some_and(|next| number - next >= FRAMES_HELD_MAX) {
                self.playing = false;
                self.delay.rebase();
            }
            return true;
        };
        if newest.saturating_sub(number) >= FRAMES_HELD_MAX {
            return false;
        }
        let oldest_kept = number.saturating_sub(FRAMES_HELD_MAX - 1);
        let from = if self.playing { self.next.unwrap_or(number) } else { oldest_kept };
        if from < oldest_kept {
            // A leap: whatever it means, the old place is given up and the voice starts again at the new one.
            self.counts.late += self.frames.len() as u64;
            self.frames.clear();
            self.playing = false;
            self.delay.rebase();
        } else {
            let kept = self.frames.split_off(&oldest_kept);
            self.counts.late += self.frames.len() as u64;
            self.frames = kept;
        }
        true
    }

    /// The next piece of sound, whose first sample would be heard at `due`.
    ///
    /// Call again until the time is filled: [`Step::Start`] and [`Step::Cover`] fill none of it.
    pub fn pull(&mut self, due: Duration) -> Step {
        let due_us = micros(due);
        if !self.playing {
            return self.try_start(due_us);
        }
        let next = self.next.unwrap_or(0);
        if self.frames.len() > 1 && self.delay_us(due_us) > self.max_us + MISSED_US {
            // Nobody asked for a while: this machine stood still. Catching up frame by frame would take as long again.
            self.playing = false;
            return self.try_start(due_us);
        }
        if let Some(frame) = self.frames.remove(&next) {
            self.counts.decoded += 1;
            (self.dry_holds, self.refilled_us) = (0, None);
            self.advance(true);
            self.paused = if is_pause(&frame) { self.paused.saturating_add(1) } else { 0 };
            return Step::Decode { number: FrameNumber(next), frame };
        }
        let (delay_us, target_us) = (self.delay_us(due_us), self.delay.target_us(due_us));
        if self.frames.is_empty() {
            return self.run_dry(delay_us);
        }
        let grace_us = if self.dry_holds >= OUTAGE_HOLDS { GRACE_US } else { GRACE_SHORT_US };
        let in_grace = self.refilled_us.is_some_and(|at_us| due_us - at_us < grace_us) && delay_us < self.max_us;
        if delay_us + HOLD_US < target_us || in_grace {
            self.counts.held += 1;
            return Step::Hold;
        }
        self.pass_gap(next, delay_us >= target_us + FRAME_US)
    }

    /// By how many microseconds the frame after `due` would play later than its target; negative if earlier, zero while
    /// stopped.
    pub fn slack_us(&self, due: Duration) -> i64 {
        let due_us = micros(due);
        if self.playing { self.delay_us(due_us) - self.delay.target_us(due_us) } else { 0 }
    }

    /// Whether the next frame is here, so that [`JitterBuffer::pull`] would give it out.
    pub fn is_next_here(&self) -> bool {
        self.playing && self.next.is_some_and(|next| self.frames.contains_key(&next))
    }

    /// Whether the voice plays, or holds frames that it will play.
    pub fn is_active(&self) -> bool {
        self.playing || !self.frames.is_empty()
    }

    /// When the first frame that is held will have waited long enough to start; none while the voice plays, or nothing is held.
    pub fn starts_at(&self, now: Duration) -> Option<Duration> {
        let (&first, _) = self.frames.first_key_value().filter(|_| !self.playing)?;
        let captured_us = i64::from(first).saturating_mul(FRAME_US).saturating_add(self.delay.base_us());
        let start_us = captured_us.saturating_add(self.delay.target_us(micros(now)));
        Some(Duration::from_micros(start_us.max(0) as u64))
    }

    /// The delay that the buffer aims at, above the fastest recent frame.
    pub fn target(&self, now: Duration) -> Duration {
        Duration::from_micros(self.delay.target_us(micros(now)).max(0) as u64)
    }

    /// What has become of the frames so far.
    pub fn counts(&self) -> JitterCounts {
        self.counts
    }

    fn try_start(&mut self, due_us: i64) -> Step {
        let target_us = self.delay.target_us(due_us);
        // After an outage or a pause the thread of the talk is worth more than a short delay, which comes back soon.
        let follows = self.frames.first_key_value().map(|(&first, _)| first) == self.next;
        let resumes = self.next.is_some() && (follows || self.paused >= PAUSED_MIN);
        let allowed_us = if resumes { self.max_us } else { target_us } + FRAME_US;
        let mut passed = Vec::new();
        while let Some((&first, _)) = self.frames.first_key_value() {
            let delay_us = self.delay_of(first, due_us);
            if delay_us >= allowed_us && self.frames.len() > 1 {
                self.frames.pop_first();
                passed.push(first);
                self.counts.late += 1;
                continue;
            }
            if delay_us < target_us {
                break;
            }
            let from = self.next.unwrap_or(first);
            let skipped = first - from;
            self.counts.skipped += u64::from(skipped);
            self.came = self.came.checked_shl(skipped).unwrap_or(0);
            for age in passed.iter().map(|number| first - number - 1) {
                self.came |= 1u128.checked_shl(age).unwrap_or(0);
            }
            (self.next, self.started, self.playing) = (Some(first), first, true);
            (self.dry_holds, self.refilled_us) = (0, None);
            return Step::Start { first: FrameNumber(from), skipped };
        }
        Step::Silent
    }

    fn run_dry(&mut self, delay_us: i64) -> Step {
        // Of a speaker who pauses nothing is to be waited for, and what comes next starts at its target and not at any tick after it.
        if (self.paused >= PAUSED_MIN || delay_us + FRAME_US > self.max_us) && self.dry_holds >= HOLDS_MIN {
            self.playing = false;
            return Step::Stop;
        }
        self.dry_holds += 1;
        self.counts.held += 1;
        Step::Hold
    }

    fn pass_gap(&mut self, next: u32, time_is_filled: bool) -> Step {
        let number = FrameNumber(next);
        let successor = next.checked_add(1).and_then(|n| self.frames.get(&n)).cloned();
        self.advance(false);
        match successor {
            _ if time_is_filled => {
                self.counts.concealed += 1;
                Step::Cover { number }
            }
            Some(next) => {
                self.counts.fec += 1;
                Step::Fec { number, next }
            }
            None => {
                self.counts.concealed += 1;
                let later = self.frames.first_key_value();
                let later = later.map(|(&later, frame)| Later { ahead: later - next, frame: frame.clone() });
                Step::Conceal { number, later }
            }
        }
    }

    fn advance(&mut self, came: bool) {
        let missing = self.came.trailing_zeros();
        if came && self.paused == 0 && (1..=BURST_FRAMES_MAX).contains(&missing) {
            self.counts.lost += u64::from(missing);
            self.counts.bursts += 1;
        }
        self.came = self.came << 1 | u128::from(came);
        // The last number there is has no successor; a voice that gets there stays there.
        self.next = self.next.map(|next| next.saturating_add(1));
    }

    fn delay_us(&self, due_us: i64) -> i64 {
        self.delay_of(self.next.unwrap_or(0), due_us)
    }

    fn delay_of(&self, number: u32, due_us: i64) -> i64 {
        due_us.saturating_sub(i64::from(number) * FRAME_US).saturating_sub(self.delay.base_us())
    }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

/// Duration of a number of samples at 48 kHz.
pub(crate) fn samples_duration(samples: usize) -> Duration {
    Duration::from_micros(samples as u64 * 1_000_000 / u64::from(SAMPLE_RATE_HZ))
}
