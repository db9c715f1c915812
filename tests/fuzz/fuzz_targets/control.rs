//! Random input to the target `control` of `treehouse_tests::fuzz`.
#![no_main]

use treehouse_tests::fuzz::{
    Target,
    memory::{self, StatsAlloc},
};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<std::alloc::System> = memory::COUNTED;

libfuzzer_sys::fuzz_target!(|input: &[u8]| Target::named("control").expect("a target").run_counted(input));
