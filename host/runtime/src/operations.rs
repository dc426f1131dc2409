//! ADD, CHECK, DEL, GC and STATUS on a network: its plugins in order, one
//! attempt for all of them, the result cache.

use std::{collections::HashMap, fs::File, path::Path, sync::Arc};

use nix::fcntl::{Flock, FlockArg};
use serde_json::{Map, Value};
use wasm_cni_kernel::Netns;

use crate::{
    attempt::{Attempt, Subject},
    cache::Cached,
    config::{Network, PluginConfig},
    confine,
    dispatch::{self, CallConfig, Labelled, Level, Verb},
    error::{CniError, code},
    grants::Asked,
    limits::{CallOptions, Deadline},
    plugin::Command,
    progress::Progress,
    protocol, records, render, result,
    runtime::{Added, Attachment, Runtime, roll_back},
    schema,
    undo::Undo,
    version,
    watchdog::Watchdog,
    wire,
};

impl Runtime {
    /// Attaches a container: the plugins of the network in order, each given
    /// the result of the one before.
    ///
    /// # Errors
    ///
    /// The plugin that failed and why. What components did has been taken back
    /// then, and what could not be is named in the details; native plugins of
    /// the list that had succeeded are left for [`Runtime::del`], as by libcni.
    pub fn add(&self, network: &Network, at: &Attachment) -> Result<Added, CniError> {
        self.add_with(network, at, &CallOptions::default())
    }

    /// [`Runtime::add`] with a time of its own, and that can be cancelled.
    ///
    /// # Errors
    ///
    /// The same.
    pub fn add_with(&self, network: &Network, at: &Attachment, options: &CallOptions) -> Result<Added, CniError> {
        protocol::check_container_id(&at.container_id)?;
        protocol::check_name(&network.name)?;
        protocol::check_ifname(&at.ifname)?;
        let attempt = self.confined(Command::Add, network, at, options, &[])?;
        let _watchdog = Watchdog::start(&self.inner, &attempt.deadline);
        let done = self.hold_cache(&attempt, FlockArg::LockSharedNonblock).and_then(|_held| {
            let last = chain(&attempt, network, at)?;
            let result = schema::versioned(&last.success, &last.version)?;
            let json = render::pretty(&result);
            let _ = attempt.note(Undo::File { path: self.cache().path(&network.name, at) });
            self.cache().put(&network.name, at, &network.source, result.sorted()?)?;
            Ok((last.success, json))
        });
        match done {
            Ok((result, json)) => Ok(Added { result, json, footprint: attempt.keep(options.provisional) }),
            Err(error) => Err(roll_back(attempt, error)),
        }
    }

    /// Asks every plugin whether the attachment is as ADD left it.
    ///
    /// # Errors
    ///
    /// What is not.
    pub fn check(&self, network: &Network, at: &Attachment) -> Result<(), CniError> {
        self.check_with(network, at, &CallOptions::default())
    }

    /// [`Runtime::check`] with a time of its own, and that can be cancelled.
    ///
    /// # Errors
    ///
    /// The same.
    pub fn check_with(&self, network: &Network, at: &Attachment, options: &CallOptions) -> Result<(), CniError> {
        if number(network)? < [0, 4, 0] {
            let text = format!("configuration version {:?} does not support the CHECK command", network.cni_version);
            return Err(CniError::new(code::VERSION, text));
        }
        if network.disable_check {
            return Ok(());
        }
        let previous = self.cached_result(network, at).map_err(|e| {
            let text = format!("failed to get network {:?} cached result: {e}", network.name);
            CniError::new(code::DECODE, text)
        })?;
        let attempt = self.confined(Command::Check, network, at, options, &[])?;
        let _watchdog = Watchdog::start(&self.inner, &attempt.deadline);
        for plugin in &network.plugins {
            one(&attempt, network, &at.capability_args, plugin, previous.clone())?;
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
        self.del_with(network, at, &CallOptions::default())
    }

    /// [`Runtime::del`] with a time of its own, and that can be cancelled.
    ///
    /// # Errors
    ///
    /// The same.
    pub fn del_with(&self, network: &Network, at: &Attachment, options: &CallOptions) -> Result<(), CniError> {
        let attempt = self.confined(Command::Del, network, at, options, &[])?;
        let _held = self.hold_cache(&attempt, FlockArg::LockSharedNonblock);
        self.del_held(&attempt, network, at)
    }

    fn del_held(&self, attempt: &Arc<Attempt>, network: &Network, at: &Attachment) -> Result<(), CniError> {
        let mut previous = None;
        if number(network)? >= [0, 4, 0] {
            match self.cached_result(network, at) {
                Ok(result) => previous = result,
                Err(text) => {
                    attempt.warn("", &format!("the cached result is set aside: {text}"));
                    self.cache().set_aside(&network.name, at);
                }
            }
        }
        let mut attempt = Arc::clone(attempt);
        let mut watchdog = Watchdog::start(&self.inner, &attempt.deadline);
        let mut error: Option<CniError> = None;
        for plugin in network.plugins.iter().rev() {
            let Deadline { time, cancel, .. } = &attempt.deadline;
            if attempt.deadline.passed() && !cancel.is_cancelled() {
                // One that used up its time has not used up the others'.
                let options = CallOptions { timeout: Some(*time), cancel: cancel.clone(), ..CallOptions::default() };
                attempt = self.attempt(Command::Del, network, at, &options)?;
                watchdog = Watchdog::start(&self.inner, &attempt.deadline);
            }
            if let Err(e) = one(&attempt, network, &at.capability_args, plugin, previous.clone()) {
                let e = failed(plugin, "delete", e);
                error = Some(match error {
                    None => e,
                    Some(first) => first.note(&e.to_string()),
                });
            }
        }
        drop(watchdog);
        let left = records::finish(&attempt, error.is_some());
        match error {
            Some(error) => Err(error),
            None if left.is_empty() => {
                self.cache().remove(&network.name, at);
                Ok(())
            }
            None => Err(CniError::internal(format!("could not be removed: {}", left.join(", ")))),
        }
    }

    /// Detaches every cached attachment of the network that is not in `live`
    /// and, from CNI 1.1.0 on, tells the plugins which are. `None` says that
    /// none is; plugins are not told that.
    ///
    /// # Errors
    ///
    /// All failures, a line each: one does not keep the rest from being done.
    pub fn gc(&self, network: &Network, live: Option<&[(String, String)]>) -> Result<(), CniError> {
        if network.disable_gc {
            return Ok(());
        }
        let nothing = Attachment::default();
        let cached = if self.inner.own_process { self.cache().of_network(&network.name)? } else { Vec::new() };
        let mut opened = through_processes(&cached);
        let attempt = self.confined(Command::Gc, network, &nothing, &CallOptions::default(), &cached)?;
        let held = self.hold_cache(&attempt, FlockArg::LockExclusiveNonblock)?;
        let mut errors = Vec::new();
        let mut stale = self.cache().of_network(&network.name)?;
        stale.retain(|cached| {
            let at = &cached.attachment;
            let is_live = |(id, ifname): &(String, String)| *id == at.container_id && *ifname == at.ifname;
            !live.is_some_and(|live| live.iter().any(is_live))
        });
        for (number, cached) in stale.iter().enumerate() {
            let at = &cached.attachment;
            (self.inner.progress)(&Progress::Detaching { attachment: at, number: number + 1, of: stale.len() });
            let deleted = self.attempt(Command::Del, network, at, &CallOptions::default()).and_then(|attempt| {
                if let Some(netns) = opened.remove(&at.netns) {
                    attempt.lend(netns)?;
                }
                self.del_held(&attempt, network, at)
            });
            if let Err(e) = deleted {
                errors.push(format!("failed to delete stale attachment {} {}: {e}", at.container_id, at.ifname));
            }
        }
        (self.inner.progress)(&Progress::Over);
        drop(held);
        if number(network)? >= [1, 1, 0] {
            let attachment =
                |(id, ifname): &(String, String)| wire::Attachment { container_id: id.clone(), ifname: ifname.clone() };
            let live = live.map(|live| live.iter().map(attachment).collect::<Vec<_>>());
            if let Some(live) = &live {
                attempt.known().lives(live);
                errors.extend(records::collect(&attempt, live));
            }
            let _watchdog = Watchdog::start(&self.inner, &attempt.deadline);
            for plugin in &network.plugins {
                let config = bare(network, plugin);
                if let Err(e) =
                    dispatch::run(&attempt, &plugin.kind, &config, Verb::Gc(live.clone()), Level::top(&attempt))
                {
                    errors.push(format!("failed to GC plugin {}: {e}", plugin.kind));
                }
            }
        } else if live.is_some() {
            let version = supported(network);
            attempt
                .warn("", &format!("plugins are asked to collect from CNI 1.1.0 on, and this network is of {version}"));
        }
        if errors.is_empty() { Ok(()) } else { Err(CniError::internal(errors.join("\n"))) }
    }

    /// Asks the plugins, in order, whether they are ready for ADD. Before CNI
    /// 1.1.0 there is nothing to ask.
    ///
    /// # Errors
    ///
    /// What the first that is not ready says.
    pub fn status(&self, network: &Network) -> Result<(), CniError> {
        if version::parse(supported(network)).is_ok_and(|number| number < [1, 1, 0]) {
            return Ok(());
        }
        let attempt = self.confined(Command::Status, network, &Attachment::default(), &CallOptions::default(), &[])?;
        let _watchdog = Watchdog::start(&self.inner, &attempt.deadline);
        for plugin in &network.plugins {
            dispatch::run(&attempt, &plugin.kind, &bare(network, plugin), Verb::Status, Level::top(&attempt))?;
        }
        Ok(())
    }

    fn cached_result(&self, network: &Network, at: &Attachment) -> Result<Option<Labelled>, String> {
        let Some(json) = self.cache().result(&network.name, at)? else { return Ok(None) };
        let (success, _) = result::parse(&json, "0.1.0", None)?;
        // Every plugin gets it in the list's version.
        Ok(Some(Labelled { success, version: supported(network).to_owned() }))
    }

    /// The cache's folder, held while something is attached or detached; by
    /// `gc` alone.
    fn hold_cache(&self, attempt: &Attempt, how: FlockArg) -> Result<Option<Flock<File>>, CniError> {
        let (held, created) = self.cache().hold(how, &attempt.deadline)?;
        if !created.is_empty() {
            let _ = attempt.note(Undo::Folders { created });
        }
        Ok(held)
    }

    /// An attempt, the first of its operation, which is about `others` too.
    fn confined(
        &self,
        command: Command,
        network: &Network,
        at: &Attachment,
        options: &CallOptions,
        others: &[Cached],
    ) -> Result<Arc<Attempt>, CniError> {
        let attempt = self.attempt(command, network, at, options)?;
        if self.inner.own_process {
            let asked: Vec<_> = network.plugins.iter().map(|plugin| Asked::of(&plugin.object)).collect();
            let found = network.plugins.iter().map(|plugin| self.inner.find(&plugin.kind)).zip(&asked);
            // A DEL goes on without what cannot be found.
            let found = found.filter_map(|(found, asked)| Some((found.ok()?, asked)));
            let folders = others.iter().filter_map(|cached| Path::new(&cached.attachment.netns).parent());
            let namespaces = folders.map(Path::to_owned).collect();
            confine::before_plugins(&attempt, found, Some(self.cache().folder().to_owned()), namespaces)?;
        }
        Ok(attempt)
    }

    fn attempt(
        &self,
        command: Command,
        network: &Network,
        at: &Attachment,
        options: &CallOptions,
    ) -> Result<Arc<Attempt>, CniError> {
        let subject = Subject {
            network: network.name.clone(),
            container_id: at.container_id.clone(),
            ifname: at.ifname.clone(),
            netns: at.netns.clone(),
            args: at.args.clone(),
            own_netns: false,
            plugin: None,
            host: self.host()?,
        };
        let deadline = options.deadline(self.inner.limits.time);
        Ok(Attempt::new(Arc::clone(&self.inner), command, subject, deadline))
    }
}

/// The namespaces of attachments whose paths lead through other processes: who has
/// confined itself cannot follow them.
fn through_processes(cached: &[Cached]) -> HashMap<String, Netns> {
    let paths = cached.iter().map(|cached| &cached.attachment.netns).filter(|path| path.starts_with("/proc/"));
    paths.filter_map(|path| Some((path.clone(), Netns::open(Path::new(path)).ok()?))).collect()
}

/// The plugins of an ADD, in order.
fn chain(attempt: &Arc<Attempt>, network: &Network, at: &Attachment) -> Result<Labelled, CniError> {
    let mut last = None;
    for plugin in &network.plugins {
        let config = call_config(network, &at.capability_args, plugin, last.take());
        let result = dispatch::run(attempt, &plugin.kind, &config, Verb::Call(Command::Add), Level::top(attempt));
        last = result.map_err(|e| failed(plugin, "add", e))?;
    }
    last.ok_or_else(|| CniError::new(code::CONFIG, format!("network {:?} has no plugins", network.name)))
}

/// One plugin's CHECK or DEL.
fn one(
    attempt: &Arc<Attempt>,
    network: &Network,
    capabilities: &Map<String, Value>,
    plugin: &PluginConfig,
    previous: Option<Labelled>,
) -> Result<(), CniError> {
    let config = call_config(network, capabilities, plugin, previous);
    dispatch::run(attempt, &plugin.kind, &config, Verb::Call(attempt.command), Level::top(attempt)).map(drop)
}

fn call_config(
    network: &Network,
    capabilities: &Map<String, Value>,
    plugin: &PluginConfig,
    previous: Option<Labelled>,
) -> Arc<CallConfig> {
    Arc::new(CallConfig {
        asked: Asked::of(&plugin.object),
        text: plugin.text(network, capabilities).into(),
        version: supported(network).to_owned(),
        previous: Ok(previous),
        whole: false,
    })
}

/// For GC and STATUS: name and version are all that is added.
fn bare(network: &Network, plugin: &PluginConfig) -> Arc<CallConfig> {
    call_config(network, &Map::new(), plugin, None)
}

fn number(network: &Network) -> Result<[u32; 3], CniError> {
    version::parse(supported(network)).map_err(|e| CniError::new(code::DECODE, e))
}

fn supported(network: &Network) -> &str {
    if network.cni_version.is_empty() { "0.1.0" } else { &network.cni_version }
}

fn failed(plugin: &PluginConfig, action: &str, error: CniError) -> CniError {
    let name = plugin.object.get("name").and_then(Value::as_str);
    let name = name.map(|name| format!(" name={name:?}")).unwrap_or_default();
    CniError { msg: format!("plugin type={:?}{name} failed ({action}): {}", plugin.kind, error.msg), ..error }
}
