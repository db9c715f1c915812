//! Commands whose reader goes away, as `head` does.

use std::process::{Command, Stdio};

#[test]
fn a_reader_that_has_gone_is_no_crash() {
    let folder = tempfile::tempdir().expect("a folder");
    for arguments in [&["identity", "show"][..], &["room", "bans"], &["invite", "list"]] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_treehouse"))
            .args(arguments)
            .env("TREEHOUSE_DATA", folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("its end");
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(!words.contains("panicked"), "{arguments:?}: {words}");
        assert_ne!(output.status.code(), Some(101), "{arguments:?}");
    }
}
