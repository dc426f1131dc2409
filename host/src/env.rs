//! The environment: the only file that reads it.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::File,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use wasm_cni::{CniError, Runtime, error::code, settings::LogLine};

use crate::{args::TIMEOUT, progress, trace};

/// Default directory of network configurations.
const NETCONFPATH: &str = "/etc/cni/net.d";

/// The variables of the process, or those of a test.
pub(crate) struct Env {
    variables: BTreeMap<OsString, OsString>,
    trace: Option<Arc<File>>,
    /// Whether this process does more than one operation.
    goes_on: bool,
}

impl Env {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub(crate) fn of_process() -> Self {
        Self { variables: std::env::vars_os().collect(), trace: None, goes_on: false }
    }

    /// A variable; empty if it is not set or not UTF-8.
    pub(crate) fn text(&self, name: &str) -> String {
        let value = self.variables.get(&OsString::from(name)).and_then(|value| value.to_str());
        value.unwrap_or_default().to_owned()
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        self.variables.get(&OsString::from(name)).filter(|value| !value.is_empty()).map(PathBuf::from)
    }

    fn list(&self, name: &str, separator: char) -> Vec<String> {
        self.text(name).split(separator).filter(|item| !item.is_empty()).map(str::to_owned).collect()
    }

    /// The directory of network configurations.
    pub(crate) fn configurations(&self) -> PathBuf {
        self.path("NETCONFPATH").unwrap_or_else(|| NETCONFPATH.into())
    }

    /// The plugin directories, searched after the bundled plugins.
    pub(crate) fn plugin_directories(&self) -> Vec<PathBuf> {
        self.list("CNI_PATH", ':').into_iter().map(PathBuf::from).collect()
    }

    /// The directory that contains all state.
    pub(crate) fn root(&self) -> PathBuf {
        self.path("WASM_CNI_ROOT").unwrap_or_else(|| "/".into())
    }

    /// The directory of the result cache.
    pub(crate) fn cache(&self) -> PathBuf {
        let directory = self.path("WASM_CNI_CACHE_DIR").unwrap_or_else(|| self.root().join("var/lib/cni"));
        directory.join("results")
    }

    fn timeout(&self) -> Result<Option<Duration>, CniError> {
        const NAME: &str = "WASM_CNI_TIMEOUT";
        let Some(value) = self.path(NAME) else { return Ok(None) };
        let seconds = value.to_str().and_then(|text| text.parse().ok()).filter(|seconds| TIMEOUT.contains(seconds));
        let seconds = seconds.and_then(|seconds: i64| u64::try_from(seconds).ok());
        match seconds {
            Some(seconds) => Ok(Some(Duration::from_secs(seconds))),
            None => Err(invalid(NAME, &value, &format!("{} to {} seconds", TIMEOUT.start(), TIMEOUT.end()))),
        }
    }

    fn prefer_native(&self) -> Result<bool, CniError> {
        const NAME: &str = "WASM_CNI_PREFER_NATIVE";
        let Some(value) = self.path(NAME) else { return Ok(false) };
        match value.to_str() {
            Some("1") => Ok(true),
            Some("0") => Ok(false),
            _ => Err(invalid(NAME, &value, "0 or 1")),
        }
    }

    /// Sets a variable for this process's later work and for commands that it runs.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<OsString>) {
        self.variables.insert(name.into(), value.into());
    }

    /// All variables, for a command.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&OsString, &OsString)> {
        self.variables.iter()
    }

    /// Keeps the process's privileges: it needs them after the operation.
    pub(crate) fn go_on(&mut self) {
        self.goes_on = true;
    }

    /// Opens the file that WASM_CNI_TRACE names, for later runtimes. Called early,
    /// because an isolated process has another view of files.
    ///
    /// # Errors
    ///
    /// If the file cannot be written to.
    pub(crate) fn open_trace(&mut self) -> Result<(), CniError> {
        self.trace = self.path("WASM_CNI_TRACE").map(|path| trace::open(&path)).transpose()?.map(Arc::new);
        Ok(())
    }

    /// A runtime configured by CNI_PATH and WASM_CNI_ROOT, _CACHE_DIR,
    /// _HOST_NETNS, _POLICY, _COMPILER, _TIMEOUT, _ALLOW_HOST and _PREFER_NATIVE.
    /// Native plugins inherit the whole environment.
    ///
    /// # Errors
    ///
    /// If a variable has a value that it cannot have.
    pub(crate) fn runtime(&self) -> Result<Runtime, CniError> {
        let mut builder = Runtime::builder()
            .bundled(wasm_cni_bundled::PLUGINS)
            .plugin_dirs(self.plugin_directories())
            .own_process(!self.goes_on)
            .plugin_path(self.text("CNI_PATH"))
            .env(self.variables().map(|(key, value)| (key.clone(), value.clone())))
            .stderr(|text| {
                progress::clear();
                drop(io::stderr().write_all(text));
            })
            .log(print_log)
            .progress(progress::of_runtime);
        if let Some(file) = self.trace.clone() {
            builder = builder.trace(move |line| trace::append(&file, line));
        }
        if let Some(root) = self.path("WASM_CNI_ROOT") {
            builder = builder.root(root);
        }
        if let Some(path) = self.path("WASM_CNI_CACHE_DIR") {
            builder = builder.cache_dir(path);
        }
        if let Some(path) = self.path("WASM_CNI_HOST_NETNS") {
            builder = builder.host_netns(path);
        }
        if let Some(path) = self.path("WASM_CNI_POLICY") {
            builder = builder.policy(path);
        }
        if let Some(path) = self.path("WASM_CNI_COMPILER") {
            builder = builder.compiler(path);
        }
        if let Some(timeout) = self.timeout()? {
            builder = builder.timeout(timeout);
        }
        builder = builder.prefer_native(self.prefer_native()?);
        #[cfg(debug_assertions)]
        {
            builder = builder.fault(&self.text("WASM_CNI_FAULT"));
        }
        for plugin in self.list("WASM_CNI_ALLOW_HOST", ',') {
            builder = builder.allow_host(plugin);
        }
        builder.build()
    }
}

fn invalid(name: &str, value: &Path, expected: &str) -> CniError {
    CniError::new(code::ENVIRONMENT, format!("invalid {name} {:?}: expected {expected}", value.display().to_string()))
}

/// Writes a line for the operator, in one piece: others write to standard error too.
pub(crate) fn print_log(line: &LogLine<'_>) {
    let LogLine { level, plugin, network, container_id, message, .. } = line;
    let text = format!("wasm-cni: {level} network={network} container={container_id} plugin={plugin}: {message}\n");
    progress::clear();
    let _ = io::stderr().write_all(text.as_bytes());
}
