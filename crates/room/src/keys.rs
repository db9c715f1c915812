//! The room keys that a node holds: one an epoch, each for as long as anything sealed under it may be under way.
//!
//! The host draws a new key whenever it puts somebody out, and every ten minutes; the signed room state names it by its digest. It
//! comes hop by hop to those whose certificates were seen, right behind the state that says who is banned, and seals packets
//! from [`KEY_ACTIVATION_MS`] after it was signed. An old key is wiped when the last packet under it is too old to be of use.

use core::time::Duration;
use std::sync::Arc;

use treehouse_invite::KEY_ACTIVATION_MS;
use treehouse_wire::{Control, Epoch, NodeId, RoomKey, Suite};

use crate::{api::Offence, room::Room, time::Instant, timers::Timer};

/// A new key seals packets this long after it was signed.
pub(crate) const ACTIVATION: Duration = Duration::from_millis(KEY_ACTIVATION_MS);
/// An old key opens packets for this long after the next one has begun to seal them: older ones are of no use.
const OLD: Duration = Duration::from_secs(3);
/// A key that has not come this long after its state does not come by the same feed.
const KEY_LATE: Duration = Duration::from_millis(100);
/// Keys held at once. Past it the oldest go.
const KEYS_MAX: usize = 24;

#[derive(Clone, Debug, PartialEq)]
struct Held {
    epoch: Epoch,
    key: RoomKey,
    /// It seals packets from then on; none where it does already.
    from: Option<Instant>,
    /// It is wiped then; none where no newer one is in use.
    until: Option<Instant>,
}

/// The keys of one node, the oldest first. They are shared where nothing is about to change, and wiped when the last holder lets go.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Keys {
    held: Vec<Held>,
}

impl Keys {
    /// A key that seals at once.
    pub(crate) fn only(epoch: Epoch, key: RoomKey) -> Arc<Self> {
        Arc::new(Keys { held: vec![Held { epoch, key, from: None, until: None }] })
    }

    /// Takes in a key, which is to seal from then on; false where it is there already, or older than all that are.
    fn add(&mut self, epoch: Epoch, key: RoomKey, from: Option<Instant>) -> bool {
        let Err(at) = self.held.binary_search_by_key(&epoch, |held| held.epoch) else { return false };
        if at < self.held.len() {
            return false;
        }
        if self.held.len() >= KEYS_MAX {
            self.held.remove(0);
        }
        self.held.push(Held { epoch, key, from, until: None });
        true
    }

    /// The key that opens packets of an epoch.
    pub(crate) fn opening(&self, epoch: Epoch) -> Option<&RoomKey> {
        self.held.iter().rev().find(|held| held.epoch == epoch).map(|held| &held.key)
    }

    /// The key that seals packets now.
    pub(crate) fn sealing(&self, now: Instant) -> Option<(Epoch, &RoomKey)> {
        let begun = |held: &&Held| held.from.is_none_or(|from| from <= now);
        self.held.iter().rev().find(begun).map(|held| (held.epoch, &held.key))
    }

    /// The newest key, whether it seals yet or not.
    fn newest(&self) -> Option<(Epoch, &RoomKey)> {
        self.held.last().map(|held| (held.epoch, &held.key))
    }

    /// The epochs whose packets it opens.
    pub(crate) fn epochs(&self) -> impl Iterator<Item = Epoch> {
        self.held.iter().map(|held| held.epoch)
    }

    /// When something is to be done: a key begins to seal, or is to be wiped.
    fn due(&self) -> Option<Instant> {
        self.held.iter().flat_map(|held| [held.from, held.until]).flatten().min()
    }

    /// Does what is due.
    fn settle(&mut self, now: Instant) {
        let begun = self.held.iter().rposition(|held| held.from.is_none_or(|from| from <= now));
        for at in 0..begun.unwrap_or(0) {
            let next = self.held[at + 1].from.unwrap_or(now);
            self.held[at].until.get_or_insert(next.after(OLD));
        }
        self.held.iter_mut().for_each(|held| held.from = held.from.filter(|from| *from > now));
        self.held.retain(|held| held.until.is_none_or(|until| until > now));
    }

    /// Whether other rooms may hold the same, with clocks of their own.
    pub(crate) fn is_settled(&self) -> bool {
        self.due().is_none()
    }
}

impl<S: Suite> Room<S> {
    /// Once a second, or when it is due: wipes what is too old, and asks for what is missing.
    pub(crate) fn keep_keys(&mut self) {
        let now = self.now;
        if self.keys.due().is_some_and(|due| due <= now) {
            Arc::make_mut(&mut self.keys).settle(now);
            self.voices.wipe_keys(&self.keys);
        }
        if self.lacks_key() {
            let feeds = self.feeds.all.iter().filter(|feed| feed.is_live()).map(|feed| feed.node());
            // A root has no feed, and its state from the host.
            let from: Vec<NodeId> = feeds.chain(self.is_root().then_some(self.host)).collect();
            from.into_iter().for_each(|node| self.ask_state(node));
            // They may be without it too, or boosters: the registry has it.
            let registry = self.registry();
            if self.links.is_up(&registry) { self.ask_state(registry) } else { self.call_host() }
        }
    }

    /// The key comes right behind the state that names it, unless a booster has brought that: then it is asked for.
    pub(crate) fn expect_key(&mut self) {
        if self.lacks_key() {
            self.timers.arm_by(Timer::Publish, self.now.after(KEY_LATE));
        }
    }

    /// When [`Room::keep_keys`] has something to do.
    pub(crate) fn keys_due(&self) -> Option<Instant> {
        if self.lacks_key() { Some(self.now) } else { self.keys.due() }
    }

    /// Whether the state names a key that has not come.
    pub(crate) fn lacks_key(&self) -> bool {
        self.is_in() && !self.booster && self.state.head().is_some_and(|state| self.keys.opening(state.epoch).is_none())
    }

    /// Takes in the key of the newest epoch, which was signed this long ago.
    pub(crate) fn take_key(&mut self, epoch: Epoch, key: RoomKey, ago: Duration) -> bool {
        let now = self.now;
        let keys = Arc::make_mut(&mut self.keys);
        let from = (!keys.held.is_empty()).then(|| now.after(ACTIVATION.saturating_sub(ago)));
        if !keys.add(epoch, key, from) {
            return false;
        }
        keys.settle(now);
        true
    }

    /// A room key has come. It is taken only if it is the one that the signed state names, and then passed on.
    pub(crate) fn key_came(&mut self, from: NodeId, epoch: Epoch, key: RoomKey) {
        let Some(state) = self.state.head().filter(|_| !self.is_host() && !self.booster) else { return };
        if state.epoch != epoch || self.keys.opening(epoch).is_some() {
            return;
        }
        if key.digest(&self.room, epoch) != state.key_digest {
            return self.offended(from, Offence::Forged);
        }
        // The state and its key come together, as late as everything from the host.
        let ago = Duration::from_millis(self.delay_ms().into());
        if self.take_key(epoch, key, ago) {
            self.flood_key(Some(from));
        }
    }

    /// Sends the newest key to all who are to have it.
    pub(crate) fn flood_key(&mut self, from: Option<NodeId>) {
        for peer in self.who_gets_state().into_iter().filter(|peer| Some(*peer) != from) {
            self.send_key(peer);
        }
    }

    /// Whether a node relays without being a member.
    pub(crate) fn is_booster(&self, node: &NodeId) -> bool {
        let listed = self.region.as_ref().and_then(|region| region.directory.get(node));
        self.children.is_booster(node) || listed.is_some_and(crate::region::Member::is_booster)
    }

    /// Sends the newest key to one whose certificate was seen, if it is a member.
    pub(crate) fn send_key(&mut self, to: NodeId) {
        let Some((epoch, key)) = self.keys.newest().filter(|_| !self.is_booster(&to)) else { return };
        let message = Control::Key { epoch, key: key.clone() };
        self.send(to, &message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(number: u32) -> Epoch {
        Epoch { term: 0, number }
    }

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1000)
    }

    #[test]
    fn a_new_key_seals_once_it_is_everywhere_and_the_old_one_is_wiped_after_its_last_packet() {
        let mut keys = Keys::default();
        assert!(keys.add(epoch(0), RoomKey([0; 32]), None));
        assert!(keys.add(epoch(1), RoomKey([1; 32]), Some(at(1800))));
        assert!(!keys.add(epoch(1), RoomKey([9; 32]), None), "once");
        for (ms, sealing, old) in [(1000, 0, true), (1799, 0, true), (1800, 1, true), (4799, 1, true), (4800, 1, false)]
        {
            keys.settle(at(ms));
            assert_eq!(keys.sealing(at(ms)).map(|(epoch, _)| epoch.number), Some(sealing), "{ms}");
            assert_eq!(keys.opening(epoch(0)).is_some(), old, "{ms}");
            assert_eq!(keys.opening(epoch(1)), Some(&RoomKey([1; 32])));
        }
        assert!(keys.is_settled());
        assert!(!keys.add(epoch(0), RoomKey([0; 32]), None), "what is over does not come back");
    }

    #[test]
    fn keys_that_come_fast_are_bounded_and_begin_in_their_order() {
        let mut keys = Keys::default();
        for number in 0..100 {
            let ms = u64::from(number) * 200;
            keys.add(epoch(number), RoomKey([0; 32]), Some(at(ms + 800)));
            keys.settle(at(ms));
            assert!(keys.held.len() <= KEYS_MAX);
            let sealing = keys.sealing(at(ms)).map(|(epoch, _)| epoch.number);
            assert_eq!(sealing, number.checked_sub(4), "{number}");
        }
    }
}
