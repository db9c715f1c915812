//! Durations as people write them on a command line: `20s`, `2m`, `1h30m`.

use std::time::Duration;

use treehouse_wire::UnixSeconds;

/// The last day of the year 9999.
const MAX_DAYS: i64 = 2_932_896;

/// Longest duration that is accepted: a week. Rooms that run longer run until they are stopped.
pub const DURATION_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// Longest life of an invite: a year.
pub const EXPIRY_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

/// Reads a duration such as `20s`, `500ms`, `2m`, `1h30m`; parts in falling order, each unit at most once.
///
/// # Errors
/// A sentence that says how a duration is written.
pub fn parse(text: &str) -> Result<Duration, String> {
    match Duration::from_millis(total_ms(text)?) {
        Duration::ZERO => Err(format!("'{text}' is no time at all: give at least 1s")),
        total if total > DURATION_MAX => {
            Err(format!("'{text}' is longer than a week: leave it out to run until Ctrl-C"))
        }
        total => Ok(total),
    }
}

/// Reads how long an invite is valid, such as `2h` or `30d`; a second at least and [`EXPIRY_MAX`] at most.
///
/// # Errors
/// A sentence that says how it is written.
pub fn parse_expiry(text: &str) -> Result<Duration, String> {
    match Duration::from_millis(total_ms(text)?) {
        total if total < Duration::from_secs(1) => Err(format!("'{text}' is no time at all: give at least 1s")),
        total if total > EXPIRY_MAX => Err(format!("'{text}' is longer than a year: give at most 366d")),
        total => Ok(total),
    }
}

fn total_ms(text: &str) -> Result<u64, String> {
    let wrong = || format!("'{text}' is no duration: write it like 20s, 2m or 1h30m");
    let mut rest = text.trim();
    let mut total_ms: u64 = 0;
    let mut smallest_unit_ms = u64::MAX;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.len() - tail.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let (unit, tail) = tail.split_at(letters);
        let unit_ms = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        if unit_ms >= smallest_unit_ms {
            return Err(wrong());
        }
        smallest_unit_ms = unit_ms;
        let count: u64 = number.parse().map_err(|_| wrong())?;
        total_ms = count.checked_mul(unit_ms).and_then(|ms| total_ms.checked_add(ms)).ok_or_else(wrong)?;
        rest = tail;
    }
    Ok(total_ms)
}

/// A time of day as people write it, in UTC: `2026-11-28 16:39 UTC`.
pub fn utc(time: UnixSeconds) -> String {
    let days = i64::try_from(time.0 / 86_400).unwrap_or(i64::MAX / 2).min(MAX_DAYS);
    // The civil calendar from a count of days, in years that begin in March so that the leap day comes last (Howard
    // Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days).
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02} UTC", time.0 / 3_600 % 24, time.0 / 60 % 60)
}

/// A span in words, rounded to two units: `3 hours 5 minutes`.
pub fn in_words(span: Duration) -> String {
    let total = span.as_secs();
    let parts =
        [(total / 86_400, "day"), (total / 3_600 % 24, "hour"), (total / 60 % 60, "minute"), (total % 60, "second")];
    let words: Vec<String> = parts
        .iter()
        .skip_while(|(count, _)| *count == 0)
        .take(2)
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count} {unit}{}", if *count == 1 { "" } else { "s" }))
        .collect();
    if words.is_empty() { "less than a second".to_owned() } else { words.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, ms) in
            [("20s", 20_000), ("500ms", 500), ("2m", 120_000), ("1h30m", 5_400_000), ("1h2m3s4ms", 3_723_004)]
        {
            assert_eq!(parse(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_with_an_example() {
        for text in ["", "20", "s", "20 s", "-3s", "1m1h", "1s1s", "20x", "1.5s", "99999999999999999999s", "๒s"] {
            assert!(parse(text).is_err_and(|sentence| sentence.contains("20s")), "{text}");
        }
        assert!(parse("0s").is_err());
        assert!(parse("8000h").is_err());
    }

    #[test]
    fn an_invites_life_may_be_given_in_days() {
        assert_eq!(parse_expiry("1d12h"), Ok(Duration::from_secs(36 * 3600)));
        for text in ["367d", "0s", "500ms", "soon", ""] {
            assert!(parse_expiry(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_of_day_reads_as_the_calendar_has_it() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00 UTC"),
            (951_782_400, "2000-02-29 00:00 UTC"),
            (1_795_883_940, "2026-11-28 16:39 UTC"),
            (4_107_542_399, "2100-02-28 23:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00 UTC"),
        ] {
            assert_eq!(utc(UnixSeconds(seconds)), text);
        }
        assert!(utc(UnixSeconds(u64::MAX)).starts_with("9999-12-31"));
    }

    #[test]
    fn a_span_reads_in_two_units() {
        assert_eq!(in_words(Duration::from_secs(3 * 3600 + 5 * 60 + 7)), "3 hours 5 minutes");
        assert_eq!(in_words(Duration::from_secs(86_400 + 60)), "1 day");
        assert_eq!(in_words(Duration::from_secs(61)), "1 minute 1 second");
        assert_eq!(in_words(Duration::ZERO), "less than a second");
    }
}
