//! The thread that writes a recording, behind a queue: the driver never waits for a disk.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use treehouse_audio::record::{TRACKS, TapeError};
use treehouse_invite::Charter;
use treehouse_room::Recorded;
use treehouse_wire::{NodeId, Shipped, Suite, control::Statement, decode, limits::SIGNED_BYTES_MAX};

use super::{
    proof_of,
    take::{Take, Who},
};
use crate::{failure::Failure, identity::random_seed, inspect};

/// Things that wait for the disk at most: twelve voices for eight seconds. More are lost, and the recording says so.
const QUEUE_MAX: usize = 4_096;
/// The thread looks at the time this often.
const LOOK: Duration = Duration::from_millis(20);
/// Length of a slot.
const SLOT: Duration = Duration::from_millis(20);
/// How long the end waits for the disk.
const FINISH_MAX: Duration = Duration::from_secs(10);

/// The two files, made and empty.
pub struct Files {
    path: PathBuf,
    sound: File,
    proof: File,
}

impl Files {
    /// Makes both. A recording is not written over another.
    ///
    /// # Errors
    /// [`Failure::Usage`] where they cannot be made, or are there.
    pub fn create(path: &Path) -> Result<Self, Failure> {
        let usage = |path: &Path, error: &io::Error| {
            let what = match error.kind() {
                io::ErrorKind::AlreadyExists => format!("{} is there already: name another file", path.display()),
                _ => format!("cannot record into {}: {error}; name another file", path.display()),
            };
            Failure::Usage(what)
        };
        if !path.extension().is_some_and(|ending| ending == "ogg" || ending == "opus") {
            return Err(Failure::Usage(format!(
                "{} does not end in .ogg: recordings are Ogg Opus files",
                path.display()
            )));
        }
        let create = |path: &Path| {
            OpenOptions::new().write(true).create_new(true).open(path).map_err(|error| usage(path, &error))
        };
        let sound = create(path)?;
        match create(&proof_of(path)) {
            Ok(proof) => Ok(Files { path: path.to_owned(), sound, proof }),
            Err(failure) => {
                let _ = fs::remove_file(path);
                Err(failure)
            }
        }
    }
}

enum Item {
    Heard(Recorded, Instant),
    End,
}

/// What the recording tells, one sentence.
pub type Tell = Box<dyn FnMut(String) + Send>;

/// A recording under way, as the node has it.
pub struct Recorder {
    queue: SyncSender<Item>,
    done: Receiver<()>,
    lost: Arc<AtomicU32>,
}

impl Recorder {
    /// Starts the thread. `tell` hears when something is recorded for the first time, and what goes wrong.
    ///
    /// # Errors
    /// [`Failure::Failed`] where the system gives no thread or no random numbers.
    pub fn start(files: Files, node: NodeId, seed: &[u8; 32], tell: Tell) -> Result<Self, Failure> {
        let random = random_seed()?;
        let (first, _) = random.split_first_chunk::<4>().unwrap_or((&[0; 4], &[]));
        let first = u32::from_le_bytes(*first);
        // Each file has numbers of its own, so that a page of another is noticed.
        let serials: [u32; TRACKS] = std::array::from_fn(|track| first.wrapping_add(track as u32));
        let who = Who { node, signer: Shipped.signer(seed), serials };
        let (queue, items) = sync_channel(QUEUE_MAX);
        let (finished, done) = sync_channel(1);
        let lost = Arc::new(AtomicU32::new(0));
        let clerk = Clerk { files: Some(files), who, tell, lost: Arc::clone(&lost), charter: None, begun: None };
        let run = move || {
            clerk.run(&items);
            let _ = finished.try_send(());
        };
        let spawned = thread::Builder::new().name("treehouse-record".into()).spawn(run);
        spawned.map_err(|error| Failure::Failed(format!("cannot record: {error}; close other programs")))?;
        Ok(Recorder { queue, done, lost })
    }

    /// Where the driver puts what is to be recorded; never waits.
    pub fn inlet(&self) -> impl FnMut(Recorded, Instant) + Send + 'static {
        let (queue, lost) = (self.queue.clone(), Arc::clone(&self.lost));
        move |recorded, at| {
            if queue.try_send(Item::Heard(recorded, at)).is_err() {
                lost.fetch_add(1, Relaxed);
            }
        }
    }

    /// Ends the recording and waits until it is written, ten seconds at most.
    pub fn finish(self) {
        // Where the queue is full, its end says the same.
        if self.queue.try_send(Item::End).is_err() {
            drop(self.queue);
        }
        let _ = self.done.recv_timeout(FINISH_MAX);
    }
}

/// The thread's own.
struct Clerk {
    files: Option<Files>,
    who: Who,
    tell: Tell,
    lost: Arc<AtomicU32>,
    charter: Option<Statement>,
    begun: Option<(Take<File>, Instant, PathBuf)>,
}

impl Clerk {
    fn run(mut self, items: &Receiver<Item>) {
        loop {
            let outcome = match items.recv_timeout(LOOK) {
                Ok(Item::Heard(recorded, at)) => self.heard(recorded, at),
                Err(RecvTimeoutError::Timeout) => Ok(()),
                Ok(Item::End) | Err(RecvTimeoutError::Disconnected) => return self.end(),
            };
            if let Err(error) = outcome.and_then(|()| self.look()) {
                (self.tell)(format!(
                    "the recording has stopped: {error}; what was recorded until then is kept, see whether the disk is full"
                ));
                return;
            }
        }
    }

    fn heard(&mut self, recorded: Recorded, at: Instant) -> Result<(), TapeError> {
        if let Recorded::Charter(charter) = &recorded {
            self.charter.get_or_insert_with(|| charter.clone());
            return Ok(());
        }
        if self.begun.is_none() && matches!(recorded, Recorded::State { recording: true, .. }) {
            self.begin(at)?;
        }
        let Some((take, began, _)) = &mut self.begun else { return Ok(()) };
        take.hear(recorded, slot(*began, at))
    }

    fn begin(&mut self, at: Instant) -> Result<(), TapeError> {
        let Some(statement) = self.charter.clone() else { return Ok(()) };
        let Ok(charter) = decode::<Charter>(&statement.payload, SIGNED_BYTES_MAX) else { return Ok(()) };
        let Some(Files { path, sound, proof }) = self.files.take() else { return Ok(()) };
        let room = (charter.room(), statement, charter.title.to_string());
        let take = Take::begin((sound, proof), self.who.clone(), room, inspect::now())?;
        (self.tell)(format!("you record the room into {}", path.display()));
        self.begun = Some((take, at, path));
        Ok(())
    }

    fn look(&mut self) -> Result<(), TapeError> {
        let Some((take, began, _)) = &mut self.begun else { return Ok(()) };
        let now = slot(*began, Instant::now());
        let lost = self.lost.swap(0, Relaxed);
        if lost > 0 {
            take.lost(lost, now)?;
        }
        take.advance(now)
    }

    fn end(mut self) {
        if let Some((take, began, path)) = self.begun {
            if let Err(error) = take.finish(slot(began, Instant::now())) {
                (self.tell)(format!("the recording could not be ended: {error}; what was recorded before is kept"));
            } else {
                (self.tell)(format!("recorded: `treehouse verify {}` says who said what", path.display()));
            }
        } else if let Some(Files { path, .. }) = self.files {
            let _ = fs::remove_file(proof_of(&path));
            let _ = fs::remove_file(&path);
            (self.tell)("nothing was recorded: the host has not switched recording on".to_owned());
        }
    }
}

fn slot(began: Instant, at: Instant) -> u64 {
    let passed = at.saturating_duration_since(began).as_millis() / SLOT.as_millis();
    u64::try_from(passed).unwrap_or(u64::MAX)
}
