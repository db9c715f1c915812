//! Two Rooms by hand, without a network: a host and a guest in one process, in virtual time. What one sends is handed to the
//! other; when both have nothing to do, time jumps to the next timer. Run it with
//! `cargo run -p treehouse-examples --bin two_rooms`.

use std::collections::VecDeque;

use anyhow::{Context, Result, ensure};
use treehouse_invite::{Charter, Holder, Invite, Policy, Role, Terms};
use treehouse_room::{Cheap, Config, Event, HostConfig, Input, Instant, JoinConfig, Output, Past, Protection, Room};
use treehouse_wire::{
    Bytes, CaptureTime, Contact, FrameNumber, Level, List, NodeId, Suite, UnixSeconds, control::Name,
};

const WALL: UnixSeconds = UnixSeconds(1_800_000_000);
const FRAMES: u32 = 50;

fn config(name: &str, seed: u8, children_max: u8) -> Config {
    Config { identity_seed: [seed; 32], random_seed: [seed + 1; 32], name: Name::cleaned(name), children_max }
}

fn open(now: Instant) -> Result<(Room<Cheap>, Invite)> {
    let signer = Cheap.signer(&[1; 32]);
    let founder = NodeId(Cheap.public_key(&signer));
    let title = Name::cleaned("By hand");
    let charter = Charter { founder, salt: [0; 16], title, policy: Policy::Social, successors: List::default() };
    let charter_statement = charter.sign(&Cheap, &signer);
    let expires = UnixSeconds(WALL.0 + 3600);
    let terms = Terms { role: Role::Listener, not_before: WALL, expires, uses: None, depth: 0 };
    let contact = Contact { node: founder, addresses: List::default() };
    let holder = Holder::Bearer { seed: [7; 32] };
    let invite = Invite::issue(&Cheap, &signer, charter.founding(), terms, holder, [contact])?;
    let host = HostConfig {
        charter,
        charter_statement,
        protection: Some(Protection::Off),
        media_seed: Some([9; 32]),
        region_max: HostConfig::REGION_MAX_DEFAULT,
        past: Past::default(),
    };
    Ok((Room::host(now, WALL, Cheap, config("host", 1, 4), host), invite))
}

/// Hands what each room sends to the other, until neither has anything to say; returns the frames that the guest hears.
fn exchange(now: Instant, rooms: &mut [Room<Cheap>; 2]) -> u32 {
    let mut played = 0;
    let mut quiet = 0;
    let mut at = 0;
    while quiet < 2 {
        let outputs: VecDeque<Output> = std::iter::from_fn(|| rooms[at].poll_output()).collect();
        quiet = if outputs.is_empty() { quiet + 1 } else { 0 };
        let (me, other) = (rooms[at].node(), 1 - at);
        for output in outputs {
            // A real driver logs an input that a room refuses; here none does.
            let _ = match output {
                Output::Dial { peer, .. } => {
                    println!("{now:?}: a link to {peer:?}");
                    let _ = rooms[at].handle_input(now, Input::LinkUp { peer });
                    rooms[other].handle_input(now, Input::LinkUp { peer: me })
                }
                Output::Send { bytes, .. } => {
                    rooms[other].handle_input(now, Input::Control { from: me, bytes: &bytes })
                }
                Output::Forward { packet, .. } => rooms[other].handle_input(now, Input::Media { from: me, packet }),
                Output::Hangup { .. } => rooms[other].handle_input(now, Input::LinkDown { peer: me }),
                // Only a simulator's rooms ask for it.
                Output::Measure { .. } | Output::MeasureFeed { .. } => Ok(()),
                // Nobody records.
                Output::Record(_) => Ok(()),
                // A real driver writes it down first.
                Output::Redeem(redemption) => rooms[at].handle_input(now, Input::Redeemed { redemption, kept: true }),
                Output::Play(_) => {
                    played += 1;
                    Ok(())
                }
                Output::Event(event) => {
                    if !matches!(event, Event::Members(_)) {
                        println!("{now:?}: {} {event:?}", if at == 0 { "host " } else { "guest" });
                    }
                    Ok(())
                }
            };
        }
        at = other;
    }
    played
}

fn main() -> Result<()> {
    let mut now = Instant::ZERO;
    let (host, invite) = open(now)?;
    let guest = Room::join(now, WALL, Cheap, config("guest", 3, 0), JoinConfig { invite });
    let mut rooms = [host, guest];
    let mut heard = exchange(now, &mut rooms);
    let mut next_frame = 0;
    while next_frame < FRAMES {
        let timers = rooms.iter().filter_map(|room| room.poll_timeout().map(|(at, _)| at));
        let frame_at = Instant::from_micros(3_000_000 + u64::from(next_frame) * 20_000);
        now = timers.chain([frame_at]).min().context("there is always a timer")?.max(now);
        rooms.iter_mut().for_each(|room| room.handle_timeout(now));
        if now >= frame_at {
            let number = FrameNumber(next_frame);
            let captured = CaptureTime(u64::from(next_frame) * 960);
            let (level, opus) = (Level::from_minus_dbov(20), Bytes::from_static(b"a frame of Opus"));
            rooms[0].handle_input(now, Input::Captured { number, captured, level, opus })?;
            next_frame += 1;
        }
        heard += exchange(now, &mut rooms);
    }
    println!("the host said {FRAMES} frames, the guest heard {heard}");
    ensure!(heard == FRAMES, "the guest missed {} frames", FRAMES - heard);
    Ok(())
}
