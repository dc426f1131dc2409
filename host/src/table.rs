//! Standard output: tables for people, JSON for programs. Colors appear on
//! terminals only, and not with NO_COLOR.

use std::{
    io::{self, Write as _},
    sync::OnceLock,
};

use anstyle::{AnsiColor, Style};
use anyhow::Result;
use serde_json::Value;
use terminal_size::{Width, terminal_size_of};

use crate::progress;

/// Blanks between two columns.
const GAP: usize = 2;

/// For what is right, what deserves a look, and what is wrong.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
pub(crate) const NOTICE: Style = AnsiColor::Yellow.on_default();
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();

const HEADER: Style = Style::new().bold();

/// The terminal's columns; none if standard output is not one.
static COLUMNS: OnceLock<Option<usize>> = OnceLock::new();

/// Looks how wide the terminal is. Call it before the process confines itself: it
/// cannot ask afterwards.
pub(crate) fn measure() {
    let columns = terminal_size_of(io::stdout()).map(|(Width(columns), _)| usize::from(columns));
    let _ = COLUMNS.set(columns);
}

pub(crate) struct Table {
    rows: Vec<Vec<Cell>>,
}

/// Text of one or more lines.
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

    /// For the terminal, with the codes of its colors.
    pub(crate) fn render(&self) -> String {
        self.render_within(COLUMNS.get().copied().flatten())
    }

    /// The width of each column, where `measured` is the width of one line.
    fn widths(&self, measured: impl Fn(&str) -> usize) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let cell = |cell: &Cell| cell.text.lines().map(&measured).max().unwrap_or(0);
        let width = |column: usize| self.rows.iter().filter_map(|row| row.get(column)).map(cell).max();
        (0..columns).map(|column| width(column).unwrap_or(0)).collect()
    }

    /// Wraps cells between words if the table is wider than `limit`.
    fn render_within(&self, limit: Option<usize>) -> String {
        let mut widths = self.widths(|line| line.chars().count());
        if let Some(limit) = limit {
            let longest = |line: &str| line.split(' ').map(|word| word.chars().count()).max().unwrap_or(0);
            if !shrink(&mut widths, &self.widths(longest), limit) {
                return self.render_records();
            }
        }
        let mut out = String::new();
        for row in &self.rows {
            let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| wrap(&cell.text, *width)).collect();
            let height = cells.iter().map(Vec::len).max().unwrap_or(0);
            for number in 0..height {
                let mut pending = 0;
                for ((cell, lines), width) in row.iter().zip(&cells).zip(&widths) {
                    let line = lines.get(number).map_or("", String::as_str);
                    let length = line.chars().count();
                    if length > 0 {
                        // No trailing blanks, so that lines can be copied.
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

    /// For a terminal that is too narrow for columns: a line for each cell, with the
    /// column's title in front, and a blank line between rows.
    fn render_records(&self) -> String {
        let Some((header, rows)) = self.rows.split_first() else { return String::new() };
        let width = header.iter().map(|title| title.text.chars().count()).max().unwrap_or(0) + GAP;
        let record = |row: &Vec<Cell>| -> String {
            let cells = header.iter().zip(row).filter(|(_, cell)| !cell.text.is_empty());
            let lines = cells.flat_map(|(title, Cell { text, style })| {
                let titles = std::iter::once(title.text.as_str()).chain(std::iter::repeat(""));
                text.lines().zip(titles).map(move |(line, title)| format!("{title:width$}{style}{line}{style:#}\n"))
            });
            lines.collect()
        };
        rows.iter().map(record).collect::<Vec<_>>().join("\n")
    }
}

/// Takes from the widest column until the table fits, but no column gets narrower than
/// its least width. Returns whether it fits.
fn shrink(widths: &mut [usize], least: &[usize], limit: usize) -> bool {
    let gaps = GAP * widths.len().saturating_sub(1);
    let mut excess = (widths.iter().sum::<usize>() + gaps).saturating_sub(limit);
    while excess > 0 {
        let shrinkable =
            widths.iter_mut().zip(least).filter(|(width, least)| **width > **least).map(|(width, _)| width);
        let Some(widest) = shrinkable.max() else { return false };
        *widest -= 1;
        excess -= 1;
    }
    true
}

/// Lines of at most `width` characters, broken at blanks.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for line in text.lines() {
        let mut current = String::new();
        for word in line.split(' ') {
            let length = current.chars().count() + 1 + word.chars().count();
            if !current.is_empty() && length > width {
                lines.push(std::mem::take(&mut current));
            } else if !current.is_empty() {
                current.push(' ');
            }
            current += word;
        }
        lines.push(current);
    }
    lines
}

pub(crate) fn print_table(table: &Table) -> Result<u8> {
    print(&table.render())
}

pub(crate) fn print_json(value: &Value) -> Result<u8> {
    print(&format!("{}\n", serde_json::to_string_pretty(value)?))
}

/// Whether an error says that nobody reads the output any more.
pub(crate) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let is_it = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    error.chain().any(|cause| cause.downcast_ref().is_some_and(is_it))
}

/// Prints text that ends with a newline.
pub(crate) fn print(text: &str) -> Result<u8> {
    // The progress line may be on the same terminal.
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
    #[test]
    fn a_narrow_terminal_wraps_between_words() {
        let mut table = Table::new(&["NAME", "FOUND"]);
        table.add(["kernel".into(), "veth pairs work on this machine\n-> nothing to do".into()]);
        let plain = |limit| anstream::adapter::strip_str(&table.render_within(Some(limit))).to_string();
        let wrapped = "NAME    FOUND\nkernel  veth pairs\n        work on this\n        machine\n        -> nothing\n        to do\n";
        assert_eq!(plain(20), wrapped);
        // Words are not broken, whatever the width.
        let records = "NAME   kernel\nFOUND  veth pairs work on this machine\n       -> nothing to do\n";
        assert_eq!(plain(5), records);
        assert_eq!(plain(80).lines().count(), 3);
    }
}
