//! How far members are from each other: the models of propagation, and the last mile on top of them.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use crate::{
    network::Delay,
    random::{Stream, mix},
};

pub mod cities;
pub mod geography;
pub mod matrix;
pub mod pairs;
pub mod plane;

/// Which model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Model {
    /// Cities on the globe: [`geography`].
    #[default]
    Geography,
    /// Round trips from a file: [`matrix`].
    Matrix,
    /// Points on a plane: [`plane`].
    Plane,
    /// Each pair between two bounds: [`pairs`].
    Uniform,
    /// Three regions: [`pairs`].
    Regions,
}

/// The section `[delay]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct DelaySettings {
    /// Which of the models below. Default `geography`.
    pub model: Model,
    /// Whether the last miles of `[access]` come on top. Default: with `geography` and `plane`; the others hold them already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_mile: Option<bool>,
    /// Settings of `geography`.
    pub geography: geography::GeographySettings,
    /// Settings of `matrix`.
    pub matrix: matrix::MatrixSettings,
    /// Settings of `plane`.
    pub plane: plane::PlaneSettings,
    /// Settings of `uniform`.
    pub uniform: pairs::UniformSettings,
    /// Settings of `regions`.
    pub regions: pairs::RegionsSettings,
}

/// A file that a delay model could not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileError {
    /// The key that names it.
    pub key: &'static str,
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub message: String,
}

impl DelaySettings {
    /// Makes the model for sites with these last miles, in microseconds. Files are relative to `base`.
    pub fn build(&self, last_miles_us: Vec<u32>, seed: u64, base: &Path) -> Result<Arc<dyn Delay>, FileError> {
        let sites = last_miles_us.len() as u32;
        // A stream of its own beside that of the members' lines: another delay model leaves those as they are.
        let seed = mix(seed ^ 0xDE1A);
        let rng = &mut Stream::Members.rng(seed);
        let with_last_mile = self.last_mile.unwrap_or(matches!(self.model, Model::Geography | Model::Plane));
        let last_miles_us = with_last_mile.then_some(last_miles_us);
        let wrong = |key, path: PathBuf| move |message| FileError { key, path, message };
        Ok(match self.model {
            Model::Geography => add(geography::Geography::new(self.geography, sites, seed, rng), last_miles_us),
            Model::Uniform => add(pairs::Uniform::new(self.uniform, seed), last_miles_us),
            Model::Regions => add(pairs::Regions::new(self.regions, sites, seed, rng), last_miles_us),
            Model::Plane if self.plane.file.is_empty() => {
                add(plane::Plane::uniform(&self.plane, sites, rng), last_miles_us)
            }
            Model::Plane => {
                let path = base.join(&self.plane.file);
                let text = read(&path).map_err(wrong("delay.plane.file", path.clone()))?;
                let plane = plane::Plane::parse(&self.plane, &text).map_err(wrong("delay.plane.file", path))?;
                add(plane, last_miles_us)
            }
            Model::Matrix => {
                let path = base.join(&self.matrix.file);
                let text = read(&path).map_err(wrong("delay.matrix.file", path.clone()))?;
                let matrix = matrix::Matrix::parse(&text, self.matrix.within, sites, rng);
                add(matrix.map_err(wrong("delay.matrix.file", path))?, last_miles_us)
            }
        })
    }
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| error.to_string())
}

fn add(model: impl Delay + 'static, last_miles_us: Option<Vec<u32>>) -> Arc<dyn Delay> {
    match last_miles_us {
        Some(last_miles_us) => Arc::new(LastMile { model, last_miles_us }),
        None => Arc::new(model),
    }
}

/// A model with the last miles of both ends on top.
struct LastMile<D> {
    model: D,
    last_miles_us: Vec<u32>,
}

impl<D: Delay> Delay for LastMile<D> {
    fn one_way_us(&self, a: u32, b: u32) -> u64 {
        let mile = |site: u32| u64::from(self.last_miles_us[site as usize % self.last_miles_us.len()]);
        self.model.one_way_us(a, b) + mile(a) + mile(b)
    }

    fn name(&self) -> &str {
        self.model.name()
    }
}

/// A number from 0 to 1 (neither included) for each pair of sites, symmetric.
fn pair_uniform(seed: u64, a: u32, b: u32) -> f64 {
    let pair = (u64::from(a.min(b)) << 32) | u64::from(a.max(b));
    ((mix(seed ^ mix(pair)) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
}

/// The quantile function of the standard normal distribution, by P. J. Acklam's rational approximation (2003); its relative error
/// is below 1.2e-9.
fn normal_quantile(p: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969683028665376e1,
        2.209460984245205e2,
        -2.759285104469687e2,
        1.38357751867269e2,
        -3.066479806614716e1,
        2.506628277459239,
    ];
    const B: [f64; 5] =
        [-5.447609879822406e1, 1.615858368580409e2, -1.556989798598866e2, 6.680131188771972e1, -1.328068155288572e1];
    const C: [f64; 6] = [
        -7.784894002430293e-3,
        -3.223964580411365e-1,
        -2.400758277161838,
        -2.549732539343734,
        4.374664141464968,
        2.938163982698783,
    ];
    const D: [f64; 4] = [7.784695709041462e-3, 3.224671290700398e-1, 2.445134137142996, 3.754408661907416];
    const LOW: f64 = 0.02425;
    let polynomial = |of: &[f64], x: f64| of.iter().fold(0.0, |sum, factor| sum * x + factor);
    let tail = |p: f64| {
        let q = (-2.0 * p.ln()).sqrt();
        polynomial(&C, q) / (polynomial(&D, q) * q + 1.0)
    };
    if p < LOW {
        tail(p)
    } else if p > 1.0 - LOW {
        -tail(1.0 - p)
    } else {
        let q = p - 0.5;
        polynomial(&A, q * q) * q / (polynomial(&B, q * q) * q * q + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_quantiles_are_those_of_the_tables() {
        for (p, z) in [(0.5, 0.0), (0.975, 1.959_963_985), (0.001, -3.090_232_306), (0.99, 2.326_347_874)] {
            assert!((normal_quantile(p) - z).abs() < 1e-7, "{p}");
        }
    }
}
