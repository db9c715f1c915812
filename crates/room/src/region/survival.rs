//! How likely a member is to leave soon, by how long it has stayed.
//!
//! Stays are lognormal with mu 5.235 and sigma 1.544 (seconds), as measured for live audio and video audiences and taken by the
//! simulator's session model: the longer somebody has stayed, the longer they are going to. The table holds
//! 1 - S(age + 300 s) / S(age) for the survival function S of that distribution.

use core::time::Duration;

/// Age in seconds and the probability of leaving within five minutes.
const LEAVES: [(u16, f32); 12] = [
    (0, 0.619),
    (15, 0.612),
    (30, 0.595),
    (60, 0.563),
    (120, 0.51),
    (240, 0.435),
    (480, 0.344),
    (900, 0.26),
    (1800, 0.177),
    (3600, 0.113),
    (7200, 0.069),
    (14_400, 0.041),
];

/// The probability that a member of this age leaves within five minutes.
pub(crate) fn leaves_soon(age: Duration) -> f32 {
    let age = age.as_secs_f32();
    let after = LEAVES.partition_point(|(from, _)| f32::from(*from) <= age);
    match (LEAVES.get(after.saturating_sub(1)), LEAVES.get(after)) {
        (Some((a, p)), Some((b, q))) => p + (q - p) * (age - f32::from(*a)) / f32::from(b - a),
        (Some((_, p)), None) => *p,
        _ => LEAVES[0].1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The survival function by Abramowitz and Stegun 7.1.26, which errs by less than 1.5e-7.
    fn survives(seconds: f64) -> f64 {
        if seconds <= 0.0 {
            return 1.0;
        }
        let x = (seconds.ln() - 5.235) / 1.544 / core::f64::consts::SQRT_2;
        let t = 1.0 / (1.0 + 0.327_591_1 * x.abs());
        let poly = [1.061_405_429, -1.453_152_027, 1.421_413_741, -0.284_496_736, 0.254_829_592];
        let erf = 1.0 - poly.iter().fold(0.0, |sum, of| sum * t + of) * t * (-x * x).exp();
        0.5 * (1.0 - if x < 0.0 { -erf } else { erf })
    }

    #[test]
    fn the_table_is_the_distribution() {
        for (age, p) in LEAVES {
            let exact = 1.0 - survives(f64::from(age) + 300.0) / survives(f64::from(age));
            assert!((f64::from(p) - exact).abs() < 0.002, "age {age}: {p} in the table, {exact:.3} exactly");
        }
    }

    #[test]
    fn between_rows_it_is_interpolated() {
        assert!((leaves_soon(Duration::from_secs(90)) - (0.563 + 0.51) / 2.0).abs() < 1e-4);
        assert!((leaves_soon(Duration::from_secs(1_000_000)) - 0.041).abs() < 1e-4);
        assert!((leaves_soon(Duration::ZERO) - 0.619).abs() < 1e-4);
    }
}
