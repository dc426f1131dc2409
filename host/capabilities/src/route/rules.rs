//! `route.rules`: the interface. What its changes do is in `rule.rs`.

use serde_json::Value;
use wasm_cni_kernel::{IpFamily, RoutingRule};
use wasmtime::component::{HasSelf, Resource};

use super::{
    rule::{Add, Delete},
    rule_check::ip_family,
};
use crate::{
    bindings::rules::{self, Family},
    capability::Capability,
    convert,
    describe::{Describe, Scribe, case, object},
    failure::{Reply, kernel_error},
    grants::table::Operation,
    handles::{Namespace, Pending},
    net::inside,
    state::State,
    world::World,
};

/// `wasm-cni:route/rules`.
pub const CAPABILITY: Capability = Capability {
    interface: "wasm-cni:route/rules@0.1.0",
    worlds: &[World::Interface],
    link: |linker| rules::add_to_linker::<_, HasSelf<State>>(linker, |state| state),
    granted: |table| table.namespaces.as_ref().is_some_and(|namespaces| !namespaces.is_empty()),
    abilities: |table, imported, abilities| {
        let changes = [Operation::RuleAdd, Operation::RuleDel];
        let what = "change routing rules in the container's namespace";
        abilities.say(imported && table.changes_inside(&changes), what);
    },
    needs: |_, _| {},
};

impl rules::Host for State {
    fn add(&mut self, rule: rules::Rule) -> wasmtime::Result<Resource<Pending>> {
        self.call_plain("rules.add", &[("rule", &rule)], |state| state.keep(size(&rule), Add(rule.clone())))
    }

    fn del(&mut self, rule: rules::Rule) -> wasmtime::Result<Resource<Pending>> {
        self.call_plain("rules.del", &[("rule", &rule)], |state| state.keep(size(&rule), Delete(rule.clone())))
    }

    fn list(&mut self, ns: Resource<Namespace>, family: Option<Family>) -> Reply<Vec<rules::Rule>> {
        self.call("rules.list", &[("ns", &ns), ("family", &family)], |state| {
            let space = state.space(&ns)?;
            let family = family.map(ip_family);
            let found = space.netlink(|netlink| netlink.rules(family)).map_err(|e| kernel_error(&e))?;
            Ok(inside::listed(found, "rules", wit)?)
        })
    }
}

/// The bytes that a guest has sent.
fn size(rule: &rules::Rule) -> usize {
    rule.iif.len() + rule.oif.len()
}

fn wit(rule: RoutingRule) -> rules::Rule {
    let RoutingRule { family, priority, src, dst, iif, oif, mark, table } = rule;
    let family = match family {
        IpFamily::Inet => Family::Inet,
        IpFamily::Inet6 => Family::Inet6,
    };
    let [src, dst] = [src, dst].map(|net| net.map(convert::wit_net));
    rules::Rule { family, priority, src, dst, iif, oif, mark, table }
}

impl Describe for rules::Rule {
    fn describe(&self, scribe: &mut Scribe<'_>) -> Value {
        let Self { family, priority, src, dst, iif, oif, mark, table } = self;
        let mut name = |name: &String| if name.is_empty() { Value::Null } else { scribe.text(name) };
        let [iif, oif] = [name(iif), name(oif)];
        object([
            ("family", case(family)),
            ("priority", priority.describe(scribe)),
            ("src", src.describe(scribe)),
            ("dst", dst.describe(scribe)),
            ("iif", iif),
            ("oif", oif),
            ("mark", mark.map_or(Value::Null, |(mark, mask)| format!("{mark:#x}/{mask:#x}").into())),
            ("table", (*table).into()),
        ])
    }
}

impl Describe for Family {
    fn describe(&self, _: &mut Scribe<'_>) -> Value {
        case(self)
    }
}
