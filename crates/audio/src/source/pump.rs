//! A source that may keep one waiting (a pipe, a station, a list of files on a slow disk) as one that never does.
//!
//! A thread reads and decodes into a bounded queue, and stands still where that is full. The other end takes a frame every 20 ms. Where none
//! is there the voice is silent until enough have gathered; the last frame before fades out and the first after fades in.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use super::{Next, SourceError, SourceNotice};
use crate::{FRAME, mix::Block};

/// Frames that are read ahead at most: two seconds.
const QUEUE_FRAMES: usize = 100;
/// Notices that wait at most; more are dropped.
const NOTICES_MAX: usize = 16;
/// How often a thread that waits looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(50);

/// What the thread reads from.
pub(super) trait Supply: Send {
    /// Fills the next 20 ms, as late as it likes; false at the end.
    fn next_frame(&mut self, pcm: &mut Block, wanted: &Wanted) -> Result<bool, SourceError>;
}

/// Whether a supply is still wanted, and whom it tells what happens.
#[derive(Clone)]
pub(super) struct Wanted {
    stop: Arc<AtomicBool>,
    notices: SyncSender<SourceNotice>,
}

impl Wanted {
    pub(super) fn tell(&self, notice: SourceNotice) {
        let _ = self.notices.try_send(notice);
    }

    /// Waits; false as soon as the supply is no longer wanted.
    pub(super) fn wait(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        while !self.stop.load(Ordering::Relaxed) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            thread::sleep(left.min(LOOK));
        }
        false
    }
}

enum Item {
    Frame(Box<Block>),
    End,
    Failed(SourceError),
}

/// The end that is asked every 20 ms. Dropping it ends the thread, at the latest when what it reads next has come.
pub(super) struct Pump {
    items: Receiver<Item>,
    notices: Receiver<SourceNotice>,
    stop: Arc<AtomicBool>,
    ready: VecDeque<Box<Block>>,
    /// Frames that must have gathered before the voice begins.
    gather: usize,
    flowing: bool,
    /// Nothing more comes after what is ready; and why.
    over: Option<Result<(), SourceError>>,
}

impl Pump {
    /// Opens and reads a supply on a thread of its own. The voice begins once `gather` frames are there.
    ///
    /// # Errors
    /// [`SourceError::Thread`] where the system gives no thread. That the supply cannot be opened is told by [`Pump::next`].
    pub(super) fn start<S: Supply>(
        gather: usize,
        open: impl FnOnce(&Wanted) -> Result<S, SourceError> + Send + 'static,
    ) -> Result<Self, SourceError> {
        let (queue, items) = sync_channel(QUEUE_FRAMES);
        let (notify, notices) = sync_channel(NOTICES_MAX);
        let stop = Arc::new(AtomicBool::new(false));
        let wanted = Wanted { stop: stop.clone(), notices: notify };
        thread::Builder::new()
            .name("treehouse-source".into())
            .spawn(move || {
                let last = match open(&wanted).and_then(|supply| run(supply, &queue, &wanted)) {
                    Ok(()) => Item::End,
                    Err(error) => Item::Failed(error),
                };
                send(&queue, last, &wanted);
            })
            .map_err(SourceError::Thread)?;
        let ready = VecDeque::with_capacity(gather);
        Ok(Pump { items, notices, stop, ready, gather: gather.max(1), flowing: false, over: None })
    }

    /// What has happened since the last time.
    pub(super) fn notice(&mut self) -> Option<SourceNotice> {
        self.notices.try_recv().ok()
    }

    /// The next 20 ms, if they are there.
    pub(super) fn next(&mut self, pcm: &mut Block) -> Result<Next, SourceError> {
        // One more than is played now, so that the last one before a gap is known as such.
        while self.over.is_none() && self.ready.len() < self.gather.max(2) {
            match self.items.try_recv() {
                Ok(Item::Frame(frame)) => self.ready.push_back(frame),
                Ok(Item::End) => self.over = Some(Ok(())),
                Ok(Item::Failed(error)) => self.over = Some(Err(error)),
                Err(_) => break,
            }
        }
        let begins = !self.flowing;
        if begins && self.over.is_none() && self.ready.len() < self.gather {
            return Ok(Next::Nothing);
        }
        let Some(frame) = self.ready.pop_front() else {
            return match self.over.take() {
                None => Ok(Next::Nothing),
                Some(Ok(())) => {
                    self.over = Some(Ok(()));
                    Ok(Next::End)
                }
                Some(Err(error)) => {
                    self.over = Some(Ok(()));
                    Err(error)
                }
            };
        };
        *pcm = *frame;
        self.flowing = !self.ready.is_empty() || self.over.is_some();
        ramp(&mut pcm.left, begins, !self.flowing);
        ramp(&mut pcm.right, begins, !self.flowing);
        Ok(Next::Frame)
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Fades a frame in, out, or both, over its length.
fn ramp(pcm: &mut [f32; FRAME], fade_in: bool, fade_out: bool) {
    for (i, sample) in pcm.iter_mut().enumerate() {
        let up = (i + 1) as f32 / FRAME as f32;
        *sample *= if fade_in { up } else { 1.0 } * if fade_out { 1.0 - up } else { 1.0 };
    }
}

fn run(mut supply: impl Supply, queue: &SyncSender<Item>, wanted: &Wanted) -> Result<(), SourceError> {
    let mut pcm = Block::default();
    while supply.next_frame(&mut pcm, wanted)? {
        if !send(queue, Item::Frame(Box::new(pcm.clone())), wanted) {
            break;
        }
    }
    Ok(())
}

/// Waits for room; false if nobody wants it any more.
fn send(queue: &SyncSender<Item>, mut item: Item, wanted: &Wanted) -> bool {
    loop {
        match queue.try_send(item) {
            Ok(()) => return true,
            Err(TrySendError::Disconnected(_)) => return false,
            Err(TrySendError::Full(back)) => item = back,
        }
        if !wanted.wait(LOOK) {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives frames of one value, one for each message, and ends with the channel.
    struct Dribble(Receiver<f32>);

    impl Supply for Dribble {
        fn next_frame(&mut self, pcm: &mut Block, _: &Wanted) -> Result<bool, SourceError> {
            let Ok(value) = self.0.recv() else { return Ok(false) };
            *pcm = Block::both([value; FRAME]);
            Ok(true)
        }
    }

    fn dribble(gather: usize) -> (SyncSender<f32>, Pump) {
        let (give, given) = sync_channel(1_000);
        (give, Pump::start(gather, move |_| Ok(Dribble(given))).unwrap())
    }

    /// Asks until something else than nothing comes.
    fn patiently(pump: &mut Pump, pcm: &mut Block) -> Next {
        for _ in 0..2_000 {
            match pump.next(pcm).unwrap() {
                Next::Nothing => thread::sleep(Duration::from_millis(5)),
                other => return other,
            }
        }
        Next::Nothing
    }

    #[test]
    fn a_gap_is_silence_with_a_fade_on_either_side_and_the_end_is_the_end() {
        let (give, mut pump) = dribble(3);
        let (mut pcm, mut all) = (Block::default(), vec![0.0]);
        assert_eq!(pump.next(&mut pcm).unwrap(), Next::Nothing);
        for _ in 0..2 {
            (0..3).for_each(|_| give.send(0.5).unwrap());
            for _ in 0..3 {
                assert_eq!(patiently(&mut pump, &mut pcm), Next::Frame);
                assert_eq!(pcm.left, pcm.right);
                all.extend(pcm.left);
            }
            assert_eq!(pump.next(&mut pcm).unwrap(), Next::Nothing, "dry");
            all.push(0.0);
        }
        assert_eq!(all[FRAME + 10], 0.5);
        assert!(all.windows(2).all(|p| (p[1] - p[0]).abs() < 0.001), "a click");
        drop(give);
        assert_eq!(patiently(&mut pump, &mut pcm), Next::End);
    }

    #[test]
    fn what_is_read_ahead_has_a_bound() {
        let (give, mut pump) = dribble(2);
        (0..1_000).for_each(|_| give.send(0.1).unwrap());
        drop(give);
        let mut pcm = Block::default();
        assert_eq!(patiently(&mut pump, &mut pcm), Next::Frame);
        thread::sleep(Duration::from_millis(200));
        // With nobody asking, the thread has gone no further than its queue, the frame in its hand, and what was taken.
        let waiting = pump.items.try_iter().count();
        assert!(waiting <= QUEUE_FRAMES + 1, "{waiting}");
    }

    #[test]
    fn a_supply_that_does_not_open_or_fails_later_says_why_once() {
        struct Never;
        impl Supply for Never {
            fn next_frame(&mut self, _: &mut Block, _: &Wanted) -> Result<bool, SourceError> {
                Err(SourceError::Empty("there".into()))
            }
        }
        for opens in [true, false] {
            let open = move |_: &Wanted| if opens { Ok(Never) } else { Err(SourceError::Empty("here".into())) };
            let mut pump = Pump::start(1, open).unwrap();
            let mut pcm = Block::default();
            let error = (0..2_000).find_map(|_| {
                thread::sleep(Duration::from_millis(1));
                pump.next(&mut pcm).err()
            });
            let wanted = if opens { "there is empty" } else { "here is empty" };
            assert!(error.unwrap().to_string().starts_with(wanted));
            assert_eq!(pump.next(&mut pcm).unwrap(), Next::End);
        }
    }
}
