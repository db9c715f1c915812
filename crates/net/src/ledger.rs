//! Keeping what must survive a crash before anything that follows from it leaves this node.
//!
//! Writing to a disk for good takes milliseconds, and seconds where the disk is busy. The driver forwards sound meanwhile: a
//! thread of its own keeps what the room asks to be kept, as many at once as wait (group commit), and the answers come back as
//! inputs.

use std::{
    io,
    sync::mpsc::{self as blocking, Receiver, SyncSender},
    thread,
};

use tokio::sync::mpsc;
use treehouse_room::Redemption;

use crate::limits::REDEMPTIONS_MAX;

/// Why something could not be kept. This machine is at fault: its disk is full, or the file is gone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot keep who was admitted: {0}; nobody is let in by a counted invite until that works")]
pub struct LedgerError(pub String);

/// Where a host keeps which invites were used.
pub trait Ledger: Send + 'static {
    /// Keeps all of these or none. Where it succeeds they survive a crash of the machine. It is called on a thread of its own,
    /// and may block.
    ///
    /// # Errors
    /// [`LedgerError`]; the joiners are then told to come again.
    fn keep(&mut self, redemptions: &[Redemption]) -> Result<(), LedgerError>;
}

/// The driver's end of the thread that keeps. It holds at most [`REDEMPTIONS_MAX`]; more are refused, and nothing waits.
#[derive(Debug)]
pub(crate) struct Keeper {
    wanted: SyncSender<Redemption>,
    settled: mpsc::Receiver<(Redemption, bool)>,
}

impl Keeper {
    pub(crate) fn start(ledger: impl Ledger) -> io::Result<Self> {
        let (wanted, queue) = blocking::sync_channel(REDEMPTIONS_MAX);
        let (settle, settled) = mpsc::channel(REDEMPTIONS_MAX);
        thread::Builder::new().name("treehouse-ledger".to_owned()).spawn(move || keep_all(ledger, &queue, &settle))?;
        Ok(Keeper { wanted, settled })
    }

    /// Asks for a redemption to be kept; it comes back where there is no room for it.
    pub(crate) fn keep(&self, redemption: Redemption) -> Option<Redemption> {
        self.wanted.try_send(redemption).err().map(|refused| match refused {
            blocking::TrySendError::Full(redemption) | blocking::TrySendError::Disconnected(redemption) => redemption,
        })
    }

    /// The next that is kept, or could not be.
    pub(crate) async fn settled(&mut self) -> Option<(Redemption, bool)> {
        self.settled.recv().await
    }
}

fn keep_all(mut ledger: impl Ledger, queue: &Receiver<Redemption>, settle: &mpsc::Sender<(Redemption, bool)>) {
    while let Ok(first) = queue.recv() {
        let mut batch = vec![first];
        batch.extend(queue.try_iter().take(REDEMPTIONS_MAX - 1));
        let kept = ledger.keep(&batch);
        if let Err(error) = &kept {
            tracing::warn!("{error}");
        }
        for redemption in batch {
            if settle.blocking_send((redemption, kept.is_ok())).is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use treehouse_wire::NodeId;

    use super::*;

    /// Keeps the first batch and loses the rest.
    struct FullDisk(usize);

    impl Ledger for FullDisk {
        fn keep(&mut self, _: &[Redemption]) -> Result<(), LedgerError> {
            self.0 += 1;
            if self.0 == 1 { Ok(()) } else { Err(LedgerError("the disk is full".to_owned())) }
        }
    }

    #[tokio::test]
    async fn what_is_kept_is_told_from_what_is_not() {
        let redemption = |n| Redemption { node: NodeId([n; 32]), chain: [n; 32], links: vec![[n; 32]] };
        let mut keeper = Keeper::start(FullDisk(0)).expect("a thread");
        assert_eq!(keeper.keep(redemption(1)), None);
        assert_eq!(keeper.settled().await, Some((redemption(1), true)));
        assert_eq!(keeper.keep(redemption(2)), None);
        assert_eq!(keeper.settled().await, Some((redemption(2), false)));
    }
}
