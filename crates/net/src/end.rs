//! Why a link ended.

use std::io;

use crate::frame::FrameError;

/// Why a link ended. The variant says whose doing it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkEnd {
    /// This node hung up.
    #[error("this node hung up")]
    HungUp,
    /// The peer ended its control substream, or refused a lane.
    #[error("the peer ended the link")]
    PeerEnded,
    /// The network: the connection is gone, or one of its substreams broke off.
    #[error("the connection was lost: {0}")]
    Lost(String),
    /// The peer: what it sent is no frame.
    #[error("the peer broke the framing: {0}")]
    Framing(String),
    /// The peer: a media substream whose first byte is no lane, or a second one for a lane.
    #[error("the peer opened a second lane {0}, or there is no such lane")]
    BadLane(u8),
    /// The peer: bytes on the receiving side of a lane, which carries packets one way.
    #[error("the peer sent on a lane that only receives")]
    ReverseLane,
    /// The peer does not take its control messages.
    #[error("the peer does not take its control messages")]
    ControlQueueFull,
    /// A newer connection of the same peer has taken over.
    #[error("a newer connection took over")]
    Replaced,
    /// This node: its driver is gone.
    #[error("this node is stopping")]
    Stopping,
}

impl From<io::Error> for LinkEnd {
    fn from(error: io::Error) -> Self {
        LinkEnd::Lost(error.to_string())
    }
}

impl From<FrameError> for LinkEnd {
    fn from(error: FrameError) -> Self {
        LinkEnd::Framing(error.to_string())
    }
}
