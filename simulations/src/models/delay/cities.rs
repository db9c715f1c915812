//! Cities with their places on the globe, and how many members live in each under the two presets of
//! [`geography`](super::geography).
//!
//! Coordinates in degrees, rounded to a tenth. The weights are no census: they are fitted, with the routes, to the published
//! quantiles of round trips. Those of `cities` begin from where listeners live, those of `planetlab` from the universities that its
//! hosts stood at.

/// A city.
#[derive(Clone, Copy, Debug)]
pub struct City {
    /// Its name.
    pub name: &'static str,
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
    /// Weight under the preset `cities`.
    pub cities: f64,
    /// Weight under the preset `planetlab`.
    pub planetlab: f64,
}

const fn city(name: &'static str, latitude: f64, longitude: f64, cities: f64, planetlab: f64) -> City {
    City { name, latitude, longitude, cities, planetlab }
}

/// All cities.
pub const CITIES: &[City] = &[
    // North America.
    city("New York", 40.7, -74.0, 12.12, 73.84),
    city("Boston", 42.4, -71.1, 3.48, 73.84),
    city("Washington", 38.9, -77.0, 3.48, 18.85),
    city("Princeton", 40.3, -74.7, 0.29, 40.67),
    city("Atlanta", 33.7, -84.4, 3.48, 6.38),
    city("Miami", 25.8, -80.2, 3.48, 1.00),
    city("Chicago", 41.9, -87.6, 3.48, 40.67),
    city("Dallas", 32.8, -96.8, 3.48, 6.38),
    city("Denver", 39.7, -105.0, 1.00, 6.38),
    city("Los Angeles", 34.1, -118.2, 7.22, 40.67),
    city("San Francisco", 37.8, -122.4, 7.22, 73.84),
    city("Seattle", 47.6, -122.3, 3.48, 18.85),
    city("Toronto", 43.7, -79.4, 3.48, 6.38),
    city("Montreal", 45.5, -73.6, 1.00, 1.00),
    city("Vancouver", 49.3, -123.1, 1.00, 1.00),
    city("Mexico City", 19.4, -99.1, 2.07, 0.16),
    // South America.
    city("Sao Paulo", -23.6, -46.6, 3.88, 3.54),
    city("Buenos Aires", -34.6, -58.4, 1.55, 0.19),
    city("Santiago", -33.4, -70.7, 0.75, 0.19),
    city("Bogota", 4.7, -74.1, 0.75, 0.00),
    city("Lima", -12.0, -77.0, 0.75, 0.00),
    // Europe.
    city("London", 51.5, -0.1, 15.83, 10.37),
    city("Dublin", 53.3, -6.3, 2.71, 0.26),
    city("Manchester", 53.5, -2.2, 2.71, 1.63),
    city("Paris", 48.9, 2.4, 12.45, 10.37),
    city("Amsterdam", 52.4, 4.9, 9.43, 4.81),
    city("Brussels", 50.8, 4.4, 2.71, 1.63),
    city("Frankfurt", 50.1, 8.7, 15.83, 4.81),
    city("Berlin", 52.5, 13.4, 4.55, 4.81),
    city("Munich", 48.1, 11.6, 2.71, 1.63),
    city("Zurich", 47.4, 8.5, 4.55, 4.81),
    city("Milan", 45.5, 9.2, 4.55, 1.63),
    city("Rome", 41.9, 12.5, 2.71, 1.63),
    city("Madrid", 40.4, -3.7, 4.55, 4.81),
    city("Lisbon", 38.7, -9.1, 1.31, 1.63),
    city("Vienna", 48.2, 16.4, 2.71, 0.75),
    city("Prague", 50.1, 14.4, 2.71, 0.26),
    city("Warsaw", 52.2, 21.0, 4.55, 1.63),
    city("Budapest", 47.5, 19.0, 1.31, 0.26),
    city("Bucharest", 44.4, 26.1, 1.31, 0.04),
    city("Athens", 38.0, 23.7, 1.31, 0.75),
    city("Stockholm", 59.3, 18.1, 2.71, 1.63),
    city("Copenhagen", 55.7, 12.6, 1.31, 0.75),
    city("Oslo", 59.9, 10.8, 1.31, 0.26),
    city("Helsinki", 60.2, 24.9, 1.31, 0.75),
    city("Kyiv", 50.5, 30.5, 1.31, 0.00),
    city("Moscow", 55.8, 37.6, 4.55, 0.04),
    city("Istanbul", 41.0, 29.0, 2.71, 0.04),
    // Africa and the Middle East.
    city("Tel Aviv", 32.1, 34.8, 0.79, 3.44),
    city("Dubai", 25.2, 55.3, 0.79, 0.00),
    city("Cairo", 30.0, 31.2, 0.79, 0.00),
    city("Lagos", 6.5, 3.4, 0.79, 0.00),
    city("Nairobi", -1.3, 36.8, 0.41, 0.00),
    city("Johannesburg", -26.2, 28.0, 1.26, 0.00),
    // Asia.
    city("Mumbai", 19.1, 72.9, 2.27, 0.12),
    city("Delhi", 28.6, 77.2, 1.35, 0.12),
    city("Bangalore", 13.0, 77.6, 1.35, 0.12),
    city("Singapore", 1.4, 103.8, 4.71, 4.74),
    city("Kuala Lumpur", 3.1, 101.7, 0.65, 0.00),
    city("Jakarta", -6.2, 106.8, 1.35, 0.00),
    city("Bangkok", 13.8, 100.5, 0.65, 0.12),
    city("Manila", 14.6, 121.0, 0.65, 0.00),
    city("Hong Kong", 22.3, 114.2, 3.39, 14.01),
    city("Taipei", 25.0, 121.6, 0.65, 14.01),
    city("Shanghai", 31.2, 121.5, 0.65, 4.74),
    city("Beijing", 39.9, 116.4, 0.65, 30.24),
    city("Seoul", 37.6, 127.0, 1.35, 8.61),
    city("Tokyo", 35.7, 139.7, 4.71, 54.90),
    city("Osaka", 34.7, 135.5, 1.35, 4.74),
    // Oceania.
    city("Sydney", -33.9, 151.2, 4.60, 2.57),
    city("Melbourne", -37.8, 145.0, 2.22, 2.57),
    city("Auckland", -36.8, 174.8, 1.17, 2.57),
];
