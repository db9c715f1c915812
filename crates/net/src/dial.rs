//! One dial: several addresses of one peer, tried in an order that prefers QUIC, each with its own verdict.
//!
//! QUIC addresses are tried at once. The others follow after a head start, or as soon as every QUIC address has
//! failed (after RFC 8305, "Happy Eyeballs"). Each address is an attempt of its own: one that leads to another node
//! must not spoil the rest, and a user who cannot get in wants to know why, address by address. Plain data with the
//! clock passed in; the swarm's task does what it says.

use std::time::Instant;

use libp2p::Multiaddr;
use treehouse_wire::Address;

use crate::{
    address::{is_quic, to_multiaddr},
    limits::{ADDRESS_TIMEOUT, DIAL_TIMEOUT, QUIC_HEAD_START},
};

/// A dial under way. `K` names an attempt to whoever carries it out.
#[derive(Debug)]
pub(crate) struct Dial<K> {
    attempts: Vec<Attempt<K>>,
    others_at: Instant,
    give_up_at: Instant,
}

#[derive(Debug)]
struct Attempt<K> {
    address: Address,
    state: State<K>,
}

#[derive(Debug)]
enum State<K> {
    Waiting(Multiaddr),
    Running(K),
    Failed(String),
}

impl<K: PartialEq> Dial<K> {
    /// A dial of these addresses. One that this node cannot read has failed from the start.
    pub(crate) fn new(addresses: Vec<Address>, now: Instant) -> Self {
        let mut attempts: Vec<Attempt<K>> = Vec::with_capacity(addresses.len());
        for address in addresses {
            if attempts.iter().any(|attempt| attempt.address == address) {
                continue;
            }
            let state = match to_multiaddr(&address) {
                Some(multiaddr) if !multiaddr.is_empty() => State::Waiting(multiaddr),
                _ => State::Failed("it is not an address that this version understands".into()),
            };
            attempts.push(Attempt { address, state });
        }
        Dial { attempts, others_at: now + QUIC_HEAD_START, give_up_at: now + DIAL_TIMEOUT }
    }

    /// The next address to try now, if there is one: start it and say so with [`Dial::started`].
    pub(crate) fn next(&self, now: Instant) -> Option<Multiaddr> {
        let quic_left = self.attempts.iter().any(|attempt| attempt.is_quic_or_running());
        let others = now >= self.others_at || !quic_left;
        self.attempts.iter().find_map(|attempt| match &attempt.state {
            State::Waiting(multiaddr) if others || is_quic(multiaddr) => Some(multiaddr.clone()),
            _ => None,
        })
    }

    /// The attempt on `multiaddr` is under way.
    pub(crate) fn started(&mut self, multiaddr: &Multiaddr, key: K) {
        let waiting = |attempt: &&mut Attempt<K>| matches!(&attempt.state, State::Waiting(other) if other == multiaddr);
        if let Some(attempt) = self.attempts.iter_mut().find(waiting) {
            attempt.state = State::Running(key);
        }
    }

    /// An attempt has failed, for a reason that completes the sentence "the address failed: ...".
    pub(crate) fn failed(&mut self, key: &K, reason: String) {
        let running = |attempt: &&mut Attempt<K>| matches!(&attempt.state, State::Running(other) if other == key);
        if let Some(attempt) = self.attempts.iter_mut().find(running) {
            attempt.state = State::Failed(reason);
        }
    }

    /// When to look again although nothing has happened.
    pub(crate) fn timeout(&self) -> Instant {
        let waiting = self.attempts.iter().any(|attempt| matches!(attempt.state, State::Waiting(_)));
        if waiting { self.others_at.min(self.give_up_at) } else { self.give_up_at }
    }

    /// Each address and why it failed, once none is left or the time is up.
    pub(crate) fn verdict(&self, now: Instant) -> Option<Vec<(Address, String)>> {
        let over = now >= self.give_up_at || self.attempts.iter().all(|a| matches!(a.state, State::Failed(_)));
        over.then(|| self.attempts.iter().map(|attempt| (attempt.address.clone(), attempt.reason())).collect())
    }
}

impl<K> Attempt<K> {
    fn is_quic_or_running(&self) -> bool {
        match &self.state {
            State::Waiting(multiaddr) => is_quic(multiaddr),
            State::Running(_) => true,
            State::Failed(_) => false,
        }
    }

    fn reason(&self) -> String {
        match &self.state {
            State::Failed(reason) => reason.clone(),
            State::Waiting(_) | State::Running(_) => no_answer(),
        }
    }
}

/// What is said of an address that stays silent.
pub(crate) fn no_answer() -> String {
    format!("it did not answer within {} s", ADDRESS_TIMEOUT.as_secs())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::address::parse_address;

    const QUIC: &str = "/ip4/192.0.2.1/udp/9/quic-v1";
    const TCP: &str = "/ip4/192.0.2.1/tcp/9";

    fn dial(texts: &[&str], now: Instant) -> Dial<u32> {
        Dial::new(texts.iter().map(|text| parse_address(text).expect("an address")).collect(), now)
    }

    fn start(dial: &mut Dial<u32>, now: Instant, key: u32) -> Option<String> {
        let next = dial.next(now)?;
        dial.started(&next, key);
        Some(next.to_string())
    }

    #[test]
    fn quic_is_tried_first_and_tcp_after_a_head_start() {
        let now = Instant::now();
        let mut dial = dial(&[TCP, QUIC], now);
        assert_eq!(start(&mut dial, now, 1).as_deref(), Some(QUIC));
        assert_eq!(start(&mut dial, now, 2), None);
        assert_eq!(dial.timeout(), now + QUIC_HEAD_START);
        assert_eq!(start(&mut dial, now + QUIC_HEAD_START, 2).as_deref(), Some(TCP));
        assert_eq!(dial.timeout(), now + DIAL_TIMEOUT);
    }

    #[test]
    fn tcp_does_not_wait_once_quic_has_failed() {
        let now = Instant::now();
        let mut dial = dial(&[QUIC, TCP], now);
        start(&mut dial, now, 1);
        dial.failed(&1, "it refused".into());
        assert_eq!(start(&mut dial, now, 2).as_deref(), Some(TCP));
    }

    #[test]
    fn the_verdict_names_each_address_once_all_have_failed() {
        let now = Instant::now();
        let mut dial = dial(&[QUIC, TCP, QUIC], now);
        start(&mut dial, now, 1);
        dial.failed(&1, "one".into());
        start(&mut dial, now, 2);
        assert_eq!(dial.verdict(now), None);
        dial.failed(&2, "two".into());
        let verdict = dial.verdict(now).expect("over");
        assert_eq!(verdict.iter().map(|(_, why)| why.as_str()).collect::<Vec<_>>(), ["one", "two"]);
    }

    #[test]
    fn a_dial_ends_in_time_whatever_its_attempts_do() {
        let now = Instant::now();
        let mut dial = dial(&[QUIC], now);
        start(&mut dial, now, 1);
        assert_eq!(dial.verdict(now + DIAL_TIMEOUT - Duration::from_millis(1)), None);
        assert_eq!(dial.verdict(now + DIAL_TIMEOUT).map(|verdict| verdict.len()), Some(1));
    }

    #[test]
    fn bytes_that_are_no_address_fail_at_once() {
        let now = Instant::now();
        let dial = Dial::<u32>::new(vec![Address::new(vec![0xff; 5]).expect("short"), Address::default()], now);
        assert_eq!(dial.next(now), None);
        assert_eq!(dial.verdict(now).map(|verdict| verdict.len()), Some(2));
        assert_eq!(Dial::<u32>::new(Vec::new(), now).verdict(now), Some(Vec::new()));
    }
}
