//! The task of one connection's link: it reads the peer, writes on what the driver could not, and ends the link.
//!
//! A link's events reach the driver in order: up first, then what the peer sent, then down. The task delivers one frame
//! at a time and reads no further until the driver's queue has taken it, so back-pressure reaches exactly the peer
//! that causes it, and since a link waits for one place at a time, links take turns. A [`Throttle`] bounds what a peer
//! can make this node check.
//!
//! Ending politely: the side that hangs up writes everything it has queued and ends the sending side of its lanes; once
//! the peer has let them go, which says that it has read them, it ends its control substream, and waits until the
//! peer's ends too. That takes [`HANGUP_FLUSH_MAX`] at most.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::Bytes;
use futures::future::poll_fn;
use tokio::{
    sync::mpsc,
    time::{Sleep, sleep},
};
use treehouse_wire::{
    NodeId,
    limits::{CONTROL_BYTES_MAX, MEDIA_LANES, PACKET_BYTES_MAX},
};

use crate::{
    end::LinkEnd,
    events::{ConnectionKey, Event, LinkEvent},
    frame::Deframer,
    limits::{HANGUP_FLUSH_MAX, INBOUND_FRAMES_BURST, UNNAMED_LANES_MAX},
    outbound::{Io, Outbound},
    throttle::Throttle,
    wake::Slot,
};

/// What a connection's handler tells its link.
#[derive(Debug)]
pub(crate) enum Substream<S = libp2p::Stream> {
    /// The peer has opened a media substream.
    Media(S),
    /// A lane that the link asked for.
    Lane(usize, S),
    /// A lane that the link asked for could not be opened.
    NoLane(String),
}

/// The task of one connection's link.
pub(crate) struct Link<S: Io = libp2p::Stream> {
    key: ConnectionKey,
    peer: NodeId,
    dialer: bool,
    outbound: Arc<Outbound<S>>,
    events: mpsc::Sender<Event<S>>,
    substreams: mpsc::Receiver<Substream<S>>,
    requests: mpsc::Sender<usize>,
    woken: u16,
    connection_closed: bool,
    control: Deframer,
    lanes: [Option<Receiving<S>>; MEDIA_LANES],
    unnamed: Vec<Receiving<S>>,
    throttle: Throttle,
    timer: Option<Pin<Box<Sleep>>>,
}

struct Receiving<S> {
    stream: S,
    frames: Deframer,
}

impl<S: Io> Receiving<S> {
    fn new(stream: S) -> Self {
        Receiving { stream, frames: Deframer::new(PACKET_BYTES_MAX) }
    }
}

/// What a handler needs to start a link.
pub(crate) struct LinkParts<S: Io = libp2p::Stream> {
    pub(crate) key: ConnectionKey,
    pub(crate) peer: NodeId,
    /// This node has dialled the connection.
    pub(crate) dialer: bool,
    pub(crate) outbound: Arc<Outbound<S>>,
    pub(crate) events: mpsc::Sender<Event<S>>,
    pub(crate) substreams: mpsc::Receiver<Substream<S>>,
    pub(crate) requests: mpsc::Sender<usize>,
}

impl<S: Io> Link<S> {
    pub(crate) fn new(parts: LinkParts<S>) -> Self {
        let LinkParts { key, peer, dialer, outbound, events, substreams, requests } = parts;
        Link {
            key,
            peer,
            dialer,
            outbound,
            events,
            substreams,
            requests,
            // Everything is looked at once, so that each substream learns its waker.
            woken: u16::MAX,
            connection_closed: false,
            control: Deframer::new(CONTROL_BYTES_MAX),
            lanes: Default::default(),
            unnamed: Vec::new(),
            throttle: Throttle::new(Instant::now()),
            timer: None,
        }
    }

    /// Runs until the link has ended. Dropping the future drops the substreams.
    pub(crate) async fn run(mut self) {
        let outbound = Arc::clone(&self.outbound);
        let mut delivered = self.deliver(LinkEvent::Up { dialer: self.dialer, outbound }).await;
        let end = loop {
            if let Err(end) = delivered {
                break end;
            }
            delivered = match poll_fn(|cx| self.poll_next(cx)).await {
                Ok(event) => self.deliver(event).await,
                Err(LinkEnd::HungUp) => break self.finish().await,
                Err(end) => Err(end),
            };
        };
        tracing::debug!(peer = %self.peer, %end, "link ended");
        self.outbound.fail(end.clone());
        let _ = self.deliver(LinkEvent::Down(end)).await;
    }

    /// Hands an event to the driver. While its queue is full, writing goes on and reading does not.
    async fn deliver(&mut self, event: LinkEvent<S>) -> Result<(), LinkEnd> {
        let event = Event::Link { key: self.key, peer: self.peer, event };
        let event = match self.events.try_send(event) {
            Ok(()) => return Ok(()),
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(LinkEnd::Stopping),
            Err(mpsc::error::TrySendError::Full(event)) => event,
        };
        let events = self.events.clone();
        let mut send = std::pin::pin!(events.send(event));
        poll_fn(|cx| {
            self.woken |= self.outbound.ready().take(cx);
            if self.take(Slot::WRITE) {
                self.outbound.write_pending(Instant::now());
            }
            send.as_mut().poll(cx).map_err(|_| LinkEnd::Stopping)
        })
        .await
    }

    fn take(&mut self, slot: Slot) -> bool {
        let woken = self.woken & slot.bit() != 0;
        self.woken &= !slot.bit();
        woken
    }

    fn is_woken(&self, slot: Slot) -> bool {
        self.woken & slot.bit() != 0
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<LinkEvent<S>, LinkEnd>> {
        self.woken |= self.outbound.ready().take(cx);
        self.poll_substreams(cx)?;
        self.serve_driver()?;
        if self.take(Slot::WRITE) {
            self.outbound.write_pending(Instant::now());
        }
        if self.take(Slot::SENDING) && !self.connection_closed {
            self.outbound.check_lanes()?;
        }
        if let Some(timer) = &mut self.timer {
            ready!(timer.as_mut().poll(cx));
            self.timer = None;
        }
        if let Err(wait) = self.throttle.take(Instant::now()) {
            let timer = self.timer.insert(Box::pin(sleep(wait)));
            ready!(timer.as_mut().poll(cx));
        }
        let frame = self.poll_frame();
        if frame.is_pending() {
            self.throttle.put_back();
            if self.connection_closed {
                return Poll::Ready(Err(LinkEnd::Lost("the connection was closed".into())));
            }
        }
        frame
    }

    fn poll_frame(&mut self) -> Poll<Result<LinkEvent<S>, LinkEnd>> {
        if self.take(Slot::UNNAMED) {
            self.name_lanes()?;
        }
        // Lanes first: at the end of a link the peer's last packets are still read, since the control substream's end
        // is what ends the link.
        for lane in 0..MEDIA_LANES {
            if self.is_woken(Slot::lane(lane)) {
                match self.poll_lane(lane)? {
                    Poll::Ready(packet) => return Poll::Ready(Ok(LinkEvent::Media(packet))),
                    Poll::Pending => _ = self.take(Slot::lane(lane)),
                }
            }
        }
        if self.is_woken(Slot::CONTROL) {
            match self.poll_control()? {
                Poll::Ready(message) => return Poll::Ready(Ok(LinkEvent::Control(message))),
                Poll::Pending => _ = self.take(Slot::CONTROL),
            }
        }
        Poll::Pending
    }

    fn poll_control(&mut self) -> Result<Poll<Bytes>, LinkEnd> {
        loop {
            if let Some(message) = self.control.next_frame()? {
                return Ok(Poll::Ready(message));
            }
            match self.outbound.poll_read_control(self.control.space()) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(Ok(0)) if self.control.is_partial() => {
                    return Err(LinkEnd::Framing("a message breaks off".into()));
                }
                Poll::Ready(Ok(0)) => return Err(LinkEnd::PeerEnded),
                Poll::Ready(count) => self.control.filled(count?),
            }
        }
    }

    /// The next packet on a lane. A lane that ends cleanly between two packets may be opened again.
    fn poll_lane(&mut self, lane: usize) -> Result<Poll<Bytes>, LinkEnd> {
        let Some(slot) = self.lanes.get_mut(lane) else { return Ok(Poll::Pending) };
        while let Some(receiving) = slot {
            if let Some(packet) = receiving.frames.next_frame()? {
                return Ok(Poll::Ready(packet));
            }
            let mut cx = self.outbound.context(Slot::lane(lane));
            match Pin::new(&mut receiving.stream).poll_read(&mut cx, receiving.frames.space()) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(Ok(0)) if receiving.frames.is_partial() => {
                    return Err(LinkEnd::Framing("a packet breaks off".into()));
                }
                Poll::Ready(Ok(0)) => *slot = None,
                Poll::Ready(count) => receiving.frames.filled(count?),
            }
        }
        Ok(Poll::Pending)
    }

    /// Reads the first byte of new media substreams and puts each in its lane's place.
    fn name_lanes(&mut self) -> Result<(), LinkEnd> {
        let mut cx = self.outbound.context(Slot::UNNAMED);
        for mut receiving in std::mem::take(&mut self.unnamed) {
            match Pin::new(&mut receiving.stream).poll_read(&mut cx, receiving.frames.space()) {
                Poll::Pending => self.unnamed.push(receiving),
                Poll::Ready(Ok(0)) => {}
                Poll::Ready(Err(error)) => return Err(error.into()),
                Poll::Ready(Ok(count)) => {
                    receiving.frames.filled(count);
                    let number = receiving.frames.next_byte().unwrap_or(u8::MAX);
                    let slot = self.lanes.get_mut(usize::from(number));
                    let slot = slot.filter(|slot| slot.is_none()).ok_or(LinkEnd::BadLane(number))?;
                    *slot = Some(receiving);
                    self.woken |= Slot::lane(usize::from(number)).bit();
                }
            }
        }
        Ok(())
    }

    fn poll_substreams(&mut self, cx: &mut Context<'_>) -> Result<(), LinkEnd> {
        while !self.connection_closed {
            match self.substreams.poll_recv(cx) {
                Poll::Pending => break,
                // What has already arrived is still read.
                Poll::Ready(None) => {
                    self.connection_closed = true;
                    self.woken = u16::MAX;
                }
                Poll::Ready(Some(Substream::Media(stream))) if self.unnamed.len() < UNNAMED_LANES_MAX => {
                    self.unnamed.push(Receiving::new(stream));
                    self.woken |= Slot::UNNAMED.bit();
                }
                Poll::Ready(Some(Substream::Media(_))) => tracing::debug!(peer = %self.peer, "too many lanes"),
                Poll::Ready(Some(Substream::Lane(lane, stream))) => {
                    self.outbound.set_lane(lane, stream, Instant::now());
                }
                Poll::Ready(Some(Substream::NoLane(reason))) => return Err(LinkEnd::Lost(reason)),
            }
        }
        Ok(())
    }

    fn serve_driver(&mut self) -> Result<(), LinkEnd> {
        if !self.take(Slot::DRIVER) {
            return Ok(());
        }
        if let Some(end) = self.outbound.end() {
            return Err(end);
        }
        if self.outbound.is_hung_up() {
            return Err(LinkEnd::HungUp);
        }
        for lane in self.outbound.take_wanted() {
            // There is a place for each lane, and each is asked for once; only a handler that is gone refuses.
            self.requests.try_send(lane).map_err(|_| LinkEnd::Lost("the connection was closed".into()))?;
        }
        Ok(())
    }

    /// Reads what still comes on the lanes, for a peer that hangs up at the same time waits until it is read.
    fn discard_lanes(&mut self) {
        let _ = self.name_lanes();
        for lane in 0..MEDIA_LANES {
            let mut frames = 0;
            while frames < INBOUND_FRAMES_BURST && matches!(self.poll_lane(lane), Ok(Poll::Ready(_))) {
                frames += 1;
            }
        }
    }

    /// Delivers what is queued and waits until the peer has read it.
    async fn finish(&mut self) -> LinkEnd {
        let mut deadline = std::pin::pin!(sleep(HANGUP_FLUSH_MAX));
        self.woken = u16::MAX;
        let mut sent = false;
        poll_fn(|cx| {
            if deadline.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            self.woken |= self.outbound.ready().take(cx);
            if self.poll_substreams(cx).is_err() || self.connection_closed {
                return Poll::Ready(());
            }
            for lane in self.outbound.take_wanted() {
                let _ = self.requests.try_send(lane);
            }
            if !sent {
                match self.outbound.poll_finish(Instant::now()) {
                    Poll::Ready(Ok(())) => sent = true,
                    Poll::Ready(Err(_)) => return Poll::Ready(()),
                    Poll::Pending => {}
                }
            }
            self.discard_lanes();
            let mut discarded = [0; 1024];
            loop {
                match self.outbound.poll_read_control(&mut discarded) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(0)) if !sent => return Poll::Pending,
                    Poll::Ready(Ok(0)) | Poll::Ready(Err(_)) => return Poll::Ready(()),
                    Poll::Ready(Ok(_)) => {}
                }
            }
        })
        .await;
        LinkEnd::HungUp
    }
}
