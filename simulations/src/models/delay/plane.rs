//! Members on a plane: delay is the Euclidean distance of their points, times a time a unit. The simplest world in which nearness
//! means something, and the one in which network coordinates are exact.

use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::{network::Delay, random::Rng, scenario::units::Time};

/// The section `[delay.plane]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct PlaneSettings {
    /// A file of points, one `x y` a line, relative to the scenario's; members take them in turn. Without it points are uniform in a
    /// square.
    pub file: String,
    /// Side of the square in units. Default 100.
    pub side: f64,
    /// One-way delay of a unit. Default 1 ms.
    pub per_unit: Time,
    /// One-way delay that every pair has besides. Default 1 ms.
    pub base: Time,
}

impl Default for PlaneSettings {
    fn default() -> Self {
        PlaneSettings { file: String::new(), side: 100.0, per_unit: Time(1000), base: Time(1000) }
    }
}

/// Members on a plane.
pub struct Plane {
    points: Vec<(f32, f32)>,
    unit_us: f32,
    base_us: u64,
}

impl Plane {
    /// Throws this many points into the square.
    pub fn uniform(settings: &PlaneSettings, sites: u32, rng: &mut Rng) -> Self {
        let side = settings.side;
        let mut at = || (rng.random::<f64>() * side) as f32;
        let points = (0..sites).map(|_| (at(), at())).collect();
        Plane { points, unit_us: settings.per_unit.0 as f32, base_us: settings.base.0 }
    }

    /// Reads points. Errors name the line.
    pub fn parse(settings: &PlaneSettings, text: &str) -> Result<Self, String> {
        let mut points = Vec::new();
        for (line, content) in (1..).zip(text.lines()) {
            let content = content.split('#').next().unwrap_or_default();
            let fields: Vec<&str> =
                content.split(|c: char| c.is_whitespace() || c == ',').filter(|field| !field.is_empty()).collect();
            let number = |field: &str| field.parse::<f32>().ok().filter(|of| of.abs() <= 1e9);
            match fields[..] {
                [] => {}
                [x, y] => match (number(x), number(y)) {
                    (Some(x), Some(y)) => points.push((x, y)),
                    _ => return Err(format!("line {line}: `{}` is not a point `x y`", content.trim())),
                },
                _ => return Err(format!("line {line}: `{}` is not a point `x y`", content.trim())),
            }
        }
        if points.is_empty() {
            return Err("no points".to_owned());
        }
        Ok(Plane { points, unit_us: settings.per_unit.0 as f32, base_us: settings.base.0 })
    }
}

impl Delay for Plane {
    fn one_way_us(&self, a: u32, b: u32) -> u64 {
        let point = |site: u32| self.points[site as usize % self.points.len()];
        let ((ax, ay), (bx, by)) = (point(a), point(b));
        ((ax - bx).hypot(ay - by) * self.unit_us) as u64 + self.base_us
    }

    fn name(&self) -> &str {
        "plane"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    #[test]
    fn delay_is_distance() {
        let settings = PlaneSettings { per_unit: Time(2_000), ..PlaneSettings::default() };
        let plane = Plane::parse(&settings, "0 0\n3, 4 # a point\n").expect("these are points");
        assert_eq!(plane.one_way_us(0, 1), 11_000);
        assert_eq!(plane.one_way_us(1, 2), 11_000, "the third member is at the first point");
        let wrong = |text| Plane::parse(&settings, text).err();
        assert_eq!(wrong("0 0\n1 y"), Some("line 2: `1 y` is not a point `x y`".to_owned()));
        assert_eq!(wrong("0 0 0"), Some("line 1: `0 0 0` is not a point `x y`".to_owned()));
        assert_eq!(wrong(""), Some("no points".to_owned()));
    }

    #[test]
    fn random_points_are_half_a_side_apart() {
        let plane = Plane::uniform(&PlaneSettings::default(), 2_000, &mut Stream::Members.rng(1));
        let sum: u64 = (0..1000).map(|at| plane.one_way_us(2 * at, 2 * at + 1) - 1_000).sum();
        // The mean distance in a unit square is 0.5214.
        let mean_ms = sum as f64 / 1e6;
        assert!((mean_ms - 52.14).abs() < 2.0, "{mean_ms}");
    }
}
