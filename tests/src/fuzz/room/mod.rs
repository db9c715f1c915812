//! A room fed with anything in any order: links that come and go, messages and packets of several neighbours, time, commands.
//!
//! The input is a script. Its first byte says who is under test, each following byte what happens next, and the bytes behind
//! that the details; see [`step`] and `Play::happen`. After each happening `check` looks at all that the room puts out.

pub mod cast;
mod check;
mod say;
pub mod script;

use std::time::Duration;

use bytes::Bytes;
use treehouse_invite::{Banned, Charter};
use treehouse_room::{
    Cheap, Command, Config, HostConfig, Input, Instant, JoinConfig, Past, Protection, Room, RoomError,
};
use treehouse_wire::{Blob, CaptureTime, FrameNumber, FramesPerPacket, Level, UnixSeconds, control::Name};

use super::Verdict;
use cast::{Cast, ME, PEERS, RANDOM_SEED, WALL};
use check::Check;
use script::Script;

/// Who is under test, by the first byte.
pub mod subject {
    /// A host that may feed three.
    pub const HOST: u8 = 0;
    /// Somebody who comes, by an invite of the host, neighbour 0.
    pub const NEWCOMER: u8 = 1;
    /// A member that feeds others, with neighbour 1 as its parent and neighbours 0 to 2 on stage.
    pub const RELAY: u8 = 2;
}

/// What happens, by the first byte of each step.
pub mod step {
    /// A link is up: peer.
    pub const LINK_UP: u8 = 0;
    /// A link is down: peer.
    pub const LINK_DOWN: u8 = 1;
    /// Nobody answered a dial: peer.
    pub const DIAL_FAILED: u8 = 2;
    /// Time passes: hundredths of a second, times sixteen where the top bit is set.
    pub const TIME: u8 = 3;
    /// A message as it is: peer, length (two bytes), bytes.
    pub const RAW_MESSAGE: u8 = 4;
    /// A message: peer, its number in section 9 of the protocol, details.
    pub const MESSAGE: u8 = 5;
    /// A packet as it is: peer, length (two bytes), bytes.
    pub const RAW_PACKET: u8 = 6;
    /// A packet: peer, speaker, first frame (two bytes), bits: 1 k = 3, 2 forged.
    pub const PACKET: u8 = 7;
    /// The own voice: frame (two bytes).
    pub const CAPTURED: u8 = 8;
    /// A command: which, peer.
    pub const COMMAND: u8 = 9;
    /// A link dropped packets: peer, how many.
    pub const LANE_DROPS: u8 = 10;
    /// The wall clock goes: minutes.
    pub const WALL_CLOCK: u8 = 11;
    /// Where the node can be reached changes: whether at all.
    pub const LISTENING: u8 = 12;
    /// The same message as last time, from: peer.
    pub const MESSAGE_AGAIN: u8 = 13;
    /// The same packet as last time, from: peer.
    pub const PACKET_AGAIN: u8 = 14;
    /// How many kinds there are.
    pub const COUNT: u8 = 15;
}

/// Steps of one input; what is behind them is not looked at.
const STEPS_MAX: usize = 400;
/// Feeds that the node under test gives.
const CHILDREN_MAX: u8 = 3;
/// Times that a room may want to wake at one instant.
const WAKES_MAX: usize = 64;

/// A room and its neighbours.
struct Play {
    cast: Cast,
    room: Room<Cheap>,
    now: Instant,
    wall: UnixSeconds,
    check: Check,
    message: Vec<u8>,
    packet: Bytes,
}

/// A script of anything.
///
/// # Panics
/// When the room does, or does anything that `check` knows it must not.
pub fn room(input: &[u8]) -> Verdict {
    let mut script = Script::new(input);
    let mut play = Play::open(script.byte());
    for _ in 0..STEPS_MAX {
        if script.is_empty() {
            break;
        }
        let step = script.byte() % step::COUNT;
        play.happen(step, &mut script);
    }
    // Whatever has happened, the room is in order some time later.
    play.pass(Duration::from_secs(3));
    Verdict::Room(play.check.told())
}

impl Play {
    fn open(first: u8) -> Play {
        let host = if first % 3 == subject::HOST { ME } else { 0 };
        let cast = Cast { host };
        let name = Name::cleaned("under test");
        let (identity_seed, random_seed) = (Cast::seed(ME), RANDOM_SEED);
        let config = Config { identity_seed, random_seed, name, children_max: CHILDREN_MAX };
        let now = Instant::from_micros(1_000_000);
        let room = if host == ME {
            Room::host(now, WALL, Cheap, config, opened(cast.charter(), cast))
        } else {
            Room::join(now, WALL, Cheap, config, JoinConfig { invite: cast.invite(0) })
        };
        let check = Check::new(cast, now);
        let mut play = Play { cast, room, now, wall: WALL, check, message: Vec::new(), packet: Bytes::new() };
        play.listen(true);
        if first % 3 == subject::RELAY {
            // Admission, state, a parent.
            let begun = [
                &[step::LINK_UP, 0],
                &[step::MESSAGE, 0, 5, ME, 0, 0][..],
                &[step::MESSAGE, 0, 20, 1, 0b111, 0, 0xff, 4],
                &[step::MESSAGE, 0, 21, 0b111, 0],
                &[step::MESSAGE, 0, 10, 2, 3, 9, 1, 0xff, 2, 0, 0, 0, 0, 0, 60],
                &[step::LINK_UP, 1],
                &[step::MESSAGE, 1, 14, 0, 1, 0, 1, 2, 1, 0, 0, 7, 0, 0, 0, 0, 1],
            ]
            .concat();
            let mut begun = Script::new(&begun);
            while !begun.is_empty() {
                let step = begun.byte();
                play.happen(step, &mut begun);
            }
            assert!(play.room.view().inside && !play.room.view().feeds.is_empty(), "{:?}", play.room.view());
        }
        play
    }

    fn happen(&mut self, step: u8, script: &mut Script<'_>) {
        match step {
            step::LINK_UP => self.link_up(script.byte() % PEERS),
            step::LINK_DOWN => self.link_down(script.byte() % PEERS),
            step::DIAL_FAILED => {
                let peer = Cast::node(script.byte() % PEERS);
                let attempts = vec![(Blob::truncated([0; 4]), "nobody answers".to_owned())];
                self.input(Input::DialFailed { peer, attempts });
            }
            step::TIME => {
                let byte = script.byte();
                let hundredths = u64::from(byte & 0x7f) * if byte & 0x80 == 0 { 1 } else { 16 };
                self.pass(Duration::from_millis(10 * hundredths));
            }
            step::RAW_MESSAGE => {
                let (from, len) = (script.byte() % PEERS, script.number() as usize);
                self.message = script.bytes(len).to_vec();
                self.control(from);
            }
            step::MESSAGE => {
                let (from, number) = (script.byte() % PEERS, script.byte());
                self.message = say::message(self.cast, from, number, script).to_bytes();
                self.control(from);
            }
            step::MESSAGE_AGAIN => self.control(script.byte() % PEERS),
            step::RAW_PACKET => {
                let (from, len) = (script.byte() % PEERS, script.number() as usize);
                self.packet = Bytes::copy_from_slice(script.bytes(len));
                self.media(from);
            }
            step::PACKET => {
                let (from, speaker, first, bits) =
                    (script.byte() % PEERS, script.byte() % PEERS, script.number(), script.byte());
                let k = if bits & 1 == 1 { FramesPerPacket::Three } else { FramesPerPacket::One };
                if let Some(packet) = self.cast.packet(speaker, first / k.count() * k.count(), k, bits & 2 == 2) {
                    self.packet = packet;
                    self.media(from);
                }
            }
            step::PACKET_AGAIN => self.media(script.byte() % PEERS),
            _ => self.happen_here(step, script),
        }
    }

    /// What the user and the driver bring about.
    fn happen_here(&mut self, step: u8, script: &mut Script<'_>) {
        match step {
            step::CAPTURED => {
                let number = script.number();
                let captured = CaptureTime(u64::from(number) * 960);
                let level = Level::from_minus_dbov(script.byte());
                self.input(Input::Captured {
                    number: FrameNumber(number),
                    captured,
                    level,
                    opus: Cast::sound(ME, number),
                });
            }
            step::COMMAND => {
                let (which, peer) = (script.byte(), Cast::node(script.byte() % (ME + 1)));
                let command = match which % 8 {
                    0 | 1 => Command::RaiseHand { media_seed: Cast::media_seed(ME) },
                    2 => Command::LowerHand,
                    3 | 4 => Command::Promote(peer),
                    5 => Command::Demote(peer),
                    6 if which & 16 == 16 => Command::Kick(Banned::Node(peer)),
                    6 if which & 32 == 32 => Command::Unban(Banned::Node(peer)),
                    6 => Command::SetRecording(which & 8 == 8),
                    _ => Command::Leave,
                };
                self.input(Input::Command(command));
            }
            step::LANE_DROPS => {
                let (peer, packets) = (Cast::node(script.byte() % PEERS), u32::from(script.byte()));
                self.input(Input::LaneDrops { peer, packets });
            }
            step::WALL_CLOCK => {
                self.wall = UnixSeconds(self.wall.0.saturating_add(60 * u64::from(script.byte())));
                self.input(Input::WallClock(self.wall));
            }
            _ => self.listen(script.byte() & 1 == 0),
        }
    }

    fn listen(&mut self, reachable: bool) {
        let addresses = if reachable { Cast::contact(ME).addresses.to_vec() } else { Vec::new() };
        self.input(Input::Listening(addresses));
    }

    fn link_up(&mut self, who: u8) {
        // A second connection is the driver's business.
        if self.check.connect(who) {
            self.input(Input::LinkUp { peer: Cast::node(who) });
        }
    }

    fn link_down(&mut self, who: u8) {
        if self.check.disconnect(who) {
            self.input(Input::LinkDown { peer: Cast::node(who) });
        }
    }

    /// A driver reads only from those that it is connected to.
    fn control(&mut self, from: u8) {
        if self.check.is_connected(from) {
            let bytes = std::mem::take(&mut self.message);
            self.input(Input::Control { from: Cast::node(from), bytes: &bytes });
            self.message = bytes;
        }
    }

    fn media(&mut self, from: u8) {
        if self.check.is_connected(from) {
            let packet = self.packet.clone();
            self.input(Input::Media { from: Cast::node(from), packet });
        }
    }

    fn input(&mut self, input: Input<'_>) {
        match self.room.handle_input(self.now, input) {
            Ok(()) | Err(RoomError::Peer(_)) => {}
            Err(error) => self.check.refused(error),
        }
        self.check.look(&mut self.room, self.now);
    }

    /// Lets time pass, and the room wake when it wants to.
    fn pass(&mut self, time: Duration) {
        let until = self.now.after(time);
        let mut wakes = 0;
        while let Some((at, why)) = self.room.poll_timeout().filter(|(at, _)| *at <= until) {
            wakes = if at > self.now { 0 } else { wakes + 1 };
            assert!(wakes < WAKES_MAX, "the room does not come to rest: it wants to wake for {why:?} again and again");
            self.now = self.now.max(at);
            self.room.handle_timeout(self.now);
            self.check.look(&mut self.room, self.now);
        }
        self.now = until;
    }
}

fn opened(charter: Charter, cast: Cast) -> HostConfig {
    HostConfig {
        charter_statement: charter.sign(&Cheap, &Cast::seed(cast.host)),
        charter,
        protection: Some(Protection::Relays),
        media_seed: None,
        // So few that regions split where the script brings members.
        region_max: 5,
        past: Past::default(),
    }
}
