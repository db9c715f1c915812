//! Lines that leave through a thread of their own.
//!
//! A terminal that is paused or a disk that is slow must never hold up a packet or an audio callback. Whoever has
//! something to write puts it into a bounded queue and goes on; one thread formats and writes. Where the queue is full
//! the new line is dropped and counted, and the count is told at the end.

use std::{
    fmt::{self, Display},
    io::{self, BufWriter, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, TrySendError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

/// How long [`Lines::finish`] waits for a reader that does not read.
const FINISH_WAIT: Duration = Duration::from_secs(2);

/// Prints a line on standard output; one that nobody reads any more is let go.
pub fn say(words: fmt::Arguments<'_>) {
    let _ = writeln!(io::stdout(), "{words}");
}

enum Message<T> {
    Line(T),
    End,
}

struct Shared {
    dropped: AtomicU64,
    broken: AtomicBool,
}

/// The queue's end of whoever writes; cheap to clone, never blocks.
pub struct LineSender<T> {
    queue: SyncSender<Message<T>>,
    shared: Arc<Shared>,
}

impl<T> Clone for LineSender<T> {
    fn clone(&self) -> Self {
        LineSender { queue: self.queue.clone(), shared: self.shared.clone() }
    }
}

impl<T> LineSender<T> {
    /// Queues a line, or counts it as dropped where the queue is full.
    pub fn send(&self, line: T) {
        if self.queue.try_send(Message::Line(line)).is_err() {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Lines dropped so far.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// Nothing can be written any more: the reader is gone or the disk is full.
    pub fn is_broken(&self) -> bool {
        self.shared.broken.load(Ordering::Relaxed)
    }
}

/// A writer thread and its queue.
pub struct Lines<T> {
    sender: LineSender<T>,
    done: Receiver<()>,
}

impl<T: Display + Send + 'static> Lines<T> {
    /// Starts the thread; `capacity` lines wait at most.
    ///
    /// # Errors
    /// Where the system gives no more threads.
    pub fn start(name: &str, capacity: usize, sink: impl Write + Send + 'static) -> io::Result<Self> {
        let (queue, lines) = sync_channel(capacity);
        let (finished, done) = sync_channel(1);
        let shared = Arc::new(Shared { dropped: AtomicU64::new(0), broken: AtomicBool::new(false) });
        let sender = LineSender { queue, shared: shared.clone() };
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            if write_all(&lines, sink).is_err() {
                shared.broken.store(true, Ordering::Relaxed);
            }
            let _ = finished.try_send(());
        })?;
        Ok(Lines { sender, done })
    }

    /// An end of the queue.
    pub fn sender(&self) -> LineSender<T> {
        self.sender.clone()
    }

    /// Writes what is queued and ends the thread, within two seconds; returns how many lines were dropped.
    pub fn finish(self) -> u64 {
        let deadline = Instant::now() + FINISH_WAIT;
        while let Err(TrySendError::Full(_)) = self.sender.queue.try_send(Message::End) {
            if Instant::now() >= deadline {
                break;
            }
            thread::sleep(Duration::from_millis(5));
        }
        if let Err(RecvTimeoutError::Timeout) = self.done.recv_timeout(deadline - Instant::now().min(deadline)) {
            self.sender.shared.broken.store(true, Ordering::Relaxed);
        }
        self.sender.dropped()
    }
}

/// Writes until the end, and flushes whenever nothing waits, so that a reader sees each line soon.
fn write_all<T: Display>(lines: &Receiver<Message<T>>, sink: impl Write) -> io::Result<()> {
    let mut sink = BufWriter::new(sink);
    loop {
        let message = match lines.try_recv() {
            Err(TryRecvError::Empty) => {
                sink.flush()?;
                lines.recv().unwrap_or(Message::End)
            }
            Err(TryRecvError::Disconnected) => Message::End,
            Ok(message) => message,
        };
        match message {
            Message::Line(line) => writeln!(sink, "{line}")?,
            Message::End => return sink.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, mpsc};

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().map_err(|_| io::ErrorKind::Other)?.extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A reader that reads nothing until it is told to.
    struct Stuck(mpsc::Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_come_out_in_order_and_complete() {
        let page = Page::default();
        let lines = Lines::start("lines", 8, page.clone()).expect("a thread");
        let sender = lines.sender();
        (0..5).for_each(|i| sender.send(i));
        assert_eq!(lines.finish(), 0);
        assert_eq!(page.0.lock().expect("no panic in the writer").as_slice(), b"0\n1\n2\n3\n4\n");
    }

    #[test]
    fn a_stuck_reader_costs_lines_and_never_time() {
        let (let_go, stuck) = mpsc::sync_channel(0);
        let lines = Lines::start("lines", 4, Stuck(stuck)).expect("a thread");
        let sender = lines.sender();
        // The writer holds at most one line and the queue four: of a hundred, at least 95 are dropped, and counted.
        (0..100).for_each(|i| sender.send(i));
        assert!((95..100).contains(&sender.dropped()), "{}", sender.dropped());
        drop(let_go);
        lines.finish();
    }

    #[test]
    fn a_reader_that_is_gone_is_noticed() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let lines = Lines::start("lines", 4, Gone).expect("a thread");
        let sender = lines.sender();
        sender.send(1);
        lines.finish();
        assert!(sender.is_broken());
    }
}
