//! The sending side of one connection, shared by the driver and the link's own task.
//!
//! The driver writes a packet straight to its lane's substream: one short lock, one write, no other task woken but the
//! transport's. Only where the transport has no room does the packet wait in the lane's queue, and the link's task
//! writes it on once there is. So a slow peer costs the driver a failed write and nothing more, and a fast one costs
//! no detour through queues and schedulers.
//!
//! Lanes are opened when their first packet comes. Anything that goes wrong is noted here and ends the link; the
//! driver never sees an error, only the link's end.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use futures::{AsyncRead, AsyncWrite};
use treehouse_wire::limits::MEDIA_LANES;

use crate::{
    end::LinkEnd,
    queue::{ControlQueue, LaneQueue},
    wake::{Ready, Slot, Wakers},
};

/// What a substream must be able to do.
pub(crate) trait Io: AsyncRead + AsyncWrite + Unpin + Send + 'static {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Io for T {}

/// The sending side of one connection.
#[derive(Debug)]
pub(crate) struct Outbound<S = libp2p::Stream> {
    ready: Arc<Ready>,
    wakers: Wakers,
    state: Mutex<State<S>>,
}

#[derive(Debug)]
struct State<S> {
    control: ControlQueue,
    control_stream: Option<S>,
    /// The opener's first bytes must leave although no message may be waiting.
    control_unflushed: bool,
    lanes: [Lane<S>; MEDIA_LANES],
    hang_up: bool,
    end: Option<LinkEnd>,
}

#[derive(Debug)]
struct Lane<S> {
    queue: LaneQueue,
    stream: LaneStream<S>,
}

#[derive(Debug)]
enum LaneStream<S> {
    Unused,
    Wanted,
    Requested,
    /// Open; the flag says that its number has not been written yet.
    Open(S, bool),
}

impl<S: Io> Outbound<S> {
    /// A connection without a substream yet.
    pub(crate) fn new() -> Self {
        let ready = Arc::new(Ready::default());
        let lanes = std::array::from_fn(|_| Lane { queue: LaneQueue::default(), stream: LaneStream::Unused });
        let state = State {
            control: ControlQueue::default(),
            control_stream: None,
            control_unflushed: false,
            lanes,
            hang_up: false,
            end: None,
        };
        Outbound { wakers: Wakers::new(&ready), ready, state: Mutex::new(state) }
    }

    /// The slots of this link.
    pub(crate) fn ready(&self) -> &Ready {
        &self.ready
    }

    /// A context that wakes the link through one slot.
    pub(crate) fn context(&self, slot: Slot) -> Context<'_> {
        self.wakers.context(slot)
    }

    fn lock(&self) -> MutexGuard<'_, State<S>> {
        // Nothing in this module panics while it holds the lock; if something did, the link ends by its streams.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a control message, with its length before it, and writes what there is room for.
    pub(crate) fn send(&self, message: Bytes) {
        let mut state = self.lock();
        if state.is_over() {
            return;
        }
        if state.control.push(message).is_err() {
            self.fail_locked(&mut state, LinkEnd::ControlQueueFull);
            return;
        }
        let written = state.write_control(&mut self.context(Slot::WRITE));
        self.note(&mut state, written);
    }

    /// Queues a packet, with its length before it, and writes what there is room for.
    pub(crate) fn forward(&self, lane: usize, packet: Bytes, deadline: Instant, now: Instant) {
        let mut state = self.lock();
        if state.is_over() {
            return;
        }
        let Some(lane_state) = state.lanes.get_mut(lane) else { return };
        lane_state.queue.push(packet, deadline, now);
        if let LaneStream::Unused = lane_state.stream {
            lane_state.stream = LaneStream::Wanted;
            self.ready.mark(Slot::DRIVER);
            return;
        }
        let written = lane_state.write(lane, &mut self.context(Slot::WRITE), now);
        self.note(&mut state, written);
    }

    /// Asks the link to end once what is queued is delivered.
    pub(crate) fn hang_up(&self) {
        self.lock().hang_up = true;
        self.ready.mark(Slot::DRIVER);
    }

    /// Whether the link has been asked to end, or has ended.
    pub(crate) fn is_closing(&self) -> bool {
        self.lock().is_over()
    }

    /// Whether the driver has asked the link to end.
    pub(crate) fn is_hung_up(&self) -> bool {
        self.lock().hang_up
    }

    /// Packets that lanes dropped since this was last asked.
    pub(crate) fn take_dropped(&self) -> u32 {
        self.lock().lanes.iter_mut().fold(0, |sum, lane| sum.saturating_add(lane.queue.take_dropped()))
    }

    /// Ends the link.
    pub(crate) fn fail(&self, end: LinkEnd) {
        self.fail_locked(&mut self.lock(), end);
    }

    /// Why the link must end, if it must.
    pub(crate) fn end(&self) -> Option<LinkEnd> {
        self.lock().end.clone()
    }

    /// The control substream is there. Its opener makes its first bytes leave at once.
    pub(crate) fn set_control(&self, stream: S) {
        let mut state = self.lock();
        state.control_stream = Some(stream);
        state.control_unflushed = true;
        let written = state.write_control(&mut self.context(Slot::WRITE));
        self.note(&mut state, written);
    }

    /// A lane's substream is there.
    pub(crate) fn set_lane(&self, lane: usize, stream: S, now: Instant) {
        let mut state = self.lock();
        let Some(lane_state) = state.lanes.get_mut(lane) else { return };
        lane_state.stream = LaneStream::Open(stream, true);
        let written = lane_state.write(lane, &mut self.context(Slot::WRITE), now);
        self.note(&mut state, written);
        self.ready.mark(Slot::SENDING);
    }

    /// The lanes that have packets and no substream; each is named once.
    pub(crate) fn take_wanted(&self) -> Vec<usize> {
        let mut wanted = Vec::new();
        for (i, lane) in self.lock().lanes.iter_mut().enumerate() {
            if let LaneStream::Wanted = lane.stream {
                lane.stream = LaneStream::Requested;
                wanted.push(i);
            }
        }
        wanted
    }

    /// Writes what there is room for. The link calls it when [`Slot::WRITE`] wakes it.
    pub(crate) fn write_pending(&self, now: Instant) {
        let mut state = self.lock();
        let mut cx = self.context(Slot::WRITE);
        let mut written = state.write_control(&mut cx);
        for (i, lane) in state.lanes.iter_mut().enumerate() {
            written = written.and(lane.write(i, &mut cx, now));
        }
        self.note(&mut state, written);
    }

    /// Reads from the control substream.
    pub(crate) fn poll_read_control(&self, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        match &mut self.lock().control_stream {
            Some(stream) => Pin::new(stream).poll_read(&mut self.context(Slot::CONTROL), buffer),
            None => Poll::Pending,
        }
    }

    /// Looks whether the peer has ended a lane that this node sends on; it has nothing else to say there.
    pub(crate) fn check_lanes(&self) -> Result<(), LinkEnd> {
        let mut state = self.lock();
        let mut cx = self.context(Slot::SENDING);
        for lane in &mut state.lanes {
            let LaneStream::Open(stream, _) = &mut lane.stream else { continue };
            match Pin::new(stream).poll_read(&mut cx, &mut [0; 16]) {
                Poll::Pending => {}
                Poll::Ready(Ok(0)) => return Err(LinkEnd::PeerEnded),
                Poll::Ready(Ok(_)) => return Err(LinkEnd::ReverseLane),
                Poll::Ready(Err(error)) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Writes everything that is queued and ends the sending side of each substream: the lanes first, and the control
    /// substream, whose end is the link's, once the peer has read the lanes and let them go. Substreams arrive in no
    /// order, and a lane may still be about to open.
    pub(crate) fn poll_finish(&self, now: Instant) -> Poll<Result<(), LinkEnd>> {
        let mut state = self.lock();
        let mut cx = self.context(Slot::WRITE);
        state.write_control(&mut cx)?;
        let mut all_read = true;
        for (i, lane) in state.lanes.iter_mut().enumerate() {
            lane.write(i, &mut cx, now)?;
            all_read &= match &mut lane.stream {
                LaneStream::Unused => true,
                LaneStream::Wanted | LaneStream::Requested => lane.queue.is_empty(),
                LaneStream::Open(..) if !lane.queue.is_empty() => false,
                LaneStream::Open(stream, _) => {
                    let mut stream = Pin::new(stream);
                    match stream.as_mut().poll_close(&mut cx)? {
                        Poll::Ready(()) => stream.poll_read(&mut cx, &mut [0; 16]).is_ready(),
                        Poll::Pending => false,
                    }
                }
            };
        }
        if !all_read || !state.control.is_empty() {
            return Poll::Pending;
        }
        match &mut state.control_stream {
            Some(stream) => Pin::new(stream).poll_close(&mut cx).map_err(LinkEnd::from),
            None => Poll::Ready(Ok(())),
        }
    }

    fn note(&self, state: &mut State<S>, written: Result<(), LinkEnd>) {
        if let Err(end) = written {
            self.fail_locked(state, end);
        }
    }

    fn fail_locked(&self, state: &mut State<S>, end: LinkEnd) {
        if state.end.is_none() {
            state.end = Some(end);
            self.ready.mark(Slot::DRIVER);
        }
    }
}

impl<S: Io> State<S> {
    fn is_over(&self) -> bool {
        self.hang_up || self.end.is_some()
    }

    fn write_control(&mut self, cx: &mut Context<'_>) -> Result<(), LinkEnd> {
        let Some(stream) = &mut self.control_stream else { return Ok(()) };
        while let Some(front) = self.control.front() {
            match Pin::new(&mut *stream).poll_write(cx, front) {
                Poll::Ready(Ok(count)) => self.control.advance(nonzero(count)?),
                Poll::Ready(Err(error)) => return Err(error.into()),
                Poll::Pending => return Ok(()),
            }
        }
        if self.control_unflushed {
            match Pin::new(stream).poll_flush(cx) {
                Poll::Ready(Ok(())) => self.control_unflushed = false,
                Poll::Ready(Err(error)) => return Err(error.into()),
                Poll::Pending => {}
            }
        }
        Ok(())
    }
}

impl<S: Io> Lane<S> {
    fn write(&mut self, number: usize, cx: &mut Context<'_>, now: Instant) -> Result<(), LinkEnd> {
        let LaneStream::Open(stream, unnamed) = &mut self.stream else { return Ok(()) };
        if *unnamed {
            match Pin::new(&mut *stream).poll_write(cx, &[number as u8]) {
                Poll::Ready(count) => nonzero(count?)?,
                Poll::Pending => return Ok(()),
            };
            *unnamed = false;
        }
        self.queue.expire(now);
        while let Some(front) = self.queue.front() {
            match Pin::new(&mut *stream).poll_write(cx, front) {
                Poll::Ready(Ok(count)) => self.queue.advance(nonzero(count)?),
                Poll::Ready(Err(error)) => return Err(error.into()),
                Poll::Pending => return Ok(()),
            }
        }
        Ok(())
    }
}

fn nonzero(count: usize) -> Result<usize, LinkEnd> {
    if count == 0 { Err(io::Error::from(io::ErrorKind::WriteZero).into()) } else { Ok(count) }
}

#[cfg(test)]
mod tests {
    use std::{task::Waker, time::Duration};

    use super::*;
    use crate::limits::{CONTROL_QUEUE_MESSAGES_MAX, LANE_QUEUE_PACKETS_MAX};

    /// A substream with room for so many bytes, which says what it was given.
    #[derive(Debug, Clone, Default)]
    struct Pipe(Arc<Mutex<Content>>);

    #[derive(Debug, Default)]
    struct Content {
        room: usize,
        written: Vec<u8>,
        waiting: Option<Waker>,
        /// The peer has read everything and dropped its side.
        let_go: bool,
    }

    impl Pipe {
        fn with_room(room: usize) -> Pipe {
            let pipe = Pipe::default();
            pipe.make_room(room);
            pipe
        }

        fn make_room(&self, room: usize) {
            let mut content = self.0.lock().expect("no panic");
            content.room += room;
            if let Some(waiting) = content.waiting.take() {
                waiting.wake();
            }
        }

        fn let_go(&self) {
            self.0.lock().expect("no panic").let_go = true;
        }

        fn written(&self) -> Vec<u8> {
            self.0.lock().expect("no panic").written.clone()
        }
    }

    impl AsyncWrite for Pipe {
        fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            let mut content = self.0.lock().expect("no panic");
            let count = bytes.len().min(content.room);
            if count == 0 {
                content.waiting = Some(cx.waker().clone());
                return Poll::Pending;
            }
            content.room -= count;
            content.written.extend_from_slice(&bytes[..count]);
            Poll::Ready(Ok(count))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncRead for Pipe {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
            if self.0.lock().expect("no panic").let_go { Poll::Ready(Ok(0)) } else { Poll::Pending }
        }
    }

    fn woken(outbound: &Outbound<Pipe>) -> u16 {
        outbound.ready().take(&Context::from_waker(Waker::noop()))
    }

    fn packet(number: u8) -> Bytes {
        Bytes::copy_from_slice(&[0, 2, number, number])
    }

    #[test]
    fn a_lane_is_asked_for_once_and_carries_what_waited_for_it() {
        let (outbound, now) = (Outbound::new(), Instant::now());
        let deadline = now + Duration::from_secs(1);
        outbound.forward(2, packet(1), deadline, now);
        assert_ne!(woken(&outbound) & Slot::DRIVER.bit(), 0);
        outbound.forward(2, packet(2), deadline, now);
        assert_eq!(outbound.take_wanted(), [2]);
        assert_eq!(outbound.take_wanted(), []);
        let pipe = Pipe::with_room(100);
        outbound.set_lane(2, pipe.clone(), now);
        outbound.forward(2, packet(3), deadline, now);
        assert_eq!(pipe.written(), [2, 0, 2, 1, 1, 0, 2, 2, 2, 0, 2, 3, 3], "its number, then the packets");
        outbound.forward(7, packet(4), deadline, now);
        assert_eq!(outbound.end(), None, "a lane that does not exist is nobody's fault but the caller's");
    }

    #[test]
    fn a_lane_without_room_waits_drops_what_is_late_and_never_tears_a_packet() {
        let (outbound, now) = (Outbound::new(), Instant::now());
        let ms = Duration::from_millis;
        let pipe = Pipe::with_room(3);
        outbound.set_lane(0, pipe.clone(), now);
        (1..=3).for_each(|n| outbound.forward(0, packet(n), now + ms(100), now));
        assert_eq!(pipe.written(), [0, 0, 2], "the lane's number and half a packet");
        woken(&outbound);
        // Room comes after all deadlines: the packet that has begun is finished, the others are late.
        pipe.make_room(100);
        assert_ne!(woken(&outbound) & Slot::WRITE.bit(), 0, "the link is woken");
        outbound.write_pending(now + ms(200));
        outbound.forward(0, packet(9), now + ms(400), now + ms(300));
        assert_eq!(pipe.written(), [0, 0, 2, 1, 1, 0, 2, 9, 9]);
        assert_eq!(outbound.take_dropped(), 2);
    }

    #[test]
    fn a_lane_that_is_stuck_holds_no_more_than_its_bound() {
        let (outbound, now) = (Outbound::new(), Instant::now());
        outbound.set_lane(0, Pipe::default(), now);
        for n in 0..LANE_QUEUE_PACKETS_MAX + 50 {
            outbound.forward(0, packet(n as u8), now + Duration::from_secs(9), now);
        }
        assert_eq!(outbound.take_dropped(), 50);
    }

    #[test]
    fn control_messages_that_pile_up_end_the_link() {
        let outbound = Outbound::new();
        outbound.set_control(Pipe::default());
        (0..CONTROL_QUEUE_MESSAGES_MAX).for_each(|_| outbound.send(packet(1)));
        assert_eq!(outbound.end(), None);
        outbound.send(packet(1));
        assert_eq!(outbound.end(), Some(LinkEnd::ControlQueueFull));
        assert!(outbound.is_closing());
    }

    #[test]
    fn finishing_waits_until_everything_is_written_and_the_lanes_are_read() {
        let (outbound, now) = (Outbound::new(), Instant::now());
        let (control, lane) = (Pipe::with_room(4), Pipe::with_room(1));
        outbound.set_control(control.clone());
        outbound.set_lane(1, lane.clone(), now);
        outbound.send(packet(1));
        outbound.send(packet(2));
        outbound.forward(1, packet(3), now + Duration::from_secs(1), now);
        outbound.hang_up();
        outbound.send(packet(4));
        assert!(outbound.poll_finish(now).is_pending());
        control.make_room(100);
        assert!(outbound.poll_finish(now).is_pending());
        lane.make_room(100);
        assert!(outbound.poll_finish(now).is_pending(), "the peer could see the link's end before the packet");
        lane.let_go();
        assert_eq!(outbound.poll_finish(now), Poll::Ready(Ok(())));
        assert_eq!(control.written(), [0, 2, 1, 1, 0, 2, 2, 2], "what was said after the hangup is not sent");
        assert_eq!(lane.written(), [1, 0, 2, 3, 3]);
    }

    #[test]
    fn finishing_waits_for_a_lane_that_is_about_to_open() {
        let (outbound, now) = (Outbound::new(), Instant::now());
        outbound.set_control(Pipe::with_room(100));
        outbound.forward(1, packet(3), now + Duration::from_secs(1), now);
        outbound.hang_up();
        assert!(outbound.poll_finish(now).is_pending());
        assert_eq!(outbound.take_wanted(), [1]);
        assert!(outbound.poll_finish(now).is_pending());
        let lane = Pipe::with_room(100);
        lane.let_go();
        outbound.set_lane(1, lane.clone(), now);
        assert_eq!(outbound.poll_finish(now), Poll::Ready(Ok(())));
        assert_eq!(lane.written(), [1, 0, 2, 3, 3]);
    }
}
