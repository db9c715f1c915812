//! Members that break the protocol: what they send is refused or dropped, nobody else notices.

use std::time::Duration;

use crate::support::{Ix, Withholds, World};
use treehouse_invite::MediaClaim;
use treehouse_room::{Cheap, Command, Event, Input, Offence, Protection};
use treehouse_wire::{
    Bytes, CaptureTime, Contact, Control, Epoch, FrameNumber, FramesPerPacket, Header, Level, List, MediaKey, Packet,
    RoomKey, Suite,
    control::{Purpose, Refusal},
};

const SECOND: Duration = Duration::from_secs(1);

/// Twenty members, node 1 talking.
fn room(protection: Protection) -> World<Cheap> {
    let mut world = World::new(20, protection);
    world.open(3);
    for _ in 0..20 {
        world.join(3);
        world.run_for(Duration::from_millis(100));
    }
    world.run_for(8 * SECOND);
    world.speak(1);
    world.run_for(2 * SECOND);
    world
}

/// A relay that is no root, and one of those that live on it.
fn relay_and_child(world: &World<Cheap>) -> (Ix, Ix) {
    let pairs = world.inside().into_iter().filter(|ix| *ix > 1 && !world.room(*ix).view().root).filter_map(|ix| {
        let view = world.room(ix).view();
        let child = view.children.iter().find(|(_, purpose)| *purpose == Purpose::Primary)?.0;
        Some((ix, world.index[&child]))
    });
    pairs.into_iter().find(|(_, child)| *child != 1).expect("somebody relays")
}

/// Everybody but the hostile node hears everything in the next seconds.
fn nobody_notices(world: &mut World<Cheap>, hostile: Ix) {
    let from = world.now;
    world.run_for(4 * SECOND);
    let to = world.now;
    world.run_for(SECOND);
    for ix in world.inside().into_iter().filter(|ix| *ix != 1 && *ix != hostile) {
        world.assert_heard(1, ix, from, to);
    }
}

fn accused(world: &World<Cheap>, by: Ix, whom: Ix, of: Offence) -> bool {
    let peer = world.nodes[whom].id;
    world.has_event(by, |event| *event == Event::Offence { peer, kind: of })
}

/// A packet of node 1's voice, sealed and signed by another key than node 1's.
fn made_up(world: &World<Cheap>, first: u32) -> Bytes {
    let key = Cheap.voice_key(&world.room(0).id(), Epoch::default(), &RoomKey([5; 32]), &MediaKey([5; 32]));
    let header = Header {
        k: FramesPerPacket::One,
        epoch: Epoch::default(),
        voice: world.nodes[1].voice.expect("it speaks"),
        first: FrameNumber(first),
        captured: CaptureTime(0),
    };
    let level = Level::SILENCE;
    let packet = Packet::seal(&Cheap, &world.room(0).id(), &[5; 32], &key, header, level, &[b"not what was said"]);
    packet.expect("a well-formed packet").bytes().clone()
}

#[test]
fn what_only_a_host_may_say_is_refused_from_others() {
    for n in 0..5 {
        let mut world = room(Protection::All);
        let (hostile, child) = relay_and_child(&world);
        let contact = Contact { node: world.nodes[hostile].id, addresses: List::default() };
        let (message, to) = match n {
            0 => (Control::StageContact(contact), child),
            1 => (Control::Offer { round: 1, candidates: List::truncated([contact]) }, child),
            2 => (Control::Refused(Refusal::UsedUp), child),
            // And what only a member may say, to one that is no host.
            3 => (Control::Seek { failed: List::default(), review: false }, child),
            _ => (Control::StageContact(contact), 0),
        };
        world.slip_control(hostile, to, &message);
        assert!(accused(&world, to, hostile, Offence::OutOfRole), "{message:?}");
        nobody_notices(&mut world, hostile);
    }
}

#[test]
fn a_packet_with_another_signature_is_never_played_and_costs_the_relay_its_child() {
    let mut world = room(Protection::All);
    let (hostile, child) = relay_and_child(&world);
    let ahead = world.nodes[1].next_frame + 10;
    let packet = made_up(&world, ahead);
    world.slip_media(hostile, child, packet);
    assert!(accused(&world, child, hostile, Offence::Forged));
    assert!(!world.room(child).view().feeds.iter().any(|feed| feed.node == world.nodes[hostile].id));
    nobody_notices(&mut world, hostile);
}

#[test]
fn a_packet_of_a_voice_that_nobody_knows_is_dropped_and_accuses_nobody() {
    let mut world = room(Protection::Off);
    let (hostile, child) = relay_and_child(&world);
    world.nodes[1].voice = world.nodes[1].voice.map(|mut voice| {
        voice.0[0] ^= 1;
        voice
    });
    let packet = made_up(&world, 10);
    world.nodes[1].voice = world.nodes[1].voice.map(|mut voice| {
        voice.0[0] ^= 1;
        voice
    });
    world.slip_media(hostile, child, packet);
    nobody_notices(&mut world, hostile);
    assert!(!world.has_event(child, |event| matches!(event, Event::Offence { .. })));
}

#[test]
fn a_member_that_leaves_while_it_is_admitted_again_is_not_accused() {
    let mut world = room(Protection::All);
    let (leaver, _) = relay_and_child(&world);
    let host = world.nodes[0].id;
    // Its link to the host is new, so it has asked for admission; the answer comes when it has said goodbye.
    world.input(leaver, Input::LinkDown { peer: host });
    world.input(leaver, Input::LinkUp { peer: host });
    world.command(leaver, Command::Leave);
    world.run_for(2 * SECOND);
    assert!(!accused(&world, 0, leaver, Offence::OutOfRole));
    nobody_notices(&mut world, leaver);
}

#[test]
fn replayed_packets_are_not_played_again() {
    let mut world = room(Protection::Off);
    let (hostile, child) = relay_and_child(&world);
    world.keep_packets = true;
    world.run_for(SECOND);
    world.keep_packets = false;
    let packets = world.kept.clone();
    assert!(packets.len() > 40, "{} packets", packets.len());
    let played = world.nodes[child].played.len();
    // The world itself asserts that no frame is played twice.
    for packet in packets.iter().cycle().take(1500) {
        world.slip_media(hostile, child, packet.clone());
    }
    let new = world.nodes[child].played.len() - played;
    assert!(new <= 20, "only what was under way is new, not {new}");
    world.run_for(5 * SECOND);
    for packet in packets {
        world.slip_media(hostile, child, packet);
    }
    nobody_notices(&mut world, hostile);
}

#[test]
fn old_packets_are_not_new_to_one_that_has_heard_nothing() {
    let mut world = room(Protection::Off);
    world.keep_packets = true;
    world.run_for(SECOND);
    world.keep_packets = false;
    let packets = world.kept.clone();
    world.run_for(4 * SECOND);
    // Its parent gives it none of the voice, but beacons.
    let newcomer = world.join(0);
    for ix in world.inside() {
        world.withholds.insert(ix, Withholds { share: 1.0, only: Some(newcomer), ..Withholds::default() });
    }
    world.run_for(Duration::from_millis(1500));
    let parent = world.room(newcomer).upstream().parent.expect("it is fed");
    let parent = world.index[&parent];
    assert!(world.nodes[newcomer].played.is_empty());
    for packet in packets {
        world.slip_media(parent, newcomer, packet);
    }
    assert!(world.nodes[newcomer].played.is_empty(), "they are more than three seconds old");
    world.withholds.clear();
    world.run_for(2 * SECOND);
    assert!(world.nodes[newcomer].played.len() > 50, "what is new is played");
}

#[test]
fn a_flood_of_packets_or_messages_ends_the_link() {
    let mut world = room(Protection::All);
    let (hostile, child) = relay_and_child(&world);
    let packet = made_up(&world, 0);
    for _ in 0..3000 {
        world.slip_media(hostile, child, packet.clone());
    }
    assert!(accused(&world, child, hostile, Offence::Flood) || accused(&world, child, hostile, Offence::Forged));
    for nonce in 0..1000 {
        world.slip_control(hostile, 0, &Control::Ping { nonce });
    }
    assert!(accused(&world, 0, hostile, Offence::Flood));
    nobody_notices(&mut world, hostile);
}

#[test]
fn packets_that_nobody_asked_for_are_dropped_and_at_last_end_the_link() {
    let mut world = room(Protection::All);
    let hostile = world.inside().into_iter().rfind(|ix| *ix > 1).expect("members");
    let packet = made_up(&world, 0);
    for _ in 0..60 {
        world.slip_media(hostile, 0, packet.clone());
        world.run_for(Duration::from_millis(100));
    }
    assert!(accused(&world, 0, hostile, Offence::Unsolicited));
    nobody_notices(&mut world, hostile);
}

#[test]
fn a_member_that_claims_the_key_of_another_voice_does_not_get_it() {
    // While the speaker is on stage, and once it has left.
    for is_there in [true, false] {
        let mut world = room(Protection::All);
        let (hostile, _) = relay_and_child(&world);
        let key = world.media_key(1);
        if !is_there {
            world.command(1, Command::LowerHand);
            world.run_for(3 * SECOND);
        }
        let (id, node) = (world.room(0).id(), world.nodes[hostile].id);
        // Any member can sign that a key is its own, but has not got it.
        let seed = world.nodes[hostile].identity_seed;
        let claim = MediaClaim::sign(&Cheap, &seed, &id, &node, key);
        let proof = MediaClaim::prove(&Cheap, &seed, &id, &node);
        world.slip_control(hostile, 0, &Control::Hand { claim: Some((claim.key, claim.signature, proof)) });
        assert!(accused(&world, 0, hostile, Offence::Forged));
        world.run_for(3 * SECOND);
        let staged =
            |event: &Event| matches!(event, Event::Stage(stage) if stage.iter().any(|member| member.node == node));
        let raised = |event: &Event| matches!(event, Event::Hand { peer, .. } if *peer == node);
        assert!(!world.has_event(0, staged) && !world.has_event(0, raised), "it is not on stage, nor waits for it");
    }
}
