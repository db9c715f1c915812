//! Churn from a file: lines of `time node JOIN|LEAVE`, the format of measured churn traces.
//!
//! `time` is in seconds from the start of the run, in the file's order; `node` is any word; `#` begins a comment. The host
//! and the speakers are not in it: they come first and stay. Who leaves and joins again is the same person in a new stay.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::arrivals::{Arrivals, Crowd, Stay};
use crate::random::Stream;

/// The section `[arrivals.trace]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Trace {
    /// The file, relative to the scenario's. No default.
    pub file: String,
}

/// What is wrong in a trace.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct TraceError {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// Latest time of a trace, in seconds: far beyond any run.
const SECONDS_MAX: f64 = 1e9;

impl Trace {
    /// Reads the stays of a trace, those of host and speakers before them.
    pub fn stays(text: &str, arrivals: &Arrivals, crowd: &Crowd<'_>) -> Result<Vec<Stay>, TraceError> {
        let mut stays = arrivals.stage(crowd);
        let speakers = stays.len() as u32;
        let mut sessions = Stream::Sessions.rng(crowd.seed);
        // By node: its person, and its stay where it is there.
        let mut nodes: BTreeMap<&str, (u32, Option<usize>)> = BTreeMap::new();
        let mut last_us = 0;
        for (line, content) in (1..).zip(text.lines()) {
            let content = content.split('#').next().unwrap_or_default();
            let wrong = |message: String| TraceError { line, message };
            let words: Vec<&str> = content.split_whitespace().collect();
            let (time, node, what) = match words[..] {
                [] => continue,
                [time, node, what] => (time, node, what),
                _ => return Err(wrong(format!("`{}` is not `time node JOIN|LEAVE`", content.trim()))),
            };
            let at_us = match time.parse::<f64>() {
                Ok(seconds) if (0.0..=SECONDS_MAX).contains(&seconds) => (seconds * 1e6) as u64,
                _ => return Err(wrong(format!("`{time}` is not a time in seconds from 0 to {SECONDS_MAX}"))),
            };
            if at_us < last_us {
                return Err(wrong(format!("`{time}` is before the line above; sort the lines by time")));
            }
            last_us = at_us;
            let person = speakers + nodes.len() as u32;
            let of = nodes.entry(node).or_insert((person, None));
            match (what, of.1) {
                ("JOIN", None) => {
                    of.1 = Some(stays.len());
                    let departure = crowd.sessions.departure(&mut sessions);
                    stays.push(Stay { person: of.0, joins_us: at_us, leaves_us: None, departure });
                }
                ("LEAVE", Some(stay)) => {
                    of.1 = None;
                    stays[stay].leaves_us = Some(at_us);
                }
                ("JOIN", Some(_)) => return Err(wrong(format!("node `{node}` joins, but is there"))),
                ("LEAVE", None) => return Err(wrong(format!("node `{node}` leaves, but is not there"))),
                _ => return Err(wrong(format!("`{what}` is neither JOIN nor LEAVE"))),
            }
        }
        stays.retain(|stay| stay.joins_us < crowd.duration_us && stay.leaves_us.is_none_or(|at| at > stay.joins_us));
        for stay in &mut stays {
            stay.leaves_us = stay.leaves_us.filter(|leaves_us| *leaves_us < crowd.duration_us);
        }
        Ok(stays)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::sessions::Sessions;

    fn stays(text: &str) -> Result<Vec<(u32, u64, Option<u64>)>, String> {
        let sessions = Sessions::default();
        let crowd = Crowd { seed: 1, members: 1, speakers: 1, duration_us: 100_000_000, sessions: &sessions };
        let stays = Trace::stays(text, &Arrivals::default(), &crowd).map_err(|error| error.to_string())?;
        Ok(stays.iter().map(|stay| (stay.person, stay.joins_us, stay.leaves_us)).collect())
    }

    #[test]
    fn a_trace_is_what_happens() {
        let text = "# a comment\n0.5 anna JOIN\n1 ben JOIN\n\n2.25 anna LEAVE # for tea\n3 anna JOIN\n99 ben LEAVE\n150 anna LEAVE\n";
        let expected =
            vec![(0, 0, None), (1, 500_000, Some(2_250_000)), (2, 1_000_000, Some(99_000_000)), (1, 3_000_000, None)];
        assert_eq!(stays(text), Ok(expected));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let wrong = |text: &str| stays(text).expect_err("it is wrong");
        assert_eq!(wrong("1 a JOIN\n2 a JOIN"), "line 2: node `a` joins, but is there");
        assert_eq!(wrong("1 a LEAVE"), "line 1: node `a` leaves, but is not there");
        assert_eq!(wrong("2 a JOIN\n1 b JOIN"), "line 2: `1` is before the line above; sort the lines by time");
        assert_eq!(wrong("1 a joins"), "line 1: `joins` is neither JOIN nor LEAVE");
        assert_eq!(wrong("1 a"), "line 1: `1 a` is not `time node JOIN|LEAVE`");
        assert_eq!(wrong("-1 a JOIN"), "line 1: `-1` is not a time in seconds from 0 to 1000000000");
        assert_eq!(wrong("NaN a JOIN"), "line 1: `NaN` is not a time in seconds from 0 to 1000000000");
    }
}
