//! `net`: links, addresses, routes and sysctls of the namespaces lent.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use wasm_cni_kernel as kernel;
use wasmtime::component::Resource;

use super::{
    State, convert, kernel_error, ops, refuse,
    space::{HOST, SANDBOX, Space},
};
use crate::{
    attempt::Attempt,
    bindings::{net, types},
    grants::sysctl_matches,
    policy::Sysctl,
};

/// Longest single `wait`.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// How long a wait goes on without a look at whether the call was cancelled.
const SLICE: Duration = Duration::from_millis(250);

/// What a guest's `netns` handle stands for.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Namespace {
    pub(crate) space: Arc<Space>,
}

impl net::HostNetns for State {
    fn label(&mut self, this: Resource<Namespace>) -> wasmtime::Result<String> {
        self.enter()?;
        Ok(self.table.get(&this)?.space.label.to_owned())
    }

    fn drop(&mut self, this: Resource<Namespace>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

impl net::Host for State {
    fn commit(
        &mut self,
        namespaces: Vec<Resource<Namespace>>,
        operations: Vec<net::Op>,
    ) -> wasmtime::Result<Result<Vec<Option<net::Made>>, net::CommitError>> {
        self.enter()?;
        let spaces = namespaces
            .iter()
            .map(|handle| Ok(Arc::clone(&self.table.get(handle)?.space)))
            .collect::<wasmtime::Result<Vec<_>>>()?;
        let limit = self.attempt.runtime.limits.operations;
        if operations.len() > limit {
            let cause = refuse(types::Code::Limit, "commit", format!("more than {limit} operations in one commit"));
            return Ok(Err(net::CommitError { at: 0, cause: self.failed(cause) }));
        }
        let result = ops::commit(self, &spaces, &operations);
        Ok(result.map_err(|(at, cause)| net::CommitError {
            at: u32::try_from(at).unwrap_or(u32::MAX),
            cause: self.failed(cause),
        }))
    }

    fn read(
        &mut self,
        ns: Resource<Namespace>,
        what: net::Query,
    ) -> wasmtime::Result<Result<net::Snapshot, types::Error>> {
        self.enter()?;
        let space = Arc::clone(&self.table.get(&ns)?.space);
        Ok(read(&self.attempt, &space, &what).map_err(|e| self.failed(e)))
    }

    fn sysctl_get(
        &mut self,
        ns: Resource<Namespace>,
        keys: Vec<String>,
    ) -> wasmtime::Result<Result<Vec<Option<String>>, types::Error>> {
        self.enter()?;
        let space = Arc::clone(&self.table.get(&ns)?.space);
        let limit = self.attempt.runtime.limits.operations;
        if keys.len() > limit {
            let text = format!("more than {limit} keys at once");
            return Ok(Err(self.failed(refuse(types::Code::Limit, "sysctl-get", text))));
        }
        if let Some(refused) = keys.iter().find_map(|key| self.check_sysctl(&space, key).err()) {
            return Ok(Err(self.failed(refused)));
        }
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        Ok(space.netns.sysctls_get(&keys).map_err(|e| self.failed(kernel_error(&e))))
    }

    fn wait(
        &mut self,
        ns: Resource<Namespace>,
        link: net::LinkRef,
        until: net::Condition,
        timeout_ms: u32,
    ) -> wasmtime::Result<Result<bool, types::Error>> {
        self.enter()?;
        let space = Arc::clone(&self.table.get(&ns)?.space);
        let until = match until {
            net::Condition::OperUp => kernel::Condition::OperUp,
            net::Condition::AddressesSettled => kernel::Condition::AddressesSettled,
        };
        let timeout = Duration::from_millis(timeout_ms.into()).min(MAX_WAIT);
        let deadline = (Instant::now() + timeout).min(self.attempt.deadline.at);
        let waited = resolve(&space, &link, "wait")
            .and_then(|index| self.wait_until(&space, index, until, deadline).map_err(|e| kernel_error(&e)));
        // Whoever waits past the end of its time does not come back.
        self.enter()?;
        Ok(waited.map_err(|e| self.failed(e)))
    }
}

impl State {
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
            if space.netns.wait(link, until, slice)? {
                return Ok(true);
            }
            if Instant::now() >= deadline || self.attempt.deadline.passed() {
                return Ok(false);
            }
        }
    }

    /// Do the grants name this sysctl in this namespace?
    pub(crate) fn check_sysctl(&self, space: &Space, key: &str) -> Result<(), types::Error> {
        let granted = match space.label {
            SANDBOX => &self.grants.sandbox_sysctls,
            _ => &self.grants.host_sysctls,
        };
        if granted.iter().any(|Sysctl(pattern)| sysctl_matches(pattern, key)) {
            return Ok(());
        }
        let text = format!("plugin {:?} has no grant for this sysctl in the {} namespace", self.plugin, space.label);
        Err(refuse(types::Code::Denied, format!("sysctl {key:?}"), text))
    }
}

/// The index of a link that is referred to from outside a commit.
fn resolve(space: &Space, link: &net::LinkRef, what: &str) -> Result<u32, types::Error> {
    match link {
        net::LinkRef::Index(index) => Ok(*index),
        net::LinkRef::Name(name) => find(space, name).map(|link| link.index),
        net::LinkRef::Made(_) => Err(refuse(types::Code::Invalid, what, "made() has a meaning in commit only")),
    }
}

fn find(space: &Space, name: &str) -> Result<kernel::Link, types::Error> {
    convert::link_name(name, "link")?;
    space.netlink(|netlink| netlink.link_get(kernel::LinkRef::Name(name))).map_err(|e| kernel_error(&e))
}

fn read(attempt: &Attempt, space: &Space, what: &net::Query) -> Result<net::Snapshot, types::Error> {
    let mut links = Vec::new();
    let mut index = None;
    match &what.link {
        Some(net::LinkRef::Name(name)) => {
            let link = find(space, name)?;
            index = Some(link.index);
            links.push(link);
        }
        Some(reference) => {
            let number = resolve(space, reference, "read")?;
            index = Some(number);
            if what.tables.contains(net::Tables::LINKS) {
                links.push(
                    space
                        .netlink(|netlink| netlink.link_get(kernel::LinkRef::Index(number)))
                        .map_err(|e| kernel_error(&e))?,
                );
            }
        }
        None => {}
    }
    if let (HOST, [link]) = (space.label, &links[..]) {
        attempt.known().saw(link);
    }
    space
        .netlink(|netlink| {
            let tables = what.tables;
            if tables.contains(net::Tables::LINKS) && index.is_none() {
                links = netlink.links()?;
            }
            let addresses =
                if tables.contains(net::Tables::ADDRESSES) { netlink.addresses(index)? } else { Vec::new() };
            let routes = if tables.contains(net::Tables::ROUTES) { netlink.routes(index)? } else { Vec::new() };
            let vlans = match index {
                Some(index) if tables.contains(net::Tables::BRIDGE_VLANS) => netlink.vlans(index)?,
                _ => Vec::new(),
            };
            Ok(net::Snapshot {
                links: std::mem::take(&mut links).into_iter().map(convert::wit_link).collect(),
                addresses: addresses.iter().map(convert::wit_address).collect(),
                routes: routes.iter().map(convert::wit_route).collect(),
                bridge_vlans: vlans.iter().map(convert::wit_vlan).collect(),
            })
        })
        .map_err(|e| kernel_error(&e))
}
