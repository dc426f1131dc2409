//! `net.action`: each of its cases by the file that does it.

use serde_json::Value;
use wasmtime::component::Resource;

use super::{
    address, announce,
    change::{Change, Labels, described},
    link, route, sysctl, vlans,
};
use crate::{
    bindings::net,
    describe::{Describe, Scribe, case, object},
    handles::Namespace,
};

/// Does something with the change that an action is. `other` is the one that a function of another package has described;
/// none if there is no such change.
pub fn with_change<T>(
    action: &net::Action,
    other: Option<&dyn Change>,
    f: &mut dyn FnMut(&dyn Change) -> T,
) -> Option<T> {
    Some(match action {
        net::Action::LinkAdd(new) => f(&link::Add(new)),
        net::Action::LinkSet(set) => f(&link::Set(set)),
        net::Action::LinkDel(link) => f(&link::Delete(link)),
        net::Action::AddrAdd(address) => f(&address::Add(address)),
        net::Action::AddrDel(address) => f(&address::Delete(address)),
        net::Action::RouteAdd(route) => f(&route::Add(route)),
        net::Action::RouteDel(route) => f(&route::Delete(route)),
        net::Action::VlanAdd(vlan) => f(&vlans::Add(vlan)),
        net::Action::VlanDel(vlan) => f(&vlans::Delete(vlan)),
        net::Action::SysctlSet(sysctl) => f(&sysctl::Set(sysctl)),
        net::Action::Announce(link) => f(&announce::Announce(link)),
        net::Action::Other(_) => f(other?),
    })
}

/// Operations, with the namespaces that they are in.
pub struct Operations<'a>(pub &'a [Resource<Namespace>], pub &'a [net::Op]);

impl Describe for Operations<'_> {
    fn describe(&self, scribe: &mut Scribe<'_>) -> Value {
        scribe.list(self.1, |op, scribe| self.one(op, scribe))
    }
}

impl Operations<'_> {
    fn one(&self, op: &net::Op, scribe: &mut Scribe<'_>) -> Value {
        let labels = Labels(self.0);
        let table = scribe.table;
        let other = match &op.act {
            net::Action::Other(change) => table.get(change).ok().and_then(described),
            _ => None,
        };
        let described = with_change(&op.act, other, &mut |change| (change.name(), change.describe(&labels, scribe)));
        let (name, act) = described.unwrap_or(("other", "no such handle".into()));
        let strict = matches!(op.tolerate, net::Tolerance::Strict);
        let tolerate = if strict { Value::Null } else { case(op.tolerate) };
        object([("ns", labels.of(op.ns, scribe)), (name, act), ("tolerate", tolerate)])
    }
}
