//! Counted invites: a use is kept before the certificate leaves, on every link of the chain, once for each node.

use std::time::Duration;

use crate::support::{Ix, WALL, World};
use treehouse_invite::{Founding, Holder, Invite, Policy, Role, Terms};
use treehouse_room::{Cheap, Command, Event, Input, JoinFailure, Past, Protection, Redemption};
use treehouse_wire::{NodeId, Suite, UnixSeconds, control::Refusal};

const SECOND: Duration = Duration::from_secs(1);

fn terms(uses: Option<u32>, depth: u8) -> Terms {
    let (not_before, expires) = (UnixSeconds(WALL - 10), UnixSeconds(WALL + 7200));
    Terms { role: Role::Speaker, not_before, expires, uses, depth }
}

/// An open room.
fn room() -> World<Cheap> {
    let mut world = World::new(5, Protection::Off);
    world.open(8);
    world
}

/// An invite by the host of `world`.
fn invite(world: &World<Cheap>, uses: Option<u32>, holder: Holder) -> Invite {
    let first = world.invite.as_ref().expect("the room is open");
    let signer = Cheap.signer(&world.nodes[0].identity_seed);
    let bootstrap = first.bootstrap().to_vec();
    Invite::issue(&Cheap, &signer, first.founding(), terms(uses, 3), holder, bootstrap).expect("terms")
}

fn bearer(seed: u8) -> Holder {
    Holder::Bearer { seed: [seed; 32] }
}

fn narrow(held: &Invite, uses: Option<u32>, depth: u8, seed: u8) -> Invite {
    held.narrow(&Cheap, None, terms(uses, depth), bearer(seed)).expect("narrower")
}

fn id(invite: &Invite, link: usize) -> [u8; 32] {
    *invite.links().nth(link).expect("a link").id()
}

/// What a joiner by this invite was told.
fn told(world: &mut World<Cheap>, invite: &Invite) -> (Ix, Option<Refusal>) {
    let joiner = world.join_with(invite.clone(), 2);
    world.run_for(SECOND);
    (joiner, refusal(world, joiner))
}

fn refusal(world: &World<Cheap>, joiner: Ix) -> Option<Refusal> {
    world.nodes[joiner].events.iter().find_map(|(_, event)| match event {
        Event::JoinFailed(JoinFailure::Refused(refusal)) => Some(*refusal),
        _ => None,
    })
}

fn is_in(world: &World<Cheap>, node: Ix) -> bool {
    world.nodes[node].joined_at.is_some()
}

#[test]
fn the_certificate_waits_until_the_use_is_kept_and_nothing_else_does() {
    let mut world = room();
    world.keeps = None;
    let counted = invite(&world, Some(1), bearer(1));
    let (joiner, refused) = told(&mut world, &counted);
    assert_eq!((is_in(&world, joiner), refused), (false, None), "its use is not kept yet");
    let other = world.join(2);
    world.run_for(SECOND);
    assert!(is_in(&world, other), "who needs no use does not wait");
    let redemption = world.kept_uses[0].clone();
    assert_eq!((redemption.node, &redemption.links), (world.nodes[joiner].id, &vec![id(&counted, 0)]));
    world.input(0, Input::Redeemed { redemption, kept: true });
    world.run_for(SECOND);
    assert!(is_in(&world, joiner));
    assert_eq!(world.kept_uses.len(), 1, "it was asked once");
}

#[test]
fn a_use_that_cannot_be_kept_is_given_back() {
    let mut world = room();
    world.keeps = Some(false);
    let counted = invite(&world, Some(1), bearer(1));
    let (joiner, refused) = told(&mut world, &counted);
    assert_eq!((is_in(&world, joiner), refused), (false, Some(Refusal::Busy)));
    world.keeps = Some(true);
    let (joiner, _) = told(&mut world, &counted);
    assert!(is_in(&world, joiner), "the use is there still");
    assert_eq!(told(&mut world, &counted).1, Some(Refusal::UsedUp));
}

#[test]
fn uses_are_taken_from_every_link_of_the_chain() {
    let mut world = room();
    let first = invite(&world, Some(3), bearer(1));
    let (left, right) = (narrow(&first, Some(2), 2, 2), narrow(&first, Some(2), 2, 3));
    for _ in 0..2 {
        let (joiner, _) = told(&mut world, &left);
        assert!(is_in(&world, joiner));
    }
    assert_eq!(told(&mut world, &left).1, Some(Refusal::UsedUp), "its own link is spent");
    assert_eq!(told(&mut world, &right).1, None);
    assert_eq!(told(&mut world, &right).1, Some(Refusal::UsedUp), "the first link is spent");
    assert_eq!(world.kept_uses[0].links, [id(&left, 0), id(&left, 1)]);
}

#[test]
fn the_same_node_with_the_same_invite_takes_no_further_use() {
    let mut world = room();
    let counted = invite(&world, Some(2), bearer(1));
    let (joiner, _) = told(&mut world, &counted);
    world.command(joiner, Command::Leave);
    world.run_for(20 * SECOND);
    let again = world.join_as(world.nodes[joiner].identity_seed, counted.clone(), 2);
    world.run_for(SECOND);
    assert!(is_in(&world, again));
    assert_eq!(world.kept_uses.len(), 1);
    assert_eq!(told(&mut world, &counted).1, None, "the second use is left for another");
    assert_eq!(told(&mut world, &counted).1, Some(Refusal::UsedUp));
}

#[test]
fn a_room_that_opens_again_knows_what_was_used_and_revoked() {
    let world = room();
    let counted = invite(&world, Some(2), bearer(1));
    let revoked = invite(&world, None, bearer(2));
    let past = Past {
        openings: 3,
        redemptions: vec![Redemption { node: NodeId([7; 32]), chain: id(&counted, 0), links: vec![id(&counted, 0)] }],
        revoked: vec![id(&revoked, 0)],
        bans: Vec::new(),
    };
    let mut again = World::new(5, Protection::Off);
    again.past = past;
    again.open(8);
    assert_eq!(again.nodes[0].id, world.nodes[0].id);
    assert_eq!(told(&mut again, &counted).1, None);
    assert_eq!(told(&mut again, &counted).1, Some(Refusal::UsedUp));
    assert_eq!(told(&mut again, &revoked).1, Some(Refusal::Revoked));
    // Members that are about still know states and numbers of before: the new ones come behind them.
    let view = again.room(1).view();
    assert!(view.state.1 > 3 << 20 && view.rank.admission > 3 << 20, "{view:?}");
}

#[test]
fn a_revoked_link_takes_all_behind_it_with_it() {
    let mut world = room();
    let first = invite(&world, None, bearer(1));
    let (left, right) = (narrow(&first, None, 2, 2), narrow(&first, None, 2, 3));
    let below = narrow(&left, Some(5), 1, 4);
    let (member, _) = told(&mut world, &below);
    world.command(0, Command::RevokeInvite(id(&left, 1)));
    assert_eq!(told(&mut world, &left).1, Some(Refusal::Revoked));
    assert_eq!(told(&mut world, &below).1, Some(Refusal::Revoked));
    assert_eq!((told(&mut world, &first).1, told(&mut world, &right).1), (None, None), "others hold");
    assert!(world.inside().contains(&member), "whoever is in stays");
    assert_eq!(world.kept_uses.len(), 1, "no use is taken by what is refused");
}

#[test]
fn an_invite_that_is_revoked_while_its_use_is_being_kept_is_refused() {
    let mut world = room();
    world.keeps = None;
    let counted = invite(&world, Some(1), bearer(1));
    let (joiner, _) = told(&mut world, &counted);
    world.command(0, Command::RevokeInvite(id(&counted, 0)));
    let redemption = world.kept_uses[0].clone();
    world.input(0, Input::Redeemed { redemption, kept: true });
    world.run_for(SECOND);
    assert_eq!((is_in(&world, joiner), refusal(&world, joiner)), (false, Some(Refusal::Revoked)));
}

#[test]
fn a_closed_room_takes_bound_and_counted_invites_only() {
    let mut world = World::new(5, Protection::Off);
    world.policy = Policy::Closed;
    world.open(8);
    let public = invite(&world, None, bearer(1));
    assert_eq!(told(&mut world, &public).1, Some(Refusal::Uncounted));
    let counted = invite(&world, Some(1), bearer(2));
    let (joiner, _) = told(&mut world, &counted);
    assert!(is_in(&world, joiner));
    assert!(world.has_event(joiner, |event| matches!(event, Event::Admitted { policy: Policy::Closed, .. })));
    let ann = [77; 32];
    let bound = invite(&world, None, Holder::Bound(NodeId(Cheap.public_key(&Cheap.signer(&ann)))));
    let joiner = world.join_as(ann, bound, 2);
    world.run_for(SECOND);
    assert!(is_in(&world, joiner));
}

/// The founder has signed both; a member is not let in on other terms than it was shown.
#[test]
fn a_member_does_not_stay_in_a_room_whose_policy_is_not_that_of_its_invite() {
    let mut world = room();
    let first = world.invite.as_ref().expect("the room is open");
    assert_eq!(first.founding().policy, world.policy);
    let (signer, bootstrap) = (Cheap.signer(&world.nodes[0].identity_seed), first.bootstrap().to_vec());
    let founding = Founding { policy: Policy::Closed, ..first.founding() };
    let other = Invite::issue(&Cheap, &signer, founding, terms(None, 0), bearer(3), bootstrap).expect("terms");
    let (joiner, _) = told(&mut world, &other);
    assert!(!is_in(&world, joiner));
    assert!(world.has_event(joiner, |event| *event == Event::JoinFailed(JoinFailure::BadAnswer)));
}

/// Two minutes of clock skew are tolerated; with more the member is told that it is the clock.
#[test]
fn a_clock_that_is_more_than_two_minutes_off_is_named() {
    for (slow_s, failure) in [(110, None), (180, Some(JoinFailure::Clock))] {
        let mut world = room();
        let invite = invite(&world, None, bearer(9));
        let joiner = world.join_with(invite, 2);
        let room = world.nodes[joiner].room.as_mut().expect("it runs");
        room.handle_input(world.now, Input::WallClock(UnixSeconds(WALL - slow_s))).expect("a time of day");
        world.run_for(2 * SECOND);
        let told = world.nodes[joiner].events.iter().find_map(|(_, event)| match event {
            Event::JoinFailed(failure) => Some(failure.clone()),
            _ => None,
        });
        assert_eq!((told, is_in(&world, joiner)), (failure.clone(), failure.is_none()), "{slow_s} s slow");
    }
}
