//! Talkspurts down a tree of three frames a packet: they begin and end anywhere in a packet, and none waits for the next.

use std::time::Duration;

use crate::support::World;
use treehouse_room::Protection;

const FRAME: Duration = Duration::from_millis(20);
/// The longest way in these rooms, the wait for the rest of a packet, and a tick's.
const HEARD: Duration = Duration::from_millis(600);

#[test]
fn every_frame_of_a_short_talkspurt_is_heard_before_the_next() {
    let mut world = World::new(40, Protection::Off);
    world.open(6);
    for n in 0..70 {
        world.join(if n % 4 == 3 { 0 } else { 6 });
        world.run_for(Duration::from_millis(50));
    }
    world.run_for(Duration::from_secs(6));
    let speakers = [0, 1];
    for speaker in speakers {
        world.speak(speaker);
    }
    world.run_for(Duration::from_secs(3));
    for (spurt, speaker) in (0..18).flat_map(|spurt| speakers.map(|speaker| (spurt, speaker))) {
        for quiet in speakers {
            world.nodes[quiet].speaking = false;
        }
        world.run_for(HEARD);
        // Silence takes numbers, so that talkspurts of one to six frames begin at each place in a packet.
        let next = world.nodes[speaker].next_frame + 40;
        world.nodes[speaker].next_frame = next.next_multiple_of(3) + spurt % 3;
        let from = world.now;
        world.resume(speaker);
        world.run_for(FRAME * (spurt / 3));
        world.nodes[speaker].speaking = false;
        world.run_for(HEARD);
        let captured = world.nodes[speaker].captured.values().filter(|at| **at >= from).count();
        assert_eq!(captured, 1 + spurt as usize / 3);
        for ix in world.inside().into_iter().filter(|ix| *ix != speaker) {
            world.assert_heard(speaker, ix, from, world.now);
        }
    }
}
