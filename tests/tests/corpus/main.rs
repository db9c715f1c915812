//! The seeds of the fuzz targets, through the same functions as the fuzzer uses.
//!
//! Each seed is made here from what it is for, and compared with its file in `tests/fuzz/corpus` and with the verdict that it
//! must get: one that is malformed, expired, widened, replayed or bound to something else is refused with its own error. Files
//! that nothing here makes are honest inputs, taken from the test vectors, or found by fuzzing: those are listed. To write
//! the files anew, and look at the difference:
//!
//! ```text
//! TREEHOUSE_WRITE_VECTORS=1 cargo test -p treehouse-tests --test corpus
//! ```

mod beacon;
mod certificate;
mod control;
mod forge;
mod invite;
mod packet;
#[cfg(feature = "records")]
mod records;
mod room;

use std::{collections::BTreeMap, env, fs};

use treehouse_tests::{
    fuzz::{
        Target,
        memory::{self, StatsAlloc},
    },
    tree,
};

/// Counts, so that the room's bound on memory is looked at here too.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<std::alloc::System> = memory::COUNTED;

/// An input that is there for one verdict.
struct Seed {
    name: String,
    /// None where the file is not made here.
    bytes: Option<Vec<u8>>,
    verdict: String,
}

fn seed(name: &str, bytes: impl Into<Vec<u8>>, verdict: &str) -> Seed {
    Seed { name: name.to_owned(), bytes: Some(bytes.into()), verdict: verdict.to_owned() }
}

/// A file of the corpus that is not made here.
fn listed(name: &str, verdict: &str) -> Seed {
    Seed { name: name.to_owned(), bytes: None, verdict: verdict.to_owned() }
}

/// Runs every seed of a target, and what is close to it.
fn replay(name: &str, seeds: &[Seed]) {
    let target = Target::named(name).expect("a target");
    let folder = tree::root().join("tests/fuzz/corpus").join(name);
    if env::var_os("TREEHOUSE_WRITE_VECTORS").is_some() {
        fs::create_dir_all(&folder).unwrap();
        for seed in seeds {
            seed.bytes.iter().for_each(|bytes| fs::write(folder.join(&seed.name), bytes).unwrap());
        }
    }
    let files: BTreeMap<String, Vec<u8>> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect();
    let mut findings = Vec::new();
    for Seed { name: of, bytes, .. } in seeds {
        let file = files.get(of);
        if file.is_none() || bytes.as_ref().is_some_and(|bytes| Some(bytes) != file) {
            findings.push(format!("{name}/{of} is not what is made here; see the top of this file"));
        }
    }
    for (file, bytes) in &files {
        let wanted = seeds.iter().find(|seed| seed.name == *file).map_or("Accepted", |seed| &seed.verdict);
        let verdict = format!("{:?}", (target.run)(bytes));
        if verdict != wanted {
            findings.push(format!("{name}/{file}: {verdict}, not {wanted}"));
        }
        near(target, bytes);
    }
    assert!(findings.is_empty(), "{} findings:\n  {}", findings.len(), findings.join("\n  "));
}

/// A seed cut short, and with one bit turned, is close to what a fuzzer tries first.
fn near(target: &Target, seed: &[u8]) {
    for at in 0..seed.len() {
        (target.run)(&seed[..at]);
        let mut altered = seed.to_vec();
        altered[at] ^= 1 << (at % 8);
        (target.run)(&altered);
    }
}

#[test]
fn control_messages() {
    replay("control", &control::seeds());
}

#[test]
fn media_packets() {
    replay("packet", &packet::seeds());
}

#[test]
fn invites() {
    replay("invite", &invite::seeds());
}

#[test]
fn certificates_and_what_else_makes_a_member() {
    replay("certificate", &certificate::seeds());
}

#[test]
fn beacons_and_stage_lists() {
    replay("beacon", &beacon::seeds());
}

#[cfg(feature = "records")]
#[test]
fn stored_records() {
    replay("records", &records::seeds());
}

#[test]
fn rooms() {
    replay("room", &room::seeds());
}
