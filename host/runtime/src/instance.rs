//! One call of one plugin: an instance of its own, its grants, its limits, and
//! what becomes of a trap.

use std::sync::{Arc, Mutex};

use serde_json::{Map, Value};
use wasmtime::{
    Store, Trap, UpdateDeadline,
    component::{Resource, ResourceTable},
};

use crate::{
    attempt::Attempt,
    bindings::{InterfacePlugin, IpamPlugin},
    config::field,
    error::CniError,
    grants::Grants,
    host::{State, net::Namespace, space::Space},
    limits::{Meter, Stop},
    plugin::{Command, Plugin, World},
    result::Success,
    wire,
};

/// What to ask of a plugin.
pub(crate) enum Verb {
    /// ADD, DEL or CHECK of the attempt's attachment.
    Call(Command),
    Status,
    /// With the attachments that are to stay.
    Gc(Vec<wire::Attachment>),
}

/// One call of one plugin.
pub(crate) struct Request<'a> {
    /// The plugin's type.
    pub(crate) kind: &'a str,
    /// Its configuration, JSON.
    pub(crate) config: Arc<str>,
    /// `prevResult`, or why it cannot be read.
    pub(crate) previous: Result<Option<Success>, String>,
    pub(crate) verb: Verb,
    /// Delegations above it.
    pub(crate) depth: u32,
}

/// Runs a plugin. ADD gives a result, the others give none.
///
/// # Errors
///
/// What the plugin refused, or how it ended.
pub(crate) fn run(attempt: &Arc<Attempt>, request: Request<'_>) -> Result<Option<Success>, CniError> {
    let plugin = attempt.runtime.resolve(request.kind)?;
    let last_failure = Arc::default();
    let last_words = Arc::default();
    let state = State {
        plugin: request.kind.to_owned(),
        grants: grants(attempt, &plugin, &request.config),
        config: Arc::clone(&request.config),
        attempt: Arc::clone(attempt),
        table: table(),
        meter: Meter::new(&attempt.runtime.limits),
        depth: request.depth,
        calls_left: attempt.runtime.limits.host_calls,
        log_left: attempt.runtime.limits.log_octets,
        last_failure: Arc::clone(&last_failure),
        last_words: Arc::clone(&last_words),
    };
    let kind = request.kind.to_owned();
    call(&plugin, state, request).map_err(|ended| match ended {
        Ended::Refused(failure) => wire::error(failure),
        Ended::Nonsense(text) => {
            let text = format!("plugin {kind:?} returned an invalid result of {}: {text}", attempt.command);
            CniError::internal(text)
        }
        Ended::Crashed(error) => crashed(&kind, attempt.command, &error, &last_failure, &last_words),
    })
}

/// Why there is no result.
enum Ended {
    Refused(wire::Failure),
    Nonsense(String),
    Crashed(wasmtime::Error),
}

impl From<wasmtime::Error> for Ended {
    fn from(error: wasmtime::Error) -> Self {
        Self::Crashed(error)
    }
}

impl From<wasmtime::component::ResourceTableError> for Ended {
    fn from(error: wasmtime::component::ResourceTableError) -> Self {
        Self::Crashed(error.into())
    }
}

fn call(plugin: &Plugin, state: State, request: Request<'_>) -> Result<Option<Success>, Ended> {
    let attempt = Arc::clone(&state.attempt);
    let runtime = &attempt.runtime;
    let grants = state.grants.clone();
    let mut store = Store::new(&runtime.engine, state);
    store.limiter(|state| &mut state.meter);
    store.set_hostcall_fuel(runtime.limits.argument_octets);
    store.set_epoch_deadline(1);
    let deadline = attempt.deadline;
    // A tick says that somebody's time is up, not whose.
    store.epoch_deadline_callback(move |_| {
        if deadline.passed() {
            return Err(wasmtime::Error::new(Stop::Deadline(deadline.time)));
        }
        Ok(UpdateDeadline::Continue(1))
    });
    let output = match plugin.world {
        World::Interface => {
            let linker = runtime.interface_linker()?;
            let guest = InterfacePlugin::instantiate(&mut store, &plugin.component, linker)?;
            let guest = guest.wasm_cni_plugin_plugin();
            let mut lend = |granted: bool, space: Option<&Arc<Space>>| {
                let space = space.filter(|_| granted).cloned();
                space.map(|space| store.data_mut().table.push(Namespace { space })).transpose()
            };
            let sandbox = lend(grants.sandbox, attempt.sandbox.as_ref())?;
            let host = lend(grants.host, Some(&attempt.host))?;
            let borrow = |lent: &Option<Resource<Namespace>>| lent.as_ref().map(|r| Resource::new_borrow(r.rep()));
            let need = || {
                sandbox.as_ref().map(|r| Resource::new_borrow(r.rep())).ok_or_else(|| {
                    Ended::Crashed(wasmtime::Error::msg("it needs the container's namespace and has no grant for it"))
                })
            };
            match request.verb {
                Verb::Call(Command::Add) => {
                    let call = cni_call(&attempt, &request.config, request.previous);
                    let output = guest.call_add(&mut store, &call, need()?, borrow(&host))?;
                    Some(output.map_err(Ended::Refused)?)
                }
                Verb::Call(Command::Check) => {
                    let call = cni_call(&attempt, &request.config, request.previous);
                    none(guest.call_check(&mut store, &call, need()?, borrow(&host))?)?
                }
                Verb::Call(_) => {
                    let call = cni_call(&attempt, &request.config, request.previous);
                    none(guest.call_del(&mut store, &call, borrow(&sandbox), borrow(&host))?)?
                }
                Verb::Status => none(guest.call_status(&mut store, &request.config, borrow(&host))?)?,
                Verb::Gc(live) => none(guest.call_gc(&mut store, &request.config, &live, borrow(&host))?)?,
            }
        }
        World::Ipam => {
            let linker = runtime.ipam_linker()?;
            let guest = IpamPlugin::instantiate(&mut store, &plugin.component, linker)?;
            let guest = guest.wasm_cni_plugin_ipam();
            let call = || cni_call(&attempt, &request.config, request.previous.clone());
            match request.verb {
                Verb::Call(Command::Add) => Some(guest.call_add(&mut store, &call())?.map_err(Ended::Refused)?),
                Verb::Call(Command::Check) => none(guest.call_check(&mut store, &call())?)?,
                Verb::Call(_) => none(guest.call_del(&mut store, &call())?)?,
                Verb::Status => none(guest.call_status(&mut store, &request.config)?)?,
                Verb::Gc(live) => none(guest.call_gc(&mut store, &request.config, &live)?)?,
            }
        }
    };
    output.map(|output| wire::success(output, &runtime.limits).map_err(Ended::Nonsense)).transpose()
}

fn none(result: Result<(), wire::Failure>) -> Result<Option<wire::Output>, Ended> {
    result.map(|()| None).map_err(Ended::Refused)
}

fn table() -> ResourceTable {
    let mut table = ResourceTable::new();
    table.set_max_capacity(1024);
    table
}

fn cni_call(attempt: &Attempt, config: &str, previous: Result<Option<Success>, String>) -> wire::Call {
    wire::Call {
        at: wire::Attachment { container_id: attempt.container_id.clone(), ifname: attempt.ifname.clone() },
        netns: attempt.netns.clone(),
        args: attempt.args.clone(),
        network: attempt.network.clone(),
        config: config.to_owned(),
        prev: previous.map(|success| success.as_ref().map(wire::output)),
    }
}

/// What this plugin gets: bundled ones what their work needs, others the
/// container's side, and the host's if they were given it by name.
fn grants(attempt: &Attempt, plugin: &Plugin, config: &str) -> Grants {
    let config: Map<String, Value> = serde_json::from_str(config).unwrap_or_default();
    let ipam = field(&config, "ipam").and_then(Value::as_object);
    let text = |key: &str| ipam.and_then(|ipam| field(ipam, key)).and_then(Value::as_str).filter(|t| !t.is_empty());
    match plugin.world {
        World::Interface => {
            let grants = if plugin.bundled || attempt.runtime.allow_host.contains(&plugin.name) {
                Grants::both_sides()
            } else {
                Grants::sandbox_only()
            };
            Grants { delegates: text("type").map(str::to_owned).into_iter().collect(), ..grants }
        }
        World::Ipam => {
            let data = attempt.runtime.under_root(text("dataDir").unwrap_or("/var/lib/cni/networks"));
            // The name has been checked for a slash, but not by every caller.
            let store = crate::protocol::is_name(&attempt.network).then(|| data.join(&attempt.network));
            Grants { store, resolver: text("resolvConf").map(Into::into), ..Grants::default() }
        }
    }
}

/// A trap as an error: plugin, operation, cause, and the last operation of the
/// host that failed.
fn crashed(
    kind: &str,
    command: Command,
    error: &wasmtime::Error,
    last_failure: &Mutex<Option<String>>,
    last_words: &Mutex<Option<String>>,
) -> CniError {
    let words = last_words.lock().expect("no panic with the lock held").clone();
    let cause = if let Some(stop) = error.downcast_ref::<Stop>() {
        stop.to_string()
    } else {
        match error.downcast_ref::<Trap>() {
            Some(Trap::UnreachableCodeReached) if words.is_some() => "it panicked".to_owned(),
            Some(Trap::StackOverflow) => "it used up its stack".to_owned(),
            // A guest's own stack lies at the start of its memory, so that one
            // that is too deep ends like this too.
            Some(Trap::MemoryOutOfBounds) => "it used memory that it does not have".to_owned(),
            Some(trap) => trap.to_string(),
            None => format!("{error:#}"),
        }
    };
    let verb = if error.is::<Stop>() { "was stopped" } else { "crashed" };
    let mut failure = CniError::internal(format!("plugin {kind:?} {verb} during {command}: {cause}"));
    if let Some(words) = words {
        failure = failure.note(&format!("its last words: {words}"));
    }
    if let Some(operation) = last_failure.lock().expect("no panic with the lock held").as_deref() {
        failure = failure.note(&format!("the last operation that failed: {operation}"));
    }
    failure
}
