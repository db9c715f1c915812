//! Members whom the host puts out, and how soon the room's sound is not for them any more.
//!
//! A kick is over once no speaker seals under a key that the one who was put out has: what is said from then on it cannot open,
//! whoever passes it on. Speakers are asked every 20 ms, a frame's length. Keys that are sent to somebody after that are counted, and so are members that cannot open the first packet under the new key.

use treehouse_invite::Banned;
use treehouse_room::{Command, Input, Instant};
use treehouse_wire::{Control, Epoch, Suite};

use super::{Timer, Treehouse};
use crate::{engine::Net, plan::NodeIx};

/// How often speakers are asked, in microseconds.
const ASK_US: u64 = 20_000;

/// One who was put out, and is not yet kept out.
struct Kick {
    node: NodeIx,
    at_us: u64,
    /// What it can open.
    held: Vec<Epoch>,
}

/// All kicks of a run.
#[derive(Default)]
pub(super) struct Kicks {
    open: Vec<Kick>,
    out: Vec<NodeIx>,
    /// How long each took, in microseconds.
    took_us: Vec<u64>,
    behind: u64,
    keys_sent: u64,
}

impl Kicks {
    /// A message goes to a node. Until its own ban is signed it may get the key of a kick before, which does not keep it out.
    pub(super) fn sent(&mut self, to: NodeIx, bytes: &[u8]) {
        if !self.out.contains(&to) {
            return;
        }
        let Ok(Control::Key { epoch, .. }) = Control::from_bytes(bytes) else { return };
        match self.open.iter_mut().find(|kick| kick.node == to) {
            Some(kick) => kick.held.push(epoch),
            None => self.keys_sent += 1,
        }
    }

    /// The counts of a run in which anyone was put out.
    pub(super) fn counts(&mut self) -> Vec<(&'static str, u64)> {
        if self.out.is_empty() {
            return Vec::new();
        }
        self.took_us.sort_unstable();
        let quantile = |of: f64| {
            let at = (of * self.took_us.len() as f64).ceil() as usize;
            self.took_us.get(at.saturating_sub(1)).map_or(0, |us| us / 1000)
        };
        vec![
            ("kicks", self.out.len() as u64),
            ("kicks_unfinished", self.open.len() as u64),
            ("kick_ms_p50", quantile(0.5)),
            ("kick_ms_p99", quantile(0.99)),
            ("kick_ms_max", quantile(1.0)),
            ("kick_members_behind", self.behind),
            ("kick_keys_leaked", self.keys_sent),
        ]
    }
}

impl<S: Suite> Treehouse<S> {
    pub(super) fn put_out(&mut self, net: &mut Net<Self>, node: NodeIx) {
        let Some(member) = self.member(node).filter(|member| member.admitted) else { return };
        let Some(room) = member.room.as_deref() else { return };
        let (id, held) = (member.id, room.view().epochs);
        self.kicks.open.push(Kick { node, at_us: net.now_us(), held });
        self.kicks.out.push(node);
        self.input(net, NodeIx::HOST, Input::Command(Command::Kick(Banned::Node(id))));
        net.timer(NodeIx::HOST, net.now_us() + ASK_US, Timer::Kicks);
    }

    /// Sees which kicks are over.
    pub(super) fn see_kicks(&mut self, net: &mut Net<Self>) {
        let speakers = self.newest_voice.keys().filter_map(|node| self.room(*node));
        let now = Instant::from_micros(net.now_us());
        let sealing: Vec<Epoch> = speakers.filter_map(|room| room.sealing(now)).collect();
        let mut open = std::mem::take(&mut self.kicks.open);
        let over = |kick: &Kick| !sealing.iter().any(|epoch| kick.held.contains(epoch));
        for kick in open.extract_if(.., |kick| over(kick)) {
            self.kicks.took_us.push(net.now_us() - kick.at_us);
            let lacks = |member: &&super::Member<S>| {
                let room = member.room.as_deref();
                member.admitted && room.is_some_and(|room| !sealing.iter().all(|epoch| room.opens(*epoch)))
            };
            self.kicks.behind += self.members.iter().flatten().filter(lacks).count() as u64;
        }
        self.kicks.open = open;
        if !self.kicks.open.is_empty() {
            net.timer(NodeIx::HOST, net.now_us() + ASK_US, Timer::Kicks);
        }
    }
}
