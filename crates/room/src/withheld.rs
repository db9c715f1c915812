//! What is kept from a member: the host's account of what it has sent, against what came.
//!
//! A beacon says each second how many frames of each voice have gone down the tree, and it comes by every feed, idle ones too. So a
//! parent that passes on a part only, or one voice and not another, is seen although nothing else brings sound to compare with; and
//! one that passes everything on late is seen by the beacon that came by the other feed before. Where beacons stop nothing is
//! judged. A member that is deep in the tree waits a little longer, so that it is the first one below the culprit that leaves it: that
//! one is fed anew, and the others with it.

use core::time::Duration;
use std::collections::VecDeque;

use treehouse_invite::{Beacon, Carried};
use treehouse_wire::{NodeId, Suite, VoiceId};

use crate::{
    api::Suspicion,
    feeds::{Aim, Feed},
    room::Room,
    time::Instant,
};

/// Frames are under way for this long when the beacon that counts them comes; and longer with each hop.
const UNDER_WAY: Duration = Duration::from_millis(300);
const UNDER_WAY_A_HOP: Duration = Duration::from_millis(100);
/// Hops that are waited for.
const HOPS_MAX: u32 = 6;
/// What is judged together.
const SPAN: Duration = Duration::from_secs(3);
/// Frames of a voice below which nothing is said about it: half a second.
const DUE_MIN: u32 = 25;
/// A feed is left where so much of a voice is missing, in percent; at once where it is this much, and else after [`SPAN`].
const MISSING: u32 = 5;
const MISSING_AT_ONCE: u32 = 20;
/// A feed is not judged by what was sent before it carried for this long.
const SETTLED: Duration = Duration::from_millis(1200);
/// A parent that has not brought a beacon this long after another feed is late.
const LATE: Duration = Duration::from_millis(500);
/// Where beacons came and none has for so long, the host may be gone, and whoever is silent may have nothing to bring.
const STOPPED: Duration = Duration::from_millis(1250);
/// Beacons that wait to be judged. Past it the oldest go.
const WAITING_MAX: usize = 8;

/// What came of one voice of what a beacon counts.
#[derive(Clone, Copy, Debug)]
struct Judged {
    at: Instant,
    voice: VoiceId,
    due: u32,
    missing: u32,
}

/// The accounts of the last seconds.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    waiting: VecDeque<(Instant, Vec<Carried>)>,
    judged: VecDeque<Judged>,
    /// The newest beacon, when it came, and by whom.
    newest: Option<((u16, u32), Instant, NodeId)>,
}

impl Ledger {
    /// Whether too much of some voice is missing.
    fn condemns(&self, now: Instant) -> bool {
        let lately = || self.judged.iter().filter(|of| now.since(of.at) <= SPAN);
        // A whole span has to be seen before a little counts.
        let whole = self.judged.front().is_some_and(|of| now.since(of.at) >= SPAN - Duration::from_secs(1));
        lately().any(|of| {
            let (due, missing) = lately()
                .filter(|other| other.voice == of.voice)
                .fold((0, 0), |(due, missing), other| (due + other.due, missing + other.missing));
            let at_least = if whole { MISSING } else { MISSING_AT_ONCE };
            due >= DUE_MIN && missing * 100 >= due * at_least
        })
    }
}

impl<S: Suite> Room<S> {
    /// A beacon has come that is new, and verifies.
    pub(crate) fn enter_account(&mut self, from: NodeId, beacon: &Beacon) {
        if self.is_root() || self.hushed {
            return;
        }
        let now = self.now;
        // Who has heard nothing of a voice yet could be given old packets of it for new ones.
        for of in beacon.carried.iter().filter(|of| self.state.stage().voice(&of.voice).is_some()) {
            self.voices.recent(of.voice, now).was_sent(of.last);
        }
        let ledger = self.ledger.get_or_insert_default();
        let before = ledger.newest.replace((beacon.id(), now, from));
        if ledger.waiting.len() >= WAITING_MAX {
            ledger.waiting.pop_front();
        }
        ledger.waiting.push_back((now, beacon.carried.to_vec()));
        self.beacon_by(from, beacon.id());
        // The parent has not even brought the one before, which came by another feed.
        let Some((before, at, by)) = before else { return };
        let late = |feed: &&Feed| feed.node() != by && feed.beacon < before && now.since(feed.calm) >= SETTLED;
        let late = self.sole_feed().filter(late).filter(|_| now.since(at) >= LATE).map(Feed::node);
        if let Some(node) = late {
            self.suspect(node, Suspicion::Withheld);
        }
    }

    /// A beacon has come by a feed, whether or not it was the first to bring it.
    pub(crate) fn beacon_by(&mut self, from: NodeId, id: (u16, u32)) {
        if let Some(feed) = self.feeds.get_mut(&from) {
            feed.beacon = feed.beacon.max(id);
        }
    }

    /// The one feed that carries, where there is one: two are compared with each other.
    fn sole_feed(&self) -> Option<&Feed> {
        let mut carrying = self.feeds.all.iter().filter(|feed| feed.carries());
        carrying.next().filter(|feed| carrying.next().is_none() && feed.aim != Aim::Provisional)
    }

    /// Judges the accounts whose frames have had their time: often enough, when anything comes.
    pub(crate) fn judge_accounts(&mut self) {
        let now = self.now;
        let hops = self.feeds.upstream().map_or(0, |feed| feed.path.len() as u32).min(HOPS_MAX);
        let wait = UNDER_WAY + UNDER_WAY_A_HOP * hops;
        let sole = self.sole_feed().map(|feed| (feed.node(), feed.calm));
        let Some(ledger) = self.ledger.as_deref_mut() else { return };
        if ledger.waiting.front().is_none_or(|(at, _)| now.since(*at) < wait) {
            return;
        }
        let Some((node, calm)) = sole else {
            (ledger.waiting, ledger.judged) = Default::default();
            return;
        };
        while let Some((at, carried)) = ledger.waiting.pop_front_if(|(at, _)| now.since(*at) >= wait) {
            if at.since(calm) < SETTLED {
                continue;
            }
            for of in carried {
                // Who speaks need not hear itself.
                if self.state.stage().voice(&of.voice).is_none_or(|(speaker, _)| *speaker == self.me) {
                    continue;
                }
                let came = self.voices.came_between(of.voice, of.first, of.last);
                ledger.judged.push_back(Judged {
                    at,
                    voice: of.voice,
                    due: of.count,
                    missing: of.count.saturating_sub(came),
                });
            }
        }
        while ledger.judged.pop_front_if(|of| now.since(of.at) > SPAN).is_some() {}
        if ledger.condemns(now) {
            (ledger.waiting, ledger.judged) = Default::default();
            self.suspect(node, Suspicion::Withheld);
        }
    }

    /// Whether the host seems to be gone: its beacons came, and come no more.
    pub(crate) fn have_beacons_stopped(&self) -> bool {
        let newest = self.ledger.as_ref().and_then(|ledger| ledger.newest);
        newest.is_some_and(|(_, at, _)| self.now.since(at) > STOPPED)
    }

    /// The feeds have changed, or the parent repairs its own: what was missing until now accuses nobody.
    pub(crate) fn forget_accounts(&mut self) {
        if let Some(ledger) = &mut self.ledger {
            (ledger.waiting, ledger.judged) = Default::default();
        }
    }

    /// Once a second: nothing is kept where nobody speaks.
    pub(crate) fn keep_accounts(&mut self) {
        self.judge_accounts();
        let now = self.now;
        self.ledger.take_if(|ledger| ledger.newest.is_none_or(|(_, at, _)| now.since(at) > 2 * SPAN));
    }
}
