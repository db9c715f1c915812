//! A recording under way: everybody's frames as they came, a track each, and before them the mix, in one Ogg file.
//!
//! Time is cut into slots of 20 ms from the beginning of the file. A frame is [`put`](Tape::put) into the slot in which it belongs,
//! [`advance`](Tape::advance) writes all slots up to one, and from then on nothing can be put there: whoever calls decides how long
//! to wait for what is late. Frames are written as they are. The first track is the mix, encoded once more: an ordinary player
//! plays one track of a file, the first one, and so plays everybody. Each track of a speaker begins where it first speaks.
//!
//! A player that does not know what is missing plays on without it, and everything behind comes too early. So each slot
//! of a track is filled, once it has begun ([`Line`]): with a packet without content where a few frames are missing, which decoders conceal (RFC
//! 7845, section 4.1), and with silence where more are.

mod line;
mod mix;

use std::{
    collections::VecDeque,
    io::{self, Write},
};

use bytes::Bytes;
use treehouse_wire::units::SAMPLE_RATE_HZ;

pub use self::line::{CONCEALED_MAX, Line};
use self::mix::Mix;
use crate::{
    FRAME,
    encode::CodecError,
    ogg_opus::{Chapter, OggOpusError, OggOpusWriter, TAGS_BYTES, Track, headers},
};

/// Speakers that have a track at once: as many as there are open microphones in a room.
pub const SPEAKERS_MAX: usize = 12;
/// Tracks in the file: the mix and the speakers'.
pub const TRACKS: usize = SPEAKERS_MAX + 1;
/// Slots that a frame may lie ahead of what is written: ten seconds. One that is further ahead has no place.
pub const AHEAD_MAX: usize = 500;

/// A recording that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum TapeError {
    /// The file's format, or the system.
    #[error(transparent)]
    Ogg(#[from] OggOpusError),
    /// The codec.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// One speaker's track under way.
#[derive(Default)]
struct Lane {
    line: Line,
    /// Frames that are to come, from the slot [`Tape::head`] on.
    ahead: VecDeque<Option<Bytes>>,
}

/// The file under way.
pub struct Tape<W: Write> {
    file: OggOpusWriter<W>,
    lanes: Vec<Lane>,
    mix: Mix,
    head: u64,
}

/// The file's tracks: what each is called, and what chapters the first has. Names and chapters that do not fit are left out.
///
/// `serials` are the numbers of the logical streams, the mix's first; `names` the speakers'.
pub fn tracks(
    serials: &[u32; TRACKS],
    pre_skip: u16,
    title: &str,
    names: &[String],
    chapters: &[Chapter],
) -> Vec<Track> {
    let mut names = names.iter();
    let track = |(at, serial): (usize, &u32)| {
        // Two channels, though who speaks has one: RFC 7845, section 5.1, lets packets be of either kind, and music has both.
        let mut track = Track::new(*serial, 2, pre_skip);
        let name = if at == 0 { Some(title) } else { names.next().map(String::as_str) };
        if let Some(name) = name.filter(|name| !name.is_empty()) {
            track.comments.push(("TITLE".to_owned(), name.to_owned()));
        }
        if at == 0 {
            track.chapters = chapters.to_vec();
        }
        fit(&mut track);
        track
    };
    serials.iter().enumerate().map(track).collect()
}

/// Leaves out the last chapters, and then the name, until the rest fits.
fn fit(track: &mut Track) {
    while headers(std::slice::from_ref(track), TAGS_BYTES).is_err() {
        if track.chapters.pop().is_none() && track.comments.pop().is_none() {
            return;
        }
    }
}

/// The bytes with which the file begins; as many whatever the names are.
///
/// # Errors
/// [`OggOpusError`] where two serial numbers are the same.
pub fn head_bytes(tracks: &[Track]) -> Result<Vec<u8>, OggOpusError> {
    headers(tracks, TAGS_BYTES)
}

/// Samples that a reader drops at the start of each track: by so many what an encoder writes is late, the mix's and the speakers'.
///
/// # Errors
/// Where the codec does not work.
pub fn pre_skip() -> Result<u16, CodecError> {
    mix::encoder().map(|(_, pre_skip)| pre_skip)
}

impl<W: Write> Tape<W> {
    /// Writes the headers.
    ///
    /// # Errors
    /// [`TapeError`] where the codec does not work or the system refuses.
    pub fn new(out: W, tracks: &[Track]) -> Result<Self, TapeError> {
        let file = OggOpusWriter::new(out, tracks, TAGS_BYTES)?;
        let lanes = (0..SPEAKERS_MAX).map(|_| Lane::default()).collect();
        Ok(Tape { file, lanes, mix: Mix::new()?, head: 0 })
    }

    /// The first slot that is not written yet.
    pub fn head(&self) -> u64 {
        self.head
    }

    /// Puts a frame into a slot of a speaker's track. False where that slot is written or taken, too far ahead, there is no such
    /// track, or the frame is not 20 ms long.
    pub fn put(&mut self, speaker: usize, slot: u64, frame: &Bytes) -> bool {
        let Some(lane) = self.lanes.get_mut(speaker) else { return false };
        let Some(at) = slot.checked_sub(self.head).and_then(|at| usize::try_from(at).ok()) else { return false };
        if at >= AHEAD_MAX || !matches!(opus::packet::get_nb_samples(frame, SAMPLE_RATE_HZ), Ok(FRAME)) {
            return false;
        }
        if lane.ahead.len() <= at {
            lane.ahead.resize(at + 1, None);
        }
        let free = lane.ahead.get_mut(at).filter(|place| place.is_none());
        free.is_some_and(|place| place.replace(frame.clone()).is_none())
    }

    /// Writes all slots before this one.
    ///
    /// # Errors
    /// [`TapeError`] where it cannot be written.
    pub fn advance(&mut self, to: u64) -> Result<(), TapeError> {
        while self.head < to {
            self.write_slot()?;
        }
        Ok(())
    }

    fn write_slot(&mut self) -> Result<(), TapeError> {
        let granule = self.head * FRAME as u64;
        for (at, lane) in self.lanes.iter_mut().enumerate() {
            let frame = lane.ahead.pop_front().flatten();
            let begins = !lane.line.has_begun();
            let Some(packet) = lane.line.next(frame.as_deref()) else { continue };
            if begins {
                self.file.start_at(at + 1, granule);
            }
            self.file.write(at + 1, &packet)?;
            self.mix.add(at, frame.as_deref());
        }
        self.file.write(0, &self.mix.finish()?)?;
        self.head += 1;
        Ok(())
    }

    /// Ends the pages under way and hands them to the system: all that is written is in the file.
    ///
    /// # Errors
    /// [`TapeError::Io`] where it cannot be written.
    pub fn flush(&mut self) -> Result<(), TapeError> {
        for track in 0..TRACKS {
            self.file.end_page(track)?;
        }
        self.file.get_mut().flush()?;
        Ok(())
    }

    /// What the file goes to.
    pub fn get_ref(&self) -> &W {
        self.file.get_ref()
    }

    /// Ends all tracks, with one more slot of silence, in which each says that it ends.
    ///
    /// # Errors
    /// [`TapeError`] where it cannot be written.
    pub fn finish(mut self) -> Result<W, TapeError> {
        let granule = self.head * FRAME as u64;
        for (at, lane) in self.lanes.iter_mut().enumerate() {
            if !lane.line.has_begun() {
                self.file.start_at(at + 1, granule);
            }
            self.file.write(at + 1, &Line::LAST)?;
        }
        // It brings out what the encoder still looks ahead at; the rest of it is not played.
        self.file.write(0, &self.mix.finish()?)?;
        Ok(self.file.finish_after(&[granule])?)
    }
}

#[cfg(test)]
mod tests;
