//! What every operation of a runtime works with: its limits, where state lies, where log lines and the trace go, how
//! executables are run. Must not know: plugins.

use std::{
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use wasm_cni_policy::limits::Limits;
use wasm_cni_state::files::under;

use crate::{exec::Exec, trace::Trace};

/// A line that a plugin logged.
#[derive(Debug)]
pub struct LogLine<'a> {
    /// `trace`, `debug`, `info`, `warn` or `error`.
    pub level: &'a str,
    /// The plugin; empty for the host itself.
    pub plugin: &'a str,
    /// The network's name.
    pub network: &'a str,
    /// The container.
    pub container_id: &'a str,
    /// The text, on one line.
    pub message: &'a str,
}

impl<'a> LogLine<'a> {
    /// A warning of the host, about a plugin; of none if `plugin` is empty.
    #[must_use]
    pub fn warning(plugin: &'a str, network: &'a str, container_id: &'a str, message: &'a str) -> Self {
        Self { level: "warn", plugin, network, container_id, message }
    }
}

/// Where log lines go.
pub type LogSink = Arc<dyn Fn(&LogLine<'_>) + Send + Sync>;

/// Where the standard error of native plugins that succeed goes.
pub type StderrSink = Arc<dyn Fn(&[u8]) + Send + Sync>;

/// Settings and sinks of a runtime.
#[derive(Clone)]
pub struct Context {
    /// Of each call.
    pub limits: Limits,
    /// Every path of ours is below it.
    pub root: PathBuf,
    /// Where plugins' log lines go.
    pub log: LogSink,
    /// Where the standard error of native plugins that succeed goes.
    pub stderr: StderrSink,
    /// The trace, if it was asked for.
    pub trace: Trace,
    /// How native plugins are found and run.
    pub exec: Arc<dyn Exec>,
    /// What they inherit.
    pub env: Vec<(OsString, OsString)>,
    /// CNI_PATH as they get it.
    pub plugin_path: OsString,
    /// Does this process serve one call, and nothing else?
    pub own_process: bool,
}

impl Context {
    /// A location of ours below the root that was set.
    #[must_use]
    pub fn under_root(&self, path: impl AsRef<Path>) -> PathBuf {
        under(&self.root, path.as_ref())
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("root", &self.root).finish_non_exhaustive()
    }
}
