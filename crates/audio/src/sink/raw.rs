//! Samples one after the other, bare or behind a WAV header, for whoever reads along.
//!
//! A WAV header says how long the sound is, which nobody knows of one that goes on. Streams say the largest number there is, and
//! readers (sox, ffmpeg, browsers, and this crate's own) take that as "until the end".

use std::io::{self, Write};

use treehouse_wire::units::SAMPLE_RATE_HZ;

use super::SoundFile;
use crate::{FRAME, mix::Block};

/// How a sample is written, always little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Samples {
    /// 16 bits.
    S16le,
    /// 32 bits, floating point.
    F32le,
}

/// The 44 bytes before the samples of a WAV stream of 16 bits whose length nobody knows.
pub fn wav_header(channels: u16) -> Vec<u8> {
    let bytes_per_frame = 2 * channels;
    let bytes_per_second = SAMPLE_RATE_HZ * u32::from(bytes_per_frame);
    let mut header = Vec::with_capacity(44);
    header.extend(b"RIFF\xff\xff\xff\xffWAVEfmt ");
    // 16 bytes follow; format 1 is plain integers.
    header.extend(16_u32.to_le_bytes());
    header.extend([1_u16, channels].map(u16::to_le_bytes).concat());
    header.extend([SAMPLE_RATE_HZ, bytes_per_second].map(u32::to_le_bytes).concat());
    header.extend([bytes_per_frame, 16].map(u16::to_le_bytes).concat());
    header.extend(b"data\xff\xff\xff\xff");
    header
}

/// Writes and flushes every block, so that a reader hears it at once.
pub struct RawSink<W> {
    out: W,
    samples: Samples,
    channels: u16,
    bytes: Vec<u8>,
}

impl<W: Write> RawSink<W> {
    /// Bare samples of one channel or two, the left one first.
    pub fn new(out: W, samples: Samples, channels: u16) -> Self {
        RawSink { out, samples, channels, bytes: Vec::with_capacity(8 * FRAME) }
    }

    /// The same behind a header.
    ///
    /// # Errors
    /// Where the header cannot be written.
    pub fn wav(mut out: W, channels: u16) -> io::Result<Self> {
        out.write_all(&wav_header(channels))?;
        out.flush()?;
        Ok(RawSink::new(out, Samples::S16le, channels))
    }

    fn put(&mut self, sample: f32) {
        match self.samples {
            Samples::S16le => self.bytes.extend(to_i16(sample).to_le_bytes()),
            Samples::F32le => self.bytes.extend(sample.to_le_bytes()),
        }
    }
}

/// Full scale is the largest number of 16 bits; what exceeds it is clipped.
pub(super) fn to_i16(sample: f32) -> i16 {
    (sample * 32_767.0).round().clamp(-32_768.0, 32_767.0) as i16
}

impl<W: Write + Send> SoundFile for RawSink<W> {
    fn write(&mut self, block: &Block) -> io::Result<()> {
        self.bytes.clear();
        for (left, right) in block.left.iter().zip(&block.right) {
            self.put(*left);
            if self.channels == 2 {
                self.put(*right);
            }
        }
        self.out.write_all(&self.bytes)?;
        self.out.flush()
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.out.flush()
    }
}
