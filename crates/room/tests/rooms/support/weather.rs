//! What becomes of what is sent.

use std::time::Duration;

use treehouse_wire::VoiceId;

/// How the network treats packets.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// Share of messages that are lost once and come a round trip later, holding up what is behind them.
    pub loss: f64,
    /// Share of media packets that never come.
    pub drop: f64,
    /// Largest extra delay of a message.
    pub jitter: Duration,
}

pub const CALM: Weather = Weather { loss: 0.0, drop: 0.0, jitter: Duration::ZERO };

/// What a hostile relay keeps back.
#[derive(Clone, Copy, Debug, Default)]
pub struct Withholds {
    /// Share of the packets that it does not pass on.
    pub share: f64,
    /// Of this voice alone.
    pub voice: Option<VoiceId>,
    /// From this one alone.
    pub only: Option<super::Ix>,
    /// How much later it says everything.
    pub late: Duration,
}
