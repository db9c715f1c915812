//! What a room hands to one who records: all that is said while the signed flag is on, and nothing else.

use std::{collections::BTreeMap, time::Duration};

use crate::support::{Ix, World};
use treehouse_invite::{Beacon, Charter, RoomState, Stage, StateList};
use treehouse_room::{Cheap, Command, Event, Input, Instant, Protection, Recorded, RoomError};
use treehouse_wire::{Epoch, FrameNumber, Packet, Suite, VoiceId};

const SECOND: Duration = Duration::from_secs(1);
/// From the flag on until all speak under the new key.
const ACTIVE: Duration = Duration::from_millis(1000);

/// A room in which member 1 and the host record from their beginning, the host and member 2 talk, and a flag is put up in the middle.
fn recorded_room(members: usize) -> (World<Cheap>, Instant, Instant) {
    let mut world = World::new(3, Protection::Relays);
    world.open(8);
    world.command(0, Command::Record);
    let member = world.join(4);
    world.command(member, Command::Record);
    world.join_many(members, 3, 6);
    world.speak(0);
    world.speak(2);
    world.run_for(4 * SECOND);
    world.command(0, Command::SetRecording(true));
    let on = world.now;
    world.run_for(6 * SECOND);
    world.command(0, Command::SetRecording(false));
    let off = world.now;
    world.run_for(4 * SECOND);
    (world, on, off)
}

/// How often each frame was handed out, and the epochs of the packets.
fn frames(world: &World<Cheap>, ix: Ix) -> (BTreeMap<(VoiceId, FrameNumber), u32>, Vec<Epoch>) {
    let (mut frames, mut epochs) = (BTreeMap::new(), Vec::new());
    for recorded in &world.nodes[ix].recorded {
        let Recorded::Packet { packet, key, room_key, new } = recorded else { continue };
        let packet = Packet::parse(packet.clone()).expect("a packet");
        let header = *packet.header();
        assert!(packet.verify(&world.suite, &world.room(ix).id(), key) && key.voice() == header.voice);
        let voice_key = world.suite.voice_key(&world.room(ix).id(), header.epoch, room_key, key);
        packet.open(&world.suite, &voice_key).expect("the key is that of its epoch");
        for (_, number) in header.frames().enumerate().filter(|(bit, _)| new & (1 << bit) != 0) {
            *frames.entry((header.voice, number)).or_default() += 1;
        }
        epochs.push(header.epoch);
    }
    epochs.sort_unstable();
    epochs.dedup();
    (frames, epochs)
}

#[test]
fn all_that_is_said_while_the_flag_is_on_is_handed_out_once_and_nothing_else() {
    // Down a tree of single frames, and one of three.
    for members in [10, 70] {
        let (world, on, off) = recorded_room(members);
        for ix in [0, 1] {
            let (frames, epochs) = frames(&world, ix);
            assert_eq!(epochs.len(), 1, "all under the key that came with the flag: {epochs:?}");
            assert!(frames.values().all(|times| *times == 1), "each once");
            for speaker in [0, 2] {
                let voice = world.nodes[speaker].voice.expect("it speaks");
                for (number, at) in &world.nodes[speaker].captured {
                    let is_in = frames.contains_key(&(voice, *number));
                    // Three frames go together, and take up to a second from the speaker to the end of the tree.
                    let said_in_time = *at >= on.after(ACTIVE) && at.after(Duration::from_millis(500)) < off;
                    assert!(is_in || !said_in_time, "{ix} lacks frame {} of {speaker}", number.0);
                    assert!(
                        !is_in || *at >= on && *at <= off.after(SECOND),
                        "{ix} has frame {} of {speaker}",
                        number.0
                    );
                    // What the host itself says it does not record from the moment on that it takes the flag down.
                    assert!(ix != 0 || speaker != 0 || !is_in || *at <= off, "{}", number.0);
                }
            }
        }
    }
}

#[test]
fn states_charter_and_accounts_come_with_it_as_they_were_signed() {
    let (world, ..) = recorded_room(10);
    let (room, host) = (world.room(0).id(), world.nodes[0].id);
    for ix in [0, 1] {
        let recorded = &world.nodes[ix].recorded;
        let Some(Recorded::Charter(charter)) = recorded.first() else { panic!("the charter comes first") };
        assert!(Charter::verify(&world.suite, charter, &room).is_ok());
        let mut flags = Vec::new();
        for item in recorded {
            match item {
                Recorded::State { recording, head, stage } => {
                    let state = RoomState::verify(&world.suite, head, &room, &host).expect("the host's");
                    assert_eq!(
                        (state.recording, state.stage_digest),
                        (*recording, Stage::from_bytes(stage).unwrap().digest())
                    );
                    flags.push(*recording);
                }
                Recorded::Beacon(beacon) => {
                    assert!(Beacon::verify(&world.suite, beacon, &room, &host).is_ok());
                    assert_eq!(flags.last(), Some(&true), "only while the flag is on");
                }
                Recorded::Packet { .. } => assert_eq!(flags.last(), Some(&true)),
                Recorded::Charter(_) => {}
            }
        }
        assert_eq!(flags, [true, false]);
        assert!(recorded.iter().any(|item| matches!(item, Recorded::Beacon(_))));
    }
}

#[test]
fn a_room_that_nobody_records_hands_out_nothing_and_everyone_sees_the_flag() {
    let (world, on, off) = recorded_room(10);
    assert!(world.nodes[3].recorded.is_empty());
    for ix in world.inside() {
        let flags: Vec<_> = world.nodes[ix]
            .events
            .iter()
            .filter_map(|(at, event)| match event {
                Event::Recording(flag) => Some((*flag, *at)),
                _ => None,
            })
            .collect();
        let [(true, up), (false, down)] = flags[..] else { panic!("{flags:?}") };
        assert!(up >= on && up < on.after(SECOND) && down >= off && down < off.after(SECOND));
    }
}

#[test]
fn the_flag_and_the_key_of_the_epoch_change_in_one_state() {
    let mut world = World::new(9, Protection::Off);
    world.open(8);
    world.command(0, Command::Record);
    // The first key was drawn just now: the next has to wait, and the flag with it.
    world.command(0, Command::SetRecording(true));
    world.run_for(Duration::from_millis(50));
    assert!(!world.nodes[0].recorded.iter().any(|item| matches!(item, Recorded::State { .. })));
    world.run_for(SECOND);
    world.command(0, Command::SetRecording(false));
    world.run_for(SECOND);
    world.command(0, Command::SetRecording(true));
    world.command(0, Command::SetRecording(true));
    world.run_for(SECOND);
    let host = world.nodes[0].id;
    let states = world.nodes[0].recorded.iter().filter_map(|item| match item {
        Recorded::State { head, .. } => RoomState::verify(&world.suite, head, &world.room(0).id(), &host).ok(),
        _ => None,
    });
    let seen: Vec<_> = states.map(|state| (state.recording, state.epoch.number)).collect();
    assert_eq!(seen, [(true, 1), (false, 2), (true, 3)]);
    let member = world.join(2);
    world.run_for(SECOND);
    let now = world.now;
    let room = world.nodes[member].room.as_mut().expect("a member");
    let refused = room.handle_input(now, Input::Command(Command::SetRecording(false)));
    assert_eq!(refused, Err(RoomError::NotHost));
}
