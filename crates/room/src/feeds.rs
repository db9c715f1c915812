//! The feeds that a member lives on, as data: who, for what, how well.

use core::time::Duration;

use treehouse_wire::{
    Contact, Header, List, NodeId, NodeTag,
    control::{Position, Purpose, Rank, Tick},
    limits::PATH_MAX,
};

use crate::{api::Suspicion, time::Instant};

/// Feeds that a member has at once: parent, standby, provisional, and one that is being tried.
pub(crate) const FEEDS_MAX: usize = 4;
/// Silence after which a live feed is suspect, at least.
const PATIENCE_MIN: Duration = Duration::from_millis(150);
/// The same at most, however much it jitters.
const PATIENCE_MAX: Duration = Duration::from_millis(600);
/// A feed brings something this often: a packet of three frames, or else a tick.
const EXPECTED: Duration = Duration::from_millis(60);
/// A live feed is never silent for longer than this on purpose: then it carries a tick. It is a little longer than three
/// frames, so that ticks do not race with packets.
pub(crate) const TICK_SILENCE: Duration = Duration::from_millis(70);
/// How often an idle standby ticks.
pub(crate) const TICK_IDLE: Duration = Duration::from_secs(1);
/// A feed that brings its copies later than the other by this much, again and again, is late.
const LATE: Duration = Duration::from_millis(500);

/// And by this much all the time for so long.
const LATE_FOR: Duration = Duration::from_millis(500);

/// A copy that comes later than this counts as that late.
const LAG_MAX: Duration = Duration::from_secs(10);

/// A feed that falls silent so often, each time this soon after a tick had ended the last, while another is heard, does not carry the
/// sound.
const SILENCES: u8 = 3;
const SILENCES_APART: Duration = Duration::from_secs(4);

/// What a feed is to become.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Aim {
    Primary,
    Standby,
    Provisional,
}

/// What came by a feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Brought {
    Packet,
    Tick,
    /// A driver has computed that something came.
    Something,
}

/// How far a feed has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Its link is being made.
    Linking,
    /// It was asked for.
    Asked,
    /// It was granted.
    Live,
}

/// One feed.
#[derive(Debug)]
pub(crate) struct Feed {
    node: NodeId,
    pub(crate) aim: Aim,
    pub(crate) phase: Phase,
    /// Since when it is in that phase.
    pub(crate) since: Instant,
    /// What it was last asked for, or what it gave instead.
    pub(crate) purpose: Purpose,
    /// It was asked for live packets and stands by idle, for want of a slot.
    pub(crate) gives_less: bool,
    pub(crate) rank: Rank,
    pub(crate) path: List<NodeTag, PATH_MAX>,
    pub(crate) repairing: Option<Instant>,
    /// It has asked this member to find another feed, since it has too many children.
    pub(crate) crowded: bool,
    pub(crate) suspect: Option<(Instant, Suspicion)>,
    /// When it became what it is without a suspicion.
    pub(crate) calm: Instant,
    /// Silences one soon after the other that a tick ended.
    silences: u8,
    /// When something came by it last, or is expected.
    heard: Instant,
    /// Whether something has come since it was asked: how long that takes says nothing of the link.
    was_heard: bool,
    /// Mean silence beyond [`TICK_SILENCE`], in microseconds.
    jitter_us: u32,
    /// Mean delay of its copies behind the first, in microseconds.
    lag_us: u32,
    /// Since when each of its copies has come later than the other's by [`LATE`].
    late_since: Option<Instant>,
    /// Distinct packets that it carried in this measuring window.
    carried: u32,
    /// When it was last pinged, and with what.
    pub(crate) pinged: Option<Instant>,
    pub(crate) ping_nonce: u32,
    /// Round trip to it in microseconds; 0 before the first.
    pub(crate) trip_us: u32,
    /// One-way delay from the root to it, as it says.
    pub(crate) delay_ms: u16,
    pub(crate) position: Position,
    /// The newest beacon that it has brought: term and number.
    pub(crate) beacon: (u16, u32),
}

impl Feed {
    fn new(node: NodeId, aim: Aim, now: Instant) -> Self {
        Feed {
            node,
            aim,
            phase: Phase::Linking,
            since: now,
            purpose: Purpose::Provisional,
            gives_less: false,
            rank: Rank { depth: u8::MAX, admission: u32::MAX },
            path: List::default(),
            repairing: None,
            crowded: false,
            suspect: None,
            calm: now,
            silences: 0,
            heard: now,
            was_heard: false,
            jitter_us: 0,
            lag_us: 0,
            late_since: None,
            carried: 0,
            pinged: None,
            ping_nonce: 0,
            trip_us: 0,
            delay_ms: 0,
            position: Position::default(),
            beacon: (0, 0),
        }
    }

    pub(crate) fn node(&self) -> NodeId {
        self.node
    }

    pub(crate) fn is_live(&self) -> bool {
        self.phase == Phase::Live
    }

    /// Live, and nothing speaks against it.
    pub(crate) fn is_sound(&self) -> bool {
        self.is_live() && self.suspect.is_none()
    }

    /// Sound, and it carries packets.
    pub(crate) fn carries(&self) -> bool {
        self.is_sound() && self.purpose != Purpose::IdleStandby && self.repairing.is_none()
    }

    /// How long it may be silent: 2.5 times what is expected of it, four times where links are restless, and four times its jitter.
    fn patience(&self, is_restless: bool) -> Duration {
        if self.purpose == Purpose::IdleStandby {
            return TICK_IDLE.mul_f32(2.5);
        }
        let expected = EXPECTED.mul_f32(if is_restless { 4.0 } else { 2.5 });
        (expected + 4 * Duration::from_micros(self.jitter_us.into())).clamp(PATIENCE_MIN, PATIENCE_MAX)
    }

    /// When it becomes suspect unless it is heard before.
    pub(crate) fn silent_at(&self, is_restless: bool) -> Instant {
        self.heard.after(self.patience(is_restless))
    }

    /// Something came by it; how long it was silent, where it was to carry.
    fn hear(&mut self, now: Instant) -> Option<Duration> {
        let silence = now.since(self.heard);
        let excess = silence.saturating_sub(TICK_SILENCE).min(PATIENCE_MAX);
        let excess_us = u32::try_from(excess.as_micros()).unwrap_or(u32::MAX);
        if self.purpose != Purpose::IdleStandby {
            // The gain of 1/16 is that of RFC 3550's jitter estimate.
            self.jitter_us = (self.jitter_us * 15 + excess_us) / 16;
        }
        let goes_on = std::mem::replace(&mut self.was_heard, true);
        self.heard = now;
        (goes_on && self.purpose != Purpose::IdleStandby).then_some(silence)
    }

    /// A suspected silence has ended.
    pub(crate) fn goes_on(&mut self, brought: Brought, now: Instant) {
        let lasted = self.suspect.take().map_or(Duration::ZERO, |(since, _)| now.since(since));
        let is_again = now.since(self.calm) <= SILENCES_APART + lasted;
        // One that repairs its own feed has nothing to bring.
        self.silences = match brought {
            Brought::Tick if self.repairing.is_some() => 0,
            Brought::Tick if is_again => self.silences.saturating_add(1),
            Brought::Tick => 1,
            Brought::Packet | Brought::Something => 0,
        };
        self.calm = now;
    }

    /// Expects nothing of it before a time.
    pub(crate) fn expect_at(&mut self, at: Instant) {
        (self.heard, self.was_heard) = (at, false);
    }

    /// It was asked just now: something is expected of it a round trip from now.
    pub(crate) fn asked(&mut self, purpose: Purpose, now: Instant) {
        if self.phase == Phase::Linking {
            (self.phase, self.since) = (Phase::Asked, now);
        }
        (self.purpose, self.gives_less) = (purpose, false);
        (self.heard, self.was_heard) = (now.after(Duration::from_micros(self.trip_us.into())), false);
        self.calm = now;
    }

    /// Starts to expect something of it from now on.
    pub(crate) fn expect_from(&mut self, now: Instant) {
        (self.heard, self.was_heard) = (now, false);
        self.calm = now;
    }

    pub(crate) fn learn(&mut self, tick: Tick, now: Instant) {
        self.rank = tick.rank;
        self.path = tick.path;
        self.delay_ms = tick.delay_ms;
        self.position = tick.position;
        self.repairing = if tick.repairing { Some(self.repairing.unwrap_or(now)) } else { None };
    }

    fn is_late(&self) -> bool {
        Duration::from_micros(self.lag_us.into()) > LATE
    }
}

/// When the last packets came first, to see how far behind a second copy is; allocated while two feeds carry.
#[derive(Debug, Default)]
struct Firsts(Vec<(u64, Instant)>);

/// Slots of [`Firsts`]: more packets than three voices have in two seconds.
const FIRSTS: usize = 512;

impl Firsts {
    fn key(header: &Header) -> u64 {
        u64::from_le_bytes(header.voice.0) ^ (u64::from(header.first.0) << 2) ^ u64::from(header.k.count())
    }

    /// Multiplicative hashing (Knuth, vol. 3, 6.4), or the frames of one voice would push out those of another in step.
    fn slot(key: u64) -> usize {
        (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - FIRSTS.ilog2())) as usize
    }

    fn note(&mut self, header: &Header, now: Instant) {
        if self.0.is_empty() {
            self.0 = vec![(0, Instant::ZERO); FIRSTS];
        }
        let key = Self::key(header);
        if let Some(slot) = self.0.get_mut(Self::slot(key)) {
            *slot = (key, now);
        }
    }

    fn at(&self, header: &Header) -> Option<Instant> {
        let key = Self::key(header);
        self.0.get(Self::slot(key)).filter(|(of, _)| *of == key).map(|(_, at)| *at)
    }
}

/// All feeds of a member.
#[derive(Debug, Default)]
pub(crate) struct Feeds {
    pub(crate) all: Vec<Feed>,
    /// Members to try before the host is asked.
    pub(crate) spares: Vec<Contact>,
    firsts: Firsts,
    /// Distinct packets in this measuring window, by whatever feed, and since when.
    distinct: u32,
    window_since: Instant,
    /// Until when links are taken for restless; a single gap is kept here as well, as a time that has passed.
    restless_until: Instant,
}

/// Length of a measuring window.
const MEASURED: Duration = Duration::from_secs(3);
/// After this a feed is left already where much is missing.
const MEASURED_FIRST: Duration = Duration::from_secs(1);
/// Distinct packets without which a window says nothing.
const MEASURED_MIN: u32 = 60;

/// Links are restless for so long after a silence that a packet ended. Where a hop loses 2 % of packets, two in a row are lost by each
/// feed every 150 s.
const RESTLESS: Duration = Duration::from_secs(300);
/// A packet that comes so long after the last one has overtaken one that was lost: they are 60 ms apart at most.
const GAP: Duration = Duration::from_millis(100);
/// Two gaps within this time make links restless before two packets in a row are lost. Where a hop loses 2 %, one is lost every 3 s.
const GAPS_APART: Duration = Duration::from_secs(10);

impl Feeds {
    /// A packet or a tick came from a peer; the feed that it is, if it is one. Where a tick ends a silence packets may have been kept back.
    pub(crate) fn hear(&mut self, from: &NodeId, brought: Brought, now: Instant) -> Option<&mut Feed> {
        let feed = self.all.iter_mut().find(|feed| feed.node() == *from)?;
        if let (Some(silence), Brought::Packet) = (feed.hear(now), brought) {
            let was_until = self.restless_until;
            let is_second_gap = was_until > Instant::ZERO && now.since(was_until) <= GAPS_APART;
            if silence > PATIENCE_MIN || (silence > GAP && now >= was_until && is_second_gap) {
                self.restless_until = now.after(RESTLESS);
            } else if silence > GAP && now >= was_until {
                self.restless_until = now;
            }
        }
        Some(feed)
    }

    /// Whether a feed was silent of late and went on as if nothing had been: packets are lost or late on the way here, and to hear of
    /// nothing for a moment says little.
    pub(crate) fn are_restless(&self, now: Instant) -> bool {
        now < self.restless_until
    }

    /// Whether a feed that falls silent now has done so again and again while another one carries, and only ticks ended it. Who keeps back
    /// all packets, but not the ticks of the pauses between them, does.
    pub(crate) fn is_silent_again(&self, node: &NodeId, now: Instant) -> bool {
        let is_restless = self.are_restless(now);
        let heard = |feed: &Feed| feed.node() != *node && feed.carries() && now < feed.silent_at(is_restless);
        let again = |feed: &Feed| now.since(feed.calm) <= SILENCES_APART && feed.silences + 1 >= SILENCES;
        self.get(node).is_some_and(again) && self.all.iter().any(heard)
    }

    pub(crate) fn get(&self, node: &NodeId) -> Option<&Feed> {
        self.all.iter().find(|feed| feed.node() == *node)
    }

    /// One more, that is to be asked.
    pub(crate) fn add(&mut self, node: NodeId, aim: Aim, now: Instant) -> &mut Feed {
        let at = self.all.len();
        self.all.reserve_exact(1);
        self.all.push(Feed::new(node, aim, now));
        &mut self.all[at]
    }

    pub(crate) fn get_mut(&mut self, node: &NodeId) -> Option<&mut Feed> {
        self.all.iter_mut().find(|feed| feed.node() == *node)
    }

    /// The feed with this aim that is furthest: a live one before one that is asked for.
    pub(crate) fn with_aim(&self, aim: Aim) -> Option<&Feed> {
        let having = || self.all.iter().filter(|feed| feed.aim == aim);
        having().find(|feed| feed.is_live()).or_else(|| having().next())
    }

    /// The parent: the live feed that this member lives on.
    pub(crate) fn parent(&self) -> Option<&Feed> {
        self.with_aim(Aim::Primary).filter(|feed| feed.is_live())
    }

    /// The standby, once granted.
    pub(crate) fn standby(&self) -> Option<&Feed> {
        self.with_aim(Aim::Standby).filter(|feed| feed.is_live())
    }

    /// The feed that says where this member is in the tree.
    pub(crate) fn upstream(&self) -> Option<&Feed> {
        let sound = |feed: &&Feed| feed.carries();
        self.parent()
            .filter(sound)
            .or_else(|| self.all.iter().filter(sound).min_by_key(|feed| feed.aim))
            .or_else(|| self.parent())
            .or_else(|| self.all.iter().find(|feed| feed.is_live()))
    }

    /// Whether some feed carries sound now.
    pub(crate) fn any_carries(&self) -> bool {
        self.all.iter().any(Feed::carries)
    }

    /// Whether some feed carries sound that is not for a moment only.
    pub(crate) fn are_settled(&self) -> bool {
        self.all.iter().any(|feed| feed.carries() && feed.aim != Aim::Provisional)
    }

    /// Whether no packet has come in this measuring window.
    pub(crate) fn are_quiet(&self) -> bool {
        self.distinct == 0
    }

    /// The greatest rank among granted feeds.
    pub(crate) fn rank_max(&self) -> Option<Rank> {
        self.all.iter().filter(|feed| feed.is_live()).map(|feed| feed.rank).max()
    }

    pub(crate) fn carried_first(&mut self, from: &NodeId, header: &Header, now: Instant) {
        self.distinct = self.distinct.saturating_add(1);
        if self.all.iter().filter(|feed| feed.purpose != Purpose::IdleStandby).nth(1).is_some() {
            self.firsts.note(header, now);
        }
        if let Some(feed) = self.get_mut(from) {
            feed.carried = feed.carried.saturating_add(1);
            feed.lag_us = feed.lag_us * 31 / 32;
            feed.late_since = None;
        }
    }

    /// A copy of a packet has come; whether all that this feed has brought for a while is late. What a link that stood still brings in
    /// one burst is not.
    pub(crate) fn carried_again(&mut self, from: &NodeId, header: &Header, now: Instant) -> bool {
        let first = self.firsts.at(header);
        let (Some(first), Some(feed)) = (first, self.get_mut(from)) else { return false };
        let lag = now.since(first).min(LAG_MAX);
        let lag_us = u32::try_from(lag.as_micros()).unwrap_or(u32::MAX);
        feed.lag_us = (feed.lag_us * 31 + lag_us) / 32;
        feed.carried = feed.carried.saturating_add(1);
        if lag < LATE {
            feed.late_since = None;
        }
        lag >= LATE && now.since(*feed.late_since.get_or_insert(now)) >= LATE_FOR
    }

    /// At the end of a window, the feeds that lack more than 5 % of what another brought, and those that are late; before it, those that
    /// lack more than 20 %.
    pub(crate) fn compare(&mut self, now: Instant) -> Vec<(NodeId, Suspicion)> {
        let (distinct, since) = (self.distinct, self.window_since);
        let age = now.since(since);
        if age < MEASURED_FIRST || distinct < MEASURED_MIN / 2 && age < MEASURED {
            return Vec::new();
        }
        let whole = |feed: &Feed| feed.carries() && feed.calm <= since;
        let complete = |feed: &Feed| whole(feed) && feed.carried.saturating_mul(100) >= distinct.saturating_mul(99);
        if age < MEASURED {
            let lacks = |feed: &&Feed| whole(feed) && feed.carried.saturating_mul(100) < distinct.saturating_mul(80);
            let lacking = self.all.iter().filter(|_| self.all.iter().any(complete)).filter(lacks);
            return lacking.map(|feed| (feed.node(), Suspicion::Missing)).collect();
        }
        let mut found = Vec::new();
        if distinct >= MEASURED_MIN && self.all.iter().any(complete) {
            for feed in self.all.iter().filter(|feed| whole(feed)) {
                if feed.carried.saturating_mul(100) < distinct.saturating_mul(95) {
                    found.push((feed.node(), Suspicion::Missing));
                } else if feed.is_late() && self.all.iter().any(|other| complete(other) && !other.is_late()) {
                    found.push((feed.node(), Suspicion::Late));
                }
            }
        }
        if distinct == 0 {
            self.firsts = Firsts::default();
        }
        self.distinct = 0;
        self.window_since = now;
        self.all.iter_mut().for_each(|feed| feed.carried = 0);
        found
    }
}
