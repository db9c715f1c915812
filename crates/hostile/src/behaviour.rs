//! What a hostile node does in place of what its room wants.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use treehouse_room::{Instant, Output};
use treehouse_wire::{Control, List, NodeId, Packet, VoiceId, limits::MEDIA_LANES};

/// One way not to keep to the protocol.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Behaviour {
    /// Alters every packet that it passes on.
    Forge,
    /// Alters what it passes on to some of its children, always the same, and is honest with the others.
    ForgeFor {
        /// So many of them.
        victims: u8,
    },
    /// Passes every packet on a second time, so much later.
    Replay {
        /// How much later.
        after: Duration,
    },
    /// Withholds packets.
    Drop {
        /// This share of them, 0 to 1.
        share: f64,
    },
    /// Withholds one voice: the first that it was to pass on since it began.
    DropVoice,
    /// Passes packets on late.
    Delay {
        /// By this.
        by: Duration,
    },
    /// Sends one neighbour messages.
    Flood {
        /// So many a second.
        per_second: u32,
    },
    /// Claims more slots than it has (see [`Behaviour::claims`]) and feeds no more than those.
    LieCapacity {
        /// The slots that it has.
        slots: u8,
        /// How many times as many it claims.
        times: u8,
    },
    /// Tells its neighbours again and again the first room states, beacons and keys that it ever passed on.
    StaleState,
    /// Shows the invite that it came by to everybody, again and again.
    RedeemTwice,
    /// Shows it with something changed in it, another thing each time: who comes by it, until when, as what.
    WidenInvite,
    /// Sends bytes without a meaning, as messages and as packets.
    Garbage,
    /// Takes what comes so slowly that it waits in its neighbours' queues. Only for real nodes: a driver does it.
    SlowReader,
}

impl Behaviour {
    /// The slots that a node claims which is to feed this many.
    pub fn claims(self, children_max: u8) -> u8 {
        match self {
            Behaviour::LieCapacity { slots, times } => slots.saturating_mul(times),
            _ => children_max,
        }
    }
}

/// Garbage and old states are sent this often; floods in bursts of this length.
const EVERY: Duration = Duration::from_millis(100);
const STALE_EVERY: Duration = Duration::from_secs(1);
const BURST: Duration = Duration::from_millis(10);
/// Old messages that are kept to be told again.
const STALE_MAX: usize = 8;
/// What is forwarded by hand is of no use after this.
const USE: Duration = Duration::from_secs(2);
/// Bytes of garbage at most.
const GARBAGE_MAX: u64 = 200;

/// A child that got nothing for this long had left; it may come back, as one that tries a standby anew.
const GONE: Duration = Duration::from_secs(1);

/// The first and the last packet of a time in which a child was fed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spell<T = Instant> {
    /// When the first left.
    pub first: T,
    /// When the last left.
    pub last: T,
}

/// A node's misbehaviour, between its room and the network.
#[derive(Debug)]
pub struct Twist {
    behaviour: Behaviour,
    /// It is honest before.
    from: Instant,
    random: u64,
    /// What leaves later, in the order of its time.
    held: BTreeMap<(Instant, u64), Output>,
    sequence: u64,
    /// Whom it has said something to, the newest last.
    peers: VecDeque<NodeId>,
    stale: Vec<Vec<u8>>,
    /// When it acts of its own accord next.
    due: Option<Instant>,
    voice: Option<VoiceId>,
    victims: BTreeSet<NodeId>,
    sent: u64,
    fed: BTreeMap<NodeId, Vec<Spell>>,
}

/// Neighbours remembered.
const PEERS_MAX: usize = 64;

impl Twist {
    /// A node that is honest until `from`. What it draws at random follows from `seed`.
    pub fn new(behaviour: Behaviour, from: Instant, seed: u64) -> Self {
        Twist {
            behaviour,
            from,
            random: seed,
            held: BTreeMap::new(),
            sequence: 0,
            peers: VecDeque::new(),
            stale: Vec::new(),
            due: None,
            voice: None,
            victims: BTreeSet::new(),
            sent: 0,
            fed: BTreeMap::new(),
        }
    }

    /// What it does.
    pub fn behaviour(&self) -> Behaviour {
        self.behaviour
    }

    /// Whether it misbehaves by now.
    pub fn has_begun(&self, now: Instant) -> bool {
        now >= self.from
    }

    /// How long its room wanted to send each child packets, since it misbehaves: who is not fed any more has left.
    pub fn fed(&self) -> &BTreeMap<NodeId, Vec<Spell>> {
        &self.fed
    }

    /// What it does at once in place of what its room wants; the rest comes from [`Twist::poll_output`].
    pub fn instead_of(&mut self, now: Instant, output: Output) -> Option<Output> {
        if let Output::Send { to, bytes } = &output {
            self.meet(*to, now);
            self.keep_stale(bytes);
        }
        if !self.has_begun(now) {
            return Some(output);
        }
        if let Output::Forward { to, .. } = &output {
            for child in to {
                let spells = self.fed.entry(*child).or_default();
                match spells.last_mut() {
                    Some(spell) if now.since(spell.last) < GONE => spell.last = now,
                    _ => spells.push(Spell { first: now, last: now }),
                }
            }
        }
        match output {
            Output::Forward { to, lane, packet, deadline } => self.forward(now, (to, lane, packet, deadline)),
            other => Some(other),
        }
    }

    fn forward(
        &mut self,
        now: Instant,
        (mut to, lane, mut packet, deadline): (Vec<NodeId>, usize, Bytes, Instant),
    ) -> Option<Output> {
        match self.behaviour {
            Behaviour::Forge => packet = forge(&packet),
            Behaviour::ForgeFor { victims } => {
                for child in &to {
                    if self.victims.len() < victims.into() {
                        self.victims.insert(*child);
                    }
                }
                let (cheated, others): (Vec<_>, Vec<_>) =
                    to.into_iter().partition(|child| self.victims.contains(child));
                if !cheated.is_empty() {
                    let forged = Output::Forward { to: cheated, lane, packet: forge(&packet), deadline };
                    self.hold(now, forged);
                }
                to = others;
            }
            Behaviour::Drop { share } => to.retain(|_| self.draw() >= share),
            Behaviour::DropVoice => {
                let voice = Packet::parse(packet.clone()).ok().map(|packet| packet.header().voice)?;
                if *self.voice.get_or_insert(voice) == voice {
                    return None;
                }
            }
            Behaviour::Delay { by } => {
                let late = Output::Forward { to, lane, packet, deadline: deadline.after(by) };
                self.hold(now.after(by), late);
                return None;
            }
            Behaviour::Replay { after } => {
                let again =
                    Output::Forward { to: to.clone(), lane, packet: packet.clone(), deadline: deadline.after(after) };
                self.hold(now.after(after), again);
            }
            Behaviour::LieCapacity { slots, .. } => to.truncate(slots.into()),
            Behaviour::Flood { .. }
            | Behaviour::StaleState
            | Behaviour::RedeemTwice
            | Behaviour::WidenInvite
            | Behaviour::Garbage
            | Behaviour::SlowReader => {}
        }
        (!to.is_empty()).then_some(Output::Forward { to, lane, packet, deadline })
    }

    /// When there is something to do that no room asked for.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.held.keys().next().map(|(at, _)| *at).into_iter().chain(self.due).min()
    }

    /// The next thing that it does of its own accord, whose time has come.
    pub fn poll_output(&mut self, now: Instant) -> Option<Output> {
        if self.due.is_some_and(|due| due <= now) {
            self.act(now);
        }
        let (at, _) = *self.held.keys().next()?;
        let output = if at > now { None } else { self.held.pop_first().map(|(_, output)| output) };
        self.sent += u64::from(matches!(output, Some(Output::Send { .. })));
        output
    }

    /// A neighbour is gone, or has hung up.
    pub fn lost(&mut self, peer: &NodeId) {
        self.peers.retain(|of| of != peer);
        self.held.retain(|_, output| !matches!(output, Output::Send { to, .. } if to == peer));
    }

    /// Messages of its own accord so far, each to somebody that it was linked to.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    fn meet(&mut self, peer: NodeId, now: Instant) {
        self.peers.retain(|of| *of != peer);
        if self.peers.len() >= PEERS_MAX {
            self.peers.pop_front();
        }
        self.peers.push_back(peer);
        let acts = matches!(
            self.behaviour,
            Behaviour::Flood { .. }
                | Behaviour::StaleState
                | Behaviour::RedeemTwice
                | Behaviour::WidenInvite
                | Behaviour::Garbage
        );
        if acts && self.due.is_none() {
            self.due = Some(self.from.max(now));
        }
    }

    fn keep_stale(&mut self, bytes: &[u8]) {
        if self.stale.len() >= STALE_MAX {
            return;
        }
        let keeps = |message: &Control| match self.behaviour {
            Behaviour::StaleState => matches!(
                message,
                Control::State(_) | Control::StatePart { .. } | Control::Beacon(_) | Control::Key { .. }
            ),
            Behaviour::RedeemTwice | Behaviour::WidenInvite => matches!(message, Control::Join(_)),
            _ => false,
        };
        if Control::from_bytes(bytes).is_ok_and(|message| keeps(&message)) {
            self.stale.push(bytes.to_vec());
        }
    }

    fn act(&mut self, now: Instant) {
        let every = match self.behaviour {
            Behaviour::Flood { per_second } => {
                let burst = (u128::from(per_second) * BURST.as_millis() / 1000).max(1);
                if let Some(victim) = self.peers.front().copied() {
                    for nonce in 0..burst {
                        let bytes = Control::Ping { nonce: nonce as u32 }.to_bytes();
                        self.hold(now, Output::Send { to: victim, bytes });
                    }
                }
                BURST
            }
            Behaviour::StaleState | Behaviour::RedeemTwice | Behaviour::WidenInvite => {
                for to in self.peers.clone() {
                    for bytes in self.stale.clone() {
                        let bytes = if self.behaviour == Behaviour::WidenInvite { self.widen(&bytes) } else { bytes };
                        self.hold(now, Output::Send { to, bytes });
                    }
                }
                STALE_EVERY
            }
            Behaviour::Garbage => {
                if let Some(to) = self.draw_peer() {
                    let (bytes, packet) = (self.draw_bytes(), self.draw_bytes());
                    let lane = self.next() as usize % MEDIA_LANES;
                    self.hold(now, Output::Send { to, bytes });
                    let to = vec![to];
                    self.hold(now, Output::Forward { to, lane, packet: packet.into(), deadline: now.after(USE) });
                }
                EVERY
            }
            _ => return self.due = None,
        };
        self.due = Some(now.after(every));
    }

    /// Changes one bit of an invite that is shown.
    fn widen(&mut self, join: &[u8]) -> Vec<u8> {
        let Ok(Control::Join(mut join)) = Control::from_bytes(join) else { return join.to_vec() };
        let mut chain = join.chain.to_vec();
        let at = self.next() as usize;
        let count = chain.len().max(1);
        if let Some(byte) = chain.get_mut(at / 8 % count) {
            *byte ^= 1 << (at % 8);
        }
        join.chain = List::truncated(chain);
        Control::Join(join).to_bytes()
    }

    fn hold(&mut self, until: Instant, output: Output) {
        self.sequence += 1;
        self.held.insert((until, self.sequence), output);
    }

    fn draw_peer(&mut self) -> Option<NodeId> {
        let at = self.next() as usize % self.peers.len().max(1);
        self.peers.get(at).copied()
    }

    fn draw_bytes(&mut self) -> Vec<u8> {
        let count = 1 + self.next() % GARBAGE_MAX;
        (0..count).map(|_| self.next() as u8).collect()
    }

    /// From 0 to 1.
    fn draw(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014).
    fn next(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// A packet that its speaker has not signed: one bit of what it says is another.
pub fn forge(packet: &Bytes) -> Bytes {
    let mut bytes = packet.to_vec();
    let middle = bytes.len() / 2;
    if let Some(byte) = bytes.get_mut(middle) {
        *byte ^= 1;
    }
    bytes.into()
}

#[cfg(test)]
mod tests {
    use treehouse_wire::control::{Join, Name, Profile};

    use super::*;

    const START: Instant = Instant::ZERO;

    fn forward(packet: &[u8], children: u8) -> Output {
        let to = (0..children).map(|child| NodeId([child; 32])).collect();
        Output::Forward { to, lane: 0, packet: packet.to_vec().into(), deadline: START.after(USE) }
    }

    fn at(ms: u64) -> Instant {
        START.after(Duration::from_millis(ms))
    }

    #[test]
    fn it_is_honest_until_its_time_has_come_and_forges_then() {
        let mut twist = Twist::new(Behaviour::Forge, at(10), 1);
        assert_eq!(twist.instead_of(at(9), forward(b"abc", 2)), Some(forward(b"abc", 2)));
        assert_eq!(twist.instead_of(at(10), forward(b"abc", 2)), Some(forward(b"acc", 2)));
        assert_eq!(twist.fed().get(&NodeId([1; 32])), Some(&vec![Spell { first: at(10), last: at(10) }]));
    }

    #[test]
    fn it_is_honest_with_all_but_its_victims() {
        let mut twist = Twist::new(Behaviour::ForgeFor { victims: 1 }, START, 1);
        let Some(Output::Forward { to, packet, .. }) = twist.instead_of(START, forward(b"abc", 3)) else {
            panic!("two are fed")
        };
        assert_eq!((to, &packet[..]), (vec![NodeId([1; 32]), NodeId([2; 32])], &b"abc"[..]));
        let Some(Output::Forward { to, packet, .. }) = twist.poll_output(START) else { panic!("one is cheated") };
        assert_eq!((to, &packet[..]), (vec![NodeId([0; 32])], &b"acc"[..]));
    }

    #[test]
    fn a_child_that_comes_back_is_fed_anew() {
        let mut twist = Twist::new(Behaviour::Delay { by: Duration::from_secs(2) }, START, 1);
        for ms in [0, 500, 1400, 2400] {
            twist.instead_of(at(ms), forward(b"abc", 2));
        }
        let spells = vec![Spell { first: at(0), last: at(1400) }, Spell { first: at(2400), last: at(2400) }];
        assert_eq!(twist.fed().get(&NodeId([1; 32])), Some(&spells));
    }

    #[test]
    fn it_drops_about_the_share_that_it_is_to_drop() {
        let mut twist = Twist::new(Behaviour::Drop { share: 0.3 }, START, 1);
        let passed = (0..1000).filter(|_| twist.instead_of(START, forward(b"abc", 1)).is_some()).count();
        // Four standard deviations.
        assert!((642..758).contains(&passed), "{passed}");
    }

    #[test]
    fn late_and_again() {
        let mut late = Twist::new(Behaviour::Delay { by: Duration::from_millis(5) }, START, 1);
        assert_eq!(late.instead_of(START, forward(b"abc", 1)), None);
        assert_eq!((late.poll_timeout(), late.poll_output(at(4))), (Some(at(5)), None));
        assert!(matches!(late.poll_output(at(5)), Some(Output::Forward { packet, .. }) if packet == b"abc"[..]));
        let mut again = Twist::new(Behaviour::Replay { after: Duration::from_millis(5) }, START, 1);
        assert!(again.instead_of(START, forward(b"abc", 1)).is_some());
        assert!(again.poll_output(at(5)).is_some() && again.poll_output(at(9)).is_none());
    }

    #[test]
    fn a_flood_goes_to_one_neighbour_at_its_rate() {
        let mut twist = Twist::new(Behaviour::Flood { per_second: 1000 }, START, 1);
        let hello = Output::Send { to: NodeId([7; 32]), bytes: vec![1] };
        assert_eq!(twist.instead_of(START, hello.clone()), Some(hello));
        let mut sent = 0;
        for ms in 0..1000 {
            while let Some(Output::Send { to, .. }) = twist.poll_output(at(ms)) {
                assert_eq!(to, NodeId([7; 32]));
                sent += 1;
            }
        }
        assert_eq!(sent, 1000);
    }

    #[test]
    fn who_lies_about_its_slots_feeds_no_more_than_it_has() {
        let lie = Behaviour::LieCapacity { slots: 2, times: 4 };
        assert_eq!((lie.claims(2), Behaviour::Forge.claims(2)), (8, 2));
        let mut twist = Twist::new(lie, START, 1);
        assert_eq!(twist.instead_of(START, forward(b"abc", 5)), Some(forward(b"abc", 2)));
    }

    #[test]
    fn an_invite_is_shown_again_or_with_one_bit_changed() {
        let profile = Profile { name: Name::cleaned("Mallory"), addresses: List::default(), children_max: 2 };
        let (chain, proof) = (List::truncated([7; 40]), treehouse_wire::Signature([9; 64]));
        let join = Join { chain, proof, profile, direct: false };
        let told = Output::Send { to: NodeId([7; 32]), bytes: Control::Join(Box::new(join.clone())).to_bytes() };
        let mut again = Twist::new(Behaviour::RedeemTwice, START, 1);
        again.instead_of(START, told.clone());
        assert_eq!(again.poll_output(START), Some(told.clone()));
        let mut wider = Twist::new(Behaviour::WidenInvite, START, 1);
        wider.instead_of(START, told);
        let Some(Output::Send { bytes, .. }) = wider.poll_output(START) else { panic!("it shows one") };
        let Ok(Control::Join(shown)) = Control::from_bytes(&bytes) else { panic!("it is a message") };
        let bits: u32 = shown.chain.iter().zip(join.chain.iter()).map(|(a, b)| (a ^ b).count_ones()).sum();
        assert_eq!((bits, &shown.profile, shown.proof), (1, &join.profile, join.proof));
    }

    #[test]
    fn who_has_hung_up_is_not_flooded() {
        let mut twist = Twist::new(Behaviour::Flood { per_second: 1000 }, START, 1);
        twist.instead_of(START, Output::Send { to: NodeId([7; 32]), bytes: vec![1] });
        assert!(twist.poll_output(START).is_some());
        let sent = twist.sent();
        twist.lost(&NodeId([7; 32]));
        while twist.poll_output(at(1000)).is_some() {}
        assert_eq!((sent, twist.sent()), (1, 1));
    }

    #[test]
    fn old_states_and_garbage_are_told_of_its_own_accord() {
        let state =
            Control::Key { epoch: treehouse_wire::Epoch { term: 0, number: 1 }, key: treehouse_wire::RoomKey([3; 32]) };
        let told = Output::Send { to: NodeId([7; 32]), bytes: state.to_bytes() };
        let mut twist = Twist::new(Behaviour::StaleState, at(100), 1);
        twist.instead_of(START, told.clone());
        assert_eq!((twist.poll_output(at(99)), twist.poll_output(at(100))), (None, Some(told.clone())));
        let mut twist = Twist::new(Behaviour::Garbage, START, 1);
        twist.instead_of(START, told);
        assert!(matches!(twist.poll_output(START), Some(Output::Send { .. })));
        assert!(matches!(twist.poll_output(START), Some(Output::Forward { .. })));
    }
}
