//! From what members wrote down to an [`Outcome`]: everything is told to the simulator's recorder in the order of time.

use treehouse_room::Suspicion;
use treehouse_sim::{
    engine::OVERHEAD_BYTES,
    measure::{Outcome, Recorder},
    plan::{NodeIx, Plan},
    strategy::{Packet, Place},
};

use crate::member::{Life, Sent};

/// Frames of a packet down a tree.
const GROUP: usize = 3;
/// Frames of one packet are handed on within this.
const TOGETHER_US: u64 = 2_000;

/// What is told to the recorder. Of what happens at one moment, the first here is told first.
#[derive(Clone, Copy, Debug)]
enum What {
    Joined,
    Captured,
    Received(Packet),
    Repaired { after_us: u64 },
    Placed(Place),
    Sent { media: u64, to_host: u64, to_others: u64 },
    Left,
}

impl What {
    fn order(&self) -> u8 {
        match self {
            What::Joined => 0,
            What::Captured => 1,
            What::Received(_) => 2,
            What::Repaired { .. } => 3,
            What::Placed(_) => 4,
            What::Sent { .. } => 5,
            What::Left => 6,
        }
    }
}

/// The outcome of the lives that the members of a plan had; `datagrams` went over the network.
pub(crate) fn outcome(plan: &Plan, lives: &[Life], datagrams: u64) -> Outcome {
    let mut events: Vec<(u64, NodeIx, What)> = Vec::new();
    for (node, life) in (0..).map(NodeIx).zip(lives) {
        tell(node, life, &mut events);
    }
    events.sort_by_key(|(at_us, node, what)| (*at_us, what.order(), *node));
    let mut recorder = Recorder::new(plan);
    for (at_us, node, what) in events.into_iter().filter(|(at_us, ..)| *at_us <= plan.duration_us) {
        match what {
            What::Joined => recorder.joined(node, at_us),
            What::Captured => recorder.captured(0, node, at_us),
            What::Received(packet) => _ = recorder.received(node, packet, at_us),
            What::Repaired { after_us } => recorder.repaired(node, after_us, at_us),
            What::Placed(place) => recorder.placed(node, place, at_us),
            What::Sent { media, to_host, to_others } => {
                // Whom it was for matters to the host's share alone.
                let within = at_us.saturating_sub(1);
                recorder.sent(node, node, media, true, within);
                recorder.sent(node, NodeIx::HOST, to_host, false, within);
                recorder.sent(node, node, to_others, false, within);
            }
            What::Left => recorder.left(node, at_us, true),
        }
    }
    count(plan, lives, &mut recorder);
    let mut outcome = recorder.finish(plan.duration_us, datagrams);
    // Which packets were copies a node does not tell, only how many came.
    for (row, life) in outcome.nodes.iter_mut().zip(lives) {
        row.copies = life.packets.saturating_sub(life.packets_early);
    }
    outcome
}

fn tell(node: NodeIx, life: &Life, events: &mut Vec<(u64, NodeIx, What)>) {
    events.push((life.joined_us, node, What::Joined));
    events.extend(life.left_us.map(|at_us| (at_us, node, What::Left)));
    events.extend(life.captured.iter().map(|at_us| (*at_us, node, What::Captured)));
    events.extend(packets(&life.played).map(|(at_us, packet)| (at_us, node, What::Received(packet))));
    events.extend(life.repaired.iter().map(|(at_us, after_us)| (*at_us, node, What::Repaired { after_us: *after_us })));
    events.extend(life.places.iter().map(|(at_us, place)| (*at_us, node, What::Placed(*place))));
    let mut before = Sent::default();
    for (at_us, sent) in &life.sent {
        events.push((*at_us, node, difference(&before, sent)));
        before = *sent;
    }
}

/// What was sent between two looks. Sound is what its packets take in the simulator; the rest, acknowledgements and what QUIC
/// says to keep a link alive among it, counts as control.
fn difference(before: &Sent, after: &Sent) -> What {
    let between = |of: fn(&Sent) -> u64| of(after).saturating_sub(of(before));
    const LENGTH_BYTES: u64 = 2;
    let packets = between(|of| of.media_packets);
    let media = (between(|of| of.media_bytes) + packets * (LENGTH_BYTES + OVERHEAD_BYTES)).min(between(|of| of.bytes));
    let control = between(|of| of.bytes) - media;
    let to_host = between(|of| of.to_host_bytes).min(control);
    What::Sent { media, to_host, to_others: control - to_host }
}

/// The packets that frames came in. Down a tree a packet has three frames, the first of which is a multiple of three.
fn packets(played: &[(u64, u32)]) -> impl Iterator<Item = (u64, Packet)> + '_ {
    let mut rest = played;
    std::iter::from_fn(move || {
        let (at_us, first) = rest.first().copied()?;
        let together = (0..).zip(rest).take(GROUP);
        let together = together.filter(|(offset, of)| of.1 == first + offset && of.0 <= at_us + TOGETHER_US).count();
        let is_group = together == GROUP && first.is_multiple_of(GROUP as u32);
        let frames = if is_group { GROUP } else { 1 };
        rest = &rest[frames..];
        Some((at_us, Packet { voice: 0, first, frames: frames as u8 }))
    })
}

fn count(plan: &Plan, lives: &[Life], recorder: &mut Recorder) {
    let has_gone =
        |node: NodeIx, at_us: u64| plan.nodes[node.index()].leaves_us.is_some_and(|gone_us| gone_us <= at_us);
    for life in lives {
        recorder.count("joins_failed", life.joins_failed);
        recorder.count("suspicions", life.suspected.len() as u64);
        let is_false = |(at_us, peer, reason): &&(u64, Option<NodeIx>, Suspicion)| {
            let said = matches!(reason, Suspicion::Leaving | Suspicion::Repairing | Suspicion::LinkDown);
            !said && peer.is_some_and(|peer| !has_gone(peer, *at_us))
        };
        recorder.count("false_suspicions", life.suspected.iter().filter(is_false).count() as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_frames_at_once_are_a_packet() {
        let played = [(10, 3), (10, 4), (11, 5), (70, 6), (90, 7), (5_000, 8), (5_001, 12), (5_002, 13), (9_000, 14)];
        let found: Vec<(u64, u32, u8)> =
            packets(&played).map(|(at, packet)| (at, packet.first, packet.frames)).collect();
        assert_eq!(found[..2], [(10, 3, 3), (70, 6, 1)]);
        assert!(found[2..].iter().all(|(_, _, frames)| *frames == 1), "{found:?}");
        assert_eq!(found.len(), 7);
    }
}
