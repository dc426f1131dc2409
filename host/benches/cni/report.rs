//! What was measured: what goes into the JSON, and what tables, chart and
//! documents are made from. Must not know: how it was measured.

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
    /// By the number of containers, the fewest first.
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
    /// Of the last minute, when it began: what else the machine did.
    pub(crate) load: String,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Method {
    pub(crate) rounds: u32,
    pub(crate) warm_up: u32,
    pub(crate) quick: bool,
    /// Whether the library was compiled as in a release.
    pub(crate) optimised: bool,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Program {
    pub(crate) by: Who,
    pub(crate) version: String,
}

/// One call of one case by one subject. Milliseconds and, of switches, numbers.
#[derive(Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) case: String,
    pub(crate) title: String,
    pub(crate) call: String,
    pub(crate) by: Who,
    pub(crate) wall: Spread,
    /// User and system together.
    pub(crate) cpu: Spread,
    /// By ticks: of single calls this is chance, their mean is not.
    pub(crate) user: Spread,
    pub(crate) system: Spread,
    pub(crate) voluntary_switches: Spread,
    pub(crate) involuntary_switches: Spread,
}

/// One ADD of `bridge`, counted call by call.
#[derive(Serialize, Deserialize)]
pub(crate) struct Resources {
    pub(crate) by: Who,
    pub(crate) system_calls: u64,
    pub(crate) processes: u64,
    pub(crate) threads: u64,
    /// Of the process that takes most, bytes.
    pub(crate) peak_memory: u64,
    /// Of all processes that are there at the same time.
    pub(crate) peak_together: u64,
    pub(crate) by_name: Vec<(String, u64)>,
}

/// Octets of the programs that run as root.
#[derive(Serialize, Deserialize)]
pub(crate) struct Disk {
    pub(crate) wasm_cni: u64,
    /// Of the same plugins, and of all.
    pub(crate) reference: Option<u64>,
    pub(crate) reference_all: Option<u64>,
    pub(crate) reference_count: usize,
    /// Whether the reference's were without symbols.
    pub(crate) stripped: bool,
}

/// In one process that lives on; milliseconds for each call.
#[derive(Serialize, Deserialize)]
pub(crate) struct Library {
    /// So many were attached at a time.
    pub(crate) containers: usize,
    pub(crate) calls: usize,
    pub(crate) add: Spread,
    pub(crate) del: Spread,
    pub(crate) add_user: f64,
    pub(crate) add_system: f64,
    pub(crate) del_user: f64,
    pub(crate) del_system: f64,
    /// Of STATUS, user time: both plugins, and nothing of the kernel's network.
    pub(crate) status_user: f64,
    /// Processor time of a STATUS, medians: after another one, and after an ADD.
    pub(crate) status_again: f64,
    pub(crate) status_after_add: f64,
    /// Of ADDs.
    pub(crate) shares: Shares,
}

/// What a figure is to be at most, and what it is.
#[derive(Serialize, Deserialize)]
pub(crate) struct Goal {
    pub(crate) what: String,
    /// At most this, which may depend on what was measured.
    pub(crate) bound: Option<f64>,
    pub(crate) unit: String,
    /// Nothing if this run has not measured it.
    pub(crate) measured: Option<f64>,
}

impl Goal {
    pub(crate) fn is_met(&self) -> Option<bool> {
        Some(self.measured? <= self.bound?)
    }
}

/// What is to be known of a case: that it was skipped, or has failed, and why.
#[derive(Serialize, Deserialize)]
pub(crate) struct Remark {
    pub(crate) case: String,
    pub(crate) by: Who,
    /// Whether it should have gone well.
    #[serde(default)]
    pub(crate) failed: bool,
    pub(crate) text: String,
}

impl Remark {
    /// Said at once, too.
    pub(crate) fn of(case: &str, by: Who, text: impl Into<String>) -> Self {
        Self { case: case.to_owned(), by, failed: false, text: text.into() }.said()
    }

    pub(crate) fn skipped(case: &str, by: Who, why: impl fmt::Display) -> Self {
        Self::of(case, by, format!("skipped: {why}"))
    }

    pub(crate) fn failed(case: &str, by: Who, error: &anyhow::Error) -> Self {
        Self { case: case.to_owned(), by, failed: true, text: format!("FAILED: {error:#}") }.said()
    }

    fn said(self) -> Self {
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
