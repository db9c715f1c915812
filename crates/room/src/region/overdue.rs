//! What members were to do and have not: take a slot that is reserved for them, answer an offer, be heard of; and whose place is to
//! be looked at again.
//!
//! Each member stands in one queue under the time at which something is overdue next. A registry looks at those whose time has
//! come, and never walks over all of its members.

use super::directory::{Directory, Member, Presence, Slot};
use crate::time::Instant;

impl Member {
    /// When something that it was to do is overdue.
    fn overdue_at(&self) -> Option<Instant> {
        let presence = match self.presence {
            Presence::Linked => None,
            Presence::InTree(at) => Some(at.after(super::SILENT)),
            Presence::Lost(at) => Some(at.after(super::LOST)),
        };
        let placed = self.placed_at.map(|at| at.after(super::RESERVED));
        let offered = self.offered_at.map(|at| at.after(super::ANSWER));
        [presence, placed, offered, self.review_at].into_iter().flatten().min()
    }
}

impl Directory {
    /// Sees to it that a member is looked at when something is overdue. What is put off does not move the look.
    pub(super) fn look_later(&mut self, slot: Slot) {
        let Some(member) = self.at_mut(slot) else { return };
        let (old, due) = (member.look_at, member.overdue_at());
        let Some(due) = due.filter(|due| slot != Slot::SELF && old.is_none_or(|old| *due < old)) else { return };
        member.look_at = Some(due);
        if let Some(old) = old {
            self.looks.remove(&(old, slot));
        }
        self.looks.insert((due, slot));
    }

    /// Those for whom something may be overdue, in the order of their places.
    pub(crate) fn overdue(&mut self, now: Instant) -> Vec<Slot> {
        let mut found = Vec::new();
        while let Some((_, slot)) = self.looks.first().copied().filter(|(at, _)| *at <= now) {
            self.looks.pop_first();
            found.push(slot);
        }
        for slot in &found {
            if let Some(member) = self.at_mut(*slot) {
                member.look_at = None;
            }
        }
        // What is not overdue after all is looked at again; what is overdue is dealt with before the next look.
        for slot in &found {
            self.look_later(*slot);
        }
        found.sort_unstable();
        found
    }
}
