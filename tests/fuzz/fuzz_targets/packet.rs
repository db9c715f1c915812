//! Random input to `treehouse_tests::parsers::packet`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| treehouse_tests::parsers::packet(input));
