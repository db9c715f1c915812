//! How sound is cut into packets, by the layout of `treehouse-wire`: a header, the level, the frames behind each other, tag and signature.

use serde::{Deserialize, Serialize};
use treehouse_wire::{
    packet::{HEADER_BYTES, SIGNATURE_BYTES},
    suite::TAG_BYTES,
};

use crate::{
    engine::OVERHEAD_BYTES,
    plan::Media,
    scenario::units::{BitRate, Time},
};

/// Above this many members three frames share a packet.
const ALONE_MEMBERS_MAX: u32 = 50;

/// The section `[media]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct MediaSettings {
    /// Length of a frame. Default 20 ms.
    pub frame: Time,
    /// Bit rate of a voice before packets. Default 32 kbit/s.
    pub bitrate: BitRate,
    /// Frames a packet, for strategies that do not choose themselves. Default: 1 up to 50 members, 3 above.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frames_per_packet: Option<u8>,
    /// Bytes of a packet, all headers of Treehouse included, those of the network not. Default: what frames, header, tag and
    /// signature make.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packet_bytes: Option<u32>,
}

impl Default for MediaSettings {
    fn default() -> Self {
        MediaSettings { frame: Time(20_000), bitrate: BitRate(32_000), frames_per_packet: None, packet_bytes: None }
    }
}

impl MediaSettings {
    /// How sound is cut in a room of this many members.
    pub fn media(&self, members: u32) -> Media {
        let frames = self.frames_per_packet.map_or(if members > ALONE_MEMBERS_MAX { 3 } else { 1 }, u64::from);
        let frame_bytes = (self.bitrate.0 * self.frame.0).div_ceil(8_000_000);
        let fixed_bytes = (HEADER_BYTES + TAG_BYTES + SIGNATURE_BYTES) as u64;
        // One byte of level, and the length of each frame but the last.
        let clear_bytes = 1 + 2 * (frames - 1) + frames * frame_bytes;
        Media {
            frame_us: self.frame.0,
            frames_per_packet: frames as u32,
            packet_bytes: self.packet_bytes.unwrap_or((fixed_bytes + clear_bytes) as u32),
        }
    }
}

/// What one voice takes on the wire, in bits a second.
pub fn voice_bps(media: &Media) -> f64 {
    let bits = 8.0 * (f64::from(media.packet_bytes) + OVERHEAD_BYTES as f64);
    bits * 1e6 / (media.frame_us as f64 * f64::from(media.frames_per_packet))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_voice_takes_what_was_measured() {
        // docs/architecture.md: one voice at 32 kbit/s is 87 to 98 kbit/s at k = 1 and 50 to 54 at k = 3.
        let alone = MediaSettings::default().media(50);
        assert_eq!((alone.frames_per_packet, alone.packet_bytes), (1, 189));
        assert!((voice_bps(&alone) / 98e3 - 1.0).abs() < 0.03, "{}", voice_bps(&alone));
        let together = MediaSettings::default().media(51);
        assert_eq!((together.frames_per_packet, together.packet_bytes), (3, 353));
        assert!((voice_bps(&together) / 54e3 - 1.0).abs() < 0.03, "{}", voice_bps(&together));
    }
}
