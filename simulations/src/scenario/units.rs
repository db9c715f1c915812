//! Quantities with their units, as scenarios write them: `"60s"`, `"2%"`, `"5Mbit/s"`, `"5000/s"`.
//!
//! A number without its unit is refused: nobody should have to guess whether 20 is milliseconds or seconds.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::nearest::nearest;

/// A length of time, written with `us`, `ms`, `s`, `min` or `h`; counted in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub u64);

/// A share from 0 to 1, written in per cent: `"2%"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Share(pub f64);

/// A bit rate, written with `bit/s`, `kbit/s`, `Mbit/s` or `Gbit/s`; counted in bits a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct BitRate(pub u64);

/// How often something happens, written with `/s`, `/min` or `/h`; counted in times a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Frequency(pub f64);

/// A unit and how much one of it is.
type Unit = (&'static str, f64);
const TIMES: &[Unit] = &[("h", 3.6e9), ("min", 6e7), ("s", 1e6), ("ms", 1e3), ("us", 1.0)];
const SHARES: &[Unit] = &[("%", 1.0)];
const RATES: &[Unit] = &[("Gbit/s", 1e9), ("Mbit/s", 1e6), ("kbit/s", 1e3), ("bit/s", 1.0)];
const FREQUENCIES: &[Unit] = &[("/s", 1.0), ("/min", 1.0 / 60.0), ("/h", 1.0 / 3600.0)];

impl Time {
    /// In seconds.
    pub fn seconds(self) -> f64 {
        self.0 as f64 / 1e6
    }
}

/// Reads a number and one of the units that are known.
fn parse(text: &str, what: &str, example: &str, units: &[Unit]) -> Result<f64, String> {
    let text = text.trim();
    let end = text.find(|c: char| !(c.is_ascii_digit() || "+-._".contains(c))).unwrap_or(text.len());
    let (number, unit) = (text[..end].replace('_', ""), text[end..].trim());
    let names: Vec<&str> = units.iter().map(|unit| unit.0).collect();
    let list = names.join(", ");
    let Ok(number) = number.parse::<f64>() else {
        return Err(format!("`{text}` is not {what}; write for example \"{example}\" (units: {list})"));
    };
    if unit.is_empty() {
        return Err(format!("`{text}` has no unit; write for example \"{example}\" (units: {list})"));
    }
    match units.iter().find(|known| known.0 == unit) {
        Some(_) if number < 0.0 => Err(format!("`{text}` is negative; write for example \"{example}\"")),
        Some((_, factor)) => Ok(number * factor),
        None => {
            let near = nearest(unit, names.iter().copied()).unwrap_or(names[0]);
            Err(format!("unknown unit `{unit}` in `{text}`; the nearest valid one is `{near}` (units: {list})"))
        }
    }
}

/// Writes a quantity in the largest unit that leaves a whole number, else in the last.
fn write(f: &mut fmt::Formatter<'_>, value: u64, units: &[Unit]) -> fmt::Result {
    let whole = |unit: &&Unit| value.is_multiple_of(unit.1 as u64) && value > 0;
    match units.iter().find(whole) {
        Some((unit, factor)) => write!(f, "{}{unit}", value / *factor as u64),
        None => write!(f, "{value}{}", units[units.len() - 1].0),
    }
}

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let us = parse(text, "a length of time", "60s", TIMES)?.round();
        // A century: far beyond any run, and safe to add to.
        if us > 3.2e15 { Err(format!("`{text}` is longer than a century")) } else { Ok(Time(us as u64)) }
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let share = parse(text, "a share", "2%", SHARES)? / 100.0;
        if share > 1.0 { Err(format!("`{text}` is more than 100%")) } else { Ok(Share(share)) }
    }
}

impl FromStr for BitRate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bps = parse(text, "a bit rate", "5Mbit/s", RATES)?.round();
        if bps > 1e15 { Err(format!("`{text}` is more than 1000000Gbit/s")) } else { Ok(BitRate(bps as u64)) }
    }
}

impl FromStr for Frequency {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let per_s = parse(text, "a frequency", "10/s", FREQUENCIES)?;
        if per_s > 1e9 { Err(format!("`{text}` is more than 1000000000/s")) } else { Ok(Frequency(per_s)) }
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 { f.write_str("0s") } else { write(f, self.0, TIMES) }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Ten digits, so that 0.07 is 7 % and not 7.000000000000001 %.
        write!(f, "{}%", (self.0 * 1e12).round() / 1e10)
    }
}

impl fmt::Display for BitRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, self.0, RATES)
    }
}

impl fmt::Display for Frequency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", self.0)
    }
}

/// Reads a quantity from a string, and says what is missing where it is a bare number.
struct Quantity<T> {
    what: &'static str,
    example: &'static str,
    marker: std::marker::PhantomData<T>,
}

impl<T: FromStr<Err = String>> de::Visitor<'_> for Quantity<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with its unit, such as \"{}\"", self.what, self.example)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

macro_rules! quantity {
    ($name:ident, $what:literal, $example:literal) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                from.deserialize_any(Quantity { what: $what, example: $example, marker: std::marker::PhantomData })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }
    };
}

quantity!(Time, "a length of time", "60s");
quantity!(Share, "a share", "2%");
quantity!(BitRate, "a bit rate", "5Mbit/s");
quantity!(Frequency, "a frequency", "10/s");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_with_their_units() {
        assert_eq!("60s".parse(), Ok(Time(60_000_000)));
        assert_eq!("1.5 ms".parse(), Ok(Time(1_500)));
        assert_eq!("4h".parse(), Ok(Time(14_400_000_000)));
        assert_eq!("2%".parse(), Ok(Share(0.02)));
        assert_eq!("5Mbit/s".parse(), Ok(BitRate(5_000_000)));
        assert_eq!("5_000/s".parse(), Ok(Frequency(5000.0)));
        assert_eq!("30/min".parse(), Ok(Frequency(0.5)));
    }

    #[test]
    fn a_wrong_unit_is_named_with_the_nearest() {
        let error = |text: &str| text.parse::<Time>().expect_err("it is wrong");
        assert_eq!(
            error("60sec"),
            "unknown unit `sec` in `60sec`; the nearest valid one is `s` (units: h, min, s, ms, us)"
        );
        assert_eq!(
            error("3mn"),
            "unknown unit `mn` in `3mn`; the nearest valid one is `min` (units: h, min, s, ms, us)"
        );
        assert_eq!(error("60"), "`60` has no unit; write for example \"60s\" (units: h, min, s, ms, us)");
        assert_eq!(
            error("soon"),
            "`soon` is not a length of time; write for example \"60s\" (units: h, min, s, ms, us)"
        );
        assert_eq!(error("-1s"), "`-1s` is negative; write for example \"60s\"");
        let rate = "5Mbps".parse::<BitRate>().expect_err("it is wrong");
        assert!(rate.contains("the nearest valid one is `Mbit/s`"), "{rate}");
        assert_eq!("101%".parse::<Share>(), Err("`101%` is more than 100%".to_owned()));
    }

    #[test]
    fn quantities_are_written_as_they_are_read() {
        for time in [0, 1, 1_500, 20_000, 90_000_000, 14_400_000_000] {
            assert_eq!(Time(time).to_string().parse(), Ok(Time(time)));
        }
        assert_eq!(Time(20_000).to_string(), "20ms");
        assert_eq!(Share(0.07).to_string(), "7%");
        assert_eq!(BitRate(1_500_000).to_string(), "1500kbit/s");
        for share in [0.0, 0.002, 0.3, 2.0 / 3.0, 1.0] {
            let Share(read) = Share(share).to_string().parse().expect("it is a share");
            assert!((read - share).abs() < 1e-11);
        }
    }
}
