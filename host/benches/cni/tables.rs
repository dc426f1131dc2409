//! The report as tables of text, for the terminal and for documents. Must not know:
//! where they go.

use crate::{
    goals::{divided, ratio},
    report::{Library, Report, Row},
    stats::Spread,
    subject::Who,
};

/// For a goal that was not measured.
pub(crate) const NOT_MEASURED: &str = "not measured";

/// Rows of cells; the first row is the header.
pub(crate) type Cells = Vec<Vec<String>>;

/// A row for each call of each subject.
pub(crate) fn calls(report: &Report) -> Cells {
    let head = [
        "case",
        "call",
        "by",
        "wall ms: 1/4",
        "median",
        "3/4",
        "cpu ms",
        "user, mean",
        "switches",
        "wall, ratio",
        "cpu",
    ];
    let rows = report.rows.iter().map(|row| {
        let opposite = report.opposite(row).filter(|_| row.by == Who::WasmCni);
        let against = |of: fn(&Row) -> f64| opposite.map_or_else(String::new, |other| short(of(row) / of(other)));
        let switches = row.voluntary_switches.median + row.involuntary_switches.median;
        vec![
            row.title.clone(),
            row.call.clone(),
            row.by.name().to_owned(),
            short(row.wall.low),
            short(row.wall.median),
            short(row.wall.high),
            short(row.cpu.median),
            short(row.user.mean),
            format!("{switches:.0}"),
            against(|row| row.wall.median),
            against(|row| row.cpu.median),
        ]
    });
    with_head(&head, rows)
}

/// Ours beside the reference, with a row for each call.
pub(crate) fn comparison(report: &Report) -> Cells {
    let head =
        ["case", "call", "wasm-cni, ms (cpu)", "reference, ms (cpu)", "ratio (cpu)", "quartiles, ms", "reference's"];
    let ours = report.rows.iter().filter(|row| row.by == Who::WasmCni);
    let rows = ours.map(|row| {
        let other = report.opposite(row);
        let text = |row: &Row| format!("{} ({})", short(row.wall.median), short(row.cpu.median));
        let spread = |row: &Row| format!("{}-{}", short(row.wall.low), short(row.wall.high));
        let ratio = |other: &Row| {
            let (wall, cpu) = (row.wall.median / other.wall.median, row.cpu.median / other.cpu.median);
            format!("{} ({})", short(wall), short(cpu))
        };
        vec![
            row.title.clone(),
            row.call.clone(),
            text(row),
            other.map(text).unwrap_or_default(),
            other.map(ratio).unwrap_or_default(),
            spread(row),
            other.map(spread).unwrap_or_default(),
        ]
    });
    with_head(&head, rows)
}

/// The resources of one ADD of `bridge`.
pub(crate) fn resources(report: &Report) -> Cells {
    let head = ["ADD, bridge", "system calls", "processes", "threads", "switches", "peak memory", "together"];
    let rows = report.resources.iter().map(|resources| {
        let switches = report.row("bridge", "ADD", resources.by).map_or_else(String::new, |row| {
            format!("{:.0}", row.voluntary_switches.median + row.involuntary_switches.median)
        });
        vec![
            resources.by.name().to_owned(),
            resources.system_calls.to_string(),
            resources.processes.to_string(),
            resources.threads.to_string(),
            switches,
            megabytes(resources.peak_memory),
            megabytes(resources.peak_together),
        ]
    });
    with_head(&head, rows)
}

/// The time of `host-local` by the number of leases.
pub(crate) fn leases(report: &Report) -> Cells {
    let head = ["leases", "wasm-cni, ms", "to itself with none", "reference, ms", "to itself with none", "ratio"];
    let cases =
        report.rows.iter().filter(|row| row.case.starts_with("leases-") && row.call == "ADD" && row.by == Who::WasmCni);
    let rows = cases.map(|row| {
        let wall = |case: &str, by| report.row(case, "ADD", by).map(|row| row.wall.median);
        let mut cells = vec![row.case.trim_start_matches("leases-").to_owned()];
        for by in [Who::WasmCni, Who::Reference] {
            cells.push(optional(wall(&row.case, by)));
            cells.push(optional(divided(wall(&row.case, by), wall("leases-0", by))));
        }
        cells.push(optional(ratio(report, &row.case, "ADD", |row| row.wall.median)));
        cells
    });
    with_head(&head, rows)
}

pub(crate) fn goals(report: &Report) -> Cells {
    let head = ["goal", "at most", "", "measured", "met"];
    let rows = report.goals.iter().map(|goal| {
        let met = match goal.is_met() {
            Some(true) => "yes",
            Some(false) => "NO",
            None => NOT_MEASURED,
        };
        vec![goal.what.clone(), optional(goal.bound), goal.unit.clone(), optional(goal.measured), met.to_owned()]
    });
    with_head(&head, rows)
}

/// The library's calls by the number of containers; empty if they were not measured.
pub(crate) fn library(report: &Report) -> Cells {
    let columns = report.library.iter().map(|library| format!("{} containers", library.containers));
    let head = ["library, one runtime".to_owned()].into_iter().chain(columns).collect();
    let row = |what: &str, of: &dyn Fn(&Library) -> String| {
        [what.to_owned()].into_iter().chain(report.library.iter().map(of)).collect()
    };
    let milliseconds = |what: &str, of: fn(&Library) -> f64| row(what, &|library| short(of(library)));
    let waiting = |library: &Library| (library.add.median - library.add_user - library.add_system).max(0.0);
    if report.library.is_empty() {
        return Vec::new();
    }
    vec![
        head,
        row("calls of each kind", &|library| library.calls.to_string()),
        row("ADD of bridge, ms (quartiles)", &|library| {
            let Spread { low, median, high, .. } = library.add;
            format!("{} ({}-{})", short(median), short(low), short(high))
        }),
        milliseconds("- waiting for the kernel", waiting),
        milliseconds("- the kernel's work", |library| library.add_system),
        milliseconds("- guests and host (user time)", |library| library.add_user),
        milliseconds("DEL, ms", |library| library.del.median),
        milliseconds("- the kernel's work", |library| library.del_system),
        milliseconds("- guests and host (user time)", |library| library.del_user),
        milliseconds("STATUS, ms of processor time", |library| library.status_again),
        milliseconds("- guests and host (user time)", |library| library.status_user),
        milliseconds("STATUS right after an ADD, ms of processor time", |library| library.status_after_add),
        milliseconds("ADD with a trace, mean: in guests and their creation", |library| library.shares.guest),
        milliseconds("- in host functions and the kernel", |library| library.shares.host),
        milliseconds("- before and after", |library| library.shares.around),
    ]
}

/// The sizes on disk, as sentences.
pub(crate) fn remarks(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(disk) = &report.disk {
        let symbols = if disk.stripped { "without symbols" } else { "with symbols, as `strip` is missing" };
        let mut line = format!("on disk: wasm-cni {}", megabytes(disk.wasm_cni));
        if let (Some(same), Some(all)) = (disk.reference, disk.reference_all) {
            line += &format!(
                "; the reference's same six plugins {}, all {} of them {}, {symbols}",
                megabytes(same),
                disk.reference_count,
                megabytes(all)
            );
        }
        lines.push(line);
    }
    lines
}

fn with_head(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Cells {
    let head = head.iter().map(|&cell| cell.to_owned()).collect();
    std::iter::once(head).chain(rows).collect()
}

fn optional(number: Option<f64>) -> String {
    number.map_or_else(String::new, short)
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1_048_576.0)
}

/// About three digits.
pub(crate) fn short(number: f64) -> String {
    match number.abs() {
        size if size >= 100.0 => format!("{number:.0}"),
        size if size >= 10.0 => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    }
}
