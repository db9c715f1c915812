//! Frames on a substream: a big-endian u16 length, then that many bytes.
//!
//! [`Deframer`] is handed bytes as they come and gives frames back one at a time, so that its caller can stop between
//! any two. A length is compared with the limit before a byte of the frame is kept.

use bytes::Bytes;

/// Bytes of a frame's length.
pub(crate) const LENGTH_BYTES: usize = 2;

/// Why a substream's bytes are no frames. The sender is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    /// Longer than anything that may come here.
    #[error("a frame of {len} bytes exceeds the limit of {max}")]
    TooLong {
        /// The length that was announced.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// A frame of nothing.
    #[error("a frame is empty")]
    Empty,
}

/// `payload` with its length before it, or `None` where it is empty or longer than `max`.
pub(crate) fn frame(payload: &[u8], max: usize) -> Option<Bytes> {
    if payload.is_empty() || payload.len() > max {
        return None;
    }
    let length = u16::try_from(payload.len()).ok()?.to_be_bytes();
    let mut framed = Vec::with_capacity(LENGTH_BYTES + payload.len());
    framed.extend_from_slice(&length);
    framed.extend_from_slice(payload);
    Some(framed.into())
}

/// Takes a substream's bytes apart. It holds at most one frame's worth of bytes.
#[derive(Debug)]
pub(crate) struct Deframer {
    max: usize,
    /// Empty until the substream is read for the first time, then as long as the longest frame.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Deframer {
    /// For frames of at most `max` bytes.
    pub(crate) const fn new(max: usize) -> Self {
        Deframer { max, buffer: Vec::new(), start: 0, end: 0 }
    }

    /// The next frame among the bytes at hand; `None` where more bytes are needed.
    pub(crate) fn next_frame(&mut self) -> Result<Option<Bytes>, FrameError> {
        let held = self.buffer.get(self.start..self.end).unwrap_or_default();
        let Some((length, rest)) = held.split_first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let len = usize::from(u16::from_be_bytes(*length));
        if len == 0 {
            return Err(FrameError::Empty);
        }
        if len > self.max {
            return Err(FrameError::TooLong { len, max: self.max });
        }
        let Some(payload) = rest.get(..len) else { return Ok(None) };
        let payload = Bytes::copy_from_slice(payload);
        self.start += LENGTH_BYTES + len;
        Ok(Some(payload))
    }

    /// One byte that is no frame, such as the number of a lane at the start of its substream.
    pub(crate) fn next_byte(&mut self) -> Option<u8> {
        let byte = *self.buffer.get(self.start..self.end)?.first()?;
        self.start += 1;
        Some(byte)
    }

    /// Room for more bytes. Never empty once [`Deframer::next_frame`] has said that it needs them.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        if self.buffer.is_empty() {
            self.buffer.resize(LENGTH_BYTES + self.max, 0);
        }
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        self.buffer.get_mut(self.end..).unwrap_or_default()
    }

    /// `count` bytes have been written into [`Deframer::space`].
    pub(crate) fn filled(&mut self, count: usize) {
        self.end = (self.end + count).min(self.buffer.len());
    }

    /// Whether a frame has begun that is not whole.
    pub(crate) fn is_partial(&self) -> bool {
        self.start < self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(deframer: &mut Deframer, mut bytes: &[u8], piece: usize) -> Result<Vec<Bytes>, FrameError> {
        let mut frames = Vec::new();
        while !bytes.is_empty() {
            let space = deframer.space();
            let n = space.len().min(piece).min(bytes.len());
            space[..n].copy_from_slice(&bytes[..n]);
            bytes = &bytes[n..];
            deframer.filled(n);
            while let Some(frame) = deframer.next_frame()? {
                frames.push(frame);
            }
        }
        Ok(frames)
    }

    #[test]
    fn frames_come_back_whole_however_the_bytes_arrive() {
        let payloads: Vec<Vec<u8>> = (1..=40u8).map(|i| vec![i; usize::from(i) * 30]).collect();
        let stream: Vec<u8> = payloads.iter().flat_map(|p| frame(p, 1200).expect("fits").to_vec()).collect();
        for piece in [1, 2, 3, 7, 100, 1202, 5000] {
            let mut deframer = Deframer::new(1200);
            assert_eq!(feed(&mut deframer, &stream, piece).expect("well-formed"), payloads, "in pieces of {piece}");
            assert!(!deframer.is_partial());
        }
    }

    #[test]
    fn an_oversized_length_is_refused_before_its_bytes_come() {
        let mut deframer = Deframer::new(1200);
        assert_eq!(feed(&mut deframer, &1201u16.to_be_bytes(), 2), Err(FrameError::TooLong { len: 1201, max: 1200 }));
        assert_eq!(feed(&mut Deframer::new(1200), &[0, 0], 2), Err(FrameError::Empty));
    }

    #[test]
    fn nothing_is_allocated_until_bytes_come_and_never_more_than_a_frame() {
        let mut deframer = Deframer::new(1200);
        assert_eq!(deframer.buffer.capacity(), 0);
        for _ in 0..100 {
            feed(&mut deframer, &frame(&[1; 1200], 1200).expect("fits"), 600).expect("well-formed");
        }
        assert_eq!(deframer.buffer.len(), 1202);
    }

    #[test]
    fn what_is_too_long_or_empty_is_not_framed() {
        assert_eq!(frame(&[0; 1201], 1200), None);
        assert_eq!(frame(&[], 1200), None);
        assert_eq!(frame(&[9], 1200).as_deref(), Some(&[0, 1, 9][..]));
    }

    #[test]
    fn a_lane_number_comes_before_the_first_frame() {
        let mut deframer = Deframer::new(1200);
        assert_eq!(deframer.next_byte(), None);
        deframer.space()[..4].copy_from_slice(&[3, 0, 1, 9]);
        deframer.filled(4);
        assert_eq!(deframer.next_byte(), Some(3));
        assert_eq!(deframer.next_frame().expect("well-formed").as_deref(), Some(&[9][..]));
    }
}
