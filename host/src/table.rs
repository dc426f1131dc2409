//! What goes to standard output: tables for people, JSON for programs. Colours
//! are for terminals, and not with NO_COLOR.

use std::io::Write as _;

use anstyle::{AnsiColor, Style};
use anyhow::Result;
use serde_json::Value;

use crate::progress;

/// Blanks between two columns.
const GAP: usize = 2;

/// Something is as it should be; may be looked at; is wrong.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
pub(crate) const NOTICE: Style = AnsiColor::Yellow.on_default();
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();

const HEADER: Style = Style::new().bold();

pub(crate) struct Table {
    rows: Vec<Vec<Cell>>,
}

/// Text, of several lines if need be.
#[derive(Default)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    pub(crate) fn new(text: impl Into<String>, style: Style) -> Self {
        Self { text: text.into(), style }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(text, Style::new())
    }
}

impl Table {
    pub(crate) fn new(header: &[&str]) -> Self {
        Self { rows: vec![header.iter().map(|title| Cell::new(*title, HEADER)).collect()] }
    }

    pub(crate) fn add<const N: usize>(&mut self, row: [Cell; N]) {
        self.rows.push(row.into());
    }

    /// With the codes for its colours.
    pub(crate) fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let cell_width = |cell: &Cell| cell.text.lines().map(|line| line.chars().count()).max().unwrap_or(0);
        let width = |column: usize| self.rows.iter().filter_map(|row| row.get(column)).map(cell_width).max();
        let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
        let mut out = String::new();
        for row in &self.rows {
            let height = row.iter().map(|cell| cell.text.lines().count()).max().unwrap_or(0);
            for number in 0..height {
                let mut pending = 0;
                for (cell, width) in row.iter().zip(&widths) {
                    let line = cell.text.lines().nth(number).unwrap_or_default();
                    let length = line.chars().count();
                    if length > 0 {
                        // Trailing blanks are not what somebody wants to copy.
                        out += &" ".repeat(pending);
                        out += &format!("{}{line}{:#}", cell.style, cell.style);
                        pending = 0;
                    }
                    pending += width - length + GAP;
                }
                out.push('\n');
            }
        }
        out
    }
}

pub(crate) fn print_table(table: &Table) -> Result<u8> {
    print(&table.render())
}

pub(crate) fn print_json(value: &Value) -> Result<u8> {
    print(&format!("{}\n", serde_json::to_string_pretty(value)?))
}

/// Text that ends with a newline.
pub(crate) fn print(text: &str) -> Result<u8> {
    // It may be on the same terminal.
    progress::clear();
    let mut stdout = anstream::stdout();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_line_and_nothing_trails() {
        let mut table = Table::new(&["A", "LONG", "Z"]);
        table.add(["x".into(), "1\n2222222".into(), Cell::new("é", GOOD)]);
        table.add(["yy".into(), "".into(), "".into()]);
        let plain = anstream::adapter::strip_str(&table.render()).to_string();
        assert_eq!(plain, "A   LONG     Z\nx   1        é\n    2222222\nyy\n");
        assert!(table.render().contains("\u{1b}[32mé\u{1b}[0m"));
    }
}
