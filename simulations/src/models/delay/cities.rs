//! Cities with their places on the globe, and how many members live in each under the two presets of
//! [`geography`](super::geography).
//!
//! Coordinates in degrees, rounded to a tenth. The weights are no census: those of `cities` spread members over the world as
//! published city-to-city round trips do, those of `planetlab` over the universities of North America, Europe and East Asia that
//! PlanetLab's hosts stood at.

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
    city("New York", 40.7, -74.0, 4.0, 5.0),
    city("Boston", 42.4, -71.1, 2.0, 5.0),
    city("Washington", 38.9, -77.0, 2.0, 3.0),
    city("Princeton", 40.3, -74.7, 0.5, 4.0),
    city("Atlanta", 33.7, -84.4, 2.0, 2.0),
    city("Miami", 25.8, -80.2, 2.0, 1.0),
    city("Chicago", 41.9, -87.6, 2.0, 4.0),
    city("Dallas", 32.8, -96.8, 2.0, 2.0),
    city("Denver", 39.7, -105.0, 1.0, 2.0),
    city("Los Angeles", 34.1, -118.2, 3.0, 4.0),
    city("San Francisco", 37.8, -122.4, 3.0, 5.0),
    city("Seattle", 47.6, -122.3, 2.0, 3.0),
    city("Toronto", 43.7, -79.4, 2.0, 2.0),
    city("Montreal", 45.5, -73.6, 1.0, 1.0),
    city("Vancouver", 49.3, -123.1, 1.0, 1.0),
    city("Mexico City", 19.4, -99.1, 1.5, 0.5),
    // South America.
    city("Sao Paulo", -23.6, -46.6, 2.5, 1.5),
    city("Buenos Aires", -34.6, -58.4, 1.5, 0.5),
    city("Santiago", -33.4, -70.7, 1.0, 0.5),
    city("Bogota", 4.7, -74.1, 1.0, 0.0),
    city("Lima", -12.0, -77.0, 1.0, 0.0),
    // Europe.
    city("London", 51.5, -0.1, 4.0, 4.0),
    city("Dublin", 53.3, -6.3, 1.5, 1.0),
    city("Manchester", 53.5, -2.2, 1.5, 2.0),
    city("Paris", 48.9, 2.4, 3.5, 4.0),
    city("Amsterdam", 52.4, 4.9, 3.0, 3.0),
    city("Brussels", 50.8, 4.4, 1.5, 2.0),
    city("Frankfurt", 50.1, 8.7, 4.0, 3.0),
    city("Berlin", 52.5, 13.4, 2.0, 3.0),
    city("Munich", 48.1, 11.6, 1.5, 2.0),
    city("Zurich", 47.4, 8.5, 2.0, 3.0),
    city("Milan", 45.5, 9.2, 2.0, 2.0),
    city("Rome", 41.9, 12.5, 1.5, 2.0),
    city("Madrid", 40.4, -3.7, 2.0, 3.0),
    city("Lisbon", 38.7, -9.1, 1.0, 2.0),
    city("Vienna", 48.2, 16.4, 1.5, 1.5),
    city("Prague", 50.1, 14.4, 1.5, 1.0),
    city("Warsaw", 52.2, 21.0, 2.0, 2.0),
    city("Budapest", 47.5, 19.0, 1.0, 1.0),
    city("Bucharest", 44.4, 26.1, 1.0, 0.5),
    city("Athens", 38.0, 23.7, 1.0, 1.5),
    city("Stockholm", 59.3, 18.1, 1.5, 2.0),
    city("Copenhagen", 55.7, 12.6, 1.0, 1.5),
    city("Oslo", 59.9, 10.8, 1.0, 1.0),
    city("Helsinki", 60.2, 24.9, 1.0, 1.5),
    city("Kyiv", 50.5, 30.5, 1.0, 0.0),
    city("Moscow", 55.8, 37.6, 2.0, 0.5),
    city("Istanbul", 41.0, 29.0, 1.5, 0.5),
    // Africa and the Middle East.
    city("Tel Aviv", 32.1, 34.8, 1.0, 1.5),
    city("Dubai", 25.2, 55.3, 1.0, 0.0),
    city("Cairo", 30.0, 31.2, 1.0, 0.0),
    city("Lagos", 6.5, 3.4, 1.0, 0.0),
    city("Nairobi", -1.3, 36.8, 0.7, 0.0),
    city("Johannesburg", -26.2, 28.0, 1.3, 0.0),
    // Asia.
    city("Mumbai", 19.1, 72.9, 2.0, 0.5),
    city("Delhi", 28.6, 77.2, 1.5, 0.5),
    city("Bangalore", 13.0, 77.6, 1.5, 0.5),
    city("Singapore", 1.4, 103.8, 3.0, 2.0),
    city("Kuala Lumpur", 3.1, 101.7, 1.0, 0.0),
    city("Jakarta", -6.2, 106.8, 1.5, 0.0),
    city("Bangkok", 13.8, 100.5, 1.0, 0.5),
    city("Manila", 14.6, 121.0, 1.0, 0.0),
    city("Hong Kong", 22.3, 114.2, 2.5, 3.0),
    city("Taipei", 25.0, 121.6, 1.0, 3.0),
    city("Shanghai", 31.2, 121.5, 1.0, 2.0),
    city("Beijing", 39.9, 116.4, 1.0, 4.0),
    city("Seoul", 37.6, 127.0, 1.5, 2.5),
    city("Tokyo", 35.7, 139.7, 3.0, 5.0),
    city("Osaka", 34.7, 135.5, 1.5, 2.0),
    // Oceania.
    city("Sydney", -33.9, 151.2, 1.5, 1.0),
    city("Melbourne", -37.8, 145.0, 1.0, 1.0),
    city("Auckland", -36.8, 174.8, 0.7, 1.0),
];
