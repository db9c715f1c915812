//! Negotiates a connection's substreams and hands them to the connection's link.
//!
//! The dialer opens the one control substream, either side opens the lanes it sends on. The handler does nothing else:
//! reading and writing belong to the link's own task, so that a packet does not wake libp2p's handlers of every other
//! protocol on the connection.

use std::{
    array,
    convert::Infallible,
    future::{Ready, ready},
    sync::Arc,
    task::{Context, Poll},
};

use libp2p::{
    Stream, StreamProtocol,
    core::{
        UpgradeInfo,
        upgrade::{InboundUpgrade, ReadyUpgrade},
    },
    swarm::{
        ConnectionHandler, ConnectionHandlerEvent, SubstreamProtocol,
        handler::{ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound},
    },
};
use tokio::sync::mpsc;
use treehouse_wire::{NodeId, limits::MEDIA_LANES};

use crate::{
    events::{ConnectionKey, Event},
    limits::{ADDRESS_TIMEOUT, UNNAMED_LANES_MAX},
    link::{Link, LinkParts, Substream},
    outbound::Outbound,
};

/// The control substream of a link, opened by the dialer: u16 length and message, both ways.
pub(crate) const CONTROL_PROTOCOL: StreamProtocol = StreamProtocol::new("/treehouse/control/1");
/// A media lane, opened by the sender of its packets: the lane's number in one byte, then u16 length and packet.
pub(crate) const MEDIA_PROTOCOL: StreamProtocol = StreamProtocol::new("/treehouse/media/1");

/// What a handler reports.
#[derive(Debug)]
pub(crate) enum Report {
    /// The control substream is there and the link runs, sending by this side.
    Up(Arc<Outbound>),
    /// The link is over; close the connection.
    Over,
}

/// What an outbound substream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Control,
    Lane(usize),
}

/// Accepts both protocols and says which one it was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Accept;

impl UpgradeInfo for Accept {
    type Info = StreamProtocol;
    type InfoIter = array::IntoIter<StreamProtocol, 2>;

    fn protocol_info(&self) -> Self::InfoIter {
        [CONTROL_PROTOCOL, MEDIA_PROTOCOL].into_iter()
    }
}

impl InboundUpgrade<Stream> for Accept {
    type Output = (StreamProtocol, Stream);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, protocol: StreamProtocol) -> Self::Future {
        ready(Ok((protocol, stream)))
    }
}

/// The handler of one connection.
pub(crate) struct Handler {
    outbound: Arc<Outbound>,
    /// Present until the control substream is there.
    parts: Option<LinkParts>,
    substreams: mpsc::Sender<Substream>,
    requests: mpsc::Receiver<usize>,
    /// Media substreams that overtook the control substream.
    early: Vec<Stream>,
    control_requested: bool,
    report_up: bool,
    over: Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    No,
    Yes,
    Reported,
}

impl Handler {
    pub(crate) fn new(key: ConnectionKey, peer: NodeId, dialer: bool, events: mpsc::Sender<Event>) -> Self {
        // A substream for each lane either way, and as many again.
        let (substreams, substreams_receiver) = mpsc::channel(4 * MEDIA_LANES);
        let (requests_sender, requests) = mpsc::channel(MEDIA_LANES);
        let outbound = Arc::new(Outbound::new());
        let parts = LinkParts {
            key,
            peer,
            dialer,
            outbound: Arc::clone(&outbound),
            events,
            substreams: substreams_receiver,
            requests: requests_sender,
        };
        Handler {
            outbound,
            parts: Some(parts),
            substreams,
            requests,
            early: Vec::new(),
            control_requested: !dialer,
            report_up: false,
            over: Over::No,
        }
    }

    /// The connection's sending side.
    pub(crate) fn outbound(&self) -> &Arc<Outbound> {
        &self.outbound
    }

    /// The control substream is there: the link begins. A second control substream is dropped, and so reset.
    fn control_open(&mut self, mut stream: Stream) {
        let Some(parts) = self.parts.take() else { return };
        stream.ignore_for_keep_alive();
        self.outbound.set_control(stream);
        tokio::spawn(Link::new(parts).run());
        self.report_up = true;
        for stream in std::mem::take(&mut self.early) {
            self.hand_over(Substream::Media(stream));
        }
    }

    fn media_open(&mut self, mut stream: Stream) {
        stream.ignore_for_keep_alive();
        if self.parts.is_none() {
            self.hand_over(Substream::Media(stream));
        } else if self.early.len() < UNNAMED_LANES_MAX {
            self.early.push(stream);
        }
    }

    /// A link that does not take its substreams has more of them than any honest peer opens; they are dropped.
    fn hand_over(&mut self, substream: Substream) {
        if self.substreams.try_send(substream).is_err() {
            tracing::debug!("a substream was refused");
        }
    }

    fn failed(&mut self, purpose: Purpose, reason: String) {
        match purpose {
            Purpose::Control => self.over = Over::Yes,
            Purpose::Lane(_) => self.hand_over(Substream::NoLane(reason)),
        }
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Infallible;
    type ToBehaviour = Report;
    type InboundProtocol = Accept;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Purpose;

    fn listen_protocol(&self) -> SubstreamProtocol<Accept, ()> {
        SubstreamProtocol::new(Accept, ()).with_timeout(ADDRESS_TIMEOUT)
    }

    /// True while the link lives. A connection on which no control substream appears is closed by the swarm's idle
    /// timeout.
    fn connection_keep_alive(&self) -> bool {
        self.parts.is_none() && self.over == Over::No
    }

    fn on_behaviour_event(&mut self, event: Infallible) {
        match event {}
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<ReadyUpgrade<StreamProtocol>, Purpose, Report>> {
        if self.over == Over::Yes {
            self.over = Over::Reported;
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(Report::Over));
        }
        if std::mem::take(&mut self.report_up) {
            let up = Report::Up(Arc::clone(&self.outbound));
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(up));
        }
        let purpose = if !std::mem::replace(&mut self.control_requested, true) {
            Purpose::Control
        } else {
            match self.requests.poll_recv(cx) {
                Poll::Ready(Some(lane)) => Purpose::Lane(lane),
                Poll::Ready(None) if self.over == Over::No => {
                    self.over = Over::Reported;
                    return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(Report::Over));
                }
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        };
        let protocol = if purpose == Purpose::Control { CONTROL_PROTOCOL } else { MEDIA_PROTOCOL };
        Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest {
            protocol: SubstreamProtocol::new(ReadyUpgrade::new(protocol), purpose).with_timeout(ADDRESS_TIMEOUT),
        })
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Accept, ReadyUpgrade<StreamProtocol>, (), Purpose>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: (protocol, stream), ..
            }) => {
                if protocol == MEDIA_PROTOCOL {
                    self.media_open(stream);
                } else if self.parts.as_ref().is_some_and(|parts| !parts.dialer) {
                    self.control_open(stream);
                }
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol: mut stream, info }) => {
                match info {
                    Purpose::Control => self.control_open(stream),
                    Purpose::Lane(lane) => {
                        stream.ignore_for_keep_alive();
                        self.hand_over(Substream::Lane(lane, stream));
                    }
                }
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info, error }) => {
                self.failed(info, error.to_string());
            }
            _ => {}
        }
    }
}
