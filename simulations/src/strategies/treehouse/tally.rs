//! What is counted beside the engine's own figures: suspicions, repairs, offences, messages by kind.

use treehouse_room::{Event, JoinFailure, Offence, Suspicion, View};
use treehouse_wire::{
    Control, NodeId, Suite,
    control::{Decline, Purpose, Refusal},
};

use super::Treehouse;
use crate::{engine::Net, plan::NodeIx, strategy::Place};

/// The count of refused feeds.
const DECLINED: &str = "sent_declined";

/// Why a feed was not given, as a count.
pub(super) fn decline(bytes: &[u8]) -> &'static str {
    let Ok(Control::Declined { reason, .. }) = Control::from_bytes(bytes) else { return "declined_other" };
    match reason {
        Decline::Full => "declined_full",
        Decline::Order => "declined_order",
        Decline::NoFeed => "declined_no_feed",
        Decline::Leaving => "declined_leaving",
        #[allow(unreachable_patterns, reason = "reasons may be added to the wire")]
        _ => "declined_other",
    }
}

/// Control messages sent, by their first byte, which is their kind.
pub(super) struct Kinds([(Option<&'static str>, u64); KINDS]);

/// More kinds than there are messages.
const KINDS: usize = 64;

impl Default for Kinds {
    fn default() -> Self {
        Kinds([(None, 0); KINDS])
    }
}

impl Kinds {
    /// Counts a message; whether it refuses a feed.
    pub(super) fn sent(&mut self, bytes: &[u8]) -> bool {
        let Some((name, count)) = bytes.first().and_then(|kind| self.0.get_mut(usize::from(*kind))) else {
            return false;
        };
        *count += 1;
        *name.get_or_insert_with(|| kind(bytes)) == DECLINED
    }

    /// What was counted, under its name.
    pub(super) fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.0.iter().filter_map(|(name, count)| Some(((*name)?, *count)))
    }
}

/// Whether a message asks for a feed.
pub(super) fn is_subscribe(bytes: &[u8]) -> bool {
    matches!(Control::from_bytes(bytes), Ok(Control::Subscribe(_)))
}

fn kind(message: &[u8]) -> &'static str {
    match Control::from_bytes(message) {
        Ok(Control::Ping { .. } | Control::Pong { .. }) => "sent_ping",
        Ok(Control::Tick(_)) => "sent_tick",
        Ok(Control::Status { .. } | Control::Reports(_)) => "sent_status",
        Ok(Control::Seek { .. }) => "sent_seek",
        Ok(Control::Offer { .. }) => "sent_offer",
        Ok(Control::Measured { .. }) => "sent_measured",
        Ok(Control::Placement(_) | Control::Moved(_)) => "sent_placement",
        Ok(Control::Subscribe(_)) => "sent_subscribe",
        Ok(Control::Subscribed { .. }) => "sent_subscribed",
        Ok(Control::Declined { .. }) => DECLINED,
        Ok(Control::Unsubscribe) => "sent_unsubscribe",
        Ok(Control::State(_) | Control::StatePart { .. } | Control::StateWanted | Control::Key { .. }) => "sent_state",
        Ok(Control::Join(_) | Control::Resume { .. }) => "sent_join",
        Ok(Control::Admitted(_) | Control::Refused(_)) => "sent_admission",
        Ok(Control::Bye(_)) => "sent_bye",
        Ok(Control::Hand { .. } | Control::StageContact(_) | Control::Losses(_)) => "sent_stage",
        Ok(Control::Beacon(_)) => "sent_beacon",
        Ok(Control::Redirect { .. }) => "sent_redirect",
        Ok(
            Control::Leader { .. }
            | Control::LeaderGone(_)
            | Control::LeaseWanted { .. }
            | Control::Lease { .. }
            | Control::Records(_),
        ) => "sent_handover",
        Ok(Control::HubStatus { .. } | Control::Hubs(_) | Control::HandsWanted { .. }) => "sent_hub_status",
        #[allow(unreachable_patterns, reason = "kinds may be added to the wire")]
        _ => "sent_other",
    }
}

fn suspicion(reason: Suspicion) -> &'static str {
    match reason {
        Suspicion::Silent => "suspicions_silent",
        Suspicion::Missing => "suspicions_missing",
        Suspicion::Late => "suspicions_late",
        Suspicion::Forged => "suspicions_forged",
        Suspicion::LinkDown => "suspicions_link_down",
        Suspicion::Leaving => "suspicions_leaving",
        Suspicion::Repairing => "suspicions_repairing",
        Suspicion::Withheld => "suspicions_withheld",
    }
}

fn offence(kind: Offence) -> &'static str {
    match kind {
        Offence::Malformed => "offences_malformed",
        Offence::Forged => "offences_forged",
        Offence::OutOfRole => "offences_out_of_role",
        Offence::Unsolicited => "offences_unsolicited",
        Offence::Flood => "offences_flood",
        Offence::Replayed => "offences_replayed",
    }
}

fn failure(of: &JoinFailure) -> &'static str {
    match of {
        JoinFailure::Refused(Refusal::RoomFull) => "joins_failed_full",
        JoinFailure::Refused(_) => "joins_failed_refused",
        JoinFailure::Unanswered { .. } => "joins_failed_unanswered",
        JoinFailure::TimedOut => "joins_failed_timed_out",
        JoinFailure::TooManyRedirects => "joins_failed_redirected",
        JoinFailure::BadAnswer => "joins_failed_bad_answer",
        JoinFailure::Clock => "joins_failed_clock",
    }
}

impl<S: Suite> Treehouse<S> {
    pub(super) fn tally(&self, net: &mut Net<Self>, node: NodeIx, event: &Event) {
        match event {
            Event::Suspected { peer, reason } => {
                net.count(suspicion(*reason), 1);
                if self.is_false(net, node, peer, *reason) {
                    net.count("false_suspicions", 1);
                }
            }
            Event::Repaired { after } => net.repaired(node, u64::try_from(after.as_micros()).unwrap_or(u64::MAX)),
            Event::Offence { peer, kind } => {
                net.count(offence(*kind), 1);
                let honest = |peer: &NodeIx| net.plan().nodes[peer.index()].hostile.is_none();
                if self.index.get(peer).is_some_and(honest) {
                    net.count("offences_of_honest", 1);
                }
            }
            Event::JoinFailed(of) => net.count(failure(of), 1),
            Event::Feeds { .. } => net.count("feed_changes", 1),
            Event::Floor(_) if node == NodeIx::HOST => net.count("floor_changes", 1),
            Event::Leads { .. } => net.count("hubs", 1),
            Event::HostLost => net.count("hosts_lost", 1),
            _ => {}
        }
    }

    /// Whether a feed is suspected that lives, is linked and does nothing wrong. What the feed says of itself is true.
    fn is_false(&self, net: &Net<Self>, node: NodeIx, peer: &NodeId, reason: Suspicion) -> bool {
        let Some(peer) = self.index.get(peer).copied() else { return false };
        let said = matches!(reason, Suspicion::Leaving | Suspicion::Repairing | Suspicion::LinkDown);
        !said && net.plan().nodes[peer.index()].hostile.is_none() && net.is_up(peer, node) && net.is_alive(peer)
    }
}

/// A room's place, for the engine's figures.
pub(super) fn place(view: &View, depth: Option<u8>, index: impl Fn(&NodeId) -> Option<NodeIx>) -> Place {
    let feed = |wanted: fn(Purpose) -> bool, sound: bool| {
        let found = view.feeds.iter().find(|feed| wanted(feed.purpose) && !(sound && feed.suspect));
        found.and_then(|feed| index(&feed.node))
    };
    Place {
        parent: feed(|purpose| purpose == Purpose::Primary, false),
        standby: feed(|purpose| matches!(purpose, Purpose::LiveStandby | Purpose::IdleStandby), true),
        depth: depth.map(f64::from),
    }
}
