//! What this process costs.

use std::fs;

use rustix::time::{ClockId, clock_gettime};

/// Processor time of this process, user and system, in milliseconds.
pub fn cpu_ms() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000 + u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000_000
}

/// Most memory that this process has had resident, in KiB; 0 on systems without `/proc`.
pub fn rss_kib_max() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find_map(peak_kib).unwrap_or(0)
}

fn peak_kib(line: &str) -> Option<u64> {
    line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_read_as_the_kernel_writes_it() {
        assert_eq!(peak_kib("VmHWM:\t   20480 kB"), Some(20_480));
        assert_eq!(peak_kib("VmRSS:\t   20480 kB"), None);
        assert_eq!(peak_kib("VmHWM:\t lots"), None);
    }

    #[test]
    fn processor_time_grows_with_work() {
        let before = cpu_ms();
        let mut sum = 0_u64;
        while cpu_ms() < before + 5 {
            sum = sum.wrapping_add(std::hint::black_box(sum) ^ 1);
        }
        assert!(cpu_ms() >= before + 5);
    }
}
