//! Drawing on a terminal: lines that scroll by, and below them a block that is redrawn in place.

use std::io::{self, IsTerminal};

/// Columns where the terminal does not tell.
const COLUMNS_DEFAULT: usize = 80;

/// Standard output is a terminal.
pub fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Columns of the terminal.
pub fn columns() -> usize {
    let told = rustix::termios::tcgetwinsize(io::stdout()).map_or(0, |size| usize::from(size.ws_col));
    if told == 0 { COLUMNS_DEFAULT } else { told.max(20) }
}

/// Remembers how many lines the block has, so that the next one can take its place.
#[derive(Debug, Default)]
pub struct Screen {
    drawn: usize,
}

impl Screen {
    /// The bytes that replace the old block by new lines that stay and a new block below them.
    pub fn draw(&mut self, scrolled: &[String], block: &[String], columns: usize) -> String {
        let mut out = String::new();
        if self.drawn > 0 {
            out.push_str(&format!("\x1b[{}F\x1b[J", self.drawn));
        }
        for line in scrolled {
            out.push_str(line);
            out.push('\n');
        }
        for line in block {
            // A line that wraps would take two rows, and the next block would be drawn one too low.
            out.push_str(&cut(line, columns.saturating_sub(1)));
            out.push('\n');
        }
        self.drawn = block.len();
        out
    }
}

/// At most so many characters of a line.
fn cut(line: &str, columns: usize) -> String {
    if line.chars().count() <= columns {
        return line.to_owned();
    }
    line.chars().take(columns.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_takes_the_place_of_the_last_one() {
        let mut screen = Screen::default();
        let block = ["one".to_owned(), "two".to_owned()];
        assert_eq!(screen.draw(&[], &block, 80), "one\ntwo\n");
        let scrolled = ["ann joined".to_owned()];
        assert_eq!(screen.draw(&scrolled, &block[..1], 80), "\x1b[2F\x1b[Jann joined\none\n");
        assert_eq!(screen.draw(&[], &[], 80), "\x1b[1F\x1b[J");
        assert_eq!(screen.draw(&[], &[], 80), "");
    }

    #[test]
    fn a_long_line_is_cut_and_never_wraps() {
        assert_eq!(cut("äöüäöü", 6), "äöüäöü");
        assert_eq!(cut("äöüäöüä", 6), "äöüäö…");
    }
}
