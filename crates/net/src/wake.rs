//! One waker for each thing that a link waits for, so that it polls only what has something to say.
//!
//! A link reads up to six substreams and writes up to five. Were they all polled whenever one of them wakes the link,
//! each packet would cost ten locks of the connection instead of one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    task::{Context, Wake, Waker},
};

use futures::task::AtomicWaker;
use treehouse_wire::limits::MEDIA_LANES;

/// Something that a link waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot(u16);

impl Slot {
    /// Bytes on the control substream.
    pub(crate) const CONTROL: Slot = Slot(0);
    /// Room on a substream that had none.
    pub(crate) const WRITE: Slot = Slot(1);
    /// A wish of the driver: a lane to open, a link to hang up.
    pub(crate) const DRIVER: Slot = Slot(2);
    /// The first byte of a new media substream.
    pub(crate) const UNNAMED: Slot = Slot(3);
    /// The end of a lane that this node sends on.
    pub(crate) const SENDING: Slot = Slot(4);
    const LANES: u16 = 5;
    const COUNT: u16 = Slot::LANES + MEDIA_LANES as u16;

    /// Bytes on a lane that the peer sends on.
    pub(crate) fn lane(lane: usize) -> Slot {
        Slot(Slot::LANES + lane.min(MEDIA_LANES - 1) as u16)
    }

    /// The slot's place in a set of slots.
    pub(crate) const fn bit(self) -> u16 {
        1 << self.0
    }

    /// The slots that waking this one marks.
    ///
    /// A Yamux stream keeps a single waker for its way to the connection, and uses it for reads as well as for writes:
    /// whichever comes last replaces the other's. So where this node both reads and writes, one wakes for both.
    const fn marks(self) -> u16 {
        const BOTH_WAYS: u16 = Slot::CONTROL.bit() | Slot::WRITE.bit() | Slot::SENDING.bit();
        if self.bit() & BOTH_WAYS != 0 { BOTH_WAYS } else { self.bit() }
    }
}

/// The slots of one link that have been woken, and the task that polls them.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    task: AtomicWaker,
    woken: AtomicU16,
}

impl Ready {
    /// Takes the set of woken slots; the task of `cx` is woken by later ones.
    pub(crate) fn take(&self, cx: &Context<'_>) -> u16 {
        self.task.register(cx.waker());
        self.woken.swap(0, Ordering::AcqRel)
    }

    /// Marks a slot and wakes the link.
    pub(crate) fn mark(&self, slot: Slot) {
        self.mark_all(slot.bit());
    }

    fn mark_all(&self, slots: u16) {
        self.woken.fetch_or(slots, Ordering::AcqRel);
        self.task.wake();
    }
}

struct SlotWaker {
    ready: Arc<Ready>,
    slots: u16,
}

impl Wake for SlotWaker {
    fn wake(self: Arc<Self>) {
        self.ready.mark_all(self.slots);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ready.mark_all(self.slots);
    }
}

/// A waker for each slot of a link.
#[derive(Debug)]
pub(crate) struct Wakers(Vec<Waker>);

impl Wakers {
    /// The wakers that mark `ready`.
    pub(crate) fn new(ready: &Arc<Ready>) -> Self {
        let waker = |i| Waker::from(Arc::new(SlotWaker { ready: Arc::clone(ready), slots: Slot(i).marks() }));
        Wakers((0..Slot::COUNT).map(waker).collect())
    }

    /// A context that wakes through one slot.
    pub(crate) fn context(&self, slot: Slot) -> Context<'_> {
        Context::from_waker(self.0.get(usize::from(slot.0)).unwrap_or(Waker::noop()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_learns_which_of_its_slots_were_woken() {
        let ready = Arc::new(Ready::default());
        let wakers = Wakers::new(&ready);
        let cx = Context::from_waker(Waker::noop());
        assert_eq!(ready.take(&cx), 0);
        wakers.context(Slot::UNNAMED).waker().wake_by_ref();
        wakers.context(Slot::lane(3)).waker().wake_by_ref();
        assert_eq!(ready.take(&cx), Slot::UNNAMED.bit() | Slot::lane(3).bit());
        assert_eq!(ready.take(&cx), 0);
        // Room to write may be announced to whoever read last.
        wakers.context(Slot::CONTROL).waker().wake_by_ref();
        assert_ne!(ready.take(&cx) & Slot::WRITE.bit(), 0);
    }

    #[test]
    fn slots_are_distinct() {
        let mut slots = vec![Slot::CONTROL, Slot::WRITE, Slot::DRIVER, Slot::UNNAMED, Slot::SENDING];
        slots.extend((0..MEDIA_LANES).map(Slot::lane));
        let all = slots.iter().fold(0, |all, slot| all | slot.bit());
        assert_eq!(all.count_ones() as usize, slots.len());
        assert_eq!(slots.len(), usize::from(Slot::COUNT));
    }
}
