//! The mix as Ogg Opus: encoded once more, since it is none of the voices any longer.

use std::io::{self, Write};

use opus::{Application, Bitrate, Channels, Encoder};
use treehouse_wire::units::SAMPLE_RATE_HZ;

use super::{SoundFile, io_error};
use crate::{
    FRAME,
    encode::CodecError,
    mix::Block,
    ogg_opus::{OggOpusWriter, TAGS_BYTES, Track},
};

/// Several voices at once need more than one; at this rate a mix is not told from its source (RFC 7587, section 3.1.1: 28-40
/// kbit/s for fullband speech, 48-64 for fullband mono music).
const BITRATE_BPS: [i32; 2] = [48_000, 80_000];
/// Sound on a page: 0.2 s, so that a reader listens along.
const PAGE_SAMPLES: u64 = 9_600;
/// There is one stream in a file; any number will do.
const SERIAL: u32 = 1;
/// Longest packet of one frame of 20 ms.
const PACKET_BYTES_MAX: usize = 1_275;

/// An Ogg Opus file of one channel or two.
pub struct OpusSink<W: Write> {
    encoder: Encoder,
    file: OggOpusWriter<W>,
    stereo: bool,
    interleaved: Vec<f32>,
    /// Samples that were to be heard.
    samples: u64,
}

impl<W: Write> OpusSink<W> {
    /// Writes the headers.
    ///
    /// # Errors
    /// The codec's fault in the inner result's place, the system's in the outer's.
    pub fn new(out: W, channels: u16) -> io::Result<Result<Self, CodecError>> {
        let stereo = channels == 2;
        let (encoder, pre_skip) = match encoder(stereo) {
            Ok(made) => made,
            Err(error) => return Ok(Err(error.into())),
        };
        let track = Track::new(SERIAL, if stereo { 2 } else { 1 }, pre_skip);
        let file = OggOpusWriter::new(out, &[track], TAGS_BYTES).map_err(io_error)?.with_pages_of(PAGE_SAMPLES);
        Ok(Ok(OpusSink { encoder, file, stereo, interleaved: Vec::with_capacity(2 * FRAME), samples: 0 }))
    }

    fn encode(&mut self, block: &Block) -> io::Result<()> {
        self.interleaved.clear();
        if self.stereo {
            self.interleaved.extend(block.left.iter().zip(&block.right).flat_map(|(left, right)| [*left, *right]));
        } else {
            self.interleaved.extend(block.left);
        }
        let mut packet = [0; PACKET_BYTES_MAX];
        let len = self.encoder.encode_float(&self.interleaved, &mut packet).map_err(|error| {
            let error: CodecError = error.into();
            io::Error::other(error)
        })?;
        self.file.write(0, packet.get(..len).unwrap_or(&[])).map_err(io_error)?;
        Ok(())
    }
}

fn encoder(stereo: bool) -> Result<(Encoder, u16), opus::Error> {
    let channels = if stereo { Channels::Stereo } else { Channels::Mono };
    let mut encoder = Encoder::new(SAMPLE_RATE_HZ, channels, Application::Audio)?;
    let [mono_bps, stereo_bps] = BITRATE_BPS;
    encoder.set_bitrate(Bitrate::Bits(if stereo { stereo_bps } else { mono_bps }))?;
    let lookahead = encoder.get_lookahead()?;
    Ok((encoder, u16::try_from(lookahead).unwrap_or(0)))
}

impl<W: Write + Send> SoundFile for OpusSink<W> {
    fn write(&mut self, block: &Block) -> io::Result<()> {
        self.encode(block)?;
        self.samples += FRAME as u64;
        Ok(())
    }

    /// One more packet brings out what the encoder still looks ahead at; the last granule position cuts off the rest.
    fn finish(mut self: Box<Self>) -> io::Result<()> {
        if self.samples > 0 {
            self.encode(&Block::default())?;
        }
        self.file.finish_after(&[self.samples]).map(drop)
    }
}
