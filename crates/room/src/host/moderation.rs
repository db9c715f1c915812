//! Putting members out of the room, and the new room key that keeps them out.

use core::time::Duration;
use std::sync::Arc;

use treehouse_invite::{Ban, Banned, Bans, CERTIFICATE_SECONDS};
use treehouse_wire::{Epoch, LinkTag, RoomKeySeed, Suite, UnixSeconds, limits::BANS_MAX};

use crate::{api::RoomError, config::Past, room::Room, time::Instant, timers::Timer};

/// A room key is replaced after this, whatever happens.
const ROTATED: Duration = Duration::from_secs(600);
/// Keys that follow each other because somebody is put out are this far apart at least; whoever is put out meanwhile waits for it.
const APART: Duration = Duration::from_millis(200);
/// A ban without an end.
pub(super) const FOR_GOOD: UnixSeconds = UnixSeconds(u64::MAX);

/// The room keys that a host has signed, and what the next is drawn from.
#[derive(Debug)]
pub(crate) struct Rotation {
    seed: RoomKeySeed,
    pub(super) epoch: Epoch,
    pub(super) digest: [u8; 32],
    /// When the newest was drawn.
    drawn: Instant,
    /// Another is to be.
    due: bool,
}

impl Rotation {
    /// The epochs of a room that is opened again come behind those of before, so that nobody takes an old key for a new one.
    pub(crate) fn new(seed: [u8; 32], past: &Past, now: Instant) -> Self {
        let epoch = Epoch { term: 0, number: past.first_number() };
        Rotation { seed: RoomKeySeed::new(seed), epoch, digest: [0; 32], drawn: now, due: false }
    }
}

/// Who was banned for good when the room was open before.
pub(super) fn recall(past: &Past) -> Bans {
    let mut bans = Bans::default();
    let revoked = past.revoked.iter().map(|link| Banned::Revoked(LinkTag::of(link)));
    for who in past.bans.iter().copied().chain(revoked) {
        // More than fit have not been kept.
        let _ = bans.add(Ban { who, until: FOR_GOOD });
    }
    bans
}

/// Adds a ban; false where the list is full.
pub(super) fn note_ban(bans: &mut Arc<Bans>, ban: Ban, wall: UnixSeconds) -> bool {
    let bans = Arc::make_mut(bans);
    if bans.all().len() >= BANS_MAX {
        bans.forget_past(wall);
    }
    bans.add(ban)
}

impl<S: Suite> Room<S> {
    /// Puts a member out for as long as its certificate could last.
    pub(crate) fn kick(&mut self, who: Banned) -> Result<(), RoomError> {
        self.ban_until(who, UnixSeconds(self.wall.0.saturating_add(CERTIFICATE_SECONDS)))
    }

    /// Keeps somebody out for good.
    pub(crate) fn ban(&mut self, who: Banned) -> Result<(), RoomError> {
        self.ban_until(who, FOR_GOOD)
    }

    fn ban_until(&mut self, who: Banned, until: UnixSeconds) -> Result<(), RoomError> {
        let (me, wall) = (self.me, self.wall);
        let acting = self.acting.as_mut().ok_or(RoomError::NotHost)?;
        if who == Banned::Node(me) {
            return Err(RoomError::OwnRoom);
        }
        if !note_ban(&mut acting.bans, Ban { who, until }, wall) {
            return Err(RoomError::BansFull);
        }
        acting.rotation.due = true;
        self.rotate_soon();
        Ok(())
    }

    /// Lets somebody in again. The key that it does not have stays as it is.
    pub(crate) fn unban(&mut self, who: &Banned) -> Result<(), RoomError> {
        let acting = self.acting.as_mut().ok_or(RoomError::NotHost)?;
        if !Arc::make_mut(&mut acting.bans).lift(who) {
            return Err(RoomError::NoSuchBan);
        }
        self.publish_soon();
        Ok(())
    }

    /// Once a second, for the host.
    pub(crate) fn keep_rotating(&mut self) {
        let (now, wall) = (self.now, self.wall);
        let Some(acting) = &mut self.acting else { return };
        if acting.bans.all().iter().any(|ban| ban.until <= wall) {
            Arc::make_mut(&mut acting.bans).forget_past(wall);
            acting.dirty = true;
        }
        acting.rotation.due |= now.since(acting.rotation.drawn) >= ROTATED;
        self.rotate_soon();
    }

    /// A new key is wanted for another reason than a ban.
    pub(super) fn rotate_now(&mut self) {
        if let Some(acting) = &mut self.acting {
            acting.rotation.due = true;
        }
        self.rotate_soon();
    }

    /// Signs a new key, with the bans that it is for: at once, or as soon as the last one is old enough.
    fn rotate_soon(&mut self) {
        let now = self.now;
        let Some(rotation) = self.acting.as_ref().map(|acting| &acting.rotation).filter(|of| of.due) else { return };
        let at = rotation.drawn.after(APART);
        if at > now { self.timers.arm_by(Timer::Publish, at) } else { self.publish_state() }
    }

    /// Whether the state is to be signed because of a new key.
    pub(super) fn key_is_due(&self) -> bool {
        let due = |rotation: &Rotation| rotation.due && self.now.since(rotation.drawn) >= APART;
        self.acting.as_ref().is_some_and(|acting| due(&acting.rotation))
    }

    /// Draws the next key, which the state that is signed next will name.
    pub(crate) fn draw_key(&mut self) {
        let now = self.now;
        let Some(rotation) = self.acting.as_mut().map(|acting| &mut acting.rotation) else { return };
        if self.keys.sealing(now).is_some() {
            rotation.epoch.number = rotation.epoch.number.saturating_add(1);
        }
        let epoch = rotation.epoch;
        let key = rotation.seed.draw(epoch);
        rotation.digest = key.digest(&self.room, epoch);
        (rotation.drawn, rotation.due) = (now, false);
        self.take_key(epoch, key, Duration::ZERO);
    }
}
