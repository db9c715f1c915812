//! The room itself: what it holds, and how inputs reach the parts that handle them.

use core::time::Duration;
use std::{collections::VecDeque, sync::Arc};

use treehouse_invite::{MediaClaim, Policy};
use treehouse_wire::{
    Address, Contact, Control, NodeId, NodeTag, RoomId, Suite, UnixSeconds,
    control::{Adoption, Farewell, Name, Purpose, Rank, Report},
};

use crate::{
    api::{Closing, Command, Event, Input, Offence, Output, RoomError},
    beacon::Choice,
    capacity::Strain,
    children::{Children, StageLinks},
    config::{Config, HostConfig, JoinConfig},
    coordinates::Coordinate,
    feeds::{Brought, Feeds},
    host::Acting,
    keys::Keys,
    links::Links,
    losses::HeardLosses,
    measure::Measuring,
    member::{HeldCertificate, HostLink},
    place::Failed,
    record::Recording,
    region::{Region, Shown, Sums},
    rng::Rng,
    sorted::Sorted,
    speak::OwnVoice,
    state::HeldState,
    time::Instant,
    timers::{Timer, Timers},
    voices::Voices,
    withheld::Ledger,
};

/// A member that leaves feeds its children for this long at most, so that they find others first.
const LINGER: Duration = Duration::from_secs(2);
/// Reports, unused links and the like are looked at this often.
pub(crate) const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// Where a node is in the life of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Not admitted yet.
    Joining,
    /// A member, or the host.
    In,
    /// It said goodbye and still feeds its children.
    Leaving,
    /// The end.
    Closed,
}

/// A room as one node sees it: a state machine without a clock, a socket or a task.
///
/// See the [crate documentation](crate) for how to drive it.
pub struct Room<S: Suite> {
    pub(crate) suite: S,
    pub(crate) signer: S::Signer,
    pub(crate) me: NodeId,
    pub(crate) identity_seed: [u8; 32],
    pub(crate) name: Name,
    /// Feeds that it is willing to give.
    pub(crate) children_max: u8,
    /// The same as the user set it, before the uplink had its say.
    pub(crate) children_set: u8,
    /// What the uplink has to say, where it drops packets.
    pub(crate) strain: Option<Box<Strain>>,
    pub(crate) now: Instant,
    pub(crate) wall: UnixSeconds,
    pub(crate) rng: Rng,
    pub(crate) outputs: VecDeque<Output>,
    pub(crate) timers: Timers,
    pub(crate) phase: Phase,
    /// Who may come in; what the charter says, once it has come.
    pub(crate) policy: Policy,
    pub(crate) room: RoomId,
    pub(crate) host: NodeId,
    pub(crate) addresses: Vec<Address>,
    pub(crate) links: Links,
    pub(crate) host_link: HostLink,
    pub(crate) certificate: Option<HeldCertificate>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) state: HeldState,
    pub(crate) members: u32,
    pub(crate) rank: Rank,
    pub(crate) rank_wanted: Option<Rank>,
    /// Counter of the newest placement.
    pub(crate) placed: u32,
    pub(crate) feeds: Feeds,
    /// It relays for a room whose member it is not, and holds no key.
    pub(crate) booster: bool,
    pub(crate) failed: Vec<Failed>,
    pub(crate) sought: Option<Instant>,
    /// When a better standby was looked for, and for how many seconds it is not again.
    pub(crate) sought_standby: Option<(Instant, u8)>,
    /// Since when nothing carries.
    pub(crate) cut_since: Option<Instant>,
    pub(crate) children: Children,
    pub(crate) measuring: Option<Box<Measuring>>,
    pub(crate) coordinate: Coordinate,
    /// When the registry is asked for a better place.
    pub(crate) review_at: Option<Instant>,
    /// The leaf of a new parent that is to make way.
    pub(crate) adopting: Option<Box<(NodeId, Adoption)>>,
    /// News from below that go up with the next message.
    pub(crate) reports_waiting: Vec<Report>,
    /// What listeners lost of voices, while any says so.
    pub(crate) losses: Option<Box<HeardLosses>>,
    pub(crate) voices: Voices<S>,
    /// Which voices go down the tree, while any do.
    pub(crate) choice: Option<Box<Choice>>,
    /// What the host says it has sent, and what came of it, while it says so.
    pub(crate) ledger: Option<Box<Ledger>>,
    /// While a hand is up, on stage or not.
    pub(crate) own_voice: Option<Box<OwnVoice<S>>>,
    pub(crate) stage_links: StageLinks,
    pub(crate) stage_contacts: Sorted<(Contact, Instant)>,
    pub(crate) acting: Option<Box<Acting>>,
    /// Where this node records.
    pub(crate) recording: Option<Box<Recording>>,
    /// What a registry knows of its members.
    pub(crate) region: Option<Box<Region>>,
    pub(crate) status_due: bool,
    /// The driver computes what regular traffic would bring.
    pub(crate) hushed: bool,
    /// Bytes of the message that is being answered.
    pub(crate) asked_bytes: usize,
    /// Parent, standby and depth of the last [`Event::Feeds`].
    feeds_told: (Option<NodeTag>, Option<NodeTag>, u8),
}

impl<S: Suite> Room<S> {
    /// Opens a room as its host. `wall` is the time of day; [`Event::Admitted`] comes at once.
    pub fn host(now: Instant, wall: UnixSeconds, suite: S, config: Config, host: HostConfig) -> Self {
        let id = host.charter.room();
        let title = host.charter.title.as_str().to_owned();
        let key_seed = config.random_seed;
        let mut room = Room::new(now, wall, suite, config, id, None);
        room.host = room.me;
        room.policy = host.charter.policy;
        room.acting = Some(Box::new(Acting::new(host.charter_statement, &host.past, key_seed, now)));
        let profile = room.profile();
        let mut region = Region::of_host(room.me, profile, host.protection, host.region_max, now);
        region.admit_behind(host.past.first_number());
        room.region = Some(Box::new(region));
        room.coordinate = Coordinate::origin();
        room.draw_key();
        room.rank = Rank::HOST;
        room.phase = Phase::In;
        room.members = 1;
        room.event(Event::Admitted { room: id, title, policy: room.policy, role: treehouse_invite::Role::Host });
        room.certify_self();
        room.take_the_stage();
        if let Some(seed) = host.media_seed {
            room.raise_hand(&seed);
        }
        room.publish_state();
        room.timers.arm(Timer::Housekeeping, now.after(HOUSEKEEPING));
        room
    }

    /// Starts to join a room by an invite that was verified. [`Event::Admitted`] or [`Event::JoinFailed`] follows.
    pub fn join(now: Instant, wall: UnixSeconds, suite: S, config: Config, join: JoinConfig) -> Self {
        let (id, host) = (join.invite.room(), join.invite.host());
        let mut room = Room::new(now, wall, suite, config, id, Some(HostLink::new(join.invite)));
        room.host = host;
        room.start_joining();
        room.timers.arm(Timer::Housekeeping, now.after(HOUSEKEEPING));
        room
    }

    fn new(now: Instant, wall: UnixSeconds, suite: S, config: Config, id: RoomId, link: Option<HostLink>) -> Self {
        let signer = suite.signer(&config.identity_seed);
        let me = NodeId(suite.public_key(&signer));
        Room {
            signer,
            me,
            now,
            wall,
            rng: Rng::new(&config.random_seed),
            outputs: VecDeque::new(),
            timers: Timers::default(),
            phase: Phase::Joining,
            policy: Policy::Open,
            room: id,
            host: me,
            addresses: Vec::new(),
            links: Links::default(),
            host_link: link.unwrap_or_else(HostLink::none),
            certificate: None,
            keys: Arc::default(),
            state: HeldState::default(),
            members: 0,
            rank: Rank { depth: u8::MAX, admission: u32::MAX },
            rank_wanted: None,
            placed: 0,
            feeds: Feeds::default(),
            booster: false,
            failed: Vec::new(),
            sought: None,
            sought_standby: None,
            cut_since: None,
            children: Children::default(),
            measuring: None,
            coordinate: Coordinate::default(),
            review_at: None,
            adopting: None,
            reports_waiting: Vec::new(),
            losses: None,
            voices: Voices::default(),
            choice: None,
            ledger: None,
            own_voice: None,
            stage_links: StageLinks::default(),
            stage_contacts: Sorted::default(),
            acting: None,
            recording: None,
            region: None,
            status_due: false,
            hushed: false,
            asked_bytes: 0,
            feeds_told: (None, None, 0),
            suite,
            identity_seed: config.identity_seed,
            name: config.name,
            children_max: config.children_max,
            children_set: config.children_max,
            strain: None,
        }
    }

    /// The room's id.
    pub fn id(&self) -> RoomId {
        self.room
    }

    /// This node.
    pub fn node(&self) -> NodeId {
        self.me
    }

    /// Takes in one input. Drain [`Room::poll_output`] and ask [`Room::poll_timeout`] again after it.
    ///
    /// # Errors
    /// [`RoomError`] where the input could not be used; the room goes on as before. What a peer sent is then dropped,
    /// and an [`Event::Offence`] says so; there is nothing for the driver to do but to log it.
    pub fn handle_input(&mut self, now: Instant, input: Input<'_>) -> Result<(), RoomError> {
        self.now = self.now.max(now);
        if self.phase == Phase::Closed {
            return match input {
                Input::Captured { .. } | Input::Command(_) => Err(RoomError::Closed),
                _ => Ok(()),
            };
        }
        let outcome = self.take_in(input);
        self.settle();
        outcome
    }

    fn take_in(&mut self, input: Input<'_>) -> Result<(), RoomError> {
        match input {
            Input::WallClock(wall) => self.wall = wall,
            Input::Listening(addresses) => self.listening(addresses),
            Input::LinkUp { peer } => self.link_up(peer),
            Input::LinkDown { peer } => self.link_down(peer),
            Input::DialFailed { peer, attempts } => self.dial_failed(peer, attempts),
            Input::Control { from, bytes } => return self.control(from, bytes),
            Input::Media { from, packet } => return self.media(from, packet),
            Input::Captured { number, captured, level, opus } => return self.captured(number, captured, level, opus),
            Input::LaneDrops { peer, packets } => self.lane_drops(peer, packets),
            Input::Measured(trips) => self.trips(trips),
            Input::FeedSilent { peer } => self.feed_silent(peer),
            Input::FeedHeard { peer } => self.heard(peer, Brought::Something),
            Input::FeedMeasured { peer, round_trip } => self.feed_measured(peer, round_trip),
            Input::Redeemed { redemption, kept } => self.redeemed(&redemption, kept),
            Input::Command(command) => return self.command(command),
        }
        Ok(())
    }

    fn listening(&mut self, addresses: Vec<Address>) {
        self.addresses = addresses;
        let (now, profile) = (self.now, self.profile());
        if let Some(region) = &mut self.region {
            region.directory.change(&self.me, now, |registry| registry.profile = profile);
        }
    }

    /// Does what timers ask for that are due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = self.now.max(now);
        while let Some(timer) = self.timers.take_due(self.now) {
            match timer {
                Timer::Admission => self.admission_due(),
                Timer::Entry => self.entry_due(),
                Timer::Measure => self.measure_due(),
                Timer::Feeds => self.watch_feeds(),
                Timer::Ticks => self.tick_silent_children(),
                Timer::Housekeeping => self.housekeeping(),
                Timer::Publish if self.acting.is_none() => self.keep_keys(),
                Timer::Publish => self.publish_state(),
                Timer::Linger => self.close(Closing::Left),
            }
        }
        self.settle();
    }

    /// The next thing to do, until there is none.
    pub fn poll_output(&mut self) -> Option<Output> {
        let output = self.outputs.pop_front();
        // While packets come, the space for what they bring about is used again at once.
        if output.is_none() && self.feeds.are_quiet() {
            self.outputs = VecDeque::new();
        }
        output
    }

    /// When the room wants to wake next, and why.
    pub fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        self.timers.next()
    }

    fn control(&mut self, from: NodeId, bytes: &[u8]) -> Result<(), RoomError> {
        match self.may_send_control(&from) {
            None => return Ok(()),
            Some(true) => {}
            Some(false) => {
                self.offended(from, Offence::Flood);
                return Ok(());
            }
        }
        self.is_there(from);
        self.asked_bytes = bytes.len();
        match Control::from_bytes(bytes) {
            Ok(message) => self.dispatch(from, message),
            Err(error) => {
                self.offended(from, Offence::Malformed);
                return Err(error.into());
            }
        }
        Ok(())
    }

    fn dispatch(&mut self, from: NodeId, message: Control) {
        match message {
            Control::Ping { nonce } => self.send(from, &Control::Pong { nonce }),
            Control::Pong { nonce } => self.pong(from, nonce),
            Control::Bye(farewell) => self.bye(from, farewell),
            Control::Join(join) => self.join_request(from, *join),
            Control::Resume { certificate, lease, profile, direct } => {
                self.resume_request(from, Shown { certificate, lease }, profile, direct);
            }
            Control::Admitted(admitted) => self.admitted(from, *admitted),
            Control::Refused(refusal) => self.refused(from, refusal),
            Control::Seek { failed, review } => self.seek_request(from, &failed, review),
            Control::Measured { round, round_trip_ms } => self.measured(from, round, &round_trip_ms),
            Control::Status(status) => self.status_report(from, &status),
            Control::Reports(reports) => self.reports(from, &reports),
            Control::Hand { claim } => {
                self.hand_request(from, claim.map(|(key, signature, proof)| (MediaClaim { key, signature }, proof)));
            }
            Control::Subscribe(request) => self.subscribe_request(from, *request),
            Control::Subscribed { purpose: Purpose::Stage, .. } => self.stage_granted(from),
            Control::Subscribed { purpose, tick } => self.subscribed(from, purpose, tick),
            Control::Declined { purpose, reason } => self.declined(from, purpose, reason),
            Control::Unsubscribe => self.unsubscribe(from),
            Control::Moved(contact) => self.moved(from, contact),
            Control::Tick(tick) => self.tick(from, tick),
            Control::State(statement) => self.state_head(from, statement),
            Control::StatePart { digest, index, of, part } => self.state_part(from, digest, index, of, &part),
            Control::StateWanted => self.state_wanted(from),
            Control::Beacon(statement) => self.beacon(from, statement),
            Control::Offer { .. } | Control::Placement(_) | Control::StageContact(_) => self.host_says(from, message),
            Control::Redirect { leaders, direct } => self.redirected(from, leaders, direct),
            Control::Leader { leader, before, lease } => self.leader_said(from, leader, before, lease),
            Control::LeaderGone(leader) => self.leader_gone(from, leader),
            Control::LeaseWanted { node, fresh } => self.lease_wanted(from, node, fresh),
            Control::Lease { lease, charter, host } => self.leased(from, lease, charter, host),
            Control::Records(records) => self.records(from, records),
            Control::HubStatus { members, spare, hands } => self.hub_status(from, Sums { members, spare, hands }),
            Control::Hubs(rows) => self.hub_rows(from, &rows),
            Control::HandsWanted { count } => self.hands_wanted(from, count),
            Control::Page { path } => self.paged(from, &path),
            Control::Key { epoch, key } => self.key_came(from, epoch, key),
            Control::Losses(losses) => self.losses_came(from, &losses),
        }
    }

    /// What only the host may send, to its members, and but for the stage the leader of the region too.
    fn host_says(&mut self, from: NodeId, message: Control) {
        let leads = from == self.registry() && !matches!(message, Control::StageContact(_));
        if !leads && from != self.host || self.is_host() {
            return self.not_my_leader(from);
        }
        match message {
            // What the host said while a hub took over is of before.
            Control::Offer { round, candidates } if leads && self.is_in() => self.offer(round, candidates),
            Control::Placement(placement) if leads && self.is_in() => self.placement(*placement),
            Control::StageContact(contact) => self.stage_contact(contact),
            _ => {}
        }
    }

    /// Only those who belong to the room see its state.
    fn state_wanted(&mut self, from: NodeId) {
        let known = self.region.as_ref().is_some_and(|region| region.directory.contains(&from));
        if known || self.children.contains(&from) || self.stage_links.listens(&from) {
            self.send_state(from);
        }
    }

    fn bye(&mut self, from: NodeId, farewell: Farewell) {
        match farewell {
            Farewell::RoomClosed if from == self.host && !self.is_host() => self.close(Closing::ByHost),
            Farewell::Leaving => {
                self.feed_leaving(from);
                self.child_left(from, true);
                self.stage_link_down(from);
                self.member_left(from);
                self.hub_left(from);
                self.leader_left(from);
            }
            Farewell::Unused => self.host_link_unused(from),
            // Whom the room has put out sees it in the signed state.
            Farewell::RoomClosed | Farewell::Misbehaved | Farewell::Removed => {}
        }
    }

    fn command(&mut self, command: Command) -> Result<(), RoomError> {
        match command {
            Command::RaiseHand { .. } if self.booster => return Err(RoomError::Booster),
            Command::RaiseHand { media_seed } => self.raise_hand(&media_seed),
            Command::LowerHand => self.lower_hand(),
            Command::Promote(peer) => self.set_on_stage(peer, true)?,
            Command::Demote(peer) => self.set_on_stage(peer, false)?,
            Command::SetRecording(on) => self.set_recording(on)?,
            Command::Record => self.record(),
            Command::Kick(who) => self.kick(who)?,
            Command::Ban(who) => self.ban(who)?,
            Command::Unban(who) => self.unban(&who)?,
            Command::RevokeInvite(link) => self.revoke_invite(link)?,
            Command::ReportLosses { voice, losses } => self.lost_here(voice, losses),
            Command::Leave => self.leave(),
        }
        Ok(())
    }

    fn leave(&mut self) {
        let farewell = if self.is_host() { Farewell::RoomClosed } else { Farewell::Leaving };
        for peer in self.links.up.nodes().collect::<Vec<_>>() {
            self.send(peer, &Control::Bye(farewell));
        }
        if self.phase != Phase::In {
            return self.close(Closing::Left);
        }
        self.phase = Phase::Leaving;
        self.own_voice = None;
        if self.is_host() || self.children.is_empty() {
            self.close(Closing::Left);
        } else {
            self.timers.arm(Timer::Linger, self.now.after(LINGER));
        }
    }

    pub(crate) fn close(&mut self, closing: Closing) {
        if self.phase == Phase::Closed {
            return;
        }
        self.phase = Phase::Closed;
        self.timers.clear();
        for peer in self.links.up.nodes().collect::<Vec<_>>() {
            self.outputs.push_back(Output::Hangup { peer });
        }
        self.event(Event::Closed(closing));
    }

    fn housekeeping(&mut self) {
        self.timers.arm(Timer::Housekeeping, self.now.after(HOUSEKEEPING));
        self.voices.forget_old(self.now);
        self.keep_keys();
        self.keep_accounts();
        self.forget_failed();
        self.close_unused_links();
        self.end_spent_feeds();
        self.keep_capacity();
        self.leader_housekeeping();
        self.host_housekeeping();
        self.member_housekeeping();
        self.ping_feeds();
        self.send_reports();
        self.send_losses();
    }

    /// After each input: what others are to be told because something changed.
    fn settle(&mut self) {
        if self.phase == Phase::Closed {
            return;
        }
        self.apply_rank();
        self.tell_feeds();
        if self.children.take_changed() {
            let primary = self.children.with_purpose(|of| matches!(of, Purpose::Primary | Purpose::Provisional));
            let standby = self.children.with_purpose(|of| matches!(of, Purpose::LiveStandby | Purpose::IdleStandby));
            self.event(Event::Children { primary, standby });
            self.arm_ticks();
            if self.phase == Phase::Leaving && self.children.is_empty() {
                return self.close(Closing::Left);
            }
        }
        if self.status_due {
            self.send_status();
        }
        if self.hushed {
            self.settle_hushed();
        }
    }

    fn tell_feeds(&mut self) {
        let parent = self.feeds.parent().map(|feed| feed.node());
        let standby = self.feeds.standby().map(|feed| feed.node());
        let depth = self.feeds.upstream().map_or(0, |feed| u8::try_from(feed.path.len()).unwrap_or(u8::MAX));
        let told = (parent.map(|node| node.tag()), standby.map(|node| node.tag()), depth);
        if core::mem::replace(&mut self.feeds_told, told) != told {
            self.status_due = true;
            self.event(Event::Feeds { parent, standby, depth });
        }
    }

    pub(crate) fn is_host(&self) -> bool {
        self.acting.is_some()
    }

    pub(crate) fn is_in(&self) -> bool {
        self.phase == Phase::In
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.phase == Phase::Leaving
    }
}
