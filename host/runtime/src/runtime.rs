//! The operations on a network: its plugins in order, one attempt for all of
//! them, the result cache.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock},
};

use serde_json::{Map, Value};
use wasm_cni_kernel::{Netns, OpenError};
use wasmtime::Engine;

use crate::{
    attempt::{Attempt, Footprint, Subject},
    cache::Cache,
    code_memory,
    config::{Network, PluginConfig},
    error::{CniError, code},
    instance::{self, Verb},
    limits::Limits,
    plugin::{Command, Inner, LogLine, LogSink},
    protocol, render, result,
    result::Success,
    schema, undo, version,
    watchdog::Watchdog,
};

/// Runs plugins. One serves many calls, also at the same time.
pub struct Runtime {
    pub(crate) inner: Arc<Inner>,
    pub(crate) host_netns: Option<PathBuf>,
}

/// Settings of a [`Runtime`].
pub struct Builder {
    plugin_dirs: Vec<PathBuf>,
    root: PathBuf,
    compiler: Option<PathBuf>,
    allow_host: Vec<String>,
    host_netns: Option<PathBuf>,
    limits: Limits,
    log: LogSink,
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
            host_netns: None,
            limits: Limits::default(),
            log: Box::new(|_| {}),
        }
    }

    /// Attaches a container: the plugins of the network in order, each given
    /// the result of the one before.
    ///
    /// # Errors
    ///
    /// The plugin that failed and why. What the attempt did has been taken back
    /// then; what could not be is named in the details.
    pub fn add(&self, network: &Network, at: &Attachment) -> Result<Added, CniError> {
        protocol::check_container_id(&at.container_id)?;
        protocol::check_name(&network.name)?;
        protocol::check_ifname(&at.ifname)?;
        let attempt = self.attempt(Command::Add, network, at)?;
        let _watchdog = Watchdog::start(&self.inner.engine, attempt.deadline);
        let done = self.chain(&attempt, network, at).and_then(|result| {
            let json = schema::versioned(&result, &network.cni_version)?;
            let value = serde_json::to_value(&json).map_err(|e| CniError::internal(e.to_string()))?;
            let created = self.cache().put(&network.name, at, &network.source, value)?;
            if !created.is_empty() {
                attempt.record(undo::Undo::folders(created));
            }
            Ok((result, render::pretty(&json)))
        });
        match done {
            Ok((result, json)) => Ok(Added { result, json, footprint: attempt.keep() }),
            Err(error) => Err(roll_back(attempt, error)),
        }
    }

    fn chain(&self, attempt: &Arc<Attempt>, network: &Network, at: &Attachment) -> Result<Success, CniError> {
        let mut previous: Option<Success> = None;
        for plugin in &network.plugins {
            let wrap = |error| failed(plugin, "add", error);
            version::reconcile(supported(network)).map_err(wrap)?;
            let config = plugin.derive(network, &at.capability_args, None);
            let request = instance::Request {
                kind: &plugin.kind,
                config: config.to_string().into(),
                previous: Ok(previous.take()),
                verb: Verb::Call(Command::Add),
                depth: 0,
            };
            previous = instance::run(attempt, request).map_err(wrap)?;
        }
        Ok(previous.unwrap_or_default())
    }

    /// Asks every plugin whether the attachment is as ADD left it.
    ///
    /// # Errors
    ///
    /// What is not.
    pub fn check(&self, network: &Network, at: &Attachment) -> Result<(), CniError> {
        let too_old = || {
            let text = format!("configuration version {:?} does not support the CHECK command", network.cni_version);
            CniError::new(code::VERSION, text)
        };
        let number = version::parse(supported(network)).map_err(|e| CniError::new(code::DECODE, e))?;
        if number < [0, 4, 0] {
            return Err(too_old());
        }
        if network.disable_check {
            return Ok(());
        }
        let cached = self.cache().result(&network.name, at).and_then(|json| self.previous(network, json.as_ref()));
        let previous = cached
            .map_err(|e| CniError::internal(format!("failed to get network {:?} cached result: {e}", network.name)))?;
        let attempt = self.attempt(Command::Check, network, at)?;
        let _watchdog = Watchdog::start(&self.inner.engine, attempt.deadline);
        for plugin in &network.plugins {
            version::reconcile(supported(network))?;
            self.one(&attempt, network, at, plugin, previous.clone())?;
        }
        Ok(())
    }

    /// Detaches a container: the plugins in reverse. A plugin that fails does
    /// not keep the others from cleaning up.
    ///
    /// # Errors
    ///
    /// The first failure, with the others in its details. The cached result
    /// stays then.
    pub fn del(&self, network: &Network, at: &Attachment) -> Result<(), CniError> {
        protocol::check_name(&network.name)?;
        let number = version::parse(supported(network)).map_err(|e| CniError::new(code::DECODE, e))?;
        let mut previous = None;
        if number >= [0, 4, 0] {
            let cached = self.cache().result(&network.name, at).and_then(|json| self.previous(network, json.as_ref()));
            match cached {
                Ok(result) => previous = result,
                Err(text) => {
                    (self.inner.log)(&LogLine {
                        level: "warn",
                        plugin: "",
                        network: &network.name,
                        container_id: &at.container_id,
                        message: &format!("the cached result is set aside: {text}"),
                    });
                    self.cache().set_aside(&network.name, at);
                }
            }
        }
        let attempt = self.attempt(Command::Del, network, at)?;
        let _watchdog = Watchdog::start(&self.inner.engine, attempt.deadline);
        let mut error: Option<CniError> = None;
        for plugin in network.plugins.iter().rev() {
            let deleted = version::reconcile(supported(network))
                .and_then(|()| self.one(&attempt, network, at, plugin, previous.clone()));
            if let Err(e) = deleted {
                let e = failed(plugin, "delete", e);
                error = Some(match error {
                    None => e,
                    Some(first) => first.note(&e.to_string()),
                });
            }
        }
        if let Some(error) = error {
            return Err(error);
        }
        self.cache().remove(&network.name, at);
        Ok(())
    }

    /// Removes what an ADD made that outlives its attachment, a bridge or the
    /// folder of a network's leases, where nobody uses it any more: for who
    /// attached a container for once only.
    pub fn tidy(&self, footprint: &Footprint) -> Vec<String> {
        undo::tidy(&footprint.journal, &footprint.host)
    }

    /// One plugin's CHECK or DEL.
    fn one(
        &self,
        attempt: &Arc<Attempt>,
        network: &Network,
        at: &Attachment,
        plugin: &PluginConfig,
        previous: Option<Success>,
    ) -> Result<(), CniError> {
        let config = plugin.derive(network, &at.capability_args, None);
        let request = instance::Request {
            kind: &plugin.kind,
            config: config.to_string().into(),
            previous: Ok(previous),
            verb: Verb::Call(attempt.command),
            depth: 0,
        };
        instance::run(attempt, request).map(drop)
    }

    fn previous(&self, network: &Network, json: Option<&Value>) -> Result<Option<Success>, String> {
        json.map(|json| result::parse(json, supported(network), None).map(|(success, _)| success)).transpose()
    }

    fn attempt(&self, command: Command, network: &Network, at: &Attachment) -> Result<Arc<Attempt>, CniError> {
        let host = self.host()?;
        let sandbox = open_sandbox(command, &at.netns, &host, false)?;
        let subject = Subject {
            network: network.name.clone(),
            container_id: at.container_id.clone(),
            ifname: at.ifname.clone(),
            netns: at.netns.clone(),
            args: at.args.clone(),
            sandbox,
            host,
        };
        Ok(Attempt::new(Arc::clone(&self.inner), command, subject))
    }

    /// The namespace that plugins are handed as the host's.
    pub(crate) fn host(&self) -> Result<Netns, CniError> {
        match &self.host_netns {
            Some(path) => Netns::open(path)
                .map_err(|e| CniError::new(code::NETNS, format!("cannot open the host's namespace: {e}"))),
            None => Netns::current()
                .map_err(|e| CniError::new(code::NETNS, format!("cannot open this process's namespace: {e}"))),
        }
    }

    fn cache(&self) -> Cache {
        Cache::new(self.inner.under_root("/var/lib/cni/results"))
    }
}

/// Opens the container's namespace; none for a DEL whose namespace is gone.
///
/// # Errors
///
/// The reference's texts. A container may not be in the host's namespace,
/// unless `own` allows it.
pub(crate) fn open_sandbox(command: Command, path: &str, host: &Netns, own: bool) -> Result<Option<Netns>, CniError> {
    if path.is_empty() && command == Command::Del {
        return Ok(None);
    }
    match Netns::open(Path::new(path)) {
        Ok(netns) if !own && netns.is_same(host) => {
            Err(CniError::new(code::NETNS, "plugin's netns and netns from CNI_NETNS should not be the same"))
        }
        Ok(netns) => Ok(Some(netns)),
        Err(OpenError::Missing { .. }) if command == Command::Del => Ok(None),
        Err(e) => Err(CniError::internal(format!("failed to open netns {path:?}: {e}"))),
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

fn supported(network: &Network) -> &str {
    if network.cni_version.is_empty() { "0.1.0" } else { &network.cni_version }
}

fn failed(plugin: &PluginConfig, action: &str, error: CniError) -> CniError {
    let name = plugin.object.get("name").and_then(Value::as_str);
    let name = name.map(|name| format!(" name={name:?}")).unwrap_or_default();
    CniError { msg: format!("plugin type={:?}{name} failed ({action}): {}", plugin.kind, error.msg), ..error }
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

    /// Gives a plugin from outside the host's namespace. Bundled ones have it
    /// if their work needs it.
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

    /// Limits for each operation.
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

    /// Makes the runtime.
    ///
    /// # Errors
    ///
    /// If the engine does not run on this machine.
    pub fn build(self) -> Result<Runtime, CniError> {
        let engine = wasm_cni_engine::config()
            .and_then(|mut config| {
                code_memory::load_in_place(&mut config);
                Engine::new(&config)
            })
            .map_err(|e| CniError::internal(format!("cannot start the WebAssembly engine: {e:#}")))?;
        let inner = Arc::new(Inner {
            engine,
            limits: self.limits,
            plugin_dirs: self.plugin_dirs,
            root: self.root,
            compiler: self.compiler,
            allow_host: self.allow_host,
            log: self.log,
            loaded: Mutex::new(HashMap::new()),
            interface: OnceLock::new(),
            ipam: OnceLock::new(),
        });
        Ok(Runtime { inner, host_netns: self.host_netns })
    }
}
