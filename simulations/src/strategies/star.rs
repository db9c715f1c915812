//! A central server: everyone connects to the host, and the host sends every packet to everyone.
//!
//! The least delay that there is and one copy of each packet, for an uplink that grows with the audience. Its host has the
//! uplink of a server: [`with_server`] makes it as large as it must be.

use std::sync::Arc;

use crate::{
    engine::Net,
    plan::{NodeIx, Plan},
    strategy::{Class, Packet, Place, Strategy},
};

/// Size of the messages that are no media, in bytes.
const CONTROL_BYTES: u32 = 60;
/// Lanes of a link.
const LANES: u32 = 4;
/// How long a packet may wait in the uplink.
const DEADLINE_US: u64 = 500_000;

/// Uplink of the server for each member, in bits a second: a packet to everyone is out within two milliseconds.
const SERVER_BPS: u64 = 1_000_000;

/// The plan with the uplink of a server at the host, 1 Gbit/s or more.
pub fn with_server(mut plan: Arc<Plan>) -> Arc<Plan> {
    let of = Arc::make_mut(&mut plan);
    let members = of.nodes.len() as u64;
    if let Some(host) = of.nodes.first_mut() {
        host.uplink_bps = host.uplink_bps.max(members.max(1000) * SERVER_BPS);
    }
    plan
}

/// A central server.
#[derive(Debug, Default)]
pub struct Star {
    listeners: std::collections::BTreeSet<NodeIx>,
}

/// What nodes of a star send.
#[derive(Clone, Copy, Debug)]
pub enum Message {
    /// A listener is there.
    Hello,
    /// A listener goes.
    Bye,
    /// A packet.
    Media(Packet),
}

impl Star {
    fn spread(&self, net: &mut Net<Self>, packet: Packet, but: NodeIx) {
        let class =
            Class::Media { lane: (packet.first / u32::from(packet.frames) % LANES) as u8, deadline_us: DEADLINE_US };
        let bytes = net.plan().media.packet_bytes;
        for listener in self.listeners.iter().filter(|listener| **listener != but) {
            net.send(NodeIx::HOST, *listener, bytes, class, Message::Media(packet));
        }
    }
}

impl Strategy for Star {
    type Message = Message;
    type Timer = ();

    fn name(&self) -> &'static str {
        "star"
    }

    fn join(&mut self, net: &mut Net<Self>, node: NodeIx) {
        if node != NodeIx::HOST {
            net.connect(node, NodeIx::HOST);
        }
    }

    fn leave(&mut self, net: &mut Net<Self>, node: NodeIx) {
        net.send(node, NodeIx::HOST, CONTROL_BYTES, Class::Control, Message::Bye);
        net.disconnect(node, NodeIx::HOST);
        net.gone(node);
    }

    fn gone(&mut self, node: NodeIx) {
        if node == NodeIx::HOST {
            self.listeners.clear();
        }
    }

    fn connected(&mut self, net: &mut Net<Self>, node: NodeIx, peer: NodeIx) {
        if peer == NodeIx::HOST {
            net.send(node, peer, CONTROL_BYTES, Class::Control, Message::Hello);
        }
    }

    fn disconnected(&mut self, net: &mut Net<Self>, node: NodeIx, peer: NodeIx) {
        if node == NodeIx::HOST {
            self.listeners.remove(&peer);
            net.feed(NodeIx::HOST, peer, false);
        }
    }

    fn receive(&mut self, net: &mut Net<Self>, node: NodeIx, from: NodeIx, message: Message) {
        match message {
            Message::Hello => {
                self.listeners.insert(from);
                net.feed(NodeIx::HOST, from, true);
            }
            Message::Bye => {
                self.listeners.remove(&from);
                net.feed(NodeIx::HOST, from, false);
            }
            Message::Media(packet) => {
                net.received(node, packet);
                if node == NodeIx::HOST {
                    self.spread(net, packet, from);
                }
            }
        }
    }

    fn timer(&mut self, _net: &mut Net<Self>, _node: NodeIx, (): ()) {}

    fn packet(&mut self, net: &mut Net<Self>, node: NodeIx, packet: Packet) {
        if node == NodeIx::HOST {
            self.spread(net, packet, NodeIx::HOST);
        } else {
            let class = Class::Media { lane: 0, deadline_us: DEADLINE_US };
            let bytes = net.plan().media.packet_bytes;
            net.send(node, NodeIx::HOST, bytes, class, Message::Media(packet));
        }
    }

    fn place(&self, node: NodeIx) -> Place {
        let listens = self.listeners.contains(&node);
        Place { parent: listens.then_some(NodeIx::HOST), standby: None, depth: listens.then_some(1.0) }
    }

    fn is_relay(&self, _node: NodeIx) -> bool {
        false
    }
}
