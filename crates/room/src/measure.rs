//! Measuring the round trip to the candidates that the host offers.
//!
//! Six candidates cost a dozen dials and pings each way. Where the room is [hushed](Room::hush) the driver computes what those would
//! bring, and the room wakes when the first answer would have come, if it waits for that, and when it would have had enough.

use core::time::Duration;

use treehouse_wire::{Contact, Control, List, NodeId, Suite, limits::CANDIDATES_MAX};

use crate::{
    api::{Output, Trip},
    feeds::Aim,
    room::Room,
    time::Instant,
    timers::Timer,
};

/// Pings to each candidate; the fastest counts.
const PINGS: u8 = 2;
/// The host hears what was measured until then.
const MEASURE: Duration = Duration::from_millis(1200);

#[derive(Debug)]
struct Candidate {
    node: NodeId,
    nonce: u32,
    sent: Option<Instant>,
    pings_left: u8,
    best: Option<Duration>,
    gone: bool,
    /// When a computed answer comes, and what it says.
    answer: Option<(Instant, Option<Duration>)>,
}

/// Once so many have answered, or all but one, the others are waited for this long only: what is slow to answer is far
/// away, or gone.
const ENOUGH: usize = 4;
const STRAGGLERS: Duration = Duration::from_millis(250);

/// An offer that is being measured.
#[derive(Debug)]
pub(crate) struct Measuring {
    round: u32,
    candidates: Vec<Candidate>,
    /// When enough of the computed answers have come.
    ends: Option<Instant>,
}

impl<S: Suite> Room<S> {
    pub(crate) fn offer(&mut self, round: u32, offered: List<Contact, CANDIDATES_MAX>) {
        let pings_left = if self.hushed { 0 } else { PINGS };
        let candidates = offered.iter().map(|contact| Candidate {
            node: contact.node,
            nonce: self.rng.next_u32(),
            sent: None,
            pings_left,
            best: None,
            gone: contact.node == self.me,
            answer: None,
        });
        self.measuring = Some(Box::new(Measuring { round, candidates: candidates.collect(), ends: None }));
        self.timers.arm(Timer::Measure, self.now.after(MEASURE));
        if self.hushed {
            let peers = offered.iter().map(|contact| contact.node).filter(|node| *node != self.me).collect();
            return self.outputs.push_back(Output::Measure { peers });
        }
        for contact in offered.iter() {
            if self.links.is_up(&contact.node) {
                self.ping_candidate(contact.node);
            } else {
                self.dial(contact);
            }
        }
        self.finish_measuring(false);
    }

    pub(crate) fn measure_link_up(&mut self, peer: NodeId) {
        self.ping_candidate(peer);
    }

    fn ping_candidate(&mut self, peer: NodeId) {
        let now = self.now;
        let Some(candidate) = self.candidate(&peer).filter(|candidate| candidate.pings_left > 0) else { return };
        candidate.pings_left -= 1;
        candidate.sent = Some(now);
        candidate.nonce = candidate.nonce.wrapping_add(1);
        let nonce = candidate.nonce;
        self.send(peer, &Control::Ping { nonce });
    }

    pub(crate) fn pong(&mut self, from: NodeId, nonce: u32) {
        let now = self.now;
        self.feed_pong(from, nonce);
        let Some(candidate) = self.candidate(&from).filter(|candidate| candidate.nonce == nonce) else { return };
        let Some(sent) = candidate.sent.take() else { return };
        let trip = now.since(sent);
        candidate.best = Some(candidate.best.map_or(trip, |best| best.min(trip)));
        self.hear_meanwhile(from);
        self.ping_candidate(from);
        self.finish_measuring(false);
    }

    /// The driver has computed what pings would bring: waits for as long as they would take.
    pub(crate) fn trips(&mut self, trips: &[Trip]) {
        let now = self.now;
        for trip in trips {
            if let Some(candidate) = self.candidate(&trip.peer) {
                candidate.answer = Some((now.after(trip.after), trip.round_trip));
            }
        }
        let Some(measuring) = &mut self.measuring else { return };
        let mut answers: Vec<Instant> = measuring.candidates.iter().filter_map(|of| Some(of.answer?.0)).collect();
        answers.sort_unstable();
        // As `finish_measuring` waits for pings.
        let enough = ENOUGH.min(measuring.candidates.len().saturating_sub(1)).saturating_sub(1);
        let all = answers.last().map_or(now, |at| (*at).min(now.after(MEASURE)));
        let ends = answers.get(enough).map_or(all, |at| at.after(STRAGGLERS).min(all));
        measuring.ends = Some(ends);
        let first = answers.first().copied().filter(|_| self.feeds.all.is_empty());
        self.timers.arm(Timer::Measure, first.map_or(ends, |first| first.min(ends)));
    }

    /// The timer's work: answers that were computed have come by now, or the time is up.
    pub(crate) fn measure_due(&mut self) {
        let now = self.now;
        let Some(measuring) = &mut self.measuring else { return };
        let Some(ends) = measuring.ends else { return self.finish_measuring(true) };
        let mut answered = Vec::new();
        for candidate in &mut measuring.candidates {
            let Some((_, trip)) = candidate.answer.take_if(|(at, _)| *at <= now) else { continue };
            candidate.best = trip;
            candidate.gone |= trip.is_none();
            answered.extend(trip.map(|_| candidate.node));
        }
        answered.into_iter().for_each(|node| self.hear_meanwhile(node));
        if now >= ends {
            return self.finish_measuring(true);
        }
        self.timers.arm(Timer::Measure, ends);
    }

    /// A newcomer that hears nothing, since the host is busy feeding others, asks the first candidate that answers.
    fn hear_meanwhile(&mut self, from: NodeId) {
        if self.placed == 0 && self.feeds.all.is_empty() && self.is_newcomer() {
            self.establish(Contact { node: from, addresses: List::default() }, Aim::Provisional);
        }
    }

    /// A candidate cannot be reached.
    pub(crate) fn measure_gone(&mut self, peer: NodeId) {
        if let Some(candidate) = self.candidate(&peer) {
            candidate.gone = true;
            self.finish_measuring(false);
        }
    }

    /// Tells the host what was measured, once all is or the time is up.
    pub(crate) fn finish_measuring(&mut self, time_is_up: bool) {
        let done = |candidate: &Candidate| {
            candidate.gone || candidate.pings_left == 0 && candidate.sent.is_none() && candidate.answer.is_none()
        };
        let Some(measuring) = &self.measuring else { return };
        let (all, ended) = (measuring.candidates.len(), measuring.candidates.iter().filter(|of| done(of)).count());
        if !time_is_up && ended < all {
            if ended >= ENOUGH.min(all.saturating_sub(1)) {
                self.timers.arm_by(Timer::Measure, self.now.after(STRAGGLERS));
            }
            return;
        }
        let trips = measuring.candidates.iter().map(|candidate| {
            let best = candidate.best.filter(|_| !candidate.gone);
            (candidate.node, best.map(|trip| u16::try_from(trip.as_millis()).unwrap_or(u16::MAX)))
        });
        let message = Control::Measured { round: measuring.round, round_trip_ms: List::truncated(trips) };
        self.measuring = None;
        self.timers.disarm(Timer::Measure);
        self.send(self.registry(), &message);
    }

    pub(crate) fn is_measuring(&self, peer: &NodeId) -> bool {
        self.measuring.as_ref().is_some_and(|measuring| measuring.candidates.iter().any(|of| of.node == *peer))
    }

    fn candidate(&mut self, peer: &NodeId) -> Option<&mut Candidate> {
        self.measuring.as_mut()?.candidates.iter_mut().find(|candidate| candidate.node == *peer)
    }
}
