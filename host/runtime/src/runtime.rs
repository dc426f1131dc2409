//! The runtime: its settings, what it keeps, what it knows without calling a
//! plugin. `operations` has what it does on a network.

use std::{
    collections::HashMap,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use serde_json::{Map, Value};
use wasm_cni_kernel::Netns;

use crate::{
    attempt::{Attempt, Footprint},
    cache::{Cache, Cached},
    compiled,
    error::{CniError, code},
    faults,
    limits::Limits,
    native::{Exec, Processes},
    plugin::{Inner, Location, LogLine, LogSink, StderrSink, under},
    policy::Policy,
    progress::{Progress, ProgressSink},
    result::Success,
    trace::Trace,
    undo,
};

/// Runs plugins. One serves many calls, also at the same time.
pub struct Runtime {
    pub(crate) inner: Arc<Inner>,
    pub(crate) host_netns: Option<PathBuf>,
    cache_dir: PathBuf,
}

/// Settings of a [`Runtime`].
pub struct Builder {
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

/// What is attached to what ("runtime parameters" in the specification).
#[derive(Clone, Debug, Default)]
pub struct Attachment {
    /// The container.
    pub container_id: String,
    /// The interface inside the container.
    pub ifname: String,
    /// Path of the container's namespace; may be empty for DEL.
    pub netns: String,
    /// CNI_ARGS: `K=V;K=V`.
    pub args: String,
    /// Values for capabilities that plugins may declare.
    pub capability_args: Map<String, Value>,
}

/// What an ADD gave.
#[derive(Debug)]
pub struct Added {
    /// The last plugin's result.
    pub result: Success,
    /// It, in the configuration's version, as CNI prints it.
    pub json: String,
    /// What the ADD made, for [`Runtime::tidy`].
    pub footprint: Footprint,
}

impl Runtime {
    /// The settings, all at their defaults.
    #[must_use]
    pub fn builder() -> Builder {
        Builder {
            plugin_dirs: Vec::new(),
            root: PathBuf::from("/"),
            compiler: None,
            allow_host: Vec::new(),
            policy: None,
            timeout: None,
            host_netns: None,
            cache_dir: None,
            limits: Limits::default(),
            log: Box::new(|_| {}),
            progress: Box::new(|_| {}),
            trace: Trace::default(),
            exec: Arc::new(Processes),
            env: Vec::new(),
            plugin_path: None,
            own_process: false,
            prefer_native: false,
            stderr: Box::new(|_| {}),
        }
    }

    /// Where a plugin of this type comes from: a bundled component goes first,
    /// then, folder by folder, the component `TYPE.wasm` and the executable
    /// `TYPE`.
    ///
    /// # Errors
    ///
    /// The reference's texts if there is none.
    pub fn locate(&self, kind: &str) -> Result<Location, CniError> {
        self.inner.locate(kind)
    }

    /// Every type in the plugin folders and in this program, in order of the
    /// names, each with where it comes from. The first of several is the one that
    /// is used.
    #[must_use]
    pub fn plugins(&self) -> Vec<(String, Vec<Location>)> {
        self.inner.plugins()
    }

    /// The attachments in the result cache, of one container or of all, in
    /// order of their files' names.
    #[must_use]
    pub fn cached(&self, container_id: Option<&str>) -> Vec<Cached> {
        self.cache().list(container_id)
    }

    /// Removes what an ADD made that outlives its attachment, a bridge or the
    /// folder of a network's leases, where nobody uses it any more: for who
    /// attached a container for once only.
    pub fn tidy(&self, footprint: &Footprint) -> Vec<String> {
        footprint.settle();
        undo::tidy(&footprint.entries, &footprint.scene)
    }

    /// The namespace that plugins are handed as the host's.
    pub(crate) fn host(&self) -> Result<Netns, CniError> {
        match &self.host_netns {
            Some(path) => Netns::open(path)
                .map_err(|e| CniError::new(code::NETNS, format!("cannot open the host's namespace: {e}"))),
            None => {
                let own = Netns::current()
                    .map_err(|e| CniError::new(code::NETNS, format!("cannot open this process's namespace: {e}")))?;
                if self.inner.own_process {
                    own.is_home_of_all_threads();
                }
                Ok(own)
            }
        }
    }

    pub(crate) fn cache(&self) -> Cache {
        Cache::new(self.cache_dir.join("results"))
    }
}

/// Takes back what an attempt did and says so in its error.
pub(crate) fn roll_back(attempt: Arc<Attempt>, error: CniError) -> CniError {
    let left = attempt.roll_back();
    if left.is_empty() {
        return error;
    }
    error.note(&format!("could not be undone: {}", left.join(", ")))
}

impl Builder {
    /// Folders to look for plugins in that are not bundled, as CNI_PATH.
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

    /// Gives a plugin from outside what `bridge` has: both namespaces, bridges
    /// and their ports, masquerade and spoof checks, delegation. By itself such a
    /// plugin has nothing; the policy can give it less than this.
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

    /// The folder that holds `results`, the cache. By default `/var/lib/cni`
    /// below the root.
    #[must_use]
    pub fn cache_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.cache_dir = Some(path.into());
        self
    }

    /// The file with the operator's policy: what each plugin may do, and limits.
    /// By default `/etc/wasm-cni/policy.toml` below the root, if it is there.
    /// Further files lie in the folder beside it, `policy.d`.
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

    /// Limits for each operation. Those that the policy sets go before them.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Where plugins' log lines go. By default nowhere.
    #[must_use]
    pub fn log(mut self, sink: impl Fn(&LogLine<'_>) + Send + Sync + 'static) -> Self {
        self.log = Box::new(sink);
        self
    }

    /// Who is told of work that may take long, for people who wait. By default
    /// nobody.
    #[must_use]
    pub fn progress(mut self, sink: impl Fn(&Progress<'_>) + Send + Sync + 'static) -> Self {
        self.progress = Box::new(sink);
        self
    }

    /// Where the trace goes, by lines of JSON with their newlines: every call of a
    /// plugin, every call that it makes of the host, every process that is
    /// started, every effect that is taken back. By default nowhere, and then
    /// nothing is written down.
    #[must_use]
    pub fn trace(mut self, sink: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.trace = Trace::to(Box::new(sink));
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

    /// Native plugins go before components of the same name.
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
    #[doc(hidden)]
    #[must_use]
    pub fn fault(self, plan: &str) -> Self {
        faults::plan(plan);
        self
    }

    /// Where the standard error of native plugins that succeed goes. By default
    /// nowhere.
    #[must_use]
    pub fn stderr(mut self, sink: impl Fn(&[u8]) + Send + Sync + 'static) -> Self {
        self.stderr = Box::new(sink);
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
            let folders: Vec<&OsStr> = self.plugin_dirs.iter().map(|folder| folder.as_os_str()).collect();
            folders.join(OsStr::new(":"))
        });
        let path = self.policy.unwrap_or_else(|| under(&self.root, Path::new("/etc/wasm-cni/policy.toml")));
        let policy = Policy::read(&path);
        let mut limits = self.limits;
        if let Ok(policy) = &policy {
            limits = policy.limits(limits);
        }
        limits.time = self.timeout.unwrap_or(limits.time);
        let inner = Arc::new(Inner {
            engine,
            limits,
            policy,
            plugin_dirs: self.plugin_dirs,
            root: self.root,
            compiler: self.compiler,
            allow_host: self.allow_host,
            log: self.log,
            progress: self.progress,
            trace: self.trace,
            exec: self.exec,
            env: self.env,
            plugin_path,
            own_process: self.own_process,
            prefer_native: self.prefer_native,
            stderr: self.stderr,
            loaded: Mutex::new(HashMap::new()),
            interface: OnceLock::new(),
            ipam: OnceLock::new(),
        });
        let cache_dir = self.cache_dir.unwrap_or_else(|| inner.under_root("/var/lib/cni"));
        Ok(Runtime { inner, host_netns: self.host_netns, cache_dir })
    }
}
