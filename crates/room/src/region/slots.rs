//! Which slots of a member are free: for children, for standbys, by what its registry has given away and by what it reports.

use super::directory::{Directory, Member, Slot};
use crate::config::Protection;

impl Directory {
    /// Feeds that a member gives in this view: children, live standbys, idle standbys.
    pub(super) fn load(&self, member: &Member) -> (u32, u32, u32) {
        let live = |child: &&Slot| match self.protection {
            Protection::All => true,
            Protection::Relays => self.at(**child).is_some_and(Member::is_relay),
            Protection::Off => false,
        };
        let live = member.standing_by.iter().filter(live).count() as u32;
        (member.children().len() as u32, live, member.standing_by.len() as u32 - live)
    }

    /// Feeds to children that a member gives out of its slots: room is kept for standbys.
    ///
    /// Under `all` every member takes two feeds, so half the slots are for standbys; an odd slot goes to a child, since
    /// leaves have slots for standbys too. Otherwise one slot stays free for a neighbour that repairs; of a root a quarter,
    /// since the relays right below one root have nobody but the other to stand by for them.
    fn children_max(&self, member: &Member) -> u32 {
        let slots = u32::from(member.profile.children_max);
        match self.protection {
            Protection::All => slots.div_ceil(2),
            Protection::Relays if member.rank.depth == 0 => slots.saturating_sub(slots.div_ceil(4)).max(slots.min(1)),
            Protection::Relays | Protection::Off => slots.saturating_sub(1).max(slots.min(1)),
        }
    }

    /// Free slots of a member for children.
    pub(crate) fn open_slots_of(&self, member: &Member) -> u32 {
        let slots = u32::from(member.profile.children_max);
        let (children, live, _) = self.load(member);
        let taken = (children + live).max(u32::from(member.reported));
        slots.saturating_sub(taken).min(self.children_max(member).saturating_sub(children))
    }

    /// Whether one child more is no more than it is believed to carry.
    pub(super) fn is_believed_open(&self, member: &Member) -> bool {
        (member.children().len() as u32) < member.standing.believed(member.profile.children_max.into())
    }

    /// Whether a member has any slot, those kept for standbys included.
    pub(crate) fn has_slot(&self, member: &Member) -> bool {
        let (children, live, _) = self.load(member);
        (children + live).max(u32::from(member.reported)) < u32::from(member.profile.children_max)
    }

    pub(super) fn has_standby_slot(&self, member: &Member) -> bool {
        let slots = u32::from(member.profile.children_max);
        let (children, live, idle) = self.load(member);
        let taken = (children + live).max(u32::from(member.reported));
        match self.protection {
            Protection::All => taken < slots,
            // An idle standby takes a slot only when it has to carry.
            Protection::Relays | Protection::Off => taken + idle.div_ceil(4) < slots,
        }
    }

    /// Whether a member can feed others now.
    pub(super) fn may_feed(&self, slot: Slot, member: &Member) -> bool {
        let placed = slot == Slot::SELF || member.parent().is_some();
        placed && member.is_there() && !member.doubted && member.is_capable() && !member.leads
    }

    /// Whether there are members only from here up: they pass the room key on.
    pub(super) fn is_keyed(&self, slot: Slot) -> bool {
        !self.above(slot).any(|of| self.is_booster(of))
    }

    pub(super) fn is_booster(&self, slot: Slot) -> bool {
        self.at(slot).is_some_and(Member::is_booster)
    }
}
