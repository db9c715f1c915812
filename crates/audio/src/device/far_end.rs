//! What the speakers play, on its way to the echo canceller.
//!
//! The speakers' callback copies each sample that it plays, silence too, into a ring. So the copy is a gapless stream on the
//! clock of the sound card: where in it an echo lies changes only when a device is opened, and an echo canceller need
//! not search for it again whenever somebody begins to speak. The capture thread empties the ring before each block of the
//! microphone, so that what is played is always known before it can have been heard.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rtrb::Consumer;
use treehouse_wire::units::SAMPLE_RATE_HZ;

use crate::{process::BLOCK, resample::Resampler};

/// Half a second of left and right at the highest usual rate: more than a capture thread ever sleeps. When it is full, what comes is
/// dropped.
pub(super) const FAR_END_SAMPLES: usize = 96_000;

/// Connects speakers with the microphone that hears them. Give the same one to playback and to capture; who opens first does
/// not matter. One microphone at a time gets the sound.
#[derive(Clone, Default)]
pub struct FarEnd(Arc<Mutex<Option<Tap>>>);

/// The end of one opened device's ring, which holds a left and a right sample in turn.
struct Tap {
    ring: Consumer<f32>,
    rate_hz: u32,
}

impl Tap {
    fn skip(&mut self) {
        // The callback may be between the two samples of a pair.
        let stale = self.ring.slots() / 2 * 2;
        if let Ok(chunk) = self.ring.read_chunk(stale) {
            chunk.commit_all();
        }
    }
}

impl FarEnd {
    /// Speakers have opened; what was connected before is over. Never called from a callback.
    pub(super) fn connect(&self, ring: Consumer<f32>, rate_hz: u32) {
        *self.lock() = Some(Tap { ring, rate_hz });
    }

    fn lock(&self) -> MutexGuard<'_, Option<Tap>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PartialEq for FarEnd {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for FarEnd {}

impl fmt::Debug for FarEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FarEnd")
    }
}

/// The capture thread's view: blocks of 10 ms at 48 kHz, left and right.
pub(crate) struct FarEndReader {
    shared: FarEnd,
    connected: Option<(Tap, [Resampler; 2])>,
    raw: Vec<f32>,
    side: Vec<f32>,
    pending: [Vec<f32>; 2],
    is_new: bool,
}

impl FarEndReader {
    pub(crate) fn new(shared: FarEnd) -> Self {
        FarEndReader {
            shared,
            connected: None,
            raw: Vec::new(),
            side: Vec::new(),
            pending: Default::default(),
            is_new: false,
        }
    }

    /// Whether speakers are open.
    pub(crate) fn is_connected(&mut self) -> bool {
        let fresh = self.shared.lock().take();
        if let Some(mut tap) = fresh {
            // What was played before anybody listened is in nobody's way.
            tap.skip();
            self.pending.iter_mut().for_each(Vec::clear);
            let resampler = || Resampler::new(tap.rate_hz, SAMPLE_RATE_HZ).ok();
            self.connected = resampler().zip(resampler()).map(|(left, right)| (tap, [left, right]));
            self.is_new = true;
        }
        let over = self.connected.as_ref().is_some_and(|(tap, _)| tap.ring.is_abandoned() && tap.ring.is_empty());
        if over {
            self.connected = None;
        }
        self.connected.is_some()
    }

    /// Whether they have opened since this was last asked.
    pub(crate) fn is_new(&mut self) -> bool {
        std::mem::take(&mut self.is_new)
    }

    /// Forgets what was played while no microphone was open.
    pub(crate) fn skip(&mut self) {
        if let Some((tap, _)) = &mut self.connected {
            tap.skip();
        }
        self.pending.iter_mut().for_each(Vec::clear);
    }

    /// Hands over all whole blocks that have been played since this was last called.
    pub(crate) fn blocks(&mut self, mut each: impl FnMut(&[[f32; BLOCK]; 2])) {
        let Some((tap, resamplers)) = &mut self.connected else { return };
        self.raw.clear();
        if let Ok(chunk) = tap.ring.read_chunk(tap.ring.slots() / 2 * 2) {
            self.raw.extend(chunk);
        }
        for (at, (resampler, pending)) in resamplers.iter_mut().zip(&mut self.pending).enumerate() {
            self.side.clear();
            self.side.extend(self.raw.iter().skip(at).step_by(2));
            resampler.push(&self.side, pending);
        }
        let [left, right] = &mut self.pending;
        let (lefts, _) = left.as_chunks::<BLOCK>();
        let (rights, _) = right.as_chunks::<BLOCK>();
        let used = lefts.len().min(rights.len()) * BLOCK;
        lefts.iter().zip(rights).for_each(|(left, right)| each(&[*left, *right]));
        left.drain(..used);
        right.drain(..used);
    }
}

impl Drop for FarEndReader {
    fn drop(&mut self) {
        // The next microphone goes on with the same speakers.
        if let Some((tap, _)) = self.connected.take() {
            self.shared.lock().get_or_insert(tap);
        }
    }
}

#[cfg(test)]
mod tests {
    use rtrb::RingBuffer;

    use super::*;

    /// The left of what is there; the right is half of it.
    fn blocks(reader: &mut FarEndReader) -> Vec<[f32; BLOCK]> {
        let mut all = Vec::new();
        if reader.is_connected() {
            reader.blocks(|[left, right]| {
                assert!(left.iter().zip(right).all(|(left, right)| (left / 2.0 - right).abs() < 1e-6));
                all.push(*left);
            });
        }
        all
    }

    fn pairs(left: f32, count: usize) -> Vec<f32> {
        [left, left / 2.0].repeat(count)
    }

    #[test]
    fn what_is_played_after_the_microphone_opened_arrives_in_blocks_of_10_ms() {
        let far_end = FarEnd::default();
        let mut reader = FarEndReader::new(far_end.clone());
        assert!(!reader.is_connected());
        let (mut played, ring) = RingBuffer::new(FAR_END_SAMPLES);
        let _ = played.push_partial_slice(&pairs(0.9, 700));
        far_end.connect(ring, 48_000);
        assert!(blocks(&mut reader).is_empty(), "that was before");
        let _ = played.push_partial_slice(&pairs(0.5, 1_000));
        assert_eq!(blocks(&mut reader), [[0.5; BLOCK]; 2]);
        let _ = played.push_partial_slice(&pairs(0.5, 440));
        assert_eq!(blocks(&mut reader), [[0.5; BLOCK]; 1]);
    }

    #[test]
    fn speakers_that_close_are_gone_and_others_take_their_place() {
        let far_end = FarEnd::default();
        let mut reader = FarEndReader::new(far_end.clone());
        let (played, ring) = RingBuffer::new(FAR_END_SAMPLES);
        far_end.connect(ring, 48_000);
        assert!(reader.is_connected());
        drop(played);
        assert!(!reader.is_connected());
        let (mut played, ring) = RingBuffer::new(FAR_END_SAMPLES);
        far_end.connect(ring, 96_000);
        assert!(reader.is_connected());
        let _ = played.push_partial_slice(&pairs(0.5, 96_00));
        assert!((8..=10).contains(&blocks(&mut reader).len()), "twice the rate, half the blocks");
    }

    #[test]
    fn what_was_played_while_no_microphone_was_open_is_forgotten() {
        let far_end = FarEnd::default();
        let (mut played, ring) = RingBuffer::new(FAR_END_SAMPLES);
        far_end.connect(ring, 48_000);
        let mut reader = FarEndReader::new(far_end);
        assert!(reader.is_connected());
        let _ = played.push_partial_slice(&pairs(0.9, FAR_END_SAMPLES / 2));
        reader.skip();
        let _ = played.push_partial_slice(&pairs(0.1, BLOCK));
        assert_eq!(blocks(&mut reader), [[0.1; BLOCK]]);
    }

    #[test]
    fn the_next_microphone_goes_on_with_the_same_speakers() {
        let far_end = FarEnd::default();
        let (mut played, ring) = RingBuffer::new(FAR_END_SAMPLES);
        far_end.connect(ring, 48_000);
        let mut first = FarEndReader::new(far_end.clone());
        assert!(first.is_connected());
        drop(first);
        let mut second = FarEndReader::new(far_end.clone());
        assert!(second.is_connected() && second.is_new() && !second.is_new());
        let _ = played.push_partial_slice(&pairs(0.1, BLOCK));
        assert_eq!(blocks(&mut second).len(), 1);
    }
}
