//! `net`: links, addresses, routes and sysctls of the namespaces lent. A file for each kind of change.

mod abilities;
pub mod actions;
pub mod address;
pub mod announce;
pub mod attrs;
pub mod bridge;
pub mod change;
pub mod commit;
pub mod create;
mod explain;
pub mod host_links;
pub mod inside;
pub mod link;
pub mod moves;
pub mod pending;
mod perform;
pub mod read;
pub mod route;
pub mod routers;
pub mod sysctl;
pub mod veth;
pub mod vlans;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use wasm_cni_kernel as kernel;
use wasmtime::component::{HasSelf, Resource};

use crate::{
    bindings::net,
    capability::Capability,
    describe::{Describe, Scribe, at},
    failure::{Failure, Reply, kernel_error, refuse},
    handles::{Namespace, Pending},
    space::Space,
    state::State,
    world::World,
};

/// `wasm-cni:net/net`.
pub const CAPABILITY: Capability = Capability {
    interface: "wasm-cni:net/net@0.1.0",
    worlds: &[World::Interface],
    link: |linker| net::add_to_linker::<_, HasSelf<State>>(linker, |state| state),
    granted: |table| table.namespaces.as_ref().is_some_and(|namespaces| !namespaces.is_empty()),
    abilities: abilities::abilities,
    needs: |_, _| {},
};

/// Longest single `wait`.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// How long a wait goes on without a look at whether the call was cancelled.
const SLICE: Duration = Duration::from_millis(250);

impl net::HostNetns for State {
    fn label(&mut self, this: Resource<Namespace>) -> wasmtime::Result<String> {
        self.call_plain("net.label", &[("ns", &this)], |state| Ok(state.table.get(&this)?.space.label.to_owned()))
    }

    fn drop(&mut self, this: Resource<Namespace>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

impl net::HostChange for State {
    /// A change that no commit has done does nothing.
    fn drop(&mut self, this: Resource<Pending>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

impl net::Host for State {
    fn commit(
        &mut self,
        namespaces: Vec<Resource<Namespace>>,
        ops: Vec<net::Op>,
    ) -> Reply<Vec<Option<net::Made>>, net::CommitError> {
        let arguments = actions::Operations(&namespaces, &ops);
        self.call("net.commit", &[("ops", &arguments)], |state| {
            let spaces = namespaces
                .iter()
                .map(|handle| Ok(Arc::clone(&state.table.get(handle).map_err(Failure::handle)?.space)))
                .collect::<Result<Vec<_>, Failure<_>>>()?;
            let limit = state.attempt.context.limits.operations;
            if ops.len() > limit {
                let text = format!("more than {limit} operations in one commit");
                let cause = refuse(crate::bindings::types::Code::Limit, "commit", text);
                return Err(net::CommitError { at: 0, cause }.into());
            }
            let failed = |(at, cause)| net::CommitError { at: u32::try_from(at).unwrap_or(u32::MAX), cause };
            Ok(perform::commit(state, &spaces, &ops).map_err(failed)?)
        })
    }

    fn read(&mut self, ns: Resource<Namespace>, what: net::Query) -> Reply<net::Snapshot> {
        self.call("net.read", &[("ns", &ns), ("what", &what)], |state| {
            Ok(read::read(&state.attempt, &*state.space(&ns)?, &what)?)
        })
    }

    fn sysctl_get(&mut self, ns: Resource<Namespace>, keys: Vec<String>) -> Reply<Vec<Option<String>>> {
        self.call("net.sysctl-get", &[("ns", &ns), ("keys", &keys)], |state| {
            let space = state.space(&ns)?;
            let limit = state.attempt.context.limits.operations;
            if keys.len() > limit {
                let text = format!("more than {limit} keys at once");
                return Err(refuse(crate::bindings::types::Code::Limit, "sysctl-get", text).into());
            }
            for key in &keys {
                state.check_sysctl(&space, key)?;
            }
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            Ok(space.sysctls_get(&keys).map_err(|e| explain::sysctl(&space, &e))?)
        })
    }

    fn wait(
        &mut self,
        ns: Resource<Namespace>,
        link: net::LinkRef,
        until: net::Condition,
        timeout_ms: u32,
    ) -> Reply<bool> {
        let arguments: [(_, &dyn Describe); 4] =
            [("ns", &ns), ("link", &link), ("until", &until), ("timeout-ms", &timeout_ms)];
        self.call("net.wait", &arguments, |state| {
            let space = state.space(&ns)?;
            let until = match until {
                net::Condition::OperUp => kernel::Condition::OperUp,
                net::Condition::AddressesSettled => kernel::Condition::AddressesSettled,
            };
            let timeout = Duration::from_millis(timeout_ms.into()).min(MAX_WAIT);
            let deadline = (Instant::now() + timeout).min(state.attempt.deadline.at);
            let index = read::resolve(&space, &link, "wait")?;
            let waited = state.wait_until(&space, index, until, deadline).map_err(|e| kernel_error(&e));
            // Whoever waits past the end of its time does not come back.
            state.enter().map_err(Failure::Ended)?;
            Ok(waited?)
        })
    }
}

impl State {
    /// The namespace behind a handle.
    ///
    /// # Errors
    ///
    /// A handle that is not one of the guest's ends it.
    pub fn space<E: crate::failure::GuestError>(&self, handle: &Resource<Namespace>) -> Result<Arc<Space>, Failure<E>> {
        Ok(Arc::clone(&self.table.get(handle).map_err(Failure::handle)?.space))
    }

    /// In slices, so that a call can be cancelled.
    fn wait_until(
        &self,
        space: &Space,
        link: u32,
        until: kernel::Condition,
        deadline: Instant,
    ) -> Result<bool, kernel::Error> {
        if space.netlink(|netlink| netlink.holds(link, until))? {
            return Ok(true);
        }
        loop {
            let slice = deadline.min(Instant::now() + SLICE);
            if space.wait(link, until, slice)? {
                return Ok(true);
            }
            if Instant::now() >= deadline || self.attempt.deadline.passed() {
                return Ok(false);
            }
        }
    }
}

impl Describe for net::CommitError {
    fn describe(&self, scribe: &mut Scribe<'_>) -> Value {
        at(self.at, &self.cause, scribe)
    }
}

impl Describe for net::Made {
    fn describe(&self, _: &mut Scribe<'_>) -> Value {
        json!({ "index": self.index, "existed": self.existed })
    }
}
