//! What stands in each slot of one track: whoever checks a recording reckons it again.

use std::borrow::Cow;

use treehouse_wire::units::SAMPLE_RATE_HZ;

use crate::{FRAME, ogg_opus::SILENCE};

/// Missing frames in a row that decoders are left to conceal: 100 ms. Past it there is silence.
pub const CONCEALED_MAX: u32 = 5;

/// One track's way from slot to slot.
#[derive(Clone, Debug, Default)]
pub struct Line {
    /// The last frame's first byte, where the same without content stands for 20 ms.
    toc: Option<u8>,
    missing: u32,
    begun: bool,
}

impl Line {
    /// What stands in the slot in which a finished recording ends each track.
    pub const LAST: [u8; 3] = SILENCE;

    /// Whether a frame has come. Before that nothing stands in the track.
    pub fn has_begun(&self) -> bool {
        self.begun
    }

    /// What stands in the next slot, in which this frame belongs, or none; nothing before the first.
    pub fn next<'a>(&mut self, frame: Option<&'a [u8]>) -> Option<Cow<'a, [u8]>> {
        if let Some(frame) = frame {
            self.begun = true;
            self.missing = 0;
            // One frame a packet (RFC 6716, section 3.1), or leaving out the content would leave out some of its length.
            let toc = frame.first().copied().filter(|toc| toc & 0b11 == 0);
            self.toc = toc.filter(|toc| matches!(opus::packet::get_nb_samples(&[*toc], SAMPLE_RATE_HZ), Ok(FRAME)));
            return Some(Cow::Borrowed(frame));
        }
        self.missing = self.missing.saturating_add(1);
        let empty = self.toc.filter(|_| self.missing <= CONCEALED_MAX).map(|toc| vec![toc]);
        self.begun.then(|| Cow::Owned(empty.unwrap_or_else(|| SILENCE.to_vec())))
    }
}
