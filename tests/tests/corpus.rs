//! The seeds of the fuzz targets, through the same functions as the fuzzer uses.

use std::fs;

use treehouse_tests::{parsers, tree};

/// Calls `target` with every seed and returns how many there were.
fn replay(name: &str, target: fn(&[u8])) -> usize {
    let folder = tree::root().join("tests/fuzz/corpus").join(name);
    let seeds: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    seeds.iter().for_each(|seed| target(&fs::read(seed).unwrap()));
    // The fuzzer starts from these; each cut short and each with one bit flipped is close to what it tries first.
    for seed in &seeds {
        let bytes = fs::read(seed).unwrap();
        for at in 0..bytes.len() {
            target(&bytes[..at]);
            let mut altered = bytes.clone();
            altered[at] ^= 1 << (at % 8);
            target(&altered);
        }
    }
    seeds.len()
}

#[test]
fn control_messages() {
    assert!(replay("control", parsers::control) >= 5);
}

#[test]
fn media_packets() {
    assert!(replay("packet", parsers::packet) >= 4);
}

#[test]
fn invites() {
    assert!(replay("invite", parsers::invite) >= 4);
}
