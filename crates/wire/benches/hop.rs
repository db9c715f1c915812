//! What a packet costs each hop beside its way, and what one voice takes on one link.
//!
//! `cargo bench -p treehouse-wire --profile dev --bench hop`
//!
//! A hop reads a packet's header and checks its signature before it passes it on, and opens it to hear it; a speaker seals and signs it
//! once. It prints the median CPU time of each, and beside it how many times a bare Ed25519 verification of 32 bytes that is: this
//! machine's own measure. Bytes on the wire count the stream's length and the headers below it as the simulator does.

use std::{hint::black_box, time::Duration};

use rustix::time::{ClockId, clock_gettime};
use treehouse_wire::{
    CaptureTime, Domain, Epoch, FrameNumber, FramesPerPacket, Header, Level, MediaKey, Packet, RoomId, RoomKey,
    Shipped, Suite,
};

/// Packets of one kind.
const PACKETS: u32 = 4000;
/// Bytes of a frame of 20 ms at 32 kbit/s.
const OPUS_BYTES: usize = 80;
const FRAMES_A_SECOND: f64 = 50.0;
/// Length before each packet on its stream.
const LENGTH_BYTES: usize = 2;
/// IPv4, UDP, QUIC's short header and tag, and its share of acknowledgements.
const BELOW_BYTES: usize = 60;

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Median CPU time of one of the calls, in microseconds, by batches of ten.
fn median_us(mut call: impl FnMut(u32)) -> f64 {
    let mut times: Vec<f64> = Vec::new();
    for batch in 0..PACKETS / 10 {
        let from = cpu_time();
        (0..10).for_each(|of| call(batch * 10 + of));
        times.push((cpu_time() - from).as_secs_f64() * 1e6 / 10.0);
    }
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() {
    let (suite, room, epoch) = (Shipped, RoomId([1; 32]), Epoch { term: 0, number: 1 });
    let signer = suite.signer(&[3; 32]);
    let key = MediaKey(suite.public_key(&signer));
    let voice_key = suite.voice_key(&room, epoch, &RoomKey([4; 32]), &key);
    let bare = Domain::Packet.sign(&suite, &signer, &room, &[5; 32]);
    let bare_us = median_us(|_| assert!(Domain::Packet.verify(&suite, &key.0, &room, &[5; 32], &bare)));
    println!("a bare verification: {bare_us:.1} us\n");
    println!("| k | seal and sign, us | verify, us | open, us | a hop that hears, us | times a bare verification |");
    println!("|---|---|---|---|---|---|");
    let kinds = [FramesPerPacket::One, FramesPerPacket::Three];
    let sealed = kinds.map(|k| {
        let count = k.count();
        let frames = vec![[6_u8; OPUS_BYTES]; count as usize];
        let seal = |number: u32| {
            let first = FrameNumber(number * count);
            let captured = CaptureTime(u64::from(first.0) * 960);
            let header = Header { k, epoch, voice: key.voice(), first, captured };
            let level = Level::from_minus_dbov(26);
            Packet::seal(&suite, &room, &signer, &voice_key, header, level, &frames).expect("frames")
        };
        let seal_us = median_us(|number| drop(black_box(seal(number))));
        let packets: Vec<_> = (0..PACKETS).map(|number| seal(number).bytes().clone()).collect();
        let verify_us = median_us(|number| {
            let packet = Packet::parse(packets[number as usize].clone()).expect("a packet");
            assert!(packet.verify(&suite, &room, &key));
        });
        let open_us = median_us(|number| {
            let packet = Packet::parse(packets[number as usize].clone()).expect("a packet");
            black_box(packet.open(&suite, &voice_key).expect("it opens"));
        });
        let hop_us = verify_us + open_us;
        println!("| {count} | {seal_us:.1} | {verify_us:.1} | {open_us:.1} | {hop_us:.1} | {:.2} |", hop_us / bare_us);
        (count, packets[0].len())
    });
    let opus = FRAMES_A_SECOND * OPUS_BYTES as f64;
    println!("\n| k | packet, bytes | packets a second | bytes a second on the link | times Opus alone ({opus:.0}) |");
    println!("|---|---|---|---|---|");
    for (count, len) in sealed {
        let packets = FRAMES_A_SECOND / f64::from(count);
        let bytes = packets * (len + LENGTH_BYTES + BELOW_BYTES) as f64;
        println!("| {count} | {len} | {packets:.2} | {bytes:.0} | {:.2} |", bytes / opus);
    }
}
