//! A command's end of the control socket.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use super::{Answer, LINE_BYTES_MAX, Request, socket_path};

/// The node answers within this.
const ANSWER_MAX: Duration = Duration::from_secs(6);

/// Why a node that runs could not be told.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// It does not answer as it should.
    #[error("the running node does not answer ({0}): stop it with Ctrl-C and open the room again")]
    Silent(String),
    /// It refuses.
    #[error("the running node refuses: {0}")]
    Refused(String),
}

/// Tells the node that runs with this data folder; false where none does, it has another room open, or nobody is banned whom it
/// was to let in.
///
/// # Errors
/// [`ControlError`], one sentence.
pub fn tell(folder: &Path, request: &Request) -> Result<bool, ControlError> {
    let silent = |error: io::Error| ControlError::Silent(error.to_string());
    let mut stream = match UnixStream::connect(socket_path(folder)) {
        Ok(stream) => stream,
        // None runs, or one was killed and left its socket behind.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(false);
        }
        Err(error) => return Err(silent(error)),
    };
    stream.set_read_timeout(Some(ANSWER_MAX)).map_err(silent)?;
    stream.set_write_timeout(Some(ANSWER_MAX)).map_err(silent)?;
    let mut line = serde_json::to_vec(request).unwrap_or_default();
    line.push(b'\n');
    stream.write_all(&line).map_err(silent)?;
    let mut answer = Vec::new();
    BufReader::new(stream.take(LINE_BYTES_MAX as u64)).read_until(b'\n', &mut answer).map_err(silent)?;
    match serde_json::from_slice(&answer) {
        Ok(Answer::Done) => Ok(true),
        Ok(Answer::OtherRoom | Answer::NoSuchBan) => Ok(false),
        Ok(Answer::Refused(why)) => Err(ControlError::Refused(why)),
        Err(error) => Err(ControlError::Silent(error.to_string())),
    }
}
