//! `delegate`: another plugin, in an instance and with grants of its own.

use std::sync::Arc;

use wasm_cni_spec::{
    command::Command,
    error::{CniError, ErrorKind},
    names::check_plugin_type,
};

use wasmtime::component::HasSelf;

use crate::{
    abilities::named,
    bindings::{cni, delegate, types},
    call::{Labelled, Level, Verb},
    capability::Capability,
    cause::Cause,
    describe::Describe,
    failure::{Reply, refuse},
    state::State,
    wire,
    world::World,
};

/// `wasm-cni:cni/delegate`.
pub const CAPABILITY: Capability = Capability {
    interface: "wasm-cni:cni/delegate@0.1.0",
    worlds: &[World::Interface],
    link: |linker| delegate::add_to_linker::<_, HasSelf<State>>(linker, |state| state),
    granted: |table| table.delegates.as_ref().is_some_and(|delegates| !delegates.is_empty()),
    // What the delegates need is looked at plugin by plugin.
    abilities: |table, imported, abilities| {
        let delegates = table.delegates.as_deref().unwrap_or_default();
        let to = "delegate to the IPAM plugin that its configuration names";
        match imported && !delegates.is_empty() {
            true => abilities.say(true, format!("{to}{}", named(", one of", delegates))),
            false => abilities.say(false, "delegate"),
        }
    },
    needs: |_, _| {},
};

impl delegate::Host for State {
    fn add(&mut self, plugin: String) -> Reply<cni::Output, cni::Failure> {
        let output = |result: Option<Labelled>| wire::output(&result.map(|r| r.success).unwrap_or_default());
        self.delegate("delegate.add", &plugin, &[("plugin", &plugin)], Verb::Call(Command::Add), output)
    }

    fn del(&mut self, plugin: String) -> Reply<(), cni::Failure> {
        self.delegate("delegate.del", &plugin, &[("plugin", &plugin)], Verb::Call(Command::Del), drop)
    }

    fn check(&mut self, plugin: String) -> Reply<(), cni::Failure> {
        self.delegate("delegate.check", &plugin, &[("plugin", &plugin)], Verb::Call(Command::Check), drop)
    }

    fn status(&mut self, plugin: String) -> Reply<(), cni::Failure> {
        self.delegate("delegate.status", &plugin, &[("plugin", &plugin)], Verb::Status, drop)
    }

    fn gc(&mut self, plugin: String, live: Vec<cni::Attachment>) -> Reply<(), cni::Failure> {
        // The guest may have left some out.
        let all = self.attempt.facts().with_all_live(live.clone());
        self.delegate("delegate.gc", &plugin, &[("plugin", &plugin), ("live", &live)], Verb::Gc(Some(all)), drop)
    }
}

impl State {
    fn delegate<T: Describe>(
        &mut self,
        function: &'static str,
        kind: &str,
        arguments: &[(&str, &dyn Describe)],
        verb: Verb,
        reply: impl FnOnce(Option<Labelled>) -> T,
    ) -> Reply<T, cni::Failure> {
        self.call(function, arguments, |state| match state.checked_delegate(kind, verb) {
            Ok(result) => Ok(reply(result)),
            Err(error) => {
                state.remember(&refuse(types::Code::Other, format!("delegate {kind:?}"), error.to_string()));
                state.remember_cause(Cause::of_delegate(&error));
                Err(wire::failure(error).into())
            }
        })
    }

    fn checked_delegate(&self, kind: &str, verb: Verb) -> Result<Option<Labelled>, CniError> {
        check_plugin_type(kind)?;
        if !self.grants.delegates.iter().any(|granted| granted == kind) {
            let text = format!("plugin {:?} has no grant to delegate to {kind:?}", self.plugin);
            return Err(CniError::internal(text).of_kind(ErrorKind::Denied));
        }
        // A GC in an ADD would free what all others have.
        let (wanted, command) = (verb.command(), self.attempt.command);
        if wanted != command && (wanted, command) != (Command::Del, Command::Add) {
            let text = format!("plugin {:?} has no grant to delegate {wanted} during {command}", self.plugin);
            return Err(CniError::internal(text).of_kind(ErrorKind::Denied));
        }
        if self.depth >= self.attempt.context.limits.depth {
            let text = format!("plugin {:?} delegates more than {} deep", self.plugin, self.depth);
            return Err(CniError::internal(text).of_kind(ErrorKind::Limit));
        }
        if matches!(verb, Verb::Call(Command::Del)) {
            self.attempt.facts().give_back(kind).map_err(|address| {
                let plugin = &self.plugin;
                let text = format!(
                    "plugin {plugin:?} has no grant to give {address} back: there is a route, filter or gateway for it"
                );
                CniError::internal(text).of_kind(ErrorKind::Denied)
            })?;
        }
        if matches!(verb, Verb::Call(Command::Add))
            && let Some(effect) = self.plugins.undo_delegation(&self.attempt, kind, &self.config)?
        {
            // It may do half and fail: the note stays.
            self.note(effect).map_err(|e| CniError::internal(format!("{}: {}", e.what, e.msg)))?;
        }
        let level = Level { depth: self.depth + 1, allowance: Arc::clone(&self.allowance) };
        self.plugins.run(&self.attempt, kind, &self.config, verb, level)
    }
}
