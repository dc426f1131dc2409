//! What a runtime keeps from call to call: its settings, its engine, the plugins that it has loaded.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use wasm_cni_capabilities::context::Context;
use wasm_cni_engine::Bundled;
use wasm_cni_policy::policy::Policy;
use wasm_cni_spec::error::CniError;
use wasmtime::Engine;

use crate::{
    plugins::Plugin,
    progress::{Progress, ProgressSink},
};

/// Settings, engine and plugins of a [`crate::Runtime`].
pub(crate) struct Host {
    pub(crate) context: Arc<Context>,
    pub(crate) engine: Engine,
    /// The plugins that are part of the program.
    pub(crate) bundled: &'static [Bundled],
    pub(crate) plugin_dirs: Vec<PathBuf>,
    pub(crate) compiler: Option<PathBuf>,
    /// What compiling a plugin may take, if that was set for operations.
    pub(crate) compile_time: Option<Duration>,
    pub(crate) allow_host: Vec<String>,
    /// What operators have said, or what is wrong with it.
    pub(crate) policy: Result<Policy, CniError>,
    pub(crate) progress: ProgressSink,
    /// Native plugins take precedence over components of the same name.
    pub(crate) prefer_native: bool,
    pub(crate) loaded: Mutex<HashMap<String, Result<Arc<Plugin>, CniError>>>,
}

impl Host {
    /// Reports `progress`, runs `work`, then reports that it is over.
    pub(crate) fn saying<T>(&self, progress: &Progress<'_>, work: impl FnOnce() -> T) -> T {
        (self.progress)(progress);
        let done = work();
        (self.progress)(&Progress::Over);
        done
    }
}
