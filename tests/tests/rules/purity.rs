//! `wire`, `invite` and `room` are pure: no clock, no randomness, no task, no lock, no socket, no file.
//!
//! Time, a seed and the signature checker come in as arguments, so the simulator runs the very code that ships, and a
//! run is a function of its seed and its inputs.

use crate::{
    assert_clean, assert_finds,
    source::{Source, shipped},
};

const PURE_CRATES: [&str; 3] = ["crates/wire", "crates/invite", "crates/room"];

/// What no pure crate may name, and why.
const FORBIDDEN: &[(&[&str], &str)] = &[
    (&["std", "time", "Instant"], "time comes in as an argument"),
    (&["std", "time", "SystemTime"], "wall-clock time comes in as an argument"),
    (&["std", "time", "UNIX_EPOCH"], "wall-clock time comes in as an argument"),
    (&["chrono"], "wall-clock time comes in as an argument"),
    (&["rand"], "randomness comes in as a seed"),
    (&["rand_core"], "randomness comes in as a seed"),
    (&["getrandom"], "randomness comes in as a seed"),
    (&["fastrand"], "randomness comes in as a seed"),
    (&["std", "collections", "HashMap"], "its order is random; use a BTreeMap"),
    (&["std", "collections", "HashSet"], "its order is random; use a BTreeSet"),
    (&["std", "collections", "hash_map"], "its order is random; use a BTreeMap"),
    (&["std", "collections", "hash_set"], "its order is random; use a BTreeSet"),
    (&["std", "hash", "RandomState"], "randomness comes in as a seed"),
    (&["tokio"], "no task, no socket: the driver has them"),
    (&["async_std"], "no task, no socket: the driver has them"),
    (&["smol"], "no task, no socket: the driver has them"),
    (&["futures"], "no task: the driver has them"),
    (&["libp2p"], "only net speaks libp2p"),
    (&["std", "thread"], "no task: the driver has them"),
    (&["std", "process"], "no process"),
    (&["std", "env"], "settings come in as arguments"),
    (&["std", "fs"], "no file: the node stores"),
    (&["std", "io"], "no file and no console: the node has them"),
    (&["std", "os"], "nothing of the operating system"),
    (&["std", "net", "UdpSocket"], "no socket: net has them"),
    (&["std", "net", "TcpStream"], "no socket: net has them"),
    (&["std", "net", "TcpListener"], "no socket: net has them"),
    (&["std", "net", "ToSocketAddrs"], "no name look-up: net does it"),
    (&["std", "sync", "Mutex"], "no lock: one owner drives a room"),
    (&["std", "sync", "RwLock"], "no lock: one owner drives a room"),
    (&["std", "sync", "Condvar"], "no lock: one owner drives a room"),
    (&["std", "sync", "Barrier"], "no lock: one owner drives a room"),
    (&["std", "sync", "Once"], "no global state"),
    (&["std", "sync", "OnceLock"], "no global state"),
    (&["std", "sync", "LazyLock"], "no global state"),
    (&["std", "sync", "atomic"], "no shared state: one owner drives a room"),
    (&["std", "sync", "mpsc"], "no channel: inputs come in, outputs are polled"),
    (&["parking_lot"], "no lock: one owner drives a room"),
    (&["once_cell"], "no global state"),
];

/// Macros that no pure crate may call.
const FORBIDDEN_MACROS: [&str; 5] = ["println", "print", "eprintln", "eprint", "thread_local"];

fn impurities(source: &Source) -> Vec<String> {
    let mut findings = Vec::new();
    for name in &source.names {
        for (forbidden, reason) in FORBIDDEN {
            // A crate's name alone may be a variable's.
            let named = name.starts_with(forbidden) && name.path.len() > 1;
            if named || name.hides(forbidden) {
                findings.push(format!("{}: {}: {reason}", source.at(name.line), name.text()));
                break;
            }
        }
    }
    for (at, token) in source.tokens.iter().enumerate() {
        let Some(word) = token.word() else { continue };
        if matches!(word, "async" | "await") {
            findings.push(format!("{}: {word}: no task: the driver has them", source.at(token.line)));
        }
        if FORBIDDEN_MACROS.contains(&word) && source.tokens.get(at + 1).is_some_and(|next| next.is_sign('!')) {
            findings.push(format!("{}: {word}!: no console and no global state", source.at(token.line)));
        }
    }
    findings.dedup();
    findings
}

#[test]
fn wire_invite_and_room_are_pure() {
    let findings: Vec<String> =
        PURE_CRATES.iter().flat_map(|folder| shipped(folder)).flat_map(|s| impurities(&s)).collect();
    assert_clean(&findings);
}

#[test]
fn a_clock_is_found_however_it_is_imported() {
    assert_finds(&impurities(&Source::snippet("use std::time::{Duration, SystemTime as Wall};")), "SystemTime");
    assert_finds(
        &impurities(&Source::snippet("use std::time; fn f() { time::Instant::now(); }")),
        "std::time::Instant",
    );
    assert_finds(&impurities(&Source::snippet("use std::time::*;")), "std::time::*");
    assert_clean(&impurities(&Source::snippet("use crate::time::Instant; fn f() -> Instant { Instant::zero() }")));
    assert_clean(&impurities(&Source::snippet("use std::time::Duration; fn f() -> Duration { Duration::ZERO }")));
}

#[test]
fn randomness_tasks_locks_sockets_and_files_are_found() {
    assert_finds(&impurities(&Source::snippet("fn f() { rand::random() }")), "seed");
    assert_finds(&impurities(&Source::snippet("use std::collections::HashMap;")), "BTreeMap");
    assert_finds(&impurities(&Source::snippet("async fn f() {}")), "task");
    assert_finds(&impurities(&Source::snippet("fn f() { let _ = tokio::spawn(x); }")), "tokio::spawn");
    assert_finds(&impurities(&Source::snippet("struct S(std::sync::Mutex<u8>);")), "lock");
    assert_finds(&impurities(&Source::snippet("use std::sync::atomic::AtomicU8;")), "atomic");
    assert_finds(&impurities(&Source::snippet("fn f() { std::net::UdpSocket::bind(a) }")), "socket");
    assert_finds(&impurities(&Source::snippet("use std::fs;")), "file");
    assert_finds(&impurities(&Source::snippet("fn f() { println!() }")), "console");
}

#[test]
fn code_for_tests_may_do_as_it_likes() {
    assert_clean(&impurities(&Source::snippet("#[cfg(test)] mod tests { use std::time::Instant; use rand::Rng; }")));
}
