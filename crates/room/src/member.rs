//! A member's way in, and back in: dialling the host, redeeming the invite, holding the certificate.

use core::time::Duration;

use treehouse_invite::{Certificate, Charter, Invite};
use treehouse_wire::{
    Address, Contact, Control, List, NodeId, Suite, UnixSeconds,
    control::{Admitted, Profile, Purpose, Refusal, Report, Statement, Status},
};

use crate::{
    api::{Event, JoinFailure, Offence},
    feeds::Aim,
    room::{Phase, Room},
    time::Instant,
    timers::Timer,
};

/// A host that does not finish the admission in this time is given up.
const ADMISSION: Duration = Duration::from_secs(10);
/// The host is dialled again after this, doubling up to [`REDIAL_MAX`].
const REDIAL_MIN: Duration = Duration::from_millis(500);
const REDIAL_MAX: Duration = Duration::from_secs(8);
/// A certificate is renewed when it has this left, in seconds.
const RENEW_SECONDS: u64 = 30 * 60;
/// A placement that has not come after this is asked for.
const PLACEMENT: Duration = Duration::from_secs(3);
/// A member is a newcomer for this long: it is placed by then.
const NEWCOMER: Duration = Duration::from_secs(5);
/// How often the host is told whom this member is fed by, without a change: by a link to it, and up the tree.
const STATUS: Duration = Duration::from_secs(5);
const STATUS_IN_TREE: Duration = Duration::from_secs(60);
/// Rooms up to this size keep the links of all members to the host; in larger ones they close after admission.
const LINKS_KEPT: u32 = 64;
/// The link to the host is kept for this long after the host was asked for something.
const ANSWER: Duration = Duration::from_secs(3);
/// A review that could not be asked for is tried again after this.
const REVIEW_AGAIN: Duration = Duration::from_secs(60);

/// That this node belongs to the room, as it shows it to others.
#[derive(Debug)]
pub(crate) struct HeldCertificate {
    pub(crate) expires: UnixSeconds,
    pub(crate) statement: Statement,
}

/// What a member knows of its way to the host.
#[derive(Debug)]
pub(crate) struct HostLink {
    invite: Option<Invite>,
    admitted: Option<Instant>,
    redial: Duration,
    /// The last request for admission or return, to send it once a link.
    asked: bool,
    lost: bool,
    /// Closed because it was of no use.
    closed: bool,
    status_at: Instant,
}

impl HostLink {
    pub(crate) fn none() -> Self {
        HostLink {
            invite: None,
            admitted: None,
            redial: REDIAL_MIN,
            asked: false,
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
        self.dial_host();
    }

    fn dial_host(&mut self) {
        self.dial(&self.host_contact());
    }

    /// Where the invite says that the host is.
    fn host_contact(&self) -> Contact {
        let host = self.host;
        let named = self.host_link.invite.iter().flat_map(Invite::bootstrap).filter(|contact| contact.node == host);
        let addresses = List::truncated(named.flat_map(|contact| contact.addresses.iter().cloned()));
        Contact { node: host, addresses }
    }

    pub(crate) fn profile(&self) -> Profile {
        Profile {
            name: self.name.clone(),
            addresses: List::truncated(self.addresses.iter().cloned()),
            children_max: self.children_max,
        }
    }

    pub(crate) fn host_link_up(&mut self, peer: NodeId) {
        if peer != self.host || self.is_host() || self.is_leaving() {
            return;
        }
        self.host_link.redial = REDIAL_MIN;
        self.host_link.closed = false;
        if self.host_link.lost {
            self.host_link.lost = false;
            self.event(Event::HostBack);
        }
        self.ask_admission();
    }

    /// `Join` the first time, `Resume` for a member that has a certificate.
    fn ask_admission(&mut self) {
        let profile = self.profile();
        let message = match (&self.certificate, &self.host_link.invite) {
            (Some(held), _) => Control::Resume { certificate: held.statement.clone(), profile },
            (None, Some(invite)) => {
                let redeemed = invite.redeem(&self.suite, &self.identity_seed, &self.me, &self.host);
                let Ok((chain, proof)) = redeemed else {
                    return self.join_failed(JoinFailure::Refused(Refusal::Invalid));
                };
                Control::Join(Box::new(treehouse_wire::control::Join { chain, proof, profile }))
            }
            (None, None) => return,
        };
        self.host_link.asked = true;
        self.send(self.host, &message);
    }

    pub(crate) fn admitted(&mut self, from: NodeId, admitted: Admitted) {
        if from != self.host || self.is_host() || !self.host_link.asked {
            return self.offended(from, Offence::OutOfRole);
        }
        self.host_link.asked = false;
        // One that says goodbye is no member any more, and has nothing to say to its host.
        if self.is_leaving() {
            return;
        }
        let charter = Charter::verify(&self.suite, &admitted.charter, &self.room);
        let certificate = Certificate::verify(&self.suite, &admitted.certificate, &self.room, &self.host, self.wall);
        let (Ok(charter), Ok(certificate)) = (charter, certificate) else {
            return self.join_failed(JoinFailure::BadAnswer);
        };
        if certificate.node != self.me {
            return self.join_failed(JoinFailure::BadAnswer);
        }
        let first = self.certificate.is_none();
        let role = certificate.role;
        if first {
            self.rank = treehouse_wire::control::Rank { depth: u8::MAX, admission: certificate.admission };
        }
        self.certificate = Some(HeldCertificate { expires: certificate.expires, statement: admitted.certificate });
        self.key = Some((admitted.epoch, admitted.key));
        self.timers.disarm(Timer::Admission);
        self.status_due = true;
        if !first {
            self.send_hand();
            self.ask_review();
            return self.refill();
        }
        self.phase = Phase::In;
        self.host_link.admitted = Some(self.now);
        self.event(Event::Admitted { room: self.room, title: charter.title.as_str().to_owned(), role });
        self.establish(self.host_contact(), Aim::Provisional);
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
        if from != self.host || self.is_host() {
            return self.offended(from, Offence::OutOfRole);
        }
        self.host_link.asked = false;
        // A member that is refused its return may try its invite again, once the certificate is out of the way.
        if self.certificate.is_some() && refusal == Refusal::Expired {
            self.certificate = None;
            return self.ask_admission();
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
        if peer != self.host || self.is_host() || self.phase == Phase::Closed || self.is_leaving() {
            return;
        }
        self.host_link.asked = false;
        if self.host_link.closed {
            return;
        }
        if self.phase == Phase::In && !self.host_link.lost {
            self.host_link.lost = true;
            self.event(Event::HostLost);
        }
        self.redial_later();
    }

    /// The host cannot be reached: the end of joining, or another try later.
    pub(crate) fn host_unreachable(&mut self, peer: NodeId, attempts: Vec<(Address, String)>) {
        if peer != self.host || self.is_host() {
            return;
        }
        if self.phase == Phase::Joining {
            return self.join_failed(JoinFailure::Unanswered { attempts });
        }
        self.redial_later();
    }

    fn redial_later(&mut self) {
        let wait = self.host_link.redial;
        self.host_link.redial = (wait * 2).min(REDIAL_MAX);
        self.timers.arm_by(Timer::Admission, self.now.after(wait));
    }

    /// The link to the host has no use any more for now.
    pub(crate) fn host_link_closes(&mut self, peer: &NodeId) {
        if *peer == self.host && !self.is_host() {
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
            || self.host_link.asked
            || asked(self.sought)
            || self.measuring.is_some()
            || self.own_voice.is_some()
            || self.cut_since.is_some()
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
        if !self.links.is_up(&self.host) {
            return self.call_host();
        }
        self.review_at = Some(now.after(REVIEW_AGAIN));
        self.sought = Some(now);
        self.send(self.host, &Control::Seek { failed: List::default(), review: true });
    }

    /// Nothing carries and the host is not connected: it is dialled when its time has come.
    pub(crate) fn redial_host(&mut self) {
        if !self.links.is_up(&self.host) && !self.links.is_dialing(&self.host, self.now) {
            self.timers.arm_by(Timer::Admission, self.now.after(self.host_link.redial));
        }
    }

    /// The timer's work: admission has taken too long, or the host is to be dialled again.
    pub(crate) fn admission_due(&mut self) {
        match self.phase {
            Phase::Joining => self.join_failed(JoinFailure::TimedOut),
            Phase::In if !self.links.is_up(&self.host) => {
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
        if self.certificate_ends_soon() && !self.host_link.asked && self.links.is_up(&self.host) {
            self.ask_admission();
        }
        if now >= self.status_due_at() {
            self.status_due = true;
        }
        if self.placed == 0 && self.host_link.admitted.is_some_and(|at| now.since(at) >= PLACEMENT) {
            self.seek();
        }
        if !self.links.is_up(&self.host) && !self.host_link.closed {
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
        let pause = if self.links.is_up(&self.host) { STATUS } else { STATUS_IN_TREE };
        self.host_link.status_at.after(pause)
    }

    /// Whether the room is so small that all keep their links to the host.
    pub(crate) fn keeps_links(&self) -> bool {
        self.members <= LINKS_KEPT
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
        let linked = self.links.is_up(&self.host);
        if !linked && self.feeds.parent().is_none() {
            return;
        }
        self.status_due = false;
        self.host_link.status_at = self.now;
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
        if linked {
            self.send(self.host, &Control::Status(status));
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
