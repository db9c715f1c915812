//! Round trips from a file: a square matrix in milliseconds, such as the public measurements of PlanetLab or King.
//!
//! Numbers are separated by white space, commas or semicolons, one row a line; `#` begins a comment. The two directions of a pair
//! are averaged. What is missing (`nan`, `-`, an empty field between separators, a negative number, or zero off the diagonal) is
//! taken from the other direction, else is the shortest way over one other site, else the median of all. Each member gets a row
//! at random; where there are more members than rows, rows are shared, and members of one row are `within` apart.

use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::{network::Delay, random::Rng, scenario::units::Time};

/// Most rows: 5,000 take 100 MB.
const ROWS_MAX: usize = 5_000;
/// Longest round trip that is believed, in milliseconds.
const RTT_MS_MAX: f64 = 60_000.0;

/// The section `[delay.matrix]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct MatrixSettings {
    /// The file, relative to the scenario's. No default.
    pub file: String,
    /// Round trip between members that share a row. Default 4 ms.
    pub within: Time,
}

impl Default for MatrixSettings {
    fn default() -> Self {
        MatrixSettings { file: String::new(), within: Time(4_000) }
    }
}

/// Round trips of a file, as one-way delays.
pub struct Matrix {
    rows: usize,
    one_way_us: Vec<u32>,
    within_us: u64,
    /// The row of each site.
    row: Vec<u16>,
}

impl Matrix {
    /// Reads a matrix and gives each of this many sites a row. Errors name the line.
    pub fn parse(text: &str, within: Time, sites: u32, rng: &mut Rng) -> Result<Self, String> {
        let rtt_ms = complete(read(text)?);
        let rows = rtt_ms.len();
        let one_way_us = rtt_ms.iter().flatten().map(|ms| (ms * 500.0) as u32).collect();
        let mut order: Vec<u16> = (0..rows as u16).collect();
        let mut row = Vec::with_capacity(sites as usize);
        while row.len() < sites as usize {
            // Fisher and Yates' shuffle; anew for each round of rows.
            for last in (1..rows).rev() {
                order.swap(last, rng.random_range(0..=last));
            }
            row.extend(order.iter().take(sites as usize - row.len()));
        }
        Ok(Matrix { rows, one_way_us, within_us: within.0 / 2, row })
    }
}

impl Delay for Matrix {
    fn one_way_us(&self, a: u32, b: u32) -> u64 {
        let row = |site: u32| usize::from(self.row[site as usize % self.row.len()]);
        let (a, b) = (row(a), row(b));
        if a == b { self.within_us } else { u64::from(self.one_way_us[a * self.rows + b]) }
    }

    fn name(&self) -> &str {
        "matrix"
    }
}

/// The fields of a line: commas and semicolons separate even what is empty, white space does not.
fn fields(line: &str) -> Vec<&str> {
    if line.contains([',', ';']) {
        line.trim_end_matches([',', ';', ' ', '\t', '\r']).split([',', ';']).map(str::trim).collect()
    } else {
        line.split_whitespace().collect()
    }
}

/// Reads a square matrix; what is missing is none.
fn read(text: &str) -> Result<Vec<Vec<Option<f64>>>, String> {
    let mut matrix: Vec<Vec<Option<f64>>> = Vec::new();
    for (line, content) in (1..).zip(text.lines()) {
        let content = content.split('#').next().unwrap_or_default();
        if content.trim().is_empty() {
            continue;
        }
        let mut row = Vec::new();
        for field in fields(content) {
            row.push(match field.parse::<f64>() {
                _ if ["", "-"].contains(&field) => None,
                Ok(ms) if ms > RTT_MS_MAX && ms.is_finite() => {
                    return Err(format!(
                        "line {line}: {field} ms is more than a round trip can take ({RTT_MS_MAX} ms)"
                    ));
                }
                Ok(ms) => Some(ms).filter(|ms| ms.is_finite() && *ms > 0.0),
                Err(_) => return Err(format!("line {line}: `{field}` is not a round trip in milliseconds")),
            });
        }
        if let Some(first) = matrix.first()
            && first.len() != row.len()
        {
            return Err(format!("line {line}: {} numbers, but {} in the rows above", row.len(), first.len()));
        }
        if row.len() > ROWS_MAX {
            return Err(format!("line {line}: {} numbers; at most {ROWS_MAX} sites are read", row.len()));
        }
        matrix.push(row);
        if matrix.len() > ROWS_MAX {
            return Err(format!("line {line}: more rows than the {ROWS_MAX} that are read"));
        }
    }
    let columns = matrix.first().map_or(0, Vec::len);
    match matrix.len() {
        rows if rows < 2 => Err(format!("{rows} rows; a matrix has at least 2")),
        rows if rows != columns => Err(format!("{rows} rows of {columns} numbers; a matrix of round trips is square")),
        _ => Ok(matrix),
    }
}

/// Averages the two directions and fills what is missing in both.
fn complete(matrix: Vec<Vec<Option<f64>>>) -> Vec<Vec<f64>> {
    let rows = matrix.len();
    let known = |a: usize, b: usize| match (matrix[a][b], matrix[b][a]) {
        (Some(there), Some(back)) => Some((there + back) / 2.0),
        (there, back) => there.or(back),
    };
    let mut all: Vec<f64> = matrix.iter().flatten().flatten().copied().collect();
    all.sort_by(f64::total_cmp);
    let median = all.get(all.len() / 2).copied().unwrap_or(0.0);
    let detour = |a: usize, b: usize| {
        let over = (0..rows).filter(|over| *over != a && *over != b);
        over.filter_map(|over| Some(known(a, over)? + known(over, b)?)).min_by(f64::total_cmp)
    };
    let cell = |a: usize, b: usize| {
        if a == b { 0.0 } else { known(a, b).or_else(|| detour(a.min(b), a.max(b))).unwrap_or(median) }
    };
    (0..rows).map(|a| (0..rows).map(|b| cell(a, b)).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    fn parse(text: &str, sites: u32) -> Result<Matrix, String> {
        Matrix::parse(text, Time(4_000), sites, &mut Stream::Members.rng(1))
    }

    /// One-way delays between rows, whatever site has them.
    fn between(matrix: &Matrix, a: u16, b: u16) -> u64 {
        let site = |row: u16| matrix.row.iter().position(|of| *of == row).expect("each row has a site") as u32;
        matrix.one_way_us(site(a), site(b))
    }

    #[test]
    fn both_ways_of_writing_are_read() {
        for text in ["0 100 20\n80 0 40\n20 40 0\n", "0,100,20\n80,0,40 # a comment\n\n20;40;0;\n"] {
            let matrix = parse(text, 3).expect("it is a matrix");
            assert_eq!(between(&matrix, 0, 1), 45_000, "the mean of both directions, halved");
            assert_eq!(between(&matrix, 1, 0), 45_000);
            assert_eq!(between(&matrix, 2, 1), 20_000);
        }
    }

    #[test]
    fn what_is_missing_is_filled() {
        // 0-1 is known one way, 0-2 goes over 1, and 3 is known to nobody.
        let matrix = parse("0,30,,nan\n-1,0,50,-\n,0,0,inf\n,,,0", 4).expect("it is a matrix");
        assert_eq!(between(&matrix, 0, 1), 15_000);
        assert_eq!(between(&matrix, 1, 2), 25_000);
        assert_eq!(between(&matrix, 0, 2), 40_000);
        assert_eq!(between(&matrix, 0, 3), 25_000, "the median");
    }

    #[test]
    fn more_members_than_rows_share_them() {
        let matrix = parse("0 10\n10 0", 5).expect("it is a matrix");
        let mut rows = matrix.row.clone();
        rows[..4].sort_unstable();
        assert_eq!(rows[..4], [0, 0, 1, 1]);
        let shared = (1..5).find(|site| matrix.row[*site] == matrix.row[0]).expect("five in two rows");
        assert_eq!(matrix.one_way_us(0, shared as u32), 2_000);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let wrong = |text: &str| parse(text, 2).err().expect("it is wrong");
        assert_eq!(wrong("0 1\n1 x"), "line 2: `x` is not a round trip in milliseconds");
        assert_eq!(wrong("0 1\n1"), "line 2: 1 numbers, but 2 in the rows above");
        assert_eq!(wrong("0 1 2\n1 0 2"), "2 rows of 3 numbers; a matrix of round trips is square");
        assert_eq!(wrong("# nothing"), "0 rows; a matrix has at least 2");
        assert_eq!(wrong("0 1e9\n1 0"), "line 1: 1e9 ms is more than a round trip can take (60000 ms)");
    }
}
