//! The figures: the content of the JSON, and the source of tables, chart and
//! documents. Must not know: how they were measured.

use std::{fmt, fs::File, io::BufReader, path::Path};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::{process::Taken, shares::Shares, stats::Spread, subject::Who};

#[derive(Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) method: Method,
    pub(crate) programs: Vec<Program>,
    pub(crate) rows: Vec<Row>,
    pub(crate) resources: Vec<Resources>,
    pub(crate) disk: Option<Disk>,
    /// Sorted by the number of containers.
    pub(crate) library: Vec<Library>,
    pub(crate) remarks: Vec<Remark>,
    pub(crate) goals: Vec<Goal>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
    pub(crate) rustc: String,
    /// The load average of the minute before the start.
    pub(crate) load: String,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Method {
    pub(crate) rounds: u32,
    pub(crate) warm_up: u32,
    pub(crate) quick: bool,
    /// Whether the library was compiled with optimisation.
    pub(crate) optimised: bool,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Program {
    pub(crate) by: Who,
    pub(crate) version: String,
}

/// One call of one case by one subject. Times are in milliseconds.
#[derive(Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) case: String,
    pub(crate) title: String,
    pub(crate) call: String,
    pub(crate) by: Who,
    pub(crate) wall: Spread,
    /// The sum of user and system time.
    pub(crate) cpu: Spread,
    /// Counted by ticks: random for a single call, but right in the mean.
    pub(crate) user: Spread,
    pub(crate) system: Spread,
    pub(crate) voluntary_switches: Spread,
    pub(crate) involuntary_switches: Spread,
}

/// Counts of one ADD of `bridge`.
#[derive(Serialize, Deserialize)]
pub(crate) struct Resources {
    pub(crate) by: Who,
    pub(crate) system_calls: u64,
    pub(crate) processes: u64,
    pub(crate) threads: u64,
    /// Bytes of the largest process.
    pub(crate) peak_memory: u64,
    /// Bytes of all processes that exist at the same time.
    pub(crate) peak_together: u64,
    pub(crate) by_name: Vec<(String, u64)>,
}

/// Bytes of the programs that run as root.
#[derive(Serialize, Deserialize)]
pub(crate) struct Disk {
    pub(crate) wasm_cni: u64,
    /// The same plugins, and all plugins.
    pub(crate) reference: Option<u64>,
    pub(crate) reference_all: Option<u64>,
    pub(crate) reference_count: usize,
    /// Whether the reference's programs were stripped.
    pub(crate) stripped: bool,
}

/// Calls in one long-running process, in milliseconds.
#[derive(Serialize, Deserialize)]
pub(crate) struct Library {
    /// The number of attached containers.
    pub(crate) containers: usize,
    pub(crate) calls: usize,
    pub(crate) add: Spread,
    pub(crate) del: Spread,
    pub(crate) add_user: f64,
    pub(crate) add_system: f64,
    pub(crate) del_user: f64,
    pub(crate) del_system: f64,
    /// User time of STATUS: both plugins, without work of the kernel.
    pub(crate) status_user: f64,
    /// Median processor time of a STATUS after another one, and after an ADD.
    pub(crate) status_again: f64,
    pub(crate) status_after_add: f64,
    /// The shares of an ADD.
    pub(crate) shares: Shares,
}

/// The upper bound of a figure, and the measured figure.
#[derive(Serialize, Deserialize)]
pub(crate) struct Goal {
    pub(crate) what: String,
    /// May depend on other figures.
    pub(crate) bound: Option<f64>,
    pub(crate) unit: String,
    /// None if this run did not measure it.
    pub(crate) measured: Option<f64>,
}

impl Goal {
    pub(crate) fn is_met(&self) -> Option<bool> {
        Some(self.measured? <= self.bound?)
    }
}

/// A remark about a case, for example why it was skipped or failed.
#[derive(Serialize, Deserialize)]
pub(crate) struct Remark {
    pub(crate) case: String,
    pub(crate) by: Who,
    /// Whether it is a failure.
    #[serde(default)]
    pub(crate) failed: bool,
    pub(crate) text: String,
}

impl Remark {
    /// Prints it at once, too.
    pub(crate) fn of(case: &str, by: Who, text: impl Into<String>) -> Self {
        Self { case: case.to_owned(), by, failed: false, text: text.into() }.printed()
    }

    pub(crate) fn skipped(case: &str, by: Who, why: impl fmt::Display) -> Self {
        Self::of(case, by, format!("skipped: {why}"))
    }

    pub(crate) fn failed(case: &str, by: Who, error: &anyhow::Error) -> Self {
        Self { case: case.to_owned(), by, failed: true, text: format!("FAILED: {error:#}") }.printed()
    }

    fn printed(self) -> Self {
        eprintln!("{self}");
        self
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}: {}", self.case, self.by.name(), self.text.trim())
    }
}

impl Row {
    pub(crate) fn new(case: &str, title: &str, call: &str, by: Who, taken: &[Taken]) -> Self {
        let ms = |time: fn(&Taken) -> std::time::Duration| {
            Spread::of(taken.iter().map(|taken| time(taken).as_secs_f64() * 1000.0))
        };
        Self {
            case: case.to_owned(),
            title: title.to_owned(),
            call: call.to_owned(),
            by,
            wall: ms(|taken| taken.wall),
            cpu: ms(|taken| taken.user + taken.system),
            user: ms(|taken| taken.user),
            system: ms(|taken| taken.system),
            voluntary_switches: Spread::of(taken.iter().map(|taken| taken.voluntary as f64)),
            involuntary_switches: Spread::of(taken.iter().map(|taken| taken.involuntary as f64)),
        }
    }
}

impl Report {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| path.display().to_string())?;
        serde_json::from_reader(BufReader::new(file)).with_context(|| path.display().to_string())
    }

    pub(crate) fn row(&self, case: &str, call: &str, by: Who) -> Option<&Row> {
        self.rows.iter().find(|row| (&*row.case, &*row.call, row.by) == (case, call, by))
    }

    pub(crate) fn resources(&self, by: Who) -> Option<&Resources> {
        self.resources.iter().find(|resources| resources.by == by)
    }

    /// The reference's row for the same call.
    pub(crate) fn opposite(&self, row: &Row) -> Option<&Row> {
        self.row(&row.case, &row.call, Who::Reference)
    }
}
