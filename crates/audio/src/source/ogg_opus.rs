//! Ogg Opus (RFC 7845), which `symphonia` does not decode: pages by `ogg`, frames by libopus.

use std::io::BufReader;

use ogg::{Packet, PacketReader};
use opus::MSDecoder;
use symphonia::core::io::MediaSource;
use treehouse_wire::units::SAMPLE_RATE_HZ;

use super::{Width, downmix::Downmix, file::PcmReader};

/// The longest Opus packet: 120 ms.
const PACKET_SAMPLES_MAX: usize = 5_760;
/// Channels of mapping families 0 and 1.
const CHANNELS_MAX: u8 = 8;
/// Headers of other streams beside the one that is read, at most.
const PACKETS_BEFORE_TAGS_MAX: usize = 256;

pub(super) struct OggOpus {
    packets: PacketReader<BufReader<Box<dyn MediaSource>>>,
    serial: u32,
    decoder: MSDecoder,
    channels: usize,
    /// Samples still to be dropped at the front.
    pre_skip: u64,
    /// Samples decoded, the dropped ones among them.
    decoded: u64,
    interleaved: Vec<f32>,
    width: Width,
    downmix: Downmix,
    /// The stream has ended; in a chained file another follows (RFC 7845 section 3).
    ended: bool,
}

/// The identification header, RFC 7845 section 5.1.
struct Head {
    channels: u8,
    pre_skip: u16,
    gain_q8: i16,
    streams: u8,
    coupled: u8,
    mapping: Vec<u8>,
}

impl Head {
    fn parse(packet: &[u8]) -> Result<Self, String> {
        let broken = || "its Opus header is broken".to_owned();
        let rest = packet.strip_prefix(b"OpusHead").ok_or_else(broken)?;
        let [version, channels, skip0, skip1, _, _, _, _, gain0, gain1, family, table @ ..] = rest else {
            return Err(broken());
        };
        // Versions of the same upper half are compatible.
        if version >> 4 != 0 || !(1..=CHANNELS_MAX).contains(channels) {
            return Err(broken());
        }
        let (streams, coupled, mapping) = match (family, table) {
            (0, _) if *channels <= 2 => (1, channels - 1, (0..*channels).collect()),
            (1, [streams, coupled, mapping @ ..]) if mapping.len() >= usize::from(*channels) => {
                (*streams, *coupled, mapping.iter().copied().take(usize::from(*channels)).collect())
            }
            _ => return Err(format!("its channel mapping {family} is not supported")),
        };
        let pre_skip = u16::from_le_bytes([*skip0, *skip1]);
        let gain_q8 = i16::from_le_bytes([*gain0, *gain1]);
        Ok(Head { channels: *channels, pre_skip, gain_q8, streams, coupled, mapping })
    }
}

impl OggOpus {
    pub(super) fn open(source: Box<dyn MediaSource>, width: Width) -> Result<Self, String> {
        let mut packets = PacketReader::new(BufReader::new(source));
        let first = packets.read_packet_expected().map_err(|error| error.to_string())?;
        let (head, decoder) = begin(&first)?;
        // The second packet of the stream holds comments; those of other streams beside it come between.
        for _ in 0..PACKETS_BEFORE_TAGS_MAX {
            let packet = packets.read_packet_expected().map_err(|error| error.to_string())?;
            if packet.stream_serial() == first.stream_serial() {
                break;
            }
        }
        let channels = usize::from(head.channels);
        Ok(OggOpus {
            packets,
            serial: first.stream_serial(),
            decoder,
            channels,
            pre_skip: u64::from(head.pre_skip),
            decoded: 0,
            interleaved: vec![0.0; PACKET_SAMPLES_MAX * channels],
            width,
            downmix: Downmix::of_opus(head.channels, width),
            ended: false,
        })
    }

    /// The next stream of a chained file, as stations begin one with each song.
    fn begin_next(&mut self, first: &Packet) -> Result<(), String> {
        let (head, decoder) = begin(first)?;
        (self.serial, self.decoder, self.channels) = (first.stream_serial(), decoder, usize::from(head.channels));
        (self.pre_skip, self.decoded, self.ended) = (u64::from(head.pre_skip), 0, false);
        self.interleaved.resize(PACKET_SAMPLES_MAX * self.channels, 0.0);
        self.downmix = Downmix::of_opus(head.channels, self.width);
        Ok(())
    }
}

fn begin(first: &Packet) -> Result<(Head, MSDecoder), String> {
    let head = Head::parse(&first.data)?;
    let mut decoder =
        MSDecoder::new(SAMPLE_RATE_HZ, head.streams, head.coupled, &head.mapping).map_err(|error| error.to_string())?;
    decoder.set_gain(i32::from(head.gain_q8)).map_err(|error| error.to_string())?;
    Ok((head, decoder))
}

impl PcmReader for OggOpus {
    fn rate_hz(&self) -> u32 {
        SAMPLE_RATE_HZ
    }

    fn read(&mut self, out: &mut Vec<f32>) -> Result<bool, String> {
        // A file that was cut off ends where it was cut.
        let Ok(Some(packet)) = self.packets.read_packet() else { return Ok(false) };
        if self.ended && packet.first_in_stream() && packet.data.starts_with(b"OpusHead") {
            return self.begin_next(&packet).map(|()| true);
        }
        if packet.stream_serial() != self.serial || packet.data.starts_with(b"OpusTags") {
            return Ok(true);
        }
        self.ended = packet.last_in_stream();
        // One that cannot be decoded is left out.
        let samples = self.decoder.decode_float(&packet.data, &mut self.interleaved, false).unwrap_or(0);
        // The granule position counts samples, the skipped ones too; on the last page it says where the sound ends.
        let end = if packet.last_in_stream() { packet.absgp_page() } else { u64::MAX };
        let from = self.pre_skip.saturating_sub(self.decoded).min(samples as u64) as usize;
        let keep = end.saturating_sub(self.decoded).min(samples as u64) as usize;
        self.decoded += samples as u64;
        if let Some(kept) = self.interleaved.get(from * self.channels..keep.max(from) * self.channels) {
            self.downmix.apply(kept, out);
        }
        Ok(true)
    }
}
