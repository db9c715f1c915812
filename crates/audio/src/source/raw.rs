//! Bare samples without a header: 48 kHz, mono, little-endian.

use std::io::{ErrorKind, Read};

use treehouse_wire::units::SAMPLE_RATE_HZ;

use super::file::PcmReader;
use crate::{FRAME, sink::Samples};

pub(super) struct RawPcm<R> {
    bytes: R,
    samples: Samples,
    buffer: Vec<u8>,
    /// Bytes of a sample that has not come whole.
    kept: usize,
}

impl<R: Read> RawPcm<R> {
    pub(super) fn new(bytes: R, samples: Samples) -> Self {
        RawPcm { bytes, samples, buffer: vec![0; 4 * FRAME], kept: 0 }
    }
}

impl<R: Read + Send> PcmReader for RawPcm<R> {
    fn rate_hz(&self) -> u32 {
        SAMPLE_RATE_HZ
    }

    fn read(&mut self, out: &mut Vec<f32>) -> Result<bool, String> {
        let Some(room) = self.buffer.get_mut(self.kept..) else { return Ok(false) };
        let read = match self.bytes.read(room) {
            Ok(0) => return Ok(false),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(true),
            Err(error) => return Err(error.to_string()),
        };
        let len = self.kept + read;
        let whole = self.buffer.get(..len).unwrap_or(&[]);
        let rest = match self.samples {
            Samples::S16le => {
                let (samples, rest) = whole.as_chunks::<2>();
                out.extend(samples.iter().map(|sample| f32::from(i16::from_le_bytes(*sample)) / 32_768.0));
                rest.len()
            }
            Samples::F32le => {
                let (samples, rest) = whole.as_chunks::<4>();
                out.extend(samples.iter().map(|sample| f32::from_le_bytes(*sample).clamp(-1.0, 1.0)));
                rest.len()
            }
        };
        self.buffer.copy_within(len - rest..len, 0);
        self.kept = rest;
        Ok(true)
    }
}
