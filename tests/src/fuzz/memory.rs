//! How much memory is taken, as the allocator counts it. Zero where a program does not use [`COUNTED`].

use std::alloc::System;

pub use stats_alloc::StatsAlloc;

/// The allocator that counts.
pub static COUNTED: &StatsAlloc<System> = &stats_alloc::INSTRUMENTED_SYSTEM;

/// Bytes that are taken and not given back yet.
#[must_use]
pub fn live_bytes() -> usize {
    let stats = COUNTED.stats();
    stats.bytes_allocated.wrapping_sub(stats.bytes_deallocated)
}

/// What the system says this process uses now, and used at most, in KiB; none where it does not say.
#[must_use]
pub fn resident_kib() -> Option<(u64, u64)> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let field =
        |name: &str| status.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok();
    Some((field("VmRSS:")?, field("VmHWM:")?))
}
