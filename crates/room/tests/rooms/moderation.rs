//! Putting members out of a room: what they cannot hear any more, whom the others lose by it, and who comes in again.

use std::time::Duration;

use crate::support::{Ix, WALL, World};
use treehouse_invite::{Banned, Holder, Invite, Role, Terms};
use treehouse_room::{Cheap, Closing, Command, Event, Input, Instant, JoinFailure, Offence, Protection, RoomError};
use treehouse_wire::{
    Control, Epoch, LinkTag, Packet, RoomKey, UnixSeconds,
    control::{Purpose, Refusal},
};

const SECOND: Duration = Duration::from_secs(1);
/// After a kick no frame may be sealed under a key that the one who was put out has.
const KICK: Duration = SECOND;

/// A room of so many members, the host talking.
fn room_of(members: usize, seed: u64) -> World<Cheap> {
    let mut world = World::new(seed, Protection::Relays);
    world.keep_packets = true;
    world.open(8);
    world.join_many(members, 3, 6);
    world.speak(0);
    world.run_for(10 * SECOND);
    world
}

fn kick(world: &mut World<Cheap>, ix: Ix) -> Instant {
    let who = Banned::Node(world.nodes[ix].id);
    world.command(0, Command::Kick(who));
    world.now
}

/// The epochs of the packets that were sealed from then on.
fn epochs_since(world: &World<Cheap>, at: Instant) -> Vec<Epoch> {
    let first = world.nodes[0].captured.iter().find(|(_, captured)| **captured >= at).map(|(number, _)| *number);
    let headers = world.kept.iter().map(|bytes| *Packet::parse(bytes.clone()).expect("a packet").header());
    let mut epochs: Vec<Epoch> =
        headers.filter(|header| Some(header.first) >= first).map(|header| header.epoch).collect();
    epochs.sort_unstable();
    epochs.dedup();
    epochs
}

fn has_closed(world: &World<Cheap>, ix: Ix) -> bool {
    world.nodes[ix].events.iter().any(|(_, event)| *event == Event::Closed(Closing::Removed))
}

/// A member that feeds others.
fn relay(world: &World<Cheap>) -> Ix {
    let feeds = |ix: &Ix| world.room(*ix).view().children.iter().any(|(_, of)| *of == Purpose::Primary);
    world.inside().into_iter().filter(|ix| *ix != 0).find(feeds).expect("a relay")
}

#[test]
fn who_is_put_out_opens_nothing_that_is_sealed_a_second_later_and_nobody_else_misses_a_frame() {
    for seed in 1..6 {
        let mut world = room_of(60, seed);
        let thrown = relay(&world);
        let before = world.room(thrown).view().epochs;
        let at = kick(&mut world, thrown);
        world.run_for(5 * SECOND);
        assert!(has_closed(&world, thrown), "it is told");
        let held = world.room(thrown).view().epochs;
        assert_eq!(held, before, "it has got no key since");
        let epochs = epochs_since(&world, at.after(KICK));
        assert!(!epochs.is_empty() && epochs.iter().all(|epoch| !held.contains(epoch)), "{epochs:?}");
        let voice = world.nodes[0].voice.expect("the host speaks");
        let late = world.nodes[0].captured.iter().filter(|(_, captured)| **captured >= at.after(KICK));
        let late: Vec<_> = late.map(|(number, _)| *number).collect();
        assert!(late.len() > 150 && !late.iter().any(|of| world.nodes[thrown].played.contains_key(&(voice, *of))));
        assert!(world.keys_sent.iter().all(|(when, _, to, _)| *to != thrown || *when < at), "nobody sent it one");
        let end = world.now;
        world.run_for(SECOND);
        for ix in world.inside().into_iter().filter(|ix| *ix != 0) {
            assert_ne!(ix, thrown);
            world.assert_heard(0, ix, at, end);
            assert_eq!(world.room(ix).view().epochs, epochs, "and the old key is wiped");
        }
    }
}

#[test]
fn several_that_are_put_out_at_once_are_all_kept_out() {
    let mut world = room_of(40, 7);
    let thrown = [3, 9, 17, 22, 31];
    for ix in thrown {
        kick(&mut world, ix);
        world.run_for(Duration::from_millis(30));
    }
    let last = world.now;
    world.run_for(5 * SECOND);
    let epochs = epochs_since(&world, last.after(KICK));
    for ix in thrown {
        assert!(has_closed(&world, ix), "{ix}");
        let held = world.room(ix).view().epochs;
        assert!(epochs.iter().all(|epoch| !held.contains(epoch)), "{ix}: {held:?}, {epochs:?}");
    }
    assert!(epochs.iter().all(|epoch| epoch.number <= 3), "not a key for each: {epochs:?}");
    world.assert_all_hear(0, 2 * SECOND);
}

#[test]
fn a_speaker_that_is_put_out_is_silent() {
    let mut world = room_of(20, 8);
    world.speak(5);
    world.run_for(3 * SECOND);
    assert!(world.missing(5, 9, world.now.after(Duration::ZERO), world.now).is_empty());
    let at = kick(&mut world, 5);
    world.run_for(5 * SECOND);
    assert!(has_closed(&world, 5) && !world.nodes[5].speaking);
    let stage = world.nodes[9].events.iter().rev().find_map(|(_, event)| match event {
        Event::Stage(members) => Some(members.clone()),
        _ => None,
    });
    let thrown = world.nodes[5].id;
    assert!(stage.is_some_and(|members| members.iter().all(|member| member.node != thrown)));
    assert!(world.now.since(at) >= 5 * SECOND);
}

#[test]
fn it_comes_in_again_once_its_certificate_could_not_be_valid_any_more_or_once_the_host_lets_it() {
    let mut world = room_of(10, 9);
    let thrown = world.nodes[4].id;
    kick(&mut world, 4);
    world.run_for(3 * SECOND);
    let invite = world.invite.clone().expect("open");
    let again = |world: &mut World<Cheap>| {
        let ix = world.rejoin(4, invite.clone());
        world.run_for(3 * SECOND);
        ix
    };
    let refused = |world: &World<Cheap>, ix: Ix| {
        let failed = |event: &Event| *event == Event::JoinFailed(JoinFailure::Refused(Refusal::Banned));
        world.nodes[ix].events.iter().any(|(_, event)| failed(event))
    };
    let ix = again(&mut world);
    assert!(refused(&world, ix), "{:?}", world.nodes[ix].events);
    world.command(0, Command::Unban(Banned::Node(thrown)));
    let ix = again(&mut world);
    assert!(world.room(ix).view().inside, "{:?}", world.nodes[ix].events);
    world.command(0, Command::Kick(Banned::Node(thrown)));
    world.run_for(3 * SECOND);
    // The end of what the certificate could last.
    world.nodes[0]
        .room
        .as_mut()
        .expect("the host")
        .handle_input(world.now, Input::WallClock(UnixSeconds(WALL + treehouse_invite::CERTIFICATE_SECONDS - 5)))
        .expect("a clock");
    world.run_for(2 * SECOND);
    let ix = again(&mut world);
    assert!(refused(&world, ix), "not yet");
    world.nodes[0]
        .room
        .as_mut()
        .expect("the host")
        .handle_input(world.now, Input::WallClock(UnixSeconds(WALL + treehouse_invite::CERTIFICATE_SECONDS + 5)))
        .expect("a clock");
    world.run_for(2 * SECOND);
    // Invites of these tests end then too, but for the clock skew that is tolerated.
    let ix = again(&mut world);
    assert!(!refused(&world, ix), "{:?}", world.nodes[ix].events);
}

/// Links of an invite, and members that came by them: the founder's, Alice's below it, Bob's below hers.
fn families() -> (World<Cheap>, [Vec<Ix>; 3], [LinkTag; 3]) {
    let mut world = World::new(11, Protection::Relays);
    world.open(8);
    let founders = world.deep_invite(2);
    let terms = |depth| Terms {
        role: Role::Listener,
        not_before: UnixSeconds(WALL - 10),
        expires: UnixSeconds(WALL + 7200),
        uses: None,
        depth,
    };
    let narrow = |invite: &Invite, depth, seed| {
        invite.narrow(&Cheap, None, terms(depth), Holder::Bearer { seed: [seed; 32] }).expect("a narrower one")
    };
    let alices = narrow(&founders, 1, 21);
    let bobs = narrow(&alices, 0, 22);
    let tags = [&founders, &alices, &bobs].map(|invite| LinkTag::of(invite.links().next_back().expect("a link").id()));
    let members = [founders, alices, bobs].map(|invite| {
        (0..6)
            .map(|n| {
                let ix = world.join_with(invite.clone(), if n % 2 == 0 { 4 } else { 0 });
                world.run_for(Duration::from_millis(200));
                ix
            })
            .collect()
    });
    world.speak(0);
    world.run_for(5 * SECOND);
    (world, members, tags)
}

#[test]
fn a_ban_of_a_link_is_about_those_who_came_by_it_and_of_its_subtree_about_those_whom_they_invited_too() {
    for (who, out) in
        [(Banned::Link as fn(LinkTag) -> Banned, [false, true, false]), (Banned::Subtree, [false, true, true])]
    {
        let (mut world, members, tags) = families();
        world.command(0, Command::Ban(who(tags[1])));
        world.run_for(5 * SECOND);
        for (family, out) in members.iter().zip(out) {
            for ix in family {
                assert_eq!(has_closed(&world, *ix), out, "{ix} of {members:?}");
                assert_eq!(world.room(*ix).view().inside, !out);
            }
        }
        world.assert_all_hear(0, 2 * SECOND);
        world.command(0, Command::Unban(who(tags[1])));
        world.run_for(SECOND);
    }
}

#[test]
fn the_key_changes_every_ten_minutes_and_nobody_misses_a_frame() {
    let mut world = World::new(12, Protection::Relays);
    world.checked = false;
    world.open(8);
    world.join_many(20, 3, 6);
    world.run_for(590 * SECOND);
    world.speak(0);
    world.run_for(SECOND);
    let (from, before) = (world.now, world.room(7).view().epochs);
    world.run_for(30 * SECOND);
    let to = world.now;
    world.run_for(SECOND);
    for ix in world.inside().into_iter().filter(|ix| *ix != 0) {
        world.assert_heard(0, ix, from, to);
        let now = world.room(ix).view().epochs;
        assert_eq!(now.len(), 1);
        assert!(now[0] > before[0], "{now:?}, {before:?}");
    }
}

#[test]
fn a_key_that_the_state_does_not_name_is_forged_and_one_of_before_is_not() {
    let mut world = room_of(10, 13);
    let child = (1..11).find(|ix| world.room(*ix).view().feeds.iter().any(|of| of.node == world.nodes[0].id));
    let child = child.expect("a child of the host");
    let epoch = world.room(child).view().epochs[0];
    let next = Epoch { number: epoch.number + 1, ..epoch };
    // Of another epoch: it may have come before its state, and accuses nobody.
    world.slip_control(0, child, &Control::Key { epoch: next, key: RoomKey([1; 32]) });
    world.run_for(SECOND);
    let forged = |world: &World<Cheap>| {
        let of = |event: &Event| matches!(event, Event::Offence { kind: Offence::Forged, .. });
        world.nodes[child].events.iter().any(|(_, event)| of(event))
    };
    assert!(!forged(&world));
    assert_eq!(world.room(child).view().epochs, [epoch], "and it is not taken");
    // A state whose key has not come yet, and a false one in its place.
    world.hold_keys = true;
    kick(&mut world, if child == 4 { 5 } else { 4 });
    world.run_for(Duration::from_millis(300));
    assert!(!world.room(child).view().epochs.contains(&next), "its key is held back");
    world.slip_control(0, child, &Control::Key { epoch: next, key: RoomKey([1; 32]) });
    assert!(forged(&world));
}

#[test]
fn a_key_that_was_lost_on_its_way_is_asked_for() {
    let mut world = room_of(20, 16);
    world.hold_keys = true;
    let at = kick(&mut world, 4);
    world.run_for(Duration::from_millis(900));
    let lacks = |world: &World<Cheap>| {
        let newest = world.room(0).view().epochs.last().copied().expect("the host has one");
        world.inside().into_iter().filter(|ix| !world.room(*ix).view().epochs.contains(&newest)).count()
    };
    assert_eq!(lacks(&world), 19, "all but the host");
    world.hold_keys = false;
    world.run_for(5 * SECOND);
    assert_eq!(lacks(&world), 0);
    assert!(epochs_since(&world, at.after(KICK)).iter().all(|epoch| epoch.number == 1));
    world.assert_all_hear(0, 2 * SECOND);
}

#[test]
fn only_the_host_puts_out_and_never_itself() {
    let mut world = room_of(6, 14);
    let (now, host, other) = (world.now, world.nodes[0].id, world.nodes[2].id);
    let mut try_to = |ix: Ix, command: Command| {
        world.nodes[ix].room.as_mut().expect("there").handle_input(now, Input::Command(command)).err()
    };
    assert_eq!(try_to(1, Command::Kick(Banned::Node(other))), Some(RoomError::NotHost));
    assert_eq!(try_to(0, Command::Ban(Banned::Node(host))), Some(RoomError::OwnRoom));
    assert_eq!(try_to(0, Command::Unban(Banned::Node(other))), Some(RoomError::NoSuchBan));
    for n in 0..treehouse_wire::limits::BANS_MAX {
        let mut tag = [0; 16];
        tag[..8].copy_from_slice(&(n as u64).to_be_bytes());
        assert_eq!(try_to(0, Command::Ban(Banned::Link(LinkTag(tag)))), None, "{n}");
    }
    assert_eq!(try_to(0, Command::Ban(Banned::Node(other))), Some(RoomError::BansFull));
}

#[test]
fn in_a_room_of_regions_hubs_and_their_members_are_put_out_as_others() {
    let mut world = World::new(15, Protection::Relays);
    world.checked = false;
    world.keep_packets = true;
    world.region_max = 30;
    world.role = Role::Listener;
    world.open(8);
    world.join_many(120, 4, 6);
    world.speak(0);
    world.run_for(30 * SECOND);
    let hubs: Vec<Ix> =
        world.inside().into_iter().filter(|ix| *ix != 0 && world.room(*ix).view().region.is_some()).collect();
    let led: Vec<Ix> = world
        .inside()
        .into_iter()
        .filter(|ix| world.room(*ix).view().leader == world.nodes[hubs[0]].id && *ix != hubs[0])
        .collect();
    let thrown = [led[led.len() / 2], hubs[0]];
    for ix in thrown {
        let at = kick(&mut world, ix);
        world.run_for(10 * SECOND);
        assert!(has_closed(&world, ix), "{ix} of {hubs:?}");
        let held = world.room(ix).view().epochs;
        assert!(epochs_since(&world, at.after(KICK)).iter().all(|epoch| !held.contains(epoch)));
    }
    world.run_for(10 * SECOND);
    let inside = world.inside();
    assert_eq!(inside.len(), 119);
    world.assert_all_hear(0, 2 * SECOND);
}
