//! The table of targets: what docs/architecture.md wants of Treehouse, what runs showed, and by how much that misses.
//!
//! A column holds the runs whose members are near its number. Joins per second are taken from flash crowds, every other figure
//! from all other scenarios, so the folders given should hold the sweeps of one scenario (`targets`) and of `flash-crowd`.

use std::{collections::BTreeMap, fmt::Write, path::PathBuf};

use super::{
    figures::{Better, Figure, number},
    groups::load,
};
use crate::{
    results::{ResultsError, Run},
    statistics::{self, Interval, SAMPLES_MIN},
};

/// Members of each column.
const COLUMNS: [(&str, u64); 4] = [("1k", 1_000), ("10k", 10_000), ("100k", 100_000), ("1M", 1_000_000)];
/// The scenario whose runs say how many joins per second are survived.
const FLASH_CROWD: &str = "flash-crowd";
/// Runs with this share of loss are those of the rows with loss; give or take a quarter.
const LOSS_SHARE: f64 = 0.02;

/// What is wanted at each protection level, by column.
#[derive(Clone, Copy)]
enum Wanted {
    /// The same at every level.
    Every([f64; 4]),
    /// At `relays` alone, which the design measures by.
    Relays([f64; 4]),
    /// At `off` alone.
    Off([f64; 4]),
    /// At `off`, `relays` and `all`.
    Each([[f64; 4]; 3]),
}

impl Wanted {
    fn at(self, protection: Option<&str>, column: usize) -> Option<f64> {
        let of = match (self, protection) {
            (Wanted::Every(of), Some(_)) | (Wanted::Relays(of), Some("relays")) | (Wanted::Off(of), Some("off")) => of,
            (Wanted::Each([of, _, _]), Some("off")) => of,
            (Wanted::Each([_, of, _]), Some("relays")) => of,
            (Wanted::Each([_, _, of]), Some("all")) => of,
            _ => return None,
        };
        of.get(column).copied()
    }
}

/// Which runs a row is about.
#[derive(Clone, Copy, PartialEq)]
enum About {
    NoLoss,
    Loss,
    FlashCrowd,
}

struct Row {
    title: &'static str,
    figure: &'static str,
    about: About,
    wanted: Wanted,
}

const fn row(title: &'static str, figure: &'static str, about: About, wanted: Wanted) -> Row {
    Row { title, figure, about, wanted }
}

const ROWS: [Row; 15] = [
    row("delay, median", "delay_p50_ms", About::NoLoss, Wanted::Relays([110.0, 120.0, 120.0, 130.0])),
    row("delay, p99", "delay_p99_ms", About::NoLoss, Wanted::Relays([225.0, 230.0, 235.0, 260.0])),
    row(
        "frames within 400 ms",
        "delivery_400ms_percent",
        About::NoLoss,
        Wanted::Relays([99.999, 99.999, 99.999, 99.998]),
    ),
    row("the same, 2 % loss a hop", "delivery_400ms_percent", About::Loss, Wanted::Relays([99.95, 99.95, 99.9, 99.9])),
    row("standby present", "standby_share_percent", About::NoLoss, Wanted::Relays([99.0, 99.0, 99.0, 98.0])),
    row(
        "frames lost to base + 100 ms",
        "lost_to_target_percent",
        About::NoLoss,
        Wanted::Each([[0.01; 4], [0.005; 4], [0.001; 4]]),
    ),
    row(
        "outages per listener-hour",
        "outages_per_listener_hour",
        About::NoLoss,
        Wanted::Each([[1.2, 1.2, 1.4, 1.6], [0.9, 0.9, 1.0, 1.2], [0.05, 0.05, 0.05, 0.1]]),
    ),
    row("copies per delivery", "copies", About::NoLoss, Wanted::Each([[1.03; 4], [1.25; 4], [2.05; 4]])),
    row("repair, median", "repair_p50_ms", About::NoLoss, Wanted::Off([200.0, 200.0, 220.0, 250.0])),
    row("repair, p99", "repair_p99_ms", About::NoLoss, Wanted::Off([400.0, 450.0, 500.0, 600.0])),
    row(
        "false suspicions per feed-hour, 2 % loss",
        "false_suspicions_per_feed_hour",
        About::Loss,
        Wanted::Every([20.0; 4]),
    ),
    row("join to first audio, median", "join_p50_ms", About::NoLoss, Wanted::Relays([500.0, 500.0, 700.0, 800.0])),
    row("join to first audio, p99", "join_p99_ms", About::NoLoss, Wanted::Relays([1200.0, 1500.0, 2000.0, 2500.0])),
    row("joins per second survived", "joins_per_s", About::FlashCrowd, Wanted::Relays([200.0, 1000.0, 1000.0, 5000.0])),
    row("depth, mean", "depth_mean", About::NoLoss, Wanted::Relays([f64::NAN; 4])),
];

/// Rows of a figure in the order in which strategies are listed.
const ORDER: [&str; 8] = [
    "treehouse off",
    "treehouse relays",
    "treehouse all",
    "random-tree",
    "star",
    "gossipsub",
    "plumtree",
    "splitstream",
];

/// Values of runs by label and column.
type Cells<'a> = BTreeMap<(usize, String), BTreeMap<usize, Vec<&'a Run>>>;

/// The table of targets from all runs in folders, as Markdown. A cell holds mean and 95 % interval of what was seen, and for
/// Treehouse what is wanted and by how much that is missed.
///
/// # Errors
/// When a folder holds no run, or one that cannot be read.
pub fn targets(folders: &[PathBuf]) -> Result<String, ResultsError> {
    let runs = load(folders)?;
    let mut out = String::from("| figure | strategy | 1k | 10k | 100k | 1M |\n|---|---|---|---|---|---|\n");
    let mut tally = Tally::default();
    for row in &ROWS {
        let Some(figure) = Figure::named(row.figure) else { continue };
        let unit = if figure.unit.is_empty() { String::new() } else { format!(", {}", figure.unit) };
        let mut title = format!("**{}**{unit}", row.title);
        for ((_, label), columns) in &cells(&runs, row.about) {
            let protection = label.strip_prefix("treehouse ");
            let cell = |column: usize| {
                let runs = columns.get(&column).map(Vec::as_slice).unwrap_or_default();
                (row.wanted.at(protection, column), interval(figure, runs))
            };
            let shown: Vec<_> = (0..COLUMNS.len()).map(cell).collect();
            if shown.iter().all(|(_, seen)| seen.is_none()) {
                continue;
            }
            let texts: Vec<String> = shown.iter().map(|(wanted, seen)| tally.cell(figure, *wanted, *seen)).collect();
            // Writing to a String cannot fail.
            let _ = writeln!(out, "| {} | {label} | {} |", std::mem::take(&mut title), texts.join(" | "));
        }
    }
    out.push_str(&tally.notes());
    Ok(out)
}

fn cells(runs: &[Run], about: About) -> Cells<'_> {
    let mut cells = Cells::new();
    for run in runs {
        let is_flash_crowd = run.meta.scenario == FLASH_CROWD;
        let has_loss = (run.meta.loss_share / LOSS_SHARE - 1.0).abs() < 0.25;
        let belongs = match about {
            About::FlashCrowd => is_flash_crowd,
            About::Loss => !is_flash_crowd && has_loss,
            About::NoLoss => !is_flash_crowd && run.meta.loss_share <= 0.0,
        };
        let ratio = |members: u64| run.meta.members as f64 / members as f64;
        // A flash crowd's own members come on top of those of the room.
        let near = if about == About::FlashCrowd { 0.5..5.0 } else { 0.5..2.0 };
        let column = COLUMNS.iter().position(|(_, members)| near.contains(&ratio(*members)));
        if let Some(column) = column.filter(|_| belongs) {
            let label = run.meta.label();
            let order = ORDER.iter().position(|of| *of == label).unwrap_or(ORDER.len());
            cells.entry((order, label)).or_default().entry(column).or_default().push(run);
        }
    }
    cells
}

fn interval(figure: &Figure, runs: &[&Run]) -> Option<Interval> {
    let by_seed: BTreeMap<u64, f64> =
        runs.iter().filter_map(|run| Some((run.meta.seed, figure.of(&run.summary)?))).collect();
    statistics::mean(&by_seed.into_values().collect::<Vec<_>>())
}

/// How many targets were reached, and with how many seeds.
#[derive(Default)]
struct Tally {
    wanted: u32,
    reached: u32,
    few_seeds: bool,
}

impl Tally {
    fn cell(&mut self, figure: &Figure, wanted: Option<f64>, seen: Option<Interval>) -> String {
        let wanted = wanted.filter(|wanted| wanted.is_finite());
        let want = |wanted: f64| plain(wanted, figure.digits);
        let Some(seen) = seen else {
            self.wanted += u32::from(wanted.is_some());
            return wanted.map_or_else(|| "-".to_owned(), |wanted| format!("not run (wanted {})", want(wanted)));
        };
        let few = if seen.samples < SAMPLES_MIN { format!(" ({})", seen.samples) } else { String::new() };
        self.few_seeds |= !few.is_empty();
        let range = seen
            .bounds
            .map_or_else(String::new, |(low, high)| format!(" [{}, {}]", figure.text(low), figure.text(high)));
        let mut text = format!("{}{range}{few}", figure.text(seen.mean));
        if let Some(wanted) = wanted {
            self.wanted += 1;
            let missed = match figure.better {
                Some(Better::More) => wanted - seen.mean,
                _ => seen.mean - wanted,
            };
            // What the digits shown do not tell apart is no miss.
            let is_missed = missed > 0.5 * 10_f64.powi(-(figure.digits as i32));
            self.reached += u32::from(!is_missed);
            let verdict =
                if is_missed { format!("missed by {}", plain(missed, figure.digits)) } else { "reached".to_owned() };
            let _ = write!(text, "; wanted {}: **{verdict}**", want(wanted));
        }
        text
    }

    fn notes(&self) -> String {
        let mut notes = format!("\n{} of {} targets reached. ", self.reached, self.wanted);
        let _ = write!(notes, "Mean over seeds and its 95 % interval (percentile bootstrap over seeds)");
        if self.few_seeds {
            let _ =
                write!(notes, "; a number in parentheses says that there were only so many, fewer than {SAMPLES_MIN}");
        }
        notes.push_str(". Treehouse's row names its protection level.\n");
        notes
    }
}

/// A number without the noughts that say nothing.
fn plain(value: f64, digits: usize) -> String {
    let text = number(value, digits.max(1));
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(mean: f64, samples: usize) -> Option<Interval> {
        Some(Interval { mean, bounds: Some((mean - 1.0, mean + 1.0)), samples })
    }

    #[test]
    fn a_cell_says_what_was_seen_and_by_how_much_it_misses() {
        let figure = Figure::named("delay_p50_ms").expect("it is a figure");
        let mut tally = Tally::default();
        assert_eq!(tally.cell(figure, Some(110.0), seen(98.0, 10)), "98.0 [97.0, 99.0]; wanted 110: **reached**");
        assert_eq!(
            tally.cell(figure, Some(110.0), seen(120.5, 3)),
            "120.5 [119.5, 121.5] (3); wanted 110: **missed by 10.5**"
        );
        assert_eq!(tally.cell(figure, Some(110.0), None), "not run (wanted 110)");
        assert_eq!(tally.cell(figure, None, seen(300.0, 10)), "300.0 [299.0, 301.0]");
        let delivery = Figure::named("delivery_400ms_percent").expect("it is a figure");
        assert_eq!(
            tally.cell(delivery, Some(99.95), seen(99.9, 10)),
            "99.9000 [98.9000, 100.9000]; wanted 99.95: **missed by 0.05**"
        );
        assert!(tally.notes().starts_with("\n1 of 4 targets reached."), "{}", tally.notes());
    }

    #[test]
    fn a_whole_number_keeps_its_noughts() {
        assert_eq!((plain(200.0, 0), plain(0.05, 4), plain(1.25, 3)), ("200".into(), "0.05".into(), "1.25".into()));
    }

    #[test]
    fn each_row_is_of_a_figure_that_exists() {
        for row in &ROWS {
            assert!(Figure::named(row.figure).is_some(), "{}", row.figure);
        }
    }

    #[test]
    fn levels_are_asked_for_what_the_design_asks_of_them() {
        let each = Wanted::Each([[1.0; 4], [2.0; 4], [3.0; 4]]);
        assert_eq!((each.at(Some("off"), 0), each.at(Some("all"), 3), each.at(None, 0)), (Some(1.0), Some(3.0), None));
        assert_eq!(
            (Wanted::Relays([5.0; 4]).at(Some("off"), 0), Wanted::Relays([5.0; 4]).at(Some("relays"), 0)),
            (None, Some(5.0))
        );
    }
}
