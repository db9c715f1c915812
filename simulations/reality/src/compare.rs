//! Two sets of runs of one world side by side, with the differences that are allowed.
//!
//! One run is one of many that the same world could have had: who is told of whom, and so the tree, hangs on what nodes draw and on
//! microseconds. So medians over runs are compared, and the range over the simulated ones is shown beside them.

use treehouse_sim::{
    measure::Outcome,
    results::{Meta, Summary},
};

/// How far reality may be from the simulation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// By this share of the simulated value.
    Share(f64),
    /// By this much.
    Absolute(f64),
    /// As far as it likes: shown only.
    None,
}

/// A figure of a run: its name, its unit, and how it is read.
struct Figure {
    name: &'static str,
    digits: usize,
    bound: Bound,
    of: fn(&Outcome, &Summary) -> Option<f64>,
}

fn delay_ms(outcome: &Outcome, share: f64) -> Option<f64> {
    outcome.delays.quantile_us(share).map(|us| us as f64 / 1000.0)
}

/// Bytes sent a second by each member that is there, in kbit/s.
fn sent_kbps(outcome: &Outcome) -> Option<f64> {
    let from = (outcome.warmup_us / 1_000_000) as usize;
    let seconds = outcome.seconds.get(from..)?;
    let bytes: u64 = seconds.iter().map(|second| second.control_bytes + second.media_bytes).sum();
    let members: u64 = seconds.iter().map(|second| u64::from(second.present)).sum();
    (members > 0).then(|| bytes as f64 * 8.0 / 1000.0 / members as f64)
}

/// What is compared. Delays may differ by a tenth. Depth, copies and delivery are the same but for what simulated runs of one world
/// differ from each other. A newcomer that is a moment late for a packet hears the next one, 60 ms later.
const FIGURES: [Figure; 13] = [
    Figure { name: "delay p10, ms", digits: 1, bound: Bound::Share(0.1), of: |run, _| delay_ms(run, 0.1) },
    Figure { name: "delay p50, ms", digits: 1, bound: Bound::Share(0.1), of: |run, _| delay_ms(run, 0.5) },
    Figure { name: "delay p90, ms", digits: 1, bound: Bound::Share(0.1), of: |run, _| delay_ms(run, 0.9) },
    Figure { name: "delay p99, ms", digits: 1, bound: Bound::Share(0.1), of: |run, _| delay_ms(run, 0.99) },
    Figure { name: "depth, mean", digits: 2, bound: Bound::Absolute(0.2), of: |_, summary| summary.depth.mean },
    Figure { name: "depth, max", digits: 0, bound: Bound::Absolute(1.0), of: |_, summary| summary.depth.max },
    Figure { name: "copies per delivery", digits: 3, bound: Bound::Share(0.05), of: |_, summary| summary.copies },
    Figure {
        name: "frames within 400 ms, %",
        digits: 3,
        bound: Bound::Absolute(0.2),
        of: |_, summary| summary.delivery_400ms.map(|share| share * 100.0),
    },
    Figure { name: "join p50, ms", digits: 1, bound: Bound::Absolute(60.0), of: |_, summary| summary.join_ms.p50 },
    Figure { name: "join p99, ms", digits: 1, bound: Bound::None, of: |_, summary| summary.join_ms.p99 },
    Figure {
        name: "outages per listener-hour",
        digits: 2,
        bound: Bound::None,
        of: |_, summary| summary.outages_per_listener_hour,
    },
    Figure { name: "longest outage, ms", digits: 0, bound: Bound::None, of: |_, summary| summary.outage_ms_max },
    Figure { name: "sent by a member, kbit/s", digits: 1, bound: Bound::None, of: |run, _| sent_kbps(run) },
];

/// One line of the comparison.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The figure.
    pub name: &'static str,
    digits: usize,
    /// Median of the simulated runs, and their least and greatest.
    pub simulated: Option<(f64, f64, f64)>,
    /// Median of the real runs, and their least and greatest.
    pub real: Option<(f64, f64, f64)>,
    /// How far they may be apart.
    pub bound: Bound,
}

impl Row {
    /// How far reality is from the simulation: none where one of them has no such figure.
    pub fn difference(&self) -> Option<f64> {
        Some(self.real?.0 - self.simulated?.0)
    }

    /// Whether they are as near as they must be. A figure that both lack is; one that only one has is not.
    pub fn holds(&self) -> bool {
        let Some(simulated) = self.simulated else { return self.real.is_none() || self.bound == Bound::None };
        let Some(difference) = self.difference() else { return self.bound == Bound::None };
        match self.bound {
            Bound::Share(share) => difference.abs() <= share * simulated.0.abs(),
            Bound::Absolute(most) => difference.abs() <= most,
            Bound::None => true,
        }
    }

    /// Whether reality is as near as it must be to some value between the least and the greatest of the simulated runs: what can be
    /// asked of a single run.
    pub fn is_in_range(&self) -> bool {
        let nearest = |(_, low, high): (f64, f64, f64)| {
            let at = self.real.map_or(low, |real| real.0.clamp(low, high));
            (at, at, at)
        };
        Row { simulated: self.simulated.map(nearest), ..self.clone() }.holds()
    }

    fn cells(&self) -> [String; 5] {
        let digits = self.digits;
        let range = |of: Option<(f64, f64, f64)>| match of {
            Some((median, low, high)) if low < high => format!("{median:.digits$} ({low:.digits$} to {high:.digits$})"),
            Some((median, ..)) => format!("{median:.digits$}"),
            None => "-".to_owned(),
        };
        let relative = self.simulated.filter(|of| of.0 != 0.0 && !matches!(self.bound, Bound::Absolute(_)));
        let difference = match (self.difference(), relative) {
            (Some(difference), Some(simulated)) => format!("{:+.1} %", difference / simulated.0 * 100.0),
            (Some(difference), None) => format!("{difference:+.digits$}"),
            (None, _) => "-".to_owned(),
        };
        let allowed = match self.bound {
            Bound::Share(share) => format!("{:.0} %", share * 100.0),
            Bound::Absolute(most) => format!("{most}"),
            Bound::None => "-".to_owned(),
        };
        [self.name.to_owned(), range(self.simulated), range(self.real), difference, allowed]
    }
}

/// Compares runs of one world.
pub fn compare(simulated: &[(Meta, Outcome)], real: &[(Meta, Outcome)]) -> Vec<Row> {
    let summaries = |runs: &[(Meta, Outcome)]| -> Vec<Summary> {
        runs.iter().map(|(meta, outcome)| Summary::new(meta, outcome)).collect()
    };
    let (of_simulated, of_real) = (summaries(simulated), summaries(real));
    let row = |figure: &Figure| {
        let values = |runs: &[(Meta, Outcome)], summaries: &[Summary]| {
            spread(runs.iter().zip(summaries).filter_map(|((_, run), summary)| (figure.of)(run, summary)).collect())
        };
        Row {
            name: figure.name,
            digits: figure.digits,
            simulated: values(simulated, &of_simulated),
            real: values(real, &of_real),
            bound: figure.bound,
        }
    };
    FIGURES.iter().map(row).collect()
}

/// Median, least and greatest.
fn spread(mut values: Vec<f64>) -> Option<(f64, f64, f64)> {
    values.sort_by(f64::total_cmp);
    let (low, high) = (*values.first()?, *values.last()?);
    let middle = values.len() / 2;
    let median = if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 };
    Some((median, low, high))
}

/// The comparison as a Markdown table.
pub fn table(rows: &[Row]) -> Vec<String> {
    let head = ["figure", "simulated", "real nodes", "difference", "allowed", ""].map(str::to_owned);
    let of_row = |row: &Row| {
        let [name, simulated, real, difference, allowed] = row.cells();
        [name, simulated, real, difference, allowed, if row.holds() { "" } else { "too far" }.to_owned()]
    };
    let cells: Vec<[String; 6]> = std::iter::once(head).chain(rows.iter().map(of_row)).collect();
    let widths: Vec<usize> =
        (0..6).map(|column| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)).collect();
    let line = |row: &[String; 6]| {
        let padded = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column {
            0 | 5 => format!(" {cell:<width$} |"),
            _ => format!(" {cell:>width$} |"),
        });
        format!("|{}", padded.collect::<String>())
    };
    let mut lines: Vec<String> = cells.iter().map(line).collect();
    lines.insert(1, "|---|--:|--:|--:|--:|---|".to_owned());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(simulated: Option<f64>, real: Option<f64>, bound: Bound) -> Row {
        let one = |value: f64| (value, value, value);
        Row { name: "a figure", digits: 1, simulated: simulated.map(one), real: real.map(one), bound }
    }

    #[test]
    fn what_is_too_far_is_said() {
        assert!(row(Some(100.0), Some(109.0), Bound::Share(0.1)).holds());
        assert!(!row(Some(100.0), Some(111.0), Bound::Share(0.1)).holds());
        assert!(!row(Some(100.0), Some(89.0), Bound::Share(0.1)).holds());
        assert!(row(Some(2.0), Some(3.0), Bound::Absolute(1.0)).holds());
        assert!(!row(Some(2.0), Some(3.1), Bound::Absolute(1.0)).holds());
        assert!(row(Some(2.0), Some(30.0), Bound::None).holds());
        assert!(!row(Some(2.0), None, Bound::Absolute(1.0)).holds(), "reality has no such figure");
        assert!(!row(None, Some(2.0), Bound::Absolute(1.0)).holds());
        assert!(row(None, None, Bound::Share(0.1)).holds());
        let spread = Row { simulated: Some((100.0, 80.0, 120.0)), ..row(None, Some(130.0), Bound::Share(0.1)) };
        assert!(!spread.holds() && spread.is_in_range());
        assert!(!Row { real: Some((133.0, 133.0, 133.0)), ..spread }.is_in_range());
        let lines = table(&[row(Some(100.0), Some(150.0), Bound::Share(0.1))]);
        assert!(lines[2].contains("+50.0 %") && lines[2].contains("too far"), "{lines:?}");
    }

    #[test]
    fn medians_are_compared() {
        assert_eq!(spread(vec![3.0, 1.0, 9.0]), Some((3.0, 1.0, 9.0)));
        assert_eq!(spread(vec![4.0, 1.0, 2.0, 9.0]), Some((3.0, 1.0, 9.0)));
        assert_eq!(spread(Vec::new()), None);
    }
}
