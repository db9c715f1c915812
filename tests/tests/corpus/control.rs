//! Control messages: those of the test vectors, and some that do not decode.

use std::fs;

use data_encoding::HEXLOWER;
use treehouse_tests::tree;
use treehouse_wire::{Blob, Control, Signature, control::Address, encode, limits::CONTROL_BYTES_MAX};

use crate::{Seed, seed};

/// The vectors of the wire, a file each.
fn honest() -> Vec<Seed> {
    let text = fs::read_to_string(tree::root().join("crates/wire/vectors/control.json")).unwrap();
    let file: serde_json::Value = serde_json::from_str(&text).unwrap();
    let vectors = file["messages"].as_array().unwrap();
    assert!(vectors.len() > 30, "{} messages", vectors.len());
    let made = |vector: &serde_json::Value| {
        let words = |name: &str| vector[name].as_str().unwrap().to_owned();
        let name: String =
            words("name").split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).collect::<Vec<_>>().join("-");
        seed(&name, HEXLOWER.decode(words("bytes").as_bytes()).unwrap(), "Accepted")
    };
    vectors.iter().map(made).collect()
}

pub fn seeds() -> Vec<Seed> {
    [honest(), malformed()].into_iter().flatten().collect()
}

fn malformed() -> Vec<Seed> {
    // A `Join` whose name would turn a terminal's colours on.
    let name = "\u{1b}[31mred";
    let no_addresses: Vec<Address> = Vec::new();
    let join = encode(&(3_u8, Blob::<8>::default(), Signature([0; 64]), (name, no_addresses, 4_u8), false));
    let seek = |nodes: u8| [&[7, nodes], vec![0x11; usize::from(nodes) * 32].as_slice(), &[0]].concat();
    vec![
        seed("malformed-nothing", [], "Decode(Malformed)"),
        seed("malformed-kind-that-is-none", [35], "Decode(Malformed)"),
        seed("malformed-cut-short", &Control::Ping { nonce: 70_000 }.to_bytes()[..2], "Decode(Malformed)"),
        seed("malformed-overlong-varint", [0, 0x81, 0], "Decode(NotCanonical)"),
        seed("malformed-varint-past-its-type", [0, 0xff, 0xff, 0xff, 0xff, 0x7f], "Decode(Malformed)"),
        seed("malformed-bytes-behind-it", [16, 0], "Decode(Trailing(1))"),
        seed("malformed-bool-of-two", [7, 0, 2], "Decode(Malformed)"),
        seed("malformed-seven-failed-of-six", seek(7), "Decode(Malformed)"),
        seed("seek-six-failed", seek(6), "Accepted"),
        seed("malformed-name-that-drives-a-terminal", join, "Decode(Malformed)"),
        seed("malformed-length-of-four-gigabytes", [12, 0xff, 0xff, 0xff, 0xff, 0x0f], "Decode(Malformed)"),
        seed(
            "malformed-longer-than-any-message",
            vec![0; CONTROL_BYTES_MAX + 1],
            "Decode(TooLong { len: 4097, max: 4096 })",
        ),
    ]
}
