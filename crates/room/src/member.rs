//! A member's way in, and back in: dialling the host, redeeming the invite, holding the certificate.

use core::time::Duration;
use std::sync::Arc;

use treehouse_invite::{Certificate, Charter, Invite, Role, StatementError};
use treehouse_wire::{
    Address, Contact, Control, Epoch, List, NodeId, RoomKey, Suite, UnixSeconds,
    control::{Admitted, Profile, Purpose, Refusal, Report, Statement, Status},
};

use crate::{
    api::{Closing, Event, JoinFailure},
    feeds::Aim,
    keys::{ACTIVATION, Keys},
    lead::{Entry, Lead},
    room::{Phase, Room},
    time::Instant,
    timers::Timer,
};

/// A host that does not finish the admission in this time is given up.
const ADMISSION: Duration = Duration::from_secs(10);
/// The host is dialled again after this, doubling up to [`REDIAL_MAX_MS`], in milliseconds.
const REDIAL_MIN_MS: u16 = 500;
const REDIAL_MAX_MS: u16 = 8000;
/// The same while nothing reaches this member: a cut may end at any time.
const REDIAL_CUT_MAX_MS: u16 = 1000;
/// A certificate is renewed when it has this left, in seconds.
pub(crate) const RENEW_SECONDS: u64 = 30 * 60;
/// A placement that has not come after this is asked for.
const PLACEMENT: Duration = Duration::from_secs(3);
/// A member is a newcomer for this long: it is placed by then.
const NEWCOMER: Duration = Duration::from_secs(5);
/// How often the host is told whom this member is fed by, without a change: by a link to it, and up the tree.
const STATUS: Duration = Duration::from_secs(5);
const STATUS_IN_TREE: Duration = Duration::from_secs(60);
/// The same for a hub: there may be a thousand of them.
const STATUS_OF_HUB: Duration = Duration::from_secs(30);
/// Rooms up to this size keep the links of all members to the host; in larger ones they close after admission.
const LINKS_KEPT: u32 = 64;
/// The link to the host is kept for this long after the host was asked for something.
const ANSWER: Duration = Duration::from_secs(3);
/// A review that could not be asked for is tried again after this.
const REVIEW_AGAIN: Duration = Duration::from_secs(60);
/// A member asks after this although it could be paged: its leader may not know the way to it.
const REVIEW_MAX: Duration = Duration::from_secs(150);
/// A member that its leader can page looks again after this whether it still can.
const REVIEW_UNPAGED: Duration = Duration::from_secs(60);

/// That this node belongs to the room, as it shows it to others.
#[derive(Debug)]
pub(crate) struct HeldCertificate {
    pub(crate) expires: UnixSeconds,
    pub(crate) statement: Statement,
    /// The lease that it was signed under, where a hub signed it.
    pub(crate) lease: Option<Arc<Statement>>,
}

/// What a member knows of its way to the host.
#[derive(Debug)]
pub(crate) struct HostLink {
    pub(crate) invite: Option<Invite>,
    /// Who leads this member's region, where that is not the host as the invite names it.
    pub(crate) lead: Option<Arc<Lead>>,
    /// While a leader is looked for.
    pub(crate) entry: Option<Box<Entry>>,
    admitted: Option<Instant>,
    /// The next wait, in milliseconds.
    redial_ms: u16,
    /// When admission or return was asked for, until that is answered: it is sent once a link.
    pub(crate) asked: Option<Instant>,
    lost: bool,
    /// Closed because it was of no use.
    pub(crate) closed: bool,
    /// It is the host itself that this member belongs to, for it speaks or holds an invite that a hub cannot redeem.
    pub(crate) direct: bool,
    /// It has had a hub for a leader: one that led it before may still answer.
    pub(crate) led_by_hub: bool,
    /// Its leader is gone, and no other has taken it in yet: no registry waits to hear of it.
    pub(crate) stray: bool,
    /// It has had its hand up: the registry may not know yet that it is down.
    pub(crate) raised: bool,
    /// The leader has called it for a better place.
    pub(crate) paged: bool,
    status_at: Instant,
}

impl HostLink {
    pub(crate) fn none() -> Self {
        HostLink {
            invite: None,
            lead: None,
            entry: None,
            direct: false,
            led_by_hub: false,
            stray: false,
            raised: false,
            paged: false,
            admitted: None,
            redial_ms: REDIAL_MIN_MS,
            asked: None,
            lost: false,
            closed: false,
            status_at: Instant::ZERO,
        }
    }

    pub(crate) fn new(invite: Invite) -> Self {
        HostLink { invite: Some(invite), ..HostLink::none() }
    }
}

impl<S: Suite> Room<S> {
    /// Starts to join: dials the host.
    pub(crate) fn start_joining(&mut self) {
        self.timers.arm(Timer::Admission, self.now.after(ADMISSION));
        self.enter_by_invite();
    }

    fn dial_host(&mut self) {
        self.dial(&self.leader_contact());
    }

    pub(crate) fn profile(&self) -> Profile {
        Profile {
            name: self.name.clone(),
            addresses: List::truncated(self.addresses.iter().cloned()),
            children_max: self.children_max,
        }
    }

    pub(crate) fn host_link_up(&mut self, peer: NodeId) {
        if self.is_host() || self.is_leaving() || !self.entered(&peer) && peer != self.registry() {
            return;
        }
        self.host_link.redial_ms = REDIAL_MIN_MS;
        self.host_link.closed = false;
        if self.host_link.lost {
            self.host_link.lost = false;
            self.event(Event::HostBack);
        }
        self.ask_admission();
        if self.is_in() && self.cut_since.is_some() {
            // Without waiting for the answer; but first what it has, or it would be placed as if it had nothing.
            self.send_status();
            self.seek();
        }
    }

    /// `Join` the first time, `Resume` for a member that has a certificate.
    pub(crate) fn ask_admission(&mut self) {
        // A member that hears nothing is placed by whom it asks, and sent on to another leader later.
        let last = self.last_resort().is_some_and(|host| host.node == self.registry());
        let direct = self.host_link.direct || last || self.is_in() && self.cut_since.is_some();
        let profile = self.profile();
        let message = match (&self.certificate, &self.host_link.invite) {
            // What a hub certified is less than the invite may grant, which the host sees.
            (Some(held), invite) if !(self.host_link.direct && held.lease.is_some() && invite.is_some()) => {
                let lease = held.lease.as_deref().cloned();
                Control::Resume { certificate: held.statement.clone(), lease, profile, direct }
            }
            (_, Some(invite)) => {
                let redeemed = invite.redeem(&self.suite, &self.identity_seed, &self.me, &self.host);
                let Ok((chain, proof)) = redeemed else {
                    return self.join_failed(JoinFailure::Refused(Refusal::Invalid));
                };
                Control::Join(Box::new(treehouse_wire::control::Join { chain, proof, profile, direct }))
            }
            (_, None) => return,
        };
        self.host_link.asked = Some(self.now);
        self.send(self.registry(), &message);
    }

    pub(crate) fn admitted(&mut self, from: NodeId, admitted: Admitted) {
        if from != self.registry() || self.is_host() || self.host_link.asked.is_none() {
            return self.not_my_leader(from);
        }
        self.host_link.asked = None;
        // One that says goodbye is no member any more, and has nothing to say to its host.
        if self.is_leaving() {
            return;
        }
        let (suite, lease) = (&self.suite, admitted.lease.as_ref());
        let charter = Charter::verify(suite, &admitted.charter, &self.room);
        let certificate =
            Certificate::verify_under(suite, &admitted.certificate, lease, &self.room, &self.host, self.wall);
        if matches!(certificate, Err(StatementError::NotYetValid | StatementError::Expired)) {
            return self.join_failed(JoinFailure::Clock);
        }
        let (Ok(charter), Ok(certificate)) = (charter, certificate) else {
            return self.join_failed(JoinFailure::BadAnswer);
        };
        let promised = self.host_link.invite.as_ref().map_or(charter.policy, |invite| invite.founding().policy);
        if certificate.node != self.me || charter.policy != promised {
            return self.join_failed(JoinFailure::BadAnswer);
        }
        self.record_charter(&admitted.charter);
        // Who was away for long was forgotten, and its placements are counted anew; what was sent before has come before.
        self.placed = self.placed.min(1);
        let first = self.certificate.is_none();
        let role = certificate.role;
        if first {
            self.rank = treehouse_wire::control::Rank { depth: u8::MAX, admission: certificate.admission };
        }
        self.host_link.entry = None;
        if self.has_hub() && !admitted.host.is_empty() {
            let host = Contact { node: self.host, addresses: admitted.host };
            self.follow_leader(self.leader_contact(), host);
        }
        let lease = admitted.lease.map(Arc::new);
        self.certificate =
            Some(HeldCertificate { expires: certificate.expires, statement: admitted.certificate, lease });
        self.booster = role == Role::Booster;
        if self.booster {
            (self.own_voice, self.host_link.raised) = (None, false);
        }
        if let Some(key) = admitted.key.filter(|_| !self.booster) {
            self.admitted_with(admitted.epoch, key);
        }
        self.timers.disarm(Timer::Admission);
        self.status_due = true;
        self.hub_stands_anew();
        self.taken_in();
        if !first {
            if self.host_link.raised {
                self.send_hand();
            }
            // First what this member has, or it would be placed as if it had nothing.
            self.send_status();
            self.ask_review();
            return self.refill();
        }
        self.phase = Phase::In;
        self.host_link.admitted = Some(self.now);
        self.policy = charter.policy;
        let title = charter.title.as_str().to_owned();
        self.event(Event::Admitted { room: self.room, title, policy: charter.policy, role });
        self.expect_provisional(from);
    }

    /// The key that seals packets now. A newer one that the state names follows it.
    fn admitted_with(&mut self, epoch: Epoch, key: RoomKey) {
        if self.keys.opening(epoch).is_none() && !self.take_key(epoch, key.clone(), ACTIVATION) {
            // It has been away for longer than it was told: what it holds is of before.
            self.keys = Keys::only(epoch, key);
        }
    }

    /// The leader feeds whom it admits, without being asked, or declines.
    fn expect_provisional(&mut self, leader: NodeId) {
        let now = self.now;
        if self.feeds.get(&leader).is_none() {
            self.feeds.add(leader, Aim::Provisional, now).asked(Purpose::Provisional, now);
            self.arm_feeds();
        }
    }

    /// Whether the certificate is to be renewed, or there is none.
    pub(crate) fn certificate_ends_soon(&self) -> bool {
        let expires = self.certificate.as_ref().map_or(0, |held| held.expires.0);
        expires < self.wall.0.saturating_add(RENEW_SECONDS)
    }

    /// Whether this member came so lately that what was said before is not for it.
    pub(crate) fn is_newcomer(&self) -> bool {
        self.host_link.admitted.is_some_and(|at| self.now.since(at) < NEWCOMER)
    }

    pub(crate) fn refused(&mut self, from: NodeId, refusal: Refusal) {
        if from != self.registry() || self.is_host() {
            return self.not_my_leader(from);
        }
        self.host_link.asked = None;
        // A member that is refused its return may try its invite again, once the certificate is out of the way.
        if self.certificate.is_some() && refusal == Refusal::Expired {
            self.certificate = None;
            return self.ask_admission();
        }
        if refusal == Refusal::Banned && self.phase == Phase::In {
            return self.close(Closing::Removed);
        }
        if self.certificate.is_none() {
            self.join_failed(JoinFailure::Refused(refusal));
        }
    }

    pub(crate) fn join_failed(&mut self, failure: JoinFailure) {
        if self.phase == Phase::Joining {
            self.phase = Phase::Closed;
            self.timers.clear();
            self.event(Event::JoinFailed(failure));
        }
    }

    pub(crate) fn member_link_down(&mut self, peer: NodeId) {
        if peer != self.registry() || self.is_host() || self.phase == Phase::Closed || self.is_leaving() {
            return;
        }
        if self.ask_next() {
            return;
        }
        self.host_link.asked = None;
        if self.host_link.closed {
            return;
        }
        if self.has_hub() && self.phase == Phase::In {
            self.leave_leader();
        } else if self.phase == Phase::In && !self.host_link.lost {
            self.host_link.lost = true;
            self.event(Event::HostLost);
        }
        self.redial_later();
    }

    /// The host cannot be reached: the end of joining, or another try later.
    pub(crate) fn host_unreachable(&mut self, peer: NodeId, attempts: Vec<(Address, String)>) {
        if self.is_host() || self.entry_unreachable(&peer, &attempts) || peer != self.registry() {
            return;
        }
        if self.phase == Phase::Joining {
            return self.join_failed(JoinFailure::Unanswered { attempts });
        }
        if self.has_hub() {
            self.leave_leader();
        }
        self.redial_later();
    }

    pub(crate) fn redial_later(&mut self) {
        let wait_ms = self.host_link.redial_ms;
        let most = if self.cut_since.is_some() { REDIAL_CUT_MAX_MS } else { REDIAL_MAX_MS };
        self.host_link.redial_ms = wait_ms.saturating_mul(2).min(most);
        self.timers.arm_by(Timer::Admission, self.now.after(Duration::from_millis(wait_ms.into())));
    }

    /// The link to the host has no use any more for now.
    pub(crate) fn host_link_closes(&mut self, peer: &NodeId) {
        if *peer == self.registry() && !self.is_host() {
            self.host_link.closed = true;
        }
    }

    /// Whether the link to the host is of use.
    pub(crate) fn needs_host_link(&self) -> bool {
        let asked = |at: Option<Instant>| at.is_some_and(|at| self.now.since(at) < ANSWER);
        self.is_host()
            || self.phase != Phase::In
            || self.keeps_links()
            || self.placed == 0
            || self.host_link.asked.is_some()
            || self.host_link.entry.is_some()
            || self.region.is_some()
            || asked(self.sought)
            || self.measuring.is_some()
            || self.own_voice.is_some()
            || self.cut_since.is_some()
            || self.lacks_key()
            || self.is_root()
    }

    /// Connects to the host to ask it for something: at once, unless it could not be reached before.
    pub(crate) fn call_host(&mut self) {
        if self.host_link.closed {
            self.host_link.closed = false;
            self.dial_host();
        } else {
            self.redial_host();
        }
    }

    /// Asks for a better place when its time has come, unless there is something to repair.
    fn ask_review(&mut self) {
        let now = self.now;
        if self.cut_since.is_some() || self.is_host() || self.review_at.is_none_or(|at| at > now) {
            return;
        }
        let lately = self.sought.is_some_and(|at| now.since(at) < REVIEW_MAX);
        if !self.host_link.paged && lately && self.can_be_paged() {
            self.review_at = Some(now.after(REVIEW_UNPAGED));
            return;
        }
        if !self.links.is_up(&self.registry()) {
            return self.call_host();
        }
        self.review_at = Some(now.after(REVIEW_AGAIN));
        self.host_link.paged = false;
        self.sought = Some(now);
        self.send(self.registry(), &Control::Seek { failed: List::default(), review: true });
    }

    /// Nothing carries and the host is not connected: it is dialled when its time has come.
    pub(crate) fn redial_host(&mut self) {
        if !self.links.is_up(&self.registry()) && !self.links.is_dialing(&self.registry(), self.now) {
            self.timers
                .arm_by(Timer::Admission, self.now.after(Duration::from_millis(self.host_link.redial_ms.into())));
        }
    }

    /// The timer's work: admission has taken too long, or the host is to be dialled again.
    pub(crate) fn admission_due(&mut self) {
        match self.phase {
            Phase::Joining => self.join_failed(JoinFailure::TimedOut),
            Phase::In if !self.links.is_up(&self.registry()) => {
                self.dial_host();
                self.redial_later();
            }
            Phase::In | Phase::Leaving | Phase::Closed => {}
        }
    }

    /// Once a second, for a member.
    pub(crate) fn member_housekeeping(&mut self) {
        if self.is_host() || self.phase != Phase::In {
            return;
        }
        let now = self.now;
        // What was asked may have been lost with a link that another took the place of.
        let asks = self.host_link.asked.map_or(self.certificate_ends_soon(), |at| now.since(at) >= ANSWER);
        if asks && self.links.is_up(&self.registry()) {
            self.ask_admission();
        }
        if now >= self.status_due_at() {
            self.status_due = true;
        }
        if self.placed == 0 && self.host_link.admitted.is_some_and(|at| now.since(at) >= PLACEMENT) {
            self.seek();
        }
        if !self.links.is_up(&self.registry()) && !self.host_link.closed {
            self.redial_host();
        }
        self.ask_review();
        // A root that is none any more needs a feed like everyone.
        if self.placed > 0 {
            self.note_cut(now);
        }
        self.refill();
        self.arm_feeds();
        self.link_stage();
    }

    /// When the registry is told again although nothing has changed.
    pub(crate) fn status_due_at(&self) -> Instant {
        let pause = match (self.links.is_up(&self.registry()), &self.region) {
            (true, None) => STATUS,
            (true, Some(_)) => STATUS_OF_HUB,
            (false, _) => STATUS_IN_TREE,
        };
        self.host_link.status_at.after(pause)
    }

    /// Whether what goes up the tree from here comes by a registry that knows this member. Else it ends at the host, unread.
    pub(crate) fn is_heard_above(&self) -> bool {
        let registry = self.registry();
        let by_registry =
            registry == self.host || self.feeds.upstream().is_some_and(|feed| feed.path.contains(&registry.tag()));
        by_registry && !self.host_link.stray
    }

    /// Whether the room is so small that all keep their links to the host.
    pub(crate) fn keeps_links(&self) -> bool {
        self.members <= LINKS_KEPT && !self.has_hub()
    }

    /// Whether there is no link to the host because it would be of no use.
    pub(crate) fn host_link_is_closed(&self) -> bool {
        self.host_link.closed
    }

    /// Tells the registry whom this member is fed by, and whom it feeds: by its link, or else up the tree.
    pub(crate) fn send_status(&mut self) {
        if self.is_host() || self.phase != Phase::In {
            return;
        }
        let linked = self.links.is_up(&self.registry());
        if !linked && self.feeds.parent().is_none() {
            return;
        }
        self.status_due = false;
        let again = self.now >= self.status_due_at();
        if !linked && !self.is_heard_above() || self.host_link.stray {
            self.host_link.status_at = self.now;
            return;
        }
        let count = |purpose| u8::try_from(self.children.with_purpose(|of| of == purpose).len()).unwrap_or(u8::MAX);
        let status = Status {
            parent: self.feeds.parent().map(|feed| feed.node().tag()),
            standby: self.feeds.standby().map(|feed| feed.node().tag()),
            rank: self.rank,
            children: count(Purpose::Primary),
            standbys: count(Purpose::LiveStandby),
            slots: self.children_max,
            position: self.coordinate.is_known().then(|| self.coordinate.to_wire()),
            delay_ms: self.delay_ms(),
        };
        if !again && !self.hub_stands_elsewhere(&status) {
            return;
        }
        self.host_link.status_at = self.now;
        if linked {
            self.send(self.registry(), &Control::Status(status));
        } else {
            self.report_up(Report::Status { node: self.me, status });
        }
    }

    pub(crate) fn learn_members(&mut self, members: u32) {
        if self.members != members && !self.is_host() {
            self.members = members;
            self.event(Event::Members(members));
        }
    }
}
