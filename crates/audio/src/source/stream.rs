//! A station (Icecast, Shoutcast) or any other sound behind an `http:` address, as a source that outlives broken connections.
//!
//! Where a connection breaks off or falls silent another is made, after 1 s, then 2, up to 30. What has a length is a file and ends
//! where it ends. Memory is bounded: the queue of the pump, the decoder's window, and headers of [`super::http`]'s limits.

use std::{
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, sync_channel},
    time::Duration,
};

use url::Url;

use super::{
    FileSource, SourceError, SourceNotice, Width,
    http::{self, Body},
    pump::{Supply, Wanted},
};
use crate::mix::Block;

const BACKOFF_MIN: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// Frames after which a connection counts as a good one: ten seconds of sound.
const GOOD_FRAMES: u64 = 500;
/// Titles that wait to be told.
const TITLES_MAX: usize = 4;

/// Whether a word is the address of a stream rather than a file's name.
pub(super) fn is_url(text: &str) -> bool {
    let scheme = |scheme: &str| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    scheme("http://") || scheme("https://")
}

/// A stream being played.
pub(super) struct Stream {
    url: Url,
    width: Width,
    live: Option<Live>,
    backoff: Duration,
    /// It has worked once: from now on it is not given up.
    proven: bool,
}

struct Live {
    source: FileSource,
    body: http::Progress,
    titles: Receiver<String>,
    frames: u64,
}

impl Stream {
    /// Checks the address; the connection is made when the first frame is wanted.
    ///
    /// # Errors
    /// [`SourceError::Stream`] where this is no address that can be used.
    pub(super) fn new(url: &str, width: Width) -> Result<Self, SourceError> {
        let unusable = |why: &str| SourceError::Stream { url: url.to_owned(), why: why.to_owned() };
        let parsed = Url::parse(url).map_err(|error| unusable(&error.to_string()))?;
        match parsed.scheme() {
            "http" => Ok(Stream { url: parsed, width, live: None, backoff: BACKOFF_MIN, proven: false }),
            _ => Err(unusable(http::ONLY_HTTP)),
        }
    }

    fn connect(&self) -> Result<Live, SourceError> {
        let failed = |why| SourceError::Stream { url: self.url.to_string(), why };
        let (tell, titles) = sync_channel(TITLES_MAX);
        let Body { bytes, ending, progress } = http::get(&self.url, tell).map_err(failed)?;
        let hint = PathBuf::from(format!("stream.{ending}"));
        let source = FileSource::stream(Path::new(self.url.as_str()), &hint, bytes, self.width)?;
        Ok(Live { source, body: progress, titles, frames: 0 })
    }

    /// Connects anew, or says that it was in vain; false if nobody wants it any more.
    fn reconnect(&mut self, wanted: &Wanted) -> Result<bool, SourceError> {
        match self.connect() {
            Ok(live) => {
                if self.proven {
                    wanted.tell(SourceNotice::Back(self.url.to_string()));
                }
                (self.live, self.proven) = (Some(live), true);
                Ok(true)
            }
            Err(error) if !self.proven => Err(error),
            Err(error) => Ok(self.pause(error.to_string(), wanted)),
        }
    }

    fn pause(&mut self, why: String, wanted: &Wanted) -> bool {
        let wait = self.backoff;
        self.backoff = (wait * 2).min(BACKOFF_MAX);
        wanted.tell(SourceNotice::Lost { why, wait });
        wanted.wait(wait)
    }
}

impl Supply for Stream {
    fn next_frame(&mut self, pcm: &mut Block, wanted: &Wanted) -> Result<bool, SourceError> {
        loop {
            let Some(live) = &mut self.live else {
                if self.reconnect(wanted)? {
                    continue;
                }
                return Ok(false);
            };
            if let Ok(title) = live.titles.try_recv() {
                wanted.tell(SourceNotice::Playing(title));
            }
            let why = match live.source.next_block(pcm) {
                Ok(true) => {
                    live.frames += 1;
                    if live.frames == GOOD_FRAMES {
                        self.backoff = BACKOFF_MIN;
                    }
                    return Ok(true);
                }
                Ok(false) if live.body.is_complete() => return Ok(false),
                Ok(false) => format!("the stream {} has broken off", self.url),
                Err(error) => error.to_string(),
            };
            self.live = None;
            if !self.pause(why, wanted) {
                return Ok(false);
            }
        }
    }
}
