//! A thread that writes, behind a queue: whoever makes sound never waits for a disk or a reader.
//!
//! Where the queue is full sound is dropped, and made up for with as much silence once there is room: what is written later keeps its
//! place in time. A reader that goes away is no error but an end.

use std::{
    fs::File,
    io::{self, BufWriter, IsTerminal},
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, TrySendError, sync_channel},
    thread,
    time::Duration,
};

use super::{Format, OpusSink, RawSink, Samples, SinkError, SoundFile, WavFile};
use crate::mix::Block;

/// Blocks that wait for a slow disk or reader at most: five seconds. More is dropped, and counted.
pub const QUEUE_BLOCKS: usize = 250;
/// How long the end waits for a reader that does not read, and for a disk.
const FINISH_WAIT_READER: Duration = Duration::from_secs(2);
const FINISH_WAIT_DISK: Duration = Duration::from_secs(10);
/// How errors call standard output.
const OUTPUT: &str = "standard output";

enum Piece {
    Block(Box<Block>),
    /// So many blocks of silence.
    Silence(u64),
    End,
}

/// How the writing ended before anybody wanted it to.
#[derive(Debug)]
pub enum Ended {
    /// Nobody reads any more.
    Closed,
    /// It cannot be written.
    Failed(SinkError),
}

/// The queue's end of whoever makes sound; dropping it ends the file, unwatched.
pub struct Recorder {
    /// One channel: what is written is mixed down.
    mono: bool,
    queue: SyncSender<Piece>,
    done: Receiver<Result<(), Ended>>,
    /// Blocks of silence still to be queued.
    owed: u64,
    dropped: u64,
    over: bool,
    finish_wait: Duration,
}

impl Recorder {
    /// Makes a file, replacing one of that name, with one channel or two.
    ///
    /// # Errors
    /// [`SinkError`] where it cannot be made.
    pub fn create(path: &Path, format: Format, channels: u16) -> Result<Self, SinkError> {
        if format == Format::Wav {
            let recorder = Self::start(Box::new(WavFile::create(path, channels)?), path.to_owned())?;
            return Ok(Recorder { mono: channels == 1, ..recorder });
        }
        let failed = |error: io::Error| SinkError::File { path: path.to_owned(), why: error.to_string() };
        let file = BufWriter::new(File::create(path).map_err(failed)?);
        let recorder = Self::start(sound_file(file, format, channels, failed)?, path.to_owned())?;
        Ok(Recorder { mono: channels == 1, ..recorder })
    }

    /// Writes to standard output.
    ///
    /// # Errors
    /// [`SinkError::Terminal`] where that is a terminal, others where it cannot be written.
    pub fn output(format: Format, channels: u16) -> Result<Self, SinkError> {
        if io::stdout().is_terminal() {
            return Err(SinkError::Terminal);
        }
        let failed = |error: io::Error| SinkError::File { path: PathBuf::from(OUTPUT), why: error.to_string() };
        // The library's own buffer looks for line ends; this one hands it whole blocks, which it passes on.
        let out = BufWriter::with_capacity(1 << 16, io::stdout());
        let recorder = Self::start(sound_file(out, format, channels, failed)?, PathBuf::from(OUTPUT))?;
        Ok(Recorder { mono: channels == 1, finish_wait: FINISH_WAIT_READER, ..recorder })
    }

    /// Writes `file` from a thread of its own; `path` names it in errors.
    ///
    /// # Errors
    /// [`SinkError::Thread`] where the system gives no thread.
    pub fn start(file: Box<dyn SoundFile>, path: PathBuf) -> Result<Self, SinkError> {
        let (queue, pieces) = sync_channel(QUEUE_BLOCKS);
        let (finished, done) = sync_channel(1);
        thread::Builder::new()
            .name("treehouse-recorder".into())
            .spawn(move || {
                let _ = finished.try_send(write_all(file, &pieces).map_err(|error| ended(error, path)));
            })
            .map_err(SinkError::Thread)?;
        Ok(Recorder { mono: false, queue, done, owed: 0, dropped: 0, over: false, finish_wait: FINISH_WAIT_DISK })
    }

    /// Queues 20 ms; never waits.
    pub fn write(&mut self, block: &Block) {
        let block = if self.mono { Block::both(block.mono()) } else { block.clone() };
        if !self.pay() || self.queue.try_send(Piece::Block(Box::new(block))).is_err() {
            self.owed = self.owed.saturating_add(1);
            self.dropped += u64::from(!self.over);
        }
    }

    /// Queues so much silence, in blocks of 20 ms.
    pub fn write_silence(&mut self, blocks: u64) {
        self.owed = self.owed.saturating_add(blocks);
        self.pay();
    }

    /// How the writing ended, once it has; told once.
    pub fn poll(&mut self) -> Option<Ended> {
        if self.over {
            return None;
        }
        let ended = match self.done.try_recv() {
            Ok(result) => result.err(),
            Err(TryRecvError::Empty) => return None,
            Err(TryRecvError::Disconnected) => None,
        };
        self.over = true;
        ended
    }

    /// Whether the writing has ended.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Blocks that were dropped and became silence.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Writes what is queued and closes the file, within ten seconds; for a reader, within two.
    ///
    /// # Errors
    /// [`SinkError`] where it could not be written; a reader that went away is none.
    pub fn finish(mut self) -> Result<(), SinkError> {
        if self.over {
            return Ok(());
        }
        self.pay();
        // Dropping the queue ends the file as well, where a reader that does not read keeps it full.
        if let Err(TrySendError::Full(_)) = self.queue.try_send(Piece::End) {
            drop(self.queue);
        }
        match self.done.recv_timeout(self.finish_wait) {
            Ok(Err(Ended::Failed(error))) => Err(error),
            Ok(Ok(()) | Err(Ended::Closed)) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Ok(()),
        }
    }

    /// Queues the silence that is owed; true if nothing is owed any more.
    fn pay(&mut self) -> bool {
        if self.owed > 0 && self.queue.try_send(Piece::Silence(self.owed)).is_ok() {
            self.owed = 0;
        }
        self.owed == 0
    }
}

fn sound_file<W: io::Write + Send + 'static>(
    out: W,
    format: Format,
    channels: u16,
    failed: impl Fn(io::Error) -> SinkError,
) -> Result<Box<dyn SoundFile>, SinkError> {
    Ok(match format {
        Format::Wav => Box::new(RawSink::wav(out, channels).map_err(failed)?),
        Format::OggOpus => Box::new(OpusSink::new(out, channels).map_err(failed)??),
        Format::S16le => Box::new(RawSink::new(out, Samples::S16le, channels)),
        Format::F32le => Box::new(RawSink::new(out, Samples::F32le, channels)),
    })
}

fn write_all(mut file: Box<dyn SoundFile>, pieces: &Receiver<Piece>) -> io::Result<()> {
    for piece in pieces {
        match piece {
            Piece::Block(block) => file.write(&block)?,
            Piece::Silence(blocks) => (0..blocks).try_for_each(|_| file.write(&Block::default()))?,
            Piece::End => break,
        }
    }
    file.finish()
}

fn ended(error: io::Error, path: PathBuf) -> Ended {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Ended::Closed,
        _ => Ended::Failed(SinkError::File { path, why: error.to_string() }),
    }
}
