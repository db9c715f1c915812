//! A run's summary for a person.

use treehouse_sim::results::{Quantiles, Summary};

use super::output;

/// The lines of it. `present` is how many members there were at most at once.
pub fn lines(of: &Summary, present: u32) -> Vec<String> {
    let label = of.protection.as_ref().map_or(of.strategy.clone(), |level| format!("{}, {level}", of.strategy));
    let title = format!(
        "{} ({label}), seed {}: at most {} members, {:.0} s simulated in {:.1} s",
        of.scenario,
        of.seed,
        thousands(u64::from(present)),
        of.simulated_s,
        of.wall_s
    );
    let per_member = of.rss_mib.filter(|_| present > 0).map(|mib| mib * 1024.0 / f64::from(present));
    let rows = [
        ("delay p50, p99", quantiles(of.delay_ms, "ms")),
        ("stretch p50", number(of.stretch_p50, 2, "")),
        ("depth mean, max", format!("{}, {}", number(of.depth.mean, 2, ""), number(of.depth.max, 0, ""))),
        ("frames within 400 ms", share(of.delivery_400ms, 4)),
        ("lost to a jitter target of base + 100 ms", share(of.lost_to_target, 4)),
        ("copies per delivery", number(of.copies, 3, "")),
        ("outages per listener-hour", number(of.outages_per_listener_hour, 3, "")),
        ("longest outage", number(of.outage_ms_max, 0, " ms")),
        ("repair p50, p99", quantiles(of.repair_ms, "ms")),
        ("join to first audio p50, p99", quantiles(of.join_ms, "ms")),
        ("standby present", share(of.standby_share, 2)),
        ("host control", number(of.host_control_kbps, 1, " kbit/s")),
        ("control bytes of all", share(of.control_share, 2)),
        ("events", thousands(of.events)),
        ("events per second", of.events_per_s.map_or_else(none, |rate| thousands(rate as u64))),
        ("memory", number(of.rss_mib, 0, " MiB")),
        ("memory per member", number(per_member, 1, " KiB")),
        ("hash", of.hash.clone()),
    ];
    let rows: Vec<Vec<String>> = rows.into_iter().map(|(name, value)| vec![format!("  {name}"), value]).collect();
    [vec![title], output::table(&rows)].concat()
}

/// Nothing was observed.
fn none() -> String {
    "-".to_owned()
}

fn number(of: Option<f64>, digits: usize, unit: &str) -> String {
    of.map_or_else(none, |value| format!("{value:.digits$}{unit}"))
}

fn share(of: Option<f64>, digits: usize) -> String {
    number(of.map(|share| share * 100.0), digits, " %")
}

fn quantiles(of: Quantiles, unit: &str) -> String {
    match of.p50.zip(of.p99) {
        Some((p50, p99)) => format!("{p50:.1}, {p99:.1} {unit}"),
        None => none(),
    }
}

/// A number in groups of three digits.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (12_345_678, "12,345,678")] {
            assert_eq!(thousands(number), text);
        }
    }

    #[test]
    fn what_was_not_observed_is_no_zero() {
        assert_eq!(number(None, 2, " ms"), "-");
        assert_eq!(number(Some(1.005), 1, " ms"), "1.0 ms");
        assert_eq!(share(Some(0.99999), 3), "99.999 %");
        assert_eq!(quantiles(Quantiles { p50: Some(1.0), p99: Some(2.0) }, "ms"), "1.0, 2.0 ms");
    }
}
