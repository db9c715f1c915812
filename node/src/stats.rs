//! Percentiles of what was measured.

use serde::Serialize;

/// Three percentiles, in the unit of what was measured; absent where nothing was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Percentiles {
    /// Half of the values are at most this.
    pub p50: Option<f64>,
    /// 95 in a hundred are.
    pub p95: Option<f64>,
    /// 99 in a hundred are.
    pub p99: Option<f64>,
}

impl Percentiles {
    /// The percentiles of microseconds, in milliseconds. Sorts the values.
    pub fn of_us(values_us: &mut [u64]) -> Self {
        values_us.sort_unstable();
        let at = |percent| percentile(values_us, percent).map(|us| round(us as f64 / 1_000.0, 2));
        Percentiles { p50: at(50), p95: at(95), p99: at(99) }
    }
}

/// The value that `percent` in a hundred of the sorted values do not exceed (nearest rank).
pub fn percentile(sorted: &[u64], percent: usize) -> Option<u64> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

/// The value with so many digits behind the point.
pub fn round(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let mut values: Vec<u64> = (1..=100).rev().map(|ms| ms * 1_000).collect();
        assert_eq!(Percentiles::of_us(&mut values), Percentiles { p50: Some(50.0), p95: Some(95.0), p99: Some(99.0) });
        assert_eq!(Percentiles::of_us(&mut [1_500]), Percentiles { p50: Some(1.5), p95: Some(1.5), p99: Some(1.5) });
        assert_eq!(Percentiles::of_us(&mut []), Percentiles::default());
    }
}
