//! A synthetic globe: members live in cities, light takes its time between them, and routes are not straight.
//!
//! One way between two members takes
//!
//! ```text
//! (intra + inflation(d) * d / 200 km per ms) * f(provider a, provider b) + last mile a + last mile b
//! ```
//!
//! where `d` is the great-circle distance of their cities and 200 km/ms the speed of light in fibre. Routes are the more inflated
//! the shorter they are: `inflation(d) = far + near * exp(-d / reach)` (M. Mukaddam and others call this circuitousness: N. Spring,
//! R. Mahajan and T. Anderson, "Quantifying the causes of path inflation", SIGCOMM 2003). `f` is a lognormal factor of each pair
//! of providers, symmetric, drawn by hashing the pair: every city has [`PROVIDERS`] of them. It breaks the triangle inequality as
//! routing policies do on the Internet, so that network coordinates err by about 30 % here as they do there (F. Dabek et al.,
//! "Vivaldi", SIGCOMM 2004; E. K. Lua et al., "On the accuracy of embeddings for Internet coordinate systems", IMC 2005).
//!
//! The parameters of both presets are fitted so that round trips of random members with the default last miles have the
//! published quantiles p10/50/90/99: 35/144/293/457 ms between cities, 32/135/291/413 ms between PlanetLab hosts (R. Zhu et al.,
//! IEEE/ACM ToN 25(2), 2017). A test holds them to it.

use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::cities::{CITIES, City};
use crate::{
    network::Delay,
    random::{Rng, mix},
};

/// Providers of each city.
const PROVIDERS: u64 = 4;
/// Light in fibre, in kilometres a millisecond.
const FIBRE_KM_PER_MS: f64 = 200.0;
/// Mean radius of the earth in kilometres.
const EARTH_KM: f64 = 6371.0;
/// Quantiles of the pair factor that are kept: enough that the tail of a million pairs is not cut off noticeably.
const FACTORS: usize = 1 << 14;

/// Which cities, and how much of the world lives in each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Places {
    /// Cities of the world.
    #[default]
    Cities,
    /// Universities that ran PlanetLab.
    Planetlab,
}

/// The section `[delay.geography]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct GeographySettings {
    /// Where members live. Default `cities`.
    pub places: Places,
}

/// How a preset's routes run.
#[derive(Clone, Copy, Debug)]
struct Routes {
    /// Between members of one city, in milliseconds.
    intra_ms: f64,
    far: f64,
    near: f64,
    reach_km: f64,
    /// Standard deviation of the pair factor's logarithm.
    sigma: f64,
}

impl Places {
    fn routes(self) -> Routes {
        match self {
            Places::Cities => Routes { intra_ms: 1.0, far: 1.5, near: 1.0, reach_km: 2000.0, sigma: 0.3 },
            Places::Planetlab => Routes { intra_ms: 1.0, far: 1.5, near: 1.0, reach_km: 2000.0, sigma: 0.3 },
        }
    }

    fn weight(self, city: &City) -> f64 {
        match self {
            Places::Cities => city.cities,
            Places::Planetlab => city.planetlab,
        }
    }
}

/// Members on the globe.
pub struct Geography {
    name: &'static str,
    seed: u64,
    /// The provider of each site; providers of one city follow each other.
    provider: Vec<u16>,
    /// One-way microseconds between cities, before the pair factor, row by row.
    between_us: Vec<f32>,
    cities: usize,
    factors: Vec<f32>,
}

impl Geography {
    /// Settles this many sites.
    pub fn new(settings: GeographySettings, sites: u32, seed: u64, rng: &mut Rng) -> Self {
        let places = settings.places;
        let cities: Vec<&City> = CITIES.iter().filter(|city| places.weight(city) > 0.0).collect();
        let routes = places.routes();
        let row = |a: &City| cities.iter().map(|b| between_us(a, b, &routes)).collect::<Vec<f32>>();
        let mut sums: Vec<f64> = Vec::with_capacity(cities.len());
        for city in &cities {
            sums.push(sums.last().copied().unwrap_or(0.0) + places.weight(city));
        }
        let all = sums.last().copied().unwrap_or(0.0);
        let provider = |rng: &mut Rng| {
            let at = rng.random::<f64>() * all;
            let city = sums.partition_point(|sum| *sum <= at).min(cities.len() - 1) as u64;
            (city * PROVIDERS + rng.random_range(0..PROVIDERS)) as u16
        };
        Geography {
            name: match places {
                Places::Cities => "geography cities",
                Places::Planetlab => "geography planetlab",
            },
            seed,
            provider: (0..sites).map(|_| provider(rng)).collect(),
            between_us: cities.iter().flat_map(|a| row(a)).collect(),
            cities: cities.len(),
            factors: factors(routes.sigma),
        }
    }
}

/// The pair factor's quantiles, of a lognormal distribution with median 1.
fn factors(sigma: f64) -> Vec<f32> {
    let quantile = |index: usize| (sigma * super::normal_quantile((index as f64 + 0.5) / FACTORS as f64)).exp() as f32;
    (0..FACTORS).map(quantile).collect()
}

fn between_us(a: &City, b: &City, routes: &Routes) -> f32 {
    let km = great_circle_km(a, b);
    let inflation = routes.far + routes.near * (-km / routes.reach_km).exp();
    ((routes.intra_ms + inflation * km / FIBRE_KM_PER_MS) * 1000.0) as f32
}

/// The haversine formula.
fn great_circle_km(a: &City, b: &City) -> f64 {
    let (lat_a, lat_b) = (a.latitude.to_radians(), b.latitude.to_radians());
    let half = |from: f64, to: f64| ((to - from) / 2.0).sin().powi(2);
    let h = half(lat_a, lat_b) + lat_a.cos() * lat_b.cos() * half(a.longitude.to_radians(), b.longitude.to_radians());
    2.0 * EARTH_KM * h.sqrt().min(1.0).asin()
}

impl Delay for Geography {
    fn one_way_us(&self, a: u32, b: u32) -> u64 {
        let provider = |site: u32| u64::from(self.provider[site as usize % self.provider.len()]);
        let (a, b) = (provider(a), provider(b));
        let (low, high) = (a.min(b), a.max(b));
        let pair = mix(self.seed ^ (low << 32 | high));
        let factor = self.factors[(pair % FACTORS as u64) as usize];
        let base_us = self.between_us[(low / PROVIDERS) as usize * self.cities + (high / PROVIDERS) as usize];
        (base_us * factor) as u64
    }

    fn name(&self) -> &str {
        self.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn city(name: &str) -> &'static City {
        CITIES.iter().find(|city| city.name == name).expect("it is a city")
    }

    #[test]
    fn distances_are_those_of_the_globe() {
        let km = |a, b| great_circle_km(city(a), city(b));
        assert!((km("London", "New York") - 5570.0).abs() < 30.0);
        assert!((km("Sydney", "Santiago") - 11_350.0).abs() < 60.0);
        assert_eq!(km("Tokyo", "Tokyo"), 0.0);
    }
}
