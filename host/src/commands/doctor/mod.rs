//! `doctor`: what keeps plugins from working on this machine, and how to fix it.
//! Changes nothing, except that the kernel may load the modules that an ADD would
//! load.

mod files;
mod kernel;
mod machine;
mod process;
mod state;

use anyhow::Result;
use serde_json::{Value, json};

use crate::{
    args::{Format, Output},
    env::Env,
    table::{BAD, Cell, GOOD, NOTICE, Table, print_json, print_table},
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Ok,
    /// Something may fail, or is not as safe as it could be.
    Warn,
    /// Something will fail.
    Fail,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

struct Finding {
    level: Level,
    about: &'static str,
    text: String,
    /// For findings other than [`Level::Ok`].
    remedy: Option<String>,
}

/// The findings, in order.
#[derive(Default)]
struct Report(Vec<Finding>);

impl Report {
    fn ok(&mut self, about: &'static str, text: impl Into<String>) {
        self.0.push(Finding { level: Level::Ok, about, text: text.into(), remedy: None });
    }

    fn warn(&mut self, about: &'static str, text: impl Into<String>, remedy: impl Into<String>) {
        self.0.push(Finding { level: Level::Warn, about, text: text.into(), remedy: Some(remedy.into()) });
    }

    fn fail(&mut self, about: &'static str, text: impl Into<String>, remedy: impl Into<String>) {
        self.0.push(Finding { level: Level::Fail, about, text: text.into(), remedy: Some(remedy.into()) });
    }
}

/// Returns 1 if something will fail.
pub(crate) fn doctor(output: &Output, env: &Env) -> Result<u8> {
    let mut report = Report::default();
    process::look(&mut report);
    machine::look(&mut report);
    files::look(&mut report, env)?;
    state::look(&mut report, env)?;
    // Last: it may move the process into namespaces of its own.
    kernel::look(&mut report);
    let Report(findings) = report;
    match output.output {
        Format::Json => print_json(&findings.iter().map(json).collect::<Value>())?,
        Format::Table => print_table(&for_people(&findings))?,
    };
    Ok(u8::from(findings.iter().any(|finding| finding.level == Level::Fail)))
}

fn json(finding: &Finding) -> Value {
    let Finding { level, about, text, remedy } = finding;
    json!({ "level": level.name(), "about": about, "text": text, "remedy": remedy })
}

fn for_people(findings: &[Finding]) -> Table {
    let mut table = Table::new(&["", "ABOUT", "FOUND"]);
    for Finding { level, about, text, remedy } in findings {
        let style = match level {
            Level::Ok => GOOD,
            Level::Warn => NOTICE,
            Level::Fail => BAD,
        };
        let remedy = remedy.as_ref().map(|remedy| format!("\n-> {remedy}")).unwrap_or_default();
        table.add([Cell::new(level.name(), style), (*about).into(), format!("{text}{remedy}").into()]);
    }
    table
}
