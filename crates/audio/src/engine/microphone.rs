//! A microphone as frames: opened and closed as one is muted, processed, and held back while there is nothing to send.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use treehouse_wire::Level;

use super::{
    capture::{CaptureOptions, Controls, Meter, Talk},
    mic::Mic,
};
use crate::{
    FRAME,
    device::{DeviceError, DeviceReport, Direction, FarEndReader},
    level::level,
    mix::Block,
    process::{BLOCK, Heard, Processing, Processor},
};

/// After the key is let go what is said is sent still: people let go on the last syllable.
const TAIL_BLOCKS: u32 = 20;
/// Blocks that a meter sums up: 100 ms.
const METER_BLOCKS: u32 = 10;
/// How soon after it is switched on again a muted microphone is opened.
const LOOK_MUTED: Duration = Duration::from_millis(20);

/// What comes of a microphone.
pub(super) enum Piece {
    /// Sound that never arrived, in frames.
    Missing(u64),
    Frame {
        pcm: Box<Block>,
        level: Level,
        captured_at: Instant,
        /// Whether anybody is to hear it.
        sent: bool,
    },
    Meter(Meter),
}

pub(super) struct Microphone {
    name: Option<String>,
    options: CaptureOptions,
    controls: Arc<Controls>,
    /// None while muted: then no device is open.
    mic: Option<Mic>,
    reports: VecDeque<DeviceReport>,
    processor: Processor,
    far_end: FarEndReader,
    frame: Half,
    pieces: VecDeque<Piece>,
    /// Blocks for which a released key counts as held.
    tail: u32,
    meter: Sum,
}

/// A frame of which the first block may be there.
struct Half {
    pcm: Block,
    filled: usize,
    captured_at: Instant,
    /// Of its blocks the louder.
    level: Level,
    sent: bool,
}

/// The loudest of some blocks.
struct Sum {
    blocks: u32,
    meter: Meter,
}

impl Default for Sum {
    fn default() -> Self {
        Sum { blocks: 0, meter: Meter { level: Level::SILENCE, peak: 0.0, voice: false, sent: false } }
    }
}

impl Microphone {
    pub(super) fn open(
        name: Option<String>,
        options: CaptureOptions,
        controls: Arc<Controls>,
    ) -> Result<Self, DeviceError> {
        let mut reports = VecDeque::new();
        let mut mic = None;
        if !options.muted {
            let (opened, report) = Mic::open(name.clone(), channels(&options))?;
            mic = Some(opened);
            reports.push_back(report);
        }
        Ok(Microphone {
            name,
            processor: Processor::new(Processing::NONE),
            far_end: FarEndReader::new(options.far_end.clone()),
            options,
            controls,
            mic,
            reports,
            frame: Half {
                pcm: Block::default(),
                filled: 0,
                captured_at: Instant::now(),
                level: Level::SILENCE,
                sent: false,
            },
            pieces: VecDeque::new(),
            tail: 0,
            meter: Sum::default(),
        })
    }

    /// Opens or closes the device as one is muted; tells what has happened to it.
    pub(super) fn poll(&mut self) -> Option<DeviceReport> {
        let muted = self.controls.muted.load(Ordering::Relaxed);
        if muted && self.mic.is_some() {
            // Dropping it closes the stream before anything more can be read from it.
            self.mic = None;
            self.forget();
            self.reports.push_back(DeviceReport::Closed { direction: Direction::Capture });
        } else if !muted && self.mic.is_none() {
            match Mic::open_later(self.name.clone(), channels(&self.options)) {
                Ok(mic) => self.mic = Some(mic),
                Err(error) => tracing::debug!(%error, "the microphone is opened again later"),
            }
        }
        if let Some(report) = self.mic.as_mut().and_then(Mic::poll) {
            self.forget();
            self.reports.push_back(report);
        }
        self.reports.pop_front()
    }

    /// What was half there, and what the processing knew of the sound before.
    fn forget(&mut self) {
        self.frame.filled = 0;
        self.processor = Processor::new(Processing::NONE);
        self.far_end.skip();
        self.pieces.clear();
    }

    pub(super) fn next_piece(&mut self) -> Option<Piece> {
        if self.pieces.is_empty() {
            self.take_block();
        }
        self.pieces.pop_front()
    }

    fn take_block(&mut self) {
        let Some(mic) = &mut self.mic else { return };
        let missed = mic.read();
        let mut blocks = [[0.0; BLOCK]; 2];
        let Some(time) = mic.next_block(&mut blocks) else { return };
        let missing = missed + time.missing;
        if missing > 0 {
            // The other half of a frame is among what is lost.
            self.frame.filled = 0;
            self.pieces.push_back(Piece::Missing(missing));
        }
        let heard = self.process(&mut blocks);
        let sent = self.is_sent(heard);
        self.measure(heard, sent);
        self.append(&blocks, heard, sent, time.captured_at);
    }

    /// Processes a voice, and makes it the same on both sides; music stays as it is.
    fn process(&mut self, blocks: &mut [[f32; BLOCK]; 2]) -> Heard {
        let [left, right] = blocks;
        if self.options.music.is_some() {
            let peak = left.iter().chain(&*right).fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
            return Heard { level: level(left).min(level(right)), peak, voice: true };
        }
        let mut on = self.controls.processing();
        // Without speakers there is no echo, and cancelling it would cost 8 ms.
        on.echo &= self.far_end.is_connected();
        if on != self.processor.processing() {
            self.processor.set(on);
        }
        if self.far_end.is_new() {
            self.processor.new_loudspeakers();
        }
        let processor = &mut self.processor;
        self.far_end.blocks(|block| processor.far_end(block));
        let heard = self.processor.near_end(left);
        *right = *left;
        heard
    }

    fn is_sent(&mut self, heard: Heard) -> bool {
        match self.options.talk {
            Talk::Open => true,
            Talk::Voice => heard.voice,
            Talk::Push if self.controls.talking.load(Ordering::Relaxed) => {
                self.tail = TAIL_BLOCKS;
                true
            }
            Talk::Push => {
                let held = self.tail > 0;
                self.tail = self.tail.saturating_sub(1);
                held
            }
        }
    }

    fn measure(&mut self, heard: Heard, sent: bool) {
        let Meter { level, peak, voice, sent: was_sent } = &mut self.meter.meter;
        // Levels count downwards: the smaller is the louder.
        *level = (*level).min(heard.level);
        *peak = peak.max(heard.peak);
        *voice |= heard.voice;
        *was_sent |= sent;
        self.meter.blocks += 1;
        if self.meter.blocks >= METER_BLOCKS {
            self.pieces.push_back(Piece::Meter(std::mem::take(&mut self.meter).meter));
        }
    }

    fn append(&mut self, blocks: &[[f32; BLOCK]; 2], heard: Heard, sent: bool, captured_at: Instant) {
        let frame = &mut self.frame;
        if frame.filled == 0 {
            // What the processing gives out now came in some time ago.
            let delay = self.processor.delay();
            frame.captured_at = captured_at.checked_sub(delay).unwrap_or(captured_at);
            (frame.level, frame.sent) = (Level::SILENCE, false);
        }
        frame.level = frame.level.min(heard.level);
        frame.sent |= sent;
        for (pcm, block) in [&mut frame.pcm.left, &mut frame.pcm.right].into_iter().zip(blocks) {
            if let Some(half) = pcm.get_mut(frame.filled..frame.filled + BLOCK) {
                half.copy_from_slice(block);
            }
        }
        frame.filled += BLOCK;
        if frame.filled >= FRAME {
            frame.filled = 0;
            let Half { pcm, level, captured_at, sent, .. } = frame;
            let (pcm, level, captured_at, sent) = (Box::new(pcm.clone()), *level, *captured_at, *sent);
            self.pieces.push_back(Piece::Frame { pcm, level, captured_at, sent });
        }
    }

    /// How long there is nothing to do.
    pub(super) fn until_next_block(&self) -> Duration {
        self.mic.as_ref().map_or(LOOK_MUTED, Mic::until_next_block)
    }
}

/// Channels that are asked of the device.
fn channels(options: &CaptureOptions) -> usize {
    if options.music.is_some() { 2 } else { 1 }
}
