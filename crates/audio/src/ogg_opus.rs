//! Opus packets in an Ogg file (RFC 7845), as they are: nothing is encoded again.
//!
//! One file holds one track, or several side by side (RFC 3533, section 4, grouped streams): the identification headers of
//! all come first, then their comments, then pages of each as time goes on. A page holds a second of sound at most and is
//! flushed as soon as it is full, so that a file whose writer was killed plays up to its last second; a reader loses
//! at most what stands behind the last whole page.
//!
//! The comment header has a fixed size, filled up with zeros as RFC 7845, section 5.2 allows. Chapters that are known only
//! later are written over it: [`headers`] with the same tracks and sizes gives exactly as many bytes again.
//!
//! A granule position counts samples at 48 kHz to the end of the last packet that ends on a page, those among them that a
//! reader skips at the start. Only at the end may it say less than the packets hold; the rest is not played.

use std::{
    io::{self, Write},
    time::Duration,
};

use ogg::{PacketWriteEndInfo, PacketWriter};
use treehouse_wire::units::SAMPLE_RATE_HZ;

/// Sound on a page at most, unless the writer is told to flush sooner: a kill loses no more.
pub const PAGE_SAMPLES_MAX: u64 = SAMPLE_RATE_HZ as u64;
/// Bytes of a comment header where nothing else is said: enough for a title and some fifty chapters.
pub const TAGS_BYTES: usize = 4_096;
/// Longest comment header that is written: readers refuse much larger ones (RFC 7845, section 5.2).
pub const TAGS_BYTES_MAX: usize = 61_440;
/// Tracks in a file at most.
pub const TRACKS_MAX: usize = 64;
/// Longest packet: three frames of 1,275 bytes and the byte that says so (RFC 6716, section 3.4).
pub const PACKET_BYTES_MAX: usize = 3 * 1_275 + 7;
/// 20 ms of silence: fullband CELT, mono, one frame (RFC 6716, section 3.1).
pub const SILENCE: [u8; 3] = [0xf8, 0xff, 0xfe];

/// A file that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum OggOpusError {
    /// The system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// No track, or more than [`TRACKS_MAX`], or two of one serial number, or channels other than 1 and 2.
    #[error("an Ogg Opus file holds 1 to {TRACKS_MAX} tracks of one or two channels, each with a number of its own")]
    Tracks,
    /// A name of a comment may only have printable ASCII without an equals sign.
    #[error("{0:?} cannot name a comment of an Ogg file; use letters")]
    CommentName(String),
    /// The comments do not fit.
    #[error("{bytes} bytes of comments do not fit into the {bytes_max} that the file has for them; leave some out")]
    TagsTooLong {
        /// What they take.
        bytes: usize,
        /// What there is.
        bytes_max: usize,
    },
    /// Not an Opus packet, or a track that is not there.
    #[error("this is no Opus packet of one of the file's tracks")]
    Packet,
}

/// A named point in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chapter {
    /// Since the track's first sample.
    pub start: Duration,
    /// What begins there.
    pub title: String,
}

/// One logical stream of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Track {
    /// Its number in the file; distinct from those of other tracks.
    pub serial: u32,
    /// 1 or 2.
    pub channels: u8,
    /// Samples at 48 kHz that a reader drops at the start: the encoder's lookahead, 312 for this crate's. So what was said in a packet's
    /// time is played in it, also where a track's packets begin in the middle of a talk.
    pub pre_skip: u16,
    /// Names and values, such as TITLE and ARTIST.
    pub comments: Vec<(String, String)>,
    /// At most 999, in order.
    pub chapters: Vec<Chapter>,
}

impl Track {
    /// A track without comments.
    pub fn new(serial: u32, channels: u8, pre_skip: u16) -> Self {
        Track { serial, channels, pre_skip, comments: Vec::new(), chapters: Vec::new() }
    }

    /// The identification header, RFC 7845 section 5.1.
    fn head(&self) -> Vec<u8> {
        let mut head = b"OpusHead\x01".to_vec();
        head.push(self.channels);
        head.extend(self.pre_skip.to_le_bytes());
        head.extend(SAMPLE_RATE_HZ.to_le_bytes());
        // No gain; channel mapping family 0.
        head.extend([0, 0, 0]);
        head
    }

    /// The comment header, RFC 7845 section 5.2, of exactly `len` bytes.
    fn tags(&self, len: usize) -> Result<Vec<u8>, OggOpusError> {
        let chapters = (1..1_000).zip(&self.chapters).flat_map(|(number, chapter)| {
            let name = format!("CHAPTER{number:03}");
            [(name.clone(), clock(chapter.start)), (name + "NAME", chapter.title.clone())]
        });
        let comments: Vec<(String, String)> = self.comments.iter().cloned().chain(chapters).collect();
        let mut tags = b"OpusTags".to_vec();
        let mut put = |text: &str| {
            tags.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
            tags.extend(text.as_bytes());
        };
        put(concat!("treehouse ", env!("CARGO_PKG_VERSION")));
        let count = u32::try_from(comments.len()).unwrap_or(u32::MAX).to_le_bytes();
        tags.extend(count);
        for (name, value) in comments {
            if name.is_empty() || !name.bytes().all(|byte| matches!(byte, b' '..=b'}') && byte != b'=') {
                return Err(OggOpusError::CommentName(name));
            }
            let text = format!("{name}={value}");
            tags.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
            tags.extend(text.as_bytes());
        }
        let (bytes, bytes_max) = (tags.len(), len.min(TAGS_BYTES_MAX));
        if bytes > bytes_max {
            return Err(OggOpusError::TagsTooLong { bytes, bytes_max });
        }
        tags.resize(bytes_max, 0);
        Ok(tags)
    }
}

/// `HH:MM:SS.mmm`, as chapters are dated.
fn clock(time: Duration) -> String {
    let (seconds, ms) = (time.as_secs(), time.subsec_millis());
    format!("{:02}:{:02}:{:02}.{ms:03}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// The bytes with which a file of these tracks begins: the same number of them whatever the comments, so that later ones can be
/// written over earlier ones.
///
/// # Errors
/// [`OggOpusError`] where the tracks or their comments cannot be written.
pub fn headers(tracks: &[Track], tags_bytes: usize) -> Result<Vec<u8>, OggOpusError> {
    let mut pages = PacketWriter::new(Vec::new());
    write_headers(&mut pages, tracks, tags_bytes)?;
    Ok(pages.into_inner())
}

fn write_headers<W: Write>(
    pages: &mut PacketWriter<'static, W>,
    tracks: &[Track],
    tags_bytes: usize,
) -> Result<(), OggOpusError> {
    let mut serials: Vec<u32> = tracks.iter().map(|track| track.serial).collect();
    serials.sort_unstable();
    serials.dedup();
    let fit = (1..=TRACKS_MAX).contains(&tracks.len()) && serials.len() == tracks.len();
    if !fit || tracks.iter().any(|track| !(1..=2).contains(&track.channels)) {
        return Err(OggOpusError::Tracks);
    }
    for track in tracks {
        pages.write_packet(track.head(), track.serial, PacketWriteEndInfo::EndPage, 0)?;
    }
    for track in tracks {
        pages.write_packet(track.tags(tags_bytes)?, track.serial, PacketWriteEndInfo::EndPage, 0)?;
    }
    Ok(())
}

/// Where a track has got to.
struct Progress {
    serial: u32,
    pre_skip: u64,
    /// The last packet, which waits until it is known whether the track goes on: only then can its page be marked.
    held: Option<Vec<u8>>,
    /// Granule position at the end of the packets before `held`.
    before: u64,
    /// Granule position at the end of `held`.
    granule: u64,
    /// Granule position at which the page under way began.
    page_from: u64,
}

/// Writes Opus packets as pages.
///
/// ```
/// use treehouse_audio::ogg_opus::{OggOpusWriter, SILENCE, TAGS_BYTES, Track};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut file = OggOpusWriter::new(Vec::new(), &[Track::new(1, 1, 312)], TAGS_BYTES)?;
/// for _ in 0..50 {
///     file.write(0, &SILENCE)?;
/// }
/// let bytes = file.finish()?;
/// assert!(bytes.starts_with(b"OggS"));
/// # Ok(()) }
/// ```
pub struct OggOpusWriter<W: Write> {
    pages: PacketWriter<'static, W>,
    tracks: Vec<Progress>,
    page_samples_max: u64,
}

impl<W: Write> OggOpusWriter<W> {
    /// Writes the headers of all tracks, each comment header with `tags_bytes` bytes, and flushes them. Writes are many and
    /// small: give it a [`std::io::BufWriter`].
    ///
    /// # Errors
    /// [`OggOpusError`] where the tracks or their comments cannot be written.
    pub fn new(out: W, tracks: &[Track], tags_bytes: usize) -> Result<Self, OggOpusError> {
        let mut pages = PacketWriter::new(out);
        write_headers(&mut pages, tracks, tags_bytes)?;
        pages.inner_mut().flush()?;
        let progress = tracks.iter().map(|track| Progress {
            serial: track.serial,
            pre_skip: u64::from(track.pre_skip),
            held: None,
            before: 0,
            granule: 0,
            page_from: 0,
        });
        Ok(OggOpusWriter { pages, tracks: progress.collect(), page_samples_max: PAGE_SAMPLES_MAX })
    }

    /// Ends pages after this many samples, a second at most: for readers that listen along.
    pub fn with_pages_of(mut self, samples_max: u64) -> Self {
        self.page_samples_max = samples_max.clamp(1, PAGE_SAMPLES_MAX);
        self
    }

    /// Appends one packet, of any length that Opus has, to the track with this index. True where a page was completed and flushed: all
    /// packets of the track but this one are with the system then.
    ///
    /// # Errors
    /// [`OggOpusError::Packet`] where this is no Opus packet or there is no such track, [`OggOpusError::Io`] where it cannot be
    /// written.
    pub fn write(&mut self, track: usize, packet: &[u8]) -> Result<bool, OggOpusError> {
        let samples = match opus::packet::get_nb_samples(packet, SAMPLE_RATE_HZ) {
            Ok(samples) if samples > 0 && packet.len() <= PACKET_BYTES_MAX => samples as u64,
            _ => return Err(OggOpusError::Packet),
        };
        let progress = self.tracks.get_mut(track).ok_or(OggOpusError::Packet)?;
        // The packet that was held can take this one's place on the page only if the page has room for both.
        let full = progress.granule - progress.page_from + samples > self.page_samples_max;
        let held = progress.held.replace(packet.to_vec());
        let (before, serial) = (progress.granule, progress.serial);
        progress.before = before;
        progress.granule += samples;
        let Some(held) = held else { return Ok(false) };
        let end = if full { PacketWriteEndInfo::EndPage } else { PacketWriteEndInfo::NormalPacket };
        if full {
            progress.page_from = before;
        }
        self.pages.write_packet(held, serial, end, before)?;
        if full {
            self.pages.inner_mut().flush()?;
        }
        Ok(full)
    }

    /// Has a track begin here, in samples since the file's first: nothing has been written to it yet.
    pub fn start_at(&mut self, track: usize, granule: u64) {
        if let Some(progress) = self.tracks.get_mut(track).filter(|progress| progress.granule == 0) {
            (progress.before, progress.granule, progress.page_from) = (granule, granule, granule);
        }
    }

    /// Writes the packet that is held back, and ends its page: all that was written to the track is in the file then. Whoever goes on to
    /// [`OggOpusWriter::finish`] writes one more packet before, or the track does not say that it ends.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn end_page(&mut self, track: usize) -> io::Result<()> {
        let Some(progress) = self.tracks.get_mut(track) else { return Ok(()) };
        let Some(held) = progress.held.take() else { return Ok(()) };
        progress.page_from = progress.granule;
        self.pages.write_packet(held, progress.serial, PacketWriteEndInfo::EndPage, progress.granule)
    }

    /// Samples in a track so far, without those that a reader skips.
    pub fn samples(&self, track: usize) -> u64 {
        self.tracks.get(track).map_or(0, |progress| progress.granule.saturating_sub(progress.pre_skip))
    }

    /// What the pages go to.
    pub fn get_ref(&self) -> &W {
        self.pages.inner()
    }

    /// The same, to flush it.
    pub fn get_mut(&mut self) -> &mut W {
        self.pages.inner_mut()
    }

    /// Ends all tracks with all that their packets hold, and flushes.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn finish(self) -> io::Result<W> {
        self.finish_after(&[])
    }

    /// Ends all tracks; the one with index i plays `samples[i]` samples at 48 kHz, as far as that falls into its last packet, and
    /// all that its packets hold where nothing is said.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn finish_after(mut self, samples: &[u64]) -> io::Result<W> {
        for (index, progress) in self.tracks.iter_mut().enumerate() {
            let Some(held) = progress.held.take() else { continue };
            let wanted =
                samples.get(index).map_or(progress.granule, |samples| samples.saturating_add(progress.pre_skip));
            let granule = wanted.clamp(progress.before + 1, progress.granule);
            self.pages.write_packet(held, progress.serial, PacketWriteEndInfo::EndStream, granule)?;
        }
        self.pages.inner_mut().flush()?;
        Ok(self.pages.into_inner())
    }
}
