//! Boosters: they carry a room whose key they do not have.

use std::{collections::BTreeSet, time::Duration};

use treehouse_invite::{Banned, Holder, Invite, Role, Terms};
use treehouse_room::{Cheap, Command, Event, Offence, Protection, RoomError};
use treehouse_wire::{Control, NodeId, Suite, UnixSeconds, control::Purpose};

use crate::support::{Ix, WALL, World};

const SECOND: Duration = Duration::from_secs(1);

/// A link for boosters.
fn boost_link(world: &World<Cheap>) -> Invite {
    let first = world.invite.as_ref().expect("the room is open");
    let signer = Cheap.signer(&world.nodes[0].identity_seed);
    let (not_before, expires) = (UnixSeconds(WALL - 10), UnixSeconds(WALL + 7200));
    let terms = Terms { role: Role::Booster, not_before, expires, uses: None, depth: 0 };
    let bootstrap = first.bootstrap().to_vec();
    Invite::issue(&Cheap, &signer, first.founding(), terms, Holder::Bearer { seed: [31; 32] }, bootstrap)
        .expect("terms")
}

/// A room of forty that feed two each at most, with so many boosters of twelve slots among them; the host and one more speak.
fn room(seed: u64, protection: Protection, boosters: usize) -> (World<Cheap>, BTreeSet<Ix>) {
    let mut world = World::new(seed, protection);
    world.open(4);
    let link = boost_link(&world);
    let mut boosts = BTreeSet::new();
    for n in 0..40 {
        world.join(if n % 3 == 0 { 2 } else { 0 });
        if n % 5 == 1 && boosts.len() < boosters {
            boosts.insert(world.join_with(link.clone(), 12));
        }
        world.run_for(Duration::from_millis(200));
    }
    world.speak(0);
    world.speak(1);
    world.run_for(20 * SECOND);
    (world, boosts)
}

fn members(world: &World<Cheap>, boosters: &BTreeSet<Ix>) -> Vec<Ix> {
    world.inside().into_iter().filter(|ix| !boosters.contains(ix)).collect()
}

fn fed_by(world: &World<Cheap>, boosters: &BTreeSet<Ix>) -> usize {
    let primary = |ix: &Ix| {
        let view = world.room(*ix).view();
        view.children.iter().filter(|(_, purpose)| *purpose == Purpose::Primary).count()
    };
    boosters.iter().map(primary).sum()
}

/// Boosters have no key and have played nothing.
fn assert_deaf(world: &World<Cheap>, boosters: &BTreeSet<Ix>) {
    for ix in boosters {
        assert_eq!(world.room(*ix).view().epochs, [], "{ix}");
        assert!(world.nodes[*ix].played.is_empty(), "{ix}");
        assert!(!world.has_event(*ix, |event| matches!(event, Event::Offence { .. })), "{ix}");
    }
}

fn all_hear(world: &mut World<Cheap>, boosters: &BTreeSet<Ix>, span: Duration) {
    let from = world.now;
    world.run_for(span);
    let to = world.now;
    world.run_for(SECOND);
    for ix in members(world, boosters) {
        for speaker in [0, 1] {
            if speaker != ix {
                world.assert_heard(speaker, ix, from, to);
            }
        }
    }
}

#[test]
fn boosters_carry_a_room_and_hear_nothing() {
    for (seed, protection) in
        [(1, Protection::Off), (2, Protection::Relays), (3, Protection::Off), (4, Protection::Relays)]
    {
        let (mut world, boosters) = room(seed, protection, 4);
        assert!(boosters.iter().all(|ix| world.room(*ix).view().inside));
        let carried = fed_by(&world, &boosters);
        println!("{protection:?}: 4 boosters feed {carried} of {}", world.inside().len());
        assert!(carried >= 10, "{carried}");
        all_hear(&mut world, &boosters, 4 * SECOND);
        // The key changes, and everyone but the boosters and the one that is put out has it in time.
        let out = members(&world, &boosters)[20];
        world.command(0, Command::Kick(Banned::Node(world.nodes[out].id)));
        all_hear(&mut world, &boosters, 4 * SECOND);
        // Hardly anybody depends on boosters alone, and who does asks its leader for the key.
        let nodes: BTreeSet<NodeId> = boosters.iter().map(|ix| world.nodes[*ix].id).collect();
        let on_boosters_alone = |ix: &Ix| {
            let view = world.room(*ix).view();
            !view.root && view.feeds.iter().all(|feed| nodes.contains(&feed.node))
        };
        let alone = members(&world, &boosters).into_iter().filter(on_boosters_alone).count();
        println!("{alone} have a booster for a parent and no standby");
        assert!(alone <= 3, "{alone}");
        assert_deaf(&world, &boosters);
    }
}

#[test]
fn a_booster_that_dies_is_replaced_and_one_that_is_put_out_carries_nothing() {
    let (mut world, mut boosters) = room(5, Protection::Relays, 6);
    let carries = |ix: &Ix| !world.room(*ix).view().children.is_empty();
    let carrying: Vec<Ix> = boosters.iter().copied().filter(carries).collect();
    let (dies, out) = (carrying[0], carrying[1]);
    world.crash(dies);
    boosters.remove(&dies);
    world.run_for(5 * SECOND);
    all_hear(&mut world, &boosters, 4 * SECOND);
    world.command(0, Command::Kick(Banned::Node(world.nodes[out].id)));
    world.run_for(5 * SECOND);
    assert!(!world.inside().contains(&out));
    boosters.remove(&out);
    all_hear(&mut world, &boosters, 4 * SECOND);
    assert_deaf(&world, &boosters);
}

#[test]
fn a_booster_does_not_speak() {
    let (mut world, boosters) = room(6, Protection::Off, 1);
    let booster = *boosters.first().expect("a booster");
    let room = world.nodes[booster].room.as_mut().expect("it runs");
    let command = treehouse_room::Input::Command(Command::RaiseHand { media_seed: [9; 32] });
    assert_eq!(room.handle_input(world.now, command), Err(RoomError::Booster));
    let node = world.nodes[booster].id;
    world.command(booster, Command::LowerHand);
    world.run_for(SECOND);
    let out_of_role = Event::Offence { peer: node, kind: Offence::OutOfRole };
    assert!(!world.has_event(0, |event| *event == out_of_role), "it asks for nothing that it may not");
    // One that does not keep to it is thrown out.
    world.slip_control(booster, 0, &Control::Hand { claim: None });
    assert!(world.has_event(0, |event| *event == out_of_role));
    world.run_for(2 * SECOND);
    assert!(!world.has_event(0, |event| matches!(event, Event::Hand { peer, .. } if *peer == node)));
}

/// Boosters have twice the slots of everybody else and came first: nobody would lead a region or stand beside the host rather.
#[test]
fn a_booster_is_made_no_hub_and_no_co_root() {
    for seed in [7, 8] {
        let mut world = World::new(seed, Protection::Relays);
        world.region_max = 30;
        world.open(6);
        world.speak(0);
        let link = boost_link(&world);
        let boosters: BTreeSet<Ix> = (0..3).map(|_| world.join_with(link.clone(), 12)).collect();
        for n in 0..120 {
            world.join(if n % 4 == 3 { 0 } else { 6 });
            world.run_for(Duration::from_millis(200));
            for booster in &boosters {
                let view = world.room(*booster).view();
                assert!(!view.root && view.region.is_none(), "seed {seed}: {booster}");
            }
        }
        world.run_for(15 * SECOND);
        let all = members(&world, &boosters);
        let view = |ix: &Ix| world.room(*ix).view();
        let leaders = all.iter().filter(|ix| view(ix).region.is_some()).count();
        assert!(leaders >= 3, "members lead regions: {leaders}");
        assert!(all.iter().any(|ix| *ix != 0 && view(ix).root), "a member is co-root");
        assert!(boosters.iter().all(|ix| !view(ix).root && view(ix).region.is_none()), "seed {seed}");
        assert!(fed_by(&world, &boosters) > 0, "they carry");
    }
}
