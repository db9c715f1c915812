//! What a node reads back from its disk.

use data_encoding::HEXLOWER;
use serde_json::Value;
use treehouse_tests::{
    fuzz::records::{FRAME_LOG, IDENTITY, PROOF},
    tree,
};

use crate::{Seed, seed};

fn identity(len: usize) -> Vec<u8> {
    [vec![IDENTITY], vec![7; len]].concat()
}

fn log(text: &[u8]) -> Vec<u8> {
    [&[FRAME_LOG], text].concat()
}

/// The proof that the vector holds.
fn proof() -> Vec<u8> {
    let text = std::fs::read_to_string(tree::root().join("node/vectors/recording.json")).expect("the vector");
    let vector: Value = serde_json::from_str(&text).expect("JSON");
    let bytes = HEXLOWER.decode(vector["proof"].as_str().expect("digits").as_bytes()).expect("hexadecimal digits");
    [vec![PROOF], bytes].concat()
}

pub fn seeds() -> Vec<Seed> {
    let whole = b"captured 00010203fcfdfeff 0 10\nverified 00010203fcfdfeff 4294967295 20\n\
        played 00010203fcfdfeff 7 fec 30\nplayed 00010203fcfdfeff 8 decoded 31\n\
        played 00010203fcfdfeff 9 concealed 18446744073709551615\nend 0\n";
    let (proof, mut altered) = (proof(), proof());
    let middle = altered.len() / 2;
    altered[middle] ^= 1;
    vec![
        seed("proof", proof.clone(), "Accepted"),
        seed("proof-altered", altered, "Damaged(\"recording\")"),
        seed("proof-of-a-killed-process", &proof[..proof.len() - 50], "Damaged(\"recording\")"),
        seed("proof-malformed-beginning", &proof[..60], "Damaged(\"proof\")"),
        seed("proof-malformed-version", *b"pTREEHOUSE-PROOF\x02", "Damaged(\"proof\")"),
        seed("identity", identity(32), "Accepted"),
        seed("identity-malformed-cut-short", identity(31), "Damaged(\"identity\")"),
        seed("identity-malformed-too-long", identity(33), "Damaged(\"identity\")"),
        seed("identity-malformed-empty", identity(0), "Damaged(\"identity\")"),
        seed("log", log(whole), "Accepted"),
        seed("log-of-a-killed-process", log(&whole[..100]), "Accepted"),
        seed("log-malformed-frame", log(b"verified 00010203fcfdfeff -1 20\nend 0\n"), "Damaged(\"frame log\")"),
        seed("log-malformed-voice", log(b"verified 0001 1 20\nend 0\n"), "Damaged(\"frame log\")"),
        seed("log-malformed-not-text", log(b"\xff\xfe\nend 0\n"), "Damaged(\"frame log\")"),
        seed("malformed-kind-that-is-none", *b"x", "Damaged(\"kind\")"),
        seed("malformed-nothing", [], "Damaged(\"nothing\")"),
    ]
}
