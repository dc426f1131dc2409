//! The settings of a runtime.

use std::{
    collections::HashMap,
    ffi::{OsStr, OsString},
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use wasm_cni_capabilities::{
    context::{Context, LogLine, LogSink, StderrSink},
    exec::{Exec, Processes},
    limits::Limits,
    trace::Trace,
};
use wasm_cni_engine::Bundled;
use wasm_cni_policy::policy::Policy;
use wasm_cni_spec::error::CniError;
use wasm_cni_state::files::under;

use crate::{
    host::Host,
    plugins::compiled,
    progress::{Progress, ProgressSink},
    runtime::Runtime,
};

/// Settings of a [`Runtime`].
pub struct Builder {
    bundled: &'static [Bundled],
    plugin_dirs: Vec<PathBuf>,
    root: PathBuf,
    compiler: Option<PathBuf>,
    allow_host: Vec<String>,
    policy: Option<PathBuf>,
    timeout: Option<Duration>,
    host_netns: Option<PathBuf>,
    cache_dir: Option<PathBuf>,
    limits: Limits,
    log: LogSink,
    progress: ProgressSink,
    trace: Trace,
    exec: Arc<dyn Exec>,
    env: Vec<(OsString, OsString)>,
    plugin_path: Option<OsString>,
    own_process: bool,
    prefer_native: bool,
    stderr: StderrSink,
}

impl Runtime {
    /// The settings, all at their defaults.
    #[must_use]
    pub fn builder() -> Builder {
        Builder {
            bundled: &[],
            plugin_dirs: Vec::new(),
            root: PathBuf::from("/"),
            compiler: None,
            allow_host: Vec::new(),
            policy: None,
            timeout: None,
            host_netns: None,
            cache_dir: None,
            limits: Limits::default(),
            log: Arc::new(|_| {}),
            progress: Arc::new(|_| {}),
            trace: Trace::default(),
            exec: Arc::new(Processes),
            env: Vec::new(),
            plugin_path: None,
            own_process: false,
            prefer_native: false,
            stderr: Arc::new(|_| {}),
        }
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bundled: Vec<_> = self.bundled.iter().map(|plugin| plugin.name).collect();
        f.debug_struct("Builder")
            .field("bundled", &bundled)
            .field("plugin_dirs", &self.plugin_dirs)
            .field("root", &self.root)
            .field("policy", &self.policy)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Builder {
    /// The plugins that are part of this program: those of the crate `wasm-cni-bundled`, say. By default there are none.
    #[must_use]
    pub fn bundled(mut self, plugins: &'static [Bundled]) -> Self {
        self.bundled = plugins;
        self
    }

    /// Directories to search for plugins after the bundled ones, as CNI_PATH.
    #[must_use]
    pub fn plugin_dirs(mut self, dirs: impl IntoIterator<Item = PathBuf>) -> Self {
        self.plugin_dirs = dirs.into_iter().collect();
        self
    }

    /// Where the state lies: every path of ours, and every `dataDir`, is below
    /// it. `/` by default.
    #[must_use]
    pub fn root(mut self, root: impl Into<PathBuf>) -> Self {
        self.root = root.into();
        self
    }

    /// The program that compiles plugins, `wasm-cni-compile`. By default the one
    /// beside this program.
    #[must_use]
    pub fn compiler(mut self, path: impl Into<PathBuf>) -> Self {
        self.compiler = Some(path.into());
        self
    }

    /// Gives a third-party plugin both namespaces, bridges and their ports,
    /// masquerade and spoof checks, delegation. By itself such a plugin has
    /// nothing; the policy can give it less than this.
    #[must_use]
    pub fn allow_host(mut self, plugin: impl Into<String>) -> Self {
        self.allow_host.push(plugin.into());
        self
    }

    /// The namespace that plugins are handed as the host's. By default the one
    /// that the process is in.
    #[must_use]
    pub fn host_netns(mut self, path: impl Into<PathBuf>) -> Self {
        self.host_netns = Some(path.into());
        self
    }

    /// The directory that holds `results`, the cache. By default `/var/lib/cni`
    /// below the root.
    #[must_use]
    pub fn cache_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.cache_dir = Some(path.into());
        self
    }

    /// The file with the operator's policy: what each plugin may do, and limits.
    /// By default `/etc/wasm-cni/policy.toml` below the root, if it is there; a file
    /// that is named here must exist, or every operation fails. Further files lie in
    /// the directory beside it, `policy.d`.
    #[must_use]
    pub fn policy(mut self, path: impl Into<PathBuf>) -> Self {
        self.policy = Some(path.into());
        self
    }

    /// Time for each operation, whatever the policy says.
    #[must_use]
    pub fn timeout(mut self, time: Duration) -> Self {
        self.timeout = Some(time);
        self
    }

    /// Limits for each operation. Those that the policy sets take precedence.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Where plugins' log lines go. By default nowhere.
    #[must_use]
    pub fn log(mut self, sink: impl Fn(&LogLine<'_>) + Send + Sync + 'static) -> Self {
        self.log = Arc::new(sink);
        self
    }

    /// Who is told of work that may take long, for people who wait. By default
    /// nobody.
    #[must_use]
    pub fn progress(mut self, sink: impl Fn(&Progress<'_>) + Send + Sync + 'static) -> Self {
        self.progress = Arc::new(sink);
        self
    }

    /// Where the trace goes, by lines of JSON with their newlines: every call of a
    /// plugin, every call that it makes of the host, every process that is
    /// started, every effect that is taken back. By default nowhere, and then
    /// nothing is written down.
    #[must_use]
    pub fn trace(mut self, sink: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.trace = Trace::to(Arc::new(sink));
        self
    }

    /// CNI_PATH as native plugins are to get it. By default it is made of
    /// [`Builder::plugin_dirs`].
    #[must_use]
    pub fn plugin_path(mut self, path: impl Into<OsString>) -> Self {
        self.plugin_path = Some(path.into());
        self
    }

    /// How native plugins are found and run. By default as files and processes.
    #[must_use]
    pub fn exec(mut self, exec: impl Exec + 'static) -> Self {
        self.exec = Arc::new(exec);
        self
    }

    /// What native plugins inherit. By default nothing.
    #[must_use]
    pub fn env(mut self, env: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        self.env = env.into_iter().collect();
        self
    }

    /// Whether native plugins take precedence over components of the same name.
    #[must_use]
    pub fn prefer_native(mut self, prefer: bool) -> Self {
        self.prefer_native = prefer;
        self
    }

    /// The process serves one operation and nothing else. Before the first plugin
    /// runs it gives up, for good, what running this operation's plugins does not
    /// need: capabilities(7), files (landlock(7)), system calls (seccomp(2)), more
    /// privileges (`PR_SET_NO_NEW_PRIVS`), as far as the kernel can. It gives up
    /// nothing if one of them is a native plugin.
    ///
    /// What it has open when the operation is over is left to the process's end, and
    /// nobody else may have its threads enter other network namespaces.
    #[must_use]
    pub fn own_process(mut self, own: bool) -> Self {
        self.own_process = own;
        self
    }

    /// A fault on purpose, `kill:7`, for tests; none in a release.
    #[cfg(debug_assertions)]
    #[doc(hidden)]
    #[must_use]
    pub fn fault(self, plan: &str) -> Self {
        wasm_cni_capabilities::faults::plan(plan);
        self
    }

    /// Where the standard error of native plugins that succeed goes. By default
    /// nowhere.
    #[must_use]
    pub fn stderr(mut self, sink: impl Fn(&[u8]) + Send + Sync + 'static) -> Self {
        self.stderr = Arc::new(sink);
        self
    }

    /// Makes the runtime.
    ///
    /// # Errors
    ///
    /// If the engine does not run on this machine.
    pub fn build(self) -> Result<Runtime, CniError> {
        let engine = compiled::engine()?;
        let plugin_path = self.plugin_path.unwrap_or_else(|| {
            let directories: Vec<&OsStr> = self.plugin_dirs.iter().map(|path| path.as_os_str()).collect();
            directories.join(OsStr::new(":"))
        });
        let policy = match &self.policy {
            Some(named) => Policy::read(named, true),
            None => Policy::read(&under(&self.root, Path::new("/etc/wasm-cni/policy.toml")), false),
        };
        let mut limits = self.limits;
        if let Ok(policy) = &policy {
            limits = policy.limits(limits);
        }
        limits.time = self.timeout.unwrap_or(limits.time);
        let context = Context {
            limits,
            root: self.root,
            log: self.log,
            stderr: self.stderr,
            trace: self.trace,
            exec: self.exec,
            env: self.env,
            plugin_path,
            own_process: self.own_process,
        };
        let cache_dir = self.cache_dir.unwrap_or_else(|| context.under_root("/var/lib/cni"));
        let host = Host {
            context: Arc::new(context),
            engine,
            bundled: self.bundled,
            plugin_dirs: self.plugin_dirs,
            compiler: self.compiler,
            compile_time: self.timeout,
            allow_host: self.allow_host,
            policy,
            progress: self.progress,
            prefer_native: self.prefer_native,
            loaded: Mutex::new(HashMap::new()),
        };
        Ok(Runtime { host: Arc::new(host), host_netns: self.host_netns, cache_dir })
    }
}
