//! Regions that hubs lead: who comes where, by whom they are admitted, and what happens when a hub dies.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::support::{Ix, World};
use treehouse_invite::{Certificate, Lease, Role};
use treehouse_room::{
    Cheap, Command, Config, Event, Input, JoinConfig, JoinFailure, Offence, Output, Protection, Room,
};
use treehouse_wire::{
    Contact, Control, Lineage, List, NodeId, Suite, UnixSeconds,
    control::{Decline, Name, Purpose, Refusal, Subscribe},
};

const SECOND: Duration = Duration::from_secs(1);

/// A room whose regions hold some thirty members, the host talking; joiners come by a random member's address.
fn regions(members: usize, protection: Protection, seed: u64) -> World<Cheap> {
    regions_by(World::new(seed, protection), members)
}

fn regions_by(mut world: World<Cheap>, members: usize) -> World<Cheap> {
    world.region_max = 30;
    world.open(6);
    world.speak(0);
    for n in 0..members {
        let children_max = if n % 4 == 3 { 0 } else { 6 };
        let inside = world.inside();
        let by = inside[world.below(inside.len())];
        let reachable = by == 0 || world.room(by).view().children_max > 0;
        world.join_by(if reachable { by } else { 0 }, children_max);
        world.run_for(Duration::from_millis(200));
    }
    world.run_for(15 * SECOND);
    world
}

/// Members by who leads them.
fn led(world: &World<Cheap>) -> BTreeMap<Ix, usize> {
    let leads = |ix: &Ix| world.room(*ix).view().region.map(|members| (*ix, members));
    world.inside().iter().filter_map(leads).collect()
}

#[test]
fn a_large_room_is_led_by_hubs() {
    let mut world = regions(150, Protection::Relays, 1);
    let led = led(&world);
    let failed =
        world.nodes.iter().flat_map(|node| &node.events).filter(|(_, event)| matches!(event, Event::JoinFailed(_)));
    let failed: Vec<String> = failed.map(|failure| format!("{failure:?}")).collect();
    assert!(failed.is_empty(), "all were admitted: {failed:?}");
    assert_eq!(world.inside().len(), 151, "all were admitted");
    assert!(led.len() >= 4, "regions: {led:?}");
    assert!(led.values().all(|members| *members <= 45), "regions: {led:?}");
    world.assert_all_hear(0, 5 * SECOND);
    let mut counts = world.nodes[0].events.iter().filter_map(|(_, event)| match event {
        Event::Members(members) => Some(*members),
        _ => None,
    });
    // Who has changed regions may be counted in both until the former one has not heard of it for 200 seconds.
    let counted = counts.next_back().expect("members came");
    assert!((151..=154).contains(&counted), "the host's count is the sum of the regions: {counted}");
}

/// Ten regions full of members in three seconds, which is faster than a leader can hand over one subtree after another.
#[test]
fn a_crowd_makes_several_hubs_at_once() {
    let mut world = World::new(4, Protection::Relays);
    world.region_max = 30;
    world.open(6);
    world.speak(0);
    for n in 0..300 {
        let inside = world.inside();
        let by = inside[world.below(inside.len())];
        let reachable = by == 0 || world.room(by).view().children_max > 0;
        world.join_by(if reachable { by } else { 0 }, if n % 4 == 3 { 0 } else { 6 });
        world.run_for(Duration::from_millis(10));
    }
    world.run_for(3 * SECOND);
    let led = led(&world);
    assert_eq!(world.inside().len(), 301, "all were admitted");
    assert!(led.len() >= 8, "regions: {led:?}");
    assert!(led[&0] - (led.len() - 1) <= 45, "the host leads few itself: {led:?}");
    world.run_for(12 * SECOND);
    world.assert_all_hear(0, 5 * SECOND);
}

/// A certificate must lie within its hub's lease, by clocks that do not agree.
#[test]
fn hubs_admit_although_their_clocks_differ_from_the_hosts() {
    let mut world = World::new(3, Protection::Relays);
    world.region_max = 30;
    world.open(6);
    world.speak(0);
    for n in 0..120 {
        let inside = world.inside();
        let by = inside[world.below(inside.len())];
        let member = world.join_by(by, 6);
        let off = if n % 2 == 0 { 50 } else { -50 };
        world.input(member, Input::WallClock(UnixSeconds(crate::support::WALL.saturating_add_signed(off))));
        world.run_for(Duration::from_millis(200));
    }
    world.run_for(15 * SECOND);
    let failed = world.nodes.iter().flat_map(|node| &node.events);
    let failed: Vec<_> = failed.filter(|(_, event)| matches!(event, Event::JoinFailed(_))).collect();
    assert!(failed.is_empty(), "all were admitted: {failed:?}");
    assert!(led(&world).len() >= 4, "by hubs too: {:?}", led(&world));
    world.assert_all_hear(0, 5 * SECOND);
}

#[test]
fn members_of_a_hub_that_dies_hear_on_and_come_to_another() {
    let mut world = regions(120, Protection::Relays, 2);
    let before = led(&world);
    let (hub, _) = before.iter().filter(|(ix, _)| **ix != 0).max_by_key(|(_, members)| **members).expect("a hub");
    let id = world.nodes[*hub].id;
    let orphans: Vec<Ix> = world.inside().into_iter().filter(|ix| world.room(*ix).view().leader == id).collect();
    assert!(orphans.len() > 5, "it led some: {before:?}");
    world.crash(*hub);
    world.run_for(20 * SECOND);
    world.assert_all_hear(0, 3 * SECOND);
    // Who is fed by way of it has heard that it is gone.
    let of_the_hub = |ix: &Ix| world.is_alive(*ix) && *ix != *hub && world.room(*ix).view().leader == id;
    let unaware = orphans.iter().copied().filter(of_the_hub).count();
    assert!(unaware * 4 < orphans.len(), "{unaware} of {} do not know", orphans.len());
    // Reviews bring the others to a new leader in their time; who needed something has one already.
    world.run_for(120 * SECOND);
    let left = orphans.iter().filter(|ix| **ix != *hub && world.is_alive(**ix));
    let left = left.filter(|ix| world.room(**ix).view().leader == id).count();
    assert!(left * 2 < orphans.len(), "{left} of {} still take the dead hub for their leader", orphans.len());
}

#[test]
fn a_hubs_death_is_bridged_from_outside_its_region() {
    let (mut heads, mut apart, mut gaps) = (0, 0, Vec::new());
    for seed in 11..17 {
        let mut world = regions(120, Protection::Relays, seed);
        world.run_for(60 * SECOND);
        let (hub, _) = led(&world).into_iter().filter(|(ix, _)| *ix != 0).max_by_key(|(_, of)| *of).expect("a hub");
        let id = world.nodes[hub].id;
        let region: Vec<Ix> = world.inside().into_iter().filter(|ix| world.room(*ix).view().leader == id).collect();
        let fed = |ix: &Ix, purpose| world.room(*ix).view().feeds.iter().find(|feed| feed.purpose == purpose).cloned();
        for head in region.iter().filter(|ix| fed(ix, Purpose::Primary).is_some_and(|feed| feed.node == id)) {
            heads += 1;
            let standby = fed(head, Purpose::IdleStandby).or_else(|| fed(head, Purpose::LiveStandby));
            apart += usize::from(standby.is_some_and(|feed| !region.iter().any(|ix| world.nodes[*ix].id == feed.node)));
        }
        let from = world.now;
        world.crash(hub);
        world.run_for(10 * SECOND);
        gaps.extend(region.into_iter().filter(|ix| *ix != hub).map(|ix| world.gap_max(ix, from, world.now)));
    }
    gaps.sort_unstable();
    let at = |share: usize| gaps[(gaps.len() - 1) * share / 100];
    println!("heads {heads}, apart {apart}; gaps of {}: {:?} {:?} {:?}", gaps.len(), at(50), at(90), at(100));
    assert!(apart * 10 >= heads * 8, "{apart} of {heads} have a standby outside");
}

#[test]
fn hands_wait_with_their_hubs_and_the_host_sees_the_first() {
    let mut world = World::new(21, Protection::Off);
    world.role = Role::Listener;
    let mut world = regions_by(world, 150);
    let members: Vec<Ix> = world.inside().into_iter().filter(|ix| *ix != 0).collect();
    let raised: Vec<Ix> =
        members.iter().copied().filter(|ix| world.room(*ix).view().region.is_none()).take(100).collect();
    let before = led(&world);
    for ix in &raised {
        let mut media_seed = [5; 32];
        media_seed[..8].copy_from_slice(&(*ix as u64).to_le_bytes());
        world.command(*ix, Command::RaiseHand { media_seed });
    }
    world.run_for(30 * SECOND);
    let count = |world: &World<Cheap>| {
        let told = world.nodes[0].events.iter().rev().find_map(|(_, event)| match event {
            Event::Hands(count) => Some(*count),
            _ => None,
        });
        told.unwrap_or(0)
    };
    let seen = |world: &World<Cheap>| -> Vec<NodeId> {
        let hands = world.nodes[0].events.iter().filter_map(|(_, event)| match event {
            Event::Hand { peer, raised: true, .. } => Some(*peer),
            _ => None,
        });
        hands.collect()
    };
    assert_eq!(count(&world), 100, "all are counted, each once");
    let named = seen(&world);
    assert!((32..=48).contains(&named.len()), "the host sees {} by name", named.len());
    let own = before[&0];
    assert!(led(&world)[&0] <= own + 48, "the others stay where they are: {:?}, before {before:?}", led(&world));
    // One of another region is brought up, and speaks.
    let chosen = *named.last().expect("a hand");
    world.command(0, Command::Promote(chosen));
    world.run_for(5 * SECOND);
    let speaker = raised.iter().copied().find(|ix| world.nodes[*ix].id == chosen).expect("one of those");
    assert!(
        world.has_event(
            speaker,
            |event| matches!(event, Event::Stage(stage) if stage.iter().any(|of| of.node == chosen))
        ),
        "it is on stage"
    );
    // Who lowers the hand is not counted any more, wherever it waits; and the next ones are called.
    for ix in raised.iter().filter(|ix| **ix != speaker).take(80) {
        world.command(*ix, Command::LowerHand);
    }
    world.run_for(30 * SECOND);
    assert_eq!(count(&world), 19, "of 100 one is on stage and 80 are down");
    let named: BTreeSet<NodeId> = seen(&world).into_iter().collect();
    let left = raised.iter().filter(|ix| **ix != speaker).skip(80);
    assert!(left.filter(|ix| !named.contains(&world.nodes[**ix].id)).count() == 0, "all that are left are seen");
    world.assert_all_hear(0, 3 * SECOND);
}

#[test]
fn only_the_host_can_call_hands() {
    let mut world = World::new(22, Protection::Off);
    world.role = Role::Listener;
    let mut world = regions_by(world, 90);
    let (hub, _) = led(&world).into_iter().filter(|(ix, _)| *ix != 0).max_by_key(|(_, of)| *of).expect("a hub");
    let peer = *world.nodes[hub].links.keys().find(|ix| **ix != 0).expect("a link");
    world.slip_control(peer, hub, &Control::HandsWanted { count: 3 });
    assert!(world.has_event(hub, |event| matches!(event, Event::Offence { kind: Offence::OutOfRole, .. })));
}

#[test]
fn a_joiner_that_is_sent_to_a_dead_hub_comes_in_by_the_host() {
    let mut world = regions(120, Protection::Relays, 6);
    let hub = led(&world).into_keys().find(|ix| *ix != 0).expect("a hub");
    let id = world.nodes[hub].id;
    let of_the_hub =
        |ix: &Ix| *ix != hub && world.room(*ix).view().leader == id && world.room(*ix).view().children_max > 0;
    let member = world.inside().into_iter().find(of_the_hub).expect("a member of its region that can be reached");
    world.crash(hub);
    let joiner = world.join_by(member, 0);
    world.run_for(2 * SECOND);
    assert!(world.has_event(joiner, |event| matches!(event, Event::Admitted { .. })), "while the hub is being dialled");
}

#[test]
fn a_joiner_asks_another_where_the_first_dies_before_it_answers() {
    let mut world = regions(60, Protection::Relays, 8);
    let reachable =
        |ix: &Ix| *ix != 0 && world.room(*ix).view().children_max > 0 && world.room(*ix).view().region.is_none();
    let named: Vec<Ix> = world.inside().into_iter().filter(reachable).take(2).collect();
    let contact =
        |ix: &Ix| Contact { node: world.nodes[*ix].id, addresses: List::truncated([World::<Cheap>::address(*ix)]) };
    let invite = world.invite.clone().expect("the room is open").with_bootstrap(named.iter().map(contact));
    let joiner = world.join_with(invite, 0);
    let from = world.now;
    let asked = loop {
        world.run_for(Duration::from_millis(1));
        if let Some(first) = named.iter().find(|ix| world.nodes[joiner].links.contains_key(ix)) {
            break *first;
        }
        assert!(world.now.since(from) < SECOND, "a link comes up");
    };
    world.crash(asked);
    world.run_for(3 * SECOND);
    assert!(world.has_event(joiner, |event| matches!(event, Event::Admitted { .. })), "by the other, or whom it names");
    world.run_for(3 * SECOND);
    world.assert_all_hear(0, 3 * SECOND);
}

/// A member without a link to the hub that leads it, its parent, which is not the host, and the hub.
fn far_from_its_hub(world: &World<Cheap>) -> (Ix, Ix, NodeId) {
    let ids: BTreeMap<NodeId, Ix> = world.inside().into_iter().map(|ix| (world.nodes[ix].id, ix)).collect();
    let of_a_hub = |ix: &Ix| {
        let view = world.room(*ix).view();
        let parent = ids[&view.feeds.iter().find(|feed| feed.purpose == Purpose::Primary)?.node];
        let links = &world.nodes[*ix].links;
        let far = ids[&view.leader] != 0 && view.region.is_none() && !links.contains_key(&ids[&view.leader]);
        (far && parent != 0 && links.keys().any(|peer| *peer != parent)).then_some((*ix, parent, view.leader))
    };
    world.inside().iter().find_map(of_a_hub).expect("a member without a link to its hub")
}

#[test]
fn only_a_parent_can_say_that_the_leader_is_gone() {
    let mut world = regions(90, Protection::Off, 7);
    let (child, parent, leader) = far_from_its_hub(&world);
    let other = world.nodes[child].links.keys().copied().find(|peer| *peer != parent).expect("its standby");
    world.slip_control(other, child, &Control::LeaderGone(leader));
    assert_eq!(world.room(child).view().leader, leader, "its standby cannot");
    let another = world.nodes[parent].id;
    world.slip_control(parent, child, &Control::LeaderGone(another));
    assert_eq!(world.room(child).view().leader, leader, "another has led it");
    world.slip_control(parent, child, &Control::LeaderGone(leader));
    assert_eq!(world.room(child).view().leader, world.nodes[0].id, "it goes by the host");
    world.run_for(5 * SECOND);
    assert!(!world.nodes[child].links.contains_key(&0), "and has nothing to ask of it");
    world.assert_all_hear(0, 3 * SECOND);
}

/// A region whose hub has died asks other hubs, whom the first of them have found, and what nobody waits for is not sent.
#[test]
fn a_parent_says_whom_to_ask_instead_of_a_leader_that_is_gone() {
    let mut world = regions(120, Protection::Relays, 7);
    let leader = |world: &World<Cheap>, ix: Ix| world.room(ix).view().leader;
    let (child, parent, hub) = far_from_its_hub(&world);
    let other = world.nodes[child].links.keys().copied().find(|peer| *peer != parent).expect("its standby");
    let host = world.nodes[0].id;
    let another = *led(&world).keys().find(|ix| **ix != 0 && world.nodes[**ix].id != hub).expect("another hub");
    let contact =
        Contact { node: world.nodes[another].id, addresses: List::truncated([World::<Cheap>::address(another)]) };
    let says = Control::Redirect { leaders: List::truncated([contact]), direct: false };
    world.slip_control(parent, child, &says);
    assert_eq!(leader(&world, child), hub, "it has a leader");
    world.slip_control(parent, child, &Control::LeaderGone(hub));
    world.slip_control(other, child, &says);
    assert_eq!(leader(&world, child), host, "only its parent can say so");
    world.slip_control(parent, child, &says);
    assert_eq!(leader(&world, child), world.nodes[another].id);
    assert!(!world.has_event(child, |event| matches!(event, Event::Offence { .. })), "and nobody has done wrong");
    world.run_for(5 * SECOND);
    assert!(!world.nodes[child].links.contains_key(&0), "it has nothing to ask of the host");
    world.assert_all_hear(0, 3 * SECOND);
    // Once it needs something the hub takes it in, and tells it what it tells its own.
    world.run_for(240 * SECOND);
    assert_ne!(leader(&world, child), host);
}

#[test]
fn the_host_is_not_told_of_members_that_it_does_not_lead() {
    for seed in 1..=3 {
        let mut world = regions(120, Protection::Relays, seed);
        world.run_for(10 * SECOND);
        let (hub, _) = led(&world).into_iter().filter(|(ix, _)| *ix != 0).max_by_key(|(_, of)| *of).expect("a hub");
        world.reported.clear();
        world.crash(hub);
        world.run_for(30 * SECOND);
        let own: BTreeSet<NodeId> = {
            let of_host = |ix: &Ix| world.room(*ix).view().leader == world.nodes[0].id;
            world.inside().into_iter().filter(of_host).map(|ix| world.nodes[ix].id).collect()
        };
        let unread = world.reported.iter().filter(|report| !own.contains(&report.node())).count();
        println!("seed {seed}: {unread} of {} reports to the host are of others' members", world.reported.len());
        assert!(unread <= 12, "seed {seed}: {unread} of {}", world.reported.len());
    }
}

#[test]
fn a_hub_admits_nobody_by_an_invite_that_was_revoked() {
    let mut world = regions(100, Protection::Off, 4);
    let hub = led(&world).into_keys().find(|ix| *ix != 0).expect("a hub");
    let inside = world.inside().len();
    let link = *world.invite.as_ref().and_then(|invite| invite.links().next()).expect("a link").id();
    let before = world.join_by(hub, 0);
    world.run_for(2 * SECOND);
    assert!(world.room(before).view().inside);
    world.command(0, Command::RevokeInvite(link));
    world.run_for(3 * SECOND);
    let after = world.join_by(hub, 0);
    world.run_for(2 * SECOND);
    let refused = |event: &Event| *event == Event::JoinFailed(JoinFailure::Refused(Refusal::Revoked));
    assert!(world.has_event(after, refused), "{:?}", world.nodes[after].events);
    assert_eq!(world.inside().len(), inside + 1, "and those who are in stay");
}

#[test]
fn a_joiner_is_redirected_three_times_at_most() {
    let mut world = World::new(3, Protection::Off);
    world.open(4);
    let invite = world.invite.clone().expect("the room is open");
    let node = |number: u8| NodeId([number; 32]);
    let contact = |number: u8| Contact { node: node(number), addresses: List::truncated([World::<Cheap>::address(9)]) };
    let invite = invite.with_bootstrap([contact(1)]);
    let config =
        Config { identity_seed: [7; 32], random_seed: [8; 32], name: Name::cleaned("joiner"), children_max: 4 };
    let mut room = Room::join(world.now, UnixSeconds(crate::support::WALL), Cheap, config, JoinConfig { invite });
    let mut failed = None;
    for hop in 1..=4 {
        assert_eq!(failed, None, "it follows redirect {hop}");
        room.handle_input(world.now, Input::LinkUp { peer: node(hop) }).expect("a link");
        let leaders = List::truncated([contact(hop + 1)]);
        let bytes = Control::Redirect { leaders, direct: false }.to_bytes();
        room.handle_input(world.now, Input::Control { from: node(hop), bytes: &bytes }).expect("a message");
        let outputs: Vec<Output> = std::iter::from_fn(|| room.poll_output()).collect();
        failed = outputs.iter().find_map(|output| match output {
            Output::Event(Event::JoinFailed(why)) => Some(why.clone()),
            _ => None,
        });
        let dials = outputs.iter().any(|output| matches!(output, Output::Dial { peer, .. } if *peer == node(hop + 1)));
        assert!(dials || hop == 4, "redirect {hop} leads on");
    }
    assert_eq!(failed, Some(JoinFailure::TooManyRedirects));
}

#[test]
fn a_redirect_from_one_that_was_not_asked_is_an_offence() {
    let mut world = World::new(4, Protection::Off);
    world.open(4);
    let member = world.join(4);
    world.run_for(3 * SECOND);
    let other = world.join(4);
    world.run_for(5 * SECOND);
    let peer = [member, other].into_iter().find(|ix| *ix != 0 && world.nodes[*ix].links.len() > 1).expect("a link");
    let from = *world.nodes[peer].links.keys().find(|ix| **ix != 0).expect("a link to a member");
    let leaders = List::truncated([Contact { node: NodeId([9; 32]), addresses: List::default() }]);
    world.slip_control(from, peer, &Control::Redirect { leaders, direct: false });
    assert!(world.has_event(peer, |event| matches!(event, Event::Offence { kind: Offence::OutOfRole, .. })));
}

#[test]
fn a_certificate_that_a_hub_had_no_right_to_sign_gets_no_feed() {
    let mut world = regions(90, Protection::Off, 5);
    let hub = led(&world).into_keys().find(|ix| *ix != 0).expect("a hub");
    // A newcomer that the hub certifies beyond its lease: as a speaker, without the lease, or under one that it made.
    let thief = world.join(0);
    world.run_for(SECOND);
    let signer = Cheap.signer(&world.nodes[hub].identity_seed);
    let room = world.room(hub).id();
    let wall = UnixSeconds(crate::support::WALL);
    let certificate = |role, admission| {
        let expires = UnixSeconds(crate::support::WALL + 7200);
        let node = world.nodes[thief].id;
        Certificate { node, role, admission, term: 0, issued: wall, expires, lineage: Lineage::default() }
            .sign(&Cheap, &signer, &room)
    };
    let lease = Lease {
        hub: world.nodes[hub].id,
        region: 9,
        role: Role::Listener,
        first: 1_000_000,
        quota: 10,
        members_max: 30,
        term: 0,
        not_before: wall,
        expires: UnixSeconds(crate::support::WALL + 600),
    };
    let forged = lease.sign(&Cheap, &signer, &room);
    let genuine = lease.sign(&Cheap, &Cheap.signer(&world.nodes[0].identity_seed), &room);
    let shown = [
        ("no lease", certificate(Role::Listener, 1_000_001), None),
        ("a lease by the hub itself", certificate(Role::Listener, 1_000_001), Some(forged)),
        ("a number behind the quota", certificate(Role::Listener, 1_000_010), Some(genuine.clone())),
        ("a role above the lease's", certificate(Role::Speaker, 1_000_001), Some(genuine.clone())),
    ];
    let mut verdicts = Vec::new();
    let allowed = ("what the lease allows", certificate(Role::Listener, 1_000_001), Some(genuine));
    for (name, certificate, lease) in shown.into_iter().chain([allowed]) {
        let purpose = Purpose::IdleStandby;
        let from = List::default();
        let request = Subscribe { certificate, lease, purpose, relay: None, adopts: None, replay: false, from };
        world.slip_control(thief, 0, &Control::Subscribe(Box::new(request)));
        let id = world.nodes[thief].id;
        let children = world.room(0).view().children;
        verdicts.push((name, children.iter().any(|(node, purpose)| *node == id && *purpose == Purpose::IdleStandby)));
    }
    let expected = ["no lease", "a lease by the hub itself", "a number behind the quota", "a role above the lease's"];
    let mut expected: Vec<_> = expected.map(|name| (name, false)).into();
    expected.push(("what the lease allows", true));
    assert_eq!(verdicts, expected);
}

/// Who declines is there: its members would otherwise leave a hub whenever it has no slot.
#[test]
fn a_hub_that_declines_a_feed_is_not_taken_for_dead() {
    let mut world = regions(90, Protection::Relays, 8);
    let feeds_of = |world: &World<Cheap>, ix: Ix| world.room(ix).view().feeds;
    let fed_by_its_hub = |world: &World<Cheap>, ix: Ix| {
        let view = world.room(ix).view();
        view.leader != world.nodes[0].id && view.region.is_none() && view.feeds.iter().any(|of| of.node == view.leader)
    };
    let member = world.inside().into_iter().find(|ix| fed_by_its_hub(&world, *ix)).expect("a hub feeds some");
    let id = world.room(member).view().leader;
    let hub = (0..world.nodes.len()).find(|ix| world.nodes[*ix].id == id).expect("it is there");
    world.slip_control(hub, member, &Control::Declined { purpose: Purpose::Primary, reason: Decline::Full });
    for _ in 0..20 {
        world.run_for(Duration::from_millis(50));
        assert_eq!(world.room(member).view().leader, id, "it goes by its hub still");
    }
    world.run_for(3 * SECOND);
    assert!(!feeds_of(&world, member).is_empty(), "and is fed");
    world.assert_all_hear(0, 2 * SECOND);
}
