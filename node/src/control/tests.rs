//! The control socket by itself.

use std::{
    fs,
    io::{Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::PathBuf,
};

use tokio::task::spawn_blocking;

use super::{Answer, CLIENTS_MAX, Control, ControlError, LINE_BYTES_MAX, Request, SOCKET_FILE, tell};

fn request() -> Request {
    Request::RevokeInvite { room: "0".repeat(64), link: "1".repeat(64) }
}

#[tokio::test]
async fn a_command_tells_a_running_node() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_owned();
    assert!(!tell(&path, &request()).expect("nobody runs"));
    let mut control = Control::listen(&path).expect("a socket");
    let mode = fs::metadata(path.join(SOCKET_FILE)).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    for (answer, told) in [
        (Answer::Done, Some(true)),
        (Answer::OtherRoom, Some(false)),
        (Answer::NoSuchBan, Some(false)),
        (Answer::Refused("it is late".to_owned()), None),
    ] {
        let path = path.clone();
        let client = spawn_blocking(move || tell(&path, &request()));
        let asked = control.asked().await.expect("a request");
        assert_eq!(asked.request, request());
        asked.answer(answer);
        let outcome = client.await.expect("no panic");
        match told {
            Some(told) => assert_eq!(outcome.ok(), Some(told)),
            None => assert!(matches!(outcome, Err(ControlError::Refused(why)) if why == "it is late")),
        }
    }
    drop(control);
    assert!(!path.join(SOCKET_FILE).exists(), "nothing is left behind");
    // As a node that was killed leaves it.
    drop(std::os::unix::net::UnixListener::bind(path.join(SOCKET_FILE)).expect("a socket"));
    assert!(!tell(&path, &request()).expect("nobody runs"));
    assert!(Control::listen(&path).is_ok(), "the next one takes its place");
}

#[tokio::test]
async fn noise_and_long_lines_are_refused_and_the_next_is_served() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut control = Control::listen(folder.path()).expect("a socket");
    let path = folder.path().join(SOCKET_FILE);
    for bytes in [b"hello\n".to_vec(), b"{\"do\":\"explode\"}\n".to_vec(), vec![b'x'; 4 * LINE_BYTES_MAX]] {
        // A client whose long line is cut may find the socket closed while it still writes.
        let answer = raw(path.clone(), bytes).await;
        assert!(answer.is_empty() || answer.contains("does not understand"), "{answer}");
    }
    let folder = folder.path().to_owned();
    let client = spawn_blocking(move || tell(&folder, &request()));
    control.asked().await.expect("a request").answer(Answer::Done);
    assert!(client.await.expect("no panic").expect("an answer"));
}

/// Sends raw bytes and reads the answer to its end; either may be cut short.
async fn raw(path: PathBuf, bytes: Vec<u8>) -> String {
    let exchange = spawn_blocking(move || {
        let mut stream = UnixStream::connect(path).expect("it listens");
        let _ = stream.write_all(&bytes);
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    });
    exchange.await.expect("no panic")
}

#[tokio::test]
async fn clients_that_say_nothing_keep_nobody_out_for_long() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut control = Control::listen(folder.path()).expect("a socket");
    let path = folder.path().join(SOCKET_FILE);
    let silent: Vec<UnixStream> = (0..CLIENTS_MAX).map(|_| UnixStream::connect(&path).expect("it listens")).collect();
    let data = folder.path().to_owned();
    let client = spawn_blocking(move || tell(&data, &request()));
    let asked = control.asked().await.expect("a place is free once one has had its time");
    asked.answer(Answer::Done);
    // It may have given up waiting, but only after its own time.
    let outcome = client.await.expect("no panic");
    assert!(matches!(outcome, Ok(true) | Err(ControlError::Silent(_))), "{outcome:?}");
    drop(silent);
    let answer = raw(path, b"hello\n".to_vec());
    assert!(answer.await.contains("does not understand"));
}
