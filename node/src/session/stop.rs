//! Why a session ends: Ctrl-C, a polite kill, its time, or whoever started it.

use std::{
    io::{self, Read},
    process, thread,
    time::Duration,
};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
    time::{Instant, sleep_until},
};

use crate::failure::Failure;

/// Exit status after a second Ctrl-C, as shells have it for SIGINT.
const INTERRUPTED: i32 = 130;

/// All that may end a session from outside the room.
pub struct Stops {
    interrupt: Signal,
    terminate: Signal,
    deadline: Option<Instant>,
    stdin: Option<oneshot::Receiver<()>>,
}

impl Stops {
    /// Listens for signals from now on; ends after `stay`, and with `until_stdin_closes` as soon as that happens.
    ///
    /// # Errors
    /// [`Failure::Failed`] where the system gives no signal handler or thread.
    pub fn listen(stay: Option<Duration>, until_stdin_closes: bool) -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::Failed(format!("cannot listen for Ctrl-C: {error}; try again"));
        let deadline = stay.and_then(|stay| Instant::now().checked_add(stay));
        let stdin = if until_stdin_closes { Some(watch_stdin().map_err(failed)?) } else { None };
        let interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let terminate = signal(SignalKind::terminate()).map_err(failed)?;
        Ok(Stops { interrupt, terminate, deadline, stdin })
    }

    /// Waits for the first of them. Nothing is lost where the future is dropped.
    pub async fn wait(&mut self) {
        let deadline = self.deadline;
        let time = async {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        let stdin = async {
            match &mut self.stdin {
                Some(closed) => drop(closed.await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(()) = self.interrupt.recv() => {}
            Some(()) = self.terminate.recv() => {}
            () = time => {}
            () = stdin => {}
        }
    }
}

/// From now on a further Ctrl-C or SIGTERM ends the process at once.
pub fn end_at_once() {
    tokio::spawn(async {
        let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
        else {
            return;
        };
        tokio::select! {
            Some(()) = interrupt.recv() => {}
            Some(()) = terminate.recv() => {}
        }
        process::exit(INTERRUPTED);
    });
}

/// A thread that reads standard input to its end. It may outlive the session, and ends with the process.
fn watch_stdin() -> io::Result<oneshot::Receiver<()>> {
    let (closed, receiver) = oneshot::channel();
    thread::Builder::new().name("treehouse-stdin".to_owned()).spawn(move || {
        let mut buffer = [0; 256];
        let mut stdin = io::stdin().lock();
        loop {
            match stdin.read(&mut buffer) {
                Ok(0) => break,
                Err(error) if error.kind() != io::ErrorKind::Interrupted => break,
                _ => {}
            }
        }
        let _ = closed.send(());
    })?;
    Ok(receiver)
}
