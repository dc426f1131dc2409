//! The command line, and the plan that follows from it. Must not know: how anything is measured.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use clap::{Parser as _, builder::PossibleValuesParser, error::ErrorKind};

use crate::{bursts::Burst, cases::cases};

/// Measurements other than cases.
const OTHERS: [&str; 4] = ["resources", "disk", "library", "bursts"];

/// Compares calls of wasm-cni with those of the reference plugins
#[derive(clap::Parser, Default)]
pub(crate) struct Args {
    /// Directory of the reference plugins (`.ci/reference-plugins` fetches them)
    #[arg(long, value_name = "DIR")]
    pub(crate) reference: Option<PathBuf>,
    /// The wasm-cni to measure [default: the one that cargo built]
    #[arg(long, value_name = "PATH")]
    program: Option<PathBuf>,
    /// Number of calls of each kind
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Measure only these cases
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = PossibleValuesParser::new(names()))]
    only: Vec<String>,
    /// Skip slow cases
    #[arg(long)]
    quick: bool,
    /// List the system calls of an ADD by name
    #[arg(long)]
    pub(crate) syscalls: bool,
    /// Write the figures to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Draw a chart of the ratios to this file
    #[arg(long, value_name = "FILE.svg")]
    pub(crate) chart: Option<PathBuf>,
    /// Write the document to this file
    #[arg(long, value_name = "FILE.md")]
    pub(crate) docs: Option<PathBuf>,
    /// Measure nothing, and read the figures from this file
    #[arg(long, value_name = "JSON")]
    pub(crate) from: Option<PathBuf>,
    /// Passed by `cargo bench`
    #[arg(long, hide = true)]
    pub(crate) bench: bool,
}

fn names() -> Vec<&'static str> {
    cases(u32::MAX).iter().map(|case| case.name).chain(OTHERS).collect()
}

/// What to measure, and how often.
pub(crate) struct Plan {
    pub(crate) program: PathBuf,
    pub(crate) reference: Option<PathBuf>,
    only: Vec<String>,
    pub(crate) quick: bool,
    pub(crate) rounds: u32,
    pub(crate) warm_up: u32,
    pub(crate) most_leases: u32,
    pub(crate) bursts: Vec<Burst>,
    pub(crate) burst_times: u32,
    /// For the library: containers, and how often to attach all of them.
    pub(crate) library: Vec<(usize, u32)>,
}

/// cargo starts it in the package's directory; paths on the command line are relative
/// to where cargo was called.
#[expect(clippy::disallowed_methods, reason = "one thread, and what it was called with")]
fn go_to_caller() {
    if let Some(directory) = env::var_os("PWD") {
        let _ = env::set_current_dir(directory);
    }
}

/// The arguments of this process. None if libtest's filter selects other tests.
pub(crate) fn of_process() -> Option<Args> {
    go_to_caller();
    match Args::try_parse() {
        Ok(args) => Some(args),
        Err(error) if error.kind() == ErrorKind::DisplayHelp || env::args().any(|argument| argument == "--bench") => {
            error.exit()
        }
        // Arguments of libtest.
        Err(_) => {
            let filtered = env::args().skip(1).any(|argument| !argument.starts_with('-') || argument == "--list");
            (!filtered).then(Args::default)
        }
    }
}

impl Args {
    pub(crate) fn plan(&self) -> Result<Plan> {
        let absolute = |path: &Path| path.canonicalize().with_context(|| path.display().to_string());
        let program = self.program.as_deref().unwrap_or(Path::new(env!("CARGO_BIN_EXE_wasm-cni")));
        let program = absolute(program)?;
        let reference = self.reference.as_deref().map(absolute).transpose()?;
        for path in reference.iter().chain([&program]) {
            ensure!(!path.starts_with("/run"), "{} is out of sight where /run is private", path.display());
        }
        let (counts, most_leases) = match (self.bench, self.quick) {
            (false, _) => (&[20][..], 1_000),
            (true, true) => (&[100][..], 8_000),
            (true, false) => (&[100, 500][..], 60_000),
        };
        let at_once: &[usize] = if self.bench { &[1, 8, 64] } else { &[8] };
        let bursts = counts.iter().flat_map(|&count| at_once.iter().map(move |&at_once| Burst { count, at_once }));
        Ok(Plan {
            program,
            reference,
            only: self.only.clone(),
            quick: self.quick || !self.bench,
            rounds: if self.bench { self.rounds } else { 1 },
            warm_up: if self.bench { 5 } else { 0 },
            most_leases,
            bursts: bursts.collect(),
            burst_times: if self.bench { self.rounds.div_ceil(20) } else { 1 },
            library: match (self.bench, self.quick) {
                (false, _) => vec![(5, 1)],
                (true, true) => vec![(50, self.rounds)],
                (true, false) => vec![(50, self.rounds), (500, self.rounds.div_ceil(15))],
            },
        })
    }
}

impl Plan {
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }
}
