//! From speech to what a listener hears of it, in no time: encoder, network, jitter buffer, decoder.

use std::time::Duration;

use bytes::Bytes;
use treehouse_audio::{
    FRAME, JitterConfig, MixOptions,
    decode::{CONCEALED_AUDIBLE, Outcome, VoiceDecoder},
    encode::{EncoderSettings, VoiceEncoder},
    engine::{Desk, Voice, VoiceReport},
    jitter::JitterCounts,
    mix::{Block, Fade},
};
use treehouse_wire::{FrameNumber, VoiceId};

const TICK: Duration = Duration::from_millis(20);

/// What is sent of `speech`: one packet for each 20 ms, none where nothing is.
pub fn encode(speech: &[f32], settings: EncoderSettings) -> Vec<Option<Bytes>> {
    let mut encoder = VoiceEncoder::new().expect("an encoder");
    encoder.adapt(settings).expect("settings");
    let frames = speech.as_chunks::<FRAME>().0;
    frames.iter().map(|frame| encoder.encode(frame).expect("a packet").1).collect()
}

/// What is heard, and what it took.
pub struct Heard {
    pub pcm: Vec<f32>,
    /// Frames by how they came to be: decoded, FEC, DRED, concealed.
    pub outcomes: [u32; 4],
    /// What the jitter buffer counted, where there was one.
    pub counts: JitterCounts,
}

impl Heard {
    fn note(&mut self, outcome: Outcome) {
        let at = match outcome {
            Outcome::Decoded => 0,
            Outcome::Fec => 1,
            Outcome::Dred => 2,
            Outcome::Concealed => 3,
        };
        self.outcomes[at] += 1;
    }
}

/// Through the program's own jitter buffer. Ticks are `phase` off the speaker's.
pub fn adaptive(
    packets: &[Option<Bytes>],
    arrivals: &[Option<Duration>],
    config: JitterConfig,
    phase: Duration,
) -> Heard {
    let mut voice = Voice::new(config).expect("a decoder");
    let mut coming: Vec<(Duration, u32, Bytes)> = (0..)
        .zip(packets.iter().zip(arrivals))
        .filter_map(|(n, (packet, at))| Some(((*at)?, n, packet.clone()?)))
        .collect();
    coming.sort_by_key(|(at, n, _)| (*at, *n));
    let mut coming = coming.into_iter().peekable();
    let mut heard = Heard { pcm: Vec::new(), outcomes: [0; 4], counts: JitterCounts::default() };
    for tick in 0..packets.len() as u32 + 50 {
        let now = TICK * tick + phase;
        while let Some((at, n, packet)) = coming.next_if(|(at, ..)| *at <= now) {
            voice.insert(at, FrameNumber(n), packet);
        }
        let mut pcm = Block::default();
        heard.counts = voice.counts();
        voice.tick(now, &mut pcm, &mut |report| {
            if let VoiceReport::Played { outcome, .. } = report {
                heard.note(outcome);
            }
        });
        heard.pcm.extend(pcm.left);
    }
    heard.counts = voice.counts();
    heard
}

/// Through a buffer that delays by 60 ms from the first packet on, whatever comes: with the same decoder, redundancy and fade.
pub fn fixed(packets: &[Option<Bytes>], arrivals: &[Option<Duration>], delay: Duration) -> Heard {
    let mut decoder = VoiceDecoder::new().expect("a decoder");
    let mut heard = Heard { pcm: Vec::new(), outcomes: [0; 4], counts: JitterCounts::default() };
    let (mut fade, mut concealed) = (Fade::default(), 0);
    let start = arrivals.iter().zip(0u32..).find_map(|(at, n)| Some((*at)? - TICK * n)).expect("a packet") + delay;
    let came = |n: usize, by: Duration| {
        packets.get(n)?.as_ref().filter(|_| arrivals.get(n).is_some_and(|at| at.is_some_and(|at| at <= by)))
    };
    heard.pcm.resize((start.as_secs_f64() * 48_000.0) as usize, 0.0);
    for n in 0..packets.len() {
        let due = start + TICK * n as u32;
        let mut pcm = [0.0; FRAME];
        let outcome = match (came(n, due), (n + 1..n + 20).find_map(|later| Some((later, came(later, due)?)))) {
            (Some(packet), _) => decoder.decode(packet, &mut pcm),
            (None, Some((later, packet))) if later == n + 1 => decoder.decode_fec(packet, &mut pcm),
            (None, Some((later, packet))) => decoder.decode_dred(packet, (later - n) as u32, &mut pcm),
            (None, None) => decoder.conceal(&mut pcm),
        };
        heard.note(outcome);
        concealed = if outcome == Outcome::Concealed { concealed + 1 } else { 0 };
        fade.apply(&mut pcm, concealed <= CONCEALED_AUDIBLE);
        heard.pcm.extend(pcm);
    }
    heard
}

/// Through the program's mixing desk, where nothing is lost or late: what evening of loudness makes of it, or not.
pub fn mixed(packets: &[Option<Bytes>], arrivals: &[Option<Duration>], even_loudness: bool) -> Vec<f32> {
    let mut desk = Desk::new(JitterConfig::default(), MixOptions { even_loudness, spatial: false });
    let mut pcm = Vec::new();
    let mut coming = (0..).zip(packets.iter().zip(arrivals)).peekable();
    for tick in 0..packets.len() as u32 + 50 {
        let now = TICK * tick;
        while let Some((n, (packet, at))) = coming.next_if(|(_, (_, at))| at.is_none_or(|at| at <= now)) {
            if let (Some(packet), Some(at)) = (packet, at) {
                desk.insert(*at, VoiceId([1; 8]), FrameNumber(n), packet.clone()).expect("a decoder");
            }
        }
        let mut block = Block::default();
        desk.tick(now, &mut block);
        pcm.extend(block.left);
    }
    pcm
}
