//! One call of one plugin: an instance of its own, its grants, its limits, and
//! what becomes of a trap.

use std::{
    mem,
    sync::{Arc, Mutex},
};

use wasmtime::{
    Store, Trap, UpdateDeadline,
    component::{ComponentExportIndex, ComponentNamedList, Instance, Lift, Lower, Resource, ResourceTable},
};

use wasm_cni_capabilities::{
    attempt::Attempt,
    bindings::{InterfacePlugin, IpamPlugin, cni},
    call::{CallConfig, Level, Plugins, Verb},
    cause::LastFailure,
    handles::Namespace,
    limits::{Meter, Stop},
    space::Space,
    state::State,
    wire,
    world::World,
};
use wasm_cni_spec::{
    command::Command,
    error::{CniError, ErrorKind, code},
    result::Success,
};

use crate::{grants, host::Host, plugins::Plugin};

/// One call of one plugin.
pub(crate) struct Request {
    pub(crate) plugin: Arc<Plugin>,
    pub(crate) config: Arc<CallConfig>,
    pub(crate) verb: Verb,
    pub(crate) level: Level,
}

/// Runs a plugin. ADD gives a result, the others give none.
///
/// # Errors
///
/// What the plugin refused, or how it ended.
pub(crate) fn run(
    host: &Host,
    delegates: Arc<dyn Plugins>,
    attempt: &Arc<Attempt>,
    request: Request,
) -> Result<Option<Success>, CniError> {
    let (plugin, command) = (Arc::clone(&request.plugin), request.verb.command());
    let who = attempt.who(&plugin.name, request.level.depth);
    attempt.context.trace.plugin(who, command, || in_instance(host, delegates, attempt, request))
}

fn in_instance(
    host: &Host,
    plugins: Arc<dyn Plugins>,
    attempt: &Arc<Attempt>,
    request: Request,
) -> Result<Option<Success>, CniError> {
    let kind = request.plugin.name.clone();
    let last_failure: Arc<Mutex<LastFailure>> = Arc::default();
    let last_words = Arc::default();
    // Before the plugin can do anything with the host's side.
    let sandbox = match (request.plugin.world, &request.verb) {
        (World::Interface, Verb::Call(_)) => attempt.sandbox().map_err(|e| unopened(attempt, &request.plugin, e))?,
        _ => None,
    };
    let state = State {
        plugin: kind.clone(),
        grants: grants::grants(host, attempt, &request.plugin, &request.config.requested)?,
        config: Arc::clone(&request.config),
        attempt: Arc::clone(attempt),
        plugins,
        table: table(),
        meter: Meter::new(&attempt.context.limits),
        depth: request.level.depth,
        allowance: Arc::clone(&request.level.allowance),
        last_failure: Arc::clone(&last_failure),
        last_words: Arc::clone(&last_words),
        printed: Default::default(),
    };
    call(host, state, sandbox.as_ref(), request).map_err(|ended| match ended {
        Ended::Refused(failure) => {
            let error = wire::error(failure);
            match &last_failure.lock().expect("no panic with the lock held").cause {
                Some(cause) => cause.explain(error),
                None => error,
            }
        }
        Ended::InvalidResult(text) => {
            let text = format!("plugin {kind:?} returned an invalid result of {}: {text}", attempt.command);
            CniError::internal(text).of_kind(ErrorKind::Crashed)
        }
        Ended::Unlinked(error) => {
            let text = format!("plugin {kind:?} asks for a capability that it is not offered");
            CniError::internal(text).details(format!("{error:#}")).of_kind(ErrorKind::NoPlugin)
        }
        Ended::Crashed(error) => crashed(&kind, attempt.command, &error, &last_failure, &last_words),
    })
}

/// The reference's words for a namespace that can't be opened, which are not
/// everywhere the same.
fn unopened(attempt: &Attempt, plugin: &Plugin, error: CniError) -> CniError {
    if error.code == code::NETNS
        || attempt.command == Command::Del
        || plugin.bundled.is_some_and(|bundled| bundled.bare_netns_errors)
    {
        return error;
    }
    error.reword(|msg| format!("failed to open netns {:?}: {msg}", attempt.netns))
}

/// Why there is no result.
enum Ended {
    Refused(cni::Failure),
    InvalidResult(String),
    /// It imports what it is not offered.
    Unlinked(wasmtime::Error),
    Crashed(wasmtime::Error),
}

impl Ended {
    /// Of an instance that could not be made. Its code may have run already.
    fn before_the_call(error: wasmtime::Error) -> Self {
        if error.is::<Trap>() || error.is::<Stop>() { Self::Crashed(error) } else { Self::Unlinked(error) }
    }
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

fn call(host: &Host, state: State, sandbox: Option<&Arc<Space>>, request: Request) -> Result<Option<Success>, Ended> {
    let attempt = Arc::clone(&state.attempt);
    let context = &attempt.context;
    let (lends_sandbox, lends_host) = (state.grants.sandbox, state.grants.host);
    let mut store = Store::new(&host.engine, state);
    store.limiter(|state| &mut state.meter);
    store.set_hostcall_fuel(context.limits.argument_bytes);
    store.set_epoch_deadline(1);
    let deadline = attempt.deadline.clone();
    // A tick says that somebody's time is up, not whose.
    store.epoch_deadline_callback(move |_| {
        if deadline.passed() {
            return Err(wasmtime::Error::new(Stop::of(&deadline)));
        }
        Ok(UpdateDeadline::Continue(1))
    });
    let (plugin, config) = (&request.plugin, &request.config);
    let linked = plugin.linked(&host.engine).map_err(Ended::Unlinked)?;
    let instance = linked.instance.instantiate(&mut store).map_err(Ended::before_the_call)?;
    if plugin.bundled.is_none() {
        // All functions, not only the one that is called: what has an ADD shall have a DEL.
        check_types(&mut store, &instance, plugin.world).map_err(Ended::Unlinked)?;
    }
    let mut guest = Guest { store, instance };
    let exports = &linked.exports;
    let cni_call = || cni_call(&attempt, config);
    let output = match plugin.world {
        World::Interface => {
            let mut lend = |granted: bool, space: Option<&Arc<Space>>| {
                let space = space.filter(|_| granted).cloned();
                space.map(|space| guest.store.data_mut().table.push(Namespace { space })).transpose()
            };
            let sandbox = lend(lends_sandbox, sandbox)?;
            let lent = lend(lends_host, Some(&attempt.host))?;
            let borrow = |lent: &Option<Resource<Namespace>>| lent.as_ref().map(|r| Resource::new_borrow(r.rep()));
            let host: Option<Resource<Namespace>> = borrow(&lent);
            let need = || {
                borrow(&sandbox).ok_or_else(|| {
                    Ended::Crashed(wasmtime::Error::msg("it needs the container's namespace and has no grant for it"))
                })
            };
            match request.verb {
                Verb::Call(Command::Add) => guest.output(&exports.add, (&cni_call(), need()?, host))?,
                Verb::Call(Command::Check) => guest.done(&exports.check, (&cni_call(), need()?, host))?,
                Verb::Call(_) => guest.done(&exports.del, (&cni_call(), borrow(&sandbox), host))?,
                Verb::Status => guest.done(&exports.status, (&*config.text, host))?,
                // Nothing is said to be valid, nor anything to be stale.
                Verb::Gc(None) => None,
                Verb::Gc(Some(live)) => guest.done(&exports.gc, (&*config.text, &*live, host))?,
            }
        }
        World::Ipam => match request.verb {
            Verb::Call(Command::Add) => guest.output(&exports.add, (&cni_call(),))?,
            Verb::Call(Command::Check) => guest.done(&exports.check, (&cni_call(),))?,
            Verb::Call(_) => guest.done(&exports.del, (&cni_call(),))?,
            Verb::Status => guest.done(&exports.status, (&*config.text,))?,
            Verb::Gc(None) => None,
            Verb::Gc(Some(live)) => guest.done(&exports.gc, (&*config.text, &*live))?,
        },
    };
    if context.own_process && attempt.plugin.is_some() && request.level.allowance.leaves_instance() {
        // The process ends with it, and the kernel takes its memory back at less cost.
        // What it has open is closed: others may wait for it.
        guest.store.data_mut().table = ResourceTable::new();
        mem::forget(guest.store);
    }
    output.map(|output| wire::success(output, &context.limits).map_err(Ended::InvalidResult)).transpose()
}

/// An instance. What the functions of a world take and give is said where they are called.
struct Guest {
    store: Store<State>,
    instance: Instance,
}

impl Guest {
    /// Calls a function that gives a result.
    fn output(
        &mut self,
        export: &ComponentExportIndex,
        params: impl ComponentNamedList + Lower,
    ) -> Result<Option<cni::Output>, Ended> {
        self.call(export, params).map(Some)
    }

    /// Calls one that gives none.
    fn done(
        &mut self,
        export: &ComponentExportIndex,
        params: impl ComponentNamedList + Lower,
    ) -> Result<Option<cni::Output>, Ended> {
        self.call(export, params).map(|()| None)
    }

    fn call<P, R>(&mut self, export: &ComponentExportIndex, params: P) -> Result<R, Ended>
    where
        P: ComponentNamedList + Lower,
        R: Lift + 'static,
    {
        let function = self.instance.get_typed_func::<P, (Result<R, cni::Failure>,)>(&mut self.store, export)?;
        let (given,) = function.call(&mut self.store, params)?;
        given.map_err(Ended::Refused)
    }
}

fn check_types(store: &mut Store<State>, instance: &Instance, world: World) -> wasmtime::Result<()> {
    match world {
        World::Interface => InterfacePlugin::new(store, instance).map(drop),
        World::Ipam => IpamPlugin::new(store, instance).map(drop),
    }
}

fn table() -> ResourceTable {
    let mut table = ResourceTable::new();
    table.set_max_capacity(1024);
    table
}

fn cni_call(attempt: &Attempt, config: &CallConfig) -> cni::Call {
    let previous = config.previous.as_ref();
    cni::Call {
        at: cni::Attachment { container_id: attempt.container_id.clone(), ifname: attempt.ifname.clone() },
        netns: attempt.netns.clone(),
        args: attempt.args.clone(),
        network: attempt.network.clone(),
        config: config.text.to_string(),
        prev: previous.map(|p| p.as_ref().map(|p| wire::output(&p.success))).map_err(Clone::clone),
    }
}

/// A trap as an error: plugin, operation, cause, and the last operation of the
/// host that failed.
fn crashed(
    kind: &str,
    command: Command,
    error: &wasmtime::Error,
    last_failure: &Mutex<LastFailure>,
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
    let reason = match error.downcast_ref::<Stop>() {
        Some(Stop::Deadline(_)) => ErrorKind::TimedOut,
        Some(Stop::Cancelled) => ErrorKind::Cancelled,
        Some(Stop::Memory(_) | Stop::HostCalls(_)) => ErrorKind::Limit,
        None => ErrorKind::Crashed,
    };
    let text = format!("plugin {kind:?} {verb} during {command}: {cause}");
    let mut failure = CniError::internal(text).of_kind(reason);
    if let Some(words) = words {
        failure = failure.note(&format!("its last words: {words}"));
    }
    if let Some(operation) = &last_failure.lock().expect("no panic with the lock held").summary {
        failure = failure.note(&format!("the last operation that failed: {operation}"));
    }
    failure
}
