//! What a dissemination strategy is to the simulator: the trait that Treehouse and every baseline implement.
//!
//! One value of a strategy holds the state of all nodes, and the engine tells it what happens to each. A strategy sees
//! only what a node of it would see: who connected, what arrived, its own timers.

use crate::{engine::Net, plan::NodeIx};

/// What a message is carried by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The link's control stream: in order, never lost, late where a packet was lost.
    Control,
    /// One of the link's four media lanes, in order within the lane; dropped where it would wait in the uplink's queue for
    /// longer than the deadline.
    Media {
        /// 0 to 3.
        lane: u8,
        /// How long it may wait, in microseconds.
        deadline_us: u64,
    },
    /// A datagram: lost where the network loses it, in no order.
    Datagram,
}

/// One frame of a voice, as it leaves a microphone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The voice: the number of the speaker among those who ever speak.
    pub voice: u16,
    /// The frame's number; frames are numbered from 0 and silence takes no numbers.
    pub number: u32,
}

/// Consecutive frames of a voice that travel together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Packet {
    /// The voice.
    pub voice: u16,
    /// Number of its first frame.
    pub first: u32,
    /// How many frames.
    pub frames: u8,
}

/// Where a node is in a tree, for those strategies that build one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Place {
    /// Who feeds it.
    pub parent: Option<NodeIx>,
    /// Who would feed it or does so too, and is not suspected of anything.
    pub standby: Option<NodeIx>,
    /// Hops between the host and it; a mean where packets take different ways.
    pub depth: Option<f64>,
}

/// A dissemination strategy over all nodes of a run.
pub trait Strategy: Sized {
    /// What its nodes send each other.
    type Message;
    /// What its nodes are woken for.
    type Timer;

    /// Its name in results.
    fn name(&self) -> &'static str;

    /// A node comes. The host, node 0, comes first.
    fn join(&mut self, net: &mut Net<Self>, node: NodeIx);

    /// A node goes politely: its last chance to say so. It is gone when the strategy calls [`Net::gone`], at the latest
    /// after [`LINGER_US`](crate::engine::LINGER_US).
    fn leave(&mut self, net: &mut Net<Self>, node: NodeIx);

    /// A node is no more, politely or not: forget it. Nothing can be sent for it.
    fn gone(&mut self, node: NodeIx);

    /// A link that this node or its peer asked for is up.
    fn connected(&mut self, _net: &mut Net<Self>, _node: NodeIx, _peer: NodeIx) {}

    /// A link that this node asked for did not come about.
    fn unreachable(&mut self, _net: &mut Net<Self>, _node: NodeIx, _peer: NodeIx) {}

    /// A link is gone: closed by the peer, or given up because the peer was silent for too long.
    fn disconnected(&mut self, _net: &mut Net<Self>, _node: NodeIx, _peer: NodeIx) {}

    /// A message has come.
    fn receive(&mut self, net: &mut Net<Self>, node: NodeIx, from: NodeIx, message: Self::Message);

    /// A timer is due. Timers cannot be taken back: ignore one that is of no use any more.
    fn timer(&mut self, net: &mut Net<Self>, node: NodeIx, timer: Self::Timer);

    /// Media packets to this peer were dropped at the uplink since the last call.
    fn dropped(&mut self, _net: &mut Net<Self>, _node: NodeIx, _peer: NodeIx, _packets: u32) {}

    /// A node begins (or ends) to speak; frames follow.
    fn speaks(&mut self, _net: &mut Net<Self>, _node: NodeIx, _on: bool) {}

    /// A frame was captured; for strategies that cut packets themselves.
    fn frame(&mut self, _net: &mut Net<Self>, _node: NodeIx, _frame: Frame) {}

    /// A packet was captured, cut as [`Media::frames_per_packet`](crate::plan::Media) says; for all others.
    fn packet(&mut self, _net: &mut Net<Self>, _node: NodeIx, _packet: Packet) {}

    /// In flow mode: a peer that this node has a link to has crashed or was cut off, and nothing comes from it any more. What
    /// a node would notice by silence it is to be told when it would notice.
    fn falls_silent(&mut self, _net: &mut Net<Self>, _node: NodeIx, _peer: NodeIx) {}

    /// The host puts this node out of the room, in strategies that can.
    fn kick(&mut self, _net: &mut Net<Self>, _node: NodeIx) {}

    /// Where a node is now, for the figures.
    fn place(&self, node: NodeIx) -> Place;

    /// Whether it feeds others now, for scripts that make relays fail.
    fn is_relay(&self, node: NodeIx) -> bool;

    /// The run ends: the last chance to add to the counts.
    fn finish(&mut self, _net: &mut Net<Self>) {}

    /// Bytes of memory that its nodes take, if it counts them.
    fn memory_bytes(&self) -> Option<u64> {
        None
    }
}
