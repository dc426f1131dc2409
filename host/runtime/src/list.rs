//! ADD, CHECK, DEL, GC and STATUS on a network: a plan of its list of plugins, and the result cache.

use std::{
    collections::HashMap,
    fs::File,
    io,
    path::{Path, PathBuf},
};

use nix::fcntl::{Flock, FlockArg};
use serde_json::Map;
use wasm_cni_capabilities::{
    attempt::{Attempt, Subject},
    bindings::cni::Attachment as Live,
    call::Labelled,
    record::directories::{CachedResult, Directories},
};
use wasm_cni_kernel::Netns;
use wasm_cni_spec::{
    attachment::{Attachment, AttachmentId},
    command::Command,
    error::{CniError, ErrorKind, code},
    gojson,
    names::{check_container_id, check_ifname, check_network_name},
    network::Network,
    result, schema, version,
};
use wasm_cni_state::{cache::Cached, conf_dir::parse, files::reason};

use crate::{
    operation::{Operation, Reach},
    options::CallOptions,
    plan::{Plan, steps, version_number, version_of},
    progress::Progress,
    runtime::{Added, Runtime},
};

impl Runtime {
    /// `deliver` gives the result to whoever asked for it: an attachment is one when its result has been delivered.
    pub(crate) fn attach(
        &self,
        network: &Network,
        at: &Attachment,
        options: &CallOptions,
        deliver: impl FnOnce(&str) -> io::Result<()>,
    ) -> Result<Added, CniError> {
        check_container_id(&at.container_id)?;
        check_network_name(&network.name)?;
        check_ifname(&at.ifname)?;
        let operation = self.begin(Command::Add, network, at, options, Reach::default())?;
        let held = |attempt: &Attempt| self.hold_cache(attempt, FlockArg::LockSharedNonblock);
        let ((result, json), footprint) = operation.add(options.provisional, held, |attempt, last| {
            let result = schema::versioned(&last.success, &last.version)?;
            let json = gojson::pretty(&result);
            let directory = self.cache().directory().to_owned();
            let note = || attempt.note(CachedResult { directory }).map(drop).map_err(|e| unrecorded(&e));
            self.cache().put(&network.name, at, &network.source, result.sorted()?, note)?;
            deliver(&json).map_err(|e| undelivered(&e))?;
            Ok((last.success, json))
        })?;
        Ok(Added { result, json, footprint })
    }

    pub(crate) fn examine(&self, network: &Network, at: &Attachment, options: &CallOptions) -> Result<(), CniError> {
        if version_number(network)? < [0, 4, 0] {
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
        self.begin(Command::Check, network, at, options, Reach::default())?.check(previous)
    }

    pub(crate) fn detach(&self, network: &Network, at: &Attachment, options: &CallOptions) -> Result<(), CniError> {
        let operation = self.begin(Command::Del, network, at, options, Reach::default())?;
        let _held = self.hold_cache(&operation.attempt, FlockArg::LockSharedNonblock);
        self.del_held(&operation, network, at)
    }

    fn del_held(&self, operation: &Operation, network: &Network, at: &Attachment) -> Result<(), CniError> {
        let mut previous = None;
        // A version that cannot be read is that of a configuration that was changed.
        if version_number(network).is_ok_and(|number| number >= [0, 4, 0]) {
            match self.cached_result(network, at) {
                Ok(result) => previous = result,
                Err(text) => {
                    operation.attempt.warn("", &format!("ignoring the corrupt cached result: {text}"));
                    self.cache().set_aside(&network.name, at);
                }
            }
        }
        operation.del(previous, &|kind| self.took_part(network, at, kind))?;
        self.cache().remove(&network.name, at);
        Ok(())
    }

    pub(crate) fn collect(
        &self,
        network: &Network,
        live: Option<&[AttachmentId]>,
        options: &CallOptions,
    ) -> Result<(), CniError> {
        if network.disable_gc {
            return Ok(());
        }
        let own_process = self.host.context.own_process;
        let cached = if own_process { self.cache().of_network(&network.name)? } else { Vec::new() };
        let mut opened = through_processes(&cached);
        let directories = cached.iter().filter_map(|cached| cached.attachment.netns.parent());
        let reach = Reach { namespaces: directories.map(Path::to_owned).collect(), ..Reach::default() };
        let mut plan = self.plan(Command::Gc, network, &Attachment::default(), options)?;
        let attachment = |at: &AttachmentId| Live { container_id: at.container_id.clone(), ifname: at.ifname.clone() };
        plan.live = live.map(|live| live.iter().map(attachment).collect());
        let operation = self.begin_plan(plan, options, reach)?;
        let held = match self.hold_cache(&operation.attempt, FlockArg::LockExclusiveNonblock) {
            // On a read-only disk: nothing is cached.
            Err(_) if matches!(self.cache().directory().try_exists(), Ok(false)) => None,
            held => held?,
        };
        let mut errors = Vec::new();
        let mut stale = self.cache().of_network(&network.name)?;
        stale.retain(|cached| {
            let id = cached.attachment.id();
            !live.is_some_and(|live| live.contains(&id))
        });
        for (number, cached) in stale.iter().enumerate() {
            let at = &cached.attachment;
            if options.cancel.is_cancelled() {
                errors.push(CniError::internal("the GC was cancelled").of_kind(ErrorKind::Cancelled));
                break;
            }
            (self.host.progress)(&Progress::Detaching { attachment: at, number: number + 1, of: stale.len() });
            let deleted = self.begin(Command::Del, network, at, options, Reach::default()).and_then(|operation| {
                if let Some(netns) = opened.remove(&at.netns) {
                    operation.lend(netns)?;
                }
                self.del_held(&operation, network, at)
            });
            if let Err(e) = deleted {
                let text = format!("failed to delete stale attachment {} {}: {e}", at.container_id, at.ifname);
                errors.push(e.told_as(text));
            }
        }
        (self.host.progress)(&Progress::Over);
        drop(held);
        if version_number(network).is_ok_and(|number| number >= [1, 1, 0]) {
            errors.extend(operation.gc());
        } else if live.is_some() {
            let version = version_of(network);
            let text = format!("plugins are asked to collect from CNI 1.1.0 on, and this network is of {version}");
            operation.attempt.warn("", &text);
        }
        CniError::all_of(errors).map_or(Ok(()), Err)
    }

    pub(crate) fn ask(&self, network: &Network, options: &CallOptions) -> Result<(), CniError> {
        if version::parse(version_of(network)).is_ok_and(|number| number < [1, 1, 0]) {
            return Ok(());
        }
        let nothing = Attachment::default();
        self.begin(Command::Status, network, &nothing, options, Reach::default())?.status()
    }

    pub(crate) fn cached_result(&self, network: &Network, at: &Attachment) -> Result<Option<Labelled>, String> {
        let Some(json) = self.cache().result(&network.name, at)? else { return Ok(None) };
        let (success, _) = result::parse(&json, "0.1.0", None)?;
        // Every plugin gets it in the list's version.
        Ok(Some(Labelled { success, version: version_of(network).to_owned() }))
    }

    /// Whether a plugin of this type was among those of ADD. If the cache cannot tell, it was.
    fn took_part(&self, network: &Network, at: &Attachment, kind: &str) -> bool {
        let config = self.cache().config(&network.name, at);
        config.and_then(|text| parse(&text).ok()).is_none_or(|of_add| of_add.plugins.iter().any(|p| p.kind == kind))
    }

    /// The cache's directory, held while something is attached or detached; by
    /// `gc` alone.
    fn hold_cache(&self, attempt: &Attempt, how: FlockArg) -> Result<Option<Flock<File>>, CniError> {
        let (held, created) = self.cache().hold(how, &attempt.deadline)?;
        if !created.is_empty() {
            let _ = attempt.note(Directories { created });
        }
        Ok(held)
    }

    /// What an operation on a network is going to do.
    pub(crate) fn plan(
        &self,
        command: Command,
        network: &Network,
        at: &Attachment,
        options: &CallOptions,
    ) -> Result<Plan, CniError> {
        let netns = at.netns.to_str().ok_or_else(|| {
            CniError::new(code::ENVIRONMENT, format!("the path of the namespace is not UTF-8: {:?}", at.netns))
        })?;
        let netns = netns.to_owned();
        let subject = Subject {
            network: network.name.clone(),
            container_id: at.container_id.clone(),
            ifname: at.ifname.clone(),
            netns,
            args: at.args.clone(),
            allow_host_netns: false,
            plugin: None,
            host: self.host_space()?,
            rehearsal: None,
        };
        let nothing = Map::new();
        // For GC and STATUS name and version are all that is added.
        let capabilities = match command {
            Command::Add | Command::Check | Command::Del => &at.capability_args,
            _ => &nothing,
        };
        Ok(Plan { command, subject, steps: steps(&self.host, network, capabilities, options), live: None })
    }

    fn begin(
        &self,
        command: Command,
        network: &Network,
        at: &Attachment,
        options: &CallOptions,
        reach: Reach,
    ) -> Result<Operation, CniError> {
        self.begin_plan(self.plan(command, network, at, options)?, options, reach)
    }

    fn begin_plan(&self, plan: Plan, options: &CallOptions, reach: Reach) -> Result<Operation, CniError> {
        let reach = Reach { directory: Some(self.cache().directory().to_owned()), ..reach };
        Operation::begin(&self.host, plan, options.deadline(self.host.context.limits.time), reach)
    }
}

/// The ADD is undone then.
pub(crate) fn undelivered(e: &io::Error) -> CniError {
    CniError::new(code::IO, format!("cannot write the result to standard output: {}", reason(e)))
}

fn unrecorded(e: &io::Error) -> CniError {
    CniError::new(code::IO, format!("cannot write the undo record: {}", reason(e)))
}

/// The namespaces of attachments whose paths lead through other processes: who has
/// confined itself cannot follow them.
fn through_processes(cached: &[Cached]) -> HashMap<PathBuf, Netns> {
    let paths = cached.iter().map(|cached| &cached.attachment.netns).filter(|path| path.starts_with("/proc"));
    paths.filter_map(|path| Some((path.clone(), Netns::open(path).ok()?))).collect()
}
