//! The figures that runs are compared by: where each is in a summary, what it is measured in, and which way is better.

use crate::results::Summary;

/// One figure of a summary.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    /// For machines: a name with its unit last.
    pub key: &'static str,
    /// For people.
    pub title: &'static str,
    /// Its unit; empty where it has none.
    pub unit: &'static str,
    /// Digits after the point.
    pub digits: usize,
    /// Which way is better; none where neither is.
    pub better: Option<Better>,
    get: fn(&Summary) -> Option<f64>,
}

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// Less of it.
    Less,
    /// More of it.
    More,
}

impl Figure {
    /// Its value in a run; none where there was nothing to observe.
    pub fn of(&self, summary: &Summary) -> Option<f64> {
        (self.get)(summary)
    }

    /// A value as text, without its unit.
    pub fn text(&self, value: f64) -> String {
        number(value, self.digits)
    }

    /// The figure of a key.
    pub fn named(key: &str) -> Option<&'static Figure> {
        FIGURES.iter().find(|figure| figure.key == key)
    }
}

/// A number with this many digits after the point, thousands set apart.
pub fn number(value: f64, digits: usize) -> String {
    let text = format!("{:.digits$}", value.abs());
    let (whole, fraction) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut out = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    let is_nought = text.bytes().all(|byte| matches!(byte, b'0' | b'.'));
    let sign = if value < 0.0 && !is_nought { "-" } else { "" };
    format!("{sign}{out}{fraction}")
}

const fn less(
    key: &'static str,
    title: &'static str,
    unit: &'static str,
    digits: usize,
    get: fn(&Summary) -> Option<f64>,
) -> Figure {
    Figure { key, title, unit, digits, better: Some(Better::Less), get }
}

const fn more(
    key: &'static str,
    title: &'static str,
    unit: &'static str,
    digits: usize,
    get: fn(&Summary) -> Option<f64>,
) -> Figure {
    Figure { key, title, unit, digits, better: Some(Better::More), get }
}

fn percent(share: Option<f64>) -> Option<f64> {
    share.map(|share| 100.0 * share)
}

/// All figures, in the order in which they are shown.
pub const FIGURES: [Figure; 19] = [
    less("delay_p50_ms", "delay, median", "ms", 1, |of| of.delay_ms.p50),
    less("delay_p99_ms", "delay, 99th percentile", "ms", 1, |of| of.delay_ms.p99),
    less("stretch_p50", "stretch, median", "", 2, |of| of.stretch_p50),
    more("delivery_400ms_percent", "frames within 400 ms", "%", 4, |of| percent(of.delivery_400ms)),
    less("lost_to_target_percent", "frames lost to base + 100 ms", "%", 4, |of| percent(of.lost_to_target)),
    less("outages_per_listener_hour", "outages per listener-hour", "", 3, |of| of.outages_per_listener_hour),
    less("outage_max_ms", "longest outage", "ms", 0, |of| of.outage_ms_max),
    less("repair_p50_ms", "repair, median", "ms", 0, |of| of.repair_ms.p50),
    less("repair_p99_ms", "repair, 99th percentile", "ms", 0, |of| of.repair_ms.p99),
    less("join_p50_ms", "join to first audio, median", "ms", 0, |of| of.join_ms.p50),
    less("join_p99_ms", "join to first audio, 99th percentile", "ms", 0, |of| of.join_ms.p99),
    more("joins_per_s", "joins per second survived", "", 0, |of| of.joins_per_s.map(|joins| joins as f64)),
    less("copies", "copies per delivery", "", 3, |of| of.copies),
    less("control_share_percent", "control bytes, share of all", "%", 2, |of| percent(of.control_share)),
    less("host_control_kbps", "host's control traffic", "kbit/s", 1, |of| of.host_control_kbps),
    more("standby_share_percent", "member-time with a standby", "%", 2, |of| percent(of.standby_share)),
    less("false_suspicions_per_feed_hour", "false suspicions per feed-hour", "", 1, |of| {
        of.false_suspicions_per_feed_hour
    }),
    less("depth_mean", "depth, mean", "hops", 2, |of| of.depth.mean),
    less("depth_max", "depth, greatest", "hops", 0, |of| of.depth.max),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_set_as_people_read_them() {
        assert_eq!(number(1_234_567.891, 1), "1,234,567.9");
        assert_eq!(number(-1234.0, 0), "-1,234");
        assert_eq!(number(-0.0004, 3), "0.000");
        assert_eq!(number(999.0, 0), "999");
    }

    #[test]
    fn keys_are_names_of_one_figure_each() {
        for figure in &FIGURES {
            assert_eq!(FIGURES.iter().filter(|of| of.key == figure.key).count(), 1, "{}", figure.key);
        }
        assert!(Figure::named("copies").is_some() && Figure::named("shoe_size").is_none());
    }
}
