//! Writes the report to the terminal and to files. Must not know: how anything is
//! measured.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
};

use anyhow::{Context as _, Result, ensure};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use crate::{
    args::Args,
    chart, docs,
    report::Report,
    subject::Who,
    tables::{self, Cells},
};

pub(crate) fn write(report: &Report, args: &Args) -> Result<()> {
    // The figures first: everything else can be made from them.
    if let Some(path) = &args.json {
        write_file(path, &(serde_json::to_string_pretty(report)? + "\n"))?;
    }
    if let Some(path) = &args.chart {
        let svg = chart::svg(report).context("there is nothing to compare: no --reference, or no cases")?;
        write_file(path, &svg)?;
    }
    if let Some(path) = &args.docs {
        let chart = args.chart.as_deref().map(|chart| relative(chart, path));
        write_file(path, &docs::markdown(report, chart.as_deref()))?;
    }
    if args.from.is_none() {
        print(report, args)?;
    }
    if args.bench { Ok(()) } else { test(report) }
}

/// Checks that the JSON can be read again, and a document made from it.
fn test(report: &Report) -> Result<()> {
    let again: Report = serde_json::from_str(&serde_json::to_string(report)?)?;
    let counts =
        |report: &Report| [report.rows.len(), report.resources.len(), report.goals.len(), report.remarks.len()];
    ensure!(counts(report) == counts(&again), "the JSON is incomplete");
    ensure!(docs::markdown(&again, None).contains("## Machine"), "the document is incomplete");
    ensure!(chart::svg(&again).is_some() == report.rows.iter().any(|row| row.by == Who::Reference), "no chart");
    Ok(())
}

fn print(report: &Report, args: &Args) -> Result<()> {
    let mut out = io::stdout().lock();
    let mut section = |cells: &Cells| match cells.len() {
        0 | 1 => Ok(()),
        _ => writeln!(out, "{}\n", table(cells)),
    };
    section(&tables::calls(report))?;
    section(&tables::leases(report))?;
    section(&tables::library(report))?;
    section(&tables::resources(report))?;
    for line in tables::remarks(report) {
        writeln!(out, "{line}")?;
    }
    if args.syscalls {
        for resources in &report.resources {
            let calls = resources.by_name.iter().map(|(name, count)| format!("{name} {count}"));
            writeln!(out, "\nsystem calls, {}: {}", resources.by.name(), calls.collect::<Vec<_>>().join(", "))?;
        }
    }
    if !report.method.optimised {
        writeln!(out, "the library was not optimised: ignore its figures")?;
    }
    for remark in &report.remarks {
        writeln!(out, "{remark}")?;
    }
    if args.bench {
        let mut goals = tables::goals(report);
        goals.retain(|goal| goal.last().is_some_and(|met| met != tables::NOT_MEASURED));
        writeln!(out, "\ngoals\n{}", table(&goals))?;
    }
    Ok(())
}

/// Renders a table as text; the first columns may be words.
fn table(cells: &Cells) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    let mut rows = cells.iter();
    if let Some(head) = rows.next() {
        table.set_header(head);
    }
    table.add_rows(rows);
    let is_number = |cell: &str| cell.starts_with(|first: char| first.is_ascii_digit());
    for (i, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if i > 0 && cells.iter().skip(1).any(|row| is_number(&row[i])) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn write_file(path: &Path, text: &str) -> Result<()> {
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    directory
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| fs::write(path, text))
        .with_context(|| path.display().to_string())
}

/// The name of a file in a document, usually in the same directory.
fn relative(file: &Path, document: &Path) -> String {
    let name = if file.parent() == document.parent() { file.file_name().map(Path::new) } else { None };
    name.unwrap_or(file).display().to_string()
}
