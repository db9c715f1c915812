//! The running node's end of the control socket.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::{Semaphore, mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};

use super::{Answer, CLIENTS_MAX, LINE_BYTES_MAX, Request, socket_path};

/// A client has this long for its question, and the node for its answer.
const CLIENT_MAX: Duration = Duration::from_secs(5);

/// A request, and where its answer goes.
#[derive(Debug)]
pub struct Asked {
    /// What is asked.
    pub request: Request,
    answer: oneshot::Sender<Answer>,
}

impl Asked {
    /// Answers; a client that is gone does not hear it.
    pub fn answer(self, answer: Answer) {
        let _ = self.answer.send(answer);
    }
}

/// The socket while it is open. It is removed when this is dropped.
#[derive(Debug)]
pub struct Control {
    path: PathBuf,
    asked: mpsc::Receiver<Asked>,
    task: JoinHandle<()>,
}

impl Control {
    /// Listens in a data folder whose identity this process holds: so a socket that is there was left by a process that is
    /// gone, and makes way.
    ///
    /// # Errors
    /// Where the system refuses the socket: the folder's path is too long for one, or not writable.
    pub fn listen(folder: &Path) -> io::Result<Self> {
        let path = socket_path(folder);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        let (ask, asked) = mpsc::channel(CLIENTS_MAX);
        let task = tokio::spawn(accept(listener, ask));
        Ok(Control { path, asked, task })
    }

    /// The next request. Nothing is lost where the future is dropped.
    pub async fn asked(&mut self) -> Option<Asked> {
        self.asked.recv().await
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.task.abort();
        let _ = fs::remove_file(&self.path);
    }
}

async fn accept(listener: UnixListener, ask: mpsc::Sender<Asked>) {
    let places = Arc::new(Semaphore::new(CLIENTS_MAX));
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of files, perhaps; it is tried again when some may be closed.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let ask = ask.clone();
        tokio::spawn(async move {
            let _ = timeout(CLIENT_MAX, serve(stream, ask)).await;
            drop(place);
        });
    }
}

/// One question, one answer.
async fn serve(mut stream: UnixStream, ask: mpsc::Sender<Asked>) -> io::Result<()> {
    // Between bind and chmod others could have connected.
    if stream.peer_cred()?.uid() != rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    let mut line = Vec::new();
    let (reader, mut writer) = stream.split();
    BufReader::new(reader).take(LINE_BYTES_MAX as u64).read_until(b'\n', &mut line).await?;
    let answer = match serde_json::from_slice(&line) {
        Ok(request) => {
            let (answer, answered) = oneshot::channel();
            let gone = || Answer::Refused("the node is about to end: try again when it has".to_owned());
            match ask.send(Asked { request, answer }).await {
                Ok(()) => answered.await.unwrap_or_else(|_| gone()),
                Err(_) => gone(),
            }
        }
        Err(_) => Answer::Refused("the node does not understand this: let both be of one version".to_owned()),
    };
    let mut line = serde_json::to_vec(&answer).unwrap_or_default();
    line.push(b'\n');
    writer.write_all(&line).await
}
