//! Every source but a microphone, as it is asked for 20 ms in real time.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{
    FileSource, Input, Next, Say, SourceError, SourceNotice, ToneSource, Width,
    playlist::Playlist,
    pump::{Pump, Supply, Wanted},
    stream::Stream,
};
use crate::{FRAME, mix::Block};

/// How errors call standard input.
const INPUT: &str = "standard input";
/// Frames that gather before a pipe is heard: 0.1 s, since what comes through it may be live.
const GATHER_INPUT: usize = 5;
/// Frames that gather before a list is heard.
const GATHER_LIST: usize = 5;
/// Frames that gather before a station is heard: a second, since it comes in bursts.
const GATHER_STREAM: usize = 50;

/// A source that is asked in real time, and never keeps one waiting longer than a disk does.
pub struct TimedSource(Kind);

enum Kind {
    Tone(ToneSource),
    File { source: Box<FileSource>, width: Width, again: Option<Say> },
    Pumped(Pump),
}

impl TimedSource {
    /// Opens a source; none for a microphone and for nothing at all. A file, a sample or a list begins anew at its end if it is to be
    /// `looped`. What has one channel is the same on both sides in stereo.
    ///
    /// # Errors
    /// [`SourceError`] where it is known already that it cannot be used. Pipes and stations are opened beside: what is wrong with
    /// them, [`TimedSource::next`] says.
    pub fn open(say: &Say, looped: bool, width: Width) -> Result<Option<Self>, SourceError> {
        let file = |source| {
            let again = looped.then(|| say.clone());
            Kind::File { source: Box::new(source), width, again }
        };
        let kind = match say {
            Say::None | Say::Mic(_) => return Ok(None),
            Say::Tone => Kind::Tone(ToneSource::default()),
            Say::Sample(sample) => file(FileSource::sample(*sample)?),
            Say::File(path) if Playlist::is_one(path) => {
                let list = Playlist::open(path, looped, width)?;
                Kind::Pumped(Pump::start(GATHER_LIST, move |_| Ok(list))?)
            }
            Say::File(path) => file(FileSource::open_as(path, width)?),
            Say::Input(input) => {
                let input = *input;
                Kind::Pumped(Pump::start(GATHER_INPUT, move |_| open_input(input, width))?)
            }
            Say::Stream(url) => {
                let stream = Stream::new(url, width)?;
                Kind::Pumped(Pump::start(GATHER_STREAM, move |_| Ok(stream))?)
            }
        };
        Ok(Some(TimedSource(kind)))
    }

    /// The next 20 ms, if they are there.
    ///
    /// # Errors
    /// [`SourceError`] where the source cannot be read further.
    pub fn next(&mut self, pcm: &mut Block) -> Result<Next, SourceError> {
        let (source, width, again) = match &mut self.0 {
            Kind::Tone(tone) => {
                let mut frame = [0.0; FRAME];
                tone.next_frame(&mut frame);
                *pcm = Block::both(frame);
                return Ok(Next::Frame);
            }
            Kind::Pumped(pump) => return pump.next(pcm),
            Kind::File { source, width, again } => (source, *width, again),
        };
        if source.next_block(pcm)? {
            return Ok(Next::Frame);
        }
        **source = match again {
            Some(Say::File(path)) => FileSource::open_as(path, width)?,
            Some(Say::Sample(sample)) => FileSource::sample(*sample)?,
            _ => return Ok(Next::End),
        };
        source.next_block(pcm).map(|more| if more { Next::Frame } else { Next::End })
    }

    /// What has happened to the source since the last time.
    pub fn notice(&mut self) -> Option<SourceNotice> {
        match &mut self.0 {
            Kind::Pumped(pump) => pump.notice(),
            Kind::Tone(_) | Kind::File { .. } => None,
        }
    }
}

fn open_input(input: Input, width: Width) -> Result<FileSource, SourceError> {
    let name = PathBuf::from(INPUT);
    match input {
        Input::Container => FileSource::stream(&name, Path::new(""), io::stdin(), width),
        Input::Raw(samples) => FileSource::raw(&name, samples, io::stdin()),
    }
}

impl Supply for FileSource {
    fn next_frame(&mut self, pcm: &mut Block, _: &Wanted) -> Result<bool, SourceError> {
        self.next_block(pcm)
    }
}
