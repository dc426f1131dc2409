//! One call of one plugin: an instance of its own, its grants, its limits.

use std::{mem, sync::Arc};

use wasmtime::{
    Store, UpdateDeadline,
    component::{ComponentExportIndex, ComponentNamedList, Instance, Lift, Lower, Resource, ResourceTable},
};

use wasm_cni_capabilities::{
    attempt::Attempt,
    bindings::{InterfacePlugin, IpamPlugin, cni},
    call::{CallConfig, Level, Plugins, Verb},
    grants::Grants,
    handles::Namespace,
    limits::{MAX_HANDLES, Meter, Stop},
    space::Space,
    state::State,
    wire,
    world::World,
};
use wasm_cni_spec::{
    command::Command,
    error::{CniError, code},
    result::Success,
};

use crate::{
    ended::{Ended, Traces},
    grants,
    host::Host,
    plugins::{Linked, Plugin},
};

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
    let plugin = Arc::clone(&request.plugin);
    let traces = Traces::default();
    // Before the plugin can do anything with the host's side.
    let sandbox = match (plugin.world, &request.verb) {
        (World::Interface, Verb::Call(_)) => attempt.sandbox().map_err(|e| unopened(attempt, &plugin, e))?,
        _ => None,
    };
    let grants = grants::grants(host, attempt, &plugin, &request.config.requested)?;
    let state = state(plugins, attempt, &request, grants, &traces);
    call(host, state, sandbox.as_ref(), request)
        .map_err(|ended| ended.error(&plugin.name, attempt.command.name(), &traces))
}

fn state(
    plugins: Arc<dyn Plugins>,
    attempt: &Arc<Attempt>,
    request: &Request,
    grants: Grants,
    traces: &Traces,
) -> State {
    State {
        plugin: request.plugin.name.clone(),
        grants,
        config: Arc::clone(&request.config),
        attempt: Arc::clone(attempt),
        plugins,
        table: table(),
        meter: Meter::new(&attempt.context.limits),
        depth: request.level.depth,
        allowance: Arc::clone(&request.level.allowance),
        last_failure: Arc::clone(&traces.last_failure),
        last_words: Arc::clone(&traces.last_words),
        printed: Default::default(),
    }
}

/// A plugin's judgement of its own configuration. It has no grants: there is nothing to reach.
///
/// # Errors
///
/// How it ended.
pub(crate) fn validate(
    host: &Host,
    plugins: Arc<dyn Plugins>,
    attempt: &Arc<Attempt>,
    request: Request,
) -> Result<Vec<cni::Mistake>, CniError> {
    let (plugin, traces) = (Arc::clone(&request.plugin), Traces::default());
    let state = state(plugins, attempt, &request, Grants::default(), &traces);
    let judge = || {
        let (mut guest, linked) = start(host, state, &plugin)?;
        let function =
            guest.instance.get_typed_func::<_, (Vec<cni::Mistake>,)>(&mut guest.store, &linked.exports.validate)?;
        let (mistakes,) = function.call(&mut guest.store, (&*request.config.text,))?;
        wire::mistakes(mistakes, &attempt.context.limits).map_err(Ended::InvalidResult)
    };
    judge().map_err(|ended: Ended| ended.error(&plugin.name, "validate", &traces))
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

/// Makes an instance, with its limits.
fn start<'p>(host: &Host, state: State, plugin: &'p Plugin) -> Result<(Guest, &'p Linked), Ended> {
    let mut store = Store::new(&host.engine, state);
    store.limiter(|state| &mut state.meter);
    let fuel = store.data().attempt.context.limits.argument_bytes;
    store.set_hostcall_fuel(fuel);
    store.set_epoch_deadline(1);
    let deadline = store.data().attempt.deadline.clone();
    // A tick says that somebody's time is up, not whose.
    store.epoch_deadline_callback(move |_| {
        if deadline.passed() {
            return Err(wasmtime::Error::new(Stop::of(&deadline)));
        }
        Ok(UpdateDeadline::Continue(1))
    });
    let linked = plugin.code.linked(&host.engine, plugin.world).map_err(Ended::Unlinked)?;
    let instance = linked.instance.instantiate(&mut store).map_err(Ended::before_the_call)?;
    if plugin.bundled.is_none() {
        // All functions, not only the one that is called: what has an ADD shall have a DEL.
        check_types(&mut store, &instance, plugin.world).map_err(Ended::Unlinked)?;
    }
    Ok((Guest { store, instance }, linked))
}

fn call(host: &Host, state: State, sandbox: Option<&Arc<Space>>, request: Request) -> Result<Option<Success>, Ended> {
    let attempt = Arc::clone(&state.attempt);
    let context = &attempt.context;
    let (lends_sandbox, lends_host) = (state.grants.sandbox, state.grants.host);
    let (plugin, config) = (&request.plugin, &request.config);
    let (mut guest, linked) = start(host, state, plugin)?;
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
                    Ended::Denied("it needs the container's namespace and has no grant for it".to_owned())
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
    table.set_max_capacity(MAX_HANDLES);
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
