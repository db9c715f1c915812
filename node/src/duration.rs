//! Durations as people write them on a command line: `20s`, `2m`, `1h30m`.

use std::time::Duration;

/// Longest duration that is accepted: a week. Rooms that run longer run until they are stopped.
pub const DURATION_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// Reads a duration such as `20s`, `500ms`, `2m`, `1h30m`; parts in falling order, each unit at most once.
///
/// # Errors
/// A sentence that says how a duration is written.
pub fn parse(text: &str) -> Result<Duration, String> {
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
    match Duration::from_millis(total_ms) {
        Duration::ZERO => Err(format!("'{text}' is no time at all: give at least 1s")),
        total if total > DURATION_MAX => {
            Err(format!("'{text}' is longer than a week: leave it out to run until Ctrl-C"))
        }
        total => Ok(total),
    }
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
    fn a_span_reads_in_two_units() {
        assert_eq!(in_words(Duration::from_secs(3 * 3600 + 5 * 60 + 7)), "3 hours 5 minutes");
        assert_eq!(in_words(Duration::from_secs(86_400 + 60)), "1 day");
        assert_eq!(in_words(Duration::from_secs(61)), "1 minute 1 second");
        assert_eq!(in_words(Duration::ZERO), "less than a second");
    }
}
