//! Standard output that may be closed: `treehouse-sim scenarios | head -1` is no failure.

use std::io::{self, Write};

/// Prints a line.
///
/// # Errors
/// What the system says, a closed pipe among it.
pub fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// Whether the program ends because nobody reads any more, so that there is nobody to tell.
pub fn is_closed(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Columns of text, each as wide as its widest cell; numbers, which begin the second column and later ones, to the right.
pub fn table(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            if column == 0 { format!("{cell:width$}") } else { format!("  {cell:>width$}") }
        });
        cells.collect::<String>().trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [vec!["delay".to_owned(), "9.5 ms".to_owned()], vec!["copies".to_owned(), "11.25".to_owned()]];
        assert_eq!(table(&rows), ["delay   9.5 ms", "copies   11.25"]);
        assert!(table(&[]).is_empty());
    }

    #[test]
    fn a_closed_pipe_is_told_from_other_failures() {
        assert!(is_closed(&io::Error::from(io::ErrorKind::BrokenPipe).into()));
        assert!(!is_closed(&io::Error::from(io::ErrorKind::NotFound).into()));
    }
}
