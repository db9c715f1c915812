//! A second implementation, written from `docs/protocol.md` in another language, agrees with every vector file.
//!
//! So the page says enough, and what it says is what the code does.

use std::{path::Path, process::Command};

#[test]
fn the_specification_alone_explains_every_vector() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut reading = Command::new("python3");
    reading.arg("-B").arg(here.join("tests/second_reading/check.py")).arg(here.join(".."));
    let output = reading.output().unwrap_or_else(|error| panic!("python3 is needed for this test: {error}"));
    let (said, failed) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{failed}");
    let checks = said.split_whitespace().next().and_then(|count| count.parse::<u32>().ok());
    assert!(checks.is_some_and(|checks| checks > 200), "too little was checked: {said}");
}
