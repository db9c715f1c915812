//! A strategy of one's own, whole: everyone links to a few others at random and passes on whatever is new.
//!
//! `cargo run -p treehouse-sim --example flood -- DIR` runs it in the shipped scenario `evening-room` and writes its results
//! into DIR, where `treehouse-sim compare` and `report` find them beside others.

use std::{env, error::Error, path::Path, sync::Arc};

use treehouse_sim::{
    engine::{Engine, Net},
    plan::NodeIx,
    results::{self, Meta, Summary},
    scenario::Scenario,
    strategy::{Class, Packet, Place, Strategy},
};

/// Links that a newcomer asks for.
const LINKS: usize = 5;

/// It keeps nothing: the network knows its links, and the record knows what is new.
struct Flood;

impl Flood {
    /// Sends a packet to all links but one.
    fn pass_on(net: &mut Net<Self>, node: NodeIx, packet: Packet, but: Option<NodeIx>) {
        let peers: Vec<NodeIx> = net.links(node).filter(|peer| Some(*peer) != but).collect();
        let (bytes, class) = (net.plan().media.packet_bytes, Class::Media { lane: 0, deadline_us: 500_000 });
        for peer in peers {
            net.send(node, peer, bytes, class, packet);
        }
    }

    /// Links to someone who is there.
    fn link(net: &mut Net<Self>, node: NodeIx) {
        if let Some(peer) = net.someone(node) {
            net.connect(node, peer);
        }
    }
}

impl Strategy for Flood {
    type Message = Packet;
    type Timer = ();

    fn name(&self) -> &'static str {
        "flood"
    }

    fn join(&mut self, net: &mut Net<Self>, node: NodeIx) {
        (0..LINKS).for_each(|_| Self::link(net, node));
    }

    fn leave(&mut self, net: &mut Net<Self>, node: NodeIx) {
        net.gone(node);
    }

    fn gone(&mut self, _node: NodeIx) {}

    fn unreachable(&mut self, net: &mut Net<Self>, node: NodeIx, _peer: NodeIx) {
        Self::link(net, node);
    }

    fn disconnected(&mut self, net: &mut Net<Self>, node: NodeIx, _peer: NodeIx) {
        Self::link(net, node);
    }

    fn receive(&mut self, net: &mut Net<Self>, node: NodeIx, from: NodeIx, packet: Packet) {
        if net.received(node, packet) {
            Self::pass_on(net, node, packet, Some(from));
        }
    }

    fn timer(&mut self, _net: &mut Net<Self>, _node: NodeIx, (): ()) {}

    fn packet(&mut self, net: &mut Net<Self>, node: NodeIx, packet: Packet) {
        Self::pass_on(net, node, packet, None);
    }

    fn place(&self, _node: NodeIx) -> Place {
        Place::default()
    }

    fn is_relay(&self, _node: NodeIx) -> bool {
        true
    }
}

/// Runs it in a scenario and writes the results into a folder.
pub fn simulate(scenario: &Scenario, folder: &Path) -> Result<Summary, Box<dyn Error>> {
    let plan = Arc::new(scenario.plan(scenario.seed)?);
    let meta = Meta::new(scenario, &plan, "flood");
    Ok(results::write(folder, &meta, &Engine::new(plan, |_| Flood).run())?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = env::args().nth(1).ok_or("say where the results go: flood DIR")?;
    let summary = simulate(&Scenario::load("evening-room", &[])?, Path::new(&folder))?;
    println!("{}", serde_json::to_string(&summary)?);
    Ok(())
}
